//! What the origin says now decides: a page that may not be stored any more, or is gone, is gone everywhere.
//!
//! Whoever learns it, a refresh or a warm, invalidates the page's URL hard: every variant in every isolate, within
//! `max_lag`, under an epoch of its own. Nothing of it is served after that, not even while the origin fails. Only what
//! the origin answers to a request without anything personal counts: what one visitor says beyond the key may be the
//! reason of the answer.

use std::rc::Rc;

use crate::base::time::Epoch;
use crate::cache::admission::Admitted;
use crate::cache::errors::{decides, is_of_the_moment};
use crate::cache::left_out::impersonal_fields;
use crate::cache::storage::{NoStore, Storage, storage};
use crate::cache::tag::Target;
use crate::control::log::Event;
use crate::engine::port::{CallError, Platform};
use crate::engine::serve::hit_for_pass::Refused;
use crate::http::ResponseHead;
use crate::journal::{Append, Appended, Mode};

use crate::engine::Engine;
use crate::engine::fill::FillContext;
use crate::engine::fill::shared::{SharedFill, Work};
use crate::engine::fill::store::FetchContext;

/// How a stored page came to be no answer any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gone<'a> {
    /// The status that the origin answers with now.
    pub(crate) status: u16,
    /// Why that is not stored.
    pub(crate) reason: &'a str,
    /// The stamp of what was stored: the same copy is invalidated once, whoever learns it.
    pub(crate) stamp: Epoch,
    /// Who learnt it: `refresh` or `warm`.
    pub(crate) via: &'static str,
}

impl<P: Platform> Engine<P> {
    /// Invalidates a page that is no answer any more, in this isolate at once, everywhere through the journal.
    ///
    /// # Errors
    /// When the journal has not recorded it.
    pub(crate) async fn invalidate_gone(
        &self,
        platform: &Rc<P>,
        admitted: &Admitted<'_>,
        gone: Gone<'_>,
    ) -> Result<(), CallError> {
        let reason = format!("{}: {} {}", gone.via, gone.status, gone.reason);
        let append = Append {
            id: format!("gone-{}-{}", admitted.key.digest().as_str(), gone.stamp.0),
            body_digest: String::new(),
            targets: vec![Target::Url(admitted.page.purge_name())],
            mode: Mode::Hard,
            warm: false,
            settle: crate::base::time::Millis::ZERO,
            reason: reason.clone(),
            uncounted: true,
            unsafe_method: false,
        };
        let id = append.id.clone();
        let appended = self.append(platform, append).await;
        match appended {
            Ok(Appended::New { epoch, .. }) => {
                let (caller, via, targets, mode) = ("origin", gone.via, 1, "hard");
                let event = Event::Revalidated {
                    id: &id,
                    epoch,
                    targets,
                    mode,
                    caller,
                    via,
                    reason: &reason,
                };
                self.log(platform, &event);
                Ok(())
            }
            Ok(Appended::Repeated { .. } | Appended::Conflict) => Ok(()),
            Err(error) => {
                self.journal_failed(platform, "append", &error);
                Err(error)
            }
        }
    }

    /// What follows from an answer that is not stored, for what is stored of the page.
    pub(crate) async fn not_stored_now(
        &self,
        context: &FillContext<'_, P>,
        mut fetch: FetchContext,
        mut head: ResponseHead,
        mut reason: NoStore,
    ) {
        let FillContext { platform, fill_request, admitted, .. } = *context;
        let stored = fill_request.candidate.page.as_ref();
        if stored.is_some() && decides(head.status) && reason.is_of_the_origin() {
            match self.confirm(context, &mut fetch).await {
                Confirmed::Same => {}
                Confirmed::Other(other, why) => (head, reason) = (other, why),
                Confirmed::Stored => return,
                Confirmed::Unknown => {
                    return self.release_lease(platform, admitted, &fetch.lease).await;
                }
            }
        }
        let candidate = &fill_request.candidate;
        // The page stands in for the moment.
        if is_of_the_moment(head.status) && candidate.outlives_errors() {
            return self.release_lease(platform, admitted, &fetch.lease).await;
        }
        let vary = candidate.vary.iter().flat_map(|names| names.iter()).chain(&fetch.lease.vary);
        let refused = Refused {
            response: &head,
            reason,
            vary: vary.cloned().collect(),
            stored: candidate.page.is_some(),
            sent: &fetch.sent,
            arrived: fetch.arrived,
        };
        self.mark_hit_for_pass(platform, &fill_request.incoming.head, admitted, refused).await;
        let was_there = self.record_not_stored(context, &fetch, head.status, reason).await;
        if decides(head.status) && reason.is_of_the_origin() && (stored.is_some() || was_there) {
            let stamp = stored.map_or(fetch.stamp, |page| page.entry.stamp);
            let (status, reason) = (head.status, reason.as_str());
            let gone = Gone { status, reason, stamp, via: "refresh" };
            // An error is told; the next refresh tries again.
            let _ = self.invalidate_gone(platform, admitted, gone).await;
        }
    }

    /// Asks the origin once more, without what the visitor said beyond the key, if they said anything: before a stored
    /// page is given up for all.
    async fn confirm(&self, context: &FillContext<'_, P>, fetch: &mut FetchContext) -> Confirmed {
        let FillContext { platform, fill_request, admitted, .. } = *context;
        let names = fill_request.candidate.vary.as_deref().unwrap_or_default();
        let fields = impersonal_fields(&fetch.sent, admitted, names);
        if fields == fetch.sent {
            return Confirmed::Same;
        }
        fetch.began = platform.now();
        fetch.sent = fields.clone();
        let Some(permit) = self.background_permit(platform) else { return Confirmed::Unknown };
        let Ok(response) = self
            .ask_as_edge(platform, admitted, fields, permit, self.config().origin_timeout)
            .await
        else {
            return Confirmed::Unknown;
        };
        fetch.arrived = platform.now();
        if is_of_the_moment(response.head.status) {
            platform.cancel(response.body);
            return Confirmed::Unknown;
        }
        match storage(&fetch.input(&fill_request.incoming.head, admitted, &response.head)) {
            Storage::Store(storable) => {
                // Nobody waits for it.
                let fill = SharedFill::begin(Work::Refresh, fetch.arrived);
                let context = FillContext { fill: &fill, ..*context };
                self.store_streamed(&context, storable, response, fetch).await;
                Confirmed::Stored
            }
            Storage::Share(..) => {
                platform.cancel(response.body);
                Confirmed::Unknown
            }
            Storage::Refuse(reason) => {
                platform.cancel(response.body);
                Confirmed::Other(response.head, reason)
            }
        }
    }
}

/// What the origin answers to a request that says nothing of its visitor.
enum Confirmed {
    /// The request was such a one.
    Same,
    /// This, which is not stored either, for this reason.
    Other(ResponseHead, NoStore),
    /// A page that is stored.
    Stored,
    /// Nothing that tells of the page.
    Unknown,
}
