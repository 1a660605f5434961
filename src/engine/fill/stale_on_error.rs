//! What stands in for an origin that fails (RFC 5861 §4): judged when it has failed, because it
//! took its time, by what is known then.

use std::rc::Rc;

use crate::cache::admission::Admitted;
use crate::cache::compose::shell::is_stored_shell;
use crate::cache::key::Selection;
use crate::cache::reuse::reuse;
use crate::cache::stale_if_error::is_origin_failure;
use crate::engine::context::Incoming;
use crate::engine::fill::request::Candidate;
use crate::engine::fill::shared::SharedFill;
use crate::engine::fill::terms::Lease;
use crate::engine::invalidate::unsafe_methods::OwnChange;
use crate::engine::memory::StoredPage;
use crate::engine::parts::Filler;
use crate::engine::port::{CallError, OriginError, OriginResponse, Platform};
use crate::index::{LeaseReply, LeaseRequest, ShardCall, ShardReply};

/// How the origin failed, if it did.
pub(crate) fn failure_of<S>(
    answered: Result<&OriginResponse<S>, &OriginError>,
) -> Option<OriginError> {
    match answered {
        Ok(response) if is_origin_failure(response.head.status) => {
            Some(OriginError::Status(response.head.status))
        }
        Ok(_) | Err(OriginError::Left) => None,
        Err(error) => Some(*error),
    }
}

impl<P: Platform> Filler<P> {
    /// Whether what is stored may still stand in for an origin that took its time to fail: its
    /// window may have ended, and it may have been invalidated meanwhile.
    pub(crate) async fn has_stale_on_error(
        &self,
        admitted: &Admitted<'_>,
        candidate: &Candidate<P>,
    ) -> bool {
        let Some(page) = candidate.page.as_ref().filter(|_| candidate.on_error) else {
            return false;
        };
        let validity = self.invalidator.validity_by_now(admitted, &page.entry).await;
        let now = self.context.platform.now();
        reuse(&page.entry, validity, &admitted.directives, &admitted.route, now)
            .may_answer_on_error()
    }

    /// What a fill found in L2 that may stand in now, where its isolate had nothing.
    pub(crate) async fn usable_stale_on_error(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        candidate: &Candidate<P>,
        fill: &SharedFill<P>,
    ) -> Option<Rc<StoredPage<P::Chunk>>> {
        let page = fill.stale_on_error().filter(|_| candidate.page.is_none())?;
        self.may_answer_failure(incoming, admitted, candidate, &page).await.then_some(page)
    }

    /// Whether a stored response of another isolate's may stand in for a request.
    async fn may_answer_failure(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        candidate: &Candidate<P>,
        page: &StoredPage<P::Chunk>,
    ) -> bool {
        let entry = &page.entry;
        let validity = self.invalidator.validity_by_now(admitted, entry).await;
        let (now, need) = (self.context.platform.now(), candidate.need);
        let (head, page) = (&incoming.head, &admitted.page);
        let own_change = self.invalidator.own_change(head, page, Some(entry), need, now);
        reuse(entry, validity, &admitted.directives, &admitted.route, now).may_answer_on_error()
            && own_change == OwnChange::None
            && !self.context.is_of_another(incoming, admitted, &entry.selection)
    }

    /// The candidate for a request that was asked for past the index: where this isolate has
    /// nothing, with what the world has and may stand in now.
    pub(crate) async fn with_stale_on_error_from_l2(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        candidate: Candidate<P>,
    ) -> Candidate<P> {
        let now = self.context.platform.now();
        let budget = self.context.config().new_keys_per_second;
        // What is put together has ways of its own.
        let asks = candidate.page.is_none()
            && !admitted.route.compose
            && self.context.isolate().borrow_mut().claim_new_key(&admitted.page.host, now, budget);
        if !asks {
            return candidate;
        }
        let Some(l2_key) = self.l2_key_of(incoming, admitted).await else { return candidate };
        let Some(page) = self.stores.read_l2(&l2_key).await else { return candidate };
        let is_it = page.entry.key == admitted.key
            && !is_stored_shell(&page.entry)
            && self.may_answer_failure(incoming, admitted, &candidate, &page).await
            && self.stores.store_in_memory(&page);
        if is_it { Candidate { page: Some(page), on_error: true, ..candidate } } else { candidate }
    }

    /// Where L2 has the variant that a request selects, as its shard knows.
    async fn l2_key_of(&self, incoming: &Incoming<P>, admitted: &Admitted<'_>) -> Option<String> {
        match self.ask_ready(admitted, Selection::default()).await? {
            LeaseReply::Ready(ready) => Some(ready.l2_key),
            LeaseReply::Vary { names } => {
                let selected = self.context.select(incoming, admitted, &names);
                match self.ask_ready(admitted, selected).await? {
                    LeaseReply::Ready(ready) => Some(ready.l2_key),
                    LeaseReply::Vary { .. }
                    | LeaseReply::Wait { .. }
                    | LeaseReply::Grant(_)
                    | LeaseReply::Ticket(_) => None,
                }
            }
            LeaseReply::Wait { .. } | LeaseReply::Grant(_) | LeaseReply::Ticket(_) => None,
        }
    }

    /// Asks a page's shard for what is ready of a variant. A lease that one of the version before
    /// gives all the same is given back.
    async fn ask_ready(&self, admitted: &Admitted<'_>, selection: Selection) -> Option<LeaseReply> {
        let platform = &self.context.platform;
        let lease = self.background_lease((&admitted.page, &admitted.key), &selection).await;
        let request = LeaseRequest { ready_only: true, ..lease };
        let shard = admitted.key.digest().shard(self.context.config().shards);
        match platform.shard(shard, ShardCall::Lease(request)).await {
            Ok(ShardReply::Lease(LeaseReply::Grant(grant))) => {
                self.release_lease(admitted, &Lease::of(grant, selection)).await;
                None
            }
            Ok(ShardReply::Lease(reply)) => Some(reply),
            Ok(other) => {
                let error = CallError::Unknown(other.name().into());
                self.context.shard_failed(shard, "lease", &error);
                None
            }
            Err(error) => {
                self.context.shard_failed(shard, "lease", &error);
                None
            }
        }
    }
}
