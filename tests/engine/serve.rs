//! The engine in a world of virtual time: what visitors get, and what it costs. The invariants'
//! numbers are those of docs/architecture.md.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::world::{Isolate, Reached, Script, Seen, World, request};
use edge_isr::base::time::Millis;
use edge_isr::cache::admission::page_of_url;
use edge_isr::cache::key::CacheKey;
use edge_isr::config::{Config, LogLevel, OriginUrlError, Route, VaryOn};
use edge_isr::control::healthz::HealthReason;
use edge_isr::engine::port::OriginError;
use edge_isr::journal::Mode;

const PAGE: &str = "https://example.com/post/1";
const FRESH: &str = "max-age=300, stale-while-revalidate=600, stale-if-error=3600";

fn config() -> Config {
    Config { shards: 2, ..Config::default() }
}

fn page(body: &str, tag: &str) -> Script {
    Script::new(200, &[("cdn-cache-control", FRESH), ("x-edge-isr-tags", tag)], body)
}

/// A site whose page shows how often it was rendered.
fn counting(world: &Rc<World>) -> Rc<Cell<u32>> {
    let renders = Rc::new(Cell::new(0));
    let count = Rc::clone(&renders);
    world.origin(move |_| {
        count.set(count.get() + 1);
        Ok(page(&format!("render {}", count.get()), "post:1"))
    });
    renders
}

/// A site that answers once, and fails from then on; how often it was asked.
fn once(world: &Rc<World>, first: Script, then: Script) -> Rc<Cell<u32>> {
    let requests = Rc::new(Cell::new(0));
    let count = Rc::clone(&requests);
    world.origin(move |_| {
        count.set(count.get() + 1);
        Ok(if count.get() == 1 { first.clone() } else { then.clone() })
    });
    requests
}

/// Begins a visitor's request for the page.
fn begin(world: &Rc<World>, isolate: &Isolate) -> Rc<RefCell<Option<Seen>>> {
    let isolate = isolate.clone();
    world.start(async move { isolate.ask(request("GET", PAGE, &[])).await })
}

fn objects(spent: &BTreeMap<&'static str, u64>) -> u64 {
    ["journal", "shard", "l2_get", "l2_put"].iter().filter_map(|what| spent.get(what)).sum()
}

#[test]
fn a_miss_then_hits_and_a_hit_costs_no_object_and_no_store_operation() {
    let world = World::new(&config());
    let renders = counting(&world);
    let isolate = Isolate::new(&world, &config(), "ams");
    let miss = isolate.get(PAGE, &[]);
    assert_eq!(miss.text(), "render 1");
    assert_eq!(miss.cache_status(), "edge-isr;fwd=uri-miss;fwd-status=200;stored");
    assert!(!miss.fields.has("x-edge-isr-tags"));
    world.pass(50);
    let fill = world.spent();
    assert!(fill["journal"] + fill["shard"] <= 3, "a fill cost {fill:?}");
    for _ in 0..100 {
        let hit = isolate.get(PAGE, &[]);
        assert_eq!(hit.text(), "render 1");
        assert!(hit.cache_status().starts_with("edge-isr;hit;ttl="), "{}", hit.cache_status());
        assert!(hit.fields.has("age"));
    }
    assert_eq!(world.spent(), BTreeMap::new(), "hits in steady state cost nothing");
    assert_eq!(renders.get(), 1);
}

#[test]
fn steady_hits_cost_one_sync_a_second_whatever_their_number() {
    let world = World::new(&config());
    counting(&world);
    let isolate = Isolate::new(&world, &config(), "ams");
    isolate.get(PAGE, &[]);
    world.pass(100);
    world.spent();
    for _ in 0..1_000 {
        isolate.get(PAGE, &[]);
        world.pass(10);
    }
    let spent = world.spent();
    assert!(objects(&spent) <= 11, "10 seconds of hits cost {spent:?}");
    assert_eq!(spent.get("shard"), None);
}

#[test]
fn a_soft_invalidation_serves_the_old_page_while_the_new_one_is_fetched() {
    let world = World::new(&config());
    counting(&world);
    let isolate = Isolate::new(&world, &config(), "ams");
    isolate.get(PAGE, &[]);
    world.pass(100);
    world.invalidate("post:1", Mode::Soft);
    world.pass(2_100);
    let stale = isolate.get(PAGE, &[]);
    assert_eq!(stale.text(), "render 1");
    assert!(stale.cache_status().contains("detail=invalidated"), "{}", stale.cache_status());
    world.pass(200);
    assert_eq!(isolate.get(PAGE, &[]).text(), "render 2");
}

#[test]
fn inv1_a_hard_invalidation_is_never_served_again_after_max_lag() {
    let world = World::new(&config());
    counting(&world);
    let isolate = Isolate::new(&world, &config(), "ams");
    isolate.get(PAGE, &[]);
    world.pass(100);
    world.invalidate("post:1", Mode::Hard);
    world.pass(2_001);
    assert_eq!(isolate.get(PAGE, &[]).text(), "render 2");
}

#[test]
fn an_unrelated_tag_touches_nothing() {
    let world = World::new(&config());
    let renders = counting(&world);
    let isolate = Isolate::new(&world, &config(), "ams");
    isolate.get(PAGE, &[]);
    world.pass(100);
    world.invalidate("post:2", Mode::Hard);
    world.pass(3_000);
    assert!(isolate.get(PAGE, &[]).cache_status().contains("hit"));
    assert_eq!(renders.get(), 1);
}

#[test]
fn inv2_a_slow_render_that_began_before_the_purge_is_not_current_after_it() {
    let world = World::new(&config());
    let data = Rc::new(Cell::new("old"));
    let read = Rc::clone(&data);
    // The render reads its data when it begins, and takes five seconds.
    world.origin(move |_| Ok(page(read.get(), "post:1").after(5_000)));
    let isolate = Isolate::new(&world, &config(), "ams");
    let (slow, head) = (isolate.clone(), crate::world::request("GET", PAGE, &[]));
    let waiting = world.start(async move { slow.ask(head).await });
    world.pass(1_000);
    data.set("new");
    world.invalidate("post:1", Mode::Hard);
    world.pass(6_000);
    assert_eq!(waiting.take().expect("answered").text(), "old");
    assert_eq!(isolate.get(PAGE, &[]).text(), "new", "the purge must not be outlived");
    let other = Isolate::new(&world, &config(), "fra");
    assert_eq!(other.get(PAGE, &[]).text(), "new");
}

#[test]
fn concurrent_misses_share_one_origin_request_and_its_stream() {
    let world = World::new(&config());
    world.origin(|_| {
        let mut script = page("", "post:1");
        script.pieces = vec![(10, b"one ".to_vec()), (500, b"two".to_vec())];
        Ok(script)
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let (isolate, head) = (isolate.clone(), crate::world::request("GET", PAGE, &[]));
            world.start(async move { isolate.ask(head).await })
        })
        .collect();
    world.pass(1_000);
    let seen: Vec<_> = waiting.into_iter().map(|a| a.take().expect("answered")).collect();
    assert!(seen.iter().all(|s| s.text() == "one two"));
    assert_eq!(seen.iter().filter(|s| s.cache_status().contains("collapsed")).count(), 19);
    assert_eq!(world.spent()["origin"], 1);
}

#[test]
fn a_collapsed_request_is_not_answered_by_a_fetch_older_than_what_its_view_holds() {
    let world = World::new(&config());
    let data = Rc::new(Cell::new("old"));
    let read = Rc::clone(&data);
    world.origin(move |_| Ok(page(read.get(), "post:1").after(4_000)));
    let isolate = Isolate::new(&world, &config(), "ams");
    let (first, head) = (isolate.clone(), crate::world::request("GET", PAGE, &[]));
    world.start(async move { first.ask(head).await });
    world.pass(500);
    data.set("new");
    world.invalidate("post:1", Mode::Hard);
    world.pass(2_500);
    let second = isolate.get(PAGE, &[]);
    assert_eq!(second.text(), "new");
}

#[test]
fn a_broken_body_reaches_all_as_an_error_and_is_not_stored() {
    let world = World::new(&config());
    let broken = Rc::new(Cell::new(true));
    let flag = Rc::clone(&broken);
    world.origin(move |_| {
        let mut script = page("half", "post:1");
        if flag.get() {
            script.end = Err(OriginError::Broken);
        }
        Ok(script)
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    assert_eq!(isolate.get(PAGE, &[]).body, Err(OriginError::Broken));
    world.pass(100);
    broken.set(false);
    let next = isolate.get(PAGE, &[]);
    assert_eq!(next.text(), "half");
    assert!(next.cache_status().contains("fwd=uri-miss"), "{}", next.cache_status());
}

#[test]
fn a_body_of_another_length_than_stated_is_broken() {
    let world = World::new(&config());
    world.origin(|_| {
        let mut script = page("four", "post:1");
        script.fields.set("content-length", "10");
        Ok(script)
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    assert_eq!(isolate.get(PAGE, &[]).body, Err(OriginError::Broken));
    world.pass(100);
    assert!(isolate.get(PAGE, &[]).cache_status().contains("fwd=uri-miss"));
}

#[test]
fn stale_if_error_stands_in_for_a_failing_origin_but_never_after_a_hard_invalidation() {
    let world = World::new(&config());
    let down = Rc::new(Cell::new(false));
    let flag = Rc::clone(&down);
    world.origin(move |_| match flag.get() {
        true => Ok(Script::new(503, &[], "down")),
        false => Ok(page("up", "post:1")),
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    isolate.get(PAGE, &[]);
    world.pass(1_000_000);
    down.set(true);
    let stale = isolate.get(PAGE, &[]);
    assert_eq!((stale.status, stale.text().as_str()), (200, "up"));
    assert!(stale.cache_status().contains("detail=stale-if-error"), "{}", stale.cache_status());
    world.invalidate("post:1", Mode::Hard);
    world.pass(2_100);
    let refused = isolate.get(PAGE, &[]);
    assert_eq!((refused.status, refused.text().as_str()), (503, "down"));
}

/// What a refresh in the background was answered is lost with its answer: who waited for it, and
/// has nothing that stands in, gets the origin's own answer, and no page of the edge's.
#[test]
fn who_waits_for_a_refresh_that_fails_gets_the_origins_own_answer() {
    let world = World::new(&config());
    let broken = Script::new(500, &[], "the site's own words").after(3_000);
    let fields =
        [("cdn-cache-control", "max-age=1, stale-while-revalidate=20"), ("xkey", "post:1")];
    let requests = once(&world, Script::new(200, &fields, "up"), broken);
    let isolate = Isolate::new(&world, &config(), "ams");
    isolate.get(PAGE, &[]);
    world.pass(19_000);
    assert_eq!(isolate.get(PAGE, &[]).text(), "up");
    while requests.get() < 2 {
        world.pass(10);
    }
    world.pass(2_500);
    let waiting = [(); 3].map(|()| begin(&world, &isolate));
    assert_eq!(requests.get(), 2, "they wait for the refresh");
    world.pass(60_000);
    for slot in &waiting {
        let seen = slot.borrow_mut().take().unwrap();
        assert_eq!((seen.status, seen.text().as_str()), (500, "the site's own words"));
    }
}

/// Who leads a fetch may have had nothing stored when it began: who waits has what came since.
#[test]
fn stale_if_error_stands_in_for_those_who_waited_for_one_that_had_nothing() {
    let world = World::new(&config());
    // Only the colo has it.
    world.global_most.set(0);
    let broken = Script::new(503, &[], "down").after(1_000);
    let fields = [("cdn-cache-control", "max-age=300, stale-if-error=3600"), ("xkey", "post:1")];
    let requests = once(&world, Script::new(200, &fields, "up").after(2_000), broken);
    let (first, second) =
        (Isolate::new(&world, &config(), "ams"), Isolate::new(&world, &config(), "ams"));
    let first = begin(&world, &first);
    world.pass(100);
    let leader = begin(&world, &second);
    world.pass(1_000);
    world.invalidate("post:1", Mode::Soft);
    while requests.get() < 2 {
        world.pass(10);
    }
    let waiting = [(); 3].map(|()| begin(&world, &second));
    world.pass(60_000);
    let text = |slot: &Rc<RefCell<Option<Seen>>>| slot.borrow().as_ref().unwrap().text();
    assert_eq!((text(&first), text(&leader)), ("up".to_owned(), "down".to_owned()));
    for slot in &waiting {
        assert_eq!(text(slot), "up");
    }
    assert_eq!(requests.get(), 3, "those who waited are one request");
}

#[test]
fn inv4_two_colos_send_the_origin_one_refresh() {
    let world = World::new(&config());
    let renders = counting(&world);
    let (ams, fra) =
        (Isolate::new(&world, &config(), "ams"), Isolate::new(&world, &config(), "fra"));
    ams.get(PAGE, &[]);
    world.pass(100);
    let other = fra.get(PAGE, &[]);
    assert_eq!(other.text(), "render 1");
    assert!(other.cache_status().contains("detail=global"), "{}", other.cache_status());
    world.pass(100);
    world.invalidate("post:1", Mode::Hard);
    world.pass(2_100);
    let waiting = [&ams, &fra].map(|isolate| begin(&world, isolate));
    world.pass(5_000);
    for answer in waiting {
        assert_eq!(answer.take().expect("answered").text(), "render 2");
    }
    assert_eq!(renders.get(), 2);
}

#[test]
fn inv5_a_response_that_sets_a_cookie_is_never_stored() {
    let world = World::new(&config());
    world.origin(|_| {
        let mut script = page("mine", "post:1");
        script.fields.append("set-cookie", "id=1");
        Ok(script)
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    assert!(isolate.get(PAGE, &[]).cache_status().contains("detail=set-cookie"));
    world.pass(100);
    let next = isolate.get(PAGE, &[]);
    assert!(next.cache_status().contains("hit-for-pass"), "{}", next.cache_status());
    // The first was asked for once more as its visitor sent it: without the edge's own name.
    assert_eq!(world.spent()["origin"], 3);
}

#[test]
fn inv5_cookies_do_not_reach_the_origin_unless_the_answer_is_private() {
    let world = World::new(&config());
    world.origin(|reached: &Reached| {
        match (reached.target.as_str(), reached.fields.get("cookie")) {
            ("/basket", None) => Ok(Script::new(200, &[("cache-control", "private")], "empty")),
            ("/basket", Some(cookie)) => {
                Ok(Script::new(200, &[("cache-control", "private")], cookie))
            }
            (_, None) => Ok(page("public", "post:1")),
            (_, Some(cookie)) => Ok(page(cookie, "post:1")),
        }
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    let cookie = [("cookie", "_ga=1; basket=7")];
    assert_eq!(isolate.get(PAGE, &cookie).text(), "public");
    let basket = isolate.get("https://example.com/basket", &cookie);
    assert_eq!(basket.text(), "_ga=1; basket=7");
    world.pass(100);
    world.spent();
    assert_eq!(isolate.get("https://example.com/basket", &cookie).text(), "_ga=1; basket=7");
    assert_eq!(world.spent()["origin"], 1, "the next one passes at once");
}

#[test]
fn inv6_without_a_journal_pages_are_served_stale_then_refetched() {
    let world = World::new(&config());
    counting(&world);
    let isolate = Isolate::new(&world, &config(), "ams");
    isolate.get(PAGE, &[]);
    world.pass(100);
    world.journal_down.set(true);
    world.pass(10_000);
    let lost = isolate.get(PAGE, &[]);
    assert_eq!((lost.status, lost.text().as_str()), (200, "render 1"));
    assert!(lost.cache_status().contains("detail=journal-unreachable"), "{}", lost.cache_status());
    world.pass(30_000);
    let lost_too_long = isolate.get(PAGE, &[]);
    assert_eq!(lost_too_long.status, 200);
    assert!(!lost_too_long.cache_status().contains("hit"), "{}", lost_too_long.cache_status());
}

#[test]
fn inv6_without_shards_pages_are_fetched_and_kept_in_the_colo() {
    let world = World::new(&config());
    let renders = counting(&world);
    world.shards_down.set(true);
    let isolate = Isolate::new(&world, &config(), "ams");
    let miss = isolate.get(PAGE, &[]);
    assert_eq!(miss.status, 200);
    assert!(miss.cache_status().contains("detail=index-unreachable"), "{}", miss.cache_status());
    // A line says which shard failed.
    let page = page_of_url(PAGE, &config()).expect("an address");
    let shard = CacheKey::new(&page, []).digest().shard(config().shards);
    let lines = world.lines.borrow().join("\n");
    assert!(lines.contains(&format!(r#""object":"shard-{shard}""#)), "{lines}");
    world.pass(100);
    assert!(isolate.get(PAGE, &[]).cache_status().contains("hit"));
    assert_eq!(renders.get(), 1);
}

#[test]
fn inv7_a_warm_refetches_without_a_visitor_and_other_colos_profit() {
    let world = World::new(&config());
    let renders = counting(&world);
    let isolate = Isolate::new(&world, &config(), "ams");
    isolate.get(PAGE, &[]);
    world.pass(100);
    world.invalidate("post:1", Mode::Hard);
    world.alarms();
    assert_eq!(renders.get(), 2);
    let reached = world.reached.borrow().last().cloned().expect("a warm");
    assert_eq!(reached.fields.get("x-edge-isr-warmup"), Some("1"));
    world.pass(2_100);
    let fresh = isolate.get(PAGE, &[]);
    assert_eq!(fresh.text(), "render 2");
    assert_eq!(renders.get(), 2, "the visitor's page came from L2");
}

#[test]
fn new_keys_beyond_the_budget_live_in_the_colo_alone() {
    let config = Config { new_keys_per_second: 2, ..config() };
    let world = World::new(&config);
    counting(&world);
    let isolate = Isolate::new(&world, &config, "ams");
    let details: Vec<String> = (0..4)
        .map(|n| isolate.get(&format!("https://example.com/?q={n}"), &[]).cache_status())
        .collect();
    assert_eq!(details.iter().filter(|d| d.contains("detail=key-budget")).count(), 2);
    world.pass(200);
    assert!(isolate.get("https://example.com/?q=3", &[]).cache_status().contains("hit"));
}

#[test]
fn a_page_without_tags_is_recorded_when_it_is_asked_for_again() {
    let world = World::new(&config());
    world.origin(|_| Ok(Script::new(200, &[("cache-control", "max-age=60")], "plain")));
    let ams = Isolate::new(&world, &config(), "ams");
    ams.get(PAGE, &[]);
    world.pass(100);
    assert_eq!(world.spent().get("l2_put"), None);
    let fra = Isolate::new(&world, &config(), "fra");
    fra.get(PAGE, &[]);
    world.pass(100);
    assert_eq!(world.spent().get("l2_put"), Some(&1));
}

#[test]
fn a_large_body_streams_through_unstored_to_all_who_wait() {
    let config = Config { max_body: 1_000, ..config() };
    let world = World::new(&config);
    world.origin(|_| {
        let mut script = page("", "post:1");
        script.pieces = (0..40).map(|_| (5, vec![b'x'; 100])).collect();
        Ok(script)
    });
    let isolate = Isolate::new(&world, &config, "ams");
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let (isolate, head) = (isolate.clone(), crate::world::request("GET", PAGE, &[]));
            world.start(async move { isolate.ask(head).await })
        })
        .collect();
    world.pass(5_000);
    for answer in waiting {
        assert_eq!(answer.take().expect("answered").text().len(), 4_000);
    }
    world.spent();
    isolate.get(PAGE, &[]);
    assert_eq!(world.spent()["origin"], 1, "nothing was stored");
}

#[test]
fn a_body_that_l2_does_not_take_stays_in_its_colo_with_the_reason() {
    // Whether its length was stated, and what Cache-Status could say of it.
    for (stated, detail) in [(true, ";detail=l2-too-large"), (false, "")] {
        let world = World::new(&config());
        world.global_most.set(2_000);
        world.origin(move |_| {
            let mut script = page(&"x".repeat(1_900), "post:1");
            if stated {
                script.fields.set("content-length", "1900");
            }
            Ok(script)
        });
        let ams = Isolate::new(&world, &config(), "ams");
        let cache_status = format!("edge-isr;fwd=uri-miss;fwd-status=200;stored{detail}");
        assert_eq!(ams.get(PAGE, &[]).cache_status(), cache_status);
        world.pass(100);
        assert!(ams.get(PAGE, &[]).cache_status().contains("hit"));
        assert!(world.lines.borrow().join("\n").contains("larger than the store takes"));
        // Another colo fetches it for itself, and both hear of its invalidation.
        let fra = Isolate::new(&world, &config(), "fra");
        assert!(fra.get(PAGE, &[]).cache_status().contains("fwd=uri-miss"));
        world.pass(100);
        world.spent();
        world.invalidate("post:1", Mode::Hard);
        world.pass(2_100);
        for isolate in [&ams, &fra] {
            let cache_status = isolate.get(PAGE, &[]).cache_status();
            assert!(cache_status.contains("fwd=stale;fwd-status=200"), "{cache_status}");
        }
    }
}

#[test]
fn a_304_renews_the_stored_response() {
    let world = World::new(&config());
    world.origin(|reached: &Reached| {
        let fields =
            [("cdn-cache-control", "max-age=10"), ("etag", "\"1\""), ("x-edge-isr-tags", "post:1")];
        match reached.fields.get("if-none-match") {
            Some("\"1\"") => Ok(Script::new(304, &fields, "")),
            Some(_) | None => Ok(Script::new(200, &fields, "body")),
        }
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    isolate.get(PAGE, &[]);
    world.pass(11_000);
    let renewed = isolate.get(PAGE, &[]);
    assert_eq!((renewed.status, renewed.text().as_str()), (200, "body"));
    assert!(
        renewed.cache_status().contains("fwd=stale;fwd-status=304"),
        "{}",
        renewed.cache_status()
    );
    world.pass(100);
    assert!(isolate.get(PAGE, &[]).cache_status().contains("hit"));
}

#[test]
fn a_visitors_if_none_match_is_answered_from_the_store_and_head_from_a_stored_get() {
    let world = World::new(&config());
    world.origin(|_| {
        let mut script = page("body", "post:1");
        script.fields.set("etag", "\"1\"");
        Ok(script)
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    isolate.get(PAGE, &[]);
    world.pass(100);
    let same = isolate.get(PAGE, &[("if-none-match", "\"1\"")]);
    assert_eq!((same.status, same.text().as_str()), (304, ""));
    let head = isolate.send("HEAD", PAGE, &[]);
    assert_eq!((head.status, head.text().as_str()), (200, ""));
    assert!(head.cache_status().contains("hit"));
    assert_eq!(world.spent()["origin"], 1);
}

#[test]
fn variants_are_kept_apart_and_found_again() {
    let world = World::new(&config());
    world.origin(|reached: &Reached| {
        let language = reached.fields.get("accept-language").unwrap_or("none").to_owned();
        let mut script = page(&language, "post:1");
        script.fields.set("vary", "Accept-Language");
        Ok(script)
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    assert_eq!(isolate.get(PAGE, &[("accept-language", "de")]).text(), "de");
    world.pass(100);
    assert_eq!(isolate.get(PAGE, &[("accept-language", "fr")]).text(), "fr");
    world.pass(100);
    world.spent();
    assert_eq!(isolate.get(PAGE, &[("accept-language", "de")]).text(), "de");
    assert_eq!(isolate.get(PAGE, &[("accept-language", "fr")]).text(), "fr");
    assert_eq!(world.spent().get("origin"), None);
    let fra = Isolate::new(&world, &config(), "fra");
    assert_eq!(fra.get(PAGE, &[("accept-language", "fr")]).text(), "fr");
    assert_eq!(world.spent().get("origin"), None, "the shard knew the variant");
}

#[test]
fn inv4_a_warm_and_the_visitors_meanwhile_make_one_refresh_whatever_the_page_varies_on() {
    for vary in [None, Some("Cookie, Accept-Encoding"), Some("Accept-Language")] {
        let world = World::new(&config());
        let renders = Rc::new(Cell::new(0));
        let count = Rc::clone(&renders);
        world.origin(move |_| {
            count.set(count.get() + 1);
            let mut script = page(&format!("render {}", count.get()), "post:1").after(1_000);
            if let Some(vary) = vary {
                script.fields.set("vary", vary);
            }
            Ok(script)
        });
        let mut isolate = Isolate::new(&world, &config(), "ams");
        isolate.codings = Some("identity".to_owned());
        let asks = [("accept-encoding", "br, gzip"), ("accept-language", "de")];
        isolate.get(PAGE, &asks);
        world.pass(100);
        world.invalidate("post:1", Mode::Soft);
        world.start_alarms();
        for _ in 0..60 {
            isolate.get(PAGE, &asks);
            world.pass(100);
        }
        assert_eq!(isolate.get(PAGE, &asks).text(), "render 2", "{vary:?}");
        assert_eq!(renders.get(), 2, "{vary:?}");
    }
}

#[test]
fn failures_are_logged_without_query_strings() {
    let world = World::new(&config());
    world.origin(|reached: &Reached| match reached.target.as_str() {
        "/tags" => Ok(page("", "ünfit")),
        "/vary" => {
            let mut script = page("", "post:1");
            script.fields.set("vary", "X-Theme");
            Ok(script)
        }
        _ => Err(OriginError::Unreachable),
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    let looped = isolate.get(PAGE, &[("cdn-loop", "edge-isr")]);
    assert_eq!(looped.status, 508);
    assert!(world.lines.borrow().iter().any(|line| line.contains("\"reason\":\"loop\"")));
    assert_eq!(isolate.send("POST", "https://example.com/post?token=secret", &[]).status, 502);
    let logged = |line: &String| line.contains("origin-unreachable") && !line.contains("secret");
    assert!(world.lines.borrow().iter().any(logged), "a passed request that fails is logged too");
    let rows = [
        ("https://example.com/gone?token=secret", 502, "origin-failed", "origin-unreachable"),
        ("https://example.com/tags", 200, "not-stored", "bad-tags"),
        ("https://example.com/vary", 200, "vary-not-forwarded", "x-theme"),
    ];
    for (url, status, event, reason) in rows {
        world.lines.borrow_mut().clear();
        assert_eq!(isolate.get(url, &[]).status, status, "{url}");
        world.pass(100);
        let lines = world.lines.borrow();
        let logged = |line: &&String| line.contains(event) && line.contains(reason);
        let line = lines.iter().find(logged).unwrap_or_else(|| panic!("{url}: {lines:?}"));
        assert!(!line.contains("secret"), "{line}");
    }
}

#[test]
fn a_worker_with_wrong_settings_passes_what_it_can_and_says_why() {
    let world = World::new(&config());
    counting(&world);
    let isolate = Isolate::new(&world, &config(), "ams");
    let rows = [
        (HealthReason::Config(Vec::new()), 200, "detail=config-invalid"),
        (HealthReason::BindingMissing("PAGES"), 200, "detail=binding-missing"),
        (HealthReason::Origin(OriginUrlError::Empty), 503, "detail=origin-invalid"),
        (HealthReason::OriginIsWorker, 508, "detail=origin-is-worker"),
    ];
    for (problem, status, detail) in rows {
        for _ in 0..2 {
            let seen = isolate.get_unconfigured(PAGE, &problem);
            assert_eq!(seen.status, status, "{problem:?}");
            assert!(seen.cache_status().contains(detail), "{}", seen.cache_status());
        }
    }
    assert_eq!(world.spent().keys().collect::<Vec<_>>(), [&"origin"], "nothing is stored");
}

/// Whatever showed the edge which device a visitor has, a warm asks for that device's variant.
#[test]
fn inv7_every_kind_of_device_is_warmed() {
    let route = Route { vary_on: vec![VaryOn::Device], ..Route::default() };
    let config = Config { defaults: route, ..config() };
    for (fields, device) in [
        (&[("user-agent", "Mozilla/5.0 (iPhone) Mobile/15E148")][..], "mobile"),
        (&[("user-agent", "Mozilla/5.0"), ("sec-ch-ua-mobile", "?1")], "mobile"),
        (&[("user-agent", "Mozilla/5.0 (iPad) Mobile")], "tablet"),
        (&[], "desktop"),
    ] {
        let world = World::new(&config);
        world.origin(|reached| {
            Ok(page(reached.fields.get("x-device").unwrap_or_default(), "post:1"))
        });
        let isolate = Isolate::new(&world, &config, "ams");
        assert_eq!(isolate.get(PAGE, fields).text(), device);
        world.pass(50);
        world.invalidate("post:1", Mode::Soft);
        world.alarms();
        let reached = world.reached.borrow().last().cloned().expect("a warm");
        assert_eq!(reached.fields.get("x-edge-isr-warmup"), Some("1"), "{fields:?}");
        assert_eq!(reached.fields.get("x-device"), Some(device), "{fields:?}");
    }
}

#[test]
fn a_warm_that_fails_is_tried_again_and_then_given_up_with_its_reason() {
    let log = LogLevel::Events;
    let config = Config { warm_attempts: 3, shards: 1, log, ..config() };
    let world = World::new(&config);
    let down = Rc::new(Cell::new(false));
    let flag = Rc::clone(&down);
    world.origin(move |_| match flag.get() {
        true => Ok(Script::new(503, &[], "down")),
        false => Ok(page("up", "post:1")),
    });
    let isolate = Isolate::new(&world, &config, "ams");
    isolate.get(PAGE, &[]);
    world.pass(100);
    down.set(true);
    world.invalidate("post:1", Mode::Hard);
    for _ in 0..200 {
        world.alarms();
        world.pass(5_000);
    }
    let lines = world.lines.borrow().join("\n");
    assert_eq!(lines.matches("warm-failed").count(), 2, "{lines}");
    assert_eq!(lines.matches("warm-dead").count(), 1, "{lines}");
    assert!(lines.contains("origin-error 503"), "{lines}");
}

#[test]
fn inv6_a_page_that_was_leased_once_is_kept_again_while_the_shards_are_down() {
    let world = World::new(&config());
    let renders = Rc::new(Cell::new(0));
    let count = Rc::clone(&renders);
    world.origin(move |_| {
        count.set(count.get() + 1);
        Ok(Script::new(200, &[("cdn-cache-control", "max-age=10"), ("x-edge-isr-tags", "a")], ""))
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    isolate.get(PAGE, &[]);
    world.pass(11_000);
    world.shards_down.set(true);
    for _ in 0..5 {
        isolate.get(PAGE, &[]);
        world.pass(100);
    }
    assert_eq!(renders.get(), 2);
}

#[test]
fn inv5_requests_collapsed_on_a_private_answer_each_get_their_own() {
    let world = World::new(&config());
    world.origin(|reached: &Reached| {
        let cookie = reached.fields.get("cookie").unwrap_or("nobody");
        Ok(Script::new(200, &[("cache-control", "private")], cookie).after(200))
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    let waiting: Vec<_> = (0..5)
        .map(|n| {
            let cookie = format!("basket={n}");
            let head = crate::world::request("GET", PAGE, &[("cookie", cookie.as_str())]);
            let isolate = isolate.clone();
            (cookie, world.start(async move { isolate.ask(head).await }))
        })
        .collect();
    world.pass(5_000);
    for (cookie, answer) in waiting {
        assert_eq!(answer.take().expect("answered").text(), cookie);
    }
}

#[test]
fn an_unsafe_method_invalidates_its_page_at_once_here_and_within_the_bound_elsewhere() {
    let world = World::new(&config());
    let renders = Rc::new(Cell::new(0));
    let count = Rc::clone(&renders);
    world.origin(move |reached: &Reached| match reached.method.as_str() {
        "POST" => Ok(Script::new(200, &[], "posted")),
        _ => {
            count.set(count.get() + 1);
            Ok(page(&format!("render {}", count.get()), "post:1"))
        }
    });
    let (ams, fra) =
        (Isolate::new(&world, &config(), "ams"), Isolate::new(&world, &config(), "fra"));
    ams.get(PAGE, &[]);
    world.pass(100);
    fra.get(PAGE, &[]);
    world.pass(100);
    assert_eq!(ams.send("POST", PAGE, &[]).text(), "posted");
    assert_eq!(ams.get(PAGE, &[]).text(), "render 2");
    world.pass(2_100);
    // Softly: the old page may answer once more while the new one is fetched.
    let meanwhile = fra.get(PAGE, &[]).cache_status();
    assert!(meanwhile.contains("detail=invalidated"), "{meanwhile}");
    world.pass(200);
    assert_eq!(fra.get(PAGE, &[]).text(), "render 2");
}

#[test]
fn a_head_for_what_can_not_be_stored_has_no_body() {
    let world = World::new(&config());
    world.origin(|_| Ok(Script::new(200, &[("cache-control", "no-store")], "a body")));
    let isolate = Isolate::new(&world, &config(), "ams");
    for _ in 0..2 {
        let head = isolate.send("HEAD", PAGE, &[]);
        assert_eq!(head.status, 200);
        world.pass(100);
    }
    assert_eq!(isolate.send("HEAD", "https://example.com/2", &[]).text(), "");
}

#[test]
fn isolates_of_a_colo_share_what_the_journal_said() {
    let world = World::new(&config());
    counting(&world);
    let isolates: Vec<Isolate> = (0..8).map(|_| Isolate::new(&world, &config(), "ams")).collect();
    for isolate in &isolates {
        isolate.get(PAGE, &[]);
    }
    world.pass(100);
    world.spent();
    for _ in 0..100 {
        for isolate in &isolates {
            isolate.get(PAGE, &[]);
        }
        world.pass(100);
    }
    let journal = world.spent()["journal"];
    assert!(journal <= 16, "8 isolates asked the journal {journal} times in 10 seconds");
    world.invalidate("post:1", Mode::Hard);
    world.pass(2_001);
    for isolate in &isolates {
        assert_eq!(isolate.get(PAGE, &[]).text(), "render 2");
    }
}

#[test]
fn a_route_with_a_tighter_bound_asks_for_itself_where_shared_news_are_too_old_for_it() {
    let mut config = config();
    config.defaults.max_lag = Some(Millis(300));
    let world = World::new(&config);
    counting(&world);
    let first = Isolate::new(&world, &config, "ams");
    let second = Isolate::new(&world, &config, "ams");
    first.get(PAGE, &[]);
    world.pass(100);
    second.get(PAGE, &[]);
    world.pass(5_000);
    first.get(PAGE, &[]);
    // The news that the first shares are of use for a second.
    world.pass(600);
    let seen = second.get(PAGE, &[]);
    assert!(seen.cache_status().starts_with("edge-isr;hit;ttl="), "{}", seen.cache_status());
    assert!(!seen.cache_status().contains("detail"), "{}", seen.cache_status());
    world.invalidate("post:1", Mode::Hard);
    world.pass(301);
    assert_eq!(second.get(PAGE, &[]).text(), "render 2");
}

#[test]
fn stale_if_error_does_not_stand_in_for_what_the_view_learnt_of_meanwhile() {
    let world = World::new(&config());
    let down = Rc::new(Cell::new(false));
    let flag = Rc::clone(&down);
    let control =
        [("cdn-cache-control", "max-age=1, stale-if-error=3600"), ("x-edge-isr-tags", "a")];
    world.origin(move |reached| match flag.get() && reached.target == "/post/1" {
        true => Ok(Script::new(503, &[], "down").after(4_000)),
        false => Ok(Script::new(200, &control, "old")),
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    isolate.get(PAGE, &[]);
    world.pass(5_000);
    // Without the journal nobody knows anything against the old page when the request comes.
    world.journal_down.set(true);
    down.set(true);
    let (slow, head) = (isolate.clone(), crate::world::request("GET", PAGE, &[]));
    let waiting = world.start(async move { slow.ask(head).await });
    world.pass(1_500);
    world.journal_down.set(false);
    world.invalidate("a", Mode::Hard);
    isolate.get("https://example.com/post/2", &[]);
    world.pass(5_000);
    let seen = waiting.take().expect("answered");
    assert_eq!(seen.status, 503, "{}", seen.cache_status());
}

#[test]
fn stale_if_error_ends_with_its_window_however_long_the_origin_takes_to_fail() {
    let world = World::new(&config());
    let down = Rc::new(Cell::new(false));
    let flag = Rc::clone(&down);
    world.origin(move |_| match flag.get() {
        true => Ok(Script::new(503, &[], "down").after(4_000)),
        false => Ok(Script::new(
            200,
            &[("cdn-cache-control", "max-age=1, stale-if-error=5"), ("x-edge-isr-tags", "a")],
            "old",
        )),
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    isolate.get(PAGE, &[]);
    world.pass(4_000);
    down.set(true);
    let seen = isolate.get(PAGE, &[]);
    assert_eq!(seen.status, 503, "{}", seen.cache_status());
}

#[test]
fn without_the_journal_a_request_does_not_share_a_fetch_that_began_max_lag_before_it_came() {
    let world = World::new(&config());
    let data = Rc::new(Cell::new("old"));
    let read = Rc::clone(&data);
    world.origin(move |_| Ok(page(read.get(), "post:1").after(4_000)));
    let isolate = Isolate::new(&world, &config(), "ams");
    let ask = || {
        let (isolate, head) = (isolate.clone(), crate::world::request("GET", PAGE, &[]));
        world.start(async move { isolate.ask(head).await })
    };
    let first = ask();
    world.pass(500);
    data.set("new");
    world.invalidate("post:1", Mode::Hard);
    world.journal_down.set(true);
    world.pass(1_000);
    // Who comes within max_lag of the fetch may be answered by it, as by any view of that age.
    let near = ask();
    world.pass(1_500);
    let late = ask();
    world.pass(10_000);
    assert_eq!(first.take().expect("answered").text(), "old");
    assert_eq!(near.take().expect("answered").text(), "old");
    let late = late.take().expect("answered");
    assert_eq!(late.text(), "new", "{}", late.cache_status());
    assert_eq!(world.spent()["origin"], 2);
}

#[test]
fn a_refill_without_tags_inherits_those_of_the_stored_response_while_the_shards_are_down() {
    let world = World::new(&config());
    let tagged = Rc::new(Cell::new(true));
    let flag = Rc::clone(&tagged);
    world.origin(move |_| {
        let tags = if flag.get() { "post:1" } else { "" };
        Ok(Script::new(
            200,
            &[("cdn-cache-control", "max-age=60"), ("x-edge-isr-tags", tags)],
            tags,
        ))
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    isolate.get(PAGE, &[]);
    world.pass(61_000);
    // A cache in front of the origin drops the field.
    tagged.set(false);
    world.shards_down.set(true);
    assert_eq!(isolate.get(PAGE, &[]).text(), "");
    world.pass(100);
    assert!(isolate.get(PAGE, &[]).cache_status().contains("hit"));
    world.shards_down.set(false);
    tagged.set(true);
    world.invalidate("post:1", Mode::Hard);
    world.pass(2_001);
    assert_eq!(
        isolate.get(PAGE, &[]).text(),
        "post:1",
        "it was invalidated by the tag that it had"
    );
}

#[test]
fn a_request_that_may_not_use_what_is_ready_fetches_for_itself() {
    let world = World::new(&config());
    let renders = counting(&world);
    Isolate::new(&world, &config(), "ams").get(PAGE, &[]);
    world.pass(100);
    world.spent();
    // A cold isolate without the journal can say nothing of the copy in L2.
    world.journal_down.set(true);
    let seen = Isolate::new(&world, &config(), "fra").get(PAGE, &[]);
    assert_eq!((seen.status, seen.text().as_str()), (200, "render 2"));
    assert_eq!(renders.get(), 2);
    world.pass(100);
    let spent = world.spent();
    assert_eq!(spent["l2_get"], 1, "what it turned down is not named again: {spent:?}");
    assert_eq!(spent["shard"], 3, "ready, lease, record: {spent:?}");
}

#[test]
fn a_visitor_does_not_get_the_failure_of_a_refresh_that_ended_before() {
    let world = World::new(&config());
    let down = Rc::new(Cell::new(false));
    let flag = Rc::clone(&down);
    let control = [("cdn-cache-control", "max-age=1, stale-while-revalidate=10")];
    world.origin(move |_| match flag.get() {
        true => Ok(Script::new(500, &[], "down")),
        false => Ok(Script::new(200, &control, "up")),
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    isolate.get(PAGE, &[]);
    world.pass(10_000);
    down.set(true);
    let stale = isolate.get(PAGE, &[]);
    assert!(stale.cache_status().contains("detail=stale-while-revalidate"));
    world.pass(500);
    down.set(false);
    // The window is over, sooner than another refresh in the background would begin.
    world.pass(700);
    let seen = isolate.get(PAGE, &[]);
    assert_eq!((seen.status, seen.text().as_str()), (200, "up"), "{}", seen.cache_status());
    assert!(seen.cache_status().contains("fwd=stale;fwd-status=200"), "{}", seen.cache_status());
}

#[test]
fn what_one_request_says_of_itself_takes_no_page_out_of_the_index() {
    let listens = Route { request_directives: true, ..Route::default() };
    let config = Config { defaults: listens, ..config() };
    let world = World::new(&config);
    let renders = counting(&world);
    let isolate = Isolate::new(&world, &config, "ams");
    isolate.get(PAGE, &[]);
    world.pass(100);
    isolate.get(PAGE, &[("cache-control", "no-store")]);
    world.pass(100);
    assert_eq!(renders.get(), 2);
    world.invalidate("post:1", Mode::Soft);
    world.alarms();
    world.pass(5_000);
    assert_eq!(renders.get(), 3, "the page is refetched, because the index still knows it");
}
