//! Answering a visitor: look up, judge what is stored, answer or have it fetched.
//!
//! | question | file |
//! | --- | --- |
//! | Can the answer be given at once, out of memory or the colo? | `at_once`, `colo_look`, `colo_answer`, `from_colo` |
//! | What is stored for the request? | `lookup` |
//! | What is to be done: answer, refresh, fetch, bypass? | `decision` |
//! | What if nothing stored can answer? If it is being fetched? If the origin fails? | `miss`, `follow` |
//! | What bypasses the cache? | `pass`, `bypass`, `ranges` |
//! | How is an answer made? | `response` |
//! | How are pages composed? | `compose`, `personal`, `shared`; `include`, `fragment` |

pub mod at_once;
pub(crate) mod bypass;
pub mod colo_answer;
pub mod colo_look;
pub(crate) mod compose;
pub(crate) mod decision;
mod follow;
mod fragment;
pub(crate) mod from_colo;
mod include;
pub(crate) mod lookup;
mod miss;
mod pass;
mod personal;
mod ranges;
pub mod response;
mod shared;

use std::rc::Rc;

use crate::cache::admission::{Admission, Admitted, admit};
use crate::control::metrics::{Counter, Metrics};
use crate::control::problem::Problem;
use crate::engine::audit::Answered;
use crate::engine::context::Incoming;
use crate::engine::parts::Server;
use crate::engine::port::Platform;
use crate::engine::serve::decision::{Decided, Decision};
use crate::engine::serve::lookup::Look;
use crate::engine::serve::response::{Answer, Body, VisitorRequest};
use crate::http::Fields;
use crate::http::cache_status::{CacheStatus, Forward};

/// What an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AnswerPurpose {
    /// A visitor.
    Page,
    /// A page, of which it becomes a part.
    Fragment,
}

/// The bytes of a body that was not read, as far as its fields say.
fn stated_body_bytes(fields: &Fields) -> u64 {
    fields.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)
}

impl<P: Platform> Server<P> {
    /// Answers a visitor.
    pub async fn serve(&self, incoming: Incoming<P>) -> Answer<P> {
        let head = Rc::clone(&incoming.head);
        let answer = self.answer(incoming, AnswerPurpose::Page).await;
        if answer.esi { self.include(&head, answer).await } else { answer }
    }

    /// The answer, as it is before anything is included.
    async fn answer(&self, incoming: Incoming<P>, wants: AnswerPurpose) -> Answer<P> {
        let head = Rc::clone(&incoming.head);
        let (answer, rule) = self.decide(incoming, wants).await;
        let answer = answer.for_people(&head, &self.context.config().error_page);
        self.count_answer(&answer, rule);
        if let Body::Fill(reader) = &answer.body {
            self.context.isolate().borrow_mut().watch_reader(reader);
        }
        answer
    }

    /// The answer, and the place of the rule that it came under.
    async fn decide(
        &self,
        incoming: Incoming<P>,
        wants: AnswerPurpose,
    ) -> (Answer<P>, Option<usize>) {
        let request = Rc::clone(&incoming.head);
        let config = self.context.config();
        match admit(&request, config) {
            Admission::Refuse(refusal) => (self.refused(&request, refusal), None),
            Admission::Pass(pass) => {
                let answer = self.pass(incoming, &pass).await;
                (answer, Some(config.place_of(pass.route)))
            }
            Admission::Serve(admitted) if admitted.route.compose => {
                let request = incoming.share();
                let answer = self.look_up(incoming, &admitted).await;
                let answer = match wants {
                    AnswerPurpose::Page => self.composed(request, &admitted, answer).await,
                    AnswerPurpose::Fragment => Self::not_composed(answer),
                };
                (answer, Some(config.place_of(&admitted.route)))
            }
            Admission::Serve(admitted) => {
                let answer = self.look_up(incoming, &admitted).await;
                (answer, Some(config.place_of(&admitted.route)))
            }
        }
    }

    async fn look_up(&self, incoming: Incoming<P>, admitted: &Admitted<'_>) -> Answer<P> {
        let Decided { decision, now, .. } = self.decision(&incoming, admitted, Look::Use).await;
        let visitor = VisitorRequest::of(&incoming.head, admitted);
        let cache_status = decision.cache_status();
        match decision {
            Decision::Fresh(page, _) => {
                let answered = Answered::Page(Rc::clone(&page));
                self.auditor.consider(&incoming, admitted, answered);
                self.filler.note_requested_again(&incoming, admitted, &page);
                Answer::stored(&visitor, &page, now, cache_status)
            }
            Decision::FromColo(page, _) => {
                let answered = Answered::InColo(page.key.clone());
                self.auditor.consider(&incoming, admitted, answered);
                page.answer(cache_status)
            }
            Decision::Stale(page, _, _, candidate) => {
                self.filler.refresh(&incoming, admitted, candidate, now);
                Answer::stored(&visitor, &page, now, cache_status)
            }
            Decision::Bypass(why) => self.bypass(incoming, admitted, &why).await,
            Decision::Range(candidate) => self.fetch_range(incoming, admitted, candidate).await,
            Decision::Fetch(candidate) => self.fetch_for(incoming, admitted, candidate, now).await,
            Decision::OnlyIfCached => Self::only_if_cached(cache_status),
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
            (true, Body::Fill(_) | Body::Origin(_)) => stated_body_bytes(&answer.fields),
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
    fn only_if_cached(cache_status: CacheStatus) -> Answer<P> {
        Answer::problem(&Problem::refused(504, "only-if-cached"), cache_status)
    }
}
