//! A journal that keeps few targets by name: names of others do not end what a page has for an
//! origin that is slow or down.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::cell::Cell;
use std::rc::Rc;

use crate::world::{Isolate, Script, World};
use edge_isr::config::Config;
use edge_isr::engine::port::OriginError;
use edge_isr::front_caches::parse_config;
use edge_isr::journal::Mode;

const FRESH: &str = "max-age=300, stale-while-revalidate=3600, stale-if-error=86400";

fn config() -> Config {
    parse_config(r#"{"shards": 1, "journal_targets": 1000}"#).unwrap()
}

/// How many of twenty pages that nobody named answer while the origin is down, after names of
/// others.
fn left_after(webhooks: u32, mode: Mode) -> (usize, usize) {
    let world = World::new(&config());
    let down = Rc::new(Cell::new(false));
    let broken = Rc::clone(&down);
    world.origin(move |reached| {
        if broken.get() {
            return Err(OriginError::Unreachable);
        }
        let tag = format!("own:{}", reached.target);
        Ok(Script::new(200, &[("cdn-cache-control", FRESH), ("surrogate-key", &tag)], "page"))
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    let page = |n: usize| format!("https://example.com/{n}");
    (0..20).for_each(|n| drop(isolate.get(&page(n), &[])));
    world.pass(100);
    for webhook in 0..webhooks {
        let tags: Vec<String> = (0..9_000).map(|n| format!("other:{webhook}:{n}")).collect();
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        world.invalidate_all(&tags, mode, false);
        // Folded into buckets: half of all, and more.
        (0..3).for_each(|_| world.alarms());
    }
    world.pass(5_000);
    down.set(true);
    let seen: Vec<_> = (0..20).map(|n| isolate.get(&page(n), &[])).collect();
    let stale = |seen: &&crate::world::Seen| seen.cache_status().contains("invalidated");
    (seen.iter().filter(|seen| seen.status == 200).count(), seen.iter().filter(stale).count())
}

#[test]
fn names_of_others_do_not_end_the_windows_of_a_page() {
    let (answered, stale) = left_after(2, Mode::Soft);
    assert_eq!(answered, 20);
    assert!(stale > 0, "nothing fell into a bucket of these pages");
    let (answered, _) = left_after(2, Mode::Hard);
    assert!(answered < 5, "hard stays hard: {answered}");
}
