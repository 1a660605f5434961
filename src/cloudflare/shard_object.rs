//! The `IndexShard` Durable Object: one shard's state machine on SQLite, and its warm queue on
//! alarms.

use std::rc::Rc;

use js_sys::{Function, Promise};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::{Closure, wasm_bindgen};
use wasm_bindgen_futures::future_to_promise;
use web_sys::Response;
use worker::Env;

use crate::engine::parts::Warmer;
use crate::engine::warm::{self, ShardHost};
use crate::index::{Shard, ShardCall};

use super::glue;
use super::object::{self, Objects};
use super::platform::now;
use super::settings;
use super::sql::ObjectSql;

/// One index shard of a site.
#[wasm_bindgen]
pub struct IndexShard {
    inner: Rc<Inner>,
    batcher: Function,
}

struct Inner {
    objects: Objects,
    shard_host: ShardHost<ObjectSql>,
}

#[wasm_bindgen]
impl IndexShard {
    /// Opens the shard.
    #[wasm_bindgen(constructor)]
    pub fn new(state: &JsValue, env: Env) -> Self {
        let objects = Objects::new(state, env);
        let shard_host = ShardHost::new(Shard::open(objects.sql(), objects.shard_config()));
        let inner = Rc::new(Inner { objects, shard_host });
        let this = Rc::clone(&inner);
        let answer =
            Closure::<dyn Fn(String) -> Response>::new(move |text: String| this.answer(&text));
        let this = Rc::clone(&inner);
        let after = Closure::<dyn Fn() -> Option<Promise>>::new(move || Inner::wake(&this));
        let batcher = glue::request_batcher(&answer.into_js_value(), &after.into_js_value());
        Self { inner, batcher }
    }

    /// Answers a call.
    ///
    /// # Errors
    /// When the runtime fails.
    pub fn fetch(&self, request: &JsValue) -> Result<JsValue, JsValue> {
        self.batcher.call1(&JsValue::UNDEFINED, request)
    }

    /// Works on what is due.
    pub fn alarm(&self) -> Promise {
        let this = Rc::clone(&self.inner);
        future_to_promise(async move { this.work().await.map(|()| JsValue::UNDEFINED) })
    }
}

impl Inner {
    fn answer(&self, text: &str) -> Response {
        match object::read::<ShardCall>(text) {
            Ok(call) => object::reply(self.shard_host.handle(call, now())),
            Err(response) => response,
        }
    }

    /// Sets the alarm after calls, in the turn that wrote for them: one commit holds both. Nothing
    /// to wait for where it need not be set.
    fn wake(this: &Rc<Self>) -> Option<Promise> {
        let next = this.shard_host.next_wake().ok()?;
        this.objects.alarm().missing(next)?;
        let this = Rc::clone(this);
        Some(future_to_promise(async move {
            // Asked again: work that ended since may have set it for something earlier.
            let next = this.shard_host.next_wake().unwrap_or(next);
            this.objects.alarm().wake_at(next).await.map(|()| JsValue::UNDEFINED)
        }))
    }

    async fn work(&self) -> Result<(), JsValue> {
        let alarm = self.objects.alarm();
        alarm.arm_retry().await?;
        let site = settings::site(self.objects.env());
        let context = site.engine.with(&self.objects.platform());
        let done = warm::run_slice(&self.shard_host, &Warmer::new(&context)).await;
        alarm.rearm(done.and_then(|()| self.shard_host.next_wake())).await
    }
}
