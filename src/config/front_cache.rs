//! Caches in front of the edge that are told of invalidations (`front_caches`), and their secrets.
//!
//! A secret stands in `FRONT_CACHE_SECRETS` as `NAME:VALUE`, several separated by white space or commas. Whether one is
//! right only its provider can say; that one is missing is told by `healthz`.

use super::{Config, OriginUrl};

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

/// A front cache and what it is proved to that we may.
#[derive(Clone)]
pub struct FrontCacheAccess {
    /// The front cache.
    pub front_cache: FrontCache,
    /// Its secret, unless that is missing.
    pub secret: Option<Box<str>>,
    /// Alias → host: pages are kept under both, and invalidations name the host.
    pub aliases: Vec<(String, String)>,
}

impl FrontCacheAccess {
    /// The front caches with their secrets out of `FRONT_CACHE_SECRETS`.
    #[must_use]
    pub fn all(config: &Config, secrets: &str) -> Vec<Self> {
        let secret = |name: &str| {
            let mut words = secrets.split([' ', '\t', '\n', '\r', ',']);
            // Nothing that a field can't carry: the runtime would refuse the request as a whole.
            let good =
                |value: &&str| !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic());
            words.find_map(|word| word.strip_prefix(name)?.strip_prefix(':')).filter(good)
        };
        let access = |front_cache: &FrontCache| {
            let mut front_cache = front_cache.clone();
            if front_cache.provider == Provider::WorkersCache {
                front_cache.id.clone_from(&config.control_prefix);
            }
            Self {
                secret: secret(&front_cache.name).map(Into::into),
                front_cache,
                aliases: config.host_aliases.clone(),
            }
        };
        config.front_caches.iter().map(access).collect()
    }
}
