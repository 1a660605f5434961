//! A hit in the colo whose body goes to the visitor as L1 gives it: nobody reads it on its way, so
//! that the first byte of a large one is there as soon as that of a small one.
//!
//! What is asked for once takes no memory. What is asked for again is read into it: before the
//! answer if it is small, beside the answer if it is large.

use crate::base::time::Millis;
use crate::cache::Validity;
use crate::cache::admission::Admitted;
use crate::cache::compose::shell::is_stored_shell;
use crate::cache::entry::Entry;
use crate::cache::key::CacheKey;
use crate::cache::reuse::{Reuse, reuse};
use crate::engine::context::Incoming;
use crate::engine::invalidate::unsafe_methods::OwnChange;
use crate::engine::memory::StoredRecord;
use crate::engine::parts::{Server, Stores};
use crate::engine::port::Platform;
use crate::engine::serve::lookup::{L0Updates, Look, LookUp, LookUpResult};
use crate::engine::serve::response::{
    Answer, Body, LARGE_BODY, Part, StoredAnswer, VisitorRequest, shape,
};
use crate::engine::stores::UnreadPage;
use crate::http::cache_status::CacheStatus;
use crate::journal::view::ViewHealth;

/// A stored response that answers as it is read.
pub(crate) struct FromColo<P: Platform> {
    shaped: StoredAnswer,
    body: Body<P>,
    /// The key of the variant.
    pub(super) key: CacheKey,
}

impl<P: Platform> FromColo<P> {
    /// The answer.
    pub(super) fn answer(self, cache_status: CacheStatus) -> Answer<P> {
        let answer = Answer::new(self.shaped.status, self.shaped.fields, self.body, cache_status);
        Answer { shared: true, ..answer }
    }
}

/// What becomes of a body that L1 gives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyUse {
    /// It goes to this visitor alone.
    Not,
    /// It is read into memory first.
    First,
    /// It is read into memory once more, beside the answer.
    Beside,
}

impl BodyUse {
    /// Of a body so long, that was asked for so often before, and that memory takes or not.
    pub(super) const fn of(asked_before: u32, takes: bool, length: u64) -> Self {
        if asked_before == 0 || !takes {
            Self::Not
        } else if length <= LARGE_BODY {
            Self::First
        } else if asked_before == 1 {
            Self::Beside
        } else {
            Self::Not
        }
    }
}

impl<P: Platform> Server<P> {
    /// The answer out of what a look-up found in L1, with seconds of freshness left; else what was
    /// found, read whole.
    pub(super) async fn colo_answer(
        &self,
        (incoming, admitted): (&Incoming<P>, &Admitted<'_>),
        found: LookUpResult<P>,
        (look, health, max_lag): (Look, ViewHealth, Millis),
        l0_updates: &mut L0Updates<P::Chunk>,
    ) -> Result<(FromColo<P>, i64), LookUp<P::Chunk>> {
        let (page, key) = match found {
            LookUpResult::Unread(page, key) => (page, key),
            LookUpResult::Found(found) => return Err(found),
        };
        let keep = self.keep(look, &page.entry, &key);
        if keep != BodyUse::First
            && let Some(ttl) = self.fresh(incoming, admitted, &page.entry, (health, max_lag)).await
        {
            let now = self.context.platform.now();
            let shaped =
                shape(&VisitorRequest::of(&incoming.head, admitted), &page.entry, now, true);
            match shaped.part {
                Part::None | Part::Whole => {
                    if keep == BodyUse::Beside {
                        self.keep_beside(key.clone());
                    }
                    return Ok((self.unread(shaped, page, key), ttl));
                }
                Part::Slice(..) | Part::Multi(..) => {}
            }
        }
        let Some(page) = self.stores.whole(page).await else {
            return Err(LookUp::Nothing(None));
        };
        l0_updates.push((key, Some(StoredRecord::Page(page.clone()))));
        Err(LookUp::Page(page))
    }

    fn unread(&self, shaped: StoredAnswer, page: UnreadPage<P>, key: CacheKey) -> FromColo<P> {
        let body = match shaped.part {
            Part::Whole => Body::Origin(page.body),
            Part::None | Part::Slice(..) | Part::Multi(..) => {
                self.context.platform.cancel(page.body);
                Body::Empty
            }
        };
        FromColo { shaped, body, key }
    }

    /// What becomes of a body; this look counts.
    fn keep(&self, look: Look, entry: &Entry, key: &CacheKey) -> BodyUse {
        if look == Look::Peek {
            return BodyUse::First;
        }
        let isolate = &mut *self.context.isolate().borrow_mut();
        let before = isolate.colo_hints.count_request(key);
        BodyUse::of(before, isolate.memory.takes(key, entry), entry.body_length)
    }

    /// Seconds of freshness that a stored response has left, if it may answer as it is, and nothing
    /// is made of it first.
    async fn fresh(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        entry: &Entry,
        lag: (ViewHealth, Millis),
    ) -> Option<i64> {
        let route = &admitted.route;
        if admitted.range.is_some() || route.esi || route.compose || is_stored_shell(entry) {
            return None;
        }
        let validity = self.invalidator.validity(&entry.targets, entry.stamp, lag).await;
        let now = self.context.platform.now();
        let (head, page, need) = (&incoming.head, &admitted.page, validity.need());
        match self.invalidator.own_change(head, page, Some(entry), need, now) {
            OwnChange::None => {}
            OwnChange::Need(_) | OwnChange::Pass => return None,
        }
        if validity != Validity::Current {
            return None;
        }
        match reuse(entry, validity, &admitted.directives, &admitted.route, now) {
            Reuse::Fresh { ttl } => Some(ttl),
            Reuse::Stale { .. } | Reuse::Validate { .. } | Reuse::Unsatisfiable => None,
        }
    }

    /// Reads what is asked for again into memory, while the answer is on its way.
    fn keep_beside(&self, key: CacheKey) {
        let stores = Stores::new(&self.context);
        self.context.platform.spawn(async move {
            let Some(StoredRecord::Page(page)) = stores.read_l1(&key).await else { return };
            if stores.store_in_memory(&page) {
                let isolate = &mut *stores.context.isolate().borrow_mut();
                isolate.colo_hints.take_requests(&key);
                isolate.memory.note_look(&key);
            }
        });
    }
}
