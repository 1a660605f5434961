//! The ports of one request, or of one object, in the world.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::rc::Rc;

use edge_isr::base::time::{Millis, Timestamp};
use edge_isr::cache::compose::mint::Random;
use edge_isr::cache::envelope::{self, Record};
use edge_isr::engine::port::{
    CallError, OriginError, OriginRequest, OriginResponse, Platform, PurgeError, Store, StoreError,
    Stored,
};
use edge_isr::front_caches::{DeliveryAnswer, DeliveryRequest};
use edge_isr::http::{Fields, ResponseHead};
use edge_isr::index::{LeaseReply, ShardCall, ShardReply};
use edge_isr::journal::delta::SharedDelta;
use edge_isr::journal::{JournalCall, JournalReply, Mode};

use crate::common::visit::{self, ReadyFields};
use crate::composed::{self, Composed};
use crate::origin::{self, SITE};
use crate::plan::{COLOS, ISOLATES_PER_COLO, Naming};
use crate::sched::{Owner, sleep};
use crate::watch::Property;
use crate::webhook::notify;
use crate::world::{Held, World, query};

/// "L2 has it", answered to one request.
const MAX_READIES: u32 = 6;

/// Where a request or an object is.
#[derive(Clone)]
pub(crate) struct ShardPlace {
    world: Rc<World>,
    owner: Owner,
}

/// The ports.
pub(crate) struct Node {
    place: ShardPlace,
    l1: Near,
    l2: Far,
    /// What the shard has answered to this request so far, of each page that it asked for.
    answers: Rc<AnswersByPage>,
}

/// By a page's path.
type AnswersByPage = RefCell<BTreeMap<String, Rc<ShardAnswers>>>;

/// What a page's shard has answered to one request.
#[derive(Default)]
struct ShardAnswers {
    /// How often "L2 has it".
    readies: Cell<u32>,
    /// The newest fencing number given before it asked first.
    first_fence: Cell<Option<u64>>,
    /// What L2 has, by the last answer: its key, its fencing number.
    ready: RefCell<Option<(String, u64)>>,
    /// Whether it read that.
    read: Cell<bool>,
    /// Whether it knows the page's tags.
    tags: Cell<bool>,
}

/// L1, from here.
pub(crate) struct Near(ShardPlace);
/// L2, from here.
pub(crate) struct Far(ShardPlace, Rc<AnswersByPage>);

/// A body of the origin.
pub(crate) struct Scripted {
    pieces: VecDeque<(u64, Vec<u8>)>,
    end: Result<(), OriginError>,
}

impl ShardPlace {
    /// An object's tasks run somewhere too.
    fn colo(&self) -> usize {
        match self.owner {
            Owner::Request { isolate, .. } => isolate / ISOLATES_PER_COLO,
            Owner::Object(_) | Owner::World => 0,
        }
    }

    /// The colo, if it is a visitor's.
    fn caller(&self) -> Option<usize> {
        match self.owner {
            Owner::Request { .. } => Some(self.colo()),
            Owner::Object(_) | Owner::World => None,
        }
    }

    fn skew(&self) -> i64 {
        match self.owner {
            Owner::Request { isolate, .. } => self.world.plan.skew[isolate],
            Owner::Object(object) => self.world.plan.skew[object],
            Owner::World => 0,
        }
    }

    /// A store's own time, and whether the operation fails.
    async fn store(&self, most: u64) -> Result<(), StoreError> {
        sleep(&self.world.sched, self.world.sched.below(most)).await;
        if self.world.unlucky(self.world.plan.store_fails) {
            return Err(StoreError::Failed("a bad day".to_owned()));
        }
        Ok(())
    }
}

impl Node {
    pub(crate) fn new(world: &Rc<World>, owner: Owner) -> Self {
        let place = ShardPlace { world: Rc::clone(world), owner };
        let answers = Rc::new(AnswersByPage::default());
        Self {
            l1: Near(place.clone()),
            l2: Far(place.clone(), Rc::clone(&answers)),
            place,
            answers,
        }
    }

    pub(crate) fn object(world: &Rc<World>, object: usize) -> Self {
        Self::new(world, Owner::Object(object))
    }
}

fn open(held: &Held) -> Result<Stored<Rc<[u8]>>, StoreError> {
    let record = envelope::decode(&held.head).map_err(|e| StoreError::Unreadable(e.to_string()))?;
    Ok(Stored { record, body: Rc::clone(&held.body) })
}

/// Every stored response is held against its stamp.
fn check(world: &World, place: &str, record: &Record, body: &Rc<[u8]>) {
    let Record::Entry(entry) = record else { return };
    let text = String::from_utf8_lossy(body);
    let Some(read) = composed::stored(&text) else {
        return world.violate(Property::Private, format!("{place} holds {text}"));
    };
    world.say(|| format!("{place} holds {text} stamped {} fence {}", entry.stamp.0, entry.fence));
    if SITE[read.page].private || !read.seen.is_empty() {
        world.violate(Property::Private, format!("{place} holds {text}"));
    }
    world.watch.borrow_mut().stamped(place, entry.stamp.0, &read.shown);
}

impl Store<Rc<[u8]>> for Near {
    type Body = Scripted;

    async fn get(&self, key: &str) -> Result<Option<Stored<Scripted>>, StoreError> {
        let place = &self.0;
        place.store(6).await?;
        let now = place.world.sched.now();
        let colos = place.world.colos.borrow();
        match colos[place.colo()].l1.get(key) {
            Some(held) if held.until > now => {
                let Stored { record, body } = open(held)?;
                let (pieces, end) = (VecDeque::from([(0, body.to_vec())]), Ok(()));
                Ok(Some(Stored { record, body: Scripted { pieces, end } }))
            }
            Some(_) | None => Ok(None),
        }
    }

    async fn put(
        &self,
        key: &str,
        record: &Record,
        body: &Rc<[u8]>,
        keep: Millis,
    ) -> Result<(), StoreError> {
        let place = &self.0;
        let slow = place.world.sched.below(place.world.plan.jams / 2) == 0;
        place.store(if slow { 800 } else { 20 }).await?;
        let head = envelope::encode(record).map_err(|e| StoreError::Unreadable(e.to_string()))?;
        let colo = place.colo();
        check(&place.world, &format!("L1 {colo}"), record, body);
        let held = Held {
            head: head.into(),
            body: Rc::clone(body),
            until: place.world.sched.now() + keep.0 as i64,
            visible: [0; COLOS],
        };
        place.world.colos.borrow_mut()[colo].l1.insert(key.to_owned(), held);
        Ok(())
    }
}

impl Store<Rc<[u8]>> for Far {
    type Body = Rc<[u8]>;

    async fn get(&self, key: &str) -> Result<Option<Stored<Rc<[u8]>>>, StoreError> {
        let place = &self.0;
        place.store(60).await?;
        let (now, colo) = (place.world.sched.now(), place.colo());
        place.world.watch.borrow_mut().count("l2_get");
        let mut colos = place.world.colos.borrow_mut();
        if colos[colo].missed.get(key).is_some_and(|until| *until > now) {
            return Ok(None);
        }
        match place.world.global.borrow().get(key) {
            Some(held) if held.until > now && held.visible[colo] <= now => {
                let stored = open(held)?;
                self.1.borrow().values().for_each(|answers| answers.read(key, &stored.record));
                Ok(Some(stored))
            }
            Some(_) | None => {
                if place.world.plan.l2_lags {
                    colos[colo].missed.insert(key.to_owned(), now + 60_000);
                }
                Ok(None)
            }
        }
    }

    async fn put(
        &self,
        key: &str,
        record: &Record,
        body: &Rc<[u8]>,
        keep: Millis,
    ) -> Result<(), StoreError> {
        let place = &self.0;
        place.store(if place.world.sched.below(8) == 0 { 2_000 } else { 200 }).await?;
        place.world.watch.borrow_mut().count("l2_put");
        let head = envelope::encode(record).map_err(|e| StoreError::Unreadable(e.to_string()))?;
        check(&place.world, "L2", record, body);
        let now = place.world.sched.now();
        let mut visible = [now; COLOS];
        if place.world.plan.l2_lags {
            for (colo, at) in visible.iter_mut().enumerate() {
                if colo != place.colo() && place.world.sched.below(2) == 0 {
                    *at += place.world.sched.below(60_000) as i64;
                }
            }
        }
        let held =
            Held { head: head.into(), body: Rc::clone(body), until: now + keep.0 as i64, visible };
        place.world.global.borrow_mut().insert(key.to_owned(), held);
        Ok(())
    }
}

impl Platform for Node {
    type Chunk = Rc<[u8]>;
    type Stream = Scripted;
    type Colo = Near;
    type Global = Far;
    type Head = ReadyFields;

    const LARGEST_PIECE: u64 = 65_536;

    fn head(_status: u16, fields: &Fields) -> ReadyFields {
        visit::ready(fields)
    }

    fn head_bytes(fields: &Fields) -> u64 {
        visit::ready_bytes(fields)
    }

    fn renew(head: &ReadyFields, age: &str, cache_status: &str) {
        visit::renew(head, age, cache_status);
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.place.world.sched.now() + self.place.skew())
    }

    async fn sleep(&self, span: Millis) {
        sleep(&self.place.world.sched, span.0).await;
    }

    fn unique(&self) -> String {
        format!("unique-{}", self.place.world.sched.next())
    }

    fn random(&self) -> Random {
        let mut next = self.place.world.sched.next().wrapping_add(1);
        std::array::from_fn(|_| {
            next = next
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (next >> 56) as u8
        })
    }

    fn log(&self, line: &str) {
        self.place.world.say(|| format!("{:?} {line}", self.place.owner));
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.place.world.sched.spawn(self.place.owner, task);
    }

    fn has_visitor_left(&self) -> bool {
        false
    }

    fn colo_name(&self) -> String {
        match self.place.owner {
            Owner::Request { .. } => format!("colo-{}", self.place.colo()),
            Owner::Object(_) | Owner::World => String::new(),
        }
    }

    fn colo(&self) -> &Near {
        &self.l1
    }

    fn global(&self) -> &Far {
        &self.l2
    }

    async fn shared_delta(&self) -> Result<Option<SharedDelta>, StoreError> {
        self.place.store(6).await?;
        let now = self.place.world.sched.now();
        let colos = self.place.world.colos.borrow();
        let news = colos[self.place.colo()].news.as_ref().filter(|(_, until)| *until > now);
        Ok(news.map(|(news, _)| news.clone()))
    }

    async fn share_delta(&self, news: &SharedDelta, keep: Millis) -> Result<(), StoreError> {
        let world = &self.place.world;
        self.place.store(if world.sched.below(8) == 0 { 800 } else { 20 }).await?;
        let until = world.sched.now() + keep.0 as i64;
        world.colos.borrow_mut()[self.place.colo()].news = Some((news.clone(), until));
        Ok(())
    }

    async fn purge_workers_cache(&self, _mark: bool, _options: &str) -> Result<(), PurgeError> {
        Err(PurgeError::Absent)
    }

    async fn call_front_cache(
        &self,
        request: DeliveryRequest,
        _timeout: Millis,
    ) -> Result<DeliveryAnswer, OriginError> {
        let world = &self.place.world;
        let Some(front_caches) = &world.front_caches else {
            world.violate(Property::Objects, format!("delivered {}", request.url));
            return Err(OriginError::Unreachable);
        };
        world.watch.borrow_mut().count("delivered");
        let said = format!(
            "{} {} {}",
            request.method,
            request.url,
            String::from_utf8_lossy(&request.body)
        );
        let answer = front_caches.deliver(&world.sched, request, world.healed.get()).await;
        world.say(|| {
            let answer = answer.as_ref();
            let answer =
                answer.map(|a| (a.head.status, String::from_utf8_lossy(&a.body).into_owned()));
            format!("front_cache gets {said}: {answer:?}")
        });
        answer
    }

    async fn fetch(
        &self,
        request: OriginRequest<Scripted, Rc<[u8]>>,
    ) -> Result<OriginResponse<Scripted>, OriginError> {
        let world = &self.place.world;
        if let Some(composed) = &world.plan.composed
            && request.target.starts_with("/_edge_isr/personal?")
        {
            return self.parts(composed, &request).await;
        }
        let host = request.fields.get("x-forwarded-host").unwrap_or_default().to_owned();
        let page = SITE.iter().position(|p| p.host == host && p.path == request.target);
        let Some(page) = page else {
            world.violate(Property::Objects, format!("asked for {host}{}", request.target));
            return Err(OriginError::Broken);
        };
        world.watch.borrow_mut().count("origin");
        if request.method != "GET" {
            return self.posted(page).await;
        }
        world.say(|| format!("{:?} asks the origin for page {page}", self.place.owner));
        let answer = self.answer(page, &request).await;
        if let Err(error) = &answer {
            world.say(|| format!("{:?} gets {error:?} from the origin", self.place.owner));
            world.failed.borrow_mut().insert(page, world.sched.now());
        }
        answer
    }

    async fn read(
        &self,
        body: &mut Scripted,
        timeout: Millis,
    ) -> Result<Option<Rc<[u8]>>, OriginError> {
        match body.pieces.pop_front() {
            Some((delay, _)) if delay > timeout.0 => {
                self.sleep(timeout).await;
                Err(OriginError::Timeout)
            }
            Some((delay, piece)) => {
                self.sleep(Millis(delay)).await;
                Ok(Some(piece.into()))
            }
            None => body.end.map(|()| None),
        }
    }

    async fn whole(&self, body: Scripted, length: u64) -> Result<Rc<[u8]>, StoreError> {
        let bytes: Vec<u8> = body.pieces.into_iter().flat_map(|(_, piece)| piece).collect();
        match bytes.len() as u64 == length {
            true => Ok(bytes.into()),
            false => Err(StoreError::Unreadable("a body of another length".to_owned())),
        }
    }

    fn cancel(&self, _body: Scripted) {}

    fn length(chunk: &Rc<[u8]>) -> usize {
        chunk.len()
    }

    fn concat(chunks: &[Rc<[u8]>]) -> Rc<[u8]> {
        chunks.iter().flat_map(|chunk| chunk.iter().copied()).collect()
    }

    fn chunk(bytes: &[u8]) -> Rc<[u8]> {
        bytes.into()
    }

    fn bytes(chunk: &Rc<[u8]>) -> Vec<u8> {
        chunk.to_vec()
    }

    fn slice(chunk: &Rc<[u8]>, from: u64, to: u64) -> Rc<[u8]> {
        chunk[from as usize..to as usize].into()
    }

    async fn journal(&self, call: JournalCall) -> Result<JournalReply, CallError> {
        if let JournalCall::Append(append) = &call {
            self.place.world.will_invalidate(append);
        }
        self.place.world.journal(self.place.caller(), call).await
    }

    async fn shard(&self, shard: u16, call: ShardCall) -> Result<ShardReply, CallError> {
        let mut leases = None;
        if let ShardCall::Lease(ask) = &call {
            let (need, have) = (ask.need.0, ask.have_fence);
            let answers =
                Rc::clone(self.answers.borrow_mut().entry(ask.page.path.clone()).or_default());
            answers.asks(&self.place);
            leases = Some(answers);
            self.place
                .world
                .say(|| format!("{:?} asks for leave: need {need} have {have}", self.place.owner));
        }
        let reply = self.place.world.shard(self.place.caller(), shard, call).await;
        if let Some(answers) = leases {
            self.place.world.say(|| format!("{:?} gets {reply:?}", self.place.owner));
            if let Ok(ShardReply::Lease(reply)) = &reply {
                answers.hears(&self.place, reply);
            }
        }
        reply
    }
}

impl ShardAnswers {
    /// It asks its shard once more.
    fn asks(&self, place: &ShardPlace) {
        let first = self.first_fence.get();
        let ready = self.ready.take().filter(|_| self.read.replace(false));
        if let (Some((key, fence)), Some(first)) = (ready, first)
            && fence > first
        {
            let what = format!("{:?} turns down {key}, fetched after it came", place.owner);
            place.world.violate(Property::Starved, what);
        }
    }

    fn hears(&self, place: &ShardPlace, reply: &LeaseReply) {
        match reply {
            LeaseReply::Grant(grant) | LeaseReply::Ticket(grant) => {
                self.tags.set(!grant.tags.is_empty());
            }
            LeaseReply::Ready(ready) => {
                self.first_fence.set(self.first_fence.get().or(Some(ready.latest_fence)));
                self.ready.replace(Some((ready.l2_key.clone(), ready.fence)));
                self.readies.set(self.readies.get() + 1);
            }
            LeaseReply::Wait { latest_fence, .. } => {
                self.first_fence.set(self.first_fence.get().or(Some(*latest_fence)));
            }
            LeaseReply::Vary { .. } => {}
        }
        if self.readies.get() > MAX_READIES {
            let what = format!("{:?} gets again and again what it has", place.owner);
            place.world.violate(Property::Starved, what);
        }
    }

    fn read(&self, key: &str, record: &Record) {
        let is_it = self.ready.borrow().as_ref().is_some_and(|(ready, _)| ready == key);
        self.read.set(is_it);
        if let Record::Entry(entry) = record
            && !entry.tags.is_empty()
            && is_it
        {
            self.tags.set(true);
        }
    }
}

impl Node {
    /// The origin takes a change, and sends the visitor back to the page.
    async fn posted(&self, page: usize) -> Result<OriginResponse<Scripted>, OriginError> {
        let (world, site) = (&self.place.world, &SITE[page]);
        sleep(&world.sched, world.sched.below(world.plan.render.max(1))).await;
        if world.faults.borrow().origin > world.sched.now() {
            return Err(OriginError::Unreachable);
        }
        let shows = world.data.change(&site.items[..1], world.sched.now());
        world.say(|| format!("data is {} now, by a visitor", origin::words(&shows)));
        // The edge knows that this page has changed. That others have, only the origin knows;
        // where its ETags are newer than its bodies, no validation would find out.
        if world.plan.torn {
            let (inner, delay) = (Rc::clone(world), world.sched.below(2_000));
            world.sched.spawn(Owner::World, async move {
                notify(&inner, shows, Naming::Tag, Mode::Soft, (delay, 1)).await;
            });
        }
        Ok(match world.sched.below(2) {
            0 => simple(200, &[], "thanks"),
            _ => simple(303, &[("location", "/thanks")], ""),
        })
    }

    async fn answer(
        &self,
        page: usize,
        request: &OriginRequest<Scripted, Rc<[u8]>>,
    ) -> Result<OriginResponse<Scripted>, OriginError> {
        let (world, site) = (&self.place.world, &SITE[page]);
        let (sched, plan) = (&world.sched, &world.plan);
        let slow = |most: u64| sched.below(most.max(1));
        // A shard's own task has the tags that the shard knows.
        let known = match self.place.owner {
            Owner::Object(_) => self.knows_tags(page),
            Owner::Request { .. } | Owner::World => {
                self.answers.borrow().get(site.path).is_some_and(|answers| answers.tags.get())
            }
        };
        sleep(sched, slow(plan.render / 2)).await;
        let down = world.faults.borrow().origin > sched.now();
        if down || world.unlucky(plan.origin_fails) {
            return match sched.below(4) {
                0 => Err(OriginError::Unreachable),
                1 => {
                    sleep(sched, request.timeout.0).await;
                    Err(OriginError::Timeout)
                }
                _ => {
                    world.failed.borrow_mut().insert(page, sched.now());
                    Ok(simple(500, &[], "sorry"))
                }
            };
        }
        let lag = if plan.lag > 0 { sched.below(plan.lag) as i64 } else { 0 };
        let now = || sched.now() - lag;
        let lang = request.fields.get("accept-language").unwrap_or("en");
        let lang = if site.varies && lang.starts_with("de") { "de" } else { "en" };
        let etag_of = |at: i64| {
            let versions = world.data.at(at);
            format!("\"{}.{lang}\"", origin::words(&origin::shown(page, &versions)))
        };
        if let Some(condition) = request.fields.get("if-none-match")
            && condition == etag_of(now())
        {
            world.say(|| format!("origin 304 {page} {condition}"));
            world.watch.borrow_mut().count("304");
            let etag = etag_of(now());
            let control = self.control();
            sleep(sched, slow(plan.net)).await;
            return Ok(simple(304, &[("etag", &etag), ("cdn-cache-control", &control)], ""));
        }
        if plan.goes && origin::gone(page, &world.data.at(now())) {
            world.say(|| format!("origin 404 {page}"));
            world.watch.borrow_mut().count("404");
            sleep(sched, slow(plan.net)).await;
            return Ok(simple(plan.gone, &[], "gone"));
        }
        let shown = origin::shown(page, &world.data.at(now()));
        world.data.renders.set(world.data.renders.get() + 1);
        let render = world.data.renders.get();
        // What takes long begins with reading the data.
        let long = !world.healed.get() && sched.below(8) == 0;
        let delay = if long { 1_500 + sched.below(4_000) } else { slow(plan.render) };
        if delay + plan.render / 2 > request.timeout.0 {
            sleep(sched, request.timeout.0).await;
            return Err(OriginError::Timeout);
        }
        sleep(sched, delay).await;
        let own = etag_of_shown(&shown, lang);
        let etag = if plan.torn { etag_of(now()) } else { own.clone() };
        if etag != own {
            world.torn.borrow_mut().insert(page, now());
        }
        let cookie = request.fields.get("cookie").unwrap_or_default();
        let body = origin::body(page, &shown, render, lang, cookie);
        world.say(|| format!("origin 200 {body} etag {etag} for {:?}", self.place.owner));
        let (body, mut fields) = match &plan.composed {
            Some(composed) if composed::is_shell(page) => {
                let shared = composed::SHARED;
                let (shown, render) = (origin::shown(shared, &world.data.at(now())), render);
                let shared = origin::body(shared, &shown, render, "en", "");
                self.composed(composed, (page, render), request, (body, &shared))
            }
            _ => {
                let mut fields = Fields::new();
                fields.set("etag", etag);
                if site.private {
                    fields.set("cache-control", "private");
                } else {
                    fields.set("cdn-cache-control", self.control());
                }
                (body, fields)
            }
        };
        // Parts are UTF-8, and stand in the middle of a page.
        let charset = if plan.composed.is_some() { "; charset=utf-8" } else { "" };
        fields.set("content-type", format!("text/plain{charset}"));
        if !(plan.drops_tags && page == 1 && known && sched.below(2) == 0) {
            let tags: Vec<String> = shown.iter().map(|(item, _)| origin::tag(*item)).collect();
            fields.set("x-edge-isr-tags", tags.join(" "));
        }
        if site.varies {
            fields.set("vary", "accept-language");
        }
        let middle = body.len() / 2;
        let pieces = [body[..middle].to_owned(), body[middle..].to_owned()];
        let mut pieces: VecDeque<_> =
            pieces.into_iter().map(|p| (slow(plan.net * 2), p.into_bytes())).collect();
        let cut = world.unlucky(plan.origin_fails / 2.0);
        if cut {
            pieces.pop_back();
            world.failed.borrow_mut().insert(page, sched.now() + 2_000);
        }
        let end = if cut { Err(OriginError::Broken) } else { Ok(()) };
        let head = ResponseHead { status: 200, fields };
        Ok(OriginResponse { head, body: Scripted { pieces, end } })
    }

    /// A page that can be composed: its shell for the edge, inline for all others.
    fn composed(
        &self,
        composed: &Composed,
        (page, render): (usize, u64),
        request: &OriginRequest<Scripted, Rc<[u8]>>,
        (body, shared): (String, &str),
    ) -> (String, Fields) {
        let (world, plan) = (&self.place.world, &self.place.world.plan);
        if request.fields.get("x-edge-isr-compose") != Some("v=1") {
            let cookies = request.fields.get("cookie").unwrap_or_default();
            let fields = [("cache-control", "private, no-store")].into_iter().collect();
            return (composed::inline(page, &body, cookies, shared), fields);
        }
        let (mut body, mut fields) = composed::shell(composed, page, &body, render);
        let described = fields.get("x-edge-isr-compose").unwrap_or_default();
        let lives = (plan.lifetime, plan.swr, plan.sie);
        let lives = format!("v=1, max-age={}, swr={}, sie={}", lives.0, lives.1, lives.2);
        fields.set("x-edge-isr-compose", format!("{lives}, {described}"));
        if world.unlucky(composed.changed) {
            world.watch.borrow_mut().count("changed shells");
            world.changed.borrow_mut().insert(page, world.sched.now());
            composed::change(world.sched.below(5), &mut fields, &mut body);
        }
        (body, fields)
    }

    /// A visitor's own parts; now and then an error, or what was another's.
    async fn parts(
        &self,
        composed: &Composed,
        request: &OriginRequest<Scripted, Rc<[u8]>>,
    ) -> Result<OriginResponse<Scripted>, OriginError> {
        let (world, plan) = (&self.place.world, &self.place.world.plan);
        let sched = &world.sched;
        world.watch.borrow_mut().count("parts");
        let failed = || world.parts_failed.set(sched.now());
        let long = !world.healed.get() && sched.below(8) == 0;
        let delay =
            if long { 1_000 + sched.below(4_000) } else { sched.below(plan.render.min(900)) };
        if delay >= 900 {
            failed();
        }
        sleep(sched, delay).await;
        if world.faults.borrow().origin > sched.now() || world.unlucky(plan.origin_fails) {
            failed();
            return match sched.below(3) {
                0 => Err(OriginError::Unreachable),
                1 => Ok(simple(500, &[], "sorry")),
                _ => {
                    sleep(sched, request.timeout.0).await;
                    Err(OriginError::Timeout)
                }
            };
        }
        let Some(body) = composed::parts(&request.fields) else {
            world.violate(Property::Objects, format!("asked for {}", request.target));
            return Err(OriginError::Broken);
        };
        world.say(|| format!("origin 200 {body} for {:?}", self.place.owner));
        let mut fields =
            vec![("content-type", "application/json"), ("cache-control", "private, no-store")];
        let last = world.last_parts.borrow_mut().replace(body.clone());
        if let Some(last) = last.filter(|_| world.unlucky(composed.mixed)) {
            failed();
            return Ok(simple(200, &fields, &last));
        }
        if world.unlucky(composed.fails) {
            failed();
            let status = match sched.below(4) {
                0 => 302,
                1 => 404,
                2 => {
                    fields.push(("age", "1"));
                    200
                }
                _ => {
                    fields[0].1 = "text/html";
                    200
                }
            };
            return Ok(simple(status, &fields, &body));
        }
        Ok(simple(200, &fields, &body))
    }

    fn control(&self) -> String {
        let plan = &self.place.world.plan;
        format!(
            "max-age={}, stale-while-revalidate={}, stale-if-error={}",
            plan.lifetime, plan.swr, plan.sie
        )
    }

    /// Whether some shard knows tags of the page: only then can a refill inherit them.
    fn knows_tags(&self, page: usize) -> bool {
        let url = format!("{}{}", SITE[page].host, SITE[page].path);
        (1..=usize::from(crate::plan::MAX_SHARDS)).any(|object| {
            let known = format!(
                "SELECT count(*) FROM tagged t JOIN variant v ON v.id = t.variant
                    JOIN page p ON p.id = v.page WHERE p.url = '{url}'"
            );
            query(&self.place.world.sql(object), &known).first()
                != Some(&edge_isr::base::sql::Value::Integer(0))
        })
    }
}

fn etag_of_shown(shown: &[(usize, u32)], lang: &str) -> String {
    format!("\"{}.{lang}\"", origin::words(shown))
}

fn simple(status: u16, fields: &[(&str, &str)], body: &str) -> OriginResponse<Scripted> {
    let head = ResponseHead { status, fields: fields.iter().map(|(n, v)| (*n, *v)).collect() };
    let pieces = VecDeque::from([(0, body.as_bytes().to_vec())]);
    OriginResponse { head, body: Scripted { pieces, end: Ok(()) } }
}
