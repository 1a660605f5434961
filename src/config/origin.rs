//! Where the origin is: `ORIGIN`, an `http` or `https` URL with an optional base path.
//!
//! Refused are credentials (they would end up in logs; `ORIGIN_SECRET` is for that), queries and
//! fragments, hosts outside ASCII (Punycode is taken), and whatever has no host. A base path is put
//! before every page's path.

use url::Url;

use super::host::{NOT_ASCII, split_port};

/// The origin's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginUrl {
    scheme: &'static str,
    /// Host in canonical form, without port.
    name: String,
    port: u16,
    /// Empty, or a path that starts with `/` and does not end with one.
    base_path: String,
}

/// Why a text is not an origin's address. Never holds the text: it may carry credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginUrlError {
    /// It is empty.
    Empty,
    /// It is no absolute URL.
    Malformed,
    /// Its host is not in ASCII.
    NotAscii,
    /// Its scheme is neither `http` nor `https`.
    Scheme,
    /// It has a user name or a password.
    Credentials,
    /// It has a query.
    Query,
    /// It has a fragment.
    Fragment,
}

impl std::fmt::Display for OriginUrlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "no origin is set: expected a URL such as https://origin.example.com",
            Self::Malformed => "not a URL: expected one such as https://origin.example.com",
            Self::NotAscii => NOT_ASCII,
            Self::Scheme => "the origin's URL starts with http:// or https://",
            Self::Credentials => {
                "the origin's URL carries no user name or password: use ORIGIN_SECRET"
            }
            Self::Query => "the origin's URL has no query",
            Self::Fragment => "the origin's URL has no fragment",
        })
    }
}

impl std::error::Error for OriginUrlError {}

impl OriginUrl {
    /// Parses the origin's address.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, OriginUrlError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(OriginUrlError::Empty);
        }
        // The URL parser forgives `https:host` and `https:///host`; an operator who wrote that
        // meant something else.
        let (scheme, rest) = text.split_once("://").ok_or(OriginUrlError::Malformed)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => "http",
            "https" => "https",
            _ => return Err(OriginUrlError::Scheme),
        };
        if rest.starts_with(['/', '\\']) || text.contains(char::is_whitespace) {
            return Err(OriginUrlError::Malformed);
        }
        let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(OriginUrlError::Credentials);
        }
        if !authority.is_ascii() {
            return Err(OriginUrlError::NotAscii);
        }
        let url = Url::parse(text).map_err(|_| OriginUrlError::Malformed)?;
        if url.query().is_some() {
            return Err(OriginUrlError::Query);
        }
        if url.fragment().is_some() {
            return Err(OriginUrlError::Fragment);
        }
        let (Some(name), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(OriginUrlError::Malformed);
        };
        let base_path = url.path().trim_end_matches('/').to_owned();
        Ok(Self { scheme, name: name.to_owned(), port, base_path })
    }

    /// `http` or `https`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Host, with the port if it is not the scheme's default.
    #[must_use]
    pub fn host(&self) -> String {
        if self.port == default_port(self.scheme) {
            self.name.clone()
        } else {
            format!("{}:{}", self.name, self.port)
        }
    }

    /// The path before every page's path: empty, or `/base` without a slash at its end.
    #[must_use]
    pub fn base_path(&self) -> &str {
        &self.base_path
    }

    /// The address of a path and query (which start with `/`) at the origin.
    #[must_use]
    pub fn join(&self, path_and_query: &str) -> String {
        format!("{}://{}{}{path_and_query}", self.scheme, self.host(), self.base_path)
    }

    /// Whether the origin is the host that the worker itself answers for: each fetch would come
    /// back to it (RFC 8586). A worker's host without a port stands for both default ports.
    #[must_use]
    pub fn conflicts_with(&self, worker_host: &str) -> bool {
        let (name, port) = split_port(worker_host.trim());
        let same_name = match url::Host::parse(name) {
            Ok(host) => host.to_string().trim_end_matches('.') == self.name.trim_end_matches('.'),
            Err(_) => false,
        };
        same_name
            && match port.and_then(|port| port.parse::<u16>().ok()) {
                Some(port) => port == self.port,
                None => matches!(self.port, 80 | 443),
            }
    }
}

impl std::fmt::Display for OriginUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.host(), self.base_path)
    }
}

fn default_port(scheme: &str) -> u16 {
    if scheme == "http" { 80 } else { 443 }
}
