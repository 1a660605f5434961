//! The control API when objects break off, jobs fail, streams last long, and strangers ask.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::rc::Rc;

use crate::world::{Isolate, Script, Seen, World, request};
use edge_isr::config::Config;
use edge_isr::control::Secrets;
use edge_isr::engine::port::CallError;
use edge_isr::front_caches::parse_config;
use serde_json::Value;

const PAGE: &str = "https://example.com/post/1";

fn config() -> Config {
    parse_config(r#"{"shards": 8, "trusted_ips": ["10.0.0.0/8"]}"#).unwrap()
}

fn site(status: u16) -> (Rc<World>, Isolate) {
    let world = World::new(&config());
    let renders = std::cell::Cell::new(0);
    world.origin(move |_| {
        renders.set(renders.get() + 1);
        let status = if renders.get() == 1 { 200 } else { status };
        let fields = [("cdn-cache-control", "max-age=300"), ("surrogate-key", "post:1")];
        Ok(Script::new(status, &fields, &format!("render {}", renders.get())))
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    isolate.get(PAGE, &[]);
    world.pass(100);
    (world, isolate)
}

fn json(seen: &Seen) -> Value {
    serde_json::from_str(&seen.text()).unwrap_or_else(|_| panic!("{}", seen.text()))
}

#[test]
fn strangers_learn_whether_the_edge_is_ready_and_nothing_else() {
    let (_, isolate) = site(200);
    let secrets = Secrets::parse("", "r:read:reading ci:revalidate:calling").unwrap();
    let ask = |fields: &[(&str, &str)]| {
        isolate.take(request("GET", "https://example.com/__isr/healthz", fields), "", &secrets)
    };
    let seen = ask(&[]);
    assert_eq!((seen.status, seen.text().as_str()), (200, r#"{"ready":true}"#));
    for token in ["Bearer reading", "Bearer calling"] {
        let health = json(&ask(&[("authorization", token)]));
        assert!(health["config"].is_object() && health["reasons"].is_array(), "{health}");
    }
    assert_eq!(ask(&[("authorization", "Bearer guessed")]).status, 401);
}

/// Anyone may ask for health: a hundred at once are one question to the journal, also while it is
/// slow, or out of reach.
#[test]
fn those_who_ask_for_health_at_once_share_a_question() {
    for down in [false, true] {
        let (world, isolate) = site(200);
        world.journal_down.set(down);
        world.spent();
        let secrets = Secrets::parse("", "").unwrap();
        let head = || request("GET", "https://example.com/__isr/healthz", &[]);
        let slots: Vec<_> = (0..100).map(|_| isolate.begin(head(), "", &secrets)).collect();
        world.pass(900);
        assert!(slots.iter().all(|slot| slot.borrow().is_some()));
        let questions = world.spent().get("journal").copied().unwrap_or_default();
        assert!(questions <= 2, "{questions}");
    }
}

#[test]
fn a_dry_run_is_a_200_and_changes_nothing() {
    let (_, isolate) = site(200);
    let body = r#"{"tags": ["post:1"], "mode": "hard", "dry_run": true}"#;
    let seen = isolate.operate("POST", "/v1/revalidate", body);
    assert_eq!((seen.status, &json(&seen)["pages"]), (200, &Value::from(1)));
    assert!(isolate.get(PAGE, &[]).cache_status().contains("hit"));
}

#[test]
fn a_purge_that_an_object_broke_off_is_sent_once_more_under_the_same_id() {
    for executed in [false, true] {
        let (world, isolate) = site(200);
        let broke = CallError::Broken("its code was updated".to_owned());
        world.object_errors.borrow_mut().push_back((executed, broke));
        let mut head = request("PURGE", PAGE, &[]);
        head.client = Some("10.0.0.1".to_owned());
        let seen = isolate.take(head, "", &Secrets::default());
        assert_eq!(seen.status, 200, "{}", seen.text());
        assert_eq!(json(&seen)["epoch"], 1, "executed: {executed}");
        assert_eq!(isolate.get(PAGE, &[]).text(), "render 2", "executed: {executed}");
    }
}

#[test]
fn what_is_overloaded_is_not_asked_again_and_what_fails_twice_is_a_503() {
    let rows = [
        (vec![CallError::Overloaded("busy".to_owned())], "5"),
        (vec![CallError::Broken("a".to_owned()), CallError::Broken("b".to_owned())], "1"),
        (vec![CallError::Unreachable("timeout".to_owned())], "1"),
    ];
    for (errors, after) in rows {
        let (world, isolate) = site(200);
        let count = errors.len() as u64;
        world.object_errors.borrow_mut().extend(errors.into_iter().map(|error| (false, error)));
        world.spent();
        let mut head = request("PURGE", PAGE, &[]);
        head.client = Some("10.0.0.1".to_owned());
        let seen = isolate.take(head, "", &Secrets::default());
        assert_eq!((seen.status, seen.fields.get("retry-after")), (503, Some(after)));
        assert_eq!(world.spent()["journal"], count);
    }
}

#[test]
fn a_job_that_fails_says_why_how_often_and_when_it_is_tried_next() {
    let (world, isolate) = site(500);
    let seen = isolate.operate("POST", "/v1/revalidate", r#"{"tags": ["post:1"]}"#);
    let path = format!("/v1/jobs/{}", json(&seen)["id"].as_str().unwrap());
    world.alarms();
    let job = json(&isolate.operate("GET", &path, ""));
    assert_eq!(job["state"], "retrying", "{job}");
    assert_eq!(job["retrying"]["pages"], 1);
    assert_eq!(job["retrying"]["attempts"], 1);
    assert_eq!(job["retrying"]["reason"], "origin-error 500");
    let next = job["retrying"]["next_try"].as_i64().unwrap();
    assert!(next > world.now().as_millis(), "{job}");
    for _ in 0..2_000 {
        world.pass(1_000);
        world.alarms();
    }
    let job = json(&isolate.operate("GET", &path, ""));
    assert_eq!((&job["state"], &job["retrying"]), (&Value::from("failed"), &Value::Null), "{job}");
}

/// An origin that says when to come again is not asked before.
#[test]
fn the_next_try_of_a_job_is_not_before_the_origin_is_asked_again() {
    let (world, isolate) = site(429);
    let seen = isolate.operate("POST", "/v1/revalidate", r#"{"tags": ["post:1"]}"#);
    let path = format!("/v1/jobs/{}", json(&seen)["id"].as_str().unwrap());
    world.origin(|_| Ok(Script::new(429, &[("retry-after", "7")], "")));
    world.alarms();
    let job = json(&isolate.operate("GET", &path, ""));
    let next = job["retrying"]["next_try"].as_i64().unwrap();
    assert!(next - world.now().as_millis() > 6_000, "{job}");
}

#[test]
fn a_stream_of_progress_ends_with_a_reason_before_its_requests_are_spent() {
    let (world, isolate) = site(500);
    let seen = isolate.operate("POST", "/v1/revalidate", r#"{"tags": ["post:1"]}"#);
    let url = format!("https://example.com/__isr/v1/jobs/{}", json(&seen)["id"].as_str().unwrap());
    let secrets = Secrets::parse("", "r:read:reading").unwrap();
    let fields = [("authorization", "Bearer reading"), ("accept", "text/event-stream")];
    world.spent();
    let seen = isolate.take(request("GET", &url, &fields), "", &secrets);
    let spent = world.spent();
    let requests = spent["shard"] + spent["journal"];
    assert!((400..900).contains(&requests), "{requests} requests");
    let text = seen.text();
    let last = text.trim_end().rsplit("\n\n").next().unwrap();
    assert_eq!(last, "retry: 2000\nevent: pause\ndata: {\"reason\":\"time-is-up\"}");
    // So is a call that waits.
    world.spent();
    let body = r#"{"tags": ["post:1"], "wait_ms": 25000}"#;
    assert_eq!(isolate.operate("POST", "/v1/revalidate", body).status, 202);
    let spent = world.spent();
    assert!(spent["shard"] + spent["journal"] < 900, "{spent:?}");
}
