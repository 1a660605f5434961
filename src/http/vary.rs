//! `Vary` (RFC 9110 §12.5.5): which request fields a response was selected by.
//!
//! ```text
//! Vary = #( "*" / field-name )
//! ```
//!
//! A member that is no field name makes the whole field `*`: a selection that can't be read is no
//! selection.

use super::Fields;
use super::list::{is_token, split};

/// More names than this are taken as `*`.
pub const MAX_NAMES: usize = 16;

/// What `Vary` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vary {
    /// These fields, in lower case, sorted, each once; none if the response does not vary.
    Names(Vec<String>),
    /// Anything: no request can be known to select the response again.
    Any,
}

/// Reads every `Vary` line.
#[must_use]
pub fn vary(fields: &Fields) -> Vary {
    let mut names = Vec::new();
    for line in fields.all("vary") {
        for name in split(line, b',').parts {
            if name == "*" || !is_token(name) {
                return Vary::Any;
            }
            names.push(name.to_ascii_lowercase());
        }
    }
    names.sort();
    names.dedup();
    if names.len() > MAX_NAMES { Vary::Any } else { Vary::Names(names) }
}
