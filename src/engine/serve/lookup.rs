//! The look-up: L0, then L1; under the page's key first, then under the key of the variant that it
//! names.

use std::rc::Rc;

use crate::cache::admission::Admitted;
use crate::cache::key::CacheKey;
use crate::engine::context::Incoming;
use crate::engine::memory::{StoredPage, StoredRecord};
use crate::engine::parts::Server;
use crate::engine::port::Platform;

/// What L1 has and L0 has not; nothing: what L0 has and is to drop.
type Near<C> = Vec<(CacheKey, Option<StoredRecord<C>>)>;

/// What is stored for a request.
pub(crate) enum LookUp<C> {
    /// A stored response that the request selects.
    Page(Rc<StoredPage<C>>),
    /// Hit-for-pass, with the reason, and the key that is marked.
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
    /// Looks a request up in L0, then in L1. What L1 alone had is added to `near`, to be kept in
    /// L0; and what has lapsed, to be dropped.
    pub(crate) async fn find(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        look: Look,
        near: &mut Near<P::Chunk>,
    ) -> LookUp<P::Chunk> {
        let now = self.context.platform.now();
        match self.get(&admitted.key, look, near).await {
            Some(StoredRecord::Page(page)) if page.entry.key == admitted.key => LookUp::Page(page),
            Some(StoredRecord::Pass(reason, until, _)) if until > now => {
                LookUp::Pass(reason, admitted.key.clone())
            }
            Some(StoredRecord::Vary(names))
                if self.context.selects_by_more(incoming, admitted, &names) =>
            {
                LookUp::Foreign
            }
            Some(StoredRecord::Vary(names)) => {
                let selected = self.context.select(incoming, admitted, &names);
                let key = admitted.key.variant(&selected);
                match self.get(&key, look, near).await {
                    Some(StoredRecord::Page(page))
                        if page.entry.key == admitted.key && page.entry.selection == selected =>
                    {
                        LookUp::Page(page)
                    }
                    Some(StoredRecord::Pass(reason, until, _)) if until > now => {
                        LookUp::Pass(reason, key)
                    }
                    Some(StoredRecord::Pass(..)) => {
                        near.push((key, None));
                        LookUp::Nothing(Some(names))
                    }
                    Some(StoredRecord::Page(_) | StoredRecord::Vary(_)) | None => {
                        LookUp::Nothing(Some(names))
                    }
                }
            }
            // It has lapsed, and must not stand before what is older.
            Some(StoredRecord::Pass(..)) => {
                near.push((admitted.key.clone(), None));
                LookUp::Nothing(None)
            }
            Some(StoredRecord::Page(_)) | None => LookUp::Nothing(None),
        }
    }

    async fn get(
        &self,
        key: &CacheKey,
        look: Look,
        near: &mut Near<P::Chunk>,
    ) -> Option<StoredRecord<P::Chunk>> {
        let held = match look {
            Look::Use => self.context.isolate().borrow_mut().memory.get(key),
            Look::Peek => {
                let isolate = self.context.isolate().borrow();
                isolate.memory.look(key).map(|found| found.record.clone())
            }
        };
        if held.is_some() {
            return held;
        }
        let held = self.stores.read_l1(key).await?;
        near.push((key.clone(), Some(held.clone())));
        Some(held)
    }

    /// Keeps in L0 what a look-up found in L1, and drops what has lapsed.
    pub(crate) fn remember(&self, near: Near<P::Chunk>) {
        let memory = &mut self.context.isolate().borrow_mut().memory;
        for (key, record) in near {
            match record {
                Some(record) => drop(memory.put(&key, record)),
                None => memory.remove(&key),
            }
        }
    }
}
