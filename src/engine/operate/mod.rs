//! Performs the calls of the control API that `control` has parsed and allowed.

mod explain;
mod health;
mod history;
mod inspect;
mod order;
mod progress;
mod purge;
mod schedule;
mod stats;

use std::rc::Rc;

use futures_util::future::join_all;

use crate::base::time::Millis;
use crate::config::Config;
use crate::control::auth::{Caller, Claim};
use crate::control::healthz::HealthReason;
use crate::control::problem::{Problem, ProblemKind};
use crate::control::reply::{Accepted, json, json_fields};
use crate::control::revalidate::RevalidateCommand;
use crate::control::route::{ControlCall, route};
use crate::control::secret::Secrets;
use crate::control::targets::page_query;
use crate::control::{purge_apis, reply, revalidate};
use crate::engine::bodies::Peer;
use crate::engine::context::Incoming;
use crate::engine::fill::buffer::BodyBuffer;
use crate::engine::fill::reader::BodyReader;
use crate::engine::invalidate::append::{InvalidationReceipt, Requester};
use crate::engine::operate::progress::{OF_JOURNAL, Questions, Tries};
use crate::engine::parts::Operator;
use crate::engine::port::Platform;
use crate::engine::request_body::{NotArrived, peer_of};
use crate::engine::retry;
use crate::engine::serve::response::{Answer, Body};
use crate::http::RequestHead;
use crate::http::cache_status::CacheStatus;
use crate::http::head::stated_length;
use crate::index::{ShardCall, ShardReply};

/// What the control API goes by beside the settings.
pub struct ControlContext<'a> {
    /// Webhook keys and tokens.
    pub secrets: &'a Secrets,
    /// What is wrong with the worker's settings.
    pub problems: &'a [HealthReason],
}

/// A call to the edge itself.
pub enum OwnCall {
    /// Of the control API, or one that it refuses.
    Control(Result<ControlCall, Problem>),
    /// Of another cache's API.
    PurgeApi(purge_apis::Call),
}

/// Questions in a row that a stream of progress gets no answer to before it ends.
const MAX_FAILURES: u32 = 5;
/// The longest a stream of progress lasts.
const STREAM_LIMIT: Millis = Millis(600_000);

/// The call to the edge itself that a request makes, if it is one.
#[must_use]
pub fn own_call(request: &RequestHead, config: &Config) -> Option<OwnCall> {
    match purge_apis::route(request, config) {
        Some(Ok(call)) => Some(OwnCall::PurgeApi(call)),
        Some(Err(problem)) => Some(OwnCall::Control(Err(problem))),
        None => route(request, &config.control_prefix).map(OwnCall::Control),
    }
}

impl<P: Platform> Operator<P> {
    /// Answers a call to the edge itself.
    pub async fn operate(
        &self,
        incoming: Incoming<P>,
        call: OwnCall,
        control: &ControlContext<'_>,
    ) -> Answer<P> {
        match call {
            OwnCall::Control(call) => self.control(incoming, call, control).await,
            OwnCall::PurgeApi(call) => self.translate(incoming, &call, control).await,
        }
    }

    async fn control(
        &self,
        incoming: Incoming<P>,
        call: Result<ControlCall, Problem>,
        control: &ControlContext<'_>,
    ) -> Answer<P> {
        let name = call.as_ref().map_or("unknown", ControlCall::as_str);
        let answer = match call {
            Ok(call) => self.allowed(incoming, call, control).await,
            Err(problem) => Err(problem),
        };
        answer.unwrap_or_else(|problem| {
            self.context.control_refused(name, &problem);
            Answer::problem(&problem, CacheStatus::default().detail("control"))
        })
    }

    async fn allowed(
        &self,
        mut incoming: Incoming<P>,
        call: ControlCall,
        control: &ControlContext<'_>,
    ) -> Result<Answer<P>, Problem> {
        let head = Rc::clone(&incoming.head);
        // Who can't prove anything is refused before the body is read; and only a body that is
        // looked at is read.
        let (caller, body) = match call.scope() {
            Some(scope) => {
                let mut claim =
                    control.secrets.claim(&head.fields, scope, self.context.platform.now())?;
                let needed = call.has_body() || matches!(claim, Claim::Signed(_));
                let stream = incoming.body.take().filter(|_| needed);
                let peer = match claim {
                    Claim::Proved(_) => Peer::Known,
                    Claim::Signed(_) => peer_of(&head),
                };
                let see = |piece: &[u8]| claim.update(piece);
                let body = self.body(&head, peer, stream, see).await?;
                (Some(claim.finish()?), body)
            }
            None => (None, Vec::new()),
        };
        match (call, caller) {
            (ControlCall::Revalidate, Some(caller)) => self.revalidate(&body, &caller).await,
            (ControlCall::Job { id }, _) => {
                let job = self.progress(&id, Tries::Twice).await?;
                Ok(answer(200, json(&job)))
            }
            (ControlCall::JobEvents { id }, _) => self.stream_progress(id).await,
            (ControlCall::Replay { id }, _) => self.replay(id).await,
            (ControlCall::TagPages { tag, paging }, _) => {
                let pages = self.tag_pages(tag, &paging).await?;
                Ok(answer(200, json(&pages)))
            }
            (ControlCall::Pages { url }, _) => {
                let pages = self.pages_of(&url).await?;
                Ok(answer(200, json(&pages)))
            }
            (ControlCall::WorkersCache, _) => self.purge_workers_cache(&body).await,
            (ControlCall::Warm, _) => self.order_warms(&body).await,
            (ControlCall::Metrics { isolate: true }, _) => Ok(self.metrics().await),
            (ControlCall::Metrics { isolate: false }, _) => self.site_metrics().await,
            (ControlCall::Explain(query), _) => self.explain(&query).await,
            (ControlCall::Stats(query), _) => self.stats(&query).await,
            (ControlCall::History(request), _) => self.history(request).await,
            (ControlCall::Audit(request), _) => self.audit(request).await,
            (ControlCall::Scheduled(request), _) => self.scheduled(request).await,
            (ControlCall::Cancel { id }, _) => self.cancel(id).await,
            (ControlCall::Healthz, _) => self.healthz(&head, control).await,
            (ControlCall::Revalidate, None) => {
                Err(Problem::new(ProblemKind::NotAuthenticated, "Credentials are missing."))
            }
        }
    }

    /// Puts the failed pages of a job into the warm queues again.
    async fn replay(&self, job: String) -> Result<Answer<P>, Problem> {
        let replies = self.ask_all(&ShardCall::Replay { job }).await?;
        let counts = replies
            .iter()
            .map(|reply| if let ShardReply::Replayed { count } = reply { *count } else { 0 });
        let count: u64 = counts.sum();
        Ok(answer(202, json(&serde_json::json!({ "replayed": count }))))
    }

    /// The whole of a call's body; `see` is shown each piece as it arrives.
    pub(crate) async fn body(
        &self,
        head: &RequestHead,
        peer: Peer,
        stream: Option<P::Stream>,
        mut see: impl FnMut(&[u8]),
    ) -> Result<Vec<u8>, Problem> {
        let Some(stream) = stream else { return Ok(Vec::new()) };
        if let Some(length) = stated_length(&head.fields) {
            revalidate::check_length(usize::try_from(length).unwrap_or(usize::MAX))?;
        }
        let most = revalidate::MAX_BODY_BYTES;
        let see = |piece: &P::Chunk| see(&P::bytes(piece));
        let body = self.context.read_request_body(peer, stream, most, see);
        match body.await {
            Ok(body) => Ok(P::bytes(&body)),
            Err(NotArrived::TooLarge(length)) => {
                revalidate::check_length(length)?;
                Ok(Vec::new())
            }
            Err(NotArrived::GivenUp) => Err(Problem::refused(503, "bodies-in-progress")),
            Err(NotArrived::Late) => Err(Problem::refused(408, "upload-timeout")),
            Err(NotArrived::Broken) => {
                let detail = "The body did not arrive whole.";
                Err(Problem::new(ProblemKind::MalformedBody, detail))
            }
        }
    }

    async fn revalidate(&self, body: &[u8], caller: &Caller) -> Result<Answer<P>, Problem> {
        let config = self.context.config();
        let command =
            revalidate::parse(body, config, &page_query(config), self.context.platform.now())?;
        if command.dry_run {
            return self.count_pages(command).await;
        }
        let id = match caller {
            Caller::Webhook { id } => id.clone(),
            Caller::Token { .. } | Caller::Trusted { .. } => self.context.platform.unique(),
        };
        let body_digest = revalidate::body_digest(body);
        let requester = Requester { caller: caller.name(), via: "control", counted: true };
        if let Some(at) = command.at {
            return self.schedule(command, (id, at), body_digest, requester).await;
        }
        let recorded =
            self.invalidator.invalidate(&command, id.clone(), body_digest, requester).await?;
        let (epoch, pages, warming, unknown, repeated) = match recorded {
            InvalidationReceipt::New { epoch, pages, warming, unknown } => {
                (epoch, pages, warming, unknown, false)
            }
            InvalidationReceipt::Repeated { epoch } => (epoch, None, None, 0, true),
        };
        let (pages, warming) = self.wait(&id, command.wait, (pages, warming)).await;
        let notes = command.notes;
        let accepted =
            Accepted { id, epoch, pages, warming, unknown, dry_run: false, repeated, notes };
        Ok(answer(202, json(&accepted)))
    }

    /// Waits for a job's warms for at most `wait`; what is known of the pages by then.
    async fn wait(
        &self,
        id: &str,
        wait: Millis,
        known: (Option<u64>, Option<u64>),
    ) -> (Option<u64>, Option<u64>) {
        let platform = &self.context.platform;
        let began = platform.now();
        let mut known = known;
        let objects = u32::from(self.shards().await) + OF_JOURNAL;
        let mut questions = Questions::after(objects);
        while platform.now().since(began) < wait {
            let elapsed = platform.now().since(began);
            let Some(pause) = questions.next(objects, elapsed) else { break };
            platform.sleep(pause).await;
            let Ok(job) = self.progress(id, Tries::Once).await else { continue };
            // A part is not shown as if it were all.
            if job.complete {
                known = (Some(job.pages), Some(job.queued + job.running));
            }
            if job.ended() {
                break;
            }
        }
        known
    }

    async fn count_pages(&self, command: RevalidateCommand) -> Result<Answer<P>, Problem> {
        let call = ShardCall::Count { targets: command.targets };
        let replies = self.ask_all(&call).await?;
        let mut pages = Some(0);
        for reply in replies {
            pages = match (pages, reply) {
                (Some(sum), ShardReply::Counted { pages, complete: true }) => Some(sum + pages),
                _ => None,
            };
        }
        let accepted = Accepted {
            id: String::new(),
            epoch: self.invalidator.ensure_stamp().await,
            pages,
            warming: Some(0),
            unknown: 0,
            dry_run: true,
            repeated: false,
            notes: command.notes,
        };
        Ok(answer(200, json(&accepted)))
    }

    async fn stream_progress(&self, id: String) -> Result<Answer<P>, Problem> {
        let platform = &self.context.platform;
        let first = self.progress(&id, Tries::Twice).await?;
        let began = platform.now();
        let stream = BodyBuffer::new(began);
        self.context.isolate().borrow_mut().watch_buffer(&stream);
        let reader = BodyReader::of_buffer(&stream, true, STREAM_LIMIT, began);
        stream.open_window();
        stream.push(P::chunk(&first.event()), began);
        let objects = u32::from(self.shards().await) + OF_JOURNAL;
        let (operator, on) = (self.clone(), Rc::clone(platform));
        platform.spawn(async move {
            let mut last = first;
            let (mut questions, mut failures) = (Questions::after(objects), 0);
            // Nobody reads any more: nothing is sent any more.
            while !last.ended() && stream.backlog().is_some() {
                let elapsed = on.now().since(began);
                let pause = questions.next(objects, elapsed).filter(|_| elapsed < STREAM_LIMIT);
                let reason = match pause {
                    Some(_) if failures >= MAX_FAILURES => "index-unreachable",
                    Some(pause) => {
                        on.sleep(pause).await;
                        match operator.progress(&id, Tries::Once).await {
                            Ok(job) if job != last => {
                                failures = 0;
                                stream.push(P::chunk(&job.event()), on.now());
                                last = job;
                            }
                            Ok(_) => failures = 0,
                            Err(_) => failures += 1,
                        }
                        continue;
                    }
                    None => "time-is-up",
                };
                stream.push(P::chunk(&reply::pause_event(reason)), on.now());
                break;
            }
            stream.finish(Ok(()), on.now());
        });
        let cache_status = CacheStatus::default().detail("control");
        let body = reader.map_or(Body::Empty, Body::Fill);
        Ok(Answer::new(200, reply::event_stream_fields(), body, cache_status))
    }

    /// Asks every shard the same.
    pub(crate) async fn ask_all(&self, call: &ShardCall) -> Result<Vec<ShardReply>, Problem> {
        self.ask_each(call, Tries::Twice).await
    }

    async fn ask_each(&self, call: &ShardCall, tries: Tries) -> Result<Vec<ShardReply>, Problem> {
        let platform = &self.context.platform;
        let shards = self.shards().await;
        let calls = (0..shards).map(|n| async move {
            match tries {
                Tries::Once => platform.shard(n, call.clone()).await,
                Tries::Twice => retry::shard(&**platform, n, call.clone()).await,
            }
        });
        let replies = (0..shards).zip(join_all(calls).await).map(|(shard, reply)| {
            reply.map_err(|error| {
                self.context.shard_failed(shard, "ask-all", &error);
                Problem::not_recorded("index-unreachable")
            })
        });
        replies.collect()
    }

    /// How many shards may know something; while the journal is out of reach, which is reported
    /// elsewhere, those of the settings.
    pub(crate) async fn shards(&self) -> u16 {
        self.journal_status().await.shards.max(self.context.config().shards)
    }
}

pub(crate) fn answer<P: Platform>(status: u16, body: Vec<u8>) -> Answer<P> {
    let cache_status = CacheStatus::default().detail("control");
    Answer::new(status, json_fields(), Body::Whole(P::chunk(&body)), cache_status)
}
