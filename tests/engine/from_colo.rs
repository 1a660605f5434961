//! Hits in the colo by an isolate that does not hold the page: one read of L1, and the body as L1
//! gives it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test")]

use std::rc::Rc;

use edge_isr::config::Config;
use edge_isr::engine::Incoming;
use edge_isr::engine::serve::response::Body;
use edge_isr::journal::Mode;

use crate::world::{Isolate, Reached, Script, Seen, World, request};

const PAGE: &str = "https://example.com/post/1/";
const LARGE: &str = "https://example.com/large";
const LARGE_BYTES: usize = 1 << 20;

fn config(memory: u64) -> Config {
    Config { shards: 2, memory, ..Config::default() }
}

/// A site of which one isolate of the colo has stored what the others are asked for.
fn site(vary: &'static str) -> Rc<World> {
    let world = World::new(&config(0));
    world.origin(move |reached: &Reached| {
        let fields = [
            ("cdn-cache-control", "max-age=300, stale-while-revalidate=3600"),
            ("content-type", "text/plain; charset=utf-8"),
            ("x-odd", "caf\u{e9} \u{1f363}"),
            ("etag", "\"v1\""),
            ("x-edge-isr-tags", "posts"),
            ("vary", vary),
        ];
        let large = "x".repeat(LARGE_BYTES);
        let body = if reached.target == "/large" { &large } else { "0123456789" };
        Ok(Script::new(200, &fields[..if vary.is_empty() { 5 } else { 6 }], body))
    });
    let first = Isolate::new(&world, &config(48 << 20), "ams");
    for url in [PAGE, LARGE] {
        assert_eq!(first.get(url, &[]).status, 200);
    }
    world.pass(1_000);
    world
}

/// An isolate that has news of the journal and no page.
fn cold(world: &Rc<World>, memory: u64) -> Isolate {
    let isolate = Isolate::new(world, &config(memory), "ams");
    isolate.get("https://example.com/other", &[]);
    isolate
}

fn reads(world: &World, ask: impl FnOnce() -> Seen) -> (u64, Seen) {
    world.spent();
    let seen = ask();
    let spent = world.spent();
    assert!(seen.cache_status().starts_with("edge-isr;hit"), "{}", seen.cache_status());
    assert_eq!(spent.get("origin"), None, "{spent:?}");
    (spent.get("l1_get").copied().unwrap_or(0), seen)
}

#[test]
fn a_hit_reads_the_colo_once_and_takes_memory_when_it_is_asked_for_again() {
    let world = site("");
    let isolate = cold(&world, 48 << 20);
    let counted: Vec<u64> = (0..4).map(|_| reads(&world, || isolate.get(PAGE, &[])).0).collect();
    assert_eq!(counted, [1, 1, 0, 0]);
    // What does not fit is read once a hit, for ever.
    let isolate = cold(&world, 0);
    let counted: Vec<u64> = (0..4).map(|_| reads(&world, || isolate.get(PAGE, &[])).0).collect();
    assert_eq!(counted, [1, 1, 1, 1]);
}

#[test]
fn a_variant_is_found_at_the_first_look_once_it_is_known_what_the_page_varies_on() {
    let world = site("Accept-Encoding, Accept-Language, Cookie");
    let isolate = cold(&world, 0);
    let get = || isolate.get(PAGE, &[("accept-language", "")]);
    let counted: Vec<u64> = (0..4).map(|_| reads(&world, get).0).collect();
    assert_eq!(counted, [2, 1, 1, 1]);
}

/// The variants of a page that does not vary any more are not found before it.
#[test]
fn what_is_remembered_of_a_page_gives_way_to_what_is_stored() {
    let world = site("Accept-Language");
    let isolate = cold(&world, 0);
    reads(&world, || isolate.get(PAGE, &[]));
    let fields = [("cdn-cache-control", "max-age=300"), ("x-edge-isr-tags", "posts")];
    world.origin(move |_| Ok(Script::new(200, &fields, "for all")));
    world.invalidate("posts", Mode::Hard);
    world.pass(3_000);
    let other = cold(&world, 0);
    assert_eq!(other.get(PAGE, &[]).text(), "for all");
    world.pass(1_000);
    assert_eq!(isolate.get(PAGE, &[]).text(), "for all");
    assert_eq!(isolate.get(PAGE, &[("accept-language", "de")]).text(), "for all");
}

/// Whether an answer's body is L1's own, unread.
fn is_unread(isolate: &Isolate, url: &str) -> bool {
    let (isolate, head) = (isolate.clone(), request("GET", url, &[]));
    isolate.world.clone().run(async move {
        let node = isolate.node();
        let incoming = Incoming { head: Rc::new(head), body: None, client_accept_encoding: None };
        let answer = isolate.server(&node).serve(incoming).await;
        matches!(answer.body, Body::Origin(_))
    })
}

#[test]
fn a_large_body_goes_out_unread_and_comes_into_memory_beside_the_answer() {
    let world = site("");
    let isolate = cold(&world, 48 << 20);
    assert!(is_unread(&isolate, LARGE));
    assert!(is_unread(&isolate, LARGE), "the second, too");
    world.pass(1_000);
    let (counted, seen) = reads(&world, || isolate.get(LARGE, &[]));
    assert_eq!((counted, seen.text().len()), (0, LARGE_BYTES));
    assert!(is_unread(&cold(&world, 0), LARGE));
}

/// No answer shows which tier gave it.
#[test]
fn an_answer_out_of_the_colo_is_the_one_out_of_memory() {
    let kinds: &[(&str, &[(&str, &str)])] = &[
        ("GET", &[]),
        ("HEAD", &[]),
        ("GET", &[("if-none-match", "\"v1\"")]),
        ("HEAD", &[("if-none-match", "\"v1\"")]),
        ("GET", &[("if-none-match", "\"v0\"")]),
        ("GET", &[("range", "bytes=2-4")]),
        ("GET", &[("range", "bytes=2-4,6-7")]),
        ("GET", &[("range", "bytes=99-")]),
        ("GET", &[("range", "bytes=2-4"), ("if-range", "\"v0\"")]),
        ("HEAD", &[("range", "bytes=2-4")]),
        ("GET", &[("cookie", "consent=1; _ga=2"), ("accept-language", "de")]),
    ];
    for vary in ["", "Accept-Encoding"] {
        let world = site(vary);
        let warm = cold(&world, 48 << 20);
        (0..3).for_each(|_| drop(warm.get(PAGE, &[])));
        for (method, fields) in kinds {
            let isolate = cold(&world, 0);
            let (_, near) = reads(&world, || warm.send(method, PAGE, fields));
            for _ in 0..2 {
                let (_, far) = reads(&world, || isolate.send(method, PAGE, fields));
                assert_eq!(far.status, near.status, "{method} {fields:?}");
                assert_eq!(far.fields, near.fields, "{method} {fields:?}");
                assert_eq!(far.body, near.body, "{method} {fields:?}");
            }
        }
    }
}

#[test]
fn what_was_invalidated_does_not_answer() {
    let world = site("");
    let isolate = cold(&world, 0);
    reads(&world, || isolate.get(PAGE, &[]));
    world.invalidate("posts", Mode::Hard);
    world.pass(3_000);
    assert!(!isolate.get(PAGE, &[]).cache_status().starts_with("edge-isr;hit"));
}
