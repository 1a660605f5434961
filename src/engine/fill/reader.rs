//! Readers of bodies: of a fill's as it arrives, and of what is stored, in pieces as they are
//! taken.
//!
//! What a reader has still to take is held for it, and counted. One that takes nothing any more can
//! be closed: then its answer breaks off. One that falls behind by more than there is memory for
//! resumes by a request of its own, if it can.

use std::rc::Rc;

use crate::base::time::{Millis, Timestamp};
use crate::engine::fill::arriving::{BodyPart, NextPiece, piece_of, piece_of_parts};
use crate::engine::fill::buffer::{BodyBuffer, BodySource, ReaderState, STALLED};
use crate::engine::fill::resume::{RestOfBody, ResumeRequest};
use crate::engine::memory::StoredPage;
use crate::engine::port::{OriginError, Platform};

/// Reads a body in pieces: as it arrives, or what is stored.
pub struct BodyReader<P: Platform> {
    state: Rc<ReaderState<P>>,
    is_leader: bool,
    limit: Millis,
    /// How it goes on if it falls behind.
    resume: Option<ResumeRequest<P>>,
    /// What it reads by itself.
    rest: Option<RestOfBody<P>>,
}

impl<P: Platform> BodyReader<P> {
    /// A reader of a body as it arrives, from its beginning; none once the window has let pieces
    /// go.
    #[must_use]
    pub fn of_buffer(
        buffer: &BodyBuffer<P>,
        is_leader: bool,
        limit: Millis,
        now: Timestamp,
    ) -> Option<Self> {
        let state = buffer.begin_reading(now)?;
        Some(Self { state, is_leader, limit, resume: None, rest: None })
    }

    /// The same with what it needs to resume by itself.
    pub(super) fn with(self, resume: Option<ResumeRequest<P>>) -> Self {
        Self { resume, ..self }
    }

    /// A reader of a part of a stored body.
    #[must_use]
    pub fn of_page(
        page: &Rc<StoredPage<P::Chunk>>,
        (from, to): (u64, u64),
        now: Timestamp,
    ) -> Self {
        let state = ReaderState::new(BodySource::Page(Rc::clone(page), to), from, now);
        Self { state, is_leader: true, limit: STALLED, resume: None, rest: None }
    }

    /// A reader of what is put together of parts of a stored body, and texts of its own.
    #[must_use]
    pub(crate) fn of_parts(
        page: &Rc<StoredPage<P::Chunk>>,
        parts: Vec<BodyPart<P>>,
        now: Timestamp,
    ) -> Self {
        let state = ReaderState::new(BodySource::Parts(Rc::clone(page), parts), 0, now);
        Self { state, is_leader: true, limit: STALLED, resume: None, rest: None }
    }

    /// How far it is.
    #[must_use]
    pub const fn state(&self) -> &Rc<ReaderState<P>> {
        &self.state
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    /// What broke the body, [`OriginError::Timeout`] when nothing has moved for the limit,
    /// [`OriginError::Broken`] for a reader that was closed and can't resume.
    pub async fn next(&mut self, platform: &P) -> Result<Option<P::Chunk>, OriginError> {
        loop {
            let at = self.state.at.get();
            if let Some(rest) = &mut self.rest {
                let piece = rest.next(platform, at, self.limit).await?;
                self.state.at.set(at + piece.as_ref().map_or(0, |piece| P::length(piece) as u64));
                return Ok(piece);
            }
            if self.state.fell_behind.get()
                && let Some(resume) = self.resume.take()
            {
                self.rest = Some(resume.rest(platform, at).await?);
                continue;
            }
            let (next, buffer) = match &*self.state.source.borrow() {
                None => return Err(OriginError::Broken),
                Some(BodySource::Buffer(buffer)) => (buffer.at(at), Some(buffer.clone())),
                Some(BodySource::Page(page, to)) => (piece_of::<P>(&page.body, at, *to), None),
                Some(BodySource::Parts(page, parts)) => {
                    (piece_of_parts(&page.body, parts, at), None)
                }
            };
            let now = platform.now();
            self.state.moved.set(now);
            match (next, buffer) {
                (NextPiece::Piece(piece), _) => {
                    self.state.at.set(at + P::length(&piece) as u64);
                    return Ok(Some(piece));
                }
                (NextPiece::End(end), _) => {
                    self.state.close();
                    return end.map(|()| None);
                }
                (NextPiece::NotYet, Some(buffer)) => {
                    if buffer.is_dead(now, self.limit) {
                        return Err(OriginError::Timeout);
                    }
                    buffer.moved(platform, self.is_leader, None).await;
                }
                (NextPiece::NotYet, None) => return Err(OriginError::Broken),
            }
        }
    }
}
