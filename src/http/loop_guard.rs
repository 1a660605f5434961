//! `CDN-Loop` (RFC 8586): a request that came through this edge before goes round in circles.
//!
//! ```text
//! CDN-Loop = #cdn-info
//! cdn-info = cdn-id *( OWS ";" OWS parameter )
//! ```

use super::Fields;
use super::list::{split, trim};

/// This edge's `cdn-id`.
pub const CDN_ID: &str = "edge-isr";

/// The most bytes that it may have: it is part of the key.
pub const MAX_BYTES: usize = 1024;

/// Whether the request came through this edge before. A value that can't be read is searched for
/// the bare name.
///
/// The lines are read one by one and as the one value that they are for whoever joins them (RFC
/// 9110 §5.3): a quoted string that begins in one and ends in another hides members from one of the
/// two readings.
#[must_use]
pub fn has_looped(fields: &Fields) -> bool {
    fields.all("cdn-loop").chain(fields.joined("cdn-loop").as_deref()).any(|value| {
        let split = split(value, b',');
        let mut ids = split.parts.iter().map(|part| trim(part.split(';').next().unwrap_or("")));
        ids.any(|id| id.eq_ignore_ascii_case(CDN_ID)) || (!split.closed && value.contains(CDN_ID))
    })
}

/// The field's value for the next hop: what came, and this edge (RFC 8586 §2: never removed or
/// changed).
#[must_use]
pub fn extended(fields: &Fields) -> String {
    match fields.joined("cdn-loop") {
        Some(seen) if !trim(&seen).is_empty() => format!("{seen}, {CDN_ID}"),
        Some(_) | None => CDN_ID.to_owned(),
    }
}

/// What CDNs other than the one this runs on said, as it came; none if that is nothing.
/// Cloudflare's own member is the same for every visitor: `cloudflare`, with numbers as `loops` and
/// `subreqs`.
#[must_use]
pub fn said_by_others(fields: &Fields) -> Option<String> {
    let said = fields.joined("cdn-loop")?;
    let parts = split(&said, b',');
    (!parts.closed || !parts.parts.iter().all(|part| is_the_platforms(part))).then_some(said)
}

fn is_the_platforms(member: &str) -> bool {
    let mut pieces = member.split(';').map(trim);
    let counts = |piece: &str| {
        piece.split_once('=').is_some_and(|(name, count)| {
            matches!(name, "loops" | "subreqs")
                && (1..=3).contains(&count.len())
                && count.bytes().all(|b| b.is_ascii_digit())
        })
    };
    pieces.next() == Some("cloudflare") && pieces.all(counts)
}
