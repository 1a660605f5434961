//! A composed page's shell on its way into the stores: nobody gets any of it before it is there as
//! a whole, and is the one that its field describes.

use std::rc::Rc;

use crate::cache::entry::Entry;
use crate::cache::no_store::NoStore;
use crate::engine::fill::buffer::BodyBuffer;
use crate::engine::fill::hit_for_pass::Refused;
use crate::engine::fill::outcome::{FillOutcome, PageSource};
use crate::engine::fill::request::{FetchContext, FillContext};
use crate::engine::invalidate::gone::Gone;
use crate::engine::memory::StoredPage;
use crate::engine::parts::Filler;
use crate::engine::port::{OriginError, OriginResponse, Platform};
use crate::http::ResponseHead;
use crate::http::head::stated_length;

impl<P: Platform> Filler<P> {
    /// Takes a shell in: read, looked at, stored, and only then given to those who wait.
    pub(super) async fn store_shell(
        &self,
        context: &FillContext<'_, P>,
        mut entry: Entry,
        response: OriginResponse<P::Stream>,
        fetch: &FetchContext,
    ) {
        let FillContext { fill_request, fill } = *context;
        let admitted = &fill_request.admitted;
        let platform = &self.context.platform;
        let OriginResponse { head, body } = response;
        let stated = stated_length(&head.fields);
        // What arrives counts as memory of its own: those who wait for the fill read none of it.
        let held = BodyBuffer::new(platform.now());
        let end = self.read_body(body, stated, &held, fill.deadline()).await;
        held.finish(end, platform.now());
        let now = platform.now();
        let end_fill = || self.context.isolate().borrow_mut().end_fill(&fill_request.key, fill);
        let body = match (end, held.whole()) {
            (Ok(()), Some(body)) => body,
            (Ok(()), None) | (Err(OriginError::Broken), _) if held.is_window() => {
                // It outgrew what is stored.
                return self.refuse_shell(context, (NoStore::BodyTooLarge, &head), fetch).await;
            }
            (Ok(()), None) => {
                return self.refuse_shell(context, (NoStore::NoRoom, &head), fetch).await;
            }
            (Err(error), _) => {
                self.context.origin_failed(&admitted.page.url(), error);
                fill.resolve(FillOutcome::Failed(error), now);
                end_fill();
                self.release(admitted, &fetch.terms).await;
                if fill_request.background && error == OriginError::Timeout {
                    self.queue_warm(fill_request).await;
                }
                return;
            }
        };
        entry.body_length = held.total();
        let page = Rc::new(StoredPage::new(entry, body));
        if page.shell_pieces(P::bytes).is_none() {
            return self.refuse_shell(context, (NoStore::ComposeBody, &head), fetch).await;
        }
        fill.resolve(FillOutcome::Complete(Rc::clone(&page), PageSource::Origin), now);
        self.store(context, &page, fetch).await;
    }

    /// What is no shell is nobody's answer: all who wait ask for the page whole.
    async fn refuse_shell(
        &self,
        context: &FillContext<'_, P>,
        (reason, head): (NoStore, &ResponseHead),
        fetch: &FetchContext,
    ) {
        let FillContext { fill_request, fill } = *context;
        let admitted = &fill_request.admitted;
        self.context.not_stored(&admitted.page, reason);
        fill.resolve(FillOutcome::NotStored(reason), self.context.platform.now());
        self.context.isolate().borrow_mut().end_fill(&fill_request.key, fill);
        let stored = fill_request.candidate.page.as_ref();
        let vary = fill_request.candidate.vary.iter().flat_map(|names| names.iter().cloned());
        let refused = Refused {
            response: head,
            reason,
            vary: vary.collect(),
            stored: stored.is_some(),
            sent: &fetch.sent,
            stamp: fetch.stamp,
            arrived: fetch.arrived,
        };
        self.note_hit_for_pass(&fill_request.incoming.head, admitted, refused).await;
        let was_there = self.record_not_stored(context, fetch, head.status, reason).await;
        if reason.is_of_the_origin() && (stored.is_some() || was_there) {
            let stamp = stored.map_or(fetch.stamp, |page| page.entry.stamp);
            let gone = Gone { status: head.status, reason: reason.as_str(), stamp, via: "refresh" };
            // An error is reported; the next refresh tries again.
            let _ = self.invalidator.invalidate_gone(admitted, gone).await;
        }
    }
}
