//! What is said of invalidations at a time (`schedule.rs`).

use serde::{Deserialize, Serialize};

use crate::base::time::{Epoch, Timestamp};
use crate::cache::tag::Target;

use super::invalidation::{CalledBy, Mode};

/// How many may wait.
pub const MAX_SCHEDULED: u64 = 1_000;
/// Names of one.
pub const MAX_NAMES: usize = 500;

/// What became of an invalidation at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheduled {
    /// It waits.
    Waits {
        /// Whether it did before.
        repeated: bool,
    },
    /// It was done before.
    Done {
        /// Its epoch.
        epoch: Epoch,
    },
    /// It was cancelled before.
    Cancelled,
    /// The id was used with another body.
    Conflict,
    /// [`MAX_SCHEDULED`] wait.
    Full,
}

/// What became of a wish to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cancelled {
    /// It will not be done.
    Cancelled {
        /// Whether it was cancelled before.
        repeated: bool,
    },
    /// It was done.
    TooLate {
        /// Its epoch.
        epoch: Epoch,
    },
    /// There is none.
    Unknown,
}

/// Asks what waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRequest {
    /// Where the last answer ended: a time and an id.
    #[serde(default)]
    pub after: Option<(Timestamp, String)>,
    /// The most rows wanted.
    #[serde(default)]
    pub limit: u32,
}

/// What waits, in the order of times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleReply {
    /// The invalidations.
    #[serde(default)]
    pub rows: Vec<ScheduledRow>,
    /// Whether more follow.
    #[serde(default)]
    pub more: bool,
}

/// An invalidation that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledRow {
    /// Its id.
    pub id: String,
    /// When it will be done.
    pub at: Timestamp,
    /// When it was requested.
    pub requested: Timestamp,
    /// Soft or hard.
    pub mode: Mode,
    /// Whether its pages will be refetched.
    pub warm: bool,
    /// What it names.
    pub targets: Vec<Target>,
    /// The caller's words.
    #[serde(default)]
    pub reason: String,
    /// Who asked.
    #[serde(default)]
    pub by: CalledBy,
}
