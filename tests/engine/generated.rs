//! What slow origins, slow readers and the platform's limits can do, for generated cases: each by a
//! seed, which is printed. `GENERATED=0..5000` for more than the suite's.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::ops::Range;

use fastrand::Rng;

use crate::world::{Isolate, Script, World, request};
use edge_isr::config::Config;
use edge_isr::control::Secrets;
use edge_isr::engine::platform_limits::SUBREQUESTS;

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
