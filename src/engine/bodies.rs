//! Bodies of requests that are read before anything is done with them: calls to the edge itself, and small uploads.
//!
//! All of an isolate share one budget. When it is exceeded, the oldest is given up: who sends a body at once is done
//! before others have filled the budget, and who holds one back holds up nobody. A body has a time limit as a whole.

use std::rc::Rc;

use crate::base::time::{Millis, Timestamp};
use crate::engine::port::{OriginError, Platform};

use super::Engine;

/// How long a body may take to arrive, as a whole.
pub const ARRIVAL_LIMIT: Millis = Millis(30_000);
/// What a body counts for beside its bytes: the request that it belongs to.
pub const REQUEST_BYTES: u64 = 4_096;
/// What a piece counts for beside its bytes.
pub const PIECE_BYTES: u64 = 256;

/// A body that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyId(u64);

struct Arriving<C> {
    id: BodyId,
    began: Timestamp,
    pieces: Vec<C>,
    counted: u64,
}

/// The bodies that arrive in one isolate, oldest first.
pub struct Bodies<C> {
    most: u64,
    arriving: Vec<Arriving<C>>,
    next: u64,
}

impl<C> Bodies<C> {
    /// None yet; all together may hold `most` bytes.
    #[must_use]
    pub const fn new(most: u64) -> Self {
        Self { most, arriving: Vec::new(), next: 0 }
    }

    /// A body begins to arrive.
    pub fn begin(&mut self, now: Timestamp) -> BodyId {
        // What is older has been given up without a word.
        self.arriving.retain(|body| now.since(body.began) <= ARRIVAL_LIMIT);
        self.next += 1;
        let id = BodyId(self.next);
        self.arriving.push(Arriving { id, began: now, pieces: Vec::new(), counted: REQUEST_BYTES });
        self.make_room();
        id
    }

    /// A piece has arrived; false if the body was given up.
    pub fn push(&mut self, id: BodyId, piece: C, bytes: u64) -> bool {
        let Some(body) = self.arriving.iter_mut().find(|body| body.id == id) else { return false };
        body.pieces.push(piece);
        body.counted += bytes + PIECE_BYTES;
        self.make_room();
        self.arriving.iter().any(|body| body.id == id)
    }

    /// Takes a body out; none if it was given up.
    pub fn take(&mut self, id: BodyId) -> Option<Vec<C>> {
        let at = self.arriving.iter().position(|body| body.id == id)?;
        Some(self.arriving.remove(at).pieces)
    }

    /// Bytes that all of them count for.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.arriving.iter().map(|body| body.counted).sum()
    }

    fn make_room(&mut self) {
        while self.arriving.len() > 1 && self.bytes() > self.most {
            self.arriving.remove(0);
        }
    }
}

/// Why a body did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotArrived {
    /// It is larger than it may be.
    TooLarge(usize),
    /// It took too long.
    Late,
    /// It was given up for others.
    GivenUp,
    /// It ended early.
    Broken,
}

/// A body's place in the budget. Dropping it gives the body up.
struct StoredRecord<'a, P: Platform>(&'a Engine<P>, BodyId);

impl<P: Platform> Drop for StoredRecord<'_, P> {
    fn drop(&mut self) {
        self.0.isolate().borrow_mut().bodies.take(self.1);
    }
}

impl<P: Platform> Engine<P> {
    /// Reads a body of at most `most` bytes. `see` is shown each piece as it arrives.
    pub(super) async fn read_request_body(
        &self,
        platform: &Rc<P>,
        mut stream: P::Stream,
        most: usize,
        mut see: impl FnMut(&P::Chunk),
    ) -> Result<P::Chunk, NotArrived> {
        let began = platform.now();
        let id = self.isolate().borrow_mut().bodies.begin(began);
        let held = StoredRecord(self, id);
        let mut length = 0;
        loop {
            let left = Millis(ARRIVAL_LIMIT.0.saturating_sub(platform.now().since(began).0));
            let piece = match platform.read(&mut stream, left).await {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(OriginError::Timeout) => return Err(NotArrived::Late),
                Err(
                    OriginError::Broken
                    | OriginError::Unreadable
                    | OriginError::Unreachable
                    | OriginError::Busy
                    | OriginError::Upload
                    | OriginError::Status(_),
                ) => return Err(NotArrived::Broken),
            };
            length += P::length(&piece);
            if length > most {
                platform.cancel(stream);
                return Err(NotArrived::TooLarge(length));
            }
            see(&piece);
            let bytes = P::length(&piece) as u64;
            if !self.isolate().borrow_mut().bodies.push(id, piece, bytes) {
                platform.cancel(stream);
                return Err(NotArrived::GivenUp);
            }
            if platform.now().since(began) >= ARRIVAL_LIMIT {
                return Err(NotArrived::Late);
            }
        }
        let pieces = self.isolate().borrow_mut().bodies.take(id).ok_or(NotArrived::GivenUp)?;
        drop(held);
        Ok(P::concat(&pieces))
    }
}

#[cfg(test)]
mod tests {
    use super::{ARRIVAL_LIMIT, Bodies, PIECE_BYTES, REQUEST_BYTES};
    use crate::base::time::{Millis, Timestamp};

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    #[test]
    fn the_oldest_body_is_given_up_for_a_new_one() {
        let mut bodies = Bodies::new(100_000);
        let held: Vec<_> = (0..9)
            .map(|_| {
                let id = bodies.begin(NOW);
                (id, bodies.push(id, (), 30_000))
            })
            .collect();
        assert!(held.iter().all(|(_, pushed)| *pushed), "each is there at first");
        assert!(bodies.bytes() <= 100_000);
        let left = held.iter().filter(|(id, _)| bodies.take(*id).is_some()).count();
        assert_eq!(left, 2);
        assert_eq!(bodies.bytes(), 0);
    }

    #[test]
    fn what_counts_is_the_request_and_each_piece_too() {
        let mut bodies = Bodies::new(1 << 20);
        let id = bodies.begin(NOW);
        for _ in 0..100 {
            bodies.push(id, (), 1);
        }
        assert_eq!(bodies.bytes(), REQUEST_BYTES + 100 * (PIECE_BYTES + 1));
        let later = bodies.begin(NOW.plus(Millis(ARRIVAL_LIMIT.0 + 1)));
        assert_eq!(bodies.bytes(), REQUEST_BYTES, "what took too long counts no more");
        assert!(bodies.take(later).is_some() && bodies.take(id).is_none());
    }

    #[test]
    fn a_body_larger_than_the_budget_is_alone() {
        let mut bodies = Bodies::new(10_000);
        let first = bodies.begin(NOW);
        let second = bodies.begin(NOW);
        assert!(bodies.push(second, (), 50_000));
        assert!(!bodies.push(first, (), 1));
    }
}
