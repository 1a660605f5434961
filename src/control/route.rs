//! Which control call a request is: method, path below the prefix, and query.
//!
//! Everything below the prefix belongs to the control API; what it does not know is a 404, never a
//! page of the site.

use crate::cache::tag::Tag;
use crate::http::{Fields, RequestHead};

use super::auth::{MAX_ID_BYTES, TokenScope};
use super::problem::{Problem, ProblemKind};

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
    /// `GET metrics`.
    Metrics,
    /// `GET healthz`.
    Healthz,
}

impl ControlCall {
    /// What the caller's token must be good for; none if anyone may call.
    #[must_use]
    pub const fn scope(&self) -> Option<TokenScope> {
        match self {
            Self::Revalidate | Self::Warm | Self::WorkersCache | Self::Replay { .. } => {
                Some(TokenScope::Revalidate)
            }
            Self::Job { .. }
            | Self::JobEvents { .. }
            | Self::TagPages { .. }
            | Self::Pages { .. }
            | Self::Metrics => Some(TokenScope::Read),
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
            Self::Metrics => "metrics",
            Self::Healthz => "healthz",
        }
    }
}

/// Which part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paging {
    /// Where the last part ended, as its answer said; none for the first.
    pub cursor: Option<String>,
    /// The most rows wanted, 1 to [`MAX_LIMIT`].
    pub limit: u32,
}

/// The most rows in one answer.
pub const MAX_LIMIT: u32 = 1000;
const DEFAULT_LIMIT: u32 = 100;
const MAX_CURSOR_BYTES: usize = 512;

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
        "metrics" | "healthz" => {
            reading(&request.method)?;
            Ok(if path == "metrics" { ControlCall::Metrics } else { ControlCall::Healthz })
        }
        _ => Err(Problem::not_found("call")),
    }
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
    let id = decode(id, false).filter(|id| {
        !id.is_empty() && id.len() <= MAX_ID_BYTES && id.bytes().all(|b| b.is_ascii_graphic())
    });
    let Some(id) = id else { return Err(Problem::not_found("job")) };
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

/// The parameters of a call's query, decoded.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(text: &str) -> Result<Self, Problem> {
        let mut rows: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decode(name, true), decode(value, true)) else {
                let detail = "The query is not percent-encoded UTF-8.";
                return Err(Problem::new(ProblemKind::InvalidValue, detail));
            };
            if rows.iter().any(|(known, _)| *known == name) {
                let detail = "A parameter is given twice.";
                return Err(Problem::new(ProblemKind::Contradiction, detail).at(short(&name)));
            }
            rows.push((name, value));
        }
        Ok(Self(rows))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn only(&self, names: &[&str]) -> Result<(), Problem> {
        match self.0.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => {
                let detail = format!("{} is not a parameter of this call.", short(name));
                Err(Problem::new(ProblemKind::UnknownField, detail).at(short(name)))
            }
        }
    }

    fn paging(&self) -> Result<Paging, Problem> {
        let limit = match self.get("limit") {
            None => DEFAULT_LIMIT,
            Some(text) => {
                let digits = text.bytes().all(|b| b.is_ascii_digit());
                let number = text.parse::<u32>().ok().filter(|_| digits);
                number.filter(|n| (1..=MAX_LIMIT).contains(n)).ok_or_else(|| {
                    let detail = format!("limit is a whole number from 1 to {MAX_LIMIT}.");
                    Problem::new(ProblemKind::OutOfRange, detail).at("limit")
                })?
            }
        };
        let cursor = self.get("cursor").filter(|cursor| !cursor.is_empty());
        if let Some(cursor) = cursor
            && (cursor.len() > MAX_CURSOR_BYTES || !cursor.bytes().all(|b| b.is_ascii_graphic()))
        {
            let detail = "cursor is what the last answer gave as next.";
            return Err(Problem::new(ProblemKind::InvalidValue, detail).at("cursor"));
        }
        Ok(Paging { cursor: cursor.map(str::to_owned), limit })
    }
}

fn short(name: &str) -> String {
    name.chars().take(64).collect()
}

/// A part of a path, percent-decoded (RFC 3986 §2.1). None for a broken escape or bytes that are
/// not UTF-8.
#[must_use]
pub fn percent_decoded(text: &str) -> Option<String> {
    decode(text, false)
}

/// Percent-decodes (RFC 3986 §2.1); in a query `+` is a space. None for a broken escape or bytes
/// that are not UTF-8.
fn decode(text: &str, plus: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            b'+' if plus => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}
