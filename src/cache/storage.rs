//! Storage: may a response be stored in a shared cache (RFC 9111 §3), and as what?
//!
//! Refused is whatever could be one visitor's own, whatever the route's settings, and what nobody
//! could reuse. What a request said or carried that is not in the page's key may not have shaped
//! what is stored: credentials and cookies that reached the origin need the origin's explicit word.
//! The origin request was a GET.
//!
//! A cookie that a response sets is one visitor's own unless the route says otherwise
//! ([`Route::store_set_cookie`]), and even then only where nothing that the response says or the
//! request carried speaks against it.

use crate::base::time::{Seconds, Timestamp};
use crate::cache::entry::{Freshness, FreshnessSource};
use crate::cache::tag::TagSet;
use crate::cache::tag_fields::{EDGE_FIELDS, TAG_FIELDS, TagsError, tags};
use crate::config::Route;
use crate::http::cache_control::{FieldScope, ResponseDirectives};
use crate::http::hop::remove_hop_by_hop;
use crate::http::list::trim;
use crate::http::origin::names_one_origin;
use crate::http::targeted::{EdgeDirectives, edge_directives};
use crate::http::vary::{Vary, vary};
use crate::http::{Fields, RequestHead, ResponseHead, cookie};

use super::admitted::Admitted;
use super::compose;
use super::compose::field::compose_field;
use super::compose::shell::{as_public, is_head_of_shell, is_shell, may_have_been_shell};
use super::forbidden::{is_from_cache, refusal};
use super::freshness::{freshness, initial_age};
use super::media::contradicts;
pub use super::no_store::NoStore;

/// What the decision rests on.
#[derive(Clone, Copy, Debug)]
pub struct StorageInput<'a> {
    /// The visitor's request.
    pub request: &'a RequestHead,
    /// What admission made of it.
    pub admitted: &'a Admitted<'a>,
    /// The fields that the origin was sent.
    pub sent: &'a Fields,
    /// The answer.
    pub response: &'a ResponseHead,
    /// When the request was sent.
    pub request_time: Timestamp,
    /// When the answer's head arrived.
    pub response_time: Timestamp,
}

/// The decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Storage {
    /// Store it.
    Store(Storable),
    /// Don't store it, but those who wait for it may have it (RFC 9111 §4).
    Share(Storable, NoStore),
    /// Don't.
    Refuse(NoStore),
}

/// A response that may be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Storable {
    /// For how long it can be used.
    pub freshness: Freshness,
    /// The request fields that select it: lower case, sorted.
    pub selection_names: Vec<String>,
    /// The page's tags.
    pub tags: TagSet,
    /// Its age on arrival.
    pub initial_age: Seconds,
    /// The fields to store.
    pub fields: Fields,
}

/// Decides on the answer to a request for a range, as if it were the whole (RFC 9110 §15.3.7: a 206
/// is cacheable like a 200). Parts are not stored; this says whether anyone may have them.
#[must_use]
pub fn storage_of_range(input: &StorageInput<'_>) -> Storage {
    if input.response.status != 206 {
        return storage(input);
    }
    let mut whole = ResponseHead { status: 200, fields: input.response.fields.clone() };
    for name in ["content-range", "content-length"] {
        whole.fields.remove(name);
    }
    storage(&StorageInput { response: &whole, ..*input })
}

/// Decides whether a response may be stored.
#[must_use]
pub fn storage(input: &StorageInput<'_>) -> Storage {
    if is_shell(&input.response.fields) {
        return shell(input).map_or_else(Storage::Refuse, Storage::Store);
    }
    if input.admitted.route.compose && may_have_been_shell(input.response) {
        return Storage::Refuse(NoStore::NoStoreDirective);
    }
    match decide(input) {
        Ok((storable, None)) => Storage::Store(storable),
        Ok((storable, Some(reason))) => Storage::Share(storable, reason),
        Err(reason) => Storage::Refuse(reason),
    }
}

/// Decides on a composed page's shell by its head. Its body is looked at when it is there.
fn shell(input: &StorageInput<'_>) -> Result<Storable, NoStore> {
    let StorageInput { admitted, response, .. } = *input;
    let field = match compose_field(&response.fields) {
        Some(Ok(field)) if admitted.route.compose => field,
        Some(_) | None => return Err(NoStore::ComposeField),
    };
    if !is_head_of_shell(response, &field) || is_from_cache(&response.fields) {
        return Err(NoStore::ComposeAnswer);
    }
    let public = as_public(response, &field);
    match decide(&StorageInput { response: &public, ..*input })? {
        (storable, None) => {
            let fields = compose::shell::stored_fields(storable.fields, &response.fields);
            Ok(Storable { fields, ..storable })
        }
        (_, Some(reason)) => Err(reason),
    }
}

fn decide(input: &StorageInput<'_>) -> Result<(Storable, Option<NoStore>), NoStore> {
    let StorageInput { request, admitted, sent, response, request_time, response_time } = *input;
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return Err(NoStore::Method);
    }
    if admitted.directives.no_store {
        return Err(NoStore::RequestNoStore);
    }
    let edge = edge_directives(&response.fields);
    let mut shared = match refusal(response, &edge, &admitted.route) {
        Err(NoStore::UpstreamCache) => Some(NoStore::UpstreamCache),
        other => other.map(|()| None)?,
    };
    request_refusal(sent, &edge, &admitted.route)?;
    let age = initial_age(&response.fields, request_time, response_time);
    let tags = tags(&response.fields).map_err(|error| match error {
        TagsError::Bad(_) => NoStore::BadTags,
        TagsError::TooMany => NoStore::TooManyTags,
    })?;
    let freshness = freshness(response, &admitted.route, response_time);
    let by_route = matches!(freshness.source, FreshnessSource::Route | FreshnessSource::Heuristic);
    if by_route && contradicts(&request.path, response) {
        return Err(NoStore::MediaType);
    }
    if response.fields.has("set-cookie") {
        cookie_refusal(response, &edge, &freshness, &admitted.route)?;
        // No word of the response makes a cookie everyone's that was set for what one visitor sent.
        own_input(sent, &admitted.route).map_or(Ok(()), Err)?;
    }
    if !is_reusable(&freshness, &response.fields, age) {
        // The time that it took to come is part of its age; who waited for it may have it all the
        // same.
        let came = initial_age(&response.fields, response_time, response_time);
        if !is_reusable(&freshness, &response.fields, came) {
            return Err(NoStore::NoFreshness);
        }
        shared = shared.or(Some(NoStore::Late));
    }
    let selection_names = selection_names(&response.fields, sent)?;
    let fields = stored_fields(&response.fields, &edge, &admitted.route);
    Ok((Storable { freshness, selection_names, tags, initial_age: age, fields }, shared))
}

/// Whether what the request carried forbids storing.
///
/// # Errors
/// The reason.
pub fn request_refusal(sent: &Fields, edge: &EdgeDirectives, route: &Route) -> Result<(), NoStore> {
    let directives = &edge.directives;
    // RFC 9111 §3.5: these three say that a shared cache may store it all the same.
    let shared = directives.public || directives.s_maxage.is_some();
    if sent.has("authorization") && !shared && !directives.must_revalidate {
        return Err(NoStore::Authorization);
    }
    if cookie::has_other(sent, &route.key_cookies) && !shared {
        return Err(NoStore::Cookie);
    }
    Ok(())
}

/// Whether a response that sets a cookie may not be kept with it. RFC 9111 §7.3 has it stored like
/// any other; but a session that is handed to everyone is the worst that a cache can do. So the
/// route must say it, and the origin must state a lifetime, without a word anywhere that limits the
/// response to one visitor, to some of its fields, or to reuse after asking.
///
/// # Errors
/// The reason.
pub fn cookie_refusal(
    response: &ResponseHead,
    edge: &EdgeDirectives,
    freshness: &Freshness,
    route: &Route,
) -> Result<(), NoStore> {
    let limits = |directives: &ResponseDirectives| {
        directives.no_store
            || directives.private != FieldScope::Absent
            || directives.no_cache != FieldScope::Absent
    };
    let plain = ResponseDirectives::of(&response.fields, "cache-control");
    let limited = limits(&edge.directives) || limits(&plain);
    let explicit = freshness.source.is_explicit() && freshness.lifetime > Seconds::ZERO;
    if route.store_set_cookie && explicit && !limited { Ok(()) } else { Err(NoStore::SetCookie) }
}

/// What of one visitor's own went to the origin: credentials, or a cookie that is not in the key.
#[must_use]
pub fn own_input(sent: &Fields, route: &Route) -> Option<NoStore> {
    if sent.has("authorization") {
        Some(NoStore::Authorization)
    } else if cookie::has_other(sent, &route.key_cookies) {
        Some(NoStore::Cookie)
    } else {
        None
    }
}

/// Whether there will be a moment to reuse it: fresh or stale for a while, or validated by the
/// origin's explicit leave.
fn is_reusable(freshness: &Freshness, fields: &Fields, age: Seconds) -> bool {
    let window = freshness.stale_while_revalidate.max(freshness.stale_if_error);
    let has_validator = fields.has("etag") || fields.has("last-modified");
    let explicit = freshness.source != FreshnessSource::None
        || freshness.reuse_condition == crate::cache::entry::ReuseCondition::Always;
    let always = freshness.reuse_condition == crate::cache::entry::ReuseCondition::Always;
    (!always && freshness.lifetime.plus(window) > age) || (has_validator && explicit)
}

/// The request fields that select a response. A coded body is selected by `Accept-Encoding` even if
/// the origin forgot to say so: the answer's coding must be one that its visitor takes. So is one
/// by `Origin` that names the one origin which may read it.
///
/// # Errors
/// When no request can be known to select it.
pub fn selection_names(fields: &Fields, sent: &Fields) -> Result<Vec<String>, NoStore> {
    let Vary::Names(mut names) = vary(fields) else { return Err(NoStore::VaryAny) };
    let coded = fields
        .all("content-encoding")
        .any(|coding| !matches!(trim(coding).to_ascii_lowercase().as_str(), "" | "identity"));
    let forgotten =
        [("accept-encoding", coded), ("origin", sent.has("origin") && names_one_origin(fields))];
    for (name, _) in forgotten.into_iter().filter(|(_, counts)| *counts) {
        names.push(name.to_owned());
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// The fields to store (RFC 9111 §3.1): without those of the hop, the tags, the age (which the
/// entry holds), those that `no-cache` and `private` name, and cookies, unless the route stores
/// them.
#[must_use]
pub fn stored_fields(fields: &Fields, edge: &EdgeDirectives, route: &Route) -> Fields {
    let mut stored = fields.clone();
    remove_hop_by_hop(&mut stored);
    stored.retain(|name, _| {
        !TAG_FIELDS.contains(&name)
            && name != "age"
            && (name != "set-cookie" || route.store_set_cookie)
            && !is_limited(name, edge)
    });
    stored
}

/// The fields that `no-cache` and `private` name: they are for the request that they answered, and
/// for no other (RFC 9111 §5.2.2.4, §5.2.2.7). What the edge says itself, and what belongs to the
/// hop, is not among them.
#[must_use]
pub fn limited_fields(fields: &Fields, edge: &EdgeDirectives) -> Fields {
    const NEVER: &[&str] =
        &["age", "cache-control", "cache-status", "content-length", "set-cookie"];
    let mut limited = fields.clone();
    remove_hop_by_hop(&mut limited);
    limited.retain(|name, _| {
        is_limited(name, edge) && !EDGE_FIELDS.contains(&name) && !NEVER.contains(&name)
    });
    limited
}

fn is_limited(name: &str, edge: &EdgeDirectives) -> bool {
    let directives = &edge.directives;
    let mut named = directives.no_cache.fields().iter().chain(directives.private.fields());
    named.any(|n| n == name)
}
