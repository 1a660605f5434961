//! The history of invalidations: what is shown, what is kept, and that it writes no row.

#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::sqlite::Sqlite;
use edge_isr::base::sql::{Sql, Value};
use edge_isr::base::time::{Epoch, Millis, Timestamp};
use edge_isr::cache::tag::{Tag, Target};
use edge_isr::journal::history::{
    HistoryReply, HistoryRequest, HistoryRow, LOOKED_AT, MAX_NAMED_BYTES,
};
use edge_isr::journal::{
    Append, CalledBy, Journal, JournalCall, JournalConfig, JournalReply, Mode,
    RecordedInvalidation, SyncRequest,
};

const T0: Timestamp = Timestamp::from_seconds(1_700_000_000);
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

fn at(millis: u64) -> Timestamp {
    T0.plus(Millis(millis))
}

fn tag(name: &str) -> Target {
    Target::Tag(Tag::parse(name).unwrap())
}

fn by(caller: &str, via: &str) -> CalledBy {
    CalledBy { caller: caller.to_owned(), via: via.to_owned() }
}

fn append(id: &str, targets: Vec<Target>, caller: &str) -> Append {
    Append {
        id: id.to_owned(),
        body_digest: String::new(),
        targets,
        mode: Mode::Soft,
        warm: true,
        reinvalidate_after: Millis::ZERO,
        reason: format!("why {id}"),
        uncounted: false,
        unsafe_method: false,
        by: by(caller, "control"),
    }
}

fn config() -> JournalConfig {
    JournalConfig { shards: 1, ..JournalConfig::default() }
}

fn open(sql: &Sqlite) -> Journal<Sqlite> {
    Journal::open(sql.clone(), config()).unwrap()
}

/// Over the wire and back.
fn add(journal: &mut Journal<Sqlite>, append: Append, millis: u64) {
    let call = serde_json::to_string(&JournalCall::Append(append)).unwrap();
    journal.handle(serde_json::from_str(&call).unwrap(), at(millis)).unwrap();
}

/// The same, and the shard has taken it.
fn give(journal: &mut Journal<Sqlite>, id: &str, targets: Vec<Target>, millis: u64) {
    add(journal, append(id, targets, "ops"), millis);
    let head = journal.head();
    journal.fanned_out(0, &[head], head, at(millis)).unwrap();
}

fn ask(journal: &mut Journal<Sqlite>, request: HistoryRequest) -> HistoryReply {
    let call = serde_json::to_string(&JournalCall::History(request)).unwrap();
    let reply = journal.handle(serde_json::from_str(&call).unwrap(), T0).unwrap();
    let reply = serde_json::from_str(&serde_json::to_string(&reply).unwrap()).unwrap();
    let JournalReply::History(reply) = reply else { panic!("{reply:?}") };
    reply
}

fn all(journal: &mut Journal<Sqlite>) -> Vec<String> {
    ids(&ask(journal, HistoryRequest { limit: 1_000, ..HistoryRequest::default() }))
}

fn ids(reply: &HistoryReply) -> Vec<String> {
    reply.rows.iter().map(|row| row.invalidation.id.clone()).collect()
}

fn written(sql: &Sqlite) -> u64 {
    match sql.exec("SELECT total_changes()", &[]).unwrap()[0][0] {
        Value::Integer(number) => number.unsigned_abs(),
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn an_invalidation_is_shown_as_it_was_requested_and_survives_a_restart() {
    let sql = Sqlite::memory();
    let mut journal = open(&sql);
    let targets = vec![tag("post:1"), Target::Url("example.com/a".to_owned())];
    add(&mut journal, append("one", targets.clone(), "ops"), 5);
    let hard = Append {
        mode: Mode::Hard,
        warm: false,
        reinvalidate_after: Millis(1_000),
        ..append("two", vec![Target::All], "webhook")
    };
    add(&mut journal, hard, 7);
    journal.run_due(at(1_007)).unwrap();
    // Another caller may not give its own words for the journal's.
    let seen = SyncRequest { since: None, seen: Epoch(900), report: None };
    journal.handle(JournalCall::Sync(seen), at(2_000)).unwrap();
    drop(journal);
    let reply = ask(&mut open(&sql), HistoryRequest { limit: 10, ..HistoryRequest::default() });
    let all = [Target::All];
    let row = |id: &str, epoch, millis, by, named: &[Target]| HistoryRow {
        invalidation: RecordedInvalidation {
            id: id.to_owned(),
            epoch: Epoch(epoch),
            at: at(millis),
            mode: Mode::Soft,
            warm: true,
            targets: named.len() as u32,
            reason: format!("why {id}"),
            reinvalidated_by: None,
        },
        named: named.to_vec(),
        by,
    };
    let hard = |row: HistoryRow, reason: &str| HistoryRow {
        invalidation: RecordedInvalidation {
            mode: Mode::Hard,
            warm: false,
            reason: reason.to_owned(),
            ..row.invalidation
        },
        ..row
    };
    let mut first = hard(row("two", 2, 7, by("webhook", "control"), &all), "why two");
    first.invalidation.reinvalidated_by = Some("reinvalidate:3".to_owned());
    let want = [
        hard(
            row("repair:1900", 1_900, 2_000, by("journal", "repair"), &all),
            "the journal ended at 3, 900 was seen",
        ),
        hard(row("reinvalidate:3", 3, 1_007, by("webhook", "reinvalidate"), &all), "why two"),
        first,
        row("one", 1, 5, by("ops", "control"), &targets),
    ];
    assert_eq!(reply.rows, want);
    assert_eq!(reply.next, None);
}

/// Its name, the caller, what is named, what is found.
type Filter<'a> = (&'a str, Option<String>, Vec<Target>, &'a [&'a str]);

#[test]
fn parts_follow_each_other_and_a_filter_shows_only_what_names_it() {
    let mut journal = open(&Sqlite::memory());
    let tricky = Target::Url("example.com/{\"tag\":\"a\"}".to_owned());
    let rows: [(&str, Vec<Target>, &str); 6] = [
        ("1", vec![tag("a"), tag("b")], "ops"),
        ("2", vec![tag("ab")], "webhook"),
        ("3", vec![Target::Prefix("example.com/a/".to_owned())], "ops"),
        ("4", vec![tricky], "ops"),
        ("5", vec![tag("all")], "webhook"),
        ("6", vec![Target::All], "ops"),
    ];
    for (n, (id, targets, caller)) in rows.into_iter().enumerate() {
        add(&mut journal, append(id, targets, caller), n as u64);
    }
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let request = HistoryRequest { before, limit: 2, ..HistoryRequest::default() };
        let part = ask(&mut journal, request);
        found.extend(ids(&part));
        before = part.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(found, ["6", "5", "4", "3", "2", "1"]);
    let caller = |name: &str| Some(name.to_owned());
    let filters: [Filter<'_>; 8] = [
        ("a tag", None, vec![tag("a")], &["1"]),
        ("a tag of which another is the beginning", None, vec![tag("ab")], &["2"]),
        ("a tag with the name of everything", None, vec![tag("all")], &["5"]),
        ("everything", None, vec![Target::All], &["6"]),
        ("one of several", None, vec![tag("b"), Target::All], &["6", "1"]),
        ("a caller", caller("webhook"), vec![], &["5", "2"]),
        ("a caller and a tag", caller("ops"), vec![tag("ab")], &[]),
        ("nobody", caller("op"), vec![], &[]),
    ];
    for (name, caller, naming, want) in filters {
        let reply = ask(&mut journal, HistoryRequest { before: None, limit: 10, caller, naming });
        assert_eq!(ids(&reply), want, "{name}");
    }
}

#[test]
fn a_call_looks_through_a_bounded_number_and_says_where_to_go_on() {
    let sql = Sqlite::memory();
    let mut journal = open(&sql);
    add(&mut journal, append("first", vec![tag("rare")], "ops"), 0);
    sql.exec(
        "INSERT INTO job (epoch, id, mode, warm, targets, reason, at)
            WITH n(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n < 6000)
            SELECT n, 'x' || n, 'soft', 1, 1, '', 0 FROM n",
        &[],
    )
    .unwrap();
    let naming = vec![tag("rare")];
    let request = HistoryRequest { limit: 10, naming, ..HistoryRequest::default() };
    let part = ask(&mut journal, request.clone());
    assert_eq!((ids(&part).len(), part.next), (0, Some(Epoch(6_001 - LOOKED_AT))));
    let part = ask(&mut journal, HistoryRequest { before: part.next, ..request });
    assert_eq!((ids(&part), part.next), (vec!["first".to_owned()], None));
}

#[test]
fn of_a_call_with_many_names_the_first_are_kept_and_all_are_counted() {
    let sql = Sqlite::memory();
    let mut journal = open(&sql);
    let names: Vec<Target> = (0..1_000).map(|n| tag(&format!("post:{n:04}"))).collect();
    add(&mut journal, append("many", names.clone(), "ops"), 0);
    let long = "x".repeat(1_000);
    let long: Vec<Target> = (0..9).map(|n| tag(&format!("{long}{n}"))).collect();
    add(&mut journal, append("long", long.clone(), "ops"), 1);
    let huge = vec![Target::Url("y".repeat(MAX_NAMED_BYTES)), tag("small")];
    add(&mut journal, append("huge", huge, "ops"), 2);
    let reply = ask(&mut journal, HistoryRequest { limit: 10, ..HistoryRequest::default() });
    let named: Vec<(u32, usize)> =
        reply.rows.iter().map(|row| (row.invalidation.targets, row.named.len())).collect();
    assert_eq!(named, [(2, 0), (9, 3), (1_000, MAX_NAMED_BYTES / (9 + 16))]);
    assert_eq!(reply.rows[1].named, long[..3]);
    assert_eq!(reply.rows[2].named, names[..MAX_NAMED_BYTES / 25]);
    let bytes = sql.exec("SELECT max(length(CAST(named AS BLOB))) FROM job", &[]).unwrap();
    let Value::Integer(bytes) = bytes[0][0] else { panic!("{bytes:?}") };
    assert!(bytes as usize <= MAX_NAMED_BYTES, "{bytes}");
}

/// What docs/scale.md says: it writes nothing.
#[test]
fn an_invalidation_writes_as_many_rows_as_without_a_history() {
    let sql = Sqlite::memory();
    let mut journal = open(&sql);
    add(&mut journal, append("warm up", vec![tag("a")], "ops"), 0);
    let before = written(&sql);
    add(&mut journal, append("1", vec![tag("a")], "ops"), 1);
    // The job, its targets, the tag's stamp, one shard's outbox, three of the journal's state.
    assert_eq!(written(&sql) - before, 7);
    let before = written(&sql);
    ask(&mut journal, HistoryRequest { limit: 10, ..HistoryRequest::default() });
    assert_eq!(written(&sql) - before, 0, "looking writes nothing");
}

#[test]
fn it_is_bounded_in_age_and_rows_and_a_day_is_always_kept() {
    // Rows by their days; the history keeps ten days, and three rows beyond the first day.
    let rows: [(&str, &[u64], u64, &[&str]); 6] = [
        ("young", &[0, 1, 2], 3, &["2", "1", "0"]),
        ("old", &[0, 1, 2], 11, &["2"]),
        ("too many", &[0, 1, 2, 3, 4], 6, &["4", "3", "2"]),
        ("too many of one day", &[0, 0, 0, 0, 0], 0, &["4", "3", "2", "1", "0"]),
        ("the same a day later", &[0, 0, 0, 0, 0], 2, &["4", "3", "2"]),
        ("all of them old", &[0, 0], 40, &[]),
    ];
    for (name, days, now, want) in rows {
        let sql = Sqlite::memory();
        let config = JournalConfig { history_kept: Millis(10 * DAY), history_rows: 3, ..config() };
        let mut journal = Journal::open(sql.clone(), config).unwrap();
        for (n, day) in days.iter().enumerate() {
            give(&mut journal, &n.to_string(), vec![tag("a")], day * DAY + n as u64);
        }
        // As its alarm does: until nothing is due. Each wake has something to do.
        let now = at(now * DAY + HOUR);
        let mut wakes = 0;
        while let Some(wake) = journal.next_wake().unwrap().filter(|wake| *wake <= now) {
            let before = all(&mut journal).len();
            journal.run_due(wake).unwrap();
            wakes += 1;
            assert!(all(&mut journal).len() < before, "{name}: nothing at {wake:?}");
        }
        assert!(wakes <= days.len(), "{name}");
        assert_eq!(all(&mut journal), want, "{name}");
    }
}

#[test]
fn where_the_database_is_full_the_history_makes_room_and_receipts_stay() {
    let sql = Sqlite::memory();
    let mut journal = open(&sql);
    let long = tag(&"x".repeat(1_000));
    for n in 0..20 {
        give(&mut journal, &format!("old{n}"), vec![long.clone()], n);
    }
    give(&mut journal, "new", vec![tag("a")], 2 * DAY);
    journal.run_due(at(2 * DAY)).unwrap();
    assert_eq!(all(&mut journal).len(), 21);
    let pages = sql.exec("SELECT page_count FROM pragma_page_count()", &[]).unwrap();
    let Value::Integer(pages) = pages[0][0] else { panic!("{pages:?}") };
    sql.exec(&format!("PRAGMA max_page_count = {pages}"), &[]).unwrap();
    let refused = (0..100).any(|n| {
        let call = JournalCall::Append(append(&format!("more{n}"), vec![long.clone()], "ops"));
        journal.handle(call, at(2 * DAY)).is_err()
    });
    assert!(refused);
    assert_eq!(journal.next_wake().unwrap(), Some(Timestamp::ZERO), "at once");
    journal.run_due(at(2 * DAY)).unwrap();
    let left = all(&mut journal);
    assert!(!left.iter().any(|id| id.starts_with("old")), "{left:?}");
    assert_eq!(left.last().map(String::as_str), Some("new"));
    assert_ne!(journal.next_wake().unwrap(), Some(Timestamp::ZERO), "once");
    add(&mut journal, append("after", vec![long], "ops"), 2 * DAY);
}

#[test]
fn a_row_that_can_not_be_read_is_left_out() {
    let sql = Sqlite::memory();
    let mut journal = open(&sql);
    for id in ["1", "2", "3"] {
        add(&mut journal, append(id, vec![tag("a")], "ops"), 0);
    }
    sql.exec("UPDATE job SET named = 'no JSON {\"tag\":\"a\"}' WHERE id = '2'", &[]).unwrap();
    assert_eq!(all(&mut journal), ["3", "1"]);
    let naming = vec![tag("a")];
    let reply = ask(&mut journal, HistoryRequest { limit: 9, naming, ..HistoryRequest::default() });
    assert_eq!(ids(&reply), ["3", "1"]);
}

/// A worker of the version before says nothing of callers.
#[test]
fn versions_without_it_are_understood() {
    let mut call = serde_json::to_value(append("1", vec![tag("a")], "ops")).unwrap();
    call.as_object_mut().unwrap().remove("by").unwrap();
    let old: Append = serde_json::from_value(call).unwrap();
    let mut journal = open(&Sqlite::memory());
    add(&mut journal, old, 0);
    let reply = ask(&mut journal, HistoryRequest { limit: 1, ..HistoryRequest::default() });
    assert_eq!((reply.rows[0].by.clone(), reply.rows[0].named.len()), (by("", ""), 1));
}
