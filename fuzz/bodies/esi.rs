//! Edge Side Includes: bodies of pages, and where their includes lead.

use std::sync::LazyLock;

use edge_isr::cache::admission::{Admission, admit};
use edge_isr::cache::esi::address::address;
use edge_isr::cache::esi::{EsiFault, EsiPiece, EsiReader, MAX_TAG_BYTES};
use edge_isr::config::parse::parse;
use edge_isr::config::{Action, Config};
use edge_isr::http::{Fields, RequestHead};

static SITE: LazyLock<Config> = LazyLock::new(|| {
    let settings = r#"{"routes": [{"path": "/admin/*", "action": "bypass"}]}"#;
    parse(settings, &[]).unwrap_or_else(|problems| panic!("{problems:?}"))
});

/// However a body is cut, the same comes out of it; without ESI, what came. An include leads to a
/// page that any visitor could ask for.
pub(crate) fn esi(data: &[u8]) {
    let (&cut, body) = data.split_first().unwrap_or((&0, &[]));
    let (pieces, fault) = read([body]);
    let size = usize::from(cut).max(1);
    assert_eq!((&pieces, fault), (&read(body.chunks(size)).0, read(body.chunks(size)).1));
    let (begin, end) = body.split_at_checked(usize::from(cut)).unwrap_or_default();
    if !end.is_empty() {
        assert_eq!((&pieces, fault), (&read([begin, end]).0, read([begin, end]).1));
    }
    let text: usize = pieces.iter().map(text_bytes).sum();
    assert!(text <= body.len());
    let has = |mark: &[u8]| body.windows(mark.len()).any(|window| window == mark);
    if !has(b"<esi:") && !has(b"</esi:") && !has(b"<!--esi") {
        assert_eq!((text, fault), (body.len(), None));
        assert!(matches!(pieces.as_slice(), [] | [EsiPiece::Text(_)]));
    }
    for piece in &pieces {
        if let EsiPiece::Include(include) = piece {
            assert!(include.src.len() < MAX_TAG_BYTES);
            leads(&include.src);
        }
    }
    leads(&String::from_utf8_lossy(body));
}

fn text_bytes(piece: &EsiPiece) -> usize {
    match piece {
        EsiPiece::Text(bytes) => bytes.len(),
        EsiPiece::Include(_) => 0,
    }
}

fn read<'a>(cut: impl IntoIterator<Item = &'a [u8]>) -> (Vec<EsiPiece>, Option<EsiFault>) {
    let (mut reader, mut found) = (EsiReader::default(), Vec::new());
    for bytes in cut {
        reader.push(bytes, &mut found);
    }
    reader.end(&mut found);
    // Text that came in several pushes is one text.
    let mut pieces: Vec<EsiPiece> = Vec::new();
    for piece in found {
        match (pieces.last_mut(), piece) {
            (Some(EsiPiece::Text(text)), EsiPiece::Text(more)) => text.extend(more),
            (_, piece) => pieces.push(piece),
        }
    }
    (pieces, reader.fault())
}

fn leads(src: &str) {
    let page = RequestHead {
        method: "GET".to_owned(),
        scheme: "https".to_owned(),
        host: "example.com".to_owned(),
        path: "/blog/post".to_owned(),
        query: None,
        fields: Fields::new(),
        client: None,
    };
    let Ok(found) = address(src, &page, &SITE) else { return };
    let request = RequestHead { path: found.path, query: found.query, ..page };
    assert!(!SITE.is_reserved(&request.path));
    match admit(&request, &SITE) {
        Admission::Serve(admitted) => {
            assert_eq!(admitted.route.action, Action::Cache);
            assert_eq!(admitted.page.host, "example.com");
        }
        // Its path is too deep for the cache.
        Admission::Pass(pass) => assert_eq!(pass.route.action, Action::Cache),
        Admission::Refuse(refusal) => panic!("{refusal:?}: {src}"),
    }
}
