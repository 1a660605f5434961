//! `PURGE` and `BAN`, as Varnish, nginx and Souin know them.

use edge_isr::control::auth::{AuthError, Caller};
use edge_isr::control::client_tokens::trusted_or_token;
use edge_isr::journal::Mode;
use serde_json::json;

use super::{
    TOKEN, accepted, caller, config, json, named, read, refusal, request, secrets, turned_away,
};

type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str], &'a [&'a str]);

fn check(rows: &[Row<'_>]) {
    for (line, fields, targets, notes) in rows {
        let purge = read(line, fields, "").unwrap_or_else(|problem| panic!("{line}: {problem:?}"));
        assert_eq!(named(&purge).0, *targets, "{line} {fields:?}");
        assert_eq!(purge.command.notes, *notes, "{line} {fields:?}");
    }
}

#[test]
fn a_purge_names_its_page_or_tags() {
    check(&[
        ("PURGE https://a.example/blog/?b=2&a=1", &[], &["url a.example/blog/?a=1&b=2"], &[]),
        ("PURGE http://example.com/x", &[], &["url www.example.com/x"], &[]),
        ("PURGE http://a.example:8000/x", &[], &["url a.example:8000/x"], &[]),
        ("POST https://b.example/__isr/purge/a.example/x?a=1", &[], &["url a.example/x?a=1"], &[]),
        ("POST https://b.example/__isr/purge/https://a.example/x", &[], &["url a.example/x"], &[]),
        // A control host with an alias means the site.
        ("PURGE https://cdn.example.net/x", &[], &["url www.example.com/x"], &[]),
        // nginx.
        ("PURGE https://a.example/blog/*", &[], &["prefix a.example/blog/"], &[]),
        (
            "PURGE https://a.example/blog/po*",
            &[],
            &["prefix a.example/blog/"],
            &["a.example/blog/po* was widened to https://a.example/blog/"],
        ),
        // Souin, Varnish's xkey.
        (
            "PURGE https://a.example/",
            &[("surrogate-key", "b, a c")],
            &["tag a", "tag b", "tag c"],
            &[],
        ),
        ("PURGE https://a.example/x", &[("xkey", "post:42")], &["tag post:42"], &[]),
        ("PURGE https://purge.example.com/", &[("cache-tag", "a")], &["tag a"], &[]),
        ("PURGE https://a.example/x", &[("surrogate-key", " ")], &["url a.example/x"], &[]),
    ]);
}

#[test]
fn a_purge_is_hard_unless_it_says_soft() {
    let rows: [(&[(&str, &str)], Mode); 6] = [
        (&[], Mode::Hard),
        (&[("soft", "1")], Mode::Soft),
        (&[("soft", "true")], Mode::Soft),
        (&[("soft", "0")], Mode::Hard),
        (&[("soft", "")], Mode::Hard),
        (&[("fastly-soft-purge", "1")], Mode::Soft),
    ];
    for (fields, mode) in rows {
        for line in ["PURGE https://a.example/", "BAN https://a.example/"] {
            assert_eq!(named(&read(line, fields, "").unwrap()).1, mode, "{line} {fields:?}");
        }
    }
}

#[test]
fn a_ban_is_widened_to_what_encloses_it() {
    let at = "BAN https://a.example/";
    check(&[
        ("BAN https://a.example/blog/", &[], &["prefix a.example/blog/"], &[]),
        (
            "BAN https://a.example/blog",
            &[],
            &["prefix a.example/"],
            &["a.example/blog was widened to https://a.example/"],
        ),
        ("POST https://b.example/__isr/ban/a.example/blog/", &[], &["prefix a.example/blog/"], &[]),
        (at, &[("x-ban-url", "^/blog/.*")], &["prefix a.example/blog/"], &[]),
        (at, &[("x-url", "^/blog/")], &["prefix a.example/blog/"], &[]),
        (at, &[("x-url", ".*")], &["prefix a.example/"], &[]),
        (
            at,
            &[("x-url", "^/blog/post-[0-9]+/$")],
            &["prefix a.example/blog/"],
            &["(host) ^/blog/post-[0-9]+/$ was widened to a.example/blog/"],
        ),
        // The slash itself may be missing.
        (
            at,
            &[("x-url", "^/a/b/?c")],
            &["prefix a.example/a/"],
            &["(host) ^/a/b/?c was widened to a.example/a/"],
        ),
        (
            at,
            &[("x-url", "^/a/b/*")],
            &["prefix a.example/a/"],
            &["(host) ^/a/b/* was widened to a.example/a/"],
        ),
        (
            at,
            &[("x-url", "^/a\\.b/c\\?d")],
            &["prefix a.example/a.b/"],
            &["(host) ^/a\\.b/c\\?d was widened to a.example/a.b/"],
        ),
        (
            at,
            &[("x-url", "^/a/|^/b/")],
            &["prefix a.example/"],
            &["(host) ^/a/|^/b/ was widened to a.example/"],
        ),
        // Without an anchor it may stand anywhere.
        (
            at,
            &[("x-url", "\\.css$")],
            &["prefix a.example/"],
            &["(host) \\.css$ was widened to a.example/"],
        ),
        (
            at,
            &[("x-url", "/blog/")],
            &["prefix a.example/"],
            &["(host) /blog/ was widened to a.example/"],
        ),
        (at, &[("x-host", "^b\\.example$"), ("x-url", "^/x/")], &["prefix b.example/x/"], &[]),
        // FOSHttpCache.
        (
            at,
            &[("x-host", "^(b.example|c\\.example)$"), ("x-url", "^/x/")],
            &["prefix b.example/x/", "prefix c.example/x/"],
            &[],
        ),
        // What begins with the one, or ends with the other.
        (
            at,
            &[("x-host", "^b.example|c.example$"), ("x-url", "^/x/")],
            &["all"],
            &["^b.example|c.example$ ^/x/ was widened to the whole site"],
        ),
        (
            at,
            &[("x-host", ".*"), ("x-url", "^/x/")],
            &["all"],
            &[".* ^/x/ was widened to the whole site"],
        ),
        (at, &[("x-cache-tags", "(^|,)(a\\-b|c)(,|$)")], &["tag a-b", "tag c"], &[]),
        (at, &[("xkey", "a")], &["tag a"], &[]),
    ]);
}

#[test]
fn the_answer_says_what_was_done() {
    let reply = accepted(&read("PURGE https://a.example/x", &[], "").unwrap());
    assert_eq!(reply.status, 200);
    assert_eq!(json(&reply), json!({"status": "ok", "id": "job-1", "epoch": 7}));
    let said = json(&accepted(&read("PURGE https://a.example/x*", &[], "").unwrap()));
    assert_eq!(said["notes"], json!(["a.example/x* was widened to https://a.example/"]));
}

#[test]
fn refusals_are_problem_documents() {
    let rows: [(&str, &[(&str, &str)], u16, &str); 7] = [
        ("PURGE https://purge.example.com/x", &[], 422, "host"),
        ("BAN https://purge.example.com/x", &[("x-url", "^/a/")], 422, "host"),
        ("POST https://a.example/__isr/purge/", &[], 422, "url"),
        ("PURGE https://a.example/", &[("xkey", "\u{e9}")], 422, "xkey"),
        ("BAN https://a.example/", &[("x-cache-tags", "a")], 422, "x-cache-tags"),
        ("BAN https://a.example/", &[("x-cache-tags", "(^|,)(a.*)(,|$)")], 422, "x-cache-tags"),
        ("GET https://a.example/__isr/purge/a.example/", &[], 405, ""),
    ];
    for (line, fields, status, field) in rows {
        let reply = refusal(line, fields, "");
        assert_eq!(reply.status, status, "{line}");
        assert_eq!(reply.fields.get("content-type"), Some("application/problem+json"));
        let said: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(said["field"].as_str().unwrap_or_default(), field, "{said}");
    }
}

#[test]
fn who_asks_has_a_token_or_a_trusted_address() {
    let line = "PURGE https://a.example/";
    let token = format!("Bearer {TOKEN}");
    let from = |client: Option<&str>, fields: &[(&str, &str)]| {
        let mut head = request(line, fields);
        head.client = client.map(str::to_owned);
        trusted_or_token(&head, &secrets(), &config())
    };
    let ci = Ok(Caller::Token { name: "ci".to_owned() });
    let trusted = Ok(Caller::Trusted { address: "10.1.2.3".to_owned() });
    let forged: &[(&str, &str)] = &[("x-forwarded-for", "10.1.2.3"), ("x-real-ip", "10.1.2.3")];
    assert_eq!(from(Some("10.1.2.3"), &[]), trusted);
    // What else it carries is a visitor's of long ago.
    assert_eq!(from(Some("10.1.2.3"), &[("authorization", "Bearer visitor")]), trusted);
    assert_eq!(from(Some("192.0.2.7"), &[]), Err(AuthError::Missing));
    assert_eq!(from(Some("192.0.2.7"), forged), Err(AuthError::Missing));
    assert_eq!(from(None, &[]), Err(AuthError::Missing));
    assert_eq!(from(Some("192.0.2.7"), &[("authorization", &token)]), ci);
    // A site that a trusted reader looks at can make the browser ask.
    for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        assert_eq!(from(Some("10.1.2.3"), &[(name, value)]), Err(AuthError::Missing));
        assert_eq!(from(Some("10.1.2.3"), &[(name, value), ("authorization", &token)]), ci);
    }
}

#[test]
fn who_may_not_gets_a_403() {
    let reply = turned_away("PURGE https://a.example/", &[]);
    assert_eq!(reply.status, 403);
    let said: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(said["reason"], json!("credentials-missing"));
    assert_eq!(turned_away("BAN https://a.example/", &[("fastly-key", "wrong")]).status, 401);
    assert!(caller("PURGE https://a.example/", &[("fastly-key", TOKEN)]).is_ok());
}
