//! Sitemaps on their way into the queue: files to be read, and the addresses they list.
//!
//! A file is read whole before any of its pages is queued: one that breaks off lists nothing. Its
//! addresses stand here until their shards have taken them, so that a restart loses none; the next
//! file is read when those of the one before are gone, so that there are never more than one
//! file's. Tries are counted when they begin.

use crate::base::sql::row::{Row, epoch, json, marks, number, text, timestamp};
use crate::base::sql::{MAX_PARAMETERS, Sql, SqlError, Value};
use crate::base::time::{Epoch, Millis, Timestamp};
use crate::index::sitemap::SitemapKind;
use crate::index::warm::retry_of;

use super::damage::DAMAGED;
use super::import_work::{BadEntries, ImportNews, ImportTask, Listed, SitemapFile};
use super::message::WarmRequest;
use super::transaction::{ShardError, ShardTransaction};

/// Addresses handed out at once.
const HANDED_OUT: i64 = 200;
/// How long a try of a file may take before it counts as lost.
pub(super) const TRY_TIMEOUT: Millis = Millis(60_000);
/// The pause after a shard did not take its addresses.
const PAUSE: Millis = Millis(5_000);
/// Refused addresses of one job that are shown.
const MAX_SHOWN: i64 = 20;

impl<S: Sql> ShardTransaction<'_, S> {
    /// Queues a sitemap.
    pub(super) fn import(&mut self, request: &WarmRequest) -> Result<(), ShardError> {
        let (job, url) = (request.job.as_str(), request.page.url());
        self.ensure_job(job, self.state.seen)?;
        self.sql.exec(
            "INSERT OR IGNORE
                INTO import (job, url, nested, state, attempts, not_before, reason, at)
                VALUES (?, ?, 0, 0, 0, ?, '', ?)",
            &[text(job), text(&url), timestamp(self.now), timestamp(self.now)],
        )?;
        Ok(())
    }

    /// What is to be done for imports now.
    pub(super) fn take_import(&mut self) -> Result<Option<ImportTask>, ShardError> {
        let rows = self.sql.exec(
            "SELECT id, job, url, nested, not_before
                FROM import WHERE state = 1 ORDER BY id LIMIT 1",
            &[],
        )?;
        if let Some(row) = rows.first() {
            let row = Row(row);
            if row.timestamp(4)? > self.now {
                return Ok(None);
            }
            let file = file_of(row)?;
            let listed = self.sql.exec(
                "SELECT id, url FROM import_url WHERE import = ? ORDER BY id LIMIT 0 + ?",
                &[Value::Integer(file.id), Value::Integer(HANDED_OUT)],
            )?;
            let mut pages = Vec::with_capacity(listed.len());
            for row in &listed {
                let row = Row(row);
                pages.push(Listed { id: row.integer(0)?, url: row.text(1)?.to_owned() });
            }
            return Ok(Some(ImportTask::HandOut { file, pages }));
        }
        let rows = self.sql.exec(
            "SELECT id, job, url, nested, attempts FROM import
                WHERE state = 0 AND not_before <= ? ORDER BY not_before, id LIMIT 1",
            &[timestamp(self.now)],
        )?;
        let Some(row) = rows.first() else { return Ok(None) };
        let id = Row(row).integer(0)?;
        let taken = self.take_file(Row(row));
        self.repaired(taken, |work| work.give_up_import(id, DAMAGED))
    }

    fn take_file(&mut self, row: Row<'_>) -> Result<Option<ImportTask>, ShardError> {
        let file = file_of(row)?;
        let attempts: u32 = row.small(4)?;
        if attempts >= self.config.warm_attempts {
            self.give_up_import(file.id, "its tries began but never ended")?;
            return Ok(None);
        }
        self.drop_listed(file.id)?;
        self.sql.exec(
            "UPDATE import SET attempts = attempts + 1, not_before = ? WHERE id = ?",
            &[timestamp(self.now.plus(TRY_TIMEOUT)), Value::Integer(file.id)],
        )?;
        Ok(Some(ImportTask::Read(file)))
    }

    /// Notes what came of a part of an import.
    pub(super) fn note_import(
        &mut self,
        file: &SitemapFile,
        news: &ImportNews,
    ) -> Result<(), ShardError> {
        match news {
            ImportNews::Lists(urls) => self.list(file.id, urls),
            ImportNews::Read { kind, bad } => self.import_read(file, *kind, bad),
            ImportNews::Failed { reason, again } => self.import_failed(file.id, reason, *again),
            ImportNews::HandedOut { taken, refused, failed } => {
                self.handed_out(file, taken, refused, *failed)
            }
        }
    }

    /// Notes some of the addresses that a file lists.
    fn list(&self, file: i64, urls: &[String]) -> Result<(), ShardError> {
        // One statement for all: JSON binds as one parameter.
        self.sql.exec(
            "INSERT INTO import_url (import, url) SELECT ?, value FROM json_each(?)",
            &[Value::Integer(file), json(&urls)?],
        )?;
        Ok(())
    }

    /// A file was read to its end. An index's addresses are files of their own.
    fn import_read(
        &self,
        file: &SitemapFile,
        kind: SitemapKind,
        bad: &BadEntries,
    ) -> Result<(), ShardError> {
        let id = Value::Integer(file.id);
        if kind == SitemapKind::Sitemaps {
            self.sql.exec(
                "INSERT OR IGNORE INTO import
                        (job, url, nested, state, attempts, not_before, reason, at)
                    SELECT i.job, u.url, 1, 0, 0, ?, '', ? FROM import_url u
                        JOIN import i ON i.id = u.import WHERE u.import = ? ORDER BY u.id",
                &[timestamp(self.now), timestamp(self.now), id.clone()],
            )?;
            self.drop_listed(file.id)?;
        }
        for (entry, reason) in &bad.shown {
            self.show_refused(&file.job, &format!("{}#entry-{entry}", file.url), reason)?;
        }
        self.count_failed(&file.job, bad.count)?;
        self.sql.exec("UPDATE import SET state = 1, not_before = 0 WHERE id = ?", &[id])?;
        Ok(())
    }

    /// A try of a file failed; again: another may succeed.
    fn import_failed(&mut self, file: i64, reason: &str, again: bool) -> Result<(), ShardError> {
        let rows = self.sql.exec(
            "SELECT attempts, url FROM import WHERE id = ? AND state = 0",
            &[Value::Integer(file)],
        )?;
        let Some(row) = rows.first() else { return Ok(()) };
        let attempts: u32 = Row(row).small(0)?;
        let most = self.config.warm_attempts;
        match retry_of(Row(row).text(1)?, attempts, most, self.now).filter(|_| again) {
            Some(at) => {
                self.drop_listed(file)?;
                self.sql.exec(
                    "UPDATE import SET not_before = ?, reason = ? WHERE id = ?",
                    &[timestamp(at), text(reason), Value::Integer(file)],
                )?;
                Ok(())
            }
            None => self.give_up_import(file, reason),
        }
    }

    fn give_up_import(&self, file: i64, reason: &str) -> Result<(), ShardError> {
        self.drop_listed(file)?;
        let ended = self.sql.exec(
            "UPDATE import SET state = 2, reason = ?, at = ? WHERE id = ? RETURNING job",
            &[text(reason), timestamp(self.now), Value::Integer(file)],
        )?;
        match ended.first().map(|row| Row(row).text(0)) {
            Some(Ok(job)) => self.count_failed(job, 1),
            // Whose it was can't be read.
            Some(Err(_)) | None => Ok(()),
        }
    }

    /// Shards have taken these addresses, or nobody will (`refused`, with the reason of each). The
    /// others of the file wait a little if there was a failure.
    fn handed_out(
        &self,
        file: &SitemapFile,
        taken: &[i64],
        refused: &[(Listed, &'static str)],
        failed: bool,
    ) -> Result<(), ShardError> {
        let ids: Vec<Value> = taken
            .iter()
            .copied()
            .chain(refused.iter().map(|(page, _)| page.id))
            .map(Value::Integer)
            .collect();
        for chunk in ids.chunks(MAX_PARAMETERS) {
            let statement = format!("DELETE FROM import_url WHERE id IN ({})", marks(chunk.len()));
            self.sql.exec(&statement, chunk)?;
        }
        for (page, reason) in refused {
            self.show_refused(&file.job, &page.url, reason)?;
        }
        self.count_failed(&file.job, refused.len() as u64)?;
        let id = Value::Integer(file.id);
        let not_before = if failed { self.now.plus(PAUSE) } else { Timestamp::ZERO };
        self.sql.exec(
            "UPDATE import SET not_before = ?2, state = CASE WHEN EXISTS
                    (SELECT 1 FROM import_url WHERE import = ?1) THEN 1 ELSE 3 END WHERE id = ?1",
            &[id, timestamp(not_before)],
        )?;
        Ok(())
    }

    /// Shows an entry that nobody will warm with its job, unless enough are shown.
    fn show_refused(&self, job: &str, entry: &str, reason: &str) -> Result<(), ShardError> {
        self.sql.exec(
            "INSERT OR IGNORE INTO import
                    (job, url, nested, state, attempts, not_before, reason, at)
                SELECT ?1, ?2, -1, 2, 1, 0, ?3, ?4 WHERE ?5 >
                    (SELECT count(*) FROM import WHERE job = ?1 AND nested = -1)",
            &[text(job), text(entry), text(reason), timestamp(self.now), Value::Integer(MAX_SHOWN)],
        )?;
        Ok(())
    }

    /// Reads a job's failed files again. What they list wrongly stays refused.
    pub(super) fn replay_imports(&self, job: &str) -> Result<u64, ShardError> {
        let again = self.sql.exec(
            "UPDATE import SET state = 0, attempts = 0, not_before = ?, reason = ''
                WHERE job = ? AND state = 2 AND nested >= 0 RETURNING id",
            &[timestamp(self.now), text(job)],
        )?;
        let count = again.len() as u64;
        // They are counted anew.
        self.sql.exec(
            "UPDATE job SET failed = max(failed - ?1, 0), total = max(total - ?1, 0) WHERE id = ?2",
            &[number(count), text(job)],
        )?;
        Ok(count)
    }

    pub(super) fn ensure_job(&self, job: &str, seen: Epoch) -> Result<(), ShardError> {
        self.sql.exec(
            "INSERT OR IGNORE INTO job (id, epoch, pages, total, done, failed, superseded, at)
                VALUES (?, ?, 0, 0, 0, 0, 0, ?)",
            &[text(job), epoch(seen), timestamp(self.now)],
        )?;
        Ok(())
    }

    fn count_failed(&self, job: &str, count: u64) -> Result<(), ShardError> {
        self.bump(job, "total", count)?;
        self.bump(job, "failed", count)
    }

    fn drop_listed(&self, file: i64) -> Result<(), ShardError> {
        self.sql.exec("DELETE FROM import_url WHERE import = ?", &[Value::Integer(file)])?;
        Ok(())
    }
}

fn file_of(row: Row<'_>) -> Result<SitemapFile, SqlError> {
    Ok(SitemapFile {
        id: row.integer(0)?,
        job: row.text(1)?.to_owned(),
        url: row.text(2)?.to_owned(),
        nested: row.flag(3)?,
    })
}
