//! Hit-for-pass: what is kept of an answer that can't be stored, so that the next requests need not wait for it.
//!
//! A mark says that requests pass to the origin at once, cookies and all, for a minute. It is set where the reason lies
//! in the page and not in one request or one moment.

use crate::base::sort::sort;
use crate::base::time::Millis;
use crate::cache::errors::is_about_the_page;
use crate::cache::storage::NoStore;
use crate::cache::variant::selection;
use crate::engine::port::Platform;
use crate::http::ResponseHead;
use crate::http::vary::{Vary, vary};

use crate::engine::Engine;
use crate::engine::fill::Trip;
use crate::engine::fill::store::Terms;

/// How long a page whose answers can't be stored is passed without asking again.
const PASS_KEEP: Millis = Millis(60_000);

impl<P: Platform> Engine<P> {
    /// Marks a page hit-for-pass, if the reason is one that will hold for the next request too. A page that varies is
    /// marked for the variant alone: one visitor's odd request must not send all others to the origin.
    pub(crate) async fn mark(
        &self,
        trip: &Trip<'_, P>,
        terms: &Terms,
        response: &ResponseHead,
        reason: NoStore,
    ) {
        let Trip { platform, errand, admitted, .. } = *trip;
        if !reason.hit_for_pass() || !is_about_the_page(response.status) {
            return;
        }
        let mut names = match vary(&response.fields) {
            Vary::Names(names) => names,
            Vary::Any => Vec::new(),
        };
        names.extend(errand.have.vary.iter().flat_map(|known| known.iter().cloned()));
        names.extend(terms.lease.vary.iter().cloned());
        sort(&mut names);
        names.dedup();
        let mut key = admitted.key.clone();
        if !names.is_empty() {
            self.note_vary(platform, &admitted.key, &names).await;
            key = key.variant(&selection(&names, &errand.incoming.head, admitted, &terms.sent));
        }
        let until = terms.arrived.plus(PASS_KEEP);
        self.note_pass(platform, &key, reason.as_str(), until).await;
    }
}
