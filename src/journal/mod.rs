//! The journal: the ordered record of invalidations, and the only authority on what is out of date.
//!
//! It gives each invalidation an epoch, keeps the latest epochs per target, answers which
//! invalidations are new, and keeps each one pending for every index shard until the shard has
//! taken it. It refuses a webhook id that comes with another body. It answers only after its
//! transaction: what it says is durable (`durable_visible`).
//!
//! Compacted to one row per target. Beyond `max_targets` the oldest are merged into 65,536 buckets
//! that hold the highest epoch of what fell into them, so that memory is bounded and correctness
//! does not depend on retention.
//!
//! | question | file |
//! | --- | --- |
//! | What are the journal's calls and replies? | [`message`] |
//! | How does an invalidation get its epoch? A scheduled one? | `append`; `schedule`, [`schedule_message`] |
//! | What is new, and what does an isolate know of it? | `read`, [`delta`]; [`view`] |
//! | What is still to be delivered to each shard and front cache? | `outbox`; `front_caches`, `in_progress` |
//! | What was invalidated, counted, found? | [`history`]; [`report`], [`stats`]; [`audit`] |
//! | What if the number of shards changes? | `reshard` |
//! | How is it kept, and for how long? | `schema`, `state`, `upkeep`, `invalidation` |
//!
//! Rules, by their names in `tests/simulation/rules.txt`: `receipts`, `keep_both`, `second_epoch`,
//! `epoch_cut`, `floor_sent`, `durable_visible`, `incarnation`.
//!
//! ```
//! use edge_isr::journal::view::View;
//!
//! // A cold isolate knows nothing, and asks for everything that is new.
//! let view = View::new(100);
//! assert!(view.is_empty());
//! assert_eq!(view.request().since, None);
//! ```

use crate::base::sql::Sql;
use crate::base::time::{Epoch, Millis, Timestamp};

mod append;
pub mod audit;
pub mod delta;
mod front_caches;
pub mod history;
mod in_progress;
mod invalidation;
pub mod message;
mod outbox;
mod read;
pub mod report;
mod reshard;
mod schedule;
pub mod schedule_message;
mod schema;
mod state;
pub mod stats;
mod upkeep;
pub mod view;

pub use front_caches::Delivery;
pub use invalidation::{CalledBy, Mode, RecordedInvalidation};
pub use message::{
    Append, Appended, Fanout, FrontCacheState, JobRecord, JournalCall, JournalReply, JournalStatus,
    LookupRequest, ScheduledAppend, ShardPlace, SyncRequest,
};
pub use outbox::MAX_EPOCHS;
pub use state::{Journal, JournalConfig, JournalError, MAX_EPOCH, REPAIR_MARGIN};

impl<S: Sql> Journal<S> {
    /// Opens the journal, creating or extending its tables.
    ///
    /// # Errors
    /// When the database fails.
    pub fn open(sql: S, config: JournalConfig) -> Result<Self, JournalError> {
        schema::create(&sql)?;
        reshard::first(&sql, config.shards)?;
        let state = schema::load(&sql)?;
        front_caches::forget(&sql, &config.front_caches)?;
        Ok(Self { sql, config, state, crowded: false })
    }

    /// The newest epoch.
    #[must_use]
    pub const fn head(&self) -> Epoch {
        self.state.head
    }

    /// To how many shards each invalidation is delivered.
    ///
    /// # Errors
    /// When the database fails.
    pub fn reach(&self, now: Timestamp) -> Result<u16, JournalError> {
        reshard::reach(&self.sql, &self.config, &self.state, now)
    }

    /// The shards that are to be sent their places now. It is pending for each until
    /// [`Journal::moved`].
    ///
    /// # Errors
    /// When the database fails.
    pub fn due_moves(&self, now: Timestamp) -> Result<Vec<ShardPlace>, JournalError> {
        reshard::due(&self.sql, &self.state, now)
    }

    /// What a shard answered to its place; done: all pages there are its own.
    ///
    /// # Errors
    /// When the database fails.
    pub fn moved(&self, place: ShardPlace, done: bool, now: Timestamp) -> Result<(), JournalError> {
        reshard::moved(&self.sql, &self.state, place, done, now)
    }

    /// How many shards have pages of others, as far as is known.
    ///
    /// # Errors
    /// When the database fails.
    pub fn moving(&self) -> Result<u64, JournalError> {
        upkeep::count(&self.sql, "move")
    }

    /// Answers a call.
    ///
    /// # Errors
    /// When the database fails or the call is out of range; nothing was recorded then.
    pub fn handle(
        &mut self,
        call: JournalCall,
        now: Timestamp,
    ) -> Result<JournalReply, JournalError> {
        match call {
            JournalCall::Sync(request) => {
                self.repair(request.seen, now)?;
                let (config, head) = (&self.config, self.state.head);
                let mut delta = read::delta(&self.sql, config, head, request.since, now)?;
                // Figures that can't be kept are no reason to hold back news.
                let report = request.report.as_ref();
                delta.reported = report.and_then(|it| stats::merge(&self.sql, it, now).ok());
                Ok(JournalReply::Delta(delta))
            }
            JournalCall::Report(report) => {
                let number = stats::merge(&self.sql, &report, now)?;
                Ok(JournalReply::Reported { number })
            }
            JournalCall::Stats(request) => {
                stats::counted(&self.sql, &request, now).map(JournalReply::Stats)
            }
            JournalCall::History(request) => {
                history::read(&self.sql, &request).map(JournalReply::History)
            }
            JournalCall::Finding(finding) => {
                audit::note(&self.sql, &finding, now).map(|()| JournalReply::Done)
            }
            JournalCall::Audit(request) => {
                audit::read(&self.sql, &request).map(JournalReply::Audit)
            }
            JournalCall::Schedule(append) => {
                self.schedule(&append, now).map(JournalReply::Scheduled)
            }
            JournalCall::Cancel { id } => self.cancel(&id, now).map(JournalReply::Cancelled),
            JournalCall::Waiting(request) => self.waiting(&request).map(JournalReply::Waiting),
            JournalCall::Lookup(request) => {
                self.repair(request.seen, now)?;
                let found = read::found(&self.sql, self.state.head, &request.targets)?;
                Ok(JournalReply::Found(found))
            }
            JournalCall::Append(append) => self.append(&append, now).map(JournalReply::Appended),
            JournalCall::Job { id } => {
                let mut job = outbox::job(&self.sql, &id)?;
                if let Some(job) = &mut job {
                    job.front_caches = self.front_cache_states(Some(job.invalidation.epoch))?;
                }
                Ok(JournalReply::Job { job })
            }
            JournalCall::Status => self.status(now).map(JournalReply::Status),
        }
    }

    /// The shards that a fan-out is due to.
    ///
    /// # Errors
    /// When the database fails.
    pub fn due_shards_of(&self, epoch: Epoch, now: Timestamp) -> Result<Vec<u16>, JournalError> {
        outbox::due_shards_of(&self.sql, epoch, now)
    }

    /// The shards that fan-outs are due to.
    ///
    /// # Errors
    /// When the database fails.
    pub fn due_shards(&self, now: Timestamp) -> Result<Vec<u16>, JournalError> {
        outbox::due_shards(&self.sql, now)
    }

    /// The fan-outs that are due to a shard, oldest first, as many as fit one message. Each stays
    /// pending until [`Journal::fanned_out`].
    ///
    /// # Errors
    /// When the database fails.
    pub fn pending_fanouts(&self, shard: u16, now: Timestamp) -> Result<Vec<Fanout>, JournalError> {
        outbox::pending(&self.sql, shard, now)
    }

    /// A shard has taken fan-outs; `seen` is the highest epoch that it has ever seen.
    ///
    /// # Errors
    /// When the database fails.
    pub fn fanned_out(
        &mut self,
        shard: u16,
        epochs: &[Epoch],
        seen: Epoch,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        outbox::acknowledge(&self.sql, epochs, shard)?;
        self.repair(seen, now)
    }

    /// A shard could not be reached: what is pending for it is due again later.
    ///
    /// # Errors
    /// When the database fails.
    pub fn fanout_failed(&mut self, shard: u16, now: Timestamp) -> Result<(), JournalError> {
        outbox::postpone(&self.sql, shard, now)
    }

    /// What is due to a front cache, if anything. It stays pending until
    /// [`Journal::front_cache_done`].
    ///
    /// # Errors
    /// When the database fails.
    pub fn front_cache_due(
        &self,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<Delivery>, JournalError> {
        front_caches::due(&self.sql, name, now)
    }

    /// A front cache has taken invalidations.
    ///
    /// # Errors
    /// When the database fails.
    pub fn front_cache_done(&self, name: &str, epochs: &[Epoch]) -> Result<(), JournalError> {
        front_caches::acknowledge(&self.sql, name, epochs)
    }

    /// A front cache has not taken its deliveries; `again`: when it wants to be asked.
    ///
    /// # Errors
    /// When the database fails.
    pub fn front_cache_failed(
        &self,
        name: &str,
        failure: &str,
        again: Option<Millis>,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        front_caches::postpone(&self.sql, name, failure, again, now)
    }

    /// When something is due to a front cache. [`Journal::next_wake`] leaves these out: who carries
    /// says it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn front_cache_wake(&self, name: &str) -> Result<Option<Timestamp>, JournalError> {
        front_caches::next_due(&self.sql, name)
    }

    fn front_cache_states(
        &self,
        epoch: Option<Epoch>,
    ) -> Result<Vec<FrontCacheState>, JournalError> {
        front_caches::states(&self.sql, &self.config.front_caches, epoch)
    }

    /// Does what is due: another number of shards, second epochs, merging, expiry. Bounded;
    /// [`Journal::next_wake`] says whether there is more.
    ///
    /// # Errors
    /// When the database fails.
    pub fn run_due(&mut self, now: Timestamp) -> Result<(), JournalError> {
        // Each by itself: a full database refuses what grows, and forgetting is what makes room.
        let noticed = self.notice_shards(now);
        let scheduled = self.do_scheduled(now);
        let reinvalidated = self.reinvalidate_due(now);
        let merged = self.merge_oldest();
        noticed.and(scheduled).and(reinvalidated).and(merged).and(self.expire(now))
    }

    /// When [`Journal::run_due`] or [`Journal::pending_fanouts`] has something to do; the past
    /// means now.
    ///
    /// # Errors
    /// When the database fails.
    pub fn next_wake(&self) -> Result<Option<Timestamp>, JournalError> {
        if self.crowded
            || self.state.targets > u64::from(self.config.max_targets)
            || self.state.shards != self.config.shards
        {
            return Ok(Some(Timestamp::ZERO));
        }
        upkeep::next_wake(&self.sql, &self.config, self.state.head)
    }

    fn status(&self, now: Timestamp) -> Result<JournalStatus, JournalError> {
        Ok(JournalStatus {
            head: self.state.head,
            repairs: self.state.repairs,
            targets: self.state.targets,
            fanouts_pending: upkeep::count(&self.sql, "outbox")?,
            reinvalidations_pending: upkeep::count(&self.sql, "reinvalidation")?,
            bytes: self.sql.size(),
            front_caches: self.front_cache_states(None)?,
            shards: self.reach(now)?,
            shards_moving: self.moving()?,
        })
    }
}
