//! The `IndexShard` Durable Object: one shard's state machine on SQLite, and its warm queue on alarms.

use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

use crate::engine::warm::{self, Depot};
use crate::index::{Shard, ShardCall};

use super::object::{self, Objects};
use super::platform::now;
use super::settings;
use super::sql::ObjectSql;

/// One index shard of a site.
#[durable_object(alarm)]
pub struct IndexShard {
    objects: Objects,
    depot: Depot<ObjectSql>,
}

impl DurableObject for IndexShard {
    fn new(state: State, env: Env) -> Self {
        let objects = Objects::new(state, env);
        let depot = Depot::new(Shard::open(objects.sql(), objects.shard_config()));
        Self { objects, depot }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let call: ShardCall = match object::read(&mut request).await {
            Ok(call) => call,
            Err(response) => return response,
        };
        let reply = self.depot.handle(call, now());
        if let Ok(next) = self.depot.next_wake() {
            self.objects.wake_at(next).await?;
        }
        object::reply(reply)
    }

    async fn alarm(&self) -> Result<Response> {
        self.objects.arm_retry().await?;
        let site = settings::site(self.objects.env());
        let done = warm::run_slice(&self.depot, &site.engine, &self.objects.platform()).await;
        self.objects.rearm(done.and_then(|()| self.depot.next_wake())).await?;
        Response::empty()
    }
}
