//! Reads sitemaps and sitemap indexes (sitemaps.org protocol 0.9) as their bytes arrive, in each of
//! the forms that the protocol has: XML, RSS 2.0 and Atom, and text with an address on each line.
//!
//! A bad entry (without an address, with one that is too long or can't be read) is reported by
//! itself, and the others are given out; so is what stands beyond the protocol's limits or after
//! the document's end. What is no sitemap at all, or ends in the middle, is refused as a whole.
//!
//! Limits are those of the protocol: 50 MiB and 50,000 entries of 2,048 bytes a file. Beside what
//! is being read, memory holds one tag, one line or one address.

mod document;
mod error;

use crate::base::xml::MAX_TOKEN_BYTES;
use document::Document;
pub use document::{SitemapEntry, SitemapKind};
pub use error::{MAX_BYTES, MAX_ENTRIES, MAX_LOC_BYTES, SitemapError};

/// A file that is being read.
#[derive(Debug)]
pub struct SitemapReader {
    /// What has arrived and is not read yet: the beginning of a token or of a line.
    rest: Vec<u8>,
    bytes: u64,
    format: SitemapFormat,
    /// Nothing of what follows is looked at.
    over: bool,
}

/// What the file turned out to be.
#[derive(Debug)]
enum SitemapFormat {
    /// Nothing but white space has arrived.
    Unknown,
    Document(Box<Document>),
    Lines(Lines),
}

/// A text file: an address on each line.
#[derive(Debug, Default)]
struct Lines {
    line: u32,
    entries: u32,
    /// Whether any line was an address.
    any: bool,
}

impl Default for SitemapReader {
    fn default() -> Self {
        Self { rest: Vec::new(), bytes: 0, format: SitemapFormat::Unknown, over: false }
    }
}

impl SitemapReader {
    /// Reads the next piece; the entries that it completes are added to `found`.
    ///
    /// # Errors
    /// Why it is not a sitemap.
    pub fn feed(
        &mut self,
        piece: &[u8],
        found: &mut Vec<SitemapEntry>,
    ) -> Result<(), SitemapError> {
        if self.over {
            return Ok(());
        }
        self.bytes += piece.len() as u64;
        if self.bytes > MAX_BYTES {
            return self.cut(SitemapError::TooLarge, found);
        }
        self.rest.extend_from_slice(piece);
        self.begin(false)?;
        let input = std::mem::take(&mut self.rest);
        let (read, cut) = match &mut self.format {
            SitemapFormat::Unknown => (0, None),
            SitemapFormat::Document(document) => document.read(&input, found)?,
            SitemapFormat::Lines(lines) => lines.read(&input, found),
        };
        self.rest = input;
        self.rest.drain(..read);
        if let Some(why) = cut { self.cut(why, found) } else { Ok(()) }
    }

    /// The file has ended.
    ///
    /// # Errors
    /// When it is not whole, or none of its lines is an address.
    pub fn end(mut self, found: &mut Vec<SitemapEntry>) -> Result<SitemapKind, SitemapError> {
        if !self.over {
            self.begin(true)?;
        }
        let blank = self.rest.iter().all(u8::is_ascii_whitespace);
        match self.format {
            SitemapFormat::Unknown => Err(SitemapError::Empty),
            SitemapFormat::Document(document) => document.end(blank, self.over, found),
            SitemapFormat::Lines(mut lines) => {
                if !self.over
                    && let Err(why) = lines.entry(&self.rest, found)
                {
                    found.push(Err(why));
                }
                if lines.any { Ok(SitemapKind::Pages) } else { Err(SitemapError::OtherFormat) }
            }
        }
    }

    /// What the file lists, once that is known.
    #[must_use]
    pub fn kind(&self) -> Option<SitemapKind> {
        match &self.format {
            SitemapFormat::Unknown => None,
            SitemapFormat::Document(document) => document.kind(),
            SitemapFormat::Lines(_) => Some(SitemapKind::Pages),
        }
    }

    /// Whether nothing of what may follow counts.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// The rest counts as one bad entry, if anything was read before it.
    fn cut(
        &mut self,
        why: SitemapError,
        found: &mut Vec<SitemapEntry>,
    ) -> Result<(), SitemapError> {
        if self.kind().is_none() {
            return Err(why);
        }
        self.over = true;
        self.rest.clear();
        found.push(Err(why));
        Ok(())
    }

    /// Decides by its first characters what the file is; none may follow if it is `whole`.
    fn begin(&mut self, whole: bool) -> Result<(), SitemapError> {
        if !matches!(self.format, SitemapFormat::Unknown) || (self.rest.len() < 4 && !whole) {
            return Ok(());
        }
        let at = byte_order(&self.rest)?;
        let text = self.rest.get(at..).unwrap_or_default();
        match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
            None if text.len() > MAX_TOKEN_BYTES => return Err(SitemapError::OtherFormat),
            None => return Ok(()),
            Some(b'<') => self.format = SitemapFormat::Document(Box::default()),
            Some(_) => self.format = SitemapFormat::Lines(Lines::default()),
        }
        self.rest.drain(..at);
        Ok(())
    }
}

impl Lines {
    /// Reads whole lines, however they end; how much was read, and why nothing more is.
    fn read(
        &mut self,
        input: &[u8],
        found: &mut Vec<SitemapEntry>,
    ) -> (usize, Option<SitemapError>) {
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                let long = rest.len() > MAX_TOKEN_BYTES;
                return (at, long.then_some(SitemapError::LongLoc { line: self.line + 1 }));
            };
            let (line, ending) = rest.split_at(end);
            // CR and LF together end one line.
            let length = match ending {
                b"\r" => return (at, None),
                [b'\r', b'\n', ..] => 2,
                _ => 1,
            };
            if let Err(why) = self.entry(line, found) {
                return (at, Some(why));
            }
            at += end + length;
        }
    }

    fn entry(&mut self, line: &[u8], found: &mut Vec<SitemapEntry>) -> Result<(), SitemapError> {
        self.line += 1;
        let bytes = line.trim_ascii();
        if bytes.is_empty() {
            return Ok(());
        }
        if self.entries == MAX_ENTRIES {
            return Err(SitemapError::TooMany);
        }
        self.entries += 1;
        let line = self.line;
        let entry = match std::str::from_utf8(bytes) {
            Err(_) => Err(SitemapError::Encoding),
            Ok(text) if !is_address(text) => Err(SitemapError::NoAddress { line }),
            Ok(text) if text.len() >= MAX_LOC_BYTES => Err(SitemapError::LongLoc { line }),
            Ok(text) => Ok(text.to_owned()),
        };
        self.any |= entry.is_ok();
        found.push(entry);
        Ok(())
    }
}

/// Whether a line is meant as an address.
fn is_address(text: &str) -> bool {
    let begins = |scheme: &str| {
        text.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
    };
    begins("http://") || begins("https://")
}

/// Past a byte order mark of UTF-8; those of other encodings are refused.
fn byte_order(input: &[u8]) -> Result<usize, SitemapError> {
    match input {
        [0xEF, 0xBB, 0xBF, ..] => Ok(3),
        [0xFE, 0xFF, ..] | [0xFF, 0xFE, ..] | [0, ..] | [_, 0, ..] => Err(SitemapError::Encoding),
        _ => Ok(0),
    }
}
