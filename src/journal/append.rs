//! Giving epochs: appends, second epochs, and continuing past epochs that were lost.

use crate::base::sql::row::{Row, epoch, flag, hash, json, marks, maybe_text, number};
use crate::base::sql::row::{row_marks, rows_per_statement, text, timestamp};
use crate::base::sql::{MAX_PARAMETERS, Sql, SqlError, Value};
use crate::base::time::{Epoch, Millis, Timestamp};
use crate::cache::tag::{Target, TargetHash};

use super::invalidation::{CalledBy, Mode, mode_from, mode_name};
use super::message::{Append, Appended};
use super::state::{Journal, JournalError, JournalState, MAX_EPOCH, REPAIR_MARGIN};
use super::{front_caches, history, outbox, schedule, schema};

/// Second epochs given in one call of `run_due`.
const REINVALIDATIONS_PER_CALL: i64 = 20;
/// Targets in one row of `job_part`: 500 of 1 KiB each, escaped, are well below the 2 MB of a row.
const PART_TARGETS: usize = 500;

/// How the ids of second epochs begin.
const REINVALIDATION_ID: &str = "reinvalidate:";
/// How the ids of repairs begin.
const REPAIR_ID: &str = "repair:";

/// One invalidation, as it is written.
struct JournalEntry<'a> {
    id: &'a str,
    digest: Option<&'a str>,
    targets: &'a [Target],
    mode: Mode,
    warm: bool,
    reinvalidate_after: Millis,
    reason: &'a str,
    unsafe_method: bool,
    by: &'a CalledBy,
}

impl<S: Sql> Journal<S> {
    /// Records an invalidation, once per id (`receipts`).
    pub(super) fn append(
        &mut self,
        append: &Append,
        now: Timestamp,
    ) -> Result<Appended, JournalError> {
        Self::check(append)?;
        let known =
            self.sql.exec("SELECT epoch, digest FROM job WHERE id = ?", &[text(&append.id)])?;
        if let Some(row) = known.first() {
            let row = Row(row);
            return Ok(if row.maybe_text(1)? == Some(append.body_digest.as_str()) {
                Appended::Repeated { epoch: row.epoch(0)? }
            } else {
                Appended::Conflict
            });
        }
        // What waits for its time and is asked for now is done now.
        if !schedule::may_run_now(&self.sql, append)? {
            return Ok(Appended::Conflict);
        }
        self.write(append, now).map(Appended::recorded)
    }

    /// Refuses what is no invalidation.
    pub(super) fn check(append: &Append) -> Result<(), JournalError> {
        if append.targets.is_empty() {
            return Err(JournalError::NoTargets);
        }
        if [REINVALIDATION_ID, REPAIR_ID].iter().any(|reserved| append.id.starts_with(reserved)) {
            return Err(JournalError::ReservedId);
        }
        Ok(())
    }

    /// The epoch of an id, and the digest that it came with.
    pub(super) fn receipt(
        &self,
        id: &str,
    ) -> Result<Option<(Epoch, Option<String>)>, JournalError> {
        let known = self.sql.exec("SELECT epoch, digest FROM job WHERE id = ?", &[text(id)])?;
        let Some(row) = known.first() else { return Ok(None) };
        Ok(Some((Row(row).epoch(0)?, Row(row).maybe_text(1)?.map(str::to_owned))))
    }

    /// Gives an epoch to what is not known; it is not scheduled any more.
    pub(super) fn write(&mut self, append: &Append, now: Timestamp) -> Result<Epoch, JournalError> {
        let next = self.state.head.next();
        self.commit(next, now, 0, |sql| {
            schedule::forget(sql, &append.id)?;
            Ok(JournalEntry {
                id: &append.id,
                digest: Some(&append.body_digest),
                targets: &append.targets,
                mode: append.mode,
                warm: append.warm,
                reinvalidate_after: append.reinvalidate_after,
                reason: &append.reason,
                unsafe_method: append.unsafe_method,
                by: &append.by,
            })
        })?;
        Ok(next)
    }

    /// Continues past an epoch that this journal never issued: it was restored from an older
    /// backup. What was lost is not known, so everything older counts as invalid (`incarnation`).
    pub(super) fn repair(&mut self, seen: Epoch, now: Timestamp) -> Result<(), JournalError> {
        if seen <= self.state.head {
            return Ok(());
        }
        let next = Epoch(seen.0.saturating_add(REPAIR_MARGIN));
        if next > MAX_EPOCH {
            return Err(JournalError::EpochOutOfRange(seen));
        }
        let id = format!("{REPAIR_ID}{}", next.0);
        let reason = format!("the journal ended at {}, {} was seen", self.state.head.0, seen.0);
        let by_repair = CalledBy { caller: "journal".to_owned(), via: "repair".to_owned() };
        self.commit(next, now, 1, |_| {
            Ok(JournalEntry {
                id: &id,
                digest: None,
                targets: &[Target::All],
                mode: Mode::Hard,
                warm: false,
                reinvalidate_after: Millis::ZERO,
                reason: &reason,
                unsafe_method: false,
                by: &by_repair,
            })
        })
    }

    /// Gives the second epochs that are due (`second_epoch`).
    pub(super) fn reinvalidate_due(&mut self, now: Timestamp) -> Result<(), JournalError> {
        let due = self.sql.exec(
            "SELECT s.epoch, j.id, j.mode, j.warm, j.reason, j.caller
                FROM reinvalidation s LEFT JOIN job j ON j.epoch = s.epoch
                WHERE s.due <= ? ORDER BY s.due LIMIT 0 + ?",
            &[timestamp(now), Value::Integer(REINVALIDATIONS_PER_CALL)],
        )?;
        for row in due {
            let row = Row(&row);
            let first = row.epoch(0)?;
            let next = self.state.head.next();
            let id = format!("{REINVALIDATION_ID}{}", next.0);
            let mode = mode_from(row.text(2)?);
            let (warm, reason) = (row.flag(3)?, row.text(4)?);
            let by = CalledBy { caller: row.text(5)?.to_owned(), via: "reinvalidate".to_owned() };
            // What can't be read may have been anything.
            let targets = outbox::targets(&self.sql, first)?.unwrap_or_else(|| vec![Target::All]);
            self.commit(next, now, 0, |sql| {
                sql.exec("DELETE FROM reinvalidation WHERE epoch = ?", &[epoch(first)])?;
                sql.exec(
                    "UPDATE job SET reinvalidated_by = ? WHERE epoch = ?",
                    &[text(&id), epoch(first)],
                )?;
                outbox::tidy(sql, first)?;
                Ok(JournalEntry {
                    id: &id,
                    digest: None,
                    targets: &targets,
                    mode,
                    warm,
                    reinvalidate_after: Millis::ZERO,
                    reason,
                    unsafe_method: false,
                    by: &by,
                })
            })?;
        }
        Ok(())
    }

    /// Writes one invalidation in one transaction, together with what `before` does.
    fn commit<'a>(
        &mut self,
        next: Epoch,
        now: Timestamp,
        repairs: u64,
        before: impl FnOnce(&S) -> Result<JournalEntry<'a>, SqlError>,
    ) -> Result<(), JournalError> {
        let shards = self.reach(now)?;
        let (sql, state) = (&self.sql, self.state);
        let (front_caches, seen) = (&self.config.front_caches, now.plus(self.config.seen_within));
        let state = sql.transaction(|| {
            let entry = before(sql)?;
            let added = stamp(sql, entry.targets, entry.mode, next, now)?;
            record(sql, &entry, next, now)?;
            if entry.unsafe_method {
                front_caches::enqueue_unsafe(sql, (next, entry.targets.len()), front_caches, seen)?;
                outbox::tidy(sql, next)?;
            } else {
                outbox::enqueue(sql, next, shards, now)?;
                front_caches::enqueue(sql, next, front_caches, seen)?;
            }
            let state = JournalState {
                head: next,
                targets: state.targets + added,
                repairs: state.repairs + repairs,
                ..state
            };
            schema::save(sql, state)?;
            Ok::<_, SqlError>(state)
        });
        self.crowded |= matches!(state, Err(SqlError::Refused(_)));
        let state = state?;
        // Only now: nobody sees an epoch that is not durable (durable_visible).
        self.state = state;
        Ok(())
    }
}

/// Raises the targets' epochs; returns how many targets are new.
fn stamp<S: Sql>(
    sql: &S,
    targets: &[Target],
    mode: Mode,
    next: Epoch,
    now: Timestamp,
) -> Result<u64, SqlError> {
    // Two targets of one hash are one row: they are invalidated together.
    let mut unique: Vec<(TargetHash, &Target)> =
        targets.iter().map(|target| (target.hash(), target)).collect();
    unique.sort_by_key(|entry| entry.0);
    unique.dedup_by_key(|(hash, _)| *hash);
    let hashes: Vec<Value> = unique.iter().map(|(target, _)| hash(target.0)).collect();
    let mut known = 0;
    for chunk in hashes.chunks(MAX_PARAMETERS) {
        let query = format!("SELECT count(*) FROM stamp WHERE hash IN ({})", marks(chunk.len()));
        known += sql.exec(&query, chunk)?.first().map_or(Ok(0), |row| Row(row).unsigned(0))?;
    }
    let none = (epoch(Epoch::ZERO), timestamp(Timestamp::ZERO));
    let this = (epoch(next), timestamp(now));
    let ((soft, soft_at), (hard, hard_at)) = match mode {
        Mode::Soft => (this, none),
        Mode::Hard => (none, this),
    };
    for chunk in unique.chunks(rows_per_statement(8, 0)) {
        let statement = format!(
            "INSERT INTO stamp (hash, kind, name, soft, hard, soft_at, hard_at, epoch) VALUES {}
                ON CONFLICT (hash) DO UPDATE SET
                    soft = max(soft, excluded.soft), hard = max(hard, excluded.hard),
                    soft_at = CASE WHEN excluded.soft > soft THEN excluded.soft_at
                        ELSE soft_at END,
                    hard_at = CASE WHEN excluded.hard > hard THEN excluded.hard_at
                        ELSE hard_at END, epoch = excluded.epoch",
            row_marks(chunk.len(), 8)
        );
        let mut parameters = Vec::with_capacity(chunk.len() * 8);
        for (target_hash, target) in chunk {
            parameters.extend([
                hash(target_hash.0),
                Value::Integer(i64::from(target.kind())),
                text(target.name()),
                soft.clone(),
                hard.clone(),
                soft_at.clone(),
                hard_at.clone(),
                epoch(next),
            ]);
        }
        sql.exec(&statement, &parameters)?;
    }
    Ok((unique.len() as u64).saturating_sub(known))
}

/// Writes the job, its targets, and when its second epoch is due.
fn record<S: Sql>(
    sql: &S,
    entry: &JournalEntry<'_>,
    next: Epoch,
    now: Timestamp,
) -> Result<(), SqlError> {
    sql.exec(
        "INSERT INTO job (epoch, id, digest, mode, warm, targets, reason, at, caller, via, named)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        &[
            epoch(next),
            text(entry.id),
            maybe_text(entry.digest),
            text(mode_name(entry.mode)),
            flag(entry.warm),
            number(entry.targets.len() as u64),
            text(entry.reason),
            timestamp(now),
            text(&entry.by.caller),
            text(&entry.by.via),
            json(&history::kept(entry.targets))?,
        ],
    )?;
    for (part, targets) in entry.targets.chunks(PART_TARGETS).enumerate() {
        sql.exec(
            "INSERT INTO job_part (epoch, part, targets) VALUES (?, ?, ?)",
            &[epoch(next), number(part as u64), json(&targets)?],
        )?;
    }
    if entry.reinvalidate_after > Millis::ZERO {
        sql.exec(
            "INSERT INTO reinvalidation (epoch, due) VALUES (?, ?)",
            &[epoch(next), timestamp(now.plus(entry.reinvalidate_after))],
        )?;
    }
    Ok(())
}
