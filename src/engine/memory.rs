//! L0: what this isolate holds in memory, least recently used out first.
//!
//! The same records as in L1 under the same keys, so a look-up reads alike in both. The budget
//! counts what is held: bodies, heads, keys, hit-for-pass records, and the tables themselves; a
//! record larger than a quarter of the budget is not held.

use std::cell::OnceCell;
use std::collections::{HashMap, VecDeque};
use std::rc::{Rc, Weak};

use crate::base::time::{Epoch, Timestamp};
use crate::cache::compose::field::{COMPOSE, ComposeField, compose_field};
use crate::cache::compose::pieces::{Piece, pieces};
use crate::cache::entry::{ALLOCATION, Entry, text_bytes};
use crate::cache::key::{CacheKey, Selection};

/// A stored response with its body.
pub struct StoredPage<C> {
    /// The head.
    pub entry: Entry,
    /// The body as stored.
    pub body: C,
    /// Its pieces, if it is a composed page's shell: read once.
    shell: OnceCell<Option<Rc<ShellPieces>>>,
}

/// A shell's field, and its body cut at its placeholders.
pub struct ShellPieces {
    /// What the origin says of them.
    pub field: ComposeField,
    /// The pieces.
    pub pieces: Vec<Piece>,
}

impl<C> StoredPage<C> {
    /// A stored response.
    #[must_use]
    pub const fn new(entry: Entry, body: C) -> Self {
        Self { entry, body, shell: OnceCell::new() }
    }

    /// The pieces of a shell; none if it is none that can be read. `bytes` gives the body's.
    pub fn shell_pieces(&self, bytes: impl FnOnce(&C) -> Vec<u8>) -> Option<Rc<ShellPieces>> {
        let read = || {
            let field = compose_field(&self.entry.fields)?.ok()?;
            let pieces = pieces(&field, &bytes(&self.body))?;
            Some(Rc::new(ShellPieces { field, pieces }))
        };
        self.shell.get_or_init(read).clone()
    }
}

/// What the pieces of a shell take in memory, at most.
fn shell_bytes(entry: &Entry) -> u64 {
    let Some(Ok(field)) = compose_field(&entry.fields) else { return 0 };
    let text = entry.fields.get(COMPOSE).map_or(0, text_bytes);
    // Each placeholder is a piece, and the text before it another; lists grow to twice their
    // length.
    4 * field.placeholders as u64 * size_of::<Piece>() as u64 + 4 * text + 512
}

/// What a look-up finds under one key.
pub enum StoredRecord<C> {
    /// A stored response.
    Page(Rc<StoredPage<C>>),
    /// The page varies on these request fields.
    Vary(Rc<[String]>),
    /// Hit-for-pass until then.
    Pass(Rc<str>, Timestamp, Order),
}

/// What comes first: by the stamp, then by when the answer arrived.
pub type Order = (Epoch, Timestamp);

impl<C> StoredRecord<C> {
    /// The order of the answer that it is, or stands for; none if it stands for no answer.
    fn order(&self) -> Option<Order> {
        match self {
            Self::Page(page) => Some((page.entry.stamp, page.entry.response_time)),
            Self::Pass(_, _, order) => Some(*order),
            Self::Vary(_) => None,
        }
    }
}

impl<C> Clone for StoredRecord<C> {
    fn clone(&self) -> Self {
        match self {
            Self::Page(page) => Self::Page(Rc::clone(page)),
            Self::Vary(names) => Self::Vary(Rc::clone(names)),
            Self::Pass(reason, until, order) => Self::Pass(Rc::clone(reason), *until, *order),
        }
    }
}

struct Slot<C, R> {
    key: Rc<CacheKey>,
    held: StoredRecord<C>,
    /// What was made ready of it.
    ready: Option<Rc<R>>,
    bytes: u64,
    /// Its last use. Uses are counted, not timed.
    used: u64,
    /// Look-ups that found it since somebody asked.
    hits: u32,
}

/// What stands under a key.
pub struct MemoryHit<'a, C, R> {
    /// The record.
    pub record: &'a StoredRecord<C>,
    /// What was made ready of it.
    pub ready: Option<&'a Rc<R>>,
    /// How often it was found, as by [`Memory::hits`].
    pub hits: u32,
}

/// A byte-bounded map with least-recently-used eviction. `R` is what can be made ready of a record.
pub struct Memory<C, R = ()> {
    slots: HashMap<Rc<CacheKey>, Slot<C, R>>,
    /// The uses, oldest first. One counts if it is the last of its slot: each slot has one that
    /// does.
    order: VecDeque<(u64, Weak<CacheKey>)>,
    uses: u64,
    bytes: u64,
    budget: u64,
}

/// Uses that no longer count may be as many as the slots, and this many more.
const SPARE_USES: usize = 64;

/// What a body takes beside its bytes: the runtime's object, and what it is counted by here.
const BODY_BYTES: u64 = 256;

impl<C, R> Memory<C, R> {
    /// An empty memory of at most `budget` bytes.
    #[must_use]
    pub fn new(budget: u64) -> Self {
        Self { slots: HashMap::new(), order: VecDeque::new(), uses: 0, bytes: 0, budget }
    }

    /// What stands under a key; counts as a use.
    pub fn get(&mut self, key: &CacheKey) -> Option<StoredRecord<C>> {
        let held = self.slots.get(key)?.held.clone();
        self.note_look(key);
        Some(held)
    }

    /// What stands under a key; counts as no use.
    #[must_use]
    pub fn look(&self, key: &CacheKey) -> Option<MemoryHit<'_, C, R>> {
        let slot = self.slots.get(key)?;
        Some(MemoryHit { record: &slot.held, ready: slot.ready.as_ref(), hits: slot.hits })
    }

    /// What stands under a key was used.
    pub fn note_look(&mut self, key: &CacheKey) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        slot.hits = slot.hits.saturating_add(1);
        // Who was the last to be used stays it.
        if slot.used != self.uses {
            self.uses += 1;
            slot.used = self.uses;
            let key = Rc::clone(&slot.key);
            self.note_use(&key);
        }
    }

    /// Keeps what was made ready of a record, which takes so many bytes, as long as the record.
    pub fn keep_ready(&mut self, key: &CacheKey, ready: Rc<R>, bytes: u64) {
        let Some(slot) = self.slots.get_mut(key).filter(|slot| slot.ready.is_none()) else {
            return;
        };
        let bytes = bytes + ALLOCATION;
        slot.ready = Some(ready);
        slot.bytes += bytes;
        self.bytes += bytes;
        self.make_room();
    }

    /// Puts the latest use in its place. Now and then those that no longer count go: seldom enough
    /// that a use costs the same however many slots there are.
    fn note_use(&mut self, key: &Rc<CacheKey>) {
        self.order.push_back((self.uses, Rc::downgrade(key)));
        if self.order.len() > 2 * self.slots.len() + SPARE_USES {
            let slots = &self.slots;
            let counts = |(used, key): &(u64, Weak<CacheKey>)| {
                let slot = key.upgrade().and_then(|key| slots.get(&key).map(|slot| slot.used));
                slot == Some(*used)
            };
            self.order.retain(counts);
        }
    }

    /// How often a record was found since it was put there, or since [`Memory::take_hits`].
    #[must_use]
    pub fn hits(&self, key: &CacheKey) -> u32 {
        self.slots.get(key).map_or(0, |slot| slot.hits)
    }

    /// How often a variant was found since this was last asked, and since it was put there.
    pub fn take_hits(&mut self, key: &CacheKey, selection: &Selection) -> u32 {
        let slot = self.slots.get_mut(&key.variant(selection));
        slot.map_or(0, |slot| std::mem::take(&mut slot.hits))
    }

    /// Puts a record under a key. An answer never replaces one with a higher stamp, or of the same
    /// stamp that came later: a late fill must not hide a newer one, nor that the page is none any
    /// more. False if there is a newer one.
    pub fn put(&mut self, key: &CacheKey, held: StoredRecord<C>) -> bool {
        let bytes = record_bytes(key, &held);
        if self.has_newer(key, &held) {
            return false;
        }
        if bytes > self.budget / 4 {
            return true;
        }
        self.remove(key);
        self.uses += 1;
        let key = Rc::new(key.clone());
        let slot =
            Slot { key: Rc::clone(&key), held, ready: None, bytes, used: self.uses, hits: 0 };
        self.slots.insert(Rc::clone(&key), slot);
        self.note_use(&key);
        self.bytes += bytes;
        self.make_room();
        true
    }

    /// Whether a stored response, once read, would be held.
    #[must_use]
    pub fn takes(&self, key: &CacheKey, entry: &Entry) -> bool {
        page_bytes(entry) + text_bytes(key.as_str()) + 4 * ALLOCATION <= self.budget / 4
    }

    /// Lets the least recently used go while there is too much.
    fn make_room(&mut self) {
        while self.bytes() > self.budget {
            let Some((used, oldest)) = self.order.pop_front() else { break };
            if let Some(oldest) = oldest.upgrade()
                && self.slots.get(&oldest).is_some_and(|slot| slot.used == used)
            {
                self.remove(&oldest);
            }
        }
    }

    /// Whether what stands under a key is a newer answer, or stands for one.
    #[must_use]
    pub fn has_newer(&self, key: &CacheKey, held: &StoredRecord<C>) -> bool {
        let old = self.slots.get(key).and_then(|slot| slot.held.order());
        old.zip(held.order()).is_some_and(|(old, new)| old > new)
    }

    /// Whether a stored response is the one that it holds.
    #[must_use]
    pub fn has(&self, page: &Rc<StoredPage<C>>) -> bool {
        let key = page.entry.key.variant(&page.entry.selection);
        let held = self.slots.get(&key).map(|slot| &slot.held);
        matches!(held, Some(StoredRecord::Page(held)) if Rc::ptr_eq(held, page))
    }

    /// The stored responses that it holds.
    pub fn pages(&self) -> impl Iterator<Item = &Rc<StoredPage<C>>> {
        self.slots.values().filter_map(|slot| match &slot.held {
            StoredRecord::Page(page) => Some(page),
            StoredRecord::Vary(_) | StoredRecord::Pass(..) => None,
        })
    }

    /// Takes a record out.
    pub fn remove(&mut self, key: &CacheKey) {
        if let Some(slot) = self.slots.remove(key) {
            self.bytes -= slot.bytes;
        }
    }

    /// Bytes held: records with their keys and heads, and the tables themselves.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let buckets = (self.slots.len() * 8 / 7).next_power_of_two() * 2;
        let table = buckets * (size_of::<(Rc<CacheKey>, Slot<C, R>)>() + 1);
        let order = (2 * self.slots.len() + SPARE_USES) * 2 * size_of::<(u64, Weak<CacheKey>)>();
        // An empty memory holds next to nothing, whatever its tables once were.
        if self.slots.is_empty() { 0 } else { self.bytes + (table + order) as u64 }
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

/// Bytes that a stored response takes in memory.
fn page_bytes(entry: &Entry) -> u64 {
    entry.body_length + BODY_BYTES + entry.head_bytes() + shell_bytes(entry)
}

/// Bytes that a record takes in memory, with its key.
fn record_bytes<C>(key: &CacheKey, held: &StoredRecord<C>) -> u64 {
    let bytes = match held {
        StoredRecord::Page(page) => page_bytes(&page.entry),
        StoredRecord::Vary(names) => names.iter().map(|name| TEXT_BYTES + text_bytes(name)).sum(),
        StoredRecord::Pass(reason, ..) => text_bytes(reason),
    };
    bytes + text_bytes(key.as_str()) + 4 * ALLOCATION
}

/// A text's place in a list.
const TEXT_BYTES: u64 = size_of::<String>() as u64;

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use proptest::prelude::*;

    use super::{ALLOCATION, Memory, SPARE_USES, StoredRecord};
    use crate::base::json::read_json;
    use crate::cache::key::CacheKey;

    fn key(number: u8) -> Option<CacheKey> {
        read_json(format!("\"{number}\"").as_bytes()).ok()
    }

    /// Some eight records find room.
    const BUDGET: u64 = 7_000;
    /// What one more would take at least.
    const LEAST: u64 = 64;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Get,
        Put,
        Remove,
    }

    fn step() -> impl Strategy<Value = (Step, u8)> {
        (prop_oneof![6 => Just(Step::Get), 3 => Just(Step::Put), 1 => Just(Step::Remove)], 0u8..12)
    }

    #[test]
    fn what_is_made_ready_counts_as_long_as_its_record() {
        let mut memory: Memory<()> = Memory::new(BUDGET);
        let keys: Vec<CacheKey> = (0..3).filter_map(key).collect();
        for key in &keys {
            memory.put(key, StoredRecord::Vary(Rc::from([])));
        }
        let before = memory.bytes();
        memory.keep_ready(&keys[1], Rc::new(()), 500);
        memory.keep_ready(&keys[1], Rc::new(()), 500);
        assert_eq!(memory.bytes(), before + 500 + ALLOCATION, "once");
        memory.remove(&keys[1]);
        assert!(memory.bytes() < before, "it went with its record");
        memory.keep_ready(&keys[1], Rc::new(()), 500);
        assert!(memory.bytes() < before, "of nothing there is nothing ready");
        memory.keep_ready(&keys[2], Rc::new(()), BUDGET - memory.bytes());
        assert!(memory.look(&keys[0]).is_none(), "the oldest makes room");
        assert!(memory.bytes() <= BUDGET);
    }

    proptest! {
        /// Beside a list of keys, least recently used first, of which those find room that fit.
        #[test]
        fn the_least_recently_used_goes_first(steps in prop::collection::vec(step(), 0..400)) {
            let mut memory: Memory<()> = Memory::new(BUDGET);
            let mut kept: Vec<u8> = Vec::new();
            for (step, number) in steps {
                let key = key(number).ok_or_else(|| TestCaseError::fail("no key"))?;
                let was_there = kept.contains(&number);
                match step {
                    Step::Get => prop_assert_eq!(memory.get(&key).is_some(), was_there),
                    Step::Put => drop(memory.put(&key, StoredRecord::Vary(Rc::from([])))),
                    Step::Remove => memory.remove(&key),
                }
                kept.retain(|kept| *kept != number);
                if was_there && matches!(step, Step::Get) || matches!(step, Step::Put) {
                    kept.push(number);
                }
                while kept.len() > memory.len() && memory.bytes() + LEAST > BUDGET {
                    kept.remove(0);
                }
                prop_assert_eq!(memory.len(), kept.len());
                prop_assert!(memory.bytes() <= BUDGET);
                prop_assert!(memory.order.len() <= 2 * 12 + SPARE_USES);
            }
            for number in kept {
                let key = key(number).ok_or_else(|| TestCaseError::fail("no key"))?;
                prop_assert!(memory.get(&key).is_some(), "{} is there", number);
            }
        }
    }
}
