//! edge-isr: an ISR cache inside a CDN.
//!
//! The cache is pure, synchronous Rust that knows no Cloudflare type and reads no clock;
//! `cloudflare` is a thin shell around it. A room imports only from those to its left:
//!
//! `base ← http ← config ← cache ← journal ← index ← control ← front_caches ← engine ← cloudflare`
//!
//! `tests/repository/architecture.rs` enforces it; `docs/architecture.md` has the map.

pub mod base;
pub mod cache;
#[cfg(target_arch = "wasm32")]
mod cloudflare;
pub mod config;
pub mod control;
pub mod engine;
pub mod front_caches;
pub mod http;
pub mod index;
pub mod journal;
