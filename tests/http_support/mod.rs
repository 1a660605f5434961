//! Short ways to write requests, responses and stored responses in tables.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a table that is written wrong fails its test"
)]

use edge_isr::base::time::{Epoch, Seconds, Timestamp};
use edge_isr::cache::admission::{Admission, Admitted, PassReason, Refusal, admit};
use edge_isr::cache::entry::{Entry, Freshness, FreshnessSource, ReuseCondition};
use edge_isr::cache::forward::{EdgeFacts, cacheable_request_fields};
use edge_isr::cache::key::{CacheKey, Page, Selection};
use edge_isr::cache::storage::{NoStore, Storable, Storage, StorageInput, storage};
use edge_isr::cache::tag::TagSet;
use edge_isr::config::{Config, ForwardHeaders, QueryPolicy, Route};
use edge_isr::http::{Fields, RequestHead, ResponseHead};

/// Sat, 01 Jan 2022 00:00:00 GMT.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_640_995_200);
pub(crate) const DATE: &str = "Sat, 01 Jan 2022 00:00:00 GMT";

pub(crate) const EDGE: EdgeFacts<'static> = EdgeFacts {
    origin_secret: None,
    warm: false,
    user_agent: "edge-isr/test",
    client_accept_encoding: None,
    esi: false,
};

/// Fields out of lines `Name: value`, divided by `|`.
pub(crate) fn fields(lines: &str) -> Fields {
    lines
        .split('|')
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (name, value) = line.split_once(':').expect("Name: value");
            (name.trim().to_owned(), value.strip_prefix(' ').unwrap_or(value).to_owned())
        })
        .collect()
}

/// `METHOD /path?query`, and fields.
pub(crate) fn request(line: &str, lines: &str) -> RequestHead {
    let (method, target) = line.split_once(' ').expect("METHOD target");
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    RequestHead {
        method: method.to_owned(),
        scheme: "https".to_owned(),
        host: "example.com".to_owned(),
        path: path.to_owned(),
        query,
        fields: fields(lines),
        client: Some("192.0.2.7".to_owned()),
    }
}

pub(crate) fn get(lines: &str) -> RequestHead {
    request("GET /page", lines)
}

pub(crate) fn response(status: u16, lines: &str) -> ResponseHead {
    ResponseHead { status, fields: fields(lines) }
}

pub(crate) fn config(route: Route) -> Config {
    Config { defaults: route, ..Config::default() }
}

/// The settings under which the public test suite runs: everything forwarded, every directive
/// heard.
pub(crate) fn open_route() -> Route {
    Route {
        forward_headers: ForwardHeaders::All,
        query: QueryPolicy::Verbatim,
        bypass_cookies: Vec::new(),
        heuristics: true,
        request_directives: true,
        upstream_cache: true,
        trust_validators: true,
        visitor_cache_control: Some("origin".to_owned()),
        ..Route::default()
    }
}

/// What admission does, in one word.
#[derive(Debug, PartialEq)]
pub(crate) enum Admit {
    Serve,
    Pass(PassReason),
    Refuse(Refusal),
}

pub(crate) fn admitted_as(request: &RequestHead, config: &Config) -> Admit {
    match admit(request, config) {
        Admission::Serve(_) => Admit::Serve,
        Admission::Pass(pass) => Admit::Pass(pass.reason),
        Admission::Refuse(refusal) => Admit::Refuse(refusal),
    }
}

pub(crate) fn serve<'c>(request: &RequestHead, config: &'c Config) -> Admitted<'c> {
    match admit(request, config) {
        Admission::Serve(admitted) => admitted,
        other => panic!("not for the cache: {other:?}"),
    }
}

/// The decision on an answer that came at once.
pub(crate) fn store(
    request: &RequestHead,
    route: &Route,
    response: &ResponseHead,
) -> Result<Storable, NoStore> {
    let config = config(route.clone());
    let admitted = serve(request, &config);
    let sent = cacheable_request_fields(request, &admitted, &EDGE);
    let input = StorageInput {
        request,
        admitted: &admitted,
        sent: &sent,
        response,
        request_time: NOW,
        response_time: NOW,
    };
    match storage(&input) {
        Storage::Store(storable) => Ok(storable),
        Storage::Share(_, reason) | Storage::Refuse(reason) => Err(reason),
    }
}

/// A stored response with the given fields, and freshness as `lifetime+swr+sie`.
pub(crate) fn entry(
    lines: &str,
    freshness: (u64, u64, u64),
    reuse_condition: ReuseCondition,
) -> Entry {
    let page = Page {
        scheme: "https".to_owned(),
        host: "example.com".to_owned(),
        purge_host: "example.com".to_owned(),
        path: "/page".to_owned(),
        query: None,
    };
    Entry {
        key: CacheKey::new(&page, []),
        targets: page.targets(&TagSet::default()),
        page,
        selection: Selection::default(),
        status: 200,
        fields: fields(lines),
        tags: TagSet::default(),
        stamp: Epoch(1),
        fence: 0,
        request_time: NOW,
        response_time: NOW,
        initial_age: Seconds(0),
        freshness: Freshness {
            lifetime: Seconds(freshness.0),
            source: FreshnessSource::MaxAge,
            stale_while_revalidate: Seconds(freshness.1),
            stale_if_error: Seconds(freshness.2),
            reuse_condition,
        },
        body_length: 100,
    }
}

/// `NOW` and some seconds.
pub(crate) fn after(seconds: u64) -> Timestamp {
    NOW.plus(Seconds(seconds).into())
}
