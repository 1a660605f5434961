//! Cloudflare's purge API: `POST /zones/{zone}/purge_cache`, one kind of name in a call. Always
//! hard.
//!
//! A page goes as the prefix of its path, which covers each scheme, query and device that the zone
//! may hold it under; the root of a host as the host.

use serde_json::{Value, json};

use crate::base::json::write_value;
use crate::base::time::Timestamp;
use crate::cache::tag::Target;
use crate::config::front_cache::{ApiAddress, FrontCache, Provider};
use crate::http::Fields;
use crate::journal::Delivery;

use super::api::FrontCacheApi;
use super::delivery::{DeliveryFailure, DeliveryRequest};

/// Names of one call: what every plan takes.
const MAX_NAMES: usize = 30;

/// What the settings have to know of it.
pub static PROVIDER: Provider = Provider {
    name: "cloudflare",
    key: Some("zone"),
    address: ApiAddress::At("https://api.cloudflare.com/client/v4"),
    tag_field: Some("cache-tag"),
    most_tags: usize::MAX,
};

/// Cloudflare's.
pub struct Cloudflare;

impl FrontCacheApi for Cloudflare {
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
        let (mut tags, mut prefixes, mut hosts) = (Vec::new(), Vec::new(), Vec::new());
        let mut everything = false;
        for target in &delivery.targets {
            match target {
                Target::Tag(tag) if front_cache.tags => tags.push(Value::from(tag.as_str())),
                Target::Tag(_) | Target::All => everything = true,
                Target::Host(host) => hosts.push(Value::from(host.as_str())),
                Target::Url(name) | Target::Prefix(name) => {
                    let path = name.split('?').next().unwrap_or_default();
                    match path.split_once('/') {
                        Some((host, "")) => hosts.push(Value::from(host)),
                        Some(_) | None => prefixes.push(Value::from(path.trim_end_matches('/'))),
                    }
                }
            }
        }
        let request = |body: &Value| DeliveryRequest {
            method: "POST",
            url: front_cache.url.join(&format!("/zones/{}/purge_cache", front_cache.id)),
            fields: Fields::from_iter([
                ("content-type", "application/json"),
                ("authorization", &format!("Bearer {secret}")),
            ]),
            body: write_value(body).into_bytes(),
            reads: 0,
        };
        if everything {
            return Ok(vec![request(&json!({ "purge_everything": true }))]);
        }
        let mut requests = Vec::new();
        for (kind, names) in [("tags", tags), ("prefixes", prefixes), ("hosts", hosts)] {
            requests.extend(names.chunks(MAX_NAMES).map(|names| request(&json!({ kind: names }))));
        }
        Ok(requests)
    }
}
