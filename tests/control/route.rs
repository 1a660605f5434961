//! Which control call a request is.
#![allow(clippy::unwrap_used, clippy::panic)]

use edge_isr::base::time::{Epoch, Timestamp};
use edge_isr::cache::tag::{Tag, Target};
use edge_isr::control::auth::TokenScope;
use edge_isr::control::route::{ControlCall, Paging, route};
use edge_isr::control::stats::StatsQuery;
use edge_isr::control::{Problem, ProblemKind};
use edge_isr::http::{Fields, RequestHead};
use edge_isr::journal::history::HistoryRequest;
use edge_isr::journal::report::By;
use edge_isr::journal::schedule_message::ScheduleRequest;
use proptest::prelude::*;

fn request(method: &str, target: &str) -> RequestHead {
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
        fields: Fields::new(),
        client: None,
    }
}

fn call(method: &str, target: &str) -> Option<Result<ControlCall, Problem>> {
    route(&request(method, target), "/__isr")
}

fn job(id: &str) -> ControlCall {
    ControlCall::Job { id: id.into() }
}

fn pages(tag: &str, cursor: Option<&str>, limit: u32) -> ControlCall {
    let paging = Paging { cursor: cursor.map(str::to_owned), limit };
    ControlCall::TagPages { tag: Tag::parse(tag).unwrap(), paging }
}

fn stats(from: Option<i64>, to: Option<i64>, by: By) -> ControlCall {
    let time = |millis: Option<i64>| millis.map(Timestamp::from_millis);
    ControlCall::Stats(StatsQuery { from: time(from), to: time(to), by })
}

fn history(
    before: Option<u64>,
    limit: u32,
    tag: Option<&str>,
    caller: Option<&str>,
) -> ControlCall {
    let naming = tag.map(|tag| Target::Tag(Tag::parse(tag).unwrap())).into_iter().collect();
    let caller = caller.map(str::to_owned);
    let before = before.map(Epoch);
    ControlCall::History(HistoryRequest { before, limit, caller, naming })
}

fn scheduled(after: Option<(i64, &str)>, limit: u32) -> ControlCall {
    let after = after.map(|(at, id)| (Timestamp::from_millis(at), id.to_owned()));
    ControlCall::Scheduled(ScheduleRequest { after, limit })
}

#[test]
fn every_call_is_known() {
    let rows = [
        ("POST", "/__isr/v1/revalidate", ControlCall::Revalidate),
        ("POST", "/__isr/v1/warm", ControlCall::Warm),
        ("POST", "/__isr/v1/workers-cache", ControlCall::WorkersCache),
        ("GET", "/__isr/v1/jobs/msg_1", job("msg_1")),
        ("HEAD", "/__isr/v1/jobs/msg_1", job("msg_1")),
        ("GET", "/__isr/v1/jobs/a%2Fb", job("a/b")),
        ("POST", "/__isr/v1/jobs/msg_1/replay", ControlCall::Replay { id: "msg_1".into() }),
        ("GET", "/__isr/v1/tags/post:42/pages", pages("post:42", None, 100)),
        ("GET", "/__isr/v1/tags/a%2Fb/pages", pages("a/b", None, 100)),
        ("GET", "/__isr/v1/tags/a/b/pages", pages("a/b", None, 100)),
        ("GET", "/__isr/v1/tags/a+b/pages", pages("a+b", None, 100)),
        ("GET", "/__isr/v1/tags/pages/pages", pages("pages", None, 100)),
        ("GET", "/__isr/v1/tags/a/pages?limit=1000&cursor=x%3D", pages("a", Some("x="), 1000)),
        ("GET", "/__isr/v1/tags/a/pages?cursor=&limit=1", pages("a", None, 1)),
        (
            "GET",
            "/__isr/v1/pages?url=https%3A%2F%2Fexample.com%2F%3Fa%3D1%26b",
            ControlCall::Pages { url: "https://example.com/?a=1&b".into() },
        ),
        ("GET", "/__isr/metrics", ControlCall::Metrics { isolate: false }),
        ("GET", "/__isr/metrics?isolate", ControlCall::Metrics { isolate: true }),
        ("GET", "/__isr/v1/stats", stats(None, None, By::Result)),
        ("GET", "/__isr/v1/stats?by=colo&from=1&to=2", stats(Some(1), Some(2), By::Colo)),
        ("GET", "/__isr/v1/stats?by=kind", stats(None, None, By::Kind)),
        ("GET", "/__isr/v1/invalidations", history(None, 100, None, None)),
        (
            "GET",
            "/__isr/v1/invalidations?cursor=12&limit=5&tag=post%3A42&caller=ops",
            history(Some(12), 5, Some("post:42"), Some("ops")),
        ),
        ("GET", "/__isr/v1/scheduled", scheduled(None, 100)),
        ("GET", "/__isr/v1/scheduled?cursor=12.a.b&limit=1", scheduled(Some((12, "a.b")), 1)),
        ("DELETE", "/__isr/v1/scheduled/msg_1", ControlCall::Cancel { id: "msg_1".into() }),
        ("DELETE", "/__isr/v1/scheduled/a%2Fb", ControlCall::Cancel { id: "a/b".into() }),
        ("GET", "/__isr/healthz", ControlCall::Healthz),
        ("HEAD", "/__isr/healthz", ControlCall::Healthz),
    ];
    for (method, target, want) in rows {
        assert_eq!(call(method, target), Some(Ok(want)), "{method} {target}");
    }
}

#[test]
fn a_job_is_streamed_to_who_asks_for_events() {
    let rows = [
        ("text/event-stream", true),
        ("application/json, Text/Event-Stream;q=0.5", true),
        ("text/event-stream;q=0", false),
        ("text/event-stream; q=0.0", false),
        ("text/event-stream; Q=0.000", false),
        ("text/event-stream; q=0.001", true),
        ("text/event-stream; q=1", true),
        ("text/event-streams", false),
        ("*/*", false),
        ("", false),
    ];
    for (accept, streamed) in rows {
        let mut head = request("GET", "/__isr/v1/jobs/a");
        head.fields.append("accept", accept);
        let want = if streamed { ControlCall::JobEvents { id: "a".into() } } else { job("a") };
        assert_eq!(route(&head, "/__isr"), Some(Ok(want)), "{accept}");
    }
}

#[test]
fn what_is_not_below_the_prefix_is_a_page() {
    for target in ["/", "/__isrx", "/__isr-2/healthz", "/blog/__isr/healthz", "/__ISR/healthz"] {
        assert_eq!(call("GET", target), None, "{target}");
    }
    assert_eq!(
        route(&request("GET", "/a/b/healthz"), "/a/b"),
        Some(Ok(ControlCall::Healthz)),
        "another prefix"
    );
}

#[test]
fn each_wrong_call_has_its_own_error() {
    use ProblemKind::{
        Contradiction, InvalidValue, MethodNotAllowed, NotFound, OutOfRange, UnknownField,
    };
    let long = format!("/__isr/v1/jobs/{}", "x".repeat(257));
    let cursor = format!("/__isr/v1/tags/a/pages?cursor={}", "x".repeat(513));
    let rows = [
        ("GET", "/__isr", NotFound, None),
        ("GET", "/__isr/", NotFound, None),
        ("GET", "/__isr/v2/pages", NotFound, None),
        ("GET", "/__isr/healthz/", NotFound, None),
        ("GET", "/__isr//healthz", NotFound, None),
        ("GET", "/__isr/v1/jobs/", NotFound, None),
        ("GET", "/__isr/v1/jobs/a%20b", NotFound, None),
        ("GET", "/__isr/v1/jobs/%ff", NotFound, None),
        ("GET", &long, NotFound, None),
        ("GET", "/__isr/v1/tags/a", NotFound, None),
        ("GET", "/__isr/v1/revalidate", MethodNotAllowed, None),
        ("post", "/__isr/v1/revalidate", MethodNotAllowed, None),
        ("GET", "/__isr/v1/jobs/a/replay", MethodNotAllowed, None),
        ("DELETE", "/__isr/v1/jobs/a", MethodNotAllowed, None),
        ("POST", "/__isr/v1/tags/a/pages", MethodNotAllowed, None),
        ("POST", "/__isr/metrics", MethodNotAllowed, None),
        ("POST", "/__isr/v1/stats", MethodNotAllowed, None),
        ("GET", "/__isr/v1/explain", InvalidValue, Some("url")),
        ("GET", "/__isr/v1/explain?url=a&url=b", Contradiction, Some("url")),
        ("GET", "/__isr/v1/stats?by=host", InvalidValue, Some("by")),
        ("GET", "/__isr/v1/stats?from=2&to=2", Contradiction, Some("from")),
        ("GET", "/__isr/v1/stats?from=-1", InvalidValue, Some("from")),
        ("GET", "/__isr/v1/stats?to=9999999999999999", InvalidValue, Some("to")),
        ("GET", "/__isr/v1/stats?route=x", UnknownField, Some("route")),
        ("POST", "/__isr/v1/invalidations", MethodNotAllowed, None),
        ("POST", "/__isr/v1/scheduled", MethodNotAllowed, None),
        ("GET", "/__isr/v1/scheduled/a", MethodNotAllowed, None),
        ("DELETE", "/__isr/v1/scheduled", MethodNotAllowed, None),
        ("DELETE", "/__isr/v1/scheduled/", NotFound, None),
        ("DELETE", "/__isr/v1/scheduled/a%20b", NotFound, None),
        ("DELETE", "/__isr/v1/scheduled/a?at=1", UnknownField, Some("at")),
        ("GET", "/__isr/v1/scheduled?cursor=a", InvalidValue, Some("cursor")),
        ("GET", "/__isr/v1/scheduled?cursor=-1.a", InvalidValue, Some("cursor")),
        ("GET", "/__isr/v1/invalidations?limit=0", OutOfRange, Some("limit")),
        ("GET", "/__isr/v1/invalidations?cursor=-1", InvalidValue, Some("cursor")),
        ("GET", "/__isr/v1/invalidations?cursor=1.", InvalidValue, Some("cursor")),
        ("GET", "/__isr/v1/invalidations?cursor=99999999999999999", InvalidValue, Some("cursor")),
        ("GET", "/__isr/v1/invalidations?tag=", InvalidValue, Some("tag")),
        ("GET", "/__isr/v1/invalidations?tag=a%20b", InvalidValue, Some("tag")),
        ("GET", "/__isr/v1/invalidations?caller=", InvalidValue, Some("caller")),
        ("GET", "/__isr/v1/invalidations?url=a", UnknownField, Some("url")),
        ("POST", "/__isr/v1/revalidate?soft=1", UnknownField, Some("soft")),
        ("GET", "/__isr/v1/tags/a/pages?page=2", UnknownField, Some("page")),
        ("GET", "/__isr/v1/tags//pages", InvalidValue, Some("tag")),
        ("GET", "/__isr/v1/tags/a%20b/pages", InvalidValue, Some("tag")),
        ("GET", "/__isr/v1/tags/a%2/pages", InvalidValue, Some("tag")),
        ("GET", "/__isr/v1/tags/a/pages?limit=0", OutOfRange, Some("limit")),
        ("GET", "/__isr/v1/tags/a/pages?limit=1001", OutOfRange, Some("limit")),
        ("GET", "/__isr/v1/tags/a/pages?limit=%2B5", OutOfRange, Some("limit")),
        ("GET", "/__isr/v1/tags/a/pages?limit=ten", OutOfRange, Some("limit")),
        ("GET", "/__isr/v1/tags/a/pages?limit=", OutOfRange, Some("limit")),
        ("GET", "/__isr/v1/tags/a/pages?limit=1&limit=2", Contradiction, Some("limit")),
        ("GET", "/__isr/v1/tags/a/pages?cursor=a%0Ab", InvalidValue, Some("cursor")),
        ("GET", &cursor, InvalidValue, Some("cursor")),
        ("GET", "/__isr/v1/tags/a/pages?cursor=%ff", InvalidValue, None),
        ("GET", "/__isr/v1/pages", InvalidValue, Some("url")),
        ("GET", "/__isr/v1/pages?url=", InvalidValue, Some("url")),
    ];
    for (method, target, kind, field) in rows {
        let Some(Err(problem)) = call(method, target) else {
            panic!("{method} {target} was taken")
        };
        assert_eq!((problem.kind(), problem.field()), (kind, field), "{method} {target}");
    }
}

#[test]
fn a_wrong_method_is_answered_with_the_right_ones() {
    for (method, target, want) in [
        ("GET", "/__isr/v1/revalidate", "POST"),
        ("POST", "/__isr/healthz", "GET, HEAD"),
        ("PUT", "/__isr/v1/jobs/a", "GET, HEAD"),
    ] {
        let problem = call(method, target).unwrap().unwrap_err();
        assert_eq!(problem.status(), 405, "{target}");
        assert_eq!(problem.fields().get("allow"), Some(want), "{target}");
    }
}

#[test]
fn calls_need_their_scopes() {
    let rows = [
        (ControlCall::Revalidate, Some(TokenScope::Revalidate)),
        (ControlCall::Warm, Some(TokenScope::Revalidate)),
        (ControlCall::Replay { id: "a".into() }, Some(TokenScope::Revalidate)),
        (job("a"), Some(TokenScope::Read)),
        (ControlCall::JobEvents { id: "a".into() }, Some(TokenScope::Read)),
        (pages("a", None, 1), Some(TokenScope::Read)),
        (ControlCall::Pages { url: "a".into() }, Some(TokenScope::Read)),
        (ControlCall::Metrics { isolate: false }, Some(TokenScope::Read)),
        (stats(None, None, By::Route), Some(TokenScope::Read)),
        (history(None, 1, None, None), Some(TokenScope::Read)),
        (scheduled(None, 1), Some(TokenScope::Read)),
        (ControlCall::Cancel { id: "a".into() }, Some(TokenScope::Revalidate)),
        (ControlCall::Healthz, None),
    ];
    for (call, scope) in rows {
        assert_eq!(call.scope(), scope, "{}", call.as_str());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Below the prefix every request is a call or a problem of the client; elsewhere none is.
    #[test]
    fn any_request_is_routed(
        method in "(GET|POST|[A-Z]{0,5})",
        path in "(/__isr)?(/v1)?(/jobs/|/tags/|/pages|/metrics)?[ -~]{0,16}(/pages|/replay)?",
        query in prop::option::of("[a-z%=&+0-9]{0,20}"),
    ) {
        let mut head = request(&method, &path);
        head.query = query;
        let below = head.path == "/__isr" || head.path.starts_with("/__isr/");
        match route(&head, "/__isr") {
            None => prop_assert!(!below),
            Some(Ok(_)) => prop_assert!(below),
            Some(Err(problem)) => {
                prop_assert!(below);
                prop_assert!((400..500).contains(&problem.status()));
            }
        }
    }
}
