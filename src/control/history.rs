//! What was invalidated: what a call asks for, and the JSON of its answer.

use serde::Serialize;

use crate::base::time::{Epoch, Millis, Timestamp};
use crate::cache::tag::{Tag, Target};
use crate::index::JobProgress;
use crate::journal::Mode;
use crate::journal::history::{HistoryReply, HistoryRequest, HistoryRow};

use super::problem::{Problem, ProblemKind};
use super::query::Query;

/// The longest name of a caller that is looked for.
const MAX_CALLER_BYTES: usize = 256;

/// What the journal is asked for a call of `invalidations`.
pub(super) fn parse(query: &Query) -> Result<HistoryRequest, Problem> {
    query.only(&["cursor", "limit", "tag", "caller"])?;
    let paging = query.paging()?;
    let before = paging.cursor.as_deref().map(epoch).transpose()?;
    let tag = query.get("tag").map(Tag::parse).transpose().map_err(|error| {
        Problem::new(ProblemKind::InvalidValue, format!("tag: {error}.")).at("tag")
    })?;
    let caller = query.get("caller").map(str::to_owned);
    if let Some(caller) = &caller
        && (caller.is_empty() || caller.len() > MAX_CALLER_BYTES)
    {
        let detail = format!("caller is a name of 1 to {MAX_CALLER_BYTES} bytes.");
        return Err(Problem::new(ProblemKind::InvalidValue, detail).at("caller"));
    }
    let naming = tag.map(Target::Tag).into_iter().collect();
    Ok(HistoryRequest { before, limit: paging.limit, caller, naming })
}

fn epoch(cursor: &str) -> Result<Epoch, Problem> {
    let digits = cursor.len() <= 16 && cursor.bytes().all(|byte| byte.is_ascii_digit());
    cursor.parse().ok().filter(|_| digits).map(Epoch).ok_or_else(|| {
        let detail = "cursor is what the last answer gave as next.";
        Problem::new(ProblemKind::InvalidValue, detail).at("cursor")
    })
}

/// The answer to `invalidations`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HistoryAnswer {
    /// The invalidations, newest first.
    pub invalidations: Vec<PastInvalidation>,
    /// What to give as `cursor` for older ones; none at the end. There may be more although none
    /// was found: a call looks through a bounded number.
    pub next: Option<String>,
    /// What is not in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<&'static str>,
}

/// An invalidation that was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PastInvalidation {
    /// Its job's id.
    pub id: String,
    /// Its epoch.
    pub epoch: Epoch,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub at: Timestamp,
    /// Who asked.
    pub caller: String,
    /// Through which API.
    pub via: String,
    /// The caller's words.
    pub reason: String,
    /// Soft or hard.
    pub mode: Mode,
    /// Whether its pages are refetched.
    pub warm: bool,
    /// How many targets it named.
    pub targets: u32,
    /// The first of them.
    pub named: NamedTargets,
    /// The job that did it once more, after `reinvalidate_after_ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reinvalidated_by: Option<String>,
    /// How its refetches went; none where the shards have forgotten it, or could not be asked.
    pub progress: Option<Refetches>,
}

/// Targets, as a call names them. URLs and prefixes have no scheme.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NamedTargets {
    /// Tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// What is below them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<String>,
    /// Hosts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Everything.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

impl NamedTargets {
    /// Of targets.
    #[must_use]
    pub fn of<'a>(targets: impl IntoIterator<Item = &'a Target>) -> Self {
        let mut named = Self::default();
        for target in targets {
            match target {
                Target::Tag(tag) => named.tags.push(tag.as_str().to_owned()),
                Target::Url(name) => named.urls.push(name.clone()),
                Target::Prefix(name) => named.prefixes.push(name.clone()),
                Target::Host(name) => named.hosts.push(name.clone()),
                Target::All => named.all = true,
            }
        }
        named
    }
}

/// How an invalidation's refetches went, over all shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Refetches {
    /// Whether all of its pages have been found.
    pub complete: bool,
    /// The pages found.
    pub pages: u64,
    /// All its warms.
    pub total: u64,
    /// Those that have not ended.
    pub left: u64,
    /// Fetched.
    pub done: u64,
    /// Those that brought something else than what was stored.
    pub changed: u64,
    /// Those that brought the same.
    pub unchanged: u64,
    /// Given up.
    pub failed: u64,
    /// Taken over by a newer invalidation.
    pub superseded: u64,
    /// From its acceptance to the end of its last warm; none while one is left, and where there
    /// was none.
    pub refetched_in_ms: Option<Millis>,
    #[serde(skip)]
    ended: Option<Timestamp>,
}

impl Refetches {
    /// Of a job that no shard has reported on yet.
    #[must_use]
    pub fn begun() -> Self {
        Self { complete: true, ..Self::default() }
    }

    /// Adds what one shard says.
    pub fn add(&mut self, part: &JobProgress) {
        self.complete &= part.complete;
        self.pages += part.pages;
        self.total += part.total;
        self.left += part.queued + part.running;
        self.done += part.done;
        self.changed += part.changed;
        self.unchanged += part.unchanged;
        self.failed += part.failed;
        self.superseded += part.superseded;
        self.ended = self.ended.max(part.ended);
    }

    /// With how long it took since an invalidation.
    fn since(mut self, at: Timestamp) -> Self {
        let over = self.complete && self.left == 0;
        self.refetched_in_ms = self.ended.filter(|_| over).map(|ended| ended.since(at));
        self
    }
}

impl HistoryAnswer {
    /// Of what the journal says, and what shards know of each job.
    #[must_use]
    pub fn of(
        reply: HistoryReply,
        notes: Vec<&'static str>,
        refetches: impl Fn(&str) -> Option<Refetches>,
    ) -> Self {
        let one = |row: HistoryRow| {
            let HistoryRow { invalidation, named, by } = row;
            let progress = refetches(&invalidation.id).map(|sum| sum.since(invalidation.at));
            PastInvalidation {
                named: NamedTargets::of(&named),
                id: invalidation.id,
                epoch: invalidation.epoch,
                at: invalidation.at,
                caller: by.caller,
                via: by.via,
                reason: invalidation.reason,
                mode: invalidation.mode,
                warm: invalidation.warm,
                targets: invalidation.targets,
                reinvalidated_by: invalidation.reinvalidated_by,
                progress,
            }
        };
        let next = reply.next.map(|next| next.0.to_string());
        Self { invalidations: reply.rows.into_iter().map(one).collect(), next, notes }
    }
}

/// Something that happened to a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "lowercase")]
pub enum TimelineEvent {
    /// It was fetched, and stored.
    Fetched {
        /// When, in milliseconds since the Unix epoch.
        at: Timestamp,
        /// The epoch it was fetched at: all invalidations up to it had happened before.
        epoch: Epoch,
        /// Which of its variants.
        vary: Vec<(String, String)>,
        /// `visitor` or `warm`.
        by: &'static str,
        /// Whether it is what is stored now.
        stored: bool,
    },
    /// It was invalidated.
    Invalidated {
        /// When.
        at: Timestamp,
        /// The invalidation's epoch.
        epoch: Epoch,
        /// Its job's id.
        id: String,
        /// Who asked.
        caller: String,
        /// Through which API.
        via: String,
        /// Soft or hard.
        mode: Mode,
        /// The caller's words.
        reason: String,
        /// What of it names this page.
        named: NamedTargets,
    },
}

impl TimelineEvent {
    /// Its place: by epochs, since clocks differ. A fetch comes after the invalidations that it
    /// knew of.
    const fn place(&self) -> (Epoch, bool, Timestamp) {
        match self {
            Self::Fetched { at, epoch, .. } => (*epoch, true, *at),
            Self::Invalidated { at, epoch, .. } => (*epoch, false, *at),
        }
    }
}

/// The most that is shown of a page.
const MAX_TIMELINE: usize = 50;

/// What happened to a page, newest first.
#[must_use]
pub fn timeline(mut happenings: Vec<TimelineEvent>) -> Vec<TimelineEvent> {
    happenings.sort_by_key(|one| std::cmp::Reverse(one.place()));
    happenings.truncate(MAX_TIMELINE);
    happenings
}
