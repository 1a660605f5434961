//! The view's rules, each under its name in the simulation.

#![allow(clippy::unwrap_used, clippy::panic)]

use edge_isr::base::time::{Epoch, Millis, Timestamp};
use edge_isr::cache::Validity;
use edge_isr::cache::tag::TargetHash;
use edge_isr::journal::delta::{Bucket, Delta, Found, TargetRow};
use edge_isr::journal::view::{Applied, SKEW_MARGIN, Verdict, View, ViewHealth};
use proptest::prelude::*;

const T0: Timestamp = Timestamp::from_seconds(1_700_000_000);
const MAX_LAG: Millis = Millis(2_000);
const LOST_LIMIT: Millis = Millis(30_000);
const SYNC: Millis = Millis(1_000);
const CLEAR: ViewHealth = ViewHealth::Recent { refresh: false };

const A: TargetHash = TargetHash(0x0001_0000_0000_000a);
const B: TargetHash = TargetHash(0x0002_0000_0000_000b);

fn at(millis: u64) -> Timestamp {
    T0.plus(Millis(millis))
}

fn row(hash: TargetHash, soft: u64, hard: u64, soft_at: u64) -> TargetRow {
    let soft_at = if soft > 0 { at(soft_at) } else { Timestamp::ZERO };
    TargetRow { hash, soft: Epoch(soft), hard: Epoch(hard), soft_at }
}

fn delta(since: Option<u64>, to: u64, rows: Vec<TargetRow>) -> Delta {
    Delta {
        since: since.map(Epoch),
        to: Epoch(to),
        more: false,
        head: Epoch::ZERO,
        rows,
        buckets: vec![],
        reported: None,
    }
}

fn page(since: Option<u64>, to: u64, rows: Vec<TargetRow>) -> Delta {
    Delta { more: true, ..delta(since, to, rows) }
}

fn found(head: u64, rows: Vec<TargetRow>) -> Found {
    Found { head: Epoch(head), rows, buckets: vec![] }
}

fn loaded(rows: Vec<TargetRow>) -> View {
    let mut view = View::new(100);
    assert_eq!(view.apply(&delta(None, 10, rows), at(0), true), Applied::Whole);
    view
}

fn stands(view: &View, targets: &[TargetHash], stamp: u64, health: ViewHealth) -> Verdict {
    view.validity(targets, Epoch(stamp), health, at(100), MAX_LAG)
}

fn soft(epoch: u64, millis: u64) -> Verdict {
    Verdict::Known(Validity::Soft { epoch: Epoch(epoch), at: at(millis) })
}

fn hard(epoch: u64) -> Verdict {
    Verdict::Known(Validity::Hard { epoch: Epoch(epoch) })
}

#[test]
fn validities() {
    let view = loaded(vec![row(A, 5, 3, 50), row(B, 7, 0, 20)]);
    let current = Verdict::Known(Validity::Current);
    let rows: &[(&str, &[TargetHash], u64, ViewHealth, Verdict)] = &[
        ("nothing newer", &[A, B], 7, CLEAR, current),
        ("an epoch equal to the stamp is not newer", &[A], 5, CLEAR, current),
        ("no targets", &[], 0, CLEAR, current),
        ("softly", &[A], 4, CLEAR, soft(5, 50)),
        ("hard, with the newest epoch as the need", &[A], 2, CLEAR, hard(5)),
        ("the newest epoch, the oldest acceptance", &[A, B], 4, CLEAR, soft(7, 20)),
        ("one target hard, another softly later", &[A, B], 2, CLEAR, hard(7)),
        ("lost_stale", &[A], 5, ViewHealth::JournalLost, Verdict::Known(Validity::JournalLost)),
        ("journal lost, softly", &[A], 4, ViewHealth::JournalLost, soft(5, 50)),
        (
            "lost_validate",
            &[A],
            5,
            ViewHealth::JournalLostTooLong,
            Verdict::Known(Validity::JournalLostTooLong),
        ),
        (
            "no_304_restamp holds while the journal is lost",
            &[A],
            4,
            ViewHealth::JournalLostTooLong,
            hard(5),
        ),
        ("hard while the journal is lost", &[A], 2, ViewHealth::JournalLostTooLong, hard(5)),
    ];
    for (name, targets, stamp, health, want) in rows {
        assert_eq!(stands(&view, targets, *stamp, *health), *want, "{name}");
    }
}

#[test]
fn a_replacement_of_what_was_invalidated_is_at_least_as_new() {
    let epoch = Epoch(7);
    let rows = [
        (Validity::Current, Epoch::ZERO),
        (Validity::JournalLost, Epoch::ZERO),
        (Validity::JournalLostTooLong, Epoch::ZERO),
        (Validity::Soft { epoch, at: T0 }, epoch),
        (Validity::Hard { epoch }, epoch),
        (Validity::SoftUnprovable { epoch }, epoch),
        (Validity::Unprovable { epoch }, epoch),
    ];
    for (validity, want) in rows {
        assert_eq!(validity.need(), want, "{validity:?}");
    }
}

#[test]
fn buckets_of_dropped_targets() {
    let mut view = View::new(100);
    let buckets = vec![Bucket { bucket: A.bucket(), epoch: Epoch(6), hard: Epoch(6) }];
    view.apply(&Delta { buckets, ..delta(None, 10, vec![row(B, 8, 0, 1)]) }, at(0), true);
    let dropped = |epoch| Verdict::Known(Validity::Unprovable { epoch: Epoch(epoch) });
    let rows: &[(&str, &[TargetHash], u64, Verdict)] = &[
        ("older than its bucket", &[A], 5, dropped(6)),
        ("as new as its bucket", &[A], 6, Verdict::Known(Validity::Current)),
        ("another bucket", &[B], 8, Verdict::Known(Validity::Current)),
        ("bucket and soft: the need is the newer", &[A, B], 5, dropped(8)),
    ];
    for (name, targets, stamp, want) in rows {
        assert_eq!(stands(&view, targets, *stamp, CLEAR), *want, "{name}");
    }
}

/// What fell into a bucket softly does not count as hard; what is not known to be soft does.
#[test]
fn a_bucket_is_as_hard_as_what_fell_into_it() {
    let rows: &[(&str, u64, u64, u64, Validity)] = &[
        ("all of it softly", 6, 0, 5, Validity::SoftUnprovable { epoch: Epoch(6) }),
        ("the hard one before", 6, 3, 5, Validity::SoftUnprovable { epoch: Epoch(6) }),
        ("the hard one as new as the page", 6, 5, 5, Validity::SoftUnprovable { epoch: Epoch(6) }),
        ("a hard one since", 9, 6, 5, Validity::Unprovable { epoch: Epoch(9) }),
        ("nothing since", 6, 6, 6, Validity::Current),
    ];
    for (name, epoch, hard, stamp, want) in rows {
        let mut view = View::new(100);
        let bucket = Bucket { bucket: A.bucket(), epoch: Epoch(*epoch), hard: Epoch(*hard) };
        view.apply(&Delta { buckets: vec![bucket], ..delta(None, 10, vec![]) }, at(0), true);
        assert_eq!(stands(&view, &[A], *stamp, CLEAR), Verdict::Known(*want), "{name}");
        if let Validity::SoftUnprovable { epoch } = want {
            let lost = stands(&view, &[A], *stamp, ViewHealth::JournalLostTooLong);
            assert_eq!(lost, Verdict::Known(Validity::Unprovable { epoch: *epoch }), "{name}");
        }
    }
}

#[test]
fn requester_time() {
    let mut view = loaded(vec![]);
    let health = |view: &View, millis| view.health(at(millis), MAX_LAG, SYNC);
    let rows = [
        (0, CLEAR),
        (1_000, CLEAR),
        (1_001, ViewHealth::Recent { refresh: true }),
        (2_000, ViewHealth::Recent { refresh: true }),
        (2_001, ViewHealth::Outdated),
    ];
    for (millis, want) in rows {
        assert_eq!(health(&view, millis), want, "{millis}");
    }
    // A shared delta makes the view as old as its asking, not as its arrival, and the margin older.
    let shared = delta(Some(10), 11, vec![]);
    assert_eq!(view.apply(&shared, at(1_500), false), Applied::Whole);
    assert_eq!(view.as_of(), Some(at(1_500).minus(SKEW_MARGIN)));
    assert_eq!(health(&view, 3_300), ViewHealth::Recent { refresh: true });
    assert_eq!(health(&view, 3_301), ViewHealth::Outdated);
    // An older asking does not make it older.
    view.apply(&shared, at(700), false);
    assert_eq!(view.as_of(), Some(at(1_500).minus(SKEW_MARGIN)));
}

#[test]
fn health_after_a_failed_sync() {
    let view = loaded(vec![]);
    let after = |millis| view.health_after_failure(at(millis), MAX_LAG, LOST_LIMIT);
    assert_eq!(after(2_000), CLEAR);
    assert_eq!(after(2_001), ViewHealth::JournalLost);
    assert_eq!(after(30_000), ViewHealth::JournalLost);
    assert_eq!(after(30_001), ViewHealth::JournalLostTooLong);
    let cold = View::new(1);
    assert_eq!(cold.health_after_failure(at(0), MAX_LAG, LOST_LIMIT), ViewHealth::Cold);
    assert_eq!(cold.health(at(0), MAX_LAG, SYNC), ViewHealth::Cold);
}

#[test]
fn skew_margin() {
    // A clock that jumped back: no age is known.
    let view = loaded(vec![]);
    let then = at(0).minus(Millis(SKEW_MARGIN.0 + 1));
    assert_eq!(view.health(then, MAX_LAG, SYNC), ViewHealth::Outdated);
    assert_eq!(
        view.health_after_failure(then, MAX_LAG, LOST_LIMIT),
        ViewHealth::JournalLostTooLong
    );
    assert_eq!(view.health(at(0).minus(SKEW_MARGIN), MAX_LAG, SYNC), CLEAR);
}

#[test]
fn since_check() {
    let a = || vec![row(A, 12, 0, 0)];
    let rows = [
        ("its base is ours", delta(Some(10), 12, a()), false, Applied::Whole),
        ("its base is older", delta(Some(4), 12, a()), false, Applied::Whole),
        ("a snapshot", delta(None, 12, a()), false, Applied::Whole),
        ("its base is past ours", delta(Some(11), 12, a()), false, Applied::Ahead),
        ("past ours, own", delta(Some(11), 12, a()), true, Applied::Ahead),
        ("of a journal that lost epochs", delta(Some(4), 9, vec![]), false, Applied::Older),
    ];
    for (name, delta, by_us, want) in rows {
        let mut view = loaded(vec![]);
        assert_eq!(view.apply(&delta, at(500), by_us), want, "{name}");
        let applied = want == Applied::Whole;
        assert_eq!(view.since(), Some(Epoch(if applied { 12 } else { 10 })), "{name}");
        assert_eq!(view.as_of() > Some(at(0)), applied, "{name}");
        let known = stands(&view, &[A], 10, CLEAR) != Verdict::Known(Validity::Current);
        assert_eq!(known, applied, "{name}");
    }
    // A cold view has no base: only a snapshot will do.
    let mut cold = View::new(10);
    assert_eq!(cold.apply(&delta(Some(1), 2, vec![]), at(0), false), Applied::Ahead);
    assert_eq!(cold.apply(&delta(Some(0), 2, vec![]), at(0), false), Applied::Whole);
}

#[test]
fn page_cursor_and_paged_known() {
    let mut view = View::new(10);
    let first = page(None, 4, vec![row(A, 4, 0, 0)]);
    assert_eq!(view.apply(&first, at(0), true), Applied::Page);
    assert_eq!((view.since(), view.as_of()), (None, None));
    assert_eq!(view.request().since, Some(Epoch(4)));
    // Half a snapshot proves nothing, except against an entry's epochs that it has seen; soft ones
    // wait.
    assert_eq!(stands(&view, &[A], 3, view.health(at(1), MAX_LAG, SYNC)), Verdict::Unknown);
    assert_eq!(stands(&view, &[A], 4, ViewHealth::Cold), Verdict::Unknown);
    // Another isolate's delta from the cursor on is no help: its base counts from nothing.
    assert_eq!(view.apply(&delta(Some(4), 6, vec![]), at(1), false), Applied::Ahead);
    assert_eq!(view.apply(&delta(Some(4), 6, vec![row(B, 0, 6, 0)]), at(2), true), Applied::Whole);
    assert_eq!((view.since(), view.as_of()), (Some(Epoch(6)), Some(at(2))));
    assert_eq!(stands(&view, &[A, B], 3, CLEAR), hard(6));
    // A sync of a warm view in pages: the base moves with the last one.
    view.apply(&page(Some(6), 8, vec![]), at(3), true);
    assert_eq!((view.since(), view.as_of()), (Some(Epoch(6)), Some(at(2))));
    assert_eq!(view.request().since, Some(Epoch(8)));
    view.apply(&delta(Some(8), 9, vec![]), at(4), true);
    assert_eq!((view.since(), view.as_of()), (Some(Epoch(9)), Some(at(4))));
}

#[test]
fn partial_known() {
    let mut view = View::new(10);
    assert_eq!(stands(&view, &[A], 9, ViewHealth::Cold), Verdict::Unknown);
    view.apply_lookup(&[A], &found(5, vec![row(A, 4, 0, 7)]), at(0));
    let judge = |view: &View, targets: &[TargetHash], stamp, millis| {
        view.validity(targets, Epoch(stamp), ViewHealth::Cold, at(millis), MAX_LAG)
    };
    let rows: &[(&str, &[TargetHash], u64, u64, Verdict)] = &[
        ("known to be current", &[A], 4, 100, Verdict::Known(Validity::Current)),
        ("known to be invalid", &[A], 3, 100, soft(4, 7)),
        ("one of two known", &[A, B], 4, 100, Verdict::Unknown),
        ("softly, but the other might be hard", &[A, B], 3, 100, Verdict::Unknown),
        ("looked up max_lag ago", &[A], 4, 2_000, Verdict::Known(Validity::Current)),
        ("looked up longer ago", &[A], 4, 2_001, Verdict::Unknown),
    ];
    for (name, targets, stamp, millis, want) in rows {
        assert_eq!(judge(&view, targets, *stamp, *millis), *want, "{name}");
    }
    // What is known against it needs no further look-up.
    view.apply_lookup(&[A], &found(8, vec![row(A, 4, 8, 7)]), at(50));
    assert_eq!(judge(&view, &[A, B], 4, 100), hard(8));
    // A view that is merely behind may answer by look-up as well.
    let mut view = loaded(vec![]);
    let late = at(10_000);
    let judge = |view: &View| view.validity(&[A], Epoch(10), ViewHealth::Outdated, late, MAX_LAG);
    assert_eq!(judge(&view), Verdict::Unknown);
    view.apply_lookup(&[A], &found(12, vec![]), at(9_000));
    assert_eq!(judge(&view), Verdict::Known(Validity::Current));
}

/// A view that stays cold does not grow without end: past 8,192 looked-up targets it begins anew.
#[test]
fn look_ups_are_remembered_up_to_a_number() {
    let mut view = View::new(10);
    let first: Vec<TargetHash> = (0..8_191).map(TargetHash).collect();
    let looked_up = |view: &View, target| stands(view, &[target], 5, ViewHealth::Cold);
    let current = Verdict::Known(Validity::Current);
    view.apply_lookup(&first, &found(5, vec![]), at(0));
    view.apply_lookup(&[A], &found(5, vec![]), at(0));
    for target in [first[0], first[8_190], A] {
        assert_eq!(looked_up(&view, target), current, "{target:?} of 8,192");
    }
    view.apply_lookup(&[B], &found(5, vec![]), at(0));
    assert_eq!(looked_up(&view, B), current);
    for target in [first[0], first[8_190], A] {
        assert_eq!(looked_up(&view, target), Verdict::Unknown, "{target:?} of 8,193");
    }
}

#[test]
fn overlay_since() {
    let mut view = loaded(vec![]);
    view.apply_lookup(&[A], &found(15, vec![row(A, 15, 0, 0)]), at(900));
    assert_eq!((view.since(), view.as_of()), (Some(Epoch(10)), Some(at(0))));
    assert_eq!(view.request().since, Some(Epoch(10)));
    // stamp_start: the stamp is the highest epoch known, from wherever.
    assert_eq!(view.stamp(), Some(Epoch(15)));
}

#[test]
fn a_stamp_needs_a_head() {
    let mut view = View::new(10);
    view.observe_epoch(Epoch(7));
    assert_eq!(view.stamp(), None);
    assert_eq!(view.request().seen, Epoch(7));
    view.apply_lookup(&[], &found(3, vec![]), at(0));
    // What was merely heard of is no epoch that the journal confirmed.
    assert_eq!(view.stamp(), Some(Epoch(3)));
    assert_eq!(view.lookup_request(&[A]).seen, Epoch(7));
}

#[test]
fn a_view_folds_once_there_are_a_quarter_more_than_it_keeps() {
    for (count, want) in [(10, 10), (11, 8)] {
        let mut view = View::new(8);
        let rows = (1..=count).map(|n| row(TargetHash((n << 48) | n), n, 0, n)).collect();
        view.apply(&delta(None, count, rows), at(0), true);
        assert_eq!(view.len(), want, "{count} targets");
    }
}

#[test]
fn merging_keeps_what_it_drops() {
    let mut view = View::new(8);
    assert!(view.is_empty());
    let rows: Vec<TargetRow> = (1..=20).map(|n| row(TargetHash((n << 48) | n), n, 0, n)).collect();
    view.apply(&delta(None, 20, rows.clone()), at(0), true);
    assert_eq!((view.len(), view.is_empty()), (8, false));
    for row in &rows {
        let stamp = row.soft.0 - 1;
        let got = stands(&view, &[row.hash], stamp, CLEAR);
        if row.soft.0 <= 12 {
            assert_eq!(got, Verdict::Known(Validity::SoftUnprovable { epoch: row.soft }));
        } else {
            assert_eq!(got, soft(row.soft.0, row.soft.0));
        }
        let current = stands(&view, &[row.hash], row.soft.0, CLEAR);
        assert_eq!(current, Verdict::Known(Validity::Current));
    }
}

fn rows() -> impl Strategy<Value = Vec<TargetRow>> {
    let row = (0u64..6, 0u64..40, 0u64..40, 0u64..1_000);
    prop::collection::vec(
        // An epoch was accepted at one time.
        row.prop_map(|(hash, soft, hard, _)| row_of(hash, soft, hard)),
        0..12,
    )
}

fn row_of(hash: u64, soft: u64, hard: u64) -> TargetRow {
    row(TargetHash(hash << 48), soft, hard, soft * 10)
}

fn any_delta() -> impl Strategy<Value = Delta> {
    let row = (any::<u64>(), any::<u64>(), any::<u64>(), any::<i64>()).prop_map(
        |(hash, soft, hard, at)| TargetRow {
            hash: TargetHash(hash),
            soft: Epoch(soft),
            hard: Epoch(hard),
            soft_at: if soft > 0 { Timestamp::from_millis(at) } else { Timestamp::ZERO },
        },
    );
    let bucket = (any::<u16>(), any::<u64>(), any::<u64>()).prop_map(|(bucket, epoch, hard)| {
        Bucket { bucket, epoch: Epoch(epoch), hard: Epoch(hard.min(epoch)) }
    });
    (
        any::<Option<u64>>(),
        any::<u64>(),
        any::<bool>(),
        prop::collection::vec(row, 0..40),
        prop::collection::vec(bucket, 0..40),
    )
        .prop_map(|(since, to, more, rows, buckets)| Delta {
            since: since.map(Epoch),
            to: Epoch(to),
            more,
            head: Epoch(to),
            rows,
            buckets,
            reported: None,
        })
}

proptest! {
    /// keep_both, view_max: the order of arrival does not matter, and each part is the maximum.
    #[test]
    fn view_max(deltas in prop::collection::vec(rows(), 1..5), turn in 0usize..5) {
        let mut turned = deltas.clone();
        turned.rotate_left(turn % deltas.len());
        turned.reverse();
        let views = [&deltas, &turned].map(|deltas| {
            let mut view = View::new(100);
            for rows in deltas {
                view.apply(&delta(None, 50, rows.clone()), at(0), true);
            }
            view
        });
        for hash in 0..6 {
            let target = TargetHash(hash << 48);
            let of = |part: fn(&TargetRow) -> u64| {
                let rows = deltas.iter().flatten().filter(|row| row.hash == target);
                rows.map(part).max().unwrap_or(0)
            };
            let (newest_soft, newest_hard) = (of(|row| row.soft.0), of(|row| row.hard.0));
            for stamp in 0..41 {
                let want = if newest_hard > stamp {
                    hard(newest_hard.max(newest_soft))
                } else if newest_soft > stamp {
                    soft(newest_soft, newest_soft * 10)
                } else {
                    Verdict::Known(Validity::Current)
                };
                for view in &views {
                    prop_assert_eq!(stands(view, &[target], stamp, CLEAR), want);
                }
            }
        }
    }

    #[test]
    fn a_delta_survives_its_text(delta in any_delta()) {
        let text = serde_json::to_string(&delta).unwrap();
        prop_assert_eq!(serde_json::from_str::<Delta>(&text).unwrap(), delta);
    }

    #[test]
    fn any_text_is_a_delta_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        use base64::Engine as _;
        let mut bytes = bytes;
        for version in [true, false] {
            if version {
                bytes.insert(0, 1);
            }
            let rows = base64::engine::general_purpose::STANDARD_NO_PAD.encode(&bytes);
            let text = format!(r#"{{"to":1,"rows":"{rows}"}}"#);
            if let Ok(delta) = serde_json::from_str::<Delta>(&text) {
                prop_assert!(delta.rows.len() * 10 <= bytes.len());
            }
        }
    }

    #[test]
    fn a_delta_cut_short_is_refused(delta in any_delta(), cut in 1usize..60) {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD_NO_PAD;
        let json = serde_json::to_value(&delta).unwrap();
        let mut bytes = STANDARD_NO_PAD.decode(json["rows"].as_str().unwrap()).unwrap();
        bytes.truncate(bytes.len().saturating_sub(cut).max(1));
        let rows = STANDARD_NO_PAD.encode(&bytes);
        let text = format!(r#"{{"to":1,"rows":"{rows}"}}"#);
        prop_assert!(serde_json::from_str::<Delta>(&text).is_err());
    }
}
