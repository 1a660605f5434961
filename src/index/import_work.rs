//! The steps of an import: what a shard is to do for a sitemap, and what came of it.

use crate::index::sitemap::SitemapKind;

/// A sitemap on its way into the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SitemapFile {
    /// Its number in the shard.
    pub id: i64,
    /// The job that its pages count for.
    pub job: String,
    /// Its address.
    pub url: String,
    /// Whether an index listed it.
    pub nested: bool,
}

/// An address that a sitemap lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its number in the shard.
    pub id: i64,
    /// The address, as it was written.
    pub url: String,
}

/// What is to be done for an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportTask {
    /// Fetch the file, and note what it lists.
    Read(SitemapFile),
    /// Hand these to their pages' shards.
    HandOut {
        /// The file that lists them.
        file: SitemapFile,
        /// Some of them.
        pages: Vec<Listed>,
    },
}

/// Entries of a sitemap that can't be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BadEntries {
    /// How many there are.
    pub count: u64,
    /// Some of them: the number of the entry, from 1, and what is wrong with it.
    pub shown: Vec<(u64, String)>,
}

/// What came of a part of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportNews {
    /// The file lists these, and maybe more: they count once it was read whole.
    Lists(Vec<String>),
    /// It was read to its end. An index's addresses are files of their own.
    Read {
        /// What it lists.
        kind: SitemapKind,
        /// What it lists wrongly.
        bad: BadEntries,
    },
    /// It could not be read.
    Failed {
        /// Why.
        reason: String,
        /// Whether another try may succeed.
        again: bool,
    },
    /// Addresses were handed out.
    HandedOut {
        /// Those that their shards have taken.
        taken: Vec<i64>,
        /// Those that nobody will take, each with the reason.
        refused: Vec<(Listed, &'static str)>,
        /// Whether a shard did not take its own: they stay.
        failed: bool,
    },
}
