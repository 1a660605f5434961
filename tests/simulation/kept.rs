//! Seeds that find the mutants: each rule of the protocol switched off is noticed by one.
//!
//! A change of the code or of the simulation changes what a seed stands for. When a kept seed no
//! longer finds its mutant, `scripts/simulate --kept` names one that does; `scripts/simulate
//! --mutants` prints the whole table of docs/simulation.md anew.

/// A rule, and a seed that finds it switched off.
pub(crate) const KEPT: &[(&str, u64)] = &[
    ("asker_time", 205),
    ("age_recheck", 222),
    ("since_check", 19),
    ("arrival_clock", 263),
    ("blind_stale", 77),
    ("blind_validate", 260),
    ("stamp_start", 1),
    ("follower_check", 68),
    ("settle_epoch", 2),
    ("no_304_restamp", 35),
    ("restamp_same", 1960),
    ("proved_304", 155),
    ("floor_uncond", 83),
    ("floor_no_swr", 69),
    ("floor_sent", 69),
    ("partial_known", 67),
    ("paged_known", 82),
    ("overlay_since", 97),
    ("keep_both", 3),
    ("view_max", 321),
    ("ready_recheck", 19),
    ("inherit_tags", 206),
    ("durable_visible", 2),
    ("receipts", 1),
    ("incarnation", 42),
    ("warm_cas", 1),
    ("warm_waits", 1),
    ("lease_need", 1),
    ("lease_gen", 0),
    ("lease_seen", 1),
    ("release_fence", 5),
    ("fence", 1),
    ("dark_fence", 10),
    ("epoch_cut", 10),
    ("swr_cap", 2),
    ("store_order", 77),
    ("sie_not_hard", 82),
    ("rec_fanout", 7),
    ("front_cache_seen", 11),
    ("front_cache_taken", 9),
];

/// Rules that no seed finds switched off, and need not (docs/simulation.md says why of each).
pub(crate) const SILENT: &[&str] = &["skew_margin", "cap_304", "same_step", "page_cursor"];
