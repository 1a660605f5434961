//! The parsers of header fields: total, and closed to what they can't read.

use edge_isr::base::time::{Seconds, Timestamp};
use edge_isr::cache::tag_fields;
use edge_isr::http::cache_control::{FieldScope, RequestDirectives, ResponseDirectives, without};
use edge_isr::http::cache_status::{CacheStatus, Forward, is_upstream_hit};
use edge_isr::http::date::DateField;
use edge_isr::http::etag::{EntityTag, TagList};
use edge_isr::http::{
    Fields, accept, age, cookie, date, encoding, etag, hop, language, list, loop_guard, origin,
    range, targeted, vary,
};

use super::{latin1, lines_of};

/// A known age is digits that came first.
pub(crate) fn age(data: &[u8]) {
    let fields = lines_of("age", data);
    if let Some(seconds) = age::age(&fields) {
        assert!(seconds <= Seconds::MAX);
        assert!(data.iter().any(u8::is_ascii_digit));
    }
}

/// A plain `no-store` or `private` is heard wherever it stands, and taking directives out leaves
/// the others.
pub(crate) fn cache_control(data: &[u8]) {
    let fields = lines_of("cache-control", data);
    let read = ResponseDirectives::of(&fields, "cache-control");
    let request = RequestDirectives::of(&fields);
    for line in fields.all("cache-control").filter(|line| !line.contains('"')) {
        for member in line.split(',').map(list::trim) {
            if member.eq_ignore_ascii_case("no-store") {
                assert!(read.no_store && request.no_store, "{fields:?}");
            }
            if member.eq_ignore_ascii_case("private") {
                assert!(read.private == FieldScope::Whole, "{fields:?}");
            }
        }
    }
    let value = fields.joined("cache-control").unwrap_or_default();
    if let Some(left) = without(&value, &["s-maxage"]) {
        assert_eq!(without(&left, &["s-maxage"]).as_deref(), Some(left.as_str()));
        let left: Fields = [("cache-control", left)].into_iter().collect();
        let left = ResponseDirectives::of(&left, "cache-control");
        assert!(left.no_store || !read.no_store || fields.len() > 1 || value.contains('"'));
    }
}

/// What we say in `Cache-Status` is always a list of structured fields (RFC 9211 §2), whoever spoke
/// before.
pub(crate) fn cache_status(data: &[u8]) {
    let mut fields = lines_of("cache-status", data);
    let _ = is_upstream_hit(&fields);
    let text = latin1(data);
    let cache_status =
        CacheStatus::forwarded(Forward::Stale).fwd_status(200).key(&text).detail(&text);
    cache_status.append_to(&mut fields);
    let value = fields.joined("cache-status").unwrap_or_default();
    assert!(sfv::Parser::new(&value).parse::<sfv::List>().is_ok(), "{value}");
}

/// A cookie that `;` makes a cookie is found by its name, and only the named go on.
pub(crate) fn cookie(data: &[u8]) {
    let fields = lines_of("cookie", data);
    let names = ["a".to_owned(), "sessionid".to_owned()];
    let found = cookie::cookies(&fields);
    let has = found.iter().any(|(name, _)| names.iter().any(|n| n == name));
    assert!(!has || cookie::has_any(&fields, &names));
    let only = cookie::only(&fields, &names);
    assert_eq!(only.is_some(), has);
    if let Some(only) = only {
        let sent: Fields = [("cookie", only)].into_iter().collect();
        assert!(!cookie::has_other(&sent, &names), "{sent:?}");
        for name in &names {
            assert_eq!(cookie::values(&sent, name), cookie::values(&fields, name));
        }
    }
}

/// A date that was read can be written and read again.
pub(crate) fn date(data: &[u8]) {
    let fields = lines_of("expires", data);
    if let DateField::Known(at) = date::date(&fields, "expires") {
        assert_eq!(date::parse(&date::format(at)), Some(at));
    }
    if let Some(at) = date::internet_date(&latin1(data)) {
        assert!(at >= Timestamp::ZERO);
    }
}

/// Six values at most, each of which stays as it is; never a coding that the visitor refuses.
pub(crate) fn encoding(data: &[u8]) {
    let value = latin1(data);
    let normal = encoding::normalise(Some(&value));
    assert_eq!(encoding::normalise(Some(normal)), normal);
    let best = encoding::best(Some(&value));
    assert!(best == encoding::Coding::Identity || encoding::accepts(Some(&value), best));
}

/// A tag has no quote inside and equals itself weakly; a list finds the tags that stand in it.
pub(crate) fn etag(data: &[u8]) {
    let text = latin1(data);
    let fields = lines_of("if-none-match", data);
    let tags = TagList::of(&fields, "if-none-match");
    if let Some(tag) = EntityTag::parse(&text) {
        assert!(!tag.opaque.contains('"') && tag.weak_eq(&tag) && tag.strong_eq(&tag) != tag.weak);
        if fields.len() == 1 {
            assert!(tags.is_some_and(|tags| tags.weakly_has(&tag)), "{text:?}");
        }
    }
    let lines = lines_of("etag", data);
    assert!(etag::etag(&lines).is_none() || lines.len() == 1);
}

/// After the hop's fields are gone none is left, and what decisions rest on is still there.
pub(crate) fn hop(data: &[u8]) {
    let mut fields = lines_of("connection", data);
    let keep = ["age", "cache-control", "cookie", "set-cookie", "vary", "content-encoding", "date"];
    keep.iter().for_each(|name| fields.append(*name, "x"));
    hop::HOP_BY_HOP.iter().for_each(|name| fields.append(*name, "x"));
    hop::remove_hop_by_hop(&mut fields);
    assert!(fields.iter().all(|(name, _)| !hop::is_hop_by_hop(name)));
    assert!(keep.iter().all(|name| fields.has(name)));
    let name = latin1(data).to_ascii_lowercase();
    let _ = (hop::is_proxy_only(&name), hop::is_unkeyed(&name));
}

/// The language is one of the list; equal fields stay equal.
pub(crate) fn language(data: &[u8]) {
    let value = latin1(data);
    let languages = ["de".to_owned(), "en-gb".to_owned(), "zh-hant".to_owned()];
    assert!(language::look_up(Some(&value), &languages).is_some());
    let normal = language::normalise(&value);
    assert_eq!(language::normalise(&normal), normal);
    assert_eq!(language::look_up(Some(&value), &languages), {
        language::look_up(Some(&value.to_ascii_uppercase()), &languages)
    });
}

/// Parts stand in the text, in order; a quoted string that is read can't hold an open quote.
pub(crate) fn list(data: &[u8]) {
    let text = latin1(data);
    for separator in [b',', b';', b' '] {
        let split = list::split(&text, separator);
        let mut rest = text.as_str();
        for part in &split.parts {
            assert!(!part.is_empty());
            let Some((_, after)) = rest.split_once(part) else { panic!("{part:?} of {text:?}") };
            rest = after;
        }
    }
    assert!(
        list::weighted(&text).iter().all(|(value, weight)| !value.is_empty() && *weight <= 1000)
    );
    assert!(list::quality(&text).is_none_or(|weight| weight <= 1000));
    assert!(!list::is_token(&text) || list::unquote(&text).as_deref() == Some(text.as_str()));
}

/// A request that went through this edge has looped, whatever stood in the field before.
pub(crate) fn loop_guard(data: &[u8]) {
    let fields = lines_of("cdn-loop", data);
    let _ = loop_guard::has_looped(&fields);
    let next: Fields = [("cdn-loop", loop_guard::extended(&fields))].into_iter().collect();
    assert!(loop_guard::has_looped(&next), "{next:?}");
}

/// A range never reaches beyond the body; a part that is read lies within its whole.
pub(crate) fn range(data: &[u8]) {
    let fields = lines_of("range", data);
    for spec in range::range(&fields).iter().flat_map(|range| &range.specs) {
        for length in [0, 1, 10, u64::MAX] {
            if let Some((from, to)) = spec.within(length) {
                assert!(from < to && to <= length, "{spec:?} of {length}");
            }
        }
    }
    let part = lines_of("content-range", data);
    for from in [0, 1, 10] {
        assert!(range::reaches_the_end(&part, from).is_none_or(|complete| from < complete));
    }
}

/// Tags are tags, and reading them again gives the same.
pub(crate) fn tags(data: &[u8]) {
    let fields = lines_of("x-edge-isr-tags", data);
    if let Ok(found) = tag_fields::tags(&fields) {
        let again: Vec<&str> = found.iter().map(|tag| tag.as_str()).collect();
        let again: Fields = [("xkey", again.join(","))].into_iter().collect();
        assert_eq!(tag_fields::tags(&again), Ok(found));
    }
}

/// A targeted field that has a plain `no-store` is heard, or it is not taken at all.
pub(crate) fn targeted(data: &[u8]) {
    let value = latin1(data);
    let _ = targeted::cdn_cache_control(&value);
    let surrogate = lines_of("surrogate-control", data);
    let _ = targeted::surrogate_control(&surrogate);
    let asks = targeted::asks_for_esi(&surrogate);
    assert!(!asks || latin1(data).contains("ESI/1.0"));
    let mut fields = lines_of("cdn-cache-control", data);
    fields.append("cache-control", "no-store");
    let edge = targeted::edge_directives(&fields);
    assert!(edge.targeted || edge.directives.no_store, "{fields:?}");
}

/// Names are tokens in lower case, sorted, each once, and not too many.
pub(crate) fn vary(data: &[u8]) {
    let fields = lines_of("vary", data);
    if let vary::Vary::Names(names) = vary::vary(&fields) {
        assert!(names.len() <= vary::MAX_NAMES && names.is_sorted());
        assert!(
            names.iter().all(|name| list::is_token(name) && *name == name.to_ascii_lowercase())
        );
        assert!(fields.all("vary").all(|line| list::trim(line) != "*"));
    }
}

/// What goes on is short, printable, and reads again as itself.
pub(crate) fn accept(data: &[u8]) {
    let value = latin1(data);
    for readable in [accept::accept, accept::accept_language] {
        if let Some(kept) = readable(&value) {
            assert!(!kept.is_empty() && kept.len() <= accept::MAX_BYTES);
            assert!(kept.bytes().all(|b| b == b'\t' || (32..127).contains(&b)), "{kept:?}");
            assert!(!kept.contains(['<', '>', '(', '{', '\\']), "{kept:?}");
            assert!(kept.matches('"').count().is_multiple_of(2), "{kept:?}");
            assert_eq!(readable(&kept).as_deref(), Some(kept.as_str()));
        }
    }
}

/// An origin is one word in lower case, and reading it again gives the same.
pub(crate) fn origin(data: &[u8]) {
    let value = latin1(data);
    if let Some(read) = origin::origin(&value) {
        assert!(read.len() <= 300 && read.bytes().all(|byte| byte.is_ascii_graphic()), "{read}");
        assert_eq!(read, read.to_ascii_lowercase());
        assert_eq!(origin::origin(&read).as_deref(), Some(read.as_str()));
    }
    let _ = origin::names_one_origin(&lines_of("access-control-allow-origin", data));
}
