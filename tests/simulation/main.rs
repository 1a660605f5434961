//! The simulation: the real engine, view, journal, index, lease and warm code in a world of virtual
//! time, under a seeded scheduler, with everything that can go wrong going wrong
//! (docs/simulation.md).
//!
//! One seed is one history: the same seed is the same history. A few are played here;
//! `scripts/simulate` plays many, one with its trace, and the mutants.

#![allow(clippy::disallowed_methods, reason = "how long a run takes is printed")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]
#![allow(clippy::cast_possible_wrap, clippy::cast_sign_loss, reason = "virtual milliseconds")]

#[path = "../common/mod.rs"]
mod common;
mod composed;
mod front_caches;
mod node;
mod origin;
mod plan;
mod play;
mod rules;
mod run;
mod sched;
mod spy;
mod switch;
mod watch;
mod webhook;
mod world;

use run::Range;

/// Seeds of a plain `cargo test`.
const FEW: u64 = 24;

#[test]
fn the_first_seeds_violate_nothing() {
    let report = run::all(Range { from: 0, seeds: FEW, jobs: 1 }, false);
    assert_eq!(report.violations, []);
    for what in [
        "answers",
        "journal",
        "shard",
        "origin",
        "304",
        "l2_get",
        "l2_put",
        "restarts",
        "delivered",
    ] {
        assert!(report.counts.contains_key(what), "nothing of {what} in {:?}", report.counts);
    }
}

/// Seeds with composed pages, some of them wider.
#[test]
fn composed_pages_violate_nothing() {
    let report = run::all(Range { from: 1_000_000, seeds: 4 * FEW, jobs: 1 }, false);
    assert_eq!(report.violations, []);
    for what in ["parts", "shared", "composed", "changed shells"] {
        assert!(report.counts.contains_key(what), "nothing of {what} in {:?}", report.counts);
    }
}

#[test]
fn a_seed_is_one_history() {
    assert_eq!(play::play(1, true).trace, play::play(1, true).trace);
}
