//! Parts of responses (RFC 9111 §3.3, §3.4; RFC 9110 §14, §15.3.7): one row per rule.

mod http_support;

use edge_isr::base::time::Seconds;
use edge_isr::cache::entry::{Demand, Entry, Length, Part};
use edge_isr::cache::forward::cacheable_request_fields;
use edge_isr::cache::part::{
    Cut, Kept, RangeStorage, Seam, completed, cut, part, range_storage, rest,
};
use edge_isr::cache::storage::{NoStore, StorageInput};
use edge_isr::cache::validation::{shared_validator, strong_validator};
use edge_isr::config::Route;
use edge_isr::http::ResponseHead;
use edge_isr::http::date::parse;
use http_support::{EDGE, NOW, config, entry, fields, get, request, response, serve};
use proptest::prelude::*;

const CHANGED: &str = "Last-Modified: Fri, 31 Dec 2021 00:00:00 GMT";
const DATED: &str = "Date: Sat, 01 Jan 2022 00:00:00 GMT";

fn keeping() -> Route {
    Route { store_partial: true, ..Route::default() }
}

fn lenient() -> Route {
    Route { lenient_range: true, ..keeping() }
}

/// A stored part: its first byte, how many it has, and of how many.
fn stored(first: u64, length: u64, whole: Length, lines: &str) -> Entry {
    Entry {
        status: 206,
        body_length: length,
        part: Some(Part { first, whole }),
        ..entry(lines, (60, 0, 0), Demand::Nothing)
    }
}

const fn known(first: u64, complete: u64) -> Part {
    Part { first, whole: Length::Known(complete) }
}

#[test]
fn a_part_is_what_its_content_range_and_its_length_say_together() {
    let unknown = |first| Part { first, whole: Length::Unknown };
    let ends_here = |first| Part { first, whole: Length::EndsHere };
    // id, section, fields, length of the body; what is stored of it, strictly and leniently.
    #[rustfmt::skip]
    let rows = [
        ("first", "9110 §14.4", "Content-Range: bytes 0-4/10", 5, Some(known(0, 10)), Some(known(0, 10))),
        ("last", "9110 §14.4", "Content-Range: bytes 5-9/10", 5, Some(known(5, 10)), Some(known(5, 10))),
        ("of-unknown", "9110 §14.4", "Content-Range: bytes 5-9/*", 5, Some(unknown(5)), Some(unknown(5))),
        ("all", "9110 §15.3.7.3", "Content-Range: bytes 0-9/10", 10, Some(known(0, 10)), Some(known(0, 10))),
        ("none", "9110 §15.3.7.1", "", 5, None, None),
        ("unsatisfied", "9110 §14.4", "Content-Range: bytes */10", 5, None, None),
        ("backwards", "9110 §14.4", "Content-Range: bytes 4-0/10", 5, None, None),
        ("beyond", "9110 §14.4", "Content-Range: bytes 6-10/10", 5, None, None),
        ("unit", "9110 §14.4", "Content-Range: lines 0-4/10", 5, None, None),
        ("two", "9110 §5.3", "Content-Range: bytes 0-4/10|Content-Range: bytes 0-4/10", 5, None, None),
        ("several", "9110 §15.3.7.2", "Content-Range: bytes 0-4/10|Content-Type: Multipart/ByteRanges; boundary=a", 5, None, None),
        ("empty", "9110 §14.4", "Content-Range: bytes 0-4/10", 0, None, None),
        ("short-at-the-end", "9110 §2.4", "Content-Range: bytes 4-9/10", 5, None, Some(ends_here(4))),
        ("short-before", "9110 §2.4", "Content-Range: bytes 2-7/10", 5, None, Some(unknown(2))),
        ("short-of-unknown", "9110 §2.4", "Content-Range: bytes 2-7/*", 5, None, Some(unknown(2))),
        ("long", "9110 §2.4", "Content-Range: bytes 4-7/10", 5, None, None),
        ("huge", "9110 §14.4", "Content-Range: bytes 0-18446744073709551615/*", 5, None, None),
    ];
    for (id, section, lines, length, strict, loose) in rows {
        let answer = response(206, lines);
        assert_eq!(part(&answer, length, &keeping()), strict, "{id} ({section})");
        assert_eq!(part(&answer, length, &lenient()), loose, "{id} ({section}), lenient");
    }
}

/// The decision on the answer to a range request.
fn decide(
    route: &Route,
    sent: &str,
    answer: &ResponseHead,
    length: Option<u64>,
    have: Option<&Entry>,
) -> RangeStorage {
    let asked = get(&format!("Range: bytes=0-4|{sent}"));
    let config = config(route.clone());
    let admitted = serve(&asked, &config);
    let sent = cacheable_request_fields(&asked, &admitted, &EDGE);
    let input = StorageInput {
        request: &asked,
        admitted: &admitted,
        sent: &sent,
        response: answer,
        request_time: NOW,
        response_time: NOW,
    };
    range_storage(&input, length, have)
}

#[test]
fn what_may_be_stored_of_the_answer_to_a_range_request() {
    #[derive(Debug, PartialEq)]
    enum Want {
        Part,
        Whole,
        Leave,
        Refuse(NoStore),
    }
    use Want::{Leave, Refuse, Whole};
    const RANGE: &str = "Content-Range: bytes 0-4/10";
    #[rustfmt::skip]
    let rows = [
        ("max-age", "9111 §3.3", 206, "Cache-Control: max-age=60", Some(5), Want::Part),
        ("expires", "9111 §3", 206, "Date: Sat, 01 Jan 2022 00:00:00 GMT|Expires: Sat, 01 Jan 2022 01:00:00 GMT", Some(5), Want::Part),
        ("no-length", "9110 §15.3.7", 206, "Cache-Control: max-age=60", None, Leave),
        ("other-length", "9110 §14.4", 206, "Cache-Control: max-age=60", Some(4), Leave),
        ("nothing-stated", "9111 §3", 206, "", Some(5), Refuse(NoStore::NoFreshness)),
        ("no-store", "9111 §5.2.2.5", 206, "Cache-Control: no-store", Some(5), Refuse(NoStore::NoStoreDirective)),
        ("private", "9111 §5.2.2.7", 206, "Cache-Control: private, max-age=60", Some(5), Refuse(NoStore::Private)),
        ("set-cookie", "contract", 206, "Cache-Control: max-age=60|Set-Cookie: a=b", Some(5), Refuse(NoStore::SetCookie)),
        ("vary-any", "9111 §4.1", 206, "Cache-Control: max-age=60|Vary: *", Some(5), Refuse(NoStore::VaryAny)),
        ("front_cache", "contract", 206, "Cache-Control: max-age=60|Age: 9", Some(5), Refuse(NoStore::UpstreamCache)),
        ("bad-tags", "contract", 206, "Cache-Control: max-age=60|xkey: caf\u{e9}", Some(5), Refuse(NoStore::BadTags)),
        // Nothing asks for a part's leave, so what needs leave is of no use.
        ("no-cache", "9111 §5.2.2.4", 206, "Cache-Control: no-cache, max-age=60|ETag: \"1\"", Some(5), Leave),
        ("stale", "9111 §4.2", 206, "Cache-Control: max-age=0|ETag: \"1\"", Some(5), Leave),
        ("window", "5861 §3", 206, "Cache-Control: max-age=0, stale-while-revalidate=60", Some(5), Leave),
        ("ignored", "9110 §14.2", 200, "Cache-Control: max-age=60", Some(10), Leave),
        ("416", "9110 §15.5.17", 416, "Cache-Control: max-age=60", Some(5), Refuse(NoStore::Status)),
        ("404", "9110 §14.2", 404, "Cache-Control: private", Some(5), Refuse(NoStore::Private)),
    ];
    for (id, section, status, lines, length, want) in rows {
        let answer = response(status, &format!("{RANGE}|{lines}"));
        let got = match decide(&keeping(), "", &answer, length, None) {
            RangeStorage::Keep(kept) if kept.part.is_some() => Want::Part,
            RangeStorage::Keep(_) => Whole,
            RangeStorage::Leave(_) => Leave,
            RangeStorage::Refuse(reason) => Refuse(reason),
        };
        assert_eq!(got, want, "{id} ({section})");
        let off = decide(&Route::default(), "", &answer, length, None);
        assert!(!matches!(off, RangeStorage::Keep(_)), "{id}: the route does not store parts");
    }
    let all = response(206, "Content-Range: bytes 0-9/10|Cache-Control: max-age=60|ETag: \"1\"");
    let RangeStorage::Keep(kept) = decide(&keeping(), "", &all, Some(10), None) else {
        panic!("a part that has everything is the whole (RFC 9110 §15.3.7.3)");
    };
    assert_eq!((kept.part, kept.seam), (None, None));
    let want = fields("Cache-Control: max-age=60|ETag: \"1\"|Content-Length: 10");
    assert_eq!(kept.storable.fields, want);
}

#[test]
fn a_part_answers_one_range_that_is_wholly_within_it_and_nothing_else() {
    use Length::{EndsHere, Known, Unknown};
    type Row = (&'static str, u64, u64, Length, &'static str, Option<(u64, u64, &'static str)>);
    // id, the part's first byte, its length, the whole's; the request; what answers: from, to, Content-Range.
    #[rustfmt::skip]
    let rows: &[Row] = &[
        ("all-of-it", 2, 5, Known(10), "bytes=2-6", Some((0, 5, "bytes 2-6/10"))),
        ("within", 2, 5, Known(10), "bytes=3-4", Some((1, 3, "bytes 3-4/10"))),
        ("before", 2, 5, Known(10), "bytes=1-4", None),
        ("behind", 2, 5, Known(10), "bytes=3-7", None),
        ("around", 2, 5, Known(10), "bytes=0-9", None),
        ("elsewhere", 2, 5, Known(10), "bytes=8-9", None),
        ("open", 2, 5, Known(10), "bytes=3-", None),
        ("suffix", 2, 5, Known(10), "bytes=-3", None),
        ("open-to-the-end", 5, 5, Known(10), "bytes=6-", Some((1, 5, "bytes 6-9/10"))),
        ("beyond-the-end", 5, 5, Known(10), "bytes=6-99", Some((1, 5, "bytes 6-9/10"))),
        ("suffix-at-the-end", 5, 5, Known(10), "bytes=-3", Some((2, 5, "bytes 7-9/10"))),
        ("suffix-too-long", 5, 5, Known(10), "bytes=-6", None),
        ("suffix-of-nothing", 5, 5, Known(10), "bytes=-0", None),
        ("unsatisfiable", 5, 5, Known(10), "bytes=10-", None),
        ("unknown", 2, 5, Unknown, "bytes=3-4", Some((1, 3, "bytes 3-4/*"))),
        ("unknown-open", 2, 5, Unknown, "bytes=3-", None),
        ("unknown-suffix", 2, 5, Unknown, "bytes=-1", None),
        ("unknown-beyond", 2, 5, Unknown, "bytes=3-7", None),
        ("unknown-huge", 2, 5, Unknown, "bytes=3-18446744073709551615", None),
        ("short", 4, 5, EndsHere, "bytes=6-8", Some((2, 5, "bytes 6-8/*"))),
        ("short-open", 4, 5, EndsHere, "bytes=6-", Some((2, 5, "bytes 6-8/*"))),
        ("short-suffix", 4, 5, EndsHere, "bytes=-1", Some((4, 5, "bytes 8-8/*"))),
        ("short-suffix-all", 4, 5, EndsHere, "bytes=-5", Some((0, 5, "bytes 4-8/*"))),
        ("short-suffix-more", 4, 5, EndsHere, "bytes=-6", None),
        ("short-after", 4, 5, EndsHere, "bytes=9-", None),
        ("several", 2, 5, Known(10), "bytes=2-3,5-6", None),
        ("no-range", 2, 5, Known(10), "lines=2-3", None),
        ("huge", u64::MAX - 2, 2, Unknown, "bytes=18446744073709551613-18446744073709551614",
            Some((0, 2, "bytes 18446744073709551613-18446744073709551614/*"))),
    ];
    for (id, first, length, whole, asked, want) in rows {
        let part = stored(*first, *length, *whole, "");
        let want = want.map(|(from, to, said)| Cut { from, to, content_range: said.to_owned() });
        assert_eq!(cut(&get(&format!("Range: {asked}")), &part), want, "{id}");
    }
    let part = stored(2, 5, Known(10), "ETag: \"1\"");
    assert_eq!(cut(&get(""), &part), None, "not a request for the whole");
    assert_eq!(cut(&request("HEAD /page", "Range: bytes=2-3"), &part), None, "not a HEAD");
    assert!(cut(&get("Range: bytes=2-3|If-Range: \"1\""), &part).is_some());
    assert_eq!(cut(&get("Range: bytes=2-3|If-Range: \"2\""), &part), None, "RFC 9110 §13.1.5");
    let whole = Entry { part: None, status: 200, ..part };
    assert_eq!(cut(&get("Range: bytes=2-3"), &whole), None, "that is for `policy::range`");
}

#[test]
fn strong_validators() {
    let dated = format!("{CHANGED}|{DATED}");
    let at_once = format!("{CHANGED}|Date: Fri, 31 Dec 2021 00:00:00 GMT");
    let date = "Fri, 31 Dec 2021 00:00:00 GMT";
    assert!(parse(date).is_some());
    let rows: &[(&str, Option<&str>)] = &[
        ("", None),
        ("ETag: \"1\"", Some("\"1\"")),
        ("ETag: W/\"1\"", None),
        ("ETag: 1", None),
        ("ETag: \"1\"|ETag: \"2\"", None),
        (&dated, Some(date)),
        (&at_once, None),
        (CHANGED, None),
    ];
    for (lines, want) in rows {
        assert_eq!(strong_validator(&fields(lines)), *want, "{lines}");
    }
    let weak = format!("ETag: W/\"1\"|{dated}");
    let unreadable = format!("ETag: 1|{dated}");
    assert_eq!(strong_validator(&fields(&weak)), None, "a weak tag says that dates are weaker");
    let rows: &[(&str, &str, bool)] = &[
        ("", "", false),
        ("ETag: \"1\"", "ETag: \"1\"", true),
        ("ETag: \"1\"", "ETag: \"2\"", false),
        ("ETag: W/\"1\"", "ETag: W/\"1\"", false),
        ("ETag: \"1\"", "", false),
        (&dated, &dated, true),
        (&dated, &at_once, false),
        (&dated, "Date: Sat, 01 Jan 2022 00:00:00 GMT", false),
        (&weak, &dated, false),
        // A tag that can't be read is one that can't be compared, and no lack of one.
        (&unreadable, &unreadable, false),
        (&unreadable, &dated, false),
    ];
    for (one, other, want) in rows {
        assert_eq!(shared_validator(&fields(one), &fields(other)), *want, "{one} {other}");
        assert_eq!(shared_validator(&fields(other), &fields(one)), *want, "{other} {one}");
    }
}

/// A new part beside a stored one; what is stored then: its first byte and its length, and the seam.
#[test]
fn parts_that_touch_and_share_a_strong_validator_are_put_together() {
    let tagged = "ETag: \"1\"|Cache-Control: max-age=60";
    let joined = |first, length, before, after| Some((first, length, Seam { before, after }));
    #[rustfmt::skip]
    let rows = [
        ("behind", (2, 3), (5, 2), joined(2, 5, 3, 3)),
        ("before", (5, 2), (2, 3), joined(2, 5, 0, 0)),
        ("over-the-end", (2, 3), (4, 3), joined(2, 5, 2, 3)),
        ("over-the-front", (4, 3), (2, 3), joined(2, 5, 0, 1)),
        ("inside", (2, 6), (4, 2), joined(2, 6, 2, 4)),
        ("around", (4, 2), (2, 6), joined(2, 6, 0, 2)),
        ("same", (2, 3), (2, 3), joined(2, 3, 0, 3)),
        ("apart", (0, 2), (4, 2), None),
        ("whole", (0, 5), (5, 5), joined(0, 10, 5, 5)),
        ("whole-backwards", (5, 5), (0, 5), joined(0, 10, 0, 0)),
    ];
    for (id, (first, length), (new_first, new_length), want) in rows {
        let have = stored(first, length, Length::Known(10), "ETag: \"1\"|A: old|B: old");
        let last = new_first + new_length - 1;
        let range = format!("{tagged}|Content-Range: bytes {new_first}-{last}/10|B: new");
        let decision =
            decide(&keeping(), "", &response(206, &range), Some(new_length), Some(&have));
        let RangeStorage::Keep(kept) = decision else { panic!("{id}: {decision:?}") };
        let Some((first, length, seam)) = want else {
            assert_eq!((kept.part, kept.seam), (Some(known(new_first, 10)), None), "{id}");
            continue;
        };
        assert_eq!(kept.seam, Some(seam), "{id}");
        assert_eq!(kept.part, (length < 10).then_some(known(first, 10)), "{id}");
        let merged = &kept.storable.fields;
        assert_eq!((merged.get("a"), merged.get("b")), (Some("old"), Some("new")), "{id} (§3.4)");
        assert!(!merged.has("content-range"), "{id}");
        assert_eq!(merged.get("content-length"), (length == 10).then_some("10"), "{id}");
    }
}

#[test]
fn parts_that_may_be_of_two_representations_are_not_put_together() {
    let have = |whole| stored(0, 5, whole, "ETag: \"1\"");
    let known = have(Length::Known(10));
    #[rustfmt::skip]
    let rows = [
        ("same", &known, "bytes 5-9/10", "ETag: \"1\"", true),
        ("other-tag", &known, "bytes 5-9/10", "ETag: \"2\"", false),
        ("weak-tag", &known, "bytes 5-9/10", "ETag: W/\"1\"", false),
        ("no-tag", &known, "bytes 5-9/10", "", false),
        ("other-length", &known, "bytes 5-9/11", "ETag: \"1\"", false),
        ("length-unknown", &known, "bytes 5-9/*", "ETag: \"1\"", false),
        ("stored-unknown", &have(Length::Unknown), "bytes 5-9/10", "ETag: \"1\"", false),
        ("both-unknown", &have(Length::Unknown), "bytes 5-9/*", "ETag: \"1\"", false),
        ("stored-short", &have(Length::EndsHere), "bytes 5-9/10", "ETag: \"1\"", false),
        ("new-short", &known, "bytes 4-9/10", "ETag: \"1\"", false),
    ];
    for (id, have, range, lines, want) in rows {
        let lines = format!("Cache-Control: max-age=60|Content-Range: {range}|{lines}");
        let decision = decide(&lenient(), "", &response(206, &lines), Some(5), Some(have));
        let RangeStorage::Keep(kept) = decision else { panic!("{id}: {decision:?}") };
        assert_eq!(kept.seam.is_some(), want, "{id} (RFC 9110 §15.3.7.3)");
    }
    // What forbids storing holds for what would come of it, too.
    let private = "Cache-Control: private|Content-Range: bytes 5-9/10|ETag: \"1\"";
    let decision = decide(&keeping(), "", &response(206, private), Some(5), Some(&known));
    assert_eq!(decision, RangeStorage::Refuse(NoStore::Private));
}

#[test]
fn the_rest_of_a_part_is_asked_for_where_an_answer_can_prove_that_it_is_the_rest() {
    use Length::{EndsHere, Known, Unknown};
    let tag = "ETag: \"1\"";
    #[rustfmt::skip]
    let rows = [
        ("end", 0, 5, Known(10), tag, Some("Range: bytes=5-|If-Range: \"1\"")),
        ("front", 6, 4, Known(10), tag, Some("Range: bytes=0-5|If-Range: \"1\"")),
        ("both", 2, 5, Known(10), tag, None),
        ("unknown", 0, 5, Unknown, tag, None),
        ("short", 0, 5, EndsHere, tag, None),
        ("largest", 0, 5, Known(100), tag, Some("Range: bytes=5-|If-Range: \"1\"")),
        ("too-large", 0, 5, Known(101), tag, None),
        ("nothing-lacks", 0, 10, Known(10), tag, None),
        ("date", 0, 5, Known(10), "Last-Modified: Fri, 31 Dec 2021 00:00:00 GMT|Date: Sat, 01 Jan 2022 00:00:00 GMT",
            Some("Range: bytes=5-|If-Range: Fri, 31 Dec 2021 00:00:00 GMT")),
    ];
    for (id, first, length, whole, lines, want) in rows {
        let part = stored(first, length, whole, lines);
        let want = want.map(fields);
        assert_eq!(rest(&part, &keeping(), 100), want, "{id} (RFC 9111 §3.3)");
        assert_eq!(rest(&part, &lenient(), 100), want, "{id}, lenient");
    }
    for lines in ["", "ETag: W/\"1\""] {
        let part = stored(0, 5, Known(10), lines);
        assert_eq!(rest(&part, &keeping(), 100), None);
        assert_eq!(rest(&part, &lenient(), 100), Some(fields("Range: bytes=5-")));
    }
}

fn completes(lines: &str, status: u16, length: Option<u64>, have: &Entry) -> Option<Kept> {
    let asked = get("");
    let config = config(lenient());
    let admitted = serve(&asked, &config);
    let sent = cacheable_request_fields(&asked, &admitted, &EDGE);
    let input = StorageInput {
        request: &asked,
        admitted: &admitted,
        sent: &sent,
        response: &response(status, &format!("Cache-Control: max-age=60|{lines}")),
        request_time: NOW,
        response_time: NOW,
    };
    completed(&input, length, have)
}

#[test]
fn only_the_rest_of_the_same_representation_completes_a_part() {
    let have = stored(0, 5, Length::Known(10), "ETag: \"1\"");
    let kept = completes("ETag: \"1\"|Content-Range: bytes 5-9/10", 206, Some(5), &have).unwrap();
    assert_eq!((kept.part, kept.seam), (None, Some(Seam { before: 5, after: 5 })));
    assert_eq!(kept.storable.freshness.lifetime, Seconds(60));
    #[rustfmt::skip]
    let rows = [
        ("another", "ETag: \"2\"|Content-Range: bytes 5-9/10", 206, Some(5)),
        ("no-validator", "Content-Range: bytes 5-9/10", 206, Some(5)),
        ("not-all", "ETag: \"1\"|Content-Range: bytes 5-8/10", 206, Some(4)),
        ("gap", "ETag: \"1\"|Content-Range: bytes 6-9/10", 206, Some(4)),
        ("short", "ETag: \"1\"|Content-Range: bytes 5-9/10", 206, Some(4)),
        ("no-length", "ETag: \"1\"|Content-Range: bytes 5-9/10", 206, None),
        ("unsatisfiable", "ETag: \"1\"|Content-Range: bytes */10", 416, Some(0)),
        ("whole", "ETag: \"1\"", 200, Some(10)),
        ("private", "ETag: \"1\"|Content-Range: bytes 5-9/10|Set-Cookie: a=b", 206, Some(5)),
    ];
    for (id, lines, status, length) in rows {
        assert_eq!(completes(lines, status, length, &have), None, "{id}");
    }
    let untagged = stored(0, 5, Length::Known(10), "");
    let same = completes("Content-Range: bytes 5-9/10", 206, Some(5), &untagged);
    assert_eq!(same, None, "lenient asks, and proves nothing");
}

proptest! {
    /// Whatever an origin says of its parts and a visitor asks for, what is cut is within what is stored, and what is
    /// put together has the bytes of the whole in their places.
    #[test]
    fn parts_are_parts(
        whole in 1..40_u64,
        one in (0..40_u64, 1..40_u64),
        two in (0..40_u64, 1..40_u64),
        range in "bytes=([0-9]{0,2}-[0-9]{0,2})(,[0-9]{0,2}-)?",
    ) {
        let bytes: Vec<u8> = (0..whole as u8).collect();
        let piece = |(first, length): (u64, u64)| {
            let first = first % whole;
            (first, length.min(whole - first))
        };
        let body = |(first, length): (u64, u64)| &bytes[first as usize..(first + length) as usize];
        let (one, two) = (piece(one), piece(two));
        let have = stored(one.0, one.1, Length::Known(whole), "ETag: \"1\"");
        let last = two.0 + two.1 - 1;
        let lines = format!(
            "ETag: \"1\"|Cache-Control: max-age=9|Content-Range: bytes {}-{last}/{whole}", two.0
        );
        let decision = decide(&keeping(), "", &response(206, &lines), Some(two.1), Some(&have));
        let RangeStorage::Keep(kept) = decision else {
            return Err(TestCaseError::fail(format!("{decision:?}")));
        };
        let (first, joined) = match kept.seam {
            Some(seam) => {
                let old = body(one);
                let mut joined = old[..seam.before as usize].to_vec();
                joined.extend_from_slice(body(two));
                joined.extend_from_slice(&old[seam.after as usize..]);
                (one.0.min(two.0), joined)
            }
            None => (two.0, body(two).to_vec()),
        };
        prop_assert_eq!(&joined, body((first, joined.len() as u64)));
        prop_assert_eq!(kept.part.is_none(), joined.len() as u64 == whole);
        let part = stored(first, joined.len() as u64, Length::Known(whole), "");
        if let Some(cut) = cut(&get(&format!("Range: {range}")), &part) {
            let sent = &joined[cut.from as usize..cut.to as usize];
            let said = cut.content_range.strip_prefix("bytes ").and_then(|s| s.split_once('/'));
            let (places, complete) = said.expect("a Content-Range");
            let (from, to) = places.split_once('-').expect("first and last");
            let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
            prop_assert_eq!(sent, &bytes[from..=to]);
            prop_assert_eq!(complete, whole.to_string());
        }
    }
}
