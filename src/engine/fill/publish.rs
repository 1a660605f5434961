//! Publishes a fill's result: to L2 under a name of its own, and to the page's shard.

use std::rc::Rc;

use crate::cache::admission::Admitted;
use crate::cache::status::{may_depend_on_request, replaces_stored};
use crate::cache::storage::NoStore;
use crate::engine::fill::request::{FetchContext, FillContext};
use crate::engine::fill::terms::{FetchTerms, Lease};
use crate::engine::memory::StoredPage;
use crate::engine::parts::Filler;
use crate::engine::port::{CallError, Platform};
use crate::engine::retry;
use crate::engine::stores::content_of;
use crate::http::Fields;
use crate::index::lease::Version;
use crate::index::{Outcome, RecordRequest, Recorded, ReleaseRequest, ShardCall, ShardReply};

impl<P: Platform> Filler<P> {
    /// Puts a response into L2, and records its name there with the shard.
    pub(super) async fn publish(
        &self,
        admitted: &Admitted<'_>,
        request: Fields,
        page: &Rc<StoredPage<P::Chunk>>,
        lease: &Lease,
    ) {
        let Ok(l2_key) = self.stores.store_in_l2(page).await else {
            return self.release_lease(admitted, lease).await;
        };
        let record = RecordRequest {
            l2_key,
            content: content_of(&self.context.platform, page).await,
            ..RecordRequest::stored(&page.entry, &lease.variant, request)
        };
        self.record(admitted, record).await;
    }

    /// Records with the shard that a page's answers can't be stored (any more), or that it is gone;
    /// whether it had it. An answer about one moment or one request says neither: what is
    /// known of the page stays.
    pub(crate) async fn record_not_stored(
        &self,
        context: &FillContext<'_, P>,
        fetch: &FetchContext,
        status: u16,
        reason: NoStore,
    ) -> bool {
        let FillContext { fill_request, .. } = *context;
        let admitted = &fill_request.admitted;
        let Some(lease) = fetch.terms.lease() else { return false };
        // What is stored was compared with the answer to an impersonal request; where nothing is,
        // the status says.
        let compared = fill_request.candidate.page.is_some() || lease.stored;
        let personal = !compared && may_depend_on_request(status);
        if personal
            || !replaces_stored(status)
            || reason.is_of_the_request()
            || reason == NoStore::Late
            || (lease.stored && reason.is_of_the_way())
        {
            self.release_lease(admitted, lease).await;
            return false;
        }
        let outcome = match status {
            404 | 410 => Outcome::Gone,
            _ => Outcome::Uncacheable { reason: reason.as_str().to_owned() },
        };
        let version = Version { stamp: fetch.stamp, fence: lease.fence };
        let page = (&admitted.page, &admitted.key);
        let request = RecordRequest::not_stored(page, &lease.variant, version, status, outcome);
        self.record(admitted, request).await.is_some_and(|recorded| recorded.dropped)
    }

    async fn record(&self, admitted: &Admitted<'_>, request: RecordRequest) -> Option<Recorded> {
        let platform = &self.context.platform;
        let shard = admitted.key.digest().shard(self.context.config().shards);
        match retry::shard(&**platform, shard, ShardCall::Record(request)).await {
            Ok(ShardReply::Recorded(recorded)) => {
                self.context.refetched(recorded.refetch);
                return Some(recorded);
            }
            Ok(other) => {
                let error = CallError::Unknown(other.name().into());
                self.context.shard_failed(shard, "record", &error);
            }
            Err(error) => self.context.shard_failed(shard, "record", &error),
        }
        None
    }

    /// Gives the lease of a fetch back, if it has one, with nothing to record.
    pub(crate) async fn release(&self, admitted: &Admitted<'_>, terms: &FetchTerms) {
        if let Some(lease) = terms.lease() {
            self.release_lease(admitted, lease).await;
        }
    }

    /// Gives a lease back with nothing to record.
    pub(super) async fn release_lease(&self, admitted: &Admitted<'_>, lease: &Lease) {
        let platform = &self.context.platform;
        let release = ReleaseRequest {
            key: admitted.key.clone(),
            selection: lease.variant.clone(),
            fence: lease.fence,
        };
        let shard = admitted.key.digest().shard(self.context.config().shards);
        let release = ShardCall::Release(release);
        if let Err(error) = retry::shard(&**platform, shard, release).await {
            self.context.shard_failed(shard, "release", &error);
        }
    }
}
