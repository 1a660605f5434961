//! Caches in front of the edge through the engine: purged once every isolate sees an invalidation,
//! as often as it takes; one that takes nothing is reported and holds up no other.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::rc::Rc;

use crate::world::{Isolate, Script, World, request};
use edge_isr::config::Config;
use edge_isr::control::Secrets;
use edge_isr::engine::port::{OriginError, PurgeError};
use edge_isr::front_caches::parse_config;
use edge_isr::journal::Mode;
use serde_json::Value;

const PAGE: &str = "https://www.example.com/post/1";

fn config(name: &str) -> Config {
    let text = format!(
        r#"{{"shards": 2, "front_caches": [
            {{"name": "{name}", "provider": "cloudflare", "zone": "z", "tags": true}},
            {{"name": "hook", "provider": "webhook", "url": "https://hook.example/"}}]}}"#
    );
    parse_config(&text).unwrap()
}

fn site(name: &str) -> (Rc<World>, Isolate) {
    let world = World::new(&config(name));
    world.origin(|_| {
        let fields = [("cdn-cache-control", "max-age=300"), ("surrogate-key", "post:1 posts")];
        Ok(Script::new(200, &fields, "body"))
    });
    let isolate = Isolate::new(&world, &config(name), "ams");
    isolate.get(PAGE, &[]);
    (world, isolate)
}

/// Lets time pass with an object's alarm each second.
fn pass(world: &Rc<World>, seconds: i64) {
    for _ in 0..seconds {
        world.pass(1_000);
        world.alarms();
    }
}

/// What a front cache was sent so far.
fn requests_to(world: &World, host: &str) -> Vec<String> {
    let requests = world.front_cache_requests.borrow();
    let those = requests.iter().filter(|request| request.url.contains(host));
    those.map(|request| String::from_utf8(request.body.clone()).unwrap()).collect()
}

fn read(isolate: &Isolate, path: &str) -> Value {
    let secrets = Secrets::parse("", "r:admin:a-reader-of-jobs").unwrap();
    let url = format!("https://a.example{path}");
    let head = request("GET", &url, &[("authorization", "Bearer a-reader-of-jobs")]);
    serde_json::from_str(&isolate.take(head, "", &secrets).text()).unwrap()
}

#[test]
fn it_is_purged_after_the_bound_and_what_is_due_goes_together() {
    let (world, _) = site("cdn");
    world.invalidate("post:1", Mode::Soft);
    world.invalidate("post:2", Mode::Soft);
    world.invalidate("post:1", Mode::Soft);
    // An isolate may not know yet: the front cache would fetch the old page again.
    pass(&world, 1);
    assert_eq!(requests_to(&world, "cloudflare"), [""; 0]);
    pass(&world, 3);
    assert_eq!(requests_to(&world, "cloudflare"), [r#"{"tags":["post:1","post:2"]}"#]);
    let hook = requests_to(&world, "hook");
    assert_eq!(hook.len(), 1);
    assert!(hook[0].contains(r#""tags":["post:1","post:2"]"#), "{hook:?}");
    pass(&world, 120);
    assert_eq!(requests_to(&world, "cloudflare").len(), 1, "once taken, it is not sent again");
}

#[test]
fn a_limit_is_waited_for_and_nothing_is_dropped() {
    let (world, _) = site("cdn");
    *world.front_cache.borrow_mut() = Box::new(|_| Ok((429, &[("retry-after", "30")])));
    world.invalidate("a", Mode::Hard);
    pass(&world, 4);
    assert_eq!(requests_to(&world, "cloudflare").len(), 1);
    world.invalidate("b", Mode::Hard);
    pass(&world, 20);
    assert_eq!(requests_to(&world, "cloudflare").len(), 1, "it said when to come again");
    *world.front_cache.borrow_mut() = Box::new(|_| Ok((200, &[])));
    pass(&world, 20);
    assert_eq!(requests_to(&world, "cloudflare")[1..], [r#"{"tags":["a","b"]}"#.to_owned()]);
}

#[test]
fn an_outage_of_any_kind_ends_with_all_of_it_delivered() {
    let failing: [fn() -> crate::world::FrontCacheAnswer; 4] = [
        || Ok((500, &[])),
        || Err(OriginError::Unreachable),
        || Err(OriginError::Broken),
        || Err(OriginError::Timeout),
    ];
    for (at, fail) in failing.into_iter().enumerate() {
        let (world, isolate) = site("cdn");
        *world.front_cache.borrow_mut() =
            Box::new(
                move |request| {
                    if request.url.contains("hook") { Ok((200, &[])) } else { fail() }
                },
            );
        world.invalidate("a", Mode::Hard);
        pass(&world, 10);
        world.invalidate("b", Mode::Hard);
        pass(&world, 20);
        assert_eq!(requests_to(&world, "hook").len(), 2, "{at}: the other is not held up");
        assert!(requests_to(&world, "cloudflare").len() > 1, "{at}: it is tried again");
        let health = read(&isolate, "/__isr/healthz");
        assert_eq!(health["ready"], true, "{at}");
        assert_eq!(health["notes"][0]["reason"], "front-cache-failed", "{at}: {health}");
        *world.front_cache.borrow_mut() = Box::new(|_| Ok((200, &[])));
        pass(&world, 61);
        let last = requests_to(&world, "cloudflare").pop().unwrap();
        assert_eq!(last, r#"{"tags":["a","b"]}"#, "{at}");
        assert_eq!(read(&isolate, "/__isr/healthz")["notes"], Value::Array(vec![]), "{at}");
    }
}

#[test]
fn a_failure_makes_nothing_due_before_every_isolate_sees_it() {
    let (world, _) = site("cdn");
    *world.front_cache.borrow_mut() = Box::new(|_| Ok((500, &[])));
    world.invalidate("a", Mode::Hard);
    world.pass(1_500);
    world.invalidate("b", Mode::Hard);
    world.pass(600);
    world.alarms();
    world.pass(100);
    assert_eq!(requests_to(&world, "cloudflare"), [r#"{"tags":["a"]}"#]);
    *world.front_cache.borrow_mut() = Box::new(|_| Ok((200, &[])));
    // Another try comes a second later, and b is due 0.5 s after that.
    pass(&world, 4);
    let want = [r#"{"tags":["a"]}"#, r#"{"tags":["a"]}"#, r#"{"tags":["b"]}"#];
    assert_eq!(requests_to(&world, "cloudflare"), want);
}

#[test]
fn wrong_credentials_are_loud_and_the_job_says_whom_it_did_not_reach() {
    let (world, isolate) = site("cdn");
    *world.front_cache.borrow_mut() =
        Box::new(|request| Ok((if request.url.contains("hook") { 200 } else { 401 }, &[])));
    let secrets = Secrets::parse("", "ci:revalidate:a-token-of-its-own").unwrap();
    let url = "https://www.example.com/__isr/v1/revalidate";
    let head = request("POST", url, &[("authorization", "Bearer a-token-of-its-own")]);
    let seen = isolate.take(head, r#"{"tags": ["post:1"]}"#, &secrets);
    let id = serde_json::from_str::<Value>(&seen.text()).unwrap()["id"].clone();
    let path = format!("/__isr/v1/jobs/{}", id.as_str().unwrap());
    let waiting: Vec<Value> = read(&isolate, &path)["front_caches"].as_array().unwrap().clone();
    assert_eq!(waiting.len(), 2, "pending for both: {waiting:?}");
    pass(&world, 4);
    let job = read(&isolate, &path);
    assert_eq!(job["state"], "failed", "{job}");
    assert_eq!(job["failed"], 0, "the pages have nothing to do with it");
    assert_eq!(
        job["front_caches"],
        serde_json::json!([{"name": "cdn", "waiting": 1, "failure": "credentials-refused"}])
    );
    let health = read(&isolate, "/__isr/healthz");
    let line = "cdn: credentials-refused; 1 invalidations wait";
    assert_eq!(health["notes"][0]["details"], serde_json::json!([line]), "{health}");
    let lines = world.lines.borrow().join("\n");
    assert!(lines.contains(r#""event":"front-cache-failed""#), "{lines}");
    let head = request(
        "GET",
        "https://a.example/__isr/metrics?isolate",
        &[("authorization", "Bearer a-reader-of-jobs")],
    );
    let reader = Secrets::parse("", "r:read:a-reader-of-jobs").unwrap();
    let metrics = isolate.take(head, "", &reader).text();
    assert!(metrics.contains("\nedge_isr_front_caches_failing 1\n"), "{metrics}");
    assert!(metrics.contains("\nedge_isr_front_cache_waiting 1\n"), "{metrics}");
}

#[test]
fn a_missing_secret_is_reported_before_anything_is_pending_and_nothing_is_sent() {
    let (world, isolate) = site("bare");
    let health = read(&isolate, "/__isr/healthz");
    let line = "bare: credentials-missing; 0 invalidations wait";
    assert_eq!(health["notes"][0]["details"], serde_json::json!([line]), "{health}");
    world.invalidate("a", Mode::Hard);
    pass(&world, 10);
    assert_eq!(requests_to(&world, "cloudflare"), [""; 0]);
    assert_eq!(requests_to(&world, "hook").len(), 1);
}

#[test]
fn what_is_refused_for_its_content_is_purged_as_everything() {
    let (world, _) = site("cdn");
    *world.front_cache.borrow_mut() = Box::new(|request| {
        let everything = String::from_utf8_lossy(&request.body).contains("everything");
        Ok((if everything || request.url.contains("hook") { 200 } else { 400 }, &[]))
    });
    world.invalidate("a", Mode::Hard);
    pass(&world, 4);
    let want = [r#"{"tags":["a"]}"#, r#"{"purge_everything":true}"#];
    assert_eq!(requests_to(&world, "cloudflare"), want);
}

#[test]
fn a_long_outage_is_one_purge_of_everything() {
    let (world, _) = site("cdn");
    *world.front_cache.borrow_mut() = Box::new(|_| Err(OriginError::Unreachable));
    for n in 0..1_002 {
        world.invalidate(&format!("t{n}"), Mode::Soft);
    }
    *world.front_cache.borrow_mut() = Box::new(|_| Ok((200, &[])));
    pass(&world, 70);
    assert_eq!(requests_to(&world, "cloudflare").last().unwrap(), r#"{"purge_everything":true}"#);
}

#[test]
fn a_page_carries_its_tags_to_a_cache_that_purges_by_them() {
    let (_, isolate) = site("cdn");
    let seen = isolate.get(PAGE, &[]);
    assert!(seen.cache_status().contains("hit"));
    assert_eq!(seen.fields.get("cache-tag"), Some("post:1,posts"));
    assert_eq!(seen.fields.get("surrogate-key"), None);
    let plain = parse_config(r#"{"shards": 2}"#).unwrap();
    let world = World::new(&plain);
    world.origin(|_| Ok(Script::new(200, &[("surrogate-key", "post:1")], "body")));
    let seen = Isolate::new(&world, &plain, "ams").get(PAGE, &[]);
    assert_eq!(seen.fields.get("cache-tag"), None);
}

/// A site behind CloudFront, which says of each invalidation how far it is.
fn behind_cloudfront(tags: bool) -> (Rc<World>, Isolate) {
    let text = format!(
        r#"{{"shards": 2, "front_caches": [{{"name": "front", "provider": "cloudfront",
            "distribution": "E1", "tags": {tags}}}]}}"#
    );
    let config = parse_config(&text).unwrap();
    let world = World::new(&config);
    let tags: Vec<String> = (0..51).map(|n| format!("t{n}")).collect();
    world.origin(move |reached| {
        let many = if reached.target == "/many" { tags.join(" ") } else { "post:1".to_owned() };
        let fields = [("cdn-cache-control", "max-age=300"), ("surrogate-key", many.as_str())];
        Ok(Script::new(200, &fields, "body"))
    });
    let isolate = Isolate::new(&world, &config, "ams");
    *world.front_cache.borrow_mut() =
        Box::new(|request| Ok((if request.method == "GET" { 200 } else { 201 }, &[])));
    say(&world, "InProgress");
    (world, isolate)
}

/// What CloudFront says from here on.
fn say(world: &World, status: &'static str) {
    *world.front_cache_body.borrow_mut() = Box::new(move |_| {
        format!("<Invalidation><Id>I1</Id><Status>{status}</Status></Invalidation>")
    });
}

fn polls(world: &World) -> usize {
    world.front_cache_requests.borrow().iter().filter(|request| request.method == "GET").count()
}

fn sent(world: &World) -> usize {
    world.front_cache_requests.borrow().len() - polls(world)
}

fn invalidate(isolate: &Isolate, tag: &str) -> String {
    let secrets = Secrets::parse("", "ci:revalidate:a-token-of-its-own").unwrap();
    let url = "https://www.example.com/__isr/v1/revalidate";
    let head = request("POST", url, &[("authorization", "Bearer a-token-of-its-own")]);
    let seen = isolate.take(head, &format!(r#"{{"tags": ["{tag}"]}}"#), &secrets);
    let id = serde_json::from_str::<Value>(&seen.text()).unwrap()["id"].clone();
    format!("/__isr/v1/jobs/{}", id.as_str().unwrap())
}

#[test]
fn what_cloudfront_is_at_is_asked_after_until_it_is_completed() {
    let (world, isolate) = behind_cloudfront(false);
    let job = invalidate(&isolate, "post:1");
    pass(&world, 4);
    assert_eq!((sent(&world), polls(&world)), (1, 0));
    let in_progress = serde_json::json!(
        [{"name": "front", "waiting": 1, "failure": null, "in_progress": 1}]
    );
    assert_eq!(read(&isolate, &job)["front_caches"], in_progress);
    assert_eq!(read(&isolate, "/__isr/healthz")["notes"], Value::Array(vec![]));
    pass(&world, 2);
    assert_eq!(polls(&world), 0, "not before 5 s have passed");
    pass(&world, 6);
    assert_eq!(polls(&world), 1);
    // What comes meanwhile does not wait for it.
    let other = invalidate(&isolate, "post:2");
    pass(&world, 4);
    assert_eq!(sent(&world), 2);
    pass(&world, 180);
    let so_far = polls(&world);
    assert!((4..=20).contains(&so_far), "it is asked after ever more seldom: {so_far}");
    assert_eq!(sent(&world), 2, "nothing is sent twice");
    say(&world, "Completed");
    pass(&world, 61);
    for job in [&job, &other] {
        assert_eq!(read(&isolate, job)["front_caches"], Value::Null);
        assert_eq!(read(&isolate, job)["state"], "done");
    }
    let so_far = world.front_cache_requests.borrow().len();
    pass(&world, 120);
    assert_eq!(
        world.front_cache_requests.borrow().len(),
        so_far,
        "what is completed is not asked after"
    );
}

#[test]
fn an_invalidation_that_cloudfront_does_not_know_is_sent_again_under_its_reference() {
    let (world, isolate) = behind_cloudfront(false);
    invalidate(&isolate, "post:1");
    pass(&world, 4);
    *world.front_cache.borrow_mut() =
        Box::new(|request| Ok((if request.method == "GET" { 404 } else { 201 }, &[])));
    pass(&world, 6);
    assert_eq!((sent(&world), polls(&world)), (2, 1));
    let bodies: Vec<Vec<u8>> = {
        let requests = world.front_cache_requests.borrow();
        requests.iter().filter(|r| r.method == "POST").map(|r| r.body.clone()).collect()
    };
    assert_eq!(bodies[0], bodies[1], "CloudFront takes the second for the first");
}

#[test]
fn one_that_can_not_be_asked_after_is_loud_and_holds_up_nothing() {
    let (world, isolate) = behind_cloudfront(false);
    let job = invalidate(&isolate, "post:1");
    pass(&world, 4);
    *world.front_cache.borrow_mut() =
        Box::new(|request| Ok((if request.method == "GET" { 403 } else { 201 }, &[])));
    pass(&world, 7);
    let refused = serde_json::json!(
        [{"name": "front", "waiting": 1, "failure": "credentials-refused", "in_progress": 1}]
    );
    assert_eq!(read(&isolate, &job)["front_caches"], refused);
    assert_eq!(read(&isolate, "/__isr/healthz")["notes"][0]["reason"], "front-cache-failed");
    invalidate(&isolate, "post:2");
    pass(&world, 4);
    assert_eq!(sent(&world), 2);
    *world.front_cache.borrow_mut() = Box::new(|_| Ok((200, &[])));
    say(&world, "Completed");
    pass(&world, 61);
    assert_eq!(read(&isolate, "/__isr/healthz")["notes"], Value::Array(vec![]));
}

#[test]
fn too_many_in_progress_is_waited_for_and_goes_together_then() {
    let (world, isolate) = behind_cloudfront(true);
    *world.front_cache.borrow_mut() = Box::new(|_| Ok((400, &[])));
    *world.front_cache_body.borrow_mut() = Box::new(|_| {
        "<ErrorResponse><Error><Code>TooManyInvalidationsInProgress</Code></Error></ErrorResponse>"
            .to_owned()
    });
    let job = invalidate(&isolate, "post:1");
    pass(&world, 4);
    invalidate(&isolate, "post:2");
    pass(&world, 120);
    assert!((4..=12).contains(&sent(&world)), "{}", sent(&world));
    assert_eq!(read(&isolate, &job)["front_caches"][0]["failure"], "rate-limited");
    let everything = requests_to(&world, "cloudfront").iter().any(|body| body.contains("/*"));
    assert!(!everything, "a limit is no reason to purge everything");
    *world.front_cache.borrow_mut() = Box::new(|_| Ok((201, &[])));
    say(&world, "Completed");
    pass(&world, 61);
    let last = requests_to(&world, "cloudfront").pop().unwrap();
    assert!(last.contains("<Path>#post:1</Path><Path>#post:2</Path>"), "{last}");
    assert_eq!(read(&isolate, &job)["state"], "done");
}

#[test]
fn a_purge_of_everything_takes_over_what_is_in_progress() {
    let (world, isolate) = behind_cloudfront(true);
    let job = invalidate(&isolate, "first");
    pass(&world, 4);
    assert_eq!(sent(&world), 1);
    *world.front_cache.borrow_mut() = Box::new(|_| Err(OriginError::Unreachable));
    for n in 0..1_002 {
        world.invalidate(&format!("t{n}"), Mode::Soft);
    }
    *world.front_cache.borrow_mut() = Box::new(|_| Ok((201, &[])));
    say(&world, "Completed");
    pass(&world, 70);
    assert!(requests_to(&world, "cloudfront").last().unwrap().contains("<Path>/*</Path>"));
    assert_eq!(read(&isolate, &job)["front_caches"], Value::Null);
}

#[test]
fn cloudfront_gets_tags_that_it_can_keep_and_no_page_of_which_it_would_drop_some() {
    let (_, isolate) = behind_cloudfront(true);
    let seen = isolate.get(PAGE, &[]);
    assert_eq!(seen.fields.get("cache-tag"), Some("post:1"));
    assert!(!seen.fields.joined("cache-control").unwrap().contains("private"));
    let seen = isolate.get("https://www.example.com/many", &[]);
    assert_eq!(seen.fields.get("cache-tag"), None);
    let control = seen.fields.joined("cache-control").unwrap();
    assert!(control.contains("private"), "it takes 50: {control}");
}

/// Workers Caching: its own call is for who may revalidate, and marks only where it can.
#[test]
fn what_the_platform_keeps_before_the_worker_is_purged_by_its_own_call() {
    let (world, isolate) = site("cdn");
    let path = "/v1/workers-cache";
    let soft = r#"{"mode":"soft","tags":["a"]}"#;
    let options = r#"{"tags":["a"]}"#.to_owned();
    type Platform = fn(bool) -> Result<(), PurgeError>;
    let rows: [(Platform, &str, u16, &[bool]); 7] = [
        (|_| Ok(()), soft, 204, &[true]),
        (|_| Ok(()), r#"{"mode":"hard","tags":["a"]}"#, 204, &[false]),
        (|mark| if mark { Err(PurgeError::Absent) } else { Ok(()) }, soft, 204, &[false]),
        (|_| Err(PurgeError::Absent), soft, 501, &[]),
        (|_| Err(PurgeError::Limited), soft, 429, &[true]),
        (|_| Err(PurgeError::Failed), soft, 503, &[true]),
        (|_| Ok(()), "no JSON", 400, &[]),
    ];
    for (platform, body, status, polls) in rows {
        *world.before.borrow_mut() = Box::new(platform);
        world.purged.borrow_mut().clear();
        assert_eq!(isolate.operate("POST", path, body).status, status, "{body}");
        let want: Vec<(bool, String)> = polls.iter().map(|mark| (*mark, options.clone())).collect();
        assert_eq!(*world.purged.borrow(), want, "{body}");
    }
    let secrets = Secrets::parse("", "r:read:a-reader-of-jobs").unwrap();
    let url = format!("https://a.example/__isr{path}");
    for (fields, status) in
        [(&[][..], 401), (&[("authorization", "Bearer a-reader-of-jobs")][..], 403)]
    {
        let seen = isolate.take(request("POST", &url, fields), soft, &secrets);
        assert_eq!(seen.status, status);
    }
}
