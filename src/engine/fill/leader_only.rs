//! What a fill brings for the request that began it, and for none of those that wait for it: an
//! answer that may not be stored, and the fields of a stored one that are not stored with it.

use std::cell::RefCell;
use std::rc::Rc;

use crate::cache::storage::NoStore;
use crate::engine::port::{OriginResponse, Platform};
use crate::http::Fields;

/// What only the request which began the fill may have.
pub(crate) struct LeaderOnly<P: Platform> {
    /// The answer, if it is not stored.
    pub(crate) answer: Option<NotStoredAnswer<P>>,
    /// The fields that the stored answer lacks.
    pub(crate) fields: Fields,
}

/// An answer that is not stored, with the reason.
pub(crate) struct NotStoredAnswer<P: Platform> {
    pub(crate) response: OriginResponse<P::Stream>,
    pub(crate) reason: NoStore,
}

/// Where the fill's task leaves it.
pub(crate) type LeaderOnlySlot<P> = Rc<RefCell<LeaderOnly<P>>>;

impl<P: Platform> Default for LeaderOnly<P> {
    fn default() -> Self {
        Self { answer: None, fields: Fields::new() }
    }
}
