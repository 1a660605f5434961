//! Answers to POST that may answer later GETs (RFC 9110 §9.3.3): only where the route says so, because the request's body
//! is in no key and shapes the answer.
//!
//! The answer must state a lifetime itself, and say by `Content-Location` that it is a representation of the very page
//! that was posted to. The request must be one that the cache would serve as a GET, without credentials or cookies that
//! are not in the key, without conditions, and with nothing that the edge would have to leave out: a POST reaches the
//! origin as it came, body and all, whatever becomes of its answer.

use url::Url;

use crate::base::time::Epoch;
use crate::cache::entry::Demand;
use crate::cache::key::Page;
use crate::config::{ForwardHeaders, Route};
use crate::http::hop::{is_hop_by_hop, is_unkeyed};
use crate::http::{RequestHead, ResponseHead, cookie};

use super::forward::CONDITIONS;
use super::storage::{Storable, Storage, StorageInput, storage};

/// The request as a GET of the same page, without what describes its body.
#[must_use]
pub fn as_get(request: &RequestHead) -> RequestHead {
    let mut get = RequestHead { method: "GET".to_owned(), ..request.clone() };
    get.fields.retain(|name, _| !name.starts_with("content-") && name != "transfer-encoding");
    get
}

/// Whether the answer to this request may be stored, if it says so. That the cache would serve its GET is for
/// [`super::admission`] to say.
#[must_use]
pub fn may_be_stored(request: &RequestHead, route: &Route, page: &Page) -> bool {
    let left_out = |name: &str| {
        is_unkeyed(name) || name.contains('_') || CONDITIONS.contains(&name) || is_te(name)
    };
    request.method == "POST"
        && route.store_post
        && route.forward_headers == ForwardHeaders::All
        && page.query == request.query
        && !request.fields.has("authorization")
        && !cookie::has_other(&request.fields, &route.key_cookies)
        && !request.fields.iter().any(|(name, _)| left_out(name))
}

/// Fields of the hop that say something of the request itself; how the body came is not among them.
fn is_te(name: &str) -> bool {
    is_hop_by_hop(name) && !matches!(name, "connection" | "keep-alive" | "transfer-encoding")
}

/// What may be stored of the answer, as if it answered a GET.
#[must_use]
pub fn post_storage(input: &StorageInput<'_>) -> Option<Storable> {
    let response = input.response;
    if response.status != 200 || !is_of_its_own_page(input.request, response) {
        return None;
    }
    let get = as_get(input.request);
    match storage(&StorageInput { request: &get, ..*input }) {
        Storage::Store(storable) => {
            let freshness = &storable.freshness;
            let explicit = freshness.source.is_explicit() && freshness.demand != Demand::Always;
            let fresh = freshness.lifetime > storable.initial_age;
            (explicit && fresh && !response.fields.has("set-cookie")).then_some(storable)
        }
        Storage::Share(..) | Storage::Refuse(_) => None,
    }
}

/// Whether `Content-Location` names the URL that was posted to (RFC 9110 §8.7), by its text: another spelling of it is
/// another page.
fn is_of_its_own_page(request: &RequestHead, response: &ResponseHead) -> bool {
    let mut values = response.fields.all("content-location");
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let query = request.query.as_deref().map_or(String::new(), |query| format!("?{query}"));
    let own = format!("{}://{}{}{query}", request.scheme, request.host, request.path);
    let Ok(base) = Url::parse(&own) else { return false };
    base.join(value.trim()).is_ok_and(|named| named == base && named.as_str() == own)
}

/// The stamp of the answer to a request that began when `known` was the highest epoch known: the epoch of the
/// invalidation that the request itself made (`own`), if no target of the page was invalidated in between (`before`: the
/// latest until then). The answer is of after its own change; whether it is of after another's, nobody knows.
#[must_use]
pub fn stamp_after(known: Epoch, before: Option<Epoch>, own: Epoch) -> Option<Epoch> {
    before.filter(|before| *before <= known && known < own).map(|_| own)
}
