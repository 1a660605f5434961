//! What every room needs: times as plain values, strict JSON, rows of SQLite.
//!
//! ```
//! use edge_isr::base::time::{Millis, Timestamp};
//!
//! let then = Timestamp::from_seconds(10);
//! assert_eq!(then.plus(Millis(500)).since(then), Millis(500));
//! ```

pub mod hex;
pub mod json;
pub mod sql;
pub mod time;
pub mod xml;
