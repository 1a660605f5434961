//! A purge that is answered with success has purged: for every API, every spelling of an address
//! (RFC 3986 §6.2.2) and of a tag, and whatever a client may send. What is not understood is
//! refused with a reason.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::cell::Cell;
use std::rc::Rc;

use crate::world::{Isolate, Script, Seen, World, request};
use edge_isr::config::Config;
use edge_isr::control::Secrets;
use edge_isr::front_caches::parse_config;

const TOKEN: &str = "a-token-of-its-own";
const FRESH: &str = "max-age=300";

fn config() -> Config {
    parse_config(
        r#"{"shards": 2, "control_hosts": ["purge.example.com"],
            "host_aliases": {"example.com": "www.example.com"}}"#,
    )
    .unwrap()
}

fn secrets() -> Secrets {
    Secrets::parse("", &format!("ci:revalidate:{TOKEN}")).unwrap()
}

/// A site with one page stored, under the tag.
fn site(page: &str, tag: &'static str) -> (Rc<World>, Isolate) {
    let world = World::new(&config());
    let renders = Rc::new(Cell::new(0));
    world.origin(move |_| {
        renders.set(renders.get() + 1);
        let fields = [("cdn-cache-control", FRESH), ("surrogate-key", tag)];
        Ok(Script::new(200, &fields, &format!("render {}", renders.get())))
    });
    let isolate = Isolate::new(&world, &config(), "ams");
    isolate.get(page, &[]);
    world.pass(100);
    assert!(isolate.get(page, &[]).cache_status().contains("hit"), "{page}");
    (world, isolate)
}

/// Whether a call purged the page: so if it was a success, and not if it was refused.
fn purges(page: &str, tag: &'static str, call: &Sent) -> Result<(), Seen> {
    let (world, isolate) = site(page, tag);
    let head = request(call.method, &call.url, &fields(&call.fields));
    let seen = isolate.take(head, &call.body, &secrets());
    let shown = format!("{} {} {:?} {}", call.method, call.url, call.fields, call.body);
    world.pass(1_000);
    let after = isolate.get(page, &[]).text();
    if seen.status < 300 {
        assert_ne!(after, "render 1", "{page} with {tag}: success without effect: {shown}");
        return Ok(());
    }
    assert!((400..500).contains(&seen.status), "{}: {shown}", seen.status);
    assert!(seen.text().len() > 20, "no reason: {shown}");
    assert_eq!(after, "render 1", "{page}: refused with effect: {shown}");
    Err(seen)
}

/// A call.
struct Sent {
    method: &'static str,
    url: String,
    fields: Vec<(String, String)>,
    body: String,
}

fn fields(owned: &[(String, String)]) -> Vec<(&str, &str)> {
    owned.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn sent(method: &'static str, url: String, extra: &[(&str, &str)], body: String) -> Sent {
    let bearer = ("authorization".to_owned(), format!("Bearer {TOKEN}"));
    let extra = extra.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    Sent { method, url, fields: extra.chain([bearer]).collect(), body }
}

const API: &str = "https://www.example.com/__isr";

/// What each API calls a page; `address` without a scheme.
fn calls_for_a_page(address: &str) -> Vec<Sent> {
    let list = |text: &str| serde_json::to_string(&[text]).unwrap();
    let (full, short) = (list(&format!("https://{address}")), list(address));
    let none: &[(&str, &str)] = &[];
    vec![
        sent("POST", format!("{API}/v1/revalidate"), none, format!(r#"{{"urls":{full}}}"#)),
        sent(
            "POST",
            format!("{API}/cloudflare/zones/z/purge_cache"),
            none,
            format!(r#"{{"files":{full}}}"#),
        ),
        sent("POST", format!("{API}/fastly/purge/{address}"), none, String::new()),
        sent(
            "DELETE",
            format!("{API}/keycdn/zones/purgeurl/1.json"),
            none,
            format!(r#"{{"urls":{short}}}"#),
        ),
        sent("PURGE", format!("http://{address}"), none, String::new()),
        sent("POST", format!("{API}/purge/{address}"), none, String::new()),
        sent("BAN", format!("https://{address}"), none, String::new()),
        sent("POST", format!("{API}/ban/{address}"), none, String::new()),
    ]
}

/// What each API calls a tag.
fn calls_for_a_tag(tag: &str) -> Vec<Sent> {
    let none: &[(&str, &str)] = &[];
    let body = format!(r#"{{"tags":["{tag}"]}}"#);
    let key = [("surrogate-key", tag)];
    vec![
        sent("POST", format!("{API}/cloudflare/zones/z/purge_cache"), none, body.clone()),
        sent("POST", format!("{API}/v1/revalidate"), none, body.clone()),
        sent("POST", format!("{API}/fastly/service/s/purge/{tag}"), none, String::new()),
        sent("POST", format!("{API}/fastly/service/s/purge"), &key, String::new()),
        sent("DELETE", format!("{API}/keycdn/zones/purgetag/1.json"), none, body),
        sent("PURGE", "https://www.example.com/".to_owned(), &key, String::new()),
        sent("BAN", "https://www.example.com/".to_owned(), &key, String::new()),
    ]
}

#[test]
fn every_spelling_of_an_address_is_the_page() {
    let spellings =
        ["/%7Ezoe/caf%C3%A9/a%2Fb", "/~zoe/caf%c3%a9/a%2fb", "/%7ezo%65/caf%C3%a9/a%2Fb"];
    let hosts = [
        "www.example.com",
        "www.example.com:443",
        "www.example.com:80",
        "www.example.com.",
        "www.example.com.:443",
        "example.com",
        "example.com.",
    ];
    for stored in ["www.example.com", "www.example.com.", "example.com:80"] {
        let page = format!("https://{stored}{}", spellings[0]);
        for (at, host) in hosts.into_iter().enumerate() {
            let path = spellings[at % spellings.len()];
            for call in calls_for_a_page(&format!("{host}{path}")) {
                assert!(purges(&page, "a", &call).is_ok(), "{} {}", call.method, call.url);
            }
        }
    }
    let page = "https://www.example.com/%7Ezoe/?name=%7e%c3%a9";
    for query in ["name=~%C3%A9", "name=%7E%C3%a9", "utm_source=x&name=%7e%c3%a9"] {
        for call in calls_for_a_page(&format!("www.example.com/~zoe/?{query}")) {
            assert!(purges(page, "a", &call).is_ok(), "{} {}", call.method, call.url);
        }
    }
}

#[test]
fn an_address_that_names_no_page_is_refused() {
    let page = "https://www.example.com/blog/1";
    let odd = [
        "www.example.com/blog/*",
        "www.example.com/*/1",
        "www.example.com/blog/1?*",
        "www.example.com/blog/1*",
        "*.example.com/blog/1",
        "www.exämple.com/blog/1",
        "",
        "/blog/1",
        "user@www.example.com/blog/1",
        "www.example.com:99999/blog/1",
    ];
    for address in odd {
        for call in calls_for_a_page(address) {
            // What a server would not get as a request line.
            if !matches!(call.method, "PURGE" | "BAN") || address.starts_with("www.example.com/") {
                let _ = purges(page, "a", &call);
            }
        }
    }
    // A fragment is of the client alone (RFC 3986 §3.5).
    for call in calls_for_a_page("www.example.com/blog/1#part") {
        if call.body.contains('#') {
            assert!(purges(page, "a", &call).is_ok(), "{}", call.url);
        }
    }
}

#[test]
fn a_control_host_has_no_pages_on_any_port() {
    let (_, isolate) = site("https://www.example.com/blog/1", "a");
    for host in ["purge.example.com", "purge.example.com:8443", "purge.example.com."] {
        let url = format!("https://{host}/blog/1");
        let seen = isolate.take(request("GET", &url, &[]), "", &secrets());
        assert_eq!(seen.status, 404, "{host}");
        let purge = sent("PURGE", url, &[], String::new());
        let refused = purges("https://www.example.com/blog/1", "a", &purge).unwrap_err();
        assert!(refused.text().contains("control host"), "{host}");
    }
}

#[test]
fn letter_case_of_a_tag_says_nothing_where_the_api_ignores_it() {
    for (stored, named) in [("post:1", "POST:1"), ("Post:1", "pOST:1"), ("POST:1", "post:1")] {
        let calls = calls_for_a_tag(named);
        assert!(purges("https://www.example.com/blog/1", stored, &calls[0]).is_ok(), "{named}");
    }
    // Elsewhere it says what it says.
    for (at, call) in calls_for_a_tag("post:1").iter().enumerate() {
        assert!(purges("https://www.example.com/blog/1", "post:1", call).is_ok(), "{at}");
        let small = site("https://www.example.com/blog/1", "post:1").1;
        let other = &calls_for_a_tag("POST:1")[at];
        let head = request(other.method, &other.url, &fields(&other.fields));
        small.take(head, &other.body, &secrets());
        let hit = small.get("https://www.example.com/blog/1", &[]).cache_status().contains("hit");
        assert_eq!(hit, at != 0, "{at}");
    }
}

#[test]
fn tags_and_patterns_in_fields_that_are_not_read_are_refused() {
    let fields = [
        "cache-tags",
        "x-cache-tag",
        "edge-cache-tag",
        "x-key-tags",
        "xkey-purge",
        "xkey-softpurge",
        "x-xkey",
        "surrogate-keys",
        "x-magento-tags-pattern",
        "purge-cache-tags",
        "x-invalidate-tags",
        "x-purge-regex",
        "x-ban-expression",
        "x-tag",
    ];
    for method in ["PURGE", "BAN"] {
        for field in fields {
            let url = "https://www.example.com/other/page".to_owned();
            let call = sent(method, url, &[(field, "post:1")], String::new());
            let refused = purges("https://www.example.com/blog/1", "post:1", &call);
            let seen = refused.expect_err(field);
            assert!(seen.text().contains(field), "{}", seen.text());
        }
    }
    for (path, value, purged) in [
        ("/blog/.*", "regex", true),
        ("/bl.g/1", "regex", true),
        ("/blog/1", "exact", true),
        ("/blog/1", "default", true),
        ("/blog/1", "soft-regex", false),
    ] {
        let url = format!("https://www.example.com{path}");
        let call = sent("PURGE", url, &[("x-purge-method", value)], String::new());
        let seen = purges("https://www.example.com/blog/1", "a", &call);
        assert_eq!(seen.is_ok(), purged, "{path} {value}");
    }
}

/// These APIs know no trial: a call that is meant as one does nothing.
#[test]
fn a_dry_run_is_refused_where_there_is_none() {
    let page = "https://www.example.com/blog/1";
    let calls = [
        ("POST", "fastly/service/s/purge/a", ""),
        ("POST", "fastly/service/s/purge", r#"{"surrogate_keys":["a"]}"#),
        ("POST", "fastly/service/s/purge_all", ""),
        ("POST", "cloudflare/zones/z/purge_cache", r#"{"tags":["a"]}"#),
        ("DELETE", "keycdn/zones/purgetag/1.json", r#"{"tags":["a"]}"#),
        ("GET", "keycdn/zones/purge/1.json", ""),
        ("POST", "v1/revalidate", r#"{"tags":["a"]}"#),
    ];
    for (method, path, body) in calls {
        for query in ["dry_run", "dry_run=1", "a=b&dry-run=true", "dryRun=1"] {
            let url = format!("{API}/{path}?{query}");
            let seen = purges(page, "a", &sent(method, url, &[], body.to_owned()));
            assert!(seen.is_err(), "{path} {query}");
        }
    }
}

#[test]
fn empty_lists_and_wrong_types_are_refused() {
    let page = "https://www.example.com/blog/1";
    let at = |path: &str| format!("{API}/{path}");
    let bodies = [
        "",
        "null",
        "[]",
        "{}",
        r#"{"tags":[]}"#,
        r#"{"tags":null}"#,
        r#"{"tags":"a"}"#,
        r#"{"tags":[1]}"#,
        r#"{"tags":[""]}"#,
        r#"{"tags":[null]}"#,
        r#"{"tags":["a,b c"]}"#,
        r#"{"urls":[]}"#,
        r#"{"urls":{}}"#,
        r#"{"urls":[[]]}"#,
        r#"{"files":[{}]}"#,
        r#"{"files":[{"url":""}]}"#,
        r#"{"hosts":["*"]}"#,
        r#"{"hosts":["https://www.example.com"]}"#,
        r#"{"hosts":[""]}"#,
        r#"{"prefixes":[""]}"#,
        r#"{"all":false}"#,
        r#"{"all":1}"#,
        r#"{"purge_everything":false}"#,
        r#"{"purge_everything":"true"}"#,
        r#"{"surrogate_keys":[]}"#,
        r#"{"surrogate_keys":"a"}"#,
        r#"["a"]"#,
        r#""a""#,
        r#"{"keys":["a"]}"#,
        r#"{"Tags":["a"]}"#,
        r#"{"tags":["a"],"tags":[]}"#,
    ];
    let calls = [
        ("POST", at("v1/revalidate")),
        ("POST", at("cloudflare/zones/z/purge_cache")),
        ("POST", at("fastly/service/s/purge")),
        ("DELETE", at("keycdn/zones/purgetag/1.json")),
        ("DELETE", at("keycdn/zones/purgeurl/1.json")),
    ];
    for (method, url) in calls {
        for body in bodies {
            let _ = purges(page, "a", &sent(method, url.clone(), &[], body.to_owned()));
        }
    }
    // What is named beside what is read is not left out.
    let both = sent(
        "DELETE",
        at("keycdn/zones/purgeurl/1.json"),
        &[],
        r#"{"urls":["www.example.com/other"],"tags":["a"]}"#.to_owned(),
    );
    assert!(purges(page, "a", &both).is_err());
    let key = [("surrogate-key", "other")];
    let both =
        sent("POST", at("fastly/service/s/purge"), &key, r#"{"surrogate_keys":["a"]}"#.to_owned());
    assert!(purges(page, "a", &both).is_ok());
}
