//! What isolates have counted, on its way to the journal and in it.
//!
//! A report rides on a sync that its isolate sends anyway. It has the isolate's name and a number:
//! the journal counts each number of an isolate once, however often it comes. Names are texts, so
//! that a version understands what a later one counts; how many there are is bounded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::time::{Millis, Timestamp};

/// The most rows of counts that are kept apart; what is beyond counts under [`OTHERS`].
pub const MAX_ROWS: usize = 500;
/// The most colos and counters that are kept apart.
pub const MAX_NAMES: usize = 500;
/// The longest name that is kept.
pub const MAX_NAME_BYTES: usize = 200;
/// The name of what is not kept apart.
pub const OTHERS: &str = "(others)";

/// What an isolate has counted since its last report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// A name that no other isolate has.
    pub isolate: String,
    /// The number of the report, from 1.
    pub number: u64,
    /// Where the isolate is.
    #[serde(default)]
    pub colo: String,
    /// What it has counted.
    #[serde(default)]
    pub counts: Counts,
}

/// What is counted of a kind of request: by the rule that it came under, by result and reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestKind {
    /// The path of the route's rule; `/*` for the defaults, empty where there was none.
    #[serde(default)]
    pub route: String,
    /// As in `edge_isr_requests_total`.
    #[serde(default)]
    pub result: String,
    /// As in the `detail` of Cache-Status.
    #[serde(default)]
    pub reason: String,
}

/// How much of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// Requests.
    #[serde(default)]
    pub requests: u64,
    /// Bytes of bodies that were answered from what is stored.
    #[serde(default)]
    pub bytes: u64,
}

impl Sum {
    /// Adds another.
    pub const fn add(&mut self, other: Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// What is counted of requests to the origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginSum {
    /// Requests, whoever made them, with those that failed.
    #[serde(default)]
    pub requests: u64,
    /// How long they took in all, in milliseconds: until the head of the answer was there, or none
    /// would come.
    #[serde(default)]
    pub millis: u64,
}

impl OriginSum {
    /// Adds another.
    pub const fn add(&mut self, other: Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.millis = self.millis.saturating_add(other.millis);
    }
}

/// Counts that can be added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "CountsJson", into = "CountsJson")]
pub struct Counts {
    /// Requests by kind.
    pub kinds: BTreeMap<RequestKind, Sum>,
    /// Requests by colo.
    pub colos: BTreeMap<String, Sum>,
    /// The isolates' counters: `family|label|value`.
    pub counters: BTreeMap<String, u64>,
    /// Requests to the origin, by the path of the route's rule.
    pub origin: BTreeMap<String, OriginSum>,
}

#[derive(Serialize, Deserialize)]
struct CountsJson {
    #[serde(default)]
    kinds: Vec<(RequestKind, Sum)>,
    #[serde(default)]
    colos: BTreeMap<String, Sum>,
    #[serde(default)]
    counters: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    origin: BTreeMap<String, OriginSum>,
}

impl From<CountsJson> for Counts {
    fn from(json: CountsJson) -> Self {
        let mut counts = Self::default();
        for (kind, sum) in json.kinds {
            counts.count(kind, sum);
        }
        for (colo, sum) in json.colos {
            counts.count_colo(colo, sum);
        }
        for (name, by) in json.counters {
            counts.count_counter(name, by);
        }
        for (route, sum) in json.origin {
            counts.count_origin(route, sum);
        }
        counts
    }
}

impl From<Counts> for CountsJson {
    fn from(counts: Counts) -> Self {
        let Counts { kinds, colos, counters, origin } = counts;
        Self { kinds: kinds.into_iter().collect(), colos, counters, origin }
    }
}

impl Counts {
    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
            && self.colos.is_empty()
            && self.counters.is_empty()
            && self.origin.is_empty()
    }

    /// Counts requests of a kind.
    pub fn count(&mut self, mut kind: RequestKind, sum: Sum) {
        for name in [&mut kind.route, &mut kind.result, &mut kind.reason] {
            shorten(name);
        }
        if self.kinds.len() >= MAX_ROWS && !self.kinds.contains_key(&kind) {
            // Results stay apart: they are few, and what all adds up by.
            kind = RequestKind { route: OTHERS.to_owned(), reason: OTHERS.to_owned(), ..kind };
            if self.kinds.len() >= 2 * MAX_ROWS && !self.kinds.contains_key(&kind) {
                kind.result = OTHERS.to_owned();
            }
        }
        self.kinds.entry(kind).or_default().add(sum);
    }

    /// Counts requests of a colo.
    pub fn count_colo(&mut self, colo: String, sum: Sum) {
        let colo = bounded(&self.colos, colo);
        self.colos.entry(colo).or_default().add(sum);
    }

    /// Raises a counter.
    pub fn count_counter(&mut self, name: String, by: u64) {
        let name = bounded(&self.counters, name);
        let counter = self.counters.entry(name).or_default();
        *counter = counter.saturating_add(by);
    }

    /// Counts requests to the origin.
    pub fn count_origin(&mut self, route: String, sum: OriginSum) {
        let route = bounded(&self.origin, route);
        self.origin.entry(route).or_default().add(sum);
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        for (kind, sum) in &other.kinds {
            self.count(kind.clone(), *sum);
        }
        for (colo, sum) in &other.colos {
            self.count_colo(colo.clone(), *sum);
        }
        for (name, by) in &other.counters {
            self.count_counter(name.clone(), *by);
        }
        for (route, sum) in &other.origin {
            self.count_origin(route.clone(), *sum);
        }
    }

    /// All requests.
    #[must_use]
    pub fn sum(&self) -> Sum {
        let mut all = Sum::default();
        self.kinds.values().for_each(|sum| all.add(*sum));
        all
    }
}

/// Asks what was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatsRequest {
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
    /// By what.
    #[serde(default)]
    pub by: By,
    /// Whether what was ever counted is wanted too.
    #[serde(default)]
    pub all: bool,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatsReply {
    /// What a point adds up.
    pub step: Millis,
    /// The points, oldest first; none where nothing was counted.
    #[serde(default)]
    pub points: Vec<Point>,
    /// Their sums.
    #[serde(default)]
    pub totals: BTreeMap<String, Sum>,
    /// The isolates' counters in this time.
    #[serde(default)]
    pub counters: BTreeMap<String, u64>,
    /// Requests to the origin in this time, by the path of the route's rule.
    #[serde(default)]
    pub origin: BTreeMap<String, OriginSum>,
    /// What was ever counted.
    #[serde(default)]
    pub all: Option<Counts>,
    /// Isolates that reported in the last two minutes.
    #[serde(default)]
    pub isolates: u64,
}

/// What was counted in one span.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// When it began.
    pub at: Timestamp,
    /// The sums.
    #[serde(default)]
    pub sums: BTreeMap<String, Sum>,
}

/// What counts can be grouped by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The rule.
    Route,
    /// The result.
    #[default]
    Result,
    /// The reason.
    Reason,
    /// The colo.
    Colo,
    /// Rule, result and reason, `route|result|reason`: totals, without points.
    Kind,
}

impl Counts {
    /// The sums by one of the names.
    #[must_use]
    pub fn by(&self, by: By) -> BTreeMap<String, Sum> {
        let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
        for (kind, sum) in &self.kinds {
            let RequestKind { route, result, reason } = kind;
            let name = match by {
                By::Route => route.clone(),
                By::Result => result.clone(),
                By::Reason => reason.clone(),
                By::Colo => return self.colos.clone(),
                By::Kind => format!("{route}|{result}|{reason}"),
            };
            sums.entry(name).or_default().add(*sum);
        }
        sums
    }
}

/// The name under which something counts.
fn bounded<T>(map: &BTreeMap<String, T>, mut name: String) -> String {
    shorten(&mut name);
    let full = map.len() >= MAX_NAMES && !map.contains_key(&name);
    if full { OTHERS.to_owned() } else { name }
}

fn shorten(name: &mut String) {
    if name.len() > MAX_NAME_BYTES {
        let end = (0..=MAX_NAME_BYTES).rev().find(|end| name.is_char_boundary(*end));
        name.truncate(end.unwrap_or_default());
    }
}
