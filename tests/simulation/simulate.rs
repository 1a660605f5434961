//! Plays many seeds, one with its trace, or the mutants: what `scripts/simulate` runs
//! (docs/simulation.md).

#![allow(clippy::disallowed_methods, reason = "how long a run takes is printed")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]
#![allow(clippy::cast_possible_wrap, clippy::cast_sign_loss, reason = "virtual milliseconds")]

#[path = "../common/mod.rs"]
mod common;
mod composed;
mod front_caches;
mod kept;
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

use std::process::ExitCode;
use std::time::Instant;

use kept::{KEPT, SILENT};
use rules::Rule;
use run::Range;

/// Seeds that are tried for a mutant whose kept seed no longer finds it.
const SEARCH: u64 = 4_000;

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Seeds,
    Trace(u64),
    Mutants,
    Kept,
}

struct Order {
    mode: Mode,
    range: Range,
    rule: Option<Rule>,
}

fn main() -> ExitCode {
    let order = match order(std::env::args().skip(1)) {
        Ok(order) => order,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::from(2);
        }
    };
    let well = match order.mode {
        Mode::Seeds => match order.rule {
            Some(rule) => mutant(rule, order.range),
            None => seeds(order.range),
        },
        Mode::Trace(seed) => trace(order.rule, seed),
        Mode::Mutants => mutants(order.range),
        Mode::Kept => kept(order.range.jobs),
    };
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn order(mut arguments: impl Iterator<Item = String>) -> Result<Order, String> {
    let mut order =
        Order { mode: Mode::Seeds, range: Range { from: 0, seeds: 2_000, jobs: 1 }, rule: None };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} takes a value"));
        match argument.as_str() {
            "--seeds" => order.range.seeds = number(&value()?)?,
            "--from" => order.range.from = number(&value()?)?,
            "--jobs" => order.range.jobs = number(&value()?)?,
            "--seed" => order.mode = Mode::Trace(number(&value()?)?),
            "--rule" => order.rule = Some(rule(&value()?)?),
            "--mutants" => order.mode = Mode::Mutants,
            "--kept" => order.mode = Mode::Kept,
            unknown => return Err(format!("unknown argument {unknown}")),
        }
    }
    Ok(order)
}

fn number(value: &str) -> Result<u64, String> {
    value.parse().map_err(|_| format!("{value} is not a number"))
}

fn rule(name: &str) -> Result<Rule, String> {
    Rule::named(name).ok_or_else(|| format!("there is no rule {name}"))
}

/// Every seed of a range, with all rules in force.
fn seeds(range: Range) -> bool {
    let began = Instant::now();
    let report = run::all(range, true);
    let Range { from, seeds, .. } = range;
    let (bad, seconds) = (report.violations.len(), began.elapsed().as_secs());
    for violation in &report.violations {
        println!("seed {} violates {:?}: {}", violation.seed, violation.property, violation.what);
    }
    println!("{:?}", report.counts);
    println!("seeds {from} to {}: {bad} violations, {seconds} s", from + seeds - 1);
    // As the summary of the other tests says it.
    println!("test result: {}. {} passed; {bad} failed", verdict(bad), usize::from(bad == 0));
    bad == 0
}

fn verdict(bad: usize) -> &'static str {
    if bad == 0 { "ok" } else { "FAILED" }
}

/// One seed, with its trace.
fn trace(rule: Option<Rule>, seed: u64) -> bool {
    rules::switch_off(rule);
    let outcome = play::play(seed, true);
    for line in &outcome.trace {
        println!("{line}");
    }
    match &outcome.violation {
        Some((property, what)) => println!("seed {seed} violates {property:?}: {what}"),
        None => println!("seed {seed} violates nothing"),
    }
    outcome.violation.is_none()
}

/// One rule off: which seed finds it.
fn mutant(rule: Rule, range: Range) -> bool {
    let found = run::first(rule, range);
    match &found {
        Some(v) => println!(
            "| `{}` | `{:?}` | {} | {} | {}",
            rule.name,
            v.property,
            v.seed - range.from + 1,
            v.seed,
            v.what
        ),
        None => println!("| `{}` | none in {} seeds |", rule.name, range.seeds),
    }
    found.is_some()
}

/// Each rule off in turn.
fn mutants(range: Range) -> bool {
    let mut alive = Vec::new();
    for rule in rules::all() {
        if !mutant(rule, range) && !SILENT.contains(&rule.name) {
            alive.push(rule.name);
        }
    }
    if !alive.is_empty() {
        println!("no seed finds {}", alive.join(", "));
    }
    alive.is_empty()
}

/// The kept seed of each mutant still finds it; or another one does, because the code or the
/// simulation has changed.
fn kept(jobs: u64) -> bool {
    let (mut dead, mut alive) = (0, 0);
    for (name, seed) in KEPT {
        let Some(rule) = Rule::named(name) else {
            println!("there is no rule {name}");
            alive += 1;
            continue;
        };
        // One that is violated anyhow shows nothing.
        if run::one(Some(rule), *seed).is_some() && run::one(None, *seed).is_none() {
            dead += 1;
            continue;
        }
        // Rules of what only later seeds have.
        let from = if *seed < plan::WIDER_FROM { 0 } else { plan::WIDER_FROM };
        let range = Range { from, seeds: SEARCH, jobs };
        match run::first(rule, range) {
            Some(v) => {
                println!("{name}: not seed {seed} but {} finds it now: keep that one", v.seed);
                dead += 1;
            }
            None => {
                println!("{name}: neither seed {seed} nor the first {SEARCH} find it");
                alive += 1;
            }
        }
    }
    for rule in rules::all() {
        let count = KEPT.iter().filter(|(kept, _)| *kept == rule.name).count();
        if count + usize::from(SILENT.contains(&rule.name)) != 1 {
            println!("{}: needs one kept seed, or a place among the silent ones", rule.name);
            alive += 1;
        }
    }
    println!("test result: {}. {dead} passed; {alive} failed", verdict(alive));
    alive == 0
}
