//! The engine, where a route stores cookies; ranges of what is not stored; and what is for one
//! request alone, whatever the route says.

#![allow(clippy::expect_used, reason = "a test")]

use std::cell::RefCell;
use std::rc::Rc;

use crate::world::{Isolate, Reached, Script, World};
use edge_isr::config::{Config, Route};

const PAGE: &str = "https://example.com/post/1";

fn with(defaults: Route) -> Config {
    Config { shards: 2, defaults, ..Config::default() }
}

/// The answers to requests that are sent at once.
fn at_once(isolate: &Isolate, count: usize, fields: &[(&str, &str)]) -> Vec<crate::world::Seen> {
    let slots: Vec<_> = (0..count)
        .map(|_| {
            let (isolate, head) = (isolate.clone(), crate::world::request("GET", PAGE, fields));
            isolate.world.clone().start(async move { isolate.ask(head).await })
        })
        .collect();
    isolate.world.pass(5_000);
    slots.into_iter().map(|answer| answer.take().expect("answered")).collect()
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
    let has_theirs =
        |seen: &crate::world::Seen| seen.fields.has("x-once") && seen.fields.has("x-user");
    let none = |seen: &crate::world::Seen| !seen.fields.has("x-once") && !seen.fields.has("x-user");
    for round in ["a fill", "a validation"] {
        let seen = at_once(&isolate, 4, &[]);
        assert!(seen.iter().all(|s| s.text() == "body" && s.fields.get("x-all") == Some("all")));
        assert!(seen.iter().all(|s| !s.fields.has("x-edge-isr-tags")), "{round}");
        assert!(has_theirs(&seen[0]), "{round}: {:?}", seen[0].fields);
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
        let range = reached.fields.get("range").filter(|_| holds);
        let Some(range) = range.and_then(|range| range.strip_prefix("bytes=")) else {
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

fn range(isolate: &Isolate, range: &str) -> crate::world::Seen {
    let seen = isolate.get(PAGE, &[("range", &format!("bytes={range}"))]);
    isolate.world.pass(50);
    seen
}

fn tagged(tag: &str) -> Rc<RefCell<String>> {
    Rc::new(RefCell::new(tag.to_owned()))
}

#[test]
fn a_range_of_what_is_not_stored_is_forwarded_and_not_stored() {
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
    // Once the page is stored, it is cut from it.
    isolate.get(PAGE, &[]);
    world.pass(50);
    let seen = range(&isolate, "0-4");
    assert_eq!((seen.status, seen.text().as_str()), (206, "01234"));
    assert!(seen.cache_status().contains("hit"), "{}", seen.cache_status());
}

#[test]
fn a_range_that_depends_on_the_visitors_cookies_is_asked_for_with_them() {
    let config = with(Route::default());
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

#[test]
fn a_range_request_sends_the_origin_what_is_in_the_key_and_nothing_else() {
    let config = with(Route::default());
    let world = World::new(&config);
    file(&world, &tagged("\"1\""));
    let isolate = Isolate::new(&world, &config, "ams");
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
