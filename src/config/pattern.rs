//! Path patterns of route rules: `/exact`, `/blog/*` (all below), `*.pdf` forms with `*` for any
//! characters.
//!
//! `*` matches any number of characters, `/` included; everything else matches itself. Patterns
//! match the path as it came, percent-encoding kept.

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
