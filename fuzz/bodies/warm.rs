//! What the warm queue reads from an origin: sitemaps, and when to come again.

use edge_isr::base::time::Timestamp;
use edge_isr::http::{date, retry_after};
use edge_isr::index::sitemap::{
    MAX_LOC_BYTES, SitemapEntry, SitemapError, SitemapKind, SitemapReader,
};

use super::lines_of;

/// A wait is what the field says: digits, or the time until a date.
pub(crate) fn retry_after(data: &[u8]) {
    let fields = lines_of("retry-after", data);
    let now = Timestamp::from_millis(1_700_000_000_000);
    if let Some(wait) = retry_after::retry_after(&fields, now) {
        let value = fields.get("retry-after").unwrap_or_default();
        let dated = date::parse(value.trim_matches([' ', '\t']));
        assert!(value.bytes().any(|byte| byte.is_ascii_digit()));
        assert!(dated.is_none_or(|at| wait == at.since(now)));
    }
}

/// However a file is cut into pieces, the same comes out of it.
pub(crate) fn sitemap(data: &[u8]) {
    let (&cut, file) = data.split_first().unwrap_or((&0, &[]));
    let whole = read([file]);
    let size = usize::from(cut).max(1);
    assert_eq!(whole, read(file.chunks(size)));
    let (found, _) = whole;
    let mut addresses = found.iter().flatten();
    assert!(addresses.all(|loc| !loc.is_empty() && loc.len() < MAX_LOC_BYTES));
}

type Read = (Vec<SitemapEntry>, Result<SitemapKind, SitemapError>);

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Read {
    let (mut reader, mut found) = (SitemapReader::default(), Vec::new());
    for piece in pieces {
        if let Err(error) = reader.feed(piece, &mut found) {
            return (found, Err(error));
        }
    }
    let ended = reader.end(&mut found);
    (found, ended)
}
