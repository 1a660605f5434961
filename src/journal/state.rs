//! What a journal holds, its settings, and why it gives no answer.

use crate::base::sql::SqlError;
use crate::base::time::{Epoch, Millis, Timestamp};
use crate::config::Config;

/// Epochs beyond this are refused: a Durable Object's integers are JavaScript numbers.
pub const MAX_EPOCH: Epoch = Epoch(1 << 52);

/// How far the journal continues past an epoch that it did not know: others may have heard of later
/// ones.
pub const REPAIR_MARGIN: u64 = 1_000;

/// The journal's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalConfig {
    /// Targets kept by name.
    pub max_targets: u32,
    /// Index shards of the site.
    pub shards: u16,
    /// How long webhook ids and jobs are remembered: longer than a signature is valid.
    pub receipt_ttl: Millis,
    /// How long they are kept for the history.
    pub history_kept: Millis,
    /// How many of them are: the newest.
    pub history_rows: u64,
    /// Rows of one page of a delta.
    pub page_rows: usize,
    /// How much of the past every delta covers, so that isolates with different heads can share
    /// one.
    pub shared_window: Millis,
    /// Caches in front of the edge to which each invalidation is delivered, by name.
    pub front_caches: Vec<String>,
    /// When every isolate sees an invalidation.
    pub seen_within: Millis,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            max_targets: 100_000,
            shards: 8,
            receipt_ttl: Millis(24 * 3_600_000),
            history_kept: Millis(30 * 24 * 3_600_000),
            history_rows: 20_000,
            page_rows: 20_000,
            shared_window: Millis(60_000),
            front_caches: Vec::new(),
            seen_within: Millis(2_000),
        }
    }
}

impl JournalConfig {
    /// The journal's settings of a site.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        // A route may have a longer bound of its own.
        let routes = config.routes.iter().map(|rule| &rule.route).chain([&config.defaults]);
        let bounds = routes.filter_map(|route| route.max_lag);
        Self {
            max_targets: config.journal_targets,
            shards: config.shards,
            front_caches: config
                .front_caches
                .iter()
                .map(|front_cache| front_cache.name.clone())
                .collect(),
            seen_within: bounds.fold(config.max_lag, Millis::max),
            ..Self::default()
        }
    }
}

/// Why the journal gave no answer. Nothing was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalError {
    /// The database failed.
    Sql(SqlError),
    /// An epoch that no journal of ours can have issued.
    EpochOutOfRange(Epoch),
    /// An invalidation of nothing.
    NoTargets,
    /// An invalidation at a time that names more than may wait.
    TooManyNames,
    /// An id that begins like the journal's own (`reinvalidate:`, `repair:`).
    ReservedId,
}

impl std::fmt::Display for JournalError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sql(error) => write!(f, "journal: {error}"),
            Self::EpochOutOfRange(epoch) => write!(f, "journal: no such epoch: {}", epoch.0),
            Self::ReservedId => {
                f.write_str("journal: ids beginning with reinvalidate: or repair: are its own")
            }
            Self::TooManyNames => f.write_str("journal: too many names for a later time"),
            Self::NoTargets => f.write_str("journal: an invalidation names at least one target"),
        }
    }
}

impl std::error::Error for JournalError {}

impl From<SqlError> for JournalError {
    fn from(error: SqlError) -> Self {
        Self::Sql(error)
    }
}

/// The journal of one site, over one database.
#[derive(Debug)]
pub struct Journal<S> {
    pub(super) sql: S,
    pub(super) config: JournalConfig,
    /// As committed; never ahead of the database.
    pub(super) state: JournalState,
    /// The database took no more of late: what is kept for the history alone has to go.
    pub(super) crowded: bool,
}

/// What the `meta` table holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct JournalState {
    /// The newest epoch.
    pub(super) head: Epoch,
    /// Rows of `stamp`.
    pub(super) targets: u64,
    /// How often the journal had to continue past epochs that it did not know.
    pub(super) repairs: u64,
    /// How many shards there are, as far as it has noticed.
    pub(super) shards: u16,
    /// How many there were at most lately.
    pub(super) most_shards: u16,
    /// When their number changed last.
    pub(super) changed_at: Timestamp,
}
