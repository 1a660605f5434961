//! The shell: entry points, Durable Objects, and the ports on Workers. No decision about caching is
//! made here.

mod dashboard;
mod glue;
mod heads;
mod journal_object;
mod object;
mod platform;
mod settings;
mod shard_object;
mod sql;
mod store;
mod stream;
mod visit;

use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// Makes a panic show its message and place in the log.
#[wasm_bindgen(start)]
pub(crate) fn start() {
    console_error_panic_hook::set_once();
}

/// Answers one request: with a response if that is there at once, else with a promise of one.
///
/// Not `worker::event`, whose every answer is a promise.
#[wasm_bindgen]
#[must_use]
#[allow(unreachable_pub, reason = "wasm-bindgen exports what is public alone")]
pub fn fetch(request: web_sys::Request, env: worker::Env, context: JsValue) -> JsValue {
    visit::answer(request, &env, context)
}
