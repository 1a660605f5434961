//! An invalidation's mode, and who called for it.

use serde::{Deserialize, Serialize};

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

/// Who asked for an invalidation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalledBy {
    /// The token's name, `webhook`, an address of `trusted_ips`; `origin` or `visitor` where an
    /// answer or an unsafe request caused it; empty where a version before did not tell.
    #[serde(default)]
    pub caller: String,
    /// The API, or what of the cache's own work learnt it.
    #[serde(default)]
    pub via: String,
}
