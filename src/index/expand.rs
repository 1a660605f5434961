//! Finding the pages of a target, in slices: a tag of 100,000 pages is never one batch.

use std::collections::HashSet;

use crate::base::sql::row::{Row, json, marks, number, text};
use crate::base::sql::{MAX_PARAMETERS, Sql, SqlError, Value};
use crate::base::time::Epoch;
use crate::cache::tag::Target;
use crate::index::lease::Version;
use crate::index::warm::WarmTarget;

use super::tags::TagPlace;
use super::transaction::{ShardError, ShardTransaction};

/// Variants of one slice.
const SLICE: u64 = 200;
/// Variants looked at in one call.
const MAX_MATCHES: usize = 400;
/// Targets looked at in one call.
const MAX_TARGETS: i64 = 100;

/// A variant that a target names.
pub(super) struct Match {
    pub(super) variant: i64,
    pub(super) page: i64,
    stored: Version,
    once: bool,
}

/// Some of a target's variants, and where to go on.
pub(super) struct Slice {
    pub(super) matches: Vec<Match>,
    pub(super) next: Option<(String, i64)>,
}

impl<S: Sql> ShardTransaction<'_, S> {
    /// Queues warms for the next slices of what is to be expanded. While somebody waits for the
    /// answer only targets that one slice holds whole: what a webhook costs must not depend on how
    /// many pages carry its tag.
    pub(super) fn expand(&mut self, awaited: bool) -> Result<(), ShardError> {
        let rows = self.sql.exec(
            "SELECT seq, job, epoch, kind, name, after_url, after_id FROM expand
                ORDER BY seq LIMIT 0 + ?",
            &[Value::Integer(MAX_TARGETS)],
        )?;
        let mut looked_at = 0;
        for row in &rows {
            if looked_at >= MAX_MATCHES {
                break;
            }
            let row = Row(row);
            let seq = row.integer(0)?;
            let expanded = self.expand_one(seq, row, awaited);
            looked_at += self.repaired(expanded, |work| work.expanded(seq))?;
        }
        Ok(())
    }

    /// Queues warms for the next slice of one target; how many variants it has.
    fn expand_one(&mut self, seq: i64, row: Row<'_>, awaited: bool) -> Result<usize, ShardError> {
        let (job, epoch) = (row.text(1)?, row.epoch(2)?);
        let slice = match Target::from_parts(row.small(3)?, row.text(4)?) {
            // Only the index of tags knows.
            Some(Target::Tag(tag)) if awaited => {
                let found = self.tagged(&tag, TagPlace::numbered(row.integer(6)?), SLICE)?;
                if found.len() as u64 == SLICE {
                    return Ok(0);
                }
                Slice { matches: self.matches_of(&found)?, next: None }
            }
            Some(target) => self.slice(&target, row.text(5)?, row.integer(6)?)?,
            None => Slice { matches: Vec::new(), next: None },
        };
        if awaited && slice.next.is_some() {
            return Ok(slice.matches.len());
        }
        self.queue_matches(&slice.matches, epoch, job)?;
        match slice.next {
            Some((url, id)) => {
                self.sql.exec(
                    "UPDATE expand SET after_url = ?, after_id = ? WHERE seq = ?",
                    &[text(&url), Value::Integer(id), Value::Integer(seq)],
                )?;
            }
            None => self.expanded(seq)?,
        }
        Ok(slice.matches.len())
    }

    fn expanded(&self, seq: i64) -> Result<(), ShardError> {
        self.sql.exec("DELETE FROM expand WHERE seq = ?", &[Value::Integer(seq)])?;
        Ok(())
    }

    fn queue_matches(
        &mut self,
        matches: &[Match],
        epoch: Epoch,
        job: &str,
    ) -> Result<(), ShardError> {
        let want = WarmTarget { epoch, above_fence: 0 };
        let mut pages = HashSet::new();
        for found in matches {
            if found.once && !want.is_met_by(found.stored) {
                // Whoever asks next brings it anew.
                if let Some(variant) = self.variant_by_id(found.variant)? {
                    self.drop_variant(&variant)?;
                }
                continue;
            }
            // What was refetched since needs no warm, and was counted if another target had it
            // queued.
            if !want.is_met_by(found.stored) && self.enqueue(found.variant, want, job)? {
                pages.insert(found.page);
            }
        }
        self.bump(job, "pages", pages.len() as u64)
    }

    /// The target's variants after a cursor.
    pub(super) fn slice(
        &self,
        target: &Target,
        after_url: &str,
        after_id: i64,
    ) -> Result<Slice, SqlError> {
        let after = Value::Integer(after_id);
        let limit = number(SLICE);
        match target {
            Target::Tag(tag) => {
                let found = self.tagged(tag, TagPlace::numbered(after_id), SLICE)?;
                let next = match found.last() {
                    Some(last) if found.len() as u64 == SLICE => {
                        Some((String::new(), last.number()))
                    }
                    Some(_) | None => None,
                };
                Ok(Slice { matches: self.matches_of(&found)?, next })
            }
            Target::Url(url) => self.slice_of_pages(
                "SELECT id, url FROM page WHERE url = ? AND id > ? ORDER BY id LIMIT 0 + ?",
                &[text(url), after, limit],
            ),
            Target::Prefix(prefix) => self.slice_of_range(prefix, after_url, after_id),
            Target::Host(host) => self.slice_of_range(&format!("{host}/"), after_url, after_id),
            Target::All => self.slice_of_pages(
                "SELECT id, '' FROM page WHERE id > ? ORDER BY id LIMIT 0 + ?",
                &[after, limit],
            ),
        }
    }

    /// The variants at these places.
    fn matches_of(&self, places: &[TagPlace]) -> Result<Vec<Match>, SqlError> {
        let ids: Vec<i64> = places.iter().map(|place| place.variant).collect();
        Ok(matches(&self.sql.exec(
            "SELECT id, page, stamp, fence, once FROM variant
                WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
            &[json(&ids)?],
        )?))
    }

    /// The pages whose URL begins with a prefix that ends in `/`: a range of the index.
    fn slice_of_range(
        &self,
        prefix: &str,
        after_url: &str,
        after_id: i64,
    ) -> Result<Slice, SqlError> {
        let stem = prefix.strip_suffix('/').unwrap_or(prefix);
        // '0' is the character after '/'.
        let end = format!("{stem}0");
        let begin = if after_url.is_empty() { format!("{stem}/") } else { after_url.to_owned() };
        self.slice_of_pages(
            "SELECT id, url FROM page WHERE (url, id) > (?, ?) AND url < ?
                ORDER BY url, id LIMIT 0 + ?",
            &[text(&begin), Value::Integer(after_id), text(&end), number(SLICE)],
        )
    }

    fn slice_of_pages(&self, query: &'static str, parameters: &[Value]) -> Result<Slice, SqlError> {
        let pages = self.sql.exec(query, parameters)?;
        let mut ids = Vec::with_capacity(pages.len());
        for page in &pages {
            ids.push(Value::Integer(Row(page).integer(0)?));
        }
        let mut found = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(MAX_PARAMETERS) {
            let query = format!(
                "SELECT id, page, stamp, fence, once FROM variant WHERE page IN ({})",
                marks(chunk.len())
            );
            found.append(&mut matches(&self.sql.exec(&query, chunk)?));
        }
        let next = match pages.last() {
            Some(last) if pages.len() as u64 == SLICE => {
                Some((Row(last).text(1)?.to_owned(), Row(last).integer(0)?))
            }
            Some(_) | None => None,
        };
        Ok(Slice { matches: found, next })
    }
}

/// What can be read of the rows: a damaged variant has no part in it, and goes with its next lease.
fn matches(rows: &[Vec<Value>]) -> Vec<Match> {
    let read = |row: &Vec<Value>| -> Result<Match, SqlError> {
        let row = Row(row);
        Ok(Match {
            variant: row.integer(0)?,
            page: row.integer(1)?,
            stored: Version { stamp: row.epoch(2)?, fence: row.unsigned(3)? },
            once: row.flag(4)?,
        })
    };
    rows.iter().filter_map(|row| read(row).ok()).collect()
}
