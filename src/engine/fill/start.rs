//! Begins a fill: in a task of its own, listed for those who ask for the same.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use futures_util::future::select;

use crate::base::time::{Millis, Timestamp};
use crate::cache::admission::Admitted;
use crate::control::metrics::Counter;
use crate::engine::context::Incoming;
use crate::engine::fill::buffer::BEAT;
use crate::engine::fill::leader_only::LeaderOnlySlot;
use crate::engine::fill::outcome::{FillOutcome, Work};
use crate::engine::fill::request::{Candidate, FillRequest};
use crate::engine::fill::shared::SharedFill;
use crate::engine::parts::Filler;
use crate::engine::port::Platform;

/// How long a failed background refresh keeps others from trying again.
const REFRESH_PAUSE: Millis = Millis(2_000);

impl<P: Platform> Filler<P> {
    /// Refreshes a stored response without anyone waiting for it.
    pub(crate) fn refresh(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        candidate: Candidate<P>,
        now: Timestamp,
    ) {
        let key = self.context.fill_key(incoming, admitted, &candidate);
        let limit = Millis(self.context.config().origin_timeout.0 * 2);
        if self.context.isolate().borrow_mut().shared_fill(&key, now, limit).is_none() {
            let fill_request = FillRequest {
                incoming: incoming.share(),
                admitted: admitted.clone().into_owned(),
                candidate,
                key,
                background: true,
            };
            match self.room_for_refresh(&fill_request) {
                Some(work) => drop(self.start_fill(fill_request, work, now)),
                None => self.context.count(Counter::RefreshPutOff),
            }
        }
    }

    pub(crate) fn start_fill(
        &self,
        fill_request: FillRequest<P>,
        work: Work,
        now: Timestamp,
    ) -> (SharedFill<P>, LeaderOnlySlot<P>) {
        let fill = SharedFill::begin(work, now);
        let leader_only = self.start_fill_as(fill_request, work, fill.clone());
        (fill, leader_only)
    }

    /// The same as a fill that has begun.
    pub(crate) fn start_fill_as(
        &self,
        fill_request: FillRequest<P>,
        work: Work,
        fill: SharedFill<P>,
    ) -> LeaderOnlySlot<P> {
        let platform = &self.context.platform;
        let leader_only = LeaderOnlySlot::default();
        self.context.isolate().borrow_mut().watch_buffer(fill.body());
        self.context.isolate().borrow_mut().fills.insert(fill_request.key.clone(), fill.clone());
        let (filler, running, slot) = (self.clone(), fill.clone(), Rc::clone(&leader_only));
        let on = Rc::clone(platform);
        platform.spawn(async move {
            match work {
                Work::Queue => filler.queue_refresh(&fill_request, &running).await,
                Work::Fetch | Work::Refresh | Work::Ended => {
                    let fill = Box::pin(filler.run_fill(&fill_request, &running, &slot));
                    let beat = Box::pin(async {
                        loop {
                            running.body().beat(on.now());
                            on.sleep(BEAT).await;
                        }
                    });
                    select::<_, Pin<Box<dyn Future<Output = ()>>>>(fill, beat).await;
                }
            }
            running.retire();
            // Nobody is there to take it.
            if Rc::strong_count(&slot) == 1
                && let Some(unread) = slot.borrow_mut().answer.take()
            {
                on.cancel(unread.response.body);
            }
            if fill_request.background
                && matches!(
                    running.outcome(),
                    Some(FillOutcome::Failed(_) | FillOutcome::InProgressElsewhere) | None
                )
            {
                on.sleep(REFRESH_PAUSE).await;
            }
            filler.context.isolate().borrow_mut().end_fill(&fill_request.key, &running);
        });
        leader_only
    }
}
