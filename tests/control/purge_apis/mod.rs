//! Other caches' purge APIs: which call a request is, who may make it, what it names, and how each
//! API says yes and no.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]
#![allow(clippy::type_complexity, reason = "the rows of tables")]

mod cloudflare;
mod cloudfront;
mod fastly;
mod keycdn;
mod method;

use edge_isr::base::time::{Epoch, Timestamp};
use edge_isr::config::Config;
use edge_isr::control::auth::{AuthError, Caller};
use edge_isr::control::problem::Problem;
use edge_isr::control::purge_apis::{Call, PurgeCall, PurgeOutcome, PurgeRefusal, Reply, route};
use edge_isr::control::{ProblemKind, Secrets, TokenScope};
use edge_isr::front_caches::parse_config;
use edge_isr::http::RequestHead;
use edge_isr::journal::Mode;
use proptest::prelude::*;
use serde_json::Value;

/// A token's value; `reader` can't invalidate.
const TOKEN: &str = "wJalrXUtnFEMI-secret";
const READER: &str = "reader-secret-value";
/// 2026-11-21T09:37:00Z.
const NOW: Timestamp = Timestamp::from_seconds(1_795_253_820);

fn secrets() -> Secrets {
    Secrets::parse("", &format!("ci:revalidate:{TOKEN} look:read:{READER}")).unwrap()
}

fn config() -> Config {
    let text = r#"{"control_hosts": ["purge.example.com", "cdn.example.net"],
        "host_aliases": {"example.com": "www.example.com", "cdn.example.net": "www.example.com"},
        "trusted_ips": ["10.0.0.0/8"]}"#;
    parse_config(text).unwrap()
}

/// `METHOD URL`, and fields.
fn request(line: &str, fields: &[(&str, &str)]) -> RequestHead {
    let (method, url) = line.split_once(' ').unwrap();
    let (scheme, rest) = url.split_once("://").unwrap();
    let (host, target) = rest.split_at(rest.find('/').unwrap());
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    RequestHead {
        method: method.to_owned(),
        scheme: scheme.to_owned(),
        host: host.to_owned(),
        path: path.to_owned(),
        query,
        fields: fields.iter().map(|(n, v)| (*n, *v)).collect(),
        client: Some("192.0.2.7".to_owned()),
    }
}

fn call(line: &str) -> Call {
    route(&request(line, &[]), &config()).expect(line).expect(line)
}

/// What a call asks for, whoever makes it.
fn read(line: &str, fields: &[(&str, &str)], body: &str) -> Result<PurgeCall, Problem> {
    call(line).read(&request(line, fields), body.as_bytes(), &config())
}

/// The targets as `kind:name`, and the mode.
fn named(purge: &PurgeCall) -> (Vec<String>, Mode) {
    let kinds = ["", "tag", "url", "prefix", "host", "all"];
    let name =
        |t: &edge_isr::cache::tag::Target| format!("{} {}", kinds[usize::from(t.kind())], t.name());
    (purge.command.targets.iter().map(|t| name(t).trim().to_owned()).collect(), purge.command.mode)
}

fn accepted(purge: &PurgeCall) -> Reply {
    purge.accepted(&PurgeOutcome { id: "job-1", epoch: Epoch(7), at: NOW })
}

/// The answer to a call whose content is refused.
fn refusal(line: &str, fields: &[(&str, &str)], body: &str) -> Reply {
    let problem = read(line, fields, body).expect_err(line);
    call(line).refused(&PurgeRefusal::Content(problem))
}

/// The answer to a call whose caller is refused.
fn turned_away(line: &str, fields: &[(&str, &str)]) -> Reply {
    call(line).refused(&PurgeRefusal::Caller(caller(line, fields).expect_err(line)))
}

fn caller(line: &str, fields: &[(&str, &str)]) -> Result<Caller, AuthError> {
    call(line).authenticate(&request(line, fields), b"", &secrets(), &config(), NOW)
}

fn json(reply: &Reply) -> Value {
    assert_eq!(reply.fields.get("content-type"), Some("application/json"));
    assert_eq!(reply.fields.get("cache-control"), Some("no-store"));
    serde_json::from_slice(&reply.body).unwrap()
}

fn not_recorded(line: &str) -> Reply {
    call(line).refused(&PurgeRefusal::Content(Problem::not_recorded("journal-unreachable")))
}

#[test]
fn calls_are_known_below_the_prefix_and_at_the_root_of_control_hosts() {
    let rows = [
        (
            "POST https://a.example/__isr/cloudflare/client/v4/zones/z/purge_cache",
            Some("cloudflare"),
        ),
        ("POST https://a.example/__isr/cloudflare/zones/z/purge_cache", Some("cloudflare")),
        ("POST https://purge.example.com/client/v4/zones/z/purge_cache", Some("cloudflare")),
        ("POST https://purge.example.com/zones/z/purge_cache", Some("cloudflare")),
        ("POST https://a.example/__isr/fastly/service/s/purge_all", Some("fastly")),
        ("POST https://purge.example.com/service/s/purge_all", Some("fastly")),
        ("POST https://purge.example.com/purge/www.example.com/", Some("fastly")),
        (
            "POST https://a.example/__isr/cloudfront/2020-05-31/distribution/D/invalidation",
            Some("cloudfront"),
        ),
        (
            "POST https://purge.example.com/2020-05-31/distribution/D/invalidation",
            Some("cloudfront"),
        ),
        ("DELETE https://a.example/__isr/keycdn/zones/purgeurl/1.json", Some("keycdn")),
        ("DELETE https://purge.example.com/zones/purgetag/1.json", Some("keycdn")),
        ("PURGE https://a.example/blog/", Some("purge")),
        ("PURGE https://cdn.example.net/blog/", Some("purge")),
        ("PURGE https://a.example/__isr/purge/a.example/", Some("purge")),
        ("POST https://a.example/__isr/purge/a.example/blog/", Some("purge")),
        ("BAN https://a.example/blog/", Some("ban")),
        ("POST https://a.example/__isr/ban/a.example/blog/", Some("ban")),
        // Pages.
        ("POST https://a.example/client/v4/zones/z/purge_cache", None),
        ("POST https://a.example/service/s/purge_all", None),
        ("purge https://a.example/blog/", None),
        ("POST https://a.example/blog/", None),
        ("GET https://a.example/__isrx/fastly/service/s/purge_all", None),
        // The control API's own.
        ("POST https://a.example/__isr/v1/revalidate", None),
        ("POST https://purge.example.com/__isr/v1/revalidate", None),
        ("PURGE https://a.example/__isr/v1/revalidate", None),
        ("PURGE https://a.example/__isr", None),
        ("POST https://a.example/__isr/fastly", None),
    ];
    for (line, want) in rows {
        let got = route(&request(line, &[]), &config()).map(|call| call.expect(line).api.name());
        assert_eq!(got, want, "{line}");
    }
}

#[test]
fn a_control_host_has_no_pages() {
    for path in ["/", "/blog/", "/zones", "/2020-5-31/distribution/", "/service", "/client/v3/"] {
        let line = format!("GET https://purge.example.com{path}");
        let problem = route(&request(&line, &[]), &config()).unwrap().expect_err(path);
        assert_eq!(problem.kind(), ProblemKind::NotFound, "{path}");
    }
}

#[test]
fn a_token_is_found_where_the_client_carries_it() {
    let line = "POST https://a.example/__isr/fastly/service/s/purge_all";
    let ci = Ok(Caller::Token { name: "ci".to_owned() });
    let unknown = Err(AuthError::UnknownToken);
    let malformed = Err(AuthError::MalformedToken);
    let bearer = format!("Bearer {TOKEN}");
    // `ci:…` and `…:` in base64.
    let password = "Basic Y2k6d0phbHJYVXRuRkVNSS1zZWNyZXQ=";
    let user = "basic d0phbHJYVXRuRkVNSS1zZWNyZXQ6";
    let rows: [(&[(&str, &str)], Result<Caller, AuthError>); 15] = [
        (&[("authorization", &bearer)], ci.clone()),
        (&[("authorization", password)], ci.clone()),
        (&[("authorization", user)], ci.clone()),
        (&[("x-auth-key", TOKEN), ("x-auth-email", "a@example.com")], ci.clone()),
        (&[("fastly-key", TOKEN)], ci.clone()),
        (&[("fastly-key", "wrong")], unknown.clone()),
        (&[("x-auth-key", "ci")], unknown.clone()),
        // The first that is there counts alone.
        (&[("authorization", "Bearer wrong"), ("fastly-key", TOKEN)], unknown),
        (&[("fastly-key", TOKEN), ("fastly-key", TOKEN)], malformed.clone()),
        (&[("authorization", "Basic Og==")], malformed.clone()),
        (&[("authorization", "Basic !")], malformed.clone()),
        (&[("authorization", TOKEN)], malformed.clone()),
        (&[("fastly-key", "")], malformed),
        (&[("fastly-key", READER)], Err(AuthError::ScopeMissing(TokenScope::Revalidate))),
        (&[], Err(AuthError::Missing)),
    ];
    for (fields, want) in rows {
        assert_eq!(caller(line, fields), want, "{fields:?}");
    }
}

#[test]
fn every_answer_names_its_job() {
    let rows = [
        ("POST https://purge.example.com/service/s/purge_all", ""),
        ("POST https://purge.example.com/zones/z/purge_cache", r#"{"tags": ["a"]}"#),
        ("GET https://purge.example.com/zones/purge/1.json", ""),
        ("PURGE https://a.example/", ""),
    ];
    for (line, body) in rows {
        let reply = accepted(&read(line, &[], body).expect(line));
        assert_eq!(reply.fields.get("x-edge-isr-job"), Some("job-1"), "{line}");
    }
}

#[test]
fn a_call_names_one_thing_once() {
    let body =
        r#"{"files": ["http://example.com/a", "https://www.example.com:443/a?utm_source=x"]}"#;
    let purge = read("POST https://purge.example.com/zones/z/purge_cache", &[], body).unwrap();
    assert_eq!(named(&purge).0, ["url www.example.com/a"]);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// A call is a command with targets, or a refusal in the 400s, whatever is sent.
    #[test]
    fn any_call_is_answered(
        method in "(GET|POST|DELETE|PURGE|BAN)",
        path in "/__isr/(cloudflare|fastly|cloudfront|keycdn|purge|ban)/(zones/z/purge_cache|\
                 service/s/purge|2020-05-31/distribution/d.e/invalidation|\
                 zones/purgetag/1.json)?[ -~]{0,24}",
        field in "(x-url|x-ban-url|x-host|x-cache-tags|surrogate-key|soft)",
        value in "[ -~é]{0,24}",
        body in "(<InvalidationBatch><Paths><Quantity>1|\\{\"tags\": \\[)?[ -~é]{0,40}",
    ) {
        let mut head = request(&format!("{method} https://a.example/"), &[(&field, &value)]);
        head.path = path;
        if let Some(Ok(call)) = route(&head, &config()) {
            match call.read(&head, body.as_bytes(), &config()) {
                Ok(purge) => {
                    prop_assert!(!purge.command.targets.is_empty());
                    prop_assert!((200..=201).contains(&accepted(&purge).status));
                }
                Err(problem) => {
                    let reply = call.refused(&PurgeRefusal::Content(problem));
                    prop_assert!((400..500).contains(&reply.status), "{reply:?}");
                }
            }
        }
    }
}
