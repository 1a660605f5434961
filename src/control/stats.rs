//! A call of `stats` and the JSON of its answer: the figures of the whole site.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::time::{Millis, Timestamp};
use crate::journal::report::{By, OriginSum, Point, StatsReply, StatsRequest, Sum};

use super::problem::{Problem, ProblemKind};
use super::query::Query;

/// The span that `stats` shows without `from`.
const LAST: Millis = Millis(3_600_000);
/// The names that counts can be grouped by.
const BY: [(&str, By); 5] = [
    ("route", By::Route),
    ("result", By::Result),
    ("reason", By::Reason),
    ("colo", By::Colo),
    ("kind", By::Kind),
];

/// What `stats` is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatsQuery {
    /// From when; an hour before the end if it is not said.
    pub from: Option<Timestamp>,
    /// Until when; now if it is not said.
    pub to: Option<Timestamp>,
    /// By what.
    pub by: By,
}

impl StatsQuery {
    pub(super) fn parse(query: &Query) -> Result<Self, Problem> {
        query.only(&["from", "to", "by"])?;
        let by = match query.get("by") {
            None => By::default(),
            Some(name) => {
                BY.iter().find(|(known, _)| *known == name).map(|(_, by)| *by).ok_or_else(|| {
                    let detail = "by is one of route, result, reason, colo, kind.";
                    Problem::new(ProblemKind::InvalidValue, detail).at("by")
                })?
            }
        };
        let (from, to) = (time(query, "from")?, time(query, "to")?);
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            let detail = "from is before to.";
            return Err(Problem::new(ProblemKind::Contradiction, detail).at("from"));
        }
        Ok(Self { from, to, by })
    }

    /// What the journal is asked.
    #[must_use]
    pub fn request(&self, now: Timestamp) -> StatsRequest {
        let to = self.to.unwrap_or_else(|| now.plus(Millis(1)));
        let from = self.from.unwrap_or_else(|| to.minus(LAST)).max(Timestamp::ZERO);
        StatsRequest { from, to, by: self.by, all: false }
    }
}

/// Milliseconds since 1970.
fn time(query: &Query, name: &'static str) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = query.get(name) else { return Ok(None) };
    let digits = text.len() <= 15 && text.bytes().all(|byte| byte.is_ascii_digit());
    let millis = text.parse::<i64>().ok().filter(|_| digits).ok_or_else(|| {
        let detail = format!("{name} is a time in milliseconds since 1970.");
        Problem::new(ProblemKind::InvalidValue, detail).at(name)
    })?;
    Ok(Some(Timestamp::from_millis(millis)))
}

/// The answer to `stats`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatsAnswer {
    /// From when, in milliseconds since the Unix epoch.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
    /// What a point adds up, in milliseconds.
    pub step_ms: Millis,
    /// By what.
    pub by: By,
    /// The points, oldest first; none where nothing was counted.
    pub points: Vec<Point>,
    /// Their sums.
    pub totals: BTreeMap<String, Sum>,
    /// The isolates' counters in this time: `family|label|value`.
    pub counters: BTreeMap<String, u64>,
    /// Requests to the origin in this time, by the path of the route's rule.
    pub origin: BTreeMap<String, OriginSum>,
    /// Isolates that reported in the last two minutes.
    pub isolates: u64,
    /// What is not in it.
    pub note: &'static str,
}

/// What no figure has.
const NOTE: &str = "Isolates report once a minute, with a request that comes then. What one has \
    not reported when it ends is not counted.";

impl StatsAnswer {
    /// Of what the journal says.
    #[must_use]
    pub fn of(request: &StatsRequest, reply: StatsReply) -> Self {
        let StatsReply { step, points, totals, counters, origin, isolates, .. } = reply;
        let (from, to, by) = (request.from, request.to, request.by);
        Self { from, to, step_ms: step, by, points, totals, counters, origin, isolates, note: NOTE }
    }
}
