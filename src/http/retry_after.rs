//! `Retry-After` (RFC 9110 §10.2.3): when to come again.
//!
//! ```text
//! Retry-After = HTTP-date / delay-seconds
//! ```
//!
//! A date in the past is now; what can't be read is no wish. A field that stands twice is read as
//! its first value.

use super::Fields;
use super::age::delta_seconds;
use super::date;
use super::list::trim;
use crate::base::time::{Millis, Timestamp};

/// How long to wait, if the field is there and readable.
#[must_use]
pub fn retry_after(fields: &Fields, now: Timestamp) -> Option<Millis> {
    let value = trim(fields.get("retry-after")?);
    match delta_seconds(value) {
        Some(seconds) => Some(seconds.into()),
        None => date::parse(value).map(|at| at.since(now)),
    }
}
