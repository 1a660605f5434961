//! How an isolate learns of invalidations: it asks the journal for what is new.
//!
//! At most every `sync_interval`, in the background while the view is younger than `max_lag`, and
//! before answering when it is older. Requests of one isolate share a sync: one asks, the others
//! look. Isolates of one colo share what the journal said, through L1: news are taken from there
//! while they are young enough to make the view so. After a failure nobody asks for
//! `sync_interval`, so that an unreachable journal does not slow the site down.

use std::hash::Hasher as _;
use std::rc::Rc;

use siphasher::sip::SipHasher13;

use crate::base::time::{Epoch, Millis, Timestamp};
use crate::cache::Validity;
use crate::cache::admission::Admitted;
use crate::cache::entry::Entry;
use crate::cache::tag::TargetHash;
use crate::config::Config;
use crate::control::metrics::Counter;
use crate::engine::isolate::Isolate;
use crate::engine::observe::{Operation, Tier};
use crate::engine::parts::Invalidator;
use crate::engine::platform_limits::next_look;
use crate::engine::port::{CallError, Platform};
use crate::journal::delta::{Delta, SharedDelta};
use crate::journal::view::{Applied, Verdict, ViewHealth};
use crate::journal::{JournalCall, JournalReply};

/// How long a request waits for a sync that another request sent.
const SHARED_WAIT: Millis = Millis(1_000);
/// How long a sync that was sent counts as under way.
const SYNC_LAPSE: Millis = Millis(6_000);
/// The most rows of news that are shared: what is larger is a snapshot that few others need.
const MAX_SHARED_ROWS: usize = 5_000;
/// The most pages of a delta that one sync asks for.
const MAX_PAGES: usize = 64;

/// The bound that holds for a request: its route's, or the site's.
pub(crate) fn max_lag(admitted: &Admitted<'_>, config: &Config) -> Millis {
    admitted.route.max_lag.unwrap_or(config.max_lag)
}

/// Whether a sync in the background can begin, where the view wants one. Shared news may be so old
/// already that the next are due: then half an interval passes first.
pub(crate) fn is_due<P: Platform>(isolate: &Isolate<P>, config: &Config, now: Timestamp) -> bool {
    let pause = Millis(config.sync_interval.0 / 2);
    isolate.synced.is_none_or(|at| now.since(at) >= pause) && may_sync(isolate, config, now)
}

fn may_sync<P: Platform>(isolate: &Isolate<P>, config: &Config, now: Timestamp) -> bool {
    !(isolate.syncing.is_some_and(|began| now.since(began) < SYNC_LAPSE)
        || isolate.sync_failed.is_some_and(|at| now.since(at) < config.sync_interval))
}

impl<P: Platform> Invalidator<P> {
    /// The bound that holds for a request.
    pub(crate) fn max_lag(&self, admitted: &Admitted<'_>) -> Millis {
        max_lag(admitted, self.context.config())
    }

    /// How far the view can be relied on for this request, after a sync if one is due.
    pub(crate) async fn ensure_recent(&self, max_lag: Millis) -> ViewHealth {
        let platform = &self.context.platform;
        let config = self.context.config();
        let now = platform.now();
        let health =
            self.context.isolate().borrow().view.health(now, max_lag, config.sync_interval);
        match health {
            ViewHealth::Recent { refresh } => {
                if refresh && self.is_due(now) && self.claim_sync(now) {
                    let (invalidator, on) = (self.clone(), Rc::clone(platform));
                    platform.spawn(async move {
                        on.sleep(invalidator.stagger()).await;
                        invalidator.sync(max_lag).await;
                    });
                }
                health
            }
            ViewHealth::Cold
            | ViewHealth::Outdated
            | ViewHealth::JournalLost
            | ViewHealth::JournalLostTooLong => {
                self.sync_before_answering(now, max_lag).await;
                let now = platform.now();
                let view = &self.context.isolate().borrow().view;
                view.health_after_failure(now, max_lag, config.journal_lost_limit)
            }
        }
    }

    async fn sync_before_answering(&self, began: Timestamp, max_lag: Millis) {
        let platform = &self.context.platform;
        // Twice: another request's sync may have been content with news that are too old for this
        // one's bound.
        for _ in 0..2 {
            let failed = self.context.isolate().borrow().sync_failed;
            if failed.is_some_and(|at| began.since(at) < self.context.config().sync_interval) {
                return;
            }
            if self.claim_sync(platform.now()) {
                return self.sync(max_lag).await;
            }
            while self.context.isolate().borrow().syncing.is_some()
                && platform.now().since(began) < SHARED_WAIT
            {
                platform.sleep(next_look(platform.now().since(began))).await;
            }
            if self.is_clear(max_lag) {
                return;
            }
        }
    }

    fn is_clear(&self, max_lag: Millis) -> bool {
        let sync_interval = self.context.config().sync_interval;
        let now = self.context.platform.now();
        let view = &self.context.isolate().borrow().view;
        let health = view.health(now, max_lag, sync_interval);
        matches!(health, ViewHealth::Recent { .. })
    }

    fn is_due(&self, now: Timestamp) -> bool {
        is_due(&self.context.isolate().borrow(), self.context.config(), now)
    }

    fn claim_sync(&self, now: Timestamp) -> bool {
        let config = self.context.config();
        let isolate = &mut *self.context.isolate().borrow_mut();
        let may = may_sync(isolate, config, now);
        if may {
            isolate.syncing = Some(now);
        }
        may
    }

    /// Asks the journal for what is new, page by page.
    async fn sync(&self, max_lag: Millis) {
        let platform = &self.context.platform;
        let done = self.sync_pages(max_lag).await;
        self.context.count(if done { Counter::Sync } else { Counter::SyncFailed });
        let mut isolate = self.context.isolate().borrow_mut();
        isolate.syncing = None;
        isolate.synced = Some(platform.now());
        isolate.sync_failed = (!done).then(|| platform.now());
    }

    async fn sync_pages(&self, max_lag: Millis) -> bool {
        let platform = &self.context.platform;
        // Once a minute an isolate asks the journal itself: what it has counted goes with that.
        let mut report = self.context.report();
        if report.is_none() && self.take_shared(max_lag).await {
            return true;
        }
        for _ in 0..MAX_PAGES {
            // A view's age counts from before its sync was sent.
            let request_time = platform.now();
            let mut request = self.context.isolate().borrow().view.request();
            request.report = report.take();
            match platform.journal(JournalCall::Sync(request)).await {
                Ok(JournalReply::Delta(mut delta)) => {
                    self.context.reported(delta.reported.take());
                    let applied =
                        self.context.isolate().borrow_mut().view.apply(&delta, request_time, true);
                    match applied {
                        Applied::Whole => {
                            self.share(request_time, delta).await;
                            return true;
                        }
                        Applied::Page => {}
                        Applied::Ahead | Applied::Older => {
                            let error = CallError::Unknown("a delta that does not connect".into());
                            self.context.journal_failed("sync", &error);
                            return false;
                        }
                    }
                }
                Ok(other) => {
                    let error = CallError::Unknown(other.name().into());
                    self.context.journal_failed("sync", &error);
                    return false;
                }
                Err(error) => {
                    self.context.journal_failed("sync", &error);
                    return false;
                }
            }
        }
        false
    }

    /// A pause, other each time, before a sync in the background: the isolates of a colo that
    /// shared the last news would else all ask for the next at once.
    fn stagger(&self) -> Millis {
        let mut hasher = SipHasher13::new();
        hasher.write(self.context.platform.unique().as_bytes());
        Millis(hasher.finish() % (self.context.config().sync_interval.0 / 4).max(1))
    }

    /// Takes news that another isolate of the colo shared; false if there are none, or none that
    /// make this view recent. A view's age counts from when that isolate asked (`requester_time`),
    /// and is checked again after (`age_recheck`).
    async fn take_shared(&self, max_lag: Millis) -> bool {
        let shared = match self.context.platform.shared_delta().await {
            Ok(Some(shared)) => shared,
            Ok(None) => return false,
            Err(error) => {
                self.context.store_failed(Tier::Colo, Operation::Get, &error);
                return false;
            }
        };
        let applied = {
            let view = &mut self.context.isolate().borrow_mut().view;
            view.apply(&shared.delta, shared.request_time, false)
        };
        applied == Applied::Whole && self.is_clear(max_lag)
    }

    /// Shares news that came whole.
    async fn share(&self, request_time: Timestamp, delta: Delta) {
        if delta.rows.len() > MAX_SHARED_ROWS {
            return;
        }
        let shared = SharedDelta { request_time, delta };
        if let Err(error) =
            self.context.platform.share_delta(&shared, self.context.config().sync_interval).await
        {
            self.context.store_failed(Tier::Colo, Operation::Put, &error);
        }
    }

    /// How a stored response stands, after a look-up of its targets if the view does not know them.
    /// What can't be said is [`Validity::JournalLostTooLong`].
    pub(crate) async fn validity(
        &self,
        targets: &[TargetHash],
        stamp: Epoch,
        (health, max_lag): (ViewHealth, Millis),
    ) -> Validity {
        // A stamp that the journal does not know shows it, at the next sync, that it was restored
        // from a backup.
        self.context.isolate().borrow_mut().view.observe_epoch(stamp);
        match self.verdict(targets, stamp, (health, max_lag)) {
            Verdict::Known(validity) => validity,
            Verdict::Unknown => {
                self.look_up_targets(targets).await;
                match self.verdict(targets, stamp, (health, max_lag)) {
                    Verdict::Known(validity) => validity,
                    Verdict::Unknown => Validity::JournalLostTooLong,
                }
            }
        }
    }

    fn verdict(
        &self,
        targets: &[TargetHash],
        stamp: Epoch,
        (health, max_lag): (ViewHealth, Millis),
    ) -> Verdict {
        let now = self.context.platform.now();
        let view = &self.context.isolate().borrow().view;
        view.validity(targets, stamp, health, now, max_lag)
    }

    /// The same by a view that is recent now.
    pub(crate) async fn validity_by_now(&self, admitted: &Admitted<'_>, entry: &Entry) -> Validity {
        let max_lag = self.max_lag(admitted);
        let health = (self.ensure_recent(max_lag).await, max_lag);
        self.validity(&entry.targets, entry.stamp, health).await
    }

    /// What this view knows against a stored response, however old the view is.
    pub(crate) fn validity_now(&self, entry: &Entry) -> Verdict {
        let health = (ViewHealth::Recent { refresh: false }, self.context.config().max_lag);
        self.verdict(&entry.targets, entry.stamp, health)
    }

    /// The stamp of a fetch that starts now. Without any answer of the journal it is zero: what is
    /// fetched then counts as older than every invalidation.
    pub(crate) async fn ensure_stamp(&self) -> Epoch {
        if self.context.isolate().borrow().view.stamp().is_none() {
            self.look_up_targets(&[]).await;
        }
        self.context.isolate().borrow().view.stamp().unwrap_or(Epoch::ZERO)
    }

    async fn look_up_targets(&self, targets: &[TargetHash]) {
        let platform = &self.context.platform;
        let request_time = platform.now();
        let failed = self.context.isolate().borrow().sync_failed;
        if failed.is_some_and(|at| request_time.since(at) < self.context.config().sync_interval) {
            return;
        }
        let request = self.context.isolate().borrow().view.lookup_request(targets);
        match platform.journal(JournalCall::Lookup(request)).await {
            Ok(JournalReply::Found(found)) => {
                self.context.isolate().borrow_mut().view.apply_lookup(
                    targets,
                    &found,
                    request_time,
                );
            }
            Ok(other) => {
                let error = CallError::Unknown(other.name().into());
                self.context.journal_failed("lookup", &error);
            }
            Err(error) => {
                self.context.isolate().borrow_mut().sync_failed = Some(platform.now());
                self.context.journal_failed("lookup", &error);
            }
        }
    }
}
