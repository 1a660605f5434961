//! Bodies of strangers: uploads that never end, and bodies of calls to the edge itself.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::cell::RefCell;
use std::rc::Rc;

use crate::world::{Isolate, Script, Scripted, Seen, World};
use edge_isr::base::time::Millis;
use edge_isr::config::Config;
use edge_isr::control::Secrets;
use edge_isr::control::auth::signature;
use edge_isr::control::secret::webhook_key;
use edge_isr::http::RequestHead;

const SITE: &str = "https://example.com";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const MIB: usize = 1 << 20;

type Slot = Rc<RefCell<Option<Seen>>>;

fn site(config: &Config) -> (Rc<World>, Isolate) {
    let world = World::new(config);
    world.origin(|_| Ok(Script::new(200, &[("cdn-cache-control", "max-age=300")], "x").after(50)));
    let isolate = Isolate::new(&world, config, "ams");
    (world, isolate)
}

fn start(isolate: &Isolate, head: RequestHead, body: Option<Scripted>) -> Slot {
    let asks = isolate.clone();
    isolate.world.start(async move { asks.ask_with(head, body).await })
}

fn post(fields: &[(&str, &str)]) -> RequestHead {
    crate::world::request("POST", &format!("{SITE}/form"), fields)
}

fn status(slot: &Slot) -> u16 {
    slot.borrow().as_ref().map_or(0, |seen| seen.status)
}

fn held(isolate: &Isolate) -> u64 {
    isolate.engine.isolate().borrow().fill_bytes()
}

/// A hundred idle uploads of each kind, and more than the limit: hits, misses, readers and other
/// uploads go on.
#[test]
fn idle_uploads_hold_nothing_that_others_need() {
    let config = Config { origin_concurrency: 10, ..Config::default() };
    let (world, isolate) = site(&config);
    isolate.get(&format!("{SITE}/hit"), &[]);
    let kinds: [&[(&str, &str)]; 3] =
        [&[("content-length", "1000")], &[("content-length", "100000000")], &[]];
    let mut idle = Vec::new();
    for fields in kinds {
        for _ in 0..100 {
            idle.push(start(&isolate, post(fields), Some(Scripted::idle(b"x"))));
        }
    }
    world.pass(1_000);
    let cookie = ("cookie", "sessionid=1");
    let small = ("content-length", "5");
    let get = |path: &str, fields: &[(&str, &str)]| {
        start(&isolate, crate::world::request("GET", &format!("{SITE}{path}"), fields), None)
    };
    let body = || Some(Scripted::whole(b"hello"));
    let slots = [
        get("/hit", &[]),
        get("/miss", &[]),
        get("/own", &[cookie]),
        start(&isolate, post(&[small]), body()),
        start(&isolate, post(&[]), body()),
    ];
    world.pass(120);
    assert_eq!(slots.map(|slot| status(&slot)), [200; 5]);
    // Small ones have not even reached the origin, and end with 408; large ones have their own
    // limit.
    world.pass(30_000);
    assert_eq!(idle[..100].iter().map(status).collect::<Vec<_>>(), vec![408; 100]);
    world.pass(600_000);
    assert_eq!(idle[200..].iter().map(status).collect::<Vec<_>>(), vec![408; 100]);
}

/// A slow upload is none of the origin's time; once it was sent, it is.
#[test]
fn an_upload_counts_once_it_was_sent() {
    let config = Config { origin_concurrency: 1, ..Config::default() };
    let (world, isolate) = site(&config);
    world.origin(|_| Ok(Script::new(200, &[], "x").after(1_000)));
    let slow = Scripted::pieces(&[(5_010, b"large")]);
    let upload = start(&isolate, post(&[]), Some(slow));
    world.pass(4_000);
    let cookie = ("cookie", "sessionid=1");
    let get =
        || start(&isolate, crate::world::request("GET", &format!("{SITE}/own"), &[cookie]), None);
    let first = get();
    world.pass(1_030);
    assert_eq!(status(&first), 200, "it waits for no upload");
    let second = get();
    world.pass(900);
    assert_eq!((status(&upload), status(&second)), (0, 0));
    world.pass(1_200);
    assert_eq!((status(&upload), status(&second)), (200, 200));
    assert_eq!(world.most_at_origin.get(), 1, "one after the other");
}

/// As many idle uploads as there may be, of two addresses: those of others begin and end all the
/// same, and what gives way is answered so.
#[test]
fn idle_uploads_of_few_give_way_to_those_of_others() {
    let (world, isolate) = site(&Config::default());
    let begin = |address: &str, body: Scripted| {
        let mut head = post(&[]);
        head.client = Some(address.to_owned());
        start(&isolate, head, Some(body))
    };
    let slow = begin("203.0.113.9", Scripted::pieces(&[(0, b"a"), (8_000, b"b")]));
    world.pass(10);
    let idle: Vec<_> = (0..1_200)
        .map(|n| {
            let upload = begin(["203.0.113.1", "203.0.113.2"][n % 2], Scripted::idle(b"x"));
            world.pass(1);
            upload
        })
        .collect();
    let other = begin("203.0.113.7", Scripted::pieces(&[(10, b"hello")]));
    world.pass(1_500);
    assert_eq!(status(&other), 200);
    let gave_way = idle.iter().filter(|upload| status(upload) == 503).count();
    assert!((200..=202).contains(&gave_way), "{gave_way}");
    world.pass(8_000);
    assert_eq!(status(&slow), 200, "who has one does not give way to who has many");
}

fn secrets() -> Secrets {
    Secrets::parse(SECRET, "ops:revalidate:operators-own-token").expect("secrets")
}

fn call(isolate: &Isolate, fields: &[(&str, &str)], body: Scripted) -> Slot {
    let head = crate::world::request("POST", &format!("{SITE}/__isr/v1/revalidate"), fields);
    let asks = isolate.clone();
    isolate.world.start(async move { asks.call(head, body, secrets()).await })
}

fn signed(world: &World, id: &str, body: &[u8]) -> [(String, String); 3] {
    let stamp = world.now().as_seconds().to_string();
    let key = webhook_key(SECRET).expect("a key");
    let signature = signature(&key, id, &stamp, body);
    [
        ("webhook-id".to_owned(), id.to_owned()),
        ("webhook-timestamp".to_owned(), stamp),
        ("webhook-signature".to_owned(), signature),
    ]
}

fn pairs(fields: &[(String, String)]) -> Vec<(&str, &str)> {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Who can't prove anything by the head is refused before a byte of the body was read.
#[test]
fn a_call_without_credentials_is_refused_before_its_body() {
    let (world, isolate) = site(&Config::default());
    let old =
        [("webhook-id", "1"), ("webhook-timestamp", "1000"), ("webhook-signature", "v1,AAAA")];
    let unsigned = [("webhook-id", "1"), ("webhook-timestamp", "1000")];
    let heads: [(&[(&str, &str)], u16); 5] = [
        (&[], 401),
        (&[("authorization", "Bearer guessed")], 401),
        (&[("authorization", "Basic eDp5")], 401),
        (&unsigned, 401),
        (&old, 401),
    ];
    for (fields, expected) in heads {
        let slot = call(&isolate, fields, Scripted::idle(b"{"));
        world.pass(1);
        assert_eq!(status(&slot), expected, "{fields:?}");
    }
    let purge = crate::world::request("PURGE", &format!("{SITE}/page"), &[]);
    let asks = isolate.clone();
    let slot = world.start(async move { asks.call(purge, Scripted::idle(b"x"), secrets()).await });
    world.pass(1);
    assert_eq!(status(&slot), 403);
    let long = [("authorization", "Bearer operators-own-token"), ("content-length", "1048577")];
    let slot = call(&isolate, &long, Scripted::idle(b"{"));
    world.pass(1);
    assert_eq!(status(&slot), 413);
    assert_eq!(held(&isolate), 0);
}

/// Forged signatures open bodies and hold them: all together hold no more than their budget, the
/// oldest go first, and a true call is answered at once.
#[test]
fn held_bodies_have_a_budget_and_hold_no_call_up() {
    let config = Config { max_body: MIB as u64, fill_memory: 4 * MIB as u64, ..Config::default() };
    let (world, isolate) = site(&config);
    let forged = signed(&world, "forged", b"another body");
    let budget = config.fill_memory / 4;
    let mut bodies = Vec::new();
    for _ in 0..100 {
        let body = Scripted::idle(&vec![b' '; MIB / 8]);
        bodies.push(call(&isolate, &pairs(&forged), body));
        world.pass(1);
        assert!(held(&isolate) <= budget, "{}", held(&isolate));
    }
    assert!(held(&isolate) > budget / 2);
    let body = br#"{"tags":["a"]}"#;
    let slot = call(&isolate, &pairs(&signed(&world, "true", body)), Scripted::whole(body));
    world.pass(500);
    assert_eq!(status(&slot), 202);
    // In pieces of any size.
    let split = Scripted::pieces(&[(10, &body[..5]), (10, &body[5..6]), (10, &body[6..])]);
    let slot = call(&isolate, &pairs(&signed(&world, "split", body)), split);
    world.pass(500);
    assert_eq!(status(&slot), 202);
    world.pass(31_000);
    assert_eq!(held(&isolate), 0);
    let ends: Vec<u16> = bodies.iter().map(status).collect();
    assert!(ends.iter().all(|status| matches!(status, 408 | 503)), "{ends:?}");
}

/// A true webhook that arrives slowly is not given up for the bodies that strangers hold, though it
/// is the oldest; nor is the body of who has a token.
#[test]
fn bodies_of_strangers_put_no_true_call_out() {
    let config = Config { max_body: MIB as u64, fill_memory: 4 * MIB as u64, ..Config::default() };
    let (world, isolate) = site(&config);
    let body = br#"{"tags":["a"]}"#;
    let slow = || Scripted::pieces(&[(10, &body[..5]), (5_000, &body[5..9]), (5_000, &body[9..])]);
    let token = [("authorization", "Bearer operators-own-token")];
    let (webhook, known) = (
        call(&isolate, &pairs(&signed(&world, "true", body)), slow()),
        call(&isolate, &token, slow()),
    );
    // One that holds as much as theirs, from another address; and one of another cache's API.
    let large = [body.as_slice(), &vec![b' '; MIB / 8]].concat();
    let (begins, ends) = large.split_at(large.len() - 1);
    let mut head = crate::world::request(
        "POST",
        &format!("{SITE}/__isr/v1/revalidate"),
        &pairs(&signed(&world, "large", &large)),
    );
    head.client = Some("203.0.113.9".to_owned());
    let (asks, whole) = (isolate.clone(), Scripted::pieces(&[(10, begins), (8_000, ends)]));
    let large = world.start(async move { asks.call(head, whole, secrets()).await });
    let zone = format!("{SITE}/__isr/cloudflare/client/v4/zones/z/purge_cache");
    let (head, asks) = (crate::world::request("POST", &zone, &token), isolate.clone());
    let padded = [begins, b" "].concat();
    let slowly = Scripted::pieces(&[(10, &padded), (8_000, b" ")]);
    let purge = world.start(async move { asks.call(head, slowly, secrets()).await });
    let forged = signed(&world, "forged", b"another body");
    for n in 0..200 {
        // From one address, and from many of one network.
        let mut head =
            crate::world::request("POST", &format!("{SITE}/__isr/v1/revalidate"), &pairs(&forged));
        head.client =
            Some(if n % 4 == 0 { "203.0.113.1".to_owned() } else { format!("2001:db8::{n:x}") });
        let asks = isolate.clone();
        let body = Scripted::idle(&vec![b' '; MIB / 8]);
        world.start(async move { asks.call(head, body, secrets()).await });
        world.pass(10);
        assert!(held(&isolate) <= config.fill_memory / 4, "there is no room for all");
    }
    world.pass(12_000);
    assert_eq!((status(&webhook), status(&known)), (202, 202));
    assert_eq!((status(&large), status(&purge)), (202, 200));
}

/// A body that drips has a limit as a whole, and its pieces count for more than their bytes.
#[test]
fn a_dripping_body_has_a_limit_as_a_whole() {
    let (world, isolate) = site(&Config::default());
    let forged = signed(&world, "drips", b"another body");
    let drops: Vec<(u64, &[u8])> = (0..10_000).map(|_| (1_000, b"x".as_slice())).collect();
    let slot = call(&isolate, &pairs(&forged), Scripted::pieces(&drops));
    world.pass(20_000);
    assert!(held(&isolate) > 4_096 + 19 * 256, "{}", held(&isolate));
    world.pass(11_000);
    assert_eq!(status(&slot), 408);
    assert_eq!(held(&isolate), 0);
    assert!(
        world.now().since(edge_isr::base::time::Timestamp::from_millis(crate::world::DAWN))
            < Millis(60_000)
    );
}
