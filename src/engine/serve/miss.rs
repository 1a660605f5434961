//! Answering what nothing stored can answer: the fill's leader and followers, and stand-ins where
//! the origin fails.

use std::rc::Rc;

use crate::base::time::{Millis, Timestamp};
use crate::cache::admission::Admitted;
use crate::cache::entry::Entry;
use crate::cache::errors::is_of_the_moment;
use crate::cache::forward::pass_request_fields;
use crate::cache::left_out::LeftOut;
use crate::cache::reuse::{Reuse, reuse, stands_in_for_want_of_room};
use crate::engine::context::{Engine, Incoming};
use crate::engine::fill::leader_only::{LeaderOnlySlot, NotStoredAnswer};
use crate::engine::fill::outcome::{FillOutcome, Source, Work};
use crate::engine::fill::reader::BodyReader;
use crate::engine::fill::request::{Candidate, FillRequest};
use crate::engine::fill::shared::SharedFill;
use crate::engine::memory::StoredPage;
use crate::engine::port::{OriginError, Platform};
use crate::engine::serve::follow::{FollowOutcome, Follower};
use crate::engine::serve::response::{Answer, Asked};
use crate::engine::serve::whole::Whole;
use crate::engine::uncacheable::place;
use crate::http::cache_status::CacheStatus;
use crate::journal::view::Verdict;

impl<P: Platform> Engine<P> {
    /// Answers a request that nothing stored can answer.
    pub(crate) async fn fetch_for(
        &self,
        platform: &Rc<P>,
        incoming: Incoming<P>,
        admitted: &Admitted<'_>,
        candidate: Candidate<P>,
        now: Timestamp,
    ) -> Answer<P> {
        let key = self.fill_key(&incoming, admitted, &candidate);
        let limit = self.fill_limit();
        let listed = self.isolate().borrow_mut().shared_fill(&key, now, limit);
        // A refresh that has failed stays listed for its pause alone: its failure is of before this
        // request.
        let failed = |fill: &SharedFill<P>| matches!(fill.outcome(), Some(FillOutcome::Failed(_)));
        if let Some(fill) = listed.filter(|fill| !failed(fill)) {
            let waiting =
                Follower { incoming: &incoming, admitted, candidate: &candidate, came: now };
            match self.follow(platform, &waiting, &fill, limit).await {
                FollowOutcome::Answer(answer) => return *answer,
                FollowOutcome::NotStored(reason) => {
                    let why = Whole::Marked(reason.as_str().into(), place(&key));
                    return self.whole(platform, incoming, admitted, &why).await;
                }
                FollowOutcome::Foreign => {
                    return self.whole(platform, incoming, admitted, &Whole::Vary).await;
                }
                FollowOutcome::OwnChange => {
                    return self.whole(platform, incoming, admitted, &Whole::OwnChange).await;
                }
                FollowOutcome::FetchItself => {}
            }
        }
        let fill_request = FillRequest {
            incoming: incoming.share(),
            candidate: candidate.clone(),
            key,
            background: false,
        };
        // Not the time of arrival: who waited for another's fill first would begin one that looks
        // dead.
        let started = self.start_fill(platform, fill_request, Work::Fetch, platform.now());
        self.answer_of_fill(platform, incoming, admitted, &candidate, started).await
    }

    /// What the leader of a fill answers.
    async fn answer_of_fill(
        &self,
        platform: &Rc<P>,
        incoming: Incoming<P>,
        admitted: &Admitted<'_>,
        candidate: &Candidate<P>,
        (fill, leader_only): (SharedFill<P>, LeaderOnlySlot<P>),
    ) -> Answer<P> {
        let limit = self.fill_limit();
        let cache_status = CacheStatus::forwarded(candidate.forward).maybe_detail(candidate.why);
        let asked = Asked::of(&incoming.head, admitted);
        let wait_outcome = fill.wait_outcome(&**platform, true, limit).await;
        let entry = wait_outcome.as_ref().ok().and_then(FillOutcome::entry);
        if entry.is_some_and(|entry| self.is_of_another(&incoming, admitted, &entry.selection)) {
            return self.whole(platform, incoming, admitted, &Whole::Vary).await;
        }
        match wait_outcome {
            Ok(FillOutcome::Streaming(entry, note)) => {
                let cache_status = note.apply_to(cache_status.fwd_status(entry.status));
                match BodyReader::of_fill(&fill, true, limit, platform.now()) {
                    Some(reader) => {
                        let reader = self.may_go_on(reader, &incoming, admitted, &entry);
                        Answer::streaming(&asked, &entry, reader, platform.now(), cache_status)
                            .with(&leader_only.borrow().fields)
                    }
                    None => Answer::origin_failed(OriginError::Broken, cache_status),
                }
            }
            Ok(FillOutcome::Complete(page, source)) => {
                let now = platform.now();
                let hit = CacheStatus::hit(ttl(&page.entry, now));
                let cache_status = match source {
                    Source::Colo => hit.detail("colo"),
                    Source::Global => hit.detail("global"),
                    Source::Validated => cache_status.fwd_status(304).stored(),
                };
                Answer::stored(&asked, &page, now, cache_status).with(&leader_only.borrow().fields)
            }
            Ok(FillOutcome::NotStored(_)) => {
                let answer = leader_only.borrow_mut().answer.take();
                match answer {
                    Some(answer) => {
                        self.answer_not_stored(platform, incoming, admitted, answer, cache_status)
                            .await
                    }
                    None => Answer::origin_failed(OriginError::Broken, cache_status),
                }
            }
            // Only a background refresh leaves it to others.
            Ok(FillOutcome::InProgressElsewhere) => {
                self.failed(platform, &asked, admitted, candidate, OriginError::Busy, cache_status)
            }
            Ok(FillOutcome::Failed(error)) | Err(error) => {
                self.failed(platform, &asked, admitted, candidate, error, cache_status)
            }
        }
    }

    /// How long a fill may stand still.
    fn fill_limit(&self) -> Millis {
        Millis(self.config().origin_timeout.0 * 2)
    }

    /// The answer when the origin failed: what is stored, if it may stand in (RFC 5861 §4).
    pub(crate) fn failed(
        &self,
        platform: &Rc<P>,
        asked: &Asked<'_>,
        admitted: &Admitted<'_>,
        candidate: &Candidate<P>,
        error: OriginError,
        cache_status: CacheStatus,
    ) -> Answer<P> {
        if error == OriginError::Busy
            && let Some(page) = &candidate.page
            && !admitted.directives.no_cache
            && self.stands_in_for_want_of_room(platform, page)
        {
            let now = platform.now();
            let cache_status = CacheStatus::hit(ttl(&page.entry, now)).detail(error.as_str());
            return Answer::stored(asked, page, now, cache_status);
        }
        let cache_status = cache_status.fwd_status(error.status());
        match &candidate.page {
            Some(page) if candidate.on_error && self.stands_in(platform, admitted, page) => {
                let cache_status = cache_status.detail("stale-if-error");
                Answer::stored(asked, page, platform.now(), cache_status)
            }
            Some(_) | None => Answer::origin_failed(error, cache_status.detail(error.as_str())),
        }
    }

    fn stands_in_for_want_of_room(&self, platform: &Rc<P>, page: &StoredPage<P::Chunk>) -> bool {
        match self.validity_now(platform, &page.entry) {
            Verdict::Known(validity) => {
                stands_in_for_want_of_room(&page.entry, validity, platform.now())
            }
            Verdict::Unknown => false,
        }
    }

    /// Whether a stored response may still stand in for the origin, which took its time to fail:
    /// its window may have ended, and the view may have learnt of an invalidation.
    fn stands_in(
        &self,
        platform: &Rc<P>,
        admitted: &Admitted<'_>,
        page: &StoredPage<P::Chunk>,
    ) -> bool {
        let entry = &page.entry;
        match self.validity_now(platform, entry) {
            Verdict::Known(validity) => {
                let now = platform.now();
                match reuse(entry, validity, &admitted.directives, admitted.route, now) {
                    Reuse::Fresh { .. } | Reuse::Stale { .. } => true,
                    Reuse::Validate { on_error, .. } => on_error,
                    Reuse::Unsatisfiable => false,
                }
            }
            Verdict::Unknown => false,
        }
    }

    /// The answer that is not stored: as it is, or asked for once more with all that was left out.
    /// What tells of the moment is not asked for twice.
    pub(crate) async fn answer_not_stored(
        &self,
        platform: &Rc<P>,
        incoming: Incoming<P>,
        admitted: &Admitted<'_>,
        answer: NotStoredAnswer<P>,
        cache_status: CacheStatus,
    ) -> Answer<P> {
        let cache_status = cache_status.detail(answer.reason.as_str());
        let whole = self.left_out(&incoming, admitted) == LeftOut::Nothing;
        if whole || answer.reason.is_of_the_size() || is_of_the_moment(answer.response.head.status)
        {
            // The origin was asked with GET; a HEAD has no body.
            let passed = self.passed(Ok(answer.response), admitted.route, cache_status);
            return Self::as_asked(platform, admitted, passed);
        }
        platform.cancel(answer.response.body);
        let fields = pass_request_fields(&incoming.head, &self.facts(&incoming, false));
        let response = self.ask(platform, incoming, fields).await;
        Self::as_asked(platform, admitted, self.passed(response, admitted.route, cache_status))
    }
}

/// Seconds of freshness that a stored response has left.
pub(crate) fn ttl(entry: &Entry, now: Timestamp) -> i64 {
    let lifetime = i64::try_from(entry.freshness.lifetime.0).unwrap_or(i64::MAX);
    lifetime.saturating_sub(i64::try_from(entry.age(now).0).unwrap_or(i64::MAX))
}
