//! `ETag`, `If-None-Match`, `If-Match` (RFC 9110 §8.8.3, §13.1).
//!
//! ```text
//! entity-tag    = [ "W/" ] DQUOTE *etagc DQUOTE
//! If-None-Match = "*" / #entity-tag
//! ```
//!
//! | a | b | strong | weak |
//! | --- | --- | --- | --- |
//! | `W/"1"` | `W/"1"` | no | yes |
//! | `W/"1"` | `"1"` | no | yes |
//! | `"1"` | `"1"` | yes | yes |
//! | `"1"` | `"2"` | no | no |

use super::Fields;
use super::list::trim;

/// An entity tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityTag<'a> {
    /// Whether it is weak.
    pub weak: bool,
    /// What stands between the quotes.
    pub opaque: &'a str,
}

impl<'a> EntityTag<'a> {
    /// Reads one entity tag; nothing may stand behind it.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (tag, rest) = Self::take(trim(text))?;
        rest.is_empty().then_some(tag)
    }

    /// Reads an entity tag off the front of a text.
    fn take(text: &'a str) -> Option<(Self, &'a str)> {
        let (weak, quoted) = match text.strip_prefix("W/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (opaque, rest) = quoted.strip_prefix('"')?.split_once('"')?;
        let valid = opaque.chars().all(|c| c == '!' || (c > '\u{22}' && c != '\u{7f}'));
        valid.then_some((Self { weak, opaque }, rest))
    }

    /// Strong comparison (RFC 9110 §8.8.3.2).
    #[must_use]
    pub fn strong_eq(&self, other: &Self) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Weak comparison (RFC 9110 §8.8.3.2).
    #[must_use]
    pub fn weak_eq(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }
}

/// The response's entity tag, if it has exactly one that can be read.
#[must_use]
pub fn etag(fields: &Fields) -> Option<EntityTag<'_>> {
    let mut values = fields.all("etag");
    let tag = EntityTag::parse(values.next()?)?;
    values.next().is_none().then_some(tag)
}

/// A list of entity tags, as in `If-None-Match` and `If-Match`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagList<'a> {
    /// `*`: any current representation.
    Any,
    /// These. What can't be read is left out.
    Tags(Vec<EntityTag<'a>>),
}

impl<'a> TagList<'a> {
    /// Reads a list from all lines of a field (name in lower case); none if there is no such field.
    #[must_use]
    pub fn of(fields: &'a Fields, name: &'a str) -> Option<Self> {
        let mut tags = None;
        for line in fields.all(name) {
            if trim(line) == "*" {
                return Some(Self::Any);
            }
            read_tags(line, tags.get_or_insert_with(Vec::new));
        }
        tags.map(Self::Tags)
    }

    /// Whether a tag is in the list, by weak comparison (RFC 9110 §13.1.2).
    #[must_use]
    pub fn weakly_has(&self, tag: &EntityTag<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|t| t.weak_eq(tag)),
        }
    }
}

/// Reads tags off a line. At the first that can't be read, the rest up to the next comma is
/// skipped.
fn read_tags<'a>(line: &'a str, tags: &mut Vec<EntityTag<'a>>) {
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return;
        }
        let after = match EntityTag::take(rest) {
            Some((tag, after)) => {
                let end = trim(after);
                if end.is_empty() || end.starts_with(',') {
                    tags.push(tag);
                }
                after
            }
            None => rest,
        };
        rest = after.split_once(',').map_or("", |(_, next)| next);
    }
}
