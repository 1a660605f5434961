//! The request for a visitor's own parts of a page, and whether its answer may be believed.
//!
//! One request for all of a page, with the visitor's cookies and the CSRF secret in force. Its
//! answer repeats an id of 190 bits that was made for this request alone, so that no other answer
//! can be taken for it; a sign of a cache on the way refuses it. Parts are text: nothing is read in
//! them.

use std::collections::HashMap;

use serde::Deserialize;
use sfv::{DictSerializer, KeyRef, StringRef};

use crate::base::json::read_json;
use crate::cache::forward::CONDITIONS;
use crate::cache::forward::{EdgeFacts, pass_request_fields};
use crate::http::cache_control::{FieldScope, ResponseDirectives};
use crate::http::list::trim;
use crate::http::{Fields, RequestHead, ResponseHead};

use super::field::ComposeField;
use super::visitor::Minted;

/// Where the origin answers for personal parts.
pub const PATH: &str = "/_edge_isr/personal";
/// The field that makes it answer; without it, the path is not there.
pub const PERSONAL: &str = "x-edge-isr-personal";
/// The largest answer.
pub const MAX_BYTES: usize = 256 << 10;

/// Why an answer for personal parts is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PersonalError {
    /// The origin gave no answer.
    Origin,
    /// None in time.
    Timeout,
    /// Its status is not 200.
    Status,
    /// It is not JSON, coded, or not what it must be.
    Malformed,
    /// It came out of a cache, or does not forbid being kept.
    Cached,
    /// It is larger than [`MAX_BYTES`].
    TooLarge,
    /// It repeats another id, or has parts that were not asked for.
    Foreign,
}

impl PersonalError {
    /// The reason's name in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Origin => "personal-origin",
            Self::Timeout => "personal-timeout",
            Self::Status => "personal-status",
            Self::Malformed => "personal-malformed",
            Self::Cached => "personal-cached",
            Self::TooLarge => "personal-too-large",
            Self::Foreign => "personal-foreign",
        }
    }
}

/// What is asked: by whom, for which page.
pub struct PartsRequest<'a> {
    /// The visitor's request.
    pub request: &'a RequestHead,
    /// What the page's origin says of its placeholders.
    pub field: &'a ComposeField,
    /// What was made for this answer.
    pub minted: &'a Minted,
    /// An id that no other request has.
    pub id: &'a str,
    /// Path and query of the page, as its origin got them.
    pub page: &'a str,
    /// The head of the answer is sent already: no cookie can be set.
    pub late: bool,
}

/// Path and query of the request.
#[must_use]
pub fn target(field: &ComposeField) -> String {
    let names: Vec<String> = field.personal.iter().map(|name| format!("n={name}")).collect();
    format!("{PATH}?{}", names.join("&"))
}

/// The fields of the request; none if a value can't stand in a structured field.
#[must_use]
pub fn request_fields(ask: &PartsRequest<'_>, edge: &EdgeFacts<'_>) -> Option<Fields> {
    let mut fields = pass_request_fields(ask.request, edge);
    fields.retain(|name, _| !CONDITIONS.contains(&name) && !name.starts_with("content-"));
    fields.set("accept", "application/json");
    fields.set("accept-encoding", "identity");
    if let (Some(cookie), Some(secret)) = (&ask.field.csrf, ask.minted.secret()) {
        fields.set("cookie", cookie.in_force(&ask.request.fields, secret));
    }
    let mut said = DictSerializer::new();
    let text = |text| StringRef::from_str(text).ok();
    said.bare_item(KeyRef::from_str("id").ok()?, text(ask.id)?);
    said.bare_item(KeyRef::from_str("page").ok()?, text(ask.page)?);
    if let Some(lang) = &ask.field.lang {
        said.bare_item(KeyRef::from_str("lang").ok()?, text(lang)?);
    }
    if let Some(nonce) = ask.minted.nonce() {
        said.bare_item(KeyRef::from_str("nonce").ok()?, text(nonce)?);
    }
    said.bare_item(KeyRef::from_str("late").ok()?, ask.late);
    fields.set(PERSONAL, said.finish()?);
    Some(fields)
}

/// Whether the head of an answer is one that can be believed.
///
/// # Errors
/// Why not.
pub fn check_head(head: &ResponseHead) -> Result<(), PersonalError> {
    let fields = &head.fields;
    if head.status != 200 {
        return Err(PersonalError::Status);
    }
    let directives = ResponseDirectives::of(fields, "cache-control");
    let kept = !directives.no_store || directives.private != FieldScope::Whole;
    if kept || crate::cache::forbidden::is_from_cache(fields) || fields.has("age") {
        return Err(PersonalError::Cached);
    }
    let kind = fields.joined("content-type").unwrap_or_default();
    let kind = trim(kind.split(';').next().unwrap_or_default());
    let coded = fields
        .all("content-encoding")
        .any(|coding| !matches!(trim(coding).to_ascii_lowercase().as_str(), "" | "identity"));
    if coded || !kind.eq_ignore_ascii_case("application/json") {
        return Err(PersonalError::Malformed);
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonalBody {
    id: String,
    parts: HashMap<String, String>,
}

/// The parts of an answer, in the order of the field; none for one that failed at the origin.
///
/// # Errors
/// Why it is not believed.
pub fn parts(
    id: &str,
    field: &ComposeField,
    body: &[u8],
) -> Result<Vec<Option<String>>, PersonalError> {
    if body.len() > MAX_BYTES {
        return Err(PersonalError::TooLarge);
    }
    let mut body: PersonalBody = read_json(body).map_err(|_| PersonalError::Malformed)?;
    if body.id != id {
        return Err(PersonalError::Foreign);
    }
    let parts = field.personal.iter().map(|name| body.parts.remove(name)).collect();
    if body.parts.is_empty() { Ok(parts) } else { Err(PersonalError::Foreign) }
}

/// The cookies that an answer sets, but for the CSRF cookie, which is the edge's to set.
#[must_use]
pub fn cookies_set(head: &ResponseHead, field: &ComposeField) -> Vec<String> {
    let csrf_cookie = field.csrf.as_ref().map(|cookie| cookie.name.as_str());
    let name = |line: &str| trim(line.split(['=', ';']).next().unwrap_or_default()).to_owned();
    let lines =
        head.fields.all("set-cookie").filter(|line| Some(name(line).as_str()) != csrf_cookie);
    lines.map(str::to_owned).collect()
}
