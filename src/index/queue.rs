//! The warm queue: rows in, tasks out, results back. What happens to a warm is decided by
//! [`crate::index::warm`].
//!
//! What is due goes by [`crate::index::popularity`]: the pages most recently and most often asked
//! for first, then by age. Each warm that a job queued ends in exactly one of its counters: done,
//! failed, superseded.

use crate::base::sql::row::{Row, epoch, hash, marks, number, text, timestamp};
use crate::base::sql::{MAX_PARAMETERS, Sql, SqlError, Value};
use crate::base::time::Epoch;
use crate::cache::key::{KeyDigest, Page};
use crate::cache::tag::TagSet;
use crate::index::lease::Version;
use crate::index::pace::Pace;
use crate::index::warm::{WarmStep, WarmTarget, next, retry};

use super::answer::Refetch;
use super::damage::DAMAGED;
use super::message::{Outcome, WarmResult, WarmTask};
use super::transaction::{ShardError, ShardTransaction};

/// Queued warms looked at in one call beyond those that can start: many may be done or wait.
const LOOK_AHEAD: u64 = 32;
/// Warms in one call that take their places because their time has come.
const MAX_DUE: u64 = 500;
/// Lost warms found in one call.
const MAX_LOST: i64 = 50;

impl<S: Sql> ShardTransaction<'_, S> {
    /// Queues a warm of a variant. A newer epoch takes the older one's place. Returns whether it
    /// was counted for the job: not if it stood there already.
    pub(super) fn enqueue(
        &mut self,
        variant: i64,
        want: WarmTarget,
        job: &str,
    ) -> Result<bool, ShardError> {
        let id = Value::Integer(variant);
        let queued = self
            .sql
            .exec("SELECT epoch, job FROM warm WHERE variant = ?", std::slice::from_ref(&id))?;
        let Some(row) = queued.first() else {
            self.sql.exec(
                "INSERT INTO warm
                    (variant, epoch, above, job, state, attempts, not_before, fence, rank)
                    VALUES (?1, ?2, ?3, ?4, 0, 0, ?5, 0,
                        coalesce((SELECT popularity FROM variant WHERE id = ?1), 0))",
                &[id, epoch(want.epoch), number(want.above_fence), text(job), timestamp(self.now)],
            )?;
            self.bump(job, "total", 1)?;
            return Ok(true);
        };
        let (queued_epoch, queued_job) = (Row(row).epoch(0)?, Row(row).text(1)?);
        if queued_epoch == want.epoch && queued_job == job {
            return Ok(false);
        }
        self.bump(job, "total", 1)?;
        if queued_epoch >= want.epoch {
            self.bump(job, "superseded", 1)?;
            return Ok(true);
        }
        self.bump(queued_job, "superseded", 1)?;
        // One that runs goes on, but its result counts only if it covers the newer epoch
        // (warm_cas).
        self.sql.exec(
            "UPDATE warm SET epoch = ?, above = max(above, ?), job = ?, attempts = 0,
                    not_before = CASE state WHEN 0 THEN ? ELSE not_before END,
                    fence = CASE state WHEN 0 THEN 0 ELSE fence END, rank = -1
                WHERE variant = ?",
            &[epoch(want.epoch), number(want.above_fence), text(job), timestamp(self.now), id],
        )?;
        Ok(true)
    }

    /// Ends a variant's warm as done.
    pub(super) fn end_warm(
        &mut self,
        variant: i64,
        refetch: Option<Refetch>,
    ) -> Result<(), ShardError> {
        let counters: &[&str] = match refetch {
            None => &["done"],
            Some(Refetch::Changed) => &["done", "changed"],
            Some(Refetch::Unchanged) => &["done", "unchanged"],
        };
        self.close(variant, counters)
    }

    /// Ends a variant's warm as done if what is stored now is what it was for.
    pub(super) fn end_warm_if_met(
        &mut self,
        variant: i64,
        stored: Version,
        refetch: Option<Refetch>,
    ) -> Result<(), ShardError> {
        if self.is_wanted_past(variant, stored)? {
            return Ok(());
        }
        self.end_warm(variant, refetch)
    }

    /// Whether a warm of the variant is queued that this result is not what it was for.
    pub(super) fn is_wanted_past(&self, variant: i64, result: Version) -> Result<bool, ShardError> {
        let rows = self
            .sql
            .exec("SELECT epoch, above FROM warm WHERE variant = ?", &[Value::Integer(variant)])?;
        let Some(row) = rows.first() else { return Ok(false) };
        let want = WarmTarget { epoch: Row(row).epoch(0)?, above_fence: Row(row).unsigned(1)? };
        Ok(!want.is_met_by(result))
    }

    fn close(&mut self, variant: i64, counters: &[&'static str]) -> Result<(), ShardError> {
        let ended = self
            .sql
            .exec("DELETE FROM warm WHERE variant = ? RETURNING job", &[Value::Integer(variant)])?;
        match ended.first().map(|row| Row(row).text(0)) {
            Some(Ok(job)) => self.bump_all(job, counters, 1),
            // Whose it was can't be read.
            Some(Err(_)) | None => Ok(()),
        }
    }

    /// Raises one of a job's counters.
    pub(super) fn bump(&self, job: &str, counter: &'static str, by: u64) -> Result<(), ShardError> {
        self.bump_all(job, &[counter], by)
    }

    /// Raises some of them, and notes when, in one row.
    fn bump_all(&self, job: &str, counters: &[&'static str], by: u64) -> Result<(), ShardError> {
        if by > 0 {
            let raised: Vec<String> =
                counters.iter().map(|counter| format!("{counter} = {counter} + ?1")).collect();
            let statement =
                format!("UPDATE job SET {}, ended = ?3 WHERE id = ?2", raised.join(", "));
            self.sql.exec(&statement, &[number(by), text(job), timestamp(self.now)])?;
        }
        Ok(())
    }

    /// Queues a warm if a fan-out that is already through names the page and is newer than the
    /// fill, or than what another shard has found for it: it could not see the page (`rec_fanout`).
    pub(super) fn warm_if_overtaken(
        &mut self,
        variant: i64,
        page: &Page,
        found: Epoch,
        tags: &TagSet,
    ) -> Result<(), ShardError> {
        if found >= self.state.fan_head {
            return Ok(());
        }
        let mut newest = (Epoch::ZERO, String::new());
        if found < self.state.fan_floor {
            // Begun before all that is remembered: it may have been named.
            newest.0 = self.state.fan_floor;
        }
        let targets: Vec<Value> = page.targets(tags).iter().map(|target| hash(target.0)).collect();
        for chunk in targets.chunks(MAX_PARAMETERS) {
            let query = format!(
                "SELECT epoch, job FROM fan WHERE hash IN ({}) ORDER BY epoch DESC LIMIT 1",
                marks(chunk.len())
            );
            if let Some(row) = self.sql.exec(&query, chunk)?.first()
                && Row(row).epoch(0)? >= newest.0
            {
                newest = (Row(row).epoch(0)?, Row(row).text(1)?.to_owned());
            }
        }
        if newest.0 <= found || self.variant_by_id(variant)?.is_some_and(|variant| variant.once) {
            return Ok(());
        }
        self.enqueue(variant, WarmTarget { epoch: newest.0, above_fence: 0 }, &newest.1)?;
        Ok(())
    }

    /// A lease was given back: the warm that waited for it looks again.
    pub(super) fn wake_warm(&self, fence: u64) -> Result<(), SqlError> {
        self.sql.exec(
            "UPDATE warm INDEXED BY warm_lease SET not_before = ?, fence = 0, rank = -1
                WHERE state = 0 AND fence > 0 AND fence = ?",
            &[timestamp(self.now), number(fence)],
        )?;
        Ok(())
    }

    /// Takes warms that are due, with their leases.
    /// Those that are slow take no place.
    pub(super) fn take(
        &mut self,
        limit: usize,
        slow: u32,
        pace: &Pace,
    ) -> Result<Vec<WarmTask>, ShardError> {
        let running = self.sql.exec("SELECT count(*) FROM warm WHERE state = 1", &[])?;
        let running: u32 = running.first().map_or(Ok(0), |row| Row(row).small(0))?;
        let running = running.saturating_sub(slow);
        let slots = self.config.warm_concurrency.saturating_sub(running);
        let slots = limit.min(slots.min(pace.free(running, self.now)) as usize);
        if slots == 0 {
            return Ok(Vec::new());
        }
        // What has waited for its time takes its place among the others: behind all of them if it
        // was tried before, because what fails or drips would have every turn.
        self.sql.exec(
            "UPDATE warm SET
                    rank = CASE attempts WHEN 0 THEN 1 + coalesce(
                        (SELECT max(popularity, 0) FROM variant WHERE id = warm.variant), 0)
                        ELSE 0 END
                WHERE variant IN (SELECT variant FROM warm INDEXED BY warm_waits
                    WHERE state = 0 AND rank = -1 AND not_before <= ? LIMIT 0 + ?)",
            &[timestamp(self.now), number(MAX_DUE)],
        )?;
        let due = self.sql.exec(
            "SELECT w.epoch, w.above, w.job, w.attempts, lower(hex(v.digest)), v.selection,
                    v.request, p.page, p.key, p.vary, w.variant
                FROM warm w JOIN variant v ON v.id = w.variant JOIN page p ON p.id = v.page
                WHERE w.state = 0 AND w.rank >= 0
                ORDER BY w.rank DESC, w.epoch, w.variant LIMIT 0 + ?",
            &[number(slots as u64 + LOOK_AHEAD)],
        )?;
        let mut tasks = Vec::with_capacity(slots);
        for row in &due {
            if tasks.len() == slots {
                break;
            }
            let id = Row(row).integer(10)?;
            let started = self.start(Row(row));
            tasks.extend(self.repaired(started, |work| work.drop_damaged_page_of(id))?);
        }
        Ok(tasks)
    }

    fn start(&mut self, row: Row<'_>) -> Result<Option<WarmTask>, ShardError> {
        let digest = KeyDigest::from_stored(row.text(4)?.to_owned());
        let Some(variant) = self.variant_by_id(row.integer(10)?)? else { return Ok(None) };
        let want = WarmTarget { epoch: row.epoch(0)?, above_fence: row.unsigned(1)? };
        let attempts: u32 = row.small(3)?;
        let holder = self.holder(&digest)?;
        let most = self.config.warm_attempts;
        let id = Value::Integer(variant.id);
        match next(want, variant.stored(), holder, attempts, most, self.now) {
            WarmStep::Done => self.end_warm(variant.id, None)?,
            WarmStep::Wait(until) => {
                let fence = holder.map_or(0, |holder| holder.fence);
                self.sql.exec(
                    "UPDATE warm SET not_before = ?, fence = ?, rank = -1 WHERE variant = ?",
                    &[timestamp(until), number(fence), id],
                )?;
            }
            WarmStep::GiveUp => self.dead_letter(variant.id, "its tries began but never ended")?,
            WarmStep::Fetch => {
                let (fence, stamp) = self.grant(&digest)?;
                self.sql.exec(
                    "UPDATE warm SET state = 1, attempts = attempts + 1, not_before = ?,
                        fence = ? WHERE variant = ?",
                    &[timestamp(self.now.plus(self.config.lease)), number(fence), id],
                )?;
                return Ok(Some(WarmTask {
                    stored: variant.stored().map(|stored| stored.stamp),
                    stored_status: variant.stored_status(),
                    variant: digest,
                    page: row.json(7)?,
                    key: crate::cache::key::CacheKey::from_stored(row.text(8)?.to_owned()),
                    selection: row.json(5)?,
                    request: row.json(6)?,
                    epoch: want.epoch,
                    job: row.text(2)?.to_owned(),
                    fence,
                    stamp,
                    tags: self.known_tags(variant.page, Some(&variant))?,
                    vary: row.json(9)?,
                    attempts,
                    began: self.now,
                }));
            }
        }
        Ok(None)
    }

    /// Notes what came of a warm.
    pub(super) fn finish(
        &mut self,
        task: &WarmTask,
        result: &WarmResult,
    ) -> Result<Option<Refetch>, ShardError> {
        let mut refetch = None;
        let reason = match result {
            WarmResult::NotStored { reason } | WarmResult::Failed { reason, .. } => reason.as_str(),
            WarmResult::Fetched(record) => {
                let recorded = self.record(record, true)?;
                refetch = recorded.refetch;
                match &record.outcome {
                    Outcome::Stored => {
                        if recorded.accepted
                            && record.key.variant(&record.selection).digest() != task.variant
                            && let Some(old) = self.variant_of(&task.key, &task.variant)?
                        {
                            // The page turned out to vary on more: the variant went on under
                            // another name.
                            self.drop_variant(&old)?;
                        }
                        "its result could not be recorded"
                    }
                    Outcome::Uncacheable { .. } | Outcome::Gone => {
                        "its result could not be recorded"
                    }
                }
            }
        };
        self.release(&task.variant, task.fence)?;
        self.end_try(&task.variant, Some(task), reason)?;
        Ok(refetch)
    }

    /// Ends a try of a warm that is still in the queue.
    fn end_try(
        &mut self,
        digest: &KeyDigest,
        task: Option<&WarmTask>,
        reason: &str,
    ) -> Result<(), ShardError> {
        let rows = self.sql.exec(
            "SELECT w.variant, w.epoch, w.attempts, w.fence FROM warm w
                JOIN variant v ON v.id = w.variant WHERE v.digest = unhex(?) AND w.state = 1",
            &[text(digest.as_str())],
        )?;
        let Some(row) = rows.first() else { return Ok(()) };
        let row = Row(row);
        let (variant, attempts) = (row.integer(0)?, row.small(2)?);
        if task.is_some_and(|task| row.unsigned(3).is_ok_and(|fence| fence != task.fence)) {
            // A later try runs.
            return Ok(());
        }
        let newer = task.is_some_and(|task| row.epoch(1).is_ok_and(|epoch| epoch > task.epoch));
        let again = if newer {
            Some(self.now)
        } else {
            retry(digest, attempts, self.config.warm_attempts, self.now)
        };
        match again {
            Some(at) => {
                self.sql.exec(
                    "UPDATE warm SET state = 0, not_before = ?, fence = 0, rank = -1, reason = ?
                        WHERE variant = ?",
                    &[timestamp(at), text(reason), Value::Integer(variant)],
                )?;
                Ok(())
            }
            None => self.dead_letter(variant, reason),
        }
    }

    /// Makes a warm a dead letter.
    pub(super) fn dead_letter(&mut self, variant: i64, reason: &str) -> Result<(), ShardError> {
        self.sql.exec(
            "INSERT OR REPLACE INTO dead (job, variant, epoch, attempts, reason, at)
                SELECT job, variant, epoch, attempts, ?, ? FROM warm WHERE variant = ?",
            &[text(reason), timestamp(self.now), Value::Integer(variant)],
        )?;
        self.close(variant, &["failed"])
    }

    /// Ends the tries whose lease ran out without a result.
    pub(super) fn recover(&mut self) -> Result<(), ShardError> {
        let lost = self.sql.exec(
            "SELECT lower(hex(v.digest)), v.id FROM warm w JOIN variant v ON v.id = w.variant
                WHERE w.state = 1 AND w.not_before <= ? LIMIT 0 + ?",
            &[timestamp(self.now), Value::Integer(MAX_LOST)],
        )?;
        for row in &lost {
            let digest = KeyDigest::from_stored(Row(row).text(0)?.to_owned());
            let id = Row(row).integer(1)?;
            let ended = self.end_try(&digest, None, "it did not end within its lease");
            self.repaired(ended, |work| work.dead_letter(id, DAMAGED))?;
        }
        Ok(())
    }
}
