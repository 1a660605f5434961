//! Parses the settings of routes: the defaults, and the rules in their order.

use serde_json::Value;

use crate::base::time::Seconds;
use crate::config::host::parse_host;
use crate::config::pattern::{PathPattern, RESERVED_PREFIX, is_below};
use crate::config::settings::{
    Action, Config, ForwardHeaders, QueryPolicy, Route, RouteRule, TRACKING_PARAMETERS, VaryOn,
};

use super::compose;
use super::names::{cookie_name, cookie_pattern, field_name, language, parameter};
use super::reader::{Problems, Section, choice, list, seconds};
use crate::config::ignored::Ignored;

const ROUTE_KEYS: &[&str] = &[
    "action",
    "ttl",
    "swr",
    "sie",
    "negative_ttl",
    "heuristics",
    "query",
    "key_cookies",
    "bypass_cookies",
    "vary_on",
    "languages",
    "forward_headers",
    "visitor_cache_control",
    "max_lag",
    "upstream_cache",
    "request_directives",
    "unsafe_invalidates",
    "store_nonce",
    "esi",
    "store_set_cookie",
    "trust_validators",
    "compose",
    "audit",
    "audit_ignore",
];

/// The settings of paths that no rule matches.
pub(super) fn defaults(
    path: String,
    value: &Value,
    config: &Config,
    problems: &mut Problems,
) -> Route {
    let base = &config.defaults;
    let Some(section) = Section::open(path, value, problems) else { return base.clone() };
    section.refuse_unknown(ROUTE_KEYS, problems);
    route(&section, base, config, problems)
}

/// The rules, each on top of the defaults.
pub(super) fn rules(
    path: &str,
    value: &Value,
    config: &Config,
    problems: &mut Problems,
) -> Vec<RouteRule> {
    let Value::Array(values) = value else {
        problems.expected(path, "a list of rules", value);
        return Vec::new();
    };
    let mut rules: Vec<(usize, RouteRule)> = Vec::with_capacity(values.len());
    for (at, value) in values.iter().enumerate() {
        let path = format!("{path}[{at}]");
        let Some(rule) = rule(&path, value, config, problems) else { continue };
        let earlier = rules.iter().find(|(_, earlier)| covers(earlier, &rule));
        if let Some((earlier, _)) = earlier {
            problems.add(path, format!("it is never reached: routes[{earlier}] matches first"));
        }
        rules.push((at, rule));
    }
    rules.into_iter().map(|(_, rule)| rule).collect()
}

/// Whether everything that `later` matches is seen to be matched by `earlier`: same pattern or all
/// paths.
fn covers(earlier: &RouteRule, later: &RouteRule) -> bool {
    let host = earlier.host.is_none() || earlier.host == later.host;
    let path = earlier.path == later.path || matches!(earlier.path.as_str(), "*" | "/*");
    host && path
}

fn rule(path: &str, value: &Value, config: &Config, problems: &mut Problems) -> Option<RouteRule> {
    let section = Section::open(path.to_owned(), value, problems)?;
    let known: Vec<&str> = ["path", "host"].iter().chain(ROUTE_KEYS).copied().collect();
    section.refuse_unknown(&known, problems);
    let host = match section.text("host", problems).map(parse_host) {
        None => None,
        Some(Ok(host)) => Some(host),
        Some(Err(error)) => {
            problems.add(section.at("host"), error.to_string());
            None
        }
    };
    let route = route(&section, &config.defaults, config, problems);
    let pattern = pattern(&section, config, problems)?;
    Some(RouteRule { host, path: pattern, route })
}

fn pattern(section: &Section<'_>, config: &Config, problems: &mut Problems) -> Option<PathPattern> {
    if !section.has("path") {
        problems.add(section.at("path"), "a rule needs the paths it is for, such as \"/blog/*\"");
        return None;
    }
    let text = section.text("path", problems)?;
    let at = section.at("path");
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        let wrong = Value::from(text);
        problems.expected(at, "a path as it stands in a request, percent-encoded", &wrong);
        return None;
    }
    let literal = text.split('*').next().unwrap_or_default();
    if is_below(literal, RESERVED_PREFIX) {
        problems.add(at, "it is never reached: /cdn-cgi is the CDN's own");
        return None;
    }
    if is_below(literal, &config.control_prefix) {
        problems.add(at, "it is never reached: the control API lives there (control_prefix)");
        return None;
    }
    match PathPattern::parse(text) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            problems.add(at, error.to_string());
            None
        }
    }
}

fn route(section: &Section<'_>, base: &Route, config: &Config, problems: &mut Problems) -> Route {
    let mut route = base.clone();
    let actions = [("cache", Action::Cache), ("bypass", Action::Bypass)];
    if let Some(action) = section.choice("action", &actions, problems) {
        route.action = action;
    }
    lifetimes(section, &mut route, config, problems);
    selection(section, &mut route, problems);
    audit(section, &mut route, problems);
    let switches: [(&str, &mut bool); 9] = [
        ("heuristics", &mut route.heuristics),
        ("upstream_cache", &mut route.upstream_cache),
        ("request_directives", &mut route.request_directives),
        ("unsafe_invalidates", &mut route.unsafe_invalidates),
        ("store_nonce", &mut route.store_nonce),
        ("esi", &mut route.esi),
        ("store_set_cookie", &mut route.store_set_cookie),
        ("trust_validators", &mut route.trust_validators),
        ("compose", &mut route.compose),
    ];
    for (key, into) in switches {
        section.switch(key, into, problems);
    }
    if let Some(text) = section.text("visitor_cache_control", problems) {
        // RFC 9110 §5.5: a field value is visible ASCII with spaces and tabs between.
        let visible = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        if text.trim().is_empty() || !visible || text.len() > 1024 {
            let what = "a Cache-Control value of visible ASCII, at most 1024 bytes";
            problems.expected(section.at("visitor_cache_control"), what, &Value::from(text));
        }
        route.visitor_cache_control = Some(text.trim().to_owned());
    }
    contradictions(section, &route, problems);
    compose::contradictions(section, &route, problems);
    route
}

fn lifetimes(section: &Section<'_>, route: &mut Route, config: &Config, problems: &mut Problems) {
    if let Some(ttl) = section.seconds("ttl", problems) {
        route.ttl = Some(ttl);
    }
    if let Some(swr) = section.seconds("swr", problems) {
        route.swr = swr;
    }
    if let Some(sie) = section.seconds("sie", problems) {
        route.sie = sie;
    }
    if let Some(lag) = section.millis("max_lag", (0, 300_000), problems) {
        route.max_lag = Some(lag);
        if lag > config.journal_lost_limit {
            problems.add(section.at("max_lag"), "it is longer than journal_lost_limit");
        }
    }
    let Some(value) = section.get("negative_ttl") else { return };
    let Some(table) = Section::open(section.at("negative_ttl"), value, problems) else { return };
    let mut ttls: Vec<(u16, Seconds)> = Vec::new();
    for (status, value) in table.entries() {
        let code = status.parse::<u16>().ok().filter(|_| status.len() == 3);
        match code {
            Some(304 | 520..=530) => {
                problems.add(table.at(status), "an answer with this status is never stored");
            }
            Some(code @ 300..=599) => {
                if let Some(ttl) = seconds(&table.at(status), value, problems) {
                    ttls.push((code, ttl));
                }
            }
            Some(_) | None => problems.expected(
                table.at(status),
                "a status from 300 to 599 as the key",
                &Value::from(status.as_str()),
            ),
        }
    }
    ttls.sort();
    route.negative_ttl = ttls;
}

fn selection(section: &Section<'_>, route: &mut Route, problems: &mut Problems) {
    if let Some(value) = section.get("query")
        && let Some(policy) = query(section.at("query"), value, problems)
    {
        route.query = policy;
    }
    if let Some(names) = section.list("key_cookies", problems, cookie_name) {
        route.key_cookies = names;
    }
    if let Some(names) = section.list("bypass_cookies", problems, cookie_pattern) {
        route.bypass_cookies = names;
    }
    let facts = [("device", VaryOn::Device), ("language", VaryOn::Language)];
    let read =
        |path: &str, value: &Value, problems: &mut Problems| choice(path, value, &facts, problems);
    if let Some(vary_on) = section.list("vary_on", problems, read) {
        route.vary_on = vary_on;
    }
    if let Some(languages) = section.list("languages", problems, language) {
        route.languages = languages;
    }
    match section.get("forward_headers") {
        None => {}
        Some(Value::String(word)) if word == "all" => route.forward_headers = ForwardHeaders::All,
        Some(value @ Value::Array(_)) => {
            let names = list(&section.at("forward_headers"), value, problems, field_name);
            route.forward_headers = ForwardHeaders::Listed(names.unwrap_or_default());
        }
        Some(other) => {
            problems.expected(section.at("forward_headers"), "a list of names or \"all\"", other);
        }
    }
}

fn query(path: String, value: &Value, problems: &mut Problems) -> Option<QueryPolicy> {
    if value.as_str() == Some("verbatim") {
        return Some(QueryPolicy::Verbatim);
    }
    let Value::Object(_) = value else {
        let what = "{\"allow\": [names]}, {\"deny\": [names]} or \"verbatim\"";
        problems.expected(path, what, value);
        return None;
    };
    let section = Section::open(path.clone(), value, problems)?;
    section.refuse_unknown(&["allow", "deny"], problems);
    match (section.has("allow"), section.has("deny")) {
        (true, true) => {
            problems.add(path, "allow and deny contradict each other: give one of them");
            None
        }
        (true, false) => section.list("allow", problems, parameter).map(QueryPolicy::Allow),
        (false, true) => section.list("deny", problems, parameter).map(|names| {
            let mut all: Vec<String> = TRACKING_PARAMETERS.iter().map(|&p| p.to_owned()).collect();
            all.extend(names.into_iter().filter(|name| !TRACKING_PARAMETERS.contains(&&**name)));
            QueryPolicy::Deny(all)
        }),
        (false, false) => {
            problems.add(path, "it needs allow or deny");
            None
        }
    }
}

/// What is reported where it was set: a rule that only inherits a contradiction does not repeat it.
fn contradictions(section: &Section<'_>, route: &Route, problems: &mut Problems) {
    let sets = |keys: [&str; 2]| keys.into_iter().any(|key| section.has(key));
    if sets(["vary_on", "languages"])
        && route.vary_on.contains(&VaryOn::Language)
        && route.languages.is_empty()
    {
        let at = if section.has("vary_on") { "vary_on" } else { "languages" };
        problems.add(section.at(at), "vary_on \"language\" needs languages to choose from");
    }
    let cookies = sets(["key_cookies", "bypass_cookies"]);
    for name in route.key_cookies.iter().filter(|_| cookies) {
        if route.bypass_cookies.iter().any(|pattern| matches_name(pattern, name)) {
            let at = if section.has("key_cookies") { "key_cookies" } else { "bypass_cookies" };
            problems.add(
                section.at(at),
                format!("the cookie {name} is in key_cookies, and bypass_cookies bypasses it"),
            );
        }
    }
    if route.action == Action::Bypass && section.has("action") {
        let caching = ["ttl", "swr", "sie", "negative_ttl", "heuristics"];
        for key in caching.into_iter().filter(|key| section.has(key)) {
            problems.add(section.at(key), "it contradicts action \"bypass\": nothing is stored");
        }
    }
}

/// Whether a pattern with an optional `*` at its end matches a name.
fn matches_name(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

/// The most patterns: each is a walk through the body.
const MAX_PATTERNS: usize = 20;

/// What of a route is audited, and how.
fn audit(section: &Section<'_>, route: &mut Route, problems: &mut Problems) {
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
