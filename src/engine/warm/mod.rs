//! A shard's warm queue at work: refetch pages without a visitor waiting (invariant 7).
//!
//! The shard's state machine says what to fetch, under which lease and stamp, and what a failure means; here the
//! fetches are made, a few at a time, for at most [`SLICE`] of one alarm.

pub(crate) mod import;

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::future::{Either, select, select_all};

use crate::base::sql::Sql;
use crate::base::time::{Millis, Timestamp};
use crate::cache::admission::{Admission, admit};
use crate::cache::entry::Entry;
use crate::cache::errors::{decides, is_of_the_moment};
use crate::cache::forward::{EdgeFacts, add_selecting, cacheable_request_fields, warm_fields};
use crate::cache::storage::{Storage, StorageInput, storage};
use crate::cache::tag::TagSet;
use crate::control::metrics::Counter;
use crate::engine::context::{Engine, USER_AGENT, own_request};
use crate::engine::fill::lease::{Lease, StoreScope};
use crate::engine::fill::outcome::Work;
use crate::engine::fill::request::FetchContext;
use crate::engine::fill::shared::SharedFill;
use crate::engine::fill::stored::{fresh_until, keep_until, l2_key, stated_length};
use crate::engine::invalidate::gone::Gone;
use crate::engine::memory::StoredPage;
use crate::engine::observe::{Operation, Tier};
use crate::engine::origin_limit::Sender;
use crate::engine::platform_limits::{ALARM, CONNECTIONS, FETCHES, SUBREQUESTS};
use crate::engine::port::{OriginError, OriginResponse, Platform, Store as _, StoreError};
use crate::http::Fields;
use crate::http::retry_after::retry_after;
use crate::index::{
    Outcome, RecordRequest, Shard, ShardCall, ShardError, ShardReply, WarmResult, WarmTask,
};

/// How long one alarm begins new work.
pub const SLICE: Millis = Millis(45_000);
/// The most warms at once, whatever the settings: what an object may have under way.
const MOST_AT_ONCE: usize = 5;
/// A warm that has run for so long is slow: its place goes to another, and it goes on beside.
const SLOW: Millis = Millis(5_000);
/// Slow warms at once; the oldest is given up for one more.
const MOST_SLOW: usize = 2;
/// How long an alarm goes on because of slow work, well within what the platform allows.
const LONGEST: Millis = Millis(ALARM.0 / 2);
/// How long a warm may take as a whole: the time limit of the origin, this at least, and a little more.
const LEAST_LIMIT: Millis = Millis(20_000);
const AFTER_HEAD: Millis = Millis(2_000);
/// How long nothing new is looked for; what is due later than that is left to the next alarm.
const LOOK: Millis = Millis(1_000);
/// What one warm may ask for at most: twice the origin, where a connection was lost; L2, and the journal twice.
const WARM_FETCHES: usize = 2;
const WARM_CALLS: usize = 3;
/// How long calls to the shard have their turn when there is much to do.
const BREATH: Millis = Millis(5);

/// A shard in its object.
pub struct ShardHost<S: Sql> {
    shard: Result<RefCell<Shard<S>>, ShardError>,
}

impl<S: Sql> ShardHost<S> {
    /// A shard, or why it could not be opened.
    #[must_use]
    pub fn new(shard: Result<Shard<S>, ShardError>) -> Self {
        Self { shard: shard.map(RefCell::new) }
    }

    pub(crate) fn act<T>(
        &self,
        act: impl FnOnce(&mut Shard<S>) -> Result<T, ShardError>,
    ) -> Result<T, ShardError> {
        match &self.shard {
            Ok(shard) => act(&mut shard.borrow_mut()),
            Err(error) => Err(error.clone()),
        }
    }

    /// Answers a call.
    ///
    /// # Errors
    /// The shard's.
    pub fn handle(&self, call: ShardCall, now: Timestamp) -> Result<ShardReply, ShardError> {
        self.act(|shard| shard.handle(call, now))
    }

    /// When there is something to do next.
    ///
    /// # Errors
    /// The shard's.
    pub fn next_wake(&self) -> Result<Option<Timestamp>, ShardError> {
        self.act(|shard| shard.next_wake())
    }
}

/// What an alarm may still ask others for, as the platform counts it: beyond, its calls would fail. The next alarm
/// has its own.
struct Allowance {
    fetches: usize,
    calls: usize,
}

impl Allowance {
    const fn new() -> Self {
        Self { fetches: FETCHES, calls: SUBREQUESTS }
    }

    /// How many warms it is enough for.
    fn warms(&self) -> usize {
        (self.fetches / WARM_FETCHES).min(self.calls / WARM_CALLS)
    }

    /// Whether something may begin that asks the origin twice at most, and others this often.
    const fn allows(&self, calls: usize) -> bool {
        self.fetches >= WARM_FETCHES && self.calls >= calls
    }

    const fn take(&mut self, fetches: usize, calls: usize) {
        self.fetches = self.fetches.saturating_sub(fetches);
        self.calls = self.calls.saturating_sub(calls);
    }
}

/// What a slice works on.
struct Job<'a> {
    began: Timestamp,
    /// The warm, if it is one.
    warm: Option<WarmTask>,
    work: Pin<Box<dyn Future<Output = Done> + 'a>>,
}

impl Future for Job<'_> {
    type Output = Done;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Done> {
        self.work.as_mut().poll(context)
    }
}

/// What has ended.
enum Done {
    Warm(Box<(WarmTask, WarmResult)>),
    Beside(Result<(), ShardError>),
}

/// Works on the queue until it is empty, or the slice is over: as many warms at once as the shard
/// gives out, and one step of an import, or of pages for another shard, beside them. Slow ones hold up
/// no other, and an alarm ends in time whatever they do.
///
/// # Errors
/// The shard's.
pub async fn run_slice<P: Platform, S: Sql>(
    shard_host: &ShardHost<S>,
    engine: &Engine<P>,
    platform: &Rc<P>,
) -> Result<(), ShardError> {
    let began = platform.now();
    let mut jobs: Vec<Job<'_>> = Vec::new();
    let mut allowance = Allowance::new();
    let mut failed = Ok(());
    loop {
        let now = platform.now();
        let since = now.since(began);
        let slow = jobs.iter().filter(|job| now.since(job.began) >= SLOW).count();
        let open = allowance.allows(engine.calls_beside())
            && (since < SLICE || (slow > 0 && since < LONGEST));
        let mut wait = LOOK;
        if open {
            // A full database may refuse this, and still note what was fetched.
            failed = failed.and(shard_host.act(|shard| shard.run_due(now)));
            begin(shard_host, engine, platform, &mut jobs, &mut allowance)?;
            let next = shard_host.next_wake()?;
            wait = next.map_or(LOOK, |at| at.since(now).clamp(BREATH, LOOK));
            if jobs.is_empty() {
                // What is due now but was not taken, and what is due later, is the next alarm's.
                if next.is_none_or(|at| at <= now || at.since(now) > LOOK) {
                    return failed;
                }
                platform.sleep(wait).await;
                continue;
            }
        } else if jobs.is_empty() {
            return failed;
        } else if slow == jobs.len() {
            // What is left has had its time; dropping it gives up what it does.
            for job in jobs {
                set_aside(shard_host, engine, platform, job)?;
            }
            return failed;
        }
        let pause = Box::pin(platform.sleep(wait));
        jobs = match select(select_all(jobs), pause).await {
            Either::Right(((), working)) => working.into_inner(),
            Either::Left(((done, _, rest), _)) => {
                match done {
                    Done::Warm(ended) => note(shard_host, engine, platform, *ended)?,
                    Done::Beside(done) => done?,
                }
                rest
            }
        };
    }
}

/// Begins what is due and has a place.
fn begin<'a, P: Platform, S: Sql>(
    shard_host: &'a ShardHost<S>,
    engine: &'a Engine<P>,
    platform: &'a Rc<P>,
    jobs: &mut Vec<Job<'a>>,
    allowance: &mut Allowance,
) -> Result<(), ShardError> {
    let now = platform.now();
    let mut beside = jobs.iter().any(|job| job.warm.is_none());
    if !beside && let Some(task) = shard_host.act(|shard| shard.take_import(now))? {
        beside = true;
        allowance.take(WARM_FETCHES, engine.calls_beside());
        let import = engine.import(platform, shard_host, task);
        let work = Box::pin(async move { Done::Beside(import.await) });
        jobs.push(Job { began: now, warm: None, work });
    }
    if !beside && let Some(task) = shard_host.act(|shard| shard.take_move(now))? {
        allowance.take(0, 1);
        let moved = engine.hand_over(platform, shard_host, task);
        let work = Box::pin(async move { Done::Beside(moved.await) });
        jobs.push(Job { began: now, warm: None, work });
    }
    let is_slow = |job: &Job<'_>| job.warm.is_some() && now.since(job.began) >= SLOW;
    while jobs.iter().filter(|job| is_slow(job)).count() > MOST_SLOW {
        let Some(oldest) = jobs.iter().position(is_slow) else { break };
        set_aside(shard_host, engine, platform, jobs.remove(oldest))?;
    }
    let slow = jobs.iter().filter(|job| is_slow(job)).count() as u32;
    // Beyond the platform's limit a fetch would wait for another's end, and its time would run.
    let room = CONNECTIONS.saturating_sub(jobs.len());
    let most = MOST_AT_ONCE.min(room).min(allowance.warms());
    for task in shard_host.act(|shard| shard.take_warms_beside(now, most, slow))? {
        allowance.take(WARM_FETCHES, WARM_CALLS);
        let warm = Some(task.clone());
        let work = Box::pin(async move {
            let result = engine.warm(platform, &task).await;
            Done::Warm(Box::new((task, result)))
        });
        jobs.push(Job { began: now, warm, work });
    }
    Ok(())
}

/// Gives a slow job up: a warm is tried again later.
fn set_aside<P: Platform, S: Sql>(
    shard_host: &ShardHost<S>,
    engine: &Engine<P>,
    platform: &Rc<P>,
    job: Job<'_>,
) -> Result<(), ShardError> {
    let Some(task) = job.warm.clone() else { return Ok(()) };
    drop(job);
    let result = WarmResult::Failed { reason: "set-aside".to_owned(), after: None };
    note(shard_host, engine, platform, (task, result))
}

fn note<P: Platform, S: Sql>(
    shard_host: &ShardHost<S>,
    engine: &Engine<P>,
    platform: &Rc<P>,
    (task, result): (WarmTask, WarmResult),
) -> Result<(), ShardError> {
    match &result {
        WarmResult::Failed { reason, .. } => engine.warm_failed(platform, &task, reason),
        WarmResult::Fetched(_) => engine.count(Counter::WarmDone),
    }
    shard_host.act(|shard| shard.finish_warm(&task, result, platform.now()))
}

impl<P: Platform> Engine<P> {
    /// What one step of an import may ask of objects: every shard, for its own.
    fn calls_beside(&self) -> usize {
        usize::from(self.config().shards).max(WARM_CALLS)
    }

    async fn warm(&self, platform: &Rc<P>, task: &WarmTask) -> WarmResult {
        let request = own_request(&task.page, task.request.clone());
        let Admission::Serve(admitted) = admit(&request, self.config()) else {
            return fetched(task, Outcome::Uncacheable { reason: "route".to_owned() }, 0);
        };
        if admitted.key != task.key {
            // The rules of the key have changed since: nobody will ask for this one again.
            return fetched(task, Outcome::Gone, 0);
        }
        let facts = EdgeFacts {
            origin_secret: self.origin_secret(),
            warm: true,
            user_agent: USER_AGENT,
            client_accept_encoding: None,
        };
        let mut sent = cacheable_request_fields(&request, &admitted, &facts);
        add_selecting(&mut sent, &request, &task.vary);
        let end = platform.now().plus(self.warm_limit());
        let permit = match self.permit(platform, Sender::Background, None, None).await {
            Ok(permit) => permit,
            Err(error) => return failed(error, None),
        };
        let began = platform.now();
        let timeout = self.config().origin_timeout.min(end.since(began));
        let response =
            match self.ask_as_edge(platform, &admitted, sent.clone(), permit, timeout).await {
                Ok(response) if is_of_the_moment(response.head.status) => {
                    platform.cancel(response.body);
                    let after = retry_after(&response.head.fields, platform.now());
                    return failed(OriginError::Status(response.head.status), after);
                }
                Ok(response) => response,
                Err(error) => return failed(error, None),
            };
        let lease = Lease {
            scope: StoreScope::World,
            fence: task.fence,
            stamp: task.stamp,
            tags: task.tags.clone(),
            vary: task.vary.clone(),
            first: false,
            leased: task.selection.clone(),
        };
        let arrived = platform.now();
        let fetch = FetchContext { lease, stamp: task.stamp, sent, began, arrived };
        let decision = storage(&StorageInput {
            request: &request,
            admitted: &admitted,
            sent: &fetch.sent,
            response: &response.head,
            request_time: began,
            response_time: arrived,
        });
        match decision {
            Storage::Store(storable) => {
                let status = response.head.status;
                let entry = self.entry(&request, &admitted, storable, status, &fetch);
                let fields = warm_fields(&request, &admitted, &fetch.sent);
                self.store_warm(platform, task, (entry, fields, end), response).await
            }
            Storage::Share(_, reason) | Storage::Refuse(reason) => {
                let status = response.head.status;
                platform.cancel(response.body);
                if !decides(status) {
                    return failed(OriginError::Status(status), None);
                }
                if let Some(stamp) = task.stored.filter(|_| reason.is_of_the_origin()) {
                    let reason = reason.as_str();
                    let gone = Gone { status, reason, stamp, via: "warm" };
                    if self.invalidate_gone(platform, &admitted, gone).await.is_err() {
                        let reason = "journal-unreachable".to_owned();
                        return WarmResult::Failed { reason, after: None };
                    }
                }
                let outcome = match status {
                    404 | 410 => Outcome::Gone,
                    _ => Outcome::Uncacheable { reason: reason.as_str().to_owned() },
                };
                fetched(task, outcome, status)
            }
        }
    }

    async fn store_warm(
        &self,
        platform: &Rc<P>,
        task: &WarmTask,
        (mut entry, request, end): (Entry, Fields, Timestamp),
        response: OriginResponse<P::Stream>,
    ) -> WarmResult {
        let status = entry.status;
        let body = match self.read_whole(platform, response, end).await {
            Ok(Some(body)) => body,
            Ok(None) => {
                return fetched(
                    task,
                    Outcome::Uncacheable { reason: "body-too-large".to_owned() },
                    status,
                );
            }
            Err(error) => return failed(error, None),
        };
        entry.body_length = P::length(&body) as u64;
        let page = Rc::new(StoredPage { entry, body });
        let entry = &page.entry;
        let until = keep_until(entry);
        let key = l2_key(entry);
        let record = crate::cache::envelope::Record::Entry(Box::new(entry.clone()));
        let keep = until.since(platform.now());
        let l2_key = match platform.global().put(&key, &record, &page.body, keep).await {
            Ok(()) => Some(key),
            Err(StoreError::TooLarge) => None,
            Err(error) => {
                self.store_failed(platform, Tier::Global, Operation::Put, &error);
                return WarmResult::Failed { reason: "l2-failed".to_owned(), after: None };
            }
        };
        self.store_in_colo(platform, &page).await;
        WarmResult::Fetched(Box::new(RecordRequest {
            page: entry.page.clone(),
            key: entry.key.clone(),
            selection: entry.selection.clone(),
            leased: task.selection.clone(),
            request,
            tags: entry.tags.clone(),
            stamp: entry.stamp,
            fence: entry.fence,
            l2_key,
            status,
            fresh_until: fresh_until(entry),
            keep_until: until,
            outcome: Outcome::Stored,
        }))
    }

    /// How long a warm may take as a whole: its lease outlives it.
    fn warm_limit(&self) -> Millis {
        Millis(self.config().origin_timeout.max(LEAST_LIMIT).0.saturating_add(AFTER_HEAD.0))
    }

    /// The whole body, by the time that the warm has as a whole; none if it is larger than what may be stored. It
    /// counts as memory of the isolate.
    async fn read_whole(
        &self,
        platform: &Rc<P>,
        response: OriginResponse<P::Stream>,
        end: Timestamp,
    ) -> Result<Option<P::Chunk>, OriginError> {
        let stated = stated_length(&response.head.fields);
        let mut body = Unread { platform, body: Some(response.body) };
        let most = self.config().max_body;
        if stated.is_some_and(|length| length > most) {
            return Ok(None);
        }
        let held = SharedFill::begin(Work::Fetch, platform.now());
        self.isolate().borrow_mut().watch_fill(&held);
        loop {
            let now = platform.now();
            let timeout = self.config().origin_timeout.min(end.since(now));
            let Some(stream) = &mut body.body else { return Err(OriginError::Broken) };
            let Some(piece) = platform.read(stream, timeout).await? else { break };
            held.push(piece, platform.now());
            if held.total() > most {
                return Ok(None);
            }
            let mut isolate = self.isolate().borrow_mut();
            let most_held = self.config().fill_memory;
            if isolate.fill_bytes() > most_held {
                isolate.shed(now, most_held);
                if isolate.fill_bytes() > most_held {
                    return Err(OriginError::Busy);
                }
            }
        }
        body.body = None;
        if stated.is_some_and(|length| length != held.total()) {
            return Err(OriginError::Broken);
        }
        Ok(held.body())
    }
}

/// A body that is given up when it is dropped unread.
struct Unread<'a, P: Platform> {
    platform: &'a Rc<P>,
    body: Option<P::Stream>,
}

impl<P: Platform> Drop for Unread<'_, P> {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            self.platform.cancel(body);
        }
    }
}

fn failed(error: OriginError, after: Option<Millis>) -> WarmResult {
    let reason = match error {
        OriginError::Status(status) => format!("origin-error {status}"),
        OriginError::Unreachable
        | OriginError::Timeout
        | OriginError::Broken
        | OriginError::Unreadable
        | OriginError::Busy
        | OriginError::Upload => error.as_str().to_owned(),
    };
    WarmResult::Failed { reason, after }
}

fn fetched(task: &WarmTask, outcome: Outcome, status: u16) -> WarmResult {
    WarmResult::Fetched(Box::new(RecordRequest {
        page: task.page.clone(),
        key: task.key.clone(),
        selection: task.selection.clone(),
        leased: task.selection.clone(),
        request: Fields::new(),
        tags: TagSet::default(),
        stamp: task.stamp,
        fence: task.fence,
        l2_key: None,
        status,
        fresh_until: Timestamp::ZERO,
        keep_until: Timestamp::ZERO,
        outcome,
    }))
}
