//! Workers Caching: responses of this worker that the platform keeps before it runs.
//!
//! They can be purged by the entrypoint that they are of alone, and the journal's object is another
//! one. So the purge goes as a call of the control API to this worker's own default entrypoint,
//! without leaving the runtime (<https://developers.cloudflare.com/workers/cache/purge/>). Its
//! secret is one of `TOKENS`, with the scope `revalidate`.
//!
//! A page goes as the prefix of its path; a host as everything, because prefixes have none.

use serde_json::{Value, json};

use crate::base::json::write_value;
use crate::base::time::Timestamp;
use crate::cache::tag::Target;
use crate::config::front_cache::{ApiAddress, FrontCache, Provider};
use crate::http::Fields;
use crate::journal::{Delivery, Mode};

use super::api::FrontCacheApi;
use super::delivery::{
    DeliveryAnswer, DeliveryFailure, DeliveryProgress, DeliveryRequest, path_of,
};

/// The control API's call, below its prefix.
pub const CALL: &str = "v1/workers-cache";
/// Names of one call.
const MAX_NAMES: usize = 100;

/// What the settings have to know of it.
pub static PROVIDER: Provider = Provider {
    name: "workers-cache",
    key: None,
    address: ApiAddress::Own,
    tag_field: Some("cache-tag"),
    most_tags: usize::MAX,
};

/// Workers Caching.
pub struct WorkersCache;

impl FrontCacheApi for WorkersCache {
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
        let (mut tags, mut prefixes) = (Vec::new(), Vec::new());
        let mut everything = false;
        for target in &delivery.targets {
            match target {
                Target::Tag(tag) if front_cache.tags => tags.push(Value::from(tag.as_str())),
                Target::Tag(_) | Target::Host(_) | Target::All => everything = true,
                Target::Url(name) | Target::Prefix(name) => {
                    let path = path_of(name).split('?').next().unwrap_or_default();
                    prefixes.push(Value::from(path));
                }
            }
        }
        let mode = match delivery.mode {
            Mode::Soft => "soft",
            Mode::Hard => "hard",
        };
        let request = |kind: &str, names: Value| DeliveryRequest {
            method: "POST",
            url: front_cache.url.join(&format!("{}/{CALL}", front_cache.id)),
            fields: Fields::from_iter([
                ("content-type", "application/json"),
                ("authorization", &format!("Bearer {secret}")),
            ]),
            body: write_value(&json!({ "mode": mode, kind: names })).into_bytes(),
            reads: 0,
        };
        if everything {
            return Ok(vec![request("purgeEverything", Value::Bool(true))]);
        }
        let mut requests = Vec::new();
        for (kind, names) in [("tags", tags), ("pathPrefixes", prefixes)] {
            requests.extend(names.chunks(MAX_NAMES).map(|names| request(kind, names.into())));
        }
        Ok(requests)
    }

    fn progress(
        &self,
        answer: &DeliveryAnswer,
    ) -> Option<Result<DeliveryProgress, DeliveryFailure>> {
        (answer.head.status == 501).then_some(Err(DeliveryFailure::Unsupported))
    }
}
