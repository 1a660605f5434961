//! The rules of the protocol, and which one is off (rules.txt).

use crate::switch;

/// A rule, by its place among them, from 1, and its name in the executable model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    number: u32,
    /// Its name.
    pub(crate) name: &'static str,
}

impl Rule {
    /// The rule of this name.
    #[allow(dead_code, reason = "of the runner alone")]
    pub(crate) fn named(name: &str) -> Option<Self> {
        all().find(|rule| rule.name == name)
    }
}

/// All of them.
#[allow(dead_code, reason = "of the runner alone")]
pub(crate) fn all() -> impl Iterator<Item = Rule> {
    let names = include_str!("rules.txt").lines().filter_map(|line| line.strip_prefix("rule "));
    (1..).zip(names).map(|(number, name)| Rule { number, name })
}

/// Switches a rule off in this thread, or none.
pub(crate) fn switch_off(rule: Option<Rule>) {
    switch::switch_off(rule.map_or(0, |rule| rule.number));
}
