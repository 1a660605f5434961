//! A fetch in flight, shared by the requests that wait for it (RFC 9111 §4: collapsed requests).
//!
//! The request that begins a fill runs it in a background task of its own, so that a visitor who leaves does not
//! end it. The task resolves it once it knows what the answer is, and then appends the body's pieces. Waiting
//! requests read both from isolate memory. Two requests of one isolate can't share I/O, and waking another request's
//! task would run it in the wrong I/O context: only the beginner is woken, all others look every few milliseconds
//! with timers of their own.
//!
//! A body that outgrows what may be stored turns into a window: pieces are let go once every reader has them. The task
//! waits for the quickest reader alone; one that falls behind by more than there is memory for goes on
//! alone. What readers still have to take counts as memory until they have it, also after the task's end:
//! then out of the stored response that was made of it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

use crate::base::time::{Millis, Timestamp};
use crate::cache::entry::Entry;
use crate::cache::storage::NoStore;
use crate::engine::port::{OriginError, Platform};

use super::reader::{BodyReader, BodySource, Next, ReaderState, piece_of};
use super::store::StorageNote;
use crate::engine::bodies;
use crate::engine::memory::StoredPage;

/// How often a task shows that it runs.
pub const BEAT: Millis = Millis(1_000);
/// A task that has not shown for so long that it runs was ended by the runtime.
pub const SILENT: Millis = Millis(10_000);
/// How often a waiting request of another I/O context looks.
pub const LOOK_INTERVAL: Millis = Millis(4);
/// Bytes that a window holds for its quickest reader.
pub const WINDOW_BYTES: u64 = 1 << 20;
/// A reader takes no more of a stored body at once: what it has taken is the runtime's, and counted no more.
pub const PIECE_BYTES: u64 = 64 << 10;
/// A reader that has taken nothing for so long is let go.
pub const STALLED: Millis = Millis(60_000);

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
    /// Each with the place of its first byte in the body.
    pieces: VecDeque<(u64, P::Chunk)>,
    /// What the pieces became.
    page: Option<Rc<StoredPage<P::Chunk>>>,
    /// Bytes held.
    held: u64,
    /// Bytes seen.
    total: u64,
    end: Option<Result<(), OriginError>>,
    window: bool,
    readers: Vec<Weak<ReaderState<P>>>,
    wakers: Vec<Waker>,
    touched: Timestamp,
    began: Timestamp,
    /// When its task last showed that it runs, if it does so.
    beat: Option<Timestamp>,
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
            page: None,
            held: 0,
            total: 0,
            end: None,
            window: false,
            readers: Vec::new(),
            wakers: Vec::new(),
            touched: now,
            began: now,
            beat: None,
        })))
    }

    /// Whether this and the other are the same fill.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// When it began.
    #[must_use]
    pub fn began(&self) -> Timestamp {
        self.0.borrow().began
    }

    /// Its task runs: to be told every [`BEAT`] from the first time on.
    pub fn beat(&self, now: Timestamp) {
        self.0.borrow_mut().beat = Some(now);
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
        let at = state.total;
        state.held += length + bodies::PIECE_BYTES;
        state.total += length;
        state.pieces.push_back((at, piece));
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

    /// Bytes that the quickest reader has still to take, after letting go what all have; none without a reader.
    #[must_use]
    pub fn backlog(&self) -> Option<u64> {
        self.let_go();
        let state = self.0.borrow();
        let quickest = state.living().map(|reader| reader.at.get()).max()?;
        Some(state.total.saturating_sub(quickest))
    }

    /// Lets go what all readers of a window have.
    fn let_go(&self) {
        let state = &mut *self.0.borrow_mut();
        if !state.window {
            return;
        }
        let slowest = state.living().map(|reader| reader.at.get()).min().unwrap_or(state.total);
        while let Some((at, piece)) = state.pieces.front() {
            let length = P::length(piece) as u64;
            if at + length > slowest {
                break;
            }
            state.held -= length + bodies::PIECE_BYTES;
            state.pieces.pop_front();
        }
    }

    /// Lets go the reader that is furthest behind in a window; false if that would help nobody.
    pub fn drop_slowest(&self) -> bool {
        let slowest = {
            let state = self.0.borrow();
            let readers: Vec<_> = state.living().collect();
            let behind = readers.into_iter().min_by_key(|reader| reader.at.get());
            behind.filter(|reader| state.window && state.total - reader.at.get() > WINDOW_BYTES)
        };
        let Some(slowest) = slowest else { return false };
        slowest.fall_behind();
        self.let_go();
        true
    }

    /// Its readers, but for those that have ended.
    #[must_use]
    pub fn readers(&self) -> Vec<Rc<ReaderState<P>>> {
        let state = &mut *self.0.borrow_mut();
        state.readers.retain(|reader| reader.strong_count() > 0);
        state.living().collect()
    }

    /// Its pieces are a stored response's body now.
    pub fn became(&self, page: &Rc<StoredPage<P::Chunk>>) {
        let state = &mut *self.0.borrow_mut();
        state.pieces.clear();
        state.held = 0;
        state.page = Some(Rc::clone(page));
    }

    /// The stored response that its readers read.
    #[must_use]
    pub fn page(&self) -> Option<Rc<StoredPage<P::Chunk>>> {
        self.0.borrow().page.clone()
    }

    /// One that goes when nobody has it any more.
    #[must_use]
    pub fn downgrade(&self) -> WeakFill<P> {
        WeakFill(Rc::downgrade(&self.0))
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
        let state = self.0.borrow();
        let pieces = || state.pieces.iter().map(|(_, piece)| piece.clone()).collect::<Vec<_>>();
        (!state.window).then(|| P::concat(&pieces()))
    }

    /// Whether nothing has moved for `limit`: its task was ended by the runtime.
    #[must_use]
    pub fn is_dead(&self, now: Timestamp, limit: Millis) -> bool {
        let state = self.0.borrow();
        match state.beat.filter(|_| state.end.is_none()) {
            Some(beat) => now.since(beat) > SILENT,
            None => now.since(state.touched) > limit,
        }
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
    pub fn reader(&self, is_leader: bool, limit: Millis, now: Timestamp) -> Option<BodyReader<P>> {
        let mut state = self.0.borrow_mut();
        let whole = state.page.is_some() || state.pieces.front().is_none_or(|(at, _)| *at == 0);
        if !whole || (state.pieces.is_empty() && state.page.is_none() && state.total > 0) {
            return None;
        }
        let reader = ReaderState::new(BodySource::Fill(self.clone()), 0, now);
        state.readers.push(Rc::downgrade(&reader));
        Some(BodyReader { state: reader, is_leader, limit, alone: None, rest: None })
    }

    /// What stands at a place of the body.
    pub(super) fn at(&self, at: u64) -> Next<P> {
        let state = self.0.borrow();
        if let Some(page) = &state.page {
            return piece_of::<P>(&page.body, at, page.entry.body_length);
        }
        let index = state.pieces.partition_point(|(start, _)| *start <= at);
        if let Some((start, piece)) = index.checked_sub(1).and_then(|index| state.pieces.get(index))
            && at == *start
            && P::length(piece) > 0
        {
            return Next::Piece(piece.clone());
        }
        match state.end {
            Some(end) if at >= state.total || end.is_err() => Next::End(end),
            Some(_) => Next::End(Err(OriginError::Broken)),
            None => Next::NotYet,
        }
    }

    pub(super) async fn moved(&self, platform: &P, is_leader: bool) {
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

impl<P: Platform> FillState<P> {
    fn living(&self) -> impl Iterator<Item = Rc<ReaderState<P>>> {
        self.readers.iter().filter_map(Weak::upgrade).filter(|reader| reader.reads())
    }
}

/// A fill that goes when nobody has it any more.
pub struct WeakFill<P: Platform>(Weak<RefCell<FillState<P>>>);

impl<P: Platform> WeakFill<P> {
    /// The fill, if somebody has it.
    #[must_use]
    pub fn upgrade(&self) -> Option<SharedFill<P>> {
        self.0.upgrade().map(SharedFill)
    }
}
