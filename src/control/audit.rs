//! What audits have found: what a call asks for, and the JSON of its answer.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::time::Timestamp;
use crate::cache::audit::{Difference, LikelyCause};
use crate::journal::audit::{AuditReply, AuditRequest, FindingsCursor, FoundPage, Group};
use crate::journal::report::Counts;

use super::metrics::{Counter, Metrics};
use super::problem::{Problem, ProblemKind};
use super::query::Query;

/// What no figure has.
const NOTE: &str = "A share of the hits is audited: that nothing was found proves nothing of the \
    others. Pages that nobody asks for, and answers that are not stored, are never audited.";

/// The family of what audits came to.
const AUDITS: &str = "edge_isr_audits_total|outcome|";
/// The family of how long pages were out of date.
const STALE: &str = "edge_isr_audit_stale_pages_total|within|";

/// What the journal is asked for a call of `audit`.
pub(super) fn parse(query: &Query) -> Result<AuditRequest, Problem> {
    query.only(&["cursor", "limit"])?;
    let paging = query.paging()?;
    let before = paging.cursor.as_deref().map(place).transpose()?;
    Ok(AuditRequest { before, limit: paging.limit })
}

fn place(cursor: &str) -> Result<FindingsCursor, Problem> {
    let parts = cursor.split_once('.').and_then(|(at, page)| {
        let digits = at.len() <= 15 && at.bytes().all(|byte| byte.is_ascii_digit());
        let at = at.parse::<i64>().ok().filter(|_| digits)?;
        Some(FindingsCursor { at: Timestamp::from_millis(at), page: page.to_owned() })
    });
    parts.ok_or_else(|| {
        let detail = "cursor is what the last answer gave as next.";
        Problem::new(ProblemKind::InvalidValue, detail).at("cursor")
    })
}

/// The answer to `audit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditAnswer {
    /// What was found, newest first.
    pub findings: Vec<FindingAnswer>,
    /// All that is kept, by route and tag: what many share first.
    pub groups: Vec<Group>,
    /// What audits came to since the site's figures began, by outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Pages that were out of date, by the time since which they may have been.
    pub stale_within: BTreeMap<&'static str, u64>,
    /// Hits in the same time, audited or not.
    pub hits: u64,
    /// What to give as `cursor` for older findings; none at the end.
    pub next: Option<String>,
    /// What is not in it.
    pub note: &'static str,
}

/// A page that changed without an invalidation, or differs at every render.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FindingAnswer {
    /// Its URL.
    pub url: String,
    /// What selects the variant: names and values.
    pub vary: Vec<(String, String)>,
    /// The path of the route's rule.
    pub route: String,
    /// When what was wrong was fetched, in milliseconds since the Unix epoch.
    pub stored_at: Timestamp,
    /// When it was found last.
    pub found_at: Timestamp,
    /// When the page was found first.
    pub first_found_at: Timestamp,
    /// How often.
    pub times: u64,
    /// Where it was found last.
    pub colo: String,
    /// What probably went wrong.
    pub cause: LikelyCause,
    /// The same in a sentence, with what to do.
    pub explanation: &'static str,
    /// Tags of what was stored.
    pub tags: Vec<String>,
    /// Tags of what the origin gives.
    pub fresh_tags: Vec<String>,
    /// In what they differ.
    pub difference: Difference,
}

impl AuditAnswer {
    /// Of what the journal says: findings, and all that was ever counted.
    #[must_use]
    pub fn of(reply: AuditReply, all: &Counts) -> Self {
        let counted = |family: &str, counters: &[Counter]| {
            let of = |counter: &Counter| {
                let name = Metrics::name(*counter);
                (name, all.counters.get(&format!("{family}{name}")).copied().unwrap_or_default())
            };
            counters.iter().map(of).collect()
        };
        let hit = Metrics::name(Counter::Hit);
        let hits = all.kinds.iter().filter(|(kind, _)| kind.result == hit);
        Self {
            findings: reply.rows.into_iter().map(FindingAnswer::of).collect(),
            groups: reply.groups,
            outcomes: counted(
                AUDITS,
                &[
                    Counter::AuditSame,
                    Counter::AuditStale,
                    Counter::AuditEveryRender,
                    Counter::AuditOvertaken,
                    Counter::AuditPutOff,
                    Counter::AuditNotComparable,
                ],
            ),
            stale_within: counted(
                STALE,
                &[
                    Counter::AuditStaleMinute,
                    Counter::AuditStaleHour,
                    Counter::AuditStaleDay,
                    Counter::AuditStaleLonger,
                ],
            ),
            hits: hits.map(|(_, sum)| sum.requests).sum(),
            next: reply.next.map(|before| format!("{}.{}", before.at.as_millis(), before.page)),
            note: NOTE,
        }
    }
}

impl FindingAnswer {
    fn of(found: FoundPage) -> Self {
        let FoundPage { finding, first_at, times } = found;
        Self {
            url: finding.url,
            vary: finding.vary,
            route: finding.route,
            stored_at: finding.stored_at,
            found_at: finding.found_at,
            first_found_at: first_at,
            times,
            colo: finding.colo,
            cause: finding.cause,
            explanation: finding.cause.sentence(),
            tags: finding.tags,
            fresh_tags: finding.fresh_tags,
            difference: finding.difference,
        }
    }
}
