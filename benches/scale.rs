//! The index, the journal and the view at the size of a large site, on real SQLite: what
//! `scripts/bench` runs.
//!
//! `--quick` takes a tenth of the pages; `--cache-kib N` gives SQLite another page cache than its
//! default of 2,000 KiB. It prints one JSON document: per figure its value, unit and bound, and the
//! lowest and highest of the parts that it is the median of. It judges nothing: figures depend on
//! the machine (docs/scale.md).

#![allow(clippy::disallowed_methods, reason = "how long things take is what is measured")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "measuring/mod.rs"]
mod measuring;

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use common::shard::{Bench, T0, asks, fanout, stored, tag};
use common::sqlite::Sqlite;
use edge_isr::base::sql::{Sql as _, Value};
use edge_isr::base::time::{Epoch, Millis, Timestamp};
use edge_isr::cache::tag::{Tag, TagSet, Target};
use edge_isr::index::{Grant, LeaseReply, Move, RecordRequest, ShardCall, ShardReply};
use edge_isr::journal::delta::Delta;
use edge_isr::journal::view::{View, ViewHealth};
use edge_isr::journal::{
    Append, CalledBy, Journal, JournalCall, JournalConfig, JournalReply, Mode, SyncRequest,
};
use measuring::{Figure, processor_seconds, reads_and_writes, resident, timed};

/// Tags of a page.
const TAGS: u64 = 10;
/// Pages of one batch: what one shard hands another at once.
const BATCH: usize = 100;
/// Pages of a part: of which the median is taken.
const PART: u64 = 10_000;
/// When a shard takes pages that were announced to it at `T0`.
const LATER: Timestamp = Timestamp::from_millis(T0.as_millis() + 60_000);
/// Times that a short thing is measured.
const ROUNDS: usize = 101;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let pages = if quick { 100_000 } else { 1_000_000 };
    let directory = std::env::temp_dir().join(format!("edge-isr-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let mut figures = Vec::new();
    // First, while nothing else was allocated.
    view(&mut figures);
    delta(&mut figures);
    index(&directory, pages, &mut figures);
    std::fs::remove_dir_all(&directory).unwrap();
    let figures: Vec<serde_json::Value> = figures.iter().map(Figure::json).collect();
    println!(
        "{}",
        serde_json::json!({ "pages": pages, "tags_per_page": TAGS, "figures": figures })
    );
}

fn name(kind: &str, number: u64) -> Tag {
    Tag::parse(&format!("{kind}:{number}")).unwrap()
}

// --- the view

fn view(figures: &mut Vec<Figure>) {
    const TARGETS: u64 = 100_000;
    let rows: Vec<_> = (1..=TARGETS)
        .map(|n| edge_isr::journal::delta::TargetRow {
            hash: Target::Tag(name("post", n)).hash(),
            soft: Epoch(n),
            hard: Epoch::ZERO,
            soft_at: T0,
        })
        .collect();
    let buckets = (0..=u16::MAX)
        .map(|bucket| edge_isr::journal::delta::Bucket { bucket, epoch: Epoch(1), hard: Epoch(1) })
        .collect();
    let delta = Delta {
        since: None,
        to: Epoch(TARGETS),
        more: false,
        head: Epoch(TARGETS),
        rows,
        buckets,
        reported: None,
    };
    let before = resident();
    let mut view = View::new(100_000);
    view.apply(&delta, T0, true);
    let bytes = (resident() - before) as f64;
    figures.push(Figure {
        name: "view of 100,000 targets and all buckets",
        unit: "bytes",
        bound: "<= 8,000,000",
        parts: vec![bytes],
    });
    // An entry with 20 tags, none of them overtaken: every target is looked at.
    let entries: Vec<Vec<_>> = (0..5_000)
        .map(|n| (0..20).map(|t| Target::Tag(name("post", n * 20 + t + 1)).hash()).collect())
        .collect();
    let health = ViewHealth::Recent { refresh: false };
    let parts = timed(ROUNDS, |_| {
        for targets in &entries {
            black_box(view.validity(targets, Epoch(TARGETS), health, T0, Millis(2_000)));
        }
    });
    figures.push(Figure {
        name: "check of an entry with 20 tags",
        unit: "microseconds",
        bound: "<= 2",
        parts: parts.iter().map(|part| part * 1e6 / entries.len() as f64).collect(),
    });
}

// --- the journal

fn append(id: &str, targets: Vec<Target>) -> JournalCall {
    JournalCall::Append(Append {
        id: id.to_owned(),
        body_digest: "digest".to_owned(),
        targets,
        mode: Mode::Soft,
        warm: true,
        reinvalidate_after: Millis::ZERO,
        reason: String::new(),
        uncounted: false,
        unsafe_method: false,
        by: CalledBy::default(),
    })
}

fn delta(figures: &mut Vec<Figure>) {
    let mut journal = Journal::open(Sqlite::memory(), JournalConfig::default()).unwrap();
    for n in 1..=11_000 {
        let call = append(&format!("m{n}"), vec![Target::Tag(name("post", n))]);
        journal.handle(call, T0.plus(Millis(n * 100))).unwrap();
    }
    let sync = JournalCall::Sync(SyncRequest {
        since: Some(Epoch(10_000)),
        seen: Epoch(10_000),
        report: None,
    });
    let reply = journal.handle(sync, T0.plus(Millis(1_100_000))).unwrap();
    let JournalReply::Delta(delta) = &reply else { panic!("{reply:?}") };
    assert_eq!(delta.rows.len(), 1_000);
    figures.push(Figure {
        name: "delta of 1,000 changes",
        unit: "bytes",
        bound: "<= 40,000",
        parts: vec![serde_json::to_vec(&reply).unwrap().len() as f64],
    });
}

// --- the index

/// A page's tags: one of its own, some of a hundred thousand that few pages have, one of a thousand
/// pages, one of a tenth of the site, and one of every page.
fn tags_of(page: u64, pages: u64, rng: &mut fastrand::Rng) -> TagSet {
    let few = std::iter::repeat_with(|| name("item", rng.u64(0..pages / 10))).take(6);
    [name("post", page), name("thousand", page / 1_000), name("tenth", page % 10), name("all", 0)]
        .into_iter()
        .chain(few.collect::<Vec<_>>())
        .collect()
}

fn index(directory: &Path, pages: u64, figures: &mut Vec<Figure>) {
    let file = directory.join("shard");
    let sql = Sqlite::file(&file);
    // A write-ahead log that waits for no disk: in an object it is the platform that makes writes
    // durable.
    sql.exec("PRAGMA journal_mode = WAL", &[]).unwrap();
    sql.exec("PRAGMA synchronous = OFF", &[]).unwrap();
    let cache = std::env::args().skip_while(|argument| argument != "--cache-kib").nth(1);
    if let Some(kib) = cache {
        sql.exec(&format!("PRAGMA cache_size = -{}", kib.parse::<u32>().unwrap()), &[]).unwrap();
    }
    let mut bench = Bench::on(sql);
    bind(&mut bench, pages, figures);
    bench.sql.exec("PRAGMA wal_checkpoint(TRUNCATE)", &[]).unwrap();
    let count = bench.sql.exec("SELECT count(*) FROM tagged", &[]).unwrap();
    let [Value::Integer(pairs)] = count[0].as_slice() else { panic!("{count:?}") };
    figures.push(Figure {
        name: "storage of a (page, tag) pair, all else of the page included",
        unit: "bytes",
        bound: "<= 150",
        parts: vec![std::fs::metadata(&file).unwrap().len() as f64 / *pairs as f64],
    });
    look_up(&mut bench, figures);
    fills(&mut bench, pages, figures);
    acknowledge(&mut bench, figures);
}

fn call(bench: &mut Bench, call: ShardCall) -> ShardReply {
    bench.shard.handle(call, T0).unwrap()
}

/// What a part of the pages is bound by, in turns.
#[derive(Clone, Copy)]
enum By {
    /// Pages that another shard hands over, in calls of as many as it sends at once.
    Batch,
    /// A record each, a transaction each.
    Record,
}

fn bind(bench: &mut Bench, pages: u64, figures: &mut Vec<Figure>) {
    let mut rng = fastrand::Rng::with_seed(1);
    let handed = |variants| Move { shards: 1, shard: 0, at: T0, variants, ..Move::default() };
    // The first raises the shard's fencing numbers past the other's; it takes pages from a lease's
    // time later on.
    let last = RecordRequest { fence: pages, ..bound(pages, pages, &mut rng) };
    assert_eq!(
        moved(bench, handed(vec![handed_over(&last)]), T0),
        ShardReply::Moved { done: false }
    );
    let mut measured = [(); 2].map(|()| (Vec::new(), Vec::new(), Vec::new(), Vec::new()));
    for part in 0..pages / PART {
        let by = if part % 2 == 0 { By::Batch } else { By::Record };
        let requests: Vec<RecordRequest> =
            (part * PART..(part + 1) * PART).map(|page| bound(page, pages, &mut rng)).collect();
        let batches: Vec<Move> = requests
            .chunks(BATCH)
            .map(|requests| handed(requests.iter().map(handed_over).collect()))
            .collect();
        let before = reads_and_writes();
        let (began, processor) = (Instant::now(), processor_seconds());
        match by {
            By::Batch => {
                for batch in batches {
                    black_box(moved(bench, batch, LATER));
                }
            }
            By::Record => {
                for request in requests {
                    black_box(call(bench, ShardCall::Record(request)));
                }
            }
        }
        let (parts, worked, reads, writes) = &mut measured[by as usize];
        parts.push(PART as f64 / began.elapsed().as_secs_f64());
        worked.push(PART as f64 / (processor_seconds() - processor));
        let now = reads_and_writes();
        reads.push((now[0] - before[0]) / PART as f64);
        writes.push((now[1] - before[1]) / PART as f64);
        if part % 10 >= 8 {
            eprintln!("{} pages, {:.0} pages/s", (part + 1) * PART, parts[parts.len() - 1]);
        }
    }
    let [batch, record] = measured;
    let (pages, calls) = ("pages/s", "calls");
    for (name, unit, bound, parts) in [
        ("bind in batches of 100", pages, ">= 10,000", batch.0),
        ("the same, per second of processor time", pages, "", batch.1),
        ("reads of files for a page bound", calls, "", batch.2),
        ("writes to files for it", calls, "", batch.3),
        ("bind in a transaction each, in turns with the batches", pages, "", record.0),
        ("the same, per second of processor time", pages, "", record.1),
        ("reads of files for a page bound so", calls, "", record.2),
        ("writes to files for it", calls, "", record.3),
    ] {
        figures.push(Figure { name, unit, bound, parts });
    }
}

/// A page's record, after a lease.
fn bound(page: u64, pages: u64, rng: &mut fastrand::Rng) -> RecordRequest {
    let grant = Grant { fence: page + 1, stamp: Epoch(1), first: true, ..Grant::default() };
    let path = format!("/section-{}/article-{page}", page % 100);
    RecordRequest { tags: tags_of(page, pages, rng), ..stored(&path, &grant, &[]) }
}

/// The same as another shard hands it over.
fn handed_over(record: &RecordRequest) -> String {
    serde_json::json!({ "record": record, "popularity": T0, "letters": [] }).to_string()
}

fn moved(bench: &mut Bench, pages: Move, now: Timestamp) -> ShardReply {
    bench.shard.handle(ShardCall::Move(pages), now).unwrap()
}

fn look_up(bench: &mut Bench, figures: &mut Vec<Figure>) {
    let count = |bench: &mut Bench, targets: Vec<Target>| {
        black_box(call(bench, ShardCall::Count { targets }));
    };
    let parts = timed(ROUNDS, |round| {
        count(bench, vec![Target::Tag(name("thousand", round as u64 % 90))]);
    });
    let milliseconds = |parts: Vec<f64>| parts.iter().map(|part| part * 1e3).collect();
    figures.push(Figure {
        name: "find a tag's 1,000 pages",
        unit: "milliseconds",
        bound: "<= 5",
        parts: milliseconds(parts),
    });
    for (what, tag) in [
        ("list the first 1,000 pages of a tag, with all that is known of each", "thousand"),
        ("the same of the tag of a tenth of the site", "tenth"),
        ("the same of the tag of every page", "all"),
    ] {
        let parts = timed(11, |_| {
            let tag = name(tag, 0);
            let listed = call(bench, ShardCall::TagPages { tag, cursor: None, limit: 1_000 });
            let ShardReply::Pages { pages, .. } = listed else { panic!("no pages") };
            assert_eq!(pages.len(), 1_000);
        });
        figures.push(Figure {
            name: what,
            unit: "milliseconds",
            bound: "",
            parts: milliseconds(parts),
        });
    }
}

/// A fill as a visitor's request makes it: a lease, then a record, each a transaction.
fn fills(bench: &mut Bench, pages: u64, figures: &mut Vec<Figure>) {
    let mut rng = fastrand::Rng::with_seed(2);
    let parts = timed(ROUNDS, |round| {
        for n in 0..10 {
            let page = pages + (round * 10 + n) as u64;
            let path = format!("/section-{}/article-{page}", page % 100);
            let leased = call(bench, ShardCall::Lease(asks(&path, 1)));
            let ShardReply::Lease(LeaseReply::Grant(grant)) = leased else { panic!("{leased:?}") };
            let tags = tags_of(page, pages, &mut rng);
            let record = RecordRequest { tags, ..stored(&path, &grant, &[]) };
            black_box(call(bench, ShardCall::Record(record)));
            black_box(bench.shard.next_wake().unwrap());
        }
    });
    figures.push(Figure {
        name: "single fills, natively: lease, record, next alarm",
        unit: "fills/s",
        bound: "",
        parts: parts.iter().map(|part| 10.0 / part).collect(),
    });
}

/// What a webhook waits for: the journal's transaction, then the shard's. In turns, so that both
/// meet the same machine.
fn acknowledge(bench: &mut Bench, figures: &mut Vec<Figure>) {
    let mut journal = Journal::open(Sqlite::memory(), JournalConfig::default()).unwrap();
    let mut epoch = 1;
    let mut acknowledge = |bench: &mut Bench, name: &str| {
        epoch += 1;
        let began = Instant::now();
        black_box(journal.handle(append(&format!("m{epoch}"), vec![tag(name)]), T0).unwrap());
        black_box(call(bench, ShardCall::Invalidate(fanout(epoch, &[tag(name)]))));
        began.elapsed().as_secs_f64() * 1e6
    };
    let unknown = |bench: &mut Bench, round: usize| {
        let targets: Vec<Target> = (0..1_000).map(|n| tag(&format!("none:{round}.{n}"))).collect();
        let began = Instant::now();
        let call = ShardCall::Invalidate(fanout(1_000 + round as u64, &targets));
        black_box(bench.shard.handle(call, LATER).unwrap());
        began.elapsed().as_secs_f64() * 1e3
    };
    let many_tags = (0..11).map(|round| unknown(bench, round)).collect();
    let (mut one, mut many, mut ratio) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // A page of its own each time, as a site's editor saves one after the other.
        let few = acknowledge(bench, &format!("post:{round}"));
        let all = acknowledge(bench, "tenth:3");
        one.push(few);
        many.push(all);
        ratio.push(all / few);
    }
    figures.push(Figure {
        name: "a shard's part of an ack of 1,000 tags that no page has",
        unit: "milliseconds",
        bound: "",
        parts: many_tags,
    });
    let unit = "microseconds";
    figures.push(Figure { name: "ack of a tag with 1 page", unit, bound: "", parts: one });
    figures.push(Figure {
        name: "ack of a tag with a tenth of the pages",
        unit,
        bound: "",
        parts: many,
    });
    figures.push(Figure {
        name: "the latter by the former",
        unit: "times",
        bound: "<= 1.5",
        parts: ratio,
    });
}
