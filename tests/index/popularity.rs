//! How much a page is wanted: recency and frequency in one number.

use edge_isr::base::time::{Millis, Timestamp};
use edge_isr::index::popularity::{HALF_LIFE, Popularity};
use proptest::prelude::*;

const T0: Timestamp = Timestamp::from_seconds(1_700_000_000);
const HOUR: u64 = HALF_LIFE.0;

fn at(millis: u64) -> Timestamp {
    T0.plus(Millis(millis))
}

/// The popularity of requests at these times, by the definition.
fn exact(requests: &[(u32, u64)]) -> f64 {
    let hours = |millis: u64| millis as f64 / HOUR as f64;
    let sum: f64 = requests.iter().map(|(n, t)| f64::from(*n) * hours(*t).exp2()).sum();
    sum.log2()
}

fn popularity(requests: &[(u32, u64)]) -> Popularity {
    requests
        .iter()
        .fold(Popularity::default(), |popularity, (n, millis)| popularity.after(*n, at(*millis)))
}

/// A name, and two sorts of use: how often, and when.
type Row<'a> = (&'a str, &'a [(u32, u64)], &'a [(u32, u64)]);

#[test]
fn more_recent_and_more_often_is_more() {
    // Pairs: the second is wanted more.
    let rows: &[Row<'_>] = &[
        ("never", &[], &[(1, 0)]),
        ("once, later", &[(1, 0)], &[(1, 1)]),
        ("twice", &[(1, 0)], &[(1, 0), (1, 0)]),
        ("many hits reported at once", &[(1, 0)], &[(100, 0)]),
        ("often but long ago", &[(3, 0)], &[(1, 2 * HOUR)]),
        ("long ago but very often", &[(1, 2 * HOUR)], &[(5, 0)]),
        ("regularly", &[(1, 3 * HOUR)], &[(1, 0), (1, HOUR), (1, 2 * HOUR), (1, 3 * HOUR)]),
    ];
    for (name, less, more) in rows {
        assert!(popularity(less) < popularity(more), "{name}");
    }
    assert_eq!(popularity(&[(1, 5)]), Popularity(at(5)), "a single request is its own time");
    assert_eq!(popularity(&[(0, 5)]), Popularity(at(5)), "a report of none is a request");
}

#[test]
fn a_write_is_worth_a_minute() {
    let hot = popularity(&[(1_000, 0)]);
    assert!(!hot.after(1, at(1)).is_worth(hot), "one among a thousand");
    assert!(hot.after(1_000, at(1)).is_worth(hot));
    let once = popularity(&[(1, 0)]);
    assert!(once.after(1, at(1)).is_worth(once));
}

proptest! {
    #[test]
    fn near_enough_and_never_less(
        mut requests in prop::collection::vec((1u32..10_000, 0u64..20 * HOUR), 1..20)
    ) {
        requests.sort_by_key(|(_, t)| *t);
        let mut before = Popularity::default();
        for (n, millis) in &requests {
            let popularity = before.after(*n, at(*millis));
            prop_assert!(popularity >= before && popularity.0 >= at(*millis));
            before = popularity;
        }
        let hours = before.0.since(T0).0 as f64 / HOUR as f64;
        // Straight lines are off by at most 0.09 for each of both logarithms of a request.
        let off = (hours - exact(&requests)).abs();
        prop_assert!(off < 0.1 + 0.1 * requests.len() as f64, "{hours} for {}", exact(&requests));
    }

    #[test]
    fn no_input_is_too_large(n in any::<u32>(), t in any::<i64>(), popularity in any::<i64>()) {
        let now = Timestamp::from_millis(t);
        let _ = Popularity(Timestamp::from_millis(popularity)).after(n, now);
    }
}
