//! A delivery: what a front cache is called with, and what may come of it.

use crate::base::time::{Epoch, Millis};
use crate::config::front_cache::FrontCache;
use crate::control::revalidate::body_digest;
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

/// Why a front cache has not taken a delivery.
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

/// The id of a call: the same when the same is sent again, and no other call's, also after the
/// journal was restored and gives the same epochs to something else.
pub(super) fn id_of(front_cache: &FrontCache, delivery: &Delivery, content: &[u8]) -> String {
    let number = |epoch: Option<&Epoch>| epoch.map_or(0, |epoch| epoch.0);
    let (first, last) = (number(delivery.epochs.first()), number(delivery.epochs.last()));
    let mut digest = body_digest(&[&delivery.at.as_millis().to_be_bytes(), content].concat());
    digest.truncate(16);
    format!("front-cache-{}-{first}-{last}-{digest}", front_cache.name)
}

/// A page's or prefix's path, with its query.
pub(super) fn path_of(name: &str) -> &str {
    name.find('/').and_then(|at| name.get(at..)).unwrap_or("/")
}
