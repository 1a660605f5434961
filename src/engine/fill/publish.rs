//! Tells the world of a fill's result: L2 under a name of its own, and the page's shard.

use std::rc::Rc;

use crate::base::time::Timestamp;
use crate::cache::admission::Admitted;
use crate::cache::forward::warm_fields;
use crate::cache::status::{may_depend_on_request, replaces_stored};
use crate::cache::storage::NoStore;
use crate::cache::tag::TagSet;
use crate::engine::fill::lease::{Lease, StoreScope};
use crate::engine::fill::request::{FetchContext, FillContext};
use crate::engine::fill::stored::{content_of, fresh_until, keep_until, l2_key};
use crate::engine::memory::StoredPage;
use crate::engine::observe::{Operation, Tier};
use crate::engine::once_more;
use crate::engine::parts::Filler;
use crate::engine::port::{CallError, Platform, Store as _, StoreError};
use crate::http::{Fields, RequestHead};
use crate::index::{Outcome, RecordRequest, Recorded, ReleaseRequest, ShardCall, ShardReply};

impl<P: Platform> Filler<P> {
    /// Puts a response into L2 under a name that is never used again, and tells the shard that
    /// name.
    pub(super) async fn publish(
        &self,
        admitted: &Admitted<'_>,
        request: &RequestHead,
        page: &Rc<StoredPage<P::Chunk>>,
        fetch: &FetchContext,
    ) {
        let platform = &self.context.platform;
        let entry = &page.entry;
        let until = keep_until(entry);
        let l2_key = l2_key(entry);
        let keep = until.since(platform.now());
        let record = crate::cache::envelope::Record::Entry(Box::new(entry.clone()));
        let l2_key = match platform.global().put(&l2_key, &record, &page.body, keep).await {
            Ok(()) => Some(l2_key),
            Err(error) => {
                self.context.store_failed(Tier::Global, Operation::Put, &error);
                if !matches!(error, StoreError::TooLarge) {
                    return self.release_lease(admitted, &fetch.lease).await;
                }
                None
            }
        };
        let record = RecordRequest {
            page: entry.page.clone(),
            key: entry.key.clone(),
            selection: entry.selection.clone(),
            leased: fetch.lease.leased.clone(),
            request: warm_fields(request, admitted, &fetch.sent),
            tags: entry.tags.clone(),
            stamp: entry.stamp,
            fence: entry.fence,
            l2_key,
            content: content_of(platform, page).await,
            status: entry.status,
            fresh_until: fresh_until(entry),
            keep_until: until,
            outcome: Outcome::Stored,
        };
        self.record(admitted, record).await;
    }

    /// Tells the shard that a page's answers can't be stored (any more), or that it is gone;
    /// whether it had it. An answer that tells of one moment or one request says neither: what is
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
        if fetch.lease.scope != StoreScope::World {
            return false;
        }
        // What is stored was compared with the answer to an impersonal request; where nothing is,
        // the status tells.
        let compared = fill_request.candidate.page.is_some() || fetch.lease.stored;
        let personal = !compared && may_depend_on_request(status);
        if personal
            || !replaces_stored(status)
            || reason.is_of_the_request()
            || reason == NoStore::Late
        {
            self.release_lease(admitted, &fetch.lease).await;
            return false;
        }
        let outcome = match status {
            404 | 410 => Outcome::Gone,
            _ => Outcome::Uncacheable { reason: reason.as_str().to_owned() },
        };
        let request = RecordRequest {
            page: admitted.page.clone(),
            key: admitted.key.clone(),
            selection: fetch.lease.leased.clone(),
            leased: fetch.lease.leased.clone(),
            request: Fields::new(),
            tags: TagSet::default(),
            stamp: fetch.stamp,
            fence: fetch.lease.fence,
            l2_key: None,
            content: None,
            status,
            fresh_until: Timestamp::ZERO,
            keep_until: Timestamp::ZERO,
            outcome,
        };
        self.record(admitted, request).await.is_some_and(|recorded| recorded.dropped)
    }

    async fn record(&self, admitted: &Admitted<'_>, request: RecordRequest) -> Option<Recorded> {
        let platform = &self.context.platform;
        let shard = admitted.key.digest().shard(self.context.config().shards);
        match once_more::shard(&**platform, shard, ShardCall::Record(request)).await {
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

    /// Gives a lease back with nothing to record.
    pub(crate) async fn release_lease(&self, admitted: &Admitted<'_>, lease: &Lease) {
        let platform = &self.context.platform;
        if lease.scope != StoreScope::World {
            return;
        }
        let release = ReleaseRequest {
            key: admitted.key.clone(),
            selection: lease.leased.clone(),
            fence: lease.fence,
        };
        let shard = admitted.key.digest().shard(self.context.config().shards);
        let release = ShardCall::Release(release);
        if let Err(error) = once_more::shard(&**platform, shard, release).await {
            self.context.shard_failed(shard, "release", &error);
        }
    }
}
