//! The one orchestrator: look up, decide, perform.
//!
//! Every decision is taken by `cache`, `journal::view` or `index`; the engine asks for the facts
//! they need and does what they say, through the ports. It runs the same in the worker, in the
//! shards' warm queue and in tests.
//!
//! | room | what it does |
//! | --- | --- |
//! | [`serve`] | answers visitors: what is stored, what passes, ranges |
//! | [`compose`] | composes answers while they are sent |
//! | [`audit`] | compares hits with the origin's current answer |
//! | [`fill`] | fetches a page: who fetches and who waits, lease, L2 or origin, store, record |
//! | [`invalidate`] | an invalidation's way to the journal, isolates, shards and front caches |
//! | [`warm`] | a shard's warm queue; sitemaps on their way into it |
//! | [`operate`] | the control API and other caches' purge APIs |
//! | [`isolate`], [`memory`], [`colo_hints`], `ready`, [`uncacheable`], [`bodies`], `counting` | what an isolate keeps |
//! | `context` | what all parts share: settings, the isolate's state, the platform |
//! | [`parts`] | `Server`, `Filler`, `Invalidator`, `Warmer`, `Operator`: who may call whom |
//! | [`port`] | the traits that the platform implements |
//! | [`platform_limits`] | the platform's own limits |
//! | `observe` | failures are counted and logged |
//! | [`origin_limit`], `under_way`, `adaptive_limit`, `permit` | how many origin requests are under way, and who waits |
//! | `request_body` | reads the body of a request whole |
//! | `stores`, `variant` | reads and writes L0 and L1; which variant a request selects |
//! | `retry`, `heartbeat` | a second try of calls to objects; work that shows that it runs |
//! | `unread_body` | bodies that are cancelled when they are dropped unread |
//! | [`wake`] | when an object's alarm has to be set |
//!
//! ```
//! use edge_isr::base::time::Timestamp;
//! use edge_isr::engine::wake::missing;
//!
//! // Something is due in ten seconds, and no alarm is set.
//! let (now, due) = (Timestamp::from_seconds(1), Timestamp::from_seconds(11));
//! assert_eq!(missing(None, Some(due), now), Some(due));
//! ```

mod adaptive_limit;
pub mod audit;
pub mod bodies;
pub mod colo_hints;
pub mod compose;
mod context;
mod counting;
pub mod fill;
mod heartbeat;
pub mod invalidate;
pub mod isolate;
pub mod memory;
mod observe;
pub mod operate;
pub mod origin_limit;
pub mod parts;
mod permit;
pub mod platform_limits;
pub mod port;
mod ready;
mod request_body;
mod retry;
pub mod serve;
mod stores;
pub mod uncacheable;
mod under_way;
mod unread_body;
mod variant;
pub mod wake;
pub mod warm;

pub use context::{Context, Engine, Incoming, USER_AGENT, own_request};
