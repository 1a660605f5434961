//! What all parts of the engine share: the settings, the isolate's state, the world, and the
//! request that is answered.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use crate::cache::admission::{Admitted, AppliedRoute};
use crate::cache::forward::EdgeFacts;
use crate::cache::key::CacheKey;
use crate::config::{Config, Route};
use crate::engine::isolate::Isolate;
use crate::engine::port::{FoundInColo, Platform};
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
    /// The settings of each rule, and the defaults at last, for tasks of their own.
    routes: Vec<OnceCell<Rc<Route>>>,
}

/// What the colo's cache was found to have under a key, before the request went the longer way.
type KeptColoLookUp<P> = Rc<RefCell<Option<(CacheKey, FoundInColo<P>)>>>;

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
        let routes = (0..=config.routes.len()).map(|_| OnceCell::new()).collect();
        Self(Rc::new(Inner { config, origin_secret, isolate, routes }))
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

    /// What was admitted, for a task of its own; and the place of its rule.
    pub(super) fn owned(&self, admitted: Admitted<'_>) -> (Admitted<'static>, usize) {
        let place = self.config().place_of(&admitted.route);
        let route = match &admitted.route {
            AppliedRoute::Owned(route) => Rc::clone(route),
            AppliedRoute::Borrowed(route) => {
                let made = || Rc::new((*route).clone());
                let kept = self.0.routes.get(place);
                kept.map_or_else(made, |route| Rc::clone(route.get_or_init(made)))
            }
        };
        (admitted.under(route), place)
    }

    /// The same at work on a request, or in an alarm.
    #[must_use]
    pub fn with(&self, platform: &Rc<P>) -> Context<P> {
        Context { engine: self.clone(), platform: Rc::clone(platform), looked: Rc::default() }
    }

    /// The same on a request for which the colo's cache was looked up already.
    #[must_use]
    pub fn with_look(&self, platform: &Rc<P>, key: CacheKey, found: FoundInColo<P>) -> Context<P> {
        let looked = Rc::new(RefCell::new(Some((key, found))));
        Context { engine: self.clone(), platform: Rc::clone(platform), looked }
    }
}

/// What every part of the engine has at hand: the isolate's cache, and the world as a request, or
/// an object's alarm, may use it. Cloning shares both.
pub struct Context<P: Platform> {
    engine: Engine<P>,
    pub(super) platform: Rc<P>,
    looked: KeptColoLookUp<P>,
}

impl<P: Platform> Clone for Context<P> {
    fn clone(&self) -> Self {
        let (platform, looked) = (Rc::clone(&self.platform), Rc::clone(&self.looked));
        Self { engine: self.engine.clone(), platform, looked }
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

    /// Whether there is room in memory for a body of that length, to be kept until it is stored.
    pub(super) fn has_room(&self, length: u64) -> bool {
        let most = self.config().fill_memory;
        let mut isolate = self.isolate().borrow_mut();
        isolate.shed(self.platform.now(), most.saturating_sub(length));
        isolate.fill_bytes() + length <= most
    }

    /// What the colo's cache was found to have under this key before; given once.
    pub(super) fn take_look(&self, key: &CacheKey) -> Option<FoundInColo<P>> {
        let looked = self.looked.borrow_mut().take_if(|(looked, _)| looked == key);
        looked.map(|(_, found)| found)
    }

    /// What was found is too old for another look-up.
    pub(super) fn forget_look(&self) {
        if let Some((_, Ok(Some(stored)))) = self.looked.borrow_mut().take() {
            self.platform.cancel(stored.body);
        }
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
