//! Answering a visitor: look up, judge what is stored, answer or have it fetched.

pub mod at_once;
mod compose;
mod follow;
mod fragment;
mod include;
mod lookup;
mod miss;
mod pass;
mod personal;
mod ranges;
pub mod response;
pub(crate) mod whole;

use std::rc::Rc;

use crate::base::time::{Epoch, Timestamp};
use crate::cache::Validity;
use crate::cache::admission::{Admission, Admitted, admit};
use crate::cache::reuse::{Reuse, reuse};
use crate::control::metrics::{Counter, Metrics};
use crate::control::problem::Problem;
use crate::engine::context::Incoming;
use crate::engine::fill::request::Candidate;
use crate::engine::invalidate::unsafe_methods::OwnChange;
use crate::engine::memory::StoredPage;
use crate::engine::parts::Server;
use crate::engine::port::Platform;
use crate::engine::serve::lookup::LookUp;
use crate::engine::serve::response::{Answer, Asked, Body};
use crate::engine::serve::whole::Whole;
use crate::engine::uncacheable::place;
use crate::http::cache_status::{CacheStatus, Forward};

/// What a look-up leads to.
#[allow(clippy::large_enum_variant, reason = "a box would cost each hit an allocation")]
enum Next<P: Platform> {
    /// The answer is there.
    Answer(Answer<P>),
    /// The origin answers this very request.
    Whole(Whole),
    /// The page is fetched.
    Fetch(Candidate<P>),
}

impl<P: Platform> Server<P> {
    /// Answers a visitor.
    pub async fn serve(&self, incoming: Incoming<P>) -> Answer<P> {
        let head = Rc::clone(&incoming.head);
        let answer = self.answer(incoming).await;
        if answer.esi { self.include(&head, answer).await } else { answer }
    }

    /// The answer, as it is before anything is included.
    async fn answer(&self, incoming: Incoming<P>) -> Answer<P> {
        let head = Rc::clone(&incoming.head);
        let (answer, rule) = self.decide(incoming).await;
        let answer = answer.for_people(&head, &self.context.config().error_page);
        self.count_answer(&answer, rule);
        if let Body::Fill(reader) = &answer.body {
            self.context.isolate().borrow_mut().watch_reader(reader);
        }
        answer
    }

    /// The answer, and the place of the rule that it came under.
    async fn decide(&self, incoming: Incoming<P>) -> (Answer<P>, Option<usize>) {
        let request = Rc::clone(&incoming.head);
        let config = self.context.config();
        match admit(&request, config) {
            Admission::Refuse(refusal) => (self.refused(&request, refusal), None),
            Admission::Pass(pass) => {
                let answer = self.pass(incoming, &pass).await;
                (answer, Some(config.place_of(pass.route)))
            }
            Admission::Serve(admitted) if admitted.route.compose => {
                let asked = incoming.share();
                let answer = self.look_up(incoming, &admitted).await;
                let answer = self.composed(asked, &admitted, answer).await;
                (answer, Some(config.place_of(&admitted.route)))
            }
            Admission::Serve(admitted) => {
                let answer = self.look_up(incoming, &admitted).await;
                (answer, Some(config.place_of(&admitted.route)))
            }
        }
    }

    async fn look_up(&self, incoming: Incoming<P>, admitted: &Admitted<'_>) -> Answer<P> {
        let max_lag = self.invalidator.max_lag(admitted);
        let health = (self.invalidator.ensure_recent(max_lag).await, max_lag);
        let mut near = Vec::new();
        let found = self.find(&incoming, admitted, &mut near).await;
        self.remember(near);
        // The clock is read after the first I/O: within a request it stands still before.
        let now = self.context.platform.now();
        let next = match found {
            LookUp::Pass(reason, key) => Next::Whole(Whole::Marked(reason, place(&key))),
            LookUp::Foreign => Next::Whole(Whole::Vary),
            LookUp::Nothing(vary) => {
                match self.invalidator.own_change(
                    &incoming.head,
                    &admitted.page,
                    None,
                    Epoch::ZERO,
                    now,
                ) {
                    OwnChange::None => Next::Fetch(Candidate::nothing(vary)),
                    OwnChange::Need(need) => {
                        Next::Fetch(Candidate { need, ..Candidate::nothing(vary) })
                    }
                    OwnChange::Pass => Next::Whole(Whole::OwnChange),
                }
            }
            LookUp::Page(page) if !self.is_for(admitted, &page) => Next::Whole(Whole::Known),
            LookUp::Page(page) => {
                let entry = &page.entry;
                let validity = self.invalidator.validity(&entry.targets, entry.stamp, health).await;
                self.reuse_stored(&incoming, admitted, &page, (validity, now))
            }
        };
        let candidate = match next {
            Next::Answer(answer) => return answer,
            Next::Whole(why) => return self.whole(incoming, admitted, &why).await,
            Next::Fetch(candidate) => candidate,
        };
        if admitted.directives.only_if_cached {
            return Self::only_if_cached();
        }
        if let Some(why) = self.goes_whole(&incoming, admitted, &candidate, now) {
            return self.whole(incoming, admitted, &why).await;
        }
        if admitted.range.is_some() {
            return self.fetch_range(incoming, admitted, candidate).await;
        }
        self.fetch_for(incoming, admitted, candidate, now).await
    }

    /// What to do with a stored response that the request selects.
    fn reuse_stored(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        page: &Rc<StoredPage<P::Chunk>>,
        (validity, now): (Validity, Timestamp),
    ) -> Next<P> {
        let entry = &page.entry;
        let need = validity.need();
        let asked = Asked::of(&incoming.head, admitted);
        let mut directives = admitted.directives.clone();
        match self.invalidator.own_change(&incoming.head, &admitted.page, Some(entry), need, now) {
            OwnChange::None => {}
            OwnChange::Need(_) => directives.no_cache = true,
            OwnChange::Pass => return Next::Whole(Whole::OwnChange),
        }
        match reuse(entry, validity, &directives, &admitted.route, now) {
            Reuse::Fresh { ttl } => {
                self.filler.note_asked_again(incoming, admitted, page);
                Next::Answer(Answer::stored(&asked, page, now, CacheStatus::hit(ttl)))
            }
            Reuse::Stale { ttl, why } => {
                let candidate = Candidate::of(page, false, true, need);
                // What the origin said since is known here, if nowhere else.
                if let Some(why) = self.is_marked(incoming, admitted, &candidate, now) {
                    return Next::Whole(why);
                }
                self.filler.refresh(incoming, admitted, candidate, now);
                let cache_status = CacheStatus::hit(ttl).detail(why.as_str());
                Next::Answer(Answer::stored(&asked, page, now, cache_status))
            }
            Reuse::Validate { why, conditional, on_error } => {
                let forward = if need.0 > 0 { Forward::Stale } else { why.forward() };
                let candidate = Candidate::of(page, conditional, on_error, need);
                Next::Fetch(candidate.because(forward, why.as_str()))
            }
            Reuse::Unsatisfiable => Next::Answer(Self::only_if_cached()),
        }
    }

    /// Counts an answer by what its Cache-Status says.
    fn count_answer(&self, answer: &Answer<P>, rule: Option<usize>) {
        let (status, cache_status) = (answer.status, &answer.cache_status);
        let counter = match (cache_status.hit, cache_status.fwd) {
            (true, _) if cache_status.ttl.is_some_and(|ttl| ttl < 0) => Counter::Stale,
            (true, _) => Counter::Hit,
            (false, None) => Counter::Refused,
            (false, Some(_)) if cache_status.collapsed => Counter::Collapsed,
            (false, Some(_)) if cache_status.fwd_status == Some(304) => Counter::Revalidated,
            (false, Some(Forward::Bypass | Forward::Method | Forward::Request)) => Counter::Pass,
            (
                false,
                Some(Forward::UriMiss | Forward::VaryMiss | Forward::Miss | Forward::Stale),
            ) => match status {
                500.. => Counter::Error,
                _ => Counter::Miss,
            },
        };
        let bytes = match (cache_status.hit, &answer.body) {
            (true, Body::Whole(body)) => P::length(body) as u64,
            (true, Body::Fill(_)) => {
                let length = answer.fields.get("content-length").and_then(|l| l.parse().ok());
                length.unwrap_or(0)
            }
            (true | false, _) => 0,
        };
        let now = self.context.platform.now();
        let isolate = &mut *self.context.isolate().borrow_mut();
        isolate.metrics.count(counter, 1);
        isolate.metrics.count(Counter::BytesStored, bytes);
        let reason = cache_status.detail.as_deref().unwrap_or_default();
        isolate.counting.count((rule, Metrics::name(counter), reason), bytes, now);
    }

    /// RFC 9111 §5.2.1.7: 504 where nothing stored may answer.
    fn only_if_cached() -> Answer<P> {
        let cache_status = CacheStatus::default().detail("only-if-cached");
        Answer::problem(&Problem::refused(504, "only-if-cached"), cache_status)
    }
}
