//! One request: from the runtime's form to the engine's, and the answer back.

use std::rc::Rc;

use futures_util::stream;
use wasm_bindgen::JsValue;
use web_sys::{Request, Response};

use crate::control::healthz::HealthReason;
use crate::engine::Incoming;
use crate::engine::compose::body::Composed;
use crate::engine::fill::reader::BodyReader;
use crate::engine::operate::{Guard, own_call};
use crate::engine::parts::{Operator, Server};
use crate::engine::serve::response::{Answer, Body};
use crate::http::RequestHead;

use super::glue;
use super::platform::{Edge, EdgeStream, Keeper, fields, lines};
use super::settings::{self, Site};

/// Answers one request.
pub(super) async fn answer(
    request: Request,
    env: worker::Env,
    context: worker::Context,
) -> worker::Result<Response> {
    let site = settings::site(&env);
    let Some(read) = read(&request) else {
        return Ok(glue::respond(400, "", &JsValue::from_str("bad request\n"))?);
    };
    let (bindings, keeper) = (Rc::clone(&site.bindings), Keeper::Request(context));
    let platform = Rc::new(Edge::new(bindings, keeper, read.colo, Some(&read.head.host)));
    let incoming = Incoming {
        head: Rc::new(read.head),
        body: glue::request_body(&request).map(|body| EdgeStream::Request(body, None)),
        client_accept_encoding: read.client_accept_encoding,
    };
    let answer = respond_to(&site, &platform, incoming).await;
    Ok(respond(&platform, answer)?)
}

async fn respond_to(site: &Site, platform: &Rc<Edge>, incoming: Incoming<Edge>) -> Answer<Edge> {
    let context = site.engine.with(platform);
    let (server, operator) = (Server::new(&context), Operator::new(&context));
    let own_host = site.origin.as_ref().is_some_and(|o| o.conflicts_with(&incoming.head.host));
    let mut problems = site.problems.clone();
    if own_host {
        problems.insert(0, HealthReason::OriginIsWorker);
    }
    let guard = Guard { secrets: &site.secrets, problems: &problems };
    if let Some(call) = own_call(&incoming.head, site.engine.config()) {
        return operator.operate(incoming, call, &guard).await;
    }
    // What keeps the origin from being asked comes before what only keeps pages from being stored.
    let no_origin = |problem: &&HealthReason| {
        matches!(problem, HealthReason::OriginIsWorker | HealthReason::Origin(_))
    };
    if let Some(problem) = problems.iter().find(no_origin).or(problems.first()) {
        return server.pass_unconfigured(incoming, problem).await;
    }
    let incoming = operator.hear_warm_up(incoming, &guard).await;
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
    let fields = fields(lines);
    let (scheme, rest) = url.split_once("://")?;
    let (rest, _fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, target) = rest.split_at(at);
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    let client = fields.get("cf-connecting-ip").map(str::to_owned);
    let head = RequestHead {
        method,
        scheme: scheme.to_owned(),
        host: host.to_ascii_lowercase(),
        path: if path.is_empty() { "/".to_owned() } else { path.to_owned() },
        query,
        fields,
        client,
    };
    let client_accept_encoding = (!accept.is_empty()).then(|| accept.to_owned());
    Some(Read { head, client_accept_encoding, colo })
}

fn respond(platform: &Rc<Edge>, answer: Answer<Edge>) -> Result<Response, JsValue> {
    let head = lines(&answer.fields);
    match answer.body {
        Body::Empty => glue::respond(answer.status, &head, &JsValue::NULL),
        Body::Whole(bytes) => glue::respond(answer.status, &head, &bytes),
        Body::Origin(EdgeStream::Response(response, _)) => glue::respond_from(&response, &head),
        Body::Origin(EdgeStream::Request(stream, _)) => {
            glue::respond(answer.status, &head, &stream)
        }
        Body::Fill(reader) => {
            let stream = fill_stream(platform, reader);
            let length = answer.fields.get("content-length").and_then(|l| l.parse::<u64>().ok());
            let stream = match length {
                Some(length) => glue::sized(&stream, length as f64)?,
                None => stream,
            };
            glue::respond(answer.status, &head, &stream)
        }
        Body::Composed(body) => glue::respond(answer.status, &head, &composed_stream(body)),
    }
}

/// A stream that the runtime pulls from a fill, in the I/O context of the request it answers.
fn fill_stream(platform: &Rc<Edge>, reader: BodyReader<Edge>) -> web_sys::ReadableStream {
    let state = (Rc::clone(platform), reader);
    let pieces = stream::try_unfold(state, |(platform, mut reader)| async move {
        match reader.next(&*platform).await {
            Ok(Some(piece)) => Ok(Some((JsValue::from(piece), (platform, reader)))),
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
            Ok(Some(piece)) => Ok(Some((JsValue::from(piece), body))),
            Ok(None) => Ok(None),
            Err(error) => Err(JsValue::from(js_sys::Error::new(error.as_str()))),
        }
    });
    wasm_streams::ReadableStream::from_stream(pieces).into_raw()
}
