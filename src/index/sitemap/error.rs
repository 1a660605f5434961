//! The protocol's limits, and why a file is not a sitemap.

/// The most bytes of one file, unpacked.
pub const MAX_BYTES: u64 = 50 << 20;
/// The most entries of one file.
pub const MAX_ENTRIES: u32 = 50_000;
/// The longest address, in bytes: the protocol says "less than 2,048 characters".
pub const MAX_LOC_BYTES: usize = 2_048;

/// Why a file is not a sitemap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SitemapError {
    /// It has no element at all.
    Empty,
    /// It ends in the middle.
    Truncated,
    /// It is not well-formed.
    Malformed {
        /// The line, from 1.
        line: u32,
        /// What is wrong there.
        what: &'static str,
    },
    /// A tag closes another element than the one that is open.
    Mismatch {
        /// The line, from 1.
        line: u32,
        /// The open element.
        open: String,
    },
    /// It has a document type.
    DocumentType,
    /// It is not in UTF-8.
    Encoding,
    /// Its root is that of no sitemap.
    OtherRoot(String),
    /// It is neither XML, nor is any line an address.
    OtherFormat,
    /// A line that is no address.
    NoAddress {
        /// The line, from 1.
        line: u32,
    },
    /// An entry without an address.
    NoLoc {
        /// The line, from 1.
        line: u32,
    },
    /// An address of [`MAX_LOC_BYTES`] or more.
    LongLoc {
        /// The line, from 1.
        line: u32,
    },
    /// More than [`MAX_BYTES`].
    TooLarge,
    /// More than [`MAX_ENTRIES`].
    TooMany,
}

impl SitemapError {
    /// The reason's name.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Empty => "sitemap-empty",
            Self::Truncated => "sitemap-truncated",
            Self::Malformed { .. } | Self::Mismatch { .. } => "sitemap-malformed",
            Self::DocumentType => "sitemap-document-type",
            Self::Encoding => "sitemap-encoding",
            Self::OtherRoot(_) => "sitemap-other-root",
            Self::OtherFormat => "sitemap-other-format",
            Self::NoAddress { .. } => "sitemap-no-address",
            Self::NoLoc { .. } => "sitemap-no-loc",
            Self::LongLoc { .. } => "sitemap-long-loc",
            Self::TooLarge => "sitemap-too-large",
            Self::TooMany => "sitemap-too-many",
        }
    }
}

impl std::fmt::Display for SitemapError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())?;
        match self {
            Self::Malformed { line, what } => write!(f, " line {line}: {what}"),
            Self::Mismatch { line, open } => {
                write!(f, " line {line}: a tag closes another element than <{open}>")
            }
            Self::OtherRoot(root) => {
                write!(f, " <{root}>: expected <urlset>, <sitemapindex>, <rss> or <feed>")
            }
            Self::OtherFormat => f.write_str(": it is no XML, and none of its lines is an address"),
            Self::NoAddress { line } => write!(f, " line {line}: this is no address"),
            Self::NoLoc { line } => write!(f, " line {line}: an entry has no <loc>"),
            Self::LongLoc { line } => {
                write!(f, " line {line}: an address has fewer than {MAX_LOC_BYTES} bytes")
            }
            Self::TooLarge => write!(f, ": a file has at most {MAX_BYTES} bytes"),
            Self::TooMany => write!(f, ": a file has at most {MAX_ENTRIES} entries"),
            Self::Empty | Self::Truncated | Self::DocumentType | Self::Encoding => Ok(()),
        }
    }
}

impl std::error::Error for SitemapError {}
