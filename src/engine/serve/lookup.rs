//! The look-up: L0, then L1; under the page's key first, then under the key of the variant that it
//! names. What a page varied on when it was last looked up is tried first, so that L1 is asked
//! once.

use std::rc::Rc;

use crate::cache::admission::Admitted;
use crate::cache::entry::Entry;
use crate::cache::key::{CacheKey, Selection};
use crate::engine::context::Incoming;
use crate::engine::memory::{StoredPage, StoredRecord};
use crate::engine::parts::Server;
use crate::engine::port::Platform;
use crate::engine::stores::{ColoRecord, UnreadPage};

/// What L1 has and L0 has not; nothing: what L0 has and is to drop.
pub(crate) type L0Updates<C> = Vec<(CacheKey, Option<StoredRecord<C>>)>;

/// What a look-up finds.
pub(crate) enum LookUpResult<P: Platform> {
    /// A stored response that the request selects, out of L1, its body unread; and its key.
    Unread(UnreadPage<P>, CacheKey),
    /// Anything else.
    Found(LookUp<P::Chunk>),
}

/// What is stored for a request.
pub(crate) enum LookUp<C> {
    /// A stored response that the request selects.
    Page(Rc<StoredPage<C>>),
    /// Hit-for-pass, with the reason, and the entry's key.
    Pass(Rc<str>, CacheKey),
    /// Variants, selected by a field of the request that the origin of a stored page does not get
    /// to see.
    Foreign,
    /// Nothing; and the fields that the page varies on, if that is known.
    Nothing(Option<Rc<[String]>>),
}

/// Whether a look-up leaves a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It is a use: what it finds is kept near, and counts as wanted.
    Use,
    /// Nobody wants the page: all stays as it is.
    Peek,
}

impl<P: Platform> Server<P> {
    /// Looks a request up in L0, then in L1. What L1 alone had is added to `l0_updates`, to be kept
    /// in L0; and what has lapsed, to be dropped.
    pub(crate) async fn find(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        look: Look,
        l0_updates: &mut L0Updates<P::Chunk>,
    ) -> LookUpResult<P> {
        let tried = self.noted_vary(incoming, admitted);
        if let Some(names) = &tried {
            let found = self.find_variant((incoming, admitted), look, names, l0_updates).await;
            if !matches!(found, LookUpResult::Found(LookUp::Nothing(_))) {
                return found;
            }
            if look == Look::Use {
                self.context.isolate().borrow_mut().colo_hints.forget_vary(&admitted.key);
            }
        }
        let found = self.get(&admitted.key, look, l0_updates).await;
        match self.judge(found, admitted, (&admitted.key, None), l0_updates) {
            Ok(found) => found,
            Err(names) if self.context.selects_by_more(incoming, admitted, &names) => {
                LookUpResult::Found(LookUp::Foreign)
            }
            Err(names) if tried.as_ref() == Some(&names) => {
                LookUpResult::Found(LookUp::Nothing(Some(names)))
            }
            Err(names) => self.find_variant((incoming, admitted), look, &names, l0_updates).await,
        }
    }

    /// What the page varied on when it was last looked up, where L0 does not say.
    fn noted_vary(&self, incoming: &Incoming<P>, admitted: &Admitted<'_>) -> Option<Rc<[String]>> {
        let isolate = self.context.isolate().borrow();
        if isolate.memory.look(&admitted.key).is_some() {
            return None;
        }
        let names = isolate.colo_hints.vary(&admitted.key)?;
        (!self.context.selects_by_more(incoming, admitted, &names)).then_some(names)
    }

    /// Looks under the key of the variant that the request selects by these fields.
    async fn find_variant(
        &self,
        (incoming, admitted): (&Incoming<P>, &Admitted<'_>),
        look: Look,
        names: &Rc<[String]>,
        l0_updates: &mut L0Updates<P::Chunk>,
    ) -> LookUpResult<P> {
        let selected = self.context.select(incoming, admitted, names);
        let key = admitted.key.variant(&selected);
        let found = self.get(&key, look, l0_updates).await;
        match self.judge(found, admitted, (&key, Some(&selected)), l0_updates) {
            Ok(LookUpResult::Found(LookUp::Nothing(_))) | Err(_) => {
                LookUpResult::Found(LookUp::Nothing(Some(Rc::clone(names))))
            }
            Ok(found) => found,
        }
    }

    /// What a record comes to for a page, or for one of its variants; or the fields that the page
    /// varies on.
    fn judge(
        &self,
        found: Option<ColoRecord<P>>,
        admitted: &Admitted<'_>,
        (key, selected): (&CacheKey, Option<&Selection>),
        l0_updates: &mut L0Updates<P::Chunk>,
    ) -> Result<LookUpResult<P>, Rc<[String]>> {
        let is_it = |entry: &Entry| {
            entry.key == admitted.key
                && selected.is_none_or(|selected| entry.selection == *selected)
        };
        let now = self.context.platform.now();
        Ok(LookUpResult::Found(match found {
            Some(ColoRecord::Record(StoredRecord::Vary(names))) => return Err(names),
            Some(ColoRecord::Record(StoredRecord::Page(page))) if is_it(&page.entry) => {
                LookUp::Page(page)
            }
            Some(ColoRecord::Unread(page)) if is_it(&page.entry) => {
                return Ok(LookUpResult::Unread(page, key.clone()));
            }
            Some(ColoRecord::Record(StoredRecord::Pass(reason, until, _))) if until > now => {
                LookUp::Pass(reason, key.clone())
            }
            // It has lapsed, and must not stand before what is older.
            Some(ColoRecord::Record(StoredRecord::Pass(..))) => {
                l0_updates.push((key.clone(), None));
                LookUp::Nothing(None)
            }
            Some(ColoRecord::Unread(page)) => {
                self.context.platform.cancel(page.body);
                LookUp::Nothing(None)
            }
            Some(ColoRecord::Record(StoredRecord::Page(_))) | None => LookUp::Nothing(None),
        }))
    }

    async fn get(
        &self,
        key: &CacheKey,
        look: Look,
        l0_updates: &mut L0Updates<P::Chunk>,
    ) -> Option<ColoRecord<P>> {
        let held = match look {
            Look::Use => self.context.isolate().borrow_mut().memory.get(key),
            Look::Peek => {
                let isolate = self.context.isolate().borrow();
                isolate.memory.look(key).map(|found| found.record.clone())
            }
        };
        if let Some(held) = held {
            return Some(ColoRecord::Record(held));
        }
        let found = match self.context.take_look(key) {
            Some(found) => self.stores.opened(found)?,
            None => self.stores.open_l1(key).await?,
        };
        if let ColoRecord::Record(record) = &found {
            l0_updates.push((key.clone(), Some(record.clone())));
        }
        Some(found)
    }

    /// Keeps in L0 what a look-up found in L1, and drops what has lapsed.
    pub(crate) fn remember(&self, l0_updates: L0Updates<P::Chunk>) {
        let isolate = &mut *self.context.isolate().borrow_mut();
        let (memory, hints) = (&mut isolate.memory, &mut isolate.colo_hints);
        for (key, record) in l0_updates {
            let Some(record) = record else {
                memory.remove(&key);
                continue;
            };
            match &record {
                StoredRecord::Vary(names) => hints.note_vary(&key, names),
                StoredRecord::Page(_) | StoredRecord::Pass(..) => {}
            }
            memory.put(&key, record);
            // Who asked before it was here asked for it, too.
            if hints.take_requests(&key) > 1 {
                memory.note_look(&key);
            }
        }
    }
}
