//! Ranges: which part of a stored response a visitor asked for (RFC 9110 §14).
//!
//! Cut from whole stored bodies. Several ranges that overlap, or that together are longer than the
//! body, are answered with the whole body (§14.2 leaves that to the server).

use crate::cache::entry::Entry;
use crate::http::RequestHead;
use crate::http::date::parse;
use crate::http::etag::{EntityTag, etag};
use crate::http::list::trim;
use crate::http::range::range;

use super::validation::strong_date;

/// What part of a stored response answers. Ends are exclusive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeAnswer {
    /// The whole: 200.
    Whole,
    /// One part: 206.
    Partial {
        /// The first byte.
        from: u64,
        /// The byte after the last.
        to: u64,
    },
    /// Several parts: 206, as `multipart/byteranges`.
    Multiple {
        /// The answer's `Content-Type`.
        content_type: String,
        /// The text before each part, its first byte, and the byte after its last.
        parts: Vec<(String, u64, u64)>,
        /// The text after the last part.
        closing: String,
    },
    /// None of the ranges is in the body: 416.
    Unsatisfiable,
}

/// Decides which part of a stored response answers a request.
#[must_use]
pub fn range_answer(request: &RequestHead, entry: &Entry) -> RangeAnswer {
    if request.method != "GET" || entry.status != 200 {
        return RangeAnswer::Whole;
    }
    let Some(range) = range(&request.fields).filter(|_| if_range_holds(request, entry)) else {
        return RangeAnswer::Whole;
    };
    let length = entry.body_length;
    let found: Vec<(u64, u64)> =
        range.specs.into_iter().filter_map(|spec| spec.within(length)).collect();
    match found.as_slice() {
        [] => RangeAnswer::Unsatisfiable,
        [(from, to)] => RangeAnswer::Partial { from: *from, to: *to },
        several if are_apart(several) => multiple(several, entry),
        _ => RangeAnswer::Whole,
    }
}

/// `If-Range` (RFC 9110 §13.1.5): strong comparison, and a date only if it is a strong validator
/// (§8.8.2.2: the response was made at least a second after the change).
fn if_range_holds(request: &RequestHead, entry: &Entry) -> bool {
    let mut values = request.fields.all("if-range");
    let Some(value) = values.next() else { return true };
    if values.next().is_some() {
        return false;
    }
    if let Some(condition) = EntityTag::parse(value) {
        return etag(&entry.fields).is_some_and(|stored| stored.strong_eq(&condition));
    }
    strong_date(&entry.fields).is_some_and(|changed| parse(value) == Some(changed))
}

fn are_apart(ranges: &[(u64, u64)]) -> bool {
    let mut sorted = ranges.to_vec();
    sorted.sort();
    sorted.windows(2).all(|pair| matches!(pair, [(_, end), (next, _)] if end <= next))
}

fn multiple(ranges: &[(u64, u64)], entry: &Entry) -> RangeAnswer {
    // 256 bits of the key's digest: no body contains it by chance.
    let boundary = entry.key.digest();
    let boundary = boundary.as_str();
    let kind = entry.fields.get("content-type").map(trim).filter(|kind| kind.is_ascii());
    let kind = kind.map_or(String::new(), |kind| format!("Content-Type: {kind}\r\n"));
    let length = entry.body_length;
    let parts = ranges
        .iter()
        .enumerate()
        .map(|(at, (from, to))| {
            let start = if at == 0 { "" } else { "\r\n" };
            let last = to.saturating_sub(1);
            let before = format!(
                "{start}--{boundary}\r\n{kind}Content-Range: bytes {from}-{last}/{length}\r\n\r\n"
            );
            (before, *from, *to)
        })
        .collect();
    RangeAnswer::Multiple {
        content_type: format!("multipart/byteranges; boundary={boundary}"),
        parts,
        closing: format!("\r\n--{boundary}--\r\n"),
    }
}
