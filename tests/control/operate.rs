//! What operators see: problem documents, health, metrics, the log, and the replies' JSON.
#![allow(clippy::unwrap_used, clippy::panic)]

use edge_isr::base::time::{Epoch, Millis, Seconds, Timestamp};
use edge_isr::config::{Config, LogLevel, OriginUrlError, TRACKING_PARAMETERS};
use edge_isr::control::healthz::{Health, HealthReason};
use edge_isr::control::log::{Event, redact};
use edge_isr::control::metrics::{Counter, Gauge, Metrics};
use edge_isr::control::reply::{Accepted, FailedPage, JobReply, JobState, PagesReply, json};
use edge_isr::control::site_metrics::{self, SiteFacts};
use edge_isr::control::{Problem, ProblemKind, Secrets};
use edge_isr::front_caches::parse_config;
use edge_isr::journal::report::{Counts, OriginSum, RequestKind, Sum};
use proptest::prelude::*;
use serde_json::{Value, json};

fn document(problem: &Problem) -> Value {
    serde_json::from_slice(&problem.body()).unwrap()
}

#[test]
fn a_problem_is_a_document() {
    let problem = Problem::new(ProblemKind::InvalidValue, "tags[3]: \"no\".").at("tags[3]");
    assert_eq!(
        document(&problem),
        json!({
            "type": "urn:edge-isr:problem:invalid-value", "title": "Invalid value", "status": 422,
            "detail": "tags[3]: \"no\".", "field": "tags[3]"
        })
    );
    assert_eq!(problem.fields().get("content-type"), Some("application/problem+json"));
    assert_eq!(problem.fields().get("cache-control"), Some("no-store"));
    assert!(!problem.fields().has("retry-after"));
}

#[test]
fn problems_carry_what_their_status_asks_for() {
    let rows = [
        (Problem::refused(508, "loop"), 508, "reason", json!("loop"), None),
        (
            Problem::origin(504, "origin-timeout", "No answer."),
            504,
            "reason",
            json!("origin-timeout"),
            None,
        ),
        (Problem::id_conflict(), 409, "field", json!("webhook-id"), None),
        (Problem::not_found("job"), 404, "detail", json!("There is no such job."), None),
        (
            Problem::not_recorded("unreachable"),
            503,
            "retry_after",
            json!(1),
            Some(("retry-after", "1")),
        ),
        (
            Problem::new(ProblemKind::TooManyRequests, "").retry_after(Seconds(30)),
            429,
            "retry_after",
            json!(30),
            Some(("retry-after", "30")),
        ),
        (
            Problem::new(ProblemKind::NotAuthenticated, ""),
            401,
            "status",
            json!(401),
            Some(("www-authenticate", "Bearer realm=\"edge-isr\"")),
        ),
        (
            Problem::new(ProblemKind::MethodNotAllowed, "").allow("POST"),
            405,
            "status",
            json!(405),
            Some(("allow", "POST")),
        ),
    ];
    for (problem, status, member, value, field) in rows {
        assert_eq!(problem.status(), status);
        let document = document(&problem);
        assert_eq!((&document["status"], &document[member]), (&json!(status), &value), "{status}");
        if let Some((name, value)) = field {
            assert_eq!(problem.fields().get(name), Some(value), "{status}");
        }
    }
}

#[test]
fn kinds_have_names_of_their_own() {
    for (at, kind) in ProblemKind::ALL.iter().enumerate() {
        let before = &ProblemKind::ALL[..at];
        assert!(before.iter().all(|other| other.as_str() != kind.as_str()), "{kind:?}");
        assert!((400..=599).contains(&kind.status()) && !kind.title().is_empty(), "{kind:?}");
    }
}

fn health(reasons: Vec<HealthReason>) -> Health {
    Health {
        reasons,
        epoch: Some(Epoch(7)),
        view_age: Some(Millis(120)),
        config: Some(Config::default().summary()),
    }
}

#[test]
fn health_shows_what_blocks() {
    let errors = parse_config(r#"{"shards": 0, "log": 1}"#).unwrap_err();
    let secrets = Secrets::parse("hunter2", "").unwrap_err();
    let rows = [
        (vec![], 200),
        (vec![HealthReason::Cold], 200),
        (vec![HealthReason::JournalLost(Millis(5000))], 200),
        (vec![HealthReason::NothingCanInvalidate], 200),
        (vec![HealthReason::Config(errors)], 503),
        (vec![HealthReason::Origin(OriginUrlError::Scheme)], 503),
        (vec![HealthReason::OriginIsWorker], 503),
        (vec![HealthReason::Secrets(secrets)], 503),
        (vec![HealthReason::Cold, HealthReason::JournalLostTooLong(Millis(31_000))], 503),
    ];
    for (reasons, status) in rows {
        let health = health(reasons.clone());
        let text = String::from_utf8(health.body()).unwrap();
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(health.status(), status, "{text}");
        assert_eq!(body["ready"], json!(status == 200), "{text}");
        let count = |list: &str| body[list].as_array().unwrap().len();
        assert_eq!(count("reasons") + count("notes"), reasons.len(), "{text}");
        assert_eq!(count("reasons") > 0, status == 503, "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    let body: Value = serde_json::from_slice(
        &health(vec![HealthReason::Config(parse_config(r#"{"shards": 0}"#).unwrap_err())]).body(),
    )
    .unwrap();
    assert_eq!(
        body["reasons"],
        json!([{"reason": "config-invalid",
                "details": ["shards: expected a whole number from 1 to 256, got 0"]}])
    );
    assert_eq!((&body["epoch"], &body["view_age_ms"]), (&json!(7), &json!(120)));
    assert_eq!(body["config"]["shards"], json!(8));
}

/// What each rule asks of requests is shown in the words of the settings, the defaults as the last
/// rule.
#[test]
fn health_shows_the_rules() {
    let settings = r#"{
        "defaults": {"query": "verbatim", "key_cookies": ["django_language"]},
        "routes": [
            {"path": "/api/*", "host": "api.example.net", "action": "bypass"},
            {"path": "*.pdf", "query": {"allow": ["page", "x_*"]}, "vary_on": ["device", "language"],
             "languages": ["en", "de"], "forward_headers": ["HX-Request"]},
            {"path": "/shop/*", "query": {"deny": ["ref"]}, "forward_headers": "all"}
        ]
    }"#;
    let config = Some(parse_config(settings).unwrap().summary());
    let health = Health { config, ..health(vec![]) };
    let body: Value = serde_json::from_slice(&health.body()).unwrap();
    // A list of what to deny is in effect beside that of tracking parameters.
    let denied: Vec<&str> = TRACKING_PARAMETERS.iter().copied().chain(["ref"]).collect();
    let rule = |path: &str| {
        json!({"path": path, "action": "cache", "query": "verbatim",
               "key_cookies": ["django_language"], "vary_on": [], "forward_headers": []})
    };
    let with = |mut rule: Value, fields: Value| {
        for (name, value) in fields.as_object().unwrap() {
            rule[name] = value.clone();
        }
        rule
    };
    assert_eq!(
        body["config"]["rules"],
        json!([
            with(rule("/api/*"), json!({"host": "api.example.net", "action": "bypass"})),
            with(
                rule("*.pdf"),
                json!({"query": {"allow": ["page", "x_*"]}, "vary_on": ["device", "language"],
                       "forward_headers": ["hx-request"]})
            ),
            with(rule("/shop/*"), json!({"query": {"deny": denied}, "forward_headers": "all"})),
            rule("/*"),
        ])
    );
    assert_eq!(
        (&body["config"]["routes"], &body["config"]["bypass_routes"]),
        (&json!(3), &json!(1))
    );
}

#[test]
fn metrics_are_counted_and_rendered() {
    let mut metrics = Metrics::default();
    metrics.count(Counter::Hit, 2);
    metrics.count(Counter::Hit, 1);
    metrics.count(Counter::BytesOrigin, u64::MAX);
    metrics.count(Counter::BytesOrigin, 1);
    metrics.set(Gauge::ViewAge, 1500);
    metrics.set(Gauge::FillBytes, 0);
    assert_eq!(metrics.counted(Counter::Hit), 3);
    let text = metrics.render(&[("version", "0.1.0"), ("colo", "a\"b\\c\nd")]);
    let lines: Vec<&str> = text.lines().collect();
    for want in [
        r#"edge_isr_info{version="0.1.0",colo="a\"b\\c\nd"} 1"#,
        r#"edge_isr_requests_total{result="hit"} 3"#,
        r#"edge_isr_requests_total{result="miss"} 0"#,
        r#"edge_isr_body_bytes_total{source="origin"} 18446744073709551615"#,
        "edge_isr_view_age_seconds 1.5",
        "edge_isr_fill_bytes 0",
        "# TYPE edge_isr_requests_total counter",
        "# TYPE edge_isr_view_age_seconds gauge",
    ] {
        assert!(lines.contains(&want), "{want} is not in\n{text}");
    }
    assert!(!text.contains("edge_isr_view_epoch"), "a gauge that is not set is left out");
    assert!(text.ends_with('\n'));
}

#[test]
fn the_sites_metrics_are_openmetrics_whatever_was_reported() {
    let mut all = Counts::default();
    let kind = |route: &str, result: &str, reason: &str| RequestKind {
        route: route.into(),
        result: result.into(),
        reason: reason.into(),
    };
    let sum = |requests| Sum { requests, bytes: 0 };
    all.count(kind("/a\"b\\c\nd", "hit", "<b>"), sum(3));
    all.count_colo("AMS".into(), sum(3));
    all.count_origin("/a\"b".into(), OriginSum { requests: 3, millis: 1250 });
    for (name, by) in [
        ("edge_isr_requests_total|result|hit", 3),
        ("edge_isr_joys_total|kind|big\"", 9),
        ("edge_isr_no_label_total", 1),
        ("other_total|a|b", 1),
        ("edge_isr_x y_total|a|b", 1),
        ("edge_isr_x_total|a\nb|c", 1),
        ("edge_isr_gauge|a|b", 1),
    ] {
        all.count_counter(name.into(), by);
    }
    let facts = SiteFacts { version: "0.1.0".into(), isolates: 2, ..SiteFacts::default() };
    let text = site_metrics::render(&all, &facts);
    let lines: Vec<&str> = text.lines().collect();
    for want in [
        r#"edge_isr_info{version="0.1.0"} 1"#,
        "# TYPE edge_isr_requests counter",
        r#"edge_isr_requests_total{result="hit"} 3"#,
        r#"edge_isr_joys_total{kind="big\""} 9"#,
        r#"edge_isr_route_requests_total{route="/a\"b\\c\nd",result="hit",reason="<b>"} 3"#,
        r#"edge_isr_colo_requests_total{colo="AMS"} 3"#,
        "# TYPE edge_isr_origin_request_duration_seconds summary",
        "# UNIT edge_isr_origin_request_duration_seconds seconds",
        r#"edge_isr_origin_request_duration_seconds_count{route="/a\"b"} 3"#,
        r#"edge_isr_origin_request_duration_seconds_sum{route="/a\"b"} 1.25"#,
        "edge_isr_isolates 2",
    ] {
        assert!(lines.contains(&want), "{want} is not in\n{text}");
    }
    for not in ["other_total", "x y", "edge_isr_x_total", "edge_isr_gauge", "no_label"] {
        assert!(!text.contains(not), "{not} is in\n{text}");
    }
    // Each family is named once, before its samples, and the text ends as it should.
    let (mut family, mut families) = ("", vec![]);
    for line in &lines {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap();
            assert!(!families.contains(&family), "{line}");
            families.push(family);
        } else if !line.starts_with('#') {
            assert!(line.starts_with(family), "{line}");
            line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
        }
    }
    assert_eq!(lines.iter().filter(|line| **line == "# EOF").count(), 1);
    assert!(text.ends_with("\n# EOF\n"));
}

/// The text format: HELP and TYPE once for each family, before its samples, which stand together;
/// no sample twice.
#[test]
fn the_scrape_is_well_formed() {
    let mut metrics = Metrics::default();
    for gauge in [Gauge::ViewAge, Gauge::ViewEpoch, Gauge::ViewTargets, Gauge::MemoryEntries] {
        metrics.set(gauge, 1);
    }
    let text = metrics.render(&[]);
    let (mut family, mut families, mut samples) = (String::new(), vec![], vec![]);
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            family = rest.split(' ').next().unwrap().to_owned();
            assert!(!families.contains(&family), "{line}");
            families.push(family.clone());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(rest.starts_with(&format!("{family} ")), "{line}");
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(series == family || series.starts_with(&format!("{family}{{")), "{line}");
            assert!(!samples.contains(&series), "{line}");
            value.parse::<f64>().unwrap();
            samples.push(series);
        }
    }
    assert!(families.len() >= 14 && samples.len() >= 38, "{text}");
}

#[test]
fn a_log_line_is_json_without_queries() {
    let now = Timestamp::from_millis(1_700_000_000_123);
    let event = Event::OriginFailed {
        url: "https://example.com/reset?token=hunter2",
        reason: "fetch of \"http://origin/?token=hunter2\" failed",
    };
    let line = event.line(now, LogLevel::Problems).unwrap();
    assert!(!line.contains("hunter2") && !line.contains('\n'), "{line}");
    let value: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        value,
        json!({
            "at_ms": 1_700_000_000_123_i64, "level": "problem", "event": "origin-failed",
            "url": "https://example.com/reset?[redacted]",
            "reason": "fetch of \"http://origin/?[redacted]\" failed"
        })
    );
}

#[test]
fn the_setting_says_which_events_are_written() {
    let problems = ["a?b".to_owned()];
    let events = [
        (Event::ConfigInvalid { problems: &problems }, "config-invalid", true),
        (Event::OriginFailed { url: "u", reason: "r" }, "origin-failed", true),
        (Event::NotStored { url: "u", reason: "r" }, "not-stored", true),
        (Event::StoreFailed { tier: "l1", operation: "get", reason: "r" }, "store-failed", true),
        (Event::CallFailed { object: "journal", call: "append", reason: "r" }, "call-failed", true),
        (
            Event::Revalidated {
                id: "i",
                epoch: Epoch(3),
                targets: 2,
                mode: "soft",
                caller: "ci",
                via: "fastly",
                reason: "line\nbreak",
            },
            "revalidated",
            false,
        ),
        (
            Event::ControlRefused { call: "pages", status: 401, reason: "r" },
            "control-refused",
            true,
        ),
        (Event::WarmFailed { url: "u", reason: "r", attempts: 1 }, "warm-failed", false),
        (Event::WarmDead { url: "u", reason: "r", attempts: 6 }, "warm-dead", true),
    ];
    for (event, name, problem) in events {
        assert_eq!(event.name(), name);
        assert_eq!(event.line(Timestamp::ZERO, LogLevel::Off), None, "{name}");
        assert_eq!(event.line(Timestamp::ZERO, LogLevel::Problems).is_some(), problem, "{name}");
        let line = event.line(Timestamp::ZERO, LogLevel::Events).unwrap();
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["event"], json!(name));
        assert!(!line.contains('\n'), "{line}");
    }
}

#[test]
fn queries_are_cut_wherever_they_stand() {
    let rows = [
        ("", ""),
        ("/a", "/a"),
        ("/a?b=c", "/a?[redacted]"),
        ("/a?b=c?d /e?f", "/a?[redacted] /e?[redacted]"),
        ("(https://a/?b)", "(https://a/?[redacted])"),
        ("\"/a?b\" and '/c?d'", "\"/a?[redacted]\" and '/c?[redacted]'"),
        ("why? no", "why? no"),
        ("why?", "why?"),
        ("/a?é=ü", "/a?[redacted]"),
    ];
    for (given, want) in rows {
        assert_eq!(redact(given), want, "{given}");
    }
}

#[test]
fn replies_have_the_contracts_json() {
    let accepted = Accepted {
        id: "msg_1".into(),
        epoch: Epoch(42),
        pages: Some(3),
        warming: Some(4),
        unknown: 0,
        dry_run: false,
        repeated: false,
        notes: vec![],
    };
    assert_eq!(json(&accepted), br#"{"id":"msg_1","epoch":42,"pages":3,"warming":4}"#);
    let dry = Accepted { dry_run: true, notes: vec!["n".into()], ..accepted };
    let value: Value = serde_json::from_slice(&json(&dry)).unwrap();
    assert_eq!((&value["dry_run"], &value["notes"]), (&json!(true), &json!(["n"])));
    let last = PagesReply { pages: vec![], next: None, notes: vec![] };
    assert_eq!(json(&last), br#"{"pages":[],"next":null}"#);
}

fn job(queued: u64, running: u64, done: u64, failed: u64, superseded: u64) -> JobReply {
    JobReply {
        id: "a".into(),
        epoch: Epoch(1),
        state: JobReply::state_of(queued, running, done, failed, superseded),
        complete: true,
        pages: 1,
        total: queued + running + done + failed + superseded,
        queued,
        running,
        done,
        changed: 0,
        unchanged: 0,
        failed,
        superseded,
        failures: vec![FailedPage { url: "u".into(), reason: "a\nb".into(), attempts: 6 }],
        retrying: None,
        unknown: 0,
        front_caches: Vec::new(),
    }
}

#[test]
fn a_jobs_state_follows_from_its_counts() {
    let rows = [
        (job(0, 0, 0, 0, 0), JobState::Done),
        (job(3, 0, 0, 0, 0), JobState::Queued),
        (job(2, 1, 0, 0, 0), JobState::Running),
        (job(2, 0, 1, 0, 0), JobState::Running),
        (job(0, 0, 3, 0, 0), JobState::Done),
        (job(0, 0, 2, 1, 0), JobState::Failed),
        (job(0, 0, 0, 0, 3), JobState::Superseded),
        (job(0, 0, 1, 0, 2), JobState::Done),
    ];
    for (job, state) in rows {
        assert_eq!(job.state, state, "{job:?}");
    }
}

#[test]
fn a_jobs_event_is_one_data_line() {
    for (job, name) in [(job(1, 0, 0, 0, 0), "progress"), (job(0, 0, 1, 0, 0), "end")] {
        let event = String::from_utf8(job.event()).unwrap();
        let rest = event.strip_prefix(&format!("event: {name}\ndata: ")).unwrap();
        let data = rest.strip_suffix("\n\n").unwrap();
        assert!(!data.contains('\n'), "{event}");
        let value: Value = serde_json::from_str(data).unwrap();
        assert_eq!(value["failures"][0]["reason"], json!("a\nb"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// No character behind a question mark is left in its word, and nothing else is lost.
    #[test]
    fn redaction_keeps_all_but_queries(
        words in prop::collection::vec(
            ("[a-z/:.é]{0,6}", prop::option::of("[a-z=&%?]{1,8}")),
            0..6,
        ),
    ) {
        let (mut given, mut want) = (vec![], vec![]);
        for (path, query) in words {
            given.push(match &query {
                Some(query) => format!("{path}?{query}"),
                None => path.clone(),
            });
            want.push(if query.is_some() { format!("{path}?[redacted]") } else { path });
        }
        prop_assert_eq!(redact(&given.join(" ")), want.join(" "));
    }

    #[test]
    fn any_text_makes_one_line(url in "\\PC{0,20}", reason in ".{0,20}") {
        let event = Event::NotStored { url: &url, reason: &reason };
        let line = event.line(Timestamp::ZERO, LogLevel::Events).unwrap();
        prop_assert!(!line.contains('\n') && serde_json::from_str::<Value>(&line).is_ok());
    }
}
