//! XML 1.0 as far as sitemaps and calls of other APIs need it, by quick-xml: its tokens as their
//! bytes arrive, attributes, references.
//!
//! Refused are document types (entities of one's own are how a parser is made to work for ever),
//! and what is longer than [`MAX_TOKEN_BYTES`].

use quick_xml::errors::SyntaxError;
use quick_xml::escape::{EscapeError, partial_escape, unescape};
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Error, Reader};

/// The longest tag, comment or text between two tags that is looked at.
pub const MAX_TOKEN_BYTES: usize = 64 << 10;
/// How a CDATA section begins.
const CDATA: &[u8] = b"<![CDATA[";

/// What stands between two places of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XmlToken {
    /// Text between tags.
    Text,
    /// A CDATA section.
    Cdata,
    /// A comment or a processing instruction.
    Aside,
    /// `</name>`.
    Close,
    /// `<name …>`, and whether it closes itself.
    Open(bool),
}

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// A document type.
    DocumentType,
    /// Not XML, and why.
    Malformed(&'static str),
}

/// The token that the input begins with, and its length; none if it has not arrived whole.
///
/// # Errors
/// Says why there is none.
pub fn token(input: &[u8]) -> Result<Option<(usize, XmlToken)>, TokenError> {
    // What is decided by a token's beginning is decided before the rest has arrived.
    let found = match input {
        [] => return Ok(None),
        [b'<', b'!', b'D' | b'd', ..] => return Err(TokenError::DocumentType),
        [b'<', b'!', b'[', ..] if !begins_cdata(input) => {
            return Err(TokenError::Malformed("this is no CDATA section"));
        }
        [b'<', ..] => markup(beginning(input, MAX_TOKEN_BYTES))?,
        text => find(beginning(text, MAX_TOKEN_BYTES + 1), b"<").map(|at| (at, XmlToken::Text)),
    };
    if found.is_none() && input.len() > MAX_TOKEN_BYTES {
        return Err(TokenError::Malformed("this is too long"));
    }
    Ok(found)
}

fn beginning(input: &[u8], most: usize) -> &[u8] {
    input.get(..most).unwrap_or(input)
}

/// Whether a CDATA section begins here, as far as it has arrived.
fn begins_cdata(input: &[u8]) -> bool {
    let begun = input.len().min(CDATA.len());
    input.get(..begun) == CDATA.get(..begun)
}

/// The token that a `<` begins.
fn markup(input: &[u8]) -> Result<Option<(usize, XmlToken)>, TokenError> {
    let malformed = |what| Err(TokenError::Malformed(what));
    let mut reader = Reader::from_reader(input);
    // Each token is read by itself: what is open knows who reads them.
    reader.config_mut().check_end_names = false;
    reader.config_mut().allow_unmatched_ends = true;
    let token = match reader.read_event() {
        Ok(Event::Start(tag)) if tag.contains('<') => return malformed("a < inside a tag"),
        Ok(Event::Empty(tag)) if tag.contains('<') => return malformed("a < inside a tag"),
        Ok(Event::Start(_)) => XmlToken::Open(false),
        Ok(Event::Empty(_)) => XmlToken::Open(true),
        Ok(Event::End(_)) => XmlToken::Close,
        Ok(Event::CData(_)) => XmlToken::Cdata,
        Ok(Event::Comment(_) | Event::PI(_) | Event::Decl(_)) => XmlToken::Aside,
        Ok(Event::DocType(_)) | Err(Error::Syntax(SyntaxError::UnclosedDoctype)) => {
            return Err(TokenError::DocumentType);
        }
        Ok(Event::Text(_) | Event::GeneralRef(_) | Event::Eof) => return Ok(None),
        Err(Error::Syntax(SyntaxError::InvalidBangMarkup)) if input.len() > 2 => {
            return malformed("an unknown declaration");
        }
        // It has not arrived whole.
        Err(Error::Syntax(
            SyntaxError::InvalidBangMarkup
            | SyntaxError::UnclosedPI
            | SyntaxError::UnclosedXmlDecl
            | SyntaxError::UnclosedComment
            | SyntaxError::UnclosedCData
            | SyntaxError::UnclosedTag
            | SyntaxError::UnclosedSingleQuotedAttributeValue
            | SyntaxError::UnclosedDoubleQuotedAttributeValue,
        )) => return Ok(None),
        Err(Error::Encoding(_)) => return malformed("this is not UTF-8"),
        Err(
            Error::Io(_)
            | Error::IllFormed(_)
            | Error::InvalidAttr(_)
            | Error::Escape(_)
            | Error::Namespace(_),
        ) => return malformed("this is no XML"),
    };
    Ok(usize::try_from(reader.buffer_position()).ok().map(|length| (length, token)))
}

/// What stands in a token: a tag without its brackets, a section without its marks.
#[must_use]
pub fn inside(text: &[u8], token: XmlToken) -> &[u8] {
    let (from, end) = match token {
        XmlToken::Text | XmlToken::Aside => (0, 0),
        XmlToken::Cdata => (CDATA.len(), 3),
        XmlToken::Close => (2, 1),
        XmlToken::Open(true) => (1, 2),
        XmlToken::Open(false) => (1, 1),
    };
    text.get(from..text.len().saturating_sub(end)).unwrap_or_default()
}

/// The element's name, at the beginning of what stands in a tag; none if it is no name.
#[must_use]
pub fn name(tag: &[u8]) -> Option<&str> {
    let end = tag.iter().position(u8::is_ascii_whitespace).unwrap_or(tag.len());
    // Beyond ASCII every character is taken: only names that are compared matter.
    let begins = |b: &u8| b.is_ascii_alphabetic() || matches!(b, b'_' | b':' | 0x80..);
    let goes_on = |b: &u8| begins(b) || matches!(b, b'0'..=b'9' | b'-' | b'.');
    let name = tag.get(..end).filter(|name| name.first().is_some_and(begins))?;
    std::str::from_utf8(name).ok().filter(|name| name.as_bytes().iter().all(goes_on))
}

/// The value of a tag's attribute, references unresolved (XML 1.0 §3.1); none if it is not there.
#[must_use]
pub fn attribute(tag: &[u8], name: &str) -> Option<String> {
    let tag = std::str::from_utf8(tag).ok()?;
    let end = tag.find(|c: char| c.is_ascii_whitespace())?;
    let tag = BytesStart::from_content(tag, end);
    let attribute = tag.try_get_attribute(name).ok()??;
    Some(attribute.value.into_owned())
}

/// Text with its references resolved (XML 1.0 §4.1, §4.6).
///
/// # Errors
/// Says what is no reference.
pub fn resolve(text: &str, into: &mut String) -> Result<(), TokenError> {
    let resolved = unescape(text).map_err(|error| match error {
        EscapeError::UnterminatedEntity(_) => TokenError::Malformed("an & without its ;"),
        EscapeError::UnrecognizedEntity(..)
        | EscapeError::InvalidCharRef(_)
        | EscapeError::TooManyNestedEntities => {
            TokenError::Malformed("an unknown entity: write &amp;")
        }
    })?;
    into.push_str(&resolved);
    Ok(())
}

/// A text as an element's content.
#[must_use]
pub fn escape(text: &str) -> String {
    partial_escape(text).into_owned()
}

/// Where something stands.
#[must_use]
pub fn find(input: &[u8], what: &[u8]) -> Option<usize> {
    input.windows(what.len()).position(|window| window == what)
}
