//! Messages in JSON: what is read, and what is refused with words that name the fault.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use edge_isr::base::json::{parse_json, read_json};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Message {
    name: String,
    count: u16,
    #[serde(default)]
    change: i32,
    #[serde(default)]
    maybe: Option<bool>,
    #[serde(default)]
    pair: (u8, String),
    #[serde(default)]
    list: Vec<Wrapped>,
    #[serde(default)]
    kind: Kind,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Wrapped(u64);

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Bare,
    One(Wrapped),
    Two(u8, u8),
    Named {
        at: u64,
        #[serde(default)]
        why: Option<String>,
    },
}

#[derive(Debug, PartialEq, Deserialize)]
struct Unsaid {
    why: Option<String>,
    at: u64,
    wrapped: Option<Wrapped>,
}

fn message(kind: Kind) -> Message {
    Message {
        name: "é\n\"".into(),
        count: u16::MAX,
        change: i32::MIN,
        maybe: Some(true),
        pair: (255, "x".into()),
        list: vec![Wrapped(0), Wrapped(u64::MAX)],
        kind,
    }
}

#[test]
fn what_is_written_is_read_again() {
    for kind in [
        Kind::Bare,
        Kind::One(Wrapped(7)),
        Kind::Two(1, 2),
        Kind::Named { at: 1, why: None },
        Kind::Named { at: 1, why: Some(String::new()) },
    ] {
        let message = message(kind);
        let text = serde_json::to_vec(&message).unwrap();
        assert_eq!(read_json::<Message>(&text).unwrap(), message);
        assert_eq!(
            serde_json::from_slice::<Message>(&text).unwrap(),
            message,
            "as serde_json does"
        );
    }
}

#[test]
fn fields_may_be_left_out_and_unknown_ones_are_passed_over() {
    let read: Message =
        read_json(br#"{"later": {"a": [1, {}]}, "name": "x", "count": 1, "maybe": null}"#).unwrap();
    let plain = Message {
        name: "x".into(),
        count: 1,
        change: 0,
        maybe: None,
        pair: (0, String::new()),
        list: Vec::new(),
        kind: Kind::Bare,
    };
    assert_eq!(read, plain);
    // An option needs no default.
    let unsaid: Unsaid = read_json(br#"{"at": 1}"#).unwrap();
    assert_eq!(unsaid, Unsaid { why: None, at: 1, wrapped: None });
    let bare: Message = read_json(br#"{"name":"x","count":1,"kind":{"bare":null}}"#).unwrap();
    assert_eq!(bare, plain);
}

#[test]
fn what_is_wrong_is_named() {
    for (text, words) in [
        (r#"{"name":"x"}"#, "missing field `count`"),
        (r#"{"count":1}"#, "missing field `name`"),
        (r#"{"name":"x","count":1,"kind":{"named":{}}}"#, "missing field `at`"),
        // What may be absent is not what is wrong.
        (r#"{"name":"x","count":1,"list":["y"]}"#, "expected u64"),
        (r#"{"name":"x","count":1,"kind":{"named":{"at":1,"why":1}}}"#, "expected a string"),
        (r#"{"name":1,"count":1}"#, "expected a string"),
        (r#"{"name":"x","count":65536}"#, "expected u16"),
        (r#"{"name":"x","count":-1}"#, "expected u16"),
        (r#"{"name":"x","count":1.0}"#, "expected u16"),
        (r#"{"name":"x","count":"1"}"#, "expected u16"),
        (r#"{"name":"x","count":1,"change":1e3}"#, "expected i32"),
        (r#"{"name":"x","count":1,"change":-2147483649}"#, "expected i32"),
        (r#"{"name":"x","count":1,"maybe":0}"#, "expected a boolean"),
        (r#"{"name":"x","count":1,"pair":[1]}"#, "expected a tuple of size 2"),
        (r#"{"name":"x","count":1,"pair":[1,"x",2]}"#, "expected fewer elements in array"),
        (r#"{"name":"x","count":1,"list":{}}"#, "expected a sequence"),
        (r#"{"name":"x","count":1,"list":[[1]]}"#, "expected u64"),
        (r#"{"name":"x","count":1,"kind":"other"}"#, "expected one of"),
        (r#"{"name":"x","count":1,"kind":"one"}"#, "expected newtype variant"),
        (r#"{"name":"x","count":1,"kind":{"bare":1}}"#, "expected unit"),
        (r#"{"name":"x","count":1,"kind":{"two":[1]}}"#, "with 2 elements"),
        (r#"{"name":"x","count":1,"kind":{"named":[1]}}"#, "expected struct variant"),
        (r#"{"name":"x","count":1,"kind":{"one":1,"two":[1,2]}}"#, "map with a single key"),
        (r#"{"name":"x","count":1,"kind":{}}"#, "map with a single key"),
        (r#"{"name":"x","count":"s3cret, expected x"}"#, "expected u16"),
        (r#"{"name":"x","count":1,"kind":"s3cret"}"#, "expected one of"),
        (r#"{"name":"x","count":1,"name":"y"}"#, "the key \"name\" is given twice"),
        (r#"{"name":"x","count":1} x"#, "trailing characters"),
        (r#"{"name":"x","#, "EOF"),
        ("", "EOF"),
    ] {
        let error = read_json::<Message>(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
        assert!(!error.contains("s3cret"), "what was found may be a secret: {error}");
    }
    let invalid = read_json::<Message>(b"{\"name\":\"\xff\",\"count\":1}").unwrap_err().to_string();
    assert!(invalid.contains("unicode"), "{invalid}");
}

#[test]
fn depth_is_bounded() {
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(parse_json(deep(127).as_bytes()).is_ok());
    let error = parse_json(deep(100_000).as_bytes()).unwrap_err().to_string();
    assert!(error.contains("recursion limit"), "{error}");
}
