//! Ranges and conditions of requests, in all their combinations, beside what RFC 9110 says of them:
//! an answer out of the store is the one that a server would give that evaluates them itself.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use crate::world::{Isolate, Script, Seen, World};
use edge_isr::config::Config;

const PAGE: &str = "https://example.com/page";
const BODY: &str = "0123456789";
/// The world begins later than this.
const CHANGED: &str = "Mon, 01 Jan 2024 00:00:00 GMT";
const BEFORE: &str = "Sun, 31 Dec 2023 23:59:59 GMT";
const AFTER: &str = "Mon, 01 Jan 2024 00:00:01 GMT";

/// What is stored: its validators, and when it says it was made.
#[derive(Clone, Copy, Debug)]
struct Stored {
    etag: Option<&'static str>,
    changed: bool,
    made: &'static str,
    status: u16,
    body: &'static str,
}

const STORED: [Stored; 8] = [
    Stored { etag: Some("\"a\""), changed: true, made: AFTER, status: 200, body: BODY },
    Stored { etag: Some("W/\"a\""), changed: true, made: CHANGED, status: 200, body: BODY },
    Stored { etag: None, changed: true, made: AFTER, status: 200, body: BODY },
    Stored { etag: None, changed: true, made: CHANGED, status: 200, body: BODY },
    Stored { etag: Some("\"a\""), changed: false, made: AFTER, status: 200, body: BODY },
    Stored { etag: Some("\"a\""), changed: true, made: AFTER, status: 404, body: BODY },
    Stored { etag: Some("\"a\""), changed: true, made: AFTER, status: 200, body: "" },
    Stored { etag: Some("\"a\""), changed: true, made: AFTER, status: 200, body: "0" },
];

/// A range, and the parts of [`BODY`] that it means; none where it is to be ignored.
type Range = (&'static str, Option<&'static [(usize, usize)]>);

const RANGES: [Range; 26] = [
    ("bytes=0-0", Some(&[(0, 1)])),
    ("bytes=2-5", Some(&[(2, 6)])),
    ("bytes=5-", Some(&[(5, 10)])),
    ("bytes=9-9", Some(&[(9, 10)])),
    ("bytes=-3", Some(&[(7, 10)])),
    ("bytes=-10", Some(&[(0, 10)])),
    ("bytes=-99999999999999999999", Some(&[(0, 10)])),
    ("bytes=0-99999999999999999999", Some(&[(0, 10)])),
    ("bytes=99999999999999999999-", Some(&[])),
    ("bytes=10-", Some(&[])),
    ("bytes=10-10", Some(&[])),
    ("bytes=-0", Some(&[])),
    ("bytes=0-1,3-4", Some(&[(0, 2), (3, 5)])),
    ("bytes=3-4, 0-1", Some(&[(3, 5), (0, 2)])),
    ("bytes=0-1,,3-4", Some(&[(0, 2), (3, 5)])),
    ("bytes=99-, 0-1", Some(&[(0, 2)])),
    ("BYTES=0-1", Some(&[(0, 2)])),
    ("bytes=0-5,3-7", Some(&[(0, 6), (3, 8)])),
    ("bytes=0-,-10", Some(&[(0, 10), (0, 10)])),
    ("bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7,8-8", None),
    ("bytes=5-2", None),
    ("bytes=a-b", None),
    ("bytes=+1-2", None),
    ("bytes=--1", None),
    ("bytes=", None),
    ("items=0-1", None),
];

/// Fields of `If-Range`, by whether they hold for a strong tag `"a"` or a strong date.
const IF_RANGES: [(Option<&str>, bool, bool); 9] = [
    (None, true, true),
    (Some("\"a\""), true, false),
    (Some("W/\"a\""), false, false),
    (Some("\"b\""), false, false),
    (Some("\"a\", \"b\""), false, false),
    (Some("*"), false, false),
    (Some(CHANGED), false, true),
    (Some(BEFORE), false, false),
    (Some(AFTER), false, false),
];

/// The fields of a condition; what it comes to by tag, and by date.
type Condition = (&'static [(&'static str, &'static str)], Option<bool>, Option<bool>);

/// Conditions, by whether they make a 304 of a page with the tag `"a"`, weak or strong, and of one
/// that is dated [`CHANGED`]; none of them is about what has no such validator.
const CONDITIONS: [Condition; 10] = [
    (&[], None, None),
    (&[("if-none-match", "\"a\"")], Some(true), None),
    (&[("if-none-match", "W/\"a\", \"c\"")], Some(true), None),
    (&[("if-none-match", "\"b\"")], Some(false), None),
    (&[("if-none-match", "*")], Some(true), None),
    (&[("if-modified-since", CHANGED)], None, Some(true)),
    (&[("if-modified-since", BEFORE)], None, Some(false)),
    (&[("if-modified-since", "yesterday")], None, Some(false)),
    (&[("if-none-match", "\"b\""), ("if-modified-since", CHANGED)], Some(false), Some(true)),
    (&[("if-none-match", "\"a\""), ("if-modified-since", BEFORE)], Some(true), Some(false)),
];

/// What RFC 9110 §13.2.2 and §14.2 make of a request: a status, and the parts of the body.
fn expected(
    stored: &Stored,
    condition: &Condition,
    (range, parts): Range,
    (if_range, by_tag, by_date): (Option<&str>, bool, bool),
) -> (u16, Vec<String>) {
    let (fields, by_none_match, since) = condition;
    let whole = (stored.status, vec![stored.body.to_owned()]);
    let has_none_match = by_none_match.is_some();
    let not_modified = if has_none_match {
        let any = fields.iter().any(|(_, value)| *value == "*");
        by_none_match == &Some(true) && (stored.etag.is_some() || any)
    } else {
        // Without Last-Modified its date counts (RFC 9111 §4.3.2), which is later.
        since == &Some(true) && (stored.changed || stored.made == CHANGED)
    };
    if stored.status != 200 {
        return whole;
    }
    if not_modified {
        return (304, Vec::new());
    }
    let strong_tag = stored.etag.is_some_and(|tag| !tag.starts_with('W'));
    let strong_date = stored.changed && stored.made != CHANGED;
    let holds = if_range.is_none() || (by_tag && strong_tag) || (by_date && strong_date);
    let Some(parts) = parts.filter(|_| holds) else { return whole };
    let length = stored.body.len();
    let within = |(from, to): (usize, usize)| {
        // A suffix is counted from the end of this body.
        let (from, to) = match range.strip_prefix("bytes=-") {
            Some(_) if to == BODY.len() => ((length + from).saturating_sub(BODY.len()), length),
            _ => (from, to.min(length)),
        };
        (from < length && from < to).then_some((from, to))
    };
    let found: Vec<(usize, usize)> = parts.iter().filter_map(|part| within(*part)).collect();
    // Several that overlap may be answered with the whole (§14.2).
    let overlap = |one: &(usize, usize), other: &(usize, usize)| one.0 < other.1 && other.0 < one.1;
    let apart = found.iter().enumerate();
    let apart = apart.clone().all(|(at, one)| !found[..at].iter().any(|other| overlap(one, other)));
    match found.len() {
        0 => (416, Vec::new()),
        _ if !apart => whole,
        _ => (206, found.iter().map(|(from, to)| stored.body[*from..*to].to_owned()).collect()),
    }
}

/// The parts that an answer has: of `multipart/byteranges` each by itself.
fn parts(seen: &Seen) -> Vec<String> {
    let kind = seen.fields.get("content-type").unwrap_or_default();
    let text = seen.text();
    let Some(boundary) = kind.strip_prefix("multipart/byteranges; boundary=") else {
        return if text.is_empty() && seen.status != 200 { Vec::new() } else { vec![text] };
    };
    let boundary = format!("--{boundary}");
    let between = text.split(&boundary).skip(1);
    let bodies = between.filter_map(|part| part.split_once("\r\n\r\n"));
    bodies.map(|(_, body)| body.trim_end_matches("\r\n").to_owned()).collect()
}

fn isolate(stored: Stored) -> Isolate {
    let world = World::new(&Config::default());
    world.origin(move |_| {
        let mut fields = vec![
            ("cdn-cache-control", "max-age=3600"),
            ("content-type", "text/plain"),
            ("date", stored.made),
        ];
        fields.extend(stored.etag.map(|etag| ("etag", etag)));
        if stored.changed {
            fields.push(("last-modified", CHANGED));
        }
        Ok(Script::new(stored.status, &fields, stored.body))
    });
    let isolate = Isolate::new(&world, &Config::default(), "ams");
    isolate.get(PAGE, &[]);
    world.pass(100);
    isolate
}

#[test]
fn ranges_and_conditions_are_those_of_the_rfc_in_all_their_combinations() {
    for stored in STORED {
        let isolate = isolate(stored);
        for condition in &CONDITIONS {
            for range in RANGES {
                for if_range in IF_RANGES {
                    let mut fields = condition.0.to_vec();
                    fields.push(("range", range.0));
                    fields.extend(if_range.0.map(|value| ("if-range", value)));
                    let seen = isolate.get(PAGE, &fields);
                    let want = expected(&stored, condition, range, if_range);
                    let row = format!("{stored:?} {fields:?}: {}", seen.cache_status());
                    assert!(seen.cache_status().contains("hit"), "{row}");
                    assert_eq!((seen.status, parts(&seen)), want, "{row}");
                    if seen.status == 416 {
                        let length = format!("bytes */{}", stored.body.len());
                        assert_eq!(
                            seen.fields.get("content-range"),
                            Some(length.as_str()),
                            "{row}"
                        );
                    }
                    // No other method has ranges (§14.2); a condition counts (§13.2.2).
                    let head = isolate.send("HEAD", PAGE, &fields);
                    let status = if want.0 == 304 { 304 } else { stored.status };
                    assert_eq!((head.status, head.text()), (status, String::new()), "HEAD {row}");
                }
            }
        }
    }
}
