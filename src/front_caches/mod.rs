//! What caches in front of the edge are told of invalidations: the requests that say it, and what their answers mean.
//!
//! | file | what it speaks |
//! | --- | --- |
//! | [`cloudflare`] | `purge_cache` of a zone |
//! | [`cloudfront`] | `CreateInvalidation` of a distribution, and whether it is completed |
//! | [`fastly`] | purges of a service |
//! | [`purge`] | the method `PURGE` of a cache of one's own |
//! | [`webhook`] | the command of `revalidate` |
//! | [`workers_cache`] | Workers Caching, by way of this worker's own entrypoint |
//!
//! What an API can't name is widened, in the end to everything: a page that should go and stays is the mistake that
//! nobody sees. Nothing is ever given up: whatever the answer, what is owed stays owed until it was taken.
//!
//! ```
//! use edge_isr::front_caches::DeliveryFailure;
//!
//! assert_eq!(DeliveryFailure::RateLimited.as_str(), "rate-limited");
//! ```

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
use crate::control::secret::webhook_key;
use crate::http::retry_after::retry_after;
use crate::journal::Delivery;

use delivery::Credential;
pub use delivery::{
    DeliveryAnswer, DeliveryError, DeliveryFailure, DeliveryProgress, DeliveryRequest,
};

fn credential(access: &FrontCacheAccess) -> Result<Credential<'_>, DeliveryFailure> {
    let secret = access.secret.as_deref().ok_or(DeliveryFailure::CredentialsMissing)?;
    match access.front_cache.provider {
        Provider::Webhook if secret.starts_with("whsec_") => webhook_key(secret)
            .map(Credential::Webhook)
            .map_err(|_| DeliveryFailure::CredentialsMalformed),
        Provider::Cloudfront => match secret.split_once('/') {
            Some((id, key)) if !id.is_empty() && !key.is_empty() => {
                Ok(Credential::AccessKey(id, key))
            }
            Some(_) | None => Err(DeliveryFailure::CredentialsMalformed),
        },
        Provider::Webhook
        | Provider::Cloudflare
        | Provider::Fastly
        | Provider::Purge
        | Provider::WorkersCache => Ok(Credential::Token(secret)),
    }
}

/// What keeps a front cache from being called at all.
#[must_use]
pub fn missing_credential(access: &FrontCacheAccess) -> Option<DeliveryFailure> {
    credential(access).err()
}

/// The requests that say what is owed. Each can be repeated without harm.
///
/// # Errors
/// Without a credential that can be used.
pub fn requests(
    access: &FrontCacheAccess,
    delivery: &Delivery,
    now: Timestamp,
) -> Result<Vec<DeliveryRequest>, DeliveryFailure> {
    let front_cache = &access.front_cache;
    let delivery = &under_every_name(access, delivery);
    let credential = credential(access)?;
    Ok(match (front_cache.provider, &credential) {
        (Provider::Cloudflare, Credential::Token(token)) => {
            cloudflare::requests(front_cache, token, delivery)
        }
        (Provider::Fastly, Credential::Token(token)) => {
            fastly::requests(front_cache, token, delivery)
        }
        (Provider::Purge, Credential::Token(token)) => {
            purge::requests(front_cache, token, delivery)
        }
        (Provider::WorkersCache, Credential::Token(token)) => {
            workers_cache::requests(front_cache, token, delivery)
        }
        (Provider::Webhook, credential) => {
            webhook::requests(front_cache, credential, delivery, now)
        }
        (Provider::Cloudfront, Credential::AccessKey(id, key)) => {
            cloudfront::requests(front_cache, (id, key), delivery, now)
        }
        (
            Provider::Cloudflare | Provider::Fastly | Provider::Purge | Provider::WorkersCache,
            Credential::Webhook(_) | Credential::AccessKey(..),
        )
        | (Provider::Cloudfront, Credential::Token(_) | Credential::Webhook(_)) => {
            return Err(DeliveryFailure::CredentialsMalformed);
        }
    })
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
    match credential(access)? {
        Credential::AccessKey(id, key) => {
            Ok(Some(cloudfront::progress_request(&access.front_cache, (id, key), call, now)))
        }
        Credential::Token(_) | Credential::Webhook(_) => Ok(None),
    }
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
    provider: Provider,
    answer: &DeliveryAnswer,
    now: Timestamp,
) -> Result<DeliveryProgress, DeliveryError> {
    let status = answer.head.status;
    let failure = match provider {
        Provider::Cloudfront if (200..=299).contains(&status) => {
            return cloudfront::progress(&answer.body)
                .ok_or_else(|| DeliveryFailure::ServerError.into());
        }
        Provider::Cloudfront => cloudfront::failure(&answer.body),
        // It holds nothing under that name.
        Provider::Purge if matches!(status, 404 | 412) => return Ok(DeliveryProgress::Done),
        Provider::WorkersCache if status == 501 => Some(DeliveryFailure::Unsupported),
        Provider::Purge
        | Provider::Cloudflare
        | Provider::Fastly
        | Provider::Webhook
        | Provider::WorkersCache => None,
    };
    let failure = match status {
        _ if failure.is_some() => failure,
        200..=299 => None,
        401 | 403 => Some(DeliveryFailure::CredentialsRefused),
        429 => Some(DeliveryFailure::RateLimited),
        408 | 425 | 500..=599 => Some(DeliveryFailure::ServerError),
        _ => Some(DeliveryFailure::Refused),
    };
    let again = retry_after(&answer.head.fields, now);
    failure.map_or(Ok(DeliveryProgress::Done), |failure| Err(DeliveryError { failure, again }))
}

/// What the answer to [`asking`] means.
///
/// # Errors
/// Says why it tells nothing.
pub fn call_progress(
    provider: Provider,
    answer: &DeliveryAnswer,
    now: Timestamp,
) -> Result<DeliveryProgress, DeliveryError> {
    if answer.head.status == 404 {
        return Ok(DeliveryProgress::Unknown);
    }
    delivery_progress(provider, answer, now)
}
