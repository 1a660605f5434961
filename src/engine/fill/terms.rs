//! The terms of a fetch: the lease of the page's shard, or why there is none. They say where the
//! result may go, and what is known of the page beforehand.

use crate::base::time::Epoch;
use crate::cache::key::Selection;
use crate::cache::tag::TagSet;
use crate::index::{Grant, WarmTask};

/// The terms of a fetch.
pub(crate) enum FetchTerms {
    /// Under a lease: the result goes to L2 and the index, and so to the world.
    Leased(Lease),
    /// L2 has what is needed, and does not show it here yet: the result stays in this colo.
    L2Lags(Grant),
    /// Without a shard's word: the result stays in this colo. With the tags of the copies that were
    /// seen.
    Unleased(Unleased, TagSet),
}

/// A shard's lease for a variant.
pub(crate) struct Lease {
    /// Its fencing number.
    pub(crate) fence: u64,
    /// The highest epoch that the shard knew.
    pub(crate) stamp: Epoch,
    /// The page's known tags.
    pub(crate) tags: TagSet,
    /// The fields that the page is known to vary on.
    pub(crate) vary: Vec<String>,
    /// Whether the page was never seen before.
    pub(crate) first: bool,
    /// Whether the shard knows of something that is stored of the variant.
    pub(crate) stored: bool,
    /// The status of that.
    pub(crate) stored_status: Option<u16>,
    /// The variant that was leased.
    pub(crate) variant: Selection,
}

/// Why a page is fetched without a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unleased {
    /// The host's budget of new keys is spent.
    KeyBudget,
    /// Another held the lease for as long as one waits.
    LeaseTimeout,
    /// The shard did not understand.
    IndexFailed,
    /// The shard could not be reached.
    IndexUnreachable,
}

impl Unleased {
    /// In Cache-Status.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::KeyBudget => "key-budget",
            Self::LeaseTimeout => "lease-timeout",
            Self::IndexFailed => "index-failed",
            Self::IndexUnreachable => "index-unreachable",
        }
    }
}

impl Lease {
    /// What a shard granted for a variant.
    pub(crate) fn of(grant: Grant, variant: Selection) -> Self {
        Self {
            fence: grant.fence,
            stamp: grant.stamp,
            tags: grant.tags,
            vary: grant.vary,
            first: grant.first,
            stored: grant.stored,
            stored_status: grant.stored_status,
            variant,
        }
    }

    /// The one that a shard holds for its warm.
    pub(crate) fn of_warm(task: &WarmTask) -> Self {
        Self {
            fence: task.fence,
            stamp: task.stamp,
            tags: task.tags.clone(),
            vary: task.vary.clone(),
            first: false,
            stored: task.stored.is_some(),
            stored_status: task.stored_status,
            variant: task.selection.clone(),
        }
    }
}

impl FetchTerms {
    /// The lease, if there is one.
    pub(crate) const fn lease(&self) -> Option<&Lease> {
        match self {
            Self::Leased(lease) => Some(lease),
            Self::L2Lags(_) | Self::Unleased(..) => None,
        }
    }

    /// Why the result stays in this colo, if it does.
    pub(crate) const fn why_colo_only(&self) -> Option<&'static str> {
        match self {
            Self::Leased(_) => None,
            Self::L2Lags(_) => Some("l2-lags"),
            Self::Unleased(why, _) => Some(why.as_str()),
        }
    }

    /// The fencing number of what is fetched: 0 where no shard gave one.
    pub(crate) const fn fence(&self) -> u64 {
        match self {
            Self::Leased(lease) => lease.fence,
            Self::L2Lags(grant) => grant.fence,
            Self::Unleased(..) => 0,
        }
    }

    /// The highest epoch that the shard knew, if it was asked.
    pub(crate) const fn stamp(&self) -> Option<Epoch> {
        match self {
            Self::Leased(lease) => Some(lease.stamp),
            Self::L2Lags(grant) => Some(grant.stamp),
            Self::Unleased(..) => None,
        }
    }

    /// The page's known tags.
    pub(crate) const fn tags(&self) -> &TagSet {
        match self {
            Self::Leased(lease) => &lease.tags,
            Self::L2Lags(grant) => &grant.tags,
            Self::Unleased(_, tags) => tags,
        }
    }

    /// The fields that the page is known to vary on.
    pub(crate) fn vary(&self) -> &[String] {
        match self {
            Self::Leased(lease) => &lease.vary,
            Self::L2Lags(grant) => &grant.vary,
            Self::Unleased(..) => &[],
        }
    }

    /// The status of what the shard knows to be stored of the variant.
    pub(crate) const fn stored_status(&self) -> Option<u16> {
        match self {
            Self::Leased(lease) => lease.stored_status,
            Self::L2Lags(grant) => grant.stored_status,
            Self::Unleased(..) => None,
        }
    }

    /// Whether the shard knows of something that is stored of the variant.
    pub(crate) const fn is_stored(&self) -> bool {
        match self {
            Self::Leased(lease) => lease.stored,
            Self::L2Lags(grant) => grant.stored,
            Self::Unleased(..) => false,
        }
    }
}
