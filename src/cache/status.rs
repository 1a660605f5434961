//! Whether a status describes the page, one request, or one moment: whether it decides on what is
//! stored, and on the next visitor's request.

use crate::cache::stale_if_error::is_origin_failure;

/// Whether a status describes the moment alone: the same request may soon be answered differently
/// (RFC 6585 §4 for 429, RFC 9110 §15.5.9 for 408, RFC 8470 §5.2 for 425).
#[must_use]
pub const fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429) || is_origin_failure(status)
}

/// Whether a status describes the page rather than one request or one moment: only then may it have
/// consequences for the next visitor (hit-for-pass).
#[must_use]
pub const fn is_page_specific(status: u16) -> bool {
    !matches!(status, 400 | 406 | 500..) && !is_transient(status)
}

/// Whether a status may answer what one request said (its credentials, its conditions, what it
/// accepts) rather than describe the page: the same page may be there for others (RFC 9110 §15.5).
#[must_use]
pub const fn may_depend_on_request(status: u16) -> bool {
    matches!(status, 400 | 403 | 405..=407 | 409 | 411..=417 | 421..=424 | 426 | 428 | 431 | 451)
}

/// Whether an answer that may be stored says that what is stored is no page any more: it has moved,
/// or is gone, in each variant.
#[must_use]
pub const fn ends_page(stored: Option<u16>, now: u16) -> bool {
    matches!(stored, Some(200..=299)) && matches!(now, 300..=499)
}

/// Whether a full answer of this status takes the place of what is stored (RFC 9111 §4.3.3): not
/// those that describe the moment, and not those of a server that fails.
#[must_use]
pub const fn replaces_stored(status: u16) -> bool {
    status < 500 && !is_transient(status)
}
