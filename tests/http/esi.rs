//! Edge Side Includes (ESI Language Specification 1.0): what of a body is text, and where an
//! include leads.

use crate::http_support::{fields, request};
use edge_isr::cache::esi::address::{AddressError, address};
use edge_isr::cache::esi::{EsiFault, EsiPiece, EsiReader, MAX_TAG_BYTES};
use edge_isr::config::{Config, parse};
use edge_isr::http::targeted::asks_for_esi;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// What the reader makes of a body: text, and each include as `{src}`, or `{src?}` where it may
/// fail.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Option<EsiFault>) {
    let (mut reader, mut found) = (EsiReader::default(), Vec::new());
    for piece in pieces {
        reader.push(piece, &mut found);
    }
    reader.end(&mut found);
    let mut shown = Vec::new();
    for piece in found {
        match piece {
            EsiPiece::Text(bytes) => {
                assert!(!bytes.is_empty());
                shown.extend(bytes);
            }
            EsiPiece::Include(include) => {
                let mark = if include.may_fail { "?" } else { "" };
                shown.extend(format!("{{{}{mark}}}", include.src).into_bytes());
            }
        }
    }
    (shown, reader.fault())
}

const MALFORMED: Option<EsiFault> = Some(EsiFault::Malformed);
const UNKNOWN: Option<EsiFault> = Some(EsiFault::Unknown);
const UNCLOSED: Option<EsiFault> = Some(EsiFault::Unclosed);

/// A body, what is made of it, and what is wrong with it.
const ROWS: &[(&str, &str, Option<EsiFault>)] = &[
    ("", "", None),
    ("<p>nothing of it</p>", "<p>nothing of it</p>", None),
    // esi:include
    ("a<esi:include src=\"/m\"/>b", "a{/m}b", None),
    ("<esi:include src='/m' />", "{/m}", None),
    ("<esi:include src=\"/m\">", "{/m}", None),
    ("<esi:include src=\"/m\"></esi:include>b", "{/m}b", None),
    ("<esi:include src=\"/m\"></esi:include >b", "{/m}b", None),
    ("<esi:include\n\tsrc = \"/m\"\n/>", "{/m}", None),
    ("<esi:include src=\"/m\" onerror=\"continue\"/>", "{/m?}", None),
    ("<esi:include onerror='continue' src='/m'/>", "{/m?}", None),
    ("<esi:include src=\"/m\" onerror=\"stop\"/>", "{/m}", None),
    ("<esi:include src=\"/m\" alt=\"/n\" ttl=\"1m\"/>", "{/m}", None),
    ("<esi:include src=\"/m?a=1&amp;b=&lt;&gt;&quot;&apos;\"/>", "{/m?a=1&b=<>\"'}", None),
    ("<esi:include src=\"/m?a=1&b=2&copy;\"/>", "{/m?a=1&b=2&copy;}", None),
    ("<esi:include src=\"/m>n\"/>", "{/m>n}", None),
    ("<esi:include src=\"/größe/日本\"/>", "{/größe/日本}", None),
    ("<a title=\"<esi:include src='/m'/>\">", "<a title=\"{/m}\">", None),
    ("<script>x = \"<esi:include src='/m'/>\"</script>", "<script>x = \"{/m}\"</script>", None),
    ("<<esi:include src='/m'/>>", "<{/m}>", None),
    // … that can't be read: text.
    ("<esi:include/>", "<esi:include/>", MALFORMED),
    ("<esi:include src=/m/>", "<esi:include src=/m/>", MALFORMED),
    ("<esi:include src/>", "<esi:include src/>", MALFORMED),
    ("<esi:include src=\"/m/>x", "<esi:include src=\"/m/>x", MALFORMED),
    (
        "<esi:include src=\"/m\"onerror=\"continue\"/>",
        "<esi:include src=\"/m\"onerror=\"continue\"/>",
        MALFORMED,
    ),
    ("<esi:include src=\"/m\" src=\"/n\"/>", "<esi:include src=\"/m\" src=\"/n\"/>", MALFORMED),
    ("<esi:include \"/m\" src=\"/n\"/>", "<esi:include \"/m\" src=\"/n\"/>", MALFORMED),
    ("<esi:include src=\"/m<b>\"/>", "<esi:include src=\"/m<b>\"/>", MALFORMED),
    ("<esi:include <esi:include src=\"/m\"/>", "<esi:include {/m}", MALFORMED),
    ("<esi:include src=\"/m\"", "<esi:include src=\"/m\"", MALFORMED),
    ("<esi:", "<esi:", MALFORMED),
    ("<esi", "<esi", None),
    ("<", "<", None),
    // esi:remove
    ("a<esi:remove>b<esi:include src='/m'/></esi:remove>c", "ac", None),
    ("a<esi:remove>b</esi:remove\n >c", "ac", None),
    ("a<esi:remove><!-- </esi:remove>c -->", "ac -->", None),
    ("a<esi:remove>b</esi:removed></esi:remove x></esi:remove>c", "ac", None),
    ("a<esi:remove/>b", "ab", None),
    ("a<esi:remove>b<esi:remove>c</esi:remove>d", "ad", None),
    ("a<esi:remove>b", "a", UNCLOSED),
    ("a<esi:remove>b</esi:remove", "a", UNCLOSED),
    ("a</esi:remove>b", "a</esi:remove>b", UNKNOWN),
    // esi:comment
    ("a<esi:comment text=\"b > c\"/>d", "ad", None),
    ("a<esi:comment text=\"b\"></esi:comment>d", "ad", None),
    // <!--esi -->
    ("a<!--esi b-->c", "a bc", None),
    ("a<!--esi\n<esi:include src='/m'/>-->c", "a\n{/m}c", None),
    ("a<!--esi<esi:include src='/m'/>-->c", "a{/m}c", None),
    (
        "<!--esi <!-- <esi:include src='/m'/> --> b -->c",
        " <!-- <esi:include src='/m'/> --> b c",
        None,
    ),
    ("<!--esi <!--esi b --> c --> d -->", "  b  c  d -->", None),
    ("<!--esi a-b--c->d-->-", " a-b--c->d-", None),
    ("<!--esi <esi:include src='/m' -->c", " <esi:include src='/m' c", MALFORMED),
    ("<!--esi a", " a", UNCLOSED),
    ("<!--esi", "<!--esi", None),
    ("<!--esiology <esi:include src='/m'/>-->", "<!--esiology <esi:include src='/m'/>-->", None),
    ("a-->b", "a-->b", None),
    // Comments of HTML and CDATA are text.
    (
        "<!-- <esi:include src='/m'/> --><esi:include src='/n'/>",
        "<!-- <esi:include src='/m'/> -->{/n}",
        None,
    ),
    ("<!--><esi:include src='/m'/>", "<!-->{/m}", None),
    ("<!---><esi:include src='/m'/>", "<!--->{/m}", None),
    ("<!-- <esi:include src='/m'/>", "<!-- <esi:include src='/m'/>", None),
    ("<![CDATA[<esi:remove>]]><esi:remove>x</esi:remove>", "<![CDATA[<esi:remove>]]>", None),
    ("<![CDATA[<esi:remove>]]", "<![CDATA[<esi:remove>]]", None),
    ("<!DOCTYPE html><esi:include src='/m'/>", "<!DOCTYPE html>{/m}", None),
    // Elements that are not known, and what only looks like one.
    ("<esi:vars>$(HTTP_COOKIE)</esi:vars>", "<esi:vars>$(HTTP_COOKIE)</esi:vars>", UNKNOWN),
    (
        "<esi:try><esi:attempt><esi:include src='/m'/></esi:attempt></esi:try>",
        "<esi:try><esi:attempt>{/m}</esi:attempt></esi:try>",
        UNKNOWN,
    ),
    (
        "<esi:inline name='/x' fetchable='yes'>y</esi:inline>",
        "<esi:inline name='/x' fetchable='yes'>y</esi:inline>",
        UNKNOWN,
    ),
    ("<esi:includes src='/m'/>", "<esi:includes src='/m'/>", UNKNOWN),
    ("<esi:include:x src='/m'/>", "<esi:include:x src='/m'/>", UNKNOWN),
    ("<ESI:INCLUDE SRC='/m'/>", "<ESI:INCLUDE SRC='/m'/>", None),
    ("&lt;esi:include src='/m'/&gt;", "&lt;esi:include src='/m'/&gt;", None),
    ("<e<es<esi<<esi:comment/>", "<e<es<esi<", None),
];

#[test]
fn bodies_in_one_piece() {
    for (given, want, fault) in ROWS {
        let (shown, found) = read([given.as_bytes()]);
        assert_eq!(String::from_utf8_lossy(&shown), *want, "{given}");
        assert_eq!(found, *fault, "{given}");
    }
}

#[test]
fn wherever_a_body_is_cut_it_is_the_same() {
    for (given, want, fault) in ROWS {
        let bytes = given.as_bytes();
        for size in 1..=bytes.len().max(1) {
            let (shown, found) = read(bytes.chunks(size));
            assert_eq!(String::from_utf8_lossy(&shown), *want, "{given} in pieces of {size}");
            assert_eq!(found, *fault, "{given} in pieces of {size}");
        }
        for cut in 0..=bytes.len() {
            let (one, other) = bytes.split_at(cut);
            assert_eq!(String::from_utf8_lossy(&read([one, other]).0), *want, "{given} at {cut}");
        }
    }
}

#[test]
fn a_tag_is_held_up_to_its_longest_and_no_longer() {
    let tag = |length: usize| {
        let frame = "<esi:include src=\"\"/>".len();
        format!("<esi:include src=\"{}\"/>", "x".repeat(length - frame))
    };
    let longest = tag(MAX_TAG_BYTES);
    assert!(read([longest.as_bytes()]).0.starts_with(b"{xx"));
    let longer = tag(MAX_TAG_BYTES + 1);
    for size in [1, 7, MAX_TAG_BYTES, MAX_TAG_BYTES + 1] {
        let (shown, fault) = read(longer.as_bytes().chunks(size));
        assert_eq!((shown.as_slice(), fault), (longer.as_bytes(), MALFORMED), "{size}");
    }
    let space = " ".repeat(MAX_TAG_BYTES * 2);
    let body = format!("a<esi:remove>b</esi:remove{space}>c</esi:remove>d");
    for size in [1, 7, MAX_TAG_BYTES, body.len()] {
        assert_eq!(read(body.as_bytes().chunks(size)).0, b"ad", "{size}");
    }
    // What is no tag is not held.
    let (mut reader, mut found) = (EsiReader::default(), Vec::new());
    reader.push(b"a<b>\xe6\x97", &mut found);
    assert_eq!(found, [EsiPiece::Text(b"a<b>\xe6\x97".to_vec())]);
}

fn repeatable() -> ProptestConfig {
    ProptestConfig {
        rng_seed: RngSeed::Fixed(2001),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Bytes that are often made of pieces that mean something.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..6),
        prop::sample::select(vec![
            "<esi:include src=\"/m\"/>",
            "<esi:include ",
            "src='/m'",
            "onerror=\"continue\"",
            "<esi:remove>",
            "</esi:remove>",
            "<esi:comment text='x'/>",
            "</esi:include>",
            "<esi:vars>",
            "<!--esi",
            "<!--esi ",
            "<!--",
            "-->",
            "<![CDATA[",
            "]]>",
            "<",
            ">",
            "/>",
            "\"",
            "'",
            "-",
            "größe",
            "日本",
        ])
        .prop_map(|text: &str| text.as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(repeatable())]

    #[test]
    fn any_body_is_the_same_however_it_is_cut(
        bytes in body(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]);
        prop_assert_eq!(read(pieces), read([bytes.as_slice()]));
        prop_assert_eq!(read(bytes.chunks(1)), read([bytes.as_slice()]));
    }

    #[test]
    fn what_is_not_esi_is_byte_for_byte_the_same(bytes in body()) {
        let text = String::from_utf8_lossy(&bytes);
        if !["<esi:", "</esi:", "<!--esi"].iter().any(|mark| text.contains(mark)) {
            prop_assert_eq!(read([bytes.as_slice()]), (bytes, None));
        }
    }
}

#[test]
fn surrogate_control_asks_for_it() {
    for (value, want) in [
        ("content=\"ESI/1.0\"", true),
        ("max-age=60, content=\"ESI/1.0\"", true),
        ("no-store, Content = \"ESI/1.0\"", true),
        ("content=\"ESI-INV/1.0 ESI/1.0\"", true),
        ("content=\"ESI/1.0\";edge-isr", true),
        ("content=\"ESI/1.0\" ; EDGE-ISR", true),
        ("content=\"ESI/1.0\";akamai", false),
        ("content=\"ESI/1.0\", content=\"x\";edge-isr", false),
        ("content=\"x\", content=\"ESI/1.0\";edge-isr", true),
        ("content=\"ESI/1.0", false),
        ("content=\"ESI/1.0x\"", false),
        ("content=\"ESI/2.0\"", false),
        ("content", false),
        ("contents=\"ESI/1.0\"", false),
        ("x=\"content=\\\"ESI/1.0\\\"\"", false),
        ("max-age=60", false),
        ("", false),
    ] {
        let fields = fields(&format!("Surrogate-Control: {value}"));
        assert_eq!(asks_for_esi(&fields), want, "{value}");
    }
    let lines = fields("Surrogate-Control: max-age=60|Surrogate-Control: content=\"ESI/1.0\"");
    assert!(asks_for_esi(&lines));
}

#[allow(clippy::expect_used, reason = "settings that are written wrong fail the test")]
fn site(settings: &str) -> Config {
    parse(settings, &[]).expect("settings")
}

fn leads(src: &str) -> Result<String, AddressError> {
    let rule = |path: &str| format!(r#"{{"path": "{path}", "action": "bypass"}}"#);
    let settings = format!(r#"{{"routes": [{}, {}]}}"#, rule("/admin/*"), rule("/account"));
    let page = request("GET /blog/post?x=1", "Cookie: sessionid=1");
    address(src, &page, &site(&settings)).map(|found| match found.query {
        Some(query) => format!("{}?{query}", found.path),
        None => found.path,
    })
}

#[test]
fn an_include_leads_to_a_page_of_its_own_host() {
    for (src, want) in [
        ("/menu", "/menu"),
        ("/menu?a=1&b=2", "/menu?a=1&b=2"),
        ("/menu?", "/menu"),
        ("/menu#part", "/menu"),
        ("menu", "/blog/menu"),
        ("../menu", "/menu"),
        ("../../../menu", "/menu"),
        ("?y=2", "/blog/post?y=2"),
        ("https://example.com/menu", "/menu"),
        ("https://EXAMPLE.com:443/menu", "/menu"),
        ("//example.com/menu", "/menu"),
        ("https:/menu", "/menu"),
        ("/größe", "/gr%C3%B6%C3%9Fe"),
        ("/a'b|c", "/a'b|c"),
        ("/administration", "/administration"),
        ("/__isrx", "/__isrx"),
    ] {
        assert_eq!(leads(src).as_deref(), Ok(want), "{src}");
    }
}

#[test]
fn an_include_never_leads_anywhere_else() {
    use AddressError::{Bypass, Malformed, OtherHost, OtherScheme, Reserved, TooLong};
    for (src, want) in [
        ("", Malformed),
        ("/a b", Malformed),
        ("/a\tb", Malformed),
        ("/a\u{0}b", Malformed),
        ("/a\r\nHost: evil.example", Malformed),
        ("\\\\evil.example\\a", Malformed),
        ("/\\evil.example/a", Malformed),
        ("/u/$(HTTP_COOKIE{sessionid})", Malformed),
        ("https://", Malformed),
        ("http://example.com/menu", OtherScheme),
        ("ftp://example.com/menu", OtherScheme),
        ("file:///etc/passwd", OtherScheme),
        ("data:text/html,x", OtherScheme),
        ("javascript:alert(1)", OtherScheme),
        ("https://evil.example/menu", OtherHost),
        ("https://example.com.evil.example/menu", OtherHost),
        ("https://example.com:8443/menu", OtherHost),
        ("https://example.com@evil.example/", OtherHost),
        ("https://user:pass@example.com/menu", OtherHost),
        ("//evil.example/menu", OtherHost),
        ("///evil.example/menu", Malformed),
        ("https:///evil.example/menu", OtherHost),
        ("http://169.254.169.254/latest/meta-data", OtherScheme),
        ("//[::1]/menu", OtherHost),
        ("//127.1/menu", OtherHost),
        ("/__isr", Reserved),
        ("/__isr/v1/pages?url=x", Reserved),
        ("/x/../__isr/metrics", Reserved),
        ("/%5f%5fisr/metrics", Reserved),
        ("/%255F_isr/metrics", Reserved),
        ("//example.com//__isr/metrics", Reserved),
        ("/.//__isr;x=1/metrics", Reserved),
        ("/__ISR/metrics", Reserved),
        ("/cdn-cgi/trace", Reserved),
        ("/admin/", Bypass),
        ("/admin/users?x=1", Bypass),
        ("../admin/users", Bypass),
        ("/x/%2e%2e/admin/users", Bypass),
        ("/x%2f..%2fadmin/users", Bypass),
        ("/%61dmin/users", Bypass),
        ("/%2561dmin/users", Bypass),
        ("//example.com//admin//users", Bypass),
        ("/admin;x=1/users", Bypass),
        ("/account%00", Bypass),
        ("/account%3fx", Bypass),
    ] {
        assert_eq!(leads(src), Err(want), "{src}");
    }
    assert_eq!(leads(&format!("/{}", "x".repeat(20_000))), Err(TooLong));
    // Encoding makes it longer.
    assert_eq!(leads(&format!("/{}", "ö".repeat(3_000))), Err(TooLong));
}
