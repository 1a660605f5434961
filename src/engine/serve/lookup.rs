//! The look-up: L0, then L1; under the page's key first, then under the key of the variant that it names.

use std::rc::Rc;

use crate::base::time::{Millis, Timestamp};
use crate::cache::admission::Admitted;
use crate::cache::envelope::Record;
use crate::cache::key::CacheKey;
use crate::engine::port::{Platform, Store as _};

use crate::engine::memory::{StoredPage, StoredRecord};
use crate::engine::observe::{Operation, Tier};
use crate::engine::{Engine, Incoming, keep_until};

/// What is stored for a request.
pub(crate) enum LookUp<C> {
    /// A stored response that the request selects.
    Page(Rc<StoredPage<C>>),
    /// Hit-for-pass, with the reason, and the key that is marked.
    Pass(Rc<str>, CacheKey),
    /// Variants, selected by a field of the request that the origin of a stored page does not get to see.
    Foreign,
    /// Nothing; and the fields that the page varies on, if that is known.
    Nothing(Option<Rc<[String]>>),
}

/// How long L1 keeps what says how to look: the fields a page varies on.
const VARY_KEEP: Millis = Millis(86_400_000);

impl<P: Platform> Engine<P> {
    /// Looks a request up in L0, then in L1.
    pub(crate) async fn find(
        &self,
        platform: &Rc<P>,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
    ) -> LookUp<P::Chunk> {
        let now = platform.now();
        match self.get(platform, &admitted.key).await {
            Some(StoredRecord::Page(page)) if page.entry.key == admitted.key => LookUp::Page(page),
            Some(StoredRecord::Pass(reason, until)) if until > now => {
                LookUp::Pass(reason, admitted.key.clone())
            }
            Some(StoredRecord::Vary(names)) if self.selects_by_more(incoming, admitted, &names) => {
                LookUp::Foreign
            }
            Some(StoredRecord::Vary(names)) => {
                let selected = self.select(incoming, admitted, &names);
                let key = admitted.key.variant(&selected);
                match self.get(platform, &key).await {
                    Some(StoredRecord::Page(page))
                        if page.entry.key == admitted.key && page.entry.selection == selected =>
                    {
                        LookUp::Page(page)
                    }
                    Some(StoredRecord::Pass(reason, until)) if until > now => {
                        LookUp::Pass(reason, key)
                    }
                    Some(
                        StoredRecord::Page(_) | StoredRecord::Pass(..) | StoredRecord::Vary(_),
                    )
                    | None => LookUp::Nothing(Some(names)),
                }
            }
            Some(StoredRecord::Page(_) | StoredRecord::Pass(..)) | None => LookUp::Nothing(None),
        }
    }

    pub(crate) async fn get(
        &self,
        platform: &Rc<P>,
        key: &CacheKey,
    ) -> Option<StoredRecord<P::Chunk>> {
        let held = self.isolate().borrow_mut().memory.get(key);
        if held.is_some() {
            return held;
        }
        let held = self.read_l1(platform, key).await?;
        self.isolate().borrow_mut().memory.put(key, held.clone());
        Some(held)
    }

    /// Reads L1. What can't be read counts as nothing, and is told.
    pub(crate) async fn read_l1(
        &self,
        platform: &Rc<P>,
        key: &CacheKey,
    ) -> Option<StoredRecord<P::Chunk>> {
        match platform.colo().get(key.digest().as_str()).await {
            Ok(Some(stored)) => Some(match stored.record {
                Record::Entry(entry) => {
                    StoredRecord::Page(Rc::new(StoredPage { entry: *entry, body: stored.body }))
                }
                Record::Vary(names) => StoredRecord::Vary(names.into()),
                Record::Pass { reason, until } => StoredRecord::Pass(reason.into(), until),
            }),
            Ok(None) => None,
            Err(error) => {
                self.store_failed(platform, Tier::Colo, Operation::Get, &error);
                None
            }
        }
    }

    /// Keeps in L0 and L1 which fields a page varies on.
    pub(crate) async fn store_vary(&self, platform: &Rc<P>, key: &CacheKey, names: &[String]) {
        let held = StoredRecord::Vary(names.into());
        self.isolate().borrow_mut().memory.put(key, held);
        let record = Record::Vary(names.to_vec());
        self.write_l1(platform, key, &record, &P::chunk(&[]), VARY_KEEP).await;
    }

    /// Keeps a stored response in L0.
    pub(crate) fn store_in_memory(&self, page: &Rc<StoredPage<P::Chunk>>) {
        let key = page.entry.key.variant(&page.entry.selection);
        self.isolate().borrow_mut().memory.put(&key, StoredRecord::Page(Rc::clone(page)));
    }

    /// Keeps a stored response in L0 and L1, under the key of its variant.
    pub(crate) async fn store_in_colo(&self, platform: &Rc<P>, page: &Rc<StoredPage<P::Chunk>>) {
        self.store_in_memory(page);
        let entry = &page.entry;
        let key = entry.key.variant(&entry.selection);
        let keep = keep_until(entry).since(platform.now());
        let record = Record::Entry(Box::new(entry.clone()));
        self.write_l1(platform, &key, &record, &page.body, keep).await;
    }

    /// Keeps in L0 and L1 that a page's answers can't be stored.
    pub(crate) async fn store_hit_for_pass(
        &self,
        platform: &Rc<P>,
        key: &CacheKey,
        reason: &str,
        until: Timestamp,
    ) {
        self.isolate().borrow_mut().memory.put(key, StoredRecord::Pass(reason.into(), until));
        let record = Record::Pass { reason: reason.to_owned(), until };
        let keep = until.since(platform.now());
        self.write_l1(platform, key, &record, &P::chunk(&[]), keep).await;
    }

    pub(crate) async fn write_l1(
        &self,
        platform: &Rc<P>,
        key: &CacheKey,
        record: &Record,
        body: &P::Chunk,
        keep: Millis,
    ) {
        if let Err(error) = platform.colo().put(key.digest().as_str(), record, body, keep).await {
            self.store_failed(platform, Tier::Colo, Operation::Put, &error);
        }
    }
}
