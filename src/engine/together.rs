//! Waiting for several calls at once, in little code.
//!
//! `futures_util`'s own `join_all` keeps lists of which future was woken, for thousands of them. Here at most one call
//! to each shard is under way: each is looked at whenever one of them has moved.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use futures_util::future::{MaybeDone, maybe_done};

/// What all of them come to, in their order.
pub(super) async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut jobs: Vec<Pin<Box<MaybeDone<F>>>> =
        futures.into_iter().map(|future| Box::pin(maybe_done(future))).collect();
    poll_fn(|context| {
        let waits = |job: &mut Pin<Box<MaybeDone<F>>>| job.as_mut().poll(context).is_pending();
        let waiting = jobs.iter_mut().map(waits).filter(|waits| *waits).count();
        if waiting == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    // Each has ended, so each has what it came to.
    jobs.iter_mut().filter_map(|job| job.as_mut().take_output()).collect()
}
