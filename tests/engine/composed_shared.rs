//! Shared parts of composed pages: what is the same for everybody, and for many pages, is stored
//! once, as a page of its own.
#![allow(clippy::expect_used)]

use std::rc::Rc;

use edge_isr::base::time::Millis;
use edge_isr::config::{Action, Config, ForwardHeaders, PathPattern, Route, RouteRule};
use edge_isr::journal::Mode;

use crate::composed_origin::{Bit, Origin, SITE, address, part, shared_part, text};
use crate::world::{Isolate, Script, Seen, request};

const PAGE: &str = "https://example.com/p/1/";
const SESSION: (&str, &str) = ("cookie", "sessionid=ada");

fn origin_with(page: Vec<Bit>, route: Route) -> Rc<Origin> {
    let origin = Origin::new(route);
    origin.shows(page);
    origin
}

/// A page with a menu, and a token in its fallback.
fn with_menu() -> Rc<Origin> {
    let fallback = vec![text("none "), Bit::Token(0)];
    origin_with(vec![text("<p>"), Bit::Shared(0, fallback), text("</p>")], Route::default())
}

fn is_hit(seen: &Seen) -> bool {
    seen.cache_status().starts_with("edge-isr;hit")
}

fn has_fallback(seen: &Seen) -> bool {
    seen.text().starts_with("<p>none ") && seen.text().ends_with("</p>")
}

fn whole() -> String {
    format!("<p>{}</p>", shared_part(0))
}

/// How often each path was asked for since the last call.
fn requests(origin: &Origin, path: &str) -> usize {
    origin.world.reached.borrow().iter().filter(|reached| reached.target == path).count()
}

#[test]
fn a_shared_part_is_a_page_of_its_own_without_anything_of_the_visitor() {
    let origin = with_menu();
    let (ams, fra) = (origin.isolate("ams"), origin.isolate("fra"));
    let cookies = [
        SESSION,
        ("x-edge-isr-personal", "id=\"forged\""),
        ("if-none-match", "\"a\""),
        ("range", "bytes=0-1"),
    ];
    for isolate in [&ams, &ams, &fra, &fra] {
        let seen = isolate.get(PAGE, &cookies);
        assert_eq!((seen.status, seen.text()), (200, whole()), "{}", seen.cache_status());
        let kept = seen.fields.get("cache-control");
        assert_eq!(kept, Some("private, no-cache"), "{}", seen.cache_status());
        for name in ["etag", "age", "content-length", "x-edge-isr-tags", "x-edge-isr-compose"] {
            assert!(!seen.fields.has(name), "{name}");
        }
    }
    let reached = origin.world.reached.borrow();
    let parts: Vec<_> = reached.iter().filter(|one| one.target == address(0)).collect();
    assert_eq!(parts.len(), 1, "stored in every tier");
    for name in ["cookie", "x-edge-isr-personal", "if-none-match", "range"] {
        assert!(!parts[0].fields.has(name), "{name}");
    }
}

#[test]
fn a_changed_menu_on_ten_thousand_pages_is_one_refetch() {
    const PAGES: usize = 10_000;
    let origin = with_menu();
    let mut config = origin.config.clone();
    config.new_keys_per_second = u32::MAX;
    let isolate = Isolate::new(&origin.world, &config, "ams");
    let get = |number: usize| isolate.get(&format!("{SITE}/p/{number}/"), &[]);
    for number in 0..PAGES {
        assert_eq!(get(number).text(), whole());
    }
    assert_eq!(requests(&origin, &address(0)), 1);
    origin.changed(|reached, script| {
        if reached.target == address(0) {
            script.pieces[0].1 = b"new".to_vec();
        }
    });
    origin.reached();
    origin.world.invalidate_all(&["menu"], Mode::Hard, false);
    origin.world.pass(2_000);
    // Each of them takes its time, and none is another than these.
    for number in (0..PAGES).step_by(20) {
        let seen = get(number);
        assert!(is_hit(&seen), "{number}: {}", seen.cache_status());
        assert_eq!(seen.text(), "<p>new</p>", "{number}");
    }
    let reached = origin.reached();
    assert_eq!(
        reached,
        [(address(0), false, String::new())].map(|(path, _, cookie)| {
            // The route composes, so a shell may have been asked for; the part is none.
            (path, true, cookie)
        })
    );
}

#[test]
fn those_who_need_it_at_once_share_one_request() {
    let origin = with_menu();
    origin.changed(|reached, script| {
        if reached.target == address(0) {
            script.delay = 500;
        }
    });
    let isolate = origin.isolate("ams");
    let answers: Vec<_> = (0..20)
        .map(|number| {
            let (isolate, url) = (isolate.clone(), format!("{SITE}/p/{number}/"));
            origin.world.start(async move { isolate.ask(request("GET", &url, &[])).await })
        })
        .collect();
    origin.world.pass(2_000);
    for seen in answers {
        assert_eq!(seen.borrow_mut().take().expect("an answer").text(), whole());
    }
    assert_eq!(requests(&origin, &address(0)), 1);
}

/// It stands there as often as it stands there, and is asked for once.
#[test]
fn one_part_at_several_places() {
    let origin = origin_with(
        vec![Bit::Shared(0, vec![]), text("|"), Bit::Shared(1, vec![]), Bit::Shared(0, vec![])],
        Route::default(),
    );
    let isolate = origin.isolate("ams");
    let want = format!("{}|{}{}", shared_part(0), shared_part(1), shared_part(0));
    assert_eq!(isolate.get(PAGE, &[]).text(), want);
    assert_eq!((requests(&origin, &address(0)), requests(&origin, &address(1))), (1, 1));
}

#[test]
fn what_can_not_be_a_shared_part_is_a_fallback() {
    type Answer = fn(&mut Script);
    let rows: [(&str, &str, Answer); 13] = [
        ("500", "fragment-status", |s| s.status = 500),
        ("404", "fragment-status", |s| s.status = 404),
        ("302", "fragment-status", |s| {
            s.status = 302;
            s.fields.set("location", "/in/");
        }),
        ("private", "fragment-private", |s| s.fields.set("cdn-cache-control", "private")),
        ("no-store", "fragment-private", |s| s.fields.set("cdn-cache-control", "no-store")),
        ("no lifetime", "fragment-private", |s| s.fields.remove("cdn-cache-control")),
        ("a cookie", "fragment-private", |s| s.fields.append("set-cookie", "sessionid=bob")),
        ("bypass", "fragment-private", |s| s.fields.set("x-edge-isr", "bypass")),
        ("an image", "fragment-media-type", |s| s.fields.set("content-type", "image/png")),
        ("another charset", "fragment-charset", |s| {
            s.fields.set("content-type", "text/html; charset=latin-1");
        }),
        ("coded", "fragment-coding", |s| s.fields.set("content-encoding", "gzip")),
        ("2 MiB", "fragment-too-large", |s| s.pieces[0].1 = vec![b'x'; 2 << 20]),
        ("never", "fragment-timeout", |s| s.delay = 100_000),
    ];
    for (what, reason, change) in rows {
        let origin = with_menu();
        origin.changed(move |reached, script| {
            if reached.target == address(0) {
                change(script);
            }
        });
        for isolate in [origin.isolate("ams"), origin.isolate("fra")] {
            for fields in [&[][..], &[SESSION]] {
                let seen = isolate.get(PAGE, fields);
                assert!(has_fallback(&seen), "{what}: {}", seen.text());
                assert_eq!(seen.status, 200, "{what}");
                for (name, value) in seen.fields.iter() {
                    assert!(!value.contains("sessionid"), "{what}: {name}: {value}");
                }
            }
        }
        let lines = origin.world.lines.borrow().join("\n");
        assert!(lines.contains(reason), "{what}: {lines}");
        let kept = origin.world.stored_text();
        let private = reason == "fragment-private";
        assert!(!private || !kept.contains("shared 0"), "{what}");
        assert!(!kept.contains("sessionid=bob"), "{what}");
    }
}

/// Where a part may not be, or where the field says what it may not say.
#[test]
fn a_part_of_another_host_or_of_the_edge_is_never_asked_for() {
    let refused = ["//evil.example/x", "https://evil.example/x", "/a\\b", "x"];
    for src in refused {
        let origin = with_menu();
        origin.changed(move |_, script| change_address(script, src));
        let isolate = origin.isolate("ams");
        for _ in 0..2 {
            let seen = isolate.get(PAGE, &[]);
            assert!(seen.cache_status().contains("compose-field"), "{}", seen.cache_status());
            assert_eq!(seen.text(), whole(), "inline, as the origin renders it");
        }
        assert!(origin.reached().iter().all(|(path, ..)| path == "/p/1/"), "{src}");
    }
    for (src, reason) in [
        ("/__isr/v1/pages", "src-reserved"),
        ("/x/..//__isr/healthz", "src-"),
        ("/%5f_isr/healthz", "src-reserved"),
        ("/cdn-cgi/trace", "src-reserved"),
        ("/admin/", "src-bypass"),
        ("/x/%2e%2e/admin/", "src-bypass"),
        ("/$(HTTP_HOST)", "src-malformed"),
    ] {
        let origin = with_menu();
        origin.changed(move |_, script| change_address(script, src));
        let bypass = Route { action: Action::Bypass, ..Route::default() };
        let path = PathPattern::parse("/admin/*").expect("a pattern");
        let config = Config {
            routes: vec![RouteRule { host: None, path, route: bypass }],
            ..origin.config.clone()
        };
        let isolate = Isolate::new(&origin.world, &config, "ams");
        let seen = isolate.get(PAGE, &[SESSION]);
        assert!(has_fallback(&seen), "{src}: {}", seen.text());
        let lines = origin.world.lines.borrow().join("\n");
        assert!(lines.contains(reason), "{src}: {lines}");
        assert_eq!(origin.reached().len(), 1, "{src}: the page alone");
    }
}

fn change_address(script: &mut Script, src: &str) {
    if let Some(value) = script.fields.get("x-edge-isr-compose") {
        let src = src.replace('\\', "\\\\");
        let value = value.replace(&address(0), &src);
        script.fields.set("x-edge-isr-compose", value);
    }
}

/// A page that names itself, or another composed one, and one whose part names others.
#[test]
fn parts_have_no_parts() {
    for src in ["/p/1/", "/p/2/"] {
        let origin = with_menu();
        origin.changed(move |_, script| change_address(script, src));
        let isolate = origin.isolate("ams");
        for _ in 0..3 {
            assert!(has_fallback(&isolate.get(PAGE, &[])), "{src}");
        }
        assert!(origin.reached().len() <= 2, "{src}");
        let lines = origin.world.lines.borrow().join("\n");
        assert!(lines.contains("fragment-composed"), "{lines}");
    }
    let origin = origin_with(
        vec![text("<p>"), Bit::Shared(0, vec![text("none ")]), text("</p>")],
        Route { esi: true, ..Route::default() },
    );
    origin.changed(|reached, script| {
        if reached.target == address(0) {
            script.fields.set("surrogate-control", "max-age=300, content=\"ESI/1.0\"");
            script.pieces[0].1 = b"<esi:include src=\"/p/2/\"/>".to_vec();
        }
    });
    let isolate = origin.isolate("ams");
    for _ in 0..2 {
        assert_eq!(isolate.get(PAGE, &[]).text(), "<p>none </p>");
    }
    assert!(origin.world.lines.borrow().join("\n").contains("fragment-nested"));
}

/// What looks like ESI, or a placeholder, in a part is text.
#[test]
fn nothing_is_read_in_a_part() {
    let origin = with_menu();
    let odd = "eIsR000000000000000000000000000000000000001t00<esi:include src='/x/'/>ÿ";
    origin.changed(move |reached, script| {
        if reached.target == address(0) {
            script.pieces[0].1 = odd.as_bytes().to_vec();
        }
    });
    let isolate = origin.isolate("ams");
    for _ in 0..2 {
        assert_eq!(isolate.get(PAGE, &[]).text(), format!("<p>{odd}</p>"));
    }
}

/// A part that is slow delays what stands behind it, and the visitor's own is under way meanwhile.
#[test]
fn personal_and_shared_parts_are_asked_for_at_once() {
    let mut page: Vec<Bit> = (0..6).map(|number| Bit::Shared(number, vec![text("-")])).collect();
    page.push(Bit::Personal(0, vec![text("none")]));
    page.push(Bit::Personal(1, vec![text("none")]));
    let want: String = (0..6).map(shared_part).collect();
    let parts = format!("{}{}", part("part.0", "ada"), part("part.1", "ada"));
    for (more, cookie) in
        [("", "sessionid=ada"), (", gate", "sessionid=ada"), ("", "sessionid=ada; messages=m")]
    {
        let origin = origin_with(page.clone(), Route::default());
        origin.more.replace(more.to_owned());
        origin.changed(|reached, script| {
            if reached.target.starts_with("/_edge_isr/") {
                script.delay = 400;
            }
        });
        let isolate = origin.isolate("ams");
        // Without parts of their own: the page is stored, the shared parts aren't yet asked for.
        isolate.send("HEAD", PAGE, &[]);
        origin.reached();
        let began = origin.world.now();
        let seen = isolate.get(PAGE, &[("cookie", cookie)]);
        assert_eq!(seen.text(), format!("{want}{parts}"), "{more} {cookie}");
        assert_eq!(seen.fields.get("cache-control"), Some("private, no-store"));
        let took = origin.world.now().since(began).0;
        assert!(took < 900, "{more} {cookie}: two turns of three, not {took} ms");
        let first = origin.reached();
        assert!(first[0].0.starts_with("/_edge_isr/personal"), "personal first: {first:?}");
        assert_eq!(first.len(), 7);
    }
}

/// Of a page that its gate refuses, nothing is sent, whatever its shared parts are.
#[test]
fn a_gate_refuses_a_page_with_shared_parts() {
    let page = vec![Bit::Shared(0, vec![]), Bit::Personal(0, vec![text("none")])];
    let origin = origin_with(page, Route::default());
    origin.more.replace(", gate".to_owned());
    origin.changed(|reached, script| {
        if reached.target.starts_with("/_edge_isr/personal") {
            *script = Script::new(302, &[("location", "/2fa/")], "");
        }
    });
    let isolate = origin.isolate("ams");
    let seen = isolate.get(PAGE, &[SESSION]);
    assert!(seen.cache_status().contains("compose-gate"), "{}", seen.cache_status());
    assert!(isolate.get(PAGE, &[]).text().starts_with(&shared_part(0)));
}

#[test]
fn head_asks_for_no_shared_part() {
    let origin = with_menu();
    let isolate = origin.isolate("ams");
    for _ in 0..2 {
        assert_eq!(isolate.send("HEAD", PAGE, &[SESSION]).text(), "");
    }
    assert_eq!(requests(&origin, &address(0)), 0);
}

/// While the origin fails, a part that was stored stands in, and one that was not is a fallback.
#[test]
fn a_failing_origin_and_a_stale_part() {
    let origin = with_menu();
    origin.more.replace(", sie=86400".to_owned());
    origin.changed(|reached, script| {
        if reached.target == address(0) {
            script.fields.set("cdn-cache-control", "max-age=10, stale-if-error=86400");
        }
    });
    let isolate = origin.isolate("ams");
    assert_eq!(isolate.get(PAGE, &[]).text(), whole());
    origin.changed(|_, script| *script = Script::new(503, &[], "down"));
    origin.world.pass(60_000);
    assert_eq!(isolate.get(PAGE, &[]).text(), whole());
    origin.world.invalidate_all(&["menu"], Mode::Hard, false);
    origin.world.pass(2_000);
    assert!(has_fallback(&isolate.get(PAGE, &[])));
}

/// However the route of the parts is set, no cookie goes along, and one visitor's is no other's.
#[test]
fn a_parts_own_route_brings_nothing_of_the_visitor_along() {
    let rows = [
        Route { forward_headers: ForwardHeaders::All, ..Route::default() },
        Route { key_cookies: vec!["sessionid".to_owned()], ..Route::default() },
        Route { store_set_cookie: true, ..Route::default() },
        Route { compose: true, ..Route::default() },
    ];
    for route in rows {
        let origin = with_menu();
        origin.changed(|reached, script| {
            if reached.target == address(0) {
                let cookie = reached.fields.joined("cookie").unwrap_or_default();
                script.pieces[0].1 = format!("[{cookie}]").into_bytes();
            }
        });
        let path = PathPattern::parse("/_edge_isr/*").expect("a pattern");
        let said = format!("{route:?}");
        let config =
            Config { routes: vec![RouteRule { host: None, path, route }], ..origin.config.clone() };
        let isolate = Isolate::new(&origin.world, &config, "ams");
        for cookie in ["sessionid=ada", "sessionid=bob", "_ga=1"] {
            let seen = isolate.get(PAGE, &[("cookie", cookie), ("authorization", "")]);
            assert!(!seen.text().contains("ada") && !seen.text().contains("bob"), "{said}");
        }
        let reached = origin.world.reached.borrow();
        let parts = reached.iter().filter(|one| one.target == address(0));
        assert!(parts.into_iter().all(|one| !one.fields.has("cookie")), "{said}");
    }
}

#[test]
fn a_visitor_waits_for_all_parts_together_no_longer_than_the_limit() {
    let page = (0..20).map(|number| Bit::Shared(number, vec![text("-")])).collect();
    let origin = origin_with(page, Route::default());
    origin.changed(|reached, script| {
        if reached.target.starts_with("/_edge_isr/f/") {
            script.delay = 100_000;
        }
    });
    let config = Config { compose_timeout: Millis(700), ..origin.config.clone() };
    let isolate = Isolate::new(&origin.world, &config, "ams");
    let began = origin.world.now();
    assert_eq!(isolate.get(PAGE, &[]).text(), "-".repeat(20));
    let took = origin.world.now().since(began).0;
    assert!((700..2_000).contains(&took), "{took} ms");
}
