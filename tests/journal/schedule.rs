//! Invalidations at a time: durable, done once, listed, cancelled, bounded.

#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::sqlite::Sqlite;
use edge_isr::base::sql::{Sql, Value};
use edge_isr::base::time::{Epoch, Millis, Timestamp};
use edge_isr::cache::tag::{Tag, Target};
use edge_isr::journal::history::HistoryRequest;
use edge_isr::journal::schedule_message::{
    Cancelled, MAX_NAMES, MAX_SCHEDULED, ScheduleReply, ScheduleRequest, Scheduled,
};
use edge_isr::journal::{
    Append, Appended, CalledBy, Journal, JournalCall, JournalConfig, JournalError, JournalReply,
    Mode, ScheduledAppend,
};

const T0: Timestamp = Timestamp::from_seconds(1_700_000_000);
const DAY: u64 = 24 * 3_600_000;

fn at(millis: u64) -> Timestamp {
    T0.plus(Millis(millis))
}

fn tag(name: &str) -> Target {
    Target::Tag(Tag::parse(name).unwrap())
}

fn append(id: &str, name: &str) -> Append {
    Append {
        id: id.to_owned(),
        body_digest: format!("digest of {name}"),
        targets: vec![tag(name)],
        mode: Mode::Hard,
        warm: true,
        reinvalidate_after: Millis(5_000),
        reason: "go live".to_owned(),
        uncounted: false,
        unsafe_method: false,
        by: CalledBy { caller: "ops".to_owned(), via: "control".to_owned() },
    }
}

fn open(sql: &Sqlite) -> Journal<Sqlite> {
    let config = JournalConfig { shards: 2, ..JournalConfig::default() };
    Journal::open(sql.clone(), config).unwrap()
}

/// Over the wire and back.
fn call(journal: &mut Journal<Sqlite>, call: &JournalCall, millis: u64) -> JournalReply {
    let call = serde_json::from_str(&serde_json::to_string(call).unwrap()).unwrap();
    let reply = journal.handle(call, at(millis)).unwrap();
    serde_json::from_str(&serde_json::to_string(&reply).unwrap()).unwrap()
}

fn plan(journal: &mut Journal<Sqlite>, append: Append, due: u64, now: u64) -> Scheduled {
    let later = JournalCall::Schedule(ScheduledAppend { append, at: at(due) });
    let JournalReply::Scheduled(it) = call(journal, &later, now) else { panic!() };
    it
}

fn cancel(journal: &mut Journal<Sqlite>, id: &str, now: u64) -> Cancelled {
    let it = JournalCall::Cancel { id: id.to_owned() };
    let JournalReply::Cancelled(it) = call(journal, &it, now) else { panic!() };
    it
}

fn waiting(journal: &mut Journal<Sqlite>, request: &ScheduleRequest) -> ScheduleReply {
    let it = JournalCall::Waiting(request.clone());
    let JournalReply::Waiting(it) = call(journal, &it, 0) else { panic!() };
    it
}

fn ids(journal: &mut Journal<Sqlite>) -> Vec<String> {
    let request = ScheduleRequest { after: None, limit: 1_000 };
    waiting(journal, &request).rows.into_iter().map(|row| row.id).collect()
}

fn done(journal: &mut Journal<Sqlite>, append: Append, now: u64) -> Appended {
    let it = JournalCall::Append(append);
    let JournalReply::Appended(it) = call(journal, &it, now) else { panic!() };
    it
}

const WAITS: Scheduled = Scheduled::Waits { repeated: false };
const AGAIN: Scheduled = Scheduled::Waits { repeated: true };

#[test]
fn it_is_done_at_its_time_once_and_survives_restarts() {
    let sql = Sqlite::memory();
    let mut journal = open(&sql);
    assert_eq!(plan(&mut journal, append("b", "x"), 2_000, 0), WAITS);
    assert_eq!(plan(&mut journal, append("a", "y"), 1_000, 1), WAITS);
    assert_eq!(journal.head(), Epoch::ZERO, "nothing is invalidated before");
    assert_eq!(journal.next_wake().unwrap(), Some(at(1_000)));
    let listed = waiting(&mut journal, &ScheduleRequest { after: None, limit: 10 });
    let row = &listed.rows[0];
    assert_eq!((row.id.as_str(), row.at, row.requested), ("a", at(1_000), at(1)));
    assert_eq!((row.mode, row.warm, row.targets.clone()), (Mode::Hard, true, vec![tag("y")]));
    assert_eq!((row.reason.as_str(), row.by.caller.as_str()), ("go live", "ops"));
    journal.run_due(at(999)).unwrap();
    assert_eq!(journal.head(), Epoch::ZERO);
    drop(journal);
    let mut journal = open(&sql);
    assert_eq!(ids(&mut journal), ["a", "b"]);
    for _ in 0..3 {
        journal.run_due(at(1_000)).unwrap();
    }
    assert_eq!((journal.head(), ids(&mut journal)), (Epoch(1), vec!["b".to_owned()]));
    // To shards it is an invalidation like any other; it keeps its id, and its second epoch.
    let fanout = journal.pending_fanouts(0, at(1_000)).unwrap().remove(0);
    assert_eq!((fanout.job.as_str(), fanout.mode, fanout.at), ("a", Mode::Hard, at(1_000)));
    assert_eq!(fanout.targets, [tag("y")]);
    drop(journal);
    let mut journal = open(&sql);
    // A day late, where nothing woke it: all at once, in the order of their times.
    journal.run_due(at(DAY)).unwrap();
    let history = JournalCall::History(HistoryRequest { limit: 9, ..HistoryRequest::default() });
    let JournalReply::History(rows) = call(&mut journal, &history, DAY) else { panic!() };
    let rows: Vec<(&str, &str, &str)> = rows
        .rows
        .iter()
        .map(|row| (row.invalidation.id.as_str(), row.by.caller.as_str(), row.by.via.as_str()))
        .collect();
    let want = [
        ("reinvalidate:3", "ops", "reinvalidate"),
        ("b", "ops", "schedule"),
        ("a", "ops", "schedule"),
    ];
    assert_eq!(rows, want);
    assert_eq!(ids(&mut journal), Vec::<String>::new());
}

#[test]
fn an_id_is_a_receipt_before_and_after_its_time() {
    let mut journal = open(&Sqlite::memory());
    let rows: [(&str, Append, u64, Scheduled); 8] = [
        ("first", append("1", "x"), 0, WAITS),
        ("again", append("1", "x"), 1, AGAIN),
        ("another body", append("1", "y"), 2, Scheduled::Conflict),
        ("another id", append("2", "x"), 3, WAITS),
        ("its time has come", append("1", "x"), 1_000, Scheduled::Done { epoch: Epoch(1) }),
        ("another body then", append("1", "y"), 1_001, Scheduled::Conflict),
        ("long after", append("1", "x"), DAY - 1, Scheduled::Done { epoch: Epoch(1) }),
        ("of the other", append("2", "x"), DAY, Scheduled::Done { epoch: Epoch(2) }),
    ];
    for (name, append, now, want) in rows {
        if now >= 1_000 {
            journal.run_due(at(1_000)).unwrap();
        }
        assert_eq!(plan(&mut journal, append, 1_000, now), want, "{name}");
    }
}

/// A sender whose first try got no answer tries again when the time has come: the same body, which
/// is then for now.
#[test]
fn asked_for_now_it_is_done_now_and_not_again() {
    let mut journal = open(&Sqlite::memory());
    plan(&mut journal, append("1", "x"), 1_000, 0);
    assert_eq!(done(&mut journal, append("1", "y"), 500), Appended::Conflict);
    assert_eq!(done(&mut journal, append("1", "x"), 500), Appended::recorded(Epoch(1)));
    assert_eq!(ids(&mut journal), Vec::<String>::new());
    journal.run_due(at(1_000)).unwrap();
    assert_eq!(journal.head(), Epoch(1));
    let again = done(&mut journal, append("1", "x"), 1_001);
    assert_eq!(again, Appended::Repeated { epoch: Epoch(1) });
}

#[test]
fn what_is_cancelled_is_not_done_and_no_late_repetition_brings_it_back() {
    let sql = Sqlite::memory();
    let mut journal = open(&sql);
    plan(&mut journal, append("1", "x"), 1_000, 0);
    assert_eq!(cancel(&mut journal, "nobody's", 1), Cancelled::Unknown);
    assert_eq!(cancel(&mut journal, "1", 2), Cancelled::Cancelled { repeated: false });
    assert_eq!(cancel(&mut journal, "1", 3), Cancelled::Cancelled { repeated: true });
    assert_eq!(plan(&mut journal, append("1", "x"), 1_000, 4), Scheduled::Cancelled);
    assert_eq!(done(&mut journal, append("1", "x"), 5), Appended::Conflict);
    drop(journal);
    let mut journal = open(&sql);
    journal.run_due(at(1_000)).unwrap();
    assert_eq!((journal.head(), ids(&mut journal)), (Epoch::ZERO, Vec::new()));
    // As long as receipts are kept.
    assert_eq!(journal.next_wake().unwrap(), Some(at(DAY + 2)));
    journal.run_due(at(DAY + 2)).unwrap();
    assert_eq!((journal.head(), journal.next_wake().unwrap()), (Epoch::ZERO, None));
    assert_eq!(cancel(&mut journal, "1", DAY + 3), Cancelled::Unknown);
    // What was done can't be.
    plan(&mut journal, append("2", "x"), DAY + 10, DAY + 4);
    journal.run_due(at(DAY + 10)).unwrap();
    assert_eq!(cancel(&mut journal, "2", DAY + 11), Cancelled::TooLate { epoch: Epoch(1) });
}

#[test]
fn as_many_wait_as_are_granted() {
    let mut journal = open(&Sqlite::memory());
    for n in 0..MAX_SCHEDULED {
        assert_eq!(plan(&mut journal, append(&n.to_string(), "x"), 1_000 + n / 2, 0), WAITS);
    }
    assert_eq!(plan(&mut journal, append("more", "x"), 1_000, 1), Scheduled::Full);
    assert_eq!(plan(&mut journal, append("7", "x"), 1_003, 1), AGAIN, "those that wait are known");
    cancel(&mut journal, "7", 2);
    assert_eq!(plan(&mut journal, append("more", "x"), 1_000, 3), WAITS);
    // In parts, those of one time too.
    let (mut after, mut listed) = (None, Vec::new());
    loop {
        let part = waiting(&mut journal, &ScheduleRequest { after, limit: 7 });
        listed.extend(part.rows.iter().map(|row| (row.at, row.id.clone())));
        after = listed.last().cloned();
        if !part.more {
            break;
        }
    }
    let mut sorted = listed.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!((listed.len() as u64, listed), (MAX_SCHEDULED, sorted));
    // Many that are due together are done in turns, in their order.
    let mut turns = 0;
    while journal.next_wake().unwrap().is_some_and(|wake| wake <= at(1_500))
        && !ids(&mut journal).is_empty()
    {
        journal.run_due(at(1_500)).unwrap();
        turns += 1;
    }
    assert_eq!((journal.head(), turns), (Epoch(MAX_SCHEDULED), MAX_SCHEDULED / 20));
}

#[test]
fn what_names_too_much_or_nothing_is_refused() {
    let mut journal = open(&Sqlite::memory());
    let many = (0..=MAX_NAMES).map(|n| tag(&n.to_string())).collect();
    let rows = [
        (Append { targets: many, ..append("1", "x") }, JournalError::TooManyNames),
        (Append { targets: vec![], ..append("1", "x") }, JournalError::NoTargets),
        (append("reinvalidate:1", "x"), JournalError::ReservedId),
    ];
    for (append, want) in rows {
        let later = JournalCall::Schedule(ScheduledAppend { append, at: at(1) });
        assert_eq!(journal.handle(later, at(0)), Err(want));
    }
    assert_eq!(ids(&mut journal), Vec::<String>::new());
}

/// What can't be read any more may have named anything.
#[test]
fn a_damaged_list_of_names_invalidates_everything() {
    let sql = Sqlite::memory();
    let mut journal = open(&sql);
    plan(&mut journal, append("1", "x"), 10, 0);
    sql.exec("UPDATE scheduled SET targets = 'no JSON'", &[]).unwrap();
    journal.run_due(at(10)).unwrap();
    assert_eq!(journal.pending_fanouts(0, at(10)).unwrap()[0].targets, [Target::All]);
}

/// What docs/scale.md says.
#[test]
fn it_costs_four_rows_beside_those_of_its_invalidation() {
    let sql = Sqlite::memory();
    let mut journal = open(&sql);
    let written = |sql: &Sqlite| match sql.exec("SELECT total_changes()", &[]).unwrap()[0][0] {
        Value::Integer(number) => number,
        ref other => panic!("{other:?}"),
    };
    let before = written(&sql);
    plan(&mut journal, append("1", "x"), 10, 0);
    // The row; its index is another, which this does not count.
    assert_eq!(written(&sql) - before, 1);
    let before = written(&sql);
    let now = written(&sql);
    done(&mut journal, append("2", "x"), 5);
    let plain = written(&sql) - now;
    let now = written(&sql);
    journal.run_due(at(10)).unwrap();
    assert_eq!(written(&sql) - now, plain + 1, "it goes off the list, {before}");
}
