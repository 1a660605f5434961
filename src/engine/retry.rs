//! Calls to objects that may be made once more: an object breaks off when its code is updated or it
//! moves, and another try finds it again. Only calls that do the same twice as once, because they
//! carry an id or ask; never one that is overloaded.

use crate::base::time::Millis;
use crate::engine::port::{CallError, Platform};
use crate::index::{ShardCall, ShardReply};
use crate::journal::{Append, JournalCall, JournalReply};

/// The pause before the second try.
const PAUSE: Millis = Millis(50);

/// Appends to the journal, and once more under the same id if it broke off; whether it was asked
/// twice.
pub(crate) async fn append<P: Platform>(
    platform: &P,
    append: Append,
) -> Result<(JournalReply, bool), CallError> {
    let call = JournalCall::Append(append);
    match platform.journal(call.clone()).await {
        Err(CallError::Broken(_)) => {
            platform.sleep(PAUSE).await;
            platform.journal(call).await.map(|reply| (reply, true))
        }
        other => other.map(|reply| (reply, false)),
    }
}

/// Asks the journal, and once more if it broke off.
pub(crate) async fn journal<P: Platform>(
    platform: &P,
    call: JournalCall,
) -> Result<JournalReply, CallError> {
    match platform.journal(call.clone()).await {
        Err(CallError::Broken(_)) => {
            platform.sleep(PAUSE).await;
            platform.journal(call).await
        }
        other => other,
    }
}

/// Asks a shard, and once more if it broke off.
pub(crate) async fn shard<P: Platform>(
    platform: &P,
    shard: u16,
    call: ShardCall,
) -> Result<ShardReply, CallError> {
    match platform.shard(shard, call.clone()).await {
        Err(CallError::Broken(_)) => {
            platform.sleep(PAUSE).await;
            platform.shard(shard, call).await
        }
        other => other,
    }
}
