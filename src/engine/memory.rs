//! L0: what this isolate holds in memory, least recently used out first.
//!
//! The same records as in L1 under the same keys, so a look-up reads alike in both. The budget counts bodies and an
//! estimate of each head; a record larger than a quarter of the budget is not held.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use crate::entry::Entry;
use crate::key::{CacheKey, Selection};
use crate::rule::Rule;
use crate::time::Timestamp;

/// A stored response with its body.
pub struct StoredPage<C> {
    /// The head.
    pub entry: Entry,
    /// The body as stored.
    pub body: C,
}

/// What a look-up finds under one key.
pub enum Held<C> {
    /// A stored response.
    Page(Rc<StoredPage<C>>),
    /// The page varies on these request fields.
    Vary(Rc<[String]>),
    /// Hit-for-pass until then.
    Pass(Rc<str>, Timestamp),
}

impl<C> Clone for Held<C> {
    fn clone(&self) -> Self {
        match self {
            Self::Page(page) => Self::Page(Rc::clone(page)),
            Self::Vary(names) => Self::Vary(Rc::clone(names)),
            Self::Pass(reason, until) => Self::Pass(Rc::clone(reason), *until),
        }
    }
}

struct Slot<C> {
    held: Held<C>,
    bytes: u64,
    used: u64,
    /// Look-ups that found it since somebody asked.
    hits: u32,
}

/// A byte-bounded map with least-recently-used eviction.
pub struct Memory<C> {
    slots: HashMap<CacheKey, Slot<C>>,
    /// Last use → key: each slot stands here once. Uses are counted, not timed.
    order: BTreeMap<u64, CacheKey>,
    uses: u64,
    bytes: u64,
    budget: u64,
}

/// What a head costs beside its body: maps, fields, hashes.
const HEAD_BYTES: u64 = 2_048;

impl<C> Memory<C> {
    /// An empty memory of at most `budget` bytes.
    #[must_use]
    pub fn new(budget: u64) -> Self {
        Self { slots: HashMap::new(), order: BTreeMap::new(), uses: 0, bytes: 0, budget }
    }

    /// What stands under a key; counts as a use.
    pub fn get(&mut self, key: &CacheKey) -> Option<Held<C>> {
        let slot = self.slots.get_mut(key)?;
        self.uses += 1;
        if let Some(key) = self.order.remove(&slot.used) {
            self.order.insert(self.uses, key);
        }
        slot.used = self.uses;
        slot.hits = slot.hits.saturating_add(1);
        Some(slot.held.clone())
    }

    /// How often a variant was found since this was last asked, and since it was put there.
    pub fn take_hits(&mut self, key: &CacheKey, selection: &Selection) -> u32 {
        let slot = self.slots.get_mut(&key.variant(selection));
        slot.map_or(0, |slot| std::mem::take(&mut slot.hits))
    }

    /// Puts a record under a key. A stored response never replaces one with a higher stamp, or of the same stamp and
    /// fetched later: a late fill must not hide a newer one.
    pub fn put(&mut self, key: &CacheKey, held: Held<C>) {
        let bytes = match &held {
            Held::Page(page) => {
                page.entry.body_length + HEAD_BYTES + 64 * page.entry.tags.len() as u64
            }
            Held::Vary(_) | Held::Pass(..) => 256,
        };
        if bytes > self.budget / 4 {
            return;
        }
        if let (Held::Page(new), Some(Held::Page(old))) =
            (&held, self.slots.get(key).map(|slot| &slot.held))
            && Rule::StoreOrder.holds()
            && (old.entry.stamp, old.entry.response_time)
                > (new.entry.stamp, new.entry.response_time)
        {
            return;
        }
        self.remove(key);
        self.uses += 1;
        self.order.insert(self.uses, key.clone());
        self.slots.insert(key.clone(), Slot { held, bytes, used: self.uses, hits: 0 });
        self.bytes += bytes;
        while self.bytes > self.budget {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            if let Some(slot) = self.slots.remove(&oldest) {
                self.bytes -= slot.bytes;
            }
        }
    }

    /// Takes a record out.
    pub fn remove(&mut self, key: &CacheKey) {
        if let Some(slot) = self.slots.remove(key) {
            self.order.remove(&slot.used);
            self.bytes -= slot.bytes;
        }
    }

    /// Bytes held.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Records held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}
