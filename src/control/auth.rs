//! Who may call the control API: a webhook signed by the Standard Webhooks specification, or a
//! token with the scope that the call needs.
//!
//! A signature covers `id.timestamp.body`, so nothing of a signed call can be changed; the
//! tolerance of five minutes bounds for how long one can be sent again, and the journal remembers
//! ids for longer than that. Signatures and tokens are compared in constant time, every one with
//! every one.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

use crate::base::time::{Millis, Timestamp};
use crate::http::Fields;

use super::secret::{Secrets, Token, decode_base64, digest, encode_base64};

pub use super::auth_error::AuthError;
pub use super::secret::TokenScope;

/// How far a webhook's timestamp may be from now, both ways (Standard Webhooks: "Verifying webhook
/// authenticity").
pub const TOLERANCE: Millis = Millis(300_000);
/// The longest webhook id, in bytes.
pub const MAX_ID_BYTES: usize = 256;
/// Signatures in one field that are looked at. A sender has as many as it has keys in rotation.
const MAX_SIGNATURES: usize = 32;

/// Who made a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A webhook, by its id.
    Webhook {
        /// `webhook-id`: delivering it twice is the same as once.
        id: String,
    },
    /// The holder of a token, by the token's name.
    Token {
        /// The name.
        name: String,
    },
    /// Somebody at one of `trusted_ips`.
    Trusted {
        /// The address.
        address: String,
    },
}

impl Caller {
    /// The caller as the log names it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Token { name } => name,
            Self::Trusted { address } => address,
        }
    }
}

/// What the head of a call says of its caller.
pub enum Claim {
    /// It proves who calls.
    Proved(Caller),
    /// It is signed, and the signature is over the body too.
    Signed(Signed),
}

/// A signature that is checked while the body arrives.
pub struct Signed {
    id: String,
    given: Vec<Vec<u8>>,
    made: Vec<Hmac<Sha256>>,
}

impl Signed {
    /// The next piece of the body.
    pub fn update(&mut self, piece: &[u8]) {
        for mac in &mut self.made {
            mac.update(piece);
        }
    }

    /// The body has ended: who signed it.
    ///
    /// # Errors
    /// [`AuthError::UnknownSignature`].
    pub fn finish(self) -> Result<Caller, AuthError> {
        let mut known = Choice::from(0);
        for made in self.made {
            let made = made.finalize().into_bytes();
            for signature in &self.given {
                known |= made.as_slice().ct_eq(signature);
            }
        }
        if bool::from(known) {
            Ok(Caller::Webhook { id: self.id })
        } else {
            Err(AuthError::UnknownSignature)
        }
    }
}

impl Claim {
    /// The next piece of the body.
    pub fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Signed(signed) => signed.update(piece),
            Self::Proved(_) => {}
        }
    }

    /// The body has ended: who calls.
    ///
    /// # Errors
    /// [`AuthError::UnknownSignature`].
    pub fn finish(self) -> Result<Caller, AuthError> {
        match self {
            Self::Proved(caller) => Ok(caller),
            Self::Signed(signed) => signed.finish(),
        }
    }
}

impl Secrets {
    /// Who makes a call that needs `scope`. A signature is good for [`TokenScope::Revalidate`]
    /// alone.
    ///
    /// # Errors
    /// Says why the caller may not make it.
    pub fn authenticate(
        &self,
        fields: &Fields,
        body: &[u8],
        scope: TokenScope,
        now: Timestamp,
    ) -> Result<Caller, AuthError> {
        let mut claim = self.claim(fields, scope, now)?;
        claim.update(body);
        claim.finish()
    }

    /// What the head of a call says of who makes it: all that can be refused is refused before the
    /// body is read.
    ///
    /// # Errors
    /// Says why the caller may not make it.
    pub fn claim(
        &self,
        fields: &Fields,
        scope: TokenScope,
        now: Timestamp,
    ) -> Result<Claim, AuthError> {
        if scope == TokenScope::Revalidate && fields.has("webhook-signature") {
            return self.signed_by_webhook(fields, now).map(Claim::Signed);
        }
        if fields.has("authorization") {
            let caller = self.token(fields, scope).map(|name| Caller::Token { name });
            return caller.map(Claim::Proved);
        }
        if scope == TokenScope::Revalidate {
            for field in ["webhook-id", "webhook-timestamp"] {
                if fields.has(field) {
                    return Err(AuthError::Malformed("webhook-signature"));
                }
            }
        }
        Err(AuthError::Missing)
    }

    /// Verifies a webhook and returns its id.
    ///
    /// # Errors
    /// Says which check failed first.
    pub fn webhook(
        &self,
        fields: &Fields,
        body: &[u8],
        now: Timestamp,
    ) -> Result<String, AuthError> {
        let mut signed = self.signed_by_webhook(fields, now)?;
        signed.update(body);
        let id = signed.id.clone();
        signed.finish().map(|_| id)
    }

    fn signed_by_webhook(&self, fields: &Fields, now: Timestamp) -> Result<Signed, AuthError> {
        let id = only(fields, "webhook-id").filter(|id| is_id(id));
        let id = id.ok_or(AuthError::Malformed("webhook-id"))?;
        let stamp =
            only(fields, "webhook-timestamp").ok_or(AuthError::Malformed("webhook-timestamp"))?;
        let sent = seconds(stamp).ok_or(AuthError::Malformed("webhook-timestamp"))?;
        let given = signatures(fields);
        if given.is_empty() {
            return Err(AuthError::Malformed("webhook-signature"));
        }
        if self.keys.is_empty() {
            return Err(AuthError::NothingConfigured);
        }
        // The tolerance is compared in whole seconds, the unit of the field.
        let (now, tolerance) = (now.as_seconds(), TOLERANCE.as_seconds().0.cast_signed());
        if now.saturating_sub(sent) > tolerance {
            return Err(AuthError::TooOld);
        }
        if sent.saturating_sub(now) > tolerance {
            return Err(AuthError::TooNew);
        }
        let made = self.keys.iter().filter_map(|key| begun(key, id, stamp)).collect();
        Ok(Signed { id: id.to_owned(), given, made })
    }

    /// Whether a request carries a token, whatever it is good for; one that is not known is
    /// refused.
    ///
    /// # Errors
    /// Says which check failed first.
    pub fn has_token(&self, fields: &Fields) -> Result<bool, AuthError> {
        if !fields.has("authorization") {
            return Ok(false);
        }
        match self.token(fields, TokenScope::Read) {
            Ok(_) | Err(AuthError::ScopeMissing(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Checks a token and returns its name.
    ///
    /// # Errors
    /// Says which check failed first.
    pub fn token(&self, fields: &Fields, scope: TokenScope) -> Result<String, AuthError> {
        let value = only(fields, "authorization").and_then(bearer);
        self.known(value.ok_or(AuthError::MalformedToken)?, scope)
    }

    /// The name of the token with a value, if it has the scope.
    pub(super) fn known(&self, value: &str, scope: TokenScope) -> Result<String, AuthError> {
        if self.tokens.is_empty() {
            return Err(AuthError::NothingConfigured);
        }
        let digest = digest(value);
        let mut found = None;
        for token in &self.tokens {
            if bool::from(token.digest.ct_eq(&digest)) {
                found = Some(token);
            }
        }
        found.ok_or(AuthError::UnknownToken)?.name_if(scope)
    }
}

impl Token {
    /// The token's name, if it is good for a scope.
    pub(super) fn name_if(&self, scope: TokenScope) -> Result<String, AuthError> {
        let holds = self.scopes.iter().any(|held| *held == scope || *held == TokenScope::Admin);
        if holds { Ok(self.name.clone()) } else { Err(AuthError::ScopeMissing(scope)) }
    }
}

/// The value of `webhook-signature` for a call of ours.
#[must_use]
pub fn signature(key: &[u8], id: &str, stamp: &str, body: &[u8]) -> String {
    format!("v1,{}", encode_base64(&mac(key, id, stamp, body)))
}

/// HMAC-SHA256 of `id.timestamp.body`.
fn mac(key: &[u8], id: &str, stamp: &str, body: &[u8]) -> Vec<u8> {
    let Some(mut mac) = begun(key, id, stamp) else { return Vec::new() };
    mac.update(body);
    mac.finalize().into_bytes().to_vec()
}

/// The same up to the body. HMAC takes a key of any length (RFC 2104 §2).
fn begun(key: &[u8], id: &str, stamp: &str) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    for part in [id.as_bytes(), b".", stamp.as_bytes(), b"."] {
        mac.update(part);
    }
    Some(mac)
}

/// The value of a field that stands once: two ids or two credentials are nobody's.
pub(super) fn only<'a>(fields: &'a Fields, name: &'a str) -> Option<&'a str> {
    let mut values = fields.all(name);
    let value = values.next()?;
    if values.next().is_some() { None } else { Some(value.trim_matches([' ', '\t'])) }
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_ID_BYTES && id.bytes().all(|b| b.is_ascii_graphic())
}

/// Whole seconds in decimal digits; 12 of them last 30,000 years.
fn seconds(text: &str) -> Option<i64> {
    let digits = (1..=12).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// The `v1` signatures of a call. Other versions (`v1a`, asymmetric) are not ours to check and
/// count as absent.
fn signatures(fields: &Fields) -> Vec<Vec<u8>> {
    fields
        .all("webhook-signature")
        .flat_map(|value| value.split([' ', '\t']))
        .filter_map(|text| decode_base64(text.trim_end_matches(',').strip_prefix("v1,")?))
        .filter(|signature| !signature.is_empty())
        .take(MAX_SIGNATURES)
        .collect()
}

/// `Bearer` and a token (RFC 6750 §2.1); the scheme is case-insensitive (RFC 9110 §11.1).
pub(super) fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_matches(' ');
    let visible = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    (scheme.eq_ignore_ascii_case("bearer") && visible).then_some(token)
}
