//! A shard's settings, its transaction, and why it gives no answer.

use crate::base::sql::SqlError;
use crate::base::time::{Millis, Timestamp};
use crate::config::Config;

use super::pace::{Limits, ONE};
use super::schema::ShardState;

/// A shard's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardConfig {
    /// How long a lease lives: longer than a fetch may take.
    pub lease: Millis,
    /// Warms at once.
    pub warm_concurrency: u32,
    /// Tries of one warm.
    pub warm_attempts: u32,
    /// How fast warms may follow one another.
    pub pace: Limits,
}

impl Default for ShardConfig {
    fn default() -> Self {
        let pace = Limits { window: 3 * ONE, interval: Millis::ZERO };
        Self { lease: Millis(25_000), warm_concurrency: 3, warm_attempts: 6, pace }
    }
}

impl ShardConfig {
    /// The shards' settings of a site. A lease outlives the longest wait for the head of an answer.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let default = Self::default();
        Self {
            lease: default.lease.max(Millis(config.origin_timeout.0.saturating_add(5_000))),
            warm_concurrency: config.warm_concurrency,
            warm_attempts: config.warm_attempts,
            pace: Limits::share(
                config.shards,
                config.warm_concurrency,
                config.warm_origin_concurrency,
                config.warm_rate,
            ),
        }
    }
}

/// Why a shard gave no answer. Nothing was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardError {
    /// The database failed.
    Sql(SqlError),
}

impl std::fmt::Display for ShardError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sql(error) => write!(f, "index shard: {error}"),
        }
    }
}

impl std::error::Error for ShardError {}

impl From<SqlError> for ShardError {
    fn from(error: SqlError) -> Self {
        Self::Sql(error)
    }
}

/// One transaction: what all parts of a call work with.
pub(super) struct ShardTransaction<'a, S> {
    pub(super) sql: &'a S,
    pub(super) config: ShardConfig,
    pub(super) now: Timestamp,
    pub(super) state: ShardState,
}
