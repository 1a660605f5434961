//! A fetch in flight, shared by the requests that wait for it (RFC 9111 §4: collapsed requests).
//!
//! The request that begins a fill runs it in a background task of its own, so that a visitor who leaves does not
//! end it. The task resolves it once it knows what the answer is, and then appends the body's pieces. Waiting
//! requests read both from isolate memory. Two requests of one isolate can't share I/O, and waking another request's
//! task would run it in the wrong I/O context: only the beginner is woken, all others look every few milliseconds
//! with timers of their own.
//!
//! A body that outgrows what may be stored turns into a window: pieces are let go once every reader has them, and
//! the task waits for the slowest.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

use crate::base::time::{Millis, Timestamp};
use crate::cache::entry::Entry;
use crate::cache::storage::NoStore;
use crate::engine::port::{OriginError, Platform};

use super::store::StorageNote;
use crate::engine::memory::StoredPage;

/// How often a waiting request of another I/O context looks.
pub const LOOK_INTERVAL: Millis = Millis(4);
/// Bytes that a window holds for its slowest reader.
pub const WINDOW_BYTES: u64 = 1 << 20;

/// What a fill turned out to bring.
pub enum FillOutcome<P: Platform> {
    /// A storable response, whose body arrives through the fill; and how it is kept.
    Streaming(Rc<Entry>, StorageNote),
    /// A complete stored response: from another tier, or renewed by a 304.
    Complete(Rc<StoredPage<P::Chunk>>, Source),
    /// An answer that is for its asker alone, with the reason: who began the fill takes it, all others go on their
    /// own.
    NotStored(NoStore),
    /// Another isolate is at it, and nobody waited here: who does, goes on its own.
    InProgressElsewhere,
    /// No answer; stale-if-error may apply.
    Failed(OriginError),
}

/// Where a complete stored response came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Another isolate of the colo had stored it.
    Colo,
    /// L2, as the shard said.
    Global,
    /// The origin validated the stored one (304).
    Validated,
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
pub enum Work {
    /// It fetches for a visitor who waits.
    Fetch,
    /// It refreshes what was answered stale.
    Refresh,
    /// It leaves a refresh to the shard's warm queue.
    Queue,
    /// It has ended, and stays listed to keep others from trying again at once.
    Ended,
}

struct FillState<P: Platform> {
    work: Work,
    outcome: Option<FillOutcome<P>>,
    pieces: VecDeque<P::Chunk>,
    /// Index of the first piece still held.
    first: usize,
    /// Bytes held.
    held: u64,
    /// Bytes seen.
    total: u64,
    end: Option<Result<(), OriginError>>,
    window: bool,
    readers: Vec<Weak<Cell<usize>>>,
    wakers: Vec<Waker>,
    touched: Timestamp,
}

/// A fetch in flight. Cloning shares it.
pub struct SharedFill<P: Platform>(Rc<RefCell<FillState<P>>>);

impl<P: Platform> Clone for SharedFill<P> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<P: Platform> SharedFill<P> {
    /// A fill that begins now.
    #[must_use]
    pub fn begin(work: Work, now: Timestamp) -> Self {
        Self(Rc::new(RefCell::new(FillState {
            work,
            outcome: None,
            pieces: VecDeque::new(),
            first: 0,
            held: 0,
            total: 0,
            end: None,
            window: false,
            readers: Vec::new(),
            wakers: Vec::new(),
            touched: now,
        })))
    }

    /// Whether this and the other are the same fill.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// What its task is at.
    #[must_use]
    pub fn work(&self) -> Work {
        self.0.borrow().work
    }

    /// Its task has ended.
    pub fn retire(&self) {
        self.0.borrow_mut().work = Work::Ended;
    }

    /// Tells the waiting requests what came of it. The first word stands.
    pub fn resolve(&self, outcome: FillOutcome<P>, now: Timestamp) {
        let mut state = self.0.borrow_mut();
        if state.outcome.is_none() {
            state.outcome = Some(outcome);
        }
        state.touched = now;
        wake(state);
    }

    /// Shows the waiting requests that its task is alive.
    pub fn touch(&self, now: Timestamp) {
        self.0.borrow_mut().touched = now;
    }

    /// Appends a piece of the body.
    pub fn push(&self, piece: P::Chunk, now: Timestamp) {
        let mut state = self.0.borrow_mut();
        let length = P::length(&piece) as u64;
        state.held += length;
        state.total += length;
        state.pieces.push_back(piece);
        state.touched = now;
        wake(state);
    }

    /// Ends the body.
    pub fn finish(&self, end: Result<(), OriginError>, now: Timestamp) {
        let mut state = self.0.borrow_mut();
        if state.end.is_none() {
            state.end = Some(end);
        }
        state.touched = now;
        wake(state);
    }

    /// From now on pieces are let go once read: the body is too large to store.
    pub fn open_window(&self) {
        self.0.borrow_mut().window = true;
    }

    /// Bytes that the slowest reader has still to take, after letting go what all have; none without a reader.
    #[must_use]
    pub fn backlog(&self) -> Option<u64> {
        let state = &mut *self.0.borrow_mut();
        state.readers.retain(|reader| reader.strong_count() > 0);
        let slowest = state.readers.iter().filter_map(Weak::upgrade).map(|at| at.get()).min()?;
        while state.window && state.first < slowest {
            let Some(piece) = state.pieces.pop_front() else { break };
            state.held -= P::length(&piece) as u64;
            state.first += 1;
        }
        Some(state.held)
    }

    /// Whether pieces are let go once read.
    #[must_use]
    pub fn is_window(&self) -> bool {
        self.0.borrow().window
    }

    /// What came of it, if that is known.
    #[must_use]
    pub fn outcome(&self) -> Option<FillOutcome<P>> {
        self.0.borrow().outcome.clone()
    }

    /// Bytes of the body so far.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.borrow().total
    }

    /// Bytes held for readers.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.0.borrow().held
    }

    /// The whole body in one piece; only before a window was opened.
    #[must_use]
    pub fn body(&self) -> Option<P::Chunk> {
        let state = &mut *self.0.borrow_mut();
        (!state.window).then(|| P::concat(state.pieces.make_contiguous()))
    }

    /// Whether nothing has moved for `limit`: its task was ended by the runtime.
    #[must_use]
    pub fn is_dead(&self, now: Timestamp, limit: Millis) -> bool {
        now.since(self.0.borrow().touched) > limit
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
            if let Some(outcome) = self.0.borrow().outcome.clone() {
                return Ok(outcome);
            }
            if self.is_dead(platform.now(), limit) {
                return Err(OriginError::Timeout);
            }
            self.moved(platform, is_leader).await;
        }
    }

    /// A reader of the body from its beginning; none once the window has let pieces go.
    #[must_use]
    pub fn reader(&self, is_leader: bool, limit: Millis) -> Option<BodyReader<P>> {
        let mut state = self.0.borrow_mut();
        if state.first > 0 {
            return None;
        }
        let next = Rc::new(Cell::new(0));
        state.readers.push(Rc::downgrade(&next));
        drop(state);
        Some(BodyReader { fill: self.clone(), next, is_leader, limit })
    }

    async fn moved(&self, platform: &P, is_leader: bool) {
        if !is_leader {
            return platform.sleep(LOOK_INTERVAL).await;
        }
        let mut waited = false;
        poll_fn(|context| {
            if waited {
                return Poll::Ready(());
            }
            waited = true;
            self.0.borrow_mut().wakers.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

fn wake<P: Platform>(mut state: std::cell::RefMut<'_, FillState<P>>) {
    let wakers = std::mem::take(&mut state.wakers);
    drop(state);
    for waker in wakers {
        waker.wake();
    }
}

/// Reads a fill's body as it arrives.
pub struct BodyReader<P: Platform> {
    fill: SharedFill<P>,
    next: Rc<Cell<usize>>,
    is_leader: bool,
    limit: Millis,
}

impl<P: Platform> BodyReader<P> {
    /// The next piece; none at the end.
    ///
    /// # Errors
    /// What broke the body, or [`OriginError::Timeout`] when nothing has moved for the limit.
    pub async fn next(&mut self, platform: &P) -> Result<Option<P::Chunk>, OriginError> {
        loop {
            {
                let state = self.fill.0.borrow();
                if let Some(piece) = state.pieces.get(self.next.get() - state.first) {
                    self.next.set(self.next.get() + 1);
                    return Ok(Some(piece.clone()));
                }
                if let Some(end) = state.end {
                    return end.map(|()| None);
                }
            }
            if self.fill.is_dead(platform.now(), self.limit) {
                return Err(OriginError::Timeout);
            }
            self.fill.moved(platform, self.is_leader).await;
        }
    }
}
