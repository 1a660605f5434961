//! Taking invalidations: remembered for late fills, and handed to the expansion.

use std::collections::HashSet;
use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::base::sql::row::{epoch, hash, json, row_marks, rows_per_statement, text, timestamp};
use crate::base::sql::{Sql, SqlError};
use crate::base::time::Epoch;
use crate::cache::tag::{Tag, Target};
use crate::journal::{Fanout, REPAIR_MARGIN};

use super::answer::Invalidated;
use super::transaction::{ShardError, ShardTransaction};

/// Pages that a count stops at.
const MAX_COUNTED: usize = 10_000;

/// How an invalidation was taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FanoutOutcome {
    /// It was taken before.
    Known,
    /// Its pages are to be found and refetched.
    New,
    /// Its pages are not refetched.
    Counted { pages: u64, complete: bool },
}

impl<S: Sql> ShardTransaction<'_, S> {
    /// Takes invalidations, oldest first. The same one twice is the same as once: the journal
    /// repeats until it hears of it.
    pub(super) fn invalidate(
        &mut self,
        fanouts: &[Fanout],
    ) -> Result<Vec<Invalidated>, ShardError> {
        let mut counts = Vec::new();
        for fanout in fanouts {
            counts.push(self.accept(fanout, fanouts.len() == 1)?);
        }
        // Once for all of them: a slice is a slice however many are new.
        if counts.contains(&FanoutOutcome::New) {
            self.expand(true)?;
        }
        let (seen, unknown) = (self.state.seen, self.unknown());
        let invalidated = |(fanout, accepted): (&Fanout, FanoutOutcome)| {
            if let FanoutOutcome::Counted { pages, complete } = accepted {
                return Ok(Invalidated { pages, warming: 0, complete, seen, unknown });
            }
            let job = self.progress(&fanout.job)?.unwrap_or_default();
            Ok(Invalidated {
                pages: job.pages,
                warming: job.queued + job.running,
                complete: job.complete,
                seen,
                unknown,
            })
        };
        fanouts.iter().zip(counts).map(invalidated).collect()
    }

    /// Notes an invalidation and what is to be expanded for it. Without a warm its pages are only
    /// counted, and among others not even that.
    fn accept(&mut self, fanout: &Fanout, alone: bool) -> Result<FanoutOutcome, ShardError> {
        self.state.seen = self.state.seen.max(fanout.epoch);
        if self.was_given_before(fanout)? {
            // Past whatever else it gives until it hears of this.
            let past = Epoch(fanout.epoch.0.saturating_add(REPAIR_MARGIN));
            self.state.seen = self.state.seen.max(past);
        }
        let known = self.progress(&fanout.job)?.is_some_and(|job| job.epoch == fanout.epoch);
        if known {
            return Ok(FanoutOutcome::Known);
        }
        // The same id with another epoch: the journal was restored from a backup in between. What
        // was counted stays, because its warms still stand in the queue.
        self.sql.exec(
            "INSERT INTO job (id, epoch, pages, total, done, failed, superseded, at)
                VALUES (?, ?, 0, 0, 0, 0, 0, ?)
                ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, at = excluded.at",
            &[text(&fanout.job), epoch(fanout.epoch), timestamp(self.now)],
        )?;
        if fanout.warm {
            self.remember(fanout)?;
            self.queue_expansion(fanout)?;
            return Ok(FanoutOutcome::New);
        }
        let (pages, complete) = if alone { self.count(&fanout.targets)? } else { (0, false) };
        Ok(FanoutOutcome::Counted { pages, complete })
    }

    /// Whether the journal gave the same epoch to another invalidation: it was restored from a
    /// backup in between, and ends where this shard thought it did. The reply names an epoch that
    /// the journal does not know (`incarnation`).
    fn was_given_before(&mut self, fanout: &Fanout) -> Result<bool, SqlError> {
        let id = number_of(&fanout.job);
        let last = (self.state.fanned, self.state.fanned_id);
        if fanout.epoch > last.0 {
            (self.state.fanned, self.state.fanned_id) = (fanout.epoch, id);
            return Ok(false);
        }
        if fanout.epoch == last.0 {
            return Ok(id != last.1);
        }
        // Late, which is rare. Warms that were asked for have the epoch that was newest then.
        let others = self.sql.exec(
            "SELECT 1 FROM job WHERE epoch = ? AND id <> ? AND id NOT LIKE 'warm-%' LIMIT 1",
            &[epoch(fanout.epoch), text(&fanout.job)],
        )?;
        Ok(!others.is_empty())
    }

    /// Notes the targets, for fills that this fan-out can't see yet (`rec_fanout`).
    fn remember(&mut self, fanout: &Fanout) -> Result<(), SqlError> {
        self.state.fan_head = self.state.fan_head.max(fanout.epoch);
        for chunk in fanout.targets.chunks(rows_per_statement(4, 0)) {
            let statement = format!(
                "INSERT INTO fan (hash, epoch, job, at) VALUES {}
                    ON CONFLICT (hash) DO UPDATE SET epoch = excluded.epoch, job = excluded.job,
                        at = excluded.at WHERE excluded.epoch > epoch",
                row_marks(chunk.len(), 4)
            );
            let mut parameters = Vec::with_capacity(chunk.len() * 4);
            for target in chunk {
                parameters.extend([
                    hash(target.hash().0),
                    epoch(fanout.epoch),
                    text(&fanout.job),
                    timestamp(self.now),
                ]);
            }
            self.sql.exec(&statement, &parameters)?;
        }
        Ok(())
    }

    /// Queues the targets whose pages are to be found. Of tags, only those that a page here
    /// carries.
    fn queue_expansion(&self, fanout: &Fanout) -> Result<(), SqlError> {
        let (mut tags, mut found) = (Vec::new(), Vec::new());
        for target in &fanout.targets {
            match target {
                Target::Tag(tag) => tags.push(tag),
                Target::Url(_) | Target::Prefix(_) | Target::Host(_) | Target::All => {
                    found.push((target.kind(), target.name().to_owned(), 0));
                }
            }
        }
        let tags = self.carried(&tags)?;
        let tag = |(tag, before): &(&Tag, i64)| (TAG, tag.as_str().to_owned(), *before);
        found.extend(tags.iter().map(tag));
        // One statement for all: JSON binds as one parameter.
        for chunk in found.chunks(1_000) {
            self.supersede(fanout, chunk)?;
            self.sql.exec(
                "INSERT INTO expand (job, epoch, kind, name, after_url, after_id)
                    SELECT ?, ?, json_extract(value, '$[0]'), json_extract(value, '$[1]'), '',
                        json_extract(value, '$[2]')
                    FROM json_each(?)",
                &[text(&fanout.job), epoch(fanout.epoch), json(&chunk)?],
            )?;
        }
        Ok(())
    }

    /// Ends older expansions of the same targets: the pages that they have still to find are found
    /// by this one. What they leave to it counts as one warm that was superseded, since nobody
    /// knows how many it would have been.
    fn supersede(&self, fanout: &Fanout, targets: &[(u8, String, i64)]) -> Result<(), SqlError> {
        let ended = self.sql.exec(
            "DELETE FROM expand WHERE epoch <= ? AND (kind, name) IN
                (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]')
                    FROM json_each(?)) RETURNING job",
            &[epoch(fanout.epoch), json(&targets)?],
        )?;
        for row in &ended {
            self.sql.exec(
                "UPDATE job SET total = total + 1, superseded = superseded + 1 WHERE id = ?",
                row,
            )?;
        }
        Ok(())
    }

    /// How many pages the targets have, up to a bound, and whether that is all.
    pub(super) fn count(&self, targets: &[Target]) -> Result<(u64, bool), ShardError> {
        let mut pages: HashSet<i64> = HashSet::new();
        for target in targets {
            let (mut after_url, mut after_id) = (String::new(), 0);
            loop {
                let slice = self.slice(target, &after_url, after_id)?;
                pages.extend(slice.matches.iter().map(|found| found.page));
                if pages.len() >= MAX_COUNTED {
                    return Ok((pages.len() as u64, false));
                }
                let Some(next) = slice.next else { break };
                (after_url, after_id) = next;
            }
        }
        Ok((pages.len() as u64, true))
    }
}

/// [`Target::kind`] of a tag.
const TAG: u8 = 1;

/// A number that stands for an id: an object's integers have 53 bits.
fn number_of(id: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(id.as_bytes());
    hasher.finish() >> 11
}
