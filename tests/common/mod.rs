//! What several tests need.

#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

pub(crate) mod shard;
pub(crate) mod sqlite;
pub(crate) mod visit;
