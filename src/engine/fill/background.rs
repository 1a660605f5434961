//! Refreshes in the background: as many at once as their share of the origin's limit, and for no
//! longer than the platform lets them run. What finds no room, or takes too long, goes to the warm
//! queue of the page's shard.

use crate::base::time::{Millis, Timestamp};
use crate::cache::forward::{cacheable_request_fields, warm_fields};
use crate::control::metrics::Counter;
use crate::engine::fill::outcome::{FillOutcome, FillWork};
use crate::engine::fill::request::FillRequest;
use crate::engine::fill::shared::{REFRESH_LIMIT, SharedFill};
use crate::engine::fill::terms::FetchTerms;
use crate::engine::origin_limit::Sender;
use crate::engine::parts::Filler;
use crate::engine::permit::Permit;
use crate::engine::port::{OriginError, Platform};
use crate::index::{ReleaseRequest, ShardCall, WarmRequest};

/// Calls at once that put a page into its shard's warm queue.
const QUEUING_AT_ONCE: usize = 4;
/// The job that these warms count for.
const JOB: &str = "refresh";
/// After such a wait a lease is renewed: what is left of it may be less than a fetch takes.
const RENEW_AFTER: Millis = Millis(4_000);

impl<P: Platform> Filler<P> {
    /// Whether a refresh may begin now, be queued, or be put off.
    pub(crate) fn room_for_refresh(&self, fill_request: &FillRequest<P>) -> Option<FillWork> {
        let isolate = self.context.isolate().borrow();
        let at_work = |work| isolate.fills().filter(|fill| fill.work() == work).count();
        if at_work(FillWork::Refresh) < isolate.origin.background_share() {
            return Some(FillWork::Refresh);
        }
        // A page that the index does not have is not put there: that would go round the budget of
        // new keys.
        let known = fill_request.candidate.page.as_ref().is_some_and(|page| page.entry.fence > 0);
        (known && at_work(FillWork::Queue) < QUEUING_AT_ONCE).then_some(FillWork::Queue)
    }

    /// How long the origin may take: a refresh ends, its result stored, before the platform ends
    /// it.
    pub(super) fn time_left(
        &self,
        fill_request: &FillRequest<P>,
        fill: &SharedFill<P>,
        now: Timestamp,
    ) -> Millis {
        let timeout = self.context.config().origin_timeout;
        if fill_request.background {
            timeout.min(Millis(REFRESH_LIMIT.0.saturating_sub(now.since(fill.began()).0)))
        } else {
            timeout
        }
    }

    /// Permission to fetch for a fill; none if it is a refresh for which there is no room.
    pub(crate) async fn permit_for(
        &self,
        fill_request: &FillRequest<P>,
        fill: &SharedFill<P>,
        terms: &FetchTerms,
    ) -> Option<Result<Permit<P>, OriginError>> {
        let admitted = &fill_request.admitted;
        let platform = &self.context.platform;
        if fill_request.background {
            return self.context.background_permit().map(Ok);
        }
        let request_time = platform.now();
        let permit = self
            .context
            .permit(Sender::Visitor, Some(&fill_request.incoming.head), Some(fill))
            .await;
        if platform.now().since(request_time) > RENEW_AFTER
            && let Some(lease) = terms.lease()
        {
            let request = ReleaseRequest {
                key: admitted.key.clone(),
                selection: lease.variant.clone(),
                fence: lease.fence,
            };
            let shard = admitted.key.digest().shard(self.context.config().shards);
            if let Err(error) = platform.shard(shard, ShardCall::Renew(request)).await {
                self.context.shard_failed(shard, "renew", &error);
            }
        }
        Some(permit)
    }

    /// Leaves a refresh to the warm queue of the page's shard, and ends its fill for those who ask
    /// meanwhile.
    pub(crate) async fn queue_refresh(&self, fill_request: &FillRequest<P>, fill: &SharedFill<P>) {
        fill.resolve(FillOutcome::InProgressElsewhere, self.context.platform.now());
        self.queue_warm(fill_request).await;
    }

    /// Puts a page into its shard's warm queue.
    pub(crate) async fn queue_warm(&self, fill_request: &FillRequest<P>) {
        let admitted = &fill_request.admitted;
        let Some(page) = fill_request.candidate.page.as_ref().filter(|page| page.entry.fence > 0)
        else {
            return self.context.count(Counter::RefreshPutOff);
        };
        self.context.count(Counter::RefreshQueued);
        let facts = self.context.facts(&fill_request.incoming, false);
        let sent = cacheable_request_fields(&fill_request.incoming.head, admitted, &facts);
        let entry = &page.entry;
        let request = WarmRequest {
            job: JOB.to_owned(),
            page: entry.page.clone(),
            key: entry.key.clone(),
            selection: entry.selection.clone(),
            request: warm_fields(&fill_request.incoming.head, admitted, &sent),
            need: fill_request.candidate.need,
        };
        let shard = entry.key.digest().shard(self.context.config().shards);
        if let Err(error) = self.context.platform.shard(shard, ShardCall::Warm(request)).await {
            self.context.shard_failed(shard, "warm", &error);
        }
    }
}
