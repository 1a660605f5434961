//! Caches in front of the edge that are told of invalidations (`front_caches`).

use super::origin::OriginUrl;

/// Whose API a front cache speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Cloudflare's purge of a zone.
    Cloudflare,
    /// Amazon CloudFront's invalidation of a distribution.
    Cloudfront,
    /// Fastly's purge of a service.
    Fastly,
    /// The method `PURGE` of a cache of one's own.
    Purge,
    /// The command of `revalidate`, posted to a URL.
    Webhook,
    /// Workers Caching: what the platform keeps before this very worker.
    WorkersCache,
}

/// Where this worker is reached from its own objects: no request to it leaves the runtime (RFC 6761 §6.4: the name
/// never resolves).
pub const OWN_URL: &str = "https://edge-isr.invalid";

impl Provider {
    /// Each with its name in the settings.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("cloudflare", Self::Cloudflare),
        ("cloudfront", Self::Cloudfront),
        ("fastly", Self::Fastly),
        ("purge", Self::Purge),
        ("webhook", Self::Webhook),
        ("workers-cache", Self::WorkersCache),
    ];

    /// The field in which its cache reads tags.
    #[must_use]
    pub const fn tag_field(self) -> Option<&'static str> {
        match self {
            Self::Cloudflare | Self::Cloudfront | Self::WorkersCache => Some("cache-tag"),
            Self::Fastly => Some("surrogate-key"),
            Self::Purge => Some("xkey"),
            Self::Webhook => None,
        }
    }

    /// Tags of one page that its cache takes; beyond them it would drop some.
    #[must_use]
    pub const fn most_tags(self) -> usize {
        match self {
            Self::Cloudfront => 50,
            Self::Cloudflare | Self::Fastly | Self::Purge | Self::Webhook | Self::WorkersCache => {
                usize::MAX
            }
        }
    }

    /// The setting that says whose cache it is, if one does.
    #[must_use]
    pub const fn key(self) -> Option<&'static str> {
        match self {
            Self::Cloudflare => Some("zone"),
            Self::Cloudfront => Some("distribution"),
            Self::Fastly => Some("service"),
            Self::Purge | Self::Webhook | Self::WorkersCache => None,
        }
    }

    /// Where its API is, if that is one place.
    #[must_use]
    pub const fn url(self) -> Option<&'static str> {
        match self {
            Self::Cloudflare => Some("https://api.cloudflare.com/client/v4"),
            Self::Cloudfront => Some("https://cloudfront.amazonaws.com"),
            Self::Fastly => Some("https://api.fastly.com"),
            Self::WorkersCache => Some(OWN_URL),
            Self::Purge | Self::Webhook => None,
        }
    }
}

/// A cache in front of the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontCache {
    /// What logs, jobs and the secret call it.
    pub name: String,
    /// Its API.
    pub provider: Provider,
    /// Where that is.
    pub url: OriginUrl,
    /// The zone, distribution or service; for Workers Caching the prefix of the control API; empty where there is none.
    pub id: String,
    /// Whether it gets pages' tags, and so can purge by them. It must strip them from what visitors get.
    pub tags: bool,
}
