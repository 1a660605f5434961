//! One request: from the runtime's form to the engine's, and the answer back.

use std::rc::Rc;

use futures_util::stream;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::future_to_promise;
use web_sys::{Request, Response};

use crate::cache::key::CacheKey;
use crate::control::healthz::HealthReason;
use crate::engine::Incoming;
use crate::engine::compose::Composed;
use crate::engine::fill::reader::BodyReader;
use crate::engine::operate::{ControlContext, own_call};
use crate::engine::parts::{Operator, Server};
use crate::engine::port::FoundInColo;
use crate::engine::serve::at_once::{AnswerHead, AtOnce, Start, Unread};
use crate::engine::serve::colo_answer::ColoAnswer;
use crate::engine::serve::colo_look::ColoLook;
use crate::engine::serve::response::{Answer, Body};
use crate::http::{Fields, RequestHead};

use super::heads::{fields, json};
use super::platform::{Edge, WaitUntil, now};
use super::settings::{self, Site};
use super::store::{self, colo_url};
use super::stream::EdgeStream;
use super::{dashboard, glue};

/// Answers one request: with a response, or with a promise of one.
pub(super) fn answer(request: Request, env: &worker::Env, context: JsValue) -> JsValue {
    let site = settings::site(env);
    match start(&site, &request) {
        Start::Answer(answer) => sent(at_once(answer)),
        Start::Colo(look) => look_in_colo(site, request, context, look),
        Start::Later => later(site, request, context, None),
    }
}

fn sent(response: Result<Response, JsValue>) -> JsValue {
    response.unwrap_or_else(|error| failed(&error)).into()
}

/// What the colo's cache was found to have under a key.
type ColoLookUp = (CacheKey, FoundInColo<Edge>);

/// A promise of the answer, by the longer way.
fn later(
    site: Rc<Site>,
    request: Request,
    context: JsValue,
    looked: Option<ColoLookUp>,
) -> JsValue {
    let context = worker::Context::new(context.unchecked_into());
    future_to_promise(async move { Ok(sent(answer_later(&site, &request, context, looked).await)) })
        .into()
}

/// A promise of the answer, out of the colo's cache if that has it.
fn look_in_colo(
    site: Rc<Site>,
    request: Request,
    context: JsValue,
    look: Box<ColoLook>,
) -> JsValue {
    let url = colo_url(&site.bindings.site, look.host(), look.digest().as_str());
    let found = move |response: Option<Response>, line: Option<String>, error: JsValue| {
        let found = match (response, line) {
            (Some(response), Some(line)) => store::unread(response, &line).map(Some),
            // Its head is to be read with its body.
            (Some(response), None) => return read_first(site, request, context, look, response),
            (None, _) if error.is_undefined() => Ok(None),
            (None, _) => Err(store::failed(error)),
        };
        match site.engine.answer_from_colo(&look, found, now()) {
            Ok(answer) => sent(out_of_colo(answer)),
            Err(found) => later(site, request, context, Some((look.into_key(), found))),
        }
    };
    glue::look_in_colo(&url, Closure::once_into_js(found).unchecked_ref())
}

fn read_first(
    site: Rc<Site>,
    request: Request,
    context: JsValue,
    look: Box<ColoLook>,
    response: Response,
) -> JsValue {
    let context = worker::Context::new(context.unchecked_into());
    future_to_promise(async move {
        let found = store::whole(&response).await.map(Some);
        let looked = Some((look.into_key(), found));
        Ok(sent(answer_later(&site, &request, context, looked).await))
    })
    .into()
}

fn out_of_colo(answer: ColoAnswer<Edge>) -> Result<Response, JsValue> {
    let ColoAnswer { status, fields, body, with_body, .. } = answer;
    match body {
        EdgeStream::Stored(response, ..) if with_body => {
            glue::respond_stored(&response, status, &json(&fields))
        }
        EdgeStream::Bytes(bytes) if with_body => glue::respond(status, &json(&fields), &bytes),
        other => {
            other.cancel();
            glue::respond(status, &json(&fields), &JsValue::NULL)
        }
    }
}

/// What can't be sent.
#[cold]
fn failed(error: &JsValue) -> Response {
    worker::console_error!("{}", glue::words(error));
    glue::reply(500, "INTERNAL SERVER ERROR")
}

/// What comes of a request without any I/O.
fn start(site: &Site, request: &Request) -> Start<Edge> {
    let Some(head) = start_of(site, request) else { return Start::Later };
    let unread = UnreadRequest { request, read: &site.looked_at };
    site.engine.serve_at_once(head, &unread, now())
}

/// As much of a request as every decision needs; none where it goes the longer way whatever is
/// stored.
fn start_of(site: &Site, request: &Request) -> Option<RequestHead> {
    let text = glue::request_start(request, &site.looked_at_list);
    let mut rows = text.split('\n');
    let (method, url) = (rows.next()?, rows.next()?);
    let head = head(method, url, fields(rows))?;
    if !site.problems.is_empty() || is_own_host(site, &head) {
        return None;
    }
    own_call(&head, site.engine.config()).is_none().then_some(head)
}

fn at_once(answer: AtOnce<Edge>) -> Result<Response, JsValue> {
    let AtOnce { status, head, body, .. } = answer;
    let body = body.map_or(JsValue::NULL, JsValue::from);
    match head {
        AnswerHead::Ready(ready) => glue::respond_ready(&ready.head, &body),
        AnswerHead::Made(fields) => glue::respond(status, &json(&fields), &body),
    }
}

/// The rest of a request, on the runtime's side.
struct UnreadRequest<'a> {
    request: &'a Request,
    /// The names of the fields that were read.
    read: &'a [String],
}

impl Unread for UnreadRequest<'_> {
    fn fields(&self, names: &[&str]) -> Fields {
        let is_read = |name: &&str| self.read.iter().any(|read| read == name);
        let unread: Vec<&str> = names.iter().copied().filter(|name| !is_read(name)).collect();
        if unread.is_empty() {
            return Fields::new();
        }
        fields(glue::request_fields(self.request, &unread.join("\n")).split('\n'))
    }

    fn client(&self) -> Option<String> {
        self.fields(&[CLIENT]).get(CLIENT).map(str::to_owned)
    }

    fn client_accept_encoding(&self) -> Option<String> {
        glue::client_accept_encoding(self.request)
    }
}

async fn answer_later(
    site: &Site,
    request: &Request,
    context: worker::Context,
    looked: Option<ColoLookUp>,
) -> Result<Response, JsValue> {
    let Some(read) = read(request) else {
        return Ok(glue::reply(400, "bad request\n"));
    };
    if let Some(file) = dashboard::answer(site, &read.head).await {
        return file;
    }
    let (bindings, wait_until) = (Rc::clone(&site.bindings), WaitUntil::Request(context));
    // A handle of the same request: `Request::clone` would be another one.
    let visitor = Some((Clone::clone(request), read.head.host.as_str()));
    let platform = Rc::new(Edge::new(bindings, wait_until, read.colo, visitor));
    let incoming = Incoming {
        head: Rc::new(read.head),
        body: glue::request_body(request).map(|body| EdgeStream::Request(body, None)),
        client_accept_encoding: read.client_accept_encoding,
    };
    let has_body = incoming.body.is_some();
    let answer = respond_to(site, (&platform, looked), incoming).await;
    let whole = match &answer.body {
        Body::Whole(bytes) => Some(bytes.clone()).filter(|_| has_body),
        Body::Origin(_) | Body::Fill(_) | Body::Composed(_) | Body::Shell(_) | Body::Empty => None,
    };
    let response = respond(&platform, answer)?;
    // It may have been refused with its body unread.
    Ok(match whole {
        Some(bytes) => glue::with_unread(request, &response, &bytes),
        None => response,
    })
}

/// Whether a request came by the origin's own host.
fn is_own_host(site: &Site, head: &RequestHead) -> bool {
    site.origin.as_ref().is_some_and(|origin| origin.conflicts_with(&head.host))
}

async fn respond_to(
    site: &Site,
    (platform, looked): (&Rc<Edge>, Option<ColoLookUp>),
    incoming: Incoming<Edge>,
) -> Answer<Edge> {
    let context = match looked {
        Some((key, found)) => site.engine.with_look(platform, key, found),
        None => site.engine.with(platform),
    };
    let (server, operator) = (Server::new(&context), Operator::new(&context));
    let mut problems = site.problems.clone();
    if is_own_host(site, &incoming.head) {
        problems.insert(0, HealthReason::OriginIsWorker);
    }
    let control = ControlContext { secrets: &site.secrets, problems: &problems };
    if let Some(call) = own_call(&incoming.head, site.engine.config()) {
        return operator.operate(incoming, call, &control).await;
    }
    // What keeps the origin from being asked comes before what only keeps pages from being stored.
    let no_origin = |problem: &&HealthReason| {
        matches!(problem, HealthReason::OriginIsWorker | HealthReason::Origin(_))
    };
    if let Some(problem) = problems.iter().find(no_origin).or(problems.first()) {
        return server.pass_unconfigured(incoming, problem).await;
    }
    let incoming = operator.apply_warm_up(incoming, &control).await;
    server.serve(incoming).await
}

struct Read {
    head: RequestHead,
    client_accept_encoding: Option<String>,
    colo: String,
}

fn read(request: &Request) -> Option<Read> {
    let text = glue::request_head(request);
    let mut lines = text.split('\n');
    let method = lines.next()?.to_owned();
    let url = lines.next()?;
    let accept = lines.next()?;
    let colo = lines.next()?.to_owned();
    let mut head = head(&method, url, fields(lines))?;
    head.client = head.fields.get(CLIENT).map(str::to_owned);
    let client_accept_encoding = accept.strip_prefix('=').map(str::to_owned);
    Some(Read { head, client_accept_encoding, colo })
}

/// The field with the address of the client.
const CLIENT: &str = "cf-connecting-ip";

fn head(method: &str, url: &str, fields: Fields) -> Option<RequestHead> {
    let (scheme, rest) = url.split_once("://")?;
    let (rest, _fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, target) = rest.split_at(at);
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    Some(RequestHead {
        method: method.to_owned(),
        scheme: scheme.to_owned(),
        host: host.to_ascii_lowercase(),
        path: if path.is_empty() { "/".to_owned() } else { path.to_owned() },
        query,
        fields,
        client: None,
    })
}

fn respond(platform: &Rc<Edge>, answer: Answer<Edge>) -> Result<Response, JsValue> {
    let (status, fields) = (answer.status, &answer.fields);
    match answer.body {
        // The server has composed an answer of it; what is gathered is stored.
        Body::Shell(_) | Body::Origin(EdgeStream::Gathered(..)) => Ok(glue::reply(500, "")),
        Body::Origin(EdgeStream::Response(response, _)) => {
            glue::respond_from(&response, &json(fields))
        }
        Body::Origin(EdgeStream::Request(stream, _)) => {
            glue::respond(status, &json(fields), &stream)
        }
        Body::Origin(EdgeStream::Stored(response, ..)) => {
            glue::respond_stored(&response, status, &json(fields))
        }
        Body::Origin(EdgeStream::Bytes(bytes)) => glue::respond(status, &json(fields), &bytes),
        Body::Fill(reader) => {
            let stream = fill_stream(platform, reader);
            let length = fields.get("content-length").and_then(|l| l.parse::<u64>().ok());
            let stream = match length {
                Some(length) => glue::sized(&stream, length as f64)?,
                None => stream,
            };
            glue::respond(status, &json(fields), &stream)
        }
        Body::Composed(body) => glue::respond(status, &json(fields), &composed_stream(body)),
        Body::Whole(bytes) => glue::respond(status, &json(fields), &bytes),
        Body::Empty => glue::respond(status, &json(fields), &JsValue::NULL),
    }
}

/// A stream that the runtime pulls from a fill, in the I/O context of the request it answers.
fn fill_stream(platform: &Rc<Edge>, reader: BodyReader<Edge>) -> web_sys::ReadableStream {
    let state = (Rc::clone(platform), reader);
    let pieces = stream::try_unfold(state, |(platform, mut reader)| async move {
        match reader.next(&*platform).await {
            Ok(Some(piece)) => Ok(Some((glue::of_its_size(&piece), (platform, reader)))),
            Ok(None) => Ok(None),
            Err(error) => Err(JsValue::from(js_sys::Error::new(error.as_str()))),
        }
    });
    wasm_streams::ReadableStream::from_stream(pieces).into_raw()
}

/// The same of a body that is put together meanwhile.
fn composed_stream(body: Composed<Edge>) -> web_sys::ReadableStream {
    let pieces = stream::try_unfold(body, |mut body| async move {
        match body.next().await {
            Ok(Some(piece)) => Ok(Some((glue::of_its_size(&piece), body))),
            Ok(None) => Ok(None),
            Err(error) => Err(JsValue::from(js_sys::Error::new(error.as_str()))),
        }
    });
    wasm_streams::ReadableStream::from_stream(pieces).into_raw()
}
