//! The head of a shell, and the fields of what is made of it.

use edge_isr::cache::compose::field::ComposeField;
use edge_isr::cache::compose::mint::Random;
use edge_isr::cache::compose::shell::{as_public, is_head_of_shell, stored_fields};
use edge_isr::cache::compose::visitor::{Minted, NotComposed, Visitor, fields_of_head};
use edge_isr::config::Route;
use edge_isr::http::{Fields, RequestHead, ResponseHead};

use super::{CSRF, MARKER, MENU, field, fields, value};

fn head(more: &[(&str, &str)]) -> ResponseHead {
    let compose = value(1, 99, CSRF);
    let mut all = fields(&[
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "private, no-store"),
        ("x-edge-isr-compose", &compose),
    ]);
    for (name, value) in more {
        all.set(name, value.replace('@', MARKER));
    }
    ResponseHead { status: 200, fields: all }
}

fn counting() -> impl FnMut() -> Random {
    let mut next = 0;
    move || {
        next += 1;
        [next; 64]
    }
}

#[test]
fn what_a_shells_head_must_say() {
    let (plain, parts) = (field(1, 99, &format!("nonce, {CSRF}")), field(1, 99, MENU));
    type Row = (&'static str, &'static [(&'static str, &'static str)], bool);
    let rows: [Row; 16] = [
        ("as it should", &[], true),
        ("also no-cache", &[("cache-control", "private, no-cache, no-store, max-age=0")], true),
        ("made public", &[("cache-control", "public, max-age=60")], false),
        ("private alone", &[("cache-control", "private")], false),
        ("no-store alone", &[("cache-control", "no-store")], false),
        ("private for a field", &[("cache-control", "private=\"x\", no-store")], false),
        ("compressed", &[("content-encoding", "gzip")], false),
        ("not compressed", &[("content-encoding", "identity")], true),
        ("a cookie", &[("set-cookie", "a=b")], false),
        ("a part", &[("content-range", "bytes 0-1/2")], false),
        (
            "the nonce's placeholder",
            &[("content-security-policy", "script-src 'nonce-@n00'")],
            true,
        ),
        ("another placeholder", &[("content-security-policy", "script-src 'nonce-@t00'")], false),
        ("the marker alone", &[("content-security-policy-report-only", "x @")], false),
        ("in another field", &[("link", "</@n00>; rel=preload")], false),
        ("in a tag", &[("x-edge-isr-tags", "@t00")], false),
        ("another charset", &[("content-type", "text/html; charset=latin-1")], true),
    ];
    for (what, more, want) in rows {
        assert_eq!(is_head_of_shell(&head(more), &plain), want, "{what}");
    }
    assert!(is_head_of_shell(&head(&[]), &parts));
    assert!(!is_head_of_shell(&head(&[("content-type", "text/html; charset=latin-1")]), &parts));
    assert!(!is_head_of_shell(&head(&[("content-type", "text/html")]), &parts));
    for status in [201, 206, 304, 404, 500] {
        assert!(!is_head_of_shell(&ResponseHead { status, ..head(&[]) }, &plain), "{status}");
    }
}

#[test]
fn the_fields_freshness_is_the_shells() {
    let compose_field = field(1, 99, &format!("swr=60, sie=90, {CSRF}"));
    let came = head(&[
        ("etag", "\"a\""),
        ("expires", "0"),
        ("content-security-policy", "default-src 'self'"),
    ]);
    let public = as_public(&came, &compose_field).fields;
    let lifetime = "max-age=300, stale-while-revalidate=60, stale-if-error=90";
    assert_eq!(public.get("cdn-cache-control"), Some(lifetime));
    for gone in ["cache-control", "etag", "expires", "x-edge-isr-compose"] {
        assert!(!public.has(gone), "{gone}");
    }
    let stored = stored_fields(public, &came.fields);
    assert_eq!(stored.get("cache-control"), Some("private, no-store"));
    assert_eq!(stored.get("content-security-policy"), Some("default-src 'self'"));
    assert!(stored.has("x-edge-isr-compose") && !stored.has("cdn-cache-control"));
}

fn answer(field: &ComposeField, stored: &Fields, cookie: &str, parts: bool) -> Fields {
    let request = fields(&[("cookie", cookie)]);
    let minted = Minted::new(field, &request, parts, &mut counting()).expect("values");
    minted.fields(stored, field, &Route::default(), parts).expect("fields")
}

#[test]
fn answers_say_that_nobody_may_keep_them() {
    let compose_field = field(1, 99, &format!("nonce, {CSRF}, {MENU}"));
    let stored = head(&[
        ("etag", "\"a\""),
        ("last-modified", "Sat, 01 Jan 2022 00:00:00 GMT"),
        ("expires", "Sat, 01 Jan 2022 00:00:00 GMT"),
        ("content-digest", "sha-256=:x:"),
        ("content-security-policy", "script-src 'nonce-@n00' 'nonce-@n00'"),
        ("content-security-policy-report-only", "script-src 'nonce-@n00'"),
    ])
    .fields;
    let made = answer(&compose_field, &stored, "", true);
    assert_eq!(made.get("cache-control"), Some("private, no-store"));
    assert_eq!(
        answer(&compose_field, &stored, "", false).get("cache-control"),
        Some("private, no-cache")
    );
    assert_eq!(made.get("cdn-cache-control"), Some("no-store"));
    for gone in ["etag", "last-modified", "expires", "content-digest", "x-edge-isr-compose", "age"]
    {
        assert!(!made.has(gone), "{gone}");
    }
    let nonce = "b".repeat(32);
    let policy = format!("script-src 'nonce-{nonce}' 'nonce-{nonce}'");
    assert_eq!(made.get("content-security-policy"), Some(policy.as_str()));
    let policy = format!("script-src 'nonce-{nonce}'");
    assert_eq!(made.get("content-security-policy-report-only"), Some(policy.as_str()));
    let cookie = made.get("set-cookie").expect("a cookie");
    assert_eq!(cookie, format!("csrftoken={}; Path=/; SameSite=Lax", "c".repeat(32)));
    let secret = "d".repeat(32);
    let made = answer(&compose_field, &stored, &format!("csrftoken={secret}"), false);
    assert!(made.get("set-cookie").expect("renewed").contains(&secret));
}

#[test]
fn a_head_request_makes_nothing() {
    let compose_field = field(1, 99, &format!("nonce, {CSRF}"));
    let stored = head(&[("content-security-policy", "script-src 'nonce-@n00'"), ("x-a", "b")]);
    let made = fields_of_head(&stored.fields, &compose_field, &Route::default(), false);
    assert!(!made.has("set-cookie") && !made.has("content-security-policy"));
    assert_eq!(made.get("x-a"), Some("b"));
}

#[test]
fn a_cookie_for_parts_alone_is_set_with_them_alone() {
    let compose_field = field(4, 99, &format!("{CSRF}, csrf-personal, {MENU}"));
    assert!(!answer(&compose_field, &head(&[]).fields, "", false).has("set-cookie"));
    assert!(answer(&compose_field, &head(&[]).fields, "", true).has("set-cookie"));
}

fn request(host: &str, path: &str, cookie: &str) -> RequestHead {
    RequestHead {
        method: "GET".to_owned(),
        scheme: "https".to_owned(),
        host: host.to_owned(),
        path: path.to_owned(),
        query: None,
        fields: fields(&[("cookie", cookie)]),
        client: None,
    }
}

#[test]
fn who_gets_a_page_composed() {
    let anonymous = value(1, 99, CSRF).replace("audience=all", "audience=anonymous");
    let anonymous = edge_isr::cache::compose::field::read(&anonymous).expect("a field");
    let gate = field(1, 99, "gate, cookies=(\"sessionid\")");
    let gate_and_parts = field(1, 99, &format!("gate, {MENU}"));
    let app = field(1, 99, "csrf=(\"csrftoken\" \"Path=/app\")");
    let rows = [
        (&field(1, 99, CSRF), true, "/", Ok(())),
        (&anonymous, false, "/", Ok(())),
        (&anonymous, true, "/", Err(NotComposed::Audience)),
        (&gate, false, "/", Ok(())),
        (&gate, true, "/", Err(NotComposed::Gate)),
        (&gate_and_parts, true, "/", Ok(())),
        (&app, false, "/app/x", Ok(())),
        (&app, false, "/blog", Err(NotComposed::CookieScope)),
    ];
    for (compose_field, known, path, want) in rows {
        let request = request("example.com", path, "");
        assert_eq!(
            Visitor { request: &request, known }.may_have(compose_field),
            want,
            "{compose_field:?} {path}"
        );
    }
}

#[test]
fn who_has_no_personal_cookie_costs_no_request() {
    let compose_field = field(1, 99, MENU);
    for (cookie, known, want) in [
        ("", false, false),
        ("csrftoken=x; _ga=1", false, false),
        ("sessionid=x", true, true),
        ("messages=x", false, true),
        ("custom=x", true, true),
    ] {
        let request = request("example.com", "/", cookie);
        assert_eq!(
            Visitor { request: &request, known }.has_parts(&compose_field),
            want,
            "{cookie}"
        );
    }
    let request = request("example.com", "/", "sessionid=x");
    assert!(!Visitor { request: &request, known: true }.has_parts(&field(1, 99, CSRF)));
}
