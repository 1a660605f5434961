//! A shard's tables. Changes only add: a version must run on the tables of the next one.

use crate::base::sql::row::{Row, epoch, flag, number, timestamp};
use crate::base::sql::{Sql, SqlError, Value};
use crate::base::time::{Epoch, Timestamp};

use crate::journal::ShardPlace;

/// One statement each; all of them can be repeated.
const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    // `url` is the name of the page's URL target: prefixes and hosts are ranges of it.
    "CREATE TABLE IF NOT EXISTS page (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE,
        key TEXT NOT NULL, url TEXT NOT NULL, page TEXT NOT NULL, vary TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS page_url ON page (url)",
    // A fence of 0: known, never stored. AUTOINCREMENT, because the queue must not meet an id
    // again. `popularity`: see crate::index::popularity. `once`: asked for once so far, at an
    // address that anyone can invent, and not worth a refetch. `content`: what is stored shows
    // (crate::cache::content); `changed` and `unchanged`: how many refetches brought something else
    // than what they took the place of, and how many the same. `past`: what was stored of it before
    // what is (super::rows::past).
    "CREATE TABLE IF NOT EXISTS variant (id INTEGER PRIMARY KEY AUTOINCREMENT,
        page INTEGER NOT NULL, digest BLOB NOT NULL, selection TEXT NOT NULL,
        request TEXT NOT NULL, status INTEGER NOT NULL, l2_key TEXT, stamp INTEGER NOT NULL,
        fence INTEGER NOT NULL, stored_at INTEGER NOT NULL, fresh_until INTEGER NOT NULL,
        keep_until INTEGER NOT NULL, warmed_at INTEGER, tags TEXT NOT NULL,
        segment INTEGER NOT NULL, popularity INTEGER NOT NULL DEFAULT 0,
        once INTEGER NOT NULL DEFAULT 0, content BLOB, changed INTEGER NOT NULL DEFAULT 0,
        unchanged INTEGER NOT NULL DEFAULT 0, past TEXT NOT NULL DEFAULT '')",
    // By page, and not by digest alone: the entries of new pages are beside each other.
    "CREATE UNIQUE INDEX IF NOT EXISTS variant_of ON variant (page, digest)",
    "CREATE INDEX IF NOT EXISTS variant_keep ON variant (keep_until)",
    // The variants of a tag (super::tags); which tags a variant has stands in its own row.
    "CREATE TABLE IF NOT EXISTS tagged (segment INTEGER NOT NULL, tag INTEGER NOT NULL,
        variant INTEGER NOT NULL, PRIMARY KEY (segment, tag, variant)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS segment (id INTEGER PRIMARY KEY, entries INTEGER NOT NULL)",
    // By the variant's digest; a variant may be leased before it is known. `again`: it was asked
    // for before.
    "CREATE TABLE IF NOT EXISTS lease (variant TEXT PRIMARY KEY, fence INTEGER NOT NULL,
        stamp INTEGER NOT NULL, until INTEGER NOT NULL, again INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS lease_until ON lease (until)",
    // The URLs (super::rows::url_number) of what was leased under keys that do not follow from
    // them, for as long as the leases are remembered.
    "CREATE TABLE IF NOT EXISTS lease_url (url INTEGER PRIMARY KEY, until INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS ticket (variant TEXT NOT NULL, colo TEXT NOT NULL,
        fence INTEGER NOT NULL, until INTEGER NOT NULL,
        PRIMARY KEY (variant, colo)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS ticket_until ON ticket (until)",
    // Invalidations whose warms a fill may have slipped past.
    "CREATE TABLE IF NOT EXISTS fan (hash BLOB PRIMARY KEY, epoch INTEGER NOT NULL,
        job TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS fan_at ON fan (at)",
    // `ended`: when one of its warms ended last.
    "CREATE TABLE IF NOT EXISTS job (id TEXT PRIMARY KEY, epoch INTEGER NOT NULL,
        pages INTEGER NOT NULL, total INTEGER NOT NULL, done INTEGER NOT NULL,
        failed INTEGER NOT NULL, superseded INTEGER NOT NULL, at INTEGER NOT NULL,
        changed INTEGER NOT NULL DEFAULT 0, unchanged INTEGER NOT NULL DEFAULT 0,
        ended INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS job_at ON job (at)",
    // Targets whose pages are still to be found, with how far that is.
    "CREATE TABLE IF NOT EXISTS expand (seq INTEGER PRIMARY KEY AUTOINCREMENT,
        job TEXT NOT NULL, epoch INTEGER NOT NULL, kind INTEGER NOT NULL, name TEXT NOT NULL,
        after_url TEXT NOT NULL, after_id INTEGER NOT NULL)",
    "CREATE INDEX IF NOT EXISTS expand_job ON expand (job)",
    "CREATE INDEX IF NOT EXISTS expand_target ON expand (kind, name)",
    // The queue. `state`: 0 queued, 1 running. `rank`: its place once it is due, by its variant's
    // popularity; 0: it was tried before; -1: it waits for its time. `reason`: why its last try
    // failed.
    "CREATE TABLE IF NOT EXISTS warm (variant INTEGER PRIMARY KEY, epoch INTEGER NOT NULL,
        above INTEGER NOT NULL, job TEXT NOT NULL, state INTEGER NOT NULL,
        attempts INTEGER NOT NULL, not_before INTEGER NOT NULL, fence INTEGER NOT NULL,
        rank INTEGER NOT NULL DEFAULT -1, reason TEXT NOT NULL DEFAULT '')",
    "CREATE INDEX IF NOT EXISTS warm_due ON warm (state, not_before)",
    "CREATE INDEX IF NOT EXISTS warm_job ON warm (job, state)",
    "CREATE INDEX IF NOT EXISTS warm_turn ON warm (state, rank DESC, epoch, variant)",
    "CREATE INDEX IF NOT EXISTS warm_lease ON warm (fence) WHERE state = 0 AND fence > 0",
    "CREATE INDEX IF NOT EXISTS warm_waits ON warm (not_before) WHERE state = 0 AND rank = -1",
    "CREATE TABLE IF NOT EXISTS dead (job TEXT NOT NULL, variant INTEGER NOT NULL,
        epoch INTEGER NOT NULL, attempts INTEGER NOT NULL, reason TEXT NOT NULL,
        at INTEGER NOT NULL, PRIMARY KEY (job, variant)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS dead_variant ON dead (variant)",
    // Sitemaps. state: 0 to be read, 1 its addresses are handed out, 2 given up, 3 done. nested: 1
    // listed by an index, -1 no file but an address that was refused.
    "CREATE TABLE IF NOT EXISTS import (id INTEGER PRIMARY KEY AUTOINCREMENT,
        job TEXT NOT NULL, url TEXT NOT NULL, nested INTEGER NOT NULL, state INTEGER NOT NULL,
        attempts INTEGER NOT NULL, not_before INTEGER NOT NULL, reason TEXT NOT NULL,
        at INTEGER NOT NULL, UNIQUE (job, url))",
    "CREATE INDEX IF NOT EXISTS import_due ON import (state, not_before)",
    // What the file at hand lists, until its shards have taken it.
    "CREATE TABLE IF NOT EXISTS import_url (id INTEGER PRIMARY KEY, import INTEGER NOT NULL,
        url TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS import_url_of ON import_url (import)",
    "INSERT OR IGNORE INTO meta (name, value) VALUES ('schema', 1)",
];

/// What the `meta` table holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ShardState {
    /// The highest epoch heard of.
    pub(super) seen: Epoch,
    /// The newest fencing number given to anyone: shard-wide, so that a page that was forgotten
    /// does not begin anew.
    pub(super) fence: u64,
    /// The highest epoch of a forgotten `fan` row.
    pub(super) fan_floor: Epoch,
    /// The highest epoch of any `fan` row.
    pub(super) fan_head: Epoch,
    /// The highest epoch that the journal handed over, and a number that stands for the
    /// invalidation's id.
    pub(super) fanned: Epoch,
    pub(super) fanned_id: u64,
    /// When the last whole sweep was.
    pub(super) swept_at: Timestamp,
    /// Damaged rows that were taken out.
    pub(super) damaged: u64,
    /// Which pages are its own; all of them before the first change.
    pub(super) place: ShardPlace,
    /// One more than the page that the walk over all pages has come to; 0: there is none.
    pub(super) walk: u64,
    /// Whether another walk has to follow.
    pub(super) walk_again: bool,
    /// The segment that the tags of new variants go to.
    pub(super) segment: i64,
    /// When the walk goes on.
    pub(super) walk_at: Timestamp,
    /// Pages that isolates have kept out of the index, and when they last reported so.
    pub(super) unrecorded: u64,
    pub(super) unrecorded_at: Timestamp,
    /// When `fence` was last raised past another shard's.
    pub(super) raised_at: Timestamp,
}

/// Creates the tables; what ran in an object that is gone is queued again.
pub(super) fn open<S: Sql>(sql: &S) -> Result<ShardState, SqlError> {
    sql.transaction(|| {
        TABLES.iter().try_for_each(|table| sql.exec(table, &[]).map(|_| ()))?;
        sql.exec("DELETE FROM lease WHERE fence IN (SELECT fence FROM warm WHERE state = 1)", &[])?;
        sql.exec("UPDATE warm SET state = 0, not_before = 0 WHERE state = 1", &[])?;
        sql.exec("UPDATE import SET not_before = 0 WHERE state IN (0, 1)", &[])?;
        load(sql)
    })
}

fn load<S: Sql>(sql: &S) -> Result<ShardState, SqlError> {
    let mut state = ShardState::default();
    for row in sql.exec("SELECT name, value FROM meta", &[])? {
        let row = Row(&row);
        match row.text(0)? {
            "seen" => state.seen = row.epoch(1)?,
            "fence" => state.fence = row.unsigned(1)?,
            "fan_floor" => state.fan_floor = row.epoch(1)?,
            "fan_head" => state.fan_head = row.epoch(1)?,
            "fanned" => state.fanned = row.epoch(1)?,
            "fanned_id" => state.fanned_id = row.unsigned(1)?,
            "swept_at" => state.swept_at = row.timestamp(1)?,
            "damaged" => state.damaged = row.unsigned(1)?,
            "shards" => state.place.shards = row.small(1)?,
            "shard" => state.place.shard = row.small(1)?,
            "placed_at" => state.place.at = row.timestamp(1)?,
            "walk" => state.walk = row.unsigned(1)?,
            "walk_again" => state.walk_again = row.flag(1)?,
            "segment" => state.segment = row.integer(1)?,
            "walk_at" => state.walk_at = row.timestamp(1)?,
            "unrecorded" => state.unrecorded = row.unsigned(1)?,
            "unrecorded_at" => state.unrecorded_at = row.timestamp(1)?,
            "raised_at" => state.raised_at = row.timestamp(1)?,
            // Names of a later version.
            _ => {}
        }
    }
    Ok(state)
}

/// Writes what changed.
pub(super) fn save<S: Sql>(
    sql: &S,
    before: &ShardState,
    state: &ShardState,
) -> Result<(), SqlError> {
    let rows = [
        ("seen", epoch(before.seen), epoch(state.seen)),
        ("fence", number(before.fence), number(state.fence)),
        ("fan_floor", epoch(before.fan_floor), epoch(state.fan_floor)),
        ("fan_head", epoch(before.fan_head), epoch(state.fan_head)),
        ("fanned", epoch(before.fanned), epoch(state.fanned)),
        ("fanned_id", number(before.fanned_id), number(state.fanned_id)),
        ("swept_at", timestamp(before.swept_at), timestamp(state.swept_at)),
        ("damaged", number(before.damaged), number(state.damaged)),
        ("shards", number(before.place.shards.into()), number(state.place.shards.into())),
        ("shard", number(before.place.shard.into()), number(state.place.shard.into())),
        ("placed_at", timestamp(before.place.at), timestamp(state.place.at)),
        ("walk", number(before.walk), number(state.walk)),
        ("walk_again", flag(before.walk_again), flag(state.walk_again)),
        ("segment", Value::Integer(before.segment), Value::Integer(state.segment)),
        ("walk_at", timestamp(before.walk_at), timestamp(state.walk_at)),
        ("unrecorded", number(before.unrecorded), number(state.unrecorded)),
        ("unrecorded_at", timestamp(before.unrecorded_at), timestamp(state.unrecorded_at)),
        ("raised_at", timestamp(before.raised_at), timestamp(state.raised_at)),
    ];
    for (name, before, value) in rows {
        if before != value {
            let statement = "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)";
            sql.exec(statement, &[crate::base::sql::row::text(name), value])?;
        }
    }
    Ok(())
}
