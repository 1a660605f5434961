//! `Accept-Encoding` (RFC 9110 §12.5.3): the codings a visitor takes, reduced to few values.
//!
//! The origin is asked for one of six lists, so that a page has at most six variants by coding and
//! what one visitor wrote in the field can't reach the origin. The better of `br` and `zstd` comes
//! first, then `gzip`, which every Django site can make; `identity` if the visitor takes none of
//! them or says nothing.
//!
//! | visitor | origin is asked for |
//! | --- | --- |
//! | `gzip, deflate, br, zstd` | `br, gzip` |
//! | `gzip;q=1.0, *;q=0` | `gzip` |
//! | `*` | `br, gzip` |
//! | `zstd, gzip` | `zstd, gzip` |
//! | `br;q=0`, empty, absent | `identity` |

use super::list::weighted;

/// A content coding that the edge knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `br`.
    Brotli,
    /// `zstd`.
    Zstd,
    /// `gzip` (and its old name `x-gzip`).
    Gzip,
    /// No coding.
    Identity,
}

impl Coding {
    /// The coding's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Identity => "identity",
        }
    }
}

/// Whether a visitor takes a coding. Without the field any would do; a cache says no, which is
/// always right.
#[must_use]
pub fn accepts(accept_encoding: Option<&str>, coding: Coding) -> bool {
    takes(&members(accept_encoding), coding)
}

/// The best coding that a visitor takes.
#[must_use]
pub fn best(accept_encoding: Option<&str>) -> Coding {
    best_of(&members(accept_encoding))
}

/// The value that the origin is asked with; normalising it again changes nothing.
#[must_use]
pub fn normalise(accept_encoding: Option<&str>) -> &'static str {
    let members = members(accept_encoding);
    match (best_of(&members), takes(&members, Coding::Gzip)) {
        (Coding::Brotli, true) => "br, gzip",
        (Coding::Brotli, false) => "br",
        (Coding::Zstd, true) => "zstd, gzip",
        (Coding::Zstd, false) => "zstd",
        (Coding::Gzip, true | false) => "gzip",
        (Coding::Identity, true | false) => "identity",
    }
}

fn members(accept_encoding: Option<&str>) -> Vec<(String, u16)> {
    weighted(accept_encoding.unwrap_or_default())
}

fn best_of(members: &[(String, u16)]) -> Coding {
    [Coding::Brotli, Coding::Zstd, Coding::Gzip]
        .into_iter()
        .find(|&coding| takes(members, coding))
        .unwrap_or(Coding::Identity)
}

fn takes(members: &[(String, u16)], coding: Coding) -> bool {
    let weight = |name: &str| members.iter().find(|(n, _)| n == name).map(|(_, q)| *q);
    let old_name = if coding == Coding::Gzip { weight("x-gzip") } else { None };
    let named = weight(coding.as_str()).or(old_name);
    match (named.or_else(|| weight("*")), coding) {
        (Some(weight), Coding::Brotli | Coding::Zstd | Coding::Gzip | Coding::Identity) => {
            weight > 0
        }
        (None, Coding::Identity) => true,
        (None, Coding::Brotli | Coding::Zstd | Coding::Gzip) => false,
    }
}
