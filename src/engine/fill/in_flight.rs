//! What is in flight for a key: those who ask for the same meanwhile wait for it, or leave it
//! alone.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::base::time::{Millis, Timestamp};
use crate::cache::storage::NoStore;
use crate::engine::fill::shared::SharedFill;
use crate::engine::platform_limits::next_look;
use crate::engine::port::{OriginError, Platform};

/// What is in flight for a key.
pub enum InFlight<P: Platform> {
    /// A fill.
    Fill(SharedFill<P>),
    /// A visitor's own request, sent whole: its answer shows whether the page may be stored.
    Probe(Probe<P>),
    /// A refresh has failed: none begins before this.
    Paused(Timestamp),
}

impl<P: Platform> Clone for InFlight<P> {
    fn clone(&self) -> Self {
        match self {
            Self::Fill(fill) => Self::Fill(fill.clone()),
            Self::Probe(probe) => Self::Probe(probe.clone()),
            Self::Paused(until) => Self::Paused(*until),
        }
    }
}

impl<P: Platform> InFlight<P> {
    /// Whether it has lapsed: nothing has moved for `limit`, or the pause is over.
    #[must_use]
    pub fn is_over(&self, now: Timestamp, limit: Millis) -> bool {
        match self {
            Self::Fill(fill) => fill.is_dead(now, limit),
            Self::Probe(probe) => probe.is_over(now, limit),
            Self::Paused(until) => now >= *until,
        }
    }
}

/// What a request that was sent whole shows of its page.
pub enum ProbeOutcome<P: Platform> {
    /// It can't be stored.
    NotStored(NoStore),
    /// It looks as if it could be: it is fetched once more, by this fill.
    Fetched(SharedFill<P>),
    /// The origin failed.
    Failed(OriginError),
    /// Nothing: its visitor has left, or its answer is about nobody else.
    Nothing,
}

impl<P: Platform> Clone for ProbeOutcome<P> {
    fn clone(&self) -> Self {
        match self {
            Self::NotStored(reason) => Self::NotStored(*reason),
            Self::Fetched(fill) => Self::Fetched(fill.clone()),
            Self::Failed(error) => Self::Failed(*error),
            Self::Nothing => Self::Nothing,
        }
    }
}

/// A request that has not shown for so long that it runs was ended by the runtime: its visitor
/// left.
pub const PROBE_SILENT: Millis = Millis(3_000);

struct ProbeState<P: Platform> {
    outcome: RefCell<Option<ProbeOutcome<P>>>,
    began: Timestamp,
    /// When its request last showed that it runs.
    heartbeat: Cell<Timestamp>,
}

/// A visitor's own request on its way, for those who wait to know what it shows. Cloning shares it.
pub struct Probe<P: Platform>(Rc<ProbeState<P>>);

impl<P: Platform> Clone for Probe<P> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<P: Platform> Probe<P> {
    /// One that begins now.
    #[must_use]
    pub fn begin(now: Timestamp) -> Self {
        let (outcome, heartbeat) = (RefCell::new(None), Cell::new(now));
        Self(Rc::new(ProbeState { outcome, began: now, heartbeat }))
    }

    /// Its request runs: to be called every second.
    pub fn beat(&self, now: Timestamp) {
        self.0.heartbeat.set(now);
    }

    fn is_over(&self, now: Timestamp, limit: Millis) -> bool {
        now.since(self.0.began) > limit || now.since(self.0.heartbeat.get()) > PROBE_SILENT
    }

    /// Whether this and the other are the same.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// Resolves it for those who wait. The first outcome stays.
    pub fn resolve(&self, outcome: ProbeOutcome<P>) {
        self.0.outcome.borrow_mut().get_or_insert(outcome);
    }

    /// What it showed, if that is known.
    #[must_use]
    pub fn outcome(&self) -> Option<ProbeOutcome<P>> {
        self.0.outcome.borrow().clone()
    }

    /// Waits for the outcome; nothing after `limit`, or once its request no longer runs.
    pub async fn wait_outcome(&self, platform: &P, limit: Millis) -> ProbeOutcome<P> {
        loop {
            if let Some(outcome) = self.outcome() {
                return outcome;
            }
            let now = platform.now();
            if self.is_over(now, limit) {
                return ProbeOutcome::Nothing;
            }
            platform.sleep(next_look(now.since(self.0.began))).await;
        }
    }
}
