//! A request that the cache may answer: what its admission found out.

use std::ops::Deref;
use std::rc::Rc;

use crate::cache::key::{CacheKey, Page};
use crate::config::Route;
use crate::http::cache_control::RequestDirectives;
use crate::http::range::RangeRequest;

/// The settings of a request's route.
#[derive(Clone, Debug, PartialEq)]
pub enum AppliedRoute<'c> {
    /// As they stand in the site's.
    Borrowed(&'c Route),
    /// In a task of its own.
    Owned(Rc<Route>),
}

impl Deref for AppliedRoute<'_> {
    type Target = Route;

    fn deref(&self) -> &Route {
        match self {
            Self::Borrowed(route) => route,
            Self::Owned(route) => route,
        }
    }
}

/// A request for the cache.
#[derive(Clone, Debug, PartialEq)]
pub struct Admitted<'c> {
    /// The page it asks for.
    pub page: Page,
    /// The page's primary key.
    pub key: CacheKey,
    /// The settings.
    pub route: AppliedRoute<'c>,
    /// HEAD: the answer has no body.
    pub head_only: bool,
    /// The visitor has a cookie by which the route bypasses, and the route composes: only a page
    /// that is good for everyone is for them.
    pub known: bool,
    /// What the request demands; nothing where the route does not listen.
    pub directives: RequestDirectives,
    /// The visitor has cookies that the origin won't see.
    pub cookies_removed: bool,
    /// The ranges asked for.
    pub range: Option<RangeRequest>,
    /// Facts about the visitor that are part of the key, as fields for the origin.
    pub facts: Vec<(&'static str, String)>,
}

impl Admitted<'_> {
    /// The same for a task of its own, which the settings need not outlive.
    #[must_use]
    pub fn into_owned(self) -> Admitted<'static> {
        let route = match &self.route {
            AppliedRoute::Borrowed(route) => Rc::new((*route).clone()),
            AppliedRoute::Owned(route) => Rc::clone(route),
        };
        self.under(route)
    }

    /// The same under a route of its own.
    #[must_use]
    pub fn under(self, route: Rc<Route>) -> Admitted<'static> {
        Admitted {
            page: self.page,
            key: self.key,
            route: AppliedRoute::Owned(route),
            head_only: self.head_only,
            known: self.known,
            directives: self.directives,
            cookies_removed: self.cookies_removed,
            range: self.range,
            facts: self.facts,
        }
    }
}
