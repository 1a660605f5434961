//! What must hold, and who watches it.

use std::collections::BTreeMap;

use edge_isr::journal::Mode;

use crate::origin::NAMES;

/// A property of the whole. The numbers are the design's (section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Property {
    /// Invariant 1. A request that arrives more than `max_lag` after an invalidation was
    /// acknowledged gets nothing older as fresh, and nothing older at all if it was hard. For what
    /// is served as stale by a view that is older than `max_lag`, the bound is
    /// `journal_lost_limit`. With a lagging replica it counts from the second epoch; what a restore
    /// lost counts again from its repair.
    Bound,
    /// Invariant 1. Nothing is served under stale-while-revalidate beyond its lifetime and window.
    Window,
    /// Invariant 2. What is stored shows every change up to its stamp: nothing is stamped later
    /// than it was read.
    Stamp,
    /// Invariant 3. An acknowledged epoch is in the journal, by name or in its bucket, or behind a
    /// repair. What a restore lost is repaired if a shard had taken it. With a lagging replica each
    /// has its second epoch when all is quiet.
    Survives,
    /// Invariant 3. One webhook id, one epoch, however often it comes (but for a restore in
    /// between).
    Receipts,
    /// Invariant 4. No lease is granted while another one lives whose result will do.
    OneRefresh,
    /// Invariant 4. Nobody waits for a fetch that began too early to help, and nobody is given a
    /// lease that is.
    Helps,
    /// Invariant 4. What a shard names as a variant's copy never gets older, nor what an isolate
    /// holds in memory (where nothing is evicted).
    Order,
    /// Invariant 5. No visitor sees another's private page, nor anything that another's cookies
    /// shaped.
    Private,
    /// Invariant 6. A visitor gets an error only if the origin gave one within 14 s; or a cut body
    /// if the runtime ended, in the same isolate, the request whose fetch it shares.
    NoWorse,
    /// Invariant 7. A warm counts as done only with a copy that covers it, or with nothing left to
    /// store. When all is quiet, every warm has ended, and what was invalidated and warmed is
    /// stored anew, or a dead letter says why not.
    NoLostWarm,
    /// Every request is answered, unless its tasks were ended.
    Answered,
    /// No request keeps asking its shard without getting anywhere: what was fetched after it came
    /// is good enough.
    Starved,
    /// What may be served while the origin fails is served: who held a copy within its window gets
    /// no error, where nothing was ever invalidated hard.
    Kept,
    /// Who changed a page by an unsafe method sees at least that.
    Own,
    /// What is gone is not served when all is quiet.
    Gone,
    /// Once the number of shards has changed and all is quiet, each page is with its own shard.
    Moved,
    /// Once all is well, isolates of all colos get pages fresh within a few requests, and what is
    /// fresh shows the data as they are.
    Heals,
    /// When all is quiet, every cache in front of the edge has taken what was acknowledged (since a
    /// restore), and got it once all isolates saw it: purged sooner, it could fetch the old page
    /// again.
    FrontCache,
    /// A composed page is whole: no visitor gets a shell as it is stored, a token comes with its
    /// cookie, and a part that did not fail stands in its place. That parts and tokens are the
    /// visitor's own says `Private`.
    Shell,
    /// No object fails, and no call is refused.
    Objects,
}

/// What a change demands of every answer, from a moment on.
#[derive(Clone, Debug)]
pub(crate) struct Need {
    pub(crate) item: usize,
    pub(crate) version: u32,
    pub(crate) mode: Mode,
    pub(crate) at: i64,
    pub(crate) epoch: u64,
    /// Lost by a restore that has not been repaired.
    pub(crate) lost: bool,
    /// The one page that was named; none: whatever shows the item.
    pub(crate) page: Option<usize>,
}

/// An epoch in the journal and what it stands for.
#[derive(Clone, Debug)]
pub(crate) struct Committed {
    pub(crate) epoch: u64,
    pub(crate) shows: Vec<(usize, u32)>,
    pub(crate) lost: bool,
}

/// A lease that was given.
#[derive(Clone, Debug)]
pub(crate) struct Granted {
    pub(crate) object: usize,
    pub(crate) variant: String,
    pub(crate) fence: u64,
    pub(crate) stamp: u64,
    pub(crate) until: i64,
}

/// What was seen so far.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) needs: Vec<Need>,
    pub(crate) committed: Vec<Committed>,
    pub(crate) grants: Vec<Granted>,
    pub(crate) violation: Option<(Property, String)>,
    pub(crate) restored: bool,
    /// A restored journal that has not continued past what others know.
    pub(crate) unrepaired: bool,
    /// The last epoch that a shard had taken of those that the restore lost.
    pub(crate) witnessed: Option<u64>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

/// How an answer was labelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    Fresh,
    Stale,
    OnError,
}

/// An answer to be judged.
pub(crate) struct Served<'a> {
    pub(crate) who: String,
    pub(crate) arrived: i64,
    pub(crate) label: Label,
    pub(crate) page: usize,
    pub(crate) shows: &'a [(usize, u32)],
    /// Whether the isolate's view was older than `max_lag`.
    pub(crate) journal_lost: bool,
}

impl Watch {
    pub(crate) fn violate(&mut self, property: Property, what: String) {
        if self.violation.is_none() {
            self.violation = Some((property, what));
        }
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(crate) fn judge(&mut self, served: &Served<'_>, max_lag: i64, journal_lost_limit: i64) {
        let stale = served.label != Label::Fresh;
        let bound = if stale && served.journal_lost { journal_lost_limit } else { max_lag };
        for (item, version) in served.shows {
            let asks = |need: &&Need| {
                need.item == *item && !need.lost && need.page.is_none_or(|page| page == served.page)
            };
            for need in self.needs.iter().filter(asks) {
                let late = served.arrived - need.at;
                let wrong = need.mode == Mode::Hard || !stale;
                if *version < need.version && late > bound && wrong {
                    let what = format!(
                        "{} got {}{version} as {:?}, but {}{} was invalidated ({:?}, epoch {}) {late} ms before it came",
                        served.who,
                        NAMES[*item],
                        served.label,
                        NAMES[*item],
                        need.version,
                        need.mode,
                        need.epoch
                    );
                    return self.violate(Property::Bound, what);
                }
            }
        }
    }

    /// A stored response against its stamp.
    pub(crate) fn stamped(&mut self, place: &str, stamp: u64, shows: &[(usize, u32)]) {
        if self.unrepaired {
            return;
        }
        for committed in self.committed.iter().filter(|c| c.epoch <= stamp && !c.lost) {
            for (item, version) in &committed.shows {
                if shows.iter().any(|(i, v)| i == item && v < version) {
                    let what = format!(
                        "{place} holds {} stamped {stamp}, but epoch {} is for {}{version}",
                        crate::origin::words(shows),
                        committed.epoch,
                        NAMES[*item]
                    );
                    return self.violate(Property::Stamp, what);
                }
            }
        }
    }

    pub(crate) fn granted(&mut self, new: Granted, now: i64, need: Option<u64>) {
        if let Some(need) = need.filter(|need| new.stamp < *need) {
            let what = format!("lease {} at stamp {} for who needs {need}", new.fence, new.stamp);
            self.violate(Property::Helps, what);
        }
        let bar = need.unwrap_or(new.stamp);
        let other = self.grants.iter().find(|old| {
            old.object == new.object
                && old.variant == new.variant
                && old.fence != new.fence
                && old.until > now
                && old.stamp >= bar
        });
        if let Some(old) = other {
            let what = format!(
                "lease {} of {} at stamp {}, while {} lives with stamp {}",
                new.fence,
                &new.variant[..6],
                new.stamp,
                old.fence,
                old.stamp
            );
            self.violate(Property::OneRefresh, what);
        }
        // A new lease voids the older one. What has ended is known by the clock of its own object
        // only.
        self.grants.retain(|old| {
            old.object != new.object || (old.variant != new.variant && old.until > now)
        });
        self.grants.push(new);
    }

    pub(crate) fn released(&mut self, object: usize, variant: &str, fence: u64) {
        self.grants
            .retain(|old| old.object != object || old.variant != variant || old.fence != fence);
    }
}
