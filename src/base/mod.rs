//! What every room needs: times as plain values, strict JSON, rows of SQLite.

pub mod json;
pub mod rule;
pub mod sort;
pub mod sql;
pub mod time;
pub mod xml;
