//! Rows that can't be read: each is taken out alone, so that none holds up the others.
//!
//! The schema is ours and every value was written by us, so a damaged row means a fault of the
//! disk, of another version, or of ours. Nothing stale follows from it: what is out of date is the
//! journal's to say. A damaged page is forgotten and recorded anew by its next fill; a damaged
//! warm is a dead letter. They are counted, for the operator to see.

use crate::base::sql::row::{Row, text};
use crate::base::sql::{Sql, SqlError, Value};
use crate::cache::key::CacheKey;

use super::transaction::{ShardError, ShardTransaction};

/// The reason of such a dead letter.
pub(super) const DAMAGED: &str = "a stored row is damaged";

/// Whether it is one row's damage, and not the database's refusal.
pub(super) const fn is_damage(error: &ShardError) -> bool {
    match error {
        ShardError::Sql(SqlError::Damaged(_)) => true,
        ShardError::Sql(SqlError::Refused(_)) => false,
    }
}

impl<S: Sql> ShardTransaction<'_, S> {
    /// Goes on without a damaged row: `without` takes it out.
    pub(super) fn repaired<T: Default>(
        &mut self,
        done: Result<T, ShardError>,
        without: impl FnOnce(&mut Self) -> Result<(), ShardError>,
    ) -> Result<T, ShardError> {
        match done {
            Err(error) if is_damage(&error) => {
                self.state.damaged += 1;
                without(self)?;
                Ok(T::default())
            }
            other => other,
        }
    }

    /// Forgets a page without reading it.
    pub(super) fn drop_damaged(&mut self, key: &CacheKey) -> Result<(), ShardError> {
        self.state.damaged += 1;
        let page = key.digest();
        let variants = self.sql.exec(
            "SELECT id FROM variant WHERE page = (SELECT id FROM page WHERE digest = unhex(?))",
            &[text(page.as_str())],
        )?;
        for row in &variants {
            self.drop_damaged_variant(Row(row).integer(0)?)?;
        }
        self.sql.exec("DELETE FROM page WHERE digest = unhex(?)", &[text(page.as_str())])?;
        Ok(())
    }

    /// Forgets the page of a variant without reading it.
    pub(super) fn drop_damaged_page_of(&mut self, variant: i64) -> Result<(), ShardError> {
        let id = [Value::Integer(variant)];
        let pages = self.sql.exec("SELECT page FROM variant WHERE id = ?", &id)?;
        self.drop_damaged_variant(variant)?;
        pages.iter().try_for_each(|page| self.drop_damaged_page(page))
    }

    /// Forgets a page, by its number, without reading it.
    pub(super) fn drop_damaged_page(&mut self, page: &[Value]) -> Result<(), ShardError> {
        for row in &self.sql.exec("SELECT id FROM variant WHERE page = ?", page)? {
            self.drop_damaged_variant(Row(row).integer(0)?)?;
        }
        self.sql.exec("DELETE FROM page WHERE id = ?", page)?;
        Ok(())
    }

    /// Forgets a variant without reading it; a queued warm of it is a dead letter.
    pub(super) fn drop_damaged_variant(&mut self, variant: i64) -> Result<(), ShardError> {
        self.dead_letter(variant, DAMAGED)?;
        let id = [Value::Integer(variant)];
        // All of the segment is looked at: which tags it had can't be read.
        let gone = self.sql.exec(
            "DELETE FROM tagged WHERE variant = ?1
                AND segment IN (SELECT s.id FROM segment s, variant v WHERE v.id = ?1
                    AND (s.id = v.segment OR typeof(v.segment) <> 'integer')) RETURNING segment",
            &id,
        )?;
        if let Some(row) = gone.first() {
            self.fill_segment(Row(row).integer(0)?, -(gone.len() as i64))?;
        }
        self.sql.exec("DELETE FROM variant WHERE id = ?", &id)?;
        Ok(())
    }
}
