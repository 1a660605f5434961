//! Heads between the runtime's form and the engine's.

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

/// Fields as `glue.js` takes them: a line for each name and each value.
pub(super) fn lines(fields: &Fields) -> String {
    let mut text = String::new();
    for (name, value) in fields.iter() {
        text.push_str(name);
        text.push('\n');
        text.push_str(value);
        text.push('\n');
    }
    text
}

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
