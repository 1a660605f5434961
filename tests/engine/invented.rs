//! What strangers invent is not refetched, and what the origin names is not left out: who is
//! warmed, and which pages the index knows.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::rc::Rc;

use crate::world::{Isolate, Script, Scripted, World};
use edge_isr::config::Config;
use edge_isr::control::Secrets;
use edge_isr::front_caches::parse_config;
use edge_isr::journal::Mode;

const FRESH: &str = "max-age=3600, stale-while-revalidate=3600";

fn config() -> Config {
    parse_config(r#"{"shards": 2, "new_keys_per_second": 5}"#).unwrap()
}

fn site(vary: bool) -> (Rc<World>, Isolate) {
    let world = World::new(&config());
    world.origin(move |reached| {
        let post = reached.target.split(['?', '/']).nth(2).unwrap_or("0");
        let tags = format!("post:{post} posts");
        let mut fields = vec![("cdn-cache-control", FRESH), ("surrogate-key", tags.as_str())];
        if vary {
            fields.push(("vary", "accept-language"));
        }
        Ok(Script::new(200, &fields, "page"))
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    (world, isolate)
}

/// Origin requests that an invalidation of a tag causes by itself.
fn refetched(world: &Rc<World>, tag: &str) -> u64 {
    world.pass(3_000);
    world.spent();
    world.invalidate(tag, Mode::Soft);
    for _ in 0..60 {
        world.alarms();
        world.pass(1_000);
    }
    world.spent().get("origin").copied().unwrap_or_default()
}

#[test]
fn invented_addresses_are_not_refetched() {
    let (world, isolate) = site(false);
    isolate.get("https://example.com/post/42/", &[]);
    for n in 0..150 {
        isolate.get(&format!("https://example.com/post/42/?x{n}=1"), &[]);
        world.pass(250);
    }
    for _ in 0..3 {
        let count = refetched(&world, "post:42");
        assert_eq!(count, 1, "the page alone");
    }
}

/// The nth request of a kind: URL and fields.
type Invention = fn(u32) -> (String, Vec<(&'static str, String)>);

/// Other inventions: what is said beside the address, errors and redirects with a lifetime, HEAD.
#[test]
fn nothing_that_was_invented_once_is_refetched_nor_beyond_the_budget_stored_in_the_world() {
    const PAGE: &str = "https://example.com/post/42/";
    let kinds: [(&str, Invention); 7] = [
        ("cookie", |n| (PAGE.into(), vec![("cookie", format!("language={n}"))])),
        ("listed field", |n| (PAGE.into(), vec![("x-tenant", n.to_string())])),
        ("CDN-Loop", |n| (PAGE.into(), vec![("cdn-loop", format!("cdn{n}"))])),
        ("missing", |n| (format!("https://example.com/missing/{n}/"), vec![])),
        ("redirect", |n| (format!("https://example.com/redirect/{n}/"), vec![])),
        ("missing, query", |n| (format!("https://example.com/missing/?{n}"), vec![])),
        ("HEAD", |n| (format!("{PAGE}?{n}"), vec![("", "HEAD".to_owned())])),
    ];
    let config = parse_config(
        r#"{"shards": 2, "new_keys_per_second": 5,
            "defaults": {"key_cookies": ["language"], "forward_headers": ["x-tenant"]}}"#,
    )
    .unwrap();
    for (kind, invention) in kinds {
        for pause in [250, 1] {
            let world = World::new(&config);
            world.origin(move |reached| {
                let fields = [("cdn-cache-control", FRESH), ("surrogate-key", "posts")];
                let mut script = Script::new(200, &fields, "page");
                script.status = match reached.target.split('/').nth(1) {
                    Some("missing") => 404,
                    Some("redirect") => 301,
                    _ => 200,
                };
                Ok(script)
            });
            let isolate = Isolate::new(&world, &config, "ams");
            isolate.get("https://example.com/", &[]);
            for n in 0..60 {
                let (url, fields) = invention(n);
                let head = fields.first().is_some_and(|(name, _)| name.is_empty());
                let fields: Vec<(&str, &str)> =
                    fields.iter().filter(|_| !head).map(|(n, v)| (*n, v.as_str())).collect();
                isolate.send(if head { "HEAD" } else { "GET" }, &url, &fields);
                world.pass(pause);
            }
            let stored = world.spent().get("l2_put").copied().unwrap_or_default();
            assert!(pause > 1 || stored <= 12, "{kind}: {stored} in the world");
            for _ in 0..2 {
                assert_eq!(refetched(&world, "posts"), 1, "{kind}: the real page alone");
            }
        }
    }
}

#[test]
fn what_is_asked_for_again_is_refetched() {
    let (world, isolate) = site(false);
    let (once, again, elsewhere) = ("?a=1", "?a=2", "?a=3");
    let url = |query: &str| format!("https://example.com/post/42/{query}");
    for query in [once, again, elsewhere] {
        isolate.get(&url(query), &[]);
        world.pass(1_000);
    }
    isolate.get(&url(again), &[]);
    let fra = Isolate::new(&world, &config(), "fra");
    fra.get(&url(elsewhere), &[]);
    assert_eq!(refetched(&world, "post:42"), 2);
    // A sitemap, or a call, names what it lists.
    let body = format!(r#"{{"urls": ["{}"]}}"#, url("?a=4"));
    assert_eq!(isolate.operate("POST", "/v1/warm", &body).status, 202);
    for _ in 0..5 {
        world.alarms();
        world.pass(1_000);
    }
    assert_eq!(refetched(&world, "post:42"), 3);
}

#[test]
fn pages_that_the_origin_names_are_known_whatever_the_budget() {
    let (world, isolate) = site(false);
    for n in 0..200 {
        isolate.get(&format!("https://example.com/post/{n}/"), &[]);
    }
    world.pass(5_000);
    assert_eq!(refetched(&world, "posts"), 200);
}

#[test]
fn pages_left_out_are_recorded_when_they_are_asked_for_again() {
    let (world, isolate) = site(false);
    let url = |n: usize| format!("https://example.com/post/{n}/?page=1");
    (0..40).for_each(|n| drop(isolate.get(&url(n), &[])));
    world.pass(2_000);
    for n in 0..40 {
        isolate.get(&url(n), &[]);
        world.pass(400);
    }
    assert_eq!(refetched(&world, "posts"), 40);
}

#[test]
fn variants_of_a_page_are_refetched_and_invented_ones_beyond_a_number_are_not() {
    let (world, isolate) = site(true);
    for n in 0..120u8 {
        let language = format!("{}{}", char::from(b'a' + n / 26), char::from(b'a' + n % 26));
        isolate.get("https://example.com/post/1/", &[("accept-language", &language)]);
        world.pass(300);
    }
    let count = refetched(&world, "posts");
    assert!((12..=33).contains(&count), "{count}");
}

#[test]
fn the_answer_and_the_job_say_how_many_pages_may_be_unknown() {
    let (world, isolate) = site(false);
    let url = |n: usize| format!("https://example.com/post/{n}/?page=1");
    (0..40).for_each(|n| drop(isolate.get(&url(n), &[])));
    world.pass(2_000);
    // What was left out is reported with the next question.
    (40..60).for_each(|n| drop(isolate.get(&format!("https://example.com/post/{n}/"), &[])));
    world.pass(2_000);
    (60..64).for_each(|n| drop(isolate.get(&url(n), &[])));
    let seen = isolate.operate("POST", "/v1/revalidate", r#"{"tags": ["posts"]}"#);
    let answer: serde_json::Value = serde_json::from_str(&seen.text()).unwrap();
    let unknown = answer["unknown"].as_u64().unwrap_or(0);
    assert!((20..=40).contains(&unknown), "{answer}");
    let job = format!("/v1/jobs/{}", answer["id"].as_str().unwrap());
    let job: serde_json::Value =
        serde_json::from_str(&isolate.operate("GET", &job, "").text()).unwrap();
    assert_eq!(job["unknown"].as_u64(), Some(unknown), "{job}");
}

/// Who waits for the warms of a large tag, and not for long enough, is not given a part of its
/// pages as if that were all.
#[test]
fn a_part_of_the_pages_is_not_shown_as_all() {
    let config = parse_config(r#"{"shards": 2, "warm_rate": 10000}"#).unwrap();
    let world = World::new(&config);
    world.origin(|_| {
        Ok(Script::new(200, &[("cdn-cache-control", FRESH), ("surrogate-key", "posts")], "page"))
    });
    let isolate = Isolate::new(&world, &config, "ams");
    for n in 0..450 {
        isolate.get(&format!("https://example.com/post/{n}/"), &[]);
    }
    world.pass(3_000);
    let revalidate = |wait: u32, seconds: u32| {
        let body = format!(r#"{{"tags": ["posts"], "wait_ms": {wait}}}"#);
        let (asks, path) = (isolate.clone(), "/__isr/v1/revalidate");
        let head = crate::world::request(
            "POST",
            &format!("https://example.com{path}"),
            &[("authorization", "Bearer operators-own-token")],
        );
        let secrets = Secrets::parse("", "ops:admin:operators-own-token").unwrap();
        let body = Scripted::whole(body.as_bytes());
        let slot = world.start(async move { asks.call(head, body, secrets).await });
        for _ in 0..seconds {
            world.start_alarms();
            world.pass(1_000);
        }
        let seen = slot.borrow_mut().take().unwrap();
        let answer: serde_json::Value = serde_json::from_str(&seen.text()).unwrap();
        (answer["pages"].as_u64(), answer["warming"].as_u64())
    };
    for wait in [100, 300] {
        let (pages, warming) = revalidate(wait, 30);
        assert!(matches!(pages, None | Some(450)), "{wait}: {pages:?}");
        assert_eq!(pages.is_some(), warming.is_some(), "{wait}");
    }
    assert_eq!(revalidate(25_000, 30), (Some(450), Some(0)));
}
