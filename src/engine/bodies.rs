//! Bodies of requests that are read before anything is done with them: calls to the edge itself,
//! and small uploads; and who gives way where there is no room for all.
//!
//! All of an isolate share one budget. When it is exceeded, the oldest body of that sender is given
//! up whose bodies hold most: who holds many, or large ones, gives way before who holds a small
//! one, and who has proved by the head who they are gives way last. A body has a time limit as a
//! whole.

use std::collections::HashMap;

use crate::base::time::{Millis, Timestamp};

/// How long a body may take to arrive, as a whole.
pub const ARRIVAL_LIMIT: Millis = Millis(30_000);
/// What a body counts for beside its bytes: the request that it belongs to.
pub const REQUEST_BYTES: u64 = 4_096;
/// What a piece counts for beside its bytes.
pub const PIECE_BYTES: u64 = 256;

/// A body that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyId(u64);

/// Who sends a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The head proved it.
    Known,
    /// Somebody at this address.
    At(u64),
}

struct IncomingBody<C> {
    id: BodyId,
    peer: Peer,
    began: Timestamp,
    pieces: Vec<C>,
    counted: u64,
}

/// The bodies that arrive in one isolate, oldest first.
pub struct Bodies<C> {
    most: u64,
    arriving: Vec<IncomingBody<C>>,
    next: u64,
}

impl<C> Bodies<C> {
    /// None yet; all together may hold `most` bytes.
    #[must_use]
    pub const fn new(most: u64) -> Self {
        Self { most, arriving: Vec::new(), next: 0 }
    }

    /// A body begins to arrive.
    pub fn begin(&mut self, peer: Peer, now: Timestamp) -> BodyId {
        // What is older has been given up without a word.
        self.arriving.retain(|body| now.since(body.began) <= ARRIVAL_LIMIT);
        self.next += 1;
        let id = BodyId(self.next);
        let (pieces, counted) = (Vec::new(), REQUEST_BYTES);
        self.arriving.push(IncomingBody { id, peer, began: now, pieces, counted });
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
            let held = self.arriving.iter().map(|body| (body.peer, body.counted));
            let Some(at) = first_to_give_up(held) else { break };
            self.arriving.remove(at);
        }
    }
}

/// Which is given up first of what senders hold, oldest first: the oldest of the sender who holds
/// most.
pub(super) fn first_to_give_up(held: impl Iterator<Item = (Peer, u64)> + Clone) -> Option<usize> {
    let mut by_address: HashMap<u64, u64> = HashMap::new();
    for (peer, amount) in held.clone() {
        if let Peer::At(address) = peer {
            *by_address.entry(address).or_default() += amount;
        }
    }
    let most = by_address.values().max();
    let mut held = held;
    held.position(|(peer, _)| match peer {
        Peer::Known => most.is_none(),
        Peer::At(address) => by_address.get(&address) == most,
    })
}

#[cfg(test)]
mod tests {
    use super::{ARRIVAL_LIMIT, Bodies, PIECE_BYTES, Peer, REQUEST_BYTES};
    use crate::base::time::{Millis, Timestamp};

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const ANYONE: Peer = Peer::At(0);

    #[test]
    fn the_oldest_body_is_given_up_for_a_new_one() {
        let mut bodies = Bodies::new(100_000);
        let held: Vec<_> = (0..9)
            .map(|_| {
                let id = bodies.begin(ANYONE, NOW);
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
    fn who_holds_most_is_given_up_first_and_who_is_known_last() {
        let mut bodies = Bodies::new(100_000);
        let known = bodies.begin(Peer::Known, NOW);
        let small = bodies.begin(Peer::At(1), NOW);
        assert!(bodies.push(known, (), 40_000) && bodies.push(small, (), 2_000));
        let strangers: Vec<_> = (2..100)
            .map(|address| {
                let id = bodies.begin(Peer::At(address), NOW);
                (id, bodies.push(id, (), 20_000))
            })
            .collect();
        assert!(bodies.bytes() <= 100_000);
        assert!(bodies.take(small).is_some(), "there are larger ones");
        assert!(strangers.iter().any(|(id, _)| bodies.take(*id).is_some()));
        let second = bodies.begin(Peer::Known, NOW);
        assert!(bodies.push(second, (), 80_000));
        assert!(bodies.take(known).is_none(), "among the known the oldest goes");
        assert!(bodies.take(second).is_some());
    }

    #[test]
    fn what_counts_is_the_request_and_each_piece_too() {
        let mut bodies = Bodies::new(1 << 20);
        let id = bodies.begin(ANYONE, NOW);
        for _ in 0..100 {
            bodies.push(id, (), 1);
        }
        assert_eq!(bodies.bytes(), REQUEST_BYTES + 100 * (PIECE_BYTES + 1));
        let later = bodies.begin(ANYONE, NOW.plus(Millis(ARRIVAL_LIMIT.0 + 1)));
        assert_eq!(bodies.bytes(), REQUEST_BYTES, "what took too long counts no more");
        assert!(bodies.take(later).is_some() && bodies.take(id).is_none());
    }

    #[test]
    fn a_body_larger_than_the_budget_is_alone() {
        let mut bodies = Bodies::new(10_000);
        let first = bodies.begin(ANYONE, NOW);
        let second = bodies.begin(ANYONE, NOW);
        assert!(bodies.push(second, (), 50_000));
        assert!(!bodies.push(first, (), 1));
    }
}
