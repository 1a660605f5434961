//! Composed pages through the engine: what a visitor gets, what the origin is asked, and that no
//! shell leaves the edge. The rows are those of docs/composition.md.
#![allow(clippy::expect_used)]

use std::rc::Rc;

use edge_isr::base::time::Seconds;
use edge_isr::cache::compose::mint::Secret;
use edge_isr::config::Route;
use edge_isr::journal::Mode;
use proptest::prelude::*;

use crate::composed_origin::{Bit, OWN_NONCE, OWN_TOKEN, Origin, SITE, part, text};
use crate::world::{Script, Seen};

const PAGE: &str = "https://example.com/p/1/";
const SESSION: (&str, &str) = ("cookie", "sessionid=ada");

fn origin() -> Rc<Origin> {
    Origin::new(Route::default())
}

/// The token that stands in the default page, and that it is no one's but the cookie's.
fn token(seen: &Seen) -> String {
    let body = seen.text();
    assert!(!body.contains("eIsR"), "a marker: {body}");
    let token = body.strip_prefix("<form>").and_then(|rest| rest.get(..64)).expect("a token");
    assert_eq!(body, format!("<form>{token}é</form>{token}."), "each placeholder has the same");
    let line = seen.fields.get("set-cookie").expect("a cookie");
    let value = line.strip_prefix("csrftoken=").and_then(|rest| rest.split(';').next());
    assert_eq!(Secret::of_cookie(token), Secret::of_cookie(value.expect("a value")), "{line}");
    token.to_owned()
}

fn is_hit(seen: &Seen) -> bool {
    seen.cache_status().starts_with("edge-isr;hit")
}

fn is_inline(seen: &Seen) -> bool {
    seen.text().contains(OWN_TOKEN) && !seen.text().contains("eIsR")
}

#[test]
fn a_page_with_a_form_is_a_hit_with_a_token_of_its_visitors_own() {
    let origin = origin();
    let (ams, fra) = (origin.isolate("ams"), origin.isolate("fra"));
    let first = ams.get(PAGE, &[]);
    assert!(first.cache_status().contains("fwd=uri-miss"), "{}", first.cache_status());
    assert!(first.cache_status().contains("stored"), "{}", first.cache_status());
    let mut tokens = vec![token(&first)];
    assert_eq!(origin.reached(), [("/p/1/".to_owned(), true, String::new())]);
    for isolate in [&ams, &ams, &fra, &fra] {
        let seen = isolate.get(PAGE, &[("cookie", "_ga=1")]);
        assert!(is_hit(&seen), "{}", seen.cache_status());
        assert_eq!(seen.fields.get("cache-control"), Some("private, no-cache"));
        assert_eq!(seen.fields.get("cdn-cache-control"), Some("no-store"));
        assert_eq!(seen.fields.get("content-length"), Some(&*seen.text().len().to_string()));
        for name in ["etag", "age", "last-modified", "x-edge-isr-compose", "x-edge-isr-tags"] {
            assert!(!seen.fields.has(name), "{name}");
        }
        tokens.push(token(&seen));
    }
    assert_eq!(origin.reached(), [], "no request for tokens");
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), 5, "each is masked anew");
}

#[test]
fn the_visitors_own_secret_stays_in_force() {
    let origin = origin();
    let isolate = origin.isolate("ams");
    let secret = "abcXYZ019abcXYZ019abcXYZ019abcXY";
    for _ in 0..2 {
        let seen = isolate.get(PAGE, &[("cookie", &format!("csrftoken={secret}"))]);
        assert_eq!(Secret::of_cookie(&token(&seen)), Secret::of_cookie(secret));
    }
    let hostile = isolate.get(PAGE, &[("cookie", "csrftoken=\"><script>")]);
    assert!(is_hit(&hostile) && !hostile.fields.get("set-cookie").expect("one").contains("script"));
    token(&hostile);
    assert!(origin.reached().iter().all(|(_, _, cookie)| cookie.is_empty()));
}

#[test]
fn a_reader_who_is_logged_in_gets_a_page_for_all_as_a_hit() {
    let origin = origin();
    let isolate = origin.isolate("ams");
    let first = isolate.get(PAGE, &[SESSION]);
    token(&first);
    assert!(is_hit(&isolate.get(PAGE, &[SESSION])));
    assert_eq!(origin.reached(), [("/p/1/".to_owned(), true, String::new())]);
}

#[test]
fn a_page_for_the_anonymous_passes_for_all_others() {
    let origin = origin();
    origin.audience.set("anonymous");
    let isolate = origin.isolate("ams");
    // Who asks first and is logged in gets it from the origin; it is stored for the others.
    let first = isolate.get(PAGE, &[SESSION]);
    assert!(is_inline(&first), "{}", first.text());
    assert!(first.cache_status().contains("detail=bypass-cookie"), "{}", first.cache_status());
    origin.reached();
    assert!(is_hit(&isolate.get(PAGE, &[])));
    assert_eq!(origin.reached(), []);
    assert!(is_inline(&isolate.get(PAGE, &[SESSION])));
    let row = ("/p/1/".to_owned(), false, "sessionid=ada".to_owned());
    assert_eq!(origin.reached(), [row], "one request, the visitor's own");
    assert!(is_hit(&isolate.get(PAGE, &[])), "no mark of theirs is the others'");
}

#[test]
fn a_public_page_beside_composed_ones_is_as_ever() {
    let origin = origin();
    origin.changed(|reached, script| {
        let public = [("cache-control", "s-maxage=60"), ("etag", "\"a\"")];
        if !reached.fields.has("cookie") {
            *script = Script::new(200, &public, "public");
        }
    });
    let isolate = origin.isolate("ams");
    isolate.get(PAGE, &[]);
    let hit = isolate.get(PAGE, &[]);
    assert!(is_hit(&hit) && hit.text() == "public");
    assert_eq!(isolate.get(PAGE, &[("if-none-match", "\"a\"")]).status, 304);
    assert_eq!(isolate.get(PAGE, &[("range", "bytes=0-1")]).status, 206);
    let known = isolate.get(PAGE, &[SESSION]);
    assert!(is_inline(&known), "a bypass cookie passes: {}", known.text());
}

#[test]
fn a_shell_that_was_changed_on_its_way_is_not_stored_and_the_page_comes_inline() {
    type Change = fn(&mut Script);
    let rows: [(&str, &str, Change); 14] = [
        ("the field is stripped", "no-store", |s| s.fields.remove("x-edge-isr-compose")),
        ("cut", "compose-field", |s| change_field(s, |v| v[..v.len() / 2].to_owned())),
        ("doubled", "compose-field", |s| change_field(s, |v| format!("{v}, {v}"))),
        ("a second line", "compose-field", |s| {
            let value = s.fields.get("x-edge-isr-compose").unwrap_or_default().to_owned();
            s.fields.append("x-edge-isr-compose", value);
        }),
        ("an unknown key", "compose-field", |s| change_field(s, |v| format!("{v}, a=1"))),
        ("made public", "compose-answer", |s| s.fields.set("cache-control", "public, max-age=60")),
        ("compressed", "compose-answer", |s| s.fields.set("content-encoding", "gzip")),
        ("a cookie", "compose-answer", |s| s.fields.append("set-cookie", "a=b")),
        ("out of a cache", "compose-answer", |s| s.fields.set("age", "1")),
        ("another count", "compose-body", |s| {
            change_field(s, |v| v.replace("placeholders=2", "placeholders=1"));
        }),
        ("a byte more", "compose-body", |s| s.pieces.push((0, b" ".to_vec()))),
        ("minified", "compose-body", |s| {
            let body = String::from_utf8(s.pieces[0].1.clone()).unwrap_or_default();
            s.pieces[0].1 = body.replace("</form>", "").into_bytes();
        }),
        ("the marker cut out", "compose-body", |s| {
            s.pieces[0].1.drain(6..10);
        }),
        ("bypass", "bypass", |s| s.fields.set("x-edge-isr", "bypass")),
    ];
    for (what, reason, change) in rows {
        let origin = origin();
        origin.changed(move |reached, script| {
            if reached.fields.has("x-edge-isr-compose") {
                change(script);
            }
        });
        let isolate = origin.isolate("ams");
        for (colo, isolate) in
            [("ams", &isolate), ("ams", &isolate), ("fra", &origin.isolate("fra"))]
        {
            let seen = isolate.get(PAGE, &[]);
            assert!(is_inline(&seen), "{what} in {colo}: {}", seen.text());
            assert!(!is_hit(&seen), "{what}");
            assert!(!seen.fields.has("x-edge-isr-compose"), "{what}");
        }
        let first = origin.reached();
        assert!(!first[1].1, "{what}: asked again without the field: {first:?}");
        let cache_status = isolate.get(PAGE, &[]).cache_status();
        assert!(cache_status.contains(reason), "{what}: {cache_status}");
    }
}

fn change_field(script: &mut Script, change: impl Fn(String) -> String) {
    if let Some(value) = script.fields.get("x-edge-isr-compose").map(str::to_owned) {
        script.fields.set("x-edge-isr-compose", change(value));
    }
}

/// A shell in an answer that nobody asked one for: out of a cache that does not heed `no-store`.
#[test]
fn a_shell_that_comes_unasked_is_no_answer() {
    for compose in [true, false] {
        let origin = Origin::new(Route::default());
        origin.changed(|_, script| script.fields.set("x-edge-isr-compose", "v=1"));
        let config = edge_isr::config::Config {
            defaults: Route { compose, ..Route::default() },
            ..origin.config.clone()
        };
        let isolate = crate::world::Isolate::new(&origin.world, &config, "ams");
        for (method, fields) in [("GET", vec![]), ("GET", vec![SESSION]), ("POST", vec![])] {
            let seen = isolate.send(method, PAGE, &fields);
            assert_eq!(seen.status, 502, "{compose} {method} {fields:?}");
            assert!(seen.cache_status().contains("compose-raw"), "{}", seen.cache_status());
        }
    }
}

#[test]
fn conditions_ranges_and_head_get_nothing_of_a_shell() {
    let origin = origin();
    origin.shows(vec![text("<form>"), Bit::Token(0), text("é</form>"), Bit::Token(0), Bit::Nonce]);
    let isolate = origin.isolate("ams");
    for _ in 0..2 {
        for fields in [
            ("if-none-match", "*"),
            ("if-none-match", "\"a\""),
            ("if-modified-since", "Fri, 31 Dec 2100 00:00:00 GMT"),
            ("range", "bytes=0-1"),
            ("range", "bytes=0-1,4-9"),
        ] {
            let seen = isolate.get(PAGE, &[fields]);
            assert_eq!(seen.status, 200, "{fields:?}");
            assert!(seen.text().ends_with(|c: char| c.is_ascii_alphanumeric()), "{fields:?}");
            assert!(seen.text().len() > 150 && !seen.text().contains("eIsR"), "{fields:?}");
        }
        let head = isolate.send("HEAD", PAGE, &[]);
        assert_eq!((head.status, head.text().len()), (200, 0));
        for (name, value) in head.fields.iter() {
            assert!(!value.contains("eIsR") && name != "set-cookie", "{name}: {value}");
        }
        assert_eq!(head.fields.get("cache-control"), Some("private, no-cache"));
    }
    let requests = origin.reached();
    assert_eq!(requests.len(), 1, "{requests:?}");
}

#[test]
fn policies_and_places_have_one_fresh_nonce() {
    let origin = origin();
    origin.shows(vec![Bit::Nonce, text(" "), Bit::Nonce]);
    let isolate = origin.isolate("ams");
    let mut nonces: Vec<String> = Vec::new();
    for _ in 0..3 {
        let seen = isolate.get(PAGE, &[]);
        let body = seen.text();
        let (one, other) = body.split_once(' ').expect("two");
        assert!(one == other && one.len() == 32, "{body}");
        let policy = format!("script-src 'nonce-{one}'");
        assert_eq!(seen.fields.get("content-security-policy"), Some(policy.as_str()));
        assert!(!seen.fields.has("set-cookie"), "no token, no cookie");
        nonces.push(one.to_owned());
    }
    nonces.dedup();
    assert_eq!(nonces.len(), 3);
}

#[test]
fn a_post_invalidates_a_composed_page_and_its_sender_gets_hits_again() {
    let origin = origin();
    let (ams, fra) = (origin.isolate("ams"), origin.isolate("fra"));
    for isolate in [&ams, &fra] {
        token(&isolate.get(PAGE, &[]));
        assert!(is_hit(&isolate.get(PAGE, &[])));
    }
    origin.shows(vec![text("new")]);
    assert_eq!(ams.send("POST", PAGE, &[SESSION]).status, 200);
    assert_eq!(ams.get(PAGE, &[SESSION]).text(), "new", "what was before is not for its sender");
    for isolate in [&fra, &ams] {
        origin.world.pass(3_000);
        // Stale, and renewed meanwhile.
        isolate.get(PAGE, &[SESSION]);
        origin.world.pass(1_000);
        let seen = isolate.get(PAGE, &[SESSION]);
        assert!(is_hit(&seen), "{}", seen.cache_status());
        assert_eq!(seen.text(), "new");
    }
}

#[test]
fn a_stale_shell_is_composed_too_and_refreshed_without_conditions() {
    let origin = origin();
    let isolate = origin.isolate("ams");
    token(&isolate.get(PAGE, &[]));
    origin.world.pass(301_000);
    origin.reached();
    let stale = isolate.get(PAGE, &[]);
    assert!(stale.cache_status().contains("stale-while-revalidate"), "{}", stale.cache_status());
    token(&stale);
    origin.world.pass(1_000);
    let requests = origin.world.reached.borrow_mut().drain(..).collect::<Vec<_>>();
    assert_eq!(requests.len(), 1);
    assert!(
        !requests[0].fields.has("if-none-match") && requests[0].fields.has("x-edge-isr-compose")
    );
    assert!(is_hit(&isolate.get(PAGE, &[])));
}

#[test]
fn a_shell_that_stands_in_for_a_failing_origin_is_composed_too() {
    let origin = origin();
    origin.more.replace(", sie=86400".to_owned());
    let isolate = origin.isolate("ams");
    token(&isolate.get(PAGE, &[]));
    origin.changed(|_, script| *script = Script::new(503, &[], "down"));
    origin.world.pass(2_000_000);
    let seen = isolate.get(PAGE, &[]);
    assert!(seen.cache_status().contains("stale-if-error"), "{}", seen.cache_status());
    token(&seen);
}

#[test]
fn an_invalidated_page_is_rendered_anew_and_warms_are_shells() {
    let origin = origin();
    let isolate = origin.isolate("ams");
    isolate.get(PAGE, &[]);
    isolate.get(PAGE, &[]);
    origin.shows(vec![text("<form>"), Bit::Token(0), text("é</form>"), Bit::Token(0), text(".")]);
    origin.reached();
    origin.world.invalidate_all(&["posts"], Mode::Hard, true);
    origin.world.pass(2_000);
    origin.world.alarms();
    origin.world.pass(20_000);
    let requests = origin.reached();
    assert!(requests.iter().all(|(_, shell, cookie)| *shell && cookie.is_empty()), "{requests:?}");
    assert!(!requests.is_empty(), "it was warmed");
    token(&isolate.get(PAGE, &[]));
    assert_eq!(origin.reached(), [], "what was warmed answers");
}

#[test]
fn a_warm_that_brings_no_shell_ends_what_is_stored() {
    let origin = origin();
    let isolate = origin.isolate("ams");
    isolate.get(PAGE, &[]);
    isolate.get(PAGE, &[]);
    origin.changed(|reached, script| {
        if reached.fields.has("x-edge-isr-compose") {
            script.pieces.push((0, b" ".to_vec()));
        }
    });
    origin.world.invalidate_all(&["posts"], Mode::Soft, true);
    origin.world.pass(2_000);
    origin.world.alarms();
    origin.world.pass(20_000);
    assert!(is_inline(&isolate.get(PAGE, &[])));
}

#[test]
fn a_page_outside_of_the_cookies_path_is_the_origins() {
    let origin = origin();
    origin.changed(|_, script| {
        change_field(script, |value| value.replace("Path=/;", "Path=/app;"));
    });
    let isolate = origin.isolate("ams");
    for _ in 0..2 {
        let seen = isolate.get(PAGE, &[]);
        assert!(is_inline(&seen));
        assert!(seen.cache_status().contains("compose-cookie-scope"), "{}", seen.cache_status());
    }
    let lines = origin.world.lines.borrow().join("\n");
    assert!(lines.contains("not-composed") && !lines.contains("csrftoken="), "{lines}");
}

#[test]
fn a_gate_without_parts_passes_who_is_known() {
    let origin = origin();
    origin.more.replace(", gate, cookies=(\"sessionid\")".to_owned());
    let isolate = origin.isolate("ams");
    token(&isolate.get(PAGE, &[]));
    let seen = isolate.get(PAGE, &[SESSION]);
    assert!(is_inline(&seen) && seen.cache_status().contains("compose-gate"));
}

#[test]
fn a_visitors_own_edge_fields_reach_nobody() {
    let origin = origin();
    let isolate = origin.isolate("ams");
    let forged = [
        ("x-edge-isr-compose", "v=1"),
        ("x_edge_isr_compose", "v=1"),
        ("x-edge-isr-personal", "id=\"x\""),
    ];
    for (method, more) in [("GET", SESSION), ("POST", SESSION), ("GET", ("authorization", "a"))] {
        origin.audience.set("anonymous");
        let all: Vec<_> = forged.iter().copied().chain([more]).collect();
        let seen = isolate.send(method, PAGE, &all);
        assert!(is_inline(&seen), "{method} {more:?}: {}", seen.text());
        for reached in origin.world.reached.borrow_mut().drain(..) {
            assert!(!reached.fields.has("x-edge-isr-personal"));
            assert!(!reached.fields.has("x_edge_isr_compose"));
            let requests = reached.fields.has("x-edge-isr-compose");
            assert!(!(requests && reached.fields.has("cookie")), "a shell has no cookie");
        }
    }
}

#[test]
fn text_that_looks_like_a_place_is_text() {
    let origin = origin();
    let user = "eIsR000t00 <esi:include src=\"/admin/\"/> X-Edge-ISR-Compose: v=1";
    origin.shows(vec![text("<form>"), Bit::Token(0), text(user)]);
    let isolate = origin.isolate("ams");
    for _ in 0..2 {
        assert!(isolate.get(PAGE, &[]).text().ends_with(user));
    }
}

#[test]
fn a_shell_above_the_limit_is_the_origins() {
    let mut config = origin().config.clone();
    config.max_body = 1_000;
    let origin = origin();
    origin.shows(vec![Bit::Token(0), text(&"x".repeat(2_000))]);
    let isolate = crate::world::Isolate::new(&origin.world, &config, "ams");
    for stated in [false, true] {
        origin.changed(move |_, script| {
            if stated {
                let length: usize = script.pieces.iter().map(|(_, piece)| piece.len()).sum();
                script.fields.set("content-length", length.to_string());
            }
        });
        let seen = isolate.get(&format!("{SITE}/p/{stated}/"), &[]);
        assert!(is_inline(&seen), "{stated}: {}", seen.cache_status());
    }
}

#[test]
fn those_who_wait_for_a_shell_get_one_each() {
    let origin = origin();
    origin.changed(|_, script| script.delay = 400);
    let isolate = origin.isolate("ams");
    let seen: Vec<Seen> = {
        let (one, two) = (isolate.clone(), isolate.clone());
        // Both are asked for before either is answered.
        origin.world.run(async move {
            let head = || crate::world::request("GET", PAGE, &[]);
            let (a, b) = futures_util::future::join(one.ask(head()), two.ask(head())).await;
            vec![a, b]
        })
    };
    assert_ne!(token(&seen[0]), token(&seen[1]));
    assert_eq!(origin.reached().len(), 1);
    let first = seen[0].fields.get("set-cookie");
    assert_ne!(first, seen[1].fields.get("set-cookie"), "each has a secret of its own");
}

#[test]
fn the_route_alone_composes() {
    let plain = Origin::new(Route::default());
    let config = edge_isr::config::Config { defaults: Route::default(), ..plain.config.clone() };
    let isolate = crate::world::Isolate::new(&plain.world, &config, "ams");
    assert!(is_inline(&isolate.get(PAGE, &[])));
    assert!(plain.reached().iter().all(|(_, shell, _)| !shell));
    // What is stored for a route that composes is found by none that does not.
    plain.isolate("ams").get(PAGE, &[]);
    let again = crate::world::Isolate::new(&plain.world, &config, "ams");
    let seen = again.get(PAGE, &[]);
    assert!(is_inline(&seen), "{}", seen.cache_status());
}

#[test]
fn the_personal_path_is_never_kept() {
    let origin = Origin::new(Route { ttl: Some(Seconds(60)), ..Route::default() });
    let isolate = origin.isolate("ams");
    for _ in 0..2 {
        let url = format!("{SITE}/_edge_isr/personal?n=part.0");
        let seen = isolate.get(&url, &[("x-edge-isr-personal", "id=\"x\"")]);
        assert_eq!(seen.status, 404);
        assert!(!is_hit(&seen), "{}", seen.cache_status());
    }
    assert_eq!(origin.reached().len(), 2);
}

fn with_parts() -> Rc<Origin> {
    let origin = origin();
    origin.shows(vec![
        text("<p>"),
        Bit::Personal(0, vec![text("Log in "), Bit::Token(0)]),
        text("</p>é"),
        Bit::Personal(1, Vec::new()),
        text("</html>"),
    ]);
    origin
}

fn ada() -> String {
    let (zero, one) = (part("part.0", "ada"), part("part.1", "ada"));
    format!("<p>{zero}</p>é{one}</html>")
}

/// A page of fallbacks, with a token.
fn is_fallback(seen: &Seen) -> bool {
    let body = seen.text();
    let token = body.strip_prefix("<p>Log in ").and_then(|rest| rest.get(..64));
    let token = token.is_some_and(|token| Secret::of_cookie(token).is_some());
    token && body.ends_with("</p>é</html>") && !body.contains("eIsR")
}

#[test]
fn each_visitor_gets_their_own_parts_in_one_request() {
    let origin = with_parts();
    let isolate = origin.isolate("ams");
    assert!(is_fallback(&isolate.get(PAGE, &[("cookie", "_ga=1")])));
    origin.reached();
    assert!(is_fallback(&isolate.get(PAGE, &[])), "no cookie, no request");
    assert_eq!(origin.reached(), []);
    let seen = isolate.get(PAGE, &[("cookie", "sessionid=ada; csrftoken=junk")]);
    assert!(is_hit(&seen) && seen.text() == ada(), "{}", seen.text());
    assert_eq!(seen.fields.get("cache-control"), Some("private, no-store"));
    assert_eq!(seen.fields.get("cdn-cache-control"), Some("no-store"));
    let line = seen.fields.get("set-cookie").expect("the secret in force").to_owned();
    let secret = line.split(';').next().unwrap_or_default();
    let target = "/_edge_isr/personal?n=part.0&n=part.1".to_owned();
    let row = (target, false, format!("sessionid=ada; {secret}"));
    assert_eq!(origin.reached(), [row], "one for all parts, with the secret that is set");
    let other = isolate.get(PAGE, &[("cookie", "sessionid=bob")]);
    assert!(other.text().contains("bob") && !other.text().contains("ada"));
    let again = isolate.get(PAGE, &[SESSION]);
    assert_eq!(again.text(), ada());
    assert_eq!(origin.reached().len(), 2, "nothing of a visitor's is kept");
}

/// What of a personal answer is not believed: the page has its fallbacks.
#[test]
fn a_personal_answer_that_can_not_be_believed_is_a_fallback() {
    type Change = fn(&mut Script);
    let rows: [(&str, &str, Change); 10] = [
        ("a wrong id", "personal-foreign", |s| {
            s.pieces[0].1 = br#"{"id":"wrong","parts":{}}"#.to_vec();
        }),
        ("Age", "personal-cached", |s| s.fields.set("age", "1")),
        ("public", "personal-cached", |s| s.fields.set("cache-control", "public")),
        ("a redirect", "personal-status", |s| s.status = 302),
        ("an error", "personal-status", |s| s.status = 500),
        ("not modified", "personal-status", |s| s.status = 304),
        ("HTML", "personal-malformed", |s| s.fields.set("content-type", "text/html")),
        ("large", "personal-too-large", |s| s.pieces.push((0, vec![b' '; 300 << 10]))),
        ("never", "personal-timeout", |s| s.delay = 600_000),
        ("a body that never ends", "personal-timeout", |s| s.pieces.push((600_000, vec![]))),
    ];
    for (what, reason, change) in rows {
        for more in ["", ", wait", ", gate"] {
            let origin = with_parts();
            origin.more.replace(more.to_owned());
            origin.changed(move |reached, script| {
                if reached.target.starts_with("/_edge_isr/personal") {
                    change(script);
                }
            });
            let isolate = origin.isolate("ams");
            isolate.get(PAGE, &[]);
            let began = origin.world.now();
            let seen = isolate.get(PAGE, &[SESSION]);
            let took = origin.world.now().since(began);
            assert!(took.0 <= 5_100, "{what}{more}: {took:?}");
            let status = seen.cache_status();
            if more == ", gate" {
                assert_eq!(seen.text(), ada(), "{what}: the origin's own");
                assert!(status.contains("compose-gate"), "{what}: {status}");
            } else {
                assert!(is_fallback(&seen), "{what}{more}: {}", seen.text());
                assert_eq!(status.contains("fragment-failed"), more == ", wait", "{status}");
            }
            let lines = origin.world.lines.borrow().join("\n");
            assert!(lines.contains(reason), "{what}{more}: {lines}");
            assert!(!lines.contains("csrftoken") && !lines.contains("ada"), "{lines}");
        }
    }
}

#[test]
fn cookies_of_parts_are_passed_on_where_the_head_waits() {
    for (more, cookie, waits) in [
        ("", "sessionid=ada", false),
        (", wait", "sessionid=ada", true),
        (", gate", "sessionid=ada", true),
        ("", "sessionid=ada; messages=x", true),
    ] {
        let origin = with_parts();
        origin.more.replace(more.to_owned());
        origin.changed(|reached, script| {
            if let Some(requests) = reached.fields.get("x-edge-isr-personal") {
                let late = !requests.ends_with("late=?0");
                script.fields.append("set-cookie", "messages=; Max-Age=0");
                script.fields.append("set-cookie", "csrftoken=ofThePart");
                script.fields.set("x-late", if late { "yes" } else { "no" });
            }
        });
        let isolate = origin.isolate("ams");
        let seen = isolate.get(PAGE, &[("cookie", cookie)]);
        assert_eq!(seen.text(), ada(), "{more} {cookie}");
        let lines: Vec<&str> = seen.fields.all("set-cookie").collect();
        assert_eq!(lines.contains(&"messages=; Max-Age=0"), waits, "{more} {cookie}: {lines:?}");
        assert!(!lines.iter().any(|line| line.contains("ofThePart")), "{lines:?}");
        assert_eq!(lines.iter().filter(|line| line.starts_with("csrftoken=")).count(), 1);
        let requests = origin.world.reached.borrow().iter().any(|reached| {
            let said = reached.fields.get("x-edge-isr-personal");
            said.is_some_and(|said| said.ends_with("late=?0") == waits)
        });
        assert!(requests, "{more} {cookie}");
    }
}

#[test]
fn a_redirect_of_the_gate_is_the_visitors() {
    let origin = with_parts();
    origin.more.replace(", gate".to_owned());
    origin.changed(|reached, script| {
        if reached.fields.joined("cookie").unwrap_or_default().contains("sessionid") {
            *script = Script::new(302, &[("location", "/two-factor/")], "");
        }
    });
    let isolate = origin.isolate("ams");
    isolate.get(PAGE, &[]);
    for method in ["GET", "HEAD"] {
        let seen = isolate.send(method, PAGE, &[SESSION]);
        assert_eq!((seen.status, seen.fields.get("location")), (302, Some("/two-factor/")));
    }
}

#[test]
fn head_asks_for_no_parts() {
    let origin = with_parts();
    let isolate = origin.isolate("ams");
    isolate.get(PAGE, &[]);
    origin.reached();
    let seen = isolate.send("HEAD", PAGE, &[SESSION]);
    assert_eq!(seen.fields.get("cache-control"), Some("private, no-store"));
    assert_eq!(origin.reached(), []);
}

/// What one page shows, in pieces: text that looks like placeholders, tokens, nonces, parts.
fn bit() -> impl Strategy<Value = Bit> {
    let leaf = || {
        prop_oneof![
            "[a-zé<>ÿ ]{0,9}".prop_map(Bit::Text),
            Just(Bit::Text("eIsR0000t00p00e00".to_owned())),
            (0u8..3).prop_map(Bit::Token),
            Just(Bit::Nonce),
        ]
    };
    prop_oneof![
        5 => leaf(),
        1 => (0usize..2, prop::collection::vec(leaf(), 0..3))
            .prop_map(|(part, fallback)| Bit::Personal(part, fallback)),
        1 => (0usize..2, prop::collection::vec(leaf(), 0..3))
            .prop_map(|(part, fallback)| Bit::Shared(part, fallback)),
    ]
}

/// How many pages are composed for visitors in any order: as many as `COMPOSED` says, else a few.
fn cases() -> u32 {
    std::env::var("COMPOSED").ok().and_then(|number| number.parse().ok()).unwrap_or(40)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(), failure_persistence: None, ..ProptestConfig::default()
    })]

    /// Visitors in any order, two with a session and some without, at once and one after the
    /// other: what each gets is what the origin renders for them, byte for byte, but for the
    /// values that are made anew; and nobody meets a byte of another.
    #[test]
    fn each_gets_what_the_origin_renders_for_them(
        bits in prop::collection::vec(bit(), 0..12),
        order in prop::collection::vec((0usize..3, 0u64..4), 1..16),
    ) {
        let origin = origin();
        let mut bits = bits;
        bits.push(Bit::Personal(0, vec![text("none")]));
        bits.push(Bit::Personal(1, vec![text("none")]));
        bits.push(Bit::Shared(0, vec![text("old")]));
        bits.push(Bit::Shared(1, Vec::new()));
        origin.shows(bits);
        origin.changed(|reached, script| script.delay = reached.target.len() as u64 % 7);
        let isolate = origin.isolate("ams");
        let visitors = ["sessionid=ada", "sessionid=bob", "_ga=carla"];
        let seen: Vec<(usize, Seen)> = {
            let asks: Vec<_> = order
                .iter()
                .map(|(who, after)| {
                    let (isolate, world) = (isolate.clone(), Rc::clone(&origin.world));
                    let (who, after) = (*who, *after);
                    async move {
                        world.rest(after * 3).await;
                        let head = crate::world::request("GET", PAGE, &[("cookie", visitors[who])]);
                        (who, isolate.ask(head).await)
                    }
                })
                .collect();
            origin.world.run(futures_util::future::join_all(asks))
        };
        let mut made: Vec<String> = Vec::new();
        for (who, seen) in seen {
            let request = [("cookie", visitors[who])].into_iter().collect();
            let body = seen.text();
            prop_assert!(same(&origin.inline(&request), &body, &mut made), "{}", body);
            for (other, name) in ["ada", "bob", "carla"].into_iter().enumerate() {
                let of_another = format!("of {name}");
                prop_assert!(other == who || !body.contains(&of_another), "{}", body);
            }
        }
        let count = made.len();
        made.sort();
        made.dedup();
        prop_assert_eq!(made.len(), count, "no value is made for two");
    }
}

/// Whether a page is the one that the origin renders, but for tokens and nonces.
fn same(want: &str, got: &str, made: &mut Vec<String>) -> bool {
    let (mut want, mut got) = (want, got);
    let mut of_this: Vec<String> = Vec::new();
    loop {
        let token = want.find(OWN_TOKEN).map(|at| (at, OWN_TOKEN, 64));
        let nonce = want.find(OWN_NONCE).map(|at| (at, OWN_NONCE, 32));
        let Some((at, filled, length)) = token.into_iter().chain(nonce).min() else {
            of_this.sort();
            of_this.dedup();
            made.extend(of_this);
            return want == got;
        };
        let value = got.get(at..at + length).unwrap_or_default();
        let letters = value.len() == length && value.bytes().all(|b| b.is_ascii_alphanumeric());
        if want.get(..at) != got.get(..at) || !letters {
            return false;
        }
        of_this.push(value.to_owned());
        (want, got) = (&want[at + filled.len()..], &got[at + length..]);
    }
}
