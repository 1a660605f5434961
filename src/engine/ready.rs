//! The fields of a stored response, ready to be sent: what an entry says to every visitor alike is
//! made once, in the platform's own form. Its age and its Cache-Status are renewed, once a second.

use std::cell::Cell;

use crate::base::time::Seconds;
use crate::engine::port::Platform;
use crate::http::Fields;
use crate::http::cache_status::{CacheStatus, received};

/// The fields of a stored response, in the platform's own form.
pub struct ReadyHead<P: Platform> {
    /// They, with their status.
    pub head: P::Head,
    /// Cache-Status of the caches nearer to the origin.
    received: Option<String>,
    /// The age and what is left of the lifetime, as they were said last.
    written: Cell<Option<(Seconds, i64)>>,
}

impl<P: Platform> ReadyHead<P> {
    /// Makes the fields ready, and returns how many bytes they take; without an age and a
    /// Cache-Status of this cache as yet.
    #[must_use]
    pub fn new(status: u16, fields: &Fields) -> (Self, u64) {
        let received = received(fields);
        let bytes = P::head_bytes(fields)
            + received.as_ref().map_or(0, String::len) as u64
            + size_of::<Self>() as u64;
        (Self { head: P::head(status, fields), received, written: Cell::new(None) }, bytes)
    }

    /// Says the age and what is left of the lifetime, if they are others than were said last.
    pub fn write(&self, age: Seconds, ttl: i64) {
        if self.written.get() == Some((age, ttl)) {
            return;
        }
        let cache_status = CacheStatus::hit(ttl).after(self.received.as_deref());
        P::renew(&self.head, &age.0.to_string(), &cache_status);
        self.written.set(Some((age, ttl)));
    }
}
