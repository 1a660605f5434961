//! Warms in a world of virtual time: by URL, by sitemap, and at a pace that the origin can bear.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::world::{Isolate, Reached, Script, Seen, World};
use edge_isr::config::Config;
use edge_isr::engine::port::OriginError;
use edge_isr::journal::Mode;
use serde_json::{Value, json};

fn config() -> Config {
    Config { shards: 3, new_keys_per_second: 10_000, warm_rate: 10_000, ..Config::default() }
}

fn page(body: &str, tag: &str) -> Script {
    let fresh = "max-age=300, stale-while-revalidate=600";
    Script::new(200, &[("cdn-cache-control", fresh), ("x-edge-isr-tags", tag)], body)
}

fn document(seen: &Seen) -> Value {
    serde_json::from_str(&seen.text()).expect("JSON")
}

/// Lets the objects work until the job has ended.
fn job_of(isolate: &Isolate, id: &str) -> Value {
    for _ in 0..200 {
        isolate.world.alarms();
        let job = document(&isolate.operate("GET", &format!("/v1/jobs/{id}"), ""));
        let open = job["queued"].as_u64().unwrap_or(0) + job["running"].as_u64().unwrap_or(0);
        if job["complete"] == json!(true) && open == 0 {
            return job;
        }
        isolate.world.pass(1_000);
    }
    panic!("the job does not end");
}

fn warm(isolate: &Isolate, body: &Value) -> Value {
    let seen = isolate.operate("POST", "/v1/warm", &body.to_string());
    assert_eq!(seen.status, 202, "{}", seen.text());
    document(&seen)
}

fn urlset(urls: &[String]) -> String {
    let entries: String = urls.iter().map(|url| format!("<url><loc>{url}</loc></url>")).collect();
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<urlset>{entries}</urlset>\n")
}

fn xml(body: &str) -> Script {
    Script::new(200, &[("content-type", "application/xml")], body)
}

fn urls(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| format!("https://example.com/p/{n}")).collect()
}

/// How often each target reached the origin.
fn requests(world: &World, target: &str) -> usize {
    world.reached.borrow().iter().filter(|reached| reached.target == target).count()
}

#[test]
fn a_sitemap_is_fetched_from_the_origin_and_its_pages_are_warmed() {
    let world = World::new(&config());
    world.origin(|reached: &Reached| match reached.target.as_str() {
        "/sitemap.xml" => Ok(xml(&urlset(&urls(0, 450)))),
        _ => Ok(page("warm", "post:1")),
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    let said = warm(&isolate, &json!({"sitemap": "https://example.com/sitemap.xml"}));
    assert_eq!((&said["pages"], &said["warming"]), (&Value::Null, &Value::Null));
    let id = said["id"].as_str().expect("an id");
    let open = document(&isolate.operate("GET", &format!("/v1/jobs/{id}"), ""));
    assert_eq!(open["complete"], json!(false), "{open}");
    let job = job_of(&isolate, id);
    assert_eq!(
        (&job["pages"], &job["done"], &job["failed"]),
        (&json!(450), &json!(450), &json!(0))
    );
    assert_eq!(job["state"], json!("done"));
    {
        let reached = world.reached.borrow();
        let sitemap = reached.iter().find(|r| r.target == "/sitemap.xml").expect("asked for");
        assert_eq!(sitemap.fields.get("x-forwarded-host"), Some("example.com"));
        assert_eq!(sitemap.fields.get("x-edge-isr-warmup"), Some("1"));
        assert_eq!(sitemap.fields.get("cdn-loop"), Some("edge-isr"));
    }
    assert!((0..450).all(|n| requests(&world, &format!("/p/{n}")) == 1));
    // A visitor anywhere profits, and the pages can be invalidated by their tags.
    world.spent();
    let seen = isolate.get("https://example.com/p/7", &[]);
    assert_eq!(seen.text(), "warm");
    assert_eq!(world.spent().get("origin"), None);
    let pages = document(&isolate.operate("GET", "/v1/tags/post:1/pages?limit=1000", ""));
    assert_eq!(pages["pages"].as_array().map(Vec::len), Some(450));
}

#[test]
fn an_index_of_sitemaps_and_what_is_wrong_in_it() {
    let settings = json!({"shards": 3, "warm_rate": 10_000,
        "routes": [{"path": "/private/*", "action": "bypass"}]});
    let config = edge_isr::front_caches::parse_config(&settings.to_string()).expect("settings");
    let world = World::new(&config);
    world.origin(|reached: &Reached| match reached.target.as_str() {
        "/index.xml" => {
            let files: String =
                ["/1.xml", "/2.xml", "/rdf.xml", "/index.xml", "/gone.xml", "/broken.xml"]
                    .iter()
                    .map(|path| format!("<sitemap><loc>https://example.com{path}</loc></sitemap>"))
                    .collect();
            Ok(xml(&format!("<sitemapindex>{files}</sitemapindex>")))
        }
        "/1.xml" => Ok(xml(&urlset(&urls(0, 3)))),
        "/2.xml" => Ok(xml(&urlset(&[
            "https://example.com/p/3".to_owned(),
            "https://elsewhere.example/".to_owned(),
            "/relative".to_owned(),
            "https://example.com/private/1".to_owned(),
        ]))),
        "/rdf.xml" => Ok(xml("<rdf:RDF/>")),
        "/broken.xml" => Ok(xml("<urlset>\n<url><loc>https://example.com/p/9</loc></url>\n</url>")),
        "/gone.xml" => Ok(Script::new(404, &[], "")),
        _ => Ok(page("warm", "post:1")),
    });
    let isolate = Isolate::new(&world, &config, "ams");
    let said = warm(&isolate, &json!({"sitemap": "https://example.com/index.xml"}));
    let job = job_of(&isolate, said["id"].as_str().expect("an id"));
    assert_eq!((&job["pages"], &job["done"]), (&json!(4), &json!(4)), "{job}");
    let mut failures: Vec<(String, String)> = job["failures"]
        .as_array()
        .expect("failures")
        .iter()
        .map(|failure| {
            let text = |name: &str| failure[name].as_str().expect("a text").to_owned();
            (text("url"), text("reason"))
        })
        .collect();
    failures.sort();
    let want = [
        ("/relative", "not-a-url"),
        ("https://elsewhere.example/", "other-host"),
        (
            "https://example.com/broken.xml",
            "sitemap-malformed line 3: a tag closes another element than <urlset>",
        ),
        ("https://example.com/gone.xml", "sitemap-status 404"),
        ("https://example.com/private/1", "not-cached"),
        (
            "https://example.com/rdf.xml",
            "sitemap-other-root <rdf:RDF>: expected <urlset>, <sitemapindex>, <rss> or <feed>",
        ),
    ];
    let want: Vec<_> = want.map(|(url, why)| (url.to_owned(), why.to_owned())).to_vec();
    assert_eq!(failures, want);
    assert_eq!((&job["failed"], &job["state"]), (&json!(6), &json!("failed")));
    // The index lists itself: it was read once.
    assert_eq!(requests(&world, "/index.xml"), 1);
    assert_eq!(requests(&world, "/p/9"), 0, "a file that breaks off lists nothing");
    let lines = world.lines.borrow().join("\n");
    assert!(lines.contains("\"event\":\"import-failed\""), "{lines}");
}

/// Each form of a sitemap with a good entry, a bad one and another good one.
#[test]
fn a_bad_entry_of_a_sitemap_is_a_failure_of_its_own() {
    let url = |at: u32| format!("https://example.com/p/{at}");
    let files = [
        format!("{}\r\nnot an address\r\n{}", url(1), url(2)),
        format!(
            "<urlset><url><loc>{}</loc></url><url></url><url><loc>{}</loc></url></urlset>\n\0",
            url(1),
            url(2)
        ),
        format!(
            "<rss><channel><item><link>{}</link></item><item><link>a & b</link></item>\
             <item><link>{}</link></item></channel></rss>",
            url(1),
            url(2)
        ),
        format!(
            "<feed><entry><link href='{}'/></entry><entry/><entry><link href='{}'/></entry></feed>",
            url(1),
            url(2)
        ),
    ];
    let reasons = [
        &[("entry-2", "sitemap-no-address line 2: this is no address")][..],
        &[
            ("entry-2", "sitemap-no-loc line 1: an entry has no <loc>"),
            ("entry-4", "sitemap-malformed line 1: text outside the root element"),
        ],
        &[("entry-2", "sitemap-malformed line 1: an & without its ;")],
        &[("entry-2", "sitemap-no-loc line 1: an entry has no <loc>")],
    ];
    for (file, reasons) in files.into_iter().zip(reasons) {
        let world = World::new(&config());
        let sitemap = file.clone();
        world.origin(move |reached: &Reached| match reached.target.as_str() {
            "/map" => Ok(xml(&sitemap)),
            _ => Ok(page("warm", "post:1")),
        });
        let isolate = Isolate::new(&world, &config(), "ams");
        let said = warm(&isolate, &json!({"sitemap": "https://example.com/map"}));
        let job = job_of(&isolate, said["id"].as_str().expect("an id"));
        assert_eq!((&job["done"], &job["failed"]), (&json!(2), &json!(reasons.len())), "{job}");
        assert_eq!((requests(&world, "/p/1"), requests(&world, "/p/2")), (1, 1), "{file}");
        for (at, (place, reason)) in reasons.iter().enumerate() {
            let failure = &job["failures"][at];
            assert_eq!(failure["url"], json!(format!("https://example.com/map#{place}")));
            assert_eq!(failure["reason"], json!(reason), "{file}");
        }
    }
}

/// What is no sitemap is said to be none at the first try, and never `done` with nothing.
#[test]
fn a_job_is_never_done_with_a_file_that_is_no_sitemap() {
    for file in ["{\"total\":1076}", "Not found", "<html><body>Log in</body></html>"] {
        let world = World::new(&config());
        world.origin(move |_| Ok(xml(file)));
        let isolate = Isolate::new(&world, &config(), "ams");
        let said = warm(&isolate, &json!({"sitemap": "https://example.com/map"}));
        let job = job_of(&isolate, said["id"].as_str().expect("an id"));
        assert_eq!((&job["state"], &job["failed"]), (&json!("failed"), &json!(1)), "{file} {job}");
        assert_eq!(requests(&world, "/map"), 1, "{file}");
    }
}

#[test]
fn an_index_lists_no_further_indexes() {
    let world = World::new(&config());
    world.origin(|reached: &Reached| {
        let next = match reached.target.as_str() {
            "/1.xml" => "/2.xml",
            _ => "/3.xml",
        };
        let entry = format!("<sitemap><loc>https://example.com{next}</loc></sitemap>");
        Ok(xml(&format!("<sitemapindex>{entry}</sitemapindex>")))
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    let said = warm(&isolate, &json!({"sitemap": "https://example.com/1.xml"}));
    let job = job_of(&isolate, said["id"].as_str().expect("an id"));
    let reason = job["failures"][0]["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("sitemap-nested-index"), "{reason}");
    assert_eq!((world.reached.borrow().len(), &job["failed"]), (2, &json!(1)));
}

#[test]
fn a_sitemap_that_fails_is_tried_again_and_one_whose_shards_are_down_loses_nothing() {
    let world = World::new(&config());
    let tries = Rc::new(Cell::new(0));
    let count = Rc::clone(&tries);
    world.origin(move |reached: &Reached| match reached.target.as_str() {
        "/sitemap.xml" => {
            count.set(count.get() + 1);
            let mut script = xml(&urlset(&urls(0, 10)));
            match count.get() {
                1 => return Err(OriginError::Unreachable),
                2 => return Ok(Script::new(503, &[("retry-after", "1")], "")),
                3 => script.end = Err(OriginError::Broken),
                _ => {}
            }
            Ok(script)
        }
        _ => Ok(page("warm", "post:1")),
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    let said = warm(&isolate, &json!({"sitemap": "https://example.com/sitemap.xml"}));
    // From the fourth try on the file can be read, and no shard is there to take its pages.
    world.shards_down.set(true);
    for _ in 0..100 {
        world.alarms();
        world.pass(1_000);
    }
    assert_eq!(tries.get(), 4);
    assert_eq!(requests(&world, "/p/1"), 0);
    world.shards_down.set(false);
    let job = job_of(&isolate, said["id"].as_str().expect("an id"));
    assert_eq!((&job["done"], &job["failed"]), (&json!(10), &json!(0)));
    assert_eq!(tries.get(), 4);
}

#[test]
fn what_is_wrong_with_a_warm_call() {
    let world = World::new(&config());
    let isolate = Isolate::new(&world, &config(), "ams");
    let rows = [
        (json!({}), 422, "no-targets", "urls"),
        (json!({"urls": []}), 422, "no-targets", "urls"),
        (json!({"urls": "https://a/"}), 422, "wrong-type", "urls"),
        (json!({"urls": [1]}), 422, "wrong-type", "urls[0]"),
        (json!({"urls": ["https://a/", "mailto:a"]}), 422, "invalid-value", "urls[1]"),
        (json!({"urls": vec!["https://a/"; 501]}), 422, "too-many-targets", "urls"),
        (json!({"sitemap": 1}), 422, "wrong-type", "sitemap"),
        (json!({"sitemap": "/sitemap.xml"}), 422, "invalid-value", "sitemap"),
        (json!({"sitemap": "ftp://a/sitemap.xml"}), 422, "invalid-value", "sitemap"),
        (json!({"sitemap": "https://u:p@a/sitemap.xml"}), 422, "invalid-value", "sitemap"),
        (
            json!({"sitemap": "https://a/s.xml", "urls": ["https://a/"]}),
            422,
            "contradiction",
            "sitemap",
        ),
        (json!({"sitemaps": []}), 422, "unknown-field", "sitemaps"),
        (json!([]), 422, "wrong-type", ""),
    ];
    for (body, status, kind, field) in rows {
        let seen = isolate.operate("POST", "/v1/warm", &body.to_string());
        let said = document(&seen);
        assert_eq!(seen.status, status, "{said}");
        assert_eq!(said["type"], json!(format!("urn:edge-isr:problem:{kind}")), "{body}");
        assert_eq!(said["field"].as_str().unwrap_or_default(), field, "{body}");
    }
    world.shards_down.set(true);
    for body in [json!({"urls": ["https://a/"]}), json!({"sitemap": "https://a/s.xml"})] {
        let seen = isolate.operate("POST", "/v1/warm", &body.to_string());
        assert_eq!((seen.status, &document(&seen)["reason"]), (503, &json!("index-unreachable")));
        assert_eq!(seen.fields.get("retry-after"), Some("1"));
    }
    assert!(world.reached.borrow().is_empty());
}

#[test]
fn five_hundred_urls_cost_one_call_to_each_shard() {
    let world = World::new(&config());
    world.origin(|_| Ok(page("warm", "post:1")));
    let isolate = Isolate::new(&world, &config(), "ams");
    let said = warm(&isolate, &json!({ "urls": urls(0, 500) }));
    assert_eq!(world.spent()["shard"], 3);
    assert_eq!((&said["pages"], &said["warming"]), (&json!(500), &json!(500)));
    assert_eq!(job_of(&isolate, said["id"].as_str().expect("an id"))["done"], json!(500));
}

/// A site of `pages` pages with one tag in one shard, its origin as slow as `took` says. How many
/// requests it saw at once is on record.
fn busy(
    config: &Config,
    pages: usize,
    took: impl Fn(u32) -> u64 + 'static,
) -> (Rc<World>, Isolate) {
    let world = World::new(config);
    world.origin(|_| Ok(page("old", "all")));
    let isolate = Isolate::new(&world, config, "ams");
    for url in urls(0, pages) {
        isolate.get(&url, &[]);
    }
    world.pass(1_000);
    let under_way = Rc::new(RefCell::new(Vec::<i64>::new()));
    let clock = Rc::downgrade(&world);
    world.origin(move |_| {
        let now = clock.upgrade().expect("a world").now().as_millis();
        let mut ends = under_way.borrow_mut();
        ends.retain(|end| *end > now);
        let delay = took(ends.len() as u32 + 1);
        ends.push(now + delay as i64);
        Ok(page("new", "all").after(delay))
    });
    world.reached.borrow_mut().clear();
    (world, isolate)
}

fn one_shard() -> Config {
    Config { shards: 1, warm_concurrency: 5, ..config() }
}

#[test]
fn no_more_warms_begin_in_a_second_than_the_setting_says() {
    let config = Config { warm_rate: 10, ..one_shard() };
    let (world, _) = busy(&config, 60, |_| 5);
    world.invalidate("all", Mode::Soft);
    world.start_alarms();
    let mut last = 0;
    for _ in 0..5 {
        world.pass(1_000);
        let now = world.reached.borrow().len();
        assert!((9..=11).contains(&(now - last)), "{now} after {last}");
        last = now;
    }
}

#[test]
fn no_more_warms_run_at_once_than_the_setting_says() {
    for (all, most) in [(None, 5), (Some(2), 2), (Some(1), 1)] {
        let config = Config { warm_origin_concurrency: all, ..one_shard() };
        let seen = Rc::new(Cell::new(0));
        let count = Rc::clone(&seen);
        let (world, _) = busy(&config, 40, move |at_once| {
            count.set(count.get().max(at_once));
            100
        });
        world.invalidate("all", Mode::Soft);
        world.alarms();
        assert_eq!((seen.get(), world.reached.borrow().len()), (most, 40), "{all:?}");
    }
}

#[test]
fn warms_slow_down_when_the_origin_does_and_take_up_speed_again() {
    // An origin that can bear two requests at once; each further one slows all of them down.
    let overload = Rc::new(Cell::new(true));
    let (is_weak, at_once) = (Rc::clone(&overload), Rc::new(RefCell::new(Vec::new())));
    let record = Rc::clone(&at_once);
    let (world, _) = busy(&one_shard(), 160, move |now| {
        record.borrow_mut().push(now);
        if is_weak.get() && now > 2 { 1_500 } else { 60 }
    });
    // A first round in which all is well: what is usual.
    overload.set(false);
    world.invalidate("all", Mode::Soft);
    world.alarms();
    let open = at_once.borrow().iter().rev().take(50).copied().max();
    assert_eq!(open, Some(5));
    at_once.borrow_mut().clear();
    overload.set(true);
    world.invalidate("all", Mode::Soft);
    for _ in 0..20 {
        world.alarms();
    }
    {
        let seen = at_once.borrow();
        assert_eq!(seen.len(), 160);
        let too_many = seen[60..].iter().filter(|n| **n > 2).count();
        assert!(too_many < 20, "{too_many} of 100 found the origin too busy");
    }
    at_once.borrow_mut().clear();
    overload.set(false);
    world.invalidate("all", Mode::Soft);
    world.alarms();
    assert_eq!(at_once.borrow().iter().rev().take(50).copied().max(), Some(5));
}

#[test]
fn what_visitors_want_most_is_warmed_first() {
    let config = Config { shards: 1, warm_concurrency: 1, ..config() };
    let (world, isolate) = busy(&config, 10, |_| 5);
    // Hits cost nothing and are reported with the next question.
    for (page, hits) in [(7, 200), (3, 20)] {
        for _ in 0..hits {
            isolate.get(&format!("https://example.com/p/{page}"), &[]);
        }
    }
    world.pass(301_000);
    for page in 0..10 {
        isolate.get(&format!("https://example.com/p/{page}"), &[]);
        world.pass(100);
    }
    world.reached.borrow_mut().clear();
    world.invalidate("all", Mode::Soft);
    world.alarms();
    let order: Vec<String> = world.reached.borrow().iter().map(|r| r.target.clone()).collect();
    assert_eq!((order.len(), &order[..2]), (10, &["/p/7".to_owned(), "/p/3".to_owned()][..]));
}

#[test]
fn an_outage_does_not_use_up_the_tries_of_all_that_is_queued() {
    let config = one_shard();
    let (world, isolate) = busy(&config, 200, |_| 5);
    let down = Rc::new(Cell::new(true));
    let flag = Rc::clone(&down);
    world.origin(
        move |_| {
            if flag.get() { Err(OriginError::Unreachable) } else { Ok(page("new", "all")) }
        },
    );
    let said = isolate.operate("POST", "/v1/revalidate", &json!({"tags": ["all"]}).to_string());
    let id = document(&said)["id"].as_str().expect("an id").to_owned();
    world.reached.borrow_mut().clear();
    for _ in 0..600 {
        world.alarms();
        world.pass(1_000);
    }
    let tries = world.reached.borrow().len();
    assert!(tries < 60, "{tries} tries in ten minutes of an outage");
    down.set(false);
    let job = job_of(&isolate, &id);
    let done = job["done"].as_u64().expect("a number");
    assert!(done >= 190, "{job}");
}

#[test]
fn an_origin_that_says_when_to_come_again_is_left_alone_until_then() {
    let (world, isolate) = busy(&one_shard(), 20, |_| 5);
    let limited = Rc::new(Cell::new(true));
    let flag = Rc::clone(&limited);
    world.origin(move |_| match flag.get() {
        true => Ok(Script::new(429, &[("retry-after", "120")], "")),
        false => Ok(page("new", "all")),
    });
    world.reached.borrow_mut().clear();
    let said = isolate.operate("POST", "/v1/revalidate", &json!({"tags": ["all"]}).to_string());
    let id = document(&said)["id"].as_str().expect("an id").to_owned();
    for _ in 0..110 {
        world.alarms();
        world.pass(1_000);
    }
    let tries = world.reached.borrow().len();
    assert!(tries <= 5, "{tries} tries");
    limited.set(false);
    let job = job_of(&isolate, &id);
    assert_eq!((&job["done"], &job["failed"]), (&json!(20), &json!(0)));
}

#[test]
fn an_answer_of_the_moment_does_not_make_a_page_forgotten() {
    for status in [429, 500, 502, 503, 408] {
        let (world, isolate) = busy(&one_shard(), 1, |_| 5);
        world.origin(move |_| Ok(Script::new(status, &[], "")));
        world.pass(2_000_000);
        // A visitor meets it, and a warm.
        isolate.get("https://example.com/p/0", &[]);
        world.pass(1_000);
        world.invalidate("all", Mode::Soft);
        world.alarms();
        let pages = document(&isolate.operate("GET", "/v1/tags/all/pages", ""));
        assert_eq!(pages["pages"].as_array().map(Vec::len), Some(1), "{status}");
    }
    let (world, isolate) = busy(&one_shard(), 1, |_| 5);
    world.origin(|_| Ok(Script::new(404, &[], "")));
    world.invalidate("all", Mode::Soft);
    world.alarms();
    let pages = document(&isolate.operate("GET", "/v1/tags/all/pages", ""));
    assert_eq!(pages["pages"].as_array().map(Vec::len), Some(0));
}

/// A cache between edge and origin may have what was there before the change: with an age it is not
/// stored, and says nothing of the page.
#[test]
fn an_answer_of_another_cache_does_not_make_a_page_forgotten() {
    let (world, isolate) = busy(&one_shard(), 1, |_| 5);
    let of_cache = Rc::new(Cell::new(true));
    let is_of_cache = Rc::clone(&of_cache);
    world.origin(move |_| {
        let mut script = page("new", "all");
        if is_of_cache.get() {
            script.fields.set("age", "7");
        }
        Ok(script)
    });
    let command = json!({"tags": ["all"]}).to_string();
    let id = document(&isolate.operate("POST", "/v1/revalidate", &command))["id"].to_string();
    world.pass(1_000);
    world.alarms();
    // A visitor meets it, too.
    world.pass(310_000);
    isolate.get("https://example.com/p/0", &[]);
    world.pass(1_000);
    let pages = document(&isolate.operate("GET", "/v1/tags/all/pages", ""));
    assert_eq!(pages["pages"].as_array().map(Vec::len), Some(1), "{pages}");
    of_cache.set(false);
    let job = job_of(&isolate, id.trim_matches('"'));
    assert_eq!((&job["done"], &job["failed"]), (&json!(1), &json!(0)), "{job}");
    let asked = requests(&world, "/p/0");
    let other = Isolate::new(&world, &one_shard(), "fra");
    assert_eq!(other.get("https://example.com/p/0", &[]).text(), "new");
    assert_eq!(requests(&world, "/p/0"), asked, "the refetch is in L2");
}
