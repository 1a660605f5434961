//! The journal's rules, each under its name in the simulation, on real SQLite.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::cell::Cell;

use crate::common::sqlite::Sqlite;
use edge_isr::base::sql::{Sql, SqlError, Value};
use edge_isr::base::time::{Epoch, Millis, Timestamp};
use edge_isr::cache::Validity;
use edge_isr::cache::tag::{Tag, Target, TargetHash};
use edge_isr::journal::delta::{Delta, Found};
use edge_isr::journal::view::{Applied, Verdict, View};
use edge_isr::journal::{
    Append, Appended, CalledBy, Journal, JournalCall, JournalConfig, JournalError, JournalReply,
    JournalStatus, LookupRequest, MAX_EPOCH, Mode, REPAIR_MARGIN, SyncRequest,
};

const T0: Timestamp = Timestamp::from_seconds(1_700_000_000);

fn at(millis: u64) -> Timestamp {
    T0.plus(Millis(millis))
}

fn tag(name: &str) -> Target {
    Target::Tag(Tag::parse(name).unwrap())
}

fn append(id: &str, names: &[&str], mode: Mode) -> Append {
    Append {
        id: id.to_owned(),
        body_digest: format!("digest of {names:?}"),
        targets: names.iter().map(|name| tag(name)).collect(),
        mode,
        warm: true,
        reinvalidate_after: Millis::ZERO,
        reason: String::new(),
        uncounted: false,
        unsafe_method: false,
        by: CalledBy::default(),
    }
}

fn config() -> JournalConfig {
    JournalConfig { shards: 2, ..JournalConfig::default() }
}

fn open(sql: &Sqlite) -> Journal<Sqlite> {
    Journal::open(sql.clone(), config()).unwrap()
}

fn add<S: Sql>(journal: &mut Journal<S>, append: Append, now: Timestamp) -> Appended {
    match journal.handle(JournalCall::Append(append), now).unwrap() {
        JournalReply::Appended(appended) => appended,
        other => panic!("{other:?}"),
    }
}

fn sync<S: Sql>(journal: &mut Journal<S>, since: Option<u64>, seen: u64, now: Timestamp) -> Delta {
    let request = SyncRequest { since: since.map(Epoch), seen: Epoch(seen), report: None };
    match journal.handle(JournalCall::Sync(request), now).unwrap() {
        JournalReply::Delta(delta) => delta,
        other => panic!("{other:?}"),
    }
}

fn lookup<S: Sql>(journal: &mut Journal<S>, targets: &[Target]) -> Found {
    let targets = targets.iter().map(Target::hash).collect();
    let call = JournalCall::Lookup(LookupRequest { targets, seen: Epoch::ZERO });
    match journal.handle(call, T0).unwrap() {
        JournalReply::Found(found) => found,
        other => panic!("{other:?}"),
    }
}

fn status<S: Sql>(journal: &mut Journal<S>) -> JournalStatus {
    match journal.handle(JournalCall::Status, T0).unwrap() {
        JournalReply::Status(status) => status,
        other => panic!("{other:?}"),
    }
}

fn row(delta: &Delta, target: &Target) -> Option<(u64, u64, Timestamp)> {
    let hash = target.hash();
    delta.rows.iter().find(|r| r.hash == hash).map(|r| (r.soft.0, r.hard.0, r.soft_at))
}

#[test]
fn receipts() {
    let sql = Sqlite::memory();
    let mut journal = open(&sql);
    let a = append("msg_1", &["post:1"], Mode::Soft);
    let mut other = a.clone();
    other.body_digest = "another".to_owned();
    let rows = [
        ("first", a.clone(), 0, Appended::recorded(Epoch(1))),
        ("the same again", a.clone(), 5, Appended::Repeated { epoch: Epoch(1) }),
        ("the same id, another body", other, 6, Appended::Conflict),
        ("another id", append("msg_2", &["x"], Mode::Hard), 7, Appended::recorded(Epoch(2))),
        ("the first again", a.clone(), 23 * 3_600_000, Appended::Repeated { epoch: Epoch(1) }),
    ];
    for (name, append, millis, want) in rows {
        assert_eq!(add(&mut journal, append, at(millis)), want, "{name}");
    }
    drop(journal);
    // A restart forgets nothing.
    let mut journal = open(&sql);
    assert_eq!(add(&mut journal, a.clone(), at(9)), Appended::Repeated { epoch: Epoch(1) });
    for shard in 0..2 {
        journal.fanned_out(shard, &[Epoch(1)], Epoch(1), at(9)).unwrap();
    }
    // It is kept for the history; when it goes, the epoch stays.
    let (day, kept) = (24 * 3_600_000, config().history_kept.0);
    journal.run_due(at(day + 1)).unwrap();
    let known = add(&mut journal, a.clone(), at(day + 2));
    assert_eq!(known, Appended::Repeated { epoch: Epoch(1) });
    journal.run_due(at(kept + 1)).unwrap();
    assert_eq!(add(&mut journal, a, at(kept + 2)), Appended::recorded(Epoch(3)));
}

#[test]
fn refused_without_a_trace() {
    let mut journal = open(&Sqlite::memory());
    let rows = [
        (append("msg", &[], Mode::Soft), JournalError::NoTargets),
        (append("reinvalidate:1", &["a"], Mode::Soft), JournalError::ReservedId),
        (append("repair:1", &["a"], Mode::Soft), JournalError::ReservedId),
    ];
    for (append, want) in rows {
        let got = journal.handle(JournalCall::Append(append), T0);
        assert_eq!(got, Err(want));
    }
    let wild = SyncRequest { since: None, seen: Epoch(u64::MAX), report: None };
    assert_eq!(
        journal.handle(JournalCall::Sync(wild), T0),
        Err(JournalError::EpochOutOfRange(Epoch(u64::MAX)))
    );
    let beyond =
        SyncRequest { since: None, seen: Epoch(MAX_EPOCH.0 - REPAIR_MARGIN + 1), report: None };
    let seen = beyond.seen;
    let refused = journal.handle(JournalCall::Sync(beyond), T0);
    assert_eq!(refused, Err(JournalError::EpochOutOfRange(seen)));
    assert_eq!(status(&mut journal).head, Epoch::ZERO);
    assert_eq!(status(&mut journal).fanouts_pending, 0);
    // The last one that leaves room for the margin is in range.
    assert_eq!(sync(&mut journal, None, MAX_EPOCH.0 - REPAIR_MARGIN, T0).to, MAX_EPOCH);
}

#[test]
fn an_error_says_what_was_refused() {
    let full = SqlError::Refused("disk full".to_owned());
    let rows = [
        (JournalError::NoTargets, "journal: an invalidation names at least one target"),
        (
            JournalError::ReservedId,
            "journal: ids beginning with reinvalidate: or repair: are its own",
        ),
        (JournalError::EpochOutOfRange(Epoch(9)), "journal: no such epoch: 9"),
    ];
    for (error, want) in rows {
        assert_eq!(error.to_string(), want);
    }
    assert_eq!(JournalError::from(full.clone()).to_string(), format!("journal: {full}"));
}

#[test]
fn the_settings_of_a_site_are_the_journals() {
    // Every isolate has seen an invalidation when the longest bound of any route is over.
    for (routes, seen_within) in [("", 3_000), (r#"{"path": "/slow/*", "max_lag": 9}"#, 9_000)] {
        let text = format!(
            r#"{{"journal_targets": 5000, "shards": 3, "max_lag": 3, "routes": [{routes}],
                "front_caches": [{{"name": "cdn", "provider": "fastly", "service": "s1"}}]}}"#
        );
        let got = JournalConfig::of(&edge_isr::front_caches::parse_config(&text).unwrap());
        let want = JournalConfig {
            max_targets: 5_000,
            shards: 3,
            front_caches: vec!["cdn".to_owned()],
            seen_within: Millis(seen_within),
            ..JournalConfig::default()
        };
        assert_eq!(got, want, "{text}");
    }
}

#[test]
fn keep_both() {
    let mut journal = open(&Sqlite::memory());
    add(&mut journal, append("1", &["a", "b"], Mode::Soft), at(10));
    add(&mut journal, append("2", &["a", "a"], Mode::Hard), at(20));
    let delta = sync(&mut journal, None, 0, at(30));
    assert_eq!(row(&delta, &tag("a")), Some((1, 2, at(10))));
    assert_eq!(row(&delta, &tag("b")), Some((1, 0, at(10))));
    add(&mut journal, append("3", &["a"], Mode::Soft), at(40));
    let delta = sync(&mut journal, None, 0, at(50));
    assert_eq!(row(&delta, &tag("a")), Some((3, 2, at(40))));
    assert_eq!((delta.to, delta.more), (Epoch(3), false));
    assert_eq!(status(&mut journal).targets, 2);
}

#[test]
fn a_delta_covers_the_shared_window() {
    let mut journal = open(&Sqlite::memory());
    for (id, name, millis) in [("1", "a", 0), ("2", "b", 100_000), ("3", "c", 130_000)] {
        add(&mut journal, append(id, &[name], Mode::Soft), at(millis));
    }
    let rows = [
        // since, asked at, base of the answer, rows
        (3, 140_000, 1, 2),
        (2, 140_000, 1, 2),
        (0, 140_000, 0, 3),
        (3, 170_000, 2, 1),
        (3, 500_000, 3, 0),
        (1, 500_000, 1, 2),
    ];
    for (since, millis, base, count) in rows {
        let delta = sync(&mut journal, Some(since), 3, at(millis));
        let got = (delta.since, delta.rows.len(), delta.to, delta.more);
        assert_eq!(got, (Some(Epoch(base)), count, Epoch(3), false), "{since} at {millis}");
    }
}

#[test]
fn epoch_cut() {
    let rows = [
        // Five targets of one epoch are more than a page, and still on one.
        (3, vec![(7, 2), (1, 3)]),
        // A page that is full where an epoch ends has nothing of the next one.
        (2, vec![(2, 1), (5, 2), (1, 3)]),
        (8, vec![(8, 3)]),
    ];
    for (page_rows, want) in rows {
        let config = JournalConfig { page_rows, ..config() };
        let mut journal = Journal::open(Sqlite::memory(), config).unwrap();
        add(&mut journal, append("1", &["a", "b"], Mode::Soft), at(0));
        add(&mut journal, append("2", &["c", "d", "e", "f", "g"], Mode::Soft), at(0));
        add(&mut journal, append("3", &["h"], Mode::Hard), at(0));
        let mut since = None;
        let mut pages = Vec::new();
        loop {
            let delta = sync(&mut journal, since, 3, at(200_000));
            for row in &delta.rows {
                assert!(row.epoch() <= delta.to, "past the page's end");
            }
            pages.push((delta.rows.len(), delta.to.0));
            since = Some(delta.to.0);
            if !delta.more {
                break;
            }
        }
        assert_eq!(pages, want, "pages of {page_rows}");
    }
}

/// Dropped targets' buckets are cut into pages like rows (`floor_sent`), and a page ends where the
/// first of both does.
#[test]
fn a_page_has_as_many_buckets_as_rows() {
    let rows = [
        // max_targets, page_rows; rows, buckets and end of each page.
        (1, 3, vec![(0, 3, 3), (0, 3, 6), (1, 3, 10)]),
        (4, 3, vec![(0, 3, 3), (3, 3, 9), (1, 0, 10)]),
        (4, 2, vec![(0, 2, 2), (0, 2, 4), (2, 2, 8), (2, 0, 10)]),
    ];
    for (max_targets, page_rows, want) in rows {
        let config = JournalConfig { max_targets, page_rows, ..config() };
        let mut journal = Journal::open(Sqlite::memory(), config).unwrap();
        for n in 1..=10u64 {
            let name = format!("post:{n}");
            add(&mut journal, append(&name, &[&name], Mode::Soft), at(n));
        }
        journal.run_due(at(20)).unwrap();
        let mut since = None;
        let mut pages = Vec::new();
        while pages.len() < 9 {
            let delta = sync(&mut journal, since, 10, at(200_000));
            pages.push((delta.rows.len(), delta.buckets.len(), delta.to.0));
            since = Some(delta.to.0);
            if !delta.more {
                break;
            }
        }
        assert_eq!(pages, want, "{max_targets} by name, pages of {page_rows}");
    }
}

#[test]
fn merging_into_buckets() {
    let sql = Sqlite::memory();
    let config = JournalConfig { max_targets: 16, ..config() };
    let mut journal = Journal::open(sql.clone(), config.clone()).unwrap();
    for n in 0..20u64 {
        let name = format!("post:{n}");
        add(&mut journal, append(&name, &[&name], Mode::Soft), at(n));
    }
    assert_eq!(journal.next_wake().unwrap(), Some(Timestamp::ZERO));
    journal.run_due(at(100)).unwrap();
    assert_eq!(status(&mut journal).targets, 15);
    assert_ne!(journal.next_wake().unwrap(), Some(Timestamp::ZERO));
    let delta = sync(&mut journal, None, 0, at(200));
    assert_eq!(delta.rows.len(), 15);
    for n in 0..20u64 {
        let target = tag(&format!("post:{n}"));
        let epoch = Epoch(n + 1);
        let bucket = |buckets: &[edge_isr::journal::delta::Bucket]| {
            buckets.iter().find(|b| b.bucket == target.hash().bucket()).map(|b| b.epoch)
        };
        if n < 5 {
            assert_eq!(row(&delta, &target), None);
            assert!(bucket(&delta.buckets) >= Some(epoch), "post:{n} is lost");
            // floor_sent: look-ups carry the bucket too.
            let found = lookup(&mut journal, std::slice::from_ref(&target));
            assert!(found.rows.is_empty());
            assert!(bucket(&found.buckets) >= Some(epoch));
        } else {
            assert_eq!(row(&delta, &target).map(|row| row.0), Some(epoch.0));
        }
    }
    // Who has epoch 3 gets the buckets after it, and no others.
    let delta = sync(&mut journal, Some(3), 20, at(500_000));
    let mut epochs: Vec<u64> = delta.buckets.iter().map(|bucket| bucket.epoch.0).collect();
    epochs.sort_unstable();
    assert_eq!(epochs, [4, 5]);
    // A dropped target comes back by name.
    add(&mut journal, append("again", &["post:0"], Mode::Hard), at(600));
    assert_eq!(status(&mut journal).targets, 16);
    // As many as it keeps are not too many.
    assert_ne!(journal.next_wake().unwrap(), Some(Timestamp::ZERO));
    drop(journal);
    let mut journal = Journal::open(sql, config).unwrap();
    assert_eq!(status(&mut journal).targets, 16);
    assert_eq!(status(&mut journal).head, Epoch(21));
}

#[test]
fn a_bucket_holds_the_highest_epoch_that_fell_into_it() {
    let mut by_bucket = std::collections::BTreeMap::new();
    let (a, b) = (0..)
        .find_map(|n| {
            let name = format!("post:{n}");
            let before = by_bucket.insert(tag(&name).hash().bucket(), name.clone())?;
            Some((before, name))
        })
        .unwrap();
    let config = JournalConfig { max_targets: 1, ..config() };
    // Both merged at once, or one after the other: the bucket has the later one's epoch.
    for at_once in [true, false] {
        let mut journal = Journal::open(Sqlite::memory(), config.clone()).unwrap();
        for (n, name) in [a.as_str(), "filler:1", b.as_str(), "filler:2"].iter().enumerate() {
            add(&mut journal, append(name, &[name], Mode::Soft), at(n as u64));
            if !at_once {
                journal.run_due(at(10)).unwrap();
            }
        }
        journal.run_due(at(20)).unwrap();
        let found = lookup(&mut journal, &[tag(&a), tag(&b)]);
        assert_eq!((found.rows.len(), found.buckets.len()), (0, 1));
        assert_eq!(found.buckets[0].epoch, Epoch(3), "at once: {at_once}");
        assert_eq!(found.buckets[0].hard, Epoch::ZERO, "at once: {at_once}");
    }
}

/// A bucket distinguishes what fell in hard from what fell in softly.
#[test]
fn a_bucket_is_hard_up_to_the_last_hard_one_that_fell_in() {
    let config = JournalConfig { max_targets: 1, ..config() };
    let sql = Sqlite::memory();
    let mut journal = Journal::open(sql.clone(), config).unwrap();
    let target = tag("post:1");
    let hard = |journal: &mut Journal<Sqlite>| {
        let found = lookup(journal, std::slice::from_ref(&target));
        (found.buckets[0].epoch.0, found.buckets[0].hard.0)
    };
    let steps = [("1", Mode::Soft, (1, 0)), ("2", Mode::Hard, (3, 3)), ("3", Mode::Soft, (5, 3))];
    for (id, mode, want) in steps {
        add(&mut journal, append(id, &["post:1"], mode), at(1));
        let filler = format!("filler:{id}");
        add(&mut journal, append(&filler, &[&filler], Mode::Soft), at(2));
        journal.run_due(at(3)).unwrap();
        assert_eq!(hard(&mut journal), want, "{id}");
    }
}

#[test]
fn incarnation() {
    let dir = std::env::temp_dir().join(format!("edge-isr-incarnation-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (live, copy) = (dir.join("live.db"), dir.join("backup.db"));
    let mut journal = open(&Sqlite::file(&live));
    add(&mut journal, append("1", &["a"], Mode::Soft), at(0));
    std::fs::copy(&live, &copy).unwrap();
    for n in 2..=5 {
        add(&mut journal, append(&n.to_string(), &["a"], Mode::Soft), at(n));
    }
    drop(journal);
    let mut restored = open(&Sqlite::file(&copy));
    assert_eq!(restored.head(), Epoch(1));
    // Who has not heard of more notices nothing.
    assert_eq!(sync(&mut restored, Some(1), 1, at(10)).to, Epoch(1));
    let delta = sync(&mut restored, Some(5), 5, at(20));
    let next = 5 + REPAIR_MARGIN;
    assert_eq!(delta.to, Epoch(next));
    assert_eq!(row(&delta, &Target::All), Some((0, next, Timestamp::ZERO)));
    assert_eq!(status(&mut restored).repairs, 1);
    // Once is enough, and later epochs follow.
    assert_eq!(sync(&mut restored, Some(4), 5, at(30)).to, Epoch(next));
    assert_eq!(
        add(&mut restored, append("6", &["b"], Mode::Soft), at(40)),
        Appended::recorded(Epoch(next + 1))
    );
    assert_eq!(status(&mut restored).repairs, 1);
    // A look-up and a shard's word do the same.
    let call = JournalCall::Lookup(LookupRequest { targets: vec![], seen: Epoch(next + 9) });
    restored.handle(call, at(50)).unwrap();
    restored.fanned_out(0, &[Epoch(1)], Epoch(next + 9_000), at(60)).unwrap();
    assert_eq!(status(&mut restored).repairs, 3);
    assert_eq!(restored.head(), Epoch(next + 9_000 + REPAIR_MARGIN));
    drop(restored);
    assert_eq!(status(&mut open(&Sqlite::file(&copy))).repairs, 3, "how often is not forgotten");
    std::fs::remove_dir_all(&dir).unwrap();
}

/// A journal that is restored between two pages of a snapshot: what had changed since the first,
/// and so was not in it, has its old epoch again, and is not past the first page.
#[test]
fn incarnation_between_two_pages_of_a_snapshot() {
    let dir = std::env::temp_dir().join(format!("edge-isr-pages-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (live, copy) = (dir.join("live.db"), dir.join("backup.db"));
    let config = JournalConfig { page_rows: 1, ..JournalConfig::default() };
    let mut journal = Journal::open(Sqlite::file(&live), config.clone()).unwrap();
    add(&mut journal, append("1", &["b"], Mode::Soft), at(0));
    add(&mut journal, append("2", &["x"], Mode::Soft), at(1));
    std::fs::copy(&live, &copy).unwrap();
    add(&mut journal, append("3", &["b"], Mode::Soft), at(2));
    let mut view = View::new(100);
    let ask = |journal: &mut Journal<Sqlite>, view: &mut View, now| {
        let reply = journal.handle(JournalCall::Sync(view.request()), now).unwrap();
        let JournalReply::Delta(delta) = reply else { panic!("{reply:?}") };
        view.apply(&delta, now, true)
    };
    assert_eq!(ask(&mut journal, &mut view, at(3)), Applied::Page);
    drop(journal);
    let mut restored = Journal::open(Sqlite::file(&copy), config).unwrap();
    while ask(&mut restored, &mut view, at(4)) == Applied::Page {}
    assert_eq!(status(&mut restored).repairs, 1);
    let (b, all) = (tag("b").hash(), Target::All.hash());
    let health = view.health(at(5), Millis(2_000), Millis(1_000));
    let validity = view.validity(&[b, all], Epoch::ZERO, health, at(5), Millis(2_000));
    assert!(matches!(validity, Verdict::Known(Validity::Hard { .. })), "{validity:?}");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn second_epoch() {
    let sql = Sqlite::memory();
    let mut journal = open(&sql);
    let mut first = append("1", &["a", "b"], Mode::Hard);
    first.reinvalidate_after = Millis(5_000);
    first.reason = "import".to_owned();
    add(&mut journal, first, at(0));
    for shard in 0..2 {
        journal.fanned_out(shard, &[Epoch(1)], Epoch(1), at(10)).unwrap();
    }
    assert_eq!(journal.next_wake().unwrap(), Some(at(5_000)));
    journal.run_due(at(4_999)).unwrap();
    assert_eq!(journal.head(), Epoch(1));
    drop(journal);
    let mut journal = open(&sql);
    journal.run_due(at(5_000)).unwrap();
    assert_eq!(journal.head(), Epoch(2));
    let delta = sync(&mut journal, Some(1), 2, at(5_001));
    assert_eq!(row(&delta, &tag("b")).map(|row| row.1), Some(2));
    assert_eq!(journal.due_shards(at(5_000)).unwrap(), [0, 1]);
    let fanouts = journal.pending_fanouts(0, at(5_000)).unwrap();
    assert_eq!(fanouts.len(), 1);
    assert_eq!(fanouts[0].targets, [tag("a"), tag("b")]);
    assert_eq!((fanouts[0].epoch, fanouts[0].mode, fanouts[0].warm), (Epoch(2), Mode::Hard, true));
    let JournalReply::Job { job: Some(job) } =
        journal.handle(JournalCall::Job { id: "1".to_owned() }, at(5_002)).unwrap()
    else {
        panic!("no job")
    };
    assert_eq!(job.invalidation.reinvalidated_by.as_deref(), Some(fanouts[0].job.as_str()));
    assert_eq!((job.reinvalidation_at, job.shards_pending, job.invalidation.targets), (None, 0, 2));
    // Once.
    journal.run_due(at(99_000)).unwrap();
    assert_eq!(journal.head(), Epoch(2));
}

#[test]
fn the_outbox_owes_until_taken() {
    let sql = Sqlite::memory();
    let mut journal = open(&sql);
    add(&mut journal, append("1", &["a"], Mode::Soft), at(0));
    let pending = |journal: &Journal<Sqlite>, now| -> Vec<(u64, u16)> {
        let shards = journal.due_shards(now).unwrap();
        let fanouts = shards.iter().flat_map(|shard| journal.pending_fanouts(*shard, now).unwrap());
        fanouts.map(|fanout| (fanout.epoch.0, fanout.shard)).collect()
    };
    assert_eq!(pending(&journal, at(0)), [(1, 0), (1, 1)]);
    journal.fanout_failed(0, at(0)).unwrap();
    assert_eq!(pending(&journal, at(499)), [(1, 1)]);
    journal.fanned_out(1, &[Epoch(1)], Epoch(1), at(1)).unwrap();
    assert_eq!(journal.next_wake().unwrap(), Some(at(500)));
    drop(journal);
    let mut journal = open(&sql);
    assert_eq!(pending(&journal, at(500)), [(1, 0)]);
    // It backs off, up to a minute.
    let mut now = at(500);
    for pause in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
        journal.fanout_failed(0, now).unwrap();
        now = now.plus(Millis(pause));
        assert_eq!(journal.next_wake().unwrap(), Some(now));
    }
    // A job with something pending is not forgotten.
    journal.run_due(at(48 * 3_600_000)).unwrap();
    assert_eq!(pending(&journal, at(48 * 3_600_000)), [(1, 0)]);
    journal.fanned_out(0, &[Epoch(1)], Epoch(1), at(2)).unwrap();
    assert_eq!(pending(&journal, at(48 * 3_600_000)), []);
}

#[test]
fn ten_thousand_targets_are_one_epoch() {
    let mut journal = open(&Sqlite::memory());
    let names: Vec<String> = (0..10_000).map(|n| format!("product:{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    add(&mut journal, append("1", &names, Mode::Soft), at(0));
    add(&mut journal, append("2", &names, Mode::Hard), at(1));
    assert_eq!(status(&mut journal).targets, 10_000);
    let delta = sync(&mut journal, None, 0, at(2));
    assert_eq!((delta.rows.len(), delta.to), (10_000, Epoch(2)));
    let found = lookup(&mut journal, &names.iter().map(|n| tag(n)).collect::<Vec<_>>()[..150]);
    assert_eq!(found.rows.len(), 150);
    let fanouts = journal.pending_fanouts(0, at(2)).unwrap();
    assert_eq!(fanouts[0].targets.len(), 10_000);
    assert_eq!(fanouts[0].targets[9_999], tag("product:9999"));
    assert_eq!(fanouts.len(), 1, "two of them are more than one message");
}

#[test]
fn what_is_due_to_a_shard_goes_in_few_messages_and_waits_together() {
    let mut journal = open(&Sqlite::memory());
    for n in 0..120u64 {
        add(&mut journal, append(&format!("{n}"), &["a"], Mode::Soft), at(n));
    }
    let mut sizes = Vec::new();
    loop {
        let batch = journal.pending_fanouts(1, at(200)).unwrap();
        let epochs: Vec<Epoch> = batch.iter().map(|fanout| fanout.epoch).collect();
        assert!(epochs.is_sorted());
        let Some(last) = epochs.last() else { break };
        sizes.push(batch.len());
        journal.fanned_out(1, &epochs, *last, at(201)).unwrap();
    }
    assert_eq!(sizes, [100, 20]);
    assert_eq!(journal.due_shards(at(200)).unwrap(), [0]);
    // A shard that is down: what comes meanwhile waits with the rest, and nothing wakes for it.
    journal.fanout_failed(0, at(300)).unwrap();
    add(&mut journal, append("later", &["b"], Mode::Soft), at(310));
    assert_eq!(journal.due_shards_of(Epoch(121), at(310)).unwrap(), [1]);
    journal.fanned_out(1, &[Epoch(121)], Epoch(121), at(311)).unwrap();
    assert_eq!(journal.next_wake().unwrap(), Some(at(800)));
    assert_eq!(journal.pending_fanouts(0, at(800)).unwrap().len(), 100);
}

#[test]
fn a_message_has_as_many_invalidations_as_name_ten_thousand_targets() {
    let mut journal = open(&Sqlite::memory());
    let names: Vec<String> = (0..5_000).map(|n| format!("product:{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (id, names) in [("1", &names[..]), ("2", &names[..]), ("3", &names[..1])] {
        add(&mut journal, append(id, names, Mode::Soft), at(0));
    }
    let batch = journal.pending_fanouts(0, at(1)).unwrap();
    assert_eq!(batch.iter().map(|fanout| fanout.epoch.0).collect::<Vec<_>>(), [1, 2]);
}

/// Whether an invalidation's targets are kept.
fn keeps_targets(sql: &Sqlite, epoch: i64) -> bool {
    let query = "SELECT 1 FROM job_part WHERE epoch = ?";
    !sql.exec(query, &[Value::Integer(epoch)]).unwrap().is_empty()
}

#[test]
fn targets_are_kept_for_as_long_as_someone_is_owed_them() {
    let sql = Sqlite::memory();
    let config = JournalConfig { front_caches: vec!["cdn".to_owned()], ..config() };
    let mut journal = Journal::open(sql.clone(), config).unwrap();
    add(
        &mut journal,
        Append { reinvalidate_after: Millis(5_000), ..append("1", &["a"], Mode::Soft) },
        at(0),
    );
    for shard in 0..2 {
        assert!(keeps_targets(&sql, 1), "shard {shard} has not taken them");
        journal.fanned_out(shard, &[Epoch(1)], Epoch(1), at(1)).unwrap();
    }
    assert!(
        keeps_targets(&sql, 1),
        "the front_cache has not taken them, and a second epoch is due"
    );
    journal.front_cache_done("cdn", &[Epoch(1)]).unwrap();
    assert!(keeps_targets(&sql, 1), "a second epoch is due");
    journal.run_due(at(5_000)).unwrap();
    assert_eq!((keeps_targets(&sql, 1), keeps_targets(&sql, 2)), (false, true));
    for shard in 0..2 {
        journal.fanned_out(shard, &[Epoch(2)], Epoch(2), at(5_001)).unwrap();
    }
    assert!(keeps_targets(&sql, 2), "the front_cache has not taken them");
    journal.front_cache_done("cdn", &[Epoch(2)]).unwrap();
    assert!(!keeps_targets(&sql, 2));
}

#[test]
fn a_reply_is_logged_by_its_name_on_the_wire() {
    let delta = sync(&mut open(&Sqlite::memory()), None, 0, T0);
    let replies = [
        JournalReply::Delta(delta),
        JournalReply::Found(Found { head: Epoch(3), rows: vec![], buckets: vec![] }),
        JournalReply::Appended(Appended::Conflict),
        JournalReply::Job { job: None },
        JournalReply::Done,
        JournalReply::Status(JournalStatus::default()),
    ];
    for reply in replies {
        let text = serde_json::to_string(&reply).unwrap();
        let name = text.trim_start_matches(['{', '"']).split('"').next();
        assert_eq!(Some(reply.name()), name, "{text}");
    }
}

#[test]
fn a_front_cache_is_owed_each_target_once_or_everything() {
    let names = |count: usize| (0..count).map(|n| format!("post:{n}")).collect::<Vec<_>>();
    let few = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let targets = |names: &[String]| names.iter().map(|name| tag(name)).collect::<Vec<_>>();
    let (soft, hard) = (Mode::Soft, Mode::Hard);
    let rows = [
        (
            "soft",
            vec![(soft, few(&["a", "b"])), (soft, few(&["b", "c"]))],
            soft,
            few(&["a", "b", "c"]),
        ),
        ("one is hard", vec![(hard, few(&["a"])), (soft, few(&["b"]))], hard, few(&["a", "b"])),
        ("as many as are named", vec![(soft, names(500))], soft, names(500)),
        ("more", vec![(soft, names(501))], soft, vec![]),
        ("more together", vec![(soft, names(500)), (soft, few(&["a"]))], soft, vec![]),
    ];
    for (name, invalidations, mode, want) in rows {
        let config = JournalConfig { front_caches: few(&["cdn"]), ..config() };
        let sql = Sqlite::memory();
        let mut journal = Journal::open(sql.clone(), config).unwrap();
        assert_eq!(journal.front_cache_due("cdn", at(0)).unwrap(), None, "{name}");
        for (n, (mode, names)) in invalidations.iter().enumerate() {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            add(&mut journal, append(&n.to_string(), &names, *mode), at(n as u64));
        }
        let count = invalidations.len() as u64;
        let pending = journal.front_cache_due("cdn", at(5_000)).unwrap().unwrap();
        // An empty list stands for everything.
        let want = if want.is_empty() { vec![Target::All] } else { targets(&want) };
        assert_eq!((pending.mode, &pending.targets), (mode, &want), "{name}");
        assert_eq!((pending.epochs.len() as u64, pending.at), (count, at(count - 1)), "{name}");
        // What an invalidation named is lost: it may have been anything.
        sql.exec("DELETE FROM job_part WHERE epoch = 1", &[]).unwrap();
        let pending = journal.front_cache_due("cdn", at(5_000)).unwrap().unwrap();
        assert_eq!(pending.targets, [Target::All], "{name}");
    }
}

#[test]
fn a_front_cache_that_answers_again_is_well() {
    let config = JournalConfig { front_caches: vec!["cdn".to_owned()], ..config() };
    let mut journal = Journal::open(Sqlite::memory(), config).unwrap();
    for id in ["1", "2"] {
        add(&mut journal, append(id, &["a"], Mode::Soft), at(0));
    }
    let fail = |journal: &Journal<Sqlite>, millis| {
        journal.front_cache_failed("cdn", "503", None, at(millis)).unwrap();
        journal.front_cache_wake("cdn").unwrap()
    };
    assert_eq!(fail(&journal, 5_000), Some(at(6_000)));
    assert_eq!(fail(&journal, 6_000), Some(at(8_000)), "each pause is twice the one before");
    let state = |journal: &mut Journal<Sqlite>| status(journal).front_caches.pop().unwrap();
    let failing = state(&mut journal);
    assert_eq!((failing.waiting, failing.failure.as_deref()), (2, Some("503")));
    journal.front_cache_done("cdn", &[Epoch(1)]).unwrap();
    let well = state(&mut journal);
    assert_eq!((well.waiting, well.failure), (1, None));
    assert_eq!(fail(&journal, 8_000), Some(at(9_000)), "pauses begin anew");
    journal.front_cache_done("cdn", &[Epoch(2)]).unwrap();
    assert_eq!(journal.front_cache_wake("cdn").unwrap(), None);
}

/// A call that a front cache takes its time for: it is asked after until it is done, or lost.
#[test]
fn a_front_cache_is_asked_after_what_it_is_at() {
    let config = JournalConfig { front_caches: vec!["cdn".to_owned()], ..config() };
    let mut journal = Journal::open(Sqlite::memory(), config).unwrap();
    for id in ["1", "2"] {
        add(&mut journal, append(id, &["a"], Mode::Soft), at(0));
    }
    let due = |journal: &Journal<Sqlite>| {
        let pending = journal.front_cache_due("cdn", at(90_000)).unwrap();
        pending.map_or(0, |pending| pending.epochs.len())
    };
    let call = |journal: &Journal<Sqlite>, millis| {
        journal.front_cache_call("cdn", at(millis)).unwrap().map(|(_, carried)| carried)
    };
    journal.front_cache_sent("cdn", &[Epoch(1), Epoch(2)], "call", at(5_000)).unwrap();
    assert_eq!((due(&journal), call(&journal, 9_999), call(&journal, 10_000)), (0, None, Some(2)));
    assert_eq!(journal.front_cache_call("cdn", at(10_000)).unwrap().unwrap().0, "call");
    let mut now = 10_000;
    for pause in [10_000, 20_000, 40_000, 60_000, 60_000] {
        journal.front_cache_call_waits("cdn", "call", Some("503"), at(now)).unwrap();
        now += pause;
        assert_eq!((call(&journal, now - 1), call(&journal, now)), (None, Some(2)), "{pause}");
        assert_eq!(journal.front_cache_wake("cdn").unwrap(), Some(at(now)));
    }
    let state = status(&mut journal).front_caches.pop().unwrap();
    assert_eq!((state.waiting, state.in_progress), (2, 2));
    assert_eq!(state.failure.as_deref(), Some("503"));
    // Lost: what it carried is due again, and what it gets anew can be done.
    journal.front_cache_call_lost("cdn", "call").unwrap();
    assert_eq!((due(&journal), call(&journal, now)), (2, None));
    journal.front_cache_sent("cdn", &[Epoch(1), Epoch(2)], "again", at(now)).unwrap();
    journal.front_cache_call_done("cdn", "again").unwrap();
    assert_eq!((due(&journal), call(&journal, now + 90_000)), (0, None));
    assert_eq!(status(&mut journal).front_caches.pop().unwrap().waiting, 0);
}

#[test]
fn a_front_cache_that_is_no_longer_set_is_owed_nothing() {
    let sql = Sqlite::memory();
    let of = |names: &[&str]| {
        let front_caches = names.iter().map(|&name| name.to_owned()).collect();
        Journal::open(sql.clone(), JournalConfig { front_caches, ..config() }).unwrap()
    };
    add(&mut of(&["cdn", "old"]), append("1", &["a"], Mode::Soft), at(0));
    drop(of(&["cdn"]));
    let journal = of(&["cdn", "old"]);
    let due =
        |name| journal.front_cache_due(name, at(5_000)).unwrap().map(|pending| pending.epochs);
    assert_eq!((due("cdn"), due("old")), (Some(vec![Epoch(1)]), None));
}

/// A site that has fewer shards now: the old ones have pages until they have handed them over, and
/// jobs of before name them for as long as receipts are kept.
#[test]
fn fewer_shards_are_fewer_once_nothing_is_left_of_the_others() {
    let sql = Sqlite::memory();
    let of = |shards| Journal::open(sql.clone(), JournalConfig { shards, ..config() }).unwrap();
    let day = config().receipt_ttl.0;
    let reach = |journal: &Journal<Sqlite>, millis| journal.reach(at(millis)).unwrap();
    assert_eq!(reach(&of(3), 0), 3);
    let mut journal = of(2);
    assert_eq!((reach(&journal, 0), journal.next_wake().unwrap()), (3, Some(Timestamp::ZERO)));
    journal.run_due(at(0)).unwrap();
    assert_eq!((reach(&journal, 0), journal.moving().unwrap()), (3, 3));
    let places = journal.due_moves(at(0)).unwrap();
    let shards: Vec<u16> = places.iter().map(|place| place.shard).collect();
    assert_eq!((shards, places[0].shards, places[0].at), (vec![0, 1, 2], 2, at(0)));
    // One is not done, and is asked again after ten seconds.
    for place in &places {
        journal.moved(*place, place.shard != 2, at(5)).unwrap();
    }
    assert_eq!(journal.moving().unwrap(), 1);
    assert_eq!(journal.due_moves(at(10_004)).unwrap(), []);
    assert_eq!(journal.due_moves(at(10_005)).unwrap(), [places[2]]);
    assert_eq!(reach(&journal, day), 3, "one has pages of others");
    journal.moved(places[2], true, at(10_006)).unwrap();
    for journal in [journal, of(2)] {
        assert_eq!((reach(&journal, day - 1), reach(&journal, day)), (3, 2));
    }
}

/// A database whose n-th write fails.
struct Failing {
    inner: Sqlite,
    writes_left: Cell<u32>,
}

impl Sql for &Failing {
    fn exec(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, SqlError> {
        let write = ["INSERT", "UPDATE", "DELETE"].iter().any(|verb| statement.starts_with(verb));
        if write {
            match self.writes_left.get() {
                0 => return Err(SqlError::Refused("disk full".to_owned())),
                left => self.writes_left.set(left - 1),
            }
        }
        self.inner.exec(statement, parameters)
    }

    fn transaction<T, E: From<SqlError>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.inner.transaction(work)
    }

    fn size(&self) -> u64 {
        self.inner.size()
    }
}

#[test]
fn durable_visible() {
    // Whichever write of an append fails, nobody sees the epoch, and the retry gets it.
    let mut failed = 0;
    for writes in 0..20 {
        let sql = Failing { inner: Sqlite::memory(), writes_left: Cell::new(u32::MAX) };
        let mut journal = Journal::open(&sql, config()).unwrap();
        add(&mut journal, append("0", &["x"], Mode::Soft), at(0));
        let mut second = append("1", &["a", "x"], Mode::Soft);
        second.reinvalidate_after = Millis(1);
        sql.writes_left.set(writes);
        let outcome = journal.handle(JournalCall::Append(second.clone()), at(1));
        sql.writes_left.set(u32::MAX);
        if outcome.is_ok() {
            break;
        }
        failed += 1;
        assert_eq!(journal.head(), Epoch(1));
        let delta = sync(&mut journal, None, 0, at(2));
        assert_eq!((delta.to, delta.rows.len()), (Epoch(1), 1));
        assert_eq!(row(&delta, &tag("x")), Some((1, 0, at(0))));
        assert_eq!(status(&mut journal).fanouts_pending, 2);
        assert_eq!(add(&mut journal, second, at(3)), Appended::recorded(Epoch(2)));
        assert_eq!(status(&mut journal).targets, 2);
    }
    assert!(failed >= 5, "an append writes its stamps, job, targets, outbox, second epoch, head");
}

#[test]
fn messages_of_neighbouring_versions() {
    // A field that this version does not know, and fields that an older version does not send.
    let call: JournalCall = serde_json::from_str(
        r#"{"append":{"id":"1","body_digest":"d","mode":"hard","new_field":1,
            "targets":[{"tag":"a"},"all"]}}"#,
    )
    .unwrap();
    let JournalCall::Append(append) = &call else { panic!("{call:?}") };
    assert_eq!(append.targets, [tag("a"), Target::All]);
    assert!(!append.warm);
    let old: Appended = serde_json::from_str(r#"{"new":{"epoch":7,"pages":1,"later":2}}"#).unwrap();
    let Appended::New { pages: Some(1), .. } = old else { panic!("{old:?}") };
    let call: JournalCall = serde_json::from_str(r#"{"sync":{}}"#).unwrap();
    assert_eq!(call, JournalCall::Sync(SyncRequest::default()));
    for unknown in [r#"{"of_a_later_version":{}}"#, r#""of_a_later_version""#] {
        assert!(serde_json::from_str::<JournalCall>(unknown).is_err(), "{unknown}");
    }
    let call: JournalCall = serde_json::from_str(r#""status""#).unwrap();
    assert_eq!(call, JournalCall::Status);
    let replies = [
        JournalReply::Appended(Appended::recorded(Epoch(7))),
        JournalReply::Appended(Appended::Conflict),
        JournalReply::Appended(Appended::New {
            epoch: Epoch(7),
            pages: Some(2),
            warming: Some(1),
            unknown: None,
        }),
        JournalReply::Job { job: None },
        JournalReply::Found(Found { head: Epoch(3), rows: vec![], buckets: vec![] }),
        JournalReply::Status(JournalStatus::default()),
        JournalReply::Done,
    ];
    for reply in replies {
        let text = serde_json::to_string(&reply).unwrap();
        assert_eq!(serde_json::from_str::<JournalReply>(&text).unwrap(), reply, "{text}");
    }
    let lookup = JournalCall::Lookup(LookupRequest {
        targets: vec![TargetHash(u64::MAX), TargetHash(1)],
        seen: Epoch(2),
    });
    let text = serde_json::to_string(&lookup).unwrap();
    assert_eq!(serde_json::from_str::<JournalCall>(&text).unwrap(), lookup, "{text}");
}
