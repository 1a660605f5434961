//! How many requests the origin can take at once, by what it makes of them.
//!
//! After as many answers as the limit (ten at least) it is lowered by a quarter if more than half
//! of them were failures, by an eighth if they took more than twice as long as usual, and raised by
//! an eighth if it was reached. It is never above the setting, nor below a tenth of it.

use crate::base::time::{Millis, Timestamp};

/// Answers that are judged together, at least.
const FEWEST_ANSWERS: u32 = 10;
/// Answers this much slower than twice the usual count as slow.
const SLOW_MARGIN: Millis = Millis(100);

/// How many requests the origin can take, by what it makes of them.
pub(super) struct AdaptiveLimit {
    most: u32,
    limit: u32,
    /// Answers since the limit was last looked at.
    answers: u32,
    failures: u32,
    took: u64,
    /// The most that were under way or waiting meanwhile.
    peak: u32,
    /// How long answers take as a rule: falls quickly, rises slowly.
    usual: Option<u64>,
    /// What began before the last decrease says nothing of the lower limit.
    lowered: Timestamp,
}

impl AdaptiveLimit {
    pub(super) const fn new(most: u32) -> Self {
        Self {
            most,
            limit: most,
            answers: 0,
            failures: 0,
            took: 0,
            peak: 0,
            usual: None,
            lowered: Timestamp::ZERO,
        }
    }

    /// How many may be under way at present.
    pub(super) const fn limit(&self) -> u32 {
        self.limit
    }

    /// A request has ended, while so many were under way or waiting.
    pub(super) fn note(&mut self, began: Timestamp, now: Timestamp, failed: bool, used: u32) {
        if began < self.lowered {
            return;
        }
        self.failures += u32::from(failed);
        self.answers += 1;
        self.took = self.took.saturating_add(now.since(began).0);
        self.peak = self.peak.max(used);
        if self.answers < self.limit.max(FEWEST_ANSWERS) {
            return;
        }
        let average = self.took / u64::from(self.answers);
        let usual = self.usual.unwrap_or(average);
        let failing = self.failures * 2 > self.answers;
        let slow = average > 2 * usual + SLOW_MARGIN.0 && self.peak * 2 >= self.limit;
        let least = (self.most / 10).max(1);
        if failing || slow {
            let part = if failing { 4 } else { 8 };
            self.limit = (self.limit - self.limit.div_ceil(part)).max(least);
            self.lowered = now;
        } else if self.peak >= self.limit {
            self.limit = (self.limit + (self.limit / 8).max(1)).min(self.most);
        }
        let nearer = if average < usual {
            usual - (usual - average) / 4
        } else {
            usual + (average - usual) / 16
        };
        self.usual = Some(nearer);
        (self.answers, self.failures, self.took, self.peak) = (0, 0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::AdaptiveLimit;
    use crate::base::time::{Millis, Timestamp};

    /// Answers that take so long each, as many at a time as may be under way.
    struct Origin {
        limit: AdaptiveLimit,
        now: Timestamp,
    }

    impl Origin {
        fn answers(&mut self, count: u32, took: Millis, failed: bool) {
            for _ in 0..count {
                self.now = self.now.plus(Millis(60_000));
                let used = self.limit.limit();
                for _ in 0..used {
                    self.limit.note(self.now, self.now.plus(took), failed, used);
                }
            }
        }
    }

    #[test]
    fn the_limit_follows_what_the_origin_can_do() {
        let mut origin = Origin { limit: AdaptiveLimit::new(100), now: Timestamp::ZERO };
        origin.answers(5, Millis(50), false);
        assert_eq!(origin.limit.limit(), 100, "never above the setting");
        origin.answers(3, Millis(1_000), false);
        let slow = origin.limit.limit();
        assert!(slow < 90, "slow answers lower it: {slow}");
        origin.answers(60, Millis(50), false);
        assert_eq!(origin.limit.limit(), 100, "and quick ones raise it");
        origin.answers(40, Millis(10), true);
        assert_eq!(origin.limit.limit(), 10, "failures lower it to a tenth");
        origin.answers(40, Millis(50), false);
        assert_eq!(origin.limit.limit(), 100);
    }

    #[test]
    fn few_failures_among_many_answers_lower_nothing() {
        let mut limit = AdaptiveLimit::new(20);
        for n in 0..1_000_u32 {
            let began = Timestamp::from_millis(1_000_000).plus(Millis(u64::from(n) * 100));
            limit.note(began, began.plus(Millis(50)), n.is_multiple_of(10), 1);
        }
        assert_eq!(limit.limit(), 20);
    }
}
