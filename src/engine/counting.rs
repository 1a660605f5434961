//! What an isolate has counted and has not reported to the journal yet.
//!
//! Counting is a look-up in memory. Once a minute what was counted becomes a report, which rides on
//! the next sync; it is sent as it is, under its number, until the journal says that it has it, or
//! it is so old that the journal may have forgotten. An isolate that ends loses what it has not
//! reported.

use std::collections::{BTreeMap, HashMap};

use crate::base::time::{Millis, Timestamp};
use crate::config::Config;
use crate::control::metrics::Metrics;
use crate::journal::report::{Counts, MAX_ROWS, OTHERS, OriginSum, Report, RequestKind, Sum};
use crate::journal::stats::{MINUTE, REPEATED_FOR};

/// The counts of one isolate.
#[derive(Debug, Default)]
pub struct Counting {
    /// The isolate's name, once it has had to have one.
    name: Option<String>,
    /// The number of the latest report.
    number: u64,
    /// By the rule's place and the result, then by the reason.
    requests: HashMap<(Option<usize>, &'static str), BTreeMap<String, Sum>>,
    /// How many rows these are.
    rows: usize,
    /// Requests to the origin, by the rule's place.
    origin: HashMap<usize, OriginSum>,
    /// The counters as they were reported last.
    reported: Metrics,
    /// Since when there is something to report.
    since: Option<Timestamp>,
    /// When the latest report was made.
    last: Option<Timestamp>,
    /// A report on its way.
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    report: Report,
    began: Timestamp,
}

impl Counting {
    /// Counts a request: by the place of its rule, unless it was refused before it had one, its
    /// result, the reason.
    pub fn count(
        &mut self,
        (rule, result, reason): (Option<usize>, &'static str, &str),
        bytes: u64,
        now: Timestamp,
    ) {
        self.since.get_or_insert(now);
        let reasons = self.requests.entry((rule, result)).or_default();
        let sum = Sum { requests: 1, bytes };
        if let Some(known) = reasons.get_mut(reason) {
            return known.add(sum);
        }
        let reason = if self.rows < MAX_ROWS { reason } else { OTHERS };
        self.rows += usize::from(!reasons.contains_key(reason));
        reasons.entry(reason.to_owned()).or_default().add(sum);
    }

    /// Counts a request to the origin that has ended, by the place of its page's rule.
    pub fn count_origin(&mut self, rule: usize, took: Millis, now: Timestamp) {
        self.since.get_or_insert(now);
        self.origin.entry(rule).or_default().add(OriginSum { requests: 1, millis: took.0 });
    }

    /// Makes it time to report what was counted, if nothing was reported for a minute: an object
    /// has no later request to wait for.
    pub fn report_soon(&mut self, metrics: &Metrics, now: Timestamp) {
        let rested = self.last.is_none_or(|last| now.since(last) >= MINUTE);
        if rested && !metrics.since(&self.reported).is_empty() {
            self.since = Some(now.minus(MINUTE));
        }
    }

    /// Whether it is time to report to the journal.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.pending.is_some() || self.since.is_some_and(|since| now.since(since) >= MINUTE)
    }

    /// The report to send now, if it is time. `name` gives an isolate its name.
    pub fn report(
        &mut self,
        metrics: &Metrics,
        (config, colo): (&Config, String),
        name: impl FnOnce() -> String,
        now: Timestamp,
    ) -> Option<Report> {
        // What is older may be counted twice: rather not at all.
        if self.pending.as_ref().is_some_and(|it| now.since(it.began) > REPEATED_FOR) {
            self.pending = None;
        }
        if self.pending.is_none() && self.is_due(now) {
            let mut counts = Counts::default();
            for ((rule, result), reasons) in self.requests.drain() {
                for (reason, sum) in reasons {
                    let route = rule.map_or_else(String::new, |rule| config.rule_name(rule));
                    let result = result.to_owned();
                    counts.count(RequestKind { route, result, reason }, sum);
                }
            }
            for (rule, sum) in self.origin.drain() {
                counts.count_origin(config.rule_name(rule), sum);
            }
            for (counter, by) in metrics.since(&self.reported) {
                counts.count_counter(counter, by);
            }
            (self.reported, self.since, self.rows) = (metrics.clone(), None, 0);
            self.last = Some(now);
            self.number += 1;
            let isolate = self.name.get_or_insert_with(name).clone();
            let report = Report { isolate, number: self.number, colo, counts };
            self.pending = Some(Pending { report, began: now });
        }
        self.pending.as_ref().map(|pending| pending.report.clone())
    }

    /// The journal has a report.
    pub fn reported(&mut self, number: u64) {
        if self.pending.as_ref().is_some_and(|pending| pending.report.number <= number) {
            self.pending = None;
        }
    }
}
