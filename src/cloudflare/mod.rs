//! The shell: entry points, Durable Objects, and the ports on Workers. No decision about caching is
//! made here.

mod glue;
mod journal_object;
mod object;
mod platform;
mod settings;
mod shard_object;
mod sql;
mod store;
mod visit;

use wasm_bindgen::prelude::wasm_bindgen;

/// Makes a panic show its message and place in the log.
#[wasm_bindgen(start)]
pub(crate) fn start() {
    console_error_panic_hook::set_once();
}

/// Answers one request.
#[worker::event(fetch)]
pub(crate) async fn fetch(
    request: web_sys::Request,
    env: worker::Env,
    context: worker::Context,
) -> worker::Result<web_sys::Response> {
    visit::answer(request, env, context).await
}
