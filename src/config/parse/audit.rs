//! Reads what of a route is audited, and how.

use serde_json::Value;

use crate::config::ignored::Ignored;
use crate::config::settings::{Action, Route};

use super::reader::{Problems, Section};

/// The most patterns: each is a walk through the body.
const MAX_PATTERNS: usize = 20;

pub(super) fn read(section: &Section<'_>, route: &mut Route, problems: &mut Problems) {
    if let Some(value) = section.get("audit") {
        match value.as_f64().filter(|share| (0.0..=1.0).contains(share)) {
            Some(share) => route.audit = share,
            None => problems.expected(section.at("audit"), "a share of hits from 0 to 1", value),
        }
    }
    let patterns = section.list("audit_ignore", problems, |path, value, problems| {
        let Value::String(text) = value else {
            problems.expected(path, "a text with one *", value);
            return None;
        };
        Ignored::parse(text).map_err(|error| problems.add(path, error.to_string())).ok()
    });
    if let Some(patterns) = patterns {
        if patterns.len() > MAX_PATTERNS {
            let wrong = Value::from(patterns.len());
            let what = format!("at most {MAX_PATTERNS} patterns");
            problems.expected(section.at("audit_ignore"), &what, &wrong);
        }
        route.audit_ignore = patterns;
    }
    if route.action == Action::Bypass && section.has("action") && section.has("audit") {
        let why = "it contradicts action \"bypass\": there are no hits";
        problems.add(section.at("audit"), why);
    }
}
