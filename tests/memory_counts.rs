//! What L0 counts beside what an allocator counts, for arbitrary records: long keys, many fields, many tags, marks.
#![allow(unsafe_code, reason = "an allocator that counts")]
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, Ordering};

use edge_isr::base::time::{Epoch, Seconds, Timestamp};
use edge_isr::cache::entry::{Demand, Entry, Freshness, FreshnessSource};
use edge_isr::cache::key::{CacheKey, Page, Selection};
use edge_isr::cache::tag::{Tag, TagSet};
use edge_isr::engine::memory::{Memory, StoredPage, StoredRecord};
use edge_isr::http::Fields;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// The system's allocator, counting what is allocated.
struct Counting;

static ALLOCATED: AtomicI64 = AtomicI64::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BUDGET: u64 = 2 << 20;

#[derive(Clone, Debug)]
enum Kind {
    Page { fields: Vec<(String, String)>, tags: u8, body: usize },
    Vary(Vec<String>),
    Pass(String),
}

#[derive(Clone, Debug)]
struct Record {
    path: String,
    query: Option<String>,
    kind: Kind,
}

fn text(longest: usize) -> impl Strategy<Value = String> {
    (0..longest, any::<u8>())
        .prop_map(|(length, letter)| char::from(b'a' + letter % 26).to_string().repeat(length))
}

fn record() -> impl Strategy<Value = Record> {
    let query = prop_oneof![
        2 => Just(None),
        3 => text(60).prop_map(Some),
        1 => text(16_384).prop_map(Some),
    ];
    let fields = prop::collection::vec((text(30), text(200)), 0..30);
    let kind = prop_oneof![
        3 => (fields, 0u8..60, 0usize..20_000)
            .prop_map(|(fields, tags, body)| Kind::Page { fields, tags, body }),
        1 => prop::collection::vec(text(30), 0..8).prop_map(Kind::Vary),
        2 => text(40).prop_map(Kind::Pass),
    ];
    ("[a-z]{1,12}", query, kind).prop_map(|(path, query, kind)| Record { path, query, kind })
}

fn put(memory: &mut Memory<Rc<[u8]>>, record: &Record) {
    let page = Page {
        scheme: "https".to_owned(),
        host: "www.example.com".to_owned(),
        purge_host: "www.example.com".to_owned(),
        path: format!("/{}", record.path),
        query: record.query.clone(),
    };
    let key = CacheKey::new(&page, []);
    let held = match &record.kind {
        Kind::Vary(names) => StoredRecord::Vary(names.clone().into()),
        Kind::Pass(reason) => StoredRecord::Pass(reason.as_str().into(), Timestamp::ZERO),
        Kind::Page { fields, tags, body } => {
            let tags: TagSet =
                (0..*tags).map(|n| Tag::parse(&format!("post:{n}")).unwrap()).collect();
            let fields: Fields =
                fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let entry = Entry {
                key: key.clone(),
                targets: page.targets(&tags),
                page,
                selection: Selection::default(),
                status: 200,
                fields,
                tags,
                stamp: Epoch(1),
                fence: 1,
                request_time: Timestamp::ZERO,
                response_time: Timestamp::ZERO,
                initial_age: Seconds::ZERO,
                freshness: Freshness {
                    lifetime: Seconds(300),
                    source: FreshnessSource::SMaxAge,
                    stale_while_revalidate: Seconds(600),
                    stale_if_error: Seconds(600),
                    demand: Demand::Nothing,
                },
                body_length: *body as u64,
            };
            StoredRecord::Page(Rc::new(StoredPage { entry, body: vec![0; *body].into() }))
        }
    };
    memory.put(&key, held);
}

/// An isolate never holds more than it counts, to a tenth; and it does not count three times what it holds.
#[test]
fn what_is_held_is_counted() {
    let mut runner = TestRunner::new(Config { cases: 24, ..Config::default() });
    let records = prop::collection::vec(record(), 1..600);
    let outcome = runner.run(&records, |records| {
        let before = ALLOCATED.load(Ordering::Relaxed);
        let mut memory: Memory<Rc<[u8]>> = Memory::new(BUDGET);
        for (at, record) in records.iter().enumerate() {
            put(&mut memory, record);
            prop_assert!(memory.bytes() <= BUDGET, "{} counted", memory.bytes());
            let held = (ALLOCATED.load(Ordering::Relaxed) - before).unsigned_abs();
            let counted = memory.bytes();
            prop_assert!(held <= counted + counted / 10, "{held} held, {counted} counted, {at}");
            prop_assert!(counted <= 3 * held + 8_192, "{held} held, {counted} counted, {at}");
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
