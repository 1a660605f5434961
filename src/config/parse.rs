//! Parses the settings: the JSON of `EDGE_ISR` becomes a [`Config`], or the list of everything that
//! is wrong with it.
//!
//! Refused are wrong types, numbers out of range, unknown keys, and settings that contradict one
//! another; nothing is guessed or ignored. Limits: the values stand for themselves, so whether the
//! origin agrees is not checked here.

mod compose;
mod error_page;
mod front_cache;
mod names;
mod reader;
mod route;

use serde_json::Value;

use crate::base::time::Millis;

use super::address::Network;
use super::front_cache::{FrontCache, Provider};
use super::host::parse_host;
use super::pattern::{RESERVED_PREFIX, is_below};
use super::settings::{Config, LogLevel};
use crate::base::json::parse_json;
use reader::{Problems, Section};

pub use reader::ConfigError;
pub(crate) use reader::nearest;

/// Parses the JSON text of `EDGE_ISR`. The front caches can be those of these providers.
///
/// # Errors
/// Every wrong value, with its path.
pub fn parse(json: &str, providers: &[&'static Provider]) -> Result<Config, Vec<ConfigError>> {
    match parse_json(json.as_bytes()) {
        Ok(value) => from_value(&value, providers),
        Err(error) => Err(vec![ConfigError {
            path: "EDGE_ISR".to_owned(),
            problem: format!("malformed JSON: {error}"),
        }]),
    }
}

/// Parses the settings as the runtime hands over a table of variables.
///
/// # Errors
/// Every wrong value, with its path.
pub fn from_value(
    value: &Value,
    providers: &[&'static Provider],
) -> Result<Config, Vec<ConfigError>> {
    let mut problems = Problems::default();
    let config = match Section::open(String::new(), value, &mut problems) {
        Some(section) => site(&section, providers, &mut problems),
        None => Config::default(),
    };
    if problems.0.is_empty() { Ok(config) } else { Err(problems.0) }
}

const SITE_KEYS: &[&str] = &[
    "max_lag",
    "sync_interval",
    "journal_lost_limit",
    "origin_timeout",
    "compose_timeout",
    "shards",
    "control_prefix",
    "host_aliases",
    "control_hosts",
    "trusted_ips",
    "front_caches",
    "max_body",
    "memory",
    "fill_memory",
    "origin_concurrency",
    "new_keys_per_second",
    "journal_targets",
    "warm_concurrency",
    "warm_origin_concurrency",
    "warm_rate",
    "warm_attempts",
    "audit_per_minute",
    "location_hint",
    "jurisdiction",
    "log",
    "error_page",
    "defaults",
    "routes",
];

/// What KV takes as one value; R2 takes more.
const MAX_BODY_BYTES: u64 = 25 << 20;
/// An isolate has 128 MB, and the view, the code and requests in flight need their part.
const MAX_ISOLATE_BYTES: u64 = 100 << 20;
/// A view of more targets than this would not fit beside the rest.
const MAX_JOURNAL_TARGETS: u64 = 500_000;
/// Where Durable Objects can be placed.
const LOCATION_HINTS: &[(&str, &str)] = &[
    ("wnam", "wnam"),
    ("enam", "enam"),
    ("sam", "sam"),
    ("weur", "weur"),
    ("eeur", "eeur"),
    ("apac", "apac"),
    ("oc", "oc"),
    ("afr", "afr"),
    ("me", "me"),
];
const JURISDICTIONS: &[(&str, &str)] = &[("eu", "eu"), ("fedramp", "fedramp")];
const LOG_LEVELS: &[(&str, LogLevel)] =
    &[("off", LogLevel::Off), ("problems", LogLevel::Problems), ("events", LogLevel::Events)];

fn site(section: &Section<'_>, providers: &[&'static Provider], problems: &mut Problems) -> Config {
    section.refuse_unknown(SITE_KEYS, problems);
    let mut config = Config::default();
    bounds_of_age(section, &mut config, problems);
    budgets(section, &mut config, problems);
    if let Some(word) = section.choice("location_hint", LOCATION_HINTS, problems) {
        config.location_hint = Some(word.to_owned());
    }
    if let Some(word) = section.choice("jurisdiction", JURISDICTIONS, problems) {
        config.jurisdiction = Some(word.to_owned());
    }
    if let Some(level) = section.choice("log", LOG_LEVELS, problems) {
        config.log = level;
    }
    if let Some(prefix) = control_prefix(section, problems) {
        config.control_prefix = prefix;
    }
    config.host_aliases = host_aliases(section, problems);
    let hosts = section.list("control_hosts", problems, |path, value, problems| {
        named(path, value, "the name of a host", parse_host, problems)
    });
    config.control_hosts = hosts.unwrap_or_default();
    let networks = section.list("trusted_ips", problems, |path, value, problems| {
        named(path, value, "an address or a network", Network::parse, problems)
    });
    config.trusted_ips = networks.unwrap_or_default();
    config.front_caches = front_caches(section, providers, problems);
    let tagged = config.front_caches.iter().filter(|front_cache| front_cache.tags);
    config.defaults.visitor_tags = tagged.map(|front_cache| front_cache.provider).collect();
    if let Some(value) = section.get("error_page") {
        config.error_page = error_page::error_page(section.at("error_page"), value, problems);
    }
    if let Some(value) = section.get("defaults") {
        config.defaults = route::defaults(section.at("defaults"), value, &config, problems);
    }
    if let Some(value) = section.get("routes") {
        config.routes = route::rules(&section.at("routes"), value, &config, problems);
    }
    config
}

/// Each has a name of its own: what is pending for it and its secret go by it.
fn front_caches(
    section: &Section<'_>,
    providers: &[&'static Provider],
    problems: &mut Problems,
) -> Vec<FrontCache> {
    let front_caches = section.list("front_caches", problems, |path, value, problems| {
        front_cache::read(path, value, providers, problems)
    });
    let front_caches = front_caches.unwrap_or_default();
    for (at, front_cache) in front_caches.iter().enumerate() {
        if front_caches.iter().take(at).any(|before| before.name == front_cache.name) {
            problems
                .add(section.at("front_caches"), format!("two are called {}", front_cache.name));
        }
    }
    front_caches
}

/// `sync_interval ≤ max_lag ≤ journal_lost_limit`: a view that asks less often than it must be
/// recent would make requests wait for no gain. What is not set follows what is.
fn bounds_of_age(section: &Section<'_>, config: &mut Config, problems: &mut Problems) {
    if let Some(lag) = section.millis("max_lag", (0, 300_000), problems) {
        config.max_lag = lag;
        config.sync_interval = config.sync_interval.min(Millis(lag.0 / 2));
        config.journal_lost_limit = config.journal_lost_limit.max(lag);
    }
    if let Some(interval) = section.millis("sync_interval", (0, 300_000), problems) {
        config.sync_interval = interval;
        if interval > config.max_lag {
            problems.add(
                section.at("sync_interval"),
                format!("it is longer than max_lag ({})", in_seconds(config.max_lag)),
            );
        }
    }
    if let Some(limit) = section.millis("journal_lost_limit", (0, 86_400_000), problems) {
        config.journal_lost_limit = limit;
        if limit < config.max_lag {
            problems.add(
                section.at("journal_lost_limit"),
                format!("it is shorter than max_lag ({})", in_seconds(config.max_lag)),
            );
        }
    }
    if let Some(timeout) = section.millis("origin_timeout", (50, 300_000), problems) {
        config.origin_timeout = timeout;
    }
    if let Some(timeout) = section.millis("compose_timeout", (50, 60_000), problems) {
        config.compose_timeout = timeout;
    }
}

fn budgets(section: &Section<'_>, config: &mut Config, problems: &mut Problems) {
    if let Some(n) = section.number("shards", (1, 256), problems) {
        config.shards = n as u16;
    }
    if let Some(n) = section.number("max_body", (1, MAX_BODY_BYTES), problems) {
        config.max_body = n;
    }
    if let Some(n) = section.number("memory", (0, MAX_ISOLATE_BYTES), problems) {
        config.memory = n;
    }
    if let Some(n) = section.number("fill_memory", (1, MAX_ISOLATE_BYTES), problems) {
        config.fill_memory = n;
    }
    if config.fill_memory < config.max_body {
        let at = if section.has("fill_memory") { "fill_memory" } else { "max_body" };
        problems.add(
            section.at(at),
            format!(
                "fill_memory ({}) is less than max_body ({}): such bodies could not be stored",
                config.fill_memory, config.max_body
            ),
        );
    }
    if config.memory + config.fill_memory > MAX_ISOLATE_BYTES {
        let at = if section.has("memory") { "memory" } else { "fill_memory" };
        problems.add(
            section.at(at),
            format!("memory and fill_memory together exceed {MAX_ISOLATE_BYTES} bytes"),
        );
    }
    if let Some(n) = section.number("warm_origin_concurrency", (1, 1_280), problems) {
        config.warm_origin_concurrency = Some(n as u32);
    }
    let counts: [(&str, (u64, u64), &mut u32); 7] = [
        ("origin_concurrency", (1, 10_000), &mut config.origin_concurrency),
        ("new_keys_per_second", (0, 1_000_000), &mut config.new_keys_per_second),
        ("journal_targets", (1, MAX_JOURNAL_TARGETS), &mut config.journal_targets),
        ("warm_concurrency", (1, 5), &mut config.warm_concurrency),
        ("warm_rate", (1, 10_000), &mut config.warm_rate),
        ("warm_attempts", (1, 20), &mut config.warm_attempts),
        // What differs is asked for twice.
        ("audit_per_minute", (2, 1_000), &mut config.audit_per_minute),
    ];
    for (key, bounds, into) in counts {
        if let Some(n) = section.number(key, bounds, problems) {
            *into = n as u32;
        }
    }
}

/// The control API's prefix: plain path segments, so that no encoding of it means the same.
fn control_prefix(section: &Section<'_>, problems: &mut Problems) -> Option<String> {
    let prefix = section.text("control_prefix", problems)?;
    let plain = |segment: &str| {
        !segment.is_empty()
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
            && segment != "."
            && segment != ".."
    };
    let wrong = match prefix.strip_prefix('/') {
        None => Some("it starts with /"),
        Some("") => Some("it can't be the whole site: expected one such as /__isr"),
        Some(_) if prefix.ends_with('/') => Some("it has no / at its end"),
        Some(_) if prefix.len() > 100 => Some("it has at most 100 characters"),
        Some(rest) if !rest.split('/').all(plain) => {
            Some("its segments are letters, digits, - . _ ~, and neither empty nor . nor ..")
        }
        Some(_) if is_below(prefix, RESERVED_PREFIX) => Some("/cdn-cgi is the CDN's own"),
        Some(_) => None,
    };
    match wrong {
        Some(wrong) => {
            problems.add(section.at("control_prefix"), wrong);
            None
        }
        None => Some(prefix.to_owned()),
    }
}

/// A text that a parser of its own reads.
fn named<T, E: std::fmt::Display>(
    path: &str,
    value: &Value,
    what: &str,
    read: fn(&str) -> Result<T, E>,
    problems: &mut Problems,
) -> Option<T> {
    let Value::String(text) = value else {
        problems.expected(path, what, value);
        return None;
    };
    read(text).map_err(|error| problems.add(path, error.to_string())).ok()
}

/// Aliases with every chain followed to its end, so that one look-up resolves each.
fn host_aliases(section: &Section<'_>, problems: &mut Problems) -> Vec<(String, String)> {
    let Some(value) = section.get("host_aliases") else { return Vec::new() };
    let Some(table) = Section::open(section.at("host_aliases"), value, problems) else {
        return Vec::new();
    };
    let mut direct: Vec<(String, String, String)> = Vec::new();
    for (alias, name) in table.entries() {
        let path = table.at(alias);
        let Value::String(name) = name else {
            problems.expected(path, "the name of a host", name);
            continue;
        };
        match (parse_host(alias), parse_host(name)) {
            (Ok(alias), Ok(_)) if direct.iter().any(|(known, ..)| *known == alias) => {
                problems.add(path, format!("{alias} is an alias already"));
            }
            (Ok(alias), Ok(name)) => direct.push((alias, name, path)),
            (Err(error), _) => problems.add(path, format!("the alias is wrong: {error}")),
            (_, Err(error)) => problems.add(path, error.to_string()),
        }
    }
    let mut resolved = Vec::with_capacity(direct.len());
    for (alias, name, path) in &direct {
        let mut end = name;
        let mut steps = 0;
        while let Some((_, next, _)) = direct.iter().find(|(known, ..)| known == end) {
            end = next;
            steps += 1;
            if steps > direct.len() {
                break;
            }
        }
        if steps > direct.len() {
            problems.add(path, "the aliases go round in a circle");
        } else {
            resolved.push((alias.clone(), end.clone()));
        }
    }
    resolved
}

fn in_seconds(span: Millis) -> String {
    format!("{} s", span.decimal_seconds())
}
