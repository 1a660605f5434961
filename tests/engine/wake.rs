//! When an object's alarm has to be set, by what it remembers of it.

use edge_isr::base::time::{Millis, Timestamp};
use edge_isr::engine::wake::{RETRY, missing};

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

fn later(millis: u64) -> Timestamp {
    NOW.plus(Millis(millis))
}

#[test]
fn alarms() {
    let past = |millis| NOW.minus(Millis(millis));
    // id, remembered, what is due, when it is set for
    let rows = [
        ("nothing is due", None, None, None),
        ("nothing is due, one is set", Some(later(10)), None, None),
        ("nothing is due, one is overdue", Some(past(60_000)), None, None),
        ("none is known of", None, Some(later(10)), Some(later(10))),
        ("none is known of, and it is high time", None, Some(Timestamp::ZERO), Some(NOW)),
        ("an earlier one is set", Some(later(9)), Some(later(10)), None),
        ("just this one is set", Some(later(10)), Some(later(10)), None),
        ("a later one is set", Some(later(11)), Some(later(10)), Some(later(10))),
        ("a later one is set, and it is high time", Some(later(1)), Some(past(1)), Some(NOW)),
        ("it is going off now", Some(NOW), Some(past(1)), None),
        ("it is late", Some(past(RETRY.0)), Some(later(10)), None),
        ("it did not go off", Some(past(RETRY.0 + 1)), Some(later(10)), Some(NOW)),
        ("it did not go off, long ago", Some(Timestamp::ZERO), Some(past(1)), Some(NOW)),
    ];
    for (id, set, next, want) in rows {
        assert_eq!(missing(set, next, NOW), want, "{id}");
    }
}
