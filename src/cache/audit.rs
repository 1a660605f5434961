//! What an audit compares, and in what two answers differ.
//!
//! Compared is what a visitor gets to see: the status, the body without what the route says to
//! ignore, and the few fields that say how to read it or where to go (`SHOWN`); and the tags,
//! because a page that is stored with other tags than it has now is missed by the invalidations of
//! those. Not compared are fields about one answer (`Date`, `ETag`, `Last-Modified`, lifetimes):
//! they may differ while visitors see the same.
//!
//! The marker of a composed page is new for each render and is left out. Limits: the description of
//! a difference is bounded; of bodies that are not text it says only that they differ.

use std::io::Read as _;

use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};

use crate::cache::compose::field::compose_field;
use crate::cache::content::SHOWN;
use crate::cache::entry::Entry;
use crate::cache::tag::TagSet;
use crate::config::Ignored;
use crate::http::Fields;
use crate::http::list::trim;

/// The largest body that is compared, in bytes, also once it is read from gzip.
pub const MAX_BODY_BYTES: u64 = 2 << 20;
/// The longest text of a difference, in bytes.
pub const MAX_TEXT_BYTES: usize = 200;
/// The text before and after a difference, in bytes.
const CONTEXT_BYTES: usize = 60;
/// The most tags of a page that a finding lists.
pub const MAX_TAGS: usize = 30;
/// The longest tag that a finding lists, in bytes.
const MAX_TAG_BYTES: usize = 100;
/// What stands in the place of a composed page's marker.
const MARKER: &str = "marker";

/// What an answer shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    status: u16,
    fields: Vec<(&'static str, String)>,
    body: ComparedBody,
    tags: TagSet,
    /// Why it may not be stored, if it may not.
    not_stored: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ComparedBody {
    Text(String),
    Bytes(Vec<u8>),
}

/// In what the answer of the origin differs from what is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Status and fields.
    #[serde(default)]
    pub changes: Vec<ChangedField>,
    /// Whether the bodies differ.
    #[serde(default)]
    pub body: bool,
    /// Where they do, if both are text.
    #[serde(default)]
    pub excerpt: Option<Excerpt>,
    /// Whether the tags differ.
    #[serde(default)]
    pub tags: bool,
}

/// A status or field that differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedField {
    /// `status`, `stored`, or the field's name.
    pub name: String,
    /// As it is stored.
    pub stored: String,
    /// As the origin says it.
    pub fresh: String,
}

/// Where two texts differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excerpt {
    /// What stands before, in both.
    pub before: String,
    /// What is stored.
    pub stored: String,
    /// What the origin says.
    pub fresh: String,
    /// What stands after, in both.
    pub after: String,
}

/// What probably went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LikelyCause {
    /// The origin's answers differ among themselves: a clock, a random text, replicas that lag.
    DiffersAtEveryRender,
    /// The page has no tags.
    Untagged,
    /// It has other tags now: what decides what it shows is no tag of it.
    OtherTags,
    /// It has the same tags: what carries one was changed past whoever invalidates them.
    SameTags,
    /// It is no page for everyone any more.
    NotStored,
}

impl LikelyCause {
    /// Its name in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DiffersAtEveryRender => "differs-at-every-render",
            Self::Untagged => "untagged",
            Self::OtherTags => "other-tags",
            Self::SameTags => "same-tags",
            Self::NotStored => "not-stored",
        }
    }

    /// What it means, and what to do.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::DiffersAtEveryRender => {
                "Two answers of the origin, seconds apart, differ between themselves: a clock, a \
                 random text, or replicas that lag. Name what changes in audit_ignore, or make it \
                 a part of its own."
            }
            Self::Untagged => {
                "The page has no tags, so no change of data invalidates it. Give it tags, or a \
                 shorter lifetime."
            }
            Self::OtherTags => {
                "The page has other tags now than when it was stored: what decides what it shows \
                 has no tag, as the list of a query without one. Add a tag for it (add_tags)."
            }
            Self::SameTags => {
                "The page has the same tags: what carries one of them was changed without an \
                 invalidation, as by raw SQL, another program, or a file."
            }
            Self::NotStored => {
                "The origin no longer gives the page to everyone, and nothing was invalidated: it \
                 is gone, moved or private."
            }
        }
    }
}

impl Shown {
    /// What is stored.
    #[must_use]
    pub fn stored(entry: &Entry, body: Vec<u8>, ignored: &[Ignored]) -> Self {
        Self::new(entry.status, &entry.fields, entry.tags.clone(), (body, ignored))
    }

    /// An answer that could be stored. Where it names no tags it has those that are known, as when
    /// it is stored: a cache in front of the origin may have dropped them.
    #[must_use]
    pub fn new(
        status: u16,
        fields: &Fields,
        tags: TagSet,
        (body, ignored): (Vec<u8>, &[Ignored]),
    ) -> Self {
        let marker = compose_field(fields).and_then(Result::ok).map(|field| field.marker);
        Self {
            status,
            fields: shown_fields(fields),
            body: compared(decoded(body, fields), marker.as_deref(), ignored),
            tags,
            not_stored: None,
        }
    }

    /// An answer that may not be stored, for a reason that is the origin's own.
    #[must_use]
    pub fn not_stored(status: u16, fields: &Fields, reason: &'static str) -> Self {
        Self {
            status,
            fields: shown_fields(fields),
            body: ComparedBody::Bytes(Vec::new()),
            tags: TagSet::default(),
            not_stored: Some(reason),
        }
    }

    /// Its tags.
    #[must_use]
    pub const fn tags(&self) -> &TagSet {
        &self.tags
    }

    /// In what the origin's answer differs from this one, if in anything.
    #[must_use]
    pub fn difference(&self, fresh: &Self) -> Option<Difference> {
        let mut changes = Vec::new();
        let mut compare = |name: &str, stored: &str, fresh: &str| {
            if stored != fresh {
                let [stored, fresh] = [stored, fresh].map(|text| head_of(text, MAX_TEXT_BYTES));
                changes.push(ChangedField { name: name.to_owned(), stored, fresh });
            }
        };
        compare("status", &self.status.to_string(), &fresh.status.to_string());
        for ((name, stored), (_, fresh)) in self.fields.iter().zip(&fresh.fields) {
            compare(name, stored, fresh);
        }
        let may = |shown: &Self| shown.not_stored.unwrap_or("yes");
        compare("stored", may(self), may(fresh));
        let compared = fresh.not_stored.is_none() && self.not_stored.is_none();
        let body = compared && self.body != fresh.body;
        let excerpt = match (&self.body, &fresh.body) {
            (ComparedBody::Text(stored), ComparedBody::Text(fresh)) if body => {
                Some(excerpt(stored, fresh))
            }
            _ => None,
        };
        let tags = compared && !fresh.tags.is_empty() && self.tags != fresh.tags;
        let difference = Difference { changes, body, excerpt, tags };
        (difference != Difference::default()).then_some(difference)
    }

    /// What is probably the cause of a difference.
    #[must_use]
    pub fn cause(&self, fresh: &Self) -> LikelyCause {
        if fresh.not_stored.is_some() {
            LikelyCause::NotStored
        } else if self.tags.is_empty() && fresh.tags.is_empty() {
            LikelyCause::Untagged
        } else if !fresh.tags.is_empty() && self.tags != fresh.tags {
            LikelyCause::OtherTags
        } else {
            LikelyCause::SameTags
        }
    }
}

/// The names of tags, as many and as long as are shown.
#[must_use]
pub fn tag_names(tags: &TagSet) -> Vec<String> {
    tags.iter().take(MAX_TAGS).map(|tag| head_of(tag.as_str(), MAX_TAG_BYTES)).collect()
}

/// The beginning of a text, without control characters.
#[must_use]
pub fn head_of(text: &str, most: usize) -> String {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    plain(text.get(..end.unwrap_or_default()).unwrap_or_default())
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn shown_fields(fields: &Fields) -> Vec<(&'static str, String)> {
    let value = |name: &str| fields.joined(name).map(|value| trim(&value).to_owned());
    SHOWN.iter().map(|name| (*name, value(name).unwrap_or_default())).collect()
}

/// A body as it was before it was compressed: whoever compresses may add something random to each
/// (as Django does, against BREACH). As it came where it is not gzip, or too large.
fn decoded(body: Vec<u8>, fields: &Fields) -> Vec<u8> {
    let coding = fields.joined("content-encoding").unwrap_or_default();
    if !matches!(trim(&coding).to_ascii_lowercase().as_str(), "gzip" | "x-gzip") {
        return body;
    }
    let mut text = Vec::new();
    let read = GzDecoder::new(body.as_slice()).take(MAX_BODY_BYTES + 1).read_to_end(&mut text);
    match read {
        Ok(length) if length as u64 <= MAX_BODY_BYTES => text,
        Ok(_) | Err(_) => body,
    }
}

/// A body as it is compared. What is not UTF-8 is compared byte by byte.
fn compared(body: Vec<u8>, marker: Option<&str>, ignored: &[Ignored]) -> ComparedBody {
    let mut text = match String::from_utf8(body) {
        Ok(text) => text,
        Err(error) => return ComparedBody::Bytes(error.into_bytes()),
    };
    if let Some(marker) = marker.filter(|marker| !marker.is_empty()) {
        text = text.replace(marker, MARKER);
    }
    for pattern in ignored {
        text = pattern.cut(&text);
    }
    ComparedBody::Text(text)
}

/// From the first place where two texts differ up to the last.
fn excerpt(stored: &str, fresh: &str) -> Excerpt {
    let alike = |(a, b): &(char, char)| a == b;
    let bytes = |(a, _): (char, char)| a.len_utf8();
    let start: usize = stored.chars().zip(fresh.chars()).take_while(alike).map(bytes).sum();
    let (stored_rest, fresh_rest) = (from(stored, start), from(fresh, start));
    let ends = stored_rest.chars().rev().zip(fresh_rest.chars().rev());
    let end: usize = ends.take_while(alike).map(bytes).sum();
    let middle = |rest: &str| {
        let middle = rest.get(..rest.len() - end).unwrap_or_default();
        let cut = head_of(middle, MAX_TEXT_BYTES);
        if middle.len() > MAX_TEXT_BYTES { format!("{cut}…") } else { cut }
    };
    let before = stored.get(..start).unwrap_or_default();
    let from_byte = (before.len().saturating_sub(CONTEXT_BYTES)..=before.len())
        .find(|at| before.is_char_boundary(*at));
    Excerpt {
        before: plain(from(before, from_byte.unwrap_or_default())),
        stored: middle(stored_rest),
        fresh: middle(fresh_rest),
        after: head_of(from(stored_rest, stored_rest.len() - end), CONTEXT_BYTES),
    }
}

fn from(text: &str, at: usize) -> &str {
    text.get(at..).unwrap_or_default()
}
