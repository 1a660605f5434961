//! Host names as settings and invalidations write them: `example.com`, `example.com:8443`,
//! `[::1]:8080`.
//!
//! The canonical form is what the runtime's URL parser makes of it: lower case, numeric addresses
//! normalised. Refused are schemes, paths, user names, wildcards, and names outside ASCII: to map
//! them as a browser does takes Unicode's tables, so they are to be given in Punycode, as requests
//! carry them. Without a scheme both default ports (80 and 443) are dropped: for purging, `http`
//! and `https` are one resource.
//! So is the root's dot (`example.com.`).

use std::borrow::Cow;

/// What to do about a host outside ASCII, wherever it is written.
pub(crate) const NOT_ASCII: &str = "a host outside ASCII is given in Punycode (xn--…)";

/// Why a text is not a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostError {
    /// It is empty.
    Empty,
    /// It has a scheme, a path, a query or a user name.
    NotAlone,
    /// It has a `*`.
    Wildcard,
    /// It is not in ASCII.
    NotAscii,
    /// The name or address can't be parsed.
    Malformed,
    /// The port is not 1 to 65535.
    Port,
}

impl std::fmt::Display for HostError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "a host can't be empty",
            Self::NotAlone => "a host stands alone, without scheme, path or user (example.com)",
            Self::Wildcard => "a host has no wildcard: name each host",
            Self::NotAscii => NOT_ASCII,
            Self::Malformed => "not a host name or address",
            Self::Port => "a port is a number from 1 to 65535",
        })
    }
}

impl std::error::Error for HostError {}

/// The canonical form of a host with an optional port.
///
/// # Errors
/// Says which rule the text breaks.
pub fn parse_host(text: &str) -> Result<String, HostError> {
    if text.is_empty() {
        return Err(HostError::Empty);
    }
    if text.contains(['/', '\\', '@', '?', '#']) {
        return Err(HostError::NotAlone);
    }
    if text.contains('*') {
        return Err(HostError::Wildcard);
    }
    if !text.is_ascii() {
        return Err(HostError::NotAscii);
    }
    let (name, port) = split_port(text);
    let name = name.strip_suffix('.').unwrap_or(name);
    let host = url::Host::parse(name).map_err(|_| HostError::Malformed)?;
    // It may have come percent-encoded.
    if host.to_string().contains('*') {
        return Err(HostError::Wildcard);
    }
    match port {
        None => Ok(host.to_string()),
        Some(port) => {
            if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
                return Err(HostError::Port);
            }
            match port.parse::<u16>() {
                Ok(80 | 443) => Ok(host.to_string()),
                Ok(port) if port > 0 => Ok(format!("{host}:{port}")),
                Ok(_) | Err(_) => Err(HostError::Port),
            }
        }
    }
}

/// A host as purges compare it: without a default port, of either scheme, and without the dot of
/// the root (RFC 3986 §3.2.2).
#[must_use]
pub fn bare(host: &str) -> Cow<'_, str> {
    let (name, port) = split_port(host);
    let port = port.filter(|port| !matches!(*port, "80" | "443"));
    match (name.strip_suffix('.'), port) {
        (None, Some(_)) => Cow::Borrowed(host),
        (None, None) => Cow::Borrowed(name),
        (Some(name), None) => Cow::Borrowed(name),
        (Some(name), Some(port)) => Cow::Owned(format!("{name}:{port}")),
    }
}

/// Host and port of a text; the colons inside `[…]` belong to the address.
pub(crate) fn split_port(text: &str) -> (&str, Option<&str>) {
    let after_address = text.rfind(']').map_or(0, |at| at + 1);
    match text.get(after_address..).and_then(|rest| rest.find(':')) {
        Some(at) => (&text[..after_address + at], Some(&text[after_address + at + 1..])),
        None => (text, None),
    }
}
