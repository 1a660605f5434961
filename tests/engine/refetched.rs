//! Refetches that brought nothing new are counted: by the job, by the page, by the metrics.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::cell::Cell;
use std::rc::Rc;

use crate::world::{Isolate, Reached, Script, Seen, World};
use edge_isr::config::Config;
use serde_json::{Value, json};

fn config() -> Config {
    Config { shards: 3, warm_rate: 10_000, ..Config::default() }
}

fn document(seen: &Seen) -> Value {
    serde_json::from_str(&seen.text()).expect("JSON")
}

fn page(body: &str, fields: &[(&str, &str)]) -> Script {
    let mut all = vec![
        ("cdn-cache-control", "max-age=300, stale-while-revalidate=600"),
        ("x-edge-isr-tags", "posts"),
    ];
    all.extend_from_slice(fields);
    Script::new(200, &all, body)
}

fn metric(isolate: &Isolate, content: &str) -> u64 {
    let text = isolate.operate("GET", "/metrics?isolate", "").text();
    let name = format!("edge_isr_refetches_total{{content=\"{content}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap_or_else(|| panic!("{name} in {text}")).parse().expect("a number")
}

/// Invalidates the tag, lets the objects work, and gives the job.
fn revalidated(isolate: &Isolate, command: &Value) -> Value {
    let said = isolate.operate("POST", "/v1/revalidate", &command.to_string());
    let id = document(&said)["id"].as_str().expect("an id").to_owned();
    for _ in 0..50 {
        isolate.world.pass(1_000);
        isolate.world.alarms();
        let job = document(&isolate.operate("GET", &format!("/v1/jobs/{id}"), ""));
        if job["complete"] == json!(true) && job["done"] == job["total"] {
            return job;
        }
    }
    panic!("the job does not end");
}

#[test]
fn a_job_counts_pages_that_changed_apart_from_others() {
    let world = World::new(&config());
    let edited = Rc::new(Cell::new(0));
    let text = Rc::clone(&edited);
    world.origin(move |reached: &Reached| {
        // Every answer has an id and a date of its own, which show nothing.
        let id = text.get().to_string();
        let fields = [("x-request-id", id.as_str()), ("etag", id.as_str())];
        Ok(match reached.target.as_str() {
            "/1" => page(&format!("edit {}", text.get()), &fields),
            other => page(other, &fields),
        })
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    for n in 1..=3 {
        isolate.get(&format!("https://example.com/{n}"), &[]);
    }
    world.pass(1);
    edited.set(1);
    let job = revalidated(&isolate, &json!({"tags": ["posts"]}));
    assert_eq!(
        (&job["done"], &job["changed"], &job["unchanged"]),
        (&json!(3), &json!(1), &json!(2)),
        "{job}"
    );
    let pages = document(&isolate.operate("GET", "/v1/tags/posts/pages", ""));
    let mut counted: Vec<(String, u64, u64)> = Vec::new();
    for page in pages["pages"].as_array().expect("pages") {
        let count = |name: &str| page["variants"][0][name].as_u64().expect("a count");
        let url = page["url"].as_str().expect("a url").to_owned();
        counted.push((url, count("changed"), count("unchanged")));
    }
    counted.sort();
    let url = |n: u8| format!("https://example.com/{n}");
    assert_eq!(counted, [(url(1), 1, 0), (url(2), 0, 1), (url(3), 0, 1)]);
}

#[test]
fn the_metrics_count_refetches_of_visitors_and_304s_too() {
    let world = World::new(&config());
    let edited = Rc::new(Cell::new(false));
    let text = Rc::clone(&edited);
    world.origin(move |reached: &Reached| {
        let fields = [("cdn-cache-control", "max-age=10"), ("etag", "\"1\"")];
        if reached.fields.get("if-none-match").is_some() {
            return Ok(Script::new(304, &fields, ""));
        }
        Ok(Script::new(200, &fields, if text.get() { "new" } else { "old" }))
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    // Untagged pages are recorded once they were asked for again.
    for _ in 0..3 {
        isolate.get("https://example.com/", &[]);
        world.pass(1);
        world.pass(11_000);
    }
    let before = (metric(&isolate, "changed"), metric(&isolate, "unchanged"));
    assert!(before.0 == 0 && before.1 > 0, "a 304 says that nothing changed: {before:?}");
    edited.set(true);
    let command = json!({"urls": ["https://example.com/"], "mode": "hard", "warm": false});
    isolate.operate("POST", "/v1/revalidate", &command.to_string());
    world.pass(11_000);
    assert_eq!(isolate.get("https://example.com/", &[]).text(), "new");
    world.pass(1);
    assert_eq!((metric(&isolate, "changed"), metric(&isolate, "unchanged")), (1, before.1));
}
