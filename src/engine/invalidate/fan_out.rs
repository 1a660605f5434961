//! The journal's side of an invalidation: append, then deliver it to every shard.
//!
//! The outbox is durable: an append writes one row per shard in the same transaction, and a row
//! goes when its shard has taken the invalidation. Each shard has one delivery at a time, which
//! takes all that is due to it in one message and goes on until nothing is: the first goes at once,
//! what is appended while it is under way and in the moment after it goes together, so that a storm
//! of webhooks is few messages. A shard that can't be reached holds up no other. An append begins
//! to deliver at once, so that its answer can say how many pages are concerned, and never waits
//! longer than [`COUNT_WAIT`] for that; the alarm goes on for as long as it takes.
//!
//! Where the number of shards has changed, the alarm also sends each shard its place; what is no
//! longer its own a shard hands over from its own alarm (`warm/`).

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use futures_util::future::{join_all, select};

use crate::base::sql::Sql;
use crate::base::time::{Epoch, Millis};
use crate::engine::port::Platform;
use crate::front_caches::missing_credential;
use crate::journal::{Appended, Fanout, JournalCall, JournalError, JournalReply, MAX_EPOCHS};

use super::front_caches;
use super::journal_host::Count;
pub use super::journal_host::JournalHost;
use crate::control::log::Event;
use crate::index::{Invalidated, Move, ShardCall, ShardReply};

/// How long an append waits for the shards' counts.
pub const COUNT_WAIT: Millis = Millis(300);
/// How long a delivery gathers what comes after its first message.
const GATHER: Millis = Millis(50);
/// How often an alarm looks whether another delivery has ended.
const LOOK: Millis = Millis(50);

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
            // Known before anything is pending.
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
    for shard in due.into_iter().filter(|shard| !journal_host.is_delivering(*shard, now)) {
        journal_host.delivering.borrow_mut().insert(shard, now);
        let (journal_host, on) = (Rc::clone(journal_host), Rc::clone(platform));
        platform.spawn(async move {
            // What fails here is due again: the alarm reports it.
            let _ = deliver(&journal_host, &on, shard).await;
        });
    }
    let counted = poll_fn(|context| match journal_host.counts.borrow_mut().get_mut(&epoch) {
        Some(count) if count.left > 0 => {
            count.waker = Some(context.waker().clone());
            Poll::Pending
        }
        Some(_) | None => Poll::Ready(()),
    });
    // With a shard that could not be reached lately there is nothing to wait for; nor if nobody
    // asks.
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
    let deliveries = shards.into_iter().map(|shard| async move {
        // Another's work: when it has ended there may be nothing left.
        while journal_host.is_delivering(shard, platform.now()) {
            platform.sleep(LOOK).await;
        }
        deliver(journal_host, platform, shard).await
    });
    let done = join_all(deliveries).await.into_iter().fold(done, Result::and);
    done.and(announce_places(journal_host, platform).await)
}

/// Carries to one shard what is due to it, until nothing is.
async fn deliver<P: Platform, S: Sql>(
    journal_host: &Rc<JournalHost<S>>,
    platform: &Rc<P>,
    shard: u16,
) -> Result<(), JournalError> {
    loop {
        let now = platform.now();
        let batch = journal_host.act(|journal| journal.pending_fanouts(shard, now))?;
        if batch.is_empty() {
            journal_host.delivering.borrow_mut().remove(&shard);
            return Ok(());
        }
        journal_host.delivering.borrow_mut().insert(shard, now);
        let is_full = batch.len() as u64 >= MAX_EPOCHS;
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
            journal_host.delivering.borrow_mut().remove(&shard);
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

/// What the shard answered to each fan-out that it has taken, from the first; none if it could
/// not be asked.
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

/// Sends their places to the shards that are due, and asks how far they are.
async fn announce_places<P: Platform, S: Sql>(
    journal_host: &Rc<JournalHost<S>>,
    platform: &Rc<P>,
) -> Result<(), JournalError> {
    let now = platform.now();
    let places = journal_host.act(|journal| journal.due_moves(now))?;
    let Some(shards) = places.first().map(|place| place.shards) else { return Ok(()) };
    // A new shard has got no invalidation: what it fetches is to be stamped past those of
    // before.
    let seen = journal_host.act(|journal| Ok(journal.head()))?;
    for place in places {
        let call = ShardCall::Move(Move { seen, ..Move::to(place) });
        let reply = platform.shard(place.shard, call).await;
        // One of the version before does not understand it: it is sent again.
        let done = matches!(reply, Ok(ShardReply::Moved { done: true }));
        journal_host.act(|journal| journal.moved(place, done, platform.now()))?;
    }
    let moving = journal_host.act(|journal| journal.moving())?;
    if let Some(line) =
        (Event::Resharding { shards, moving }).line(platform.now(), journal_host.log)
    {
        platform.log(&line);
    }
    Ok(())
}
