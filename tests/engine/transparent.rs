//! What may not be stored is answered as if the edge were not there: the answers that visitors get,
//! and what they cost the origin.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::world::{Isolate, Reached, Script, Seen, World, request};
use edge_isr::config::{Config, ForwardHeaders, Route};
use edge_isr::http::RequestHead;
use edge_isr::journal::Mode;

const STORE: (&str, &str) = ("cache-control", "s-maxage=300, stale-while-revalidate=3600");
const PRIVATE: (&str, &str) = ("cache-control", "private");

fn config() -> Config {
    Config { shards: 2, ..Config::default() }
}

fn site(script: impl Fn(&Reached) -> Script + 'static) -> (Rc<World>, Isolate) {
    let world = World::new(&config());
    world.origin(move |reached| Ok(script(reached)));
    let isolate = Isolate::new(&world, &config(), "ams");
    (world, isolate)
}

fn url(path: &str) -> String {
    format!("https://example.com{path}")
}

/// As a browser asks, from an address.
fn browser(path: &str, fields: &[(&str, &str)]) -> RequestHead {
    let usual = [("user-agent", "Mozilla/5"), ("accept", "text/html,*/*;q=0.8")];
    let all: Vec<(&str, &str)> = usual.iter().chain(fields).copied().collect();
    RequestHead { client: Some("203.0.113.9".to_owned()), ..request("GET", &url(path), &all) }
}

fn ask(world: &Rc<World>, isolate: &Isolate, head: RequestHead) -> Seen {
    let isolate = isolate.clone();
    world.run(async move { isolate.ask(head).await })
}

fn origin_requests(world: &Rc<World>) -> u64 {
    world.pass(500);
    world.spent().get("origin").copied().unwrap_or(0)
}

/// X-Api-Key and its like: whatever the origin says without it.
#[test]
fn a_caller_known_by_a_field_gets_its_own_answer_whatever_the_status_without_it() {
    for status in [200, 302, 400, 401, 403, 404, 406, 407, 412, 415, 426, 428, 429, 500, 503] {
        let (world, isolate) = site(move |reached| match reached.fields.get("x-api-key") {
            Some("k") => Script::new(200, &[PRIVATE], "data"),
            _ => Script::new(status, &[PRIVATE], "no key"),
        });
        for path in ["/api/1", "/api/1", "/api/1", "/api/2", "/api/3"] {
            let seen = isolate.get(&url(path), &[("x-api-key", "k")]);
            assert_eq!((seen.status, seen.text().as_str()), (200, "data"), "{status} {path}");
            assert_eq!(origin_requests(&world), 1, "{status} {path}");
        }
        let seen = isolate.get(&url("/api/1"), &[]);
        assert_eq!((seen.status, seen.text().as_str()), (status, "no key"));
    }
}

/// The visitor's browser, address, cookies and conditions reach the origin of what is not stored.
#[test]
fn an_answer_that_is_not_stored_is_the_one_to_the_whole_request() {
    for status in [200, 201, 302, 400, 401, 403, 404, 406, 410, 416, 501] {
        let (world, isolate) = site(move |reached| {
            let said = |name| reached.fields.get(name).unwrap_or("-").to_owned();
            let names = ["user-agent", "x-forwarded-for", "referer", "cookie", "if-none-match"];
            Script::new(status, &[PRIVATE], &names.map(said).join(" "))
        });
        let fields =
            [("referer", "https://a.example/"), ("cookie", "_ga=1"), ("if-none-match", "\"1\"")];
        for turn in 0..3 {
            let seen = ask(&world, &isolate, browser("/me", &fields));
            let want = "Mozilla/5 203.0.113.9 https://a.example/ _ga=1 \"1\"";
            assert_eq!((seen.status, seen.text().as_str()), (status, want), "{status} {turn}");
            assert!(origin_requests(&world) <= 2, "{status} {turn}");
        }
    }
}

#[test]
fn ten_visitors_of_an_unstorable_page_are_eleven_origin_requests() {
    let age = [STORE, ("age", "7")];
    let odd_age = [STORE, ("age", "soon")];
    for (status, fields) in [
        (400, &[][..]),
        (401, &[]),
        (403, &[]),
        (404, &[]),
        (501, &[]),
        (200, &[PRIVATE][..]),
        (200, &age),
        (200, &odd_age),
    ] {
        let fields = fields.to_vec();
        let (world, isolate) = site(move |_| Script::new(status, &fields, "answer"));
        let mut requests = 0;
        for visitor in 0..10 {
            let cookie = format!("_ga={visitor}");
            let seen = ask(&world, &isolate, browser("/page", &[("cookie", &cookie)]));
            assert_eq!(seen.status, status);
            requests += origin_requests(&world);
        }
        assert!(requests <= 11, "{status}: {requests}");
    }
}

/// What describes the moment is not asked for twice.
#[test]
fn a_status_of_the_moment_is_not_repeated() {
    for status in [408, 425, 429, 500, 502, 503, 504, 522] {
        let (world, isolate) = site(move |_| Script::new(status, &[], "later"));
        for visitor in 0..10 {
            let cookie = format!("_ga={visitor}");
            let seen = ask(&world, &isolate, browser("/page", &[("cookie", &cookie)]));
            assert_eq!(seen.status, status);
            assert_eq!(origin_requests(&world), 1, "{status}");
        }
    }
}

#[test]
fn unique_unstorable_addresses_cost_hardly_more_than_one_request_each() {
    for (prefix, fields) in [
        ("/api/items/", &[][..]),
        ("/search?q=", &[]),
        ("/account/", &[("cookie", "cart=1")][..]),
        ("/", &[]),
        ("/u/", &[("x-api-key", "k")]),
    ] {
        let (world, isolate) = site(|_| Script::new(200, &[PRIVATE], "mine"));
        let mut requests = 0;
        for number in 0..100 {
            let head = browser(&format!("{prefix}{number}"), fields);
            assert_eq!(ask(&world, &isolate, head).text(), "mine");
            requests += origin_requests(&world);
        }
        assert!(requests <= 110, "{prefix}: {requests}");
    }
}

/// Where there are pages too: invented addresses among them, and personal ones.
#[test]
fn unstorable_addresses_among_pages_cost_hardly_more_than_one_request_each() {
    let kinds: [(&str, u16); 3] = [("/post/x", 404), ("/post/?x=", 403), ("/x", 200)];
    for (prefix, status) in kinds {
        // So many others, then a page that nobody has asked for: requests in all, at most.
        for (others, most) in [(100, 110), (10, 135), (1, 200 - 45)] {
            let (world, isolate) = site(move |reached| match reached.target.contains('x') {
                true => Script::new(status, &[("cache-control", "private")], "no"),
                false => Script::new(200, &[STORE], "page"),
            });
            let page = |number: u32| browser(&format!("/post/{number}"), &[]);
            (0..10).for_each(|number| drop(ask(&world, &isolate, page(number))));
            let visits = if others == 1 { 50 } else { 100 };
            origin_requests(&world);
            for number in 0..visits {
                let missing = browser(&format!("{prefix}{number}"), &[]);
                assert_eq!(ask(&world, &isolate, missing).status, status);
                if number % others == others - 1 {
                    assert_eq!(ask(&world, &isolate, page(1_000 + number)).text(), "page");
                }
            }
            let requests = origin_requests(&world);
            assert!(requests <= most, "{prefix}, {others}: {requests}");
        }
    }
}

/// What was learned of addresses below a prefix is corrected by the first page there that can be
/// stored.
#[test]
fn a_storable_page_among_unstorable_ones_is_stored_by_its_first_visitor() {
    let (world, isolate) = site(|reached| match reached.target.as_str() {
        "/mix/page" => Script::new(200, &[STORE], "page"),
        _ => Script::new(200, &[PRIVATE], "mine"),
    });
    for number in 0..20 {
        ask(&world, &isolate, browser(&format!("/mix/{number}"), &[]));
        world.pass(500);
    }
    world.spent();
    ask(&world, &isolate, browser("/mix/page", &[]));
    assert_eq!(origin_requests(&world), 2);
    let hit = ask(&world, &isolate, browser("/mix/page", &[]));
    assert!(hit.cache_status().contains("hit;ttl"), "{}", hit.cache_status());
}

fn herd(world: &Rc<World>, isolate: &Isolate, heads: Vec<RequestHead>) -> Vec<Seen> {
    let begin = |head: RequestHead| {
        let isolate = isolate.clone();
        world.start(async move { isolate.ask(head).await })
    };
    let begun: Vec<_> = heads.into_iter().map(begin).collect();
    world.pass(20_000);
    begun.into_iter().map(|slot| slot.take().unwrap()).collect()
}

#[test]
fn a_herd_on_a_cold_page_is_one_origin_request() {
    for fields in [&[][..], &[("cookie", "_ga=1")][..]] {
        let (world, isolate) = site(|_| Script::new(200, &[STORE], "page").after(500));
        let heads = (0..20).map(|_| browser("/page", fields)).collect();
        let seen = herd(&world, &isolate, heads);
        assert!(seen.iter().all(|seen| seen.text() == "page"));
        assert_eq!(world.spent()["origin"], 1);
    }
    // Who says more than browsers do waits for what the first such request shows; then one fetch is
    // for all.
    let (world, isolate) = site(|_| Script::new(200, &[STORE], "page").after(500));
    let heads = (0..20).map(|_| browser("/page", &[("x-requested-with", "app")])).collect();
    let seen = herd(&world, &isolate, heads);
    assert!(seen.iter().all(|seen| seen.text() == "page"));
    assert_eq!(world.spent()["origin"], 2);
    let hit = ask(&world, &isolate, browser("/page", &[]));
    assert!(hit.cache_status().contains("hit;ttl"), "{}", hit.cache_status());
}

/// Nothing of a request that goes whole is stored, and no mark of one visitor takes a page from the
/// others.
#[test]
fn a_whole_request_poisons_nothing() {
    let (world, isolate) = site(|reached| {
        let evil = reached.fields.get("x-evil").is_some();
        let odd = reached.fields.get("accept") == Some("evil/*");
        match (evil, odd) {
            (true, _) => Script::new(200, &[STORE, ("x-seen", "canary")], "canary"),
            (_, true) => Script::new(406, &[STORE], "canary"),
            _ => Script::new(200, &[STORE], "page"),
        }
    });
    for (path, fields) in [("/a", [("x-evil", "1")]), ("/b", [("accept", "evil/*")])] {
        for _ in 0..3 {
            isolate.get(&url(path), &fields);
            world.pass(500);
        }
        let seen = ask(&world, &isolate, browser(path, &[]));
        assert_eq!((seen.status, seen.text().as_str()), (200, "page"), "{path}");
        world.pass(500);
        let hit = ask(&world, &isolate, browser(path, &[("cookie", "_ga=1")]));
        assert!(hit.cache_status().contains("hit"), "{path}: {}", hit.cache_status());
        let other = Isolate::new(&world, &config(), "fra");
        assert_eq!(ask(&world, &other, browser(path, &[])).text(), "page");
    }
}

/// Every status that a refresh or a warm can learn, for every variant and in every isolate.
#[test]
fn a_page_that_is_gone_or_private_now_is_gone_everywhere() {
    const SET_COOKIE: (&str, &str) = ("set-cookie", "id=1");
    let answers: Vec<(u16, Vec<(&str, &str)>)> =
        [400, 401, 403, 404, 405, 406, 407, 410, 412, 413, 415, 416, 417, 421, 426, 428, 431, 302]
            .into_iter()
            .map(|status| (status, vec![]))
            .chain([
                (200, vec![PRIVATE]),
                (200, vec![("cache-control", "no-store")]),
                (200, vec![STORE, SET_COOKIE]),
                (200, vec![STORE, ("x-edge-isr", "bypass")]),
                (200, vec![]),
                // Though what is said of it may be stored.
                (404, vec![STORE]),
                (410, vec![("cache-control", "s-maxage=30"), ("vary", "Accept-Language")]),
                (301, vec![STORE, ("location", "/elsewhere/")]),
            ])
            .collect();
    for (status, fields) in answers {
        for how in ["refresh", "warm", "expiry"] {
            let gone = Rc::new(Cell::new(false));
            let (flag, fields) = (Rc::clone(&gone), fields.clone());
            let (world, isolate) = site(move |reached| {
                let language = reached.fields.get("accept-language").unwrap_or("-");
                match flag.get() {
                    true => Script::new(status, &fields, "now"),
                    false => {
                        let fields = [STORE, ("vary", "Accept-Language"), ("xkey", "post")];
                        Script::new(200, &fields, &format!("public {language}"))
                    }
                }
            });
            let others: Vec<Isolate> =
                ["ams", "fra"].map(|colo| Isolate::new(&world, &config(), colo)).into();
            let languages = ["de", "en", "fr"];
            for isolate in others.iter().chain([&isolate]) {
                for language in languages {
                    for _ in 0..2 {
                        ask(&world, isolate, browser("/p", &[("accept-language", language)]));
                        world.pass(200);
                    }
                }
            }
            gone.set(true);
            match how {
                "expiry" => world.pass(310_000),
                _ => {
                    world.invalidate("post", Mode::Soft);
                    world.pass(2_100);
                }
            }
            match how {
                "warm" => world.alarms(),
                _ => drop(ask(&world, &isolate, browser("/p", &[("accept-language", "de")]))),
            }
            world.pass(3_000);
            for isolate in others.iter().chain([&isolate]) {
                for language in languages {
                    let seen =
                        ask(&world, isolate, browser("/p", &[("accept-language", language)]));
                    let got = (seen.status, seen.text());
                    assert_eq!(got, (status, "now".to_owned()), "{how} {language}: {seen:?}");
                    world.pass(50);
                }
            }
        }
    }
}

/// That a page is gone is published once: from then on the answer that says so is a page as any
/// other.
#[test]
fn what_is_said_of_a_page_that_is_gone_is_stored() {
    for how in ["refresh", "warm"] {
        let gone = Rc::new(Cell::new(false));
        let flag = Rc::clone(&gone);
        let (world, isolate) = site(move |_| {
            let (status, text) = if flag.get() { (404, "gone") } else { (200, "page") };
            Script::new(status, &[STORE, ("xkey", "post")], text)
        });
        isolate.get(&url("/p"), &[]);
        world.pass(300);
        gone.set(true);
        let mut epochs = Vec::new();
        for _ in 0..3 {
            world.invalidate("post", Mode::Soft);
            world.pass(2_100);
            match how {
                "warm" => world.alarms(),
                _ => drop(isolate.get(&url("/p"), &[])),
            }
            world.pass(3_000);
            for _ in 0..2 {
                assert_eq!(isolate.get(&url("/p"), &[]).text(), "gone", "{how}");
                world.pass(300);
            }
            assert!(isolate.get(&url("/p"), &[]).cache_status().contains("hit"), "{how}");
            let invalidations = isolate.operate("GET", "/v1/invalidations", "").text();
            epochs.push(invalidations.matches("in the place of a page").count());
        }
        assert_eq!(epochs, [1, 1, 1], "{how}");
    }
}

/// A stranger's odd request is not what decides on a stored page: the origin is asked again without
/// what they said.
#[test]
fn one_odd_request_takes_no_stored_page_from_the_others() {
    for status in [200, 302, 400, 401, 403, 404, 406, 410] {
        let (world, isolate) = site(move |reached| match reached.fields.get("accept-language") {
            Some("xx") => Script::new(status, &[PRIVATE], "odd"),
            _ => Script::new(200, &[STORE, ("xkey", "post")], "page"),
        });
        ask(&world, &isolate, browser("/p", &[]));
        world.pass(500);
        world.invalidate("post", Mode::Soft);
        world.pass(2_100);
        let stale = ask(&world, &isolate, browser("/p", &[("accept-language", "xx")]));
        assert_eq!(stale.text(), "page", "{status}");
        world.pass(500);
        world.spent();
        let seen = ask(&world, &isolate, browser("/p", &[]));
        assert_eq!((seen.status, seen.text().as_str()), (200, "page"), "{status}");
        assert!(seen.cache_status().contains("hit;ttl"), "{status}: {}", seen.cache_status());
        assert_eq!(origin_requests(&world), 0, "{status}");
    }
}

/// The same where nothing is stored at hand: another colo has the page, its stored copy is out of
/// date, and a stranger asks oddly in one that has nothing.
#[test]
fn one_odd_request_in_a_colo_that_has_nothing_takes_no_page_from_the_world() {
    for status in [200, 301, 302, 307, 400, 401, 403, 404, 406, 409, 410, 451] {
        for how in ["invalidated", "expired"] {
            let (world, isolate) =
                site(move |reached| match reached.fields.get("accept-language") {
                    Some("xx") => Script::new(status, &[PRIVATE], "odd"),
                    _ => Script::new(200, &[STORE, ("xkey", "post")], "page"),
                });
            for _ in 0..2 {
                ask(&world, &isolate, browser("/p", &[]));
                world.pass(500);
            }
            match how {
                "expired" => world.pass(310_000),
                _ => drop(world.invalidate_all(&["post"], Mode::Soft, false)),
            }
            world.pass(2_100);
            let cold = Isolate::new(&world, &config(), "fra");
            let odd = ask(&world, &cold, browser("/p", &[("accept-language", "xx")]));
            assert_eq!((odd.status, odd.text().as_str()), (status, "odd"), "{how}");
            world.pass(3_000);
            let seen = ask(&world, &isolate, browser("/p", &[]));
            let cache_status = seen.cache_status();
            assert_eq!((seen.status, seen.text().as_str()), (200, "page"), "{status} {how}");
            assert!(cache_status.contains("hit"), "{status} {how}: {cache_status}");
        }
    }
}

/// Nor does a warm that repeats what an odd visitor said, who happened to be the first.
#[test]
fn a_warm_of_an_odd_first_request_takes_no_page_from_the_world() {
    for status in [200, 302, 400, 401, 403, 404, 406, 410] {
        let strict = Rc::new(Cell::new(false));
        let flag = Rc::clone(&strict);
        let (world, isolate) =
            site(move |reached| match (flag.get(), reached.fields.get("accept-language")) {
                (true, Some("xx")) => Script::new(status, &[PRIVATE], "odd"),
                _ => Script::new(200, &[STORE, ("xkey", "post")], "page"),
            });
        ask(&world, &isolate, browser("/p", &[("accept-language", "xx")]));
        world.pass(500);
        strict.set(true);
        world.invalidate("post", Mode::Soft);
        world.pass(2_100);
        world.alarms();
        world.pass(3_000);
        let seen = ask(&world, &isolate, browser("/p", &[]));
        let cache_status = seen.cache_status();
        assert_eq!((seen.status, seen.text().as_str()), (200, "page"), "{status} {cache_status}");
        assert!(cache_status.contains("hit"), "{status}: {cache_status}");
    }
}

/// What is not stored any more is learned in a colo that has nothing, too.
#[test]
fn a_page_that_is_gone_is_gone_by_whoever_learns_it() {
    for status in [200, 302, 400, 401, 403, 404, 409, 410, 411, 414, 422, 451] {
        let gone = Rc::new(Cell::new(false));
        let flag = Rc::clone(&gone);
        let (world, isolate) = site(move |_| match flag.get() {
            true => Script::new(status, &[PRIVATE], "now"),
            false => Script::new(200, &[STORE, ("xkey", "post")], "page"),
        });
        for _ in 0..2 {
            ask(&world, &isolate, browser("/p", &[]));
            world.pass(500);
        }
        gone.set(true);
        world.invalidate_all(&["post"], Mode::Soft, false);
        world.pass(2_100);
        let cold = Isolate::new(&world, &config(), "fra");
        let odd = [("accept-language", "xx")];
        assert_eq!(ask(&world, &cold, browser("/p", &odd)).text(), "now");
        world.pass(3_000);
        let seen = ask(&world, &isolate, browser("/p", &[]));
        assert_eq!((seen.status, seen.text().as_str()), (status, "now"), "{}", seen.cache_status());
    }
}

/// Whoever learns it may know of more fields than the stored page varies on: those of an answer
/// that was not stored.
#[test]
fn a_page_that_is_gone_is_gone_where_the_new_answer_varies_on_more() {
    for more in ["origin, prefer", "accept, prefer", "accept-language, origin"] {
        let gone = Rc::new(Cell::new(false));
        let flag = Rc::clone(&gone);
        let (world, isolate) = site(move |_| match flag.get() {
            true => Script::new(404, &[PRIVATE, ("vary", more)], "now"),
            false => {
                Script::new(200, &[STORE, ("xkey", "post"), ("vary", "accept-language")], "page")
            }
        });
        let french = [("accept-language", "fr")];
        ask(&world, &isolate, browser("/p", &french));
        world.pass(500);
        gone.set(true);
        let cold = Isolate::new(&world, &config(), "fra");
        for language in ["de", "en", "fr"] {
            let language = [("accept-language", language)];
            assert_eq!(ask(&world, &cold, browser("/p", &language)).text(), "now");
            world.pass(5_000);
        }
        let seen = ask(&world, &isolate, browser("/p", &french));
        assert_eq!((seen.status, seen.text().as_str()), (404, "now"), "{more}");
    }
}

/// A page that has grown beyond what is stored, and does not say so: the old one is not served for
/// the whole of its window, nor is the new one read again and again.
#[test]
fn a_page_that_has_grown_too_large_is_passed_from_then_on() {
    let config = Config { max_body: 10_000, ..config() };
    let world = World::new(&config);
    let grown = Rc::new(Cell::new(false));
    let flag = Rc::clone(&grown);
    world.origin(move |_| {
        let body = if flag.get() { "x".repeat(30_000) } else { "page".to_owned() };
        let pieces = body.as_bytes().chunks(4_000).map(|piece| (1, piece.to_vec())).collect();
        Ok(Script { pieces, ..Script::new(200, &[STORE, ("xkey", "post")], "") })
    });
    let isolate = Isolate::new(&world, &config, "ams");
    ask(&world, &isolate, browser("/p", &[]));
    world.pass(500);
    grown.set(true);
    world.invalidate_all(&["post"], Mode::Soft, false);
    world.pass(2_100);
    assert_eq!(ask(&world, &isolate, browser("/p", &[])).text(), "page");
    world.pass(5_000);
    world.spent();
    for _ in 0..5 {
        let seen = ask(&world, &isolate, browser("/p", &[]));
        assert_eq!(seen.text().len(), 30_000, "{}", seen.cache_status());
        world.pass(3_000);
    }
    assert_eq!(origin_requests(&world), 5);
}

/// 408, 425 and 429 decide for the isolate that met them, and for a moment: nothing is lost for the
/// world.
#[test]
fn a_moment_decides_for_a_moment() {
    for status in [408, 425, 429] {
        let busy = Rc::new(Cell::new(false));
        let flag = Rc::clone(&busy);
        let (world, isolate) = site(move |_| match flag.get() {
            true => Script::new(status, &[], "later"),
            false => Script::new(200, &[STORE, ("xkey", "post")], "page"),
        });
        let other = Isolate::new(&world, &config(), "fra");
        for isolate in [&isolate, &other] {
            ask(&world, isolate, browser("/p", &[]));
            world.pass(500);
        }
        busy.set(true);
        world.invalidate("post", Mode::Soft);
        world.pass(2_100);
        ask(&world, &isolate, browser("/p", &[]));
        world.pass(200);
        assert_eq!(ask(&world, &isolate, browser("/p", &[])).status, status);
        assert_eq!(ask(&world, &other, browser("/p", &[])).text(), "page");
        busy.set(false);
        world.pass(7_000);
        assert_eq!(ask(&world, &isolate, browser("/p", &[])).text(), "page", "{status}");
    }
}

/// A page with a window for errors stands in for the moment.
#[test]
fn a_page_with_a_window_for_errors_outlives_a_moment() {
    for status in [408, 425, 429] {
        let busy = Rc::new(Cell::new(false));
        let flag = Rc::clone(&busy);
        let (world, isolate) = site(move |_| match flag.get() {
            true => Script::new(status, &[], "later"),
            false => {
                let control = "s-maxage=10, stale-while-revalidate=3600, stale-if-error=3600";
                Script::new(200, &[("cache-control", control)], "page")
            }
        });
        ask(&world, &isolate, browser("/p", &[]));
        busy.set(true);
        world.pass(20_000);
        for _ in 0..5 {
            let seen = ask(&world, &isolate, browser("/p", &[("cookie", "_ga=1")]));
            assert_eq!((seen.status, seen.text().as_str()), (200, "page"), "{status}");
            world.pass(1_000);
        }
        assert!(origin_requests(&world) <= 4, "a failed refresh is not tried again at once");
    }
}

/// What an isolate learned of a page before another one could store it does not hold for what was
/// stored.
#[test]
fn an_error_of_before_does_not_take_the_place_of_a_page_that_was_stored_since() {
    for status in [400, 406, 429, 500, 503] {
        let broken = Rc::new(Cell::new(true));
        let flag = Rc::clone(&broken);
        let (world, isolate) = site(move |_| match flag.get() {
            true => Script::new(status, &[], "error"),
            false => Script::new(200, &[STORE, ("xkey", "post")], "page"),
        });
        let other = Isolate::new(&world, &config(), "ams");
        let reader = || browser("/p", &[("cookie", "_ga=1")]);
        assert_eq!(ask(&world, &isolate, reader()).status, status);
        broken.set(false);
        world.pass(500);
        assert_eq!(ask(&world, &other, reader()).text(), "page");
        world.pass(500);
        world.invalidate("post", Mode::Soft);
        broken.set(true);
        world.pass(2_100);
        let seen = ask(&world, &isolate, reader());
        assert_eq!((seen.status, seen.text().as_str()), (200, "page"), "{}", seen.cache_status());
    }
}

/// Nor does an error of the moment hold for a page with a window for errors, whenever it was seen.
#[test]
fn a_page_with_a_window_for_errors_outlives_one_that_its_isolate_saw_without_it() {
    for status in [408, 425, 429, 500, 503] {
        let broken = Rc::new(Cell::new(false));
        let flag = Rc::clone(&broken);
        let (world, isolate) = site(move |_| match flag.get() {
            true => Script::new(status, &[], "error"),
            false => {
                let control = "s-maxage=300, stale-while-revalidate=3600, stale-if-error=3600";
                Script::new(200, &[("cache-control", control), ("xkey", "post")], "page")
            }
        });
        let other = Isolate::new(&world, &config(), "fra");
        ask(&world, &isolate, browser("/p", &[]));
        world.pass(500);
        broken.set(true);
        // It can't know of the page.
        world.shards_down.set(true);
        let reader = || browser("/p", &[("cookie", "_ga=1")]);
        assert_eq!(ask(&world, &other, reader()).status, status);
        world.shards_down.set(false);
        assert_eq!(ask(&world, &other, browser("/p", &[])).text(), "page");
        world.invalidate("post", Mode::Soft);
        world.pass(2_100);
        let seen = ask(&world, &other, reader());
        assert_eq!((seen.status, seen.text().as_str()), (200, "page"), "{}", seen.cache_status());
    }
}

/// A page whose body takes long was asked for before the answer that says it is gone: it does not
/// come back by it.
#[test]
fn a_slow_answer_of_before_does_not_bring_back_a_page_that_is_gone() {
    let gone = Rc::new(Cell::new(false));
    let flag = Rc::clone(&gone);
    let (world, isolate) = site(move |reached| {
        let slow = if reached.fields.get("accept-language") == Some("en") { 2_000 } else { 0 };
        let vary = ("vary", "accept-language");
        match flag.get() {
            true => Script::new(404, &[vary], "gone"),
            false => Script {
                pieces: vec![(slow, b"page".to_vec())],
                ..Script::new(200, &[STORE, vary], "")
            },
        }
    });
    world.shards_down.set(true);
    let english = || browser("/p", &[("accept-language", "en")]);
    let first = isolate.clone();
    let begun = world.start(async move { first.ask(english()).await });
    world.pass(200);
    // By its neighbour the isolate learns that the page varies.
    let neighbour = Isolate::new(&world, &config(), "ams");
    assert_eq!(ask(&world, &neighbour, browser("/p", &[("accept-language", "de")])).text(), "page");
    gone.set(true);
    assert_eq!(ask(&world, &isolate, english()).status, 404);
    world.pass(3_000);
    assert_eq!(begun.take().unwrap().text(), "page");
    let seen = ask(&world, &isolate, english());
    assert_eq!(seen.status, 404, "{}", seen.cache_status());
}

/// What a refresh learned holds in its isolate, even if the journal could not be reached.
#[test]
fn without_a_journal_a_page_that_is_gone_is_gone_here() {
    let gone = Rc::new(Cell::new(false));
    let flag = Rc::clone(&gone);
    let (world, isolate) = site(move |_| match flag.get() {
        true => Script::new(401, &[], "now"),
        false => Script::new(200, &[STORE, ("xkey", "post")], "page"),
    });
    ask(&world, &isolate, browser("/p", &[]));
    world.pass(500);
    world.invalidate("post", Mode::Soft);
    world.pass(2_100);
    ask(&world, &isolate, browser("/other", &[]));
    gone.set(true);
    world.journal_down.set(true);
    assert_eq!(ask(&world, &isolate, browser("/p", &[])).text(), "page");
    world.pass(500);
    assert_eq!(ask(&world, &isolate, browser("/p", &[])).status, 401);
}

/// W21: the render takes longer than its lifetime.
#[test]
fn one_slow_render_answers_all_who_wait_for_it_and_marks_nothing() {
    let (world, isolate) =
        site(|_| Script::new(200, &[("cache-control", "s-maxage=1")], "page").after(3_000));
    for _ in 0..2 {
        let seen = herd(&world, &isolate, (0..12).map(|_| browser("/p", &[])).collect());
        assert!(seen.iter().all(|seen| seen.text() == "page"));
        assert_eq!(world.spent()["origin"], 1);
        assert!(seen.iter().all(|s| !s.cache_status().contains("hit-for-pass")));
    }
    // Nobody gets it who comes after it.
    let late = ask(&world, &isolate, browser("/p", &[]));
    assert!(late.cache_status().contains("detail=late"), "{}", late.cache_status());
}

/// W21, in more than one language: whoever finds that the answer is of another variant waits for
/// the first of their own.
#[test]
fn one_slow_render_of_each_variant_answers_all_who_wait_for_it() {
    for lifetime in ["s-maxage=1", "s-maxage=300"] {
        let (world, isolate) = site(move |reached| {
            let language = reached.fields.get("accept-language").unwrap_or("none").to_owned();
            let fields = [("cache-control", lifetime), ("vary", "Accept-Language")];
            Script::new(200, &fields, &language).after(3_000)
        });
        let language = |n: usize| ["de", "en", "fr"][n % 3];
        let heads = (0..12).map(|n| browser("/p", &[("accept-language", language(n))])).collect();
        let seen = herd(&world, &isolate, heads);
        for (n, seen) in seen.iter().enumerate() {
            assert_eq!(seen.text(), language(n), "{}", seen.cache_status());
        }
        assert_eq!(world.spent()["origin"], 3, "{lifetime}");
    }
}

/// Behind another cache the edge is not slower than none.
#[test]
fn an_answer_of_another_cache_is_shared_by_those_who_wait_and_passes_from_then_on() {
    let (world, isolate) = site(|_| Script::new(200, &[STORE, ("age", "7")], "page").after(500));
    let before = world.now();
    let done = Rc::new(RefCell::new(Vec::new()));
    for _ in 0..20 {
        let (isolate, world, done) = (isolate.clone(), Rc::clone(&world), Rc::clone(&done));
        let clock = Rc::clone(&world);
        clock.start(async move {
            isolate.ask(browser("/p", &[("cookie", "_ga=1")])).await;
            done.borrow_mut().push(world.now());
        });
    }
    world.pass(5_000);
    assert_eq!(done.borrow().len(), 20);
    assert!(done.borrow().iter().all(|at| at.since(before).0 < 600), "{:?}", done.borrow());
    assert_eq!(world.spent()["origin"], 1);
    let before = world.now();
    let next = ask(&world, &isolate, browser("/p", &[]));
    assert!(next.cache_status().contains("hit-for-pass-upstream-cache"), "{}", next.cache_status());
    assert!(world.now().since(before).0 < 550);
}

/// CORS: django-cors-headers says `Vary: origin` on all it answers.
#[test]
fn cross_origin_requests_get_their_own_answer_and_nobody_elses() {
    let (world, isolate) = site(|reached| {
        let mut script = Script::new(200, &[STORE, ("vary", "origin")], "data");
        if let Some(origin) = reached.fields.get("origin").filter(|o| o.ends_with(".example")) {
            script.fields.set("access-control-allow-origin", origin);
        }
        script
    });
    let allowed = |seen: &Seen| seen.fields.get("access-control-allow-origin").map(str::to_owned);
    for turn in 0..4 {
        for origin in ["https://app.example", "https://b.example", "https://evil"] {
            let seen = ask(&world, &isolate, browser("/data", &[("origin", origin)]));
            let want = origin.ends_with(".example").then(|| origin.to_owned());
            assert_eq!(allowed(&seen), want, "{turn} {origin}: {}", seen.cache_status());
            world.pass(300);
        }
        assert_eq!(allowed(&ask(&world, &isolate, browser("/data", &[]))), None);
        world.pass(300);
    }
    let hit = ask(&world, &isolate, browser("/data", &[("origin", "https://app.example")]));
    assert!(hit.cache_status().contains("hit;ttl"), "{}", hit.cache_status());
}

/// An origin that repeats `Origin` without saying so never has a stranger's in everyone's page.
#[test]
fn an_origin_that_reflects_origin_is_not_poisoned() {
    let (world, isolate) = site(|reached| {
        let origin = reached.fields.get("origin").unwrap_or("none");
        Script::new(200, &[STORE, ("access-control-allow-origin", origin)], origin)
    });
    for _ in 0..3 {
        let seen = isolate.get(&url("/a"), &[("origin", "https://evil")]);
        assert!(["https://evil", "none"].contains(&seen.text().as_str()));
        world.pass(300);
        assert_eq!(isolate.get(&url("/a"), &[]).text(), "none");
    }
}

/// htmx: page and partial under one address.
#[test]
fn a_field_that_vary_names_and_the_origin_does_not_see_is_asked_for_whole() {
    let partial = |reached: &Reached| {
        let body = if reached.fields.has("hx-request") { "PARTIAL" } else { "FULL" };
        Script::new(200, &[STORE, ("vary", "HX-Request")], body)
    };
    let (world, isolate) = site(partial);
    for _ in 0..3 {
        assert_eq!(isolate.get(&url("/v"), &[]).text(), "FULL");
        world.pass(300);
        assert_eq!(isolate.get(&url("/v"), &[("hx-request", "true")]).text(), "PARTIAL");
        world.pass(300);
    }
    // In an isolate that knows nothing of the page.
    let other = Isolate::new(&world, &config(), "fra");
    assert_eq!(other.get(&url("/v"), &[("hx-request", "true")]).text(), "PARTIAL");
    world.pass(300);
    assert_eq!(other.get(&url("/v"), &[]).text(), "FULL");
}

/// What the grammar does not take of `Accept` and `Accept-Language` may be what selects: it is not
/// answered by what was made for the rest of the field.
#[test]
fn negotiation_that_can_not_be_read_whole_is_asked_for_whole() {
    let long = format!("application/json;profile=\"{}\"", "a".repeat(1_100));
    let rows: [(&str, &[&str]); 2] = [
        (
            "accept",
            &[
                "text/html;q=0.5, application/json;odata",
                "text/html;q=0.5, application/json;profile=\"(draft)\"",
                "text/html;q=0.1, application/json; charset = utf-8",
                "text/html;q=0.1, application/json;v=\"open",
                "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
                "json, text/html;q=0.1",
                "application/j\u{f6}son, text/html;q=0.1",
                &long,
            ],
        ),
        (
            "accept-language",
            &["de_DE, en;q=0.5", "*-CH, en;q=0.1", "de;q=.5, en;q=.1", "de q=0.5, en"],
        ),
    ];
    for (name, values) in rows {
        let (world, isolate) = site(move |reached| {
            let text = reached.fields.joined(name).unwrap_or_default();
            Script::new(200, &[STORE, ("vary", name)], &text)
        });
        let fresh = Isolate::new(&world, &config(), "fra");
        let page = url("/n");
        isolate.get(&page, &[]);
        world.pass(300);
        for value in values {
            for isolate in [&fresh, &isolate] {
                assert_eq!(isolate.get(&page, &[(name, value)]).text(), *value, "{name}");
                world.pass(300);
            }
        }
        let seen = isolate.get(&page, &[]);
        assert!(seen.text().is_empty() && seen.cache_status().contains("hit"), "{name}");
    }
}

/// A listed field is part of the key, whatever the origin's `Vary` says.
#[test]
fn a_listed_field_selects_by_itself() {
    let forward_headers = ForwardHeaders::Listed(vec!["hx-request".to_owned()]);
    let config = Config { defaults: Route { forward_headers, ..Route::default() }, ..config() };
    let world = World::new(&config);
    world.origin(|reached| {
        let body = if reached.fields.has("hx-request") { "PARTIAL" } else { "FULL" };
        Ok(Script::new(200, &[STORE], body))
    });
    let isolate = Isolate::new(&world, &config, "ams");
    for turn in 0..3 {
        for (fields, want) in [(&[("hx-request", "true")][..], "PARTIAL"), (&[], "FULL")] {
            let seen = isolate.get(&url("/f"), fields);
            assert_eq!(seen.text(), want);
            world.pass(300);
            assert_eq!(seen.cache_status().contains("hit;ttl"), turn > 0);
        }
    }
}

/// The figures of docs/decisions/0080: origin requests of three sites, each with ten visitors whose
/// browsers have a cookie that means nothing to the site.
#[test]
fn the_origin_requests_of_three_sites() {
    let shop = |reached: &Reached| match reached.target.starts_with("/my/") {
        true => Script::new(200, &[PRIVATE], "mine"),
        false => Script::new(200, &[STORE], "page"),
    };
    let visits = |paths: &[String], visitors: usize, fields: &[(&str, &str)]| {
        let (world, isolate) = site(shop);
        for visitor in 0..visitors {
            for path in paths {
                let cookie = format!("_ga={visitor}");
                let all: Vec<_> = fields.iter().copied().chain([("cookie", &*cookie)]).collect();
                ask(&world, &isolate, browser(path, &all));
                world.pass(50);
            }
        }
        origin_requests(&world)
    };
    let paths = |prefix: &str, many: usize| -> Vec<String> {
        (0..many).map(|number| format!("{prefix}{number}")).collect()
    };
    let blog = visits(&paths("/post/", 50), 10, &[]);
    assert_eq!(blog, 50);
    let half: Vec<String> = paths("/item/", 25).into_iter().chain(paths("/my/", 25)).collect();
    let shop = visits(&half, 10, &[]);
    assert_eq!(shop, 25 + 250 + 2);
    let api = visits(&paths("/my/item/", 500), 1, &[]);
    assert_eq!(api, 502);
    let api_with_key = visits(&paths("/my/item/", 500), 1, &[("x-api-key", "k")]);
    assert_eq!(api_with_key, 500);
}

/// A 304 that sets a cookie renews the page for all, without the cookie; that is for the visitor
/// whose request it answered. Whose own cookies or fields were left out of it gets the answer to
/// all of it: theirs may be another.
#[test]
fn a_cookie_of_a_304_is_for_the_one_who_asked() {
    let fresh = ("cache-control", "s-maxage=10");
    let (world, isolate) = site(move |reached| {
        let vary = format!("seen={}; Path=/", reached.fields.get("cookie").unwrap_or("new"));
        let fields = [fresh, ("etag", "\"1\""), ("set-cookie", vary.as_str())];
        match (reached.fields.has("if-none-match"), reached.fields.has("cookie")) {
            (true, _) => Script::new(304, &fields, ""),
            (false, true) => Script::new(200, &fields, "page"),
            (false, false) => Script::new(200, &fields[..2], "page"),
        }
    });
    for (field, requests, cookie) in [
        (("accept", "*/*"), 1, Some("seen=new; Path=/")),
        (("cookie", "_ga=1"), 2, Some("seen=_ga=1; Path=/")),
        (("x-api-key", "k"), 2, None),
    ] {
        let fields = &[field];
        isolate.get(&url("/page"), &[]);
        world.pass(11_000);
        world.spent();
        let seen = isolate.get(&url("/page"), fields);
        assert_eq!((seen.status, seen.text().as_str()), (200, "page"), "{fields:?}");
        assert_eq!(seen.fields.get("set-cookie"), cookie, "{fields:?}");
        assert_eq!(origin_requests(&world), requests, "{fields:?}");
        // It is renewed, and no cookie is stored with it.
        for other in [&isolate, &Isolate::new(&world, &config(), "ams")] {
            let seen = other.get(&url("/page"), &[]);
            assert!(seen.cache_status().contains("hit"), "{}", seen.cache_status());
            assert_eq!(seen.fields.get("set-cookie"), None);
        }
        world.pass(11_000);
    }
}

/// Those who wait for a 304 get the page, and nothing of the cookie.
#[test]
fn those_who_wait_for_a_304_get_none_of_its_cookie() {
    let (world, isolate) = site(move |reached| {
        let fields = [("cache-control", "s-maxage=10"), ("etag", "\"1\""), ("set-cookie", "a=b")];
        match reached.fields.has("if-none-match") {
            true => Script::new(304, &fields, "").after(300),
            false => Script::new(200, &fields[..2], "page"),
        }
    });
    isolate.get(&url("/page"), &[]);
    world.pass(11_000);
    let slots: Vec<_> = (0..4)
        .map(|_| {
            let (isolate, head) = (isolate.clone(), request("GET", &url("/page"), &[]));
            world.start(async move { isolate.ask(head).await })
        })
        .collect();
    world.pass(1_000);
    let answers: Vec<Seen> = slots.iter().map(|seen| seen.borrow_mut().take().unwrap()).collect();
    assert!(answers.iter().all(|seen| seen.text() == "page"));
    let with: Vec<bool> = answers.iter().map(|seen| seen.fields.has("set-cookie")).collect();
    assert_eq!(with, [true, false, false, false]);
}

/// That a range is not there is what the origin says to the whole request, too: the page of one who
/// is known may be longer. It takes no page out of the cache.
#[test]
fn a_range_that_is_not_there_is_asked_for_with_all_that_was_left_out() {
    let (world, isolate) = site(|reached| {
        let known = reached.fields.has("cookie");
        match (reached.fields.get("range"), known) {
            (Some(_), true) => Script::new(206, &[PRIVATE, ("content-range", "bytes 9-9/10")], "9"),
            (Some(_), false) => Script::new(416, &[PRIVATE, ("content-range", "bytes */5")], ""),
            (None, _) => Script::new(200, &[STORE], "01234"),
        }
    });
    let range = ("range", "bytes=9-");
    let seen = isolate.get(&url("/page"), &[range, ("cookie", "k=1")]);
    assert_eq!((seen.status, seen.text().as_str()), (206, "9"));
    assert_eq!(isolate.get(&url("/page"), &[range]).status, 416);
    world.pass(500);
    isolate.get(&url("/page"), &[]);
    world.pass(500);
    assert!(isolate.get(&url("/page"), &[]).cache_status().contains("hit"));
}
