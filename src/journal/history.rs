//! What was invalidated, when, by whom and why: the journal's own rows, kept longer than receipts
//! have to be.
//!
//! An invalidation writes no row for it: who asked and what was named stand in the row that is its
//! receipt. Of calls that name much, the first names stand there, up to [`MAX_NAMED_BYTES`]; all
//! others are counted. Rows are looked through newest first, at most [`LOOKED_AT`] in one call.

use serde::{Deserialize, Serialize};

use crate::base::sql::row::{Row, epoch, json, number, text};
use crate::base::sql::{Sql, SqlError};
use crate::base::time::Epoch;
use crate::cache::tag::Target;

use super::invalidation::{CalledBy, RecordedInvalidation, mode_from};
use super::state::{JournalError, MAX_EPOCH};

/// What is kept of the names of one invalidation, in bytes of JSON.
pub const MAX_NAMED_BYTES: usize = 4_000;
/// Invalidations that one call looks at.
pub const LOOKED_AT: u64 = 5_000;
/// Invalidations in one answer.
const MAX_ROWS: u32 = 1_000;

/// Asks what was invalidated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRequest {
    /// Older than this; none for the newest.
    #[serde(default)]
    pub before: Option<Epoch>,
    /// The most rows wanted.
    #[serde(default)]
    pub limit: u32,
    /// Only what this caller asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// Only what names one of these; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub naming: Vec<Target>,
}

/// What was invalidated, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryReply {
    /// The invalidations.
    #[serde(default)]
    pub rows: Vec<HistoryRow>,
    /// Give it as `before` for what is older; none at the end.
    #[serde(default)]
    pub next: Option<Epoch>,
}

/// An invalidation that was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRow {
    /// The invalidation.
    #[serde(flatten)]
    pub invalidation: RecordedInvalidation,
    /// The first targets that it named.
    #[serde(default)]
    pub named: Vec<Target>,
    /// Who asked.
    #[serde(default)]
    pub by: CalledBy,
}

/// The first targets of an invalidation, as many as are kept.
pub(super) fn kept(targets: &[Target]) -> &[Target] {
    let mut bytes = 0;
    let room = |target: &&Target| {
        // `{"prefix":"…"},` around it.
        bytes += target.name().len() + 16;
        bytes <= MAX_NAMED_BYTES
    };
    let count = targets.iter().take_while(room).count();
    targets.get(..count).unwrap_or_default()
}

/// How a target stands in the column of names. Inside a text its quotes would be escaped, so that
/// nothing else holds these bytes.
fn written(target: &Target) -> String {
    match target {
        // It stands alone.
        Target::All => "[\"all\"]".to_owned(),
        Target::Tag(_) | Target::Url(_) | Target::Prefix(_) | Target::Host(_) => {
            serde_json::to_string(target).unwrap_or_default()
        }
    }
}

/// What was invalidated.
pub(super) fn read<S: Sql>(
    sql: &S,
    request: &HistoryRequest,
) -> Result<HistoryReply, JournalError> {
    let before = epoch(request.before.unwrap_or(MAX_EPOCH));
    let limit = u64::from(request.limit.clamp(1, MAX_ROWS));
    let naming: Vec<String> = request.naming.iter().map(written).collect();
    let rows = sql.exec(
        "SELECT epoch, id, mode, warm, targets, reason, at, reinvalidated_by, caller, via, named
            FROM (SELECT epoch, id, mode, warm, targets, reason, at, reinvalidated_by, caller, via, named
                FROM job WHERE epoch < ?1 ORDER BY epoch DESC LIMIT 0 + ?2)
            WHERE (?3 = '' OR caller = ?3) AND (?4 = '[]' OR EXISTS
                (SELECT 1 FROM json_each(?4) t WHERE instr(named, t.value) > 0))
            ORDER BY epoch DESC LIMIT 0 + ?5",
        &[
            before.clone(),
            number(LOOKED_AT),
            text(request.caller.as_deref().unwrap_or_default()),
            json(&naming)?,
            number(limit),
        ],
    )?;
    let last = rows.last().map(|row| Row(row).epoch(0)).transpose()?;
    let next = if rows.len() as u64 == limit { last } else { looked_up_to(sql, before)? };
    // One that can't be read is left out, so that the others can be shown.
    let rows = rows.iter().filter_map(|row| shown(Row(row)).ok()).collect();
    Ok(HistoryReply { rows, next })
}

/// The oldest row that one call looks at, if older ones may follow.
fn looked_up_to<S: Sql>(
    sql: &S,
    before: crate::base::sql::Value,
) -> Result<Option<Epoch>, SqlError> {
    let looked = sql.exec(
        "SELECT count(*), coalesce(min(epoch), 0) FROM (SELECT epoch FROM job WHERE epoch < ?
            ORDER BY epoch DESC LIMIT 0 + ?)",
        &[before, number(LOOKED_AT)],
    )?;
    let Some(row) = looked.first() else { return Ok(None) };
    let oldest = Row(row).epoch(1)?;
    Ok((Row(row).unsigned(0)? == LOOKED_AT).then_some(oldest))
}

fn shown(row: Row<'_>) -> Result<HistoryRow, SqlError> {
    Ok(HistoryRow {
        invalidation: RecordedInvalidation {
            epoch: row.epoch(0)?,
            id: row.text(1)?.to_owned(),
            mode: mode_from(row.text(2)?),
            warm: row.flag(3)?,
            targets: row.small(4)?,
            reason: row.text(5)?.to_owned(),
            at: row.timestamp(6)?,
            reinvalidated_by: row.maybe_text(7)?.map(str::to_owned),
        },
        by: CalledBy { caller: row.text(8)?.to_owned(), via: row.text(9)?.to_owned() },
        named: row.json(10)?,
    })
}
