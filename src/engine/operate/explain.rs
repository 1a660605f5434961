//! What would be done for a request, and why: by the decisions that serve visitors, with nothing
//! done.
//!
//! It speaks for the isolate that answers: what another colo has stored is explanation from the
//! index. It may ask the journal for news, as a visitor's request would. Nothing of the origin is
//! asked, so what its answer would be, and whether that may be stored, it can't say.

use std::rc::Rc;

use crate::base::time::Timestamp;
use crate::cache::Validity;
use crate::cache::admission::{Admission, Admitted, Pass, Refusal, admit};
use crate::cache::compose::shell::is_stored_shell;
use crate::cache::entry::Entry;
use crate::cache::esi;
use crate::cache::forward::{add_selecting, cacheable_request_fields};
use crate::control::explain::{
    ExplainQuery, ExplainedAction, Explanation, KnownValidity, KnownVariant, MadeOf, StoredHere,
    WithheldNames, steps,
};
use crate::control::problem::{Problem, ProblemKind};
use crate::control::reply::json;
use crate::engine::context::Incoming;
use crate::engine::operate::answer;
use crate::engine::parts::{Operator, Server};
use crate::engine::port::Platform;
use crate::engine::retry;
use crate::engine::serve::decision::{Decided, Decision};
use crate::engine::serve::lookup::Look;
use crate::engine::serve::response::Answer;
use crate::http::cache_status::CacheStatus;
use crate::http::{RequestHead, cookie};
use crate::index::{PageInfo, ShardCall, ShardReply};
use crate::journal::view::{Verdict, ViewHealth};

impl<P: Platform> Operator<P> {
    /// Explains what would be done for a request.
    pub(super) async fn explain(&self, query: &ExplainQuery) -> Result<Answer<P>, Problem> {
        let head = request_of(query).ok_or_else(|| {
            let detail = "url is an absolute http or https URL.";
            Problem::new(ProblemKind::InvalidValue, detail).at("url")
        })?;
        let explanation = self.explained(head, &query.url).await;
        Ok(answer(200, json(&explanation)))
    }

    async fn explained(&self, head: RequestHead, url: &str) -> Explanation {
        let incoming = Incoming { head: Rc::new(head), body: None, client_accept_encoding: None };
        let config = self.context.config();
        let mut explanation = Explanation {
            method: incoming.head.method.clone(),
            url: url.to_owned(),
            at: self.context.platform.now(),
            ..Explanation::default()
        };
        match admit(&incoming.head, config) {
            Admission::Refuse(refusal) => refused(&mut explanation, refusal),
            Admission::Pass(pass) => {
                explanation.rule = Some(config.rule_name(config.place_of(pass.route)));
                passes(&mut explanation, &pass);
            }
            Admission::Serve(admitted) => {
                explanation.rule = Some(config.rule_name(config.place_of(&admitted.route)));
                let mut decided = self.server.decision(&incoming, &admitted, Look::Peek).await;
                decided.decision =
                    Server::decision_of_shell(&incoming, &admitted, decided.decision);
                self.explain_cached(&mut explanation, &incoming, &admitted, &decided).await;
            }
        }
        explanation.steps = steps(&explanation);
        explanation
    }

    /// What was decided, and what the index knows beside it.
    async fn explain_cached(
        &self,
        explanation: &mut Explanation,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        decided: &Decided<P>,
    ) {
        let status = decided.decision.cache_status();
        explanation.at = decided.now;
        explanation.action = match &decided.decision {
            Decision::Fresh(..) | Decision::FromColo(..) => ExplainedAction::Hit,
            Decision::Stale(..) => ExplainedAction::Stale,
            Decision::Bypass(_) => ExplainedAction::Bypass,
            Decision::Range(_) => ExplainedAction::Range,
            Decision::Fetch(_) => ExplainedAction::Fetch,
            Decision::OnlyIfCached => ExplainedAction::OnlyIfCached,
        };
        explanation.reason.clone_from(&status.detail);
        explanation.cache_status = status.to_string();
        explanation.page = Some(admitted.page.url());
        explanation.key = Some(admitted.key.as_str().to_owned());
        explanation.journal = Some(health_name(decided.health));
        explanation.stored = decided
            .stored
            .as_ref()
            .map(|(page, validity)| stored_here(&page.entry, known(*validity), decided.now));
        explanation.made_of = made_of(admitted, &decided.decision);
        let pages = self.known_pages(admitted).await;
        let mut vary: Vec<String> = pages.iter().flat_map(|page| page.vary.clone()).collect();
        vary.sort();
        vary.dedup();
        explanation.not_forwarded = self.not_forwarded(incoming, admitted, &vary);
        for page in &pages {
            explanation.variants.extend(self.known_variants(incoming, admitted, page, decided));
        }
    }

    /// What the page's shard knows of the page; nothing while it is out of reach, which is
    /// explanation otherwise.
    async fn known_pages(&self, admitted: &Admitted<'_>) -> Vec<PageInfo> {
        let shard = admitted.key.digest().shard(self.context.config().shards);
        let call = ShardCall::PagesByUrl { url: admitted.page.purge_name() };
        match retry::shard(&*self.context.platform, shard, call).await {
            Ok(ShardReply::Pages { mut pages, .. }) => {
                pages.retain(|page| page.key == admitted.key);
                pages
            }
            Ok(_) => Vec::new(),
            Err(error) => {
                self.context.shard_failed(shard, "explain", &error);
                Vec::new()
            }
        }
    }

    fn known_variants(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        page: &PageInfo,
        decided: &Decided<P>,
    ) -> Vec<KnownVariant> {
        let targets = page.page.targets(&page.tags);
        let max_lag = self.invalidator.max_lag(admitted);
        let view = &self.context.isolate().borrow().view;
        let variants = page.variants.iter().filter(|variant| variant.fence > 0);
        let known = variants.map(|variant| {
            let (health, now) = (decided.health, decided.now);
            let verdict = view.validity(&targets, variant.stamp, health, now, max_lag);
            KnownVariant {
                vary: variant.selection.0.clone(),
                selected: self.context.selects(incoming, admitted, &variant.selection),
                status: variant.status,
                epoch: variant.stamp,
                fresh_until: variant.fresh_until,
                keep_until: variant.keep_until,
                l2: variant.l2_key.is_some(),
                validity: match verdict {
                    Verdict::Known(validity) => known(validity),
                    Verdict::Unknown => KnownValidity { is: "unknown", epoch: None },
                },
            }
        });
        known.collect()
    }

    fn not_forwarded(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        vary: &[String],
    ) -> WithheldNames {
        let head = &incoming.head;
        let facts = self.context.facts(incoming, false);
        let mut sent = cacheable_request_fields(head, admitted, &facts);
        add_selecting(&mut sent, head, vary);
        let mut fields: Vec<String> = head.fields.iter().map(|(name, _)| name.to_owned()).collect();
        fields.retain(|name| name != "cookie" && !sent.has(name));
        fields.sort();
        fields.dedup();
        let cookies = cookie::cookies(&head.fields).into_iter().map(|(name, _)| name.to_owned());
        let kept = cookie::cookies(&sent).into_iter().map(|(name, _)| name.to_owned());
        let kept: Vec<String> = kept.collect();
        let names = |query: Option<&str>| -> Vec<String> {
            let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
            pairs.map(|pair| pair.split('=').next().unwrap_or_default().to_owned()).collect()
        };
        let counts = names(admitted.page.query.as_deref());
        let mut query = names(head.query.as_deref());
        query.retain(|name| !counts.contains(name));
        WithheldNames { query, fields, cookies: cookies.filter(|it| !kept.contains(it)).collect() }
    }
}

/// What is made of a stored response before it leaves.
fn made_of<P: Platform>(admitted: &Admitted<'_>, decision: &Decision<P>) -> Option<MadeOf> {
    let (Decision::Fresh(page, ..) | Decision::Stale(page, ..)) = decision else { return None };
    if is_stored_shell(&page.entry) {
        Some(MadeOf::Shell)
    } else if esi::applies(&admitted.route, &page.entry.fields) {
        Some(MadeOf::Includes)
    } else {
        None
    }
}

fn refused(explanation: &mut Explanation, refusal: Refusal) {
    explanation.action = ExplainedAction::Refuse;
    explanation.reason = Some(refusal.as_str().to_owned());
    explanation.cache_status = CacheStatus::default().detail(refusal.as_str()).to_string();
}

fn passes(explanation: &mut Explanation, pass: &Pass<'_>) {
    let reason = pass.reason.as_str();
    explanation.action = ExplainedAction::Pass;
    explanation.reason = Some(reason.to_owned());
    explanation.cache_status =
        CacheStatus::forwarded(pass.reason.forward()).detail(reason).to_string();
    explanation.page = Some(pass.page.url());
}

/// The request that a query is about.
fn request_of(query: &ExplainQuery) -> Option<RequestHead> {
    let url = url::Url::parse(&query.url).ok()?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let name = url.host_str()?;
    let host = url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
    Some(RequestHead {
        method: query.method.clone(),
        scheme: url.scheme().to_owned(),
        host,
        path: url.path().to_owned(),
        query: url.query().map(str::to_owned),
        fields: query.fields.clone(),
        client: None,
    })
}

fn stored_here(entry: &Entry, validity: KnownValidity, now: Timestamp) -> StoredHere {
    StoredHere {
        status: entry.status,
        fetched: entry.response_time,
        age: entry.age(now).0,
        lifetime: entry.freshness.lifetime.0,
        stale_while_revalidate: entry.freshness.stale_while_revalidate.0,
        stale_if_error: entry.freshness.stale_if_error.0,
        epoch: entry.stamp,
        tags: entry.tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
        validity,
    }
}

fn known(validity: Validity) -> KnownValidity {
    let is = match validity {
        Validity::Current => "current",
        Validity::JournalLost => "journal-lost",
        Validity::JournalLostTooLong => "journal-lost-too-long",
        Validity::Soft { .. } => "invalidated",
        Validity::Hard { .. } => "invalidated-hard",
        Validity::SoftUnprovable { .. } => "unprovable-soft",
        Validity::Unprovable { .. } => "unprovable",
    };
    let epoch = Some(validity.need()).filter(|epoch| epoch.0 > 0);
    KnownValidity { is, epoch }
}

fn health_name(health: ViewHealth) -> &'static str {
    match health {
        ViewHealth::Cold => "cold",
        ViewHealth::Recent { .. } => "recent",
        ViewHealth::Outdated => "outdated",
        ViewHealth::JournalLost => "lost",
        ViewHealth::JournalLostTooLong => "lost-too-long",
    }
}
