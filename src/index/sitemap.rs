//! Reads sitemaps and sitemap indexes (sitemaps.org protocol 0.9) as their bytes arrive.
//!
//! It takes what it needs of XML 1.0 and refuses the rest: elements, attributes (unread), text,
//! CDATA, the five named entities and numeric ones, comments, processing instructions, UTF-8. A
//! document type is refused, and with it every entity of its own: no input grows while it is read.
//! The `loc` of each `url` or `sitemap` is given out, with the document's own prefix if it has one;
//! other elements, and those of extensions, are passed over.
//!
//! Limits are those of the protocol: 50 MiB and 50,000 entries of 2,048 bytes a file. Beside what is
//! being read, memory holds one tag or one address.

mod error;

use crate::base::xml::{self, MAX_TOKEN_BYTES, Token, TokenError};
pub use error::{MAX_BYTES, MAX_ENTRIES, MAX_LOC_BYTES, SitemapError};

/// How deep elements may stand in one another: the protocol's extensions need four.
const MAX_DEPTH: usize = 32;

/// What a file lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `urlset`: pages.
    Pages,
    /// `sitemapindex`: further files.
    Sitemaps,
}

/// A file that is being read.
#[derive(Debug)]
pub struct SitemapReader {
    /// What has arrived and is not read yet: the beginning of a token.
    rest: Vec<u8>,
    bytes: u64,
    line: u32,
    entries: u32,
    kind: Option<Kind>,
    /// The root's prefix with its colon, or nothing.
    prefix: String,
    /// The open elements.
    open: Vec<String>,
    /// Whether the entry that is open has an address.
    has_loc: bool,
    /// The address that is open.
    loc: String,
    begun: bool,
}

impl Default for SitemapReader {
    fn default() -> Self {
        Self {
            rest: Vec::new(),
            bytes: 0,
            line: 1,
            entries: 0,
            kind: None,
            prefix: String::new(),
            open: Vec::new(),
            has_loc: false,
            loc: String::new(),
            begun: false,
        }
    }
}

impl SitemapReader {
    /// Reads the next piece; the addresses that it completes are added to `found`.
    ///
    /// # Errors
    /// Why it is not a sitemap.
    pub fn feed(&mut self, piece: &[u8], found: &mut Vec<String>) -> Result<(), SitemapError> {
        self.bytes += piece.len() as u64;
        if self.bytes > MAX_BYTES {
            return Err(SitemapError::TooLarge);
        }
        let mut input = std::mem::take(&mut self.rest);
        input.extend_from_slice(piece);
        let mut at = 0;
        if !self.begun {
            if input.len() < 4 {
                self.rest = input;
                return Ok(());
            }
            self.begun = true;
            at = byte_order(&input)?;
        }
        while let Some((length, token)) =
            xml::token(input.get(at..).unwrap_or_default()).map_err(|error| self.at_line(error))?
        {
            let text = input.get(at..at + length).unwrap_or_default();
            self.read(text, token, found)?;
            self.line += text.iter().filter(|byte| **byte == b'\n').count() as u32;
            at += length;
        }
        input.drain(..at);
        self.rest = input;
        Ok(())
    }

    /// The file has ended.
    ///
    /// # Errors
    /// When it is not whole.
    pub fn end(self) -> Result<Kind, SitemapError> {
        let blank = self.rest.iter().all(u8::is_ascii_whitespace);
        match self.kind {
            None if blank => Err(SitemapError::Empty),
            Some(kind) if blank && self.open.is_empty() => Ok(kind),
            Some(_) | None => Err(SitemapError::Truncated),
        }
    }

    /// What the file lists, once its root has arrived.
    #[must_use]
    pub const fn kind(&self) -> Option<Kind> {
        self.kind
    }

    fn malformed(&self, what: &'static str) -> SitemapError {
        SitemapError::Malformed { line: self.line, what }
    }

    fn at_line(&self, error: TokenError) -> SitemapError {
        match error {
            TokenError::DocumentType => SitemapError::DocumentType,
            TokenError::Malformed(what) => self.malformed(what),
        }
    }

    fn read(
        &mut self,
        text: &[u8],
        token: Token,
        found: &mut Vec<String>,
    ) -> Result<(), SitemapError> {
        let inside = xml::inside(text, token);
        match token {
            Token::Aside => other_encoding(text),
            Token::Text | Token::Cdata => self.text(inside, token),
            Token::Open(closes) => {
                let name = self.name(inside)?;
                self.open(name)?;
                if closes { self.close(found) } else { Ok(()) }
            }
            Token::Close => {
                let name = self.name(inside)?;
                match self.open.last() {
                    Some(open) if open == name => self.close(found),
                    Some(open) => {
                        Err(SitemapError::Mismatch { line: self.line, open: short(open) })
                    }
                    None => Err(self.malformed("a tag closes what is not open")),
                }
            }
        }
    }

    fn name<'a>(&self, tag: &'a [u8]) -> Result<&'a str, SitemapError> {
        xml::name(tag).ok_or_else(|| self.malformed("this is no name of an element"))
    }

    fn text(&mut self, text: &[u8], token: Token) -> Result<(), SitemapError> {
        if self.open.is_empty() {
            let blank = text.iter().all(u8::is_ascii_whitespace) && token == Token::Text;
            let outside = "text outside the root element";
            return if blank { Ok(()) } else { Err(self.malformed(outside)) };
        }
        if !self.in_loc() {
            return Ok(());
        }
        if self.loc.len() + text.len() > MAX_TOKEN_BYTES {
            return Err(SitemapError::LongLoc { line: self.line });
        }
        let text = std::str::from_utf8(text).map_err(|_| SitemapError::Encoding)?;
        if token == Token::Cdata {
            self.loc.push_str(text);
            return Ok(());
        }
        let mut loc = std::mem::take(&mut self.loc);
        let resolved = xml::resolve(text, &mut loc).map_err(|error| self.at_line(error));
        self.loc = loc;
        resolved
    }

    fn open(&mut self, name: &str) -> Result<(), SitemapError> {
        if self.open.is_empty() {
            if self.kind.is_some() {
                return Err(self.malformed("a second root element"));
            }
            let at = name.find(':').map_or(0, |colon| colon + 1);
            let (prefix, local) = name.split_at(at);
            self.kind = Some(match local {
                "urlset" => Kind::Pages,
                "sitemapindex" => Kind::Sitemaps,
                _ => return Err(SitemapError::OtherRoot(short(name))),
            });
            prefix.clone_into(&mut self.prefix);
        }
        if self.open.len() == MAX_DEPTH {
            return Err(self.malformed("elements stand too deep in one another"));
        }
        self.open.push(name.to_owned());
        if self.stands_at(2) {
            self.has_loc = false;
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(SitemapError::TooMany);
            }
        }
        Ok(())
    }

    fn close(&mut self, found: &mut Vec<String>) -> Result<(), SitemapError> {
        if self.in_loc() {
            let loc = self.loc.trim();
            if loc.len() >= MAX_LOC_BYTES {
                return Err(SitemapError::LongLoc { line: self.line });
            }
            if !loc.is_empty() {
                self.has_loc = true;
                found.push(loc.to_owned());
            }
            self.loc.clear();
        } else if self.stands_at(2) && !self.has_loc {
            return Err(SitemapError::NoLoc { line: self.line });
        }
        self.open.pop();
        Ok(())
    }

    /// Whether as many elements are open, the second of them an entry.
    fn stands_at(&self, depth: usize) -> bool {
        let entry = match self.kind {
            Some(Kind::Pages) => "url",
            Some(Kind::Sitemaps) => "sitemap",
            None => return false,
        };
        self.open.len() == depth && self.is(1, entry)
    }

    fn in_loc(&self) -> bool {
        self.stands_at(3) && self.is(2, "loc")
    }

    fn is(&self, depth: usize, local: &str) -> bool {
        let name = self.open.get(depth).and_then(|name| name.strip_prefix(self.prefix.as_str()));
        name == Some(local)
    }
}

/// Past a byte order mark of UTF-8; those of other encodings are refused.
fn byte_order(input: &[u8]) -> Result<usize, SitemapError> {
    match input {
        [0xEF, 0xBB, 0xBF, ..] => Ok(3),
        [0xFE, 0xFF, ..] | [0xFF, 0xFE, ..] | [0, ..] | [_, 0, ..] => Err(SitemapError::Encoding),
        _ => Ok(0),
    }
}

/// The XML declaration may name another encoding.
fn other_encoding(aside: &[u8]) -> Result<(), SitemapError> {
    let lower = aside.to_ascii_lowercase();
    let names = |what: &[u8]| xml::find(&lower, what).is_some();
    let other = names(b"encoding") && !names(b"utf-8") && !names(b"us-ascii");
    if aside.starts_with(b"<?xml ") && other { Err(SitemapError::Encoding) } else { Ok(()) }
}

fn short(name: &str) -> String {
    name.chars().take(64).collect()
}
