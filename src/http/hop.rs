//! Fields that belong to one hop (RFC 9110 §7.6.1), and fields by which a visitor could speak in a
//! proxy's name.
//!
//! `Connection` may name further fields of its hop, but not any that later decisions rest on:
//! `Connection: age` must not make an old response look new, nor `Connection: cache-control` a
//! private one public.
//!
//! A WSGI origin takes `X_Forwarded_Host` for `X-Forwarded-Host` (CVE-2015-0219): what is said of a
//! name holds for its spelling with underscores.

use super::Fields;
use super::list::split;

/// Fields of one hop, always.
pub const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Fields that `Connection` can't take away.
const END_TO_END: &[&str] = &[
    "accept-ranges",
    "age",
    "authorization",
    "cache-control",
    "cache-status",
    "cache-tag",
    "cdn-cache-control",
    "cdn-loop",
    "cf-cache-status",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-security-policy",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expires",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "pragma",
    "range",
    "retry-after",
    "set-cookie",
    "strict-transport-security",
    "surrogate-control",
    "surrogate-key",
    "vary",
    "via",
    "www-authenticate",
    "x-edge-isr",
    "x-edge-isr-tags",
    "xkey",
];

/// Fields by which only a proxy may say who asked for what. Never passed on from a visitor.
const PROXY_ONLY: &[&str] = &[
    "forwarded",
    "forwarded-for",
    "forwarded-host",
    "forwarded-proto",
    "front-end-https",
    "proxy",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-url",
    "x-original-uri",
    "x-original-host",
    "x-originating-ip",
    "x-rewrite-url",
    "x-override-url",
    "x-host",
    "x-http-host-override",
    "x-backend-host",
    "x-scheme",
    "x-url-scheme",
    "x-arr-ssl",
    "x-azure-clientip",
    "x-envoy-external-address",
    "x-remote-addr",
    "x-remote-ip",
    "x-proxy-user",
    "x-remote-user",
    "remote-user",
    "true-client-ip",
    "fastly-client-ip",
    "client-ip",
    "x-device",
    "surrogate-capability",
    "cdn-loop",
];

/// Beginnings of the names of such fields.
const PROXY_ONLY_PREFIXES: &[&str] = &["x-forwarded", "x-edge-isr", "cf-"];

/// Signed tokens of Cloudflare Access: the origin checks them itself, so they pass, but nothing
/// shared is made of them.
const ACCESS_PREFIX: &str = "cf-access-";

/// Fields that turn a request into another one, or say who makes it, without being part of any
/// key.
const UNKEYED: &[&str] = &["x-http-method-override", "x-http-method", "x-method-override"];

/// Whether a field is one of a hop, by its name alone.
#[must_use]
pub fn is_hop_by_hop(name: &str) -> bool {
    HOP_BY_HOP.contains(&name)
}

/// Whether a visitor's field must not pass in any request.
#[must_use]
pub fn is_proxy_only(name: &str) -> bool {
    if let Some(dashed) = dashed(name) {
        return is_hop_by_hop(&dashed) || is_proxy_only(&dashed);
    }
    let by_prefix = || PROXY_ONLY_PREFIXES.iter().any(|p| name.starts_with(p));
    PROXY_ONLY.contains(&name) || (by_prefix() && !name.starts_with(ACCESS_PREFIX))
}

/// Whether a field must not be sent on a request whose answer may be stored.
#[must_use]
pub fn is_unkeyed(name: &str) -> bool {
    if let Some(dashed) = dashed(name) {
        return is_unkeyed(&dashed);
    }
    UNKEYED.contains(&name) || name.starts_with(ACCESS_PREFIX)
}

/// The name as a WSGI origin reads it; none if it is that already.
fn dashed(name: &str) -> Option<String> {
    name.contains('_').then(|| name.replace('_', "-"))
}

/// Takes the fields of the hop out, with those that `Connection` names.
pub fn remove_hop_by_hop(fields: &mut Fields) {
    let named: Vec<String> = fields
        .all("connection")
        .flat_map(|line| split(line, b',').parts)
        .map(str::to_ascii_lowercase)
        .filter(|name| !END_TO_END.contains(&name.as_str()))
        .collect();
    fields.retain(|name, _| !is_hop_by_hop(name) && !named.iter().any(|n| n == name));
}
