//! Permission to fetch: the page's shard says who refreshes a variant, and where L2 has it.

use std::rc::Rc;

use crate::base::time::{Epoch, Millis};
use crate::cache::admission::Admitted;
use crate::cache::compose::shell::is_stored_shell;
use crate::cache::key::{CacheKey, Page, Selection};
use crate::cache::reuse::{Reuse, reuse};
use crate::cache::tag::TagSet;
use crate::engine::fill::outcome::PageSource;
use crate::engine::fill::request::FillRequest;
use crate::engine::fill::shared::SharedFill;
use crate::engine::fill::terms::{FetchTerms, Lease, Unleased};
use crate::engine::memory::{StoredPage, StoredRecord};
use crate::engine::parts::Filler;
use crate::engine::platform_limits::BACKGROUND_TASKS;
use crate::engine::port::{CallError, Platform};
use crate::index::{Grant, LeaseReply, LeaseRequest, Ready, ShardCall, ShardReply};

/// What a fill may do.
pub(crate) enum FillPermission<P: Platform> {
    /// Another has fetched it already.
    Stored(Rc<StoredPage<P::Chunk>>, PageSource),
    /// Another is at it, and nobody waits here.
    InProgressElsewhere,
    /// Fetch.
    Fetch(FetchTerms),
}

/// What is left for storing after a fetch.
const STORING: Millis = Millis(2_000);
/// How long a lease is waited for at least.
const SHORTEST_WAIT: Millis = Millis(5_000);

/// What is known of a variant while its shard is asked for it.
#[derive(Default)]
struct LeaseAttempt {
    selected: Selection,
    /// What a fetch without tags inherits.
    tags: TagSet,
    need: Epoch,
    have_fence: u64,
    /// The latest fence when the shard answered first.
    first_fence: Option<u64>,
    /// L2 did not show what the shard called ready.
    lagged: bool,
    hits: u32,
}

impl LeaseAttempt {
    /// What is fetched without a lease stays in this colo.
    fn unleased(self, why: Unleased) -> FetchTerms {
        FetchTerms::Unleased(why, self.tags)
    }

    fn lease(&mut self, mut grant: Grant) -> Lease {
        // A shard that does not have the page yet, because it was another's, knows no tags.
        if grant.tags.is_empty() {
            grant.tags = std::mem::take(&mut self.tags);
        }
        Lease::of(grant, std::mem::take(&mut self.selected))
    }
}

impl<P: Platform> Filler<P> {
    /// Asks the page's shard until there is permission to fetch, or a copy that is recent enough.
    pub(crate) async fn request_permission(
        &self,
        fill_request: &FillRequest<P>,
        fill: &SharedFill<P>,
    ) -> FillPermission<P> {
        let admitted = &fill_request.admitted;
        let platform = &self.context.platform;
        let mut attempt = self.lease_attempt(fill_request);
        let has_page = fill_request.candidate.page.is_some();
        if has_page && let Some(page) = self.fresh_in_colo(admitted, &attempt.selected).await {
            return self.take_from_colo(page);
        }
        let began = platform.now();
        let budget = self.context.config().new_keys_per_second;
        if !has_page
            && !self.context.isolate().borrow_mut().claim_new_key(
                &admitted.page.host,
                began,
                budget,
            )
        {
            return FillPermission::Fetch(attempt.unleased(Unleased::KeyBudget));
        }
        attempt.hits =
            self.context.isolate().borrow_mut().memory.take_hits(&admitted.key, &attempt.selected);
        while platform.now().since(began) < self.lease_wait() {
            fill.touch(platform.now());
            let reply = match self.ask_shard(fill_request, &mut attempt).await {
                Ok(reply) => reply,
                Err(terms) => return FillPermission::Fetch(terms),
            };
            let permission = self.permission((fill_request, fill), &mut attempt, reply).await;
            if let Some(permission) = permission {
                return permission;
            }
        }
        if fill_request.background {
            return FillPermission::InProgressElsewhere;
        }
        FillPermission::Fetch(attempt.unleased(Unleased::LeaseTimeout))
    }

    fn lease_attempt(&self, fill_request: &FillRequest<P>) -> LeaseAttempt {
        let admitted = &fill_request.admitted;
        let candidate = &fill_request.candidate;
        let selected = match &candidate.vary {
            Some(names) => self.context.select(&fill_request.incoming, admitted, names),
            None => Selection::default(),
        };
        let entry = candidate.page.as_ref().map(|page| &page.entry);
        LeaseAttempt {
            selected,
            tags: entry.map_or_else(TagSet::default, |entry| entry.tags.clone()),
            need: candidate.need,
            have_fence: entry.map_or(0, |entry| entry.fence),
            ..LeaseAttempt::default()
        }
    }

    /// Asks for a variant where nothing of it is here, and no visitor waits.
    pub(super) async fn background_lease(
        &self,
        (page, key): (&Page, &CacheKey),
        selection: &Selection,
    ) -> LeaseRequest {
        LeaseRequest {
            page: page.clone(),
            key: key.clone(),
            selection: selection.clone(),
            need: Epoch::ZERO,
            have_fence: 0,
            seen: self.invalidator.ensure_stamp().await,
            lagged: false,
            colo: self.context.platform.colo_name(),
            background: true,
            ready_only: false,
            hits: 0,
            unrecorded: 0,
        }
    }

    /// Asks the page's shard once; an error is how the fetch goes on without it.
    async fn ask_shard(
        &self,
        fill_request: &FillRequest<P>,
        attempt: &mut LeaseAttempt,
    ) -> Result<LeaseReply, FetchTerms> {
        let admitted = &fill_request.admitted;
        let platform = &self.context.platform;
        let request = LeaseRequest {
            page: admitted.page.clone(),
            key: admitted.key.clone(),
            selection: attempt.selected.clone(),
            need: attempt.need,
            have_fence: attempt.have_fence,
            seen: self.invalidator.ensure_stamp().await,
            lagged: attempt.lagged,
            colo: platform.colo_name(),
            background: fill_request.background,
            ready_only: false,
            hits: std::mem::take(&mut attempt.hits),
            unrecorded: std::mem::take(&mut self.context.isolate().borrow_mut().unrecorded),
        };
        let shard = admitted.key.digest().shard(self.context.config().shards);
        match platform.shard(shard, ShardCall::Lease(request)).await {
            Ok(ShardReply::Lease(reply)) => Ok(reply),
            Ok(other) => {
                let error = CallError::Unknown(other.name().into());
                self.context.shard_failed(shard, "lease", &error);
                Err(std::mem::take(attempt).unleased(Unleased::IndexFailed))
            }
            Err(error) => {
                self.context.shard_failed(shard, "lease", &error);
                Err(std::mem::take(attempt).unleased(Unleased::IndexUnreachable))
            }
        }
    }

    /// What a shard's reply permits; None to ask it again.
    async fn permission(
        &self,
        (fill_request, fill): (&FillRequest<P>, &SharedFill<P>),
        attempt: &mut LeaseAttempt,
        reply: LeaseReply,
    ) -> Option<FillPermission<P>> {
        let admitted = &fill_request.admitted;
        match reply {
            LeaseReply::Grant(grant) => {
                self.context.isolate().borrow_mut().view.observe_epoch(grant.stamp);
                return Some(FillPermission::Fetch(FetchTerms::Leased(attempt.lease(grant))));
            }
            LeaseReply::Ticket(grant) => {
                return Some(FillPermission::Fetch(FetchTerms::L2Lags(grant)));
            }
            LeaseReply::Vary { names } => {
                attempt.selected = self.context.select(&fill_request.incoming, admitted, &names);
                self.stores.store_vary(&admitted.key, &names).await;
            }
            LeaseReply::Ready(ready) => {
                return self.copy_in_l2((fill_request, fill), attempt, ready).await;
            }
            // Whoever holds it refreshes the page for all.
            LeaseReply::Wait { .. } if fill_request.background => {
                return Some(FillPermission::InProgressElsewhere);
            }
            LeaseReply::Wait { retry, latest_fence } => {
                attempt.first_fence.get_or_insert(latest_fence);
                self.context.platform.sleep(retry.max(Millis(20))).await;
            }
        }
        let page = self.fresh_in_colo(admitted, &attempt.selected).await?;
        Some(self.take_from_colo(page))
    }

    /// The copy in L2 that a shard calls ready, if it is recent enough; else what is needed is
    /// known better.
    async fn copy_in_l2(
        &self,
        (fill_request, fill): (&FillRequest<P>, &SharedFill<P>),
        attempt: &mut LeaseAttempt,
        ready: Ready,
    ) -> Option<FillPermission<P>> {
        let admitted = &fill_request.admitted;
        let after = *attempt.first_fence.get_or_insert(ready.latest_fence);
        let page = self.stores.read_l2(&ready.l2_key).await;
        let Some(page) = page.filter(|page| self.is_variant(page, fill_request)) else {
            attempt.lagged = true;
            return None;
        };
        if !page.entry.tags.is_empty() {
            attempt.tags = page.entry.tags.clone();
        }
        let (decision, validity) = self.judge(admitted, &page).await;
        let fresh = matches!(decision, Reuse::Fresh { .. });
        // A fetch that began after this request asked can't be older than what it waits for.
        let after = page.entry.fence > after;
        if fresh || after {
            self.stores.store_in_colo(&page).await;
            return Some(FillPermission::Stored(page, PageSource::Global));
        }
        // As where it was stored, it stands in; for who asks later, too.
        if fill_request.candidate.page.is_none()
            && decision.may_answer_on_error()
            && !is_stored_shell(&page.entry)
            && self.stores.store_in_memory(&page)
        {
            fill.keep_stale_on_error(Rc::clone(&page));
        }
        attempt.need = attempt.need.max(validity.need());
        attempt.have_fence = attempt.have_fence.max(page.entry.fence).max(ready.fence);
        None
    }

    /// How long a lease is waited for: with the fetch after it no longer than tasks may go on if
    /// the visitor leaves.
    fn lease_wait(&self) -> Millis {
        let timeout = self.context.config().origin_timeout;
        let left = BACKGROUND_TASKS.0.saturating_sub(STORING.0).saturating_sub(timeout.0);
        timeout.min(Millis(left.max(SHORTEST_WAIT.0)))
    }

    /// The variant as this colo's L1 has it, if it is fresh.
    async fn fresh_in_colo(
        &self,
        admitted: &Admitted<'_>,
        selected: &Selection,
    ) -> Option<Rc<StoredPage<P::Chunk>>> {
        let key = admitted.key.variant(selected);
        let StoredRecord::Page(page) = self.stores.read_l1(&key).await? else { return None };
        if page.entry.key != admitted.key || page.entry.selection != *selected {
            return None;
        }
        let (decision, _) = self.judge(admitted, &page).await;
        let fresh = matches!(decision, Reuse::Fresh { .. });
        let held = StoredRecord::Page(Rc::clone(&page));
        // Not what is older than this isolate's own.
        let newest = fresh && !self.context.isolate().borrow().memory.has_newer(&key, &held);
        newest.then_some(page)
    }

    /// What the colo has is the fill's result; L0 keeps it too.
    fn take_from_colo(&self, page: Rc<StoredPage<P::Chunk>>) -> FillPermission<P> {
        self.stores.store_in_memory(&page);
        FillPermission::Stored(page, PageSource::Colo)
    }

    /// Judges a copy from another tier by this isolate's own view.
    async fn judge(
        &self,
        admitted: &Admitted<'_>,
        page: &Rc<StoredPage<P::Chunk>>,
    ) -> (Reuse, crate::cache::Validity) {
        let max_lag = self.invalidator.max_lag(admitted);
        let health = (self.invalidator.ensure_recent(max_lag).await, max_lag);
        let entry = &page.entry;
        let validity = self.invalidator.validity(&entry.targets, entry.stamp, health).await;
        let decision = reuse(
            entry,
            validity,
            &admitted.directives,
            &admitted.route,
            self.context.platform.now(),
        );
        (decision, validity)
    }

    fn is_variant(&self, page: &Rc<StoredPage<P::Chunk>>, fill_request: &FillRequest<P>) -> bool {
        let admitted = &fill_request.admitted;
        page.entry.key == admitted.key
            && self.context.selects(&fill_request.incoming, admitted, &page.entry.selection)
    }
}
