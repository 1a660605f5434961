//! What an isolate counts beside what an allocator counts, for arbitrary contents of each holder:
//! L0 (long keys, many fields, many tags, hit-for-pass records), the view, what is remembered of
//! answers that can't be stored, bodies of requests.
#![allow(unsafe_code, reason = "an allocator that counts")]
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, Ordering};

use edge_isr::base::time::{Epoch, Seconds, Timestamp};
use edge_isr::cache::entry::{Entry, Freshness, FreshnessSource, ReuseCondition};
use edge_isr::cache::key::{CacheKey, Page, Selection};
use edge_isr::cache::not_forwarded::NotForwarded;
use edge_isr::cache::tag::{Tag, TagSet, TargetHash};
use edge_isr::engine::bodies::{Bodies, BodyId, Peer};
use edge_isr::engine::memory::{Memory, StoredPage, StoredRecord};
use edge_isr::engine::uncacheable::{LIFETIME, NewHitForPass, Uncacheable};
use edge_isr::http::Fields;
use edge_isr::journal::delta::{Bucket, Delta, Found, TargetRow};
use edge_isr::journal::view::View;
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
enum RequestKind {
    Page { fields: Vec<(String, String)>, tags: u8, body: usize },
    Vary(Vec<String>),
    Pass(String),
}

#[derive(Clone, Debug)]
struct Record {
    path: String,
    query: Option<String>,
    kind: RequestKind,
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
            .prop_map(|(fields, tags, body)| RequestKind::Page { fields, tags, body }),
        1 => prop::collection::vec(text(30), 0..8).prop_map(RequestKind::Vary),
        2 => text(40).prop_map(RequestKind::Pass),
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
        RequestKind::Vary(names) => StoredRecord::Vary(names.clone().into()),
        RequestKind::Pass(reason) => {
            let order = (Epoch::ZERO, Timestamp::ZERO);
            StoredRecord::Pass(reason.as_str().into(), Timestamp::ZERO, order)
        }
        RequestKind::Page { fields, tags, body } => {
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
                    reuse_condition: ReuseCondition::Nothing,
                },
                body_length: *body as u64,
            };
            StoredRecord::Page(Rc::new(StoredPage::new(entry, vec![0; *body].into())))
        }
    };
    memory.put(&key, held);
}

/// An isolate never holds more than it counts, to a tenth; and it does not count three times what
/// it holds.
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
    every_other_holder_counts_what_it_holds();
}

fn held_since(before: i64) -> u64 {
    (ALLOCATED.load(Ordering::Relaxed) - before).unsigned_abs()
}

/// Holds what it counts, to a tenth, and less than an empty holder more.
fn counts(held: u64, counted: u64) -> Result<(), TestCaseError> {
    prop_assert!(held <= counted + counted / 10, "{held} held, {counted} counted");
    prop_assert!(counted <= held + held / 10 + 1_024, "{held} held, {counted} counted");
    Ok(())
}

/// Targets by name, buckets of those that were dropped, and look-ups of single ones.
fn view_counts(steps: &[(u64, u16, u8)]) -> Result<(), TestCaseError> {
    let before = ALLOCATED.load(Ordering::Relaxed);
    let mut view = View::new(20_000);
    for (at, (seed, count, kind)) in steps.iter().enumerate() {
        let epoch = Epoch(at as u64 + 1);
        let hash = |n: u16| TargetHash((seed ^ u64::from(n)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let row = |n| TargetRow {
            hash: hash(n),
            soft: epoch,
            hard: Epoch::ZERO,
            soft_at: Timestamp::ZERO,
        };
        let rows: Vec<TargetRow> = (0..*count).map(row).collect();
        if *kind % 4 == 0 {
            let targets: Vec<TargetHash> = (0..*count % 64).map(hash).collect();
            let found = Found { head: epoch, rows: Vec::new(), buckets: Vec::new() };
            view.apply_lookup(&targets, &found, Timestamp::ZERO);
        } else {
            let bucket = Bucket { bucket: *count, epoch, hard: Epoch::ZERO };
            let buckets = if *kind % 4 == 1 { vec![bucket] } else { Vec::new() };
            let since = view.since();
            let delta =
                Delta { since, to: epoch, more: false, head: epoch, rows, buckets, reported: None };
            view.apply(&delta, Timestamp::ZERO, true);
        }
    }
    counts(held_since(before), view.bytes())
}

/// Entries and prefixes, far more than there is room for.
fn hit_for_pass_counts(pages: &[(u64, bool)]) -> Result<(), TestCaseError> {
    let before = ALLOCATED.load(Ordering::Relaxed);
    let mut uncacheable = Uncacheable::default();
    for (page, refused) in pages {
        let new = NewHitForPass {
            lifetime: LIFETIME,
            transient: false,
            least: NotForwarded::Usual,
            reason: "private",
            may_pass_soon: true,
        };
        uncacheable.insert(*page, &new, Timestamp::ZERO);
        if *refused {
            let prefixes: Vec<(u64, u32)> = (0..4).map(|n| (page.wrapping_add(n), 2)).collect();
            uncacheable.refused(*page, &prefixes, Timestamp::ZERO);
        }
    }
    prop_assert!(uncacheable.bytes() < 1 << 20, "{} bytes", uncacheable.bytes());
    counts(held_since(before), uncacheable.bytes())
}

/// Bodies of many senders in pieces of any length. What is counted of a request beside its body is
/// held elsewhere.
fn bodies_count(pieces: &[(u8, u16)]) -> Result<(), TestCaseError> {
    let before = ALLOCATED.load(Ordering::Relaxed);
    let mut bodies: Bodies<Rc<[u8]>> = Bodies::new(1 << 20);
    let mut open: Vec<BodyId> = Vec::new();
    for (peer, length) in pieces {
        if *length % 5 == 0 || open.is_empty() {
            open.push(bodies.begin(Peer::At(u64::from(*peer)), Timestamp::ZERO));
        }
        let id = open[usize::from(*peer) % open.len()];
        bodies.push(id, vec![0; usize::from(*length)].into(), u64::from(*length));
    }
    let (held, counted) = (held_since(before), bodies.bytes());
    prop_assert!(counted <= (1 << 20) + 70_000, "{counted} counted");
    prop_assert!(held <= counted + counted / 10 + 16 * 1_024, "{held} held, {counted} counted");
    Ok(())
}

/// The same of every other holder. One test, one after the other: the allocator is the process's.
fn every_other_holder_counts_what_it_holds() {
    let config = || Config { cases: 24, ..Config::default() };
    let steps = prop::collection::vec((any::<u64>(), 0u16..3_000, any::<u8>()), 1..40);
    let view = TestRunner::new(config()).run(&steps, |steps| view_counts(&steps));
    view.unwrap_or_else(|error| panic!("the view: {error}"));
    let pages = prop::collection::vec((any::<u64>(), any::<bool>()), 1..6_000);
    let hits_for_pass = TestRunner::new(config()).run(&pages, |pages| hit_for_pass_counts(&pages));
    hits_for_pass.unwrap_or_else(|error| panic!("hits for pass: {error}"));
    let pieces = prop::collection::vec((any::<u8>(), any::<u16>()), 1..400);
    let bodies = TestRunner::new(config()).run(&pieces, |pieces| bodies_count(&pieces));
    bodies.unwrap_or_else(|error| panic!("bodies: {error}"));
}
