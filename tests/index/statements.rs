//! How many statements a shard's calls take: each crosses from the worker into the runtime and
//! back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::cell::Cell;
use std::rc::Rc;

use crate::common::shard::{T0, asks, stored};
use crate::common::sqlite::Sqlite;
use edge_isr::base::sql::{Sql, SqlError, Value};
use edge_isr::cache::tag::Tag;
use edge_isr::index::{LeaseReply, Shard, ShardCall, ShardConfig, ShardReply};

/// A database that counts.
struct Counting(Sqlite, Rc<Cell<u32>>);

impl Sql for Counting {
    fn exec(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, SqlError> {
        self.1.set(self.1.get() + 1);
        self.0.exec(statement, parameters)
    }

    fn transaction<T, E: From<SqlError>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.0.transaction(work)
    }

    fn size(&self) -> u64 {
        self.0.size()
    }
}

struct Counted {
    shard: Shard<Counting>,
    statements: Rc<Cell<u32>>,
}

impl Counted {
    fn new() -> Self {
        let statements = Rc::new(Cell::new(0));
        let sql = Counting(Sqlite::memory(), Rc::clone(&statements));
        Self { shard: Shard::open(sql, ShardConfig::default()).unwrap(), statements }
    }

    fn call(&mut self, call: ShardCall) -> (ShardReply, u32) {
        self.statements.set(0);
        let reply = self.shard.handle(call, T0).unwrap();
        (reply, self.statements.get())
    }

    /// What a fill's record takes.
    fn fill(&mut self, path: &str, tags: &[&str]) -> u32 {
        let (leased, _) = self.call(ShardCall::Lease(asks(path, 1)));
        let ShardReply::Lease(LeaseReply::Grant(grant)) = leased else { panic!("{leased:?}") };
        let (recorded, statements) = self.call(ShardCall::Record(stored(path, &grant, tags)));
        let ShardReply::Recorded(recorded) = recorded else { panic!("{recorded:?}") };
        assert!(recorded.accepted);
        statements
    }
}

#[test]
fn recording_a_new_page_takes_as_many_for_a_thousand_tags_as_for_one() {
    let names: Vec<String> = (0..1_000).map(|n| format!("t:{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut counted = Counted::new();
    // The page looked for; it, its variant, its tags and their count written; the lease's end, and
    // a warm that waited for it.
    assert_eq!(counted.fill("/one", &["t:1"]), 7);
    assert_eq!(counted.fill("/all", &names), 7);
}

#[test]
fn a_list_of_pages_takes_as_many_for_a_hundred_as_for_one() {
    let mut counted = Counted::new();
    let list = |counted: &mut Counted| {
        let tag = Tag::parse("all").unwrap();
        let (listed, statements) =
            counted.call(ShardCall::TagPages { tag, cursor: None, limit: 1_000 });
        let ShardReply::Pages { pages, .. } = listed else { panic!("{listed:?}") };
        (pages.len(), statements)
    };
    counted.fill("/first", &["all"]);
    assert_eq!(list(&mut counted), (1, 3));
    for n in 1..100 {
        counted.fill(&format!("/{n}"), &["all", "some"]);
    }
    assert_eq!(list(&mut counted), (100, 3));
}
