//! Sitemaps at work: a file is asked of the origin and read as it arrives, and its pages are handed
//! to their shards.
//!
//! Nothing but the origin is ever asked, whatever host a sitemap names, and a sitemap speaks for
//! its own host alone (sitemaps.org, "Sitemap file location"): an address of another is refused,
//! reported with the job, and the others go on.

use futures_util::future::join_all;

use crate::base::sql::Sql;
use crate::base::time::{Epoch, Millis};
use crate::cache::admission::{Admission, admit, page_of_url};
use crate::cache::forward::{EdgeFacts, pass_request_fields};
use crate::cache::key::{CacheKey, Page, Selection};
use crate::cache::status::is_transient;
use crate::config::Config;
use crate::engine::context::{USER_AGENT, own_request};
use crate::engine::parts::Warmer;
use crate::engine::port::{Content, OriginError, OriginRequest, Platform};
use crate::engine::warm::ShardHost;
use crate::http::Fields;
use crate::index::sitemap::{SitemapEntry, SitemapError, SitemapKind, SitemapReader};
use crate::index::{
    BadEntries, ImportNews, ImportTask, Listed, ShardCall, ShardError, SitemapFile, WarmRequest,
};

/// How long a file may take as a whole: it is read within one slice of an alarm.
const READ_LIMIT: Millis = Millis(40_000);
/// Addresses noted at once.
const NOTED: usize = 1_000;

/// Why a file could not be read, and whether another try may succeed.
type SitemapFailure = (String, bool);

/// Bad entries of one file that are shown; all are counted.
const SHOWN: usize = 20;

/// What a file lists, on its way to the shard.
#[derive(Default)]
struct Listing {
    found: Vec<SitemapEntry>,
    /// Entries so far.
    entries: u64,
    bad: BadEntries,
}

impl Listing {
    /// Takes the addresses out, and keeps what is wrong with the other entries.
    fn addresses(&mut self) -> Vec<String> {
        let mut addresses = Vec::with_capacity(self.found.len());
        for entry in self.found.drain(..) {
            self.entries += 1;
            match entry {
                Ok(address) => addresses.push(address),
                Err(error) => {
                    self.bad.count += 1;
                    if self.bad.shown.len() < SHOWN {
                        self.bad.shown.push((self.entries, error.to_string()));
                    }
                }
            }
        }
        addresses
    }
}

fn sitemap_failure(error: &SitemapError) -> SitemapFailure {
    // A body that broke off looks like these two.
    let again = matches!(error, SitemapError::Truncated | SitemapError::Empty);
    (error.to_string(), again)
}

fn no_answer(error: OriginError) -> SitemapFailure {
    (error.as_str().to_owned(), true)
}

impl<P: Platform> Warmer<P> {
    /// Does one step of an import.
    pub(crate) async fn import<S: Sql>(
        &self,
        shard_host: &ShardHost<S>,
        task: ImportTask,
    ) -> Result<(), ShardError> {
        let (file, news) = match task {
            ImportTask::Read(file) => {
                let news = match self.read_sitemap(shard_host, &file).await? {
                    Ok((kind, bad)) => ImportNews::Read { kind, bad },
                    Err((reason, again)) => {
                        self.context.import_failed(&file, &reason);
                        ImportNews::Failed { reason, again }
                    }
                };
                (file, news)
            }
            ImportTask::HandOut { file, pages } => {
                let news = self.hand_out(&file, pages).await;
                (file, news)
            }
        };
        shard_host.act(|shard| shard.note_import(&file, &news, self.context.platform.now()))
    }

    /// Reads a file; the outer error is the shard's.
    async fn read_sitemap<S: Sql>(
        &self,
        shard_host: &ShardHost<S>,
        file: &SitemapFile,
    ) -> Result<Result<(SitemapKind, BadEntries), SitemapFailure>, ShardError> {
        let platform = &self.context.platform;
        let began = platform.now();
        let mut body = match self.ask_for_sitemap(file).await {
            Ok(body) => body,
            Err(sitemap_failure) => return Ok(Err(sitemap_failure)),
        };
        let (mut reader, mut listing) = (SitemapReader::default(), Listing::default());
        loop {
            let left = READ_LIMIT.0.saturating_sub(platform.now().since(began).0);
            let timeout = Millis(left).min(self.context.config().origin_timeout);
            let piece = match platform.read(&mut body, timeout).await {
                Ok(Some(piece)) => P::bytes(&piece),
                Ok(None) => break,
                Err(error) => return Ok(Err(no_answer(error))),
            };
            if let Err(error) = reader.feed(&piece, &mut listing.found) {
                platform.cancel(body);
                return Ok(Err(sitemap_failure(&error)));
            }
            if reader.is_over() {
                platform.cancel(body);
                break;
            }
            if file.nested && reader.kind() == Some(SitemapKind::Sitemaps) {
                platform.cancel(body);
                let reason = "sitemap-nested-index: an index lists sitemaps, no further indexes";
                return Ok(Err((reason.to_owned(), false)));
            }
            if listing.found.len() >= NOTED {
                let news = ImportNews::Lists(listing.addresses());
                shard_host.act(|shard| shard.note_import(file, &news, platform.now()))?;
            }
        }
        let ended = reader.end(&mut listing.found);
        let news = ImportNews::Lists(listing.addresses());
        shard_host.act(|shard| shard.note_import(file, &news, platform.now()))?;
        Ok(ended.map(|kind| (kind, listing.bad)).map_err(|error| sitemap_failure(&error)))
    }

    async fn ask_for_sitemap(&self, file: &SitemapFile) -> Result<P::Stream, SitemapFailure> {
        let platform = &self.context.platform;
        let page = page_of_url(&file.url, self.context.config())
            .ok_or_else(|| ("not-a-url".to_owned(), false))?;
        let mut fields = Fields::new();
        fields.set("accept", "application/xml, text/xml, text/plain, application/gzip");
        fields.set("accept-encoding", "identity");
        fields.set("user-agent", USER_AGENT);
        let facts = EdgeFacts {
            origin_secret: self.context.origin_secret(),
            warm: true,
            user_agent: USER_AGENT,
            client_accept_encoding: None,
            esi: false,
        };
        let request = OriginRequest {
            method: "GET".to_owned(),
            target: page.path_and_query(),
            fields: pass_request_fields(&own_request(&page, fields), &facts),
            content: Content::None,
            timeout: self.context.config().origin_timeout,
        };
        let response = platform.fetch(request).await.map_err(no_answer)?;
        match response.head.status {
            200 => platform.unpack(response.body).await.map_err(no_answer),
            status => {
                platform.cancel(response.body);
                Err((format!("sitemap-status {status}"), is_transient(status)))
            }
        }
    }

    /// Hands addresses to the shards of their pages.
    async fn hand_out(&self, file: &SitemapFile, pages: Vec<Listed>) -> ImportNews {
        let host = page_of_url(&file.url, self.context.config()).map(|page| page.purge_host);
        let (mut refused, mut orders) = (Vec::new(), Vec::with_capacity(pages.len()));
        for listed in pages {
            match warmable(&listed.url, host.as_deref(), &file.job, self.context.config()) {
                Ok(order) => orders.push((listed.id, order)),
                Err(reason) => refused.push((listed, reason)),
            }
        }
        let count = orders.len();
        let taken = self.order_all(orders).await;
        ImportNews::HandedOut { failed: taken.len() < count, taken, refused }
    }

    /// Queues warms with their pages' shards, each under a number of the caller's; the numbers of
    /// those that were taken.
    pub(crate) async fn order_all(&self, orders: Vec<(i64, WarmRequest)>) -> Vec<i64> {
        let shards = self.context.config().shards;
        let mut parts: Vec<(Vec<i64>, Vec<WarmRequest>)> = Vec::new();
        parts.resize_with(usize::from(shards), Default::default);
        for (number, order) in orders {
            if let Some(part) = parts.get_mut(usize::from(order.key.digest().shard(shards))) {
                part.0.push(number);
                part.1.push(order);
            }
        }
        let calls = (0..shards).zip(parts).filter(|(_, part)| !part.0.is_empty()).map(
            |(shard, (numbers, orders))| async move {
                match self.context.platform.shard(shard, ShardCall::WarmMany(orders)).await {
                    Ok(_) => numbers,
                    Err(error) => {
                        self.context.shard_failed(shard, "warm-many", &error);
                        Vec::new()
                    }
                }
            },
        );
        join_all(calls).await.concat()
    }
}

/// What is asked of its shard for an address, or why nothing is.
fn warmable(
    url: &str,
    host: Option<&str>,
    job: &str,
    config: &Config,
) -> Result<WarmRequest, &'static str> {
    let page = page_of_url(url, config).ok_or("not-a-url")?;
    if host != Some(page.purge_host.as_str()) {
        return Err("other-host");
    }
    warm_request_of(&page, job, config).ok_or("not-cached")
}

/// The warm of a page that nobody has asked for yet; none if its route is not cached.
pub(crate) fn warm_request_of(page: &Page, job: &str, config: &Config) -> Option<WarmRequest> {
    let request = own_request(page, Fields::new());
    let Admission::Serve(admitted) = admit(&request, config) else { return None };
    Some(order_of(admitted.page, admitted.key, job))
}

/// The warm of a page.
pub(crate) fn order_of(page: Page, key: CacheKey, job: &str) -> WarmRequest {
    WarmRequest {
        job: job.to_owned(),
        page,
        key,
        selection: Selection::default(),
        request: Fields::new(),
        need: Epoch::ZERO,
    }
}
