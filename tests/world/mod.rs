//! A small world in virtual time: the real engine, journal and shards on real SQLite, with a
//! scripted origin.
//!
//! One thread, no sleeps: when nothing can go on, the clock jumps to the next timer. Every call
//! through a port is counted, so that a test can say what a request cost.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of the world")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::future::{Either, select};

use edge_isr::base::time::{Millis, Timestamp};
use edge_isr::cache::compose::mint::Random;
use edge_isr::cache::envelope::{self, Record};
use edge_isr::cache::tag::{Tag, Target};
use edge_isr::config::Config;
use edge_isr::config::front_cache_access::FrontCacheAccess;
use edge_isr::control::Secrets;
use edge_isr::control::healthz::HealthReason;
use edge_isr::engine::invalidate::fan_out::{self, JournalHost};
use edge_isr::engine::operate::{ControlContext, own_call};
use edge_isr::engine::parts::{Operator, Server, Warmer};
use edge_isr::engine::port::{
    CallError, Content, OriginError, OriginRequest, OriginResponse, Platform, PurgeError, Store,
    StoreError, Stored, Upload, UploadState,
};
use edge_isr::engine::serve::response::{Answer, Body};
use edge_isr::engine::warm::{self, ShardHost};
use edge_isr::engine::{Engine, Incoming};
use edge_isr::front_caches;
use edge_isr::http::{Fields, RequestHead, ResponseHead};
use edge_isr::index::{Shard, ShardCall, ShardConfig, ShardReply};
use edge_isr::journal::delta::SharedDelta;
use edge_isr::journal::{
    Append, CalledBy, Journal, JournalCall, JournalConfig, JournalReply, Mode,
};

use crate::common::sqlite::Sqlite;
use crate::common::visit::{self, ReadyFields};

/// The world's first moment.
pub const DAWN: i64 = 1_800_000_000_000;

/// A record as stored: head, body, and until when.
type Envelope = (Vec<u8>, Rc<[u8]>, i64);
type Task = Pin<Box<dyn Future<Output = ()>>>;

/// What the origin answers.
#[derive(Clone)]
pub struct Script {
    pub status: u16,
    pub fields: Fields,
    /// Pieces of the body, each with the pause before it.
    pub pieces: Vec<(u64, Vec<u8>)>,
    /// How the body ends.
    pub end: Result<(), OriginError>,
    /// The pause before the head.
    pub delay: u64,
}

impl Script {
    pub fn new(status: u16, fields: &[(&str, &str)], body: &str) -> Self {
        Self {
            status,
            fields: fields.iter().map(|(n, v)| (*n, *v)).collect(),
            pieces: vec![(0, body.as_bytes().to_vec())],
            end: Ok(()),
            delay: 1,
        }
    }

    pub fn after(mut self, millis: u64) -> Self {
        self.delay = millis;
        self
    }
}

/// What reached the origin.
#[derive(Clone, Debug)]
pub struct Reached {
    pub method: String,
    pub target: String,
    pub fields: Fields,
}

type PurgeScript = Box<dyn Fn(bool) -> Result<(), PurgeError>>;
type BodyScript = Box<dyn Fn(&front_caches::DeliveryRequest) -> String>;
type FrontCacheScript = Box<dyn Fn(&front_caches::DeliveryRequest) -> FrontCacheAnswer>;
type OriginScript = Box<dyn Fn(&Reached) -> Result<Script, OriginError>>;

/// What a cache in front of the edge answers: status and fields.
pub type FrontCacheAnswer = Result<(u16, &'static [(&'static str, &'static str)]), OriginError>;

/// The secrets of the front caches `cdn`, `hook` and `front`.
const FRONT_CACHE_SECRETS: &str = "cdn:cdn-secret, hook:hook-secret, front:AKID/front-secret";

/// The world.
pub struct World {
    now: Cell<i64>,
    sequence: Cell<u64>,
    timers: RefCell<BTreeMap<(i64, u64), Waker>>,
    tasks: RefCell<HashMap<u64, Task>>,
    ready: Arc<Mutex<VecDeque<u64>>>,
    colos: RefCell<HashMap<String, HashMap<String, Envelope>>>,
    global: RefCell<HashMap<String, Envelope>>,
    news: RefCell<HashMap<String, (SharedDelta, i64)>>,
    origin: RefCell<OriginScript>,
    pub reached: RefCell<Vec<Reached>>,
    /// How often anything waited for a time.
    pub sleeps: Cell<u64>,
    /// Requests whose head the origin has not answered yet, and the most at once.
    pub at_origin: Cell<u32>,
    pub most_at_origin: Cell<u32>,
    pub lines: RefCell<Vec<String>>,
    pub counts: RefCell<BTreeMap<&'static str, u64>>,
    /// Calls take no time. Who waits by a timer of its own waits as ever.
    pub still: Cell<bool>,
    pub journal_down: Cell<bool>,
    /// How the next calls to objects fail, and whether they do what they were asked before.
    pub object_errors: RefCell<VecDeque<(bool, CallError)>>,
    pub shards_down: Cell<bool>,
    /// Whether a call to an object breaks off.
    pub call_breaks: RefCell<Box<dyn FnMut() -> bool>>,
    /// What a cache in front of the edge answers.
    pub front_cache: RefCell<FrontCacheScript>,
    /// The body of that.
    pub front_cache_body: RefCell<BodyScript>,
    /// The requests that it was sent.
    pub front_cache_requests: RefCell<Vec<front_caches::DeliveryRequest>>,
    /// What Workers Caching answers to a purge (`false`) and to a mark (`true`).
    pub before: RefCell<PurgeScript>,
    /// What it was asked, and did not lack.
    pub purged: RefCell<Vec<(bool, String)>>,
    /// What each alarm of a shard asked for: of the origin, of objects and L2.
    pub of_alarms: RefCell<Vec<(u64, u64)>>,
    /// How long a call to a shard takes.
    pub shard_millis: Cell<u64>,
    /// What L2 takes as one record.
    pub global_most: Cell<u64>,
    /// Shards of the version before, that don't know how to move pages.
    pub shards_before: Cell<bool>,
    journal_host: RefCell<Rc<JournalHost<Sqlite>>>,
    shard_hosts: RefCell<Vec<Rc<ShardHost<Sqlite>>>>,
    /// What survives a deploy: the journal's database, and the shards'.
    databases: RefCell<Vec<Sqlite>>,
    shard_engine: RefCell<Option<Engine<Node>>>,
}

struct Wakes(u64, Arc<Mutex<VecDeque<u64>>>);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push_back(self.0);
    }
}

/// The ports of one request in the world.
pub struct Node {
    world: Rc<World>,
    colo: String,
    /// How far its clock is ahead of the world's.
    ahead: u64,
    /// Whether its visitor has left.
    pub left: Cell<bool>,
    l1: Colo,
    l2: Global,
}

/// One colo's L1.
pub struct Colo(Rc<World>, String);
/// L2.
pub struct Global(Rc<World>);

/// A body of the origin.
pub struct Scripted {
    pieces: VecDeque<(u64, Vec<u8>)>,
    end: Result<(), OriginError>,
}

impl Scripted {
    /// A body that begins, and then stays away: no more comes within any time limit.
    pub fn idle(bytes: &[u8]) -> Self {
        Self { pieces: VecDeque::from([(0, bytes.to_vec()), (u64::MAX, Vec::new())]), end: Ok(()) }
    }

    /// A body in pieces, each with the pause before it.
    pub fn pieces(pieces: &[(u64, &[u8])]) -> Self {
        let pieces = pieces.iter().map(|(pause, piece)| (*pause, piece.to_vec())).collect();
        Self { pieces, end: Ok(()) }
    }

    /// A body that is there at once.
    pub fn whole(bytes: &[u8]) -> Self {
        Self { pieces: VecDeque::from([(0, bytes.to_vec())]), end: Ok(()) }
    }
}

impl Node {
    /// Reads a visitor's body whole.
    async fn upload(&self, mut upload: Upload<Scripted>) -> Result<(), OriginError> {
        let end = self.now().plus(upload.limit);
        loop {
            match self.read(&mut upload.body, end.since(self.now())).await {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(OriginError::Timeout) => return Err(OriginError::Upload),
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks, as the runtime does, whether an upload gives way.
    async fn given_up(&self, state: &Cell<UploadState>) {
        while state.get() != UploadState::GivenUp {
            self.world.sleep(1_000).await;
        }
    }
}

impl World {
    pub fn new(config: &Config) -> Rc<Self> {
        let databases = vec![Sqlite::memory()];
        let world = Rc::new(Self {
            now: Cell::new(DAWN),
            sequence: Cell::new(0),
            timers: RefCell::default(),
            tasks: RefCell::default(),
            ready: Arc::default(),
            colos: RefCell::default(),
            global: RefCell::default(),
            news: RefCell::default(),
            origin: RefCell::new(Box::new(|_| Err(OriginError::Unreachable))),
            reached: RefCell::default(),
            at_origin: Cell::new(0),
            sleeps: Cell::default(),
            most_at_origin: Cell::new(0),
            lines: RefCell::default(),
            counts: RefCell::default(),
            still: Cell::new(false),
            journal_down: Cell::new(false),
            object_errors: RefCell::default(),
            shards_down: Cell::new(false),
            call_breaks: RefCell::new(Box::new(|| false)),
            front_cache: RefCell::new(Box::new(|_| Ok((200, &[])))),
            front_cache_body: RefCell::new(Box::new(|_| String::new())),
            before: RefCell::new(Box::new(|_| Err(PurgeError::Absent))),
            purged: RefCell::new(Vec::new()),
            front_cache_requests: RefCell::default(),
            of_alarms: RefCell::default(),
            shard_millis: Cell::new(3),
            global_most: Cell::new(u64::MAX),
            shards_before: Cell::new(false),
            journal_host: RefCell::new(journal_host(&databases[0], config)),
            shard_hosts: RefCell::default(),
            databases: RefCell::new(databases),
            shard_engine: RefCell::new(None),
        });
        world.deploy(config);
        world
    }

    /// The objects begin anew with these settings, on what they stored.
    pub fn deploy(&self, config: &Config) {
        let mut databases = self.databases.borrow_mut();
        let most = databases.len().max(usize::from(config.shards) + 1);
        databases.resize_with(most, Sqlite::memory);
        *self.journal_host.borrow_mut() = journal_host(&databases[0], config);
        let shard_host = |sql: &Sqlite| {
            Rc::new(ShardHost::new(Shard::open(sql.clone(), ShardConfig::of(config))))
        };
        *self.shard_hosts.borrow_mut() = databases[1..].iter().map(shard_host).collect();
        *self.shard_engine.borrow_mut() = Some(Engine::new(config.clone(), None));
    }

    pub fn origin(&self, script: impl Fn(&Reached) -> Result<Script, OriginError> + 'static) {
        *self.origin.borrow_mut() = Box::new(script);
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.get())
    }

    fn next(&self) -> u64 {
        self.sequence.set(self.sequence.get() + 1);
        self.sequence.get()
    }

    fn count(&self, what: &'static str) {
        *self.counts.borrow_mut().entry(what).or_default() += 1;
    }

    /// All that is stored in colos and in the world, as far as it is text.
    pub fn stored_text(&self) -> String {
        let colos = self.colos.borrow();
        let global = self.global.borrow();
        let all = colos.values().flat_map(HashMap::values).chain(global.values());
        all.flat_map(|(head, body, _)| [head.as_slice(), body])
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .collect()
    }

    /// What was called since the last call of this.
    pub fn spent(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut self.counts.borrow_mut())
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let id = self.next();
        self.tasks.borrow_mut().insert(id, Box::pin(task));
        self.ready.lock().unwrap().push_back(id);
    }

    /// Runs until the future is done; the clock jumps whenever nothing else can go on.
    pub fn run<T: 'static>(self: &Rc<Self>, future: impl Future<Output = T> + 'static) -> T {
        let slot = Rc::new(RefCell::new(None));
        let out = Rc::clone(&slot);
        self.spawn(async move {
            let value = future.await;
            *out.borrow_mut() = Some(value);
        });
        while slot.borrow().is_none() {
            assert!(self.step(i64::MAX), "nothing can go on, and the future is not done");
        }
        slot.borrow_mut().take().unwrap()
    }

    /// Begins something; what it comes to is in the slot once it is done.
    pub fn start<T: 'static>(
        self: &Rc<Self>,
        future: impl Future<Output = T> + 'static,
    ) -> Rc<RefCell<Option<T>>> {
        let slot = Rc::new(RefCell::new(None));
        let out = Rc::clone(&slot);
        self.spawn(async move {
            let value = future.await;
            *out.borrow_mut() = Some(value);
        });
        slot
    }

    /// Lets `millis` pass.
    pub fn pass(self: &Rc<Self>, millis: i64) {
        let until = self.now.get() + millis;
        while self.step(until) {}
        self.now.set(until);
    }

    /// One turn; false when nothing is left to do before `until`.
    fn step(&self, until: i64) -> bool {
        let id = self.ready.lock().unwrap().pop_front();
        if let Some(id) = id {
            let task = self.tasks.borrow_mut().remove(&id);
            if let Some(mut task) = task {
                let waker = Waker::from(Arc::new(Wakes(id, Arc::clone(&self.ready))));
                if task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                    self.tasks.borrow_mut().insert(id, task);
                }
            }
            return true;
        }
        let first = self.timers.borrow().keys().next().copied();
        match first {
            Some((at, seq)) if at <= until => {
                self.now.set(self.now.get().max(at));
                if let Some(waker) = self.timers.borrow_mut().remove(&(at, seq)) {
                    waker.wake();
                }
                true
            }
            Some(_) | None => false,
        }
    }

    /// Waits.
    pub async fn rest(self: &Rc<Self>, millis: u64) {
        self.sleep(millis).await;
    }

    fn sleep(self: &Rc<Self>, millis: u64) -> Sleep {
        self.wait(if self.still.get() { 0 } else { millis })
    }

    fn wait(self: &Rc<Self>, millis: u64) -> Sleep {
        Sleep { world: Rc::clone(self), at: self.now.get() + millis as i64, key: None }
    }

    /// Runs the objects' alarms that are due, to their end.
    pub fn alarms(self: &Rc<Self>) {
        let world = Rc::clone(self);
        self.run(async move { world.run_alarms().await });
    }

    /// Begins the objects' alarms that are due.
    pub fn start_alarms(self: &Rc<Self>) {
        let world = Rc::clone(self);
        self.spawn(async move { world.run_alarms().await });
    }

    async fn run_alarms(self: &Rc<Self>) {
        let node = Rc::new(Node::new(self, "objects"));
        let journal_host = Rc::clone(&self.journal_host.borrow());
        fan_out::run_due(&journal_host, &node).await.unwrap();
        let engine = self.shard_engine.borrow().clone().unwrap();
        let warmer = Warmer::new(&engine.with(&node));
        let shard_hosts = self.shard_hosts.borrow().clone();
        for shard_host in &shard_hosts {
            let first = self.now();
            loop {
                let (began, before) = (self.now(), self.counts.borrow().clone());
                warm::run_slice(shard_host, &warmer).await.unwrap();
                self.note_alarm(&before);
                // What an alarm leaves because it may ask for no more, the next takes.
                let now = self.now();
                let next = shard_host.next_wake().unwrap().map(|at| at.since(now));
                let soon = next.filter(|wait| *wait <= Millis(1_000));
                match soon {
                    Some(wait) if now > began && now.since(first) < warm::SLICE => {
                        self.sleep(wait.0).await;
                    }
                    Some(_) | None => break,
                }
            }
        }
    }

    fn note_alarm(&self, before: &BTreeMap<&'static str, u64>) {
        let counts = self.counts.borrow();
        let more = |what: &&str| {
            let count = |of: &BTreeMap<&str, u64>| of.get(what).copied().unwrap_or_default();
            count(&counts).saturating_sub(count(before))
        };
        let calls: u64 = ["shard", "journal", "l2_get", "l2_put"].iter().map(more).sum();
        self.of_alarms.borrow_mut().push((more(&"origin"), calls));
    }

    /// A signed webhook, accepted: invalidates a tag.
    pub fn invalidate(self: &Rc<Self>, tag: &str, mode: Mode) -> JournalReply {
        self.invalidate_all(&[tag], mode, true)
    }

    /// The same of several tags at once.
    pub fn invalidate_all(self: &Rc<Self>, tags: &[&str], mode: Mode, warm: bool) -> JournalReply {
        let id = format!("msg-{}", self.next());
        let append = Append {
            id,
            body_digest: "digest".to_owned(),
            targets: tags.iter().map(|tag| Target::Tag(Tag::parse(tag).unwrap())).collect(),
            mode,
            warm,
            reinvalidate_after: Millis::ZERO,
            reason: String::new(),
            uncounted: false,
            unsafe_method: false,
            by: CalledBy::default(),
        };
        let node = Rc::new(Node::new(self, "objects"));
        let journal_host = Rc::clone(&self.journal_host.borrow());
        self.run(async move {
            fan_out::handle(&journal_host, &node, JournalCall::Append(append)).await.unwrap()
        })
    }
}

fn journal_host(sql: &Sqlite, config: &Config) -> Rc<JournalHost<Sqlite>> {
    let journal = Journal::open(sql.clone(), JournalConfig::of(config));
    Rc::new(
        JournalHost::new(journal)
            .with_front_caches(FrontCacheAccess::all(config, FRONT_CACHE_SECRETS), config.log),
    )
}

struct Sleep {
    world: Rc<World>,
    at: i64,
    key: Option<(i64, u64)>,
}

impl Future for Sleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // Where time stands still, others have their turn all the same.
        let turn = self.world.still.get() && self.key.is_none();
        if self.world.now.get() >= self.at && !turn {
            return Poll::Ready(());
        }
        let key = self.key.unwrap_or((self.at, self.world.next()));
        self.key = Some(key);
        self.world.timers.borrow_mut().insert(key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.world.timers.borrow_mut().remove(&key);
        }
    }
}

/// Counts a request while the origin works on it, be it dropped meanwhile.
struct AtOrigin(Rc<World>);

impl AtOrigin {
    fn new(world: &Rc<World>) -> Self {
        world.at_origin.set(world.at_origin.get() + 1);
        world.most_at_origin.set(world.most_at_origin.get().max(world.at_origin.get()));
        Self(Rc::clone(world))
    }
}

impl Drop for AtOrigin {
    fn drop(&mut self) {
        self.0.at_origin.set(self.0.at_origin.get() - 1);
    }
}

impl Node {
    pub fn new(world: &Rc<World>, colo: &str) -> Self {
        Self {
            world: Rc::clone(world),
            colo: colo.to_owned(),
            ahead: 0,
            left: Cell::new(false),
            l1: Colo(Rc::clone(world), colo.to_owned()),
            l2: Global(Rc::clone(world)),
        }
    }
}

fn open(bytes: &[u8], body: &Rc<[u8]>) -> Result<Stored<Rc<[u8]>>, StoreError> {
    let record = envelope::decode(bytes).map_err(|e| StoreError::Unreadable(e.to_string()))?;
    Ok(Stored { record, body: Rc::clone(body) })
}

impl Store<Rc<[u8]>> for Colo {
    type Body = Scripted;

    async fn get(&self, key: &str) -> Result<Option<Stored<Scripted>>, StoreError> {
        self.0.count("l1_get");
        self.0.sleep(1).await;
        let colos = self.0.colos.borrow();
        match colos.get(&self.1).and_then(|colo| colo.get(key)) {
            Some((head, body, until)) if *until > self.0.now.get() => {
                let Stored { record, body } = open(head, body)?;
                Ok(Some(Stored { record, body: Scripted::whole(&body) }))
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
        self.0.count("l1_put");
        let head = envelope::encode(record).map_err(|e| StoreError::Unreadable(e.to_string()))?;
        let until = self.0.now.get() + keep.0 as i64;
        let mut colos = self.0.colos.borrow_mut();
        let colo = colos.entry(self.1.clone()).or_default();
        colo.insert(key.to_owned(), (head, Rc::clone(body), until));
        Ok(())
    }
}

impl Store<Rc<[u8]>> for Global {
    type Body = Rc<[u8]>;

    fn most_bytes(&self) -> u64 {
        self.0.global_most.get()
    }

    async fn get(&self, key: &str) -> Result<Option<Stored<Rc<[u8]>>>, StoreError> {
        self.0.count("l2_get");
        self.0.sleep(5).await;
        match self.0.global.borrow().get(key) {
            Some((head, body, _)) => open(head, body).map(Some),
            None => Ok(None),
        }
    }

    async fn put(
        &self,
        key: &str,
        record: &Record,
        body: &Rc<[u8]>,
        _keep: Millis,
    ) -> Result<(), StoreError> {
        self.0.count("l2_put");
        let head = envelope::encode(record).map_err(|e| StoreError::Unreadable(e.to_string()))?;
        if (head.len() + body.len()) as u64 > self.most_bytes() {
            return Err(StoreError::TooLarge);
        }
        self.0.global.borrow_mut().insert(key.to_owned(), (head, Rc::clone(body), i64::MAX));
        Ok(())
    }
}

impl Platform for Node {
    type Chunk = Rc<[u8]>;
    type Stream = Scripted;
    type Colo = Colo;
    type Global = Global;
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
        self.world.now().plus(Millis(self.ahead))
    }

    async fn sleep(&self, span: Millis) {
        self.world.sleeps.set(self.world.sleeps.get() + 1);
        self.world.wait(span.0).await;
    }

    fn unique(&self) -> String {
        format!("unique-{}", self.world.next())
    }

    fn random(&self) -> Random {
        let mut next = self.world.next().wrapping_add(1);
        std::array::from_fn(|_| {
            next = next
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (next >> 56) as u8
        })
    }

    fn log(&self, line: &str) {
        self.world.lines.borrow_mut().push(line.to_owned());
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.world.spawn(task);
    }

    fn has_visitor_left(&self) -> bool {
        self.left.get()
    }

    fn colo_name(&self) -> String {
        self.colo.clone()
    }

    fn colo(&self) -> &Colo {
        &self.l1
    }

    fn global(&self) -> &Global {
        &self.l2
    }

    async fn shared_delta(&self) -> Result<Option<SharedDelta>, StoreError> {
        self.world.count("news_get");
        self.world.sleep(1).await;
        let news = self.world.news.borrow();
        let kept = news.get(&self.colo).filter(|(_, until)| *until > self.world.now.get());
        Ok(kept.map(|(delta, _)| delta.clone()))
    }

    async fn share_delta(&self, delta: &SharedDelta, keep: Millis) -> Result<(), StoreError> {
        self.world.count("news_put");
        let until = self.world.now.get() + keep.0 as i64;
        self.world.news.borrow_mut().insert(self.colo.clone(), (delta.clone(), until));
        Ok(())
    }

    async fn fetch(
        &self,
        request: OriginRequest<Scripted, Rc<[u8]>>,
    ) -> Result<OriginResponse<Scripted>, OriginError> {
        self.world.count("origin");
        if let Content::Upload(upload) = request.content {
            let state = Rc::clone(&upload.state);
            match select(pin!(self.upload(upload)), pin!(self.given_up(&state))).await {
                Either::Left((sent, _)) => sent?,
                Either::Right(_) => return Err(OriginError::Busy),
            }
            state.set(UploadState::Sent);
        }
        let reached =
            Reached { method: request.method, target: request.target, fields: request.fields };
        self.world.reached.borrow_mut().push(reached.clone());
        let _under_way = AtOrigin::new(&self.world);
        let script = (self.world.origin.borrow())(&reached)?;
        if script.delay > request.timeout.0 && request.timeout.0 > 0 {
            self.world.sleep(request.timeout.0).await;
            return Err(OriginError::Timeout);
        }
        self.world.sleep(script.delay).await;
        let head = ResponseHead { status: script.status, fields: script.fields };
        Ok(OriginResponse {
            head,
            body: Scripted { pieces: script.pieces.into(), end: script.end },
        })
    }

    async fn purge_workers_cache(&self, mark: bool, options: &str) -> Result<(), PurgeError> {
        let done = (self.world.before.borrow())(mark);
        if done != Err(PurgeError::Absent) {
            self.world.purged.borrow_mut().push((mark, options.to_owned()));
        }
        done
    }

    async fn call_front_cache(
        &self,
        request: front_caches::DeliveryRequest,
        timeout: Millis,
    ) -> Result<front_caches::DeliveryAnswer, OriginError> {
        let answer = (self.world.front_cache.borrow())(&request);
        let body = (self.world.front_cache_body.borrow())(&request).into_bytes();
        self.world.front_cache_requests.borrow_mut().push(request);
        match answer {
            Ok((status, fields)) => {
                self.world.sleep(3).await;
                let head = ResponseHead { status, fields: fields.iter().copied().collect() };
                Ok(front_caches::DeliveryAnswer { head, body })
            }
            Err(OriginError::Timeout) => {
                self.world.sleep(timeout.0).await;
                Err(OriginError::Timeout)
            }
            Err(error) => Err(error),
        }
    }

    async fn read(
        &self,
        body: &mut Scripted,
        timeout: Millis,
    ) -> Result<Option<Rc<[u8]>>, OriginError> {
        match body.pieces.pop_front() {
            Some((delay, _)) if delay > timeout.0 => {
                self.world.sleep(timeout.0).await;
                Err(OriginError::Timeout)
            }
            Some((delay, piece)) => {
                self.world.sleep(delay).await;
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
        self.world.count("journal");
        self.world.sleep(3).await;
        if self.world.journal_down.get() {
            return Err(CallError::Unreachable("the journal is down".to_owned()));
        }
        if (self.world.call_breaks.borrow_mut())() {
            return Err(CallError::Broken("the journal has moved".to_owned()));
        }
        let error = self.world.object_errors.borrow_mut().pop_front();
        if let Some((false, error)) = error {
            return Err(error);
        }
        let node = Rc::new(Node::new(&self.world, "objects"));
        let journal_host = Rc::clone(&self.world.journal_host.borrow());
        let reply = fan_out::handle(&journal_host, &node, call)
            .await
            .map_err(|error| CallError::Failed(error.to_string()));
        match error {
            Some((_, error)) => Err(error),
            None => reply,
        }
    }

    async fn shard(&self, shard: u16, call: ShardCall) -> Result<ShardReply, CallError> {
        self.world.count("shard");
        self.world.sleep(self.world.shard_millis.get()).await;
        if self.world.shards_down.get() {
            return Err(CallError::Unreachable("the shards are down".to_owned()));
        }
        if (self.world.call_breaks.borrow_mut())() {
            return Err(CallError::Broken("the shard has moved".to_owned()));
        }
        if self.world.shards_before.get() && matches!(call, ShardCall::Move(_)) {
            return Err(CallError::Unreachable("400: unknown variant `move`".to_owned()));
        }
        let shard_host = Rc::clone(&self.world.shard_hosts.borrow()[usize::from(shard)]);
        shard_host
            .handle(call, self.world.now())
            .map_err(|error| CallError::Failed(error.to_string()))
    }
}

/// One isolate of a colo.
#[derive(Clone)]
pub struct Isolate {
    pub world: Rc<World>,
    pub engine: Engine<Node>,
    pub colo: String,
    /// How far its clock is ahead of the world's.
    pub ahead: u64,
    /// What the CDN says of the codings its visitors take.
    pub codings: Option<String>,
    /// Whether every request goes the longer way.
    pub never_at_once: bool,
}

/// An answer whose body was read to its end.
#[derive(Debug)]
pub struct Seen {
    pub status: u16,
    pub fields: Fields,
    pub body: Result<Vec<u8>, OriginError>,
}

impl Seen {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone().expect("a whole body")).expect("text")
    }

    pub fn cache_status(&self) -> String {
        self.fields.get("cache-status").unwrap_or_default().to_owned()
    }
}

impl Isolate {
    pub fn new(world: &Rc<World>, config: &Config, colo: &str) -> Self {
        let engine = Engine::new(config.clone(), None);
        let (colo, codings) = (colo.to_owned(), None);
        Self { world: Rc::clone(world), engine, colo, ahead: 0, codings, never_at_once: false }
    }

    pub fn node(&self) -> Rc<Node> {
        Rc::new(Node { ahead: self.ahead, ..Node::new(&self.world, &self.colo) })
    }

    /// A request, answered and read.
    pub fn get(&self, url: &str, fields: &[(&str, &str)]) -> Seen {
        let (isolate, head) = (self.clone(), request("GET", url, fields));
        self.world.run(async move { isolate.ask(head).await })
    }

    /// Any request, answered and read.
    pub fn send(&self, method: &str, url: &str, fields: &[(&str, &str)]) -> Seen {
        let (isolate, head) = (self.clone(), request(method, url, fields));
        self.world.run(async move { isolate.ask(head).await })
    }

    /// What answers visitors, for one request.
    pub fn server(&self, node: &Rc<Node>) -> Server<Node> {
        Server::new(&self.engine.with(node))
    }

    /// What answers calls to the edge itself.
    fn operator(&self, node: &Rc<Node>) -> Operator<Node> {
        Operator::new(&self.engine.with(node))
    }

    /// A request as the worker takes it: a call to the edge itself, or a visitor's.
    pub fn take(&self, head: RequestHead, body: &str, secrets: &Secrets) -> Seen {
        self.world.run(self.taken(head, body, secrets))
    }

    /// The same without waiting for it.
    pub fn begin(
        &self,
        head: RequestHead,
        body: &str,
        secrets: &Secrets,
    ) -> Rc<RefCell<Option<Seen>>> {
        self.world.start(self.taken(head, body, secrets))
    }

    fn taken(
        &self,
        head: RequestHead,
        body: &str,
        secrets: &Secrets,
    ) -> impl Future<Output = Seen> + 'static {
        let (isolate, secrets) = (self.clone(), secrets.clone());
        let pieces = VecDeque::from([(0, body.as_bytes().to_vec())]);
        let body = (!body.is_empty()).then_some(Scripted { pieces, end: Ok(()) });
        async move {
            let node = isolate.node();
            let control = ControlContext { secrets: &secrets, problems: &[] };
            let context = isolate.engine.with(&node);
            let operator = Operator::new(&context);
            let incoming = Incoming { head: Rc::new(head), body, client_accept_encoding: None };
            let answer = match own_call(&incoming.head, isolate.engine.config()) {
                Some(call) => operator.operate(incoming, call, &control).await,
                None => {
                    let incoming = operator.apply_warm_up(incoming, &control).await;
                    visit::respond(&isolate.engine, &node, incoming).await
                }
            };
            Self::read(&node, answer).await
        }
    }

    /// A call to the edge itself, whose body arrives as scripted.
    pub async fn call(&self, head: RequestHead, body: Scripted, secrets: Secrets) -> Seen {
        let node = self.node();
        let control = ControlContext { secrets: &secrets, problems: &[] };
        let call = own_call(&head, self.engine.config()).expect("a control call");
        let incoming =
            Incoming { head: Rc::new(head), body: Some(body), client_accept_encoding: None };
        let answer = self.operator(&node).operate(incoming, call, &control).await;
        Self::read(&node, answer).await
    }

    /// A request to a worker whose settings are wrong.
    pub fn get_unconfigured(&self, url: &str, problem: &HealthReason) -> Seen {
        let (isolate, problem, head) = (self.clone(), problem.clone(), request("GET", url, &[]));
        self.world.run(async move {
            let node = isolate.node();
            let incoming =
                Incoming { head: Rc::new(head), body: None, client_accept_encoding: None };
            let answer = isolate.server(&node).pass_unconfigured(incoming, &problem).await;
            Isolate::read(&node, answer).await
        })
    }

    /// A call to the control API with a token good for everything.
    pub fn operate(&self, method: &str, path: &str, body: &str) -> Seen {
        let url = format!("https://example.com/__isr{path}");
        let head = request(method, &url, &[("authorization", "Bearer operators-own-token")]);
        let (isolate, body) = (self.clone(), Scripted::whole(body.as_bytes()));
        self.world.run(async move {
            let secrets = Secrets::parse("", "ops:admin:operators-own-token").expect("secrets");
            let control = ControlContext { secrets: &secrets, problems: &[] };
            let node = isolate.node();
            let call = own_call(&head, isolate.engine.config()).expect("a control call");
            let incoming =
                Incoming { head: Rc::new(head), body: Some(body), client_accept_encoding: None };
            let answer = isolate.operator(&node).operate(incoming, call, &control).await;
            Isolate::read(&node, answer).await
        })
    }

    /// The same without waiting for it.
    pub async fn ask(&self, head: RequestHead) -> Seen {
        self.ask_with(head, None).await
    }

    /// The same with a body.
    pub async fn ask_with(&self, head: RequestHead, body: Option<Scripted>) -> Seen {
        self.ask_as(&self.node(), head, body).await
    }

    /// The same as a request of its own.
    pub async fn ask_as(&self, node: &Rc<Node>, head: RequestHead, body: Option<Scripted>) -> Seen {
        let incoming =
            Incoming { head: Rc::new(head), body, client_accept_encoding: self.codings.clone() };
        let answer: Answer<Node> = match self.never_at_once {
            true => self.server(node).serve(incoming).await,
            false => visit::respond(&self.engine, node, incoming).await,
        };
        Self::read(node, answer).await
    }

    async fn read(node: &Rc<Node>, answer: Answer<Node>) -> Seen {
        let body = match answer.body {
            Body::Empty => Ok(Vec::new()),
            Body::Shell(_) => panic!("a shell left the edge"),
            Body::Whole(chunk) => Ok(chunk.to_vec()),
            Body::Fill(mut reader) => {
                let mut whole = Vec::new();
                loop {
                    match reader.next(&**node).await {
                        Ok(Some(piece)) => whole.extend_from_slice(&piece),
                        Ok(None) => break Ok(whole),
                        Err(error) => break Err(error),
                    }
                }
            }
            Body::Composed(mut composed) => {
                let mut whole = Vec::new();
                loop {
                    match composed.next().await {
                        Ok(Some(piece)) => whole.extend_from_slice(&piece),
                        Ok(None) => break Ok(whole),
                        Err(error) => break Err(error),
                    }
                }
            }
            Body::Origin(mut stream) => {
                let mut whole = Vec::new();
                loop {
                    match node.read(&mut stream, Millis(20_000)).await {
                        Ok(Some(piece)) => whole.extend_from_slice(&piece),
                        Ok(None) => break Ok(whole),
                        Err(error) => break Err(error),
                    }
                }
            }
        };
        Seen { status: answer.status, fields: answer.fields, body }
    }
}

/// A request head for an absolute URL.
pub fn request(method: &str, url: &str, fields: &[(&str, &str)]) -> RequestHead {
    let (scheme, rest) = url.split_once("://").expect("an absolute URL");
    let at = rest.find('/').unwrap_or(rest.len());
    let (host, target) = rest.split_at(at);
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    RequestHead {
        method: method.to_owned(),
        scheme: scheme.to_owned(),
        host: host.to_owned(),
        path: if path.is_empty() { "/".to_owned() } else { path.to_owned() },
        query,
        fields: fields.iter().map(|(n, v)| (*n, *v)).collect(),
        client: None,
    }
}
