//! Both maps between tags and variants.

use crate::sql::row::{Row, json};
use crate::sql::{Sql, SqlError, Value};
use crate::tag::{Tag, TagSet};

use super::Work;

impl<S: Sql> Work<'_, S> {
    /// A variant's own tags; if it has none, those of all variants of its page (`inherit_tags`).
    pub(super) fn known_tags(&self, page: i64, variant: Option<i64>) -> Result<TagSet, SqlError> {
        if let Some(variant) = variant {
            let own = self.tags_where("t.variant = ?", variant)?;
            if !own.is_empty() {
                return Ok(own);
            }
        }
        self.tags_where("t.variant IN (SELECT id FROM variant WHERE page = ?)", page)
    }

    pub(super) fn tags_of(&self, variant: i64) -> Result<TagSet, SqlError> {
        self.tags_where("t.variant = ?", variant)
    }

    fn tags_where(&self, condition: &'static str, id: i64) -> Result<TagSet, SqlError> {
        let query = format!(
            "SELECT DISTINCT n.name FROM tagged t JOIN tag n ON n.id = t.tag WHERE {condition}"
        );
        self.sql
            .exec(&query, &[Value::Integer(id)])?
            .iter()
            .map(|row| {
                Tag::parse(Row(row).text(0)?)
                    .map_err(|error| SqlError::Damaged(format!("a stored tag: {error}")))
            })
            .collect()
    }

    /// Makes these a variant's tags. Writes only what differs.
    pub(super) fn set_tags(&self, variant: i64, tags: &TagSet) -> Result<(), SqlError> {
        let before = self.tags_of(variant)?;
        let gone = without(&before, tags);
        if !gone.is_empty() {
            let gone = json(&gone)?;
            self.sql.exec(
                "DELETE FROM tagged WHERE variant = ? AND tag IN
                    (SELECT id FROM tag WHERE name IN (SELECT value FROM json_each(?)))",
                &[Value::Integer(variant), gone.clone()],
            )?;
            // Names that no variant carries any more are forgotten.
            self.sql.exec(
                "DELETE FROM tag WHERE name IN (SELECT value FROM json_each(?))
                    AND NOT EXISTS (SELECT 1 FROM tagged WHERE tagged.tag = tag.id)",
                &[gone],
            )?;
        }
        self.add_tags(variant, &without(tags, &before))
    }

    /// Gives a variant tags that it has not.
    pub(super) fn add_tags(&self, variant: i64, tags: &TagSet) -> Result<(), SqlError> {
        if tags.is_empty() {
            return Ok(());
        }
        // One statement for all: JSON binds as one parameter.
        let names = json(tags)?;
        self.sql.exec(
            "INSERT OR IGNORE INTO tag (name) SELECT value FROM json_each(?)",
            std::slice::from_ref(&names),
        )?;
        self.sql.exec(
            "INSERT OR IGNORE INTO tagged (tag, variant)
                SELECT id, ? FROM tag WHERE name IN (SELECT value FROM json_each(?))",
            &[Value::Integer(variant), names],
        )?;
        Ok(())
    }

    /// Takes all tags off a variant.
    pub(super) fn untag(&self, variant: i64) -> Result<(), SqlError> {
        self.set_tags(variant, &TagSet::default())
    }
}

/// The tags that are not among the others.
fn without(tags: &TagSet, others: &TagSet) -> TagSet {
    tags.iter().filter(|tag| !others.contains(tag)).cloned().collect()
}
