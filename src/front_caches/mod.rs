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
pub mod fastly;
pub mod purge;
pub mod webhook;
pub mod workers_cache;

use crate::base::time::{Epoch, Millis, Timestamp};
use crate::cache::tag::Target;
use crate::config::front_cache::{FrontCache, Provider};
use crate::config::front_cache_access::FrontCacheAccess;
use crate::control::revalidate::body_digest;
use crate::control::secret::webhook_key;
use crate::http::retry_after::retry_after;
use crate::http::{Fields, ResponseHead};
use crate::journal::Delivery;

/// A request to a front cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRequest {
    /// `GET`, `POST`, `PURGE`.
    pub method: &'static str,
    /// Where.
    pub url: String,
    /// The fields.
    pub fields: Fields,
    /// The body; empty for none.
    pub body: Vec<u8>,
    /// How many bytes of the answer's body say something.
    pub reads: usize,
}

/// What a front cache answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryAnswer {
    /// Status and fields.
    pub head: ResponseHead,
    /// The beginning of the body, as far as the request wants it and it came.
    pub body: Vec<u8>,
}

/// Why a front cache has not taken what it is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryFailure {
    /// No secret is set for it: nothing was sent.
    CredentialsMissing,
    /// Its secret is not of the form that its provider needs: nothing was sent.
    CredentialsMalformed,
    /// It does not know the secret, or may not do this for it (401, 403).
    CredentialsRefused,
    /// The platform has no such call (501).
    Unsupported,
    /// Too many calls (429), or too many invalidations in progress.
    RateLimited,
    /// It refused the call, also the one for everything.
    Refused,
    /// It failed (5xx), or answered what can't be read.
    ServerError,
    /// No whole answer in time.
    Unreachable,
}

impl DeliveryFailure {
    /// The reason's name in logs, jobs and `healthz`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CredentialsMissing => "credentials-missing",
            Self::CredentialsMalformed => "credentials-malformed",
            Self::CredentialsRefused => "credentials-refused",
            Self::Unsupported => "unsupported",
            Self::RateLimited => "rate-limited",
            Self::Refused => "call-refused",
            Self::ServerError => "server-error",
            Self::Unreachable => "unreachable",
        }
    }
}

/// What an answer means, if it does not mean that the call was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryError {
    /// Why.
    pub failure: DeliveryFailure,
    /// When it wants to be asked again, if it says so.
    pub again: Option<Millis>,
}

impl From<DeliveryFailure> for DeliveryError {
    fn from(failure: DeliveryFailure) -> Self {
        Self { failure, again: None }
    }
}

/// How far a call is that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryProgress {
    /// It is done.
    Done,
    /// The front cache is at it, and can be asked how far it is: the call's id there.
    InProgress(String),
    /// The front cache knows nothing of it: it is to be sent again.
    Unknown,
}

/// What a front cache is called with.
enum Credential<'a> {
    /// A token.
    Token(&'a str),
    /// The key that webhooks are signed with.
    Webhook(Vec<u8>),
    /// An access key: its id, its secret.
    AccessKey(&'a str, &'a str),
}

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

/// The id of a call: the same when the same is sent again, and no other call's, also after the journal was restored
/// and gives the same epochs to something else.
fn id_of(front_cache: &FrontCache, delivery: &Delivery, content: &[u8]) -> String {
    let number = |epoch: Option<&Epoch>| epoch.map_or(0, |epoch| epoch.0);
    let (first, last) = (number(delivery.epochs.first()), number(delivery.epochs.last()));
    let mut digest = body_digest(&[&delivery.at.as_millis().to_be_bytes(), content].concat());
    digest.truncate(16);
    format!("front-cache-{}-{first}-{last}-{digest}", front_cache.name)
}

/// A page's or prefix's path, with its query.
fn path_of(name: &str) -> &str {
    name.find('/').and_then(|at| name.get(at..)).unwrap_or("/")
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
