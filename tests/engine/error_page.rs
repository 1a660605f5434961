//! What visitors get where the edge itself has to answer: a page in a browser, a problem document
//! elsewhere.

use crate::world::{Isolate, World};
use edge_isr::config::{Config, ErrorPage};
use edge_isr::control::healthz::HealthReason;
use edge_isr::engine::port::OriginError;
use edge_isr::http::accept::prefers_html;

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

#[test]
fn browsers_are_known_by_accept() {
    for (accept, html) in [
        (BROWSER, true),
        ("text/html", true),
        ("application/xhtml+xml", true),
        ("text/html, application/json;q=0.9", true),
        ("application/json, text/html;q=0.9", false),
        ("application/json", false),
        ("application/vnd.api+json, text/html;q=0.5", false),
        ("text/html;q=0.5, application/ld+json;profile=\"x\"", false),
        ("text/html, application/geo+json;q=0.9", true),
        ("text/vnd.turbo-stream.html, text/html, application/xhtml+xml", true),
        ("*/*", false),
        ("text/*", false),
        ("text/html;q=0", false),
        ("", false),
    ] {
        assert_eq!(prefers_html(accept), html, "{accept}");
    }
}

#[test]
fn a_browser_gets_a_page_with_the_same_status_and_cache_status() {
    let page = ErrorPage { title: "Closed <1>".to_owned(), ..ErrorPage::default() };
    let config = Config { shards: 2, error_page: page, ..Config::default() };
    for (error, status) in [
        (OriginError::Unreachable, 502),
        (OriginError::Timeout, 504),
        (OriginError::Busy, 503),
        (OriginError::Broken, 502),
        (OriginError::Unreadable, 502),
    ] {
        for cookie in ["_ga=1", "sessionid=1"] {
            let world = World::new(&config);
            world.origin(move |_| Err(error));
            let isolate = Isolate::new(&world, &config, "ams");
            let url = "https://example.com/page";
            let program = isolate.get(url, &[("accept", "application/json"), ("cookie", cookie)]);
            let person = isolate.get(url, &[("accept", BROWSER), ("cookie", cookie)]);
            assert_eq!((program.status, person.status), (status, status));
            assert_eq!(program.cache_status(), person.cache_status());
            assert_eq!(program.fields.get("content-type"), Some("application/problem+json"));
            assert_eq!(person.fields.get("content-type"), Some("text/html; charset=utf-8"));
            assert_eq!(person.fields.get("cache-control"), Some("no-store"));
            assert!(person.text().contains("<h1>Closed &lt;1&gt;</h1>"), "{}", person.text());
            assert!(person.text().contains(error.as_str()), "{}", person.text());
            assert!(program.text().contains(error.detail()), "{}", program.text());
            assert_eq!(isolate.send("HEAD", url, &[("accept", BROWSER)]).text(), "");
        }
    }
}

#[test]
fn so_it_is_where_a_request_is_refused_or_the_settings_are_wrong() {
    let config = Config { shards: 2, ..Config::default() };
    let world = World::new(&config);
    let isolate = Isolate::new(&world, &config, "ams");
    let long = format!("https://example.com/{}", "a".repeat(20_000));
    for (url, fields, status) in [
        (long.as_str(), [("accept", BROWSER), ("x-a", "1")], 414),
        ("https://example.com/a", [("accept", BROWSER), ("cdn-loop", "edge-isr")], 508),
    ] {
        let seen = isolate.get(url, &fields);
        assert_eq!(seen.status, status);
        assert!(seen.text().starts_with("<!doctype html>"), "{}", seen.text());
    }
    let seen = isolate.get_unconfigured("https://example.com/a", &HealthReason::OriginIsWorker);
    assert_eq!(
        (seen.status, seen.fields.get("content-type")),
        (508, Some("application/problem+json"))
    );
}

/// What the origin or a stored page says is never taken for the edge's own.
#[test]
fn a_problem_document_of_the_origin_stays_one() {
    let config = Config { shards: 2, ..Config::default() };
    let world = World::new(&config);
    let said = [("content-type", "application/problem+json"), ("cache-control", "s-maxage=60")];
    world.origin(move |_| Ok(crate::world::Script::new(404, &said, "{}")));
    let isolate = Isolate::new(&world, &config, "ams");
    for _ in 0..2 {
        let seen = isolate.get("https://example.com/a", &[("accept", BROWSER)]);
        assert_eq!((seen.status, seen.text().as_str()), (404, "{}"));
        world.pass(100);
    }
}
