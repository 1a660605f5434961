//! Forgetting what is of no use any more, a bounded number of rows per call.

use crate::base::sql::row::{Row, number, timestamp};
use crate::base::sql::{Sql, SqlError, Value};
use crate::base::time::{Millis, Timestamp};
use crate::index::pace::Pace;

use super::schema::ShardState;
use super::transaction::{ShardError, ShardTransaction};

/// Rows of each kind forgotten in one call.
const MAX_ROWS: i64 = 200;
/// The shortest time between two sweeps that left nothing.
const INTERVAL: Millis = Millis(60_000);
/// How long it is remembered that a page was asked for.
pub(super) const LEASES_KEPT: Millis = Millis(600_000);
/// How long invalidations are remembered for late fills: far longer than any fill takes.
const FANS_KEPT: Millis = Millis(3_600_000);
/// How long jobs and their dead letters are remembered.
const JOBS_KEPT: Millis = Millis(24 * 3_600_000);

impl<S: Sql> ShardTransaction<'_, S> {
    pub(super) fn sweep(&mut self) -> Result<(), ShardError> {
        if self.now < self.state.swept_at.plus(INTERVAL) {
            return Ok(());
        }
        let full =
            [self.sweep_variants()?, self.sweep_leases()?, self.sweep_fans()?, self.sweep_jobs()?];
        // With more left, the next call goes on at once.
        if full.iter().all(|full| !full) {
            self.state.swept_at = self.now;
        }
        Ok(())
    }

    /// Variants past their windows. One with a queued warm or a dead letter stays: its warm may not
    /// be lost.
    fn sweep_variants(&mut self) -> Result<bool, ShardError> {
        let rows = self.sql.exec(
            "SELECT id FROM variant v WHERE keep_until < ?
                AND NOT EXISTS (SELECT 1 FROM warm WHERE variant = v.id)
                AND NOT EXISTS (SELECT 1 FROM dead WHERE variant = v.id)
                ORDER BY keep_until LIMIT 0 + ?",
            &[timestamp(self.now), Value::Integer(MAX_ROWS)],
        )?;
        for row in &rows {
            let id = Row(row).integer(0)?;
            let dropped = match self.variant_by_id(id) {
                Ok(Some(variant)) => self.drop_variant(&variant),
                Ok(None) => Ok(()),
                Err(error) => Err(error.into()),
            };
            self.repaired(dropped, |work| work.drop_damaged_variant(id))?;
        }
        Ok(rows.len() as i64 == MAX_ROWS)
    }

    fn sweep_leases(&self) -> Result<bool, SqlError> {
        let ended = self.sql.exec(
            "DELETE FROM lease WHERE variant IN
                (SELECT variant FROM lease WHERE until < ? LIMIT 0 + ?) RETURNING 1",
            &[timestamp(self.now.minus(LEASES_KEPT)), Value::Integer(MAX_ROWS)],
        )?;
        let tickets = self.sql.exec(
            "DELETE FROM ticket WHERE (variant, colo) IN
                (SELECT variant, colo FROM ticket WHERE until < ? LIMIT 0 + ?) RETURNING 1",
            &[timestamp(self.now), Value::Integer(MAX_ROWS)],
        )?;
        let urls = self.sql.exec(
            "DELETE FROM lease_url WHERE url IN
                (SELECT url FROM lease_url WHERE until < ? LIMIT 0 + ?) RETURNING 1",
            &[timestamp(self.now), Value::Integer(MAX_ROWS)],
        )?;
        let most = ended.len().max(tickets.len()).max(urls.len());
        Ok(most as i64 == MAX_ROWS)
    }

    fn sweep_fans(&mut self) -> Result<bool, SqlError> {
        let gone = self.sql.exec(
            "DELETE FROM fan WHERE hash IN (SELECT hash FROM fan WHERE at < ? LIMIT 0 + ?)
                RETURNING epoch",
            &[timestamp(self.now.minus(FANS_KEPT)), Value::Integer(MAX_ROWS)],
        )?;
        for row in &gone {
            self.state.fan_floor = Row(row).epoch(0)?.max(self.state.fan_floor);
        }
        Ok(gone.len() as i64 == MAX_ROWS)
    }

    fn sweep_jobs(&self) -> Result<bool, SqlError> {
        let gone = self.sql.exec(
            "DELETE FROM job WHERE id IN (SELECT id FROM job j WHERE at < ?
                AND NOT EXISTS (SELECT 1 FROM warm WHERE job = j.id)
                AND NOT EXISTS (SELECT 1 FROM expand WHERE job = j.id)
                AND NOT EXISTS (SELECT 1 FROM import WHERE job = j.id AND state IN (0, 1))
                LIMIT 0 + ?)
                RETURNING id",
            &[timestamp(self.now.minus(JOBS_KEPT)), Value::Integer(MAX_ROWS)],
        )?;
        for row in &gone {
            self.sql.exec("DELETE FROM dead WHERE job = ?", row)?;
            self.sql.exec("DELETE FROM import WHERE job = ?", row)?;
        }
        Ok(gone.len() as i64 == MAX_ROWS)
    }
}

/// All that a shard waits for, read at once: it is asked for after each call. Each is the first
/// entry of an index.
const WAITS: &str = "SELECT EXISTS (SELECT 1 FROM expand),
    (SELECT count(*) FROM (SELECT 1 FROM warm WHERE state = 1 LIMIT 0 + ?)),
    (SELECT min(not_before) FROM warm WHERE state = 0),
    (SELECT min(not_before) FROM warm WHERE state = 1),
    (SELECT min(not_before) FROM import WHERE state = 1),
    (SELECT min(not_before) FROM import WHERE state = 0),
    (SELECT min(keep_until) FROM variant), (SELECT min(until) FROM lease),
    (SELECT min(until) FROM ticket), (SELECT min(at) FROM fan), (SELECT min(at) FROM job)";

/// The earliest of what is due: an expansion, a warm, a lost warm, an import, a sweep, pages for
/// other shards.
pub(super) fn next_wake<S: Sql>(
    sql: &S,
    pace: &Pace,
    state: &ShardState,
) -> Result<Option<Timestamp>, ShardError> {
    let rows = sql.exec(WAITS, &[number(u64::from(pace.at_once()))])?;
    let Some(row) = rows.first().map(|row| Row(row)) else { return Ok(None) };
    let at = |column: usize| -> Result<Option<Timestamp>, SqlError> {
        Ok(row.maybe_integer(column)?.map(Timestamp::from_millis))
    };
    if row.flag(0)? {
        return Ok(Some(Timestamp::ZERO));
    }
    // With every slot taken only the end of a task makes room.
    let queued = if row.unsigned(1)? < u64::from(pace.at_once()) {
        at(2)?.map(|at| at.max(pace.not_before()))
    } else {
        None
    };
    // While addresses are handed out no other file is read.
    let import = at(4)?.or(at(5)?);
    let kept = |column: usize, span: Millis| -> Result<Option<Timestamp>, SqlError> {
        Ok(at(column)?.map(|at| at.plus(span)))
    };
    let expiries =
        [at(6)?, kept(7, LEASES_KEPT)?, at(8)?, kept(9, FANS_KEPT)?, kept(10, JOBS_KEPT)?];
    let sweep = expiries
        .into_iter()
        .flatten()
        .min()
        .map(|at| at.plus(Millis(1)).max(state.swept_at.plus(INTERVAL)));
    let walk = state.is_walking().then_some(state.walk_at);
    Ok([queued, at(3)?, import, sweep, walk].into_iter().flatten().min())
}
