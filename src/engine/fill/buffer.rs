//! A body that is read while it arrives, by as many as want to.
//!
//! Two requests of one isolate can't share I/O, and waking another request's task would run it in
//! the wrong I/O context: only a reader of the request that fills the buffer is woken, all others
//! look every few milliseconds with timers of their own.
//!
//! A body that outgrows what may be stored turns into a window: pieces are discarded once every
//! reader has them. The task waits for the quickest reader alone; one that falls behind by more
//! than there is memory for goes on alone. What readers still have to take counts as memory until
//! they have it, also after the task's end: then out of the stored response that was made of it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

use crate::base::time::{Millis, Timestamp};
use crate::engine::fill::arriving::{ArrivingBody, BodyPart, NextPiece, PIECE_BYTES, WINDOW_BYTES};
use crate::engine::memory::StoredPage;
use crate::engine::platform_limits::next_look;
use crate::engine::port::{OriginError, Platform};

/// A task that has not shown for so long that it runs was ended by the runtime.
pub const SILENT: Millis = Millis(10_000);

/// A reader that has taken nothing for so long is closed.
pub const STALLED: Millis = Millis(60_000);

/// What a part counts for beside its bytes.
const PART_BYTES: u64 = 128;

/// Where a reader reads.
pub(super) enum BodySource<P: Platform> {
    Buffer(BodyBuffer<P>),
    /// Up to a place of its body.
    Page(Rc<StoredPage<P::Chunk>>, u64),
    /// Parts of its body, and what stands between them.
    Parts(Rc<StoredPage<P::Chunk>>, Vec<BodyPart<P>>),
}

/// How far a reader is.
pub struct ReaderState<P: Platform> {
    pub(super) source: RefCell<Option<BodySource<P>>>,
    /// It fell behind by more than there is memory for.
    pub(super) fell_behind: Cell<bool>,
    pub(super) at: Cell<u64>,
    pub(super) moved: Cell<Timestamp>,
}

impl<P: Platform> ReaderState<P> {
    pub(super) fn new(source: BodySource<P>, at: u64, now: Timestamp) -> Rc<Self> {
        let source = RefCell::new(Some(source));
        let fell_behind = Cell::new(false);
        Rc::new(Self { source, fell_behind, at: Cell::new(at), moved: Cell::new(now) })
    }

    /// Whether it has something to take, or may have.
    #[must_use]
    pub fn reads(&self) -> bool {
        self.source.borrow().is_some()
    }

    /// When it last took something.
    #[must_use]
    pub fn moved(&self) -> Timestamp {
        self.moved.get()
    }

    /// It gets nothing more of what others read, and goes on alone if it can.
    pub(super) fn fall_behind(&self) {
        self.fell_behind.set(true);
        self.close();
    }

    /// It gets nothing more: its answer breaks off.
    pub fn close(&self) {
        self.source.borrow_mut().take();
    }

    /// The stored response that it reads by itself.
    #[must_use]
    pub fn page(&self) -> Option<Rc<StoredPage<P::Chunk>>> {
        match &*self.source.borrow() {
            Some(BodySource::Page(page, _) | BodySource::Parts(page, _)) => Some(Rc::clone(page)),
            Some(BodySource::Buffer(_)) | None => None,
        }
    }

    /// Bytes that it alone holds.
    #[must_use]
    pub fn own_bytes(&self) -> u64 {
        match &*self.source.borrow() {
            Some(BodySource::Parts(_, parts)) => {
                let own = |part: &BodyPart<P>| match part {
                    BodyPart::Text(text) => P::length(text) as u64 + PART_BYTES,
                    BodyPart::Stored(..) => PART_BYTES,
                };
                parts.iter().map(own).sum()
            }
            Some(BodySource::Buffer(_) | BodySource::Page(..)) | None => 0,
        }
    }
}

struct BufferState<P: Platform> {
    body: ArrivingBody<P>,
    readers: Vec<Weak<ReaderState<P>>>,
    wakers: Vec<Waker>,
    touched: Timestamp,
    /// When the task that fills it last showed that it runs, if it does so.
    heartbeat: Option<Timestamp>,
}

/// A body that arrives, and its readers. Cloning shares it.
pub struct BodyBuffer<P: Platform>(Rc<RefCell<BufferState<P>>>);

impl<P: Platform> Clone for BodyBuffer<P> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<P: Platform> BodyBuffer<P> {
    /// One of which nothing has arrived.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self(Rc::new(RefCell::new(BufferState {
            body: ArrivingBody::new(),
            readers: Vec::new(),
            wakers: Vec::new(),
            touched: now,
            heartbeat: None,
        })))
    }

    /// Whether this and the other are the same.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// The task that fills it runs: to be called every second from the first time on.
    pub fn heartbeat(&self, now: Timestamp) {
        self.0.borrow_mut().heartbeat = Some(now);
    }

    /// Shows those who wait that something moves.
    pub fn touch(&self, now: Timestamp) {
        self.0.borrow_mut().touched = now;
    }

    /// The same, and wakes whoever is to be woken.
    pub(super) fn touch_and_wake(&self, now: Timestamp) {
        self.0.borrow_mut().touched = now;
        wake(self.0.borrow_mut());
    }

    /// A piece is on its way, for which the runtime takes as much.
    pub fn begin_reading_piece(&self, bytes: u64) {
        self.0.borrow_mut().body.reading = bytes;
    }

    /// Takes room for a body of that length, and for the piece that it is read by.
    pub(crate) fn reserve(&self, length: u64) {
        self.0.borrow_mut().body.reserved = length + length.min(PIECE_BYTES);
    }

    /// Whether it has room for all of its length.
    pub(super) fn is_reserved(&self) -> bool {
        self.0.borrow().body.reserved > 0
    }

    /// Appends a piece of the body.
    pub fn push(&self, piece: P::Chunk, now: Timestamp) {
        let mut state = self.0.borrow_mut();
        state.body.push(piece);
        state.touched = now;
        wake(state);
    }

    /// Ends the body.
    pub fn finish(&self, end: Result<(), OriginError>, now: Timestamp) {
        let mut state = self.0.borrow_mut();
        state.body.reading = 0;
        state.body.reserved = 0;
        if state.body.end.is_none() {
            state.body.end = Some(end);
        }
        state.touched = now;
        wake(state);
    }

    /// From now on pieces are discarded once read: the body is too large to store.
    pub fn open_window(&self) {
        self.0.borrow_mut().body.window = true;
    }

    /// Bytes that the quickest reader has still to take, after discarding what all have; none
    /// without a reader.
    #[must_use]
    pub fn backlog(&self) -> Option<u64> {
        self.discard_read();
        let state = self.0.borrow();
        let quickest = state.living().map(|reader| reader.at.get()).max()?;
        Some(state.body.total.saturating_sub(quickest))
    }

    /// Discards what all readers of a window have.
    fn discard_read(&self) {
        let state = &mut *self.0.borrow_mut();
        if state.body.window {
            let slowest = state.living().map(|reader| reader.at.get()).min();
            state.body.discard_before(slowest.unwrap_or(state.body.total));
        }
    }

    /// Closes the reader that is furthest behind in a window; false if that would help nobody.
    pub fn drop_slowest(&self) -> bool {
        let slowest = {
            let state = self.0.borrow();
            let readers: Vec<_> = state.living().collect();
            let behind = readers.into_iter().min_by_key(|reader| reader.at.get());
            let body = &state.body;
            behind.filter(|reader| body.window && body.total - reader.at.get() > WINDOW_BYTES)
        };
        let Some(slowest) = slowest else { return false };
        slowest.fall_behind();
        self.discard_read();
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
        self.0.borrow_mut().body.became(page);
    }

    /// The stored response that its readers read.
    #[must_use]
    pub fn page(&self) -> Option<Rc<StoredPage<P::Chunk>>> {
        self.0.borrow().body.page.clone()
    }

    /// One that goes when nobody has it any more.
    #[must_use]
    pub fn downgrade(&self) -> WeakBuffer<P> {
        WeakBuffer(Rc::downgrade(&self.0))
    }

    /// Whether pieces are discarded once read.
    #[must_use]
    pub fn is_window(&self) -> bool {
        self.0.borrow().body.window
    }

    /// Bytes of the body so far.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.borrow().body.total
    }

    /// Bytes held for readers, and for a piece that is on its way.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.0.borrow().body.counted()
    }

    /// The whole body in one piece; only before a window was opened.
    #[must_use]
    pub fn whole(&self) -> Option<P::Chunk> {
        self.0.borrow().body.whole()
    }

    /// Whether nothing has moved for `limit`: the task that fills it was ended by the runtime.
    #[must_use]
    pub fn is_dead(&self, now: Timestamp, limit: Millis) -> bool {
        let state = self.0.borrow();
        match state.heartbeat.filter(|_| state.body.end.is_none()) {
            Some(heartbeat) => now.since(heartbeat) > SILENT,
            None => now.since(state.touched) > limit,
        }
    }

    /// Begins to read the body from its beginning; none once the window has let pieces go.
    pub(super) fn begin_reading(&self, now: Timestamp) -> Option<Rc<ReaderState<P>>> {
        let mut state = self.0.borrow_mut();
        if !state.body.has_beginning() {
            return None;
        }
        let reader = ReaderState::new(BodySource::Buffer(self.clone()), 0, now);
        state.readers.push(Rc::downgrade(&reader));
        Some(reader)
    }

    /// What stands at a place of the body.
    pub(super) fn at(&self, at: u64) -> NextPiece<P> {
        self.0.borrow().body.at(at)
    }

    /// Waits until something may have moved; `since` is what a reader waits for since then, if not
    /// since the last that moved.
    pub(super) async fn moved(&self, platform: &P, is_leader: bool, since: Option<Timestamp>) {
        if !is_leader {
            let since = since.unwrap_or_else(|| self.0.borrow().touched);
            return platform.sleep(next_look(platform.now().since(since))).await;
        }
        let mut waited = false;
        poll_fn(|context| {
            if waited {
                return Poll::Ready(());
            }
            waited = true;
            // A task that is polled for something else meanwhile comes here each time.
            let wakers = &mut self.0.borrow_mut().wakers;
            if !wakers.iter().any(|known| known.will_wake(context.waker())) {
                wakers.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

fn wake<P: Platform>(mut state: std::cell::RefMut<'_, BufferState<P>>) {
    let wakers = std::mem::take(&mut state.wakers);
    drop(state);
    for waker in wakers {
        waker.wake();
    }
}

impl<P: Platform> BufferState<P> {
    fn living(&self) -> impl Iterator<Item = Rc<ReaderState<P>>> {
        self.readers.iter().filter_map(Weak::upgrade).filter(|reader| reader.reads())
    }
}

/// A buffer that goes when nobody has it any more.
pub struct WeakBuffer<P: Platform>(Weak<RefCell<BufferState<P>>>);

impl<P: Platform> WeakBuffer<P> {
    /// The buffer, if somebody has it.
    #[must_use]
    pub fn upgrade(&self) -> Option<BodyBuffer<P>> {
        self.0.upgrade().map(BodyBuffer)
    }
}
