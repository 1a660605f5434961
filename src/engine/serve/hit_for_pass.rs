//! Hit-for-pass: what is kept of an answer that can't be stored, so that the next requests need not wait for it.
//!
//! A mark says that requests pass to the origin at once, whole. Where the reason lies in the page it takes the page's
//! place in L0 and L1, for a minute at first. Where the reason may lie in one request or one moment, the mark is of this
//! isolate alone and for requests that have something which no key has: for all others the page is as before.

use crate::base::sort::sort;
use crate::base::time::Millis;
use crate::cache::errors::{is_about_the_page, is_of_the_moment};
use crate::cache::left_out::LeftOut;
use crate::cache::storage::NoStore;
use crate::cache::variant::selection;
use crate::engine::port::Platform;
use crate::http::ResponseHead;
use crate::http::retry_after::retry_after;
use crate::http::vary::{Vary, vary};

use crate::engine::Engine;
use crate::engine::fill::FillContext;
use crate::engine::fill::store::FetchContext;

use super::uncacheable::{MARK, MOMENT, NewMark, place};

/// The longest that a page is left to the origin because of an answer that tells of the moment.
const LONGEST_MOMENT: Millis = Millis(60_000);

impl<P: Platform> Engine<P> {
    /// Marks a page hit-for-pass, if the reason is one that may hold for the next request too. A page that varies is
    /// marked for the variant alone: one visitor's odd request must not send all others to the origin.
    pub(crate) async fn mark_hit_for_pass(
        &self,
        context: &FillContext<'_, P>,
        fetch: &FetchContext,
        response: &ResponseHead,
        reason: NoStore,
    ) {
        let FillContext { platform, fill_request, admitted, .. } = *context;
        let status = response.status;
        if reason.is_of_the_request() || reason == NoStore::Late {
            return;
        }
        let of_the_page = reason.hit_for_pass() && is_about_the_page(status);
        let moment = is_of_the_moment(status);
        let new = NewMark {
            length: if moment { MOMENT } else { MARK },
            least: if moment { LeftOut::Cookies } else { LeftOut::Usual },
            reason: reason.as_str(),
            may_pass_soon: !of_the_page,
        };
        let names = self.selecting_names(context, fetch, response);
        let key = if names.is_empty() {
            admitted.key.clone()
        } else {
            let sent = &fetch.sent;
            admitted.key.variant(&selection(&names, &fill_request.incoming.head, admitted, sent))
        };
        let page = place(&key);
        let marked = self.isolate().borrow_mut().uncacheable.mark(page, &new, fetch.arrived);
        if !moment && status < 500 {
            self.note_refused(admitted, fetch.arrived);
        }
        let overrules = moment && status < 500 && fill_request.candidate.page.is_some();
        if !of_the_page && !overrules {
            return;
        }
        let until = if overrules {
            let after = retry_after(&response.fields, fetch.arrived).unwrap_or(MOMENT);
            fetch.arrived.plus(after.clamp(MOMENT, LONGEST_MOMENT))
        } else {
            marked
        };
        if !names.is_empty() {
            self.store_vary(platform, &admitted.key, &names).await;
        }
        self.store_hit_for_pass(platform, &key, reason.as_str(), until).await;
    }

    /// The fields that select a page's answers, as far as is known.
    fn selecting_names(
        &self,
        context: &FillContext<'_, P>,
        fetch: &FetchContext,
        response: &ResponseHead,
    ) -> Vec<String> {
        let mut names = match vary(&response.fields) {
            Vary::Names(names) => names,
            Vary::Any => Vec::new(),
        };
        names.extend(
            context.fill_request.candidate.vary.iter().flat_map(|known| known.iter().cloned()),
        );
        names.extend(fetch.lease.vary.iter().cloned());
        sort(&mut names);
        names.dedup();
        names
    }
}
