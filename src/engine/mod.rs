//! The one orchestrator: look up, decide, perform.
//!
//! Every decision is taken by `cache`, `journal::view` or `index`; the engine asks for the facts they need and does
//! what they say, through the ports. It runs the same in the worker, in the shards' warm queue and in tests.
//!
//! | room | what it does |
//! | --- | --- |
//! | [`serve`] | answers visitors: what is stored, what passes, ranges |
//! | [`fill`] | fetches a page: who fetches and who waits, lease, L2 or origin, store, record |
//! | [`invalidate`] | takes invalidations into the journal, and carries them to isolates, shards and front caches |
//! | [`warm`] | a shard's warm queue; sitemaps on their way into it |
//! | [`operate`] | the control API and other caches' purge APIs |
//! | [`isolate`], [`memory`] | what an isolate keeps: L0, limits, claims that lapse by themselves |
//! | [`port`] | the traits that the engine needs of the world |
//! | [`platform_limits`] | the platform's own limits |
//! | `observe` | failures are counted and logged |
//! | [`origin_limit`], `permit` | how many origin requests are under way, and who waits |
//! | [`bodies`] | bodies of requests that are read whole |
//! | `once_more` | a second try of calls to objects |
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

pub mod bodies;
pub mod fill;
pub mod invalidate;
pub mod isolate;
pub mod memory;
mod observe;
mod once_more;
pub mod operate;
pub mod origin_limit;
mod permit;
pub mod platform_limits;
pub mod port;
pub mod serve;
pub mod wake;
pub mod warm;

use std::cell::RefCell;
use std::rc::Rc;

use crate::base::time::{Seconds, Timestamp};
use crate::cache::entry::Entry;
use crate::cache::forward::EdgeFacts;
use crate::config::Config;
use crate::engine::port::Platform;
use crate::http::{Fields, RequestHead};

use isolate::Isolate;

/// The edge's own name towards the origin.
pub const USER_AGENT: &str = concat!("edge-isr/", env!("CARGO_PKG_VERSION"));

/// A request as it reached the edge.
pub struct Incoming<P: Platform> {
    /// Its head.
    pub head: Rc<RequestHead>,
    /// Its body, if it has one.
    pub body: Option<P::Stream>,
    /// The codings the visitor takes, where the CDN rewrites `Accept-Encoding` (`cf.clientAcceptEncoding`).
    pub client_accept_encoding: Option<String>,
}

impl<P: Platform> Incoming<P> {
    /// The same without the body, for a task of its own.
    #[must_use]
    pub fn share(&self) -> Self {
        Self {
            head: Rc::clone(&self.head),
            body: None,
            client_accept_encoding: self.client_accept_encoding.clone(),
        }
    }
}

/// One isolate's cache. Cloning shares it.
pub struct Engine<P: Platform>(Rc<Inner<P>>);

struct Inner<P: Platform> {
    config: Config,
    origin_secret: Option<String>,
    isolate: RefCell<Isolate<P>>,
}

impl<P: Platform> Clone for Engine<P> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<P: Platform> Engine<P> {
    /// A cold isolate's engine.
    #[must_use]
    pub fn new(config: Config, origin_secret: Option<String>) -> Self {
        let isolate = RefCell::new(Isolate::new(&config));
        Self(Rc::new(Inner { config, origin_secret, isolate }))
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The isolate's state. Never hold the borrow across an `await`.
    #[must_use]
    pub fn isolate(&self) -> &RefCell<Isolate<P>> {
        &self.0.isolate
    }

    /// What the edge adds to requests for the origin.
    fn facts<'a>(&'a self, incoming: &'a Incoming<P>, warm: bool) -> EdgeFacts<'a> {
        EdgeFacts {
            origin_secret: self.0.origin_secret.as_deref(),
            warm,
            user_agent: USER_AGENT,
            client_accept_encoding: incoming.client_accept_encoding.as_deref(),
        }
    }
}

/// A request made by the edge itself, for a page and the fields its variant was selected by.
#[must_use]
pub fn own_request(page: &crate::cache::key::Page, fields: Fields) -> RequestHead {
    RequestHead {
        method: "GET".to_owned(),
        scheme: page.scheme.clone(),
        host: page.host.clone(),
        path: page.path.clone(),
        query: page.query.clone(),
        fields,
        client: None,
    }
}

/// How long a response with a validator is kept beyond its use without one: to be renewed by a 304.
const VALIDATOR_KEEP: Seconds = Seconds(86_400);

/// The end of a stored response's use, counted from its head's arrival: lifetime and the longest window after it.
#[must_use]
pub fn keep_until(entry: &Entry) -> Timestamp {
    let freshness = &entry.freshness;
    let validator = entry.fields.has("etag") || entry.fields.has("last-modified");
    let keep = if validator { VALIDATOR_KEEP } else { Seconds::ZERO };
    let window = freshness.stale_while_revalidate.max(freshness.stale_if_error).max(keep);
    let keep = freshness.lifetime.plus(window).minus(entry.initial_age);
    entry.response_time.plus(keep.into())
}
