//! No failure is silent: each is counted and logged where it is noticed. The site keeps serving.

use crate::cache::key::Page;
use crate::cache::storage::NoStore;
use crate::control::log::Event;
use crate::control::metrics::Counter;
use crate::control::problem::Problem;
use crate::engine::context::Context;
use crate::engine::port::{CallError, OriginError, Platform, StoreError};
use crate::index::{Refetch, SitemapFile, WarmTask};
use crate::journal::report::Report;

/// A tier of stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tier {
    /// The colo's.
    Colo,
    /// The global one.
    Global,
}

/// What was asked of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// A read.
    Get,
    /// A write.
    Put,
}

impl<P: Platform> Context<P> {
    /// Writes an event to the log, if the settings want it.
    pub(super) fn log(&self, event: &Event<'_>) {
        let platform = &self.platform;
        if let Some(line) = event.line(platform.now(), self.config().log) {
            platform.log(&line);
        }
    }

    /// Adds one to a counter.
    pub(super) fn count(&self, counter: Counter) {
        self.isolate().borrow_mut().metrics.count(counter, 1);
    }

    /// Adds to a counter.
    pub(super) fn count_many(&self, counter: Counter, by: u64) {
        self.isolate().borrow_mut().metrics.count(counter, by);
    }

    /// A refetch, counted by whether it brought anything new.
    pub(super) fn refetched(&self, refetch: Option<Refetch>) {
        match refetch {
            Some(Refetch::Changed) => self.count(Counter::RefetchChanged),
            Some(Refetch::Unchanged) => self.count(Counter::RefetchUnchanged),
            None => {}
        }
    }

    /// What this isolate has counted, if it is time to report to the journal.
    pub(super) fn report(&self) -> Option<Report> {
        let platform = &self.platform;
        let isolate = &mut *self.isolate().borrow_mut();
        let place = (self.config(), platform.colo_name());
        isolate.counting.report(&isolate.metrics, place, || platform.unique(), platform.now())
    }

    /// The journal has a report.
    pub(super) fn reported(&self, number: Option<u64>) {
        if let Some(number) = number {
            self.isolate().borrow_mut().counting.reported(number);
        }
    }

    /// A call to the edge itself that was refused.
    pub(super) fn control_refused(&self, call: &str, problem: &Problem) {
        let (status, reason) = (problem.status(), problem.kind().as_str());
        self.count(match status {
            401 | 403 => Counter::ControlNotAuthenticated,
            _ => Counter::ControlRefused,
        });
        self.log(&Event::ControlRefused { call, status, reason });
    }

    /// A store that failed: the site goes on without it.
    pub(super) fn store_failed(&self, tier: Tier, operation: Operation, error: &StoreError) {
        let (counter, tier, operation) = match (tier, operation) {
            (Tier::Colo, Operation::Get) => (Counter::ColoGetFailed, "l1", "get"),
            (Tier::Colo, Operation::Put) => (Counter::ColoPutFailed, "l1", "put"),
            (Tier::Global, Operation::Get) => (Counter::GlobalGetFailed, "l2", "get"),
            (Tier::Global, Operation::Put) => (Counter::GlobalPutFailed, "l2", "put"),
        };
        self.count(counter);
        let reason = error.to_string();
        self.log(&Event::StoreFailed { tier, operation, reason: &reason });
    }

    /// The journal did not answer: the site goes on without it, within its limits.
    pub(super) fn journal_failed(&self, call: &str, error: &CallError) {
        self.count(Counter::JournalFailed);
        let reason = error.to_string();
        self.log(&Event::CallFailed { object: "journal", call, reason: &reason });
    }

    /// A shard did not answer: the page stays in this colo.
    pub(super) fn shard_failed(&self, shard: u16, call: &str, error: &CallError) {
        self.count(Counter::ShardFailed);
        let (object, reason) = (format!("shard-{shard}"), error.to_string());
        self.log(&Event::CallFailed { object: &object, call, reason: &reason });
    }

    /// The origin gave no answer, or not a whole one.
    pub(super) fn origin_failed(&self, url: &str, error: OriginError) {
        self.count(match error {
            // It was not asked.
            OriginError::Left => return,
            OriginError::Unreachable => Counter::OriginUnreachable,
            OriginError::Timeout => Counter::OriginTimeout,
            OriginError::Broken => Counter::OriginBroken,
            OriginError::Unreadable => Counter::OriginUnreadable,
            OriginError::Busy => Counter::OriginBusy,
            OriginError::Upload => Counter::UploadTimeout,
            OriginError::Status(_) => Counter::OriginStatus,
        });
        self.count(Counter::FillFailed);
        let event = Event::OriginFailed { url, reason: error.as_str() };
        self.log(&event);
    }

    /// A response that is not stored because of what its origin says wrongly: worth a line, for its
    /// author.
    pub(super) fn not_stored(&self, page: &Page, reason: NoStore) {
        self.count(Counter::FillNotStored);
        if reason.is_worth_a_line() {
            self.log(&Event::NotStored { url: &page.url(), reason: reason.as_str() });
        }
    }

    /// A response that varies on fields which its origin is never sent: it has one variant, and its
    /// author should know.
    pub(super) fn vary_not_forwarded(&self, page: &Page, names: &[&str]) {
        if !names.is_empty() {
            let event = Event::VaryNotForwarded { url: &page.url(), fields: &names.join(", ") };
            self.log(&event);
        }
    }

    /// A sitemap that could not be read.
    pub(super) fn import_failed(&self, file: &SitemapFile, reason: &str) {
        self.log(&Event::ImportFailed { url: &file.url, reason });
    }

    /// A warm that failed, and whether it was the last try.
    pub(super) fn warm_failed(&self, task: &WarmTask, reason: &str) {
        let (url, attempts) = (task.page.url(), task.attempts + 1);
        if attempts >= self.config().warm_attempts {
            self.count(Counter::WarmDead);
            self.log(&Event::WarmDead { url: &url, reason, attempts });
        } else {
            self.count(Counter::WarmFailed);
            self.log(&Event::WarmFailed { url: &url, reason, attempts });
        }
    }
}
