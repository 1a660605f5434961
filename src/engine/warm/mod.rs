//! A shard's warm queue at work: refetch pages without a visitor waiting (invariant 7).
//!
//! The shard's state machine says what to fetch, under which lease and stamp, and what a failure
//! means; here the fetches are made, a few at a time, for at most [`SLICE`] of one alarm.

mod fetch;
pub(crate) mod import;

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::{Either, select, select_all};

use crate::base::sql::Sql;
use crate::base::time::{Millis, Timestamp};
use crate::control::metrics::Counter;
use crate::engine::parts::Warmer;
use crate::engine::platform_limits::{ALARM, CONNECTIONS, FETCHES, SUBREQUESTS};
use crate::engine::port::{CallError, Platform};
use crate::index::{MoveTask, Shard, ShardCall, ShardError, ShardReply, WarmResult, WarmTask};
use crate::journal::{JournalCall, JournalReply};

/// How long one alarm begins new work.
pub const SLICE: Millis = Millis(45_000);
/// The most warms at once, whatever the settings: what an object may have under way.
const MAX_AT_ONCE: usize = 5;
/// A warm that has run for so long is slow: its place goes to another, and it goes on beside.
const SLOW: Millis = Millis(5_000);
/// Slow warms at once; the oldest is given up for one more.
const MAX_SLOW: usize = 2;
/// How long an alarm goes on because of slow work, well within what the platform allows.
const LONGEST: Millis = Millis(ALARM.0 / 2);
/// How long nothing new is looked for; what is due later than that is left to the next alarm.
const LOOK: Millis = Millis(1_000);
/// What one warm may ask for at most: twice the origin, where a connection was lost; L2, and the
/// journal twice.
const WARM_FETCHES: usize = 2;
const WARM_CALLS: usize = 3;
/// How long calls to the shard have their turn when there is much to do.
const YIELD_PAUSE: Millis = Millis(5);

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

/// What an alarm may still ask others for, as the platform counts it: beyond, its calls would fail.
/// The next alarm has its own.
struct SubrequestBudget {
    fetches: usize,
    calls: usize,
}

impl SubrequestBudget {
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

/// Works on the queue until it is empty, or the slice is over; then reports to the journal what was
/// counted, once a minute at most.
///
/// # Errors
/// The shard's.
pub async fn run_slice<P: Platform, S: Sql>(
    shard_host: &ShardHost<S>,
    warmer: &Warmer<P>,
) -> Result<(), ShardError> {
    let worked = work(shard_host, warmer).await;
    warmer.report_counts().await;
    worked
}

/// As many warms at once as the shard gives out, and one step of an import, or of pages for another
/// shard, beside them. Slow ones hold up no other, and an alarm ends in time whatever they do.
async fn work<P: Platform, S: Sql>(
    shard_host: &ShardHost<S>,
    warmer: &Warmer<P>,
) -> Result<(), ShardError> {
    let platform = &warmer.context.platform;
    let began = platform.now();
    let mut jobs: Vec<Job<'_>> = Vec::new();
    let mut allowance = SubrequestBudget::new();
    let mut failed = Ok(());
    loop {
        let now = platform.now();
        let since = now.since(began);
        let slow = jobs.iter().filter(|job| now.since(job.began) >= SLOW).count();
        let open = allowance.allows(warmer.calls_beside())
            && (since < SLICE || (slow > 0 && since < LONGEST));
        let mut wait = LOOK;
        if open {
            // A full database may refuse this, and still note what was fetched.
            failed = failed.and(shard_host.act(|shard| shard.run_due(now)));
            begin(shard_host, warmer, &mut jobs, &mut allowance)?;
            let next = shard_host.next_wake()?;
            wait = next.map_or(LOOK, |at| at.since(now).clamp(YIELD_PAUSE, LOOK));
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
                set_aside(shard_host, warmer, job)?;
            }
            return failed;
        }
        let pause = Box::pin(platform.sleep(wait));
        jobs = match select(select_all(jobs), pause).await {
            Either::Right(((), working)) => working.into_inner(),
            Either::Left(((done, _, rest), _)) => {
                match done {
                    Done::Warm(ended) => note(shard_host, warmer, *ended)?,
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
    warmer: &'a Warmer<P>,
    jobs: &mut Vec<Job<'a>>,
    allowance: &mut SubrequestBudget,
) -> Result<(), ShardError> {
    let now = warmer.context.platform.now();
    let mut beside = jobs.iter().any(|job| job.warm.is_none());
    if !beside && let Some(task) = shard_host.act(|shard| shard.take_import(now))? {
        beside = true;
        allowance.take(WARM_FETCHES, warmer.calls_beside());
        let import = warmer.import(shard_host, task);
        let work = Box::pin(async move { Done::Beside(import.await) });
        jobs.push(Job { began: now, warm: None, work });
    }
    if !beside && let Some(task) = shard_host.act(|shard| shard.take_move(now))? {
        allowance.take(0, 1);
        let moved = warmer.hand_over(shard_host, task);
        let work = Box::pin(async move { Done::Beside(moved.await) });
        jobs.push(Job { began: now, warm: None, work });
    }
    let is_slow = |job: &Job<'_>| job.warm.is_some() && now.since(job.began) >= SLOW;
    while jobs.iter().filter(|job| is_slow(job)).count() > MAX_SLOW {
        let Some(oldest) = jobs.iter().position(is_slow) else { break };
        set_aside(shard_host, warmer, jobs.remove(oldest))?;
    }
    let slow = jobs.iter().filter(|job| is_slow(job)).count() as u32;
    // Beyond the platform's limit a fetch would wait for another's end, and its time would run.
    let room = CONNECTIONS.saturating_sub(jobs.len());
    let most = MAX_AT_ONCE.min(room).min(allowance.warms());
    for task in shard_host.act(|shard| shard.take_warms(now, most, slow))? {
        allowance.take(WARM_FETCHES, WARM_CALLS);
        let warm = Some(task.clone());
        let work = Box::pin(async move {
            let result = warmer.warm(&task).await;
            Done::Warm(Box::new((task, result)))
        });
        jobs.push(Job { began: now, warm, work });
    }
    Ok(())
}

/// Gives a slow job up: a warm is tried again later.
fn set_aside<P: Platform, S: Sql>(
    shard_host: &ShardHost<S>,
    warmer: &Warmer<P>,
    job: Job<'_>,
) -> Result<(), ShardError> {
    let Some(task) = job.warm.clone() else { return Ok(()) };
    drop(job);
    let result = WarmResult::Failed { reason: "set-aside".to_owned(), after: None };
    note(shard_host, warmer, (task, result))
}

fn note<P: Platform, S: Sql>(
    shard_host: &ShardHost<S>,
    warmer: &Warmer<P>,
    (task, result): (WarmTask, WarmResult),
) -> Result<(), ShardError> {
    match &result {
        WarmResult::NotStored { reason } | WarmResult::Failed { reason, .. } => {
            warmer.context.warm_failed(&task, reason);
        }
        WarmResult::Fetched(_) => warmer.context.count(Counter::WarmDone),
    }
    let now = warmer.context.platform.now();
    let refetch = shard_host.act(|shard| shard.finish_warm(&task, result, now))?;
    warmer.context.refetched(refetch);
    Ok(())
}

impl<P: Platform> Warmer<P> {
    /// Reports to the journal what this object's isolate has counted, if it is time. What is not
    /// taken now goes with the next.
    async fn report_counts(&self) {
        let platform = &self.context.platform;
        {
            let isolate = &mut *self.context.isolate().borrow_mut();
            isolate.counting.report_soon(&isolate.metrics, platform.now());
        }
        let Some(report) = self.context.report() else { return };
        match platform.journal(JournalCall::Report(report)).await {
            Ok(JournalReply::Reported { number }) => self.context.reported(Some(number)),
            Ok(_) => {}
            Err(error) => self.context.journal_failed("report", &error),
        }
    }

    /// Hands pages over to their new shard.
    async fn hand_over<S: Sql>(
        &self,
        shard_host: &ShardHost<S>,
        task: MoveTask,
    ) -> Result<(), ShardError> {
        let platform = &self.context.platform;
        let (shard, call) = (task.message.shard, ShardCall::Move(task.message.clone()));
        let failed = |error: &CallError| {
            self.context.shard_failed(shard, "move", error);
            false
        };
        let taken = match platform.shard(shard, call).await {
            Ok(ShardReply::Moved { done }) => done,
            Ok(other) => failed(&CallError::Unknown(other.name().into())),
            Err(error) => failed(&error),
        };
        shard_host.act(|shard| shard.note_move(&task, taken, platform.now()))
    }

    /// What one step of an import may ask of objects: every shard, for its own.
    fn calls_beside(&self) -> usize {
        usize::from(self.context.config().shards).max(WARM_CALLS)
    }
}
