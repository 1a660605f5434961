//! What of a response alone forbids storing it: one row each, with the reason.

use crate::base::time::Seconds;
use crate::config::Route;
use crate::http::age::delta_seconds;
use crate::http::cache_control::{FieldScope, ResponseDirectives};
use crate::http::cache_status::is_upstream_hit;
use crate::http::list::trim;
use crate::http::targeted::EdgeDirectives;
use crate::http::vary::{Vary, vary};
use crate::http::{Fields, ResponseHead};

use super::no_store::NoStore;
use super::stale_if_error::is_edge_failure;

/// A response, with what of it speaks to this cache.
struct Response<'a> {
    status: u16,
    fields: &'a Fields,
    directives: &'a ResponseDirectives,
    route: &'a Route,
}

/// Whether a response is one that must not be stored.
type Forbids = fn(&Response<'_>) -> bool;

/// What of a response alone forbids storing it: the first row that holds is the reason.
const FORBIDDEN: &[(NoStore, Forbids)] = &[
    (NoStore::PartialContent, |answer| answer.status == 206),
    (NoStore::EdgeError, |answer| is_edge_failure(answer.status)),
    (NoStore::Status, |answer| {
        let not_understood = answer.directives.must_understand && !is_understood(answer.status);
        !is_storable_status(answer.status) || not_understood
    }),
    (NoStore::Bypass, |answer| says_bypass(answer.fields)),
    // RFC 9111 §5.2.2.3: beside must-understand, no-store is for caches that don't understand the
    // status.
    (NoStore::NoStoreDirective, |answer| {
        answer.directives.no_store && !answer.directives.must_understand
    }),
    (NoStore::Private, |answer| answer.directives.private == FieldScope::Whole),
    (NoStore::SetCookie, |answer| {
        answer.fields.has("set-cookie") && !answer.route.store_set_cookie
    }),
    (NoStore::VaryAny, |answer| vary(answer.fields) == Vary::Any),
    (NoStore::EventStream, |answer| is_endless(answer.fields)),
    (NoStore::CspNonce, |answer| has_nonce(answer.fields) && !answer.route.store_nonce),
    (NoStore::FieldBytes, |answer| {
        answer.fields.iter().any(|(_, value)| value.contains(char::REPLACEMENT_CHARACTER))
    }),
    (NoStore::UpstreamCache, |answer| is_from_cache(answer.fields) && !answer.route.upstream_cache),
];

/// Whether the response alone forbids storing.
///
/// # Errors
/// The reason.
pub fn refusal(
    response: &ResponseHead,
    edge: &EdgeDirectives,
    route: &Route,
) -> Result<(), NoStore> {
    let ResponseHead { status, fields } = response;
    let answer = Response { status: *status, fields, directives: &edge.directives, route };
    let refused = FORBIDDEN.iter().find(|(_, forbids)| forbids(&answer));
    refused.map_or(Ok(()), |(reason, _)| Err(*reason))
}

/// Statuses that may be stored: final ones, but for those that answer this request alone (its
/// credentials, its conditions, its rate, what it accepts) and 304, which is no response of its
/// own.
const fn is_storable_status(status: u16) -> bool {
    !matches!(
        status,
        0..=199 | 206 | 304 | 401 | 406 | 407 | 408 | 412 | 413 | 415 | 416 | 417 | 421 | 425 | 426 | 428
            | 429 | 431 | 511 | 600..
    )
}

/// Statuses whose caching rules this cache knows and keeps (RFC 9111 §5.2.2.3).
const fn is_understood(status: u16) -> bool {
    matches!(
        status,
        200 | 203 | 204 | 300..=303 | 307 | 308 | 400 | 403 | 404 | 405 | 410 | 414 | 500..=504
    )
}

fn says_bypass(fields: &Fields) -> bool {
    fields.all("x-edge-isr").any(|v| v.to_ascii_lowercase().contains("bypass"))
}

fn is_endless(fields: &Fields) -> bool {
    fields.get("content-type").is_some_and(|value| {
        let kind = trim(value.split(';').next().unwrap_or_default()).to_ascii_lowercase();
        kind == "text/event-stream" || kind == "multipart/x-mixed-replace"
    })
}

fn has_nonce(fields: &Fields) -> bool {
    ["content-security-policy", "content-security-policy-report-only"]
        .iter()
        .any(|name| fields.all(name).any(|policy| policy.to_ascii_lowercase().contains("'nonce-")))
}

/// Another cache behind the edge may hide a purge. An `Age` that can't be read is one that a cache
/// set.
#[must_use]
pub fn is_from_cache(fields: &Fields) -> bool {
    let aged = fields
        .all("age")
        .flat_map(|line| line.split(','))
        .any(|member| delta_seconds(trim(member)) != Some(Seconds::ZERO));
    let cdn_hit = fields.get("cf-cache-status").is_some_and(|status| {
        ["hit", "stale", "updating", "revalidated"]
            .iter()
            .any(|s| trim(status).eq_ignore_ascii_case(s))
    });
    aged || cdn_hit || is_upstream_hit(fields)
}
