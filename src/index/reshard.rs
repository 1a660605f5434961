//! A change of the number of shards: pages that are no longer this shard's own go to their new one.
//!
//! The journal says which pages are whose ([`Place`]). The shard walks over all of its pages and hands those of another
//! over, a part at a time, and forgets them once the other has them durably, unless they have changed since. Workers of
//! before the change still bring pages here: each of those makes another walk follow. A page whose warm runs waits for
//! its end. Whatever stands twice for a while is the same page: the copy of the higher stamp counts, and a warm is
//! queued once.
//!
//! A copy's fencing number comes from the old shard. Readers that wait take a number above all that were given when they
//! came for a fetch that began after that. So the new shard raises its own past the other's first, and takes no page
//! before every reader who heard a lower one has gone.

use crate::heat::Heat;
use crate::journal::Place;
use crate::key::{CacheKey, KeyDigest, Page};
use crate::lease::Version;
use crate::sql::row::{Row, maybe_text, number, text, timestamp};
use crate::sql::{Sql, SqlError, Value};
use crate::time::{Epoch, Millis, Timestamp};
use crate::warm::Want;

use super::damage::is_damage;
use super::schema::State;
use super::{Adopt, Letter, Moving, Outcome, RecordRequest, ShardError, Work};

/// Pages looked at in one slice of the walk.
const LOOKED_AT: usize = 1_000;
/// Slices without a page to hand over in one call.
const SLICES: usize = 10;
/// Pages handed over at once.
const MOST_PAGES: usize = 100;
/// Tags handed over at once, unless one page has more.
const MOST_TAGS: usize = 5_000;
/// The pause after pages were not taken, or changed, and before another walk.
const PAUSE: Millis = Millis(5_000);
/// When pages that nothing more is heard of are handed over again.
const LOST: Millis = Millis(30_000);
/// How far this shard's fencing numbers go past another's: far more than the other gives while it hands over.
const MARGIN: u64 = 1_000_000;

/// Pages to hand over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveTask {
    /// What the other shard is to take; `place.own` is its number.
    pub adopt: Adopt,
    /// Each page's number here, and how many of the variants are its own, in order.
    pages: Vec<(i64, usize)>,
}

impl State {
    /// Whether pages may be here that are another shard's.
    pub(super) const fn is_walking(&self) -> bool {
        self.walk > 0 || self.walk_again
    }
}

impl<S: Sql> Work<'_, S> {
    /// Takes what is said of the shards, if it is news; whether all pages here are its own.
    pub(super) fn place(&mut self, place: Place) -> bool {
        if place.at > self.state.place.at {
            self.state.place = place;
            (self.state.walk, self.state.walk_at) = (1, self.now);
        }
        !self.state.is_walking()
    }

    /// A page is new here: another's is handed over soon.
    pub(super) fn note_stray(&mut self, page: &KeyDigest) {
        let place = self.state.place;
        if place.at > Timestamp::ZERO && page.shard(place.shards) != place.own {
            if !self.state.is_walking() {
                self.state.walk_at = self.now.plus(PAUSE);
            }
            self.state.walk_again = true;
        }
    }

    /// The next pages of the walk that are another shard's: of one shard, as many as fit one message.
    pub(super) fn take_move(&mut self) -> Result<Option<MoveTask>, ShardError> {
        if self.state.walk == 0 {
            (self.state.walk, self.state.walk_again) = (1, false);
        }
        for _ in 0..SLICES {
            let rows = self.sql.exec(
                "SELECT id, digest FROM page WHERE id >= ? ORDER BY id LIMIT ?",
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
        let unfound = self.sql.exec("SELECT min(epoch) FROM expand", &[])?;
        let unfound = unfound.first().map_or(Ok(None), |row| Row(row).maybe_integer(0))?;
        let unfound = unfound.map(|epoch| Epoch(epoch.unsigned_abs().saturating_sub(1)));
        let mut place = self.state.place;
        let adopt = Adopt {
            place,
            seen: self.state.seen,
            found: unfound.unwrap_or(self.state.fanned).min(self.state.fanned),
            variants: Vec::new(),
        };
        let mut task = MoveTask { adopt, pages: Vec::new() };
        let mut tags = 0;
        for row in rows {
            let id = Row(row).integer(0)?;
            let shard = KeyDigest::from_stored(Row(row).text(1)?.to_owned()).shard(place.shards);
            let begun = !task.pages.is_empty();
            if begun && (task.pages.len() == MOST_PAGES || tags >= MOST_TAGS) {
                break;
            }
            if shard != place.own && (!begun || shard == task.adopt.place.own) {
                let gathered = self.gather(id);
                let page = [Value::Integer(id)];
                match self.heal(gathered, |work| work.drop_damaged_page(&page))? {
                    Some(mut variants) => {
                        task.adopt.place.own = shard;
                        task.pages.push((id, variants.len()));
                        tags += variants.iter().map(|v| v.record.tags.len()).sum::<usize>();
                        task.adopt.variants.append(&mut variants);
                    }
                    None => self.state.walk_again = true,
                }
            }
            if task.pages.is_empty() {
                self.state.walk = id.unsigned_abs().saturating_add(1);
            }
        }
        place.own = task.adopt.place.own;
        task.adopt.place = place;
        Ok(task)
    }

    /// All variants of a page; none while one of its warms runs.
    fn gather(&self, page: i64) -> Result<Option<Vec<Moving>>, ShardError> {
        let rows = self.sql.exec(
            "SELECT p.page, p.key, v.selection, v.request, v.status, v.l2_key, v.stamp, v.fence,
                    v.fresh_until, v.keep_until, v.heat, v.id
                FROM page p JOIN variant v ON v.page = p.id WHERE p.id = ? ORDER BY v.id",
            &[Value::Integer(page)],
        )?;
        let mut variants = Vec::with_capacity(rows.len());
        for row in &rows {
            let row = Row(row);
            let id = row.integer(11)?;
            let Some(letters) = self.letters_of(id)? else { return Ok(None) };
            let page: Page = row.json(0)?;
            let record = RecordRequest {
                page,
                key: CacheKey::from_stored(row.text(1)?.to_owned()),
                selection: row.json(2)?,
                leased: row.json(2)?,
                request: row.json(3)?,
                tags: self.tags_of(id)?,
                stamp: row.epoch(6)?,
                fence: row.unsigned(7)?,
                l2_key: row.maybe_text(5)?.map(str::to_owned),
                status: row.small(4)?,
                fresh_until: row.timestamp(8)?,
                keep_until: row.timestamp(9)?,
                outcome: Outcome::Stored,
            };
            variants.push(Moving { record, heat: row.timestamp(10)?, letters });
        }
        Ok(Some(variants))
    }

    /// A variant's queued warm and its dead letters; none while the warm runs.
    fn letters_of(&self, variant: i64) -> Result<Option<Vec<Letter>>, SqlError> {
        let rows = self.sql.exec(
            "SELECT job, epoch, above, attempts, NULL, 0, state FROM warm WHERE variant = ?1
                UNION ALL SELECT job, epoch, 0, attempts, reason, at, 0 FROM dead WHERE variant = ?1",
            &[Value::Integer(variant)],
        )?;
        let mut letters = Vec::with_capacity(rows.len());
        for row in &rows {
            let row = Row(row);
            if row.flag(6)? {
                return Ok(None);
            }
            letters.push(Letter {
                job: row.text(0)?.to_owned(),
                epoch: row.epoch(1)?,
                above: row.unsigned(2)?,
                attempts: row.small(3)?,
                reason: row.maybe_text(4)?.map(str::to_owned),
                at: row.timestamp(5)?,
            });
        }
        Ok(Some(letters))
    }

    /// Forgets the pages that the other shard has taken.
    pub(super) fn note_move(&mut self, task: &MoveTask, taken: bool) -> Result<(), ShardError> {
        self.state.walk_at = if taken { self.now } else { self.now.plus(PAUSE) };
        let mut sent = task.adopt.variants.as_slice();
        for (page, count) in task.pages.iter().filter(|_| taken) {
            let (own, rest) = sent.split_at_checked(*count).unwrap_or_default();
            sent = rest;
            let gathered = self.gather(*page);
            let now = self.heal(gathered, |_| Ok(()))?;
            if now.is_some_and(|now| now == own) {
                self.leave(*page)?;
            } else {
                // What is new of it goes as well.
                self.state.walk_at = self.now.plus(PAUSE);
            }
        }
        Ok(())
    }

    /// Forgets a page that is another shard's. Its warms count there.
    fn leave(&self, page: i64) -> Result<(), ShardError> {
        for row in
            &self.sql.exec("SELECT id FROM variant WHERE page = ?", &[Value::Integer(page)])?
        {
            self.untag(Row(row).integer(0)?)?;
            for job in self.sql.exec("DELETE FROM warm WHERE variant = ? RETURNING job", row)? {
                self.sql.exec("UPDATE job SET total = total - 1 WHERE id = ?", &job)?;
            }
            for job in self.sql.exec("DELETE FROM dead WHERE variant = ? RETURNING job", row)? {
                let statement =
                    "UPDATE job SET total = total - 1, failed = failed - 1 WHERE id = ?";
                self.sql.exec(statement, &job)?;
            }
            self.sql.exec("DELETE FROM variant WHERE id = ?", row)?;
        }
        self.sql.exec("DELETE FROM page WHERE id = ?", &[Value::Integer(page)])?;
        Ok(())
    }

    /// Takes pages of another shard; false: not now.
    pub(super) fn adopt(&mut self, adopt: &Adopt) -> Result<bool, ShardError> {
        self.place(adopt.place);
        if adopt.place.at < self.state.place.at {
            // Whose they are has changed since: the sender will hear of it.
            return Ok(false);
        }
        let fences = adopt.variants.iter().map(|moving| moving.record.fence);
        let highest = fences.max().unwrap_or_default();
        if highest > self.state.fence {
            (self.state.fence, self.state.raised_at) = (highest + MARGIN, self.now);
        }
        // A reader asks for less long than a lease lives.
        if self.now < self.state.raised_at.plus(self.config.lease) {
            return Ok(false);
        }
        self.state.seen = self.state.seen.max(adopt.seen);
        for moving in &adopt.variants {
            let record = &moving.record;
            let mut adopted = self.adopt_variant(moving, adopt.found);
            if adopted.as_ref().is_err_and(is_damage) {
                self.drop_damaged(&record.key, &[&record.selection])?;
                adopted = self.adopt_variant(moving, adopt.found);
            }
            adopted?;
        }
        Ok(true)
    }

    fn adopt_variant(&mut self, moving: &Moving, found: Epoch) -> Result<(), ShardError> {
        let Moving { record, heat, letters } = moving;
        let heat = Heat(*heat);
        let digest = record.key.variant(&record.selection).digest();
        let stored = Version { stamp: record.stamp, fence: record.fence };
        if stored.fence > 0 {
            let recorded = self.record_stored(record, false, heat, found.max(record.stamp))?;
            // What was fetched here meanwhile may have had no tags to inherit.
            if let Some(known) = self.variant(&digest)?.filter(|_| !recorded.accepted)
                && self.tags_of(known.id)?.is_empty()
            {
                self.set_tags(known.id, &record.tags)?;
            }
        }
        for letter in letters {
            let page = self.ensure_page(&record.page, &record.key)?.id;
            let (selection, request) = (&record.selection, &record.request);
            let variant =
                self.ensure_variant(page, &digest, selection, request, record.keep_until, heat)?;
            let want = Want { epoch: letter.epoch, above_fence: letter.above };
            if variant.stored().is_some_and(|stored| want.is_met_by(stored)) {
                continue;
            }
            // The invalidation itself may still come: it must not look known.
            self.ensure_job(&letter.job, Epoch::ZERO)?;
            match &letter.reason {
                None => {
                    self.enqueue(variant.id, want, &letter.job)?;
                }
                Some(_) => self.adopt_dead(variant.id, letter)?,
            }
        }
        Ok(())
    }

    fn adopt_dead(&self, variant: i64, letter: &Letter) -> Result<(), ShardError> {
        let new = self.sql.exec(
            "INSERT OR IGNORE INTO dead (job, variant, epoch, attempts, reason, at)
                VALUES (?, ?, ?, ?, ?, ?) RETURNING 1",
            &[
                text(&letter.job),
                Value::Integer(variant),
                number(letter.epoch.0),
                number(letter.attempts.into()),
                maybe_text(letter.reason.as_deref()),
                timestamp(letter.at),
            ],
        )?;
        let count = new.len() as u64;
        self.bump(&letter.job, "total", count)?;
        self.bump(&letter.job, "failed", count)
    }
}
