//! What a hit in memory costs, counted: allocations of the engine, and bytes of them. None of these
//! grows with what is stored or was invalidated.
#![allow(unsafe_code, reason = "an allocator that counts")]
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use edge_isr::base::time::{Epoch, Millis, Timestamp};
use edge_isr::cache::admission::looked_at;
use edge_isr::cache::key::CacheKey;
use edge_isr::cache::tag::TargetHash;
use edge_isr::config::Config;
use edge_isr::engine::memory::StoredRecord;
use edge_isr::engine::port::Platform as _;
use edge_isr::engine::serve::at_once::{AnswerHead, Start, Unread};
use edge_isr::http::{Fields, RequestHead};
use edge_isr::journal::delta::{Delta, TargetRow};
use edge_isr::journal::view::Applied;

use common::visit::named;
use world::{Isolate, Node, Script, World};

#[path = "common/mod.rs"]
mod common;
#[path = "world/mod.rs"]
mod world;

/// The system's allocator, counting what this thread asks of it.
struct Counting;

thread_local! {
    static COUNTED: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

fn count(size: usize) {
    COUNTED.with(|counted| {
        let (calls, bytes) = counted.get();
        counted.set((calls + 1, bytes + size as u64));
    });
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller's contract.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What every visitor says.
const VISITOR: &[(&str, &str)] = &[
    ("accept", "text/html"),
    ("accept-language", "en-US,en;q=0.9"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
    ("cookie", "_ga=GA1.2.3; consent=yes"),
];

/// The visitor's request, of which the head has what is looked at.
struct Request(RequestHead);

impl Unread for Request {
    fn fields(&self, names: &[&str]) -> Fields {
        named(&self.0.fields, names)
    }

    fn client(&self) -> Option<String> {
        self.0.client.clone()
    }

    fn client_accept_encoding(&self) -> Option<String> {
        None
    }
}

/// Allocations of a hit, and their bytes: of the third hit of a page, and of those after it.
fn cost(isolate: &Isolate, url: &str) -> (u64, u64) {
    let request = Request(world::request("GET", url, VISITOR));
    let names = looked_at(isolate.engine.config());
    let now = Node::new(&isolate.world, "ams").now();
    let hit = || {
        let mut head = request.0.clone();
        head.fields.retain(|name, _| names.iter().any(|looked_at| looked_at == name));
        let before = COUNTED.get();
        let start = isolate.engine.serve_at_once(head, &request, now);
        let after = COUNTED.get();
        let Start::Answer(answer) = start else { panic!("no hit") };
        assert!(matches!(answer.head, AnswerHead::Ready(_)), "its fields are ready");
        (after.0 - before.0, after.1 - before.1)
    };
    let costs: Vec<_> = (0..9).map(|_| hit()).collect();
    costs[3..].iter().copied().max().expect("some")
}

fn isolate(vary: Option<&'static str>) -> Isolate {
    let config = Config::default();
    let world = World::new(&config);
    world.origin(move |reached| {
        let mut fields = vec![
            ("cdn-cache-control", "max-age=3600"),
            ("content-type", "text/html; charset=utf-8"),
            ("etag", "\"v1\""),
            ("x-edge-isr-tags", "post:1 category:2 all"),
        ];
        fields.extend(vary.map(|vary| ("vary", vary)));
        Ok(Script::new(200, &fields, &reached.target))
    });
    Isolate::new(&world, &config, "ams")
}

fn warmed(isolate: &Isolate, url: &str) -> (u64, u64) {
    for _ in 0..3 {
        assert_eq!(isolate.get(url, VISITOR).status, 200);
    }
    cost(isolate, url)
}

const PAGE: &str = "https://site.test/post/42/?utm_source=x&b=2&a=1";

/// The most that a hit may ask of the allocator: lowered where it falls, raised on purpose only.
const MOST: (u64, u64) = (10, 482);
const MOST_OF_A_VARIANT: (u64, u64) = (36, 2_048);

#[test]
fn a_hit_allocates_no_more_than_it_did() {
    let (calls, bytes) = warmed(&isolate(None), PAGE);
    assert!(calls <= MOST.0 && bytes <= MOST.1, "{calls} calls, {bytes} bytes");
}

#[test]
fn a_hit_of_a_variant_allocates_no_more_than_it_did() {
    let vary = Some("Accept-Encoding, Accept-Language, Cookie");
    let (calls, bytes) = warmed(&isolate(vary), PAGE);
    let most = MOST_OF_A_VARIANT;
    assert!(calls <= most.0 && bytes <= most.1, "{calls} calls, {bytes} bytes");
}

/// An invalidation of each of so many tags that no page has.
fn invalidate_others(isolate: &Isolate, count: u64) {
    let mut state = isolate.engine.isolate().borrow_mut();
    let (since, now) = (state.view.since(), isolate.world.now());
    let row = |n: u64| TargetRow {
        hash: TargetHash(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        soft: Epoch(1),
        hard: Epoch::ZERO,
        soft_at: now,
    };
    let rows = (0..count).map(row).collect();
    let to = Epoch(since.map_or(1, |since| since.0 + 1));
    let delta =
        Delta { since, to, more: false, head: to, rows, buckets: Vec::new(), reported: None };
    assert_eq!(state.view.apply(&delta, now, true), Applied::Whole);
}

/// So many marks beside the pages.
fn remember_others(isolate: &Isolate, count: u64) {
    let mut state = isolate.engine.isolate().borrow_mut();
    let until = isolate.world.now().plus(Millis(1));
    let order = (Epoch::ZERO, Timestamp::ZERO);
    for n in 0..count {
        let key = CacheKey::from_stored(format!("other {n}"));
        state.memory.put(&key, StoredRecord::Pass("private".into(), until, order));
    }
    assert!(state.memory.len() as u64 > count, "they find room");
}

#[test]
fn a_hit_costs_the_same_whatever_else_is_known() {
    let isolate = isolate(None);
    let alone = warmed(&isolate, PAGE);
    for (others, targets) in [(100, 0), (10_000, 1_000), (100_000, 100_000)] {
        remember_others(&isolate, others);
        invalidate_others(&isolate, targets);
        isolate.get(PAGE, VISITOR);
        assert_eq!(cost(&isolate, PAGE), alone, "{others} others, {targets} targets");
    }
}
