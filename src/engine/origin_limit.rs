//! The limit of origin requests under way in one isolate: who may send one now, and who waits.
//!
//! Visitors wait in the order in which they came. Background requests have a share of the limit,
//! and give way: none begins while a visitor waits, but for the first. A request counts from the
//! moment the origin has it whole until the head of the answer: an upload that is still on its way
//! counts as nothing, because its sender may take forever (`under_way.rs`).
//!
//! The limit adapts to the origin (`adaptive_limit.rs`).
//!
//! The runtime may end a request's tasks without a word. So a place in the queue lapses when its
//! owner has not asked for a while, and a request under way lapses when it is older than any answer
//! can be.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::base::time::{Millis, Timestamp};
use crate::engine::adaptive_limit::AdaptiveLimit;
use crate::engine::bodies::Peer;
use crate::engine::port::UploadState;
use crate::engine::under_way::{Request, UnderWay};
pub use crate::engine::under_way::{RequestId, Sender};

/// A waiting request that has not asked for so long is gone.
pub const WAIT_LAPSE: Millis = Millis(2_000);
/// How often it is looked for what has lapsed.
const CHECK_INTERVAL: Millis = Millis(100);
/// As many requests may wait: each holds its head in memory.
pub const MAX_WAITING: usize = 1_000;
/// What a request's head holds at most as a rule.
pub const ORDINARY_HEAD: u64 = 8 << 10;
/// What all larger heads together may hold, of requests that wait or are under way.
pub const LARGE_HEADS: u64 = 4 << 20;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestEnd {
    /// The origin answered.
    Answered,
    /// It failed, or did not answer in time.
    Failed,
    /// It was given up, which says nothing of the origin.
    GivenUp,
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueuePlace(u64);

struct QueuedRequest {
    place: QueuePlace,
    /// What its head holds.
    head: u64,
    /// When its owner last polled.
    polled: Timestamp,
}

/// The origin requests of one isolate.
pub struct OriginLimit {
    lapse: Millis,
    requests: UnderWay,
    waiting: VecDeque<QueuedRequest>,
    next: u64,
    /// When lapsed ones were last forgotten.
    checked: Timestamp,
    adaptive: AdaptiveLimit,
}

impl OriginLimit {
    /// No requests under way. `most` is the setting; `timeout` is how long an answer may take.
    #[must_use]
    pub fn new(most: u32, timeout: Millis) -> Self {
        Self {
            lapse: Millis(timeout.0.saturating_mul(2)),
            requests: UnderWay::default(),
            waiting: VecDeque::new(),
            next: 0,
            checked: Timestamp::ZERO,
            adaptive: AdaptiveLimit::new(most),
        }
    }

    /// A place at the end of the queue for a request whose head holds so many bytes; none if too
    /// many wait already, or its head is large and others hold what there is for such. Uploads give
    /// what their heads hold up for it.
    pub fn queue(&mut self, head: u64, now: Timestamp) -> Option<QueuePlace> {
        self.forget_lapsed(now);
        if self.waiting.len() >= MAX_WAITING || head > LARGE_HEADS {
            return None;
        }
        while head > ORDINARY_HEAD && self.large_heads().saturating_add(head) > LARGE_HEADS {
            let large = |request: &Request| Some(request.head).filter(|it| *it > ORDINARY_HEAD);
            if !self.requests.give_up_upload(large) {
                return None;
            }
        }
        let place = QueuePlace(self.number());
        self.waiting.push_back(QueuedRequest { place, head, polled: now });
        Some(place)
    }

    /// Begins the request that waits at a place, if it is its turn.
    pub fn begin_at(&mut self, place: QueuePlace, now: Timestamp) -> Option<RequestId> {
        self.forget_lapsed(now);
        let at = match self.waiting.binary_search_by_key(&place, |waiting| waiting.place) {
            Ok(at) => at,
            // It lapsed, and its owner asks again all the same.
            Err(at) => {
                self.waiting.insert(at, QueuedRequest { place, head: ORDINARY_HEAD, polled: now });
                at
            }
        };
        self.waiting[at].polled = now;
        if at >= self.free() as usize {
            return None;
        }
        let head = self.waiting.remove(at).map_or(0, |waiting| waiting.head);
        Some(self.begin(Sender::Visitor, head, now))
    }

    /// How many wait before a place.
    #[must_use]
    pub fn before(&self, place: QueuePlace) -> usize {
        self.waiting.partition_point(|waiting| waiting.place < place)
    }

    /// Gives a place up.
    pub fn leave(&mut self, place: QueuePlace) {
        self.waiting.retain(|waiting| waiting.place != place);
    }

    /// Begins a background request, if there is room for one.
    pub fn begin_background(&mut self, now: Timestamp) -> Option<RequestId> {
        self.forget_lapsed(now);
        let under_way = self.requests.background();
        // The first one may be quicker than a visitor who waits: the background goes on, if slowly.
        let visitor_waits = under_way > 0 && !self.waiting.is_empty();
        let may = self.free() > 0 && under_way < self.background_share() && !visitor_waits;
        may.then(|| self.begin(Sender::Background, 0, now))
    }

    /// A request that has begun is an upload: it counts once `state` says that it was sent. If too
    /// many are under way, one is given up.
    pub fn upload(&mut self, id: RequestId, peer: Peer, state: Rc<Cell<UploadState>>) {
        self.requests.upload(id, peer, state);
    }

    /// A request under way runs: to be called every second or so.
    pub fn beat(&mut self, id: RequestId, now: Timestamp) {
        self.requests.beat(id, now);
    }

    /// Ends a request.
    pub fn end(&mut self, id: RequestId, now: Timestamp, ended: RequestEnd) {
        self.forget_lapsed(now);
        let used = self.under_way().saturating_add(self.waiting.len() as u32);
        let Some(request) = self.requests.take(id) else { return };
        if !request.was_upload() && ended != RequestEnd::GivenUp {
            self.adaptive.note(request.began, now, ended == RequestEnd::Failed, used);
        }
    }

    /// Requests that the origin is busy with.
    #[must_use]
    pub fn under_way(&self) -> u32 {
        self.requests.count() as u32
    }

    /// Requests that wait.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.waiting.len() as u32
    }

    /// How many may be under way at present.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.adaptive.limit()
    }

    /// How many of them may be background requests.
    #[must_use]
    pub fn background_share(&self) -> usize {
        (self.adaptive.limit() as usize / 4).max(1)
    }

    fn free(&self) -> u32 {
        self.adaptive.limit().saturating_sub(self.under_way())
    }

    /// What large heads hold.
    fn large_heads(&self) -> u64 {
        let all = self.waiting.iter().map(|waiting| waiting.head).chain(self.requests.heads());
        all.filter(|head| *head > ORDINARY_HEAD).sum()
    }

    fn begin(&mut self, sender: Sender, head: u64, now: Timestamp) -> RequestId {
        let id = RequestId(self.number());
        self.requests.begin(id, sender, head, now);
        id
    }

    const fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn forget_lapsed(&mut self, now: Timestamp) {
        if now.since(self.checked) < CHECK_INTERVAL {
            return;
        }
        self.checked = now;
        self.requests.forget_lapsed(self.lapse, now);
        self.waiting.retain(|waiting| now.since(waiting.polled) < WAIT_LAPSE);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::{
        CHECK_INTERVAL, LARGE_HEADS, MAX_WAITING, ORDINARY_HEAD, OriginLimit, RequestEnd,
        WAIT_LAPSE,
    };
    use crate::base::time::{Millis, Timestamp};
    use crate::engine::bodies::Peer;
    use crate::engine::port::UploadState;
    use crate::engine::under_way::MAX_UPLOADS;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const HEAD: u64 = 1_000;

    fn limit(most: u32) -> OriginLimit {
        OriginLimit::new(most, Millis(20_000))
    }

    #[test]
    fn visitors_begin_in_the_order_in_which_they_came() {
        let mut limit = limit(1);
        let places: Vec<_> = (0..3).filter_map(|_| limit.queue(HEAD, NOW)).collect();
        assert_eq!(places.len(), 3);
        assert_eq!(limit.begin_at(places[1], NOW), None, "the first has not polled yet");
        let first = limit.begin_at(places[0], NOW);
        assert_eq!(limit.begin_at(places[2], NOW), None);
        assert_eq!(limit.begin_at(places[1], NOW), None, "there is no room");
        if let Some(id) = first {
            limit.end(id, NOW, RequestEnd::Answered);
        }
        assert_eq!(limit.begin_at(places[2], NOW), None, "it is not its turn");
        assert!(limit.begin_at(places[1], NOW).is_some());
    }

    #[test]
    fn who_no_longer_asks_holds_nobody_up() {
        let mut limit = limit(1);
        let gone = limit.queue(HEAD, NOW);
        let place = limit.queue(HEAD, NOW);
        let later = NOW.plus(Millis(WAIT_LAPSE.0 - 1));
        assert_eq!(place.and_then(|place| limit.begin_at(place, later)), None);
        let later = later.plus(CHECK_INTERVAL);
        assert!(place.and_then(|place| limit.begin_at(place, later)).is_some());
        assert_eq!(gone.and_then(|gone| limit.begin_at(gone, later)), None, "it waits again");
        assert_eq!(limit.waiting(), 1);
        let lapsed = later.plus(Millis(40_000));
        assert!(
            gone.and_then(|gone| limit.begin_at(gone, lapsed)).is_some(),
            "no end was reported"
        );
    }

    #[test]
    fn the_queue_has_an_end() {
        let mut limit = limit(2);
        assert_eq!((0..2_000).filter_map(|_| limit.queue(HEAD, NOW)).count(), MAX_WAITING);
    }

    #[test]
    fn large_heads_share_a_budget_and_take_nothing_of_others() {
        let mut limit = limit(4);
        let large = 100 << 10;
        let places: Vec<_> = (0..100).filter_map(|_| limit.queue(large, NOW)).collect();
        assert_eq!(places.len() as u64, LARGE_HEADS / large);
        // What is under way holds its head too.
        let begun: Vec<_> = places.iter().filter_map(|place| limit.begin_at(*place, NOW)).collect();
        assert_eq!((begun.len(), limit.queue(large, NOW)), (4, None));
        limit.end(begun[0], NOW, RequestEnd::Answered);
        assert!(limit.queue(large, NOW).is_some());
        assert!((0..500).all(|_| limit.queue(ORDINARY_HEAD, NOW).is_some()));
    }

    #[test]
    fn background_requests_have_a_share_and_give_way() {
        let mut limit = limit(8);
        let begun: Vec<_> = (0..4).filter_map(|_| limit.begin_background(NOW)).collect();
        assert_eq!(begun.len(), 2, "a quarter");
        limit.end(begun[0], NOW, RequestEnd::Answered);
        let place = limit.queue(HEAD, NOW);
        assert_eq!(limit.begin_background(NOW), None, "a visitor waits");
        limit.end(begun[1], NOW, RequestEnd::Answered);
        assert!(limit.begin_background(NOW).is_some(), "but one always may");
        assert!(place.and_then(|place| limit.begin_at(place, NOW)).is_some());
    }

    fn under_way() -> Rc<Cell<UploadState>> {
        Rc::new(Cell::new(UploadState::UnderWay))
    }

    /// An upload of somebody at this address, with such a head.
    fn upload(limit: &mut OriginLimit, address: u64, head: u64) -> Option<Rc<Cell<UploadState>>> {
        let id = limit.queue(head, NOW).and_then(|place| limit.begin_at(place, NOW))?;
        let state = under_way();
        limit.upload(id, Peer::At(address), Rc::clone(&state));
        Some(state)
    }

    #[test]
    fn the_oldest_upload_of_who_has_most_is_given_up() {
        let mut limit = limit(1);
        let other = upload(&mut limit, 1, HEAD);
        let many: Vec<_> =
            (0..2 * MAX_UPLOADS).map(|n| upload(&mut limit, n as u64 % 2 + 2, HEAD)).collect();
        let another = upload(&mut limit, 4, HEAD);
        let state = |upload: &Option<Rc<Cell<UploadState>>>| upload.as_ref().map(|s| s.get());
        for one in [&other, &another] {
            assert_eq!(state(one), Some(UploadState::UnderWay));
        }
        let left = many.iter().filter(|one| state(one) == Some(UploadState::UnderWay)).count();
        assert_eq!(left, MAX_UPLOADS - 2);
        assert_eq!(state(&many[0]), Some(UploadState::GivenUp), "the oldest");
    }

    #[test]
    fn uploads_with_large_heads_give_way_to_others_with_such() {
        let mut limit = limit(1);
        let large = 100 << 10;
        let other = upload(&mut limit, 1, large);
        for _ in 0..100 {
            assert!(upload(&mut limit, 2, large).is_some());
        }
        assert!(limit.queue(large, NOW).is_some(), "a visitor who sends none");
        assert_eq!(other.map(|state| state.get()), Some(UploadState::UnderWay));
        assert_eq!(limit.queue(LARGE_HEADS + 1, NOW), None);
        assert!(limit.large_heads() > LARGE_HEADS - 2 * large, "none is given up for that");
    }

    #[test]
    fn an_upload_counts_once_it_was_sent() {
        let mut limit = limit(1);
        let uploading: Vec<_> = (0..100).map(|_| under_way()).collect();
        let mut ids = Vec::new();
        for body in &uploading {
            let id = limit.queue(HEAD, NOW).and_then(|place| limit.begin_at(place, NOW));
            if let Some(id) = id {
                limit.upload(id, Peer::At(0), Rc::clone(body));
                ids.push(id);
            }
        }
        let place = limit.queue(HEAD, NOW);
        let visitor = place.and_then(|place| limit.begin_at(place, NOW));
        assert!(visitor.is_some(), "a hundred idle uploads hold nothing");
        uploading[0].set(UploadState::Sent);
        if let Some(id) = visitor {
            limit.end(id, NOW, RequestEnd::Answered);
        }
        assert_eq!(limit.under_way(), 1);
        assert_eq!(limit.queue(HEAD, NOW).and_then(|place| limit.begin_at(place, NOW)), None);
        limit.end(ids[0], NOW, RequestEnd::Answered);
        assert_eq!(limit.under_way(), 0);
    }

    #[test]
    fn what_was_given_up_says_nothing_of_the_origin() {
        let mut limit = limit(20);
        for _ in 0..100 {
            let id = limit.queue(HEAD, NOW).and_then(|place| limit.begin_at(place, NOW));
            if let Some(id) = id {
                limit.end(id, NOW.plus(Millis(19_000)), RequestEnd::GivenUp);
            }
        }
        assert_eq!(limit.limit(), 20);
    }
}
