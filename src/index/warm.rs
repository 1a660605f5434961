//! What becomes of a queued warm: fetch, wait, done, try again, or give up. Pure; the queue itself
//! is the index's.
//!
//! A warm is for an epoch. It is done once the variant is stored with a stamp at or past that
//! epoch, whoever fetched it; never because somebody is about to (`warm_waits`), and never for a
//! later epoch that was queued meanwhile (`warm_cas`). Tries are counted when they begin, so that a
//! warm which takes its object down ends as a dead letter as well.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::base::time::{Epoch, Millis, Timestamp};
use crate::cache::key::KeyDigest;
use crate::index::lease::{Holder, Version};

/// The pause after the first failure; three times as long after each further one.
pub const FIRST_PAUSE: Millis = Millis(1_000);
/// The longest pause before jitter.
pub const LONGEST_PAUSE: Millis = Millis(300_000);

/// What a warm asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmTarget {
    /// The lowest stamp that counts.
    pub epoch: Epoch,
    /// Copies up to this fencing number don't count: the warm was asked for because of them.
    pub above_fence: u64,
}

impl WarmTarget {
    /// Whether a stored copy is what the warm was queued for.
    #[must_use]
    pub const fn is_met_by(self, stored: Version) -> bool {
        stored.stamp.0 >= self.epoch.0 && stored.fence > self.above_fence
    }
}

/// What to do with a queued warm now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarmStep {
    /// It is done: a copy that covers it is stored.
    Done,
    /// A lease holder's result will cover it: look again when that lease ends, or when it is given
    /// back.
    Wait(Timestamp),
    /// Fetch.
    Fetch,
    /// All tries were begun and none ended: give it up.
    GiveUp,
}

/// Decides about a queued warm that was tried `attempts` times.
#[must_use]
pub fn next(
    want: WarmTarget,
    stored: Option<Version>,
    holder: Option<Holder>,
    attempts: u32,
    most_attempts: u32,
    now: Timestamp,
) -> WarmStep {
    if stored.is_some_and(|stored| want.is_met_by(stored)) {
        return WarmStep::Done;
    }
    match holder {
        Some(holder) if holder.covers(want.epoch, now) => WarmStep::Wait(holder.until),
        Some(_) | None if attempts >= most_attempts.max(1) => WarmStep::GiveUp,
        Some(_) | None => WarmStep::Fetch,
    }
}

/// When a warm that failed is tried again; none: it is given up. `attempts` includes the failed
/// one.
#[must_use]
pub fn retry(
    variant: &KeyDigest,
    attempts: u32,
    most_attempts: u32,
    now: Timestamp,
) -> Option<Timestamp> {
    retry_of(variant.as_str(), attempts, most_attempts, now)
}

/// The same for anything that has a name.
#[must_use]
pub fn retry_of(
    name: &str,
    attempts: u32,
    most_attempts: u32,
    now: Timestamp,
) -> Option<Timestamp> {
    (attempts < most_attempts.max(1)).then(|| now.plus(pause_of(name, attempts)))
}

/// The pause before the next try: exponential, spread by a quarter up and down. The spread comes
/// from variant and attempt, so that nothing here is random.
#[must_use]
pub fn pause(variant: &KeyDigest, attempts: u32) -> Millis {
    pause_of(variant.as_str(), attempts)
}

fn pause_of(name: &str, attempts: u32) -> Millis {
    let factor = 3u64.saturating_pow(attempts.saturating_sub(1));
    let whole = FIRST_PAUSE.0.saturating_mul(factor).min(LONGEST_PAUSE.0);
    let mut hasher = SipHasher13::new();
    hasher.write(name.as_bytes());
    hasher.write_u32(attempts);
    Millis(whole - whole / 4 + hasher.finish() % (whole / 2 + 1))
}
