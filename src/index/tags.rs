//! Both maps between tags and variants: a variant's row names its tags, and `tagged` finds the
//! variants of a tag.
//!
//! `tagged` is in segments. What fills add goes to one of them, whichever tags it is for, and that
//! one fits SQLite's page cache; the variants of a tag are looked for in one segment after the
//! other. A segment that most of its variants have left is filled again, and one that all have left
//! is dropped ([decision 0062](../../docs/decisions/0062-the-map-of-tags-is-in-segments.md)).

use std::collections::BTreeSet;

use crate::base::sql::row::{Row, json, number};
use crate::base::sql::{Sql, SqlError, Value};
use crate::cache::tag::{Tag, TagSet, Target};

use super::rows::VariantRow;
use super::transaction::ShardTransaction;

/// Entries of `tagged` after which another segment is filled: some 1.1 MB, of the 2 MB of the
/// platform's page cache.
const FULL: u64 = 40_000;

/// A place in the order of `tagged`: first by segment, then by variant. One number, because cursors
/// are: 17 bits and 36, which are the 53 of a JavaScript number. A shard that makes a hundred
/// variants a second has enough for twenty years.
#[derive(Clone, Copy)]
pub(super) struct TagPlace {
    segment: i64,
    pub(super) variant: i64,
}

impl TagPlace {
    /// The number.
    pub(super) const fn number(self) -> i64 {
        (self.segment << 36) + self.variant
    }

    /// The place with this number.
    pub(super) const fn numbered(number: i64) -> Self {
        Self { segment: number >> 36, variant: number & 0xf_ffff_ffff }
    }

    /// The parameters `?1` and `?2` of what is looked for after it.
    pub(super) const fn values(self) -> [Value; 2] {
        [Value::Integer(self.segment), Value::Integer(self.variant)]
    }
}

/// A tag's number in `tagged`: the upper 48 bits of its hash, which SQLite keeps in six bytes. Two
/// tags that share it are found together, which costs a refetch.
pub(super) fn tag_number(tag: &Tag) -> i64 {
    (Target::Tag(tag.clone()).hash().0 >> 16) as i64
}

/// The numbers that a variant with these tags is found by.
fn numbers(tags: &TagSet) -> BTreeSet<i64> {
    let small = tags.in_small_letters().filter_map(|tag| Tag::parse(&tag).ok());
    tags.iter().map(tag_number).chain(small.map(|tag| tag_number(&tag))).collect()
}

impl<S: Sql> ShardTransaction<'_, S> {
    /// A variant's own tags; if it has none, those of all variants of its page (`inherit_tags`).
    pub(super) fn known_tags(
        &self,
        page: i64,
        variant: Option<&VariantRow>,
    ) -> Result<TagSet, SqlError> {
        if let Some(variant) = variant.filter(|variant| !variant.tags.is_empty()) {
            return Ok(variant.tags.clone());
        }
        let query = "SELECT tags FROM variant WHERE page = ?";
        let mut all: Vec<Tag> = Vec::new();
        for row in self.sql.exec(query, &[Value::Integer(page)])? {
            all.append(&mut Row(&row).json::<TagSet>(0)?.into());
        }
        Ok(all.into())
    }

    /// Those of these tags that variants here carry, each with the place before the first of them.
    pub(super) fn carried<'a>(&self, tags: &[&'a Tag]) -> Result<Vec<(&'a Tag, i64)>, SqlError> {
        if tags.is_empty() {
            return Ok(Vec::new());
        }
        // In the order of `tagged`: of many tags, several are found in what was read for one.
        let mut tags: Vec<(i64, &'a Tag)> =
            tags.iter().map(|tag| (tag_number(tag), *tag)).collect();
        tags.sort();
        let found = self.sql.exec(
            "SELECT (SELECT (s.id << 36) + t.variant - 1 FROM segment s CROSS JOIN tagged t
                    WHERE t.segment = s.id AND t.tag = value
                        AND t.variant BETWEEN 1 AND 0xfffffffff ORDER BY s.id, t.variant LIMIT 1)
                FROM json_each(?) ORDER BY key",
            &[json(&tags.iter().map(|(number, _)| number).collect::<Vec<_>>())?],
        )?;
        let mut carried = Vec::new();
        for ((_, tag), row) in tags.into_iter().zip(&found) {
            carried.extend(Row(row).maybe_integer(0)?.map(|before| (tag, before)));
        }
        Ok(carried)
    }

    /// The places of a tag's variants after a place, up to `limit`.
    pub(super) fn tagged(
        &self,
        tag: &Tag,
        after: TagPlace,
        limit: u64,
    ) -> Result<Vec<TagPlace>, SqlError> {
        let [segment, variant] = after.values();
        // Only numbers are within the bounds: a damaged entry holds up no other.
        let rows = self.sql.exec(
            "SELECT s.id, t.variant FROM segment s CROSS JOIN tagged t
                WHERE s.id >= ?1 AND t.segment = s.id AND t.tag = ?3
                    AND t.variant > CASE s.id WHEN ?1 THEN ?2 ELSE 0 END
                    AND t.variant <= 0xfffffffff
                ORDER BY s.id, t.variant LIMIT 0 + ?4",
            &[segment, variant, Value::Integer(tag_number(tag)), number(limit)],
        )?;
        let place = |row: &Vec<Value>| {
            Ok(TagPlace { segment: Row(row).integer(0)?, variant: Row(row).integer(1)? })
        };
        rows.iter().map(place).collect()
    }

    /// Makes these a variant's tags in the map. Writes only what differs.
    pub(super) fn map_tags(
        &mut self,
        (segment, variant): (i64, i64),
        before: &TagSet,
        tags: &TagSet,
    ) -> Result<(), SqlError> {
        // By their numbers: what goes with one tag may be another's as well.
        let [before, tags] = [before, tags].map(numbers);
        let gone: Vec<&i64> = before.difference(&tags).collect();
        let new: Vec<&i64> = tags.difference(&before).collect();
        let entry = [Value::Integer(segment), Value::Integer(variant)];
        if !gone.is_empty() {
            let [segment, variant] = entry.clone();
            self.sql.exec(
                "DELETE FROM tagged WHERE segment = ? AND variant = ?
                    AND tag IN (SELECT value FROM json_each(?))",
                &[segment, variant, json(&gone)?],
            )?;
        }
        if !new.is_empty() {
            let [segment, variant] = entry;
            // One statement for all: JSON binds as one parameter.
            self.sql.exec(
                "INSERT OR IGNORE INTO tagged (segment, tag, variant)
                    SELECT ?, value, ? FROM json_each(?)",
                &[segment, variant, json(&new)?],
            )?;
        }
        self.fill_segment(segment, new.len() as i64 - gone.len() as i64)
    }

    /// Counts what a segment has more; when the one that is filled is full, the next one is: the
    /// emptiest, if it is not half full, or a new one.
    pub(super) fn fill_segment(&mut self, segment: i64, more: i64) -> Result<(), SqlError> {
        if more == 0 {
            return Ok(());
        }
        let entries = self.sql.exec(
            "INSERT INTO segment (id, entries) VALUES (?1, max(?2, 0))
                ON CONFLICT (id) DO UPDATE SET entries = max(entries + ?2, 0) RETURNING entries",
            &[Value::Integer(segment), Value::Integer(more)],
        )?;
        let entries = entries.first().map_or(Ok(0), |row| Row(row).unsigned(0))?;
        if entries == 0 && segment != self.state.segment {
            self.sql.exec(
                "DELETE FROM segment WHERE id = ?1
                    AND NOT EXISTS (SELECT 1 FROM tagged WHERE segment = ?1)",
                &[Value::Integer(segment)],
            )?;
        }
        if entries >= FULL && segment == self.state.segment {
            let next = self.sql.exec(
                "SELECT coalesce((SELECT id FROM segment WHERE entries < ?
                        ORDER BY entries, id LIMIT 1), (SELECT max(id) + 1 FROM segment))",
                &[number(FULL / 2)],
            )?;
            self.state.segment = next.first().map_or(Ok(segment), |row| Row(row).integer(0))?;
        }
        Ok(())
    }

    /// Makes these a variant's tags.
    pub(super) fn retag(&mut self, variant: &VariantRow, tags: &TagSet) -> Result<(), SqlError> {
        self.map_tags(variant.place(), &variant.tags, tags)?;
        self.sql.exec(
            "UPDATE variant SET tags = ? WHERE id = ?",
            &[json(tags)?, Value::Integer(variant.id)],
        )?;
        Ok(())
    }
}
