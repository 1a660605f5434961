//! What is sent of a stored response: which statuses have content at all (RFC 9110 §15.3), and
//! which age is stated before it is stored (RFC 9111 §5.1).

use crate::http_support::{NOW, config, entry, open_route, request, serve};
use crate::world::{Isolate, Script, World};
use edge_isr::cache::entry::{Entry, ReuseCondition};
use edge_isr::config::{Config, Route};
use edge_isr::engine::serve::response::{Part, VisitorRequest, shape};

fn sends_body(method: &str, status: u16, whole_body: bool) -> bool {
    let config = config(Route::default());
    let head = request(&format!("{method} /page"), "");
    let admitted = serve(&head, &config);
    let stored = Entry { status, ..entry("A: 1", (60, 0, 0), ReuseCondition::Nothing) };
    let shaped = shape(&VisitorRequest::of(&head, &admitted), &stored, NOW, whole_body);
    assert_eq!(shaped.status, status);
    !matches!(shaped.part, Part::None)
}

#[test]
fn statuses_without_content_are_answered_without_a_body() {
    for whole_body in [true, false] {
        for (method, status, want) in [
            ("GET", 200, true),
            ("GET", 203, true),
            ("GET", 204, false),
            ("GET", 205, false),
            ("GET", 301, true),
            ("GET", 404, true),
            ("HEAD", 200, false),
        ] {
            assert_eq!(sends_body(method, status, whole_body), want, "{method} {status}");
        }
    }
}

#[test]
fn an_answer_has_the_age_it_came_with_until_it_is_stored_and_its_own_from_then_on() {
    let config = Config { defaults: open_route(), ..Config::default() };
    let world = World::new(&config);
    let answer = [("cache-control", "max-age=3600"), ("age", "30")];
    world.origin(move |_| Ok(Script::new(200, &answer, "body").after(5)));
    let isolate = Isolate::new(&world, &config, "ams");
    let first = isolate.get("https://example.com/aged", &[]);
    assert_eq!(first.fields.get("age"), Some("30"), "{}", first.cache_status());
    world.pass(3_000);
    let hit = isolate.get("https://example.com/aged", &[]);
    assert!(hit.cache_status().contains("hit"), "{}", hit.cache_status());
    assert_eq!(hit.fields.get("age"), Some("33"));
}

#[test]
fn what_the_origin_says_without_an_age_has_none_until_it_is_stored() {
    let config = Config::default();
    let world = World::new(&config);
    world.origin(|_| Ok(Script::new(200, &[("cache-control", "max-age=3600")], "body")));
    let isolate = Isolate::new(&world, &config, "ams");
    assert_eq!(isolate.get("https://example.com/new", &[]).fields.get("age"), None);
    assert_eq!(isolate.get("https://example.com/new", &[]).fields.get("age"), Some("0"));
}

/// What says nothing of the body takes nothing away from it (RFC 9112 §6.3, RFC 9110 §15.3.5).
#[test]
fn a_length_that_says_nothing_breaks_no_answer() {
    for (status, coded, body) in
        [(200, true, "five!"), (200, true, ""), (204, false, ""), (205, false, "")]
    {
        let config = Config { defaults: open_route(), ..Config::default() };
        let world = World::new(&config);
        world.origin(move |_| {
            let mut fields = vec![("cache-control", "max-age=3600"), ("content-length", "3")];
            if coded {
                fields.push(("transfer-encoding", "chunked"));
            }
            Ok(Script::new(status, &fields, body))
        });
        let isolate = Isolate::new(&world, &config, "ams");
        for hit in [false, true] {
            let answer = isolate.get("https://example.com/page", &[]);
            let row = format!("{status} {coded} {hit}: {}", answer.cache_status());
            assert_eq!((answer.status, answer.text().as_str()), (status, body), "{row}");
            assert_ne!(answer.fields.get("content-length"), Some("3"), "{row}");
            assert_eq!(answer.cache_status().contains("hit"), hit, "{row}");
        }
    }
}
