//! Damaged rows, full databases, very large targets: what fails, fails alone, and recovers.

#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::shard::{Bench, HOUR, asks, at, fanout, key, page, result_of, stored, tag};
use crate::common::sqlite::Sqlite;
use edge_isr::base::sql::{Sql, SqlError, Value};
use edge_isr::base::time::{Epoch, Millis};
use edge_isr::cache::key::Selection;
use edge_isr::cache::tag::{Tag, Target};
use edge_isr::http::Fields;
use edge_isr::index::{
    ImportTask, LeaseReply, LeaseRequest, Outcome, RecordRequest, Shard, ShardCall, ShardConfig,
    ShardError, ShardReply, WarmRequest, WarmResult,
};
use edge_isr::journal::{
    Append, Appended, CalledBy, Journal, JournalCall, JournalConfig, JournalError, JournalReply,
    Mode, SyncRequest,
};

/// Columns of a table.
fn columns(sql: &Sqlite, table: &str) -> Vec<String> {
    let rows = sql.exec(&format!("SELECT name FROM pragma_table_info('{table}')"), &[]).unwrap();
    rows.into_iter()
        .map(|row| match &row[0] {
            Value::Text(name) => name.clone(),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// A value that no column of ours holds.
fn garbage() -> Value {
    Value::Blob(vec![0xFF; 3])
}

/// A site of three pages, one of which is about to be damaged, with a warm of each.
fn site() -> Bench {
    let mut bench = Bench::new();
    for path in ["/a", "/bad", "/c"] {
        bench.fill(path, 1, &["x"], 0);
    }
    bench.invalidate(fanout(2, &[tag("x")]), 1);
    bench
}

#[test]
fn a_damaged_row_holds_up_no_other() {
    let tables = [("page", "digest", 0), ("variant", "page", 1), ("warm", "variant", 2)];
    let mut tried = 0;
    for (table, by, kind) in tables {
        for column in columns(&site().sql, table) {
            // What a row is found by can't be damaged without being another row.
            if matches!(
                (table, column.as_str()),
                (_, "id" | "digest") | ("warm", "variant") | ("variant", "page") | ("page", "url")
            ) {
                continue;
            }
            let mut bench = site();
            let row = match kind {
                0 => format!("= x'{}'", key("/bad").digest().as_str()),
                _ => format!(
                    "IN (SELECT id FROM {} WHERE {})",
                    if kind == 1 { "page" } else { "variant" },
                    if kind == 1 {
                        format!("digest = x'{}'", key("/bad").digest().as_str())
                    } else {
                        format!(
                            "page IN (SELECT id FROM page WHERE digest = x'{}')",
                            key("/bad").digest().as_str()
                        )
                    }
                ),
            };
            let statement = format!("UPDATE {table} SET {column} = ? WHERE {by} {row}");
            bench.sql.exec(&statement, &[garbage()]).unwrap();
            let what = format!("{table}.{column}");
            // The others are warmed.
            let mut warmed = Vec::new();
            for turn in 0..5 {
                let now = 10 + turn * 20_000;
                bench.shard.run_due(at(now)).unwrap_or_else(|e| panic!("{what}: {e}"));
                let tasks = bench.shard.take_warms(at(now), 10, 0);
                for task in tasks.unwrap_or_else(|e| panic!("{what}: {e}")) {
                    warmed.push(task.page.path.clone());
                    bench.warmed(&task, now + 1);
                }
            }
            assert!(
                warmed.contains(&"/a".to_owned()) && warmed.contains(&"/c".to_owned()),
                "{what}"
            );
            // A visitor of the page may fetch it, and it is recorded anew.
            let ask = LeaseRequest { need: Epoch(2), have_fence: 1_000, ..asks("/bad", 2) };
            let grant = match bench.lease(ask, 200_000) {
                LeaseReply::Grant(grant) => grant,
                other => panic!("{what}: {other:?}"),
            };
            assert!(bench.record(stored("/bad", &grant, &["x"]), 200_001).accepted, "{what}");
            let info = bench.by_url("example.com/bad");
            assert_eq!(info.len(), 1, "{what}");
            // And everything is forgotten in the end.
            for hours in [60, 61, 120] {
                bench.shard.run_due(at(hours * HOUR)).unwrap_or_else(|e| panic!("{what}: {e}"));
            }
            tried += 1;
        }
    }
    assert!(tried >= 20, "{tried} columns");
}

#[test]
fn damage_is_counted_and_a_damaged_warm_is_a_dead_letter() {
    let mut bench = site();
    let statement = "UPDATE variant SET request = 'no JSON' WHERE id = 2";
    bench.sql.exec(statement, &[]).unwrap();
    assert_eq!(bench.take(2).len(), 2);
    let job = bench.job("job2", 3);
    assert_eq!((job.failed, job.running), (1, 2));
    assert_eq!(job.failures[0].reason, "a stored row is damaged");
    assert_eq!(bench.status().damaged, 1);
    let mut bench = bench.restart();
    assert_eq!(bench.status().damaged, 1);
}

#[test]
fn a_damaged_row_on_the_way_to_the_queue_holds_up_no_other() {
    for column in ["job", "epoch", "kind", "name", "after_url", "after_id"] {
        let mut bench = Bench::new();
        bench.sql_batch(|bench| {
            for n in 0..300 {
                bench.fill(&format!("/{n}"), 1, &["x"], 0);
            }
        });
        bench.invalidate(fanout(2, &[tag("x")]), 1);
        bench.sql.exec(&format!("UPDATE expand SET {column} = ?"), &[garbage()]).unwrap();
        bench.fill("/other", 1, &["y"], 2);
        bench.invalidate(fanout(3, &[tag("y")]), 3);
        for _ in 0..3 {
            bench.shard.run_due(at(4)).unwrap();
        }
        assert_eq!(bench.status().expanding, 0, "{column}");
        assert_eq!(bench.job("job3", 5).queued, 1, "{column}");
    }
    for column in ["job", "url", "nested", "attempts"] {
        let mut bench = Bench::new();
        let request = |job: &str| WarmRequest {
            job: job.to_owned(),
            page: page("/sitemap.xml"),
            key: key("/sitemap.xml"),
            selection: Selection::default(),
            request: Fields::new(),
            need: Epoch::ZERO,
        };
        bench.call(ShardCall::Import(request("bad")), 0);
        bench.sql.exec(&format!("UPDATE import SET {column} = ?"), &[garbage()]).unwrap();
        bench.call(ShardCall::Import(request("good")), 1);
        assert_eq!(bench.shard.take_import(at(2)).unwrap(), None, "{column}");
        let task = bench.shard.take_import(at(3)).unwrap();
        let Some(ImportTask::Read(file)) = task else { panic!("{column}: {task:?}") };
        assert_eq!(file.job, "good");
    }
}

fn append(id: &str, names: &[&str], reinvalidate_after: u64) -> JournalCall {
    JournalCall::Append(Append {
        id: id.to_owned(),
        body_digest: "digest".to_owned(),
        targets: names.iter().map(|name| tag(name)).collect(),
        mode: Mode::Soft,
        warm: true,
        reinvalidate_after: Millis(reinvalidate_after),
        reason: String::new(),
        uncounted: false,
        unsafe_method: false,
        by: CalledBy::default(),
    })
}

#[test]
fn a_damaged_invalidation_holds_up_no_other_and_makes_nothing_current() {
    let sql = Sqlite::memory();
    let config = JournalConfig { shards: 1, ..JournalConfig::default() };
    let mut journal = Journal::open(sql.clone(), config).unwrap();
    journal.handle(append("1", &["a"], 1_000), at(0)).unwrap();
    journal.handle(append("2", &["b"], 0), at(1)).unwrap();
    sql.exec("UPDATE job_part SET targets = 'no JSON' WHERE epoch = 1", &[]).unwrap();
    let due = journal.pending_fanouts(0, at(2)).unwrap();
    assert_eq!(due.iter().map(|f| f.targets.len()).collect::<Vec<_>>(), [0, 1]);
    journal.fanned_out(0, &[Epoch(1), Epoch(2)], Epoch(2), at(3)).unwrap();
    // The second epoch of what can't be read is for everything: it may have been anything.
    journal.run_due(at(1_000)).unwrap();
    let due = journal.pending_fanouts(0, at(1_000)).unwrap();
    assert_eq!(due[0].targets, [Target::All]);
    // A stamp that can't be read is never passed over: views hear nothing: the journal is lost.
    sql.exec("UPDATE stamp SET soft = 'x' WHERE name = 'a'", &[]).unwrap();
    let request = SyncRequest { since: None, seen: Epoch::ZERO, report: None };
    let reply = journal.handle(JournalCall::Sync(request), at(1_001));
    assert!(matches!(reply, Err(JournalError::Sql(SqlError::Damaged(_)))), "{reply:?}");
}

/// A database that can't grow any more.
fn fill_up(sql: &Sqlite) {
    let pages = sql.exec("SELECT page_count FROM pragma_page_count()", &[]).unwrap();
    let Value::Integer(pages) = pages[0][0] else { panic!("{pages:?}") };
    sql.exec(&format!("PRAGMA max_page_count = {pages}"), &[]).unwrap();
}

fn is_full(error: &SqlError) -> bool {
    matches!(error, SqlError::Refused(words) if words.contains("full"))
}

#[test]
fn a_full_journal_refuses_appends_whole_answers_readers_and_recovers() {
    let sql = Sqlite::memory();
    let config = JournalConfig { shards: 2, ..JournalConfig::default() };
    let mut journal = Journal::open(sql.clone(), config).unwrap();
    let long = "x".repeat(900);
    let mut given = 0;
    for n in 0..50 {
        journal.handle(append(&format!("{n}"), &[&format!("{long}{n}")], 0), at(n)).unwrap();
        given += 1;
    }
    fill_up(&sql);
    let refused = loop {
        let name = format!("{long}{given}");
        match journal.handle(append(&format!("{given}"), &[&name], 0), at(given)) {
            Ok(_) => given += 1,
            Err(JournalError::Sql(error)) => break error,
            Err(other) => panic!("{other:?}"),
        }
    };
    assert!(is_full(&refused), "{refused:?}");
    // Nothing of it was recorded, and readers hear of all that was.
    assert_eq!(journal.head(), Epoch(given));
    let request = SyncRequest { since: Some(Epoch(given - 1)), seen: Epoch(given), report: None };
    let reply = journal.handle(JournalCall::Sync(request), at(given)).unwrap();
    let JournalReply::Delta(delta) = reply else { panic!("{reply:?}") };
    assert_eq!(delta.to, Epoch(given));
    // What is pending is delivered, what is old is forgotten, and there is room again.
    for shard in [0, 1] {
        let due = journal.pending_fanouts(shard, at(given)).unwrap();
        let epochs: Vec<Epoch> = due.iter().map(|fanout| fanout.epoch).collect();
        journal.fanned_out(shard, &epochs, Epoch(given), at(given)).unwrap();
    }
    journal.run_due(at(25 * HOUR)).unwrap();
    let again = journal.handle(append(&format!("{given}"), &["new"], 0), at(25 * HOUR)).unwrap();
    let JournalReply::Appended(appended) = again else { panic!("{again:?}") };
    assert_eq!(appended, Appended::recorded(Epoch(given + 1)), "no epoch is given twice");
}

#[test]
fn a_full_shard_refuses_records_whole_and_recovers() {
    let mut bench = Bench::new();
    let long = "y".repeat(1_000);
    let names = [long.as_str(), "x"];
    let mut known = 0;
    bench.sql_batch(|bench| {
        for n in 0..100 {
            bench.fill(&format!("/{n}"), 1, &names, 0);
            known += 1;
        }
    });
    fill_up(&bench.sql);
    let refused = loop {
        let path = format!("/{known}-{long}");
        let ask = asks(&path, 1);
        let done = bench.shard.handle(ShardCall::Lease(ask), at(1)).and_then(|reply| {
            let ShardReply::Lease(LeaseReply::Grant(grant)) = reply else { panic!("{reply:?}") };
            bench.shard.handle(ShardCall::Record(stored(&path, &grant, &names)), at(2))
        });
        match done {
            Ok(_) => known += 1,
            Err(ShardError::Sql(error)) => break error,
        }
    };
    assert!(is_full(&refused), "{refused:?}");
    // What is known is still found, and its copies in L2.
    assert_eq!(bench.ready(asks("/7", 1), 3).fence, 8);
    // Pages pass their windows and are forgotten, although nothing can be added.
    let later = 60 * HOUR;
    for _ in 0..10 {
        let _ = bench.shard.run_due(at(later));
    }
    assert!(bench.status().pages < 10, "{:?}", bench.status());
    bench.fill("/new", 1, &names, later);
}

#[test]
fn nothing_queued_is_lost_in_a_full_shard() {
    let mut bench = Bench::new();
    bench.sql_batch(|bench| {
        for n in 0..2_000 {
            bench.fill(&format!("/{n}"), 1, &["x"], 0);
        }
    });
    bench.invalidate(fanout(2, &[tag("x")]), 1);
    fill_up(&bench.sql);
    let (mut refused, mut noted) = (0, 0);
    for turn in 0..100 {
        // What can't grow waits for room; what was fetched is noted as far as it fits.
        refused += usize::from(bench.shard.run_due(at(10 + turn)).is_err());
        for task in bench.shard.take_warms(at(10 + turn), 3, 0).unwrap_or_default() {
            let result = WarmResult::Fetched(Box::new(result_of(&task)));
            noted += usize::from(bench.shard.finish_warm(&task, result, at(10 + turn)).is_ok());
        }
    }
    assert!(refused > 0, "{noted} warms were noted");
    bench.sql.exec("PRAGMA max_page_count = 1000000", &[]).unwrap();
    let mut now = 20_000;
    while bench.status().expanding > 0 || bench.status().warms > 0 {
        bench.shard.run_due(at(now)).unwrap();
        for task in bench.shard.take_warms(at(now), 3, 0).unwrap() {
            bench.warmed(&task, now);
        }
        now += 100;
    }
    let job = bench.job("job2", now);
    assert_eq!((job.done, job.failed), (2_000, 0));
}

#[test]
fn a_page_with_a_thousand_tags() {
    let names: Vec<String> = (0..1_000).map(|n| format!("product:{n:04}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut bench = Bench::new();
    bench.fill("/all", 1, &names, 0);
    bench.fill("/some", 1, &names[..500], 1);
    // Each of them finds it.
    for at in [0, 499, 500, 999] {
        let found = bench.tag_pages(names[at]);
        assert_eq!(found.len(), if at < 500 { 2 } else { 1 }, "{}", names[at]);
    }
    // A fill that one of them overtook is noticed.
    let grant = bench.granted(LeaseRequest { need: Epoch(2), ..asks("/all", 2) }, 2);
    bench.invalidate(fanout(3, &[tag(names[999])]), 3);
    bench.record(stored("/all", &grant, &names), 4);
    assert_eq!(bench.status().warms, 1);
    assert!(names.iter().all(|name| bench.tag_pages(name).contains(&"/all".to_owned())));
    // All of them invalidated at once are one warm a page.
    let targets: Vec<Target> = names.iter().map(|name| tag(name)).collect();
    let answer = bench.invalidate(fanout(4, &targets), 5);
    while bench.status().expanding > 0 {
        bench.shard.run_due(at(6)).unwrap();
    }
    assert_eq!(bench.job("job4", 7).queued, 2, "{answer:?}");
    // The tags go with the page.
    for path in ["/all", "/some"] {
        let grant = bench.granted(LeaseRequest { need: Epoch(4), ..asks(path, 4) }, 8);
        let gone = RecordRequest { outcome: Outcome::Gone, ..stored(path, &grant, &[]) };
        bench.record(gone, 9);
    }
    let left = bench.sql.exec("SELECT count(*) FROM tagged", &[]).unwrap();
    assert_eq!(left, [[Value::Integer(0)]]);
}

/// Entries of the map of tags that are no variant's number.
#[test]
fn a_damaged_entry_of_a_tag_holds_up_no_other() {
    let mut bench = Bench::new();
    for n in 0..3 {
        bench.fill(&format!("/{n}"), 1, &["x"], 0);
    }
    for garbage in ["'text'", "x'00'", "-1", "1e300", "68719476736"] {
        let damage = format!(
            "INSERT INTO tagged (segment, tag, variant)
                SELECT segment, tag, {garbage} FROM tagged LIMIT 1"
        );
        bench.sql.exec(&damage, &[]).unwrap();
    }
    let answer = bench.invalidate(fanout(2, &[tag("x")]), 1);
    assert_eq!((answer.pages, answer.complete), (3, true));
    let call = ShardCall::TagPages { tag: Tag::parse("x").unwrap(), cursor: None, limit: 10 };
    let ShardReply::Pages { pages, .. } = bench.call(call, 2) else { panic!("no pages") };
    assert_eq!(pages.len(), 3);
}

/// A tag of a million pages, in one shard: each call does a bounded part, whatever is left.
#[test]
fn a_tag_with_a_million_pages_is_expanded_in_slices() {
    const PAGES: i64 = 1_000_000;
    let mut bench = Bench::new();
    bench.fill("/0", 1, &["x"], 0);
    // As the fills would have left it, made by SQLite itself.
    let numbers = "WITH RECURSIVE n(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n < ?)";
    for statement in [
        "INSERT INTO page (id, digest, key, url, page, vary)
            SELECT n, CAST(printf('%032d', n) AS BLOB), key, 'example.com/' || n, page, vary
            FROM n, page WHERE page.id = 1",
        "INSERT INTO variant (id, page, digest, selection, request, status, l2_key, stamp, fence,
                stored_at, fresh_until, keep_until, tags, segment)
            SELECT n, n, CAST(printf('%032d', n) AS BLOB), selection, request, status, l2_key,
                stamp, fence, stored_at, fresh_until, keep_until, tags, n / 6000
            FROM n, variant WHERE variant.id = 1",
        "INSERT INTO tagged (segment, tag, variant) SELECT n / 6000, tag, n FROM n, tagged
            WHERE variant = 1",
        "INSERT OR REPLACE INTO segment (id, entries) SELECT n / 6000, 6000 FROM n
            GROUP BY n / 6000",
    ] {
        bench.sql.exec(&format!("{numbers} {statement}"), &[Value::Integer(PAGES)]).unwrap();
    }
    let answer = bench.invalidate(fanout(2, &[tag("x")]), 1);
    // The answer does not wait for any of it.
    assert_eq!((answer.pages, answer.complete), (0, false));
    let mut before = 0;
    for _ in 0..50 {
        bench.shard.run_due(at(2)).unwrap();
        let queued = bench.job("job2", 2).queued;
        assert!(queued > before && queued <= before + 400, "{queued} after {before}");
        before = queued;
    }
    // Warms begin at once, and a look-up of the first pages does not wait for the rest.
    assert_eq!(bench.take(3).len(), 3);
    let call = ShardCall::TagPages { tag: Tag::parse("x").unwrap(), cursor: None, limit: 100 };
    let ShardReply::Pages { pages, cursor } = bench.call(call, 4) else { panic!("no pages") };
    assert_eq!((pages.len(), cursor), (100, Some(100)));
    // No statement of a slice looks at more than its part.
    for (query, index) in [
        (
            "SELECT s.id, t.variant FROM segment s CROSS JOIN tagged t
                WHERE s.id >= ?1 AND t.segment = s.id AND t.tag = ?3
                    AND t.variant > CASE s.id WHEN ?1 THEN ?2 ELSE 0 END
                    AND t.variant <= 0xfffffffff
                ORDER BY s.id, t.variant LIMIT 0 + ?4",
            "SEARCH t USING PRIMARY KEY (segment=? AND tag=? AND variant>? AND variant<?)",
        ),
        (
            "SELECT v.page, (s.id << 36) + t.variant
                FROM segment s CROSS JOIN tagged t CROSS JOIN variant v
                WHERE s.id >= ?1 AND t.segment = s.id AND t.tag = ?3
                    AND t.variant > CASE s.id WHEN ?1 THEN ?2 ELSE 0 END AND v.id = t.variant
                    AND NOT EXISTS (SELECT 1 FROM variant e CROSS JOIN tagged u
                        WHERE e.page = v.page AND e.id < t.variant
                            AND u.segment = e.segment AND u.tag = t.tag AND u.variant = e.id)
                ORDER BY s.id, t.variant LIMIT 0 + ?4",
            "SEARCH e USING INDEX variant_of (page=?)",
        ),
        (
            "SELECT id, url FROM page WHERE (url, id) > (?, ?) AND url < ?
                ORDER BY url, id LIMIT 0 + ?",
            "SEARCH page USING COVERING INDEX page_url",
        ),
    ] {
        let count = if query.contains("?1") { 4 } else { query.matches('?').count() };
        let parameters = vec![Value::Null; count];
        let plan = bench.sql.exec(&format!("EXPLAIN QUERY PLAN {query}"), &parameters).unwrap();
        let plan = format!("{plan:?}");
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{plan}");
    }
    let restarted = Shard::open(bench.sql.clone(), ShardConfig::default()).unwrap();
    assert!(restarted.next_wake().unwrap() <= Some(at(5)), "it goes on after a restart");
}
