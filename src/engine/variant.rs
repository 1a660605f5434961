//! Which variant a request selects, and what of it does not reach the origin of a page that may be
//! stored.

use crate::cache::admission::Admitted;
use crate::cache::forward::{
    EdgeFacts, SentAlone, add_selecting, cacheable_request_fields, pass_request_fields, sent_alone,
};
use crate::cache::key::{CacheKey, Selection};
use crate::cache::not_forwarded::{NotForwarded, is_cut, not_forwarded, selects_by_more};
use crate::cache::variant::{never_forwarded, selection_of};
use crate::engine::context::{Context, Incoming};
use crate::engine::fill::request::Candidate;
use crate::engine::port::Platform;
use crate::http::RequestHead;

/// Whether a response with this selection can't be known to be the one for the request.
pub(crate) fn selects_by_unforwarded(
    head: &RequestHead,
    admitted: &Admitted<'_>,
    names: &[String],
) -> bool {
    selects_by_more(&never_forwarded(names, admitted), head)
        || names.iter().any(|name| is_cut(name, head, admitted))
}

/// The request's values for the fields that a page varies on.
pub(crate) fn select(
    head: &RequestHead,
    admitted: &Admitted<'_>,
    facts: &EdgeFacts<'_>,
    names: &[String],
) -> Selection {
    let mut all = None;
    selection_of(names, admitted, |name| match sent_alone(name, head, admitted, facts) {
        SentAlone::Value(value) => value,
        SentAlone::Among => {
            let made = || {
                let mut sent = cacheable_request_fields(head, admitted, facts);
                add_selecting(&mut sent, head, names);
                sent
            };
            all.get_or_insert_with(made).joined(name)
        }
    })
}

impl<P: Platform> Context<P> {
    /// What of a request does not reach the origin of a page that may be stored.
    pub(crate) fn not_forwarded(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
    ) -> NotForwarded {
        let facts = self.facts(incoming, false);
        let sent = cacheable_request_fields(&incoming.head, admitted, &facts);
        not_forwarded(admitted, &sent, &pass_request_fields(&incoming.head, &facts))
    }

    /// The same of a request for a range, which reaches the origin with its range.
    pub(crate) fn not_forwarded_range(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
    ) -> NotForwarded {
        let facts = self.facts(incoming, false);
        let sent = cacheable_request_fields(&incoming.head, admitted, &facts);
        let mut whole = pass_request_fields(&incoming.head, &facts);
        whole.retain(|name, _| !matches!(name, "range" | "if-range"));
        not_forwarded(admitted, &sent, &whole)
    }

    /// Whether a response with this selection can't be known to be the one for the request.
    pub(crate) fn selects_by_more(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        names: &[String],
    ) -> bool {
        selects_by_unforwarded(&incoming.head, admitted, names)
    }

    /// Whether a variant can't be known to be the one for the request.
    pub(crate) fn is_foreign(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        chosen: &Selection,
    ) -> bool {
        let names = chosen.names();
        self.selects_by_more(incoming, admitted, &names)
    }

    /// Whether a variant that was fetched for a request is not the one for it: it turned out to be
    /// selected by what was left out.
    pub(crate) fn is_of_another(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        chosen: &Selection,
    ) -> bool {
        self.is_foreign(incoming, admitted, chosen) || !self.selects(incoming, admitted, chosen)
    }

    /// Whether the request selects the variant.
    pub(crate) fn selects(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        chosen: &Selection,
    ) -> bool {
        if chosen.0.is_empty() {
            return true;
        }
        let names = chosen.names();
        self.select(incoming, admitted, &names) == *chosen
    }

    /// The request's values for the fields that a page varies on.
    pub(crate) fn select(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        names: &[String],
    ) -> Selection {
        select(&incoming.head, admitted, &self.facts(incoming, false), names)
    }

    pub(crate) fn fill_key(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        candidate: &Candidate<P>,
    ) -> CacheKey {
        match &candidate.vary {
            Some(names) => admitted.key.variant(&self.select(incoming, admitted, names)),
            None => admitted.key.clone(),
        }
    }
}
