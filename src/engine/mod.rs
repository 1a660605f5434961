//! The one orchestrator: look up, decide, perform.
//!
//! Every decision is taken by `policy`, `view` or `index`; the engine asks for the facts they need and does what they
//! say, through the ports. It runs the same in the worker, in the shards' warm queue and in tests.
//!
//! | file | step |
//! | --- | --- |
//! | `lookup` | the view's news; L0, then L1; the entry's standing |
//! | [`fill`], `follow` | who fetches, who waits |
//! | `background` | refreshes that nobody waits for |
//! | `fly`, `leave`, [`keep`], `stored` | lease, L2 or origin, store, record |
//! | `intake` | the origin's body, as it arrives |
//! | `mark` | hit-for-pass: what can't be stored |
//! | `own` | what is for the request that began a flight, and for nobody else |
//! | [`flight`] | one fetch shared by the requests that wait for it |
//! | `parts` | ranges of what is not stored as a whole |
//! | [`origin_limit`], `permit` | how many origin requests are under way, and who waits |
//! | `pass`, `post` | what is not a page; what may become one |
//! | [`answer`] | answers and their heads |
//! | `sync` | how the view hears of invalidations |
//! | [`deliver`] | the journal's outbox to the shards |
//! | `reshard` | pages on their way to other shards, when the number of shards has changed |
//! | [`warm`], `import` | a shard's warm queue; sitemaps on their way into it |
//! | [`operate`], `inspect`, `order` | the control API |
//! | `purge` | other caches' APIs; forced refreshes |
//! | `before` | Workers Caching, which stands before this worker |
//! | `invalidate` | an invalidation on its way into the journal |
//! | `together` | several calls at once |

pub mod answer;
mod background;
mod before;
pub mod deliver;
pub mod fill;
pub mod flight;
mod fly;
mod follow;
mod import;
mod inspect;
mod intake;
mod invalidate;
pub mod isolate;
pub mod keep;
mod leave;
mod lookup;
mod mark;
pub mod memory;
pub mod operate;
mod order;
pub mod origin_limit;
mod outward;
mod own;
mod parts;
mod pass;
mod permit;
mod post;
mod purge;
mod reshard;
mod stored;
mod sync;
mod tell;
mod together;
pub mod wake;
pub mod warm;

use std::cell::RefCell;
use std::rc::Rc;

use crate::config::Config;
use crate::control::log::Event;
use crate::control::problem::Problem;
use crate::entry::Entry;
use crate::header::cache_status::{CacheStatus, Forward};
use crate::header::{Fields, RequestHead};
use crate::policy::admission::{Admission, Admitted, Refusal, admit};
use crate::policy::forward::EdgeFacts;
use crate::policy::reuse::{Reuse, reuse};
use crate::port::Platform;
use crate::time::{Seconds, Timestamp};

use answer::{Answer, Asked};
use fill::Have;
use isolate::Isolate;
use lookup::Found;

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

    /// Answers a visitor.
    pub async fn serve(&self, platform: Rc<P>, incoming: Incoming<P>) -> Answer<P> {
        let answer = self.decide(platform, incoming).await;
        self.count_answer(&answer);
        answer
    }

    async fn decide(&self, platform: Rc<P>, incoming: Incoming<P>) -> Answer<P> {
        let request = Rc::clone(&incoming.head);
        match admit(&request, self.config()) {
            Admission::Refuse(refusal) => self.refused(&platform, &request, refusal),
            Admission::Pass(pass) => self.pass(&platform, incoming, &pass).await,
            Admission::Serve(admitted) => self.look_up(&platform, incoming, &admitted).await,
        }
    }

    async fn look_up(
        &self,
        platform: &Rc<P>,
        incoming: Incoming<P>,
        admitted: &Admitted<'_>,
    ) -> Answer<P> {
        let asked = Asked::of(&incoming.head, admitted);
        let max_lag = self.max_lag(admitted);
        let sight = (self.see(platform, max_lag).await, max_lag);
        let found = self.find(platform, &incoming, admitted).await;
        // The clock is read after the first I/O: within a request it stands still before.
        let now = platform.now();
        let have = match found {
            Found::Pass(reason) => {
                return self.pass_marked(platform, incoming, admitted, &reason).await;
            }
            Found::Nothing(vary) => Have::nothing(vary),
            Found::Page(page) => {
                let entry = &page.entry;
                let standing = self.standing(platform, &entry.targets, entry.stamp, sight).await;
                match reuse(entry, standing, &admitted.directives, admitted.route, now) {
                    Reuse::Fresh { ttl } => {
                        return Answer::stored(&asked, &page, now, CacheStatus::hit(ttl));
                    }
                    Reuse::Stale { ttl, why } => {
                        let have = Have::of(&page, false, true, standing.need());
                        self.refresh(platform, &incoming, admitted, have, now);
                        let told = CacheStatus::hit(ttl).detail(why.as_str());
                        return Answer::stored(&asked, &page, now, told);
                    }
                    Reuse::Validate { why, conditional, on_error } => {
                        let forward =
                            if standing.need().0 > 0 { Forward::Stale } else { why.forward() };
                        Have::of(&page, conditional, on_error, standing.need())
                            .because(forward, why.as_str())
                    }
                    Reuse::Unsatisfiable => return Self::only_if_cached(),
                }
            }
        };
        let part = self.find_part(platform, &incoming, admitted, &have, sight).await;
        let have = have.with_part(part);
        if let Some(answer) = self.out_of_part(platform, &asked, &have) {
            return answer;
        }
        if admitted.directives.only_if_cached {
            return Self::only_if_cached();
        }
        if admitted.range.is_some() {
            return self.fetch_range(platform, incoming, admitted, have).await;
        }
        self.fetch_for(platform, incoming, admitted, have, now).await
    }

    fn refused(&self, platform: &Rc<P>, request: &RequestHead, refusal: Refusal) -> Answer<P> {
        let url = format!("{}://{}{}", request.scheme, request.host, request.path);
        let event = Event::RequestRefused { url: &url, reason: refusal.as_str() };
        self.log(platform, &event);
        let told = CacheStatus::default().detail(refusal.as_str());
        Answer::problem(&Problem::refused(refusal.status(), refusal.as_str()), told)
    }

    /// RFC 9111 §5.2.1.7: 504 where nothing stored may answer.
    fn only_if_cached() -> Answer<P> {
        let told = CacheStatus::default().detail("only-if-cached");
        Answer::problem(&Problem::refused(504, "only-if-cached"), told)
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
pub fn own_request(page: &crate::key::Page, fields: Fields) -> RequestHead {
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
