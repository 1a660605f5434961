//! The body of a fill as it arrives: pieces that are held until it is stored, or until every reader
//! has them.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::engine::bodies;
use crate::engine::memory::StoredPage;
use crate::engine::port::{OriginError, Platform};

/// Bytes that a window holds for its quickest reader.
pub(super) const WINDOW_BYTES: u64 = 1 << 20;

/// A reader takes no more of a stored body at once: what it has taken is the runtime's, and counted
/// no more.
pub(super) const PIECE_BYTES: u64 = 64 << 10;

/// What a reader finds.
pub(super) enum NextPiece<P: Platform> {
    Piece(P::Chunk),
    End(Result<(), OriginError>),
    NotYet,
}

pub(super) fn piece_of<P: Platform>(body: &P::Chunk, at: u64, end: u64) -> NextPiece<P> {
    if at >= end {
        return NextPiece::End(Ok(()));
    }
    NextPiece::Piece(P::slice(body, at, end.min(at + PIECE_BYTES)))
}

/// What an answer's body is put together of.
pub(crate) enum BodyPart<P: Platform> {
    /// Bytes of its own.
    Text(P::Chunk),
    /// A part of a stored body: its first byte, and the byte after its last.
    Stored(u64, u64),
}

impl<P: Platform> BodyPart<P> {
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Text(text) => P::length(text) as u64,
            Self::Stored(from, to) => to.saturating_sub(*from),
        }
    }

    /// Its bytes, given the stored body.
    pub(crate) fn chunk(&self, stored: &P::Chunk) -> P::Chunk {
        match self {
            Self::Text(text) => text.clone(),
            Self::Stored(from, to) => P::slice(stored, *from, *to),
        }
    }
}

/// What stands at a place of a body that is put together of these parts, of that stored body.
pub(super) fn piece_of_parts<P: Platform>(
    stored: &P::Chunk,
    parts: &[BodyPart<P>],
    at: u64,
) -> NextPiece<P> {
    let mut begins = 0;
    for part in parts {
        let ends = begins + part.length();
        if at < ends {
            return match part {
                BodyPart::Text(text) => piece_of::<P>(text, at - begins, part.length()),
                BodyPart::Stored(from, to) => piece_of::<P>(stored, from + (at - begins), *to),
            };
        }
        begins = ends;
    }
    NextPiece::End(Ok(()))
}

/// A body that arrives, or has arrived.
pub(super) struct ArrivingBody<P: Platform> {
    /// Each with the place of its first byte in the body.
    pieces: VecDeque<(u64, P::Chunk)>,
    /// What the pieces became.
    pub(super) page: Option<Rc<StoredPage<P::Chunk>>>,
    /// Bytes held.
    pub(super) held: u64,
    /// What a piece on its way may take.
    pub(super) reading: u64,
    /// The room that its stated length takes: all of it counts from the beginning.
    pub(super) reserved: u64,
    /// Bytes seen.
    pub(super) total: u64,
    pub(super) end: Option<Result<(), OriginError>>,
    /// Whether pieces are discarded once read.
    pub(super) window: bool,
}

impl<P: Platform> ArrivingBody<P> {
    pub(super) const fn new() -> Self {
        Self {
            pieces: VecDeque::new(),
            page: None,
            held: 0,
            reading: 0,
            reserved: 0,
            total: 0,
            end: None,
            window: false,
        }
    }

    pub(super) fn push(&mut self, piece: P::Chunk) {
        let length = P::length(&piece) as u64;
        let at = self.total;
        self.reading = 0;
        self.held += length + bodies::PIECE_BYTES;
        self.total += length;
        self.pieces.push_back((at, piece));
    }

    /// Bytes that count as held.
    pub(super) fn counted(&self) -> u64 {
        (self.held + self.reading).max(self.reserved)
    }

    /// Discards what lies before the place of a window's slowest reader.
    pub(super) fn discard_before(&mut self, slowest: u64) {
        while let Some((at, piece)) = self.pieces.front() {
            let length = P::length(piece) as u64;
            if at + length > slowest {
                break;
            }
            self.held -= length + bodies::PIECE_BYTES;
            self.pieces.pop_front();
        }
    }

    /// The pieces are a stored response's body now.
    pub(super) fn became(&mut self, page: &Rc<StoredPage<P::Chunk>>) {
        self.pieces.clear();
        self.held = 0;
        self.reserved = 0;
        self.page = Some(Rc::clone(page));
    }

    /// All of it in one piece; only before a window was opened.
    pub(super) fn whole(&self) -> Option<P::Chunk> {
        let pieces = || self.pieces.iter().map(|(_, piece)| piece.clone()).collect::<Vec<_>>();
        (!self.window).then(|| P::concat(&pieces()))
    }

    /// Whether nothing of it was discarded: a reader can begin at the beginning.
    pub(super) fn has_beginning(&self) -> bool {
        let whole = self.page.is_some() || self.pieces.front().is_none_or(|(at, _)| *at == 0);
        whole && !(self.pieces.is_empty() && self.page.is_none() && self.total > 0)
    }

    /// What stands at a place.
    pub(super) fn at(&self, at: u64) -> NextPiece<P> {
        if let Some(page) = &self.page {
            return piece_of::<P>(&page.body, at, page.entry.body_length);
        }
        let index = self.pieces.partition_point(|(start, _)| *start <= at);
        if let Some((start, piece)) = index.checked_sub(1).and_then(|index| self.pieces.get(index))
            && at == *start
            && P::length(piece) > 0
        {
            return NextPiece::Piece(piece.clone());
        }
        match self.end {
            Some(end) if at >= self.total || end.is_err() => NextPiece::End(end),
            Some(_) => NextPiece::End(Err(OriginError::Broken)),
            None => NextPiece::NotYet,
        }
    }
}
