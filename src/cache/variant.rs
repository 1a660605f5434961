//! Variants: which request fields select a stored response, with which values (RFC 9111 §4.1).
//!
//! Compared is what the origin was sent, not what the visitor wrote: a field that never reached the
//! origin can't have shaped the answer, so its value is empty. That is how `Vary: Cookie` is
//! satisfied on a page without key cookies. Normalised again, every value stays as it is.

use crate::cache::key::Selection;
use crate::config::ForwardHeaders;
use crate::http::list::{list_value, trim};
use crate::http::{Fields, RequestHead, language};

use super::admitted::Admitted;
use super::forward::is_edge_own;

/// The values that a request has for the fields which a response's `Vary` names.
#[must_use]
pub fn selection(
    names: &[String],
    _request: &RequestHead,
    admitted: &Admitted<'_>,
    sent: &Fields,
) -> Selection {
    selection_of(names, admitted, |name| sent.joined(name))
}

/// The same by what the origin is sent under each name.
#[must_use]
pub fn selection_of(
    names: &[String],
    admitted: &Admitted<'_>,
    mut sent: impl FnMut(&str) -> Option<String>,
) -> Selection {
    let mut rows = Vec::with_capacity(names.len());
    for name in names {
        let name = name.to_ascii_lowercase();
        let value = if is_constant(&name, admitted) {
            String::new()
        } else {
            value(&name, &sent(&name).unwrap_or_default())
        };
        rows.push((name, value));
    }
    rows.sort();
    rows.dedup();
    Selection(rows)
}

fn value(name: &str, value: &str) -> String {
    match name {
        "accept-language" => language::normalise(value),
        // RFC 9111 §4.1: white space and the joining of lines may be normalised away where the
        // syntax is known; a cookie's is not a list's.
        "cookie" => trim(value).to_owned(),
        _ => list_value(value),
    }
}

/// Whether the origin sees the same value from every visitor.
fn is_constant(name: &str, admitted: &Admitted<'_>) -> bool {
    let listed = match admitted.route.forward_headers {
        ForwardHeaders::Listed(_) => true,
        ForwardHeaders::All => false,
    };
    is_edge_own(name) || (listed && name == "user-agent")
}

/// The names that the origin varies on but never gets to see on this route: reported to the
/// operator, because the origin can't mean what it says.
#[must_use]
pub fn never_forwarded<'n>(names: &'n [String], admitted: &Admitted<'_>) -> Vec<&'n str> {
    let ForwardHeaders::Listed(listed) = &admitted.route.forward_headers else {
        return Vec::new();
    };
    let seen = |name: &str| {
        matches!(
            name,
            "accept" | "accept-encoding" | "accept-language" | "cookie" | "host" | "origin"
        ) || is_edge_own(name)
            || listed.iter().any(|l| l == name)
            || admitted.facts.iter().any(|(fact, _)| *fact == name)
    };
    names.iter().map(String::as_str).filter(|name| !seen(name)).collect()
}
