//! Other readings of a path: what an origin may take it for.
//!
//! Rules match the path as it came. An origin may decode it (twice, behind a proxy of its own),
//! resolve dots, merge slashes, cut path parameters or what follows an encoded `?`, `#` or control
//! character. A rule that keeps a path out of the cache must hold for all of that; this gives the
//! readings to match it with. It refuses nothing, and no key is made of what it returns.

use percent_encoding::percent_decode;

/// Decoding more often than this finds nothing that a chain of servers does.
const MAX_DECODINGS: usize = 3;

/// The readings of a path that differ from it: resolved as a whole, and cut.
#[must_use]
pub fn readings(path: &str) -> Vec<String> {
    let odd = path.contains(['%', '\\', ';']) || path.contains("//") || path.contains("/.");
    if !odd {
        return Vec::new();
    }
    let decoded = decoded(path);
    let cut = decoded.split(|c: char| c.is_ascii_control() || matches!(c, '?' | '#')).next();
    let mut found = vec![resolved(&decoded), resolved(cut.unwrap_or_default())];
    found.dedup();
    found.retain(|reading| reading != path);
    found
}

/// Percent-decoded until nothing changes; one `char` per byte.
fn decoded(path: &str) -> String {
    let mut text: Vec<u8> = path.bytes().collect();
    for _ in 0..MAX_DECODINGS {
        let next: Vec<u8> = percent_decode(&text).collect();
        if next == text {
            break;
        }
        text = next;
    }
    text.into_iter().map(|byte| if byte == b'\\' { '/' } else { char::from(byte) }).collect()
}

/// Without path parameters, empty segments and dots (RFC 3986 §5.2.4).
fn resolved(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    let mut open = true;
    for segment in path.split('/') {
        let name = segment.split(';').next().unwrap_or_default();
        open = matches!(name, "" | "." | "..");
        match name {
            ".." => drop(segments.pop()),
            "" | "." => {}
            _ => segments.push(name),
        }
    }
    let path = format!("/{}", segments.join("/"));
    if open && !segments.is_empty() { format!("{path}/") } else { path }
}
