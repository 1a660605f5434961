//! Both maps between tags and variants.

use crate::sql::row::{Row, marks, row_marks, text};
use crate::sql::{MAX_PARAMETERS, Sql, SqlError, Value};
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
        let gone = names_without(&before, tags);
        let new = names_without(tags, &before);
        for chunk in gone.chunks(MAX_PARAMETERS - 1) {
            let statement = format!(
                "DELETE FROM tagged WHERE variant = ?
                    AND tag IN (SELECT id FROM tag WHERE name IN ({}))",
                marks(chunk.len())
            );
            self.sql.exec(&statement, &with_first(variant, chunk))?;
        }
        for chunk in new.chunks(MAX_PARAMETERS - 1) {
            let names =
                format!("INSERT OR IGNORE INTO tag (name) VALUES {}", row_marks(chunk.len(), 1));
            self.sql.exec(&names, chunk)?;
            let statement = format!(
                "INSERT OR IGNORE INTO tagged (variant, tag)
                    SELECT ?, id FROM tag WHERE name IN ({})",
                marks(chunk.len())
            );
            self.sql.exec(&statement, &with_first(variant, chunk))?;
        }
        self.drop_unused(&gone)
    }

    /// Takes all tags off a variant.
    pub(super) fn untag(&self, variant: i64) -> Result<(), SqlError> {
        self.set_tags(variant, &TagSet::default())
    }

    /// Forgets those of the names that no variant carries any more.
    fn drop_unused(&self, names: &[Value]) -> Result<(), SqlError> {
        for chunk in names.chunks(MAX_PARAMETERS) {
            let statement = format!(
                "DELETE FROM tag WHERE name IN ({})
                    AND NOT EXISTS (SELECT 1 FROM tagged WHERE tagged.tag = tag.id)",
                marks(chunk.len())
            );
            self.sql.exec(&statement, chunk)?;
        }
        Ok(())
    }
}

/// The names of the tags that are not among the others.
fn names_without(tags: &TagSet, others: &TagSet) -> Vec<Value> {
    tags.iter().filter(|tag| !others.contains(tag)).map(|tag| text(tag.as_str())).collect()
}

fn with_first(first: i64, rest: &[Value]) -> Vec<Value> {
    std::iter::once(Value::Integer(first)).chain(rest.iter().cloned()).collect()
}
