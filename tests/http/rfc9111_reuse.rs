//! Reusing stored responses (RFC 9111 §4, RFC 5861), under each validity that the journal gives.

use crate::http_support::{NOW, after, entry, fields};
use edge_isr::base::time::{Epoch, Millis, Seconds};
use edge_isr::cache::Validity;
use edge_isr::cache::entry::ReuseCondition::{self, *};
use edge_isr::cache::reuse::{Reuse, StaleWhy, ValidateWhy, reuse};
use edge_isr::config::Route;
use edge_isr::http::cache_control::RequestDirectives;
use edge_isr::http::cache_status::Forward;

const FRESH: fn(i64) -> Reuse = |ttl| Reuse::Fresh { ttl };
const STALE: fn(i64, StaleWhy) -> Reuse = |ttl, why| Reuse::Stale { ttl, why };
/// Why, conditional, on_error.
const ASK: fn(ValidateWhy, bool, bool) -> Reuse =
    |why, conditional, on_error| Reuse::Validate { why, conditional, on_error };

/// Invalidated softly, that many seconds after it was fetched.
fn soft(at: u64) -> Validity {
    Validity::Soft { epoch: Epoch(9), at: after(at) }
}

const HARD: Validity = Validity::Hard { epoch: Epoch(9) };
const SOFTLY_DROPPED: Validity = Validity::SoftUnprovable { epoch: Epoch(9) };
const DROPPED: Validity = Validity::Unprovable { epoch: Epoch(9) };

struct Row {
    id: &'static str,
    section: &'static str,
    /// lifetime, stale-while-revalidate, stale-if-error
    freshness: (u64, u64, u64),
    reuse_condition: ReuseCondition,
    validity: Validity,
    /// The request's Cache-Control.
    asks: &'static str,
    age: u64,
    want: Reuse,
}

#[allow(clippy::too_many_arguments, reason = "the columns of a table")]
fn row(
    id: &'static str,
    section: &'static str,
    freshness: (u64, u64, u64),
    reuse_condition: ReuseCondition,
    validity: Validity,
    asks: &'static str,
    age: u64,
    want: Reuse,
) -> Row {
    Row { id, section, freshness, reuse_condition, validity, asks, age, want }
}

#[rustfmt::skip]
fn rows() -> Vec<Row> {
    use StaleWhy::{Invalidated, MaxStale, WhileRevalidate};
    use Validity::{JournalLost, Current, JournalLostTooLong};
    use ValidateWhy::{Unprovable, Expired, HardInvalidated, NoCache, Request, SoftInvalidated};
    vec![
        // Current: RFC 9111 alone.
        row("fresh", "§4.2", (60, 0, 0), Nothing, Current, "", 0, FRESH(60)),
        row("fresh-last-second", "§4.2", (60, 0, 0), Nothing, Current, "", 59, FRESH(1)),
        row("not-fresh-at-lifetime", "§4.2", (60, 0, 0), Nothing, Current, "", 60, ASK(Expired, true, false)),
        row("must-revalidate-fresh", "§5.2.2.2", (60, 0, 0), WhenStale, Current, "", 59, FRESH(1)),
        row("must-revalidate-stale", "§5.2.2.2", (60, 30, 30), WhenStale, Current, "", 60, ASK(Expired, true, false)),
        row("no-cache", "§5.2.2.4", (60, 30, 30), Always, Current, "", 1, ASK(NoCache, true, false)),
        row("swr", "5861 §3", (60, 30, 0), Nothing, Current, "", 60, STALE(0, WhileRevalidate)),
        row("swr-last-second", "5861 §3", (60, 30, 0), Nothing, Current, "", 89, STALE(-29, WhileRevalidate)),
        row("swr-over", "5861 §3", (60, 30, 0), Nothing, Current, "", 90, ASK(Expired, true, false)),
        row("sie", "5861 §4", (60, 0, 30), Nothing, Current, "", 89, ASK(Expired, true, true)),
        row("sie-over", "5861 §4", (60, 0, 30), Nothing, Current, "", 90, ASK(Expired, true, false)),
        row("swr-then-sie", "5861 §4", (60, 10, 30), Nothing, Current, "", 75, ASK(Expired, true, true)),
        // Current: what the request says.
        row("req-max-age", "§5.2.1.1", (60, 0, 0), Nothing, Current, "max-age=10", 10, FRESH(50)),
        row("req-max-age-over", "§5.2.1.1", (60, 0, 0), Nothing, Current, "max-age=10", 11, ASK(Request, true, false)),
        row("req-max-age-0", "§5.2.1.1", (60, 0, 0), Nothing, Current, "max-age=0", 1, ASK(Request, true, false)),
        row("req-max-age-bad", "fails closed", (60, 0, 0), Nothing, Current, "max-age=x", 1, ASK(Request, true, false)),
        row("req-max-age-swr", "§5.2.1.1", (60, 30, 0), Nothing, Current, "max-age=10", 70, ASK(Expired, true, false)),
        row("req-min-fresh", "§5.2.1.3", (60, 0, 0), Nothing, Current, "min-fresh=50", 10, FRESH(50)),
        row("req-min-fresh-over", "§5.2.1.3", (60, 0, 0), Nothing, Current, "min-fresh=50", 11, ASK(Request, true, false)),
        row("req-min-fresh-swr", "§5.2.1.3", (60, 30, 0), Nothing, Current, "min-fresh=1", 61, ASK(Expired, true, false)),
        row("req-max-stale", "§5.2.1.2", (60, 0, 0), Nothing, Current, "max-stale=10", 69, STALE(-9, MaxStale)),
        row("req-max-stale-over", "§5.2.1.2", (60, 0, 0), Nothing, Current, "max-stale=10", 70, ASK(Expired, true, false)),
        row("req-max-stale-any", "§5.2.1.2", (60, 0, 0), Nothing, Current, "max-stale", 9999, STALE(-9939, MaxStale)),
        row("req-max-stale-bad", "fails closed", (60, 0, 0), Nothing, Current, "max-stale=x", 61, ASK(Expired, true, false)),
        row("req-max-stale-forbidden", "§5.2.2.2", (60, 0, 0), WhenStale, Current, "max-stale", 61, ASK(Expired, true, false)),
        row("req-no-cache", "§5.2.1.4", (60, 0, 0), Nothing, Current, "no-cache", 1, ASK(Request, true, false)),
        row("req-no-cache-sie", "5861 §4", (60, 0, 30), Nothing, Current, "no-cache", 1, ASK(Request, true, true)),
        row("req-no-store", "§5.2.1.5", (60, 0, 0), Nothing, Current, "no-store", 1, ASK(Request, false, false)),
        row("req-only-if-cached", "§5.2.1.7", (60, 0, 0), Nothing, Current, "only-if-cached", 1, FRESH(59)),
        row("req-only-if-cached-stale", "§5.2.1.7", (60, 30, 0), Nothing, Current, "only-if-cached", 61, STALE(-1, WhileRevalidate)),
        row("req-only-if-cached-over", "§5.2.1.7", (60, 0, 0), Nothing, Current, "only-if-cached", 61, Reuse::Unsatisfiable),
        row("req-only-if-cached-no-cache", "§5.2.1.7", (60, 0, 0), Nothing, Current, "only-if-cached, no-cache", 1, Reuse::Unsatisfiable),
        // Blind: never fresh.
        row("blind", "contract", (60, 0, 0), Nothing, JournalLost, "", 10, STALE(0, StaleWhy::JournalLost)),
        row("blind-must-revalidate", "contract", (60, 0, 0), WhenStale, JournalLost, "", 10, STALE(0, StaleWhy::JournalLost)),
        row("blind-must-revalidate-stale", "§5.2.2.2", (60, 30, 0), WhenStale, JournalLost, "", 61, ASK(ValidateWhy::JournalLost, true, false)),
        row("blind-swr", "contract", (60, 30, 0), Nothing, JournalLost, "", 61, STALE(-1, StaleWhy::JournalLost)),
        row("blind-over", "contract", (60, 30, 0), Nothing, JournalLost, "", 90, ASK(ValidateWhy::JournalLost, true, false)),
        row("blind-sie", "5861 §4", (60, 0, 30), Nothing, JournalLost, "", 61, ASK(ValidateWhy::JournalLost, true, true)),
        row("blind-no-cache", "§5.2.2.4", (60, 30, 0), Always, JournalLost, "", 1, ASK(ValidateWhy::JournalLost, true, false)),
        row("blind-req-no-cache", "§5.2.1.4", (60, 0, 0), Nothing, JournalLost, "no-cache", 1, ASK(ValidateWhy::JournalLost, true, false)),
        // Dark: validate, and nothing stale.
        row("dark", "contract", (60, 0, 0), Nothing, JournalLostTooLong, "", 1, ASK(ValidateWhy::JournalLostTooLong, true, false)),
        row("dark-windows", "contract", (60, 30, 30), Nothing, JournalLostTooLong, "", 1, ASK(ValidateWhy::JournalLostTooLong, true, false)),
        row("dark-only-if-cached", "§5.2.1.7", (60, 0, 0), Nothing, JournalLostTooLong, "only-if-cached", 1, Reuse::Unsatisfiable),
        // Soft: both windows must hold.
        row("soft", "contract", (60, 30, 0), Nothing, soft(5), "", 10, STALE(0, Invalidated)),
        row("soft-at-window-end", "contract", (60, 30, 0), Nothing, soft(5), "", 35, STALE(0, Invalidated)),
        row("soft-window-over", "contract", (60, 30, 0), Nothing, soft(5), "", 36, ASK(SoftInvalidated, false, false)),
        row("soft-lifetime-over", "contract", (60, 30, 0), Nothing, soft(80), "", 89, STALE(-29, Invalidated)),
        row("soft-both-over", "contract", (60, 30, 0), Nothing, soft(80), "", 90, ASK(SoftInvalidated, false, false)),
        row("soft-no-window", "contract", (60, 0, 0), Nothing, soft(5), "", 5, ASK(SoftInvalidated, false, false)),
        row("soft-sie", "5861 §4", (60, 0, 30), Nothing, soft(5), "", 10, ASK(SoftInvalidated, false, true)),
        row("soft-sie-over", "5861 §4", (60, 0, 30), Nothing, soft(5), "", 36, ASK(SoftInvalidated, false, false)),
        row("soft-must-revalidate", "§5.2.2.2", (60, 30, 30), WhenStale, soft(5), "", 10, ASK(SoftInvalidated, false, false)),
        row("soft-req-no-cache", "§5.2.1.4", (60, 30, 0), Nothing, soft(5), "no-cache", 10, ASK(SoftInvalidated, false, false)),
        row("soft-req-max-age", "§5.2.1.1", (60, 30, 0), Nothing, soft(5), "max-age=9", 10, ASK(SoftInvalidated, false, false)),
        row("soft-only-if-cached", "§5.2.1.7", (60, 0, 0), Nothing, soft(5), "only-if-cached", 10, Reuse::Unsatisfiable),
        // Softly dropped: as soft, invalidated when it was fetched.
        row("dropped-softly", "contract", (60, 30, 0), Nothing, SOFTLY_DROPPED, "", 30, STALE(0, Invalidated)),
        row("dropped-softly-over", "contract", (60, 30, 0), Nothing, SOFTLY_DROPPED, "", 31, ASK(SoftInvalidated, false, false)),
        row("dropped-softly-sie", "5861 §4", (60, 0, 30), Nothing, SOFTLY_DROPPED, "", 30, ASK(SoftInvalidated, false, true)),
        row("dropped-softly-sie-over", "5861 §4", (60, 0, 30), Nothing, SOFTLY_DROPPED, "", 31, ASK(SoftInvalidated, false, false)),
        // Hard and dropped: never again.
        row("hard", "contract", (60, 30, 30), Nothing, HARD, "", 1, ASK(HardInvalidated, false, false)),
        row("hard-max-stale", "contract", (60, 30, 30), Nothing, HARD, "max-stale", 1, ASK(HardInvalidated, false, false)),
        row("hard-only-if-cached", "§5.2.1.7", (60, 30, 30), Nothing, HARD, "only-if-cached", 1, Reuse::Unsatisfiable),
        row("dropped", "contract", (60, 30, 30), Nothing, DROPPED, "", 1, ASK(Unprovable, false, false)),
    ]
}

#[test]
fn table() {
    let mut failures = Vec::new();
    for Row { id, section, freshness, reuse_condition, validity, asks, age, want } in rows() {
        let entry = entry("ETag: \"1\"", freshness, reuse_condition);
        let directives = RequestDirectives::of(&fields(&match asks {
            "" => String::new(),
            asks => format!("Cache-Control: {asks}"),
        }));
        let got = reuse(&entry, validity, &directives, &Route::default(), after(age));
        if got != want {
            failures.push(format!("{id} ({section}): got {got:?}, want {want:?}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn only_a_route_that_trusts_validators_uses_those_of_an_invalidated_response() {
    let route = Route { trust_validators: true, ..Route::default() };
    let entry = entry("ETag: \"1\"", (60, 0, 0), Nothing);
    let conditional =
        |validity| match reuse(&entry, validity, &RequestDirectives::default(), &route, after(1)) {
            Reuse::Validate { conditional, .. } => conditional,
            other => panic!("{other:?}"),
        };
    assert!(conditional(soft(0)));
    assert!(conditional(HARD));
    assert!(!conditional(DROPPED));
}

#[test]
fn milliseconds_count() {
    let entry = entry("", (60, 0, 0), Nothing);
    let at = |millis| {
        let now = NOW.plus(Millis(millis));
        reuse(&entry, Validity::Current, &RequestDirectives::default(), &Route::default(), now)
    };
    assert_eq!(at(59_999), Reuse::Fresh { ttl: 1 });
    assert!(matches!(at(60_000), Reuse::Validate { .. }));
}

#[test]
fn an_age_on_arrival_counts() {
    let mut entry = entry("", (60, 0, 0), Nothing);
    entry.initial_age = Seconds(50);
    let directives = RequestDirectives::default();
    let at = |age| reuse(&entry, Validity::Current, &directives, &Route::default(), after(age));
    assert_eq!(at(9), Reuse::Fresh { ttl: 1 });
    assert!(matches!(at(10), Reuse::Validate { .. }));
}

#[test]
fn a_clock_that_goes_back_makes_nothing_younger_than_it_came() {
    let entry = entry("", (60, 0, 0), Nothing);
    let before = NOW.minus(Millis(5_000));
    let directives = RequestDirectives::default();
    let got = reuse(&entry, Validity::Current, &directives, &Route::default(), before);
    assert_eq!(got, Reuse::Fresh { ttl: 60 });
}

#[test]
fn reasons_have_names_in_the_terms_of_rfc_9211() {
    assert_eq!(ValidateWhy::Request.forward(), Forward::Request);
    assert_eq!(ValidateWhy::Expired.forward(), Forward::Stale);
    assert_eq!(StaleWhy::Invalidated.as_str(), "invalidated");
}

/// The words that Cache-Status, logs and metrics have for them (docs/operations.md).
#[test]
fn reasons_have_names() {
    let stale = [
        (StaleWhy::WhileRevalidate, "stale-while-revalidate"),
        (StaleWhy::Invalidated, "invalidated"),
        (StaleWhy::JournalLost, "journal-unreachable"),
        (StaleWhy::MaxStale, "max-stale"),
    ];
    for (why, name) in stale {
        assert_eq!(why.as_str(), name, "{why:?}");
    }
    let validate = [
        (ValidateWhy::Expired, "expired"),
        (ValidateWhy::NoCache, "no-cache"),
        (ValidateWhy::Request, "request-directive"),
        (ValidateWhy::SoftInvalidated, "invalidated"),
        (ValidateWhy::HardInvalidated, "invalidated-hard"),
        (ValidateWhy::Unprovable, "unprovable"),
        (ValidateWhy::JournalLost, "journal-unreachable"),
        (ValidateWhy::JournalLostTooLong, "journal-unreachable"),
    ];
    for (why, name) in validate {
        assert_eq!(why.as_str(), name, "{why:?}");
    }
}
