//! An answer out of memory, given at once: no I/O, no await, and no more of the request read than a
//! decision looks at.
//!
//! Every decision is the one that [`Server::serve`](super::Server::serve) takes, by the same
//! functions. Where one of them might need I/O, or something has to be done beside the answer,
//! there is no answer at once, and nothing has changed. Where memory has nothing, the colo's cache
//! is looked up for what was decided here (`colo_answer.rs`).

use std::rc::Rc;

use crate::base::time::{Millis, Timestamp};
use crate::cache::Validity;
use crate::cache::admission::{Admission, Admitted, WARM_UP, admit};
use crate::cache::compose::shell::is_stored_shell;
use crate::cache::entry::Entry;
use crate::cache::key::{CacheKey, Selection};
use crate::cache::reuse::{Reuse, reuse};
use crate::cache::validation::not_modified;
use crate::config::ForwardHeaders;
use crate::control::metrics::{Counter, Metrics};
use crate::engine::context::Engine;
use crate::engine::fill::late::is_known_to_shard;
use crate::engine::invalidate::sync::{is_due, max_lag};
use crate::engine::invalidate::unsafe_methods::{OwnChange, own_change};
use crate::engine::memory::{MemoryHit, StoredPage, StoredRecord};
use crate::engine::port::Platform;
use crate::engine::ready::ReadyHead;
use crate::engine::serve::colo_look::{ColoLook, LookUpFacts, Place};
use crate::engine::serve::response::{
    LARGE_BODY, VisitorRequest, entry_fields, has_no_content, shape,
};
use crate::engine::variant::{select, selects_by_unforwarded};
use crate::http::cache_status::CacheStatus;
use crate::http::{Fields, RequestHead};
use crate::journal::view::{Verdict, ViewHealth};

/// What of a request is read only when a decision needs it.
pub trait Unread {
    /// Those of the named fields that are there, the lines of each joined.
    fn fields(&self, names: &[&str]) -> Fields;

    /// The address of the client, as the CDN states it.
    fn client(&self) -> Option<String>;

    /// The codings the visitor takes, where the CDN rewrites `Accept-Encoding`.
    fn client_accept_encoding(&self) -> Option<String>;
}

/// What comes of a request before any I/O.
pub enum Start<P: Platform> {
    /// Its answer is there at once.
    Answer(AtOnce<P>),
    /// Memory has nothing for it. The colo's cache may have its answer.
    Colo(Box<ColoLook>),
    /// It goes the longer way.
    Later,
}

/// An answer that is there at once.
pub struct AtOnce<P: Platform> {
    /// The status code.
    pub status: u16,
    /// The fields.
    pub head: AnswerHead<P>,
    /// The body, if any is sent.
    pub body: Option<P::Chunk>,
    /// What Cache-Status, logs and metrics say.
    pub cache_status: CacheStatus,
}

/// The fields of an answer that is there at once.
pub enum AnswerHead<P: Platform> {
    /// As the platform has them ready.
    Ready(Rc<ReadyHead<P>>),
    /// Made for this answer.
    Made(Fields),
}

/// What L0 has for a request.
enum InMemory<P: Platform> {
    /// A stored response that the request selects.
    Hit(ReadyHit<P>, Place),
    /// Nothing.
    Nothing(Place),
}

/// A stored response in L0.
struct ReadyHit<P: Platform> {
    page: Rc<StoredPage<P::Chunk>>,
    ready: Option<Rc<ReadyHead<P>>>,
    /// Whether it was asked for before.
    again: bool,
}

/// A request for the cache, and what is known of the journal.
pub(super) struct Visit<'a> {
    pub(super) admitted: &'a Admitted<'a>,
    pub(super) health: ViewHealth,
    pub(super) max_lag: Millis,
    pub(super) now: Timestamp,
}

impl<P: Platform> Engine<P> {
    /// Answers a visitor at once, if that can be done. The head has those fields that
    /// [`looked_at`](crate::cache::admission::looked_at) names, and no client; the request has no
    /// more bytes of fields than [`MAX_FIELDS_BYTES`](crate::cache::admission::MAX_FIELDS_BYTES),
    /// and is no call to the edge itself.
    #[must_use]
    pub fn serve_at_once(
        &self,
        head: RequestHead,
        unread: &impl Unread,
        now: Timestamp,
    ) -> Start<P> {
        self.start(head, unread, now).unwrap_or(Start::Later)
    }

    fn start(
        &self,
        mut head: RequestHead,
        unread: &impl Unread,
        now: Timestamp,
    ) -> Option<Start<P>> {
        if head.fields.has(WARM_UP) {
            return None;
        }
        let knows_visitor = !self.isolate().borrow().changes.is_empty();
        if knows_visitor {
            head.client = unread.client();
            read(&mut head, unread, &["user-agent"]);
        }
        let Admission::Serve(admitted) = admit(&head, self.config()) else { return None };
        // What is put together waits for its parts, or is made for its visitor.
        if admitted.range.is_some() || admitted.route.esi || admitted.route.compose {
            return None;
        }
        let max_lag = max_lag(&admitted, self.config());
        let health = self.recent(now, max_lag)?;
        match self.in_memory(&mut head, unread, &admitted)? {
            InMemory::Hit(hit, place) => {
                let visit = Visit { admitted: &admitted, health, max_lag, now };
                let ttl = self.fresh(&head, &visit, &hit.page.entry)?;
                // One that is audited has something to do beside its answer.
                let share = admitted.route.audit;
                if self.is_audited(share, now) {
                    return None;
                }
                let rule = self.config().place_of(&admitted.route);
                let visitor = VisitorRequest::of(&head, &admitted);
                let answer = self.answer_of(&visitor, (hit, &place), ttl, (rule, now))?;
                self.isolate().borrow_mut().audits.pass(share);
                Some(Start::Answer(answer))
            }
            InMemory::Nothing(place) => {
                let (admitted, rule) = self.owned(admitted);
                let facts = LookUpFacts { health, max_lag, visitor: knows_visitor };
                let look = ColoLook::new(head, (admitted, rule), place, facts);
                Some(Start::Colo(Box::new(look)))
            }
        }
    }

    /// Whether the next hit under a route with this share is audited.
    pub(super) fn is_audited(&self, share: f64, now: Timestamp) -> bool {
        self.isolate().borrow().audits.is_due(share, self.config().audit_per_minute, now)
    }

    /// How far the view can be relied on, if nothing has to be asked.
    fn recent(&self, now: Timestamp, max_lag: Millis) -> Option<ViewHealth> {
        let (isolate, config) = (self.isolate().borrow(), self.config());
        let health = isolate.view.health(now, max_lag, config.sync_interval);
        match health {
            ViewHealth::Recent { refresh } => {
                (!refresh || !is_due(&isolate, config, now)).then_some(health)
            }
            ViewHealth::Cold
            | ViewHealth::Outdated
            | ViewHealth::JournalLost
            | ViewHealth::JournalLostTooLong => None,
        }
    }

    /// What L0 has for the request; none where that is no stored response, or one that has to be
    /// reported to a shard.
    fn in_memory(
        &self,
        head: &mut RequestHead,
        unread: &impl Unread,
        admitted: &Admitted<'_>,
    ) -> Option<InMemory<P>> {
        let isolate = self.isolate().borrow();
        let mut place = Place { key: admitted.key.clone(), varies: None, selected: None };
        let mut found = isolate.memory.look(&place.key);
        let varies = match &found {
            None => isolate.colo_hints.vary(&place.key),
            Some(MemoryHit { record: StoredRecord::Vary(names), .. }) => {
                place.varies = Some(admitted.key.clone());
                Some(Rc::clone(names))
            }
            Some(_) => None,
        };
        if let Some(names) = varies {
            let selection = self.selection(head, unread, admitted, &names)?;
            place.key = admitted.key.variant(&selection);
            place.selected = Some(selection);
            found = isolate.memory.look(&place.key);
        }
        let Some(found) = found else { return Some(InMemory::Nothing(place)) };
        let StoredRecord::Page(page) = found.record else { return None };
        // What is asked for the second time may be news to its shard.
        let again = found.hits > 0;
        let known = again || is_known_to_shard(&page.entry);
        if !known || !answers(&page.entry, admitted, place.selected.as_ref()) {
            return None;
        }
        let hit = ReadyHit { page: Rc::clone(page), ready: found.ready.cloned(), again };
        Some(InMemory::Hit(hit, place))
    }

    /// The variant that the request selects, by what of it is read now; none where any field may
    /// select it.
    fn selection(
        &self,
        head: &mut RequestHead,
        unread: &impl Unread,
        admitted: &Admitted<'_>,
        names: &[String],
    ) -> Option<Selection> {
        match admitted.route.forward_headers {
            ForwardHeaders::All => return None,
            ForwardHeaders::Listed(_) => {}
        }
        let selecting: Vec<&str> = names.iter().map(String::as_str).chain(["connection"]).collect();
        read(head, unread, &selecting);
        let codings = if names.iter().any(|name| name == "accept-encoding") {
            unread.client_accept_encoding()
        } else {
            None
        };
        if selects_by_unforwarded(head, admitted, names) {
            return None;
        }
        Some(select(head, admitted, &self.facts(codings.as_deref(), false), names))
    }

    /// Seconds of freshness that a stored response has left, if it is fresh for this request.
    pub(super) fn fresh(
        &self,
        head: &RequestHead,
        visit: &Visit<'_>,
        entry: &Entry,
    ) -> Option<i64> {
        let (admitted, now) = (visit.admitted, visit.now);
        let isolate = self.isolate().borrow();
        let Verdict::Known(validity @ Validity::Current) =
            isolate.view.validity(&entry.targets, entry.stamp, visit.health, now, visit.max_lag)
        else {
            return None;
        };
        let need = validity.need();
        match own_change(&isolate.changes, head, &admitted.page, Some(entry), need, now) {
            OwnChange::None => {}
            OwnChange::Need(_) | OwnChange::Pass => return None,
        }
        match reuse(entry, validity, &admitted.directives, &admitted.route, now) {
            Reuse::Fresh { ttl } => Some(ttl),
            Reuse::Stale { .. } | Reuse::Validate { .. } | Reuse::Unsatisfiable => None,
        }
    }

    /// The answer out of a stored response that is fresh; none for a body that is handed out in
    /// pieces.
    fn answer_of(
        &self,
        visitor: &VisitorRequest<'_>,
        (hit, place): (ReadyHit<P>, &Place),
        ttl: i64,
        (rule, now): (usize, Timestamp),
    ) -> Option<AtOnce<P>> {
        let entry = &hit.page.entry;
        let not_modified = not_modified(visitor.head, entry);
        let with_body = !(not_modified || visitor.head_only || has_no_content(entry.status));
        if with_body && entry.body_length > LARGE_BODY {
            return None;
        }
        self.note_uses(entry, place.varies.iter().chain([&place.key]));
        let cache_status = CacheStatus::hit(ttl);
        // What is asked for once is not worth what a head that is ready takes.
        let (status, head) = if not_modified || !hit.again {
            let mut shaped = shape(visitor, entry, now, true);
            cache_status.append_to(&mut shaped.fields);
            (shaped.status, AnswerHead::Made(shaped.fields))
        } else {
            let head =
                hit.ready.clone().unwrap_or_else(|| self.make_ready(visitor, entry, &place.key));
            head.write(entry.age(now), ttl);
            (entry.status, AnswerHead::Ready(head))
        };
        let body = with_body.then(|| hit.page.body.clone());
        let bytes = body.as_ref().map_or(0, P::length) as u64;
        self.count_hit(rule, bytes, now);
        Some(AtOnce { status, head, body, cache_status })
    }

    /// Counts a hit, and the bytes of its body.
    pub(super) fn count_hit(&self, rule: usize, bytes: u64, now: Timestamp) {
        let isolate = &mut *self.isolate().borrow_mut();
        isolate.metrics.count(Counter::Hit, 1);
        isolate.metrics.count(Counter::BytesStored, bytes);
        isolate.counting.count((Some(rule), Metrics::name(Counter::Hit), ""), bytes, now);
    }

    fn make_ready(
        &self,
        visitor: &VisitorRequest<'_>,
        entry: &Entry,
        key: &CacheKey,
    ) -> Rc<ReadyHead<P>> {
        let (head, bytes) = ReadyHead::new(entry.status, &entry_fields(visitor, entry));
        let head = Rc::new(head);
        self.isolate().borrow_mut().memory.keep_ready(key, Rc::clone(&head), bytes);
        head
    }

    /// What stands under these keys in L0 was used for an answer.
    pub(super) fn note_uses<'k>(&self, entry: &Entry, keys: impl Iterator<Item = &'k CacheKey>) {
        let isolate = &mut *self.isolate().borrow_mut();
        for key in keys {
            isolate.memory.note_look(key);
        }
        // What a restored journal may not know of.
        isolate.view.observe_epoch(entry.stamp);
    }
}

/// Whether a stored response is one that the request selects, and no shell.
pub(super) fn answers(
    entry: &Entry,
    admitted: &Admitted<'_>,
    selected: Option<&Selection>,
) -> bool {
    !is_stored_shell(entry)
        && entry.key == admitted.key
        && selected.is_none_or(|selected| entry.selection == *selected)
}

/// Adds to a head what else of these fields the request has.
fn read(head: &mut RequestHead, unread: &impl Unread, names: &[&str]) {
    for (name, value) in unread.fields(names).iter() {
        if !head.fields.has(name) {
            head.fields.append(name, value);
        }
    }
}
