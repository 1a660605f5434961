//! Calls that a front cache has taken and is still at: what they carry stays pending, and is not
//! sent again, until the front cache says that it is done, or that it knows nothing of the call.

use crate::base::sql::Sql;
use crate::base::sql::row::{Row, epoch, maybe_text, number, text, timestamp};
use crate::base::time::{Epoch, Millis, Timestamp};

use super::front_caches::{acknowledge, well};
use super::state::{Journal, JournalError};

/// The pause before a call is first asked after; it doubles with each further time.
const FIRST_PAUSE: Millis = Millis(5_000);
/// The longest pause.
const LONGEST_PAUSE: Millis = Millis(60_000);

impl<S: Sql> Journal<S> {
    /// A front cache has accepted invalidations, and works on them as `call`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn front_cache_sent(
        &self,
        name: &str,
        epochs: &[Epoch],
        call: &str,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        for invalidation in epochs {
            // One that a purge of everything has taken over meanwhile is no longer there.
            let poll_at = timestamp(now.plus(FIRST_PAUSE));
            self.sql.exec(
                "INSERT OR REPLACE INTO front_cache_sent (name, epoch, call, polls, poll_at)
                    SELECT name, epoch, ?, 0, ? FROM front_cache WHERE name = ? AND epoch = ?",
                &[text(call), poll_at, text(name), epoch(*invalidation)],
            )?;
        }
        Ok(well(&self.sql, name)?)
    }

    /// A call that a front cache is to be asked after, if there is one, and how many invalidations
    /// it carries.
    ///
    /// # Errors
    /// When the database fails.
    pub fn front_cache_call(
        &self,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<(String, usize)>, JournalError> {
        let rows = self.sql.exec(
            "SELECT call, count(*) FROM front_cache_sent WHERE name = ? AND poll_at <= ?
                GROUP BY call ORDER BY min(poll_at) LIMIT 1",
            &[text(name), timestamp(now)],
        )?;
        let Some(row) = rows.first().map(|row| Row(row)) else { return Ok(None) };
        let carried = usize::try_from(row.unsigned(1)?).unwrap_or(usize::MAX);
        Ok(Some((row.text(0)?.to_owned(), carried)))
    }

    /// A call is done.
    ///
    /// # Errors
    /// When the database fails.
    pub fn front_cache_call_done(&self, name: &str, call: &str) -> Result<(), JournalError> {
        let rows = self.sql.exec(
            "SELECT epoch FROM front_cache_sent WHERE name = ? AND call = ?",
            &[text(name), text(call)],
        )?;
        let epochs: Vec<Epoch> =
            rows.iter().map(|row| Row(row).epoch(0)).collect::<Result<_, _>>()?;
        acknowledge(&self.sql, name, &epochs)
    }

    /// A front cache knows nothing of a call: what it carried is due again.
    ///
    /// # Errors
    /// When the database fails.
    pub fn front_cache_call_lost(&self, name: &str, call: &str) -> Result<(), JournalError> {
        self.sql.exec(
            "DELETE FROM front_cache_sent WHERE name = ? AND call = ?",
            &[text(name), text(call)],
        )?;
        Ok(())
    }

    /// A call is not done, or, with the reason, could not be asked after: it is asked after again
    /// later.
    ///
    /// # Errors
    /// When the database fails.
    pub fn front_cache_call_waits(
        &self,
        name: &str,
        call: &str,
        failure: Option<&str>,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        let of = [text(name), text(call)];
        let polls = self
            .sql
            .exec("SELECT max(polls) FROM front_cache_sent WHERE name = ? AND call = ?", &of)?;
        let polls = polls.first().map_or(Ok(None), |row| Row(row).maybe_integer(0))?;
        let polls = u64::try_from(polls.unwrap_or(0)).unwrap_or(0).saturating_add(1);
        let pause = FIRST_PAUSE.0.saturating_mul(1 << polls.min(16)).min(LONGEST_PAUSE.0);
        let [name, call] = of;
        self.sql.exec(
            "UPDATE front_cache SET failure = ?1 WHERE name = ?2 AND epoch IN (
                SELECT epoch FROM front_cache_sent WHERE name = ?2 AND call = ?3)",
            &[maybe_text(failure), name.clone(), call.clone()],
        )?;
        self.sql.exec(
            "UPDATE front_cache_sent SET polls = ?, poll_at = ? WHERE name = ? AND call = ?",
            &[number(polls), timestamp(now.plus(Millis(pause))), name, call],
        )?;
        Ok(())
    }
}
