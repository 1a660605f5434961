//! Admission: is this request one for the cache, and for which page?
//!
//! Served from the cache are GET and HEAD for a route that caches, without anything that makes the
//! answer one visitor's own. What is not for the cache passes to the origin; what can't be right is
//! refused. The page's key is made of exactly what the origin will be sent.

use crate::cache::key::{COMPOSED, CacheKey, Page};
use crate::config::{Action, Config, ForwardHeaders, Route, VaryOn};
use crate::http::cache_control::RequestDirectives;
use crate::http::cache_status::Forward;
use crate::http::list::{split, trim};
use crate::http::range::range;
use crate::http::{Fields, RequestHead, cookie, language, loop_guard};

pub use super::admitted::{Admitted, AppliedRoute};
use super::compose::personal;
use super::device::device;
use super::forward::listed_fields;
use super::query::normalise_query;

/// The longest path and query.
pub const MAX_URI_BYTES: usize = 16 << 10;
/// The most segments of a path whose page is stored: each prefix is a target, which every hit
/// compares.
pub const MAX_SEGMENTS: usize = 100;
/// The longest host (RFC 1035 §2.3.4), with a port.
pub const MAX_HOST_BYTES: usize = 253 + ":65535".len();
/// The most bytes of fields.
pub const MAX_FIELDS_BYTES: usize = 128 << 10;

/// What is done with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Admission<'c> {
    /// It is for the cache.
    Serve(Admitted<'c>),
    /// It passes to the origin.
    Pass(Pass<'c>),
    /// It is answered with an error.
    Refuse(Refusal),
}

/// A request that passes to the origin.
#[derive(Clone, Debug, PartialEq)]
pub struct Pass<'c> {
    /// The page it names.
    pub page: Page,
    /// The settings.
    pub route: &'c Route,
    /// Why it passes.
    pub reason: PassReason,
    /// Its method may change things (RFC 9110 §9.2.1): what is stored may be out of date after it.
    pub unsafe_method: bool,
}

/// Why a request passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PassReason {
    /// Neither GET nor HEAD.
    Method,
    /// It wants another protocol (WebSocket).
    Upgrade,
    /// The route says so.
    Route,
    /// GET or HEAD with a body.
    RequestBody,
    /// `Accept: text/event-stream`.
    EventStream,
    /// It carries credentials.
    Authorization,
    /// It carries a cookie that the route names.
    BypassCookie,
    /// `If-Match` or `If-Unmodified-Since`: for the origin alone (RFC 9111 §4.3.2).
    Precondition,
    /// Its path has more than [`MAX_SEGMENTS`].
    PathDepth,
    /// It is where the origin answers for personal parts: only to the edge itself.
    Personal,
}

impl PassReason {
    /// The reason's name in Cache-Status, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Upgrade => "upgrade",
            Self::Route => "route",
            Self::RequestBody => "request-body",
            Self::EventStream => "event-stream",
            Self::Authorization => "authorization",
            Self::BypassCookie => "bypass-cookie",
            Self::Precondition => "precondition",
            Self::PathDepth => "path-depth",
            Self::Personal => "personal-path",
        }
    }

    /// The reason in the terms of RFC 9211 §2.2.
    #[must_use]
    pub const fn forward(self) -> Forward {
        match self {
            Self::Method => Forward::Method,
            Self::RequestBody | Self::Precondition | Self::PathDepth => Forward::Request,
            Self::Upgrade
            | Self::Route
            | Self::EventStream
            | Self::Personal
            | Self::Authorization
            | Self::BypassCookie => Forward::Bypass,
        }
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// It came through this edge before (RFC 8586).
    Loop,
    /// The host is empty, longer than any, or has an empty label or characters that no host has.
    BadHost,
    /// The path does not start with `/`, or path or query have bytes that no URI has.
    BadUri,
    /// Path and query are too long.
    UriTooLong,
    /// The fields are too long.
    FieldsTooLarge,
}

impl Refusal {
    /// The status of the answer to the visitor (RFC 9110 §15.5, RFC 6585 §5, RFC 5842 §7.2).
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Loop => 508,
            Self::BadHost | Self::BadUri => 400,
            Self::UriTooLong => 414,
            Self::FieldsTooLarge => 431,
        }
    }

    /// The reason's name in Cache-Status, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::BadHost => "bad-host",
            Self::BadUri => "bad-uri",
            Self::UriTooLong => "uri-too-long",
            Self::FieldsTooLarge => "fields-too-large",
        }
    }
}

/// The methods that are safe by their definition (RFC 9110 §9.2.1, the registry of methods). Any
/// other may change things (RFC 9111 §4.4).
const SAFE_METHODS: &[&str] =
    &["GET", "HEAD", "OPTIONS", "TRACE", "PRI", "PROPFIND", "QUERY", "REPORT", "SEARCH"];

/// The field of a request that asks for a page to be refreshed.
pub const WARM_UP: &str = "x-edge-isr-warmup";

/// The fields of a request that a decision on a stored response looks at, whatever the settings:
/// those of admission, conditions, and what selects a variant of most pages that vary.
const LOOKED_AT: &[&str] = &[
    "accept-encoding",
    "accept-language",
    "connection",
    "cdn-loop",
    "upgrade",
    "transfer-encoding",
    "content-length",
    "accept",
    "authorization",
    "cookie",
    "if-match",
    "if-unmodified-since",
    "if-none-match",
    "if-modified-since",
    "range",
    WARM_UP,
];

/// The fields of a request that are looked at under these settings before a stored response
/// answers it. Other fields that select a variant are looked at besides.
#[must_use]
pub fn looked_at(config: &Config) -> Vec<String> {
    let mut names: Vec<String> = LOOKED_AT.iter().map(|name| (*name).to_owned()).collect();
    for route in config.routes.iter().map(|rule| &rule.route).chain([&config.defaults]) {
        match &route.forward_headers {
            ForwardHeaders::Listed(listed) => names.extend(listed.iter().cloned()),
            ForwardHeaders::All => {}
        }
        if route.request_directives {
            names.extend(["cache-control", "pragma"].map(str::to_owned));
        }
        if route.vary_on.contains(&VaryOn::Device) {
            names.extend(["user-agent", "sec-ch-ua-mobile"].map(str::to_owned));
        }
    }
    names.sort();
    names.dedup();
    names
}

/// Decides on a request.
#[must_use]
pub fn admit<'c>(request: &RequestHead, config: &'c Config) -> Admission<'c> {
    if let Some(refusal) = refusal(request) {
        return Admission::Refuse(refusal);
    }
    let route = config.route(&request.host, &request.path);
    let page = page(request, route, config);
    if let Some(reason) = pass_reason(request, route) {
        let unsafe_method = !SAFE_METHODS.contains(&request.method.as_str());
        return Admission::Pass(Pass { page, route, reason, unsafe_method });
    }
    Admission::Serve(admitted(request, route, page))
}

fn admitted<'c>(request: &RequestHead, route: &'c Route, page: Page) -> Admitted<'c> {
    let facts = facts(request, route);
    let cookies = route
        .key_cookies
        .iter()
        .filter_map(|n| Some((format!("cookie:{n}"), cookie::values(&request.fields, n)?)));
    let listed = listed_fields(request, route);
    let listed = listed.into_iter().map(|(name, value)| (format!("field:{name}"), value));
    let listed: Vec<(String, String)> = cookies.chain(listed).collect();
    let extra = listed.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let extra = extra.chain(facts.iter().map(|(name, value)| (*name, value.as_str())));
    // What is stored for a route that composes is found by none that does not.
    let extra = extra.chain(route.compose.then_some(COMPOSED));
    let listens = route.request_directives;
    Admitted {
        key: CacheKey::new(&page, extra),
        page,
        route: AppliedRoute::Borrowed(route),
        head_only: request.method == "HEAD",
        known: route.compose && cookie::has_any(&request.fields, &route.bypass_cookies),
        directives: if listens {
            RequestDirectives::of(&request.fields)
        } else {
            RequestDirectives::default()
        },
        cookies_removed: match route.forward_headers {
            ForwardHeaders::All => false,
            ForwardHeaders::Listed(_) => cookie::has_other(&request.fields, &route.key_cookies),
        },
        // RFC 9110 §14.2: a range has a meaning for GET alone. A part of a body that is put
        // together has none.
        range: if request.method == "GET" && !route.esi && !route.compose {
            range(&request.fields)
        } else {
            None
        },
        facts,
    }
}

/// The page that a request names.
#[must_use]
pub fn page(request: &RequestHead, route: &Route, config: &Config) -> Page {
    Page {
        scheme: request.scheme.clone(),
        host: request.host.clone(),
        purge_host: config.purge_host(&request.host).into_owned(),
        path: request.path.clone(),
        query: normalise_query(request.query.as_deref(), &route.query),
    }
}

/// The page of an absolute URL, as a visitor's request for it would name it; none if it is no
/// `http` or `https` URL.
#[must_use]
pub fn page_of_url(url: &str, config: &Config) -> Option<Page> {
    let url = url::Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let name = url.host_str()?;
    let host = match url.port() {
        Some(port) => format!("{name}:{port}"),
        None => name.to_owned(),
    };
    let route = config.route(&host, url.path());
    Some(Page {
        scheme: url.scheme().to_owned(),
        purge_host: config.purge_host(&host).into_owned(),
        path: url.path().to_owned(),
        query: normalise_query(url.query(), &route.query),
        host,
    })
}

fn refusal(request: &RequestHead) -> Option<Refusal> {
    let host = request.host.as_bytes();
    let host_byte =
        |b: &u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b':' | b'[' | b']');
    let query = request.query.as_deref().unwrap_or_default();
    let uri_byte = |b: u8| b.is_ascii_graphic() && b != b'#';
    let fields: usize = request.fields.iter().map(|(n, v)| n.len() + v.len() + 4).sum();
    // As it goes on, and as a warm of the page sends it: one line.
    let passed_on = request.fields.joined("cdn-loop").map_or(0, |value| value.len());
    if loop_guard::has_looped(&request.fields) {
        Some(Refusal::Loop)
    } else if host.is_empty()
        || host.len() > MAX_HOST_BYTES
        || !host.iter().all(host_byte)
        || request.host.contains("..")
    {
        Some(Refusal::BadHost)
    } else if request.path.len() + query.len() > MAX_URI_BYTES {
        Some(Refusal::UriTooLong)
    } else if fields > MAX_FIELDS_BYTES || passed_on > loop_guard::MAX_BYTES {
        Some(Refusal::FieldsTooLarge)
    } else if !(request.path.starts_with('/') || request.path == "*")
        || !request.path.bytes().all(|b| uri_byte(b) && b != b'?')
        || !query.bytes().all(uri_byte)
    {
        Some(Refusal::BadUri)
    } else {
        None
    }
}

fn pass_reason(request: &RequestHead, route: &Route) -> Option<PassReason> {
    let fields = &request.fields;
    let has_body = fields.has("transfer-encoding")
        || fields.all("content-length").any(|length| trim(length) != "0");
    if fields.has("upgrade") {
        Some(PassReason::Upgrade)
    } else if !matches!(request.method.as_str(), "GET" | "HEAD") || request.path == "*" {
        Some(PassReason::Method)
    } else if route.action == Action::Bypass {
        Some(PassReason::Route)
    } else if request.path == personal::PATH {
        Some(PassReason::Personal)
    } else if has_body {
        Some(PassReason::RequestBody)
    } else if wants_events(fields) {
        Some(PassReason::EventStream)
    } else if fields.has("authorization") && route.forward_headers != ForwardHeaders::All {
        Some(PassReason::Authorization)
    } else if !route.compose && cookie::has_any(fields, &route.bypass_cookies) {
        Some(PassReason::BypassCookie)
    } else if fields.has("if-match") || fields.has("if-unmodified-since") {
        Some(PassReason::Precondition)
    } else if request.path.bytes().filter(|b| *b == b'/').count() > MAX_SEGMENTS {
        Some(PassReason::PathDepth)
    } else {
        None
    }
}

fn wants_events(fields: &Fields) -> bool {
    fields.all("accept").flat_map(|line| split(line, b',').parts).any(|member| {
        let kind = trim(member.split(';').next().unwrap_or_default());
        kind.eq_ignore_ascii_case("text/event-stream")
    })
}

fn facts(request: &RequestHead, route: &Route) -> Vec<(&'static str, String)> {
    let fact = |vary_on: &VaryOn| match vary_on {
        VaryOn::Device => Some(("x-device", device(&request.fields).to_owned())),
        VaryOn::Language => {
            let accepted = request.fields.joined("accept-language");
            let language = language::look_up(accepted.as_deref(), &route.languages)?;
            Some(("accept-language", language.to_owned()))
        }
    };
    // RFC 8586 §2: what other CDNs said must go on to the origin, so it is part of the key.
    let passed_on = loop_guard::said_by_others(&request.fields).map(|said| ("cdn-loop", said));
    route.vary_on.iter().filter_map(fact).chain(passed_on).collect()
}
