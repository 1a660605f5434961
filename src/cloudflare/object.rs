//! What both Durable Objects share: messages in and out, alarms, ports.

use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use worker::{Env, Request, Response, Result, State};

use crate::config::upstream::Armed;
use crate::config::{Config, LogLevel};
use crate::index::ShardConfig;
use crate::journal::JournalConfig;
use crate::json::{read_json, write_value};
use crate::time::{Millis, Timestamp};

use super::glue;
use super::platform::{Bindings, Edge, Keeper, now};
use super::settings;
use super::sql::ObjectSql;

/// When an alarm that did not come to its end is tried again.
const RETRY: Millis = Millis(5_000);

/// A Durable Object's surroundings.
pub(super) struct Objects {
    state: State,
    env: Env,
    config: Config,
    bindings: Rc<Bindings>,
}

impl Objects {
    pub(super) fn new(state: State, env: Env) -> Self {
        let site = settings::site(&env);
        let config = site.engine.config().clone();
        let bindings = Rc::clone(&site.bindings);
        Self { state, env, config, bindings }
    }

    pub(super) fn env(&self) -> &Env {
        &self.env
    }

    pub(super) fn sql(&self) -> ObjectSql {
        ObjectSql::new(&self.state)
    }

    pub(super) fn journal_config(&self) -> JournalConfig {
        JournalConfig::of(&self.config)
    }

    /// Caches before the edge, with their secrets.
    pub(super) fn upstreams(&self) -> Vec<Armed> {
        let secrets = glue::setting_text(&self.env, "UPSTREAM_SECRETS").unwrap_or_default();
        Armed::all(&self.config, &secrets)
    }

    pub(super) const fn log_level(&self) -> LogLevel {
        self.config.log
    }

    pub(super) fn shard_config(&self) -> ShardConfig {
        ShardConfig::of(&self.config)
    }

    /// The ports, for work that the object does itself.
    pub(super) fn platform(&self) -> Rc<Edge> {
        Rc::new(Edge::new(Rc::clone(&self.bindings), Keeper::Object, String::new()))
    }

    /// Sets the alarm, unless an earlier one is set.
    pub(super) async fn wake_at(&self, at: Option<Timestamp>) -> Result<()> {
        let Some(at) = at else { return Ok(()) };
        let storage = self.state.storage();
        let set = storage.get_alarm().await?;
        let at = at.max(now());
        if set.is_none_or(|set| set > at.as_millis()) {
            storage.set_alarm(at.as_millis().saturating_sub(now().as_millis())).await?;
        }
        Ok(())
    }

    /// Sets the alarm for what is to do next; none if there is nothing. After a failure the retry stands.
    pub(super) async fn rearm<E: std::fmt::Display>(
        &self,
        next: std::result::Result<Option<Timestamp>, E>,
    ) -> Result<()> {
        let storage = self.state.storage();
        match next {
            Ok(Some(at)) => storage.set_alarm(at.max(now()).as_millis() - now().as_millis()).await,
            Ok(None) => storage.delete_alarm().await,
            Err(error) => {
                failed(&error);
                Ok(())
            }
        }
    }

    /// Arms before the work, so that a crash in the middle of it is followed by another try.
    pub(super) async fn arm_retry(&self) -> Result<()> {
        self.state.storage().set_alarm(RETRY.0 as i64).await
    }
}

/// A failure of an object's own work: told in the log, and tried again.
fn failed(error: &dyn std::fmt::Display) {
    let line = serde_json::json!({"event": "object-failed", "reason": error.to_string()});
    worker::console_error!("{}", write_value(&line));
}

/// The call in a request's body.
pub(super) async fn read<C: DeserializeOwned>(
    request: &mut Request,
) -> std::result::Result<C, Result<Response>> {
    let text = request.text().await.map_err(Err)?;
    read_json(text.as_bytes()).map_err(|error| Response::error(error.to_string(), 400))
}

/// The reply to a call; a failure is a 500 with its words.
pub(super) fn reply<R: Serialize, E: std::fmt::Display>(
    reply: std::result::Result<R, E>,
) -> Result<Response> {
    match reply {
        Ok(reply) => Response::ok(serde_json::to_string(&reply)?),
        Err(error) => {
            worker::console_error!(
                "{{\"event\":\"object-failed\",\"problem\":{:?}}}",
                error.to_string()
            );
            Response::error(error.to_string(), 500)
        }
    }
}
