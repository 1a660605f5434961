//! Heads between the runtime's form and the engine's.

use serde::Serializer as _;
use web_sys::Response;

use crate::http::{Fields, ResponseHead};

use super::glue;

/// What a head that is ready takes in the runtime beside its fields, age and Cache-Status among
/// these, and what a field takes beside its texts.
const READY_HEAD: u64 = 1_024;
const READY_FIELD: u64 = 160;

/// At least the bytes that a head with these fields takes where it is ready.
pub(super) fn ready_bytes(fields: &Fields) -> u64 {
    let text = |(name, value): (&str, &str)| (name.len() + value.len()) as u64 + READY_FIELD;
    READY_HEAD + fields.iter().map(text).sum::<u64>()
}

/// Fields as `glue.js` takes them: a JSON object, of which the runtime makes a response faster than
/// of `Headers`, or a list of pairs where a name stands twice or there are many.
pub(super) fn json(fields: &Fields) -> String {
    let pairs = || fields.iter();
    let twice = |at, name| pairs().take(at).any(|(earlier, _)| earlier == name);
    let distinct =
        fields.len() <= FEW_FIELDS && !pairs().enumerate().any(|(at, (name, _))| twice(at, name));
    let mut text = Vec::with_capacity(512);
    let mut json = serde_json::Serializer::new(&mut text);
    let written = if distinct { json.collect_map(pairs()) } else { json.collect_seq(pairs()) };
    // Texts can't fail to be written to a Vec, nor be anything but UTF-8 there.
    written.ok().and_then(|()| String::from_utf8(text).ok()).unwrap_or_default()
}

/// Up to so many fields are compared with each other.
const FEW_FIELDS: usize = 64;

/// Fields out of lines of names and values.
pub(super) fn fields<'a>(mut lines: impl Iterator<Item = &'a str>) -> Fields {
    let mut fields = Fields::new();
    while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
        fields.append(name, value);
    }
    fields
}

/// The head of a final response. The runtime hands an interim one over as if it were the answer
/// (RFC 9110 §15.2), and takes no status beyond 599 back (§15).
pub(super) fn response_head(response: &Response) -> Option<ResponseHead> {
    let text = glue::response_head(response);
    let mut lines = text.split('\n');
    let status = lines.next()?.parse().ok().filter(|s| matches!(s, 101 | 200..=599))?;
    Some(ResponseHead { status, fields: fields(lines) })
}
