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
    /// The address of the client, as the CDN states it (`CF-Connecting-IP`).
    pub client: Option<String>,
}

impl RequestHead {
    /// What it holds in memory, roughly: its texts, and what each field takes beside them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        const FIELD: usize = 96;
        let texts = [&self.method, &self.scheme, &self.host, &self.path];
        let texts = texts.into_iter().chain(&self.query).chain(&self.client).map(String::len);
        let fields = self.fields.iter().map(|(name, value)| name.len() + value.len() + FIELD);
        (size_of::<Self>() + texts.chain(fields).sum::<usize>()) as u64
    }
}

/// The head of a response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseHead {
    /// The status code.
    pub status: u16,
    /// The fields.
    pub fields: Fields,
}

impl ResponseHead {
    /// Takes `Content-Length` out where it says nothing of the content: beside a transfer coding,
    /// which ends the body (RFC 9112 §6.3), and of 204 and 205, which have none (RFC 9110 §15.3.5,
    /// §15.3.6). Whoever believed it would take a whole body for one that was cut.
    pub fn drop_void_length(&mut self) {
        if matches!(self.status, 204 | 205) || self.fields.has("transfer-encoding") {
            self.fields.remove("content-length");
        }
    }
}

/// The length of the content that a head states (RFC 9110 §8.6); none if it states none that can be
/// read.
#[must_use]
pub fn stated_length(fields: &Fields) -> Option<u64> {
    let text = fields.get("content-length").filter(|text| !text.starts_with('+'))?;
    text.parse().ok()
}
