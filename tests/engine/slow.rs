//! Origins that drip or take long, for work that nobody waits for: a slow warm holds up no other,
//! an alarm ends in time, and a refresh that takes longer than the platform lets tasks run goes to
//! the alarm of its shard.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::world::{Isolate, Script, World, request};
use edge_isr::base::time::{Millis, Timestamp};
use edge_isr::config::Config;
use edge_isr::engine::bodies::Peer;
use edge_isr::engine::platform_limits::{CONNECTIONS, FETCHES, SUBREQUESTS};
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
    let times: Times = Rc::default();
    let (log, clock) = (Rc::clone(&times), Rc::downgrade(&world));
    world.origin(move |reached| {
        let now = clock.upgrade().expect("the world").now();
        log.borrow_mut().insert(reached.target.clone(), now);
        let number: usize = reached.target[1..].parse().expect("a number");
        Ok(if number < slow { dripping(&reached.target) } else { page(&reached.target) })
    });
    (world, isolate, times)
}

#[test]
fn a_dripping_page_holds_up_no_other_warm() {
    for slow in [1, 3, 10] {
        let (world, _, times) = site(40, slow);
        world.invalidate("all", Mode::Soft);
        let began = world.now();
        world.start_alarms();
        world.pass(60_000);
        let late = Millis(2_000 + 6_000 * slow as u64);
        for n in slow..40 {
            let at = times.borrow().get(&format!("/{n}")).copied();
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

/// However long the queue is, and whatever stands beside it: no alarm makes more requests than the
/// platform allows an invocation, and has no more connections open; the next goes on.
#[test]
fn an_alarm_asks_for_no_more_than_the_platform_allows() {
    const PAGES: usize = 1_200;
    let settings = Config { shards: 1, warm_concurrency: 5, warm_rate: 10_000, ..config() };
    let world = World::new(&settings);
    world.origin(move |reached| match reached.target.as_str() {
        "/map" => {
            let lines: String = (0..PAGES).map(|n| format!("{SITE}/{n}\n")).collect();
            let mut script = page("/map");
            script.pieces = vec![(0, lines.into_bytes())];
            Ok(script)
        }
        // Some are slow, and keep their connections.
        path if path.ends_with("77") => Ok(page(path).after(9_000)),
        path => Ok(page(path).after(20)),
    });
    let isolate = Isolate::new(&world, &settings, "ams");
    let map = format!("{{\"sitemap\": \"{SITE}/map\"}}");
    assert_eq!(isolate.operate("POST", "/v1/warm", &map).status, 202);
    for _ in 0..40 {
        world.alarms();
        world.pass(10_000);
    }
    let reached = world.reached.borrow();
    let pages: BTreeSet<&str> = reached.iter().map(|reached| reached.target.as_str()).collect();
    assert_eq!(pages.len(), PAGES + 1);
    let of_alarms = world.of_alarms.borrow();
    let most = |of: fn(&(u64, u64)) -> u64| of_alarms.iter().map(of).max().unwrap_or_default();
    let (origin, calls) = (most(|alarm| alarm.0), most(|alarm| alarm.1));
    assert!((20..=FETCHES as u64).contains(&origin), "{origin} requests to the origin");
    assert!(calls <= SUBREQUESTS as u64, "{calls} to objects and L2");
    let at_once = world.most_at_origin.get() as usize;
    assert!((5..=CONNECTIONS).contains(&at_once), "{at_once} connections");
}

/// What one visitor's request may cost at most: a page that another isolate fetches for as long as
/// a lease may be waited for, and then fails.
#[test]
fn a_request_asks_for_no_more_than_the_platform_allows() {
    let settings = Config { shards: 1, ..config() };
    let world = World::new(&settings);
    world.origin(|reached| Ok(page(&reached.target).after(19_000)));
    let (first, second) =
        (Isolate::new(&world, &settings, "ams"), Isolate::new(&world, &settings, "fra"));
    let head = request("GET", &format!("{SITE}/slow"), &[]);
    let fetching = world.start(async move { first.ask(head).await });
    world.pass(100);
    world.spent();
    let seen = second.get(&format!("{SITE}/slow"), &[]);
    assert_eq!(seen.status, 200, "{}", seen.cache_status());
    world.pass(60_000);
    assert!(fetching.borrow().is_some());
    // What both asked for, as an upper bound of what one did.
    let spent = world.spent();
    let of = |names: &[&str]| -> u64 { names.iter().filter_map(|name| spent.get(name)).sum() };
    assert!(of(&["origin"]) <= 4, "{spent:?}");
    // The colo's cache counts as the network does.
    let near = of(&["origin", "l1_get", "l1_put", "news_get", "news_put"]);
    assert!((10..=FETCHES as u64).contains(&near), "{spent:?}");
    let calls = of(&["shard", "journal", "l2_get", "l2_put"]);
    assert!((10..=SUBREQUESTS as u64).contains(&calls), "{spent:?}");
}

/// A refresh that takes longer than background tasks may is done by the shard's alarm, and its fill
/// holds up nobody.
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
    let fills = isolate.engine.isolate().borrow().in_flight.len();
    assert_eq!(fills, 0, "no fill is listed any more");
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
    let (world, isolate, times) = site(1, 1);
    world.pass(12_000);
    isolate.get(&format!("{SITE}/0"), &[]);
    world.pass(29_000);
    assert_eq!(times.borrow().len(), 1);
    let fills = isolate.engine.isolate().borrow().in_flight.len();
    assert_eq!((fills, isolate.engine.isolate().borrow().fill_bytes()), (0, 0));
}

/// The same where it waits for room in memory, which a body of a visitor's takes.
#[test]
fn a_refresh_that_finds_no_room_is_given_up_in_time() {
    let config = Config { fill_memory: 2 << 20, max_body: 2 << 20, ..config() };
    let world = World::new(&config);
    let stale = Rc::new(Cell::new(false));
    let slow = Rc::clone(&stale);
    world.origin(move |_| {
        let script =
            Script::new(200, &[("cache-control", "max-age=5, stale-while-revalidate=3600")], "x");
        Ok(script.after(if slow.get() { 10_000 } else { 1 }))
    });
    let isolate = Isolate::new(&world, &config, "ams");
    isolate.get(&format!("{SITE}/page"), &[]);
    world.pass(12_000);
    stale.set(true);
    isolate.get(&format!("{SITE}/page"), &[]);
    world.pass(5_000);
    {
        let bodies = &mut isolate.engine.isolate().borrow_mut().bodies;
        let id = bodies.begin(Peer::At(1), world.now());
        assert!(bodies.push(id, Rc::from([0; 1]), 4 << 20));
    }
    world.pass(24_000);
    let fills = isolate.engine.isolate().borrow().in_flight.len();
    assert_eq!(fills, 0, "ended, and the pause after it too");
}

/// A sitemap that drips without end holds up no warm of its shard, nor another sitemap.
#[test]
fn a_dripping_sitemap_holds_up_no_warm() {
    let (world, isolate, asked) = site(20, 0);
    let log = Rc::clone(&asked);
    let clock = Rc::downgrade(&world);
    world.origin(move |reached| {
        let now = clock.upgrade().expect("the world").now();
        log.borrow_mut().entry(reached.target.clone()).or_insert(now);
        Ok(match reached.target.as_str() {
            "/drips" => {
                let mut script = page("/drips");
                let line = |n: usize| format!("{SITE}/drip/{n}\n").into_bytes();
                script.pieces = (0..100_000).map(|n| (3_000, line(n))).collect();
                script
            }
            "/map" => page(&format!("{SITE}/mapped\n")),
            path => page(path),
        })
    });
    for map in ["drips", "map"] {
        let order = format!("{{\"sitemap\": \"{SITE}/{map}\"}}");
        assert_eq!(isolate.operate("POST", "/v1/warm", &order).status, 202);
    }
    world.invalidate("all", Mode::Soft);
    let began = world.now();
    for _ in 0..90 {
        world.start_alarms();
        world.pass(1_000);
    }
    for path in (0..20).map(|n| format!("/{n}")).chain(["/mapped".to_owned()]) {
        let took = asked.borrow().get(&path).map(|at| at.since(began));
        assert!(took.is_some_and(|took| took < Millis(3_000)), "{path} after {took:?}");
    }
}
