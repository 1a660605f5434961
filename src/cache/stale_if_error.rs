//! stale-if-error (RFC 5861 §4): which failures of the origin a stored response may answer for, and
//! for how long.
//!
//! 500, 502, 503 and 504 are failures by the RFC; 520 to 530 are how Cloudflare says that the way
//! to the origin failed, and are never stored. A response stands in only if it has the window, be
//! it fresh or stale, and never if it forbids stale use.
//!
//! What an invalidation makes of it is for [`reuse`](crate::cache::reuse): a hard one ends it, a
//! soft one begins the window anew. An origin takes its time to fail, so that is asked once more
//! when it has failed (`engine/fill/stale_on_error.rs`).

use crate::base::time::{Millis, Seconds};
use crate::cache::entry::Freshness;
use crate::cache::freshness::is_within;

/// Whether a status means that the origin, or the way to it, failed.
#[must_use]
pub const fn is_origin_failure(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504) || is_edge_failure(status)
}

/// Whether a status means that the way to the origin failed.
#[must_use]
pub const fn is_edge_failure(status: u16) -> bool {
    matches!(status, 520..=530)
}

/// Whether a response has a window for failures, be it over or not.
#[must_use]
pub fn has_window(freshness: &Freshness) -> bool {
    freshness.stale_if_error > Seconds::ZERO
}

/// Whether a response of this age may answer for an origin that failed.
#[must_use]
pub fn is_within_window(freshness: &Freshness, age: Millis) -> bool {
    has_window(freshness) && is_within(freshness, age, freshness.stale_if_error)
}
