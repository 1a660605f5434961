//! How fast a shard asks the origin: limits, slowing down, and taking up speed again.

#![allow(clippy::unwrap_used, clippy::panic)]

use edge_isr::base::time::{Millis, Timestamp};
use edge_isr::http::{Fields, retry_after::retry_after};
use edge_isr::index::pace::{FetchEnd, Limits, ONE, Pace};
use proptest::prelude::*;

const T0: Timestamp = Timestamp::from_seconds(1_700_000_000);
const LIMITS: Limits = Limits { window: 3 * ONE, interval: Millis::ZERO };

fn at(millis: u64) -> Timestamp {
    T0.plus(Millis(millis))
}

#[test]
fn shares() {
    // shards, fetches of a shard, of all, starts of all in a second; window and interval of one
    let rows = [
        (8, 3, None, 100, 3 * ONE, 80),
        (8, 3, Some(24), 100, 3 * ONE, 80),
        (8, 3, Some(16), 100, 2 * ONE, 80),
        (8, 3, Some(15), 100, ONE, 80),
        (8, 3, Some(8), 100, ONE, 80),
        (8, 3, Some(4), 100, ONE / 2, 80),
        (8, 3, Some(1), 100, ONE / 8, 80),
        (256, 3, Some(1), 1, 50, 256_000),
        (1, 5, None, 1, 5 * ONE, 1_000),
        (1, 5, None, 10_000, 5 * ONE, 0),
        (0, 0, None, 0, ONE, 1_000),
    ];
    for (shards, per_shard, all, rate, window, interval) in rows {
        let want = Limits { window, interval: Millis(interval) };
        assert_eq!(
            Limits::share(shards, per_shard, all, rate),
            want,
            "{shards} {per_shard} {all:?} {rate}"
        );
    }
}

#[test]
fn no_more_at_once_than_the_window() {
    let pace = Pace::new(LIMITS);
    assert_eq!((0..5).map(|running| pace.free(running, T0)).collect::<Vec<_>>(), [3, 2, 1, 0, 0]);
}

#[test]
fn starts_are_spaced() {
    let mut pace = Pace::new(Limits { interval: Millis(80), ..LIMITS });
    assert_eq!(pace.free(0, at(0)), 1);
    pace.begin(at(0));
    assert_eq!((pace.free(1, at(79)), pace.free(1, at(80))), (0, 1));
    assert_eq!(pace.not_before(), at(80));
    let mut begun = 1;
    for millis in 1..=10_000 {
        if pace.free(0, at(millis)) > 0 {
            pace.begin(at(millis));
            begun += 1;
        }
    }
    assert_eq!(begun, 126, "12.5 in a second");
}

/// One fetch after the other, each as long as `took`; the time after them.
fn good(pace: &mut Pace, count: u32, took: u64, mut now: u64) -> u64 {
    for _ in 0..count {
        pace.end(at(now), at(now + took), FetchEnd::Well);
        now += took;
    }
    now
}

#[test]
fn a_failure_halves_the_window_and_good_answers_open_it_again() {
    let mut pace = Pace::new(LIMITS);
    pace.end(at(0), at(10), FetchEnd::Badly(None));
    assert_eq!(pace.at_once(), 1);
    // Two that were under way meanwhile say nothing new.
    pace.end(at(1), at(11), FetchEnd::Badly(None));
    pace.end(at(2), at(12), FetchEnd::Badly(None));
    assert_eq!(pace.free(0, at(12)), 1);
    let mut now = 100;
    let mut opened = Vec::new();
    for _ in 0..40 {
        now = good(&mut pace, 1, 50, now);
        opened.push(pace.at_once());
    }
    assert!(opened.is_sorted(), "{opened:?}");
    assert_eq!((opened[0], opened[39]), (1, 3));
    let to_two = opened.iter().position(|n| *n == 2).unwrap();
    let to_three = opened.iter().position(|n| *n == 3).unwrap();
    assert!(to_two >= 1 && to_three > to_two + 3, "by little and little: {opened:?}");
}

#[test]
fn an_origin_that_is_down_is_left_alone_for_longer_each_time() {
    let mut pace = Pace::new(LIMITS);
    let mut now = at(0);
    let mut rests = Vec::new();
    for _ in 0..12 {
        let ended = now.plus(Millis(1));
        pace.end(now, ended, FetchEnd::Badly(None));
        rests.push(pace.not_before().since(ended).0);
        now = pace.not_before().max(ended);
    }
    // The first may be one page's own fault.
    assert!(rests[0] < 100, "{rests:?}");
    assert_eq!(rests[1..8], [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000]);
    assert_eq!(rests[11], 60_000);
    // One good answer, and it goes on.
    pace.end(now, now.plus(Millis(50)), FetchEnd::Well);
    let then = pace.not_before().since(now).0;
    assert!(then < 200, "{then}");
    let next = pace.not_before();
    pace.end(next, next.plus(Millis(10)), FetchEnd::Badly(None));
    assert!(pace.not_before().since(next).0 < 1_000, "it counts from the beginning again");
}

#[test]
fn an_origin_is_taken_at_its_word() {
    let rows = [(Some(30_000), 30_000), (Some(86_400_000), 300_000), (Some(0), 0), (None, 0)];
    for (after, want) in rows {
        let mut pace = Pace::new(LIMITS);
        pace.end(at(0), at(10), FetchEnd::Badly(after.map(Millis)));
        assert_eq!(pace.not_before().since(at(10)), Millis(want), "{after:?}");
    }
}

#[test]
fn slow_answers_close_the_window_by_a_quarter() {
    let mut pace = Pace::new(LIMITS);
    let mut now = good(&mut pace, 50, 100, 0);
    assert_eq!(pace.at_once(), 3);
    // One slow page among many is none.
    pace.end(at(now), at(now + 450), FetchEnd::Well);
    now = good(&mut pace, 5, 100, now + 450);
    assert_eq!(pace.at_once(), 3);
    // All of them are: the origin is too busy.
    let mut fewest = 3;
    for _ in 0..60 {
        pace.end(at(now), at(now + 1_000), FetchEnd::Well);
        now += 1_000;
        fewest = fewest.min(pace.at_once());
    }
    assert_eq!(fewest, 1);
    good(&mut pace, 80, 100, now);
    assert_eq!(pace.at_once(), 3);
}

#[test]
fn an_origin_that_is_slow_by_nature_is_not_too_busy() {
    let mut pace = Pace::new(LIMITS);
    let mut now = 0;
    for turn in 0..200u64 {
        let took = 900 + turn % 7 * 50;
        pace.end(at(now), at(now + took), FetchEnd::Well);
        now += took;
        assert_eq!(pace.at_once(), 3, "{turn}");
    }
}

#[test]
fn a_window_below_one_rests() {
    let mut pace = Pace::new(Limits { window: ONE / 4, interval: Millis::ZERO });
    assert_eq!((pace.free(0, at(0)), pace.free(1, at(0))), (1, 0));
    pace.begin(at(0));
    pace.end(at(0), at(100), FetchEnd::Well);
    // A quarter of the time fetching, three quarters resting.
    assert_eq!(pace.not_before(), at(400));
    assert_eq!((pace.free(0, at(399)), pace.free(0, at(400))), (0, 1));
}

#[test]
fn when_to_come_again() {
    let now = Timestamp::from_seconds(784_111_777);
    let rows = [
        ("120", Some(120_000)),
        (" 0 ", Some(0)),
        ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60_000)),
        ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
    ];
    for (value, want) in rows {
        let fields = Fields::from_iter([("retry-after", value)]);
        assert_eq!(retry_after(&fields, now), want.map(Millis), "{value}");
    }
    assert_eq!(retry_after(&Fields::new(), now), None);
}

proptest! {
    #[test]
    fn whatever_happens_it_goes_on_and_keeps_its_limits(
        window in 50u32..5_000,
        interval in 0u64..500,
        steps in prop::collection::vec(
            (0u64..30_000, 0u64..3, prop::option::of(0u64..1_000_000)),
            1..80,
        ),
    ) {
        let limits = Limits { window, interval: Millis(interval) };
        let mut pace = Pace::new(limits);
        let mut now = at(0);
        for (took, how, after) in steps {
            // Somebody may always begin in the end.
            let next = pace.not_before().max(now);
            prop_assert!(pace.free(0, next) >= 1);
            prop_assert!(pace.at_once() <= (window / ONE).max(1));
            prop_assert!(next.since(now) <= Millis(300_000));
            pace.begin(next);
            now = next.plus(Millis(took));
            let end = if how == 0 { FetchEnd::Badly(after.map(Millis)) } else { FetchEnd::Well };
            pace.end(next, now, end);
        }
    }
}
