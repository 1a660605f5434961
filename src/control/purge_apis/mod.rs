//! The purge APIs of other caches, so that a site's purge code works unchanged: each call is
//! parsed into the one command of the control API, and answered in its API's form, errors too.
//!
//! | file | its API |
//! | --- | --- |
//! | [`cloudflare`] | `purge_cache` and `invalidate_cache` of a zone |
//! | [`fastly`] | purge by key, keys, URL, and of all |
//! | [`cloudfront`], [`sigv4`], `xml` | `CreateInvalidation`, its signature, its XML |
//! | [`keycdn`] | `purgeurl`, `purgetag`, `purge` of a zone |
//! | [`method`] | `PURGE` and `BAN`, as Varnish and nginx know them |
//! | [`api`] | the trait that each implements |
//! | [`named`] | what a call names, gathered into a command |
//! | [`reply`] | answers and refusals |
//!
//! They live below the control prefix (`/__isr/fastly/…`) and at the root of `control_hosts`;
//! `PURGE` and `BAN` on every host. A pattern that is more than a prefix is widened to the
//! enclosing prefix, and the answer says so. Nothing is performed here: the engine does that,
//! through the journal.
//!
//! Another API is one file that implements [`PurgeApi`], and one line in [`APIS`].

pub mod api;
pub mod cloudflare;
pub mod cloudfront;
pub mod fastly;
pub mod keycdn;
pub mod method;
pub mod named;
pub mod reply;
pub mod sigv4;
mod xml;

use std::fmt;

use crate::base::time::{Millis, Timestamp};
use crate::cache::tag::url_name;
use crate::config::Config;
use crate::control::auth::{AuthError, Caller};
use crate::control::problem::Problem;
use crate::control::secret::Secrets;
use crate::http::RequestHead;
use crate::journal::JobRecord;

pub use api::{CallCredentials, PurgeApi, PurgeCall};
pub use reply::{PurgeOutcome, PurgeRefusal, Reply};

/// Every API. Of two whose calls have the same path, the first one gets them.
pub static APIS: &[&dyn PurgeApi] = &[
    &keycdn::Keycdn,
    &cloudflare::CloudflarePurgeApi,
    &cloudfront::CloudfrontPurgeApi,
    &fastly::FastlyPurgeApi,
    &method::PURGE,
    &method::BAN,
];

/// A call of one of the APIs.
#[derive(Clone)]
pub struct Call {
    /// The API.
    pub api: &'static dyn PurgeApi,
    /// What [`PurgeApi::read`] takes as the rest.
    pub rest: String,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.api.name(), self.rest)
    }
}

/// The call that a request makes; none if it is not one. On a control host everything is one, or an
/// error.
#[must_use]
pub fn route(request: &RequestHead, config: &Config) -> Option<Result<Call, Problem>> {
    let call = |api, rest: &str| Some(Ok(Call { api, rest: rest.to_owned() }));
    if let Some(rest) = request.path.strip_prefix(&config.control_prefix)
        && (rest.is_empty() || rest.starts_with('/'))
    {
        let (name, rest) = rest.strip_prefix('/')?.split_once('/')?;
        let api = APIS.iter().copied().find(|api| api.name() == name)?;
        return match api.method() {
            Some(_) => call(api, &url_name("", rest, request.query.as_deref())),
            None => call(api, rest),
        };
    }
    if let Some(api) =
        APIS.iter().copied().find(|api| api.method() == Some(request.method.as_str()))
    {
        return call(api, &url_name(&request.host, &request.path, request.query.as_deref()));
    }
    if !config.is_control_host(&request.host) {
        return None;
    }
    let rest = request.path.trim_start_matches('/');
    let mut segments = rest.split('/');
    if let (Some(first), Some(second)) = (segments.next(), segments.next())
        && let Some(api) = APIS.iter().copied().find(|api| api.is_at(first, second))
    {
        return call(api, rest);
    }
    Some(Err(Problem::not_found("call")))
}

impl Call {
    /// Who makes the call, if they may.
    ///
    /// # Errors
    /// Says why they may not.
    pub fn authenticate(
        &self,
        request: &RequestHead,
        body: &[u8],
        secrets: &Secrets,
        config: &Config,
        now: Timestamp,
    ) -> Result<Caller, AuthError> {
        self.api.authenticate(&CallCredentials { request, body, secrets, config, now })
    }

    /// Whether the head of the call can be anybody's who may make it, and proves it: false if that
    /// depends on the body too, and is left to [`Call::authenticate`].
    ///
    /// # Errors
    /// Says why it can't.
    pub fn claim(
        &self,
        request: &RequestHead,
        secrets: &Secrets,
        config: &Config,
        now: Timestamp,
    ) -> Result<bool, AuthError> {
        self.api.claim(&CallCredentials { request, body: &[], secrets, config, now })
    }

    /// What the call asks for.
    ///
    /// # Errors
    /// The first fault, for [`Call::refused`] to answer.
    pub fn read(
        &self,
        request: &RequestHead,
        body: &[u8],
        config: &Config,
    ) -> Result<PurgeCall, Problem> {
        self.api.read(&self.rest, request, body, config)
    }

    /// The invalidation whose status the call asks for, if it does.
    #[must_use]
    pub fn status_of(&self, request: &RequestHead) -> Option<String> {
        self.api.status_of(&self.rest, request)
    }

    /// The answer to a question for the status of an invalidation, as the journal knows it. After
    /// `bound` every isolate sees it.
    #[must_use]
    pub fn status(&self, job: Option<&JobRecord>, now: Timestamp, bound: Millis) -> Reply {
        self.api.status(job, now, bound)
    }

    /// The API's answer to a call that was refused.
    #[must_use]
    pub fn refused(&self, refusal: &PurgeRefusal) -> Reply {
        self.api.refused(refusal)
    }
}
