//! Caches in front of the edge with their secrets.
//!
//! A secret stands in `FRONT_CACHE_SECRETS` as `NAME:VALUE`, several separated by white space or
//! commas. Whether one is right only its provider can say; that one is missing, `healthz` says.

use super::front_cache::{ApiAddress, FrontCache};
use super::settings::Config;

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
            if front_cache.provider.address == ApiAddress::Own {
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
