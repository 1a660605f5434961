//! Keeping the journal small: merging the oldest targets into buckets, forgetting old
//! invalidations.

use std::collections::BTreeMap;

use crate::base::sql::row::{
    Row, epoch, hash, marks, number, row_marks, rows_per_statement, timestamp,
};
use crate::base::sql::{MAX_PARAMETERS, Sql, SqlError, Value};
use crate::base::time::{Epoch, Millis, Timestamp};
use crate::cache::tag::TargetHash;

use super::schema;
use super::state::{Journal, JournalConfig, JournalError, JournalState};

/// Targets merged in one call.
const MERGES_PER_CALL: u64 = 5_000;
/// Invalidations forgotten in one call.
const EXPIRIES_PER_CALL: i64 = 500;

impl<S: Sql> Journal<S> {
    /// Merges the oldest targets into their buckets, down to 15/16 of `max_targets`, so that a full
    /// journal does not do so with every append.
    pub(super) fn merge_oldest(&mut self) -> Result<(), JournalError> {
        let most = u64::from(self.config.max_targets);
        if self.state.targets <= most {
            return Ok(());
        }
        let count = (self.state.targets - (most - most / 16)).min(MERGES_PER_CALL);
        let (sql, state) = (&self.sql, self.state);
        self.state = sql.transaction(|| {
            let oldest = sql.exec(
                "SELECT hash, soft, hard FROM stamp ORDER BY epoch LIMIT 0 + ?",
                &[number(count)],
            )?;
            let mut buckets: BTreeMap<u16, (Epoch, Epoch)> = BTreeMap::new();
            let mut hashes = Vec::with_capacity(oldest.len());
            for row in &oldest {
                let row = Row(row);
                let target = TargetHash(row.hash(0)?);
                let (soft, hard) = buckets.entry(target.bucket()).or_default();
                (*soft, *hard) = (row.epoch(1)?.max(*soft), row.epoch(2)?.max(*hard));
                hashes.push(hash(target.0));
            }
            raise(sql, &buckets.into_iter().collect::<Vec<_>>())?;
            for chunk in hashes.chunks(MAX_PARAMETERS) {
                let drop = format!("DELETE FROM stamp WHERE hash IN ({})", marks(chunk.len()));
                sql.exec(&drop, chunk)?;
            }
            let targets = state.targets.saturating_sub(hashes.len() as u64);
            let state = JournalState { targets, ..state };
            schema::save(sql, state)?;
            Ok::<_, SqlError>(state)
        })?;
        Ok(())
    }

    /// Forgets the receipts and jobs that have nothing pending, are older than receipts have to be,
    /// and are no part of the history, or have to make room.
    pub(super) fn expire(&mut self, now: Timestamp) -> Result<(), JournalError> {
        let receipts = now.minus(self.config.receipt_ttl);
        let ended = if self.crowded {
            receipts
        } else {
            let beyond = self.sql.exec(
                "SELECT at FROM job WHERE epoch <= ? ORDER BY epoch DESC LIMIT 1",
                &[epoch(beyond(&self.config, self.state.head))],
            )?;
            let beyond = beyond.first().map(|row| Row(row).timestamp(0)).transpose()?;
            let beyond = beyond.map_or(Timestamp::ZERO, |at| at.plus(Millis(1)));
            now.minus(self.config.history_kept).max(beyond).min(receipts)
        };
        let gone = self.sql.exec(
            "DELETE FROM job WHERE epoch IN (SELECT j.epoch FROM job j WHERE j.at < ?
                AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.epoch = j.epoch)
                AND NOT EXISTS (SELECT 1 FROM reinvalidation s WHERE s.epoch = j.epoch)
                AND NOT EXISTS (SELECT 1 FROM front_cache u WHERE u.epoch = j.epoch)
                ORDER BY j.at LIMIT 0 + ?) RETURNING 1",
            &[timestamp(ended), Value::Integer(EXPIRIES_PER_CALL)],
        )?;
        self.crowded &= gone.len() as i64 == EXPIRIES_PER_CALL;
        Ok(())
    }
}

fn raise<S: Sql>(sql: &S, buckets: &[(u16, (Epoch, Epoch))]) -> Result<(), SqlError> {
    for chunk in buckets.chunks(rows_per_statement(3, 0)) {
        let statement = format!(
            "INSERT INTO bucket (bucket, epoch, hard) VALUES {}
                ON CONFLICT (bucket) DO UPDATE SET epoch = max(epoch, excluded.epoch),
                    hard = max(hard, excluded.hard)",
            row_marks(chunk.len(), 3)
        );
        let mut parameters = Vec::with_capacity(chunk.len() * 3);
        for (bucket, (soft, hard)) in chunk {
            let highest = epoch(*soft.max(hard));
            let bucket = Value::Integer(i64::from(*bucket));
            parameters.extend([bucket, highest, epoch(*hard)]);
        }
        sql.exec(&statement, &parameters)?;
    }
    Ok(())
}

/// Up to this epoch there are more rows than the history keeps.
const fn beyond(config: &JournalConfig, head: Epoch) -> Epoch {
    Epoch(head.0.saturating_sub(config.history_rows))
}

/// The earliest of what is due: a fan-out, a second epoch, a shard to be sent its place, what waits
/// for its time, a receipt's end.
pub(super) fn next_wake<S: Sql>(
    sql: &S,
    config: &JournalConfig,
    head: Epoch,
) -> Result<Option<Timestamp>, JournalError> {
    let earliest = |query: &str| -> Result<Option<Timestamp>, SqlError> {
        let rows = sql.exec(query, &[])?;
        let at = rows.first().map_or(Ok(None), |row| Row(row).maybe_integer(0))?;
        Ok(at.map(Timestamp::from_millis))
    };
    let fanout = earliest("SELECT min(not_before) FROM outbox")?;
    let reinvalidation = earliest("SELECT min(due) FROM reinvalidation")?;
    let moving = earliest("SELECT min(not_before) FROM move")?;
    let later = earliest("SELECT min(due) FROM scheduled")?;
    // A job with something pending is kept past its time, so only those count that have nothing.
    let oldest = sql.exec(
        "SELECT j.at, j.epoch FROM job j
            WHERE NOT EXISTS (SELECT 1 FROM outbox o WHERE o.epoch = j.epoch)
            AND NOT EXISTS (SELECT 1 FROM reinvalidation s WHERE s.epoch = j.epoch)
            AND NOT EXISTS (SELECT 1 FROM front_cache u WHERE u.epoch = j.epoch)
            ORDER BY j.at LIMIT 1",
        &[],
    )?;
    let receipt = oldest.first().map(|row| -> Result<Timestamp, SqlError> {
        let is_beyond = Row(row).epoch(1)? <= beyond(config, head);
        let kept = if is_beyond { config.receipt_ttl } else { config.history_kept };
        // One millisecond past its time, so that the wake finds it expired.
        Ok(Row(row).timestamp(0)?.plus(kept.max(config.receipt_ttl)).plus(Millis(1)))
    });
    let receipt = receipt.transpose()?;
    Ok([fanout, reinvalidation, moving, later, receipt].into_iter().flatten().min())
}

/// Rows of a table.
pub(super) fn count<S: Sql>(sql: &S, table: &'static str) -> Result<u64, JournalError> {
    let rows = sql.exec(&format!("SELECT count(*) FROM {table}"), &[])?;
    Ok(rows.first().map_or(Ok(0), |row| Row(row).unsigned(0))?)
}
