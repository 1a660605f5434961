//! Fastly's purge API, by its reference and by what its clients send.

use edge_isr::journal::Mode;
use serde_json::json;

use super::{accepted, json, named, not_recorded, read, refusal, turned_away};

fn service(rest: &str) -> String {
    format!("POST https://purge.example.com/service/SU1Z0isxPaozGVKXdv0eY/{rest}")
}

fn url(rest: &str) -> String {
    format!("POST https://purge.example.com/purge/{rest}")
}

const SOFT: &[(&str, &str)] = &[("fastly-soft-purge", "1")];

#[test]
fn what_is_named_becomes_targets() {
    use Mode::{Hard, Soft};
    let keys = |keys| [("surrogate-key", keys)];
    let rows: [(String, &[(&str, &str)], &str, &[&str], Mode); 15] = [
        (service("purge/post:42"), &[], "", &["tag post:42"], Hard),
        (service("purge/a/b"), &[], "", &["tag a/b"], Hard),
        (service("purge/a%2Fb"), &[], "", &["tag a/b"], Hard),
        (service("purge/100%"), &[], "", &["tag 100%"], Hard),
        (service("purge/a"), SOFT, "", &["tag a"], Soft),
        (service("purge/a"), &[("fastly-soft-purge", "0")], "", &["tag a"], Soft),
        (service("purge"), &keys("b a b"), "{}", &["tag a", "tag b"], Hard),
        (service("purge"), &keys("a"), "null", &["tag a"], Hard),
        (service("purge"), &[], r#"{"surrogate_keys": ["a", "b"]}"#, &["tag a", "tag b"], Hard),
        (service("purge"), SOFT, r#"{"surrogate_keys": ["a"]}"#, &["tag a"], Soft),
        (service("purge_all"), &[], "", &["all"], Hard),
        (service("purge_all"), SOFT, "", &["all"], Hard),
        (url("www.example.com/a?b=1"), &[], "", &["url www.example.com/a?b=1"], Hard),
        (url("https://example.com/a"), SOFT, "", &["url www.example.com/a"], Soft),
        (
            url("a.example/"),
            &[("fastly-purge-environment", "production")],
            "",
            &["url a.example/"],
            Hard,
        ),
    ];
    for (line, fields, body, targets, mode) in rows {
        let purge = read(&line, fields, body).expect(&line);
        assert_eq!(
            named(&purge),
            (targets.iter().map(|t| (*t).to_owned()).collect(), mode),
            "{line}"
        );
    }
}

#[test]
fn answers_have_fastlys_shapes() {
    let one = json!({"status": "ok", "id": "job-1"});
    let rows = [
        (service("purge/a"), "", one.clone()),
        (url("a.example/"), "", one),
        (service("purge_all"), "", json!({"status": "ok"})),
        (
            service("purge"),
            r#"{"surrogate_keys": ["a", "b"]}"#,
            json!({"a": "job-1", "b": "job-1"}),
        ),
    ];
    for (line, body, want) in rows {
        let reply = accepted(&read(&line, &[], body).expect(&line));
        assert_eq!((reply.status, json(&reply)), (200, want), "{line}");
    }
}

#[test]
fn refusals_have_fastlys_shape() {
    let many: Vec<String> = (0..257).map(|n| n.to_string()).collect();
    let many = json!({ "surrogate_keys": many }).to_string();
    let staging: &[(&str, &str)] = &[("fastly-purge-environment", "staging")];
    let rows: [(String, &[(&str, &str)], &str, u16, &str, &str); 12] = [
        (service("purge"), &[], "", 400, "Bad request", "Name the keys"),
        (service("purge"), &[], "{", 400, "Bad request", "not JSON"),
        (service("purge"), &[], r#"{"surrogate_keys": "a"}"#, 400, "Bad request", "list of texts"),
        (service("purge"), &[], r#"{"surrogate_keys": [1]}"#, 400, "Bad request", "list of texts"),
        (
            service("purge"),
            &[],
            r#"{"surrogate_keys": ["a b"]}"#,
            400,
            "Bad request",
            "without space",
        ),
        (service("purge"), &[], &many, 400, "Bad request", "256"),
        (service("purge/a%20b"), &[], "", 400, "Bad request", "without space"),
        (service("purge/"), &[], "", 400, "Bad request", "empty"),
        (service("purge_all"), staging, "", 400, "Bad request", "production alone"),
        (url(""), &[], "", 400, "Bad request", "url:"),
        (service("stats"), &[], "", 404, "Record not found", "no such record"),
        (service("purge/a").replace("POST", "GET"), &[], "", 405, "Bad request", "takes POST"),
    ];
    for (line, fields, body, status, msg, detail) in rows {
        let reply = refusal(&line, fields, body);
        let said = json(&reply);
        assert_eq!(
            (reply.status, said["msg"].as_str()),
            (status, Some(msg)),
            "{line} {body}: {said}"
        );
        assert!(said["detail"].as_str().unwrap().contains(detail), "{said}");
    }
}

#[test]
fn a_call_without_permission_is_refused() {
    let missing = "Provided credentials are missing or invalid";
    let rows: [(&[(&str, &str)], u16, &str); 3] = [
        (&[], 401, missing),
        (&[("fastly-key", "wrong")], 401, missing),
        (
            &[("fastly-key", "reader-secret-value")],
            403,
            "You are not authorized to perform this action",
        ),
    ];
    for (fields, status, msg) in rows {
        let reply = turned_away(&service("purge_all"), fields);
        assert_eq!((reply.status, &json(&reply)["msg"]), (status, &json!(msg)), "{fields:?}");
    }
    let reply = not_recorded(&service("purge_all"));
    assert_eq!((reply.status, reply.fields.get("retry-after")), (503, Some("1")));
}
