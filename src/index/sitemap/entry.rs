//! What sitemaps list.

use super::error::SitemapError;

/// An entry's address, or what is wrong with the entry.
pub type SitemapEntry = Result<String, SitemapError>;

/// What a file lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SitemapKind {
    /// Pages.
    Pages,
    /// Further files: `sitemapindex`.
    Sitemaps,
}
