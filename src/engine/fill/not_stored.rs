//! What an answer that is not stored means for what is stored of its page, and for those who ask
//! next.

use crate::cache::not_forwarded::impersonal_fields;
use crate::cache::status::{is_transient, replaces_stored};
use crate::cache::storage::{NoStore, Storage, storage};
use crate::engine::fill::hit_for_pass::Refused;
use crate::engine::fill::outcome::FillWork;
use crate::engine::fill::request::{Candidate, FetchContext, FillContext, page_request};
use crate::engine::fill::shared::SharedFill;
use crate::engine::invalidate::gone::Gone;
use crate::engine::parts::Filler;
use crate::engine::port::Platform;
use crate::http::ResponseHead;

impl<P: Platform> Filler<P> {
    /// What follows from an answer that is not stored, for what is stored of the page.
    pub(crate) async fn not_stored_now(
        &self,
        context: &FillContext<'_, P>,
        mut fetch: FetchContext,
        mut head: ResponseHead,
        mut reason: NoStore,
    ) {
        let FillContext { fill_request, .. } = *context;
        let admitted = &fill_request.admitted;
        let stored = fill_request.candidate.page.as_ref();
        // Here, or elsewhere in the world.
        let is_stored = stored.is_some() || fetch.terms.is_stored();
        if is_stored && replaces_stored(head.status) && reason.is_of_the_origin() {
            match self.confirm(context, &mut fetch).await {
                Confirmed::Same => {}
                Confirmed::Other(other, why) => (head, reason) = (other, why),
                Confirmed::Stored => return,
                Confirmed::Unknown => {
                    return self.release(admitted, &fetch.terms).await;
                }
            }
        }
        let candidate = &fill_request.candidate;
        // The page stands in for the moment.
        if is_transient(head.status) && candidate.has_stale_if_error() {
            return self.release(admitted, &fetch.terms).await;
        }
        let refused = refused(candidate, &fetch, &head, reason);
        self.note_hit_for_pass(&fill_request.incoming.head, admitted, refused).await;
        let was_there = self.record_not_stored(context, &fetch, head.status, reason).await;
        if replaces_stored(head.status)
            && reason.is_of_the_origin()
            && (stored.is_some() || was_there)
        {
            let stamp = stored.map_or(fetch.stamp, |page| page.entry.stamp);
            let (status, reason) = (head.status, reason.as_str());
            let gone = Gone { status, reason, stamp, via: "refresh" };
            // An error is reported; the next refresh tries again.
            let _ = self.invalidator.invalidate_gone(admitted, gone).await;
        }
    }

    /// A body that did not state its length is larger than what is stored.
    pub(crate) async fn too_large(
        &self,
        context: &FillContext<'_, P>,
        fetch: &FetchContext,
        head: &ResponseHead,
    ) {
        let fill_request = context.fill_request;
        let admitted = &fill_request.admitted;
        let candidate = &fill_request.candidate;
        let refused = refused(candidate, fetch, head, NoStore::BodyTooLarge);
        self.note_hit_for_pass(&fill_request.incoming.head, admitted, refused).await;
        self.record_not_stored(context, fetch, head.status, NoStore::BodyTooLarge).await;
    }

    /// Asks the origin once more, without what the visitor said beyond the key, if they said
    /// anything: before a stored page is given up for all.
    async fn confirm(&self, context: &FillContext<'_, P>, fetch: &mut FetchContext) -> Confirmed {
        let FillContext { fill_request, .. } = *context;
        let admitted = &fill_request.admitted;
        let platform = &self.context.platform;
        let known = fill_request.candidate.vary.iter().flat_map(|names| names.iter());
        let names: Vec<String> = known.chain(fetch.terms.vary()).cloned().collect();
        let fields = impersonal_fields(&fetch.sent, admitted, &names);
        if fields == fetch.sent {
            return Confirmed::Same;
        }
        fetch.began = platform.now();
        fetch.sent = fields.clone();
        let timeout = self.context.config().origin_timeout;
        let Some(permit) = self.context.background_permit() else { return Confirmed::Unknown };
        let Ok(response) = permit.fetch(page_request(admitted, fields, timeout)).await else {
            return Confirmed::Unknown;
        };
        fetch.arrived = platform.now();
        if is_transient(response.head.status) {
            platform.cancel(response.body);
            return Confirmed::Unknown;
        }
        match storage(&fetch.input(&fill_request.incoming.head, admitted, &response.head)) {
            Storage::Store(storable) => {
                // Nobody waits for it.
                let fill = SharedFill::begin(FillWork::Refresh, &admitted.page, fetch.arrived);
                let context = FillContext { fill: &fill, ..*context };
                self.store_streamed(&context, storable, response, fetch).await;
                Confirmed::Stored
            }
            Storage::Share(..) => {
                platform.cancel(response.body);
                Confirmed::Unknown
            }
            Storage::Refuse(reason) => {
                platform.cancel(response.body);
                Confirmed::Other(response.head, reason)
            }
        }
    }
}

/// What the origin answers to a request that says nothing of its visitor.
enum Confirmed {
    /// The request was such a one.
    Same,
    /// This, which is not stored either, for this reason.
    Other(ResponseHead, NoStore),
    /// A page that is stored.
    Stored,
    /// Nothing that describes the page.
    Unknown,
}

/// What the hit-for-pass entry of a page that is not stored needs of an answer.
fn refused<'a, P: Platform>(
    candidate: &Candidate<P>,
    fetch: &'a FetchContext,
    response: &'a ResponseHead,
    reason: NoStore,
) -> Refused<'a> {
    let vary = candidate.vary.iter().flat_map(|names| names.iter()).chain(fetch.terms.vary());
    Refused {
        response,
        reason,
        vary: vary.cloned().collect(),
        stored: candidate.page.is_some(),
        sent: &fetch.sent,
        stamp: fetch.stamp,
        arrived: fetch.arrived,
    }
}
