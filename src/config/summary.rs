//! The settings in effect, as `healthz` shows them to whoever has a token: counts, bounds, and what
//! each rule lets through to the origin. No secrets.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::settings::{Action, Config, ForwardHeaders, QueryPolicy, Route, VaryOn};

/// The settings in effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// `max_lag`, in milliseconds.
    pub max_lag_ms: u64,
    /// `sync_interval`, in milliseconds.
    pub sync_interval_ms: u64,
    /// `journal_lost_limit`, in milliseconds.
    pub journal_lost_limit_ms: u64,
    /// Index shards.
    pub shards: u16,
    /// Rules.
    pub routes: usize,
    /// Rules that bypass.
    pub bypass_routes: usize,
    /// Host aliases.
    pub host_aliases: usize,
    /// The rules in their order; the last is the defaults, for every path.
    pub rules: Vec<RuleSummary>,
}

/// What a rule makes of requests, in the words of the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleSummary {
    /// The host it is for, unless it is for any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The pattern of its paths.
    pub path: String,
    /// Cache or bypass.
    pub action: Action,
    /// The parameters that count.
    pub query: QueryPolicy,
    /// Cookies that reach the origin.
    pub key_cookies: Vec<String>,
    /// Facts about the visitor that reach the origin.
    pub vary_on: Vec<VaryOn>,
    /// Fields that reach the origin.
    pub forward_headers: ForwardHeaders,
}

impl RuleSummary {
    fn new(host: Option<&str>, path: &str, route: &Route) -> Self {
        Self {
            host: host.map(str::to_owned),
            path: path.to_owned(),
            action: route.action,
            query: route.query.clone(),
            key_cookies: route.key_cookies.clone(),
            vary_on: route.vary_on.clone(),
            forward_headers: route.forward_headers.clone(),
        }
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(match self {
            Self::Cache => "cache",
            Self::Bypass => "bypass",
        })
    }
}

impl Serialize for VaryOn {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(match self {
            Self::Device => "device",
            Self::Language => "language",
        })
    }
}

impl Serialize for QueryPolicy {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (name, parameters) = match self {
            Self::Deny(parameters) => ("deny", parameters),
            Self::Allow(parameters) => ("allow", parameters),
            Self::Verbatim => return to.serialize_str("verbatim"),
        };
        let mut map = to.serialize_map(Some(1))?;
        map.serialize_entry(name, parameters)?;
        map.end()
    }
}

impl Serialize for ForwardHeaders {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Listed(names) => names.serialize(to),
            Self::All => to.serialize_str("all"),
        }
    }
}

impl Config {
    /// The place of a route of these settings among the rules: their number for the defaults.
    #[must_use]
    pub fn place_of(&self, route: &Route) -> usize {
        let place = self.routes.iter().position(|rule| std::ptr::eq(&rule.route, route));
        place.unwrap_or(self.routes.len())
    }

    /// What the rule at a place is called: its host, if it has one, and its path.
    #[must_use]
    pub fn rule_name(&self, place: usize) -> String {
        self.routes.get(place).map_or_else(
            || "/*".to_owned(),
            |rule| format!("{}{}", rule.host.as_deref().unwrap_or_default(), rule.path.as_str()),
        )
    }

    /// What the rule that holds for a path of a host is called.
    #[must_use]
    pub fn rule_name_of(&self, host: &str, path: &str) -> String {
        self.rule_name(self.place_of(self.route(host, path)))
    }

    /// The settings in effect, in short.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let bypass = self.routes.iter().filter(|rule| rule.route.action == Action::Bypass);
        let rules = self
            .routes
            .iter()
            .map(|rule| RuleSummary::new(rule.host.as_deref(), rule.path.as_str(), &rule.route));
        let defaults = RuleSummary::new(None, "/*", &self.defaults);
        Summary {
            max_lag_ms: self.max_lag.0,
            sync_interval_ms: self.sync_interval.0,
            journal_lost_limit_ms: self.journal_lost_limit.0,
            shards: self.shards,
            routes: self.routes.len(),
            bypass_routes: bypass.count(),
            host_aliases: self.host_aliases.len(),
            rules: rules.chain([defaults]).collect(),
        }
    }
}
