//! A shell's body, cut at its placeholders.
//!
//! A placeholder is the render's marker, one letter and two digits: `t` a token of that number,
//! `n00` the nonce, `p` a personal part and `s` a shared one by their numbers in the field, up to
//! `e` with the same number; what stands between is the fallback. Nothing else is read in a shell,
//! so that no text in a page can be a placeholder: a marker is 128 random bits or more. Whatever
//! does not fit to the field, and the body is no shell.

use std::ops::Range;

use super::field::ComposeField;

/// What stands where no part can stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// These bytes of the shell.
    Text(Range<usize>),
    /// The token of this number.
    Token(u8),
    /// The nonce.
    Nonce,
}

/// A piece of a composed page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text, token or nonce.
    Leaf(Leaf),
    /// A personal part.
    Personal {
        /// Its number in [`ComposeField::personal`].
        part: usize,
        /// What stands there for those who have none, or if it fails.
        fallback: Vec<Leaf>,
    },
    /// A shared part.
    Shared {
        /// Its number in [`ComposeField::shared`].
        part: usize,
        /// What stands there if it fails.
        fallback: Vec<Leaf>,
    },
}

/// Cuts a body at its placeholders; none if it is not the body that the field describes.
#[must_use]
pub fn pieces(field: &ComposeField, body: &[u8]) -> Option<Vec<Piece>> {
    if body.len() as u64 != field.length {
        return None;
    }
    let marker = field.marker.as_bytes();
    let mut cut = Cut { field, pieces: Vec::new(), open: None };
    let (mut from, mut placeholders) = (0, 0);
    while let Some(at) = find(marker, body, from) {
        placeholders += 1;
        let after = at + marker.len();
        let [letter, tens, ones] = *body.get(after..)?.first_chunk::<3>()?;
        if placeholders > field.placeholders || !tens.is_ascii_digit() || !ones.is_ascii_digit() {
            return None;
        }
        cut.text(from..at);
        cut.placeholder(letter, (tens - b'0') * 10 + (ones - b'0'))?;
        from = after + 3;
    }
    cut.text(from..body.len());
    cut.finish().filter(|pieces| placeholders == field.placeholders && names_all(field, pieces))
}

/// Where the marker stands, from a byte on.
fn find(marker: &[u8], body: &[u8], from: usize) -> Option<usize> {
    let first = *marker.first()?;
    let mut from = from;
    loop {
        let at = from + body.get(from..)?.iter().position(|byte| *byte == first)?;
        if body.get(at..)?.starts_with(marker) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// Whether each part that the field names has a placeholder.
fn names_all(field: &ComposeField, pieces: &[Piece]) -> bool {
    let personal = |number: usize| {
        pieces.iter().any(|piece| matches!(piece, Piece::Personal { part, .. } if *part == number))
    };
    let shared = |number: usize| {
        pieces.iter().any(|piece| matches!(piece, Piece::Shared { part, .. } if *part == number))
    };
    (0..field.personal.len()).all(personal) && (0..field.shared.len()).all(shared)
}

/// What is cut so far.
struct Cut<'f> {
    field: &'f ComposeField,
    pieces: Vec<Piece>,
    /// The part that has begun.
    open: Option<OpenPart>,
}

struct OpenPart {
    personal: bool,
    part: u8,
    fallback: Vec<Leaf>,
}

impl Cut<'_> {
    fn leaf(&mut self, leaf: Leaf) {
        match &mut self.open {
            Some(open) => open.fallback.push(leaf),
            None => self.pieces.push(Piece::Leaf(leaf)),
        }
    }

    fn text(&mut self, range: Range<usize>) {
        if !range.is_empty() {
            self.leaf(Leaf::Text(range));
        }
    }

    /// Takes a placeholder; none if it can't stand here.
    fn placeholder(&mut self, letter: u8, number: u8) -> Option<()> {
        let parts = match letter {
            b't' if self.field.csrf.is_some() && !self.field.csrf_personal => {
                self.leaf(Leaf::Token(number));
                return Some(());
            }
            b'n' if self.field.nonce && number == 0 => {
                self.leaf(Leaf::Nonce);
                return Some(());
            }
            b'e' => return self.close(number),
            b'p' => self.field.personal.len(),
            b's' => self.field.shared.len(),
            _ => return None,
        };
        if self.open.is_some() || usize::from(number) >= parts {
            return None;
        }
        self.open = Some(OpenPart { personal: letter == b'p', part: number, fallback: Vec::new() });
        Some(())
    }

    fn close(&mut self, number: u8) -> Option<()> {
        let OpenPart { personal, part, fallback } = self.open.take()?;
        if part != number {
            return None;
        }
        let part = usize::from(part);
        self.pieces.push(if personal {
            Piece::Personal { part, fallback }
        } else {
            Piece::Shared { part, fallback }
        });
        Some(())
    }

    fn finish(self) -> Option<Vec<Piece>> {
        self.open.is_none().then_some(self.pieces)
    }
}
