//! What a response shows: two fetches of a page with the same content gave visitors the same.
//!
//! That is the status, the body's bytes, and the few fields that say how to read them or where to
//! go. Not fields about one answer (`Date`, `Age`, `ETag`, a request's id): they differ at every
//! render. It serves figures (which refetch was for nothing?), and decides nothing about reuse.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::base::hex::hex;
use crate::http::Fields;

/// The digest of a body's bytes: SHA-256.
pub type BodyDigest = [u8; 32];

/// The fields that belong to what is shown (RFC 9110 §8.3 to §8.6, §10.2.2).
pub(crate) const SHOWN: [&str; 4] =
    ["content-type", "content-encoding", "content-language", "location"];

/// A digest of a response's content: the first 128 bits of a SHA-256, in hex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentDigest(String);

impl ContentDigest {
    /// Of a response whose body has this digest.
    #[must_use]
    pub fn of(status: u16, fields: &Fields, body: &BodyDigest) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(status.to_be_bytes());
        for name in SHOWN {
            // Length first, so that no two lists of values run into the same bytes.
            for value in fields.all(name) {
                hasher.update((value.len() as u64 + 1).to_be_bytes());
                hasher.update(value);
            }
            hasher.update(0u64.to_be_bytes());
        }
        hasher.update(body);
        let mut digits = hex(&hasher.finalize());
        digits.truncate(32);
        Self(digits)
    }

    /// As hex.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it was stored.
    #[must_use]
    pub const fn from_stored(hex: String) -> Self {
        Self(hex)
    }
}

/// The digest of a body that is at hand.
#[must_use]
pub fn body_digest(body: &[u8]) -> BodyDigest {
    Sha256::digest(body).into()
}
