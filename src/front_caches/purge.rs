//! The method `PURGE`, as Varnish, nginx and Souin know it, to a cache of one's own: the page's
//! path and query at the cache's own address, with a Bearer token; `soft: 1` marks as stale.
//!
//! `Host` is that of the address, because `fetch()` in a Worker takes it from the URL alone. So
//! this is for a cache of one site. What is below a prefix goes as a path that ends with `*`,
//! everything as `/*`; tags as `xkey` to `/`. The cache has to understand these: docs/operations.md
//! has the lines for Varnish. The edge's own `PURGE` does.

use crate::base::time::Timestamp;
use crate::cache::tag::Target;
use crate::config::front_cache::{ApiAddress, FrontCache, Provider};
use crate::http::Fields;
use crate::journal::{Delivery, Mode};

use super::api::FrontCacheApi;
use super::delivery::{
    DeliveryAnswer, DeliveryFailure, DeliveryProgress, DeliveryRequest, path_of,
};

/// Paths named at once, a call each.
const MAX_NAMES: usize = 50;
/// Tags of one call.
const MAX_TAGS: usize = 100;

/// What the settings have to know of it.
pub static PROVIDER: Provider = Provider {
    name: "purge",
    key: None,
    address: ApiAddress::Setting,
    tag_field: Some("xkey"),
    most_tags: usize::MAX,
};

/// A cache of one's own.
pub struct Purge;

impl FrontCacheApi for Purge {
    fn provider(&self) -> &'static Provider {
        &PROVIDER
    }

    fn requests(
        &self,
        front_cache: &FrontCache,
        secret: &str,
        delivery: &Delivery,
        _now: Timestamp,
    ) -> Result<Vec<DeliveryRequest>, DeliveryFailure> {
        let (mut paths, mut tags) = (Vec::new(), Vec::new());
        let mut everything = false;
        for target in &delivery.targets {
            match target {
                Target::Tag(tag) if front_cache.tags => tags.push(tag.as_str()),
                Target::Tag(_) | Target::Host(_) | Target::All => everything = true,
                Target::Url(name) => paths.push(path_of(name).to_owned()),
                Target::Prefix(name) => paths.push(format!("{}*", path_of(name))),
            }
        }
        paths.sort();
        paths.dedup();
        if everything || paths.len() > MAX_NAMES {
            (paths, tags) = (vec!["/*".to_owned()], Vec::new());
        }
        let request = |path: &str, tags: &[&str]| {
            let mut fields = Fields::from_iter([("authorization", &format!("Bearer {secret}"))]);
            if !tags.is_empty() {
                fields.set("xkey", tags.join(" "));
            }
            if delivery.mode == Mode::Soft {
                fields.set("soft", "1");
            }
            let url = front_cache.url.join(path);
            DeliveryRequest { method: "PURGE", url, fields, body: Vec::new(), reads: 0 }
        };
        let paths = paths.iter().map(|path| request(path, &[]));
        Ok(paths.chain(tags.chunks(MAX_TAGS).map(|tags| request("/", tags))).collect())
    }

    fn progress(
        &self,
        answer: &DeliveryAnswer,
    ) -> Option<Result<DeliveryProgress, DeliveryFailure>> {
        // It holds nothing under that name.
        matches!(answer.head.status, 404 | 412).then_some(Ok(DeliveryProgress::Done))
    }
}
