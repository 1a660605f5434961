//! What can be set, its unit and its default.

use std::borrow::Cow;

use crate::base::time::{Millis, Seconds};

use super::address::Network;
use super::error_page::ErrorPage;
use super::front_cache::{FrontCache, Provider};
use super::host;
use super::ignored::Ignored;
use super::pattern::{PathPattern, RESERVED_PREFIX, is_below, readings};

/// Settings of one site (`[vars.EDGE_ISR]` in `wrangler.toml`).
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// How long an acknowledged invalidation may stay unseen by an isolate. Default 2 s.
    pub max_lag: Millis,
    /// How often a view asks for news, at most. Default 1 s, or half of a shorter `max_lag`.
    pub sync_interval: Millis,
    /// How long stored pages may be served as stale while the journal is unreachable. Default 30 s,
    /// or a longer `max_lag`.
    pub journal_lost_limit: Millis,
    /// Index shards of the site, 1 to 256. Default 8.
    pub shards: u16,
    /// Where the control API lives. Default `/__isr`. No trailing slash.
    pub control_prefix: String,
    /// Host → the host it is the same resource as, for purging. Lower case.
    pub host_aliases: Vec<(String, String)>,
    /// Hosts at whose root other caches' purge APIs are answered, and nothing else. Canonical.
    pub control_hosts: Vec<String>,
    /// Who may send `PURGE`, `BAN` and `X-Edge-ISR-Warmup` without a token. Default: nobody.
    pub trusted_ips: Vec<Network>,
    /// Caches in front of the edge that invalidations are delivered to. Default: none.
    pub front_caches: Vec<FrontCache>,
    /// Bodies above this many bytes stream through unstored. Default 10 MiB.
    pub max_body: u64,
    /// Bytes of stored bodies that an isolate keeps. Default 48 MiB.
    pub memory: u64,
    /// Bytes that an isolate's fills in flight share. Default 32 MiB.
    pub fill_memory: u64,
    /// How long the origin may take for the head of an answer, and for each pause in its body.
    /// Default 20 s.
    pub origin_timeout: Millis,
    /// How long a visitor waits for a part of a page that is put together at the edge.
    pub compose_timeout: Millis,
    /// Concurrent origin requests an isolate makes for visitors. Default 100.
    pub origin_concurrency: u32,
    /// New page keys per host and second that get a place in L2 and the index. Default 50.
    pub new_keys_per_second: u32,
    /// Journal targets kept by name before the oldest are merged into buckets. Default 100,000.
    pub journal_targets: u32,
    /// Warms of one shard at once, 1 to 5. Default 3.
    pub warm_concurrency: u32,
    /// Warms at once in all shards. Default: as many as the shards together may make.
    pub warm_origin_concurrency: Option<u32>,
    /// Warms that all shards begin in a second. Default 100.
    pub warm_rate: u32,
    /// Tries of one warm before it is a dead letter. Default 6.
    pub warm_attempts: u32,
    /// Where Cloudflare should place the Durable Objects (`weur`, `enam`, …), if anywhere in
    /// particular.
    pub location_hint: Option<String>,
    /// The jurisdiction of the Durable Objects (`eu`, `fedramp`), if any.
    pub jurisdiction: Option<String>,
    /// Origin requests that an isolate makes for audits in a minute. Default 10.
    pub audit_per_minute: u32,
    /// What is logged. Default: problems.
    pub log: LogLevel,
    /// What visitors with a browser get where the edge itself has to answer.
    pub error_page: ErrorPage,
    /// What holds for paths that no rule matches.
    pub defaults: Route,
    /// Rules in order; the first match wins.
    pub routes: Vec<RouteRule>,
}

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What an operator should look at: failures of tiers, of the origin, refused control calls.
    Problems,
    /// Every noteworthy event, revalidations and warms included.
    Events,
}

/// A rule: the settings of the paths (and host) it matches. What the rule leaves out comes from the
/// defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteRule {
    /// The host it is for; any if none.
    pub host: Option<String>,
    /// The paths it is for.
    pub path: PathPattern,
    /// The settings.
    pub route: Route,
}

/// How requests of one route are cached.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Cache, or pass to the origin. Default: cache.
    pub action: Action,
    /// Freshness where the origin states none. Default: none (not stored).
    pub ttl: Option<Seconds>,
    /// stale-while-revalidate where the origin states none. Default 0.
    pub swr: Seconds,
    /// stale-if-error where the origin states none. Default 0.
    pub sie: Seconds,
    /// Freshness of statuses where the origin states none (404 → 10 s). Default: none.
    pub negative_ttl: Vec<(u16, Seconds)>,
    /// RFC 9111 §4.2.2 heuristic freshness. Default off.
    pub heuristics: bool,
    /// Which query parameters are part of the key and reach the origin.
    pub query: QueryPolicy,
    /// Cookies that are part of the key and reach the origin. Default none.
    pub key_cookies: Vec<String>,
    /// Cookies whose presence makes a request bypass. Default `sessionid` and `messages`, as
    /// Django names its session and its one-time messages. A trailing `*` matches a prefix.
    pub bypass_cookies: Vec<String>,
    /// Facts about the visitor that are part of the key. Default none.
    pub vary_on: Vec<VaryOn>,
    /// Languages to choose from for [`VaryOn::Language`] and `Vary: Accept-Language`; the first is
    /// the default.
    pub languages: Vec<String>,
    /// Which request headers reach the origin on a cacheable request.
    pub forward_headers: ForwardHeaders,
    /// `Cache-Control` sent to visitors instead of the derived one.
    pub visitor_cache_control: Option<String>,
    /// The caches in front of the edge that get the tags, by `front_caches`.
    pub visitor_tags: Vec<&'static Provider>,
    /// The route's own `max_lag`, if any.
    pub max_lag: Option<Millis>,
    /// Store answers that came out of another cache. Default off.
    pub upstream_cache: bool,
    /// Obey `Cache-Control` and `Pragma` of requests. Default off: a visitor must not be able to
    /// force origin load.
    pub request_directives: bool,
    /// Invalidate the URL after an unsafe method succeeded (RFC 9111 §4.4). Default on.
    pub unsafe_invalidates: bool,
    /// Store responses whose Content-Security-Policy carries a nonce. Default off.
    pub store_nonce: bool,
    /// Process Edge Side Includes where a response asks for it.
    pub esi: bool,
    /// Store responses that set a cookie, so that everyone gets that cookie. Default off.
    pub store_set_cookie: bool,
    /// Ask the origin for pages that are composed (docs/composition.md). Default off.
    pub compose: bool,
    /// Validate invalidated entries with their ETag, rather than refetch. Default off: the ETag may
    /// be newer than the body it came with.
    pub trust_validators: bool,
    /// The share of hits after which the origin is asked whether it would say the same, 0 to 1.
    /// Default 0: none.
    pub audit: f64,
    /// What an audit does not look at in a body. Default: nothing.
    pub audit_ignore: Vec<Ignored>,
}

/// What to do with a route's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Look up, store, serve.
    Cache,
    /// Pass to the origin, whatever the response says.
    Bypass,
}

/// Which query parameters count. Those that don't are neither in the key nor sent to the origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryPolicy {
    /// All but these (`*` at the end matches a prefix). The default denies the public list of
    /// tracking parameters.
    Deny(Vec<String>),
    /// Only these (`*` at the end matches a prefix).
    Allow(Vec<String>),
    /// The query exactly as it came, not even sorted.
    Verbatim,
}

/// A fact about the visitor, reduced to few values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VaryOn {
    /// `mobile`, `tablet` or `desktop`; sent to the origin as `X-Device`.
    Device,
    /// One of the route's languages; sent to the origin as `Accept-Language`.
    Language,
}

/// Which request headers reach the origin on a cacheable request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardHeaders {
    /// These (lower case) beside the short default list of `cache::forward`.
    Listed(Vec<String>),
    /// All (but hop-by-hop and spoofable ones): for an origin that needs them; its `Vary` must then
    /// be right.
    All,
}

/// Parameters that carry no content: the public tracking lists of browsers and analytics vendors.
pub const TRACKING_PARAMETERS: &[&str] = &[
    "utm_*",
    "gclid",
    "gclsrc",
    "dclid",
    "gbraid",
    "wbraid",
    "fbclid",
    "msclkid",
    "mc_cid",
    "mc_eid",
    "_ga",
    "_gl",
    "_ke",
    "igshid",
    "igsh",
    "twclid",
    "ttclid",
    "li_fat_id",
    "yclid",
    "ysclid",
    "_openstat",
    "vero_id",
    "vero_conv",
    "wickedid",
    "oly_anon_id",
    "oly_enc_id",
    "rb_clickid",
    "s_cid",
    "_hsenc",
    "_hsmi",
    "__hssc",
    "__hstc",
    "__hsfp",
    "hsctatracking",
    "mkt_tok",
    "epik",
    "srsltid",
    "pk_*",
    "mtm_*",
    "matomo_*",
    "piwik_*",
];

impl Default for Route {
    fn default() -> Self {
        Self {
            action: Action::Cache,
            ttl: None,
            swr: Seconds::ZERO,
            sie: Seconds::ZERO,
            negative_ttl: Vec::new(),
            heuristics: false,
            query: QueryPolicy::Deny(TRACKING_PARAMETERS.iter().map(|&p| p.to_owned()).collect()),
            key_cookies: Vec::new(),
            bypass_cookies: vec!["sessionid".to_owned(), "messages".to_owned()],
            vary_on: Vec::new(),
            languages: Vec::new(),
            forward_headers: ForwardHeaders::Listed(Vec::new()),
            visitor_cache_control: None,
            visitor_tags: Vec::new(),
            max_lag: None,
            upstream_cache: false,
            request_directives: false,
            unsafe_invalidates: true,
            store_nonce: false,
            esi: false,
            store_set_cookie: false,
            compose: false,
            trust_validators: false,
            audit: 0.0,
            audit_ignore: Vec::new(),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_lag: Millis(2_000),
            sync_interval: Millis(1_000),
            journal_lost_limit: Millis(30_000),
            shards: 8,
            control_prefix: "/__isr".to_owned(),
            host_aliases: Vec::new(),
            control_hosts: Vec::new(),
            trusted_ips: Vec::new(),
            front_caches: Vec::new(),
            max_body: 10 << 20,
            memory: 48 << 20,
            fill_memory: 32 << 20,
            origin_timeout: Millis(20_000),
            compose_timeout: Millis(5_000),
            origin_concurrency: 100,
            new_keys_per_second: 50,
            journal_targets: 100_000,
            warm_concurrency: 3,
            warm_origin_concurrency: None,
            warm_rate: 100,
            warm_attempts: 6,
            audit_per_minute: 10,
            location_hint: None,
            jurisdiction: None,
            log: LogLevel::Problems,
            error_page: ErrorPage::default(),
            defaults: Route::default(),
            routes: Vec::new(),
        }
    }
}

impl Config {
    /// The settings that hold for a path of a host: the first rule that matches, else the defaults.
    /// A path that an origin may take for another one, which a rule bypasses, bypasses too (web
    /// cache deception).
    #[must_use]
    pub fn route(&self, host: &str, path: &str) -> &Route {
        let route = self.first_match(host, path);
        match route.action {
            Action::Bypass => route,
            Action::Cache => readings(path)
                .iter()
                .map(|reading| self.first_match(host, reading))
                .find(|read| read.action == Action::Bypass)
                .unwrap_or(route),
        }
    }

    /// Whether a path is the control API's or the CDN's own, or an origin may take it for one that
    /// is.
    #[must_use]
    pub fn is_reserved(&self, path: &str) -> bool {
        let prefixes = [&self.control_prefix, RESERVED_PREFIX].map(str::to_ascii_lowercase);
        // An origin may not distinguish letters' case either.
        let is_reserved = |path: &str| {
            let path = path.to_ascii_lowercase();
            prefixes.iter().any(|prefix| is_below(&path, prefix))
        };
        is_reserved(path) || readings(path).iter().any(|reading| is_reserved(reading))
    }

    /// Whether Edge Side Includes are processed for a path of a host.
    #[must_use]
    pub fn is_esi(&self, host: &str, path: &str) -> bool {
        let any = self.defaults.esi || self.routes.iter().any(|rule| rule.route.esi);
        any && self.route(host, path).esi
    }

    fn first_match(&self, host: &str, path: &str) -> &Route {
        self.routes
            .iter()
            .find(|rule| rule.host.as_deref().is_none_or(|h| h == host) && rule.path.matches(path))
            .map_or(&self.defaults, |rule| &rule.route)
    }

    /// The host as purges name it: lower case, without a default port or the root's dot, aliases
    /// resolved.
    #[must_use]
    pub fn purge_host<'a>(&'a self, host: &'a str) -> Cow<'a, str> {
        let host = host::bare(host);
        match self.host_aliases.iter().find(|(alias, _)| *alias == host) {
            Some((_, name)) => Cow::Borrowed(name.as_str()),
            None => host,
        }
    }

    /// Whether a host serves no pages, but calls alone.
    #[must_use]
    pub fn is_control_host(&self, host: &str) -> bool {
        let host = host::bare(host);
        let name = host::split_port(&host).0;
        // One that is set without a port is one on every port.
        self.control_hosts.iter().any(|control| *control == host || control == name)
    }

    /// Whether a client's address is one of `trusted_ips`.
    #[must_use]
    pub fn trusts(&self, client: Option<&str>) -> bool {
        client.is_some_and(|client| self.trusted_ips.iter().any(|network| network.holds(client)))
    }
}
