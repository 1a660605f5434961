//! What one isolate keeps between requests: L0, its view of the journal, fills, and its limits.
//!
//! The runtime may end a request's tasks at any time without a word. So nothing here is a lock or a
//! counter that must be given back: every claim carries the time it was made and lapses by itself.

use std::collections::{HashMap, HashSet};
use std::rc::{Rc, Weak};

use crate::base::time::{Millis, Timestamp};
use crate::cache::key::CacheKey;
use crate::cache::tag::TargetHash;
use crate::config::Config;
use crate::control::metrics::Metrics;
use crate::engine::audit::sampling::Audits;
use crate::engine::bodies::Bodies;
use crate::engine::colo_hints::ColoHints;
use crate::engine::counting::Counting;
use crate::engine::fill::buffer::{BodyBuffer, ReaderState, STALLED, WeakBuffer};
use crate::engine::fill::in_flight::{InFlight, Probe};
use crate::engine::fill::reader::BodyReader;
use crate::engine::fill::shared::SharedFill;
use crate::engine::invalidate::changes::Changes;
use crate::engine::memory::{Memory, StoredPage};
use crate::engine::origin_limit::OriginLimit;
use crate::engine::port::Platform;
use crate::engine::ready::ReadyHead;
use crate::engine::uncacheable::Uncacheable;
use crate::journal::JournalStatus;
use crate::journal::view::View;

/// One isolate's state.
pub struct Isolate<P: Platform> {
    /// L0.
    pub memory: Memory<P::Chunk, ReadyHead<P>>,
    /// What is remembered of what L1 has and L0 has not.
    pub colo_hints: ColoHints,
    /// What is known of the journal.
    pub view: View,
    /// When the sync under way began, if one is.
    pub syncing: Option<Timestamp>,
    /// When the latest sync ended.
    pub synced: Option<Timestamp>,
    /// When the latest sync failed, if it did.
    pub sync_failed: Option<Timestamp>,
    /// What is in flight, by the key that was asked for.
    pub in_flight: HashMap<CacheKey, InFlight<P>>,
    /// Every body that arrives, or that somebody still reads as it arrived.
    buffers: Vec<WeakBuffer<P>>,
    /// Readers of stored bodies.
    readers: Vec<Weak<ReaderState<P>>>,
    /// Bodies of requests that arrive.
    pub bodies: Bodies<P::Chunk>,
    /// Origin requests under way, and those that wait.
    pub origin: OriginLimit,
    /// New page keys per host in the current second.
    new_keys: HashMap<String, (i64, u32)>,
    /// Pages whose refresh was forced in the current second.
    forced: (i64, Vec<String>),
    /// Pages that the budget of new keys kept out of the index, and that no shard knows of.
    pub unrecorded: u32,
    /// What visitors' unsafe requests changed.
    pub changes: Changes,
    /// Addresses whose answers can't be stored.
    pub uncacheable: Uncacheable,
    /// What the journal last said of itself, and when it was asked.
    pub journal_status: Option<(Timestamp, JournalStatus)>,
    /// When the journal was asked for that, if the answer is still to come.
    pub status_asked: Option<Timestamp>,
    /// Counters for `/metrics`.
    pub metrics: Metrics,
    /// What is counted for the whole site's figures.
    pub counting: Counting,
    /// Which hits are audited.
    pub audits: Audits,
}

/// The part of `fill_memory` that bodies of requests may hold.
const BODIES_SHARE: u64 = 4;
/// A reader that has taken nothing for so long may be closed for others.
const SHED_AFTER: Millis = Millis(2_000);
/// Forced refreshes in a second: each is a write of the journal.
const FORCED_PER_SECOND: usize = 20;

/// The hosts whose new keys are counted at once; beyond, all hosts share one budget.
const MAX_COUNTED_HOSTS: usize = 256;

impl<P: Platform> Isolate<P> {
    /// A cold isolate.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            memory: Memory::new(config.memory),
            colo_hints: ColoHints::default(),
            view: View::new(config.journal_targets),
            syncing: None,
            synced: None,
            sync_failed: None,
            in_flight: HashMap::new(),
            buffers: Vec::new(),
            readers: Vec::new(),
            bodies: Bodies::new(config.fill_memory / BODIES_SHARE),
            origin: OriginLimit::new(config.origin_concurrency, config.origin_timeout),
            new_keys: HashMap::new(),
            forced: (0, Vec::new()),
            unrecorded: 0,
            changes: Changes::default(),
            uncacheable: Uncacheable::default(),
            journal_status: None,
            status_asked: None,
            metrics: Metrics::default(),
            counting: Counting::default(),
            audits: Audits::default(),
        }
    }

    /// Counts a new page key of a host; false once the host's budget for this second is spent.
    pub fn claim_new_key(&mut self, host: &str, now: Timestamp, limit: u32) -> bool {
        let second = now.as_seconds();
        if self.new_keys.len() >= MAX_COUNTED_HOSTS && !self.new_keys.contains_key(host) {
            self.new_keys.retain(|_, (at, _)| *at == second);
        }
        let host = if self.new_keys.len() >= MAX_COUNTED_HOSTS { "" } else { host };
        let count = self.new_keys.entry(host.to_owned()).or_insert((second, 0));
        if count.0 != second {
            *count = (second, 0);
        }
        count.1 += 1;
        count.1 <= limit
    }

    /// Counts a forced refresh of a page; false if the page had one in this second, or enough
    /// others did.
    pub fn claim_forced(&mut self, page: &str, now: Timestamp) -> bool {
        let second = now.as_seconds();
        if self.forced.0 != second {
            self.forced = (second, Vec::new());
        }
        let pages = &mut self.forced.1;
        if pages.len() >= FORCED_PER_SECOND || pages.iter().any(|known| known == page) {
            return false;
        }
        pages.push(page.to_owned());
        true
    }

    /// A body arrives: what it holds counts until its last reader is done.
    pub fn watch_buffer(&mut self, buffer: &BodyBuffer<P>) {
        let mut known = false;
        self.buffers.retain(|other| {
            let other = other.upgrade();
            known |= other.as_ref().is_some_and(|other| other.is(buffer));
            other.is_some()
        });
        if !known {
            self.buffers.push(buffer.downgrade());
        }
    }

    /// A reader of a stored body begins: what it holds, and L0 does not, counts until it is done.
    pub fn watch_reader(&mut self, reader: &BodyReader<P>) {
        self.readers.retain(|reader| reader.strong_count() > 0);
        self.readers.push(Rc::downgrade(reader.state()));
    }

    fn buffers(&self) -> impl Iterator<Item = BodyBuffer<P>> {
        self.buffers.iter().filter_map(WeakBuffer::upgrade)
    }

    /// Bytes of bodies beside L0: those of fetches, of responses that left L0 while they are read,
    /// of requests.
    #[must_use]
    pub fn fill_bytes(&self) -> u64 {
        let mut read: Vec<Rc<StoredPage<P::Chunk>>> = Vec::new();
        let mut bytes = self.bodies.bytes();
        let readers = self.readers.iter().filter_map(Weak::upgrade);
        let pages = readers.filter_map(|reader| {
            bytes += reader.own_bytes();
            reader.page()
        });
        read.extend(pages);
        for buffer in self.buffers() {
            bytes += buffer.held();
            read.extend(buffer.page());
        }
        read.extend(self.fills().filter_map(SharedFill::stale_on_error));
        read.sort_unstable_by_key(Rc::as_ptr);
        read.dedup_by(|one, other| Rc::ptr_eq(one, other));
        let alone = read.iter().filter(|page| !self.memory.has(page));
        bytes + alone.map(|page| page.entry.body_length).sum::<u64>()
    }

    /// Closes readers that have stalled, and while more than `most` bytes are held those that are
    /// furthest behind.
    pub fn shed(&mut self, now: Timestamp, most: u64) {
        let mut readers: Vec<_> = self.buffers().flat_map(|buffer| buffer.readers()).collect();
        readers.extend(self.readers.iter().filter_map(Weak::upgrade));
        readers.sort_by_key(|reader| reader.moved());
        let mut readers = readers.into_iter();
        let mut stalled = readers.next();
        while let Some(reader) = stalled {
            let idle = now.since(reader.moved());
            if idle < SHED_AFTER || (idle < STALLED && self.fill_bytes() <= most) {
                break;
            }
            reader.close();
            stalled = readers.next();
        }
        for buffer in self.buffers() {
            while self.fill_bytes() > most && buffer.drop_slowest() {}
        }
    }

    /// What is in flight for a key, but for what has lapsed.
    pub fn in_flight(
        &mut self,
        key: &CacheKey,
        now: Timestamp,
        limit: Millis,
    ) -> Option<InFlight<P>> {
        let listed = self.in_flight.get(key)?;
        if listed.is_over(now, limit) {
            self.in_flight.remove(key);
            return None;
        }
        Some(listed.clone())
    }

    /// The fills in flight.
    pub fn fills(&self) -> impl Iterator<Item = &SharedFill<P>> {
        self.in_flight.values().filter_map(|listed| match listed {
            InFlight::Fill(fill) => Some(fill),
            InFlight::Probe(_) | InFlight::Paused(_) => None,
        })
    }

    /// Those of these URLs of which something is stored here, or being fetched, under whatever key.
    #[must_use]
    pub fn urls_held(&self, urls: &HashSet<TargetHash>) -> HashSet<TargetHash> {
        let stored = self.memory.pages().flat_map(|page| page.entry.targets.iter().copied());
        let fetched = self.fills().filter(|fill| fill.may_be_stored()).map(SharedFill::url);
        stored.chain(fetched).filter(|url| urls.contains(url)).collect()
    }

    fn is_listed(&self, key: &CacheKey, fill: &SharedFill<P>) -> bool {
        matches!(self.in_flight.get(key), Some(InFlight::Fill(listed)) if listed.is(fill))
    }

    /// Takes a fill off the list, if it is still the one that stands there.
    pub fn end_fill(&mut self, key: &CacheKey, fill: &SharedFill<P>) {
        if self.is_listed(key, fill) {
            self.in_flight.remove(key);
        }
    }

    /// No refresh begins in place of one that failed, for a while.
    pub fn pause(&mut self, key: &CacheKey, failed: &SharedFill<P>, until: Timestamp) {
        if self.is_listed(key, failed) {
            self.in_flight.insert(key.clone(), InFlight::Paused(until));
        }
    }

    /// The pause until then is over.
    pub fn end_pause(&mut self, key: &CacheKey, until: Timestamp) {
        if matches!(self.in_flight.get(key), Some(InFlight::Paused(end)) if *end == until) {
            self.in_flight.remove(key);
        }
    }

    /// Takes a probe off the list, if it is still the one that stands there.
    pub fn end_probe(&mut self, key: &CacheKey, probe: &Probe<P>) {
        if matches!(self.in_flight.get(key), Some(InFlight::Probe(listed)) if listed.is(probe)) {
            self.in_flight.remove(key);
        }
    }
}
