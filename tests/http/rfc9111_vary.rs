//! Variants (RFC 9111 §4.1) and what they are selected by.

use crate::http_support::{EDGE, config, get, open_route, serve};
use edge_isr::cache::forward::{EdgeFacts, SentAlone, cacheable_request_fields, sent_alone};
use edge_isr::cache::key::Selection;
use edge_isr::cache::variant::{never_forwarded, selection};
use edge_isr::config::{ForwardHeaders, Route, VaryOn};

fn select(route: &Route, names: &[&str], lines: &str, edge: &EdgeFacts<'_>) -> Selection {
    let config = config(route.clone());
    let head = get(lines);
    let admitted = serve(&head, &config);
    let sent = cacheable_request_fields(&head, &admitted, edge);
    let names: Vec<String> = names.iter().map(|&n| n.to_owned()).collect();
    selection(&names, &head, &admitted, &sent)
}

/// id, names, one request, another, whether they select the same.
#[rustfmt::skip]
const ROWS: &[(&str, &[&str], &str, &str, bool)] = &[
    ("match", &["foo"], "Foo: 1", "Foo: 1", true),
    ("no-match", &["foo"], "Foo: 1", "Foo: 2", false),
    ("omitted", &["foo"], "Foo: 1", "", false),
    ("both-omitted", &["foo"], "", "", true),
    ("empty-is-omitted", &["foo"], "Foo: ", "", true),
    ("not-named", &["foo"], "Foo: 1|Bar: 1", "Foo: 1|Bar: 2", true),
    ("two", &["bar", "foo"], "Foo: 1|Bar: a", "Bar: a|Foo: 1", true),
    ("two-differ", &["bar", "foo"], "Foo: 1|Bar: a", "Foo: 2|Bar: a", false),
    ("swapped", &["bar", "foo"], "Foo: 1|Bar: 2", "Foo: 2|Bar: 1", false),
    ("lines", &["foo"], "Foo: 1, 2", "Foo: 1|Foo: 2", true),
    ("white-space", &["foo"], "Foo: 1,2", "Foo:  1, 2 ", true),
    ("order", &["foo"], "Foo: 1, 2", "Foo: 2, 1", false),
    ("case", &["foo"], "Foo: a", "Foo: A", false),
    ("white-space-in-quotes", &["foo"], "Foo: \"a, b\"", "Foo: \"a,b\"", false),
    ("open-quote", &["foo"], "Foo: \"a, b", "Foo: \"a,b", false),
    ("language-case", &["accept-language"], "Accept-Language: en, de", "Accept-Language: eN, De", true),
    ("language-space", &["accept-language"], "Accept-Language: en, de", "Accept-Language:  en ,   de", true),
    ("encoding", &["accept-encoding"], "Accept-Encoding: gzip, deflate, br, zstd", "Accept-Encoding: br;q=0.9, gzip;q=0.1", true),
    ("encoding-differs", &["accept-encoding"], "Accept-Encoding: gzip", "Accept-Encoding: br", false),
    ("encoding-refused", &["accept-encoding"], "Accept-Encoding: gzip;q=0", "", true),
    ("cookie", &["cookie"], "Cookie: a=1", "Cookie: a=2", false),
    ("cookie-space", &["cookie"], "Cookie: a=1", "Cookie:  a=1 ", true),
    ("cookie-comma", &["cookie"], "Cookie: a=1, 2", "Cookie: a=1,2", false),
    ("user-agent", &["user-agent"], "User-Agent: a", "User-Agent: b", false),
    ("proxy-fields", &["x-forwarded-for"], "X-Forwarded-For: 1", "X-Forwarded-For: 2", true),
    ("loop-field", &["cdn-loop"], "CDN-Loop: a", "CDN-Loop: b", true),
];

#[test]
fn where_everything_is_forwarded() {
    let mut failures = Vec::new();
    for (id, names, one, other, want) in ROWS {
        let route = open_route();
        let same = select(&route, names, one, &EDGE) == select(&route, names, other, &EDGE);
        if same != *want {
            failures.push(format!("{id}: got {same}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn what_never_reached_the_origin_selects_nothing() {
    let route = Route::default();
    for (name, one, other) in [
        ("cookie", "Cookie: a=1", "Cookie: b=2"),
        ("user-agent", "User-Agent: a", "User-Agent: b"),
        ("referer", "Referer: a", ""),
        ("x-own", "X-Own: 1", "X-Own: 2"),
    ] {
        let one = select(&route, &[name], one, &EDGE);
        assert_eq!(one, Selection(vec![(name.to_owned(), String::new())]));
        assert_eq!(one, select(&route, &[name], other, &EDGE));
    }
}

#[test]
fn key_cookies_and_listed_fields_select() {
    let route = Route {
        key_cookies: vec!["currency".to_owned()],
        forward_headers: ForwardHeaders::Listed(vec!["x-own".to_owned()]),
        ..Route::default()
    };
    let euro = select(&route, &["cookie"], "Cookie: _ga=1; currency=EUR", &EDGE);
    assert_eq!(euro, select(&route, &["cookie"], "Cookie: currency=EUR; x=2", &EDGE));
    assert_ne!(euro, select(&route, &["cookie"], "Cookie: currency=USD", &EDGE));
    let selected = |lines| select(&route, &["x-own"], lines, &EDGE);
    assert_ne!(selected("X-Own: 1"), selected("X-Own: 2"));
}

/// In production the visitor's own codings are kept apart from the field.
#[test]
fn the_cdns_word_on_codings_comes_before_the_field() {
    let edge = EdgeFacts { client_accept_encoding: Some("gzip"), ..EDGE };
    let got = select(&Route::default(), &["accept-encoding"], "Accept-Encoding: br, gzip", &edge);
    assert_eq!(got, Selection(vec![("accept-encoding".into(), "gzip".into())]));
}

#[test]
fn with_languages_each_visitor_has_one_of_them() {
    let route = Route {
        languages: vec!["de".to_owned(), "en".to_owned()],
        vary_on: vec![VaryOn::Language],
        ..Route::default()
    };
    for (accepted, want) in [
        ("en, de", "de"),
        ("de, en", "de"),
        ("en", "en"),
        ("en-GB, de;q=0.5", "en"),
        ("fr;q=0.5, de;q=1.0", "de"),
        ("fr", "de"),
        ("*", "de"),
        ("de;q=0, en;q=0.1", "en"),
        ("de;q=0", "en"),
        ("de;q=0, en;q=0", "de"),
        ("EN", "en"),
        ("en;q=2", "de"),
        ("de-x-own", "de"),
    ] {
        let lines = format!("Accept-Language: {accepted}");
        let got = select(&route, &["accept-language"], &lines, &EDGE);
        assert_eq!(got, Selection(vec![("accept-language".into(), want.into())]), "{accepted}");
    }
}

#[test]
fn a_language_is_refused_with_its_regions_but_those_that_are_named() {
    let route = Route {
        languages: ["en-GB", "de", "de-AT"].map(str::to_owned).into(),
        vary_on: vec![VaryOn::Language],
        ..Route::default()
    };
    for (accepted, want) in [
        ("en;q=0", "de"),
        ("en;q=0, *;q=0.5", "de"),
        ("en-gb, en;q=0", "en-gb"),
        ("de;q=0, en;q=0, de-AT;q=0.1", "de-at"),
        ("de-AT;q=0, de", "de"),
        ("de;q=0", "en-gb"),
        ("d;q=0, de", "de"),
        ("de, de;q=0", "de"),
        ("en;q=0, de;q=0", "en-gb"),
    ] {
        let lines = format!("Accept-Language: {accepted}");
        let got = select(&route, &["accept-language"], &lines, &EDGE);
        assert_eq!(got, Selection(vec![("accept-language".into(), want.into())]), "{accepted}");
    }
}

#[test]
fn selecting_by_a_selections_own_values_changes_nothing() {
    let route = Route { languages: vec!["de".into(), "en-GB".into()], ..open_route() };
    let names = ["accept-encoding", "accept-language", "foo"];
    let lines = "Accept-Encoding: zstd, gzip|Accept-Language: en-GB, fr|Foo:  1 ,2";
    let first = select(&route, &names, lines, &EDGE);
    let again: Vec<String> = first.0.iter().map(|(name, v)| format!("{name}: {v}")).collect();
    assert_eq!(select(&route, &names, &again.join("|"), &EDGE), first);
}

#[test]
fn a_vary_on_what_is_never_forwarded_is_reported() {
    let names: Vec<String> =
        ["accept", "cookie", "referer", "x-own"].iter().map(|&n| n.to_owned()).collect();
    let listed = Route {
        forward_headers: ForwardHeaders::Listed(vec!["x-own".to_owned()]),
        ..Route::default()
    };
    for (route, want) in [
        (Route::default(), vec!["referer", "x-own"]),
        (listed, vec!["referer"]),
        (open_route(), vec![]),
    ] {
        let config = config(route);
        let head = get("");
        assert_eq!(never_forwarded(&names, &serve(&head, &config)), want);
    }
    // A fact of the visitor goes on under a name of its own.
    let by_device = config(Route { vary_on: vec![VaryOn::Device], ..Route::default() });
    let names = ["x-device", "x-own"].map(str::to_owned);
    assert_eq!(never_forwarded(&names, &serve(&get(""), &by_device)), ["x-own"]);
}

/// What one field is by itself is what it is among all.
#[test]
fn a_field_alone_is_what_it_is_among_all() {
    let cookies = vec!["currency".to_owned(), "theme".to_owned()];
    let languages = vec!["en".to_owned(), "de".to_owned()];
    let routes = [
        Route::default(),
        Route { key_cookies: cookies, ..Route::default() },
        Route { languages: languages.clone(), ..Route::default() },
        Route { languages, vary_on: vec![VaryOn::Language], ..Route::default() },
        Route { compose: true, ..Route::default() },
        open_route(),
    ];
    let edges = [
        EDGE,
        EdgeFacts { client_accept_encoding: Some("br"), ..EDGE },
        EdgeFacts { esi: true, ..EDGE },
    ];
    let lines = [
        ["", "Accept-Encoding: gzip, br", "Accept-Encoding: gzip;q=0|Accept-Encoding: zstd"],
        ["", "Accept-Language:  de , en;q=0.5", "Accept-Language: <x>, en|Accept-Language: \t"],
        ["", "Cookie: _ga=1; currency=; theme=dark", "Cookie: currency=EUR|Cookie: currency=USD"],
        ["", "Connection: accept-language, cookie", "Connection: close"],
    ];
    let mut compared = 0;
    for (route, edge) in routes.iter().flat_map(|route| edges.iter().map(move |edge| (route, edge)))
    {
        let config = config(route.clone());
        for number in 0..81 {
            let chosen = [number % 3, number / 3 % 3, number / 9 % 3, number / 27];
            let chosen = lines.iter().zip(chosen).map(|(lines, at)| lines[at]);
            let chosen: Vec<&str> = chosen.filter(|line| !line.is_empty()).collect();
            let head = get(&chosen.join("|"));
            let admitted = serve(&head, &config);
            let sent = cacheable_request_fields(&head, &admitted, edge);
            for name in ["accept-encoding", "accept-language", "cookie", "accept", "x-own"] {
                match sent_alone(name, &head, &admitted, edge) {
                    SentAlone::Value(value) => {
                        compared += 1;
                        assert_eq!(value, sent.joined(name), "{name} of {chosen:?}, {route:?}");
                    }
                    SentAlone::Among => {}
                }
            }
        }
    }
    assert!(compared > 2_000, "{compared}");
}
