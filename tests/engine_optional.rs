//! The engine, where a route asks for more than is safe by default: cookies, parts of responses. And
//! what is for one request alone, whatever the route says.

#![allow(clippy::expect_used, reason = "a test")]

mod common;
mod world;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use edge_isr::config::{Config, Route};
use edge_isr::engine::port::OriginError;
use edge_isr::journal::Mode;
use world::{Isolate, Reached, Script, World};

const PAGE: &str = "https://example.com/post/1";

fn with(defaults: Route) -> Config {
    Config { shards: 2, defaults, ..Config::default() }
}

/// The answers to requests that are sent at once.
fn at_once(isolate: &Isolate, count: usize, fields: &[(&str, &str)]) -> Vec<world::Seen> {
    let asked: Vec<_> = (0..count)
        .map(|_| {
            let (isolate, head) = (isolate.clone(), world::request("GET", PAGE, fields));
            isolate.world.clone().start(async move { isolate.ask(head).await })
        })
        .collect();
    isolate.world.pass(5_000);
    asked.into_iter().map(|answer| answer.take().expect("answered")).collect()
}

#[test]
fn fields_for_one_request_reach_it_and_nobody_else() {
    let config = with(Route::default());
    let world = World::new(&config);
    world.origin(|reached: &Reached| {
        let limits = "max-age=10, no-cache=\"x-once, x-edge-isr-tags\", private=\"x-user\"";
        let fields = [
            ("cache-control", limits),
            ("x-edge-isr-tags", "post:1"),
            ("etag", "\"1\""),
            ("x-all", "all"),
            ("x-once", "once"),
            ("x-user", "user"),
        ];
        match reached.fields.has("if-none-match") {
            true => Ok(Script::new(304, &fields, "").after(100)),
            false => Ok(Script::new(200, &fields, "body").after(100)),
        }
    });
    let isolate = Isolate::new(&world, &config, "ams");
    let own = |seen: &world::Seen| seen.fields.has("x-once") && seen.fields.has("x-user");
    let none = |seen: &world::Seen| !seen.fields.has("x-once") && !seen.fields.has("x-user");
    for round in ["a fill", "a validation"] {
        let seen = at_once(&isolate, 4, &[]);
        assert!(seen.iter().all(|s| s.text() == "body" && s.fields.get("x-all") == Some("all")));
        assert!(seen.iter().all(|s| !s.fields.has("x-edge-isr-tags")), "{round}");
        assert!(own(&seen[0]), "{round}: {:?}", seen[0].fields);
        for seen in &seen[1..] {
            assert!(none(seen) && seen.cache_status().contains("collapsed"), "{round}");
        }
        let hit = isolate.get(PAGE, &[]);
        assert!(none(&hit) && hit.cache_status().contains("hit"), "{round}");
        world.pass(11_000);
    }
    assert_eq!(world.spent()["origin"], 2);
}

#[test]
fn a_cookie_for_everyone_is_stored_where_the_route_says_so() {
    let config = with(Route { store_set_cookie: true, ..Route::default() });
    let world = World::new(&config);
    world.origin(|reached: &Reached| {
        assert!(!reached.fields.has("cookie"), "no cookie of a visitor reaches the origin");
        let fields =
            [("cache-control", "max-age=10"), ("set-cookie", "seen=1"), ("x-edge-isr-tags", "a")];
        Ok(Script::new(200, &fields, "body"))
    });
    let isolate = Isolate::new(&world, &config, "ams");
    isolate.get(PAGE, &[("cookie", "_ga=1")]);
    world.pass(100);
    world.spent();
    for fields in [[("cookie", "_ga=2")].as_slice(), &[]] {
        let hit = isolate.get(PAGE, fields);
        assert!(hit.cache_status().contains("hit"), "{}", hit.cache_status());
        assert_eq!(hit.fields.get("set-cookie"), Some("seen=1"));
    }
    assert_eq!(world.spent().len(), 0, "a hit costs nothing");
    // Another isolate, whose settings are older or newer, hands nobody's cookie out.
    let strict = Isolate::new(&world, &with(Route::default()), "ams");
    let seen = strict.get(PAGE, &[]);
    assert_eq!((seen.text().as_str(), seen.fields.get("set-cookie")), ("body", None));
}

const BODY: &str = "0123456789";

/// A site of one file of ten bytes, which honours `Range` and `If-Range`.
fn file(world: &Rc<World>, tag: &Rc<RefCell<String>>) {
    let tag = Rc::clone(tag);
    world.origin(move |reached: &Reached| {
        let tag = tag.borrow().clone();
        let mut fields = vec![("cache-control", "max-age=300"), ("x-edge-isr-tags", "file:1")];
        if !tag.is_empty() {
            fields.push(("etag", tag.as_str()));
        }
        let holds = reached.fields.get("if-range").is_none_or(|condition| condition == tag);
        let asked = reached.fields.get("range").filter(|_| holds);
        let Some(range) = asked.and_then(|range| range.strip_prefix("bytes=")) else {
            return Ok(Script::new(200, &fields, BODY).after(20));
        };
        let (first, last) = match range.split_once('-').expect("a range") {
            ("", count) => (10 - count.parse::<usize>().expect("a count"), 9),
            (first, "") => (first.parse().expect("a position"), 9),
            (first, last) => (first.parse().expect("first"), last.parse().expect("last")),
        };
        let body = &BODY[first..=last];
        let (said, length) = (format!("bytes {first}-{last}/10"), body.len().to_string());
        fields.extend([("content-range", said.as_str()), ("content-length", length.as_str())]);
        Ok(Script::new(206, &fields, body).after(20))
    });
}

fn keeping() -> Config {
    with(Route { store_partial: true, ..Route::default() })
}

fn range(isolate: &Isolate, range: &str) -> world::Seen {
    let seen = isolate.get(PAGE, &[("range", &format!("bytes={range}"))]);
    isolate.world.pass(50);
    seen
}

fn tagged(tag: &str) -> Rc<RefCell<String>> {
    Rc::new(RefCell::new(tag.to_owned()))
}

#[test]
fn a_stored_part_answers_what_is_within_it_at_no_cost_and_nothing_else() {
    let world = World::new(&keeping());
    file(&world, &tagged("\"1\""));
    let isolate = Isolate::new(&world, &keeping(), "ams");
    let first = range(&isolate, "2-6");
    assert_eq!((first.status, first.text().as_str()), (206, "23456"));
    let status = "edge-isr;fwd=uri-miss;fwd-status=206;stored;detail=range";
    assert_eq!(first.cache_status(), status);
    assert!(!first.fields.has("x-edge-isr-tags"));
    let spent = world.spent();
    assert_eq!((spent.get("shard"), spent.get("l2_put")), (None, None), "{spent:?}");
    for (asked, want, said) in [("2-6", "23456", "2-6"), ("3-4", "34", "3-4"), ("6-6", "6", "6-6")]
    {
        let hit = range(&isolate, asked);
        assert_eq!((hit.status, hit.text().as_str()), (206, want));
        assert_eq!(hit.fields.get("content-range"), Some(format!("bytes {said}/10").as_str()));
        assert_eq!(hit.fields.get("content-length"), Some(want.len().to_string().as_str()));
        assert!(hit.fields.has("age") && hit.cache_status().contains("hit;ttl="));
    }
    let same = isolate.get(PAGE, &[("range", "bytes=3-4"), ("if-none-match", "\"1\"")]);
    assert_eq!((same.status, same.text().as_str()), (304, ""));
    let spent = world.spent();
    assert_eq!(spent.keys().collect::<Vec<_>>(), [&"l1_get"], "no object, no L2, no origin");
    // Another isolate of the colo has it from L1.
    let second = Isolate::new(&world, &keeping(), "ams");
    assert_eq!(range(&second, "3-5").text(), "345");
    assert_eq!(world.spent().get("origin"), None);
    for (method, fields) in
        [("GET", [].as_slice()), ("HEAD", &[]), ("HEAD", &[("range", "bytes=3-4")])]
    {
        let isolate = Isolate::new(&world, &keeping(), "ams");
        let seen = isolate.send(method, PAGE, fields);
        let want = if method == "GET" { BODY } else { "" };
        assert_eq!((seen.status, seen.text().as_str()), (200, want));
        assert!(!seen.fields.has("content-range"));
    }
}

#[test]
fn a_part_is_no_answer_once_it_was_invalidated_or_is_stale() {
    for mode in [Some(Mode::Soft), Some(Mode::Hard), None] {
        let world = World::new(&keeping());
        file(&world, &tagged("\"1\""));
        let isolate = Isolate::new(&world, &keeping(), "ams");
        range(&isolate, "0-4");
        match mode {
            Some(mode) => drop(world.invalidate("file:1", mode)),
            None => world.pass(300_000),
        }
        world.pass(2_100);
        world.spent();
        let seen = range(&isolate, "1-2");
        assert!(!seen.cache_status().contains("hit"), "{mode:?}: {}", seen.cache_status());
        assert_eq!(world.spent()["origin"], 1);
        // What is put together with it is only ever what came after.
        assert_eq!(isolate.get(PAGE, &[]).text(), BODY, "{mode:?}");
        let last = world.reached.borrow().last().cloned().expect("a request");
        assert_eq!(last.fields.get("range"), None, "{mode:?}: [1, 2] has neither end");
    }
}

#[test]
fn parts_grow_together_and_become_the_whole() {
    let world = World::new(&keeping());
    file(&world, &tagged("\"1\""));
    let isolate = Isolate::new(&world, &keeping(), "ams");
    for asked in ["3-4", "5-7", "0-2", "8-9"] {
        range(&isolate, asked);
    }
    world.spent();
    let whole = isolate.get(PAGE, &[]);
    assert_eq!((whole.status, whole.text().as_str()), (200, BODY));
    assert!(whole.cache_status().contains("hit"), "{}", whole.cache_status());
    assert_eq!(whole.fields.get("content-length"), Some("10"));
    assert_eq!(range(&isolate, "-4").text(), "6789");
    assert_eq!(world.spent().get("origin"), None);
}

#[test]
fn a_request_for_the_whole_asks_for_the_rest_alone() {
    for (have, want) in [("0-5", "bytes=6-"), ("-4", "bytes=0-5")] {
        let world = World::new(&keeping());
        file(&world, &tagged("\"1\""));
        let isolate = Isolate::new(&world, &keeping(), "ams");
        range(&isolate, have);
        let answers = at_once(&isolate, 3, &[]);
        for answer in &answers {
            assert_eq!((answer.status, answer.text().as_str()), (200, BODY), "{have}");
            assert_eq!(answer.fields.get("content-length"), Some("10"));
            assert!(!answer.fields.has("content-range"));
        }
        let told = answers[0].cache_status();
        assert_eq!(told, "edge-isr;fwd=partial;fwd-status=206;stored");
        assert!(answers[1].cache_status().contains("collapsed"));
        let reached = world.reached.borrow();
        let (rest, count) = (reached.last().expect("a request"), reached.len());
        assert_eq!((rest.fields.get("range"), count), (Some(want), 2));
        assert_eq!(rest.fields.get("if-range"), Some("\"1\""));
        drop(reached);
        // It is a page like any other now, in every colo.
        world.spent();
        let other = Isolate::new(&world, &keeping(), "fra");
        assert_eq!(other.get(PAGE, &[]).text(), BODY);
        assert_eq!(world.spent().get("origin"), None, "{have}");
    }
}

#[test]
fn a_part_of_another_representation_is_not_completed() {
    let world = World::new(&keeping());
    let tag = tagged("\"1\"");
    file(&world, &tag);
    let isolate = Isolate::new(&world, &keeping(), "ams");
    range(&isolate, "0-4");
    *tag.borrow_mut() = "\"2\"".to_owned();
    let whole = isolate.get(PAGE, &[]);
    assert_eq!((whole.text().as_str(), whole.fields.get("etag")), (BODY, Some("\"2\"")));
    assert_eq!(world.spent()["origin"], 2, "If-Range brought the whole at once");
}

#[test]
fn without_a_strong_validator_the_whole_is_asked_for_and_leniently_the_rest_first() {
    for (lenient, asked) in [(false, vec![None]), (true, vec![Some("bytes=5-"), None])] {
        let route = Route { store_partial: true, lenient_range: lenient, ..Route::default() };
        let world = World::new(&with(route.clone()));
        file(&world, &tagged("W/\"1\""));
        let isolate = Isolate::new(&world, &with(route), "ams");
        range(&isolate, "0-4");
        world.reached.borrow_mut().clear();
        assert_eq!(isolate.get(PAGE, &[]).text(), BODY);
        let reached = world.reached.borrow();
        let ranges: Vec<_> = reached.iter().map(|r| r.fields.get("range")).collect();
        assert_eq!(ranges, asked, "{lenient}");
        drop(reached);
        world.pass(100);
        assert!(isolate.get(PAGE, &[]).cache_status().contains("hit"));
    }
}

/// A part that says it has six bytes and has five.
#[test]
fn a_contradicting_part_is_stored_only_leniently_and_then_for_what_it_has() {
    for lenient in [false, true] {
        let route = Route { store_partial: true, lenient_range: lenient, ..Route::default() };
        let world = World::new(&with(route.clone()));
        world.origin(|_| {
            let fields = [
                ("cache-control", "max-age=300"),
                ("content-range", "bytes 4-9/10"),
                ("content-length", "5"),
                ("etag", "\"1\""),
            ];
            Ok(Script::new(206, &fields, "45678"))
        });
        let isolate = Isolate::new(&world, &with(route), "ams");
        let first = range(&isolate, "-6");
        assert_eq!(first.fields.get("content-range"), Some("bytes 4-9/10"), "the origin's own");
        for (asked, want, said) in [("6-8", "678", "bytes 6-8/*"), ("-1", "8", "bytes 8-8/*")] {
            let seen = range(&isolate, asked);
            let hit = seen.cache_status().contains("hit");
            assert_eq!(hit, lenient, "{}", seen.cache_status());
            if lenient {
                assert_eq!(seen.text(), want);
                assert_eq!(seen.fields.get("content-range"), Some(said));
            }
        }
        let beyond = range(&isolate, "9-");
        assert!(!beyond.cache_status().contains("hit"), "the byte that did not come is not there");
    }
}

#[test]
fn a_part_that_breaks_off_is_not_stored() {
    let world = World::new(&keeping());
    let broken = Rc::new(Cell::new(0));
    let flag = Rc::clone(&broken);
    world.origin(move |_| {
        let fields = [
            ("cache-control", "max-age=300"),
            ("content-range", "bytes 0-4/10"),
            ("content-length", "5"),
        ];
        let mut script = Script::new(206, &fields, if flag.get() == 0 { "012" } else { "01234" });
        if flag.get() == 1 {
            script.end = Err(OriginError::Broken);
        }
        Ok(script)
    });
    let isolate = Isolate::new(&world, &keeping(), "ams");
    for state in 0..3 {
        broken.set(state);
        let seen = range(&isolate, "0-4");
        assert!(seen.cache_status().contains("fwd=uri-miss"), "{state}: {}", seen.cache_status());
        assert_eq!(seen.body.is_err(), state < 2, "{state}");
    }
    assert!(range(&isolate, "0-4").cache_status().contains("hit"));
}

#[test]
fn parts_of_variants_are_kept_apart() {
    let world = World::new(&keeping());
    world.origin(|reached: &Reached| {
        let language = reached.fields.get("accept-language").unwrap_or("--");
        let fields = [
            ("cache-control", "max-age=300"),
            ("content-range", "bytes 0-1/10"),
            ("content-length", "2"),
            ("vary", "Accept-Language"),
        ];
        Ok(Script::new(206, &fields, language))
    });
    let isolate = Isolate::new(&world, &keeping(), "ams");
    let ask = |language: &str| {
        let fields = [("range", "bytes=0-1"), ("accept-language", language)];
        let seen = isolate.get(PAGE, &fields);
        world.pass(50);
        seen
    };
    for round in 0..2 {
        for language in ["de", "fr"] {
            let seen = ask(language);
            assert_eq!(seen.text(), language);
            assert_eq!(seen.cache_status().contains("hit"), round == 1, "{language}");
        }
    }
}

#[test]
fn what_is_too_large_goes_through_unstored() {
    let config = Config { max_body: 4, ..keeping() };
    let world = World::new(&config);
    file(&world, &tagged("\"1\""));
    let isolate = Isolate::new(&world, &config, "ams");
    for _ in 0..2 {
        let seen = range(&isolate, "0-4");
        assert_eq!(seen.text(), "01234");
        assert_eq!(seen.cache_status(), "edge-isr;fwd=uri-miss;fwd-status=206;detail=range");
    }
    range(&isolate, "0-2");
    let grown = range(&isolate, "3-5");
    assert!(!grown.cache_status().contains("stored"), "both together are too large");
    assert_eq!(range(&isolate, "1-2").text(), "12");
    assert_eq!(world.spent()["origin"], 4);
}

#[test]
fn without_the_setting_ranges_are_forwarded_and_not_stored() {
    let config = with(Route::default());
    let world = World::new(&config);
    file(&world, &tagged("\"1\""));
    let isolate = Isolate::new(&world, &config, "ams");
    for _ in 0..2 {
        let seen = range(&isolate, "0-4");
        assert_eq!((seen.status, seen.text().as_str()), (206, "01234"));
        assert_eq!(seen.cache_status(), "edge-isr;fwd=uri-miss;fwd-status=206;detail=range");
    }
    let spent = world.spent();
    assert_eq!((spent["origin"], spent.get("l1_put")), (2, None), "{spent:?}");
    // What another version stored is not taken where the setting is off.
    let keeping = Isolate::new(&world, &keeping(), "ams");
    range(&keeping, "0-4");
    assert!(!range(&isolate, "0-4").cache_status().contains("hit"));
}

#[test]
fn a_range_that_depends_on_the_visitors_cookies_is_asked_for_with_them() {
    for config in [with(Route::default()), keeping()] {
        let world = World::new(&config);
        world.origin(|reached: &Reached| match reached.fields.get("cookie") {
            None => Ok(Script::new(403, &[("cache-control", "private")], "no")),
            Some(cookie) => {
                let fields = [("cache-control", "private"), ("content-range", "bytes 0-4/10")];
                Ok(Script::new(206, &fields, cookie))
            }
        });
        let isolate = Isolate::new(&world, &config, "ams");
        for (cookie, requests) in [("a=1", 2), ("a=2", 1)] {
            let seen = isolate.get(PAGE, &[("range", "bytes=0-4"), ("cookie", cookie)]);
            assert_eq!((seen.status, seen.text().as_str()), (206, cookie));
            world.pass(100);
            assert_eq!(world.spent()["origin"], requests, "{cookie}: then it passes at once");
        }
    }
}

#[test]
fn a_range_request_sends_the_origin_what_is_in_the_key_and_nothing_else() {
    let world = World::new(&keeping());
    file(&world, &tagged("\"1\""));
    let isolate = Isolate::new(&world, &keeping(), "ams");
    let fields = [("range", "bytes=0-4"), ("referer", "https://evil/"), ("cookie", "a=1")];
    isolate.get(&format!("{PAGE}?utm_source=x"), &fields);
    let reached = world.reached.borrow().last().cloned().expect("a request");
    assert_eq!(reached.target, "/post/1");
    assert!(!reached.fields.has("referer") && !reached.fields.has("cookie"));
    // With a field that a site may look at, it goes whole; and what comes is not stored.
    world.pass(100);
    world.spent();
    let fields = [("range", "bytes=0-4"), ("x-evil", "1")];
    let other = "https://example.com/post/2";
    let seen = isolate.get(other, &fields);
    assert!(seen.cache_status().contains("detail=request-fields"), "{}", seen.cache_status());
    assert!(world.reached.borrow().last().is_some_and(|reached| reached.fields.has("x-evil")));
    world.pass(100);
    assert_eq!(world.spent().get("l1_put"), None);
    let seen = isolate.get(other, &[("range", "bytes=0-4")]);
    assert!(!seen.cache_status().contains("hit"), "{}", seen.cache_status());
}
