//! One index shard: which pages carry which tags, who may fetch them, and what is to be refetched.
//!
//! A shard holds everything about its pages: both maps (its variants' rows and `tagged`), the
//! leases, the warm queue. It decides who fetches a variant ([`crate::index::lease`]), names the
//! valid copy in L2, finds the pages of an invalidation, and works off its queue
//! ([`crate::index::warm`]). It refuses a result that is older than what it has. Each call is one
//! transaction; an answer is given after it.
//!
//! Limits: a large target is expanded in slices ([`Shard::run_due`]), and a sweep forgets a bounded
//! number of expired things per call. Invalidations are remembered for an hour, so that a fill
//! recorded after its fan-out is noticed (`rec_fanout`); a fill that took longer is refetched to be
//! safe.
//!
//! | question | file |
//! | --- | --- |
//! | What are a shard's calls and replies? | [`message`], [`answer`] |
//! | Who may fetch? What is recorded of a fetch? | [`lease`], `granting`; `record` |
//! | Which pages does an invalidation concern? | `fanout`, `expand`, `tags` |
//! | What is refetched, when, and how fast? | [`warm`], `queue`, [`popularity`], [`pace`], `request` |
//! | How do sitemaps come into the queue? | [`sitemap`], `import`, `import_work` |
//! | What is shown of it? | `inspect` |
//! | What if the number of shards changes? If a row can't be read? | `reshard`; `damage` |
//! | How is it kept, and for how long? | `schema`, `rows`, `transaction`, `sweep` |
//!
//! Rules, by their names in `tests/simulation/rules.txt`: `lease_need`, `lease_gen`,
//! `release_fence`, `fence`, `lease_seen`, `fetched_after`, `warm_cas`, `warm_waits`, `rec_fanout`,
//! `inherit_tags`, `durable_visible`.
//!
//! ```
//! use edge_isr::base::time::Epoch;
//! use edge_isr::index::lease::{Version, replaces};
//!
//! let stored = Version { stamp: Epoch(7), fence: 3 };
//! let late = Version { stamp: Epoch(6), fence: 4 };
//! assert!(!replaces(late, Some(stored)), "what was fetched before a change replaces nothing");
//! ```

use crate::base::sql::{Sql, SqlError};
use crate::base::time::Timestamp;
use crate::cache::key::CacheKey;
use crate::index::pace::Pace;
use crate::journal::Fanout;

pub mod answer;
mod damage;
mod expand;
mod fanout;
mod granting;
mod import;
mod import_work;
mod inspect;
pub mod lease;
pub mod message;
pub mod pace;
pub mod popularity;
mod queue;
mod record;
mod request;
mod reshard;
mod rows;
mod schema;
pub mod sitemap;
mod sweep;
mod tags;
mod transaction;
pub mod warm;

pub use answer::{
    Grant, Invalidated, JobProgress, LeaseReply, PageInfo, Ready, Recorded, Refetch, Retrying,
    ShardReply, ShardStatus, StoredOnce, VariantInfo, WarmFailure,
};
use damage::is_damage;
pub use import_work::{BadEntries, ImportNews, ImportTask, Listed, SitemapFile};
pub use inspect::MAX_COUNTED;
pub use message::{
    LeaseRequest, Move, Outcome, RecordRequest, ReleaseRequest, ShardCall, WarmRequest, WarmResult,
    WarmTask,
};
pub use reshard::MoveTask;
use schema::ShardState;
use transaction::ShardTransaction;
pub use transaction::{ShardConfig, ShardError};

/// One index shard, over one database.
#[derive(Debug)]
pub struct Shard<S> {
    sql: S,
    config: ShardConfig,
    /// As committed; never ahead of the database.
    state: ShardState,
    /// Not durable.
    pace: Pace,
}

impl<S: Sql> Shard<S> {
    /// Opens the shard, creating or extending its tables. Warms that ran when it was last closed
    /// are queued again.
    ///
    /// # Errors
    /// When the database fails.
    pub fn open(sql: S, config: ShardConfig) -> Result<Self, ShardError> {
        let state = schema::open(&sql)?;
        Ok(Self { sql, config, state, pace: Pace::new(config.pace) })
    }

    /// Answers a call.
    ///
    /// # Errors
    /// When the database fails; nothing was recorded then.
    pub fn handle(&mut self, call: ShardCall, now: Timestamp) -> Result<ShardReply, ShardError> {
        match call {
            ShardCall::Lease(request) => {
                let lease = self.repaired(&request.key, &|work| work.lease(&request), now);
                lease.map(ShardReply::Lease)
            }
            ShardCall::Record(request) => {
                let record = self.repaired(&request.key, &|work| work.record(&request, false), now);
                record.map(ShardReply::Recorded)
            }
            ShardCall::Release(request) => {
                let variant = request.key.variant(&request.selection).digest();
                self.done(now, |work| work.release(&variant, request.fence))
            }
            ShardCall::Renew(request) => {
                let variant = request.key.variant(&request.selection).digest();
                self.done(now, |work| work.renew(&variant, request.fence))
            }
            ShardCall::Invalidate(fanout) => {
                let invalidated = self.invalidate(std::slice::from_ref(&fanout), now)?;
                Ok(ShardReply::Invalidated(invalidated.first().copied().unwrap_or_default()))
            }
            ShardCall::InvalidateMany(fanouts) => {
                self.invalidate(&fanouts, now).map(ShardReply::InvalidatedMany)
            }
            ShardCall::Count { targets } => {
                let counted = self.transact(now, |work| work.count(&targets));
                counted.map(|(pages, complete)| ShardReply::Counted { pages, complete })
            }
            ShardCall::Job { id } => self.job(&id, now),
            ShardCall::Jobs { ids } => self.jobs(&ids, now),
            ShardCall::Replay { job } => self
                .transact(now, |work| work.replay(&job))
                .map(|count| ShardReply::Replayed { count }),
            ShardCall::Warm(request) => self.request_warms(std::slice::from_ref(&request), now),
            ShardCall::WarmMany(requests) => self.request_warms(&requests, now),
            ShardCall::Import(request) => self.done(now, |work| work.import(&request)),
            ShardCall::TagPages { tag, cursor, limit } => {
                let found = self.transact(now, |work| work.tag_pages(&tag, cursor, limit));
                found.map(|(pages, cursor)| ShardReply::Pages { pages, cursor })
            }
            ShardCall::PagesByUrl { url } => {
                let pages = self.transact(now, |work| work.pages_by_url(&url));
                pages.map(|pages| ShardReply::Pages { pages, cursor: None })
            }
            ShardCall::Known { keys, urls } => {
                self.transact(now, |work| work.known(&keys, &urls)).map(ShardReply::Known)
            }
            ShardCall::RequestedAgain { key, selection } => {
                self.done(now, |work| work.requested_again(&key, &selection))
            }
            ShardCall::Status => self.transact(now, |work| work.status()).map(ShardReply::Status),
            ShardCall::Move(moved) => {
                self.transact(now, |work| work.moved(&moved)).map(|done| ShardReply::Moved { done })
            }
        }
    }

    fn job(&mut self, id: &str, now: Timestamp) -> Result<ShardReply, ShardError> {
        let progress = self.transact(now, |work| work.progress(id))?;
        Ok(ShardReply::Job { progress: progress.map(|progress| self.paced(progress)) })
    }

    fn jobs(&mut self, ids: &[String], now: Timestamp) -> Result<ShardReply, ShardError> {
        let known = self.transact(now, |work| work.jobs(ids))?;
        let paced = known.into_iter().map(|(id, progress)| (id, self.paced(progress)));
        Ok(ShardReply::Jobs(paced.collect()))
    }

    /// No next try is before the origin is asked for anything again.
    fn paced(&self, mut progress: JobProgress) -> JobProgress {
        if let Some(retrying) = &mut progress.retrying {
            retrying.next_try = retrying.next_try.max(self.pace.not_before());
        }
        progress
    }

    /// A call that has nothing to answer.
    fn done(
        &mut self,
        now: Timestamp,
        act: impl FnMut(&mut ShardTransaction<'_, S>) -> Result<(), ShardError>,
    ) -> Result<ShardReply, ShardError> {
        self.transact(now, act).map(|()| ShardReply::Done)
    }

    /// Does what is due: finds pages of large targets, queues lost warms again, forgets what has
    /// expired. Bounded; [`Shard::next_wake`] says whether there is more.
    ///
    /// # Errors
    /// When the database fails.
    pub fn run_due(&mut self, now: Timestamp) -> Result<(), ShardError> {
        // Each by itself: a full database refuses what grows, and forgetting is what makes room.
        let expanded = self.transact(now, |work| work.expand(false));
        let recovered = self.transact(now, |work| work.recover());
        let swept = self.transact(now, |work| work.sweep());
        expanded.and(recovered).and(swept)
    }

    /// Takes up to `limit` warms that are due, and the lease of each, while so many warms that are
    /// slow run beside: they take no place.
    ///
    /// # Errors
    /// When the database fails; nothing was taken then.
    pub fn take_warms(
        &mut self,
        now: Timestamp,
        limit: usize,
        slow: u32,
    ) -> Result<Vec<WarmTask>, ShardError> {
        let pace = self.pace;
        let tasks = self.transact(now, |work| work.take(limit, slow, &pace))?;
        tasks.iter().for_each(|_| self.pace.begin(now));
        Ok(tasks)
    }

    /// Notes what came of a warm; whether it brought something else than what was stored.
    ///
    /// # Errors
    /// When the database fails; the warm is then queued again once its lease ends.
    pub fn finish_warm(
        &mut self,
        task: &WarmTask,
        result: WarmResult,
        now: Timestamp,
    ) -> Result<Option<Refetch>, ShardError> {
        self.pace.end(task.began, now, result.end());
        self.transact(now, |work| work.finish(task, &result))
    }

    /// Takes what is to be done for imports now. One at a time: the next after its end was noted.
    ///
    /// # Errors
    /// When the database fails.
    pub fn take_import(&mut self, now: Timestamp) -> Result<Option<ImportTask>, ShardError> {
        self.transact(now, |work| work.take_import())
    }

    /// Notes what came of a part of an import.
    ///
    /// # Errors
    /// When the database fails; that part is then done again.
    pub fn note_import(
        &mut self,
        file: &SitemapFile,
        news: &ImportNews,
        now: Timestamp,
    ) -> Result<(), ShardError> {
        self.transact(now, |work| work.note_import(file, news))
    }

    /// Takes pages that another shard is to have. One part at a time: the next after its end was
    /// noted.
    ///
    /// # Errors
    /// When the database fails.
    pub fn take_move(&mut self, now: Timestamp) -> Result<Option<MoveTask>, ShardError> {
        if !self.state.is_walking() || self.state.walk_at > now {
            return Ok(None);
        }
        self.transact(now, |work| work.take_move())
    }

    /// Notes whether the other shard has taken its pages.
    ///
    /// # Errors
    /// When the database fails; they are then handed over once more.
    pub fn note_move(
        &mut self,
        task: &MoveTask,
        taken: bool,
        now: Timestamp,
    ) -> Result<(), ShardError> {
        self.transact(now, |work| work.note_move(task, taken))
    }

    /// When [`Shard::run_due`] or one of the `take_` calls has something to do; the past means now.
    ///
    /// # Errors
    /// When the database fails.
    pub fn next_wake(&self) -> Result<Option<Timestamp>, ShardError> {
        sweep::next_wake(&self.sql, &self.pace, &self.state)
    }

    /// Answers a call about a page; if what is stored of it is damaged, as if nothing were.
    fn repaired<T>(
        &mut self,
        key: &CacheKey,
        call: &dyn Fn(&mut ShardTransaction<'_, S>) -> Result<T, ShardError>,
        now: Timestamp,
    ) -> Result<T, ShardError> {
        match self.transact(now, call) {
            Err(error) if is_damage(&error) => {
                self.transact(now, |work| work.drop_damaged(key))?;
                self.transact(now, call)
            }
            other => other,
        }
    }

    fn invalidate(
        &mut self,
        fanouts: &[Fanout],
        now: Timestamp,
    ) -> Result<Vec<Invalidated>, ShardError> {
        self.transact(now, |work| work.invalidate(fanouts))
    }

    fn request_warms(
        &mut self,
        requests: &[WarmRequest],
        now: Timestamp,
    ) -> Result<ShardReply, ShardError> {
        let all = |work: &mut ShardTransaction<'_, S>| {
            requests.iter().try_for_each(|r| work.request_warm(r))
        };
        self.transact(now, all).map(|()| ShardReply::Done)
    }

    fn transact<T>(
        &mut self,
        now: Timestamp,
        mut call: impl FnMut(&mut ShardTransaction<'_, S>) -> Result<T, ShardError>,
    ) -> Result<T, ShardError> {
        let mut answer = None;
        self.commit(now, &mut |work| {
            answer = Some(call(work)?);
            Ok(())
        })?;
        answer.ok_or_else(not_run)
    }

    /// Not generic but for the database: there is one copy of it, whatever the call.
    fn commit(
        &mut self,
        now: Timestamp,
        call: &mut dyn FnMut(&mut ShardTransaction<'_, S>) -> Result<(), ShardError>,
    ) -> Result<(), ShardError> {
        let sql = &self.sql;
        let mut work = ShardTransaction { sql, config: self.config, now, state: self.state };
        let before = self.state;
        sql.transaction(|| {
            call(&mut work)?;
            Ok::<_, ShardError>(schema::save(sql, &before, &work.state)?)
        })?;
        // Only now: nobody sees what is not durable (durable_visible).
        self.state = work.state;
        Ok(())
    }
}

/// What a database says that reports success without having run the work.
#[cold]
fn not_run() -> ShardError {
    SqlError::Refused("the transaction did not run".into()).into()
}
