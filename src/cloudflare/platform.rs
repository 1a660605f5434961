//! The engine's ports on Workers: one value per request or alarm.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Request, Response};

use crate::base::json::read_json;
use crate::base::time::{Millis, Timestamp};
use crate::cache::compose::mint::Random;
use crate::cache::content::BodyDigest;
use crate::cache::resend::may_be_sent_again;
use crate::config::OriginUrl;
use crate::config::front_cache::OWN_URL;
use crate::engine::port::{
    CallError, Content, OriginError, OriginRequest, OriginResponse, Platform, PurgeError,
    StoreError, Upload, UploadState,
};
use crate::front_caches;
use crate::http::Fields;
use crate::index::{ShardCall, ShardReply};
use crate::journal::delta::SharedDelta;
use crate::journal::{JournalCall, JournalReply};

use super::glue;
use super::heads::{self, json, response_head};
use super::store::{ColoStore, GlobalStore};
use super::stream::EdgeStream;

/// The bindings that requests share.
pub(super) struct Bindings {
    /// The origin, unless its setting is wrong.
    pub(super) origin: Option<OriginUrl>,
    /// What no other site's worker has: its journal's id. L1 may be shared by several workers of a
    /// zone.
    pub(super) site: String,
    /// The Journal's namespace.
    pub(super) journal: JsValue,
    /// The shards' namespace.
    pub(super) shards: JsValue,
    /// L2: the KV namespace or R2 bucket.
    pub(super) pages: JsValue,
    /// Where the objects should live.
    pub(super) location_hint: Option<String>,
    /// The jurisdiction they must live in.
    pub(super) jurisdiction: Option<String>,
}

/// What keeps background tasks alive.
pub(super) enum WaitUntil {
    /// A request's context.
    Request(worker::Context),
    /// A Durable Object: its tasks live as long as it does.
    Object,
}

/// The ports of one request.
pub(super) struct Edge {
    bindings: Rc<Bindings>,
    wait_until: WaitUntil,
    /// The visitor's request, if it is one.
    request: Option<Request>,
    colo: String,
    l1: ColoStore,
    l2: GlobalStore,
}

impl Edge {
    pub(super) fn new(
        bindings: Rc<Bindings>,
        wait_until: WaitUntil,
        colo: String,
        request: Option<(Request, &str)>,
    ) -> Self {
        let l2 = GlobalStore::new(bindings.pages.clone());
        let l1 = ColoStore::new(&bindings.site, request.as_ref().map(|(_, host)| *host));
        let request = request.map(|(request, _)| request);
        Self { bindings, wait_until, request, colo, l1, l2 }
    }

    async fn upload(
        &self,
        url: &str,
        method: &str,
        fields: &str,
        timeout: f64,
        upload: Upload<EdgeStream>,
    ) -> Result<OriginResponse<EdgeStream>, OriginError> {
        let Upload { body, length, state, limit } = upload;
        let EdgeStream::Request(stream, None) = body else { return Err(OriginError::Broken) };
        let seen = Rc::clone(&state);
        let progress = Closure::<dyn Fn(bool) -> bool>::new(move |sent: bool| {
            if sent {
                seen.set(UploadState::Sent);
            }
            seen.get() != UploadState::GivenUp
        });
        // It may be sent whole after the answer.
        let progress = progress.into_js_value().unchecked_into();
        let length = length.map(|length| length as f64);
        let limit = limit.0 as f64;
        let response =
            glue::upload(url, method, fields, &stream, length, limit, timeout, &progress);
        let failed = |error: JsValue| match (origin_error(&error), state.get()) {
            (_, UploadState::GivenUp) => OriginError::Busy,
            (OriginError::Timeout, UploadState::UnderWay) => OriginError::Upload,
            (other, _) => other,
        };
        answered(response.await.map_err(failed)?)
    }

    async fn call<R: serde::de::DeserializeOwned>(
        &self,
        namespace: &JsValue,
        name: &str,
        message: Result<String, serde_json::Error>,
    ) -> Result<R, CallError> {
        let message = message.map_err(|error| CallError::Failed(error.to_string()))?;
        let hint = self.bindings.location_hint.as_deref();
        let jurisdiction = self.bindings.jurisdiction.as_deref();
        let text = glue::object_call(namespace, name, hint, jurisdiction, &message)
            .await
            .map_err(|error| call_error(&glue::words(&error)))?;
        read_json(text.as_bytes()).map_err(|error| CallError::Unknown(error.to_string()))
    }
}

/// The answer of the origin.
fn answered(response: Response) -> Result<OriginResponse<EdgeStream>, OriginError> {
    let Some(head) = response_head(&response) else {
        // What is left of it on the connection belongs to no other request.
        let _ = glue::give_up(&response, None);
        return Err(OriginError::Broken);
    };
    Ok(OriginResponse { head, body: EdgeStream::Response(response, None) })
}

/// The clock of the runtime; it stands still between I/O.
pub(super) fn now() -> Timestamp {
    Timestamp::from_millis(js_sys::Date::now() as i64)
}

impl Platform for Edge {
    type Chunk = Uint8Array;
    type Stream = EdgeStream;
    type Colo = ColoStore;
    type Global = GlobalStore;
    type Head = JsValue;

    // As much as it gives a reader that does not say how much (tests/e2e/test_memory.py).
    const LARGEST_PIECE: u64 = 4_096;

    fn now(&self) -> Timestamp {
        now()
    }

    async fn sleep(&self, span: Millis) {
        glue::sleep(span.0 as f64).await;
    }

    fn unique(&self) -> String {
        glue::random_id()
    }

    fn random(&self) -> Random {
        let mut bytes = [0; size_of::<Random>()];
        glue::random_bytes().copy_to(&mut bytes);
        bytes
    }

    fn log(&self, line: &str) {
        worker::console_log!("{line}");
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        // Of one type, whatever the task: what makes a promise of it is compiled once.
        let task: Pin<Box<dyn Future<Output = ()>>> = Box::pin(task);
        match &self.wait_until {
            WaitUntil::Request(context) => context.wait_until(task),
            WaitUntil::Object => wasm_bindgen_futures::spawn_local(task),
        }
    }

    fn has_visitor_left(&self) -> bool {
        self.request.as_ref().is_some_and(glue::has_visitor_left)
    }

    fn colo_name(&self) -> String {
        self.colo.clone()
    }

    fn colo(&self) -> &ColoStore {
        &self.l1
    }

    fn global(&self) -> &GlobalStore {
        &self.l2
    }

    async fn shared_delta(&self) -> Result<Option<SharedDelta>, StoreError> {
        self.l1.shared_delta().await
    }

    async fn share_delta(&self, delta: &SharedDelta, keep: Millis) -> Result<(), StoreError> {
        self.l1.share_delta(delta, keep).await
    }

    async fn fetch(
        &self,
        request: OriginRequest<EdgeStream, Uint8Array>,
    ) -> Result<OriginResponse<EdgeStream>, OriginError> {
        let origin = self.bindings.origin.as_ref().ok_or(OriginError::Unreachable)?;
        let url = origin.join(&request.target);
        let fields = json(&request.fields);
        let timeout = request.timeout.0 as f64;
        let body = match request.content {
            Content::None => None,
            Content::Whole(bytes) => Some(bytes.unchecked_into()),
            Content::Upload(upload) => {
                return self.upload(&url, &request.method, &fields, timeout, upload).await;
            }
        };
        let again = may_be_sent_again(&request.method, body.is_some());
        let began = now();
        let mut fetched = glue::ask(false, &url, &request.method, &fields, body, timeout).await;
        // Both within one time limit: a lease outlives no longer wait.
        let left = timeout - now().since(began).0 as f64;
        let lost = |error: &JsValue| {
            // What can't be read may be what another answer left on the connection.
            matches!(origin_error(error), OriginError::Unreachable | OriginError::Unreadable)
        };
        if again && left > 0.0 && fetched.as_ref().is_err_and(lost) {
            fetched = glue::ask(false, &url, &request.method, &fields, None, left).await;
        }
        answered(fetched.map_err(|error| origin_error(&error))?)
    }

    async fn call_front_cache(
        &self,
        request: front_caches::DeliveryRequest,
        timeout: Millis,
    ) -> Result<front_caches::DeliveryAnswer, OriginError> {
        let body = Uint8Array::from(request.body.as_slice()).unchecked_into();
        let body = Some(body).filter(|_| !request.body.is_empty());
        let fields = json(&request.fields);
        let end = now().plus(timeout);
        let millis = timeout.0 as f64;
        let (url, method) = (&request.url, request.method);
        let to_self = url.starts_with(OWN_URL);
        let response = glue::ask(to_self, url, method, &fields, body, millis).await;
        let response = response.map_err(|error| origin_error(&error))?;
        let head = response_head(&response);
        let (mut stream, mut body) = (EdgeStream::Response(response, None), Vec::new());
        while body.len() < request.reads
            && let Some(piece) = self.read(&mut stream, end.since(now())).await?
        {
            body.extend(piece.to_vec());
        }
        self.cancel(stream);
        head.map(|head| front_caches::DeliveryAnswer { head, body }).ok_or(OriginError::Broken)
    }

    async fn purge_workers_cache(&self, mark: bool, options: &str) -> Result<(), PurgeError> {
        let verb = if mark { "invalidate" } else { "purge" };
        match glue::purge_workers_cache(verb, options).await {
            Ok(Some(true)) => Ok(()),
            Ok(Some(false)) => Err(PurgeError::Limited),
            Ok(None) => Err(PurgeError::Absent),
            Err(_) => Err(PurgeError::Failed),
        }
    }

    async fn whole(&self, body: EdgeStream, length: u64) -> Result<Uint8Array, StoreError> {
        body.whole(length).await
    }

    async fn read(
        &self,
        body: &mut EdgeStream,
        timeout: Millis,
    ) -> Result<Option<Uint8Array>, OriginError> {
        body.read(timeout).await
    }

    fn gather(&self, body: EdgeStream, length: u64) -> EdgeStream {
        body.gather(length)
    }

    async fn unpack(&self, body: EdgeStream) -> Result<EdgeStream, OriginError> {
        body.unpack().await
    }

    fn cancel(&self, body: EdgeStream) {
        body.cancel();
    }

    fn length(chunk: &Uint8Array) -> usize {
        chunk.length() as usize
    }

    fn concat(chunks: &[Uint8Array]) -> Uint8Array {
        glue::concat(&chunks.iter().collect::<Array>())
    }

    fn chunk(bytes: &[u8]) -> Uint8Array {
        Uint8Array::from(bytes)
    }

    fn bytes(chunk: &Uint8Array) -> Vec<u8> {
        chunk.to_vec()
    }

    async fn digest(&self, chunk: &Uint8Array) -> Option<BodyDigest> {
        // In the runtime: the body need not be copied into wasm memory.
        glue::digest(chunk).await.ok()?.to_vec().try_into().ok()
    }

    fn slice(chunk: &Uint8Array, from: u64, to: u64) -> Uint8Array {
        chunk.subarray(from as u32, to as u32)
    }

    fn head(status: u16, fields: &Fields) -> JsValue {
        glue::ready_head(status, &json(fields))
    }

    fn head_bytes(fields: &Fields) -> u64 {
        heads::ready_bytes(fields)
    }

    fn renew(head: &JsValue, age: &str, cache_status: &str) {
        glue::renew_head(head, age, cache_status);
    }

    async fn journal(&self, call: JournalCall) -> Result<JournalReply, CallError> {
        self.call(&self.bindings.journal, "journal", serde_json::to_string(&call)).await
    }

    async fn shard(&self, shard: u16, call: ShardCall) -> Result<ShardReply, CallError> {
        let name = format!("shard-{shard}");
        self.call(&self.bindings.shards, &name, serde_json::to_string(&call)).await
    }
}

/// What `glue.js` says of a call that failed.
fn call_error(words: &str) -> CallError {
    match words.split_once(": ") {
        Some(("overloaded", what)) => CallError::Overloaded(what.to_owned()),
        Some(("broken", what)) => CallError::Broken(what.to_owned()),
        Some(_) | None => CallError::Unreachable(words.to_owned()),
    }
}

fn origin_error(error: &JsValue) -> OriginError {
    match glue::words(error).as_str() {
        "timeout" => OriginError::Timeout,
        // The runtime keeps what was wrong with an answer to itself, but for its length.
        words if words.starts_with("internal error") || words.contains("Content-Length") => {
            OriginError::Unreadable
        }
        _ => OriginError::Unreachable,
    }
}
