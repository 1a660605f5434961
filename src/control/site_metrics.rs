//! The figures of the whole site as OpenMetrics text (version 1.0.0).
//!
//! They are what isolates have reported to the journal: counters that never go back, whichever
//! isolate answers. Names come from reports, of later versions too: what is no name of a metric is
//! left out, and values are escaped.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::base::time::Millis;
use crate::journal::report::{Counts, OriginSum, RequestKind, Sum};

use super::metrics::{escape, families};

/// The content type of a scrape.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is shown beside what isolates have counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SiteFacts {
    /// The version that answers.
    pub version: String,
    /// Isolates that reported in the last two minutes.
    pub isolates: u64,
    /// The newest epoch.
    pub epoch: u64,
    /// Front caches that take nothing.
    pub front_caches_failing: u64,
    /// Invalidations that front caches have still to take.
    pub front_cache_waiting: u64,
    /// Shards that have pages of others.
    pub shards_moving: u64,
}

/// The text of a scrape.
#[must_use]
pub fn render(all: &Counts, facts: &SiteFacts) -> String {
    let mut text = String::with_capacity(8192);
    // Writing to a String can't fail; the same holds below.
    let _ =
        writeln!(text, "# TYPE edge_isr info\n# HELP edge_isr Facts about the site, as labels.");
    let _ = writeln!(text, "edge_isr_info{{version=\"{}\"}} 1", escape(&facts.version));
    counters(&mut text, all);
    routes(&mut text, &all.kinds);
    colos(&mut text, &all.colos);
    origin(&mut text, &all.origin);
    let gauges = [
        ("edge_isr_isolates", "Isolates that reported in the last two minutes.", facts.isolates),
        ("edge_isr_journal_epoch", "Newest epoch of the journal.", facts.epoch),
        (
            "edge_isr_front_caches_failing",
            "Front caches that take nothing.",
            facts.front_caches_failing,
        ),
        (
            "edge_isr_front_cache_waiting",
            "Invalidations that front caches have still to take.",
            facts.front_cache_waiting,
        ),
        ("edge_isr_shards_moving", "Shards that have pages of others.", facts.shards_moving),
    ];
    for (name, help, value) in gauges {
        let _ = writeln!(text, "# TYPE {name} gauge\n# HELP {name} {help}\n{name} {value}");
    }
    text.push_str("# EOF\n");
    text
}

/// The isolates' counters, family by family: known ones first and whole, then those of others.
fn counters(text: &mut String, all: &Counts) {
    let mut by_family: BTreeMap<&str, Vec<(&str, &str, u64)>> = BTreeMap::new();
    for (name, count) in &all.counters {
        let mut parts = name.splitn(3, '|');
        let (Some(family), Some(label), Some(value)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        if is_counter(family) && is_name(label) {
            by_family.entry(family).or_default().push((label, value, *count));
        }
    }
    let known = families();
    for (family, help) in &known {
        head(text, family, help);
        samples(text, family, &by_family.remove(*family).unwrap_or_default());
    }
    for (family, rows) in by_family {
        head(text, family, "Of another version.");
        samples(text, family, &rows);
    }
}

fn samples(text: &mut String, family: &str, rows: &[(&str, &str, u64)]) {
    for (label, value, count) in rows {
        let _ = writeln!(text, "{family}{{{label}=\"{}\"}} {count}", escape(value));
    }
}

fn routes(text: &mut String, kinds: &BTreeMap<RequestKind, Sum>) {
    let family = "edge_isr_route_requests_total";
    head(text, family, "Visitors' requests by rule, result and reason.");
    for (RequestKind { route, result, reason }, sum) in kinds {
        let (route, result, reason) = (escape(route), escape(result), escape(reason));
        let labels = format!("route=\"{route}\",result=\"{result}\",reason=\"{reason}\"");
        let _ = writeln!(text, "{family}{{{labels}}} {}", sum.requests);
    }
}

fn colos(text: &mut String, colos: &BTreeMap<String, Sum>) {
    let family = "edge_isr_colo_requests_total";
    head(text, family, "Visitors' requests by colo.");
    for (colo, sum) in colos {
        let _ = writeln!(text, "{family}{{colo=\"{}\"}} {}", escape(colo), sum.requests);
    }
}

/// How long the origin took: a summary has a count and a sum, and need not have quantiles.
fn origin(text: &mut String, routes: &BTreeMap<String, OriginSum>) {
    let family = "edge_isr_origin_request_duration_seconds";
    let help = "Requests to the origin, and how long they took to the head of the answer, by rule.";
    let _ = writeln!(text, "# TYPE {family} summary\n# UNIT {family} seconds");
    let _ = writeln!(text, "# HELP {family} {help}");
    for (route, OriginSum { requests, millis }) in routes {
        let (route, seconds) = (escape(route), Millis(*millis).decimal_seconds());
        let _ = writeln!(text, "{family}_count{{route=\"{route}\"}} {requests}");
        let _ = writeln!(text, "{family}_sum{{route=\"{route}\"}} {seconds}");
    }
}

/// OpenMetrics names a family of counters without the end of its samples' names.
fn head(text: &mut String, family: &str, help: &str) {
    let name = family.strip_suffix("_total").unwrap_or(family);
    let _ = writeln!(text, "# TYPE {name} counter\n# HELP {name} {help}");
}

fn is_counter(name: &str) -> bool {
    is_name(name) && name.starts_with("edge_isr_") && name.ends_with("_total")
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        && !name.starts_with('_')
}
