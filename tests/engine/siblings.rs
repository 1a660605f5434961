//! More of the kinds of things that went wrong once: other statuses, other fields, other ways.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::cell::Cell;
use std::rc::Rc;

use crate::world::{Isolate, Reached, Script, World};
use edge_isr::config::Config;
use edge_isr::journal::Mode;

const STORE: (&str, &str) = ("cache-control", "s-maxage=300, stale-while-revalidate=3600");
const PRIVATE: (&str, &str) = ("cache-control", "private");
const PAGE: &str = "https://example.com/p";

fn config() -> Config {
    Config { shards: 2, ..Config::default() }
}

fn site(script: impl Fn(&Reached) -> Script + 'static) -> (Rc<World>, Isolate) {
    let world = World::new(&config());
    world.origin(move |reached| Ok(script(reached)));
    let isolate = Isolate::new(&world, &config(), "ams");
    (world, isolate)
}

/// What browsers say by themselves, and scripts say of themselves, reaches the origin of what is
/// not stored.
#[test]
fn fields_of_a_visitor_count_where_the_answer_is_not_stored() {
    let names = [
        "x-requested-with",
        "hx-request",
        "hx-boosted",
        "turbo-frame",
        "prefer",
        "dpr",
        "save-data",
        "device-memory",
        "sec-gpc",
        "sec-fetch-dest",
        "x-csrftoken",
        "api-version",
        "traceparent",
    ];
    for name in names {
        for status in [200, 404, 422] {
            let (_, isolate) = site(move |reached| {
                Script::new(status, &[PRIVATE], reached.fields.get(name).unwrap_or("none"))
            });
            for value in ["1", "2", "1"] {
                let seen = isolate.get(PAGE, &[(name, value)]);
                assert_eq!((seen.status, &*seen.text()), (status, value), "{name}");
            }
            assert_eq!(isolate.get(PAGE, &[]).text(), "none", "{name}");
        }
    }
}

#[test]
fn ten_visitors_of_an_answer_that_is_not_stored_are_eleven_requests_whatever_it_is() {
    let rows: [(u16, &[(&str, &str)]); 11] = [
        (405, &[]),
        (409, &[]),
        (422, &[]),
        (451, &[]),
        (505, &[]),
        (511, &[]),
        (599, &[]),
        (203, &[PRIVATE]),
        (200, &[STORE, ("vary", "*")]),
        (200, &[STORE, ("age", "-1")]),
        (200, &[STORE, ("cache-status", "other; hit")]),
    ];
    for (status, fields) in rows {
        let (world, isolate) = site(move |_| Script::new(status, fields, "answer"));
        for visitor in 0..10 {
            let cookie = format!("_ga={visitor}");
            let seen = isolate.get(PAGE, &[("cookie", &cookie)]);
            assert_eq!((seen.status, &*seen.text()), (status, "answer"));
        }
        world.pass(500);
        let count = world.spent()["origin"];
        assert!(count <= 11, "{status} {fields:?}: {count}");
    }
}

#[test]
fn whatever_the_origin_says_in_the_place_of_a_page_ends_it() {
    const NONCE: (&str, &str) = ("content-security-policy", "script-src 'nonce-abc'");
    let mut rows: Vec<(u16, Vec<(&str, &str)>)> =
        [300, 303, 307, 308, 402, 409, 411, 414, 418, 422, 423, 424, 451]
            .into_iter()
            .map(|status| (status, vec![]))
            .collect();
    rows.extend([
        (200, vec![STORE, ("vary", "*")]),
        (200, vec![STORE, NONCE]),
        (200, vec![("cache-control", "no-cache=\"set-cookie\", private=\"x\", no-store")]),
        (200, vec![("cdn-cache-control", "no-store"), STORE]),
        (203, vec![PRIVATE]),
    ]);
    for (status, fields) in rows {
        for how in ["refresh", "warm", "expiry"] {
            let gone = Rc::new(Cell::new(false));
            let (flag, fields) = (Rc::clone(&gone), fields.clone());
            let said = format!("{status} {fields:?} {how}");
            let (world, isolate) = site(move |_| match flag.get() {
                true => Script::new(status, &fields, "now"),
                false => Script::new(200, &[STORE, ("xkey", "post")], "page"),
            });
            let other = Isolate::new(&world, &config(), "fra");
            for isolate in [&isolate, &other, &isolate, &other] {
                assert_eq!(isolate.get(PAGE, &[]).text(), "page");
                world.pass(200);
            }
            gone.set(true);
            match how {
                "expiry" => world.pass(310_000),
                _ => {
                    world.invalidate("post", Mode::Soft);
                    world.pass(2_100);
                }
            }
            match how {
                "warm" => world.alarms(),
                _ => drop(isolate.get(PAGE, &[])),
            }
            world.pass(3_000);
            for isolate in [&isolate, &other] {
                let seen = isolate.get(PAGE, &[]);
                assert_eq!((seen.status, &*seen.text()), (status, "now"), "{said}");
            }
        }
    }
}

#[test]
fn an_opaque_origin_is_one_of_its_own() {
    let (_, isolate) = site(|reached| {
        let origin = reached.fields.get("origin").unwrap_or("none");
        Script::new(
            200,
            &[STORE, ("access-control-allow-origin", origin), ("vary", "Origin")],
            origin,
        )
    });
    for origin in
        ["null", "https://a.example", "https://A.example", "null", "https://a.example:8443"]
    {
        let seen = isolate.get(PAGE, &[("origin", origin)]);
        let allowed = seen.fields.get("access-control-allow-origin").unwrap();
        assert!(allowed.eq_ignore_ascii_case(origin), "{origin}: {allowed}");
    }
    assert_eq!(isolate.get(PAGE, &[]).text(), "none");
}

#[test]
fn odd_windows_and_many_tags_break_no_page() {
    let many = (0..5_000).map(|n| format!("t{n}")).collect::<Vec<_>>().join(" ");
    let rows: Vec<Vec<(&str, &str)>> = vec![
        vec![("cache-control", "s-maxage=60, stale-while-revalidate=abc")],
        vec![("cache-control", "s-maxage=60, stale-while-revalidate=-1")],
        vec![("cache-control", "s-maxage=60, stale-while-revalidate=\"60\"")],
        vec![("cache-control", "s-maxage=60, stale-if-error")],
        vec![("cache-control", "s-maxage=99999999999999999999, stale-while-revalidate=1e9")],
        vec![STORE, ("xkey", &many)],
        vec![STORE, ("xkey", &many), ("cache-tag", "a,,b"), ("surrogate-key", " a  b ")],
    ];
    for fields in rows {
        let said = format!("{:?}", fields[0]);
        let fields: Vec<(String, String)> =
            fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let (world, isolate) = site(move |_| {
            let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (&**n, &**v)).collect();
            Script::new(200, &fields, "page")
        });
        for _ in 0..3 {
            let seen = isolate.get(PAGE, &[]);
            assert_eq!((seen.status, &*seen.text()), (200, "page"), "{said}");
            world.pass(61_000);
        }
    }
}
