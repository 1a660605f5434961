//! What is not a page, or not one that may be stored: passed to the origin and back, untouched but
//! for the fields that belong to one hop.

use std::rc::Rc;

use crate::base::time::Millis;
use crate::cache::admission::{Admission, Admitted, Pass, Refusal, admit};
use crate::cache::compose::shell::is_shell;
use crate::cache::entry::FreshnessSource;
use crate::cache::esi;
use crate::cache::forward::{pass_request_fields, visitor_fields};
use crate::cache::unsafe_methods::{changed_by, invalidation};
use crate::config::Route;
use crate::control::healthz::HealthReason;
use crate::control::log::Event;
use crate::control::problem::{Problem, ProblemKind};
use crate::engine::bodies::ARRIVAL_LIMIT;
use crate::engine::context::Incoming;
use crate::engine::origin_limit::Sender;
use crate::engine::parts::Server;
use crate::engine::permit::Permit;
use crate::engine::port::{Content, OriginError, OriginRequest, OriginResponse, Platform, Upload};
use crate::engine::request_body::{NotArrived, peer_of};
use crate::engine::serve::response::{Answer, Body};
use crate::http::cache_status::{CacheStatus, Forward};
use crate::http::head::stated_length;
use crate::http::{Fields, RequestHead};

/// A body of at most this length is read before the origin is asked: forms, API calls.
const SMALL_UPLOAD: usize = 64 << 10;
/// The slowest that a larger one may arrive on average, in bytes a millisecond.
const SLOWEST_UPLOAD: u64 = 8;
/// How long one may take that does not state its length.
const LONGEST_UPLOAD: Millis = Millis(600_000);

impl<P: Platform> Server<P> {
    /// Passes a request that is not for the cache.
    pub(crate) async fn pass(&self, incoming: Incoming<P>, pass: &Pass<'_>) -> Answer<P> {
        let cache_status =
            CacheStatus::forwarded(pass.reason.forward()).detail(pass.reason.as_str());
        let fields = pass_request_fields(&incoming.head, &self.context.facts(&incoming, false));
        let head = Rc::clone(&incoming.head);
        let response = self.ask(incoming, fields).await;
        if pass.unsafe_method
            && pass.route.unsafe_invalidates
            && let Ok(response) = &response
        {
            let pages = changed_by(&head, &response.head, self.context.config());
            self.invalidator.note_changes(&head, pages, invalidation(&response.head)).await;
        }
        self.passed(response, pass.route, cache_status)
    }

    /// Passes a request of a worker whose settings are wrong: uncached, and said so.
    pub async fn pass_unconfigured(
        &self,
        incoming: Incoming<P>,
        problem: &HealthReason,
    ) -> Answer<P> {
        let head = Rc::clone(&incoming.head);
        let answer = self.answer_unconfigured(incoming, problem).await;
        answer.for_people(&head, &self.context.config().error_page)
    }

    async fn answer_unconfigured(
        &self,
        incoming: Incoming<P>,
        problem: &HealthReason,
    ) -> Answer<P> {
        let reason = problem.as_str();
        let cache_status = CacheStatus::forwarded(Forward::Bypass).detail(reason);
        match problem {
            // RFC 5842 §7.2: the worker would ask itself.
            HealthReason::OriginIsWorker => {
                return Answer::problem(&Problem::refused(508, reason), cache_status);
            }
            HealthReason::Origin(_) => {
                let detail = "The worker's settings are wrong; its healthz says which.";
                let problem = Problem::new(ProblemKind::Misconfigured, detail).because(reason);
                return Answer::problem(&problem, cache_status);
            }
            HealthReason::Config(_)
            | HealthReason::Secrets(_)
            | HealthReason::BindingMissing(_)
            | HealthReason::NothingCanInvalidate
            | HealthReason::JournalLost(_)
            | HealthReason::JournalLostTooLong(_)
            | HealthReason::FrontCacheFailed(_)
            | HealthReason::Resharding(_)
            | HealthReason::Cold => {}
        }
        if let Admission::Refuse(refusal) = admit(&incoming.head, self.context.config()) {
            return self.refused(&incoming.head, refusal);
        }
        let fields = pass_request_fields(&incoming.head, &self.context.facts(&incoming, false));
        let response = self.ask(incoming, fields).await;
        self.passed(response, &self.context.config().defaults, cache_status)
    }

    pub(crate) fn refused(&self, request: &RequestHead, refusal: Refusal) -> Answer<P> {
        let url = format!("{}://{}{}", request.scheme, request.host, request.path);
        let event = Event::RequestRefused { url: &url, reason: refusal.as_str() };
        self.context.log(&event);
        let cache_status = CacheStatus::default().detail(refusal.as_str());
        Answer::problem(&Problem::refused(refusal.status(), refusal.as_str()), cache_status)
    }

    /// Sends a visitor's own request to the origin, within the limit of requests under way.
    pub(crate) async fn ask(
        &self,
        incoming: Incoming<P>,
        fields: Fields,
    ) -> Result<OriginResponse<P::Stream>, OriginError> {
        let head = Rc::clone(&incoming.head);
        let target = crate::cache::tag::url_name("", &head.path, head.query.as_deref());
        let url = format!("{}://{}{target}", head.scheme, head.host);
        let response = match self.content(incoming).await {
            Ok((permit, content)) => {
                let request = OriginRequest {
                    method: head.method.clone(),
                    target,
                    fields,
                    content,
                    timeout: self.context.config().origin_timeout,
                };
                permit.fetch(request).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = &response {
            self.context.origin_failed(&url, *error);
        }
        response
    }

    /// Permission to send a visitor's request, and its content. A small body is there before that
    /// is waited for; a larger one is an upload, which holds nothing while it is on its way.
    async fn content(
        &self,
        incoming: Incoming<P>,
    ) -> Result<(Permit<P>, Content<P::Stream, P::Chunk>), OriginError> {
        let Some(body) = incoming.body else {
            return Ok((
                self.context.permit(Sender::Visitor, Some(&incoming.head), None).await?,
                Content::None,
            ));
        };
        let length = stated_length(&incoming.head.fields);
        let peer = peer_of(&incoming.head);
        if length.is_some_and(|length| length <= SMALL_UPLOAD as u64) {
            let whole = self.context.read_request_body(peer, body, SMALL_UPLOAD, |_| {}).await;
            let whole = whole.map_err(|why| match why {
                NotArrived::Late => OriginError::Upload,
                NotArrived::GivenUp => OriginError::Busy,
                NotArrived::Broken | NotArrived::TooLarge(_) => OriginError::Broken,
            })?;
            let permit = self.context.permit(Sender::Visitor, Some(&incoming.head), None).await?;
            return Ok((permit, Content::Whole(whole)));
        }
        let permit = self.context.permit(Sender::Visitor, Some(&incoming.head), None).await?;
        let state = permit.upload(peer);
        let limit = length.map_or(LONGEST_UPLOAD, |length| {
            Millis(ARRIVAL_LIMIT.0.saturating_add(length / SLOWEST_UPLOAD))
        });
        Ok((permit, Content::Upload(Upload { body, length, state, limit })))
    }

    /// An answer without its body, if a HEAD asked for it.
    pub(crate) fn without_body_for_head(
        &self,
        admitted: &Admitted<'_>,
        mut answer: Answer<P>,
    ) -> Answer<P> {
        if admitted.head_only
            && let Body::Origin(body) = std::mem::replace(&mut answer.body, Body::Empty)
        {
            self.context.platform.cancel(body);
        }
        answer
    }

    /// The answer that a passed response makes.
    pub(crate) fn passed(
        &self,
        response: Result<OriginResponse<P::Stream>, OriginError>,
        route: &Route,
        cache_status: CacheStatus,
    ) -> Answer<P> {
        match response {
            // Only the edge asks for a shell, and never in a request that passes.
            Ok(response) if is_shell(&response.head.fields) => {
                self.context.platform.cancel(response.body);
                Answer::raw_shell(cache_status.fwd_status(response.head.status))
            }
            Ok(response) => {
                let cache_status = cache_status.fwd_status(response.head.status);
                let fields = visitor_fields(&response.head.fields, route, FreshnessSource::None);
                let status = response.head.status;
                let esi = !matches!(status, 101 | 206 | 304)
                    && esi::applies(route, &response.head.fields);
                let body = Body::Origin(response.body);
                Answer { esi, ..Answer::new(status, fields, body, cache_status) }
            }
            Err(error) => Answer::origin_failed(error, cache_status.detail(error.as_str())),
        }
    }
}
