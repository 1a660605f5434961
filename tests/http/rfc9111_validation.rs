//! Validation (RFC 9111 §4.3) and conditions (RFC 9110 §13).

use crate::http_support::{after, entry, fields, get, open_route, request, response};
use edge_isr::base::time::Seconds;
use edge_isr::cache::entry::{Entry, ReuseCondition};
use edge_isr::cache::key::Selection;
use edge_isr::cache::validation::{
    Update, UpdateInput, conditional_fields, not_modified, not_modified_fields, update,
};
use edge_isr::config::Route;
use edge_isr::http::Fields;

fn stored(lines: &str) -> Entry {
    entry(lines, (60, 0, 0), ReuseCondition::Nothing)
}

/// id, section, stored fields, request fields, whether the answer is 304.
#[rustfmt::skip]
const CONDITIONS: &[(&str, &str, &str, &str, bool)] = &[
    ("no-condition", "9110 §13", "ETag: \"1\"", "", false),
    ("strong", "9110 §13.1.2", "ETag: \"1\"", "If-None-Match: \"1\"", true),
    ("strong-other", "9110 §13.1.2", "ETag: \"1\"", "If-None-Match: \"2\"", false),
    ("weak-stored", "9110 §8.8.3.2", "ETag: W/\"1\"", "If-None-Match: \"1\"", true),
    ("weak-asked", "9110 §8.8.3.2", "ETag: \"1\"", "If-None-Match: W/\"1\"", true),
    ("weak-both", "9110 §8.8.3.2", "ETag: W/\"1\"", "If-None-Match: W/\"1\"", true),
    ("first", "9110 §13.1.2", "ETag: \"1\"", "If-None-Match: \"1\", \"2\", \"3\"", true),
    ("middle", "9110 §13.1.2", "ETag: \"2\"", "If-None-Match: \"1\", \"2\", \"3\"", true),
    ("last", "9110 §13.1.2", "ETag: \"3\"", "If-None-Match: \"1\", \"2\",\"3\"", true),
    ("lines", "9110 §5.3", "ETag: \"2\"", "If-None-Match: \"1\"|If-None-Match: \"2\"", true),
    ("comma-inside", "9110 §8.8.3", "ETag: \"a,b\"", "If-None-Match: \"x\", \"a,b\"", true),
    ("comma-is-no-end", "9110 §8.8.3", "ETag: \"b\"", "If-None-Match: \"a,b\"", false),
    ("obs-text", "9110 §8.8.3", "ETag: \"\u{fc}\"", "If-None-Match: \"\u{fc}\"", true),
    ("any", "9110 §13.1.2", "ETag: \"1\"", "If-None-Match: *", true),
    ("any-without-etag", "9110 §13.1.2", "", "If-None-Match: *", true),
    ("unquoted", "9110 §8.8.3", "ETag: \"1\"", "If-None-Match: 1", false),
    ("unquoted-both", "9110 §8.8.3", "ETag: 1", "If-None-Match: 1", false),
    ("lower-w", "9110 §8.8.3", "ETag: w/\"1\"", "If-None-Match: w/\"1\"", false),
    ("open-quote", "9110 §8.8.3", "ETag: \"1\"", "If-None-Match: \"1", false),
    ("rubbish-then-tag", "9110 §13.1.2", "ETag: \"1\"", "If-None-Match: x, \"1\"", true),
    ("glued", "9110 §8.8.3", "ETag: \"1\"", "If-None-Match: \"1\"x", false),
    ("empty", "9110 §13.1.2", "ETag: \"1\"", "If-None-Match: ", false),
    ("two-etags", "9110 §8.8.3", "ETag: \"1\"|ETag: \"2\"", "If-None-Match: \"1\"", false),
    ("same-date", "9110 §13.1.3", "Last-Modified: Fri, 31 Dec 2021 00:00:00 GMT", "If-Modified-Since: Fri, 31 Dec 2021 00:00:00 GMT", true),
    ("later-date", "9110 §13.1.3", "Last-Modified: Fri, 31 Dec 2021 00:00:00 GMT", "If-Modified-Since: Fri, 31 Dec 2021 00:00:01 GMT", true),
    ("earlier-date", "9110 §13.1.3", "Last-Modified: Fri, 31 Dec 2021 00:00:00 GMT", "If-Modified-Since: Thu, 30 Dec 2021 00:00:00 GMT", false),
    ("rfc850-date", "9110 §5.6.7", "Last-Modified: Fri, 31 Dec 2021 00:00:00 GMT", "If-Modified-Since: Friday, 31-Dec-21 00:00:00 GMT", true),
    ("bad-date", "9110 §13.1.3", "Last-Modified: Fri, 31 Dec 2021 00:00:00 GMT", "If-Modified-Since: tomorrow", false),
    ("two-dates", "9110 §13.1.3", "Last-Modified: Fri, 31 Dec 2021 00:00:00 GMT", "If-Modified-Since: Fri, 31 Dec 2021 00:00:00 GMT|If-Modified-Since: Sat, 01 Jan 2022 00:00:00 GMT", false),
    ("by-date-field", "§4.3.2", "Date: Fri, 31 Dec 2021 00:00:00 GMT", "If-Modified-Since: Fri, 31 Dec 2021 00:00:00 GMT", true),
    ("by-date-field-earlier", "§4.3.2", "Date: Fri, 31 Dec 2021 00:00:00 GMT", "If-Modified-Since: Thu, 30 Dec 2021 00:00:00 GMT", false),
    ("by-arrival", "§4.3.2", "", "If-Modified-Since: Sat, 01 Jan 2022 00:00:00 GMT", true),
    ("by-arrival-earlier", "§4.3.2", "", "If-Modified-Since: Fri, 31 Dec 2021 00:00:00 GMT", false),
    ("tag-before-date", "9110 §13.1.3", "ETag: \"1\"|Last-Modified: Fri, 31 Dec 2021 00:00:00 GMT", "If-None-Match: \"2\"|If-Modified-Since: Fri, 31 Dec 2021 00:00:00 GMT", false),
    ("tag-before-bad-date", "9110 §13.1.3", "ETag: \"1\"", "If-None-Match: \"1\"|If-Modified-Since: x", true),
];

#[test]
fn conditions() {
    let mut failures = Vec::new();
    for (id, section, have, conditions, want) in CONDITIONS {
        let got = not_modified(&get(conditions), &stored(have));
        if got != *want {
            failures.push(format!("{id} ({section}): got {got}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn a_condition_counts_for_get_and_head_and_for_successes_alone() {
    let conditions = "If-None-Match: \"1\"";
    assert!(not_modified(&request("HEAD /page", conditions), &stored("ETag: \"1\"")));
    assert!(!not_modified(&request("POST /page", conditions), &stored("ETag: \"1\"")));
    for status in [301, 404, 500] {
        let entry = Entry { status, ..stored("ETag: \"1\"") };
        assert!(!not_modified(&get(conditions), &entry), "{status}");
    }
}

#[test]
fn a_304_has_no_field_that_describes_a_body() {
    let whole = fields(
        "ETag: \"1\"|Content-Type: a|Content-Length: 3|Content-Encoding: gzip|Vary: x|Date: d\
         |Cache-Control: c|Content-Location: /a|Expires: e|X-Own: 1",
    );
    let got = not_modified_fields(&whole);
    let names: Vec<&str> = got.iter().map(|(name, _)| name).collect();
    let want = ["etag", "vary", "date", "cache-control", "content-location", "expires", "x-own"];
    assert_eq!(names, want);
}

/// Stored validators, and the conditions that they make (RFC 9111 §4.3.1).
#[test]
fn own_conditions() {
    let rows = [
        ("ETag: \"1\"", "If-None-Match: \"1\""),
        ("ETag: W/\"1\"", "If-None-Match: W/\"1\""),
        ("ETag: abc", "If-None-Match: abc"),
        ("ETag: \"a", ""),
        ("ETag: a b", ""),
        (
            "Last-Modified: Fri, 31 Dec 2021 00:00:00 GMT",
            "If-Modified-Since: Fri, 31 Dec 2021 00:00:00 GMT",
        ),
        ("Last-Modified: yesterday", ""),
        (
            "ETag: \"1\"|Last-Modified: Fri, 31 Dec 2021 00:00:00 GMT",
            "If-None-Match: \"1\"|If-Modified-Since: Fri, 31 Dec 2021 00:00:00 GMT",
        ),
        ("Cache-Control: max-age=60", ""),
    ];
    for (have, want) in rows {
        assert_eq!(conditional_fields(&stored(have)), fields(want), "{have}");
    }
}

fn renew(entry: &Entry, lines: &str, route: &Route) -> Option<Entry> {
    renew_for(entry, "", lines, route)
}

/// Renewed by the 304 to a request with these fields.
fn renew_for(entry: &Entry, sent: &str, lines: &str, route: &Route) -> Option<Entry> {
    let input = UpdateInput {
        not_modified: &response(304, lines),
        sent: &fields(sent),
        request_time: after(100),
        response_time: after(101),
        route,
    };
    match update(entry, &input) {
        Update::Renewed(entry) => Some(*entry),
        Update::Mismatch => None,
    }
}

fn joined(fields: &Fields) -> Vec<String> {
    let mut lines: Vec<String> = fields.iter().map(|(n, v)| format!("{n}: {v}")).collect();
    lines.sort();
    lines
}

#[test]
fn a_304_renews_fields_freshness_and_age_but_not_what_describes_the_bytes() {
    let entry = stored(
        "ETag: \"1\"|Cache-Control: max-age=1|A: old|B: old|Content-Type: text/plain\
         |Content-Length: 5|Content-Encoding: gzip|Content-MD5: a|Content-Range: r|Expires: 0",
    );
    let entry =
        Entry { selection: Selection(vec![("accept-encoding".into(), "gzip".into())]), ..entry };
    let renewed = renew(
        &entry,
        "ETag: \"1\"|Cache-Control: max-age=600|A: new|A: newer|C: new|Content-Type: text/html\
         |Content-Length: 10|Content-Encoding: br|Content-MD5: b|Content-Range: s|Age: 7\
         |Set-Cookie: a=b|Connection: c2|C2: x|Transfer-Encoding: chunked",
        &open_route(),
    )
    .unwrap();
    let want = [
        "a: new",
        "a: newer",
        "b: old",
        "c: new",
        "cache-control: max-age=600",
        "content-encoding: gzip",
        "content-length: 5",
        "content-md5: a",
        "content-range: r",
        "content-type: text/html",
        "etag: \"1\"",
        "expires: 0",
    ];
    assert_eq!(joined(&renewed.fields), want);
    assert_eq!(renewed.freshness.lifetime, Seconds(600));
    assert_eq!(renewed.initial_age, Seconds(8));
    assert_eq!((renewed.request_time, renewed.response_time), (after(100), after(101)));
    assert_eq!((renewed.status, renewed.body_length, renewed.stamp), (200, 100, entry.stamp));
}

/// id, section, stored fields, fields of the 304, whether it renews.
#[rustfmt::skip]
const UPDATES: &[(&str, &str, &str, &str, bool)] = &[
    ("bare", "§4.3.4", "ETag: \"1\"", "", true),
    ("same-strong", "§4.3.4", "ETag: \"1\"", "ETag: \"1\"", true),
    ("other-strong", "§4.3.4", "ETag: \"1\"", "ETag: \"2\"", false),
    ("same-weak", "§4.3.4", "ETag: W/\"1\"", "ETag: W/\"1\"", true),
    ("other-weak", "§4.3.4", "ETag: W/\"1\"", "ETag: W/\"2\"", false),
    ("weakened", "§4.3.4", "ETag: \"1\"", "ETag: W/\"1\"", true),
    ("other-date", "§4.3.4", "Last-Modified: Fri, 31 Dec 2021 00:00:00 GMT", "Last-Modified: Sat, 01 Jan 2022 00:00:00 GMT", false),
    ("same-date", "§4.3.4", "Last-Modified: Fri, 31 Dec 2021 00:00:00 GMT", "Last-Modified: Fri, 31 Dec 2021 00:00:00 GMT", true),
    ("same-tag-other-date", "§4.3.4", "ETag: \"1\"|Last-Modified: Fri, 31 Dec 2021 00:00:00 GMT", "ETag: \"1\"|Last-Modified: Sat, 01 Jan 2022 00:00:00 GMT", true),
    ("now-private", "§3", "ETag: \"1\"", "Cache-Control: private", false),
    ("now-no-store", "§3", "ETag: \"1\"|Cache-Control: max-age=60", "Cache-Control: no-store", false),
    ("now-bypass", "contract", "ETag: \"1\"", "X-Edge-ISR: bypass", false),
    ("now-varies", "§4.1", "ETag: \"1\"", "Vary: Foo", false),
    ("now-varies-any", "§4.1", "ETag: \"1\"", "Vary: *", false),
    ("sets-cookie", "contract", "ETag: \"1\"", "Set-Cookie: a=b", true),
    ("front_cache", "contract", "ETag: \"1\"", "Age: 5", false),
    ("bad-age", "§5.1", "ETag: \"1\"", "Age: x", false),
    ("bad-tags", "contract", "ETag: \"1\"", "xkey: caf\u{e9}", false),
];

#[test]
fn what_a_304_renews() {
    let mut failures = Vec::new();
    for (id, section, have, news, want) in UPDATES {
        let got = renew(&stored(have), news, &Route::default()).is_some();
        if got != *want {
            failures.push(format!("{id} ({section}): got {got}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn a_route_that_trusts_validators_takes_a_304_for_what_it_asked() {
    let entry = renew(&stored("ETag: \"1\""), "ETag: \"2\"", &open_route()).unwrap();
    assert_eq!(entry.fields.get("etag"), Some("\"1\""));
    assert_eq!(renew(&stored("ETag: \"1\""), "Cache-Control: private", &open_route()), None);
}

#[test]
fn a_304_with_tags_replaces_them_and_one_without_keeps_them() {
    let tagged = renew(&stored("ETag: \"1\""), "X-Edge-ISR-Tags: a b", &Route::default()).unwrap();
    assert_eq!(tagged.tags.len(), 2);
    assert_eq!(tagged.targets, tagged.page.targets(&tagged.tags));
    assert!(!tagged.fields.has("x-edge-isr-tags"));
    let kept = renew(&tagged, "Cache-Control: max-age=9", &Route::default()).unwrap();
    assert_eq!(kept.tags, tagged.tags);
    let none = renew(&tagged, "X-Edge-ISR-Tags: ", &Route::default()).unwrap();
    assert!(none.tags.is_empty());
}

#[test]
fn a_304_renews_a_stored_cookie_only_for_a_request_that_brought_nothing_of_its_own() {
    let route = Route { store_set_cookie: true, ..open_route() };
    let entry = stored("ETag: \"1\"|Cache-Control: max-age=1|Set-Cookie: a=b");
    let fresh = "Cache-Control: public, max-age=60|Set-Cookie: a=c";
    let rows = [
        ("", fresh, Some("a=c")),
        ("Cookie: x=y", fresh, Some("a=b")),
        ("Authorization: x", fresh, Some("a=b")),
        ("", "Cache-Control: max-age=60", Some("a=b")),
        // What speaks against storing a cookie ends its storing.
        ("", "Cache-Control: private=\"set-cookie\", max-age=60", None),
        ("", "Cache-Control: no-cache|Set-Cookie: a=c", None),
        ("", "Cache-Control: max-age=0|Set-Cookie: a=c", None),
        ("", "Cache-Control: no-store", None),
    ];
    for (sent, news, want) in rows {
        let renewed = renew_for(&entry, sent, news, &route);
        let got = renewed.as_ref().and_then(|entry| entry.fields.get("set-cookie"));
        assert_eq!(got, want, "{sent} {news}");
    }
    let off = renew(&entry, fresh, &open_route());
    assert_eq!(off, None, "a cookie stored before the setting went is not renewed");
}

#[test]
fn a_304_to_credentials_renews_what_their_200_could_be_stored_as() {
    let entry = stored("ETag: \"1\"|Cache-Control: max-age=1");
    let rows = [
        ("", "Cache-Control: max-age=60", true),
        ("Authorization: x", "Cache-Control: max-age=60|X-User: alice", false),
        ("Authorization: x", "", false),
        ("Authorization: x", "Cache-Control: public, max-age=60", true),
        ("Authorization: x", "Cache-Control: must-revalidate, max-age=60", true),
        ("Cookie: a=b", "Cache-Control: max-age=60|X-User: alice", false),
        ("Cookie: a=b", "Cache-Control: s-maxage=60", true),
    ];
    for (sent, news, want) in rows {
        let got = renew_for(&entry, sent, news, &open_route()).is_some();
        assert_eq!(got, want, "{sent} {news}");
    }
}
