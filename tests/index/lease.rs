//! The rules of leases and records, each under its name in the simulation, on real SQLite.

#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::shard::{
    Bench, HOUR, KEPT, asks, at, fanout, page, selection, stored, tag, tags,
};
use edge_isr::base::time::{Epoch, Millis};
use edge_isr::cache::key::CacheKey;
use edge_isr::index::lease::{Holder, LeaseDecision, LeaseQuery, Version, decide, replaces};
use edge_isr::index::{
    LeaseReply, LeaseRequest, Outcome, RecordRequest, Recorded, Refetch, ShardCall, ShardReply,
};

fn needs(path: &str, need: u64, have_fence: u64) -> LeaseRequest {
    LeaseRequest { need: Epoch(need), have_fence, ..asks(path, need) }
}

fn waits(bench: &mut Bench, request: LeaseRequest, millis: u64) -> bool {
    matches!(bench.lease(request, millis), LeaseReply::Wait { .. })
}

#[test]
fn decisions() {
    let version = |stamp, fence| Some(Version { stamp: Epoch(stamp), fence });
    let holder = |stamp, until| Some(Holder { fence: 9, stamp: Epoch(stamp), until: at(until) });
    let (wait, grant) = (LeaseDecision::Wait(Millis(250)), LeaseDecision::Grant);
    let (ready, ticket) = (LeaseDecision::Ready, LeaseDecision::Ticket);
    // name; need, have, lagged; ready; holder; ticket's end; want, at 1000 ms
    let rows = [
        ("nothing known", 0, 0, false, None, None, None, grant),
        ("one who fetches", 0, 0, false, None, holder(0, 9_000), None, wait),
        (
            "near its end",
            0,
            0,
            false,
            None,
            holder(0, 1_100),
            None,
            LeaseDecision::Wait(Millis(100)),
        ),
        ("at its end", 0, 0, false, None, holder(0, 1_000), None, grant),
        ("lease_need", 5, 0, false, None, holder(4, 9_000), None, grant),
        ("it covers the need", 5, 0, false, None, holder(5, 9_000), None, wait),
        ("ready", 5, 0, false, version(5, 3), None, None, ready),
        ("ready, while one fetches", 5, 0, false, version(5, 3), holder(5, 9_000), None, ready),
        ("ready too old", 6, 0, false, version(5, 3), None, None, grant),
        ("ready too old, one fetches", 6, 0, false, version(5, 3), holder(6, 9_000), None, wait),
        ("lease_gen: the requester has it", 5, 3, false, version(5, 3), None, None, grant),
        ("lease_gen: the requester has older", 5, 2, false, version(5, 3), None, None, ready),
        ("lagged", 5, 2, true, version(5, 3), None, None, ticket),
        ("lagged, a ticket is out", 5, 2, true, version(5, 3), None, Some(9_000), wait),
        ("lagged, the ticket has ended", 5, 2, true, version(5, 3), None, Some(1_000), ticket),
        ("lagged, nothing ready", 6, 2, true, version(5, 3), None, None, grant),
    ];
    for (name, need, have_fence, lagged, ready, holder, ticket, want) in rows {
        let ask = LeaseQuery { need: Epoch(need), have_fence, lagged };
        assert_eq!(decide(ask, ready, holder, ticket.map(at), at(1_000)), want, "{name}");
    }
    let rows = [
        ("a higher stamp", (6, 1), true),
        ("fence: a late holder", (5, 2), false),
        ("a lower stamp, whatever its fence", (4, 9), false),
        ("the same record twice", (5, 3), true),
    ];
    for (name, (stamp, fence), want) in rows {
        let new = Version { stamp: Epoch(stamp), fence };
        assert_eq!(replaces(new, version(5, 3)), want, "{name}");
    }
}

#[test]
fn one_refresh_at_a_time() {
    let mut bench = Bench::new();
    let grant = bench.granted(asks("/", 3), 0);
    assert_eq!((grant.stamp, grant.first), (Epoch(3), true));
    assert!(waits(&mut bench, asks("/", 3), 1));
    // Another page is another matter.
    assert!(bench.granted(asks("/b", 3), 1).fence > grant.fence);
    bench.record(stored("/", &grant, &["a"]), 5);
    assert_eq!(bench.tag_pages("a"), ["/"]);
    let ready = bench.ready(asks("/", 3), 6);
    assert_eq!(ready.fence, grant.fence);
    assert_eq!(ready.l2_key, format!("/#{}", grant.fence));
    // A crashed holder's lease ends; the page was asked for before, though never recorded.
    let again = bench.granted(asks("/b", 3), 10_001);
    assert!(!again.first);
}

#[test]
fn lease_need() {
    let mut bench = Bench::new();
    let old = bench.granted(asks("/", 3), 0);
    assert!(waits(&mut bench, needs("/", 3, 0), 1));
    let new = bench.granted(needs("/", 4, 0), 2);
    assert_eq!(new.stamp, Epoch(4));
    assert!(waits(&mut bench, needs("/", 4, 0), 3));
    assert!(bench.record(stored("/", &new, &[]), 4).accepted);
    // fence: the old holder is late, and must not undo it.
    assert!(!bench.record(stored("/", &old, &[]), 5).accepted);
    assert_eq!(bench.ready(needs("/", 4, 0), 6).fence, new.fence);
}

#[test]
fn lease_gen() {
    let mut bench = Bench::new();
    let first = bench.fill("/", 3, &[], 0);
    // The requester has that copy, and it is merely old: it may refresh.
    let second = bench.granted(needs("/", 0, first.fence), 1);
    bench.record(stored("/", &second, &[]), 2);
    assert_eq!(bench.ready(needs("/", 0, first.fence), 3).fence, second.fence);
    bench.granted(needs("/", 0, second.fence), 4);
}

#[test]
fn release_fence() {
    let mut bench = Bench::new();
    let old = bench.granted(asks("/", 3), 0);
    let new = bench.granted(needs("/", 4, 0), 1);
    bench.release("/", old.fence, 2);
    assert!(waits(&mut bench, needs("/", 4, 0), 3));
    bench.record(RecordRequest { outcome: Outcome::Gone, ..stored("/", &old, &[]) }, 4);
    assert!(waits(&mut bench, needs("/", 4, 0), 5));
    bench.release("/", new.fence, 6);
    bench.granted(needs("/", 4, 0), 6);
}

#[test]
fn lease_seen() {
    let mut bench = Bench::new();
    bench.granted(asks("/a", 7), 0);
    assert_eq!(bench.granted(asks("/b", 2), 1).stamp, Epoch(7));
    bench.invalidate(fanout(9, &[tag("x")]), 2);
    let mut bench = bench.restart();
    assert_eq!(bench.granted(asks("/c", 2), 3).stamp, Epoch(9));
}

#[test]
fn fetched_after() {
    let mut bench = Bench::new();
    let grant = bench.granted(asks("/", 0), 0);
    let LeaseReply::Wait { latest_fence, .. } = bench.lease(asks("/", 0), 1) else {
        panic!("no wait")
    };
    // What the holder brings was begun before this request asked; what comes after was not.
    assert!(grant.fence <= latest_fence);
    bench.record(stored("/", &grant, &[]), 2);
    let later = bench.granted(needs("/", 0, grant.fence), 3);
    assert!(later.fence > latest_fence);
    // Numbers go on after a restart, and past what a requester has from a shard that was lost.
    let mut bench = bench.restart();
    assert!(bench.granted(asks("/b", 0), 4).fence > later.fence);
    assert_eq!(bench.granted(needs("/c", 0, 1_000), 5).fence, 1_001);
}

#[test]
fn tickets() {
    let mut bench = Bench::new();
    let filled = bench.fill("/", 3, &["a"], 0);
    let lagged = |colo: &str| LeaseRequest { lagged: true, colo: colo.to_owned(), ..asks("/", 3) };
    let LeaseReply::Ticket(ticket) = bench.lease(lagged("AMS"), 1) else { panic!("no ticket") };
    assert_eq!((ticket.fence, ticket.stamp), (filled.fence, Epoch(3)));
    assert_eq!(ticket.tags, tags(&["a"]));
    // One per colo.
    assert!(waits(&mut bench, lagged("AMS"), 2));
    assert!(matches!(bench.lease(lagged("FRA"), 2), LeaseReply::Ticket(_)));
    assert!(matches!(bench.lease(lagged("AMS"), 10_001), LeaseReply::Ticket(_)));
    // A newer copy has tickets of its own.
    let second = bench.granted(needs("/", 0, filled.fence), 10_002);
    bench.record(stored("/", &second, &[]), 10_003);
    assert!(matches!(bench.lease(lagged("AMS"), 10_004), LeaseReply::Ticket(_)));
}

#[test]
fn inherit_tags() {
    let mut bench = Bench::new();
    bench.fill("/", 1, &["a", "b"], 0);
    let grant = bench.granted(needs("/", 2, 0), 1);
    assert_eq!(grant.tags, tags(&["a", "b"]));
    bench.record(stored("/", &grant, &[]), 2);
    assert_eq!(bench.tag_pages("a"), ["/"]);
    assert_eq!(bench.tag_pages("b"), ["/"]);
    // A response with tags replaces them.
    let grant = bench.granted(needs("/", 3, 0), 3);
    bench.record(stored("/", &grant, &["b", "c"]), 4);
    assert_eq!(bench.tag_pages("a"), Vec::<String>::new());
    assert_eq!(bench.tag_pages("c"), ["/"]);
    // A late result changes nothing.
    let mut late = stored("/", &grant, &["z"]);
    late.stamp = Epoch(1);
    assert!(!bench.record(late, 5).accepted);
    assert_eq!(bench.tag_pages("z"), Vec::<String>::new());
    // A variant that is new inherits those of its page.
    let german = selection(&[("accept-language", "de")]);
    let grant = bench.granted(LeaseRequest { selection: german.clone(), ..asks("/", 3) }, 6);
    assert_eq!(grant.tags, tags(&["b", "c"]));
}

#[test]
fn vary() {
    let mut bench = Bench::new();
    let ask = |pairs: &[(&str, &str)]| LeaseRequest { selection: selection(pairs), ..asks("/", 3) };
    let grant = bench.granted(ask(&[]), 0);
    let record = |grant: &edge_isr::index::Grant, leased: &[(&str, &str)], now: &[(&str, &str)]| {
        RecordRequest {
            leased: selection(leased),
            selection: selection(now),
            ..stored("/", grant, &["a"])
        }
    };
    assert!(bench.record(record(&grant, &[], &[("accept-language", "de")]), 1).accepted);
    // Now the page is known to vary: ask by language. The lease of the first asking is free.
    let names = |reply| match reply {
        LeaseReply::Vary { names } => names,
        other => panic!("{other:?}"),
    };
    assert_eq!(names(bench.lease(ask(&[]), 2)), ["accept-language"]);
    bench.ready(ask(&[("accept-language", "de")]), 3);
    let grant = bench.granted(ask(&[("accept-language", "fr")]), 4);
    assert_eq!(grant.vary, ["accept-language"]);
    // It varies on more: the variants of fewer names can't be found any more.
    let more = [("accept-language", "fr"), ("x-device", "mobile")];
    assert!(bench.record(record(&grant, &[("accept-language", "fr")], &more), 5).accepted);
    let reply = bench.lease(ask(&[("accept-language", "de")]), 6);
    assert_eq!(names(reply), ["accept-language", "x-device"]);
    let pages = bench.by_url("example.com/");
    assert_eq!(pages.len(), 1);
    assert_eq!(pages[0].variants.len(), 1);
    assert_eq!(pages[0].variants[0].selection, selection(&more));
    // One who knows other names gets all of them.
    let reply = bench.lease(ask(&[("x-ab", "1")]), 7);
    assert_eq!(names(reply), ["accept-language", "x-ab", "x-device"]);
    // A result under fewer names would never be found: its lease ends, it is not taken.
    let grant = bench.granted(ask(&[("accept-language", "it"), ("x-device", "mobile")]), 8);
    let leased = [("accept-language", "it"), ("x-device", "mobile")];
    assert!(!bench.record(record(&grant, &leased, &[("accept-language", "it")]), 9).accepted);
    bench.granted(ask(&leased), 9);
}

#[test]
fn outcomes_without_a_copy() {
    for outcome in [Outcome::Gone, Outcome::Uncacheable { reason: "private".to_owned() }] {
        let mut bench = Bench::new();
        let first = bench.fill("/", 3, &["a"], 0);
        let grant = bench.granted(needs("/", 4, first.fence), 1);
        let nothing = RecordRequest { outcome: outcome.clone(), ..stored("/", &grant, &[]) };
        let want =
            Recorded { dropped: true, refetch: Some(Refetch::Changed), ..Recorded::default() };
        assert_eq!(bench.record(nothing, 2), want);
        assert_eq!(bench.status().pages, 0, "{outcome:?}");
        assert!(bench.tag_pages("a").is_empty());
        bench.granted(needs("/", 4, first.fence), 3);
        // A late one takes nothing away.
        let newer = bench.granted(needs("/", 5, 0), 4);
        bench.record(stored("/", &newer, &["a"]), 5);
        let late = RecordRequest { outcome, ..stored("/", &grant, &[]) };
        bench.record(late, 6);
        assert_eq!(bench.status().pages, 1);
    }
}

#[test]
fn a_copy_counts_until_its_windows_end() {
    let mut bench = Bench::new();
    bench.fill("/", 3, &["a"], 0);
    bench.ready(asks("/", 3), KEPT - 1);
    bench.granted(asks("/", 3), KEPT);
    // The sweep forgets it, its tags and, later, that it was asked for.
    bench.shard.run_due(at(KEPT + 1)).unwrap();
    assert_eq!(bench.status().pages, 0);
    assert_eq!(bench.tag_pages("a"), Vec::<String>::new());
    assert!(waits(&mut bench, asks("/", 3), KEPT + 2));
    bench.shard.run_due(at(KEPT + HOUR)).unwrap();
    assert!(bench.granted(asks("/", 3), KEPT + HOUR).first);
}

#[test]
fn stored_without_a_place_in_l2() {
    let mut bench = Bench::new();
    let grant = bench.granted(asks("/", 3), 0);
    let local = RecordRequest { l2_key: None, ..stored("/", &grant, &["a"]) };
    assert!(bench.record(local, 1).accepted);
    bench.granted(asks("/", 3), 2);
    assert_eq!(bench.tag_pages("a"), ["/"]);
}

#[test]
fn forget_and_restart() {
    let mut bench = Bench::new();
    bench.fill("/a", 3, &["x"], 0);
    let b = bench.fill("/b", 3, &["x", "y"], 0);
    let held = bench.granted(asks("/c", 3), 0);
    let mut bench = bench.restart();
    assert_eq!(bench.tag_pages("x"), ["/a", "/b"]);
    assert_eq!(bench.ready(asks("/b", 3), 1).fence, b.fence);
    assert!(waits(&mut bench, asks("/c", 3), 1));
    bench.release("/c", held.fence, 2);
    bench.gone("/b", 3);
    bench.gone("/unknown", 3);
    assert_eq!(bench.tag_pages("x"), ["/a"]);
    assert_eq!(bench.tag_pages("y"), Vec::<String>::new());
    assert!(!bench.granted(asks("/b", 3), 4).tags.iter().any(|_| true));
    assert_eq!(bench.by_url(&page("/b").purge_name()), []);
}

/// A page is known by its URL whatever is in its key: once it is recorded, and before for as long
/// as its lease is remembered.
#[test]
fn a_page_is_known_by_its_url_whatever_is_in_its_key() {
    let mut bench = Bench::new();
    let known = |bench: &mut Bench, millis: u64| {
        let urls = ["/plain", "/cookie", "/other"].map(|path| page(path).purge_name()).to_vec();
        let keys = vec![asks("/plain", 0).key.digest()];
        match bench.call(ShardCall::Known { keys, urls }, millis) {
            ShardReply::Known(known) => known,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(known(&mut bench, 0), [false, false, false, false]);
    let cookie = |request: LeaseRequest| LeaseRequest {
        key: CacheKey::new(&request.page, [("cookie:currency", "eur")]),
        ..request
    };
    bench.lease(asks("/plain", 0), 1);
    bench.lease(cookie(asks("/cookie", 0)), 1);
    // What is asked for under its address alone is asked for by its key.
    assert_eq!(known(&mut bench, 2), [true, false, true, false]);
    for hours in [1, 2, 3] {
        bench.shard.run_due(at(hours * HOUR)).unwrap();
    }
    assert_eq!(known(&mut bench, 3 * HOUR), [false, false, false, false]);
    let LeaseReply::Grant(grant) = bench.lease(asks("/other", 0), 3 * HOUR) else { panic!() };
    bench.record(stored("/other", &grant, &[]), 3 * HOUR + 1);
    assert_eq!(known(&mut bench, 3 * HOUR + 2), [false, false, false, true]);
}

/// Who wants what is ready alone gets no lease, and nothing is written.
#[test]
fn who_wants_what_is_ready_alone_gets_no_lease() {
    let mut bench = Bench::new();
    let looks = |path: &str| LeaseRequest { ready_only: true, ..asks(path, 0) };
    assert!(waits(&mut bench, looks("/a"), 1));
    assert_eq!(
        bench.call(ShardCall::Known { keys: vec![asks("/a", 0).key.digest()], urls: vec![] }, 2),
        ShardReply::Known(vec![false])
    );
    let LeaseReply::Grant(grant) = bench.lease(asks("/a", 0), 3) else { panic!() };
    assert!(waits(&mut bench, looks("/a"), 4), "another is at it");
    bench.record(stored("/a", &grant, &[]), 5);
    assert!(matches!(bench.lease(looks("/a"), 6), LeaseReply::Ready(_)));
}
