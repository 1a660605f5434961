//! Which answers are failures of the origin, so that a stale response may stand in (RFC 5861 §4).
//!
//! 500, 502, 503 and 504 are named there; 520 to 530 are how Cloudflare tells that the way to the
//! origin failed , and are never stored.

/// Whether a status tells that the origin, or the way to it, failed.
#[must_use]
pub const fn is_origin_failure(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504) || is_edge_failure(status)
}

/// Whether a status tells that the way to the origin failed.
#[must_use]
pub const fn is_edge_failure(status: u16) -> bool {
    matches!(status, 520..=530)
}

/// Whether a status tells of the moment alone: the same request may be answered otherwise soon (RFC
/// 6585 §4 for 429, RFC 9110 §15.5.9 for 408, RFC 8470 §5.2 for 425).
#[must_use]
pub const fn is_of_the_moment(status: u16) -> bool {
    matches!(status, 408 | 425 | 429) || is_origin_failure(status)
}

/// Whether a status tells of the page rather than of one request or one moment: what follows from
/// it for the next visitor (hit-for-pass) may follow.
#[must_use]
pub const fn is_about_the_page(status: u16) -> bool {
    !matches!(status, 400 | 406 | 500..) && !is_of_the_moment(status)
}

/// Whether a status may answer what one request said (its credentials, its conditions, what it
/// accepts) rather than tell of the page: the same page may be there for others (RFC 9110 §15.5).
#[must_use]
pub const fn may_be_of_the_request(status: u16) -> bool {
    matches!(status, 400 | 403 | 405..=407 | 409 | 411..=417 | 421..=424 | 426 | 428 | 431 | 451)
}

/// Whether a full answer of this status takes the place of what is stored (RFC 9111 §4.3.3): not
/// those that tell of the moment, and not those of a server that fails.
#[must_use]
pub const fn decides(status: u16) -> bool {
    status < 500 && !is_of_the_moment(status)
}
