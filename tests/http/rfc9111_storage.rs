//! Storing responses (RFC 9111 §3): one row per rule.

use crate::http_support::{get, open_route, request, response, store};
use edge_isr::base::time::Seconds;
use edge_isr::cache::storage::NoStore::{self, *};
use edge_isr::cache::storage::{Storage, StorageInput, storage};
use edge_isr::config::{ForwardHeaders, Route};

/// id, section, request fields, status, response fields, why it is refused (or not).
type Row = (&'static str, &'static str, &'static str, u16, &'static str, Option<NoStore>);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    // Explicit freshness.
    ("max-age", "§3", "", 200, "Cache-Control: max-age=60", None),
    ("s-maxage", "§3", "", 200, "Cache-Control: s-maxage=60", None),
    ("expires", "§3", "", 200, "Date: Sat, 01 Jan 2022 00:00:00 GMT|Expires: Sat, 01 Jan 2022 01:00:00 GMT", None),
    ("cdn", "9213 §2", "", 200, "CDN-Cache-Control: max-age=60", None),
    ("surrogate", "contract", "", 200, "Surrogate-Control: max-age=60", None),
    ("nothing", "§3", "", 200, "Content-Type: text/html", Some(NoFreshness)),
    ("validator-alone", "§3", "", 200, "ETag: \"1\"", Some(NoFreshness)),
    ("public-alone", "§3", "", 200, "Cache-Control: public", Some(NoFreshness)),
    ("zero-alone", "§3", "", 200, "Cache-Control: max-age=0", Some(NoFreshness)),
    ("zero-with-validator", "§3", "", 200, "Cache-Control: max-age=0|ETag: \"1\"", None),
    ("zero-with-last-modified", "§3", "", 200, "Cache-Control: max-age=0|Last-Modified: Fri, 31 Dec 2021 00:00:00 GMT", None),
    ("zero-with-window", "5861 §3", "", 200, "Cache-Control: max-age=0, stale-while-revalidate=60", None),
    ("no-cache-with-validator", "§5.2.2.4", "", 200, "Cache-Control: no-cache|ETag: \"1\"", None),
    ("no-cache-alone", "§5.2.2.4", "", 200, "Cache-Control: no-cache", Some(NoFreshness)),
    ("no-cache-max-age", "§5.2.2.4", "", 200, "Cache-Control: no-cache, max-age=60", Some(NoFreshness)),
    ("stale-on-arrival", "§4.2.3", "", 200, "Cache-Control: max-age=60|Expires: 0|Date: x|ETag: \"1\"", None),
    // What forbids.
    ("no-store", "§5.2.2.5", "", 200, "Cache-Control: no-store, max-age=60", Some(NoStoreDirective)),
    ("no-store-case", "§5.2", "", 200, "Cache-Control: Max-Age=60, No-Store", Some(NoStoreDirective)),
    ("no-store-other-line", "§5.2", "", 200, "Cache-Control: max-age=60|Cache-Control: no-store", Some(NoStoreDirective)),
    ("no-store-bad-max-age", "§5.2", "", 200, "Cache-Control: no-store, max-age=lolz", Some(NoStoreDirective)),
    ("private", "§5.2.2.7", "", 200, "Cache-Control: private, max-age=60", Some(Private)),
    ("private-s-maxage", "§5.2.2.7", "", 200, "Cache-Control: private, s-maxage=60", Some(Private)),
    ("private-fields", "§5.2.2.7", "", 200, "Cache-Control: max-age=60, private=\"x-user\"", None),
    ("private-no-fields", "§5.2.2.7", "", 200, "Cache-Control: max-age=60, private=\"\"", Some(Private)),
    ("private-both", "§5.2.2.7", "", 200, "Cache-Control: max-age=60, private=\"a\", private", Some(Private)),
    ("set-cookie", "contract", "", 200, "Cache-Control: max-age=60|Set-Cookie: a=b", Some(SetCookie)),
    ("set-cookie-public", "contract", "", 200, "Cache-Control: public, max-age=60|Set-Cookie: a=b", Some(SetCookie)),
    ("set-cookie-cdn", "contract", "", 200, "CDN-Cache-Control: max-age=60|Set-Cookie: a=b", Some(SetCookie)),
    ("set-cookie2", "6265 §9.4", "", 200, "Cache-Control: max-age=60|Set-Cookie2: a=b", None),
    ("vary-any", "§4.1", "", 200, "Cache-Control: max-age=60|Vary: *", Some(VaryAny)),
    ("vary-any-among", "§4.1", "", 200, "Cache-Control: max-age=60|Vary: Foo, *", Some(VaryAny)),
    ("vary-any-line", "§4.1", "", 200, "Cache-Control: max-age=60|Vary: |Vary: *", Some(VaryAny)),
    ("vary-bad", "§4.1", "", 200, "Cache-Control: max-age=60|Vary: a b", Some(VaryAny)),
    ("bypass", "contract", "", 200, "Cache-Control: max-age=60|X-Edge-ISR: bypass", Some(Bypass)),
    ("bypass-case", "contract", "", 200, "Cache-Control: max-age=60|X-Edge-ISR: Bypass;a", Some(Bypass)),
    ("event-stream", "contract", "", 200, "Cache-Control: max-age=60|Content-Type: Text/Event-Stream; charset=utf-8", Some(EventStream)),
    ("mixed-replace", "contract", "", 200, "Cache-Control: max-age=60|Content-Type: multipart/x-mixed-replace;boundary=a", Some(EventStream)),
    ("nonce", "contract", "", 200, "Cache-Control: max-age=60|Content-Security-Policy: script-src 'Nonce-abc'", Some(CspNonce)),
    ("nonce-report", "contract", "", 200, "Cache-Control: max-age=60|Content-Security-Policy-Report-Only: script-src 'nonce-a'", Some(CspNonce)),
    ("csp", "contract", "", 200, "Cache-Control: max-age=60|Content-Security-Policy: default-src 'self'", None),
    ("field-bytes", "9110 §5.5", "", 200, "Cache-Control: max-age=60|X-Name: M\u{fffd}ller", Some(FieldBytes)),
    ("upstream-age", "contract", "", 200, "Cache-Control: max-age=60|Age: 1", Some(UpstreamCache)),
    ("upstream-age-0", "contract", "", 200, "Cache-Control: max-age=60|Age: 0", None),
    ("upstream-cf", "contract", "", 200, "Cache-Control: max-age=60|CF-Cache-Status: HIT", Some(UpstreamCache)),
    ("upstream-cf-revalidated", "contract", "", 200, "Cache-Control: max-age=60|CF-Cache-Status: REVALIDATED", Some(UpstreamCache)),
    ("upstream-cf-miss", "contract", "", 200, "Cache-Control: max-age=60|CF-Cache-Status: MISS", None),
    ("upstream-cache-status", "9211 §2.1", "", 200, "Cache-Control: max-age=60|Cache-Status: other; hit; ttl=3", Some(UpstreamCache)),
    ("upstream-cache-status-miss", "9211 §2.1", "", 200, "Cache-Control: max-age=60|Cache-Status: other; fwd=miss", None),
    ("age-unreadable", "§5.1", "", 200, "Cache-Control: max-age=60|Age: abc", Some(UpstreamCache)),
    ("tags-bad", "contract", "", 200, "Cache-Control: max-age=60|X-Edge-ISR-Tags: caf\u{e9}", Some(BadTags)),
    // Statuses.
    ("203", "§3", "", 203, "Cache-Control: max-age=60", None),
    ("204", "§3", "", 204, "Cache-Control: max-age=60", None),
    ("206", "§3.3", "", 206, "Cache-Control: max-age=60|Content-Range: bytes 0-4/10", Some(PartialContent)),
    ("200-content-range", "9110 §14.4", "", 200, "Cache-Control: max-age=60|Content-Range: bytes 0-4/10", None),
    ("299", "§3", "", 299, "Cache-Control: max-age=60", None),
    ("301", "§3", "", 301, "Cache-Control: max-age=60", None),
    ("302", "§3", "", 302, "Cache-Control: max-age=60", None),
    ("303", "§3", "", 303, "Cache-Control: max-age=60", None),
    ("304", "§4.3.3", "", 304, "Cache-Control: max-age=60", Some(Status)),
    ("307", "§3", "", 307, "Cache-Control: max-age=60", None),
    ("308", "§3", "", 308, "Cache-Control: max-age=60", None),
    ("400", "§3", "", 400, "Cache-Control: max-age=60", None),
    ("401", "9110 §11.6.1", "", 401, "Cache-Control: max-age=60", Some(Status)),
    ("404", "§3", "", 404, "Cache-Control: max-age=60", None),
    ("404-nothing", "§3", "", 404, "", Some(NoFreshness)),
    ("410", "§3", "", 410, "Cache-Control: max-age=60", None),
    ("412", "9110 §15.5.13", "", 412, "Cache-Control: max-age=60", Some(Status)),
    ("416", "9110 §15.5.17", "", 416, "Cache-Control: max-age=60", Some(Status)),
    ("429", "6585 §4", "", 429, "Cache-Control: max-age=60", Some(Status)),
    ("499", "§3", "", 499, "Cache-Control: max-age=60", None),
    ("500", "§3", "", 500, "Cache-Control: max-age=60", None),
    ("500-nothing", "§3", "", 500, "", Some(NoFreshness)),
    ("503", "§3", "", 503, "Cache-Control: max-age=60", None),
    ("520", "contract", "", 520, "Cache-Control: max-age=60", Some(EdgeError)),
    ("530", "contract", "", 530, "Cache-Control: max-age=60", Some(EdgeError)),
    ("531", "contract", "", 531, "Cache-Control: max-age=60", None),
    ("511", "6585 §6", "", 511, "Cache-Control: max-age=60", Some(Status)),
    ("599", "§3", "", 599, "Cache-Control: max-age=60", None),
    ("599-must-understand", "§5.2.2.3", "", 599, "Cache-Control: max-age=60, must-understand", Some(Status)),
    ("200-must-understand", "§5.2.2.3", "", 200, "Cache-Control: no-store, must-understand, max-age=60", None),
    ("101", "§3", "", 101, "Cache-Control: max-age=60", Some(Status)),
    // Requests. A cookie that is not in the key does not reach the origin by default.
    ("cookie-removed", "contract", "Cookie: _ga=1", 200, "Cache-Control: max-age=60|Vary: Cookie", None),
    ("pragma-request", "§5.4", "Pragma: no-cache", 200, "Cache-Control: max-age=60", None),
    ("no-store-request-unheard", "§5.2.1.5", "Cache-Control: no-store", 200, "Cache-Control: max-age=60", None),
    // Targeted fields replace Cache-Control (RFC 9213 §2.2).
    ("cdn-over-no-store", "9213 §2.2", "", 200, "CDN-Cache-Control: max-age=60|Cache-Control: no-store", None),
    ("cdn-over-private", "9213 §2.2", "", 200, "CDN-Cache-Control: max-age=60|Cache-Control: private", None),
    ("cdn-no-store", "9213 §2.2", "", 200, "CDN-Cache-Control: no-store|Cache-Control: max-age=60", Some(NoStoreDirective)),
    ("cdn-private", "9213 §2.2", "", 200, "CDN-Cache-Control: private, max-age=9|Cache-Control: max-age=60", Some(Private)),
    ("cdn-no-store-argument", "9213 §2.1", "", 200, "CDN-Cache-Control: no-store=1, max-age=60", Some(NoStoreDirective)),
    ("cdn-invalid", "9213 §2.1", "", 200, "CDN-Cache-Control: max-age=;|Cache-Control: max-age=60", None),
    ("cdn-invalid-no-store", "9213 §2.1", "", 200, "CDN-Cache-Control: No-Store|Cache-Control: max-age=60", Some(NoStoreDirective)),
    ("cdn-invalid-then-no-store", "9213 §2.1", "", 200, "CDN-Cache-Control: &|Cache-Control: no-store", Some(NoStoreDirective)),
    ("cdn-empty", "9213 §2.1", "", 200, "CDN-Cache-Control: |Cache-Control: no-store", Some(NoStoreDirective)),
    ("surrogate-no-store", "contract", "", 200, "Surrogate-Control: no-store|Cache-Control: max-age=60", Some(NoStoreDirective)),
    ("surrogate-over-no-store", "contract", "", 200, "Surrogate-Control: max-age=60;edge-isr|Cache-Control: no-store", None),
    ("surrogate-for-another", "contract", "", 200, "Surrogate-Control: max-age=60;other|Cache-Control: no-store", Some(NoStoreDirective)),
    ("surrogate-content", "contract", "", 200, "Surrogate-Control: content=\"ESI/1.0\"|Cache-Control: no-store", Some(NoStoreDirective)),
    ("cdn-before-surrogate", "contract", "", 200, "Surrogate-Control: no-store|CDN-Cache-Control: max-age=60", None),
];

#[test]
fn table() {
    let mut failures = Vec::new();
    for (id, section, sent, status, answer, want) in ROWS {
        let got = store(&get(sent), &Route::default(), &response(*status, answer)).err();
        if got != *want {
            failures.push(format!("{id} ({section}): got {got:?}, want {want:?}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[rustfmt::skip]
const OPEN_ROWS: &[Row] = &[
    ("authorization", "§3.5", "Authorization: x", 200, "Cache-Control: max-age=60", Some(Authorization)),
    ("authorization-expires", "§3.5", "Authorization: x", 200, "Date: Sat, 01 Jan 2022 00:00:00 GMT|Expires: Sat, 01 Jan 2022 01:00:00 GMT", Some(Authorization)),
    ("authorization-public", "§3.5", "Authorization: x", 200, "Cache-Control: public, max-age=60", None),
    ("authorization-must-revalidate", "§3.5", "Authorization: x", 200, "Cache-Control: must-revalidate, max-age=60", None),
    ("authorization-s-maxage", "§3.5", "Authorization: x", 200, "Cache-Control: s-maxage=60", None),
    ("authorization-cdn", "§3.5", "Authorization: x", 200, "CDN-Cache-Control: max-age=60", Some(Authorization)),
    ("cookie", "contract", "Cookie: a=b", 200, "Cache-Control: max-age=60", Some(Cookie)),
    ("cookie-vary", "contract", "Cookie: a=b", 200, "Cache-Control: max-age=60|Vary: Cookie", Some(Cookie)),
    ("cookie-public", "contract", "Cookie: a=b", 200, "Cache-Control: public, max-age=60", None),
    ("cookie-s-maxage", "contract", "Cookie: a=b", 200, "Cache-Control: s-maxage=60", None),
    ("request-no-store", "§5.2.1.5", "Cache-Control: no-store", 200, "Cache-Control: max-age=60", Some(RequestNoStore)),
    ("upstream-age-allowed", "contract", "", 200, "Cache-Control: max-age=60|Age: 30", None),
    ("older-than-lifetime", "§4.2", "", 200, "Cache-Control: max-age=60|Age: 60", Some(NoFreshness)),
    ("heuristic", "§4.2.2", "", 200, "Date: Sat, 01 Jan 2022 00:00:00 GMT|Last-Modified: Fri, 31 Dec 2021 00:00:00 GMT", None),
    ("heuristic-403", "§4.2.2", "", 403, "Date: Sat, 01 Jan 2022 00:00:00 GMT|Last-Modified: Fri, 31 Dec 2021 00:00:00 GMT", Some(NoFreshness)),
    ("heuristic-599-public", "§4.2.2", "", 599, "Cache-Control: public|Date: Sat, 01 Jan 2022 00:00:00 GMT|Last-Modified: Fri, 31 Dec 2021 00:00:00 GMT", None),
];

#[test]
fn a_route_that_forwards_everything_still_keeps_private_things_private() {
    let mut failures = Vec::new();
    for (id, section, sent, status, answer, want) in OPEN_ROWS {
        let got = store(&get(sent), &open_route(), &response(*status, answer)).err();
        if got != *want {
            failures.push(format!("{id} ({section}): got {got:?}, want {want:?}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Where a route stores responses that set a cookie (RFC 9111 §7.3), every one of these still
/// speaks against it.
#[rustfmt::skip]
const COOKIE_ROWS: &[Row] = &[
    ("max-age", "§7.3", "", 200, "Cache-Control: max-age=60|Set-Cookie: a=b", None),
    ("public", "§7.3", "", 200, "Cache-Control: public, max-age=60|Set-Cookie: a=b", None),
    ("s-maxage", "§7.3", "", 200, "Cache-Control: s-maxage=60|Set-Cookie: a=b", None),
    ("expires", "§7.3", "", 200, "Date: Sat, 01 Jan 2022 00:00:00 GMT|Expires: Sat, 01 Jan 2022 01:00:00 GMT|Set-Cookie: a=b", None),
    ("cdn", "9213 §2", "", 200, "CDN-Cache-Control: max-age=60|Set-Cookie: a=b", None),
    ("several", "§7.3", "", 200, "Cache-Control: max-age=60|Set-Cookie: a=b|Set-Cookie: c=d", None),
    ("404", "§7.3", "", 404, "Cache-Control: max-age=60|Set-Cookie: a=b", None),
    ("key-cookie", "§7.3", "Cookie: theme=dark", 200, "Cache-Control: max-age=60|Set-Cookie: a=b", None),
    ("route-ttl", "§4.2.1", "", 200, "Set-Cookie: a=b", Some(SetCookie)),
    ("heuristic", "§4.2.2", "", 200, "Date: Sat, 01 Jan 2022 00:00:00 GMT|Last-Modified: Fri, 31 Dec 2021 00:00:00 GMT|Set-Cookie: a=b", Some(SetCookie)),
    ("negative-ttl", "§4.2.1", "", 410, "Set-Cookie: a=b", Some(SetCookie)),
    ("public-alone", "§5.2.2.9", "", 200, "Cache-Control: public|Set-Cookie: a=b", Some(SetCookie)),
    ("zero", "§4.2.1", "", 200, "Cache-Control: max-age=0|ETag: \"1\"|Set-Cookie: a=b", Some(SetCookie)),
    ("unreadable", "§4.2.1", "", 200, "Cache-Control: max-age=lolz, stale-while-revalidate=60|Set-Cookie: a=b", Some(SetCookie)),
    ("private", "§5.2.2.7", "", 200, "Cache-Control: private, max-age=60|Set-Cookie: a=b", Some(Private)),
    ("private-cookie", "§5.2.2.7", "", 200, "Cache-Control: private=\"set-cookie\", max-age=60|Set-Cookie: a=b", Some(SetCookie)),
    ("private-field", "§5.2.2.7", "", 200, "Cache-Control: private=\"x\", max-age=60|Set-Cookie: a=b", Some(SetCookie)),
    ("no-store", "§5.2.2.5", "", 200, "Cache-Control: no-store, max-age=60|Set-Cookie: a=b", Some(NoStoreDirective)),
    ("no-store-must-understand", "§5.2.2.3", "", 200, "Cache-Control: no-store, must-understand, max-age=60|Set-Cookie: a=b", Some(SetCookie)),
    ("no-cache", "§5.2.2.4", "", 200, "Cache-Control: no-cache, max-age=60|ETag: \"1\"|Set-Cookie: a=b", Some(SetCookie)),
    ("no-cache-cookie", "§5.2.2.4", "", 200, "Cache-Control: no-cache=\"Set-Cookie\", max-age=60|Set-Cookie: a=b", Some(SetCookie)),
    ("cdn-beside-private", "9213 §2.2", "", 200, "CDN-Cache-Control: max-age=60|Cache-Control: private|Set-Cookie: a=b", Some(SetCookie)),
    ("cdn-beside-no-store", "9213 §2.2", "", 200, "CDN-Cache-Control: max-age=60|Cache-Control: no-store|Set-Cookie: a=b", Some(SetCookie)),
    ("surrogate-beside-no-cache", "contract", "", 200, "Surrogate-Control: max-age=60|Cache-Control: no-cache|Set-Cookie: a=b", Some(SetCookie)),
    ("bypass", "contract", "", 200, "Cache-Control: max-age=60|X-Edge-ISR: bypass|Set-Cookie: a=b", Some(Bypass)),
    ("request-cookie", "contract", "Cookie: a=b", 200, "Cache-Control: max-age=60|Set-Cookie: a=b", Some(Cookie)),
    ("request-cookie-public", "contract", "Cookie: a=b", 200, "Cache-Control: public, max-age=60|Set-Cookie: a=b", Some(Cookie)),
    ("request-cookie-s-maxage", "contract", "Cookie: theme=dark; a=b", 200, "Cache-Control: s-maxage=60|Set-Cookie: a=b", Some(Cookie)),
    ("request-cookie-vary", "contract", "Cookie: a=b", 200, "Cache-Control: public, max-age=60|Vary: Cookie|Set-Cookie: a=b", Some(Cookie)),
    ("authorization", "§3.5", "Authorization: x", 200, "Cache-Control: max-age=60|Set-Cookie: a=b", Some(Authorization)),
    ("authorization-public", "§3.5", "Authorization: x", 200, "Cache-Control: public, max-age=60|Set-Cookie: a=b", Some(Authorization)),
    ("authorization-must-revalidate", "§3.5", "Authorization: x", 200, "Cache-Control: must-revalidate, max-age=60|Set-Cookie: a=b", Some(Authorization)),
];

#[test]
fn inv5_a_cookie_is_stored_only_where_nothing_speaks_against_it() {
    let route = Route {
        store_set_cookie: true,
        ttl: Some(Seconds(60)),
        negative_ttl: vec![(410, Seconds(60))],
        key_cookies: vec!["theme".to_owned()],
        ..open_route()
    };
    let mut failures = Vec::new();
    for (id, section, sent, status, answer, want) in COOKIE_ROWS {
        let got = store(&get(sent), &route, &response(*status, answer));
        if let Ok(storable) = &got {
            assert!(storable.fields.has("set-cookie"), "{id}");
        }
        let got = got.err();
        if got != *want {
            failures.push(format!("{id} ({section}): got {got:?}, want {want:?}"));
        }
        let off = Route { store_set_cookie: false, ..route.clone() };
        assert!(store(&get(sent), &off, &response(*status, answer)).is_err(), "{id}: off");
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn stored_are_neither_the_hops_fields_nor_tags_nor_those_named_by_the_response() {
    let answer = response(
        200,
        "Cache-Control: max-age=60, no-cache=\"a, B\", private=\"c\"|A: 1|B: 2|C: 3|D: 4|E: 5\
         |Connection: e, cache-control, close|Keep-Alive: x|Proxy-Authenticate: x|Trailer: x\
         |Proxy-Authentication-Info: x|Proxy-Authorization: x|Proxy-Connection: x|TE: x\
         |Transfer-Encoding: x|Upgrade: x|Cache-Tag: t1, t2|xkey: t3 t1|Age: 0|Content-Type: x",
    );
    let storable = store(&get(""), &Route::default(), &answer).unwrap();
    let names: Vec<&str> = storable.fields.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["cache-control", "d", "content-type"]);
    let tags: Vec<&str> = storable.tags.iter().map(|t| t.as_str()).collect();
    assert_eq!(tags, ["t1", "t2", "t3"]);
}

#[test]
fn a_thousand_tags_are_stored_and_one_more_is_an_error_of_the_origin() {
    for (count, want) in [(1000, None), (1001, Some(TooManyTags))] {
        let tags: Vec<String> = (0..count).map(|n| format!("t:{n}")).collect();
        let mut answer = response(200, "Cache-Control: max-age=60");
        answer.fields.append("x-edge-isr-tags", tags.join(" "));
        assert_eq!(store(&get(""), &Route::default(), &answer).err(), want);
    }
}

#[test]
fn a_coded_body_is_selected_by_accept_encoding_even_if_the_origin_forgot() {
    let answer = response(200, "Cache-Control: max-age=60|Content-Encoding: gzip|Vary: Foo");
    let storable = store(&get(""), &Route::default(), &answer).unwrap();
    assert_eq!(storable.selection_names, ["accept-encoding", "foo"]);
    let plain = response(200, "Cache-Control: max-age=60|Content-Encoding: identity");
    let storable = store(&get(""), &Route::default(), &plain).unwrap();
    assert_eq!(storable.selection_names, Vec::<String>::new());
}

#[test]
fn a_slow_answer_is_as_old_as_it_took() {
    let route = open_route();
    let config = crate::http_support::config(route);
    let head = get("");
    let admitted = crate::http_support::serve(&head, &config);
    let answer = response(200, "Cache-Control: max-age=60|Age: 5");
    let input = StorageInput {
        request: &head,
        admitted: &admitted,
        sent: &crate::http_support::fields(""),
        response: &answer,
        request_time: crate::http_support::NOW,
        response_time: crate::http_support::after(7),
    };
    match storage(&input) {
        Storage::Store(s) => assert_eq!(s.initial_age, Seconds(12)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_nonce_and_an_upstream_cache_are_stored_where_the_route_says_so() {
    let route = Route { store_nonce: true, upstream_cache: true, ..Route::default() };
    let answer = response(
        200,
        "Cache-Control: max-age=60|Age: 3|Content-Security-Policy: script-src 'nonce-a'",
    );
    assert!(store(&get(""), &route, &answer).is_ok());
}

#[test]
fn no_setting_makes_a_private_response_storable() {
    let route = Route {
        ttl: Some(Seconds(600)),
        swr: Seconds(600),
        sie: Seconds(600),
        negative_ttl: vec![(200, Seconds(600))],
        heuristics: true,
        upstream_cache: true,
        store_nonce: true,
        store_set_cookie: true,
        trust_validators: true,
        forward_headers: ForwardHeaders::All,
        ..Route::default()
    };
    for (answer, want) in [
        ("Cache-Control: private", Private),
        ("Cache-Control: no-store", NoStoreDirective),
        ("Set-Cookie: sessionid=1", SetCookie),
        ("Vary: *", VaryAny),
        ("X-Edge-ISR: bypass", Bypass),
    ] {
        assert_eq!(store(&get(""), &route, &response(200, answer)).err(), Some(want), "{answer}");
    }
    let with_cookie = get("Cookie: cart=1");
    assert_eq!(store(&with_cookie, &route, &response(200, "")).err(), Some(Cookie));
}

#[test]
fn head_is_decided_as_get() {
    let answer = response(200, "Cache-Control: max-age=60");
    assert!(store(&request("HEAD /page", ""), &Route::default(), &answer).is_ok());
}

#[test]
fn only_reasons_that_will_last_mark_a_page_hit_for_pass() {
    for reason in [NoStoreDirective, Private, SetCookie, NoFreshness, CspNonce, VaryAny] {
        assert!(reason.hit_for_pass(), "{reason:?}");
    }
    for reason in [EdgeError, Status, RequestNoStore, Authorization, Cookie, UpstreamCache] {
        assert!(!reason.hit_for_pass(), "{reason:?}");
    }
}

/// What is known of a page stays when its answer is refused for what one request said or carried.
#[test]
fn reasons_that_lie_in_the_request_say_nothing_of_the_page() {
    for reason in [Method, RequestNoStore, Authorization, Cookie] {
        assert!(reason.is_of_the_request(), "{reason:?}");
    }
    for reason in [NoStoreDirective, Private, SetCookie, NoFreshness, Status, BadTags, VaryAny] {
        assert!(!reason.is_of_the_request(), "{reason:?}");
    }
}
