//! An invalidation as the journal keeps it, its mode, and who called for it.

use serde::{Deserialize, Serialize};

use crate::base::time::{Epoch, Timestamp};

/// What becomes of the entries of an invalidated target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The old page may be served, within its window, while it is refreshed.
    Soft,
    /// The old page is never served again.
    Hard,
}

/// The mode's name in storage.
pub(super) const fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Soft => "soft",
        Mode::Hard => "hard",
    }
}

/// The mode of a stored name; what is not known is the stricter one.
pub(super) fn mode_from(name: &str) -> Mode {
    if name == "soft" { Mode::Soft } else { Mode::Hard }
}

/// An invalidation as the journal keeps it. In messages its fields stand beside those of what it is
/// part of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedInvalidation {
    /// Its id.
    pub id: String,
    /// Its epoch.
    pub epoch: Epoch,
    /// When it was accepted.
    pub at: Timestamp,
    /// Soft or hard.
    pub mode: Mode,
    /// Whether its pages are refetched.
    pub warm: bool,
    /// How many targets it named.
    pub targets: u32,
    /// The id of its second epoch, once `reinvalidate_after` has passed.
    #[serde(default)]
    pub reinvalidated_by: Option<String>,
    /// The caller's words.
    #[serde(default)]
    pub reason: String,
}

/// Who asked for an invalidation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalledBy {
    /// The token's name, `webhook`, an address of `trusted_ips`; `origin` or `visitor` where an
    /// answer or an unsafe request caused it; empty where an earlier version did not record it.
    #[serde(default)]
    pub caller: String,
    /// The API, or what of the cache's own work learnt it.
    #[serde(default)]
    pub via: String,
}
