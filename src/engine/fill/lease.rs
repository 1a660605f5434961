//! The terms of a fetch: the lease of the page's shard, and where the result may go.

use crate::base::time::Epoch;
use crate::cache::key::Selection;
use crate::cache::tag::TagSet;
use crate::index::Grant;

/// Why a page of a new key may stay in its colo.
pub(super) const KEY_BUDGET: &str = "key-budget";

/// The terms of a fetch.
pub(crate) struct Lease {
    /// Where its result may go.
    pub(crate) scope: StoreScope,
    /// Its fencing number; 0 without a lease.
    pub(crate) fence: u64,
    /// The highest epoch that the shard knew.
    pub(crate) stamp: Epoch,
    /// The page's known tags: the shard's, or without it those of the copies that were seen.
    pub(crate) tags: TagSet,
    /// The fields that the page is known to vary on.
    pub(crate) vary: Vec<String>,
    /// Whether the page was never seen before.
    pub(crate) first: bool,
    /// Whether the shard knows of something that is stored of the variant.
    pub(crate) stored: bool,
    /// The variant that was leased.
    pub(crate) leased: Selection,
}

/// Where a fetch's result may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreScope {
    /// To L2 and the index, and so to the world.
    World,
    /// To this colo alone, with the reason.
    Colo(&'static str),
}

impl Lease {
    /// A shard's lease for a variant.
    pub(crate) fn of(grant: Grant, leased: Selection) -> Self {
        Self {
            scope: StoreScope::World,
            fence: grant.fence,
            stamp: grant.stamp,
            tags: grant.tags,
            vary: grant.vary,
            first: grant.first,
            stored: grant.stored,
            leased,
        }
    }

    pub(crate) fn alone(why: &'static str, leased: Selection, tags: TagSet) -> Self {
        Self {
            scope: StoreScope::Colo(why),
            fence: 0,
            stamp: Epoch::ZERO,
            tags,
            vary: Vec::new(),
            first: false,
            stored: false,
            leased,
        }
    }
}
