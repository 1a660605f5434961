//! An isolate in a colo that has nothing, when the origin is down: what another stored in the world
//! stands in (RFC 5861 §4), as it does where it was stored.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::cell::Cell;
use std::rc::Rc;

use crate::world::{Isolate, Script, Seen, World, request};
use edge_isr::config::Config;
use edge_isr::engine::port::OriginError;
use edge_isr::journal::Mode;

const PAGE: &str = "https://example.com/page";
const STANDS_IN: &str = "max-age=60, stale-if-error=86400";

type Failure = fn() -> Result<Script, OriginError>;

const FAILURES: [Failure; 4] = [
    || Err(OriginError::Unreachable),
    || Err(OriginError::Timeout),
    || Ok(Script::new(503, &[], "down")),
    || Ok(Script::new(500, &[("cache-control", "no-store")], "down")),
];

/// A page that one colo stored; the origin fails from then on. An isolate of another colo.
fn cold(control: &'static str, vary: bool, failure: Failure) -> (Rc<World>, Isolate) {
    let config = Config { shards: 1, ..Config::default() };
    let world = World::new(&config);
    let down = Rc::new(Cell::new(false));
    let failing = Rc::clone(&down);
    world.origin(move |_| {
        if failing.get() {
            return failure();
        }
        let mut fields = vec![("cdn-cache-control", control), ("surrogate-key", "a")];
        if vary {
            fields.push(("vary", "accept-language"));
        }
        Ok(Script::new(200, &fields, "page"))
    });
    let first = Isolate::new(&world, &config, "ams");
    first.get(PAGE, &[("accept-language", "de")]);
    world.pass(3_000);
    down.set(true);
    (Rc::clone(&world), Isolate::new(&world, &config, "lhr"))
}

fn ask(isolate: &Isolate) -> Seen {
    isolate.get(PAGE, &[("accept-language", "de")])
}

#[test]
fn what_the_world_has_stands_in_for_an_origin_that_fails() {
    for (number, failure) in FAILURES.into_iter().enumerate() {
        for (vary, invalidated) in [(false, false), (true, false), (false, true), (true, true)] {
            let (world, isolate) = cold(STANDS_IN, vary, failure);
            if invalidated {
                world.invalidate_all(&["a"], Mode::Soft, false);
            }
            world.pass(if invalidated { 3_000 } else { 120_000 });
            let seen = ask(&isolate);
            let row = format!("{number} {vary} {invalidated}: {}", seen.cache_status());
            assert_eq!((seen.status, seen.text().as_str()), (200, "page"), "{row}");
            assert!(seen.cache_status().contains("stale-if-error"), "{row}");
        }
    }
}

/// Who waits for the one who asks gets it as well.
#[test]
fn who_waits_gets_it_too() {
    for failure in FAILURES {
        let (world, isolate) = cold(STANDS_IN, true, failure);
        world.pass(120_000);
        let begin = || {
            let (asks, head) =
                (isolate.clone(), request("GET", PAGE, &[("accept-language", "de")]));
            world.start(async move { asks.ask(head).await })
        };
        let all: Vec<_> = (0..5).map(|_| begin()).collect();
        world.pass(60_000);
        for seen in all {
            let seen = seen.borrow_mut().take().expect("an answer");
            assert_eq!(
                (seen.status, seen.text().as_str()),
                (200, "page"),
                "{}",
                seen.cache_status()
            );
        }
    }
}

/// What may not be served stale is not, and nobody gets another's.
#[test]
fn what_may_not_stand_in_does_not() {
    let language = [("accept-language", "de")];
    for (control, mode, millis, fields, status) in [
        ("max-age=60", None, 120_000, language, 502),
        ("max-age=60, stale-if-error=30", None, 120_000, language, 502),
        ("max-age=60, stale-if-error=86400, must-revalidate", None, 120_000, language, 502),
        (STANDS_IN, Some(Mode::Hard), 3_000, language, 502),
        (STANDS_IN, None, 120_000, [("accept-language", "fr")], 502),
        (STANDS_IN, None, 120_000, [("cookie", "sessionid=1")], 502),
        (STANDS_IN, None, 120_000, [("authorization", "Basic eDp5")], 502),
    ] {
        let (world, isolate) = cold(control, true, || Err(OriginError::Unreachable));
        if let Some(mode) = mode {
            world.invalidate_all(&["a"], mode, false);
        }
        world.pass(millis);
        let seen = isolate.get(PAGE, &fields);
        let row = format!("{control} {mode:?} {fields:?}: {}", seen.cache_status());
        assert_eq!(seen.status, status, "{row}");
    }
}

/// The origin takes its time to fail, and the window ends meanwhile: its own words are the answer.
#[test]
fn where_nothing_stands_in_any_more_the_failure_is_the_origins() {
    let failure: Failure = || {
        let fields = [("content-type", "text/html"), ("x-why", "maintenance")];
        Ok(Script::new(503, &fields, "down").after(10_000))
    };
    let (world, isolate) = cold("max-age=60, stale-if-error=60", false, failure);
    world.pass(115_000);
    let seen = ask(&isolate);
    let row = seen.cache_status();
    assert_eq!((seen.status, seen.text().as_str()), (503, "down"), "{row}");
    assert_eq!(seen.fields.get("x-why"), Some("maintenance"), "{row}");
}

/// Who changed the page does not get it as it was.
#[test]
fn who_changed_the_page_does_not_get_it() {
    let (world, isolate) = cold(STANDS_IN, false, || Ok(Script::new(303, &[], "")));
    assert_eq!(isolate.send("POST", PAGE, &[]).status, 303);
    world.pass(3_000);
    world.origin(|_| Err(OriginError::Unreachable));
    assert_eq!(ask(&isolate).status, 502);
}

/// The origin takes its time to fail, and the page is invalidated hard meanwhile, `max_lag` and
/// more before: what is known by then counts, be the page this isolate's or the world's.
#[test]
fn what_was_invalidated_hard_while_the_origin_failed_does_not_stand_in() {
    let failures: [Failure; 2] = [
        || Ok(Script::new(200, &[], "late").after(30_000)),
        || Ok(Script::new(503, &[], "down").after(10_000)),
    ];
    for failure in failures {
        for at_hand in [false, true] {
            let (world, lhr) = cold(STANDS_IN, true, failure);
            let ams = Isolate::new(&world, &Config { shards: 1, ..Config::default() }, "ams");
            let isolate = if at_hand { ams } else { lhr };
            world.pass(120_000);
            let begin = || {
                let (asks, head) =
                    (isolate.clone(), request("GET", PAGE, &[("accept-language", "de")]));
                world.start(async move { asks.ask(head).await })
            };
            let all: Vec<_> = (0..2).map(|_| begin()).collect();
            world.pass(1_000);
            world.invalidate_all(&["a"], Mode::Hard, false);
            world.pass(60_000);
            for seen in all {
                let seen = seen.borrow_mut().take().expect("an answer");
                assert!(seen.status >= 500, "{at_hand}: {}", seen.cache_status());
            }
        }
    }
}

/// Ranges are cut out of what stands in as out of any stored page.
#[test]
fn what_stands_in_answers_ranges() {
    for failure in FAILURES {
        for at_hand in [false, true] {
            let (world, lhr) = cold(STANDS_IN, false, failure);
            let ams = Isolate::new(&world, &Config { shards: 1, ..Config::default() }, "ams");
            let isolate = if at_hand { ams } else { lhr };
            world.pass(120_000);
            let seen = isolate.get(PAGE, &[("range", "bytes=1-2")]);
            assert_eq!(
                (seen.status, seen.text().as_str()),
                (206, "ag"),
                "{at_hand}: {}",
                seen.cache_status()
            );
            assert_eq!(seen.fields.get("content-range"), Some("bytes 1-2/4"));
            let whole = isolate.get(PAGE, &[("range", "bytes=9-")]);
            assert_eq!(whole.status, 416, "{at_hand}: {}", whole.cache_status());
        }
    }
}

/// A field that no key has makes a request one that is asked for whole; what is stored is
/// everyone's all the same.
#[test]
fn what_stands_in_answers_requests_with_fields_of_their_own() {
    for failure in FAILURES {
        for field in [("x-requested-with", "XMLHttpRequest"), ("origin", "https://a.example")] {
            let (world, isolate) = cold(STANDS_IN, true, failure);
            world.pass(120_000);
            let seen = isolate.get(PAGE, &[("accept-language", "de"), field]);
            let row = format!("{field:?}: {}", seen.cache_status());
            assert_eq!((seen.status, seen.text().as_str()), (200, "page"), "{row}");
            assert!(seen.cache_status().contains("stale-if-error"), "{row}");
        }
    }
}
