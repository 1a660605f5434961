//! `Age` (RFC 9111 §5.1): how long a response had been in other caches.
//!
//! ```text
//! Age = delta-seconds
//! ```
//!
//! | value | read as | why |
//! | --- | --- | --- |
//! | `30` | 30 s | |
//! | `0, 7200` | 0 s | §5.1: the first member of a list counts, in one field line or several |
//! | `-1`, `1.5`, `1;a=b`, `abc` | nothing | §5.1: what is not delta-seconds is ignored |

use super::Fields;
use super::list::trim;
use crate::base::time::Seconds;

/// Reads `Age`; none if there is none that can be read.
#[must_use]
pub fn age(fields: &Fields) -> Option<Seconds> {
    let first = fields.get("age")?.split(',').next().unwrap_or_default();
    delta_seconds(trim(first))
}

/// `delta-seconds` (RFC 9111 §1.2.2): digits alone; a value too great to hold counts as 2^31.
#[must_use]
pub fn delta_seconds(text: &str) -> Option<Seconds> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(text.parse::<u64>().map_or(Seconds::MAX, |n| Seconds(n).min(Seconds::MAX)))
}
