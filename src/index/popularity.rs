//! A page's popularity: how recently and how often it was asked for, in one number.
//!
//! The number is a time: that at which a single request would make the page as popular as its
//! requests did so far, each of which counts half as much after an hour. So two pages can be
//! compared at any later time without being brought up to date, and a page that nobody asks for any
//! more falls behind by itself. Sums are within a minute or two of exact, which is as fine as the
//! order of refetches needs.

use crate::base::time::{Millis, Timestamp};

/// How long it takes a request to count half.
pub const HALF_LIFE: Millis = Millis(3_600_000);
/// A smaller gain is not worth a write.
pub const WORTH_NOTING: Millis = Millis(60_000);

/// A page's popularity. Never asked for: the beginning of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Popularity(pub Timestamp);

impl Popularity {
    /// After so many further requests, just now.
    #[must_use]
    pub fn after(self, requests: u32, now: Timestamp) -> Self {
        // n at once are as one that comes n half-lives' logarithm later.
        let new = now.plus(halves(log2(requests.max(1))));
        let (more, less) = if new > self.0 { (new, self.0) } else { (self.0, new) };
        Self(more.plus(halves(log2_of_sum(more.since(less)))))
    }

    /// Whether another popularity is so much more that it is worth a write.
    #[must_use]
    pub fn is_worth(self, before: Self) -> bool {
        self.0.since(before.0) >= WORTH_NOTING
    }
}

/// Thousandths of a half-life.
fn halves(thousandths: u64) -> Millis {
    Millis(HALF_LIFE.0 / 1_000 * thousandths)
}

/// The logarithm in thousandths: straight lines between the powers of two.
fn log2(n: u32) -> u64 {
    let whole = u64::from(n.max(1).ilog2());
    let power = 1u64 << whole;
    whole * 1_000 + (u64::from(n.max(1)) - power) * 1_000 / power
}

/// What a second part adds that is less by so many half-lives: `log2(1 + 2^-x)` in thousandths,
/// straight lines between whole x.
fn log2_of_sum(apart: Millis) -> u64 {
    const ADDS: [u64; 10] = [1_000, 585, 322, 170, 87, 44, 22, 11, 6, 0];
    let whole = usize::try_from(apart.0 / HALF_LIFE.0).unwrap_or(usize::MAX);
    match (ADDS.get(whole), ADDS.get(whole.saturating_add(1))) {
        (Some(&at), Some(&next)) => at - (at - next) * (apart.0 % HALF_LIFE.0) / HALF_LIFE.0,
        (Some(_) | None, Some(_) | None) => 0,
    }
}
