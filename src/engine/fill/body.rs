//! Reads the origin's body into a flight.

use std::rc::Rc;

use crate::control::metrics::Counter;
use crate::engine::port::{OriginError, Platform};

use super::shared::{Flight, LOOK_INTERVAL, WINDOW_BYTES};
use crate::engine::Engine;

impl<P: Platform> Engine<P> {
    /// Reads a body into a flight. A body that ends early or late of its stated length is broken.
    pub(crate) async fn read_body(
        &self,
        platform: &Rc<P>,
        mut body: P::Stream,
        stated: Option<u64>,
        flight: &Flight<P>,
    ) -> Result<(), OriginError> {
        let timeout = self.config().origin_timeout;
        loop {
            let Some(piece) = platform.read(&mut body, timeout).await? else { break };
            let bytes = P::length(&piece) as u64;
            self.isolate().borrow_mut().metrics.count(Counter::BytesOrigin, bytes);
            flight.push(piece, platform.now());
            let held = self.isolate().borrow().flight_bytes();
            if flight.total() > self.config().max_body || held > self.config().fill_memory {
                flight.open_window();
            }
            if flight.is_window() && !self.drain(platform, flight).await {
                platform.cancel(body);
                return Err(OriginError::Broken);
            }
        }
        match stated {
            Some(length) if length != flight.total() => Err(OriginError::Broken),
            Some(_) | None => Ok(()),
        }
    }

    /// Waits until the slowest reader of a window has caught up; false when nobody reads any more.
    async fn drain(&self, platform: &Rc<P>, flight: &Flight<P>) -> bool {
        let began = platform.now();
        loop {
            match flight.backlog() {
                Some(bytes) if bytes <= WINDOW_BYTES => return true,
                Some(_) if platform.now().since(began) < self.config().origin_timeout => {
                    platform.sleep(LOOK_INTERVAL).await;
                }
                Some(_) | None => return false,
            }
        }
    }
}
