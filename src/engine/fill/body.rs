//! Reads the origin's body into a buffer, and prepares readers to ask for its rest themselves.

use crate::base::time::{Millis, Timestamp};
use crate::cache::admission::Admitted;
use crate::cache::entry::Entry;
use crate::cache::forward::{add_selecting, cacheable_request_fields};
use crate::control::metrics::Counter;
use crate::engine::context::Incoming;
use crate::engine::fill::arriving::WINDOW_BYTES;
use crate::engine::fill::buffer::BodyBuffer;
use crate::engine::fill::reader::BodyReader;
use crate::engine::fill::resume::{ResumeRequest, SendRequest};
use crate::engine::origin_limit::Sender;
use crate::engine::parts::Filler;
use crate::engine::platform_limits::{LONGEST_LOOK, LOOK_INTERVAL};
use crate::engine::port::{OriginError, Platform};
use std::rc::Rc;

/// How long a window holds its beginning for those who waited for the answer: all have looked by
/// then.
const FIRST_LOOK: Millis = Millis(LONGEST_LOOK.0 + LOOK_INTERVAL.0);

/// The part of the budget by which pieces on their way may exceed it.
const OVERDRAFT: u64 = 10;
/// For so many there is room, however small the budget.
const FEWEST_PIECES: u64 = 16;

impl<P: Platform> Filler<P> {
    /// Reads a body into a buffer, by a deadline if there is one. A body that ends early or late of
    /// its stated length is broken. One that states its length takes room for all of it at once, if
    /// there is as much, and is read into one piece.
    pub(crate) async fn read_body(
        &self,
        mut body: P::Stream,
        stated: Option<u64>,
        buffer: &BodyBuffer<P>,
        deadline: Option<Timestamp>,
    ) -> Result<(), OriginError> {
        let platform = &self.context.platform;
        let timeout = self.context.config().origin_timeout;
        let began = platform.now();
        {
            let isolate = &mut *self.context.isolate().borrow_mut();
            isolate.watch_buffer(buffer);
            // Those that have stalled for long.
            isolate.shed(began, u64::MAX);
        }
        if let Some(length) = stated.filter(|length| self.context.has_room(*length)) {
            buffer.reserve(length);
            body = platform.gather(body, length);
        }
        loop {
            let left = || deadline.map_or(timeout, |end| timeout.min(end.since(platform.now())));
            if !self.room_to_read(buffer, began, left()).await {
                platform.cancel(body);
                let late = deadline.is_some_and(|end| platform.now() >= end);
                return Err(if late { OriginError::Timeout } else { OriginError::Broken });
            }
            let piece = match platform.read(&mut body, left()).await {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(error) => {
                    platform.cancel(body);
                    return Err(error);
                }
            };
            let bytes = P::length(&piece) as u64;
            self.context.isolate().borrow_mut().metrics.count(Counter::BytesOrigin, bytes);
            buffer.push(piece, platform.now());
            if stated.is_some_and(|length| buffer.total() > length) {
                platform.cancel(body);
                return Err(OriginError::Broken);
            }
            self.bound_fill_memory(buffer, platform.now());
            while buffer.is_window() && platform.now().since(began) < FIRST_LOOK {
                platform.sleep(LOOK_INTERVAL).await;
            }
            if buffer.is_window() && !self.drain(buffer).await {
                platform.cancel(body);
                return Err(OriginError::Broken);
            }
        }
        match stated {
            Some(length) if length != buffer.total() => Err(OriginError::Broken),
            Some(_) | None => Ok(()),
        }
    }

    /// Waits until there is room for another piece; false when that takes longer than `limit`.
    /// Pieces on their way may go beyond the budget by a tenth; where one finds no room, what is
    /// held becomes a window of its body.
    async fn room_to_read(&self, buffer: &BodyBuffer<P>, begun: Timestamp, limit: Millis) -> bool {
        let platform = &self.context.platform;
        let began = platform.now();
        let piece = P::LARGEST_PIECE;
        let most = self.context.config().fill_memory;
        let most = most.saturating_add(most / OVERDRAFT).max(piece.saturating_mul(FEWEST_PIECES));
        if buffer.is_reserved() {
            return true;
        }
        loop {
            {
                let mut isolate = self.context.isolate().borrow_mut();
                if isolate.fill_bytes() + piece > most {
                    isolate.shed(platform.now(), most - piece);
                }
                if isolate.fill_bytes() + piece <= most {
                    buffer.begin_reading_piece(piece);
                    return true;
                }
            }
            let now = platform.now();
            if buffer.total() > 0 && now.since(begun) >= FIRST_LOOK {
                buffer.open_window();
                if buffer.backlog().is_none() {
                    return false;
                }
            }
            if now.since(began) >= limit {
                return false;
            }
            platform.sleep(LOOK_INTERVAL).await;
        }
    }

    /// Keeps what fills hold in memory within its budget: the others give up what they can, then
    /// this one becomes a window of its body.
    fn bound_fill_memory(&self, buffer: &BodyBuffer<P>, now: Timestamp) {
        let most = self.context.config().fill_memory;
        let mut isolate = self.context.isolate().borrow_mut();
        if isolate.fill_bytes() > most {
            isolate.shed(now, most);
        }
        let over = isolate.fill_bytes() > most && !buffer.is_reserved();
        if buffer.total() > self.context.config().max_body || over {
            buffer.open_window();
        }
    }

    /// Waits until the quickest reader of a window has caught up; false when nobody reads any more.
    async fn drain(&self, buffer: &BodyBuffer<P>) -> bool {
        let platform = &self.context.platform;
        let began = platform.now();
        loop {
            let backlog = buffer.backlog();
            let most = self.context.config().fill_memory;
            let over = {
                let mut isolate = self.context.isolate().borrow_mut();
                isolate.shed(platform.now(), most);
                isolate.fill_bytes() > most
            };
            // Where memory is short, a piece at a time.
            let ahead = if over { P::LARGEST_PIECE } else { WINDOW_BYTES };
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

impl<P: Platform> Filler<P> {
    /// The same reader with what it needs to resume by itself, should it fall behind the others.
    pub(crate) fn may_resume(
        &self,
        reader: BodyReader<P>,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        entry: &Entry,
    ) -> BodyReader<P> {
        let facts = self.context.facts(incoming, false);
        let mut sent = cacheable_request_fields(&incoming.head, admitted, &facts);
        let names = entry.selection.names();
        add_selecting(&mut sent, &incoming.head, &names);
        let target = admitted.page.path_and_query();
        let (context, head) = (self.context.clone(), Rc::clone(&incoming.head));
        let ask: SendRequest<P> = Box::new(move |request| {
            Box::pin(async move {
                let permit = context.permit(Sender::Visitor, Some(&head), None).await?;
                permit.fetch(request).await
            })
        });
        reader.with(ResumeRequest::of(
            entry,
            target,
            sent,
            self.context.config().origin_timeout,
            ask,
        ))
    }
}
