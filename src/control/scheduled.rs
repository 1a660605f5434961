//! Invalidations at a time: what calls ask for, and the JSON of their answers.

use serde::Serialize;

use crate::base::time::Timestamp;
use crate::journal::Mode;
use crate::journal::schedule_message::{ScheduleReply, ScheduleRequest, ScheduledRow};

use super::history::NamedTargets;
use super::problem::{Problem, ProblemKind};
use super::query::Query;

/// What the journal is asked for a call of `scheduled`.
pub(super) fn parse(query: &Query) -> Result<ScheduleRequest, Problem> {
    query.only(&["cursor", "limit"])?;
    let paging = query.paging()?;
    let after = paging.cursor.as_deref().map(place).transpose()?;
    Ok(ScheduleRequest { after, limit: paging.limit })
}

fn place(cursor: &str) -> Result<(Timestamp, String), Problem> {
    let parts = cursor.split_once('.').and_then(|(at, id)| {
        let digits = at.len() <= 15 && at.bytes().all(|byte| byte.is_ascii_digit());
        let at = at.parse().ok().filter(|_| digits)?;
        Some((Timestamp::from_millis(at), id.to_owned()))
    });
    parts.ok_or_else(|| {
        let detail = "cursor is what the last answer gave as next.";
        Problem::new(ProblemKind::InvalidValue, detail).at("cursor")
    })
}

/// The answer to an invalidation at a time: 202.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AcceptedSchedule {
    /// Its id: the webhook's, or one that was given. Its job has the same.
    pub id: String,
    /// When it will be done, in milliseconds since the Unix epoch.
    pub at: Timestamp,
    /// `scheduled`, or `cancelled` where it was before.
    pub state: &'static str,
    /// Set if this id was delivered before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// What was widened.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The answer to `scheduled`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScheduledAnswer {
    /// What waits, the next first.
    pub scheduled: Vec<ScheduledInvalidation>,
    /// What to give as `cursor` for the next part; none at the end.
    pub next: Option<String>,
}

/// An invalidation that waits for its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScheduledInvalidation {
    /// Its id.
    pub id: String,
    /// When it will be done, in milliseconds since the Unix epoch.
    pub at: Timestamp,
    /// When it was requested.
    pub requested: Timestamp,
    /// Who asked.
    pub caller: String,
    /// Through which API.
    pub via: String,
    /// The caller's words.
    pub reason: String,
    /// Soft or hard.
    pub mode: Mode,
    /// Whether its pages will be refetched.
    pub warm: bool,
    /// How many targets it names.
    pub targets: usize,
    /// All of them.
    pub named: NamedTargets,
}

impl ScheduledAnswer {
    /// Of what the journal says.
    #[must_use]
    pub fn of(reply: ScheduleReply) -> Self {
        let last = reply.rows.last().filter(|_| reply.more);
        let next = last.map(|row| format!("{}.{}", row.at.as_millis(), row.id));
        let one = |row: ScheduledRow| ScheduledInvalidation {
            named: NamedTargets::of(&row.targets),
            targets: row.targets.len(),
            id: row.id,
            at: row.at,
            requested: row.requested,
            caller: row.by.caller,
            via: row.by.via,
            reason: row.reason,
            mode: row.mode,
            warm: row.warm,
        };
        Self { scheduled: reply.rows.into_iter().map(one).collect(), next }
    }
}
