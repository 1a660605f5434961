//! The audit: what changed at the origin without an invalidation is found, reported and healed; and
//! where nothing did, nothing is.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::rc::Rc;

use crate::composed_origin::{Origin, text};
use crate::world::{Isolate, Reached, Script, Seen, World};
use edge_isr::config::{Config, Route};
use edge_isr::control::metrics::Counter;
use edge_isr::engine::audit::PAUSE;
use edge_isr::engine::port::OriginError;
use edge_isr::journal::Mode;
use serde_json::{Value, json};

const PAGE: &str = "https://example.com/post/1/";

type Answers = Rc<RefCell<Box<dyn Fn(&Reached) -> Result<Script, OriginError>>>>;

struct Site {
    world: Rc<World>,
    answers: Answers,
    config: Config,
}

/// A page's answer, with its tags.
fn page(tags: &str, body: &str) -> Script {
    let fields = [
        ("cdn-cache-control", "max-age=86400, stale-while-revalidate=600"),
        ("content-type", "text/html; charset=utf-8"),
        ("x-edge-isr-tags", tags),
    ];
    Script::new(200, &fields, body)
}

impl Site {
    /// Every hit of `/post/*` is audited, and none of other pages.
    fn new(settings: &Value) -> Self {
        let mut all = json!({"shards": 2, "warm_rate": 10_000, "log": "problems",
            "routes": [{"path": "/post/*", "audit": 1}]});
        for (name, value) in settings.as_object().expect("settings") {
            all[name] = value.clone();
        }
        let config = edge_isr::front_caches::parse_config(&all.to_string()).expect("settings");
        let world = World::new(&config);
        let first: Box<dyn Fn(&Reached) -> _> = Box::new(|_| Ok(page("post:1", "<p>one</p>")));
        let answers: Answers = Rc::new(RefCell::new(first));
        let now = Rc::clone(&answers);
        world.origin(move |reached| (now.borrow())(reached));
        Self { world, answers, config }
    }

    fn says(&self, answer: impl Fn(&Reached) -> Result<Script, OriginError> + 'static) {
        *self.answers.borrow_mut() = Box::new(answer);
    }

    fn shows(&self, tags: &'static str, body: &'static str) {
        self.says(move |_| Ok(page(tags, body)));
    }

    fn isolate(&self, colo: &str) -> Isolate {
        Isolate::new(&self.world, &self.config, colo)
    }

    /// Requests that the origin has had since the last call.
    fn origin_requests(&self) -> usize {
        std::mem::take(&mut *self.world.reached.borrow_mut()).len()
    }

    /// Lets an audit come to its end, with the alarms that follow from it.
    fn settle(&self) {
        self.world.pass(PAUSE.0 as i64 + 1_000);
        self.world.alarms();
        self.world.pass(2_000);
    }
}

/// A page that is stored, and asked for again a second later.
fn hit(isolate: &Isolate, url: &str) -> Seen {
    let seen = isolate.get(url, &[]);
    assert!(seen.cache_status().contains(";hit"), "{}", seen.cache_status());
    seen
}

fn audit_report(isolate: &Isolate) -> Value {
    let seen = isolate.operate("GET", "/v1/audit", "");
    assert_eq!(seen.status, 200, "{}", seen.text());
    serde_json::from_str(&seen.text()).expect("JSON")
}

fn findings(isolate: &Isolate) -> Vec<Value> {
    audit_report(isolate)["findings"].as_array().expect("a list").clone()
}

fn counted(isolate: &Isolate, counter: Counter) -> u64 {
    isolate.engine.isolate().borrow().metrics.counted(counter)
}

fn history(isolate: &Isolate) -> Vec<Value> {
    let seen = isolate.operate("GET", "/v1/invalidations?caller=audit", "");
    let all: Value = serde_json::from_str(&seen.text()).expect("JSON");
    all["invalidations"].as_array().expect("a list").clone()
}

#[test]
fn what_changed_and_nobody_said_is_found_named_and_healed_in_every_colo() {
    let site = Site::new(&json!({}));
    let (ams, fra) = (site.isolate("ams"), site.isolate("fra"));
    ams.get(PAGE, &[]);
    fra.get(PAGE, &[]);
    site.world.pass(2_000);
    site.shows("post:1 author:2", "<p>two</p>");
    assert_eq!(site.origin_requests(), 1, "the second colo took the first one's copy");
    assert_eq!(hit(&ams, PAGE).text(), "<p>one</p>", "an audit holds up nobody");
    let stored_at = site.world.now();
    site.settle();
    assert_eq!(site.origin_requests(), 3, "twice for the audit, once to heal");
    for isolate in [&ams, &fra] {
        // What was stored may be served while it is refreshed.
        isolate.get(PAGE, &[]);
        site.world.pass(1_000);
        assert_eq!(isolate.get(PAGE, &[]).text(), "<p>two</p>", "{}", isolate.colo);
    }
    let findings = findings(&fra);
    assert_eq!(findings.len(), 1, "{findings:?}");
    let found = &findings[0];
    assert_eq!(found["url"], PAGE);
    assert_eq!(found["route"], "/post/*");
    assert_eq!(found["cause"], "other-tags");
    assert_eq!(found["tags"], json!(["post:1"]));
    assert_eq!(found["fresh_tags"], json!(["author:2", "post:1"]));
    let excerpt = json!({"before": "<p>", "stored": "one", "fresh": "two", "after": "</p>"});
    assert_eq!(found["difference"]["excerpt"], excerpt);
    let at = |name: &str| found[name].as_i64().expect("a time");
    assert!(at("stored_at") < stored_at.as_millis() && at("found_at") > stored_at.as_millis());
    let history = history(&ams);
    assert_eq!(history.len(), 1, "{history:?}");
    assert_eq!(history[0]["named"]["urls"], json!(["example.com/post/1/"]));
    assert_eq!(history[0]["reason"], "audit: other-tags");
    let lines = site.world.lines.borrow().join("\n");
    let line = r#""event":"audit-found","level":"problem","reason":"other-tags""#;
    assert!(lines.contains(line), "{lines}");
    assert_eq!(counted(&ams, Counter::AuditStale), 1);
    assert_eq!(counted(&ams, Counter::AuditStaleMinute), 1);
}

#[test]
fn where_nothing_changed_nothing_is_found() {
    let site = Site::new(&json!({"audit_per_minute": 1_000}));
    let isolate = site.isolate("ams");
    let other = "https://example.com/other/";
    isolate.get(PAGE, &[]);
    isolate.get(other, &[]);
    site.world.pass(2_000);
    site.origin_requests();
    // What describes one answer differs, and shows nothing else.
    let renders = Cell::new(0);
    site.says(move |_| {
        renders.set(renders.get() + 1);
        let mut script = page("post:1", "<p>one</p>");
        script.fields.set("etag", format!("\"{}\"", renders.get()));
        script.fields.set("last-modified", "Mon, 02 Jan 2006 15:04:05 GMT");
        Ok(script)
    });
    for _ in 0..20 {
        hit(&isolate, PAGE);
        hit(&isolate, other);
        site.world.pass(100);
    }
    site.settle();
    assert_eq!(site.origin_requests(), 20, "each hit of the one route, none of the other");
    assert_eq!(counted(&isolate, Counter::AuditSame), 20);
    assert_eq!((findings(&isolate).len(), history(&isolate).len()), (0, 0));
}

#[test]
fn without_a_share_nothing_is_asked() {
    let site = Site::new(&json!({"routes": []}));
    let isolate = site.isolate("ams");
    isolate.get(PAGE, &[]);
    site.world.pass(2_000);
    site.shows("post:1", "<p>two</p>");
    site.origin_requests();
    for _ in 0..50 {
        hit(&isolate, PAGE);
    }
    site.settle();
    assert_eq!(site.origin_requests(), 0);
}

#[test]
fn a_share_of_the_hits_is_audited() {
    let site = Site::new(&json!({"audit_per_minute": 1_000,
        "routes": [{"path": "/post/*", "audit": 0.1}]}));
    let isolate = site.isolate("ams");
    isolate.get(PAGE, &[]);
    site.world.pass(2_000);
    site.origin_requests();
    for _ in 0..2_000 {
        hit(&isolate, PAGE);
        site.world.pass(500);
    }
    site.settle();
    let audited = counted(&isolate, Counter::AuditSame);
    assert!((150..250).contains(&audited), "{audited} of 2,000");
    assert_eq!(site.origin_requests() as u64, audited);
}

#[test]
fn a_clock_is_reported_as_one_and_not_healed() {
    let site = Site::new(&json!({}));
    let isolate = site.isolate("ams");
    let world = Rc::downgrade(&site.world);
    let clock = move |_: &Reached| {
        let now = world.upgrade().expect("a world").now().as_millis();
        Ok(page("post:1", &format!("<p>one</p><time>{now}</time>")))
    };
    site.says(clock);
    isolate.get(PAGE, &[]);
    site.world.pass(2_000);
    for _ in 0..3 {
        hit(&isolate, PAGE);
        site.settle();
    }
    let findings = findings(&isolate);
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0]["cause"], "differs-at-every-render");
    assert_eq!(findings[0]["times"], 1, "it is reported once");
    assert!(findings[0]["explanation"].as_str().expect("text").contains("audit_ignore"));
    assert_eq!(history(&isolate).len(), 0);
    assert_eq!(counted(&isolate, Counter::AuditEveryRender), 3);
    assert_eq!(counted(&isolate, Counter::AuditStale), 0);
}

#[test]
fn what_the_route_ignores_is_not_looked_at() {
    let routes = json!([{"path": "/post/*", "audit": 1, "audit_ignore": ["<time>*</time>"]}]);
    let site = Site::new(&json!({"routes": routes}));
    let isolate = site.isolate("ams");
    let renders = Cell::new(0);
    site.says(move |_| {
        renders.set(renders.get() + 1);
        Ok(page("post:1", &format!("<time>{}</time><p>one</p>", renders.get())))
    });
    isolate.get(PAGE, &[]);
    site.world.pass(2_000);
    hit(&isolate, PAGE);
    site.settle();
    assert_eq!(counted(&isolate, Counter::AuditSame), 1);
    site.shows("post:1", "<time>x</time><p>two</p>");
    hit(&isolate, PAGE);
    site.settle();
    let excerpt = &findings(&isolate)[0]["difference"]["excerpt"];
    assert_eq!(excerpt["before"], "<time>*</time><p>", "what is ignored is not shown either");
}

#[test]
fn an_invalidation_in_between_is_no_finding() {
    let site = Site::new(&json!({}));
    let isolate = site.isolate("ams");
    isolate.get(PAGE, &[]);
    site.world.pass(2_000);
    site.shows("post:1", "<p>two</p>");
    hit(&isolate, PAGE);
    // It was on its way when the origin was asked.
    site.world.pass(PAUSE.0 as i64 - 1_000);
    site.world.invalidate("post:1", Mode::Soft);
    site.settle();
    assert_eq!(counted(&isolate, Counter::AuditOvertaken), 1);
    assert_eq!((findings(&isolate).len(), history(&isolate).len()), (0, 0));
}

#[test]
fn two_isolates_that_find_the_same_copy_report_it_once() {
    let site = Site::new(&json!({}));
    let (ams, fra) = (site.isolate("ams"), site.isolate("fra"));
    ams.get(PAGE, &[]);
    fra.get(PAGE, &[]);
    site.world.pass(2_000);
    site.shows("post:1", "<p>two</p>");
    hit(&ams, PAGE);
    hit(&fra, PAGE);
    site.settle();
    let findings = findings(&ams);
    assert_eq!((findings.len(), history(&ams).len()), (1, 1));
    assert_eq!(findings[0]["times"], 1);
    let stale = |isolate| counted(isolate, Counter::AuditStale);
    assert_eq!(stale(&ams) + stale(&fra), 1);
    assert_eq!(findings[0]["cause"], "same-tags");
}

#[test]
fn a_minute_has_its_budget_whoever_asks() {
    let site = Site::new(&json!({"audit_per_minute": 4}));
    let isolate = site.isolate("ams");
    for n in 0..40 {
        isolate.get(&format!("https://example.com/post/{n}/"), &[]);
    }
    site.world.pass(2_000);
    site.origin_requests();
    site.shows("post:1", "<p>two</p>");
    for n in 0..40 {
        hit(&isolate, &format!("https://example.com/post/{n}/"));
    }
    site.world.pass(PAUSE.0 as i64 + 1_000);
    assert_eq!(site.origin_requests(), 4);
    assert_eq!(findings(&isolate).len(), 2);
}

#[test]
fn it_is_off_while_the_origin_fails() {
    let site = Site::new(&json!({"audit_per_minute": 1_000}));
    let isolate = site.isolate("ams");
    isolate.get(PAGE, &[]);
    site.world.pass(2_000);
    site.origin_requests();
    site.says(|_| Ok(Script::new(503, &[], "closed")));
    for _ in 0..30 {
        hit(&isolate, PAGE);
        site.world.pass(1_000);
    }
    assert_eq!(site.origin_requests(), 1, "a failure ends them for a minute");
    assert_eq!(counted(&isolate, Counter::AuditPutOff), 1);
    assert_eq!(findings(&isolate).len(), 0);
    site.shows("post:1", "<p>one</p>");
    site.world.pass(60_000);
    hit(&isolate, PAGE);
    site.settle();
    assert_eq!(counted(&isolate, Counter::AuditSame), 1);
}

#[test]
fn it_is_off_while_visitors_wait_for_the_origin() {
    let site = Site::new(&json!({"origin_concurrency": 1}));
    let isolate = site.isolate("ams");
    isolate.get(PAGE, &[]);
    site.world.pass(2_000);
    site.says(|reached| {
        let slow = reached.target != "/post/1/";
        Ok(page("post:1", "<p>two</p>").after(if slow { 3_000 } else { 1 }))
    });
    for n in 2..4 {
        let (isolate, url) = (isolate.clone(), format!("https://example.com/post/{n}/"));
        drop(site.world.start(async move {
            isolate.ask(crate::world::request("GET", &url, &[])).await;
        }));
    }
    site.world.pass(100);
    hit(&isolate, PAGE);
    site.world.pass(100);
    assert_eq!(counted(&isolate, Counter::AuditPutOff), 1);
}

#[test]
fn it_asks_for_the_variant_that_the_hit_was() {
    let site = Site::new(&json!({"audit_per_minute": 1_000}));
    let isolate = site.isolate("ams");
    let changed = Rc::new(Cell::new(false));
    let now = Rc::clone(&changed);
    site.says(move |reached| {
        let language = reached.fields.get("accept-language").unwrap_or("none").to_owned();
        let of = if now.get() && language == "de" { "zwei" } else { "one" };
        let mut script = page("post:1", &format!("<p>{of} {language}</p>"));
        script.fields.set("vary", "Accept-Language");
        Ok(script)
    });
    for language in ["de", "fr"] {
        isolate.get(PAGE, &[("accept-language", language)]);
    }
    site.world.pass(2_000);
    changed.set(true);
    for language in ["fr", "de"] {
        let seen = isolate.get(PAGE, &[("accept-language", language)]);
        assert!(seen.cache_status().contains(";hit"));
    }
    site.settle();
    assert_eq!(counted(&isolate, Counter::AuditSame), 1, "the other variant is as it was");
    let findings = findings(&isolate);
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0]["vary"], json!([["accept-language", "de"]]));
    // The page as a whole was invalidated.
    for language in ["fr", "de"] {
        isolate.get(PAGE, &[("accept-language", language)]);
        site.world.pass(1_000);
    }
    let german = isolate.get(PAGE, &[("accept-language", "de")]);
    assert_eq!(german.text(), "<p>zwei de</p>");
}

#[test]
fn a_page_that_is_gone_or_private_is_a_finding() {
    for (answer, stored) in [(404, "404"), (200, "200")] {
        let site = Site::new(&json!({}));
        let isolate = site.isolate("ams");
        isolate.get(PAGE, &[]);
        site.world.pass(2_000);
        site.says(move |_| {
            let fields = [("cache-control", "private"), ("content-type", "text/html")];
            Ok(Script::new(answer, &fields, "secret"))
        });
        hit(&isolate, PAGE);
        site.settle();
        let findings = findings(&isolate);
        assert_eq!(findings.len(), 1, "{stored}");
        assert_eq!(findings[0]["cause"], "not-stored");
        assert!(!findings[0].to_string().contains("secret"), "what is private is not shown");
        let after = isolate.get(PAGE, &[]);
        assert_eq!((after.status.to_string().as_str(), after.text().as_str()), (stored, "secret"));
    }
}

#[test]
fn other_tags_alone_are_a_finding() {
    let site = Site::new(&json!({}));
    let isolate = site.isolate("ams");
    isolate.get(PAGE, &[]);
    site.world.pass(2_000);
    site.shows("post:1 list:all", "<p>one</p>");
    hit(&isolate, PAGE);
    site.settle();
    let findings = findings(&isolate);
    assert_eq!(findings[0]["cause"], "other-tags");
    assert_eq!(findings[0]["difference"]["body"], false);
    site.world.pass(2_000);
    // An answer without any has those that are known, as when it is stored.
    let site = Site::new(&json!({}));
    let isolate = site.isolate("ams");
    isolate.get(PAGE, &[]);
    site.world.pass(2_000);
    site.shows("", "<p>one</p>");
    hit(&isolate, PAGE);
    site.settle();
    assert_eq!(counted(&isolate, Counter::AuditSame), 1);
}

#[test]
fn a_composed_page_differs_by_more_than_its_marker() {
    let origin = Origin::new(Route { audit: 1.0, ..Route::default() });
    let isolate = origin.isolate("ams");
    isolate.get(PAGE, &[]);
    origin.world.pass(2_000);
    hit(&isolate, PAGE);
    origin.world.pass(PAUSE.0 as i64 + 1_000);
    assert_eq!(counted(&isolate, Counter::AuditSame), 1, "each render has a marker of its own");
    origin.shows(vec![text("<p>"), crate::composed_origin::Bit::Token(0), text("new</p>")]);
    hit(&isolate, PAGE);
    origin.world.pass(PAUSE.0 as i64 + 1_000);
    assert_eq!(counted(&isolate, Counter::AuditStale), 1);
    let findings = findings(&isolate);
    assert!(!findings[0].to_string().contains("eIsR"), "{findings:?}");
}

#[test]
fn what_is_reported_of_hostile_pages_is_bounded_text() {
    let site = Site::new(&json!({}));
    let isolate = site.isolate("ams");
    let tags: Vec<String> = (0..200).map(|n| format!("<script>{n}{}", "x".repeat(500))).collect();
    let (many, url) = (tags.join(" "), format!("{PAGE}{}", "y".repeat(4_000)));
    let (before, after) = ("\u{1}\"<b>é".repeat(20_000), "\u{0}</script>ü".repeat(20_000));
    let shown = Rc::new(RefCell::new(before));
    let now = Rc::clone(&shown);
    site.says(move |_| Ok(page(&many, &now.borrow())));
    isolate.get(&url, &[]);
    site.world.pass(2_000);
    *shown.borrow_mut() = after;
    hit(&isolate, &url);
    site.settle();
    let findings = findings(&isolate);
    assert_eq!(findings.len(), 1);
    let text = findings[0].to_string();
    assert!(text.len() < 30_000, "{} bytes", text.len());
    assert!(!text.contains("\\u0000") && !text.contains("\\u0001"), "no control characters");
    assert_eq!(findings[0]["tags"].as_array().expect("tags").len(), 30);
    let excerpt = &findings[0]["difference"]["excerpt"];
    assert!(excerpt["stored"].as_str().expect("text").len() < 210);
}

#[test]
fn a_body_that_is_no_text_is_reported_to_differ_and_a_large_one_is_not_compared() {
    let site = Site::new(&json!({}));
    let isolate = site.isolate("ams");
    let version = Rc::new(Cell::new(0_u8));
    let now = Rc::clone(&version);
    site.says(move |reached| {
        let mut script = page("post:1", "");
        let length = if reached.target == "/post/large" { 3 << 20 } else { 10 };
        script.pieces = vec![(0, vec![255 - now.get(); length])];
        Ok(script)
    });
    let large = "https://example.com/post/large";
    isolate.get(PAGE, &[]);
    isolate.get(large, &[]);
    site.world.pass(2_000);
    version.set(1);
    site.origin_requests();
    hit(&isolate, PAGE);
    isolate.get(large, &[]);
    site.settle();
    let findings = findings(&isolate);
    assert_eq!(findings.len(), 1);
    let difference = &findings[0]["difference"];
    assert_eq!((&difference["body"], &difference["excerpt"]), (&json!(true), &Value::Null));
    assert_eq!(counted(&isolate, Counter::AuditNotComparable), 1);
}

#[test]
fn what_is_compressed_is_compared_as_what_it_was() {
    let site = Site::new(&json!({}));
    let isolate = site.isolate("ams");
    let (text, renders) = (Rc::new(RefCell::new("<p>one</p>")), Cell::new(0));
    let now = Rc::clone(&text);
    site.says(move |_| {
        renders.set(renders.get() + 1);
        // A name of random length, as Django gives each body that it compresses.
        let name = "n".repeat(renders.get());
        let mut gzip =
            flate2::GzBuilder::new().filename(name).write(Vec::new(), flate2::Compression::fast());
        gzip.write_all(now.borrow().as_bytes()).unwrap();
        let mut script = page("post:1", "");
        script.fields.set("content-encoding", "gzip");
        script.pieces = vec![(0, gzip.finish().unwrap())];
        Ok(script)
    });
    isolate.get(PAGE, &[]);
    site.world.pass(2_000);
    hit(&isolate, PAGE);
    site.settle();
    assert_eq!(counted(&isolate, Counter::AuditSame), 1);
    *text.borrow_mut() = "<p>two</p>";
    hit(&isolate, PAGE);
    site.settle();
    assert_eq!(findings(&isolate)[0]["difference"]["excerpt"]["fresh"], "two");
    isolate.get(PAGE, &[]);
    site.settle();
    // What grows beyond the limit is not read, and differs as the bytes it is.
    *text.borrow_mut() = Box::leak("x".repeat(3 << 20).into_boxed_str());
    hit(&isolate, PAGE);
    site.settle();
    assert_eq!(counted(&isolate, Counter::AuditEveryRender), 1);
}

#[test]
fn a_hit_that_went_from_the_colo_unread_is_audited_too() {
    let site = Site::new(&json!({}));
    site.isolate("ams").get(PAGE, &[]);
    site.world.pass(2_000);
    site.shows("post:1", "<p>two</p>");
    let cold = site.isolate("ams");
    assert_eq!(hit(&cold, PAGE).text(), "<p>one</p>");
    site.settle();
    assert_eq!(findings(&cold).len(), 1);
}

#[test]
fn the_journal_being_away_finds_nothing_and_breaks_nothing() {
    let site = Site::new(&json!({"journal_lost_limit": 600}));
    let isolate = site.isolate("ams");
    isolate.get(PAGE, &[]);
    site.world.pass(2_000);
    site.shows("post:1", "<p>two</p>");
    hit(&isolate, PAGE);
    site.world.journal_down.set(true);
    site.settle();
    assert_eq!(counted(&isolate, Counter::AuditOvertaken), 1, "what can't be said is no finding");
    assert_eq!(isolate.operate("GET", "/v1/audit", "").status, 503);
    site.world.journal_down.set(false);
    site.world.pass(3_000);
    hit(&isolate, PAGE);
    site.settle();
    assert_eq!(findings(&isolate).len(), 1);
}

#[test]
fn what_an_audit_costs_is_counted() {
    let site = Site::new(&json!({}));
    let isolate = site.isolate("ams");
    isolate.get(PAGE, &[]);
    site.world.pass(100);
    site.world.spent();
    hit(&isolate, PAGE);
    site.world.pass(100);
    let spent = site.world.spent();
    assert_eq!(spent.get("origin"), Some(&1), "one that finds the same: {spent:?}");
    assert_eq!((spent.get("journal"), spent.get("shard")), (None, None), "{spent:?}");
    site.shows("post:1", "<p>two</p>");
    hit(&isolate, PAGE);
    site.world.pass(100);
    site.world.spent();
    site.world.pass(PAUSE.0 as i64);
    let spent = site.world.spent();
    assert_eq!(spent.get("journal"), Some(&3), "a look-up, an invalidation, a finding: {spent:?}");
    assert_eq!(spent.get("origin"), Some(&1), "the second answer; the refetch is an alarm's");
}

#[test]
fn totals_are_the_sites() {
    let site = Site::new(&json!({}));
    let isolate = site.isolate("ams");
    isolate.get(PAGE, &[]);
    site.world.pass(2_000);
    hit(&isolate, PAGE);
    site.settle();
    site.shows("post:1", "<p>two</p>");
    hit(&isolate, PAGE);
    site.settle();
    // What an isolate counted rides on its next report.
    site.world.pass(61_000);
    isolate.get("https://example.com/other/", &[]);
    site.world.pass(2_000);
    let report = audit_report(&isolate);
    assert_eq!((&report["outcomes"]["same"], &report["outcomes"]["stale"]), (&json!(1), &json!(1)));
    assert_eq!(report["stale_within"]["minute"], 1);
    assert_eq!(report["hits"], 2);
    let group = json!([{"route": "/post/*", "tag": "post:1", "stale": 1, "every_render": 0,
        "latest": report["findings"][0]["found_at"]}]);
    let mut groups = report["groups"].clone();
    groups[0]["latest"] = report["findings"][0]["found_at"].clone();
    assert_eq!(groups, group);
    let scrape = isolate.operate("GET", "/metrics", "").text();
    assert!(scrape.contains("edge_isr_audits_total{outcome=\"stale\"} 1"), "{scrape}");
}
