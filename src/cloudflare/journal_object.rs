//! The `Journal` Durable Object: the journal's state machine on SQLite, and its outbox to the shards.

use std::rc::Rc;

use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

use crate::engine::deliver::{self, Ledger};
use crate::journal::{Journal as Machine, JournalCall};

use super::object::{self, Objects};
use super::sql::ObjectSql;

/// One site's journal.
#[durable_object(alarm)]
pub struct Journal {
    objects: Objects,
    ledger: Rc<Ledger<ObjectSql>>,
}

impl DurableObject for Journal {
    fn new(state: State, env: Env) -> Self {
        let objects = Objects::new(state, env);
        let machine = Machine::open(objects.sql(), objects.journal_config());
        let ledger = Ledger::new(machine);
        let ledger = Rc::new(ledger.telling(objects.upstreams(), objects.log_level()));
        Self { objects, ledger }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let call: JournalCall = match object::read(&mut request).await {
            Ok(call) => call,
            Err(response) => return response,
        };
        let reply = deliver::handle(&self.ledger, &self.objects.platform(), call).await;
        if let Ok(next) = self.ledger.next_wake() {
            self.objects.wake_at(next).await?;
        }
        object::reply(reply)
    }

    async fn alarm(&self) -> Result<Response> {
        self.objects.arm_retry().await?;
        let done = deliver::run_due(&self.ledger, &self.objects.platform()).await;
        self.objects.rearm(done.and_then(|()| self.ledger.next_wake())).await?;
        Response::empty()
    }
}
