//! The settings: what each one becomes, and what is said of every wrong one.
#![allow(clippy::unwrap_used, clippy::panic)]

use edge_isr::base::time::{Millis, Seconds};
use edge_isr::config::host::{HostError, parse_host};
use edge_isr::config::{
    Action, Config, ErrorPage, ForwardHeaders, Ignored, LogLevel, Network, OriginUrl,
    OriginUrlError, PathPattern, QueryPolicy, Route, RouteRule, TRACKING_PARAMETERS, VaryOn,
};
use edge_isr::front_caches::parse_config;
use proptest::prelude::*;

fn right(json: &str) -> Config {
    parse_config(json).unwrap_or_else(|errors| panic!("{json}: {errors:?}"))
}

fn route(json: &str) -> Route {
    right(&format!("{{\"defaults\": {json}}}")).defaults
}

#[test]
fn an_empty_object_is_the_default() {
    assert_eq!(right("{}"), Config::default());
    assert_eq!(right(r#"{"defaults": {}, "routes": []}"#), Config::default());
}

#[test]
fn every_setting_arrives() {
    let given = right(
        r#"{
        "max_lag": 3.5, "sync_interval": 0.25, "journal_lost_limit": 60, "origin_timeout": 1.5, "compose_timeout": 2.5,
        "shards": 16, "control_prefix": "/_cache/isr",
        "host_aliases": {"www.Example.com": "example.com"},
        "control_hosts": ["Purge.example.com", "api.example.com:8443", "purge.example.com:443"],
        "trusted_ips": ["192.0.2.7", "10.0.0.0/8", "2001:db8::/32"],
        "max_body": 1000000, "memory": 10000000.0, "fill_memory": 2000000,
        "origin_concurrency": 7, "new_keys_per_second": 0, "journal_targets": 500,
        "warm_concurrency": 5, "warm_origin_concurrency": 4, "warm_rate": 20, "warm_attempts": 1,
        "audit_per_minute": 30,
        "location_hint": "weur", "jurisdiction": "eu",
        "log": "events",
        "error_page": {"title": "Closed", "text": "We are back at nine.", "style": "h1{color:red}"},
        "defaults": {
            "ttl": 60, "swr": 600, "sie": 86400, "negative_ttl": {"404": 10, "410": 0},
            "heuristics": true, "query": {"allow": ["page", "q", "page"]},
            "key_cookies": ["currency"], "bypass_cookies": ["sessionid", "wp_*"],
            "vary_on": ["device", "language"], "languages": ["en", "pt-BR"],
            "forward_headers": ["X-Tenant"], "visitor_cache_control": "max-age=5",
            "max_lag": 0, "upstream_cache": true, "request_directives": true,
            "unsafe_invalidates": false, "store_nonce": true, "esi": true, "trust_validators": true,
            "store_set_cookie": true, "audit": 0.25,
            "audit_ignore": ["<time>*</time>", "<time>*</time>"]
        }
    }"#,
    );
    let want = Config {
        max_lag: Millis(3500),
        sync_interval: Millis(250),
        journal_lost_limit: Millis(60_000),
        origin_timeout: Millis(1500),
        compose_timeout: Millis(2500),
        shards: 16,
        control_prefix: "/_cache/isr".into(),
        host_aliases: vec![("www.example.com".into(), "example.com".into())],
        control_hosts: vec!["purge.example.com".into(), "api.example.com:8443".into()],
        front_caches: Vec::new(),
        trusted_ips: ["192.0.2.7", "10.0.0.0/8", "2001:db8::/32"]
            .map(|text| Network::parse(text).unwrap())
            .to_vec(),
        max_body: 1_000_000,
        memory: 10_000_000,
        fill_memory: 2_000_000,
        origin_concurrency: 7,
        new_keys_per_second: 0,
        journal_targets: 500,
        warm_concurrency: 5,
        warm_origin_concurrency: Some(4),
        warm_rate: 20,
        warm_attempts: 1,
        audit_per_minute: 30,
        location_hint: Some("weur".into()),
        jurisdiction: Some("eu".into()),
        log: LogLevel::Events,
        error_page: ErrorPage {
            title: "Closed".into(),
            text: "We are back at nine.".into(),
            style: "h1{color:red}".into(),
        },
        defaults: Route {
            action: Action::Cache,
            ttl: Some(Seconds(60)),
            swr: Seconds(600),
            sie: Seconds(86400),
            negative_ttl: vec![(404, Seconds(10)), (410, Seconds(0))],
            heuristics: true,
            query: QueryPolicy::Allow(vec!["page".into(), "q".into()]),
            key_cookies: vec!["currency".into()],
            bypass_cookies: vec!["sessionid".into(), "wp_*".into()],
            vary_on: vec![VaryOn::Device, VaryOn::Language],
            languages: vec!["en".into(), "pt-BR".into()],
            forward_headers: ForwardHeaders::Listed(vec!["x-tenant".into()]),
            visitor_tags: Vec::new(),
            visitor_cache_control: Some("max-age=5".into()),
            max_lag: Some(Millis(0)),
            upstream_cache: true,
            request_directives: true,
            unsafe_invalidates: false,
            store_nonce: true,
            esi: true,
            store_set_cookie: true,
            compose: false,
            trust_validators: true,
            audit: 0.25,
            audit_ignore: vec![Ignored::parse("<time>*</time>").unwrap()],
        },
        routes: vec![],
    };
    assert_eq!(given, want);
}

#[test]
fn a_rule_takes_what_it_leaves_out_from_the_defaults() {
    // The order of keys is of no account: the rules stand before the defaults here.
    let config = right(
        r#"{"routes": [{"ttl": 5, "path": "/blog/*", "host": "Example.COM:443"},
                       {"path": "*.pdf", "query": "verbatim", "forward_headers": "all"},
                       {"path": "/admin/*", "action": "bypass"}],
            "defaults": {"ttl": 60, "swr": 600, "bypass_cookies": []}}"#,
    );
    let base = Route {
        ttl: Some(Seconds(60)),
        swr: Seconds(600),
        bypass_cookies: vec![],
        ..Route::default()
    };
    let pattern = |text| PathPattern::parse(text).unwrap();
    let want = [
        RouteRule {
            host: Some("example.com".into()),
            path: pattern("/blog/*"),
            route: Route { ttl: Some(Seconds(5)), ..base.clone() },
        },
        RouteRule {
            host: None,
            path: pattern("*.pdf"),
            route: Route {
                query: QueryPolicy::Verbatim,
                forward_headers: ForwardHeaders::All,
                ..base.clone()
            },
        },
        RouteRule {
            host: None,
            path: pattern("/admin/*"),
            route: Route { action: Action::Bypass, ..base.clone() },
        },
    ];
    assert_eq!(config.routes, want);
    assert_eq!(config.defaults, base);
    assert_eq!(config.route("example.com", "/blog/a").ttl, Some(Seconds(5)));
    assert_eq!(config.route("other.example", "/blog/a").ttl, Some(Seconds(60)));
}

#[test]
fn deny_adds_to_the_tracking_list() {
    let QueryPolicy::Deny(names) = route(r#"{"query": {"deny": ["ref", "gclid", "x_*"]}}"#).query
    else {
        panic!("not a deny list")
    };
    let (tracking, added) = names.split_at(TRACKING_PARAMETERS.len());
    assert_eq!(tracking, TRACKING_PARAMETERS);
    assert_eq!(added, ["ref", "x_*"]);
}

#[test]
fn what_is_not_set_follows_the_lag() {
    let short = right(r#"{"max_lag": 0.5}"#);
    assert_eq!((short.sync_interval, short.journal_lost_limit), (Millis(250), Millis(30_000)));
    let long = right(r#"{"max_lag": 60}"#);
    assert_eq!((long.sync_interval, long.journal_lost_limit), (Millis(1000), Millis(60_000)));
    let at_once = right(r#"{"max_lag": 0}"#);
    assert_eq!((at_once.max_lag, at_once.sync_interval), (Millis(0), Millis(0)));
}

#[test]
fn chains_of_aliases_are_followed_to_their_end() {
    let config = right(r#"{"host_aliases": {"a.example": "b.example", "b.example": "c.example"}}"#);
    for host in ["a.example", "b.example", "c.example"] {
        assert_eq!(config.purge_host(host), "c.example", "{host}");
    }
    assert_eq!(config.purge_host("d.example"), "d.example");
}

#[test]
fn networks_hold_their_addresses() {
    let rows = [
        ("192.0.2.7", "192.0.2.7", true),
        ("192.0.2.7", "192.0.2.8", false),
        ("192.0.2.7", "::ffff:192.0.2.7", true),
        ("10.0.0.0/8", "10.255.0.1", true),
        ("10.0.0.0/8", "11.0.0.1", false),
        ("10.0.0.0/8", "a00::1", false),
        ("128.0.0.0/1", "255.255.255.255", true),
        ("128.0.0.0/1", "ffff::1", false),
        ("2001:db8::/32", "2001:db8:1::1", true),
        ("2001:db8::/32", "2001:DB9::1", false),
        ("2001:db8::1", "2001:db8:0:0::1", true),
        ("::1", "127.0.0.1", false),
        ("127.0.0.1", "127.0.0.1, 10.0.0.1", false),
        ("127.0.0.1", "", false),
    ];
    for (network, address, want) in rows {
        assert_eq!(Network::parse(network).unwrap().holds(address), want, "{network} {address}");
    }
    assert!(!Config::default().trusts(Some("127.0.0.1")));
    assert!(!right(r#"{"trusted_ips": ["127.0.0.1"]}"#).trusts(None));
}

/// Given settings, the path of each problem and a part of what is said of it. No other problem may
/// be reported.
const WRONG: &[(&str, &[(&str, &str)])] = &[
    // The whole.
    ("", &[("EDGE_ISR", "malformed JSON")]),
    ("{", &[("EDGE_ISR", "malformed JSON")]),
    (r#"{"shards": NaN}"#, &[("EDGE_ISR", "malformed JSON")]),
    (r#"{"shards": 4, "shards": 8}"#, &[("EDGE_ISR", "\"shards\" is given twice")]),
    ("[]", &[("EDGE_ISR", "expected an object of settings, got a list")]),
    ("null", &[("EDGE_ISR", "got null")]),
    ("\"{}\"", &[("EDGE_ISR", "got \"{}\"")]),
    // Unknown keys, with the near one.
    (r#"{"max_lagg": 2}"#, &[("max_lagg", "unknown setting; did you mean `max_lag`?")]),
    (r#"{"max-lag": 2}"#, &[("max-lag", "did you mean `max_lag`?")]),
    (r#"{"route": []}"#, &[("route", "did you mean `routes`?")]),
    (r#"{"colour": 1}"#, &[("colour", "unknown setting")]),
    (r#"{"a b": 1}"#, &[("[\"a b\"]", "unknown setting")]),
    (r#"{"defaults": {"tll": 1}}"#, &[("defaults.tll", "did you mean `ttl`?")]),
    (r#"{"defaults": {"path": "/"}}"#, &[("defaults.path", "unknown setting")]),
    (r#"{"routes": [{"path": "/", "hots": "a"}]}"#, &[("routes[0].hots", "`host`")]),
    // Types.
    (r#"{"max_lag": "2"}"#, &[("max_lag", "expected a number of seconds, got \"2\"")]),
    (r#"{"max_lag": "NaN"}"#, &[("max_lag", "got \"NaN\"")]),
    (r#"{"max_lag": null}"#, &[("max_lag", "got null")]),
    (r#"{"shards": "8"}"#, &[("shards", "expected a number, got \"8\"")]),
    (r#"{"shards": 2.5}"#, &[("shards", "expected a whole number from 1 to 256, got 2.5")]),
    (r#"{"control_prefix": 1}"#, &[("control_prefix", "expected a text, got 1")]),
    (r#"{"routes": {}}"#, &[("routes", "expected a list of rules, got an object")]),
    (r#"{"routes": [1]}"#, &[("routes[0]", "expected an object of settings, got 1")]),
    (r#"{"defaults": []}"#, &[("defaults", "expected an object of settings, got a list")]),
    (r#"{"defaults": {"ttl": "abc"}}"#, &[("defaults.ttl", "expected a number of seconds")]),
    (r#"{"defaults": {"heuristics": 1}}"#, &[("defaults.heuristics", "true or false, got 1")]),
    (r#"{"defaults": {"key_cookies": "a"}}"#, &[("defaults.key_cookies", "expected a list")]),
    (r#"{"defaults": {"key_cookies": ["a", 2]}}"#, &[("defaults.key_cookies[1]", "got 2")]),
    (r#"{"defaults": {"negative_ttl": 10}}"#, &[("defaults.negative_ttl", "object")]),
    (r#"{"defaults": {"action": "cached"}}"#, &[("defaults.action", r#""cache" or "bypass""#)]),
    (r#"{"defaults": {"vary_on": ["colour"]}}"#, &[("defaults.vary_on[0]", "\"device\"")]),
    (r#"{"error_page": {"text": 1}}"#, &[("error_page.text", "a text")]),
    (r#"{"error_page": {"titel": ""}}"#, &[("error_page.titel", "title")]),
    (r#"{"error_page": {"style": "</style><script>"}}"#, &[("error_page.style", "</")]),
    (r#"{"log": "debug"}"#, &[("log", "\"off\" or \"problems\" or \"events\"")]),
    (r#"{"location_hint": "europe"}"#, &[("location_hint", "\"weur\"")]),
    (r#"{"jurisdiction": "us"}"#, &[("jurisdiction", "\"eu\" or \"fedramp\"")]),
    // Ranges.
    (r#"{"max_lag": -1}"#, &[("max_lag", "from 0 to 300, got -1")]),
    (r#"{"max_lag": 1e300}"#, &[("max_lag", "from 0 to 300")]),
    (r#"{"compose_timeout": 0}"#, &[("compose_timeout", "from 0.05 to 60")]),
    (r#"{"origin_timeout": 0}"#, &[("origin_timeout", "from 0.05 to 300")]),
    (r#"{"shards": 0}"#, &[("shards", "from 1 to 256, got 0")]),
    (r#"{"shards": 257}"#, &[("shards", "from 1 to 256, got 257")]),
    (r#"{"shards": -3}"#, &[("shards", "from 1 to 256, got -3")]),
    (r#"{"max_body": 26214401}"#, &[("max_body", "from 1 to 26214400")]),
    (r#"{"warm_concurrency": 6}"#, &[("warm_concurrency", "from 1 to 5")]),
    (r#"{"warm_rate": 0}"#, &[("warm_rate", "from 1 to 10000")]),
    (r#"{"warm_origin_concurrency": 1281}"#, &[("warm_origin_concurrency", "from 1 to 1280")]),
    (r#"{"warm_attempts": 0}"#, &[("warm_attempts", "from 1 to 20")]),
    (r#"{"audit_per_minute": 1}"#, &[("audit_per_minute", "from 2 to 1000")]),
    (r#"{"defaults": {"audit": 1.5}}"#, &[("defaults.audit", "a share of hits from 0 to 1")]),
    (r#"{"defaults": {"audit": "all"}}"#, &[("defaults.audit", "a share of hits from 0 to 1")]),
    (r#"{"defaults": {"audit_ignore": ["x"]}}"#, &[("defaults.audit_ignore[0]", "one *")]),
    (r#"{"defaults": {"audit_ignore": ["a*b*c"]}}"#, &[("defaults.audit_ignore[0]", "one *")]),
    (r#"{"defaults": {"audit_ignore": ["<i>*"]}}"#, &[("defaults.audit_ignore[0]", "after")]),
    (r#"{"defaults": {"audit_ignore": "<i>*</i>"}}"#, &[("defaults.audit_ignore", "a list")]),
    (
        r#"{"routes": [{"path": "/a/*", "action": "bypass", "audit": 0.1}]}"#,
        &[("routes[0].audit", "contradicts action")],
    ),
    (r#"{"journal_targets": 500001}"#, &[("journal_targets", "from 1 to 500000")]),
    (r#"{"origin_concurrency": 0}"#, &[("origin_concurrency", "from 1 to 10000")]),
    (r#"{"defaults": {"ttl": -1}}"#, &[("defaults.ttl", "got -1")]),
    (r#"{"defaults": {"swr": 0.5}}"#, &[("defaults.swr", "whole number of seconds")]),
    (r#"{"defaults": {"sie": 2147483649}}"#, &[("defaults.sie", "to 2147483648")]),
    (
        r#"{"defaults": {"negative_ttl": {"200": 1}}}"#,
        &[("defaults.negative_ttl.200", "300 to 599")],
    ),
    (r#"{"defaults": {"negative_ttl": {"0404": 1}}}"#, &[("defaults.negative_ttl.0404", "599")]),
    (
        r#"{"defaults": {"negative_ttl": {"522": 1}}}"#,
        &[("defaults.negative_ttl.522", "never stored")],
    ),
    (r#"{"defaults": {"negative_ttl": {"404": "x"}}}"#, &[("defaults.negative_ttl.404", "\"x\"")]),
    // Contradictions.
    (r#"{"max_lag": 1, "sync_interval": 2}"#, &[("sync_interval", "longer than max_lag (1 s)")]),
    (r#"{"journal_lost_limit": 1}"#, &[("journal_lost_limit", "shorter than max_lag (2 s)")]),
    (r#"{"defaults": {"max_lag": 31}}"#, &[("defaults.max_lag", "longer than journal_lost_limit")]),
    (r#"{"fill_memory": 1000}"#, &[("fill_memory", "less than max_body")]),
    (r#"{"memory": 80000000}"#, &[("memory", "together exceed")]),
    (
        r#"{"defaults": {"query": {"allow": [], "deny": []}}}"#,
        &[("defaults.query", "allow and deny contradict")],
    ),
    (r#"{"defaults": {"query": {}}}"#, &[("defaults.query", "needs allow or deny")]),
    (r#"{"defaults": {"query": "all"}}"#, &[("defaults.query", "\"verbatim\", got \"all\"")]),
    (r#"{"defaults": {"vary_on": ["language"]}}"#, &[("defaults.vary_on", "needs languages")]),
    (
        r#"{"defaults": {"languages": ["en"], "vary_on": ["language"]},
            "routes": [{"path": "/a", "languages": []}]}"#,
        &[("routes[0].languages", "needs languages")],
    ),
    (
        r#"{"defaults": {"vary_on": ["language"]}, "routes": [{"path": "/a", "ttl": 1}]}"#,
        &[("defaults.vary_on", "needs languages")],
    ),
    (
        r#"{"defaults": {"key_cookies": ["sessionid"]}}"#,
        &[("defaults.key_cookies", "the cookie sessionid is in key_cookies")],
    ),
    (
        r#"{"routes": [{"path": "/a", "action": "bypass", "ttl": 5}]}"#,
        &[("routes[0].ttl", "contradicts action \"bypass\"")],
    ),
    // Names.
    (r#"{"defaults": {"query": {"allow": ["a=b"]}}}"#, &[("defaults.query.allow[0]", "name")]),
    (r#"{"defaults": {"query": {"deny": ["a*b"]}}}"#, &[("defaults.query.deny[0]", "at its end")]),
    (r#"{"defaults": {"bypass_cookies": ["a b"]}}"#, &[("defaults.bypass_cookies[0]", "cookie")]),
    (r#"{"defaults": {"key_cookies": ["a*"]}}"#, &[("defaults.key_cookies[0]", "cookie")]),
    (r#"{"defaults": {"languages": ["en_US"]}}"#, &[("defaults.languages[0]", "\"pt-BR\"")]),
    (r#"{"defaults": {"forward_headers": "some"}}"#, &[("defaults.forward_headers", "\"all\"")]),
    (r#"{"defaults": {"forward_headers": ["a:"]}}"#, &[("defaults.forward_headers[0]", "header")]),
    (
        r#"{"defaults": {"forward_headers": ["Cookie"]}}"#,
        &[("defaults.forward_headers[0]", "\"Cookie\" can't be forwarded: name the cookies")],
    ),
    (
        r#"{"defaults": {"forward_headers": ["X-Forwarded-Host"]}}"#,
        &[("defaults.forward_headers[0]", "visitors can forge it")],
    ),
    (
        r#"{"defaults": {"visitor_cache_control": "a\r\nset-cookie: b"}}"#,
        &[("defaults.visitor_cache_control", "visible ASCII")],
    ),
    (r#"{"defaults": {"visitor_cache_control": " "}}"#, &[("defaults.visitor_cache_control", "")]),
    // Paths and hosts of rules.
    (r#"{"routes": [{}]}"#, &[("routes[0].path", "needs the paths")]),
    (r#"{"routes": [{"path": "blog"}]}"#, &[("routes[0].path", "starts with / or *")]),
    (r#"{"routes": [{"path": ""}]}"#, &[("routes[0].path", "starts with / or *")]),
    (r#"{"routes": [{"path": "/a?b"}]}"#, &[("routes[0].path", "no ? and no #")]),
    (r#"{"routes": [{"path": "/é"}]}"#, &[("routes[0].path", "percent-encoded, got \"/é\"")]),
    (r#"{"routes": [{"path": "/cdn-cgi/x"}]}"#, &[("routes[0].path", "the CDN's own")]),
    (r#"{"routes": [{"path": "/__isr/*"}]}"#, &[("routes[0].path", "the control API lives there")]),
    (
        r#"{"control_prefix": "/c", "routes": [{"path": "/c"}]}"#,
        &[("routes[0].path", "the control API lives there")],
    ),
    (r#"{"routes": [{"path": "/a", "host": ""}]}"#, &[("routes[0].host", "can't be empty")]),
    (r#"{"routes": [{"path": "/a", "host": "*.a"}]}"#, &[("routes[0].host", "no wildcard")]),
    (
        r#"{"routes": [{"path": "/a"}, {"path": "/b"}, {"path": "/a", "host": "x.example"}]}"#,
        &[("routes[2]", "never reached: routes[0]")],
    ),
    (
        r#"{"routes": [{"path": "/*"}, {"path": "/b"}]}"#,
        &[("routes[1]", "never reached: routes[0]")],
    ),
    // The control prefix.
    (r#"{"control_prefix": ""}"#, &[("control_prefix", "starts with /")]),
    (r#"{"control_prefix": "isr"}"#, &[("control_prefix", "starts with /")]),
    (r#"{"control_prefix": "/"}"#, &[("control_prefix", "can't be the whole site")]),
    (r#"{"control_prefix": "/isr/"}"#, &[("control_prefix", "no / at its end")]),
    (r#"{"control_prefix": "/a//b"}"#, &[("control_prefix", "neither empty")]),
    (r#"{"control_prefix": "/a/../b"}"#, &[("control_prefix", "nor ..")]),
    (r#"{"control_prefix": "/a%2f"}"#, &[("control_prefix", "letters, digits")]),
    (r#"{"control_prefix": "/cdn-cgi/isr"}"#, &[("control_prefix", "the CDN's own")]),
    // Aliases.
    (r#"{"host_aliases": ["a"]}"#, &[("host_aliases", "got a list")]),
    (r#"{"host_aliases": {"a": 1}}"#, &[("host_aliases.a", "the name of a host, got 1")]),
    (
        r#"{"host_aliases": {"https://a": "b"}}"#,
        &[(r#"host_aliases["https://a"]"#, "the alias is wrong: a host stands alone")],
    ),
    (r#"{"host_aliases": {"a": "b/c"}}"#, &[("host_aliases.a", "stands alone")]),
    (r#"{"host_aliases": {"a": "a"}}"#, &[("host_aliases.a", "in a circle")]),
    (
        r#"{"host_aliases": {"a": "b", "b": "a"}}"#,
        &[("host_aliases.a", "in a circle"), ("host_aliases.b", "in a circle")],
    ),
    (r#"{"host_aliases": {"A": "b", "a": "c"}}"#, &[("host_aliases.a", "an alias already")]),
    // Control hosts and trusted addresses.
    (r#"{"control_hosts": "a"}"#, &[("control_hosts", "expected a list")]),
    (r#"{"control_hosts": [1]}"#, &[("control_hosts[0]", "the name of a host, got 1")]),
    (r#"{"control_hosts": ["a", "a/b"]}"#, &[("control_hosts[1]", "stands alone")]),
    (r#"{"trusted_ips": "10.0.0.1"}"#, &[("trusted_ips", "expected a list")]),
    (r#"{"trusted_ips": [10]}"#, &[("trusted_ips[0]", "an address or a network, got 10")]),
    (r#"{"trusted_ips": ["localhost"]}"#, &[("trusted_ips[0]", "expected an address")]),
    (r#"{"trusted_ips": ["10.0.0.1:80"]}"#, &[("trusted_ips[0]", "expected an address")]),
    (r#"{"trusted_ips": ["10.0.0.0/33"]}"#, &[("trusted_ips[0]", "expected an address")]),
    (r#"{"trusted_ips": ["10.0.0.0/+8"]}"#, &[("trusted_ips[0]", "expected an address")]),
    (r#"{"trusted_ips": ["10.0.0.0/"]}"#, &[("trusted_ips[0]", "expected an address")]),
    (r#"{"trusted_ips": ["10.0.0.1/8"]}"#, &[("trusted_ips[0]", "bits behind its prefix")]),
    (r#"{"trusted_ips": ["0.0.0.0/0"]}"#, &[("trusted_ips[0]", "trust everyone")]),
    (r#"{"trusted_ips": ["::/0"]}"#, &[("trusted_ips[0]", "trust everyone")]),
    // Everything at once.
    (
        r#"{"shards": 0, "log": 1, "routes": [{"path": "/a"}, {"path": "/b"}, {"path": "/c", "ttl": "abc"}]}"#,
        &[("shards", ""), ("log", ""), ("routes[2].ttl", "a number of seconds, got \"abc\"")],
    ),
];

#[test]
fn every_wrong_value_is_named_with_its_path() {
    for (json, want) in WRONG {
        let Err(errors) = parse_config(json) else { panic!("{json} was taken") };
        let mut got: Vec<_> =
            errors.iter().map(|e| (e.path.as_str(), e.problem.as_str())).collect();
        let mut want: Vec<_> = want.to_vec();
        got.sort_unstable();
        want.sort_unstable();
        let same = got.len() == want.len()
            && got
                .iter()
                .zip(&want)
                .all(|((path, problem), (at, part))| path == at && problem.contains(part));
        assert!(same, "{json}\n got: {got:?}\nwant: {want:?}");
    }
}

#[test]
fn an_error_reads_as_path_and_problem() {
    let errors = parse_config(r#"{"defaults": {"ttl": "abc"}}"#).unwrap_err();
    assert_eq!(errors[0].to_string(), "defaults.ttl: expected a number of seconds, got \"abc\"");
}

#[test]
fn a_long_wrong_text_is_not_repeated_whole() {
    let errors = parse_config(&format!(r#"{{"log": "{}"}}"#, "x".repeat(5000))).unwrap_err();
    assert!(errors[0].problem.len() < 120, "{}", errors[0].problem.len());
}

#[test]
fn hosts_have_one_form() {
    let rows = [
        ("Example.COM", Ok("example.com")),
        ("example.com:443", Ok("example.com")),
        ("example.com:80", Ok("example.com")),
        ("example.com:8443", Ok("example.com:8443")),
        ("XN--bcher-KVA.example", Ok("xn--bcher-kva.example")),
        ("127.0.0.1:8787", Ok("127.0.0.1:8787")),
        ("[::1]", Ok("[::1]")),
        ("[0:0:0:0:0:0:0:1]:8080", Ok("[::1]:8080")),
        ("", Err(HostError::Empty)),
        ("https://example.com", Err(HostError::NotAlone)),
        ("example.com/", Err(HostError::NotAlone)),
        ("u@example.com", Err(HostError::NotAlone)),
        ("*.example.com", Err(HostError::Wildcard)),
        ("%2a.example.com", Err(HostError::Wildcard)),
        ("bücher.example", Err(HostError::NotAscii)),
        ("bu\u{308}cher.example:8443", Err(HostError::NotAscii)),
        ("example。com", Err(HostError::NotAscii)),
        ("b%C3%BCcher.example", Err(HostError::Malformed)),
        ("exa mple.com", Err(HostError::Malformed)),
        ("[::1", Err(HostError::Malformed)),
        ("example.com:", Err(HostError::Port)),
        ("example.com:0", Err(HostError::Port)),
        ("example.com:+1", Err(HostError::Port)),
        ("example.com:65536", Err(HostError::Port)),
    ];
    for (given, want) in rows {
        assert_eq!(parse_host(given), want.map(str::to_owned), "{given}");
    }
}

#[test]
fn origins_are_parsed_or_refused() {
    use OriginUrlError::{Credentials, Empty, Fragment, Malformed, NotAscii, Query, Scheme};
    let rows = [
        ("https://Origin.example", Ok("https://origin.example")),
        ("https://origin.example/", Ok("https://origin.example")),
        ("https://origin.example:443/a/b/", Ok("https://origin.example/a/b")),
        ("http://127.0.0.1:8000", Ok("http://127.0.0.1:8000")),
        ("http://[::1]:8000/x", Ok("http://[::1]:8000/x")),
        (" https://origin.example\n", Ok("https://origin.example")),
        ("", Err(Empty)),
        ("  ", Err(Empty)),
        ("origin.example", Err(Malformed)),
        ("https:origin.example", Err(Malformed)),
        ("https:///origin.example", Err(Malformed)),
        ("https://", Err(Malformed)),
        ("https://ori gin.example", Err(Malformed)),
        ("https://origin.example:99999", Err(Malformed)),
        ("https://xn--bcher-kva.example/ü", Ok("https://xn--bcher-kva.example/%C3%BC")),
        ("https://bücher.example", Err(NotAscii)),
        ("https://b%C3%BCcher.example", Err(Malformed)),
        ("https://üser@bücher.example", Err(Credentials)),
        ("ftp://origin.example", Err(Scheme)),
        ("https://user:word@origin.example", Err(Credentials)),
        ("https://@origin.example", Err(Credentials)),
        ("https://origin.example/?a", Err(Query)),
        ("https://origin.example/?", Err(Query)),
        ("https://origin.example/#a", Err(Fragment)),
    ];
    for (given, want) in rows {
        let got = OriginUrl::parse(given).map(|origin| origin.to_string());
        assert_eq!(got, want.map(str::to_owned), "{given:?}");
    }
    let origin = OriginUrl::parse("http://o.example:8000/base/").unwrap();
    assert_eq!(origin.join("/a?b"), "http://o.example:8000/base/a?b");
    assert_eq!((origin.scheme(), origin.host().as_str()), ("http", "o.example:8000"));
}

#[test]
fn an_origin_that_is_the_worker_is_seen() {
    let rows = [
        ("https://example.com", "example.com", true),
        ("https://example.com", "EXAMPLE.com.", true),
        ("http://example.com", "example.com", true),
        ("https://example.com/base", "example.com:443", true),
        ("https://example.com", "example.com:80", false),
        ("https://example.com:8443", "example.com", false),
        ("http://127.0.0.1:8787", "127.0.0.1:8787", true),
        ("http://127.0.0.1:8000", "127.0.0.1:8787", false),
        ("http://[::1]:8787", "[0:0::1]:8787", true),
        ("https://origin.example.com", "example.com", false),
        ("https://example.com", "", false),
    ];
    for (origin, worker, want) in rows {
        let got = OriginUrl::parse(origin).unwrap().conflicts_with(worker);
        assert_eq!(got, want, "{origin} behind {worker}");
    }
}

#[test]
fn the_summary_counts() {
    let config = right(
        r#"{"routes": [{"path": "/secret/*", "action": "bypass"}, {"path": "/b"}],
            "host_aliases": {"a.example": "b.example"}}"#,
    );
    let mut summary = serde_json::to_value(config.summary()).unwrap();
    let rules = summary.as_object_mut().unwrap().remove("rules").unwrap();
    assert_eq!(rules.as_array().unwrap().len(), 3, "and the defaults");
    assert_eq!(
        summary,
        serde_json::json!({
            "max_lag_ms": 2000, "sync_interval_ms": 1000, "journal_lost_limit_ms": 30000,
            "shards": 8, "routes": 2, "bypass_routes": 1, "host_aliases": 1
        })
    );
}

/// Objects made of the settings' own names and of any values: they reach every reader.
fn settings() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::{Value, json};
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        ".{0,12}".prop_map(Value::from),
        "[/*.a-z?#:@]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let names = [
            "max_lag",
            "sync_interval",
            "journal_lost_limit",
            "shards",
            "memory",
            "fill_memory",
            "max_body",
            "control_prefix",
            "host_aliases",
            "defaults",
            "routes",
            "path",
            "host",
            "ttl",
            "negative_ttl",
            "404",
            "query",
            "allow",
            "deny",
            "languages",
            "vary_on",
            "key_cookies",
            "forward_headers",
            "log",
            "a.example",
            "b.example",
        ];
        let key = prop_oneof![4 => prop::sample::select(names.to_vec()).prop_map(str::to_owned),
                              1 => ".{0,6}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::vec((key, inner), 0..6)
                .prop_map(|rows| Value::Object(rows.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_value_is_parsed_or_refused(value in settings()) {
        let providers = edge_isr::front_caches::providers();
        if let Err(errors) = edge_isr::config::from_value(&value, &providers) {
            prop_assert!(!errors.is_empty());
            prop_assert!(errors.iter().all(|e| !e.path.is_empty() && !e.problem.is_empty()));
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in ".{0,64}") {
        let _ = parse_config(&text);
        let _ = OriginUrl::parse(&text).map(|origin| origin.conflicts_with(&text));
        let _ = parse_host(&text);
    }

    /// What is accepted keeps the order that the view relies on.
    #[test]
    fn accepted_bounds_are_in_order(
        lag in 0u32..400,
        interval in prop::option::of(0u32..400),
        lost in prop::option::of(0u32..400),
    ) {
        let mut value = serde_json::json!({ "max_lag": lag });
        if let Some(interval) = interval { value["sync_interval"] = interval.into(); }
        if let Some(lost) = lost { value["journal_lost_limit"] = lost.into(); }
        let providers = edge_isr::front_caches::providers();
        if let Ok(config) = edge_isr::config::from_value(&value, &providers) {
            prop_assert!(config.sync_interval <= config.max_lag);
            prop_assert!(config.max_lag <= config.journal_lost_limit);
        }
    }
}

#[test]
fn what_contradicts_composed_pages_is_named() {
    for (key, value) in [
        ("forward_headers", "\"all\""),
        ("store_set_cookie", "true"),
        ("visitor_cache_control", "\"max-age=5\""),
        ("key_cookies", "[\"my_session\"]"),
        ("key_cookies", "[\"csrftoken\"]"),
        ("action", "\"bypass\""),
    ] {
        let here = format!("{{\"defaults\": {{\"compose\": true, \"{key}\": {value}}}}}");
        let problems = parse_config(&here).unwrap_err();
        assert!(problems.iter().any(|problem| problem.path == format!("defaults.{key}")), "{here}");
        // Also where one of them is inherited.
        let split = format!(
            "{{\"defaults\": {{\"{key}\": {value}}}, \"routes\": [{{\"path\": \"/a\", \"compose\": true}}]}}"
        );
        let problems = parse_config(&split).unwrap_err();
        assert!(problems.iter().any(|problem| problem.path == "routes[0].compose"), "{split}");
    }
    let both = "{\"defaults\": {\"compose\": true, \"key_cookies\": [\"sid_1\"],
        \"bypass_cookies\": [\"sid_*\"]}}";
    let problems = parse_config(both).unwrap_err();
    assert!(problems.iter().any(|problem| problem.path == "defaults.key_cookies"), "{problems:?}");
    let good = "{\"defaults\": {\"compose\": true, \"key_cookies\": [\"django_language\"]}}";
    assert!(parse_config(good).expect("good").defaults.compose);
}
