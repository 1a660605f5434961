//! Origins that drip or take long, for work that nobody waits for: a slow warm holds up no other, an alarm ends in
//! time, and a refresh that takes longer than the platform lets tasks run goes to the alarm of its shard.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::world::{Isolate, Script, World};
use edge_isr::base::time::{Millis, Timestamp};
use edge_isr::config::Config;
use edge_isr::journal::Mode;

const SITE: &str = "https://example.com";

fn config() -> Config {
    Config { shards: 1, new_keys_per_second: 10_000, warm_rate: 10_000, ..Config::default() }
}

fn page(path: &str) -> Script {
    let fresh = "max-age=10, stale-while-revalidate=86400";
    Script::new(200, &[("cdn-cache-control", fresh), ("cache-tag", "all")], path)
}

fn dripping(path: &str) -> Script {
    let mut script = page(path);
    script.pieces = (0..100_000).map(|_| (5_000, b"x".to_vec())).collect();
    script
}

type Times = Rc<RefCell<BTreeMap<String, Timestamp>>>;

/// Stored pages, of which some drip from now on; when each was last asked for.
fn site(pages: usize, slow: usize) -> (Rc<World>, Isolate, Times) {
    let world = World::new(&config());
    world.origin(|reached| Ok(page(&reached.target)));
    let isolate = Isolate::new(&world, &config(), "ams");
    for n in 0..pages {
        isolate.get(&format!("{SITE}/{n}"), &[]);
    }
    world.pass(2_000);
    let asked: Times = Rc::default();
    let (log, clock) = (Rc::clone(&asked), Rc::downgrade(&world));
    world.origin(move |reached| {
        let now = clock.upgrade().expect("the world").now();
        log.borrow_mut().insert(reached.target.clone(), now);
        let number: usize = reached.target[1..].parse().expect("a number");
        Ok(if number < slow { dripping(&reached.target) } else { page(&reached.target) })
    });
    (world, isolate, asked)
}

#[test]
fn a_dripping_page_holds_up_no_other_warm() {
    for slow in [1, 3, 10] {
        let (world, _, asked) = site(40, slow);
        world.invalidate("all", Mode::Soft);
        let began = world.now();
        world.start_alarms();
        world.pass(60_000);
        let late = Millis(2_000 + 6_000 * slow as u64);
        for n in slow..40 {
            let at = asked.borrow().get(&format!("/{n}")).copied();
            let took = at.map(|at| at.since(began));
            assert!(took.is_some_and(|took| took < late), "{slow} drip, /{n} after {took:?}");
        }
    }
}

#[test]
fn an_alarm_ends_whatever_its_warms_do() {
    let (world, isolate, _) = site(10, 10);
    world.invalidate("all", Mode::Soft);
    let began = world.now();
    // Until the run has ended by itself.
    world.alarms();
    let took = world.now().since(began);
    assert!(took < Millis(500_000), "{took:?}");
    assert_eq!(isolate.engine.isolate().borrow().fill_bytes(), 0);
}

/// A refresh that takes longer than background tasks may is done by the shard's alarm, and its fill holds up nobody.
#[test]
fn a_slow_refresh_goes_to_the_alarm() {
    let config = Config { origin_timeout: Millis(300_000), ..config() };
    let world = World::new(&config);
    let delay = Rc::new(Cell::new(10));
    let slow = Rc::clone(&delay);
    let version = Rc::new(Cell::new(0));
    let count = Rc::clone(&version);
    world.origin(move |reached| {
        count.set(count.get() + 1);
        let mut script = page(&reached.target);
        script.fields.set("cdn-cache-control", "max-age=100, stale-while-revalidate=86400");
        script.pieces = vec![(0, count.get().to_string().into_bytes())];
        Ok(script.after(slow.get()))
    });
    let isolate = Isolate::new(&world, &config, "ams");
    isolate.get(&format!("{SITE}/page"), &[]);
    world.pass(102_000);
    delay.set(60_000);
    let stale = isolate.get(&format!("{SITE}/page"), &[]);
    assert_eq!(stale.text(), "1");
    // Within the platform's 30 s the refresh has ended, and left the rest to the shard.
    world.pass(28_000);
    let flights = isolate.engine.isolate().borrow().fills.len();
    assert_eq!(flights, 0, "no fill is listed any more");
    world.alarms();
    delay.set(10);
    let seen = isolate.get(&format!("{SITE}/page"), &[]);
    world.pass(3_000);
    let renewed = isolate.get(&format!("{SITE}/page"), &[]);
    assert_eq!((seen.status, renewed.text().as_str()), (200, "3"), "{}", renewed.cache_status());
    assert_eq!(version.get(), 3, "the refresh that was given up, and the alarm's");
}

/// The body of a refresh drips: it is given up in time, and left to the shard's alarm.
#[test]
fn a_dripping_refresh_is_given_up_in_time() {
    let (world, isolate, asked) = site(1, 1);
    world.pass(12_000);
    isolate.get(&format!("{SITE}/0"), &[]);
    world.pass(29_000);
    assert_eq!(asked.borrow().len(), 1);
    let fills = isolate.engine.isolate().borrow().fills.len();
    assert_eq!((fills, isolate.engine.isolate().borrow().fill_bytes()), (0, 0));
}
