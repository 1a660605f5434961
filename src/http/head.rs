//! The heads of a request and of a response, as plain values.

use serde::{Deserialize, Serialize};

use super::fields::Fields;

/// The head of a request as it reached the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// The method's raw name, case kept (RFC 9110 §9.1: methods are case-sensitive).
    pub method: String,
    /// `http` or `https`.
    pub scheme: String,
    /// Host in lower case, with the port if it is not the scheme's default.
    pub host: String,
    /// Path, percent-encoded as it came; starts with `/`.
    pub path: String,
    /// Query without `?`, as it came.
    pub query: Option<String>,
    /// The fields.
    pub fields: Fields,
    /// The address of the client, as the CDN tells it (`CF-Connecting-IP`).
    pub client: Option<String>,
}

/// The head of a response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseHead {
    /// The status code.
    pub status: u16,
    /// The fields.
    pub fields: Fields,
}
