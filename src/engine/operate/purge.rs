//! Other caches' purge APIs at work, and refreshes that a warm-up request forces. Workers Caching:
//! the entrypoint whose responses the platform keeps purges them, for the journal's object.

use std::rc::Rc;

use crate::base::json::{parse_json, write_value};
use crate::base::time::Epoch;
use crate::cache::admission::{self, WARM_UP};
use crate::cache::tag::Target;
use crate::control::auth::TokenScope;
use crate::control::client_tokens::{token_field, trusted_or_token};
use crate::control::problem::{Problem, ProblemKind};
use crate::control::purge_apis::{Call, PurgeCall, PurgeOutcome, PurgeRefusal, Reply};
use crate::control::revalidate::{RevalidateCommand, body_digest};
use crate::engine::bodies::Peer;
use crate::engine::context::Incoming;
use crate::engine::invalidate::append::{InvalidationReceipt, Requester};
use crate::engine::operate::ControlContext;
use crate::engine::operate::answer;
use crate::engine::operate::progress::Tries;
use crate::engine::parts::Operator;
use crate::engine::port::{Platform, PurgeError};
use crate::engine::request_body::peer_of;
use crate::engine::serve::response::{Answer, Body};
use crate::http::cache_status::CacheStatus;
use crate::journal::Mode;
use serde_json::Value;

impl<P: Platform> Operator<P> {
    /// Answers a call of another cache's API in its own words.
    pub(crate) async fn translate(
        &self,
        incoming: Incoming<P>,
        call: &Call,
        control: &ControlContext<'_>,
    ) -> Answer<P> {
        let reply = match self.translated(incoming, call, control).await {
            Ok(reply) => reply,
            Err(refusal) => {
                self.context.control_refused(call.api.name(), &refusal.problem());
                call.refused(&refusal)
            }
        };
        let cache_status = CacheStatus::default().detail("control");
        Answer::new(reply.status, reply.fields, Body::Whole(P::chunk(&reply.body)), cache_status)
    }

    async fn translated(
        &self,
        mut incoming: Incoming<P>,
        call: &Call,
        control: &ControlContext<'_>,
    ) -> Result<Reply, PurgeRefusal> {
        let platform = &self.context.platform;
        let head = Rc::clone(&incoming.head);
        let (head, config) = (&head, self.context.config());
        // Who can't prove anything is refused before the body is read.
        let proved = call.claim(head, control.secrets, config, platform.now())?;
        let peer = if proved { Peer::Known } else { peer_of(head) };
        let body = self.body(head, peer, incoming.body.take(), |_| {}).await?;
        let caller = call.authenticate(head, &body, control.secrets, config, platform.now())?;
        if let Some(id) = call.status_of(head) {
            let job = self.job(&id, Tries::Twice).await?;
            return Ok(call.status(job.as_ref(), platform.now(), config.max_lag));
        }
        let purge = call.read(head, &body, config)?;
        let id = match &purge.receipt {
            Some(receipt) => format!("{}:{receipt}", call.api.name()),
            None => platform.unique(),
        };
        let requester = Requester { caller: caller.name(), via: call.api.name(), counted: false };
        let epoch = self.record_purge(&purge, &id, requester).await?;
        Ok(purge.accepted(&PurgeOutcome { id: &id, epoch, at: platform.now() }))
    }

    async fn record_purge(
        &self,
        purge: &PurgeCall,
        id: &str,
        requester: Requester<'_>,
    ) -> Result<Epoch, Problem> {
        let command = &purge.command;
        // The body may differ in its form where it asks for the same.
        let canonical = serde_json::to_vec(&(&command.targets, command.mode)).unwrap_or_default();
        let digest = body_digest(&canonical);
        let recorded =
            self.invalidator.invalidate(command, id.to_owned(), digest, requester).await?;
        let (InvalidationReceipt::New { epoch, .. } | InvalidationReceipt::Repeated { epoch }) =
            recorded;
        Ok(epoch)
    }

    /// Applies a warm-up request of somebody who may make one: the page counts as stale from now
    /// on, so that the request refreshes it. From anybody else, and beyond what an isolate does in
    /// a second, it is a request like any other.
    pub async fn apply_warm_up(
        &self,
        incoming: Incoming<P>,
        control: &ControlContext<'_>,
    ) -> Incoming<P> {
        let platform = &self.context.platform;
        let head = &incoming.head;
        if !head.fields.has(WARM_UP) || head.method != "GET" {
            return incoming;
        }
        let config = self.context.config();
        let Ok(caller) = trusted_or_token(head, control.secrets, config) else { return incoming };
        let page = admission::page(head, config.route(&head.host, &head.path), config);
        let name = page.purge_name();
        if self.context.isolate().borrow_mut().claim_forced(&name, platform.now()) {
            let command = RevalidateCommand {
                mode: Mode::Soft,
                // The request itself is what warms the page.
                warm: false,
                reason: "warm-up".to_owned(),
                ..RevalidateCommand::of(vec![Target::Url(name)])
            };
            let requester = Requester { caller: caller.name(), via: "warm-up", counted: false };
            let (id, digest) = (platform.unique(), String::new());
            // A journal out of reach was logged, and the request is answered all the same.
            let _ = self.invalidator.invalidate(&command, id, digest, requester).await;
        }
        // Credentials for the edge are none for the page.
        let mut head = (*incoming.head).clone();
        if control.secrets.client_token(&head.fields, TokenScope::Revalidate).is_ok()
            && let Some(name) = token_field(&head.fields)
        {
            head.fields.remove(name);
        }
        Incoming { head: Rc::new(head), ..incoming }
    }
}

impl<P: Platform> Operator<P> {
    /// Purges by the options in a call's body; what is soft is marked as stale, where the platform
    /// can do that.
    pub(super) async fn purge_workers_cache(&self, body: &[u8]) -> Result<Answer<P>, Problem> {
        let platform = &self.context.platform;
        let Ok(Value::Object(mut options)) = parse_json(body) else {
            let detail = "Send the options of a purge as an object in JSON.";
            return Err(Problem::new(ProblemKind::MalformedBody, detail));
        };
        let soft = options.remove("mode").is_some_and(|mode| mode.as_str() == Some("soft"));
        let options = write_value(&Value::Object(options));
        let mut done = platform.purge_workers_cache(soft, &options).await;
        if soft && done == Err(PurgeError::Absent) {
            done = platform.purge_workers_cache(false, &options).await;
        }
        let failed = |kind, detail: &str| Err(Problem::new(kind, detail));
        match done {
            Ok(()) => Ok(answer(204, Vec::new())),
            Err(PurgeError::Absent) => {
                failed(ProblemKind::Unsupported, "The runtime has no Workers Caching.")
            }
            Err(PurgeError::Limited) => {
                failed(ProblemKind::TooManyRequests, "Workers Caching did not purge.")
            }
            Err(PurgeError::Failed) => Err(Problem::not_recorded("workers-cache-failed")),
        }
    }
}
