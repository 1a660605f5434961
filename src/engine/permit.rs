//! Permission to send a request to the origin: waiting for it, holding it while the origin works,
//! giving it back.

use std::cell::Cell;
use std::rc::Rc;

use crate::base::time::Millis;
use crate::cache::stale_if_error::is_origin_failure;
use crate::control::metrics::Counter;
use crate::engine::bodies::Peer;
use crate::engine::context::Context;
use crate::engine::fill::shared::SharedFill;
use crate::engine::heartbeat::while_beating;
use crate::engine::origin_limit::{QueuePlace, RequestEnd, RequestId, Sender};
use crate::engine::platform_limits::{LONGEST_LOOK, LOOK_INTERVAL};
use crate::engine::port::{OriginError, OriginRequest, OriginResponse, Platform, UploadState};
use crate::http::RequestHead;

/// So many before in the queue make looking this much rarer: a request's place moves slowly.
const LOOKED_OVER: u64 = 16;

/// A request's place among those under way. Dropping it gives it back.
pub(crate) struct Permit<P: Platform> {
    context: Context<P>,
    id: RequestId,
    ended: bool,
}

impl<P: Platform> Permit<P> {
    fn new(context: &Context<P>, id: RequestId) -> Self {
        Self { context: context.clone(), id, ended: false }
    }

    /// Sends the request, and counts it as ended once the head of the answer is there, or none will
    /// come.
    pub(crate) async fn fetch(
        self,
        request: OriginRequest<P::Stream, P::Chunk>,
    ) -> Result<OriginResponse<P::Stream>, OriginError> {
        let host = request.fields.get("x-forwarded-host").unwrap_or_default();
        let path = request.target.split('?').next().unwrap_or_default();
        let config = self.context.config();
        let rule = config.place_of(config.route(host, path));
        let began = self.context.platform.now();
        let (context, id) = (&self.context, self.id);
        let beat = |now| context.isolate().borrow_mut().origin.beat(id, now);
        let platform = &*context.platform;
        let mut response = while_beating(platform, beat, platform.fetch(request)).await;
        if let Ok(response) = &mut response {
            response.head.drop_void_length();
        }
        let now = self.context.platform.now();
        self.context.isolate().borrow_mut().counting.count_origin(rule, now.since(began), now);
        self.end(&response);
        response
    }

    fn end(mut self, response: &Result<OriginResponse<P::Stream>, OriginError>) {
        let ended = match response {
            Ok(response) if is_origin_failure(response.head.status) => RequestEnd::Failed,
            Ok(_) => RequestEnd::Answered,
            Err(OriginError::Timeout | OriginError::Unreachable | OriginError::Status(_)) => {
                RequestEnd::Failed
            }
            // What can't be read says nothing of how much the origin can do.
            Err(
                OriginError::Broken
                | OriginError::Unreadable
                | OriginError::Busy
                | OriginError::Upload
                | OriginError::Left,
            ) => RequestEnd::GivenUp,
        };
        self.release(ended);
    }

    /// The request is an upload: it counts once its body was sent, as this will say.
    pub(super) fn upload(&self, peer: Peer) -> Rc<Cell<UploadState>> {
        let state = Rc::new(Cell::new(UploadState::UnderWay));
        let origin = &mut self.context.isolate().borrow_mut().origin;
        origin.upload(self.id, peer, Rc::clone(&state));
        state
    }

    fn release(&mut self, ended: RequestEnd) {
        if !std::mem::replace(&mut self.ended, true) {
            let mut isolate = self.context.isolate().borrow_mut();
            isolate.origin.end(self.id, self.context.platform.now(), ended);
        }
    }
}

impl<P: Platform> Drop for Permit<P> {
    fn drop(&mut self) {
        self.release(RequestEnd::GivenUp);
    }
}

/// A place in the queue. Dropping it gives it up.
struct Queued<'a, P: Platform>(&'a Context<P>, QueuePlace);

impl<P: Platform> Drop for Queued<'_, P> {
    fn drop(&mut self) {
        self.0.isolate().borrow_mut().origin.leave(self.1);
    }
}

impl<P: Platform> Context<P> {
    /// Waits for permission to send a request, as long as the origin may take for an answer. `fill`
    /// is shown to be alive meanwhile. A visitor who leaves gives the place up, unless others wait
    /// for the fill.
    ///
    /// # Errors
    /// [`OriginError::Busy`] when no permission came, or too many wait; [`OriginError::Left`] when
    /// nobody waits any more.
    pub(crate) async fn permit(
        &self,
        sender: Sender,
        request: Option<&RequestHead>,
        fill: Option<&SharedFill<P>>,
    ) -> Result<Permit<P>, OriginError> {
        let platform = &self.platform;
        let began = platform.now();
        let head = request.map_or(0, RequestHead::bytes);
        let place = match sender {
            Sender::Visitor => {
                let place = self.isolate().borrow_mut().origin.queue(head, began);
                Some(Queued(self, place.ok_or(OriginError::Busy)?))
            }
            Sender::Background => None,
        };
        let mut waited = false;
        loop {
            let now = platform.now();
            let mut look = LONGEST_LOOK;
            let begun = {
                let origin = &mut self.isolate().borrow_mut().origin;
                match &place {
                    Some(Queued(_, place)) => {
                        look = Millis(LOOK_INTERVAL.0 + origin.before(*place) as u64 / LOOKED_OVER);
                        origin.begin_at(*place, now)
                    }
                    None => origin.begin_background(now),
                }
            };
            if let Some(id) = begun {
                return Ok(Permit::new(self, id));
            }
            if now.since(began) >= self.config().origin_timeout {
                return Err(OriginError::Busy);
            }
            let is_followed = fill.is_some_and(|fill| fill.is_followed(now));
            if place.is_some() && platform.has_visitor_left() && !is_followed {
                self.count(Counter::OriginLeft);
                return Err(OriginError::Left);
            }
            if !std::mem::replace(&mut waited, true) {
                self.count(Counter::OriginWaited);
            }
            if let Some(fill) = fill {
                fill.touch(now);
            }
            platform.sleep(look.min(LONGEST_LOOK)).await;
        }
    }

    /// Permission for a request that nobody waits for, if there is room.
    pub(crate) fn background_permit(&self) -> Option<Permit<P>> {
        let platform = &self.platform;
        let id = self.isolate().borrow_mut().origin.begin_background(platform.now())?;
        Some(Permit::new(self, id))
    }
}
