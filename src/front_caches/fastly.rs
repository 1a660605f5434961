//! Fastly's purge API: `POST /service/{service}/purge` by key, soft or hard; all the rest is
//! `purge_all`, because its purge by URL takes one query alone, and it knows no prefixes.

use crate::base::time::Timestamp;
use crate::cache::tag::Target;
use crate::config::front_cache::{ApiAddress, FrontCache, Provider};
use crate::http::Fields;
use crate::journal::{Delivery, Mode};

use super::api::FrontCacheApi;
use super::delivery::{DeliveryFailure, DeliveryRequest};

/// Keys of one call.
const MAX_NAMES: usize = 256;

/// What the settings have to know of it.
pub static PROVIDER: Provider = Provider {
    name: "fastly",
    key: Some("service"),
    address: ApiAddress::At("https://api.fastly.com"),
    tag_field: Some("surrogate-key"),
    most_tags: usize::MAX,
};

/// Fastly's.
pub struct Fastly;

impl FrontCacheApi for Fastly {
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
        let mut keys: Option<Vec<&str>> = Some(Vec::new());
        for target in &delivery.targets {
            match target {
                Target::Tag(tag) if front_cache.tags => {
                    if let Some(keys) = &mut keys {
                        keys.push(tag.as_str());
                    }
                }
                Target::Tag(_)
                | Target::Url(_)
                | Target::Prefix(_)
                | Target::Host(_)
                | Target::All => {
                    keys = None;
                }
            }
        }
        let request = |action: &str, keys: Option<&[&str]>| {
            let mut fields = Fields::from_iter([("fastly-key", secret)]);
            if let Some(keys) = keys {
                fields.set("surrogate-key", keys.join(" "));
                if delivery.mode == Mode::Soft {
                    fields.set("fastly-soft-purge", "1");
                }
            }
            let url = front_cache.url.join(&format!("/service/{}/{action}", front_cache.id));
            DeliveryRequest { method: "POST", url, fields, body: Vec::new(), reads: 0 }
        };
        Ok(match keys {
            None => vec![request("purge_all", None)],
            Some(keys) => keys.chunks(MAX_NAMES).map(|keys| request("purge", Some(keys))).collect(),
        })
    }
}
