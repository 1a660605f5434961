//! `Accept` and `Accept-Language` (RFC 9110 §12.5.1, §12.5.4), reduced to what their grammars
//! allow.
//!
//! Both go to the origin on requests whose answer may be stored, so that it can negotiate; its
//! `Vary` says when it did. A member that is none of the grammar is left out: markup, control
//! characters and other payloads can't be reflected into a stored page, nor make an origin refuse
//! the request for all. A field of more than [`MAX_BYTES`] is left out whole. The text of a quoted
//! parameter may hold what a URI holds; brackets, braces, quotes and backslashes in it are taken
//! for payloads.
//!
//! ```text
//! Accept          = #( type "/" subtype *( OWS ";" OWS [ token "=" ( token / quoted-string ) ] ) )
//! Accept-Language = #( ( "*" / 1*8ALPHA *( "-" 1*8alphanum ) ) [ ";" "q=" qvalue ] )
//! ```
//!
//! `Accept` goes on in one form for one meaning: types and names of parameters in lower case, no
//! white space, quotes only around what is no token, weights without needless digits.

use super::list::{is_token, quality, split, trim, unquote, weighted};

/// The longest field that is forwarded. Browsers send less than 200 bytes.
pub const MAX_BYTES: usize = 1024;

/// The readable part of `Accept`; none if nothing is left.
#[must_use]
pub fn accept(value: &str) -> Option<String> {
    if value.len() > MAX_BYTES {
        return None;
    }
    let members = split(value, b',').parts;
    let kept: Vec<String> = members.into_iter().filter_map(media_range).collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

/// Whether a visitor would rather have HTML than JSON of any kind (RFC 6839 §3.1): `text/html` by
/// its name, with no lower weight. `*/*` is what programs send.
#[must_use]
pub fn prefers_html(value: &str) -> bool {
    let ranges = weighted(value);
    let weight = |is: fn(&str) -> bool| {
        let named = ranges.iter().filter(|(range, _)| is(range));
        named.map(|(_, weight)| *weight).max().unwrap_or(0)
    };
    let html = weight(|range| matches!(range, "text/html" | "application/xhtml+xml"));
    html > 0 && html >= weight(|range| range.ends_with("/json") || range.ends_with("+json"))
}

/// Whether [`accept`] takes every member of the value.
#[must_use]
pub fn is_readable(value: &str) -> bool {
    value.len() <= MAX_BYTES
        && split(value, b',').parts.into_iter().all(|member| media_range(member).is_some())
}

/// Whether [`accept_language`] takes every member of the value.
#[must_use]
pub fn is_language_readable(value: &str) -> bool {
    value.len() <= MAX_BYTES && language_members(value).all(is_weighted_range)
}

/// The readable part of `Accept-Language`; none if nothing is left.
#[must_use]
pub fn accept_language(value: &str) -> Option<String> {
    if is_language_readable(value) {
        return language_members(value).next().map(|_| trim(value).to_owned());
    }
    if value.len() > MAX_BYTES {
        return None;
    }
    let members = split(value, b',').parts;
    // Without spaces, so that it is no longer than what came: a warm sends it through here again.
    let kept: Vec<&str> = members.into_iter().filter(|member| is_weighted_range(member)).collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

/// What stands between commas: where all of it is readable nothing is quoted.
fn language_members(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(trim).filter(|member| !member.is_empty())
}

/// A media range with its parameters and weight, in its one form; none if it is none.
fn media_range(member: &str) -> Option<String> {
    let pieces = split(member, b';');
    let (kind, parameters) = pieces.parts.split_first().filter(|_| pieces.closed)?;
    let (main, subtype) = kind.split_once('/')?;
    if !is_token(main) || !is_token(subtype) {
        return None;
    }
    let mut range = kind.to_ascii_lowercase();
    for parameter in parameters {
        let (name, value) = parameter.split_once('=').filter(|(name, _)| is_token(name))?;
        let name = name.to_ascii_lowercase();
        let value = unquote(value).filter(|value| is_harmless(value))?;
        let weight = (name == "q").then(|| quality(&value)).flatten();
        let value = match weight {
            Some(1000) => continue,
            Some(thousandths) => weight_text(thousandths),
            None if is_token(&value) => value,
            None => format!("\"{value}\""),
        };
        range.push(';');
        range.push_str(&name);
        range.push('=');
        range.push_str(&value);
    }
    Some(range)
}

/// Whether a parameter's text is none of a payload: visible ASCII and spaces, without brackets,
/// quotes and backslashes.
fn is_harmless(value: &str) -> bool {
    value.bytes().all(|byte| {
        matches!(byte, b' '..=b'~')
            && !matches!(byte, b'<' | b'>' | b'(' | b')' | b'{' | b'}' | b'"' | b'\\')
    })
}

/// A weight below 1 (RFC 9110 §12.4.2) without needless digits.
fn weight_text(thousandths: u16) -> String {
    let digits = format!("{thousandths:03}");
    match digits.trim_end_matches('0') {
        "" => "0".to_owned(),
        digits => format!("0.{digits}"),
    }
}

fn is_weighted_range(member: &str) -> bool {
    let (range, weight) = match member.split_once(';') {
        Some((range, weight)) => (trim(range), Some(trim(weight))),
        None => (member, None),
    };
    let mut subtags = range.split('-');
    let is_subtag =
        |s: &str| (1..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric());
    let primary =
        subtags.next().is_some_and(|s| is_subtag(s) && !s.bytes().any(|b| b.is_ascii_digit()));
    let named = range == "*" || (primary && subtags.all(is_subtag));
    named
        && weight.is_none_or(|w| {
            w.strip_prefix(['q', 'Q']).and_then(|w| w.strip_prefix('=')).and_then(quality).is_some()
        })
}
