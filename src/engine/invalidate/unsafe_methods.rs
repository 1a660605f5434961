//! What visitors' unsafe requests change is appended to the journal; who sent one is not answered
//! with what was before.

use std::cell::Cell;
use std::hash::Hasher as _;
use std::rc::Rc;

use futures_util::future::join_all;
use siphasher::sip::SipHasher13;

use crate::base::time::{Epoch, Millis, Timestamp};
use crate::cache::entry::Entry;
use crate::cache::forward::is_in_key;
use crate::cache::key::{CacheKey, KeyDigest, Page};
use crate::cache::tag::Target;
use crate::cache::unsafe_methods::Invalidation;
use crate::config::ForwardHeaders;
use crate::control::metrics::Counter;
use crate::engine::invalidate::changes::{AppendStep, Change, Changes, number};
use crate::engine::parts::Invalidator;
use crate::engine::platform_limits::LOOK_INTERVAL;
use crate::engine::port::Platform;
use crate::http::{RequestHead, loop_guard};
use crate::index::{ShardCall, ShardReply};
use crate::journal::view::SKEW_MARGIN;
use crate::journal::{Append, Appended, CalledBy, Mode};

/// How long the answer to an unsafe request waits for the journal.
const JOURNAL_WAIT: Millis = Millis(300);

/// Addresses that a page can have, for the question whether it is stored; with more it counts as
/// stored.
const MAX_ADDRESSES: usize = 16;

/// What a visitor who changed a page gets of what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnChange {
    /// Anything: they changed nothing, or it was fetched after.
    None,
    /// What has this stamp at least.
    Need(Epoch),
    /// The origin's answer: the journal does not have the change yet.
    Pass,
}

/// What a visitor may have of a page, given what is stored of it here, and whose replacement needs
/// a stamp of `need`. Only what is fetched after their own change has an epoch shows it for sure:
/// others may have fetched the page since an earlier invalidation, and before the change. A stamp
/// says so without a clock; the time of a fetch may be another isolate's.
pub(crate) fn own_change(
    changes: &Changes,
    request: &RequestHead,
    page: &Page,
    stored: Option<&Entry>,
    need: Epoch,
    now: Timestamp,
) -> OwnChange {
    let Some(bound) = changes.change_by(|| who(request), page, now) else { return OwnChange::None };
    let shows = |entry: &Entry| {
        bound.epoch.is_some_and(|epoch| entry.stamp >= epoch)
            || entry.request_time > bound.at.plus(SKEW_MARGIN)
    };
    if stored.map_or(bound.unknown, shows) {
        return OwnChange::None;
    }
    let covers = |epoch: &Epoch| stored.is_none() || need >= *epoch;
    bound.epoch.filter(covers).map_or(OwnChange::Pass, OwnChange::Need)
}

impl<P: Platform> Invalidator<P> {
    /// Notes that an unsafe request may have changed pages. Returns once the journal has them,
    /// after [`JOURNAL_WAIT`] at most, or at once if they go together with others.
    pub(crate) async fn note_changes(
        &self,
        request: &RequestHead,
        pages: Vec<Page>,
        invalidation: Invalidation,
    ) {
        let platform = &self.context.platform;
        let mode = match invalidation {
            Invalidation::Nothing => return,
            Invalidation::Soft => Mode::Soft,
            Invalidation::Hard => Mode::Hard,
        };
        if pages.is_empty() {
            return;
        }
        let passed_on = loop_guard::said_by_others(&request.fields);
        let change = |page| Change { page, mode, passed_on: passed_on.clone() };
        let pages: Vec<Change> = pages.into_iter().map(change).collect();
        let now = platform.now();
        let gathered = {
            let mut isolate = self.context.isolate().borrow_mut();
            isolate.changes.bind(who(request), &pages, now);
            isolate.changes.gather(pages, now)
        };
        self.context.count_many(Counter::UnsafeDropped, gathered.dropped);
        match gathered.next {
            AppendStep::Nothing => {}
            AppendStep::Wait(span) => {
                let (invalidator, on) = (self.clone(), Rc::clone(platform));
                platform.spawn(async move {
                    on.sleep(span).await;
                    let pages = invalidator.context.isolate().borrow_mut().changes.take(on.now());
                    invalidator.append_changes(pages).await;
                });
            }
            AppendStep::Append(pages) => {
                let done = Rc::new(Cell::new(false));
                let (invalidator, done_too) = (self.clone(), Rc::clone(&done));
                platform.spawn(async move {
                    invalidator.append_changes(pages).await;
                    done_too.set(true);
                });
                while !done.get() && platform.now().since(now) < JOURNAL_WAIT {
                    platform.sleep(LOOK_INTERVAL).await;
                }
            }
        }
    }

    /// The same by what this isolate has gathered.
    pub(crate) fn own_change(
        &self,
        request: &RequestHead,
        page: &Page,
        stored: Option<&Entry>,
        need: Epoch,
        now: Timestamp,
    ) -> OwnChange {
        own_change(&self.context.isolate().borrow().changes, request, page, stored, need, now)
    }

    async fn append_changes(&self, pages: Vec<Change>) {
        let platform = &self.context.platform;
        let request_time = platform.now();
        let name = |change: &Change| number(&change.page.purge_name());
        let mut unknown: Vec<u64> = pages.iter().map(name).collect();
        let pages = self.stored_ones(pages).await;
        let known: Vec<u64> = pages.iter().map(name).collect();
        unknown.retain(|name| !known.contains(name));
        self.context.isolate().borrow_mut().changes.note_unknown(&unknown, request_time);
        self.context.count_many(Counter::UnsafeUnknown, unknown.len() as u64);
        for mode in [Mode::Soft, Mode::Hard] {
            let those = pages.iter().filter(|change| change.mode == mode);
            let urls: Vec<String> = those.map(|change| change.page.purge_name()).collect();
            let names: Vec<u64> = urls.iter().map(|url| number(url)).collect();
            let targets: Vec<Target> = urls.into_iter().map(Target::Url).collect();
            if targets.is_empty() {
                continue;
            }
            self.context.count_many(Counter::UnsafeInvalidated, targets.len() as u64);
            let append = self.unsafe_append(targets, mode);
            let sent = platform.now();
            match self.append(append).await {
                Ok(Appended::New { epoch, .. } | Appended::Repeated { epoch }) => {
                    self.context.isolate().borrow_mut().changes.acknowledge(&names, epoch, sent);
                }
                Ok(Appended::Conflict) => {}
                Err(error) => self.context.journal_failed("append", &error),
            }
        }
    }

    /// An invalidation by an unsafe request.
    fn unsafe_append(&self, targets: Vec<Target>, mode: Mode) -> Append {
        Append {
            id: format!("unsafe-{}", self.context.platform.unique()),
            body_digest: String::new(),
            targets,
            mode,
            warm: false,
            settle: Millis::ZERO,
            reason: "unsafe method".to_owned(),
            uncounted: true,
            unsafe_method: true,
            by: CalledBy { caller: "visitor".to_owned(), via: "unsafe-method".to_owned() },
        }
    }

    /// Those of the pages that are stored or being fetched, as far as this isolate and their shards
    /// know. Where it can't be said they count as stored.
    async fn stored_ones(&self, pages: Vec<Change>) -> Vec<Change> {
        let shards = self.context.config().shards;
        let mut lookups: Vec<Vec<(usize, KeyDigest)>> = vec![Vec::new(); usize::from(shards)];
        let mut stored = vec![false; pages.len()];
        for (at, change) in pages.iter().enumerate() {
            let keys = self.keys_of(change);
            // What is being fetched will be stored, as of before the change.
            let held = |key: &CacheKey| {
                let isolate = &mut *self.context.isolate().borrow_mut();
                isolate.is_filled(key) || isolate.memory.get(key).is_some()
            };
            match keys.filter(|keys| !keys.iter().any(held)) {
                None => stored[at] = true,
                Some(keys) => {
                    for digest in keys.iter().map(CacheKey::digest) {
                        lookups[usize::from(digest.shard(shards))].push((at, digest));
                    }
                }
            }
        }
        let calls = (0..shards).zip(lookups).filter(|(_, those)| !those.is_empty()).map(
            |(shard, those)| async move {
                let keys = those.iter().map(|(_, digest)| digest.clone()).collect();
                let known =
                    match self.context.platform.shard(shard, ShardCall::Known { keys }).await {
                        Ok(ShardReply::Known(known)) if known.len() == those.len() => known,
                        Ok(_) => vec![true; those.len()],
                        Err(error) => {
                            self.context.shard_failed(shard, "known", &error);
                            vec![true; those.len()]
                        }
                    };
                those.into_iter().map(|(at, _)| at).zip(known).collect::<Vec<_>>()
            },
        );
        for (at, known) in join_all(calls).await.into_iter().flatten() {
            stored[at] |= known;
        }
        pages.into_iter().zip(stored).filter_map(|(page, stored)| stored.then_some(page)).collect()
    }

    /// The keys under which a page may be stored; none if they depend on who asks.
    fn keys_of(&self, change: &Change) -> Option<Vec<CacheKey>> {
        let (config, page) = (self.context.config(), &change.page);
        let route = config.route(&page.host, &page.path);
        let aliases = config.host_aliases.iter().filter(|(_, name)| *name == page.purge_host);
        let hosts = aliases.map(|(alias, _)| alias).chain([&page.host, &page.purge_host]);
        let mut addresses: Vec<Page> = Vec::new();
        for host in hosts {
            for spelled in [page, &page.unescaped()] {
                for scheme in ["https", "http"] {
                    let address =
                        Page { scheme: scheme.to_owned(), host: host.clone(), ..spelled.clone() };
                    if !addresses.contains(&address) {
                        addresses.push(address);
                    }
                }
            }
        }
        let listed = match &route.forward_headers {
            ForwardHeaders::Listed(names) => names.iter().any(|name| is_in_key(name, route)),
            ForwardHeaders::All => false,
        };
        let plain = route.key_cookies.is_empty() && route.vary_on.is_empty() && !listed;
        let few = addresses.len() <= MAX_ADDRESSES;
        let passed_on = change.passed_on.as_deref().map(|said| ("cdn-loop", said));
        let compose = route.compose.then_some(("compose", "1"));
        let passed_on = passed_on.into_iter().chain(compose);
        let key =
            |page: &Page| [CacheKey::new(page, compose), CacheKey::new(page, passed_on.clone())];
        (plain && few).then(|| {
            let mut keys: Vec<CacheKey> = addresses.iter().flat_map(key).collect();
            keys.dedup();
            keys
        })
    }
}

/// Who sent a request: by address and browser. Who shares both waits for the refetch as well.
fn who(request: &RequestHead) -> u64 {
    let mut hasher = SipHasher13::new();
    for part in [request.client.as_deref(), request.fields.get("user-agent")] {
        hasher.write(part.unwrap_or_default().as_bytes());
        hasher.write_u8(0xff);
    }
    hasher.finish()
}
