//! The task of a flight: leave, origin, and what becomes of the answer.

use std::rc::Rc;

use crate::base::rule::Rule;
use crate::base::time::{Epoch, Millis};
use crate::cache::Standing;
use crate::cache::admission::{Admission, Admitted, admit};
use crate::cache::errors::is_origin_failure;
use crate::cache::forward::{add_selecting, cacheable_request_fields};
use crate::cache::storage::{Storage, StorageInput, limited_fields, storage};
use crate::cache::validation::{Update, UpdateInput, conditional_fields, update};
use crate::control::metrics::Counter;
use crate::engine::port::{Content, OriginError, OriginRequest, OriginResponse, Platform};
use crate::http::targeted::edge_directives;
use crate::http::{Fields, ResponseHead};
use crate::journal::view::{Sight, Verdict};

use super::leader_only::{OwnSlot, PrivateAnswer};
use super::permission::Leave;
use super::shared::{Flight, Landing, Source};
use super::store::Terms;
use crate::engine::Engine;
use crate::engine::fill::{Errand, Trip};
use crate::engine::memory::{Held, StoredPage};
use crate::engine::origin_limit::Sender;
use crate::engine::permit::Permit;

impl<P: Platform> Engine<P> {
    /// Runs a flight to its end.
    pub(crate) async fn fly(
        &self,
        platform: &Rc<P>,
        errand: &Errand<P>,
        flight: &Flight<P>,
        own: &OwnSlot<P>,
    ) {
        let Admission::Serve(admitted) = admit(&errand.incoming.head, self.config()) else {
            return flight.land(Landing::Failed(OriginError::Broken), platform.now());
        };
        let lease = match self.leave(platform, errand, &admitted, flight).await {
            Leave::Stored(page, source) => {
                self.count(Counter::FillShared);
                return flight.land(Landing::Complete(page, source), platform.now());
            }
            Leave::Elsewhere => {
                return flight.land(Landing::Elsewhere, platform.now());
            }
            Leave::Fetch(lease) => lease,
        };
        let facts = self.facts(&errand.incoming, false);
        let mut sent = cacheable_request_fields(&errand.incoming.head, &admitted, &facts);
        let known = errand.have.vary.as_deref().unwrap_or_default();
        add_selecting(&mut sent, &errand.incoming.head, known);
        add_selecting(&mut sent, &errand.incoming.head, &lease.vary);
        let early =
            (!Rule::SameStep.holds()).then(|| self.may_validate(platform, errand, &admitted));
        if early.is_some() {
            platform.sleep(Millis(400)).await;
        }
        let view_stamp = self.ensure_stamp(platform).await;
        let mut permit = match self.permit_for(platform, errand, &admitted, flight, &lease).await {
            Some(permit) => permit,
            None => {
                flight.land(Landing::Elsewhere, platform.now());
                self.give_back(platform, &admitted, &lease).await;
                return self.queue_warm(platform, errand, &admitted).await;
            }
        };
        // From here to the request nothing is awaited: check and stamp read one state of the view.
        let view_stamp = self.isolate().borrow().view.stamp().unwrap_or(view_stamp);
        let stamp = view_stamp.max(lease.stamp);
        let mut validate = match early {
            Some(early) => early.and(self.isolate().borrow().view.since()),
            None => self.may_validate(platform, errand, &admitted),
        };
        let now = platform.now();
        let trip = Trip { platform, errand, admitted: &admitted, flight };
        let mut terms = Terms { lease, stamp, sent, began: now, arrived: now };
        let mut rest = self.lacks(platform, &errand.have, admitted.route);
        loop {
            let mut fields = terms.sent.clone();
            for (name, value) in rest.iter().flat_map(|(_, fields)| fields.iter()) {
                fields.set(name, value);
            }
            if let (Some(_), Some(page)) = (validate, &errand.have.page) {
                for (name, value) in conditional_fields(&page.entry).iter() {
                    fields.set(name, value);
                }
            }
            terms.began = platform.now();
            flight.touch(terms.began);
            let response = match permit {
                Ok(permit) => self.ask_as_edge(platform, &admitted, fields, permit).await,
                Err(error) => Err(error),
            };
            terms.arrived = platform.now();
            if !Rule::StampStart.holds() {
                terms.stamp = terms.stamp.max(self.ensure_stamp(platform).await);
            }
            let response = match response {
                Ok(response) if self.counts_as_failure(errand, &response) => {
                    platform.cancel(response.body);
                    Err(OriginError::Status(response.head.status))
                }
                Ok(response) => Ok(response),
                Err(error) => Err(error),
            };
            let response = match response {
                Ok(response) => response,
                Err(error) => {
                    self.origin_failed(platform, &admitted.page.url(), error);
                    flight.land(Landing::Failed(error), terms.arrived);
                    if !errand.background {
                        self.isolate().borrow_mut().end_flight(&errand.key, flight);
                    }
                    return self.give_back(platform, &admitted, &terms.lease).await;
                }
            };
            if let (Some(proved), 304, Some(page)) =
                (validate, response.head.status, &errand.have.page)
            {
                let renewed = if Rule::RestampSame.holds() {
                    None
                } else {
                    self.any_copy(platform, page).await
                };
                let page = renewed.as_ref().unwrap_or(page);
                let head = response.head;
                platform.cancel(response.body);
                let renewal = UpdateInput {
                    not_modified: &head,
                    sent: &terms.sent,
                    request_time: terms.began,
                    response_time: terms.arrived,
                    route: admitted.route,
                };
                match update(&page.entry, &renewal) {
                    Update::Renewed(mut entry) => {
                        own.borrow_mut().fields = limited(&head, &entry.fields);
                        // A 304 renews an entry only up to the epoch that was proved for it.
                        let proved = if Rule::Cap304.holds() { proved } else { terms.stamp };
                        entry.stamp = page.entry.stamp.max(proved);
                        entry.fence = terms.lease.fence.max(page.entry.fence);
                        terms.stamp = entry.stamp;
                        let page = Rc::new(StoredPage { entry: *entry, body: page.body.clone() });
                        flight.land(
                            Landing::Complete(Rc::clone(&page), Source::Validated),
                            terms.arrived,
                        );
                        return self.keep(&trip, &page, &terms).await;
                    }
                    // It is about another representation: fetch without conditions.
                    Update::Mismatch => {
                        validate = None;
                        permit = self.permit(platform, Sender::Visitor, Some(flight)).await;
                        continue;
                    }
                }
            }
            let Some((part, _)) = rest.take().filter(|_| is_about_a_range(&response)) else {
                return self.settle(&trip, response, terms, own).await;
            };
            own.borrow_mut().fields = limited(&response.head, &response.head.fields);
            let epoch = terms.stamp;
            terms.stamp = epoch.min(part.entry.stamp);
            let Some(response) = self.complete(&trip, &part, response, &terms).await else {
                return;
            };
            // It proves nothing of the part, so the part is of no use: fetch the whole.
            platform.cancel(response.body);
            own.borrow_mut().fields = Fields::new();
            terms.stamp = epoch;
            permit = self.permit(platform, Sender::Visitor, Some(flight)).await;
        }
    }

    async fn settle(
        &self,
        trip: &Trip<'_, P>,
        response: OriginResponse<P::Stream>,
        terms: Terms,
        own: &OwnSlot<P>,
    ) {
        let Trip { platform, errand, admitted, flight } = *trip;
        let decision = storage(&StorageInput {
            request: &errand.incoming.head,
            admitted,
            sent: &terms.sent,
            response: &response.head,
            request_time: terms.began,
            response_time: terms.arrived,
        });
        match decision {
            Storage::Store(storable) => {
                own.borrow_mut().fields = limited(&response.head, &response.head.fields);
                self.note_stored(admitted, terms.arrived);
                self.take_in(trip, storable, response, &terms, None).await;
            }
            Storage::Share(storable, reason) => {
                own.borrow_mut().fields = limited(&response.head, &response.head.fields);
                self.not_stored(platform, &admitted.page, reason);
                let head = response.head.clone();
                self.share_unstored(trip, storable, response, &terms, reason).await;
                self.not_stored_now(trip, terms, head, reason).await;
            }
            Storage::Refuse(_) if errand.background && response.head.status >= 500 => {
                let error = OriginError::Status(response.head.status);
                platform.cancel(response.body);
                self.origin_failed(platform, &admitted.page.url(), error);
                flight.land(Landing::Failed(error), terms.arrived);
                self.give_back(platform, admitted, &terms.lease).await;
            }
            Storage::Refuse(reason) => {
                self.not_stored(platform, &admitted.page, reason);
                let head = response.head.clone();
                own.borrow_mut().answer = Some(PrivateAnswer { response, reason });
                flight.land(Landing::Private(reason), terms.arrived);
                self.isolate().borrow_mut().end_flight(&errand.key, flight);
                self.not_stored_now(trip, terms, head, reason).await;
            }
        }
    }

    fn counts_as_failure(&self, errand: &Errand<P>, response: &OriginResponse<P::Stream>) -> bool {
        is_origin_failure(response.head.status) && (errand.have.on_error || errand.background)
    }

    /// Whether the stored response may be validated, and the epoch that a 304 would prove. An invalidated one is
    /// refetched without conditions, because an ETag may be newer than the body it came with; so is one of which
    /// nothing can be said.
    fn may_validate(
        &self,
        platform: &Rc<P>,
        errand: &Errand<P>,
        admitted: &Admitted<'_>,
    ) -> Option<Epoch> {
        let page = errand.have.page.as_ref().filter(|_| errand.have.conditional)?;
        let config = self.config();
        let view = &self.isolate().borrow().view;
        let lag = self.max_lag(admitted);
        let sight = view.sight(platform.now(), lag, config.sync_interval);
        let entry = &page.entry;
        let clear = matches!(sight, Sight::Clear { .. });
        // A mutant: a view that is too old counts as if it were not.
        let (clear, sight) = if Rule::Proved304.holds() {
            (clear, sight)
        } else {
            (true, Sight::Clear { refresh: false })
        };
        let current = Verdict::Known(Standing::Current);
        let standing = view.standing(&entry.targets, entry.stamp, sight, platform.now(), lag);
        let mutant = match standing {
            Verdict::Known(Standing::Soft { .. } | Standing::Hard { .. }) => {
                !Rule::No304Restamp.holds()
            }
            Verdict::Known(Standing::Dropped { .. } | Standing::SoftlyDropped { .. }) => {
                !Rule::FloorUncond.holds()
            }
            Verdict::Known(Standing::Current | Standing::Blind | Standing::Dark)
            | Verdict::Unknown => false,
        };
        if mutant {
            return Some(view.stamp().unwrap_or(Epoch::ZERO));
        }
        if clear && standing == current {
            return Some(view.since().unwrap_or(Epoch::ZERO));
        }
        admitted.route.trust_validators.then(|| view.stamp().unwrap_or(Epoch::ZERO))
    }

    /// A mutant's: whatever copy the colo has now.
    async fn any_copy(
        &self,
        platform: &Rc<P>,
        page: &Rc<StoredPage<P::Chunk>>,
    ) -> Option<Rc<StoredPage<P::Chunk>>> {
        let key = page.entry.key.variant(&page.entry.selection);
        match self.read_l1(platform, &key).await {
            Some(Held::Page(page)) => Some(page),
            Some(Held::Vary(_) | Held::Pass(..)) | None => None,
        }
    }

    /// A request of the edge's own, within the limit of requests under way.
    pub(crate) async fn ask_as_edge(
        &self,
        platform: &Rc<P>,
        admitted: &Admitted<'_>,
        fields: Fields,
        permit: Permit<P>,
    ) -> Result<OriginResponse<P::Stream>, OriginError> {
        let request = OriginRequest {
            method: "GET".to_owned(),
            target: admitted.page.path_and_query(),
            fields,
            content: Content::None,
            timeout: self.config().origin_timeout,
        };
        let response = platform.fetch(request).await;
        permit.end(&response);
        response
    }
}

/// Whether an answer is one that only a request with `Range` gets.
fn is_about_a_range<S>(response: &OriginResponse<S>) -> bool {
    matches!(response.head.status, 206 | 416)
}

/// The fields of an answer that are for the request which it answered alone, by what `said` says.
fn limited(response: &ResponseHead, said: &Fields) -> Fields {
    limited_fields(&response.fields, &edge_directives(said))
}
