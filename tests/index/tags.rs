//! Both maps between pages and tags, and finding the pages of every kind of target, on real SQLite.

#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::shard::{Bench, KEPT, asks, at, fanout, key, page, selection, stored, tag};
use edge_isr::base::sql::{Sql as _, Value};
use edge_isr::base::time::Epoch;
use edge_isr::cache::key::{CacheKey, Page, Selection};
use edge_isr::cache::tag::{Tag, Target};
use edge_isr::http::Fields;
use edge_isr::index::{LeaseRequest, RecordRequest, ShardCall, ShardReply, WarmRequest};
use edge_isr::journal::{Fanout, REPAIR_MARGIN};

fn count(bench: &mut Bench, targets: &[Target]) -> (u64, bool) {
    match bench.call(ShardCall::Count { targets: targets.to_vec() }, 0) {
        ShardReply::Counted { pages, complete } => (pages, complete),
        other => panic!("{other:?}"),
    }
}

fn warm(path: &str, job: &str) -> WarmRequest {
    WarmRequest {
        job: job.to_owned(),
        page: page(path),
        key: key(path),
        selection: Selection::default(),
        request: Fields::new(),
        need: Epoch::ZERO,
    }
}

#[test]
fn more_tags_than_one_statement_binds() {
    let mut bench = Bench::new();
    for count in [99, 100, 101, 1_000, 250, 0] {
        let names: Vec<String> = (0..count).map(|n| format!("t:{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        bench.gone("/", 0);
        bench.fill("/", 1, &names, 0);
        let pages = bench.by_url("example.com/");
        assert_eq!(pages[0].tags.len(), count);
        if count > 0 {
            assert_eq!(bench.tag_pages(&format!("t:{}", count - 1)), ["/"]);
        }
        assert_eq!(bench.tag_pages(&format!("t:{count}")), Vec::<String>::new());
    }
}

#[test]
fn targets_name_the_pages_they_should() {
    let mut bench = Bench::new();
    let paths = ["/", "/blog", "/blog/", "/blog/a", "/blog/a/b", "/blog0", "/blog-x", "/c/blog/a"];
    for path in paths {
        bench.fill(path, 1, &["all"], 0);
    }
    let add = |bench: &mut Bench, page: Page| {
        let key = CacheKey::new(&page, []);
        let grant =
            bench.granted(LeaseRequest { page: page.clone(), key: key.clone(), ..asks("/", 1) }, 0);
        bench.record(RecordRequest { page, key, ..stored("/", &grant, &["all"]) }, 0);
    };
    add(&mut bench, Page { query: Some("p=/blog/".to_owned()), ..page("/q") });
    add(&mut bench, Page { query: Some("n=1".to_owned()), ..page("/blog/a") });
    // Asked for once they would not be worth a warm.
    for (path, query) in [("/q", "p=/blog/"), ("/blog/a", "n=1")] {
        let page = Page { query: Some(query.to_owned()), ..page(path) };
        let (key, selection) = (CacheKey::new(&page, []), Selection::default());
        bench.call(ShardCall::RequestedAgain { key, selection }, 0);
    }
    let other = |path| Page {
        host: "example.com.evil".to_owned(),
        purge_host: "example.com.evil".to_owned(),
        ..page(path)
    };
    add(&mut bench, other("/blog/a"));
    // The same URL under another key: a cookie, or http beside https.
    add(&mut bench, Page { scheme: "http".to_owned(), ..page("/blog/a") });
    let url = |name: &str| Target::Url(name.to_owned());
    let prefix = |name: &str| Target::Prefix(name.to_owned());
    let rows: &[(&str, Target, u64)] = &[
        ("a tag", tag("all"), 12),
        ("a tag that nobody carries", tag("none"), 0),
        ("a URL, under both of its keys", url("example.com/blog/a"), 2),
        ("a URL with a query", url("example.com/blog/a?n=1"), 1),
        ("a URL that is not there", url("example.com/nope"), 0),
        ("a prefix", prefix("example.com/blog/"), 5),
        ("a deeper prefix", prefix("example.com/blog/a/"), 1),
        ("the root", prefix("example.com/"), 11),
        ("a host", Target::Host("example.com".to_owned()), 11),
        ("a host that begins like another", Target::Host("example.com.evil".to_owned()), 1),
        ("a host that is not there", Target::Host("www.example.com".to_owned()), 0),
        ("everything", Target::All, 12),
    ];
    for (name, target, want) in rows {
        assert_eq!(count(&mut bench, std::slice::from_ref(target)), (*want, true), "{name}");
    }
    // The pages found are the pages whose entries the target's hash invalidates.
    let targets: Vec<Target> = rows.iter().map(|(_, target, _)| target.clone()).collect();
    for (n, target) in targets.iter().enumerate() {
        let got = bench.invalidate(fanout(10 + n as u64, std::slice::from_ref(target)), 1);
        assert_eq!(got.pages, rows[n].2, "{}", rows[n].0);
        let info = bench.by_url("example.com/blog/a/b");
        let hashes = info[0].page.targets(&info[0].tags);
        let named = info[0].variants[0].warming == Some(Epoch(10 + n as u64));
        assert_eq!(named, hashes.contains(&target.hash()), "{}", rows[n].0);
    }
    // Overlapping targets count a page once.
    assert_eq!(count(&mut bench, &[tag("all"), Target::All, prefix("example.com/")]), (12, true));
}

/// How many segments the map of tags has.
fn segments(bench: &Bench) -> i64 {
    match bench.sql.exec("SELECT count(*) FROM segment", &[]).unwrap()[0].as_slice() {
        [Value::Integer(count)] => *count,
        other => panic!("{other:?}"),
    }
}

/// Fills pages with a thousand tags each: one of their own, others that each has, and one of every
/// fiftieth page.
fn fill_widely(bench: &mut Bench, pages: std::ops::Range<u64>) {
    bench.sql_batch(|bench| {
        for n in pages {
            let mut names: Vec<String> = (0..998).map(|tag| format!("t:{tag}")).collect();
            names.push(format!("own:{n}"));
            names.push(format!("fiftieth:{}", n % 50));
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            bench.fill(&format!("/{n}"), 1, &names, 0);
        }
    });
}

/// All pages of a tag, in parts of a given size.
fn in_parts(bench: &mut Bench, tag: &str, limit: u32) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let tag = Tag::parse(tag).unwrap();
        let listed = bench.call(ShardCall::TagPages { tag, cursor, limit }, 0);
        let ShardReply::Pages { pages, cursor: next } = listed else { panic!("no pages") };
        assert!(pages.len() <= limit as usize);
        found.extend(pages.into_iter().map(|page| page.page.path));
        if next.is_none() {
            return found;
        }
        cursor = next;
    }
}

/// Pages of all segments are found, whichever was filled when, and as many segments are kept as the
/// pages need.
#[test]
fn the_map_of_tags_goes_over_several_segments() {
    let mut bench = Bench::new();
    fill_widely(&mut bench, 0..130);
    let needed = segments(&bench);
    assert!(needed >= 3, "{needed}");
    let expected: Vec<String> = (0..3).map(|n| format!("/{}", n * 50 + 7)).collect();
    for limit in [1, 2, 3, 100] {
        assert_eq!(in_parts(&mut bench, "fiftieth:7", limit), expected);
        assert_eq!(in_parts(&mut bench, "t:0", limit * 50).len(), 130);
    }
    assert_eq!(bench.tag_pages("own:129"), ["/129"]);
    assert_eq!(count(&mut bench, &[tag("own:0"), tag("own:129"), tag("own:130")]), (2, true));
    assert_eq!(count(&mut bench, &[tag("t:997")]), (130, true));
    // Most pages go, and others come, again and again: their places are filled again.
    for round in 1..3 {
        bench.sql_batch(|bench| {
            for n in (0..130).filter(|n| n % 50 != 7) {
                let page = (round - 1) * 1_000 + n;
                bench.gone(&format!("/{page}"), 0);
            }
        });
        assert_eq!(in_parts(&mut bench, "t:3", 1_000).len(), 3);
        fill_widely(&mut bench, round * 1_000..round * 1_000 + 7);
        fill_widely(&mut bench, round * 1_000 + 8..round * 1_000 + 130);
        bench = bench.restart();
        assert!(segments(&bench) <= needed + 1, "{} after {needed}", segments(&bench));
        for n in [57, 107] {
            bench.gone(&format!("/{}", round * 1_000 + n), 0);
        }
        // Each page once, also those that stand in a segment before the older ones.
        for limit in [2, 1_000] {
            let mut found = in_parts(&mut bench, "fiftieth:7", limit);
            found.sort();
            assert_eq!(found, ["/107", "/57", "/7"]);
        }
        let found = bench.tag_pages(&format!("own:{}", round * 1_000 + 9));
        assert_eq!(found, [format!("/{}", round * 1_000 + 9)]);
    }
    // An invalidation finds them all.
    bench.invalidate(fanout(2, &[tag("t:5")]), 1);
    while bench.status().expanding > 0 {
        bench.shard.run_due(at(2)).unwrap();
    }
    assert_eq!(bench.job("job2", 3).queued, bench.status().pages);
    // Nothing stays of what is forgotten.
    let pages = in_parts(&mut bench, "t:5", 1_000);
    for path in pages {
        bench.gone(&path, 4);
    }
    let left = bench
        .sql
        .exec("SELECT (SELECT count(*) FROM tagged), (SELECT sum(entries) FROM segment)", &[]);
    assert_eq!(left.unwrap(), [[Value::Integer(0), Value::Integer(0)]]);
    assert_eq!(segments(&bench), 1, "the one that is filled");
}

/// Two tags whose 48 bits of hash are the same are found together; a page that loses one of them
/// keeps the other.
#[test]
fn tags_with_one_number_do_not_take_each_other_away() {
    let (one, other) = ("t12087166", "t76488941");
    let mut bench = Bench::new();
    bench.fill("/", 1, &[one, other], 0);
    bench.fill("/one", 1, &[one], 0);
    assert_eq!(bench.tag_pages(other), ["/", "/one"]);
    let grant = bench.granted(LeaseRequest { need: Epoch(2), ..asks("/", 2) }, 1);
    assert!(bench.record(stored("/", &grant, &[one]), 2).accepted);
    assert_eq!(bench.tag_pages(one), ["/", "/one"]);
    bench.gone("/", 3);
    assert_eq!(bench.tag_pages(one), ["/one"]);
}

/// Fills a page that varies.
fn add_variant(bench: &mut Bench, path: &str, accept: &str) {
    let chosen = selection(&[("accept", accept)]);
    let grant = bench.granted(LeaseRequest { selection: chosen.clone(), ..asks(path, 1) }, 1);
    let record = RecordRequest {
        selection: chosen.clone(),
        leased: chosen,
        ..stored(path, &grant, &["t:0"])
    };
    assert!(bench.record(record, 1).accepted);
}

/// A page stands in a list at its oldest variant with the tag, wherever newer ones are.
#[test]
fn a_variant_that_comes_between_two_parts_takes_no_page_out_of_a_list() {
    let mut bench = Bench::new();
    fill_widely(&mut bench, 0..90);
    add_variant(&mut bench, "/last", "a");
    let listed = |bench: &mut Bench, cursor| {
        let call = ShardCall::TagPages { tag: Tag::parse("t:0").unwrap(), cursor, limit: 85 };
        match bench.call(call, 0) {
            ShardReply::Pages { pages, cursor } => (pages, cursor),
            other => panic!("{other:?}"),
        }
    };
    let (_, cursor) = listed(&mut bench, None);
    // The first segment is filled again: with a variant of a page of the last one, among others.
    let filled = "SELECT value FROM meta WHERE name = 'segment'";
    bench.sql_batch(|bench| {
        for n in 0..30 {
            bench.gone(&format!("/{n}"), 0);
        }
        let mut n = 1_000;
        while bench.sql.exec(filled, &[]).unwrap() != [[Value::Integer(0)]] {
            fill_widely(bench, n..n + 1);
            n += 1;
        }
    });
    add_variant(&mut bench, "/last", "b");
    let (pages, _) = listed(&mut bench, cursor);
    assert!(pages.iter().any(|page| page.page.path == "/last" && page.variants.len() == 2));
}

#[test]
fn a_large_target_is_expanded_in_slices() {
    let mut bench = Bench::new();
    let pages = 1_500;
    bench.sql_batch(|bench| {
        for n in 0..pages {
            bench.fill(&format!("/p/{n:04}"), 1, &["all"], 0);
        }
    });
    let kinds = [tag("all"), Target::Prefix("example.com/p/".to_owned()), Target::All];
    for (n, target) in kinds.into_iter().enumerate() {
        let epoch = 2 + n as u64;
        let answer = bench.invalidate(fanout(epoch, std::slice::from_ref(&target)), 1);
        assert!(!answer.complete && answer.pages < pages, "{answer:?}");
        // Asked again before it is through: the same answer, nothing twice.
        assert_eq!(bench.invalidate(fanout(epoch, &[target]), 2), answer);
        let mut bench_turns = 0;
        while !bench.job(&format!("job{epoch}"), 3).complete {
            assert_eq!(
                bench.shard.next_wake().unwrap(),
                Some(edge_isr::base::time::Timestamp::ZERO)
            );
            bench = bench.restart();
            bench.shard.run_due(at(3)).unwrap();
            bench_turns += 1;
        }
        assert!(bench_turns > 2);
        let job = bench.job(&format!("job{epoch}"), 4);
        assert_eq!((job.pages, job.total, job.queued), (pages, pages, pages));
    }
    // The newest took the place of the older ones.
    assert_eq!(bench.job("job2", 5).superseded, pages);
}

#[test]
fn a_storm_of_one_tag_is_expanded_once() {
    let mut bench = Bench::new();
    bench.sql_batch(|bench| {
        for n in 0..1_000 {
            bench.fill(&format!("/{n}"), 1, &["list"], 0);
        }
    });
    // Each invalidation finds the expansion of the one before unfinished.
    let storm: Vec<Fanout> = (2..52).map(|epoch| fanout(epoch, &[tag("list")])).collect();
    let call = ShardCall::InvalidateMany(storm.clone());
    let ShardReply::InvalidatedMany(replies) = bench.call(call, 1) else { panic!("no answer") };
    assert_eq!(replies.len(), 50);
    assert!(replies.iter().all(|reply| reply.seen == Epoch(51)));
    assert_eq!(bench.status().expanding, 1, "the newest finds the pages of all");
    for epoch in 2..51 {
        let job = bench.job(&format!("job{epoch}"), 1);
        assert_eq!((job.complete, job.superseded, job.total), (true, 1, 1), "{epoch}");
    }
    while bench.status().expanding > 0 {
        bench.shard.run_due(at(2)).unwrap();
    }
    assert_eq!(bench.job("job51", 3).queued, 1_000);
    // The same message again is the same as once.
    let call = ShardCall::InvalidateMany(storm);
    let ShardReply::InvalidatedMany(again) = bench.call(call, 4) else { panic!("no answer") };
    assert_eq!((again[49].pages, again[49].complete), (1_000, true));
    assert_eq!(bench.job("job51", 5).queued, 1_000);
    // One that comes late, out of order, is superseded page by page.
    let late = Fanout { job: "late".to_owned(), ..fanout(7, &[tag("list")]) };
    bench.invalidate(late, 6);
    while bench.status().expanding > 0 {
        bench.shard.run_due(at(7)).unwrap();
    }
    let job = bench.job("late", 8);
    assert_eq!((job.superseded, job.queued), (1_000, 0));
}

#[test]
fn an_expansion_that_is_half_done_is_taken_over_whole() {
    let mut bench = Bench::new();
    bench.sql_batch(|bench| {
        for n in 0..600 {
            bench.fill(&format!("/{n}"), 1, &["list"], 0);
        }
    });
    bench.invalidate(fanout(2, &[tag("list"), tag("other")]), 1);
    assert_eq!(bench.job("job2", 2).queued, 0, "nothing of a large tag before the answer");
    bench.shard.run_due(at(2)).unwrap();
    assert_eq!(bench.job("job2", 2).queued, 200);
    bench.invalidate(fanout(3, &[tag("list")]), 3);
    while bench.status().expanding > 0 {
        bench.shard.run_due(at(4)).unwrap();
    }
    let (old, new) = (bench.job("job2", 5), bench.job("job3", 5));
    // What the first had found, and what it left.
    assert_eq!((old.superseded, old.queued, old.complete), (201, 0, true));
    assert_eq!((new.queued, new.complete), (600, true));
}

#[test]
fn incarnation_an_epoch_that_is_given_twice_shows_that_the_journal_was_restored() {
    let mut bench = Bench::new();
    let named =
        |epoch: u64, job: &str| Fanout { job: job.to_owned(), ..fanout(epoch, &[tag("a")]) };
    let past = |epoch: u64| Epoch(epoch + REPAIR_MARGIN);
    let rows = [
        ("the first", named(5, "a"), Epoch(5)),
        ("the same again", named(5, "a"), Epoch(5)),
        ("the next", named(7, "c"), Epoch(7)),
        ("one that comes late", named(6, "b"), Epoch(7)),
        ("which comes again", named(6, "b"), Epoch(7)),
        // The journal is restored to 6, and gives 7 anew.
        ("the newest of another id", named(7, "d"), past(7)),
        ("and again", named(7, "d"), past(7)),
    ];
    for (name, call, want) in rows {
        assert_eq!(bench.invalidate(call, 0).seen, want, "{name}");
        bench = bench.restart();
    }
    // Those of an operator's warms are no epochs of the journal.
    let mut bench = Bench::new();
    bench.invalidate(named(5, "a"), 0);
    bench.call(ShardCall::Warm(warm("/1", "warm-1")), 0);
    assert_eq!(bench.invalidate(named(6, "b"), 0).seen, Epoch(6));
    assert_eq!(bench.invalidate(named(5, "a"), 0).seen, Epoch(6));
    // Restored to 4: a later one overtakes the one that gives it away.
    assert_eq!(bench.invalidate(named(7, "d"), 0).seen, Epoch(7));
    assert_eq!(bench.invalidate(named(5, "c"), 0).seen, past(5));
}

/// The pages of a tag, asked for so many at a time.
fn listed_in_parts(bench: &mut Bench, name: &str, limit: u32) -> Vec<String> {
    let mut cursor = None;
    let mut listed = Vec::new();
    loop {
        let call = ShardCall::TagPages { tag: Tag::parse(name).unwrap(), cursor, limit };
        let ShardReply::Pages { pages, cursor: next } = bench.call(call, 0) else {
            panic!("no pages")
        };
        listed.extend(pages.into_iter().map(|page| page.page.path));
        cursor = next;
        if cursor.is_none() {
            return listed;
        }
    }
}

#[test]
fn a_page_of_several_variants_is_listed_once() {
    let mut bench = Bench::new();
    let add = |bench: &mut Bench, path: &str, lang: &str, names: &[&str]| {
        let selection = selection(&[("accept-language", lang)]);
        let ask = LeaseRequest { selection: selection.clone(), ..asks(path, 1) };
        let grant = bench.granted(ask, 0);
        let leased = selection.clone();
        bench.record(RecordRequest { selection, leased, ..stored(path, &grant, names) }, 0);
    };
    for lang in ["en", "de", "fr"] {
        add(&mut bench, "/a", lang, &["x"]);
        // Its first variant does not carry the tag.
        add(&mut bench, "/b", lang, if lang == "en" { &["y"] } else { &["x"] });
    }
    assert_eq!(bench.tag_pages("x"), ["/a", "/b"]);
    assert_eq!(listed_in_parts(&mut bench, "x", 1), ["/a", "/b"]);
}

#[test]
fn pages_of_a_tag_are_listed_by_cursor() {
    let mut bench = Bench::new();
    for n in 0..25 {
        bench.fill(&format!("/{n}"), 1, &["all"], 0);
    }
    let want: Vec<String> = (0..25).map(|n| format!("/{n}")).collect();
    assert_eq!(listed_in_parts(&mut bench, "all", 10), want);
    let info = &bench.by_url("example.com/7")[0];
    assert_eq!(info.page, page("/7"));
    assert_eq!(info.key, key("/7"));
    assert_eq!(info.variants.len(), 1);
    assert_eq!((info.variants[0].status, info.variants[0].stamp), (200, Epoch(1)));
    assert_eq!(info.variants[0].keep_until, at(KEPT));
}
