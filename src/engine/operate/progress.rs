//! How often a call that waits asks how far a job is. Each question is a request to the journal and
//! one to every shard, and the platform grants a request a number of them.

use crate::base::time::Millis;

/// Requests to objects that one call may spend on questions: below the 1,000 of a request
/// (<https://developers.cloudflare.com/workers/platform/limits/#subrequests>), with room for what
/// else it does.
pub(super) const MAX_REQUESTS: u32 = 800;

/// What a question asks of the journal at most: for the job, and how many shards there are, which
/// is asked twice if it breaks off.
pub(super) const OF_JOURNAL: u32 = 3;

/// How often an object is asked that breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tries {
    /// Whoever asks does so again, and has only so many requests.
    Once,
    /// The answer is wanted now.
    Twice,
}

/// Asks often at first, then less, and ends when what is granted is spent.
#[derive(Debug)]
pub(super) struct Questions {
    left: u32,
}

impl Questions {
    /// What is left when so many objects were asked before, each twice if it broke off.
    pub(super) const fn after(objects: u32) -> Self {
        Self { left: MAX_REQUESTS.saturating_sub(2 * objects) }
    }

    /// The pause before the next question to so many objects, after `elapsed`; none if there is
    /// none left.
    pub(super) const fn next(&mut self, objects: u32, elapsed: Millis) -> Option<Millis> {
        if self.left < objects {
            return None;
        }
        self.left -= objects;
        Some(match elapsed.0 {
            0..5_000 => Millis(200),
            5_000..30_000 => Millis(1_000),
            _ => Millis(5_000),
        })
    }
}
