//! A POST whose answer may answer later GETs.
//!
//! It goes to the origin and back as any other, its body untouched, and invalidates its page as any other. Then the
//! answer is kept in this colo, if the page was not invalidated by anything else since the request began.

use std::rc::Rc;

use crate::cache::admission::Admitted;
use crate::cache::entry::Entry;
use crate::cache::forward::cacheable_request_fields;
use crate::cache::key::Selection;
use crate::cache::post::{post_storage, stamp_after};
use crate::cache::tag::{TagSet, Target};
use crate::cache::unsafe_methods::{Invalidation, invalidated_by, invalidation};
use crate::engine::port::Platform;
use crate::http::cache_status::CacheStatus;
use crate::http::{RequestHead, ResponseHead};
use crate::journal::{Appended, Mode};

use super::response::Answer;
use crate::engine::fill::Candidate;
use crate::engine::fill::permission::Lease;
use crate::engine::fill::store::FetchContext;
use crate::engine::{Engine, Incoming};

impl<P: Platform> Engine<P> {
    /// Passes a POST, and keeps its answer if that may answer later GETs.
    pub(crate) async fn post(
        &self,
        platform: &Rc<P>,
        incoming: Incoming<P>,
        admitted: &Admitted<'_>,
        cache_status: CacheStatus,
    ) -> Answer<P> {
        let asked = incoming.share();
        let sent = cacheable_request_fields(&asked.head, admitted, &self.facts(&asked, false));
        let stamp = self.ensure_stamp(platform).await;
        let began = platform.now();
        let response = match self.ask(platform, incoming, sent.clone()).await {
            Ok(response) => response,
            Err(error) => return self.passed(Err(error), admitted.route, cache_status),
        };
        let arrived = platform.now();
        let lease = Lease::alone("method", Selection::default(), TagSet::default());
        let fetch = FetchContext { lease, stamp, sent, began, arrived };
        let input = self.input(&asked, admitted, &response.head, &fetch);
        let mut entry = post_storage(&input).map(|storable| {
            self.entry(&asked.head, admitted, storable, response.head.status, &fetch)
        });
        if admitted.route.unsafe_invalidates {
            let (targets, mode) = match invalidation(&response.head) {
                Invalidation::Nothing => (Vec::new(), Mode::Soft),
                Invalidation::Soft => (self.invalidated(&asked.head, &response.head), Mode::Soft),
                Invalidation::Hard => (self.invalidated(&asked.head, &response.head), Mode::Hard),
            };
            let watch = entry.as_ref().map_or([].as_slice(), |entry| &entry.targets);
            let stamp = match self.invalidate_unsafe(platform, targets, mode, watch).await {
                Some(Appended::New { epoch, before, .. }) => stamp_after(stamp, before, epoch),
                Some(Appended::Repeated { .. } | Appended::Conflict) | None => None,
            };
            entry = entry.zip(stamp).map(|(entry, stamp)| Entry { stamp, ..entry });
        }
        let candidate = Candidate::nothing(None);
        let part = entry.and_then(|entry| {
            self.arriving(admitted, &candidate, entry, None, &response.head.fields)
        });
        match part {
            Some(part) => self.take_part(platform, admitted, part, response, cache_status),
            None => self.passed(Ok(response), admitted.route, cache_status),
        }
    }

    fn invalidated(&self, request: &RequestHead, response: &ResponseHead) -> Vec<Target> {
        invalidated_by(request, response, self.config())
    }
}
