//! Readers of bodies: of a fill's as it arrives, and of what is stored, in pieces as they are taken.
//!
//! What a reader has still to take is held for it, and counted. One that takes nothing any more can be let go: then
//! its answer breaks off. One that falls behind by more than there is memory for goes on alone, if it can.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::base::time::{Millis, Timestamp};
use crate::engine::memory::StoredPage;
use crate::engine::port::{OriginError, Platform};

use super::alone::{Alone, Rest};
use super::shared::{PIECE_BYTES, STALLED, SharedFill};

/// Where a reader reads.
pub(super) enum BodySource<P: Platform> {
    Fill(SharedFill<P>),
    /// Up to a place of its body.
    Page(Rc<StoredPage<P::Chunk>>, u64),
    /// Bytes of its own.
    Own(P::Chunk),
}

/// What a reader finds.
pub(super) enum Next<P: Platform> {
    Piece(P::Chunk),
    End(Result<(), OriginError>),
    NotYet,
}

pub(super) fn piece_of<P: Platform>(body: &P::Chunk, at: u64, end: u64) -> Next<P> {
    if at >= end {
        return Next::End(Ok(()));
    }
    Next::Piece(P::slice(body, at, end.min(at + PIECE_BYTES)))
}

/// How far a reader is.
pub struct ReaderState<P: Platform> {
    source: RefCell<Option<BodySource<P>>>,
    /// It fell behind by more than there is memory for.
    fell_behind: Cell<bool>,
    pub(super) at: Cell<u64>,
    moved: Cell<Timestamp>,
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
        self.let_go();
    }

    /// It gets nothing more: its answer breaks off.
    pub fn let_go(&self) {
        self.source.borrow_mut().take();
    }

    /// The stored response that it reads by itself.
    #[must_use]
    pub fn page(&self) -> Option<Rc<StoredPage<P::Chunk>>> {
        match &*self.source.borrow() {
            Some(BodySource::Page(page, _)) => Some(Rc::clone(page)),
            Some(BodySource::Fill(_) | BodySource::Own(_)) | None => None,
        }
    }

    /// Bytes that it alone holds.
    #[must_use]
    pub fn own_bytes(&self) -> u64 {
        match &*self.source.borrow() {
            Some(BodySource::Own(bytes)) => P::length(bytes) as u64,
            Some(BodySource::Fill(_) | BodySource::Page(..)) | None => 0,
        }
    }
}

/// Reads a body in pieces: a fill's as it arrives, or what is stored.
pub struct BodyReader<P: Platform> {
    pub(super) state: Rc<ReaderState<P>>,
    pub(super) is_leader: bool,
    pub(super) limit: Millis,
    /// How it goes on if it falls behind.
    pub(super) alone: Option<Alone>,
    /// What it reads alone.
    pub(super) rest: Option<Rest<P>>,
}

impl<P: Platform> BodyReader<P> {
    /// A reader of a part of a stored body.
    #[must_use]
    pub fn of_page(
        page: &Rc<StoredPage<P::Chunk>>,
        (from, to): (u64, u64),
        now: Timestamp,
    ) -> Self {
        let state = ReaderState::new(BodySource::Page(Rc::clone(page), to), from, now);
        Self { state, is_leader: true, limit: STALLED, alone: None, rest: None }
    }

    /// A reader of bytes that nobody else has.
    #[must_use]
    pub fn of_bytes(bytes: P::Chunk, now: Timestamp) -> Self {
        Self {
            state: ReaderState::new(BodySource::Own(bytes), 0, now),
            is_leader: true,
            limit: STALLED,
            alone: None,
            rest: None,
        }
    }

    /// How far it is.
    #[must_use]
    pub const fn state(&self) -> &Rc<ReaderState<P>> {
        &self.state
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    /// What broke the body, [`OriginError::Timeout`] when nothing has moved for the limit, [`OriginError::Broken`] for
    /// a reader that was let go and can't go on alone.
    pub async fn next(&mut self, platform: &P) -> Result<Option<P::Chunk>, OriginError> {
        loop {
            let at = self.state.at.get();
            if let Some(rest) = &mut self.rest {
                let piece = rest.next(platform, at, self.limit).await?;
                self.state.at.set(at + piece.as_ref().map_or(0, |piece| P::length(piece) as u64));
                return Ok(piece);
            }
            if self.state.fell_behind.get()
                && let Some(alone) = self.alone.take()
            {
                self.rest = Some(alone.rest(platform, at).await?);
                continue;
            }
            let (next, fill) = match &*self.state.source.borrow() {
                None => return Err(OriginError::Broken),
                Some(BodySource::Fill(fill)) => (fill.at(at), Some(fill.clone())),
                Some(BodySource::Page(page, to)) => (piece_of::<P>(&page.body, at, *to), None),
                Some(BodySource::Own(bytes)) => {
                    (piece_of::<P>(bytes, at, P::length(bytes) as u64), None)
                }
            };
            let now = platform.now();
            self.state.moved.set(now);
            match (next, fill) {
                (Next::Piece(piece), _) => {
                    self.state.at.set(at + P::length(&piece) as u64);
                    return Ok(Some(piece));
                }
                (Next::End(end), _) => {
                    self.state.let_go();
                    return end.map(|()| None);
                }
                (Next::NotYet, Some(fill)) => {
                    if fill.is_dead(now, self.limit) {
                        return Err(OriginError::Timeout);
                    }
                    fill.moved(platform, self.is_leader).await;
                }
                (Next::NotYet, None) => return Err(OriginError::Broken),
            }
        }
    }
}
