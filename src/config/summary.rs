//! The settings in effect, as `healthz` tells them to anyone: counts and bounds, no names and no
//! secrets.

use serde::Serialize;

use super::settings::{Action, Config};

/// The settings in effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// `max_lag`, in milliseconds.
    pub max_lag_ms: u64,
    /// `sync_interval`, in milliseconds.
    pub sync_interval_ms: u64,
    /// `journal_lost_limit`, in milliseconds.
    pub journal_lost_limit_ms: u64,
    /// Index shards.
    pub shards: u16,
    /// Rules.
    pub routes: usize,
    /// Rules that bypass.
    pub bypass_routes: usize,
    /// Host aliases.
    pub host_aliases: usize,
}

impl Config {
    /// The settings in effect, in short.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let bypass = self.routes.iter().filter(|rule| rule.route.action == Action::Bypass);
        Summary {
            max_lag_ms: self.max_lag.0,
            sync_interval_ms: self.sync_interval.0,
            journal_lost_limit_ms: self.journal_lost_limit.0,
            shards: self.shards,
            routes: self.routes.len(),
            bypass_routes: bypass.count(),
            host_aliases: self.host_aliases.len(),
        }
    }
}
