//! A fill: from "nothing usable is stored here" to a stored response, or to an answer that is not stored.
//!
//! A fill runs as a [`Flight`] in a task of its own. It asks the page's shard for a lease, so that one refresh of a
//! variant runs at a time in the world; takes the copy in L2 if the shard names one that is recent enough; else asks
//! the origin, and stores and records what comes. Without a shard it goes to the origin all the same, and what comes
//! stays in this colo.

mod background;
mod body;
mod fetch;
pub(crate) mod leader_only;
pub(crate) mod permission;
pub mod shared;
pub mod store;
pub(crate) mod stored;
mod wait;

use std::rc::Rc;

use crate::base::time::{Epoch, Millis, Timestamp};
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

use super::fill::leader_only::OwnSlot;
use super::fill::shared::{Flight, Landing, Source};
use super::fill::wait::{Followed, Waiting};
use super::memory::StoredPage;
use super::serve::response::{Answer, Asked};
use super::serve::whole::Whole;
use super::{Engine, Incoming};
use crate::engine::fill::shared::Work;

/// How long a failed background refresh keeps others from trying again.
const REFRESH_PAUSE: Millis = Millis(2_000);

/// What is stored already, and what may be done with it.
pub struct Have<P: Platform> {
    /// The stored response, if any.
    pub page: Option<Rc<StoredPage<P::Chunk>>>,
    /// The fields that the page is known to vary on.
    pub vary: Option<Rc<[String]>>,
    /// The fresh part of it that is stored, if one is.
    pub part: Option<Rc<StoredPage<P::Chunk>>>,
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

impl<P: Platform> Clone for Have<P> {
    fn clone(&self) -> Self {
        let (page, vary, part) = (self.page.clone(), self.vary.clone(), self.part.clone());
        Self { page, vary, part, ..*self }
    }
}

impl<P: Platform> Have<P> {
    /// Nothing is stored.
    #[must_use]
    pub fn nothing(vary: Option<Rc<[String]>>) -> Self {
        let forward = if vary.is_some() { Forward::VaryMiss } else { Forward::UriMiss };
        Self {
            page: None,
            vary,
            part: None,
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
            part: None,
            conditional,
            on_error,
            need,
            forward: Forward::Stale,
            why: None,
        }
    }

    /// The same, with the fresh part that is stored.
    #[must_use]
    pub fn with_part(self, part: Option<Rc<StoredPage<P::Chunk>>>) -> Self {
        let partial = part.is_some() && self.page.is_none();
        let forward = if partial { Forward::Partial } else { self.forward };
        Self { part, forward, ..self }
    }

    /// The same, with the reason for going forward.
    #[must_use]
    pub fn because(self, forward: Forward, why: &'static str) -> Self {
        Self { forward, why: Some(why), ..self }
    }
}

/// A fill's request, in the form that its task can own.
pub(crate) struct Errand<P: Platform> {
    pub(crate) incoming: Incoming<P>,
    pub(crate) have: Have<P>,
    pub(crate) key: CacheKey,
    pub(crate) background: bool,
}

/// A fill under way: what its steps share.
pub(crate) struct Trip<'a, P: Platform> {
    pub(crate) platform: &'a Rc<P>,
    pub(crate) errand: &'a Errand<P>,
    pub(crate) admitted: &'a Admitted<'a>,
    pub(crate) flight: &'a Flight<P>,
}

impl<P: Platform> Engine<P> {
    /// Answers a request that nothing stored can answer.
    pub(crate) async fn fetch_for(
        &self,
        platform: &Rc<P>,
        incoming: Incoming<P>,
        admitted: &Admitted<'_>,
        have: Have<P>,
        now: Timestamp,
    ) -> Answer<P> {
        let key = self.flight_key(&incoming, admitted, &have);
        let limit = Millis(self.config().origin_timeout.0 * 2);
        let listed = self.isolate().borrow_mut().flight(&key, now, limit);
        // A refresh that has failed stays listed for its pause alone: its failure is of before this request.
        let failed = |flight: &Flight<P>| matches!(flight.landing(), Some(Landing::Failed(_)));
        if let Some(flight) = listed.filter(|flight| !failed(flight)) {
            let waiting = Waiting { incoming: &incoming, admitted, have: &have, came: now };
            match self.follow(platform, &waiting, &flight, limit).await {
                Followed::Answer(answer) => return answer,
                Followed::Private(reason) => {
                    let why = Whole::Marked(reason.as_str().into());
                    return self.whole(platform, incoming, admitted, &why).await;
                }
                Followed::Foreign => {
                    return self.whole(platform, incoming, admitted, &Whole::Vary).await;
                }
                Followed::Own => {}
            }
        }
        let errand =
            Errand { incoming: incoming.share(), have: have.clone(), key, background: false };
        // Not the time of arrival: who waited for another's flight first would begin one that looks dead.
        let (flight, own) = self.take_off(platform, errand, Work::Fetch, platform.now());
        let told = CacheStatus::forwarded(have.forward).maybe_detail(have.why);
        let asked = Asked::of(&incoming.head, admitted);
        let landed = flight.landed(&**platform, true, limit).await;
        if let Ok(Landing::Streaming(entry, _)) = &landed
            && self.is_of_another(&incoming, admitted, &entry.selection)
        {
            return self.whole(platform, incoming, admitted, &Whole::Vary).await;
        }
        if let Ok(Landing::Complete(page, _)) = &landed
            && self.is_of_another(&incoming, admitted, &page.entry.selection)
        {
            return self.whole(platform, incoming, admitted, &Whole::Vary).await;
        }
        match landed {
            Ok(Landing::Streaming(entry, note)) => {
                let told = note.tell(told.fwd_status(entry.status));
                match flight.reader(true, limit) {
                    Some(reader) => Answer::flying(&asked, &entry, reader, platform.now(), told)
                        .with(&own.borrow().fields),
                    None => Answer::origin_failed(OriginError::Broken, told),
                }
            }
            Ok(Landing::Complete(page, source)) => {
                let told = match source {
                    Source::Colo => {
                        CacheStatus::hit(ttl(&page.entry, platform.now())).detail("colo")
                    }
                    Source::Global => {
                        CacheStatus::hit(ttl(&page.entry, platform.now())).detail("global")
                    }
                    Source::Validated => told.fwd_status(304).stored(),
                };
                Answer::stored(&asked, &page, platform.now(), told).with(&own.borrow().fields)
            }
            Ok(Landing::Private(_)) => {
                let answer = own.borrow_mut().answer.take();
                match answer {
                    Some(answer) => self.private(platform, incoming, admitted, answer, told).await,
                    None => Answer::origin_failed(OriginError::Broken, told),
                }
            }
            // Only a background refresh leaves it to others.
            Ok(Landing::Elsewhere) => {
                self.failed(platform, &asked, admitted, &have, OriginError::Busy, told)
            }
            Ok(Landing::Failed(error)) | Err(error) => {
                self.failed(platform, &asked, admitted, &have, error, told)
            }
        }
    }

    /// Refreshes a stored response without anyone waiting for it.
    pub(crate) fn refresh(
        &self,
        platform: &Rc<P>,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        have: Have<P>,
        now: Timestamp,
    ) {
        let key = self.flight_key(incoming, admitted, &have);
        let limit = Millis(self.config().origin_timeout.0 * 2);
        if self.isolate().borrow_mut().flight(&key, now, limit).is_none() {
            let errand = Errand { incoming: incoming.share(), have, key, background: true };
            match self.room_for_refresh(&errand) {
                Some(work) => drop(self.take_off(platform, errand, work, now)),
                None => self.count(Counter::RefreshPutOff),
            }
        }
    }

    fn take_off(
        &self,
        platform: &Rc<P>,
        errand: Errand<P>,
        work: Work,
        now: Timestamp,
    ) -> (Flight<P>, OwnSlot<P>) {
        let flight = Flight::begin(work, now);
        let own = self.take_off_as(platform, errand, work, flight.clone());
        (flight, own)
    }

    /// The same as a flight that has begun.
    pub(crate) fn take_off_as(
        &self,
        platform: &Rc<P>,
        errand: Errand<P>,
        work: Work,
        flight: Flight<P>,
    ) -> OwnSlot<P> {
        let own = OwnSlot::default();
        self.isolate().borrow_mut().flights.insert(errand.key.clone(), flight.clone());
        let (engine, flying, slot) = (self.clone(), flight.clone(), Rc::clone(&own));
        let on = Rc::clone(platform);
        platform.spawn(async move {
            match work {
                Work::Queue => engine.queue_refresh(&on, &errand, &flying).await,
                Work::Fetch | Work::Refresh | Work::Ended => {
                    engine.fly(&on, &errand, &flying, &slot).await;
                }
            }
            flying.retire();
            // Nobody is there to take it.
            if Rc::strong_count(&slot) == 1
                && let Some(unread) = slot.borrow_mut().answer.take()
            {
                on.cancel(unread.response.body);
            }
            if errand.background
                && matches!(flying.landing(), Some(Landing::Failed(_) | Landing::Elsewhere) | None)
            {
                on.sleep(REFRESH_PAUSE).await;
            }
            engine.isolate().borrow_mut().end_flight(&errand.key, &flying);
        });
        own
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
    fn is_of_another(
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

    pub(crate) fn flight_key(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        have: &Have<P>,
    ) -> CacheKey {
        match &have.vary {
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
        have: &Have<P>,
        error: OriginError,
        told: CacheStatus,
    ) -> Answer<P> {
        if error == OriginError::Busy
            && let Some(page) = &have.page
            && !admitted.directives.no_cache
            && self.stands_in_for_want_of_room(platform, page)
        {
            let now = platform.now();
            let told = CacheStatus::hit(ttl(&page.entry, now)).detail(error.as_str());
            return Answer::stored(asked, page, now, told);
        }
        let told = told.fwd_status(error.status());
        match &have.page {
            Some(page) if have.on_error && self.stands_in(platform, admitted, page) => {
                let told = told.detail("stale-if-error");
                Answer::stored(asked, page, platform.now(), told)
            }
            Some(_) | None => Answer::origin_failed(error, told.detail(error.as_str())),
        }
    }

    fn stands_in_for_want_of_room(&self, platform: &Rc<P>, page: &StoredPage<P::Chunk>) -> bool {
        match self.against(platform, &page.entry) {
            Verdict::Known(standing) => {
                stands_in_for_want_of_room(&page.entry, standing, platform.now())
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
        match self.against(platform, entry) {
            Verdict::Known(standing) => {
                let now = platform.now();
                match reuse(entry, standing, &admitted.directives, admitted.route, now) {
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
