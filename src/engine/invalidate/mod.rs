//! An invalidation's way: into the journal, to isolates, to shards, to caches in front of the edge.

pub(crate) mod append;
pub mod changes;
pub mod fan_out;
mod front_caches;
pub(crate) mod gone;
mod journal_host;
pub(crate) mod sync;
pub(crate) mod unsafe_methods;
