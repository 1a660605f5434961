//! Seeds that find the mutants: each rule of the protocol switched off is noticed by one.
//!
//! A change of the code or of the simulation changes what a seed stands for. When a kept seed no
//! longer finds its mutant, `scripts/simulate --kept` names one that does; `scripts/simulate
//! --mutants` prints the whole table of docs/simulation.md anew.

/// A rule, and a seed that finds it switched off.
pub(crate) const KEPT: &[(&str, u64)] = &[
    ("requester_time", 36),
    ("age_recheck", 222),
    ("since_check", 97),
    ("arrival_clock", 222),
    ("lost_stale", 44),
    ("lost_validate", 513),
    ("stamp_start", 8),
    ("follower_check", 170),
    ("settle_epoch", 2),
    ("no_304_restamp", 51),
    ("restamp_same", 715),
    ("proved_304", 237),
    ("floor_uncond", 172),
    ("floor_no_swr", 69),
    ("floor_sent", 69),
    ("partial_known", 19),
    ("paged_known", 218),
    ("overlay_since", 400),
    ("keep_both", 3),
    ("view_max", 1845),
    ("ready_recheck", 25),
    ("inherit_tags", 206),
    ("durable_visible", 2),
    ("receipts", 1),
    ("incarnation", 42),
    ("warm_cas", 1),
    ("warm_waits", 1),
    ("lease_need", 2),
    ("lease_gen", 1),
    ("lease_seen", 19),
    ("release_fence", 18),
    ("fence", 16),
    ("fetched_after", 15),
    ("epoch_cut", 10),
    ("swr_cap", 17),
    ("store_order", 96),
    ("sie_not_hard", 93),
    ("rec_fanout", 71),
    ("front_cache_seen", 11),
    ("front_cache_taken", 9),
    ("personal_id", 1_000_009),
    ("shell_audience", 1_000_001),
    ("shell_lost", 1_000_006),
    ("minted_new", 1_000_001),
];

/// Rules that no seed finds switched off, and need not (docs/simulation.md says why of each).
pub(crate) const SILENT: &[&str] = &["skew_margin", "cap_304", "same_step", "page_cursor"];
