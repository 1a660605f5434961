//! Cloudflare's purge API, by its reference and by what its clients send.

use edge_isr::journal::Mode;
use serde_json::json;

use super::{accepted, json, named, not_recorded, read, refusal, turned_away};

const PURGE: &str = "POST https://purge.example.com/client/v4/zones/0a1b/purge_cache";
const DELETE: &str = "DELETE https://purge.example.com/client/v4/zones/0a1b/purge_cache";
const INVALIDATE: &str = "POST https://purge.example.com/client/v4/zones/0a1b/invalidate_cache";

#[test]
fn what_is_named_becomes_targets() {
    use Mode::{Hard, Soft};
    let rows: [(&str, &str, &[&str], Mode); 11] = [
        (
            PURGE,
            r#"{"files": ["https://www.example.com/a?b=1"]}"#,
            &["url www.example.com/a?b=1"],
            Hard,
        ),
        // Wagtail 7.3 and older.
        (DELETE, r#"{"files": ["http://example.com/"]}"#, &["url www.example.com/"], Hard),
        (
            PURGE,
            r#"{"files": [{"url": "https://a.example/x", "headers": {"CF-Device-Type": "mobile"}}, "https://a.example/y"]}"#,
            &["url a.example/x", "url a.example/y"],
            Hard,
        ),
        (PURGE, r#"{"tags": ["post:42", "b"]}"#, &["tag b", "tag post:42"], Hard),
        // A page that was tagged "a b" has both.
        (PURGE, r#"{"tags": ["a b,c"]}"#, &["tag a", "tag b", "tag c"], Hard),
        (PURGE, r#"{"hosts": ["Example.com"]}"#, &["host www.example.com"], Hard),
        (PURGE, r#"{"prefixes": ["a.example/blog/"]}"#, &["prefix a.example/blog/"], Hard),
        (PURGE, r#"{"purge_everything": true}"#, &["all"], Hard),
        (PURGE, r#"{"files": [], "purge_everything": false, "tags": ["a"]}"#, &["tag a"], Hard),
        (INVALIDATE, r#"{"tags": ["a"]}"#, &["tag a"], Soft),
        (INVALIDATE, r#"{"purge_everything": true}"#, &["all"], Soft),
    ];
    for (line, body, targets, mode) in rows {
        let purge = read(line, &[], body).expect(body);
        assert_eq!(
            named(&purge),
            (targets.iter().map(|t| (*t).to_owned()).collect(), mode),
            "{body}"
        );
        assert_eq!(purge.receipt, None);
    }
}

#[test]
fn the_answer_has_the_zone_and_says_what_was_widened() {
    let reply = accepted(&read(PURGE, &[], r#"{"tags": ["a"]}"#).unwrap());
    assert_eq!(reply.status, 200);
    let want = json!({"success": true, "errors": [], "messages": [], "result": {"id": "0a1b"}});
    assert_eq!(json(&reply), want);
    let purge = read(PURGE, &[], r#"{"prefixes": ["a.example/blog/po"]}"#).unwrap();
    assert_eq!(named(&purge).0, ["prefix a.example/blog/"]);
    let widened = "a.example/blog/po was widened to https://a.example/blog/";
    let messages = json!([{"code": 1000, "message": widened}]);
    assert_eq!(json(&accepted(&purge))["messages"], messages);
}

#[test]
fn the_limits_are_cloudflares() {
    let body = |field: &str, text: &str, n: usize| {
        let names: Vec<String> = (0..n).map(|at| format!("{text}{at}")).collect();
        json!({ field: names }).to_string()
    };
    for (field, text, most) in [
        ("files", "https://a.example/", 500),
        ("tags", "t", 100),
        ("hosts", "h", 100),
        ("prefixes", "a.example/", 100),
    ] {
        assert!(read(PURGE, &[], &body(field, text, most)).is_ok(), "{field}");
        let reply = refusal(PURGE, &[], &body(field, text, most + 1));
        let error = &json(&reply)["errors"][0];
        assert_eq!((reply.status, &error["code"]), (400, &json!(1092)), "{field}");
        assert!(error["message"].as_str().unwrap().contains(&most.to_string()), "{error}");
    }
}

#[test]
fn refusals_have_cloudflares_shape_and_codes() {
    let zone = |rest: &str| format!("POST https://purge.example.com/client/v4/zones/{rest}");
    let rows = [
        (PURGE.to_owned(), "", 400, 6007, "Malformed JSON"),
        (PURGE.to_owned(), "{", 400, 6007, "Malformed JSON"),
        (PURGE.to_owned(), "[]", 400, 1012, "must contain one of"),
        (PURGE.to_owned(), "{}", 400, 1012, "must contain one of"),
        (PURGE.to_owned(), r#"{"files": []}"#, 400, 1012, "must contain one of"),
        (PURGE.to_owned(), r#"{"purge_everything": false}"#, 400, 1012, "must contain one of"),
        (PURGE.to_owned(), r#"{"file": ["https://a/"]}"#, 400, 1012, "file is not a field"),
        (PURGE.to_owned(), r#"{"purge_everything": true, "tags": ["a"]}"#, 400, 1012, "only field"),
        (PURGE.to_owned(), r#"{"purge_everything": "yes"}"#, 400, 1014, "must be a boolean"),
        (PURGE.to_owned(), r#"{"files": "https://a/"}"#, 400, 1014, "\"files\" must be an array"),
        (PURGE.to_owned(), r#"{"tags": null}"#, 400, 1014, "\"tags\" must be an array"),
        (PURGE.to_owned(), r#"{"files": [1]}"#, 400, 1014, "files[0] must be a string"),
        (
            PURGE.to_owned(),
            r#"{"files": [{"headers": {}}]}"#,
            400,
            1014,
            "files[0] must be a string",
        ),
        (PURGE.to_owned(), r#"{"files": ["https://a/", "ftp://a/"]}"#, 400, 1092, "files[1]"),
        (PURGE.to_owned(), r#"{"tags": [" "]}"#, 400, 1092, "tags[0]"),
        (PURGE.to_owned(), r#"{"hosts": ["a/b"]}"#, 400, 1092, "hosts[0]"),
        (PURGE.to_owned(), r#"{"prefixes": ["a*.example/b"]}"#, 400, 1092, "prefixes[0]"),
        (zone("z/purge"), r#"{"tags": ["a"]}"#, 404, 7003, "no such route"),
        (zone("purge_cache"), r#"{"tags": ["a"]}"#, 404, 7003, "no such route"),
        (zone("z%20/purge_cache"), r#"{"tags": ["a"]}"#, 404, 7003, "no such route"),
        (zone("z/environments/e/purge_cache"), r#"{"tags": ["a"]}"#, 404, 7003, "no such route"),
        (PURGE.replace("POST", "PUT"), r#"{"tags": ["a"]}"#, 405, 10405, "POST, DELETE"),
        (INVALIDATE.replace("POST", "DELETE"), r#"{"tags": ["a"]}"#, 405, 10405, "POST"),
    ];
    for (line, body, status, code, message) in rows {
        let reply = refusal(&line, &[], body);
        let said = json(&reply);
        assert_eq!(reply.status, status, "{line} {body}: {said}");
        assert_eq!(said["success"], json!(false), "{body}");
        assert_eq!((&said["messages"], &said["result"]), (&json!([]), &json!(null)), "{body}");
        assert_eq!(said["errors"][0]["code"], json!(code), "{line} {body}: {said}");
        assert!(said["errors"][0]["message"].as_str().unwrap().contains(message), "{said}");
    }
}

#[test]
fn a_call_without_permission_is_refused() {
    let rows: [(&[(&str, &str)], u16, u32); 5] = [
        (&[], 400, 9106),
        (&[("x-auth-email", "a@example.com")], 400, 9106),
        (&[("authorization", "Token x")], 400, 6003),
        (&[("authorization", "Bearer wrong")], 401, 10000),
        (&[("authorization", "Bearer reader-secret-value")], 403, 10000),
    ];
    for (fields, status, code) in rows {
        let reply = turned_away(PURGE, fields);
        assert_eq!(
            (reply.status, &json(&reply)["errors"][0]["code"]),
            (status, &json!(code)),
            "{fields:?}"
        );
    }
}

#[test]
fn a_journal_out_of_reach_asks_for_a_retry() {
    let reply = not_recorded(PURGE);
    assert_eq!((reply.status, reply.fields.get("retry-after")), (503, Some("1")));
    assert_eq!(json(&reply)["errors"][0]["code"], json!(10001));
}
