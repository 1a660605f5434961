//! The secrets of the control API: webhook keys (`WEBHOOK_SECRETS`) and tokens (`TOKENS`).
//!
//! Several of each hold at once, so that they can be rotated without a gap. They are parsed once; a
//! secret that can't be read is an error by its position, and no error, log or `Debug` output ever
//! shows one.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest as _, Sha256};

/// Everything that callers of the control API can prove themselves by.
#[derive(Clone, Default)]
pub struct Secrets {
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) tokens: Vec<Token>,
}

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenScope {
    /// Look at jobs, pages, tags and metrics.
    Read,
    /// Invalidate and warm.
    Revalidate,
    /// Everything.
    Admin,
}

impl TokenScope {
    /// The scope's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Revalidate => "revalidate",
            Self::Admin => "admin",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Read, Self::Revalidate, Self::Admin].into_iter().find(|scope| scope.as_str() == name)
    }
}

/// A token: who it is for, what it is good for, its value and the digest of that.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) name: String,
    pub(super) scopes: Vec<TokenScope>,
    /// Digests have one length, so that comparing them reveals nothing about a token's.
    pub(super) digest: [u8; 32],
    /// What its holder signs with, where an API asks for signatures.
    pub(super) value: Box<str>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({} keys, {} tokens)", self.keys.len(), self.tokens.len())
    }
}

/// Which variable a secret stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// `WEBHOOK_SECRETS`.
    Webhook,
    /// `TOKENS`.
    Token,
}

/// What is wrong with a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretFault {
    /// A webhook secret without `whsec_`.
    Prefix,
    /// A webhook secret that is not base64 behind its prefix.
    Base64,
    /// Nothing behind the prefix, or no value.
    Empty,
    /// A token that is not `NAME:SCOPES:VALUE`.
    Form,
    /// A token's name with characters other than letters, digits, `.`, `_`, `-`.
    Name,
    /// A scope other than `read`, `revalidate`, `admin`.
    TokenScope,
    /// A token's value with characters that a `Bearer` field can't carry.
    Value,
    /// A token's value that another token has too.
    Repeated,
    /// More secrets than are looked through for each call.
    TooMany,
}

/// A secret that can't be used. Names its position, never the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretError {
    /// The variable.
    pub kind: SecretKind,
    /// Its position in the variable, from 1.
    pub position: usize,
    /// What is wrong.
    pub fault: SecretFault,
}

impl std::fmt::Display for SecretError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (variable, position) = (self.kind.variable(), self.position);
        let fault = match self.fault {
            SecretFault::Prefix => "does not start with whsec_",
            SecretFault::Base64 => "is not base64 after whsec_",
            SecretFault::Empty => "is empty",
            SecretFault::Form => "is not of the form NAME:SCOPES:VALUE",
            SecretFault::Name => "has a name with characters other than letters, digits, . _ -",
            SecretFault::TokenScope => {
                "has a scope other than read, revalidate, admin (joined by +)"
            }
            SecretFault::Value => "has a value with characters that a header can't carry",
            SecretFault::Repeated => "has the value of another token",
            SecretFault::TooMany => "is one too many (32 are looked through)",
        };
        write!(f, "{variable}: number {position} {fault}")
    }
}

impl std::error::Error for SecretError {}

impl SecretKind {
    /// The variable's name.
    #[must_use]
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Webhook => "WEBHOOK_SECRETS",
            Self::Token => "TOKENS",
        }
    }
}

const MAX_SECRETS: usize = 32;

/// Standard base64, padded or not: both are found in the wild.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Decodes standard base64, padded or not.
pub(super) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// Encodes standard base64, padded.
pub(super) fn encode_base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

impl Secrets {
    /// Parses both variables; each holds secrets separated by commas or white space.
    ///
    /// # Errors
    /// Every secret that can't be used.
    pub fn parse(webhook_secrets: &str, tokens: &str) -> Result<Self, Vec<SecretError>> {
        let mut secrets = Self::default();
        let mut errors = Vec::new();
        for (position, text) in split(webhook_secrets) {
            match webhook_key(text) {
                Ok(key) if secrets.keys.len() < MAX_SECRETS => secrets.keys.push(key),
                Ok(_) => errors.push((SecretKind::Webhook, position, SecretFault::TooMany)),
                Err(fault) => errors.push((SecretKind::Webhook, position, fault)),
            }
        }
        for (position, text) in split(tokens) {
            let fault = match token(text) {
                Ok(token) if secrets.tokens.iter().any(|t| t.digest == token.digest) => {
                    SecretFault::Repeated
                }
                Ok(_) if secrets.tokens.len() >= MAX_SECRETS => SecretFault::TooMany,
                Ok(token) => {
                    secrets.tokens.push(token);
                    continue;
                }
                Err(fault) => fault,
            };
            errors.push((SecretKind::Token, position, fault));
        }
        if errors.is_empty() {
            return Ok(secrets);
        }
        let error = |(kind, position, fault)| SecretError { kind, position, fault };
        Err(errors.into_iter().map(error).collect())
    }

    /// How many webhook secrets hold.
    #[must_use]
    pub fn webhook_secrets(&self) -> usize {
        self.keys.len()
    }

    /// How many tokens hold.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.tokens.len()
    }

    /// Whether anyone at all can invalidate.
    #[must_use]
    pub fn can_invalidate(&self) -> bool {
        let may = |token: &Token| {
            token
                .scopes
                .iter()
                .any(|held| matches!(held, TokenScope::Revalidate | TokenScope::Admin))
        };
        !self.keys.is_empty() || self.tokens.iter().any(may)
    }

    /// What an operator should know about secrets that work but are weak: Standard Webhooks asks
    /// for keys of 24 to 64 bytes, and a token shorter than 16 characters can be guessed.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let keys = self.keys.iter().enumerate().filter(|(_, key)| key.len() < 24);
        let keys = keys.map(|(at, key)| {
            let (position, length) = (at + 1, key.len());
            format!("WEBHOOK_SECRETS: number {position} has {length} bytes: 24 to 64 are asked for")
        });
        let tokens = self.tokens.iter().filter(|token| token.value.len() < 16);
        let tokens = tokens.map(|token| {
            format!("TOKENS: the value of {} has fewer than 16 characters", token.name)
        });
        keys.chain(tokens).collect()
    }
}

fn split(variable: &str) -> impl Iterator<Item = (usize, &str)> {
    let separator = |c: char| c == ',' || c.is_whitespace();
    variable.split(separator).filter(|text| !text.is_empty()).enumerate().map(|(at, t)| (at + 1, t))
}

/// The key in a webhook's secret.
///
/// # Errors
/// Says what is wrong with the secret.
pub fn webhook_key(text: &str) -> Result<Vec<u8>, SecretFault> {
    let encoded = text.strip_prefix("whsec_").ok_or(SecretFault::Prefix)?;
    let key = decode_base64(encoded).ok_or(SecretFault::Base64)?;
    if key.is_empty() { Err(SecretFault::Empty) } else { Ok(key) }
}

fn token(text: &str) -> Result<Token, SecretFault> {
    let mut parts = text.splitn(3, ':');
    let (Some(name), Some(scopes), Some(value)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(SecretFault::Form);
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(SecretFault::Name);
    }
    let scopes: Option<Vec<TokenScope>> = scopes.split('+').map(TokenScope::parse).collect();
    let scopes = scopes.ok_or(SecretFault::TokenScope)?;
    if value.is_empty() {
        return Err(SecretFault::Empty);
    }
    if !value.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(SecretFault::Value);
    }
    Ok(Token { name: name.to_owned(), scopes, digest: digest(value), value: value.into() })
}

/// The digest that tokens are compared by.
pub(super) fn digest(value: &str) -> [u8; 32] {
    Sha256::digest(value.as_bytes()).into()
}
