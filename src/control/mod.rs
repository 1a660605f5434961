//! The control API: who may call, what a call says, and what is answered. Pure and
//! synchronous; the engine performs the calls.
//!
//! | file | what it decides |
//! | --- | --- |
//! | [`route`] | which call a request is |
//! | [`auth`], [`auth_error`] | whether the caller may make it; why not |
//! | [`secret`] | the secrets that credentials are checked against |
//! | [`client_tokens`] | the same for clients of other APIs: where their tokens are |
//! | [`revalidate`], [`targets`] | what an invalidation names |
//! | [`purge_apis`] | the same by the APIs of other caches |
//! | [`scheduled`] | what waits for its time |
//! | [`warm`] | what a warm names |
//! | [`problem`] | errors, as RFC 9457 problem documents |
//! | [`reply`] | the other answers' JSON |
//! | [`history`], [`stats`], [`explain`], [`audit`] | what was invalidated, counted, decided, found |
//! | [`healthz`], [`log`] | what operators see |
//! | [`metrics`], `gauges`, [`site_metrics`] | what a scrape gets |
//! | `query` | how the parameters of a call are read |
//! | [`dashboard`] | the files of the dashboard |
//!
//! ```
//! use edge_isr::control::route::{ControlCall, route};
//! use edge_isr::http::{Fields, RequestHead};
//!
//! let call = RequestHead {
//!     method: "POST".to_owned(),
//!     scheme: "https".to_owned(),
//!     host: "example.com".to_owned(),
//!     path: "/__isr/v1/revalidate".to_owned(),
//!     query: None,
//!     fields: Fields::new(),
//!     client: None,
//! };
//! assert_eq!(route(&call, "/__isr"), Some(Ok(ControlCall::Revalidate)));
//! ```

pub mod audit;
pub mod auth;
pub mod auth_error;
pub mod client_tokens;
pub mod dashboard;
pub mod explain;
mod gauges;
pub mod healthz;
pub mod history;
pub mod log;
pub mod metrics;
pub mod problem;
pub mod purge_apis;
mod query;
pub mod reply;
pub mod revalidate;
pub mod route;
pub mod scheduled;
pub mod secret;
pub mod site_metrics;
pub mod stats;
pub mod targets;
pub mod warm;

pub use auth::{AuthError, Caller, TokenScope};
pub use problem::{Problem, ProblemKind};
pub use revalidate::RevalidateCommand;
pub use route::ControlCall;
pub use secret::{SecretError, Secrets};
