//! Path patterns of route rules: `/exact`, `/blog/*` (all below), `*.pdf` forms with `*` for any
//! characters.
//!
//! `*` matches any number of characters, `/` included; everything else matches itself. Patterns
//! match the path as it came, percent-encoding kept.
//!
//! An origin may decode a path (twice, behind a proxy of its own), resolve dots, merge slashes, cut
//! path parameters or what follows an encoded `?`, `#` or control character. A rule that keeps a
//! path out of the cache must hold for all of that: [`readings`] gives the paths to match it with.
//! It refuses nothing, and no key is made of what it returns.

use percent_encoding::percent_decode;
/// The CDN answers these paths itself; they never reach a Worker.
pub(super) const RESERVED_PREFIX: &str = "/cdn-cgi";

/// Whether a path is the prefix or lies below it.
pub(super) fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A path pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
}

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// It starts with neither `/` nor `*`.
    Start,
    /// It has a `?` or `#`: a pattern is for the path alone.
    Character,
}

impl std::fmt::Display for PatternError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Start => "a path pattern starts with / or *",
            Self::Character => "a path pattern has no ? and no #",
        })
    }
}

impl PathPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if !text.starts_with(['/', '*']) {
            return Err(PatternError::Start);
        }
        if text.contains(['?', '#']) {
            return Err(PatternError::Character);
        }
        Ok(Self { text: text.to_owned() })
    }

    /// Whether the whole path matches. Linear in the path for each `*` (greedy with one step back).
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let (pattern, path) = (self.text.as_bytes(), path.as_bytes());
        let (mut p, mut s, mut star, mut mark) = (0, 0, None, 0);
        while s < path.len() {
            if pattern.get(p) == Some(&b'*') {
                star = Some(p);
                mark = s;
                p += 1;
            } else if pattern.get(p) == path.get(s) {
                p += 1;
                s += 1;
            } else if let Some(at) = star {
                p = at + 1;
                mark += 1;
                s = mark;
            } else {
                return false;
            }
        }
        pattern.iter().skip(p).all(|&b| b == b'*')
    }

    /// The pattern's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

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
