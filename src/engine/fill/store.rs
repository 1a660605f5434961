//! What becomes of a fetched response: into L0 and L1, into L2 under a name of its own, and into the index.

use std::rc::Rc;

use crate::base::time::{Epoch, Timestamp};
use crate::cache::Validity;
use crate::cache::admission::Admitted;
use crate::cache::entry::Entry;
use crate::cache::errors::{decides, may_be_of_the_request};
use crate::cache::forward::warm_fields;
use crate::cache::key::CacheKey;
use crate::cache::storage::{NoStore, Storable, StorageInput};
use crate::cache::tag::TagSet;
use crate::cache::variant::{never_forwarded, selection};
use crate::control::metrics::Counter;
use crate::engine::once_more;
use crate::engine::port::{
    CallError, OriginError, OriginResponse, Platform, Store as _, StoreError,
};
use crate::http::cache_status::CacheStatus;
use crate::http::{Fields, RequestHead, ResponseHead};
use crate::index::{Outcome, RecordRequest, Recorded, ReleaseRequest, ShardCall, ShardReply};
use crate::journal::view::Verdict;

use super::FillContext;
use super::late::{KEY_BUDGET, is_named};
use super::permission::{Lease, StoreScope};
use super::shared::FillOutcome;
use super::stored::{fresh_until, is_beyond_l2, l2_key, stated_length};
use crate::engine::memory::StoredPage;
use crate::engine::observe::{Operation, Tier};
use crate::engine::{Engine, keep_until};

/// The terms under which a response was fetched.
pub(crate) struct FetchContext {
    /// The lease.
    pub(crate) lease: Lease,
    /// The stamp it carries.
    pub(crate) stamp: Epoch,
    /// The fields that were sent.
    pub(crate) sent: Fields,
    /// When the request was sent.
    pub(crate) began: Timestamp,
    /// When the response's head arrived.
    pub(crate) arrived: Timestamp,
}

impl FetchContext {
    /// What the decision on a response rests on.
    pub(crate) fn input<'a>(
        &'a self,
        request: &'a RequestHead,
        admitted: &'a Admitted<'a>,
        response: &'a ResponseHead,
    ) -> StorageInput<'a> {
        StorageInput {
            request,
            admitted,
            sent: &self.sent,
            response,
            request_time: self.began,
            response_time: self.arrived,
        }
    }
}

/// What Cache-Status says of how a response is kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct StorageNote {
    /// Whether it is stored at all.
    pub stored: bool,
    /// Why it is not stored everywhere.
    pub detail: Option<&'static str>,
}

impl StorageNote {
    /// Says it.
    #[must_use]
    pub fn apply_to(self, cache_status: CacheStatus) -> CacheStatus {
        let cache_status = if self.stored { cache_status.stored() } else { cache_status };
        match self.detail {
            Some(detail) => cache_status.detail(detail),
            None => cache_status,
        }
    }
}

impl<P: Platform> Engine<P> {
    /// Takes a storable response in: its body streams to all who wait, and is stored once it is whole.
    pub(crate) async fn store_streamed(
        &self,
        context: &FillContext<'_, P>,
        storable: Storable,
        response: OriginResponse<P::Stream>,
        fetch: &FetchContext,
    ) {
        let FillContext { platform, fill_request, admitted, fill } = *context;
        let unsent = never_forwarded(&storable.selection_names, admitted);
        self.vary_not_forwarded(platform, &admitted.page, &unsent);
        let head = &fill_request.incoming.head;
        let mut entry = self.entry(head, admitted, storable, response.head.status, fetch);
        let stated = stated_length(&response.head.fields);
        let most_bytes = platform.global().most_bytes();
        let beyond_l2 = stated.is_some_and(|length| is_beyond_l2(&entry, length, most_bytes));
        let (stored, detail) = match fetch.lease.scope {
            StoreScope::World if beyond_l2 => (true, Some("l2-too-large")),
            StoreScope::World => (true, None),
            StoreScope::Colo(why) => (true, Some(why)),
        };
        let note = StorageNote { stored, detail };
        let mut arriving = entry.clone();
        // RFC 9111 §5.1: until it is stored, its age is the one it came with.
        if let Some(age) = response.head.fields.get("age") {
            arriving.fields.set("age", age);
        }
        fill.resolve(FillOutcome::Streaming(Rc::new(arriving), note), platform.now());
        let end = self.read_body(platform, response.body, stated, fill).await;
        fill.finish(end, platform.now());
        let body = match (end, fill.body()) {
            (Ok(()), Some(body)) => body,
            (Ok(()), None) => {
                self.isolate().borrow_mut().end_fill(&fill_request.key, fill);
                return self.release_lease(platform, admitted, &fetch.lease).await;
            }
            (Err(error), _) => {
                // Who asks from now on is not to share what is broken.
                self.isolate().borrow_mut().end_fill(&fill_request.key, fill);
                self.origin_failed(platform, &admitted.page.url(), error);
                self.release_lease(platform, admitted, &fetch.lease).await;
                if fill_request.background && error == OriginError::Timeout {
                    self.queue_warm(platform, fill_request, admitted).await;
                }
                return;
            }
        };
        entry.body_length = fill.total();
        let page = Rc::new(StoredPage { entry, body });
        fill.became(&page);
        self.store(context, &page, fetch).await;
    }

    /// Gives a response that is not stored to all who wait for it now, and to nobody who comes later.
    pub(crate) async fn share_unstored(
        &self,
        context: &FillContext<'_, P>,
        storable: Storable,
        response: OriginResponse<P::Stream>,
        fetch: &FetchContext,
        reason: NoStore,
    ) {
        let FillContext { platform, fill_request, admitted, fill } = *context;
        let head = &fill_request.incoming.head;
        let mut entry = self.entry(head, admitted, storable, response.head.status, fetch);
        if let Some(age) = response.head.fields.get("age") {
            entry.fields.set("age", age);
        }
        let note = StorageNote { stored: false, detail: Some(reason.as_str()) };
        let stated = stated_length(&response.head.fields);
        // From now on it is listed for its bytes alone, and nobody joins it.
        let listed = CacheKey::from_stored(platform.unique());
        {
            let mut isolate = self.isolate().borrow_mut();
            isolate.end_fill(&fill_request.key, fill);
            isolate.fills.insert(listed.clone(), fill.clone());
        }
        fill.resolve(FillOutcome::Streaming(Rc::new(entry), note), platform.now());
        let end = self.read_body(platform, response.body, stated, fill).await;
        fill.finish(end, platform.now());
        self.isolate().borrow_mut().end_fill(&listed, fill);
        if let Err(error) = end {
            self.origin_failed(platform, &admitted.page.url(), error);
        }
    }

    pub(crate) fn entry(
        &self,
        request: &RequestHead,
        admitted: &Admitted<'_>,
        storable: Storable,
        status: u16,
        fetch: &FetchContext,
    ) -> Entry {
        // A response without tags inherits the known ones: a cache in front of the origin may have dropped them.
        let tags: TagSet =
            if storable.tags.is_empty() { fetch.lease.tags.clone() } else { storable.tags };
        let mut names = storable.selection_names;
        names.extend(fetch.lease.vary.iter().cloned());
        names.sort();
        names.dedup();
        let selected = selection(&names, request, admitted, &fetch.sent);
        Entry {
            key: admitted.key.clone(),
            page: admitted.page.clone(),
            selection: selected,
            status,
            fields: storable.fields,
            targets: admitted.page.targets(&tags),
            tags,
            stamp: fetch.stamp,
            fence: fetch.lease.fence,
            request_time: fetch.began,
            response_time: fetch.arrived,
            initial_age: storable.initial_age,
            freshness: storable.freshness,
            body_length: 0,
        }
    }

    /// Keeps a whole response: L0 and L1 first, then L2 and the index, so that the next visitor need not wait.
    pub(crate) async fn store(
        &self,
        context: &FillContext<'_, P>,
        page: &Rc<StoredPage<P::Chunk>>,
        fetch: &FetchContext,
    ) {
        let FillContext { platform, fill_request, admitted, fill } = *context;
        self.count(Counter::FillStored);
        let entry = &page.entry;
        let lease = &fetch.lease;
        let names: Vec<String> = entry.selection.0.iter().map(|(name, _)| name.clone()).collect();
        // Hard-invalidated during the fetch: answer the waiting requests, don't store.
        if self.is_hard_invalidated(platform, entry) {
            self.isolate().borrow_mut().end_fill(&fill_request.key, fill);
            return self.release_lease(platform, admitted, lease).await;
        }
        self.store_in_memory(page);
        self.isolate().borrow_mut().end_fill(&fill_request.key, fill);
        if !names.is_empty() {
            self.store_vary(platform, &admitted.key, &names).await;
        }
        self.store_in_colo(platform, page).await;
        let untagged_newcomer = lease.first && entry.tags.is_empty();
        match lease.scope {
            StoreScope::World if untagged_newcomer => {
                self.release_lease(platform, admitted, lease).await
            }
            StoreScope::World => {
                self.publish(platform, admitted, &fill_request.incoming.head, page, fetch).await
            }
            StoreScope::Colo(KEY_BUDGET) if is_named(entry) => {
                let request = &fill_request.incoming.head;
                self.publish_late(platform, admitted, request, page, fetch.sent.clone()).await;
            }
            StoreScope::Colo(KEY_BUDGET) => self.isolate().borrow_mut().left_out += 1,
            StoreScope::Colo(_) => {}
        }
    }

    pub(crate) fn is_hard_invalidated(&self, platform: &Rc<P>, entry: &Entry) -> bool {
        match self.validity_now(platform, entry) {
            Verdict::Known(Validity::Hard { .. } | Validity::Dropped { .. }) | Verdict::Unknown => {
                true
            }
            Verdict::Known(
                Validity::Current
                | Validity::JournalLost
                | Validity::JournalLostTooLong
                | Validity::Soft { .. }
                | Validity::SoftlyDropped { .. },
            ) => false,
        }
    }

    /// Puts a response into L2 under a name that is never used again, and tells the shard that name.
    pub(super) async fn publish(
        &self,
        platform: &Rc<P>,
        admitted: &Admitted<'_>,
        request: &RequestHead,
        page: &Rc<StoredPage<P::Chunk>>,
        fetch: &FetchContext,
    ) {
        let entry = &page.entry;
        let until = keep_until(entry);
        let l2_key = l2_key(entry);
        let keep = until.since(platform.now());
        let record = crate::cache::envelope::Record::Entry(Box::new(entry.clone()));
        let l2_key = match platform.global().put(&l2_key, &record, &page.body, keep).await {
            Ok(()) => Some(l2_key),
            Err(error) => {
                self.store_failed(platform, Tier::Global, Operation::Put, &error);
                if !matches!(error, StoreError::TooLarge) {
                    return self.release_lease(platform, admitted, &fetch.lease).await;
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
            status: entry.status,
            fresh_until: fresh_until(entry),
            keep_until: until,
            outcome: Outcome::Stored,
        };
        self.record(platform, admitted, record).await;
    }

    /// Tells the shard that a page's answers can't be stored (any more), or that it is gone; whether it had it. An answer
    /// that tells of one moment or one request says neither: what is known of the page stays.
    pub(crate) async fn record_not_stored(
        &self,
        context: &FillContext<'_, P>,
        fetch: &FetchContext,
        status: u16,
        reason: NoStore,
    ) -> bool {
        let FillContext { platform, fill_request, admitted, .. } = *context;
        if fetch.lease.scope != StoreScope::World {
            return false;
        }
        // What is stored was compared with the answer to an impersonal request; where nothing is, the status tells.
        let personal = fill_request.candidate.page.is_none() && may_be_of_the_request(status);
        if personal || !decides(status) || reason.is_of_the_request() || reason == NoStore::Late {
            self.release_lease(platform, admitted, &fetch.lease).await;
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
            status,
            fresh_until: Timestamp::ZERO,
            keep_until: Timestamp::ZERO,
            outcome,
        };
        self.record(platform, admitted, request).await.is_some_and(|recorded| recorded.dropped)
    }

    async fn record(
        &self,
        platform: &Rc<P>,
        admitted: &Admitted<'_>,
        request: RecordRequest,
    ) -> Option<Recorded> {
        let shard = admitted.key.digest().shard(self.config().shards);
        match once_more::shard(&**platform, shard, ShardCall::Record(request)).await {
            Ok(ShardReply::Recorded(recorded)) => return Some(recorded),
            Ok(other) => {
                let error = CallError::Unknown(other.name().into());
                self.shard_failed(platform, "record", &error);
            }
            Err(error) => self.shard_failed(platform, "record", &error),
        }
        None
    }

    /// Gives a lease back with nothing to record.
    pub(crate) async fn release_lease(
        &self,
        platform: &Rc<P>,
        admitted: &Admitted<'_>,
        lease: &Lease,
    ) {
        if lease.scope != StoreScope::World {
            return;
        }
        let release = ReleaseRequest {
            key: admitted.key.clone(),
            selection: lease.leased.clone(),
            fence: lease.fence,
        };
        let shard = admitted.key.digest().shard(self.config().shards);
        let release = ShardCall::Release(release);
        if let Err(error) = once_more::shard(&**platform, shard, release).await {
            self.shard_failed(platform, "release", &error);
        }
    }
}
