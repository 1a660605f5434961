//! Where an include leads: a page of its own host, as any visitor could ask for it.
//!
//! Refused are other hosts and schemes, what belongs to the edge or to the CDN, and paths that the
//! routes keep out of the cache, in every spelling that an origin may take for one of them. So is
//! what looks like a variable of ESI, which nothing here fills in.

use url::Url;

use crate::cache::admission::MAX_URI_BYTES;
use crate::config::{Action, Config};
use crate::http::RequestHead;

/// Why an include leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// It is no address, or has what none has: white space, a backslash, a variable.
    Malformed,
    /// It has another scheme than its page.
    OtherScheme,
    /// It is on another host or port, or has a user's name.
    OtherHost,
    /// It is the edge's own, or the CDN's.
    Reserved,
    /// The routes keep it out of the cache.
    Bypass,
    /// It is longer than any address that is served.
    TooLong,
}

impl AddressError {
    /// The reason's name in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "src-malformed",
            Self::OtherScheme => "src-other-scheme",
            Self::OtherHost => "src-other-host",
            Self::Reserved => "src-reserved",
            Self::Bypass => "src-bypass",
            Self::TooLong => "src-too-long",
        }
    }
}

/// Path and query of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FragmentAddress {
    /// The path.
    pub path: String,
    /// The query, without `?`.
    pub query: Option<String>,
}

/// Where an include of a page leads.
///
/// # Errors
/// Says why it leads nowhere.
pub fn address(
    src: &str,
    page: &RequestHead,
    config: &Config,
) -> Result<FragmentAddress, AddressError> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
    if src.is_empty() || src.contains(odd) || src.contains("$(") {
        return Err(AddressError::Malformed);
    }
    if src.len() > MAX_URI_BYTES {
        return Err(AddressError::TooLong);
    }
    let base = format!("{}://{}{}", page.scheme, page.host, page.path);
    let base = Url::parse(&base).map_err(|_| AddressError::Malformed)?;
    let url = base.join(src).map_err(|_| AddressError::Malformed)?;
    if url.scheme() != base.scheme() {
        return Err(AddressError::OtherScheme);
    }
    let place = |url: &Url| (url.host_str().map(str::to_owned), url.port_or_known_default());
    let has_user = !url.username().is_empty() || url.password().is_some();
    if has_user || place(&url) != place(&base) {
        return Err(AddressError::OtherHost);
    }
    let path = url.path();
    if config.is_reserved(path) {
        return Err(AddressError::Reserved);
    }
    if config.route(&page.host, path).action == Action::Bypass {
        return Err(AddressError::Bypass);
    }
    let query = url.query().filter(|query| !query.is_empty()).map(str::to_owned);
    if path.len() + query.as_ref().map_or(0, String::len) > MAX_URI_BYTES {
        return Err(AddressError::TooLong);
    }
    Ok(FragmentAddress { path: path.to_owned(), query })
}
