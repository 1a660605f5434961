//! Ranges out of stored responses (RFC 9110 §14).

use crate::http_support::{EDGE, NOW, config, entry, get, request, response, serve};
use edge_isr::cache::entry::{Entry, ReuseCondition};
use edge_isr::cache::forward::cacheable_request_fields;
use edge_isr::cache::range::RangeAnswer::{self, *};
use edge_isr::cache::range::range_answer;
use edge_isr::cache::storage::{NoStore, Storage, StorageInput, storage_of_range};
use edge_isr::config::Route;

const PART: fn(u64, u64) -> RangeAnswer = |from, to| Partial { from, to };

/// A stored body of 10 bytes.
fn stored(lines: &str) -> Entry {
    Entry { body_length: 10, ..entry(lines, (60, 0, 0), ReuseCondition::Nothing) }
}

#[test]
fn single_ranges() {
    let rows = [
        ("", Whole),
        ("bytes=0-1", PART(0, 2)),
        ("bytes=0-0", PART(0, 1)),
        ("bytes=1-", PART(1, 10)),
        ("bytes=9-", PART(9, 10)),
        ("bytes=-1", PART(9, 10)),
        ("bytes=-10", PART(0, 10)),
        ("bytes=-99", PART(0, 10)),
        ("bytes=5-99", PART(5, 10)),
        ("bytes=0-18446744073709551615", PART(0, 10)),
        ("bytes=0-99999999999999999999999", PART(0, 10)),
        ("bytes=10-", Unsatisfiable),
        ("bytes=99999999999999999999999-", Unsatisfiable),
        ("bytes=-0", Unsatisfiable),
        ("Bytes=0-1", PART(0, 2)),
        ("bytes=5-1", Whole),
        ("bytes=", Whole),
        ("bytes=-", Whole),
        ("bytes=a-b", Whole),
        ("bytes=+1-2", Whole),
        ("bytes=1 - 2", Whole),
        ("bytes 0-1", Whole),
        ("lines=0-1", Whole),
        ("bytes=0-1, x", Whole),
        ("bytes=99-, 0-1", PART(0, 2)),
    ];
    for (head, want) in rows {
        let lines = if head.is_empty() { String::new() } else { format!("Range: {head}") };
        assert_eq!(range_answer(&get(&lines), &stored("")), want, "{head}");
    }
}

#[test]
fn several_ranges_are_parts_of_one_body() {
    let entry = stored("Content-Type: text/plain");
    let Multiple { content_type, parts, closing } =
        range_answer(&get("Range: bytes=0-1,4-5, -1"), &entry)
    else {
        panic!("not several parts");
    };
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
    assert!(boundary.len() <= 70, "RFC 2046 §5.1.1");
    let line = |range: &str| {
        format!(
            "--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes {range}/10\r\n\r\n"
        )
    };
    let want = vec![
        (line("0-1"), 0, 2),
        (format!("\r\n{}", line("4-5")), 4, 6),
        (format!("\r\n{}", line("9-9")), 9, 10),
    ];
    assert_eq!(parts, want);
    assert_eq!(closing, format!("\r\n--{boundary}--\r\n"));
}

#[test]
fn overlapping_and_too_many_ranges_get_the_whole() {
    for head in ["bytes=0-5,5-9", "bytes=0-,0-", "bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7,8-8"] {
        assert_eq!(range_answer(&get(&format!("Range: {head}")), &stored("")), Whole, "{head}");
    }
    assert_eq!(range_answer(&get("Range: bytes=0-1|Range: bytes=3-4"), &stored("")), Whole);
}

#[test]
fn only_a_get_of_a_200_has_ranges() {
    assert_eq!(range_answer(&request("HEAD /page", "Range: bytes=0-1"), &stored("")), Whole);
    let missing = Entry { status: 404, ..stored("") };
    assert_eq!(range_answer(&get("Range: bytes=0-1"), &missing), Whole);
    let empty = Entry { body_length: 0, ..stored("") };
    assert_eq!(range_answer(&get("Range: bytes=0-"), &empty), Unsatisfiable);
}

/// RFC 9110 §13.1.5: stored fields, `If-Range`, whether the range counts.
#[test]
fn if_range() {
    let changed = "Last-Modified: Fri, 31 Dec 2021 00:00:00 GMT";
    let dated = format!("{changed}|Date: Sat, 01 Jan 2022 00:00:00 GMT");
    let at_once = format!("{changed}|Date: Fri, 31 Dec 2021 00:00:00 GMT");
    let rows = [
        ("ETag: \"1\"", "\"1\"", true),
        ("ETag: \"1\"", "\"2\"", false),
        ("ETag: W/\"1\"", "W/\"1\"", false),
        ("ETag: \"1\"", "W/\"1\"", false),
        ("", "\"1\"", false),
        (&dated, "Fri, 31 Dec 2021 00:00:00 GMT", true),
        (&dated, "Sat, 01 Jan 2022 00:00:00 GMT", false),
        (&at_once, "Fri, 31 Dec 2021 00:00:00 GMT", false),
        (changed, "Fri, 31 Dec 2021 00:00:00 GMT", false),
        (&dated, "rubbish", false),
    ];
    for (have, condition, counts) in rows {
        let head = get(&format!("Range: bytes=0-1|If-Range: {condition}"));
        let want = if counts { PART(0, 2) } else { Whole };
        assert_eq!(range_answer(&head, &stored(have)), want, "{have} {condition}");
    }
}

/// RFC 9110 §15.3.7: a part may be shared where the whole might be: status, fields, why nobody else
/// may have it.
#[test]
fn what_anyone_may_have_of_the_answer_to_a_range_request() {
    const RANGE: &str = "Content-Range: bytes 0-4/10|Content-Length: 5";
    #[rustfmt::skip]
    let rows = [
        ("max-age", 206, "Cache-Control: max-age=60", None),
        ("expires", 206, "Date: Sat, 01 Jan 2022 00:00:00 GMT|Expires: Sat, 01 Jan 2022 01:00:00 GMT", None),
        ("no-cache", 206, "Cache-Control: no-cache, max-age=60|ETag: \"1\"", None),
        ("stale", 206, "Cache-Control: max-age=0|ETag: \"1\"", None),
        ("ignored", 200, "Cache-Control: max-age=60", None),
        ("nothing-stated", 206, "", Some(NoStore::NoFreshness)),
        ("no-store", 206, "Cache-Control: no-store", Some(NoStore::NoStoreDirective)),
        ("private", 206, "Cache-Control: private, max-age=60", Some(NoStore::Private)),
        ("set-cookie", 206, "Cache-Control: max-age=60|Set-Cookie: a=b", Some(NoStore::SetCookie)),
        ("vary-any", 206, "Cache-Control: max-age=60|Vary: *", Some(NoStore::VaryAny)),
        ("upstream", 206, "Cache-Control: max-age=60|Age: 9", None),
        ("bad-tags", 206, "Cache-Control: max-age=60|xkey: caf\u{e9}", Some(NoStore::BadTags)),
        ("416", 416, "Cache-Control: max-age=60", Some(NoStore::Status)),
        ("404", 404, "Cache-Control: private", Some(NoStore::Private)),
    ];
    let head = get("Range: bytes=0-4");
    let config = config(Route::default());
    let admitted = serve(&head, &config);
    let sent = cacheable_request_fields(&head, &admitted, &EDGE);
    for (id, status, lines, want) in rows {
        let input = StorageInput {
            request: &head,
            admitted: &admitted,
            sent: &sent,
            response: &response(status, &format!("{RANGE}|{lines}")),
            request_time: NOW,
            response_time: NOW,
        };
        let got = match storage_of_range(&input) {
            Storage::Store(_) | Storage::Share(..) => None,
            Storage::Refuse(reason) => Some(reason),
        };
        assert_eq!(got, want, "{id}");
    }
}
