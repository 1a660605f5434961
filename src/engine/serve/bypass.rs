//! Requests that bypass the cache though they are for it: they go to the origin whole, with all
//! their fields. What may not be stored is answered as if the edge were not there.
//!
//! Most requests for a page that is not here are asked without what no key has, because the answer
//! may then be everyone's. Where it is known, or expected, that it may not be stored, that request
//! would be one too many. The answer to a whole request is its visitor's alone, and never stored;
//! if it looks as if it could be kept, the page is fetched without what no key has, in the
//! background.

use std::future::Future;
use std::rc::Rc;

use crate::base::time::{Millis, Timestamp};
use crate::cache::admission::{Admitted, PassReason};
use crate::cache::compose::visitor::NotComposed;
use crate::cache::forward::{cacheable_request_fields, pass_request_fields};
use crate::cache::key::CacheKey;
use crate::cache::no_store::NoStore;
use crate::cache::not_forwarded::NotForwarded;
use crate::cache::storage::{Storage, StorageInput, storage};
use crate::engine::context::{Context, Incoming};
use crate::engine::fill::in_flight::{InFlight, Probe, ProbeOutcome};
use crate::engine::fill::outcome::{FillOutcome, FillWork};
use crate::engine::fill::request::{Candidate, FillRequest};
use crate::engine::fill::stale_on_error::failure_of;
use crate::engine::heartbeat::while_beating;
use crate::engine::parts::Server;
use crate::engine::port::{OriginError, Platform};
use crate::engine::serve::response::Answer;
use crate::engine::uncacheable::{StoredSince, page_hash, prefixes};
use crate::http::ResponseHead;
use crate::http::cache_status::{CacheStatus, Forward};
use crate::http::head::stated_length;

/// Why a request for the cache bypasses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BypassReason {
    /// The page's last answer could not be stored, for this reason; and the hash of its key.
    HitForPass(Rc<str>, u64),
    /// Its visitor has changed the page.
    OwnChange,
    /// The answers for addresses like it could not be stored.
    Expected,
    /// It says something that no key has, and nothing is known of the address.
    Fields,
    /// It wants nothing of it stored.
    NoStore,
    /// Its visitor has a cookie by which the route bypasses, and what is stored is not good for
    /// everyone.
    Known,
    /// The page can't be composed for its visitor.
    NotComposed(NotComposed),
    /// The page is as it was, and a cookie came with that: for a request of which cookies or fields
    /// were left out.
    Cookie,
    /// What is stored is selected by a field that it has, and that the origin of a stored page does
    /// not get to see.
    Vary,
}

impl BypassReason {
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::HitForPass(reason, _) => format!("hit-for-pass-{reason}"),
            Self::OwnChange => "hit-for-pass-own-change".to_owned(),
            Self::Expected => "unstorable-so-far".to_owned(),
            Self::Fields => "request-fields".to_owned(),
            Self::NoStore => NoStore::RequestNoStore.as_str().to_owned(),
            Self::Known => PassReason::BypassCookie.as_str().to_owned(),
            Self::NotComposed(why) => why.as_str().to_owned(),
            Self::Cookie => NoStore::SetCookie.as_str().to_owned(),
            Self::Vary => "vary-not-forwarded".to_owned(),
        }
    }

    /// Whether nothing is known of the address, so that others who ask for it wait for what this
    /// one shows.
    const fn leads(&self) -> bool {
        match self {
            Self::Expected | Self::Fields => true,
            Self::HitForPass(..)
            | Self::OwnChange
            | Self::NoStore
            | Self::Known
            | Self::NotComposed(_)
            | Self::Cookie
            | Self::Vary => false,
        }
    }
}

/// The place of such a request on the list of fetches: those who come meanwhile wait until it is
/// known whether the page may be stored. If its visitor leaves, they go on by themselves.
struct ListedBypass<P: Platform> {
    context: Context<P>,
    key: CacheKey,
    probe: Probe<P>,
}

impl<P: Platform> ListedBypass<P> {
    /// Shows while something goes on that the request runs: the runtime ends that of a visitor who
    /// leaves without a word.
    async fn alive_while<T>(&self, work: impl Future<Output = T>) -> T {
        while_beating(&*self.context.platform, |now| self.probe.beat(now), work).await
    }
}

impl<P: Platform> Drop for ListedBypass<P> {
    fn drop(&mut self) {
        self.probe.resolve(ProbeOutcome::Nothing);
        self.context.isolate().borrow_mut().end_probe(&self.key, &self.probe);
    }
}

impl<P: Platform> Server<P> {
    /// Why a request that nothing stored answers bypasses the cache; none if it does not.
    pub(crate) fn bypass_reason(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        candidate: &Candidate<P>,
        now: Timestamp,
    ) -> Option<BypassReason> {
        let left = self.context.not_forwarded(incoming, admitted);
        if left == NotForwarded::Nothing {
            return None;
        }
        if admitted.directives.no_store {
            return Some(BypassReason::NoStore);
        }
        // A page that may stand in for the origin is asked for as one.
        if !candidate.on_error
            && let Some(why) = self.hit_for_pass(incoming, admitted, candidate, now)
        {
            return Some(why);
        }
        let under_way =
            self.is_under_way(&self.context.fill_key(incoming, admitted, candidate), now);
        let uncacheable = &self.context.isolate().borrow().uncacheable;
        // The answer to whoever asks for the same page now shows whether it may be stored.
        if under_way || candidate.page.is_some() || candidate.vary.is_some() {
            return None;
        }
        if left == NotForwarded::Other {
            Some(BypassReason::Fields)
        } else if !admitted.route.compose && uncacheable.is_expected(&prefixes(&admitted.page), now)
        {
            Some(BypassReason::Expected)
        } else {
            None
        }
    }

    /// Why a request bypasses the cache by the page's hit-for-pass entry; none if it does not.
    pub(crate) fn hit_for_pass(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        candidate: &Candidate<P>,
        now: Timestamp,
    ) -> Option<BypassReason> {
        let page = page_hash(&self.context.fill_key(incoming, admitted, candidate));
        let stored = candidate.page.as_ref().map(|page| StoredSince {
            request_time: page.entry.request_time,
            has_stale_if_error: candidate.has_stale_if_error(),
        });
        if !self.context.isolate().borrow().uncacheable.has(page, stored.as_ref(), now) {
            return None;
        }
        let left = self.context.not_forwarded(incoming, admitted);
        let reason = self.context.isolate().borrow().uncacheable.reason(page, left, now)?;
        Some(BypassReason::HitForPass(reason.into(), page))
    }

    /// Whether the page is being fetched, or asked for by a request that bypasses the cache and
    /// leads.
    pub(crate) fn is_under_way(&self, key: &CacheKey, now: Timestamp) -> bool {
        let limit = Millis(self.context.config().origin_timeout.0 * 2);
        match self.context.isolate().borrow_mut().in_flight(key, now, limit) {
            Some(InFlight::Fill(fill)) => !matches!(fill.outcome(), Some(FillOutcome::Failed(_))),
            Some(InFlight::Probe(_)) => true,
            Some(InFlight::Paused(_)) | None => false,
        }
    }

    /// Sends a visitor's own request to the origin, whole, and looks at what comes.
    pub(crate) async fn bypass(
        &self,
        incoming: Incoming<P>,
        admitted: &Admitted<'_>,
        why: &BypassReason,
    ) -> Answer<P> {
        let platform = &self.context.platform;
        let cache_status = CacheStatus::forwarded(Forward::Bypass).detail(&why.detail());
        let lead = why.leads().then(|| self.lead(admitted));
        let fields = pass_request_fields(&incoming.head, &self.context.facts(&incoming, false));
        let request = incoming.share();
        let began = platform.now();
        let response = match &lead {
            Some(lead) => lead.alive_while(self.ask(incoming, fields)).await,
            None => self.ask(incoming, fields).await,
        };
        if why.leads()
            && let Some(error) = failure_of(response.as_ref())
            && let failed = (Candidate::nothing(None), error)
            && let Some(answer) =
                self.stale_on_error(&request, admitted, failed, cache_status.clone()).await
        {
            // Those who wait for it ask as for any page.
            drop(lead);
            response.into_iter().for_each(|response| platform.cancel(response.body));
            return answer;
        }
        match &response {
            Ok(response) => {
                self.look_at((request, why), admitted, &response.head, began, lead);
            }
            // Those who wait for it go on by themselves.
            Err(OriginError::Left) => drop(lead),
            Err(error) => {
                if let Some(lead) = lead {
                    lead.probe.resolve(ProbeOutcome::Failed(*error));
                }
            }
        }
        self.without_body_for_head(admitted, self.passed(response, &admitted.route, cache_status))
    }

    fn lead(&self, admitted: &Admitted<'_>) -> ListedBypass<P> {
        let (key, now) = (admitted.key.clone(), self.context.platform.now());
        let probe = Probe::begin(now);
        let listed = InFlight::Probe(probe.clone());
        self.context.isolate().borrow_mut().in_flight.insert(key.clone(), listed);
        ListedBypass { context: self.context.clone(), key, probe }
    }

    /// What the answer to a whole request says of the page: as the one to a request without what
    /// no key has.
    fn look_at(
        &self,
        (request, why): (Incoming<P>, &BypassReason),
        admitted: &Admitted<'_>,
        response: &ResponseHead,
        began: Timestamp,
        lead: Option<ListedBypass<P>>,
    ) {
        let now = self.context.platform.now();
        let page = match why {
            BypassReason::HitForPass(_, page) => *page,
            BypassReason::Expected | BypassReason::Fields => page_hash(&admitted.key),
            BypassReason::OwnChange
            | BypassReason::NoStore
            | BypassReason::Known
            | BypassReason::NotComposed(_)
            | BypassReason::Cookie
            | BypassReason::Vary => return,
        };
        // What the origin renders for one visitor does not show whether it would give a shell.
        if admitted.route.compose {
            return;
        }
        // A part, or that nothing has changed, says nothing of the page.
        if matches!(response.status, 206 | 304 | 412 | 416) {
            return;
        }
        let sent =
            cacheable_request_fields(&request.head, admitted, &self.context.facts(&request, false));
        let decision = storage(&StorageInput {
            request: &request.head,
            admitted,
            sent: &sent,
            response,
            request_time: began,
            response_time: now,
        });
        let length = stated_length(&response.fields);
        match self.filler.fits(length, decision) {
            Storage::Store(_) => {
                if self.context.isolate().borrow_mut().uncacheable.claim_try(page, now) {
                    self.try_to_store(request, admitted, lead, now);
                }
            }
            Storage::Share(_, reason) | Storage::Refuse(reason) => {
                // What another field brought is about that field alone.
                if *why != BypassReason::Fields {
                    self.filler.note_refused(admitted, now);
                }
                if let Some(lead) = lead {
                    lead.probe.resolve(ProbeOutcome::NotStored(reason));
                }
            }
        }
    }

    /// Fetches a page without what no key has: those who wait for the whole request share it.
    fn try_to_store(
        &self,
        incoming: Incoming<P>,
        admitted: &Admitted<'_>,
        lead: Option<ListedBypass<P>>,
        now: Timestamp,
    ) {
        let key = admitted.key.clone();
        if lead.is_none() && self.is_under_way(&key, now) {
            return;
        }
        // Nobody waits for it but those who asked for the same page: it is no refresh in the
        // background.
        let fill_request = FillRequest {
            incoming,
            admitted: admitted.clone().into_owned(),
            candidate: Candidate::nothing(None),
            key,
            background: false,
        };
        let (fill, _) = self.filler.start_fill(fill_request, FillWork::Fetch, now);
        if let Some(lead) = lead {
            lead.probe.resolve(ProbeOutcome::Fetched(fill));
        }
    }
}
