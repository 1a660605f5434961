//! What an invalidation names, and what a page depends on.
//!
//! A [`Tag`] names data; a [`Target`] is anything an invalidation can name. Every target has a
//! 64-bit [`TargetHash`]; journal deltas, views and entries compare hashes only. Two targets that
//! share a hash are invalidated together, which costs a refetch and can't make anything stale.

use std::borrow::Cow;
use std::hash::Hasher;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

/// The longest tag, in bytes.
pub const MAX_TAG_BYTES: usize = 1024;
/// The most tags one response may carry. More is an error of the origin: the response is not
/// stored.
pub const MAX_TAGS: usize = 1000;

/// A name of data that a page depends on: 1 to 1024 bytes of printable ASCII without space or
/// comma.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(Box<str>);

/// Why a text is not a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagError {
    /// It has no bytes.
    Empty,
    /// It has more than [`MAX_TAG_BYTES`].
    TooLong,
    /// It has a byte that is not printable ASCII, or a space or a comma.
    Character,
}

impl std::fmt::Display for TagError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "a tag can't be empty",
            Self::TooLong => "a tag has at most 1024 bytes",
            Self::Character => "a tag is printable ASCII without space or comma",
        })
    }
}

impl std::error::Error for TagError {}

impl Tag {
    /// Parses one tag.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, TagError> {
        if text.is_empty() {
            return Err(TagError::Empty);
        }
        if text.len() > MAX_TAG_BYTES {
            return Err(TagError::TooLong);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic() && b != b',') {
            return Err(TagError::Character);
        }
        Ok(Self(text.into()))
    }

    /// The tag in small letters, if it has capitals.
    #[must_use]
    pub fn in_small_letters(&self) -> Option<String> {
        let capitals = self.0.bytes().any(|b| b.is_ascii_uppercase());
        capitals.then(|| self.0.to_ascii_lowercase())
    }

    /// The tag's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Tag {
    type Error = TagError;
    fn try_from(text: String) -> Result<Self, TagError> {
        Self::parse(&text)
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.0.into()
    }
}

/// A page's tags: sorted, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Tag>", into = "Vec<Tag>")]
pub struct TagSet(Vec<Tag>);

impl TagSet {
    /// The tags, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &Tag> {
        self.0.iter()
    }

    /// Whether a tag is one of them.
    #[must_use]
    pub fn contains(&self, tag: &Tag) -> bool {
        self.0.binary_search(tag).is_ok()
    }

    /// The tags that have capitals, in small letters: what invalidates a page where letter case
    /// says nothing.
    pub fn in_small_letters(&self) -> impl Iterator<Item = String> {
        self.0.iter().filter_map(Tag::in_small_letters)
    }

    /// How many tags there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<Tag>> for TagSet {
    fn from(mut tags: Vec<Tag>) -> Self {
        tags.sort();
        tags.dedup();
        Self(tags)
    }
}

impl From<TagSet> for Vec<Tag> {
    fn from(set: TagSet) -> Self {
        set.0
    }
}

impl FromIterator<Tag> for TagSet {
    fn from_iter<I: IntoIterator<Item = Tag>>(tags: I) -> Self {
        tags.into_iter().collect::<Vec<_>>().into()
    }
}

/// What an invalidation names. Hosts are canonical (aliases resolved, lower case, default port
/// dropped); scheme is no part of any target, because for purging `http` and `https` are one
/// resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// Every page that carries the tag.
    Tag(Tag),
    /// Every variant of one page: `host/path` or `host/path?query`, normalised as in the cache key.
    Url(String),
    /// Every page below a path: `host/path/`, ending at a `/` boundary.
    Prefix(String),
    /// Every page of a host.
    Host(String),
    /// Every page of the site.
    All,
}

/// A target's identity in journal deltas, views and entries. Its top 16 bits are its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetHash(pub u64);

impl TargetHash {
    /// The bucket, 0 to 65,535, that holds the target's epoch once the journal has dropped the
    /// target.
    #[must_use]
    pub const fn bucket(self) -> u16 {
        (self.0 >> 48) as u16
    }
}

impl Target {
    /// The kind's number in storage and hashes. Never reuse one.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Tag(_) => 1,
            Self::Url(_) => 2,
            Self::Prefix(_) => 3,
            Self::Host(_) => 4,
            Self::All => 5,
        }
    }

    /// The name within the kind; empty for [`Target::All`].
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Tag(tag) => tag.as_str(),
            Self::Url(name) | Self::Prefix(name) | Self::Host(name) => name,
            Self::All => "",
        }
    }

    /// A target read back from storage.
    #[must_use]
    pub fn from_parts(kind: u8, name: &str) -> Option<Self> {
        match kind {
            1 => Tag::parse(name).ok().map(Self::Tag),
            2 => Some(Self::Url(name.to_owned())),
            3 => Some(Self::Prefix(name.to_owned())),
            4 => Some(Self::Host(name.to_owned())),
            5 => Some(Self::All),
            _ => None,
        }
    }

    /// The target's hash (SipHash-1-3 of kind and name under a fixed key).
    #[must_use]
    pub fn hash(&self) -> TargetHash {
        hash(self.kind(), self.name())
    }
}

/// The hashes of everything that, invalidated, invalidates a page: its tags, its URL, each path
/// prefix, its host, and the whole site. `host` and `path` are canonical; `query` is normalised,
/// without `?`.
#[must_use]
pub fn page_targets(host: &str, path: &str, query: Option<&str>, tags: &TagSet) -> Vec<TargetHash> {
    let mut targets: Vec<TargetHash> = tags.iter().map(|t| hash(1, t.as_str())).collect();
    targets.extend(tags.in_small_letters().map(|tag| hash(1, &tag)));
    targets.push(hash(2, &target_name(host, path, query)));
    let path = unescaped(path);
    // Each prefix continues the hash of the one before.
    let mut prefix = hasher(3);
    prefix.write(host.as_bytes());
    for segment in path.split_inclusive('/').filter(|segment| segment.ends_with('/')) {
        prefix.write(segment.as_bytes());
        targets.push(TargetHash(prefix.finish()));
    }
    targets.push(hash(4, host));
    targets.push(Target::All.hash());
    targets
}

/// The name of [`Target::Url`], and without a query that of [`Target::Prefix`]: the same for all
/// spellings of an address that are equivalent (RFC 3986 §6.2.2).
#[must_use]
pub fn target_name(host: &str, path: &str, query: Option<&str>) -> String {
    url_name(host, &unescaped(path), query.map(unescaped).as_deref())
}

/// A path or query with its escapes normalised (RFC 3986 §6.2.2.1, §6.2.2.2): digits in capitals,
/// and unreserved characters as they are.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut parts = text.split('%');
    let mut normal = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                normal.push(char::from(byte));
            }
            Some(_) => normal.extend(['%'].into_iter().chain(part[..2].to_uppercase().chars())),
            None => normal.push('%'),
        }
        normal.push_str(part.get(if byte.is_some() { 2 } else { 0 }..).unwrap_or_default());
    }
    Cow::Owned(normal)
}

/// An address as text.
#[must_use]
pub fn url_name(host: &str, path: &str, query: Option<&str>) -> String {
    match query {
        Some(query) => format!("{host}{path}?{query}"),
        None => format!("{host}{path}"),
    }
}

fn hash(kind: u8, name: &str) -> TargetHash {
    let mut hasher = hasher(kind);
    hasher.write(name.as_bytes());
    TargetHash(hasher.finish())
}

fn hasher(kind: u8) -> SipHasher13 {
    let mut hasher = SipHasher13::new_with_keys(0x6564_6765_2d69_7372, 1);
    hasher.write_u8(kind);
    hasher
}
