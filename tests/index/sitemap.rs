//! Sitemaps (sitemaps.org protocol 0.9): what is read of them, and why one is refused.

#![allow(clippy::unwrap_used, clippy::panic)]

use edge_isr::index::sitemap::{
    MAX_BYTES, MAX_ENTRIES, MAX_LOC_BYTES, SitemapEntry, SitemapError as Error, SitemapKind,
    SitemapReader,
};
use proptest::prelude::*;

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

type Read = Result<(SitemapKind, Vec<SitemapEntry>), Error>;

/// Reads a file that arrives in pieces of some length.
fn read_in(pieces: usize, bytes: &[u8]) -> Read {
    let mut reader = SitemapReader::default();
    let mut found = Vec::new();
    for piece in bytes.chunks(pieces.max(1)) {
        reader.feed(piece, &mut found)?;
    }
    Ok((reader.end(&mut found)?, found))
}

fn good(urls: &[&str]) -> Vec<SitemapEntry> {
    urls.iter().map(|&url| Ok(url.to_owned())).collect()
}

fn read(text: &str) -> Read {
    let whole = read_in(usize::MAX, text.as_bytes());
    for pieces in [1, 2, 3, 7, 64] {
        assert_eq!(read_in(pieces, text.as_bytes()), whole, "in pieces of {pieces}: {text}");
    }
    whole
}

#[test]
fn what_is_read() {
    let rows: &[(&str, String, SitemapKind, &[&str])] = &[
        (
            "the protocol's own example",
            format!(
                "{HEAD}<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n <url>\n  \
                 <loc>http://www.example.com/</loc>\n  <lastmod>2005-01-01</lastmod>\n  \
                 <changefreq>monthly</changefreq>\n  <priority>0.8</priority>\n </url>\n</urlset>\n"
            ),
            SitemapKind::Pages,
            &["http://www.example.com/"],
        ),
        (
            "UTF-8 under another name",
            "<?xml version='1.0' encoding='utf8'?><urlset><url><loc>https://a/1</loc></url></urlset>"
                .to_owned(),
            SitemapKind::Pages,
            &["https://a/1"],
        ),
        (
            "an index",
            format!(
                "{HEAD}<sitemapindex><sitemap><loc>https://a/1.xml.gz</loc></sitemap>\
                 <sitemap><loc>https://a/2.xml</loc><lastmod>2004</lastmod></sitemap></sitemapindex>"
            ),
            SitemapKind::Sitemaps,
            &["https://a/1.xml.gz", "https://a/2.xml"],
        ),
        (
            "entities, numeric ones too",
            "<urlset><url><loc>http://a/?q=1&amp;r=&#39;&#x27;&lt;&gt;&quot;&apos;</loc></url></urlset>"
                .to_owned(),
            SitemapKind::Pages,
            &["http://a/?q=1&r=''<>\"'"],
        ),
        (
            "CDATA, comments, instructions, white space",
            "\u{feff}<?xml version='1.0'?><!-- <url> -->\n<urlset>\n<?x <loc> ?><url><loc>\n \
             http://a/<![CDATA[b?c=1&d=2]]><!-- > -->/e \n</loc></url>\n</urlset>\n<!-- end -->"
                .to_owned(),
            SitemapKind::Pages,
            &["http://a/b?c=1&d=2/e"],
        ),
        (
            "extensions have addresses of their own",
            "<urlset xmlns:image='u'><url><loc>http://a/</loc><image:image><image:loc>http://i/</image:loc>\
             </image:image><image:loc>http://no/</image:loc><x><loc>http://no/</loc></x></url></urlset>"
                .to_owned(),
            SitemapKind::Pages,
            &["http://a/"],
        ),
        (
            "a prefix",
            "<s:urlset xmlns:s='u'><s:url><s:loc>http://a/</s:loc></s:url><url><loc>http://no/</loc></url>\
             </s:urlset>"
                .to_owned(),
            SitemapKind::Pages,
            &["http://a/"],
        ),
        ("no entries", "<urlset/>".to_owned(), SitemapKind::Pages, &[]),
        (
            "a > in an attribute",
            "<urlset a='>' b=\"/>\"><url c = '\"'><loc >http://a/</loc ></url ></urlset >".to_owned(),
            SitemapKind::Pages,
            &["http://a/"],
        ),
        (
            "names outside ASCII",
            "<urlset><url><loc>http://a/é</loc><ö:ß/></url></urlset>".to_owned(),
            SitemapKind::Pages,
            &["http://a/é"],
        ),
    ];
    for (name, text, kind, want) in rows {
        assert_eq!(read(text), Ok((*kind, good(want))), "{name}");
    }
}

#[test]
fn the_protocols_other_forms() {
    let rows: &[(&str, &str, &[&str])] = &[
        ("text", "https://a/1\nhttps://a/2\n", &["https://a/1", "https://a/2"]),
        ("no line end at its end", "https://a/1\nhttps://a/2", &["https://a/1", "https://a/2"]),
        (
            "CR LF, and empty lines",
            "\r\nhttps://a/1\r\n\r\nhttps://a/2\r\n",
            &["https://a/1", "https://a/2"],
        ),
        ("CR alone", "https://a/1\rhttps://a/2\r", &["https://a/1", "https://a/2"]),
        ("a byte order mark", "\u{feff}HTTPS://a/1?a=1&b=<2>\n", &["HTTPS://a/1?a=1&b=<2>"]),
        ("white space around", "  https://a/1 \t\n", &["https://a/1"]),
        (
            "RSS 2.0",
            "<?xml version='1.0'?><rss version='2.0' xmlns:atom='a'><channel><link>https://a/</link>\
             <atom:link href='https://a/feed' rel='self'/><item><title>x</title>\
             <link>https://a/1?b&amp;c</link><atom:link href='https://no/'/></item>\
             <item><link><![CDATA[https://a/2]]></link><guid>https://no/</guid></item></channel></rss>",
            &["https://a/1?b&c", "https://a/2"],
        ),
        (
            "Atom 1.0",
            "<feed xmlns='http://www.w3.org/2005/Atom'><link href='https://a/'/><entry>\
             <link rel='edit' href='https://no/'/><link title='a=\"b\"' href = \"https://a/1?b&amp;c\" />\
             <author><link href='https://no/'/></author></entry><entry>\
             <link href='https://a/2' rel='alternate'>text</link></entry></feed>",
            &["https://a/1?b&c", "https://a/2"],
        ),
        (
            "Atom with a prefix",
            "<a:feed xmlns:a='u'><a:entry><a:link href='https://a/1'/><link href='https://no/'/></a:entry></a:feed>",
            &["https://a/1"],
        ),
    ];
    for (name, text, want) in rows {
        assert_eq!(read(text), Ok((SitemapKind::Pages, good(want))), "{name}");
    }
}

#[test]
fn a_bad_entry_takes_no_other_along() {
    let long = format!("https://a/{}", "x".repeat(MAX_LOC_BYTES));
    let latin: &[u8] = b"<url><loc>http://a/\xe9</loc></url>";
    let malformed = |line, what| Error::Malformed { line, what };
    let rows: [(&[u8], Error); 10] = [
        (b"<url></url>", Error::NoLoc { line: 2 }),
        (b"<url/>", Error::NoLoc { line: 2 }),
        (b"<url><loc> </loc></url>", Error::NoLoc { line: 2 }),
        (b"<url><lastmod>2005</lastmod></url>", Error::NoLoc { line: 2 }),
        (b"<url><loc>http://a/?a=1&b=2</loc></url>", malformed(2, "an & without its ;")),
        (b"<url><loc>http://a/&nbsp;</loc></url>", malformed(2, "an unknown entity: write &amp;")),
        (b"<url><loc>&#xD800;</loc></url>", malformed(2, "an unknown entity: write &amp;")),
        (b"<url><loc>&#+65;</loc></url>", malformed(2, "an unknown entity: write &amp;")),
        (&format!("<url><loc>{long}</loc></url>").into_bytes(), Error::LongLoc { line: 2 }),
        (latin, Error::Encoding),
    ];
    let entry = |at: u8| format!("<url><loc>https://a/{at}</loc></url>\n").into_bytes();
    for (bad, want) in rows {
        for pieces in [1, 7, usize::MAX] {
            let whole = [b"<urlset>", &entry(1)[..], bad, &entry(2), b"</urlset>"].concat();
            let want =
                vec![Ok("https://a/1".to_owned()), Err(want.clone()), Ok("https://a/2".to_owned())];
            assert_eq!(read_in(pieces, &whole), Ok((SitemapKind::Pages, want)), "{bad:?}");
        }
    }
    let text = format!("https://a/1\r\n\r\n# a comment\r\n/2\r\n{long}\r\nhttps://a/3\r\n");
    let want = vec![
        Ok("https://a/1".to_owned()),
        Err(Error::NoAddress { line: 3 }),
        Err(Error::NoAddress { line: 4 }),
        Err(Error::LongLoc { line: 5 }),
        Ok("https://a/3".to_owned()),
    ];
    assert_eq!(read(&text), Ok((SitemapKind::Pages, want)));
    for (index, want) in [
        ("<sitemapindex><sitemap/><sitemap><loc>https://a/1</loc></sitemap></sitemapindex>", 1),
        ("<rss><channel><item/><item><link>https://a/1</link></item></channel></rss>", 1),
        (
            "<feed><entry><link rel='self' href='x'/></entry><entry><link href='https://a/1'/></entry></feed>",
            1,
        ),
    ] {
        let want = vec![Err(Error::NoLoc { line: want }), Ok("https://a/1".to_owned())];
        assert_eq!(read(index).map(|(_, found)| found), Ok(want), "{index}");
    }
}

#[test]
fn what_stands_after_the_document_is_one_bad_entry() {
    let outside = "text outside the root element";
    for (after, line, what) in [
        ("\n\0", 1, outside),
        ("<urlset/>", 1, "a second root element"),
        ("\n\n<![CDATA[]]>", 3, outside),
        ("\n<!-- end --></urlset>", 2, "a tag closes what is not open"),
        ("\ntext<b/>", 1, outside),
        ("<!-- ", 1, outside),
    ] {
        let text = format!("<urlset><url><loc>https://a/1</loc></url></urlset>{after}");
        let want = vec![Ok("https://a/1".to_owned()), Err(Error::Malformed { line, what })];
        assert_eq!(read(&text), Ok((SitemapKind::Pages, want)), "{text}");
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
        ("\u{feff}", Error::Empty),
        ("<urlset", Error::Truncated),
        ("<u", Error::Truncated),
        ("not a sitemap", Error::OtherFormat),
        ("x", Error::OtherFormat),
        ("{\"total\":1076}", Error::OtherFormat),
        ("text<urlset/>", Error::OtherFormat),
        ("<!-- a -->text<urlset/>", malformed(1, "text outside the root element")),
        ("<urlset>\n<url>\n</urlset>", Error::Mismatch { line: 3, open: "url".to_owned() }),
        ("</urlset>", malformed(1, "a tag closes what is not open")),
        ("<urlset>\n<url <loc>", malformed(2, "a < inside a tag")),
        ("<urlset><1></urlset>", malformed(1, "this is no name of an element")),
        ("<urlset>< url></urlset>", malformed(1, "this is no name of an element")),
        ("<urlset><!ELEMENT a></urlset>", malformed(1, "an unknown declaration")),
        ("<urlset><![IGNORE[]]></urlset>", malformed(1, "this is no CDATA section")),
        // Entities of its own: a few lines could grow to gigabytes.
        (
            "<!DOCTYPE lolz [<!ENTITY lol \"lol\">]><urlset><url><loc>&lol;</loc></url></urlset>",
            Error::DocumentType,
        ),
        ("<?xml version='1.0' encoding='ISO-8859-1'?><urlset/>", Error::Encoding),
        ("<?xml version='1.0' encoding='utf-16'?><urlset/>", Error::Encoding),
        ("<rdf:RDF></rdf:RDF>", Error::OtherRoot("rdf:RDF".to_owned())),
        ("<html><body>Not found</body></html>", Error::OtherRoot("html".to_owned())),
        ("<s:urlsets/>", Error::OtherRoot("s:urlsets".to_owned())),
    ];
    for (text, want) in rows {
        assert_eq!(read(text), Err(want), "{text}");
    }
    for bytes in [&b"\xff\xfe<\0u\0"[..], b"\xfe\xff\0<\0u", b"<\0u\0r\0l\0s\0e\0t\0"] {
        assert_eq!(read_in(9, bytes), Err(Error::Encoding));
    }
}

#[test]
fn the_protocols_limits() {
    let entry = |loc: &str| format!("<url><loc>{loc}</loc></url>");
    let longest = format!("http://a/{}", "x".repeat(MAX_LOC_BYTES - 10));
    let longer = format!("{longest}x");
    assert_eq!(longest.len(), MAX_LOC_BYTES - 1);
    let file = |loc: &str| format!("<urlset>{}</urlset>", entry(loc));
    assert_eq!(read(&file(&longest)), Ok((SitemapKind::Pages, vec![Ok(longest.clone())])));
    let too_long = vec![Err(Error::LongLoc { line: 1 })];
    assert_eq!(read(&file(&longer)), Ok((SitemapKind::Pages, too_long)));

    let of = |count: u32| format!("<urlset>{}</urlset>", entry("http://a/").repeat(count as usize));
    let lines = |count: u32| "http://a/\n".repeat(count as usize);
    for (most, more) in
        [(of(MAX_ENTRIES), of(MAX_ENTRIES + 1)), (lines(MAX_ENTRIES), lines(MAX_ENTRIES + 1))]
    {
        let (_, most) = read_in(65_536, most.as_bytes()).unwrap();
        assert_eq!(most, vec![Ok("http://a/".to_owned()); MAX_ENTRIES as usize]);
        // The rest counts as one that is bad.
        let (_, mut found) = read_in(65_536, more.as_bytes()).unwrap();
        assert_eq!(found.pop(), Some(Err(Error::TooMany)));
        assert_eq!(found, most);
    }
    let last = format!("{}http://a/", lines(MAX_ENTRIES));
    let (_, mut found) = read_in(65_536, last.as_bytes()).unwrap();
    assert_eq!(found.pop(), Some(Err(Error::TooMany)));

    // What came before counts, and nothing of what is too much is looked at.
    let begin = b"<urlset>";
    let rest = vec![b' '; MAX_BYTES as usize + 1 - begin.len()];
    let (mut reader, mut found) = (SitemapReader::default(), Vec::new());
    reader.feed(begin, &mut found).unwrap();
    assert_eq!(reader.feed(&rest, &mut found), Ok(()));
    assert!(reader.is_over());
    assert_eq!(
        (reader.end(&mut found), found),
        (Ok(SitemapKind::Pages), vec![Err(Error::TooLarge)])
    );
    let (mut reader, mut found) = (SitemapReader::default(), Vec::new());
    reader.feed(begin, &mut found).unwrap();
    let long = Error::Malformed { line: 1, what: "this is too long" };
    assert_eq!(reader.feed(&rest[1..], &mut found), Err(long));
    // Nothing at all, for 50 MiB.
    let blank = vec![b' '; MAX_BYTES as usize + 1];
    assert_eq!(SitemapReader::default().feed(&blank, &mut found), Err(Error::TooLarge));
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
            "sitemap-other-root <rss>: expected <urlset>, <sitemapindex>, <rss> or <feed>",
        ),
        (
            Error::OtherFormat,
            "sitemap-other-format: it is no XML, and none of its lines is an address",
        ),
        (Error::NoAddress { line: 3 }, "sitemap-no-address line 3: this is no address"),
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
            prop::sample::select(b"<>/!-[]?&;# \r\n'\"=aurlsetoch:p\xc3\xa9".to_vec()), 0..120),
        cut in 1usize..20,
    ) {
        prop_assert_eq!(read_in(cut, &bytes), read_in(usize::MAX, &bytes));
    }

    #[test]
    fn any_addresses_come_back(
        locs in prop::collection::vec("https?://[a-z]{1,5}/[^\\x00-\\x20\\x7f]{0,30}", 0..6),
    ) {
        let escape = |loc: &String| loc.replace('&', "&amp;").replace('<', "&lt;");
        let entries: String =
            locs.iter().map(|loc| format!("<url><loc>{}</loc></url>", escape(loc))).collect();
        let (kind, found) = read(&format!("{HEAD}<urlset>{entries}</urlset>")).unwrap();
        let trimmed: Vec<SitemapEntry> = locs.iter().map(|loc| Ok(loc.trim().to_owned())).collect();
        prop_assert_eq!((kind, found), (SitemapKind::Pages, trimmed));
    }
}
