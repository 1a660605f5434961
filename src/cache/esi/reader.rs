//! Reads a body into pieces as its bytes arrive, wherever they are cut.
//!
//! What may be the beginning of a tag is held until it is known whether it is one, and no more than
//! [`MAX_TAG_BYTES`]; all else goes on at once. It sees bytes, not characters: everything that it
//! looks for is ASCII, which stands for itself in every encoding of the web but UTF-16.

use crate::base::xml::find;

use super::tag::{EsiFault, EsiPiece, EsiTag, MAX_TAG_BYTES, TagEnd, end, tag};

const COMMENT: &[u8] = b"<!--";
const ESI_COMMENT: &[u8] = b"<!--esi";
const COMMENT_END: &[u8] = b"-->";
const CDATA: &[u8] = b"<![CDATA[";
const CDATA_END: &[u8] = b"]]>";
const OPENING: &[u8] = b"<esi:";
const CLOSING: &[u8] = b"</esi:";
const REMOVE_END: &[u8] = b"</esi:remove";

/// Where in a body the reader is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Within {
    /// Where tags of ESI count.
    #[default]
    Text,
    /// In a comment of HTML, which is text.
    Comment,
    /// In a CDATA section, which is text.
    Cdata,
    /// In `<esi:remove>`.
    Remove,
}

/// Reads one body.
#[derive(Clone, Debug, Default)]
pub struct EsiReader {
    /// What may be the beginning of something.
    held: Vec<u8>,
    within: Within,
    /// How many `<!--esi` are open.
    open: usize,
    fault: Option<EsiFault>,
}

impl EsiReader {
    /// Reads the next bytes.
    pub fn push(&mut self, bytes: &[u8], into: &mut Vec<EsiPiece>) {
        let mut held = std::mem::take(&mut self.held);
        if held.is_empty() {
            let read = self.read(bytes, false, into);
            self.held.extend_from_slice(bytes.get(read..).unwrap_or_default());
        } else {
            held.extend_from_slice(bytes);
            let read = self.read(&held, false, into);
            held.drain(..read);
            self.held = held;
        }
    }

    /// The body has ended.
    pub fn end(&mut self, into: &mut Vec<EsiPiece>) {
        let held = std::mem::take(&mut self.held);
        self.read(&held, true, into);
        if self.within == Within::Remove || self.open > 0 {
            self.note(EsiFault::Unclosed);
        }
    }

    /// What was found wrong first, if anything was.
    #[must_use]
    pub const fn fault(&self) -> Option<EsiFault> {
        self.fault
    }

    fn note(&mut self, fault: EsiFault) {
        self.fault.get_or_insert(fault);
    }

    /// Reads as far as it can be known what stands there; all of it if these are the last bytes.
    fn read(&mut self, input: &[u8], last: bool, into: &mut Vec<EsiPiece>) -> usize {
        let mut at = 0;
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            let step = match self.within {
                Within::Text => self.text(rest, last, into),
                Within::Comment => self.verbatim(rest, COMMENT_END, last, into),
                Within::Cdata => self.verbatim(rest, CDATA_END, last, into),
                Within::Remove => self.removed(rest, last),
            };
            if step == 0 {
                break;
            }
            at += step;
        }
        at
    }

    fn text(&mut self, rest: &[u8], last: bool, into: &mut Vec<EsiPiece>) -> usize {
        let counts = |byte: &u8| *byte == b'<' || (*byte == b'-' && self.open > 0);
        match rest.iter().position(counts) {
            None => give(rest, rest.len(), into),
            Some(0) => self.mark(rest, last, into),
            Some(at) => give(rest, at, into),
        }
    }

    /// What begins with a character that may mean something.
    fn mark(&mut self, rest: &[u8], last: bool, into: &mut Vec<EsiPiece>) -> usize {
        // What was cut off within one of these is not known yet.
        let marks = [ESI_COMMENT, CDATA, OPENING, CLOSING, COMMENT_END];
        let cut = |mark: &&[u8]| rest.len() < mark.len() && mark.starts_with(rest);
        // So is the character behind `<!--esi`.
        if !last && (marks.iter().any(cut) || rest == ESI_COMMENT) {
            return 0;
        }
        if rest.starts_with(COMMENT_END) {
            self.open = self.open.saturating_sub(1);
            return COMMENT_END.len();
        }
        if let Some(after) = rest.strip_prefix(ESI_COMMENT)
            && after.first().is_some_and(|next| *next == b'<' || next.is_ascii_whitespace())
        {
            self.open += 1;
            return ESI_COMMENT.len();
        }
        if rest.starts_with(COMMENT) {
            self.within = Within::Comment;
            // `<!-->` is a comment, and over.
            return give(rest, 2, into);
        }
        if rest.starts_with(CDATA) {
            self.within = Within::Cdata;
            return give(rest, CDATA.len(), into);
        }
        if rest.starts_with(OPENING) || rest.starts_with(CLOSING) {
            return self.tag(rest, last, into);
        }
        give(rest, 1, into)
    }

    fn tag(&mut self, rest: &[u8], last: bool, into: &mut Vec<EsiPiece>) -> usize {
        let length = match end(rest) {
            TagEnd::At(length) => length,
            TagEnd::More if !last => return 0,
            TagEnd::More | TagEnd::Never => {
                self.note(EsiFault::Malformed);
                return give(rest, 1, into);
            }
        };
        match tag(rest.get(..length).unwrap_or_default()) {
            Ok(EsiTag::Include(include)) => into.push(EsiPiece::Include(include)),
            Ok(EsiTag::Remove) => self.within = Within::Remove,
            Ok(EsiTag::Nothing) => {}
            Err(fault) => {
                self.note(fault);
                return give(rest, 1, into);
            }
        }
        length
    }

    /// What goes on unread, up to and with its end.
    fn verbatim(
        &mut self,
        rest: &[u8],
        ends: &[u8],
        last: bool,
        into: &mut Vec<EsiPiece>,
    ) -> usize {
        if let Some(at) = find(rest, ends) {
            self.within = Within::Text;
            return give(rest, at + ends.len(), into);
        }
        let held = if last { 0 } else { cut_off(rest, ends) };
        give(rest, rest.len() - held, into)
    }

    fn removed(&mut self, rest: &[u8], last: bool) -> usize {
        match find(rest, REMOVE_END) {
            None if last => rest.len(),
            None => rest.len() - cut_off(rest, REMOVE_END),
            Some(0) => {
                let after = rest.iter().take(MAX_TAG_BYTES).skip(REMOVE_END.len());
                let space = after.take_while(|byte| byte.is_ascii_whitespace()).count();
                let length = REMOVE_END.len() + space;
                match rest.get(length) {
                    None if !last => 0,
                    Some(b'>') => {
                        self.within = Within::Text;
                        length + 1
                    }
                    Some(_) | None => length,
                }
            }
            Some(at) => at,
        }
    }
}

/// Gives the first bytes on as text.
fn give(rest: &[u8], length: usize, into: &mut Vec<EsiPiece>) -> usize {
    let bytes = rest.get(..length).unwrap_or_default();
    match into.last_mut() {
        Some(EsiPiece::Text(text)) => text.extend_from_slice(bytes),
        Some(EsiPiece::Include(_)) | None if !bytes.is_empty() => {
            into.push(EsiPiece::Text(bytes.to_vec()));
        }
        Some(EsiPiece::Include(_)) | None => {}
    }
    length
}

/// How many of the last bytes may be the beginning of a mark.
fn cut_off(rest: &[u8], mark: &[u8]) -> usize {
    let most = rest.len().min(mark.len() - 1);
    (1..=most)
        .rev()
        .find(|length| rest.ends_with(mark.get(..*length).unwrap_or_default()))
        .unwrap_or(0)
}
