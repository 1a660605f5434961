//! What is pending for shards: each invalidation to each shard, until the shard has it.

use crate::base::sql::row::{Row, epoch, number, row_marks, rows_per_statement, text, timestamp};
use crate::base::sql::{Sql, SqlError, Value};
use crate::base::time::{Epoch, Millis, Timestamp};
use crate::cache::tag::Target;

use super::invalidation::{RecordedInvalidation, mode_from};
use super::message::{Fanout, JobRecord};
use super::state::JournalError;

/// The pause after a first failure; it doubles with each further one.
const FIRST_PAUSE: Millis = Millis(500);
/// The longest pause.
const LONGEST_PAUSE: Millis = Millis(60_000);
/// Invalidations of one message.
pub const MAX_EPOCHS: u64 = 100;
/// Targets of one message.
const MAX_TARGETS: u64 = 10_000;

/// Notes that every shard has still to take an invalidation. One that could not be reached lately
/// is asked when it would have been asked anyway, and gets all at once then.
pub(super) fn enqueue<S: Sql>(
    sql: &S,
    invalidation: Epoch,
    shards: u16,
    now: Timestamp,
) -> Result<(), SqlError> {
    let shards: Vec<u16> = (0..shards).collect();
    for chunk in shards.chunks(rows_per_statement(1, 2)) {
        let statement = format!(
            "INSERT INTO outbox (epoch, shard, attempts, not_before)
                SELECT ?, s.column1, 0, max(?, coalesce((SELECT not_before FROM outbox
                    WHERE shard = s.column1 ORDER BY epoch LIMIT 1), 0))
                FROM (VALUES {}) s",
            row_marks(chunk.len(), 1)
        );
        let mut parameters = vec![epoch(invalidation), timestamp(now)];
        parameters.extend(chunk.iter().map(|shard| Value::Integer(i64::from(*shard))));
        sql.exec(&statement, &parameters)?;
    }
    Ok(())
}

/// The fan-outs that are due to one shard, oldest first: as many as fit one message, and one at
/// least.
pub(super) fn pending<S: Sql>(
    sql: &S,
    shard: u16,
    now: Timestamp,
) -> Result<Vec<Fanout>, JournalError> {
    let due = sql.exec(
        "SELECT j.epoch, j.id, j.mode, j.warm, j.at, j.targets
            FROM outbox o JOIN job j ON j.epoch = o.epoch
            WHERE o.shard = ? AND o.not_before <= ? ORDER BY o.epoch LIMIT 0 + ?",
        &[Value::Integer(i64::from(shard)), timestamp(now), number(MAX_EPOCHS)],
    )?;
    let mut fanouts: Vec<Fanout> = Vec::with_capacity(due.len());
    let mut count = 0;
    for row in due {
        let row = Row(&row);
        count += row.unsigned(5)?;
        if count > MAX_TARGETS && !fanouts.is_empty() {
            break;
        }
        let invalidation = row.epoch(0)?;
        fanouts.push(Fanout {
            epoch: invalidation,
            shard,
            job: row.text(1)?.to_owned(),
            // Without its targets it finds no page; what they made out of date stands elsewhere.
            targets: targets(sql, invalidation)?.unwrap_or_default(),
            mode: mode_from(row.text(2)?),
            warm: row.flag(3)?,
            at: row.timestamp(4)?,
        });
    }
    Ok(fanouts)
}

/// The shards that an invalidation is due to.
pub(super) fn due_shards_of<S: Sql>(
    sql: &S,
    invalidation: Epoch,
    now: Timestamp,
) -> Result<Vec<u16>, JournalError> {
    let due = sql.exec(
        "SELECT shard FROM outbox WHERE epoch = ? AND not_before <= ? ORDER BY shard",
        &[epoch(invalidation), timestamp(now)],
    )?;
    Ok(due.iter().map(|row| Row(row).small(0)).collect::<Result<_, _>>()?)
}

/// The shards that something is due to.
pub(super) fn due_shards<S: Sql>(sql: &S, now: Timestamp) -> Result<Vec<u16>, JournalError> {
    let due = sql.exec(
        "SELECT DISTINCT shard FROM outbox WHERE not_before <= ? ORDER BY shard",
        &[timestamp(now)],
    )?;
    Ok(due.iter().map(|row| Row(row).small(0)).collect::<Result<_, _>>()?)
}

/// The targets of an invalidation; none if they can't be read.
pub(super) fn targets<S: Sql>(
    sql: &S,
    invalidation: Epoch,
) -> Result<Option<Vec<Target>>, SqlError> {
    let parts = sql.exec(
        "SELECT targets FROM job_part WHERE epoch = ? ORDER BY part",
        &[epoch(invalidation)],
    )?;
    let mut targets = Vec::new();
    for part in parts {
        match Row(&part).json::<Vec<Target>>(0) {
            Ok(mut part) => targets.append(&mut part),
            Err(SqlError::Damaged(_)) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(targets))
}

/// A shard has them.
pub(super) fn acknowledge<S: Sql>(
    sql: &S,
    invalidations: &[Epoch],
    shard: u16,
) -> Result<(), JournalError> {
    sql.transaction(|| {
        for invalidation in invalidations {
            sql.exec(
                "DELETE FROM outbox WHERE epoch = ? AND shard = ?",
                &[epoch(*invalidation), Value::Integer(i64::from(shard))],
            )?;
            tidy(sql, *invalidation)?;
        }
        Ok(())
    })
}

/// Drops an invalidation's targets once neither a shard, nor a second epoch, nor a front cache
/// needs them.
pub(super) fn tidy<S: Sql>(sql: &S, invalidation: Epoch) -> Result<(), SqlError> {
    sql.exec(
        "DELETE FROM job_part WHERE epoch = ?1
            AND NOT EXISTS (SELECT 1 FROM outbox WHERE epoch = ?1)
            AND NOT EXISTS (SELECT 1 FROM reinvalidation WHERE epoch = ?1)
            AND NOT EXISTS (SELECT 1 FROM front_cache WHERE epoch = ?1)",
        &[epoch(invalidation)],
    )?;
    Ok(())
}

/// A shard could not be reached: all that is pending for it waits together.
pub(super) fn postpone<S: Sql>(sql: &S, shard: u16, now: Timestamp) -> Result<(), JournalError> {
    let shard = Value::Integer(i64::from(shard));
    let pending = sql.exec(
        "SELECT attempts FROM outbox WHERE shard = ? ORDER BY epoch LIMIT 1",
        std::slice::from_ref(&shard),
    )?;
    let Some(row) = pending.first() else { return Ok(()) };
    let attempts: u32 = Row(row).small(0)?;
    let pause = FIRST_PAUSE.0.saturating_mul(1 << attempts.min(16)).min(LONGEST_PAUSE.0);
    sql.exec(
        "UPDATE outbox SET attempts = ?, not_before = ? WHERE shard = ?",
        &[
            Value::Integer(i64::from(attempts.saturating_add(1))),
            timestamp(now.plus(Millis(pause))),
            shard,
        ],
    )?;
    Ok(())
}

/// An invalidation by its id.
pub(super) fn job<S: Sql>(sql: &S, id: &str) -> Result<Option<JobRecord>, JournalError> {
    let found = sql.exec(
        "SELECT j.epoch, j.at, j.mode, j.warm, j.targets, j.reinvalidated_by, j.reason, s.due,
                (SELECT count(*) FROM outbox o WHERE o.epoch = j.epoch)
            FROM job j LEFT JOIN reinvalidation s ON s.epoch = j.epoch WHERE j.id = ?",
        &[text(id)],
    )?;
    let Some(row) = found.first() else { return Ok(None) };
    let row = Row(row);
    Ok(Some(JobRecord {
        invalidation: RecordedInvalidation {
            id: id.to_owned(),
            epoch: row.epoch(0)?,
            at: row.timestamp(1)?,
            mode: mode_from(row.text(2)?),
            warm: row.flag(3)?,
            targets: row.small(4)?,
            reinvalidated_by: row.maybe_text(5)?.map(str::to_owned),
            reason: row.text(6)?.to_owned(),
        },
        shards_pending: row.small(8)?,
        reinvalidation_at: row.maybe_integer(7)?.map(Timestamp::from_millis),
        front_caches: Vec::new(),
    }))
}
