//! Warms that operators ask for: dead letters again, and pages that need not be known.

use crate::base::sql::row::{Row, text};
use crate::base::sql::{Sql, Value};
use crate::base::time::Millis;
use crate::index::lease::Version;
use crate::index::popularity::Popularity;
use crate::index::warm::WarmTarget;

use super::message::WarmRequest;
use super::transaction::{ShardError, ShardTransaction};

/// Dead letters queued again in one call.
const MAX_REPLAYED: i64 = 1_000;
/// How long a page that was never stored is known for the sake of its warm.
const UNSTORED_KEPT: Millis = Millis(3_600_000);

impl<S: Sql> ShardTransaction<'_, S> {
    /// Queues a job's dead letters again.
    pub(super) fn replay(&mut self, job: &str) -> Result<u64, ShardError> {
        let dead = self.sql.exec(
            "SELECT d.variant, d.epoch, v.stamp, v.fence FROM dead d
                JOIN variant v ON v.id = d.variant WHERE d.job = ? LIMIT 0 + ?",
            &[text(job), Value::Integer(MAX_REPLAYED)],
        )?;
        for row in &dead {
            let row = Row(row);
            let variant = row.integer(0)?;
            self.sql.exec(
                "DELETE FROM dead WHERE job = ? AND variant = ?",
                &[text(job), Value::Integer(variant)],
            )?;
            // It is counted anew.
            self.sql.exec(
                "UPDATE job SET failed = max(failed - 1, 0), total = max(total - 1, 0)
                    WHERE id = ?",
                &[text(job)],
            )?;
            let want = WarmTarget { epoch: row.epoch(1)?, above_fence: 0 };
            let stored = Version { stamp: row.epoch(2)?, fence: row.unsigned(3)? };
            if want.is_met_by(stored) {
                self.bump(job, "total", 1)?;
                self.bump(job, "done", 1)?;
            } else {
                self.enqueue(variant, want, job)?;
            }
        }
        Ok(dead.len() as u64 + self.replay_imports(job)?)
    }

    /// Queues a warm of a page that need not be known.
    pub(super) fn request_warm(&mut self, request: &WarmRequest) -> Result<(), ShardError> {
        self.ensure_job(&request.job, self.state.seen)?;
        let page = self.ensure_page(&request.page, &request.key)?;
        let digest = request.key.variant(&request.selection).digest();
        let keep = self.now.plus(UNSTORED_KEPT);
        let popularity = Popularity::default();
        let variant = self.ensure_variant(
            page.id,
            &digest,
            &request.selection,
            &request.request,
            keep,
            popularity,
        )?;
        let stored = variant.stored();
        // A copy that is no longer fresh does not count.
        let above_fence = match stored {
            Some(stored) if variant.fresh_until <= self.now => stored.fence,
            Some(_) | None => 0,
        };
        let want = WarmTarget { epoch: request.need, above_fence };
        self.bump(&request.job, "pages", 1)?;
        if stored.is_some_and(|stored| want.is_met_by(stored)) {
            self.bump(&request.job, "total", 1)?;
            self.bump(&request.job, "done", 1)
        } else {
            self.enqueue(variant.id, want, &request.job).map(|_| ())
        }
    }
}
