//! A fill: from "nothing usable is stored here" to a stored response, or to an answer that is not stored.
//!
//! A fill runs as a [`SharedFill`] in a task of its own. It asks the page's shard for a lease, so that one refresh of a
//! variant runs at a time in the world; takes the copy in L2 if the shard names one that is recent enough; else asks
//! the origin, and stores and records what comes. Without a shard it goes to the origin all the same, and what comes
//! stays in this colo.

mod alone;
mod background;
mod body;
mod fetch;
mod late;
pub(crate) mod leader_only;
pub(crate) mod permission;
pub mod reader;
pub mod shared;
pub mod store;
pub(crate) mod stored;
mod wait;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use futures_util::future::select;

use crate::base::time::{Epoch, Millis, Seconds, Timestamp};
use crate::cache::admission::Admitted;
use crate::cache::entry::Entry;
use crate::cache::forward::{add_selecting, cacheable_request_fields};
use crate::cache::key::{CacheKey, Selection};
use crate::cache::reuse::{Reuse, reuse, stands_in_for_want_of_room};
use crate::cache::variant::selection;
use crate::control::metrics::Counter;
use crate::engine::port::{OriginError, Platform};
use crate::http::cache_status::{CacheStatus, Forward};
use crate::journal::view::Verdict;

use super::fill::leader_only::LeaderOnlySlot;
use super::fill::shared::{BEAT, FillOutcome, SharedFill, Source};
use super::fill::wait::{FollowOutcome, Follower};
use super::memory::StoredPage;
use super::serve::response::{Answer, Asked};
use super::serve::uncacheable::place;
use super::serve::whole::Whole;
use super::{Engine, Incoming};
use crate::engine::fill::shared::Work;

/// How long a failed background refresh keeps others from trying again.
const REFRESH_PAUSE: Millis = Millis(2_000);

/// What is stored already, and what may be done with it.
pub struct Candidate<P: Platform> {
    /// The stored response, if any.
    pub page: Option<Rc<StoredPage<P::Chunk>>>,
    /// The fields that the page is known to vary on.
    pub vary: Option<Rc<[String]>>,
    /// Whether it may be validated rather than refetched.
    pub conditional: bool,
    /// Whether it may stand in if the origin fails (RFC 5861 §4).
    pub on_error: bool,
    /// The lowest stamp that a replacement must have.
    pub need: Epoch,
    /// Why the request goes forward (RFC 9211 §2.2).
    pub forward: Forward,
    /// The reason in words.
    pub why: Option<&'static str>,
}

impl<P: Platform> Clone for Candidate<P> {
    fn clone(&self) -> Self {
        let (page, vary) = (self.page.clone(), self.vary.clone());
        Self { page, vary, ..*self }
    }
}

impl<P: Platform> Candidate<P> {
    /// Nothing is stored.
    #[must_use]
    pub fn nothing(vary: Option<Rc<[String]>>) -> Self {
        let forward = if vary.is_some() { Forward::VaryMiss } else { Forward::UriMiss };
        Self {
            page: None,
            vary,
            conditional: false,
            on_error: false,
            need: Epoch::ZERO,
            forward,
            why: None,
        }
    }

    /// A stored response.
    #[must_use]
    pub fn of(
        page: &Rc<StoredPage<P::Chunk>>,
        conditional: bool,
        on_error: bool,
        need: Epoch,
    ) -> Self {
        let names: Rc<[String]> = page.entry.selection.0.iter().map(|(n, _)| n.clone()).collect();
        Self {
            page: Some(Rc::clone(page)),
            vary: (!names.is_empty()).then_some(names),
            conditional,
            on_error,
            need,
            forward: Forward::Stale,
            why: None,
        }
    }

    /// Whether there is a page with a window for errors (RFC 5861 §4).
    #[must_use]
    pub fn outlives_errors(&self) -> bool {
        let window = |page: &Rc<StoredPage<P::Chunk>>| page.entry.freshness.stale_if_error;
        self.page.as_ref().is_some_and(|page| window(page) > Seconds::ZERO)
    }

    /// The same, with the reason for going forward.
    #[must_use]
    pub fn because(self, forward: Forward, why: &'static str) -> Self {
        Self { forward, why: Some(why), ..self }
    }
}

/// A fill's request, in the form that its task can own.
pub(crate) struct FillRequest<P: Platform> {
    pub(crate) incoming: Incoming<P>,
    pub(crate) candidate: Candidate<P>,
    pub(crate) key: CacheKey,
    pub(crate) background: bool,
}

/// A fill under way: what its steps share.
pub(crate) struct FillContext<'a, P: Platform> {
    pub(crate) platform: &'a Rc<P>,
    pub(crate) fill_request: &'a FillRequest<P>,
    pub(crate) admitted: &'a Admitted<'a>,
    pub(crate) fill: &'a SharedFill<P>,
}

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
        let limit = Millis(self.config().origin_timeout.0 * 2);
        let listed = self.isolate().borrow_mut().shared_fill(&key, now, limit);
        // A refresh that has failed stays listed for its pause alone: its failure is of before this request.
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
                FollowOutcome::FetchItself => {}
            }
        }
        let fill_request = FillRequest {
            incoming: incoming.share(),
            candidate: candidate.clone(),
            key,
            background: false,
        };
        // Not the time of arrival: who waited for another's fill first would begin one that looks dead.
        let (fill, leader_only) =
            self.start_fill(platform, fill_request, Work::Fetch, platform.now());
        let cache_status = CacheStatus::forwarded(candidate.forward).maybe_detail(candidate.why);
        let asked = Asked::of(&incoming.head, admitted);
        let wait_outcome = fill.wait_outcome(&**platform, true, limit).await;
        if let Ok(FillOutcome::Streaming(entry, _)) = &wait_outcome
            && self.is_of_another(&incoming, admitted, &entry.selection)
        {
            return self.whole(platform, incoming, admitted, &Whole::Vary).await;
        }
        if let Ok(FillOutcome::Complete(page, _)) = &wait_outcome
            && self.is_of_another(&incoming, admitted, &page.entry.selection)
        {
            return self.whole(platform, incoming, admitted, &Whole::Vary).await;
        }
        match wait_outcome {
            Ok(FillOutcome::Streaming(entry, note)) => {
                let cache_status = note.apply_to(cache_status.fwd_status(entry.status));
                match fill.reader(true, limit, platform.now()) {
                    Some(reader) => {
                        let reader = self.may_go_on(reader, &incoming, admitted, &entry);
                        Answer::streaming(&asked, &entry, reader, platform.now(), cache_status)
                            .with(&leader_only.borrow().fields)
                    }
                    None => Answer::origin_failed(OriginError::Broken, cache_status),
                }
            }
            Ok(FillOutcome::Complete(page, source)) => {
                let cache_status = match source {
                    Source::Colo => {
                        CacheStatus::hit(ttl(&page.entry, platform.now())).detail("colo")
                    }
                    Source::Global => {
                        CacheStatus::hit(ttl(&page.entry, platform.now())).detail("global")
                    }
                    Source::Validated => cache_status.fwd_status(304).stored(),
                };
                Answer::stored(&asked, &page, platform.now(), cache_status)
                    .with(&leader_only.borrow().fields)
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
                self.failed(platform, &asked, admitted, &candidate, OriginError::Busy, cache_status)
            }
            Ok(FillOutcome::Failed(error)) | Err(error) => {
                self.failed(platform, &asked, admitted, &candidate, error, cache_status)
            }
        }
    }

    /// Refreshes a stored response without anyone waiting for it.
    pub(crate) fn refresh(
        &self,
        platform: &Rc<P>,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        candidate: Candidate<P>,
        now: Timestamp,
    ) {
        let key = self.fill_key(incoming, admitted, &candidate);
        let limit = Millis(self.config().origin_timeout.0 * 2);
        if self.isolate().borrow_mut().shared_fill(&key, now, limit).is_none() {
            let fill_request =
                FillRequest { incoming: incoming.share(), candidate, key, background: true };
            match self.room_for_refresh(&fill_request) {
                Some(work) => drop(self.start_fill(platform, fill_request, work, now)),
                None => self.count(Counter::RefreshPutOff),
            }
        }
    }

    fn start_fill(
        &self,
        platform: &Rc<P>,
        fill_request: FillRequest<P>,
        work: Work,
        now: Timestamp,
    ) -> (SharedFill<P>, LeaderOnlySlot<P>) {
        let fill = SharedFill::begin(work, now);
        let leader_only = self.take_off_as(platform, fill_request, work, fill.clone());
        (fill, leader_only)
    }

    /// The same as a fill that has begun.
    pub(crate) fn take_off_as(
        &self,
        platform: &Rc<P>,
        fill_request: FillRequest<P>,
        work: Work,
        fill: SharedFill<P>,
    ) -> LeaderOnlySlot<P> {
        let leader_only = LeaderOnlySlot::default();
        self.isolate().borrow_mut().watch_fill(&fill);
        self.isolate().borrow_mut().fills.insert(fill_request.key.clone(), fill.clone());
        let (engine, running, slot) = (self.clone(), fill.clone(), Rc::clone(&leader_only));
        let on = Rc::clone(platform);
        platform.spawn(async move {
            match work {
                Work::Queue => engine.queue_refresh(&on, &fill_request, &running).await,
                Work::Fetch | Work::Refresh | Work::Ended => {
                    let fill = Box::pin(engine.run_fill(&on, &fill_request, &running, &slot));
                    let beat = Box::pin(async {
                        loop {
                            running.beat(on.now());
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
            engine.isolate().borrow_mut().end_fill(&fill_request.key, &running);
        });
        leader_only
    }

    /// Whether a variant can't be known to be the one for the request.
    pub(crate) fn is_foreign(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        chosen: &Selection,
    ) -> bool {
        let names: Vec<String> = chosen.0.iter().map(|(name, _)| name.clone()).collect();
        self.selects_by_more(incoming, admitted, &names)
    }

    /// Whether a variant that was fetched for a request is not the one for it: it turned out to be selected by what was
    /// left out.
    pub(crate) fn is_of_another(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        chosen: &Selection,
    ) -> bool {
        self.is_foreign(incoming, admitted, chosen) || !self.selects(incoming, admitted, chosen)
    }

    /// Whether the request selects the variant.
    pub(crate) fn selects(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        chosen: &Selection,
    ) -> bool {
        if chosen.0.is_empty() {
            return true;
        }
        let names: Vec<String> = chosen.0.iter().map(|(name, _)| name.clone()).collect();
        self.select(incoming, admitted, &names) == *chosen
    }

    /// The request's values for the fields that a page varies on.
    pub(crate) fn select(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        names: &[String],
    ) -> Selection {
        let facts = self.facts(incoming, false);
        let mut sent = cacheable_request_fields(&incoming.head, admitted, &facts);
        add_selecting(&mut sent, &incoming.head, names);
        selection(names, &incoming.head, admitted, &sent)
    }

    pub(crate) fn fill_key(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        candidate: &Candidate<P>,
    ) -> CacheKey {
        match &candidate.vary {
            Some(names) => admitted.key.variant(&self.select(incoming, admitted, names)),
            None => admitted.key.clone(),
        }
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

    /// Whether a stored response may still stand in for the origin, which took its time to fail: its window may have
    /// ended, and the view may have learnt of an invalidation.
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
}

/// Seconds of freshness that a stored response has left.
pub(crate) fn ttl(entry: &Entry, now: Timestamp) -> i64 {
    let lifetime = i64::try_from(entry.freshness.lifetime.0).unwrap_or(i64::MAX);
    lifetime.saturating_sub(i64::try_from(entry.age(now).0).unwrap_or(i64::MAX))
}
