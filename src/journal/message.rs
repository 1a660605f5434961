//! What isolates and the control API say to the journal, and what it answers.
//!
//! JSON, each message under its name: `{"sync":{"since":7}}`, `"status"`. (With the name inside the
//! message, readers would have to buffer it first: twice the code and a copy.) A version
//! understands the one before and the one after: fields are only added, each with a default; what
//! is a bare name stays one; a call that a version does not know fails to parse, which its receiver
//! answers as such.

use serde::{Deserialize, Serialize};

use crate::base::time::{Epoch, Millis, Timestamp};
use crate::cache::tag::{Target, TargetHash};
use crate::journal::audit::{AuditReply, AuditRequest, Finding};
use crate::journal::delta::{Delta, Found, hashes};
use crate::journal::history::{HistoryReply, HistoryRequest};
use crate::journal::invalidation::{CalledBy, Mode, RecordedInvalidation};
use crate::journal::report::{Report, StatsReply, StatsRequest};
use crate::journal::schedule_message::{Cancelled, ScheduleReply, ScheduleRequest, Scheduled};

/// How a front cache stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrontCacheState {
    /// Its name.
    pub name: String,
    /// Invalidations that it has not taken.
    #[serde(default)]
    pub waiting: u64,
    /// Why not, once a try has failed.
    #[serde(default)]
    pub failure: Option<String>,
    /// Those of them that it has accepted and works on.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub in_progress: u64,
}

#[cfg_attr(
    not(target_arch = "wasm32"),
    expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")
)]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A call to the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JournalCall {
    /// What is new? Answered by [`JournalReply::Delta`].
    Sync(SyncRequest),
    /// How do these targets stand? Answered by [`JournalReply::Found`].
    Lookup(LookupRequest),
    /// Invalidate. Answered by [`JournalReply::Appended`].
    Append(Append),
    /// What became of an invalidation? Answered by [`JournalReply::Job`].
    Job {
        /// The id of its [`Append`].
        id: String,
    },
    /// How is the journal? Answered by [`JournalReply::Status`].
    Status,
    /// What an object's isolate has counted, which asks for no news. Answered by
    /// [`JournalReply::Reported`].
    Report(Report),
    /// What was counted in a time? Answered by [`JournalReply::Stats`].
    Stats(StatsRequest),
    /// What was invalidated? Answered by [`JournalReply::History`].
    History(HistoryRequest),
    /// Invalidate at a time. Answered by [`JournalReply::Scheduled`].
    Schedule(ScheduledAppend),
    /// Don't. Answered by [`JournalReply::Cancelled`].
    Cancel {
        /// The id of its [`Append`].
        id: String,
    },
    /// What waits for its time? Answered by [`JournalReply::Waiting`].
    Waiting(ScheduleRequest),
    /// An audit has found something. Answered by [`JournalReply::Done`].
    Finding(Box<Finding>),
    /// What have audits found? Answered by [`JournalReply::Audit`].
    Audit(AuditRequest),
}

/// Asks for what was invalidated after `since`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRequest {
    /// The base; none for a snapshot.
    #[serde(default)]
    pub since: Option<Epoch>,
    /// The highest epoch that the requester has ever seen. Higher than the journal's head: the
    /// journal was restored.
    #[serde(default)]
    pub seen: Epoch,
    /// What the requester has counted, if it is time to report. [`Delta::reported`] says that it
    /// was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
}

/// Asks how some targets stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupRequest {
    /// The targets.
    #[serde(with = "hashes")]
    pub targets: Vec<TargetHash>,
    /// As in [`SyncRequest::seen`].
    #[serde(default)]
    pub seen: Epoch,
}

/// Invalidates targets, under one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// The webhook's id, or one given by the caller. The same id twice is the same invalidation.
    pub id: String,
    /// A digest of what was asked: the same id with another digest is a conflict.
    pub body_digest: String,
    /// What to invalidate.
    pub targets: Vec<Target>,
    /// Soft or hard.
    pub mode: Mode,
    /// Whether the pages are refetched without a visitor waiting.
    #[serde(default)]
    pub warm: bool,
    /// Invalidate once more, under an epoch of its own, after this time (zero: don't). A render
    /// from a lagging replica carries a stamp that is current, so that a second fetch alone would
    /// not replace it everywhere.
    #[serde(default)]
    pub reinvalidate_after: Millis,
    /// The caller's words.
    #[serde(default)]
    pub reason: String,
    /// The caller does not ask how many pages are concerned: the answer need not wait for the
    /// shards.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uncounted: bool,
    /// A visitor's unsafe request caused it: no page is refetched for it, so no shard gets it, and
    /// caches in front of the edge get it once a minute.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsafe_method: bool,
    /// Who asks, for the history.
    #[serde(default)]
    pub by: CalledBy,
}

/// An invalidation at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledAppend {
    /// What is to be done.
    pub append: Append,
    /// When.
    pub at: Timestamp,
}

/// What the journal answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JournalReply {
    /// To [`JournalCall::Sync`].
    Delta(Delta),
    /// To [`JournalCall::Lookup`].
    Found(Found),
    /// To [`JournalCall::Append`].
    Appended(Appended),
    /// To [`JournalCall::Job`].
    Job {
        /// The invalidation; none if its id is not known (any more).
        #[serde(default)]
        job: Option<JobRecord>,
    },
    /// Done.
    Done,
    /// To [`JournalCall::Status`].
    Status(JournalStatus),
    /// To [`JournalCall::Report`]: it was counted, now or before.
    Reported {
        /// Its number.
        number: u64,
    },
    /// To [`JournalCall::Stats`].
    Stats(StatsReply),
    /// To [`JournalCall::History`].
    History(HistoryReply),
    /// To [`JournalCall::Schedule`].
    Scheduled(Scheduled),
    /// To [`JournalCall::Cancel`].
    Cancelled(Cancelled),
    /// To [`JournalCall::Waiting`].
    Waiting(ScheduleReply),
    /// To [`JournalCall::Audit`].
    Audit(AuditReply),
}

impl JournalReply {
    /// Its name on the wire: for logs, which must not hold what it carries.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Delta(_) => "delta",
            Self::Found(_) => "found",
            Self::Appended(_) => "appended",
            Self::Job { .. } => "job",
            Self::Done => "done",
            Self::Status(_) => "status",
            Self::Reported { .. } => "reported",
            Self::Stats(_) => "stats",
            Self::History(_) => "history",
            Self::Scheduled(_) => "scheduled",
            Self::Cancelled(_) => "cancelled",
            Self::Waiting(_) => "waiting",
            Self::Audit(_) => "audit",
        }
    }
}

/// What became of an [`Append`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Appended {
    /// Recorded.
    New {
        /// Its epoch.
        epoch: Epoch,
        /// The pages it concerns; none until every shard has answered.
        #[serde(default)]
        pages: Option<u64>,
        /// The warms it queued; none until every shard has answered.
        #[serde(default)]
        warming: Option<u64>,
        /// Pages that may be stored in colos and are not in the index; none until every
        /// shard has answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unknown: Option<u64>,
    },
    /// It was recorded before: answer as then.
    Repeated {
        /// Its epoch.
        epoch: Epoch,
    },
    /// The id was used with another body: 409, nothing recorded.
    Conflict,
}

impl Appended {
    /// Recorded, before any shard has it.
    #[must_use]
    pub const fn recorded(epoch: Epoch) -> Self {
        Self::New { epoch, pages: None, warming: None, unknown: None }
    }
}

/// An invalidation as the journal remembers it. How far its warms are, the shards know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// The invalidation.
    #[serde(flatten)]
    pub invalidation: RecordedInvalidation,
    /// How many shards have still to take it.
    #[serde(default)]
    pub shards_pending: u16,
    /// When its second epoch is due, until then.
    #[serde(default)]
    pub reinvalidation_at: Option<Timestamp>,
    /// Caches in front of the edge, and how each stands to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub front_caches: Vec<FrontCacheState>,
}

/// The journal in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalStatus {
    /// The newest epoch.
    pub head: Epoch,
    /// How often the journal had to continue past epochs that it did not know.
    #[serde(default)]
    pub repairs: u64,
    /// Targets kept by name.
    #[serde(default)]
    pub targets: u64,
    /// Fan-outs that a shard has still to take.
    #[serde(default)]
    pub fanouts_pending: u64,
    /// Second epochs that are due later.
    #[serde(default)]
    pub reinvalidations_pending: u64,
    /// Bytes on disk.
    #[serde(default)]
    pub bytes: u64,
    /// Caches in front of the edge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub front_caches: Vec<FrontCacheState>,
    /// Shards that may know something: those of the settings, and for a day those of before.
    #[serde(default)]
    pub shards: u16,
    /// Those of them that have pages of others, after a change of their number.
    #[serde(default)]
    pub shards_moving: u64,
}

/// A shard's place among the site's, as [`crate::index::ShardCall::Move`] carries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardPlace {
    /// How many shards the site has.
    pub shards: u16,
    /// The shard's number.
    pub shard: u16,
    /// When the journal noticed the change: a later one counts.
    pub at: Timestamp,
}

/// An invalidation on its way to one shard. The message of [`crate::index::ShardCall::Invalidate`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fanout {
    /// Its epoch.
    pub epoch: Epoch,
    /// The shard.
    pub shard: u16,
    /// The job's id.
    pub job: String,
    /// What is invalidated.
    pub targets: Vec<Target>,
    /// Soft or hard.
    pub mode: Mode,
    /// Whether to refetch.
    #[serde(default)]
    pub warm: bool,
    /// When the journal accepted it.
    pub at: Timestamp,
}
