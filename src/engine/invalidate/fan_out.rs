//! The journal's side of an invalidation: append, then carry it to every shard.
//!
//! The outbox is durable: an append writes one row per shard in the same transaction, and a row goes when its shard
//! has taken the invalidation. Each shard has one carrier at a time, which takes all that is due to it in one message
//! and goes on until nothing is: the first goes at once, what is appended while it is under way and in the moment
//! after it goes together, so that a storm of webhooks is few messages. A shard that can't be reached holds up no other. An append begins to carry at
//! once, so that its answer can tell how many pages are concerned, and never waits longer than [`COUNT_WAIT`] for
//! that; the alarm goes on for as long as it takes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use futures_util::future::select;

use crate::base::sql::Sql;
use crate::base::time::{Epoch, Millis, Timestamp};
use crate::config::LogLevel;
use crate::config::front_cache_access::FrontCacheAccess;
use crate::engine::port::Platform;
use crate::front_caches::missing_credential;
use crate::index::{Invalidated, ShardCall, ShardReply};
use crate::journal::{
    Appended, Fanout, Journal, JournalCall, JournalError, JournalReply, MOST_EPOCHS,
};

use super::{front_caches, reshard};
use futures_util::future::join_all;

/// How long an append waits for the shards' counts.
pub const COUNT_WAIT: Millis = Millis(300);
/// How long a carrier counts as alive without a sign: longer than a call to a shard may take.
const LAPSE: Millis = Millis(15_000);
/// How long a carrier gathers what comes after its first message.
const GATHER: Millis = Millis(50);
/// How often an alarm looks whether another carrier has ended.
const LOOK: Millis = Millis(50);

/// A journal in its object.
pub struct JournalHost<S: Sql> {
    journal: Result<RefCell<Journal<S>>, JournalError>,
    /// The shards that somebody carries to, and the last sign of each carrier.
    carried: RefCell<HashMap<u16, Timestamp>>,
    /// What the shards told of the appends that wait for it.
    counts: RefCell<HashMap<Epoch, Count>>,
    /// Caches in front of the edge.
    pub(crate) front_caches: Vec<FrontCacheAccess>,
    /// The last sign of the carrier to each, while it has one.
    carrier_signs: RefCell<Vec<Option<Timestamp>>>,
    /// What is logged.
    pub(crate) log: LogLevel,
}

/// What the shards told of an invalidation so far.
struct Count {
    sum: Invalidated,
    /// Shards that have not told.
    left: usize,
    waker: Option<Waker>,
}

impl<S: Sql> JournalHost<S> {
    /// A journal, or why it could not be opened.
    #[must_use]
    pub fn new(journal: Result<Journal<S>, JournalError>) -> Self {
        Self {
            journal: journal.map(RefCell::new),
            carried: RefCell::default(),
            counts: RefCell::default(),
            front_caches: Vec::new(),
            carrier_signs: RefCell::default(),
            log: LogLevel::Problems,
        }
    }

    /// The same with caches in front of the edge to tell.
    #[must_use]
    pub fn with_front_caches(self, front_caches: Vec<FrontCacheAccess>, log: LogLevel) -> Self {
        let carrier_signs = RefCell::new(vec![None; front_caches.len()]);
        Self { front_caches, log, carrier_signs, ..self }
    }

    pub(crate) fn act<T>(
        &self,
        act: impl FnOnce(&mut Journal<S>) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        match &self.journal {
            Ok(journal) => act(&mut journal.borrow_mut()),
            Err(error) => Err(error.clone()),
        }
    }

    /// When there is something to do next.
    ///
    /// # Errors
    /// The journal's.
    pub fn next_wake(&self) -> Result<Option<Timestamp>, JournalError> {
        let own = self.act(|journal| journal.next_wake())?;
        Ok([own, self.next_front_cache()?].into_iter().flatten().min())
    }

    /// Takes a front cache up, unless a carrier of it is alive.
    pub(crate) fn claim_front_cache(&self, at: usize, now: Timestamp) -> bool {
        let free = self.front_cache_sign(at).is_none_or(|lapse| lapse <= now);
        if free {
            self.sign_front_cache(at, Some(now));
        }
        free
    }

    /// A sign of a front cache's carrier; none: it has ended.
    pub(crate) fn sign_front_cache(&self, at: usize, sign: Option<Timestamp>) {
        if let Some(slot) = self.carrier_signs.borrow_mut().get_mut(at) {
            *slot = sign;
        }
    }

    /// Until when a front cache's carrier counts as alive, if it has one.
    pub(crate) fn front_cache_sign(&self, at: usize) -> Option<Timestamp> {
        self.carrier_signs.borrow().get(at).copied().flatten().map(|sign| sign.plus(LAPSE))
    }

    fn is_carried(&self, shard: u16, now: Timestamp) -> bool {
        self.carried.borrow().get(&shard).is_some_and(|sign| now.since(*sign) < LAPSE)
    }

    /// What a shard told of an invalidation; none: it could not be asked.
    fn add_counts(&self, epoch: Epoch, reply: Option<&Invalidated>) {
        let mut counts = self.counts.borrow_mut();
        let Some(count) = counts.get_mut(&epoch) else { return };
        count.left = count.left.saturating_sub(1);
        match reply {
            Some(reply) => {
                count.sum.pages += reply.pages;
                count.sum.warming += reply.warming;
                count.sum.unknown += reply.unknown;
                count.sum.complete &= reply.complete;
            }
            None => count.sum.complete = false,
        }
        if let Some(waker) = count.waker.take() {
            waker.wake();
        }
    }
}

/// Answers a call.
///
/// # Errors
/// The journal's: nothing was recorded, and a retry is safe.
pub async fn handle<P: Platform, S: Sql + 'static>(
    journal_host: &Rc<JournalHost<S>>,
    platform: &Rc<P>,
    call: JournalCall,
) -> Result<JournalReply, JournalError> {
    let now = platform.now();
    let uncounted = matches!(&call, JournalCall::Append(append) if append.uncounted);
    let mut reply = journal_host.act(|journal| journal.handle(call, now))?;
    if let JournalReply::Status(status) = &mut reply {
        for (state, access) in status.front_caches.iter_mut().zip(&journal_host.front_caches) {
            // Told before anything is owed.
            if let Some(failure) = missing_credential(access) {
                state.failure = Some(failure.as_str().to_owned());
            }
        }
    }
    let JournalReply::Appended(Appended::New { epoch, .. }) = reply else {
        return Ok(reply);
    };
    let due = journal_host.act(|journal| journal.due_shards_of(epoch, now))?;
    let shards = journal_host.act(|journal| journal.reach(now))?;
    let left = due.len();
    let sum = Invalidated { complete: true, ..Invalidated::default() };
    journal_host.counts.borrow_mut().insert(epoch, Count { sum, left, waker: None });
    for shard in due.into_iter().filter(|shard| !journal_host.is_carried(*shard, now)) {
        journal_host.carried.borrow_mut().insert(shard, now);
        let (journal_host, on) = (Rc::clone(journal_host), Rc::clone(platform));
        platform.spawn(async move {
            // What fails here is due again: the alarm tells of it.
            let _ = carry(&journal_host, &on, shard).await;
        });
    }
    let counted = poll_fn(|context| match journal_host.counts.borrow_mut().get_mut(&epoch) {
        Some(count) if count.left > 0 => {
            count.waker = Some(context.waker().clone());
            Poll::Pending
        }
        Some(_) | None => Poll::Ready(()),
    });
    // With a shard that could not be reached lately there is nothing to wait for; nor if nobody asks.
    let all = left == usize::from(shards) && !uncounted;
    if all {
        select(counted, Box::pin(platform.sleep(COUNT_WAIT))).await;
    }
    let count = journal_host.counts.borrow_mut().remove(&epoch);
    let whole = count.filter(|count| all && count.left == 0 && count.sum.complete);
    let whole = whole.map(|count| count.sum);
    let (pages, warming) = (whole.map(|sum| sum.pages), whole.map(|sum| sum.warming));
    let unknown = whole.map(|sum| sum.unknown).filter(|unknown| *unknown > 0);
    Ok(JournalReply::Appended(Appended::New { epoch, pages, warming, unknown }))
}

/// Does what is due: second epochs, expiry, and the outbox.
///
/// # Errors
/// The journal's.
pub async fn run_due<P: Platform, S: Sql + 'static>(
    journal_host: &Rc<JournalHost<S>>,
    platform: &Rc<P>,
) -> Result<(), JournalError> {
    let now = platform.now();
    let done = journal_host
        .act(|journal| journal.run_due(now))
        .and(front_caches::start(journal_host, platform));
    let shards = journal_host.act(|journal| journal.due_shards(now))?;
    let carried = shards.into_iter().map(|shard| async move {
        // Another's work: when it has ended there may be nothing left.
        while journal_host.is_carried(shard, platform.now()) {
            platform.sleep(LOOK).await;
        }
        carry(journal_host, platform, shard).await
    });
    let done = join_all(carried).await.into_iter().fold(done, Result::and);
    done.and(reshard::announce_places(journal_host, platform).await)
}

/// Carries to one shard what is due to it, until nothing is.
async fn carry<P: Platform, S: Sql>(
    journal_host: &Rc<JournalHost<S>>,
    platform: &Rc<P>,
    shard: u16,
) -> Result<(), JournalError> {
    loop {
        let now = platform.now();
        let batch = journal_host.act(|journal| journal.pending_fanouts(shard, now))?;
        if batch.is_empty() {
            journal_host.carried.borrow_mut().remove(&shard);
            return Ok(());
        }
        journal_host.carried.borrow_mut().insert(shard, now);
        let is_full = batch.len() as u64 >= MOST_EPOCHS;
        let replies = hand_over(platform, shard, &batch).await;
        let now = platform.now();
        let taken: Vec<Epoch> =
            batch.iter().take(replies.len()).map(|fanout| fanout.epoch).collect();
        let seen = replies.iter().map(|reply| reply.seen).max().unwrap_or_default();
        let noted = journal_host.act(|journal| {
            if taken.is_empty() {
                journal.fanout_failed(shard, now)
            } else {
                journal.fanned_out(shard, &taken, seen, now)
            }
        });
        if noted.is_err() {
            journal_host.carried.borrow_mut().remove(&shard);
            return noted;
        }
        if replies.is_empty() {
            batch.iter().for_each(|fanout| journal_host.add_counts(fanout.epoch, None));
        }
        for (epoch, reply) in taken.iter().zip(&replies) {
            journal_host.add_counts(*epoch, Some(reply));
        }
        if !is_full {
            platform.sleep(GATHER).await;
        }
    }
}

/// What the shard told of each fan-out that it has taken, from the first; none if it could not be asked.
async fn hand_over<P: Platform>(
    platform: &Rc<P>,
    shard: u16,
    batch: &[Fanout],
) -> Vec<Invalidated> {
    if batch.len() > 1
        && let Ok(ShardReply::InvalidatedMany(replies)) =
            platform.shard(shard, ShardCall::InvalidateMany(batch.to_vec())).await
    {
        return replies;
    }
    // A shard of the version before takes one at a time.
    let Some(first) = batch.first() else { return Vec::new() };
    match platform.shard(shard, ShardCall::Invalidate(first.clone())).await {
        Ok(ShardReply::Invalidated(reply)) => vec![reply],
        Ok(_) | Err(_) => Vec::new(),
    }
}
