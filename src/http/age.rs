//! `Age` (RFC 9111 §5.1): how long a response had been in other caches.
//!
//! ```text
//! Age = delta-seconds
//! ```
//!
//! | value | read as | why |
//! | --- | --- | --- |
//! | `30` | 30 s | |
//! | `0,7200` | 0 s | §5.1: the first member of a list counts |
//! | `0, 7200` | unreadable | two field lines, as the runtime joins them: which is whose can't be told |
//! | `-1`, `1.5`, `1;a=b`, `abc` | unreadable | not delta-seconds; the response counts as stale |
//!
//! §5.1 has a cache ignore what it can't read; by itself this one takes it as stale, which is safer, because an age
//! that was there is most likely not 0. [`lenient_age`] reads as §5.1 says, for routes that ask for it.

use super::Fields;
use super::list::trim;
use crate::base::time::Seconds;

/// What `Age` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// There is no such field.
    Absent,
    /// The age.
    Known(Seconds),
    /// It can't be read: the response counts as stale.
    Unreadable,
}

/// Reads `Age`.
#[must_use]
pub fn age(fields: &Fields) -> Age {
    let mut values = fields.all("age");
    let Some(value) = values.next() else { return Age::Absent };
    if values.next().is_some() || value.contains(", ") {
        return Age::Unreadable;
    }
    let first = trim(value.split(',').next().unwrap_or_default());
    delta_seconds(first).map_or(Age::Unreadable, Age::Known)
}

/// Reads `Age` as RFC 9111 §5.1 has it: the first member of a list counts, and what can't be read is ignored.
#[must_use]
pub fn lenient_age(fields: &Fields) -> Age {
    let Some(value) = fields.get("age") else { return Age::Absent };
    let first = trim(value.split(',').next().unwrap_or_default());
    delta_seconds(first).map_or(Age::Absent, Age::Known)
}

/// `delta-seconds` (RFC 9111 §1.2.2): digits alone; a value too great to hold counts as 2^31.
#[must_use]
pub fn delta_seconds(text: &str) -> Option<Seconds> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(text.parse::<u64>().map_or(Seconds::MAX, |n| Seconds(n).min(Seconds::MAX)))
}
