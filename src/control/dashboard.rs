//! The dashboard: which request is for one of its files, and what goes with the file.
//!
//! Anyone may have the files: they hold nothing of the site, and ask the control API with the token
//! that is typed in. They load nothing from elsewhere, run no script but their own, and stand in no
//! frame. A name is a plain file's, so that no path leads out of their folder.

use crate::http::{Fields, RequestHead};

/// What a browser may do with the files: what is not named is forbidden.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// The fields that go with each file.
const FIELDS: [(&str, &str); 7] = [
    // A deploy is seen at once; what has not changed is answered with a 304.
    ("cache-control", "no-cache"),
    ("content-security-policy", POLICY),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("cache-status", "edge-isr;detail=control"),
];

/// What a request for the dashboard is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DashboardCall<'a> {
    /// A file of this name.
    File(&'a str),
    /// The address that the page has.
    Moved(String),
}

/// What a request asks of the dashboard; none if it is for something else.
#[must_use]
pub fn dashboard<'a>(request: &'a RequestHead, prefix: &str) -> Option<DashboardCall<'a>> {
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return None;
    }
    match request.path.strip_prefix(prefix)? {
        // Addresses in the page are relative to its own.
        "" => Some(DashboardCall::Moved(format!("{prefix}/"))),
        "/" => Some(DashboardCall::File("index.html")),
        rest => {
            let name = rest.strip_prefix("/dashboard/")?;
            is_name(name).then_some(DashboardCall::File(name))
        }
    }
}

/// The fields of an answer with a file: its own, as far as they describe it, and the policies.
#[must_use]
pub fn fields(file: &Fields) -> Fields {
    let described = ["content-type", "etag"].into_iter();
    let described = described.filter_map(|name| Some((name, file.get(name)?)));
    described.chain(FIELDS).collect()
}

fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(plain)
}
