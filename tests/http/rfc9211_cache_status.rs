//! `Cache-Status` (RFC 9211).

use crate::http_support::fields;
use edge_isr::http::cache_status::{CacheStatus, Forward};

#[test]
fn members() {
    let rows = [
        (CacheStatus::default(), "edge-isr"),
        (CacheStatus::hit(295), "edge-isr;hit;ttl=295"),
        (
            CacheStatus::hit(-5).detail("stale-while-revalidate"),
            "edge-isr;hit;ttl=-5;detail=stale-while-revalidate",
        ),
        (
            CacheStatus::forwarded(Forward::UriMiss).fwd_status(200).stored().collapsed(),
            "edge-isr;fwd=uri-miss;fwd-status=200;stored;collapsed",
        ),
        (
            CacheStatus::forwarded(Forward::Bypass).key("8:\"a\\b\"\u{e9}").detail("in words"),
            "edge-isr;fwd=bypass;key=\"8:\\\"a\\\\b\\\"?\";detail=\"in words\"",
        ),
        (CacheStatus::default().maybe_detail(Some("")), "edge-isr;detail=\"\""),
        (CacheStatus::default().detail("a\r\nb: c"), "edge-isr;detail=\"a??b: c\""),
        (CacheStatus::hit(i64::MIN), "edge-isr;hit;ttl=-999999999999999"),
    ];
    for (status, want) in rows {
        assert_eq!(status.to_string(), want);
        assert!(sfv::Parser::new(want).parse::<sfv::List>().is_ok(), "{want}");
    }
}

/// RFC 9211 §2: the member nearest to the origin comes first.
#[test]
fn members_of_other_caches_stay_before_ours() {
    for (came, want) in [
        ("", "edge-isr;hit;ttl=1"),
        ("Cache-Status: origin; fwd=miss", "origin; fwd=miss, edge-isr;hit;ttl=1"),
        ("Cache-Status: a; hit|Cache-Status: b", "a; hit, b, edge-isr;hit;ttl=1"),
        ("Cache-Status: not a list;;", "edge-isr;hit;ttl=1"),
        ("Cache-Status: ", "edge-isr;hit;ttl=1"),
    ] {
        let mut fields = fields(came);
        CacheStatus::hit(1).append_to(&mut fields);
        assert_eq!(fields.all("cache-status").collect::<Vec<_>>(), [want]);
    }
}
