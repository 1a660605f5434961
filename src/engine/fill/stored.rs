//! What is said of a stored response: its name in L2, its size.

use std::rc::Rc;

use crate::cache::compose::shell::is_stored_shell;
use crate::cache::content::ContentDigest;
use crate::cache::entry::Entry;
use crate::cache::envelope;
use crate::cache::envelope::Record;
use crate::engine::memory::StoredPage;
use crate::engine::port::Platform;

/// The name of a response in L2. Never used twice: it has the fill's time beside its fencing
/// number, because a page that was forgotten and comes back counts from one again.
#[must_use]
pub(crate) fn l2_key(entry: &Entry) -> String {
    let variant = entry.key.variant(&entry.selection).digest();
    format!("1/{}/{}.{}", variant.as_str(), entry.fence, entry.response_time.as_millis())
}

/// What a response shows, as its shard records it: the next fetch is compared with it. The digest
/// is made of what is in memory anyway.
pub(crate) async fn content_of<P: Platform>(
    platform: &Rc<P>,
    page: &StoredPage<P::Chunk>,
) -> Option<ContentDigest> {
    // A shell's marker is new for each render: no two of them are the same.
    if is_stored_shell(&page.entry) {
        return None;
    }
    let body = platform.digest(&page.body).await?;
    Some(ContentDigest::of(page.entry.status, &page.entry.fields, &body))
}

/// Whether a response with a body of that length is more than L2 takes as one value (25 MiB in KV).
pub(crate) fn is_beyond_l2(entry: &Entry, body_length: u64, most_bytes: u64) -> bool {
    // Few bodies come near the limit; only for those is the head measured.
    body_length.saturating_add(NEAR) > most_bytes
        && envelope::encode(&Record::Entry(Box::new(entry.clone())))
            .is_ok_and(|head| head.len() as u64 + body_length > most_bytes)
}

/// More than any head.
const NEAR: u64 = 1 << 20;
