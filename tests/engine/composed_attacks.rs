//! Composed pages, attacked: by one who wants another visitor's content, a shell as it is stored, a
//! minted value that is kept, or the origin to act for a visitor.
#![allow(clippy::expect_used)]

use std::rc::Rc;

use edge_isr::base::time::Seconds;
use edge_isr::config::{Config, ForwardHeaders, Route};

use crate::composed_origin::{Bit, OWN_TOKEN, Origin, SITE, part, text};
use crate::world::{Isolate, Script, Seen, request};

const PAGE: &str = "https://example.com/p/1/";
const PERSONAL: &str = "https://example.com/_edge_isr/personal?n=part.0";
const SESSION: (&str, &str) = ("cookie", "sessionid=ada");

fn is_inline(seen: &Seen) -> bool {
    seen.text().contains(OWN_TOKEN) && !seen.text().contains("eIsR")
}

fn is_hit(seen: &Seen) -> bool {
    seen.cache_status().starts_with("edge-isr;hit")
}

fn with_parts(route: Route) -> Rc<Origin> {
    let origin = Origin::new(route);
    origin.shows(vec![
        text("<p>"),
        Bit::Personal(0, vec![text("Log in "), Bit::Token(0)]),
        text("</p>"),
        Bit::Nonce,
    ]);
    origin
}

/// Whoever waits for the same fetch, too.
#[test]
fn a_known_visitor_who_waits_for_nobodys_page_gets_their_own() {
    for audience in ["anonymous", "all"] {
        let origin = with_parts(Route::default());
        origin.audience.set(audience);
        origin.changed(|_, script| script.delay = 300);
        let isolate = origin.isolate("ams");
        let seen: Vec<Seen> = {
            let isolates = (isolate.clone(), isolate.clone(), isolate.clone());
            origin.world.run(async move {
                let ask = |cookie| request("GET", PAGE, &[("cookie", cookie)]);
                let (a, b, c) = futures_util::future::join3(
                    isolates.0.ask(ask("_ga=1")),
                    isolates.1.ask(ask("sessionid=ada")),
                    isolates.2.ask(ask("sessionid=bob")),
                )
                .await;
                vec![a, b, c]
            })
        };
        assert!(seen[0].text().starts_with("<p>Log in "), "{audience}: {}", seen[0].text());
        for (seen, name) in seen[1..].iter().zip(["ada", "bob"]) {
            let want = format!("<p>{}</p>", part("part.0", name));
            assert!(seen.text().starts_with(&want), "{audience} {name}: {}", seen.text());
        }
    }
}

#[test]
fn forged_fields_reach_nobody_on_any_path() {
    const FORGED: &[(&str, &str)] = &[
        ("x-edge-isr-personal", "id=\"forged\""),
        ("x-edge-isr-personal", "id=\"forged\""),
        ("x_edge-isr_personal", "id=\"forged\""),
        ("x_edge_isr_compose", "forged"),
        ("x-edge-isr-compose", "forged"),
        ("x-edge-isr-compose", "v=1"),
        ("x-edge-isr-origin-auth", "forged"),
        ("connection", "x-edge-isr-personal, x-edge-isr-compose, x-edge-isr-origin-auth"),
    ];
    type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)]);
    let rows: &[Row] = &[
        ("GET", PAGE, &[]),
        ("GET", PAGE, &[SESSION]),
        ("GET", PAGE, &[("range", "bytes=0-1")]),
        ("GET", PAGE, &[("if-none-match", "\"a\""), SESSION]),
        ("GET", PAGE, &[("if-match", "\"a\"")]),
        ("GET", PAGE, &[("x-api-key", "a")]),
        ("GET", PAGE, &[("authorization", "a")]),
        ("GET", PAGE, &[("accept", "text/event-stream")]),
        ("GET", PAGE, &[("upgrade", "websocket")]),
        ("HEAD", PAGE, &[SESSION]),
        ("POST", PAGE, &[SESSION]),
        ("OPTIONS", PAGE, &[]),
        ("GET", PERSONAL, &[SESSION]),
        ("HEAD", PERSONAL, &[SESSION]),
        ("POST", PERSONAL, &[SESSION]),
        ("GET", "https://example.com/_edge_isr/%70ersonal?n=part.0", &[SESSION]),
        ("GET", "https://example.com/_edge_isr//personal?n=part.0", &[SESSION]),
        ("GET", "https://example.com/pass/", &[SESSION]),
    ];
    for (compose, audience) in [(true, "all"), (true, "anonymous"), (false, "all")] {
        for (method, url, more) in rows {
            let origin = with_parts(Route { ttl: Some(Seconds(60)), ..Route::default() });
            origin.audience.set(audience);
            let names = ["x-edge-isr-personal", "x-edge-isr-compose"].map(str::to_owned);
            let forward_headers = ForwardHeaders::Listed(names.to_vec());
            let defaults = Route { compose, forward_headers, ..origin.config.defaults.clone() };
            let config = Config { defaults, ..origin.config.clone() };
            let isolate = Isolate::new(&origin.world, &config, "ams");
            let all: Vec<_> = FORGED.iter().chain(*more).copied().collect();
            for _ in 0..2 {
                let seen = isolate.send(method, url, &all);
                assert!(!seen.text().contains("eIsR"), "{method} {url} {more:?}");
            }
            for reached in origin.world.reached.borrow().iter() {
                let said = format!("{compose} {method} {url} {more:?}: {:?}", reached.fields);
                assert!(!said.contains("forged"), "{said}");
                assert!(reached.fields.iter().all(|(name, _)| !name.contains('_')), "{said}");
                let is_page =
                    reached.target.starts_with("/_edge_isr/personal?") && *url != PERSONAL;
                let personal = reached.fields.all("x-edge-isr-personal").count();
                assert_eq!(personal, usize::from(is_page), "{said}");
                let shell: Vec<_> = reached.fields.all("x-edge-isr-compose").collect();
                assert!(shell.is_empty() || shell == ["v=1"] && compose, "{said}");
                assert!(shell.is_empty() || !reached.fields.has("cookie"), "{said}");
            }
        }
    }
}

#[test]
fn the_personal_path_is_neither_kept_nor_shared() {
    for compose in [true, false] {
        let origin = with_parts(Route { ttl: Some(Seconds(60)), ..Route::default() });
        let defaults = Route { compose, ..origin.config.defaults.clone() };
        let config = Config { defaults, ..origin.config.clone() };
        // An origin that says that everyone may keep it.
        origin.changed(|_, script| {
            script.delay = 100;
            script.fields.set("cache-control", "public, s-maxage=600");
        });
        let isolate = Isolate::new(&origin.world, &config, "ams");
        let (one, two) = (isolate.clone(), isolate.clone());
        origin.world.run(async move {
            let ask = || request("GET", PERSONAL, &[]);
            futures_util::future::join(one.ask(ask()), two.ask(ask())).await
        });
        for method in ["GET", "HEAD", "GET"] {
            let seen = isolate.send(method, PERSONAL, &[]);
            assert!(!is_hit(&seen), "{}", seen.cache_status());
            assert!(seen.cache_status().contains("personal-path"), "{}", seen.cache_status());
        }
        assert_eq!(origin.reached().len(), 5);
    }
}

#[test]
fn a_marker_in_a_field_is_no_shell() {
    for (name, nonce) in [("link", true), ("x-token", false), ("content-security-policy", false)] {
        let origin = Origin::new(Route::default());
        origin.changed(move |_, script| {
            let Some(value) = script.fields.get("x-edge-isr-compose").map(str::to_owned) else {
                return;
            };
            let marker = value.split('"').nth(1).unwrap_or_default();
            let placeholder = if nonce { "n00" } else { "t00" };
            script.fields.append(name, format!("'nonce-{marker}{placeholder}'"));
        });
        let isolate = origin.isolate("ams");
        for method in ["GET", "HEAD", "GET"] {
            let seen = isolate.send(method, PAGE, &[]);
            assert!(method == "HEAD" || is_inline(&seen), "{name}: {}", seen.text());
            assert!(seen.fields.iter().all(|(_, value)| !value.contains("eIsR")), "{name}");
        }
    }
}

/// A shell in the colo and in the world, met by isolates that never saw its origin's answer.
#[test]
fn nothing_of_a_shell_is_seen_in_any_tier() {
    let origin = with_parts(Route { request_directives: true, ..Route::default() });
    origin.more.replace(", sie=86400".to_owned());
    origin.isolate("ams").get(PAGE, &[]);
    let off = Config {
        defaults: Route { compose: false, ..origin.config.defaults.clone() },
        ..origin.config.clone()
    };
    let fields: &[&[(&str, &str)]] = &[
        &[],
        &[SESSION],
        &[("if-none-match", "*")],
        &[("range", "bytes=0-9")],
        &[("cache-control", "only-if-cached")],
        &[("cache-control", "no-store")],
        &[("cache-control", "no-cache"), SESSION],
        &[("accept-encoding", "gzip")],
    ];
    for failing in [false, true] {
        if failing {
            origin.world.pass(2_000_000);
            origin.changed(|_, script| *script = Script::new(503, &[], "down"));
        }
        for colo in ["ams", "fra"] {
            for config in [&origin.config, &off] {
                for method in ["GET", "HEAD", "GET"] {
                    let isolate = Isolate::new(&origin.world, config, colo);
                    for fields in fields {
                        let seen = isolate.send(method, PAGE, fields);
                        assert!(!seen.text().contains("eIsR"), "{colo} {method} {fields:?}");
                        for (name, value) in seen.fields.iter() {
                            assert!(!value.contains("eIsR"), "{colo} {method}: {name}");
                        }
                        assert!(!matches!(seen.status, 206 | 304), "{colo} {method} {fields:?}");
                        let kept = seen.fields.get("cache-control").unwrap_or_default();
                        let kept = kept.contains("no-store") || kept == "private, no-cache";
                        assert!(kept || seen.status != 200, "{colo} {method} {fields:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn pages_and_jobs_reveal_nothing_of_a_shell() {
    let origin = with_parts(Route::default());
    let isolate = origin.isolate("ams");
    for _ in 0..2 {
        isolate.get(PAGE, &[]);
    }
    for path in ["/v1/tags/posts/pages".to_owned(), format!("/v1/pages?url={SITE}/p/1/")] {
        let seen = isolate.operate("GET", &path, "");
        assert!(!seen.text().contains("eIsR"), "{}", seen.text());
        for (name, value) in seen.fields.iter() {
            assert!(!value.contains("eIsR"), "{name}");
        }
    }
}

/// No cookie of a visitor goes along with any of the edge's own requests for a page.
#[test]
fn refreshes_that_a_known_visitor_begins_have_no_cookie() {
    let cookies = "sessionid=ada; lang=de; csrftoken=abc; messages=m";
    for (key, sent) in [(None, ""), (Some("lang".to_owned()), "lang=de")] {
        let origin =
            with_parts(Route { key_cookies: key.into_iter().collect(), ..Route::default() });
        let isolate = origin.isolate("ams");
        for _ in 0..2 {
            isolate.get(PAGE, &[("cookie", cookies)]);
            origin.world.pass(301_000);
        }
        let requests = origin.reached();
        let pages: Vec<_> = requests.iter().filter(|(target, ..)| target == "/p/1/").collect();
        assert!(pages.iter().any(|(_, shell, _)| *shell));
        for (_, shell, cookie) in pages {
            assert_eq!(cookie, if *shell { sent } else { cookies });
        }
    }
}

/// Edge Side Includes in a shell or in a part are text, whoever wrote them.
#[test]
fn esi_in_a_composed_page_is_text() {
    let origin = Origin::new(Route { esi: true, ..Route::default() });
    let include = "<esi:include src=\"/fragment/\"/>";
    origin.shows(vec![text(include), Bit::Personal(0, vec![text(include)]), Bit::Token(0)]);
    origin.changed(move |reached, script| {
        script.fields.set("surrogate-control", "content=\"ESI/1.0\"");
        if reached.target.starts_with("/_edge_isr/personal") {
            let body = String::from_utf8_lossy(&script.pieces[0].1).replace("<b>", include);
            let body = body.replace("src=\"", "src=\\\"").replace("/\"/>", "/\\\"/>");
            script.pieces[0].1 = body.into_bytes();
        }
    });
    let isolate = origin.isolate("ams");
    for fields in [vec![], vec![SESSION], vec![("cookie", "sessionid=ada; messages=m")]] {
        let seen = isolate.get(PAGE, &fields);
        assert_eq!(seen.text().matches(include).count(), 2, "{fields:?}: {}", seen.text());
    }
    assert!(origin.reached().iter().all(|(target, ..)| target != "/fragment/"));
}

/// What was made for a visitor stands in their answer alone.
#[test]
fn what_is_made_is_neither_logged_nor_kept() {
    let origin = with_parts(Route::default());
    origin.changed(|reached, script| {
        if reached.target.starts_with("/_edge_isr/personal") {
            script.fields.append("set-cookie", "messages=ofAda");
        }
    });
    let isolate = origin.isolate("ams");
    let mut made = Vec::new();
    for cookie in ["_ga=1", "sessionid=ada", "sessionid=ada; messages=m", "sessionid=bob"] {
        let seen = isolate.get(PAGE, &[("cookie", cookie)]);
        let line = seen.fields.get("set-cookie").expect("the secret in force").to_owned();
        made.push(line["csrftoken=".len()..][..32].to_owned());
        made.push(seen.text()[seen.text().len() - 32..].to_owned());
        let is_theirs = seen.fields.all("set-cookie").any(|line| line.contains("ofAda"));
        assert_eq!(is_theirs, cookie.contains("messages"), "{cookie}");
    }
    made.sort();
    made.dedup();
    assert_eq!(made.len(), 8, "each has its own");
    made.extend(["ofAda", "of ada", "sessionid=ada"].map(str::to_owned));
    let colos = origin.world.stored_text();
    for value in made {
        assert!(!origin.world.lines.borrow().join("\n").contains(&value), "logged: {value}");
        assert!(!colos.contains(&value), "kept: {value}");
    }
}

/// What the origin says to unknown visitors says nothing of what a known visitor gets.
#[test]
fn what_is_not_stored_of_nobody_is_no_answer_for_a_known_visitor() {
    type Answer = fn() -> Script;
    let rows: [(&str, Answer); 6] = [
        ("maintenance for all but staff", || Script::new(503, &[], "down")),
        ("a limit", || Script::new(429, &[("retry-after", "60")], "slow down")),
        ("a large page, as it says", || {
            let large = "x".repeat(3_000);
            let length = [("cache-control", "s-maxage=60"), ("content-length", "3000")];
            Script::new(200, &length, &large)
        }),
        ("a large page", || {
            let mut script = Script::new(200, &[("cache-control", "s-maxage=60")], "x");
            script.pieces.push((50, vec![b'x'; 3_000]));
            script
        }),
        ("a redirect to the log-in", || Script::new(302, &[("location", "/in/")], "")),
        ("a page that only some may see", || Script::new(404, &[], "")),
    ];
    for (what, answer) in rows {
        let origin = Origin::new(Route::default());
        origin.changed(move |reached, script| {
            if !reached.fields.has("cookie") {
                *script = answer();
            }
        });
        let config = Config { max_body: 1_000, ..origin.config.clone() };
        let isolate = Isolate::new(&origin.world, &config, "ams");
        for _ in 0..3 {
            let seen = isolate.get(PAGE, &[SESSION]);
            assert!(is_inline(&seen), "{what}: {} {}", seen.status, seen.cache_status());
            isolate.get(PAGE, &[]);
        }
    }
}

/// Freshness of a shell stands in its field alone, and what lost that field is no page.
#[test]
fn caches_before_the_origin_can_not_make_a_shell_public() {
    for field in ["cdn-cache-control", "cloudflare-cdn-cache-control", "surrogate-control"] {
        let origin =
            Origin::new(Route { ttl: Some(Seconds(60)), heuristics: true, ..Route::default() });
        origin.changed(move |_, script| script.fields.set(field, "max-age=86400"));
        let isolate = origin.isolate("ams");
        let seen = isolate.get(PAGE, &[]);
        assert!(seen.text().starts_with("<form>") && !is_inline(&seen));
        origin.world.pass(1_000);
        let seen = isolate.get(PAGE, &[]);
        assert!(seen.cache_status().contains("ttl=299"), "{field}: {}", seen.cache_status());
        assert!(seen.fields.get(field).is_none_or(|value| value == "no-store"), "{field}");
        // The same, and the field is lost.
        origin.changed(move |_, script| {
            script.fields.set(field, "max-age=86400");
            script.fields.remove("x-edge-isr-compose");
        });
        for _ in 0..2 {
            let seen = isolate.get(&format!("{SITE}/p/2/"), &[]);
            assert!(is_inline(&seen), "{field}: {}", seen.text());
        }
    }
}

/// Cookies by which the site knows a visitor, though the route does not.
#[test]
fn who_has_a_cookie_that_the_shell_names_is_not_one_of_the_anonymous() {
    let origin = with_parts(Route::default());
    origin.audience.set("anonymous");
    origin.changed(|_, script| {
        if let Some(value) = script.fields.get("x-edge-isr-compose") {
            let value = value.replace("\"sessionid\"", "\"sid\"");
            script.fields.set("x-edge-isr-compose", value);
        }
    });
    let isolate = origin.isolate("ams");
    isolate.get(PAGE, &[]);
    origin.reached();
    let seen = isolate.get(PAGE, &[("cookie", "sid=ada")]);
    assert!(!is_hit(&seen), "{}", seen.cache_status());
    assert_eq!(origin.reached(), [("/p/1/".to_owned(), false, "sid=ada".to_owned())]);
}

/// … also of a page without parts.
#[test]
fn a_page_without_parts_shows_who_is_not_anonymous() {
    let origin = Origin::new(Route::default());
    origin.audience.set("anonymous");
    origin.more.replace(", cookies=(\"sid\")".to_owned());
    let isolate = origin.isolate("ams");
    isolate.get(PAGE, &[]);
    assert!(is_hit(&isolate.get(PAGE, &[])));
    origin.reached();
    let seen = isolate.get(PAGE, &[("cookie", "sid=ada")]);
    assert!(!is_hit(&seen) && is_inline(&seen), "{}", seen.cache_status());
    assert_eq!(origin.reached(), [("/p/1/".to_owned(), false, "sid=ada".to_owned())]);
}

/// A token in a fragment would have no cookie, and be kept for as long as the page around it.
#[test]
fn a_composed_page_is_no_fragment() {
    let origin = Origin::new(Route { esi: true, ..Route::default() });
    origin.changed(|reached, script| {
        if reached.target == "/outer/" {
            let fields = [
                ("cache-control", "max-age=600"),
                ("surrogate-control", "max-age=300, content=\"ESI/1.0\""),
                ("content-type", "text/html; charset=utf-8"),
            ];
            let body = "[<esi:include src=\"/p/1/\"/>]";
            *script = Script::new(200, &fields, body);
        }
    });
    let isolate = origin.isolate("ams");
    for _ in 0..2 {
        let seen = isolate.get(&format!("{SITE}/outer/"), &[]);
        assert_eq!(seen.text(), "[]", "{}", seen.cache_status());
    }
    assert!(origin.world.lines.borrow().iter().any(|line| line.contains("fragment-composed")));
}
