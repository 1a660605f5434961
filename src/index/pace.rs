//! How fast a shard asks the origin for pages that nobody waits for.
//!
//! Each shard paces its own warms by what it sees of the origin, without asking another: all shards
//! see the same origin, and slow down together. There is a limit of fetches at once and one of
//! starts in a second, both as the shard's share of the site's; within them the *window* of fetches
//! at once opens by a little with each that goes well (additive increase) and closes by half when
//! the origin fails, by a quarter when its answers take twice as long as usual (multiplicative
//! decrease). Only what began after the last decrease can cause another one. A window below one
//! fetch means rests between fetches.
//!
//! An origin that fails again and again is left alone for longer each time, up to a minute, so that
//! an outage does not use up the tries of all that is queued; one that says `Retry-After` is taken
//! at its word, up to five minutes. Nothing of this is durable: a shard that starts anew begins
//! with the open window.

use crate::base::time::{Millis, Timestamp};

/// One fetch at once, in the window's unit.
pub const ONE: u32 = 1_000;
/// The smallest window: one fetch, then nineteen times as long a rest.
const LEAST: u32 = ONE / 20;
/// What a full window of good answers opens it by.
const OPENS: u32 = ONE / 4;
/// Answers this much slower than twice the usual count as slow.
const SLOW_MARGIN: Millis = Millis(100);
/// The rest after the second failure in a row; it doubles with each further one.
const FIRST_REST: Millis = Millis(1_000);
/// The longest rest.
const LONGEST_REST: Millis = Millis(60_000);
/// The longest wait that the origin can ask for.
const LONGEST_WAIT: Millis = Millis(300_000);

/// A shard's share of the site's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fetches at once, in thousandths.
    pub window: u32,
    /// The time between two starts.
    pub interval: Millis,
}

impl Limits {
    /// One shard's share: `per_shard` fetches at once and no more, `at_once` in all shards, and
    /// `per_second` starts in all shards.
    #[must_use]
    pub fn share(shards: u16, per_shard: u32, at_once: Option<u32>, per_second: u32) -> Self {
        let shards = u32::from(shards.max(1));
        let limit = per_shard.max(1).saturating_mul(ONE);
        let window = at_once.map_or(limit, |at_once| {
            let share = at_once.saturating_mul(ONE) / shards;
            // Whole fetches, or less than one: never more than its share in all shards together.
            let share = if share > ONE { share - share % ONE } else { share };
            limit.min(share)
        });
        let interval = u64::from(shards) * 1_000 / u64::from(per_second.max(1));
        Self { window: window.max(LEAST), interval: Millis(interval) }
    }
}

/// How a fetch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchEnd {
    /// The origin answered.
    Well,
    /// It failed, or what it said could not be stored; it may have said when to come again.
    Badly(Option<Millis>),
}

/// A shard's pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    limits: Limits,
    /// Fetches at once, in thousandths.
    window: u32,
    /// No fetch begins before.
    not_before: Timestamp,
    /// The last decrease: what began before it counts for no other.
    cut_at: Timestamp,
    /// Failures since the last good answer.
    failures: u32,
    /// How long answers take as a rule: falls quickly, rises slowly.
    usual: Option<Millis>,
    /// How long they took lately.
    lately: Millis,
}

impl Pace {
    /// An open window.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            window: limits.window,
            not_before: Timestamp::ZERO,
            cut_at: Timestamp::ZERO,
            failures: 0,
            usual: None,
            lately: Millis::ZERO,
        }
    }

    /// How many more fetches may begin now while `running` are under way.
    #[must_use]
    pub fn free(&self, running: u32, now: Timestamp) -> u32 {
        if now < self.not_before {
            return 0;
        }
        let free = self.at_once().saturating_sub(running);
        // Starts are spaced evenly: never two at a time.
        if self.limits.interval > Millis::ZERO { free.min(1) } else { free }
    }

    /// How many fetches may be under way at once.
    #[must_use]
    pub const fn at_once(&self) -> u32 {
        let whole = self.window / ONE;
        if whole == 0 { 1 } else { whole }
    }

    /// No fetch begins before.
    #[must_use]
    pub const fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// A fetch begins.
    pub fn begin(&mut self, now: Timestamp) {
        self.rest(now, self.limits.interval);
    }

    /// A fetch that began at `began` has ended.
    pub fn end(&mut self, began: Timestamp, now: Timestamp, end: FetchEnd) {
        let took = now.since(began);
        match end {
            FetchEnd::Well => {
                self.failures = 0;
                let slow = self.is_slow(took);
                if slow && began >= self.cut_at {
                    self.cut(now, self.window - self.window / 4);
                } else if !slow {
                    let step = OPENS * ONE / self.window.max(ONE);
                    self.window = (self.window + step).min(self.limits.window);
                }
            }
            FetchEnd::Badly(after) => {
                if began >= self.cut_at {
                    self.failures = self.failures.saturating_add(1);
                    self.cut(now, self.window / 2);
                    let doubled = self.failures.saturating_sub(2).min(16);
                    if self.failures > 1 {
                        self.rest(now, Millis(FIRST_REST.0 << doubled).min(LONGEST_REST));
                    }
                }
                self.rest(now, after.unwrap_or(Millis::ZERO).min(LONGEST_WAIT));
            }
        }
        if self.window < ONE {
            let rest = took.0.saturating_mul(u64::from(ONE - self.window)) / u64::from(self.window);
            self.rest(now, Millis(rest).min(LONGEST_REST));
        }
    }

    fn cut(&mut self, now: Timestamp, window: u32) {
        self.window = window.clamp(LEAST, self.limits.window);
        self.cut_at = now;
        // How long what was asked for together took says nothing of what comes.
        self.lately = self.usual.unwrap_or(Millis::ZERO);
    }

    fn rest(&mut self, now: Timestamp, span: Millis) {
        self.not_before = self.not_before.max(now.plus(span));
    }

    /// Whether answers take much longer lately than as a rule, this one included.
    fn is_slow(&mut self, took: Millis) -> bool {
        let Some(usual) = self.usual else {
            (self.usual, self.lately) = (Some(took), took);
            return false;
        };
        let towards = |from: u64, to: u64, part: u64| {
            if to > from { from + (to - from).div_ceil(part) } else { from - (from - to) / part }
        };
        self.lately = Millis(towards(self.lately.0, took.0, 4));
        let part = if took > usual { 64 } else { 4 };
        self.usual = Some(Millis(towards(usual.0, took.0, part)));
        self.lately.0 > 2 * usual.0 + SLOW_MARGIN.0
    }
}
