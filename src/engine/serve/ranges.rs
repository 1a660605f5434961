//! Ranges of pages that are not stored: forwarded, and not stored.
//!
//! A range request is a fetch of its own: no lease, no sharing, because hardly two ask for the same
//! range. The origin is sent what a fill would send it, because a cache in front of the edge may
//! store the answer.

use crate::base::time::{Epoch, Timestamp};
use crate::cache::admission::Admitted;
use crate::cache::forward::{add_selecting, cacheable_request_fields};
use crate::cache::not_forwarded::NotForwarded;
use crate::cache::status::{is_transient, replaces_stored};
use crate::cache::storage::{Storage, StorageInput, storage_of_range};
use crate::cache::variant::selection;
use crate::engine::context::Incoming;
use crate::engine::fill::hit_for_pass::Refused;
use crate::engine::fill::outcome::NotStoredAnswer;
use crate::engine::fill::request::{Candidate, page_request};
use crate::engine::fill::stale_on_error::failure_of;
use crate::engine::origin_limit::Sender;
use crate::engine::parts::Server;
use crate::engine::port::{OriginError, OriginResponse, Platform};
use crate::engine::serve::bypass::BypassReason;
use crate::engine::serve::response::Answer;
use crate::http::Fields;
use crate::http::cache_status::CacheStatus;
use crate::http::vary::{Vary, vary};

impl<P: Platform> Server<P> {
    /// Asks the origin for a range, and says when.
    async fn ask_for_range(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        sent: &Fields,
    ) -> Result<(OriginResponse<P::Stream>, Timestamp), OriginError> {
        let mut fields = sent.clone();
        for name in ["range", "if-range"] {
            if let Some(value) = incoming.head.fields.get(name) {
                fields.set(name, value);
            }
        }
        let permit = self.context.permit(Sender::Visitor, Some(&incoming.head), None).await?;
        let began = self.context.platform.now();
        let timeout = self.context.config().origin_timeout;
        let response = permit.fetch(page_request(admitted, fields, timeout)).await?;
        Ok((response, began))
    }

    /// Answers a request for a range that nothing stored can answer.
    pub(crate) async fn fetch_range(
        &self,
        incoming: Incoming<P>,
        admitted: &Admitted<'_>,
        candidate: Candidate<P>,
    ) -> Answer<P> {
        let facts = self.context.facts(&incoming, false);
        let mut sent = cacheable_request_fields(&incoming.head, admitted, &facts);
        add_selecting(&mut sent, &incoming.head, candidate.vary.as_deref().unwrap_or_default());
        let cache_status = || CacheStatus::forwarded(candidate.forward).detail("range");
        let answered = self.ask_for_range(&incoming, admitted, &sent).await;
        if let Err(error) = &answered {
            self.context.origin_failed(&admitted.page.url(), *error);
        }
        if let Some(error) = failure_of(answered.as_ref().map(|(response, _)| response))
            && let failed = (candidate.clone(), error)
            && let Some(answer) =
                self.stale_on_error(&incoming, admitted, failed, cache_status()).await
        {
            answered.into_iter().for_each(|(it, _)| self.context.platform.cancel(it.body));
            return answer;
        }
        match answered {
            Ok(answered) => {
                self.answer_range((incoming, candidate), admitted, &sent, answered).await
            }
            Err(error) => self.passed(Err(error), &admitted.route, cache_status()),
        }
    }

    /// The answer that the origin's to a range makes.
    async fn answer_range(
        &self,
        (incoming, candidate): (Incoming<P>, Candidate<P>),
        admitted: &Admitted<'_>,
        sent: &Fields,
        (response, began): (OriginResponse<P::Stream>, Timestamp),
    ) -> Answer<P> {
        let platform = &self.context.platform;
        let cache_status = CacheStatus::forwarded(candidate.forward).detail("range");
        let arrived = platform.now();
        if let Vary::Names(names) = vary(&response.head.fields) {
            let chosen = selection(&names, &incoming.head, admitted, sent);
            if self.context.is_of_another(&incoming, admitted, &chosen) {
                platform.cancel(response.body);
                return self.bypass(incoming, admitted, &BypassReason::Vary).await;
            }
        }
        let decision = storage_of_range(&StorageInput {
            request: &incoming.head,
            admitted,
            sent,
            response: &response.head,
            request_time: began,
            response_time: arrived,
        });
        let Storage::Refuse(reason) = decision else {
            return self.passed(Ok(response), &admitted.route, cache_status);
        };
        // It is not for everyone: what is stored of the page is looked at anew.
        let (status, stored) = (response.head.status, candidate.page.is_some());
        let vary = candidate.vary.iter().flat_map(|names| names.iter().cloned()).collect();
        if stored && replaces_stored(status) {
            self.filler.refresh(&incoming, admitted, candidate, arrived);
        }
        let whole = self.context.not_forwarded_range(&incoming, admitted) == NotForwarded::Nothing;
        if whole || is_transient(status) {
            return self.passed(Ok(response), &admitted.route, cache_status);
        }
        // Asked for with all its fields, and noted: no range says nothing of the page.
        if status != 416 {
            let response = &response.head;
            let stamp = self.context.isolate().borrow().view.stamp().unwrap_or(Epoch::ZERO);
            let refused = Refused { response, reason, vary, stored, sent, stamp, arrived };
            self.filler.note_hit_for_pass(&incoming.head, admitted, refused).await;
        }
        let answer = NotStoredAnswer { response, reason };
        self.answer_not_stored(incoming, admitted, answer, cache_status).await
    }
}
