//! RFC 9111 through the whole engine: what no single decision shows.
#![allow(clippy::expect_used, reason = "a test")]

use std::cell::Cell;
use std::rc::Rc;

use crate::world::{Isolate, Reached, Script, World};
use edge_isr::base::time::Seconds;
use edge_isr::config::{Config, ForwardHeaders, Route};

const PAGE: &str = "https://example.com/page";

fn with(defaults: Route) -> Config {
    Config { shards: 2, defaults, ..Config::default() }
}

/// A site that counts its renders; unsafe methods answer with the given status and fields.
fn site(world: &Rc<World>, status: u16, fields: &'static [(&'static str, &'static str)]) {
    let renders = Rc::new(Cell::new(0));
    world.origin(move |reached: &Reached| match reached.method.as_str() {
        "GET" => {
            renders.set(renders.get() + 1);
            let body = format!("render {}", renders.get());
            Ok(Script::new(200, &[("cache-control", "max-age=300"), ("etag", "\"1\"")], &body))
        }
        _ => Ok(Script::new(status, fields, "done")),
    });
}

fn is_hit(seen: &crate::world::Seen) -> bool {
    seen.cache_status().contains("edge-isr;hit")
}

/// §5.2.1: what a visitor says of caching counts only where the route listens.
#[test]
fn request_directives_are_heard_only_where_the_route_says_so() {
    for fields in [
        ("cache-control", "no-cache"),
        ("cache-control", "no-store"),
        ("cache-control", "max-age=0"),
        ("cache-control", "min-fresh=9999"),
        ("pragma", "no-cache"),
    ] {
        for (listens, origin) in [(false, None), (true, Some(&1))] {
            let config = with(Route { request_directives: listens, ..Route::default() });
            let world = World::new(&config);
            site(&world, 200, &[]);
            let isolate = Isolate::new(&world, &config, "ams");
            isolate.get(PAGE, &[]);
            world.pass(1_500);
            world.spent();
            let seen = isolate.get(PAGE, &[fields]);
            assert_eq!(seen.status, 200, "{fields:?}");
            assert_eq!(world.spent().get("origin"), origin, "{fields:?}, listens: {listens}");
        }
    }
    // §5.2.1.7: nothing stored may answer, and the origin may not be asked.
    for (listens, status) in [(false, 200), (true, 504)] {
        let config = with(Route { request_directives: listens, ..Route::default() });
        let world = World::new(&config);
        site(&world, 200, &[]);
        let isolate = Isolate::new(&world, &config, "ams");
        let seen = isolate.get(PAGE, &[("cache-control", "only-if-cached")]);
        assert_eq!(seen.status, status);
    }
}

/// §4.4: a successful unsafe request invalidates its URL, and what Location and Content-Location
/// name on its host: at once in the isolate that passed it, within the bound in every colo.
#[test]
fn unsafe_requests_invalidate_their_url_and_what_they_name_everywhere() {
    const NAMED: &[(&str, &str)] = &[("location", "/list?a=1"), ("content-location", "../other")];
    let pages = [PAGE, "https://example.com/list?a=1", "https://example.com/other"];
    for method in ["POST", "PUT", "PATCH", "DELETE", "UNKNOWN"] {
        for (status, invalidates) in [(200, true), (303, true), (404, false), (500, false)] {
            let config = with(Route::default());
            let world = World::new(&config);
            site(&world, status, NAMED);
            let (ams, fra) =
                (Isolate::new(&world, &config, "ams"), Isolate::new(&world, &config, "fra"));
            let fill = |isolate: &Isolate, page| {
                let text = isolate.get(page, &[]).text();
                world.pass(50);
                text
            };
            let olds = pages.map(|page| (page, fill(&ams, page), fill(&fra, page)));
            assert_eq!(ams.send(method, PAGE, &[]).status, status);
            for (page, old, _) in &olds {
                let kept = ams.get(page, &[]).text() == *old;
                assert_eq!(kept, !invalidates, "{method} {status} {page}: at once");
            }
            world.pass(2_100);
            for (page, _, old) in &olds {
                let kept = fra.get(page, &[]).text() == *old;
                assert_eq!(kept, !invalidates, "{method} {status} {page}: everywhere");
            }
        }
    }
}

#[test]
fn unsafe_requests_invalidate_nothing_of_another_host_and_nothing_where_the_route_says_so() {
    const ELSEWHERE: &[(&str, &str)] =
        &[("location", "https://other.example/page"), ("content-location", "//other.example/page")];
    let other = "https://other.example/page";
    for (invalidates, hit) in [(true, false), (false, true)] {
        let config = with(Route { unsafe_invalidates: invalidates, ..Route::default() });
        let world = World::new(&config);
        site(&world, 200, ELSEWHERE);
        let isolate = Isolate::new(&world, &config, "ams");
        for page in [PAGE, other] {
            isolate.get(page, &[]);
            world.pass(50);
        }
        isolate.send("DELETE", PAGE, &[]);
        assert!(is_hit(&isolate.get(other, &[])), "another host's page is out of its reach");
        assert_eq!(is_hit(&isolate.get(PAGE, &[])), hit);
    }
    // §4.4: a safe method never does.
    let world = World::new(&with(Route::default()));
    site(&world, 200, &[]);
    let isolate = Isolate::new(&world, &with(Route::default()), "ams");
    isolate.get(PAGE, &[]);
    world.pass(50);
    for method in ["OPTIONS", "TRACE", "HEAD"] {
        isolate.send(method, PAGE, &[]);
        assert!(is_hit(&isolate.get(PAGE, &[])), "{method}");
    }
}

/// §4.3.5: a HEAD of what is stale is asked for as a GET, so it renews the whole page, and what it
/// brings is stored.
#[test]
fn a_head_renews_what_is_stored_as_a_get_does() {
    let config = with(Route::default());
    for validates in [true, false] {
        let world = World::new(&config);
        let rendered = Rc::new(Cell::new(0));
        let count = Rc::clone(&rendered);
        world.origin(move |reached: &Reached| {
            assert_eq!(reached.method, "GET");
            let news = count.get().to_string();
            count.set(count.get() + 1);
            let fields = [("cache-control", "max-age=10"), ("etag", "\"1\""), ("x-news", &news)];
            match validates && reached.fields.has("if-none-match") {
                true => Ok(Script::new(304, &fields, "")),
                false => Ok(Script::new(200, &fields, "body")),
            }
        });
        let isolate = Isolate::new(&world, &config, "ams");
        isolate.get(PAGE, &[]);
        world.pass(11_000);
        let head = isolate.send("HEAD", PAGE, &[]);
        assert_eq!((head.status, head.text().as_str()), (200, ""));
        assert_eq!(head.fields.get("x-news"), Some("1"));
        world.pass(50);
        let hit = isolate.get(PAGE, &[]);
        assert!(is_hit(&hit), "{}", hit.cache_status());
        assert_eq!((hit.text().as_str(), hit.fields.get("x-news")), ("body", Some("1")));
        // And a HEAD before anything is stored fills the page.
        isolate.send("HEAD", "https://example.com/2", &[]);
        world.pass(50);
        assert_eq!(isolate.get("https://example.com/2", &[]).text(), "body");
        assert_eq!(rendered.get(), 3);
    }
}

/// §4.2.1: errors are kept for as long as the route or the origin says, and then no longer.
#[test]
fn negative_answers_are_kept_where_the_route_or_the_origin_says_so() {
    let route = Route { negative_ttl: vec![(404, Seconds(10))], ..Route::default() };
    let config = with(route);
    let world = World::new(&config);
    world.origin(|reached: &Reached| match reached.target.as_str() {
        "/gone" => Ok(Script::new(410, &[("cache-control", "max-age=5")], "gone")),
        "/error" => Ok(Script::new(500, &[], "error")),
        _ => Ok(Script::new(404, &[], "nothing")),
    });
    let isolate = Isolate::new(&world, &config, "ams");
    for (path, status, seconds) in [("missing", 404, 10), ("gone", 410, 5), ("error", 500, 0)] {
        let url = format!("https://example.com/{path}");
        isolate.get(&url, &[]);
        world.pass(500);
        let seen = isolate.get(&url, &[]);
        assert_eq!((seen.status, is_hit(&seen)), (status, seconds > 0), "{path}");
        world.pass(seconds * 1_000);
        assert!(!is_hit(&isolate.get(&url, &[])), "{path}");
        world.pass(500);
    }
}

/// §4.1: visitors who say the same of what they take, in whatever order and with whatever weights,
/// share a variant.
#[test]
fn accept_language_and_accept_encoding_are_one_for_those_who_choose_alike() {
    let route = Route { languages: vec!["de".to_owned(), "en".to_owned()], ..Route::default() };
    let config = with(Route { forward_headers: ForwardHeaders::Listed(Vec::new()), ..route });
    let world = World::new(&config);
    world.origin(|reached: &Reached| {
        let accepts = ["accept-language", "accept-encoding"];
        let body: Vec<&str> = accepts.iter().filter_map(|name| reached.fields.get(name)).collect();
        let fields = [
            ("cache-control", "max-age=300"),
            ("vary", "Accept-Language, Accept-Encoding"),
            ("x-edge-isr-tags", "a"),
        ];
        Ok(Script::new(200, &fields, &body.join(" ")))
    });
    let isolate = Isolate::new(&world, &config, "ams");
    let ask = |language: &str, encoding: &str| {
        let fields = [("accept-language", language), ("accept-encoding", encoding)];
        let seen = isolate.get(PAGE, &fields);
        world.pass(50);
        seen
    };
    let first = ask("en;q=0.8, fr", "gzip, br;q=0.5, deflate");
    for (language, encoding) in [
        ("fr, en-GB", "br, gzip"),
        ("EN", "deflate, gzip;q=0.1, br"),
        ("de;q=0, en;q=0.1", "br;q=1.0,gzip;q=0.5"),
        ("es;q=0.9, en;q=0.2, de;q=0.1", "x-odd, br, gzip"),
    ] {
        let seen = ask(language, encoding);
        assert!(is_hit(&seen), "{language} | {encoding}: {}", seen.cache_status());
        assert_eq!(seen.text(), first.text());
    }
    for (language, encoding) in [("de", "br, gzip"), ("en", "gzip"), ("en", "br;q=0, gzip;q=0")] {
        let seen = ask(language, encoding);
        assert!(!is_hit(&seen), "{language} | {encoding}: {}", seen.cache_status());
    }
}
