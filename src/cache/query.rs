//! Which query parameters count, and their order.
//!
//! The query is cut at `&` alone and kept byte for byte; names are percent-decoded only to be
//! compared. What counts is sorted by name, stably, so that repeated names keep their order. The
//! origin is sent the very text that is in the key: a parameter that one of the two does not see
//! (`utm_source=a;id=1`) can't poison the other.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::config::QueryPolicy;

/// The query as key and origin have it, without `?`; none if there is no parameter that counts.
#[must_use]
pub fn normalise_query(query: Option<&str>, policy: &QueryPolicy) -> Option<String> {
    let query = query.filter(|q| !q.is_empty())?;
    let counts: &dyn Fn(&[u8]) -> bool = match policy {
        QueryPolicy::Verbatim => return Some(query.to_owned()),
        QueryPolicy::Deny(patterns) => &|name| !patterns.iter().any(|p| matches(p, name)),
        QueryPolicy::Allow(patterns) => &|name| patterns.iter().any(|p| matches(p, name)),
    };
    let mut kept: Vec<(Cow<'_, [u8]>, &str)> = query
        .split('&')
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| (name_of(parameter), parameter))
        .filter(|(name, _)| counts(name))
        .collect();
    kept.sort_by(|(a, _), (b, _)| a.cmp(b));
    let kept: Vec<&str> = kept.into_iter().map(|(_, parameter)| parameter).collect();
    (!kept.is_empty()).then(|| kept.join("&"))
}

/// A trailing `*` matches any ending.
fn matches(pattern: &str, name: &[u8]) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start.as_bytes()),
        None => name == pattern.as_bytes(),
    }
}

/// A parameter's name, decoded as a form's (`+` is a space, `%41` is `A`); a broken escape stands
/// for itself.
fn name_of(parameter: &str) -> Cow<'_, [u8]> {
    let name = parameter.split('=').next().unwrap_or_default();
    if name.contains(['+', '%']) {
        Cow::Owned(percent_decode_str(&name.replace('+', " ")).collect())
    } else {
        Cow::Borrowed(name.as_bytes())
    }
}
