//! Recording what came of a fetch.

use crate::heat::Heat;
use crate::key::KeyDigest;
use crate::lease::{Version, replaces};
use crate::rule::Rule;
use crate::sql::row::{Row, epoch, json, maybe_text, number, text, timestamp};
use crate::sql::{Sql, SqlError, Value};
use crate::tag::TagSet;
use crate::time::Epoch;

use super::granting::union;
use super::rows::{PageRow, VariantRow, first_id};
use super::{Outcome, RecordRequest, Recorded, ShardError, Work};

impl<S: Sql> Work<'_, S> {
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
                let heat =
                    if warmed { Heat::default() } else { Heat::default().after(1, self.now) };
                self.record_stored(request, warmed, heat, request.stamp)?
            }
            Outcome::Uncacheable { .. } | Outcome::Gone => {
                self.record_nothing(request)?;
                Recorded::default()
            }
            Outcome::Failed { .. } => Recorded::default(),
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

    /// Notes a variant. The invalidations up to `found` need not be looked at: a fetch knew of them, or another shard
    /// has found the page for them.
    pub(super) fn record_stored(
        &mut self,
        request: &RecordRequest,
        warmed: bool,
        heat: Heat,
        found: Epoch,
    ) -> Result<Recorded, ShardError> {
        let page = self.ensure_page(&request.page, &request.key)?;
        let names = union(&page.vary, &request.selection);
        if names.len() > request.selection.0.len() {
            // Nobody who knows the page's names would ever look under this selection.
            let tags = self.tags_for(request, &page, None)?;
            return Ok(Recorded { accepted: false, tags, overtaken: false });
        }
        if names.len() > page.vary.len() {
            self.vary_more(&page, &names)?;
        }
        let digest = request.key.variant(&request.selection).digest();
        let new = Version { stamp: request.stamp, fence: request.fence };
        let known = self.variant(&digest)?;
        let tags = self.tags_for(request, &page, known.as_ref().map(|variant| variant.id))?;
        if !replaces(new, known.as_ref().and_then(VariantRow::stored)) {
            return Ok(Recorded { accepted: false, tags, overtaken: false });
        }
        let known = known.map(|variant| variant.id);
        let id = self.write(known, page.id, &digest, request, warmed, heat)?;
        if known.is_some() {
            self.set_tags(id, &tags)?;
            self.end_warm_if_met(id, new)?;
        } else {
            // Its id is new: nothing else stands under it.
            self.add_tags(id, &tags)?;
        }
        let overtaken = self.warm_if_overtaken(id, &request.page, found, &tags)?;
        Ok(Recorded { accepted: true, tags, overtaken })
    }

    /// The response's tags; without any, the known ones (`inherit_tags`).
    fn tags_for(
        &self,
        request: &RecordRequest,
        page: &PageRow,
        variant: Option<i64>,
    ) -> Result<TagSet, SqlError> {
        if request.tags.is_empty() && Rule::InheritTags.holds() {
            self.known_tags(page.id, variant)
        } else {
            Ok(request.tags.clone())
        }
    }

    /// Writes the row of a variant that is known, or a new one; its id.
    fn write(
        &self,
        known: Option<i64>,
        page: i64,
        digest: &KeyDigest,
        request: &RecordRequest,
        warmed: bool,
        heat: Heat,
    ) -> Result<i64, SqlError> {
        let mut values = vec![
            json(&request.request)?,
            Value::Integer(i64::from(request.status)),
            maybe_text(request.l2_key.as_deref()),
            epoch(request.stamp),
            number(request.fence),
            timestamp(self.now),
            timestamp(request.fresh_until),
            timestamp(request.keep_until),
            if warmed { timestamp(self.now) } else { Value::Null },
        ];
        // Not one statement with ON CONFLICT: it writes a row more, the last id, each time.
        let statement = if let Some(id) = known {
            values.push(Value::Integer(id));
            "UPDATE variant SET request = ?, status = ?, l2_key = ?, stamp = ?, fence = ?,
                    stored_at = ?, fresh_until = ?, keep_until = ?,
                    warmed_at = coalesce(?, warmed_at)
                WHERE id = ? RETURNING id"
        } else {
            values.extend([
                Value::Integer(page),
                text(digest.as_str()),
                json(&request.selection)?,
                timestamp(heat.0),
            ]);
            "INSERT INTO variant (request, status, l2_key, stamp, fence, stored_at, fresh_until,
                    keep_until, warmed_at, page, digest, selection, heat)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"
        };
        first_id(&self.sql.exec(statement, &values)?)
    }

    /// The page varies on more than was known: its variants of fewer names can't be found any more.
    fn vary_more(&mut self, page: &PageRow, names: &[String]) -> Result<(), ShardError> {
        self.sql.exec(
            "UPDATE page SET vary = ? WHERE id = ?",
            &[json(&names)?, Value::Integer(page.id)],
        )?;
        let rows = self.sql.exec(
            "SELECT digest FROM variant WHERE page = ? AND json_array_length(selection) < ?",
            &[Value::Integer(page.id), number(names.len() as u64)],
        )?;
        let mut old = Vec::with_capacity(rows.len());
        for row in &rows {
            let digest = KeyDigest::from_stored(Row(row).text(0)?.to_owned());
            old.extend(self.variant(&digest)?);
        }
        for variant in old {
            // The page stays: its new variant follows.
            self.drop_variant_only(&variant)?;
        }
        Ok(())
    }

    /// There is nothing to store: the variant is forgotten, unless a newer result stands, or a warm for an
    /// invalidation that this result does not know of.
    fn record_nothing(&mut self, request: &RecordRequest) -> Result<(), ShardError> {
        let new = Version { stamp: request.stamp, fence: request.fence };
        let leased = request.key.variant(&request.leased).digest();
        let selected = request.key.variant(&request.selection).digest();
        for digest in [leased, selected] {
            if let Some(variant) = self.variant(&digest)?
                && replaces(new, variant.stored())
                && !(self.is_wanted_past(variant.id, new)? && Rule::WarmCas.holds())
            {
                self.drop_variant(&variant)?;
            }
        }
        Ok(())
    }
}
