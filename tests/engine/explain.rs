//! `explain` says what `serve` does next, over arbitrary requests and stores; and changes nothing.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::collections::BTreeMap;
use std::rc::Rc;

use fastrand::Rng;

use crate::composed_origin::personal;
use crate::world::{Isolate, Reached, Script, Seen, World, request};
use edge_isr::config::Config;
use edge_isr::journal::Mode;
use serde_json::{Value, json};

fn config() -> Config {
    let settings = json!({
        "shards": 2, "new_keys_per_second": 100_000, "max_lag": 2, "journal_lost_limit": 60,
        "routes": [
            {"path": "/account/*", "action": "bypass"},
            {"path": "/listens/*", "request_directives": true},
            {"path": "/trusts/*", "trust_validators": true},
            {"path": "/keyed/*", "key_cookies": ["lang"], "bypass_cookies": ["sessionid"]},
            {"path": "/langs/*", "vary_on": ["language"], "languages": ["de", "en"]},
            {"path": "/all/*", "forward_headers": "all"},
            {"path": "/composed/*", "compose": true, "bypass_cookies": ["sessionid"]},
            {"path": "/included/*", "esi": true},
        ],
    });
    edge_isr::front_caches::parse_config(&settings.to_string()).expect("settings")
}

const PLACES: [&str; 10] = [
    "/",
    "/account/",
    "/listens/",
    "/trusts/",
    "/keyed/",
    "/langs/",
    "/all/",
    "/plain/",
    "/composed/",
    "/included/",
];
/// Pages of each place, by what the origin answers.
const PAGES: [&str; 10] =
    ["long", "short", "swr", "sie", "nocache", "private", "nostore", "vary", "odd-vary", "error"];
const DIRECTIVES: [&str; 5] =
    ["no-cache", "only-if-cached", "max-stale=30", "no-store", "max-age=0"];
const FIELDS: [(&str, &[&str]); 12] = [
    ("accept-language", &["de", "en;q=0.5, fr", ""]),
    ("accept-encoding", &["br", "gzip, br", "identity"]),
    ("cookie", &["lang=de", "sessionid=1", "_ga=2", "lang=en; _ga=1"]),
    ("cache-control", &DIRECTIVES),
    ("range", &["bytes=0-1", "bytes=-1", "bytes=9-", "lines=1-2"]),
    ("if-none-match", &["\"1\"", "*"]),
    ("authorization", &["Basic YTpi"]),
    ("accept", &["text/event-stream", "text/html", "*/*"]),
    ("x-odd", &["1", "2"]),
    ("user-agent", &["a", "b"]),
    ("if-match", &["\"1\""]),
    ("upgrade", &["websocket"]),
];

/// A composed page's shell: for all, for the anonymous, one whose cookie is for elsewhere, one with
/// a visitor's own parts, as a gate.
fn shell(page: &str, generation: u64) -> Option<Script> {
    let marker = format!("eIsR{generation:039}");
    let token = format!("<form>{marker}t00</form>");
    let csrf = |path| format!(", csrf=(\"csrftoken\" \"Path={path}; SameSite=Lax\")");
    let per_visitor = ", cookies=(\"sessionid\"), personal=(\"part.0\"), gate".to_owned();
    let (audience, fresh, more, body) = match page {
        "long" => ("all", 600, csrf("/"), token),
        "short" => ("anonymous", 2, csrf("/"), token),
        "swr" => ("all", 2, csrf("/elsewhere"), token),
        "sie" => ("all", 60, per_visitor, format!("<nav>{marker}p00none{marker}e00</nav>")),
        _ => return None,
    };
    let (placeholders, length) = (body.matches(&marker).count(), body.len());
    let value = format!(
        "v=1, max-age={fresh}, swr=20, marker=\"{marker}\", placeholders={placeholders}, \
         length={length}, audience={audience}{more}"
    );
    let fields = [
        ("cache-control", "private, no-store"),
        ("content-type", "text/html; charset=utf-8"),
        ("x-edge-isr-tags", "all"),
        ("x-edge-isr-compose", value.as_str()),
    ];
    Some(Script::new(200, &fields, &body))
}

fn answer(reached: &Reached, generation: u64) -> Script {
    let page = reached.target.split('?').next().unwrap_or_default().rsplit('/').next();
    if reached.target.starts_with("/_edge_isr/personal") {
        return personal(reached);
    }
    if reached.fields.has("x-edge-isr-compose") {
        if let Some(shell) = shell(page.unwrap_or_default(), generation) {
            return shell;
        }
    } else if reached.target.starts_with("/composed/") {
        return Script::new(200, &[("cache-control", "private, no-store")], "inline");
    }
    if reached.target.starts_with("/included/") && page == Some("long") {
        let fields = [
            ("surrogate-control", "content=\"ESI/1.0\", max-age=600"),
            ("content-type", "text/html"),
            ("x-edge-isr-tags", "all"),
        ];
        return Script::new(200, &fields, "<esi:include src=\"/plain/long\"/>");
    }
    let tags = ("x-edge-isr-tags", "all");
    let etag = format!("\"{generation}\"");
    let etag = ("etag", etag.as_str());
    let body = format!("{} {generation}", reached.target);
    let fresh = |value| Script::new(200, &[("cdn-cache-control", value), tags, etag], &body);
    match page.unwrap_or_default() {
        "long" => fresh("max-age=600"),
        "short" => fresh("max-age=2"),
        "swr" => fresh("max-age=2, stale-while-revalidate=20"),
        "sie" => fresh("max-age=2, stale-if-error=20"),
        "nocache" => fresh("max-age=60, no-cache"),
        "private" => Script::new(200, &[("cache-control", "private")], &body),
        "nostore" => Script::new(200, &[("cache-control", "no-store")], &body),
        "vary" => {
            let fields = [("cdn-cache-control", "max-age=60"), tags, ("vary", "accept-language")];
            Script::new(200, &fields, &body)
        }
        "odd-vary" => {
            let fields = [("cdn-cache-control", "max-age=60"), tags, ("vary", "x-odd")];
            Script::new(200, &fields, &body)
        }
        "error" => Script::new(500, &[], "broken"),
        _ => fresh("max-age=60, stale-while-revalidate=60"),
    }
}

/// A request: its method, address and fields.
type Asks = (&'static str, String, Vec<(&'static str, &'static str)>);

fn some<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.usize(0..of.len())]
}

fn asks(rng: &mut Rng, (places, pages): (&[&str], &[&str])) -> Asks {
    let method = if rng.u8(0..20) > 0 { "GET" } else { some(rng, &["HEAD", "POST", "OPTIONS"]) };
    let (place, page) = (some(rng, places), some(rng, pages));
    let query = some(rng, &["", "", "", "?utm_source=x", "?a=1"]);
    let url = format!("https://example.com{place}{page}{query}");
    let mut fields = Vec::new();
    if place == "/listens/" && rng.bool() {
        fields.push(("cache-control", some(rng, &DIRECTIVES)));
    }
    while rng.u8(0..4) == 0 {
        let (name, values) = some(rng, &FIELDS);
        if !fields.iter().any(|(known, _)| *known == name) {
            fields.push((name, some(rng, values)));
        }
    }
    (method, url, fields)
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn explained(isolate: &Isolate, (method, url, fields): &Asks) -> Value {
    let mut path = format!("/v1/explain?method={method}&url={}", encoded(url));
    for (name, value) in fields {
        path.push_str(&format!("&header={}", encoded(&format!("{name}: {value}"))));
    }
    let seen = isolate.operate("GET", &path, "");
    assert_eq!(seen.status, 200, "{}", seen.text());
    serde_json::from_str(&seen.text()).expect("JSON")
}

/// Whether what was done is what was said. The answer of the origin adds to what is said: its
/// status, whether it was stored, why not.
fn agrees(explanation: &Value, seen: &Seen) -> bool {
    let (said, did) = (explanation["cache_status"].as_str().expect("a text"), seen.cache_status());
    let member = |text: &str, name: &str| {
        let found = text.split(';').find_map(|part| part.strip_prefix(name));
        found.map(str::to_owned)
    };
    let same = |name: &str| member(said, name) == member(&did, name);
    match explanation["action"].as_str().expect("a text") {
        "hit" | "stale" | "only-if-cached" | "refuse" => said == did,
        "bypass" | "pass" => same("fwd=") && same("detail="),
        "fetch" => {
            // Another has it already, what came is for others than who asked, or the copy that
            // another has is from before this visitor's own change.
            let elsewhere = [
                "global",
                "colo",
                "vary-not-forwarded",
                "bypass-cookie",
                "compose-",
                "hit-for-pass-own-change",
            ];
            same("fwd=") || elsewhere.iter().any(|it| did.contains(&format!("detail={it}")))
        }
        "range" => same("fwd=") || did.contains("detail=vary-not-forwarded"),
        other => panic!("{other}"),
    }
}

/// What a stored answer is made of, by how it came.
fn made_of(seen: &Seen) -> Value {
    let cache_control = seen.fields.get("cache-control").unwrap_or_default();
    match seen.text().as_str() {
        "/plain/long 1" if !seen.fields.has("etag") => json!("includes"),
        _ if cache_control.starts_with("private, no-") => json!("shell"),
        _ => Value::Null,
    }
}

/// What happens between two requests.
fn happens(rng: &mut Rng, world: &Rc<World>) {
    match rng.u8(0..16) {
        0 => {
            world.invalidate("all", Mode::Soft);
        }
        1 => {
            world.invalidate("all", Mode::Hard);
        }
        2 | 3 => world.pass(rng.i64(0..6_000)),
        4 => world.pass(rng.i64(0..40_000)),
        5 => world.journal_down.set(rng.u8(0..4) == 0),
        6 => world.alarms(),
        _ => {}
    }
}

/// One history; how often each action was said.
fn history(seed: u64, cases: u64, actions: &mut BTreeMap<String, u64>) {
    let rng = &mut Rng::with_seed(seed);
    let world = World::new(&config());
    world.origin(move |reached: &Reached| {
        let generation = reached.fields.get("x-generation").and_then(|it| it.parse().ok());
        Ok(answer(reached, generation.unwrap_or(1)))
    });
    let isolates = ["ams", "ams", "fra"].map(|colo| Isolate::new(&world, &config(), colo));
    // Few addresses, so that they are asked for again.
    let (places, pages) =
        ([(); 2].map(|()| some(rng, &PLACES)), [(); 3].map(|()| some(rng, &PAGES)));
    for n in 0..cases {
        happens(rng, &world);
        let isolate = &isolates[rng.usize(0..isolates.len())];
        let asks = asks(rng, (&places, &pages));
        world.pass(20);
        // Both at one moment: a second that ends between them is no disagreement.
        world.still.set(true);
        // The first may have asked for news in the background, as a visitor's request does.
        explained(isolate, &asks);
        world.pass(0);
        let explanation = explained(isolate, &asks);
        let seen = isolate.send(asks.0, &asks.1, &asks.2);
        world.still.set(false);
        assert!(
            agrees(&explanation, &seen),
            "{seed}, {n}: {asks:?}\n{explanation:#}\n{}",
            seen.cache_status()
        );
        let mut action = explanation["action"].as_str().unwrap().to_owned();
        if matches!(&*action, "hit" | "stale") && asks.0 == "GET" && seen.status == 200 {
            let (did, text) = (made_of(&seen), seen.text());
            assert_eq!(
                explanation["made_of"], did,
                "{seed}, {n}: {asks:?}\n{text:?}\n{explanation:#}"
            );
            if let Some(made_of) = explanation["made_of"].as_str() {
                action = made_of.to_owned();
            }
        } else if let Some(reason) =
            explanation["reason"].as_str().filter(|it| it.starts_with("compose-"))
        {
            action = reason.to_owned();
        }
        *actions.entry(action).or_default() += 1;
    }
}

/// `EXPLAIN_CASES=100000` for more than the suite's, `EXPLAIN_FROM=132` to begin with another seed.
#[test]
fn what_is_explained_is_what_is_done() {
    let cases: u64 = std::env::var("EXPLAIN_CASES").map_or(2_000, |it| it.parse().unwrap());
    let mut actions = BTreeMap::new();
    let from: u64 = std::env::var("EXPLAIN_FROM").map_or(0, |it| it.parse().unwrap());
    for seed in from..from + cases / 100 {
        history(seed, 100, &mut actions);
    }
    println!("{actions:?}");
    for action in ["bypass", "fetch", "hit", "only-if-cached", "pass", "range", "stale"] {
        assert!(actions.get(action).is_some_and(|n| *n > cases / 1_000), "{action}: {actions:?}");
    }
    for action in ["shell", "includes", "compose-cookie-scope"] {
        assert!(actions.contains_key(action), "{action}: {actions:?}");
    }
}

#[test]
fn an_explanation_leaves_no_trace() {
    let world = World::new(&config());
    world.origin(|reached: &Reached| Ok(answer(reached, 1)));
    let isolate = Isolate::new(&world, &config(), "ams");
    let long = ("GET", "https://example.com/plain/long".to_owned(), Vec::new());
    for _ in 0..3 {
        assert_eq!(explained(&isolate, &long)["action"], json!("fetch"));
    }
    assert!(world.reached.borrow().is_empty(), "the origin is not asked");
    isolate.get(&long.1, &[]);
    world.pass(50);
    world.spent();
    let explanation = explained(&isolate, &long);
    assert_eq!(
        (&explanation["action"], &explanation["stored"]["validity"]["is"]),
        (&json!("hit"), &json!("current"))
    );
    assert_eq!(world.spent(), BTreeMap::from([("shard", 1)]), "one question to the page's shard");
    let counts = isolate.operate("GET", "/metrics?isolate", "").text();
    assert!(counts.contains("edge_isr_requests_total{result=\"miss\"} 1\n"), "{counts}");
    assert!(counts.contains("edge_isr_requests_total{result=\"hit\"} 0\n"), "{counts}");
}

#[test]
fn it_says_what_was_dropped_which_variants_there_are_and_what_decides() {
    let world = World::new(&config());
    world.origin(|reached: &Reached| Ok(answer(reached, 1)));
    let isolate = Isolate::new(&world, &config(), "ams");
    let url = "https://example.com/plain/vary?utm_source=x".to_owned();
    for language in ["de", "en"] {
        isolate.get(&url, &[("accept-language", language)]);
    }
    world.pass(50);
    let fields = vec![("accept-language", "de"), ("cookie", "_ga=secret"), ("x-odd", "secret")];
    world.invalidate("all", Mode::Hard);
    world.pass(3_000);
    let explanation = explained(&isolate, &("GET", url, fields));
    assert_eq!(explanation["rule"], json!("/*"));
    assert_eq!(explanation["page"], json!("https://example.com/plain/vary"));
    assert_eq!(
        explanation["not_forwarded"],
        json!({"query": ["utm_source"], "fields": ["x-odd"], "cookies": ["_ga"]})
    );
    assert!(!explanation.to_string().contains("secret"), "names alone: {explanation}");
    let variants = explanation["variants"].as_array().unwrap();
    let selected: Vec<(bool, &str)> = variants
        .iter()
        .map(|it| (it["selected"].as_bool().unwrap(), it["vary"][0][1].as_str().unwrap()))
        .collect();
    assert_eq!(selected, [(true, "de"), (false, "en")]);
    assert_eq!(explanation["stored"]["validity"], json!({"is": "invalidated-hard", "epoch": 1}));
    assert_eq!(
        (&explanation["action"], &explanation["reason"]),
        (&json!("fetch"), &json!("invalidated-hard"))
    );
    assert!(explanation["steps"].as_array().unwrap().len() >= 5, "{explanation:#}");
}

#[test]
fn what_is_no_request_is_refused() {
    let world = World::new(&config());
    let isolate = Isolate::new(&world, &config(), "ams");
    for (query, field) in [
        ("", "url"),
        ("?url=", "url"),
        ("?url=/relative", "url"),
        ("?url=ftp://example.com/", "url"),
        ("?url=https://example.com/&header=no-colon", "header"),
        ("?url=https://example.com/&header=a%0ab:c", "header"),
        ("?url=https://example.com/&header=a:b%0ac", "header"),
        ("?url=https://example.com/&method=GET%20/", "method"),
        ("?url=https://example.com/&cookie=a", "cookie"),
    ] {
        let seen = isolate.operate("GET", &format!("/v1/explain{query}"), "");
        let problem: Value = serde_json::from_str(&seen.text()).unwrap();
        assert_eq!((seen.status, &problem["field"]), (422, &json!(field)), "{query}");
    }
    let head = request("GET", "https://example.com/__isr/v1/explain?url=https://example.com/", &[]);
    let call = isolate.operate("POST", "/v1/explain?url=https://example.com/", "");
    assert_eq!((head.path.as_str(), call.status), ("/__isr/v1/explain", 405));
}
