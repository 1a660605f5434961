//! Pages, variants and leases as rows.
//!
//! A variant's row also holds what it has taken the place of, [`KEPT`] of them, newest first, at a
//! fixed width each: it is written in any case when the variant is stored anew, and no row more is.
//! A page that moves to another shard begins anew.

use crate::base::sql::row::{Row, json, text, timestamp};
use crate::base::sql::{Sql, SqlError, Value};
use crate::base::time::{Epoch, Timestamp};
use crate::cache::content::ContentDigest;
use crate::cache::key::{CacheKey, KeyDigest, Page, Selection};
use crate::cache::tag::{TagSet, Target};
use crate::http::Fields;
use crate::index::lease::{Holder, Version};
use crate::index::popularity::Popularity;

use super::answer::StoredOnce;
use super::transaction::{ShardError, ShardTransaction};

/// The number that stands for a page's URL ([`Target::Url`]) where its text is not kept: 48 bits of
/// its hash, because the runtime's numbers are exact up to 53. Two URLs that share one cost an
/// invalidation.
pub(super) fn url_number(url: &str) -> i64 {
    (Target::Url(url.to_owned()).hash().0 >> 16) as i64
}

/// A page's row.
pub(super) struct PageRow {
    pub(super) id: i64,
    pub(super) vary: Vec<String>,
    /// Whether it was made just now: it has no variants.
    pub(super) new: bool,
}

/// A variant's row.
pub(super) struct VariantRow {
    pub(super) id: i64,
    pub(super) page: i64,
    pub(super) l2_key: Option<String>,
    pub(super) fresh_until: Timestamp,
    pub(super) keep_until: Timestamp,
    pub(super) tags: TagSet,
    /// It was asked for once so far, at an address that anyone can invent.
    pub(super) once: bool,
    /// What its stored copy shows; none where a version before stored it.
    pub(super) content: Option<ContentDigest>,
    segment: i64,
    popularity: Popularity,
    version: Version,
    status: u16,
}

impl VariantRow {
    /// Where its tags are in `tagged`.
    pub(super) const fn place(&self) -> (i64, i64) {
        (self.segment, self.id)
    }

    /// What is stored; none if it never was.
    pub(super) fn stored(&self) -> Option<Version> {
        (self.version.fence > 0).then_some(self.version)
    }

    /// The status of what is stored.
    pub(super) fn stored_status(&self) -> Option<u16> {
        self.stored().map(|_| self.status)
    }

    /// The stored copy's place in L2, if it has one that still counts.
    pub(super) fn ready(&self, now: Timestamp) -> Option<(&str, Version)> {
        let l2_key = self.l2_key.as_deref()?;
        (self.keep_until > now).then_some((l2_key, self.version))
    }
}

impl<S: Sql> ShardTransaction<'_, S> {
    pub(super) fn page(&self, digest: &KeyDigest) -> Result<Option<PageRow>, SqlError> {
        let rows = self
            .sql
            .exec("SELECT id, vary FROM page WHERE digest = unhex(?)", &[text(digest.as_str())])?;
        rows.first()
            .map(|row| {
                Ok(PageRow { id: Row(row).integer(0)?, vary: Row(row).json(1)?, new: false })
            })
            .transpose()
    }

    /// The variant of a page that has this digest.
    pub(super) fn variant(
        &self,
        page: i64,
        digest: &KeyDigest,
    ) -> Result<Option<VariantRow>, SqlError> {
        let by = [Value::Integer(page), text(digest.as_str())];
        Ok(self.variants_where("page = ? AND digest = unhex(?)", &by)?.pop())
    }

    /// The same, by the page's key.
    pub(super) fn variant_of(
        &self,
        key: &CacheKey,
        digest: &KeyDigest,
    ) -> Result<Option<VariantRow>, SqlError> {
        let by = [text(key.digest().as_str()), text(digest.as_str())];
        let condition =
            "page = (SELECT id FROM page WHERE digest = unhex(?)) AND digest = unhex(?)";
        Ok(self.variants_where(condition, &by)?.pop())
    }

    /// The variant with this number.
    pub(super) fn variant_by_id(&self, id: i64) -> Result<Option<VariantRow>, SqlError> {
        Ok(self.variants_where("id = ?", &[Value::Integer(id)])?.pop())
    }

    /// The variants that a condition is true of.
    pub(super) fn variants_where(
        &self,
        condition: &'static str,
        by: &[Value],
    ) -> Result<Vec<VariantRow>, SqlError> {
        let query = format!(
            "SELECT id, page, l2_key, fresh_until, keep_until, stamp, fence, popularity, tags,
                    segment, once, lower(hex(content)), status
                FROM variant WHERE {condition}"
        );
        let rows = self.sql.exec(&query, by)?;
        rows.iter()
            .map(|row| {
                let row = Row(row);
                Ok(VariantRow {
                    id: row.integer(0)?,
                    page: row.integer(1)?,
                    l2_key: row.maybe_text(2)?.map(str::to_owned),
                    fresh_until: row.timestamp(3)?,
                    keep_until: row.timestamp(4)?,
                    version: Version { stamp: row.epoch(5)?, fence: row.unsigned(6)? },
                    popularity: Popularity(row.timestamp(7)?),
                    tags: row.json(8)?,
                    segment: row.integer(9)?,
                    once: row.flag(10)?,
                    content: row
                        .maybe_text(11)?
                        .filter(|hex| !hex.is_empty())
                        .map(|hex| ContentDigest::from_stored(hex.to_owned())),
                    status: row.small(12)?,
                })
            })
            .collect()
    }

    pub(super) fn holder(&self, variant: &KeyDigest) -> Result<Option<Holder>, SqlError> {
        let rows = self.sql.exec(
            "SELECT fence, stamp, until FROM lease WHERE variant = ?",
            &[text(variant.as_str())],
        )?;
        let Some(row) = rows.first() else { return Ok(None) };
        let row = Row(row);
        Ok(Some(Holder { fence: row.unsigned(0)?, stamp: row.epoch(1)?, until: row.timestamp(2)? }))
    }

    /// The page's row, made if there is none.
    pub(super) fn ensure_page(&mut self, page: &Page, key: &CacheKey) -> Result<PageRow, SqlError> {
        let digest = key.digest();
        if let Some(row) = self.page(&digest)? {
            return Ok(row);
        }
        self.note_misplaced(&digest);
        let rows = self.sql.exec(
            "INSERT INTO page (digest, key, url, page, vary) VALUES (unhex(?), ?, ?, ?, '[]')
                RETURNING id",
            &[text(digest.as_str()), text(key.as_str()), text(&page.purge_name()), json(page)?],
        )?;
        Ok(PageRow { id: first_id(&rows)?, vary: Vec::new(), new: true })
    }

    /// A variant's row, made if there is none: known, never stored.
    pub(super) fn ensure_variant(
        &self,
        page: i64,
        digest: &KeyDigest,
        selection: &Selection,
        request: &Fields,
        keep_until: Timestamp,
        popularity: Popularity,
    ) -> Result<VariantRow, SqlError> {
        if let Some(row) = self.variant(page, digest)? {
            return Ok(row);
        }
        let rows = self.sql.exec(
            "INSERT INTO variant (page, digest, selection, request, status, l2_key, stamp, fence,
                    stored_at, fresh_until, keep_until, popularity, tags, segment)
                VALUES (?, unhex(?), ?, ?, 0, NULL, 0, 0, 0, 0, ?, ?, '[]', ?) RETURNING id",
            &[
                Value::Integer(page),
                text(digest.as_str()),
                json(selection)?,
                json(request)?,
                timestamp(keep_until),
                timestamp(popularity.0),
                Value::Integer(self.state.segment),
            ],
        )?;
        Ok(VariantRow {
            id: first_id(&rows)?,
            page,
            l2_key: None,
            fresh_until: Timestamp::ZERO,
            keep_until,
            tags: TagSet::default(),
            once: false,
            content: None,
            segment: self.state.segment,
            popularity,
            version: Version { stamp: Epoch::ZERO, fence: 0 },
            status: 0,
        })
    }

    /// Somebody asked for a variant that is stored where they are.
    pub(super) fn requested_again(
        &self,
        key: &CacheKey,
        selection: &Selection,
    ) -> Result<(), ShardError> {
        let variant = self.variant_of(key, &key.variant(selection).digest())?;
        variant.map_or(Ok(()), |variant| Ok(self.note_request(&variant, 0)?))
    }

    /// Somebody asked for a variant, after so many hits that nobody here heard of.
    pub(super) fn note_request(&self, variant: &VariantRow, hits: u32) -> Result<(), SqlError> {
        if variant.once {
            let id = [Value::Integer(variant.id)];
            self.sql.exec("UPDATE variant SET once = 0 WHERE id = ?", &id)?;
        }
        let popularity = variant.popularity.after(hits.saturating_add(1), self.now);
        if popularity.is_worth(variant.popularity) {
            self.sql.exec(
                "UPDATE variant SET popularity = ? WHERE id = ?",
                &[timestamp(popularity.0), Value::Integer(variant.id)],
            )?;
        }
        Ok(())
    }

    /// Forgets a variant, and its page if it was the last. A queued warm of it is done: nothing is
    /// left to store.
    pub(super) fn drop_variant(&mut self, variant: &VariantRow) -> Result<(), ShardError> {
        self.drop_variant_only(variant)?;
        self.sql.exec(
            "DELETE FROM page WHERE id = ?1
                AND NOT EXISTS (SELECT 1 FROM variant WHERE page = ?1)",
            &[Value::Integer(variant.page)],
        )?;
        Ok(())
    }

    /// Forgets a variant, but not its page.
    pub(super) fn drop_variant_only(&mut self, variant: &VariantRow) -> Result<(), ShardError> {
        self.end_warm(variant.id, None)?;
        self.map_tags(variant.place(), &variant.tags, &TagSet::default())?;
        let id = [Value::Integer(variant.id)];
        self.sql.exec("DELETE FROM dead WHERE variant = ?", &id)?;
        self.sql.exec("DELETE FROM variant WHERE id = ?", &id)?;
        Ok(())
    }
}

/// The id that an INSERT returned.
pub(super) fn first_id(rows: &[Vec<Value>]) -> Result<i64, SqlError> {
    match rows.first() {
        Some(row) => Row(row).integer(0),
        None => Err(SqlError::Refused("an INSERT returned no row".to_owned())),
    }
}

/// How many are kept: 135 characters.
const KEPT: usize = 5;
/// Characters of one: milliseconds in 12, the stamp in 14 (both hexadecimal), how it came in one.
const WIDTH: usize = 27;

/// What stands in the column; nothing from where it can't be read.
pub(super) fn past(text: &str) -> Vec<StoredOnce> {
    let parts = text.as_bytes().chunks(WIDTH).map_while(|part| {
        let text = std::str::from_utf8(part).ok()?;
        let at = i64::from_str_radix(text.get(..12)?, 16).ok()?;
        let stamp = u64::from_str_radix(text.get(12..26)?, 16).ok()?;
        let warmed = text.get(26..27)? == "1";
        Some(StoredOnce { at: Timestamp::from_millis(at), stamp: Epoch(stamp), warmed })
    });
    parts.take(KEPT).collect()
}
