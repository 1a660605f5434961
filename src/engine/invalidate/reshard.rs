//! A change of the number of shards at work: the journal sends each shard its place. What is no
//! longer its own a shard hands over from its alarm (`warm/`).

use std::rc::Rc;

use crate::base::sql::Sql;
use crate::control::log::Event;
use crate::engine::invalidate::journal_host::JournalHost;
use crate::engine::port::Platform;
use crate::index::{Move, ShardCall, ShardReply};
use crate::journal::JournalError;

/// Sends their places to the shards that are due, and asks how far they are.
pub(crate) async fn announce_places<P: Platform, S: Sql>(
    journal_host: &Rc<JournalHost<S>>,
    platform: &Rc<P>,
) -> Result<(), JournalError> {
    let now = platform.now();
    let places = journal_host.act(|journal| journal.due_moves(now))?;
    let Some(shards) = places.first().map(|place| place.shards) else { return Ok(()) };
    // A new shard has got no invalidation: what it fetches is to be stamped past those of
    // before.
    let seen = journal_host.act(|journal| Ok(journal.head()))?;
    for place in places {
        let call = ShardCall::Move(Move { seen, ..Move::to(place) });
        let reply = platform.shard(place.shard, call).await;
        // One of the version before does not understand it: it is sent again.
        let done = matches!(reply, Ok(ShardReply::Moved { done: true }));
        journal_host.act(|journal| journal.moved(place, done, platform.now()))?;
    }
    let moving = journal_host.act(|journal| journal.moving())?;
    if let Some(line) =
        (Event::Resharding { shards, moving }).line(platform.now(), journal_host.log)
    {
        platform.log(&line);
    }
    Ok(())
}
