//! A body of the origin's whose reader may end early: with an error, or with the task.

use std::rc::Rc;

use crate::engine::port::Platform;

/// A body that is cancelled when it is dropped with a part unread.
pub(crate) struct UnreadBody<'a, P: Platform> {
    pub(crate) platform: &'a Rc<P>,
    pub(crate) body: Option<P::Stream>,
}

impl<P: Platform> Drop for UnreadBody<'_, P> {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            self.platform.cancel(body);
        }
    }
}
