//! How caches in front of the edge are purged: the requests that deliver an invalidation to each,
//! and what their answers mean.
//!
//! | file | its API |
//! | --- | --- |
//! | [`cloudflare`] | `purge_cache` of a zone |
//! | [`cloudfront`] | `CreateInvalidation` of a distribution, and whether it is completed |
//! | [`fastly`] | purges of a service |
//! | [`purge`] | the method `PURGE` of a cache of one's own |
//! | [`webhook`] | the command of `revalidate` |
//! | [`workers_cache`] | Workers Caching, by way of this worker's own entrypoint |
//! | [`api`] | the trait that each implements |
//! | `delivery` | requests, answers, and what may come of them |
//!
//! What an API can't name is widened, in the end to everything: nobody would notice a page that
//! should go and stays. No delivery is given up: whatever the answer, it stays pending until it was
//! accepted.
//!
//! Another front cache is one file that implements [`FrontCacheApi`], and one line in [`APIS`]
//! (CONTRIBUTING.md).
//!
//! ```
//! use edge_isr::front_caches::DeliveryFailure;
//!
//! assert_eq!(DeliveryFailure::RateLimited.as_str(), "rate-limited");
//! ```

pub mod api;
pub mod cloudflare;
pub mod cloudfront;
mod delivery;
pub mod fastly;
pub mod purge;
pub mod webhook;
pub mod workers_cache;

use crate::base::time::Timestamp;
use crate::cache::tag::Target;
use crate::config::front_cache::Provider;
use crate::config::front_cache_access::FrontCacheAccess;
use crate::config::{Config, ConfigError, parse};
use crate::http::retry_after::retry_after;
use crate::journal::Delivery;

pub use api::FrontCacheApi;
pub use delivery::{
    DeliveryAnswer, DeliveryError, DeliveryFailure, DeliveryProgress, DeliveryRequest,
};

/// Every API.
pub static APIS: &[&dyn FrontCacheApi] = &[
    &cloudflare::Cloudflare,
    &cloudfront::Cloudfront,
    &fastly::Fastly,
    &purge::Purge,
    &webhook::Webhook,
    &workers_cache::WorkersCache,
];

/// What the settings have to know of each.
#[must_use]
pub fn providers() -> Vec<&'static Provider> {
    APIS.iter().map(|api| api.provider()).collect()
}

/// Parses the JSON text of `EDGE_ISR`, with every front cache that there is.
///
/// # Errors
/// Every wrong value, with its path.
pub fn parse_config(json: &str) -> Result<Config, Vec<ConfigError>> {
    parse(json, &providers())
}

/// The API of a provider. One that is none of [`APIS`] has no call at all.
fn api(provider: &Provider) -> Result<&'static dyn FrontCacheApi, DeliveryFailure> {
    let api = APIS.iter().copied().find(|api| api.provider() == provider);
    api.ok_or(DeliveryFailure::Unsupported)
}

fn secret(access: &FrontCacheAccess) -> Result<&str, DeliveryFailure> {
    access.secret.as_deref().ok_or(DeliveryFailure::CredentialsMissing)
}

/// What keeps a front cache from being called at all.
#[must_use]
pub fn missing_credential(access: &FrontCacheAccess) -> Option<DeliveryFailure> {
    match (api(access.front_cache.provider), secret(access)) {
        (Err(failure), _) | (_, Err(failure)) => Some(failure),
        (Ok(api), Ok(secret)) => {
            (!api.takes_secret(secret)).then_some(DeliveryFailure::CredentialsMalformed)
        }
    }
}

/// The requests that make a delivery. Each can be repeated without harm.
///
/// # Errors
/// Without a credential that can be used.
pub fn requests(
    access: &FrontCacheAccess,
    delivery: &Delivery,
    now: Timestamp,
) -> Result<Vec<DeliveryRequest>, DeliveryFailure> {
    let (front_cache, secret) = (&access.front_cache, secret(access)?);
    let delivery = under_every_name(access, delivery);
    api(front_cache.provider)?.requests(front_cache, secret, &delivery, now)
}

/// The request that asks how far a call is; none if the provider has no such call.
///
/// # Errors
/// Without a credential that can be used.
pub fn progress_request(
    access: &FrontCacheAccess,
    call: &str,
    now: Timestamp,
) -> Result<Option<DeliveryRequest>, DeliveryFailure> {
    let (front_cache, secret) = (&access.front_cache, secret(access)?);
    api(front_cache.provider)?.progress_request(front_cache, secret, call, now)
}

/// The same under each alias of a host.
fn under_every_name(access: &FrontCacheAccess, delivery: &Delivery) -> Delivery {
    let mut delivery = delivery.clone();
    for at in 0..delivery.targets.len() {
        let Some(target) = delivery.targets.get(at).cloned() else { break };
        let (Target::Url(name) | Target::Prefix(name) | Target::Host(name)) = &target else {
            continue;
        };
        let (host, rest) = name.split_at(name.find('/').unwrap_or(name.len()));
        for (alias, _) in access.aliases.iter().filter(|(_, meant)| meant == host) {
            let name = format!("{alias}{rest}");
            delivery.targets.push(match &target {
                Target::Url(_) => Target::Url(name),
                Target::Prefix(_) => Target::Prefix(name),
                Target::Host(_) | Target::Tag(_) | Target::All => Target::Host(name),
            });
        }
    }
    delivery
}

/// What an answer means.
///
/// # Errors
/// Says why the call was not taken.
pub fn delivery_progress(
    provider: &Provider,
    answer: &DeliveryAnswer,
    now: Timestamp,
) -> Result<DeliveryProgress, DeliveryError> {
    let failure = match api(provider)?.progress(answer) {
        Some(Ok(progress)) => return Ok(progress),
        Some(Err(failure)) => failure,
        None => match answer.head.status {
            200..=299 => return Ok(DeliveryProgress::Done),
            401 | 403 => DeliveryFailure::CredentialsRefused,
            429 => DeliveryFailure::RateLimited,
            408 | 425 | 500..=599 => DeliveryFailure::ServerError,
            _ => DeliveryFailure::Refused,
        },
    };
    Err(DeliveryError { failure, again: retry_after(&answer.head.fields, now) })
}

/// What the answer to [`progress_request`] means.
///
/// # Errors
/// Why the answer does not say it.
pub fn call_progress(
    provider: &Provider,
    answer: &DeliveryAnswer,
    now: Timestamp,
) -> Result<DeliveryProgress, DeliveryError> {
    if answer.head.status == 404 {
        return Ok(DeliveryProgress::Unknown);
    }
    delivery_progress(provider, answer, now)
}
