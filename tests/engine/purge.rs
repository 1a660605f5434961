//! Other caches' purge APIs through the engine: into the journal like every invalidation, once
//! each, and refreshes that a warm-up request forces.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::cell::Cell;
use std::rc::Rc;

use crate::world::{Isolate, Script, Seen, World, request};
use edge_isr::config::{Config, LogLevel};
use edge_isr::control::Secrets;
use edge_isr::front_caches::parse_config;
use edge_isr::http::RequestHead;
use serde_json::Value;

const PAGE: &str = "https://www.example.com/post/1";
const OTHER: &str = "https://www.example.com/post/2";
const TOKEN: &str = "a-token-of-its-own";
const FRESH: &str = "max-age=300, stale-while-revalidate=600, stale-if-error=3600";

fn config() -> Config {
    let text = r#"{"shards": 2, "log": "events", "trusted_ips": ["10.0.0.0/8"],
        "control_hosts": ["purge.example.com"]}"#;
    let config = parse_config(text).unwrap();
    assert_eq!(config.log, LogLevel::Events);
    config
}

fn secrets() -> Secrets {
    Secrets::parse("", &format!("ci:revalidate:{TOKEN}")).unwrap()
}

/// A site whose pages show how often they were rendered, with both pages stored.
fn site() -> (Rc<World>, Isolate) {
    let world = World::new(&config());
    let renders = Rc::new(Cell::new(0));
    world.origin(move |reached| {
        renders.set(renders.get() + 1);
        let tag = if reached.target.ends_with('1') { "post:1" } else { "post:2" };
        let fields = [("cdn-cache-control", FRESH), ("surrogate-key", tag)];
        Ok(Script::new(200, &fields, &format!("render {}", renders.get())))
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    isolate.get(PAGE, &[]);
    isolate.get(OTHER, &[]);
    world.pass(100);
    (world, isolate)
}

fn json(seen: &Seen) -> Value {
    serde_json::from_str(&seen.text()).unwrap()
}

/// The audit lines so far.
fn audit(world: &World) -> Vec<Value> {
    let lines = world.lines.borrow();
    let lines = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["event"] == "revalidated").collect()
}

/// Method, URL, fields, body, and the dialect.
type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str, &'a str);

#[test]
fn every_dialect_purges_its_page_and_no_other() {
    let key = [("fastly-key", TOKEN)];
    let bearer = format!("Bearer {TOKEN}");
    let bearer = [("authorization", bearer.as_str())];
    // `:a-token-of-its-own`
    let basic = [("authorization", "Basic OmEtdG9rZW4tb2YtaXRzLW93bg==")];
    let rows: [Row<'_>; 6] = [
        (
            "POST",
            "https://purge.example.com/client/v4/zones/z/purge_cache",
            &bearer,
            r#"{"files": ["http://www.example.com/post/1"]}"#,
            "cloudflare",
        ),
        ("POST", "https://www.example.com/__isr/fastly/service/s/purge/post:1", &key, "", "fastly"),
        (
            "DELETE",
            "https://purge.example.com/zones/purgetag/1.json",
            &basic,
            r#"{"tags": ["post:1"]}"#,
            "keycdn",
        ),
        ("PURGE", PAGE, &bearer, "", "purge"),
        ("POST", "https://x.example/__isr/purge/www.example.com/post/1", &bearer, "", "purge"),
        (
            "BAN",
            "https://www.example.com/",
            &[("xkey", "post:1"), ("fastly-key", TOKEN)],
            "",
            "ban",
        ),
    ];
    for (method, url, fields, body, via) in rows {
        let (world, isolate) = site();
        let seen = isolate.take(request(method, url, fields), body, &secrets());
        assert_eq!(seen.status, 200, "{via}: {:?}", seen.body);
        assert!(seen.cache_status().contains("detail=control"));
        // This isolate knows at once; the others within the bound.
        assert_ne!(isolate.get(PAGE, &[]).text(), "render 1", "{via}");
        let other = isolate.get(OTHER, &[]);
        assert_eq!(other.text(), "render 2", "{via}");
        assert!(other.cache_status().contains("hit"), "{via}");
        let lines = audit(&world);
        assert_eq!(lines.len(), 1, "{via}");
        assert_eq!(
            (&lines[0]["via"], &lines[0]["caller"]),
            (&Value::from(via), &Value::from("ci"))
        );
        assert_eq!(lines[0]["id"].as_str(), seen.fields.get("x-edge-isr-job"), "{via}");
        let job = format!("https://a.example/__isr/v1/jobs/{}", lines[0]["id"].as_str().unwrap());
        let reader = Secrets::parse("", "r:read:a-reader-of-jobs").unwrap();
        let head = request("GET", &job, &[("authorization", "Bearer a-reader-of-jobs")]);
        assert_eq!(json(&isolate.take(head, "", &reader))["epoch"], 1, "{via}");
    }
}

#[test]
fn a_call_without_counts_does_not_wait_for_the_shards() {
    let (world, isolate) = site();
    world.shard_millis.set(250);
    let took = |head, body| {
        let began = world.now();
        let seen = isolate.take(head, body, &secrets());
        assert!(seen.status < 300, "{:?}", seen.body);
        world.now().since(began).0
    };
    let bearer = format!("Bearer {TOKEN}");
    let purge = took(request("PURGE", PAGE, &[("authorization", &bearer)]), "");
    assert!(purge < 50, "{purge} ms");
    // The shards hear of it all the same, and warm the page.
    world.pass(1_000);
    let job =
        format!("https://a.example/__isr/v1/jobs/{}", audit(&world)[0]["id"].as_str().unwrap());
    let reader = Secrets::parse("", "r:read:a-reader-of-jobs").unwrap();
    let head = request("GET", &job, &[("authorization", "Bearer a-reader-of-jobs")]);
    assert_eq!(json(&isolate.take(head, "", &reader))["pages"], 1);
    let url = "https://www.example.com/__isr/v1/revalidate";
    let head = request("POST", url, &[("authorization", &bearer)]);
    let millis = took(head, r#"{"tags": ["post:1"]}"#);
    assert!(millis >= 250, "{millis} ms");
}

#[test]
fn a_refused_call_is_answered_in_its_form_counted_and_logged_and_changes_nothing() {
    let (world, isolate) = site();
    let url = "https://purge.example.com/client/v4/zones/z/purge_cache";
    let body = r#"{"files": ["https://www.example.com/post/1"]}"#;
    let seen = isolate.take(request("POST", url, &[]), body, &secrets());
    assert_eq!((seen.status, &json(&seen)["success"]), (400, &Value::from(false)));
    let seen = isolate.take(request("PURGE", PAGE, &[]), "", &secrets());
    assert_eq!((seen.status, &json(&seen)["reason"]), (403, &Value::from("credentials-missing")));
    let seen = isolate.take(request("GET", "https://purge.example.com/", &[]), "", &secrets());
    assert_eq!(seen.status, 404);
    assert!(isolate.get(PAGE, &[]).cache_status().contains("hit"));
    let lines = world.lines.borrow().join("\n");
    assert!(
        lines.contains(r#""call":"cloudflare""#) && lines.contains(r#""call":"purge""#),
        "{lines}"
    );
}

#[test]
fn a_journal_out_of_reach_is_a_503_of_the_dialect() {
    let (world, isolate) = site();
    world.journal_down.set(true);
    let url = "https://purge.example.com/service/s/purge_all";
    let seen = isolate.take(request("POST", url, &[("fastly-key", TOKEN)]), "", &secrets());
    assert_eq!((seen.status, seen.fields.get("retry-after")), (503, Some("1")));
    assert_eq!(json(&seen)["msg"], "Nothing was recorded");
}

fn warm_up(client: &str, fields: &[(&str, &str)]) -> RequestHead {
    let mut head = request("GET", PAGE, fields);
    head.fields.append("x-edge-isr-warmup", "1");
    head.client = Some(client.to_owned());
    head
}

#[test]
fn a_warm_up_of_who_may_refreshes_the_page() {
    let bearer = format!("Bearer {TOKEN}");
    let token: &[(&str, &str)] = &[("authorization", &bearer)];
    for (client, fields, caller) in [("10.0.0.1", &[][..], "10.0.0.1"), ("192.0.2.7", token, "ci")]
    {
        let (world, isolate) = site();
        let seen = isolate.take(warm_up(client, fields), "", &secrets());
        // The old page, while the new one is fetched.
        assert_eq!((seen.status, seen.text().as_str()), (200, "render 1"));
        world.pass(100);
        let after = isolate.get(PAGE, &[]);
        assert_eq!(after.text(), "render 3");
        assert!(after.cache_status().contains("hit"), "{}", after.cache_status());
        let reached = world.reached.borrow();
        let last = reached.last().unwrap();
        assert!(!last.fields.has("authorization") && !last.fields.has("x-edge-isr-warmup"));
        let lines = audit(&world);
        assert_eq!((&lines[0]["via"], &lines[0]["caller"]), (&"warm-up".into(), &caller.into()));
    }
}

#[test]
fn a_warm_up_of_anybody_else_is_a_visit() {
    let (world, isolate) = site();
    let seen = isolate.take(warm_up("192.0.2.7", &[]), "", &secrets());
    assert!(seen.cache_status().contains("hit"), "{}", seen.cache_status());
    assert!(audit(&world).is_empty());
    let seen = isolate.take(warm_up("192.0.2.7", &[("authorization", "Bearer x")]), "", &secrets());
    assert!(seen.cache_status().contains("authorization"), "{}", seen.cache_status());
    assert!(audit(&world).is_empty());
}

#[test]
fn a_token_for_the_edge_reaches_no_origin_in_whatever_field_it_came() {
    for field in ["fastly-key", "x-auth-key"] {
        let (world, isolate) = site();
        let fields = &[(field, TOKEN), ("cookie", "sessionid=a")];
        let seen = isolate.take(warm_up("192.0.2.7", fields), "", &secrets());
        assert!(seen.cache_status().contains("bypass-cookie"), "{}", seen.cache_status());
        assert_eq!(audit(&world).len(), 1, "the token counts");
        let reached = world.reached.borrow();
        let leaked = reached.last().unwrap().fields.iter().any(|(_, value)| value.contains(TOKEN));
        assert!(!leaked, "{field}");
    }
}

#[test]
fn forced_refreshes_are_one_for_a_page_and_second_and_bounded() {
    let (world, isolate) = site();
    for _ in 0..50 {
        isolate.take(warm_up("10.0.0.1", &[]), "", &secrets());
    }
    let seconds = |world: &World| world.now().as_seconds();
    let began = seconds(&world);
    let for_the_page = audit(&world).len();
    assert!((1..=2).contains(&for_the_page), "{for_the_page}");
    for n in 0..100 {
        let mut head = warm_up("10.0.0.1", &[]);
        head.path = format!("/invented/{n}");
        isolate.take(head, "", &secrets());
    }
    let spans = usize::try_from(seconds(&world) - began).unwrap() + 1;
    assert!(audit(&world).len() <= for_the_page + 20 * spans, "{}", audit(&world).len());
}

#[test]
fn a_retry_of_the_sdk_is_once() {
    use edge_isr::control::purge_apis::sigv4::{KeyScope, SignedRequest, authorization, compact};
    let (world, isolate) = site();
    let url = "https://www.example.com/__isr/cloudfront/2020-05-31/distribution/E1/invalidation";
    let send = |invocation: &str, paths: &str| {
        let body = format!(
            "<InvalidationBatch><Paths><Quantity>1</Quantity><Items><Path>{paths}</Path></Items>\
             </Paths><CallerReference>edge-isr-warmup</CallerReference></InvalidationBatch>"
        );
        let at = compact(world.now());
        let fields = [("host", "www.example.com".to_owned()), ("x-amz-date", at.clone())];
        let mut head = request("POST", url, &[("amz-sdk-invocation-id", invocation)]);
        let signed = SignedRequest {
            method: "POST",
            path: &head.path,
            query: "",
            fields: &fields,
            body: body.as_bytes(),
            at: &at,
        };
        let scope = KeyScope { day: &at[..8], region: "us-east-1", service: "cloudfront" };
        let field = authorization("ci", TOKEN, &scope, &signed);
        head.fields.append("x-amz-date", at.as_str());
        head.fields.append("authorization", field);
        let seen = isolate.take(head, &body, &secrets());
        (seen.status, seen.fields.get("x-edge-isr-job").map(str::to_owned))
    };
    let first = send("one", "/post/1");
    assert_eq!(first.0, 201);
    assert_eq!(send("one", "/post/1"), first);
    assert_ne!(send("two", "/post/1"), first, "another call with the same reference is another");
    assert_eq!(send("one", "/post/2").0, 409, "the same call can't ask for something else");
    let epochs: Vec<u64> =
        audit(&world).iter().map(|line| line["epoch"].as_u64().unwrap()).collect();
    assert_eq!(epochs, [1, 1, 2]);
}
