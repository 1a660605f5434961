//! Readers of large bodies: slow ones, stalled ones, many of one body. What they hold counts until
//! they have it, and nobody waits for another.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::common::visit::respond;
use crate::composed_origin::{Bit, Origin, text};
use crate::world::{Isolate, Node, Script, World};
use edge_isr::base::time::{Millis, Timestamp};
use edge_isr::config::{Config, Route};
use edge_isr::engine::Incoming;
use edge_isr::engine::port::{OriginError, Platform as _};
use edge_isr::engine::serve::response::Body;

const SITE: &str = "https://example.com";
const FRESH: (&str, &str) = ("cdn-cache-control", "max-age=300");
const MIB: usize = 1 << 20;

fn config() -> Config {
    Config { max_body: 2 * MIB as u64, fill_memory: 8 * MIB as u64, ..Config::default() }
}

/// How far a reader is.
#[derive(Default)]
pub(crate) struct Progress {
    pub(crate) bytes: Cell<u64>,
    pub(crate) end: RefCell<Option<(Result<(), OriginError>, Timestamp)>>,
    pub(crate) passed: Cell<bool>,
}

/// A visitor who takes a piece, and then rests.
fn reader(isolate: &Isolate, path: &str, rest: u64) -> Rc<Progress> {
    reader_of(isolate, path, &[], rest)
}

/// The same of a request with these fields.
fn reader_of(isolate: &Isolate, path: &str, fields: &[(&str, &str)], rest: u64) -> Rc<Progress> {
    reader_at(isolate, path, fields, move |_| rest)
}

/// The same where the rest depends on how much they have.
pub(crate) fn reader_at(
    isolate: &Isolate,
    path: &str,
    fields: &[(&str, &str)],
    mut rest: impl FnMut(u64) -> u64 + 'static,
) -> Rc<Progress> {
    let progress = Rc::new(Progress::default());
    let (isolate, seen) = (isolate.clone(), Rc::clone(&progress));
    let head = crate::world::request("GET", &format!("{SITE}{path}"), fields);
    let world = Rc::clone(&isolate.world);
    world.start(async move {
        let node = Rc::new(Node::new(&isolate.world, "ams"));
        let incoming = Incoming { head: Rc::new(head), body: None, client_accept_encoding: None };
        let answer = respond(&isolate.engine, &node, incoming).await;
        let mut body = answer.body;
        let end = loop {
            let piece = match &mut body {
                Body::Fill(reader) => reader.next(&*node).await,
                Body::Composed(composed) => composed.next().await,
                Body::Origin(stream) => {
                    seen.passed.set(true);
                    node.read(stream, Millis(20_000)).await
                }
                Body::Whole(bytes) => {
                    seen.bytes.set(bytes.len() as u64);
                    break Ok(());
                }
                Body::Empty => break Ok(()),
                Body::Shell(_) => panic!("a shell left the edge"),
            };
            match piece {
                Ok(Some(piece)) => seen.bytes.set(seen.bytes.get() + piece.len() as u64),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
            let rest = rest(seen.bytes.get());
            if rest > 0 {
                node.sleep(Millis(rest)).await;
            }
        };
        *seen.end.borrow_mut() = Some((end, node.now()));
    });
    progress
}

fn end(progress: &Progress) -> Option<Result<(), OriginError>> {
    progress.end.borrow().map(|(end, _)| end)
}

fn held(isolate: &Isolate) -> u64 {
    isolate.engine.isolate().borrow().fill_bytes()
}

/// A body in pieces of 64 KiB, 5 ms apart; with its length if that is stated.
fn body(bytes: usize, stated: bool) -> Script {
    let length = bytes.to_string();
    let mut fields = vec![FRESH];
    if stated {
        fields.push(("content-length", &length));
    }
    let mut script = Script::new(200, &fields, "");
    script.pieces = (0..bytes / 65_536).map(|_| (5, vec![b'x'; 65_536])).collect();
    script
}

fn site(bytes: usize, stated: bool) -> (Rc<World>, Isolate) {
    let world = World::new(&config());
    world.origin(move |_| Ok(body(bytes, stated)));
    let isolate = Isolate::new(&world, &config(), "ams");
    (world, isolate)
}

/// A body that states more than is stored is the runtime's own stream, for each who asks: not a
/// byte of it is held.
#[test]
fn a_body_that_states_too_much_is_the_runtimes_own_stream() {
    let (world, isolate) = site(4 * MIB, true);
    let readers: Vec<_> = (0..4).map(|_| reader(&isolate, "/large", 0)).collect();
    let mut most = 0;
    for _ in 0..100 {
        world.pass(10);
        most = most.max(held(&isolate));
    }
    assert!(readers.iter().all(|r| r.passed.get() && end(r) == Some(Ok(()))));
    assert!(readers.iter().all(|r| r.bytes.get() == 4 * MIB as u64));
    assert_eq!(most, 0);
    let head = isolate.get(&format!("{SITE}/large"), &[]);
    assert!(head.cache_status().contains("body-too-large"), "{}", head.cache_status());
}

/// A body of unknown length whose first piece is more than is stored goes to all who wait for it,
/// unstored: it is there before any of them could begin to read.
#[test]
fn a_first_piece_beyond_what_is_stored_goes_to_all_who_wait() {
    for (first, more, delay) in [(3 * MIB, 0, 0), (3 * MIB, 40, 0), (3 * MIB, 40, 2), (MIB, 40, 1)]
    {
        let world = World::new(&config());
        world.origin(move |_| {
            let mut script = body(more * 65_536, false);
            script.pieces.insert(0, (delay, vec![b'x'; first]));
            Ok(script)
        });
        let isolate = Isolate::new(&world, &config(), "ams");
        let readers: Vec<_> = (0..4).map(|_| reader(&isolate, "/large", 1)).collect();
        world.pass(5_000);
        for reader in &readers {
            let bytes = (first + more * 65_536) as u64;
            assert_eq!((end(reader), reader.bytes.get()), (Some(Ok(())), bytes), "{first} {more}");
        }
        assert_eq!(world.spent()["origin"], 1, "one fetch for all who waited: {first} {more}");
        assert_eq!(held(&isolate), 0);
        isolate.get(&format!("{SITE}/large"), &[]);
        assert_eq!(world.spent()["origin"], 1, "nothing was stored: {first} {more}");
    }
}

/// The same where nobody waits, as for a refresh: it is discarded.
#[test]
fn a_first_piece_that_nobody_waits_for_is_discarded() {
    let world = World::new(&config());
    let large = Rc::new(Cell::new(false));
    let grown = Rc::clone(&large);
    world.origin(move |_| {
        let mut script = Script::new(
            200,
            &[("cdn-cache-control", "max-age=1, stale-while-revalidate=3600")],
            "small",
        );
        if grown.get() {
            script.pieces = [(0, vec![b'x'; 3 * MIB]), (3_600_000, vec![b'x'])].into();
        }
        Ok(script)
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    isolate.get(&format!("{SITE}/page"), &[]);
    world.pass(2_000);
    large.set(true);
    isolate.get(&format!("{SITE}/page"), &[]);
    world.pass(1_000);
    assert_eq!(held(&isolate), 0);
}

/// What slow readers of a miss hold counts after the fetch has ended, too, until they have it.
#[test]
fn what_readers_hold_counts_until_they_have_it() {
    let (world, isolate) = site(MIB, false);
    let slow = reader(&isolate, "/page", 500);
    world.pass(1_000);
    // The stored response leaves L0: the reader's hold on it is seen.
    isolate.engine.isolate().borrow_mut().memory = edge_isr::engine::memory::Memory::new(0);
    assert!(held(&isolate) >= MIB as u64, "{}", held(&isolate));
    world.pass(20_000);
    assert_eq!((end(&slow), slow.bytes.get()), (Some(Ok(())), MIB as u64));
    assert_eq!(held(&isolate), 0);
}

/// Slow readers of hits read out of what is stored, in pieces: it is held once, and while L0 has
/// it, it is L0's.
#[test]
fn readers_of_a_hit_hold_no_copy() {
    let (world, isolate) = site(MIB, false);
    isolate.get(&format!("{SITE}/page"), &[]);
    world.pass(1_000);
    let readers: Vec<_> = (0..24).map(|_| reader(&isolate, "/page", 500)).collect();
    world.pass(100);
    assert_eq!(held(&isolate), 0, "it is L0's");
    isolate.engine.isolate().borrow_mut().memory = edge_isr::engine::memory::Memory::new(0);
    assert_eq!(held(&isolate), MIB as u64, "once for all of them");
    world.pass(20_000);
    assert!(readers.iter().all(|r| end(r) == Some(Ok(())) && r.bytes.get() == MIB as u64));
    assert_eq!(held(&isolate), 0);
}

/// Readers that take nothing any more are closed when others need the memory, and after a minute in
/// any case.
#[test]
fn stalled_readers_are_closed() {
    let world = World::new(&config());
    world.origin(|_| Ok(body(2 * MIB, false)));
    let config = Config { memory: 0, ..config() };
    let isolate = Isolate::new(&world, &config, "ams");
    let stalled: Vec<_> = (0..24).map(|n| reader(&isolate, &format!("/{n}"), 3_600_000)).collect();
    let mut most = 0;
    for _ in 0..100 {
        world.pass(100);
        most = most.max(held(&isolate));
    }
    let slack = 24 * 2 * 65_536;
    assert!(most <= config.fill_memory + slack, "{most} of {}", config.fill_memory);
    let lively = reader(&isolate, "/lively", 0);
    world.pass(5_000);
    assert_eq!((end(&lively), lively.bytes.get()), (Some(Ok(())), 2 * MIB as u64));
    world.pass(70_000);
    reader(&isolate, "/another", 0);
    world.pass(5_000);
    assert_eq!(held(&isolate), 0);
    drop(stalled);
}

/// Fifty bodies of unknown length at once, each with a slow reader: what they hold is within the
/// budget to a tenth, that of the pieces on their way too, and each gets all of its body.
#[test]
fn many_bodies_at_once_are_within_the_budget_to_a_tenth() {
    for (rest, bodies, pieces) in [(20, 50, 16), (2, 50, 48), (5, 150, 4)] {
        let world = World::new(&config());
        world.origin(move |_| Ok(body(pieces * 65_536, false)));
        let config = Config { memory: 0, origin_concurrency: 200, ..config() };
        let isolate = Isolate::new(&world, &config, "ams");
        let readers: Vec<_> =
            (0..bodies).map(|n| reader(&isolate, &format!("/{n}"), rest)).collect();
        let mut most = 0;
        for _ in 0..20_000 {
            world.pass(3);
            most = most.max(held(&isolate));
            if readers.iter().all(|reader| end(reader).is_some()) {
                break;
            }
        }
        assert!(most <= config.fill_memory / 10 * 11, "{most} of {}", config.fill_memory);
        for reader in &readers {
            let whole = (Some(Ok(())), (pieces * 65_536) as u64);
            assert_eq!((end(reader), reader.bytes.get()), whole, "{rest} {bodies} {pieces}");
        }
        world.pass(1_000);
        assert_eq!(held(&isolate), 0);
    }
}

/// Forty bodies that state their length, at once: room is reserved by the length, for as many as
/// there is room for; the others go through unstored. What is held is within the budget, and no
/// answer breaks off.
#[test]
fn a_stated_length_reserves_its_memory() {
    for (rest, apart) in [(0, 5), (2, 5), (20, 40)] {
        let world = World::new(&config());
        world.origin(move |_| {
            let mut script = body(MIB, true);
            script.pieces.iter_mut().for_each(|(after, _)| *after = apart);
            Ok(script)
        });
        let config = Config { memory: 0, ..config() };
        let isolate = Isolate::new(&world, &config, "ams");
        let readers: Vec<_> = (0..40).map(|n| reader(&isolate, &format!("/{n}"), rest)).collect();
        let mut most = 0;
        for _ in 0..3_000 {
            world.pass(3);
            most = most.max(held(&isolate));
        }
        for reader in &readers {
            assert_eq!((end(reader), reader.bytes.get()), (Some(Ok(())), MIB as u64), "{rest}");
        }
        assert!(most <= config.fill_memory / 10 * 11, "{most} of {}", config.fill_memory);
        let stored = readers.iter().filter(|reader| !reader.passed.get()).count();
        assert!((7..=8).contains(&stored), "{stored} {rest}");
        assert_eq!(held(&isolate), 0);
    }
}

/// Fifteen quick readers and a slow one of a body that outgrows what is stored: the quick ones
/// don't notice.
#[test]
fn nobody_waits_for_a_slower_reader() {
    let (world, isolate) = site(16 * MIB, false);
    let began = world.now();
    let quick: Vec<_> = (0..15).map(|_| reader(&isolate, "/large", 1)).collect();
    let slow = reader(&isolate, "/large", 200);
    let mut most = 0;
    for _ in 0..200 {
        world.pass(10);
        most = most.max(held(&isolate));
    }
    for reader in &quick {
        let (end, at) = reader.end.borrow().expect("it has ended");
        assert_eq!((end, reader.bytes.get()), (Ok(()), 16 * MIB as u64));
        assert!(at.since(began) < Millis(1_500), "{:?} for 1.3 s of body", at.since(began));
    }
    assert!(most <= config().fill_memory + 65_536 + 4_096, "{most}");
    world.pass(60_000);
    // It fell behind by more than there is memory for.
    assert_eq!(end(&slow), Some(Err(OriginError::Broken)));
    assert_eq!(held(&isolate), 0);
}

/// Who falls behind by more than there is memory for gets the rest alone, as without the edge: in
/// part or whole, as long as the origin says that it is the same.
#[test]
fn who_falls_behind_goes_on_alone() {
    let rest = |at: usize, etag: &'static str| {
        let mut script = body(16 * MIB - at, false);
        script.status = 206;
        script.fields.set("etag", etag);
        script.fields.set("content-range", format!("bytes {at}-{}/{}", 16 * MIB - 1, 16 * MIB));
        script
    };
    let whole = |etag: &'static str| {
        let mut script = body(16 * MIB, false);
        script.fields.set("etag", etag);
        script
    };
    for (part, first, later, gets) in [
        (true, "\"1\"", "\"1\"", true),
        (false, "\"1\"", "\"1\"", true),
        (true, "\"1\"", "\"2\"", false),
        (false, "\"1\"", "\"2\"", false),
        (true, "W/\"1\"", "W/\"1\"", false),
    ] {
        let world = World::new(&config());
        world.origin(move |reached| {
            let from = reached
                .fields
                .get("range")
                .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
            Ok(match from {
                Some(at) if part && reached.fields.get("if-range") == Some(later) => {
                    rest(at, later)
                }
                Some(_) => whole(later),
                None => whole(first),
            })
        });
        let isolate = Isolate::new(&world, &config(), "ams");
        let quick: Vec<_> = (0..5).map(|_| reader(&isolate, "/large", 1)).collect();
        let slow = reader(&isolate, "/large", 100);
        world.pass(200_000);
        assert!(quick.iter().all(|r| end(r) == Some(Ok(())) && r.bytes.get() == 16 * MIB as u64));
        let row = format!("{part} {first} {later}");
        if gets {
            assert_eq!((end(&slow), slow.bytes.get()), (Some(Ok(())), 16 * MIB as u64), "{row}");
        } else {
            assert_eq!(end(&slow), Some(Err(OriginError::Broken)), "{row}");
        }
        assert_eq!(held(&isolate), 0);
        let strong = first.starts_with('"');
        assert_eq!(world.spent()["origin"], 1 + u64::from(strong), "{row}");
    }
}

/// An origin may send less than was asked for (RFC 9110 §15.3.7): what ends before the body does is
/// not taken for the end.
#[test]
fn who_goes_on_alone_takes_no_part_for_the_rest() {
    let whole = 16 * MIB;
    for (last, complete, gets) in [
        (whole - 1, whole.to_string(), true),
        (whole - MIB - 1, whole.to_string(), false),
        (whole - 1, "*".to_owned(), false),
        (whole - 1, (whole + 1).to_string(), false),
    ] {
        let world = World::new(&config());
        let range = format!("-{last}/{complete}");
        world.origin(move |reached| {
            let from = reached
                .fields
                .get("range")
                .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
            let mut script = body(from.map_or(whole, |at: usize| last + 1 - at), false);
            script.fields.set("etag", "\"1\"");
            if let Some(at) = from {
                script.status = 206;
                script.fields.set("content-range", format!("bytes {at}{range}"));
            }
            Ok(script)
        });
        let isolate = Isolate::new(&world, &config(), "ams");
        let _quick = reader(&isolate, "/large", 1);
        let slow = reader(&isolate, "/large", 100);
        world.pass(200_000);
        let expected = if gets { Ok(()) } else { Err(OriginError::Broken) };
        assert_eq!(end(&slow), Some(expected), "{last} {complete}");
        assert_eq!(held(&isolate), 0);
    }
}

/// Who goes on alone asks the origin as any visitor: within the limit of requests under way, in
/// turn.
#[test]
fn who_goes_on_alone_takes_a_place_among_the_origins_requests() {
    let config = Config { origin_concurrency: 1, ..config() };
    let world = World::new(&config);
    world.origin(|reached| {
        if reached.target == "/busy" {
            return Ok(Script::new(200, &[("cache-control", "private")], "busy").after(15_000));
        }
        let mut script = body(16 * MIB, false);
        script.fields.set("etag", "\"1\"");
        Ok(script)
    });
    let isolate = Isolate::new(&world, &config, "ams");
    let _quick = reader(&isolate, "/large", 1);
    let slow = reader(&isolate, "/large", 100);
    // Once the head of the large one is there.
    world.pass(100);
    let busy = reader(&isolate, "/busy", 0);
    world.pass(10_000);
    assert_eq!((end(&busy), end(&slow)), (None, None));
    assert_eq!(world.most_at_origin.get(), 1);
    world.pass(200_000);
    assert_eq!(end(&busy), Some(Ok(())));
    assert_eq!((end(&slow), slow.bytes.get()), (Some(Ok(())), 16 * MIB as u64));
    assert_eq!(world.most_at_origin.get(), 1);
}

/// One who is slower, but never by more than there is memory for, gets it all.
#[test]
fn a_slower_reader_follows_as_far_as_memory_goes() {
    let (world, isolate) = site(6 * MIB, false);
    let quick = reader(&isolate, "/large", 1);
    let slow = reader(&isolate, "/large", 20);
    world.pass(10_000);
    assert_eq!((end(&quick), end(&slow)), (Some(Ok(())), Some(Ok(()))));
    assert_eq!(slow.bytes.get(), 6 * MIB as u64);
    assert_eq!(held(&isolate), 0);
}

/// Slow readers of ranges, several at once, hold no copy either: what they take is cut out of what
/// is stored.
#[test]
fn readers_of_ranges_hold_no_copy() {
    for (ranges, parts) in [
        ("bytes=0-", vec![]),
        ("bytes=-1000000", vec![]),
        ("bytes=0-400000,500000-900000", vec![(0, 400_001), (500_000, 900_001)]),
        ("bytes=500000-1048575,7-7,100-300000", vec![(500_000, MIB), (7, 8), (100, 300_001)]),
    ] {
        let (world, isolate) = site(MIB, false);
        world.origin(|_| {
            let mut script = body(MIB, false);
            let all = script.pieces.iter_mut().flat_map(|(_, piece)| piece);
            all.enumerate().for_each(|(at, byte)| *byte = (at % 251) as u8);
            Ok(script)
        });
        let url = format!("{SITE}/page");
        let whole = isolate.get(&url, &[]).body.expect("a body");
        world.pass(1_000);
        let readers: Vec<_> =
            (0..24).map(|_| reader_of(&isolate, "/page", &[("range", ranges)], 500)).collect();
        world.pass(100);
        assert!(held(&isolate) < 24 * 2_048, "{ranges}: {} beside L0", held(&isolate));
        isolate.engine.isolate().borrow_mut().memory = edge_isr::engine::memory::Memory::new(0);
        let once = held(&isolate) - MIB as u64;
        assert!(once < 24 * 2_048, "{ranges}: {once} beside the page");
        world.pass(120_000);
        assert!(readers.iter().all(|r| end(r) == Some(Ok(()))), "{ranges}");
        assert_eq!(held(&isolate), 0);
        if parts.is_empty() {
            continue;
        }
        isolate.get(&url, &[]);
        let seen = isolate.get(&url, &[("range", ranges)]);
        let body = seen.body.clone().expect("a body");
        let kind = seen.fields.get("content-type").unwrap_or_default();
        let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect("parts");
        let mut expected = Vec::new();
        for (number, (from, to)) in parts.into_iter().enumerate() {
            let start = if number == 0 { "" } else { "\r\n" };
            let range = format!("Content-Range: bytes {from}-{}/{MIB}", to - 1);
            expected.extend(format!("{start}--{boundary}\r\n{range}\r\n\r\n").into_bytes());
            expected.extend(&whole[from..to]);
        }
        expected.extend(format!("\r\n--{boundary}--\r\n").into_bytes());
        assert!(body == expected, "{ranges}: {} of {} bytes", body.len(), expected.len());
    }
}

/// Slow readers of a composed page hold what was made for them, and the shell once.
#[test]
fn readers_of_a_composed_page_hold_no_copy() {
    let origin = Origin::new(Route::default());
    let large = "y".repeat(MIB / 2);
    origin.shows(vec![text(&large), Bit::Token(0), text(&large), Bit::Token(0), text("end")]);
    let isolate = origin.isolate("ams");
    isolate.get(&format!("{SITE}/p/1/"), &[]);
    origin.world.pass(1_000);
    let readers: Vec<_> = (0..24).map(|_| reader(&isolate, "/p/1/", 500)).collect();
    origin.world.pass(100);
    assert!(held(&isolate) < 24 * 2_048, "{}", held(&isolate));
    origin.world.pass(120_000);
    let length = (MIB + 2 * 64 + 3) as u64;
    for reader in readers {
        assert_eq!((end(&reader), reader.bytes.get()), (Some(Ok(())), length));
    }
    assert_eq!(held(&isolate), 0);
    let seen = isolate.get(&format!("{SITE}/p/1/"), &[]).text();
    let (first, rest) = seen.split_at(MIB / 2);
    let (token, rest) = rest.split_at(64);
    assert!(first == large && rest == format!("{large}{token}end"));
}
