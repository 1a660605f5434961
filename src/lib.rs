//! edge-isr: an ISR cache inside a CDN.
//!
//! The cache is pure, synchronous Rust that knows no Cloudflare type and reads no clock; `cloudflare` is a thin shell
//! around it. A module imports only from those to its left:
//!
//! `json ← rule ← sort ← time ← tag ← header ← key ← entry ← codec ← config ← policy ← sql ← delta ←
//! journal ← view ← lease ← warm ← heat ← pace ← xml ← sitemap ← index ← control ← dialect ← upstream ← port ←
//! engine ← cloudflare`
//!
//! `tests/architecture.rs` enforces it; `docs/architecture.md` has the map.

#[cfg(target_arch = "wasm32")]
mod cloudflare;
pub mod codec;
pub mod config;
pub mod control;
pub mod delta;
pub mod dialect;
pub mod engine;
pub mod entry;
pub mod header;
pub mod heat;
pub mod index;
pub mod journal;
pub mod json;
pub mod key;
pub mod lease;
pub mod pace;
pub mod policy;
pub mod port;
pub mod rule;
pub mod sitemap;
pub mod sort;
pub mod sql;
pub mod tag;
pub mod time;
pub mod upstream;
pub mod view;
pub mod warm;
pub mod xml;
