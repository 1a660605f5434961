//! The platform's own limits, in one place, each with its source and with what happens at it.
//!
//! | limit | source | what happens at it |
//! | --- | --- | --- |
//! | tasks after an answer: [`BACKGROUND_TASKS`] | <https://developers.cloudflare.com/workers/runtime-apis/context/#waituntil> | a refresh that takes longer goes to the alarm of the page's shard; a fill that was ended is noticed within ten seconds |
//! | whether a visitor has left: the flag `enable_request_signal` | <https://developers.cloudflare.com/workers/configuration/compatibility-flags/> | who waits for the origin gives the place up |
//! | an alarm's time: [`ALARM`] | <https://developers.cloudflare.com/durable-objects/platform/limits/> | an alarm ends what still runs well before, and another goes on |
//! | requests over the network of one invocation: [`FETCHES`] | <https://developers.cloudflare.com/workers/platform/limits/#subrequests> | an alarm ends before it, and the next goes on; a request makes a few |
//! | calls to objects and stores of one invocation: [`SUBREQUESTS`] | <https://developers.cloudflare.com/workers/platform/limits/#subrequests> | the same |
//! | connections at once of one invocation: [`CONNECTIONS`] | <https://developers.cloudflare.com/workers/platform/limits/#simultaneous-open-connections> | a shard fetches fewer pages at once |
//! | fields of a response: 128 KB | <https://developers.cloudflare.com/workers/platform/limits/#request-and-response-limits> | `origin-unreadable` |
//! | an object's storage | <https://developers.cloudflare.com/durable-objects/platform/limits/> | what does not fit is refused whole; readers are answered |
//! | a value of KV: [`KV_VALUE`] | <https://developers.cloudflare.com/kv/platform/limits/> | what is larger stays in the colo (`l2-too-large`) |
//! | writes of one key of KV: one a second | <https://developers.cloudflare.com/kv/platform/limits/> | no name is written twice |
//! | memory of an isolate: 128 MB | <https://developers.cloudflare.com/workers/platform/limits/#memory> | `memory` and `fill_memory` are less together, and readers are closed for others |
//! | an object that is overloaded or was replaced | <https://developers.cloudflare.com/durable-objects/best-practices/error-handling/> | asked once more, unless it is overloaded; then reported |

use crate::base::time::Millis;

/// How long tasks may go on after the answer was sent, or its reader left.
pub const BACKGROUND_TASKS: Millis = Millis(30_000);
/// How long an alarm may run.
pub const ALARM: Millis = Millis(900_000);
/// Requests over the network that one invocation may make, on every plan.
pub const FETCHES: usize = 50;
/// Calls of one invocation to the platform's own services (objects, KV), on every plan.
pub const SUBREQUESTS: usize = 1_000;
/// Connections that one invocation may have open at once.
pub const CONNECTIONS: usize = 6;
/// The largest value of KV, in bytes.
pub const KV_VALUE: u64 = 25 << 20;
/// How often a request looks for what another of its isolate does: one can't wake another, whose
/// I/O is its own.
pub const LOOK_INTERVAL: Millis = Millis(4);
/// The longest between two such looks.
pub const LONGEST_LOOK: Millis = Millis(50);
/// A request that waits looks so many times before its wait is twice as long.
const LOOKS: u64 = 16;

/// When a request that has waited so long looks again: the longer it waits the rarer, so that the
/// many who wait for an isolate that is busy do not keep it busy.
#[must_use]
pub fn next_look(waited: Millis) -> Millis {
    Millis((waited.0 / LOOKS).clamp(LOOK_INTERVAL.0, LONGEST_LOOK.0))
}
