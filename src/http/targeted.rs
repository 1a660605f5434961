//! `Cloudflare-CDN-Cache-Control`, `CDN-Cache-Control` (RFC 9213) and `Surrogate-Control`:
//! freshness for the edge alone, most specific first.
//!
//! The first two are structured dictionaries (RFC 9651). One that is empty or can't be parsed
//! counts as absent (RFC 9213 §2.1), so the next field decides; yet if such a field names
//! `no-store` or `private`, the response is not stored: a cache never has to store, and the
//! origin's wish is plain.
//!
//! `Surrogate-Control` has directives like `Cache-Control`, with a second number in `max-age=N+M`
//! (stale for M more seconds) and a target behind `;` which must be this edge's, as stated in
//! `Surrogate-Capability`.
//!
//! A targeted field that counts replaces `Cache-Control` and `Expires` for the edge (RFC 9213
//! §2.2).

use sfv::{BareItem, Dictionary, ListEntry, Parser};

use super::Fields;
use super::age::delta_seconds;
use super::cache_control::{FieldScope, ResponseDirectives};
use super::list::{is_tchar, split, trim, unquote};
use crate::base::time::Seconds;

/// This edge's name in `Surrogate-Capability` and `Surrogate-Control`.
pub const SURROGATE: &str = "edge-isr";
/// The value of `Surrogate-Capability` sent to the origin.
pub const SURROGATE_CAPABILITY: &str = "edge-isr=\"Surrogate/1.0\"";

/// The same where Edge Side Includes are processed.
pub const SURROGATE_CAPABILITY_ESI: &str = "edge-isr=\"Surrogate/1.0 ESI/1.0\"";

/// The fields of RFC 9213 that count, first the one that counts most: Cloudflare's own, and that of
/// all CDNs.
const CDN_FIELDS: [&str; 2] = ["cloudflare-cdn-cache-control", "cdn-cache-control"];

/// The directives that hold for the edge, and whether they came from a targeted field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdgeDirectives {
    /// The directives.
    pub directives: ResponseDirectives,
    /// They came from `CDN-Cache-Control` or `Surrogate-Control`: `Expires` does not count.
    pub targeted: bool,
}

/// The directives that hold for the edge.
#[must_use]
pub fn edge_directives(fields: &Fields) -> EdgeDirectives {
    let mut refused = false;
    let mut targeted = None;
    for name in CDN_FIELDS.iter().filter(|name| fields.has(name)) {
        targeted = fields.joined(name).as_deref().and_then(cdn_cache_control);
        if targeted.is_some() {
            break;
        }
        let unread = ResponseDirectives::of(fields, name);
        refused |= unread.no_store || unread.private != FieldScope::Absent;
    }
    let targeted = targeted.or_else(|| surrogate_control(fields));
    let mut edge = EdgeDirectives {
        targeted: targeted.is_some(),
        directives: targeted.unwrap_or_else(|| ResponseDirectives::of(fields, "cache-control")),
    };
    edge.directives.no_store |= refused;
    edge
}

/// Parses `CDN-Cache-Control`; none if it is to be ignored.
#[must_use]
pub fn cdn_cache_control(value: &str) -> Option<ResponseDirectives> {
    let members = Parser::new(value).parse::<Dictionary>().ok().filter(|d| !d.is_empty())?;
    let mut directives = ResponseDirectives::default();
    for (key, member) in &members {
        let item = match member {
            ListEntry::Item(item) => Some(&item.bare_item),
            ListEntry::InnerList(_) => None,
        };
        let on = !matches!(item, Some(BareItem::Boolean(false)));
        let is_true = matches!(item, Some(BareItem::Boolean(true)));
        let seconds = Some(item.map_or(Seconds::ZERO, seconds));
        match key.as_str() {
            "max-age" => directives.max_age = seconds,
            "s-maxage" => directives.s_maxage = seconds,
            // Without a number: it is for the route to say.
            "stale-while-revalidate" | "stale-if-error" if is_true => {}
            "stale-while-revalidate" => directives.stale_while_revalidate = seconds,
            "stale-if-error" => directives.stale_if_error = seconds,
            "no-store" => directives.no_store |= on,
            "no-cache" if on => directives.no_cache = scope(item),
            "private" if on => directives.private = scope(item),
            "must-revalidate" => directives.must_revalidate |= on,
            "proxy-revalidate" => directives.proxy_revalidate |= on,
            "public" => directives.public |= is_true,
            "must-understand" => directives.must_understand |= is_true,
            // RFC 9111 §5.2.3: an extension that is not known is ignored.
            _ => {}
        }
    }
    Some(directives)
}

fn seconds(item: &BareItem) -> Seconds {
    match item {
        BareItem::Integer(n) => {
            u64::try_from(i64::from(*n)).map_or(Seconds::ZERO, |n| Seconds(n).min(Seconds::MAX))
        }
        BareItem::Decimal(_)
        | BareItem::String(_)
        | BareItem::ByteSequence(_)
        | BareItem::Boolean(_)
        | BareItem::Token(_)
        | BareItem::Date(_)
        | BareItem::DisplayString(_) => Seconds::ZERO,
    }
}

fn scope(item: Option<&BareItem>) -> FieldScope {
    FieldScope::limited_to(item.and_then(|i| i.as_string()).map(|s| s.as_str()).unwrap_or_default())
}

/// Parses `Surrogate-Control`; none if it says nothing about storing or freshness to this edge.
#[must_use]
pub fn surrogate_control(fields: &Fields) -> Option<ResponseDirectives> {
    let mut for_us = Surrogate::default();
    let mut general = Surrogate::default();
    let mut refused = false;
    for line in fields.all("surrogate-control") {
        let members = split(line, b',');
        refused |= !members.closed && forbids(line);
        for member in members.parts {
            let mut pieces = split(member, b';').parts.into_iter();
            let directive = pieces.next().unwrap_or_default();
            match pieces.next() {
                None => general.member(directive),
                Some(target) if target.eq_ignore_ascii_case(SURROGATE) => for_us.member(directive),
                // Two directives with the wrong sign between them: no target has such a name.
                Some(target) => {
                    refused |= forbids(target) || target.contains('=') && forbids(member)
                }
            }
        }
    }
    // What is said to this edge by name comes before what is said to all.
    let mut chosen = if for_us.says { for_us } else { general };
    chosen.directives.no_store |= refused;
    (chosen.says || refused).then_some(chosen.directives)
}

/// Whether a text that is not in the grammar forbids storing all the same.
fn forbids(text: &str) -> bool {
    let is_other = |c: char| !u8::try_from(c).is_ok_and(is_tchar);
    let mut words = text.split(is_other);
    words.any(|word| matches!(word.to_ascii_lowercase().as_str(), "no-store" | "private"))
}

/// Whether `Surrogate-Control` asks this edge to process Edge Side Includes:
/// `content="ESI/1.0"` (Edge Architecture Specification §2.2.1.2).
#[must_use]
pub fn asks_for_esi(fields: &Fields) -> bool {
    let (mut for_us, mut general) = (None, None);
    for line in fields.all("surrogate-control") {
        for member in split(line, b',').parts {
            let mut pieces = split(member, b';').parts.into_iter();
            let (name, value) =
                pieces.next().and_then(|directive| directive.split_once('=')).unwrap_or_default();
            if !trim(name).eq_ignore_ascii_case("content") {
                continue;
            }
            let asks = unquote(trim(value))
                .is_some_and(|value| value.split(' ').any(|kind| kind == "ESI/1.0"));
            match pieces.next().map(trim) {
                None => general = Some(asks),
                Some(target) if target.eq_ignore_ascii_case(SURROGATE) => for_us = Some(asks),
                Some(_) => {}
            }
        }
    }
    for_us.or(general).unwrap_or(false)
}

#[derive(Default)]
struct Surrogate {
    directives: ResponseDirectives,
    says: bool,
}

impl Surrogate {
    fn member(&mut self, directive: &str) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        let set = &mut self.directives;
        self.says |= match trim(name).to_ascii_lowercase().as_str() {
            "no-store" | "no-store-remote" => {
                set.no_store = true;
                true
            }
            "max-age" => {
                let value = if name == trim(name) { value } else { "" };
                let (fresh, stale) = match value.split_once('+') {
                    Some((fresh, stale)) => (delta_seconds(fresh), delta_seconds(stale)),
                    None => (plain(value), None),
                };
                set.max_age = Some(fresh.unwrap_or_default());
                if let (Some(_), Some(stale)) = (fresh, stale) {
                    set.stale_while_revalidate.get_or_insert(stale);
                    set.stale_if_error.get_or_insert(stale);
                }
                true
            }
            "stale-while-revalidate" | "stale-if-error" if value.is_empty() => true,
            "stale-while-revalidate" => {
                set.stale_while_revalidate = Some(plain(value).unwrap_or_default());
                true
            }
            "stale-if-error" => {
                set.stale_if_error = Some(plain(value).unwrap_or_default());
                true
            }
            "private" => {
                set.private = FieldScope::Whole;
                true
            }
            "no-cache" => {
                set.no_cache = FieldScope::Whole;
                true
            }
            "must-revalidate" => {
                set.must_revalidate = true;
                true
            }
            // `content` says nothing of storing (`asks_for_esi`); others are not known.
            _ => false,
        };
    }
}

fn plain(value: &str) -> Option<Seconds> {
    unquote(value).and_then(|v| delta_seconds(&v))
}
