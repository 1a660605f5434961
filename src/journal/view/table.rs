//! The view's memory: epochs by target, and the buckets of dropped targets.
//!
//! Merging takes the maximum of each part (`keep_both`, `view_max`), so the order of arrival does
//! not matter.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::base::time::{Epoch, Timestamp};
use crate::cache::entry::map_bytes;
use crate::cache::tag::TargetHash;
use crate::journal::delta::{Bucket, TargetRow};

const BUCKETS: usize = 1 << 16;

/// A target's hash is one already.
#[derive(Clone, Copy, Debug, Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TargetEpochs {
    soft: Epoch,
    hard: Epoch,
    soft_at: Timestamp,
}

impl TargetEpochs {
    fn newest(&self) -> Epoch {
        self.soft.max(self.hard)
    }
}

/// What stands against a stored response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NewerInvalidation {
    /// The newest soft invalidation after its stamp, and when the oldest of its targets' was
    /// accepted.
    pub(super) soft: Option<(Epoch, Timestamp)>,
    /// The newest hard one.
    pub(super) hard: Option<Epoch>,
    /// The newest bucket that something hard fell into.
    pub(super) unprovable: Option<Epoch>,
    /// The newest that something fell into softly.
    pub(super) soft_unprovable: Option<Epoch>,
}

#[derive(Debug)]
pub(super) struct Table {
    rows: HashMap<TargetHash, TargetEpochs, BuildHasherDefault<Identity>>,
    /// Highest epochs per bucket, of anything and of what was hard.
    buckets: Buckets,
    hard_buckets: Buckets,
    capacity: usize,
}

impl Table {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            rows: HashMap::default(),
            buckets: Buckets::default(),
            hard_buckets: Buckets::default(),
            capacity: capacity.max(1),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        let buckets = [&self.buckets, &self.hard_buckets].map(Buckets::bytes);
        map_bytes::<TargetHash, TargetEpochs>(self.rows.capacity()) + buckets.iter().sum::<u64>()
    }

    pub(super) fn merge(&mut self, rows: &[TargetRow], buckets: &[Bucket]) {
        for row in rows {
            let held = self.rows.entry(row.hash).or_insert(TargetEpochs {
                soft: Epoch::ZERO,
                hard: Epoch::ZERO,
                soft_at: Timestamp::ZERO,
            });
            if (row.soft, row.soft_at) > (held.soft, held.soft_at) {
                held.soft = row.soft;
                held.soft_at = row.soft_at;
            }
            held.hard = held.hard.max(row.hard);
        }
        for bucket in buckets {
            self.raise(bucket.bucket, bucket.epoch, bucket.hard);
        }
    }

    /// What of these targets is newer than the stamp.
    pub(super) fn overtaken(&self, targets: &[TargetHash], stamp: Epoch) -> NewerInvalidation {
        let mut overtaken = NewerInvalidation::default();
        for target in targets {
            let Some(held) = self.rows.get(target) else { continue };
            if held.hard > stamp {
                overtaken.hard = overtaken.hard.max(Some(held.hard));
            }
            if held.soft > stamp {
                overtaken.soft = Some(match overtaken.soft {
                    Some((epoch, at)) => (epoch.max(held.soft), at.min(held.soft_at)),
                    None => (held.soft, held.soft_at),
                });
            }
        }
        overtaken.soft_unprovable = self.buckets.newest(targets, stamp);
        if self.hard_buckets.newest(targets, stamp).is_some() {
            overtaken.unprovable = overtaken.soft_unprovable;
        }
        overtaken
    }

    /// Merges the oldest targets into their buckets, once there are a quarter more than the
    /// capacity.
    pub(super) fn merge_oldest(&mut self) {
        if self.rows.len() <= self.capacity + self.capacity / 4 {
            return;
        }
        let newest_out = self.epoch_of(self.rows.len() - self.capacity);
        let mut dropped = Vec::new();
        self.rows.retain(|hash, held| {
            let epoch = held.newest();
            if epoch <= newest_out {
                dropped.push((hash.bucket(), epoch, held.hard));
            }
            epoch > newest_out
        });
        self.rows.shrink_to(self.capacity);
        for (bucket, epoch, hard) in dropped {
            self.raise(bucket, epoch, hard);
        }
    }

    /// The lowest epoch that `count` rows are not past; by halving, so that nothing is sorted or
    /// copied.
    fn epoch_of(&self, count: usize) -> Epoch {
        let highest = self.rows.values().map(TargetEpochs::newest).max();
        let (mut low, mut high) = (0, highest.unwrap_or(Epoch::ZERO).0);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.rows.values().filter(|held| held.newest().0 <= middle).count() < count {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Epoch(low)
    }

    fn raise(&mut self, bucket: u16, epoch: Epoch, hard: Epoch) {
        self.buckets.raise(bucket, epoch);
        if hard > Epoch::ZERO {
            self.hard_buckets.raise(bucket, hard);
        }
    }
}

/// The highest epoch per bucket.
#[derive(Debug, Default)]
struct Buckets {
    /// There once anything fell in.
    epochs: Option<Box<[Epoch]>>,
    /// The highest of them: most stamps are past it.
    highest: Epoch,
}

impl Buckets {
    fn bytes(&self) -> u64 {
        self.epochs.as_deref().map_or(0, |epochs| size_of_val(epochs) as u64)
    }

    fn raise(&mut self, bucket: u16, epoch: Epoch) {
        let epochs =
            self.epochs.get_or_insert_with(|| vec![Epoch::ZERO; BUCKETS].into_boxed_slice());
        if let Some(held) = epochs.get_mut(usize::from(bucket)) {
            *held = epoch.max(*held);
        }
        self.highest = self.highest.max(epoch);
    }

    /// The newest epoch past a stamp in any of the targets' buckets.
    fn newest(&self, targets: &[TargetHash], stamp: Epoch) -> Option<Epoch> {
        let epochs = self.epochs.as_ref().filter(|_| self.highest > stamp)?;
        let of = |target: &TargetHash| epochs.get(usize::from(target.bucket())).copied();
        targets.iter().filter_map(of).max().filter(|epoch| *epoch > stamp)
    }
}
