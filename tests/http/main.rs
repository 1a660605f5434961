//! The rules of RFC 9110 and RFC 9111, one row for each; fields and what is stored.

mod codec;
mod esi;
mod hostile_headers;
#[path = "../http_support/mod.rs"]
mod http_support;
mod json;
mod properties_headers;
mod rfc9110_forwarding;
mod rfc9110_ranges;
mod rfc9111_freshness;
mod rfc9111_reuse;
mod rfc9111_storage;
mod rfc9111_validation;
mod rfc9111_vary;
mod rfc9211_cache_status;
