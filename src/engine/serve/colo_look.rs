//! A request whose answer the colo's cache may have: what was decided of it before any I/O.

use crate::base::time::Millis;
use crate::cache::admission::Admitted;
use crate::cache::key::{CacheKey, KeyDigest, Selection};
use crate::http::RequestHead;
use crate::journal::view::ViewHealth;

/// A request whose answer the colo's cache may have.
pub struct ColoLook {
    pub(super) head: RequestHead,
    pub(super) admitted: Admitted<'static>,
    /// The place of its rule.
    pub(super) rule: usize,
    pub(super) place: Place,
    pub(super) facts: LookUpFacts,
}

/// Under which key the response to a request stands.
pub(super) struct Place {
    pub(super) key: CacheKey,
    /// The page's key, where L0 has under it what the page varies on.
    pub(super) varies: Option<CacheKey>,
    /// The variant that the request selects, if it is known that the page varies.
    pub(super) selected: Option<Selection>,
}

/// What was known when the look-up was decided on.
pub(super) struct LookUpFacts {
    pub(super) health: ViewHealth,
    pub(super) max_lag: Millis,
    /// Whether the head says who the visitor is.
    pub(super) visitor: bool,
}

impl ColoLook {
    pub(super) fn new(
        head: RequestHead,
        (admitted, rule): (Admitted<'static>, usize),
        place: Place,
        facts: LookUpFacts,
    ) -> Self {
        Self { head, admitted, rule, place, facts }
    }

    /// Where it looks.
    #[must_use]
    pub fn digest(&self) -> KeyDigest {
        self.place.key.digest()
    }

    /// The host that was asked.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.head.host
    }

    /// The key that it looks under.
    #[must_use]
    pub fn into_key(self) -> CacheKey {
        self.place.key
    }
}
