//! KeyCDN's purge API.

use edge_isr::journal::Mode;
use serde_json::json;

use super::{accepted, json, named, not_recorded, read, refusal, turned_away};

const URLS: &str = "DELETE https://purge.example.com/zones/purgeurl/42.json";
const TAGS: &str = "DELETE https://a.example/__isr/keycdn/zones/purgetag/42.json";
const ZONE: &str = "GET https://purge.example.com/zones/purge/42.json";

#[test]
fn what_is_named_becomes_targets() {
    let rows: [(&str, &str, &[&str], &str); 4] = [
        (
            URLS,
            r#"{"urls": ["example.com/a.css", "https://a.example/b?c=1"]}"#,
            &["url a.example/b?c=1", "url www.example.com/a.css"],
            "Cache has been cleared for URL(s).",
        ),
        (
            TAGS,
            r#"{"tags": ["a", "b c"]}"#,
            &["tag a", "tag b", "tag c"],
            "Cache has been cleared for tag(s).",
        ),
        (ZONE, "", &["all"], "Cache has been cleared for zone."),
        (ZONE, "ignored", &["all"], "Cache has been cleared for zone."),
    ];
    for (line, body, targets, description) in rows {
        let purge = read(line, &[], body).expect(line);
        let targets = targets.iter().map(|target| (*target).to_owned()).collect();
        assert_eq!(named(&purge), (targets, Mode::Hard), "{line}");
        let reply = accepted(&purge);
        let want = json!({"status": "success", "description": description});
        assert_eq!((reply.status, json(&reply)), (200, want), "{line}");
    }
}

#[test]
fn refusals_have_keycdns_shape() {
    let rows = [
        (URLS.to_owned(), "", 400, "not JSON"),
        (URLS.to_owned(), "{}", 400, "urls: expected a list"),
        (URLS.to_owned(), r#"{"urls": "a"}"#, 400, "urls: expected a list"),
        (URLS.to_owned(), r#"{"urls": [1]}"#, 400, "urls: expected a list"),
        (URLS.to_owned(), r#"{"urls": []}"#, 400, "names nothing"),
        (URLS.to_owned(), r#"{"urls": ["a.example/", "a b"]}"#, 400, "urls[1]"),
        (TAGS.to_owned(), r#"{"urls": ["a"]}"#, 400, "tags: expected a list"),
        (TAGS.to_owned(), r#"{"tags": [""]}"#, 400, "tags[0]"),
        (URLS.replace("DELETE", "GET"), r#"{"urls": ["a.example/"]}"#, 405, "takes DELETE"),
        (ZONE.replace("GET", "POST"), "", 405, "takes GET"),
        (URLS.replace("42.json", "42"), "", 404, "no such call"),
        (URLS.replace("purgeurl", "purgeall"), "", 404, "no such call"),
    ];
    for (line, body, status, description) in rows {
        let reply = refusal(&line, &[], body);
        let said = json(&reply);
        assert_eq!(
            (reply.status, &said["status"]),
            (status, &json!("error")),
            "{line} {body}: {said}"
        );
        assert!(said["description"].as_str().unwrap().contains(description), "{said}");
    }
}

#[test]
fn who_may_not_is_challenged() {
    let reply = turned_away(URLS, &[]);
    assert_eq!(reply.status, 401);
    assert_eq!(reply.fields.get("www-authenticate"), Some("Basic realm=\"edge-isr\""));
    assert_eq!(json(&reply)["status"], json!("error"));
    assert_eq!(
        turned_away(URLS, &[("authorization", "Basic cmVhZGVyLXNlY3JldC12YWx1ZTo=")]).status,
        403
    );
    assert_eq!(not_recorded(URLS).status, 503);
}
