//! What was stored of a variant before what is: a fixed number of copies, and no row for them.

#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::shard::{Bench, asks, at, fanout, result_of, stored, tag};
use edge_isr::base::sql::{Sql, Value};
use edge_isr::base::time::Epoch;
use edge_isr::cache::tag::{Tag, TagSet, Target};
use edge_isr::index::{LeaseRequest, StoredOnce, VariantInfo, WarmResult};

/// A visitor's fetch.
fn fetched(bench: &mut Bench, seen: u64, millis: u64) {
    let grant = bench.granted(LeaseRequest { need: Epoch(seen), ..asks("/a", seen) }, millis);
    assert!(bench.record(stored("/a", &grant, &["x"]), millis).accepted);
}

fn variant(bench: &mut Bench) -> VariantInfo {
    bench.by_url("example.com/a")[0].variants[0].clone()
}

fn once(stamp: u64, millis: u64, warmed: bool) -> StoredOnce {
    StoredOnce { at: at(millis), stamp: Epoch(stamp), warmed }
}

#[test]
fn the_last_five_copies_are_remembered_with_who_brought_them() {
    let mut bench = Bench::new();
    fetched(&mut bench, 1, 10);
    assert_eq!(variant(&mut bench).past, []);
    bench.invalidate(fanout(2, &[tag("x")]), 20);
    let task = bench.take(30).remove(0);
    let result = WarmResult::Fetched(Box::new(result_of(&task)));
    bench.shard.finish_warm(&task, result, at(40)).unwrap();
    assert_eq!(variant(&mut bench).past, [once(1, 10, false)]);
    fetched(&mut bench, 3, 50);
    assert_eq!(variant(&mut bench).past, [once(2, 40, true), once(1, 10, false)]);
    for n in 4..9 {
        fetched(&mut bench, n, n * 100);
    }
    let want: Vec<StoredOnce> =
        [7, 6, 5, 4].iter().map(|n| once(*n, n * 100, false)).chain([once(3, 50, false)]).collect();
    let variant = variant(&mut bench);
    assert_eq!((variant.stored_at, variant.past), (at(800), want));
}

/// What docs/scale.md says: a refetch writes as many rows as it would.
#[test]
fn it_writes_no_row_and_135_bytes_at_most() {
    let mut bench = Bench::new();
    fetched(&mut bench, 1, 10);
    let number = |bench: &Bench, query: &str| match bench.sql.exec(query, &[]).unwrap()[0][0] {
        Value::Integer(number) => number,
        ref other => panic!("{other:?}"),
    };
    let mut written = Vec::new();
    for n in 2..12 {
        let before = number(&bench, "SELECT total_changes()");
        fetched(&mut bench, n, n * 100);
        written.push(number(&bench, "SELECT total_changes()") - before);
    }
    assert!(written.iter().all(|rows| *rows == written[0]), "{written:?}");
    assert_eq!(number(&bench, "SELECT length(past) FROM variant"), 135);
}

#[test]
fn what_can_not_be_read_ends_it() {
    let mut bench = Bench::new();
    for n in 1..4 {
        fetched(&mut bench, n, n);
    }
    let rows: [(&str, usize); 5] = [
        ("past", 2),
        ("''", 0),
        ("'zz' || past", 0),
        ("substr(past, 1, 40)", 1),
        ("substr(past, 1, 27) || 'é' || past", 1),
    ];
    for (past, want) in rows {
        bench.sql.exec("SAVEPOINT row", &[]).unwrap();
        bench.sql.exec(&format!("UPDATE variant SET past = {past}"), &[]).unwrap();
        assert_eq!(variant(&mut bench).past.len(), want, "{past}");
        bench.sql.exec("ROLLBACK TO row", &[]).unwrap();
        bench.sql.exec("RELEASE row", &[]).unwrap();
    }
}

/// What the timeline looks for is what decides.
#[test]
fn the_names_of_a_page_are_those_of_its_targets() {
    let mut page = crate::common::shard::page("/a%2fb/c/%7Ed");
    let tags: TagSet = ["X", "y"].iter().map(|name| Tag::parse(name).unwrap()).collect();
    for query in [None, Some("q=1".to_owned())] {
        page.query = query;
        let mut named: Vec<_> = page.named_targets(&tags).iter().map(Target::hash).collect();
        let mut targets = page.targets(&tags);
        named.sort();
        targets.sort();
        assert_eq!(named, targets);
    }
}
