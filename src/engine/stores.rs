//! Reading L1 and L2, and keeping in L0, L1 and L2; a stored response's name in L2, its content and
//! its size.

use std::rc::Rc;

use crate::base::time::{Epoch, Millis, Timestamp};
use crate::cache::compose::shell::is_stored_shell;
use crate::cache::content::ContentDigest;
use crate::cache::entry::Entry;
use crate::cache::envelope::{self, Record};
use crate::cache::key::CacheKey;
use crate::engine::memory::{Order, StoredPage, StoredRecord};
use crate::engine::observe::{Operation, Tier};
use crate::engine::parts::Stores;
use crate::engine::port::{FoundInColo, Platform, Store as _, StoreError};

/// How long L1 keeps what says how to look: the fields a page varies on.
const VARY_KEEP: Millis = Millis(86_400_000);

/// What L1 has under a key.
pub(crate) enum ColoRecord<P: Platform> {
    /// A stored response, its body unread.
    Unread(UnreadPage<P>),
    /// What is held as it is.
    Record(StoredRecord<P::Chunk>),
}

/// A stored response whose body is still to be read.
pub(crate) struct UnreadPage<P: Platform> {
    pub(crate) entry: Box<Entry>,
    pub(crate) body: P::Stream,
}

impl<P: Platform> Stores<P> {
    /// Reads L1. What can't be read counts as nothing, and is reported.
    pub(crate) async fn read_l1(&self, key: &CacheKey) -> Option<StoredRecord<P::Chunk>> {
        match self.open_l1(key).await? {
            ColoRecord::Unread(page) => self.whole(page).await.map(StoredRecord::Page),
            ColoRecord::Record(record) => Some(record),
        }
    }

    /// The same, but for the body.
    pub(crate) async fn open_l1(&self, key: &CacheKey) -> Option<ColoRecord<P>> {
        let found = self.context.platform.colo().get(key.digest().as_str()).await;
        self.opened(found)
    }

    /// What was found in L1.
    pub(crate) fn opened(&self, found: FoundInColo<P>) -> Option<ColoRecord<P>> {
        match found {
            Ok(Some(stored)) => Some(match stored.record {
                Record::Entry(entry) => ColoRecord::Unread(UnreadPage { entry, body: stored.body }),
                Record::Vary(names) => ColoRecord::Record(StoredRecord::Vary(names.into())),
                // Whatever this isolate knows itself comes after it.
                Record::Pass { reason, until } => ColoRecord::Record(StoredRecord::Pass(
                    reason.into(),
                    until,
                    (Epoch::ZERO, Timestamp::ZERO),
                )),
            }),
            Ok(None) => None,
            Err(error) => {
                self.context.store_failed(Tier::Colo, Operation::Get, &error);
                None
            }
        }
    }

    /// A stored response with its body, read to its end.
    pub(crate) async fn whole(&self, page: UnreadPage<P>) -> Option<Rc<StoredPage<P::Chunk>>> {
        let UnreadPage { entry, body } = page;
        match self.context.platform.whole(body, entry.body_length).await {
            Ok(body) => Some(Rc::new(StoredPage::new(*entry, body))),
            Err(error) => {
                self.context.store_failed(Tier::Colo, Operation::Get, &error);
                None
            }
        }
    }

    /// Reads L2. What can't be read counts as nothing, and is reported.
    pub(crate) async fn read_l2(&self, key: &str) -> Option<Rc<StoredPage<P::Chunk>>> {
        match self.context.platform.global().get(key).await {
            Ok(Some(stored)) => match stored.record {
                Record::Entry(entry) => Some(Rc::new(StoredPage::new(*entry, stored.body))),
                Record::Vary(_) | Record::Pass { .. } => None,
            },
            Ok(None) => None,
            Err(error) => {
                self.context.store_failed(Tier::Global, Operation::Get, &error);
                None
            }
        }
    }

    /// Keeps a stored response in L2, under a name that is never used again: that name, or none for
    /// a response that is larger than what L2 takes.
    pub(crate) async fn store_in_l2(
        &self,
        page: &StoredPage<P::Chunk>,
    ) -> Result<Option<String>, StoreError> {
        let entry = &page.entry;
        let key = l2_key(entry);
        let keep = entry.keep_until().since(self.context.platform.now());
        let record = Record::Entry(Box::new(entry.clone()));
        match self.context.platform.global().put(&key, &record, &page.body, keep).await {
            Ok(()) => Ok(Some(key)),
            Err(error) => {
                self.context.store_failed(Tier::Global, Operation::Put, &error);
                if matches!(error, StoreError::TooLarge) { Ok(None) } else { Err(error) }
            }
        }
    }

    /// Keeps in L0 and L1 which fields a page varies on.
    pub(crate) async fn store_vary(&self, key: &CacheKey, names: &[String]) {
        let held = StoredRecord::Vary(names.into());
        {
            let isolate = &mut *self.context.isolate().borrow_mut();
            isolate.colo_hints.note_vary(key, &names.into());
            isolate.memory.put(key, held);
        }
        let record = Record::Vary(names.to_vec());
        self.write_l1(key, &record, &P::chunk(&[]), VARY_KEEP).await;
    }

    /// Keeps a stored response in L0.
    /// False if a newer answer is there.
    pub(crate) fn store_in_memory(&self, page: &Rc<StoredPage<P::Chunk>>) -> bool {
        let key = page.entry.key.variant(&page.entry.selection);
        let isolate = &mut *self.context.isolate().borrow_mut();
        isolate.colo_hints.forget_vary(&key);
        isolate.memory.put(&key, StoredRecord::Page(Rc::clone(page)))
    }

    /// Keeps a stored response in L0 and L1, under the key of its variant.
    pub(crate) async fn store_in_colo(&self, page: &Rc<StoredPage<P::Chunk>>) {
        if !self.store_in_memory(page) {
            return;
        }
        let entry = &page.entry;
        let key = entry.key.variant(&entry.selection);
        let keep = entry.keep_until().since(self.context.platform.now());
        let record = Record::Entry(Box::new(entry.clone()));
        self.write_l1(&key, &record, &page.body, keep).await;
    }

    /// Keeps in L0 and L1 that a page's answers can't be stored.
    pub(crate) async fn store_hit_for_pass(
        &self,
        key: &CacheKey,
        reason: &str,
        (until, order): (Timestamp, Order),
    ) {
        let held = StoredRecord::Pass(reason.into(), until, order);
        {
            let isolate = &mut *self.context.isolate().borrow_mut();
            isolate.colo_hints.forget_vary(key);
            if !isolate.memory.put(key, held) {
                return;
            }
        }
        let record = Record::Pass { reason: reason.to_owned(), until };
        let keep = until.since(self.context.platform.now());
        self.write_l1(key, &record, &P::chunk(&[]), keep).await;
    }

    pub(crate) async fn write_l1(
        &self,
        key: &CacheKey,
        record: &Record,
        body: &P::Chunk,
        keep: Millis,
    ) {
        if let Err(error) =
            self.context.platform.colo().put(key.digest().as_str(), record, body, keep).await
        {
            self.context.store_failed(Tier::Colo, Operation::Put, &error);
        }
    }
}

/// The name of a response in L2. Never used twice: it has the fill's time beside its fencing
/// number, because a page that was forgotten and comes back counts from one again.
#[must_use]
pub(crate) fn l2_key(entry: &Entry) -> String {
    let variant = entry.key.variant(&entry.selection).digest();
    format!("1/{}/{}.{}", variant.as_str(), entry.fence, entry.response_time.as_millis())
}

/// What a response shows, as its shard records it: the next fetch is compared with it. The digest
/// is made of what is in memory anyway.
pub(crate) async fn content_of<P: Platform>(
    platform: &Rc<P>,
    page: &StoredPage<P::Chunk>,
) -> Option<ContentDigest> {
    // A shell's marker is new for each render: no two of them are the same.
    if is_stored_shell(&page.entry) {
        return None;
    }
    let body = platform.digest(&page.body).await?;
    Some(ContentDigest::of(page.entry.status, &page.entry.fields, &body))
}

/// Whether a response with a body of that length is more than L2 takes as one value (25 MiB in KV).
pub(crate) fn is_beyond_l2(entry: &Entry, body_length: u64, most_bytes: u64) -> bool {
    // Few bodies come near the limit; only for those is the head measured.
    body_length.saturating_add(MAX_HEAD_BYTES) > most_bytes
        && envelope::encode(&Record::Entry(Box::new(entry.clone())))
            .is_ok_and(|head| head.len() as u64 + body_length > most_bytes)
}

/// More than any head.
const MAX_HEAD_BYTES: u64 = 1 << 20;
