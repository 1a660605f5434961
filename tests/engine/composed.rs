//! A body that is put together while it is sent: order, how many placeholders are filled at once,
//! who waits for whom.

#![allow(clippy::expect_used, reason = "a test")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::world::{Node, World};
use edge_isr::base::time::Millis;
use edge_isr::config::Config;
use edge_isr::engine::compose::{Composed, Node as Part, NodeStream};
use edge_isr::engine::port::{OriginError, Platform as _};
use futures_util::stream;

type Parts = Vec<Part<Node>>;

fn text(text: &str) -> Part<Node> {
    Part::Ready(Rc::from(text.as_bytes()))
}

/// What was seen of the tasks.
#[derive(Default)]
struct Seen {
    now: Cell<usize>,
    most: Cell<usize>,
    began: RefCell<Vec<&'static str>>,
}

/// A placeholder that is filled after so many milliseconds.
fn placeholder(
    node: &Rc<Node>,
    seen: &Rc<Seen>,
    (name, millis): (&'static str, u64),
    parts: impl FnOnce() -> Parts + 'static,
) -> Part<Node> {
    let (node, seen) = (Rc::clone(node), Rc::clone(seen));
    Part::Placeholder(Box::pin(async move {
        seen.began.borrow_mut().push(name);
        seen.now.set(seen.now.get() + 1);
        seen.most.set(seen.most.get().max(seen.now.get()));
        node.sleep(Millis(millis)).await;
        seen.now.set(seen.now.get() - 1);
        parts()
    }))
}

fn source(items: Vec<Result<Parts, OriginError>>) -> NodeStream<Node> {
    Box::pin(stream::iter(items))
}

/// The pieces of a body, each with the time it came at, and how it ended.
fn read(world: &Rc<World>, body: Composed<Node>) -> (Vec<(i64, String)>, Result<(), OriginError>) {
    let began = world.now();
    let (clock, mut body) = (Rc::clone(world), body);
    world.run(async move {
        let mut pieces = Vec::new();
        loop {
            match body.next().await {
                Ok(Some(piece)) => {
                    let at = clock.now().since(began).0 as i64;
                    pieces.push((at, String::from_utf8(piece.to_vec()).expect("a text")));
                }
                Ok(None) => return (pieces, Ok(())),
                Err(error) => return (pieces, Err(error)),
            }
        }
    })
}

fn joined(pieces: &[(i64, String)]) -> String {
    pieces.iter().map(|(_, text)| text.as_str()).collect()
}

#[test]
fn a_slow_place_delays_only_what_stands_behind_it() {
    let world = World::new(&Config::default());
    let (node, seen) = (Rc::new(Node::new(&world, "ams")), Rc::new(Seen::default()));
    let parts = vec![
        text("a"),
        placeholder(&node, &seen, ("quick", 10), || vec![text("b")]),
        text("c"),
        placeholder(&node, &seen, ("slow", 500), || vec![text("d")]),
        text("e"),
        placeholder(&node, &seen, ("quick too", 10), Vec::new),
        text("f"),
    ];
    let (pieces, end) = read(&world, Composed::new(source(vec![Ok(parts)])));
    assert_eq!((joined(&pieces).as_str(), end), ("abcdef", Ok(())));
    let at: BTreeMap<&str, i64> = pieces.iter().map(|(at, text)| (text.as_str(), *at)).collect();
    assert!(at["a"] < 10, "{at:?}");
    assert!(at["b"] >= 10 && at["c"] < 500, "{at:?}");
    assert!(at["d"] >= 500 && at["f"] < 600, "{at:?}");
}

#[test]
fn four_places_are_filled_at_once_and_a_place_s_own_come_before_those_behind_it() {
    let world = World::new(&Config::default());
    let (node, seen) = (Rc::new(Node::new(&world, "ams")), Rc::new(Seen::default()));
    let mut parts = Vec::new();
    let inner = (Rc::clone(&node), Rc::clone(&seen));
    parts.push(placeholder(&node, &seen, ("outer", 10), move || {
        let (node, seen) = inner;
        vec![text("["), placeholder(&node, &seen, ("inner", 10), || vec![text("x")]), text("]")]
    }));
    for name in ["1", "2", "3", "4", "5", "6", "7", "8"] {
        parts.push(placeholder(&node, &seen, (name, 100), move || vec![text(name)]));
    }
    let (pieces, end) = read(&world, Composed::new(source(vec![Ok(parts)])));
    assert_eq!((joined(&pieces).as_str(), end), ("[x]12345678", Ok(())));
    assert_eq!(seen.most.get(), 4);
    let began = seen.began.borrow();
    assert_eq!(began.get(..5), Some(&["outer", "1", "2", "3", "inner"][..]));
    assert!(pieces.iter().any(|(at, text)| text == "x" && *at < 100), "{pieces:?}");
}

/// Places that wait for one and the same request begin at once, and are one of the four.
#[test]
fn places_of_one_request_come_first_and_count_as_one() {
    let world = World::new(&Config::default());
    let (node, seen) = (Rc::new(Node::new(&world, "ams")), Rc::new(Seen::default()));
    let counted = Rc::new(Seen::default());
    let mut parts: Parts =
        (0..6).map(|_| placeholder(&node, &counted, ("other", 100), || vec![text("o")])).collect();
    for name in ["a", "b", "c"] {
        let Part::Placeholder(task) =
            placeholder(&node, &seen, (name, 300), move || vec![text(name)])
        else {
            panic!("it is one")
        };
        parts.push(Part::Personal(task));
    }
    let began = world.now();
    let mut body = Composed::new(source(vec![Ok(parts)]));
    let clock = Rc::clone(&world);
    world.run(async move {
        body.begin().await;
        assert_eq!((seen.now.get(), counted.now.get()), (3, 3));
        // What is waited for before the head goes out keeps nothing from going on.
        let waited = body.meanwhile(node.sleep(Millis(250))).await;
        assert_eq!((waited, counted.now.get()), ((), 0));
        let mut all = String::new();
        while let Some(piece) = body.next().await.expect("a body") {
            all.push_str(std::str::from_utf8(&piece).expect("a text"));
        }
        assert_eq!(all, "ooooooabc");
        assert!(clock.now().since(began).0 < 350);
    });
}

#[test]
fn what_breaks_the_source_follows_what_came_before() {
    let world = World::new(&Config::default());
    let (node, seen) = (Rc::new(Node::new(&world, "ams")), Rc::new(Seen::default()));
    let parts =
        vec![text("a"), placeholder(&node, &seen, ("slow", 50), || vec![text("b")]), text("c")];
    let items = vec![Ok(parts), Err(OriginError::Broken), Ok(vec![text("never")])];
    let (pieces, end) = read(&world, Composed::new(source(items)));
    assert_eq!((joined(&pieces).as_str(), end), ("abc", Err(OriginError::Broken)));
}

#[test]
fn no_more_is_read_ahead_of_a_place_than_there_is_room_for() {
    let world = World::new(&Config::default());
    let (node, seen) = (Rc::new(Node::new(&world, "ams")), Rc::new(Seen::default()));
    let taken = Rc::new(Cell::new(0_usize));
    let count = Rc::clone(&taken);
    let piece = Rc::<[u8]>::from(vec![b'x'; 64 << 10]);
    let pieces = (0..100).map(move |_| {
        count.set(count.get() + 1);
        Ok(vec![Part::Ready(Rc::clone(&piece))])
    });
    let first = Ok(vec![placeholder(&node, &seen, ("slow", 50), Vec::new)]);
    let mut body = Composed::new(Box::pin(stream::iter([first].into_iter().chain(pieces))));
    let (clock, counted) = (Rc::clone(&world), Rc::clone(&taken));
    world.run(async move {
        let began = clock.now();
        assert!(body.next().await.expect("a body").is_some());
        assert!(clock.now().since(began).0 >= 50);
        assert!((4..=5).contains(&counted.get()), "{} pieces were taken", counted.get());
        let mut bytes = 64 << 10;
        while let Some(piece) = body.next().await.expect("a body") {
            bytes += piece.len();
        }
        assert_eq!(bytes, 100 * (64 << 10));
    });
}

#[test]
fn what_can_begin_does_before_anything_is_taken() {
    let world = World::new(&Config::default());
    let (node, seen) = (Rc::new(Node::new(&world, "ams")), Rc::new(Seen::default()));
    let parts = vec![placeholder(&node, &seen, ("slow", 50), || vec![text("a")]), text("b")];
    let mut body = Composed::new(source(vec![Ok(parts)]));
    let (clock, seen) = (Rc::clone(&world), Rc::clone(&seen));
    world.run(async move {
        let began = clock.now();
        body.begin().await;
        assert_eq!((seen.now.get(), clock.now().since(began)), (1, Millis(0)));
        let first = body.next().await.expect("a body").expect("a piece");
        assert_eq!((&*first, clock.now().since(began)), (&b"a"[..], Millis(50)));
    });
}
