//! A change of the number of shards: pages that are no longer this shard's own go to their new one.
//!
//! The journal says which pages are whose ([`ShardPlace`](crate::journal::ShardPlace)). The shard
//! walks over all of its pages and hands those of another over, a part at a time, and forgets them
//! once the other has them durably, unless they have changed since. Workers of before the change
//! still bring pages here: each of those makes another walk follow. A page whose warm runs waits
//! for its end. Whatever stands twice for a while is the same page: the copy of the higher stamp
//! counts, and a warm is queued once.
//!
//! A copy's fencing number comes from the old shard. Readers that wait take a number above all that
//! were given when they came for a fetch that began after that. So the new shard raises its own
//! past the other's first, and takes no page before every reader who heard a lower one has gone.

use serde::Deserialize;

use crate::base::json::read_json;
use crate::base::sql::row::{Row, number, text, timestamp};
use crate::base::sql::{Sql, SqlError, Value};
use crate::base::time::{Epoch, Millis, Timestamp};
use crate::cache::key::{CacheKey, KeyDigest};
use crate::cache::tag::TagSet;
use crate::index::popularity::Popularity;
use crate::index::warm::WarmTarget;

use super::damage::is_damage;
use super::message::{Move, RecordRequest};
use super::schema::ShardState;
use super::transaction::{ShardError, ShardTransaction};

/// Pages looked at in one slice of the walk.
const LOOKED_AT: usize = 1_000;
/// Slices without a page to hand over in one call.
const SLICES: usize = 10;
/// Pages handed over at once.
const MAX_PAGES: usize = 100;
/// Bytes handed over at once, unless one page has more.
const MAX_BYTES: usize = 2_000_000;
/// The pause after pages were not taken, or changed, and before another walk.
const PAUSE: Millis = Millis(5_000);
/// When pages that nothing more is heard of are handed over again.
const LOST: Millis = Millis(30_000);
/// How far this shard's fencing numbers go past another's: far more than the other gives while it
/// hands over.
const MARGIN: u64 = 1_000_000;

/// Pages to hand over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveTask {
    /// What the other shard is to take; `own` is its number.
    pub message: Move,
    /// Each page's number here, and how many of the variants are its own, in order.
    pages: Vec<(i64, usize)>,
}

/// All variants of a page, as [`Move::variants`] has them; nothing of one with a damaged row.
/// Beside each, whether its warm runs.
const VARIANTS: &str = "SELECT CASE WHEN json_valid(p.page) AND json_valid(v.selection)
            AND json_valid(v.request) AND json_valid(v.tags) THEN json_object('record', json_object(
                'page', json(p.page), 'key', p.key, 'selection', json(v.selection),
                'leased', json(v.selection), 'request', json(v.request), 'tags', json(v.tags),
                'stamp', v.stamp, 'fence', v.fence, 'l2_key', v.l2_key, 'status', v.status,
                'content', nullif(lower(hex(v.content)), ''),
                'fresh_until', v.fresh_until, 'keep_until', v.keep_until, 'outcome', 'stored'),
            'popularity', v.popularity, 'refetches', json_array(v.changed, v.unchanged),
            'letters', json((SELECT json_group_array(json_array(
                    job, epoch, above, attempts, reason, at)) FROM
                (SELECT job, epoch, above, attempts, NULL AS reason, 0 AS at FROM warm
                        WHERE variant = v.id
                    UNION ALL SELECT job, epoch, 0, attempts, reason, at FROM dead
                        WHERE variant = v.id))))
        END, EXISTS (SELECT 1 FROM warm WHERE variant = v.id AND state = 1)
    FROM page p JOIN variant v ON v.page = p.id WHERE p.id = ? ORDER BY v.id";

/// One of [`Move::variants`].
#[derive(Deserialize)]
struct Moved {
    record: RecordRequest,
    popularity: Timestamp,
    /// How many brought something else, and how many the same.
    #[serde(default)]
    refetches: (u64, u64),
    letters: Vec<PendingWarm>,
}

/// What is pending for a job: its id, the epoch, the fence to be above, tries, a dead letter's
/// reason and time.
type PendingWarm = (String, Epoch, u64, u64, Option<String>, Timestamp);

fn unpacked(variant: &str) -> Result<Moved, SqlError> {
    read_json(variant.as_bytes()).map_err(|error| SqlError::Damaged(error.to_string()))
}

impl ShardState {
    /// Whether pages may be here that are another shard's.
    pub(super) const fn is_walking(&self) -> bool {
        self.walk > 0 || self.walk_again
    }
}

impl<S: Sql> ShardTransaction<'_, S> {
    /// A page is new here: another's is handed over soon.
    pub(super) fn note_misplaced(&mut self, page: &KeyDigest) {
        let place = self.state.place;
        if place.at > Timestamp::ZERO && page.shard(place.shards) != place.shard {
            if !self.state.is_walking() {
                self.state.walk_at = self.now.plus(PAUSE);
            }
            self.state.walk_again = true;
        }
    }

    /// The next pages of the walk that are another shard's: of one shard, as many as fit one
    /// message.
    pub(super) fn take_move(&mut self) -> Result<Option<MoveTask>, ShardError> {
        if self.state.walk == 0 {
            (self.state.walk, self.state.walk_again) = (1, false);
        }
        for _ in 0..SLICES {
            let rows = self.sql.exec(
                "SELECT id, lower(hex(digest)) FROM page WHERE id >= ? ORDER BY id LIMIT 0 + ?",
                &[number(self.state.walk), number(LOOKED_AT as u64)],
            )?;
            let task = self.task_of(&rows)?;
            if !task.pages.is_empty() {
                self.state.walk_at = self.now.plus(LOST);
                return Ok(Some(task));
            }
            if rows.len() < LOOKED_AT {
                self.state.walk = 0;
                self.state.walk_at = self.now.plus(PAUSE);
                break;
            }
        }
        Ok(None)
    }

    /// Some of these pages. The walk comes to the first of them, or past the last page.
    fn task_of(&mut self, rows: &[Vec<Value>]) -> Result<MoveTask, ShardError> {
        let unfound = self.sql.exec("SELECT min(epoch) - 1 FROM expand", &[])?;
        let unfound = unfound.first().map_or(Ok(None), |row| Row(row).maybe_integer(0))?;
        let found = unfound.map_or(self.state.fanned, |epoch| Epoch(epoch.unsigned_abs()));
        let mut task = MoveTask {
            message: Move {
                seen: self.state.seen,
                found: found.min(self.state.fanned),
                ..Move::to(self.state.place)
            },
            pages: Vec::new(),
        };
        let this_shard = self.state.place.shard;
        let mut bytes = 0;
        for row in rows {
            let page = Row(row).integer(0)?;
            let digest = KeyDigest::from_stored(Row(row).text(1)?.to_owned());
            let shard = digest.shard(self.state.place.shards);
            let begun = !task.pages.is_empty();
            if begun && (task.pages.len() == MAX_PAGES || bytes >= MAX_BYTES) {
                break;
            }
            if shard != this_shard && (!begun || shard == task.message.shard) {
                let gathered = self.gather(page);
                let id = [Value::Integer(page)];
                match self.repaired(gathered, |work| work.drop_damaged_page(&id))? {
                    Some(mut variants) => {
                        task.message.shard = shard;
                        task.pages.push((page, variants.len()));
                        bytes += variants.iter().map(String::len).sum::<usize>();
                        task.message.variants.append(&mut variants);
                    }
                    None => self.state.walk_again = true,
                }
            }
            if task.pages.is_empty() {
                self.state.walk = page.unsigned_abs().saturating_add(1);
            }
        }
        Ok(task)
    }

    /// All variants of a page; none while one of its warms runs.
    fn gather(&self, page: i64) -> Result<Option<Vec<String>>, ShardError> {
        let rows = self.sql.exec(VARIANTS, &[Value::Integer(page)])?;
        let mut variants = Vec::with_capacity(rows.len());
        for row in &rows {
            if Row(row).flag(1)? {
                return Ok(None);
            }
            let variant = Row(row).text(0)?;
            // What can't be read here can't be read there.
            unpacked(variant)?;
            variants.push(variant.to_owned());
        }
        Ok(Some(variants))
    }

    /// Forgets the pages that the other shard has taken.
    pub(super) fn note_move(&mut self, task: &MoveTask, taken: bool) -> Result<(), ShardError> {
        self.state.walk_at = if taken { self.now } else { self.now.plus(PAUSE) };
        let mut sent = task.message.variants.as_slice();
        for (page, count) in task.pages.iter().filter(|_| taken) {
            let (moved, rest) = sent.split_at_checked(*count).unwrap_or_default();
            sent = rest;
            if self.gather(*page).is_ok_and(|now| now.as_deref() == Some(moved)) {
                let left = self.leave(*page);
                let id = [Value::Integer(*page)];
                self.repaired(left, |work| work.drop_damaged_page(&id))?;
            } else {
                // What is new of it goes as well; what can't be read any more, its next turn finds.
                self.state.walk_at = self.now.plus(PAUSE);
            }
        }
        Ok(())
    }

    /// Forgets a page that is another shard's. Its warms count there.
    fn leave(&mut self, page: i64) -> Result<(), ShardError> {
        for variant in self.variants_where("page = ?", &[Value::Integer(page)])? {
            self.map_tags(variant.place(), &variant.tags, &TagSet::default())?;
            let id = [Value::Integer(variant.id)];
            for job in self.sql.exec("DELETE FROM warm WHERE variant = ? RETURNING job", &id)? {
                self.sql.exec("UPDATE job SET total = total - 1 WHERE id = ?", &job)?;
            }
            for job in self.sql.exec("DELETE FROM dead WHERE variant = ? RETURNING job", &id)? {
                let statement =
                    "UPDATE job SET total = total - 1, failed = failed - 1 WHERE id = ?";
                self.sql.exec(statement, &job)?;
            }
            self.sql.exec("DELETE FROM variant WHERE id = ?", &id)?;
        }
        self.sql.exec("DELETE FROM page WHERE id = ?", &[Value::Integer(page)])?;
        Ok(())
    }

    /// Takes what is said of the shards, if it is news, and pages of another.
    pub(super) fn moved(&mut self, moved: &Move) -> Result<bool, ShardError> {
        let place = moved.place();
        if place.at > self.state.place.at {
            self.state.place = place;
            (self.state.walk, self.state.walk_at) = (1, self.now);
        }
        if moved.variants.is_empty() {
            self.state.seen = self.state.seen.max(moved.seen);
            return Ok(!self.state.is_walking());
        }
        if place.at < self.state.place.at {
            // Whose they are has changed since: the sender will hear of it.
            return Ok(false);
        }
        let mut variants = Vec::with_capacity(moved.variants.len());
        let mut highest = 0;
        for variant in &moved.variants {
            let variant = unpacked(variant)?;
            highest = variant.record.fence.max(highest);
            variants.push(variant);
        }
        if highest > self.state.fence {
            (self.state.fence, self.state.raised_at) = (highest + MARGIN, self.now);
        }
        // A reader asks for less long than a lease lives.
        if self.now < self.state.raised_at.plus(self.config.lease) {
            return Ok(false);
        }
        self.state.seen = self.state.seen.max(moved.seen);
        for variant in &variants {
            let mut adopted = self.adopt(variant, moved.found);
            if adopted.as_ref().is_err_and(is_damage) {
                self.drop_damaged(&variant.record.key)?;
                adopted = self.adopt(variant, moved.found);
            }
            adopted?;
        }
        Ok(true)
    }

    /// Adds the refetches that another shard has counted for a variant.
    fn add_refetches(
        &self,
        page: &CacheKey,
        variant: &KeyDigest,
        (changed, unchanged): (u64, u64),
    ) -> Result<(), ShardError> {
        if changed + unchanged > 0 {
            self.sql.exec(
                "UPDATE variant SET changed = changed + ?, unchanged = unchanged + ?
                    WHERE digest = unhex(?)
                        AND page = (SELECT id FROM page WHERE digest = unhex(?))",
                &[
                    number(changed),
                    number(unchanged),
                    text(variant.as_str()),
                    text(page.digest().as_str()),
                ],
            )?;
        }
        Ok(())
    }

    /// Takes a variant of another shard, and what is pending for it.
    fn adopt(&mut self, variant: &Moved, found: Epoch) -> Result<(), ShardError> {
        let (record, popularity) = (&variant.record, Popularity(variant.popularity));
        let digest = record.key.variant(&record.selection).digest();
        if record.fence > 0 {
            let recorded =
                self.record_stored(record, false, popularity, found.max(record.stamp))?;
            // What was fetched here meanwhile may have had no tags to inherit.
            if !recorded.accepted
                && let Some(known) = self.variant_of(&record.key, &digest)?
                && known.tags.is_empty()
            {
                self.retag(&known, &record.tags)?;
            }
            if recorded.accepted {
                self.add_refetches(&record.key, &digest, variant.refetches)?;
            }
        }
        for (job, epoch, above_fence, attempts, reason, at) in &variant.letters {
            let page = self.ensure_page(&record.page, &record.key)?.id;
            let (selection, request, until) =
                (&record.selection, &record.request, record.keep_until);
            let known =
                self.ensure_variant(page, &digest, selection, request, until, popularity)?;
            let want = WarmTarget { epoch: *epoch, above_fence: *above_fence };
            if known.stored().is_some_and(|stored| want.is_met_by(stored)) {
                continue;
            }
            // The invalidation itself may still come: it must not look known.
            self.ensure_job(job, Epoch::ZERO)?;
            let Some(reason) = reason else {
                self.enqueue(known.id, want, job)?;
                continue;
            };
            let new = self.sql.exec(
                "INSERT OR IGNORE INTO dead (variant, job, epoch, attempts, reason, at)
                    VALUES (?, ?, ?, ?, ?, ?) RETURNING 1",
                &[
                    Value::Integer(known.id),
                    text(job),
                    number(want.epoch.0),
                    number(*attempts),
                    text(reason),
                    timestamp(*at),
                ],
            )?;
            let count = new.len() as u64;
            self.bump(job, "total", count)?;
            self.bump(job, "failed", count)?;
        }
        Ok(())
    }
}
