//! Reuse: may a stored response answer a request now (RFC 9111 §4, RFC 5861), given what the
//! journal says of it?
//!
//! | validity | answer |
//! | --- | --- |
//! | current | RFC 9111: fresh, stale within `stale-while-revalidate`, else validate |
//! | the journal is lost | never fresh: stale within lifetime and window, else validate |
//! | the journal is lost for too long | validate |
//! | soft | stale while the window lasts, counted both from the fetch's lifetime and from the invalidation |
//! | unprovable, softly | as soft, invalidated when it was fetched: what the journal forgot may have been later, not sooner |
//! | hard, unprovable | refetch; never an answer again, not even on errors |
//!
//! An invalidated response is not validated by its own validators unless the route trusts them: an
//! ETag computed after the change could stand on a body rendered before it.

use crate::base::time::{Millis, Seconds, Timestamp};
use crate::cache::entry::{Entry, ReuseCondition};
use crate::cache::freshness::is_within;
use crate::cache::stale_if_error::is_within_window;
use crate::config::Route;
use crate::http::cache_control::RequestDirectives;
use crate::http::cache_status::Forward;

use super::validity::Validity;

/// What is done with a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// It answers.
    Fresh {
        /// Seconds of freshness left.
        ttl: i64,
    },
    /// It answers now, and is refreshed in the background.
    Stale {
        /// Seconds of freshness left; negative once stale.
        ttl: i64,
        /// Why it is not fresh.
        why: StaleWhy,
    },
    /// The origin is asked first.
    Validate {
        /// Why.
        why: ValidateWhy,
        /// Its validators may be used (RFC 9111 §4.3.1).
        conditional: bool,
        /// It may answer if the origin fails (RFC 5861 §4).
        on_error: bool,
    },
    /// It can't answer, and the request forbids to ask the origin (RFC 9111 §5.2.1.7): 504.
    Unsatisfiable,
}

impl Reuse {
    /// Whether the stored response may answer for an origin that fails.
    #[must_use]
    pub const fn may_answer_on_error(&self) -> bool {
        match self {
            Self::Fresh { .. } | Self::Stale { .. } => true,
            Self::Validate { on_error, .. } => *on_error,
            Self::Unsatisfiable => false,
        }
    }
}

/// Why a stored response that answers is not fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StaleWhy {
    /// Its lifetime is over (RFC 5861 §3).
    WhileRevalidate,
    /// It was invalidated softly.
    Invalidated,
    /// The journal is out of reach.
    JournalLost,
    /// Its lifetime is over, and the request takes that (`max-stale`).
    MaxStale,
}

impl StaleWhy {
    /// The reason's name in Cache-Status, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WhileRevalidate => "stale-while-revalidate",
            Self::Invalidated => "invalidated",
            Self::JournalLost => "journal-unreachable",
            Self::MaxStale => "max-stale",
        }
    }
}

/// Why the origin is asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValidateWhy {
    /// Its lifetime is over, and no window is left.
    Expired,
    /// The response said `no-cache`.
    NoCache,
    /// The request demanded it.
    Request,
    /// It was invalidated softly, and its window is over.
    SoftInvalidated,
    /// It was invalidated hard.
    HardInvalidated,
    /// The journal can't say any more whether it is current.
    Unprovable,
    /// The journal is out of reach, and no window is left.
    JournalLost,
    /// The journal has been out of reach for too long.
    JournalLostTooLong,
}

impl ValidateWhy {
    /// The reason's name in Cache-Status, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NoCache => "no-cache",
            Self::Request => "request-directive",
            Self::SoftInvalidated => "invalidated",
            Self::HardInvalidated => "invalidated-hard",
            Self::Unprovable => "unprovable",
            Self::JournalLost | Self::JournalLostTooLong => "journal-unreachable",
        }
    }

    /// The reason in the terms of RFC 9211 §2.2.
    #[must_use]
    pub const fn forward(self) -> Forward {
        match self {
            Self::Request => Forward::Request,
            Self::Expired
            | Self::NoCache
            | Self::SoftInvalidated
            | Self::HardInvalidated
            | Self::Unprovable
            | Self::JournalLost
            | Self::JournalLostTooLong => Forward::Stale,
        }
    }
}

/// Decides on a stored response that the request selects.
#[must_use]
pub fn reuse(
    entry: &Entry,
    validity: Validity,
    directives: &RequestDirectives,
    route: &Route,
    now: Timestamp,
) -> Reuse {
    let facts = Facts::of(entry, now);
    let decision = match validity {
        Validity::Current => facts.current(directives),
        Validity::JournalLost => facts.journal_lost(directives),
        Validity::JournalLostTooLong => Reuse::Validate {
            why: ValidateWhy::JournalLostTooLong,
            conditional: !directives.no_store,
            on_error: false,
        },
        Validity::Soft { at, .. } => facts.soft(directives, route, at, now),
        Validity::Hard { .. } => Reuse::Validate {
            why: ValidateWhy::HardInvalidated,
            conditional: route.trust_validators,
            on_error: false,
        },
        Validity::SoftUnprovable { .. } => facts.soft(directives, route, entry.request_time, now),
        Validity::Unprovable { .. } => {
            Reuse::Validate { why: ValidateWhy::Unprovable, conditional: false, on_error: false }
        }
    };
    match decision {
        Reuse::Validate { .. } if directives.only_if_cached => Reuse::Unsatisfiable,
        Reuse::Validate { .. } | Reuse::Fresh { .. } | Reuse::Stale { .. } => decision,
        Reuse::Unsatisfiable => decision,
    }
}

/// Whether a stored response may answer, however stale, when the edge itself can't ask the origin:
/// it has as many requests under way as it may. RFC 9111 §4.2.4 allows that to a cache which is
/// disconnected, unless the response forbids stale use; what was invalidated hard, or may have
/// been, is no answer to anyone.
#[must_use]
pub fn may_answer_at_capacity(entry: &Entry, validity: Validity, now: Timestamp) -> bool {
    let reuse_condition = entry.freshness.reuse_condition;
    match validity {
        Validity::Current
        | Validity::JournalLost
        | Validity::Soft { .. }
        | Validity::SoftUnprovable { .. } => {
            let fresh = reuse_condition == ReuseCondition::WhenStale
                && validity == Validity::Current
                && Facts::of(entry, now).is_fresh();
            reuse_condition == ReuseCondition::Nothing || fresh
        }
        Validity::JournalLostTooLong | Validity::Hard { .. } | Validity::Unprovable { .. } => false,
    }
}

/// What the stored response says of itself at this moment.
struct Facts<'e> {
    entry: &'e Entry,
    age: Millis,
    ttl: i64,
}

impl<'e> Facts<'e> {
    fn of(entry: &'e Entry, now: Timestamp) -> Self {
        let age = entry.age(now).0;
        let ttl = i64::try_from(entry.freshness.lifetime.0).unwrap_or(i64::MAX);
        let ttl = ttl.saturating_sub(i64::try_from(age).unwrap_or(i64::MAX));
        Self { entry, age: entry.age_millis(now), ttl }
    }

    /// RFC 9111 §4.2: fresh while the lifetime exceeds the age.
    fn is_fresh(&self) -> bool {
        Millis::from(self.entry.freshness.lifetime) > self.age
    }

    fn within(&self, window: Seconds) -> bool {
        is_within(&self.entry.freshness, self.age, window)
    }

    fn within_swr(&self) -> bool {
        self.within(self.entry.freshness.stale_while_revalidate)
    }

    fn within_sie(&self) -> bool {
        is_within_window(&self.entry.freshness, self.age)
    }

    fn validate(&self, why: ValidateWhy, directives: &RequestDirectives) -> Reuse {
        let conditional = !directives.no_store;
        Reuse::Validate { why, conditional, on_error: self.within_sie() }
    }

    /// Whether the request wants none of what is stored without asking (RFC 9111 §5.2.1.4,
    /// §5.2.1.5).
    fn refused(directives: &RequestDirectives) -> bool {
        directives.no_cache || directives.no_store
    }

    /// Whether the request takes a fresh response of this age (RFC 9111 §5.2.1.1, §5.2.1.3).
    fn takes_fresh(&self, directives: &RequestDirectives) -> bool {
        let young = directives.max_age.is_none_or(|max| self.age <= Millis::from(max));
        let left = u64::try_from(self.ttl).unwrap_or(0);
        young && directives.min_fresh.is_none_or(|min| left >= min.0)
    }

    /// Whether the request leaves it to the cache to answer stale.
    fn takes_stale(&self, directives: &RequestDirectives) -> bool {
        directives.min_fresh.is_none()
            && directives.max_age.is_none_or(|max| self.age <= Millis::from(max))
    }

    fn current(&self, directives: &RequestDirectives) -> Reuse {
        if self.entry.freshness.reuse_condition == ReuseCondition::Always {
            return self.validate(ValidateWhy::NoCache, directives);
        }
        if Self::refused(directives) {
            return self.validate(ValidateWhy::Request, directives);
        }
        if self.is_fresh() {
            return if self.takes_fresh(directives) {
                Reuse::Fresh { ttl: self.ttl }
            } else {
                self.validate(ValidateWhy::Request, directives)
            };
        }
        if self.within_swr() && self.takes_stale(directives) {
            return Reuse::Stale { ttl: self.ttl, why: StaleWhy::WhileRevalidate };
        }
        // RFC 9111 §5.2.1.2: the request takes what is stale by no more than this.
        if let Some(max_stale) = directives.max_stale
            && self.within(max_stale)
            && self.takes_stale(directives)
        {
            return Reuse::Stale { ttl: self.ttl, why: StaleWhy::MaxStale };
        }
        self.validate(ValidateWhy::Expired, directives)
    }

    /// Nothing can be called fresh while it is not known what was invalidated; what is within its
    /// lifetime is as good as stale, even if it must not be used beyond.
    fn journal_lost(&self, directives: &RequestDirectives) -> Reuse {
        let reuse_condition = self.entry.freshness.reuse_condition;
        let usable =
            reuse_condition != ReuseCondition::Always && (self.is_fresh() || self.within_swr());
        let taken = !Self::refused(directives) && self.takes_stale(directives);
        if usable && taken {
            Reuse::Stale { ttl: self.ttl.min(0), why: StaleWhy::JournalLost }
        } else {
            self.validate(ValidateWhy::JournalLost, directives)
        }
    }

    /// The window of a softly invalidated response ends with the first of: lifetime and window
    /// after the fetch, the window after the invalidation. The invalidation made it stale, so what
    /// forbids stale use forbids this.
    fn soft(
        &self,
        directives: &RequestDirectives,
        route: &Route,
        at: Timestamp,
        now: Timestamp,
    ) -> Reuse {
        let freshness = &self.entry.freshness;
        let since = now.since(at);
        let in_swr = self.within_swr() && since <= Millis::from(freshness.stale_while_revalidate);
        let has_swr = freshness.stale_while_revalidate > Seconds::ZERO;
        let taken = !Self::refused(directives) && self.takes_stale(directives);
        if has_swr && in_swr && taken {
            return Reuse::Stale { ttl: self.ttl.min(0), why: StaleWhy::Invalidated };
        }
        let in_sie = self.within_sie() && since <= Millis::from(freshness.stale_if_error);
        Reuse::Validate {
            why: ValidateWhy::SoftInvalidated,
            conditional: route.trust_validators && !directives.no_store,
            on_error: in_sie,
        }
    }
}
