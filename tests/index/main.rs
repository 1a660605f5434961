//! A shard on real SQLite: its pages, leases, warm queue, and the parts that it is made of.

#[path = "../common/mod.rs"]
mod common;
mod content;
mod import;
mod lease;
mod pace;
mod past;
mod popularity;
mod reshard;
mod sitemap;
mod statements;
mod tags;
mod warm;
