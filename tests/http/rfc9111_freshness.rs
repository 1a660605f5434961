//! Freshness (RFC 9111 §4.2, RFC 5861, RFC 9213): one row per rule.

use crate::http_support::{NOW, after, fields, open_route, response};
use edge_isr::base::time::{Seconds, Timestamp};
use edge_isr::cache::entry::FreshnessSource::{self, *};
use edge_isr::cache::entry::ReuseCondition::{self, *};
use edge_isr::cache::freshness::{freshness, initial_age};
use edge_isr::config::Route;
use edge_isr::http::date::{format, parse};

/// id, section, response fields, lifetime, source, windows, reuse_condition.
type Row =
    (&'static str, &'static str, &'static str, u64, FreshnessSource, (u64, u64), ReuseCondition);

const MAX: u64 = 1 << 31;

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("none", "§4.2.1", "", 0, None, (0, 0), Nothing),
    ("max-age", "§5.2.2.1", "Cache-Control: max-age=60", 60, MaxAge, (0, 0), Nothing),
    ("max-age-case", "§5.2", "Cache-Control: MaX-aGe=60", 60, MaxAge, (0, 0), Nothing),
    ("max-age-extension", "§5.2.3", "Cache-Control: foobar, max-age=60", 60, MaxAge, (0, 0), Nothing),
    ("max-age-0", "§5.2.2.1", "Cache-Control: max-age=0|Expires: Sat, 01 Jan 2022 01:00:00 GMT", 0, MaxAge, (0, 0), Nothing),
    ("max-age-2^31-1", "§1.2.2", "Cache-Control: max-age=2147483647", MAX - 1, MaxAge, (0, 0), Nothing),
    ("max-age-2^31", "§1.2.2", "Cache-Control: max-age=2147483648", MAX, MaxAge, (0, 0), Nothing),
    ("max-age-2^31+1", "§1.2.2", "Cache-Control: max-age=2147483649", MAX, MaxAge, (0, 0), Nothing),
    ("max-age-huge", "§1.2.2", "Cache-Control: max-age=99999999999", MAX, MaxAge, (0, 0), Nothing),
    ("max-age-overflow", "§1.2.2", "Cache-Control: max-age=99999999999999999999999999", MAX, MaxAge, (0, 0), Nothing),
    ("max-age-leading-zeros", "§1.2.2", "Cache-Control: max-age=0060", 60, MaxAge, (0, 0), Nothing),
    ("max-age-negative", "§1.2.2", "Cache-Control: max-age=-60", 0, MaxAge, (0, 0), Nothing),
    ("max-age-quoted", "§5.2", "Cache-Control: max-age=\"60\"", 60, MaxAge, (0, 0), Nothing),
    ("max-age-single-quoted", "§5.2", "Cache-Control: max-age='60'", 0, MaxAge, (0, 0), Nothing),
    ("max-age-decimal", "§1.2.2", "Cache-Control: max-age=60.5", 0, MaxAge, (0, 0), Nothing),
    ("max-age-letters", "§1.2.2", "Cache-Control: max-age=60a", 0, MaxAge, (0, 0), Nothing),
    ("max-age-plus", "§1.2.2", "Cache-Control: max-age=+60", 0, MaxAge, (0, 0), Nothing),
    ("max-age-bare", "§5.2.2.1", "Cache-Control: max-age", 0, MaxAge, (0, 0), Nothing),
    ("max-age-space-before", "§5.2", "Cache-Control: max-age =60", 0, MaxAge, (0, 0), Nothing),
    ("max-age-space-after", "§5.2", "Cache-Control: max-age= 60", 0, MaxAge, (0, 0), Nothing),
    ("max-age-semicolon", "§5.2", "Cache-Control: max-age=60; must-revalidate", 0, MaxAge, (0, 0), WhenStale),
    ("max-age-twice-same", "§4.2.1", "Cache-Control: max-age=60, max-age=60", 60, MaxAge, (0, 0), Nothing),
    ("max-age-twice-other", "§4.2.1", "Cache-Control: max-age=60, max-age=90", 0, MaxAge, (0, 0), Nothing),
    ("max-age-two-lines", "§4.2.1", "Cache-Control: max-age=90|Cache-Control: max-age=60", 0, MaxAge, (0, 0), Nothing),
    ("max-age-in-quotes", "§5.2", "Cache-Control: extension=\"max-age=60\", max-age=1", 1, MaxAge, (0, 0), Nothing),
    ("max-age-in-quotes-after", "§5.2", "Cache-Control: max-age=1, extension=\"max-age=60\"", 1, MaxAge, (0, 0), Nothing),
    ("max-age-escaped-quote", "§5.2", "Cache-Control: e=\"a\\\", max-age=60\", max-age=1", 1, MaxAge, (0, 0), Nothing),
    ("open-quote", "fails closed", "Cache-Control: max-age=60, e=\"x", 0, MaxAge, (0, 0), Nothing),
    ("max-age-over-expires", "§5.3", "Cache-Control: max-age=60|Expires: Fri, 31 Dec 2021 00:00:00 GMT", 60, MaxAge, (0, 0), Nothing),
    ("max-age-over-bad-expires", "§5.3", "Cache-Control: max-age=60|Expires: 0", 60, MaxAge, (0, 0), Nothing),
    ("s-maxage", "§5.2.2.10", "Cache-Control: max-age=1, s-maxage=60", 60, SMaxAge, (0, 0), WhenStale),
    ("s-maxage-shorter", "§5.2.2.10", "Cache-Control: max-age=60, s-maxage=1", 1, SMaxAge, (0, 0), WhenStale),
    ("s-maxage-reversed", "§5.2.2.10", "Cache-Control: s-maxage=1, max-age=60", 1, SMaxAge, (0, 0), WhenStale),
    ("s-maxage-lines", "§5.2.2.10", "Cache-Control: max-age=60|Cache-Control: s-maxage=1", 1, SMaxAge, (0, 0), WhenStale),
    ("s-maxage-bad", "§5.2.2.10", "Cache-Control: max-age=60, s-maxage=x", 0, SMaxAge, (0, 0), WhenStale),
    ("s-maxage-window", "contract", "Cache-Control: s-maxage=60, stale-while-revalidate=30", 60, SMaxAge, (30, 0), Nothing),
    ("s-maxage-error-window", "contract", "Cache-Control: s-maxage=60, stale-if-error=30", 60, SMaxAge, (0, 30), Nothing),
    ("must-revalidate-wins", "§5.2.2.2", "Cache-Control: max-age=60, must-revalidate, stale-while-revalidate=30", 60, MaxAge, (30, 0), WhenStale),
    ("proxy-revalidate", "§5.2.2.8", "Cache-Control: max-age=60, proxy-revalidate", 60, MaxAge, (0, 0), WhenStale),
    ("must-revalidate-argument", "fails closed", "Cache-Control: max-age=60, must-revalidate=0", 60, MaxAge, (0, 0), WhenStale),
    ("no-cache", "§5.2.2.4", "Cache-Control: max-age=60, no-cache", 60, MaxAge, (0, 0), Always),
    ("no-cache-fields", "§5.2.2.4", "Cache-Control: max-age=60, no-cache=\"a\"", 60, MaxAge, (0, 0), Nothing),
    ("no-cache-empty-fields", "§5.2.2.4", "Cache-Control: max-age=60, no-cache=\"\"", 60, MaxAge, (0, 0), Always),
    ("no-cache-open-fields", "fails closed", "Cache-Control: max-age=60, no-cache=\"a", 0, MaxAge, (0, 0), Always),
    ("windows", "5861", "Cache-Control: max-age=60, stale-while-revalidate=30, stale-if-error=90", 60, MaxAge, (30, 90), Nothing),
    ("window-bad", "5861", "Cache-Control: max-age=60, stale-while-revalidate=x", 60, MaxAge, (0, 0), Nothing),
    ("pragma", "§5.4", "Pragma: no-cache|Expires: Sat, 01 Jan 2022 01:00:00 GMT|Date: Sat, 01 Jan 2022 00:00:00 GMT", 3600, Expires, (0, 0), Always),
    ("pragma-beside", "§5.4", "Pragma: no-cache|Cache-Control: max-age=60", 60, MaxAge, (0, 0), Nothing),
    // Expires and Date.
    ("expires", "§5.3", "Expires: Sat, 01 Jan 2022 01:00:00 GMT|Date: Sat, 01 Jan 2022 00:00:00 GMT", 3600, Expires, (0, 0), Nothing),
    ("expires-past", "§5.3", "Expires: Fri, 31 Dec 2021 00:00:00 GMT|Date: Sat, 01 Jan 2022 00:00:00 GMT", 0, Expires, (0, 0), Nothing),
    ("expires-now", "§5.3", "Expires: Sat, 01 Jan 2022 00:00:00 GMT|Date: Sat, 01 Jan 2022 00:00:00 GMT", 0, Expires, (0, 0), Nothing),
    ("expires-0", "§5.3", "Expires: 0|Date: Sat, 01 Jan 2022 00:00:00 GMT", 0, Expires, (0, 0), Nothing),
    ("expires-minus-1", "§5.3", "Expires: -1", 0, Expires, (0, 0), Nothing),
    ("expires-later-date", "§4.2.1", "Expires: Sat, 01 Jan 2022 00:05:00 GMT|Date: Sat, 01 Jan 2022 00:06:40 GMT", 0, Expires, (0, 0), Nothing),
    ("expires-bad-date", "§4.2.1", "Expires: Sat, 01 Jan 2022 00:00:10 GMT|Date: foo", 10, Expires, (0, 0), Nothing),
    ("expires-no-date", "§4.2.1", "Expires: Sat, 01 Jan 2022 00:00:10 GMT", 10, Expires, (0, 0), Nothing),
    ("expires-rfc850", "9110 §5.6.7", "Expires: Saturday, 01-Jan-22 00:00:10 GMT", 10, Expires, (0, 0), Nothing),
    ("expires-asctime", "9110 §5.6.7", "Expires: Sat Jan  1 00:00:10 2022", 10, Expires, (0, 0), Nothing),
    ("expires-other-zone", "9110 §5.6.7", "Expires: Sat, 01 Jan 2022 00:00:10 CET", 0, Expires, (0, 0), Nothing),
    ("expires-twice", "§4.2.1", "Expires: Sat, 01 Jan 2022 00:00:10 GMT|Expires: Sat, 01 Jan 2022 00:00:20 GMT", 0, Expires, (0, 0), Nothing),
    ("expires-joined", "§4.2.1", "Expires: Sat, 01 Jan 2022 00:00:10 GMT, Sat, 01 Jan 2022 00:00:20 GMT", 0, Expires, (0, 0), Nothing),
    ("no-heuristics", "contract", "Last-Modified: Fri, 31 Dec 2021 00:00:00 GMT", 0, None, (0, 0), Nothing),
    // Targeted fields (RFC 9213).
    ("cdn", "9213 §2.2", "CDN-Cache-Control: max-age=60|Cache-Control: max-age=1", 60, Targeted, (0, 0), Nothing),
    ("cdn-windows", "9213 §2.2", "CDN-Cache-Control: max-age=60, stale-while-revalidate=30, stale-if-error=90", 60, Targeted, (30, 90), Nothing),
    ("cdn-over-expires", "9213 §2.2", "CDN-Cache-Control: must-revalidate|Expires: Sat, 01 Jan 2022 01:00:00 GMT", 0, None, (0, 0), WhenStale),
    ("cdn-hides-no-cache", "9213 §2.2", "CDN-Cache-Control: max-age=60|Cache-Control: no-cache", 60, Targeted, (0, 0), Nothing),
    ("cdn-lines", "9651 §4.2", "CDN-Cache-Control: max-age=60|CDN-Cache-Control: no-cache", 60, Targeted, (0, 0), Always),
    ("cdn-not-integer", "9213 §2.1", "CDN-Cache-Control: max-age=lolz|Cache-Control: max-age=9", 0, Targeted, (0, 0), Nothing),
    ("cdn-negative", "9213 §2.1", "CDN-Cache-Control: max-age=-1", 0, Targeted, (0, 0), Nothing),
    ("cdn-string", "9213 §2.1", "CDN-Cache-Control: max-age=\"60\"", 0, Targeted, (0, 0), Nothing),
    ("cdn-last-wins", "9651 §3.2", "CDN-Cache-Control: max-age=9, max-age=60", 60, Targeted, (0, 0), Nothing),
    ("cdn-upper-case", "9651 §3.2", "CDN-Cache-Control: Max-Age=60|Cache-Control: max-age=9", 9, MaxAge, (0, 0), Nothing),
    ("cdn-too-long", "9651 §3.3.1", "CDN-Cache-Control: max-age=9999999999999999|Cache-Control: max-age=9", 9, MaxAge, (0, 0), Nothing),
    ("cdn-empty", "9213 §2.1", "CDN-Cache-Control: |Cache-Control: max-age=9", 9, MaxAge, (0, 0), Nothing),
    ("cdn-parameters", "9213 §2.1", "CDN-Cache-Control: max-age=60;x=1, y", 60, Targeted, (0, 0), Nothing),
    // Surrogate-Control.
    ("sc", "contract", "Surrogate-Control: max-age=60|Cache-Control: max-age=1", 60, Targeted, (0, 0), Nothing),
    ("sc-extension", "contract", "Surrogate-Control: max-age=60+30", 60, Targeted, (30, 30), Nothing),
    ("sc-case", "contract", "Surrogate-Control: foo, MaX-aGe=60", 60, Targeted, (0, 0), Nothing),
    ("sc-own-target", "contract", "Surrogate-Control: max-age=1, max-age=60;edge-isr", 60, Targeted, (0, 0), Nothing),
    ("sc-other-target", "contract", "Surrogate-Control: max-age=60;other|Cache-Control: max-age=9", 9, MaxAge, (0, 0), Nothing),
    ("sc-bad", "contract", "Surrogate-Control: max-age=x|Cache-Control: max-age=9", 0, Targeted, (0, 0), Nothing),
    ("sc-unknown", "contract", "Surrogate-Control: foo|Cache-Control: max-age=9", 9, MaxAge, (0, 0), Nothing),
    ("sc-overflow", "contract", "Surrogate-Control: max-age=99999999999", MAX, Targeted, (0, 0), Nothing),
    ("sc-window", "contract", "Surrogate-Control: max-age=60, stale-while-revalidate=30", 60, Targeted, (30, 0), Nothing),
];

#[test]
fn table() {
    let mut failures = Vec::new();
    for (id, section, answer, lifetime, source, windows, reuse_condition) in ROWS {
        let got = freshness(&response(200, answer), &Route::default(), NOW);
        let seen = (
            got.lifetime.0,
            got.source,
            (got.stale_while_revalidate.0, got.stale_if_error.0),
            got.reuse_condition,
        );
        let want = (*lifetime, *source, *windows, *reuse_condition);
        if seen != want {
            failures.push(format!("{id} ({section}): got {seen:?}, want {want:?}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn the_route_speaks_where_the_origin_is_silent() {
    let route = Route {
        ttl: Some(Seconds(300)),
        swr: Seconds(30),
        sie: Seconds(90),
        negative_ttl: vec![(404, Seconds(10))],
        ..Route::default()
    };
    // status, response fields, lifetime, source, windows
    let rows = [
        (200, "", 300, FreshnessSource::Route, (30, 90)),
        (301, "", 300, FreshnessSource::Route, (30, 90)),
        (302, "", 0, None, (0, 0)),
        (404, "", 10, FreshnessSource::Route, (30, 90)),
        (500, "", 0, None, (0, 0)),
        (200, "Cache-Control: max-age=5", 5, MaxAge, (30, 90)),
        (200, "Cache-Control: max-age=5, stale-while-revalidate=0", 5, MaxAge, (0, 90)),
        // Next.js up to version 14 names the window without its length.
        (200, "Cache-Control: s-maxage=5, stale-while-revalidate", 5, SMaxAge, (30, 90)),
        (200, "Cache-Control: max-age=5, stale-if-error", 5, MaxAge, (30, 90)),
        (200, "Cache-Control: max-age=5, stale-while-revalidate=", 5, MaxAge, (0, 90)),
        (200, "CDN-Cache-Control: max-age=5, stale-while-revalidate", 5, Targeted, (30, 90)),
        (200, "CDN-Cache-Control: max-age=5, stale-if-error", 5, Targeted, (30, 90)),
        (200, "Surrogate-Control: max-age=5, stale-while-revalidate", 5, Targeted, (30, 90)),
        (200, "Cache-Control: no-cache", 0, None, (0, 0)),
        (200, "Cache-Control: public", 300, FreshnessSource::Route, (30, 90)),
        (404, "Cache-Control: max-age=5", 5, MaxAge, (30, 90)),
    ];
    for (status, answer, lifetime, source, windows) in rows {
        let got = freshness(&response(status, answer), &route, NOW);
        let seen = (got.stale_while_revalidate.0, got.stale_if_error.0);
        assert_eq!((got.lifetime.0, got.source, seen), (lifetime, source, windows), "{answer}");
    }
}

#[test]
fn heuristics_take_a_tenth_of_the_age_and_at_most_a_day() {
    let rows = [
        ("Fri, 31 Dec 2021 23:59:50 GMT", 1),
        ("Fri, 31 Dec 2021 00:00:00 GMT", 8_640),
        ("Wed, 01 Jan 2020 00:00:00 GMT", 86_400),
        ("Sun, 02 Jan 2022 00:00:00 GMT", 0),
    ];
    for (changed, want) in rows {
        let answer = format!("Date: {}|Last-Modified: {changed}", crate::http_support::DATE);
        let got = freshness(&response(200, &answer), &open_route(), NOW);
        assert_eq!((got.lifetime.0, got.source), (want, Heuristic), "{changed}");
    }
}

#[test]
fn heuristics_are_for_the_statuses_that_say_so() {
    let answer = "Date: Sat, 01 Jan 2022 00:00:00 GMT|Last-Modified: Fri, 31 Dec 2021 00:00:00 GMT";
    for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
        let got = freshness(&response(status, answer), &open_route(), NOW);
        assert_eq!(got.source, Heuristic, "{status}");
    }
    for status in [201, 202, 302, 303, 307, 400, 403, 500, 502, 503, 504, 599] {
        let got = freshness(&response(status, answer), &open_route(), NOW);
        assert_eq!(got.source, None, "{status}");
        let public = format!("Cache-Control: public|{answer}");
        let got = freshness(&response(status, &public), &open_route(), NOW);
        assert_eq!(got.source, Heuristic, "{status} public");
    }
}

/// RFC 9111 §4.2.3 and §5.1: value of `Age`, seconds the answer took, age on arrival. The first of
/// a list counts, and what can't be read is ignored.
#[test]
fn ages() {
    let rows = [
        ("", 0, 0),
        ("", 7, 7),
        ("Age: 30", 2, 32),
        ("Age: 99999999999", 0, 1 << 31),
        ("Age: 2147483649", 0, 1 << 31),
        ("Age: abc", 0, 0),
        ("Age: abc", 5, 5),
        ("Age: -7200", 0, 0),
        ("Age: 7200.0", 0, 0),
        ("Age: 7200;foo=bar", 0, 0),
        ("Age: 7200;foo=111", 0, 0),
        ("Age: ", 0, 0),
        ("Age: abc, 7200", 0, 0),
        ("Age: 7200,0", 0, 7200),
        ("Age: 7200, 0", 0, 7200),
        ("Age: 0,7200", 0, 0),
        ("Age: 0, 0", 0, 0),
        ("Age: 3600, 3600", 0, 3600),
        ("Age: 0|Age: 7200", 0, 0),
        ("Age: 7200|Age: 0", 0, 7200),
    ];
    for (lines, took, want) in rows {
        assert_eq!(initial_age(&fields(lines), NOW, after(took)), Seconds(want), "{lines}");
    }
}

/// RFC 9111 §5.2.2.10: a route's window for failures does not lift what `s-maxage` forbids; its
/// window for every request does (decision 0001).
#[test]
fn s_maxage_beside_a_routes_windows() {
    let answer = response(200, "Cache-Control: s-maxage=2");
    for (swr, sie, want) in
        [(0, 0, WhenStale), (0, 90, WhenStale), (30, 0, Nothing), (30, 90, Nothing)]
    {
        let route = Route { swr: Seconds(swr), sie: Seconds(sie), ..Route::default() };
        assert_eq!(freshness(&answer, &route, NOW).reuse_condition, want, "swr {swr}, sie {sie}");
    }
}

/// RFC 9110 §5.6.7, with names in any case (RFC 9111 §4.2).
#[test]
fn dates() {
    let good = [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "SUN, 06 nov 1994 08:49:37 gMT",
        "sunday, 06-NOV-94 08:49:37 gmt",
        " Sun, 06 Nov 1994 08:49:37 GMT\t",
        "Thu, 06 Nov 1994 08:49:37 GMT",
    ];
    for text in good {
        assert_eq!(parse(text).map(|at| at.as_seconds()), Some(784_111_777), "{text}");
    }
    for (text, want) in [
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Tue, 29 Feb 2000 23:59:60 GMT", 951_868_800),
        ("Thu Aug 18 02:01:18 2050", 2_544_400_878),
        ("Thu, 18 Aug 2050 02:01:18 GMT", 2_544_400_878),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
        ("Tuesday, 01-Jan-69 00:00:00 GMT", 3_124_224_000),
        ("Thursday, 01-Jan-70 00:00:00 GMT", 0),
    ] {
        assert_eq!(parse(text).map(|at| at.as_seconds()), Some(want), "{text}");
    }
    let bad = [
        "",
        "0",
        "GMT",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun 06 Nov 1994 08:49:37 GMT",
        "Sun,  06 Nov 1994 08:49:37 GMT",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08.49.37 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 29 Feb 2001 08:49:37 GMT",
        "Sun, 29 Feb 2100 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1969 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Son, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Now 1994 08:49:37 GMT",
        "Sun, +6 Nov 1994 08:49:37 GMT",
        "Sund, 06-Nov-94 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov  6 08:49:37 1994 GMT",
        "Sun, 06 Nov 1994 08:49:37:00 GMT",
    ];
    for text in bad {
        assert_eq!(parse(text), Option::None, "{text}");
    }
}

/// The calendar agrees with the writer's for every day of four centuries.
#[test]
fn what_is_written_is_read_back() {
    for day in 0..150_000_i64 {
        let at = Timestamp::from_seconds(day * 86_400 + day % 86_400);
        assert_eq!(parse(&format(at)), Some(at), "day {day}");
    }
}

#[test]
fn an_origin_clock_that_goes_wrong_makes_nothing_stale() {
    let answer = response(200, "Cache-Control: max-age=60|Date: Fri, 31 Dec 2021 00:00:00 GMT");
    assert_eq!(initial_age(&answer.fields, NOW, NOW), Seconds(0));
    assert_eq!(freshness(&answer, &Route::default(), NOW).lifetime, Seconds(60));
}
