//! `Accept` and `Accept-Language` (RFC 9110 §12.5.1, §12.5.4), reduced to what their grammars allow.
//!
//! Both go to the origin on requests whose answer may be stored, so that it can negotiate; its `Vary` says when it
//! did. A member that is none of the grammar is left out: markup, control characters and other payloads can't be
//! reflected into a stored page, nor make an origin refuse the request for all. A field of more than [`MAX_BYTES`] is
//! left out whole. Quoted parameters are taken for payloads: no client needs them.
//!
//! ```text
//! Accept          = #( type "/" subtype *( ";" token "=" token ) )
//! Accept-Language = #( ( "*" / 1*8ALPHA *( "-" 1*8alphanum ) ) [ ";" "q=" qvalue ] )
//! ```

use super::list::{is_token, quality, split, trim};

/// The longest field that is forwarded. Browsers send less than 200 bytes.
pub const MAX_BYTES: usize = 1024;

/// The readable part of `Accept`; none if nothing is left.
#[must_use]
pub fn accept(value: &str) -> Option<String> {
    readable(value, is_media_range)
}

/// The readable part of `Accept-Language`; none if nothing is left.
#[must_use]
pub fn accept_language(value: &str) -> Option<String> {
    readable(value, is_weighted_range)
}

fn readable(value: &str, is_member: fn(&str) -> bool) -> Option<String> {
    if value.len() > MAX_BYTES {
        return None;
    }
    let members = split(value, b',').parts;
    if members.iter().all(|member| is_member(member)) {
        return (!members.is_empty()).then(|| trim(value).to_owned());
    }
    // Without spaces, so that it is no longer than what came: a warm sends it through here again.
    let kept: Vec<&str> = members.into_iter().filter(|member| is_member(member)).collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

fn is_media_range(member: &str) -> bool {
    let mut pieces = member.split(';').map(trim);
    let kind = pieces.next().and_then(|kind| kind.split_once('/'));
    kind.is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
        && pieces.all(|p| p.split_once('=').is_some_and(|(n, v)| is_token(n) && is_token(v)))
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
