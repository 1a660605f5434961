//! An isolate's view of the journal: the latest epochs per target, and how old that knowledge is.
//!
//! It decides how a stored response stands ([`View::validity`]), whether it may say so at all
//! ([`View::health`]), and what stamp a fetch that starts now carries ([`View::stamp`]). It refuses
//! news that it can't connect to what it has. It asks nobody: the engine sends [`View::request`]
//! and hands the answer to [`View::apply`].
//!
//! Rules, by their names in `tests/simulation/rules.txt`: `requester_time`, `since_check`,
//! `skew_margin`, `keep_both`, `view_max`, `page_cursor`, `paged_known`, `partial_known`,
//! `overlay_since`, `floor_sent`.
//!
//! Limits: 33 bytes a target in a table that is between 7/16 and 7/8 full, so at most 76; above its
//! capacity by a quarter the oldest targets are merged into buckets, as in the journal.

use std::collections::HashMap;

use crate::base::time::{Epoch, Millis, Timestamp};
use crate::cache::Validity;
use crate::cache::entry::map_bytes;
use crate::cache::tag::TargetHash;
use crate::journal::delta::{Delta, Found};
use crate::journal::{LookupRequest, SyncRequest};

mod table;

use table::Table;

/// What a shared delta's age is increased by: two isolates of a colo need not have the same clock.
pub const SKEW_MARGIN: Millis = Millis(200);

/// Look-ups that are remembered while the view is cold.
const MAX_KNOWN: usize = 8_192;

/// How far the view can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewHealth {
    /// No snapshot yet: look up the targets at hand, load the snapshot meanwhile.
    Cold,
    /// Recent enough.
    Recent {
        /// Whether to sync in the background.
        refresh: bool,
    },
    /// Older than `max_lag`: sync before answering.
    Outdated,
    /// The sync failed, and the view is not older than `journal_lost_limit`.
    JournalLost,
    /// The sync failed, and the view is older than `journal_lost_limit`.
    JournalLostTooLong,
}

/// How a stored response stands, if that can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// So.
    Known(Validity),
    /// The view does not know all of its targets: look them up, then judge again.
    Unknown,
}

/// What became of a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Applied; the view is as recent as the asking.
    Whole,
    /// Applied; the journal has more: send [`View::request`] again.
    Page,
    /// Refused: its base is past what the view has, so something between would be missed.
    Ahead,
    /// Refused: it ends before what the view has; out of order, or from a journal that lost epochs.
    Older,
}

/// The latest epochs per target, as far as one isolate knows.
#[derive(Debug)]
pub struct View {
    table: Table,
    /// Every invalidation up to here is in the table.
    since: Option<Epoch>,
    /// Where a sync of several pages got to. The table has all up to here that did not change
    /// meanwhile, and what did has an epoch past it.
    page: Option<Epoch>,
    /// The highest epoch of any answer of the journal.
    seen: Option<Epoch>,
    /// The highest epoch anyone spoke of.
    observed: Epoch,
    /// When the latest whole sync was asked for.
    as_of: Option<Timestamp>,
    /// When a target was looked up by itself. Counts where `as_of` does not reach.
    known: HashMap<TargetHash, Timestamp>,
}

impl View {
    /// An empty view that keeps about `capacity` targets by name.
    #[must_use]
    pub fn new(capacity: u32) -> Self {
        Self {
            table: Table::new(capacity as usize),
            since: None,
            page: None,
            seen: None,
            observed: Epoch::ZERO,
            as_of: None,
            known: HashMap::new(),
        }
    }

    /// The base of the next sync: every invalidation up to it is known. None: cold.
    #[must_use]
    pub const fn since(&self) -> Option<Epoch> {
        self.since
    }

    /// When the latest whole sync was asked for.
    #[must_use]
    pub const fn as_of(&self) -> Option<Timestamp> {
        self.as_of
    }

    /// The stamp of a fetch that starts now: the highest epoch known. None as long as the journal
    /// never answered; a look-up of no targets is enough to have one.
    #[must_use]
    pub const fn stamp(&self) -> Option<Epoch> {
        self.seen
    }

    /// How many targets are kept by name.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no target is kept by name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.len() == 0
    }

    /// Notes an epoch that an entry or a shard spoke of. It changes no judgement and no stamp; the
    /// journal gets it with the next sync, and so notices that it was restored from an older backup
    /// (`incarnation`).
    pub fn observe_epoch(&mut self, epoch: Epoch) {
        self.observed = self.observed.max(epoch);
    }

    /// The sync to send now.
    #[must_use]
    pub fn request(&self) -> SyncRequest {
        SyncRequest { since: self.since.max(self.page), seen: self.highest_seen(), report: None }
    }

    /// Bytes that it takes in memory.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.table.bytes() + map_bytes::<TargetHash, Timestamp>(self.known.capacity())
    }

    /// The look-up to send now for these targets.
    #[must_use]
    pub fn lookup_request(&self, targets: &[TargetHash]) -> LookupRequest {
        LookupRequest { targets: targets.to_vec(), seen: self.highest_seen() }
    }

    /// Takes a delta in. `request_time` is when the request was sent, by its sender's clock;
    /// `by_us` is whether this isolate sent it, rather than another of its colo.
    pub fn apply(&mut self, delta: &Delta, request_time: Timestamp, by_us: bool) -> Applied {
        let have = if by_us { self.since.max(self.page) } else { self.since };
        // since_check: what lies between the view's end and the delta's base would be missed.
        if delta.since.unwrap_or(Epoch::ZERO) > have.unwrap_or(Epoch::ZERO) {
            return Applied::Ahead;
        }
        if delta.to < self.since.unwrap_or(Epoch::ZERO) {
            return Applied::Older;
        }
        self.table.merge(&delta.rows, &delta.buckets);
        self.confirm_epoch(delta.to);
        self.observe_epoch(delta.head);
        if delta.more {
            // page_cursor: a page moves neither the base nor the age.
            if by_us {
                self.page = self.page.max(Some(delta.to));
            }
            return Applied::Page;
        }
        self.since = self.since.max(Some(delta.to));
        self.page = None;
        // requester_time, skew_margin
        let as_of = if by_us { request_time } else { request_time.minus(SKEW_MARGIN) };
        self.as_of = self.as_of.max(Some(as_of));
        self.known.clear();
        self.table.merge_oldest();
        Applied::Whole
    }

    /// Takes the answer to a look-up of these targets in. It never moves the view's base
    /// (`overlay_since`).
    pub fn apply_lookup(&mut self, targets: &[TargetHash], found: &Found, request_time: Timestamp) {
        self.table.merge(&found.rows, &found.buckets);
        self.confirm_epoch(found.head);
        if self.known.len() + targets.len() > MAX_KNOWN {
            self.known.clear();
        }
        for target in targets {
            let known = self.known.entry(*target).or_insert(request_time);
            *known = request_time.max(*known);
        }
    }

    /// How far the view can be relied on at `now`. Read the clock after an I/O: a Worker's stands
    /// still between.
    #[must_use]
    pub fn health(&self, now: Timestamp, max_lag: Millis, sync_interval: Millis) -> ViewHealth {
        let Some(as_of) = self.as_of else { return ViewHealth::Cold };
        if !within(as_of, now, max_lag) {
            return ViewHealth::Outdated;
        }
        ViewHealth::Recent { refresh: now.since(as_of) > sync_interval }
    }

    /// How far the view can be relied on after a sync failed.
    #[must_use]
    pub fn health_after_failure(
        &self,
        now: Timestamp,
        max_lag: Millis,
        journal_lost_limit: Millis,
    ) -> ViewHealth {
        let Some(as_of) = self.as_of else { return ViewHealth::Cold };
        if within(as_of, now, max_lag) {
            // Another request's sync came through.
            ViewHealth::Recent { refresh: false }
        } else if within(as_of, now, journal_lost_limit) {
            ViewHealth::JournalLost
        } else {
            ViewHealth::JournalLostTooLong
        }
    }

    /// How a stored response with these targets and this stamp stands.
    #[must_use]
    pub fn validity(
        &self,
        targets: &[TargetHash],
        stamp: Epoch,
        health: ViewHealth,
        now: Timestamp,
        max_lag: Millis,
    ) -> Verdict {
        let overtaken = self.table.overtaken(targets, stamp);
        // What is known against it holds however old the view is.
        if let Some(epoch) = overtaken.hard {
            let epoch = overtaken.soft.map_or(epoch, |(soft, _)| soft.max(epoch));
            return Verdict::Known(Validity::Hard { epoch });
        }
        if let Some(epoch) = overtaken.unprovable {
            let epoch = overtaken.soft.map_or(epoch, |(soft, _)| soft.max(epoch));
            return Verdict::Known(Validity::Unprovable { epoch });
        }
        let soft_unprovable = overtaken
            .soft_unprovable
            .map(|epoch| overtaken.soft.map_or(epoch, |(soft, _)| soft.max(epoch)));
        let otherwise = match health {
            ViewHealth::Recent { .. } => Validity::Current,
            ViewHealth::JournalLost => Validity::JournalLost,
            ViewHealth::JournalLostTooLong => {
                // After `journal_lost_limit` nothing is served as stale; an invalidated entry is
                // not validated either (no_304_restamp), so it stands as if the invalidation were
                // hard.
                let soft = overtaken.soft.map(|(epoch, _)| Validity::Hard { epoch });
                let unprovable = soft_unprovable.map(|epoch| Validity::Unprovable { epoch });
                return Verdict::Known(unprovable.or(soft).unwrap_or(Validity::JournalLostTooLong));
            }
            ViewHealth::Cold | ViewHealth::Outdated => {
                // partial_known, paged_known: every single target must have been looked up within
                // `max_lag`.
                let known = targets.iter().all(|target| self.knows(*target, now, max_lag));
                if !known {
                    return Verdict::Unknown;
                }
                Validity::Current
            }
        };
        // Of those that fell into a bucket it is not known when the first was accepted.
        if let Some(epoch) = soft_unprovable {
            return Verdict::Known(Validity::SoftUnprovable { epoch });
        }
        Verdict::Known(overtaken.soft.map_or(otherwise, |(epoch, at)| Validity::Soft { epoch, at }))
    }

    fn knows(&self, target: TargetHash, now: Timestamp, max_lag: Millis) -> bool {
        self.known.get(&target).copied().max(self.as_of).is_some_and(|at| within(at, now, max_lag))
    }

    fn confirm_epoch(&mut self, epoch: Epoch) {
        self.seen = self.seen.max(Some(epoch));
        self.observe_epoch(epoch);
    }

    fn highest_seen(&self) -> Epoch {
        self.seen.unwrap_or(Epoch::ZERO).max(self.observed)
    }
}

/// Whether `now` is at most `span` after `then`. A `then` in the future beyond the margin is a
/// clock that jumped: no age follows from it.
fn within(then: Timestamp, now: Timestamp, span: Millis) -> bool {
    then <= now.plus(SKEW_MARGIN) && now.since(then) <= span
}
