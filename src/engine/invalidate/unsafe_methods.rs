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
use crate::cache::key::{COMPOSED, CacheKey, KeyDigest, Page};
use crate::cache::tag::{Target, TargetHash};
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

/// Keys of which it is asked at once whether something is stored under them. A page has four and
/// four more for each alias of its host; those beyond count as stored.
const MAX_KEYS: usize = 8_000;
/// Bytes of the URLs by which all shards are asked at once; what is beyond counts as stored.
const MAX_URL_BYTES: usize = 256 << 10;

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
        let passed_on = loop_guard::said_by_others(&request.fields).is_some();
        let change = |page| Change { page, mode, passed_on };
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
            reinvalidate_after: Millis::ZERO,
            reason: "unsafe method".to_owned(),
            uncounted: true,
            unsafe_method: true,
            by: CalledBy { caller: "visitor".to_owned(), via: "unsafe-method".to_owned() },
        }
    }

    /// Those of the pages that are stored or being fetched, as far as this isolate and the shards
    /// know. Where a shard can't say it they count as stored.
    async fn stored_ones(&self, pages: Vec<Change>) -> Vec<Change> {
        let shards = self.context.config().shards;
        let urls: Vec<TargetHash> = pages.iter().map(|change| change.url().hash()).collect();
        // What is being fetched will be stored, as of before the change.
        let held = self.context.isolate().borrow().urls_held(&urls.iter().copied().collect());
        let mut stored: Vec<bool> = urls.iter().map(|url| held.contains(url)).collect();
        let mut questions = vec![Question::default(); usize::from(shards)];
        let (mut room, mut url_room) = (MAX_KEYS, MAX_URL_BYTES);
        for (at, change) in pages.iter().enumerate() {
            if stored[at] {
                continue;
            }
            match self.keys_of(change) {
                Some(keys) if keys.len() > room => stored[at] = true,
                Some(keys) => {
                    room -= keys.len();
                    for digest in keys.iter().map(CacheKey::digest) {
                        questions[usize::from(digest.shard(shards))].keys.push((at, digest));
                    }
                }
                // Under what key it would be stored is not known, nor so in which shard.
                None => match url_room.checked_sub(change.url().name().len()) {
                    Some(left) => {
                        url_room = left;
                        questions.iter_mut().for_each(|those| those.urls.push(at));
                    }
                    None => stored[at] = true,
                },
            }
        }
        let asked = (0..shards).zip(questions).filter(|(_, those)| !those.is_empty());
        let answers = asked.map(|(shard, those)| self.ask_known(shard, those, &pages));
        for (at, known) in join_all(answers).await.into_iter().flatten() {
            stored[at] |= known;
        }
        pages.into_iter().zip(stored).filter_map(|(page, stored)| stored.then_some(page)).collect()
    }

    /// Asks a shard which of these pages it knows.
    async fn ask_known(&self, shard: u16, those: Question, pages: &[Change]) -> Vec<(usize, bool)> {
        let keys = those.keys.iter().map(|(_, digest)| digest.clone()).collect();
        let urls = those.urls.iter().map(|at| pages[*at].page.purge_name()).collect();
        let places: Vec<usize> =
            those.keys.iter().map(|(at, _)| *at).chain(those.urls.iter().copied()).collect();
        let known = match self.context.platform.shard(shard, ShardCall::Known { keys, urls }).await
        {
            Ok(ShardReply::Known(known)) if known.len() == places.len() => known,
            Ok(_) => vec![true; places.len()],
            Err(error) => {
                self.context.shard_failed(shard, "known", &error);
                vec![true; places.len()]
            }
        };
        places.into_iter().zip(known).collect()
    }

    /// The keys under which a page may be stored, if they are known: where nothing of a request
    /// is in them.
    fn keys_of(&self, change: &Change) -> Option<Vec<CacheKey>> {
        let (config, page) = (self.context.config(), &change.page);
        let route = config.route(&page.host, &page.path);
        let listed = match &route.forward_headers {
            ForwardHeaders::Listed(names) => names.iter().any(|name| is_in_key(name, route)),
            ForwardHeaders::All => false,
        };
        let plain = route.key_cookies.is_empty() && route.vary_on.is_empty() && !listed;
        if !plain || change.passed_on {
            return None;
        }
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
        let compose = route.compose.then_some(COMPOSED);
        let key = |page: &Page| CacheKey::new(page, compose);
        Some(addresses.iter().map(key).collect())
    }
}

/// What one shard is asked for: pages by their places, with keys or by their URLs.
#[derive(Clone, Default)]
struct Question {
    keys: Vec<(usize, KeyDigest)>,
    urls: Vec<usize>,
}

impl Question {
    const fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.urls.is_empty()
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
