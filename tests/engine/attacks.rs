//! Attacks on web caches, each by its name and source, through the engine: what one visitor sends
//! never changes what the next one gets, never makes a private answer shared, and costs no more
//! than the site allows.
//!
//! `docs/security.md` has the table of attack, rule and test; `tests/e2e/test_attacks.py` and
//! `test_poisoning.py` try them on workerd.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

use crate::attacks_lists::{ACCOUNT_BY_ANOTHER_NAME, HEADERS, NEGOTIATION};
use crate::world::{Isolate, Reached, Script, Seen, World};
use edge_isr::base::time::Seconds;
use edge_isr::config::{Action, Config, PathPattern, Route, RouteRule};
use edge_isr::engine::port::OriginError;
use edge_isr::journal::Mode;

const SITE: &str = "https://example.com";
const STORE: (&str, &str) = ("cache-control", "max-age=300");

fn config() -> Config {
    Config { shards: 2, ..Config::default() }
}

fn with(defaults: Route) -> Config {
    Config { defaults, ..config() }
}

/// The worst origin: it reflects all that it is sent, says that all may keep it, and varies on
/// nothing.
fn mirror(reached: &Reached) -> Result<Script, OriginError> {
    Ok(Script::new(200, &[STORE], &format!("{reached:?}")))
}

fn site(
    config: &Config,
    origin: fn(&Reached) -> Result<Script, OriginError>,
) -> (Rc<World>, Isolate) {
    let world = World::new(config);
    world.origin(origin);
    let isolate = Isolate::new(&world, config, "ams");
    (world, isolate)
}

fn tainted(seen: &Seen) -> bool {
    let fields = seen.fields.iter().any(|(_, value)| value.to_lowercase().contains("canary"));
    fields || seen.text().to_lowercase().contains("canary")
}

fn is_hit(seen: &Seen) -> bool {
    seen.cache_status().starts_with("edge-isr;hit")
}

/// A site behind one mirror, asked for another page at each attempt.
struct Mirrored {
    world: Rc<World>,
    config: Config,
    attempts: Cell<u32>,
}

impl Mirrored {
    fn new(defaults: Route) -> Self {
        let config = Config { new_keys_per_second: 1_000_000, ..with(defaults) };
        let (world, _) = site(&config, mirror);
        Self { world, config, attempts: Cell::new(0) }
    }

    /// Attacker first, then a visitor of the same URL, in this colo and in another: what went
    /// wrong.
    fn poisoned_by(&self, fields: &[(&str, &str)]) -> Vec<String> {
        self.attempts.set(self.attempts.get() + 1);
        let url = format!("{SITE}/page/{}", self.attempts.get());
        let attack = Isolate::new(&self.world, &self.config, "ams").get(&url, fields);
        self.world.pass(50);
        let mut found = Vec::new();
        for colo in ["ams", "fra"] {
            let visitor = Isolate::new(&self.world, &self.config, colo).get(&url, &[]);
            if tainted(&visitor) {
                found.push(format!("{fields:?}: a visitor in {colo} got {}", visitor.text()));
            }
        }
        // Invariant 5: what is stored was made without it.
        if attack.cache_status().contains("stored") && tainted(&attack) {
            found.push(format!("{fields:?}: reached the origin of {}", attack.cache_status()));
        }
        found
    }
}

/// RFC 9111 §7.1. Each row of the list has its source.
#[test]
fn unkeyed_headers_of_the_scanners_neither_poison_nor_reach_the_origin() {
    let names: BTreeSet<String> = HEADERS.iter().map(|(name, ..)| name.to_lowercase()).collect();
    assert!(names.len() >= 60 && names.len() == HEADERS.len());
    let site = Mirrored::new(Route::default());
    let mut failures = Vec::new();
    for (name, value, source) in HEADERS {
        for name in [(*name).to_owned(), name.to_uppercase(), name.replace('-', "_")] {
            let found = site.poisoned_by(&[(&name, value)]);
            failures.extend(found.into_iter().map(|failure| format!("{source}: {failure}")));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Param Miner adds many to one request.
#[test]
fn all_of_them_at_once_neither() {
    let fields: Vec<(&str, &str)> = HEADERS
        .iter()
        .filter(|(name, ..)| !matches!(*name, "Range" | "If-Range"))
        .map(|(name, value, _)| (*name, *value))
        .collect();
    assert_eq!(Mirrored::new(Route::default()).poisoned_by(&fields), Vec::<String>::new());
}

/// A route that forwards everything leaves most to its origin's `Vary`; what speaks in a proxy's
/// name, turns a request into another, or hides behind an underscore (CVE-2015-0219) stays out all
/// the same.
#[test]
fn what_only_proxies_may_say_reaches_no_origin_even_where_all_is_forwarded() {
    use edge_isr::config::ForwardHeaders;
    let open = Mirrored::new(Route { forward_headers: ForwardHeaders::All, ..Route::default() });
    for name in [
        "X-Forwarded-Host",
        "X_Forwarded_Host",
        "x-forwarded_proto",
        "X-Original-URL",
        "X_Original_URL",
        "X-Rewrite-URL",
        "Forwarded",
        "X-Host",
        "X-HTTP-Method-Override",
        "X_HTTP_Method_Override",
        "X-Edge-ISR-Origin-Auth",
        "X_Edge_ISR_Origin_Auth",
        "X_Edge_ISR_Warmup",
        "CF_Connecting_IP",
        "Transfer_Encoding",
        "X_Real_IP",
        "Proxy",
    ] {
        assert_eq!(open.poisoned_by(&[(name, "canary")]), Vec::<String>::new(), "{name}");
    }
}

/// CVE-2015-0219: to a WSGI origin `X_Forwarded_Host` is `X-Forwarded-Host`, on a request that
/// passes too.
#[test]
fn underscores_do_not_spoof_a_proxy_on_requests_that_pass() {
    let (world, isolate) = site(&config(), mirror);
    for name in ["X_Forwarded_For", "x-forwarded_host", "X_Edge_ISR_Warmup", "X_Real_IP", "Proxy"] {
        isolate.send("POST", &format!("{SITE}/form"), &[(name, "canary"), ("X_Own", "mine")]);
        let reached = world.reached.borrow_mut().pop().expect("passed");
        assert!(!format!("{reached:?}").contains("canary"), "{name}: {reached:?}");
        assert_eq!(reached.fields.get("x_own"), Some("mine"));
    }
}

/// Accept and Accept-Language are forwarded so that origins can negotiate, and nothing but that:
/// meta characters, markup and oversize are no part of their grammar.
#[test]
fn negotiation_carries_no_payload_to_the_origin() {
    let site = Mirrored::new(Route::default());
    let mut failures = Vec::new();
    let long = format!("canary/{}", "x".repeat(9_000));
    let many = vec!["canary/x"; 900].join(", ");
    let big = [("CPDoS (HHO)", long.as_str()), ("CPDoS (HHO): members", many.as_str())];
    for name in ["Accept", "Accept-Language"] {
        for (source, value) in NEGOTIATION.iter().chain(&big) {
            let found = site.poisoned_by(&[(name, value)]);
            failures.extend(found.into_iter().map(|failure| format!("{source}: {failure}")));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// PCP: what reaches the origin selects the answer (RFC 9111 §4.1).
#[test]
fn negotiation_is_selected_by_the_origins_vary() {
    let (world, isolate) = site(&config(), |reached| {
        let language = reached.fields.get("accept-language").unwrap_or("none").to_owned();
        Ok(Script::new(200, &[STORE, ("vary", "Accept-Language, Accept")], &language))
    });
    let url = format!("{SITE}/page");
    assert_eq!(isolate.get(&url, &[("Accept-Language", "xx-canary")]).text(), "xx-canary");
    world.pass(50);
    assert_eq!(isolate.get(&url, &[]).text(), "none");
}

/// CPDoS: an origin that refuses what the edge let through, and a cache that keeps the refusal for
/// everyone.
#[test]
fn no_header_makes_an_error_page_for_everyone() {
    let picky = |reached: &Reached| {
        let size: usize = reached.fields.iter().map(|(n, v)| n.len() + v.len()).sum();
        let odd = reached.fields.iter().any(|(_, v)| v.bytes().any(|b| !(32..127).contains(&b)));
        let method = reached.fields.iter().any(|(n, _)| n.contains("method"));
        match size > 4_096 || odd || method || reached.method != "GET" {
            true => Ok(Script::new(400, &[STORE], "canary")),
            false => Ok(Script::new(200, &[STORE], "page")),
        }
    };
    let oversize = "x".repeat(20_000);
    for (source, name, value) in [
        ("HHO", "X-Oversized-Header-1", oversize.as_str()),
        ("HHO", "Accept", oversize.as_str()),
        ("HHO", "Cookie", oversize.as_str()),
        ("HHO", "CDN-Loop", oversize.as_str()),
        ("HMC", "X-Metachar-Header", "a\u{7}"),
        ("HMC", "Accept-Language", "a\u{7}"),
        ("HMO", "X-HTTP-Method-Override", "POST"),
    ] {
        let (world, isolate) = site(&config(), picky);
        isolate.get(&format!("{SITE}/page"), &[(name, value)]);
        world.pass(50);
        let visitor = isolate.get(&format!("{SITE}/page"), &[]);
        assert_eq!((visitor.status, visitor.text().as_str()), (200, "page"), "{source} {name}");
    }
}

/// WCE: what the key does not have the origin does not get, by whatever separator it would cut.
#[test]
fn parameters_can_not_be_cloaked() {
    for query in [
        "id=1&utm_content=x;id=canary",
        "id=1&utm_content=x%26id=canary",
        "utm_content=x;id=canary&id=1",
        "id=1&%75tm_content=canary",
        "id=1&gclid=canary",
        "id=1&fbclid[]=canary",
        "id=1&&utm_source=canary&",
    ] {
        let (world, isolate) = site(&config(), mirror);
        let attack = isolate.get(&format!("{SITE}/page?{query}"), &[]);
        world.pass(50);
        let visitor = isolate.get(&format!("{SITE}/page?id=1"), &[]);
        assert!(!tainted(&visitor), "{query}: {visitor:?} after {attack:?}");
    }
    // What is not on the list is in the key, under its own spelling.
    for query in
        ["id=1;x=canary", "id=1&ID=canary", "id=1%00canary", "id=1&id=canary", "id=canary&id=1"]
    {
        let (world, isolate) = site(&config(), mirror);
        isolate.get(&format!("{SITE}/page?{query}"), &[]);
        world.pass(50);
        assert!(!tainted(&isolate.get(&format!("{SITE}/page?id=1"), &[])), "{query}");
    }
}

/// PCP, WCE: a GET with a body is another request than its URL says (fat GET).
#[test]
fn a_fat_get_is_neither_stored_nor_answered_from_the_store() {
    for fields in [
        [("Content-Length", "9")],
        [("Transfer-Encoding", "chunked")],
        [("Content-Length", "0, 9")],
        [("Content-Length", "+9")],
    ] {
        let (world, isolate) = site(&config(), |reached| {
            let fat = reached.fields.has("x-fat");
            Ok(Script::new(200, &[STORE], if fat { "canary" } else { "page" }))
        });
        let fat = isolate.get(&format!("{SITE}/page"), &[fields[0], ("X-Fat", "1")]);
        assert_eq!(fat.text(), "canary", "{fields:?}");
        assert!(fat.cache_status().contains("detail=request-body"), "{}", fat.cache_status());
        world.pass(50);
        assert_eq!(isolate.get(&format!("{SITE}/page"), &[]).text(), "page", "{fields:?}");
    }
}

/// WCE and Rails' `_method`: methods are what the request line says, case and all (RFC 9110 §9.1).
#[test]
fn methods_can_not_be_overridden() {
    let (world, isolate) = site(&config(), mirror);
    isolate.get(&format!("{SITE}/page?_method=CANARY"), &[]);
    for method in ["get", "GeT", "HEAD ", "PURGE", "TRACE", "CANARY", "POST"] {
        let seen = isolate.send(method, &format!("{SITE}/page"), &[]);
        assert!(seen.cache_status().contains("fwd=method"), "{method}: {}", seen.cache_status());
    }
    world.pass(3_000);
    let visitor = isolate.get(&format!("{SITE}/page"), &[]);
    assert!(!tainted(&visitor) && visitor.text().contains("\"GET\""), "{visitor:?}");
}

/// PCP, WCE: ports and case in `Host`. (The runtime lower-cases it; what is not in lower case is no
/// host here.)
#[test]
fn a_host_is_part_of_the_key_with_its_port() {
    let (world, isolate) = site(&config(), |reached| {
        let host = reached.fields.get("x-forwarded-host").unwrap_or_default();
        Ok(Script::new(301, &[STORE, ("location", &format!("https://{host}/en/"))], ""))
    });
    for host in ["example.com:1337", "example.com.", "canary.example", "example.com:80"] {
        let seen = isolate.get(&format!("https://{host}/page"), &[]);
        assert_eq!(seen.fields.get("location"), Some(format!("https://{host}/en/").as_str()));
    }
    for host in [
        "Example.com",
        "example.com\\@canary",
        "example.com canary",
        "a@canary",
        "canary/x",
        "example.com#",
    ] {
        let head = edge_isr::http::RequestHead {
            host: host.to_owned(),
            ..crate::world::request("GET", &format!("{SITE}/page"), &[])
        };
        let asks = isolate.clone();
        let seen = world.run(async move { asks.ask(head).await });
        assert_eq!(seen.status, 400, "{host}: {seen:?}");
    }
    let visitor = isolate.get(&format!("{SITE}/page"), &[]);
    assert_eq!(visitor.fields.get("location"), Some("https://example.com/en/"));
}

/// WCE, "cache key injection": a value that looks like other parts of a key is still one part.
#[test]
fn a_key_can_not_be_put_together_out_of_other_parts() {
    let config = with(Route {
        key_cookies: vec!["a".to_owned(), "b".to_owned()],
        bypass_cookies: Vec::new(),
        ..Route::default()
    });
    let victim = [("Cookie", "a=1; b=2")];
    for (path, cookie) in [
        ("/page", "a=18:cookie:b1:2"),
        ("/page", "a=1; b=2; b="),
        ("/page", "a=1, b=2"),
        ("/page", "b=1; a=2"),
        ("/page-8:cookie:a1:18:cookie:b1:2", ""),
        ("/page?-8:cookie:a1:1", "b=2"),
        ("/page?8:cookie:a", "a=1; b=2"),
        ("/page1:-", "a=1; b=2"),
    ] {
        let (world, isolate) = site(&config, mirror);
        let attack = isolate.get(&format!("{SITE}{path}"), &[("Cookie", cookie)]);
        assert!(attack.cache_status().contains("stored"), "{path}: {}", attack.cache_status());
        world.pass(50);
        let seen = isolate.get(&format!("{SITE}/page"), &victim);
        assert!(!is_hit(&seen), "{path} {cookie}: {}", seen.text());
        assert!(is_hit(&isolate.get(&format!("{SITE}/page"), &victim)));
    }
    // The order of cookies is in no key, and so it is the route's.
    let (world, isolate) = site(&config, mirror);
    isolate.get(&format!("{SITE}/page"), &[("Cookie", "b=2; b=3; canary=1; a=1")]);
    world.pass(50);
    let seen = isolate.get(&format!("{SITE}/page"), &[("Cookie", "a=1; b=2; b=3")]);
    assert!(is_hit(&seen) && seen.text().contains("a=1; b=2; b=3"), "{}", seen.text());
}

/// WCE: paths are kept byte for byte, so nothing that an origin decodes differently is one page
/// with another.
#[test]
fn encoded_paths_are_pages_of_their_own() {
    for path in [
        "/p%61ge",
        "/p%2561ge",
        "/page%2f",
        "/page%00",
        "/page%0d%0acanary",
        "/x/..%2fpage",
        "//page",
        "/page/.",
        "/page;canary",
        "/page%3fcanary",
        "/page%23canary",
        "/PAGE",
    ] {
        let (world, isolate) = site(&config(), |reached| {
            let body = if reached.target == "/page" { "page" } else { "canary" };
            Ok(Script::new(200, &[STORE], body))
        });
        isolate.get(&format!("{SITE}{path}"), &[]);
        world.pass(50);
        assert_eq!(isolate.get(&format!("{SITE}/page"), &[]).text(), "page", "{path}");
    }
}

/// An account page on any path below `/account/`, and on whatever an origin resolves to it.
fn account(reached: &Reached) -> Result<Script, OriginError> {
    let who = reached.fields.get("cookie").unwrap_or("nobody").to_owned();
    Ok(Script::new(200, &[("content-type", "text/html"), STORE], &format!("account of {who}")))
}

/// Web cache deception: the victim is made to visit a link, the attacker asks for it after them.
#[test]
fn deception_shows_the_attacker_nothing_of_the_victim() {
    let styles = RouteRule {
        host: None,
        path: PathPattern::parse("*.css").expect("a pattern"),
        route: Route { ttl: Some(Seconds(3_600)), ..Route::default() },
    };
    let config = Config { routes: vec![styles], ..config() };
    for path in ACCOUNT_BY_ANOTHER_NAME {
        for cookie in
            ["sessionid=victim", "auth=victim", "x=1, sessionid=victim", "\u{b}sessionid=victim"]
        {
            let (world, isolate) = site(&config, account);
            let victim = isolate.get(&format!("{SITE}{path}"), &[("Cookie", cookie)]);
            world.pass(50);
            let attacker = isolate.get(&format!("{SITE}{path}"), &[]);
            assert!(!attacker.text().contains("victim"), "{path} {cookie}: {attacker:?}");
            assert!(!is_hit(&attacker) || !victim.text().contains("victim"), "{path} {cookie}");
        }
    }
}

/// "Gotta Cache 'em all" (2024): a rule that keeps `/account/*` out of the cache holds for every
/// spelling that an origin may take for it.
#[test]
fn a_bypass_rule_is_not_got_around_by_spelling() {
    let rule = |path: &str, route: Route| RouteRule {
        host: None,
        path: PathPattern::parse(path).expect("a pattern"),
        route,
    };
    let config = Config {
        routes: vec![
            rule("*.css", Route { ttl: Some(Seconds(3_600)), ..Route::default() }),
            rule("/account/*", Route { action: Action::Bypass, ..Route::default() }),
        ],
        ..config()
    };
    let (_, isolate) = site(&config, account);
    let mut failures = Vec::new();
    for path in ACCOUNT_BY_ANOTHER_NAME.iter().filter(|path| **path != "/account/x.css") {
        // The first rule that matches decides; so the extension goes, and only the spelling is
        // left.
        let path = path.replace(".css", "");
        let seen = isolate.get(&format!("{SITE}{path}"), &[("Cookie", "auth=victim")]);
        if !seen.cache_status().contains("detail=route") {
            failures.push(format!("{path}: {}", seen.cache_status()));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(!isolate.get(&format!("{SITE}/accounts"), &[]).cache_status().contains("detail=route"));
    assert!(!isolate.get(&format!("{SITE}/a%20b"), &[]).cache_status().contains("detail=route"));
}

/// O. Gil (2017), and what Cloudflare calls cache deception armor: where only the route gives
/// freshness, a page under a file's name is not stored.
#[test]
fn a_page_under_a_files_name_is_not_stored_by_the_routes_word_alone() {
    let rows = [
        ("/a/x.css", "text/html; charset=utf-8", false),
        ("/a/x.js", "application/json", false),
        ("/a/x.png", "text/html", false),
        ("/a/x.PNG", "text/html", false),
        ("/a/x.png", "", false),
        ("/a/x.woff2", "text/plain", false),
        ("/a/x.css", "text/css", true),
        ("/a/x.js", "text/javascript; charset=utf-8", true),
        ("/a/x.js", "application/javascript", true),
        ("/a/x.png", "image/webp", true),
        ("/a/x.woff2", "font/woff2", true),
        ("/a/x.woff2", "application/octet-stream", true),
        ("/a/x.html", "text/html", true),
        ("/a/x", "text/html", true),
        ("/v1.2/x", "text/html", true),
    ];
    let config = with(Route { ttl: Some(Seconds(60)), ..Route::default() });
    for (path, kind, want) in rows {
        for (stated, want) in [(&[][..], want), (&[STORE][..], true)] {
            let world = World::new(&config);
            world.origin(move |_| {
                let fields: Vec<_> =
                    stated.iter().copied().chain([("content-type", kind)]).collect();
                Ok(Script::new(200, &fields, "x"))
            });
            let seen = Isolate::new(&world, &config, "ams").get(&format!("{SITE}{path}"), &[]);
            let stored = seen.cache_status().contains("stored");
            assert_eq!(stored, want, "{path} {kind} {stated:?}: {}", seen.cache_status());
        }
    }
}

/// Response splitting (A. Klein, "Divide and Conquer", 2004): raw line ends are refused, encoded
/// ones stay encoded.
#[test]
fn line_ends_reach_neither_the_origin_nor_a_visitor() {
    let (_, isolate) = site(&config(), mirror);
    for target in ["/a\r\nX: canary", "/a?b=\r\nX: canary", "/a\u{0}", "/a b", "/a?\tb"] {
        assert_eq!(isolate.get(&format!("{SITE}{target}"), &[]).status, 400, "{target:?}");
    }
    let seen = isolate.get(&format!("{SITE}/a%0d%0aX:%20y?b=%0d%0a"), &[("Accept", "a/b\r\nx: y")]);
    assert_eq!(seen.status, 200);
    assert!(!seen.text().contains("\\r\\n") && seen.text().contains("%0d%0a"), "{}", seen.text());
}

/// RFC 8586 and "Forwarding-Loop Attacks in Content Delivery Networks" (J. Chen and others, 2016).
#[test]
fn loops_end_and_what_they_carry_is_part_of_the_key() {
    let (world, isolate) = site(&config(), mirror);
    let url = format!("{SITE}/page");
    for looped in ["edge-isr", "other, Edge-ISR;x=1", "\"edge-isr", "cloudflare; loops=1,edge-isr"]
    {
        let seen = isolate.get(&url, &[("CDN-Loop", looped), ("Connection", "cdn-loop")]);
        assert_eq!(seen.status, 508, "{looped}");
    }
    // A quoted string that is open at a line's end: two lines, one for whoever joins them.
    for lines in [["a=\"x", "edge-isr-not"], ["a=\"x, edge-isr", "\""], ["a=\"x", "\", edge-isr"]] {
        let seen = isolate.get(&url, &lines.map(|line| ("CDN-Loop", line)));
        assert_eq!(seen.status, 508, "{lines:?}");
    }
    assert_eq!(world.spent().get("origin"), None);
    // What another CDN says must go on (RFC 8586 §2): so it selects.
    let via = isolate.get(&url, &[("CDN-Loop", "Fastly")]);
    assert!(via.text().contains("Fastly, edge-isr"), "{}", via.text());
    world.pass(50);
    assert!(!isolate.get(&url, &[]).text().contains("Fastly"));
    assert!(is_hit(&isolate.get(&url, &[("CDN-Loop", "Fastly")])));
    let long = format!("a{}", "x".repeat(1_024));
    assert_eq!(isolate.get(&url, &[("CDN-Loop", &long)]).status, 431);
    // It goes on, and is kept for warms, as one line.
    let half = format!("a{}", "x".repeat(511));
    assert_eq!(isolate.get(&url, &[("CDN-Loop", &half), ("CDN-Loop", &half)]).status, 431);
    // The platform's own word is the same for everyone.
    assert!(is_hit(&isolate.get(&url, &[("CDN-Loop", "cloudflare; loops=1")])));
}

/// HBH: `Connection` names fields that the next hop then misses (RFC 9110 §7.6.1).
#[test]
fn a_visitor_can_not_take_the_edges_fields_away() {
    let (world, isolate) = site(&config(), mirror);
    let url = format!("{SITE}/page");
    let names = "close, X-Forwarded-Host, X-Forwarded-Proto, X-Edge-ISR-Origin-Auth, CDN-Loop, \
                 User-Agent, Accept-Encoding, Surrogate-Capability, Host, Cookie, Authorization, \
                 Cache-Control, Age";
    let attack = isolate.get(&url, &[("Connection", names), ("Accept-Encoding", "gzip")]);
    world.pass(50);
    let visitor = isolate.get(&url, &[("Accept-Encoding", "gzip")]);
    assert!(is_hit(&visitor) && attack.text() == visitor.text(), "{attack:?} {visitor:?}");
    for kept in
        ["x-forwarded-host", "x-forwarded-proto", "cdn-loop", "surrogate-capability", "user-agent"]
    {
        assert!(visitor.text().contains(kept), "{kept}");
    }
    for (named, fields, detail) in [
        ("cookie", ("Cookie", "sessionid=1"), "detail=bypass-cookie"),
        ("authorization", ("Authorization", "Basic x"), "detail=authorization"),
        ("if-match", ("If-Match", "\"1\""), "detail=precondition"),
    ] {
        let seen = isolate.get(&url, &[("Connection", named), fields]);
        assert!(seen.cache_status().contains(detail), "{named}: {}", seen.cache_status());
    }
}

/// The same from the origin's side: `Connection: age` must not make an old answer look new, nor a
/// private one public.
#[test]
fn an_origins_connection_takes_nothing_away_that_decides() {
    for (named, name, value) in [
        ("age", "age", "100"),
        ("cache-control", "cache-control", "private"),
        ("set-cookie", "set-cookie", "sessionid=1"),
        ("vary", "vary", "*"),
        ("cf-cache-status", "cf-cache-status", "HIT"),
        ("x-edge-isr", "x-edge-isr", "bypass"),
        ("content-security-policy", "content-security-policy", "script-src 'nonce-a'"),
    ] {
        let world = World::new(&config());
        world.origin(move |_| {
            let fields =
                [("connection", named), (name, value), ("cdn-cache-control", "max-age=60")];
            let private = name == "cache-control";
            Ok(Script::new(200, if private { &fields[..2] } else { &fields }, "x"))
        });
        let isolate = Isolate::new(&world, &config(), "ams");
        let seen = isolate.get(&format!("{SITE}/page"), &[]);
        assert!(!seen.cache_status().contains("stored"), "{named}: {}", seen.cache_status());
        assert!(!is_hit(&isolate.get(&format!("{SITE}/page"), &[])), "{named}");
    }
}

/// An answer's coding is one that its visitor takes, even if the origin forgot its `Vary` (CPDoS'
/// kin).
#[test]
fn nobody_gets_a_coding_that_they_do_not_take() {
    let coding = |reached: &Reached| {
        let accepted = reached.fields.get("accept-encoding").unwrap_or_default();
        let coding = accepted.split(',').next().unwrap_or_default().to_owned();
        let fields = [STORE, ("content-encoding", coding.as_str())];
        Ok(Script::new(200, if coding == "identity" { &fields[..1] } else { &fields }, &coding))
    };
    let visitors = [
        "gzip",
        "br",
        "",
        "gzip;q=0",
        "zstd, gzip",
        "identity;q=0, *;q=0",
        "x-gzip",
        "br, gzip",
        "deflate",
    ];
    for first in visitors {
        let (world, isolate) = site(&config(), coding);
        for next in [&[first][..], &visitors].concat() {
            let seen = isolate.get(&format!("{SITE}/page"), &[("Accept-Encoding", next)]);
            world.pass(20);
            let got = seen.fields.get("content-encoding").unwrap_or("identity").to_owned();
            let takes = got == "identity" || next.contains(&got) && !next.contains(";q=0");
            assert!(takes, "{next:?} after {first:?} got {got}");
            assert_eq!(seen.text(), got);
        }
    }
}

/// RFC 9111 §7.3, CSP Level 3 ("Nonce Reuse"): a token or nonce that is one visitor's own is in
/// nobody else's page.
#[test]
fn pages_with_tokens_and_nonces_are_not_shared() {
    for (what, fields) in [
        (
            "Django: get_token() sets the cookie",
            &[STORE, ("vary", "Cookie"), ("set-cookie", "csrftoken=abc")][..],
        ),
        ("CSRF_USE_SESSIONS", &[STORE, ("vary", "Cookie"), ("set-cookie", "sessionid=abc")]),
        ("nonce", &[STORE, ("content-security-policy", "script-src 'self' 'nonce-abc'")]),
        (
            "nonce, report only",
            &[STORE, ("content-security-policy-report-only", "script-src 'NONCE-abc'")],
        ),
    ] {
        let (world, isolate) = site(&config(), |_| Err(OriginError::Unreachable));
        let fields = fields.to_vec();
        world.origin(move |reached| {
            Ok(Script::new(200, &fields, &format!("{:?}", reached.fields.get("cookie"))))
        });
        for _ in 0..3 {
            let seen = isolate.get(&format!("{SITE}/form"), &[("Cookie", "csrftoken=mine")]);
            assert!(!is_hit(&seen) && !seen.cache_status().contains("stored"), "{what}: {seen:?}");
            world.pass(50);
        }
    }
}

/// CWE-352. Django sets the CSRF cookie only if there is none. On a request whose answer may be
/// stored it never sees one, so a page with a token always comes with `Set-Cookie`; a cookie of the
/// key makes the page that visitor's own.
#[test]
fn a_csrf_token_without_set_cookie_needs_a_cookie_that_the_origin_does_not_get() {
    let django = |reached: &Reached| {
        Ok(match reached.fields.get("cookie").and_then(|c| c.split("csrftoken=").nth(1)) {
            Some(token) => {
                Script::new(200, &[STORE, ("vary", "Cookie")], &format!("token of {token}"))
            }
            None => Script::new(
                200,
                &[STORE, ("vary", "Cookie"), ("set-cookie", "csrftoken=new")],
                "token of new",
            ),
        })
    };
    let keyed = with(Route { key_cookies: vec!["csrftoken".to_owned()], ..Route::default() });
    for config in [config(), keyed] {
        let (world, isolate) = site(&config, django);
        isolate.get(&format!("{SITE}/form"), &[("Cookie", "csrftoken=victim")]);
        world.pass(50);
        for cookie in ["", "csrftoken=attacker", "other=1"] {
            let seen = isolate.get(&format!("{SITE}/form"), &[("Cookie", cookie)]);
            assert!(!seen.text().contains("victim"), "{cookie}: {seen:?}");
        }
    }
}

/// Denial of wallet: invented URLs cost neither index nor global store beyond the budget.
#[test]
fn invented_query_strings_cost_no_more_than_the_budget() {
    let config = Config { new_keys_per_second: 5, ..config() };
    let (world, isolate) = site(&config, |_| Ok(Script::new(200, &[STORE, ("xkey", "a")], "x")));
    isolate.get(&format!("{SITE}/warm-up"), &[]);
    world.pass(2_000);
    world.spent();
    let began = world.now();
    let mut details = BTreeSet::new();
    for n in 0..100 {
        details.insert(isolate.get(&format!("{SITE}/page?x={n}"), &[]).cache_status());
    }
    let seconds = world.now().since(began).0 / 1_000 + 2;
    let spent = world.spent();
    assert!(details.iter().any(|detail| detail.contains("detail=key-budget")), "{details:?}");
    let (shard, put) =
        (spent.get("shard").copied().unwrap_or(0), spent.get("l2_put").copied().unwrap_or(0));
    assert!(shard <= 5 * 3 * seconds && put <= 5 * seconds, "{seconds} s: {spent:?}");
}

/// The same by whatever else is part of a key (CWE-400).
#[test]
fn invented_variants_and_hosts_count_too() {
    let config = Config { new_keys_per_second: 5, ..config() };
    let (world, isolate) = site(&config, |_| {
        Ok(Script::new(200, &[STORE, ("xkey", "a"), ("vary", "Accept-Language")], "x"))
    });
    isolate.get(&format!("{SITE}/page"), &[]);
    world.pass(2_000);
    world.spent();
    for n in 0..50 {
        isolate.get(&format!("{SITE}/page"), &[("Accept-Language", &format!("xx-{n}"))]);
        isolate.get(&format!("{SITE}/page?{n}"), &[("CDN-Loop", &format!("x{n}"))]);
    }
    let spent = world.spent();
    assert!(spent["origin"] >= 100 && spent.get("l2_put").copied().unwrap_or(0) <= 20, "{spent:?}");
}

/// The same by what is part of none.
#[test]
fn tracking_parameters_and_unkeyed_cookies_make_no_pages() {
    let (world, isolate) = site(&config(), mirror);
    isolate.get(&format!("{SITE}/page"), &[]);
    world.pass(2_000);
    for n in 0..50 {
        let cookie = format!("invented{n}=1");
        let seen = isolate.get(&format!("{SITE}/page?utm_x={n}&gclid={n}"), &[("Cookie", &cookie)]);
        assert!(is_hit(&seen), "{}", seen.cache_status());
    }
    assert_eq!(world.spent()["origin"], 1);
}

/// CWE-400: a made-up `sessionid` goes round the cache, and counts against the limit of origin
/// requests: the others wait.
#[test]
fn invented_sessions_are_limited() {
    let config = Config { origin_concurrency: 4, ..config() };
    let (world, isolate) = site(&config, |_| Ok(Script::new(200, &[STORE], "x").after(5_000)));
    let slots: Vec<_> = (0..20)
        .map(|n| {
            let cookie = format!("sessionid={n}");
            let head =
                crate::world::request("GET", &format!("{SITE}/page"), &[("Cookie", &cookie)]);
            let asks = isolate.clone();
            world.start(async move { asks.ask(head).await })
        })
        .collect();
    world.pass(30_000);
    let seen: Vec<Seen> = slots.into_iter().map(|slot| slot.take().expect("answered")).collect();
    assert_eq!(world.most_at_origin.get(), 4);
    assert!(seen.iter().all(|seen| seen.status == 200));
}

/// CWE-407: a page has a target for each prefix of its path, and every hit compares every target.
#[test]
fn a_path_of_slashes_makes_no_page() {
    let (world, isolate) = site(&config(), |_| Ok(Script::new(200, &[STORE, ("xkey", "a")], "x")));
    isolate.get(&format!("{SITE}/warm-up"), &[]);
    world.pass(2_000);
    world.spent();
    for path in ["/".repeat(16_000), "/a".repeat(8_000)] {
        for _ in 0..2 {
            let seen = isolate.get(&format!("{SITE}{path}"), &[]);
            assert_eq!(seen.status, 200);
            assert!(seen.cache_status().contains("detail=path-depth"), "{}", seen.cache_status());
        }
    }
    let spent = world.spent();
    assert_eq!((spent.get("shard"), spent.get("l2_put"), spent.get("l1_put")), (None, None, None));
}

/// CWE-407: each range is compared with each language, for each weight: a list that no person has
/// counts as none.
#[test]
fn a_list_of_languages_that_no_person_has_is_not_compared() {
    use edge_isr::config::VaryOn;
    let config = with(Route {
        vary_on: vec![VaryOn::Language],
        languages: vec!["en".to_owned(), "de".to_owned()],
        ..Route::default()
    });
    let (_, isolate) = site(&config, |reached| {
        Ok(Script::new(200, &[STORE], reached.fields.get("accept-language").unwrap_or_default()))
    });
    let language = |n: u32, id: &str| {
        let other = |i: u32| format!("xx-{i};q=0.{:03}, ", i % 1_000);
        let value = (0..n).map(other).collect::<String>() + "de;q=0.001";
        isolate.get(&format!("{SITE}/{id}"), &[("Accept-Language", &value)]).text()
    };
    assert_eq!((language(10, "few").as_str(), language(5_000, "many").as_str()), ("de", "en"));
}

/// CPDoS' kin, by a cache's own memory: a marker that answers can't be stored is for the variant
/// that it was seen on, and one visitor's odd request does not send everyone to the origin for a
/// minute.
#[test]
fn an_odd_variant_does_not_take_the_others_out_of_the_cache() {
    let (world, isolate) = site(&config(), |reached| {
        let json = reached.fields.get("accept") == Some("application/json");
        Ok(match json {
            true => Script::new(200, &[("cache-control", "no-store"), ("vary", "Accept")], "api"),
            false => Script::new(200, &[STORE, ("vary", "Accept")], "page"),
        })
    });
    let url = format!("{SITE}/page");
    isolate.get(&url, &[("Accept", "text/html")]);
    world.pass(50);
    assert_eq!(isolate.get(&url, &[("Accept", "application/json")]).text(), "api");
    world.pass(50);
    assert!(is_hit(&isolate.get(&url, &[("Accept", "text/html")])));
    let again = isolate.get(&url, &[("Accept", "application/json")]);
    assert!(again.cache_status().contains("hit-for-pass-no-store"), "{}", again.cache_status());
    // First of all visitors, too.
    let (first, other) = (format!("{SITE}/first"), [("Accept", "text/html")]);
    isolate.get(&first, &[("Accept", "application/json")]);
    world.pass(50);
    isolate.get(&first, &other);
    world.pass(50);
    assert!(is_hit(&isolate.get(&first, &other)));
}

/// The same: an error says nothing of the page, and after it the next visitors share one fetch as
/// before.
#[test]
fn an_error_does_not_take_a_page_out_of_the_cache() {
    for status in [400, 406, 500, 503] {
        let world = World::new(&config());
        let broken = Rc::new(Cell::new(true));
        let flag = Rc::clone(&broken);
        world.origin(move |_| {
            Ok(match flag.get() {
                true => Script::new(status, &[], "error"),
                false => Script::new(200, &[STORE], "page"),
            })
        });
        let isolate = Isolate::new(&world, &config(), "ams");
        isolate.get(&format!("{SITE}/page"), &[]);
        world.pass(50);
        broken.set(false);
        isolate.get(&format!("{SITE}/page"), &[]);
        world.pass(50);
        assert!(is_hit(&isolate.get(&format!("{SITE}/page"), &[])), "{status}");
    }
}

/// PCP (redirects), and every cache that keys without the scheme: a stored redirect from http to
/// https never answers its own target; a purge reaches both.
#[test]
fn a_redirect_to_https_does_not_answer_itself_and_a_purge_reaches_both_schemes() {
    let (world, isolate) = site(&config(), |reached| {
        Ok(match reached.fields.get("x-forwarded-proto") {
            Some("https") => Script::new(200, &[STORE, ("xkey", "post:1")], "page"),
            _ => Script::new(
                301,
                &[STORE, ("location", "https://example.com/page"), ("xkey", "post:1")],
                "",
            ),
        })
    });
    let (plain, safe) = ("http://example.com/page", "https://example.com/page");
    for order in [[plain, safe], [safe, plain]] {
        for _ in 0..2 {
            for url in order {
                let spoof = [("X-Forwarded-Proto", "http"), ("X-Forwarded-Scheme", "http")];
                let seen = isolate.get(url, &spoof);
                assert_eq!(seen.status, if url == safe { 200 } else { 301 }, "{url}: {seen:?}");
                world.pass(50);
            }
        }
        assert!(order.iter().all(|url| is_hit(&isolate.get(url, &[]))));
        world.invalidate("post:1", Mode::Hard);
        world.pass(2_100);
        for url in order {
            let seen = isolate.get(url, &[]);
            assert!(
                !seen.cache_status().contains("edge-isr;hit;ttl"),
                "{url}: {}",
                seen.cache_status()
            );
            world.pass(3_000);
        }
    }
    // RFC 9111 §4.4 by one scheme: the other is the same resource.
    isolate.get(plain, &[]);
    isolate.get(safe, &[]);
    world.pass(100);
    isolate.send("DELETE", safe, &[]);
    world.pass(2_100);
    assert!(!is_hit(&isolate.get(plain, &[])));
}

/// The text of all files below a folder with that extension.
fn texts_below(folder: &Path, extension: &str) -> std::io::Result<String> {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            text += &texts_below(&path, extension)?;
        } else if path.extension().is_some_and(|found| found == extension) {
            text += &std::fs::read_to_string(&path)?;
        }
    }
    Ok(text)
}

/// `docs/security.md` names every test here, and none that is not there.
#[test]
fn the_security_model_names_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).expect(path);
    let model = read("docs/security.md");
    let after = |text: &str, mark: &str| -> BTreeSet<String> {
        let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let rests = text.split(mark).skip(1);
        rests.map(|rest| rest.chars().take_while(|c| name(*c)).collect()).collect()
    };
    let here = after(&read("tests/engine/attacks.rs"), "#[test]\nfn ");
    let there =
        ["test_attacks", "test_poisoning"].map(|name| read(&format!("tests/e2e/{name}.py")));
    let there = after(&there.concat(), "\ndef test_");
    let there: BTreeSet<String> = there.into_iter().map(|name| format!("test_{name}")).collect();
    // Named where they bear on an attack, not all of them.
    let below = |folder: &str, kind: &str| texts_below(&root.join(folder), kind).expect(folder);
    let mut others = after(&below("tests", "rs"), "#[test]\nfn ");
    // Those of what a file does not show.
    others.extend(after(&below("src", "rs"), "#[test]\n    fn "));
    let end_to_end = after(&below("tests/e2e", "py"), "\ndef ");
    let package = after(&read("django/tests/test_advisories.py"), "\ndef ");
    assert!(here.len() > 25 && there.len() > 10 && !package.is_empty());
    let source = read("tests/engine/attacks.rs");
    let lines: Vec<&str> = source.lines().collect();
    for pair in lines.windows(2).filter(|pair| pair[1] == "#[test]") {
        assert!(pair[0].starts_with("/// "), "a test without its source: {pair:?}");
    }
    for name in here.iter().chain(&there).filter(|n| *n != "the_security_model_names_its_tests") {
        assert!(model.contains(&format!("`{name}`")), "{name} is not in the model");
    }
    // A table whose last heading is "test" names tests, and the files that hold them.
    let cells = |row: &str| row.trim_end_matches(" |").rsplit(" | ").next().map(str::to_owned);
    let mut named = 0;
    let documents = format!("{model}\n\n{}", read("docs/operations.md"));
    for table in documents.split("\n\n").filter(|block| block.starts_with("| ")) {
        let mut rows = table.lines();
        if rows.next().and_then(cells).as_deref() != Some("test") {
            continue;
        }
        let cells: Vec<String> = rows.filter_map(cells).collect();
        for name in cells.iter().flat_map(|cell| cell.split('`').skip(1).step_by(2)) {
            named += 1;
            // The first of a row's package tests is named with its file.
            let name = name.trim_start_matches("test_advisories.py::");
            let known = [&here, &there, &others, &end_to_end, &package]
                .iter()
                .any(|names| names.contains(name));
            assert!(known || root.join(name).is_file(), "{name} is no test");
        }
    }
    assert!(named > here.len(), "the tables of tests were not found");
}
