//! Tokens as the clients of other caches' APIs send them: the same tokens with the same scopes, in
//! the field that the client has for its key, or as the key of a signature.
//!
//! Looked at are, in this order and the first that is there alone: `Authorization` (`Bearer`; or
//! `Basic` with the token as password, or as user name before an empty password), `X-Auth-Key`,
//! `Fastly-Key`. What a client sends beside it (`X-Auth-Email`) says nothing.

use crate::config::Config;
use crate::http::{Fields, RequestHead};

use super::auth::{AuthError, Caller, TokenScope, bearer, only};
use super::secret::{Secrets, decode_base64};

/// Fields that have a token: the first within credentials, the others as it is.
const TOKEN_FIELDS: [&str; 3] = ["authorization", "x-auth-key", "fastly-key"];

/// The field of a request that has what could be a token.
#[must_use]
pub fn token_field(fields: &Fields) -> Option<&'static str> {
    TOKEN_FIELDS.into_iter().find(|name| fields.has(name))
}

/// Who asks by a method or a header that needs no credentials, but a token or a trusted address. A
/// browser is trusted by its token alone: any site can make it send a request.
///
/// # Errors
/// Says why nobody who may ask does.
pub fn trusted_or_token(
    request: &RequestHead,
    secrets: &Secrets,
    config: &Config,
) -> Result<Caller, AuthError> {
    let fields = &request.fields;
    let from_browser = fields.has("origin") || fields.has("sec-fetch-site");
    match &request.client {
        Some(address) if config.trusts(Some(address)) && !from_browser => {
            Ok(Caller::Trusted { address: address.clone() })
        }
        Some(_) | None if token_field(fields).is_some() => {
            secrets.client_token(fields, TokenScope::Revalidate)
        }
        Some(_) | None => Err(AuthError::Missing),
    }
}

impl Secrets {
    /// Who holds the token that another API's client sends.
    ///
    /// # Errors
    /// Says which check failed first.
    pub fn client_token(&self, fields: &Fields, scope: TokenScope) -> Result<Caller, AuthError> {
        let name = token_field(fields).ok_or(AuthError::Missing)?;
        let value = only(fields, name).and_then(|value| match name {
            "authorization" => bearer(value).map(str::to_owned).or_else(|| basic(value)),
            _ => Some(value.to_owned()),
        });
        let value = value.filter(|value| !value.is_empty()).ok_or(AuthError::MalformedToken)?;
        self.known(&value, scope).map(|name| Caller::Token { name })
    }

    /// Who made a signature: the holder of a token of this name whose value `made` accepts.
    ///
    /// # Errors
    /// When no token has the name, none of them made the signature, or the one that did lacks the
    /// scope.
    pub fn signed(
        &self,
        name: &str,
        scope: TokenScope,
        made: impl Fn(&str) -> bool,
    ) -> Result<Caller, AuthError> {
        if self.tokens.is_empty() {
            return Err(AuthError::NothingConfigured);
        }
        // Two tokens may share a name while the one replaces the other.
        let mut named = self.tokens.iter().filter(|token| token.name == name).peekable();
        if named.peek().is_none() {
            return Err(AuthError::UnknownToken);
        }
        let token = named.find(|token| made(&token.value)).ok_or(AuthError::UnknownSignature)?;
        token.name_if(scope).map(|name| Caller::Token { name })
    }
}

/// The token in `Basic` credentials (RFC 7617 §2).
fn basic(value: &str) -> Option<String> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(decode_base64(encoded.trim_matches(' '))?).ok()?;
    let (user, password) = pair.split_once(':')?;
    Some(if password.is_empty() { user } else { password }.to_owned())
}
