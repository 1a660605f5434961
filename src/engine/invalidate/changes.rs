//! What visitors' unsafe requests change (RFC 9111 §4.4), appended to the journal at a bounded
//! cost.
//!
//! Anyone can send such requests, so an isolate gathers what they name: the first goes at once,
//! what comes within a second after it goes together, under one epoch. What no shard knows to be
//! stored is left out. The visitor who sent one has a bound of their own: what was fetched before
//! their request does not answer them.

use std::collections::HashMap;
use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::base::time::{Epoch, Millis, Timestamp};
use crate::cache::key::Page;
use crate::cache::tag::Target;
use crate::journal::Mode;

/// How long what comes after a first change is gathered.
const INTERVAL: Millis = Millis(1_000);
/// After this the task that gathers counts as ended by the runtime.
const LAPSE: Millis = Millis(10_000);
/// Pages gathered at once. What is beyond is counted, and left to its lifetime.
const MAX_PAGES: usize = 500;
/// What a page's address holds at most as a rule, and what all longer ones together may hold.
const ORDINARY_ADDRESS: usize = 2 << 10;
const LONG_ADDRESSES: usize = 256 << 10;
/// How long a visitor's own bound holds.
const OWN_BOUND: Millis = Millis(60_000);
/// Such bounds at once; beyond, the oldest go.
const MAX_BOUNDS: usize = 1_000;

/// A page that may have changed.
pub(super) struct Change {
    pub(super) page: Page,
    pub(super) mode: Mode,
    /// Whether other CDNs said something of the request (RFC 8586 §2): that is part of keys.
    pub(super) passed_on: bool,
}

impl Change {
    /// The page's URL, in all of its variants.
    pub(super) fn url(&self) -> Target {
        Target::Url(self.page.purge_name())
    }
}

/// What an isolate has gathered.
#[derive(Default)]
pub struct Changes {
    pages: Vec<Change>,
    /// When something was appended last.
    appended: Option<Timestamp>,
    /// Since when a task waits to append what is gathered.
    waiting: Option<Timestamp>,
    /// Who changed which page.
    bounds: HashMap<(u64, u64), VisitorChange>,
}

/// A visitor's own change of a page.
#[derive(Clone, Copy)]
pub(super) struct VisitorChange {
    pub(super) at: Timestamp,
    /// The epoch that it got in the journal, once it has one.
    pub(super) epoch: Option<Epoch>,
    /// No shard knows the page: what is not stored here is stored in another isolate of the colo at
    /// most.
    pub(super) unknown: bool,
}

impl Changes {
    /// Whether no visitor changed anything of late.
    pub(crate) fn is_empty(&self) -> bool {
        self.bounds.is_empty()
    }

    /// Gathers pages; those that are to be appended now, if it is time, and whether a task is to
    /// wait.
    pub(super) fn gather(&mut self, pages: Vec<Change>, now: Timestamp) -> Gathered {
        let mut dropped = 0;
        for change in pages {
            let name = change.page.purge_name();
            let full = self.pages.len() >= MAX_PAGES || self.is_too_long(name.len());
            match self.pages.iter_mut().find(|known| known.page.purge_name() == name) {
                Some(known) => {
                    known.passed_on |= change.passed_on;
                    if change.mode == Mode::Hard {
                        known.mode = change.mode;
                    }
                }
                None if full => dropped += 1,
                None => self.pages.push(change),
            }
        }
        let waits = self.waiting.is_some_and(|since| now.since(since) < LAPSE);
        let rested = self.appended.is_none_or(|at| now.since(at) >= INTERVAL);
        let next = match (waits, rested) {
            (true, _) => AppendStep::Nothing,
            (false, true) => AppendStep::Append(self.take(now)),
            (false, false) => {
                self.waiting = Some(now);
                AppendStep::Wait(self.appended.map_or(INTERVAL, |at| at.plus(INTERVAL).since(now)))
            }
        };
        Gathered { next, dropped }
    }

    /// Whether a page with an address of this length is one too many of those with long ones.
    fn is_too_long(&self, length: usize) -> bool {
        if length <= ORDINARY_ADDRESS {
            return false;
        }
        let lengths = self.pages.iter().map(|change| change.page.purge_name().len());
        length + lengths.filter(|length| *length > ORDINARY_ADDRESS).sum::<usize>() > LONG_ADDRESSES
    }

    pub(super) fn take(&mut self, now: Timestamp) -> Vec<Change> {
        self.waiting = None;
        self.appended = Some(now);
        std::mem::take(&mut self.pages)
    }

    pub(super) fn bind(&mut self, who: u64, pages: &[Change], now: Timestamp) {
        self.bounds.retain(|_, bound| now.since(bound.at) < OWN_BOUND);
        if self.bounds.len() + pages.len() > MAX_BOUNDS {
            let newest = now.minus(Millis(OWN_BOUND.0 / 8));
            self.bounds.retain(|_, bound| bound.at > newest);
        }
        if self.bounds.len() + pages.len() > MAX_BOUNDS {
            self.bounds.clear();
        }
        for change in pages {
            let bound = VisitorChange { at: now, epoch: None, unknown: false };
            self.bounds.insert((who, number(&change.page.purge_name())), bound);
        }
    }

    /// A visitor's own change of a page, while it holds.
    pub(super) fn change_by(
        &self,
        who: impl FnOnce() -> u64,
        page: &Page,
        now: Timestamp,
    ) -> Option<VisitorChange> {
        if self.bounds.is_empty() {
            return None;
        }
        let bound = self.bounds.get(&(who(), number(&page.purge_name())))?;
        (now.since(bound.at) < OWN_BOUND).then_some(*bound)
    }

    /// No shard knew these pages.
    pub(super) fn note_unknown(&mut self, names: &[u64], sent: Timestamp) {
        for ((_, name), bound) in &mut self.bounds {
            bound.unknown |= bound.at <= sent && names.contains(name);
        }
    }

    /// The journal has what was changed of these pages up to `sent`.
    pub(super) fn acknowledge(&mut self, names: &[u64], epoch: Epoch, sent: Timestamp) {
        for ((_, name), bound) in &mut self.bounds {
            if bound.at <= sent && names.contains(name) {
                bound.epoch = Some(epoch);
            }
        }
    }
}

pub(super) struct Gathered {
    pub(super) next: AppendStep,
    pub(super) dropped: u64,
}

pub(super) enum AppendStep {
    /// Append these.
    Append(Vec<Change>),
    /// Wait so long, then append what is there.
    Wait(Millis),
    /// Another waits.
    Nothing,
}

pub(super) fn number(name: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(name.as_bytes());
    hasher.finish()
}
