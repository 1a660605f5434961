//! The CSRF cookie of a composed page: which secret is in force for a visitor, the `Set-Cookie`
//! that renews it, and what the request for the personal parts carries of it.
//!
//! Cookies are read as Django reads them: cut at `;`, the last of a name wins, quotes are undone.
//! What a visitor sent is never echoed: a secret is 32 letters and digits, whatever came. The
//! cookie's attributes are the origin's, out of a list of known ones, and written anew.

use crate::http::Fields;
use crate::http::list::is_token;

use super::mint::Secret;

/// The longest name or value of an attribute.
const MAX_BYTES: usize = 256;

/// The cookie that Django would have set: its name and its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsrfCookie {
    /// Its name.
    pub name: String,
    path: String,
    domain: Option<String>,
    others: Vec<String>,
}

impl CsrfCookie {
    /// Reads name and attributes; none if one is not known, stands twice or has a value that it
    /// can't have. `Expires` is not among them: it would be the time of another request.
    #[must_use]
    pub fn read(name: &str, attributes: &str) -> Option<Self> {
        if !is_token(name) || name.len() > MAX_BYTES || attributes.len() > 4 * MAX_BYTES {
            return None;
        }
        let (mut path, mut domain, mut others) = (None, None, Vec::new());
        let mut seen = Vec::new();
        for attribute in attributes.split("; ") {
            let (key, value) = match attribute.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (attribute, None),
            };
            if seen.contains(&key) {
                return None;
            }
            seen.push(key);
            match (key, value) {
                ("Path", Some(value)) if is_path(value) => path = Some(value.to_owned()),
                ("Domain", Some(value)) if is_domain(value) => {
                    domain = Some(value.to_ascii_lowercase());
                }
                ("Max-Age", Some(value)) if is_seconds(value) => others.push(attribute.to_owned()),
                ("SameSite", Some("Lax" | "Strict" | "None"))
                | ("Secure" | "HttpOnly" | "Partitioned", None) => {
                    others.push(attribute.to_owned());
                }
                _ => return None,
            }
        }
        Some(Self { name: name.to_owned(), path: path?, domain, others })
    }

    /// Whether a browser would take this cookie from a page, and send it there (RFC 6265 §5.1.3,
    /// §5.1.4): a token without its cookie is none.
    #[must_use]
    pub fn covers(&self, host: &str, path: &str) -> bool {
        let name = host.rsplit_once(':').map_or(host, |(name, port)| {
            if port.bytes().all(|b| b.is_ascii_digit()) { name } else { host }
        });
        let by_host = self.domain.as_deref().is_none_or(|domain| {
            let domain = domain.strip_prefix('.').unwrap_or(domain);
            let below = name.strip_suffix(domain).is_some_and(|left| left.ends_with('.'));
            name == domain || below
        });
        let rest = path.strip_prefix(self.path.as_str());
        let by_path = rest.is_some_and(|rest| {
            self.path.ends_with('/') || rest.is_empty() || rest.starts_with('/')
        });
        by_host && by_path
    }

    /// The `Set-Cookie` that sets or renews it, as Django does for each page that has a token.
    #[must_use]
    pub fn set_cookie(&self, secret: &Secret) -> String {
        let mut line = format!("{}={}; Path={}", self.name, secret.cookie_value(), self.path);
        for attribute in self.domain.iter().map(|domain| format!("Domain={domain}")) {
            line.push_str("; ");
            line.push_str(&attribute);
        }
        for attribute in &self.others {
            line.push_str("; ");
            line.push_str(attribute);
        }
        line
    }

    /// The secret that a visitor's cookies hold; none if Django would make a new one.
    #[must_use]
    pub fn secret_of(&self, request: &Fields) -> Option<Secret> {
        let value = pairs(request).filter(|(name, _)| *name == self.name).last()?.1;
        Secret::of_cookie(&unquote(value))
    }

    /// A `Cookie` field with the visitor's cookies and this secret in force.
    #[must_use]
    pub fn in_force(&self, request: &Fields, secret: &Secret) -> String {
        let mut line = String::new();
        for (name, value) in pairs(request).filter(|(name, _)| *name != self.name) {
            if name.is_empty() {
                line.push_str(value);
            } else {
                line.push_str(name);
                line.push('=');
                line.push_str(value);
            }
            line.push_str("; ");
        }
        line + &self.name + "=" + &secret.cookie_value()
    }
}

/// Whether a visitor has a cookie of one of these names, as Django reads them.
#[must_use]
pub fn has_cookie(request: &Fields, names: &[String]) -> bool {
    pairs(request).any(|(name, _)| names.iter().any(|n| n == name))
}

/// The cookies of a request as Django cuts them: `parse_cookie`.
fn pairs(request: &Fields) -> impl Iterator<Item = (&str, &str)> {
    request
        .all("cookie")
        .flat_map(|line| line.split(';'))
        .map(|pair| pair.split_once('=').unwrap_or(("", pair)))
        .map(|(name, value)| (strip(name), strip(value)))
        .filter(|(name, value)| !name.is_empty() || !value.is_empty())
}

/// White space off both ends, as Python's `str.strip` takes it.
fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}'))
}

/// A value without its quotes, as Python's `http.cookies` undoes them.
fn unquote(value: &str) -> String {
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let Some(inner) = inner else { return value.to_owned() };
    let (mut text, mut rest) = (String::with_capacity(inner.len()), inner);
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let octal = after.get(..3).filter(|digits| {
            digits.bytes().all(|b| matches!(b, b'0'..=b'7')) && digits.as_bytes()[0] <= b'3'
        });
        if let Some(code) = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            text.push(char::from(code));
            rest = after.get(3..).unwrap_or_default();
        } else if let Some(escaped) = after.chars().next() {
            text.push(escaped);
            rest = after.get(escaped.len_utf8()..).unwrap_or_default();
        } else {
            text.push('\\');
            rest = after;
        }
    }
    text.push_str(rest);
    text
}

fn is_path(value: &str) -> bool {
    value.starts_with('/')
        && value.len() <= MAX_BYTES
        && value.bytes().all(|b| b.is_ascii_graphic() && b != b';')
}

fn is_domain(value: &str) -> bool {
    !value.is_empty()
        && value.len() <= MAX_BYTES
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

fn is_seconds(value: &str) -> bool {
    (1..=10).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit())
}
