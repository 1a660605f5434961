//! What of a visitor's request does not reach the origin of a page that may be stored: the stored
//! page is everyone's, but an answer that may not be stored must be the one to the whole request.
//!
//! | not forwarded | such as | what it means |
//! | --- | --- | --- |
//! | nothing | | the answer is the one to the whole request |
//! | what browsers send with everything | `User-Agent`, `Referer`, the client's address, conditions | the same page, most likely |
//! | cookies outside the key | `_ga` | the same page, most likely, or one visitor's own |
//! | other fields | `X-Api-Key`, `HX-Request`, `Prefer` | most likely another answer |
//!
//! With `forward_headers = "all"` what browsers send with everything counts as nothing.

use crate::config::ForwardHeaders;
use crate::http::list::list_value;
use crate::http::list::trim;
use crate::http::{Fields, RequestHead, accept, cookie, origin};

use super::admitted::Admitted;
use super::forward::{CONDITIONS, is_edge_own, is_in_key};

/// What of a request is not forwarded, by the most important part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotForwarded {
    /// Nothing.
    Nothing,
    /// What browsers send with every request.
    Usual,
    /// A cookie.
    Cookies,
    /// A field that browsers do not send by themselves.
    Other,
}

/// Fields that browsers send with every request, or with many, by themselves.
const USUAL: &[&str] = &[
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "content-length",
    "device-memory",
    "dnt",
    "downlink",
    "dpr",
    "ect",
    "pragma",
    "priority",
    "purpose",
    "referer",
    "rtt",
    "save-data",
    "upgrade-insecure-requests",
    "user-agent",
    "via",
    "viewport-width",
    "width",
    "x-forwarded-for",
];

/// What a whole request has that the one for a page that may be stored has not, or has otherwise.
#[must_use]
pub fn not_forwarded(admitted: &Admitted<'_>, sent: &Fields, whole: &Fields) -> NotForwarded {
    let key_cookies = &admitted.route.key_cookies;
    let of = |name: &str, value: &str| {
        if trim(value).is_empty() || is_same(name, sent, whole) {
            NotForwarded::Nothing
        } else if name == "cookie" {
            let more = cookie::has_other(whole, key_cookies);
            if more { NotForwarded::Cookies } else { NotForwarded::Nothing }
        } else if USUAL.contains(&name) || CONDITIONS.contains(&name) || name.starts_with("sec-") {
            NotForwarded::Usual
        } else {
            NotForwarded::Other
        }
    };
    let fields = whole.iter().filter(|(name, _)| !is_said_by_edge(name));
    // The edge speaks in its own name where a visitor has none.
    let added = sent.has("user-agent") && !whole.has("user-agent");
    let least = if added { NotForwarded::Usual } else { NotForwarded::Nothing };
    let most = fields.map(|(name, value)| of(name, value)).fold(least, NotForwarded::max);
    // A route that forwards all fields keeps back the client's address, conditions and the spelling
    // of what is negotiated: by its own word, no answer depends on those.
    let forwards_all = matches!(admitted.route.forward_headers, ForwardHeaders::All);
    if forwards_all && most == NotForwarded::Usual { NotForwarded::Nothing } else { most }
}

/// Whether the origin learns the same of a field from both.
fn is_same(name: &str, sent: &Fields, whole: &Fields) -> bool {
    let (sent, whole) = (sent.joined(name), whole.joined(name).unwrap_or_default());
    match name {
        // One of few lists that say the same to every origin that knows these codings.
        "accept-encoding" => sent.is_some(),
        "accept" => sent.is_some() && accept::is_readable(&whole),
        "origin" => sent.is_some_and(|sent| sent.eq_ignore_ascii_case(trim(&whole))),
        _ => sent.is_some_and(|sent| list_value(&sent) == list_value(&whole)),
    }
}

/// Whether the edge says a field itself, in every request alike.
fn is_said_by_edge(name: &str) -> bool {
    is_edge_own(name) && name != "x-forwarded-for"
}

/// Whether a request has a field which selects the response, and which the origin of a stored page
/// does not get to see: no stored response can be known to be the one for it (RFC 9111 §4.1).
/// Cookies and `User-Agent` are the route's matter: they count where `key_cookies` and `vary_on`
/// say so.
#[must_use]
pub fn selects_by_more(unsent: &[&str], request: &RequestHead) -> bool {
    let has = |name: &str| request.fields.all(name).any(|value| !trim(value).is_empty());
    unsent.iter().any(|name| !matches!(*name, "cookie" | "user-agent") && has(name))
}

/// Whether the origin of a stored page does not get to see all of a request's field that it may
/// negotiate by: what can't be read of it may be what selects.
#[must_use]
pub fn is_cut(name: &str, request: &RequestHead, admitted: &Admitted<'_>) -> bool {
    let listed = matches!(admitted.route.forward_headers, ForwardHeaders::Listed(_));
    let readable: fn(&str) -> bool = match name {
        "origin" => |value| origin::origin(value).is_some(),
        "accept" if listed => accept::is_readable,
        // Where the route has languages the origin sees one of them.
        "accept-language" if listed && admitted.route.languages.is_empty() => {
            accept::is_language_readable
        }
        _ => return false,
    };
    let mut rows = request.fields.all(name);
    match (rows.next(), rows.next()) {
        (None, _) => false,
        (Some(value), None) => !readable(value),
        (Some(_), Some(_)) => request.fields.joined(name).is_some_and(|value| !readable(&value)),
    }
}

/// The fields of an origin request that say nothing of its visitor but what selects the variant:
/// what the origin answers to them, it answers to all who ask for it.
#[must_use]
pub fn impersonal_fields(sent: &Fields, admitted: &Admitted<'_>, selecting: &[String]) -> Fields {
    let route = &*admitted.route;
    let listed = !matches!(route.forward_headers, ForwardHeaders::All);
    let mut fields = sent.clone();
    fields.retain(|name, _| match name {
        // Those of the key; the edge's own.
        "cookie" | "user-agent" => listed,
        "accept-encoding" => true,
        name => {
            is_edge_own(name)
                || admitted.facts.iter().any(|(fact, _)| *fact == name)
                || selecting.iter().any(|selecting| selecting == name)
                || is_in_key(name, route)
        }
    });
    fields
}
