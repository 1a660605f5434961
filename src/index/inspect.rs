//! What the control API shows: pages, jobs, numbers.

use crate::base::sql::row::{Row, json, number, text};
use crate::base::sql::{Sql, SqlError, Value};
use crate::base::time::{Epoch, Millis, Timestamp};
use crate::cache::key::{CacheKey, KeyDigest};
use crate::cache::tag::Tag;

use super::answer::{JobProgress, PageInfo, Retrying, ShardStatus, VariantInfo, WarmFailure};
use super::rows::{past, url_number};
use super::tags::{TagPlace, tag_number};
use super::transaction::{ShardError, ShardTransaction};

/// Pages of one answer.
const MAX_PAGES: u32 = 1_000;
/// Pages of one URL: the extra parts of keys (cookies, device, language) multiply them.
const MAX_PAGES_OF_URL: u64 = 100;
/// What a count stops at: a scrape must not read all of a large shard.
pub const MAX_COUNTED: u64 = 10_000;
/// How long it counts that pages were not recorded: longer than most are kept.
pub(super) const UNRECORDED_KEPT: Millis = Millis(24 * 3_600_000);
/// Dead letters shown with a job.
const FAILURES_SHOWN: i64 = 20;

impl<S: Sql> ShardTransaction<'_, S> {
    pub(super) fn progress(&self, id: &str) -> Result<Option<JobProgress>, ShardError> {
        let rows = self.sql.exec(
            "SELECT epoch, pages, total, done, failed, superseded,
                    (SELECT count(*) FROM warm WHERE job = ?1 AND state = 0),
                    (SELECT count(*) FROM warm WHERE job = ?1 AND state = 1),
                    EXISTS (SELECT 1 FROM expand WHERE job = ?1)
                        OR EXISTS (SELECT 1 FROM import WHERE job = ?1 AND state IN (0, 1)),
                    changed, unchanged, ended
                FROM job WHERE id = ?1",
            &[text(id)],
        )?;
        let Some(row) = rows.first() else { return Ok(None) };
        let row = Row(row);
        let failed = row.unsigned(4)?;
        Ok(Some(JobProgress {
            epoch: row.epoch(0)?,
            pages: row.unsigned(1)?,
            total: row.unsigned(2)?,
            done: row.unsigned(3)?,
            failed,
            superseded: row.unsigned(5)?,
            queued: row.unsigned(6)?,
            running: row.unsigned(7)?,
            complete: !row.flag(8)?,
            ended: Some(row.timestamp(11)?).filter(|at| *at > Timestamp::ZERO),
            changed: row.unsigned(9)?,
            unchanged: row.unsigned(10)?,
            failures: if failed > 0 { self.failures(id)? } else { Vec::new() },
            retrying: self.retrying(id)?,
            unknown: self.unknown(),
        }))
    }

    /// The same of those of the jobs that are known here.
    pub(super) fn jobs(&self, ids: &[String]) -> Result<Vec<(String, JobProgress)>, ShardError> {
        let mut known = Vec::with_capacity(ids.len());
        for id in ids {
            known.extend(self.progress(id)?.map(|progress| (id.clone(), progress)));
        }
        Ok(known)
    }

    /// Pages of this shard that may be stored in colos alone: what isolates reported in a day.
    pub(super) fn unknown(&self) -> u64 {
        let recent = self.now.since(self.state.unrecorded_at) < UNRECORDED_KEPT;
        if recent { self.state.unrecorded } else { 0 }
    }

    /// What of a job has failed and will be tried again.
    fn retrying(&self, job: &str) -> Result<Option<Retrying>, SqlError> {
        let rows = self.sql.exec(
            "SELECT count(*) OVER (), attempts, reason, min(at) OVER () FROM (
                SELECT attempts, reason, not_before AS at FROM warm
                    WHERE job = ?1 AND state = 0 AND attempts > 0
                UNION ALL SELECT attempts, reason, not_before FROM import
                    WHERE job = ?1 AND state IN (0, 1) AND attempts > 0 AND reason <> '')
                ORDER BY attempts DESC, at LIMIT 0 + 1",
            &[text(job)],
        )?;
        let Some(row) = rows.first() else { return Ok(None) };
        let row = Row(row);
        Ok(Some(Retrying {
            pages: row.unsigned(0)?,
            attempts: row.small(1)?,
            reason: row.text(2)?.to_owned(),
            next_try: row.timestamp(3)?,
        }))
    }

    fn failures(&self, job: &str) -> Result<Vec<WarmFailure>, SqlError> {
        let rows = self.sql.exec(
            "SELECT coalesce(p.url, ''), d.reason, d.attempts, d.at FROM dead d
                    LEFT JOIN variant v ON v.id = d.variant LEFT JOIN page p ON p.id = v.page
                    WHERE d.job = ?1
                UNION ALL SELECT url, reason, attempts, at FROM import WHERE job = ?1 AND state = 2
                ORDER BY 4 LIMIT 0 + ?2",
            &[text(job), Value::Integer(FAILURES_SHOWN)],
        )?;
        rows.iter()
            .map(|row| {
                let row = Row(row);
                Ok(WarmFailure {
                    url: row.text(0)?.to_owned(),
                    reason: row.text(1)?.to_owned(),
                    attempts: row.small(2)?,
                    at: row.timestamp(3)?,
                })
            })
            .collect()
    }

    /// The pages of a tag, each at the first of its variants that carries it: in the order of the
    /// index, so that a part costs what it shows, however many pages there are. The cursor is a
    /// place in that index.
    pub(super) fn tag_pages(
        &self,
        tag: &Tag,
        cursor: Option<u64>,
        limit: u32,
    ) -> Result<(Vec<PageInfo>, Option<u64>), ShardError> {
        let limit = u64::from(limit.clamp(1, MAX_PAGES));
        let after = TagPlace::numbered(i64::try_from(cursor.unwrap_or(0)).unwrap_or(i64::MAX));
        let [segment, variant] = after.values();
        let rows = self.sql.exec(
            "SELECT v.page, (s.id << 36) + t.variant
                FROM segment s CROSS JOIN tagged t CROSS JOIN variant v
                WHERE s.id >= ?1 AND t.segment = s.id AND t.tag = ?3
                    AND t.variant > CASE s.id WHEN ?1 THEN ?2 ELSE 0 END AND v.id = t.variant
                    AND NOT EXISTS (SELECT 1 FROM variant e CROSS JOIN tagged u
                        WHERE e.page = v.page AND e.id < t.variant
                            AND u.segment = e.segment AND u.tag = t.tag AND u.variant = e.id)
                ORDER BY s.id, t.variant LIMIT 0 + ?4",
            &[segment, variant, Value::Integer(tag_number(tag)), number(limit)],
        )?;
        let last = rows.last().map(|row| Row(row).unsigned(1)).transpose()?;
        let cursor = last.filter(|_| rows.len() as u64 == limit);
        let mut pages = self.pages(&rows)?;
        // Those found by it have it in small letters only.
        pages.retain(|page| page.tags.iter().any(|stored| tag_number(stored) == tag_number(tag)));
        Ok((pages, cursor))
    }

    /// Whether each of these pages is known, or was asked for lately: what was is stored in some
    /// colo, maybe.
    pub(super) fn known(
        &self,
        keys: &[KeyDigest],
        urls: &[String],
    ) -> Result<Vec<bool>, ShardError> {
        let mut known = Vec::with_capacity(keys.len() + urls.len());
        if !keys.is_empty() {
            let digests: Vec<&str> = keys.iter().map(KeyDigest::as_str).collect();
            known.extend(self.sql.exec(
                "SELECT EXISTS (SELECT 1 FROM page WHERE digest = unhex(value))
                        OR EXISTS (SELECT 1 FROM lease WHERE variant = value)
                    FROM json_each(?) ORDER BY key",
                &[json(&digests)?],
            )?);
        }
        if !urls.is_empty() {
            let named: Vec<(&String, i64)> =
                urls.iter().map(|url| (url, url_number(url))).collect();
            known.extend(self.sql.exec(
                "SELECT EXISTS (SELECT 1 FROM page WHERE url = json_extract(value, '$[0]'))
                        OR EXISTS (SELECT 1 FROM lease_url WHERE url = json_extract(value, '$[1]'))
                    FROM json_each(?) ORDER BY key",
                &[json(&named)?],
            )?);
        }
        Ok(known.iter().map(|row| Row(row).flag(0)).collect::<Result<_, _>>()?)
    }

    pub(super) fn pages_by_url(&self, url: &str) -> Result<Vec<PageInfo>, ShardError> {
        let rows = self.sql.exec(
            "SELECT id FROM page WHERE url = ? ORDER BY id LIMIT 0 + ?",
            &[text(url), number(MAX_PAGES_OF_URL)],
        )?;
        Ok(self.pages(&rows)?)
    }

    /// What is known of these pages: two statements, however many they are. One that can't be read
    /// is left out, so that the others can be shown.
    fn pages(&self, ids: &[Vec<Value>]) -> Result<Vec<PageInfo>, SqlError> {
        let ids: Result<Vec<i64>, SqlError> = ids.iter().map(|row| Row(row).integer(0)).collect();
        let ids = [json(&ids?)?];
        let rows = self.sql.exec(
            "SELECT v.page, v.selection, v.status, v.stamp, v.fence, v.l2_key, v.stored_at,
                    v.fresh_until, v.keep_until, v.warmed_at, w.epoch, v.changed, v.unchanged,
                    v.past
                FROM page p JOIN variant v ON v.page = p.id LEFT JOIN warm w ON w.variant = v.id
                WHERE p.id IN (SELECT value FROM json_each(?)) ORDER BY p.id, v.id",
            &ids,
        )?;
        let mut variants = rows.as_slice();
        let pages = self.sql.exec(
            "SELECT id, page, key, vary, (SELECT json_group_array(t.value) FROM variant v,
                    json_each(CASE WHEN json_valid(v.tags) THEN v.tags ELSE '[]' END) t
                    WHERE v.page = page.id)
                FROM page WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
            &ids,
        )?;
        let shown = pages.iter().filter_map(|row| {
            let of_page =
                variants.iter().take_while(|variant| variant.first() == row.first()).count();
            let (of_page, rest) = variants.split_at(of_page);
            variants = rest;
            page_shown(Row(row), of_page).ok()
        });
        Ok(shown.collect())
    }

    pub(super) fn status(&self) -> Result<ShardStatus, ShardError> {
        let count = |what: &str| -> Result<u64, SqlError> {
            let query = format!("SELECT count(*) FROM (SELECT 1 FROM {what} LIMIT {MAX_COUNTED})");
            self.sql.exec(&query, &[])?.first().map_or(Ok(0), |row| Row(row).unsigned(0))
        };
        Ok(ShardStatus {
            seen: self.state.seen,
            pages: count("page")?,
            variants: count("variant")?,
            warms: count("warm")?,
            dead: count("dead")?,
            expanding: count("expand")?,
            importing: count("import WHERE state IN (0, 1)")?,
            damaged: self.state.damaged,
            bytes: self.sql.size(),
        })
    }
}

fn page_shown(row: Row<'_>, variants: &[Vec<Value>]) -> Result<PageInfo, SqlError> {
    Ok(PageInfo {
        page: row.json(1)?,
        key: CacheKey::from_stored(row.text(2)?.to_owned()),
        vary: row.json(3)?,
        tags: row.json(4)?,
        variants: variants.iter().map(|row| variant_shown(Row(row))).collect::<Result<_, _>>()?,
    })
}

fn variant_shown(row: Row<'_>) -> Result<VariantInfo, SqlError> {
    Ok(VariantInfo {
        selection: row.json(1)?,
        status: row.small(2)?,
        stamp: row.epoch(3)?,
        fence: row.unsigned(4)?,
        l2_key: row.maybe_text(5)?.map(str::to_owned),
        stored_at: row.timestamp(6)?,
        fresh_until: row.timestamp(7)?,
        keep_until: row.timestamp(8)?,
        warmed_at: row.maybe_integer(9)?.map(Timestamp::from_millis),
        warming: row.maybe_integer(10)?.map(|epoch| Epoch(epoch.unsigned_abs())),
        changed: row.unsigned(11)?,
        unchanged: row.unsigned(12)?,
        past: past(row.text(13)?),
    })
}
