//! What audits have found: pages that changed at the origin without an invalidation.
//!
//! A page, in one of its variants, has one row: found once more it is counted there, with what was
//! found last. The newest [`MAX_FINDINGS`] are kept, for `KEPT`. Whoever finds something reports
//! it in a call of its own, because it is rare: a budget bounds it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::sql::row::{Row, json, number, text, timestamp};
use crate::base::sql::{Sql, SqlError};
use crate::base::time::{Millis, Timestamp};
use crate::cache::audit::{Difference, LikelyCause};

use super::state::JournalError;

/// The most findings that are kept.
pub const MAX_FINDINGS: u64 = 500;
/// How long a finding is kept.
const KEPT: Millis = Millis(90 * 24 * 3_600_000);
/// The most groups in one answer.
const MAX_GROUPS: usize = 100;
/// Findings in one answer.
const MAX_ROWS: u32 = 1_000;
/// The longest name of a page.
const MAX_PAGE_BYTES: usize = 100;
/// The largest finding, in bytes of JSON.
const MAX_FINDING_BYTES: usize = 32 << 10;

/// A page that changed without an invalidation, or differs at every render.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The digest of its variant's key.
    pub page: String,
    /// Its URL.
    pub url: String,
    /// What selects the variant: names and values.
    #[serde(default)]
    pub vary: Vec<(String, String)>,
    /// The path of the route's rule; `/*` for the defaults.
    #[serde(default)]
    pub route: String,
    /// When what is wrong was fetched: it may be wrong since then.
    pub stored_at: Timestamp,
    /// When it was found.
    pub found_at: Timestamp,
    /// Where.
    #[serde(default)]
    pub colo: String,
    /// What probably went wrong.
    pub cause: LikelyCause,
    /// The tags of what was stored.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The tags of what the origin gives.
    #[serde(default)]
    pub fresh_tags: Vec<String>,
    /// In what they differ.
    #[serde(default)]
    pub difference: Difference,
}

/// Asks what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRequest {
    /// Found before this one; none for the newest.
    #[serde(default)]
    pub before: Option<FindingsCursor>,
    /// The most rows wanted.
    #[serde(default)]
    pub limit: u32,
}

/// A place in the list of findings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingsCursor {
    /// When it was found last.
    pub at: Timestamp,
    /// Its page.
    pub page: String,
}

/// What was found, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReply {
    /// The findings.
    #[serde(default)]
    pub rows: Vec<FoundPage>,
    /// Where the next part begins; none at the end.
    #[serde(default)]
    pub next: Option<FindingsCursor>,
    /// All findings by route and tag.
    #[serde(default)]
    pub groups: Vec<Group>,
}

/// A finding, and how often it was one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundPage {
    /// As it was found last.
    pub finding: Finding,
    /// When the page was found first.
    pub first_at: Timestamp,
    /// How often.
    pub times: u64,
}

/// Findings of one route that share a tag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The path of the route's rule.
    pub route: String,
    /// The tag; none for pages without.
    #[serde(default)]
    pub tag: Option<String>,
    /// Pages that were out of date.
    #[serde(default)]
    pub stale: u64,
    /// Pages that differ at every render.
    #[serde(default)]
    pub every_render: u64,
    /// When the latest was found.
    pub latest: Timestamp,
}

/// Notes a finding.
pub(super) fn note<S: Sql>(sql: &S, finding: &Finding, now: Timestamp) -> Result<(), JournalError> {
    let row = json(finding)?;
    let too_long = matches!(&row, crate::base::sql::Value::Text(text)
        if text.len() > MAX_FINDING_BYTES);
    if too_long || finding.page.is_empty() || finding.page.len() > MAX_PAGE_BYTES {
        return Ok(());
    }
    sql.transaction(|| {
        sql.exec(
            "INSERT INTO finding (page, at, first_at, times, finding) VALUES (?1, ?2, ?2, 1, ?3)
                ON CONFLICT (page) DO UPDATE SET at = max(at, excluded.at),
                    times = times + 1, finding = excluded.finding",
            &[text(&finding.page), timestamp(now), row.clone()],
        )?;
        sql.exec("DELETE FROM finding WHERE at < ?", &[timestamp(now.minus(KEPT))])?;
        sql.exec(
            "DELETE FROM finding WHERE page IN (SELECT page FROM finding
                ORDER BY at DESC, page DESC LIMIT -1 OFFSET 0 + ?)",
            &[number(MAX_FINDINGS)],
        )?;
        Ok::<_, SqlError>(())
    })?;
    Ok(())
}

/// What was found.
pub(super) fn read<S: Sql>(sql: &S, request: &AuditRequest) -> Result<AuditReply, JournalError> {
    let limit = request.limit.clamp(1, MAX_ROWS) as usize;
    let rows = sql.exec(
        "SELECT page, at, first_at, times, finding FROM finding ORDER BY at DESC, page DESC",
        &[],
    )?;
    // One that can't be read, as of a later version, is left out, so that the others are shown.
    let all: Vec<(FindingsCursor, FoundPage)> =
        rows.iter().filter_map(|row| found(Row(row)).ok()).collect();
    let groups = groups(&all);
    let is_older = |place: &FindingsCursor| match &request.before {
        None => true,
        Some(before) => (place.at, &place.page) < (before.at, &before.page),
    };
    let mut older = all.into_iter().filter(|(place, _)| is_older(place));
    let shown: Vec<(FindingsCursor, FoundPage)> = older.by_ref().take(limit).collect();
    let next = older.next().and_then(|_| shown.last().map(|(place, _)| place.clone()));
    Ok(AuditReply { rows: shown.into_iter().map(|(_, found)| found).collect(), next, groups })
}

fn found(row: Row<'_>) -> Result<(FindingsCursor, FoundPage), SqlError> {
    let place = FindingsCursor { page: row.text(0)?.to_owned(), at: row.timestamp(1)? };
    let finding: Finding = row.json(4)?;
    Ok((place, FoundPage { finding, first_at: row.timestamp(2)?, times: row.unsigned(3)? }))
}

/// The findings by route and tag, those that many share first.
fn groups(all: &[(FindingsCursor, FoundPage)]) -> Vec<Group> {
    let mut groups: BTreeMap<(&str, Option<&str>), Group> = BTreeMap::new();
    for (place, FoundPage { finding, .. }) in all {
        let mut tags: Vec<Option<&str>> =
            finding.tags.iter().chain(&finding.fresh_tags).map(|tag| Some(tag.as_str())).collect();
        tags.sort_unstable();
        tags.dedup();
        if tags.is_empty() {
            tags.push(None);
        }
        for tag in tags {
            let group = groups.entry((finding.route.as_str(), tag)).or_default();
            match finding.cause {
                LikelyCause::DiffersAtEveryRender => group.every_render += 1,
                LikelyCause::Untagged
                | LikelyCause::OtherTags
                | LikelyCause::SameTags
                | LikelyCause::NotStored => {
                    group.stale += 1;
                }
            }
            group.latest = group.latest.max(place.at);
        }
    }
    let mut groups: Vec<Group> = groups
        .into_iter()
        .map(|((route, tag), group)| Group {
            route: route.to_owned(),
            tag: tag.map(str::to_owned),
            ..group
        })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse((group.stale, group.every_render, group.latest)));
    groups.truncate(MAX_GROUPS);
    groups
}
