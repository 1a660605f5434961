//! Seeds that find the mutants: each rule of the protocol switched off is noticed by one.
//!
//! A change of the code or of the simulation changes what a seed stands for. When a kept seed no longer finds its
//! mutant, `scripts/simulate --kept` names one that does; `scripts/simulate --mutants` prints the whole table of
//! docs/simulation.md anew.

use edge_isr::rule::Rule;

/// A rule, and a seed that finds it switched off.
pub(crate) const KEPT: &[(Rule, u64)] = &[];

/// Rules that no seed finds switched off, and need not (docs/simulation.md says why of each).
pub(crate) const SILENT: &[Rule] = &[];
