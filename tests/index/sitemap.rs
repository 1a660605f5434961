//! Sitemaps (sitemaps.org protocol 0.9): what is read of them, and why one is refused.

#![allow(clippy::unwrap_used, clippy::panic)]

use edge_isr::index::sitemap::{
    Kind, MAX_BYTES, MAX_ENTRIES, MAX_LOC_BYTES, SitemapError as Error, SitemapReader,
};
use proptest::prelude::*;

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// Reads a file that arrives in pieces of some length.
fn read_in(pieces: usize, bytes: &[u8]) -> Result<(Kind, Vec<String>), Error> {
    let mut reader = SitemapReader::default();
    let mut found = Vec::new();
    for piece in bytes.chunks(pieces.max(1)) {
        reader.feed(piece, &mut found)?;
    }
    Ok((reader.end()?, found))
}

fn read(text: &str) -> Result<(Kind, Vec<String>), Error> {
    let whole = read_in(usize::MAX, text.as_bytes());
    for pieces in [1, 2, 3, 7, 64] {
        assert_eq!(read_in(pieces, text.as_bytes()), whole, "in pieces of {pieces}: {text}");
    }
    whole
}

#[test]
fn what_is_read() {
    let urls = |list: &[&str]| list.iter().map(|&url| url.to_owned()).collect::<Vec<_>>();
    let rows: &[(&str, String, Kind, &[&str])] = &[
        (
            "the protocol's own example",
            format!(
                "{HEAD}<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n <url>\n  \
                 <loc>http://www.example.com/</loc>\n  <lastmod>2005-01-01</lastmod>\n  \
                 <changefreq>monthly</changefreq>\n  <priority>0.8</priority>\n </url>\n</urlset>\n"
            ),
            Kind::Pages,
            &["http://www.example.com/"],
        ),
        (
            "an index",
            format!(
                "{HEAD}<sitemapindex><sitemap><loc>https://a/1.xml.gz</loc></sitemap>\
                 <sitemap><loc>https://a/2.xml</loc><lastmod>2004</lastmod></sitemap></sitemapindex>"
            ),
            Kind::Sitemaps,
            &["https://a/1.xml.gz", "https://a/2.xml"],
        ),
        (
            "entities, numeric ones too",
            "<urlset><url><loc>http://a/?q=1&amp;r=&#39;&#x27;&lt;&gt;&quot;&apos;</loc></url></urlset>"
                .to_owned(),
            Kind::Pages,
            &["http://a/?q=1&r=''<>\"'"],
        ),
        (
            "CDATA, comments, instructions, white space",
            "\u{feff}<?xml version='1.0'?><!-- <url> -->\n<urlset>\n<?x <loc> ?><url><loc>\n \
             http://a/<![CDATA[b?c=1&d=2]]><!-- > -->/e \n</loc></url>\n</urlset>\n<!-- end -->"
                .to_owned(),
            Kind::Pages,
            &["http://a/b?c=1&d=2/e"],
        ),
        (
            "extensions have addresses of their own",
            "<urlset xmlns:image='u'><url><loc>http://a/</loc><image:image><image:loc>http://i/</image:loc>\
             </image:image><image:loc>http://no/</image:loc><x><loc>http://no/</loc></x></url></urlset>"
                .to_owned(),
            Kind::Pages,
            &["http://a/"],
        ),
        (
            "a prefix",
            "<s:urlset xmlns:s='u'><s:url><s:loc>http://a/</s:loc></s:url><url><loc>http://no/</loc></url>\
             </s:urlset>"
                .to_owned(),
            Kind::Pages,
            &["http://a/"],
        ),
        ("no entries", "<urlset/>".to_owned(), Kind::Pages, &[]),
        (
            "a > in an attribute",
            "<urlset a='>' b=\"/>\"><url c = '\"'><loc >http://a/</loc ></url ></urlset >".to_owned(),
            Kind::Pages,
            &["http://a/"],
        ),
        (
            "names outside ASCII",
            "<urlset><url><loc>http://a/é</loc><ö:ß/></url></urlset>".to_owned(),
            Kind::Pages,
            &["http://a/é"],
        ),
    ];
    for (name, text, kind, want) in rows {
        assert_eq!(read(text), Ok((*kind, urls(want))), "{name}");
    }
}

#[test]
fn what_is_refused() {
    let malformed = |line, what| Error::Malformed { line, what };
    let rows = [
        ("", Error::Empty),
        ("  \n ", Error::Empty),
        ("<!-- nothing -->", Error::Empty),
        ("<urlset><url><loc>http://a/</loc></url>", Error::Truncated),
        ("<urlset><url><loc>http://a/</lo", Error::Truncated),
        ("<urlset></urlset><!-- ", Error::Truncated),
        ("not a sitemap", Error::Truncated),
        ("text<urlset/>", malformed(1, "text outside the root element")),
        ("<urlset/>\n<urlset/>", malformed(2, "a second root element")),
        ("<urlset/>\n\n<![CDATA[]]>", malformed(3, "text outside the root element")),
        ("<urlset>\n<url>\n</urlset>", Error::Mismatch { line: 3, open: "url".to_owned() }),
        ("</urlset>", malformed(1, "a tag closes what is not open")),
        ("<urlset>\n<url <loc>", malformed(2, "a < inside a tag")),
        ("<urlset><1></urlset>", malformed(1, "this is no name of an element")),
        ("<urlset>< url></urlset>", malformed(1, "this is no name of an element")),
        ("<urlset><!ELEMENT a></urlset>", malformed(1, "an unknown declaration")),
        ("<urlset><![IGNORE[]]></urlset>", malformed(1, "this is no CDATA section")),
        (
            "<urlset><url><loc>http://a/?a=1&b=2</loc></url></urlset>",
            malformed(1, "an & without its ;"),
        ),
        (
            "<urlset><url><loc>http://a/&nbsp;</loc></url></urlset>",
            malformed(1, "an unknown entity: write &amp;"),
        ),
        (
            "<urlset><url><loc>&#xD800;</loc></url></urlset>",
            malformed(1, "an unknown entity: write &amp;"),
        ),
        (
            "<urlset><url><loc>&#+65;</loc></url></urlset>",
            malformed(1, "an unknown entity: write &amp;"),
        ),
        // Entities of its own: a few lines could grow to gigabytes.
        (
            "<!DOCTYPE lolz [<!ENTITY lol \"lol\">]><urlset><url><loc>&lol;</loc></url></urlset>",
            Error::DocumentType,
        ),
        ("<?xml version='1.0' encoding='ISO-8859-1'?><urlset/>", Error::Encoding),
        ("<rss version='2.0'></rss>", Error::OtherRoot("rss".to_owned())),
        ("<html><body>Not found</body></html>", Error::OtherRoot("html".to_owned())),
        ("<s:urlsets/>", Error::OtherRoot("s:urlsets".to_owned())),
        ("<urlset>\n<url></url></urlset>", Error::NoLoc { line: 2 }),
        ("<urlset>\n<url/></urlset>", Error::NoLoc { line: 2 }),
        ("<urlset><url><loc> </loc></url></urlset>", Error::NoLoc { line: 1 }),
    ];
    for (text, want) in rows {
        assert_eq!(read(text), Err(want), "{text}");
    }
    for bytes in [&b"\xff\xfe<\0u\0"[..], b"\xfe\xff\0<\0u", b"<\0u\0r\0l\0s\0e\0t\0"] {
        assert_eq!(read_in(9, bytes), Err(Error::Encoding));
    }
    let latin = b"<urlset><url><loc>http://a/\xe9</loc></url></urlset>";
    assert_eq!(read_in(9, latin), Err(Error::Encoding));
}

#[test]
fn the_protocols_limits() {
    let entry = |loc: &str| format!("<url><loc>{loc}</loc></url>");
    let longest = format!("http://a/{}", "x".repeat(MAX_LOC_BYTES - 10));
    let longer = format!("{longest}x");
    assert_eq!(longest.len(), MAX_LOC_BYTES - 1);
    let file = |loc: &str| format!("<urlset>{}</urlset>", entry(loc));
    assert_eq!(read(&file(&longest)), Ok((Kind::Pages, vec![longest.clone()])));
    assert_eq!(read(&file(&longer)), Err(Error::LongLoc { line: 1 }));

    let of = |count: u32| format!("<urlset>{}</urlset>", entry("http://a/").repeat(count as usize));
    let most = read_in(65_536, of(MAX_ENTRIES).as_bytes()).unwrap();
    assert_eq!(most.1.len(), MAX_ENTRIES as usize);
    assert_eq!(read_in(65_536, of(MAX_ENTRIES + 1).as_bytes()), Err(Error::TooMany));

    // What came before counts, and nothing of what is too much is looked at.
    let begin = b"<urlset>";
    let rest = vec![b' '; MAX_BYTES as usize + 1 - begin.len()];
    for (rest, want) in [
        (rest.as_slice(), Error::TooLarge),
        (&rest[1..], Error::Malformed { line: 1, what: "this is too long" }),
    ] {
        let (mut reader, mut found) = (SitemapReader::default(), Vec::new());
        reader.feed(begin, &mut found).unwrap();
        assert_eq!(reader.feed(rest, &mut found), Err(want));
    }
}

#[test]
fn what_never_ends_is_refused() {
    for (begin, what) in
        [("<urlset ", "a='"), ("<urlset>", "x"), ("<!--", "x"), ("<![CDATA[", "x"), ("<?", "x")]
    {
        let mut reader = SitemapReader::default();
        let mut found = Vec::new();
        reader.feed(begin.as_bytes(), &mut found).unwrap();
        let piece = what.repeat(4_096);
        let refused = (0..100).find_map(|_| reader.feed(piece.as_bytes(), &mut found).err());
        let want = Error::Malformed { line: 1, what: "this is too long" };
        assert_eq!(refused, Some(want), "{begin}");
    }
    let deep = format!("<urlset>{}", "<a>".repeat(1_000));
    let want = Error::Malformed { line: 1, what: "elements stand too deep in one another" };
    assert_eq!(read_in(100, deep.as_bytes()), Err(want));
}

#[test]
fn errors_name_what_is_wrong() {
    let rows = [
        (Error::Empty, "sitemap-empty"),
        (
            Error::Malformed { line: 7, what: "an & without its ;" },
            "sitemap-malformed line 7: an & without its ;",
        ),
        (
            Error::Mismatch { line: 2, open: "url".to_owned() },
            "sitemap-malformed line 2: a tag closes another element than <url>",
        ),
        (
            Error::OtherRoot("rss".to_owned()),
            "sitemap-other-root <rss>: expected <urlset> or <sitemapindex>",
        ),
        (Error::NoLoc { line: 3 }, "sitemap-no-loc line 3: an entry has no <loc>"),
        (
            Error::LongLoc { line: 4 },
            "sitemap-long-loc line 4: an address has fewer than 2048 bytes",
        ),
        (Error::TooLarge, "sitemap-too-large: a file has at most 52428800 bytes"),
        (Error::TooMany, "sitemap-too-many: a file has at most 50000 entries"),
        (Error::Truncated, "sitemap-truncated"),
        (Error::DocumentType, "sitemap-document-type"),
        (Error::Encoding, "sitemap-encoding"),
    ];
    for (error, want) in rows {
        assert_eq!(error.to_string(), want);
        assert!(want.starts_with(error.as_str()));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_alike_however_they_arrive(
        bytes in prop::collection::vec(
            prop::sample::select(b"<>/!-[]?&;# \n'\"=aurlsetoc:\xc3\xa9".to_vec()), 0..120),
        cut in 1usize..20,
    ) {
        prop_assert_eq!(read_in(cut, &bytes), read_in(usize::MAX, &bytes));
    }

    #[test]
    fn any_addresses_come_back(locs in prop::collection::vec("https?://[a-z]{1,5}/[^\\x00-\\x20\\x7f]{0,30}", 0..6)) {
        let escape = |loc: &String| loc.replace('&', "&amp;").replace('<', "&lt;");
        let entries: String =
            locs.iter().map(|loc| format!("<url><loc>{}</loc></url>", escape(loc))).collect();
        let (kind, found) = read(&format!("{HEAD}<urlset>{entries}</urlset>")).unwrap();
        let trimmed: Vec<String> = locs.iter().map(|loc| loc.trim().to_owned()).collect();
        prop_assert_eq!((kind, found), (Kind::Pages, trimmed));
    }
}
