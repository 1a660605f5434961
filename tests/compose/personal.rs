//! The request for a visitor's own parts, and what of its answers is believed.

use edge_isr::cache::compose::mint::Random;
use edge_isr::cache::compose::personal::{
    MAX_BYTES, PartsRequest, PersonalError, check_head, cookies_set, parts, request_fields, target,
};
use edge_isr::cache::compose::visitor::Minted;
use edge_isr::cache::forward::EdgeFacts;
use edge_isr::http::{RequestHead, ResponseHead};

use super::{CSRF, MENU, field, fields};

const ID: &str = "idididididididididididididididid";

#[test]
fn the_request_has_the_visitors_cookies_and_the_secret_in_force() {
    let compose_field = field(9, 99, &format!("lang=\"de\", nonce, {CSRF}, {MENU}"));
    let request = RequestHead {
        method: "GET".to_owned(),
        scheme: "https".to_owned(),
        host: "example.com".to_owned(),
        path: "/p/42/".to_owned(),
        query: Some("x=1".to_owned()),
        fields: fields(&[
            ("cookie", "sessionid=s; csrftoken=junk"),
            ("if-none-match", "\"a\""),
            ("range", "bytes=0-1"),
            ("user-agent", "Browser"),
            ("x-edge-isr-personal", "id=\"forged\""),
            ("x_edge_isr_personal", "id=\"forged\""),
            ("x-edge-isr-compose", "v=1"),
        ]),
        client: Some("192.0.2.7".to_owned()),
    };
    let mut random = || -> Random { [7; 64] };
    let minted = Minted::new(&compose_field, &request.fields, true, &mut random).expect("values");
    let page = "/p/42/?x=1";
    let ask = PartsRequest {
        request: &request,
        field: &compose_field,
        minted: &minted,
        id: ID,
        page,
        late: true,
    };
    let edge = EdgeFacts {
        origin_secret: Some("secret"),
        warm: false,
        user_agent: "edge-isr/test",
        client_accept_encoding: None,
        esi: false,
    };
    let sent = request_fields(&ask, &edge).expect("fields");
    let made = "h".repeat(32);
    assert_eq!(sent.get("cookie"), Some(format!("sessionid=s; csrftoken={made}").as_str()));
    assert_eq!(
        sent.joined("x-edge-isr-personal"),
        Some(format!("id=\"{ID}\", page=\"{page}\", lang=\"de\", nonce=\"{made}\", late"))
    );
    assert_eq!(sent.get("x-edge-isr-origin-auth"), Some("secret"));
    assert_eq!(sent.get("user-agent"), Some("Browser"));
    assert_eq!(sent.get("x-forwarded-for"), Some("192.0.2.7"));
    for gone in ["if-none-match", "range", "x-edge-isr-compose", "x_edge_isr_personal"] {
        assert!(!sent.has(gone), "{gone}");
    }
    assert_eq!(target(&compose_field), "/_edge_isr/personal?n=menu&n=log-out");
}

fn answer(status: u16, more: &[(&str, &str)]) -> ResponseHead {
    let mut all =
        fields(&[("content-type", "application/json"), ("cache-control", "private, no-store")]);
    for (name, value) in more {
        all.set(name, *value);
    }
    ResponseHead { status, fields: all }
}

#[test]
fn only_an_answer_of_the_origin_itself_is_believed() {
    use PersonalError::{Cached, Malformed, Status};
    assert_eq!(check_head(&answer(200, &[])), Ok(()));
    let charset = answer(200, &[("content-type", "application/json; charset=utf-8")]);
    assert_eq!(check_head(&charset), Ok(()));
    for status in [201, 204, 206, 301, 302, 304, 403, 404, 500, 503] {
        assert_eq!(check_head(&answer(status, &[])), Err(Status), "{status}");
    }
    for (name, value, why) in [
        ("age", "1", Cached),
        ("age", "0", Cached),
        ("cf-cache-status", "HIT", Cached),
        ("cache-status", "other; hit", Cached),
        ("cache-control", "private", Cached),
        ("cache-control", "no-store", Cached),
        ("cache-control", "public, max-age=60", Cached),
        ("content-type", "text/html", Malformed),
        ("content-encoding", "gzip", Malformed),
    ] {
        assert_eq!(check_head(&answer(200, &[(name, value)])), Err(why), "{name}: {value}");
    }
}

#[test]
fn parts_are_those_of_this_request() {
    use PersonalError::{Foreign, Malformed, TooLarge};
    let compose_field = field(9, 99, MENU);
    let read = |text: &str| parts(ID, &compose_field, text.replace("ID", ID).as_bytes());
    let both = r#"{"id":"ID","parts":{"menu":"<b>é</b>","log-out":""}}"#;
    assert_eq!(read(both), Ok(vec![Some("<b>é</b>".to_owned()), Some(String::new())]));
    let one = r#"{"id":"ID","parts":{"log-out":"x"}}"#;
    assert_eq!(read(one), Ok(vec![None, Some("x".to_owned())]));
    for (text, why) in [
        (r#"{"id":"other","parts":{}}"#, Foreign),
        (r#"{"id":"","parts":{}}"#, Foreign),
        (r#"{"id":"ID","parts":{"menu":"x","admin":"y"}}"#, Foreign),
        (r#"{"parts":{"menu":"x"}}"#, Malformed),
        (r#"{"id":"ID","id":"ID","parts":{}}"#, Malformed),
        (r#"{"id":"ID","parts":{"menu":"x","menu":"y"}}"#, Malformed),
        (r#"{"id":"ID","parts":{"menu":1}}"#, Malformed),
        (r#"{"id":"ID","parts":{},"more":1}"#, Malformed),
        (r#"{"id":"ID","parts":{}"#, Malformed),
        ("<!doctype html>", Malformed),
        ("", Malformed),
    ] {
        assert_eq!(read(text), Err(why), "{text}");
    }
    let large = format!("{{\"id\":\"{ID}\",\"parts\":{{\"menu\":\"{}\"}}}}", "x".repeat(MAX_BYTES));
    assert_eq!(parts(ID, &compose_field, large.as_bytes()), Err(TooLarge));
}

#[test]
fn a_parts_own_csrf_cookie_is_dropped() {
    let compose_field = field(9, 99, &format!("{CSRF}, {MENU}"));
    let mut head = answer(200, &[]);
    for line in ["csrftoken=a; Path=/", " csrftoken =b", "messages=; Max-Age=0", "sessionid=x"] {
        head.fields.append("set-cookie", line);
    }
    assert_eq!(cookies_set(&head, &compose_field), ["messages=; Max-Age=0", "sessionid=x"]);
}
