//! A change of the number of shards, as the journal sees it: it notices that the settings have
//! another number than it last worked with, and sends it to each shard of before and after, until
//! all pages there are its own ([`ShardPlace`]).
//!
//! While that lasts, and for as long as jobs are remembered, invalidations go to the shards of
//! before as well: workers of before may still bring pages there. A change that begins before
//! another has ended takes its place.

use crate::base::sql::row::{Row, number, timestamp};
use crate::base::sql::{Sql, SqlError, Value};
use crate::base::time::{Millis, Timestamp};

use super::message::ShardPlace;
use super::state::{Journal, JournalConfig, JournalError, JournalState};

/// When a shard that is not done is asked again.
const ASK_AGAIN: Millis = Millis(10_000);

impl<S: Sql> Journal<S> {
    /// Notes another number of shards than before, and which have yet to hear of it.
    pub(super) fn notice_shards(&mut self, now: Timestamp) -> Result<(), JournalError> {
        let (shards, before) = (self.config.shards, self.state);
        if before.shards == shards {
            return Ok(());
        }
        let most_shards = self.reach(now)?;
        let changed_at = now.max(before.changed_at.plus(Millis(1)));
        let state = JournalState { shards, most_shards, changed_at, ..before };
        // First which have yet to hear of it: a change that is noticed twice is one.
        for shard in 0..most_shards {
            self.sql.exec(
                "INSERT OR REPLACE INTO move (shard, not_before) VALUES (?, ?)",
                &[number(shard.into()), timestamp(now)],
            )?;
        }
        self.sql.exec(
            "INSERT OR REPLACE INTO meta (name, value)
                VALUES ('shards', ?), ('most_shards', ?), ('changed_at', ?)",
            &[number(shards.into()), number(most_shards.into()), timestamp(changed_at)],
        )?;
        self.state = state;
        Ok(())
    }
}

/// The number of shards of a journal that has none yet.
pub(super) fn first<S: Sql>(sql: &S, shards: u16) -> Result<(), SqlError> {
    let statement = "INSERT OR IGNORE INTO meta (name, value) VALUES ('shards', ?)";
    sql.exec(statement, &[number(shards.into())])?;
    Ok(())
}

/// How many shards may know something.
pub(super) fn reach<S: Sql>(
    sql: &S,
    config: &JournalConfig,
    state: &JournalState,
    now: Timestamp,
) -> Result<u16, JournalError> {
    let shards = config.shards.max(state.shards);
    if state.most_shards <= shards {
        return Ok(shards);
    }
    let lately = now < state.changed_at.plus(config.receipt_ttl);
    let moving = lately || !sql.exec("SELECT 1 FROM move LIMIT 1", &[])?.is_empty();
    Ok(if moving { state.most_shards } else { shards })
}

/// The shards that are to be sent their places now.
pub(super) fn due<S: Sql>(
    sql: &S,
    state: &JournalState,
    now: Timestamp,
) -> Result<Vec<ShardPlace>, JournalError> {
    let due = sql.exec("SELECT shard FROM move WHERE not_before <= ?", &[timestamp(now)])?;
    let place = |row: &Vec<Value>| {
        let shard = Row(row).small(0)?;
        Ok(ShardPlace { shards: state.shards, shard, at: state.changed_at })
    };
    due.iter().map(place).collect()
}

/// What a shard answered. To a place of before another change it says nothing.
pub(super) fn moved<S: Sql>(
    sql: &S,
    state: &JournalState,
    place: ShardPlace,
    done: bool,
    now: Timestamp,
) -> Result<(), JournalError> {
    if place.at != state.changed_at {
        return Ok(());
    }
    let shard = number(place.shard.into());
    if done {
        sql.exec("DELETE FROM move WHERE shard = ?", &[shard])?;
    } else {
        let again = timestamp(now.plus(ASK_AGAIN));
        sql.exec("UPDATE move SET not_before = ? WHERE shard = ?", &[again, shard])?;
    }
    Ok(())
}
