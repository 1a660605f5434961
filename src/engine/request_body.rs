//! Reads the body of a request whole, within the budget and the time that such bodies have.

use std::hash::Hasher as _;
use std::net::IpAddr;

use siphasher::sip::SipHasher13;

use crate::base::time::Millis;
use crate::engine::bodies::{ARRIVAL_LIMIT, BodyId, Peer};
use crate::engine::context::Context;
use crate::engine::port::{OriginError, Platform};
use crate::http::RequestHead;

/// The part of an IPv6 address that names a network: /64.
const NETWORK_BYTES: usize = 8;

/// Why a body did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotArrived {
    /// It is larger than it may be.
    TooLarge(usize),
    /// It took too long.
    Late,
    /// It was given up for others.
    GivenUp,
    /// It ended early.
    Broken,
}

/// The sender of a request that proved nothing: its address, of IPv6 the network that one customer
/// has (RFC 6177).
pub(crate) fn peer_of(request: &RequestHead) -> Peer {
    let mut hasher = SipHasher13::new();
    let address = request.client.as_deref().unwrap_or_default();
    match address.parse().map(|address: IpAddr| address.to_canonical()) {
        Ok(IpAddr::V6(address)) => hasher.write(&address.octets()[..NETWORK_BYTES]),
        Ok(IpAddr::V4(_)) | Err(_) => hasher.write(address.as_bytes()),
    }
    Peer::At(hasher.finish())
}

/// A body's place in the budget. Dropping it gives the body up.
struct ReservedBody<'a, P: Platform>(&'a Context<P>, BodyId);

impl<P: Platform> Drop for ReservedBody<'_, P> {
    fn drop(&mut self) {
        self.0.isolate().borrow_mut().bodies.take(self.1);
    }
}

impl<P: Platform> Context<P> {
    /// Reads a body of at most `most` bytes. `see` is shown each piece as it arrives.
    pub(crate) async fn read_request_body(
        &self,
        peer: Peer,
        mut stream: P::Stream,
        most: usize,
        mut see: impl FnMut(&P::Chunk),
    ) -> Result<P::Chunk, NotArrived> {
        let platform = &self.platform;
        let began = platform.now();
        let id = self.isolate().borrow_mut().bodies.begin(peer, began);
        let reserved = ReservedBody(self, id);
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
                    | OriginError::Left
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
        drop(reserved);
        Ok(P::concat(&pieces))
    }
}
