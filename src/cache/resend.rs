//! When a request that got no answer is sent to the origin once more.
//!
//! An origin closes connections that have been idle for long (gunicorn after two seconds), and a
//! request may be on its way at that moment: it gets no answer, and a visitor would get an error
//! from a sound origin. RFC 9112 §9.3.1 lets a client send such a request again on a new connection
//! if its method is idempotent (RFC 9110 §9.2.2). Here it must be safe too, and without a body,
//! which may have been read already.

/// Whether it may be sent once more.
#[must_use]
pub fn may_be_sent_again(method: &str, has_body: bool) -> bool {
    !has_body && matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
}
