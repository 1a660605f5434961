//! AWS Signature Version 4: who signed a request, and the signature that a request of ours carries.
//!
//! The access key's id is a token's name and the secret key its value, so that there is one list of
//! credentials. The signature covers method, path, query, the body's digest and the fields that it
//! lists; `Host` and `X-Amz-Date` must be among them, and the date within five minutes of now.
//! Refused is a body whose digest was not signed.

use std::fmt::{Display, Write as _};

use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::base::hex::hex;
use crate::base::time::Timestamp;
use crate::control::auth::{AuthError, Caller, TOLERANCE, TokenScope};
use crate::control::secret::Secrets;
use crate::http::RequestHead;

/// The name of the algorithm: in the field, and first in what is signed.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How scopes end.
const TERMINATOR: &str = "aws4_request";

/// What `Authorization` says.
struct Authorization<'a> {
    /// The access key's id.
    id: &'a str,
    scope: KeyScope<'a>,
    /// The fields that are signed, `;` between them.
    signed: &'a str,
    signature: &'a str,
}

/// What a derived key is good for.
#[derive(Clone, Copy, Debug)]
pub struct KeyScope<'a> {
    /// The day, `20261121`.
    pub day: &'a str,
    /// The region.
    pub region: &'a str,
    /// The service.
    pub service: &'a str,
}

impl KeyScope<'_> {
    fn text(&self) -> String {
        format!("{}/{}/{}/{TERMINATOR}", self.day, self.region, self.service)
    }
}

/// A request, as far as a signature covers it.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// The path, percent-encoded as it is sent.
    pub path: &'a str,
    /// The query, as it is sent.
    pub query: &'a str,
    /// The fields that are signed, in order of their names, with their values.
    pub fields: &'a [(&'a str, String)],
    /// The body.
    pub body: &'a [u8],
    /// When: `20261121T093700Z`.
    pub at: &'a str,
}

/// Who signed a request.
///
/// # Errors
/// Says which check failed first.
pub fn verify(
    request: &RequestHead,
    body: &[u8],
    secrets: &Secrets,
    now: Timestamp,
) -> Result<Caller, AuthError> {
    let fields = &request.fields;
    let mut given = fields.all("authorization");
    let field = given.next().ok_or(AuthError::Missing)?;
    let authorization = read_authorization(field).filter(|_| given.next().is_none());
    let authorization = authorization.ok_or(AuthError::MalformedToken)?;
    let value = |name: &str| match name {
        // The runtime may keep Host out of the fields.
        "host" => Some(fields.joined(name).unwrap_or_else(|| request.host.clone())),
        _ => fields.joined(name),
    };
    let mut signed = Vec::new();
    for name in authorization.signed.split(';') {
        signed.push((name, value(name).ok_or(AuthError::Malformed("authorization"))?));
    }
    let covers = |wanted: &str| signed.iter().any(|(name, _)| *name == wanted);
    if !covers("host") || !covers("x-amz-date") {
        return Err(AuthError::Malformed("authorization"));
    }
    let at = fields.get("x-amz-date").unwrap_or_default();
    let sent = parse_compact(at).filter(|_| at.starts_with(authorization.scope.day));
    let sent = sent.ok_or(AuthError::Malformed("x-amz-date"))?;
    let digest = hex(&Sha256::digest(body));
    if fields.get("x-amz-content-sha256").is_some_and(|said| said != digest) {
        return Err(AuthError::Malformed("x-amz-content-sha256"));
    }
    let request = SignedRequest {
        method: &request.method,
        path: &request.path,
        query: request.query.as_deref().unwrap_or_default(),
        fields: &signed,
        body,
        at,
    };
    let made = |secret: &str| {
        let made = signature(secret, &authorization.scope, &request);
        bool::from(made.as_bytes().ct_eq(authorization.signature.as_bytes()))
    };
    let caller = secrets.signed(authorization.id, TokenScope::Revalidate, made)?;
    if now.since(sent) > TOLERANCE {
        return Err(AuthError::TooOld);
    }
    if sent.since(now) > TOLERANCE {
        return Err(AuthError::TooNew);
    }
    Ok(caller)
}

/// Whether a request names a token and a time of now: what can be refused before its body is read.
///
/// # Errors
/// Says why it can't be signed by anybody who may make it.
pub fn claimed(request: &RequestHead, secrets: &Secrets, now: Timestamp) -> Result<(), AuthError> {
    let fields = &request.fields;
    let authorization = read_authorization(fields.get("authorization").ok_or(AuthError::Missing)?);
    let authorization = authorization.ok_or(AuthError::MalformedToken)?;
    // The signature is not looked at yet: it is the body's too.
    match secrets.signed(authorization.id, TokenScope::Revalidate, |_| true) {
        Ok(_) | Err(AuthError::ScopeMissing(_)) => {}
        Err(error) => return Err(error),
    }
    let sent = fields.get("x-amz-date").and_then(parse_compact);
    let sent = sent.ok_or(AuthError::Malformed("x-amz-date"))?;
    if now.since(sent) > TOLERANCE {
        return Err(AuthError::TooOld);
    }
    if sent.since(now) > TOLERANCE {
        return Err(AuthError::TooNew);
    }
    Ok(())
}

fn read_authorization(field: &str) -> Option<Authorization<'_>> {
    let rest = field.trim().strip_prefix(ALGORITHM)?.strip_prefix(' ')?;
    let (mut credential, mut signed, mut signature) = (None, None, None);
    for part in rest.split(',') {
        let (name, value) = part.trim().split_once('=')?;
        let slot = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed,
            "Signature" => &mut signature,
            _ => return None,
        };
        if slot.replace(value).is_some() {
            return None;
        }
    }
    let mut parts = credential?.split('/');
    let (id, day) = (parts.next()?, parts.next()?);
    let scope = KeyScope { day, region: parts.next()?, service: parts.next()? };
    let ends = parts.next() == Some(TERMINATOR) && parts.next().is_none();
    let holds = ends && scope.service == "cloudfront" && day.len() == 8;
    holds.then_some(Authorization { id, scope, signed: signed?, signature: signature? })
}

/// The signature of a request under a secret key, in hexadecimal.
#[must_use]
pub fn signature(secret: &str, scope: &KeyScope<'_>, request: &SignedRequest<'_>) -> String {
    let names: Vec<&str> = request.fields.iter().map(|(name, _)| *name).collect();
    let mut canonical =
        format!("{}\n{}\n{}\n", request.method, encoded(request.path), sorted(request.query));
    for (name, value) in request.fields {
        let words: Vec<&str> = value.split(' ').filter(|word| !word.is_empty()).collect();
        // Writing to a String can't fail.
        let _ = writeln!(canonical, "{name}:{}", words.join(" "));
    }
    let _ = write!(canonical, "\n{}\n{}", names.join(";"), hex(&Sha256::digest(request.body)));
    let canonical = hex(&Sha256::digest(canonical.as_bytes()));
    let text = format!("{ALGORITHM}\n{}\n{}\n{canonical}", request.at, scope.text());
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in [scope.day, scope.region, scope.service, TERMINATOR, &text] {
        key = hmac(&key, part.as_bytes());
    }
    hex(&key)
}

/// The value of `Authorization` for a request of ours.
#[must_use]
pub fn authorization(
    id: &str,
    secret: &str,
    scope: &KeyScope<'_>,
    request: &SignedRequest<'_>,
) -> String {
    let names: Vec<&str> = request.fields.iter().map(|(name, _)| *name).collect();
    format!(
        "{ALGORITHM} Credential={id}/{}, SignedHeaders={}, Signature={}",
        scope.text(),
        names.join(";"),
        signature(secret, scope, request)
    )
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    // HMAC takes a key of any length (RFC 2104 §2).
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// What a path keeps as it is when it is signed: unreserved characters (RFC 3986 §2.3) and slashes.
const KEPT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A path as it is signed: percent-encoded once more, as for every service but S3.
fn encoded(path: &str) -> impl Display {
    utf8_percent_encode(path, KEPT)
}

fn sorted(query: &str) -> String {
    let mut pairs: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") })
        .collect();
    pairs.sort();
    pairs.join("&")
}

/// Reads `20261121T093700Z`.
fn parse_compact(text: &str) -> Option<Timestamp> {
    // The basic format of ISO 8601 in all of its digits: it may have others, a fraction, an offset.
    let form = |(byte, form): (u8, u8)| match form {
        b'T' | b'Z' => byte == form,
        _ => byte.is_ascii_digit(),
    };
    if text.len() != COMPACT.len() || !text.bytes().zip(COMPACT.bytes()).all(form) {
        return None;
    }
    Some(Timestamp::from_seconds(text.parse::<jiff::Timestamp>().ok()?.as_second()))
}

const COMPACT: &str = "20261121T093700Z";

/// A time as `2026-11-21T09:37:00Z` (RFC 3339); one beyond the year 9999 as the last of it.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    let last = jiff::Timestamp::MAX.as_second();
    let seconds = at.as_millis().div_euclid(1_000).clamp(0, last);
    jiff::Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

/// A time as `20261121T093700Z`.
#[must_use]
pub fn compact(at: Timestamp) -> String {
    rfc3339(at).replace(['-', ':'], "")
}
