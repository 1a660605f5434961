//! Reading the journal: deltas and look-ups.

use crate::base::sql::row::{Row, epoch, hash, marks, number, timestamp};
use crate::base::sql::{MAX_PARAMETERS, Sql, SqlError, Value};
use crate::base::time::{Epoch, Timestamp};
use crate::cache::tag::TargetHash;
use crate::journal::delta::{Bucket, Delta, Found, TargetRow};

use super::state::{JournalConfig, JournalError};

/// What was invalidated after a base, and no less than in the last `shared_window`.
pub(super) fn delta<S: Sql>(
    sql: &S,
    config: &JournalConfig,
    head: Epoch,
    since: Option<Epoch>,
    now: Timestamp,
) -> Result<Delta, JournalError> {
    let Some(since) = since else {
        return Ok(page(sql, config.page_rows, head, None)?);
    };
    let window = now.minus(config.shared_window);
    let oldest = sql.exec("SELECT min(epoch) FROM job WHERE at > ?", &[timestamp(window)])?;
    let oldest = oldest.first().map_or(Ok(None), |row| Row(row).maybe_integer(0))?;
    let shared = oldest.map_or(head, |oldest| Epoch(oldest.unsigned_abs().saturating_sub(1)));
    if shared < since {
        let wide = page(sql, config.page_rows, head, Some(shared))?;
        if !wide.more {
            return Ok(wide);
        }
        // More than a page: a sharer's paging must move on, not begin anew each time.
    }
    Ok(page(sql, config.page_rows, head, Some(since))?)
}

/// One page after a base, never cut inside an epoch (`epoch_cut`), with the buckets of the same
/// epochs (`floor_sent`): a dropped target whose epoch is at or before the base is known to who has
/// the base.
fn page<S: Sql>(
    sql: &S,
    limit: usize,
    head: Epoch,
    since: Option<Epoch>,
) -> Result<Delta, SqlError> {
    let base = since.unwrap_or(Epoch::ZERO);
    let limit = limit.max(1);
    let mut rows = stamps(sql, base, head, Some(limit))?;
    let mut buckets = dropped(sql, base, head, Some(limit))?;
    let cut_rows = rows.get(limit - 1).filter(|_| rows.len() > limit).map(TargetRow::epoch);
    let cut_buckets = buckets.get(limit - 1).filter(|_| buckets.len() > limit).map(|b| b.epoch);
    let cut = match (cut_rows, cut_buckets) {
        (Some(rows), Some(buckets)) => Some(rows.min(buckets)),
        (rows, buckets) => rows.or(buckets),
    };
    let to = cut.unwrap_or(head);
    if cut.is_some() {
        rows = stamps(sql, base, to, None)?;
        buckets = dropped(sql, base, to, None)?;
    }
    // In order of number they pack tighter.
    buckets.sort_by_key(|row| row.bucket);
    Ok(Delta { since, to, more: to < head, head, rows, buckets, reported: None })
}

/// At most one row more than the limit, in order of epoch.
fn stamps<S: Sql>(
    sql: &S,
    base: Epoch,
    to: Epoch,
    limit: Option<usize>,
) -> Result<Vec<TargetRow>, SqlError> {
    sql.exec(
        "SELECT hash, soft, hard, soft_at FROM stamp
            WHERE epoch > ? AND epoch <= ? ORDER BY epoch LIMIT 0 + ?",
        &[epoch(base), epoch(to), limit_parameter(limit)],
    )?
    .iter()
    .map(|row| delta_row(Row(row)))
    .collect()
}

fn dropped<S: Sql>(
    sql: &S,
    base: Epoch,
    to: Epoch,
    limit: Option<usize>,
) -> Result<Vec<Bucket>, SqlError> {
    sql.exec(
        "SELECT bucket, epoch, hard FROM bucket
            WHERE epoch > ? AND epoch <= ? ORDER BY epoch LIMIT 0 + ?",
        &[epoch(base), epoch(to), limit_parameter(limit)],
    )?
    .iter()
    .map(|row| bucket(Row(row)))
    .collect()
}

fn limit_parameter(limit: Option<usize>) -> Value {
    // A negative LIMIT is none.
    limit.map_or(Value::Integer(-1), |limit| number(limit as u64 + 1))
}

/// How some targets stand, with their buckets (`floor_sent`).
pub(super) fn found<S: Sql>(
    sql: &S,
    head: Epoch,
    targets: &[TargetHash],
) -> Result<Found, JournalError> {
    let mut found = Found { head, rows: Vec::new(), buckets: Vec::new() };
    let hashes: Vec<Value> = targets.iter().map(|target| hash(target.0)).collect();
    for chunk in hashes.chunks(MAX_PARAMETERS) {
        let query = format!(
            "SELECT hash, soft, hard, soft_at FROM stamp WHERE hash IN ({})",
            marks(chunk.len())
        );
        for row in sql.exec(&query, chunk)? {
            found.rows.push(delta_row(Row(&row))?);
        }
    }
    let mut numbers: Vec<u16> = targets.iter().map(|target| target.bucket()).collect();
    numbers.sort();
    numbers.dedup();
    for chunk in numbers.chunks(MAX_PARAMETERS) {
        let parameters: Vec<Value> = chunk.iter().map(|n| Value::Integer(i64::from(*n))).collect();
        let query = format!(
            "SELECT bucket, epoch, hard FROM bucket WHERE bucket IN ({}) ORDER BY bucket",
            marks(chunk.len())
        );
        for row in sql.exec(&query, &parameters)? {
            found.buckets.push(bucket(Row(&row))?);
        }
    }
    Ok(found)
}

fn delta_row(row: Row<'_>) -> Result<TargetRow, SqlError> {
    Ok(TargetRow {
        hash: TargetHash(row.hash(0)?),
        soft: row.epoch(1)?,
        hard: row.epoch(2)?,
        soft_at: row.timestamp(3)?,
    })
}

fn bucket(row: Row<'_>) -> Result<Bucket, SqlError> {
    Ok(Bucket { bucket: row.small(0)?, epoch: row.epoch(1)?, hard: row.epoch(2)? })
}
