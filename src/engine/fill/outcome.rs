//! What a fill turned out to bring: for all who wait, and for the request that began it alone, an
//! answer that may not be stored and the fields of a stored one that are not stored with it. And
//! what its task is at.

use std::cell::RefCell;
use std::rc::Rc;

use crate::cache::entry::Entry;
use crate::cache::storage::NoStore;
use crate::engine::memory::StoredPage;
use crate::engine::port::{OriginError, OriginResponse, Platform};
use crate::http::Fields;
use crate::http::cache_status::CacheStatus;

/// What a fill turned out to bring.
pub enum FillOutcome<P: Platform> {
    /// A storable response, whose body arrives through the fill; and how it is kept.
    Streaming(Rc<Entry>, StorageNote),
    /// A complete stored response: from another tier, or renewed by a 304.
    Complete(Rc<StoredPage<P::Chunk>>, PageSource),
    /// An answer that is for its requester alone, with the reason: who began the fill takes it, all
    /// others go on their own.
    NotStored(NoStore),
    /// Another isolate is at it, and nobody waited here: who does, goes on its own.
    InProgressElsewhere,
    /// No answer; stale-if-error may apply.
    Failed(OriginError),
}

impl<P: Platform> FillOutcome<P> {
    /// The storable response that it brought.
    pub(crate) fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Streaming(entry, _) => Some(entry),
            Self::Complete(page, _) => Some(&page.entry),
            Self::NotStored(_) | Self::InProgressElsewhere | Self::Failed(_) => None,
        }
    }
}

/// Where a complete stored response came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageSource {
    /// Another isolate of the colo had stored it.
    Colo,
    /// L2, as the shard said.
    Global,
    /// The origin validated the stored one (304).
    Validated,
    /// The origin, whole: a composed page's shell.
    Origin,
}

impl<P: Platform> Clone for FillOutcome<P> {
    fn clone(&self) -> Self {
        match self {
            Self::Streaming(entry, note) => Self::Streaming(Rc::clone(entry), *note),
            Self::Complete(page, source) => Self::Complete(Rc::clone(page), *source),
            Self::NotStored(reason) => Self::NotStored(*reason),
            Self::InProgressElsewhere => Self::InProgressElsewhere,
            Self::Failed(error) => Self::Failed(*error),
        }
    }
}

/// What a fill's task is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FillWork {
    /// It fetches for a visitor who waits.
    Fetch,
    /// It refreshes what was answered stale.
    Refresh,
    /// It leaves a refresh to the shard's warm queue.
    Queue,
}

/// What Cache-Status says of how a response is kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct StorageNote {
    /// Whether it is stored at all.
    pub stored: bool,
    /// Why it is not stored everywhere.
    pub detail: Option<&'static str>,
}

impl StorageNote {
    /// Says it.
    #[must_use]
    pub fn apply_to(self, cache_status: CacheStatus) -> CacheStatus {
        let cache_status = if self.stored { cache_status.stored() } else { cache_status };
        match self.detail {
            Some(detail) => cache_status.detail(detail),
            None => cache_status,
        }
    }
}

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
