//! Answers that are there at once are those that the longer way gives: two worlds of one history,
//! of which one never takes the short way.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::rc::Rc;

use proptest::prelude::*;

use crate::common::visit::start;
use crate::world::{Isolate, Node, Script, Seen, World};
use edge_isr::config::{Config, ForwardHeaders, PathPattern, Route, RouteRule, VaryOn};
use edge_isr::engine::Incoming;
use edge_isr::engine::serve::at_once::Start;
use edge_isr::journal::Mode;

const SITE: &str = "https://example.com";

/// What a path's origin says beside its body.
const PATHS: &[(&str, &[(&str, &str)])] = &[
    ("/plain", &[("etag", "\"v1\""), ("x-edge-isr-tags", "post:1")]),
    ("/untagged?b=2&a=1", &[("last-modified", "Mon, 02 Jan 2006 15:04:05 GMT")]),
    ("/nothing", &[("x-edge-isr-tags", "post:1")]),
    ("/vary", &[("vary", "Accept-Encoding, Accept-Language, Cookie"), ("etag", "\"v1\"")]),
    ("/vary/odd", &[("vary", "X-Odd, Origin, User-Agent")]),
    ("/private", &[("cache-control", "private")]),
    ("/near", &[("cache-status", "near; hit"), ("age", "7"), ("x-edge-isr-tags", "post:2")]),
    ("/listed/1", &[]),
    ("/all/1", &[("vary", "X-Odd")]),
    ("/device/1", &[("x-edge-isr-tags", "post:3")]),
    ("/heeds/1", &[("etag", "W/\"w\"")]),
    ("/large", &[]),
    ("/large/vary", &[("vary", "Accept")]),
];

/// What a visitor says.
const FIELDS: &[(&str, &str)] = &[
    ("accept", "text/html"),
    ("accept", "text/event-stream"),
    ("accept-encoding", "gzip, br"),
    ("accept-encoding", "identity"),
    ("accept-language", "de, en;q=0.5"),
    ("authorization", "Bearer x"),
    ("cache-control", "no-cache"),
    ("cache-control", "max-age=0, only-if-cached"),
    ("cdn-loop", "other"),
    ("cdn-loop", "edge-isr"),
    ("connection", "x-listed, accept-language"),
    ("content-length", "3"),
    ("cookie", "theme=dark; consent=yes"),
    ("cookie", "sessionid=1"),
    ("if-match", "\"v1\""),
    ("if-modified-since", "Mon, 02 Jan 2006 15:04:05 GMT"),
    ("if-none-match", "\"v1\", W/\"w\""),
    ("if-range", "\"v1\""),
    ("origin", "https://other.example"),
    ("pragma", "no-cache"),
    ("range", "bytes=0-1"),
    ("sec-ch-ua-mobile", "?1"),
    ("upgrade", "websocket"),
    ("user-agent", "Mozilla/5.0 (Linux; Android 14) Mobile"),
    ("x-edge-isr-warmup", "1"),
    ("x-listed", "one"),
    ("x-odd", "1"),
];

#[derive(Clone, Debug)]
enum Step {
    Ask { method: &'static str, path: usize, fields: Vec<usize>, client: bool },
    Again,
    Invalidate { tag: u8, hard: bool },
    Pass(i64),
    Journal(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let method = prop_oneof![12 => Just("GET"), 3 => Just("HEAD"), 1 => Just("POST")];
    let fields = prop::collection::vec(0..FIELDS.len(), 0..4);
    let ask = (method, 0..PATHS.len(), fields, any::<bool>())
        .prop_map(|(method, path, fields, client)| Step::Ask { method, path, fields, client });
    prop_oneof![
        8 => ask,
        12 => Just(Step::Again),
        1 => (1u8..4, any::<bool>()).prop_map(|(tag, hard)| Step::Invalidate { tag, hard }),
        4 => (0i64..4_000).prop_map(Step::Pass),
        1 => any::<bool>().prop_map(Step::Journal),
    ]
}

fn config() -> Config {
    let at = |path: &str, route: Route| RouteRule {
        host: None,
        path: PathPattern::parse(path).expect("a pattern"),
        route,
    };
    let listed = ForwardHeaders::Listed(vec!["x-listed".to_owned()]);
    Config {
        shards: 2,
        routes: vec![
            at("/listed/*", Route { forward_headers: listed, ..Route::default() }),
            at("/all/*", Route { forward_headers: ForwardHeaders::All, ..Route::default() }),
            at(
                "/device/*",
                Route {
                    vary_on: vec![VaryOn::Device, VaryOn::Language],
                    languages: vec!["en".to_owned(), "de".to_owned()],
                    key_cookies: vec!["theme".to_owned()],
                    ..Route::default()
                },
            ),
            at("/near", Route { upstream_cache: true, ..Route::default() }),
            at("/heeds/*", Route { request_directives: true, ..Route::default() }),
        ],
        ..Config::default()
    }
}

fn isolate(never_at_once: bool, memory: u64) -> Isolate {
    let config = Config { memory, ..config() };
    let world = World::new(&config);
    world.origin(|reached| {
        let path = PATHS.iter().find(|(path, _)| reached.target.starts_with(path));
        let fresh = ("cdn-cache-control", "max-age=9, stale-while-revalidate=5");
        let mut fields = vec![fresh, ("content-type", "text/html")];
        fields.extend(path.map_or([].as_slice(), |(_, fields)| fields));
        let body = match reached.target.as_str() {
            "/nothing" => return Ok(Script::new(204, &fields, "")),
            "/large" => "x".repeat(300_000),
            other => format!("{other} for {:?}", reached.fields.get("accept-language")),
        };
        Ok(Script::new(200, &fields, &body))
    });
    let codings = Some("gzip".to_owned());
    Isolate { never_at_once, codings, ..Isolate::new(&world, &config, "ams") }
}

fn ask(isolate: &Isolate, step: &Step) -> Option<Seen> {
    let Step::Ask { method, path, fields, client } = step else { return None };
    let mut named: Vec<(&str, &str)> = fields.iter().map(|at| FIELDS[*at]).collect();
    named.sort_unstable();
    named.dedup_by_key(|(name, _)| *name);
    let mut head = crate::world::request(method, &format!("{SITE}{}", PATHS[*path].0), &named);
    head.client = client.then(|| "192.0.2.1".to_owned());
    let isolate_too = isolate.clone();
    Some(isolate.world.run(async move { isolate_too.ask(head).await }))
}

/// What a history comes to: each answer, what it cost, what was counted.
fn play(steps: &[Step], never_at_once: bool, memory: u64) -> Vec<String> {
    let isolate = isolate(never_at_once, memory);
    let mut last = Step::Ask { method: "GET", path: 0, fields: vec![], client: false };
    let mut observed = Vec::new();
    for step in steps {
        let seen = match step {
            Step::Ask { .. } => {
                last = step.clone();
                ask(&isolate, step)
            }
            Step::Again => ask(&isolate, &last),
            Step::Invalidate { tag, hard } => {
                let mode = if *hard { Mode::Hard } else { Mode::Soft };
                if !isolate.world.journal_down.get() {
                    isolate.world.invalidate(&format!("post:{tag}"), mode);
                }
                None
            }
            Step::Pass(millis) => {
                isolate.world.pass(*millis);
                None
            }
            Step::Journal(down) => {
                isolate.world.journal_down.set(*down);
                None
            }
        };
        let spent = isolate.world.spent();
        let metrics = isolate.engine.isolate().borrow().metrics.clone();
        observed.push(format!("{step:?}\n  {seen:?}\n  {spent:?}\n  {metrics:?}"));
    }
    observed
}

/// Histories.
const CASES: u32 = 96;

#[test]
fn what_is_answered_at_once_is_what_the_longer_way_answers() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: CASES,
        ..ProptestConfig::default()
    });
    let steps = prop::collection::vec(step(), 1..40);
    // What an isolate without memory is asked for is answered out of the colo's cache.
    let memory = prop_oneof![2 => Just(Config::default().memory), 1 => Just(0), 1 => Just(4_096)];
    let outcome = runner.run(&(steps, memory), |(steps, memory)| {
        for (short, long) in play(&steps, false, memory).iter().zip(play(&steps, true, memory)) {
            prop_assert_eq!(short, &long);
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// Whether a request is answered at once after it was answered twice.
fn is_at_once(method: &str, url: &str, fields: &[(&str, &str)]) -> bool {
    let isolate = isolate(false, Config::default().memory);
    for _ in 0..3 {
        isolate.get(url, fields);
    }
    let head = Rc::new(crate::world::request(method, url, fields));
    let incoming = Incoming { head, body: None, client_accept_encoding: isolate.codings.clone() };
    let node = Node::new(&isolate.world, "ams");
    matches!(start(&isolate.engine, &node, &incoming), Start::Answer(_))
}

#[test]
fn hits_are_answered_at_once() {
    let visitor = [("cookie", "_ga=1"), ("accept-language", "de"), ("user-agent", "Mozilla")];
    for path in ["/plain?utm_source=x", "/untagged?b=2&a=1", "/vary", "/near", "/listed/1"] {
        for method in ["GET", "HEAD"] {
            let url = format!("{SITE}{path}");
            assert!(is_at_once(method, &url, &visitor), "{method} {path}");
        }
    }
    assert!(is_at_once("GET", &format!("{SITE}/plain"), &[("if-none-match", "\"v1\"")]));
    assert!(!is_at_once("POST", &format!("{SITE}/plain"), &[]));
    assert!(!is_at_once("GET", &format!("{SITE}/plain"), &[("authorization", "Bearer x")]));
}
