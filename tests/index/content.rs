//! Refetches are compared with what they take the place of: by the digests of what they show.

#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::shard::{Bench, asks, at, fanout, result_of, stored, tag};
use edge_isr::base::time::Epoch;
use edge_isr::cache::content::{ContentDigest, body_digest};
use edge_isr::http::Fields;
use edge_isr::index::{
    LeaseRequest, Outcome, RecordRequest, Recorded, Refetch, ShardCall, ShardReply, WarmResult,
    WarmTask,
};

fn shows(body: &str) -> Option<ContentDigest> {
    Some(ContentDigest::of(200, &Fields::new(), &body_digest(body.as_bytes())))
}

/// A visitor's fetch of a page that shows this.
fn fetched(bench: &mut Bench, path: &str, seen: u64, body: Option<&str>, millis: u64) -> Recorded {
    let grant = bench.granted(LeaseRequest { need: Epoch(seen), ..asks(path, seen) }, millis);
    let content = body.and_then(shows);
    bench.record(RecordRequest { content, ..stored(path, &grant, &["x"]) }, millis)
}

fn warmed(bench: &mut Bench, task: &WarmTask, body: &str, millis: u64) -> Option<Refetch> {
    let record = RecordRequest { content: shows(body), ..result_of(task) };
    bench.shard.finish_warm(task, WarmResult::Fetched(Box::new(record)), at(millis)).unwrap()
}

/// The refetches of a page's only variant: changed, unchanged.
fn counts(bench: &mut Bench, path: &str) -> (u64, u64) {
    let pages = bench.by_url(&format!("example.com{path}"));
    let variant = pages.first().and_then(|page| page.variants.first()).unwrap();
    (variant.changed, variant.unchanged)
}

#[test]
fn a_refetch_is_compared_with_what_it_takes_the_place_of() {
    let rows = [
        ("a first copy replaces nothing", vec![Some("a")], vec![None], (0, 0)),
        ("the same", vec![Some("a"), Some("a")], vec![None, Some(Refetch::Unchanged)], (0, 1)),
        (
            "another, and back",
            vec![Some("a"), Some("b"), Some("a")],
            vec![None, Some(Refetch::Changed), Some(Refetch::Changed)],
            (2, 0),
        ),
        (
            "a worker of before says nothing, and is no reason to guess",
            vec![Some("a"), None, Some("a"), Some("a")],
            vec![None, None, None, Some(Refetch::Unchanged)],
            (0, 1),
        ),
    ];
    for (name, bodies, want, counted) in rows {
        let mut bench = Bench::new();
        let mut refetches = Vec::new();
        for (n, body) in bodies.into_iter().enumerate() {
            let n = n as u64 + 1;
            refetches.push(fetched(&mut bench, "/a", n, body, n).refetch);
        }
        assert_eq!(refetches, want, "{name}");
        assert_eq!(counts(&mut bench, "/a"), counted, "{name}");
    }
}

#[test]
fn what_counts_as_shown() {
    let of = |status: u16, fields: &[(&str, &str)], body: &str| {
        let fields: Fields = fields.iter().copied().collect();
        ContentDigest::of(status, &fields, &body_digest(body.as_bytes()))
    };
    let page = of(200, &[("content-type", "text/html"), ("date", "a"), ("etag", "1")], "body");
    assert_eq!(page.as_str().len(), 32);
    assert_eq!(
        page,
        of(200, &[("content-type", "text/html"), ("age", "4")], "body"),
        "of one answer"
    );
    for (name, other) in [
        ("body", of(200, &[("content-type", "text/html")], "Body")),
        ("status", of(404, &[("content-type", "text/html")], "body")),
        ("type", of(200, &[("content-type", "text/plain")], "body")),
        ("encoding", of(200, &[("content-type", "text/html"), ("content-encoding", "br")], "body")),
        ("language", of(200, &[("content-language", "text/html")], "body")),
        ("place", of(200, &[("location", "text/html")], "body")),
        ("nothing", of(200, &[], "body")),
    ] {
        assert_ne!(page, other, "{name}");
    }
    // Values stand apart.
    let two = of(200, &[("location", "ab"), ("location", "c")], "");
    assert_ne!(two, of(200, &[("location", "a"), ("location", "bc")], ""));
}

#[test]
fn a_job_says_how_many_refetches_were_for_nothing() {
    let mut bench = Bench::new();
    for path in ["/a", "/b", "/c", "/d", "/e"] {
        fetched(&mut bench, path, 1, Some(path), 0);
    }
    bench.invalidate(fanout(2, &[tag("x")]), 1);
    // A visitor is quicker than the queue at one of them.
    assert_eq!(fetched(&mut bench, "/a", 2, Some("new"), 2).refetch, Some(Refetch::Changed));
    let mut tasks = bench.take(3);
    while let Some(task) = tasks.pop() {
        let path = task.page.path.clone();
        match path.as_str() {
            "/b" => {
                assert_eq!(warmed(&mut bench, &task, "new", 4), Some(Refetch::Changed));
            }
            "/e" => {
                let gone = RecordRequest { outcome: Outcome::Gone, ..result_of(&task) };
                let result = WarmResult::Fetched(Box::new(gone));
                let refetch = bench.shard.finish_warm(&task, result, at(4)).unwrap();
                assert_eq!(refetch, Some(Refetch::Changed), "there was a page");
            }
            _ => {
                assert_eq!(warmed(&mut bench, &task, &path, 4), Some(Refetch::Unchanged));
            }
        }
        tasks.extend(bench.take(4));
    }
    let job = bench.job("job2", 5);
    assert_eq!((job.total, job.done, job.changed, job.unchanged), (5, 5, 3, 2));
    // A job that is done counts no more of what comes later.
    fetched(&mut bench, "/c", 3, Some("newer"), 6);
    let job = bench.job("job2", 7);
    assert_eq!((job.changed, job.unchanged), (3, 2));
    assert_eq!(counts(&mut bench, "/c"), (1, 1));
}

#[test]
fn a_result_that_is_refused_counts_nowhere() {
    let mut bench = Bench::new();
    let old = bench.granted(asks("/a", 1), 0);
    let grant = bench.granted(LeaseRequest { need: Epoch(2), ..asks("/a", 2) }, 20_000);
    let new = RecordRequest { content: shows("new"), ..stored("/a", &grant, &["x"]) };
    assert_eq!(bench.record(new, 20_001).refetch, None);
    let late = RecordRequest { content: shows("old"), ..stored("/a", &old, &["x"]) };
    let recorded = bench.record(late, 20_002);
    assert_eq!((recorded.accepted, recorded.refetch), (false, None));
    assert_eq!(counts(&mut bench, "/a"), (0, 0));
}

#[test]
fn versions_without_it_are_understood() {
    let mut bench = Bench::new();
    let grant = bench.granted(asks("/a", 1), 0);
    let record = serde_json::to_value(stored("/a", &grant, &["x"])).unwrap();
    assert!(record.get("content").is_none(), "nothing is said where nothing is known");
    let recorded = bench.record(serde_json::from_value(record).unwrap(), 1);
    let json = serde_json::to_value(&recorded).unwrap();
    assert!(json.get("refetch").is_none(), "{json}");
    // What is no digest is none.
    let odd = serde_json::json!("not hex");
    let grant = bench.granted(LeaseRequest { need: Epoch(2), ..asks("/a", 2) }, 2);
    let mut record = serde_json::to_value(stored("/a", &grant, &["x"])).unwrap();
    record["content"] = odd;
    let record: RecordRequest = serde_json::from_value(record).unwrap();
    assert!(bench.record(record, 3).accepted);
    assert_eq!(fetched(&mut bench, "/a", 3, Some("a"), 4).refetch, None);
    let job = bench.call(ShardCall::Job { id: "job1".to_owned() }, 5);
    assert_eq!(job, ShardReply::Job { progress: None });
}
