//! The tags of ESI: where one ends, and what it says; the pieces that they cut a body into.
//!
//! They are tags of XML 1.0 (§3.1): names in lower case, values in quotes, no `<` in them. A value
//! may have the five entities of XML; another `&` stands for itself, as in the addresses that most
//! pages have.

/// What a tag says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EsiTag {
    Include(Include),
    /// What follows is removed.
    Remove,
    /// It stands for nothing: a comment, an element that is empty, the closing tag of an include.
    Nothing,
}

/// Where a tag ends that the input begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TagEnd {
    /// Behind so many bytes.
    At(usize),
    /// Not within what is there.
    More,
    /// It is no tag.
    Never,
}

/// Looks for the `>` that ends a tag: not within a quoted value.
pub(super) fn end(input: &[u8]) -> TagEnd {
    let mut quote = None;
    for (at, byte) in input.iter().take(MAX_TAG_BYTES).enumerate().skip(1) {
        match (quote, byte) {
            (_, b'<') => return TagEnd::Never,
            (Some(open), byte) if open == *byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(*byte),
            (None, b'>') => return TagEnd::At(at + 1),
            (None, _) => {}
        }
    }
    if input.len() < MAX_TAG_BYTES { TagEnd::More } else { TagEnd::Never }
}

/// Reads a tag, its brackets included.
pub(super) fn tag(tag: &[u8]) -> Result<EsiTag, EsiFault> {
    let inside = tag.get(1..tag.len().saturating_sub(1)).unwrap_or_default();
    if let Some(name) = inside.strip_prefix(b"/esi:") {
        return match name.trim_ascii_end() {
            b"include" | b"comment" => Ok(EsiTag::Nothing),
            _ => Err(EsiFault::Unknown),
        };
    }
    let (inside, is_empty) = match inside.strip_suffix(b"/") {
        Some(inside) => (inside, true),
        None => (inside, false),
    };
    let inside = inside.strip_prefix(b"esi:").unwrap_or_default();
    let name = inside.iter().position(u8::is_ascii_whitespace).unwrap_or(inside.len());
    let (name, attributes) = inside.split_at_checked(name).unwrap_or_default();
    match name {
        b"include" => Ok(EsiTag::Include(include(attributes).ok_or(EsiFault::Malformed)?)),
        b"remove" if is_empty => Ok(EsiTag::Nothing),
        b"remove" => Ok(EsiTag::Remove),
        b"comment" => Ok(EsiTag::Nothing),
        _ => Err(EsiFault::Unknown),
    }
}

fn include(attributes: &[u8]) -> Option<Include> {
    let (mut src, mut onerror, mut rest) = (None, None, attributes);
    while let Some((name, value, after)) = attribute(rest)? {
        let known = match name {
            b"src" => &mut src,
            b"onerror" => &mut onerror,
            // `alt` and what other processors know.
            _ => &mut None,
        };
        // XML 1.0 §3.1: no attribute twice; two readers would take two different ones.
        if known.replace(value).is_some() {
            return None;
        }
        rest = after;
    }
    let src = text(src?)?;
    Some(Include { src, may_fail: onerror == Some(b"continue") })
}

type Attribute<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// The next attribute, and what follows it; none of the outer kind if it can't be read, of the
/// inner kind at the end.
fn attribute(rest: &[u8]) -> Option<Option<Attribute<'_>>> {
    let begins = rest.trim_ascii_start();
    if begins.is_empty() {
        return Some(None);
    }
    // Something must stand between a value and the next name.
    if begins.len() == rest.len() {
        return None;
    }
    let equals = begins.iter().position(|byte| *byte == b'=')?;
    let name = begins.get(..equals)?.trim_ascii_end();
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':');
    if name.is_empty() || !name.iter().all(is_name) {
        return None;
    }
    let value = begins.get(equals + 1..)?.trim_ascii_start();
    let (quote, value) = value.split_first().filter(|(q, _)| matches!(q, b'"' | b'\''))?;
    let end = value.iter().position(|byte| byte == quote)?;
    Some(Some((name, value.get(..end)?, value.get(end + 1..)?)))
}

const ENTITIES: [(&str, char); 5] =
    [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>'), ("&quot;", '"'), ("&apos;", '\'')];

/// A value as text.
fn text(value: &[u8]) -> Option<String> {
    let mut rest = std::str::from_utf8(value).ok()?;
    let mut resolved = String::with_capacity(rest.len());
    while let Some(at) = rest.find('&') {
        let (before, reference) = rest.split_at_checked(at)?;
        resolved.push_str(before);
        let known = ENTITIES.iter().find(|(name, _)| reference.starts_with(name));
        let (length, character) = known.map_or((1, '&'), |(name, c)| (name.len(), *c));
        resolved.push(character);
        rest = reference.get(length..)?;
    }
    resolved.push_str(rest);
    Some(resolved)
}

/// The longest tag. A longer one is text.
pub const MAX_TAG_BYTES: usize = 4 << 10;

/// The place of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    /// Where the fragment is, as the page says it.
    pub src: String,
    /// `onerror="continue"`: it may be left out without a word.
    pub may_fail: bool,
}

/// What a body is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EsiPiece {
    /// Bytes for the visitor, as they came.
    Text(Vec<u8>),
    /// The place of a fragment.
    Include(Include),
}

/// What is wrong with a body. It is served all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EsiFault {
    /// A tag of ESI that can't be read: it is text.
    Malformed,
    /// An element of ESI that is not known, or a closing tag of what is not open: it is text.
    Unknown,
    /// The body ends within `<esi:remove>` or `<!--esi`: what was to be removed is removed up to
    /// the end.
    Unclosed,
}

impl EsiFault {
    /// The reason's name in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "esi-malformed",
            Self::Unknown => "esi-unknown",
            Self::Unclosed => "esi-unclosed",
        }
    }
}
