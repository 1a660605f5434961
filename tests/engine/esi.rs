//! Edge Side Includes: pages that are put together of fragments, each of them stored as a page of
//! its own.

#![allow(clippy::expect_used, reason = "a test")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::world::{Isolate, Reached, Script, Seen, World, request};
use edge_isr::base::time::Millis;
use edge_isr::config::{Config, parse};
use edge_isr::engine::port::OriginError;
use edge_isr::journal::Mode;

const SITE: &str = "https://example.com";
const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");
const ESI: (&str, &str) = ("surrogate-control", "max-age=300, content=\"ESI/1.0\"");
const FRESH: (&str, &str) = ("cdn-cache-control", "max-age=300");

/// A site: how each path is answered, and how often it was asked for.
#[derive(Clone, Default)]
struct Site {
    pages: Rc<RefCell<BTreeMap<String, Answers>>>,
    requests: Rc<RefCell<BTreeMap<String, usize>>>,
}

type Answers = Rc<dyn Fn(&Reached) -> Result<Script, OriginError>>;

impl Site {
    fn page(
        &self,
        path: &str,
        answers: impl Fn(&Reached) -> Result<Script, OriginError> + 'static,
    ) {
        self.pages.borrow_mut().insert(path.to_owned(), Rc::new(answers));
    }

    /// A page that asks for ESI.
    fn esi(&self, path: &str, body: &str) {
        let body = body.to_owned();
        let fields = [HTML, ESI, ("etag", "\"1\""), ("cache-control", "max-age=60")];
        self.page(path, move |_| Ok(Script::new(200, &fields, &body)));
    }

    /// A page that is text.
    fn plain(&self, path: &str, body: &str) {
        let body = body.to_owned();
        self.page(path, move |_| Ok(Script::new(200, &[HTML, FRESH], &body)));
    }

    fn requests(&self, path: &str) -> usize {
        self.requests.borrow().get(path).copied().unwrap_or_default()
    }
}

fn config() -> Config {
    let settings = r#"{
        "log": "problems", "shards": 2,
        "defaults": {"esi": true},
        "routes": [
            {"path": "/admin/*", "action": "bypass"},
            {"path": "/text/*", "esi": false},
            {"path": "/keyed/*", "forward_headers": ["X-Tenant"], "key_cookies": ["currency"]}
        ]
    }"#;
    parse(settings, &[]).expect("settings")
}

fn start() -> (Rc<World>, Site, Isolate) {
    let (world, site) = (World::new(&config()), Site::default());
    let answers = site.clone();
    world.origin(move |reached| {
        let path = reached.target.split('?').next().unwrap_or_default().to_owned();
        *answers.requests.borrow_mut().entry(path.clone()).or_default() += 1;
        let page = answers.pages.borrow().get(&path).cloned();
        page.map_or_else(|| Ok(Script::new(404, &[HTML], "nothing here")), |page| page(reached))
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    (world, site, isolate)
}

fn get(isolate: &Isolate, path: &str) -> Seen {
    isolate.get(&format!("{SITE}{path}"), &[])
}

/// The reasons in the log, each with what it is about.
fn fragment_failures(world: &World) -> Vec<String> {
    let lines = world.lines.borrow();
    let reason = |line: &String| {
        let line: serde_json::Value = serde_json::from_str(line).expect("a line");
        let of =
            |name: &str| line.get(name).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
        ["fragment-failed", "esi-fault"]
            .contains(&of("event").as_str())
            .then(|| format!("{} {}", of("reason"), of("fragment")).trim().to_owned())
    };
    lines.iter().filter_map(reason).collect()
}

#[test]
fn a_changed_fragment_of_many_pages_is_fetched_once() {
    let (world, site, isolate) = start();
    let menu = Rc::new(RefCell::new("one"));
    let shown = Rc::clone(&menu);
    site.page("/menu", move |_| {
        let fields = [HTML, FRESH, ("x-edge-isr-tags", "menu")];
        Ok(Script::new(200, &fields, &format!("[menu {}]", shown.borrow())))
    });
    for n in 0..50 {
        site.esi(&format!("/p{n}"), &format!("<h1>{n}</h1><esi:include src=\"/menu\"/><p>"));
    }
    for n in 0..50 {
        assert_eq!(get(&isolate, &format!("/p{n}")).text(), format!("<h1>{n}</h1>[menu one]<p>"));
    }
    assert_eq!((site.requests("/menu"), site.requests("/p7")), (1, 1));
    *menu.borrow_mut() = "two";
    world.invalidate("menu", Mode::Hard);
    world.pass(3_000);
    for n in 0..50 {
        let seen = get(&isolate, &format!("/p{n}"));
        assert_eq!(seen.text(), format!("<h1>{n}</h1>[menu two]<p>"));
        assert!(seen.cache_status().starts_with("edge-isr;hit"), "{}", seen.cache_status());
    }
    assert_eq!((site.requests("/menu"), site.requests("/p7")), (2, 1));
    assert_eq!(fragment_failures(&world), Vec::<String>::new());
}

#[test]
fn a_fragment_is_asked_for_without_anything_of_the_visitor() {
    let (world, site, isolate) = start();
    site.esi("/page", "a<esi:include src='/keyed/f?x=1'/>b<esi:include src='/own'/>");
    site.plain("/keyed/f", "[f]");
    site.page("/own", |_| {
        let fields = [HTML, ("cache-control", "private"), ("set-cookie", "s=1")];
        Ok(Script::new(200, &fields, "[own]"))
    });
    let fields = [
        ("cookie", "sessionid=secret; currency=eur; csrftoken=x"),
        ("x-tenant", "t1"),
        ("x-api-key", "secret"),
        ("accept-language", "de"),
        ("accept-encoding", "gzip, br"),
        ("referer", "https://example.com/secret"),
        ("range", "bytes=0-3"),
        ("if-none-match", "\"1\""),
        ("user-agent", "browser"),
    ];
    // The page passes, because of its cookie; what it includes does not.
    let seen = isolate.get(&format!("{SITE}/page"), &fields);
    assert_eq!((seen.status, seen.text()), (200, "a[f]b[own]".to_owned()));
    assert!(!seen.fields.has("set-cookie"));
    let reached = world.reached.borrow();
    let of = |path: &str| {
        reached.iter().rfind(|reached| reached.target.starts_with(path)).expect("a request")
    };
    let page = of("/page");
    assert!(page.fields.has("cookie") && !page.fields.has("range"));
    for path in ["/page", "/keyed/f", "/own"] {
        let fields = &of(path).fields;
        assert_eq!(fields.get("accept-encoding"), Some("identity"), "{path}");
        let capability = fields.get("surrogate-capability");
        assert_eq!(capability, Some("edge-isr=\"Surrogate/1.0 ESI/1.0\""), "{path}");
    }
    assert_eq!(of("/keyed/f").fields.get("x-tenant"), Some("t1"));
    for path in ["/keyed/f", "/own"] {
        for name in ["cookie", "authorization", "x-api-key", "referer", "if-none-match", "range"] {
            assert!(!of(path).fields.has(name), "{path}: {name}");
        }
    }
    assert!(!reached.iter().any(|reached| {
        !reached.target.starts_with("/page")
            && reached.fields.iter().any(|(_, value)| value.contains("secret"))
    }));
}

#[test]
fn an_answer_with_includes_has_no_validator_no_length_and_is_kept_by_browsers_alone() {
    let (_, site, isolate) = start();
    site.esi("/page", "a<esi:include src='/f'/>");
    site.plain("/f", "[f]");
    for method in ["GET", "GET", "HEAD"] {
        let conditions = [("if-none-match", "\"1\""), ("range", "bytes=0-0")];
        let seen = isolate.send(method, &format!("{SITE}/page"), &conditions);
        assert_eq!(seen.status, 200);
        let want = if method == "HEAD" { "" } else { "a[f]" };
        assert_eq!(seen.text(), want);
        for name in ["etag", "last-modified", "content-length", "accept-ranges"] {
            assert!(!seen.fields.has(name), "{method}: {name}");
        }
        assert_eq!(seen.fields.get("cdn-cache-control"), Some("no-store"));
        assert_eq!(seen.fields.get("surrogate-control"), Some("no-store"));
        let kept = seen.fields.joined("cache-control").unwrap_or_default();
        assert!(kept.contains("private"), "{kept}");
    }
    assert_eq!((site.requests("/page"), site.requests("/f")), (1, 1));
    let before = site.requests("/f");
    site.esi("/head", "<esi:include src='/never'/>");
    assert_eq!(isolate.send("HEAD", &format!("{SITE}/head"), &[]).status, 200);
    assert_eq!((site.requests("/never"), site.requests("/f")), (0, before));
}

#[test]
fn without_the_route_s_setting_and_the_answer_s_field_it_is_text() {
    let (_, site, isolate) = start();
    let body = "<p><esi:include src='/f'/><!--esi x --><esi:remove>y</esi:remove>";
    site.esi("/text/page", body);
    site.plain("/page", body);
    for path in ["/text/page", "/page"] {
        for _ in 0..2 {
            let seen = get(&isolate, path);
            assert_eq!(seen.text(), body, "{path}");
        }
    }
    assert_eq!(get(&isolate, "/text/page").fields.get("etag"), Some("\"1\""));
    // What a fragment says without asking is text, too: nobody's comment becomes an include.
    site.esi("/outer", "<esi:include src='/page'/>");
    assert_eq!(get(&isolate, "/outer").text(), body);
    assert_eq!(site.requests("/f"), 0);
}

/// How a fragment fails.
fn failing(path: &'static str) -> Result<Script, OriginError> {
    let text = |status: u16, fields: &[(&str, &str)]| Ok(Script::new(status, fields, "[bad]"));
    match path {
        "/500" => text(500, &[HTML]),
        "/404" => text(404, &[HTML]),
        "/302" => text(302, &[HTML, ("location", "/login")]),
        "/304" => text(304, &[]),
        "/206" => text(206, &[HTML, ("content-range", "bytes 0-4/9")]),
        "/large" => Ok(Script::new(200, &[HTML, FRESH], &"x".repeat(10 << 20))),
        "/binary" => text(200, &[("content-type", "image/png"), FRESH]),
        "/charset" => text(200, &[("content-type", "text/html; charset=iso-8859-1"), FRESH]),
        "/coded" => text(200, &[HTML, FRESH, ("content-encoding", "gzip")]),
        "/broken" => {
            let mut script = Script::new(200, &[HTML, FRESH], "[bad]");
            script.end = Err(OriginError::Broken);
            Ok(script)
        }
        "/down" => Err(OriginError::Unreachable),
        _ => Ok(Script::new(200, &[HTML, FRESH], "[late]").after(600_000)),
    }
}

#[test]
fn a_fragment_that_fails_is_left_out_and_logged() {
    for (path, reason) in [
        ("/500", "fragment-status"),
        ("/404", "fragment-status"),
        ("/302", "fragment-status"),
        ("/304", "fragment-status"),
        ("/206", "fragment-status"),
        ("/down", "fragment-status"),
        ("/large", "fragment-too-large"),
        ("/binary", "fragment-media-type"),
        ("/charset", "fragment-charset"),
        ("/coded", "fragment-coding"),
        ("/broken", "fragment-broken"),
        ("/never", "fragment-timeout"),
    ] {
        for onerror in ["", " onerror=\"continue\""] {
            let (world, site, isolate) = start();
            site.page(path, move |_| failing(path));
            site.plain("/good", "[good]");
            let body =
                format!("a<esi:include src=\"{path}\"{onerror}/>b<esi:include src='/good'/>c");
            site.esi("/page", &body);
            let began = world.now();
            let seen = get(&isolate, "/page");
            assert_eq!((seen.status, seen.text()), (200, "ab[good]c".to_owned()), "{path}");
            let took = world.now().since(began);
            assert!(took <= Millis(5_100), "{path}: {took:?}");
            let want =
                if onerror.is_empty() { vec![format!("{reason} {path}")] } else { Vec::new() };
            assert_eq!(fragment_failures(&world), want, "{path}{onerror}");
        }
    }
}

#[test]
fn what_a_fragment_sets_is_not_passed_on_and_what_it_lacks_is_nothing() {
    let (_, site, isolate) = start();
    site.esi(
        "/page",
        "a<esi:include src='/cookie'/>b<esi:include src='/empty'/>c<esi:include src='/bare'/>",
    );
    site.page("/cookie", |_| Ok(Script::new(200, &[HTML, ("set-cookie", "s=1")], "[cookie]")));
    site.page("/empty", |_| Ok(Script::new(204, &[], "")));
    site.page("/bare", |_| Ok(Script::new(200, &[FRESH], "[bare]")));
    let seen = get(&isolate, "/page");
    assert_eq!(seen.text(), "a[cookie]bc[bare]");
    assert!(!seen.fields.has("set-cookie"));
}

#[test]
fn an_include_that_leads_nowhere_is_left_out_before_anything_is_asked() {
    for (src, reason) in [
        ("https://evil.example/x", "src-other-host"),
        ("http://example.com/x", "src-other-scheme"),
        ("/__isr/metrics", "src-reserved"),
        ("/x/%2e%2e/admin/users", "src-bypass"),
        ("/x $(HTTP_COOKIE)", "src-malformed"),
    ] {
        let (world, site, isolate) = start();
        site.esi("/page", &format!("a<esi:include src=\"{src}\"/>b"));
        let seen = get(&isolate, "/page");
        assert_eq!((seen.status, seen.text()), (200, "ab".to_owned()));
        assert_eq!(fragment_failures(&world), [format!("{reason} {src}")]);
        assert_eq!(world.reached.borrow().len(), 1, "{src}");
        let again = get(&isolate, "/page");
        assert!(
            again.cache_status().ends_with("detail=fragment-failed"),
            "{}",
            again.cache_status()
        );
    }
}

#[test]
fn at_most_32_fragments_and_three_deep_and_never_in_itself() {
    let (world, site, isolate) = start();
    let includes: String = (0..33).map(|n| format!("<esi:include src='/f{n}'/>")).collect();
    for n in 0..33 {
        site.plain(&format!("/f{n}"), &format!("{n},"));
    }
    site.esi("/wide", &includes);
    let want: String = (0..32).map(|n| format!("{n},")).collect();
    assert_eq!(get(&isolate, "/wide").text(), want);
    assert_eq!(fragment_failures(&world), ["fragment-limit /f32"]);
    world.lines.borrow_mut().clear();

    for n in 0..5 {
        site.esi(&format!("/d{n}"), &format!("{n}<esi:include src='/d{}'/>", n + 1));
    }
    assert_eq!(get(&isolate, "/d0").text(), "0123");
    assert_eq!(fragment_failures(&world), ["fragment-depth /d4"]);
    assert_eq!(site.requests("/d4"), 0);
    world.lines.borrow_mut().clear();

    site.esi("/self", "s<esi:include src='/self?utm_source=x'/>t");
    assert_eq!(get(&isolate, "/self").text(), "st");
    site.esi("/one", "1<esi:include src='/two'/>");
    site.esi("/two", "2<esi:include src='/one'/>");
    assert_eq!(get(&isolate, "/one").text(), "12");
    assert_eq!(fragment_failures(&world), ["fragment-loop /self?[redacted]", "fragment-loop /one"]);
    world.lines.borrow_mut().clear();

    // 32 in each of 32: the origin is asked for 32.
    let many = |n: usize| -> String {
        (0..32).map(|m| format!("<esi:include src='/m{n}-{m}'/>")).collect()
    };
    for n in 0..32 {
        site.esi(&format!("/m0-{n}"), &many(n + 1));
    }
    site.esi("/many", &many(0));
    let before = world.reached.borrow().len();
    assert_eq!(get(&isolate, "/many").text(), "");
    assert_eq!(world.reached.borrow().len() - before, 33);
}

#[test]
fn malformed_esi_is_served_as_it_is_and_logged() {
    for (body, want, reason) in [
        ("a<esi:include src=/f>b", "a<esi:include src=/f>b", "esi-malformed"),
        ("a<esi:vars>$(X)</esi:vars>", "a<esi:vars>$(X)</esi:vars>", "esi-unknown"),
        ("a<esi:remove>b", "a", "esi-unclosed"),
    ] {
        let (world, site, isolate) = start();
        site.esi("/page", body);
        assert_eq!(get(&isolate, "/page").text(), want);
        assert_eq!(fragment_failures(&world), [reason]);
    }
}

#[test]
fn a_body_that_is_coded_all_the_same_goes_as_it_came() {
    let (world, site, isolate) = start();
    let fields = [HTML, ESI, ("content-encoding", "gzip"), ("etag", "\"1\"")];
    site.page("/page", move |_| Ok(Script::new(200, &fields, "\u{1f}<esi:include src='/f'/>")));
    for _ in 0..2 {
        let seen = get(&isolate, "/page");
        assert_eq!(seen.text(), "\u{1f}<esi:include src='/f'/>");
        assert_eq!(seen.fields.get("content-encoding"), Some("gzip"));
    }
    assert_eq!(
        (fragment_failures(&world), site.requests("/f")),
        (vec!["esi-coding".to_owned(); 2], 0)
    );
}

#[test]
fn a_page_that_arrives_in_pieces_is_sent_as_it_arrives() {
    let (_, site, isolate) = start();
    site.page("/page", |_| {
        let mut script = Script::new(200, &[HTML, ESI], "");
        script.pieces =
            [(0, "<p>gr\u{f6}"), (50, "\u{df}e<esi:inc"), (50, "lude src='/f'"), (50, "/></p>")]
                .map(|(pause, text)| (pause, text.as_bytes().to_vec()))
                .to_vec();
        Ok(script)
    });
    site.plain("/f", "[f]");
    for _ in 0..2 {
        assert_eq!(get(&isolate, "/page").text(), "<p>größe[f]</p>");
    }
    // One that breaks off breaks off.
    site.page("/broken", |_| {
        let mut script = Script::new(200, &[HTML, ESI], "a<esi:include src='/f'/>b");
        script.end = Err(OriginError::Broken);
        Ok(script)
    });
    assert_eq!(get(&isolate, "/broken").body, Err(OriginError::Broken));
}

#[test]
fn fragments_of_a_page_are_shared_by_those_who_ask_at_once() {
    let (world, site, isolate) = start();
    site.esi("/page", "<esi:include src='/f'/><esi:include src='/f'/>");
    site.page("/f", |_| Ok(Script::new(200, &[HTML, FRESH], "[f]").after(100)));
    let slots: Vec<_> = (0..10)
        .map(|_| {
            let (isolate, head) = (isolate.clone(), request("GET", &format!("{SITE}/page"), &[]));
            world.start(async move { isolate.ask(head).await })
        })
        .collect();
    world.pass(1_000);
    for seen in slots {
        assert_eq!(seen.borrow_mut().take().expect("an answer").text(), "[f][f]");
    }
    assert_eq!((site.requests("/page"), site.requests("/f")), (1, 1));
}
