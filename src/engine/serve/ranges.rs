//! Ranges of pages that are not stored as a whole: out of a stored part, or from the origin, whose answer may be stored.
//!
//! A range request is a fetch of its own: no lease, no sharing, because hardly two ask for the same range. What it brings
//! stays in this colo, under a key of its own, and is used while it is fresh. Only what states its length and fits is
//! stored; all else goes through as the runtime's own stream.

use std::rc::Rc;

use crate::base::time::Millis;
use crate::cache::Validity;
use crate::cache::admission::Admitted;
use crate::cache::entry::Entry;
use crate::cache::envelope::Record;
use crate::cache::errors::{decides, is_of_the_moment};
use crate::cache::forward::{add_selecting, cacheable_request_fields, visitor_fields};
use crate::cache::key::{CacheKey, Selection};
use crate::cache::left_out::LeftOut;
use crate::cache::part::{Kept, RangeStorage, Seam, completed, keep, range_storage, rest};
use crate::cache::reuse::{Reuse, reuse};
use crate::cache::storage::{NoStore, StorageInput};
use crate::cache::tag::TagSet;
use crate::cache::variant::selection;
use crate::config::Route;
use crate::engine::port::{OriginError, OriginResponse, Platform};
use crate::http::cache_status::CacheStatus;
use crate::http::vary::{Vary, vary};
use crate::http::{Fields, ResponseHead};
use crate::journal::view::{Verdict, ViewHealth};

use super::response::{Answer, Asked, Body};
use super::whole::Whole;
use crate::engine::fill::leader_only::NotStoredAnswer;
use crate::engine::fill::permission::Lease;
use crate::engine::fill::shared::{SharedFill, Work};
use crate::engine::fill::store::{Around, FetchContext};
use crate::engine::fill::stored::stated_length;
use crate::engine::fill::{Candidate, FillContext, FillRequest};
use crate::engine::memory::{StoredPage, StoredRecord};
use crate::engine::origin_limit::Sender;
use crate::engine::{Engine, Incoming};

/// A part on its way into the stores.
pub(crate) struct Arriving<P: Platform> {
    entry: Entry,
    /// The page's key: where the names that it varies on are noted, if they are news.
    key: CacheKey,
    vary: Option<Vec<String>>,
    /// The stored part, and how the new body is put together with it.
    joined: Option<(Rc<StoredPage<P::Chunk>>, Seam)>,
}

impl<P: Platform> Engine<P> {
    /// The stored part that the request selects, if it is fresh.
    pub(crate) async fn find_part(
        &self,
        platform: &Rc<P>,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        candidate: &Candidate<P>,
        health: (ViewHealth, Millis),
    ) -> Option<Rc<StoredPage<P::Chunk>>> {
        if !admitted.route.store_partial {
            return None;
        }
        let selected = self.selected(incoming, admitted, candidate);
        let held = self.get(platform, &admitted.key.variant(&selected).part()).await?;
        let StoredRecord::Page(page) = held else { return None };
        let entry = &page.entry;
        if entry.part.is_none() || entry.key != admitted.key || entry.selection != selected {
            return None;
        }
        let validity = self.validity(platform, &entry.targets, entry.stamp, health).await;
        let now = platform.now();
        match reuse(entry, validity, &admitted.directives, admitted.route, now) {
            Reuse::Fresh { .. } => Some(page),
            Reuse::Stale { .. } | Reuse::Validate { .. } | Reuse::Unsatisfiable => None,
        }
    }

    fn selected(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        candidate: &Candidate<P>,
    ) -> Selection {
        match &candidate.vary {
            Some(names) => self.select(incoming, admitted, names),
            None => Selection::default(),
        }
    }

    /// Asks the origin for a range, and stores what comes if it may.
    pub(crate) async fn fetch_range(
        &self,
        platform: &Rc<P>,
        incoming: Incoming<P>,
        admitted: &Admitted<'_>,
        candidate: Candidate<P>,
    ) -> Answer<P> {
        let cache_status = CacheStatus::forwarded(candidate.forward).detail("range");
        let mut sent =
            cacheable_request_fields(&incoming.head, admitted, &self.facts(&incoming, false));
        add_selecting(&mut sent, &incoming.head, candidate.vary.as_deref().unwrap_or_default());
        let mut fields = sent.clone();
        for name in ["range", "if-range"] {
            if let Some(value) = incoming.head.fields.get(name) {
                fields.set(name, value);
            }
        }
        let stamp = self.ensure_stamp(platform).await;
        let permit = self.permit(platform, Sender::Visitor, None).await;
        let began = platform.now();
        let response = match permit {
            Ok(permit) => self.ask_as_edge(platform, admitted, fields, permit).await,
            Err(error) => Err(error),
        };
        let response = match response {
            Ok(response) => response,
            Err(error) => {
                self.origin_failed(platform, &admitted.page.url(), error);
                return self.passed(Err(error), admitted.route, cache_status);
            }
        };
        if let Vary::Names(names) = vary(&response.head.fields) {
            let chosen = selection(&names, &incoming.head, admitted, &sent);
            if self.is_of_another(&incoming, admitted, &chosen) {
                platform.cancel(response.body);
                return self.whole(platform, incoming, admitted, &Whole::Vary).await;
            }
        }
        let selected = self.selected(&incoming, admitted, &candidate);
        let seen = candidate.page.as_ref().or(candidate.part.as_ref());
        let tags = seen.map_or_else(TagSet::default, |page| page.entry.tags.clone());
        let mut lease = Lease::alone("range", selected, tags);
        lease.vary = candidate.vary.iter().flat_map(|names| names.iter().cloned()).collect();
        let mut fetch = FetchContext { lease, stamp, sent, began, arrived: platform.now() };
        let stored = candidate.part.clone();
        let decision = range_storage(
            &self.input(&incoming, admitted, &response.head, &fetch),
            stated_length(&response.head.fields),
            stored.as_ref().map(|page| &page.entry),
        );
        match decision {
            RangeStorage::Keep(kept) => {
                let joined = stored.zip(kept.seam);
                if let Some((stored, _)) = &joined {
                    fetch.stamp = fetch.stamp.min(stored.entry.stamp);
                }
                let mut entry = self.part_entry(&incoming, admitted, *kept, &fetch);
                if let Some((stored, _)) = &joined {
                    entry.request_time = stored.entry.request_time;
                }
                match self.arriving(admitted, &candidate, entry, joined, &response.head.fields) {
                    Some(part) => self.take_part(platform, admitted, part, response, cache_status),
                    None => self.passed(Ok(response), admitted.route, cache_status),
                }
            }
            RangeStorage::Leave(_) => self.passed(Ok(response), admitted.route, cache_status),
            RangeStorage::Refuse(reason) => {
                self.refuse_range(
                    platform,
                    incoming,
                    admitted,
                    candidate,
                    &fetch,
                    (response, reason),
                )
                .await
            }
        }
    }

    /// A range that may not be stored: asked for once more with all that was left out, and marked; what is stored of the
    /// page is looked at anew.
    async fn refuse_range(
        &self,
        platform: &Rc<P>,
        incoming: Incoming<P>,
        admitted: &Admitted<'_>,
        candidate: Candidate<P>,
        fetch: &FetchContext,
        refused: (OriginResponse<P::Stream>, NoStore),
    ) -> Answer<P> {
        let (response, reason) = refused;
        let cache_status = CacheStatus::forwarded(candidate.forward).detail("range");
        let now = platform.now();
        if let (Some(_), true) = (&candidate.page, decides(response.head.status)) {
            self.refresh(platform, &incoming, admitted, candidate.clone(), now);
        }
        let status = response.head.status;
        let whole = self.left_out_of_range(&incoming, admitted) == LeftOut::Nothing;
        if whole || is_of_the_moment(status) || status == 416 {
            return self.passed(Ok(response), admitted.route, cache_status);
        }
        let key = admitted.key.clone();
        let fill_request =
            FillRequest { incoming: incoming.share(), candidate, key, background: false };
        let fill = SharedFill::begin(Work::Fetch, fetch.arrived);
        let context = FillContext { platform, fill_request: &fill_request, admitted, fill: &fill };
        self.mark_hit_for_pass(&context, fetch, &response.head, reason).await;
        let answer = NotStoredAnswer { response, reason };
        self.answer_not_stored(platform, incoming, admitted, answer, cache_status).await
    }

    pub(crate) fn input<'a>(
        &self,
        incoming: &'a Incoming<P>,
        admitted: &'a Admitted<'_>,
        response: &'a ResponseHead,
        fetch: &'a FetchContext,
    ) -> StorageInput<'a> {
        StorageInput {
            request: &incoming.head,
            admitted,
            sent: &fetch.sent,
            response,
            request_time: fetch.began,
            response_time: fetch.arrived,
        }
    }

    fn part_entry(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        kept: Kept,
        fetch: &FetchContext,
    ) -> Entry {
        let status = if kept.part.is_some() { 206 } else { 200 };
        let mut entry = self.entry(&incoming.head, admitted, kept.storable, status, fetch);
        entry.part = kept.part;
        entry
    }

    /// Whether a part that comes is stored: if there is room for it, and a place where it is found again.
    pub(crate) fn arriving(
        &self,
        admitted: &Admitted<'_>,
        candidate: &Candidate<P>,
        mut entry: Entry,
        joined: Option<(Rc<StoredPage<P::Chunk>>, Seam)>,
        came: &Fields,
    ) -> Option<Arriving<P>> {
        let kept = joined.as_ref().map_or(0, |(stored, seam)| {
            seam.before + stored.entry.body_length.saturating_sub(seam.after)
        });
        entry.body_length = stated_length(came)?.saturating_add(kept);
        let room = self.config().fill_memory.saturating_sub(self.isolate().borrow().fill_bytes());
        if entry.body_length > self.config().max_body.min(room) {
            return None;
        }
        let names: Vec<String> = entry.selection.0.iter().map(|(name, _)| name.clone()).collect();
        let known = candidate.vary.as_deref().unwrap_or_default();
        let news = names != known;
        // The note of the names would stand in the place of the page itself.
        if news && candidate.page.is_some() {
            return None;
        }
        let vary = news.then_some(names);
        Some(Arriving { entry, key: admitted.key.clone(), vary, joined })
    }

    /// Answers with a part that arrives, and stores it once it is there.
    pub(crate) fn take_part(
        &self,
        platform: &Rc<P>,
        admitted: &Admitted<'_>,
        part: Arriving<P>,
        response: OriginResponse<P::Stream>,
        cache_status: CacheStatus,
    ) -> Answer<P> {
        let cache_status = cache_status.fwd_status(response.head.status).stored();
        let source = part.entry.freshness.source;
        let fields = visitor_fields(&response.head.fields, admitted.route, source);
        let stated = stated_length(&response.head.fields);
        let fill = SharedFill::begin(Work::Fetch, platform.now());
        let limit = Millis(self.config().origin_timeout.0 * 2);
        let Some(reader) = fill.reader(true, limit, platform.now()) else {
            return Answer::origin_failed(OriginError::Broken, cache_status);
        };
        // A name of its own: it is listed for its bytes alone, and nobody joins it.
        let listed = CacheKey::from_stored(platform.unique());
        self.isolate().borrow_mut().watch_fill(&fill);
        self.isolate().borrow_mut().fills.insert(listed.clone(), fill.clone());
        let (engine, on) = (self.clone(), Rc::clone(platform));
        platform.spawn(async move {
            let end = engine.read_body(&on, response.body, stated, &fill).await;
            fill.finish(end, on.now());
            match (end, fill.body()) {
                (Ok(()), Some(body)) => engine.keep_part(&on, part, body).await,
                (Ok(()), None) => {}
                (Err(error), _) => {
                    engine.origin_failed(&on, &part.entry.page.url(), error);
                }
            }
            engine.isolate().borrow_mut().end_fill(&listed, &fill);
        });
        Answer::new(response.head.status, fields, Body::Fill(reader), cache_status)
    }

    /// Stores a part that is there, in this colo.
    async fn keep_part(&self, platform: &Rc<P>, part: Arriving<P>, body: P::Chunk) {
        let Arriving { entry, key, vary, joined } = part;
        let body = match &joined {
            Some((stored, seam)) => {
                let length = stored.entry.body_length;
                let before = P::slice(&stored.body, 0, seam.before);
                P::concat(&[before, body, P::slice(&stored.body, seam.after, length)])
            }
            None => body,
        };
        if P::length(&body) as u64 != entry.body_length
            || self.is_hard_invalidated(platform, &entry)
        {
            return;
        }
        if let Some(names) = vary {
            self.store_vary(platform, &key, &names).await;
        }
        let page = Rc::new(StoredPage { entry, body });
        if page.entry.part.is_none() {
            return self.store_in_colo(platform, &page).await;
        }
        let entry = &page.entry;
        let key = entry.key.variant(&entry.selection).part();
        self.isolate().borrow_mut().memory.put(&key, StoredRecord::Page(Rc::clone(&page)));
        let record = Record::Entry(Box::new(entry.clone()));
        self.write_l1(platform, &key, &record, &page.body, keep(entry).into()).await;
    }

    /// The stored part of a page that is not stored as a whole, and the fields that ask for the rest of it; none if the
    /// part was invalidated since it was found.
    pub(crate) fn lacks(
        &self,
        platform: &Rc<P>,
        candidate: &Candidate<P>,
        route: &Route,
    ) -> Option<(Rc<StoredPage<P::Chunk>>, Fields)> {
        let page = candidate.part.as_ref().filter(|_| candidate.page.is_none())?;
        let fields = rest(&page.entry, route, self.config().max_body)?;
        if self.validity_now(platform, &page.entry) != Verdict::Known(Validity::Current) {
            return None;
        }
        Some((Rc::clone(page), fields))
    }

    /// Makes the whole out of a stored part and the answer to a request for the rest; gives the answer back, if that
    /// does not make it.
    pub(crate) async fn complete(
        &self,
        context: &FillContext<'_, P>,
        stored: &Rc<StoredPage<P::Chunk>>,
        response: OriginResponse<P::Stream>,
        fetch: &FetchContext,
    ) -> Option<OriginResponse<P::Stream>> {
        let input =
            self.input(&context.fill_request.incoming, context.admitted, &response.head, fetch);
        let length = stated_length(&response.head.fields);
        let kept = completed(&input, length, &stored.entry);
        let Some((kept, seam)) = kept.and_then(|kept| kept.seam.map(|seam| (kept, seam))) else {
            return Some(response);
        };
        let around = Around {
            before: P::slice(&stored.body, 0, seam.before),
            after: P::slice(&stored.body, seam.after, stored.entry.body_length),
            since: stored.entry.request_time,
        };
        self.store_streamed(context, kept.storable, response, fetch, Some(around)).await;
        None
    }

    /// An answer out of a stored part, if it has what was asked for.
    pub(crate) fn out_of_part(
        &self,
        platform: &Rc<P>,
        asked: &Asked<'_>,
        candidate: &Candidate<P>,
    ) -> Option<Answer<P>> {
        let page = candidate.part.as_ref()?;
        let now = platform.now();
        let cache_status =
            CacheStatus::hit(crate::engine::fill::ttl(&page.entry, now)).detail("part");
        Answer::out_of_part(asked, page, now, cache_status)
    }
}
