//! Pages that the index learns of late: the budget of new keys left them out, or they were asked
//! for once.

use std::rc::Rc;

use crate::cache::admission::Admitted;
use crate::cache::entry::Entry;
use crate::cache::forward::{cacheable_request_fields, warm_fields};
use crate::engine::context::Incoming;
use crate::engine::fill::terms::Lease;
use crate::engine::memory::StoredPage;
use crate::engine::parts::Filler;
use crate::engine::port::Platform;
use crate::http::{Fields, RequestHead};
use crate::index::{LeaseReply, ShardCall, ShardReply};

/// Whether the origin names the page: by tags, on a path without a query, whoever asks. Anyone can
/// invent the others.
pub(super) fn is_named(entry: &Entry) -> bool {
    let plain = entry.page.query.is_none() && entry.key.is_plain(&entry.page);
    entry.status == 200 && plain && !entry.tags.is_empty()
}

/// Whether the shard need not be informed of a page that is asked for once more.
pub(crate) fn is_known_to_shard(entry: &Entry) -> bool {
    entry.fence > 0 && is_named(entry)
}

impl<P: Platform> Filler<P> {
    /// Publishes what the budget of new keys left out, if nobody else has it or is at it.
    pub(super) async fn publish_late(
        &self,
        admitted: &Admitted<'_>,
        request: &RequestHead,
        page: &Rc<StoredPage<P::Chunk>>,
        sent: &Fields,
    ) {
        let platform = &self.context.platform;
        let entry = &page.entry;
        let shard = admitted.key.digest().shard(self.context.config().shards);
        let lease = self.background_lease((&entry.page, &entry.key), &entry.selection).await;
        let grant = match platform.shard(shard, ShardCall::Lease(lease)).await {
            Ok(ShardReply::Lease(LeaseReply::Grant(grant))) => grant,
            Ok(_) => return,
            Err(error) => return self.context.shard_failed(shard, "lease", &error),
        };
        // A further variant of a known page can be invented: the budget is for those too.
        let invented = !grant.first && !entry.selection.0.is_empty() && page.entry.fence == 0;
        let invented = invented && self.context.isolate().borrow().memory.hits(&key_of(entry)) == 0;
        let mut entry = entry.clone();
        entry.fence = grant.fence;
        let lease = Lease::of(grant, entry.selection.clone());
        if invented {
            return self.release_lease(admitted, &lease).await;
        }
        let page = Rc::new(StoredPage::new(entry, page.body.clone()));
        self.stores.store_in_memory(&page);
        self.publish(admitted, warm_fields(request, admitted, sent), &page, &lease).await;
    }

    /// Reports to the shard a page that is asked for once more where it is stored: what it has not
    /// heard of is published, what it thinks was asked for once is worth a refetch.
    pub(crate) fn note_requested_again(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        page: &Rc<StoredPage<P::Chunk>>,
    ) {
        let platform = &self.context.platform;
        let entry = &page.entry;
        let key = entry.key.variant(&entry.selection);
        if self.context.isolate().borrow().memory.hits(&key) != 1 || is_known_to_shard(entry) {
            return;
        }
        let (now, budget) = (platform.now(), self.context.config().new_keys_per_second);
        if !self.context.isolate().borrow_mut().claim_new_key(&entry.page.host, now, budget) {
            return;
        }
        let (filler, on, page) = (self.clone(), Rc::clone(platform), Rc::clone(page));
        let (key, selection) = (entry.key.clone(), entry.selection.clone());
        let request = Rc::clone(&incoming.head);
        let sent =
            cacheable_request_fields(&request, admitted, &self.context.facts(incoming, false));
        let unheard_of = (page.entry.fence == 0).then(|| admitted.clone().into_owned());
        platform.spawn(async move {
            if let Some(admitted) = unheard_of {
                filler.publish_late(&admitted, &request, &page, &sent).await;
            }
            let shard = key.digest().shard(filler.context.config().shards);
            let call = ShardCall::RequestedAgain { key, selection };
            if let Err(error) = on.shard(shard, call).await {
                filler.context.shard_failed(shard, "asked", &error);
            }
        });
    }
}

fn key_of(entry: &Entry) -> crate::cache::key::CacheKey {
    entry.key.variant(&entry.selection)
}
