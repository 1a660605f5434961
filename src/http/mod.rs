//! Header fields, one per file. Every parser fails closed: what can't be understood never makes a
//! response more cacheable than it would be without the field.
//!
//! ```
//! use edge_isr::base::time::Seconds;
//! use edge_isr::http::{Fields, age::age};
//!
//! // RFC 9111 §5.1: the first of a list counts.
//! let fields = Fields::from_iter([("age", "30, 7200")]);
//! assert_eq!(age(&fields), Some(Seconds(30)));
//! ```

pub mod accept;
pub mod age;
pub mod cache_control;
pub mod cache_status;
pub mod cookie;
pub mod date;
pub mod encoding;
pub mod etag;
pub mod fields;
pub mod head;
pub mod hop;
pub mod language;
pub mod list;
pub mod loop_guard;
pub mod origin;
pub mod range;
pub mod retry_after;
pub mod targeted;
pub mod vary;

pub use fields::Fields;
pub use head::{RequestHead, ResponseHead};
