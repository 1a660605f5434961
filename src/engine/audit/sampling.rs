//! Which hits are audited, and how many.
//!
//! A number is drawn for the next audit, and each hit takes its share from it: choosing is a
//! subtraction, and nothing random is asked for on a hit. The number is exponentially distributed,
//! so that of many hits just the share is chosen, whichever isolates they meet and however soon
//! those end. A budget bounds what is asked of the origin in a minute, whoever sends the hits.

use crate::base::time::{Millis, Timestamp};
use crate::cache::compose::mint::Random;
use crate::cache::key::KeyDigest;

/// How long nothing is audited after the origin has failed an audit.
const PAUSE: Millis = Millis(60_000);
/// The pages that are known to differ at every render.
const MAX_KNOWN: usize = 64;
/// How long they are: then it is reported again.
const KNOWN_FOR: Millis = Millis(3_600_000);
/// What an audit asks the origin for at most: what differs is asked for twice.
const MOST_REQUESTS: u32 = 2;

/// The audits of one isolate.
#[derive(Debug, Default)]
pub struct Audits {
    /// What is left until the next; none if nothing was drawn yet.
    left: Option<f64>,
    /// The minute that is counted, and the requests in it.
    minute: (i64, u32),
    /// When the origin failed an audit, if it did.
    failed: Option<Timestamp>,
    /// Pages that differ at every render, and since when that is known.
    known: Vec<(KeyDigest, Timestamp)>,
}

/// What a hit takes: with it a share of all hits is chosen exactly.
fn weight(share: f64) -> f64 {
    -(-share).ln_1p()
}

impl Audits {
    /// Whether the next hit of a route with this share is to be audited, or a number has to be
    /// drawn for it.
    #[must_use]
    pub fn is_due(&self, share: f64, per_minute: u32, now: Timestamp) -> bool {
        share > 0.0
            && self.left.is_none_or(|left| left <= weight(share))
            && self.has_room(per_minute, now)
    }

    /// A hit goes by without an audit.
    pub fn pass(&mut self, share: f64) {
        if share > 0.0 {
            self.left = self.left.map(|left| (left - weight(share)).max(0.0));
        }
    }

    /// Takes a hit's share; true if it is chosen, and its requests are within the budget.
    pub fn take(
        &mut self,
        share: f64,
        (per_minute, now): (u32, Timestamp),
        random: impl Fn() -> Random,
    ) -> bool {
        if share <= 0.0 || !self.has_room(per_minute, now) {
            self.pass(share);
            return false;
        }
        let left = self.left.unwrap_or_else(|| drawn(&random())) - weight(share);
        let chosen = left <= 0.0;
        self.left = Some(if chosen { drawn(&random()) } else { left });
        if chosen {
            self.minute = (minute(now), self.spent(now) + MOST_REQUESTS);
        }
        chosen
    }

    /// The second request was not needed.
    pub fn give_back(&mut self, began: Timestamp) {
        if self.minute.0 == minute(began) {
            self.minute.1 = self.minute.1.saturating_sub(1);
        }
    }

    /// The origin failed an audit: there are none for a while.
    pub const fn note_failure(&mut self, now: Timestamp) {
        self.failed = Some(now);
    }

    /// A page differs at every render: whether that is news.
    pub fn note_every_render(&mut self, page: &KeyDigest, now: Timestamp) -> bool {
        self.known.retain(|(_, since)| now.since(*since) < KNOWN_FOR);
        let known = self.known.iter().any(|(known, _)| known == page);
        if !known && self.known.len() < MAX_KNOWN {
            self.known.push((page.clone(), now));
        }
        !known
    }

    fn has_room(&self, per_minute: u32, now: Timestamp) -> bool {
        let failed = self.failed.is_some_and(|at| now.since(at) < PAUSE);
        !failed && self.spent(now).saturating_add(MOST_REQUESTS) <= per_minute
    }

    fn spent(&self, now: Timestamp) -> u32 {
        if self.minute.0 == minute(now) { self.minute.1 } else { 0 }
    }
}

const fn minute(now: Timestamp) -> i64 {
    now.as_seconds().div_euclid(60)
}

/// A number of the exponential distribution of mean 1.
fn drawn(random: &Random) -> f64 {
    let bytes = random.iter().take(6).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    let uniform = (bytes as f64 + 0.5) / (1u64 << 48) as f64;
    -uniform.ln()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use std::cell::RefCell;

    use super::Audits;
    use crate::base::time::{Millis, Timestamp};
    use crate::cache::compose::mint::Random;
    use crate::cache::key::KeyDigest;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn seeded() -> impl Fn() -> Random {
        let generator = RefCell::new(fastrand::Rng::with_seed(7));
        move || std::array::from_fn(|_| generator.borrow_mut().u8(..))
    }

    /// How many of so many hits are audited, one a minute.
    fn chosen(share: f64, hits: u32) -> usize {
        let (mut audits, random) = (Audits::default(), seeded());
        let at = |n: u32| NOW.plus(Millis(u64::from(n) * 60_000));
        (0..hits)
            .filter(|n| {
                if audits.is_due(share, 2, at(*n)) {
                    audits.take(share, (2, at(*n)), &random)
                } else {
                    audits.pass(share);
                    false
                }
            })
            .count()
    }

    #[test]
    fn of_many_hits_the_share_is_chosen() {
        let tenth = chosen(0.1, 50_000);
        assert!((4_700..5_300).contains(&tenth), "{tenth}");
        assert_eq!(chosen(1.0, 500), 500);
        assert_eq!(chosen(0.0, 500), 0);
    }

    #[test]
    fn isolates_that_end_soon_audit_their_share() {
        let random = seeded();
        let one = || {
            let mut audits = Audits::default();
            (0..10).any(|_| audits.take(0.01, (2, NOW), &random))
        };
        let chosen = (0..10_000).filter(|_| one()).count();
        assert!((850..1_100).contains(&chosen), "{chosen}");
    }

    #[test]
    fn a_minute_has_a_budget() {
        let (mut audits, random) = (Audits::default(), seeded());
        let mut minute = |at: Timestamp, give_back: bool| {
            (0..1_000)
                .filter(|_| {
                    let chosen = audits.take(1.0, (10, at), &random);
                    if chosen && give_back {
                        audits.give_back(at);
                    }
                    chosen
                })
                .count()
        };
        assert_eq!(minute(NOW, false), 5, "two requests each");
        assert_eq!(minute(NOW.plus(Millis(60_000)), true), 9, "a second one has to have room");
    }

    #[test]
    fn nothing_is_audited_after_a_failure() {
        let (mut audits, random) = (Audits::default(), seeded());
        audits.note_failure(NOW);
        let at = |seconds: u64| NOW.plus(Millis(seconds * 1_000));
        assert!(!audits.is_due(1.0, 10, at(59)) && !audits.take(1.0, (10, at(59)), &random));
        assert!(audits.take(1.0, (10, at(60)), &random));
    }

    #[test]
    fn what_differs_at_every_render_is_news_once_an_hour() {
        let mut audits = Audits::default();
        let page = |n: u32| KeyDigest::from_stored(n.to_string());
        assert!(audits.note_every_render(&page(1), NOW));
        assert!(!audits.note_every_render(&page(1), NOW.plus(Millis(3_599_999))));
        assert!(audits.note_every_render(&page(1), NOW.plus(Millis(3_600_000))));
        for n in 0..1_000 {
            audits.note_every_render(&page(n), NOW);
        }
        assert!(audits.known.len() <= super::MAX_KNOWN);
    }
}
