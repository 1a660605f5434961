//! A hit in the colo by a request of which no more was read than a decision looks at: the answer
//! out of what the colo's cache was found to have.
//!
//! What is found and can't answer goes on with the request on its longer way, which takes it for
//! its own look-up: nothing is looked up twice.

use crate::base::time::Timestamp;
use crate::cache::entry::Entry;
use crate::cache::envelope::Record;
use crate::engine::context::Engine;
use crate::engine::port::{FoundInColo, Platform, Stored};
use crate::engine::serve::at_once::{Visit, answers};
use crate::engine::serve::colo_look::{ColoLook, LookUpFacts};
use crate::engine::serve::from_colo::BodyUse;
use crate::engine::serve::response::{Part, VisitorRequest, shape};
use crate::engine::serve::stated_body_bytes;
use crate::http::Fields;
use crate::http::cache_status::CacheStatus;

/// An answer out of the colo's cache.
pub struct ColoAnswer<P: Platform> {
    /// The status code.
    pub status: u16,
    /// The fields, Cache-Status included.
    pub fields: Fields,
    /// The body, unread.
    pub body: P::Stream,
    /// Whether it is sent.
    pub with_body: bool,
    /// What Cache-Status, logs and metrics say.
    pub cache_status: CacheStatus,
}

impl<P: Platform> Engine<P> {
    /// The answer out of what the colo's cache has; if that is none, what was found.
    ///
    /// # Errors
    /// What was found, where it is nothing, is no fresh response, or is to be read first.
    pub fn answer_from_colo(
        &self,
        look: &ColoLook,
        found: FoundInColo<P>,
        now: Timestamp,
    ) -> Result<ColoAnswer<P>, FoundInColo<P>> {
        let Ok(Some(Stored { record: Record::Entry(entry), body })) = found else {
            return Err(found);
        };
        let Some(ttl) = self.answers_unread(look, &entry, now) else {
            return Err(Ok(Some(Stored { record: Record::Entry(entry), body })));
        };
        let shaped = shape(&VisitorRequest::of(&look.head, &look.admitted), &entry, now, true);
        let with_body = matches!(shaped.part, Part::Whole);
        self.note_uses(&entry, look.place.varies.iter());
        self.isolate().borrow_mut().colo_hints.count_request(&look.place.key);
        let bytes = if with_body { stated_body_bytes(&shaped.fields) } else { 0 };
        self.count_hit(look.rule, bytes, now);
        self.isolate().borrow_mut().audits.pass(look.admitted.route.audit);
        let (status, mut fields, cache_status) =
            (shaped.status, shaped.fields, CacheStatus::hit(ttl));
        cache_status.append_to(&mut fields);
        Ok(ColoAnswer { status, fields, body, with_body, cache_status })
    }

    /// Seconds of freshness that a stored response has left, if it answers as it is, and memory
    /// gets nothing of it.
    fn answers_unread(&self, look: &ColoLook, entry: &Entry, now: Timestamp) -> Option<i64> {
        let ColoLook { head, admitted, place, facts, .. } = look;
        {
            let isolate = self.isolate().borrow();
            let requests = isolate.colo_hints.requests(&place.key);
            let takes = isolate.memory.takes(&place.key, entry);
            let who_changed = !facts.visitor && !isolate.changes.is_empty();
            if who_changed || BodyUse::of(requests, takes, entry.body_length) != BodyUse::Not {
                return None;
            }
        }
        // One that is audited has something to do beside its answer.
        if !answers(entry, admitted, place.selected.as_ref())
            || self.is_audited(admitted.route.audit, now)
        {
            return None;
        }
        let LookUpFacts { health, max_lag, .. } = *facts;
        self.fresh(head, &Visit { admitted, health, max_lag, now }, entry)
    }
}
