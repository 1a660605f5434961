//! What a delta is made of: targets by name, and buckets.

use crate::base::time::{Epoch, Timestamp};
use crate::cache::tag::TargetHash;

/// One target's latest invalidations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetRow {
    /// The target.
    pub hash: TargetHash,
    /// Its latest soft invalidation; [`Epoch::ZERO`] if there is none.
    pub soft: Epoch,
    /// Its latest hard invalidation; [`Epoch::ZERO`] if there is none.
    pub hard: Epoch,
    /// When the journal accepted the soft one.
    pub soft_at: Timestamp,
}

impl TargetRow {
    /// The later of both.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.soft.max(self.hard)
    }
}

/// A bucket of dropped targets: the highest epochs that any of them had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its number: [`TargetHash::bucket`].
    pub bucket: u16,
    /// The highest epoch.
    pub epoch: Epoch,
    /// The highest of a hard invalidation; what is past it fell in softly.
    pub hard: Epoch,
}
