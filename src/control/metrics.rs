//! Counters and gauges of one isolate, rendered in the Prometheus text format (version 0.0.4).
//!
//! The set is closed: a counter is an index into one array, and every label value is known here, so
//! that no input of a visitor can make a new series. Limits: an isolate is one of many and starts
//! at zero; a scrape meets whichever answers.

use std::fmt::Write as _;

use crate::base::time::Millis;

pub use super::gauges::Gauge;
use super::gauges::{Family, GAUGES, Unit};

/// Something that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Requests answered from a fresh stored response.
    Hit,
    /// Requests answered from a stale one.
    Stale,
    /// Requests answered after a 304 of the origin.
    Revalidated,
    /// Requests that shared another's fetch.
    Collapsed,
    /// Requests answered by the origin, whose answers may be stored.
    Miss,
    /// Requests passed to the origin.
    Pass,
    /// Requests refused by the edge.
    Refused,
    /// Requests for which there was no answer.
    Error,
    /// Answers stored.
    FillStored,
    /// Answers that may not be stored.
    FillNotStored,
    /// Answers that another cache's copy spared.
    FillShared,
    /// Fetches that failed.
    FillFailed,
    /// Fragments that were put into a page.
    FragmentIncluded,
    /// Fragments that a page is sent without.
    FragmentFailed,
    /// Pages whose Edge Side Includes are malformed.
    EsiFault,
    /// Pages stored anew that show something else than before.
    RefetchChanged,
    /// Pages stored anew that show the same as before.
    RefetchUnchanged,
    /// No connection to the origin.
    OriginUnreachable,
    /// The origin took too long.
    OriginTimeout,
    /// The origin's body ended early.
    OriginBroken,
    /// The origin answered what can't be read.
    OriginUnreadable,
    /// The limit of concurrent origin requests was reached.
    OriginBusy,
    /// The origin answered 5xx.
    OriginStatus,
    /// A visitor's upload took too long.
    UploadTimeout,
    /// Origin requests that waited for others to end.
    OriginWaited,
    /// Origin requests that were given up while they waited: their visitors had left.
    OriginLeft,
    /// Refreshes in the background that were left to the shards' warm queues.
    RefreshQueued,
    /// Refreshes in the background that were put off: the next visitor begins them.
    RefreshPutOff,
    /// Reads of L1 that failed.
    ColoGetFailed,
    /// Writes of L1 that failed.
    ColoPutFailed,
    /// Reads of L2 that failed.
    GlobalGetFailed,
    /// Writes of L2 that failed.
    GlobalPutFailed,
    /// Syncs of the view.
    Sync,
    /// Syncs that failed.
    SyncFailed,
    /// Calls to the journal that failed.
    JournalFailed,
    /// Calls to shards that failed.
    ShardFailed,
    /// Soft invalidations accepted.
    RevalidateSoft,
    /// Hard invalidations accepted.
    RevalidateHard,
    /// Pages that unsafe requests of visitors invalidated.
    UnsafeInvalidated,
    /// Pages that they named and nobody has stored.
    UnsafeUnknown,
    /// Pages that they named beyond the limit.
    UnsafeDropped,
    /// Control calls refused for want of credentials.
    ControlNotAuthenticated,
    /// Control calls refused for their content.
    ControlRefused,
    /// Pages warmed.
    WarmDone,
    /// Warms that failed and will be tried again.
    WarmFailed,
    /// Warms given up.
    WarmDead,
    /// Pages composed of a stored shell.
    Composed,
    /// Shells of which nothing could be composed for a visitor.
    NotComposed,
    /// Requests for visitors' own parts that were answered.
    PersonalAsked,
    /// Requests for them that failed: the page has its fallbacks.
    PersonalFailed,
    /// Audits that found the same as is stored.
    AuditSame,
    /// Audits that found something else, without an invalidation.
    AuditStale,
    /// Audits of pages that differ at every render.
    AuditEveryRender,
    /// Audits of pages that were invalidated or replaced meanwhile.
    AuditOvertaken,
    /// Audits that were put off because the origin had other work, or failed.
    AuditPutOff,
    /// Audits of what can't be compared.
    AuditNotComparable,
    /// Pages that were out of date for less than a minute.
    AuditStaleMinute,
    /// Pages that were for less than an hour.
    AuditStaleHour,
    /// Pages that were for less than a day.
    AuditStaleDay,
    /// Pages that may have been for longer.
    AuditStaleLonger,
    /// Bytes served from stored responses.
    BytesStored,
    /// Bytes received from the origin.
    BytesOrigin,
}

/// The families of counters in order, each with its help.
pub(super) fn families() -> Vec<(&'static str, &'static str)> {
    let mut families: Vec<_> =
        COUNTERS.iter().map(|(_, family, ..)| (family.0, family.2)).collect();
    families.dedup();
    families
}

const REQUESTS: Family = ("edge_isr_requests_total", "counter", "Visitors' requests by result.");
const FILLS: Family = ("edge_isr_fills_total", "counter", "Fetches of pages by outcome.");
const FRAGMENTS: Family = (
    "edge_isr_fragments_total",
    "counter",
    "Fragments of pages that are put together at the edge, by outcome.",
);
const REFETCHES: Family = (
    "edge_isr_refetches_total",
    "counter",
    "Pages stored anew, by whether they show something else than before.",
);
const ORIGIN: Family =
    ("edge_isr_origin_errors_total", "counter", "Failures of the origin by kind.");
const LIMITED: Family = (
    "edge_isr_origin_limited_total",
    "counter",
    "Work that the limit of origin requests held up, by what became of it.",
);
const STORES: Family =
    ("edge_isr_store_errors_total", "counter", "Failures of a tier by operation.");
const SYNCS: Family = ("edge_isr_syncs_total", "counter", "Syncs of the view by outcome.");
const CALLS: Family =
    ("edge_isr_call_failures_total", "counter", "Calls to Durable Objects that failed.");
const REVALIDATIONS: Family =
    ("edge_isr_revalidations_total", "counter", "Invalidations accepted by mode.");
const UNSAFE: Family = (
    "edge_isr_unsafe_method_pages_total",
    "counter",
    "Pages that unsafe requests of visitors named, by what came of it.",
);
const REFUSALS: Family =
    ("edge_isr_control_refusals_total", "counter", "Control calls refused by cause.");
const WARMS: Family = ("edge_isr_warms_total", "counter", "Warms by outcome.");
const COMPOSED: Family =
    ("edge_isr_composed_total", "counter", "Requests for composed pages by outcome.");
const PERSONAL: Family = (
    "edge_isr_personal_requests_total",
    "counter",
    "Requests for visitors' own parts of composed pages by outcome.",
);
const AUDITS: Family =
    ("edge_isr_audits_total", "counter", "Hits that were compared with the origin, by outcome.");
const AUDIT_STALE: Family = (
    "edge_isr_audit_stale_pages_total",
    "counter",
    "Pages that an audit found out of date, by the time since which they may have been.",
);
const BYTES: Family = ("edge_isr_body_bytes_total", "counter", "Bytes of bodies by source.");

/// Counters in order, each with its family and label. Rows of one family stand together.
const COUNTERS: [(Counter, Family, &str, &str); 62] = [
    (Counter::Hit, REQUESTS, "result", "hit"),
    (Counter::Stale, REQUESTS, "result", "stale"),
    (Counter::Revalidated, REQUESTS, "result", "revalidated"),
    (Counter::Collapsed, REQUESTS, "result", "collapsed"),
    (Counter::Miss, REQUESTS, "result", "miss"),
    (Counter::Pass, REQUESTS, "result", "pass"),
    (Counter::Refused, REQUESTS, "result", "refused"),
    (Counter::Error, REQUESTS, "result", "error"),
    (Counter::FillStored, FILLS, "outcome", "stored"),
    (Counter::FillNotStored, FILLS, "outcome", "not-stored"),
    (Counter::FillShared, FILLS, "outcome", "shared"),
    (Counter::FillFailed, FILLS, "outcome", "failed"),
    (Counter::FragmentIncluded, FRAGMENTS, "outcome", "included"),
    (Counter::FragmentFailed, FRAGMENTS, "outcome", "failed"),
    (Counter::EsiFault, FRAGMENTS, "outcome", "malformed"),
    (Counter::RefetchChanged, REFETCHES, "content", "changed"),
    (Counter::RefetchUnchanged, REFETCHES, "content", "unchanged"),
    (Counter::OriginUnreachable, ORIGIN, "kind", "unreachable"),
    (Counter::OriginTimeout, ORIGIN, "kind", "timeout"),
    (Counter::OriginBroken, ORIGIN, "kind", "broken"),
    (Counter::OriginUnreadable, ORIGIN, "kind", "unreadable"),
    (Counter::OriginBusy, ORIGIN, "kind", "busy"),
    (Counter::OriginStatus, ORIGIN, "kind", "status"),
    (Counter::UploadTimeout, ORIGIN, "kind", "upload"),
    (Counter::OriginWaited, LIMITED, "work", "waited"),
    (Counter::OriginLeft, LIMITED, "work", "left"),
    (Counter::RefreshQueued, LIMITED, "work", "refresh-queued"),
    (Counter::RefreshPutOff, LIMITED, "work", "refresh-put-off"),
    (Counter::ColoGetFailed, STORES, "operation", "l1-get"),
    (Counter::ColoPutFailed, STORES, "operation", "l1-put"),
    (Counter::GlobalGetFailed, STORES, "operation", "l2-get"),
    (Counter::GlobalPutFailed, STORES, "operation", "l2-put"),
    (Counter::Sync, SYNCS, "outcome", "done"),
    (Counter::SyncFailed, SYNCS, "outcome", "failed"),
    (Counter::JournalFailed, CALLS, "object", "journal"),
    (Counter::ShardFailed, CALLS, "object", "shard"),
    (Counter::RevalidateSoft, REVALIDATIONS, "mode", "soft"),
    (Counter::RevalidateHard, REVALIDATIONS, "mode", "hard"),
    (Counter::UnsafeInvalidated, UNSAFE, "outcome", "invalidated"),
    (Counter::UnsafeUnknown, UNSAFE, "outcome", "not-stored"),
    (Counter::UnsafeDropped, UNSAFE, "outcome", "over-limit"),
    (Counter::ControlNotAuthenticated, REFUSALS, "cause", "credentials"),
    (Counter::ControlRefused, REFUSALS, "cause", "content"),
    (Counter::WarmDone, WARMS, "outcome", "done"),
    (Counter::WarmFailed, WARMS, "outcome", "failed"),
    (Counter::WarmDead, WARMS, "outcome", "dead"),
    (Counter::Composed, COMPOSED, "outcome", "composed"),
    (Counter::NotComposed, COMPOSED, "outcome", "passed"),
    (Counter::PersonalAsked, PERSONAL, "outcome", "answered"),
    (Counter::PersonalFailed, PERSONAL, "outcome", "failed"),
    (Counter::AuditSame, AUDITS, "outcome", "same"),
    (Counter::AuditStale, AUDITS, "outcome", "stale"),
    (Counter::AuditEveryRender, AUDITS, "outcome", "differs-at-every-render"),
    (Counter::AuditOvertaken, AUDITS, "outcome", "overtaken"),
    (Counter::AuditPutOff, AUDITS, "outcome", "put-off"),
    (Counter::AuditNotComparable, AUDITS, "outcome", "not-comparable"),
    (Counter::AuditStaleMinute, AUDIT_STALE, "within", "minute"),
    (Counter::AuditStaleHour, AUDIT_STALE, "within", "hour"),
    (Counter::AuditStaleDay, AUDIT_STALE, "within", "day"),
    (Counter::AuditStaleLonger, AUDIT_STALE, "within", "longer"),
    (Counter::BytesStored, BYTES, "source", "stored"),
    (Counter::BytesOrigin, BYTES, "source", "origin"),
];

/// The counters and gauges of one isolate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    counters: [u64; COUNTERS.len()],
    gauges: [Option<u64>; GAUGES.len()],
}

impl Default for Metrics {
    fn default() -> Self {
        Self { counters: [0; COUNTERS.len()], gauges: [None; GAUGES.len()] }
    }
}

impl Metrics {
    /// Adds to a counter.
    pub const fn count(&mut self, counter: Counter, n: u64) {
        let at = counter as usize;
        self.counters[at] = self.counters[at].saturating_add(n);
    }

    /// What a counter stands at.
    #[must_use]
    pub const fn counted(&self, counter: Counter) -> u64 {
        self.counters[counter as usize]
    }

    /// What a counter is called within its family.
    #[must_use]
    pub const fn name(counter: Counter) -> &'static str {
        COUNTERS[counter as usize].3
    }

    /// What was counted since then, under names that other versions can add:
    /// `family|label|value`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Vec<(String, u64)> {
        let counted = COUNTERS.iter().map(|(counter, family, label, value)| {
            let by = self.counted(*counter).saturating_sub(earlier.counted(*counter));
            (format!("{}|{label}|{value}", family.0), by)
        });
        counted.filter(|(_, by)| *by > 0).collect()
    }

    /// Sets a gauge; one that is not set is left out.
    pub const fn set(&mut self, gauge: Gauge, value: u64) {
        self.gauges[gauge as usize] = Some(value);
    }

    /// The text of a scrape. `facts` become the labels of `edge_isr_info`.
    #[must_use]
    pub fn render(&self, facts: &[(&str, &str)]) -> String {
        let mut text = String::with_capacity(4096);
        head(&mut text, ("edge_isr_info", "gauge", "Facts about this isolate, as labels."));
        let labels: Vec<String> =
            facts.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
        // Writing to a String can't fail; the same holds below.
        let _ = writeln!(text, "edge_isr_info{{{}}} 1", labels.join(","));
        let mut last = "";
        for (counter, family, label, value) in COUNTERS {
            if family.0 != last {
                head(&mut text, family);
                last = family.0;
            }
            let count = self.counted(counter);
            let _ = writeln!(text, "{}{{{label}=\"{value}\"}} {count}", family.0);
        }
        for ((_, family, unit), value) in GAUGES.iter().zip(self.gauges) {
            let Some(value) = value else { continue };
            head(&mut text, *family);
            let _ = match unit {
                Unit::One => writeln!(text, "{} {value}", family.0),
                Unit::Milli => {
                    writeln!(text, "{} {}", family.0, Millis(value).decimal_seconds())
                }
            };
        }
        text
    }
}

/// The content type of a scrape.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

fn head(text: &mut String, (name, kind, help): Family) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// A label's value: backslash, quote and line feed are escaped.
pub(super) fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::{COUNTERS, GAUGES};

    #[test]
    fn every_row_stands_at_its_own_index() {
        for (at, (counter, ..)) in COUNTERS.iter().enumerate() {
            assert_eq!(*counter as usize, at, "{counter:?}");
        }
        for (at, (gauge, ..)) in GAUGES.iter().enumerate() {
            assert_eq!(*gauge as usize, at, "{gauge:?}");
        }
    }
}
