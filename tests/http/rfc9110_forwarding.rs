//! Admission, and the fields that go on (RFC 9110 §7.6, RFC 8586).

use crate::http_support::Admit::{self, *};
use crate::http_support::{
    EDGE, admitted_as, config, fields, get, open_route, request, response, serve,
};
use edge_isr::cache::admission::PassReason::{self, *};
use edge_isr::cache::admission::{MAX_FIELDS_BYTES, MAX_SEGMENTS, MAX_URI_BYTES, Refusal};
use edge_isr::cache::entry::FreshnessSource;
use edge_isr::cache::forward::{
    EdgeFacts, cacheable_request_fields, pass_request_fields, visitor_fields, warm_fields,
};
use edge_isr::cache::key::Page;
use edge_isr::cache::query::normalise_query;
use edge_isr::cache::resend::may_be_sent_again;
use edge_isr::cache::unsafe_methods::changed_by;
use edge_isr::config::{
    Action, Config, ForwardHeaders, PathPattern, QueryPolicy, Route, RouteRule, VaryOn,
};
use edge_isr::http::{Fields, RequestHead};

/// id, section, request line, request fields, what is done.
#[rustfmt::skip]
const ADMISSION: &[(&str, &str, &str, &str, Admit)] = &[
    ("get", "9111 §3", "GET /page", "", Serve),
    ("head", "9111 §3", "HEAD /page", "", Serve),
    ("post", "9111 §3", "POST /page", "", Pass(Method)),
    ("options", "9111 §3", "OPTIONS /page", "", Pass(Method)),
    ("options-star", "9110 §9.3.7", "OPTIONS *", "", Pass(Method)),
    ("lower-case", "9110 §9.1", "get /page", "", Pass(Method)),
    ("unknown", "9110 §9.1", "PROPFIND /page", "", Pass(Method)),
    ("upgrade", "9110 §7.8", "GET /page", "Connection: Upgrade|Upgrade: websocket", Pass(Upgrade)),
    ("body", "9110 §9.3.1", "GET /page", "Content-Length: 3", Pass(RequestBody)),
    ("chunked-body", "9110 §9.3.1", "GET /page", "Transfer-Encoding: chunked", Pass(RequestBody)),
    ("empty-body", "9110 §8.6", "GET /page", "Content-Length: 0", Serve),
    ("two-lengths", "9110 §8.6", "GET /page", "Content-Length: 0|Content-Length: 3", Pass(RequestBody)),
    ("events", "contract", "GET /page", "Accept: text/event-stream", Pass(EventStream)),
    ("events-among", "contract", "GET /page", "Accept: text/html;q=1, Text/Event-Stream;q=0.5", Pass(EventStream)),
    ("not-events", "contract", "GET /page", "Accept: text/event-streaming, */*", Serve),
    ("authorization", "9111 §3.5", "GET /page", "Authorization: Basic x", Pass(Authorization)),
    ("session", "contract", "GET /page", "Cookie: a=b; sessionid=1", Pass(BypassCookie)),
    ("session-joined-lines", "contract", "GET /page", "Cookie: a=b, sessionid=1", Pass(BypassCookie)),
    ("session-second-line", "contract", "GET /page", "Cookie: a=b|Cookie: sessionid=1", Pass(BypassCookie)),
    ("session-quoted", "contract", "GET /page", "Cookie: a=\"x; sessionid=1\"", Pass(BypassCookie)),
    ("session-tab", "contract", "GET /page", "Cookie: a=b;\tsessionid =1", Pass(BypassCookie)),
    ("session-empty", "contract", "GET /page", "Cookie: sessionid=", Pass(BypassCookie)),
    ("session-other-case", "6265 §5.3", "GET /page", "Cookie: SessionID=1", Serve),
    ("session-longer", "6265 §5.3", "GET /page", "Cookie: sessionid2=1", Serve),
    ("analytics", "contract", "GET /page", "Cookie: _ga=1; consent=yes", Serve),
    ("if-match", "9111 §4.3.2", "GET /page", "If-Match: \"1\"", Pass(Precondition)),
    ("if-unmodified", "9111 §4.3.2", "GET /page", "If-Unmodified-Since: x", Pass(Precondition)),
    ("if-none-match", "9111 §4.3.2", "GET /page", "If-None-Match: \"1\"", Serve),
    ("no-cache", "contract", "GET /page", "Cache-Control: no-cache", Serve),
    ("loop", "8586 §2", "GET /page", "CDN-Loop: edge-isr", Refuse(Refusal::Loop)),
    ("loop-among", "8586 §2", "GET /page", "CDN-Loop: other; v=1, Edge-ISR; v=2", Refuse(Refusal::Loop)),
    ("loop-second-line", "8586 §2", "GET /page", "CDN-Loop: other|CDN-Loop: edge-isr", Refuse(Refusal::Loop)),
    ("loop-open-quote", "8586 §2", "GET /page", "CDN-Loop: a;b=\", edge-isr", Refuse(Refusal::Loop)),
    ("loop-of-another", "8586 §2", "GET /page", "CDN-Loop: other, my-edge-isr", Serve),
    ("path-control", "3986 §2", "GET /a\u{1}b", "", Refuse(Refusal::BadUri)),
    ("path-space", "3986 §2", "GET /a b", "", Refuse(Refusal::BadUri)),
    ("path-8-bit", "3986 §2", "GET /caf\u{e9}", "", Refuse(Refusal::BadUri)),
    ("path-relative", "9112 §3.2", "GET page", "", Refuse(Refusal::BadUri)),
    ("query-fragment", "3986 §3.5", "GET /a?b#c", "", Refuse(Refusal::BadUri)),
    ("path-encoded", "3986 §2.1", "GET /caf%C3%A9%2e%2e/;a=b//c", "", Serve),
];

#[test]
fn admission() {
    let config = Config::default();
    let mut failures = Vec::new();
    for (id, section, line, lines, want) in ADMISSION {
        let got = admitted_as(&request(line, lines), &config);
        if got != *want {
            failures.push(format!("{id} ({section}): got {got:?}, want {want:?}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn requests_that_are_too_long_or_have_no_real_host_are_refused() {
    let config = Config::default();
    // Path and query together; a field with its name, colon, space and line end.
    let long = |path: usize, query: usize| {
        request(&format!("GET /{}?{}", "a".repeat(path - 1), "q".repeat(query)), "")
    };
    assert_eq!(admitted_as(&long(MAX_URI_BYTES - 9, 9), &config), Serve);
    assert_eq!(admitted_as(&long(MAX_URI_BYTES - 8, 9), &config), Refuse(Refusal::UriTooLong));
    let wide = |bytes: usize| get(&format!("X: {}", "a".repeat(bytes - 5)));
    assert_eq!(admitted_as(&wide(MAX_FIELDS_BYTES), &config), Serve);
    let too_wide = wide(MAX_FIELDS_BYTES + 1);
    assert_eq!(admitted_as(&too_wide, &config), Refuse(Refusal::FieldsTooLarge));
    assert_eq!((MAX_URI_BYTES, MAX_FIELDS_BYTES), (16_384, 131_072));
    // What other CDNs said goes on, as one line.
    let passed_on = |bytes: usize| get(&format!("CDN-Loop: a|CDN-Loop: {}", "b".repeat(bytes - 3)));
    assert_eq!(admitted_as(&passed_on(1_024), &config), Serve);
    assert_eq!(admitted_as(&passed_on(1_025), &config), Refuse(Refusal::FieldsTooLarge));
    // Each prefix of a path is a target of its page: a path of slashes alone would have 16,000.
    let deep = |segments: usize| request(&format!("GET {}", "/a".repeat(segments)), "");
    assert_eq!(admitted_as(&deep(MAX_SEGMENTS), &config), Serve);
    assert_eq!(admitted_as(&deep(MAX_SEGMENTS + 1), &config), Pass(PathDepth));
    let slashes = request(&format!("GET {}", "/".repeat(16_000)), "");
    assert_eq!(admitted_as(&slashes, &config), Pass(PathDepth));
    // Each counts new keys of its own: a name is as long as names are.
    let name = |bytes: usize| format!("{}:65535", "a".repeat(bytes));
    let long = RequestHead { host: name(253), ..get("") };
    assert_eq!(admitted_as(&long, &config), Serve);
    for host in ["", "a b", "a/b", "Example.com", "a\u{1}", "a@b", &name(254)] {
        let head = RequestHead { host: host.to_owned(), ..get("") };
        assert_eq!(admitted_as(&head, &config), Refuse(Refusal::BadHost), "{host}");
    }
    for host in ["example.com", "example.com:8443", "[::1]:80", "a_b.example"] {
        let head = RequestHead { host: host.to_owned(), ..get("") };
        assert_eq!(admitted_as(&head, &config), Serve, "{host}");
    }
    assert_eq!(Refusal::Loop.status(), 508);
}

#[test]
fn a_route_can_bypass_or_let_credentials_in() {
    let admin = RouteRule {
        host: None,
        path: PathPattern::parse("/admin/*").unwrap(),
        route: Route { action: Action::Bypass, ..Route::default() },
    };
    let config = Config { routes: vec![admin], defaults: open_route(), ..Config::default() };
    assert_eq!(admitted_as(&request("GET /admin/x", ""), &config), Admit::Pass(PassReason::Route));
    assert_eq!(admitted_as(&get("Authorization: x"), &config), Serve);
}

#[test]
fn only_methods_that_are_not_safe_are_unsafe() {
    let config = Config::default();
    for (method, want) in
        [("OPTIONS", false), ("TRACE", false), ("POST", true), ("M-SEARCH", true), ("get", true)]
    {
        let head = request(&format!("{method} /page"), "");
        match edge_isr::cache::admission::admit(&head, &config) {
            edge_isr::cache::admission::Admission::Pass(pass) => {
                assert_eq!(pass.unsafe_method, want, "{method}");
            }
            other => panic!("{other:?}"),
        }
    }
}

fn key(line: &str, lines: &str, route: &Route) -> String {
    let config = config(route.clone());
    serve(&request(line, lines), &config).key.as_str().to_owned()
}

/// id, one request line, another, whether they are one page.
#[rustfmt::skip]
const PAGES: &[(&str, &str, &str, bool)] = &[
    ("same", "GET /a?b=1", "GET /a?b=1", true),
    ("head", "GET /a", "HEAD /a", true),
    ("query", "GET /a?b=1", "GET /a?b=2", false),
    ("order", "GET /a?b=1&c=2", "GET /a?c=2&b=1", true),
    ("repeated-order", "GET /a?b=1&b=2", "GET /a?b=2&b=1", false),
    ("empty-query", "GET /a?", "GET /a", true),
    ("empty-parameters", "GET /a?&b=1&&", "GET /a?b=1", true),
    ("empty-value", "GET /a?b", "GET /a?b=", false),
    ("tracking", "GET /a?utm_source=x&b=1&gclid=y", "GET /a?b=1", true),
    ("tracking-encoded", "GET /a?%75tm_source=x&b=1", "GET /a?b=1", true),
    ("cloaked", "GET /a?b=1&utm_source=x;b=2", "GET /a?b=1", true),
    ("semicolon", "GET /a?b=1;c=2", "GET /a?b=1&c=2", false),
    ("encoded-name", "GET /a?%62=1", "GET /a?b=1", false),
    ("encoded-ampersand", "GET /a?b=1%26c=2", "GET /a?b=1&c=2", false),
    ("path-case", "GET /a", "GET /A", false),
    ("path-slash", "GET /a", "GET /a/", false),
    ("path-double-slash", "GET /a/b", "GET /a//b", false),
    ("path-dots", "GET /a/../b", "GET /b", false),
    ("path-encoded", "GET /a%2Fb", "GET /a/b", false),
    ("path-encoding-case", "GET /a%2fb", "GET /a%2Fb", false),
    ("path-parameter", "GET /a;b", "GET /a", false),
    ("question-mark-in-path", "GET /a%3Fb", "GET /a?b", false),
];

#[test]
fn pages() {
    let mut failures = Vec::new();
    for (id, one, other, want) in PAGES {
        let same = key(one, "", &Route::default()) == key(other, "", &Route::default());
        if same != *want {
            failures.push(format!("{id}: got {same}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// A parameter's name is compared decoded, whatever the case of its escapes.
#[test]
fn an_escaped_name_is_the_name() {
    for byte in (b'!'..=b'~').filter(|byte| *byte != b'*') {
        let policy = QueryPolicy::Deny(vec![char::from(byte).to_string()]);
        for name in [format!("%{byte:02x}"), format!("%{byte:02X}")] {
            let other = format!("{name}{name}=1");
            let query = format!("{name}=1&{other}");
            assert_eq!(normalise_query(Some(&query), &policy), Some(other), "{query}");
        }
    }
}

#[test]
fn queries_by_policy() {
    let allow = QueryPolicy::Allow(vec!["page".to_owned(), "f_*".to_owned()]);
    let deny = QueryPolicy::Deny(vec!["x".to_owned()]);
    let rows = [
        (&allow, "page=2&q=1&f_a=1", Some("f_a=1&page=2")),
        (&allow, "q=1", None),
        (&deny, "b=1&x=2&a=3&b=0", Some("a=3&b=1&b=0")),
        (&deny, "%78=1&b", Some("b")),
        (&deny, "+=1&%", Some("+=1&%")),
        (&QueryPolicy::Verbatim, "b=1&&a", Some("b=1&&a")),
        (&QueryPolicy::Verbatim, "", None),
    ];
    for (policy, query, want) in rows {
        let got = normalise_query(Some(query), policy);
        assert_eq!(got.as_deref(), want, "{query}");
        assert_eq!(normalise_query(got.as_deref(), policy), got, "again: {query}");
    }
}

#[test]
fn cookies_device_and_language_are_in_the_key_where_the_route_says_so() {
    let route = Route {
        key_cookies: vec!["currency".to_owned()],
        vary_on: vec![VaryOn::Device, VaryOn::Language],
        languages: vec!["de".to_owned(), "en".to_owned()],
        ..Route::default()
    };
    let plain = key("GET /a", "", &route);
    let phone = "User-Agent: Mozilla/5.0 (iPhone; CPU iPhone OS 17_0) Mobile/15E148";
    assert_ne!(plain, key("GET /a", phone, &route));
    assert_ne!(plain, key("GET /a", "Accept-Language: en", &route));
    assert_ne!(plain, key("GET /a", "Cookie: currency=EUR", &route));
    assert_eq!(plain, key("GET /a", "Cookie: _ga=1|User-Agent: curl|Accept-Language: de", &route));
    let twice = key("GET /a", "Cookie: currency=EUR; currency=USD", &route);
    assert_ne!(twice, key("GET /a", "Cookie: currency=USD; currency=EUR", &route));
    assert_ne!(twice, key("GET /a", "Cookie: currency=EUR", &route));
}

#[test]
fn devices() {
    use edge_isr::cache::device::device;
    for (lines, want) in [
        ("", "desktop"),
        ("User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/120", "desktop"),
        ("User-Agent: Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/120 Mobile Safari", "mobile"),
        ("User-Agent: Mozilla/5.0 (Linux; Android 14; SM-X900) Chrome/120 Safari", "tablet"),
        ("User-Agent: Mozilla/5.0 (iPad; CPU OS 17_0) Mobile/15E148", "tablet"),
        ("User-Agent: Googlebot/2.1", "desktop"),
        ("Sec-CH-UA-Mobile: ?1", "mobile"),
        ("Sec-CH-UA-Mobile: ?0", "desktop"),
    ] {
        assert_eq!(device(&fields(lines)), want, "{lines}");
    }
}

const HOSTILE: &str = "Accept: text/html|Accept-Language: en|Accept-Encoding: gzip, br|Host: evil\
    |User-Agent: Mozilla|Referer: https://a/|Cookie: _ga=1; currency=EUR|X-Forwarded-For: 1.2.3.4\
    |X-Forwarded-Host: evil|X-Forwarded-Proto: http|X-Forwarded-Scheme: http|Forwarded: for=1\
    |X-HTTP-Method-Override: DELETE|X-HTTP-Method: PUT|X-Method-Override: PUT|X-Original-URL: /a\
    |X-Rewrite-URL: /b|X-Host: evil|X-Real-IP: 1|CF-Connecting-IP: 1|True-Client-IP: 1|X-Device: x\
    |CF-Access-JWT-Assertion: t|X-Edge-ISR-Warmup: 1|X-Edge-ISR-Origin-Auth: guess|Surrogate-Capability: x|CDN-Loop: other\
    |Connection: x-hop, close|X-Hop: 1|TE: trailers|If-None-Match: \"1\"|If-Modified-Since: x\
    |Range: bytes=0-1|If-Range: \"1\"|X-Own: 1|X-Empty: |Cache-Control: no-cache|Pragma: no-cache";

fn names(fields: &Fields) -> Vec<&str> {
    let mut names: Vec<&str> = fields.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    names
}

#[test]
fn the_origin_sees_a_short_list_of_a_request_whose_answer_may_be_stored() {
    let route = Route {
        key_cookies: vec!["currency".to_owned()],
        forward_headers: ForwardHeaders::Listed(
            ["x-own", "x-hop", "host", "cookie", "range", "x-forwarded-for", "x-original-url"]
                .iter()
                .map(|&n| n.to_owned())
                .collect(),
        ),
        ..Route::default()
    };
    let config = config(route);
    let head = get(HOSTILE);
    let admitted = serve(&head, &config);
    assert!(admitted.cookies_removed);
    let edge = EdgeFacts { origin_secret: Some("s3cret"), warm: true, ..EDGE };
    let sent = cacheable_request_fields(&head, &admitted, &edge);
    let want = fields(
        "accept: text/html|accept-language: en|accept-encoding: br, gzip|cookie: currency=EUR\
         |user-agent: edge-isr/test|x-own: 1|x-forwarded-host: example.com\
         |x-forwarded-proto: https|cdn-loop: other, edge-isr\
         |surrogate-capability: edge-isr=\"Surrogate/1.0\"|x-edge-isr-warmup: 1\
         |x-edge-isr-origin-auth: s3cret",
    );
    assert_eq!(names(&sent), names(&want));
    for (name, value) in want.iter() {
        assert_eq!(sent.get(name), Some(value), "{name}");
    }
}

#[test]
fn a_visitor_can_neither_claim_to_be_a_warm_nor_guess_the_secret() {
    let config = config(open_route());
    let head = get(HOSTILE);
    let sent = cacheable_request_fields(&head, &serve(&head, &config), &EDGE);
    assert!(!sent.has("x-edge-isr-warmup") && !sent.has("x-edge-isr-origin-auth"));
    let sent = pass_request_fields(&head, &EDGE);
    assert!(!sent.has("x-edge-isr-warmup") && !sent.has("x-edge-isr-origin-auth"));
}

#[test]
fn where_everything_is_forwarded_neither_hops_nor_proxies_nor_conditions_are() {
    let config = config(open_route());
    let head = get(HOSTILE);
    let sent = cacheable_request_fields(&head, &serve(&head, &config), &EDGE);
    let want = [
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "cdn-loop",
        "cookie",
        "pragma",
        "referer",
        "surrogate-capability",
        "user-agent",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-own",
    ];
    assert_eq!(names(&sent), want);
    assert_eq!(sent.get("user-agent"), Some("Mozilla"));
    assert_eq!(sent.get("x-forwarded-host"), Some("example.com"));
}

#[test]
fn a_request_that_passes_keeps_what_is_its_own() {
    let sent = pass_request_fields(&get(HOSTILE), &EDGE);
    let want = [
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "cdn-loop",
        "cf-access-jwt-assertion",
        "cookie",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "pragma",
        "range",
        "referer",
        "surrogate-capability",
        "user-agent",
        "x-empty",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-own",
    ];
    assert_eq!(names(&sent), want);
    assert_eq!(sent.get("x-forwarded-for"), Some("192.0.2.7"));
    assert_eq!(sent.get("accept-encoding"), Some("gzip, br"));
}

/// The runtime asks for codings in the name of who has named none, and hands out what they can't
/// read.
#[test]
fn who_names_no_coding_asks_for_none() {
    for lines in ["Cookie: sessionid=1", "Accept-Encoding: ", "Accept-Encoding: ,"] {
        let sent = pass_request_fields(&get(lines), &EDGE);
        assert_eq!(sent.get("accept-encoding"), Some("identity"), "{lines}");
    }
    let edge = EdgeFacts { client_accept_encoding: Some("br"), ..EDGE };
    let sent = pass_request_fields(&get("Cookie: sessionid=1"), &edge);
    assert_eq!(sent.get("accept-encoding"), Some("br"));
}

#[test]
fn an_upgrade_goes_through() {
    let head = get("Connection: keep-alive, Upgrade|Upgrade: websocket|Sec-WebSocket-Key: a");
    let sent = pass_request_fields(&head, &EDGE);
    assert_eq!(sent.get("upgrade"), Some("websocket"));
    assert_eq!(sent.get("connection"), Some("Upgrade"));
    assert_eq!(sent.get("sec-websocket-key"), Some("a"));
}

/// What the index keeps for a warm is what the origin was sent, and nothing that only fills it.
#[test]
fn nothing_is_kept_of_a_visitor_but_what_a_warm_needs() {
    let lines = "Accept: text/html,<|Accept-Language: de|X-Own: 1|Cookie: a=1; b=2|User-Agent: Mobi x\
                 |X-Forwarded-Host: much|Surrogate-Capability: much|X-Device: much|Referer: much\
                 |Accept-Encoding: gzip, much|CDN-Loop: other|X-Edge-ISR-Warmup: 1|Sec-CH-UA: much";
    let listed = Route {
        key_cookies: vec!["a".to_owned()],
        vary_on: vec![VaryOn::Device],
        forward_headers: ForwardHeaders::Listed(vec!["x-own".to_owned()]),
        ..Route::default()
    };
    let kept = |route: Route| {
        let config = config(route);
        let head = get(lines);
        let admitted = serve(&head, &config);
        let sent = cacheable_request_fields(&head, &admitted, &EDGE);
        let mut kept: Vec<String> = warm_fields(&head, &admitted, &sent)
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        kept.sort();
        kept.join("|")
    };
    assert_eq!(
        kept(listed),
        "accept-encoding: gzip|accept-language: de|accept: text/html|cdn-loop: other|cookie: a=1\
         |user-agent: mobile|x-own: 1"
    );
    assert_eq!(
        kept(open_route()),
        "accept-encoding: gzip|accept-language: de|accept: text/html,<|cdn-loop: other|referer: much\
         |sec-ch-ua: much|user-agent: Mobi x|x-own: 1"
    );
}

/// `Connection` takes fields of the hop away, but none that decisions rest on (RFC 9110 §7.6.1).
#[test]
fn connection_can_not_take_essential_fields_away() {
    let route = open_route();
    let got = visitor_fields(
        &fields(
            "Connection: age, cache-control, vary, set-cookie, a|Age: 9|Cache-Control: private\
             |Vary: x|Set-Cookie: b=c|A: 1|B: 2",
        ),
        &route,
        FreshnessSource::None,
    );
    assert_eq!(names(&got), ["age", "b", "cache-control", "set-cookie", "vary"]);
}

/// id, the origin's Cache-Control, source of the edge's freshness, what visitors get.
#[rustfmt::skip]
const VISITORS: &[(&str, &str, FreshnessSource, &str)] = &[
    ("max-age", "max-age=60, stale-while-revalidate=9", FreshnessSource::MaxAge, "max-age=60, stale-while-revalidate=9"),
    ("s-maxage", "s-maxage=60", FreshnessSource::SMaxAge, "max-age=0, must-revalidate"),
    ("s-maxage-public", "public, s-maxage=60, stale-while-revalidate=9, stale-if-error=9", FreshnessSource::SMaxAge, "public, max-age=0, must-revalidate"),
    ("s-maxage-max-age", "max-age=5, S-MaxAge=60, stale-while-revalidate=9", FreshnessSource::SMaxAge, "max-age=5"),
    ("s-maxage-must", "s-maxage=60, must-revalidate", FreshnessSource::SMaxAge, "must-revalidate, max-age=0"),
    ("s-maxage-quoted", "a=\"s-maxage=1, b\", s-maxage=60", FreshnessSource::SMaxAge, "a=\"s-maxage=1, b\", max-age=0, must-revalidate"),
    ("targeted", "no-store", FreshnessSource::Targeted, "no-store"),
    ("targeted-max-age", "max-age=5", FreshnessSource::Targeted, "max-age=5"),
    ("targeted-nothing", "", FreshnessSource::Targeted, "max-age=0, must-revalidate"),
    ("route", "", FreshnessSource::Route, "max-age=0, must-revalidate"),
    ("expires", "public", FreshnessSource::Expires, "public"),
    ("passed", "private, s-maxage=60", FreshnessSource::None, "private, s-maxage=60"),
];

#[test]
fn what_visitors_get_as_cache_control() {
    for (id, came, source, want) in VISITORS {
        let mut answer = fields("CDN-Cache-Control: max-age=9|Surrogate-Control: a|xkey: b|A: 1");
        if !came.is_empty() {
            answer.append("cache-control", *came);
        }
        let got = visitor_fields(&answer, &Route::default(), *source);
        assert_eq!(got.get("cache-control"), Some(*want), "{id}");
        assert_eq!(names(&got), ["a", "cache-control"], "{id}");
    }
    // RFC 9213 §3.1: where nothing is derived, a cache behind this one hears what the origin said
    // to CDNs.
    let answer = fields("CDN-Cache-Control: max-age=9|Surrogate-Control: a|xkey: b|A: 1");
    let got = visitor_fields(&answer, &open_route(), FreshnessSource::Targeted);
    assert_eq!(names(&got), ["a", "cdn-cache-control"]);
    let route = Route { visitor_cache_control: Some("max-age=3".to_owned()), ..Route::default() };
    let answer = fields("Cache-Control: max-age=60");
    let cache_control = |route: &Route, source| {
        visitor_fields(&answer, route, source).get("cache-control").map(str::to_owned)
    };
    assert_eq!(cache_control(&route, FreshnessSource::MaxAge).as_deref(), Some("max-age=3"));
    assert_eq!(cache_control(&route, FreshnessSource::None).as_deref(), Some("max-age=60"));
    let as_it_came = cache_control(&open_route(), FreshnessSource::SMaxAge);
    assert_eq!(as_it_came.as_deref(), Some("max-age=60"));
}

/// RFC 9111 §4.4: method, status, Location, Content-Location, what is invalidated.
#[test]
fn unsafe_requests_invalidate() {
    let config = Config {
        host_aliases: vec![("www.example.com".to_owned(), "example.com".to_owned())],
        ..Config::default()
    };
    let rows: [(u16, &str, &[&str]); 9] = [
        (200, "", &["/a?b=1"]),
        (303, "Location: /new/?utm_source=x", &["/a?b=1", "/new/"]),
        (201, "Location: https://www.example.com/n|Content-Location: x", &["/a?b=1", "/n", "/x"]),
        (200, "Content-Location: /a?b=1", &["/a?b=1"]),
        (200, "Location: https://other.example/n", &["/a?b=1"]),
        (200, "Location: https://example.com:8443/n", &["/a?b=1"]),
        (200, "Location: mailto:a@example.com", &["/a?b=1"]),
        (500, "Location: /n", &[]),
        (404, "", &[]),
    ];
    for (status, lines, want) in rows {
        let head = request("POST /a?b=1&utm_medium=y", "");
        let changed = changed_by(&head, &response(status, lines), &config);
        let got: Vec<String> = changed.iter().map(Page::purge_name).collect();
        let want: Vec<String> = want.iter().map(|path| format!("example.com{path}")).collect();
        assert_eq!(got, want, "{status} {lines}");
    }
}

#[test]
fn what_got_no_answer_is_sent_again_if_it_is_safe_and_has_no_body() {
    for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
        assert!(may_be_sent_again(method, false), "{method}");
        assert!(!may_be_sent_again(method, true), "{method} with a body");
    }
    // RFC 9110 §9.2.2 calls PUT and DELETE idempotent; what came between two of them is not known
    // here.
    for method in ["POST", "PUT", "DELETE", "PATCH", "get", "PROPFIND", "CONNECT", ""] {
        assert!(!may_be_sent_again(method, false), "{method}");
    }
}
