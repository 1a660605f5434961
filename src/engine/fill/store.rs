//! What becomes of a fetched response: into L0 and L1, into L2 under a name of its own, and into
//! the index.

use std::rc::Rc;

use crate::cache::Validity;
use crate::cache::compose::shell::is_stored_shell;
use crate::cache::entry::Entry;
use crate::cache::forward::warm_fields;
use crate::cache::key::CacheKey;
use crate::cache::status::ends_page;
use crate::cache::storage::{NoStore, Storable};
use crate::cache::variant::never_forwarded;
use crate::control::metrics::Counter;
use crate::engine::fill::in_flight::InFlight;
use crate::engine::fill::late::is_named;
use crate::engine::fill::outcome::{FillOutcome, StorageNote};
use crate::engine::fill::request::{FetchContext, FillContext};
use crate::engine::fill::terms::{FetchTerms, Unleased};
use crate::engine::invalidate::gone::{ENDED, Gone};
use crate::engine::memory::StoredPage;
use crate::engine::parts::Filler;
use crate::engine::port::{OriginError, OriginResponse, Platform, Store as _};
use crate::engine::stores::is_beyond_l2;
use crate::http::head::stated_length;
use crate::journal::view::Verdict;

impl<P: Platform> Filler<P> {
    /// Takes a storable response in: its body streams to all who wait, and is stored once it is
    /// whole.
    pub(crate) async fn store_streamed(
        &self,
        context: &FillContext<'_, P>,
        storable: Storable,
        response: OriginResponse<P::Stream>,
        fetch: &FetchContext,
    ) {
        let FillContext { fill_request, fill } = *context;
        let admitted = &fill_request.admitted;
        let platform = &self.context.platform;
        let unsent = never_forwarded(&storable.selection_names, admitted);
        self.context.vary_not_forwarded(&admitted.page, &unsent);
        let head = &fill_request.incoming.head;
        let mut entry = fetch.entry(head, admitted, storable, response.head.status);
        if is_stored_shell(&entry) {
            return self.store_shell(context, entry, response, fetch).await;
        }
        let stated = stated_length(&response.head.fields);
        let note = self.storage_note(&entry, stated, fetch);
        let mut arriving = entry.clone();
        // RFC 9111 §5.1: until it is stored, its age is the one it came with.
        if let Some(age) = response.head.fields.get("age") {
            arriving.fields.set("age", age);
        }
        fill.resolve(FillOutcome::Streaming(Rc::new(arriving), note), platform.now());
        let end = self.read_body(response.body, stated, fill.body(), fill.deadline()).await;
        fill.body().finish(end, platform.now());
        let too_large = fill.body().total() > self.context.config().max_body;
        let body = match (end, fill.body().whole()) {
            // Nobody may be left who reads it.
            (Ok(()) | Err(OriginError::Broken), None) if too_large => {
                self.context.isolate().borrow_mut().end_fill(&fill_request.key, fill);
                return self.too_large(context, fetch, &response.head).await;
            }
            (Ok(()), Some(body)) => body,
            (Ok(()), None) => {
                self.context.isolate().borrow_mut().end_fill(&fill_request.key, fill);
                return self.release(admitted, &fetch.terms).await;
            }
            (Err(error), _) => {
                // Who asks from now on is not to share what is broken.
                self.context.isolate().borrow_mut().end_fill(&fill_request.key, fill);
                self.context.origin_failed(&admitted.page.url(), error);
                self.release(admitted, &fetch.terms).await;
                if fill_request.background && error == OriginError::Timeout {
                    self.queue_warm(fill_request).await;
                }
                return;
            }
        };
        entry.body_length = fill.body().total();
        let page = Rc::new(StoredPage::new(entry, body));
        fill.body().became(&page);
        self.store(context, &page, fetch).await;
    }

    /// How a response will be kept.
    fn storage_note(
        &self,
        entry: &Entry,
        stated: Option<u64>,
        fetch: &FetchContext,
    ) -> StorageNote {
        let most_bytes = self.context.platform.global().most_bytes();
        let beyond_l2 = stated.is_some_and(|length| is_beyond_l2(entry, length, most_bytes));
        let detail = fetch.terms.why_colo_only().or(beyond_l2.then_some("l2-too-large"));
        StorageNote { stored: true, detail }
    }

    /// Gives a response that is not stored to all who wait for it now, and to nobody who comes
    /// later.
    pub(crate) async fn share_unstored(
        &self,
        context: &FillContext<'_, P>,
        storable: Storable,
        response: OriginResponse<P::Stream>,
        fetch: &FetchContext,
        reason: NoStore,
    ) {
        let FillContext { fill_request, fill } = *context;
        let admitted = &fill_request.admitted;
        let platform = &self.context.platform;
        let head = &fill_request.incoming.head;
        let mut entry = fetch.entry(head, admitted, storable, response.head.status);
        if let Some(age) = response.head.fields.get("age") {
            entry.fields.set("age", age);
        }
        let note = StorageNote { stored: false, detail: Some(reason.as_str()) };
        let stated = stated_length(&response.head.fields);
        // From now on it is listed for its bytes alone, and nobody joins it.
        let listed = CacheKey::from_stored(platform.unique());
        {
            let mut isolate = self.context.isolate().borrow_mut();
            isolate.end_fill(&fill_request.key, fill);
            isolate.in_flight.insert(listed.clone(), InFlight::Fill(fill.clone()));
        }
        fill.resolve(FillOutcome::Streaming(Rc::new(entry), note), platform.now());
        let end = self.read_body(response.body, stated, fill.body(), fill.deadline()).await;
        fill.body().finish(end, platform.now());
        self.context.isolate().borrow_mut().end_fill(&listed, fill);
        if let Err(error) = end {
            self.context.origin_failed(&admitted.page.url(), error);
        }
    }

    /// Keeps a whole response: L0 and L1 first, then L2 and the index, so that the next visitor
    /// need not wait.
    pub(crate) async fn store(
        &self,
        context: &FillContext<'_, P>,
        page: &Rc<StoredPage<P::Chunk>>,
        fetch: &FetchContext,
    ) {
        let FillContext { fill_request, fill } = *context;
        let admitted = &fill_request.admitted;
        self.context.count(Counter::FillStored);
        let entry = &page.entry;
        let names = entry.selection.names();
        // Hard-invalidated during the fetch: answer the waiting requests, don't store.
        if self.is_hard_invalidated(entry) {
            self.context.isolate().borrow_mut().end_fill(&fill_request.key, fill);
            return self.release(admitted, &fetch.terms).await;
        }
        self.stores.store_in_memory(page);
        self.context.isolate().borrow_mut().end_fill(&fill_request.key, fill);
        if !names.is_empty() {
            self.stores.store_vary(&admitted.key, &names).await;
        }
        self.stores.store_in_colo(page).await;
        match &fetch.terms {
            // Untagged, and never seen before: anyone can invent such pages.
            FetchTerms::Leased(lease) if lease.first && entry.tags.is_empty() => {
                self.release_lease(admitted, lease).await;
            }
            FetchTerms::Leased(lease) => {
                let request = warm_fields(&fill_request.incoming.head, admitted, &fetch.sent);
                self.publish(admitted, request, page, lease).await;
            }
            FetchTerms::Unleased(Unleased::KeyBudget, _) if is_named(entry) => {
                let request = &fill_request.incoming.head;
                self.publish_late(admitted, request, page, &fetch.sent).await;
            }
            FetchTerms::Unleased(Unleased::KeyBudget, _) => {
                self.context.isolate().borrow_mut().unrecorded += 1;
            }
            FetchTerms::L2Lags(_) | FetchTerms::Unleased(..) => {}
        }
        self.end_page(context, entry, fetch).await;
    }

    /// A page that has moved or is gone is so in each variant and in every isolate, though what the
    /// origin says of that may be stored: it is, once it was asked for again.
    async fn end_page(&self, context: &FillContext<'_, P>, entry: &Entry, fetch: &FetchContext) {
        let stored = context.fill_request.candidate.page.as_ref();
        let before = stored.map(|page| page.entry.status).or(fetch.terms.stored_status());
        if ends_page(before, entry.status) {
            let stamp = stored.map_or(fetch.stamp, |page| page.entry.stamp);
            let gone = Gone { status: entry.status, reason: ENDED, stamp, via: "refresh" };
            // An error is reported; each isolate learns it by its own refresh then.
            let _ = self.invalidator.invalidate_gone(&context.fill_request.admitted, gone).await;
        }
    }

    pub(crate) fn is_hard_invalidated(&self, entry: &Entry) -> bool {
        match self.invalidator.validity_now(entry) {
            Verdict::Known(Validity::Hard { .. } | Validity::Unprovable { .. })
            | Verdict::Unknown => true,
            Verdict::Known(
                Validity::Current
                | Validity::JournalLost
                | Validity::JournalLostTooLong
                | Validity::Soft { .. }
                | Validity::SoftUnprovable { .. },
            ) => false,
        }
    }
}
