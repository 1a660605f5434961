//! The table of costs in docs/security.md: what one hostile request of each kind costs at most,
//! counted at the ports of the engine, with journal and shards on SQLite. A row whose figures are
//! not those of the table fails.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::fmt::Write as _;
use std::rc::Rc;

use crate::world::{Isolate, Reached, Script, World, request};
use edge_isr::config::Config;
use edge_isr::control::Secrets;
use edge_isr::front_caches::parse_config;

/// Requests of each kind.
const COUNT: u32 = 100;
const PAGE: &str = "https://example.com/post/1/";

fn config() -> Config {
    parse_config(
        r#"{"shards": 8, "trusted_ips": ["10.0.0.0/8"], "new_keys_per_second": 50,
            "routes": [{"path": "/language/*", "key_cookies": ["language"]}],
            "front_caches": [{"name": "front", "provider": "cloudfront", "distribution": "E1"}]}"#,
    )
    .unwrap()
}

/// A site whose pages can be stored, but for what lies below `/private/`, `/missing/` and
/// `/broken/`.
fn site() -> (Rc<World>, Isolate) {
    let world = World::new(&config());
    world.origin(|reached: &Reached| {
        let fresh = ("cdn-cache-control", "max-age=300, stale-while-revalidate=3600");
        let path = reached.target.as_str();
        Ok(match reached.method.as_str() {
            "GET" | "HEAD" if path.starts_with("/private/") => {
                Script::new(200, &[("cache-control", "private")], "yours")
            }
            "GET" | "HEAD" if path.contains("missing") => Script::new(404, &[], "no"),
            "GET" | "HEAD" if path.starts_with("/broken/") => Script::new(500, &[], "oops"),
            "GET" | "HEAD" => {
                let vary = ("vary", "accept-language");
                Script::new(200, &[fresh, ("surrogate-key", "posts"), vary], "page")
            }
            _ => Script::new(200, &[("cache-control", "no-store")], "done"),
        })
    });
    *world.front_cache.borrow_mut() = Box::new(|_| Ok((201, &[])));
    *world.front_cache_body.borrow_mut() = Box::new(|_| {
        "<Invalidation><Id>I1</Id><Status>Completed</Status></Invalidation>".to_owned()
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    isolate.get(PAGE, &[]);
    world.pass(2_000);
    (world, isolate)
}

/// The nth request of a kind: method, URL, fields, body.
type RequestKind = fn(u32) -> (&'static str, String, Vec<(&'static str, String)>, String);

fn at(path: String) -> String {
    format!("https://example.com{path}")
}

fn get(url: String) -> (&'static str, String, Vec<(&'static str, String)>, String) {
    ("GET", url, Vec::new(), String::new())
}

fn with(
    name: &'static str,
    value: String,
) -> (&'static str, String, Vec<(&'static str, String)>, String) {
    ("GET", PAGE.to_owned(), vec![(name, value)], String::new())
}

#[rustfmt::skip]
const KINDS: &[(&str, RequestKind)] = &[
    ("a stored page", |_| get(PAGE.to_owned())),
    ("an invented query", |n| get(format!("{PAGE}?x={n}"))),
    ("a long invented query (16 KB)", |n| get(format!("{PAGE}?x={n}{}", "a".repeat(16_000)))),
    ("an invented path", |n| get(at(format!("/post/{n}00/")))),
    ("an invented path that is missing", |n| get(at(format!("/missing/{n}")))),
    ("an invented path that is missing, among pages", |n| get(at(format!("/post/missing{n}/")))),
    ("an invented path that fails", |n| get(at(format!("/broken/{n}")))),
    ("an invented path that is private", |n| get(at(format!("/private/{n}")))),
    ("a path of 200 segments", |n| get(at(format!("{}{n}", "/a".repeat(200))))),
    ("an invented host", |n| get(format!("https://h{n}.example.com/"))),
    ("an invented session", |n| with("cookie", format!("sessionid={n}"))),
    ("an invented cookie that the key does not have", |n| with("cookie", format!("x={n}"))),
    ("an invented cookie that the key has", |n| {
        ("GET", at("/language/".into()), vec![("cookie", format!("language={n}"))], String::new())
    }),
    ("an invented CDN-Loop", |n| with("cdn-loop", format!("cdn{n}"))),
    ("an invented language", |n| {
        let letter = |n: u32| char::from(b'a' + u8::try_from(n % 26).unwrap());
        with("accept-language", format!("{}{}", letter(n / 26), letter(n)))
    }),
    ("an invented field", |n| with("x-invented", n.to_string())),
    ("an invented query with an invented field", |n| {
        ("GET", format!("{PAGE}?f={n}"), vec![("x-invented", n.to_string())], String::new())
    }),
    ("an invented User-Agent", |n| with("user-agent", format!("bot/{n}"))),
    ("a range of a stored page", |n| with("range", format!("bytes={}-", n % 3))),
    ("a range of an invented query", |n| {
        ("GET", format!("{PAGE}?r={n}"), vec![("range", "bytes=0-1".to_owned())], String::new())
    }),
    ("a condition that fails", |n| with("if-none-match", format!("\"{n}\""))),
    ("a precondition for the origin", |n| with("if-match", format!("\"{n}\""))),
    ("credentials that the origin does not know", |n| with("authorization", format!("Basic {n}"))),
    ("request directives", |_| with("cache-control", "no-cache".to_owned())),
    ("a HEAD of an invented query", |n| {
        ("HEAD", format!("{PAGE}?h={n}"), Vec::new(), String::new())
    }),
    ("a POST to a page that nobody stored", |n| {
        ("POST", format!("{PAGE}?next={n}"), Vec::new(), "a=b".into())
    }),
    ("a POST to a page that nobody stored, whose key has cookies", |n| {
        ("POST", at(format!("/language/{n}")), Vec::new(), "a=b".into())
    }),
    ("a POST to a stored page", |_| ("POST", PAGE.to_owned(), Vec::new(), "a=b".into())),
    ("a DELETE of a stored page", |_| ("DELETE", PAGE.to_owned(), Vec::new(), String::new())),
    ("an unknown method", |n| ("BREW", format!("{PAGE}?b={n}"), Vec::new(), String::new())),
    ("a PURGE without permission", |_| ("PURGE", PAGE.to_owned(), Vec::new(), String::new())),
    ("a BAN without permission", |_| ("BAN", PAGE.to_owned(), Vec::new(), String::new())),
    ("a webhook without credentials", |_| {
        ("POST", at("/__isr/v1/revalidate".into()), Vec::new(), "{}".into())
    }),
    ("a webhook with an invented signature", |n| {
        let fields = vec![
            ("webhook-id", format!("m{n}")),
            ("webhook-timestamp", "1800000002".to_owned()),
            ("webhook-signature", "v1,AAAA".to_owned()),
        ];
        ("POST", at("/__isr/v1/revalidate".into()), fields, r#"{"all": true}"#.into())
    }),
    ("a guessed token at a purge API", |n| {
        let key = vec![("fastly-key", n.to_string())];
        ("POST", at("/__isr/fastly/service/s/purge_all".into()), key, String::new())
    }),
    ("a question for a job without credentials", |n| get(at(format!("/__isr/v1/jobs/{n}")))),
    ("healthz", |_| get(at("/__isr/healthz".into()))),
    ("a warm-up without permission", |_| with("x-edge-isr-warmup", "1".to_owned())),
    ("a request that looped", |_| with("cdn-loop", "edge-isr".to_owned())),
];

/// Dollars a million beyond what the plan includes (docs/scale.md): a request of the worker, one of
/// an object, a write to KV, a read of it, a path of an invalidation at CloudFront.
const PRICES: [f64; 5] = [0.30, 0.15, 5.00, 0.50, 5_000.0];

/// What one of them costs, on average, as a row of the table; what it causes later is counted with
/// it.
fn row(name: &str, kind: RequestKind) -> String {
    let (world, isolate) = site();
    let secrets = Secrets::parse(
        "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0",
        "ci:revalidate:token-token-token-1",
    )
    .unwrap();
    world.spent();
    let shared = world.front_cache_requests.borrow().len();
    for n in 0..COUNT {
        let (method, url, fields, body) = kind(n);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let mut head = request(method, &url, &fields);
        head.client = Some(format!("192.0.2.{n}"));
        isolate.take(head, &body, &secrets);
    }
    for _ in 0..70 {
        world.pass(1_000);
        world.alarms();
    }
    let spent = world.spent();
    let of = |what: &str| spent.get(what).copied().unwrap_or_default();
    let each = |count: u64| count as f64 / f64::from(COUNT);
    let objects = of("journal") + of("shard");
    let front_cache_requests = world.front_cache_requests.borrow();
    let calls = front_cache_requests.iter().skip(shared).filter(|request| request.method == "POST");
    let provider = calls.count() as u64;
    let counts = [u64::from(COUNT), objects, of("l2_put"), of("l2_get"), provider * 2];
    let dollars: f64 = counts.iter().zip(PRICES).map(|(count, price)| each(*count) * price).sum();
    let mut text = format!("| {name} |");
    for count in [of("origin"), objects, of("l2_put"), provider] {
        let _ = write!(text, " {:.2} |", each(count));
    }
    let _ = write!(text, " {dollars:.2} |");
    text
}

#[test]
fn the_table_of_costs_is_what_is_counted() {
    let table = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/security.md"));
    let table = table.unwrap();
    let missing: Vec<String> = KINDS
        .iter()
        .map(|(name, kind)| row(name, *kind))
        .filter(|row| !table.lines().any(|line| line.starts_with(row.as_str())))
        .collect();
    assert!(missing.is_empty(), "docs/security.md lacks these rows:\n{}", missing.join("\n"));
}
