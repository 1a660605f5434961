//! Many invalidations at once, and shards that can't be reached: few messages, no lost epoch.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::world::{Isolate, Node, Script, World};
use edge_isr::base::time::{Epoch, Millis};
use edge_isr::cache::tag::{Tag, Target};
use edge_isr::config::Config;
use edge_isr::engine::port::Platform as _;
use edge_isr::journal::{Append, Appended, CalledBy, JournalCall, JournalReply, Mode};
use serde_json::{Value, json};

fn config() -> Config {
    Config { shards: 4, warm_rate: 10_000, new_keys_per_second: 10_000, ..Config::default() }
}

fn page(body: &str, tag: &str) -> Script {
    let fresh = "max-age=300, stale-while-revalidate=600";
    Script::new(200, &[("cdn-cache-control", fresh), ("x-edge-isr-tags", tag)], body)
}

fn append(id: u64, tag: &str) -> JournalCall {
    JournalCall::Append(Append {
        id: format!("msg_{id}"),
        body_digest: "digest".to_owned(),
        targets: vec![Target::Tag(Tag::parse(tag).expect("a tag"))],
        mode: Mode::Soft,
        warm: true,
        reinvalidate_after: Millis::ZERO,
        reason: String::new(),
        uncounted: false,
        unsafe_method: false,
        by: CalledBy::default(),
    })
}

fn status(isolate: &Isolate) -> Value {
    serde_json::from_str(&isolate.operate("GET", "/v1/jobs/msg_1", "").text()).expect("JSON")
}

/// Ten thousand webhooks in ten seconds: half of them name one tag, the others each their own.
#[test]
fn a_storm_of_webhooks_is_few_messages_and_loses_no_epoch() {
    const CALLS: u64 = 10_000;
    let world = World::new(&config());
    world.origin(|_| Ok(page("page", "list")));
    let isolate = Isolate::new(&world, &config(), "ams");
    for n in 0..40 {
        isolate.get(&format!("https://example.com/{n}"), &[]);
    }
    world.pass(1_000);
    world.spent();
    let epochs = Rc::new(std::cell::RefCell::new(BTreeSet::new()));
    for id in 0..CALLS {
        let node = Node::new(&world, "ams");
        // Half of them name one tag.
        let tag = if id % 2 == 0 { "list".to_owned() } else { format!("post:{id}") };
        let seen = Rc::clone(&epochs);
        world.start(async move {
            let reply = node.journal(append(id, &tag)).await;
            if let Ok(JournalReply::Appended(Appended::New { epoch, .. })) = reply {
                seen.borrow_mut().insert(epoch);
            }
        });
        world.pass(1);
    }
    world.pass(2_000);
    let all: BTreeSet<Epoch> = (1..=CALLS).map(Epoch).collect();
    assert_eq!(*epochs.borrow(), all, "each call has its own epoch");
    let spent = world.spent();
    assert!(spent["shard"] < CALLS / 10, "{} messages to 4 shards", spent["shard"]);
    for _ in 0..10 {
        world.alarms();
        world.pass(1_000);
    }
    let job = status(&isolate);
    assert_eq!(job["complete"], json!(true), "{job}");
    // Every shard heard of the last one, and the pages of the tag are as new as its last epoch.
    let pages = isolate.operate("GET", "/v1/tags/list/pages?limit=100", "").text();
    let pages: Value = serde_json::from_str(&pages).expect("JSON");
    let pages = pages["pages"].as_array().expect("pages");
    assert_eq!(pages.len(), 40);
    assert!(pages.iter().all(|page| page["variants"][0]["epoch"] == json!(CALLS)), "{pages:?}");
}

#[test]
fn a_shard_that_is_down_gets_all_that_it_missed() {
    let world = World::new(&config());
    world.origin(|_| Ok(page("page", "list")));
    let isolate = Isolate::new(&world, &config(), "ams");
    for n in 0..40 {
        isolate.get(&format!("https://example.com/{n}"), &[]);
    }
    world.pass(1_000);
    world.shards_down.set(true);
    world.spent();
    for id in 1..=100 {
        let node = Node::new(&world, "ams");
        let before = world.now();
        let reply = world.run(async move { node.journal(append(id, "list")).await });
        let Ok(JournalReply::Appended(appended)) = reply else { panic!("not acknowledged") };
        assert_eq!(appended, Appended::recorded(Epoch(id)), "what it concerns is not known");
        assert!(world.now().since(before) <= Millis(320), "the answer does not wait for them");
    }
    // They are asked again and again, but not by every webhook.
    let count = world.spent()["shard"];
    assert!(count <= 40, "{count} calls to shards that are down");
    let job = status(&isolate);
    assert_eq!(job["reason"], json!("index-unreachable"), "{job}");
    world.shards_down.set(false);
    for _ in 0..70 {
        world.alarms();
        world.pass(1_000);
    }
    let pages = isolate.operate("GET", "/v1/tags/list/pages?limit=100", "").text();
    let pages: Value = serde_json::from_str(&pages).expect("JSON");
    let newest = |page: &Value| page["variants"][0]["epoch"].as_u64().expect("an epoch") >= 100;
    assert!(pages["pages"].as_array().expect("pages").iter().all(newest), "{pages}");
}

#[test]
fn a_journal_that_is_down_records_nothing_and_says_so() {
    let world = World::new(&config());
    world.origin(|_| Ok(page("page", "list")));
    let isolate = Isolate::new(&world, &config(), "ams");
    isolate.get("https://example.com/", &[]);
    world.journal_down.set(true);
    let body = json!({"tags": ["list"]}).to_string();
    let refused = isolate.operate("POST", "/v1/revalidate", &body);
    let problem: Value = serde_json::from_str(&refused.text()).expect("JSON");
    assert_eq!((refused.status, &problem["reason"]), (503, &json!("journal-unreachable")));
    assert_eq!(problem["type"], json!("urn:edge-isr:problem:not-recorded"));
    assert_eq!(refused.fields.get("retry-after"), Some("1"));
    let lines = world.lines.borrow().join("\n");
    assert!(lines.contains(r#""event":"call-failed""#) && lines.contains(r#""object":"journal""#));
    let metrics = isolate.operate("GET", "/metrics?isolate", "").text();
    let failed = "edge_isr_call_failures_total{object=\"journal\"} ";
    let count = metrics.lines().find_map(|line| line.strip_prefix(failed)).expect("the metric");
    assert_ne!(count, "0");
    world.pass(5_000);
    let health: Value =
        serde_json::from_str(&isolate.operate("GET", "/healthz", "").text()).expect("JSON");
    assert_eq!(health["notes"][0]["reason"], json!("journal-unreachable"), "{health}");
    world.pass(30_000);
    let answer = isolate.operate("GET", "/healthz", "");
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("journal-lost"), "{}", answer.text());
    // Nothing was recorded: the next one is the first.
    world.journal_down.set(false);
    let accepted = isolate.operate("POST", "/v1/revalidate", &body);
    let accepted: Value = serde_json::from_str(&accepted.text()).expect("JSON");
    assert_eq!(accepted["epoch"], json!(1));
}
