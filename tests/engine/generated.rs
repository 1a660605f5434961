//! What slow origins and readers, odd hosts and the platform's limits can do, for generated cases:
//! each by a seed, which is printed. `GENERATED=0..5000` for more than the suite's.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use fastrand::Rng;

use crate::common::visit::start;
use crate::readers::reader_at;
use crate::world::{Isolate, Node, Script, World, request};
use edge_isr::base::time::{Millis, Timestamp};
use edge_isr::config::Config;
use edge_isr::control::Secrets;
use edge_isr::engine::Incoming;
use edge_isr::engine::platform_limits::{BACKGROUND_TASKS, SUBREQUESTS};
use edge_isr::engine::serve::at_once::Start;
use edge_isr::journal::Mode;

const SITE: &str = "https://example.com";

/// The suite's seeds of a test, or those of `GENERATED`.
fn seeds(most: u64) -> Range<u64> {
    let given = std::env::var("GENERATED").ok();
    let range = given.as_deref().and_then(|given| given.split_once(".."));
    let seeds = range.map_or(0..most, |(from, to)| from.parse().unwrap()..to.parse().unwrap());
    println!("seeds {seeds:?}");
    seeds
}

/// Streams of a job's progress, with any number of shards, which answer quickly or slowly, break
/// off now and then, or can't be reached for a while; the job ends, or does not. Each stream ends:
/// with the job, or with a reason and when to come again; and never asks for more than the platform
/// grants a request.
#[test]
fn streams_of_progress_end_within_what_the_platform_grants() {
    for seed in seeds(60) {
        let mut dice = Rng::with_seed(seed);
        let shards = [1, 2, 3, 4, 5, 6, 8, 16, 64, 256][dice.usize(0..10)];
        let config = Config { shards, ..Config::default() };
        let world = World::new(&config);
        world.origin(|reached| {
            let fields = [("cdn-cache-control", "max-age=300"), ("cache-tag", "all")];
            Ok(Script::new(200, &fields, &reached.target))
        });
        let isolate = Isolate::new(&world, &config, "ams");
        for page in 0..dice.usize(1..12) {
            isolate.get(&format!("{SITE}/{page}"), &[]);
        }
        world.pass(2_000);
        let seen = isolate.operate("POST", "/v1/revalidate", r#"{"tags": ["all"]}"#);
        let job: serde_json::Value = serde_json::from_str(&seen.text()).unwrap();
        world.shard_millis.set(dice.u64(1..400));
        let (often, mut breaks) = (dice.u32(0..4), dice.fork());
        *world.call_breaks.borrow_mut() = Box::new(move || breaks.u32(0..4) < often);
        let url = format!("{SITE}/__isr/v1/jobs/{}", job["id"].as_str().unwrap());
        let fields = [("authorization", "Bearer reading"), ("accept", "text/event-stream")];
        let secrets = Secrets::parse("", "r:read:reading").unwrap();
        world.spent();
        let stream = isolate.begin(request("GET", &url, &fields), "", &secrets);
        let (works, down) = (dice.i64(0..700), dice.i64(0..700));
        let mut calls = 0;
        for second in 0..700 {
            world.pass(1_000);
            let spent = world.spent();
            calls += ["shard", "journal"].iter().filter_map(|name| spent.get(name)).sum::<u64>();
            world.shards_down.set((down..down + 20).contains(&second) && seed % 3 == 0);
            if second == works && seed % 4 != 0 {
                world.start_alarms();
                // What the alarms ask for is not the stream's.
                world.pass(3_000);
                world.spent();
            }
        }
        assert!(calls <= SUBREQUESTS as u64, "{seed}: {calls} calls, {shards} shards");
        let seen = stream.borrow_mut().take();
        let seen = seen.unwrap_or_else(|| panic!("{seed}: it has not ended"));
        if seen.status != 200 {
            continue;
        }
        let text = seen.text();
        let last = text.trim_end().rsplit("\n\n").next().unwrap();
        let ended = last.starts_with("event: end") || last.starts_with("retry: ");
        assert!(ended, "{seed}: {last}");
    }
}

/// A body in pieces, apart by any time; with its length if that is stated.
fn pieces(dice: &mut Rng, bytes: usize, stated: bool) -> Script {
    let length = bytes.to_string();
    let mut fields = vec![("cdn-cache-control", "max-age=300")];
    if stated {
        fields.push(("content-length", &length));
    }
    let (piece, apart) = ([4_096, 16_384, 65_536][dice.usize(0..3)], dice.u64(0..40));
    let mut script = Script::new(200, &fields, "").after(dice.u64(0..500));
    script.pieces = (0..bytes / piece).map(|_| (dice.u64(0..=apart), vec![b'x'; piece])).collect();
    script
}

/// Readers of any speed, of whom some stall for ever at any place, of pages of any size, whose
/// length is stated or not: what they hold is within the budget to a tenth at every moment, nobody
/// who takes what is there is cut short, and in the end nothing is held.
#[test]
fn readers_of_any_speed_hold_no_more_than_there_is() {
    for seed in seeds(40) {
        let mut dice = Rng::with_seed(seed);
        let config = Config { max_body: 1 << 20, fill_memory: 4 << 20, ..Config::default() };
        let memory = [0, 2 << 20, 48 << 20][dice.usize(0..3)];
        let config = Config { memory, origin_concurrency: 200, ..config };
        let world = World::new(&config);
        let sizes: Vec<(usize, bool)> =
            (0..dice.usize(2..30)).map(|_| (65_536 * dice.usize(1..=16), dice.bool())).collect();
        let (given, bodies) = (sizes.clone(), RefCell::new(dice.fork()));
        world.origin(move |reached| {
            let (bytes, stated) = given[reached.target[1..].parse::<usize>().unwrap()];
            Ok(pieces(&mut bodies.borrow_mut(), bytes, stated))
        });
        let isolate = Isolate::new(&world, &config, "ams");
        let held = || isolate.engine.isolate().borrow().fill_bytes();
        let (mut readers, mut most) = (Vec::new(), 0);
        for _ in 0..dice.usize(1..80) {
            let page = dice.usize(0..sizes.len() - 1);
            let stalls = (dice.u8(0..4) == 0).then(|| dice.u64(0..sizes[page].0 as u64));
            let rest = if stalls.is_some() { dice.u64(0..60) } else { dice.u64(0..4) };
            let takes = move |has| match stalls {
                Some(at) if has >= at => 86_400_000,
                Some(_) | None => rest,
            };
            let reader = reader_at(&isolate, &format!("/{page}"), &[], takes);
            readers.push((reader, page, stalls));
            for _ in 0..dice.u8(0..20) {
                world.pass(dice.i64(1..30));
                most = most.max(held());
            }
        }
        for _ in 0..30_000 {
            world.pass(3);
            most = most.max(held());
        }
        assert!(most <= config.fill_memory / 10 * 11, "{seed}: {most} held");
        for (reader, page, _) in readers.iter().filter(|(_, _, stalls)| stalls.is_none()) {
            let end = reader.end.borrow().map(|(end, _)| end);
            let (bytes, stated) = sizes[*page];
            let seen = (end, reader.bytes.get());
            assert_eq!(seen, (Some(Ok(())), bytes as u64), "{seed}: page {page}, {stated}");
        }
        // One more has those let go that have taken nothing for a minute.
        world.pass(70_000);
        let last = reader_at(&isolate, &format!("/{}", sizes.len() - 1), &[], |_| 0);
        world.pass(15_000);
        assert_eq!((last.bytes.get(), held()), (sizes[sizes.len() - 1].0 as u64, 0), "{seed}");
    }
}

/// What a page of a warm queue is like.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answers {
    Soon,
    /// The head comes late, or a piece of the body each time.
    Drips(u64, u64),
    /// To another page that redirects, and so on.
    Redirects,
}

/// A shard's queue in which any pages drip, by head or body, or redirect to one another: the
/// others wait for them no longer than slow ones hold their place, and an alarm always ends.
#[test]
fn slow_pages_anywhere_in_a_queue_hold_up_no_other() {
    for seed in seeds(60) {
        let mut dice = Rng::with_seed(seed);
        let config = Config { shards: 1, new_keys_per_second: 10_000, ..Config::default() };
        let config =
            Config { warm_rate: 10_000, warm_concurrency: dice.usize(1..=5) as u32, ..config };
        let pages = dice.usize(10..60);
        let kinds: Vec<Answers> = (0..pages)
            .map(|_| match dice.u8(0..8) {
                0 => Answers::Drips(dice.u64(0..40_000), dice.u64(500..8_000)),
                1 => Answers::Redirects,
                _ => Answers::Soon,
            })
            .collect();
        let world = World::new(&config);
        world.origin(|reached| Ok(tagged(&reached.target)));
        let isolate = Isolate::new(&world, &config, "ams");
        for page in 0..pages {
            isolate.get(&format!("{SITE}/{page}"), &[]);
        }
        world.pass(2_000);
        let times = answer_as(&world, kinds.clone());
        world.invalidate("all", Mode::Soft);
        let began = world.now();
        while world.now().since(began) < Millis(300_000) {
            world.alarms();
            world.pass(500);
        }
        let slow = kinds.iter().filter(|kind| matches!(kind, Answers::Drips(..))).count() as u64;
        // With one place, as long as a warm may take as a whole. Where several are given up in a
        // row the shard rests, for a minute at most (`index/pace.rs`).
        let each = if config.warm_concurrency == 1 { 22_000 } else { 6_000 };
        let rest = if slow > 3 { 60_000 } else { 0 };
        let late = Millis(3_000 + each * slow + rest);
        for page in (0..pages).filter(|page| !matches!(kinds[*page], Answers::Drips(..))) {
            let at = times.borrow().get(&format!("/{page}")).copied();
            let took = at.map(|at| at.since(began));
            assert!(took.is_some_and(|took| took < late), "{seed}: {slow} drip, /{page} {took:?}");
        }
        world.pass(400_000);
        world.alarms();
        assert_eq!(isolate.engine.isolate().borrow().fill_bytes(), 0, "{seed}");
    }
}

fn tagged(body: &str) -> Script {
    let fresh = "max-age=10, stale-while-revalidate=86400";
    Script::new(200, &[("cdn-cache-control", fresh), ("cache-tag", "all")], body)
}

/// The pages answer so from now on; when each was first asked for.
fn answer_as(world: &Rc<World>, kinds: Vec<Answers>) -> Rc<RefCell<BTreeMap<String, Timestamp>>> {
    let times: Rc<RefCell<BTreeMap<String, Timestamp>>> = Rc::default();
    let (log, clock) = (Rc::clone(&times), Rc::downgrade(world));
    world.origin(move |reached| {
        let now = clock.upgrade().expect("the world").now();
        log.borrow_mut().entry(reached.target.clone()).or_insert(now);
        let number: usize = reached.target[1..].parse().expect("a number");
        Ok(match kinds[number] {
            Answers::Soon => tagged(&reached.target),
            Answers::Drips(head, apart) => {
                let mut script = tagged("").after(head);
                script.pieces = (0..10_000).map(|_| (apart, b"x".to_vec())).collect();
                script
            }
            Answers::Redirects => {
                let next = format!("/{}", (number + 1) % kinds.len());
                Script::new(302, &[("location", &next), ("cache-tag", "all")], "")
            }
        })
    });
    times
}

/// A stale page whose origin takes any time, around what the platform grants background tasks and
/// far beyond, for its head or its body: when that is over nothing of the refresh is left here; the
/// next reader gets an answer at once; the page is renewed, by the refresh or by the alarm of its
/// shard, if the origin answers within its limit; and nobody asks the origin a third time for it.
#[test]
fn refreshes_of_any_length_end_within_what_the_platform_grants() {
    for seed in seeds(150) {
        let mut dice = Rng::with_seed(seed);
        let limit = Millis(dice.u64(5..=300) * 1_000);
        let config = Config { shards: 1, origin_timeout: limit, ..Config::default() };
        let world = World::new(&config);
        let (head, rest) = (Rc::new(Cell::new(1)), Rc::new(Cell::new(1)));
        let (slow_head, slow_rest, asked) = (Rc::clone(&head), Rc::clone(&rest), Cell::new(0));
        world.origin(move |_| {
            asked.set(asked.get() + 1);
            let fresh = "max-age=100, stale-while-revalidate=86400";
            let mut script = Script::new(200, &[("cdn-cache-control", fresh)], "");
            let text = asked.get().to_string().into_bytes();
            script.pieces = vec![(0, text), (slow_rest.get(), b".".to_vec())];
            Ok(script.after(slow_head.get()))
        });
        let isolate = Isolate::new(&world, &config, "ams");
        let url = format!("{SITE}/page");
        isolate.get(&url, &[]);
        world.pass(102_000);
        let around =
            |dice: &mut Rng| [0, 0, 1, 1_000, 29_000][dice.usize(0..5)] + dice.u64(0..4_000);
        head.set(around(&mut dice));
        rest.set(around(&mut dice));
        world.spent();
        assert_eq!(isolate.get(&url, &[]).text(), "1.", "{seed}");
        world.pass(BACKGROUND_TASKS.0 as i64);
        let state = (head.get(), rest.get(), limit);
        {
            let isolate = isolate.engine.isolate().borrow();
            let left = (isolate.in_flight.len(), isolate.fill_bytes());
            assert_eq!(left, (0, 0), "{seed}: {state:?}");
        }
        world.alarms();
        assert!(world.spent()["origin"] <= 2, "{seed}: {state:?}");
        head.set(1);
        rest.set(1);
        let before = world.now();
        let seen = isolate.get(&url, &[]);
        assert_eq!(seen.status, 200, "{seed}: {state:?}");
        assert!(world.now().since(before) < Millis(1_000), "{seed}: {state:?}");
        world.pass(3_000);
        let renewed = isolate.get(&url, &[]).text();
        assert_ne!(renewed, "1.", "{seed}: {state:?} {}", seen.cache_status());
    }
}

/// Requests for any hosts, with and without ports, by both schemes: L1 is looked up under the host
/// that was asked for, what a request stores stands under it, and so does what a shard's alarm
/// refetches. No two of them find each other's pages.
#[test]
fn the_colo_is_asked_under_the_requests_own_host() {
    let config = Config { shards: 1, memory: 48 << 20, ..Config::default() };
    for seed in seeds(20) {
        let mut dice = Rng::with_seed(seed);
        let world = World::new(&config);
        world.origin(|reached| {
            let said = |name| reached.fields.get(name).unwrap_or_default();
            let (scheme, host) = (said("x-forwarded-proto"), said("x-forwarded-host"));
            Ok(tagged(&format!("{scheme}://{host}{}", reached.target)))
        });
        let isolate = Isolate::new(&world, &config, "ams");
        let urls: BTreeSet<String> = (0..dice.usize(2..30)).map(|_| any_url(&mut dice)).collect();
        for url in &urls {
            assert_eq!(&isolate.get(url, &[]).text(), url, "{seed}");
        }
        world.pass(2_000);
        let hosts = |isolate: &Isolate| -> BTreeSet<String> {
            let isolate = isolate.engine.isolate().borrow();
            isolate.memory.pages().map(|page| page.entry.page.host.clone()).collect()
        };
        let asked: BTreeSet<String> =
            urls.iter().map(|url| request("GET", url, &[]).host).collect();
        assert_eq!(hosts(&isolate), asked, "{seed}");
        let cold = Isolate::new(&world, &config, "ams");
        cold.get("https://another.example/", &[]);
        for url in &urls {
            let head = Rc::new(request("GET", url, &[]));
            let node = Node::new(&world, "ams");
            let incoming =
                Incoming { head: Rc::clone(&head), body: None, client_accept_encoding: None };
            match start(&cold.engine, &node, &incoming) {
                Start::Colo(look) => assert_eq!(look.host(), head.host, "{seed}"),
                Start::Answer(_) | Start::Later => panic!("{seed}: {url} is not looked for"),
            }
            let seen = cold.get(url, &[]);
            assert_eq!(&seen.text(), url, "{seed}");
            assert!(seen.cache_status().contains("hit"), "{seed}: {url} {}", seen.cache_status());
        }
    }
}

fn any_url(dice: &mut Rng) -> String {
    let scheme = ["http", "https"][dice.usize(0..2)];
    let name =
        ["example.com", "www.example.com", "localhost", "127.0.0.1", "xn--bcher-kva.example"]
            [dice.usize(0..5)];
    let port = ["", "", ":8080", ":8443", ":443", ":80"][dice.usize(0..6)];
    format!("{scheme}://{name}{port}/{}", dice.u8(0..3))
}
