//! The world: isolates, colos, L2, Durable Objects with their alarms, and everything that goes
//! wrong.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};

use edge_isr::base::sql::Value;
use edge_isr::base::time::{Epoch, Millis, Timestamp};
use edge_isr::cache::tag::Target;
use edge_isr::config::front_cache_access::FrontCacheAccess;
use edge_isr::config::pattern::PathPattern;
use edge_isr::config::{Config, LogLevel, Route, RouteRule};
use edge_isr::engine::Engine;
use edge_isr::engine::invalidate::fan_out::{self, JournalHost};
use edge_isr::engine::parts::Warmer;
use edge_isr::engine::port::CallError;
use edge_isr::engine::warm::{self, ShardHost};
use edge_isr::index::{LeaseReply, Shard, ShardCall, ShardConfig, ShardReply};
use edge_isr::journal::delta::SharedDelta;
use edge_isr::journal::{Append, Journal, JournalCall, JournalConfig, JournalReply, Mode};
use fastrand::Rng;

use crate::common::sqlite::Sqlite;
use crate::front_caches::{self, FrontCaches};
use crate::node::Node;
use crate::origin::{Data, SITE, Site};
use crate::plan::{COLOS, ISOLATES, MAX_SHARDS, PAGES, Plan, SHARDS};
use crate::sched::{Owner, Sched, oneshot, sleep};
use crate::spy::Spy;
use crate::watch::{Committed, Granted, Need, Property, Watch};

/// A record as a store holds it: head, body, until when, and when each colo sees it.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) head: Rc<[u8]>,
    pub(crate) body: Rc<[u8]>,
    pub(crate) until: i64,
    pub(crate) visible: [i64; COLOS],
}

/// One colo.
#[derive(Default)]
pub(crate) struct Colo {
    pub(crate) l1: HashMap<String, Held>,
    /// Shared news of the journal, until when.
    pub(crate) news: Option<(SharedDelta, i64)>,
    /// Misses of L2 that KV goes on showing.
    pub(crate) missed: HashMap<String, i64>,
}

enum Machine {
    Journal(Rc<JournalHost<Spy>>),
    Shard(Rc<ShardHost<Spy>>),
}

/// A Durable Object: what is durable, and what is not.
struct Object {
    sql: Sqlite,
    alarm: Option<i64>,
    machine: Option<Machine>,
    working: bool,
    engine: Engine<Node>,
}

type Handled<R> = Pin<Box<dyn Future<Output = Result<R, CallError>>>>;

/// Faults that last.
#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) journal: Vec<(Option<usize>, i64)>,
    pub(crate) shards: Vec<(Option<usize>, i64)>,
    pub(crate) origin: i64,
}

/// Stamp and time by isolate, page and language.
type InMemory = BTreeMap<(usize, usize, bool), (Epoch, Timestamp)>;

/// How something is invalidated, and what it stands for: pages, items and versions.
type OwnChange = (Mode, Vec<(usize, usize, u32)>);

/// An invalidation that was acknowledged.
pub(crate) struct Ack {
    pub(crate) id: String,
    pub(crate) epoch: u64,
    pub(crate) shows: Vec<(usize, u32)>,
    pub(crate) targets: Vec<Target>,
    pub(crate) mode: Mode,
    pub(crate) at: i64,
}

/// The world of one seed.
pub(crate) struct World {
    pub(crate) sched: Rc<Sched>,
    pub(crate) plan: Plan,
    pub(crate) config: Config,
    pub(crate) watch: RefCell<Watch>,
    pub(crate) isolates: RefCell<Vec<Engine<Node>>>,
    pub(crate) colos: RefCell<Vec<Colo>>,
    pub(crate) global: RefCell<HashMap<String, Held>>,
    objects: RefCell<Vec<Object>>,
    pub(crate) data: Data,
    pub(crate) faults: RefCell<Faults>,
    /// From here on nothing goes wrong any more.
    pub(crate) healed: Cell<bool>,
    /// When a request to the origin for a page last failed, was slow, or was refused.
    pub(crate) failed: RefCell<BTreeMap<usize, i64>>,
    /// All has come to rest, and data change no more.
    pub(crate) quiet: Cell<bool>,
    /// What the lease call being answered needs.
    asking: Cell<Option<u64>>,
    /// Ids of invalidations → what they stand for.
    pub(crate) stands_for: RefCell<HashMap<String, Vec<(usize, u32)>>>,
    backup: RefCell<Option<Sqlite>>,
    /// Requests that wait for their answers: where, and since when.
    pub(crate) pending: RefCell<BTreeMap<u64, (usize, i64)>>,
    /// When a request of an isolate was last ended by the runtime.
    pub(crate) ended: RefCell<BTreeMap<usize, i64>>,
    /// Stamp and fence of what each shard names per variant.
    named: RefCell<BTreeMap<(usize, i64), (i64, i64)>>,
    /// Stamp and time of what each isolate holds in memory of a page.
    pub(crate) held: RefCell<InMemory>,
    pub(crate) trace: Option<RefCell<Vec<String>>>,
    /// The caches in front of the edge, if the history has some.
    pub(crate) front_caches: Option<FrontCaches>,
    /// When the journal last gave an epoch to a message.
    pub(crate) given: RefCell<BTreeMap<(u64, String), i64>>,
    /// When the journal was last restored.
    pub(crate) restored_at: Cell<i64>,
    /// Index shards, as the newest deploy has them.
    pub(crate) shards: Cell<u16>,
    /// Ids of what isolates and shards invalidate by themselves → pages and versions that it stands
    /// for, and how.
    pub(crate) own_changes: RefCell<HashMap<String, OwnChange>>,
    /// Whether anything was invalidated hard.
    pub(crate) hard: Cell<bool>,
    /// What was acknowledged.
    pub(crate) acks: RefCell<Vec<Ack>>,
    /// Secrets and tokens that were made for somebody.
    pub(crate) made: RefCell<BTreeSet<String>>,
    /// When the origin last gave a page an ETag that was newer than its body.
    pub(crate) torn: RefCell<BTreeMap<usize, i64>>,
    /// Whether the number of shards changed again before the journal had heard of a change.
    pub(crate) unheard_change: Cell<bool>,
    /// When a page's shell was last changed on its way.
    pub(crate) changed: RefCell<BTreeMap<usize, i64>>,
    /// When a request for somebody's parts last failed.
    pub(crate) parts_failed: Cell<i64>,
    /// The last answer to one.
    pub(crate) last_parts: RefCell<Option<String>>,
}

impl World {
    pub(crate) fn new(seed: u64, plan: Plan, trace: bool) -> Rc<Self> {
        let mut config = Config {
            shards: SHARDS,
            journal_lost_limit: Millis(6_000),
            origin_timeout: Millis(6_000),
            journal_targets: plan.targets,
            memory: plan.memory,
            log: if trace { LogLevel::Events } else { LogLevel::Off },
            ..Config::default()
        };
        config.defaults.trust_validators = plan.trusts;
        if plan.composed.is_some() {
            config.defaults.compose = true;
            config.compose_timeout = Millis(3_000);
        }
        if front_caches::has(seed) {
            config.front_caches = front_caches::settings();
        }
        if let Some(tight) = plan.tight {
            let route = Route { max_lag: Some(Millis(tight)), ..config.defaults.clone() };
            let path = PathPattern::parse("/*").unwrap();
            config.routes.push(RouteRule { host: Some("other.example".to_owned()), path, route });
        }
        let world = Rc::new(Self {
            sched: Rc::new(Sched::new(Rng::with_seed(seed))),
            front_caches: front_caches::has(seed).then(|| FrontCaches::new(seed, plan.span)),
            given: RefCell::default(),
            restored_at: Cell::new(0),
            shards: Cell::new(SHARDS),
            own_changes: RefCell::default(),
            hard: Cell::new(false),
            acks: RefCell::default(),
            made: RefCell::default(),
            parts_failed: Cell::new(0),
            last_parts: RefCell::default(),
            plan,
            watch: RefCell::default(),
            isolates: RefCell::new(
                (0..ISOLATES).map(|_| Engine::new(config.clone(), None)).collect(),
            ),
            colos: RefCell::new((0..COLOS).map(|_| Colo::default()).collect()),
            global: RefCell::default(),
            objects: RefCell::default(),
            data: Data::new(),
            faults: RefCell::default(),
            healed: Cell::new(false),
            failed: RefCell::default(),
            torn: RefCell::default(),
            unheard_change: Cell::new(false),
            changed: RefCell::default(),
            asking: Cell::new(None),
            quiet: Cell::new(false),
            stands_for: RefCell::default(),
            backup: RefCell::new(None),
            pending: RefCell::default(),
            ended: RefCell::default(),
            named: RefCell::default(),
            held: RefCell::default(),
            trace: trace.then(RefCell::default),
            config,
        });
        for object in 0..=usize::from(MAX_SHARDS) {
            world.objects.borrow_mut().push(Object {
                sql: database(object == 0),
                alarm: None,
                machine: None,
                working: false,
                engine: Engine::new(world.config.clone(), None),
            });
            world.open(object);
        }
        world
    }

    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            let at = self.sched.now() - crate::sched::DAWN;
            trace.borrow_mut().push(format!("{at:>7} {}", what()));
        }
    }

    /// The pages that there are, parts that are pages among them.
    pub(crate) fn pages(&self) -> &'static [Site] {
        if self.plan.composed.is_some() { &SITE } else { &SITE[..PAGES] }
    }

    pub(crate) fn violate(&self, property: Property, what: String) {
        self.say(|| format!("VIOLATION {property:?}: {what}"));
        self.watch.borrow_mut().violate(property, what);
    }

    /// A chance that only faulty times have.
    pub(crate) fn unlucky(&self, probability: f64) -> bool {
        !self.healed.get() && self.sched.chance(probability)
    }

    /// Goes on until then, or until something is wrong.
    pub(crate) fn run(self: &Rc<Self>, until: i64) {
        while self.watch.borrow().violation.is_none() {
            let Some((id, owner)) = self.sched.pick(until) else { break };
            match owner {
                Owner::Object(object) if self.unlucky(self.plan.restarts) => {
                    self.restart(object, "at an await");
                }
                Owner::Request { isolate, request } if self.unlucky(self.plan.cancels) => {
                    self.ended.borrow_mut().insert(isolate, self.sched.now());
                    self.say(|| format!("request {request} is cancelled"));
                    self.pending.borrow_mut().remove(&request);
                    let limbo = self.plan.limbo;
                    self.sched.end(|o| *o == owner, limbo);
                }
                Owner::Object(_) | Owner::Request { .. } | Owner::World => self.sched.poll(id),
            }
        }
        self.sched.set_now(until);
    }

    pub(crate) fn clear(&self) {
        self.sched.clear();
        self.isolates.borrow_mut().clear();
        let objects = std::mem::take(&mut *self.objects.borrow_mut());
        POOLS.with(|[journals, shards]| {
            for (at, object) in objects.into_iter().enumerate() {
                if at == 0 { journals } else { shards }.borrow_mut().push(object.sql);
            }
        });
    }

    /// An isolate is gone, and a cold one stands in its place.
    pub(crate) fn evict(&self, isolate: usize, limbo: bool) {
        self.say(|| format!("isolate {isolate} is evicted"));
        self.sched.end(|o| matches!(o, Owner::Request { isolate: i, .. } if *i == isolate), limbo);
        self.pending.borrow_mut().retain(|_, (i, _)| *i != isolate);
        self.held.borrow_mut().retain(|(i, ..), _| *i != isolate);
        self.isolates.borrow_mut()[isolate] = Engine::new(self.settings(), None);
    }

    /// The settings, as the newest deploy has them.
    fn settings(&self) -> Config {
        Config { shards: self.shards.get(), ..self.config.clone() }
    }

    /// A deploy: objects restart with the new settings, isolates are replaced one by one.
    pub(crate) fn reshard(self: &Rc<Self>, shards: u16) {
        self.say(|| format!("{shards} shards from here on"));
        self.watch.borrow_mut().count("reshard");
        let before = self.shards.replace(shards);
        for object in 0..=usize::from(MAX_SHARDS) {
            self.restart(object, "for a deploy");
        }
        let heard = query(&self.sql(0), "SELECT value FROM meta WHERE name = 'shards'");
        if heard.first().is_some_and(|heard| *heard != Value::Integer(before.into())) {
            self.unheard_change.set(true);
        }
        // A journal notices its new settings when it is called next.
        let world = Rc::clone(self);
        self.sched.spawn(Owner::World, async move {
            while world.journal(None, JournalCall::Status).await.is_err() {}
        });
        for isolate in 0..ISOLATES {
            let world = Rc::clone(self);
            self.sched.spawn(Owner::World, async move {
                sleep(&world.sched, world.sched.below(5_000)).await;
                world.evict(isolate, false);
            });
        }
    }

    // --- objects

    fn open(self: &Rc<Self>, object: usize) {
        let sql = self.objects.borrow()[object].sql.clone();
        let spy = Spy::new(sql.clone(), object, Rc::downgrade(self));
        let machine = if object == 0 {
            let journal = JournalConfig {
                max_targets: self.plan.targets,
                shards: self.shards.get(),
                page_rows: self.plan.page_rows,
                front_caches: JournalConfig::of(&self.config).front_caches,
                ..JournalConfig::default()
            };
            let journal_host = JournalHost::new(Journal::open(spy, journal));
            let front_caches = FrontCacheAccess::all(&self.config, front_caches::SECRETS);
            Machine::Journal(Rc::new(journal_host.with_front_caches(front_caches, self.config.log)))
        } else {
            let shard = ShardConfig { lease: Millis(9_000), ..ShardConfig::default() };
            Machine::Shard(Rc::new(ShardHost::new(Shard::open(spy, shard))))
        };
        let mut objects = self.objects.borrow_mut();
        objects[object].machine = Some(machine);
        objects[object].working = false;
        objects[object].engine = Engine::new(self.settings(), None);
        drop(objects);
        if object > 0 {
            let leases = query(&sql, "SELECT fence FROM lease");
            let mut watch = self.watch.borrow_mut();
            watch
                .grants
                .retain(|g| g.object != object || leases.contains(&Value::Integer(g.fence as i64)));
        }
    }

    /// A Durable Object goes, and comes again at once.
    pub(crate) fn restart(self: &Rc<Self>, object: usize, why: &str) {
        self.say(|| format!("object {object} restarts {why}"));
        self.watch.borrow_mut().count("restarts");
        self.sched.end(|o| *o == Owner::Object(object), false);
        self.objects.borrow_mut()[object].machine = None;
        // What is not committed is lost.
        self.sql(object).roll_back();
        self.open(object);
        self.watch_alarm(object);
    }

    pub(crate) fn back_up(&self) {
        if self.sql(0).is_open() {
            return;
        }
        self.say(|| "a backup of the journal is taken".to_owned());
        *self.backup.borrow_mut() = Some(self.objects.borrow()[0].sql.copy());
    }

    pub(crate) fn restore(self: &Rc<Self>) {
        let Some(backup) = self.backup.borrow_mut().take() else { return };
        self.sql(0).roll_back();
        let head = journal_head(&backup);
        if head == journal_head(&self.objects.borrow()[0].sql) {
            return;
        }
        self.say(|| format!("the journal is restored to epoch {head}"));
        self.restored_at.set(self.sched.now());
        self.sched.end(|o| *o == Owner::Object(0), false);
        {
            let mut objects = self.objects.borrow_mut();
            objects[0].machine = None;
            objects[0].sql = backup;
            // What was due is due again.
            objects[0].alarm = Some(self.sched.now());
        }
        let fanned = "SELECT value FROM meta WHERE name = 'fanned'";
        let taken = (1..=usize::from(MAX_SHARDS)).flat_map(|shard| query(&self.sql(shard), fanned));
        let witnessed = taken.map(|epoch| integer(&epoch) as u64).max().filter(|e| *e > head);
        {
            let mut watch = self.watch.borrow_mut();
            watch.restored = true;
            watch.unrepaired = true;
            watch.witnessed = witnessed;
            watch.needs.iter_mut().filter(|n| n.epoch > head).for_each(|n| n.lost = true);
            watch.committed.iter_mut().filter(|c| c.epoch > head).for_each(|c| c.lost = true);
        }
        self.open(0);
        self.watch_alarm(0);
    }

    fn set_alarm(self: &Rc<Self>, object: usize, at: Option<i64>) {
        self.objects.borrow_mut()[object].alarm = at;
        self.watch_alarm(object);
    }

    /// Sets the alarm, unless an earlier one is set.
    fn wake_at(self: &Rc<Self>, object: usize, at: Option<Timestamp>) {
        let Some(at) = at else { return };
        let at = at.as_millis().max(self.sched.now());
        if self.objects.borrow()[object].alarm.is_none_or(|set| set > at) {
            self.set_alarm(object, Some(at));
        }
    }

    fn watch_alarm(self: &Rc<Self>, object: usize) {
        let state = &self.objects.borrow()[object];
        let (Some(at), false) = (state.alarm, state.working) else { return };
        let world = Rc::downgrade(self);
        let sched = Rc::clone(&self.sched);
        let late = self.sched.below(30);
        self.sched.spawn(Owner::World, async move {
            sleep(&sched, (at - sched.now()).max(0) as u64 + late).await;
            let Some(world) = world.upgrade() else { return };
            let due = {
                let state = &world.objects.borrow()[object];
                state.alarm == Some(at) && !state.working
            };
            if due {
                world.ring(object);
            }
        });
    }

    /// The alarm handler, as the shell has it: armed before the work, rearmed after it.
    fn ring(self: &Rc<Self>, object: usize) {
        {
            let mut objects = self.objects.borrow_mut();
            objects[object].working = true;
            objects[object].alarm = Some(self.sched.now() + 5_000);
        }
        let world = Rc::clone(self);
        self.sched.spawn(Owner::Object(object), async move {
            sleep(&world.sched, world.sched.below(5)).await;
            let node = Rc::new(Node::object(&world, object));
            let next = match world.machine(object) {
                Some(Machine::Journal(journal_host)) => fan_out::run_due(&journal_host, &node)
                    .await
                    .and_then(|()| journal_host.next_wake())
                    .map_err(|error| error.to_string()),
                Some(Machine::Shard(shard_host)) => {
                    let engine = world.objects.borrow()[object].engine.clone();
                    let warmer = Warmer::new(&engine.with(&node));
                    warm::run_slice(&shard_host, &warmer)
                        .await
                        .and_then(|()| shard_host.next_wake())
                        .map_err(|error| error.to_string())
                }
                None => return,
            };
            match next {
                Ok(next) => {
                    let at = next.map(|at| at.as_millis().max(world.sched.now()));
                    world.objects.borrow_mut()[object].alarm = at;
                }
                Err(error) => {
                    world.violate(Property::Objects, format!("object {object}: {error}"));
                }
            }
            world.objects.borrow_mut()[object].working = false;
            world.watch_alarm(object);
        });
    }

    /// An object's clock.
    fn clock(&self, object: usize) -> i64 {
        self.sched.now() + self.plan.skew[object]
    }

    fn machine(&self, object: usize) -> Option<Machine> {
        match self.objects.borrow().get(object)?.machine.as_ref()? {
            Machine::Journal(journal_host) => Some(Machine::Journal(Rc::clone(journal_host))),
            Machine::Shard(shard_host) => Some(Machine::Shard(Rc::clone(shard_host))),
        }
    }

    pub(crate) fn sql(&self, object: usize) -> Sqlite {
        self.objects.borrow()[object].sql.clone()
    }

    /// A call to the journal, from a colo (none: from an object).
    pub(crate) async fn journal(
        self: &Rc<Self>,
        colo: Option<usize>,
        call: JournalCall,
    ) -> Result<JournalReply, CallError> {
        let down = |faults: &Faults| faults.journal.iter().any(|f| matches(*f, colo));
        let reads = match &call {
            JournalCall::Lookup(_) => Some("lookup"),
            JournalCall::Sync(sync) if sync.since.is_none() => Some("snapshot"),
            JournalCall::Sync(_)
            | JournalCall::Append(_)
            | JournalCall::Job { .. }
            | JournalCall::Report(_)
            | JournalCall::Stats(_)
            | JournalCall::History(_)
            | JournalCall::Schedule(_)
            | JournalCall::Cancel { .. }
            | JournalCall::Waiting(_)
            | JournalCall::Finding(_)
            | JournalCall::Audit(_)
            | JournalCall::Status => None,
        };
        self.watch.borrow_mut().count(reads.unwrap_or("journal"));
        self.say(|| format!("colo {colo:?} asks the journal {call:?}"));
        let work = move |world: Rc<Self>| -> Handled<JournalReply> {
            let call = call.clone();
            Box::pin(async move {
                let Some(Machine::Journal(journal_host)) = world.machine(0) else {
                    return Err(gone());
                };
                let node = Rc::new(Node::object(&world, 0));
                let reply = fan_out::handle(&journal_host, &node, call).await;
                if let Ok(next) = journal_host.next_wake() {
                    world.wake_at(0, next);
                }
                reply.map_err(|error| CallError::Failed(error.to_string()))
            })
        };
        let reply = self.call(0, self.is_down(down), work).await;
        if reads.is_some() {
            sleep(&self.sched, self.sched.below(self.plan.reads)).await;
        }
        reply
    }

    /// A call to a shard, from a colo (none: from an object).
    pub(crate) async fn shard(
        self: &Rc<Self>,
        colo: Option<usize>,
        shard: u16,
        call: ShardCall,
    ) -> Result<ShardReply, CallError> {
        let object = usize::from(shard) + 1;
        let down = |faults: &Faults| faults.shards.iter().any(|f| matches(*f, colo));
        self.watch.borrow_mut().count("shard");
        let work = move |world: Rc<Self>| -> Handled<ShardReply> {
            let call = call.clone();
            Box::pin(async move {
                let Some(Machine::Shard(shard_host)) = world.machine(object) else {
                    return Err(gone());
                };
                let need = if let ShardCall::Lease(ask) = &call { Some(ask.need.0) } else { None };
                world.asking.set(need);
                let ask = if let ShardCall::Lease(ask) = &call {
                    let variant = ask.key.variant(&ask.selection).digest();
                    Some((ask.clone(), variant.as_str().to_owned()))
                } else {
                    None
                };
                let reply = shard_host.handle(call, Timestamp::from_millis(world.clock(object)));
                world.asking.set(None);
                if let (Ok(ShardReply::Lease(LeaseReply::Wait { .. })), Some((ask, variant))) =
                    (&reply, &ask)
                    && !ask.lagged
                    // Who wants what is ready alone does not wait.
                    && !ask.ready_only
                {
                    world.waits(object, variant, ask.need.0);
                }
                if let Ok(next) = shard_host.next_wake() {
                    world.wake_at(object, next);
                }
                reply.map_err(|error| CallError::Failed(error.to_string()))
            })
        };
        self.call(object, self.is_down(down), work).await
    }

    fn is_down(&self, down: impl Fn(&Faults) -> bool) -> bool {
        let now = self.sched.now();
        let mut faults = self.faults.borrow_mut();
        faults.journal.retain(|(_, until)| *until > now);
        faults.shards.retain(|(_, until)| *until > now);
        down(&faults)
    }

    /// What an isolate or a shard invalidates by itself: whoever asks the origin after that sees
    /// its data of now.
    pub(crate) fn will_invalidate(&self, append: &Append) {
        let lag = self.plan.lag as i64;
        let versions = self.data.at(self.sched.now() - lag);
        let mut shows = Vec::new();
        for (page, site) in SITE.iter().enumerate() {
            let name = format!("{}{}", site.host, site.path);
            if append.targets.contains(&Target::Url(name)) {
                let items = site.items.iter().map(|item| (page, *item, versions[*item]));
                shows.extend(items);
            }
        }
        self.own_changes.borrow_mut().entry(append.id.clone()).or_insert((append.mode, shows));
    }

    /// A way of a message.
    pub(crate) async fn travel(self: &Rc<Self>) {
        let sched = &self.sched;
        let long = if sched.below(self.plan.jams) == 0 { self.plan.net * 4 } else { self.plan.net };
        sleep(sched, 1 + sched.below(long)).await;
    }

    async fn call<R: 'static>(
        self: &Rc<Self>,
        object: usize,
        down: bool,
        work: impl Fn(Rc<Self>) -> Handled<R> + 'static,
    ) -> Result<R, CallError> {
        self.travel().await;
        if down || self.unlucky(self.plan.loss / 2.0) {
            sleep(&self.sched, self.sched.below(900)).await;
            return Err(CallError::Unreachable("no way there".to_owned()));
        }
        if self.plan.overloads > 0.0 && self.unlucky(self.plan.overloads) {
            return Err(CallError::Overloaded("too much to do".to_owned()));
        }
        let (sender, receiver) = oneshot();
        let first = work(Rc::clone(self));
        let failing = Rc::downgrade(self);
        self.sched.spawn(Owner::Object(object), async move {
            let reply = first.await;
            if let Err(CallError::Failed(error)) = &reply
                && let Some(world) = Weak::upgrade(&failing)
            {
                world.violate(Property::Objects, format!("object {object}: {error}"));
            }
            sender.send(reply);
        });
        if self.unlucky(self.plan.repeats) {
            let (world, again) = (Rc::clone(self), work(Rc::clone(self)));
            let late = self.sched.below(3_000);
            self.sched.spawn(Owner::Object(object), async move {
                sleep(&world.sched, late).await;
                drop(again.await);
            });
        }
        // It may have done what it was asked before it broke off.
        let gone = if self.plan.breaks { broken } else { gone };
        let reply = receiver.await.unwrap_or_else(|| Err(gone()));
        self.travel().await;
        if self.unlucky(self.plan.loss / 2.0) {
            sleep(&self.sched, self.sched.below(900)).await;
            return Err(CallError::Unreachable("no way back".to_owned()));
        }
        reply
    }

    // --- what objects write

    pub(crate) fn wrote(
        &self,
        object: usize,
        statement: &str,
        parameters: &[Value],
        rows: &[Vec<Value>],
    ) {
        let statement = statement.trim_start();
        let now = self.clock(object);
        if statement.starts_with("INSERT INTO lease") {
            let [Value::Text(variant), fence, stamp, until] = parameters else { return };
            let new = Granted {
                object,
                variant: variant.clone(),
                fence: integer(fence) as u64,
                stamp: integer(stamp) as u64,
                until: integer(until),
            };
            self.say(|| {
                format!(
                    "shard {object} leases {} {} at {}",
                    &new.variant[..6],
                    new.fence,
                    new.stamp
                )
            });
            let mut watch = self.watch.borrow_mut();
            watch.granted(new, now, self.asking.get());
        } else if statement.starts_with("UPDATE lease SET until = ? WHERE") {
            let [until, Value::Text(variant), fence, _] = parameters else { return };
            let mut watch = self.watch.borrow_mut();
            let (until, fence) = (integer(until), integer(fence) as u64);
            let renewed = |g: &&mut Granted| {
                g.object == object && g.variant == *variant && g.fence == fence && g.until > now
            };
            if let Some(grant) = watch.grants.iter_mut().find(renewed) {
                grant.until = until;
            }
        } else if statement.starts_with("UPDATE lease SET until") && !rows.is_empty() {
            let [_, Value::Text(variant), fence] = parameters else { return };
            self.watch.borrow_mut().released(object, variant, integer(fence) as u64);
        } else if statement.starts_with("UPDATE variant SET request") {
            let [.., Value::Integer(id)] = parameters else { return };
            let version = (integer(&parameters[3]), integer(&parameters[4]));
            let before = self.named.borrow_mut().insert((object, *id), version);
            if before.is_some_and(|before| before > version) {
                let what = format!("shard {object} names {version:?} after {before:?}");
                self.violate(Property::Order, what);
            }
        } else if statement.starts_with("UPDATE job SET reinvalidated_by") {
            // The second epoch stands for what the first did.
            let [Value::Text(second), first] = parameters else { return };
            let shows = self.shows_of(integer(first) as u64);
            self.stands_for.borrow_mut().insert(second.clone(), shows);
        } else if statement.starts_with("INSERT INTO job (epoch, id") {
            let [epoch, Value::Text(id), ..] = parameters else { return };
            self.gave(integer(epoch) as u64, id);
        }
    }

    /// Somebody is made to wait: for a fetch that will help.
    fn waits(&self, object: usize, variant: &str, need: u64) {
        let now = self.clock(object);
        let helps = |g: &Granted| {
            g.object == object && g.variant == variant && g.until > now && g.stamp >= need
        };
        if !self.watch.borrow().grants.iter().any(helps) {
            let what = format!("one who needs {need} of {} waits for nothing", &variant[..6]);
            self.violate(Property::Helps, what);
        }
    }

    fn shows_of(&self, epoch: u64) -> Vec<(usize, u32)> {
        let watch = self.watch.borrow();
        watch
            .committed
            .iter()
            .rev()
            .find(|c| c.epoch == epoch)
            .map_or(Vec::new(), |c| c.shows.clone())
    }

    /// The journal gave an epoch. The transaction may still be undone; nothing here does.
    fn gave(&self, epoch: u64, id: &str) {
        self.say(|| format!("journal gives epoch {epoch} to {id}"));
        let now = self.sched.now();
        self.given.borrow_mut().insert((epoch, id.to_owned()), now);
        let mut watch = self.watch.borrow_mut();
        if id.starts_with("repair:") {
            watch.count("repairs");
            watch.unrepaired = false;
            for need in &mut watch.needs {
                if need.lost {
                    (need.lost, need.at, need.epoch, need.mode) = (false, now, epoch, Mode::Hard);
                }
            }
            // Whatever was given before, and twice, is behind it.
            watch.committed.iter_mut().for_each(|c| c.lost = true);
            let lost: Vec<_> = watch.committed.iter().map(|c| c.shows.clone()).collect();
            let lags = self.plan.lag > 0;
            for shows in lost.into_iter().filter(|_| !lags) {
                watch.committed.push(Committed { epoch, shows, lost: false });
            }
            return;
        }
        if let Some((mode, shows)) = self.own_changes.borrow().get(id) {
            self.hard.set(self.hard.get() || *mode == Mode::Hard);
            watch.count(if *mode == Mode::Hard { "gone" } else { "posted" });
            for (page, item, version) in shows {
                let (page, item, version, mode) = (Some(*page), *item, *version, *mode);
                watch.needs.push(Need { item, version, mode, at: now, epoch, lost: false, page });
            }
        }
        let first = id.split('#').next().unwrap_or(id);
        let shows = self.stands_for.borrow().get(first).cloned().unwrap_or_default();
        let is_second = id.starts_with("reinvalidate:");
        if is_second {
            // From here on the second epoch's demands hold.
            let mut needs = Vec::new();
            for (item, version) in &shows {
                let first =
                    watch.needs.iter().find(|n| n.item == *item && n.version == *version).cloned();
                if let Some(first) = first {
                    needs.push(Need { at: now, epoch, lost: false, ..first });
                }
            }
            watch.needs.extend(needs);
        }
        watch.committed.push(Committed { epoch, shows, lost: self.plan.lag > 0 && !is_second });
    }
}

fn matches((at, until): (Option<usize>, i64), colo: Option<usize>) -> bool {
    until > 0 && (at.is_none() || at == colo)
}

fn gone() -> CallError {
    CallError::Unreachable("the object restarted".to_owned())
}

fn broken() -> CallError {
    CallError::Broken("the object restarted".to_owned())
}

fn integer(value: &Value) -> i64 {
    match value {
        Value::Integer(number) => *number,
        Value::Null | Value::Text(_) | Value::Blob(_) => 0,
    }
}

pub(crate) fn query(sql: &Sqlite, query: &str) -> Vec<Value> {
    use edge_isr::base::sql::Sql as _;
    sql.exec(query, &[]).unwrap().into_iter().flatten().collect()
}

pub(crate) fn journal_head(sql: &Sqlite) -> u64 {
    query(sql, "SELECT value FROM meta WHERE name = 'head'")
        .first()
        .map_or(0, |v| integer(v) as u64)
}

thread_local! {
    /// Databases of the worlds before: journals, shards.
    static POOLS: [RefCell<Vec<Sqlite>>; 2] =
        const { [RefCell::new(Vec::new()), RefCell::new(Vec::new())] };
}

/// An empty database with its tables, of a journal or of a shard.
fn database(journal: bool) -> Sqlite {
    let used =
        POOLS.with(|[journals, shards]| if journal { journals } else { shards }.borrow_mut().pop());
    if let Some(used) = used {
        used.roll_back();
        used.clear();
        return used;
    }
    Sqlite::memory()
}
