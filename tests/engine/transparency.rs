//! Transparency: each answer is one that RFC 9111 and the route's settings allow from the store, or
//! what the origin answers to that very request.
//!
//! Sequences of requests by many visitors (methods, fields, cookies, ranges, conditions; one after
//! another and at once), in several isolates, against pages whose origin has rules of its own: some
//! depend on fields, with `Vary` or without, some are private, become so, go, or come back. Each
//! answer shows by a mark what it was made of, so that whose it is can be seen from it. One seed is
//! one sequence.
//!
//! `TRANSPARENCY=FROM..TO cargo test --release --test engine transparency -- --nocapture` plays
//! more.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use crate::world::{Isolate, Reached, Script, Seen, World, request};
use edge_isr::cache::forward::{EdgeFacts, pass_request_fields};
use edge_isr::cache::status::is_transient;
use edge_isr::config::Config;
use edge_isr::engine::USER_AGENT;
use edge_isr::http::accept::accept;
use edge_isr::http::{Fields, RequestHead, language};
use edge_isr::journal::Mode;

/// Sequences of a plain `cargo test`.
const FEW: u64 = 160;
/// Sequences in one world: each has pages and isolates of its own.
const SEQUENCES_OF_A_WORLD: u64 = 40;
/// How long an acknowledged invalidation may be unseen, and what a step may take beside.
const LAG: i64 = 2_500;

/// Splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn often(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.roll(from.len() as u64) as usize]
    }
}

/// All that an answer may be made of.
const PERSONAL: &[&str] = &[
    "accept",
    "accept-language",
    "authorization",
    "cookie",
    "hx-request",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "origin",
    "prefer",
    "range",
    "referer",
    "save-data",
    "sec-ch-ua",
    "user-agent",
    "x-api-key",
    "x-forwarded-for",
    "x-requested-with",
];
const SELECTING: &[&str] =
    &["accept", "accept-language", "hx-request", "origin", "prefer", "save-data"];
/// What an origin may say of an answer that is nobody else's, or no page. No freshness is not among
/// it: with a validator such an answer is stored, and validated each time.
const UNSTORABLE: &[&[(&str, &str)]] = &[
    &[("cache-control", "private")],
    &[("cache-control", "no-store")],
    &[("cache-control", "private, s-maxage=60")],
    &[("cache-control", "s-maxage=60, no-store")],
    &[("cache-control", "s-maxage=60"), ("cache-control", "private")],
    &[("cache-control", "s-maxage=60"), ("set-cookie", "id=1")],
    &[("cache-control", "s-maxage=60"), ("vary", "*")],
    &[("cache-control", "s-maxage=60"), ("vary", "accept, *")],
    &[("cache-control", "s-maxage=60"), ("cdn-cache-control", "private")],
    &[("cache-control", "s-maxage=60"), ("surrogate-control", "no-store")],
    &[("cache-control", "s-maxage=60"), ("x-edge-isr", "bypass")],
    &[("cache-control", "s-maxage=60"), ("content-security-policy", "script-src 'nonce-a1'")],
    &[("set-cookie", "id=1")],
    &[("x-edge-isr", "bypass")],
    &[("x-none", "1")],
];
/// What of a storable answer may be said to the requester alone, or only where its status is
/// understood.
const BESIDE: &[&str] =
    &["", "", "", ", no-cache=\"x-note\"", ", private=\"x-note\"", ", must-understand, no-store"];
/// Names the one request that an answer's note is for.
const NOTE: &str = "x-note";

/// How the origin answers for a page, for a while.
#[derive(Clone, Debug)]
struct Phase {
    status: u16,
    storable: bool,
    lifetime: u64,
    window: u64,
    /// The answer names these in `Vary`, and is made of them.
    vary: Vec<&'static str>,
    /// The status without `X-Api-Key`; with it, the answer is made of all the request.
    key: Option<u16>,
    said: &'static [(&'static str, &'static str)],
    beside: &'static str,
    etag: bool,
    age: bool,
    delay: u64,
}

struct Exchange {
    began: i64,
    ended: i64,
    fields: Fields,
    status: u16,
    mark: String,
    storable: bool,
    /// Lifetime and window, in milliseconds.
    use_for: i64,
    vary: Vec<&'static str>,
}

struct Page {
    path: String,
    tag: String,
    phases: Vec<Phase>,
    /// Since when each phase holds.
    since: RefCell<Vec<i64>>,
    log: RefCell<Vec<Exchange>>,
    /// What began before this is never seen after it.
    barrier: Cell<(i64, i64)>,
    /// Notes that visitors have seen.
    notes: RefCell<Vec<String>>,
}

impl Page {
    fn now(&self) -> usize {
        self.since.borrow().len() - 1
    }

    fn between(&self, from: i64, to: i64) -> std::ops::RangeInclusive<usize> {
        let since = self.since.borrow();
        let at = |time: i64| since.iter().rposition(|begins| *begins <= time).unwrap_or(0);
        at(from)..=at(to)
    }

    /// What the origin answers to a request: status, mark, and whether everyone may have it.
    fn answer(&self, number: usize, method: &str, fields: &Fields) -> (u16, String, bool) {
        let phase = &self.phases[number];
        let of = |names: &[&str]| -> String {
            let values = names.iter().filter_map(|n| Some(format!("{n}={}", fields.joined(n)?)));
            values.collect::<Vec<_>>().join("&")
        };
        let path = &self.path;
        if !matches!(method, "GET" | "HEAD") {
            let mark = format!("{path}#{number}:{method}:{}", of(PERSONAL));
            return (if phase.storable { 200 } else { phase.status }, mark, false);
        }
        match phase.key {
            Some(status) if fields.get("x-api-key") != Some("k") => {
                (status, format!("{path}#{number}:no-key"), false)
            }
            Some(_) => (200, format!("{path}#{number}:{}", of(PERSONAL)), false),
            None if phase.storable => {
                (phase.status, format!("{path}#{number}:{}", of(&phase.vary)), true)
            }
            // What describes the moment is not asked for twice: it is the same for all.
            None if is_transient(phase.status) => {
                (phase.status, format!("{path}#{number}:later"), false)
            }
            None => (phase.status, format!("{path}#{number}:{}", of(PERSONAL)), false),
        }
    }

    /// The origin at work.
    fn script(&self, reached: &Reached, now: i64) -> Script {
        let number = self.now();
        let phase = &self.phases[number];
        let (status, mark, storable) = self.answer(number, &reached.method, &reached.fields);
        let etag =
            format!("\"{:x}\"", mark.bytes().fold(7_u64, |h, b| h.wrapping_mul(31) ^ u64::from(b)));
        let matched =
            phase.etag && status == 200 && reached.fields.get("if-none-match") == Some(&etag);
        let mut fields: Vec<(&str, String)> = vec![("x-mark", mark.clone())];
        if storable {
            let window = match phase.window {
                0 => String::new(),
                window => format!(", stale-while-revalidate={window}"),
            };
            let beside = phase.beside;
            fields.push(("cache-control", format!("s-maxage={}{window}{beside}", phase.lifetime)));
            if beside.contains(NOTE) {
                fields
                    .push((NOTE, format!("{path}-{}", self.log.borrow().len(), path = self.path)));
            }
            fields.push(("x-edge-isr-tags", self.tag.clone()));
            if phase.age {
                fields.push(("age", "1".to_owned()));
            }
        } else {
            fields.extend(phase.said.iter().map(|(name, value)| (*name, (*value).to_owned())));
        }
        if !phase.vary.is_empty() {
            fields.push(("vary", phase.vary.join(", ")));
        }
        if phase.etag {
            fields.push(("etag", etag));
        }
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let ended = now + phase.delay as i64;
        self.log.borrow_mut().push(Exchange {
            began: now,
            ended,
            fields: reached.fields.clone(),
            status,
            mark: mark.clone(),
            storable,
            use_for: (phase.lifetime + phase.window) as i64 * 1_000,
            vary: phase.vary.clone(),
        });
        let said = if matched { 304 } else { status };
        let body = if matched { String::new() } else { mark };
        Script::new(said, &fields, &body).after(phase.delay)
    }

    /// What the edge has learned of a visitor's variant, by a request for the whole of it that says
    /// nothing else of a visitor: after the bound nothing older is seen. What is said of a variant
    /// that nobody has stored says nothing of others: a page in one language, with a 404 in the
    /// next.
    fn learned(&self, head: &RequestHead, vary: &[&str]) -> Option<i64> {
        let log = self.log.borrow();
        let shows = |exchange: &&Exchange| {
            let fields = &exchange.fields;
            let silent = |name: &&str| vary.contains(name) || !fields.has(name);
            !exchange.storable
                && !matches!(exchange.status, 408 | 425 | 429 | 500..)
                && fields.get("user-agent") == Some(USER_AGENT)
                && !fields.has("range")
                && ["accept", "accept-language", "origin"].iter().all(silent)
                && vary.iter().all(|name| normal(name, fields) == normal(name, &head.fields))
        };
        log.iter().filter(shows).map(|exchange| exchange.ended).max()
    }
}

/// A value as the edge compares it.
fn normal(name: &str, fields: &Fields) -> String {
    let value = fields.joined(name).unwrap_or_default();
    match name {
        "accept" => accept(&value).unwrap_or_default(),
        "accept-language" => language::normalise(&value),
        _ => value,
    }
}

fn phase(dice: &mut Dice) -> Phase {
    let storable = dice.often(60);
    let mut vary = Vec::new();
    if dice.often(40) {
        vary.push(*dice.pick(SELECTING));
        if dice.often(30) {
            vary.push(*dice.pick(SELECTING));
        }
        vary.sort_unstable();
        vary.dedup();
    }
    let statuses: &[u16] = &[
        200, 200, 204, 205, 206, 302, 303, 307, 400, 401, 403, 404, 404, 405, 406, 409, 410, 412,
        416, 418, 421, 425, 429, 451, 500, 501, 503,
    ];
    Phase {
        status: if storable {
            *dice.pick(&[200, 200, 200, 203, 204, 301, 308, 404, 410])
        } else {
            *dice.pick(statuses)
        },
        storable,
        lifetime: *dice.pick(&[1, 5, 30]),
        window: *dice.pick(&[0, 0, 20, 60]),
        vary,
        key: dice.often(15).then(|| *dice.pick(&[200, 302, 401, 403, 404])),
        said: dice.pick::<&[(&str, &str)]>(UNSTORABLE),
        beside: dice.pick::<&str>(BESIDE),
        etag: dice.often(40),
        age: dice.often(8),
        delay: *dice.pick(&[1, 30, 30, 400, 2_500]),
    }
}

/// What a visitor says.
fn visitor(dice: &mut Dice, path: &str) -> RequestHead {
    let mut fields: Vec<(&str, &str)> = Vec::new();
    let mut say = |dice: &mut Dice, percent: u64, name: &'static str, values: &[&'static str]| {
        if dice.often(percent) {
            fields.push((name, *dice.pick(values)));
        }
    };
    say(dice, 70, "user-agent", &["Mozilla/5", "curl/8"]);
    say(dice, 60, "accept", &["text/html, */*;q=0.8", "application/json", "*/*"]);
    say(dice, 50, "accept-language", &["en", "de, en;q=0.5"]);
    say(dice, 40, "cookie", &["_ga=1", "_ga=2", "cart=7; _ga=1", "sessionid=s1", "messages=m"]);
    say(dice, 15, "x-api-key", &["k", "wrong"]);
    say(dice, 12, "hx-request", &["true"]);
    say(dice, 12, "origin", &["https://app.example", "https://b.example", "null"]);
    say(dice, 8, "prefer", &["return=minimal"]);
    say(dice, 8, "save-data", &["on"]);
    say(dice, 20, "sec-ch-ua", &["\"Chromium\""]);
    say(dice, 15, "referer", &["https://example.com/"]);
    say(dice, 8, "x-requested-with", &["XMLHttpRequest"]);
    say(dice, 5, "authorization", &["Bearer t", ""]);
    say(dice, 6, "range", &["bytes=0-1", "bytes=2-", "bytes=-3", "bytes=0-0,2-3", "lines=1-2"]);
    say(dice, 2, "if-range", &["\"1\"", "Mon, 30 Nov 2026 12:00:00 GMT"]);
    say(dice, 5, "if-none-match", &["\"1\"", "*"]);
    say(dice, 3, "if-modified-since", &["Mon, 30 Nov 2026 12:00:00 GMT"]);
    say(dice, 2, "if-match", &["\"1\"", "*"]);
    say(dice, 2, "if-unmodified-since", &["Mon, 30 Nov 2026 12:00:00 GMT"]);
    say(dice, 4, "cache-control", &["no-cache", "no-store", "max-age=0", "only-if-cached"]);
    let mut method = *dice.pick(&["GET", "GET", "GET", "GET", "GET", "GET", "GET", "HEAD"]);
    if dice.often(5) {
        method = *dice.pick(&["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"]);
    }
    let url = format!("https://example.com{path}");
    let address = dice.often(70).then(|| format!("203.0.113.{}", dice.roll(3)));
    RequestHead { client: address, ..request(method, &url, &fields) }
}

/// Why an answer may not be; none if it may.
fn judge(page: &Page, head: &RequestHead, (came, done): (i64, i64), seen: &Seen) -> Option<String> {
    let facts = EdgeFacts {
        origin_secret: None,
        warm: false,
        user_agent: USER_AGENT,
        client_accept_encoding: None,
        esi: false,
    };
    let whole = pass_request_fields(head, &facts);
    let mark = seen.fields.get("x-mark").unwrap_or_default();
    if let Some(note) = seen.fields.get(NOTE) {
        let mut notes = page.notes.borrow_mut();
        if notes.iter().any(|known| known == note) {
            return Some("a note for another".to_owned());
        }
        notes.push(note.to_owned());
    }
    // RFC 9111 §5.2.1.7: nothing stored may answer.
    let only = head.fields.get("cache-control") == Some("only-if-cached");
    if only && seen.status == 504 && !seen.fields.has("x-mark") {
        return None;
    }
    let is_of_now = page.between(came, done).any(|number| {
        let (status, body_mark, _) = page.answer(number, &head.method, &whole);
        body_mark == mark && (seen.status == status || seen.status == 304)
    });
    if is_of_now {
        return None;
    }
    let passes = head.fields.has("authorization")
        || head
            .fields
            .get("cookie")
            .is_some_and(|c| c.contains("sessionid") || c.contains("messages"));
    if passes {
        return Some("it passes, and gets another's answer".to_owned());
    }
    if !matches!(head.method.as_str(), "GET" | "HEAD") {
        return Some("its method passes, and it gets another's answer".to_owned());
    }
    let conditional = head.fields.has("if-none-match") || head.fields.has("if-modified-since");
    let (barrier, hard) = page.barrier.get();
    let mut why = "no answer of the origin is like it".to_owned();
    for exchange in page.log.borrow().iter().filter(|exchange| exchange.mark == mark) {
        if !exchange.storable {
            why = "it is not everyone's".to_owned();
            continue;
        }
        let selects = |name: &&str| normal(name, &exchange.fields) == normal(name, &head.fields);
        if let Some(name) = exchange.vary.iter().find(|name| !selects(name)) {
            why = format!("Vary: {name}");
            continue;
        }
        let fits = seen.status == exchange.status
            || (head.fields.has("range") && matches!(seen.status, 206 | 416))
            || (conditional && seen.status == 304);
        if !fits {
            why = format!("its status was {}", exchange.status);
            continue;
        }
        if exchange.ended < came && came - exchange.ended > exchange.use_for + 1_000 {
            why = "its lifetime and window are over".to_owned();
            continue;
        }
        let learned = page.learned(head, &exchange.vary);
        if learned.is_some_and(|at| exchange.began < at && came > at + LAG) {
            why = "the page is gone, and the edge knew".to_owned();
            continue;
        }
        if exchange.began < barrier && came > hard + LAG {
            why = "it was invalidated hard".to_owned();
            continue;
        }
        return None;
    }
    Some(why)
}

/// One sequence.
fn play(world: &Rc<World>, sites: &Rc<RefCell<Vec<Rc<Page>>>>, config: &Config, seed: u64) {
    let mut dice = Dice(seed);
    sites.borrow_mut().clear();
    for number in 0..=dice.roll(3) {
        let many = 1 + dice.roll(3);
        sites.borrow_mut().push(Rc::new(Page {
            path: format!("/s{seed}/{number}"),
            tag: format!("s{seed}-{number}"),
            phases: (0..many).map(|_| phase(&mut dice)).collect(),
            since: RefCell::new(vec![world.now().as_millis()]),
            log: RefCell::default(),
            barrier: Cell::new((i64::MIN, i64::MAX - LAG)),
            notes: RefCell::default(),
        }));
    }
    let pages = sites.borrow().clone();
    let isolates: Vec<Isolate> =
        ["ams", "ams", "fra"].map(|colo| Isolate::new(world, config, colo)).into();
    for _ in 0..8 + dice.roll(24) {
        let page = dice.pick(&pages);
        match dice.roll(20) {
            0 | 1 if page.now() + 1 < page.phases.len() => {
                page.since.borrow_mut().push(world.now().as_millis());
            }
            2 => drop(world.invalidate(&page.tag, Mode::Soft)),
            3 => {
                let began = world.now().as_millis();
                world.invalidate(&page.tag, Mode::Hard);
                page.barrier.set((began, world.now().as_millis()));
            }
            4 => world.alarms(),
            5..=7 => world.pass(*dice.pick(&[100, 1_100, 2_600, 6_000, 25_000, 70_000])),
            _ => {
                let herd = *dice.pick(&[1, 1, 1, 2, 4]);
                visit(world, page, &isolates, herd, &mut dice, seed);
                world.pass(*dice.pick(&[0, 0, 5, 40, 600]));
            }
        }
    }
}

/// Some visitors at once.
fn visit(
    world: &Rc<World>,
    page: &Rc<Page>,
    isolates: &[Isolate],
    herd: u64,
    dice: &mut Dice,
    seed: u64,
) {
    let came = world.now().as_millis();
    let mut slots = Vec::new();
    for _ in 0..herd {
        let head = visitor(dice, &page.path);
        let (isolate, clock, sent) = (dice.pick(isolates).clone(), Rc::clone(world), head.clone());
        let answer = world.start(async move {
            let seen = isolate.ask(sent).await;
            (seen, clock.now().as_millis())
        });
        slots.push((head, answer));
    }
    for _ in 0..1_200 {
        if slots.iter().all(|(_, answer)| answer.borrow().is_some()) {
            break;
        }
        world.pass(50);
    }
    for (head, answer) in slots {
        let (seen, done) = answer.borrow_mut().take().unwrap();
        if let Some(why) = judge(page, &head, (came, done), &seen) {
            let log: Vec<String> = page
                .log
                .borrow()
                .iter()
                .map(|e| {
                    format!(
                        "{}..{} {} {} {:?}",
                        e.began - came,
                        e.ended - came,
                        e.status,
                        e.mark,
                        e.fields
                    )
                })
                .collect();
            panic!(
                "seed {seed}: {why}\n{head:?}\n{seen:?}\n{} ms\nphases {:#?}\nsince {:?}\n{log:#?}",
                done - came,
                page.phases,
                page.since.borrow().iter().map(|at| at - came).collect::<Vec<_>>(),
            );
        }
    }
}

fn world_of(sites: &Rc<RefCell<Vec<Rc<Page>>>>, config: &Config) -> Rc<World> {
    let world = World::new(config);
    let (pages, clock): (_, Weak<World>) = (Rc::clone(sites), Rc::downgrade(&world));
    world.origin(move |reached| {
        let now = clock.upgrade().map_or(0, |world| world.now().as_millis());
        let pages = pages.borrow();
        let page = pages.iter().find(|page| page.path == reached.target);
        // A warm of a sequence that is over.
        Ok(page.map_or_else(|| Script::new(404, &[], ""), |page| page.script(reached, now)))
    });
    world
}

#[test]
fn each_answer_is_the_origins_own_or_one_that_may_be_shared() {
    let range = std::env::var("TRANSPARENCY").unwrap_or_else(|_| format!("0..{FEW}"));
    let (from, to) = range.split_once("..").expect("FROM..TO");
    let (from, to): (u64, u64) = (from.parse().expect("FROM"), to.parse().expect("TO"));
    println!("seeds {from} to {to}");
    let config = Config { shards: 1, new_keys_per_second: 1_000, ..Config::default() };
    let sites = Rc::new(RefCell::new(Vec::new()));
    let mut world = world_of(&sites, &config);
    for seed in from..to {
        if seed % SEQUENCES_OF_A_WORLD == 0 {
            world = world_of(&sites, &config);
        }
        play(&world, &sites, &config, seed);
    }
}
