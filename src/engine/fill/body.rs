//! Reads the origin's body into a fill.

use std::rc::Rc;

use crate::control::metrics::Counter;
use crate::engine::port::{OriginError, Platform};

use super::shared::{LOOK_INTERVAL, SharedFill, WINDOW_BYTES};
use crate::engine::Engine;

impl<P: Platform> Engine<P> {
    /// Reads a body into a fill. A body that ends early or late of its stated length is broken.
    pub(crate) async fn read_body(
        &self,
        platform: &Rc<P>,
        mut body: P::Stream,
        stated: Option<u64>,
        fill: &SharedFill<P>,
    ) -> Result<(), OriginError> {
        let timeout = self.config().origin_timeout;
        loop {
            let Some(piece) = platform.read(&mut body, timeout).await? else { break };
            let bytes = P::length(&piece) as u64;
            self.isolate().borrow_mut().metrics.count(Counter::BytesOrigin, bytes);
            fill.push(piece, platform.now());
            let held = self.isolate().borrow().fill_bytes();
            if fill.total() > self.config().max_body || held > self.config().fill_memory {
                fill.open_window();
            }
            if fill.is_window() && !self.drain(platform, fill).await {
                platform.cancel(body);
                return Err(OriginError::Broken);
            }
        }
        match stated {
            Some(length) if length != fill.total() => Err(OriginError::Broken),
            Some(_) | None => Ok(()),
        }
    }

    /// Waits until the slowest reader of a window has caught up; false when nobody reads any more.
    async fn drain(&self, platform: &Rc<P>, fill: &SharedFill<P>) -> bool {
        let began = platform.now();
        loop {
            match fill.backlog() {
                Some(bytes) if bytes <= WINDOW_BYTES => return true,
                Some(_) if platform.now().since(began) < self.config().origin_timeout => {
                    platform.sleep(LOOK_INTERVAL).await;
                }
                Some(_) | None => return false,
            }
        }
    }
}
