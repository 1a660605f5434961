//! `Cookie` (RFC 6265 §4.2): the cookies of a request, and which of them count.
//!
//! ```text
//! cookie-string = cookie-pair *( ";" SP cookie-pair )
//! ```
//!
//! Pairs are cut at `;` alone, as origins do, and kept byte for byte; a name may stand several
//! times. When it is asked whether a cookie is *there*, names are also looked for behind commas,
//! because a runtime joins two field lines with one: a session must not hide from the bypass rule.

use super::Fields;
use super::list::trim;

/// A request's cookies in order: name and value. A pair without `=` is a name without a value.
#[must_use]
pub fn cookies(fields: &Fields) -> Vec<(&str, &str)> {
    fields
        .all("cookie")
        .flat_map(|line| line.split(';'))
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (trim(name), trim(value)))
        .filter(|(name, value)| !name.is_empty() || !value.is_empty())
        .collect()
}

/// Whether a name is one of the patterns; a trailing `*` matches any ending.
#[must_use]
pub fn matches(name: &str, patterns: &[String]) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    })
}

/// Whether a cookie is there whose name is one of the patterns.
#[must_use]
pub fn has_any(fields: &Fields, patterns: &[String]) -> bool {
    fields
        .all("cookie")
        .flat_map(|line| line.split([';', ',']))
        .map(|pair| pair.split('=').next().unwrap_or_default())
        .any(|name| matches(trim(name), patterns))
}

/// The values of the cookies of one name, in order, as one text; none if there is no such cookie. A
/// value holds no `;`, so different lists give different texts.
#[must_use]
pub fn values(fields: &Fields, name: &str) -> Option<String> {
    let found: Vec<&str> =
        cookies(fields).into_iter().filter(|(n, _)| *n == name).map(|(_, v)| v).collect();
    (!found.is_empty()).then(|| found.join(";"))
}

/// A `Cookie` field with the named cookies alone, in the order of the names and then in their own;
/// none if none of them is there. Their order among other names is in no key.
#[must_use]
pub fn only(fields: &Fields, names: &[String]) -> Option<String> {
    let came = cookies(fields);
    let of = |name| came.iter().filter(move |(came, _)| *came == name);
    let kept = names.iter().flat_map(of).map(|(name, value)| format!("{name}={value}"));
    let kept: Vec<String> = kept.collect();
    (!kept.is_empty()).then(|| kept.join("; "))
}

/// Whether a cookie is there that is none of the named.
#[must_use]
pub fn has_other(fields: &Fields, names: &[String]) -> bool {
    cookies(fields).iter().any(|(name, _)| !names.iter().any(|n| n == name))
}
