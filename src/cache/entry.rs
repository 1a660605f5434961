//! A stored response: one variant of a page, without its body.

use serde::{Deserialize, Serialize};

use crate::base::time::{Epoch, Millis, Seconds, Timestamp};
use crate::cache::key::{CacheKey, Page, Selection};
use crate::cache::tag::{TagSet, TargetHash};
use crate::http::Fields;

/// The head of a stored response (RFC 9111 §3), with all that later decisions need.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The primary key: compared after a look-up by digest.
    pub key: CacheKey,
    /// The page it is a variant of.
    pub page: Page,
    /// What its `Vary` selected; empty if the response does not vary.
    pub selection: Selection,
    /// The status code.
    pub status: u16,
    /// The response's fields, without hop-by-hop and tag fields.
    pub fields: Fields,
    /// The page's tags.
    pub tags: TagSet,
    /// The hashes of everything that invalidates it: follows from page and tags.
    pub targets: Vec<TargetHash>,
    /// The epoch that the filler's view had before the origin request began.
    pub stamp: Epoch,
    /// The fencing number of the lease it was filled under; 0 without a lease.
    pub fence: u64,
    /// When the request that it answers was sent.
    pub request_time: Timestamp,
    /// When its head arrived.
    pub response_time: Timestamp,
    /// `corrected_initial_age` (RFC 9111 §4.2.3).
    pub initial_age: Seconds,
    /// For how long it can be used, and how.
    pub freshness: Freshness,
    /// Bytes of the body as stored.
    pub body_length: u64,
}

impl Entry {
    /// Bytes that the head takes in memory, allocations included; not the body.
    #[must_use]
    pub fn head_bytes(&self) -> u64 {
        let page = &self.page;
        let texts = [&page.scheme, &page.host, &page.purge_host, &page.path];
        let mut bytes = size_of::<Self>() as u64 + text_bytes(self.key.as_str());
        bytes += texts.into_iter().chain(&page.query).map(|text| text_bytes(text)).sum::<u64>();
        let pairs = self.selection.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in pairs.chain(self.fields.iter()) {
            bytes += PAIR_BYTES + text_bytes(name) + text_bytes(value);
        }
        bytes += self.tags.iter().map(|tag| TEXT_BYTES + text_bytes(tag.as_str())).sum::<u64>();
        bytes + 2 * size_of_val(self.targets.as_slice()) as u64 + LISTS * ALLOCATION
    }

    /// Until when it is fresh.
    #[must_use]
    pub fn fresh_until(&self) -> Timestamp {
        self.response_time.plus(self.freshness.lifetime.minus(self.initial_age).into())
    }

    /// Until when it is of any use, counted from its head's arrival: lifetime and the longest
    /// window after it.
    #[must_use]
    pub fn keep_until(&self) -> Timestamp {
        let freshness = &self.freshness;
        let validator = self.fields.has("etag") || self.fields.has("last-modified");
        let keep = if validator { VALIDATOR_KEEP } else { Seconds::ZERO };
        let window = freshness.stale_while_revalidate.max(freshness.stale_if_error).max(keep);
        let keep = freshness.lifetime.plus(window).minus(self.initial_age);
        self.response_time.plus(keep.into())
    }

    /// `current_age` (RFC 9111 §4.2.3).
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Seconds {
        self.initial_age.plus(now.since(self.response_time).as_seconds())
    }

    /// `current_age` in milliseconds, for comparisons that must not lose the fraction.
    #[must_use]
    pub fn age_millis(&self, now: Timestamp) -> Millis {
        Millis(Millis::from(self.initial_age).0.saturating_add(now.since(self.response_time).0))
    }
}

/// For how long a stored response can be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freshness {
    /// `freshness_lifetime` (RFC 9111 §4.2.1).
    pub lifetime: Seconds,
    /// Where the lifetime comes from.
    pub source: FreshnessSource,
    /// `stale-while-revalidate` (RFC 5861 §3), after the lifetime.
    pub stale_while_revalidate: Seconds,
    /// `stale-if-error` (RFC 5861 §4), after the lifetime.
    pub stale_if_error: Seconds,
    /// What must be done before a reuse.
    pub reuse_condition: ReuseCondition,
}

/// Where a freshness lifetime comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FreshnessSource {
    /// A targeted field (RFC 9213) or `Surrogate-Control`.
    Targeted,
    /// `s-maxage`.
    SMaxAge,
    /// `max-age`.
    MaxAge,
    /// `Expires` minus `Date`.
    Expires,
    /// RFC 9111 §4.2.2.
    Heuristic,
    /// The route's `ttl` or `negative_ttl`.
    Route,
    /// Nothing: it is stale at once and can only be validated.
    None,
}

impl FreshnessSource {
    /// Whether the response itself states the lifetime (RFC 9111 §4.2.1).
    #[must_use]
    pub const fn is_explicit(self) -> bool {
        match self {
            Self::Targeted | Self::SMaxAge | Self::MaxAge | Self::Expires => true,
            Self::Heuristic | Self::Route | Self::None => false,
        }
    }
}

/// What a stored response demands before it may be reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReuseCondition {
    /// Nothing beyond freshness.
    Nothing,
    /// `must-revalidate`, `proxy-revalidate` or an explicit `s-maxage` without a stale window:
    /// never stale.
    WhenStale,
    /// `no-cache`: each reuse is validated.
    Always,
}

/// How long a response with a validator is kept beyond its use without one: to be renewed by a 304.
const VALIDATOR_KEEP: Seconds = Seconds(86_400);

/// What an allocation takes beside its bytes.
pub const ALLOCATION: u64 = 16;
/// A text's place in a list that may have grown to twice its length; two of them.
const TEXT_BYTES: u64 = 2 * size_of::<String>() as u64;
const PAIR_BYTES: u64 = 2 * TEXT_BYTES;
/// An entry's lists.
const LISTS: u64 = 4;

/// Bytes that a text takes in memory, beside its place.
#[must_use]
pub const fn text_bytes(text: &str) -> u64 {
    text.len() as u64 + ALLOCATION
}

/// What a map takes with room for so many entries: its table, of a power of two places that are
/// seven eighths full at most, each with a byte of its own.
#[must_use]
pub const fn map_bytes<K, V>(capacity: usize) -> u64 {
    if capacity == 0 {
        return 0;
    }
    let places = (capacity * 8).div_ceil(7).next_power_of_two();
    (places * (size_of::<(K, V)>() + 1)) as u64 + 2 * ALLOCATION
}
