//! One exchange, from the visitor's request to the second visitor's answer: admission, forwarding,
//! keys, storage, reuse, validation, ranges.
//!
//! The bytes are a text, so that the corpus can be read and written by hand:
//!
//! ```text
//! GET /path?query            the first visitor's request, then its fields
//! Name: value
//!                            an empty line
//! 200 12                     status, and the seconds that it took; then the answer's fields
//! Name: value
//!
//! 0 1 60 304                 route, standing, age, the status of a validation; then its fields
//! ```
//!
//! The last fields are also what a second visitor of the page sends beside those of the first.

use edge_isr::base::time::{Epoch, Seconds, Timestamp};
use edge_isr::cache::Validity;
use edge_isr::cache::admission::{Admission, Admitted, admit};
use edge_isr::cache::entry::{Entry, ReuseCondition};
use edge_isr::cache::envelope::{Record, decode, encode};
use edge_isr::cache::forward::{
    EdgeFacts, cacheable_request_fields, pass_request_fields, visitor_fields, warm_fields,
};
use edge_isr::cache::range::{RangeAnswer, range_answer};
use edge_isr::cache::reuse::{Reuse, reuse};
use edge_isr::cache::storage::{Storable, Storage, StorageInput, storage, storage_of_range};
use edge_isr::cache::unsafe_methods::changed_by;
use edge_isr::cache::validation::{Update, UpdateInput, conditional_fields, not_modified, update};
use edge_isr::cache::variant::selection;
use edge_isr::config::{Config, ForwardHeaders, QueryPolicy, Route, VaryOn};
use edge_isr::http::cache_control::{FieldScope, ResponseDirectives};
use edge_isr::http::targeted::edge_directives;
use edge_isr::http::{Fields, RequestHead, ResponseHead, cookie, hop};

use super::latin1;

const NOW: Timestamp = Timestamp::from_seconds(1_640_995_200);
const EDGE: EdgeFacts<'static> = EdgeFacts {
    origin_secret: Some("s3cret"),
    warm: false,
    user_agent: "edge-isr/fuzz",
    client_accept_encoding: None,
    esi: false,
};

fn after(seconds: u64) -> Timestamp {
    NOW.plus(Seconds(seconds).into())
}

/// One section: its first line and its fields.
fn section(text: &str) -> (&str, Fields) {
    let mut lines = text.split('\n');
    let first = lines.next().unwrap_or_default();
    let fields = lines.filter_map(|line| line.split_once(':'));
    (first, fields.map(|(name, value)| (name, value.trim_matches(' '))).collect())
}

fn number(words: &mut std::str::SplitWhitespace<'_>) -> u64 {
    words.next().and_then(|word| word.parse().ok()).unwrap_or(0).min(1 << 32)
}

fn route(number: u64) -> Route {
    let open = Route {
        forward_headers: ForwardHeaders::All,
        query: QueryPolicy::Verbatim,
        bypass_cookies: Vec::new(),
        heuristics: true,
        request_directives: true,
        upstream_cache: true,
        trust_validators: true,
        ..Route::default()
    };
    let rich = Route {
        ttl: Some(Seconds(60)),
        swr: Seconds(60),
        sie: Seconds(60),
        negative_ttl: vec![(404, Seconds(10))],
        key_cookies: vec!["a".to_owned()],
        vary_on: vec![VaryOn::Device, VaryOn::Language],
        languages: vec!["en".to_owned(), "de".to_owned()],
        store_set_cookie: true,
        forward_headers: ForwardHeaders::Listed(vec!["x-own".to_owned(), "cookie".to_owned()]),
        ..Route::default()
    };
    match number % 3 {
        0 => Route::default(),
        1 => rich,
        _ => open,
    }
}

fn validity(number: u64) -> Validity {
    let epoch = Epoch(2);
    match number % 7 {
        0 => Validity::Current,
        1 => Validity::JournalLost,
        2 => Validity::JournalLostTooLong,
        3 => Validity::Soft { epoch, at: after(number / 7) },
        4 => Validity::Hard { epoch },
        5 => Validity::SoftUnprovable { epoch },
        _ => Validity::Unprovable { epoch },
    }
}

/// The whole way of an exchange.
pub(crate) fn decision(data: &[u8]) {
    let text = latin1(data);
    let mut sections = text.splitn(3, "\n\n");
    let (line, fields) = section(sections.next().unwrap_or_default());
    let (status, answer) = section(sections.next().unwrap_or_default());
    let (rest, proof) = section(sections.next().unwrap_or_default());
    let (method, target) = line.split_once(' ').unwrap_or((line, "/"));
    let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
    let request = RequestHead {
        method: method.to_owned(),
        scheme: "https".to_owned(),
        host: "example.com".to_owned(),
        path: path.to_owned(),
        query: query.map(str::to_owned),
        fields,
        client: None,
    };
    let mut words = status.split_whitespace();
    let status = u16::try_from(number(&mut words)).unwrap_or(200);
    let response = ResponseHead { status, fields: answer };
    let delay = number(&mut words);
    let mut words = rest.split_whitespace();
    let config = Config { defaults: route(number(&mut words)), ..Config::default() };
    let (validity, age) = (validity(number(&mut words)), number(&mut words));
    let proof_status = u16::try_from(number(&mut words)).unwrap_or(304);
    let proof = ResponseHead { status: proof_status, fields: proof };

    let passed = pass_request_fields(&request, &EDGE);
    assert_eq!(passed.get("x-edge-isr-origin-auth"), EDGE.origin_secret);
    assert!(!passed.has("x-edge-isr-warmup"));
    let _ = changed_by(&request, &response, &config);
    let admitted = match admit(&request, &config) {
        Admission::Serve(admitted) => admitted,
        Admission::Pass(_) | Admission::Refuse(_) => return,
    };
    let sent = cacheable_request_fields(&request, &admitted, &EDGE);
    check_sent(&sent, &admitted);
    check_key(&request, &admitted, &sent, &proof.fields, &config);
    check_warm(&request, &admitted, &sent, &config);
    let input = StorageInput {
        request: &request,
        admitted: &admitted,
        sent: &sent,
        response: &response,
        request_time: NOW,
        response_time: after(delay),
    };
    let _ = storage_of_range(&input);
    let Storage::Store(storable) = storage(&input) else { return };
    check_stored(&storable, &response, &sent, &admitted.route);
    let entry = entry(&request, &admitted, &sent, &storable, &response, delay);
    check_reuse(&request, &admitted, &entry, validity, age);
    // Every tier holds it as it is.
    let stored = Record::Entry(Box::new(entry.clone()));
    assert_eq!(encode(&stored).and_then(|bytes| decode(&bytes)).as_ref(), Ok(&stored));
    for (name, _) in conditional_fields(&entry).iter() {
        assert!(name == "if-none-match" || name == "if-modified-since");
    }
    let _ = not_modified(&request, &entry);
    let renewal = UpdateInput {
        not_modified: &proof,
        sent: &sent,
        request_time: NOW,
        response_time: after(age),
        route: &admitted.route,
    };
    if let Update::Renewed(renewed) = update(&entry, &renewal) {
        let cookies = admitted.route.store_set_cookie;
        assert!(cookies || !renewed.fields.has("set-cookie"));
        assert!(renewed.body_length == entry.body_length);
        assert_eq!((&renewed.key, &renewed.selection), (&entry.key, &entry.selection));
    }
    check_ranges(&request, &entry);
}

fn check_sent(sent: &Fields, admitted: &Admitted<'_>) {
    for (name, value) in sent.iter() {
        assert!(!hop::is_hop_by_hop(name) && !hop::is_unkeyed(name), "{name}");
        assert!(!matches!(name, "if-none-match" | "if-modified-since" | "if-match" | "if-range"));
        assert!(!matches!(name, "range" | "host" | "if-unmodified-since"), "{name}");
        assert!(!value.contains('\n'));
        if admitted.route.forward_headers != ForwardHeaders::All {
            assert!(!matches!(name, "authorization" | "referer" | "origin"), "{name}");
        }
    }
    assert_eq!(sent.get("x-forwarded-host"), Some("example.com"));
    assert_eq!(sent.get("x-edge-isr-origin-auth"), EDGE.origin_secret);
    assert_eq!(sent.all("x-forwarded-proto").count(), 1);
}

/// What is not in the key does not reach the origin: two visitors of one page, the second with
/// further fields, make it see the same, but for what it can name in `Vary`.
fn check_key(
    request: &RequestHead,
    admitted: &Admitted<'_>,
    sent: &Fields,
    further: &Fields,
    config: &Config,
) {
    let fields = further.iter().chain(request.fields.iter()).collect();
    let second = RequestHead { fields, ..request.clone() };
    let Admission::Serve(other) = admit(&second, config) else { return };
    let ForwardHeaders::Listed(listed) = &admitted.route.forward_headers else { return };
    if other.key != admitted.key {
        return;
    }
    let varies = |name: &str| {
        matches!(name, "accept" | "accept-language" | "accept-encoding")
            || listed.iter().any(|l| l == name)
    };
    // What this edge's own platform says there counts requests, and is no visitor's.
    let listed = |fields: &Fields| -> Fields {
        fields.iter().filter(|(name, _)| !varies(name) && *name != "cdn-loop").collect()
    };
    let theirs = cacheable_request_fields(&second, &other, &EDGE);
    assert_eq!(listed(sent), listed(&theirs), "{:?}", admitted.key);
}

/// A warm asks for the very page that its visitor asked for, and the origin sees what it saw then,
/// but for credentials.
fn check_warm(request: &RequestHead, admitted: &Admitted<'_>, sent: &Fields, config: &Config) {
    let kept = warm_fields(request, admitted, sent);
    let warm = RequestHead { fields: kept, method: "GET".to_owned(), ..request.clone() };
    let Admission::Serve(again) = admit(&warm, config) else { panic!("no warm: {warm:?}") };
    assert_eq!(again.key, admitted.key, "{:?}", warm.fields);
    // What this edge's own platform says there counts requests.
    let listed = |fields: &Fields| -> Fields {
        let is_own = |name: &str| matches!(name, "cookie" | "authorization" | "cdn-loop");
        fields.iter().filter(|(name, _)| !is_own(name)).collect()
    };
    let theirs = cacheable_request_fields(&warm, &again, &EDGE);
    assert_eq!(listed(&theirs), listed(sent), "{:?}", warm.fields);
    if admitted.route.forward_headers != ForwardHeaders::All {
        assert_eq!(theirs.get("cookie"), sent.get("cookie"));
    }
}

/// Invariant 5 (docs/architecture.md): what a shared cache must not store is not stored.
fn check_stored(storable: &Storable, response: &ResponseHead, sent: &Fields, route: &Route) {
    let fields = &response.fields;
    assert!((200..600).contains(&response.status) && response.status != 206);
    if fields.has("set-cookie") {
        assert!(route.store_set_cookie && storable.freshness.source.is_explicit());
        assert!(!sent.has("authorization") && !cookie::has_other(sent, &route.key_cookies));
        let plain = ResponseDirectives::of(fields, "cache-control");
        assert!(plain.private == FieldScope::Absent && plain.no_cache == FieldScope::Absent);
        assert!(!plain.no_store);
    }
    assert!(!storable.fields.has("age") && !storable.fields.has("xkey"));
    let directives = edge_directives(fields).directives;
    assert!(!directives.no_store || directives.must_understand);
    assert!(directives.private != FieldScope::Whole);
    assert!(storable.selection_names.is_sorted());
    assert!(storable.selection_names.iter().all(|name| name != "*"));
    let shown = visitor_fields(&storable.fields, route, storable.freshness.source);
    assert!(!shown.has("cdn-cache-control") && !shown.has("x-edge-isr-tags"));
    assert!(shown.iter().all(|(name, _)| !hop::is_hop_by_hop(name)));
}

fn entry(
    request: &RequestHead,
    admitted: &Admitted<'_>,
    sent: &Fields,
    storable: &Storable,
    response: &ResponseHead,
    delay: u64,
) -> Entry {
    let selected = selection(&storable.selection_names, request, admitted, sent);
    assert_eq!(selected.0.len(), storable.selection_names.len());
    Entry {
        key: admitted.key.clone(),
        page: admitted.page.clone(),
        selection: selected,
        status: response.status,
        fields: storable.fields.clone(),
        targets: admitted.page.targets(&storable.tags),
        tags: storable.tags.clone(),
        stamp: Epoch(1),
        fence: 1,
        request_time: NOW,
        response_time: after(delay),
        initial_age: storable.initial_age,
        freshness: storable.freshness.clone(),
        body_length: 100,
    }
}

fn check_reuse(
    request: &RequestHead,
    admitted: &Admitted<'_>,
    entry: &Entry,
    validity: Validity,
    age: u64,
) {
    let now = entry.response_time.plus(Seconds(age).into());
    let got = reuse(entry, validity, &admitted.directives, &admitted.route, now);
    let answers = matches!(got, Reuse::Fresh { .. } | Reuse::Stale { .. });
    let on_error = matches!(got, Reuse::Validate { on_error: true, .. });
    match validity {
        Validity::Current => {}
        Validity::JournalLost | Validity::Soft { .. } | Validity::SoftUnprovable { .. } => {
            assert!(!matches!(got, Reuse::Fresh { .. }))
        }
        Validity::JournalLostTooLong | Validity::Hard { .. } | Validity::Unprovable { .. } => {
            assert!(!answers && !on_error, "{got:?} for {request:?}");
        }
    }
    if entry.age(now) >= entry.freshness.lifetime
        && entry.freshness.reuse_condition != ReuseCondition::Nothing
    {
        assert!(!answers && !on_error, "{got:?} for {request:?}");
    }
    if admitted.directives.no_cache {
        assert!(!answers);
    }
    if matches!(got, Reuse::Fresh { .. }) {
        let before = entry.response_time.plus(Seconds(age / 2).into());
        let then = reuse(entry, validity, &admitted.directives, &admitted.route, before);
        assert!(matches!(then, Reuse::Fresh { .. }), "{then:?} before {got:?}");
    }
}

fn check_ranges(request: &RequestHead, entry: &Entry) {
    match range_answer(request, entry) {
        RangeAnswer::Whole | RangeAnswer::Unsatisfiable => {}
        RangeAnswer::Partial { from, to } => assert!(from < to && to <= entry.body_length),
        RangeAnswer::Multiple { parts, .. } => {
            let total: u64 = parts.iter().map(|(_, from, to)| to - from).sum();
            assert!(parts.len() > 1 && total <= entry.body_length);
        }
    }
}
