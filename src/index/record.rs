//! Recording what came of a fetch.

use crate::base::sql::row::{Row, epoch, flag, json, maybe_text, number, text, timestamp};
use crate::base::sql::{Sql, SqlError, Value};
use crate::base::time::Epoch;
use crate::cache::content::ContentDigest;
use crate::cache::key::KeyDigest;
use crate::cache::tag::TagSet;
use crate::index::lease::{Version, replaces};
use crate::index::popularity::Popularity;

use super::answer::{Recorded, Refetch};
use super::granting::union;
use super::message::{Outcome, RecordRequest};
use super::rows::{PageRow, VariantRow, first_id};
use super::transaction::{ShardError, ShardTransaction};

/// Variants of a page that count as named with it; further ones can be invented.
const MAX_NAMED_VARIANTS: u64 = 32;

/// What is written of a fill.
struct Filled<'a> {
    request: &'a RecordRequest,
    tags: &'a TagSet,
    warmed: bool,
    popularity: Popularity,
    once: bool,
    refetch: Option<Refetch>,
}

impl<S: Sql> ShardTransaction<'_, S> {
    /// Notes a result, ends its lease, and queues a warm if an invalidation overtook it.
    pub(super) fn record(
        &mut self,
        request: &RecordRequest,
        warmed: bool,
    ) -> Result<Recorded, ShardError> {
        self.state.seen = self.state.seen.max(request.stamp);
        let recorded = match &request.outcome {
            Outcome::Stored => {
                // What a warm brings nobody has asked for.
                let popularity = if warmed {
                    Popularity::default()
                } else {
                    Popularity::default().after(1, self.now)
                };
                self.record_stored(request, warmed, popularity, request.stamp)?
            }
            Outcome::Uncacheable { .. } | Outcome::Gone => {
                let dropped = self.record_nothing(request)?;
                let refetch = dropped.then_some(Refetch::Changed);
                Recorded { dropped, refetch, ..Recorded::default() }
            }
        };
        // Last, so that a warm which waited for the lease finds what came of it.
        let leased = request.key.variant(&request.leased).digest();
        self.release(&leased, request.fence)?;
        let selected = request.key.variant(&request.selection).digest();
        if selected != leased {
            self.release(&selected, request.fence)?;
        }
        Ok(recorded)
    }

    /// Notes a variant. The invalidations up to `found` need not be looked at: a fetch knew of
    /// them, or another shard has found the page for them.
    pub(super) fn record_stored(
        &mut self,
        request: &RecordRequest,
        warmed: bool,
        popularity: Popularity,
        found: Epoch,
    ) -> Result<Recorded, ShardError> {
        let page = self.ensure_page(&request.page, &request.key)?;
        let names = union(&page.vary, &request.selection);
        if names.len() > request.selection.0.len() {
            // Nobody who knows the page's names would ever look under this selection.
            return Ok(Recorded::default());
        }
        if names.len() > page.vary.len() {
            self.vary_more(&page, &names)?;
        }
        let digest = request.key.variant(&request.selection).digest();
        let new = Version { stamp: request.stamp, fence: request.fence };
        let known = if page.new { None } else { self.variant(page.id, &digest)? };
        if !replaces(new, known.as_ref().and_then(VariantRow::stored)) {
            return Ok(Recorded::default());
        }
        let tags = self.tags_for(request, &page, known.as_ref())?;
        let before = known.as_ref().and_then(|known| known.content.as_ref());
        let refetch = refetch_of(before, request.content.as_ref());
        let once = known.is_none() && !warmed && self.is_once(request, &page, &tags)?;
        let filled = Filled { request, tags: &tags, warmed, popularity, once, refetch };
        let id = match &known {
            Some(known) => {
                self.rewrite(known.id, &filled)?;
                self.map_tags(known.place(), &known.tags, &tags)?;
                self.end_warm_if_met(known.id, new, refetch)?;
                known.id
            }
            None => {
                let id = self.write(page.id, &digest, &filled)?;
                self.map_tags((self.state.segment, id), &TagSet::default(), &tags)?;
                id
            }
        };
        self.warm_if_overtaken(id, &request.page, found, &tags)?;
        Ok(Recorded { accepted: true, dropped: false, refetch })
    }

    /// The response's tags; without any, the known ones (`inherit_tags`).
    fn tags_for(
        &self,
        request: &RecordRequest,
        page: &PageRow,
        variant: Option<&VariantRow>,
    ) -> Result<TagSet, SqlError> {
        if request.tags.is_empty() {
            self.known_tags(page.id, variant)
        } else {
            Ok(request.tags.clone())
        }
    }

    /// Whether a new variant was asked for once so far, and only by whoever asked: not so if the
    /// origin names it, by tags on a path without a query.
    fn is_once(
        &self,
        request: &RecordRequest,
        page: &PageRow,
        tags: &TagSet,
    ) -> Result<bool, SqlError> {
        let plain = request.page.query.is_none() && request.key.is_plain(&request.page);
        if plain && request.status == 200 && !tags.is_empty() {
            if page.new {
                return Ok(false);
            }
            let variants = self
                .sql
                .exec("SELECT count(*) FROM variant WHERE page = ?", &[Value::Integer(page.id)])?;
            let variants = variants.first().map_or(Ok(0), |row| Row(row).unsigned(0))?;
            return Ok(variants >= MAX_NAMED_VARIANTS);
        }
        let leased = request.key.variant(&request.leased).digest();
        let rows = self.sql.exec(
            "SELECT again FROM lease WHERE variant = ? AND fence = ?",
            &[text(leased.as_str()), number(request.fence)],
        )?;
        let again = rows.first().map_or(Ok(true), |row| Row(row).flag(0))?;
        Ok(!again)
    }

    /// Writes the row of a new variant; its id.
    fn write(&self, page: i64, digest: &KeyDigest, filled: &Filled<'_>) -> Result<i64, SqlError> {
        let mut values = self.columns(filled)?;
        values.extend([
            Value::Integer(page),
            text(digest.as_str()),
            json(&filled.request.selection)?,
            timestamp(filled.popularity.0),
            Value::Integer(self.state.segment),
            flag(filled.once),
        ]);
        first_id(&self.sql.exec(
            "INSERT INTO variant (request, status, l2_key, stamp, fence, stored_at, fresh_until,
                    keep_until, warmed_at, tags, content, page, digest, selection, popularity,
                    segment, once)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, unhex(?), ?, unhex(?), ?, ?, ?, ?)
                RETURNING id",
            &values,
        )?)
    }

    /// Writes the row of a variant that is known. Not the statement of a new one with ON CONFLICT:
    /// that one writes a row more, the last id, each time.
    fn rewrite(&self, id: i64, filled: &Filled<'_>) -> Result<(), SqlError> {
        let mut values = self.columns(filled)?;
        let is = |refetch| flag(filled.refetch == Some(refetch));
        values.extend([is(Refetch::Changed), is(Refetch::Unchanged), Value::Integer(id)]);
        self.sql.exec(
            "UPDATE variant SET request = ?, status = ?, l2_key = ?, stamp = ?, fence = ?,
                    stored_at = ?, fresh_until = ?, keep_until = ?,
                    warmed_at = coalesce(?, warmed_at), tags = ?, content = unhex(?), once = 0,
                    changed = changed + ?, unchanged = unchanged + ?,
                    past = CASE WHEN fence > 0 THEN substr(printf('%012x%014x%d',
                        max(stored_at, 0), stamp, coalesce(warmed_at = stored_at, 0)) || past,
                        1, 135) ELSE past END
                WHERE id = ?",
            &values,
        )?;
        Ok(())
    }

    /// What both write.
    fn columns(&self, filled: &Filled<'_>) -> Result<Vec<Value>, SqlError> {
        let request = filled.request;
        Ok(vec![
            json(&request.request)?,
            Value::Integer(i64::from(request.status)),
            maybe_text(request.l2_key.as_deref()),
            epoch(request.stamp),
            number(request.fence),
            timestamp(self.now),
            timestamp(request.fresh_until),
            timestamp(request.keep_until),
            if filled.warmed { timestamp(self.now) } else { Value::Null },
            json(filled.tags)?,
            maybe_text(request.content.as_ref().map(ContentDigest::as_str)),
        ])
    }

    /// The page varies on more than was known: its variants of fewer names can't be found any more.
    fn vary_more(&mut self, page: &PageRow, names: &[String]) -> Result<(), ShardError> {
        self.sql.exec(
            "UPDATE page SET vary = ? WHERE id = ?",
            &[json(&names)?, Value::Integer(page.id)],
        )?;
        let old = self.variants_where(
            "page = ? AND json_array_length(selection) < ?",
            &[Value::Integer(page.id), number(names.len() as u64)],
        )?;
        for variant in old {
            // The page stays: its new variant follows.
            self.drop_variant_only(&variant)?;
        }
        Ok(())
    }

    /// There is nothing to store: the variant is forgotten, unless a newer result stands, or a warm
    /// for an invalidation that this result does not know of. Whether a stored one was.
    fn record_nothing(&mut self, request: &RecordRequest) -> Result<bool, ShardError> {
        let mut dropped = false;
        let new = Version { stamp: request.stamp, fence: request.fence };
        let Some(page) = self.page(&request.key.digest())? else { return Ok(false) };
        let leased = request.key.variant(&request.leased).digest();
        let selected = request.key.variant(&request.selection).digest();
        // Who fetched may know of more names than a stored response has in its `Vary`.
        let recorded = request.key.variant(&request.leased.restricted_to(&page.vary)).digest();
        for digest in [leased, selected, recorded] {
            if let Some(variant) = self.variant(page.id, &digest)?
                && replaces(new, variant.stored())
                && !self.is_wanted_past(variant.id, new)?
            {
                if variant.stored().is_some() {
                    dropped = true;
                    self.end_warm(variant.id, Some(Refetch::Changed))?;
                }
                self.drop_variant(&variant)?;
            }
        }
        Ok(dropped)
    }
}

/// What a fetch brought beside what was stored; a 304 renews what is there, and brings the same.
fn refetch_of(before: Option<&ContentDigest>, now: Option<&ContentDigest>) -> Option<Refetch> {
    let (before, now) = (before?, now?);
    Some(if before == now { Refetch::Unchanged } else { Refetch::Changed })
}
