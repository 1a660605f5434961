//! Invalidations at a time, by the control API: nothing before, once then, by the journal's alarm.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::cell::Cell;
use std::rc::Rc;

use crate::history::config;
use crate::world::{Isolate, Reached, Script, Seen, World};
use edge_isr::base::time::Millis;
use edge_isr::http::date;
use serde_json::{Value, json};

const PAGE: &str = "https://example.com/a";

fn site() -> (Rc<World>, Isolate, Rc<Cell<u32>>) {
    let (world, version) = (World::new(&config()), Rc::new(Cell::new(0)));
    let shown = Rc::clone(&version);
    world.origin(move |_: &Reached| {
        let fields = [("cdn-cache-control", "max-age=86400"), ("x-edge-isr-tags", "all")];
        Ok(Script::new(200, &fields, &shown.get().to_string()))
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    isolate.get(PAGE, &[]);
    world.pass(100);
    version.set(1);
    (world, isolate, version)
}

/// A time so far from now, as JSON has times.
fn ahead(world: &Rc<World>, millis: u64) -> String {
    let at = world.now().plus(Millis(millis)).as_millis();
    let text = jiff::Timestamp::from_millisecond(at).unwrap().to_string();
    assert_eq!(date::internet_date(&text).map(|it| it.as_millis()), Some(at), "{text}");
    text
}

fn document(seen: &Seen, status: u16) -> Value {
    assert_eq!(seen.status, status, "{}", seen.text());
    serde_json::from_str(&seen.text()).expect("JSON")
}

fn plan(isolate: &Isolate, body: &Value) -> Value {
    document(&isolate.operate("POST", "/v1/revalidate", &body.to_string()), 202)
}

fn waiting(isolate: &Isolate) -> usize {
    let document = document(&isolate.operate("GET", "/v1/scheduled", ""), 200);
    document["scheduled"].as_array().expect("a list").len()
}

/// What the origin was asked for, and what a visitor gets.
fn seen(world: &Rc<World>, isolate: &Isolate) -> (usize, String) {
    let answer = isolate.get(PAGE, &[]).text();
    (world.reached.borrow().len(), answer)
}

#[test]
fn nothing_happens_before_its_time_and_then_once() {
    let (world, isolate, version) = site();
    let body = json!({"tags": ["all"], "reason": "goes live", "at": ahead(&world, 60_000)});
    let said = plan(&isolate, &body);
    assert_eq!(said["state"], "scheduled");
    assert_eq!(said.get("epoch"), None, "it has none yet");
    let id = said["id"].as_str().expect("an id").to_owned();
    let job = isolate.operate("GET", &format!("/v1/jobs/{id}"), "");
    assert_eq!(job.status, 404, "nor a job");
    world.pass(50_000);
    world.alarms();
    assert_eq!(seen(&world, &isolate), (1, "0".to_owned()));
    assert_eq!(waiting(&isolate), 1);
    // Its time: by the alarm alone, and what the visitor gets is there before they ask.
    for _ in 0..5 {
        world.pass(10_000);
        world.alarms();
    }
    assert_eq!(seen(&world, &isolate), (2, "1".to_owned()));
    version.set(2);
    for _ in 0..5 {
        world.pass(60_000);
        world.alarms();
    }
    assert_eq!(seen(&world, &isolate), (2, "1".to_owned()), "once");
    assert_eq!(waiting(&isolate), 0);
    let job = document(&isolate.operate("GET", &format!("/v1/jobs/{id}"), ""), 200);
    assert_eq!((&job["state"], &job["changed"]), (&json!("done"), &json!(1)), "{job}");
}

#[test]
fn what_is_cancelled_never_happens() {
    let (world, isolate, _) = site();
    let said = plan(&isolate, &json!({"all": true, "at": ahead(&world, 10_000)}));
    let place = format!("/v1/scheduled/{}", said["id"].as_str().expect("an id"));
    for _ in 0..2 {
        let document = document(&isolate.operate("DELETE", &place, ""), 200);
        assert_eq!(document["state"], "cancelled");
    }
    for _ in 0..5 {
        world.pass(10_000);
        world.alarms();
    }
    assert_eq!(seen(&world, &isolate), (1, "0".to_owned()));
    let nobody = isolate.operate("DELETE", "/v1/scheduled/nobody's", "");
    assert_eq!(document(&nobody, 404)["type"], "urn:edge-isr:problem:not-found");
    // What was done can't be undone.
    let said = plan(&isolate, &json!({"tags": ["all"], "at": ahead(&world, 1_000)}));
    world.pass(2_000);
    world.alarms();
    let place = format!("/v1/scheduled/{}", said["id"].as_str().expect("an id"));
    let late = isolate.operate("DELETE", &place, "");
    assert_eq!(document(&late, 409)["type"], "urn:edge-isr:problem:too-late");
}

#[test]
fn a_time_that_has_come_is_now_and_a_dry_run_waits_for_nothing() {
    let (world, isolate, _) = site();
    let now = plan(&isolate, &json!({"tags": ["all"], "at": ahead(&world, 0)}));
    assert!(now["epoch"].is_u64(), "{now}");
    assert_eq!(now.get("state"), None);
    let body = json!({"tags": ["all"], "at": ahead(&world, 5_000), "dry_run": true});
    let dry = document(&isolate.operate("POST", "/v1/revalidate", &body.to_string()), 200);
    assert_eq!((&dry["pages"], &dry["dry_run"]), (&json!(1), &json!(true)));
    assert_eq!(waiting(&isolate), 0);
}

#[test]
fn a_journal_out_of_reach_is_said() {
    let (world, isolate, _) = site();
    let body = json!({"tags": ["all"], "at": ahead(&world, 5_000)}).to_string();
    world.journal_down.set(true);
    for (method, path, body) in [
        ("POST", "/v1/revalidate", body.as_str()),
        ("GET", "/v1/scheduled", ""),
        ("DELETE", "/v1/scheduled/a", ""),
    ] {
        let document = document(&isolate.operate(method, path, body), 503);
        assert_eq!(document["reason"], "journal-unreachable", "{method} {path}");
    }
}
