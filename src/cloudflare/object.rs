//! What both Durable Objects share: messages in and out, alarms, ports.

use std::cell::Cell;
use std::rc::Rc;

use js_sys::Promise;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::Response;
use worker::Env;

use crate::base::json::{read_json, write_value};
use crate::base::time::Timestamp;
use crate::config::front_cache_access::FrontCacheAccess;
use crate::config::{Config, LogLevel};
use crate::engine::wake::{self, RETRY};
use crate::index::ShardConfig;
use crate::journal::JournalConfig;

use super::glue::{self, State, Storage};
use super::platform::{Bindings, Edge, WaitUntil, now};
use super::settings;
use super::sql::ObjectSql;

/// A Durable Object's surroundings.
pub(super) struct Objects {
    env: Env,
    config: Config,
    bindings: Rc<Bindings>,
    alarm: Alarm,
}

impl Objects {
    pub(super) fn new(state: &JsValue, env: Env) -> Self {
        let site = settings::site(&env);
        let config = site.engine.config().clone();
        let bindings = Rc::clone(&site.bindings);
        let storage = state.unchecked_ref::<State>().storage();
        let alarm = Alarm { storage, set: Cell::new(None), changes: Cell::new(0) };
        Self { env, config, bindings, alarm }
    }

    pub(super) fn env(&self) -> &Env {
        &self.env
    }

    pub(super) fn alarm(&self) -> &Alarm {
        &self.alarm
    }

    pub(super) fn sql(&self) -> ObjectSql {
        ObjectSql::new(&self.alarm.storage)
    }

    pub(super) fn journal_config(&self) -> JournalConfig {
        JournalConfig::of(&self.config)
    }

    /// Caches in front of the edge, with their secrets.
    pub(super) fn front_caches(&self) -> Vec<FrontCacheAccess> {
        let secrets = glue::setting_text(&self.env, "FRONT_CACHE_SECRETS").unwrap_or_default();
        FrontCacheAccess::all(&self.config, &secrets)
    }

    pub(super) const fn log_level(&self) -> LogLevel {
        self.config.log
    }

    pub(super) fn shard_config(&self) -> ShardConfig {
        ShardConfig::of(&self.config)
    }

    /// The ports, for work that the object does itself.
    pub(super) fn platform(&self) -> Rc<Edge> {
        Rc::new(Edge::new(Rc::clone(&self.bindings), WaitUntil::Object, String::new(), None))
    }
}

/// An object's alarm, and when it is set for as far as this instance knows
/// ([`crate::engine::wake`]).
///
/// What is remembered is never earlier than what is stored, so nothing waits for an alarm that is
/// not there:
/// - an object has one instance at a time, and nobody else sets its alarm;
/// - it is remembered only once the storage has confirmed it and if nothing has changed it since,
///   and forgotten before it is changed. A commit that fails afterwards ends the instance, and its
///   memory with it;
/// - the runtime takes an alarm away only to run it, and the run begins with [`Alarm::arm_retry`];
/// - one that ought to have gone off and did not is set anew: after an exception the runtime tries
///   an alarm again, but not for ever.
pub(super) struct Alarm {
    storage: Storage,
    set: Cell<Option<Timestamp>>,
    /// How often it was changed.
    changes: Cell<u64>,
}

impl Alarm {
    /// When it has to be set for, if something is due at `next`.
    pub(super) fn missing(&self, next: Option<Timestamp>) -> Option<Timestamp> {
        wake::missing(self.set.get(), next, now())
    }

    /// Sets the alarm, unless an earlier one is set.
    pub(super) async fn wake_at(&self, next: Option<Timestamp>) -> Result<(), JsValue> {
        match self.missing(next) {
            Some(at) => self.set(at).await,
            None => Ok(()),
        }
    }

    /// Sets the alarm for what is to do next; none if there is nothing. After a failure the retry
    /// stands.
    pub(super) async fn rearm<E: std::fmt::Display>(
        &self,
        next: Result<Option<Timestamp>, E>,
    ) -> Result<(), JsValue> {
        match next {
            Ok(Some(at)) => self.set(at.max(now())).await,
            Ok(None) => self.change(self.storage.delete_alarm()).await,
            Err(error) => {
                failed(&error);
                Ok(())
            }
        }
    }

    /// Arms before the work, so that a crash in the middle of it is followed by another try.
    pub(super) async fn arm_retry(&self) -> Result<(), JsValue> {
        self.set(now().plus(RETRY)).await
    }

    /// Sets the alarm.
    pub(super) async fn set(&self, at: Timestamp) -> Result<(), JsValue> {
        let change = self.changes.get() + 1;
        self.change(self.storage.set_alarm(at.as_millis() as f64)).await?;
        if self.changes.get() == change {
            self.set.set(Some(at));
        }
        Ok(())
    }

    async fn change(&self, changed: Result<Promise, JsValue>) -> Result<(), JsValue> {
        self.set.set(None);
        self.changes.set(self.changes.get() + 1);
        JsFuture::from(changed?).await.map(drop)
    }
}

/// A failure of an object's own work: logged, and tried again.
fn failed(error: &dyn std::fmt::Display) {
    let line = serde_json::json!({"event": "object-failed", "reason": error.to_string()});
    worker::console_error!("{}", write_value(&line));
}

/// The call in a request's body.
pub(super) fn read<C: DeserializeOwned>(text: &str) -> Result<C, Response> {
    read_json(text.as_bytes()).map_err(|error| glue::reply(400, &error.to_string()))
}

/// The reply to a call; a failure is a 500 with its words.
pub(super) fn reply<R: Serialize, E: std::fmt::Display>(reply: Result<R, E>) -> Response {
    let text = match reply {
        Ok(reply) => serde_json::to_string(&reply).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    text.map_or_else(
        |error| {
            worker::console_error!("{{\"event\":\"object-failed\",\"problem\":{error:?}}}");
            glue::reply(500, &error)
        },
        |text| glue::reply(200, &text),
    )
}
