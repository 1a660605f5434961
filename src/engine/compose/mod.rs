//! Answers that are put together at the edge, while they are sent.

pub mod body;
