//! The figures of the whole site, as the journal has them, and what audits have found.

use crate::control::audit::AuditAnswer;
use crate::control::problem::Problem;
use crate::control::reply::json;
use crate::control::site_metrics;
use crate::control::site_metrics::SiteFacts;
use crate::control::stats::{StatsAnswer, StatsQuery};
use crate::engine::operate::answer;
use crate::engine::parts::Operator;
use crate::engine::port::Platform;
use crate::engine::retry;
use crate::engine::serve::response::{Answer, Body};
use crate::http::Fields;
use crate::http::cache_status::CacheStatus;
use crate::journal::audit::AuditRequest;
use crate::journal::report::{StatsReply, StatsRequest};
use crate::journal::{JournalCall, JournalReply};

impl<P: Platform> Operator<P> {
    /// What was counted in a time.
    pub(super) async fn stats(&self, query: &StatsQuery) -> Result<Answer<P>, Problem> {
        let request = query.request(self.context.platform.now());
        let reply = self.ask_for_stats(request.clone()).await?;
        Ok(answer(200, json(&StatsAnswer::of(&request, reply))))
    }

    /// What was ever counted, for a scrape.
    pub(super) async fn site_metrics(&self) -> Result<Answer<P>, Problem> {
        let now = self.context.platform.now();
        let request = StatsRequest { from: now, to: now, all: true, ..StatsRequest::default() };
        let reply = self.ask_for_stats(request).await?;
        let status = self.journal_status().await;
        let failing = status.front_caches.iter().filter(|it| it.failure.is_some()).count();
        let facts = SiteFacts {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            isolates: reply.isolates,
            epoch: status.head.0,
            front_caches_failing: failing as u64,
            front_cache_waiting: status.front_caches.iter().map(|it| it.waiting).sum(),
            shards_moving: status.shards_moving,
        };
        let text = site_metrics::render(&reply.all.unwrap_or_default(), &facts);
        let fields: Fields =
            [("content-type", site_metrics::CONTENT_TYPE), ("cache-control", "no-store")]
                .into_iter()
                .collect();
        let cache_status = CacheStatus::default().detail("control");
        Ok(Answer::new(200, fields, Body::Whole(P::chunk(text.as_bytes())), cache_status))
    }

    pub(super) async fn ask_for_stats(&self, request: StatsRequest) -> Result<StatsReply, Problem> {
        match retry::journal(&*self.context.platform, JournalCall::Stats(request)).await {
            Ok(JournalReply::Stats(reply)) => Ok(reply),
            Ok(_) => Err(Problem::not_recorded("journal-failed")),
            Err(error) => {
                self.context.journal_failed("stats", &error);
                Err(Problem::not_recorded("journal-unreachable"))
            }
        }
    }
}

impl<P: Platform> Operator<P> {
    /// What was found.
    pub(super) async fn audit(&self, request: AuditRequest) -> Result<Answer<P>, Problem> {
        let now = self.context.platform.now();
        let all = StatsRequest { from: now, to: now, all: true, ..StatsRequest::default() };
        let counts = self.ask_for_stats(all).await?.all.unwrap_or_default();
        let call = JournalCall::Audit(request);
        match retry::journal(&*self.context.platform, call).await {
            Ok(JournalReply::Audit(reply)) => {
                Ok(answer(200, json(&AuditAnswer::of(reply, &counts))))
            }
            Ok(_) => Err(Problem::not_recorded("journal-failed")),
            Err(error) => {
                self.context.journal_failed("audit", &error);
                Err(Problem::not_recorded("journal-unreachable"))
            }
        }
    }
}
