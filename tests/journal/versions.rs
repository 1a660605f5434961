//! Neighbouring versions: one opens what the other stored, and reads what the other says, in both
//! directions, so that a deploy may be gradual and a rollback may follow it.
//!
//! A version is kept as a tape (`tests/golden/NUMBER.json`): every statement that its journal and
//! its shard ran in a fixed story of two halves, with parameters and rows, and every message. The
//! tape stands in for the version itself: its statements make the database that it would have made,
//! and must run on this version's database with the same rows.
//!
//! A version whose schema or messages grew records its own, under the next number:
//! `EDGE_ISR_RECORD=2 cargo test --test journal versions -- --test-threads=1`.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use crate::common::shard::{asks, at, fanout, key, page, result_of, selection, stored, tag};
use crate::common::sqlite::Sqlite;
use edge_isr::base::sql::{Sql, SqlError, Value};
use edge_isr::base::time::{Epoch, Millis};
use edge_isr::cache::key::Selection;
use edge_isr::cache::tag::{Tag, Target};
use edge_isr::http::Fields;
use edge_isr::index::{
    Grant, LeaseReply, LeaseRequest, Outcome, RecordRequest, ReleaseRequest, Shard, ShardCall,
    ShardConfig, ShardReply, WarmRequest, WarmResult,
};
use edge_isr::journal::{
    Append, CalledBy, Fanout, Journal, JournalCall, JournalConfig, JournalReply, LookupRequest,
    Mode, SyncRequest,
};
use serde::{Deserialize, Serialize};

// --- the tape

/// A parameter or a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Cell {
    Null,
    Integer(i64),
    Text(String),
    Blob { blob: Vec<u8> },
}

impl From<&Value> for Cell {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Integer(number) => Self::Integer(*number),
            Value::Text(text) => Self::Text(text.clone()),
            Value::Blob(bytes) => Self::Blob { blob: bytes.clone() },
        }
    }
}

impl From<&Cell> for Value {
    fn from(cell: &Cell) -> Self {
        match cell {
            Cell::Null => Self::Null,
            Cell::Integer(number) => Self::Integer(*number),
            Cell::Text(text) => Self::Text(text.clone()),
            Cell::Blob { blob } => Self::Blob(blob.clone()),
        }
    }
}

/// One statement as it was run: its number, its parameters, its rows.
type Step = (usize, Vec<Cell>, Vec<Vec<Cell>>);

/// What one state machine did in one half of the story.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Half {
    steps: Vec<Step>,
    /// Calls and their replies, as they are sent.
    messages: Vec<(serde_json::Value, serde_json::Value)>,
}

/// What one state machine did in the whole story.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tape {
    statements: Vec<String>,
    halves: Vec<Half>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Version {
    journal: Tape,
    shard: Tape,
}

/// A database that writes down what is asked of it.
#[derive(Clone)]
struct Recorder {
    sql: Sqlite,
    tape: Rc<RefCell<Tape>>,
}

impl Recorder {
    fn new(sql: &Sqlite) -> Self {
        Self { sql: sql.clone(), tape: Rc::default() }
    }

    fn note(&self, call: &impl Serialize, reply: &impl Serialize) {
        let message = (serde_json::to_value(call).unwrap(), serde_json::to_value(reply).unwrap());
        self.tape.borrow_mut().halves.last_mut().unwrap().messages.push(message);
    }
}

impl Sql for Recorder {
    fn exec(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, SqlError> {
        let rows = self.sql.exec(statement, parameters)?;
        let tape = &mut *self.tape.borrow_mut();
        let known = tape.statements.iter().position(|known| known == statement);
        let number = known.unwrap_or_else(|| {
            tape.statements.push(statement.to_owned());
            tape.statements.len() - 1
        });
        let row = |row: &Vec<Value>| row.iter().map(Cell::from).collect();
        let step =
            (number, parameters.iter().map(Cell::from).collect(), rows.iter().map(row).collect());
        tape.halves.last_mut().unwrap().steps.push(step);
        Ok(rows)
    }

    fn transaction<T, E: From<SqlError>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.sql.transaction(work)
    }

    fn size(&self) -> u64 {
        // The file's size is no part of the story.
        4_096
    }
}

/// Runs one half of a tape on a database: what that version would have done with it.
fn play(tape: &Tape, half: usize, sql: &Sqlite) {
    for (number, parameters, want) in &tape.halves[half].steps {
        let statement = &tape.statements[*number];
        let parameters: Vec<Value> = parameters.iter().map(Value::from).collect();
        let rows = sql
            .exec(statement, &parameters)
            .unwrap_or_else(|error| panic!("{statement}\n{parameters:?}: {error}"));
        let got: Vec<Vec<Cell>> = rows.iter().map(|r| r.iter().map(Cell::from).collect()).collect();
        let more = ["SELECT name, value FROM meta", "PRAGMA table_info"];
        if more.iter().any(|start| statement.starts_with(start)) {
            // Names and columns of a later version are left out by an earlier one.
            let missing = want.iter().find(|row| !got.contains(row));
            assert_eq!(missing, None, "{statement}: {got:?}");
        } else {
            assert_eq!(&got, want, "{statement}\n{parameters:?}");
        }
    }
}

// --- the story

type Part<S> = fn(&mut S);

/// A journal under test, and the tape that its messages go to.
struct Book {
    journal: Journal<Recorder>,
    recorder: Recorder,
}

impl Book {
    fn open(recorder: &Recorder) -> Self {
        recorder.tape.borrow_mut().halves.push(Half::default());
        // Without a history, as the first version was.
        let config = JournalConfig {
            shards: 2,
            max_targets: 6,
            history_kept: Millis::ZERO,
            ..JournalConfig::default()
        };
        let journal = Journal::open(recorder.clone(), config).unwrap();
        Self { journal, recorder: recorder.clone() }
    }

    fn call(&mut self, call: JournalCall, millis: u64) -> JournalReply {
        let reply = self.journal.handle(call.clone(), at(millis)).unwrap();
        self.recorder.note(&call, &reply);
        reply
    }

    fn append(
        &mut self,
        id: &str,
        targets: &[Target],
        mode: Mode,
        reinvalidate_after: u64,
        millis: u64,
    ) {
        let append = Append {
            id: id.to_owned(),
            body_digest: format!("digest of {targets:?}"),
            targets: targets.to_vec(),
            mode,
            warm: true,
            reinvalidate_after: Millis(reinvalidate_after),
            reason: "a story".to_owned(),
            uncounted: false,
            unsafe_method: false,
            by: CalledBy::default(),
        };
        self.call(JournalCall::Append(append), millis);
    }

    fn read(&mut self, millis: u64) {
        let targets = vec![tag("a").hash(), tag("b").hash(), Target::All.hash()];
        for call in [
            JournalCall::Sync(SyncRequest { since: None, seen: Epoch::ZERO, report: None }),
            JournalCall::Sync(SyncRequest { since: Some(Epoch(1)), seen: Epoch(2), report: None }),
            JournalCall::Lookup(LookupRequest { targets, seen: Epoch::ZERO }),
            JournalCall::Job { id: "msg_1".to_owned() },
            JournalCall::Job { id: "nobody's".to_owned() },
            JournalCall::Status,
        ] {
            self.call(call, millis);
        }
    }

    fn carry(&mut self, shard: u16, millis: u64) {
        for fanout in self.journal.pending_fanouts(shard, at(millis)).unwrap() {
            self.journal.fanned_out(shard, &[fanout.epoch], fanout.epoch, at(millis)).unwrap();
        }
    }

    fn first(&mut self) {
        self.append("msg_1", &[tag("a"), tag("b")], Mode::Soft, 60_000, 0);
        self.append("msg_1", &[tag("a"), tag("b")], Mode::Soft, 60_000, 1);
        self.append("msg_1", &[tag("c")], Mode::Soft, 0, 2);
        self.append("msg_2", &[Target::Url("example.com/a".to_owned())], Mode::Hard, 0, 3);
        self.read(4);
        self.carry(0, 5);
        self.journal.fanout_failed(1, at(6)).unwrap();
        self.journal.next_wake().unwrap();
    }

    fn second(&mut self) {
        self.read(10);
        self.append("msg_1", &[tag("a"), tag("b")], Mode::Soft, 60_000, 11);
        self.append("msg_3", &[Target::Prefix("example.com/blog/".to_owned())], Mode::Soft, 0, 12);
        self.append("msg_4", &[Target::Host("example.com".to_owned())], Mode::Hard, 0, 13);
        self.append("msg_5", &[Target::All, tag("d"), tag("e"), tag("f")], Mode::Hard, 0, 14);
        self.carry(1, 1_000);
        // The second epoch of msg_1, and the oldest targets are merged.
        self.journal.run_due(at(60_001)).unwrap();
        self.read(60_002);
        self.carry(0, 60_003);
        self.carry(1, 60_003);
        self.journal.run_due(at(100_000_000)).unwrap();
        self.read(100_000_001);
        self.journal.next_wake().unwrap();
        let restored =
            JournalCall::Sync(SyncRequest { since: None, seen: Epoch(1_000), report: None });
        self.call(restored, 100_000_002);
    }
}

/// A shard under test, and the tape that its messages go to.
struct Desk {
    shard: Shard<Recorder>,
    recorder: Recorder,
}

impl Desk {
    fn open(recorder: &Recorder) -> Self {
        recorder.tape.borrow_mut().halves.push(Half::default());
        let config = ShardConfig { lease: Millis(10_000), warm_attempts: 2, ..Default::default() };
        let shard = Shard::open(recorder.clone(), config).unwrap();
        Self { shard, recorder: recorder.clone() }
    }

    fn call(&mut self, call: ShardCall, millis: u64) -> ShardReply {
        let reply = self.shard.handle(call.clone(), at(millis)).unwrap();
        self.recorder.note(&call, &reply);
        reply
    }

    fn lease(&mut self, request: LeaseRequest, millis: u64) -> LeaseReply {
        match self.call(ShardCall::Lease(request), millis) {
            ShardReply::Lease(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    fn fill(&mut self, path: &str, seen: u64, names: &[&str], millis: u64) -> Grant {
        let ask = LeaseRequest { need: Epoch(seen), ..asks(path, seen) };
        let LeaseReply::Grant(grant) = self.lease(ask, millis) else { panic!("{path}") };
        self.call(ShardCall::Record(stored(path, &grant, names)), millis);
        grant
    }

    fn invalidate(&mut self, epoch: u64, targets: &[Target], millis: u64) {
        self.call(ShardCall::Invalidate(fanout(epoch, targets)), millis);
    }

    /// One warm at a time, so that their order is no part of the story.
    fn warm(&mut self, millis: u64, fails: bool) {
        let task = self.shard.take_warms(at(millis), 1, 0).unwrap().remove(0);
        let result = if fails {
            WarmResult::Failed { reason: "origin-timeout".to_owned(), after: None }
        } else {
            WarmResult::Fetched(Box::new(result_of(&task)))
        };
        self.shard.finish_warm(&task, result, at(millis + 1)).unwrap();
    }

    fn read(&mut self, millis: u64) {
        for call in [
            ShardCall::Count { targets: vec![tag("x"), Target::Host("example.com".to_owned())] },
            ShardCall::TagPages { tag: Tag::parse("x").unwrap(), cursor: None, limit: 10 },
            ShardCall::PagesByUrl { url: "example.com/vary".to_owned() },
            ShardCall::Job { id: "job2".to_owned() },
            ShardCall::Job { id: "nobody's".to_owned() },
            ShardCall::Status,
        ] {
            self.call(call, millis);
        }
    }

    fn first(&mut self) {
        let a = self.fill("/a", 1, &["x", "y"], 0);
        self.fill("/b", 1, &["x"], 1);
        let german = selection(&[("accept-language", "de")]);
        let ask = LeaseRequest { selection: german.clone(), ..asks("/vary", 1) };
        let LeaseReply::Grant(grant) = self.lease(ask, 2) else { panic!("vary") };
        let record = RecordRequest {
            leased: german.clone(),
            selection: german,
            request: Fields::from_iter([("accept-language", "de")]),
            ..stored("/vary", &grant, &["z"])
        };
        self.call(ShardCall::Record(record), 3);
        self.lease(asks("/vary", 1), 4);
        // A copy that L2 does not show there, twice.
        for _ in 0..2 {
            self.lease(LeaseRequest { lagged: true, ..asks("/a", 1) }, 5);
        }
        self.lease(LeaseRequest { have_fence: a.fence, ..asks("/a", 1) }, 6);
        self.lease(LeaseRequest { have_fence: a.fence, colo: "FRA".into(), ..asks("/a", 1) }, 7);
        let release =
            ReleaseRequest { key: key("/a"), selection: Selection::default(), fence: a.fence + 3 };
        self.call(ShardCall::Release(release), 8);
        self.invalidate(2, &[tag("x")], 10);
        self.warm(11, false);
        self.warm(20, true);
        self.read(30);
        self.shard.next_wake().unwrap();
    }

    fn second(&mut self) {
        self.read(40);
        // What failed in the first half fails for good.
        self.warm(5_000, true);
        self.read(5_010);
        self.call(ShardCall::Replay { job: "job2".to_owned() }, 5_020);
        self.warm(5_030, false);
        self.invalidate(3, &[Target::Url("example.com/vary".to_owned())], 5_040);
        self.warm(5_050, false);
        self.invalidate(3, &[Target::Url("example.com/vary".to_owned())], 5_060);
        self.call(
            ShardCall::Warm(WarmRequest {
                job: "warm".to_owned(),
                page: page("/new"),
                key: key("/new"),
                selection: Selection::default(),
                request: Fields::new(),
                need: Epoch::ZERO,
            }),
            5_070,
        );
        self.warm(5_080, false);
        let grant = self.fill("/c", 3, &["x"], 5_090);
        let gone = RecordRequest { outcome: Outcome::Gone, ..stored("/c", &grant, &[]) };
        self.call(ShardCall::Record(gone), 5_100);
        let LeaseReply::Grant(grant) = self.lease(asks("/late", 3), 5_110) else { panic!("late") };
        self.invalidate(4, &[tag("x"), Target::Prefix("example.com/blog/".to_owned())], 5_120);
        for _ in 0..2 {
            self.warm(5_130, false);
        }
        self.call(ShardCall::Record(stored("/late", &grant, &["x"])), 5_140);
        self.warm(5_150, false);
        self.call(ShardCall::Invalidate(Fanout { warm: false, ..fanout(5, &[tag("x")]) }), 5_160);
        let asks = LeaseRequest { need: Epoch(1_000), ..asks("/b", 5) };
        let LeaseReply::Grant(grant) = self.lease(asks, 5_170) else { panic!("b") };
        let gone = RecordRequest { outcome: Outcome::Gone, ..stored("/b", &grant, &[]) };
        self.call(ShardCall::Record(gone), 5_171);
        self.read(5_180);
        // Everything is forgotten in the end.
        for hours in [2, 60, 100] {
            self.shard.run_due(at(hours * crate::common::shard::HOUR)).unwrap();
        }
        self.read(100 * crate::common::shard::HOUR);
        self.shard.next_wake().unwrap();
    }
}

/// Plays the story with this version; its tape, and the database.
fn perform(first: Part<Book>, second: Part<Book>) -> Tape {
    let recorder = Recorder::new(&Sqlite::memory());
    first(&mut Book::open(&recorder));
    second(&mut Book::open(&recorder));
    recorder.tape.take()
}

fn perform_shard(first: Part<Desk>, second: Part<Desk>) -> Tape {
    let recorder = Recorder::new(&Sqlite::memory());
    first(&mut Desk::open(&recorder));
    second(&mut Desk::open(&recorder));
    recorder.tape.take()
}

fn this_version() -> Version {
    Version {
        journal: perform(Book::first, Book::second),
        shard: perform_shard(Desk::first, Desk::second),
    }
}

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The versions on record. With `EDGE_ISR_RECORD` this one is put there first.
fn versions() -> Vec<(String, Version)> {
    if let Ok(name) = std::env::var("EDGE_ISR_RECORD") {
        let text = serde_json::to_string(&this_version()).unwrap();
        std::fs::write(golden().join(format!("{name}.json")), text + "\n").unwrap();
    }
    let mut found: Vec<(String, Version)> = std::fs::read_dir(golden())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap())
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(!found.is_empty());
    found
}

// --- both directions

#[test]
fn this_version_goes_on_with_what_an_earlier_one_stored() {
    let here = this_version();
    for (name, version) in versions() {
        let sql = Sqlite::memory();
        play(&version.journal, 0, &sql);
        let recorder = Recorder::new(&sql);
        Book::open(&recorder).second();
        let tape = recorder.tape.take();
        assert_eq!(tape.halves[0].messages, here.journal.halves[1].messages, "{name}");

        let sql = Sqlite::memory();
        play(&version.shard, 0, &sql);
        let recorder = Recorder::new(&sql);
        Desk::open(&recorder).second();
        let tape = recorder.tape.take();
        assert_eq!(tape.halves[0].messages, here.shard.halves[1].messages, "{name}");
    }
}

#[test]
fn an_earlier_version_goes_on_with_what_this_one_stored() {
    for (_, version) in versions() {
        let sql = Sqlite::memory();
        Book::open(&Recorder::new(&sql)).first();
        play(&version.journal, 1, &sql);

        let sql = Sqlite::memory();
        Desk::open(&Recorder::new(&sql)).first();
        play(&version.shard, 1, &sql);
    }
}

#[test]
fn an_earlier_version_and_this_one_take_turns_on_one_database() {
    for (_, version) in versions() {
        let sql = Sqlite::memory();
        play(&version.journal, 0, &sql);
        drop(Journal::open(sql.clone(), JournalConfig::default()).unwrap());
        play(&version.journal, 1, &sql);
        drop(Journal::open(sql, JournalConfig::default()).unwrap());

        let sql = Sqlite::memory();
        play(&version.shard, 0, &sql);
        drop(Shard::open(sql.clone(), ShardConfig::default()).unwrap());
        play(&version.shard, 1, &sql);
        drop(Shard::open(sql, ShardConfig::default()).unwrap());
    }
}

// --- messages

/// Whether everything that `old` says is said by `new`, too.
fn contains(new: &serde_json::Value, old: &serde_json::Value) -> bool {
    use serde_json::Value as Json;
    match (new, old) {
        (Json::Object(new), Json::Object(old)) => {
            old.iter().all(|(name, value)| new.get(name).is_some_and(|new| contains(new, value)))
        }
        (Json::Array(new), Json::Array(old)) => {
            new.len() == old.len() && new.iter().zip(old).all(|(new, old)| contains(new, old))
        }
        (new, old) => new == old,
    }
}

/// The same message with a field that nobody knows in every object that is a struct.
fn with_unknown_fields(message: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value as Json;
    match message {
        Json::Object(members) => {
            let mut members: serde_json::Map<String, Json> =
                members.iter().map(|(n, v)| (n.clone(), with_unknown_fields(v))).collect();
            // An object of one member is an enum's name with what it holds.
            if members.len() > 1 {
                members.insert("of_a_later_version".to_owned(), serde_json::json!({"a": [1]}));
            }
            Json::Object(members)
        }
        Json::Array(list) => Json::Array(list.iter().map(with_unknown_fields).collect()),
        other => other.clone(),
    }
}

fn understood<T: Serialize + serde::de::DeserializeOwned>(message: &serde_json::Value) {
    let parsed: T = serde_json::from_value(message.clone())
        .unwrap_or_else(|error| panic!("{message}: {error}"));
    let again = serde_json::to_value(&parsed).unwrap();
    assert!(contains(&again, message), "{again} lacks something of {message}");
    let later = with_unknown_fields(message);
    let parsed: T = serde_json::from_value(later).unwrap_or_else(|e| panic!("{message}: {e}"));
    assert_eq!(serde_json::to_value(&parsed).unwrap(), again);
}

#[test]
fn messages_of_earlier_versions_are_understood_and_ours_say_all_that_theirs_did() {
    for (name, version) in versions() {
        let mut count = 0;
        for half in &version.journal.halves {
            for (call, reply) in &half.messages {
                understood::<JournalCall>(call);
                understood::<JournalReply>(reply);
                count += 1;
            }
        }
        for half in &version.shard.halves {
            for (call, reply) in &half.messages {
                understood::<ShardCall>(call);
                understood::<ShardReply>(reply);
                count += 1;
            }
        }
        assert!(count > 80, "{name}: {count} messages");
    }
}

#[test]
fn this_version_answers_the_story_with_all_that_earlier_ones_answered() {
    let here = this_version();
    for (name, version) in versions() {
        for (ours, theirs) in [(&here.journal, &version.journal), (&here.shard, &version.shard)] {
            for (ours, theirs) in ours.halves.iter().zip(&theirs.halves) {
                assert_eq!(ours.messages.len(), theirs.messages.len(), "{name}");
                for (ours, theirs) in ours.messages.iter().zip(&theirs.messages) {
                    assert!(contains(&ours.0, &theirs.0), "{name}: {} {}", ours.0, theirs.0);
                    assert!(contains(&ours.1, &theirs.1), "{name}: {} {}", ours.1, theirs.1);
                }
            }
        }
    }
}
