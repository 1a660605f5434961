//! The purge APIs of other caches, so that a site's purge code works unchanged: each is read into
//! the one typed command of the control API, and answered in its own words, errors too.
//!
//! | file | what it speaks |
//! | --- | --- |
//! | [`cloudflare`] | `purge_cache` and `invalidate_cache` of a zone |
//! | [`fastly`] | purge by key, keys, URL, and of all |
//! | [`cloudfront`], [`sigv4`], `xml` | `CreateInvalidation`, its signature, its XML |
//! | [`keycdn`] | `purgeurl`, `purgetag`, `purge` of a zone |
//! | [`method`] | `PURGE` and `BAN`, as Varnish and nginx know them |
//! | [`named`] | what a call names, gathered into a command |
//! | [`reply`] | answers and refusals |
//!
//! They live below the control prefix (`/__isr/fastly/…`) and at the root of `control_hosts`; `PURGE`
//! and `BAN` on every host. What a pattern says beyond a prefix is widened to the enclosing one, and
//! the answer says so. Nothing here is done: the engine does it, through the journal.

pub mod cloudflare;
pub mod cloudfront;
pub mod fastly;
pub mod keycdn;
pub mod method;
pub mod named;
pub mod reply;
pub mod sigv4;
mod xml;

use crate::base::time::{Millis, Timestamp};
use crate::cache::tag::url_name;
use crate::config::Config;
use crate::control::auth::{AuthError, Caller, TokenScope};
use crate::control::carried::carrier;
use crate::control::problem::{Problem, ProblemKind};
use crate::control::revalidate::RevalidateCommand;
use crate::control::secret::Secrets;
use crate::http::RequestHead;
use crate::journal::JobRecord;

use cloudfront::Batch;
pub use reply::{Outcome, Refusal, Reply};

/// An API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Cloudflare's.
    Cloudflare,
    /// Fastly's.
    Fastly,
    /// Amazon CloudFront's.
    Cloudfront,
    /// KeyCDN's.
    Keycdn,
    /// The method `PURGE`, or its twin by `POST`.
    Purge,
    /// The method `BAN`, or its twin by `POST`.
    Ban,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 6] =
        [Self::Cloudflare, Self::Fastly, Self::Cloudfront, Self::Keycdn, Self::Purge, Self::Ban];

    /// Its name in paths, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cloudflare => "cloudflare",
            Self::Fastly => "fastly",
            Self::Cloudfront => "cloudfront",
            Self::Keycdn => "keycdn",
            Self::Purge => "purge",
            Self::Ban => "ban",
        }
    }

    /// The dialect of a path at the root of a control host.
    fn at_root(path: &str) -> Option<Self> {
        let mut parts = path.split('/');
        match (parts.next()?, parts.next()) {
            ("client", Some("v4")) => Some(Self::Cloudflare),
            ("service" | "purge", Some(_)) => Some(Self::Fastly),
            ("zones", Some(next)) if next.starts_with("purge") => Some(Self::Keycdn),
            ("zones", Some(_)) => Some(Self::Cloudflare),
            (version, Some("distribution")) if cloudfront::is_version(version) => {
                Some(Self::Cloudfront)
            }
            _ => None,
        }
    }
}

/// A call of one of the APIs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The API.
    pub dialect: Dialect,
    /// The path below the API's root, without a slash before it. For [`Dialect::Purge`] and
    /// [`Dialect::Ban`]: host, path and query of the page.
    rest: String,
}

/// An invalidation that a call asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    /// What the journal gets.
    pub command: RevalidateCommand,
    /// What makes a repetition of the call the same call, if the client says it.
    pub receipt: Option<String>,
    /// What the answer has to repeat.
    form: Form,
}

/// What an answer repeats of its call.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// The zone.
    Cloudflare { zone: String },
    /// One purge.
    FastlyOne,
    /// A purge for each key.
    FastlyKeys(Vec<String>),
    /// All.
    FastlyAll,
    /// The batch.
    Cloudfront(Batch),
    /// What was cleared.
    Keycdn(&'static str),
    /// A page or a pattern.
    Method,
}

/// The call that a request makes; none if it is not one. On a control host everything is one, or an
/// error.
#[must_use]
pub fn route(request: &RequestHead, config: &Config) -> Option<Result<Call, Problem>> {
    let call = |dialect, rest: &str| Some(Ok(Call { dialect, rest: rest.to_owned() }));
    if let Some(rest) = request.path.strip_prefix(&config.control_prefix)
        && (rest.is_empty() || rest.starts_with('/'))
    {
        let (name, rest) = rest.strip_prefix('/')?.split_once('/')?;
        let dialect = Dialect::ALL.into_iter().find(|dialect| dialect.as_str() == name)?;
        return match dialect {
            Dialect::Purge | Dialect::Ban => {
                call(dialect, &url_name("", rest, request.query.as_deref()))
            }
            Dialect::Cloudflare | Dialect::Fastly | Dialect::Cloudfront | Dialect::Keycdn => {
                call(dialect, rest)
            }
        };
    }
    let page = || url_name(&request.host, &request.path, request.query.as_deref());
    match request.method.as_str() {
        "PURGE" => return call(Dialect::Purge, &page()),
        "BAN" => return call(Dialect::Ban, &page()),
        _ => {}
    }
    if !config.is_control_host(&request.host) {
        return None;
    }
    let rest = request.path.trim_start_matches('/');
    match Dialect::at_root(rest) {
        Some(dialect) => call(dialect, rest),
        None => Some(Err(Problem::not_found("call"))),
    }
}

/// Who asks by a method or a header that needs no credentials, but a token or a trusted address. A
/// browser is trusted by its token alone: any site can make it send a request.
///
/// # Errors
/// Says why nobody who may ask does.
pub fn trusted_or_carried(
    request: &RequestHead,
    secrets: &Secrets,
    config: &Config,
) -> Result<Caller, AuthError> {
    let fields = &request.fields;
    let from_browser = fields.has("origin") || fields.has("sec-fetch-site");
    match &request.client {
        Some(address) if config.trusts(Some(address)) && !from_browser => {
            Ok(Caller::Trusted { address: address.clone() })
        }
        Some(_) | None if carrier(fields).is_some() => {
            secrets.carried(fields, TokenScope::Revalidate)
        }
        Some(_) | None => Err(AuthError::Missing),
    }
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
        match self.dialect {
            Dialect::Cloudflare | Dialect::Fastly | Dialect::Keycdn => {
                secrets.carried(&request.fields, TokenScope::Revalidate)
            }
            Dialect::Cloudfront => sigv4::verify(request, body, secrets, now),
            Dialect::Purge | Dialect::Ban => trusted_or_carried(request, secrets, config),
        }
    }

    /// Whether the head of the call can be anybody's who may make it. What depends on the body is left to
    /// [`Call::authenticate`].
    ///
    /// # Errors
    /// Says why it can't.
    pub fn claim(
        &self,
        request: &RequestHead,
        secrets: &Secrets,
        config: &Config,
        now: Timestamp,
    ) -> Result<(), AuthError> {
        match self.dialect {
            Dialect::Cloudfront => sigv4::claimed(request, secrets, now),
            Dialect::Cloudflare
            | Dialect::Fastly
            | Dialect::Keycdn
            | Dialect::Purge
            | Dialect::Ban => self.authenticate(request, &[], secrets, config, now).map(drop),
        }
    }

    /// What the call asks for.
    ///
    /// # Errors
    /// The first fault. To be told by [`Call::refused`].
    pub fn read(
        &self,
        request: &RequestHead,
        body: &[u8],
        config: &Config,
    ) -> Result<Purge, Problem> {
        match self.dialect {
            Dialect::Cloudflare => cloudflare::read(&self.rest, request, body, config),
            Dialect::Fastly => fastly::read(&self.rest, request, body, config),
            Dialect::Cloudfront => cloudfront::read(&self.rest, request, body, config),
            Dialect::Keycdn => keycdn::read(&self.rest, request, body, config),
            Dialect::Purge => method::purge(&self.rest, request, config),
            Dialect::Ban => method::ban(&self.rest, request, config),
        }
    }

    /// The invalidation whose status the call asks for, if it does.
    #[must_use]
    pub fn status_of(&self, request: &RequestHead) -> Option<String> {
        match self.dialect {
            Dialect::Cloudfront => cloudfront::status_of(&self.rest, request),
            Dialect::Cloudflare
            | Dialect::Fastly
            | Dialect::Keycdn
            | Dialect::Purge
            | Dialect::Ban => None,
        }
    }

    /// The API's answer to a question for the status of an invalidation, as the journal knows it. After
    /// `bound` every isolate sees it.
    #[must_use]
    pub fn told(&self, job: Option<&JobRecord>, now: Timestamp, bound: Millis) -> Reply {
        cloudfront::status(job, now, bound)
    }

    /// The API's answer to a call that was refused.
    #[must_use]
    pub fn refused(&self, refusal: &Refusal) -> Reply {
        match self.dialect {
            Dialect::Cloudflare => cloudflare::refused(refusal),
            Dialect::Fastly => fastly::refused(refusal),
            Dialect::Cloudfront => cloudfront::refused(refusal),
            Dialect::Keycdn => keycdn::refused(refusal),
            Dialect::Purge | Dialect::Ban => method::refused(refusal),
        }
    }
}

impl Purge {
    /// The API's answer to a call that was done.
    #[must_use]
    pub fn accepted(&self, outcome: &Outcome<'_>) -> Reply {
        let notes = &self.command.notes;
        let reply = match &self.form {
            Form::Cloudflare { zone } => cloudflare::accepted(zone, notes),
            Form::FastlyOne => fastly::accepted_one(outcome),
            Form::FastlyKeys(keys) => fastly::accepted_keys(keys, outcome),
            Form::FastlyAll => fastly::accepted_all(),
            Form::Cloudfront(batch) => cloudfront::accepted(batch, outcome, notes),
            Form::Keycdn(what) => keycdn::accepted(what, notes),
            Form::Method => method::accepted(outcome, notes),
        };
        // The API has no place for it everywhere, and an operator wants to look the job up.
        reply.with("x-edge-isr-job", outcome.id)
    }
}

fn method_must_be(request: &RequestHead, methods: &'static str) -> Result<(), Problem> {
    if methods.split(", ").any(|method| method == request.method) {
        return Ok(());
    }
    let detail = format!("This call takes {methods}.");
    Err(Problem::new(ProblemKind::MethodNotAllowed, detail).allow(methods))
}

/// A name of a zone, service or distribution. Whose it is, is not asked: a worker is one site's.
fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
    (1..=255).contains(&text.len()) && text.bytes().all(plain)
}
