//! Caches in front of the edge that invalidations are delivered to (`front_caches`).

use super::origin::OriginUrl;

/// What the settings, and pages on their way to it, have to know of the API of a front cache. The
/// parser is given the list of all.
#[derive(Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its name in the settings.
    pub name: &'static str,
    /// The setting that says whose cache it is, if one does.
    pub key: Option<&'static str>,
    /// Where its API is.
    pub address: ApiAddress,
    /// The field in which its cache reads tags.
    pub tag_field: Option<&'static str>,
    /// Tags of one page that its cache takes; beyond them it would drop some.
    pub most_tags: usize,
}

/// Where the API of a front cache is.
#[derive(Debug, PartialEq, Eq)]
pub enum ApiAddress {
    /// There, unless the settings say otherwise.
    At(&'static str),
    /// The settings say it.
    Setting,
    /// At this worker.
    Own,
}

/// Where this worker is reached from its own objects: no request to it leaves the runtime (RFC 6761
/// §6.4: the name never resolves).
pub const OWN_URL: &str = "https://edge-isr.invalid";

/// A cache in front of the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontCache {
    /// What logs, jobs and the secret call it.
    pub name: String,
    /// Its API.
    pub provider: &'static Provider,
    /// Where that is.
    pub url: OriginUrl,
    /// The zone, distribution or service; at this worker the prefix of the control API; empty where
    /// there is none.
    pub id: String,
    /// Whether it gets pages' tags, and so can purge by them. It must strip them from what visitors
    /// get.
    pub tags: bool,
}
