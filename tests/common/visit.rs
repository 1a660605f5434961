//! A visitor's request, answered as the worker does it.

use std::cell::RefCell;
use std::rc::Rc;

use edge_isr::cache::admission::looked_at;
use edge_isr::engine::operate::own_call;
use edge_isr::engine::parts::Server;
use edge_isr::engine::port::{Platform, Store as _};
use edge_isr::engine::serve::at_once::{AnswerHead, AtOnce, Start, Unread};
use edge_isr::engine::serve::colo_answer::ColoAnswer;
use edge_isr::engine::serve::response::{Answer, Body};
use edge_isr::engine::{Engine, Incoming};
use edge_isr::http::cache_status::CacheStatus;
use edge_isr::http::{Fields, RequestHead};

/// The rest of a request, of which a head was cut.
struct Rest<'a, P: Platform>(&'a Incoming<P>);

impl<P: Platform> Unread for Rest<'_, P> {
    fn fields(&self, names: &[&str]) -> Fields {
        named(&self.0.head.fields, names)
    }

    fn client(&self) -> Option<String> {
        self.0.head.client.clone()
    }

    fn client_accept_encoding(&self) -> Option<String> {
        self.0.client_accept_encoding.clone()
    }
}

/// Those of the named fields that are there.
pub(crate) fn named(fields: &Fields, names: &[&str]) -> Fields {
    names.iter().filter_map(|name| Some((*name, fields.joined(name)?))).collect()
}

/// A platform that holds a head as its fields.
pub(crate) type ReadyFields = RefCell<Fields>;

/// Makes a head ready.
pub(crate) fn ready(fields: &Fields) -> ReadyFields {
    RefCell::new(fields.clone())
}

/// What it takes.
pub(crate) fn ready_bytes(fields: &Fields) -> u64 {
    fields.iter().map(|(name, value)| (name.len() + value.len() + 96) as u64).sum()
}

/// Renews it.
pub(crate) fn renew(head: &ReadyFields, age: &str, cache_status: &str) {
    let mut fields = head.borrow_mut();
    fields.set("age", age);
    fields.set("cache-status", cache_status);
}

/// What comes of a request before any I/O.
pub(crate) fn start<P: Platform<Head = ReadyFields>>(
    engine: &Engine<P>,
    platform: &P,
    incoming: &Incoming<P>,
) -> Start<P> {
    let names = looked_at(engine.config());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let fields = named(&incoming.head.fields, &names);
    if own_call(&incoming.head, engine.config()).is_some() {
        return Start::Later;
    }
    let head = RequestHead { fields, client: None, ..(*incoming.head).clone() };
    engine.serve_at_once(head, &Rest(incoming), platform.now())
}

fn at_once<P: Platform<Head = ReadyFields>>(answer: AtOnce<P>) -> Answer<P> {
    let AtOnce { status, head, body, cache_status } = answer;
    let fields = match head {
        AnswerHead::Ready(ready) => ready.head.borrow().clone(),
        AnswerHead::Made(fields) => fields,
    };
    let body = body.map_or(Body::Empty, Body::Whole);
    shared(status, fields, body, cache_status)
}

fn shared<P: Platform>(
    status: u16,
    fields: Fields,
    body: Body<P>,
    cache_status: CacheStatus,
) -> Answer<P> {
    let (problem, esi, shared, composed) = (None, false, true, false);
    Answer { status, fields, body, cache_status, problem, esi, shared, composed }
}

/// Answers a visitor: at once, or out of the colo's cache, where that can be done.
pub(crate) async fn respond<P: Platform<Head = ReadyFields>>(
    engine: &Engine<P>,
    platform: &Rc<P>,
    incoming: Incoming<P>,
) -> Answer<P> {
    let look = match start(engine, &**platform, &incoming) {
        Start::Answer(answer) => return at_once(answer),
        Start::Later => return Server::new(&engine.with(platform)).serve(incoming).await,
        Start::Colo(look) => look,
    };
    let found = platform.colo().get(look.digest().as_str()).await;
    match engine.answer_from_colo(&look, found, platform.now()) {
        Ok(ColoAnswer { status, fields, body, with_body, cache_status }) => {
            let body = if with_body { Body::Origin(body) } else { Body::Empty };
            shared(status, fields, body, cache_status)
        }
        Err(found) => {
            let context = engine.with_look(platform, look.into_key(), found);
            Server::new(&context).serve(incoming).await
        }
    }
}
