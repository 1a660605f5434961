//! Header fields as attackers, broken origins and other parsers' bugs make them. Each row is a way
//! in which a cache once stored or served what it must not.

use crate::http_support::{EDGE, config, fields, get, open_route, response, serve, store};
use edge_isr::cache::forward::cacheable_request_fields;
use edge_isr::cache::storage::NoStore::{self, *};
use edge_isr::cache::tag::TagError;
use edge_isr::cache::tag_fields::{TagsError, tags};
use edge_isr::cache::variant::selection;
use edge_isr::config::Route;
use edge_isr::http::accept::{accept, accept_language};
use edge_isr::http::cache_control::{FieldScope, ResponseDirectives};
use edge_isr::http::encoding::{Coding, accepts, best, normalise};
use edge_isr::http::vary::{Vary, vary};

/// id, where it comes from, response fields, why it is not stored.
#[rustfmt::skip]
const NEVER_STORED: &[(&str, &str, &str, NoStore)] = &[
    ("case", "http-cache-semantics", "Cache-Control: Max-Age=60, No-Store", NoStoreDirective),
    ("repeated-fields", "http-cache-semantics", "Cache-Control: max-age=60|Cache-Control: private", Private),
    ("bad-neighbour", "headers::CacheControl", "Cache-Control: no-store, max-age=lolz", NoStoreDirective),
    ("bad-neighbour-after", "headers::CacheControl", "Cache-Control: max-age=lolz, no-store", NoStoreDirective),
    ("semicolons", "origins", "Cache-Control: max-age=60; no-store", NoStoreDirective),
    ("semicolons-private", "origins", "Cache-Control: private; max-age=60", Private),
    ("no-comma", "origins", "Cache-Control: no-store max-age=60", NoStoreDirective),
    ("argument", "origins", "Cache-Control: no-store=true, max-age=60", NoStoreDirective),
    ("private-token", "origins", "Cache-Control: private=true, max-age=60", Private),
    ("private-words", "origins", "Cache-Control: private please=\"x\", max-age=60", Private),
    ("private-semicolon-fields", "origins", "Cache-Control: private; a=\"b\", max-age=60|ETag: \"1\"", Private),
    ("private-bad-fields", "origins", "Cache-Control: private=\"a b\", max-age=60", Private),
    ("private-argument", "origins", "Cache-Control: private=1=2, max-age=60", Private),
    ("open-quote", "attack", "Cache-Control: max-age=60, e=\", no-store", NoStoreDirective),
    ("open-quote-private", "attack", "Cache-Control: e=\"a, private, max-age=60", Private),
    ("open-quote-field-list", "attack", "Cache-Control: private=\"set-cookie, max-age=60", Private),
    ("empty-members", "RFC 9110 §5.6.1", "Cache-Control: ,, ,no-store,, max-age=60", NoStoreDirective),
    ("tabs", "RFC 9110 §5.6.3", "Cache-Control: max-age=60,\tno-store\t", NoStoreDirective),
    ("joined-by-connection", "attack", "Connection: cache-control|Cache-Control: no-store", NoStoreDirective),
    ("set-cookie-by-connection", "attack", "Connection: set-cookie|Set-Cookie: sessionid=1|Cache-Control: max-age=60", SetCookie),
    ("vary-by-connection", "attack", "Connection: vary|Vary: *|Cache-Control: max-age=60", VaryAny),
    ("set-cookie-named", "origins", "Cache-Control: max-age=60, no-cache=\"set-cookie\"|Set-Cookie: a=b", SetCookie),
    ("vary-second-line", "http-cache-semantics", "Vary: Accept|Vary: *|Cache-Control: max-age=60", VaryAny),
    ("vary-rubbish", "origins", "Vary: Accept Encoding|Cache-Control: max-age=60", VaryAny),
    ("targeted-case", "origins", "CDN-Cache-Control: No-Store, Max-Age=60|Cache-Control: max-age=60", NoStoreDirective),
    ("targeted-broken", "origins", "CDN-Cache-Control: private; max-age=60|Cache-Control: max-age=60", Private),
    ("surrogate-semicolon", "origins", "Surrogate-Control: max-age=60; no-store|Cache-Control: max-age=60", NoStoreDirective),
    ("surrogate-semicolons", "origins", "Surrogate-Control: no-store; max-age=0|Cache-Control: max-age=60", NoStoreDirective),
    ("surrogate-open-quote", "origins", "Surrogate-Control: \"no-store|Cache-Control: max-age=60", NoStoreDirective),
    ("cloudflare", "origins", "Cloudflare-CDN-Cache-Control: no-store|Cache-Control: max-age=60", NoStoreDirective),
    ("cloudflare-private", "origins", "Cloudflare-CDN-Cache-Control: private|CDN-Cache-Control: max-age=60", Private),
    ("cloudflare-unreadable", "attack", "Cloudflare-CDN-Cache-Control: No-Store, =|CDN-Cache-Control: max-age=60", NoStoreDirective),
    ("surrogate-case", "origins", "Surrogate-Control: NO-STORE|Cache-Control: max-age=60", NoStoreDirective),
    ("8-bit", "attack", "Cache-Control: max-age=60, \u{a0}no-store\u{a0}", NoStoreDirective),
    ("8-bit-before", "attack", "Cache-Control: max-age=\u{b2}60", NoFreshness),
    ("age-list", "attack", "Cache-Control: max-age=60|Age: 0|Age: 9999", UpstreamCache),
    ("tag-8-bit", "origins", "Cache-Control: max-age=60|Surrogate-Key: a \u{e9}", BadTags),
];

#[test]
fn never_stored() {
    let mut failures = Vec::new();
    for (id, from, answer, want) in NEVER_STORED {
        let got = store(&get(""), &Route::default(), &response(200, answer)).err();
        if got != Some(*want) {
            failures.push(format!("{id} ({from}): got {got:?}, want {want:?}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// `headers::CacheControl` does not know `stale-while-revalidate`, and loses `no-store` beside what
/// it can't read.
#[test]
fn directives_survive_their_neighbours() {
    let read = |value: &str| {
        ResponseDirectives::of(&fields(&format!("Cache-Control: {value}")), "cache-control")
    };
    let got = read("stale-while-revalidate=5, no-store, max-age=lolz, stale-if-error=\"7\"");
    assert!(got.no_store);
    assert_eq!(got.max_age.map(|s| s.0), Some(0));
    assert_eq!(got.stale_while_revalidate.map(|s| s.0), Some(5));
    assert_eq!(got.stale_if_error.map(|s| s.0), Some(7));
    assert!(!read("a=\"no-store\", b=\"private\"").no_store);
    assert_eq!(
        read("private=\"A, b\", private=\"c\"").private,
        FieldScope::Fields(["a", "b", "c"].map(str::to_owned).into())
    );
}

/// `http-cache-semantics` compares only the first value, and so served a variant that did not
/// match.
#[test]
fn every_vary_name_of_every_line_counts() {
    let got = vary(&fields("Vary: Accept, ACCEPT-Language|Vary: cookie,accept"));
    let want = ["accept", "accept-language", "cookie"].map(str::to_owned);
    assert_eq!(got, Vary::Names(want.into()));
    let many: Vec<String> = (0..17).map(|n| format!("x-{n}")).collect();
    assert_eq!(vary(&fields(&format!("Vary: {}", many.join(",")))), Vary::Any);
}

/// The same bug from its other end: responses that vary on two lines of names, and requests that
/// agree in all but one.
#[test]
fn a_variant_that_differs_in_any_name_does_not_answer() {
    let (route, config) = (open_route(), config(open_route()));
    let select = |vary: &str, lines: &str| {
        let head = get(lines);
        let admitted = serve(&head, &config);
        let sent = cacheable_request_fields(&head, &admitted, &EDGE);
        let answer = response(200, &format!("Cache-Control: max-age=60|{vary}"));
        let storable = store(&head, &route, &answer).unwrap();
        selection(&storable.selection_names, &head, &admitted, &sent)
    };
    for vary in ["Vary: A, B, C", "Vary: A|Vary: B|Vary: C", "Vary: c,,b|VARY: A"] {
        let stored = select(vary, "A: 1|B: 1|C: 1");
        assert_eq!(select(vary, "C: 1|A: 1|B: 1|D: 1"), stored, "{vary}");
        for other in ["A: 1|B: 2|C: 1", "A: 1|B: 1|C: 2", "A: 1|B: 1", "A: 2|B: 1|C: 1"] {
            assert_ne!(select(vary, other), stored, "{vary}: {other}");
        }
    }
}

#[test]
fn tags_are_cut_at_commas_and_white_space_and_united() {
    let got = tags(&fields(
        "X-Edge-ISR-Tags: post:1, post:2\tc|Cache-Tag: a b,c,, |xkey: d|Surrogate-Key:  post:1 ",
    ))
    .unwrap();
    let names: Vec<&str> = got.iter().map(|t| t.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "d", "post:1", "post:2"]);
    let long = format!("xkey: {}", "a".repeat(1025));
    assert_eq!(tags(&fields(&long)), Err(TagsError::Bad(TagError::TooLong)));
    assert_eq!(tags(&fields("xkey: a\u{1}")), Err(TagsError::Bad(TagError::Character)));
}

/// RFC 9110 §12.5.1: what is left of a long list reads as itself again, or a warm would ask for
/// another variant than the one it is for.
#[test]
fn what_is_left_of_a_negotiation_field_is_no_longer_than_what_came() {
    for (readable, member) in
        [(accept as fn(&str) -> Option<String>, "a/b"), (accept_language, "en")]
    {
        let came = format!("{},<", vec![member; 250].join(","));
        let left = readable(&came).expect("250 members");
        assert!(left.len() < came.len(), "{} of {}", left.len(), came.len());
        assert_eq!(readable(&left), Some(left));
    }
}

/// RFC 9110 §12.5.1: all of its grammar is read, and one meaning has one form.
#[test]
fn accept_is_read_whole_and_has_one_form() {
    const LD: &str =
        "application/ld+json;profile=\"https://www.w3.org/ns/activitystreams\",text/html;q=0.5";
    for (came, left) in [
        ("text/html", Some("text/html")),
        ("TEXT/Html ; Level=1 ; q=0.50 , */*;q=1.0", Some("text/html;level=1;q=0.5,*/*")),
        (
            "application/ld+json; profile=\"https://www.w3.org/ns/activitystreams\", text/html;q=0.5",
            Some(LD),
        ),
        ("text/html;level=\"1\"", Some("text/html;level=1")),
        ("text/html;a=\"b,c;d\", a/b", Some("text/html;a=\"b,c;d\",a/b")),
        ("text/html;a=\"b\\c\"", Some("text/html;a=bc")),
        ("text/html;;q=0.3;, a/b", Some("text/html;q=0.3,a/b")),
        ("text/html;a=\"\"", Some("text/html;a=\"\"")),
        ("a/b;q=0.000", Some("a/b;q=0")),
        ("text/html;x=\"<script>\"", None),
        ("text/html;x=\"() { :;}\", a/b", Some("a/b")),
        ("text/html;x=\"open, a/b", None),
        ("text/html;x, a/b", Some("a/b")),
        ("html, <a>", None),
        ("", None),
    ] {
        assert_eq!(accept(came).as_deref(), left, "{came}");
        assert_eq!(left.and_then(accept).as_deref(), left, "{came}");
    }
}

#[test]
fn codings() {
    let rows = [
        (None, "identity", Coding::Identity),
        (Some(""), "identity", Coding::Identity),
        (Some("gzip, deflate, br, zstd"), "br, gzip", Coding::Brotli),
        (Some("gzip, deflate, br"), "br, gzip", Coding::Brotli),
        (Some("GZIP"), "gzip", Coding::Gzip),
        (Some("x-gzip"), "gzip", Coding::Gzip),
        (Some("br"), "br", Coding::Brotli),
        (Some("zstd, gzip"), "zstd, gzip", Coding::Zstd),
        (Some("zstd"), "zstd", Coding::Zstd),
        (Some("*"), "br, gzip", Coding::Brotli),
        (Some("*;q=0"), "identity", Coding::Identity),
        (Some("gzip;q=1.0, *;q=0"), "gzip", Coding::Gzip),
        (Some("br;q=0, gzip;q=0.001"), "gzip", Coding::Gzip),
        (Some("gzip;q=0.0"), "identity", Coding::Identity),
        (Some("gzip;q=x"), "identity", Coding::Identity),
        (Some("gzip;q=1.0001"), "identity", Coding::Identity),
        (Some("gzip ; q=0"), "identity", Coding::Identity),
        (Some("deflate, compress"), "identity", Coding::Identity),
    ];
    for (value, list, coding) in rows {
        assert_eq!((normalise(value), best(value)), (list, coding), "{value:?}");
        assert_eq!(normalise(Some(list)), list, "again: {value:?}");
    }
    assert!(!accepts(Some("identity;q=0"), Coding::Identity));
    assert!(accepts(Some("gzip"), Coding::Identity));
}

#[test]
fn a_stored_response_never_carries_a_cookie_or_the_edges_own_fields() {
    let answer =
        response(200, "Cache-Control: max-age=60|Set-Cookie2: a=b|Connection: set-cookie2");
    let storable = store(&get(""), &open_route(), &answer).unwrap();
    let names: Vec<&str> = storable.fields.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["cache-control"]);
}
