//! The rules of the warm queue, each under its name in the simulation, on real SQLite.

#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::shard::{
    Bench, HOUR, asks, at, fanout, key, page, result_of, selection, stored, tag,
};
use edge_isr::base::sql::{Sql, Value};
use edge_isr::base::time::{Epoch, Millis, Timestamp};
use edge_isr::cache::key::Selection;
use edge_isr::cache::tag::Target;
use edge_isr::http::Fields;
use edge_isr::index::lease::{Holder, Version};
use edge_isr::index::warm::{FIRST_PAUSE, LONGEST_PAUSE, WarmStep, WarmTarget, next, pause, retry};
use edge_isr::index::{
    LeaseReply, LeaseRequest, Outcome, RecordRequest, ShardCall, ShardReply, WarmRequest,
    WarmResult,
};

fn needs(path: &str, need: u64) -> LeaseRequest {
    LeaseRequest { need: Epoch(need), ..asks(path, need) }
}

#[test]
fn what_happens_to_a_queued_warm() {
    let version = |stamp, fence| Some(Version { stamp: Epoch(stamp), fence });
    let holder = |stamp, until| Some(Holder { fence: 9, stamp: Epoch(stamp), until: at(until) });
    let rows = [
        ("nothing stored", 5, 0, None, None, 0, WarmStep::Fetch),
        ("stored, older", 5, 0, version(4, 1), None, 0, WarmStep::Fetch),
        ("stored, new enough", 5, 0, version(5, 1), None, 0, WarmStep::Done),
        ("stored, but that copy is why", 5, 1, version(5, 1), None, 0, WarmStep::Fetch),
        ("warm_waits", 5, 0, version(4, 1), holder(5, 2_000), 0, WarmStep::Wait(at(2_000))),
        ("a holder that began before", 5, 0, version(4, 1), holder(4, 2_000), 0, WarmStep::Fetch),
        ("a holder whose lease ended", 5, 0, version(4, 1), holder(5, 1_000), 0, WarmStep::Fetch),
        ("tried too often", 5, 0, None, None, 3, WarmStep::GiveUp),
        (
            "tried too often, but another fetches",
            5,
            0,
            None,
            holder(5, 2_000),
            3,
            WarmStep::Wait(at(2_000)),
        ),
        ("tried too often, but it is there", 5, 0, version(6, 1), None, 3, WarmStep::Done),
    ];
    for (name, epoch, above_fence, stored, holder, attempts, want) in rows {
        let wanted = WarmTarget { epoch: Epoch(epoch), above_fence };
        assert_eq!(next(wanted, stored, holder, attempts, 3, at(1_000)), want, "{name}");
    }
}

#[test]
fn pauses() {
    let mut spread = std::collections::BTreeSet::new();
    for n in 0..50 {
        let variant = key(&format!("/{n}")).digest();
        let mut whole = FIRST_PAUSE.0;
        for attempts in 1..=12 {
            let pause = pause(&variant, attempts).0;
            let most = whole.min(LONGEST_PAUSE.0);
            assert!(pause >= most - most / 4 && pause <= most + most / 4, "{attempts}: {pause}");
            spread.insert(pause);
            whole *= 3;
        }
    }
    assert!(spread.len() > 400, "the spread is from variant and attempt");
    let variant = key("/").digest();
    assert_eq!(pause(&variant, 2), pause(&variant, 2));
    assert!(pause(&variant, u32::MAX) <= Millis(LONGEST_PAUSE.0 * 5 / 4));
    assert_eq!(retry(&variant, 3, 3, at(0)), None);
    assert_eq!(retry(&variant, 2, 3, at(0)), Some(at(0).plus(pause(&variant, 2))));
}

#[test]
fn the_way_of_a_warm() {
    let mut bench = Bench::new();
    for path in ["/a", "/b"] {
        bench.fill(path, 1, &["x"], 0);
    }
    bench.fill("/c", 1, &["y"], 0);
    let answer = bench.invalidate(fanout(2, &[tag("x")]), 10);
    assert_eq!((answer.pages, answer.warming, answer.complete), (2, 2, true));
    assert_eq!(answer.seen, Epoch(2));
    let tasks = bench.take(11);
    assert_eq!(tasks.len(), 2);
    assert!(bench.take(11).is_empty());
    assert_eq!((bench.job("job2", 11).running, bench.job("job2", 11).queued), (2, 0));
    let task = &tasks[0];
    assert_eq!((task.page.clone(), task.key.clone()), (page("/a"), key("/a")));
    assert_eq!((task.epoch, task.stamp, task.attempts), (Epoch(2), Epoch(2), 0));
    assert_eq!(task.request.get("accept"), Some("text/html"));
    assert_eq!(task.tags, crate::common::shard::tags(&["x"]));
    // The lease is taken: a visitor waits.
    assert!(matches!(bench.lease(needs("/a", 2), 12), LeaseReply::Wait { .. }));
    bench.warmed(&tasks[0], 13);
    assert_eq!(bench.ready(needs("/a", 2), 14).fence, task.fence);
    assert_eq!(bench.job("job2", 14).done, 1);
    bench.warmed(&tasks[1], 15);
    let job = bench.job("job2", 16);
    assert_eq!((job.done, job.total, job.complete), (2, 2, true));
    // inherit_tags: the results had none.
    assert_eq!(bench.tag_pages("x"), ["/a", "/b"]);
    assert_eq!(bench.by_url("example.com/a")[0].variants[0].warmed_at, Some(at(13)));
}

#[test]
fn an_invalidation_without_warm() {
    let mut bench = Bench::new();
    bench.fill("/a", 1, &["x"], 0);
    let answer =
        bench.invalidate(edge_isr::journal::Fanout { warm: false, ..fanout(2, &[tag("x")]) }, 10);
    assert_eq!((answer.pages, answer.warming, answer.complete), (1, 0, true));
    assert!(bench.take(11).is_empty());
    // What is stored no longer helps who knows of it.
    assert_eq!(bench.granted(needs("/a", 2), 12).stamp, Epoch(2));
}

#[test]
fn warm_cas() {
    let mut bench = Bench::new();
    bench.fill("/a", 1, &["x"], 0);
    bench.invalidate(fanout(2, &[tag("x")]), 10);
    let task = bench.take_one(11);
    bench.invalidate(fanout(3, &[tag("x")]), 12);
    // It was started for epoch 2: epoch 3 is not done, and starts at once.
    bench.warmed(&task, 13);
    assert_eq!(bench.job("job2", 13).superseded, 1);
    assert_eq!(bench.job("job3", 13).queued, 1);
    let task = bench.take_one(13);
    assert_eq!((task.epoch, task.stamp, task.attempts), (Epoch(3), Epoch(3), 0));
    // A failure of an overtaken try costs the newer one nothing.
    bench.invalidate(fanout(4, &[tag("x")]), 14);
    bench.failed(&task, 15);
    let task = bench.take_one(15);
    assert_eq!((task.epoch, task.attempts), (Epoch(4), 0));
    bench.warmed(&task, 16);
    assert_eq!(bench.job("job4", 17).done, 1);
    assert_eq!(bench.job("job3", 17).superseded, 1);
}

#[test]
fn fan_outs_in_any_order() {
    let mut bench = Bench::new();
    bench.fill("/a", 1, &["x"], 0);
    bench.invalidate(fanout(5, &[tag("x")]), 1);
    bench.invalidate(fanout(4, &[tag("x")]), 2);
    assert_eq!(bench.job("job4", 3).superseded, 1);
    let task = bench.take_one(3);
    assert_eq!(task.epoch, Epoch(5));
    bench.warmed(&task, 4);
    assert_eq!(bench.job("job5", 4).done, 1);
    // One that comes after all of it has nothing to do: the copy is newer.
    let answer = bench.invalidate(fanout(3, &[tag("x")]), 5);
    assert_eq!((answer.pages, answer.warming), (0, 0));
}

#[test]
fn receipts_of_fan_outs() {
    let mut bench = Bench::new();
    bench.fill("/a", 1, &["x"], 0);
    let first = bench.invalidate(fanout(2, &[tag("x")]), 1);
    let mut bench = bench.restart();
    assert_eq!(bench.invalidate(fanout(2, &[tag("x")]), 2), first);
    let task = bench.take_one(3);
    bench.warmed(&task, 4);
    bench.invalidate(fanout(2, &[tag("x")]), 5);
    assert!(bench.take(6).is_empty());
    assert_eq!(bench.job("job2", 7).total, 1);
}

#[test]
fn warm_waits() {
    let mut bench = Bench::new();
    bench.fill("/a", 1, &["x"], 0);
    // A visitor's fetch that already knows of epoch 2 is under way.
    let grant = bench.granted(needs("/a", 2), 1);
    bench.invalidate(fanout(2, &[tag("x")]), 2);
    assert!(bench.take(3).is_empty());
    assert_eq!(bench.job("job2", 3).queued, 1);
    assert_eq!(bench.shard.next_wake().unwrap(), Some(at(10_001)));
    // It fails: the warm goes on at once, not when the lease would have ended.
    bench.release("/a", grant.fence, 4);
    assert_eq!(bench.shard.next_wake().unwrap(), Some(at(4)));
    let task = bench.take_one(4);
    bench.failed(&task, 5);
    // It succeeds: the warm is done without a fetch of its own.
    let grant = bench.granted(needs("/a", 2), 6);
    assert!(bench.record(stored("/a", &grant, &["x"]), 7).accepted);
    assert_eq!(bench.job("job2", 8).done, 1);
    assert!(bench.take(60_000).is_empty());
}

#[test]
fn a_visitors_failure_does_not_hurry_a_warm_that_backs_off() {
    let mut bench = Bench::new();
    bench.fill("/a", 1, &["x"], 0);
    bench.invalidate(fanout(2, &[tag("x")]), 1);
    let task = bench.take_one(2);
    bench.failed(&task, 3);
    let due = bench.shard.next_wake().unwrap().unwrap();
    assert_eq!(due, at(3).plus(pause(&task.variant, 1)));
    let grant = bench.granted(needs("/a", 2), 4);
    bench.release("/a", grant.fence, 5);
    assert_eq!(bench.shard.next_wake().unwrap(), Some(due));
}

#[test]
fn rec_fanout() {
    // name; the fill's targets; what is fanned out while it is under way; whether it is overtaken
    let rows = [
        ("a tag it turns out to carry", tag("x"), true),
        ("its URL", Target::Url("example.com/a/b".to_owned()), true),
        ("a prefix of it", Target::Prefix("example.com/a/".to_owned()), true),
        ("its host", Target::Host("example.com".to_owned()), true),
        ("everything", Target::All, true),
        ("another tag", tag("y"), false),
        ("another prefix", Target::Prefix("example.com/b/".to_owned()), false),
    ];
    for (name, target, overtaken) in rows {
        let mut bench = Bench::new();
        let grant = bench.granted(asks("/a/b", 1), 0);
        assert_eq!(bench.invalidate(fanout(2, &[target]), 1).pages, 0, "{name}");
        let mut bench = bench.restart();
        let recorded = bench.record(stored("/a/b", &grant, &["x"]), 2);
        assert!(recorded.accepted, "{name}");
        let tasks = bench.take(3);
        assert_eq!(tasks.len(), usize::from(overtaken), "{name}");
        for task in tasks {
            assert_eq!((task.epoch, task.job.as_str()), (Epoch(2), "job2"));
            bench.warmed(&task, 4);
            assert_eq!(bench.job("job2", 5).done, 1);
        }
    }
    // A fill that knew of it is not.
    let mut bench = Bench::new();
    bench.invalidate(fanout(2, &[tag("x")]), 0);
    let grant = bench.granted(asks("/a", 1), 1);
    bench.record(stored("/a", &grant, &["x"]), 2);
    assert!(bench.take(3).is_empty());
    // One that took longer than invalidations are remembered is refetched on suspicion.
    let mut late = stored("/late", &grant, &["z"]);
    (late.stamp, late.fence) = (Epoch(1), 9);
    bench.shard.run_due(at(2 * HOUR)).unwrap();
    bench.record(late, 2 * HOUR);
    assert_eq!(bench.take(2 * HOUR + 1).len(), 1);
}

#[test]
fn retries_then_a_dead_letter_then_a_replay() {
    let mut bench = Bench::new();
    bench.fill("/a", 1, &["x"], 0);
    bench.invalidate(fanout(2, &[tag("x")]), 0);
    let mut now = 1;
    for attempt in 0..3 {
        let task = bench.take_one(now);
        assert_eq!(task.attempts, attempt);
        bench.failed(&task, now);
        // The lease was given back: visitors may fetch.
        let grant = bench.granted(needs("/a", 2), now);
        bench.release("/a", grant.fence, now);
        if attempt < 2 {
            assert!(bench.take(now).is_empty());
            let due = bench.shard.next_wake().unwrap().unwrap();
            now = due.since(crate::common::shard::T0).0;
            assert!(bench.take(now - 1).is_empty());
        }
        bench = bench.restart();
    }
    let job = bench.job("job2", now);
    assert_eq!((job.failed, job.queued), (1, 0));
    assert_eq!(job.failures.len(), 1);
    assert_eq!(job.failures[0].url, "example.com/a");
    assert_eq!((job.failures[0].reason.as_str(), job.failures[0].attempts), ("origin-timeout", 3));
    let replay = |bench: &mut Bench, now| match bench
        .call(ShardCall::Replay { job: "job2".to_owned() }, now)
    {
        ShardReply::Replayed { count } => count,
        other => panic!("{other:?}"),
    };
    assert_eq!(replay(&mut bench, now + 1), 1);
    assert_eq!(replay(&mut bench, now + 1), 0);
    let task = bench.take_one(now + 2);
    assert_eq!(task.attempts, 0);
    bench.warmed(&task, now + 3);
    let job = bench.job("job2", now + 4);
    assert_eq!((job.total, job.done, job.failed), (1, 1, 0));
}

#[test]
fn a_lost_warm_is_found() {
    let mut bench = Bench::new();
    bench.fill("/a", 1, &["x"], 0);
    bench.invalidate(fanout(2, &[tag("x")]), 0);
    // The object goes down with it: at once again after the restart, without waiting for its own
    // lease.
    let first = bench.take_one(1);
    let mut bench = bench.restart();
    let second = bench.take_one(2);
    assert!(second.fence > first.fence);
    assert_eq!(second.attempts, 1);
    // What the first one still brings is older.
    bench.failed(&first, 3);
    assert_eq!(bench.job("job2", 3).running, 1);
    // The task is lost without a restart: its lease runs out.
    assert_eq!(bench.shard.next_wake().unwrap(), Some(at(10_002)));
    bench.shard.run_due(at(10_001)).unwrap();
    assert_eq!(bench.job("job2", 10_001).running, 1);
    bench.shard.run_due(at(10_002)).unwrap();
    assert_eq!(bench.job("job2", 10_002).queued, 1);
    let due = bench.shard.next_wake().unwrap().unwrap().since(crate::common::shard::T0).0;
    bench.take_one(due);
    // A warm that takes its object down each time ends as well.
    let mut bench = bench.restart();
    assert!(bench.take(due + 1).is_empty());
    let job = bench.job("job2", due + 2);
    assert_eq!((job.failed, job.failures[0].attempts), (1, 3));
}

#[test]
fn not_too_many_at_once() {
    let mut bench = Bench::new();
    for n in 0..10 {
        bench.fill(&format!("/{n}"), 1, &["x"], 0);
    }
    bench.invalidate(fanout(2, &[tag("x")]), 1);
    assert_eq!(bench.shard.take_warms(at(2), 2, 0).unwrap().len(), 2);
    let third = bench.take_one(2);
    assert!(bench.take(2).is_empty());
    // With all slots taken, only a task's end makes room.
    assert_eq!(bench.shard.next_wake().unwrap(), Some(at(10_002)));
    bench.warmed(&third, 3);
    assert!(bench.shard.next_wake().unwrap() <= Some(at(3)));
    bench.take_one(3);
}

#[test]
fn what_is_wanted_most_is_warmed_first() {
    let mut bench = Bench::new();
    for path in ["/once", "/often", "/lately", "/hits", "/nobody"] {
        bench.fill(path, 1, &["x"], 0);
    }
    let ask = |bench: &mut Bench, path: &str, hits, millis| {
        let ask = LeaseRequest { hits, colo: format!("{millis}"), ..asks(path, 1) };
        bench.ready(ask, millis);
    };
    for millis in 1..=20 {
        ask(&mut bench, "/often", 0, millis * 1_000);
    }
    ask(&mut bench, "/hits", 100, 30_000);
    ask(&mut bench, "/once", 0, 40_000);
    ask(&mut bench, "/lately", 0, 3 * HOUR);
    // Pages that nobody asked for, of a sitemap, come last.
    let request = WarmRequest {
        job: "warm1".to_owned(),
        page: page("/new"),
        key: key("/new"),
        selection: Selection::default(),
        request: Fields::new(),
        need: Epoch::ZERO,
    };
    bench.call(ShardCall::Warm(request), 3 * HOUR);
    bench.invalidate(fanout(2, &[tag("x")]), 3 * HOUR);
    let mut order = Vec::new();
    let mut bench = bench.restart();
    for turn in 0..6 {
        let task = bench.shard.take_warms(at(3 * HOUR + 1), 1, 0).unwrap().remove(0);
        order.push(task.page.path.clone());
        if turn == 1 {
            // One that failed waits for its time, and takes its place again then.
            bench.failed(&task, 3 * HOUR + 1);
            continue;
        }
        bench.warmed(&task, 3 * HOUR + 1);
    }
    assert_eq!(order, ["/hits", "/often", "/lately", "/once", "/nobody", "/new"]);
    assert_eq!(bench.take_one(3 * HOUR + 2_000).page.path, "/often");
}

#[test]
fn a_turn_is_found_by_its_index_however_long_the_queue() {
    let bench = Bench::new();
    let plan = |query: &str| {
        let parameters = vec![Value::Integer(1); query.matches('?').count()];
        format!(
            "{:?}",
            bench.sql.exec(&format!("EXPLAIN QUERY PLAN {query}"), &parameters).unwrap()
        )
    };
    let turn = plan(
        "SELECT w.epoch FROM warm w JOIN variant v ON v.id = w.variant
            WHERE w.state = 0 AND w.rank >= 0 ORDER BY w.rank DESC, w.epoch, w.variant LIMIT 0 + ?",
    );
    assert!(turn.contains("warm_turn (state=? AND rank>?)") && !turn.contains("TEMP"), "{turn}");
    let due = plan(
        "SELECT variant FROM warm INDEXED BY warm_waits
            WHERE state = 0 AND rank = -1 AND not_before <= ? LIMIT 0 + ?",
    );
    assert!(due.contains("warm_waits (not_before<?)"), "{due}");
}

#[test]
fn variants_are_warmed_each() {
    let mut bench = Bench::new();
    for (n, language) in ["de", "fr"].into_iter().enumerate() {
        let selection = selection(&[("accept-language", language)]);
        let ask = LeaseRequest { selection: selection.clone(), ..asks("/", 1) };
        let grant = bench.granted(ask, n as u64);
        let record = RecordRequest {
            leased: selection.clone(),
            selection,
            request: Fields::from_iter([("accept-language", language)]),
            ..stored("/", &grant, &["x"])
        };
        assert!(bench.record(record, 1).accepted);
    }
    let answer = bench.invalidate(fanout(2, &[tag("x")]), 2);
    assert_eq!((answer.pages, answer.warming), (1, 2));
    let tasks = bench.take(3);
    let languages: Vec<_> = tasks.iter().map(|t| t.request.get("accept-language")).collect();
    assert_eq!(languages, [Some("de"), Some("fr")]);
    // One turns out to vary on more: it goes on under its new name, the other can't be found any
    // more.
    let mut moved = result_of(&tasks[0]);
    moved.selection = selection(&[("accept-language", "de"), ("x-device", "mobile")]);
    let result = WarmResult::Fetched(Box::new(moved));
    bench.shard.finish_warm(&tasks[0], result, at(4)).unwrap();
    bench.warmed(&tasks[1], 5);
    let job = bench.job("job2", 6);
    assert_eq!((job.done, job.queued, job.running), (2, 0, 0));
    let info = &bench.by_url("example.com/")[0];
    assert_eq!(info.vary, ["accept-language", "x-device"]);
    assert_eq!(info.variants.len(), 1);
}

#[test]
fn warms_that_store_nothing() {
    for outcome in [Outcome::Gone, Outcome::Uncacheable { reason: "set-cookie".to_owned() }] {
        let mut bench = Bench::new();
        bench.fill("/a", 1, &["x"], 0);
        bench.invalidate(fanout(2, &[tag("x")]), 1);
        let task = bench.take_one(2);
        let record = RecordRequest { outcome: outcome.clone(), l2_key: None, ..result_of(&task) };
        let result = WarmResult::Fetched(Box::new(record));
        bench.shard.finish_warm(&task, result, at(3)).unwrap();
        let job = bench.job("job2", 4);
        assert_eq!((job.done, job.queued), (1, 0), "{outcome:?}");
        assert_eq!(bench.status().pages, 0);
    }
}

#[test]
fn an_answer_from_before_an_invalidation_ends_no_warm_of_it() {
    for outcome in [Outcome::Gone, Outcome::Uncacheable { reason: "private".to_owned() }] {
        let mut bench = Bench::new();
        bench.fill("/a", 1, &["x"], 0);
        bench.invalidate(fanout(2, &[tag("x")]), 1);
        let task = bench.take_one(2);
        bench.invalidate(fanout(3, &[tag("x")]), 3);
        let record = RecordRequest { outcome: outcome.clone(), l2_key: None, ..result_of(&task) };
        let result = WarmResult::Fetched(Box::new(record));
        bench.shard.finish_warm(&task, result, at(4)).unwrap();
        let job = bench.job("job3", 4);
        assert_eq!((job.done, job.queued), (0, 1), "{outcome:?}");
        let task = bench.take_one(5);
        bench.warmed(&task, 6);
        assert_eq!(bench.job("job3", 6).done, 1);
        assert_eq!(bench.tag_pages("x"), ["/a"]);
    }
}

#[test]
fn a_page_may_be_warmed_that_is_not_known() {
    let mut bench = Bench::new();
    let request = |path: &str, need| {
        ShardCall::Warm(WarmRequest {
            job: "warm1".to_owned(),
            page: page(path),
            key: key(path),
            selection: Selection::default(),
            request: Fields::from_iter([("accept", "*/*")]),
            need: Epoch(need),
        })
    };
    bench.call(request("/new", 0), 0);
    bench.call(request("/new", 0), 0);
    let task = bench.take_one(1);
    assert_eq!((task.page.clone(), task.request.get("accept")), (page("/new"), Some("*/*")));
    bench.warmed(&task, 2);
    assert_eq!(bench.job("warm1", 3).done, 1);
    // Fresh: nothing to do. No longer fresh: that copy does not count.
    bench.call(request("/new", 0), 4);
    assert!(bench.take(4).is_empty());
    bench.call(request("/new", 0), HOUR + 1);
    let again = bench.take_one(HOUR + 1);
    assert!(again.fence > task.fence);
    bench.warmed(&again, HOUR + 2);
    let job = bench.job("warm1", HOUR + 3);
    assert_eq!((job.total, job.done), (3, 3));
}

#[test]
fn a_queued_warm_keeps_its_page() {
    let mut bench = Bench::new();
    let grant = bench.granted(asks("/a", 1), 0);
    bench.record(RecordRequest { keep_until: at(100), ..stored("/a", &grant, &["x"]) }, 1);
    bench.invalidate(fanout(2, &[tag("x")]), 2);
    // The origin is down for longer than the page's windows: the warm is not lost.
    bench.shard.run_due(at(HOUR)).unwrap();
    assert_eq!(bench.job("job2", HOUR).queued, 1);
    let task = bench.take_one(HOUR);
    bench.warmed(&task, HOUR + 1);
    assert_eq!(bench.job("job2", HOUR + 2).done, 1);
}

#[test]
fn an_idle_shard_sleeps() {
    let mut bench = Bench::new();
    assert_eq!(bench.shard.next_wake().unwrap(), None);
    bench.fill("/a", 1, &["x"], 0);
    bench.invalidate(fanout(2, &[tag("x")]), 1);
    let task = bench.take_one(2);
    bench.warmed(&task, 3);
    let mut wakes = 0;
    let mut now = at(4);
    while let Some(wake) = bench.shard.next_wake().unwrap() {
        now = now.max(wake);
        bench.shard.run_due(now).unwrap();
        assert!(bench.shard.take_warms(now, 10, 0).unwrap().is_empty());
        wakes += 1;
        assert!(wakes < 10, "it wakes without need: {wake:?}");
    }
    assert!(now > Timestamp::ZERO);
    let status = bench.status();
    assert_eq!((status.pages, status.variants, status.warms, status.dead), (0, 0, 0, 0));
}
