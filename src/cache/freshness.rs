//! Freshness: for how long a response can be used (RFC 9111 §4.2, RFC 5861), and its age when it
//! came.
//!
//! First that says something: `CDN-Cache-Control`, `Surrogate-Control`, `s-maxage`, `max-age`,
//! `Expires`, the route's `negative_ttl` and `ttl`, and heuristics where the route wants them. What
//! can't be read is a lifetime of 0, not the next source's.

use crate::base::time::{Millis, Seconds, Timestamp};
use crate::cache::entry::{Freshness, FreshnessSource, ReuseCondition};
use crate::config::Route;
use crate::http::age::age;
use crate::http::cache_control::{FieldScope, ResponseDirectives};
use crate::http::date::{DateField, date};
use crate::http::list::split;
use crate::http::targeted::edge_directives;
use crate::http::{Fields, ResponseHead};

/// The longest heuristic lifetime: a day.
const MAX_HEURISTIC: Seconds = Seconds(86_400);

/// A response's freshness.
#[must_use]
pub fn freshness(response: &ResponseHead, route: &Route, response_time: Timestamp) -> Freshness {
    let edge = edge_directives(&response.fields);
    let directives = &edge.directives;
    let (lifetime, source) = lifetime(response, directives, edge.targeted, route, response_time);
    let swr = directives.stale_while_revalidate;
    let sie = directives.stale_if_error;
    let has_window = swr.is_some() || sie.is_some() || route.swr > Seconds::ZERO;
    let usable = source != FreshnessSource::None;
    let by_route = |window: Seconds| if usable { window } else { Seconds::ZERO };
    Freshness {
        lifetime,
        source,
        stale_while_revalidate: swr.unwrap_or(by_route(route.swr)),
        stale_if_error: sie.unwrap_or(by_route(route.sie)),
        reuse_condition: reuse_condition(response, directives, has_window),
    }
}

/// Whether an age is within the lifetime and a window after it. A response that forbids stale use
/// has no window (RFC 9111 §4.2.4).
#[must_use]
pub fn is_within(freshness: &Freshness, age: Millis, window: Seconds) -> bool {
    match freshness.reuse_condition {
        ReuseCondition::Nothing => Millis::from(freshness.lifetime.plus(window)) > age,
        ReuseCondition::WhenStale | ReuseCondition::Always => false,
    }
}

/// What the response demands before a reuse. `s-maxage` means `proxy-revalidate` (RFC 9111
/// §5.2.2.10), unless a stale window stands beside it: that window could mean nothing else. A
/// route's `sie` is no such word: it is for failures, and says nothing of the responses that may
/// not be served stale then.
fn reuse_condition(
    response: &ResponseHead,
    directives: &ResponseDirectives,
    has_window: bool,
) -> ReuseCondition {
    // RFC 9111 §5.4: Pragma has no meaning in responses; where it stands alone, its wish is plain
    // all the same.
    let pragma = !response.fields.has("cache-control")
        && response
            .fields
            .all("pragma")
            .flat_map(|line| split(line, b',').parts)
            .any(|p| p.eq_ignore_ascii_case("no-cache"))
        && directives.max_age.is_none();
    if directives.no_cache == FieldScope::Whole || pragma {
        ReuseCondition::Always
    } else if directives.must_revalidate
        || directives.proxy_revalidate
        || (directives.s_maxage.is_some() && !has_window)
    {
        ReuseCondition::WhenStale
    } else {
        ReuseCondition::Nothing
    }
}

/// `freshness_lifetime` (RFC 9111 §4.2.1).
fn lifetime(
    response: &ResponseHead,
    directives: &ResponseDirectives,
    targeted: bool,
    route: &Route,
    response_time: Timestamp,
) -> (Seconds, FreshnessSource) {
    if let Some(s_maxage) = directives.s_maxage {
        let source = if targeted { FreshnessSource::Targeted } else { FreshnessSource::SMaxAge };
        return (s_maxage, source);
    }
    if let Some(max_age) = directives.max_age {
        let source = if targeted { FreshnessSource::Targeted } else { FreshnessSource::MaxAge };
        return (max_age, source);
    }
    if !targeted && let Some(lifetime) = expires(response, response_time) {
        return (lifetime, FreshnessSource::Expires);
    }
    if directives.no_cache == FieldScope::Whole {
        return (Seconds::ZERO, FreshnessSource::None);
    }
    if let Some((_, ttl)) = route.negative_ttl.iter().find(|(s, _)| *s == response.status) {
        return (*ttl, FreshnessSource::Route);
    }
    if let (Some(ttl), 200 | 203 | 204 | 300 | 301 | 308) = (route.ttl, response.status) {
        return (ttl, FreshnessSource::Route);
    }
    let allowed = is_heuristic_status(response.status) || directives.public;
    if route.heuristics
        && allowed
        && let Some(lifetime) = heuristic(response, response_time)
    {
        return (lifetime, FreshnessSource::Heuristic);
    }
    (Seconds::ZERO, FreshnessSource::None)
}

/// `Expires` minus `Date` (RFC 9111 §4.2.1); a `Date` that can't be read counts as the time of
/// arrival.
fn expires(response: &ResponseHead, response_time: Timestamp) -> Option<Seconds> {
    match date(&response.fields, "expires") {
        DateField::Absent => None,
        // RFC 9111 §5.3: an invalid date, `0` above all, is in the past.
        DateField::Unreadable => Some(Seconds::ZERO),
        DateField::Known(at) => {
            let now = date(&response.fields, "date").known().unwrap_or(response_time);
            Some(at.since(now).as_seconds().min(Seconds::MAX))
        }
    }
}

/// A tenth of the time since the last change (RFC 9111 §4.2.2), at most a day.
fn heuristic(response: &ResponseHead, response_time: Timestamp) -> Option<Seconds> {
    let changed = date(&response.fields, "last-modified").known()?;
    let now = date(&response.fields, "date").known().unwrap_or(response_time);
    Some(Seconds(now.since(changed).as_seconds().0 / 10).min(MAX_HEURISTIC))
}

/// Statuses that are heuristically cacheable (RFC 9110 §15.1), but for 206.
#[must_use]
pub const fn is_heuristic_status(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// `corrected_initial_age` by `corrected_age_value` (RFC 9111 §4.2.3): the age it came with, and
/// the time it took. `apparent_age` is left out, as §4.2.3 allows: an origin's clock that goes
/// wrong must not make every page stale.
#[must_use]
pub fn initial_age(fields: &Fields, request_time: Timestamp, response_time: Timestamp) -> Seconds {
    let delay: Millis = response_time.since(request_time);
    age(fields).unwrap_or(Seconds::ZERO).plus(delay.as_seconds())
}
