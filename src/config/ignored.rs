//! What an audit does not look at in a body: all that stands between two texts.
//!
//! Written as one text with a `*`: `<time>*</time>`. No regular expressions: each body is gone
//! through once a pattern, whatever it holds, and nobody has to escape the points of a page. An
//! end that is not there leaves the rest of the body to be looked at.

use std::fmt;

/// The longest pattern, in bytes.
const MAX_BYTES: usize = 200;

/// A text that begins what is not looked at, and one that ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    start: String,
    end: String,
}

/// Why a pattern is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IgnoredError {
    /// It has not exactly one `*`.
    Stars,
    /// There is no text before, or after, its `*`.
    Open,
    /// It is too long.
    Long,
}

impl fmt::Display for IgnoredError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stars => f.write_str("it has one * for what is not looked at: <time>*</time>"),
            Self::Open => f.write_str("it has text before and after its *: <time>*</time>"),
            Self::Long => write!(f, "it has at most {MAX_BYTES} bytes"),
        }
    }
}

impl Ignored {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, IgnoredError> {
        if text.len() > MAX_BYTES {
            return Err(IgnoredError::Long);
        }
        let (start, end) = text.split_once('*').ok_or(IgnoredError::Stars)?;
        if end.contains('*') {
            return Err(IgnoredError::Stars);
        }
        if start.trim().is_empty() || end.trim().is_empty() {
            return Err(IgnoredError::Open);
        }
        Ok(Self { start: start.to_owned(), end: end.to_owned() })
    }

    /// The body with a `*` in the place of each text that is not looked at.
    ///
    /// ```
    /// use edge_isr::config::Ignored;
    ///
    /// let clock = Ignored::parse("<time>*</time>")?;
    /// assert_eq!(clock.cut("a <time>12:00</time> b <time>1"), "a <time>*</time> b <time>1");
    /// # Ok::<(), edge_isr::config::IgnoredError>(())
    /// ```
    #[must_use]
    pub fn cut(&self, body: &str) -> String {
        let mut cut = String::with_capacity(body.len());
        let mut rest = body;
        while let Some((before, after)) = rest.split_once(self.start.as_str()) {
            let Some((_, beyond)) = after.split_once(self.end.as_str()) else { break };
            cut.push_str(before);
            cut.push_str(&self.start);
            cut.push('*');
            cut.push_str(&self.end);
            rest = beyond;
        }
        cut.push_str(rest);
        cut
    }
}
