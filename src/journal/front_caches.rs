//! What is pending for caches in front of the edge: each invalidation for each front cache, until
//! it was taken.
//!
//! A row is due once every isolate sees the invalidation: purged sooner, a front cache could fetch
//! the old page again. What is due goes together. After a failure all of a front cache waits
//! together; beyond [`MAX_ROWS`] invalidations, or [`MAX_NAMES`] targets, one purge of everything
//! stands for them.

use crate::base::sql::row::{Row, epoch, flag, number, text, timestamp};
use crate::base::sql::{Sql, SqlError};
use crate::base::time::{Epoch, Millis, Timestamp};
use crate::cache::tag::Target;

use super::invalidation::{Mode, mode_from};
use super::message::FrontCacheState;
use super::outbox::{targets, tidy};
use super::state::JournalError;

/// Invalidations that wait by name.
const MAX_ROWS: u64 = 1_000;
/// Targets named to a front cache at once.
const MAX_NAMES: usize = 500;
/// Targets of unsafe requests that wait by name.
const MAX_UNSAFE_NAMES: u64 = 10;
/// How often those are delivered to a front cache.
const UNSAFE_INTERVAL: Millis = Millis(60_000);
/// The pause after a first failure; it doubles with each further one.
const FIRST_PAUSE: Millis = Millis(1_000);
/// The longest pause that nobody asked for.
const LONGEST_PAUSE: Millis = Millis(60_000);
/// The longest pause at all.
const MAX_PAUSE: Millis = Millis(3_600_000);

/// What is to be delivered to a front cache now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The invalidations, in order.
    pub epochs: Vec<Epoch>,
    /// What they name, each once.
    pub targets: Vec<Target>,
    /// Hard if one of them is.
    pub mode: Mode,
    /// When the newest of them was accepted.
    pub at: Timestamp,
}

/// Notes that each of these has still to take an invalidation.
pub(super) fn enqueue<S: Sql>(
    sql: &S,
    invalidation: Epoch,
    names: &[String],
    due: Timestamp,
) -> Result<(), SqlError> {
    for name in names {
        let rows = sql.exec("SELECT count(*) FROM front_cache WHERE name = ?", &[text(name)])?;
        let whole = rows.first().map_or(Ok(0), |row| Row(row).unsigned(0))? >= MAX_ROWS;
        // Whoever failed lately is asked when it would have been asked anyway.
        sql.exec(
            "INSERT INTO front_cache (name, epoch, whole, attempts, not_before, failure)
                SELECT ?1, ?2, ?3, coalesce(max(attempts), 0), max(?4, coalesce(max(CASE
                    WHEN failure IS NULL THEN 0 ELSE not_before END), 0)), max(failure)
                FROM front_cache WHERE name = ?1",
            &[text(name), epoch(invalidation), flag(whole), timestamp(due)],
        )?;
        if whole {
            for table in ["front_cache", "front_cache_sent"] {
                let those = format!("DELETE FROM {table} WHERE name = ? AND epoch < ?");
                sql.exec(&those, &[text(name), epoch(invalidation)])?;
            }
        }
    }
    Ok(())
}

/// The same of what visitors' unsafe requests cause, of which they can send any number: all of a
/// minute go together, and no more names than [`MAX_UNSAFE_NAMES`]. What is beyond is dropped:
/// nothing that anybody can send stands for a purge of everything.
pub(super) fn enqueue_unsafe<S: Sql>(
    sql: &S,
    (invalidation, targets): (Epoch, usize),
    names: &[String],
    seen: Timestamp,
) -> Result<(), SqlError> {
    let minute = UNSAFE_INTERVAL.0.cast_signed();
    let due = (seen.as_millis() / minute + 1).saturating_mul(minute);
    for name in names {
        let rows = sql.exec(
            "SELECT coalesce(sum(j.targets), 0) FROM front_cache u JOIN job j ON j.epoch = u.epoch
                WHERE u.name = ? AND j.id LIKE 'unsafe-%'",
            &[text(name)],
        )?;
        let named = rows.first().map_or(Ok(0), |row| Row(row).unsigned(0))?;
        if named.saturating_add(targets as u64) <= MAX_UNSAFE_NAMES {
            enqueue(sql, invalidation, std::slice::from_ref(name), Timestamp::from_millis(due))?;
        }
    }
    Ok(())
}

/// What is due to a front cache, if anything.
pub(super) fn due<S: Sql>(
    sql: &S,
    name: &str,
    now: Timestamp,
) -> Result<Option<Delivery>, JournalError> {
    let rows = sql.exec(
        "SELECT u.epoch, u.whole, j.mode, j.at
            FROM front_cache u LEFT JOIN job j ON j.epoch = u.epoch
            WHERE u.name = ? AND u.not_before <= ? AND NOT EXISTS (SELECT 1 FROM front_cache_sent s
                WHERE s.name = u.name AND s.epoch = u.epoch) ORDER BY u.epoch",
        &[text(name), timestamp(now)],
    )?;
    let mut delivery =
        Delivery { epochs: Vec::new(), targets: Vec::new(), mode: Mode::Soft, at: Timestamp::ZERO };
    for row in &rows {
        let row = Row(row);
        let invalidation = row.epoch(0)?;
        delivery.epochs.push(invalidation);
        if mode_from(row.maybe_text(2)?.unwrap_or_default()) == Mode::Hard {
            delivery.mode = Mode::Hard;
        }
        let at = row.maybe_integer(3)?.map_or(Timestamp::ZERO, Timestamp::from_millis);
        delivery.at = delivery.at.max(at);
        if row.flag(1)? || delivery.targets.len() > MAX_NAMES {
            delivery.targets.push(Target::All);
            continue;
        }
        match targets(sql, invalidation)? {
            Some(mut named) if !named.is_empty() => delivery.targets.append(&mut named),
            // What can't be read may have been anything.
            Some(_) | None => delivery.targets.push(Target::All),
        }
    }
    if delivery.targets.len() > MAX_NAMES || delivery.targets.contains(&Target::All) {
        delivery.targets = vec![Target::All];
    }
    let mut unique: Vec<Target> = Vec::with_capacity(delivery.targets.len());
    for target in delivery.targets {
        if !unique.contains(&target) {
            unique.push(target);
        }
    }
    delivery.targets = unique;
    Ok((!delivery.epochs.is_empty()).then_some(delivery))
}

/// A front cache has taken them.
pub(super) fn acknowledge<S: Sql>(
    sql: &S,
    name: &str,
    invalidations: &[Epoch],
) -> Result<(), JournalError> {
    sql.transaction(|| {
        for invalidation in invalidations {
            for table in ["front_cache", "front_cache_sent"] {
                let it = format!("DELETE FROM {table} WHERE name = ? AND epoch = ?");
                sql.exec(&it, &[text(name), epoch(*invalidation)])?;
            }
            tidy(sql, *invalidation)?;
        }
        well(sql, name)?;
        Ok(())
    })
}

/// It answers again: what came meanwhile need not wait for the end of a pause.
pub(super) fn well<S: Sql>(sql: &S, name: &str) -> Result<(), SqlError> {
    sql.exec("UPDATE front_cache SET attempts = 0, failure = NULL WHERE name = ?", &[text(name)])?;
    Ok(())
}

/// A front cache has not taken its deliveries: all of them wait, for at least as long as it asked.
/// What is not due yet is not due sooner for that.
pub(super) fn postpone<S: Sql>(
    sql: &S,
    name: &str,
    failure: &str,
    again: Option<Millis>,
    now: Timestamp,
) -> Result<(), JournalError> {
    let rows = sql.exec("SELECT max(attempts) FROM front_cache WHERE name = ?", &[text(name)])?;
    let attempts = rows.first().map_or(Ok(None), |row| Row(row).maybe_integer(0))?;
    let attempts = u64::try_from(attempts.unwrap_or(0)).unwrap_or(0);
    let pause = FIRST_PAUSE.0.saturating_mul(1 << attempts.min(16)).min(LONGEST_PAUSE.0);
    let pause = pause.max(again.map_or(0, |again| again.0)).min(MAX_PAUSE.0);
    sql.exec(
        "UPDATE front_cache SET attempts = ?1, not_before = max(not_before, ?2), failure = ?3
            WHERE name = ?4 AND epoch NOT IN (SELECT epoch FROM front_cache_sent WHERE name = ?4)",
        &[
            number(attempts.saturating_add(1)),
            timestamp(now.plus(Millis(pause))),
            text(failure),
            text(name),
        ],
    )?;
    Ok(())
}

/// Drops what is pending for front caches that are no longer set.
pub(super) fn forget<S: Sql>(sql: &S, names: &[String]) -> Result<(), SqlError> {
    for row in sql.exec("SELECT DISTINCT name FROM front_cache", &[])? {
        let name = Row(&row).text(0)?.to_owned();
        if !names.contains(&name) {
            for table in ["front_cache", "front_cache_sent"] {
                sql.exec(&format!("DELETE FROM {table} WHERE name = ?"), &[text(&name)])?;
            }
        }
    }
    Ok(())
}

/// When something is due to a front cache, or a call is to be asked after.
pub(super) fn next_due<S: Sql>(sql: &S, name: &str) -> Result<Option<Timestamp>, JournalError> {
    let rows = sql.exec(
        "SELECT min(coalesce(s.poll_at, u.not_before)) FROM front_cache u
            LEFT JOIN front_cache_sent s ON s.name = u.name AND s.epoch = u.epoch WHERE u.name = ?",
        &[text(name)],
    )?;
    let at = rows.first().map_or(Ok(None), |row| Row(row).maybe_integer(0))?;
    Ok(at.map(Timestamp::from_millis))
}

/// How front caches stand; to one invalidation alone, if it is given.
pub(super) fn states<S: Sql>(
    sql: &S,
    names: &[String],
    invalidation: Option<Epoch>,
) -> Result<Vec<FrontCacheState>, JournalError> {
    let mut states = Vec::with_capacity(names.len());
    for name in names {
        let mut parameters = vec![text(name)];
        // A purge of everything stands for what was pending before it.
        let those = match invalidation {
            Some(one) => {
                parameters.push(epoch(one));
                " AND (epoch = ?2 OR (whole AND epoch > ?2))"
            }
            None => "",
        };
        let query = format!(
            "SELECT count(*), max(failure), count(CASE WHEN epoch IN
                (SELECT epoch FROM front_cache_sent WHERE name = ?1) THEN 1 END)
                FROM front_cache WHERE name = ?1{those}"
        );
        let rows = sql.exec(&query, &parameters)?;
        let Some(row) = rows.first() else { continue };
        let row = Row(row);
        let failure = row.maybe_text(1)?.map(str::to_owned);
        let (waiting, in_progress) = (row.unsigned(0)?, row.unsigned(2)?);
        states.push(FrontCacheState { name: name.clone(), waiting, failure, in_progress });
    }
    Ok(states)
}
