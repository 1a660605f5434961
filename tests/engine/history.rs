//! `invalidations` and the timelines of `pages`: what clients did is what is shown.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::cell::Cell;
use std::rc::Rc;

use crate::world::{Isolate, Reached, Script, Seen, World};
use edge_isr::config::Config;
use serde_json::{Value, json};

pub(crate) fn config() -> Config {
    let settings = json!({"shards": 2, "warm_rate": 10_000, "new_keys_per_second": 10_000});
    edge_isr::front_caches::parse_config(&settings.to_string()).expect("settings")
}

/// Pages with their own tag and that of all; the third part of the path is a version.
fn site() -> (Rc<World>, Isolate, Rc<Cell<u32>>) {
    let (world, version) = (World::new(&config()), Rc::new(Cell::new(0)));
    let shown = Rc::clone(&version);
    world.origin(move |reached: &Reached| {
        let tags = format!("page:{} all", reached.target.trim_start_matches('/'));
        let fields = [("cdn-cache-control", "max-age=86400"), ("x-edge-isr-tags", tags.as_str())];
        Ok(match reached.target.as_str() {
            "/gone" if shown.get() > 0 => Script::new(200, &[("cache-control", "private")], "mine"),
            other => Script::new(200, &fields, &format!("{other} {}", shown.get())),
        })
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    (world, isolate, version)
}

fn document(seen: &Seen) -> Value {
    assert_eq!(seen.status, 200, "{}", seen.text());
    serde_json::from_str(&seen.text()).expect("JSON")
}

fn history(isolate: &Isolate, query: &str) -> Value {
    document(&isolate.operate("GET", &format!("/v1/invalidations{query}"), ""))
}

fn revalidate(isolate: &Isolate, body: &Value) -> Value {
    let seen = isolate.operate("POST", "/v1/revalidate", &body.to_string());
    assert_eq!(seen.status, 202, "{}", seen.text());
    serde_json::from_str(&seen.text()).expect("JSON")
}

/// Alarms work until nothing is left.
fn settle(world: &Rc<World>) {
    for _ in 0..5 {
        world.pass(1_000);
        world.alarms();
    }
}

#[test]
fn who_asked_for_what_and_why_and_how_long_its_refetches_took() {
    let (world, isolate, version) = site();
    for path in ["a", "b", "c"] {
        isolate.get(&format!("https://example.com/{path}"), &[]);
    }
    version.set(1);
    let body = json!({"tags": ["all"], "reason": "<b>all</b> of them"});
    let first = revalidate(&isolate, &body);
    let accepted = world.now();
    settle(&world);
    let body = json!({"urls": ["https://example.com/a"], "hosts": ["example.com"], "mode": "hard",
        "warm": false});
    let second = revalidate(&isolate, &body);
    let history = history(&isolate, "");
    let rows = history["invalidations"].as_array().expect("rows");
    assert_eq!(rows.len(), 2, "{history}");
    let (newest, oldest) = (&rows[0], &rows[1]);
    assert_eq!((&newest["id"], &newest["epoch"]), (&second["id"], &second["epoch"]));
    assert_eq!((&oldest["id"], &oldest["epoch"]), (&first["id"], &first["epoch"]));
    let want = json!({"urls": ["example.com/a"], "hosts": ["example.com"]});
    assert_eq!((&newest["named"], &newest["targets"]), (&want, &json!(2)));
    assert_eq!((&newest["mode"], &newest["warm"]), (&json!("hard"), &json!(false)));
    assert_eq!((&oldest["caller"], &oldest["via"]), (&json!("ops"), &json!("control")));
    assert_eq!(oldest["reason"], "<b>all</b> of them");
    assert_eq!(oldest["named"], json!({"tags": ["all"]}));
    let progress = &oldest["progress"];
    let of = |name: &str| progress[name].as_u64().unwrap_or_else(|| panic!("{name}: {history}"));
    assert_eq!((of("pages"), of("total"), of("done"), of("left")), (3, 3, 3, 0));
    assert_eq!((of("changed"), of("unchanged"), of("failed"), of("superseded")), (3, 0, 0, 0));
    let last = world.now().since(accepted).0;
    assert!((1..=last).contains(&of("refetched_in_ms")), "{progress}, {last} ms passed");
    // Nothing was refetched for the other.
    assert_eq!(newest["progress"]["refetched_in_ms"], Value::Null);
    assert_eq!(history["next"], Value::Null);
    assert_eq!(history.get("notes"), None);
}

#[test]
fn every_way_into_the_journal_has_its_name() {
    let (world, isolate, version) = site();
    isolate.get("https://example.com/a", &[]);
    isolate.get("https://example.com/gone", &[]);
    version.set(1);
    revalidate(&isolate, &json!({"tags": ["page:a"]}));
    isolate.send("POST", "https://example.com/a", &[]);
    settle(&world);
    revalidate(&isolate, &json!({"tags": ["page:gone"], "reinvalidate_after_ms": 1_000}));
    settle(&world);
    let history = history(&isolate, "");
    let rows = history["invalidations"].as_array().expect("rows").iter();
    let mut by: Vec<(String, String)> = rows
        .map(|row| {
            let text = |name: &str| row[name].as_str().expect("a text").to_owned();
            (text("caller"), text("via"))
        })
        .collect();
    by.sort();
    by.dedup();
    let want = [
        ("ops", "control"),
        ("ops", "reinvalidate"),
        ("origin", "warm"),
        ("visitor", "unsafe-method"),
    ];
    let want: Vec<(String, String)> =
        want.iter().map(|(caller, via)| ((*caller).to_owned(), (*via).to_owned())).collect();
    assert_eq!(by, want, "{history}");
}

#[test]
fn filters_and_parts() {
    let (_world, isolate, _) = site();
    for n in 0..7 {
        revalidate(&isolate, &json!({"tags": [format!("post:{}", n % 2)]}));
    }
    let count = |query: &str| history(&isolate, query)["invalidations"].as_array().map(Vec::len);
    assert_eq!(count("?tag=post:0"), Some(4));
    assert_eq!(count("?tag=post"), Some(0));
    assert_eq!(count("?caller=ops"), Some(7));
    assert_eq!(count("?caller=op"), Some(0));
    let (mut cursor, mut found) = (String::new(), Vec::new());
    loop {
        let part = history(&isolate, &format!("?limit=2&tag=post:0&cursor={cursor}"));
        let rows = part["invalidations"].as_array().expect("rows");
        assert!(rows.len() <= 2);
        found.extend(rows.iter().map(|row| row["epoch"].as_u64().expect("an epoch")));
        let Some(next) = part["next"].as_str() else { break };
        next.clone_into(&mut cursor);
    }
    assert_eq!(found, [7, 5, 3, 1]);
}

#[test]
fn a_page_shows_when_it_was_fetched_and_what_invalidated_it() {
    let (world, isolate, version) = site();
    let page = "https://example.com/blog/a";
    let before = world.now().as_millis();
    isolate.get(page, &[]);
    // Its shard hears of it after the answer.
    world.pass(100);
    let after = world.now().as_millis();
    isolate.get("https://example.com/other", &[]);
    world.pass(1_000);
    let names = [
        json!({"tags": ["page:blog/a", "of-no-page"], "reason": "its tag"}),
        json!({"tags": ["page:other"], "reason": "another page"}),
        json!({"prefixes": ["https://example.com/blog/"], "reason": "below it"}),
        json!({"prefixes": ["https://example.com/blog/a/"], "reason": "below another"}),
        json!({"urls": [page], "reason": "itself"}),
        json!({"hosts": ["example.com"], "reason": "its host"}),
        json!({"all": true, "reason": "everything"}),
    ];
    for name in &names {
        version.set(version.get() + 1);
        revalidate(&isolate, name);
        settle(&world);
    }
    let page = document(&isolate.operate("GET", &format!("/v1/pages?url={page}"), ""));
    let timeline = page["pages"][0]["timeline"].as_array().expect("a timeline");
    let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    let lines: Vec<String> = timeline
        .iter()
        .map(|one| format!("{} {}{}", text(one, "what"), text(one, "reason"), text(one, "by")))
        .collect();
    // Five copies are remembered before the one that is stored: the first of all is the sixth.
    let want = [
        "fetched warm",
        "invalidated everything",
        "fetched warm",
        "invalidated its host",
        "fetched warm",
        "invalidated itself",
        "fetched warm",
        "invalidated below it",
        "fetched warm",
        "invalidated its tag",
        "fetched visitor",
    ];
    assert_eq!(lines, want, "{page}");
    let stored: Vec<bool> = timeline.iter().filter_map(|one| one["stored"].as_bool()).collect();
    assert_eq!(stored, [true, false, false, false, false, false]);
    let first = timeline.last().expect("the first");
    let at = first["at"].as_i64().expect("a time");
    assert!((before..=after).contains(&at), "{first}: {before} to {after}");
    let tag = &timeline[9];
    assert_eq!(tag["named"], json!({"tags": ["page:blog/a"]}), "what names it alone");
    assert_eq!((&tag["caller"], &tag["mode"]), (&json!("ops"), &json!("soft")));
    // Lists of a tag's pages have none.
    let pages = document(&isolate.operate("GET", "/v1/tags/all/pages", ""));
    assert_eq!(pages["pages"][0].get("timeline"), None);
}

#[test]
fn what_is_out_of_reach_is_said() {
    let (world, isolate, _) = site();
    isolate.get("https://example.com/a", &[]);
    revalidate(&isolate, &json!({"tags": ["all"]}));
    settle(&world);
    world.shards_down.set(true);
    let rows = history(&isolate, "");
    assert_eq!(rows["invalidations"][0]["progress"], Value::Null);
    assert_eq!(rows["notes"].as_array().map(Vec::len), Some(1), "{rows}");
    world.shards_down.set(false);
    world.journal_down.set(true);
    let page = isolate.operate("GET", "/v1/pages?url=https://example.com/a", "");
    let page = document(&page);
    let timeline = page["pages"][0]["timeline"].as_array().expect("a timeline");
    assert!(timeline.iter().all(|one| one["what"] == "fetched"), "{page}");
    assert_eq!(timeline.len(), 2);
    assert_eq!(page["notes"].as_array().map(Vec::len), Some(1), "{page}");
    let away = isolate.operate("GET", "/v1/invalidations", "");
    assert_eq!(away.status, 503, "{}", away.text());
    assert!(away.text().contains("journal-unreachable"), "{}", away.text());
}
