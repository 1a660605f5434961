//! The origin requests of one isolate that are under way, uploads among them.
//!
//! Uploads have a number of their own. Where it is exceeded, the oldest is given up of the sender
//! who has most.

use std::cell::Cell;
use std::rc::Rc;

use crate::base::time::{Millis, Timestamp};
use crate::engine::bodies::{Peer, first_to_give_up};
use crate::engine::port::UploadState;

/// A request that has not shown for so long that it runs was ended by the runtime. What it waits
/// for before it is sent takes as long.
const SILENT: Millis = Millis(5_000);
/// An upload that has not ended for so long is gone.
const UPLOAD_LAPSE: Millis = Millis(3_600_000);
/// As many uploads may be under way.
pub(super) const MAX_UPLOADS: usize = 1_000;

/// A request that may be under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub(super) u64);

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A visitor waits for its answer.
    Visitor,
    /// Nobody waits: a refresh or a warm.
    Background,
}

/// A request under way.
pub(super) struct Request {
    id: RequestId,
    sender: Sender,
    /// When it began, or when its body had been sent.
    pub(super) began: Timestamp,
    /// When it last showed that it runs.
    heartbeat: Timestamp,
    /// What its head holds.
    pub(super) head: u64,
    /// Who sends its body, and how far that is.
    upload: Option<(Peer, Rc<Cell<UploadState>>)>,
}

impl Request {
    /// Whether it was an upload when it was last looked at.
    pub(super) const fn was_upload(&self) -> bool {
        self.upload.is_some()
    }

    fn is_upload(&self) -> bool {
        let state = self.upload.as_ref().map(|(_, state)| state.get());
        state == Some(UploadState::UnderWay)
    }
}

/// The requests under way.
#[derive(Default)]
pub(super) struct UnderWay(Vec<Request>);

impl UnderWay {
    pub(super) fn begin(&mut self, id: RequestId, sender: Sender, head: u64, now: Timestamp) {
        let heartbeat = now.plus(SILENT);
        self.0.push(Request { id, sender, began: now, heartbeat, head, upload: None });
    }

    /// A request runs.
    pub(super) fn beat(&mut self, id: RequestId, now: Timestamp) {
        if let Some(request) = self.0.iter_mut().find(|request| request.id == id) {
            request.heartbeat = now;
        }
    }

    /// A request is an upload from now on, until `state` says that it was sent.
    pub(super) fn upload(&mut self, id: RequestId, peer: Peer, state: Rc<Cell<UploadState>>) {
        if let Some(request) = self.0.iter_mut().find(|request| request.id == id) {
            request.upload = Some((peer, state));
        }
        while self.0.iter().filter(|request| request.is_upload()).count() > MAX_UPLOADS {
            if !self.give_up_upload(|_| Some(1)) {
                break;
            }
        }
    }

    /// Takes one that has ended out; none if it was given up.
    pub(super) fn take(&mut self, id: RequestId) -> Option<Request> {
        let at = self.0.iter().position(|request| request.id == id)?;
        Some(self.0.swap_remove(at))
    }

    /// Those that the origin is busy with.
    pub(super) fn count(&self) -> usize {
        self.0.iter().filter(|request| !request.is_upload()).count()
    }

    /// Those of the background.
    pub(super) fn background(&self) -> usize {
        self.0.iter().filter(|request| request.sender == Sender::Background).count()
    }

    /// What the head of each holds.
    pub(super) fn heads(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(|request| request.head)
    }

    /// Gives up one of the uploads that hold something: the oldest of the sender who holds most.
    /// False if there is none.
    pub(super) fn give_up_upload(&mut self, holds: impl Fn(&Request) -> Option<u64>) -> bool {
        let mut uploads: Vec<(RequestId, Peer, u64)> = Vec::new();
        for request in self.0.iter().filter(|request| request.is_upload()) {
            if let (Some((peer, _)), Some(held)) = (&request.upload, holds(request)) {
                uploads.push((request.id, *peer, held));
            }
        }
        uploads.sort_unstable_by_key(|(id, _, _)| *id);
        let first = first_to_give_up(uploads.iter().map(|(_, peer, held)| (*peer, *held)));
        let upload = first
            .and_then(|at| uploads.get(at))
            .and_then(|(id, _, _)| self.take(*id))
            .and_then(|request| request.upload);
        if let Some((_, state)) = &upload {
            state.set(UploadState::GivenUp);
        }
        upload.is_some()
    }

    /// Forgets those whose task must have ended without a word, `lapse` after they began.
    pub(super) fn forget_lapsed(&mut self, lapse: Millis, now: Timestamp) {
        for request in &mut self.0 {
            if request.was_upload() && !request.is_upload() {
                (request.upload, request.began) = (None, now);
            }
        }
        self.0.retain(|request| {
            let lapse = if request.was_upload() { UPLOAD_LAPSE } else { lapse };
            now.since(request.began) < lapse && now.since(request.heartbeat) < SILENT
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{RequestId, SILENT, Sender, UnderWay};
    use crate::base::time::{Millis, Timestamp};

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    #[test]
    fn who_was_ended_without_a_word_gives_their_place_back() {
        let mut requests = UnderWay::default();
        let (runs, ended) = (RequestId(1), RequestId(2));
        for id in [runs, ended] {
            requests.begin(id, Sender::Visitor, 0, NOW);
        }
        for second in 1..=15 {
            let now = NOW.plus(Millis(second * 1_000));
            requests.beat(runs, now);
            requests.forget_lapsed(Millis(40_000), now);
            let gone = now.since(NOW).0 >= 2 * SILENT.0;
            assert_eq!(requests.count(), if gone { 1 } else { 2 }, "{second}");
        }
        assert!(requests.take(runs).is_some() && requests.take(ended).is_none());
    }
}
