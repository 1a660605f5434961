//! `Cache-Status` (RFC 9211): what this cache did with a request, as one member of a structured
//! list.
//!
//! ```text
//! Cache-Status = sf-list of ( cache-name *( ";" parameter ) )
//! parameter    = hit / fwd / fwd-status / ttl / stored / collapsed / key / detail
//! ```
//!
//! A member of another cache is nearer to the origin and stays before ours (§2). A field that came
//! and is no list is dropped: one bad member would make ours unreadable too.

use sfv::{KeyRef, List, ListSerializer, Parser, StringRef, TokenRef};

use super::Fields;
use super::list::trim;

/// This cache's name.
pub const CACHE_NAME: &str = "edge-isr";

/// Why a request went forward (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// The cache was configured not to handle it.
    Bypass,
    /// The method is not one that a cache answers.
    Method,
    /// Nothing is stored under its URI.
    UriMiss,
    /// Something is stored, but no variant that it selects.
    VaryMiss,
    /// Nothing fits, for a reason not stated.
    Miss,
    /// What is stored is fresh, but the request demanded more.
    Request,
    /// What is stored is stale.
    Stale,
}

impl Forward {
    /// The reason's token.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
        }
    }
}

/// What this cache did. The default says nothing but the cache's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheStatus {
    /// Answered from the cache, without the origin.
    pub hit: bool,
    /// Why it went forward.
    pub fwd: Option<Forward>,
    /// The status of the answer that came.
    pub fwd_status: Option<u16>,
    /// Seconds of freshness left; negative once stale.
    pub ttl: Option<i64>,
    /// The answer was stored.
    pub stored: bool,
    /// The request shared another's fetch.
    pub collapsed: bool,
    /// The cache key.
    pub key: Option<String>,
    /// The reason in the cache's own words.
    pub detail: Option<String>,
}

impl CacheStatus {
    /// A hit with seconds of freshness left.
    #[must_use]
    pub fn hit(ttl: i64) -> Self {
        Self { hit: true, ttl: Some(ttl), ..Self::default() }
    }

    /// A request that went forward.
    #[must_use]
    pub fn forwarded(fwd: Forward) -> Self {
        Self { fwd: Some(fwd), ..Self::default() }
    }

    /// With the status of the origin's answer.
    #[must_use]
    pub fn fwd_status(self, status: u16) -> Self {
        Self { fwd_status: Some(status), ..self }
    }

    /// With seconds of freshness left.
    #[must_use]
    pub fn ttl(self, ttl: i64) -> Self {
        Self { ttl: Some(ttl), ..self }
    }

    /// Stored.
    #[must_use]
    pub fn stored(self) -> Self {
        Self { stored: true, ..self }
    }

    /// Shared another's fetch.
    #[must_use]
    pub fn collapsed(self) -> Self {
        Self { collapsed: true, ..self }
    }

    /// With the cache key.
    #[must_use]
    pub fn key(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }

    /// With a reason; it replaces an earlier one.
    #[must_use]
    pub fn detail(self, detail: &str) -> Self {
        Self { detail: Some(detail.to_owned()), ..self }
    }

    /// With a reason, if there is one.
    #[must_use]
    pub fn maybe_detail(self, detail: Option<&str>) -> Self {
        match detail {
            Some(detail) => self.detail(detail),
            None => self,
        }
    }

    /// Puts this cache's member behind those that came with the response.
    pub fn append_to(&self, fields: &mut Fields) {
        fields.set("cache-status", self.after(received(fields).as_deref()));
    }

    /// The field's value with this cache's member behind those that [`received`].
    #[must_use]
    pub fn after(&self, received: Option<&str>) -> String {
        match received {
            Some(received) => format!("{received}, {self}"),
            None => self.to_string(),
        }
    }

    fn serialise(&self) -> Result<Option<String>, sfv::Error> {
        let mut list = ListSerializer::new();
        let mut member = list.bare_item(TokenRef::from_str(CACHE_NAME)?);
        if self.hit {
            member = member.parameter(KeyRef::from_str("hit")?, true);
        }
        if let Some(fwd) = self.fwd {
            member = member.parameter(KeyRef::from_str("fwd")?, TokenRef::from_str(fwd.as_str())?);
        }
        if let Some(status) = self.fwd_status {
            member = member.parameter(KeyRef::from_str("fwd-status")?, status);
        }
        if let Some(ttl) = self.ttl {
            let ttl = ttl.clamp(-999_999_999_999_999, 999_999_999_999_999);
            member = member.parameter(KeyRef::from_str("ttl")?, sfv::Integer::try_from(ttl)?);
        }
        if self.stored {
            member = member.parameter(KeyRef::from_str("stored")?, true);
        }
        if self.collapsed {
            member = member.parameter(KeyRef::from_str("collapsed")?, true);
        }
        if let Some(key) = &self.key {
            let key = printable(key);
            member = member.parameter(KeyRef::from_str("key")?, StringRef::from_str(&key)?);
        }
        if let Some(detail) = &self.detail {
            let name = KeyRef::from_str("detail")?;
            let text = printable(detail);
            member = match TokenRef::from_str(detail) {
                Ok(token) => member.parameter(name, token),
                Err(_) => member.parameter(name, StringRef::from_str(&text)?),
            };
        }
        // The member is written already; what `finish` returns is the list's own buffer.
        let _ = member.finish();
        Ok(list.finish())
    }
}

/// What other caches said in a response, if it can be read; none if that is nothing.
#[must_use]
pub fn received(fields: &Fields) -> Option<String> {
    let received =
        fields.joined("cache-status").filter(|v| Parser::new(v).parse::<List>().is_ok())?;
    let received = trim(&received);
    (!received.is_empty()).then(|| received.to_owned())
}

/// The longest key or detail that is written.
const MAX_TEXT: usize = 512;

/// A text as a structured string can hold it: printable ASCII, shortened.
fn printable(text: &str) -> String {
    text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).take(MAX_TEXT).collect()
}

impl std::fmt::Display for CacheStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.serialise() {
            Ok(Some(member)) => f.write_str(&member),
            Ok(None) | Err(_) => f.write_str(CACHE_NAME),
        }
    }
}

/// Whether another cache says that it answered without its origin (RFC 9211 §2.1).
#[must_use]
pub fn is_upstream_hit(fields: &Fields) -> bool {
    let Some(value) = fields.joined("cache-status") else { return false };
    let Ok(list) = Parser::new(&value).parse::<List>() else { return false };
    list.iter().any(|member| match member {
        sfv::ListEntry::Item(item) => {
            matches!(item.params.get("hit"), Some(sfv::BareItem::Boolean(true)))
        }
        sfv::ListEntry::InnerList(_) => false,
    })
}
