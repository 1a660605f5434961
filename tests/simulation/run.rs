//! Many seeds, on several threads.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::play::play;
use crate::rules::{Rule, switch_off};
use crate::watch::Property;

/// How often it is printed how far a run is.
const PRINT_INTERVAL: Duration = Duration::from_secs(10);

/// Which seeds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) from: u64,
    pub(crate) seeds: u64,
    pub(crate) jobs: u64,
}

/// A violation: of what, by which seed, in words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    pub(crate) seed: u64,
    pub(crate) property: Property,
    pub(crate) what: String,
}

/// What came of a range.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) violations: Vec<Violation>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

/// Plays one seed with a rule off.
pub(crate) fn one(rule: Option<Rule>, seed: u64) -> Option<Violation> {
    switch_off(rule);
    let violation = play(seed, false).violation;
    switch_off(None);
    violation.map(|(property, what)| Violation { seed, property, what })
}

/// Plays every seed of a range, with all rules in force.
pub(crate) fn all(range: Range, progress: bool) -> Report {
    let report = Mutex::new(Report::default());
    let printed = Mutex::new(Instant::now());
    let began = Instant::now();
    each(range, |seed, played| {
        let outcome = play(seed, false);
        let mut report = report.lock().unwrap();
        if let Some((property, what)) = outcome.violation {
            eprintln!("seed {seed} violates {property:?}: {what}");
            report.violations.push(Violation { seed, property, what });
        }
        for (name, count) in outcome.counts {
            *report.counts.entry(name).or_default() += count;
        }
        let mut printed = printed.lock().unwrap();
        if progress && printed.elapsed() >= PRINT_INTERVAL {
            *printed = Instant::now();
            let (seconds, bad) = (began.elapsed().as_secs().max(1), report.violations.len());
            let left = (range.seeds - played) * seconds / played.max(1);
            let of = range.seeds;
            eprintln!("{played} of {of} seeds, {bad} violations, about {left} s to go");
        }
        true
    });
    let mut report = report.into_inner().unwrap();
    report.violations.sort();
    report
}

/// The first seed of a range that finds the rule missing, and does not fail with all rules in
/// force.
#[allow(dead_code, reason = "of the runner alone")]
pub(crate) fn first(rule: Rule, range: Range) -> Option<Violation> {
    let found: Mutex<Vec<Violation>> = Mutex::default();
    each(range, |seed, _| {
        if let Some(violation) = one(Some(rule), seed).filter(|_| one(None, seed).is_none()) {
            found.lock().unwrap().push(violation);
        }
        found.lock().unwrap().is_empty()
    });
    found.into_inner().unwrap().into_iter().min()
}

/// Hands out the seeds in order, until there are no more or `visit` says that it is enough.
fn each(range: Range, visit: impl Fn(u64, u64) -> bool + Sync) {
    let next = AtomicU64::new(0);
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..range.jobs.clamp(1, range.seeds.max(1)) {
            scope.spawn(|| {
                while !enough.load(Ordering::Relaxed) {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= range.seeds {
                        break;
                    }
                    if !visit(range.from + at, at + 1) {
                        enough.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
}
