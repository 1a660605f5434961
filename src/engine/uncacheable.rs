//! What an isolate remembers of addresses whose answers can't be stored: requests for them go to
//! the origin whole, at once, rather than first without what no key has.
//!
//! A *hit-for-pass entry* is of one page. What is learned of addresses below one *prefix* holds for
//! new ones there: once the answers for some of them could not be stored, and none could, the next
//! is expected to be such a one. Where pages are stored too it takes more of them, and each that is
//! stored takes half away: addresses that strangers invent among pages cost one request each, and a
//! directory of pages of both kinds is not taken for one of the others. Neither ever decides what
//! is stored, nor what a visitor gets: a wrong one costs a request more, and the first answer that
//! looks as if it could be kept corrects it.
//!
//! Both are bounded in number, and forgotten first of all.

use std::collections::HashMap;
use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::base::time::{Millis, Timestamp};
use crate::cache::entry::map_bytes;
use crate::cache::key::{CacheKey, Page};
use crate::cache::not_forwarded::NotForwarded;

/// How long an entry holds at first.
pub const LIFETIME: Millis = Millis(60_000);
/// How long one holds that describes the moment.
pub const TRANSIENT_LIFETIME: Millis = Millis(5_000);
/// How long an entry holds that was right again and again.
const MAX_LIFETIME: Millis = Millis(600_000);
/// The most entries, and the most prefixes.
const MOST: usize = 2_048;
/// How long a prefix counts as one with pages that are stored.
const STORED_BELOW: Millis = Millis(600_000);
/// At least so many addresses does it take there to judge new ones.
const AMONG_STORED: u32 = 8;
/// What is counted of them at most: soon forgotten once pages are stored again.
const MOST_REFUSED: u32 = 64;
/// The most prefixes of one address that count.
const MAX_PREFIXES: usize = 6;

/// A page whose requests go whole, and until when.
struct HitForPass {
    /// When the answer arrived that it stands for.
    at: Timestamp,
    until: Timestamp,
    lifetime: Millis,
    /// Whether it describes the moment alone.
    transient: bool,
    /// Who it is for: requests of which this much is not forwarded.
    least: NotForwarded,
    reason: &'static str,
    /// When the page may be tried again without what is not forwarded, if an answer looks as if it
    /// could be kept.
    try_at: Timestamp,
}

/// What is known of the addresses below one prefix.
struct PrefixRecord {
    /// Addresses whose answers could not be stored; half as many with each that is stored.
    refused: u32,
    /// The latest of them.
    latest: u64,
    until: Timestamp,
    /// Until when it counts that a page below it is stored.
    stored_until: Timestamp,
}

/// The memory.
#[derive(Default)]
pub struct Uncacheable {
    hits_for_pass: HashMap<u64, HitForPass>,
    below: HashMap<u64, PrefixRecord>,
}

/// An entry to insert.
pub struct NewHitForPass {
    /// How long it holds at first.
    pub lifetime: Millis,
    /// Whether it describes the moment alone.
    pub transient: bool,
    /// Requests that it is for: those of which at least this is not forwarded.
    pub least: NotForwarded,
    /// Why the answer could not be stored.
    pub reason: &'static str,
    /// Whether the next answer that looks as if it could be kept is worth a try at once.
    pub may_pass_soon: bool,
}

/// What is stored of a page: what an isolate learned before that, or of a moment that it outlives,
/// does not hold for it.
pub struct StoredSince {
    /// When the origin was asked for it.
    pub request_time: Timestamp,
    /// Whether it has a window for errors.
    pub has_stale_if_error: bool,
}

/// A prefix of an address, and how many addresses in a row it takes to judge new ones.
pub type Prefix = (u64, u32);

/// The prefixes of a page's address, longest first: the path of one with a query, then the
/// directories above.
#[must_use]
pub fn prefixes(page: &Page) -> Vec<Prefix> {
    let path = page.path.strip_suffix('/').unwrap_or(&page.path);
    let mut ends: Vec<usize> = path.match_indices('/').map(|(at, _)| at + 1).collect();
    let by_query = page.query.as_ref().map(|_| hash(&page.host, &[&page.path, "?"]));
    let root = ends.first().copied();
    ends.reverse();
    let directories = ends.iter().map(|end| {
        let text = path.get(..*end).unwrap_or_default();
        (hash(&page.host, &[text]), Some(*end) == root)
    });
    let all = by_query.map(|hash| (hash, false)).into_iter().chain(directories);
    let needed = |(place, (hash, is_root)): (usize, (u64, bool))| {
        // One level up the addresses are alike; further up there may be anything.
        let needed = match (place, is_root) {
            (_, true) => 8,
            (0, false) => 2,
            (_, false) => 6,
        };
        (hash, needed)
    };
    all.enumerate().map(needed).take(MAX_PREFIXES).collect()
}

/// What a page is found by in the memory: a hash of its key.
#[must_use]
pub fn page_hash(key: &CacheKey) -> u64 {
    hash("", &[key.as_str()])
}

fn hash(host: &str, parts: &[&str]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(host.as_bytes());
    for part in parts {
        hasher.write_u8(0);
        hasher.write(part.as_bytes());
    }
    hasher.finish()
}

impl Uncacheable {
    /// Notes that a page's requests go whole; returns until when. An entry that is right again
    /// after it lapsed holds twice as long.
    pub fn insert(&mut self, page: u64, new: &NewHitForPass, now: Timestamp) -> Timestamp {
        let again = self.hits_for_pass.get(&page).filter(|old| now < old.until.plus(old.lifetime));
        let longer = again.filter(|old| now >= old.until).map(|old| Millis(old.lifetime.0 * 2));
        let unexpired = again.filter(|old| now < old.until).map(|old| old.lifetime);
        let lifetime =
            longer.or(unexpired).unwrap_or(new.lifetime).max(new.lifetime).min(MAX_LIFETIME);
        let first = again.is_none();
        make_room(&mut self.hits_for_pass, |entry| now < entry.until.plus(entry.lifetime));
        let until = now.plus(lifetime);
        let try_at = if new.may_pass_soon && first { now } else { now.plus(lifetime) };
        let NewHitForPass { transient, least, reason, .. } = *new;
        let entry = HitForPass { at: now, until, lifetime, transient, least, reason, try_at };
        self.hits_for_pass.insert(page, entry);
        until
    }

    /// Why a request of which this much is not forwarded goes whole, if the page has an entry for
    /// it.
    #[must_use]
    pub fn reason(&self, page: u64, left: NotForwarded, now: Timestamp) -> Option<&'static str> {
        let entry = self.hits_for_pass.get(&page)?;
        (now < entry.until && left >= entry.least).then_some(entry.reason)
    }

    /// Whether the page has an entry for anyone, what is stored of it being this.
    #[must_use]
    pub fn has(&self, page: u64, stored: Option<&StoredSince>, now: Timestamp) -> bool {
        let holds = |entry: &HitForPass| {
            stored.is_none_or(|stored| {
                let spared = entry.transient && stored.has_stale_if_error;
                entry.at >= stored.request_time && !spared
            })
        };
        self.hits_for_pass.get(&page).is_some_and(|entry| now < entry.until && holds(entry))
    }

    /// Whether the page may be tried without what is not forwarded: now, if it has no entry; once
    /// for each entry.
    pub fn claim_try(&mut self, page: u64, now: Timestamp) -> bool {
        let Some(entry) = self.hits_for_pass.get_mut(&page) else { return true };
        if now < entry.try_at {
            return false;
        }
        entry.try_at = now.plus(entry.lifetime);
        true
    }

    /// Notes that a page's answer could not be stored.
    pub fn refused(&mut self, page: u64, prefixes: &[Prefix], now: Timestamp) {
        make_room(&mut self.below, |below| now < below.until.max(below.stored_until));
        for (prefix, _) in prefixes {
            let new =
                PrefixRecord { refused: 0, latest: 0, until: now, stored_until: Timestamp::ZERO };
            let below = self.below.entry(*prefix).or_insert(new);
            if now > below.until {
                below.refused /= 2;
            }
            if below.latest != page {
                below.refused = (below.refused + 1).min(MOST_REFUSED);
                below.latest = page;
            }
            let minutes = u64::from(below.refused.clamp(1, 10));
            below.until = now.plus(Millis(LIFETIME.0 * minutes));
        }
    }

    /// Notes that a page's answer was stored.
    pub fn stored(&mut self, page: u64, prefixes: &[Prefix], now: Timestamp) {
        self.hits_for_pass.remove(&page);
        make_room(&mut self.below, |below| now < below.until.max(below.stored_until));
        for (prefix, _) in prefixes {
            let stored_until = now.plus(STORED_BELOW);
            let new = PrefixRecord { refused: 0, latest: 0, until: now, stored_until };
            let below = self.below.entry(*prefix).or_insert(new);
            let refused = if now < below.stored_until { below.refused / 2 } else { 0 };
            *below = PrefixRecord { refused, latest: 0, until: below.until, stored_until };
        }
    }

    /// Whether the answer for an address of which nothing is known is expected to be one that can't
    /// be stored.
    #[must_use]
    pub fn is_expected(&self, prefixes: &[Prefix], now: Timestamp) -> bool {
        for (prefix, needed) in prefixes {
            let Some(below) = self.below.get(prefix) else { continue };
            let among_stored = now < below.stored_until;
            let needed = if among_stored { AMONG_STORED.max(*needed) } else { *needed };
            if now < below.until && below.refused >= needed {
                return true;
            }
            if among_stored {
                return false;
            }
        }
        false
    }

    /// Bytes that all of them take.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let hits_for_pass = map_bytes::<u64, HitForPass>(self.hits_for_pass.capacity());
        hits_for_pass + map_bytes::<u64, PrefixRecord>(self.below.capacity())
    }

    /// How many entries and prefixes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hits_for_pass.len() + self.below.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Makes room for one more (a prefix may be several): first goes what has lapsed, then everything.
fn make_room<T>(map: &mut HashMap<u64, T>, holds: impl Fn(&T) -> bool) {
    if map.len() + MAX_PREFIXES > MOST {
        map.retain(|_, value| holds(value));
    }
    if map.len() + MAX_PREFIXES > MOST {
        map.clear();
    }
}
