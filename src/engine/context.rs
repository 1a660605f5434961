//! What all parts of the engine share: the settings, the isolate's state, the world, and the
//! request that is answered.

use std::cell::RefCell;
use std::rc::Rc;

use crate::cache::forward::EdgeFacts;
use crate::config::Config;
use crate::engine::isolate::Isolate;
use crate::engine::port::Platform;
use crate::http::{Fields, RequestHead};

/// The edge's own name towards the origin.
pub const USER_AGENT: &str = concat!("edge-isr/", env!("CARGO_PKG_VERSION"));

/// A request as it reached the edge.
pub struct Incoming<P: Platform> {
    /// Its head.
    pub head: Rc<RequestHead>,
    /// Its body, if it has one.
    pub body: Option<P::Stream>,
    /// The codings the visitor takes, where the CDN rewrites `Accept-Encoding`
    /// (`cf.clientAcceptEncoding`).
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

/// One isolate's cache: the settings, and what the isolate keeps. Cloning shares it.
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

    /// What the edge adds to requests for the origin, of a route without Edge Side Includes.
    pub(super) fn facts<'a>(&'a self, codings: Option<&'a str>, warm: bool) -> EdgeFacts<'a> {
        EdgeFacts {
            origin_secret: self.0.origin_secret.as_deref(),
            warm,
            user_agent: USER_AGENT,
            client_accept_encoding: codings,
            esi: false,
        }
    }

    /// The same at work on a request, or in an alarm.
    #[must_use]
    pub fn with(&self, platform: &Rc<P>) -> Context<P> {
        Context { engine: self.clone(), platform: Rc::clone(platform) }
    }
}

/// What every part of the engine has at hand: the isolate's cache, and the world as a request, or
/// an object's alarm, may use it. Cloning shares both.
pub struct Context<P: Platform> {
    engine: Engine<P>,
    pub(super) platform: Rc<P>,
}

impl<P: Platform> Clone for Context<P> {
    fn clone(&self) -> Self {
        Self { engine: self.engine.clone(), platform: Rc::clone(&self.platform) }
    }
}

impl<P: Platform> Context<P> {
    /// The settings.
    pub(super) fn config(&self) -> &Config {
        self.engine.config()
    }

    /// The isolate's state. Never hold the borrow across an `await`.
    pub(super) fn isolate(&self) -> &RefCell<Isolate<P>> {
        self.engine.isolate()
    }

    /// What the origin knows the edge by, if anything.
    pub(super) fn origin_secret(&self) -> Option<&str> {
        self.engine.0.origin_secret.as_deref()
    }

    /// What the edge adds to requests for the origin.
    pub(super) fn facts<'a>(&'a self, incoming: &'a Incoming<P>, warm: bool) -> EdgeFacts<'a> {
        EdgeFacts {
            esi: self.config().is_esi(&incoming.head.host, &incoming.head.path),
            ..self.engine.facts(incoming.client_accept_encoding.as_deref(), warm)
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
