//! What operators see of the edge: `healthz` and `metrics`.

use crate::base::time::{Millis, Timestamp};
use crate::control::healthz::{Health, HealthReason};
use crate::control::metrics;
use crate::control::metrics::Gauge;
use crate::control::problem::Problem;
use crate::engine::isolate::Isolate;
use crate::engine::operate::{ControlContext, answer};
use crate::engine::parts::Operator;
use crate::engine::platform_limits::next_look;
use crate::engine::port::Platform;
use crate::engine::retry;
use crate::engine::serve::response::{Answer, Body};
use crate::http::cache_status::CacheStatus;
use crate::http::{Fields, RequestHead};
use crate::journal::{FrontCacheState, JournalCall, JournalReply, JournalStatus};

/// How long the journal's answer to another's question for its status is waited for.
const STATUS_WAIT: Millis = Millis(1_000);
/// A question that has had no answer for so long was ended.
const STATUS_LAPSE: Millis = Millis(15_000);

impl<P: Platform> Operator<P> {
    /// Strangers learn whether the edge is ready, and nothing else.
    pub(super) async fn healthz(
        &self,
        head: &RequestHead,
        control: &ControlContext<'_>,
    ) -> Result<Answer<P>, Problem> {
        let known = control.secrets.has_token(&head.fields)?;
        let health = self.health(control).await;
        let body = if known { health.body() } else { health.body_for_strangers() };
        Ok(answer(health.status(), body))
    }

    /// How the journal stands, as of `sync_interval` ago at most: anyone may ask for health, so
    /// those who ask at once share a question. Nothing while it is out of reach, which is logged
    /// otherwise.
    pub(super) async fn journal_status(&self) -> JournalStatus {
        let platform = &self.context.platform;
        let began = platform.now();
        let is_asked = |isolate: &Isolate<P>, now: Timestamp| {
            isolate.status_asked.is_some_and(|at| now.since(at) < STATUS_LAPSE)
        };
        while is_asked(&self.context.isolate().borrow(), platform.now()) {
            let waited = platform.now().since(began);
            if waited >= STATUS_WAIT {
                let latest = &self.context.isolate().borrow().journal_status;
                return latest.as_ref().map(|(_, status)| status.clone()).unwrap_or_default();
            }
            platform.sleep(next_look(waited)).await;
        }
        let now = platform.now();
        if let Some((at, status)) = &self.context.isolate().borrow().journal_status
            && now.since(*at) < self.context.config().sync_interval
        {
            return status.clone();
        }
        self.context.isolate().borrow_mut().status_asked = Some(now);
        let status = match retry::journal(&**platform, JournalCall::Status).await {
            Ok(JournalReply::Status(status)) => status,
            Ok(_) => JournalStatus::default(),
            Err(error) => {
                self.context.journal_failed("status", &error);
                JournalStatus::default()
            }
        };
        let mut isolate = self.context.isolate().borrow_mut();
        isolate.status_asked = None;
        isolate.journal_status = Some((platform.now(), status.clone()));
        status
    }

    pub(super) async fn metrics(&self) -> Answer<P> {
        let platform = &self.context.platform;
        let JournalStatus { front_caches, shards_moving, .. } = self.journal_status().await;
        let failing =
            front_caches.iter().filter(|front_cache| front_cache.failure.is_some()).count();
        let waiting = front_caches.iter().map(|front_cache| front_cache.waiting).sum();
        let mut isolate = self.context.isolate().borrow_mut();
        let now = platform.now();
        let fills = isolate.in_flight.len() as u64;
        let fill_bytes = isolate.fill_bytes();
        let (entries, bytes) = (isolate.memory.len() as u64, isolate.memory.bytes());
        let (targets, epoch) = (isolate.view.len() as u64, isolate.view.stamp());
        let age = isolate.view.as_of().map(|as_of| now.since(as_of).0);
        let gauges = [
            (Gauge::ViewTargets, Some(targets)),
            (Gauge::ViewBytes, Some(isolate.view.bytes())),
            (Gauge::HitForPassBytes, Some(isolate.uncacheable.bytes())),
            (Gauge::ViewEpoch, epoch.map(|epoch| epoch.0)),
            (Gauge::ViewAge, age),
            (Gauge::MemoryEntries, Some(entries)),
            (Gauge::MemoryBytes, Some(bytes)),
            (Gauge::Fills, Some(fills)),
            (Gauge::FillBytes, Some(fill_bytes)),
            (Gauge::OriginLimit, Some(u64::from(isolate.origin.limit()))),
            (Gauge::OriginRequests, Some(u64::from(isolate.origin.under_way()))),
            (Gauge::OriginWaiting, Some(u64::from(isolate.origin.waiting()))),
            (Gauge::FrontCachesFailing, Some(failing as u64)),
            (Gauge::FrontCacheWaiting, Some(waiting)),
            (Gauge::ShardsMoving, Some(shards_moving)),
        ];
        for (gauge, value) in gauges {
            if let Some(value) = value {
                isolate.metrics.set(gauge, value);
            }
        }
        let colo = platform.colo_name();
        let facts = [("version", env!("CARGO_PKG_VERSION")), ("colo", colo.as_str())];
        let text = isolate.metrics.render(&facts);
        let fields: Fields =
            [("content-type", metrics::CONTENT_TYPE), ("cache-control", "no-store")]
                .into_iter()
                .collect();
        let cache_status = CacheStatus::default().detail("control");
        Answer::new(200, fields, Body::Whole(P::chunk(text.as_bytes())), cache_status)
    }

    async fn health(&self, control: &ControlContext<'_>) -> Health {
        let mut reasons = control.problems.to_vec();
        self.invalidator.ensure_recent(self.context.config().max_lag).await;
        let JournalStatus { front_caches, shards_moving, .. } = self.journal_status().await;
        if shards_moving > 0 {
            reasons.push(HealthReason::Resharding(shards_moving));
        }
        let failed = front_caches.into_iter().filter_map(|front_cache| {
            let FrontCacheState { name, waiting, failure, .. } = front_cache;
            Some(format!("{name}: {}; {waiting} invalidations wait", failure?))
        });
        let failed: Vec<String> = failed.collect();
        if !failed.is_empty() {
            reasons.push(HealthReason::FrontCacheFailed(failed));
        }
        let now = self.context.platform.now();
        let config = self.context.config();
        let view = &self.context.isolate().borrow().view;
        let view_age = view.as_of().map(|as_of| now.since(as_of));
        match view_age {
            None => reasons.push(HealthReason::Cold),
            Some(age) if age > config.journal_lost_limit => {
                reasons.push(HealthReason::JournalLostTooLong(age))
            }
            Some(age) if age > config.max_lag => reasons.push(HealthReason::JournalLost(age)),
            Some(_) => {}
        }
        if !control.secrets.can_invalidate() {
            reasons.push(HealthReason::NothingCanInvalidate);
        }
        Health { reasons, epoch: view.stamp(), view_age, config: Some(config.summary()) }
    }
}
