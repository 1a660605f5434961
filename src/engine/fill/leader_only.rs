//! What a fill brings for the request that began it, and for none of those that wait for it: an answer that may not be
//! stored, and the fields of a stored one that are not stored with it.

use std::cell::RefCell;
use std::rc::Rc;

use crate::cache::admission::Admitted;
use crate::cache::errors::is_of_the_moment;
use crate::cache::forward::pass_request_fields;
use crate::cache::left_out::LeftOut;
use crate::cache::storage::NoStore;
use crate::engine::port::{OriginResponse, Platform};
use crate::http::Fields;
use crate::http::cache_status::CacheStatus;

use crate::engine::serve::response::Answer;
use crate::engine::{Engine, Incoming};

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

impl<P: Platform> Engine<P> {
    /// The answer that is not stored: as it is, or asked for once more with all that was left out. What tells of the
    /// moment is not asked for twice.
    pub(crate) async fn answer_not_stored(
        &self,
        platform: &Rc<P>,
        incoming: Incoming<P>,
        admitted: &Admitted<'_>,
        answer: NotStoredAnswer<P>,
        cache_status: CacheStatus,
    ) -> Answer<P> {
        let cache_status = cache_status.detail(answer.reason.as_str());
        let whole = self.left_out(&incoming, admitted) == LeftOut::Nothing;
        if whole || answer.reason.is_of_the_size() || is_of_the_moment(answer.response.head.status)
        {
            // The origin was asked with GET; a HEAD has no body.
            let passed = self.passed(Ok(answer.response), admitted.route, cache_status);
            return Self::as_asked(platform, admitted, passed);
        }
        platform.cancel(answer.response.body);
        let fields = pass_request_fields(&incoming.head, &self.facts(&incoming, false));
        let response = self.ask(platform, incoming, fields).await;
        Self::as_asked(platform, admitted, self.passed(response, admitted.route, cache_status))
    }
}
