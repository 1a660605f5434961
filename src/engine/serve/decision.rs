//! What a request for the cache comes to: decided here, done by `Server`, shown by `explain`.

use std::rc::Rc;

use crate::base::time::{Epoch, Timestamp};
use crate::cache::Validity;
use crate::cache::admission::Admitted;
use crate::cache::reuse::{Reuse, StaleWhy, reuse};
use crate::engine::context::Incoming;
use crate::engine::fill::request::Candidate;
use crate::engine::invalidate::unsafe_methods::OwnChange;
use crate::engine::memory::StoredPage;
use crate::engine::parts::Server;
use crate::engine::port::Platform;
use crate::engine::serve::bypass::BypassReason;
use crate::engine::serve::from_colo::FromColo;
use crate::engine::serve::lookup::{Look, LookUp};
use crate::engine::uncacheable::page_hash;
use crate::http::cache_status::{CacheStatus, Forward};
use crate::journal::view::ViewHealth;

/// What is done.
#[allow(clippy::large_enum_variant, reason = "a box would cost each hit an allocation")]
pub(crate) enum Decision<P: Platform> {
    /// What is stored answers, and is fresh: with seconds left.
    Fresh(Rc<StoredPage<P::Chunk>>, i64),
    /// The same out of L1, with its body as it is read.
    FromColo(FromColo<P>, i64),
    /// What is stored answers, and is refreshed as this candidate.
    Stale(Rc<StoredPage<P::Chunk>>, i64, StaleWhy, Candidate<P>),
    /// The origin answers this very request.
    Bypass(BypassReason),
    /// A range is asked of the origin.
    Range(Candidate<P>),
    /// The page is fetched.
    Fetch(Candidate<P>),
    /// Nothing stored may answer, and the request forbids to ask the origin (RFC 9111 §5.2.1.7).
    OnlyIfCached,
}

impl<P: Platform> Decision<P> {
    /// What Cache-Status says of it before anything is done.
    pub(crate) fn cache_status(&self) -> CacheStatus {
        match self {
            Self::Fresh(_, ttl) | Self::FromColo(_, ttl) => CacheStatus::hit(*ttl),
            Self::Stale(_, ttl, why, _) => CacheStatus::hit(*ttl).detail(why.as_str()),
            Self::Bypass(why) => CacheStatus::forwarded(Forward::Bypass).detail(&why.detail()),
            Self::Range(candidate) => CacheStatus::forwarded(candidate.forward).detail("range"),
            Self::Fetch(candidate) => {
                CacheStatus::forwarded(candidate.forward).maybe_detail(candidate.why)
            }
            Self::OnlyIfCached => CacheStatus::default().detail("only-if-cached"),
        }
    }
}

/// A decision, and what it was decided by.
pub(crate) struct Decided<P: Platform> {
    pub(crate) decision: Decision<P>,
    /// How far the view could be relied on.
    pub(crate) health: ViewHealth,
    /// What was stored here that the request selects, and how it stands.
    pub(crate) stored: Option<(Rc<StoredPage<P::Chunk>>, Validity)>,
    /// When it was decided.
    pub(crate) now: Timestamp,
}

impl<P: Platform> Server<P> {
    /// Decides what is done for a request.
    pub(crate) async fn decision(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        look: Look,
    ) -> Decided<P> {
        let max_lag = self.invalidator.max_lag(admitted);
        let health = self.invalidator.ensure_recent(max_lag).await;
        let mut l0_updates = Vec::new();
        let found = self.find(incoming, admitted, look, &mut l0_updates).await;
        self.context.forget_look();
        let how = (look, health, max_lag);
        let from_colo = self.colo_answer((incoming, admitted), found, how, &mut l0_updates).await;
        match look {
            Look::Use => self.remember(l0_updates),
            Look::Peek => {}
        }
        // The clock is read after the first I/O: within a request it stands still before.
        let now = self.context.platform.now();
        let found = match from_colo {
            Ok((answer, ttl)) => {
                let decision = Decision::FromColo(answer, ttl);
                return Decided { decision, health, stored: None, now };
            }
            Err(found) => found,
        };
        let mut stored = None;
        let decision = match found {
            LookUp::Pass(reason, key) => {
                Decision::Bypass(BypassReason::HitForPass(reason, page_hash(&key)))
            }
            LookUp::Foreign => Decision::Bypass(BypassReason::Vary),
            LookUp::Nothing(vary) => {
                let (head, page) = (&incoming.head, &admitted.page);
                match self.invalidator.own_change(head, page, None, Epoch::ZERO, now) {
                    OwnChange::None => {
                        self.decide_origin(incoming, admitted, Candidate::nothing(vary), now)
                    }
                    OwnChange::Need(need) => {
                        let candidate = Candidate { need, ..Candidate::nothing(vary) };
                        self.decide_origin(incoming, admitted, candidate, now)
                    }
                    OwnChange::Pass => Decision::Bypass(BypassReason::OwnChange),
                }
            }
            LookUp::Page(page) if !self.is_for(admitted, &page) => {
                Decision::Bypass(BypassReason::Known)
            }
            LookUp::Page(page) => {
                let (targets, stamp) = (&page.entry.targets, page.entry.stamp);
                let validity = self.invalidator.validity(targets, stamp, (health, max_lag)).await;
                let decision = self.decide_stored(incoming, admitted, &page, (validity, now));
                stored = Some((page, validity));
                decision
            }
        };
        Decided { decision, health, stored, now }
    }

    /// What to do with a stored response that the request selects.
    fn decide_stored(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        page: &Rc<StoredPage<P::Chunk>>,
        (validity, now): (Validity, Timestamp),
    ) -> Decision<P> {
        let entry = &page.entry;
        let need = validity.need();
        let mut directives = admitted.directives.clone();
        match self.invalidator.own_change(&incoming.head, &admitted.page, Some(entry), need, now) {
            OwnChange::None => {}
            OwnChange::Need(_) => directives.no_cache = true,
            OwnChange::Pass => return Decision::Bypass(BypassReason::OwnChange),
        }
        match reuse(entry, validity, &directives, &admitted.route, now) {
            Reuse::Fresh { ttl } => Decision::Fresh(Rc::clone(page), ttl),
            Reuse::Stale { ttl, why } => {
                let candidate = Candidate::of(page, false, true, need);
                // What the origin said since is known here, if nowhere else.
                match self.hit_for_pass(incoming, admitted, &candidate, now) {
                    Some(why) => Decision::Bypass(why),
                    None => Decision::Stale(Rc::clone(page), ttl, why, candidate),
                }
            }
            Reuse::Validate { why, conditional, on_error } => {
                let forward = if need.0 > 0 { Forward::Stale } else { why.forward() };
                let candidate = Candidate::of(page, conditional, on_error, need);
                self.decide_origin(
                    incoming,
                    admitted,
                    candidate.because(forward, why.as_str()),
                    now,
                )
            }
            Reuse::Unsatisfiable => Decision::OnlyIfCached,
        }
    }

    /// How the origin is asked, where nothing stored answers.
    fn decide_origin(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        candidate: Candidate<P>,
        now: Timestamp,
    ) -> Decision<P> {
        if admitted.directives.only_if_cached {
            Decision::OnlyIfCached
        } else if let Some(why) = self.bypass_reason(incoming, admitted, &candidate, now) {
            Decision::Bypass(why)
        } else if admitted.range.is_some() {
            Decision::Range(candidate)
        } else {
            Decision::Fetch(candidate)
        }
    }
}
