//! Envelopes: what was once written is read for ever, and what is no envelope is never taken for
//! one.

#![allow(clippy::unwrap_used, reason = "tests")]

use edge_isr::base::time::{Epoch, Seconds, Timestamp};
use edge_isr::cache::entry::{Entry, Freshness, FreshnessSource, ReuseCondition};
use edge_isr::cache::envelope::{
    self, CodecError, MAX_HEAD_BYTES, MAX_LINE_BYTES, PREFIX_BYTES, Record,
};
use edge_isr::cache::key::{CacheKey, Page, Selection};
use edge_isr::cache::tag::{Tag, TagSet};
use edge_isr::http::Fields;
use proptest::prelude::*;

/// As version 1 wrote it. These bytes stand in stores out there: never change them.
const GOLDEN_ENTRY: &[u8] = b"EISR\x01\x00\x00\x02\x20{\"kind\":\"entry\",\"key\":\"1:15:https11:example.com7:/post/14:a=12\",\"page\":{\"scheme\":\"https\",\"host\":\"example.com\",\"purge_host\":\"example.com\",\"path\":\"/post/1\",\"query\":\"a=1\"},\"selection\":[[\"accept-language\",\"de\"]],\"status\":200,\"fields\":[[\"content-type\",\"text/html\"],[\"x-odd\",\"caf\xc3\xa9\"]],\"tags\":[\"post:1\",\"posts\"],\"stamp\":7,\"fence\":3,\"request_time\":1800000000000,\"response_time\":1800000000250,\"initial_age\":2,\"freshness\":{\"lifetime\":300,\"source\":\"Targeted\",\"stale_while_revalidate\":600,\"stale_if_error\":3600,\"reuse_condition\":\"Nothing\"},\"body_length\":4}body";
const GOLDEN_VARY: &[u8] =
    b"EISR\x01\x00\x00\x00\x2b{\"kind\":\"vary\",\"names\":[\"accept-language\"]}";
const GOLDEN_PASS: &[u8] =
    b"EISR\x01\x00\x00\x00\x3b{\"kind\":\"pass\",\"reason\":\"set-cookie\",\"until\":1800000060000}";

fn entry() -> Entry {
    let page = Page {
        scheme: "https".into(),
        host: "example.com".into(),
        purge_host: "example.com".into(),
        path: "/post/1".into(),
        query: Some("a=1".into()),
    };
    let tags: TagSet =
        ["posts", "post:1"].into_iter().map(|tag| Tag::parse(tag).unwrap()).collect();
    Entry {
        key: CacheKey::from_stored("1:15:https11:example.com7:/post/14:a=12".into()),
        targets: page.targets(&tags),
        page,
        selection: Selection(vec![("accept-language".into(), "de".into())]),
        status: 200,
        fields: Fields::from_iter([("content-type", "text/html"), ("x-odd", "café")]),
        tags,
        stamp: Epoch(7),
        fence: 3,
        request_time: Timestamp::from_millis(1_800_000_000_000),
        response_time: Timestamp::from_millis(1_800_000_000_250),
        initial_age: Seconds(2),
        freshness: Freshness {
            lifetime: Seconds(300),
            source: FreshnessSource::Targeted,
            stale_while_revalidate: Seconds(600),
            stale_if_error: Seconds(3_600),
            reuse_condition: ReuseCondition::Nothing,
        },
        body_length: 4,
    }
}

#[test]
fn golden_bytes_of_version_1_are_read_and_written() {
    let rows = [
        ("entry", Record::Entry(Box::new(entry())), GOLDEN_ENTRY),
        ("vary", Record::Vary(vec!["accept-language".into()]), GOLDEN_VARY),
        (
            "pass",
            Record::Pass {
                reason: "set-cookie".into(),
                until: Timestamp::from_millis(1_800_000_060_000),
            },
            GOLDEN_PASS,
        ),
    ];
    for (name, record, golden) in rows {
        let body_at = envelope::split(golden).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(envelope::decode(golden), Ok(record.clone()), "{name} reads");
        let written = envelope::encode(&record).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&written),
            String::from_utf8_lossy(&golden[..body_at]),
            "{name} writes"
        );
    }
}

#[test]
fn a_head_as_the_value_of_a_field_is_ascii_and_the_same_record() {
    let pass = Record::Pass { reason: "set-cookie".into(), until: Timestamp::from_millis(1) };
    let mut odd = entry();
    odd.fields.append("x-more", "\u{7f} \u{1f363} \"\\");
    let records =
        [Record::Entry(Box::new(odd)), Record::Vary(vec!["accept-language".into()]), pass];
    for record in records {
        let line = envelope::encode_line(&record).unwrap().unwrap();
        assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line}");
        assert_eq!(envelope::decode_line(&line), Ok(record));
    }
}

#[test]
fn a_head_is_no_field_if_it_is_too_long_and_no_other_version_is_read() {
    let mut long = entry();
    long.fields.append("x-long", "x".repeat(MAX_LINE_BYTES));
    assert_eq!(envelope::encode_line(&Record::Entry(Box::new(long))), Ok(None));
    assert_eq!(envelope::decode_line("2{}"), Err(CodecError::Version(2)));
    assert_eq!(envelope::decode_line("{}"), Err(CodecError::Magic));
    assert_eq!(envelope::decode_line(""), Err(CodecError::Truncated));
    assert!(matches!(envelope::decode_line("1{\"kind\":\"entry\","), Err(CodecError::Head(_))));
}

#[test]
fn a_later_version_s_added_members_are_passed_over_and_left_out_ones_have_defaults() {
    let json = r#"{"kind":"vary","names":["accept"],"added_later":1}"#;
    let mut bytes = b"EISR\x01".to_vec();
    bytes.extend_from_slice(&(json.len() as u32).to_be_bytes());
    bytes.extend_from_slice(json.as_bytes());
    assert_eq!(envelope::decode(&bytes), Ok(Record::Vary(vec!["accept".into()])));
}

#[test]
fn a_kind_that_is_not_known_is_not_read() {
    let bytes = envelope::encode(&Record::Entry(Box::new(entry()))).unwrap();
    let head = String::from_utf8(bytes[PREFIX_BYTES..].to_vec()).unwrap();
    let other = head.replacen(r#""kind":"entry""#, r#""kind":"piece""#, 1);
    assert_ne!(other, head);
    let mut bytes = b"EISR\x01".to_vec();
    bytes.extend_from_slice(&(other.len() as u32).to_be_bytes());
    bytes.extend_from_slice(other.as_bytes());
    assert!(matches!(envelope::decode(&bytes), Err(CodecError::Head(_))));
}

#[test]
fn what_is_no_envelope_says_why() {
    let long = ((MAX_HEAD_BYTES + 1) as u32).to_be_bytes();
    let too_long = [b"EISR\x01".as_slice(), &long].concat();
    type Wanted = fn(&CodecError) -> bool;
    let rows: [(&str, &[u8], Wanted); 7] = [
        ("empty", b"", |e| *e == CodecError::Truncated),
        ("a page", b"<!doctype html>", |e| *e == CodecError::Magic),
        ("half a prefix", b"EISR\x01\x00", |e| *e == CodecError::Truncated),
        ("half a head", b"EISR\x01\x00\x00\x00\x10{", |e| *e == CodecError::Truncated),
        ("version 2", b"EISR\x02\x00\x00\x00\x00", |e| *e == CodecError::Version(2)),
        ("a huge head", &too_long, |e| *e == CodecError::TooLong),
        ("no JSON", b"EISR\x01\x00\x00\x00\x03{{{", |e| matches!(e, CodecError::Head(_))),
    ];
    for (name, bytes, wanted) in rows {
        let error = envelope::decode(bytes).expect_err(name);
        assert!(wanted(&error), "{name}: {error:?}");
    }
}

proptest! {
    #[test]
    fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = envelope::decode(&bytes);
        let mut framed = b"EISR\x01\x00\x00\x00".to_vec();
        framed.push(bytes.len() as u8);
        framed.extend_from_slice(&bytes);
        let _ = envelope::decode(&framed);
    }

    #[test]
    fn what_is_written_is_read(
        value in "[ -~\u{80}-\u{ff}]{0,40}",
        path in "/[!-~]{0,40}",
        stamp in 0_u64..1 << 52,
        at in 0_i64..4_000_000_000_000,
        status in 100_u16..600,
    ) {
        let mut given = entry();
        given.fields.append("x-any", value);
        given.page.path = path;
        given.targets = given.page.targets(&given.tags);
        given.stamp = Epoch(stamp);
        given.response_time = Timestamp::from_millis(at);
        given.status = status;
        let record = Record::Entry(Box::new(given));
        let bytes = envelope::encode(&record).unwrap();
        prop_assert!(bytes.len() > PREFIX_BYTES);
        prop_assert_eq!(envelope::decode(&bytes), Ok(record));
    }
}
