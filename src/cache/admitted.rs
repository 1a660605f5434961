//! A request that the cache may answer: what its admission found out.

use crate::cache::key::{CacheKey, Page};
use crate::config::Route;
use crate::http::cache_control::RequestDirectives;
use crate::http::range::RangeRequest;

/// A request for the cache.
#[derive(Clone, Debug, PartialEq)]
pub struct Admitted<'c> {
    /// The page it asks for.
    pub page: Page,
    /// The page's primary key.
    pub key: CacheKey,
    /// The settings.
    pub route: &'c Route,
    /// HEAD: the answer has no body.
    pub head_only: bool,
    /// What the request demands; nothing where the route does not listen.
    pub directives: RequestDirectives,
    /// The visitor has cookies that the origin won't see.
    pub cookies_removed: bool,
    /// The ranges asked for.
    pub range: Option<RangeRequest>,
    /// Facts about the visitor that are part of the key, as fields for the origin.
    pub facts: Vec<(&'static str, String)>,
}
