//! Seeds that find the mutants: each rule of the protocol switched off is noticed by one.
//!
//! A change of the code or of the simulation changes what a seed stands for. When a kept seed no longer finds its
//! mutant, `scripts/simulate --kept` names one that does; `scripts/simulate --mutants` prints the whole table of
//! docs/simulation.md anew.

use edge_isr::base::rule::Rule;

/// A rule, and a seed that finds it switched off.
pub(crate) const KEPT: &[(Rule, u64)] = &[
    (Rule::AskerTime, 100),
    (Rule::AgeRecheck, 22),
    (Rule::SinceCheck, 3),
    (Rule::ArrivalClock, 3),
    (Rule::BlindStale, 118),
    (Rule::BlindValidate, 85),
    (Rule::StampStart, 1),
    (Rule::FollowerCheck, 190),
    (Rule::SettleEpoch, 2),
    (Rule::No304Restamp, 1),
    (Rule::RestampSame, 2119),
    (Rule::Proved304, 264),
    (Rule::FloorUncond, 237),
    (Rule::FloorNoSwr, 69),
    (Rule::FloorSent, 69),
    (Rule::PartialKnown, 88),
    (Rule::PagedKnown, 72),
    (Rule::OverlaySince, 247),
    (Rule::KeepBoth, 3),
    (Rule::ViewMax, 741),
    (Rule::ReadyRecheck, 19),
    (Rule::InheritTags, 247),
    (Rule::DurableVisible, 2),
    (Rule::Receipts, 1),
    (Rule::Incarnation, 42),
    (Rule::WarmCas, 1),
    (Rule::WarmWaits, 1),
    (Rule::LeaseNeed, 1),
    (Rule::LeaseGen, 0),
    (Rule::LeaseSeen, 2),
    (Rule::ReleaseFence, 2),
    (Rule::Fence, 1),
    (Rule::DarkFence, 1),
    (Rule::EpochCut, 10),
    (Rule::SwrCap, 2),
    (Rule::StoreOrder, 19),
    (Rule::SieNotHard, 19),
    (Rule::RecFanout, 32),
    (Rule::FrontCacheSeen, 11),
    (Rule::FrontCacheTaken, 9),
];

/// Rules that no seed finds switched off, and need not (docs/simulation.md says why of each).
pub(crate) const SILENT: &[Rule] =
    &[Rule::SkewMargin, Rule::Cap304, Rule::SameStep, Rule::PageCursor];
