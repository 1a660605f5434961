//! The cache key: which requests are the same page.
//!
//! A key is built in two steps, as RFC 9111 §4.1 has it. The *primary* key is the page: scheme,
//! host, path, normalised query, and whatever the route adds (cookies, device, language). The
//! *secondary* key adds the request fields that the stored response's `Vary` names. Every part is
//! length-prefixed, so no two lists of parts give the same key, and the version is the first part:
//! a change of rules changes every key.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::base::hex::hex;
use crate::cache::tag::{Tag, TagSet, Target, TargetHash, page_targets, target_name, url_name};

/// The version of the key's rules.
pub const KEY_VERSION: &str = "1";

/// What the key of a page has beside its address under a route that composes pages.
pub const COMPOSED: (&str, &str) = ("compose", "1");

/// A page's address, normalised. Two requests for one page have equal values here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Page {
    /// `http` or `https`.
    pub scheme: String,
    /// Host in lower case, with the port if it is not the scheme's default.
    pub host: String,
    /// The host that purges know it by (aliases resolved).
    pub purge_host: String,
    /// Path, percent-encoded as it came.
    pub path: String,
    /// Normalised query without `?`; none if there is no parameter that counts.
    pub query: Option<String>,
}

impl Page {
    /// The page's URL as the origin sees it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, url_name(&self.host, &self.path, self.query.as_deref()))
    }

    /// The name of the page's URL target.
    #[must_use]
    pub fn purge_name(&self) -> String {
        target_name(&self.purge_host, &self.path, self.query.as_deref())
    }

    /// The same page without escapes that say nothing (RFC 3986 §6.2.2): under another key, if it
    /// has any.
    #[must_use]
    pub fn unescaped(&self) -> Self {
        let query = self.query.as_deref();
        let query = query.map(|query| target_name("", "", Some(query)).split_off(1));
        Self { path: target_name("", &self.path, None), query, ..self.clone() }
    }

    /// Path and query as in a request line.
    #[must_use]
    pub fn path_and_query(&self) -> String {
        url_name("", &self.path, self.query.as_deref())
    }

    /// The names of [`Page::targets`].
    #[must_use]
    pub fn named_targets(&self, tags: &TagSet) -> Vec<Target> {
        let mut targets: Vec<Target> = tags.iter().cloned().map(Target::Tag).collect();
        let small = tags.in_small_letters().filter_map(|tag| Tag::parse(&tag).ok());
        targets.extend(small.map(Target::Tag));
        targets.push(Target::Url(self.purge_name()));
        let below = target_name(&self.purge_host, &self.path, None);
        let ends = below.match_indices('/').map(|(at, slash)| at + slash.len());
        targets.extend(ends.map(|end| Target::Prefix(below[..end].to_owned())));
        targets.extend([Target::Host(self.purge_host.clone()), Target::All]);
        targets
    }

    /// Everything that, invalidated, invalidates the page.
    #[must_use]
    pub fn targets(&self, tags: &TagSet) -> Vec<TargetHash> {
        page_targets(&self.purge_host, &self.path, self.query.as_deref(), tags)
    }
}

/// The primary key: length-prefixed parts, as text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CacheKey(String);

impl CacheKey {
    /// The key of a page under a route's extra parts (`("cookie:currency", "EUR")`, `("device",
    /// "mobile")`).
    #[must_use]
    pub fn new<'a>(page: &Page, extra: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut key = String::with_capacity(page.path.len() + page.host.len() + 32);
        push(&mut key, KEY_VERSION);
        push(&mut key, &page.scheme);
        push(&mut key, &page.host);
        push(&mut key, &page.path);
        match &page.query {
            Some(query) => push(&mut key, query),
            None => key.push('-'),
        }
        for (name, value) in extra {
            push(&mut key, name);
            push(&mut key, value);
        }
        Self(key)
    }

    /// Whether the page's address and what the edge itself makes of a request are all that the key
    /// has: values of cookies, of listed fields and of `CDN-Loop` can be invented by anyone.
    #[must_use]
    pub fn is_plain(&self, page: &Page) -> bool {
        let address = Self::new(page, []);
        let Some(mut rest) = self.0.strip_prefix(&address.0) else { return false };
        let mut names = true;
        while let Some((part, next)) = first_part(rest) {
            let invented = ["cookie:", "field:"].iter().any(|kind| part.starts_with(kind));
            if names && (invented || part == "cdn-loop") {
                return false;
            }
            (names, rest) = (!names, next);
        }
        rest.is_empty()
    }

    /// Whether the key follows from the page's address, and from whether its route composes
    /// pages: nothing of a request is in it beside.
    #[must_use]
    pub fn is_address_of(&self, page: &Page) -> bool {
        let address = Self::new(page, []);
        self.0 == address.0 || *self == Self::new(page, [COMPOSED])
    }

    /// A key read back from storage.
    #[must_use]
    pub const fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The key's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key's digest: its name in L1, L2 and the index.
    #[must_use]
    pub fn digest(&self) -> KeyDigest {
        KeyDigest::of(&self.0)
    }

    /// The secondary key for the given `Vary` selection.
    #[must_use]
    pub fn variant(&self, selection: &Selection) -> CacheKey {
        let mut key = self.0.clone();
        if !selection.0.is_empty() {
            key.push('v');
            for (name, value) in &selection.0 {
                push(&mut key, name);
                push(&mut key, value);
            }
        }
        Self(key)
    }
}

/// The request fields that a response's `Vary` names, with their normalised values, in order of
/// name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Selection(pub Vec<(String, String)>);

impl Selection {
    /// The names of the fields.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The same of some of the fields.
    #[must_use]
    pub fn restricted_to(&self, names: &[String]) -> Self {
        Self(self.0.iter().filter(|(name, _)| names.contains(name)).cloned().collect())
    }
}

/// SHA-256 of a key, as 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyDigest(String);

impl KeyDigest {
    fn of(text: &str) -> Self {
        Self(hex(&Sha256::digest(text.as_bytes())))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A digest read back from storage.
    #[must_use]
    pub const fn from_stored(hex: String) -> Self {
        Self(hex)
    }

    /// Which of `shards` index shards holds the page (hash of the page's key modulo their number).
    #[must_use]
    pub fn shard(&self, shards: u16) -> u16 {
        let head = self.0.get(..8).and_then(|h| u32::from_str_radix(h, 16).ok()).unwrap_or(0);
        (head % u32::from(shards.max(1))) as u16
    }
}

/// The first part of a key's text, and what follows.
fn first_part(text: &str) -> Option<(&str, &str)> {
    let (length, rest) = text.split_once(':')?;
    rest.split_at_checked(length.parse().ok()?)
}

fn push(key: &mut String, part: &str) {
    // Writing to a String can't fail.
    let _ = write!(key, "{}:", part.len());
    key.push_str(part);
}
