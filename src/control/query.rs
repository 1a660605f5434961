//! The query of a control call: its parameters, each given once, and which part of a list it names.

use percent_encoding::percent_decode_str;

use super::problem::{Problem, ProblemKind};

/// Which part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paging {
    /// Where the last part ended, as its answer said; none for the first.
    pub cursor: Option<String>,
    /// The most rows wanted, 1 to [`MAX_LIMIT`].
    pub limit: u32,
}

/// The most rows in one answer.
pub const MAX_LIMIT: u32 = 1000;
const DEFAULT_LIMIT: u32 = 100;
const MAX_CURSOR_BYTES: usize = 512;

/// The one parameter that may be given more than once.
const REPEATED: &str = "header";

/// The parameters of a call's query, decoded.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let mut rows: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decode(name, true), decode(value, true)) else {
                let detail = "The query is not percent-encoded UTF-8.";
                return Err(Problem::new(ProblemKind::InvalidValue, detail));
            };
            if rows.iter().any(|(known, _)| *known == name) && name != REPEATED {
                let detail = "A parameter is given twice.";
                return Err(Problem::new(ProblemKind::Contradiction, detail).at(short(&name)));
            }
            rows.push((name, value));
        }
        Ok(Self(rows))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn only(&self, names: &[&str]) -> Result<(), Problem> {
        match self.0.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => {
                let detail = format!("{} is not a parameter of this call.", short(name));
                Err(Problem::new(ProblemKind::UnknownField, detail).at(short(name)))
            }
        }
    }

    pub(super) fn paging(&self) -> Result<Paging, Problem> {
        let limit = match self.get("limit") {
            None => DEFAULT_LIMIT,
            Some(text) => {
                let digits = text.bytes().all(|b| b.is_ascii_digit());
                let number = text.parse::<u32>().ok().filter(|_| digits);
                number.filter(|n| (1..=MAX_LIMIT).contains(n)).ok_or_else(|| {
                    let detail = format!("limit is a whole number from 1 to {MAX_LIMIT}.");
                    Problem::new(ProblemKind::OutOfRange, detail).at("limit")
                })?
            }
        };
        let cursor = self.get("cursor").filter(|cursor| !cursor.is_empty());
        if let Some(cursor) = cursor
            && (cursor.len() > MAX_CURSOR_BYTES || !cursor.bytes().all(|b| b.is_ascii_graphic()))
        {
            let detail = "cursor is what the last answer gave as next.";
            return Err(Problem::new(ProblemKind::InvalidValue, detail).at("cursor"));
        }
        Ok(Paging { cursor: cursor.map(str::to_owned), limit })
    }
}

fn short(name: &str) -> String {
    name.chars().take(64).collect()
}

/// A part of a path, percent-decoded (RFC 3986 §2.1). None for a broken escape or bytes that are
/// not UTF-8.
#[must_use]
pub fn percent_decoded(text: &str) -> Option<String> {
    decode(text, false)
}

/// Percent-decodes (RFC 3986 §2.1); in a query `+` is a space. None for a broken escape or bytes
/// that are not UTF-8.
pub(super) fn decode(text: &str, plus: bool) -> Option<String> {
    // What is broken would stand for itself.
    let whole = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !text.split('%').skip(1).all(|rest| rest.get(..2).is_some_and(whole)) {
        return None;
    }
    let text = if plus { text.replace('+', " ") } else { text.to_owned() };
    percent_decode_str(&text).decode_utf8().ok().map(Into::into)
}
