//! What all isolates have counted: by minute for two days, by hour for ninety, and in all.
//!
//! A report is counted in the minute in which the journal hears it, by the journal's own clock: no
//! two clocks are compared. It writes two rows, that of its minute and that of its isolate, in one
//! transaction; the same report once more writes nothing. Once an hour is over its minutes are
//! added up. An isolate that has been silent for `REPORTERS_KEPT` is forgotten: it must not
//! repeat an older report ([`REPEATED_FOR`]).

use crate::base::sql::row::{Row, json, number, text, timestamp};
use crate::base::sql::{Sql, SqlError, Value};
use crate::base::time::{Millis, Timestamp};

use super::report::{By, Counts, Point, Report, StatsReply, StatsRequest};
use super::state::JournalError;

/// A minute.
pub const MINUTE: Millis = Millis(60_000);
/// An hour.
pub const HOUR: Millis = Millis(3_600_000);
/// How long minutes are kept.
const MINUTES_KEPT: Millis = Millis(2 * 24 * HOUR.0);
/// How long hours are kept.
const HOURS_KEPT: Millis = Millis(90 * 24 * HOUR.0);
/// How long the number of an isolate's last report is remembered.
const REPORTERS_KEPT: Millis = Millis(2 * HOUR.0);
/// For how long an isolate may send the same report again.
pub const REPEATED_FOR: Millis = Millis(HOUR.0);
/// The longest time that is shown by minute.
const BY_MINUTE: Millis = Millis(6 * HOUR.0);
/// An isolate that reported within this time is alive.
const ALIVE: Millis = Millis(2 * MINUTE.0);

/// Later than any row: what an object's integers, which are JavaScript numbers, can hold.
const FOREVER: Timestamp = Timestamp::from_millis(1 << 52);

/// What a row adds up.
#[derive(Clone, Copy)]
enum Span {
    Minute = 0,
    Hour = 1,
    All = 2,
}

/// The beginning of the span that a moment lies in.
fn floor(at: Timestamp, span: Millis) -> Timestamp {
    let millis = at.as_millis();
    let span = i64::try_from(span.0).unwrap_or(i64::MAX);
    Timestamp::from_millis(millis - millis.rem_euclid(span))
}

/// Counts a report, once; its number, as the isolate is to hear it.
pub(super) fn merge<S: Sql>(sql: &S, report: &Report, now: Timestamp) -> Result<u64, JournalError> {
    if report.isolate.is_empty() || report.isolate.len() > 100 {
        return Ok(report.number);
    }
    sql.transaction(|| {
        let known = sql
            .exec("SELECT number FROM reporter WHERE isolate = ?", &[text(&report.isolate)])?
            .first()
            .map_or(Ok(0), |row| Row(row).unsigned(0))?;
        if report.number <= known {
            return Ok::<_, SqlError>(report.number);
        }
        let rolled = roll_up(sql, now)?;
        let at = floor(now, MINUTE).max(rolled);
        let mut counts = read(sql, Span::Minute, at)?;
        let mut news = report.counts.clone();
        if !report.colo.is_empty() {
            news.colos.clear();
            news.count_colo(report.colo.clone(), news.sum());
        }
        counts.add(&news);
        write(sql, Span::Minute, at, &counts)?;
        sql.exec(
            "INSERT OR REPLACE INTO reporter (isolate, number, at) VALUES (?, ?, ?)",
            &[text(&report.isolate), number(report.number), timestamp(now)],
        )?;
        Ok(report.number)
    })
    .map_err(JournalError::from)
}

/// Adds up the minutes of hours that are over; up to where that is done.
fn roll_up<S: Sql>(sql: &S, now: Timestamp) -> Result<Timestamp, SqlError> {
    let hour = floor(now, HOUR);
    let rolled = sql
        .exec("SELECT at FROM stats WHERE span = ?", &[Value::Integer(Span::All as i64)])?
        .first()
        .map_or(Ok(Timestamp::ZERO), |row| Row(row).timestamp(0))?;
    if rolled >= hour {
        return Ok(rolled);
    }
    let minutes = between(sql, Span::Minute, rolled, hour)?;
    let mut all = read(sql, Span::All, rolled)?;
    let mut hours: Vec<(Timestamp, Counts)> = Vec::new();
    for (at, counts) in minutes {
        all.add(&counts);
        let at = floor(at, HOUR);
        match hours.last_mut() {
            Some((last, sum)) if *last == at => sum.add(&counts),
            Some(_) | None => hours.push((at, counts)),
        }
    }
    for (at, counts) in &hours {
        write(sql, Span::Hour, *at, counts)?;
    }
    let before = |span: Span, kept: Millis| {
        sql.exec(
            "DELETE FROM stats WHERE span = ? AND at < ?",
            &[Value::Integer(span as i64), timestamp(hour.minus(kept))],
        )
    };
    before(Span::Minute, MINUTES_KEPT)?;
    before(Span::Hour, HOURS_KEPT)?;
    sql.exec("DELETE FROM stats WHERE span = ?", &[Value::Integer(Span::All as i64)])?;
    write(sql, Span::All, hour, &all)?;
    let silent = timestamp(now.minus(REPORTERS_KEPT));
    sql.exec("DELETE FROM reporter WHERE at < ?", &[silent])?;
    Ok(hour)
}

fn read<S: Sql>(sql: &S, span: Span, at: Timestamp) -> Result<Counts, SqlError> {
    let by = [Value::Integer(span as i64), timestamp(at)];
    let rows = sql.exec("SELECT counts FROM stats WHERE span = ? AND at = ?", &by)?;
    // What can't be read any more counts as nothing: figures are no reason to stop.
    Ok(rows.first().and_then(|row| Row(row).json(0).ok()).unwrap_or_default())
}

fn write<S: Sql>(sql: &S, span: Span, at: Timestamp, counts: &Counts) -> Result<(), SqlError> {
    sql.exec(
        "INSERT OR REPLACE INTO stats (span, at, counts) VALUES (?, ?, ?)",
        &[Value::Integer(span as i64), timestamp(at), json(counts)?],
    )?;
    Ok(())
}

fn between<S: Sql>(
    sql: &S,
    span: Span,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<(Timestamp, Counts)>, SqlError> {
    let rows = sql.exec(
        "SELECT at, counts FROM stats WHERE span = ? AND at >= ? AND at < ? ORDER BY at",
        &[Value::Integer(span as i64), timestamp(from), timestamp(to)],
    )?;
    rows.iter()
        .map(|row| Ok((Row(row).timestamp(0)?, Row(row).json(1).unwrap_or_default())))
        .collect()
}

/// What was counted in a time, and in all.
pub(super) fn counted<S: Sql>(
    sql: &S,
    request: &StatsRequest,
    now: Timestamp,
) -> Result<StatsReply, JournalError> {
    let (from, to) = (request.from, request.to);
    let by_minute = to.since(from) <= BY_MINUTE && from >= floor(now.minus(MINUTES_KEPT), HOUR);
    let rolled = sql
        .exec("SELECT at FROM stats WHERE span = ?", &[Value::Integer(Span::All as i64)])?
        .first()
        .map_or(Ok(Timestamp::ZERO), |row| Row(row).timestamp(0))?;
    let newest = between(sql, Span::Minute, rolled, FOREVER)?;
    let mut all = read(sql, Span::All, rolled)?;
    newest.iter().for_each(|(_, counts)| all.add(counts));
    let (step, rows) = if by_minute {
        (MINUTE, between(sql, Span::Minute, floor(from, MINUTE), to)?)
    } else {
        let mut rows = between(sql, Span::Hour, floor(from, HOUR), to)?;
        for (at, counts) in newest.into_iter().filter(|(at, _)| *at >= from && *at < to) {
            let at = floor(at, HOUR);
            match rows.last_mut() {
                Some((last, sum)) if *last == at => sum.add(&counts),
                Some(_) | None => rows.push((at, counts)),
            }
        }
        (HOUR, rows)
    };
    let mut totals = Counts::default();
    rows.iter().for_each(|(_, counts)| totals.add(counts));
    // By all names together a long answer would be a large one: its sums alone.
    let pointed = request.by != By::Kind;
    let points = rows.into_iter().filter(|_| pointed);
    let points = points.map(|(at, counts)| Point { at, sums: counts.by(request.by) });
    let isolates =
        sql.exec("SELECT count(*) FROM reporter WHERE at >= ?", &[timestamp(now.minus(ALIVE))])?;
    Ok(StatsReply {
        step,
        points: points.collect(),
        totals: totals.by(request.by),
        counters: totals.counters,
        origin: totals.origin,
        all: request.all.then_some(all),
        isolates: isolates.first().map_or(Ok(0), |row| Row(row).unsigned(0))?,
    })
}
