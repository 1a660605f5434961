//! Warms that operators order: by URL, or by sitemap.

use crate::cache::admission::page_of_url;
use crate::cache::key::CacheKey;
use crate::control::problem::{Problem, ProblemKind};
use crate::control::reply::json;
use crate::control::revalidate::body_digest;
use crate::control::targets::url_target;
use crate::control::warm;
use crate::control::warm::WarmCommand;
use crate::engine::operate::answer;
use crate::engine::parts::Operator;
use crate::engine::port::Platform;
use crate::engine::retry;
use crate::engine::serve::response::Answer;
use crate::engine::warm::import::{order_of, warm_request_of};
use crate::index::ShardCall;

impl<P: Platform> Operator<P> {
    /// Queues what a call names, and answers with the job that it counts for.
    pub(crate) async fn order_warms(&self, body: &[u8]) -> Result<Answer<P>, Problem> {
        let command = warm::parse(body)?;
        let job = format!("warm-{}", body_digest(self.context.platform.unique().as_bytes()));
        match command {
            WarmCommand::Urls(urls) => self.order_urls(&urls, job).await,
            WarmCommand::Sitemap(url) => self.order_sitemap(&url, job).await,
        }
    }

    async fn order_urls(&self, urls: &[String], job: String) -> Result<Answer<P>, Problem> {
        let config = self.context.config();
        let mut orders = Vec::with_capacity(urls.len());
        for (at, url) in urls.iter().enumerate() {
            let bad = |why: &str| invalid(format!("urls[{at}]"), why);
            let page = page_of_url(url, config).ok_or_else(|| bad("not a URL"))?;
            let order = warm_request_of(&page, &job, config);
            orders.push((
                0,
                order.ok_or_else(|| bad("pages of its route, or of its depth, are not cached"))?,
            ));
        }
        if self.warmer.order_all(orders).await.len() < urls.len() {
            return Err(Problem::not_recorded("index-unreachable"));
        }
        Ok(accepted(&job, Some(urls.len())))
    }

    /// The sitemap's own shard reads it, from its alarm: how many pages it lists is known later.
    async fn order_sitemap(&self, url: &str, job: String) -> Result<Answer<P>, Problem> {
        let platform = &self.context.platform;
        let config = self.context.config();
        let bad = |why: &str| invalid("sitemap".to_owned(), why);
        // The same rules as for every URL of the control API.
        let as_given = |_: &str, _: &str, query: &str| Some(query.to_owned());
        url_target(url, config, &as_given).map_err(|error| bad(error.as_str()))?;
        let page = page_of_url(url, config).ok_or_else(|| bad("not a URL"))?;
        let key = CacheKey::new(&page, []);
        let shard = key.digest().shard(config.shards);
        let call = ShardCall::Import(order_of(page, key, &job));
        retry::shard(&**platform, shard, call).await.map_err(|error| {
            self.context.shard_failed(shard, "import", &error);
            Problem::not_recorded("index-unreachable")
        })?;
        Ok(accepted(&job, None))
    }
}

fn accepted<P: Platform>(job: &str, pages: Option<usize>) -> Answer<P> {
    answer(202, json(&serde_json::json!({ "id": job, "pages": pages, "warming": pages })))
}

fn invalid(field: String, why: &str) -> Problem {
    Problem::new(ProblemKind::InvalidValue, format!("{field}: {why}.")).at(field)
}
