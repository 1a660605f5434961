//! What is not a field: addresses, settings, control calls, stored envelopes, the messages of
//! Durable Objects, queries.

use std::collections::HashSet;

use edge_isr::base::json::read_json;
use edge_isr::base::time::Timestamp;
use edge_isr::cache::admission::{Admission, PassReason, Refusal, admit, page_of_url};
use edge_isr::cache::envelope;
use edge_isr::cache::media::contradicts;
use edge_isr::cache::query::normalise_query;
use edge_isr::cache::tag::Target;
use edge_isr::config::host::parse_host;
use edge_isr::config::pattern::readings;
use edge_isr::config::{Config, OriginUrl, PathPattern, QueryPolicy};
use edge_isr::control::{revalidate, route, targets, warm};
use edge_isr::front_caches::parse_config;
use edge_isr::http::{Fields, RequestHead, ResponseHead};
use edge_isr::index::{ShardCall, ShardReply};
use edge_isr::journal::delta::{Delta, Found};
use edge_isr::journal::{JournalCall, JournalReply};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::latin1;

/// What was read is canonical: read again it is the same. A URL that names a page names the one
/// that a visitor's request for it would.
pub(crate) fn address(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(host) = parse_host(&text) {
        assert_eq!(parse_host(&host).as_deref(), Ok(host.as_str()));
        assert!(
            !host.bytes().any(|b| b.is_ascii_uppercase() || b.is_ascii_whitespace()),
            "{host:?}"
        );
    }
    if let Ok(origin) = OriginUrl::parse(&text) {
        let text = origin.to_string();
        assert_eq!(OriginUrl::parse(&text).as_ref(), Ok(&origin), "{text:?}");
        let authority = text.split('/').nth(2).unwrap_or_default();
        assert!(!authority.contains('@') && !text.contains(['?', '#']), "{text:?}");
        assert!(origin.conflicts_with(&origin.host()), "{text:?}");
    }
    let config = Config::default();
    let Some(page) = page_of_url(&text, &config) else { return };
    assert_eq!(page_of_url(&page.url(), &config).as_ref(), Some(&page));
    let request = RequestHead {
        method: "GET".to_owned(),
        scheme: page.scheme.clone(),
        host: page.host.clone(),
        path: page.path.clone(),
        query: page.query.clone(),
        fields: Fields::new(),
        client: None,
    };
    match admit(&request, &config) {
        Admission::Serve(admitted) => assert_eq!(admitted.page, page),
        Admission::Refuse(refusal) => {
            assert!(matches!(refusal, Refusal::BadHost | Refusal::BadUri), "{page:?}");
        }
        // Too deep for the cache, so that nothing warms it either.
        Admission::Pass(pass) => assert_eq!(pass.reason, PassReason::PathDepth, "{page:?}"),
    }
}

/// A message that was read is written as one that reads the same: what one version passes on, the
/// next one reads.
pub(crate) fn message(data: &[u8]) {
    same_again::<JournalCall>(data);
    same_again::<JournalReply>(data);
    same_again::<ShardCall>(data);
    same_again::<ShardReply>(data);
}

fn same_again<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(data: &[u8]) {
    let Ok(read) = read_json::<T>(data) else { return };
    let text = serde_json::to_vec(&read).unwrap_or_default();
    assert_eq!(read_json::<T>(&text).ok().as_ref(), Some(&read));
}

/// What was decoded can be encoded and decoded again, and is the same.
pub(crate) fn codec(data: &[u8]) {
    let _ = envelope::split(data);
    let whole = |record: &envelope::Record| {
        if let Ok(bytes) = envelope::encode(record) {
            assert_eq!(envelope::decode(&bytes).as_ref(), Ok(record));
        }
    };
    if let Ok(record) = envelope::decode(data) {
        whole(&record);
    }
    // The head alone: the fuzzer need not find the prefix and its length first.
    let mut bytes = envelope::MAGIC.to_vec();
    bytes.push(envelope::VERSION);
    bytes.extend_from_slice(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(data);
    if let Ok(record) = envelope::decode(&bytes) {
        whole(&record);
    }
}

/// Settings are taken whole or refused with reasons.
pub(crate) fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match parse_config(&text) {
        Ok(config) => {
            assert!(config.shards >= 1 && config.sync_interval <= config.max_lag);
            let _ = config.summary();
            let _ = config.route("example.com", "/a/b");
        }
        Err(errors) => assert!(!errors.is_empty()),
    }
}

/// Every path below the prefix is a call or a problem; nothing else is either.
pub(crate) fn control_route(data: &[u8]) {
    let text = latin1(data);
    let mut parts = text.splitn(3, '\n');
    let mut next = || parts.next().unwrap_or_default().to_owned();
    let (method, path, query) = (next(), next(), next());
    let below = path == "/__isr" || path.starts_with("/__isr/");
    let request = RequestHead {
        method,
        scheme: "https".to_owned(),
        host: "example.com".to_owned(),
        path,
        query: Some(query).filter(|query| !query.is_empty()),
        fields: Fields::new(),
        client: None,
    };
    assert_eq!(route::route(&request, "/__isr").is_some(), below);
}

/// News is read whole or not at all.
pub(crate) fn delta(data: &[u8]) {
    if let Ok(delta) = read_json::<Delta>(data) {
        let text = serde_json::to_vec(&delta).unwrap_or_default();
        assert_eq!(read_json::<Delta>(&text).ok(), Some(delta));
    }
    let _ = read_json::<Found>(data);
    // The rows alone: their bytes as base64.
    use base64::Engine as _;
    let rows = base64::engine::general_purpose::STANDARD_NO_PAD.encode(data);
    let packed = format!("{{\"since\":1,\"to\":9,\"rows\":\"{rows}\"}}");
    if let Ok(delta) = read_json::<Delta>(packed.as_bytes()) {
        let text = serde_json::to_vec(&delta).unwrap_or_default();
        assert_eq!(read_json::<Delta>(&text).ok(), Some(delta));
    }
}

/// A pattern without `*` matches itself alone; another reading of a path is an absolute path
/// without dots, and what an origin would have to decode is decoded.
pub(crate) fn path(data: &[u8]) {
    let text = latin1(data);
    let (pattern, path) = text.split_once('\n').unwrap_or((&text, "/a/b"));
    if let Ok(read) = PathPattern::parse(pattern) {
        assert!(pattern.contains('*') || read.matches(path) == (pattern == path));
    }
    for reading in readings(path) {
        assert!(reading.starts_with('/') && reading != path);
        assert!(!reading.contains("//") && !reading.contains('\\'), "{path:?}: {reading:?}");
        assert!(reading.split('/').all(|segment| segment != "." && segment != ".."), "{reading:?}");
    }
    let fields = [("content-type", pattern)].into_iter().collect();
    let _ = contradicts(path, &ResponseHead { status: 200, fields });
}

/// Normalising again changes nothing, and every parameter that is left came with the request.
pub(crate) fn query(data: &[u8]) {
    let query = latin1(data);
    let allow = QueryPolicy::Allow(vec!["a".to_owned(), "f_*".to_owned()]);
    let deny = QueryPolicy::Deny(vec!["a".to_owned(), "utm_*".to_owned()]);
    let came: HashSet<&str> = query.split('&').collect();
    for policy in [&allow, &deny] {
        let once = normalise_query(Some(&query), policy);
        assert_eq!(normalise_query(once.as_deref(), policy), once);
        let kept = once.as_deref().unwrap_or_default();
        for parameter in kept.split('&').filter(|p| !p.is_empty()) {
            assert!(came.contains(parameter));
        }
    }
    let verbatim = normalise_query(Some(&query), &QueryPolicy::Verbatim).unwrap_or_default();
    assert_eq!(verbatim, query);
}

/// A call is taken with at least one target, each once, or it is a problem in the 400s.
pub(crate) fn revalidate(data: &[u8]) {
    let config = Config::default();
    match revalidate::parse(data, &config, &targets::page_query(&config), Timestamp::ZERO) {
        Ok(command) => {
            assert!(!command.targets.is_empty() && command.targets.is_sorted());
            assert!(
                command.wait <= revalidate::MAX_WAIT
                    && command.reinvalidate_after <= revalidate::MAX_REINVALIDATE_AFTER
            );
            for target in &command.targets {
                let again = Target::from_parts(target.kind(), target.name());
                assert_eq!(again.as_ref(), Some(target));
                let host = match target {
                    Target::Url(name) | Target::Prefix(name) => name.split('/').next(),
                    Target::Host(name) => Some(name.as_str()),
                    Target::Tag(_) | Target::All => None,
                };
                let lower = host.is_none_or(|host| !host.bytes().any(|b| b.is_ascii_uppercase()));
                assert!(lower, "{target:?} names no page");
            }
        }
        Err(problem) => assert!((400..500).contains(&problem.status())),
    }
    if let Err(problem) = warm::parse(data) {
        assert!((400..500).contains(&problem.status()));
    }
}
