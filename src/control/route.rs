//! Which control call a request is: method, path below the prefix, and query.
//!
//! Everything below the prefix belongs to the control API; what it does not know is a 404, never a
//! page of the site.

use crate::cache::tag::Tag;
use crate::http::{Fields, RequestHead};
use crate::journal::audit::AuditRequest;
use crate::journal::history::HistoryRequest;
use crate::journal::schedule_message::ScheduleRequest;

use super::audit;
use super::auth::{MAX_ID_BYTES, TokenScope};
use super::explain::ExplainQuery;
use super::history;
use super::problem::{Problem, ProblemKind};
use super::query::{Query, decode};
use super::scheduled;
use super::stats::StatsQuery;

pub use super::query::{MAX_LIMIT, Paging, percent_decoded};

/// A call to the control API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlCall {
    /// `POST v1/revalidate`.
    Revalidate,
    /// `POST v1/warm`.
    Warm,
    /// `POST v1/workers-cache`: the journal's object asks the entrypoint whose responses Workers
    /// Caching keeps.
    WorkersCache,
    /// `GET v1/jobs/{id}`.
    Job {
        /// The job.
        id: String,
    },
    /// The same with `Accept: text/event-stream`.
    JobEvents {
        /// The job.
        id: String,
    },
    /// `POST v1/jobs/{id}/replay`.
    Replay {
        /// The job.
        id: String,
    },
    /// `GET v1/tags/{tag}/pages`.
    TagPages {
        /// The tag.
        tag: Tag,
        /// Which part of the list.
        paging: Paging,
    },
    /// `GET v1/pages?url=`.
    Pages {
        /// The page's URL, as given; not checked yet.
        url: String,
    },
    /// `GET v1/explain?url=`: what would be done for a request.
    Explain(ExplainQuery),
    /// `GET v1/stats`: what all isolates have counted.
    Stats(StatsQuery),
    /// `GET v1/invalidations`: what was invalidated.
    History(HistoryRequest),
    /// `GET v1/audit`: what audits have found.
    Audit(AuditRequest),
    /// `GET v1/scheduled`: what waits for its time.
    Scheduled(ScheduleRequest),
    /// `DELETE v1/scheduled/{id}`: it will not be done.
    Cancel {
        /// Its id.
        id: String,
    },
    /// `GET metrics`: of the site, or of the isolate that answers.
    Metrics {
        /// Whether the isolate's own are wanted.
        isolate: bool,
    },
    /// `GET healthz`.
    Healthz,
}

impl ControlCall {
    /// What the caller's token must be good for; none if anyone may call.
    #[must_use]
    pub const fn scope(&self) -> Option<TokenScope> {
        match self {
            Self::Revalidate
            | Self::Warm
            | Self::WorkersCache
            | Self::Replay { .. }
            | Self::Cancel { .. } => Some(TokenScope::Revalidate),
            Self::Job { .. }
            | Self::JobEvents { .. }
            | Self::TagPages { .. }
            | Self::Pages { .. }
            | Self::Explain(_)
            | Self::Stats(_)
            | Self::History(_)
            | Self::Audit(_)
            | Self::Scheduled(_)
            | Self::Metrics { .. } => Some(TokenScope::Read),
            Self::Healthz => None,
        }
    }

    /// Whether the call says something in its body.
    #[must_use]
    pub const fn has_body(&self) -> bool {
        matches!(self, Self::Revalidate | Self::Warm | Self::WorkersCache)
    }

    /// The call's name in logs and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Revalidate => "revalidate",
            Self::Warm => "warm",
            Self::WorkersCache => "workers-cache",
            Self::Job { .. } => "job",
            Self::JobEvents { .. } => "job-events",
            Self::Replay { .. } => "replay",
            Self::TagPages { .. } => "tag-pages",
            Self::Pages { .. } => "pages",
            Self::Explain(_) => "explain",
            Self::Stats(_) => "stats",
            Self::History(_) => "invalidations",
            Self::Audit(_) => "audit",
            Self::Scheduled(_) => "scheduled",
            Self::Cancel { .. } => "cancel",
            Self::Metrics { .. } => "metrics",
            Self::Healthz => "healthz",
        }
    }
}

/// The call that a request makes; none if it is not for the control API.
#[must_use]
pub fn route(request: &RequestHead, prefix: &str) -> Option<Result<ControlCall, Problem>> {
    let rest = request.path.strip_prefix(prefix)?;
    if rest.is_empty() {
        return Some(Err(Problem::not_found("call")));
    }
    let path = rest.strip_prefix('/')?;
    Some(below(path, request))
}

fn below(path: &str, request: &RequestHead) -> Result<ControlCall, Problem> {
    let query = Query::parse(request.query.as_deref().unwrap_or_default())?;
    if let Some(rest) = path.strip_prefix("v1/tags/")
        // A tag may hold a slash, encoded or not: everything between is the tag.
        && let Some(tag) = rest.strip_suffix("/pages")
    {
        reading(&request.method)?;
        return tag_pages(tag, &query);
    }
    if let Some(rest) = path.strip_prefix("v1/jobs/") {
        return job(rest, request, &query);
    }
    if let Some(id) = path.strip_prefix("v1/scheduled/") {
        allowed(request.method == "DELETE", "DELETE")?;
        query.only(&[])?;
        let id = named_id(id).ok_or_else(|| Problem::not_found("invalidation"))?;
        return Ok(ControlCall::Cancel { id });
    }
    if let Some(call) = looking(path, &query) {
        reading(&request.method)?;
        return call;
    }
    match path {
        "v1/revalidate" | "v1/warm" | "v1/workers-cache" => {
            writing(&request.method)?;
            query.only(&[])?;
            Ok(match path {
                "v1/warm" => ControlCall::Warm,
                "v1/workers-cache" => ControlCall::WorkersCache,
                _ => ControlCall::Revalidate,
            })
        }
        "v1/pages" => {
            reading(&request.method)?;
            query.only(&["url"])?;
            match query.get("url") {
                Some(url) if !url.is_empty() => Ok(ControlCall::Pages { url: url.to_owned() }),
                Some(_) | None => {
                    let detail = "Name the page: ?url=https://example.com/.";
                    Err(Problem::new(ProblemKind::InvalidValue, detail).at("url"))
                }
            }
        }
        "metrics" => {
            reading(&request.method)?;
            Ok(ControlCall::Metrics { isolate: query.get("isolate").is_some() })
        }
        "healthz" => {
            reading(&request.method)?;
            Ok(ControlCall::Healthz)
        }
        _ => Err(Problem::not_found("call")),
    }
}

/// Calls that look at the site as a whole.
fn looking(path: &str, query: &Query) -> Option<Result<ControlCall, Problem>> {
    Some(match path {
        "v1/explain" => ExplainQuery::parse(query).map(ControlCall::Explain),
        "v1/stats" => StatsQuery::parse(query).map(ControlCall::Stats),
        "v1/invalidations" => history::parse(query).map(ControlCall::History),
        "v1/audit" => audit::parse(query).map(ControlCall::Audit),
        "v1/scheduled" => scheduled::parse(query).map(ControlCall::Scheduled),
        _ => return None,
    })
}

fn tag_pages(tag: &str, query: &Query) -> Result<ControlCall, Problem> {
    query.only(&["cursor", "limit"])?;
    let bad = |why: String| Problem::new(ProblemKind::InvalidValue, why).at("tag");
    let text =
        decode(tag, false).ok_or_else(|| bad("The tag is not percent-encoded UTF-8.".into()))?;
    let tag = Tag::parse(&text).map_err(|error| bad(format!("tag: {error}.")))?;
    Ok(ControlCall::TagPages { tag, paging: query.paging()? })
}

fn job(rest: &str, request: &RequestHead, query: &Query) -> Result<ControlCall, Problem> {
    let (id, replay) = match rest.strip_suffix("/replay") {
        Some(id) => (id, true),
        None => (rest, false),
    };
    let Some(id) = named_id(id) else { return Err(Problem::not_found("job")) };
    if replay {
        writing(&request.method)?;
        query.only(&[])?;
        return Ok(ControlCall::Replay { id });
    }
    reading(&request.method)?;
    query.only(&[])?;
    if wants_events(&request.fields) {
        Ok(ControlCall::JobEvents { id })
    } else {
        Ok(ControlCall::Job { id })
    }
}

fn named_id(text: &str) -> Option<String> {
    decode(text, false).filter(|id| {
        !id.is_empty() && id.len() <= MAX_ID_BYTES && id.bytes().all(|b| b.is_ascii_graphic())
    })
}

/// Whether `Accept` names the event stream with a weight above zero (RFC 9110 §12.5.1).
fn wants_events(fields: &Fields) -> bool {
    fields.all("accept").flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next().is_some_and(|t| t.eq_ignore_ascii_case("text/event-stream"));
        let unwanted = |part: &str| {
            part.split_once('=').is_some_and(|(name, value)| {
                name.trim().eq_ignore_ascii_case("q") && is_zero(value.trim())
            })
        };
        named && !parts.any(unwanted)
    })
}

/// Whether a weight is zero: `0`, with up to three zeros after a point (RFC 9110 §12.4.2).
fn is_zero(weight: &str) -> bool {
    matches!(weight, "0" | "0." | "0.0" | "0.00" | "0.000")
}

fn reading(method: &str) -> Result<(), Problem> {
    allowed(matches!(method, "GET" | "HEAD"), "GET, HEAD")
}

fn writing(method: &str) -> Result<(), Problem> {
    allowed(method == "POST", "POST")
}

fn allowed(is: bool, methods: &'static str) -> Result<(), Problem> {
    if is {
        return Ok(());
    }
    let detail = format!("This call takes {methods}.");
    Err(Problem::new(ProblemKind::MethodNotAllowed, detail).allow(methods))
}
