//! A fill's request: what is stored already, who asks, and under which terms the origin was asked.

use std::rc::Rc;

use crate::base::time::{Epoch, Millis, Timestamp};
use crate::cache::admission::Admitted;
use crate::cache::entry::Entry;
use crate::cache::key::CacheKey;
use crate::cache::stale_if_error::has_window;
use crate::cache::storage::{Storable, StorageInput};
use crate::cache::tag::TagSet;
use crate::cache::variant::selection;
use crate::engine::context::Incoming;
use crate::engine::fill::shared::SharedFill;
use crate::engine::fill::terms::FetchTerms;
use crate::engine::memory::StoredPage;
use crate::engine::port::{Content, OriginRequest, Platform};
use crate::http::cache_status::Forward;
use crate::http::{Fields, RequestHead, ResponseHead};

/// What is stored already, and what may be done with it.
pub struct Candidate<P: Platform> {
    /// The stored response, if any.
    pub page: Option<Rc<StoredPage<P::Chunk>>>,
    /// The fields that the page is known to vary on.
    pub vary: Option<Rc<[String]>>,
    /// Whether it may be validated rather than refetched.
    pub conditional: bool,
    /// Whether it may stand in if the origin fails (RFC 5861 §4).
    pub on_error: bool,
    /// The lowest stamp that a replacement must have.
    pub need: Epoch,
    /// Why the request goes forward (RFC 9211 §2.2).
    pub forward: Forward,
    /// The reason in words.
    pub why: Option<&'static str>,
}

impl<P: Platform> Clone for Candidate<P> {
    fn clone(&self) -> Self {
        let (page, vary) = (self.page.clone(), self.vary.clone());
        Self { page, vary, ..*self }
    }
}

impl<P: Platform> Candidate<P> {
    /// Nothing is stored.
    #[must_use]
    pub fn nothing(vary: Option<Rc<[String]>>) -> Self {
        let forward = if vary.is_some() { Forward::VaryMiss } else { Forward::UriMiss };
        Self {
            page: None,
            vary,
            conditional: false,
            on_error: false,
            need: Epoch::ZERO,
            forward,
            why: None,
        }
    }

    /// A stored response.
    #[must_use]
    pub fn of(
        page: &Rc<StoredPage<P::Chunk>>,
        conditional: bool,
        on_error: bool,
        need: Epoch,
    ) -> Self {
        let names: Rc<[String]> = page.entry.selection.0.iter().map(|(n, _)| n.clone()).collect();
        Self {
            page: Some(Rc::clone(page)),
            vary: (!names.is_empty()).then_some(names),
            conditional,
            on_error,
            need,
            forward: Forward::Stale,
            why: None,
        }
    }

    /// Whether there is a page with a window for errors (RFC 5861 §4).
    #[must_use]
    pub fn has_stale_if_error(&self) -> bool {
        self.page.as_ref().is_some_and(|page| has_window(&page.entry.freshness))
    }

    /// The same, with the reason for going forward.
    #[must_use]
    pub fn because(self, forward: Forward, why: &'static str) -> Self {
        Self { forward, why: Some(why), ..self }
    }
}

/// A fill's request, in the form that its task can own.
pub(crate) struct FillRequest<P: Platform> {
    pub(crate) incoming: Incoming<P>,
    pub(crate) admitted: Admitted<'static>,
    pub(crate) candidate: Candidate<P>,
    pub(crate) key: CacheKey,
    pub(crate) background: bool,
}

/// A fill under way: what its steps share.
pub(crate) struct FillContext<'a, P: Platform> {
    pub(crate) fill_request: &'a FillRequest<P>,
    pub(crate) fill: &'a SharedFill<P>,
}

/// Under which terms a response was fetched, and when.
pub(crate) struct FetchContext {
    /// Under a lease, or why without.
    pub(crate) terms: FetchTerms,
    /// The stamp it carries.
    pub(crate) stamp: Epoch,
    /// The fields that were sent.
    pub(crate) sent: Fields,
    /// When the request was sent.
    pub(crate) began: Timestamp,
    /// When the response's head arrived.
    pub(crate) arrived: Timestamp,
}

impl FetchContext {
    /// What the decision on a response rests on.
    pub(crate) fn input<'a>(
        &'a self,
        request: &'a RequestHead,
        admitted: &'a Admitted<'a>,
        response: &'a ResponseHead,
    ) -> StorageInput<'a> {
        StorageInput {
            request,
            admitted,
            sent: &self.sent,
            response,
            request_time: self.began,
            response_time: self.arrived,
        }
    }

    /// The entry that a storable response becomes.
    pub(crate) fn entry(
        &self,
        request: &RequestHead,
        admitted: &Admitted<'_>,
        storable: Storable,
        status: u16,
    ) -> Entry {
        // A response without tags inherits the known ones: a cache in front of the origin may have
        // dropped them.
        let tags: TagSet =
            if storable.tags.is_empty() { self.terms.tags().clone() } else { storable.tags };
        let mut names = storable.selection_names;
        names.extend(self.terms.vary().iter().cloned());
        names.sort();
        names.dedup();
        let selected = selection(&names, request, admitted, &self.sent);
        Entry {
            key: admitted.key.clone(),
            page: admitted.page.clone(),
            selection: selected,
            status,
            fields: storable.fields,
            targets: admitted.page.targets(&tags),
            tags,
            stamp: self.stamp,
            fence: self.terms.fence(),
            request_time: self.began,
            response_time: self.arrived,
            initial_age: storable.initial_age,
            freshness: storable.freshness,
            body_length: 0,
        }
    }
}

/// A request of the edge's own for a page.
pub(crate) fn page_request<S, C>(
    admitted: &Admitted<'_>,
    fields: Fields,
    timeout: Millis,
) -> OriginRequest<S, C> {
    OriginRequest {
        method: "GET".to_owned(),
        target: admitted.page.path_and_query(),
        fields,
        content: Content::None,
        timeout,
    }
}
