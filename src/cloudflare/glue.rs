//! The functions of `glue.js` and the scripts beside it, typed.

use js_sys::{Array, Function, Promise, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStream, ReadableStreamDefaultReader, Request, Response};

#[wasm_bindgen(module = "/src/cloudflare/glue.js")]
extern "C" {
    #[wasm_bindgen(js_name = requestHead)]
    pub(super) fn request_head(request: &Request) -> String;
    #[wasm_bindgen(js_name = listOf)]
    pub(super) fn list_of(text: &str) -> JsValue;
    #[wasm_bindgen(js_name = requestStart)]
    pub(super) fn request_start(request: &Request, names: &JsValue) -> String;
    #[wasm_bindgen(js_name = requestFields)]
    pub(super) fn request_fields(request: &Request, names: &str) -> String;
    #[wasm_bindgen(js_name = clientAcceptEncoding)]
    pub(super) fn client_accept_encoding(request: &Request) -> Option<String>;
    #[wasm_bindgen(js_name = readyHead)]
    pub(super) fn ready_head(status: u16, fields: &str) -> JsValue;
    #[wasm_bindgen(js_name = renewHead)]
    pub(super) fn renew_head(head: &JsValue, age: &str, cache_status: &str);
    #[wasm_bindgen(catch, js_name = respondReady)]
    pub(super) fn respond_ready(head: &JsValue, body: &JsValue) -> Result<Response, JsValue>;
    #[wasm_bindgen(js_name = responseHead)]
    pub(super) fn response_head(response: &Response) -> String;
    #[wasm_bindgen(js_name = hasVisitorLeft)]
    pub(super) fn has_visitor_left(request: &Request) -> bool;
    #[wasm_bindgen(js_name = requestBody)]
    pub(super) fn request_body(request: &Request) -> Option<ReadableStream>;
    #[wasm_bindgen(catch)]
    pub(super) fn respond(status: u16, fields: &str, body: &JsValue) -> Result<Response, JsValue>;
    #[wasm_bindgen(catch, js_name = respondFrom)]
    pub(super) fn respond_from(response: &Response, fields: &str) -> Result<Response, JsValue>;
    #[wasm_bindgen(catch, js_name = respondStored)]
    pub(super) fn respond_stored(
        response: &Response,
        status: u16,
        fields: &str,
    ) -> Result<Response, JsValue>;
    #[wasm_bindgen(catch)]
    pub(super) fn sized(stream: &ReadableStream, length: f64) -> Result<ReadableStream, JsValue>;
    #[wasm_bindgen(js_name = ask)]
    fn ask_promise(
        to_self: bool,
        url: &str,
        method: &str,
        fields: &str,
        body: Option<ReadableStream>,
        timeout: f64,
    ) -> Promise;
    #[wasm_bindgen(js_name = upload)]
    fn upload_promise(
        url: &str,
        method: &str,
        fields: &str,
        body: &ReadableStream,
        length: Option<f64>,
        limit: f64,
        timeout: f64,
        progress: &Function,
    ) -> Promise;
    #[wasm_bindgen(js_name = purgeWorkersCache)]
    fn purge_workers_cache_promise(verb: &str, options: &str) -> Promise;
    #[wasm_bindgen(catch, js_name = readerOf)]
    pub(super) fn reader_of(
        response: &Response,
    ) -> Result<Option<ReadableStreamDefaultReader>, JsValue>;
    #[wasm_bindgen(catch, js_name = readerOfStream)]
    pub(super) fn reader_of_stream(
        stream: &ReadableStream,
    ) -> Result<Option<ReadableStreamDefaultReader>, JsValue>;
    #[wasm_bindgen(catch, js_name = giveUp)]
    pub(super) fn give_up(
        response: &Response,
        reader: Option<&ReadableStreamDefaultReader>,
    ) -> Result<(), JsValue>;
    #[wasm_bindgen(js_name = asset)]
    fn asset_promise(assets: &JsValue, name: &str, method: &str, etag: &str) -> Promise;
    pub(super) fn reply(status: u16, text: &str) -> Response;
    #[wasm_bindgen(js_name = settingText)]
    pub(super) fn setting_text(env: &JsValue, name: &str) -> Option<String>;
    pub(super) fn binding(env: &JsValue, name: &str) -> JsValue;
    #[wasm_bindgen(js_name = randomId)]
    pub(super) fn random_id() -> String;
}

#[wasm_bindgen(module = "/src/cloudflare/stores.js")]
extern "C" {
    #[wasm_bindgen(js_name = cacheGet)]
    fn cache_get_promise(url: &str) -> Promise;
    #[wasm_bindgen(js_name = cacheRecord)]
    pub(super) fn cache_record(response: &Response) -> Option<String>;
    #[wasm_bindgen(js_name = lookInColo)]
    pub(super) fn look_in_colo(url: &str, found: &Function) -> JsValue;
    #[wasm_bindgen(js_name = cachePut)]
    fn cache_put_promise(
        url: &str,
        record: Option<&str>,
        head: &[u8],
        body: &Uint8Array,
        seconds: f64,
    ) -> Promise;
    #[wasm_bindgen(js_name = globalGet)]
    fn global_get_promise(namespace: &JsValue, key: &str) -> Promise;
    #[wasm_bindgen(js_name = globalPut)]
    fn global_put_promise(
        namespace: &JsValue,
        key: &str,
        head: &[u8],
        body: &Uint8Array,
        seconds: f64,
    ) -> Promise;
}

#[wasm_bindgen(module = "/src/cloudflare/unread.js")]
extern "C" {
    #[wasm_bindgen(js_name = withUnread)]
    pub(super) fn with_unread(
        request: &Request,
        response: &Response,
        bytes: &Uint8Array,
    ) -> Response;
}

#[wasm_bindgen(module = "/src/cloudflare/objects.js")]
extern "C" {
    #[wasm_bindgen(js_name = objectCall)]
    fn object_call_promise(
        namespace: &JsValue,
        name: &str,
        hint: Option<&str>,
        jurisdiction: Option<&str>,
        message: &str,
    ) -> Promise;
    #[wasm_bindgen(catch, js_name = sqlExec)]
    pub(super) fn sql_exec(
        sql: &Database,
        statement: &str,
        parameters: &str,
    ) -> Result<Option<String>, JsValue>;
    #[wasm_bindgen(js_name = objectId)]
    pub(super) fn object_id(namespace: &JsValue, name: &str) -> Option<String>;
}

// wasm-bindgen imports functions that need no conversion straight from their module, and names the
// module once for each of them in one object: by a namespace it does not.
#[wasm_bindgen(module = "/src/cloudflare/glue.js", js_namespace = direct)]
extern "C" {
    #[wasm_bindgen(js_name = readPiece)]
    fn read_piece_promise(reader: &ReadableStreamDefaultReader, timeout: f64) -> Promise;
    #[wasm_bindgen(js_name = ofItsSize)]
    pub(super) fn of_its_size(piece: &Uint8Array) -> JsValue;
    #[wasm_bindgen(catch)]
    pub(super) fn gathered(response: &Response, length: f64) -> Result<GatheredBody, JsValue>;
    #[wasm_bindgen(js_name = gatherPiece)]
    fn gather_piece_promise(body: &GatheredBody, timeout: f64) -> Promise;
    #[wasm_bindgen(js_name = unpacked)]
    fn unpacked_promise(response: &Response, timeout: f64) -> Promise;
    #[wasm_bindgen(js_name = sleep)]
    fn sleep_promise(millis: f64) -> Promise;
    pub(super) fn concat(pieces: &Array) -> Uint8Array;
    #[wasm_bindgen(js_name = digest)]
    fn digest_promise(bytes: &Uint8Array) -> Promise;
    #[wasm_bindgen(js_name = randomBytes)]
    pub(super) fn random_bytes() -> js_sys::Uint8Array;
}

#[wasm_bindgen(module = "/src/cloudflare/stores.js", js_namespace = direct)]
extern "C" {
    #[wasm_bindgen(js_name = bytesOf)]
    fn bytes_of_promise(response: &Response) -> Promise;
    #[wasm_bindgen(js_name = isBucket)]
    pub(super) fn is_bucket(binding: &JsValue) -> bool;
}

#[wasm_bindgen(module = "/src/cloudflare/objects.js", js_namespace = direct)]
extern "C" {
    #[wasm_bindgen(js_name = requestBatcher)]
    pub(super) fn request_batcher(answer: &JsValue, after: &JsValue) -> Function;
}

#[wasm_bindgen]
extern "C" {
    /// A body that is read into one buffer.
    pub(super) type GatheredBody;
    #[wasm_bindgen(method, getter)]
    pub(super) fn reader(this: &GatheredBody) -> Option<ReadableStreamDefaultReader>;

    /// A Durable Object's state.
    pub(super) type State;
    #[wasm_bindgen(method, getter)]
    pub(super) fn storage(this: &State) -> Storage;

    /// Its storage.
    #[derive(Clone)]
    pub(super) type Storage;
    #[wasm_bindgen(method, getter)]
    pub(super) fn sql(this: &Storage) -> Database;
    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    pub(super) fn transaction_sync(
        this: &Storage,
        work: &mut dyn FnMut() -> Result<JsValue, JsValue>,
    ) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = setAlarm)]
    pub(super) fn set_alarm(this: &Storage, at: f64) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = deleteAlarm)]
    pub(super) fn delete_alarm(this: &Storage) -> Result<Promise, JsValue>;

    /// Its SQLite.
    pub(super) type Database;
    #[wasm_bindgen(method, getter, js_name = databaseSize)]
    pub(super) fn size(this: &Database) -> f64;
}

/// What a rejected promise or a thrown value says.
pub(super) fn words(error: &JsValue) -> String {
    error
        .dyn_ref::<js_sys::Error>()
        .map_or_else(|| format!("{error:?}"), |e| String::from(e.message()))
}

/// Asks the origin, another cache, or this worker's own entrypoint.
pub(super) async fn ask(
    to_self: bool,
    url: &str,
    method: &str,
    fields: &str,
    body: Option<ReadableStream>,
    timeout: f64,
) -> Result<Response, JsValue> {
    JsFuture::from(ask_promise(to_self, url, method, fields, body, timeout))
        .await
        .map(JsCast::unchecked_into)
}

/// Sends a visitor's body to the origin. `progress` is called once it was sent whole, and says
/// whether it may go on.
#[allow(clippy::too_many_arguments, reason = "the arguments of a function of glue.js")]
pub(super) async fn upload(
    url: &str,
    method: &str,
    fields: &str,
    body: &ReadableStream,
    length: Option<f64>,
    limit: f64,
    timeout: f64,
    progress: &Function,
) -> Result<Response, JsValue> {
    JsFuture::from(upload_promise(url, method, fields, body, length, limit, timeout, progress))
        .await
        .map(JsCast::unchecked_into)
}

/// Whether a call of Workers Caching did what it was to do; none where there is no such call.
pub(super) async fn purge_workers_cache(
    verb: &str,
    options: &str,
) -> Result<Option<bool>, JsValue> {
    JsFuture::from(purge_workers_cache_promise(verb, options)).await.map(|done| done.as_bool())
}

pub(super) async fn read_piece(
    reader: &ReadableStreamDefaultReader,
    timeout: f64,
) -> Result<Option<Uint8Array>, JsValue> {
    let piece = JsFuture::from(read_piece_promise(reader, timeout)).await?;
    Ok((!piece.is_null()).then(|| piece.unchecked_into()))
}

pub(super) async fn gather_piece(
    body: &GatheredBody,
    timeout: f64,
) -> Result<Option<Uint8Array>, JsValue> {
    let piece = JsFuture::from(gather_piece_promise(body, timeout)).await?;
    Ok((!piece.is_null()).then(|| piece.unchecked_into()))
}

pub(super) async fn unpacked(response: &Response, timeout: f64) -> Result<Response, JsValue> {
    JsFuture::from(unpacked_promise(response, timeout)).await.map(JsCast::unchecked_into)
}

/// A static asset, or that it has not changed; none where there is none of this name.
pub(super) async fn asset(
    assets: &JsValue,
    name: &str,
    method: &str,
    etag: &str,
) -> Result<Option<Response>, JsValue> {
    let response = JsFuture::from(asset_promise(assets, name, method, etag)).await?;
    Ok((!response.is_null()).then(|| response.unchecked_into()))
}

pub(super) async fn sleep(millis: f64) {
    // The promise of a timer never rejects.
    let _ = JsFuture::from(sleep_promise(millis)).await;
}

pub(super) async fn digest(bytes: &Uint8Array) -> Result<Uint8Array, JsValue> {
    JsFuture::from(digest_promise(bytes)).await.map(JsCast::unchecked_into)
}

pub(super) async fn cache_get(url: &str) -> Result<Option<Response>, JsValue> {
    let found = JsFuture::from(cache_get_promise(url)).await?;
    Ok((!found.is_undefined()).then(|| found.unchecked_into()))
}

pub(super) async fn bytes_of(response: &Response) -> Result<Uint8Array, JsValue> {
    JsFuture::from(bytes_of_promise(response)).await.map(JsCast::unchecked_into)
}

pub(super) async fn cache_put(
    url: &str,
    record: Option<&str>,
    head: &[u8],
    body: &Uint8Array,
    seconds: f64,
) -> Result<(), JsValue> {
    JsFuture::from(cache_put_promise(url, record, head, body, seconds)).await.map(drop)
}

pub(super) async fn global_get(
    namespace: &JsValue,
    key: &str,
) -> Result<Option<Uint8Array>, JsValue> {
    bytes(JsFuture::from(global_get_promise(namespace, key)).await?)
}

pub(super) async fn global_put(
    namespace: &JsValue,
    key: &str,
    head: &[u8],
    body: &Uint8Array,
    seconds: f64,
) -> Result<(), JsValue> {
    JsFuture::from(global_put_promise(namespace, key, head, body, seconds)).await.map(drop)
}

pub(super) async fn object_call(
    namespace: &JsValue,
    name: &str,
    hint: Option<&str>,
    jurisdiction: Option<&str>,
    message: &str,
) -> Result<String, JsValue> {
    let text =
        JsFuture::from(object_call_promise(namespace, name, hint, jurisdiction, message)).await?;
    text.as_string().ok_or(JsValue::UNDEFINED)
}

fn bytes(value: JsValue) -> Result<Option<Uint8Array>, JsValue> {
    Ok((!value.is_undefined()).then(|| value.unchecked_into()))
}
