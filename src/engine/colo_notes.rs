//! What an isolate remembers of what the colo has and its own memory has not: which fields a page
//! varies on, so that its variant is found at the first look, and what was asked for, so that what
//! is asked for again is kept near.
//!
//! Neither decides what is served: a wrong note costs a look-up more. Both are bounded in number
//! and in bytes, whatever `memory` is set to.

use std::collections::HashMap;
use std::hash::Hasher as _;
use std::rc::Rc;

use siphasher::sip::SipHasher13;

use crate::cache::key::CacheKey;

/// The most notes of each kind in a generation; two are kept.
const MOST: usize = 512;
/// Names of fields are remembered if they are no longer than that together.
const MOST_NAMES: usize = 256;

/// Notes by the hash of a key. Two pages of one hash share their note, which may then be wrong.
struct Notes<V> {
    young: HashMap<u64, V>,
    old: HashMap<u64, V>,
}

impl<V> Default for Notes<V> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<V: Clone> Notes<V> {
    fn get(&self, hash: u64) -> Option<V> {
        self.young.get(&hash).or_else(|| self.old.get(&hash)).cloned()
    }

    /// What is used stays: it moves to the young ones.
    fn put(&mut self, hash: u64, note: V) {
        self.old.remove(&hash);
        if self.young.len() >= MOST && !self.young.contains_key(&hash) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, note);
    }

    fn take(&mut self, hash: u64) -> Option<V> {
        let old = self.old.remove(&hash);
        self.young.remove(&hash).or(old)
    }
}

/// What is remembered.
#[derive(Default)]
pub struct ColoNotes {
    vary: Notes<Rc<[String]>>,
    asked: Notes<u32>,
}

fn hash(key: &CacheKey) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(key.as_str().as_bytes());
    hasher.finish()
}

impl ColoNotes {
    /// The fields that a page varied on when it was last looked up.
    #[must_use]
    pub fn vary(&self, key: &CacheKey) -> Option<Rc<[String]>> {
        self.vary.get(hash(key))
    }

    /// A page varies on these fields.
    pub fn note_vary(&mut self, key: &CacheKey, names: &Rc<[String]>) {
        if names.iter().map(String::len).sum::<usize>() <= MOST_NAMES {
            self.vary.put(hash(key), Rc::clone(names));
        } else {
            self.forget_vary(key);
        }
    }

    /// A page does not vary, or not on what it did.
    pub fn forget_vary(&mut self, key: &CacheKey) {
        self.vary.take(hash(key));
    }

    /// A stored response was asked for; how often it was before.
    pub fn note_asked(&mut self, key: &CacheKey) -> u32 {
        let hash = hash(key);
        let before = self.asked.get(hash).unwrap_or(0);
        self.asked.put(hash, before.saturating_add(1));
        before
    }

    /// How often a stored response was asked for.
    #[must_use]
    pub fn asked(&self, key: &CacheKey) -> u32 {
        self.asked.get(hash(key)).unwrap_or(0)
    }

    /// A stored response comes into memory: how often it was asked for is counted there.
    pub fn take_asked(&mut self, key: &CacheKey) -> u32 {
        self.asked.take(hash(key)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::{ColoNotes, MOST, MOST_NAMES};
    use crate::cache::key::CacheKey;

    fn key(number: usize) -> CacheKey {
        CacheKey::from_stored(number.to_string())
    }

    #[test]
    fn what_is_asked_for_again_is_known_as_long_as_not_too_much_else_was() {
        let mut notes = ColoNotes::default();
        assert_eq!(notes.note_asked(&key(0)), 0);
        for other in 1..MOST {
            notes.note_asked(&key(other));
        }
        assert_eq!(notes.note_asked(&key(0)), 1);
        for other in 1..=3 * MOST {
            notes.note_asked(&key(other));
        }
        assert_eq!(notes.note_asked(&key(0)), 0, "it was forgotten");
        assert!(notes.asked.young.len() + notes.asked.old.len() <= 2 * MOST);
        assert_eq!(notes.take_asked(&key(0)), 1);
        assert_eq!(notes.note_asked(&key(0)), 0, "memory counts it now");
    }

    #[test]
    fn the_names_of_fields_are_bounded() {
        let mut notes = ColoNotes::default();
        let short: Rc<[String]> = ["accept-encoding".to_owned()].into();
        notes.note_vary(&key(0), &short);
        assert_eq!(notes.vary(&key(0)), Some(short));
        notes.note_vary(&key(0), &["x".repeat(MOST_NAMES + 1)].into());
        assert_eq!(notes.vary(&key(0)), None);
    }
}
