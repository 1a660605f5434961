//! Begins a fill: in a task of its own, listed for those who ask for the same.

use std::rc::Rc;

use crate::base::time::{Millis, Timestamp};
use crate::cache::admission::Admitted;
use crate::control::metrics::Counter;
use crate::engine::context::Incoming;
use crate::engine::fill::in_flight::InFlight;
use crate::engine::fill::outcome::{FillOutcome, FillWork, LeaderOnlySlot};
use crate::engine::fill::request::{Candidate, FillRequest};
use crate::engine::fill::shared::SharedFill;
use crate::engine::heartbeat::while_beating;
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
        if self.context.isolate().borrow_mut().in_flight(&key, now, limit).is_none() {
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
        work: FillWork,
        now: Timestamp,
    ) -> (SharedFill<P>, LeaderOnlySlot<P>) {
        let fill = SharedFill::begin(work, &fill_request.admitted.page, now);
        let platform = &self.context.platform;
        let leader_only = LeaderOnlySlot::default();
        self.context.isolate().borrow_mut().watch_buffer(fill.body());
        let listed = InFlight::Fill(fill.clone());
        self.context.isolate().borrow_mut().in_flight.insert(fill_request.key.clone(), listed);
        let (filler, running, slot) = (self.clone(), fill.clone(), Rc::clone(&leader_only));
        let on = Rc::clone(platform);
        platform.spawn(async move {
            match work {
                FillWork::Queue => filler.queue_refresh(&fill_request, &running).await,
                FillWork::Fetch | FillWork::Refresh => {
                    let fill = Box::pin(filler.run_fill(&fill_request, &running, &slot));
                    while_beating(&*on, |now| running.body().heartbeat(now), fill).await;
                }
            }
            // Nobody is there to take it.
            if Rc::strong_count(&slot) == 1
                && let Some(unread) = slot.borrow_mut().answer.take()
            {
                on.cancel(unread.response.body);
            }
            let failed = matches!(
                running.outcome(),
                Some(FillOutcome::Failed(_) | FillOutcome::InProgressElsewhere) | None
            );
            let (key, isolate) = (&fill_request.key, filler.context.isolate());
            if fill_request.background && failed {
                let until = on.now().plus(REFRESH_PAUSE);
                isolate.borrow_mut().pause(key, &running, until);
                on.sleep(REFRESH_PAUSE).await;
                isolate.borrow_mut().end_pause(key, until);
            } else {
                isolate.borrow_mut().end_fill(key, &running);
            }
        });
        (fill, leader_only)
    }
}
