//! Whether an answer is a shell that may be kept: what its head must say beside the field.
//!
//! A shell says `private, no-store`, so that no cache on its way keeps it, and whoever does not
//! know the field neither; its freshness stands in the field. It is a 200 without cookies, without
//! a content coding, and its marker stands in no field but the policies, there as the nonce.

use crate::cache::entry::Entry;
use crate::http::cache_control::{FieldScope, ResponseDirectives};
use crate::http::list::trim;
use crate::http::{Fields, ResponseHead};

use super::field::{COMPOSE, ComposeField};

/// The policies, in which a nonce may stand (CSP3 §3.1, §3.2).
pub const POLICIES: &[&str] = &["content-security-policy", "content-security-policy-report-only"];
/// Fields of an answer that say how it is kept or compared: the shell's own are in its field, and
/// what is made of it has none.
pub const KEEPING: &[&str] = &[
    "age",
    "accept-ranges",
    "cache-control",
    "cdn-cache-control",
    "cloudflare-cdn-cache-control",
    "content-digest",
    "content-length",
    "content-md5",
    "digest",
    "etag",
    "expires",
    "last-modified",
    "pragma",
    "repr-digest",
    "surrogate-control",
    COMPOSE,
];

/// Whether an answer claims to be a shell.
#[must_use]
pub fn is_shell(fields: &Fields) -> bool {
    fields.has(COMPOSE)
}

/// Whether a stored response is a shell.
#[must_use]
pub fn is_stored_shell(entry: &Entry) -> bool {
    is_shell(&entry.fields)
}

/// What the nonce's placeholder in a policy looks like.
#[must_use]
pub fn nonce_placeholder(field: &ComposeField) -> String {
    format!("{}n00", field.marker)
}

/// Whether an answer to a request for a shell may be a shell whose field was lost on its way,
/// whatever fields for caches were added since: a shell says that nobody may keep it.
#[must_use]
pub fn may_have_been_shell(response: &ResponseHead) -> bool {
    response.status == 200 && is_kept_by_nobody(&response.fields)
}

fn is_kept_by_nobody(fields: &Fields) -> bool {
    let directives = ResponseDirectives::of(fields, "cache-control");
    directives.no_store && directives.private == FieldScope::Whole
}

/// Whether the head of an answer is one that a shell can have.
#[must_use]
pub fn is_head_of_shell(response: &ResponseHead, field: &ComposeField) -> bool {
    let fields = &response.fields;
    let coded = fields
        .all("content-encoding")
        .any(|coding| !matches!(trim(coding).to_ascii_lowercase().as_str(), "" | "identity"));
    let no_parts = field.personal.is_empty() && field.shared.is_empty();
    response.status == 200
        && is_kept_by_nobody(fields)
        && !coded
        && !fields.has("set-cookie")
        && !fields.has("content-range")
        && (no_parts || is_utf8(fields))
        && fields.iter().all(|(name, value)| may_hold_marker(name, value, field))
}

/// Parts are UTF-8, and stand in the middle of the page.
fn is_utf8(fields: &Fields) -> bool {
    let Some(kind) = fields.joined("content-type") else { return false };
    let mut parameters = kind.split(';').skip(1).map(trim);
    parameters.any(|parameter| {
        parameter.split_once('=').is_some_and(|(name, value)| {
            let value = value.trim_matches('"');
            name.eq_ignore_ascii_case("charset") && value.eq_ignore_ascii_case("utf-8")
        })
    })
}

/// Whether a field's value holds the marker nowhere, or only as the nonce of a policy.
fn may_hold_marker(name: &str, value: &str, field: &ComposeField) -> bool {
    if name == COMPOSE {
        return true;
    }
    let without = if field.nonce && POLICIES.contains(&name) {
        value.replace(&nonce_placeholder(field), "")
    } else {
        value.to_owned()
    };
    !without.contains(&field.marker)
}

/// The head as the rules of storage see it: with the freshness of the field, and without what they
/// would take for one visitor's own.
#[must_use]
pub fn as_public(response: &ResponseHead, field: &ComposeField) -> ResponseHead {
    let mut fields = response.fields.clone();
    fields.retain(|name, _| !KEEPING.contains(&name) && !POLICIES.contains(&name));
    if let Some(age) = response.fields.joined("age") {
        fields.set("age", age);
    }
    let mut lifetime = format!("max-age={}", field.max_age.0);
    if let Some(swr) = field.swr {
        lifetime.push_str(&format!(", stale-while-revalidate={}", swr.0));
    }
    if let Some(sie) = field.sie {
        lifetime.push_str(&format!(", stale-if-error={}", sie.0));
    }
    fields.set("cdn-cache-control", lifetime);
    ResponseHead { status: response.status, fields }
}

/// The fields that are stored of a shell: `stored`, as the rules of storage left them, with the
/// field and the policies as they came. What is stored says of itself that nobody may keep it.
#[must_use]
pub fn stored_fields(mut stored: Fields, came: &Fields) -> Fields {
    stored.remove("cdn-cache-control");
    stored.set("cache-control", "private, no-store");
    for name in POLICIES.iter().chain([&COMPOSE]) {
        for value in came.all(name) {
            stored.append(*name, value);
        }
    }
    stored
}
