//! The figures of the whole site: what clients did, over many isolates, less what is stated.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::composed_origin::Origin;
use crate::world::{Isolate, Reached, Script, Seen, World};
use edge_isr::config::{Config, Route};
use edge_isr::engine::port::CallError;
use serde_json::{Value, json};

fn config() -> Config {
    let settings = json!({"shards": 2, "warm_rate": 10_000, "routes": [
        {"path": "/account/*", "action": "bypass"},
        {"path": "/shop/*", "host": "example.com"},
    ]});
    edge_isr::front_caches::parse_config(&settings.to_string()).expect("settings")
}

fn site() -> (Rc<World>, Vec<Isolate>) {
    let world = World::new(&config());
    world.origin(|reached: &Reached| {
        let fields = [("cdn-cache-control", "max-age=86400"), ("x-edge-isr-tags", "all")];
        Ok(match reached.target.as_str() {
            "/private" => Script::new(200, &[("cache-control", "private")], "yours"),
            other => Script::new(200, &fields, other),
        })
    });
    let isolates = ["ams", "ams", "fra", "nrt"].map(|colo| Isolate::new(&world, &config(), colo));
    (world, isolates.into())
}

fn document(seen: &Seen) -> Value {
    assert_eq!(seen.status, 200, "{}", seen.text());
    serde_json::from_str(&seen.text()).expect("JSON")
}

/// What was counted by one of the names.
fn totals(isolate: &Isolate, by: &str) -> BTreeMap<String, u64> {
    let stats = document(&isolate.operate("GET", &format!("/v1/stats?by={by}&from=1"), ""));
    let totals = stats["totals"].as_object().expect("totals").iter();
    totals.map(|(name, sum)| (name.clone(), sum["requests"].as_u64().expect("a number"))).collect()
}

/// A minute passes, and each isolate gets a request, with which it reports what it had counted.
fn let_report(world: &Rc<World>, isolates: &[Isolate]) {
    world.pass(61_000);
    for isolate in isolates {
        isolate.get("https://example.com/report", &[]);
        world.pass(1_500);
    }
}

#[test]
fn the_sites_figures_are_what_clients_did_less_what_was_not_reported() {
    let (world, isolates) = site();
    let mut results: BTreeMap<String, u64> = BTreeMap::new();
    let mut sent = 0;
    for (n, isolate) in isolates.iter().enumerate() {
        for round in 0..20 {
            let path = ["/shop/1", "/account/me", "/about", "/private"][(n + round) % 4];
            let seen = isolate.get(&format!("https://example.com{path}"), &[]);
            let result = if seen.cache_status().contains(";hit") { "hit" } else { "other" };
            *results.entry(result.to_owned()).or_default() += 1;
            sent += 1;
            world.pass(5);
        }
    }
    let_report(&world, &isolates);
    let reported = totals(&isolates[0], "result");
    assert_eq!(reported.values().sum::<u64>(), sent, "{reported:?}");
    assert_eq!(reported["hit"], results["hit"], "{reported:?}");
    let colos = totals(&isolates[0], "colo");
    assert_eq!(colos.get("ams"), Some(&40), "{colos:?}");
    let routes = totals(&isolates[0], "route");
    assert_eq!((routes["/account/*"], routes["example.com/shop/*"]), (20, 20), "{routes:?}");
    assert_eq!(routes["/*"], 40);
    let reasons = totals(&isolates[0], "reason");
    assert_eq!(reasons["route"], 20, "{reasons:?}");

    // One dies with what it has not reported; another's journal is out of reach for a while.
    for isolate in &isolates[..3] {
        for _ in 0..10 {
            isolate.get("https://example.com/shop/1", &[]);
        }
    }
    let counted_by = |isolates: usize| sent + isolates as u64 * 11 + 1;
    let_report(&world, &isolates[1..3]);
    let reported: u64 = totals(&isolates[3], "result").values().sum();
    // Each had asked once for `/report`, of which the last is not reported yet.
    assert_eq!(reported, counted_by(2) - 1, "ten of each, and the first one's are lost with it");
}

/// An hour of traffic in virtual time, on four isolates of three colos, two of which are killed and
/// come anew: what every way of asking gives is what the client counted, less what the killed ones
/// and the newest minute had not reported.
#[test]
fn a_scripted_hour_adds_up_in_every_way_of_asking() {
    let (world, mut isolates) = site();
    let mut rng = fastrand::Rng::with_seed(17);
    let mut reported = BTreeMap::new();
    // By isolate, what it has not reported yet: by the name of a result.
    let mut unreported: Vec<BTreeMap<String, u64>> = vec![BTreeMap::new(); isolates.len()];
    let mut lost = 0;
    for minute in 0..60 {
        for (n, isolate) in isolates.iter().enumerate() {
            for _ in 0..rng.u64(1..12) {
                let paths = ["/shop/1", "/shop/2", "/account/me", "/about", "/private"];
                let path = paths[rng.usize(0..paths.len())];
                let seen = isolate.get(&format!("https://example.com{path}"), &[]);
                *unreported[n].entry(result_of(&seen)).or_default() += 1;
                world.pass(7);
            }
        }
        if [20, 41].contains(&minute) {
            let killed = rng.usize(0..isolates.len());
            lost += unreported[killed].values().sum::<u64>();
            unreported[killed].clear();
            isolates[killed] = Isolate::new(&world, &config(), "ams");
        }
        world.pass(60_000);
        for (n, isolate) in isolates.iter().enumerate() {
            // What was counted before it goes along with it, and it with the next.
            let before = std::mem::take(&mut unreported[n]);
            let seen = isolate.get("https://example.com/report", &[]);
            world.pass(1_500);
            *unreported[n].entry(result_of(&seen)).or_default() += 1;
            before.into_iter().for_each(|(name, by)| *reported.entry(name).or_default() += by);
        }
    }
    let sum: u64 = reported.values().sum();
    let newest: u64 = unreported.iter().flat_map(BTreeMap::values).sum();
    assert!(sum > 1000 && lost > 0 && newest == 4, "{sum} reported, {lost} lost, {newest} not yet");
    assert_eq!(totals(&isolates[1], "result"), reported);
    for by in ["route", "reason", "colo", "kind"] {
        assert_eq!(totals(&isolates[2], by).values().sum::<u64>(), sum, "by {by}");
    }
    let text = isolates[3].operate("GET", "/metrics", "").text();
    for (name, by) in &reported {
        let line = format!("edge_isr_requests_total{{result=\"{name}\"}} {by}\n");
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}

/// What an answer counts as, by its Cache-Status.
fn result_of(seen: &Seen) -> String {
    let said = seen.cache_status();
    let name = if said.contains(";hit") {
        "hit"
    } else if said.contains("fwd=bypass") {
        "pass"
    } else {
        "miss"
    };
    name.to_owned()
}

/// How long the origin takes is shown by rule, whoever asked, and whatever came of it.
#[test]
fn requests_to_the_origin_and_how_long_they_took() {
    let (world, isolates) = site();
    let fields = [("cdn-cache-control", "max-age=86400")];
    world.origin(move |_| Ok(Script::new(200, &fields, "x").after(40)));
    isolates[0].get("https://example.com/shop/1", &[]);
    isolates[0].get("https://example.com/shop/1", &[]);
    isolates[1].get("https://example.com/account/me?x=1", &[]);
    let_report(&world, &isolates);
    let stats = document(&isolates[0].operate("GET", "/v1/stats?from=1", ""));
    let origin = &stats["origin"];
    assert_eq!(origin["example.com/shop/*"], json!({"requests": 1, "millis": 40}), "{origin}");
    assert_eq!(origin["/account/*"], json!({"requests": 1, "millis": 40}), "{origin}");
    let text = isolates[0].operate("GET", "/metrics", "").text();
    let sum = "edge_isr_origin_request_duration_seconds_sum{route=\"/account/*\"} 0.04\n";
    assert!(text.contains(sum), "{text}");
}

#[test]
fn a_report_without_an_answer_is_sent_again_and_counts_once() {
    let (world, isolates) = site();
    let ams = &isolates[..1];
    for _ in 0..5 {
        ams[0].get("https://example.com/about", &[]);
    }
    for _ in 0..2 {
        world.pass(61_000);
        let lost = CallError::Unreachable("the answer is lost".to_owned());
        world.object_errors.borrow_mut().push_back((true, lost));
        ams[0].get("https://example.com/report", &[]);
        world.pass(1_500);
    }
    let_report(&world, ams);
    let_report(&world, ams);
    let reported: u64 = totals(&isolates[3], "result").values().sum();
    assert_eq!(reported, 5 + 3, "the fourth is not reported yet");
}

#[test]
fn the_metrics_of_the_site_are_the_same_from_every_isolate_and_never_go_back() {
    let (world, isolates) = site();
    let scrape = |isolate: &Isolate| {
        let seen = isolate.operate("GET", "/metrics", "");
        assert_eq!(seen.status, 200);
        let kind = seen.fields.get("content-type").expect("a type").to_owned();
        assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
        seen.text()
    };
    let hits = |text: &str| -> u64 {
        let name = "edge_isr_requests_total{result=\"hit\"} ";
        text.lines().find_map(|line| line.strip_prefix(name)).map_or(0, |n| n.parse().unwrap())
    };
    let mut last = 0;
    for _ in 0..4 {
        for isolate in &isolates {
            isolate.get("https://example.com/about", &[]);
        }
        let_report(&world, &isolates);
        let text = scrape(&isolates[0]);
        assert_eq!(text, scrape(&isolates[2]));
        assert!(text.ends_with("# EOF\n"), "{text}");
        assert!(text.contains("# TYPE edge_isr_requests counter\n"), "{text}");
        assert!(hits(&text) > last);
        last = hits(&text);
    }
    // What shards' objects did is in it.
    let said = isolates[0].operate("POST", "/v1/revalidate", r#"{"tags": ["all"]}"#);
    assert_eq!(said.status, 202);
    for _ in 0..3 {
        world.pass(61_000);
        world.alarms();
    }
    let text = scrape(&isolates[1]);
    assert!(text.contains("edge_isr_warms_total{outcome=\"done\"}"), "{text}");
    assert!(text.contains("edge_isr_refetches_total{content=\"unchanged\"}"), "{text}");
}

#[test]
fn a_hit_asks_nobody() {
    let (world, isolates) = site();
    for _ in 0..3 {
        isolates[0].get("https://example.com/about", &[]);
    }
    world.spent();
    for _ in 0..100 {
        isolates[0].get("https://example.com/about", &[]);
    }
    let spent: u64 = world.spent().values().sum();
    assert_eq!(spent, 0);
}

#[test]
fn while_the_journal_is_away_figures_are_refused() {
    let (world, isolates) = site();
    world.journal_down.set(true);
    for path in ["/v1/stats", "/metrics"] {
        let seen = isolates[0].operate("GET", path, "");
        assert_eq!(seen.status, 503);
        assert!(seen.text().contains("journal-unreachable"), "{}", seen.text());
    }
    assert_eq!(isolates[0].operate("GET", "/metrics?isolate", "").status, 200);
}

#[test]
fn composed_answers_count_as_all_others() {
    let origin = Origin::new(Route::default());
    let isolates = [origin.isolate("ams")];
    let url = "https://example.com/p/1/";
    let sent: u64 = (0..4).map(|_| isolates[0].get(url, &[]).text().len() as u64).sum();
    let_report(&origin.world, &isolates);
    let stats = document(&isolates[0].operate("GET", "/v1/stats?by=result&from=1", ""));
    let totals = &stats["totals"];
    assert_eq!(totals["hit"], json!({"requests": 3, "bytes": sent / 4 * 3}), "{stats:#}");
    assert_eq!(totals["miss"]["requests"], json!(1), "{stats:#}");
    assert_eq!(stats["counters"]["edge_isr_composed_total|outcome|composed"], json!(4));
}
