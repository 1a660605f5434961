//! The body of a revalidate call: what it becomes, and what is said of every wrong one.
#![allow(clippy::unwrap_used, clippy::panic)]

use edge_isr::base::time::{Millis, Timestamp};
use edge_isr::cache::admission::{Admission, admit};
use edge_isr::cache::tag::{Tag, TagSet, Target, page_targets};
use edge_isr::config::Config;
use edge_isr::control::revalidate::{MAX_BODY_BYTES, body_digest, check_length, parse};
use edge_isr::control::targets::{TargetError, page_query, widened_prefix};
use edge_isr::control::{Problem, ProblemKind, RevalidateCommand};
use edge_isr::front_caches::parse_config;
use edge_isr::http::{Fields, RequestHead};
use edge_isr::journal::Mode;
use proptest::prelude::*;
use serde_json::json;

/// 2026-12-01T08:30:00Z.
const NOW: Timestamp = Timestamp::from_seconds(1_796_113_800);

fn config() -> Config {
    parse_config(r#"{"host_aliases": {"www.example.com": "example.com"}}"#).unwrap()
}

/// Stands in for the cache key's own: drops `utm_source`, sorts the rest.
fn normalise(_host: &str, _path: &str, query: &str) -> Option<String> {
    let kept = |part: &&str| !part.is_empty() && !part.starts_with("utm_source=");
    let mut parts: Vec<&str> = query.split('&').filter(kept).collect();
    parts.sort_unstable();
    if parts.is_empty() { None } else { Some(parts.join("&")) }
}

fn given(body: &[u8]) -> Result<RevalidateCommand, Problem> {
    parse(body, &config(), &normalise, NOW)
}

fn taken(body: &str) -> RevalidateCommand {
    given(body.as_bytes()).unwrap_or_else(|problem| panic!("{body}: {problem:?}"))
}

fn tag(name: &str) -> Target {
    Target::Tag(Tag::parse(name).unwrap())
}

fn url(name: &str) -> Target {
    Target::Url(name.to_owned())
}

fn prefix(name: &str) -> Target {
    Target::Prefix(name.to_owned())
}

fn host(name: &str) -> Target {
    Target::Host(name.to_owned())
}

#[test]
fn a_whole_call_arrives() {
    let command = taken(
        r#"{"tags": ["post:42"], "urls": ["https://www.example.com/a?b=2&utm_source=x&a=1"],
            "prefixes": ["http://example.com/blog/"], "hosts": ["WWW.example.com"], "all": false,
            "mode": "hard", "warm": true, "wait_ms": 25000, "reinvalidate_after_ms": 3600000,
            "dry_run": true, "reason": "édité"}"#,
    );
    let want = RevalidateCommand {
        targets: vec![
            tag("post:42"),
            url("example.com/a?a=1&b=2"),
            prefix("example.com/blog/"),
            host("example.com"),
        ],
        mode: Mode::Hard,
        warm: true,
        wait: Millis(25_000),
        reinvalidate_after: Millis(3_600_000),
        at: None,
        dry_run: true,
        reason: "édité".into(),
        notes: vec![],
    };
    assert_eq!(command, want);
}

#[test]
fn what_is_left_out_has_defaults() {
    assert_eq!(taken(r#"{"tags": ["a"]}"#), RevalidateCommand::of(vec![tag("a")]));
    assert_eq!(taken(r#"{"all": true}"#), RevalidateCommand::of(vec![Target::All]));
    assert_eq!(taken(r#"{"all": true, "tags": []}"#), RevalidateCommand::of(vec![Target::All]));
    let command = taken(r#"{"tags": ["a"], "mode": "soft", "warm": false}"#);
    assert!(!command.warm);
}

#[test]
fn a_time_ahead_is_kept_and_one_that_has_come_is_now() {
    let rows = [
        ("2026-12-01T08:30:01Z", Some(1_000)),
        ("2026-12-01T09:30:00.001+01:00", Some(1)),
        ("2027-12-02T08:30:00Z", Some(366 * 86_400_000)),
        ("2026-12-01T08:30:00Z", None),
        ("2026-12-01T08:29:59Z", None),
        ("2026-11-30T08:30:00Z", None),
    ];
    for (text, want) in rows {
        let command = taken(&json!({"tags": ["a"], "at": text}).to_string());
        assert_eq!(command.at, want.map(|ahead| NOW.plus(Millis(ahead))), "{text}");
    }
    let wrong = [
        (json!("2026-11-30T08:29:59.999Z"), ProblemKind::OutOfRange, "a day ago"),
        (json!("2027-12-02T08:30:00.001Z"), ProblemKind::OutOfRange, "366 days"),
        (json!("2026-12-02"), ProblemKind::InvalidValue, "RFC 3339"),
        (json!("tomorrow"), ProblemKind::InvalidValue, "RFC 3339"),
        (json!(""), ProblemKind::InvalidValue, "RFC 3339"),
        (json!("2026-12-02T08:30:00"), ProblemKind::InvalidValue, "RFC 3339"),
        (json!(1_796_113_800_000_u64), ProblemKind::WrongType, "a text"),
        (json!(null), ProblemKind::WrongType, "a text"),
    ];
    for (at, kind, words) in wrong {
        let problem = given(json!({"tags": ["a"], "at": at}).to_string().as_bytes()).unwrap_err();
        assert_eq!((problem.kind(), problem.field()), (kind, Some("at")), "{at}");
        assert!(problem.detail().contains(words), "{at}: {problem:?}");
    }
    // What goes with it.
    let ahead = "2026-12-01T08:30:01Z";
    let tags: Vec<String> = (0..501).map(|n| n.to_string()).collect();
    let refused = [
        (json!({"tags": ["a"], "at": ahead, "wait_ms": 1}), ProblemKind::Contradiction),
        (json!({"tags": tags, "at": ahead}), ProblemKind::TooManyTargets),
    ];
    for (body, kind) in refused {
        assert_eq!(given(body.to_string().as_bytes()).unwrap_err().kind(), kind);
    }
    taken(&json!({"tags": tags, "at": "2026-12-01T08:30:00Z"}).to_string());
}

#[test]
fn targets_have_one_form() {
    let rows: &[(&str, serde_json::Value, Vec<Target>)] = &[
        ("duplicates merge", json!({"tags": ["b", "a", "b"]}), vec![tag("a"), tag("b")]),
        (
            "scheme and default port go",
            json!({"urls": ["http://example.com:80/", "https://EXAMPLE.com:443/", "https://www.example.com"]}),
            vec![url("example.com/")],
        ),
        (
            "another port stays",
            json!({"urls": ["https://example.com:8443/a"]}),
            vec![url("example.com:8443/a")],
        ),
        (
            "a fragment goes",
            json!({"urls": ["https://example.com/a#b"]}),
            vec![url("example.com/a")],
        ),
        (
            "an empty query is none",
            json!({"urls": ["https://example.com/a?"]}),
            vec![url("example.com/a")],
        ),
        (
            "a query of nothing that counts is none",
            json!({"urls": ["https://example.com/a?utm_source=b"]}),
            vec![url("example.com/a")],
        ),
        (
            "paths are encoded as the runtime does",
            json!({"urls": ["https://example.com/é/%c3%a9/a%2Fb"]}),
            vec![url("example.com/%C3%A9/%C3%A9/a%2Fb")],
        ),
        (
            "dot segments are resolved as the runtime does",
            json!({"urls": ["https://example.com/a/../b"]}),
            vec![url("example.com/b")],
        ),
        (
            "Punycode",
            json!({"hosts": ["XN--Bcher-kva.example"], "urls": ["https://xn--bcher-kva.example/ü"]}),
            vec![url("xn--bcher-kva.example/%C3%BC"), host("xn--bcher-kva.example")],
        ),
        (
            "the root is a prefix",
            json!({"prefixes": ["https://example.com"]}),
            vec![prefix("example.com/")],
        ),
    ];
    for (name, body, want) in rows {
        let got = given(body.to_string().as_bytes()).unwrap();
        assert_eq!(got.targets, *want, "{name}: {body}");
    }
}

#[test]
fn targets_are_those_that_pages_are_compared_by() {
    let command = taken(
        r#"{"tags": ["t"], "urls": ["https://www.example.com/blog/é?b=1"],
            "prefixes": ["https://www.example.com/blog/"], "hosts": ["www.example.com"]}"#,
    );
    let tags: TagSet = vec![Tag::parse("t").unwrap()].into();
    let page = page_targets("example.com", "/blog/%C3%A9", Some("b=1"), &tags);
    for target in command.targets {
        assert!(page.contains(&target.hash()), "{target:?}");
    }
    let deep = page_targets("a.example:8443", "/b//c/d/", None, &TagSet::default());
    let prefixes = ["/", "/b/", "/b//", "/b//c/", "/b//c/d/"];
    let prefixes = prefixes.map(|path| Target::Prefix(format!("a.example:8443{path}")).hash());
    let url = Target::Url("a.example:8443/b//c/d/".to_owned()).hash();
    let host = Target::Host("a.example:8443".to_owned()).hash();
    assert_eq!(deep, [&[url][..], &prefixes, &[host, Target::All.hash()]].concat());
}

/// A purge names a page as any of its visitors' requests does.
#[test]
fn a_url_names_the_page_that_a_request_for_it_gets() {
    let config = parse_config(
        r#"{"host_aliases": {"www.example.com": "example.com"},
            "routes": [{"path": "/search", "query": {"allow": ["q"]}}]}"#,
    )
    .unwrap();
    let rows = [
        ("https", "example.com", "/blog/", None, "http://www.example.com/blog/"),
        (
            "http",
            "www.example.com",
            "/a",
            Some("b=2&utm_source=x&a=1"),
            "https://example.com/a?a=1&b=2",
        ),
        ("https", "example.com", "/a", Some("a=1"), "https://example.com/a?gclid=7&a=1#top"),
        (
            "https",
            "example.com",
            "/search",
            Some("q=x&page=2"),
            "https://www.example.com/search?q=x",
        ),
        ("https", "example.com:8443", "/", None, "https://example.com:8443"),
        ("https", "example.com", "/%C3%A9", None, "https://example.com/é"),
    ];
    for (scheme, host, path, query, url) in rows {
        let request = RequestHead {
            method: "GET".into(),
            scheme: scheme.into(),
            host: host.into(),
            path: path.into(),
            query: query.map(str::to_owned),
            fields: Fields::new(),
            client: None,
        };
        let Admission::Serve(admitted) = admit(&request, &config) else { panic!("{request:?}") };
        let body = json!({ "urls": [url] }).to_string();
        let command = parse(body.as_bytes(), &config, &page_query(&config), NOW).unwrap();
        assert_eq!(command.targets, [Target::Url(admitted.page.purge_name())], "{url}");
        let targets = admitted.page.targets(&TagSet::default());
        assert!(targets.contains(&command.targets[0].hash()), "{url}");
    }
}

/// A body, the status and kind of its problem, the field at fault, and a part of what is said.
const WRONG: &[(&str, u16, ProblemKind, Option<&str>, &str)] = &[
    // Not JSON.
    ("", 400, ProblemKind::MalformedBody, None, "not JSON"),
    ("{", 400, ProblemKind::MalformedBody, None, "not JSON"),
    ("tags=a", 400, ProblemKind::MalformedBody, None, "not JSON"),
    (r#"{"tags": ["a"],}"#, 400, ProblemKind::MalformedBody, None, "trailing comma"),
    (r#"{"tags": ["a"]} x"#, 400, ProblemKind::MalformedBody, None, "trailing"),
    (r#"{"tags": ["a"], "tags": ["b"]}"#, 400, ProblemKind::MalformedBody, None, "given twice"),
    // Not the right JSON.
    ("[]", 422, ProblemKind::WrongType, None, "a JSON object"),
    ("null", 422, ProblemKind::WrongType, None, "a JSON object"),
    (r#"{"tag": ["a"]}"#, 422, ProblemKind::UnknownField, Some("tag"), "did you mean tags?"),
    (
        r#"{"tags": ["a"], "purge": 1}"#,
        422,
        ProblemKind::UnknownField,
        Some("purge"),
        "not a field",
    ),
    (r#"{"tags": "a"}"#, 422, ProblemKind::WrongType, Some("tags"), "a list of texts"),
    (r#"{"tags": null}"#, 422, ProblemKind::WrongType, Some("tags"), "a list of texts"),
    (r#"{"tags": ["a", "b", "c", 4]}"#, 422, ProblemKind::WrongType, Some("tags[3]"), "a text"),
    (r#"{"urls": [["a"]]}"#, 422, ProblemKind::WrongType, Some("urls[0]"), "a text"),
    (r#"{"all": "yes"}"#, 422, ProblemKind::WrongType, Some("all"), "true or false"),
    (r#"{"tags": ["a"], "warm": 1}"#, 422, ProblemKind::WrongType, Some("warm"), "true or false"),
    (r#"{"tags": ["a"], "dry_run": "no"}"#, 422, ProblemKind::WrongType, Some("dry_run"), "true"),
    (r#"{"tags": ["a"], "mode": 1}"#, 422, ProblemKind::WrongType, Some("mode"), "\"hard\""),
    (
        r#"{"tags": ["a"], "mode": "Soft"}"#,
        422,
        ProblemKind::InvalidValue,
        Some("mode"),
        "\"soft\"",
    ),
    (r#"{"tags": ["a"], "reason": 1}"#, 422, ProblemKind::WrongType, Some("reason"), "a text"),
    (r#"{"tags": ["a"], "wait_ms": "1"}"#, 422, ProblemKind::WrongType, Some("wait_ms"), "number"),
    (r#"{"tags": ["a"], "wait_ms": -1}"#, 422, ProblemKind::OutOfRange, Some("wait_ms"), "25000"),
    (r#"{"tags": ["a"], "wait_ms": 0.5}"#, 422, ProblemKind::OutOfRange, Some("wait_ms"), "whole"),
    (
        r#"{"tags": ["a"], "wait_ms": 25001}"#,
        422,
        ProblemKind::OutOfRange,
        Some("wait_ms"),
        "25000",
    ),
    (
        r#"{"tags": ["a"], "reinvalidate_after_ms": 3600001}"#,
        422,
        ProblemKind::OutOfRange,
        Some("reinvalidate_after_ms"),
        "3600000",
    ),
    (
        r#"{"tags": ["a"], "warm": false, "wait_ms": 1}"#,
        422,
        ProblemKind::Contradiction,
        Some("wait_ms"),
        "warm is false",
    ),
    // Targets.
    ("{}", 422, ProblemKind::NoTargets, None, "at least one"),
    (r#"{"tags": []}"#, 422, ProblemKind::NoTargets, None, "at least one"),
    (r#"{"all": false}"#, 422, ProblemKind::NoTargets, None, "at least one"),
    (
        r#"{"all": true, "tags": ["a"]}"#,
        422,
        ProblemKind::Contradiction,
        Some("all"),
        "tags a part",
    ),
    (r#"{"all": true, "hosts": ["a"]}"#, 422, ProblemKind::Contradiction, Some("all"), "hosts a"),
    (r#"{"tags": ["a", ""]}"#, 422, ProblemKind::InvalidValue, Some("tags[1]"), "can't be empty"),
    (r#"{"tags": ["a b"]}"#, 422, ProblemKind::InvalidValue, Some("tags[0]"), "printable ASCII"),
    (r#"{"tags": ["a,b"]}"#, 422, ProblemKind::InvalidValue, Some("tags[0]"), "printable ASCII"),
    (r#"{"tags": ["a\u0000"]}"#, 422, ProblemKind::InvalidValue, Some("tags[0]"), "printable"),
    (r#"{"tags": ["a\r\nb"]}"#, 422, ProblemKind::InvalidValue, Some("tags[0]"), "printable"),
    (r#"{"tags": ["é"]}"#, 422, ProblemKind::InvalidValue, Some("tags[0]"), "printable ASCII"),
    (r#"{"urls": ["/blog/"]}"#, 422, ProblemKind::InvalidValue, Some("urls[0]"), "absolute URL"),
    (r#"{"urls": ["blog"]}"#, 422, ProblemKind::InvalidValue, Some("urls[0]"), "absolute URL"),
    (r#"{"urls": ["//a/b"]}"#, 422, ProblemKind::InvalidValue, Some("urls[0]"), "absolute URL"),
    (r#"{"urls": ["example.com/a"]}"#, 422, ProblemKind::InvalidValue, Some("urls[0]"), "absolute"),
    (r#"{"urls": ["https:/a"]}"#, 422, ProblemKind::InvalidValue, Some("urls[0]"), "absolute URL"),
    (
        r#"{"urls": ["/a?u=https://b"]}"#,
        422,
        ProblemKind::InvalidValue,
        Some("urls[0]"),
        "absolute",
    ),
    (
        r#"{"urls": ["ftp://a/b"]}"#,
        422,
        ProblemKind::InvalidValue,
        Some("urls[0]"),
        "http or https",
    ),
    (
        r#"{"urls": ["https://bücher.example/"]}"#,
        422,
        ProblemKind::InvalidValue,
        Some("urls[0]"),
        "Punycode",
    ),
    (
        r#"{"prefixes": ["https://bu\u0308cher.example/a/"]}"#,
        422,
        ProblemKind::InvalidValue,
        Some("prefixes[0]"),
        "Punycode",
    ),
    (
        r#"{"hosts": ["bücher.example"]}"#,
        422,
        ProblemKind::InvalidValue,
        Some("hosts[0]"),
        "Punycode",
    ),
    (
        r#"{"urls": ["https://b%C3%BCcher.example/"]}"#,
        422,
        ProblemKind::InvalidValue,
        Some("urls[0]"),
        "not a URL",
    ),
    (r#"{"urls": ["https://"]}"#, 422, ProblemKind::InvalidValue, Some("urls[0]"), "not a URL"),
    (r#"{"urls": ["https:///a"]}"#, 422, ProblemKind::InvalidValue, Some("urls[0]"), "not a URL"),
    (
        r#"{"urls": ["https://%2a.a/"]}"#,
        422,
        ProblemKind::InvalidValue,
        Some("urls[0]"),
        "not a URL",
    ),
    (r#"{"urls": ["https://a b/"]}"#, 422, ProblemKind::InvalidValue, Some("urls[0]"), "not a URL"),
    (r#"{"urls": ["https://a/\n"]}"#, 422, ProblemKind::InvalidValue, Some("urls[0]"), "not a URL"),
    (
        r#"{"urls": ["https://u:p@a/"]}"#,
        422,
        ProblemKind::InvalidValue,
        Some("urls[0]"),
        "user name",
    ),
    (r#"{"urls": ["https://a:99999/"]}"#, 422, ProblemKind::InvalidValue, Some("urls[0]"), "not a"),
    (
        r#"{"prefixes": ["https://a/b"]}"#,
        422,
        ProblemKind::InvalidValue,
        Some("prefixes[0]"),
        "/ boundary",
    ),
    (
        r#"{"prefixes": ["https://a/b/*"]}"#,
        422,
        ProblemKind::InvalidValue,
        Some("prefixes[0]"),
        "wildcard",
    ),
    (
        r#"{"prefixes": ["https://a/b/?c"]}"#,
        422,
        ProblemKind::InvalidValue,
        Some("prefixes[0]"),
        "no query",
    ),
    (
        r#"{"prefixes": ["https://a/b/#c"]}"#,
        422,
        ProblemKind::InvalidValue,
        Some("prefixes[0]"),
        "no fragment",
    ),
    (
        r#"{"prefixes": ["/blog/"]}"#,
        422,
        ProblemKind::InvalidValue,
        Some("prefixes[0]"),
        "absolute",
    ),
    (r#"{"prefixes": ["blog/"]}"#, 422, ProblemKind::InvalidValue, Some("prefixes[0]"), "absolute"),
    (r#"{"hosts": [""]}"#, 422, ProblemKind::InvalidValue, Some("hosts[0]"), "can't be empty"),
    (r#"{"hosts": ["a", "https://b"]}"#, 422, ProblemKind::InvalidValue, Some("hosts[1]"), "alone"),
    (
        r#"{"hosts": ["*.example.com"]}"#,
        422,
        ProblemKind::InvalidValue,
        Some("hosts[0]"),
        "wildcard",
    ),
    (r#"{"hosts": ["a:0"]}"#, 422, ProblemKind::InvalidValue, Some("hosts[0]"), "port"),
];

#[test]
fn every_wrong_body_names_its_fault() {
    for (body, status, kind, field, part) in WRONG {
        let Err(problem) = given(body.as_bytes()) else { panic!("{body} was taken") };
        let got = (problem.status(), problem.kind(), problem.field());
        assert_eq!(got, (*status, *kind, *field), "{body}: {}", problem.detail());
        assert!(problem.detail().contains(part), "{body}: {}", problem.detail());
    }
}

#[test]
fn bytes_that_are_no_text_are_malformed() {
    let problem = given(b"{\"tags\": [\"\xff\"]}").unwrap_err();
    assert_eq!((problem.status(), problem.kind()), (400, ProblemKind::MalformedBody));
}

#[test]
fn deep_nesting_is_malformed() {
    let problem = given(&[b'['; 100_000]).unwrap_err();
    assert_eq!((problem.status(), problem.kind()), (400, ProblemKind::MalformedBody));
}

#[test]
fn ten_thousand_targets_are_taken_and_no_more() {
    let tags = |n: usize| (0..n).map(|i| format!("t:{i}")).collect::<Vec<_>>();
    let taken = given(json!({ "tags": tags(10_000) }).to_string().as_bytes()).unwrap();
    assert_eq!(taken.targets.len(), 10_000);
    let many = json!({ "tags": tags(10_001) }).to_string();
    let mixed = json!({ "tags": tags(10_000), "hosts": ["example.com"] }).to_string();
    for body in [many, mixed] {
        let problem = given(body.as_bytes()).unwrap_err();
        assert_eq!(problem.status(), 422);
        assert_eq!(problem.kind(), ProblemKind::TooManyTargets);
        assert_eq!(problem.field(), Some("tags"));
        assert!(problem.detail().contains("10001") && problem.detail().contains("10000"));
    }
}

#[test]
fn tags_have_at_most_1024_bytes() {
    assert!(given(json!({ "tags": ["x".repeat(1024)] }).to_string().as_bytes()).is_ok());
    for length in [1025, 2048] {
        let body = json!({ "tags": ["a", "x".repeat(length)] }).to_string();
        let problem = given(body.as_bytes()).unwrap_err();
        assert_eq!((problem.status(), problem.field()), (422, Some("tags[1]")), "{length}");
        assert!(problem.detail().contains("at most 1024"), "{}", problem.detail());
    }
}

#[test]
fn urls_and_reasons_have_limits() {
    let long = format!("https://example.com/{}", "x".repeat(17 << 10));
    let problem = given(json!({ "urls": [long] }).to_string().as_bytes()).unwrap_err();
    assert_eq!((problem.status(), problem.field()), (422, Some("urls[0]")));
    for (length, good) in [(200, true), (201, false)] {
        let body = json!({ "tags": ["a"], "reason": "é".repeat(length) }).to_string();
        assert_eq!(given(body.as_bytes()).is_ok(), good, "{length}");
    }
}

#[test]
fn a_body_above_one_mebibyte_is_too_large() {
    let mut body = br#"{"tags": ["a"]}"#.to_vec();
    body.resize(MAX_BODY_BYTES, b' ');
    assert!(given(&body).is_ok());
    body.push(b' ');
    let problem = given(&body).unwrap_err();
    assert_eq!((problem.status(), problem.kind()), (413, ProblemKind::BodyTooLarge));
    assert!(problem.detail().contains("1048576"));
    assert_eq!(check_length(MAX_BODY_BYTES + 1).unwrap_err().status(), 413);
}

#[test]
fn a_long_unknown_field_is_shortened() {
    let body = json!({ "x".repeat(5000): 1 }).to_string();
    let problem = given(body.as_bytes()).unwrap_err();
    assert_eq!(problem.field().map(str::len), Some(64));
    assert!(problem.body().len() < 600);
}

#[test]
fn patterns_of_other_dialects_are_widened_and_say_so() {
    let rows = [
        ("example.com/blog/", Ok(("example.com/blog/", false))),
        ("https://www.example.com/blog/*", Ok(("example.com/blog/", false))),
        ("example.com/blog/po", Ok(("example.com/blog/", true))),
        ("https://example.com/blog/po*", Ok(("example.com/blog/", true))),
        ("https://example.com/blog/*/c", Ok(("example.com/blog/", true))),
        ("https://example.com/blog/?a=b/c", Ok(("example.com/blog/", true))),
        ("example.com", Ok(("example.com/", false))),
        ("example.com/*", Ok(("example.com/", false))),
        ("example.*", Err(TargetError::Wildcard)),
        ("*", Err(TargetError::Wildcard)),
        ("", Err(TargetError::Malformed)),
        ("/blog/", Err(TargetError::Malformed)),
        ("ftp://a/b/", Err(TargetError::Scheme)),
    ];
    for (pattern, want) in rows {
        let got = widened_prefix(pattern, &config());
        let got = got.map(|widened| (widened.target, widened.note.is_some()));
        assert_eq!(got, want.map(|(name, noted)| (prefix(name), noted)), "{pattern}");
    }
    let note = widened_prefix("example.com/blog/po", &config()).unwrap().note;
    assert_eq!(
        note.as_deref(),
        Some("example.com/blog/po was widened to https://example.com/blog/")
    );
}

#[test]
fn digests_distinguish_bodies() {
    assert_eq!(
        body_digest(b""),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    assert_ne!(body_digest(b"{\"all\":true}"), body_digest(b"{\"all\": true}"));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_are_taken_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(problem) = given(&body) {
            prop_assert!((400..=499).contains(&problem.status()));
        }
    }

    /// Fields of the call with any values: what is taken has targets, sorted and each once, each of
    /// a known form.
    #[test]
    fn any_fields_are_taken_or_refused(
        rows in prop::collection::btree_map(
            prop::sample::select(vec![
                "tags", "urls", "prefixes", "hosts", "all", "mode", "warm", "wait_ms", "reason",
            ]),
            prop_oneof![
                any::<bool>().prop_map(|b| json!(b)),
                any::<i32>().prop_map(|n| json!(n)),
                "(soft|hard)".prop_map(|s| json!(s)),
                prop::collection::vec(
                    "(https?://[a-z.:@]{1,6}[/?#*a-z]{0,6}|[ -~]{0,8}|\\PC{0,4})",
                    0..4,
                )
                .prop_map(|l| json!(l)),
            ],
            0..5,
        )
    ) {
        let body = json!(rows).to_string();
        if let Ok(command) = given(body.as_bytes()) {
            prop_assert!(!command.targets.is_empty());
            prop_assert!(command.targets.is_sorted());
            for target in &command.targets {
                let again = Target::from_parts(target.kind(), target.name());
                prop_assert_eq!(again, Some(target.clone()));
                if let Target::Prefix(name) = target {
                    prop_assert!(name.ends_with('/'));
                }
            }
        }
    }

    #[test]
    fn any_pattern_is_widened_or_refused(pattern in "(https://)?[a-z./*?#@ é]{0,20}") {
        if let Ok(widened) = widened_prefix(&pattern, &config()) {
            prop_assert!(widened.target.name().ends_with('/'));
        }
    }
}
