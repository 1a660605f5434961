//! A seed played from its first moment to its last, and what is looked at when all is quiet.

use std::cell::Cell;
use std::rc::Rc;

use edge_isr::base::sql::{Sql as _, Value};
use edge_isr::base::time::{Epoch, Millis, Timestamp};
use edge_isr::cache::admission::{Admission, admit};
use edge_isr::cache::key::Selection;
use edge_isr::cache::tag::{Tag, TagSet, Target, TargetHash, page_targets};
use edge_isr::engine::memory::{StoredPage, StoredRecord};
use edge_isr::engine::port::Platform as _;
use edge_isr::engine::serve::response::Body;
use edge_isr::engine::{Engine, Incoming};
use edge_isr::http::{Fields, RequestHead};
use edge_isr::index::{ShardCall, WarmRequest};
use edge_isr::journal::Mode;

use crate::common::visit::respond;
use crate::composed::{self, Visit};
use crate::node::Node;
use crate::origin::{self, SITE};
use crate::plan::{COLOS, ISOLATES_PER_COLO, Input, MAX_SHARDS, Naming, PAGES, Plan};
use crate::sched::{DAWN, Owner, oneshot, sleep};
use crate::watch::{Committed, Label, Property, Served};
use crate::webhook::notify;
use crate::world::{Ack, World, query};

/// How long everything has to come to rest.
const REST: i64 = 240_000;
/// How long a request may take at most.
const PATIENCE: i64 = 60_000;
/// Visits of each isolate to each page at the end.
const ROUNDS: usize = 4;
/// For how long a request waits for news that another one of its isolate asks for.
const SHARED_WAIT: Millis = Millis(1_000);
/// `waitUntil` of the runtime.
const WAIT_UNTIL: u64 = 30_000;

/// What came of a seed.
pub(crate) struct Outcome {
    pub(crate) violation: Option<(Property, String)>,
    pub(crate) trace: Vec<String>,
    pub(crate) counts: std::collections::BTreeMap<&'static str, u64>,
}

/// Plays a seed.
pub(crate) fn play(seed: u64, trace: bool) -> Outcome {
    let plan = Plan::of(seed);
    let world = World::new(seed, plan, trace);
    world.say(|| format!("{:?}", Plan { inputs: Vec::new(), ..world.plan.clone() }));
    for (at, input) in world.plan.inputs.clone() {
        let inner = Rc::clone(&world);
        world.sched.spawn(Owner::World, async move {
            sleep(&inner.sched, at).await;
            happen(&inner, input).await;
        });
    }
    let span = DAWN + world.plan.span as i64;
    world.run(span);
    world.healed.set(true);
    *world.faults.borrow_mut() = crate::world::Faults::default();
    world.say(|| "all is well from here on".to_owned());
    world.run(span + REST);
    if world.watch.borrow().violation.is_none() {
        at_rest(&world, &world.acks.borrow());
    }
    if world.watch.borrow().violation.is_none() {
        probe(&world, span + REST);
        repaired(&world);
    }
    let outcome = {
        let mut watch = world.watch.borrow_mut();
        Outcome {
            violation: watch.violation.take(),
            trace: world.trace.as_ref().map(|t| t.take()).unwrap_or_default(),
            counts: std::mem::take(&mut watch.counts),
        }
    };
    world.clear();
    outcome
}

async fn happen(world: &Rc<World>, input: Input) {
    let until = |millis: u64| world.sched.now() + millis as i64;
    match input {
        Input::Get { isolate, page, german } => {
            visit(world, isolate, page, german).await;
        }
        Input::Change { items, naming, mode, delay, deliveries } => {
            change(world, &items, naming, mode, (delay, deliveries)).await;
        }
        Input::Evict { isolate, limbo } => world.evict(isolate, limbo),
        Input::Restart { object } => world.restart(object, "by plan"),
        Input::JournalDown { colo, millis } => {
            world.say(|| format!("journal unreachable from {colo:?} for {millis}"));
            world.faults.borrow_mut().journal.push((colo, until(millis)));
        }
        Input::ShardsDown { colo, millis } => {
            world.say(|| format!("shards unreachable from {colo:?} for {millis}"));
            world.faults.borrow_mut().shards.push((colo, until(millis)));
        }
        Input::OriginDown { millis } => {
            world.say(|| format!("origin down for {millis}"));
            world.faults.borrow_mut().origin = until(millis);
        }
        Input::ForgetColo { colo } => world.colos.borrow_mut()[colo].l1.clear(),
        Input::Backup => world.back_up(),
        Input::Restore if world.plan.lag == 0 => world.restore(),
        Input::Restore => {}
        Input::Warm { page } => warm(world, page).await,
        Input::Post { isolate, page } => post(world, isolate, page).await,
        Input::Reshard { shards } => world.reshard(shards),
    }
}

/// Who asks, where, for what.
#[derive(Clone)]
struct Visitor {
    isolate: usize,
    page: usize,
    german: bool,
    /// Their address, if they are somebody of their own.
    client: Option<String>,
}

/// A visitor changes a page, and sees that they did.
async fn post(world: &Rc<World>, isolate: usize, page: usize) {
    let request = world.sched.next();
    let owner = Owner::Request { isolate, request };
    let engine = world.isolates.borrow()[isolate].clone();
    let client = Some(format!("poster-{request}"));
    let item = SITE[page].items[0];
    let before = world.data.at(i64::MAX)[item];
    let posted = world.sched.now();
    world.say(|| format!("poster {request} changes page {page} in isolate {isolate}"));
    let node = Rc::new(Node::new(world, owner));
    let cookie = format!("visitor={request}");
    let head = RequestHead {
        method: "POST".to_owned(),
        client: client.clone(),
        ..head(page, false, &cookie)
    };
    let (sender, receiver) = oneshot();
    let serving = engine.clone();
    world.sched.spawn(owner, async move {
        let incoming = Incoming { head: Rc::new(head), body: None, client_accept_encoding: None };
        sender.send(respond(&serving, &node, incoming).await.status);
    });
    let Some(status) = receiver.await else { return };
    world.say(|| format!("poster {request} gets {status}"));
    if status >= 400 {
        return;
    }
    let visitor = Visitor { isolate, page, german: false, client };
    for _ in 0..3 {
        let same = std::ptr::eq(world.isolates.borrow()[isolate].isolate(), engine.isolate());
        let Some(seen) = visit_as(world, &visitor).await.filter(|_| same) else { return };
        // While the origin fails, an old page stands in; and one whose ETag is that of the change
        // is confirmed by a 304 that is newer than the change.
        let torn = world.torn.borrow().get(&page).is_some_and(|at| *at >= posted);
        let counts = seen.status == 200 && seen.label != Some(Label::OnError) && !torn;
        let read = seen.body.as_deref().filter(|_| counts).and_then(composed::read);
        let shown = read.and_then(|read| read.shown.into_iter().find(|(shown, _)| *shown == item));
        if shown.is_some_and(|(_, version)| version <= before) {
            let what = format!(
                "poster {request} gets {:?} {} after {before}",
                seen.body, seen.cache_status
            );
            return world.violate(Property::Own, what);
        }
        sleep(&world.sched, world.sched.below(2_000)).await;
    }
}

/// What a visitor saw.
struct Seen {
    status: u16,
    label: Option<Label>,
    journal_lost: bool,
    age: Option<i64>,
    cache_status: String,
    /// The cookie that it sets.
    cookie: Option<String>,
    body: Option<String>,
}

/// A visitor's request, judged.
async fn visit(world: &Rc<World>, isolate: usize, page: usize, german: bool) -> Option<Label> {
    visit_as(world, &Visitor { isolate, page, german, client: None }).await?.label
}

async fn visit_as(world: &Rc<World>, visitor: &Visitor) -> Option<Seen> {
    let Visitor { isolate, page, german, ref client } = *visitor;
    let request = world.sched.next();
    let owner = Owner::Request { isolate, request };
    let arrived = world.sched.now();
    let who = format!("visitor {request} of isolate {isolate} on page {page}");
    let cookie = match world.plan.composed {
        // In the end somebody comes who can have what is stored.
        Some(ref plan) if world.quiet.get() && plan.may_pass(page) => format!("visitor={request}"),
        Some(_) => composed::cookies(request),
        None => format!("visitor={request}"),
    };
    world.say(|| format!("{who} comes"));
    world.pending.borrow_mut().insert(request, (isolate, arrived));
    let engine = world.isolates.borrow()[isolate].clone();
    let node = Rc::new(Node::new(world, owner));
    let (sender, receiver) = oneshot();
    let head = RequestHead { client: client.clone(), ..head(page, german, &cookie) };
    let max_lag = bound(world, page);
    let had = held_in(&engine, page, german);
    let as_of = engine.isolate().borrow().view.as_of();
    let sees = as_of.is_some_and(|as_of| node.now().since(as_of) <= max_lag);
    let (began, composes) = (node.now(), world.plan.composed.is_some());
    world.sched.spawn(owner, async move {
        let incoming = Incoming { head: Rc::new(head), body: None, client_accept_encoding: None };
        let answer = respond(&engine, &node, incoming).await;
        let as_of = engine.isolate().borrow().view.as_of();
        let cache_status = answer.fields.get("cache-status").unwrap_or_default().to_owned();
        // A composed page waits for its parts after it was decided, and one that fails is named in
        // the place of how the page came about.
        let unseen = ["detail=journal-unreachable", "detail=fragment-failed"];
        let named = unseen.iter().any(|detail| cache_status.contains(detail));
        // Who has waited so long for another's news has decided without them, whatever has come
        // until the parts were there.
        let waited = composes && node.now().since(began) >= SHARED_WAIT;
        let decided_without = !sees && (named || waited);
        let journal_lost =
            decided_without || as_of.is_none_or(|as_of| node.now().since(as_of) > max_lag);
        let (label, age) =
            (label(&cache_status), answer.fields.get("age").and_then(|a| a.parse().ok()));
        let sets = answer.fields.get("set-cookie").map(str::to_owned);
        let mut whole = Vec::new();
        let end = match answer.body {
            Body::Empty => Ok(()),
            Body::Shell(_) => {
                whole.extend_from_slice(composed::MARKER.as_bytes());
                Ok(())
            }
            Body::Whole(chunk) => {
                whole.extend_from_slice(&chunk);
                Ok(())
            }
            Body::Fill(mut reader) => loop {
                match reader.next(&*node).await {
                    Ok(Some(piece)) => whole.extend_from_slice(&piece),
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            },
            Body::Composed(mut composed) => loop {
                match composed.next().await {
                    Ok(Some(piece)) => whole.extend_from_slice(&piece),
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            },
            Body::Origin(mut stream) => loop {
                match node.read(&mut stream, Millis(20_000)).await {
                    Ok(Some(piece)) => whole.extend_from_slice(&piece),
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            },
        };
        let body = end.ok().and_then(|()| String::from_utf8(whole).ok());
        sender.send(Seen {
            status: answer.status,
            label,
            journal_lost,
            age,
            cache_status,
            cookie: sets,
            body,
        });
    });
    let seen = receiver.await?;
    world.pending.borrow_mut().remove(&request);
    let limbo = world.plan.limbo;
    let weak = Rc::downgrade(world);
    let sched = Rc::clone(&world.sched);
    world.sched.spawn(Owner::World, async move {
        sleep(&sched, WAIT_UNTIL).await;
        if weak.upgrade().is_some() {
            sched.end(|o| *o == owner, limbo);
        }
    });
    world.say(|| format!("{who} gets {} {:?} {}", seen.status, seen.body, seen.cache_status));
    world.watch.borrow_mut().count("answers");
    judge(world, &who, (isolate, arrived), (page, german, &cookie), &seen);
    // Who changed the page is answered as if the edge were not there.
    let others = client.is_none();
    let passes = world.plan.composed.as_ref().is_some_and(|plan| plan.may_pass(page));
    // An answer that is no shell ends what is stored, before the page is asked for whole.
    let ended = world.changed.borrow().get(&page).is_some_and(|at| *at >= arrived);
    if let Some(had) = had
        .filter(|_| seen.status >= 500 && !seen.journal_lost && sees && others && !passes && !ended)
    {
        kept(world, &who, page, had.entry.request_time);
    }
    in_memory(world, isolate, page, german);
    Some(seen)
}

/// Nobody gets an error who could have had a stored page, where nothing was ever invalidated hard.
///
/// The age of a page begins with the request for it (RFC 9111 §4.2.3), and its window with the end
/// of its lifetime, or with an invalidation if that is sooner. Of one that fell into a bucket no
/// more is known than that the page is older.
fn kept(world: &World, who: &str, page: usize, requested: Timestamp) {
    let plan = &world.plan;
    let requested = requested.as_millis();
    let invalidated = world.given.borrow().values().any(|at| *at >= requested);
    let lifetime = if invalidated { 0 } else { plan.lifetime };
    let window = (lifetime + plan.sie) as i64 * 1_000 - Plan::SKEW;
    let open = requested + window > world.sched.now();
    let soft = plan.softly && !world.hard.get() && !world.watch.borrow().restored;
    if open && soft && !(plan.goes && page == 2) && plan.memory >= 1 << 20 {
        world.violate(
            Property::Kept,
            format!("{who} gets an error, and a copy of {requested} was there"),
        );
    }
}

fn judge(
    world: &Rc<World>,
    who: &str,
    (isolate, arrived): (usize, i64),
    (page, german, cookie): (usize, bool, &str),
    seen: &Seen,
) {
    let failed = world.failed.borrow().get(&page).is_some_and(|at| *at >= arrived - 14_000);
    let ended = world.ended.borrow().get(&isolate).is_some_and(|at| *at >= arrived - 14_000);
    let gone = seen.status == world.plan.gone
        && world.plan.goes
        && world.data.was_gone(page, arrived - 20_000);
    let Some(body) = seen.body.as_deref().filter(|_| seen.status == 200) else {
        if !failed && !ended && !gone {
            let what = format!("{who}: {} {:?} {}", seen.status, seen.body, seen.cache_status);
            world.violate(Property::NoWorse, what);
        }
        return;
    };
    let main = match &world.plan.composed {
        None => body,
        Some(plan) => {
            let (secret, cookies) = (seen.cookie.as_deref(), cookie);
            let (label, journal_lost) = (seen.label, seen.journal_lost);
            composed::judge(
                world,
                plan,
                &Visit { who, arrived, page, cookies, secret, label, journal_lost },
                body,
            )
        }
    };
    let Some(read) = origin::read(main) else {
        return world.violate(Property::NoWorse, format!("{who} got {body:?}"));
    };
    let lang = if german && SITE[page].varies { "de" } else { "en" };
    let alien = !read.seen.is_empty() && read.seen != cookie;
    if read.page != page || read.lang != lang || alien {
        world.violate(Property::Private, format!("{who} got {body}"));
    }
    let Some(label) = seen.label else { return };
    let now = &world.data.at(i64::MAX);
    let right = read.shown == origin::shown(page, now);
    let quiet = world.quiet.get() && !world.watch.borrow().unrepaired;
    if quiet && world.plan.goes && origin::gone(page, now) {
        world.violate(Property::Gone, format!("{who} got {body} in the end {}", seen.cache_status));
    }
    if quiet && label == Label::Fresh && !right {
        world
            .violate(Property::Heals, format!("{who} got {body} in the end {}", seen.cache_status));
    }
    let longest = (world.plan.lifetime + world.plan.swr) as i64;
    // What is composed has no Age.
    let left = seen
        .cache_status
        .split("ttl=")
        .nth(1)
        .and_then(|left| left.split(';').next()?.parse().ok());
    let composed = world.plan.composed.is_some() && composed::is_shell(page);
    let left = left.filter(|_| composed).map(|left: i64| world.plan.lifetime as i64 - left);
    if label == Label::Stale && seen.age.or(left).is_none_or(|age| age > longest) {
        world.violate(Property::Window, format!("{who} got {body} {}", seen.cache_status));
    }
    let (who, shows) = (who.to_owned(), read.shown.as_slice());
    let served = Served { who, arrived, label, page, shows, journal_lost: seen.journal_lost };
    let (max_lag, journal_lost_limit) =
        (bound(world, page).0 as i64, world.config.journal_lost_limit.0 as i64);
    world.watch.borrow_mut().judge(&served, max_lag, journal_lost_limit);
}

/// `max_lag` of a page's route.
fn bound(world: &World, page: usize) -> Millis {
    let route = world.config.route(SITE[page].host, SITE[page].path);
    route.max_lag.unwrap_or(world.config.max_lag)
}

/// What an isolate holds in memory of a page never gets older. Only where memory holds everything.
fn in_memory(world: &Rc<World>, isolate: usize, page: usize, german: bool) {
    if world.plan.memory < 1 << 20 {
        return;
    }
    let engine = world.isolates.borrow()[isolate].clone();
    let Some(held) = held_in(&engine, page, german) else { return };
    let now = (held.entry.stamp, held.entry.response_time);
    let before = world.held.borrow_mut().insert((isolate, page, german), now);
    if before.is_some_and(|before| before > now) {
        let what = format!("isolate {isolate} holds {now:?} of page {page} after {before:?}");
        world.violate(Property::Order, what);
    }
}

/// What an isolate holds in memory of a page.
fn held_in(engine: &Engine<Node>, page: usize, german: bool) -> Option<Rc<StoredPage<Rc<[u8]>>>> {
    let head = head(page, german, "");
    let Admission::Serve(admitted) = admit(&head, engine.config()) else { return None };
    let memory = &mut engine.isolate().borrow_mut().memory;
    let lang = if german { "de" } else { "en" };
    let held = match memory.get(&admitted.key) {
        Some(StoredRecord::Vary(_)) => {
            let selection = Selection(vec![("accept-language".to_owned(), lang.to_owned())]);
            memory.get(&admitted.key.variant(&selection))
        }
        held => held,
    };
    match held {
        Some(StoredRecord::Page(held)) => Some(held),
        _ => None,
    }
}

/// The operator asks for a page to be warmed, as the control API does it.
async fn warm(world: &Rc<World>, page: usize) {
    let job = format!("warm-{}", world.sched.next());
    let head = head(page, false, "");
    let Admission::Serve(admitted) = admit(&head, &world.config) else { return };
    let request = WarmRequest {
        job,
        page: admitted.page.clone(),
        key: admitted.key.clone(),
        selection: Selection::default(),
        request: Fields::new(),
        need: Epoch::ZERO,
    };
    let shard = admitted.key.digest().shard(world.shards.get());
    world.say(|| format!("page {page} is to be warmed: {}", request.job));
    drop(world.shard(Some(0), shard, ShardCall::Warm(request)).await);
}

/// How an answer came about; none if it was passed.
fn label(cache_status: &str) -> Option<Label> {
    // Where a part failed, that is named in the place of how the page came about.
    if cache_status.contains("detail=stale-if-error")
        || cache_status.contains("detail=fragment-failed")
    {
        return Some(Label::OnError);
    }
    let stale = ["invalidated", "stale-while-revalidate", "journal-unreachable"];
    if cache_status.contains(";hit") && stale.iter().any(|s| cache_status.contains(s)) {
        return Some(Label::Stale);
    }
    (!cache_status.contains("fwd=bypass") && !cache_status.contains("private"))
        .then_some(Label::Fresh)
}

fn head(page: usize, german: bool, cookie: &str) -> RequestHead {
    let site = &SITE[page];
    let lang = if german { "de" } else { "en" };
    let fields: Fields =
        [("host", site.host), ("accept-language", lang), ("cookie", cookie)].into_iter().collect();
    RequestHead {
        method: "GET".to_owned(),
        scheme: "https".to_owned(),
        host: site.host.to_owned(),
        path: site.path.to_owned(),
        query: None,
        fields,
        client: None,
    }
}

/// Data changes; its webhook is sent until it is acknowledged, and perhaps once more.
async fn change(
    world: &Rc<World>,
    items: &[usize],
    naming: Naming,
    mode: Mode,
    (delay, deliveries): (u64, u32),
) {
    let shows = world.data.change(items, world.sched.now());
    notify(world, shows, naming, mode, (delay, deliveries)).await;
}

/// When all is quiet: nothing is pending, and nothing acknowledged is forgotten.
fn at_rest(world: &Rc<World>, acks: &[Ack]) {
    for (request, (isolate, arrived)) in world.pending.borrow().iter() {
        if world.sched.now() - arrived > PATIENCE {
            let what = format!("visitor {request} of isolate {isolate} waits since {arrived}");
            world.violate(Property::Answered, what);
        }
    }
    let journal = world.sql(0);
    for table in ["outbox", "reinvalidation"] {
        let pending = query(&journal, &format!("SELECT count(*) FROM {table}"));
        if pending != [Value::Integer(0)] {
            world.violate(Property::NoLostWarm, format!("{table} has {pending:?} pending"));
        }
    }
    front_cache_purged(world, acks);
    if world.watch.borrow().unrepaired {
        return;
    }
    survives(world, acks);
    check_second_epochs(world, acks);
    for shard in 1..=usize::from(MAX_SHARDS) {
        no_lost_warm(world, shard, acks);
        moved(world, shard);
    }
}

/// Each page is with its own shard. A change that another followed before the journal was called
/// moves nothing: it got neither.
fn moved(world: &World, shard: usize) {
    if world.unheard_change.get() {
        return;
    }
    let heads = query(&world.sql(shard), "SELECT hex(substr(digest, 1, 4)) FROM page");
    for head in heads {
        let Value::Text(head) = head else { continue };
        let owner = u32::from_str_radix(&head, 16).unwrap() % u32::from(world.shards.get());
        if owner as usize + 1 != shard {
            let what = format!("shard {shard} still has a page of shard {}", owner + 1);
            world.violate(Property::Moved, what);
        }
    }
}

/// Each cache in front of the edge got what was acknowledged (since a restore), when all
/// isolates saw it.
fn front_cache_purged(world: &Rc<World>, acks: &[Ack]) {
    let Some(front_caches) = &world.front_caches else { return };
    let pending = query(&world.sql(0), "SELECT count(*) FROM front_cache");
    if pending != [Value::Integer(0)] {
        world.violate(
            Property::FrontCache,
            format!("{pending:?} pending for caches in front of the edge"),
        );
    }
    let bound = world.config.max_lag.0 as i64;
    let restored = world.restored_at.get();
    for ack in acks.iter().filter(|ack| ack.at > restored) {
        let given = world.given.borrow().get(&(ack.epoch, ack.id.clone())).copied();
        // What a restore took before its answer came is lost with it; its epoch may be another's by
        // now.
        let Some(given) = given.filter(|given| *given > restored) else { continue };
        for target in &ack.targets {
            if let Some(who) = front_caches.misses(target, given + bound) {
                let epoch = ack.epoch;
                let what = format!("{who} did not get epoch {epoch}, {target:?}, once all saw it");
                return world.violate(Property::FrontCache, what);
            }
        }
    }
}

fn survives(world: &Rc<World>, acks: &[Ack]) {
    let journal = world.sql(0);
    let held = |target: TargetHash, mode: Mode| -> u64 {
        let bytes = Value::Blob(target.0.to_be_bytes().to_vec());
        let column = if mode == Mode::Soft { "max(soft, hard)" } else { "hard" };
        let row =
            journal.exec(&format!("SELECT {column} FROM stamp WHERE hash = ?"), &[bytes]).unwrap();
        let bucket = journal
            .exec(
                "SELECT epoch FROM bucket WHERE bucket = ?",
                &[Value::Integer(i64::from(target.bucket()))],
            )
            .unwrap();
        let number = |rows: Vec<Vec<Value>>| match rows.first().and_then(|row| row.first()) {
            Some(Value::Integer(n)) => *n as u64,
            Some(Value::Null | Value::Text(_) | Value::Blob(_)) | None => 0,
        };
        number(row).max(number(bucket))
    };
    for ack in acks {
        for target in &ack.targets {
            let by_name = held(target.hash(), ack.mode) >= ack.epoch;
            if !by_name && held(Target::All.hash(), Mode::Hard) < ack.epoch {
                let what = format!("epoch {} of {target:?} is not in the journal", ack.epoch);
                return world.violate(Property::Survives, what);
            }
        }
    }
}

/// Where a replica lags, each has its second epoch: what was fetched between the two may be old,
/// and carries a current stamp.
fn check_second_epochs(world: &Rc<World>, acks: &[Ack]) {
    if world.plan.lag == 0 {
        return;
    }
    let watch = world.watch.borrow();
    let has_second = |ack: &&Ack| watch.committed.iter().any(|c| !c.lost && c.shows == ack.shows);
    let open = acks.iter().find(|ack| !has_second(ack)).map(|ack| ack.epoch);
    drop(watch);
    if let Some(epoch) = open {
        world.violate(Property::Survives, format!("epoch {epoch} has no second one"));
    }
}

fn no_lost_warm(world: &Rc<World>, shard: usize, acks: &[Ack]) {
    let sql = world.sql(shard);
    for table in ["warm", "expand"] {
        let left = query(&sql, &format!("SELECT count(*) FROM {table}"));
        if left != [Value::Integer(0)] {
            let what = format!("shard {shard} still has {table} {left:?}");
            return world.violate(Property::NoLostWarm, what);
        }
    }
    let odd = query(&sql, "SELECT id FROM job WHERE total <> done + failed + superseded");
    if !odd.is_empty() {
        let what = format!("shard {shard}: the counts of {odd:?} don't add up");
        return world.violate(Property::NoLostWarm, what);
    }
    let variants = sql
        .exec(
            "SELECT v.id, p.url, v.stamp FROM variant v JOIN page p ON p.id = v.page
                WHERE NOT EXISTS (SELECT 1 FROM dead WHERE variant = v.id)",
            &[],
        )
        .unwrap();
    for row in variants {
        let [Value::Integer(id), Value::Text(url), Value::Integer(stamp)] = row.as_slice() else {
            continue;
        };
        let names = sql
            .exec(
                "SELECT value FROM variant v, json_each(v.tags) WHERE v.id = ?",
                &[Value::Integer(*id)],
            )
            .unwrap();
        let tags: TagSet = names
            .iter()
            .filter_map(|row| match row.first() {
                Some(Value::Text(name)) => Tag::parse(name).ok(),
                Some(Value::Integer(_) | Value::Null | Value::Blob(_)) | None => None,
            })
            .collect();
        let (host, path) = url.split_at(url.find('/').unwrap_or(url.len()));
        let covers = page_targets(host, path, None, &tags);
        let missed = acks.iter().filter(|_| !world.watch.borrow().restored).find(|ack| {
            ack.epoch > *stamp as u64 && ack.targets.iter().any(|t| covers.contains(&t.hash()))
        });
        if let Some(ack) = missed {
            let what = format!("{url} ends at stamp {stamp}, but epoch {} warms it", ack.epoch);
            return world.violate(Property::NoLostWarm, what);
        }
    }
}

/// A restored journal has heard of what it lost, at the latest when it hands over an invalidation.
fn repaired(world: &Rc<World>) {
    if !world.watch.borrow().unrepaired {
        return;
    }
    let inner = Rc::clone(world);
    world.sched.spawn(Owner::World, async move {
        change(&inner, &[0], Naming::Tag, Mode::Soft, (0, 1)).await;
    });
    world.run(world.sched.now() + PATIENCE);
    if !world.watch.borrow().unrepaired {
        return;
    }
    let witnessed = world.watch.borrow().witnessed;
    if witnessed.is_some_and(|epoch| !given_again(world, epoch)) {
        let what = "the restored journal has not heard of what it lost".to_owned();
        return world.violate(Property::Survives, what);
    }
    let head = crate::world::journal_head(&world.sql(0));
    for shard in 1..=usize::from(MAX_SHARDS) {
        let seen = query(&world.sql(shard), "SELECT value FROM meta WHERE name = 'seen'");
        if seen.first().is_some_and(|s| matches!(s, Value::Integer(s) if *s as u64 > head)) {
            let what = format!("shard {shard} knows {seen:?}, the journal ends at {head}");
            world.violate(Property::Survives, what);
        }
    }
}

/// Whether what the restore lost up to an epoch was delivered again, and got the same epochs: then
/// whoever heard of these epochs heard nothing that the journal does not know.
fn given_again(world: &Rc<World>, up_to: u64) -> bool {
    let committed = &world.watch.borrow().committed;
    let again = |lost: &Committed| {
        committed.iter().any(|c| !c.lost && c.epoch == lost.epoch && c.shows == lost.shows)
    };
    committed.iter().filter(|c| c.lost && c.epoch <= up_to).all(again)
}

/// Visitors of each page in half of the colos, a few times: one of them gets what is fresh (and all
/// get what is right).
fn probe(world: &Rc<World>, from: i64) {
    world.quiet.set(true);
    let mut at = from;
    let now = world.data.at(i64::MAX);
    let is_gone = |page: &usize| world.plan.goes && origin::gone(*page, &now);
    for page in (0..PAGES - 1).filter(|page| !is_gone(page)) {
        let first = world.sched.below(COLOS as u64) as usize;
        for colo in [first, (first + 1) % COLOS, (first + 3) % COLOS] {
            let isolate = colo * ISOLATES_PER_COLO + (page + colo) % ISOLATES_PER_COLO;
            let fresh = Rc::new(Cell::new(false));
            for _ in 0..ROUNDS {
                let (inner, found) = (Rc::clone(world), Rc::clone(&fresh));
                world.sched.spawn(Owner::World, async move {
                    if visit(&inner, isolate, page, false).await == Some(Label::Fresh) {
                        found.set(true);
                    }
                });
                at += 1_300;
                world.run(at);
                if fresh.get() {
                    break;
                }
            }
            if !fresh.get() {
                // Messages and renders can take longer than the page's lifetime.
                at += PATIENCE;
                world.run(at);
            }
            if !fresh.get() && world.watch.borrow().violation.is_none() {
                let what = format!("isolate {isolate} never gets page {page} fresh");
                return world.violate(Property::Heals, what);
            }
        }
    }
    for page in (0..PAGES - 1).filter(is_gone) {
        for colo in 0..COLOS {
            let (inner, isolate) = (Rc::clone(world), colo * ISOLATES_PER_COLO);
            world.sched.spawn(Owner::World, async move {
                visit(&inner, isolate, page, false).await;
            });
        }
    }
    world.run(at + PATIENCE);
    let waiting = world.pending.borrow().len();
    if waiting > 0 && world.watch.borrow().violation.is_none() {
        world.violate(Property::Answered, format!("{waiting} visitors wait at the end"));
    }
}
