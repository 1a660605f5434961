//! What a purge API is to the rest of the edge: its name, where its calls are, who may make them,
//! what they say, and how they are answered.

use std::fmt;

use serde_json::Value;

use crate::base::json::parse_json;
use crate::base::time::{Millis, Timestamp};
use crate::config::Config;
use crate::control::auth::{AuthError, Caller, TokenScope};
use crate::control::problem::{Problem, ProblemKind};
use crate::control::revalidate::RevalidateCommand;
use crate::control::secret::Secrets;
use crate::http::RequestHead;
use crate::journal::JobRecord;

use super::reply::{PurgeOutcome, PurgeRefusal, Reply};

/// Whose call it is, and what it is proved with.
#[derive(Clone, Copy)]
pub struct CallCredentials<'a> {
    /// The call's head.
    pub request: &'a RequestHead,
    /// Its body.
    pub body: &'a [u8],
    /// The secrets of those who may call.
    pub secrets: &'a Secrets,
    /// The settings.
    pub config: &'a Config,
    /// When it came.
    pub now: Timestamp,
}

/// A purge API.
pub trait PurgeApi: Sync {
    /// Its name in paths, logs and metrics.
    fn name(&self) -> &'static str;

    /// Whether a path at the root of a control host that begins with these segments is a call of
    /// it.
    fn is_at(&self, first: &str, second: &str) -> bool {
        let _ = (first, second);
        false
    }

    /// The method by which every host takes calls of it, if there is one. What such a call is about
    /// is the page at which it is sent.
    fn method(&self) -> Option<&'static str> {
        None
    }

    /// Who makes a call, if they may: with a token, in the fields in which APIs carry them.
    ///
    /// # Errors
    /// Says why they may not.
    fn authenticate(&self, evidence: &CallCredentials<'_>) -> Result<Caller, AuthError> {
        evidence.secrets.client_token(&evidence.request.fields, TokenScope::Revalidate)
    }

    /// Whether the head of a call can be anybody's who may make it, and proves it: false if that
    /// depends on the body too, and is left to [`PurgeApi::authenticate`].
    ///
    /// # Errors
    /// Says why it can't.
    fn claim(&self, evidence: &CallCredentials<'_>) -> Result<bool, AuthError> {
        self.authenticate(evidence).map(|_| true)
    }

    /// What a call asks for. `rest` is the path below the API's root, without a slash before it;
    /// for an API with a
    /// [`PurgeApi::method`]: host, path and query of the page.
    ///
    /// # Errors
    /// The first fault, for [`PurgeApi::refused`] to answer.
    fn read(
        &self,
        rest: &str,
        request: &RequestHead,
        body: &[u8],
        config: &Config,
    ) -> Result<PurgeCall, Problem>;

    /// The answer to a call that was refused.
    fn refused(&self, refusal: &PurgeRefusal) -> Reply;

    /// The invalidation whose status a call asks for, if it does.
    fn status_of(&self, rest: &str, request: &RequestHead) -> Option<String> {
        let _ = (rest, request);
        None
    }

    /// The answer to a question for the status of an invalidation, as the journal knows it. After
    /// `bound` every isolate sees it.
    fn status(&self, job: Option<&JobRecord>, now: Timestamp, bound: Millis) -> Reply {
        let _ = (job, now, bound);
        self.refused(&Problem::not_found("job").into())
    }
}

/// An API's answer to a call that was done; the texts are notes on what was widened.
pub(super) type AcceptedReply = Box<dyn Fn(&PurgeOutcome<'_>, &[String]) -> Reply>;

/// An invalidation that a call asks for.
pub struct PurgeCall {
    /// What the journal gets.
    pub command: RevalidateCommand,
    /// What makes a repetition of the call the same call, if the client says it.
    pub receipt: Option<String>,
    accepted: AcceptedReply,
}

impl fmt::Debug for PurgeCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Purge").field(&self.command).field(&self.receipt).finish()
    }
}

impl PurgeCall {
    /// An invalidation, and its answer.
    pub(super) fn new(
        command: RevalidateCommand,
        accepted: impl Fn(&PurgeOutcome<'_>, &[String]) -> Reply + 'static,
    ) -> Self {
        Self { command, receipt: None, accepted: Box::new(accepted) }
    }

    /// The same, with what makes a repetition the same call.
    pub(super) fn with_receipt(self, receipt: String) -> Self {
        Self { receipt: Some(receipt), ..self }
    }

    /// The API's answer to a call that was done.
    #[must_use]
    pub fn accepted(&self, outcome: &PurgeOutcome<'_>) -> Reply {
        let reply = (self.accepted)(outcome, &self.command.notes);
        // The API has no place for it everywhere, and an operator wants to look the job up.
        reply.with("x-edge-isr-job", outcome.id)
    }
}

pub(super) fn method_must_be(request: &RequestHead, methods: &'static str) -> Result<(), Problem> {
    if methods.split(", ").any(|method| method == request.method) {
        return Ok(());
    }
    let detail = format!("This call takes {methods}.");
    Err(Problem::new(ProblemKind::MethodNotAllowed, detail).allow(methods))
}

/// The JSON that a call has as its body.
pub(super) fn json_of(body: &[u8]) -> Result<Value, Problem> {
    parse_json(body).map_err(|error| {
        Problem::new(ProblemKind::MalformedBody, format!("The body is not JSON: {error}."))
    })
}

/// A name of a zone, service or distribution. Whose it is, is not asked: a worker is one site's.
pub(super) fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
    (1..=255).contains(&text.len()) && text.bytes().all(plain)
}
