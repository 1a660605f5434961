//! What was invalidated, and what became of a page.

use std::collections::HashMap;

use futures_util::future::join_all;

use crate::cache::tag::Target;
use crate::control::history::{HistoryAnswer, NamedTargets, Refetches, TimelineEvent, timeline};
use crate::control::problem::Problem;
use crate::control::reply::{PagesReply, json};
use crate::engine::operate::answer;
use crate::engine::parts::Operator;
use crate::engine::port::Platform;
use crate::engine::retry;
use crate::engine::serve::response::Answer;
use crate::index::{PageInfo, ShardCall, ShardReply};
use crate::journal::history::{HistoryReply, HistoryRequest, HistoryRow};
use crate::journal::{JournalCall, JournalReply};

/// Invalidations that are looked for of one page.
const OF_A_PAGE: u32 = 50;
/// Names by which they are looked for.
const MAX_NAMES: usize = 1_000;

const SHARDS_LACK: &str = "A shard could not be asked: how far refetches are is not known.";
const JOURNAL_LACKS: &str = "The journal could not be asked: the timeline has no invalidations.";

impl<P: Platform> Operator<P> {
    /// What was invalidated.
    pub(super) async fn history(&self, request: HistoryRequest) -> Result<Answer<P>, Problem> {
        let reply = self.ask_for_history(request).await?;
        let ids = reply.rows.iter().map(|row| row.invalidation.id.clone()).collect();
        let (notes, sums) = match self.refetches(ids).await {
            Some(sums) => (Vec::new(), sums),
            None => (vec![SHARDS_LACK], HashMap::new()),
        };
        let history = HistoryAnswer::of(reply, notes, |id| sums.get(id).copied());
        Ok(answer(200, json(&history)))
    }

    /// How far jobs are, by their ids; none where not every shard has answered.
    async fn refetches(&self, ids: Vec<String>) -> Option<HashMap<String, Refetches>> {
        if ids.is_empty() {
            return Some(HashMap::new());
        }
        let platform = &self.context.platform;
        let (shards, call) = (self.shards().await, ShardCall::Jobs { ids });
        let calls = (0..shards).map(|n| retry::shard(&**platform, n, call.clone()));
        let mut sums: HashMap<String, Refetches> = HashMap::new();
        for (shard, reply) in (0..shards).zip(join_all(calls).await) {
            match reply {
                Ok(ShardReply::Jobs(parts)) => {
                    for (id, part) in parts {
                        sums.entry(id).or_insert_with(Refetches::begun).add(&part);
                    }
                }
                Ok(_) => return None,
                Err(error) => {
                    self.context.shard_failed(shard, "jobs", &error);
                    return None;
                }
            }
        }
        Some(sums)
    }

    async fn ask_for_history(&self, request: HistoryRequest) -> Result<HistoryReply, Problem> {
        match retry::journal(&*self.context.platform, JournalCall::History(request)).await {
            Ok(JournalReply::History(reply)) => Ok(reply),
            Ok(_) => Err(Problem::not_recorded("journal-failed")),
            Err(error) => {
                self.context.journal_failed("history", &error);
                Err(Problem::not_recorded("journal-unreachable"))
            }
        }
    }

    /// What happened to pages, as far as is known.
    pub(super) async fn add_timelines(&self, reply: &mut PagesReply, pages: &[PageInfo]) {
        let names = |page: &PageInfo| page.page.named_targets(&page.tags);
        let mut naming: Vec<Target> = pages.iter().flat_map(names).collect();
        naming.sort();
        naming.dedup();
        naming.truncate(MAX_NAMES);
        if naming.is_empty() {
            return;
        }
        let request = HistoryRequest { limit: OF_A_PAGE, naming, ..HistoryRequest::default() };
        let rows = match self.ask_for_history(request).await {
            Ok(reply) => reply.rows,
            Err(_) => {
                reply.notes.push(JOURNAL_LACKS);
                Vec::new()
            }
        };
        for (row, page) in reply.pages.iter_mut().zip(pages) {
            let mut happenings: Vec<TimelineEvent> = fetches(page).collect();
            happenings.extend(invalidations(&names(page), &rows));
            row.timeline = Some(timeline(happenings));
        }
    }
}

fn fetches(page: &PageInfo) -> impl Iterator<Item = TimelineEvent> {
    // What is known and was never stored has no fence.
    page.variants.iter().filter(|variant| variant.fence > 0).flat_map(|variant| {
        let fetched = |at, epoch, warmed, stored| TimelineEvent::Fetched {
            at,
            epoch,
            vary: variant.selection.0.clone(),
            by: if warmed { "warm" } else { "visitor" },
            stored,
        };
        let warmed = variant.warmed_at == Some(variant.stored_at);
        let past =
            variant.past.iter().map(move |one| fetched(one.at, one.stamp, one.warmed, false));
        std::iter::once(fetched(variant.stored_at, variant.stamp, warmed, true)).chain(past)
    })
}

/// Those of the invalidations that name one of a page's names.
fn invalidations(names: &[Target], rows: &[HistoryRow]) -> impl Iterator<Item = TimelineEvent> {
    rows.iter().filter_map(|row| {
        let named: Vec<&Target> = row.named.iter().filter(|one| names.contains(one)).collect();
        (!named.is_empty()).then(|| TimelineEvent::Invalidated {
            at: row.invalidation.at,
            epoch: row.invalidation.epoch,
            id: row.invalidation.id.clone(),
            caller: row.by.caller.clone(),
            via: row.by.via.clone(),
            mode: row.invalidation.mode,
            reason: row.invalidation.reason.clone(),
            named: NamedTargets::of(named),
        })
    })
}
