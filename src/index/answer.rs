//! What an index shard answers. The same rules of versions as for its calls: [`super::message`].

use serde::{Deserialize, Serialize};

use crate::base::time::{Epoch, Millis, Timestamp};
use crate::cache::key::{CacheKey, Page, Selection};
use crate::cache::tag::TagSet;

/// What a shard answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShardReply {
    /// To [`super::ShardCall::Lease`].
    Lease(LeaseReply),
    /// To [`super::ShardCall::Record`].
    Recorded(Recorded),
    /// To [`super::ShardCall::Invalidate`].
    Invalidated(Invalidated),
    /// To [`super::ShardCall::InvalidateMany`], in its order.
    InvalidatedMany(Vec<Invalidated>),
    /// To [`super::ShardCall::Count`].
    Counted {
        /// Pages found.
        pages: u64,
        /// Whether that is all of them: counting stops at a bound.
        complete: bool,
    },
    /// To [`super::ShardCall::Job`].
    Job {
        /// None if the shard does not know the job.
        #[serde(default)]
        progress: Option<JobProgress>,
    },
    /// To [`super::ShardCall::Jobs`], by their ids.
    Jobs(Vec<(String, JobProgress)>),
    /// To [`super::ShardCall::Replay`].
    Replayed {
        /// Dead letters queued again.
        count: u64,
    },
    /// To [`super::ShardCall::TagPages`] and [`super::ShardCall::PagesByUrl`].
    Pages {
        /// The pages.
        pages: Vec<PageInfo>,
        /// Where to go on; none at the end.
        #[serde(default)]
        cursor: Option<u64>,
    },
    /// To [`super::ShardCall::Known`], in its order: keys, then URLs.
    Known(Vec<bool>),
    /// Done.
    Done,
    /// To [`super::ShardCall::Status`].
    Status(ShardStatus),
    /// To [`super::ShardCall::Move`].
    Moved {
        /// Whether it has taken what came, durably; if nothing came, whether all pages here are its
        /// own. Otherwise ask again.
        done: bool,
    },
}

impl ShardReply {
    /// Its name on the wire: for logs, which must not hold what it carries.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Lease(_) => "lease",
            Self::Recorded(_) => "recorded",
            Self::Invalidated(_) => "invalidated",
            Self::InvalidatedMany(_) => "invalidated_many",
            Self::Counted { .. } => "counted",
            Self::Job { .. } => "job",
            Self::Jobs(_) => "jobs",
            Self::Replayed { .. } => "replayed",
            Self::Pages { .. } => "pages",
            Self::Known(_) => "known",
            Self::Done => "done",
            Self::Status(_) => "status",
            Self::Moved { .. } => "moved",
        }
    }
}

/// The answer to a [`super::LeaseRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseReply {
    /// Fetch from the origin, store in L2 and L1, record.
    Grant(Grant),
    /// L2 has it but does not show it here yet: fetch from the origin for this colo, store in L1
    /// only, don't record.
    Ticket(Grant),
    /// L2 has it.
    Ready(Ready),
    /// Another holds the lease: look into L1, then ask again.
    Wait {
        /// When to ask again.
        retry: Millis,
        /// As in [`Ready::latest_fence`].
        #[serde(default)]
        latest_fence: u64,
    },
    /// The page varies on these request fields (lower case, sorted): ask again with that selection.
    Vary {
        /// Their names.
        names: Vec<String>,
    },
}

/// The right to fetch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The fencing number, higher than any before.
    pub fence: u64,
    /// The stamp of what is fetched now: the highest epoch that the requester and the shard know.
    pub stamp: Epoch,
    /// The page's known tags: a response without tags inherits them.
    #[serde(default)]
    pub tags: TagSet,
    /// The names that the page is known to vary on: unite the response's `Vary` with them.
    #[serde(default)]
    pub vary: Vec<String>,
    /// Whether the page was neither recorded nor asked for before.
    #[serde(default)]
    pub first: bool,
    /// Whether something is stored of the variant.
    #[serde(default)]
    pub stored: bool,
    /// The status of that; none where nothing is stored, or the shard is of the version before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_status: Option<u16>,
}

/// Where L2 has a variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Its key in L2.
    pub l2_key: String,
    /// Its fencing number. Judge the entry again by your own view.
    pub fence: u64,
    /// The newest fencing number given to anyone. What carries a higher one than this request's
    /// first answer said was fetched after the request came.
    #[serde(default)]
    pub latest_fence: u64,
}

/// The answer to a [`super::RecordRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Whether the shard now names this fetch's copy; a newer one may stand.
    pub accepted: bool,
    /// Whether a stored variant was forgotten, because there is nothing to store any more.
    #[serde(default)]
    pub dropped: bool,
    /// What it brought beside what was stored before; none where that can't be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refetch: Option<Refetch>,
}

/// What a refetch brought, beside what it took the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refetch {
    /// Something else, or nothing that may be stored any more.
    Changed,
    /// The same, byte for byte: it was for nothing.
    Unchanged,
}

/// The answer to [`super::ShardCall::Invalidate`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invalidated {
    /// Pages found so far.
    pub pages: u64,
    /// Warms queued so far.
    pub warming: u64,
    /// Whether that is all: a large target is expanded in slices.
    #[serde(default)]
    pub complete: bool,
    /// The highest epoch that the shard has ever seen.
    #[serde(default)]
    pub seen: Epoch,
    /// Pages that may be stored in colos and are not in the index, as far as is known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unknown: u64,
}

/// How far a job's warms are, in one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobProgress {
    /// Its epoch.
    pub epoch: Epoch,
    /// Pages found.
    pub pages: u64,
    /// Warms in all.
    pub total: u64,
    /// Waiting for their turn.
    pub queued: u64,
    /// Under way.
    pub running: u64,
    /// Fetched and stored, or nothing left to store.
    pub done: u64,
    /// Those of them that brought something else than what was stored.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub changed: u64,
    /// Those that brought the same.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unchanged: u64,
    /// Dead letters.
    pub failed: u64,
    /// Taken over by a newer invalidation of the same page.
    pub superseded: u64,
    /// Whether all of its pages have been found.
    pub complete: bool,
    /// When one of its warms ended last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// Some of its dead letters.
    #[serde(default)]
    pub failures: Vec<WarmFailure>,
    /// Those of the queued that have failed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrying: Option<Retrying>,
    /// Pages that may be stored in colos and are not in the index, as far as is known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unknown: u64,
}

/// Pages of a job that have failed and will be tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retrying {
    /// How many.
    pub pages: u64,
    /// The most tries of one of them.
    pub attempts: u32,
    /// Why its last try failed.
    pub reason: String,
    /// When one of them is tried next.
    pub next_try: Timestamp,
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmFailure {
    /// The page's URL.
    pub url: String,
    /// Why its last try failed.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was given up.
    pub at: Timestamp,
}

/// A page as the index knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageInfo {
    /// Its address.
    pub page: Page,
    /// Its primary key.
    pub key: CacheKey,
    /// The request fields that it varies on.
    #[serde(default)]
    pub vary: Vec<String>,
    /// Its tags.
    pub tags: TagSet,
    /// Its variants.
    pub variants: Vec<VariantInfo>,
}

/// A variant as the index knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariantInfo {
    /// What its `Vary` selected.
    pub selection: Selection,
    /// Its status.
    pub status: u16,
    /// Its stamp.
    pub stamp: Epoch,
    /// Its fencing number.
    pub fence: u64,
    /// Where L2 has it.
    #[serde(default)]
    pub l2_key: Option<String>,
    /// When it was recorded.
    pub stored_at: Timestamp,
    /// What was stored of it before, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<StoredOnce>,
    /// Until when it is fresh.
    pub fresh_until: Timestamp,
    /// Until when it is kept.
    pub keep_until: Timestamp,
    /// When a warm last stored it.
    #[serde(default)]
    pub warmed_at: Option<Timestamp>,
    /// The epoch that a queued warm is for.
    #[serde(default)]
    pub warming: Option<Epoch>,
    /// How many refetches brought something else than what was stored.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub changed: u64,
    /// How many brought the same.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unchanged: u64,
}

/// Something that was stored of a variant once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredOnce {
    /// When.
    pub at: Timestamp,
    /// Its stamp.
    pub stamp: Epoch,
    /// Whether a warm brought it, and no visitor waited.
    pub warmed: bool,
}

/// A shard in numbers. What is counted is counted up to [`super::MAX_COUNTED`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardStatus {
    /// The highest epoch it has ever seen.
    pub seen: Epoch,
    /// Pages.
    pub pages: u64,
    /// Variants.
    pub variants: u64,
    /// Warms that wait or run.
    pub warms: u64,
    /// Dead letters.
    pub dead: u64,
    /// Targets whose pages are still to be found.
    pub expanding: u64,
    /// Sitemaps that are still to be read or handed out.
    #[serde(default)]
    pub importing: u64,
    /// Damaged rows that were taken out.
    #[serde(default)]
    pub damaged: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}
