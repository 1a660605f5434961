//! Following: a request that waits for a fetch which another request of its isolate began (RFC 9111
//! §4: collapsed requests).
//!
//! It takes what the fill brings only if it may have been fetched for it: the right variant, and
//! nothing that this isolate knows to be out of date. What is for its requester alone, or comes too
//! late, it fetches for itself.

use std::rc::Rc;

use crate::base::time::{Millis, Timestamp};
use crate::cache::Validity;
use crate::cache::admission::Admitted;
use crate::cache::entry::Entry;
use crate::cache::storage::NoStore;
use crate::engine::context::Incoming;
use crate::engine::fill::in_flight::{InFlight, ProbeOutcome};
use crate::engine::fill::outcome::FillOutcome;
use crate::engine::fill::reader::BodyReader;
use crate::engine::fill::request::Candidate;
use crate::engine::fill::shared::SharedFill;
use crate::engine::invalidate::unsafe_methods::OwnChange;
use crate::engine::parts::Server;
use crate::engine::port::{OriginError, Platform};
use crate::engine::serve::response::{Answer, VisitorRequest};
use crate::http::cache_status::CacheStatus;

/// A request that waits for another's fill.
pub(crate) struct Follower<'a, P: Platform> {
    pub(crate) incoming: &'a Incoming<P>,
    pub(crate) admitted: &'a Admitted<'a>,
    pub(crate) candidate: &'a Candidate<P>,
    pub(crate) arrived: Timestamp,
}

/// What a request that waited for another's fill does.
pub(crate) enum FollowOutcome<P: Platform> {
    /// It has its answer.
    Answer(Box<Answer<P>>),
    /// The fill brought what is for its requester alone: pass.
    NotStored(NoStore),
    /// The fill brought a variant that is selected by what the origin of a stored page does not get
    /// to see: pass.
    Foreign,
    /// The fill began before its visitor changed the page: pass.
    OwnChange,
    /// The fill brought another variant, selected by these fields: wait for who fetches this
    /// request's own, or fetch it.
    OtherVariant(Rc<[String]>),
    /// The origin answered with an error, whose words are gone, or who asked it has left: wait for
    /// who asks it next, or ask.
    Lost,
    /// The fill brought nothing for it: fetch.
    FetchItself,
}

impl<P: Platform> FollowOutcome<P> {
    fn answered(answer: Answer<P>) -> Self {
        Self::Answer(Box::new(answer))
    }
}

impl<P: Platform> Server<P> {
    /// Waits for what is in flight for the same key.
    pub(crate) async fn follow(
        &self,
        waiting: &Follower<'_, P>,
        in_flight: &InFlight<P>,
        limit: Millis,
    ) -> FollowOutcome<P> {
        match in_flight {
            // Its failure is of before this request.
            InFlight::Fill(fill) if matches!(fill.outcome(), Some(FillOutcome::Failed(_))) => {
                FollowOutcome::FetchItself
            }
            InFlight::Fill(fill) => self.follow_fill(waiting, fill, limit).await,
            InFlight::Probe(probe) => {
                match probe.wait_outcome(&self.context.platform, limit).await {
                    ProbeOutcome::Fetched(fill) => self.follow_fill(waiting, &fill, limit).await,
                    ProbeOutcome::NotStored(reason) => FollowOutcome::NotStored(reason),
                    ProbeOutcome::Failed(error) => self.follow_failed(waiting, None, error).await,
                    ProbeOutcome::Nothing => FollowOutcome::Lost,
                }
            }
            InFlight::Paused(_) => FollowOutcome::FetchItself,
        }
    }

    async fn follow_failed(
        &self,
        waiting: &Follower<'_, P>,
        fill: Option<&SharedFill<P>>,
        error: OriginError,
    ) -> FollowOutcome<P> {
        let Follower { incoming, admitted, candidate, .. } = *waiting;
        let found = match fill {
            Some(fill) => Some(self.with_stale_on_error(incoming, admitted, candidate, fill).await),
            None => None,
        };
        let candidate = found.as_ref().unwrap_or(candidate);
        if matches!(error, OriginError::Status(_))
            && !self.filler.has_stale_on_error(admitted, candidate).await
        {
            return FollowOutcome::Lost;
        }
        let visitor = VisitorRequest::of(&incoming.head, admitted);
        let answer = self.failed(&visitor, admitted, candidate, error, collapsed(candidate)).await;
        FollowOutcome::answered(answer)
    }

    /// Waits for another request's fill.
    async fn follow_fill(
        &self,
        waiting: &Follower<'_, P>,
        fill: &SharedFill<P>,
        limit: Millis,
    ) -> FollowOutcome<P> {
        let platform = &self.context.platform;
        let Follower { incoming, admitted, candidate, arrived } = *waiting;
        let Ok(outcome) = fill.wait_outcome(&**platform, false, limit).await else {
            return FollowOutcome::FetchItself;
        };
        match self.own_change_of(waiting, &outcome) {
            OwnChange::None => {}
            OwnChange::Need(_) => return FollowOutcome::FetchItself,
            OwnChange::Pass => return FollowOutcome::OwnChange,
        }
        let visitor = VisitorRequest::of(&incoming.head, admitted);
        let max_lag = self.invalidator.max_lag(admitted);
        let cache_status = collapsed(candidate);
        let entry = outcome.entry();
        if entry.is_some_and(|entry| self.context.is_foreign(incoming, admitted, &entry.selection))
        {
            return FollowOutcome::Foreign;
        }
        if let Some(chosen) = entry.map(|entry| &entry.selection)
            && !self.context.selects(incoming, admitted, chosen)
        {
            return FollowOutcome::OtherVariant(chosen.names().into());
        }
        match outcome {
            FillOutcome::Streaming(entry, note) => {
                // Before anything is awaited: a window discards what no reader has still to take.
                let reader = BodyReader::of_buffer(fill.body(), false, limit, platform.now());
                let timely = arrived.since(entry.request_time) <= max_lag;
                let follows = self.may_follow(admitted, &entry, timely).await;
                match reader.filter(|_| follows) {
                    Some(reader) => {
                        let reader = self.filler.may_resume(reader, incoming, admitted, &entry);
                        let status = note.apply_to(cache_status.fwd_status(entry.status));
                        let now = platform.now();
                        let answer = Answer::streaming(&visitor, &entry, reader, now, status);
                        FollowOutcome::answered(answer)
                    }
                    None => FollowOutcome::FetchItself,
                }
            }
            FillOutcome::Complete(page, _) => {
                if self.may_follow(admitted, &page.entry, false).await {
                    let now = platform.now();
                    FollowOutcome::answered(Answer::stored(&visitor, &page, now, cache_status))
                } else {
                    FollowOutcome::FetchItself
                }
            }
            FillOutcome::Failed(error) => self.follow_failed(waiting, Some(fill), error).await,
            FillOutcome::NotStored(reason) => FollowOutcome::NotStored(reason),
            FillOutcome::InProgressElsewhere => FollowOutcome::FetchItself,
        }
    }

    /// What a visitor who changed the page may have of a fill: one that began before shows the page
    /// as it was.
    fn own_change_of(&self, waiting: &Follower<'_, P>, outcome: &FillOutcome<P>) -> OwnChange {
        let Follower { incoming, admitted, candidate, .. } = *waiting;
        let Some(entry) = outcome.entry() else { return OwnChange::None };
        let (page, now) = (&admitted.page, self.context.platform.now());
        self.invalidator.own_change(&incoming.head, page, Some(entry), candidate.need, now)
    }

    /// Whether a fill's result is of this page, and began after every invalidation of its targets
    /// that this isolate's view holds. A view that can't say so leaves it to the time of the fetch:
    /// one that began within `max_lag` before the request came is as good as any answer within the
    /// bound (`timely`).
    async fn may_follow(&self, admitted: &Admitted<'_>, entry: &Entry, timely: bool) -> bool {
        let max_lag = self.invalidator.max_lag(admitted);
        let health = (self.invalidator.ensure_recent(max_lag).await, max_lag);
        let validity = self.invalidator.validity(&entry.targets, entry.stamp, health).await;
        let recent = match validity {
            Validity::Current => true,
            Validity::JournalLost | Validity::JournalLostTooLong => timely,
            Validity::Soft { .. }
            | Validity::SoftUnprovable { .. }
            | Validity::Hard { .. }
            | Validity::Unprovable { .. } => false,
        };
        recent && entry.key == admitted.key
    }
}

/// What Cache-Status says of a request that waited for another's.
fn collapsed<P: Platform>(candidate: &Candidate<P>) -> CacheStatus {
    CacheStatus::forwarded(candidate.forward).maybe_detail(candidate.why).collapsed()
}
