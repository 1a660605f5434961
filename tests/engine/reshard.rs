//! A change of the number of shards in a world of virtual time: the journal notices it, the shards
//! hand pages over from their alarms, and operators see how far that is.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::rc::Rc;

use crate::world::{Isolate, Script, World};
use edge_isr::config::{Config, LogLevel};
use edge_isr::journal::Mode;
use serde_json::{Value, json};

const PAGES: usize = 30;

fn config(shards: u16) -> Config {
    Config {
        shards,
        new_keys_per_second: 10_000,
        warm_rate: 10_000,
        log: LogLevel::Events,
        ..Config::default()
    }
}

fn url(n: usize) -> String {
    format!("https://example.com/p/{n}")
}

/// A site of some pages with one tag, all of them known to the index.
fn filled(shards: u16) -> Rc<World> {
    let world = World::new(&config(shards));
    world.origin(|_| {
        let fresh = "max-age=3000, stale-while-revalidate=6000";
        Ok(Script::new(200, &[("cdn-cache-control", fresh), ("x-edge-isr-tags", "all")], "page"))
    });
    let isolate = Isolate::new(&world, &config(shards), "ams");
    for n in 0..PAGES {
        assert_eq!(isolate.get(&url(n), &[]).text(), "page");
    }
    world.pass(100);
    world
}

fn operate(isolate: &Isolate, path: &str) -> Value {
    serde_json::from_str(&isolate.operate("GET", path, "").text()).expect("JSON")
}

fn notes(isolate: &Isolate) -> Vec<(String, String)> {
    let health = operate(isolate, "/healthz");
    assert_eq!(health["ready"], json!(true), "it is no fault");
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let notes = health["notes"].as_array().expect("notes");
    notes.iter().map(|note| (word(&note["reason"]), word(&note["details"][0]))).collect()
}

fn listed(isolate: &Isolate) -> usize {
    let pages = operate(isolate, "/v1/tags/all/pages?limit=1000");
    pages["pages"].as_array().expect("pages").len()
}

/// Lets the objects work until health notes no change any more; how many rounds that took.
fn settle(world: &Rc<World>, isolate: &Isolate) -> usize {
    for round in 0..100 {
        world.alarms();
        world.pass(5_000);
        if !notes(isolate).iter().any(|(reason, _)| reason == "resharding") {
            return round;
        }
    }
    panic!("it does not end: {:?}", notes(isolate));
}

/// Invalidates the tag and lets the objects work: every page was asked for once.
fn all_are_warmed(world: &Rc<World>, isolate: &Isolate) {
    world.reached.borrow_mut().clear();
    world.invalidate("all", Mode::Soft);
    world.alarms();
    world.pass(2_000);
    world.alarms();
    let mut targets: Vec<String> =
        world.reached.borrow().iter().map(|reached| reached.target.clone()).collect();
    targets.sort();
    let mut want: Vec<String> = (0..PAGES).map(|n| format!("/p/{n}")).collect();
    want.sort();
    assert_eq!(targets, want);
    assert_eq!(listed(isolate), PAGES);
}

#[test]
fn pages_move_by_themselves_and_operators_see_it() {
    for (before, after) in [(2, 3), (3, 1)] {
        let world = filled(before);
        for shards in [after, before] {
            world.deploy(&config(shards));
            let isolate = Isolate::new(&world, &config(shards), "ams");
            world.reached.borrow_mut().clear();
            world.lines.borrow_mut().clear();
            world.alarms();
            world.pass(2_000);
            let moving = before.max(after);
            let note = format!("{moving} shards have pages that are to go to others");
            assert!(notes(&isolate).contains(&("resharding".to_owned(), note)));
            let metrics = isolate.operate("GET", "/metrics?isolate", "").text();
            assert!(metrics.contains(&format!("\nedge_isr_shards_moving {moving}\n")), "{metrics}");
            assert!(settle(&world, &isolate) > 1);
            let metrics = isolate.operate("GET", "/metrics?isolate", "").text();
            assert!(metrics.contains("\nedge_isr_shards_moving 0\n"), "{metrics}");
            let lines = world.lines.borrow().join("\n");
            assert!(lines.contains("\"event\":\"resharding\""), "{lines}");
            assert!(lines.contains("\"moving\":0"), "{lines}");
            assert!(!lines.contains("problem"), "{lines}");
            // A cold colo reads the copies that the shards before had named.
            let far = Isolate::new(&world, &config(shards), &format!("far-{shards}"));
            for n in 0..PAGES {
                let cache_status = far.get(&url(n), &[]).cache_status();
                assert!(
                    cache_status.contains(";hit;") && cache_status.contains("detail=global"),
                    "{n}: {cache_status}"
                );
            }
            assert_eq!(world.reached.borrow().len(), 0, "nothing was refetched");
            all_are_warmed(&world, &isolate);
        }
    }
}

#[test]
fn shards_of_the_version_before_get_it_until_they_understand() {
    let world = filled(1);
    world.deploy(&config(2));
    let isolate = Isolate::new(&world, &config(2), "ams");
    world.shards_before.set(true);
    for _ in 0..5 {
        world.alarms();
        world.pass(11_000);
        assert!(notes(&isolate).iter().any(|(reason, _)| reason == "resharding"));
    }
    // Pages are where they were; the invalidation reaches them there.
    all_are_warmed(&world, &isolate);
    world.shards_before.set(false);
    settle(&world, &isolate);
    all_are_warmed(&world, &isolate);
}

#[test]
fn shards_that_are_out_of_reach_get_it_later() {
    let world = filled(3);
    world.deploy(&config(2));
    let isolate = Isolate::new(&world, &config(2), "ams");
    world.shards_down.set(true);
    world.alarms();
    world.pass(60_000);
    world.alarms();
    world.shards_down.set(false);
    settle(&world, &isolate);
    all_are_warmed(&world, &isolate);
}

#[test]
fn a_refill_before_the_move_keeps_the_tags_of_the_copy_that_it_replaces() {
    let world = filled(1);
    world.deploy(&config(2));
    world.origin(|_| {
        let fresh = "max-age=3000, stale-while-revalidate=6000";
        Ok(Script::new(200, &[("cdn-cache-control", fresh)], "page"))
    });
    let isolate = Isolate::new(&world, &config(2), "ams");
    world.pass(4_000_000);
    for n in 0..PAGES {
        isolate.get(&url(n), &[]);
    }
    world.pass(1_000);
    settle(&world, &isolate);
    all_are_warmed(&world, &isolate);
}

/// A new shard has got no invalidation, and stamps what it fetches past those of before all the
/// same.
#[test]
fn what_a_new_shard_warms_is_past_the_invalidations_of_before() {
    let world = filled(2);
    world.invalidate("all", Mode::Hard);
    world.alarms();
    world.deploy(&config(6));
    let isolate = Isolate::new(&world, &config(6), "ams");
    world.alarms();
    let urls: Vec<String> = (PAGES..2 * PAGES).map(url).collect();
    let body = json!({ "urls": urls }).to_string();
    assert_eq!(isolate.operate("POST", "/v1/warm", &body).status, 202);
    world.alarms();
    world.spent();
    for url in urls {
        let seen = isolate.get(&url, &[]);
        assert!(seen.cache_status().contains("hit"), "{url} {}", seen.cache_status());
    }
    assert_eq!(world.spent().get("origin"), None);
}
