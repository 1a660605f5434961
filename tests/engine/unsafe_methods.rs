//! Unsafe methods of visitors (RFC 9111 §4.4): what they invalidate, how, and what a stranger can
//! make them cost.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::world::{Isolate, Node, Reached, Script, Seen, World, request};
use edge_isr::config::{Config, Route};
use edge_isr::engine::port::{OriginError, Platform as _};
use edge_isr::front_caches::parse_config;
use edge_isr::http::RequestHead;
use edge_isr::journal::{JournalCall, JournalReply};

const PAGE: &str = "https://example.com/post/1/";
const FRESH: &str = "max-age=300, stale-while-revalidate=3600, stale-if-error=86400";

fn config() -> Config {
    parse_config(
        r#"{"shards": 8, "new_keys_per_second": 10000, "host_aliases": {"www.example.com": "example.com"},
            "front_caches": [{"name": "front", "provider": "cloudfront", "distribution": "E1"}]}"#,
    )
    .unwrap()
}

/// What unsafe methods are answered with.
type Said = Rc<RefCell<(u16, Vec<(String, String)>)>>;

struct Site {
    world: Rc<World>,
    ams: Isolate,
    down: Rc<Cell<bool>>,
    answer: Said,
}

fn site() -> Site {
    site_of(&config())
}

fn site_of(config: &Config) -> Site {
    let world = World::new(config);
    let (renders, down) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let answer: Said = Rc::new(RefCell::new((200, Vec::new())));
    let (broken, said) = (Rc::clone(&down), Rc::clone(&answer));
    world.origin(move |reached: &Reached| {
        if broken.get() {
            return Err(OriginError::Unreachable);
        }
        if reached.method != "GET" {
            let (status, fields) = &*said.borrow();
            let fields: Vec<(&str, &str)> =
                fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            return Ok(Script::new(*status, &fields, "done"));
        }
        renders.set(renders.get() + 1);
        Ok(Script::new(200, &[("cache-control", FRESH)], &format!("render {}", renders.get())))
    });
    *world.front_cache.borrow_mut() = Box::new(|_| Ok((201, &[])));
    *world.front_cache_body.borrow_mut() = Box::new(|_| {
        "<Invalidation><Id>I1</Id><Status>Completed</Status></Invalidation>".to_owned()
    });
    let ams = Isolate::new(&world, config, "ams");
    Site { world, ams, down, answer }
}

impl Site {
    fn says(&self, status: u16, fields: &[(&str, &str)]) {
        let fields = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        *self.answer.borrow_mut() = (status, fields);
    }

    fn head(&self) -> u64 {
        let node = Rc::new(Node::new(&self.world, "ams"));
        match self.world.run(async move { node.journal(JournalCall::Status).await.unwrap() }) {
            JournalReply::Status(status) => status.head.0,
            other => panic!("{other:?}"),
        }
    }

    fn from(&self, client: &str, method: &str, url: &str) -> Seen {
        let mut head: RequestHead = request(method, url, &[]);
        head.client = Some(client.to_owned());
        let secrets = edge_isr::control::Secrets::parse("", "").unwrap();
        self.ams.take(head, "", &secrets)
    }
}

#[test]
fn a_redirect_that_corrects_the_address_invalidates_nothing() {
    let rows = [
        ("https://example.com/post/1", 301, "/post/1/"),
        ("https://example.com/post/1", 308, "https://example.com/post/1/"),
        ("https://example.com/post/1/", 302, "/post/1"),
        ("http://example.com/post/1/", 301, "https://example.com/post/1/"),
        ("https://www.example.com/post/1/", 301, PAGE),
        ("https://example.com/post/1/", 301, "https://www.example.com/post/1/"),
        ("https://example.com/post/%31/", 307, "/post/1/"),
        ("https://example.com:80/post/1/", 301, PAGE),
        // Another name of the host that is no alias: PREPEND_WWW, SECURE_SSL_HOST.
        ("https://example.com/post/1/", 301, "https://m.example.com/post/1/"),
        ("https://example.com/post/1/", 302, "https://example.com:8443/post/1/"),
        ("https://example.com//post/1/", 302, "/post/1/"),
        ("https://example.com/post//1", 301, "/post/1/"),
        ("https://example.com/post/1/?utm_source=x", 301, "/post/1/"),
        ("https://example.com/post/1?a=1", 301, "/post/1/?a=1"),
        // What the request was for is elsewhere.
        ("https://example.com/Post/1/", 301, "/post/1/"),
        ("https://example.com/p/1", 307, "/post/1/"),
        ("https://example.com/post/1/index.html", 308, "/post/1/"),
        // LocaleMiddleware.
        ("https://example.com/1/", 302, "/de/1/"),
        ("https://example.com/", 302, "/pt-br/"),
        ("https://example.com/post/1/", 304, "/post/1/"),
    ];
    for (url, status, location) in rows {
        let site = site();
        site.ams.get(PAGE, &[]);
        for language in ["https://example.com/de/1/", "https://example.com/pt-br/"] {
            site.ams.get(language, &[]);
        }
        site.world.pass(100);
        site.says(status, &[("location", location), ("vary", "Cookie, Accept-Language")]);
        assert_eq!(site.from("192.0.2.1", "POST", url).status, status);
        site.world.pass(3_000);
        assert_eq!(site.head(), 0, "{url} {location}");
        let after = site.ams.get(PAGE, &[]);
        assert!(after.cache_status().contains("hit") && after.text() == "render 1", "{url}");
    }
}

/// What was done is done: the address that was asked for, and where it can be seen.
#[test]
fn a_redirect_after_a_change_invalidates_both() {
    let rows = [
        ("https://example.com/post/1/edit/", 302, "/post/1/"),
        ("https://example.com/post/1/edit/", 303, "/post/%31/#comment-7"),
        ("https://example.com/post/1/edit/", 201, "/post/1/"),
        ("https://example.com/post/1/", 302, "/post/1/"),
        ("https://example.com/post/1/", 307, "/elsewhere/"),
        ("https://example.com/de/", 302, "/de/post/"),
        ("https://example.com/post/%31/", 303, "/de/"),
    ];
    for (url, status, location) in rows {
        let site = site();
        site.ams.get(PAGE, &[]);
        site.ams.get("https://example.com/de/", &[]);
        site.world.pass(100);
        site.says(status, &[("location", location), ("vary", "Accept-Language")]);
        site.from("192.0.2.1", "POST", url);
        site.world.pass(3_000);
        assert_eq!(site.head(), 1, "{url} {status} {location}");
    }
}

#[test]
fn a_safe_method_changes_nothing() {
    let safe = ["OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY"];
    let others = ["POST", "PUT", "PATCH", "DELETE", "MKCOL", "PROPPATCH", "LOCK", "UNKNOWN"];
    for (method, epochs) in safe.map(|method| (method, 0)).into_iter().chain(others.map(|m| (m, 1)))
    {
        let site = site();
        site.ams.get(PAGE, &[]);
        site.world.pass(100);
        site.from("192.0.2.1", method, PAGE);
        site.world.pass(3_000);
        assert_eq!(site.head(), epochs, "{method}");
    }
}

#[test]
fn others_get_the_old_page_meanwhile_and_who_posted_the_new_one() {
    for (status, location) in [(200, None), (303, Some(PAGE)), (302, Some("/elsewhere/"))] {
        let site = site();
        site.ams.get(PAGE, &[]);
        site.world.pass(100);
        let fields: Vec<(&str, &str)> = location.map(|l| ("location", l)).into_iter().collect();
        site.says(status, &fields);
        site.from("192.0.2.1", "POST", PAGE);
        let other = site.from("192.0.2.2", "GET", PAGE);
        assert_eq!(other.text(), "render 1", "soft: {status}");
        let theirs = site.from("192.0.2.1", "GET", PAGE);
        assert_ne!(theirs.text(), "render 1", "their own change: {status}");
        site.world.pass(2_100);
        assert_ne!(site.from("192.0.2.2", "GET", PAGE).text(), "render 1");
        assert!(site.from("192.0.2.1", "GET", PAGE).cache_status().contains("hit"));
    }
}

#[test]
fn a_post_of_anyone_does_not_end_what_a_page_has_for_an_origin_that_is_down() {
    let site = site();
    site.ams.get(PAGE, &[]);
    site.world.pass(100);
    site.from("192.0.2.1", "POST", PAGE);
    site.down.set(true);
    site.world.pass(2_100);
    for client in ["192.0.2.1", "192.0.2.2"] {
        let seen = site.from(client, "GET", PAGE);
        assert_eq!((seen.status, seen.text().as_str()), (200, "render 1"), "{client}");
    }
}

#[test]
fn the_origin_says_otherwise() {
    for (said, hit, stale) in
        [("invalidate=hard", false, false), ("invalidate=none", true, true), ("", false, true)]
    {
        let site = site();
        site.ams.get(PAGE, &[]);
        site.world.pass(100);
        site.says(200, &[("x-edge-isr", said)]);
        let seen = site.from("192.0.2.1", "POST", PAGE);
        assert!(!seen.fields.has("x-edge-isr"));
        let other = site.from("192.0.2.2", "GET", PAGE);
        assert_eq!(other.text() == "render 1", stale, "{said}");
        assert_eq!(site.head() == 0, hit, "{said}");
    }
}

#[test]
fn pages_that_nobody_stored_cost_no_epoch_and_no_delivery() {
    let site = site();
    site.ams.get(PAGE, &[]);
    site.world.pass(100);
    site.says(200, &[("cache-control", "no-store")]);
    site.world.spent();
    for n in 0..100 {
        site.from("192.0.2.1", "POST", &format!("https://example.com/login/?next={n}"));
    }
    for _ in 0..70 {
        site.world.pass(1_000);
        site.world.alarms();
    }
    let spent = site.world.spent();
    assert_eq!(site.head(), 0);
    assert!(site.world.front_cache_requests.borrow().is_empty(), "no front cache is purged");
    let shards = spent.get("shard").copied().unwrap_or_default();
    assert!(shards <= 110, "{shards} object requests");
}

#[test]
fn a_stored_page_is_invalidated_once_a_second_however_many_post_to_it() {
    let site = site();
    site.ams.get(PAGE, &[]);
    site.world.pass(100);
    let began = site.world.now();
    for n in 0..200 {
        site.from(&format!("192.0.2.{}", n % 100), "POST", PAGE);
        site.world.pass(20);
        site.world.alarms();
    }
    let seconds = site.world.now().since(began).0 / 1_000;
    site.world.pass(1_500);
    let head = site.head();
    assert!((2..=seconds + 2).contains(&head), "{head} epochs in {seconds} s");
    // The last change is in one of them: nothing is left out, only put together.
    let fra = Isolate::new(&site.world, &config(), "fra");
    let before = fra.get(PAGE, &[]).text();
    site.world.pass(5_000);
    site.from("192.0.2.1", "POST", PAGE);
    site.from("192.0.2.2", "POST", PAGE);
    site.world.pass(4_000);
    fra.get(PAGE, &[]);
    site.world.pass(1_000);
    assert_ne!(fra.get(PAGE, &[]).text(), before);
    // Caches in front of the edge hear of it once a minute.
    for _ in 0..130 {
        site.world.pass(1_000);
        site.world.alarms();
    }
    let front_cache_requests = site.world.front_cache_requests.borrow();
    let sent = front_cache_requests.iter().filter(|request| request.method == "POST").count();
    assert!((1..=2).contains(&sent), "{sent} calls");
    let whole = |body: &[u8]| String::from_utf8_lossy(body).contains("<Path>/*</Path>");
    assert!(front_cache_requests.iter().all(|request| !whole(&request.body)));
}

#[test]
fn who_posted_sees_the_change_though_it_waits_to_go_with_others() {
    let site = site();
    site.ams.get(PAGE, &[]);
    site.world.pass(100);
    for n in 1..=20 {
        let client = format!("192.0.2.{n}");
        let before = site.from(&client, "GET", PAGE).text();
        site.from(&client, "POST", PAGE);
        let after = site.from(&client, "GET", PAGE).text();
        assert_ne!(after, before, "{n}");
        site.world.pass(30);
    }
}

#[test]
fn a_journal_that_hangs_does_not_hold_a_post_up() {
    let site = site();
    site.ams.get(PAGE, &[]);
    site.world.pass(100);
    site.world.shard_millis.set(5_000);
    let began = site.world.now();
    assert_eq!(site.from("192.0.2.1", "POST", PAGE).status, 200);
    let took = site.world.now().since(began).0;
    assert!(took <= 400, "{took} ms");
}

#[test]
fn a_page_that_another_colo_stored_is_invalidated_there() {
    let site = site();
    let fra = Isolate::new(&site.world, &config(), "fra");
    fra.get(PAGE, &[]);
    site.world.pass(100);
    site.from("192.0.2.1", "POST", "http://www.example.com/post/1/");
    site.world.pass(2_500);
    fra.get(PAGE, &[]);
    site.world.pass(500);
    assert_eq!(fra.get(PAGE, &[]).text(), "render 2");
    assert!(Route::default().unsafe_invalidates);
}

/// What is in a page's key beside its address is another's than who posts: the page is stored all
/// the same.
#[test]
fn a_page_is_invalidated_whatever_its_key_is_made_of() {
    for (route, field) in [
        (r#""key_cookies": ["currency"]"#, ("cookie", "currency=eur")),
        (r#""vary_on": ["device"]"#, ("user-agent", "A Mobile One")),
        (r#""forward_headers": ["x-tenant"]"#, ("x-tenant", "north")),
    ] {
        let config = format!(r#"{{"routes": [{{"path": "/post/*", {route}}}]}}"#);
        let config = parse_config(&config).unwrap();
        let site = site_of(&config);
        let fra = Isolate::new(&site.world, &config, "fra");
        let seen = || fra.get(PAGE, &[field]);
        assert_eq!(seen().text(), "render 1", "{route}");
        site.world.pass(100);
        assert!(seen().cache_status().contains("hit"), "{route}: {}", seen().cache_status());
        site.from("192.0.2.1", "POST", PAGE);
        site.world.pass(2_500);
        seen();
        site.world.pass(500);
        assert_eq!(seen().text(), "render 2", "{route}");
    }
}

/// Settings under which pages of one address have keys of several kinds, and a field that selects
/// one of them.
const KEYS_OF_MORE: [(&str, (&str, &str)); 5] = [
    (r#""routes": [{"path": "/post/*", "key_cookies": ["currency"]}]"#, ("cookie", "currency=eur")),
    (r#""routes": [{"path": "/post/*", "vary_on": ["device"]}]"#, ("user-agent", "A Mobile One")),
    (r#""routes": [{"path": "/post/*", "forward_headers": ["x-tenant"]}]"#, ("x-tenant", "north")),
    // What other CDNs say is in the key of every page.
    (r#""max_lag": 2"#, ("cdn-loop", "fastly")),
    // Many addresses.
    (
        r#""host_aliases": {"a.example": "example.com", "b.example": "example.com",
            "c.example": "example.com", "d.example": "example.com", "e.example": "example.com",
            "f.example": "example.com", "g.example": "example.com", "h.example": "example.com"}"#,
        ("accept", "text/html"),
    ),
];

fn site_with(settings: &str) -> (Site, Config) {
    let config = parse_config(&format!("{{\"shards\": 8, {settings}}}")).unwrap();
    (site_of(&config), config)
}

/// Nobody stored what is posted to: whatever a key of its page could have, that costs no epoch, and
/// one question a second to each shard.
#[test]
fn pages_that_nobody_stored_cost_no_epoch_whatever_is_in_their_keys() {
    for (settings, (name, value)) in KEYS_OF_MORE {
        let (site, _) = site_with(settings);
        site.ams.get(PAGE, &[(name, value)]);
        site.world.pass(2_000);
        site.world.spent();
        let began = site.world.now();
        for n in 0..100 {
            let url = format!("https://example.com/post/login/?next={n}");
            site.ams.take(
                request("POST", &url, &[(name, value)]),
                "",
                &edge_isr::control::Secrets::parse("", "").unwrap(),
            );
            site.world.pass(20);
        }
        site.world.pass(3_000);
        assert_eq!(site.head(), 0, "{settings}");
        let seconds = site.world.now().since(began).0 / 1_000;
        let shards = site.world.spent().get("shard").copied().unwrap_or_default();
        assert!(shards <= 8 * (seconds + 1), "{settings}: {shards} questions in {seconds} s");
    }
}

/// What is stored of it is found all the same: in another colo, be it known to its shard or asked
/// for once, and in this isolate alone.
#[test]
fn pages_are_found_whatever_is_in_their_keys() {
    for (settings, field) in KEYS_OF_MORE {
        for (fetches, new_keys) in [(1, 10_000), (2, 10_000), (1, 0)] {
            let settings = format!("{settings}, \"new_keys_per_second\": {new_keys}");
            let (site, config) = site_with(&settings);
            let fra = Isolate::new(&site.world, &config, "fra");
            // What no shard knows of is known where it was fetched.
            let (stores, posts) = if new_keys > 0 { (&fra, &site.ams) } else { (&fra, &fra) };
            for _ in 0..fetches {
                assert_eq!(stores.get(PAGE, &[field]).text(), "render 1", "{settings}");
                site.world.pass(100);
            }
            let fields: &[(&str, &str)] = if field.0 == "cdn-loop" { &[field] } else { &[] };
            posts.take(
                request("POST", PAGE, fields),
                "",
                &edge_isr::control::Secrets::parse("", "").unwrap(),
            );
            site.world.pass(2_500);
            assert_eq!(site.head(), 1, "{settings}, fetched {fetches} times");
            stores.get(PAGE, &[field]);
            site.world.pass(500);
            assert_eq!(stores.get(PAGE, &[field]).text(), "render 2", "{settings}");
        }
    }
}

/// What is being fetched will be stored, as of before the change.
#[test]
fn a_fetch_under_way_is_found_whatever_is_in_its_key() {
    for (settings, field) in KEYS_OF_MORE {
        let (site, _) = site_with(&format!("{settings}, \"new_keys_per_second\": 0"));
        site.world.origin(|reached: &Reached| {
            if reached.method != "GET" {
                return Ok(Script::new(200, &[], "done"));
            }
            Ok(Script::new(200, &[("cache-control", FRESH)], "old").after(1_500))
        });
        let asks = site.ams.clone();
        site.world.start(async move { asks.ask(request("GET", PAGE, &[field])).await });
        site.world.pass(500);
        let fields: &[(&str, &str)] = if field.0 == "cdn-loop" { &[field] } else { &[] };
        site.ams.take(
            request("POST", PAGE, fields),
            "",
            &edge_isr::control::Secrets::parse("", "").unwrap(),
        );
        assert_eq!(site.head(), 1, "{settings}");
    }
}

/// One who posts to the same address in the same second, and says that other CDNs sent them, does
/// not keep a visitor's change from what is stored.
#[test]
fn what_one_says_of_other_cdns_hides_nothing_of_what_another_changed() {
    let site = site();
    let (ours, theirs) = ([("cdn-loop", "fastly")], [("cdn-loop", "fastly, evil")]);
    let fra = Isolate::new(&site.world, &config(), "fra");
    fra.get(PAGE, &ours);
    site.world.pass(100);
    let post = |url: &str, fields: &[(&str, &str)]| {
        site.ams.take(
            request("POST", url, fields),
            "",
            &edge_isr::control::Secrets::parse("", "").unwrap(),
        )
    };
    // From here on what comes is gathered.
    post("https://example.com/other", &[]);
    for fields in [&[][..], &theirs[..], &ours[..]] {
        post(PAGE, fields);
    }
    site.world.pass(2_500);
    assert_eq!(site.head(), 1);
}

/// Another isolate of the colo has fetched the page since an earlier invalidation, but before the
/// visitor changed it: that copy is none for this visitor.
#[test]
fn what_another_fetched_before_a_visitors_change_does_not_answer_them() {
    let site = site();
    let neighbour = Isolate::new(&site.world, &config(), "ams");
    assert_eq!(site.from("1.1.1.1", "GET", PAGE).text(), "render 1");
    let body = format!("{{\"urls\": [\"{PAGE}\"]}}");
    assert_eq!(neighbour.operate("POST", "/v1/revalidate", &body).status, 202);
    site.world.pass(2_500);
    neighbour.get(PAGE, &[]);
    site.world.pass(1_000);
    let fetched = neighbour.get(PAGE, &[]).text();
    assert_eq!(fetched, "render 2");
    // The journal does not take the change in time.
    site.world.journal_down.set(true);
    assert_eq!(site.from("1.1.1.1", "POST", PAGE).status, 200);
    let theirs = site.from("1.1.1.1", "GET", PAGE);
    assert_eq!(theirs.text(), "render 3", "{}", theirs.cache_status());
}

/// The same where the clock of the isolate that fetched it is ahead: it says that the fetch began
/// after the change.
#[test]
fn a_clock_that_is_ahead_does_not_make_a_copy_of_before_a_change_one_of_after_it() {
    let site = site();
    let neighbour = Isolate { ahead: 150, ..Isolate::new(&site.world, &config(), "ams") };
    assert_eq!(neighbour.get(PAGE, &[]).text(), "render 1");
    site.world.pass(20);
    // The journal does not take the change in time.
    site.world.journal_down.set(true);
    assert_eq!(site.from("1.1.1.1", "POST", PAGE).status, 200);
    let theirs = site.from("1.1.1.1", "GET", PAGE);
    assert_eq!(theirs.text(), "render 2", "{}", theirs.cache_status());
}

/// What is fetched after a change has its epoch answers who changed it, by its stamp.
#[test]
fn who_changed_a_page_gets_what_is_stored_of_it_once_it_shows_that() {
    let site = site();
    site.from("192.0.2.1", "GET", PAGE);
    site.world.pass(100);
    site.from("192.0.2.1", "POST", PAGE);
    assert_eq!(site.from("192.0.2.1", "GET", PAGE).text(), "render 2");
    site.world.pass(1_000);
    let next = site.from("192.0.2.1", "GET", PAGE);
    assert!(next.cache_status().contains("hit;ttl"), "{}", next.cache_status());
}

fn site_whose_first_render_is_slow() -> Site {
    let site = site();
    let renders = Rc::new(Cell::new(0));
    site.world.origin(move |reached: &Reached| {
        if reached.method != "GET" {
            return Ok(Script::new(200, &[], "done"));
        }
        renders.set(renders.get() + 1);
        let body = format!("render {}", renders.get());
        let slow = if renders.get() == 1 { 1_500 } else { 1 };
        Ok(Script::new(200, &[("cache-control", FRESH)], &body).after(slow))
    });
    site
}

/// No shard knows the page yet, but it is being fetched since before the visitor changed it: that
/// fetch is none for this visitor, and for others it is as old as if it had been stored by then.
#[test]
fn a_fetch_of_before_a_visitors_change_does_not_answer_them() {
    let site = site_whose_first_render_is_slow();
    site.world.shards_down.set(true);
    let asks = site.ams.clone();
    let first = site.world.start(async move { asks.ask(request("GET", PAGE, &[])).await });
    site.world.pass(500);
    site.world.shards_down.set(false);
    assert_eq!(site.from("192.0.2.1", "POST", PAGE).status, 200);
    assert_eq!(site.head(), 1, "no shard knows of the page, but it is being fetched");
    let theirs = site.from("192.0.2.1", "GET", PAGE);
    assert_eq!(theirs.text(), "render 2", "{}", theirs.cache_status());
    // Who had asked before shares what was fetched before.
    site.world.pass(2_000);
    assert_eq!(first.borrow().as_ref().unwrap().text(), "render 1");
    for client in ["192.0.2.2", "192.0.2.1"] {
        let next = site.from(client, "GET", PAGE);
        assert_eq!(next.text(), "render 2", "{client}: {}", next.cache_status());
    }
}

/// The same where nobody has fetched it since: what is stored late is stale from the beginning.
#[test]
fn what_a_change_overtook_while_it_was_fetched_is_stored_as_stale() {
    let site = site_whose_first_render_is_slow();
    site.world.shards_down.set(true);
    let asks = site.ams.clone();
    site.world.start(async move { asks.ask(request("GET", PAGE, &[])).await });
    site.world.pass(500);
    site.world.shards_down.set(false);
    assert_eq!(site.from("192.0.2.1", "POST", PAGE).status, 200);
    site.world.pass(3_000);
    let late = site.from("192.0.2.2", "GET", PAGE);
    assert!(late.cache_status().contains("invalidated"), "{}", late.cache_status());
    site.world.pass(1_000);
    assert_eq!(site.from("192.0.2.2", "GET", PAGE).text(), "render 2");
}

/// Long addresses share a part of what is gathered, and put no ordinary one out.
#[test]
fn long_addresses_are_gathered_within_a_budget() {
    let site = site();
    site.from("1.1.1.1", "GET", PAGE);
    site.from("1.1.1.1", "POST", "https://example.com/first");
    for n in 0..60 {
        let url = format!("https://example.com/{n}?{}", "x".repeat(10_000));
        site.from("1.1.1.1", "POST", &url);
    }
    site.from("1.1.1.1", "POST", PAGE);
    let metrics = site.ams.operate("GET", "/metrics?isolate", "").text();
    let dropped = metrics.lines().find_map(|line| {
        line.strip_prefix("edge_isr_unsafe_method_pages_total{outcome=\"over-limit\"} ")
    });
    let dropped: u32 = dropped.unwrap().parse().unwrap();
    assert!((30..60).contains(&dropped), "{dropped} of 60");
    let before = site.head();
    site.world.pass(2_000);
    assert!(site.head() > before, "the page with an ordinary address was carried");
}

/// What another isolate of the colo fetched without a word to its shard, begun before the change
/// and stored while the visitor who made it waits for a third one's fetch: it is not theirs. Others
/// have it for its lifetime, as anything that a colo keeps for want of a place in the index.
#[test]
fn who_changed_a_page_gets_nothing_older_out_of_the_colo() {
    let config = Config { new_keys_per_second: 1, ..config() };
    let site = site_of(&config);
    let changed = Rc::new(Cell::new(false));
    let done = Rc::clone(&changed);
    site.world.origin(move |reached: &Reached| {
        if reached.method == "POST" {
            done.set(true);
            return Ok(Script::new(200, &[], "done"));
        }
        let text = if done.get() { "new" } else { "old" };
        Ok(Script::new(200, &[("cache-control", FRESH)], text).after(500))
    });
    let others =
        [Isolate::new(&site.world, &config, "ams"), Isolate::new(&site.world, &config, "ams")];
    let start = |isolate: &Isolate, url: &str, client: &str| {
        let head = RequestHead { client: Some(client.to_owned()), ..request("GET", url, &[]) };
        let isolate = isolate.clone();
        site.world.start(async move { isolate.ask(head).await })
    };
    // Its budget of new pages is spent.
    start(&others[0], "https://example.com/other", "192.0.2.3");
    site.world.pass(10);
    start(&others[0], PAGE, "192.0.2.3");
    site.world.pass(400);
    site.from("192.0.2.1", "POST", PAGE);
    let leads = start(&others[1], PAGE, "192.0.2.4");
    site.world.pass(20);
    let theirs = start(&site.ams, PAGE, "192.0.2.1");
    site.world.pass(3_000);
    assert_eq!(leads.borrow().as_ref().unwrap().text(), "new");
    let theirs = theirs.borrow_mut().take().unwrap();
    assert_eq!(theirs.text(), "new", "{}", theirs.cache_status());
}

/// All shards are asked by URL for so much text at once; what is beyond counts as stored, and goes
/// with the epoch of that second.
#[test]
fn addresses_that_all_shards_are_asked_for_have_a_budget() {
    for (posts, epochs) in [(100, 0), (200, 1)] {
        let (site, _) = site_with(KEYS_OF_MORE[0].0);
        site.says(200, &[]);
        let secrets = edge_isr::control::Secrets::parse("", "").unwrap();
        site.from("192.0.2.1", "POST", "https://example.com/first");
        for n in 0..posts {
            let url = format!("https://example.com/post/{n}?{}", "x".repeat(1_900));
            site.ams.begin(request("POST", &url, &[]), "", &secrets);
        }
        site.world.pass(3_000);
        assert_eq!(site.head(), epochs, "{posts}");
    }
}
