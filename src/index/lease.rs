//! Who may fetch a variant: the lease decision, as a pure function.
//!
//! A lease answers a need: a holder that began before an invalidation does not block the one who
//! saw it (`lease_need`); "ready" must be newer than what the requester has (`lease_gen`). Fencing
//! numbers only grow; only the holder releases (`release_fence`), and a late holder does not
//! overwrite a newer result (`fence`). `tests/simulation/rules.txt` has these rules by their names.

use crate::base::time::{Epoch, Millis, Timestamp};

/// How long a requester waits before it asks again, at most.
pub const RETRY: Millis = Millis(250);

/// What the requester has and needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseQuery {
    /// The lowest stamp that helps.
    pub need: Epoch,
    /// The fencing number of what it has; 0 for nothing.
    pub have_fence: u64,
    /// Whether L2 did not show it what an earlier answer called ready.
    pub lagged: bool,
}

/// A stored copy's order among the copies of its variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Its stamp.
    pub stamp: Epoch,
    /// Its fencing number.
    pub fence: u64,
}

/// Who fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The lease's fencing number.
    pub fence: u64,
    /// The stamp that its result will carry.
    pub stamp: Epoch,
    /// When the lease ends.
    pub until: Timestamp,
}

impl Holder {
    /// Whether the lease lives and its result will satisfy a need.
    #[must_use]
    pub fn covers(self, need: Epoch, now: Timestamp) -> bool {
        self.until > now && self.stamp >= need
    }
}

/// What the requester may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseDecision {
    /// Fetch and record.
    Grant,
    /// Read L2.
    Ready,
    /// L2 has it but lags where the requester is: fetch for that colo alone.
    Ticket,
    /// Wait that long for another, then ask again.
    Wait(Millis),
}

/// Decides. `ticket_until` is when the ticket of the requester's colo for the ready copy ends, if
/// one was given.
#[must_use]
pub fn decide(
    ask: LeaseQuery,
    ready: Option<Version>,
    holder: Option<Holder>,
    ticket_until: Option<Timestamp>,
    now: Timestamp,
) -> LeaseDecision {
    if let Some(ready) = ready
        && ready.stamp >= ask.need
        && ready.fence > ask.have_fence
    {
        if !ask.lagged {
            return LeaseDecision::Ready;
        }
        return match ticket_until {
            Some(until) if until > now => wait(until, now),
            Some(_) | None => LeaseDecision::Ticket,
        };
    }
    match holder {
        Some(holder) if holder.covers(ask.need, now) => wait(holder.until, now),
        Some(_) | None => LeaseDecision::Grant,
    }
}

/// Whether a fetch's result replaces what is stored. Equal is the same record come twice.
#[must_use]
pub fn replaces(new: Version, stored: Option<Version>) -> bool {
    stored.is_none_or(|stored| new >= stored)
}

fn wait(until: Timestamp, now: Timestamp) -> LeaseDecision {
    LeaseDecision::Wait(until.since(now).min(RETRY))
}
