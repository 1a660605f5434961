//! Seeds that find the mutants: each rule of the protocol switched off is noticed by one.
//!
//! A change of the code or of the simulation changes what a seed stands for. When a kept seed no
//! longer finds its mutant, `scripts/simulate --kept` names one that does; `scripts/simulate
//! --mutants` prints the whole table of docs/simulation.md anew.

/// A rule, and a seed that finds it switched off.
pub(crate) const KEPT: &[(&str, u64)] = &[
    ("requester_time", 33),
    ("age_recheck", 384),
    ("since_check", 97),
    ("arrival_clock", 427),
    ("lost_stale", 44),
    ("lost_validate", 103),
    ("stamp_start", 26),
    ("follower_check", 181),
    ("second_epoch", 2),
    ("no_304_restamp", 51),
    ("restamp_same", 1180),
    ("proved_304", 563),
    ("floor_uncond", 83),
    ("floor_no_swr", 69),
    ("floor_sent", 69),
    ("partial_known", 72),
    ("paged_known", 118),
    ("overlay_since", 108),
    ("keep_both", 3),
    ("view_max", 504),
    ("ready_recheck", 1),
    ("inherit_tags", 50),
    ("durable_visible", 2),
    ("receipts", 1),
    ("incarnation", 42),
    ("warm_cas", 1),
    ("warm_waits", 1),
    ("lease_need", 2),
    ("lease_gen", 1),
    ("lease_seen", 35),
    ("release_fence", 2),
    ("fence", 2),
    ("fetched_after", 2),
    ("epoch_cut", 10),
    ("swr_cap", 17),
    ("store_order", 19),
    ("sie_not_hard", 17),
    ("rec_fanout", 33),
    ("front_cache_seen", 11),
    ("front_cache_taken", 12),
    ("personal_id", 1_000_009),
    ("shell_audience", 1_000_001),
    ("shell_lost", 1_000_029),
    ("minted_new", 1_000_001),
];

/// Rules that no seed finds switched off, and need not (docs/simulation.md says why of each).
pub(crate) const SILENT: &[&str] = &["skew_margin", "cap_304", "same_step", "page_cursor"];
