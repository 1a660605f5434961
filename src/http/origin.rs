//! `Origin` (RFC 6454 §7, Fetch Standard): who asks across origins, and what an answer says to
//! whom.
//!
//! ```text
//! Origin = "null" / scheme "://" host [ ":" port ]
//! ```

use super::Fields;
use super::list::trim;

/// The longest field that is forwarded: a scheme, the longest host name, a port.
const MAX_BYTES: usize = 300;

/// The origin that a request names, in lower case; none if it is not one origin.
#[must_use]
pub fn origin(value: &str) -> Option<String> {
    let value = trim(value).to_ascii_lowercase();
    if value == "null" {
        return Some(value);
    }
    let (scheme, host) = value.split_once("://").filter(|_| value.len() <= MAX_BYTES)?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.'));
    let host_byte =
        |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b':' | b'[' | b']');
    (is_scheme && !host.is_empty() && host.bytes().all(host_byte)).then_some(value)
}

/// Whether a response lets one origin read it rather than all: it is for requests of that origin.
#[must_use]
pub fn names_one_origin(response: &Fields) -> bool {
    response.all("access-control-allow-origin").any(|value| !matches!(trim(value), "" | "*"))
}
