//! What the reader gives: pieces, and what was wrong.

/// The longest tag. A longer one is text.
pub const MAX_TAG_BYTES: usize = 4 << 10;

/// The place of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    /// Where the fragment is, as the page says it.
    pub src: String,
    /// `onerror="continue"`: it may be left out without a word.
    pub may_fail: bool,
}

/// What a body is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EsiPiece {
    /// Bytes for the visitor, as they came.
    Text(Vec<u8>),
    /// The place of a fragment.
    Include(Include),
}

/// What is wrong with a body. It is served all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EsiFault {
    /// A tag of ESI that can't be read: it is text.
    Malformed,
    /// An element of ESI that is not known, or a closing tag of what is not open: it is text.
    Unknown,
    /// The body ends within `<esi:remove>` or `<!--esi`: what was to be removed is removed up to
    /// the end.
    Unclosed,
}

impl EsiFault {
    /// The reason's name in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "esi-malformed",
            Self::Unknown => "esi-unknown",
            Self::Unclosed => "esi-unclosed",
        }
    }
}
