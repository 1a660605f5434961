//! The audit: does the stored response still match the origin's?
//!
//! A share of a route's hits is chosen ([`sampling`]). They are answered like all others, and the
//! page is requested from the origin as well, as a warm would. If it differs, it is requested once
//! more a little later: an invalidation that was under way has arrived by then, and a page that
//! differs at every render shows itself. What remains has changed at the origin without an
//! invalidation: it is reported to the journal, and the page's URL is invalidated softly, so that
//! every copy in every colo is refetched.
//!
//! It never holds up a visitor, and is off while the origin struggles. Limits: bodies above
//! [`MAX_BODY_BYTES`] are not compared, and only pages that are requested are audited.

mod ask;
pub mod sampling;

use std::rc::Rc;

use crate::base::time::{Millis, Timestamp};
use crate::cache::Validity;
use crate::cache::admission::Admitted;
use crate::cache::audit::{
    Difference, LikelyCause, MAX_BODY_BYTES, MAX_TEXT_BYTES, Shown, head_of, tag_names,
};
use crate::cache::entry::Entry;
use crate::cache::key::CacheKey;
use crate::cache::tag::Target;
use crate::control::log::Event;
use crate::control::metrics::Counter;
use crate::engine::context::Incoming;
use crate::engine::memory::{StoredPage, StoredRecord};
use crate::engine::parts::Auditor;
use crate::engine::port::Platform;
use crate::engine::retry;
use crate::journal::audit::Finding;
use crate::journal::view::Verdict;
use crate::journal::{Append, Appended, CalledBy, JournalCall, JournalReply, Mode};

/// How long after the first answer that differs the origin is asked again.
pub const PAUSE: Millis = Millis(5_000);
/// The longest URL that is reported, in bytes.
const MAX_URL_BYTES: usize = 2_000;
/// The most fields of a variant that are reported.
const MAX_VARY: usize = 10;
/// Who invalidates, in the history.
const CALLER: &str = "audit";

/// What a hit answered with.
pub(crate) enum Answered<P: Platform> {
    /// A response in memory.
    Page(Rc<StoredPage<P::Chunk>>),
    /// One that went from L1 to the visitor unread.
    InColo(CacheKey),
}

/// A hit that was chosen.
struct Audit<P: Platform> {
    incoming: Incoming<P>,
    admitted: Admitted<'static>,
    page: Rc<StoredPage<P::Chunk>>,
    began: Timestamp,
}

/// What an audit came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AuditOutcome {
    Same,
    Stale,
    DiffersAtEveryRender,
    /// It was invalidated or replaced meanwhile: nothing is wrong.
    Overtaken,
    /// The origin has other work, or failed.
    PutOff,
    /// It can't be compared.
    NotComparable,
}

impl AuditOutcome {
    const fn counter(self) -> Counter {
        match self {
            Self::Same => Counter::AuditSame,
            Self::Stale => Counter::AuditStale,
            Self::DiffersAtEveryRender => Counter::AuditEveryRender,
            Self::Overtaken => Counter::AuditOvertaken,
            Self::PutOff => Counter::AuditPutOff,
            Self::NotComparable => Counter::AuditNotComparable,
        }
    }
}

impl<P: Platform> Auditor<P> {
    /// Audits a hit beside its answer, if it is chosen.
    pub(crate) fn consider(
        &self,
        incoming: &Incoming<P>,
        admitted: &Admitted<'_>,
        answered: Answered<P>,
    ) {
        let share = admitted.route.audit;
        if share <= 0.0 {
            return;
        }
        let platform = &self.context.platform;
        let (began, budget) = (platform.now(), self.context.config().audit_per_minute);
        let audits = &mut self.context.isolate().borrow_mut().audits;
        if !audits.take(share, (budget, began), || platform.random()) {
            return;
        }
        let (auditor, incoming) = (self.clone(), incoming.share());
        let admitted = admitted.clone().into_owned();
        platform.spawn(async move {
            let page = match answered {
                Answered::Page(page) => Some(page),
                Answered::InColo(key) => match auditor.stores.read_l1(&key).await {
                    Some(StoredRecord::Page(page)) => Some(page),
                    Some(StoredRecord::Vary(_) | StoredRecord::Pass(..)) | None => None,
                },
            };
            let outcome = match page {
                Some(page) => auditor.audit(&Audit { incoming, admitted, page, began }).await,
                None => AuditOutcome::NotComparable,
            };
            auditor.context.count(outcome.counter());
        });
    }

    async fn audit(&self, audit: &Audit<P>) -> AuditOutcome {
        let entry = &audit.page.entry;
        if entry.body_length > MAX_BODY_BYTES {
            return AuditOutcome::NotComparable;
        }
        let first = match self.ask(audit).await {
            Ok(first) => first,
            Err(outcome) => return outcome,
        };
        let ignored = &audit.admitted.route.audit_ignore;
        let stored = Shown::stored(entry, P::bytes(&audit.page.body), ignored);
        let Some(difference) = stored.difference(&first) else {
            self.context.isolate().borrow_mut().audits.give_back(audit.began);
            return AuditOutcome::Same;
        };
        self.context.platform.sleep(PAUSE).await;
        let second = match self.ask(audit).await {
            Ok(second) => second,
            Err(outcome) => return outcome,
        };
        if !self.is_current(entry).await {
            return AuditOutcome::Overtaken;
        }
        if first.difference(&second).is_some() {
            return self.differs_at_every_render(audit, (&stored, &first), difference).await;
        }
        let finding = self.finding(audit, (&stored, &first), difference);
        self.report(audit, finding).await
    }

    /// Whether the journal, asked now, knows nothing against a stored response, and nothing newer
    /// took its place here.
    async fn is_current(&self, entry: &Entry) -> bool {
        let key = entry.key.variant(&entry.selection);
        {
            let isolate = self.context.isolate().borrow();
            let held = isolate.memory.look(&key).map(|look| look.record);
            if let Some(StoredRecord::Page(page)) = held
                && page.entry.response_time > entry.response_time
            {
                return false;
            }
        }
        let platform = &self.context.platform;
        let request_time = platform.now();
        let lookup = self.context.isolate().borrow().view.lookup_request(&entry.targets);
        match retry::journal(&**platform, JournalCall::Lookup(lookup)).await {
            Ok(JournalReply::Found(found)) => {
                let view = &mut self.context.isolate().borrow_mut().view;
                view.apply_lookup(&entry.targets, &found, request_time);
            }
            Ok(other) => {
                let error = crate::engine::port::CallError::Unknown(other.name().into());
                self.context.journal_failed("lookup", &error);
                return false;
            }
            Err(error) => {
                self.context.journal_failed("lookup", &error);
                return false;
            }
        }
        self.invalidator.validity_now(entry) == Verdict::Known(Validity::Current)
    }

    /// Nothing is wrong with what is stored: it is reported once in a while, and never healed.
    async fn differs_at_every_render(
        &self,
        audit: &Audit<P>,
        shown: (&Shown, &Shown),
        difference: Difference,
    ) -> AuditOutcome {
        let cause = LikelyCause::DiffersAtEveryRender;
        let finding = Finding { cause, ..self.finding(audit, shown, difference) };
        let page = audit.page.entry.key.variant(&audit.page.entry.selection).digest();
        let now = self.context.platform.now();
        let news = self.context.isolate().borrow_mut().audits.note_every_render(&page, now);
        if news {
            self.note(finding).await;
        }
        AuditOutcome::DiffersAtEveryRender
    }

    fn finding(
        &self,
        audit: &Audit<P>,
        (stored, fresh): (&Shown, &Shown),
        difference: Difference,
    ) -> Finding {
        let (entry, config) = (&audit.page.entry, self.context.config());
        let short = |text: &str| head_of(text, MAX_TEXT_BYTES);
        let vary = entry.selection.0.iter().take(MAX_VARY);
        Finding {
            page: entry.key.variant(&entry.selection).digest().as_str().to_owned(),
            url: head_of(&entry.page.url(), MAX_URL_BYTES),
            vary: vary.map(|(name, value)| (short(name), short(value))).collect(),
            route: config.rule_name_of(&entry.page.host, &entry.page.path),
            stored_at: entry.response_time,
            found_at: self.context.platform.now(),
            colo: self.context.platform.colo_name(),
            cause: stored.cause(fresh),
            tags: tag_names(stored.tags()),
            fresh_tags: tag_names(fresh.tags()),
            difference,
        }
    }

    /// A page changed without an invalidation: it gets one now, and the journal keeps what was
    /// found. Who finds the same copy later finds it invalidated.
    async fn report(&self, audit: &Audit<P>, finding: Finding) -> AuditOutcome {
        let entry = &audit.page.entry;
        let reason = format!("{CALLER}: {}", finding.cause.as_str());
        let append = Append {
            id: format!("{CALLER}-{}-{}", entry.key.digest().as_str(), entry.stamp.0),
            body_digest: String::new(),
            targets: vec![Target::Url(entry.page.purge_name())],
            mode: Mode::Soft,
            warm: true,
            reinvalidate_after: Millis::ZERO,
            reason: reason.clone(),
            uncounted: true,
            unsafe_method: false,
            by: CalledBy { caller: CALLER.to_owned(), via: CALLER.to_owned() },
        };
        let id = append.id.clone();
        match self.invalidator.append(append).await {
            Ok(Appended::New { epoch, .. }) => {
                self.context.count(Counter::RevalidateSoft);
                let (caller, via, targets, mode) = (CALLER, CALLER, 1, "soft");
                let reason = reason.as_str();
                let event =
                    Event::Revalidated { id: &id, epoch, targets, mode, caller, via, reason };
                self.context.log(&event);
            }
            Ok(Appended::Repeated { .. } | Appended::Conflict) => return AuditOutcome::Overtaken,
            // It is reported all the same, and found again.
            Err(error) => self.context.journal_failed("append", &error),
        }
        let stale = finding.found_at.since(finding.stored_at);
        self.context.count(stale_counter(stale));
        let (url, reason) = (finding.url.as_str(), finding.cause.as_str());
        self.context.log(&Event::AuditFound { url, reason, stale });
        self.note(finding).await;
        AuditOutcome::Stale
    }

    async fn note(&self, finding: Finding) {
        let call = JournalCall::Finding(Box::new(finding));
        if let Err(error) = self.context.platform.journal(call).await {
            self.context.journal_failed("finding", &error);
        }
    }
}

/// How long a page may have been out of date.
const fn stale_counter(stale: Millis) -> Counter {
    match stale.0 {
        0..60_000 => Counter::AuditStaleMinute,
        60_000..3_600_000 => Counter::AuditStaleHour,
        3_600_000..86_400_000 => Counter::AuditStaleDay,
        86_400_000.. => Counter::AuditStaleLonger,
    }
}
