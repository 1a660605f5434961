//! What an invalidation names: texts of callers become [`Target`]s in the form that pages are
//! compared in.
//!
//! URLs go through the same parser as the runtime's requests, so that the path is percent-encoded
//! alike; scheme and default port are dropped and host aliases resolved, because for purging they
//! are one resource. Refused is what could name nothing without anyone noticing: relative URLs,
//! wildcards, prefixes that end inside a segment, hosts outside ASCII (see
//! [`crate::config::host`]).

use url::Url;

use crate::cache::admission::MAX_URI_BYTES;
use crate::cache::query::normalise_query;
use crate::cache::tag::{Tag, Target, target_name};
use crate::config::Config;
use crate::config::host::{NOT_ASCII, parse_host};

/// Normalises the query of a URL as the cache key does: host, path and query in, query out. None if
/// no parameter of it counts.
pub type NormaliseQuery<'a> = &'a dyn Fn(&str, &str, &str) -> Option<String>;

/// The cache key's own normalisation, by the route that holds for the URL.
pub fn page_query(config: &Config) -> impl Fn(&str, &str, &str) -> Option<String> {
    |host, path, query| normalise_query(Some(query), &config.route(host, path).query)
}

/// The longest URL, in bytes: the longest path and query of a page, with room for scheme and host.
pub const MAX_URL_BYTES: usize = MAX_URI_BYTES + 512;

/// Why a text names no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// It has no scheme and host.
    Relative,
    /// Its scheme is neither `http` nor `https`.
    Scheme,
    /// Its host is not in ASCII.
    NotAscii,
    /// It can't be parsed.
    Malformed,
    /// It is longer than [`MAX_URL_BYTES`].
    TooLong,
    /// It has a user name or password.
    Credentials,
    /// A prefix with a `*`.
    Wildcard,
    /// An address with a `*`: nobody asks for a page of that name.
    Pattern,
    /// A prefix with a query or a fragment.
    NotAPath,
    /// A prefix that ends inside a segment.
    Boundary,
}

impl TargetError {
    /// What is wrong.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Relative => "expected an absolute URL such as https://example.com/blog/",
            Self::Scheme => "expected an http or https URL",
            Self::NotAscii => NOT_ASCII,
            Self::Malformed => "not a URL",
            Self::TooLong => "a URL has at most 16,896 bytes",
            Self::Credentials => "a URL carries no user name or password",
            Self::Wildcard => "a prefix needs no wildcard: it names everything below its last /",
            Self::Pattern => {
                "an address has no wildcard: name a prefix (https://example.com/blog/)"
            }
            Self::NotAPath => "a prefix has no query and no fragment",
            Self::Boundary => "a prefix ends at a / boundary (https://example.com/blog/)",
        }
    }
}

/// A prefix's target, and what was widened to get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Widened {
    /// The target.
    pub target: Target,
    /// The enclosing prefix that stands in for a finer pattern, to be named to the caller.
    pub note: Option<String>,
}

/// The target of one page's URL.
///
/// # Errors
/// Says which rule the text breaks.
pub fn url_target(
    text: &str,
    config: &Config,
    normalise: NormaliseQuery<'_>,
) -> Result<Target, TargetError> {
    let url = absolute(text)?;
    let host = host_of(&url)?;
    let query = url.query().and_then(|query| normalise(&host, url.path(), query));
    Ok(Target::Url(target_name(&config.purge_host(&host), url.path(), query.as_deref())))
}

/// The same, where a `*` would be meant as a wildcard and not as itself.
///
/// # Errors
/// Says which rule the text breaks.
pub fn plain_url_target(
    text: &str,
    config: &Config,
    normalise: NormaliseQuery<'_>,
) -> Result<Target, TargetError> {
    let plain = text.split('#').next().unwrap_or_default();
    let path = plain.split('?').next().unwrap_or_default();
    if path.contains('*') || plain.ends_with('*') {
        return Err(TargetError::Pattern);
    }
    url_target(text, config, normalise)
}

/// The target of a path prefix that ends at a `/` boundary.
///
/// # Errors
/// Says which rule the text breaks.
pub fn prefix_target(text: &str, config: &Config) -> Result<Target, TargetError> {
    if text.contains('*') {
        return Err(TargetError::Wildcard);
    }
    let url = absolute(text)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(TargetError::NotAPath);
    }
    if !url.path().ends_with('/') {
        return Err(TargetError::Boundary);
    }
    Ok(Target::Prefix(target_name(&config.purge_host(&host_of(&url)?), url.path(), None)))
}

/// The target of another API's pattern (`example.com/blog/po`, `https://example.com/blog/*`):
/// the enclosing prefix, with a note where that names more than was asked for. A pattern without a
/// scheme is taken as `https`.
///
/// # Errors
/// Says which rule the text breaks.
pub fn widened_prefix(text: &str, config: &Config) -> Result<Widened, TargetError> {
    let absolute_text =
        if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let plain = absolute_text.split(['*', '?', '#']).next().unwrap_or_default();
    let start = plain.find("://").map_or(0, |at| at + 3);
    let cut = plain.get(start..).and_then(|rest| rest.rfind('/')).map(|at| start + at + 1);
    let enclosing = match cut {
        Some(end) => plain.get(..end).unwrap_or(plain).to_owned(),
        // A cut inside the host's name would name another host.
        None if plain.len() < absolute_text.len() => return Err(TargetError::Wildcard),
        None => format!("{plain}/"),
    };
    let target = prefix_target(&enclosing, config)?;
    let exact = absolute_text.trim_end_matches('*') == enclosing
        || format!("{absolute_text}/") == enclosing;
    let note = (!exact).then(|| format!("{text} was widened to {enclosing}"));
    Ok(Widened { target, note })
}

/// The target of a whole host.
///
/// # Errors
/// Says which rule the text breaks.
pub fn host_target(text: &str, config: &Config) -> Result<Target, crate::config::host::HostError> {
    let host = parse_host(text)?;
    Ok(Target::Host(config.purge_host(&host).into_owned()))
}

/// The target of a tag.
///
/// # Errors
/// Says which rule the text breaks.
pub fn tag_target(text: &str) -> Result<Target, crate::cache::tag::TagError> {
    Tag::parse(text).map(Target::Tag)
}

/// An `http` or `https` URL written out in full. The URL parser would forgive `https:/path` and
/// white space.
fn absolute(text: &str) -> Result<Url, TargetError> {
    if text.len() > MAX_URL_BYTES {
        return Err(TargetError::TooLong);
    }
    let Some((scheme, rest)) = text.split_once("://") else { return Err(TargetError::Relative) };
    if !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) {
        return Err(TargetError::Relative);
    }
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(TargetError::Scheme);
    }
    let odd = |c: char| c.is_control() || c == ' ';
    if rest.starts_with(['/', '\\', '?', '#']) || text.contains(odd) {
        return Err(TargetError::Malformed);
    }
    let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(TargetError::Credentials);
    }
    if !authority.is_ascii() {
        return Err(TargetError::NotAscii);
    }
    Url::parse(text).map_err(|_| TargetError::Malformed)
}

/// Host, with the port if it is not the scheme's default: as a page has it.
fn host_of(url: &Url) -> Result<String, TargetError> {
    let name = url.host_str().filter(|name| !name.contains('*')).ok_or(TargetError::Malformed)?;
    Ok(match url.port() {
        Some(port) => format!("{name}:{port}"),
        None => name.to_owned(),
    })
}
