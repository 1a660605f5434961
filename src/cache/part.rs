//! Parts: stored answers to range requests (206), what they answer, and how they become more (RFC 9111 §3.3, §3.4).
//!
//! A part is stored only where the route says so, and only if the length of its body is the one that its `Content-Range`
//! says. It answers a request for one range that is wholly within it, and nothing else: not a request for the whole, not
//! a HEAD, not several ranges. Two parts are put together if they touch and share a strong validator (RFC 9110
//! §15.3.7.3); a part that covers everything is the whole.
//!
//! A body that is shorter than its `Content-Range` says is refused, because one of the two is wrong. A route with
//! `lenient_range` takes it for what arrived (RFC 9110 §2.4 lets a recipient recover from what is invalid): the first
//! position holds, the last is where the body ended, and how long the whole is counts as unknown, and is told to nobody.
//! Such a part is never put together with another.

use crate::base::time::Seconds;
use crate::cache::entry::{Demand, Entry, Length, Part};
use crate::config::Route;
use crate::http::range::{ContentRange, RangeSpec, content_range, range};
use crate::http::{Fields, RequestHead, ResponseHead};

use super::range::if_range_holds;
use super::storage::{NoStore, Storable, Storage, StorageInput, storage};
use super::validation::{shared_validator, strong_validator};

/// What becomes of the answer to a range request.
#[derive(Clone, Debug, PartialEq)]
pub enum RangeStorage {
    /// It is stored.
    Keep(Box<Kept>),
    /// It is not stored, though anyone may have it.
    Leave(NoStore),
    /// It may not be stored.
    Refuse(NoStore),
}

/// A part that is stored, alone or put together with what was stored before.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// What may be stored.
    pub storable: Storable,
    /// Which bytes it has; none if it has all.
    pub part: Option<Part>,
    /// How its body is made of the stored part's and the new one's; none if it is the new one's alone.
    pub seam: Option<Seam>,
}

/// How two bodies are one: bytes of the stored part up to [`Seam::before`], the new body, and bytes of the stored part
/// from [`Seam::after`] on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seam {
    /// Bytes of the stored part that stand before the new body.
    pub before: u64,
    /// Where the stored part goes on after the new body: its length if it does not.
    pub after: u64,
}

/// Decides on the answer to a request with `Range`. `stored` is the part that is stored, if it is current; `length` is
/// what the answer's `Content-Length` says.
#[must_use]
pub fn range_storage(
    input: &StorageInput<'_>,
    length: Option<u64>,
    stored: Option<&Entry>,
) -> RangeStorage {
    if input.response.status != 206 {
        return match storage(input) {
            // The origin has no ranges of this; the whole is stored when someone asks for it.
            Storage::Store(_) => RangeStorage::Leave(NoStore::PartialContent),
            Storage::Share(_, reason) => RangeStorage::Leave(reason),
            Storage::Refuse(reason) => RangeStorage::Refuse(reason),
        };
    }
    let part = length.and_then(|length| part(input.response, length, input.admitted.route));
    let joined = stored
        .zip(part.zip(length))
        .and_then(|(stored, (part, length))| join(input, stored, part, length));
    if let Some(kept) = joined {
        return RangeStorage::Keep(Box::new(kept));
    }
    match storable(input, &input.response.fields) {
        Err(reason) => RangeStorage::Refuse(reason),
        Ok(storable) => match part.zip(length).filter(|_| answers_once(&storable)) {
            Some((part, length)) if input.admitted.route.store_partial => {
                RangeStorage::Keep(Box::new(kept(storable, part, length, None)))
            }
            Some(_) | None => RangeStorage::Leave(NoStore::PartialContent),
        },
    }
}

/// What is stored of `length` bytes that begin where `part` begins: the whole, if they are all.
fn kept(mut storable: Storable, part: Part, length: u64, seam: Option<Seam>) -> Kept {
    let whole = part.is_whole(length);
    if whole {
        storable.fields.set("content-length", length.to_string());
    }
    Kept { storable, part: (!whole).then_some(part), seam }
}

/// The answer to a request for what a stored part lacks, put together with it; none if that does not make the whole.
#[must_use]
pub fn completed(input: &StorageInput<'_>, length: Option<u64>, stored: &Entry) -> Option<Kept> {
    let length = length.filter(|_| input.response.status == 206)?;
    let part = part(input.response, length, input.admitted.route)?;
    join(input, stored, part, length).filter(|kept| kept.part.is_none())
}

/// What the answer says of itself, as if it were the whole (RFC 9110 §15.3.7: a 206 is cacheable like a 200).
fn storable(input: &StorageInput<'_>, fields: &Fields) -> Result<Storable, NoStore> {
    let mut whole = ResponseHead { status: 200, fields: fields.clone() };
    for name in ["content-range", "content-length"] {
        whole.fields.remove(name);
    }
    match storage(&StorageInput { response: &whole, ..*input }) {
        Storage::Store(storable) => Ok(storable),
        Storage::Share(_, reason) | Storage::Refuse(reason) => Err(reason),
    }
}

/// A part is used while it is fresh, and not a moment longer.
fn answers_once(storable: &Storable) -> bool {
    let freshness = &storable.freshness;
    freshness.lifetime > storable.initial_age && freshness.demand != Demand::Always
}

/// Which bytes a 206 with a body of `length` has; none if that can't be known.
#[must_use]
pub fn part(response: &ResponseHead, length: u64, route: &Route) -> Option<Part> {
    let ContentRange { first, last, complete } = content_range(&response.fields)?;
    let claimed = last.checked_sub(first)?.checked_add(1)?;
    let kind = response.fields.get("content-type").unwrap_or_default().to_ascii_lowercase();
    if kind.trim_start().starts_with("multipart/byteranges") || length == 0 {
        return None;
    }
    if claimed == length {
        return Some(Part { first, whole: complete.map_or(Length::Unknown, Length::Known) });
    }
    let ends_here = complete == last.checked_add(1);
    let whole = if ends_here { Length::EndsHere } else { Length::Unknown };
    (route.lenient_range && length < claimed).then_some(Part { first, whole })
}

/// Puts a new part and a stored one together (RFC 9110 §15.3.7.3): the fields of the new one replace those of the stored
/// one, and its bytes too.
fn join(input: &StorageInput<'_>, stored: &Entry, new: Part, length: u64) -> Option<Kept> {
    let old = stored.part?;
    let (Length::Known(_), true) = (new.whole, new.whole == old.whole) else { return None };
    if !shared_validator(&stored.fields, &input.response.fields) {
        return None;
    }
    let end = new.first.checked_add(length)?;
    let old_end = old.first.checked_add(stored.body_length)?;
    if new.first > old_end || old.first > end {
        return None;
    }
    let mut fields = stored.fields.clone();
    fields.retain(|name, _| !input.response.fields.has(name));
    for (name, value) in input.response.fields.iter() {
        fields.append(name, value);
    }
    let mut storable = storable(input, &fields).ok().filter(answers_once)?;
    storable.tags = storable.tags.iter().chain(stored.tags.iter()).cloned().collect();
    let seam = Seam {
        before: new.first.saturating_sub(old.first),
        after: end.saturating_sub(old.first).min(stored.body_length),
    };
    let part = Part { first: new.first.min(old.first), whole: new.whole };
    let joined = seam.before.saturating_add(length).saturating_add(stored.body_length - seam.after);
    Some(kept(storable, part, joined, Some(seam)))
}

/// What of a stored part answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The first byte of the stored body to send.
    pub from: u64,
    /// The one after the last.
    pub to: u64,
    /// What `Content-Range` says of them.
    pub content_range: String,
}

/// What of a stored part answers a request: none unless the request is for one range that is wholly within the part
/// (RFC 9111 §3.3).
#[must_use]
pub fn cut(request: &RequestHead, entry: &Entry) -> Option<Cut> {
    let part = entry.part?;
    if request.method != "GET" || !if_range_holds(request, entry) {
        return None;
    }
    let specs = range(&request.fields)?.specs;
    let [spec] = specs.as_slice() else { return None };
    let end = part.first.checked_add(entry.body_length)?;
    let (from, to) = match part.whole {
        Length::Known(complete) => spec.within(complete)?,
        Length::EndsHere => spec.within(end)?,
        Length::Unknown => match *spec {
            RangeSpec::From(first, Some(last)) => (first, last.checked_add(1)?),
            RangeSpec::From(_, None) | RangeSpec::Suffix(_) => return None,
        },
    };
    if from < part.first || to > end {
        return None;
    }
    let complete = match part.whole {
        Length::Known(complete) => complete.to_string(),
        // RFC 9110 §14.4: what is not known is not told.
        Length::Unknown | Length::EndsHere => "*".to_owned(),
    };
    let content_range = format!("bytes {from}-{}/{complete}", to.saturating_sub(1));
    Some(Cut { from: from - part.first, to: to - part.first, content_range })
}

/// The request fields that ask for what a stored part lacks to be the whole (RFC 9111 §3.3); none if it lacks more than
/// one piece, if nothing could prove that the rest belongs to it, or if the whole is too large to be stored. A route with `lenient_range` asks all the same: an
/// answer that proves nothing is dropped, and the whole asked for.
#[must_use]
pub fn rest(entry: &Entry, route: &Route, max_body: u64) -> Option<Fields> {
    let part = entry.part?;
    let Length::Known(complete) = part.whole else { return None };
    if complete > max_body {
        return None;
    }
    let end = part.first.checked_add(entry.body_length)?;
    let mut fields = Fields::new();
    if part.first == 0 && end < complete {
        fields.set("range", format!("bytes={end}-"));
    } else if part.first > 0 && end == complete {
        fields.set("range", format!("bytes=0-{}", part.first - 1));
    } else {
        return None;
    }
    match strong_validator(&entry.fields) {
        Some(validator) => fields.set("if-range", validator),
        None if route.lenient_range => {}
        None => return None,
    }
    Some(fields)
}

/// For how long a part is of use.
#[must_use]
pub fn keep(entry: &Entry) -> Seconds {
    entry.freshness.lifetime.minus(entry.initial_age)
}
