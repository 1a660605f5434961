//! What operators ask of the index: pages of a tag, tags of a page, progress of a job.

use crate::cache::tag::Tag;
use crate::control::problem::{Problem, ProblemKind};
use crate::control::reply::{
    FailedPage, JobReply, JobState, ListedPage, ListedVariant, PagesReply,
};
use crate::control::route::Paging;
use crate::control::targets::{page_query, url_target};
use crate::engine::operate::progress::Tries;
use crate::engine::parts::Operator;
use crate::engine::port::Platform;
use crate::engine::retry;
use crate::index::{JobProgress, PageInfo, Retrying, ShardCall, ShardReply};
use crate::journal::{JobRecord, JournalCall, JournalReply};

impl<P: Platform> Operator<P> {
    /// The pages that carry a tag: shard by shard, from where the last part ended.
    pub(crate) async fn tag_pages(&self, tag: Tag, paging: &Paging) -> Result<PagesReply, Problem> {
        let platform = &self.context.platform;
        let (mut shard, mut cursor) = parse_cursor(paging.cursor.as_deref())?;
        let mut pages = Vec::new();
        let shards = self.shards().await;
        while shard < shards {
            let limit = paging.limit.saturating_sub(pages.len() as u32);
            if limit == 0 {
                break;
            }
            let call = ShardCall::TagPages { tag: tag.clone(), cursor, limit };
            match retry::shard(&**platform, shard, call).await {
                Ok(ShardReply::Pages { pages: found, cursor: next }) => {
                    pages.extend(found.iter().map(page_row));
                    cursor = next;
                    if cursor.is_none() {
                        shard += 1;
                    }
                }
                Ok(_) => return Err(Problem::not_recorded("index-failed")),
                Err(error) => {
                    self.context.shard_failed(shard, "tag-pages", &error);
                    return Err(Problem::not_recorded("index-unreachable"));
                }
            }
        }
        let next = (shard < shards)
            .then(|| format!("{shard}.{}", cursor.map(|c| c.to_string()).unwrap_or_default()));
        Ok(PagesReply { pages, next, notes: Vec::new() })
    }

    /// What the index knows of one URL.
    pub(crate) async fn pages_of(&self, url: &str) -> Result<PagesReply, Problem> {
        let config = self.context.config();
        let target = url_target(url, config, &page_query(config)).map_err(|error| {
            Problem::new(ProblemKind::InvalidValue, format!("url: {}.", error.as_str())).at("url")
        })?;
        let call = ShardCall::PagesByUrl { url: target.name().to_owned() };
        let mut pages = Vec::new();
        for reply in self.ask_all(&call).await? {
            if let ShardReply::Pages { pages: mut found, .. } = reply {
                pages.append(&mut found);
            }
        }
        let rows = pages.iter().map(page_row).collect();
        let mut reply = PagesReply { pages: rows, next: None, notes: Vec::new() };
        self.add_timelines(&mut reply, &pages).await;
        Ok(reply)
    }

    /// An invalidation as the journal remembers it.
    pub(crate) async fn job(&self, id: &str, tries: Tries) -> Result<Option<JobRecord>, Problem> {
        let platform = &self.context.platform;
        let call = JournalCall::Job { id: id.to_owned() };
        let reply = match tries {
            Tries::Once => platform.journal(call).await,
            Tries::Twice => retry::journal(&**platform, call).await,
        };
        match reply {
            Ok(JournalReply::Job { job }) => Ok(job),
            Ok(_) => Err(Problem::not_recorded("journal-failed")),
            Err(error) => {
                self.context.journal_failed("job", &error);
                Err(Problem::not_recorded("journal-unreachable"))
            }
        }
    }

    /// How far a job is, over all shards.
    pub(crate) async fn progress(&self, id: &str, tries: Tries) -> Result<JobReply, Problem> {
        let job = self.job(id, tries).await?;
        let replies = self.ask_each(&ShardCall::Job { id: id.to_owned() }, tries).await?;
        let parts: Vec<_> = replies
            .into_iter()
            .filter_map(
                |reply| if let ShardReply::Job { progress } = reply { progress } else { None },
            )
            .collect();
        // A shard that has a job's pages from another may not know its epoch.
        let epoch = match (&job, parts.iter().map(|part| part.epoch).max()) {
            (Some(job), _) => job.invalidation.epoch,
            (None, Some(epoch)) => epoch,
            (None, None) => return Err(Problem::not_found("job")),
        };
        let mut sum = JobReply {
            id: id.to_owned(),
            epoch,
            state: JobReply::state_of(0, 0, 0, 0, 0),
            complete: job.as_ref().is_none_or(|job| job.shards_pending == 0),
            pages: 0,
            total: 0,
            queued: 0,
            running: 0,
            done: 0,
            changed: 0,
            unchanged: 0,
            failed: 0,
            superseded: 0,
            failures: Vec::new(),
            retrying: None,
            unknown: 0,
            front_caches: job.map_or_else(Vec::new, |job| job.front_caches),
        };
        // Those that have taken it are done with it.
        sum.front_caches.retain(|front_cache| front_cache.waiting > 0);
        for part in parts {
            add_part(&mut sum, part);
        }
        let undelivered =
            sum.front_caches.iter().filter(|front_cache| front_cache.failure.is_some()).count();
        let failed = sum.failed + undelivered as u64;
        sum.state = JobReply::state_of(sum.queued, sum.running, sum.done, failed, sum.superseded);
        if sum.running == 0 && sum.retrying.as_ref().is_some_and(|again| again.pages >= sum.queued)
        {
            sum.state = JobState::Retrying;
        }
        Ok(sum)
    }
}

/// Adds what one shard says of a job.
fn add_part(sum: &mut JobReply, part: JobProgress) {
    sum.pages += part.pages;
    sum.total += part.total;
    sum.queued += part.queued;
    sum.running += part.running;
    sum.done += part.done;
    sum.changed += part.changed;
    sum.unchanged += part.unchanged;
    sum.failed += part.failed;
    sum.superseded += part.superseded;
    sum.complete &= part.complete;
    sum.unknown += part.unknown;
    sum.retrying = match (sum.retrying.take(), part.retrying) {
        (Some(one), Some(other)) => {
            let pages = one.pages + other.pages;
            let next_try = one.next_try.min(other.next_try);
            let most = if other.attempts > one.attempts { other } else { one };
            Some(Retrying { pages, next_try, ..most })
        }
        (one, other) => one.or(other),
    };
    sum.failures.extend(part.failures.into_iter().map(|failure| FailedPage {
        url: failure.url,
        reason: failure.reason,
        attempts: failure.attempts,
    }));
}

fn parse_cursor(cursor: Option<&str>) -> Result<(u16, Option<u64>), Problem> {
    let Some(text) = cursor else { return Ok((0, None)) };
    let parsed = text.split_once('.').and_then(|(shard, rest)| {
        let shard = shard.parse().ok()?;
        match rest {
            "" => Some((shard, None)),
            rest => Some((shard, Some(rest.parse().ok()?))),
        }
    });
    parsed.ok_or_else(|| {
        let detail = "cursor is what the last answer gave as next.";
        Problem::new(ProblemKind::InvalidValue, detail).at("cursor")
    })
}

fn page_row(info: &PageInfo) -> ListedPage {
    let warmed = info.variants.iter().filter_map(|variant| variant.warmed_at).max();
    ListedPage {
        url: info.page.url(),
        tags: info.tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
        variants: info
            .variants
            .iter()
            .map(|variant| ListedVariant {
                vary: variant.selection.0.clone(),
                status: variant.status,
                epoch: variant.stamp,
                fresh_until: variant.fresh_until,
                keep_until: variant.keep_until,
                tiers: if variant.l2_key.is_some() { vec!["l2"] } else { Vec::new() },
                changed: variant.changed,
                unchanged: variant.unchanged,
            })
            .collect(),
        last_warm: warmed,
        timeline: None,
    }
}
