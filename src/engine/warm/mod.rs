//! A shard's warm queue at work: refetch pages without a visitor waiting (invariant 7).
//!
//! The shard's state machine says what to fetch, under which lease and stamp, and what a failure means; here the
//! fetches are made, a few at a time, for at most [`SLICE`] of one alarm.

pub(crate) mod import;

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

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
use crate::engine::port::{OriginError, OriginResponse, Platform, Store as _, StoreError};
use crate::http::Fields;
use crate::http::retry_after::retry_after;
use crate::index::{
    Outcome, RecordRequest, Shard, ShardCall, ShardError, ShardReply, WarmResult, WarmTask,
};

use super::fill::permission::{Lease, StoreScope};
use super::fill::store::FetchContext;
use super::fill::stored::{fresh_until, l2_key, stated_length};
use super::invalidate::gone::Gone;
use super::memory::StoredPage;
use super::observe::{Operation, Tier};
use super::origin_limit::Sender;
use super::{Engine, USER_AGENT, keep_until, own_request};

/// How long one alarm begins new work.
pub const SLICE: Millis = Millis(45_000);
/// The most warms at once, whatever the settings: what an object may have under way.
const MOST_AT_ONCE: usize = 5;
/// How long nothing new is looked for; what is due later than that is left to the next alarm.
const LOOK: Millis = Millis(1_000);
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

/// What a slice works on.
type Job<'a> = Pin<Box<dyn Future<Output = Done> + 'a>>;

/// What has ended.
enum Done {
    Warm(Box<(WarmTask, WarmResult)>),
    Beside(Result<(), ShardError>),
}

/// Works on the queue until it is empty, or the slice is over: as many warms at once as the shard
/// gives out, and one step of an import, or of pages for another shard, beside them.
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
    let mut beside = false;
    let mut failed = Ok(());
    loop {
        let now = platform.now();
        let open = now.since(began) < SLICE;
        let mut wait = LOOK;
        if open {
            // A full database may refuse this, and still note what was fetched.
            failed = failed.and(shard_host.act(|shard| shard.run_due(now)));
            if !beside && let Some(task) = shard_host.act(|shard| shard.take_import(now))? {
                beside = true;
                let import = engine.import(platform, shard_host, task);
                jobs.push(Box::pin(async move { Done::Beside(import.await) }));
            }
            if !beside && let Some(task) = shard_host.act(|shard| shard.take_move(now))? {
                beside = true;
                let moved = engine.hand_over(platform, shard_host, task);
                jobs.push(Box::pin(async move { Done::Beside(moved.await) }));
            }
            for task in shard_host.act(|shard| shard.take_warms(now, MOST_AT_ONCE))? {
                jobs.push(Box::pin(async move {
                    let result = engine.warm(platform, &task).await;
                    Done::Warm(Box::new((task, result)))
                }));
            }
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
        }
        let pause = Box::pin(platform.sleep(wait));
        jobs = match select(select_all(jobs), pause).await {
            Either::Right(((), working)) => working.into_inner(),
            Either::Left(((done, _, rest), _)) => {
                match done {
                    Done::Warm(ended) => note(shard_host, engine, platform, *ended)?,
                    Done::Beside(done) => {
                        beside = false;
                        done?;
                    }
                }
                rest
            }
        };
    }
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
            origin_secret: self.0.origin_secret.as_deref(),
            warm: true,
            user_agent: USER_AGENT,
            client_accept_encoding: None,
        };
        let mut sent = cacheable_request_fields(&request, &admitted, &facts);
        add_selecting(&mut sent, &request, &task.vary);
        let permit = match self.permit(platform, Sender::Background, None).await {
            Ok(permit) => permit,
            Err(error) => return failed(error, None),
        };
        let began = platform.now();
        let response = match self.ask_as_edge(platform, &admitted, sent.clone(), permit).await {
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
                self.store_warm(platform, task, entry, fields, response).await
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
        mut entry: Entry,
        request: Fields,
        response: OriginResponse<P::Stream>,
    ) -> WarmResult {
        let status = entry.status;
        let body = match self.read_whole(platform, response).await {
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

    /// The whole body; none if it is larger than what may be stored.
    async fn read_whole(
        &self,
        platform: &Rc<P>,
        response: OriginResponse<P::Stream>,
    ) -> Result<Option<P::Chunk>, OriginError> {
        let timeout = self.config().origin_timeout;
        let stated = stated_length(&response.head.fields);
        let mut body = response.body;
        let (mut pieces, mut total) = (Vec::new(), 0);
        while let Some(piece) = platform.read(&mut body, timeout).await? {
            total += P::length(&piece) as u64;
            if total > self.config().max_body {
                platform.cancel(body);
                return Ok(None);
            }
            pieces.push(piece);
        }
        if stated.is_some_and(|length| length != total) {
            return Err(OriginError::Broken);
        }
        Ok(Some(P::concat(&pieces)))
    }
}

fn failed(error: OriginError, after: Option<Millis>) -> WarmResult {
    let reason = match error {
        OriginError::Status(status) => format!("origin-error {status}"),
        OriginError::Unreachable
        | OriginError::Timeout
        | OriginError::Broken
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
