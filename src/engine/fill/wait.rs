//! Following: a request that waits for a fetch which another request of its isolate began (RFC 9111 §4: collapsed
//! requests).
//!
//! It takes what the flight brings only if it may have been fetched for it: the right variant, and nothing that this
//! isolate knows to be out of date. What is for its asker alone, or comes too late, it fetches for itself.

use std::rc::Rc;

use crate::base::rule::Rule;
use crate::base::time::{Millis, Timestamp};
use crate::cache::Standing;
use crate::cache::admission::Admitted;
use crate::cache::entry::Entry;
use crate::cache::storage::NoStore;
use crate::engine::port::Platform;
use crate::http::cache_status::CacheStatus;

use super::Have;
use super::shared::{Flight, Landing};
use crate::engine::serve::response::{Answer, Asked};
use crate::engine::{Engine, Incoming};

/// A request that waits for another's flight.
pub(crate) struct Waiting<'a, P: Platform> {
    pub(crate) incoming: &'a Incoming<P>,
    pub(crate) admitted: &'a Admitted<'a>,
    pub(crate) have: &'a Have<P>,
    pub(crate) came: Timestamp,
}

/// What a request that waited for another's flight does.
pub(crate) enum Followed<P: Platform> {
    /// It has its answer.
    Answer(Answer<P>),
    /// The flight brought what is for its asker alone: pass.
    Private(NoStore),
    /// The flight brought a variant that is selected by what the origin of a stored page does not get to see: pass.
    Foreign,
    /// The flight brought nothing for it: fetch.
    Own,
}

impl<P: Platform> Engine<P> {
    /// Waits for another request's flight.
    pub(crate) async fn follow(
        &self,
        platform: &Rc<P>,
        waiting: &Waiting<'_, P>,
        flight: &Flight<P>,
        limit: Millis,
    ) -> Followed<P> {
        let Waiting { incoming, admitted, have, came } = *waiting;
        let Ok(landing) = flight.landed(&**platform, false, limit).await else {
            return Followed::Own;
        };
        let asked = Asked::of(&incoming.head, admitted);
        let max_lag = self.max_lag(admitted);
        let told = CacheStatus::forwarded(have.forward).maybe_detail(have.why).collapsed();
        match landing {
            Landing::Streaming(entry, _)
                if self.is_foreign(incoming, admitted, &entry.selection) =>
            {
                Followed::Foreign
            }
            Landing::Complete(page, _)
                if self.is_foreign(incoming, admitted, &page.entry.selection) =>
            {
                Followed::Foreign
            }
            Landing::Streaming(entry, note) => {
                // Before anything is awaited: a window lets go what no reader has still to take.
                let reader = flight.reader(false, limit);
                let timely = came.since(entry.request_time) <= max_lag;
                let follows = self.may_follow(platform, incoming, admitted, &entry, timely).await;
                match reader.filter(|_| follows) {
                    Some(reader) => {
                        let told = note.tell(told.fwd_status(entry.status));
                        let now = platform.now();
                        Followed::Answer(Answer::flying(&asked, &entry, reader, now, told))
                    }
                    None => Followed::Own,
                }
            }
            Landing::Complete(page, _) => {
                if self.may_follow(platform, incoming, admitted, &page.entry, false).await {
                    Followed::Answer(Answer::stored(&asked, &page, platform.now(), told))
                } else {
                    Followed::Own
                }
            }
            Landing::Failed(error) => {
                Followed::Answer(self.failed(platform, &asked, admitted, have, error, told))
            }
            Landing::Private(reason) => Followed::Private(reason),
            Landing::Elsewhere => Followed::Own,
        }
    }

    /// Whether a flight's result is this request's variant, and began after every invalidation of its targets that
    /// this isolate's view holds (design §3.2). A view that can't say so leaves it to the time of the fetch: one that
    /// began within `max_lag` before the request came is as good as any answer within the bound (`timely`).
    async fn may_follow(
        &self,
        platform: &Rc<P>,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        entry: &Entry,
        timely: bool,
    ) -> bool {
        let max_lag = self.max_lag(admitted);
        let sight = (self.see(platform, max_lag).await, max_lag);
        let standing = self.standing(platform, &entry.targets, entry.stamp, sight).await;
        let recent = match standing {
            Standing::Current => true,
            Standing::Blind | Standing::Dark => timely,
            Standing::Soft { .. }
            | Standing::SoftlyDropped { .. }
            | Standing::Hard { .. }
            | Standing::Dropped { .. } => false,
        };
        (recent || !Rule::FollowerCheck.holds())
            && entry.key == admitted.key
            && self.selects(incoming, admitted, &entry.selection)
    }
}
