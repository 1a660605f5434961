//! Hit-for-pass: what is kept of an answer that can't be stored, so that the next requests need not
//! wait for it.
//!
//! A hit-for-pass entry says that requests pass to the origin at once, whole. Where the reason lies
//! in the page it takes the page's place in L0 and L1, for a minute at first. Where the reason may
//! lie in one request or one moment, the entry is of this isolate alone and for requests that have
//! something which no key has: for all others the page is as before.

use crate::base::time::{Epoch, Millis, Timestamp};
use crate::cache::admission::Admitted;
use crate::cache::not_forwarded::NotForwarded;
use crate::cache::status::{is_page_specific, is_transient};
use crate::cache::storage::NoStore;
use crate::cache::variant::selection;
use crate::engine::parts::Filler;
use crate::engine::port::Platform;
use crate::engine::uncacheable::{
    LIFETIME, NewHitForPass, TRANSIENT_LIFETIME, page_hash, prefixes,
};
use crate::http::retry_after::retry_after;
use crate::http::vary::{Vary, vary};
use crate::http::{Fields, RequestHead, ResponseHead};

/// The longest that a page is left to the origin because of an answer that describes the moment.
const MAX_TRANSIENT_LIFETIME: Millis = Millis(60_000);

/// An answer that can't be stored, and the request that brought it.
pub(crate) struct Refused<'a> {
    pub(crate) response: &'a ResponseHead,
    pub(crate) reason: NoStore,
    /// The fields that the page is known to vary on.
    pub(crate) vary: Vec<String>,
    /// Whether a response is stored for the request.
    pub(crate) stored: bool,
    /// The fields that the origin was sent.
    pub(crate) sent: &'a Fields,
    /// The stamp that it would have.
    pub(crate) stamp: Epoch,
    /// When the answer arrived.
    pub(crate) arrived: Timestamp,
}

impl<P: Platform> Filler<P> {
    /// Keeps a hit-for-pass entry of a page, if the reason is one that may hold for the next
    /// request too. Of a page that varies it is for the variant alone: one visitor's odd request
    /// must not send all others to the origin.
    pub(crate) async fn note_hit_for_pass(
        &self,
        request: &RequestHead,
        admitted: &Admitted<'_>,
        refused: Refused<'_>,
    ) {
        let Refused { response, reason, vary: known, stored, sent, stamp, arrived } = refused;
        let status = response.status;
        if reason.is_of_the_request() || reason == NoStore::Late {
            return;
        }
        let of_the_page = reason.hit_for_pass() && is_page_specific(status);
        let moment = is_transient(status);
        let new = NewHitForPass {
            lifetime: if moment { TRANSIENT_LIFETIME } else { LIFETIME },
            transient: moment,
            least: if moment { NotForwarded::Cookies } else { NotForwarded::Usual },
            reason: reason.as_str(),
            may_pass_soon: !of_the_page,
        };
        let names = selecting_names(response, known);
        let key = if names.is_empty() {
            admitted.key.clone()
        } else {
            admitted.key.variant(&selection(&names, request, admitted, sent))
        };
        let page = page_hash(&key);
        let noted = self.context.isolate().borrow_mut().uncacheable.insert(page, &new, arrived);
        if !moment && status < 500 {
            self.note_refused(admitted, arrived);
        }
        let overrules = moment && status < 500 && stored;
        if !of_the_page && !overrules {
            return;
        }
        let until = if overrules {
            let after = retry_after(&response.fields, arrived).unwrap_or(TRANSIENT_LIFETIME);
            arrived.plus(after.clamp(TRANSIENT_LIFETIME, MAX_TRANSIENT_LIFETIME))
        } else {
            noted
        };
        if !names.is_empty() {
            self.stores.store_vary(&admitted.key, &names).await;
        }
        let when = (until, (stamp, arrived));
        self.stores.store_hit_for_pass(&key, reason.as_str(), when).await;
    }

    /// Notes that the answer for an address could not be stored.
    pub(crate) fn note_refused(&self, admitted: &Admitted<'_>, now: Timestamp) {
        let (page, prefixes) = (page_hash(&admitted.key), prefixes(&admitted.page));
        self.context.isolate().borrow_mut().uncacheable.refused(page, &prefixes, now);
    }

    /// Notes that the answer for an address is stored.
    pub(crate) fn note_stored(&self, admitted: &Admitted<'_>, now: Timestamp) {
        let (page, prefixes) = (page_hash(&admitted.key), prefixes(&admitted.page));
        self.context.isolate().borrow_mut().uncacheable.stored(page, &prefixes, now);
    }
}

/// The fields that select a page's answers, as far as is known.
fn selecting_names(response: &ResponseHead, known: Vec<String>) -> Vec<String> {
    let mut names = match vary(&response.fields) {
        Vary::Names(names) => names,
        Vary::Any => Vec::new(),
    };
    names.extend(known);
    names.sort();
    names.dedup();
    names
}
