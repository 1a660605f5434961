//! The fields that carry a page's tags: `X-Edge-ISR-Tags`, `Surrogate-Key`, `xkey`, `Cache-Tag`.
//!
//! Tags are cut at commas and at white space; all fields are united. A text that is no tag, or more
//! than [`MAX_TAGS`], is an error: a page whose tags are not all known could outlive its purge, so
//! it is not stored.

use crate::cache::tag::{MAX_TAGS, Tag, TagError, TagSet};
use crate::http::Fields;

/// The fields that carry tags.
pub const TAG_FIELDS: &[&str] = &["x-edge-isr-tags", "surrogate-key", "xkey", "cache-tag"];

/// Fields between origin and edge that visitors don't get to see.
pub const EDGE_FIELDS: &[&str] = &[
    "x-edge-isr-tags",
    "surrogate-key",
    "xkey",
    "cache-tag",
    "cdn-cache-control",
    "cloudflare-cdn-cache-control",
    "surrogate-control",
    "x-edge-isr",
    "x-edge-isr-compose",
];

/// Why a response's tags can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagsError {
    /// A text that is no tag.
    Bad(TagError),
    /// More than [`MAX_TAGS`].
    TooMany,
}

/// Whether the response says anything about tags.
#[must_use]
pub fn has_tags(fields: &Fields) -> bool {
    TAG_FIELDS.iter().any(|name| fields.has(name))
}

/// The tags of a response.
///
/// # Errors
/// When a text is no tag, or there are too many.
pub fn tags(fields: &Fields) -> Result<TagSet, TagsError> {
    let mut tags = Vec::new();
    for name in TAG_FIELDS {
        for line in fields.all(name) {
            for text in line.split([',', ' ', '\t']).filter(|t| !t.is_empty()) {
                tags.push(Tag::parse(text).map_err(TagsError::Bad)?);
            }
        }
    }
    let tags = TagSet::from(tags);
    if tags.len() > MAX_TAGS { Err(TagsError::TooMany) } else { Ok(tags) }
}
