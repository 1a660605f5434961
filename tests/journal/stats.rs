//! What isolates have counted: each report once, whatever is lost, repeated or late.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::common::sqlite::Sqlite;
use edge_isr::base::sql::{Sql, Value};
use edge_isr::base::time::{Millis, Timestamp};
use edge_isr::journal::report::{
    By, Counts, MAX_NAME_BYTES, MAX_NAMES, MAX_ROWS, OTHERS, OriginSum, Report, RequestKind,
    StatsReply, StatsRequest, Sum,
};
use edge_isr::journal::stats::REPEATED_FOR;
use edge_isr::journal::{Journal, JournalCall, JournalConfig, JournalReply, SyncRequest};

/// The beginning of an hour.
const T0: Timestamp = Timestamp::from_seconds(1_700_000_000 / 3_600 * 3_600);
const MINUTE: u64 = 60_000;
const HOUR: u64 = 3_600_000;

fn at(millis: u64) -> Timestamp {
    T0.plus(Millis(millis))
}

fn kind(route: &str, result: &str, reason: &str) -> RequestKind {
    RequestKind { route: route.to_owned(), result: result.to_owned(), reason: reason.to_owned() }
}

fn sum(requests: u64) -> Sum {
    Sum { requests, bytes: requests * 10 }
}

fn report(isolate: &str, number: u64, hits: u64) -> Report {
    let mut counts = Counts::default();
    counts.count(kind("/*", "hit", ""), sum(hits));
    counts.count_counter("edge_isr_syncs_total|outcome|done".to_owned(), 1);
    Report { isolate: isolate.to_owned(), number, colo: "AMS".to_owned(), counts }
}

fn open(sql: &Sqlite) -> Journal<Sqlite> {
    Journal::open(sql.clone(), JournalConfig { shards: 2, ..JournalConfig::default() }).unwrap()
}

fn number(sql: &Sqlite, query: &str) -> u64 {
    match sql.exec(query, &[]).unwrap()[0][0] {
        Value::Integer(number) => number.unsigned_abs(),
        ref other => panic!("{other:?}"),
    }
}

/// Rows written so far.
fn written(sql: &Sqlite) -> u64 {
    number(sql, "SELECT total_changes()")
}

fn rows(sql: &Sqlite, table: &str) -> u64 {
    number(sql, &format!("SELECT count(*) FROM {table}"))
}

/// By a sync, over the wire and back; the number that the journal says it has.
fn report_to(journal: &mut Journal<Sqlite>, report: &Report, millis: u64) -> Option<u64> {
    let report = Some(report.clone());
    let call = JournalCall::Sync(SyncRequest { report, ..SyncRequest::default() });
    let call = serde_json::from_str(&serde_json::to_string(&call).unwrap()).unwrap();
    let reply = journal.handle(call, at(millis)).unwrap();
    let reply = serde_json::from_str(&serde_json::to_string(&reply).unwrap()).unwrap();
    let JournalReply::Delta(delta) = reply else { panic!("{reply:?}") };
    delta.reported
}

fn stats(journal: &mut Journal<Sqlite>, from: u64, to: u64, by: By, now: u64) -> StatsReply {
    let request = StatsRequest { from: at(from), to: at(to), by, all: true };
    let reply = journal.handle(JournalCall::Stats(request), at(now)).unwrap();
    let reply = serde_json::from_str(&serde_json::to_string(&reply).unwrap()).unwrap();
    let JournalReply::Stats(stats) = reply else { panic!("{reply:?}") };
    stats
}

fn hits(reply: &StatsReply) -> u64 {
    reply.all.as_ref().unwrap().sum().requests
}

#[test]
fn a_report_counts_once_however_often_it_comes() {
    let sql = Sqlite::memory();
    let mut journal = open(&sql);
    for _ in 0..3 {
        assert_eq!(report_to(&mut journal, &report("a", 1, 5), 0), Some(1));
    }
    // Another isolate's first, and this one's second; an old one that comes late is no news.
    assert_eq!(report_to(&mut journal, &report("b", 1, 7), 1), Some(1));
    assert_eq!(report_to(&mut journal, &report("a", 2, 1), MINUTE), Some(2));
    assert_eq!(report_to(&mut journal, &report("a", 1, 5), MINUTE), Some(1));
    let mut journal = open(&sql);
    assert_eq!(
        report_to(&mut journal, &report("a", 2, 1), 2 * MINUTE),
        Some(2),
        "after a restart too"
    );
    let figures = stats(&mut journal, 0, HOUR, By::Result, 2 * MINUTE);
    assert_eq!(figures.step, Millis(MINUTE));
    let points: Vec<(Timestamp, u64)> =
        figures.points.iter().map(|point| (point.at, point.sums["hit"].requests)).collect();
    assert_eq!(points, [(at(0), 12), (at(MINUTE), 1)]);
    assert_eq!(figures.totals, BTreeMap::from([("hit".to_owned(), sum(13))]));
    assert_eq!(figures.counters["edge_isr_syncs_total|outcome|done"], 3);
    assert_eq!((hits(&figures), figures.isolates), (13, 2));
    let figures = stats(&mut journal, 0, HOUR, By::Colo, 2 * MINUTE);
    assert_eq!(figures.totals, BTreeMap::from([("AMS".to_owned(), sum(13))]));
    let figures = stats(&mut journal, 0, HOUR, By::Kind, 2 * MINUTE);
    let [(name, total)] = &figures.totals.into_iter().collect::<Vec<_>>()[..] else { panic!() };
    assert_eq!((name.split('|').nth(1), *total), (Some("hit"), sum(13)));
    assert_eq!(figures.points, [], "totals alone");
}

#[test]
fn a_report_writes_two_rows_and_a_repeated_one_none() {
    let sql = Sqlite::memory();
    let mut journal = open(&sql);
    report_to(&mut journal, &report("a", 1, 5), 0);
    let changes = |journal: &mut Journal<Sqlite>, number: u64, millis: u64| {
        let before = written(&sql);
        report_to(journal, &report("a", number, 5), millis);
        written(&sql) - before
    };
    assert_eq!(changes(&mut journal, 2, 1), 2);
    assert_eq!(changes(&mut journal, 2, 2), 0);
}

#[test]
fn minutes_become_hours_and_what_was_ever_counted_never_goes_back() {
    let sql = Sqlite::memory();
    let mut journal = open(&sql);
    let mut number = 0;
    let mut highest = 0;
    for minute in (0..100 * 24 * 60).step_by(17) {
        number += 1;
        report_to(&mut journal, &report("a", number, 1), minute * MINUTE);
        if number % 500 == 0 {
            let figures = stats(&mut journal, 0, HOUR, By::Result, minute * MINUTE);
            assert!(hits(&figures) == number && hits(&figures) > highest);
            highest = hits(&figures);
        }
    }
    let end = 100 * 24 * HOUR;
    let figures = stats(&mut journal, 0, end, By::Result, end);
    assert_eq!(figures.step, Millis(HOUR));
    assert_eq!(hits(&figures), number);
    let first = figures.points.first().unwrap().at;
    assert!(first >= at(end - 90 * 24 * HOUR - HOUR) && first < at(end - 89 * 24 * HOUR));
    let kept: u64 = figures.points.iter().map(|point| point.sums["hit"].requests).sum();
    assert!(figures.totals["hit"].requests == kept && kept < number);
    let minutes = stats(&mut journal, end - 5 * HOUR, end, By::Result, end);
    assert_eq!(minutes.step, Millis(MINUTE));
    assert_eq!(minutes.points.len(), 18, "one in 17 minutes");
    assert!(rows(&sql, "stats") <= 2 * 24 * 60 + 60 + 90 * 24 + 2);
    assert_eq!(rows(&sql, "reporter"), 1);
}

#[test]
fn a_clock_that_goes_back_loses_nothing() {
    let sql = Sqlite::memory();
    let mut journal = open(&sql);
    report_to(&mut journal, &report("a", 1, 1), 30 * MINUTE);
    report_to(&mut journal, &report("a", 2, 2), 3 * HOUR);
    // The object has moved to a machine whose clock is behind.
    report_to(&mut journal, &report("a", 3, 4), HOUR);
    report_to(&mut journal, &report("a", 4, 8), 5 * HOUR);
    let figures = stats(&mut journal, 0, 24 * HOUR, By::Result, 5 * HOUR);
    assert_eq!((hits(&figures), figures.totals["hit"].requests), (15, 15));
    // Isolates that have been silent for hours are forgotten.
    report_to(&mut journal, &report("b", 1, 0), 8 * HOUR);
    assert_eq!(rows(&sql, "reporter"), 1);
}

#[test]
fn a_thousand_routes_add_up_and_take_bounded_room() {
    let sql = Sqlite::memory();
    let mut journal = open(&sql);
    for number in 1..=40 {
        let mut counts = Counts::default();
        for n in 0..100 {
            let route = format!("/{}/{n}/{}", number, "x".repeat(300));
            counts.count(kind(&route, if n % 2 == 0 { "hit" } else { "miss" }, ""), sum(1));
            counts.count_counter(format!("c{number}_{n}"), 1);
            counts.count_origin(route, OriginSum { requests: 1, millis: 3 });
        }
        let colo = format!("C{number}");
        let report = Report { isolate: "a".to_owned(), number, colo, counts };
        report_to(&mut journal, &report, number);
    }
    let figures = stats(&mut journal, 0, HOUR, By::Route, 50);
    assert_eq!(hits(&figures), 4_000);
    assert!(figures.totals.len() <= MAX_ROWS + 1);
    assert!(figures.totals.keys().all(|name| name.len() <= MAX_NAME_BYTES));
    assert!(figures.totals[OTHERS].requests > 0);
    assert!(figures.counters.len() <= MAX_NAMES + 1);
    assert_eq!(figures.counters.values().sum::<u64>(), 4_000);
    let mut origin = OriginSum::default();
    figures.origin.values().for_each(|sum| origin.add(*sum));
    assert_eq!(origin, OriginSum { requests: 4_000, millis: 12_000 });
    assert!(figures.origin.len() <= MAX_NAMES + 1);
    let figures = stats(&mut journal, 0, HOUR, By::Result, 50);
    assert_eq!(figures.totals["hit"].requests, 2_000, "results stay apart");
}

#[test]
fn counts_of_a_later_version_are_kept() {
    let sql = Sqlite::memory();
    let mut journal = open(&sql);
    let text = r#"{"sync":{"seen":0,"report":{"isolate":"a","number":1,"colo":"AMS","mood":"good",
        "counts":{"kinds":[[{"route":"/*","result":"composed","reason":"","fragment":"x"},
            {"requests":3,"bytes":1,"joy":7}]],"counters":{"edge_isr_joys_total|kind|big":9},
            "origin":{"/*":{"requests":2,"millis":30,"bytes":5}},"more":[1]}}}}"#;
    let call: JournalCall = serde_json::from_str(text).unwrap();
    journal.handle(call, at(0)).unwrap();
    let figures = stats(&mut journal, 0, HOUR, By::Result, 1);
    assert_eq!(figures.totals["composed"], Sum { requests: 3, bytes: 1 });
    assert_eq!(figures.counters["edge_isr_joys_total|kind|big"], 9);
    assert_eq!(figures.origin["/*"], OriginSum { requests: 2, millis: 30 });
    // A call of a version before has none, and gets no word of it.
    let call: JournalCall = serde_json::from_str(r#"{"sync":{"since":null}}"#).unwrap();
    let reply = serde_json::to_string(&journal.handle(call, at(1)).unwrap()).unwrap();
    assert!(!reply.contains("reported"), "{reply}");
}

#[test]
fn an_isolate_without_a_name_counts_nowhere() {
    let sql = Sqlite::memory();
    let mut journal = open(&sql);
    assert_eq!(report_to(&mut journal, &report("", 1, 5), 0), Some(1));
    assert_eq!(report_to(&mut journal, &report(&"x".repeat(1_000), 1, 5), 0), Some(1));
    assert_eq!(hits(&stats(&mut journal, 0, HOUR, By::Result, 1)), 0);
}

proptest! {
    /// Isolates report, lose answers, repeat and die; the journal restarts. What is counted is what
    /// came at least once.
    #[test]
    fn the_sum_is_that_of_what_was_reported(
        steps in prop::collection::vec((0..4usize, 0..50u64, any::<bool>(), 0..90u64), 1..60),
    ) {
        let sql = Sqlite::memory();
        let mut journal = open(&sql);
        let mut pending: [Option<(Report, u64)>; 4] = Default::default();
        let mut numbers = [0u64; 4];
        let (mut now, mut want) = (0, 0);
        for (isolate, hits, answered, minutes) in steps {
            now += minutes * MINUTE / 3;
            // What is old is not repeated: the journal may have forgotten that it had it.
            let young = |(_, since): &(Report, u64)| now - since <= REPEATED_FOR.0;
            let (report, since) = match pending[isolate].take().filter(young) {
                Some(pending) => pending,
                None => {
                    numbers[isolate] += 1;
                    want += hits;
                    (report(&isolate.to_string(), numbers[isolate], hits), now)
                }
            };
            prop_assert_eq!(report_to(&mut journal, &report, now), Some(report.number));
            if !answered {
                pending[isolate] = Some((report, since));
                journal = open(&sql);
            }
        }
        prop_assert_eq!(hits(&stats(&mut journal, 0, now + HOUR, By::Result, now)), want);
        let figures = stats(&mut journal, 0, now + HOUR, By::Result, now);
        let sums = figures.points.iter().flat_map(|point| point.sums.values());
        let points: u64 = sums.map(|sum| sum.requests).sum();
        prop_assert_eq!(points, want);
    }
}
