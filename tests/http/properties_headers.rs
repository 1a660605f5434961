//! No field, however strange, makes a parser panic or a decision fail; and some things hold for all
//! of them.

use crate::http_support::{EDGE, NOW, after, config, entry, open_route};
use edge_isr::base::time::{Epoch, Seconds, Timestamp};
use edge_isr::cache::Validity;
use edge_isr::cache::admission::{Admission, admit};
use edge_isr::cache::entry::{Entry, ReuseCondition};
use edge_isr::cache::forward::{cacheable_request_fields, pass_request_fields, visitor_fields};
use edge_isr::cache::key::CacheKey;
use edge_isr::cache::query::normalise_query;
use edge_isr::cache::range::{RangeAnswer, range_answer};
use edge_isr::cache::reuse::{Reuse, reuse};
use edge_isr::cache::storage::{Storage, StorageInput, storage};
use edge_isr::cache::unsafe_methods::changed_by;
use edge_isr::cache::validation::{UpdateInput, conditional_fields, not_modified, update};
use edge_isr::cache::variant::selection;
use edge_isr::config::{Config, QueryPolicy, Route, VaryOn};
use edge_isr::http::cache_control::RequestDirectives;
use edge_isr::http::cache_status::CacheStatus;
use edge_isr::http::{Fields, RequestHead, ResponseHead, date, encoding, hop, list, targeted};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// A field value as the runtime gives it: one `char` per byte; often made of pieces that mean
/// something.
fn value() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[ -~\u{80}-\u{ff}\t]{0,6}",
        prop::sample::select(vec![
            "max-age=",
            "s-maxage=5",
            "no-store",
            "private",
            "no-cache=\"a\"",
            "public",
            "60",
            ",",
            ";",
            "=",
            "\"",
            "\\",
            "*",
            "W/",
            "\"1\"",
            "bytes=",
            "0-1",
            "-5",
            "gzip",
            "q=0",
            "en-GB",
            "edge-isr",
            "sessionid=1",
            "stale-while-revalidate=9",
            "must-revalidate",
            "Sat, 01 Jan 2022 00:00:00 GMT",
            "9999999999999999999",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "cache-control",
            "cdn-cache-control",
            "surrogate-control",
            "vary",
            "etag",
            "expires",
            "date",
            "age",
            "last-modified",
            "set-cookie",
            "cookie",
            "authorization",
            "range",
            "if-range",
            "if-none-match",
            "if-modified-since",
            "connection",
            "accept-encoding",
            "accept-language",
            "accept",
            "cdn-loop",
            "x-edge-isr",
            "xkey",
            "cache-tag",
            "content-encoding",
            "content-type",
            "content-range",
            "cache-status",
            "pragma",
            "location",
            "content-location",
            "content-length",
            "upgrade",
            "cf-cache-status",
            "user-agent",
        ])
        .prop_map(str::to_owned),
        "[a-z][a-z-]{0,6}",
    ]
}

fn some_fields() -> impl Strategy<Value = Fields> {
    prop::collection::vec((name(), value()), 0..8).prop_map(|rows| rows.into_iter().collect())
}

fn some_request() -> impl Strategy<Value = RequestHead> {
    let method = prop::sample::select(vec!["GET", "GET", "GET", "HEAD", "POST", "M-SEARCH", "get"]);
    (method, "/[ -~]{0,12}", prop::option::of("[ -~]{0,16}"), some_fields()).prop_map(
        |(method, path, query, fields)| RequestHead {
            method: method.to_owned(),
            scheme: "https".to_owned(),
            host: "example.com".to_owned(),
            path,
            query,
            fields,
            client: None,
        },
    )
}

fn some_response() -> impl Strategy<Value = ResponseHead> {
    (prop_oneof![Just(200u16), 0..700u16], some_fields())
        .prop_map(|(status, fields)| ResponseHead { status, fields })
}

fn some_route() -> impl Strategy<Value = Route> {
    prop_oneof![
        Just(Route::default()),
        Just(open_route()),
        Just(Route {
            ttl: Some(Seconds(60)),
            swr: Seconds(60),
            key_cookies: vec!["a".into(), "sessionid".into()],
            bypass_cookies: vec!["s*".into()],
            vary_on: vec![VaryOn::Device, VaryOn::Language],
            languages: vec!["en".into(), "de".into()],
            visitor_cache_control: Some("max-age=1".into()),
            ..Route::default()
        }),
    ]
}

fn some_validity() -> impl Strategy<Value = Validity> {
    prop_oneof![
        Just(Validity::Current),
        Just(Validity::JournalLost),
        Just(Validity::JournalLostTooLong),
        (0..200u64).prop_map(|at| Validity::Soft { epoch: Epoch(2), at: after(at) }),
        Just(Validity::Hard { epoch: Epoch(2) }),
        Just(Validity::SoftUnprovable { epoch: Epoch(2) }),
        Just(Validity::Unprovable { epoch: Epoch(2) }),
    ]
}

fn some_entry() -> impl Strategy<Value = Entry> {
    let reuse_condition = prop::sample::select(vec![
        ReuseCondition::Nothing,
        ReuseCondition::WhenStale,
        ReuseCondition::Always,
    ]);
    ((0..100u64, 0..100u64, 0..100u64), reuse_condition, some_fields(), 0..20u64).prop_map(
        |(freshness, reuse_condition, fields, length)| Entry {
            fields,
            body_length: length,
            ..entry("", freshness, reuse_condition)
        },
    )
}

/// The same cases in every run.
fn repeatable() -> ProptestConfig {
    ProptestConfig {
        rng_seed: RngSeed::Fixed(9111),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(repeatable())]

    /// From admission to the stored entry and back: total, and what must never be stored is not.
    #[test]
    fn the_whole_way_is_total(
        request in some_request(),
        response in some_response(),
        route in some_route(),
        delay in 0..10u64,
    ) {
        let config = config(route);
        let passed = pass_request_fields(&request, &EDGE);
        prop_assert!(!passed.has("x-edge-isr-origin-auth"));
        let _ = changed_by(&request, &response, &config);
        let Admission::Serve(admitted) = admit(&request, &config) else { return Ok(()) };
        let sent = cacheable_request_fields(&request, &admitted, &EDGE);
        for (name, _) in sent.iter() {
            prop_assert!(!hop::is_hop_by_hop(name) && !hop::is_unkeyed(name), "{}", name);
            prop_assert!(!matches!(name, "if-none-match" | "if-modified-since" | "if-match"));
            prop_assert!(!matches!(name, "if-range" | "range" | "host"));
        }
        let input = StorageInput {
            request: &request,
            admitted: &admitted,
            sent: &sent,
            response: &response,
            request_time: NOW,
            response_time: after(delay),
        };
        let Storage::Store(storable) = storage(&input) else { return Ok(()) };
        prop_assert!(!response.fields.has("set-cookie"));
        prop_assert!(!storable.fields.has("set-cookie") && !storable.fields.has("age"));
        prop_assert!((200..600).contains(&response.status));
        prop_assert!(storable.initial_age >= Seconds(delay));
        let selected = selection(&storable.selection_names, &request, &admitted, &sent);
        prop_assert_eq!(selected.0.len(), storable.selection_names.len());
        let shown = visitor_fields(&storable.fields, &admitted.route, storable.freshness.source);
        prop_assert!(!shown.has("cdn-cache-control") && !shown.has("xkey"));
    }

    /// A response that names `no-store` or `private` outside of quotes, in any case, is not stored,
    /// unless a targeted field or `must-understand` speaks for the edge.
    #[test]
    fn a_plain_word_is_heard_among_any_neighbours(
        before in value(),
        after in value(),
        word in prop::sample::select(vec!["no-store", "No-Store", "private", "PRIVATE"]),
        route in some_route(),
    ) {
        let before = before.replace('"', "");
        let value = format!("{before}, {word}, {after}");
        let fields: Fields = [("cache-control", value)].into_iter().collect();
        let answer = ResponseHead { status: 200, fields };
        let got = crate::http_support::store(&crate::http_support::get(""), &route, &answer);
        prop_assert!(got.is_err());
    }

    /// Invalidated hard means never again; no-cache, dark and dropped mean ask first.
    #[test]
    fn reuse_is_total_and_keeps_its_promises(
        entry in some_entry(),
        validity in some_validity(),
        asks in some_fields(),
        route in some_route(),
        age in 0..300_000i64,
    ) {
        let directives = RequestDirectives::of(&asks);
        let now = Timestamp::from_millis(NOW.as_millis() + age);
        let got = reuse(&entry, validity, &directives, &route, now);
        let answers = matches!(got, Reuse::Fresh { .. } | Reuse::Stale { .. });
        let fresh = matches!(got, Reuse::Fresh { .. });
        let on_error = matches!(got, Reuse::Validate { on_error: true, .. });
        match validity {
            Validity::Current => {}
            Validity::JournalLost | Validity::Soft { .. } | Validity::SoftUnprovable { .. } => {
                prop_assert!(!fresh);
            }
            Validity::JournalLostTooLong | Validity::Hard { .. } | Validity::Unprovable { .. } => {
                prop_assert!(!answers && !on_error);
            }
        }
        let past = entry.age(now) >= entry.freshness.lifetime;
        if past && entry.freshness.reuse_condition != ReuseCondition::Nothing {
            prop_assert!(!answers && !on_error);
        }
        if directives.no_cache || directives.no_store {
            prop_assert!(!answers);
        }
        let end = entry.freshness.lifetime.plus(entry.freshness.stale_while_revalidate);
        if answers && directives.max_stale.is_none() {
            prop_assert!(entry.age(now) < end.max(entry.freshness.lifetime));
        }
    }

    #[test]
    fn validation_and_ranges_are_total(
        entry in some_entry(),
        request in some_request(),
        answer in some_response(),
        route in some_route(),
    ) {
        let _ = not_modified(&request, &entry);
        for (name, _) in conditional_fields(&entry).iter() {
            prop_assert!(name == "if-none-match" || name == "if-modified-since");
        }
        let renewal = UpdateInput {
            not_modified: &answer,
            sent: &request.fields,
            request_time: NOW,
            response_time: NOW,
            route: &route,
        };
        let _ = update(&entry, &renewal);
        match range_answer(&request, &entry) {
            RangeAnswer::Whole | RangeAnswer::Unsatisfiable => {}
            RangeAnswer::Partial { from, to } => {
                prop_assert!(from < to && to <= entry.body_length);
            }
            RangeAnswer::Multiple { parts, .. } => {
                let total: u64 = parts.iter().map(|(_, from, to)| to - from).sum();
                prop_assert!(parts.len() > 1 && total <= entry.body_length);
                for (_, from, to) in parts {
                    prop_assert!(from < to && to <= entry.body_length);
                }
            }
        }
    }

    /// Normalising twice is normalising once, and never brings two queries together that the origin
    /// distinguishes.
    #[test]
    fn queries(query in "[a-d=&%;+ 0-9]{0,20}") {
        let policy = QueryPolicy::Deny(vec!["a".into(), "b*".into()]);
        let once = normalise_query(Some(&query), &policy);
        prop_assert_eq!(normalise_query(once.as_deref(), &policy), once.clone());
        for parameter in once.as_deref().unwrap_or_default().split('&').filter(|p| !p.is_empty()) {
            prop_assert!(query.split('&').any(|p| p == parameter));
        }
        prop_assert_eq!(
            normalise_query(Some(&query), &QueryPolicy::Verbatim).unwrap_or_default(),
            query
        );
    }

    /// Two requests with one key ask the origin for one URL with the same key cookies.
    #[test]
    fn one_key_is_one_origin_request(
        a in some_request(),
        b in some_request(),
        route in some_route(),
    ) {
        let config = config(route);
        let (Admission::Serve(a_page), Admission::Serve(b_page)) =
            (admit(&a, &config), admit(&b, &config)) else { return Ok(()) };
        if a_page.key == b_page.key {
            prop_assert_eq!(a_page.page.path_and_query(), b_page.page.path_and_query());
            prop_assert_eq!(&a_page.facts, &b_page.facts);
        }
    }

    #[test]
    fn a_cache_status_is_always_a_list(detail in value(), key in value(), ttl in any::<i64>()) {
        let mut fields: Fields = [("cache-status", detail.as_str())].into_iter().collect();
        CacheStatus::hit(ttl).key(&key).detail(&detail).append_to(&mut fields);
        let value = fields.joined("cache-status").unwrap();
        prop_assert!(sfv::Parser::new(&value).parse::<sfv::List>().is_ok(), "{}", value);
    }

    #[test]
    fn small_parsers_are_total(text in value()) {
        let _ = list::split(&text, b',');
        let _ = list::unquote(&text);
        let _ = list::weighted(&text);
        let _ = encoding::normalise(Some(&text));
        let _ = targeted::cdn_cache_control(&text);
        if let Some(at) = date::parse(&text) {
            prop_assert_eq!(date::parse(&date::format(at)), Some(at));
        }
        let _ = date::internet_date(&text);
    }
}

#[test]
fn internet_dates_have_one_form() {
    let rows: [(&str, Option<i64>); 42] = [
        ("1970-01-01T00:00:00Z", Some(0)),
        ("2026-12-01T08:30:00Z", Some(1_796_113_800_000)),
        ("2026-12-01t08:30:00z", Some(1_796_113_800_000)),
        ("2026-12-01T09:30:00+01:00", Some(1_796_113_800_000)),
        ("2026-11-30T23:00:00-09:30", Some(1_796_113_800_000)),
        ("2026-12-01T08:30:00+00:00", Some(1_796_113_800_000)),
        ("2026-12-01T08:30:00-00:00", Some(1_796_113_800_000)),
        ("2026-12-01T08:30:00.5Z", Some(1_796_113_800_500)),
        ("2026-12-01T08:30:00.123456789Z", Some(1_796_113_800_123)),
        ("2026-12-01T08:30:00.0004+00:00", Some(1_796_113_800_000)),
        ("2024-02-29T00:00:00Z", Some(1_709_164_800_000)),
        ("2016-12-31T23:59:60Z", Some(1_483_228_799_000)),
        ("9999-12-30T22:00:00Z", Some(253_402_207_200_000)),
        ("9999-12-31T23:59:59Z", None),
        ("2026-12-01T08:30:00.1234567890Z", None),
        ("2026-12-01T08:30:00Z[UTC]", None),
        ("20261201T083000Z", None),
        ("2026-W49-2T08:30:00Z", None),
        ("2026-12-01T08:30:00+0100", None),
        ("2026-12-01T08:30:00+01", None),
        ("2026-12-01T08:30:00+01:60", None),
        ("2026-12-01T08:30:00+01:00:00", None),
        ("2023-02-29T00:00:00Z", None),
        ("2026-13-01T00:00:00Z", None),
        ("2026-00-01T00:00:00Z", None),
        ("2026-01-00T00:00:00Z", None),
        ("2026-12-01T24:00:00Z", None),
        ("2026-12-01T08:60:00Z", None),
        ("2026-12-01T08:30:61Z", None),
        ("2026-12-01T08:30:00", None),
        ("2026-12-01 08:30:00Z", None),
        ("2026-12-01T08:30Z", None),
        ("2026-12-01T08:30:00.Z", None),
        ("2026-12-01T08:30:00,5Z", None),
        ("2026-12-01T08:30:00.5.5Z", None),
        ("2026-12-01T08:30:00.-5Z", None),
        ("2026-12-01T08:30:00+1:00", None),
        ("2026-12-01T08:30:00+24:00", None),
        ("2026-12-01T08:30:00 01:00", None),
        ("1969-12-31T23:59:59Z", None),
        ("26-12-01T08:30:00Z", None),
        ("1796113800", None),
    ];
    for (text, want) in rows {
        let got = date::internet_date(text).map(Timestamp::as_millis);
        assert_eq!(got, want, "{text}");
        // And nothing around it.
        for odd in [format!(" {text}"), format!("{text} "), format!("{text}é"), String::new()] {
            assert_eq!(date::internet_date(&odd), None, "{odd}");
        }
    }
}

#[test]
fn dates_outside_of_the_format_are_still_dates() {
    for at in [i64::MIN, -1, 0, i64::MAX] {
        assert!(date::parse(&date::format(Timestamp::from_millis(at))).is_some());
    }
    assert_eq!(date::format(NOW), crate::http_support::DATE);
}

#[test]
fn keys_differ_where_parts_differ() {
    let page = entry("", (1, 1, 1), ReuseCondition::Nothing).page;
    let key = |extra: &[(&str, &str)]| CacheKey::new(&page, extra.iter().copied());
    assert_ne!(key(&[("a", "bc")]), key(&[("ab", "c")]));
    assert_ne!(key(&[("a", "b")]), key(&[("a", "b"), ("", "")]));
    let _ = Config::default();
}
