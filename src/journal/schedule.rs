//! Invalidations at a time: durable until then, and done exactly once.
//!
//! One that is due becomes an invalidation like any other, under its own id, in the transaction
//! that takes it off the list. Its id is a receipt from the beginning: asked for again it is the
//! same, before and after its time, and after it was cancelled for as long as receipts are kept.

use crate::base::sql::row::{Row, flag, json, number, text, timestamp};
use crate::base::sql::{Sql, SqlError, Value};
use crate::base::time::{Millis, Timestamp};
use crate::cache::tag::Target;

use super::invalidation::{CalledBy, mode_from, mode_name};
use super::message::{Append, ScheduledAppend};
use super::schedule_message::{Cancelled, ScheduleReply, ScheduleRequest, Scheduled, ScheduledRow};
use super::schedule_message::{MAX_NAMES, MAX_SCHEDULED};
use super::state::{Journal, JournalError};

/// Done in one call of `run_due`.
const PER_CALL: i64 = 20;
/// Rows in one answer.
const MAX_ROWS: u32 = 1_000;

/// What is known of an id that is on the list.
struct ScheduledId {
    digest: String,
    cancelled: bool,
}

fn scheduled_id<S: Sql>(sql: &S, id: &str) -> Result<Option<ScheduledId>, SqlError> {
    let rows = sql.exec("SELECT digest, cancelled FROM scheduled WHERE id = ?", &[text(id)])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let row = Row(row);
    Ok(Some(ScheduledId { digest: row.text(0)?.to_owned(), cancelled: row.flag(1)? }))
}

/// Whether what waits for its time may be done now, because it was asked for again without a time:
/// not where it came with another body, or was cancelled.
pub(super) fn may_run_now<S: Sql>(sql: &S, append: &Append) -> Result<bool, SqlError> {
    Ok(scheduled_id(sql, &append.id)?
        .is_none_or(|scheduled| scheduled.digest == append.body_digest && !scheduled.cancelled))
}

/// Forgets one.
pub(super) fn forget<S: Sql>(sql: &S, id: &str) -> Result<(), SqlError> {
    sql.exec("DELETE FROM scheduled WHERE id = ?", &[text(id)])?;
    Ok(())
}

impl<S: Sql> Journal<S> {
    /// Puts an invalidation on the list, once per id.
    pub(super) fn schedule(
        &self,
        scheduled: &ScheduledAppend,
        now: Timestamp,
    ) -> Result<Scheduled, JournalError> {
        let append = &scheduled.append;
        Self::check(append)?;
        if append.targets.len() > MAX_NAMES {
            return Err(JournalError::TooManyNames);
        }
        if let Some((epoch, digest)) = self.receipt(&append.id)? {
            let same = digest.as_deref() == Some(append.body_digest.as_str());
            return Ok(if same { Scheduled::Done { epoch } } else { Scheduled::Conflict });
        }
        if let Some(known) = scheduled_id(&self.sql, &append.id)? {
            return Ok(match known {
                ScheduledId { digest, .. } if digest != append.body_digest => Scheduled::Conflict,
                ScheduledId { cancelled: true, .. } => Scheduled::Cancelled,
                ScheduledId { cancelled: false, .. } => Scheduled::Waits { repeated: true },
            });
        }
        let waiting = self.sql.exec("SELECT count(*) FROM scheduled WHERE NOT cancelled", &[])?;
        if waiting.first().map_or(Ok(0), |row| Row(row).unsigned(0))? >= MAX_SCHEDULED {
            return Ok(Scheduled::Full);
        }
        self.sql.exec(
            "INSERT INTO scheduled (id, due, digest, mode, warm, reinvalidate_after, reason, caller, via,
                    targets, requested, cancelled)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
            &[
                text(&append.id),
                timestamp(scheduled.at),
                text(&append.body_digest),
                text(mode_name(append.mode)),
                flag(append.warm),
                number(append.reinvalidate_after.0),
                text(&append.reason),
                text(&append.by.caller),
                text(&append.by.via),
                json(&append.targets)?,
                timestamp(now),
            ],
        )?;
        Ok(Scheduled::Waits { repeated: false })
    }

    /// Takes one off the list. Its id stays for as long as receipts do, so that a late repetition
    /// does not bring it back.
    pub(super) fn cancel(&self, id: &str, now: Timestamp) -> Result<Cancelled, JournalError> {
        match scheduled_id(&self.sql, id)? {
            Some(ScheduledId { cancelled: true, .. }) => {
                Ok(Cancelled::Cancelled { repeated: true })
            }
            Some(ScheduledId { cancelled: false, .. }) => {
                self.sql.exec(
                    "UPDATE scheduled SET cancelled = 1, targets = '[]', due = ? WHERE id = ?",
                    &[timestamp(now.plus(self.config.receipt_ttl)), text(id)],
                )?;
                Ok(Cancelled::Cancelled { repeated: false })
            }
            None => Ok(match self.receipt(id)? {
                Some((epoch, _)) => Cancelled::TooLate { epoch },
                None => Cancelled::Unknown,
            }),
        }
    }

    /// What waits.
    pub(super) fn waiting(&self, request: &ScheduleRequest) -> Result<ScheduleReply, JournalError> {
        let none = (Timestamp::from_millis(-1), String::new());
        let (at, id) = request.after.as_ref().unwrap_or(&none);
        let limit = u64::from(request.limit.clamp(1, MAX_ROWS));
        let rows = self.sql.exec(
            "SELECT id, due, requested, mode, warm, targets, reason, caller, via FROM scheduled
                WHERE NOT cancelled AND (due, id) > (?, ?) ORDER BY due, id LIMIT 0 + ?",
            &[timestamp(*at), text(id), number(limit + 1)],
        )?;
        let more = rows.len() as u64 > limit;
        let shown = rows.iter().take(limit as usize).map(|row| {
            let row = Row(row);
            Ok(ScheduledRow {
                id: row.text(0)?.to_owned(),
                at: row.timestamp(1)?,
                requested: row.timestamp(2)?,
                mode: mode_from(row.text(3)?),
                warm: row.flag(4)?,
                // What can't be read may be anything, and is done so.
                targets: row.json(5).unwrap_or_else(|_| vec![Target::All]),
                reason: row.text(6)?.to_owned(),
                by: CalledBy { caller: row.text(7)?.to_owned(), via: row.text(8)?.to_owned() },
            })
        });
        let rows: Result<Vec<ScheduledRow>, SqlError> = shown.collect();
        Ok(ScheduleReply { rows: rows?, more })
    }

    /// Does what is due, and forgets what was cancelled long ago.
    pub(super) fn do_scheduled(&mut self, now: Timestamp) -> Result<(), JournalError> {
        self.sql.exec("DELETE FROM scheduled WHERE cancelled AND due <= ?", &[timestamp(now)])?;
        let due = self.sql.exec(
            "SELECT id, digest, mode, warm, reinvalidate_after, reason, caller, targets FROM scheduled
                WHERE due <= ? ORDER BY due, id LIMIT 0 + ?",
            &[timestamp(now), Value::Integer(PER_CALL)],
        )?;
        for row in &due {
            let row = Row(row);
            let append = Append {
                id: row.text(0)?.to_owned(),
                body_digest: row.text(1)?.to_owned(),
                mode: mode_from(row.text(2)?),
                warm: row.flag(3)?,
                reinvalidate_after: Millis(row.unsigned(4)?),
                reason: row.text(5)?.to_owned(),
                by: CalledBy { caller: row.text(6)?.to_owned(), via: "schedule".to_owned() },
                targets: row.json(7).unwrap_or_else(|_| vec![Target::All]),
                uncounted: true,
                unsafe_method: false,
            };
            self.write(&append, now)?;
        }
        Ok(())
    }
}
