//! The journal on real SQLite, what an isolate knows of it, and neighbouring versions.

mod audit;
#[path = "../common/mod.rs"]
mod common;
mod history;
mod rules;
mod schedule;
mod stats;
mod versions;
mod view_golden;
mod view_rules;
