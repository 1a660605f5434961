//! Ordinary load, counted: many readers at once, refreshes in the background, an origin that is
//! slow. Nobody is refused whom the origin alone would have served, and visitors come before what
//! nobody waits for.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::cell::{Cell, RefCell};
use std::future::Future as _;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use crate::world::{Isolate, Node, Reached, Script, Seen, World};
use edge_isr::base::time::Millis;
use edge_isr::cache::admission::page_of_url;
use edge_isr::cache::key::CacheKey;
use edge_isr::config::Config;
use edge_isr::engine::fill::in_flight::{InFlight, Probe};
use edge_isr::engine::fill::outcome::FillWork;
use edge_isr::engine::fill::shared::SharedFill;
use edge_isr::engine::port::Platform as _;
use edge_isr::journal::Mode;

const SITE: &str = "https://example.com";
const FRESH: (&str, &str) = ("cdn-cache-control", "max-age=300");
const SOON_STALE: (&str, &str) = ("cdn-cache-control", "max-age=1, stale-while-revalidate=3600");

fn config() -> Config {
    Config { new_keys_per_second: 100_000, ..Config::default() }
}

fn site(config: &Config, origin: impl Fn(&Reached) -> Script + 'static) -> (Rc<World>, Isolate) {
    let world = World::new(config);
    world.origin(move |reached| Ok(origin(reached)));
    let isolate = Isolate::new(&world, config, "ams");
    (world, isolate)
}

/// A request that begins now; its answer comes into the slot.
fn start(isolate: &Isolate, path: &str, fields: &[(&str, &str)]) -> Rc<RefCell<Option<Seen>>> {
    let (asks, head) =
        (isolate.clone(), crate::world::request("GET", &format!("{SITE}{path}"), fields));
    isolate.world.start(async move { asks.ask(head).await })
}

fn statuses(answers: &[Rc<RefCell<Option<Seen>>>]) -> Vec<u16> {
    answers.iter().map(|seen| seen.borrow().as_ref().map_or(0, |seen| seen.status)).collect()
}

fn metric(isolate: &Isolate, name: &str) -> u64 {
    let text = isolate.operate("GET", "/metrics?isolate", "").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().parse().expect("a number")
}

/// Twice as many readers as may ask the origin at once, each on a page that nobody has: the others
/// wait for their turn.
#[test]
fn readers_of_cold_pages_wait_for_their_turn() {
    let (world, isolate) = site(&config(), |_| Script::new(200, &[FRESH], "x").after(500));
    let slots: Vec<_> = (0..200).map(|n| start(&isolate, &format!("/{n}"), &[])).collect();
    world.pass(2_000);
    assert_eq!(statuses(&slots), vec![200; 200]);
    assert_eq!(world.most_at_origin.get(), 100);
    assert_eq!(metric(&isolate, "edge_isr_origin_limited_total{work=\"waited\"}"), 100);
    assert_eq!(metric(&isolate, "edge_isr_origin_errors_total{kind=\"busy\"}"), 0);
}

#[test]
fn logged_in_readers_wait_for_their_turn_in_the_order_in_which_they_came() {
    let config = Config { origin_concurrency: 2, ..config() };
    let served = Rc::new(RefCell::new(Vec::new()));
    let order = Rc::clone(&served);
    let (world, isolate) = site(&config, move |reached| {
        order.borrow_mut().push(reached.target.clone());
        Script::new(200, &[("cache-control", "private")], "x").after(500)
    });
    let cookie = ("cookie", "sessionid=1");
    let mut slots = Vec::new();
    for n in 0..20 {
        slots.push(start(&isolate, &format!("/{n}"), &[cookie]));
        world.pass(10);
    }
    world.pass(6_000);
    assert_eq!(statuses(&slots), vec![200; 20]);
    let came: Vec<String> = (0..20).map(|n| format!("/{n}")).collect();
    assert_eq!(*served.borrow(), came);
    assert_eq!(world.most_at_origin.get(), 2);
}

/// A request that begins now, and whose visitor leaves when a test says so.
fn visit(
    isolate: &Isolate,
    path: &str,
    fields: &[(&str, &str)],
) -> (Rc<RefCell<Option<Seen>>>, Rc<Node>) {
    let (node, asks) = (isolate.node(), isolate.clone());
    let head = crate::world::request("GET", &format!("{SITE}{path}"), fields);
    let of = Rc::clone(&node);
    (isolate.world.start(async move { asks.ask_as(&of, head, None).await }), node)
}

/// Who leaves gives their place in the queue up, be it for a page or for what can't be stored: a
/// thousand that come and go take nothing of who stays.
#[test]
fn who_leaves_gives_their_place_up() {
    for cookie in [&[][..], &[("cookie", "sessionid=1")], &[("range", "bytes=0-1")]] {
        let config = Config { origin_concurrency: 1, ..config() };
        let (world, isolate) = site(&config, |_| Script::new(200, &[FRESH], "xx").after(1_000));
        let first = start(&isolate, "/first", &[]);
        world.pass(10);
        let gone: Vec<_> = (0..1_000).map(|n| visit(&isolate, &format!("/{n}"), cookie)).collect();
        world.pass(100);
        gone.iter().for_each(|(_, node)| node.left.set(true));
        world.pass(100);
        let stays = start(&isolate, "/stays", &[("cookie", "sessionid=2")]);
        world.pass(2_500);
        assert_eq!(statuses(&[first, stays]), [200, 200], "{cookie:?}");
        assert_eq!(world.spent()["origin"], 2, "{cookie:?}");
        assert_eq!(metric(&isolate, "edge_isr_origin_limited_total{work=\"left\"}"), 1_000);
        assert_eq!(metric(&isolate, "edge_isr_origin_errors_total{kind=\"busy\"}"), 0);
    }
}

/// A fetch that others wait for stays in its place though who began it has left; once all of them
/// have, it goes. Who comes then begins another.
#[test]
fn a_fetch_that_others_wait_for_keeps_its_place() {
    let config = Config { origin_concurrency: 1, ..config() };
    let (world, isolate) = site(&config, |_| Script::new(200, &[FRESH], "x").after(4_000));
    start(&isolate, "/first", &[]);
    world.pass(10);
    let (_, leads) = visit(&isolate, "/page", &[]);
    world.pass(10);
    let (follows, stays) = visit(&isolate, "/page", &[]);
    let (_, other) = visit(&isolate, "/other", &[]);
    let (_, follows_other) = visit(&isolate, "/other", &[]);
    world.pass(100);
    for node in [&leads, &other, &follows_other] {
        node.left.set(true);
    }
    world.pass(3_000);
    let later = start(&isolate, "/other", &[]);
    world.pass(9_500);
    assert_eq!(statuses(&[follows, later]), [200, 200]);
    assert!(!stays.left.get());
    assert_eq!(world.spent()["origin"], 3, "/first, /page, /other");
}

/// One who asks oddly for a page that nobody has, and leaves while they wait for their turn: those
/// who wait for what that tells are one fetch.
#[test]
fn those_who_waited_for_one_who_left_are_one_fetch() {
    let config = Config { origin_concurrency: 1, ..config() };
    let (world, isolate) = site(&config, |_| Script::new(200, &[FRESH], "x").after(2_000));
    start(&isolate, "/first", &[]);
    world.pass(10);
    let (_, leads) = visit(&isolate, "/page", &[("x-odd", "1")]);
    world.pass(10);
    let all: Vec<_> = (0..50).map(|_| start(&isolate, "/page", &[])).collect();
    world.pass(100);
    leads.left.set(true);
    world.pass(10_000);
    assert_eq!(statuses(&all), [200; 50]);
    assert_eq!(world.spent()["origin"], 2, "/first, /page");
}

/// The same where the runtime ended their request without a word.
#[test]
fn those_who_waited_for_one_who_was_ended_are_one_fetch() {
    let (world, isolate) = site(&config(), |_| Script::new(200, &[FRESH], "x").after(100));
    let page = page_of_url(&format!("{SITE}/page"), &config()).unwrap();
    let listed = InFlight::Probe(Probe::begin(world.now()));
    let key = CacheKey::new(&page, []);
    isolate.engine.isolate().borrow_mut().in_flight.insert(key, listed);
    let all: Vec<_> = (0..50).map(|_| start(&isolate, "/page", &[])).collect();
    world.pass(5_000);
    assert_eq!(statuses(&all), [200; 50]);
    assert_eq!(world.spent()["origin"], 1);
}

/// Who leads for long, and runs, is waited for.
#[test]
fn those_who_wait_for_one_who_leads_wait_as_long_as_they_run() {
    let (world, isolate) = site(&config(), |reached| {
        let odd = reached.fields.has("x-odd");
        Script::new(200, &[("cache-control", "private")], "x").after(if odd { 9_000 } else { 1 })
    });
    visit(&isolate, "/page", &[("x-odd", "1")]);
    world.pass(10);
    let waits = start(&isolate, "/page", &[]);
    world.pass(8_000);
    assert_eq!(world.spent()["origin"], 1);
    world.pass(3_000);
    assert_eq!(statuses(&[waits]), [200]);
}

/// A visitor waits as long as the origin may take; and no more than a thousand wait at once.
#[test]
fn who_waited_as_long_as_the_origin_may_take_is_refused_and_so_is_who_finds_no_place() {
    let origin_timeout = Millis(2_000);
    let config = Config { origin_concurrency: 1, origin_timeout, ..config() };
    let (world, isolate) = site(&config, |_| Script::new(200, &[FRESH], "x").after(1_900));
    let cookie = ("cookie", "sessionid=1");
    let slots: Vec<_> = (0..1_003).map(|n| start(&isolate, &format!("/{n}"), &[cookie])).collect();
    world.pass(100);
    assert_eq!(statuses(&slots)[1_000..], [0, 503, 503], "a thousand, beside one at the origin");
    world.pass(1_870);
    assert_eq!(statuses(&slots)[..2], [200, 0]);
    world.pass(150);
    assert_eq!(statuses(&slots)[2..1_001], [503; 999]);
    let refused = slots[2].take().expect("answered");
    assert!(refused.cache_status().contains("detail=origin-busy"), "{}", refused.cache_status());
    world.pass(2_000);
    assert_eq!(statuses(&slots)[1], 200);
}

/// Requests with large heads that wait share a budget: what is beyond is refused, and who has an
/// ordinary head is not.
#[test]
fn large_heads_that_wait_share_a_budget() {
    let config = Config { origin_concurrency: 1, ..config() };
    let (world, isolate) = site(&config, |_| Script::new(200, &[FRESH], "x").after(10));
    let long = "x".repeat(20_000);
    let large = [("cookie", "sessionid=1"), ("x-long", long.as_str())];
    let before: Vec<_> = (0..400).map(|n| start(&isolate, &format!("/{n}"), &large)).collect();
    let ordinary: Vec<_> = (0..100)
        .map(|n| start(&isolate, &format!("/own/{n}"), &[("cookie", "sessionid=1")]))
        .collect();
    world.pass(15_000);
    let refused = statuses(&before).iter().filter(|status| **status == 503).count();
    assert!((180..220).contains(&refused), "{refused} of 400");
    assert_eq!(statuses(&ordinary), vec![200; 100]);
}

/// A permit is for the origin's time: a shard that is slow holds none.
#[test]
fn what_waits_for_a_shard_or_stores_holds_no_permit() {
    let config = Config { origin_concurrency: 2, ..config() };
    let (world, isolate) = site(&config, |_| Script::new(200, &[FRESH], "x").after(50));
    isolate.get(&format!("{SITE}/warm-up"), &[]);
    world.shard_millis.set(4_000);
    let cold: Vec<_> = (0..20).map(|n| start(&isolate, &format!("/{n}"), &[])).collect();
    world.pass(100);
    let reader = start(&isolate, "/own", &[("cookie", "sessionid=1")]);
    world.pass(100);
    assert_eq!(statuses(&[reader]), [200]);
    world.pass(6_000);
    assert_eq!(statuses(&cold), vec![200; 20]);
}

/// Hundreds of stale pages at once: a share of the limit refreshes, the others are left to the
/// shards' queues, and visitors' own requests go first.
#[test]
fn refreshes_have_a_share_and_give_way_to_visitors() {
    let config = Config { origin_concurrency: 8, ..config() };
    let slow = Rc::new(Cell::new(5));
    let delay = Rc::clone(&slow);
    let (world, isolate) = site(&config, move |reached| {
        let answer =
            if reached.fields.has("cookie") { ("cache-control", "private") } else { SOON_STALE };
        Script::new(200, &[answer], "x").after(delay.get())
    });
    // The first visit of an untagged page is not in the index: the second is.
    for round in 0..3 {
        for n in 0..60 {
            isolate.get(&format!("{SITE}/{n}?{round}"), &[]);
            isolate.get(&format!("{SITE}/{n}"), &[]);
        }
        world.pass(3_000);
    }
    slow.set(1_000);
    world.reached.borrow_mut().clear();
    world.most_at_origin.set(0);
    let stale: Vec<_> = (0..60).map(|n| start(&isolate, &format!("/{n}"), &[])).collect();
    world.pass(100);
    assert_eq!(statuses(&stale), vec![200; 60], "they are answered at once");
    assert_eq!(world.most_at_origin.get(), 2, "a quarter of the limit");
    let others: Vec<_> = (0..6)
        .map(|n| start(&isolate, &format!("/own{n}"), &[("cookie", "sessionid=1")]))
        .collect();
    world.pass(1_100);
    assert_eq!(statuses(&others), [200; 6], "there is room for visitors");
    let queued = metric(&isolate, "edge_isr_origin_limited_total{work=\"refresh-queued\"}");
    let put_off = metric(&isolate, "edge_isr_origin_limited_total{work=\"refresh-put-off\"}");
    assert!(queued > 0 && queued + put_off == 58, "{queued} queued, {put_off} put off");
    // What was queued is refreshed without a visitor.
    slow.set(5);
    let before = world.reached.borrow().len() as u64;
    for _ in 0..10 {
        world.alarms();
        world.pass(1_000);
    }
    assert_eq!(world.reached.borrow().len() as u64 - before, queued);
}

/// The mild mix that made errors: stale hits at random beside logged-in readers.
#[test]
fn a_mix_of_stale_hits_and_readers_makes_no_error() {
    let config = Config { origin_concurrency: 10, ..config() };
    let (world, isolate) = site(&config, |reached| {
        let answer =
            if reached.fields.has("cookie") { ("cache-control", "private") } else { SOON_STALE };
        Script::new(200, &[answer], "x").after(30)
    });
    let mut random = 88_172_645_463_325_252_u64;
    let mut answers = Vec::new();
    for _ in 0..3_000 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let fields: &[(&str, &str)] =
            if random.is_multiple_of(10) { &[("cookie", "sessionid=1")] } else { &[] };
        answers.push(start(&isolate, &format!("/{}", random % 300), fields));
        world.pass(1);
    }
    world.pass(3_000);
    let others: Vec<_> = answers
        .iter()
        .filter(|seen| seen.borrow().as_ref().is_none_or(|s| s.status != 200))
        .collect();
    assert!(others.is_empty(), "{} of 3,000: {:?}", others.len(), others[0].borrow());
    assert!(world.most_at_origin.get() <= 10);
}

/// Who is refused gets what is stored, stale or not; but not what was invalidated hard, nor what
/// may not be stale.
#[test]
fn who_is_refused_gets_a_stored_page() {
    let origin_timeout = Millis(2_000);
    let config = Config { origin_concurrency: 1, origin_timeout, ..config() };
    let (world, isolate) = site(&config, |reached| {
        let answer = match reached.target.as_str() {
            "/plain" => "max-age=60",
            "/strict" => "max-age=60, must-revalidate",
            "/purged" => "max-age=600, stale-if-error=600",
            _ => return Script::new(200, &[("cache-control", "private")], "x").after(60_000),
        };
        Script::new(
            200,
            &[("cdn-cache-control", answer), ("etag", "\"1\""), ("cache-tag", "a")],
            "x",
        )
    });
    for path in ["/plain", "/strict", "/purged"] {
        isolate.get(&format!("{SITE}{path}"), &[]);
    }
    world.pass(120_000);
    world.origin(|_| Ok(Script::new(200, &[("cache-control", "private")], "x").after(1_999)));
    let busy = || {
        for n in 0..1_001 {
            start(&isolate, &format!("/own{n}"), &[("cookie", "sessionid=1")]);
        }
        world.pass(100);
    };
    busy();
    let plain = isolate.get(&format!("{SITE}/plain"), &[]);
    assert_eq!(plain.status, 200);
    assert!(plain.cache_status().contains("detail=origin-busy"), "{}", plain.cache_status());
    assert_eq!(isolate.get(&format!("{SITE}/strict"), &[]).status, 503);
    world.invalidate("a", Mode::Hard);
    world.pass(2_500);
    busy();
    assert_eq!(isolate.get(&format!("{SITE}/plain"), &[]).status, 503);
    assert_eq!(isolate.get(&format!("{SITE}/purged"), &[]).status, 503);
}

/// A visitor who waited long for a permit still holds the lease: it lasts anew from then.
#[test]
fn a_lease_outlasts_the_wait_for_a_permit() {
    let config = Config { origin_concurrency: 1, ..config() };
    let (world, isolate) = site(&config, |reached| {
        let busy = reached.target.contains("own");
        let fields = [FRESH, ("cache-tag", "a")];
        Script::new(200, &fields, "x").after(if busy { 18_000 } else { 15_000 })
    });
    isolate.get(&format!("{SITE}/other"), &[]);
    let other = Isolate::new(&world, &config, "fra");
    let others = start(&isolate, "/own", &[("cookie", "sessionid=1")]);
    world.pass(10);
    world.reached.borrow_mut().clear();
    let waits = start(&isolate, "/page", &[]);
    world.pass(26_000);
    let elsewhere = start(&other, "/page", &[]);
    world.pass(9_000);
    assert_eq!(statuses(&[others, waits, elsewhere]), [200, 200, 200]);
    let count = world.reached.borrow().iter().filter(|r| r.target == "/page").count();
    assert_eq!(count, 1, "one refresh in the world");
}

/// Those who wait for another's fetch, or for news of the journal, look the rarer the longer it
/// takes: they do not take the time from the isolate for which they wait.
#[test]
fn who_waits_long_looks_rarely() {
    let (world, isolate) = site(&config(), |_| Script::new(200, &[FRESH], "x").after(10_000));
    let slots: Vec<_> = (0..200).map(|_| start(&isolate, "/one", &[])).collect();
    world.pass(9_900);
    assert_eq!(statuses(&slots), vec![0; 200]);
    world.pass(200);
    assert_eq!(statuses(&slots), vec![200; 200]);
    assert!(world.sleeps.get() < 200 * 260, "{} looks of 200", world.sleeps.get());
    assert_eq!(world.spent()["origin"], 1);
}

/// A task that is polled for something else meanwhile is woken once, and leaves nothing behind each
/// time.
#[test]
fn a_task_that_waits_for_its_own_fill_is_woken_once() {
    struct Woken;
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {}
    }
    let (_, isolate) = site(&config(), |_| Script::new(200, &[FRESH], "x"));
    let (platform, woken) = (isolate.node(), Arc::new(Woken));
    let page = page_of_url("https://example.com/page", &config()).unwrap();
    let fill = SharedFill::begin(FillWork::Fetch, &page, platform.now());
    let waker = Waker::from(Arc::clone(&woken));
    let mut waits = pin!(fill.wait_outcome(&*platform, true, Millis(60_000)));
    for _ in 0..1_000 {
        assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(Arc::strong_count(&woken), 3, "this one's, its waker's, and one that the fill has");
}
