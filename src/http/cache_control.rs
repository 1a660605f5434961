//! `Cache-Control` (RFC 9111 §5.2), with the extensions of RFC 5861.
//!
//! ```text
//! Cache-Control = #( token [ "=" ( token / quoted-string ) ] )
//! ```
//!
//! All field lines count together; names have no case; values may be quoted. What restricts is
//! believed in any form, what permits only in the right one:
//!
//! | written | read as |
//! | --- | --- |
//! | `no-store, max-age=lolz` | `no-store`; the lifetime is 0 |
//! | `max-age=60, max-age=90` | the lifetime is 0 (§4.2.1: contradicting values are stale) |
//! | `max-age="60"` | 60 s |
//! | `max-age=-1`, `max-age= 60`, `max-age=1.5`, `max-age` | the lifetime is 0 |
//! | `max-age=99999999999` | 2^31 s |
//! | `stale-while-revalidate`, `stale-if-error` without a number | nothing: the route's window |
//! | `private; max-age=60` | `private`; the lifetime is 0 |
//! | `a="max-age=60`, a quote never closed | what restricts is searched for inside too; nothing is permitted |
//! | `extension="no-store"` | an unknown extension: ignored |

use super::Fields;
use super::age::delta_seconds;
use super::list::{is_tchar, is_token, split, trim, unquote};
use crate::base::time::Seconds;

/// A directive that may be limited to some fields: `no-cache`, `private`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FieldScope {
    /// The directive is not there.
    #[default]
    Absent,
    /// It holds for these fields (lower case).
    Fields(Vec<String>),
    /// It holds for the whole response.
    Whole,
}

impl FieldScope {
    /// Only a quoted list of field names limits (RFC 9111 §5.2.2.4): `private=true` means the whole
    /// response.
    fn add(&mut self, value: Option<&str>) {
        let list = value.filter(|v| v.starts_with('"')).and_then(unquote).unwrap_or_default();
        *self = match (std::mem::take(self), Self::limited_to(&list)) {
            (Self::Absent, scope) => scope,
            (Self::Fields(mut have), Self::Fields(more)) => {
                have.extend(more);
                Self::Fields(have)
            }
            (Self::Whole, _) | (_, Self::Whole | Self::Absent) => Self::Whole,
        };
    }

    /// The scope that a list of field names makes: the whole response if it is empty or not such a
    /// list.
    #[must_use]
    pub fn limited_to(list: &str) -> Self {
        let names: Vec<String> =
            split(list, b',').parts.iter().map(|name| name.to_ascii_lowercase()).collect();
        if names.is_empty() || !names.iter().all(|name| is_token(name)) {
            Self::Whole
        } else {
            Self::Fields(names)
        }
    }

    /// The fields it is limited to.
    #[must_use]
    pub fn fields(&self) -> &[String] {
        match self {
            Self::Fields(names) => names,
            Self::Absent | Self::Whole => &[],
        }
    }
}

/// The directives of a response. A length of time that can't be read, or is said in two ways, is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseDirectives {
    /// `no-store`.
    pub no_store: bool,
    /// `no-cache`.
    pub no_cache: FieldScope,
    /// `private`.
    pub private: FieldScope,
    /// `public`.
    pub public: bool,
    /// `must-revalidate`.
    pub must_revalidate: bool,
    /// `proxy-revalidate`.
    pub proxy_revalidate: bool,
    /// `must-understand`.
    pub must_understand: bool,
    /// `max-age`.
    pub max_age: Option<Seconds>,
    /// `s-maxage`.
    pub s_maxage: Option<Seconds>,
    /// `stale-while-revalidate` (RFC 5861 §3).
    pub stale_while_revalidate: Option<Seconds>,
    /// `stale-if-error` (RFC 5861 §4).
    pub stale_if_error: Option<Seconds>,
}

impl ResponseDirectives {
    /// Reads the lines of one field (name in lower case).
    #[must_use]
    pub fn of(fields: &Fields, name: &str) -> Self {
        let mut directives = Self::default();
        for line in fields.all(name) {
            directives.read(line);
        }
        directives
    }

    fn read(&mut self, line: &str) {
        let members = split(line, b',');
        for member in &members.parts {
            self.member(member);
        }
        if !members.closed {
            // Where the open quote was meant to end can't be known: believe what restricts, permit
            // nothing.
            for part in line.split([',', ';', '"']) {
                self.restrict(trim(part), None);
            }
            self.max_age = Some(Seconds::ZERO);
            self.s_maxage = self.s_maxage.map(|_| Seconds::ZERO);
        }
    }

    fn member(&mut self, member: &str) {
        let pieces = split(member, b';').parts;
        let (piece, others) = pieces.split_first().map_or(("", [].as_slice()), |(p, o)| (*p, o));
        for other in others {
            self.restrict(other, None);
        }
        let (name, value) = match piece.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (piece, None),
        };
        // White space around "=" and a ";" are not in the grammar: the value then is no value.
        let clean = others.is_empty() && is_token(name);
        let is_bare = clean && value.is_none();
        let value = value.filter(|_| clean);
        let seconds = value.and_then(unquote).and_then(|v| delta_seconds(&v)).unwrap_or_default();
        match name.trim_end().to_ascii_lowercase().as_str() {
            "max-age" => merge(&mut self.max_age, seconds),
            "s-maxage" => merge(&mut self.s_maxage, seconds),
            // Next.js up to version 14 names the window without its length: it is for the route to
            // say.
            "stale-while-revalidate" | "stale-if-error" if is_bare => {}
            "stale-while-revalidate" => merge(&mut self.stale_while_revalidate, seconds),
            "stale-if-error" => merge(&mut self.stale_if_error, seconds),
            "public" if clean => self.public = true,
            "must-understand" if clean => self.must_understand = true,
            _ => self.restrict(piece, value),
        }
    }

    /// Directives that only restrict are believed whatever stands around their name.
    fn restrict(&mut self, piece: &str, value: Option<&str>) {
        let is_other = |c: char| !u8::try_from(c).is_ok_and(is_tchar);
        let name = piece.trim_start_matches(is_other).split(is_other).next().unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "no-store" => self.no_store = true,
            "no-cache" => self.no_cache.add(value),
            "private" => self.private.add(value),
            "must-revalidate" => self.must_revalidate = true,
            "proxy-revalidate" => self.proxy_revalidate = true,
            // RFC 9111 §5.2.3: an extension that is not known is ignored.
            _ => {}
        }
    }
}

/// A value said twice must be the same both times (RFC 9111 §4.2.1).
fn merge(have: &mut Option<Seconds>, new: Seconds) {
    *have = Some(match *have {
        Some(old) if old != new => Seconds::ZERO,
        Some(_) | None => new,
    });
}

/// The directives of a request (RFC 9111 §5.2.1). The default says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// `no-store`.
    pub no_store: bool,
    /// `no-cache`, or `Pragma: no-cache` without a `Cache-Control` (§5.4).
    pub no_cache: bool,
    /// `only-if-cached`.
    pub only_if_cached: bool,
    /// `max-age`; 0 if it can't be read.
    pub max_age: Option<Seconds>,
    /// `min-fresh`; the greatest value if it can't be read.
    pub min_fresh: Option<Seconds>,
    /// `max-stale`; the greatest value if it stands alone, none if it can't be read.
    pub max_stale: Option<Seconds>,
}

impl RequestDirectives {
    /// Reads a request's `Cache-Control` and `Pragma`.
    #[must_use]
    pub fn of(fields: &Fields) -> Self {
        let mut directives = Self::default();
        for line in fields.all("cache-control") {
            for member in split(line, b',').parts {
                directives.member(member);
            }
        }
        if !fields.has("cache-control") {
            let mut members = fields.all("pragma").flat_map(|line| split(line, b',').parts);
            directives.no_cache = members.any(|m| m.eq_ignore_ascii_case("no-cache"));
        }
        directives
    }

    fn member(&mut self, member: &str) {
        let (name, value) = match member.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (member, None),
        };
        let seconds = value.and_then(unquote).and_then(|v| delta_seconds(&v));
        match name.to_ascii_lowercase().as_str() {
            "no-store" => self.no_store = true,
            "no-cache" => self.no_cache = true,
            "only-if-cached" => self.only_if_cached = true,
            "max-age" => merge(&mut self.max_age, seconds.unwrap_or(Seconds::ZERO)),
            "min-fresh" => self.min_fresh = Some(seconds.unwrap_or(Seconds::MAX)),
            "max-stale" if value.is_none() => self.max_stale = Some(Seconds::MAX),
            "max-stale" => self.max_stale = seconds,
            _ => {}
        }
    }
}

/// A `Cache-Control` value without the named directives; none if nothing is left.
#[must_use]
pub fn without(value: &str, names: &[&str]) -> Option<String> {
    let kept: Vec<&str> = split(value, b',')
        .parts
        .into_iter()
        .filter(|member| {
            let name = trim(member.split('=').next().unwrap_or_default());
            !names.iter().any(|n| name.eq_ignore_ascii_case(n))
        })
        .collect();
    (!kept.is_empty()).then(|| kept.join(", "))
}
