//! A journal in its object: what is being delivered to which shard and front cache, and what the
//! shards answered.

use std::cell::RefCell;
use std::collections::HashMap;
use std::task::Waker;

use crate::base::sql::Sql;
use crate::base::time::{Epoch, Millis, Timestamp};
use crate::config::LogLevel;
use crate::config::front_cache_access::FrontCacheAccess;
use crate::index::Invalidated;
use crate::journal::{Journal, JournalError};

/// How long a delivery counts as alive without a sign: longer than a call to a shard may take.
const LAPSE: Millis = Millis(15_000);

/// A journal in its object.
pub struct JournalHost<S: Sql> {
    journal: Result<RefCell<Journal<S>>, JournalError>,
    /// The shards that are being delivered to, and the last sign of each delivery.
    pub(super) delivering: RefCell<HashMap<u16, Timestamp>>,
    /// What the shards answered to the appends that wait for it.
    pub(super) counts: RefCell<HashMap<Epoch, Count>>,
    /// Caches in front of the edge.
    pub(crate) front_caches: Vec<FrontCacheAccess>,
    /// The last sign of the delivery to each, while there is one.
    delivery_signs: RefCell<Vec<Option<Timestamp>>>,
    /// What is logged.
    pub(crate) log: LogLevel,
}

/// What the shards answered to an invalidation so far.
pub(super) struct Count {
    pub(super) sum: Invalidated,
    /// Shards that have not answered.
    pub(super) left: usize,
    pub(super) waker: Option<Waker>,
}

impl<S: Sql> JournalHost<S> {
    /// A journal, or why it could not be opened.
    #[must_use]
    pub fn new(journal: Result<Journal<S>, JournalError>) -> Self {
        Self {
            journal: journal.map(RefCell::new),
            delivering: RefCell::default(),
            counts: RefCell::default(),
            front_caches: Vec::new(),
            delivery_signs: RefCell::default(),
            log: LogLevel::Problems,
        }
    }

    /// The same with caches in front of the edge to deliver to.
    #[must_use]
    pub fn with_front_caches(self, front_caches: Vec<FrontCacheAccess>, log: LogLevel) -> Self {
        let delivery_signs = RefCell::new(vec![None; front_caches.len()]);
        Self { front_caches, log, delivery_signs, ..self }
    }

    pub(crate) fn act<T>(
        &self,
        act: impl FnOnce(&mut Journal<S>) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        match &self.journal {
            Ok(journal) => act(&mut journal.borrow_mut()),
            Err(error) => Err(error.clone()),
        }
    }

    /// When there is something to do next.
    ///
    /// # Errors
    /// The journal's.
    pub fn next_wake(&self) -> Result<Option<Timestamp>, JournalError> {
        let next = self.act(|journal| journal.next_wake())?;
        Ok([next, self.next_front_cache()?].into_iter().flatten().min())
    }

    /// When a front cache is to be asked next. One that is being purged is looked after until its
    /// delivery's sign lapses.
    fn next_front_cache(&self) -> Result<Option<Timestamp>, JournalError> {
        let mut next = None;
        for (at, access) in self.front_caches.iter().enumerate() {
            let wake = match self.front_cache_sign(at) {
                Some(lapse) => Some(lapse),
                None => self.act(|journal| journal.front_cache_wake(&access.front_cache.name))?,
            };
            next = [next, wake].into_iter().flatten().min();
        }
        Ok(next)
    }

    /// Takes a front cache up, unless a delivery to it is alive.
    pub(crate) fn claim_front_cache(&self, at: usize, now: Timestamp) -> bool {
        let free = self.front_cache_sign(at).is_none_or(|lapse| lapse <= now);
        if free {
            self.sign_front_cache(at, Some(now));
        }
        free
    }

    /// A sign of the delivery to a front cache; none: it has ended.
    pub(crate) fn sign_front_cache(&self, at: usize, sign: Option<Timestamp>) {
        if let Some(slot) = self.delivery_signs.borrow_mut().get_mut(at) {
            *slot = sign;
        }
    }

    /// Until when the delivery to a front cache counts as alive, if there is one.
    pub(crate) fn front_cache_sign(&self, at: usize) -> Option<Timestamp> {
        self.delivery_signs.borrow().get(at).copied().flatten().map(|sign| sign.plus(LAPSE))
    }

    pub(super) fn is_delivering(&self, shard: u16, now: Timestamp) -> bool {
        self.delivering.borrow().get(&shard).is_some_and(|sign| now.since(*sign) < LAPSE)
    }

    /// What a shard answered to an invalidation; none: it could not be asked.
    pub(super) fn add_counts(&self, epoch: Epoch, reply: Option<&Invalidated>) {
        let mut counts = self.counts.borrow_mut();
        let Some(count) = counts.get_mut(&epoch) else { return };
        count.left = count.left.saturating_sub(1);
        match reply {
            Some(reply) => {
                count.sum.pages += reply.pages;
                count.sum.warming += reply.warming;
                count.sum.unknown += reply.unknown;
                count.sum.complete &= reply.complete;
            }
            None => count.sum.complete = false,
        }
        if let Some(waker) = count.waker.take() {
            waker.wake();
        }
    }
}
