//! Both maps between tags and variants: a variant's row names its tags, and `tagged` finds the variants of a tag.
//!
//! `tagged` is kept by eras: stretches of numbers of variants. What a fill adds goes to the newest era alone, whichever
//! tags it has, and that one fits SQLite's page cache; a tag's variants are looked for in one era after the other
//! ([decision 0062](../../docs/decisions/0062-the-map-of-tags-grows-in-eras.md)).

use crate::sql::row::{Row, json};
use crate::sql::{Sql, SqlError, Value};
use crate::tag::{Tag, TagSet, Target};

use super::Work;
use super::rows::VariantRow;

/// Variants of an era. With ten tags each they take some 2 MB of `tagged`, as much as the platform's page cache holds.
pub(super) const ERA: i64 = 8_192;

/// The eras that have tags, from a given one on, oldest first: each is found from the one before, so that eras whose
/// variants are all forgotten cost nothing. FROM and CROSS JOIN keep this order, and so that of the variants.
macro_rules! eras {
    ($rest:literal) => {
        concat!(
            "WITH RECURSIVE eras (n) AS (SELECT min(era) FROM tagged WHERE era >= ?1
                UNION ALL SELECT (SELECT min(era) FROM tagged WHERE era > n) FROM eras
                    WHERE n IS NOT NULL) ",
            $rest
        )
    };
}
pub(super) use eras;

/// The era of a variant.
pub(super) const fn era(variant: i64) -> Value {
    Value::Integer(variant / ERA)
}

/// A tag's number in `tagged`: the upper 48 bits of its hash, which SQLite keeps in six bytes. Two tags that share it
/// are found together, which costs a refetch.
pub(super) fn tag_number(tag: &Tag) -> i64 {
    (Target::Tag(tag.clone()).hash().0 >> 16) as i64
}

/// Their numbers as one parameter.
fn numbers<'a>(tags: impl Iterator<Item = &'a Tag>) -> Result<Value, SqlError> {
    json(&tags.map(tag_number).collect::<Vec<_>>())
}

impl<S: Sql> Work<'_, S> {
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

    /// Those of these tags that some variant here may carry.
    pub(super) fn carried<'a>(&self, tags: &[&'a Tag]) -> Result<Vec<&'a Tag>, SqlError> {
        if tags.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.sql.exec(
            eras!(
                "SELECT value FROM json_each(?2) WHERE EXISTS
                    (SELECT 1 FROM eras CROSS JOIN tagged t WHERE t.era = n AND t.tag = value)"
            ),
            &[era(0), numbers(tags.iter().copied())?],
        )?;
        let found: Result<Vec<i64>, SqlError> =
            found.iter().map(|row| Row(row).integer(0)).collect();
        let found = found?;
        Ok(tags.iter().copied().filter(|tag| found.contains(&tag_number(tag))).collect())
    }

    /// Makes these a variant's tags in the map. Writes only what differs.
    pub(super) fn map_tags(
        &self,
        variant: i64,
        before: &TagSet,
        tags: &TagSet,
    ) -> Result<(), SqlError> {
        let mut gone = before.iter().filter(|tag| !tags.contains(tag)).peekable();
        if gone.peek().is_some() {
            self.sql.exec(
                "DELETE FROM tagged WHERE era = ? AND variant = ?
                    AND tag IN (SELECT value FROM json_each(?))",
                &[era(variant), Value::Integer(variant), numbers(gone)?],
            )?;
        }
        let mut new = tags.iter().filter(|tag| !before.contains(tag)).peekable();
        if new.peek().is_some() {
            // One statement for all: JSON binds as one parameter.
            self.sql.exec(
                "INSERT OR IGNORE INTO tagged (era, tag, variant)
                    SELECT ?, value, ? FROM json_each(?)",
                &[era(variant), Value::Integer(variant), numbers(new)?],
            )?;
        }
        Ok(())
    }

    /// Makes these a variant's tags.
    pub(super) fn retag(&self, variant: &VariantRow, tags: &TagSet) -> Result<(), SqlError> {
        self.map_tags(variant.id, &variant.tags, tags)?;
        self.sql.exec(
            "UPDATE variant SET tags = ? WHERE id = ?",
            &[json(tags)?, Value::Integer(variant.id)],
        )?;
        Ok(())
    }
}
