//! Sitemaps in XML: `urlset`, `sitemapindex`, RSS 2.0 and Atom.
//!
//! It takes what it needs of XML 1.0 and refuses the rest: elements, attributes (one is read),
//! text, CDATA, the five named entities and numeric ones, comments, processing instructions, UTF-8.
//! A document type is refused, and with it every entity of its own: no input grows while it is
//! read. The address of each entry is given out, with the document's own prefix if it has one;
//! other elements, and those of extensions, are passed over.

use super::error::{MAX_ENTRIES, MAX_LOC_BYTES, SitemapError};
use crate::base::xml::{self, MAX_TOKEN_BYTES, TokenError, XmlToken};

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

/// How deep elements may stand in one another: the protocol's extensions need four.
const MAX_DEPTH: usize = 32;

/// The forms of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Urlset,
    Index,
    Rss,
    Atom,
}

impl Format {
    /// By the root's name.
    fn of_root(local: &str) -> Option<Self> {
        match local {
            "urlset" => Some(Self::Urlset),
            "sitemapindex" => Some(Self::Index),
            "rss" => Some(Self::Rss),
            "feed" => Some(Self::Atom),
            _ => None,
        }
    }

    /// Where an entry stands, from the root.
    const fn entry(self) -> &'static [&'static str] {
        match self {
            Self::Urlset => &["urlset", "url"],
            Self::Index => &["sitemapindex", "sitemap"],
            Self::Rss => &["rss", "channel", "item"],
            Self::Atom => &["feed", "entry"],
        }
    }

    /// The element of an entry that has its address.
    const fn address(self) -> &'static str {
        match self {
            Self::Urlset | Self::Index => "loc",
            Self::Rss | Self::Atom => "link",
        }
    }
}

/// A document that is being read.
#[derive(Debug)]
pub(super) struct Document {
    line: u32,
    entries: u32,
    format: Option<Format>,
    /// The root's prefix with its colon, or nothing.
    prefix: String,
    /// The open elements.
    open: Vec<String>,
    /// Whether the entry that is open has an address.
    has_address: bool,
    /// What is wrong with the entry that is open.
    fault: Option<SitemapError>,
    /// The address that is open.
    address: String,
}

impl Default for Document {
    fn default() -> Self {
        Self {
            line: 1,
            entries: 0,
            format: None,
            prefix: String::new(),
            open: Vec::new(),
            has_address: false,
            fault: None,
            address: String::new(),
        }
    }
}

impl Document {
    /// Reads whole tokens; how much was read, and why nothing more is.
    pub(super) fn read(
        &mut self,
        input: &[u8],
        found: &mut Vec<SitemapEntry>,
    ) -> Result<(usize, Option<SitemapError>), SitemapError> {
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let step = xml::token(rest).map_err(|error| self.at_line(error)).and_then(|next| {
                let Some((length, token)) = next else { return Ok(None) };
                let text = rest.get(..length).unwrap_or_default();
                self.token(text, token, found)?;
                self.line += text.iter().filter(|byte| **byte == b'\n').count() as u32;
                Ok(Some(length))
            });
            match step {
                Ok(Some(length)) => at += length,
                Ok(None) => return Ok((at, None)),
                Err(SitemapError::TooMany) => return Ok((at, Some(SitemapError::TooMany))),
                // The document is whole: what follows it is no part of it.
                Err(error) if self.is_closed() => return Ok((at, Some(error))),
                Err(error) => return Err(error),
            }
        }
    }

    /// The file has ended, with nothing but white space or with something that is no token.
    pub(super) fn end(
        &self,
        blank: bool,
        over: bool,
        found: &mut Vec<SitemapEntry>,
    ) -> Result<SitemapKind, SitemapError> {
        match self.kind() {
            None if blank => Err(SitemapError::Empty),
            Some(kind) if over => Ok(kind),
            Some(kind) if self.is_closed() => {
                if !blank {
                    found.push(Err(self.malformed(OUTSIDE)));
                }
                Ok(kind)
            }
            Some(_) | None => Err(SitemapError::Truncated),
        }
    }

    /// What it lists, once its root has arrived.
    pub(super) fn kind(&self) -> Option<SitemapKind> {
        self.format.map(|format| match format {
            Format::Index => SitemapKind::Sitemaps,
            Format::Urlset | Format::Rss | Format::Atom => SitemapKind::Pages,
        })
    }

    const fn is_closed(&self) -> bool {
        self.format.is_some() && self.open.is_empty()
    }

    const fn malformed(&self, what: &'static str) -> SitemapError {
        SitemapError::Malformed { line: self.line, what }
    }

    const fn at_line(&self, error: TokenError) -> SitemapError {
        match error {
            TokenError::DocumentType => SitemapError::DocumentType,
            TokenError::Malformed(what) => self.malformed(what),
        }
    }

    fn token(
        &mut self,
        text: &[u8],
        token: XmlToken,
        found: &mut Vec<SitemapEntry>,
    ) -> Result<(), SitemapError> {
        let inside = xml::inside(text, token);
        match token {
            XmlToken::Aside => other_encoding(text),
            XmlToken::Text | XmlToken::Cdata => self.text(inside, token),
            XmlToken::Open(closes) => {
                self.open(self.name(inside)?)?;
                self.attribute(inside, found);
                if closes { self.close(found) } else { Ok(()) }
            }
            XmlToken::Close => {
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

    fn text(&mut self, text: &[u8], token: XmlToken) -> Result<(), SitemapError> {
        if self.open.is_empty() {
            let blank = text.iter().all(u8::is_ascii_whitespace) && token == XmlToken::Text;
            return if blank { Ok(()) } else { Err(self.malformed(OUTSIDE)) };
        }
        if self.format != Some(Format::Atom) && self.in_address() && self.fault.is_none() {
            self.fault = self.add(text, token).err();
        }
        Ok(())
    }

    /// Adds to the address that is open.
    fn add(&mut self, text: &[u8], token: XmlToken) -> Result<(), SitemapError> {
        if self.address.len() + text.len() > MAX_TOKEN_BYTES {
            return Err(SitemapError::LongLoc { line: self.line });
        }
        let text = std::str::from_utf8(text).map_err(|_| SitemapError::Encoding)?;
        if token == XmlToken::Cdata {
            self.address.push_str(text);
            return Ok(());
        }
        let mut address = std::mem::take(&mut self.address);
        let resolved = xml::resolve(text, &mut address).map_err(|error| self.at_line(error));
        self.address = address;
        resolved
    }

    fn open(&mut self, name: &str) -> Result<(), SitemapError> {
        if self.open.is_empty() {
            if self.format.is_some() {
                return Err(self.malformed("a second root element"));
            }
            let at = name.find(':').map_or(0, |colon| colon + 1);
            let (prefix, local) = name.split_at(at);
            let format = Format::of_root(local);
            self.format = Some(format.ok_or_else(|| SitemapError::OtherRoot(short(name)))?);
            prefix.clone_into(&mut self.prefix);
        }
        if self.open.len() == MAX_DEPTH {
            return Err(self.malformed("elements stand too deep in one another"));
        }
        self.open.push(name.to_owned());
        if self.in_entry() {
            if self.entries == MAX_ENTRIES {
                return Err(SitemapError::TooMany);
            }
            self.has_address = false;
            self.entries += 1;
        }
        Ok(())
    }

    /// An entry of Atom has its address in an attribute (RFC 4287 §4.2.7): without a relation, it
    /// is the page.
    fn attribute(&mut self, tag: &[u8], found: &mut Vec<SitemapEntry>) {
        if self.format != Some(Format::Atom) || !self.in_address() || self.fault.is_some() {
            return;
        }
        let relation = xml::attribute(tag, "rel");
        if let Some(href) = xml::attribute(tag, "href")
            && relation.is_none_or(|relation| relation == "alternate")
        {
            self.fault = self.add(href.as_bytes(), XmlToken::Text).err();
            self.take_address(found);
        }
    }

    fn close(&mut self, found: &mut Vec<SitemapEntry>) -> Result<(), SitemapError> {
        if self.in_address() {
            self.take_address(found);
        } else if self.in_entry() {
            let none = (!self.has_address).then_some(SitemapError::NoLoc { line: self.line });
            if let Some(fault) = self.fault.take().or(none) {
                found.push(Err(fault));
            }
        }
        self.open.pop();
        Ok(())
    }

    /// The address that is open is whole.
    fn take_address(&mut self, found: &mut Vec<SitemapEntry>) {
        let address = std::mem::take(&mut self.address);
        let address = address.trim();
        if self.fault.is_none() && address.len() >= MAX_LOC_BYTES {
            self.fault = Some(SitemapError::LongLoc { line: self.line });
        }
        if self.fault.is_none() && !address.is_empty() {
            self.has_address = true;
            found.push(Ok(address.to_owned()));
        }
    }

    /// Whether the innermost open element is an entry.
    fn in_entry(&self) -> bool {
        self.format.is_some_and(|format| {
            self.open.len() == format.entry().len() && self.is_inside(format.entry())
        })
    }

    /// Whether the innermost open element has an entry's address.
    fn in_address(&self) -> bool {
        self.format.is_some_and(|format| {
            let depth = format.entry().len();
            self.open.len() == depth + 1
                && self.is(depth, format.address())
                && self.is_inside(format.entry())
        })
    }

    fn is_inside(&self, path: &[&str]) -> bool {
        path.iter().enumerate().all(|(depth, local)| self.is(depth, local))
    }

    fn is(&self, depth: usize, local: &str) -> bool {
        let name = self.open.get(depth).and_then(|name| name.strip_prefix(self.prefix.as_str()));
        name == Some(local)
    }
}

const OUTSIDE: &str = "text outside the root element";

/// The XML declaration may name another encoding.
fn other_encoding(aside: &[u8]) -> Result<(), SitemapError> {
    let lower = aside.to_ascii_lowercase();
    let names = |what: &[u8]| xml::find(&lower, what).is_some();
    let utf8 = names(b"utf-8") || names(b"utf8") || names(b"us-ascii");
    let other = names(b"encoding") && !utf8;
    if aside.starts_with(b"<?xml ") && other { Err(SitemapError::Encoding) } else { Ok(()) }
}

fn short(name: &str) -> String {
    name.chars().take(64).collect()
}
