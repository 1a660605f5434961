//! When an object's alarm has to be set.
//!
//! An object remembers when its alarm is set for: to ask takes a turn of the event loop, and to set
//! it is billed as a row written. What it remembers counts for as long as the runtime can be
//! believed to keep it.

use crate::base::time::{Millis, Timestamp};

/// When an alarm that did not come to its end is tried again, and how long one may be overdue.
pub const RETRY: Millis = Millis(5_000);

/// When the alarm has to be set for; none if nothing is due at all, or what is set will do.
///
/// `set` is what is remembered. An instance that remembers none may replace an earlier alarm: that
/// stood for nothing, since `next` is the first of all that is due, the past included.
#[must_use]
pub fn missing(
    set: Option<Timestamp>,
    next: Option<Timestamp>,
    now: Timestamp,
) -> Option<Timestamp> {
    let at = next?.max(now);
    match set {
        // Its run is pending, whatever is due by now.
        Some(set) if now > set.plus(RETRY) => Some(now),
        Some(set) if set <= at => None,
        Some(_) | None => Some(at),
    }
}
