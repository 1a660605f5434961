//! A fetch in flight, shared by the requests that wait for it (RFC 9111 §4: collapsed requests).
//!
//! The request that begins a fill runs it in a background task of its own, so that a visitor who
//! leaves does not end it. The task resolves it once it knows what the answer is, and then fills
//! its [`BodyBuffer`]. Waiting requests read both from isolate memory.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::base::time::{Millis, Timestamp};
use crate::cache::key::Page;
use crate::cache::tag::{Target, TargetHash};
use crate::engine::fill::buffer::BodyBuffer;
use crate::engine::fill::outcome::{FillOutcome, FillWork};
use crate::engine::memory::StoredPage;
use crate::engine::origin_limit::WAIT_LAPSE;
use crate::engine::platform_limits::BACKGROUND_TASKS;
use crate::engine::port::{OriginError, Platform};

/// How long a refresh may take until the head of the answer, or the whole of a body that drips:
/// what is left of the platform's time for background tasks is for storing, or for handing it over.
pub(super) const REFRESH_LIMIT: Millis = Millis(BACKGROUND_TASKS.0 - 6_000);

struct FillState<P: Platform> {
    work: FillWork,
    url: TargetHash,
    outcome: RefCell<Option<FillOutcome<P>>>,
    body: BodyBuffer<P>,
    began: Timestamp,
    /// When another request that waits for it, and whose visitor has not left, last looked.
    followed: Cell<Option<Timestamp>>,
    /// What was found in L2 and may stand in if the origin fails.
    stale_on_error: RefCell<Option<Rc<StoredPage<P::Chunk>>>>,
}

/// A fetch in flight. Cloning shares it.
pub struct SharedFill<P: Platform>(Rc<FillState<P>>);

impl<P: Platform> Clone for SharedFill<P> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<P: Platform> SharedFill<P> {
    /// A fill of a page with this URL that begins now.
    #[must_use]
    pub fn begin(work: FillWork, page: &Page, now: Timestamp) -> Self {
        Self(Rc::new(FillState {
            work,
            url: Target::Url(page.purge_name()).hash(),
            outcome: RefCell::new(None),
            body: BodyBuffer::new(now),
            began: now,
            followed: Cell::new(None),
            stale_on_error: RefCell::new(None),
        }))
    }

    /// Whether this and the other are the same fill.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// The URL of what it fetches.
    #[must_use]
    pub fn url(&self) -> TargetHash {
        self.0.url
    }

    /// Whether something of it may be stored, as far as is known.
    #[must_use]
    pub fn may_be_stored(&self) -> bool {
        match &*self.0.outcome.borrow() {
            None | Some(FillOutcome::Complete(..)) => true,
            Some(FillOutcome::Streaming(_, note)) => note.stored,
            Some(
                FillOutcome::NotStored(_)
                | FillOutcome::InProgressElsewhere
                | FillOutcome::Failed(_),
            ) => false,
        }
    }

    /// When it began.
    #[must_use]
    pub fn began(&self) -> Timestamp {
        self.0.began
    }

    /// When the whole body has to be there: a refresh has no longer than its task may run.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match self.work() {
            FillWork::Refresh => Some(self.began().plus(REFRESH_LIMIT)),
            FillWork::Fetch | FillWork::Queue => None,
        }
    }

    /// Its body, as it arrives.
    #[must_use]
    pub fn body(&self) -> &BodyBuffer<P> {
        &self.0.body
    }

    /// What its task is at.
    #[must_use]
    pub fn work(&self) -> FillWork {
        self.0.work
    }

    /// Resolves the fill for the waiting requests. The first outcome stays.
    pub fn resolve(&self, outcome: FillOutcome<P>, now: Timestamp) {
        self.0.outcome.borrow_mut().get_or_insert(outcome);
        self.0.body.touch_and_wake(now);
    }

    /// A stored response was found that may stand in if the origin fails.
    pub(super) fn keep_stale_on_error(&self, page: Rc<StoredPage<P::Chunk>>) {
        *self.0.stale_on_error.borrow_mut() = Some(page);
    }

    /// What may stand in if the origin fails, where this isolate had nothing.
    #[must_use]
    pub fn stale_on_error(&self) -> Option<Rc<StoredPage<P::Chunk>>> {
        self.0.stale_on_error.borrow().clone()
    }

    /// Shows the waiting requests that its task is alive.
    pub fn touch(&self, now: Timestamp) {
        self.0.body.touch(now);
    }

    /// What came of it, if that is known.
    #[must_use]
    pub fn outcome(&self) -> Option<FillOutcome<P>> {
        self.0.outcome.borrow().clone()
    }

    /// Whether nothing has moved for `limit`: its task was ended by the runtime.
    #[must_use]
    pub fn is_dead(&self, now: Timestamp, limit: Millis) -> bool {
        self.0.body.is_dead(now, limit)
    }

    /// Whether other requests wait for it.
    #[must_use]
    pub fn is_followed(&self, now: Timestamp) -> bool {
        self.0.followed.get().is_some_and(|at| now.since(at) < WAIT_LAPSE)
    }

    /// Waits for the outcome. `is_leader` is whether the caller's request began the fill.
    ///
    /// # Errors
    /// [`OriginError::Timeout`] when nothing has moved for `limit`.
    pub async fn wait_outcome(
        &self,
        platform: &P,
        is_leader: bool,
        limit: Millis,
    ) -> Result<FillOutcome<P>, OriginError> {
        loop {
            if let Some(outcome) = self.outcome() {
                return Ok(outcome);
            }
            if self.is_dead(platform.now(), limit) {
                return Err(OriginError::Timeout);
            }
            if !is_leader && !platform.has_visitor_left() {
                self.0.followed.set(Some(platform.now()));
            }
            self.0.body.moved(platform, is_leader, Some(self.began())).await;
        }
    }
}
