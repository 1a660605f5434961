//! The journal's tables. Changes only add: a version must run on the tables of the next one.

use crate::base::sql::row::{Row, epoch, number};
use crate::base::sql::{Sql, SqlError};

use super::state::JournalState;

/// One statement each; all of them can be repeated.
const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    // The latest epochs per target; soft and hard apart (keep_both). `epoch` is the later of both.
    "CREATE TABLE IF NOT EXISTS stamp (hash BLOB PRIMARY KEY, kind INTEGER NOT NULL,
        name TEXT NOT NULL, soft INTEGER NOT NULL, hard INTEGER NOT NULL,
        soft_at INTEGER NOT NULL, hard_at INTEGER NOT NULL, epoch INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS stamp_epoch ON stamp (epoch)",
    // Where dropped targets fell, with the highest of their epochs, and of those of hard
    // invalidations.
    "CREATE TABLE IF NOT EXISTS bucket (bucket INTEGER PRIMARY KEY, epoch INTEGER NOT NULL,
        hard INTEGER NOT NULL)",
    "CREATE INDEX IF NOT EXISTS bucket_epoch ON bucket (epoch)",
    // Invalidations; with a digest, the receipt of a webhook. For the history: who asked through
    // what, and the first targets as JSON.
    "CREATE TABLE IF NOT EXISTS job (epoch INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
        digest TEXT, mode TEXT NOT NULL, warm INTEGER NOT NULL, targets INTEGER NOT NULL,
        reason TEXT NOT NULL, at INTEGER NOT NULL, reinvalidated_by TEXT,
        caller TEXT NOT NULL DEFAULT '', via TEXT NOT NULL DEFAULT '',
        named TEXT NOT NULL DEFAULT '[]')",
    "CREATE INDEX IF NOT EXISTS job_at ON job (at)",
    // Their targets as JSON, in parts that fit a row; gone once nobody needs them.
    "CREATE TABLE IF NOT EXISTS job_part (epoch INTEGER NOT NULL, part INTEGER NOT NULL,
        targets TEXT NOT NULL, PRIMARY KEY (epoch, part)) WITHOUT ROWID",
    // What a shard has still to take.
    "CREATE TABLE IF NOT EXISTS outbox (epoch INTEGER NOT NULL, shard INTEGER NOT NULL,
        attempts INTEGER NOT NULL, not_before INTEGER NOT NULL,
        PRIMARY KEY (epoch, shard)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS outbox_due ON outbox (not_before)",
    "CREATE INDEX IF NOT EXISTS outbox_of ON outbox (shard, epoch)",
    // Invalidations that get a second epoch.
    "CREATE TABLE IF NOT EXISTS reinvalidation (epoch INTEGER PRIMARY KEY, due INTEGER NOT NULL)",
    "CREATE INDEX IF NOT EXISTS reinvalidation_due ON reinvalidation (due)",
    // What a cache in front of the edge has still to take; `whole`: a purge of everything, for all
    // before it too.
    "CREATE TABLE IF NOT EXISTS front_cache (name TEXT NOT NULL, epoch INTEGER NOT NULL,
        whole INTEGER NOT NULL, attempts INTEGER NOT NULL, not_before INTEGER NOT NULL,
        failure TEXT, PRIMARY KEY (name, epoch)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS front_cache_of ON front_cache (epoch)",
    // What of that it has accepted, as which call, and when to ask how far that is.
    "CREATE TABLE IF NOT EXISTS front_cache_sent (name TEXT NOT NULL, epoch INTEGER NOT NULL,
        call TEXT NOT NULL, polls INTEGER NOT NULL, poll_at INTEGER NOT NULL,
        PRIMARY KEY (name, epoch)) WITHOUT ROWID",
    // Shards that still have to be sent their places, or to hand over pages of others.
    "CREATE TABLE IF NOT EXISTS move (shard INTEGER PRIMARY KEY, not_before INTEGER NOT NULL)",
    // What isolates have counted, as JSON. span: 0 a minute, 1 an hour, 2 in all up to `at`.
    "CREATE TABLE IF NOT EXISTS stats (span INTEGER NOT NULL, at INTEGER NOT NULL,
        counts TEXT NOT NULL, PRIMARY KEY (span, at)) WITHOUT ROWID",
    // The number of each isolate's last report.
    "CREATE TABLE IF NOT EXISTS reporter (isolate TEXT PRIMARY KEY, number INTEGER NOT NULL,
        at INTEGER NOT NULL) WITHOUT ROWID",
    // Invalidations at a time, with all that they will be (super::schedule); cancelled: known until
    // `due`, and never done.
    "CREATE TABLE IF NOT EXISTS scheduled (id TEXT PRIMARY KEY, due INTEGER NOT NULL,
        digest TEXT NOT NULL, mode TEXT NOT NULL, warm INTEGER NOT NULL, reinvalidate_after INTEGER NOT NULL,
        reason TEXT NOT NULL, caller TEXT NOT NULL, via TEXT NOT NULL, targets TEXT NOT NULL,
        requested INTEGER NOT NULL, cancelled INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS scheduled_due ON scheduled (due, id)",
    // What audits have found, by page; the finding as JSON.
    "CREATE TABLE IF NOT EXISTS finding (page TEXT PRIMARY KEY, at INTEGER NOT NULL,
        first_at INTEGER NOT NULL, times INTEGER NOT NULL, finding TEXT NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS finding_at ON finding (at, page)",
    "INSERT OR IGNORE INTO meta (name, value) VALUES ('schema', 1)",
];

pub(super) fn create<S: Sql>(sql: &S) -> Result<(), SqlError> {
    sql.transaction(|| TABLES.iter().try_for_each(|table| sql.exec(table, &[]).map(|_| ())))
}

pub(super) fn load<S: Sql>(sql: &S) -> Result<JournalState, SqlError> {
    let mut state = JournalState::default();
    for row in sql.exec("SELECT name, value FROM meta", &[])? {
        let row = Row(&row);
        match row.text(0)? {
            "head" => state.head = row.epoch(1)?,
            "targets" => state.targets = row.unsigned(1)?,
            "repairs" => state.repairs = row.unsigned(1)?,
            "shards" => state.shards = row.small(1)?,
            "most_shards" => state.most_shards = row.small(1)?,
            "changed_at" => state.changed_at = row.timestamp(1)?,
            // Names of a later version.
            _ => {}
        }
    }
    Ok(state)
}

pub(super) fn save<S: Sql>(sql: &S, state: JournalState) -> Result<(), SqlError> {
    sql.exec(
        "INSERT OR REPLACE INTO meta (name, value)
            VALUES ('head', ?), ('targets', ?), ('repairs', ?)",
        &[epoch(state.head), number(state.targets), number(state.repairs)],
    )?;
    Ok(())
}
