//! The `Journal` Durable Object: the journal's state machine on SQLite, and its outbox to the
//! shards.

use std::rc::Rc;

use js_sys::{Function, Promise};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::{Closure, wasm_bindgen};
use wasm_bindgen_futures::future_to_promise;
use web_sys::Response;
use worker::Env;

use crate::engine::invalidate::fan_out::{self, JournalHost};
use crate::journal::{Journal as Machine, JournalCall};

use super::glue;
use super::object::{self, Objects};
use super::sql::ObjectSql;

/// One site's journal.
#[wasm_bindgen]
pub struct Journal {
    inner: Rc<Inner>,
    batcher: Function,
}

struct Inner {
    objects: Objects,
    journal_host: Rc<JournalHost<ObjectSql>>,
}

#[wasm_bindgen]
impl Journal {
    /// Opens the journal.
    #[wasm_bindgen(constructor)]
    pub fn new(state: &JsValue, env: Env) -> Self {
        let objects = Objects::new(state, env);
        let machine = Machine::open(objects.sql(), objects.journal_config());
        let journal_host = JournalHost::new(machine);
        let journal_host =
            Rc::new(journal_host.with_front_caches(objects.front_caches(), objects.log_level()));
        let inner = Rc::new(Inner { objects, journal_host });
        let this = Rc::clone(&inner);
        let answer = Closure::<dyn Fn(String) -> Promise>::new(move |text: String| {
            let this = Rc::clone(&this);
            future_to_promise(async move { this.answer(&text).await.map(JsValue::from) })
        });
        let batcher = glue::request_batcher(&answer.into_js_value(), &JsValue::UNDEFINED);
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
    async fn answer(&self, text: &str) -> Result<Response, JsValue> {
        let call: JournalCall = match object::read(text) {
            Ok(call) => call,
            Err(response) => return Ok(response),
        };
        let reply = fan_out::handle(&self.journal_host, &self.objects.platform(), call).await;
        if let Ok(next) = self.journal_host.next_wake() {
            self.objects.alarm().wake_at(next).await?;
        }
        Ok(object::reply(reply))
    }

    async fn work(&self) -> Result<(), JsValue> {
        let alarm = self.objects.alarm();
        alarm.arm_retry().await?;
        let done = fan_out::run_due(&self.journal_host, &self.objects.platform()).await;
        alarm.rearm(done.and_then(|()| self.journal_host.next_wake())).await
    }
}
