//! What caches before the edge are told of invalidations: the requests that say it, and what their answers mean.
//!
//! | file | what it speaks |
//! | --- | --- |
//! | [`cloudflare`] | `purge_cache` of a zone |
//! | [`fastly`] | purges of a service |
//! | [`webhook`] | the command of `revalidate` |
//!
//! What an API can't name is widened, in the end to everything: a page that should go and stays is the mistake that
//! nobody sees. Nothing is ever given up: whatever the answer, what is owed stays owed until it was taken.

pub mod cloudflare;
pub mod fastly;
pub mod webhook;

use crate::config::upstream::{Armed, Provider};
use crate::header::retry_after::retry_after;
use crate::header::{Fields, ResponseHead};
use crate::journal::Owed;
use crate::tag::Target;
use crate::time::{Millis, Timestamp};

/// A request to an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Where.
    pub url: String,
    /// The fields.
    pub fields: Fields,
    /// The body; all of them are `POST`.
    pub body: Vec<u8>,
}

/// Why an upstream has not taken what it is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No secret is set for it: nothing was sent.
    CredentialsMissing,
    /// It does not know the secret, or may not do this for it (401, 403).
    CredentialsRefused,
    /// Too many calls (429).
    RateLimited,
    /// It refused the call, also the one for everything.
    Refused,
    /// It failed (5xx).
    ServerError,
    /// No whole answer in time.
    Unreachable,
}

impl Failure {
    /// The reason's name in logs, jobs and `healthz`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CredentialsMissing => "credentials-missing",
            Self::CredentialsRefused => "credentials-refused",
            Self::RateLimited => "rate-limited",
            Self::Refused => "call-refused",
            Self::ServerError => "server-error",
            Self::Unreachable => "unreachable",
        }
    }
}

/// What an answer means, if it does not mean that the call was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Untaken {
    /// Why.
    pub failure: Failure,
    /// When it wants to be asked again, if it says so.
    pub again: Option<Millis>,
}

/// The requests that say what is owed. Each can be repeated without harm.
#[must_use]
pub fn requests(armed: &Armed, secret: &str, owed: &Owed) -> Vec<Request> {
    let upstream = &armed.upstream;
    let owed = &under_every_name(armed, owed);
    match upstream.provider {
        Provider::Cloudflare => cloudflare::requests(upstream, secret, owed),
        Provider::Fastly => fastly::requests(upstream, secret, owed),
        Provider::Webhook => webhook::requests(upstream, secret, owed),
    }
}

/// The same under each alias of a host.
fn under_every_name(armed: &Armed, owed: &Owed) -> Owed {
    let mut owed = owed.clone();
    for at in 0..owed.targets.len() {
        let Some(target) = owed.targets.get(at).cloned() else { break };
        let (Target::Url(name) | Target::Prefix(name) | Target::Host(name)) = &target else {
            continue;
        };
        let (host, rest) = name.split_at(name.find('/').unwrap_or(name.len()));
        for (alias, _) in armed.aliases.iter().filter(|(_, meant)| meant == host) {
            let name = format!("{alias}{rest}");
            owed.targets.push(match &target {
                Target::Url(_) => Target::Url(name),
                Target::Prefix(_) => Target::Prefix(name),
                Target::Host(_) | Target::Tag(_) | Target::All => Target::Host(name),
            });
        }
    }
    owed
}

/// What an answer means.
///
/// # Errors
/// Says why the call was not taken.
pub fn taken(head: &ResponseHead, now: Timestamp) -> Result<(), Untaken> {
    let failure = match head.status {
        200..=299 => return Ok(()),
        401 | 403 => Failure::CredentialsRefused,
        429 => Failure::RateLimited,
        408 | 425 | 500..=599 => Failure::ServerError,
        _ => Failure::Refused,
    };
    Err(Untaken { failure, again: retry_after(&head.fields, now) })
}
