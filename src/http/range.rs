//! `Range` and `Content-Range` (RFC 9110 §14): byte ranges.
//!
//! ```text
//! Range         = "bytes=" 1#( first "-" [ last ] / "-" suffix-length )
//! Content-Range = "bytes" SP ( first "-" last "/" ( complete / "*" ) / "*/" complete )
//! ```
//!
//! A range field that can't be read, names another unit, or asks for more than [`MAX_RANGES`] is as
//! good as none (§14.2: a server may ignore it).

use super::Fields;
use super::list::{split, trim};

/// The most ranges of one request that are honoured.
pub const MAX_RANGES: usize = 8;

/// One range of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeSpec {
    /// From a byte on to a last byte, or to the end.
    From(u64, Option<u64>),
    /// That many bytes off the end.
    Suffix(u64),
}

impl RangeSpec {
    /// The bytes it names in a body of `length`: from the first up to and without the second; none
    /// if it is unsatisfiable (RFC 9110 §14.1.1).
    #[must_use]
    pub fn within(self, length: u64) -> Option<(u64, u64)> {
        match self {
            Self::From(first, last) if first < length => {
                let end = last.map_or(length, |l| l.saturating_add(1).min(length));
                Some((first, end))
            }
            Self::Suffix(count) if count > 0 && length > 0 => {
                Some((length.saturating_sub(count), length))
            }
            Self::From(..) | Self::Suffix(_) => None,
        }
    }
}

/// The ranges of a request: at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeRequest {
    /// In the order they came.
    pub specs: Vec<RangeSpec>,
}

/// The complete length that `Content-Range` states of a part that begins at this byte and reaches
/// to the end; none if it is another part, or the length is not known (RFC 9110 §14.4).
#[must_use]
pub fn reaches_the_end(fields: &Fields, from: u64) -> Option<u64> {
    let (unit, range) = trim(fields.get("content-range")?).split_once(' ')?;
    let (bytes, complete) = range.split_once('/')?;
    let (first, last) = bytes.split_once('-')?;
    let complete: u64 = complete.parse().ok()?;
    let is_that = unit.eq_ignore_ascii_case("bytes")
        && from < complete
        && first.parse() == Ok(from)
        && last.parse::<u64>().ok()?.checked_add(1) == Some(complete);
    is_that.then_some(complete)
}

/// Reads `Range`; none if it is absent or to be ignored.
#[must_use]
pub fn range(fields: &Fields) -> Option<RangeRequest> {
    let mut values = fields.all("range");
    let value = trim(values.next()?);
    if values.next().is_some() {
        return None;
    }
    let (unit, set) = value.split_once('=')?;
    if !trim(unit).eq_ignore_ascii_case("bytes") {
        return None;
    }
    let specs: Option<Vec<_>> = split(set, b',').parts.into_iter().map(spec).collect();
    specs.filter(|s| !s.is_empty() && s.len() <= MAX_RANGES).map(|specs| RangeRequest { specs })
}

fn spec(text: &str) -> Option<RangeSpec> {
    let (first, last) = text.split_once('-')?;
    match (first, last) {
        ("", suffix) => Some(RangeSpec::Suffix(position(suffix)?)),
        (first, "") => Some(RangeSpec::From(position(first)?, None)),
        (first, last) => {
            let (first, last) = (position(first)?, position(last)?);
            (first <= last).then_some(RangeSpec::From(first, Some(last)))
        }
    }
}

fn position(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // A position too great to hold is beyond every body.
    Some(text.parse().unwrap_or(u64::MAX))
}
