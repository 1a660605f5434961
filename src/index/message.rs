//! What isolates, the journal and the control API say to a shard; its answers: [`super::answer`].
//!
//! JSON, each message under its name: `{"job":{"id":"1"}}`, `"status"`. (With the name inside,
//! readers would have to buffer it first.) A version understands the one before and the one after:
//! fields are only added, each with a default; what is a bare name stays one; a call that a version
//! does not know fails to parse, which its receiver answers as such.

use serde::{Deserialize, Serialize};

use crate::base::time::{Epoch, Millis, Timestamp};
use crate::cache::content::ContentDigest;
use crate::cache::entry::Entry;
use crate::cache::key::{CacheKey, KeyDigest, Page, Selection};
use crate::cache::tag::{Tag, TagSet, Target};
use crate::http::Fields;
use crate::index::lease::Version;
use crate::index::pace::FetchEnd;
use crate::journal::{Fanout, ShardPlace};

/// A call to an index shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShardCall {
    /// May I fetch this variant? Answered by [`super::ShardReply::Lease`].
    Lease(LeaseRequest),
    /// What came of a fetch. Answered by [`super::ShardReply::Recorded`].
    Record(RecordRequest),
    /// A fetch brought nothing to record. Answered by [`super::ShardReply::Done`].
    Release(ReleaseRequest),
    /// A fetch under this lease has not begun yet: the lease lasts anew from now, if it is still
    /// held. Answered by [`super::ShardReply::Done`].
    Renew(ReleaseRequest),
    /// An invalidation. Answered by [`super::ShardReply::Invalidated`] once it is durable here.
    Invalidate(Fanout),
    /// Several, oldest first. Answered by [`super::ShardReply::InvalidatedMany`] once all are
    /// durable here.
    InvalidateMany(Vec<Fanout>),
    /// What would an invalidation find? Answered by [`super::ShardReply::Counted`].
    Count {
        /// Its targets.
        targets: Vec<Target>,
    },
    /// How far are a job's warms? Answered by [`super::ShardReply::Job`].
    Job {
        /// Its id.
        id: String,
    },
    /// The same of many, those that the shard knows. Answered by [`super::ShardReply::Jobs`].
    Jobs {
        /// Their ids.
        ids: Vec<String>,
    },
    /// Queue a job's dead letters again. Answered by [`super::ShardReply::Replayed`].
    Replay {
        /// Its id.
        job: String,
    },
    /// Fetch a page, known or not, without a visitor. Answered by [`super::ShardReply::Done`].
    Warm(WarmRequest),
    /// The same for many pages at once. Answered by [`super::ShardReply::Done`].
    WarmMany(Vec<WarmRequest>),
    /// Fetch every page that this one, a sitemap, lists. Answered by [`super::ShardReply::Done`]
    /// once it is durable here.
    Import(WarmRequest),
    /// The pages that carry a tag. Answered by [`super::ShardReply::Pages`].
    TagPages {
        /// The tag.
        tag: Tag,
        /// Where the last answer ended.
        #[serde(default)]
        cursor: Option<u64>,
        /// The most pages to list.
        limit: u32,
    },
    /// The pages of one URL (as [`Target::Url`] names it). Answered by
    /// [`super::ShardReply::Pages`].
    PagesByUrl {
        /// The URL's name.
        url: String,
    },
    /// Does anybody have these pages, as far as is known? Answered by [`super::ShardReply::Known`].
    Known {
        /// Their primary keys.
        #[serde(default)]
        keys: Vec<KeyDigest>,
        /// After them, the URLs (as [`Target::Url`] names them) of those whose keys are not known.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        urls: Vec<String>,
    },
    /// A variant was requested again, where it is stored. Answered by [`super::ShardReply::Done`].
    RequestedAgain {
        /// The page's primary key.
        key: CacheKey,
        /// The variant.
        #[serde(default)]
        selection: Selection,
    },
    /// How is the shard? Answered by [`super::ShardReply::Status`].
    Status,
    /// Which pages are this shard's own, and some of them out of another. Answered by
    /// [`super::ShardReply::Moved`].
    Move(Move),
}

/// After a change of the number of shards: from the journal, which pages are whose; from another
/// shard, pages that are this one's now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// How many shards the site has.
    pub shards: u16,
    /// The number of the shard that this goes to.
    pub shard: u16,
    /// When the journal noticed the change: a later one counts.
    pub at: Timestamp,
    /// The highest epoch that the other shard has ever seen, or the journal has given.
    #[serde(default)]
    pub seen: Epoch,
    /// Up to here the other shard has found what each invalidation names.
    #[serde(default)]
    pub found: Epoch,
    /// All variants of some pages, each as JSON: `{"record":…,"popularity":…,"letters":[…]}`, with
    /// a [`RecordRequest`] (without a fence: never stored), its popularity, and what is pending
    /// to jobs for it, `[job,epoch,above,attempts,reason,at]` each: a queued warm, and with a
    /// reason dead letters. SQLite writes it: this is a table's rows on their way to another.
    #[serde(default)]
    pub variants: Vec<String>,
}

impl Move {
    /// To a shard, its place.
    #[must_use]
    pub const fn to(place: ShardPlace) -> Self {
        let ShardPlace { shards, shard, at } = place;
        Self { shards, shard, at, seen: Epoch::ZERO, found: Epoch::ZERO, variants: Vec::new() }
    }

    /// The place of who gets this.
    pub(super) const fn place(&self) -> ShardPlace {
        ShardPlace { shards: self.shards, shard: self.shard, at: self.at }
    }
}

/// Asks to fetch one variant of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRequest {
    /// The page.
    pub page: Page,
    /// Its primary key.
    pub key: CacheKey,
    /// The variant, by the `Vary` names that the requester knows (none: empty).
    #[serde(default)]
    pub selection: Selection,
    /// The lowest stamp that helps the requester: [`crate::cache::Validity::need`] of what it has.
    #[serde(default)]
    pub need: Epoch,
    /// The fencing number of what the requester has; 0 for nothing. "Ready" must be newer.
    #[serde(default)]
    pub have_fence: u64,
    /// The highest epoch the requester knows: [`crate::journal::view::View::stamp`].
    #[serde(default)]
    pub seen: Epoch,
    /// Whether L2 did not yet show the requester what an earlier answer called ready.
    #[serde(default)]
    pub lagged: bool,
    /// Where the requester is.
    #[serde(default)]
    pub colo: String,
    /// Whether no visitor waits.
    #[serde(default)]
    pub background: bool,
    /// Whether the requester wants what is ready alone, and no lease.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ready_only: bool,
    /// How often the requester answered from what it has since it last asked.
    #[serde(default)]
    pub hits: u32,
    /// How many pages it has stored since in its colo alone, beyond the budget of new keys.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unrecorded: u32,
}

/// What became of a fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordRequest {
    /// The page.
    pub page: Page,
    /// Its primary key.
    pub key: CacheKey,
    /// The variant, by the response's `Vary` united with the names that came with the lease.
    #[serde(default)]
    pub selection: Selection,
    /// The variant that was leased: the one asked for, before the response's `Vary` was known.
    #[serde(default)]
    pub leased: Selection,
    /// The request fields that go to the origin: what a warm of the variant sends.
    #[serde(default)]
    pub request: Fields,
    /// The response's tags; empty inherits the known ones.
    #[serde(default)]
    pub tags: TagSet,
    /// The stamp of what was fetched.
    pub stamp: Epoch,
    /// The fencing number of the lease.
    pub fence: u64,
    /// Where L2 has it; none if it is not there.
    #[serde(default)]
    pub l2_key: Option<String>,
    /// What it shows; none where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentDigest>,
    /// The response's status.
    #[serde(default)]
    pub status: u16,
    /// Until when it is fresh.
    #[serde(default)]
    pub fresh_until: Timestamp,
    /// Until when it is of any use: freshness and stale windows. After it the shard forgets the
    /// variant.
    #[serde(default)]
    pub keep_until: Timestamp,
    /// What came of it.
    pub outcome: Outcome,
}

impl RecordRequest {
    /// A stored response, fetched under the lease of a variant.
    #[must_use]
    pub fn stored(entry: &Entry, leased: &Selection, request: Fields) -> Self {
        Self {
            page: entry.page.clone(),
            key: entry.key.clone(),
            selection: entry.selection.clone(),
            leased: leased.clone(),
            request,
            tags: entry.tags.clone(),
            stamp: entry.stamp,
            fence: entry.fence,
            l2_key: None,
            content: None,
            status: entry.status,
            fresh_until: entry.fresh_until(),
            keep_until: entry.keep_until(),
            outcome: Outcome::Stored,
        }
    }

    /// An answer to the fetch of a leased variant that is not stored.
    #[must_use]
    pub fn not_stored(
        (page, key): (&Page, &CacheKey),
        leased: &Selection,
        version: Version,
        status: u16,
        outcome: Outcome,
    ) -> Self {
        Self {
            page: page.clone(),
            key: key.clone(),
            selection: leased.clone(),
            leased: leased.clone(),
            request: Fields::new(),
            tags: TagSet::default(),
            stamp: version.stamp,
            fence: version.fence,
            l2_key: None,
            content: None,
            status,
            fresh_until: Timestamp::ZERO,
            keep_until: Timestamp::ZERO,
            outcome,
        }
    }
}

/// What came of a fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Stored.
    Stored,
    /// A shared cache must not store it.
    Uncacheable {
        /// Why.
        reason: String,
    },
    /// There is no such page (any more), and its answer is not stored.
    Gone,
}

/// Gives a lease back, or renews it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRequest {
    /// The page's primary key.
    pub key: CacheKey,
    /// The leased variant.
    #[serde(default)]
    pub selection: Selection,
    /// The lease's fencing number.
    pub fence: u64,
}

/// Asks for a fetch without a visitor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmRequest {
    /// The job that it counts for.
    pub job: String,
    /// The page.
    pub page: Page,
    /// Its primary key.
    pub key: CacheKey,
    /// The variant.
    #[serde(default)]
    pub selection: Selection,
    /// The request fields to send to the origin.
    #[serde(default)]
    pub request: Fields,
    /// The lowest stamp that counts as done; zero: any stored copy does.
    #[serde(default)]
    pub need: Epoch,
}

/// One warm to do: the shard holds the lease for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarmTask {
    /// The stamp of what is stored of the variant; none if nothing is.
    pub stored: Option<Epoch>,
    /// The status of that.
    pub stored_status: Option<u16>,
    /// The variant's key digest.
    pub variant: KeyDigest,
    /// The page.
    pub page: Page,
    /// Its primary key.
    pub key: CacheKey,
    /// The variant.
    pub selection: Selection,
    /// The request fields to send.
    pub request: Fields,
    /// The epoch that it is for.
    pub epoch: Epoch,
    /// The job that it counts for.
    pub job: String,
    /// The lease's fencing number.
    pub fence: u64,
    /// The stamp of what is fetched now.
    pub stamp: Epoch,
    /// The known tags: a response without tags inherits them.
    pub tags: TagSet,
    /// The names that the page is known to vary on.
    pub vary: Vec<String>,
    /// How often it was tried before.
    pub attempts: u32,
    /// When this try began.
    pub began: Timestamp,
}

/// What came of a warm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WarmResult {
    /// Fetched. Its [`RecordRequest::outcome`] says what it was; `leased` is the task's selection.
    Fetched(Box<RecordRequest>),
    /// The origin answered, and what stands between kept the answer from being stored. What is
    /// stored stays, and is refetched later.
    NotStored {
        /// Why.
        reason: String,
    },
    /// The origin failed, or L2.
    Failed {
        /// How.
        reason: String,
        /// When the origin wants to be asked again, if it said so.
        after: Option<Millis>,
    },
}

impl WarmResult {
    /// What it says of the origin.
    #[must_use]
    pub const fn end(&self) -> FetchEnd {
        match self {
            Self::Failed { after, .. } => FetchEnd::Badly(*after),
            Self::Fetched(_) | Self::NotStored { .. } => FetchEnd::Well,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}
