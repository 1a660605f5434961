//! The tokens of XML 1.0, as far as sitemaps and calls of other APIs need them: elements, text,
//! CDATA, the references that XML itself defines. Refused are document types: entities of one's own
//! are how a parser is made to work for ever.

/// The longest tag, comment or text between two tags that is looked at.
pub const MAX_TOKEN_BYTES: usize = 64 << 10;
/// How a CDATA section begins.
const CDATA: &[u8] = b"<![CDATA[";

/// What stands between two places of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
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
pub fn token(input: &[u8]) -> Result<Option<(usize, Token)>, TokenError> {
    let found = match input {
        [] => return Ok(None),
        [b'<', b'!', b'-', b'-', rest @ ..] => find(rest, b"-->").map(|at| (at + 7, Token::Aside)),
        [b'<', b'!', b'[', ..] => {
            let begun = input.len().min(CDATA.len());
            if input.get(..begun) != CDATA.get(..begun) {
                return Err(TokenError::Malformed("this is no CDATA section"));
            }
            find(input, b"]]>").map(|at| (at + 3, Token::Cdata))
        }
        [b'<', b'!', b'D', ..] => return Err(TokenError::DocumentType),
        [b'<'] | [b'<', b'!'] | [b'<', b'!', b'-'] => None,
        [b'<', b'!', ..] => return Err(TokenError::Malformed("an unknown declaration")),
        [b'<', b'?', ..] => find(input, b"?>").map(|at| (at + 2, Token::Aside)),
        [b'<', b'/', ..] => find(input, b">").map(|at| (at + 1, Token::Close)),
        [b'<', tag @ ..] => tag_end(tag)?.map(|at| {
            let closes = at > 0 && tag.get(at - 1) == Some(&b'/');
            (at + 2, Token::Open(closes))
        }),
        text => find(text, b"<").map(|at| (at, Token::Text)),
    };
    if found.map_or(input.len(), |(length, _)| length) > MAX_TOKEN_BYTES {
        return Err(TokenError::Malformed("this is too long"));
    }
    Ok(found)
}

/// What stands in a token: a tag without its brackets, a section without its marks.
#[must_use]
pub fn inside(text: &[u8], token: Token) -> &[u8] {
    let (from, end) = match token {
        Token::Text | Token::Aside => (0, 0),
        Token::Cdata => (CDATA.len(), 3),
        Token::Close => (2, 1),
        Token::Open(true) => (1, 2),
        Token::Open(false) => (1, 1),
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
pub fn attribute<'a>(tag: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut rest = tag.get(tag.iter().position(u8::is_ascii_whitespace)?..)?;
    loop {
        let equals = rest.iter().position(|byte| *byte == b'=')?;
        let (key, value) = rest.split_at(equals);
        let value = value.get(1..)?.trim_ascii_start();
        let (quote, value) = value.split_first().filter(|(q, _)| matches!(q, b'"' | b'\''))?;
        let end = value.iter().position(|byte| byte == quote)?;
        if key.trim_ascii() == name.as_bytes() {
            return value.get(..end);
        }
        rest = value.get(end + 1..)?;
    }
}

/// Text with its entities resolved (XML 1.0 §4.1, §4.6).
///
/// # Errors
/// Says what is no reference.
pub fn resolve(text: &str, into: &mut String) -> Result<(), TokenError> {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        let (name, after) =
            after.split_once(';').ok_or(TokenError::Malformed("an & without its ;"))?;
        into.push_str(before);
        into.push(entity(name).ok_or(TokenError::Malformed("an unknown entity: write &amp;"))?);
        rest = after;
    }
    into.push_str(rest);
    Ok(())
}

fn entity(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = name.strip_prefix('#')?;
            let (digits, radix) = match number.strip_prefix('x') {
                Some(hex) => (hex, 16),
                None => (number, 10),
            };
            // The parser of numbers takes a sign.
            let plain = digits.bytes().all(|b| b.is_ascii_hexdigit());
            u32::from_str_radix(digits, radix).ok().filter(|_| plain).and_then(char::from_u32)?
        }
    })
}

/// A text as an element's content.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Where something stands.
#[must_use]
pub fn find(input: &[u8], what: &[u8]) -> Option<usize> {
    input.windows(what.len()).position(|window| window == what)
}

/// Where the tag's `>` stands: not within a quoted value.
fn tag_end(tag: &[u8]) -> Result<Option<usize>, TokenError> {
    let mut quote = None;
    for (at, byte) in tag.iter().enumerate() {
        match (quote, byte) {
            (_, b'<') => return Err(TokenError::Malformed("a < inside a tag")),
            (Some(open), byte) if open == *byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(*byte),
            (None, b'>') => return Ok(Some(at)),
            (None, _) => {}
        }
    }
    Ok(None)
}
