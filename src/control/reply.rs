//! The JSON of the control API's answers. Fields are only ever added.

use serde::Serialize;

use crate::base::time::{Epoch, Timestamp};
use crate::http::Fields;
use crate::index::Retrying;
use crate::journal::FrontCacheState;

use super::history::TimelineEvent;

/// The answer to `revalidate`: 202.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Accepted {
    /// The job's id: the webhook's, or one that was given.
    pub id: String,
    /// The invalidation's epoch; the journal's newest for a dry run.
    pub epoch: Epoch,
    /// The pages that are known to be invalidated; none until all shards have answered.
    pub pages: Option<u64>,
    /// How many warms they take; none until all shards have answered.
    pub warming: Option<u64>,
    /// Pages that may be stored in colos and are not in the index, as far as is known: they are
    /// invalidated, and not refetched.
    #[serde(skip_serializing_if = "is_zero")]
    pub unknown: u64,
    /// Set if nothing was recorded.
    #[serde(skip_serializing_if = "is_false")]
    pub dry_run: bool,
    /// Set if this id was delivered before.
    #[serde(skip_serializing_if = "is_false")]
    pub repeated: bool,
    /// What was widened.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The state of a job as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// No page is being warmed yet.
    Queued,
    /// Some are done, or under way.
    Running,
    /// Nothing is under way; what waits has failed before and will be tried again.
    Retrying,
    /// Every page ended, none failed.
    Done,
    /// Every page ended, some failed.
    Failed,
    /// Newer invalidations took every page that was left.
    Superseded,
}

/// Progress of a job: warms by state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JobReply {
    /// The job's id.
    pub id: String,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its state.
    pub state: JobState,
    /// Whether all of its pages have been found that the index knows.
    pub complete: bool,
    /// Pages that may be stored in colos and are not in the index, as far as is known: they are
    /// invalidated, and not refetched.
    #[serde(skip_serializing_if = "is_zero")]
    pub unknown: u64,
    /// The pages found.
    pub pages: u64,
    /// All its warms: one for each known variant of a page.
    pub total: u64,
    /// Waiting.
    pub queued: u64,
    /// Being fetched.
    pub running: u64,
    /// Fetched.
    pub done: u64,
    /// Those that brought something else than what was stored, or nothing that may be stored.
    pub changed: u64,
    /// Those that brought the same: they were fetched for nothing.
    pub unchanged: u64,
    /// Given up.
    pub failed: u64,
    /// Taken over by a newer invalidation.
    pub superseded: u64,
    /// Why pages failed.
    pub failures: Vec<FailedPage>,
    /// Those of the queued that have failed before, with the most tries, the last reason and the
    /// next try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retrying: Option<Retrying>,
    /// Caches in front of the edge that have not taken it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub front_caches: Vec<FrontCacheState>,
}

/// A page whose warm was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedPage {
    /// The page.
    pub url: String,
    /// Why.
    pub reason: String,
    /// Tries made.
    pub attempts: u32,
}

impl JobReply {
    /// The state that follows from the counts.
    #[must_use]
    pub const fn state_of(
        queued: u64,
        running: u64,
        done: u64,
        failed: u64,
        superseded: u64,
    ) -> JobState {
        if queued + running > 0 {
            if running + done + failed + superseded == 0 {
                JobState::Queued
            } else {
                JobState::Running
            }
        } else if failed > 0 {
            JobState::Failed
        } else if superseded > 0 && done == 0 {
            JobState::Superseded
        } else {
            JobState::Done
        }
    }

    /// Whether nothing is left to do.
    #[must_use]
    pub const fn ended(&self) -> bool {
        self.complete && self.queued + self.running == 0
    }

    /// The progress as one event of a stream (HTML Standard §9.2.6). The last one is named `end`.
    #[must_use]
    pub fn event(&self) -> Vec<u8> {
        let name = if self.ended() { "end" } else { "progress" };
        let mut event = format!("event: {name}\ndata: ").into_bytes();
        // JSON has no raw line break, so it is one `data` line.
        event.extend(json(self));
        event.extend_from_slice(b"\n\n");
        event
    }
}

/// A part of a list of pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PagesReply {
    /// The pages.
    pub pages: Vec<ListedPage>,
    /// What to give as `cursor` for the next part; none if this is the last.
    pub next: Option<String>,
    /// What is not in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<&'static str>,
}

/// A page that the index knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedPage {
    /// Its URL.
    pub url: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its stored variants.
    pub variants: Vec<ListedVariant>,
    /// When a warm last stored one of them, in milliseconds since the Unix epoch.
    pub last_warm: Option<Timestamp>,
    /// What happened to it, as far as is known, newest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<Vec<TimelineEvent>>,
}

/// A stored variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedVariant {
    /// The request fields that select it, with their values.
    pub vary: Vec<(String, String)>,
    /// Its status code.
    pub status: u16,
    /// The epoch it was fetched at.
    pub epoch: Epoch,
    /// Until when it is fresh, in milliseconds since the Unix epoch.
    pub fresh_until: Timestamp,
    /// Until when it may be served at all.
    pub keep_until: Timestamp,
    /// Where it is stored for all.
    pub tiers: Vec<&'static str>,
    /// How many refetches brought something else than what was stored.
    pub changed: u64,
    /// How many brought the same.
    pub unchanged: u64,
}

/// An answer's JSON.
#[must_use]
pub fn json<T: Serialize>(value: &T) -> Vec<u8> {
    // The replies are plain texts, numbers and lists of them, which always serialise.
    serde_json::to_vec(value).unwrap_or_default()
}

/// The fields of a JSON answer: control answers are never cached.
#[must_use]
pub fn json_fields() -> Fields {
    [("content-type", "application/json"), ("cache-control", "no-store")].into_iter().collect()
}

/// The last event of a stream that ends before its job: why, and when to ask again (HTML Standard
/// §9.2.6: the browser does so by itself).
#[must_use]
pub fn pause_event(reason: &str) -> Vec<u8> {
    format!("retry: 2000\nevent: pause\ndata: {{\"reason\":\"{reason}\"}}\n\n").into_bytes()
}

/// The fields of an event stream. `identity` keeps what stands in between from buffering to
/// compress.
#[must_use]
pub fn event_stream_fields() -> Fields {
    [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("content-encoding", "identity"),
    ]
    .into_iter()
    .collect()
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}
