//! Answering what nothing stored can answer: the fill's leader and followers, and stale responses
//! where the origin fails.

use crate::base::time::{Millis, Timestamp};
use crate::cache::admission::Admitted;
use crate::cache::compose::shell::is_shell;
use crate::cache::entry::Entry;
use crate::cache::forward::pass_request_fields;
use crate::cache::no_store::NoStore;
use crate::cache::not_forwarded::NotForwarded;
use crate::cache::reuse::may_answer_at_capacity;
use crate::cache::status::is_transient;
use crate::engine::context::Incoming;
use crate::engine::fill::outcome::{
    FillOutcome, FillWork, LeaderOnlySlot, NotStoredAnswer, PageSource,
};
use crate::engine::fill::reader::BodyReader;
use crate::engine::fill::request::{Candidate, FillRequest};
use crate::engine::fill::shared::SharedFill;
use crate::engine::invalidate::unsafe_methods::OwnChange;
use crate::engine::memory::StoredPage;
use crate::engine::parts::Server;
use crate::engine::port::{OriginError, Platform};
use crate::engine::serve::bypass::BypassReason;
use crate::engine::serve::follow::{FollowOutcome, Follower};
use crate::engine::serve::response::{Answer, VisitorRequest};
use crate::engine::uncacheable::page_hash;
use crate::http::cache_status::CacheStatus;

/// How many fills a request waits for: of its page, then of its variant, whose fields may turn out
/// to be others.
const MAX_FOLLOWED: usize = 3;

impl<P: Platform> Server<P> {
    /// Answers a request that nothing stored can answer.
    pub(crate) async fn fetch_for(
        &self,
        incoming: Incoming<P>,
        admitted: &Admitted<'_>,
        candidate: Candidate<P>,
        now: Timestamp,
    ) -> Answer<P> {
        let limit = self.fill_limit();
        let mut candidate = candidate;
        let mut key = self.context.fill_key(&incoming, admitted, &candidate);
        let mut stands_in = candidate.on_error;
        for _ in 0..MAX_FOLLOWED {
            let in_flight = self.context.isolate().borrow_mut().in_flight(&key, now, limit);
            let Some(in_flight) = in_flight else { break };
            let waiting =
                Follower { incoming: &incoming, admitted, candidate: &candidate, arrived: now };
            match self.follow(&waiting, &in_flight, limit).await {
                FollowOutcome::Answer(answer) => return *answer,
                // A page that may stand in for the origin is asked for as one: who led may have had
                // none.
                FollowOutcome::NotStored(_) if stands_in => stands_in = false,
                FollowOutcome::Lost => {}
                FollowOutcome::NotStored(reason) => {
                    let why = BypassReason::HitForPass(reason.as_str().into(), page_hash(&key));
                    return self.bypass(incoming, admitted, &why).await;
                }
                FollowOutcome::Foreign => {
                    return self.bypass(incoming, admitted, &BypassReason::Vary).await;
                }
                FollowOutcome::OwnChange => {
                    return self.bypass(incoming, admitted, &BypassReason::OwnChange).await;
                }
                FollowOutcome::OtherVariant(names) => {
                    candidate.vary = Some(names);
                    let followed = key;
                    key = self.context.fill_key(&incoming, admitted, &candidate);
                    if key == followed {
                        break;
                    }
                }
                FollowOutcome::FetchItself => break,
            }
        }
        let fill_request = FillRequest {
            incoming: incoming.share(),
            admitted: admitted.clone().into_owned(),
            candidate: candidate.clone(),
            key,
            background: false,
        };
        // Not the time of arrival: who waited for another's fill first would begin one that looks
        // dead.
        let started =
            self.filler.start_fill(fill_request, FillWork::Fetch, self.context.platform.now());
        self.answer_of_fill(incoming, admitted, &candidate, started).await
    }

    /// What the leader of a fill answers.
    async fn answer_of_fill(
        &self,
        incoming: Incoming<P>,
        admitted: &Admitted<'_>,
        candidate: &Candidate<P>,
        (fill, leader_only): (SharedFill<P>, LeaderOnlySlot<P>),
    ) -> Answer<P> {
        let platform = &self.context.platform;
        let limit = self.fill_limit();
        let cache_status = CacheStatus::forwarded(candidate.forward).maybe_detail(candidate.why);
        let visitor = VisitorRequest::of(&incoming.head, admitted);
        let outcome = fill.wait_outcome(&**platform, true, limit).await;
        let outcome = outcome.unwrap_or_else(FillOutcome::Failed);
        let is_of_another =
            |entry: &Entry| self.context.is_of_another(&incoming, admitted, &entry.selection);
        if outcome.entry().is_some_and(is_of_another) {
            return self.bypass(incoming, admitted, &BypassReason::Vary).await;
        }
        if self.is_before_own_change(&incoming, admitted, candidate, &outcome) {
            return self.bypass(incoming, admitted, &BypassReason::OwnChange).await;
        }
        match outcome {
            FillOutcome::Streaming(entry, note) => {
                let cache_status = note.apply_to(cache_status.fwd_status(entry.status));
                match BodyReader::of_buffer(fill.body(), true, limit, platform.now()) {
                    Some(reader) => {
                        let reader = self.filler.may_resume(reader, &incoming, admitted, &entry);
                        Answer::streaming(&visitor, &entry, reader, platform.now(), cache_status)
                            .with(&leader_only.borrow().fields)
                    }
                    None => Answer::origin_failed(OriginError::Broken, cache_status),
                }
            }
            FillOutcome::Complete(_, PageSource::Validated)
                if leader_only.borrow().fields.has("set-cookie")
                    && self.context.not_forwarded(&incoming, admitted) > NotForwarded::Usual =>
            {
                self.bypass(incoming, admitted, &BypassReason::Cookie).await
            }
            FillOutcome::Complete(page, source) => {
                let now = platform.now();
                let status = source_status(&page.entry, source, cache_status, now);
                Answer::stored(&visitor, &page, now, status).with(&leader_only.borrow().fields)
            }
            FillOutcome::NotStored(reason) => {
                let answer = leader_only.borrow_mut().answer.take();
                self.not_stored(incoming, admitted, (answer, reason), cache_status).await
            }
            // Only a background refresh leaves it to others.
            FillOutcome::InProgressElsewhere => {
                self.failed(&visitor, admitted, candidate, OriginError::Busy, cache_status).await
            }
            FillOutcome::Failed(error) => {
                let candidate =
                    self.with_stale_on_error(&incoming, admitted, candidate, &fill).await;
                self.failed(&visitor, admitted, &candidate, error, cache_status).await
            }
        }
    }

    /// The candidate, with what a fill found in L2 that may stand in: for an isolate that had
    /// nothing.
    pub(crate) async fn with_stale_on_error(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        candidate: &Candidate<P>,
        fill: &SharedFill<P>,
    ) -> Candidate<P> {
        match self.filler.usable_stale_on_error(incoming, admitted, candidate, fill).await {
            Some(page) => Candidate { page: Some(page), on_error: true, ..candidate.clone() },
            None => candidate.clone(),
        }
    }

    /// Whether a copy out of the colo or L2 was fetched before its visitor changed the page: they
    /// may have done so while it was on its way to a place where this isolate sees it.
    fn is_before_own_change(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        candidate: &Candidate<P>,
        outcome: &FillOutcome<P>,
    ) -> bool {
        let FillOutcome::Complete(page, PageSource::Colo | PageSource::Global) = outcome else {
            return false;
        };
        let (entry, now) = (Some(&page.entry), self.context.platform.now());
        let (head, need) = (&incoming.head, candidate.need);
        self.invalidator.own_change(head, &admitted.page, entry, need, now) != OwnChange::None
    }

    /// What the leader of a fill answers that brought nothing for others.
    async fn not_stored(
        &self,
        incoming: Incoming<P>,
        admitted: &Admitted<'_>,
        (answer, reason): (Option<NotStoredAnswer<P>>, NoStore),
        cache_status: CacheStatus,
    ) -> Answer<P> {
        match answer {
            Some(answer) => self.answer_not_stored(incoming, admitted, answer, cache_status).await,
            // Its body was read, and was no shell.
            None if admitted.route.compose => {
                let why =
                    BypassReason::HitForPass(reason.as_str().into(), page_hash(&admitted.key));
                self.bypass(incoming, admitted, &why).await
            }
            None => Answer::origin_failed(OriginError::Broken, cache_status),
        }
    }

    /// How long a fill may stand still.
    fn fill_limit(&self) -> Millis {
        Millis(self.context.config().origin_timeout.0 * 2)
    }

    /// The answer out of what stands in, of this isolate or the world, for an origin that failed a
    /// request which was asked past the index.
    pub(crate) async fn stale_on_error(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        (candidate, error): (Candidate<P>, OriginError),
        cache_status: CacheStatus,
    ) -> Option<Answer<P>> {
        let candidate =
            self.filler.with_stale_on_error_from_l2(incoming, admitted, candidate).await;
        if !self.filler.has_stale_on_error(admitted, &candidate).await {
            return None;
        }
        if matches!(error, OriginError::Status(_)) {
            self.context.origin_failed(&admitted.page.url(), error);
        }
        let visitor = VisitorRequest::of(&incoming.head, admitted);
        Some(self.failed(&visitor, admitted, &candidate, error, cache_status).await)
    }

    /// The answer when the origin failed: what is stored, if it may stand in (RFC 5861 §4).
    pub(crate) async fn failed(
        &self,
        visitor: &VisitorRequest<'_>,
        admitted: &Admitted<'_>,
        candidate: &Candidate<P>,
        error: OriginError,
        cache_status: CacheStatus,
    ) -> Answer<P> {
        let platform = &self.context.platform;
        if error == OriginError::Busy
            && let Some(page) = &candidate.page
            && !admitted.directives.no_cache
            && self.may_answer_at_capacity(admitted, page).await
        {
            let now = platform.now();
            let cache_status = CacheStatus::hit(ttl(&page.entry, now)).detail(error.as_str());
            return Answer::stored(visitor, page, now, cache_status);
        }
        let cache_status = cache_status.fwd_status(error.status());
        match &candidate.page {
            Some(page) if self.filler.has_stale_on_error(admitted, candidate).await => {
                let cache_status = cache_status.detail("stale-if-error");
                Answer::stored(visitor, page, platform.now(), cache_status)
            }
            Some(_) | None => Answer::origin_failed(error, cache_status.detail(error.as_str())),
        }
    }

    async fn may_answer_at_capacity(
        &self,
        admitted: &Admitted<'_>,
        page: &StoredPage<P::Chunk>,
    ) -> bool {
        let validity = self.invalidator.validity_by_now(admitted, &page.entry).await;
        may_answer_at_capacity(&page.entry, validity, self.context.platform.now())
    }

    /// The answer that is not stored: as it is, or asked for once more with all that was left out.
    /// What describes the moment is not asked for twice.
    pub(crate) async fn answer_not_stored(
        &self,
        incoming: Incoming<P>,
        admitted: &Admitted<'_>,
        answer: NotStoredAnswer<P>,
        cache_status: CacheStatus,
    ) -> Answer<P> {
        let platform = &self.context.platform;
        let cache_status = cache_status.detail(answer.reason.as_str());
        // A shell whose field was lost on its way says `private`, and is nobody's answer.
        let may_be_shell = admitted.route.compose && answer.response.head.status == 200;
        let whole = self.context.not_forwarded(&incoming, admitted) == NotForwarded::Nothing
            && !may_be_shell;
        let of_the_size = answer.reason.is_of_the_size() && !is_shell(&answer.response.head.fields);
        let enough = whole || of_the_size || is_transient(answer.response.head.status);
        // A page of nobody's is none for whom the site knows.
        if enough && !admitted.known {
            // The origin was asked with GET; a HEAD has no body.
            let passed = self.passed(Ok(answer.response), &admitted.route, cache_status);
            return self.without_body_for_head(admitted, passed);
        }
        platform.cancel(answer.response.body);
        let fields = pass_request_fields(&incoming.head, &self.context.facts(&incoming, false));
        let response = self.ask(incoming, fields).await;
        self.without_body_for_head(admitted, self.passed(response, &admitted.route, cache_status))
    }
}

/// What Cache-Status says of a page by where it came from.
fn source_status(
    entry: &Entry,
    source: PageSource,
    forwarded: CacheStatus,
    now: Timestamp,
) -> CacheStatus {
    match source {
        PageSource::Colo => CacheStatus::hit(ttl(entry, now)).detail("colo"),
        PageSource::Global => CacheStatus::hit(ttl(entry, now)).detail("global"),
        PageSource::Validated => forwarded.fwd_status(304).stored(),
        PageSource::Origin => forwarded.fwd_status(entry.status).stored(),
    }
}

/// Seconds of freshness that a stored response has left.
pub(crate) fn ttl(entry: &Entry, now: Timestamp) -> i64 {
    let lifetime = i64::try_from(entry.freshness.lifetime.0).unwrap_or(i64::MAX);
    lifetime.saturating_sub(i64::try_from(entry.age(now).0).unwrap_or(i64::MAX))
}
