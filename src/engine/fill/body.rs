//! Reads the origin's body into a fill.

use crate::base::time::{Millis, Timestamp};
use crate::control::metrics::Counter;
use crate::engine::fill::arriving::{PIECE_BYTES, WINDOW_BYTES};
use crate::engine::fill::background::REFRESH_LIMIT;
use crate::engine::fill::outcome::Work;
use crate::engine::fill::shared::SharedFill;
use crate::engine::parts::Filler;
use crate::engine::platform_limits::{LONGEST_LOOK, LOOK_INTERVAL};
use crate::engine::port::{OriginError, Platform};

/// How long a window holds its beginning for those who waited for the answer: all have looked by
/// then.
const FIRST_LOOK: Millis = Millis(LONGEST_LOOK.0 + LOOK_INTERVAL.0);

impl<P: Platform> Filler<P> {
    /// Reads a body into a fill. A body that ends early or late of its stated length is broken.
    pub(crate) async fn read_body(
        &self,
        mut body: P::Stream,
        stated: Option<u64>,
        fill: &SharedFill<P>,
    ) -> Result<(), OriginError> {
        let platform = &self.context.platform;
        let timeout = self.context.config().origin_timeout;
        self.context.isolate().borrow_mut().watch_fill(fill);
        let began = platform.now();
        loop {
            let left = match fill.work() {
                Work::Refresh => {
                    REFRESH_LIMIT.0.saturating_sub(platform.now().since(fill.began()).0)
                }
                Work::Fetch | Work::Queue | Work::Ended => u64::MAX,
            };
            let piece = match platform.read(&mut body, timeout.min(Millis(left))).await {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(error) => {
                    platform.cancel(body);
                    return Err(error);
                }
            };
            let bytes = P::length(&piece) as u64;
            self.context.isolate().borrow_mut().metrics.count(Counter::BytesOrigin, bytes);
            fill.push(piece, platform.now());
            self.bound_fill_memory(fill, platform.now());
            while fill.is_window() && platform.now().since(began) < FIRST_LOOK {
                platform.sleep(LOOK_INTERVAL).await;
            }
            if fill.is_window() && !self.drain(fill).await {
                platform.cancel(body);
                return Err(OriginError::Broken);
            }
        }
        match stated {
            Some(length) if length != fill.total() => Err(OriginError::Broken),
            Some(_) | None => Ok(()),
        }
    }

    /// Keeps what fills hold in memory within its budget: the others give up what they can, then
    /// this one becomes a window of its body.
    fn bound_fill_memory(&self, fill: &SharedFill<P>, now: Timestamp) {
        let most = self.context.config().fill_memory;
        let mut isolate = self.context.isolate().borrow_mut();
        if isolate.fill_bytes() > most {
            isolate.shed(now, most);
        }
        if fill.total() > self.context.config().max_body || isolate.fill_bytes() > most {
            fill.open_window();
        }
    }

    /// Waits until the quickest reader of a window has caught up; false when nobody reads any more.
    async fn drain(&self, fill: &SharedFill<P>) -> bool {
        let platform = &self.context.platform;
        let began = platform.now();
        loop {
            let backlog = fill.backlog();
            let most = self.context.config().fill_memory;
            let over = {
                let mut isolate = self.context.isolate().borrow_mut();
                isolate.shed(platform.now(), most);
                isolate.fill_bytes() > most
            };
            // Where memory is short, a piece at a time.
            let ahead = if over { PIECE_BYTES } else { WINDOW_BYTES };
            match backlog {
                Some(bytes) if bytes <= ahead => return true,
                Some(_) if platform.now().since(began) < self.context.config().origin_timeout => {
                    platform.sleep(LOOK_INTERVAL).await;
                }
                Some(_) | None => return false,
            }
        }
    }
}
