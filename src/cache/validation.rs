//! Validation (RFC 9111 §4.3): conditional requests of the edge's own, those of visitors, and what
//! a 304 renews.
//!
//! A visitor's condition is answered from what is stored (§4.3.2) and never sent on, because the
//! answer to it could not be stored for others. A 304 that is not about the stored response renews
//! nothing.

use crate::base::time::Timestamp;
use crate::cache::entry::Entry;
use crate::cache::tag_fields::{TAG_FIELDS, has_tags, tags};
use crate::config::Route;
use crate::http::date::{DateField, date, parse};
use crate::http::etag::{EntityTag, TagList, etag};
use crate::http::hop::remove_hop_by_hop;
use crate::http::list::{is_token, trim};
use crate::http::targeted::edge_directives;
use crate::http::{Fields, RequestHead, ResponseHead};

use super::forbidden::refusal;
use super::freshness::{freshness, initial_age};
use super::storage::{cookie_refusal, own_input, request_refusal, selection_names, stored_fields};

/// The conditions that the stored response's validators make (RFC 9111 §4.3.1); none if it has no
/// validator.
#[must_use]
pub fn conditional_fields(entry: &Entry) -> Fields {
    let mut fields = Fields::new();
    if let Some(tag) = entry.fields.get("etag").map(trim)
        && (EntityTag::parse(tag).is_some() || is_token(tag))
    {
        fields.set("if-none-match", tag);
    }
    if let Some(changed) = entry.fields.get("last-modified").map(trim)
        && parse(changed).is_some()
    {
        fields.set("if-modified-since", changed);
    }
    fields
}

/// Whether the stored response answers a visitor's condition with 304 (RFC 9110 §13.2.2, RFC 9111
/// §4.3.2).
#[must_use]
pub fn not_modified(request: &RequestHead, entry: &Entry) -> bool {
    // RFC 9110 §13.2.1: a condition counts only where the answer would be a success.
    if !matches!(request.method.as_str(), "GET" | "HEAD") || !(200..300).contains(&entry.status) {
        return false;
    }
    // RFC 9110 §13.1.3: If-None-Match comes first, and If-Modified-Since is ignored beside it.
    if let Some(list) = TagList::of(&request.fields, "if-none-match") {
        return match etag(&entry.fields) {
            Some(tag) => list.weakly_has(&tag),
            None => list == TagList::Any,
        };
    }
    let DateField::Known(since) = date(&request.fields, "if-modified-since") else {
        return false;
    };
    // RFC 9111 §4.3.2: without Last-Modified its date counts, and without that the time it was
    // received.
    let changed = date(&entry.fields, "last-modified")
        .known()
        .or_else(|| date(&entry.fields, "date").known())
        .unwrap_or(entry.response_time);
    changed <= since
}

/// The fields of a 304 out of those of the 200 (RFC 9110 §15.4.5): without what describes the body
/// that is not sent.
#[must_use]
pub fn not_modified_fields(fields: &Fields) -> Fields {
    let mut fields = fields.clone();
    fields.retain(|name, _| {
        !matches!(
            name,
            "content-length"
                | "content-encoding"
                | "content-type"
                | "content-range"
                | "content-language"
                | "content-md5"
                | "transfer-encoding"
        )
    });
    fields
}

/// The date of the last change, if the response was made at least a second after it (RFC 9110
/// §8.8.2.2).
#[must_use]
pub fn strong_date(fields: &Fields) -> Option<Timestamp> {
    let changed = date(fields, "last-modified").known()?;
    let made = date(fields, "date").known()?;
    (made.since(changed).0 >= 1_000).then_some(changed)
}

/// What a 304 does to a stored response.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// The stored response with its fields and freshness renewed. Stamp and fence are still the old
    /// ones.
    Renewed(Box<Entry>),
    /// The 304 is about another representation, or makes it one that may not be stored: fetch
    /// without conditions.
    Mismatch,
}

/// Fields that describe the stored bytes: a 304 can't change them (RFC 9111 §3.2).
const KEPT: &[&str] = &[
    "content-digest",
    "content-encoding",
    "content-length",
    "content-md5",
    "content-range",
    "digest",
    "etag",
    "repr-digest",
];

/// What an update rests on.
#[derive(Clone, Copy, Debug)]
pub struct UpdateInput<'a> {
    /// The 304.
    pub not_modified: &'a ResponseHead,
    /// The fields that the origin was sent.
    pub sent: &'a Fields,
    /// When the request was sent.
    pub request_time: Timestamp,
    /// When the 304 arrived.
    pub response_time: Timestamp,
    /// The settings.
    pub route: &'a Route,
}

/// Renews a stored response by a 304 (RFC 9111 §4.3.4).
#[must_use]
pub fn update(entry: &Entry, input: &UpdateInput<'_>) -> Update {
    if !(is_about(entry, &input.not_modified.fields) || input.route.trust_validators) {
        return Update::Mismatch;
    }
    renewed(entry, input).map_or(Update::Mismatch, |entry| Update::Renewed(Box::new(entry)))
}

/// Whether the validators of a 304 are those of the stored response, as far as it has any (RFC 9111
/// §4.3.4).
fn is_about(entry: &Entry, fields: &Fields) -> bool {
    if let Some(theirs) = etag(fields) {
        return etag(&entry.fields).is_none_or(|ours| ours.weak_eq(&theirs));
    }
    match (date(fields, "last-modified"), date(&entry.fields, "last-modified")) {
        (DateField::Known(theirs), DateField::Known(ours)) => theirs == ours,
        (DateField::Absent | DateField::Unreadable, _)
        | (DateField::Known(_), DateField::Absent | DateField::Unreadable) => true,
    }
}

fn renewed(entry: &Entry, input: &UpdateInput<'_>) -> Option<Entry> {
    let UpdateInput { not_modified, sent, request_time, response_time, route } = *input;
    let mut news = not_modified.fields.clone();
    remove_hop_by_hop(&mut news);
    let new_tags = if has_tags(&news) { Some(tags(&news).ok()?) } else { None };
    // A cookie is for the one who asked, unless the route has them stored and nothing of one
    // visitor's own was sent.
    let shared = route.store_set_cookie && own_input(sent, route).is_none();
    news.retain(|name, _| {
        !KEPT.contains(&name) && !TAG_FIELDS.contains(&name) && (name != "set-cookie" || shared)
    });
    let mut fields = entry.fields.clone();
    fields.retain(|name, _| !news.has(name));
    for (name, value) in news.iter() {
        fields.append(name, value);
    }
    let merged = ResponseHead { status: entry.status, fields };
    let edge = edge_directives(&merged.fields);
    refusal(&merged, &edge, route).ok()?;
    // RFC 9111 §3.5: an answer to credentials counts for others only where the response says so.
    request_refusal(sent, &edge, route).ok()?;
    let freshness = freshness(&merged, route, response_time);
    if merged.fields.has("set-cookie") {
        cookie_refusal(&merged, &edge, &freshness, route).ok()?;
    }
    let names = selection_names(&merged.fields, sent).ok()?;
    if !entry.selection.0.iter().map(|(name, _)| name).eq(names.iter()) {
        return None;
    }
    let tags = new_tags.unwrap_or_else(|| entry.tags.clone());
    Some(Entry {
        targets: entry.page.targets(&tags),
        tags,
        freshness,
        initial_age: initial_age(&not_modified.fields, request_time, response_time),
        request_time,
        response_time,
        fields: stored_fields(&merged.fields, &edge, route),
        ..entry.clone()
    })
}
