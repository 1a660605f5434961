//! What an isolate remembers of what the colo has and its own memory has not: which fields a page
//! varies on, so that its variant is found at the first look, and what was asked for, so that what
//! is asked for again is kept near.
//!
//! Neither decides what is served: a wrong hint costs a look-up more. Both are bounded in number
//! and in bytes, whatever `memory` is set to.

use std::collections::HashMap;
use std::hash::Hasher as _;
use std::rc::Rc;

use siphasher::sip::SipHasher13;

use crate::cache::key::CacheKey;

/// The most hints of each kind in a generation; two are kept.
const MOST: usize = 512;
/// Names of fields are remembered if they are no longer than that together.
const MOST_NAMES: usize = 256;

/// Hints by the hash of a key. Two pages of one hash share their hint, which may then be wrong.
struct Hints<V> {
    young: HashMap<u64, V>,
    old: HashMap<u64, V>,
}

impl<V> Default for Hints<V> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<V: Clone> Hints<V> {
    fn get(&self, hash: u64) -> Option<V> {
        self.young.get(&hash).or_else(|| self.old.get(&hash)).cloned()
    }

    /// What is used stays: it moves to the young ones.
    fn put(&mut self, hash: u64, hint: V) {
        self.old.remove(&hash);
        if self.young.len() >= MOST && !self.young.contains_key(&hash) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, hint);
    }

    fn take(&mut self, hash: u64) -> Option<V> {
        let old = self.old.remove(&hash);
        self.young.remove(&hash).or(old)
    }
}

/// What is remembered.
#[derive(Default)]
pub struct ColoHints {
    vary: Hints<Rc<[String]>>,
    requests: Hints<u32>,
}

fn hash(key: &CacheKey) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(key.as_str().as_bytes());
    hasher.finish()
}

impl ColoHints {
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
    pub fn count_request(&mut self, key: &CacheKey) -> u32 {
        let hash = hash(key);
        let before = self.requests.get(hash).unwrap_or(0);
        self.requests.put(hash, before.saturating_add(1));
        before
    }

    /// How often a stored response was asked for.
    #[must_use]
    pub fn requests(&self, key: &CacheKey) -> u32 {
        self.requests.get(hash(key)).unwrap_or(0)
    }

    /// A stored response comes into memory: how often it was asked for is counted there.
    pub fn take_requests(&mut self, key: &CacheKey) -> u32 {
        self.requests.take(hash(key)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::{ColoHints, MOST, MOST_NAMES};
    use crate::cache::key::CacheKey;

    fn key(number: usize) -> CacheKey {
        CacheKey::from_stored(number.to_string())
    }

    #[test]
    fn what_is_asked_for_again_is_known_as_long_as_not_too_much_else_was() {
        let mut hints = ColoHints::default();
        assert_eq!(hints.count_request(&key(0)), 0);
        for other in 1..MOST {
            hints.count_request(&key(other));
        }
        assert_eq!(hints.count_request(&key(0)), 1);
        for other in 1..=3 * MOST {
            hints.count_request(&key(other));
        }
        assert_eq!(hints.count_request(&key(0)), 0, "it was forgotten");
        assert!(hints.requests.young.len() + hints.requests.old.len() <= 2 * MOST);
        assert_eq!(hints.take_requests(&key(0)), 1);
        assert_eq!(hints.count_request(&key(0)), 0, "memory counts it now");
    }

    #[test]
    fn the_names_of_fields_are_bounded() {
        let mut hints = ColoHints::default();
        let short: Rc<[String]> = ["accept-encoding".to_owned()].into();
        hints.note_vary(&key(0), &short);
        assert_eq!(hints.vary(&key(0)), Some(short));
        hints.note_vary(&key(0), &["x".repeat(MOST_NAMES + 1)].into());
        assert_eq!(hints.vary(&key(0)), None);
    }
}
