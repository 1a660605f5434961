//! The task of a fill: permission, origin, and what becomes of the answer.

use std::rc::Rc;

use crate::base::time::{Epoch, Timestamp};
use crate::cache::Validity;
use crate::cache::compose::shell::is_stored_shell;
use crate::cache::entry::Entry;
use crate::cache::forward::{add_selecting, cacheable_request_fields};
use crate::cache::stale_if_error::is_origin_failure;
use crate::cache::status::is_transient;
use crate::cache::storage::{NoStore, Storage, limited_fields, storage};
use crate::cache::validation::{Update, UpdateInput, conditional_fields, update};
use crate::control::metrics::Counter;
use crate::engine::fill::outcome::{FillOutcome, LeaderOnlySlot, NotStoredAnswer, PageSource};
use crate::engine::fill::permission::FillPermission;
use crate::engine::fill::request::{FetchContext, FillContext, FillRequest, page_request};
use crate::engine::fill::shared::SharedFill;
use crate::engine::fill::terms::FetchTerms;
use crate::engine::memory::StoredPage;
use crate::engine::origin_limit::Sender;
use crate::engine::parts::Filler;
use crate::engine::permit::Permit;
use crate::engine::port::{OriginError, OriginResponse, Platform};
use crate::http::head::stated_length;
use crate::http::targeted::edge_directives;
use crate::http::{Fields, ResponseHead};
use crate::journal::view::{Verdict, ViewHealth};

impl<P: Platform> Filler<P> {
    /// Runs a fill to its end.
    pub(crate) async fn run_fill(
        &self,
        fill_request: &FillRequest<P>,
        fill: &SharedFill<P>,
        leader_only: &LeaderOnlySlot<P>,
    ) {
        let platform = &self.context.platform;
        let admitted = &fill_request.admitted;
        let terms = match self.request_permission(fill_request, fill).await {
            FillPermission::Stored(page, source) => {
                self.context.count(Counter::FillShared);
                return fill.resolve(FillOutcome::Complete(page, source), platform.now());
            }
            FillPermission::InProgressElsewhere => {
                return fill.resolve(FillOutcome::InProgressElsewhere, platform.now());
            }
            FillPermission::Fetch(terms) => terms,
        };
        let facts = self.context.facts(&fill_request.incoming, false);
        let mut sent = cacheable_request_fields(&fill_request.incoming.head, admitted, &facts);
        let known = fill_request.candidate.vary.as_deref().unwrap_or_default();
        add_selecting(&mut sent, &fill_request.incoming.head, known);
        add_selecting(&mut sent, &fill_request.incoming.head, terms.vary());
        let context = FillContext { fill_request, fill };
        let view_stamp = self.invalidator.ensure_stamp().await;
        let permit = self.permit_for(fill_request, fill, &terms).await;
        let Some(permit) = permit else {
            return self.leave_to_queue(&context, &terms, platform.now()).await;
        };
        // From here to the request nothing is awaited: check and stamp read one state of the view.
        let view_stamp = self.context.isolate().borrow().view.stamp().unwrap_or(view_stamp);
        let stamp = view_stamp.max(terms.stamp().unwrap_or(view_stamp));
        let validate = self.may_validate(fill_request);
        let now = platform.now();
        let fetch = FetchContext { terms, stamp, sent, began: now, arrived: now };
        self.fetch_and_store(&context, fetch, permit, validate, leader_only).await;
    }

    /// Asks the origin, with conditions where `validate` names the epoch that a 304 proves, and
    /// stores what comes.
    async fn fetch_and_store(
        &self,
        context: &FillContext<'_, P>,
        mut fetch: FetchContext,
        mut permit: Result<Permit<P>, OriginError>,
        mut validate: Option<Epoch>,
        leader_only: &LeaderOnlySlot<P>,
    ) {
        let FillContext { fill_request, fill } = *context;
        let platform = &self.context.platform;
        loop {
            let response = self.ask_origin(context, &mut fetch, permit, validate.is_some()).await;
            let Some(response) = response else { return };
            let (Some(proved), 304, Some(page)) =
                (validate, response.head.status, &fill_request.candidate.page)
            else {
                return self.store_or_pass(context, response, fetch, leader_only).await;
            };
            let head = response.head;
            platform.cancel(response.body);
            if let Some(entry) = renewed(context, page, &head, proved, &fetch) {
                leader_only.borrow_mut().fields = of_304(&head, &entry);
                fetch.stamp = entry.stamp;
                let page = Rc::new(StoredPage::new(entry, page.body.clone()));
                let outcome = FillOutcome::Complete(Rc::clone(&page), PageSource::Validated);
                fill.resolve(outcome, fetch.arrived);
                return self.store(context, &page, &fetch).await;
            }
            // It is about another representation: fetch without conditions.
            validate = None;
            let head = fill_request.incoming.head.as_ref();
            permit = self.context.permit(Sender::Visitor, Some(head), Some(fill)).await;
        }
    }

    /// Asks the origin once; None if that failed, and the fill has ended.
    async fn ask_origin(
        &self,
        context: &FillContext<'_, P>,
        fetch: &mut FetchContext,
        permit: Result<Permit<P>, OriginError>,
        conditional: bool,
    ) -> Option<OriginResponse<P::Stream>> {
        let FillContext { fill_request, fill } = *context;
        let admitted = &fill_request.admitted;
        let platform = &self.context.platform;
        let mut fields = fetch.sent.clone();
        if let Some(page) = fill_request.candidate.page.as_ref().filter(|_| conditional) {
            for (name, value) in conditional_fields(&page.entry).iter() {
                fields.set(name, value);
            }
        }
        fetch.began = platform.now();
        fill.touch(fetch.began);
        let timeout = self.time_left(fill_request, fill, platform.now());
        let response = match permit {
            Ok(permit) => permit.fetch(page_request(admitted, fields, timeout)).await,
            Err(error) => Err(error),
        };
        fetch.arrived = platform.now();
        match response {
            Ok(response) if self.counts_as_failure(context, response.head.status).await => {
                platform.cancel(response.body);
                let error = OriginError::Status(response.head.status);
                self.end_failed(context, fetch, error).await;
                None
            }
            Ok(response) => Some(response),
            // No failure of the origin: it may take longer than a background task may.
            Err(OriginError::Timeout) if timeout < self.context.config().origin_timeout => {
                self.leave_to_queue(context, &fetch.terms, fetch.arrived).await;
                None
            }
            Err(OriginError::Left) => {
                self.end_left(context, fetch).await;
                None
            }
            Err(error) => {
                self.end_failed(context, fetch, error).await;
                None
            }
        }
    }

    /// Nobody waits for it any more: who asks from now on asks for themselves.
    async fn end_left(&self, context: &FillContext<'_, P>, fetch: &FetchContext) {
        let FillContext { fill_request, fill } = *context;
        let admitted = &fill_request.admitted;
        fill.resolve(FillOutcome::InProgressElsewhere, fetch.arrived);
        self.context.isolate().borrow_mut().end_fill(&fill_request.key, fill);
        self.release(admitted, &fetch.terms).await;
    }

    async fn end_failed(
        &self,
        context: &FillContext<'_, P>,
        fetch: &FetchContext,
        error: OriginError,
    ) {
        let FillContext { fill_request, fill } = *context;
        let admitted = &fill_request.admitted;
        self.context.origin_failed(&admitted.page.url(), error);
        fill.resolve(FillOutcome::Failed(error), fetch.arrived);
        if !fill_request.background {
            self.context.isolate().borrow_mut().end_fill(&fill_request.key, fill);
        }
        self.release(admitted, &fetch.terms).await;
    }

    /// Leaves a refresh to the warm queue of the page's shard.
    async fn leave_to_queue(
        &self,
        context: &FillContext<'_, P>,
        terms: &FetchTerms,
        now: Timestamp,
    ) {
        let FillContext { fill_request, fill } = *context;
        let admitted = &fill_request.admitted;
        fill.resolve(FillOutcome::InProgressElsewhere, now);
        self.release(admitted, terms).await;
        self.queue_warm(fill_request).await;
    }

    async fn store_or_pass(
        &self,
        context: &FillContext<'_, P>,
        response: OriginResponse<P::Stream>,
        fetch: FetchContext,
        leader_only: &LeaderOnlySlot<P>,
    ) {
        let FillContext { fill_request, fill } = *context;
        let admitted = &fill_request.admitted;
        let platform = &self.context.platform;
        let decision = storage(&fetch.input(&fill_request.incoming.head, admitted, &response.head));
        let length = stated_length(&response.head.fields);
        match self.fits(length, decision) {
            Storage::Store(storable) => {
                leader_only.borrow_mut().fields = limited(&response.head, &response.head.fields);
                self.note_stored(admitted, fetch.arrived);
                self.store_streamed(context, storable, response, &fetch).await;
            }
            Storage::Share(storable, reason) => {
                leader_only.borrow_mut().fields = limited(&response.head, &response.head.fields);
                self.context.not_stored(&admitted.page, reason);
                let head = response.head.clone();
                self.share_unstored(context, storable, response, &fetch, reason).await;
                self.not_stored_now(context, fetch, head, reason).await;
            }
            Storage::Refuse(_)
                if fill_request.background
                    && (response.head.status >= 500
                        || is_transient(response.head.status)
                            && fill_request.candidate.has_stale_if_error()) =>
            {
                let error = OriginError::Status(response.head.status);
                platform.cancel(response.body);
                self.context.origin_failed(&admitted.page.url(), error);
                fill.resolve(FillOutcome::Failed(error), fetch.arrived);
                self.release(admitted, &fetch.terms).await;
            }
            Storage::Refuse(reason) => {
                self.context.not_stored(&admitted.page, reason);
                let head = response.head.clone();
                leader_only.borrow_mut().answer = Some(NotStoredAnswer { response, reason });
                fill.resolve(FillOutcome::NotStored(reason), fetch.arrived);
                self.context.isolate().borrow_mut().end_fill(&fill_request.key, fill);
                self.not_stored_now(context, fetch, head, reason).await;
            }
        }
    }

    /// What states a length for which there is no room goes through as the runtime's own stream,
    /// unshared.
    pub(crate) fn fits(&self, length: Option<u64>, decision: Storage) -> Storage {
        let (Storage::Store(_) | Storage::Share(..), Some(length)) = (&decision, length) else {
            return decision;
        };
        if length > self.context.config().max_body {
            return Storage::Refuse(NoStore::BodyTooLarge);
        }
        if !self.context.has_room(length) {
            return Storage::Refuse(NoStore::NoRoom);
        }
        decision
    }

    /// Whether the stored response may be validated, and the epoch that a 304 would prove. An
    /// invalidated one is refetched without conditions, because an ETag may be newer than the body
    /// it came with; so is one of which nothing can be said.
    fn may_validate(&self, fill_request: &FillRequest<P>) -> Option<Epoch> {
        let admitted = &fill_request.admitted;
        let platform = &self.context.platform;
        let page =
            fill_request.candidate.page.as_ref().filter(|_| fill_request.candidate.conditional)?;
        if is_stored_shell(&page.entry) {
            return None;
        }
        let config = self.context.config();
        let view = &self.context.isolate().borrow().view;
        let lag = self.invalidator.max_lag(admitted);
        let health = view.health(platform.now(), lag, config.sync_interval);
        let entry = &page.entry;
        let clear = matches!(health, ViewHealth::Recent { .. });
        let current = Verdict::Known(Validity::Current);
        let validity = view.validity(&entry.targets, entry.stamp, health, platform.now(), lag);
        if clear && validity == current {
            return Some(view.since().unwrap_or(Epoch::ZERO));
        }
        admitted.route.trust_validators.then(|| view.stamp().unwrap_or(Epoch::ZERO))
    }

    /// Whether an answer is a failure for which something may stand in; as it is, it is nobody's
    /// then.
    async fn counts_as_failure(&self, context: &FillContext<'_, P>, status: u16) -> bool {
        let FillContext { fill_request, fill } = *context;
        let FillRequest { incoming, admitted, candidate, background, .. } = fill_request;
        is_origin_failure(status)
            && (*background
                || self.has_stale_on_error(admitted, candidate).await
                || self.usable_stale_on_error(incoming, admitted, candidate, fill).await.is_some())
    }
}

/// The stored response as a 304 renews it; None if that is about another representation.
fn renewed<P: Platform>(
    context: &FillContext<'_, P>,
    page: &StoredPage<P::Chunk>,
    head: &ResponseHead,
    proved: Epoch,
    fetch: &FetchContext,
) -> Option<Entry> {
    let renewal = UpdateInput {
        not_modified: head,
        sent: &fetch.sent,
        request_time: fetch.began,
        response_time: fetch.arrived,
        route: &context.fill_request.admitted.route,
    };
    let Update::Renewed(mut entry) = update(&page.entry, &renewal) else { return None };
    // A 304 renews an entry only up to the epoch that was proved for it.
    entry.stamp = page.entry.stamp.max(proved);
    entry.fence = fetch.terms.fence().max(page.entry.fence);
    Some(*entry)
}

/// The fields of an answer that are for the request which it answered alone, by what `said` says.
fn limited(response: &ResponseHead, said: &Fields) -> Fields {
    limited_fields(&response.fields, &edge_directives(said))
}

/// The fields of a 304 that are for the request which it answered alone: a cookie that is not
/// stored is, too.
fn of_304(head: &ResponseHead, renewed: &Entry) -> Fields {
    let mut fields = limited(head, &renewed.fields);
    let name = "set-cookie";
    if !renewed.fields.all(name).eq(head.fields.all(name)) {
        for cookie in head.fields.all(name) {
            fields.append(name, cookie);
        }
    }
    fields
}
