//! The typed settings of one site. Parsed once; everything inside is valid by construction.
//!
//! `settings.rs` says what can be set, its unit and its default; [`mod@parse`] reads it.
//!
//! ```
//! use edge_isr::config::parse::parse;
//!
//! assert!(parse(r#"{"defaults": {"ttl": 60}}"#, &[]).is_ok());
//! let problems = parse(r#"{"defaults": {"ttl": "a minute"}}"#, &[]).unwrap_err();
//! assert_eq!(problems[0].path, "defaults.ttl");
//! ```

pub mod address;
pub mod error_page;
pub mod front_cache;
pub mod front_cache_access;
pub mod host;
mod ignored;
pub mod origin;
pub mod parse;
pub mod pattern;
mod settings;
pub mod summary;

pub use address::Network;
pub use error_page::ErrorPage;
pub use ignored::{Ignored, IgnoredError};
pub use origin::{OriginUrl, OriginUrlError};
pub use parse::{ConfigError, from_value, parse};
pub use pattern::PathPattern;
pub use settings::{
    Action, Config, ForwardHeaders, LogLevel, QueryPolicy, Route, RouteRule, TRACKING_PARAMETERS,
    VaryOn,
};
