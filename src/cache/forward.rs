//! Which fields go on: from the visitor to the origin, and from the origin to the visitor.
//!
//! On a request whose answer may be stored the origin sees a short list, because whatever it sees
//! the answer may depend on: `Accept`, `Accept-Language`, what the route lists (which is in the
//! key), the cookies of the key, `Origin` where the page is known to vary on it, and what the edge
//! says itself. A route with [`ForwardHeaders::All`] forwards all but what belongs to the hop, what
//! only proxies may say, and conditions and ranges, which are the edge's own; its origin's `Vary`
//! must then be right.

use crate::cache::entry::FreshnessSource;
use crate::cache::tag::{Tag, TagSet};
use crate::cache::tag_fields::{EDGE_FIELDS, tags};
use crate::config::{ForwardHeaders, Route};
use crate::http::cache_control::without;
use crate::http::hop::{is_proxy_only, is_unkeyed, remove_hop_by_hop};
use crate::http::list::list_value;
use crate::http::list::trim;
use crate::http::targeted::{SURROGATE_CAPABILITY, SURROGATE_CAPABILITY_ESI};
use crate::http::{Fields, RequestHead, accept, cookie, encoding, language, loop_guard, origin};

use super::admitted::Admitted;
use super::compose::field::{ASKS, COMPOSE};

/// The value of `visitor_cache_control` that passes the origin's own `Cache-Control` and
/// `CDN-Cache-Control` unchanged.
pub const ORIGIN_CACHE_CONTROL: &str = "origin";
/// The field of RFC 9213 §3 that is targeted at CDNs.
const CDN_CACHE_CONTROL: &str = "cdn-cache-control";

/// What the edge adds to a request for the origin.
#[derive(Clone, Copy, Debug)]
pub struct EdgeFacts<'a> {
    /// The secret that shows the origin that the edge is asking.
    pub origin_secret: Option<&'a str>,
    /// No visitor waits for the answer.
    pub warm: bool,
    /// The edge's own name.
    pub user_agent: &'a str,
    /// The codings the visitor takes, where the CDN rewrites `Accept-Encoding`.
    pub client_accept_encoding: Option<&'a str>,
    /// Edge Side Includes are processed: of plain bodies alone.
    pub esi: bool,
}

/// Fields that are conditions or ranges (RFC 9110 §13.1, §14.2).
pub(crate) const CONDITIONS: &[&str] =
    &["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range"];

/// The fields of an origin request whose answer may be stored.
#[must_use]
pub fn cacheable_request_fields(
    request: &RequestHead,
    admitted: &Admitted<'_>,
    edge: &EdgeFacts<'_>,
) -> Fields {
    let came = &request.fields;
    let mut fields = match &admitted.route.forward_headers {
        ForwardHeaders::All => {
            let mut all = came.clone();
            remove_hop_by_hop(&mut all);
            let drop = |n: &str| is_proxy_only(n) || is_unkeyed(n) || CONDITIONS.contains(&n);
            // A WSGI origin takes `Accept_Language` for `Accept-Language`, and no `Vary` names
            // it.
            all.retain(|name, _| name != "host" && !name.contains('_') && !drop(name));
            all
        }
        ForwardHeaders::Listed(_) => {
            let mut listed = came.clone();
            remove_hop_by_hop(&mut listed);
            listed.retain(|name, _| NEGOTIATED.contains(&name));
            keep_readable(&mut listed, "accept", accept::accept);
            keep_readable(&mut listed, "accept-language", accept::accept_language);
            for (name, value) in listed_fields(request, &admitted.route) {
                listed.append(name, value);
            }
            if let Some(cookies) = cookie::only(came, &admitted.route.key_cookies) {
                listed.set("cookie", cookies);
            }
            listed.set("user-agent", edge.user_agent);
            listed
        }
    };
    // A field without a value and no field are one in the variant's key: the origin sees them as
    // one, too.
    fields.retain(|_, value| !trim(value).is_empty());
    if !admitted.route.languages.is_empty() {
        let accepted = came.joined("accept-language");
        if let Some(l) = language::look_up(accepted.as_deref(), &admitted.route.languages) {
            fields.set("accept-language", l);
        }
    }
    for (name, value) in &admitted.facts {
        fields.set(name, value.as_str());
    }
    let accepted = came.joined("accept-encoding");
    let accepted = edge.client_accept_encoding.or(accepted.as_deref());
    fields.set("accept-encoding", encoding::normalise(accepted));
    if admitted.route.compose {
        // Its places are looked for in the body as it comes.
        fields.set("accept-encoding", "identity");
        fields.set(COMPOSE, ASKS);
    }
    own_fields(&mut fields, request, edge);
    fields
}

/// What [`cacheable_request_fields`] would have for one field, as far as that is known from this
/// field alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SentAlone {
    /// It would have this, or no such field.
    Value(Option<String>),
    /// It depends on others.
    Among,
}

/// The value of one field of an origin request whose answer may be stored, without making the
/// others: of those by which most pages vary.
#[must_use]
pub fn sent_alone(
    name: &str,
    request: &RequestHead,
    admitted: &Admitted<'_>,
    edge: &EdgeFacts<'_>,
) -> SentAlone {
    match admitted.route.forward_headers {
        ForwardHeaders::All => return SentAlone::Among,
        ForwardHeaders::Listed(_) => {}
    }
    let (came, route) = (&request.fields, &admitted.route);
    SentAlone::Value(match name {
        "accept-encoding" if edge.esi || route.compose => Some("identity".to_owned()),
        "accept-encoding" => {
            let accepted = came.joined("accept-encoding");
            let accepted = edge.client_accept_encoding.or(accepted.as_deref());
            Some(encoding::normalise(accepted).to_owned())
        }
        // What the edge says in its place, and what `Connection` may take away.
        "accept-language" if !route.languages.is_empty() || came.has("connection") => {
            return SentAlone::Among;
        }
        "accept-language" => {
            let value = came.joined("accept-language");
            value.and_then(|value| accept::accept_language(&value))
        }
        "cookie" if route.key_cookies.is_empty() => None,
        "cookie" => cookie::only(came, &route.key_cookies),
        _ => return SentAlone::Among,
    })
}

/// Fields of visitors that reach the origin of every page: its `Vary` says where they count.
const NEGOTIATED: &[&str] = &["accept", "accept-language"];

/// The longest value of a field that a route lists.
const MAX_LISTED_BYTES: usize = 1024;

/// What a request says in the fields that its route lists: in the page's key, whatever the origin's
/// `Vary` says, because the origin sees it. A value that is too long is left out.
#[must_use]
pub fn listed_fields(request: &RequestHead, route: &Route) -> Vec<(String, String)> {
    let ForwardHeaders::Listed(names) = &route.forward_headers else { return Vec::new() };
    if names.is_empty() {
        return Vec::new();
    }
    let mut came = request.fields.clone();
    remove_hop_by_hop(&mut came);
    let listed = |name: &&String| is_in_key(name, route);
    let value = |name: &String| {
        let value = list_value(&came.joined(name)?);
        let fits = !value.is_empty() && value.len() <= MAX_LISTED_BYTES;
        fits.then(|| (name.clone(), value))
    };
    names.iter().filter(listed).filter_map(value).collect()
}

/// Adds `Origin` to the fields of an origin request for a page that is known to vary on it. Where
/// that is not known, the page is asked for without: an origin that repeats it without saying so
/// would have it in everyone's page.
pub fn add_selecting(fields: &mut Fields, request: &RequestHead, names: &[String]) {
    if names.iter().any(|name| name == "origin")
        && !fields.has("origin")
        && let Some(value) = request.fields.joined("origin").as_deref().and_then(origin::origin)
    {
        fields.set("origin", value);
    }
}

/// Whether a route lists a field, so that it is in the key.
#[must_use]
pub fn is_in_key(name: &str, route: &Route) -> bool {
    let ForwardHeaders::Listed(names) = &route.forward_headers else { return false };
    names.iter().any(|listed| listed == name) && may_be_listed(name) && !NEGOTIATED.contains(&name)
}

fn keep_readable(fields: &mut Fields, name: &str, readable: fn(&str) -> Option<String>) {
    let Some(came) = fields.joined(name) else { return };
    match readable(&came) {
        Some(value) => fields.set(name, value),
        None => fields.remove(name),
    }
}

/// What a route may not put on the list: it is the edge's to say, or no part of any key.
fn may_be_listed(name: &str) -> bool {
    !(is_proxy_only(name)
        || is_unkeyed(name)
        || CONDITIONS.contains(&name)
        || matches!(name, "host" | "cookie" | "authorization" | "user-agent"))
}

/// The fields of an origin request whose answer is for its visitor alone.
#[must_use]
pub fn pass_request_fields(request: &RequestHead, edge: &EdgeFacts<'_>) -> Fields {
    let mut fields = request.fields.clone();
    let upgrade = request.fields.get("upgrade").map(str::to_owned);
    remove_hop_by_hop(&mut fields);
    fields.retain(|name, _| name != "host" && !is_proxy_only(name));
    if edge.esi {
        fields.retain(|name, _| !matches!(name, "range" | "if-range"));
    }
    if let Some(protocol) = upgrade {
        fields.set("connection", "Upgrade");
        fields.set("upgrade", protocol);
    }
    if let Some(accepted) = edge.client_accept_encoding {
        fields.set("accept-encoding", accepted);
    }
    // Without the field a platform may ask for codings of its own choice.
    let names_coding = |value: &str| value.split(',').any(|coding| !trim(coding).is_empty());
    if !fields.all("accept-encoding").any(names_coding) {
        fields.set("accept-encoding", "identity");
    }
    if let Some(client) = &request.client {
        fields.set("x-forwarded-for", client.as_str());
    }
    own_fields(&mut fields, request, edge);
    fields
}

/// What the edge says itself.
fn own_fields(fields: &mut Fields, request: &RequestHead, edge: &EdgeFacts<'_>) {
    fields.set("x-forwarded-host", request.host.as_str());
    fields.set("x-forwarded-proto", request.scheme.as_str());
    fields.set("cdn-loop", loop_guard::extended(&request.fields));
    fields.set("surrogate-capability", SURROGATE_CAPABILITY);
    if edge.esi {
        fields.set("surrogate-capability", SURROGATE_CAPABILITY_ESI);
        fields.set("accept-encoding", "identity");
    }
    if edge.warm {
        fields.set("x-edge-isr-warmup", "1");
    }
    if let Some(secret) = edge.origin_secret {
        fields.set("x-edge-isr-origin-auth", secret);
    }
}

/// What the index keeps of a request, for a warm of the same variant: asked with it, the key and
/// what goes to the origin come out the same. Nothing else that the visitor wrote is kept: anyone
/// can write much. Credentials are never kept, not even where a route lets them reach the origin;
/// nor is the visitor's own name of their device.
#[must_use]
pub fn warm_fields(request: &RequestHead, admitted: &Admitted<'_>, sent: &Fields) -> Fields {
    let fact = |name: &str| admitted.facts.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
    let all = match admitted.route.forward_headers {
        ForwardHeaders::All => true,
        ForwardHeaders::Listed(_) => false,
    };
    let mut fields = sent.clone();
    fields.retain(|name, _| match name {
        "cookie" | "authorization" => false,
        "user-agent" => all,
        name => !is_proxy_only(name),
    });
    if let Some(cookies) = cookie::only(&request.fields, &admitted.route.key_cookies) {
        fields.set("cookie", cookies);
    }
    if let Some(said) = fact("cdn-loop") {
        fields.set("cdn-loop", said);
    }
    // A device's word is a User-Agent of that device.
    if let Some(device) = fact("x-device").filter(|_| !all) {
        fields.set("user-agent", device);
    }
    fields
}

/// Whether a field of an origin request is one that the edge sets for every visitor alike: no
/// variant depends on it.
#[must_use]
pub fn is_edge_own(name: &str) -> bool {
    matches!(
        name,
        "x-forwarded-host"
            | "x-forwarded-proto"
            | "x-forwarded-for"
            | "cdn-loop"
            | "surrogate-capability"
            | "x-edge-isr-warmup"
            | COMPOSE
            | "x-edge-isr-origin-auth"
    )
}

/// The fields that visitors get, from a stored response or one that passes
/// (`FreshnessSource::None`).
#[must_use]
pub fn visitor_fields(fields: &Fields, route: &Route, source: FreshnessSource) -> Fields {
    let mut sent = fields.clone();
    remove_hop_by_hop(&mut sent);
    // RFC 9213 §3.1: a CDN passes its field on to caches behind it, unless it forbids that.
    let as_it_came = route.visitor_cache_control.as_deref() == Some(ORIGIN_CACHE_CONTROL);
    let passes = |name: &str| as_it_came && name == CDN_CACHE_CONTROL;
    sent.retain(|name, _| passes(name) || !EDGE_FIELDS.contains(&name));
    match (route.visitor_cache_control.as_deref(), source) {
        (Some(ORIGIN_CACHE_CONTROL), _)
        | (
            None,
            FreshnessSource::MaxAge
            | FreshnessSource::Expires
            | FreshnessSource::Heuristic
            | FreshnessSource::None,
        ) => {}
        (Some(_), FreshnessSource::None) => {}
        (
            Some(value),
            FreshnessSource::Targeted
            | FreshnessSource::SMaxAge
            | FreshnessSource::MaxAge
            | FreshnessSource::Expires
            | FreshnessSource::Heuristic
            | FreshnessSource::Route,
        ) => sent.set("cache-control", value),
        (None, FreshnessSource::Targeted | FreshnessSource::SMaxAge | FreshnessSource::Route) => {
            derive_cache_control(&mut sent)
        }
    }
    pass_tags(&mut sent, route, tags(fields).ok().as_ref());
    sent
}

/// What Cloudflare takes as a page's tags, in bytes; beyond it, it would drop some.
const MAX_TAG_BYTES: usize = 16_000;

/// Passes the tags on to the caches in front of the edge that purge by them. What they could not
/// purge they may not keep.
pub fn pass_tags(sent: &mut Fields, route: &Route, tags: Option<&TagSet>) {
    for provider in &route.visitor_tags {
        let Some(name) = provider.tag_field else { continue };
        let separator = if name == "cache-tag" { "," } else { " " };
        let tags: Option<Vec<&str>> = tags.map(|tags| tags.iter().map(Tag::as_str).collect());
        let tags = tags.filter(|tags| tags.len() <= provider.most_tags);
        match tags.map(|tags| tags.join(separator)).filter(|line| line.len() <= MAX_TAG_BYTES) {
            Some(line) if line.is_empty() => sent.remove(name),
            Some(line) => sent.set(name, line),
            None => {
                sent.set("cdn-cache-control", "no-store");
                sent.set("surrogate-control", "no-store");
                // Whoever reads neither of these reads this; browsers may still keep it.
                sent.append("cache-control", "private");
            }
        }
    }
}

/// The edge's freshness is the edge's: it knows of invalidations, browsers don't.
fn derive_cache_control(fields: &mut Fields) {
    const EDGE_ONLY: &[&str] =
        &["s-maxage", "stale-while-revalidate", "stale-if-error", "proxy-revalidate"];
    let value = fields.joined("cache-control").and_then(|v| without(&v, EDGE_ONLY));
    let directives = {
        let mut left = Fields::new();
        if let Some(value) = &value {
            left.append("cache-control", value.as_str());
        }
        crate::http::cache_control::ResponseDirectives::of(&left, "cache-control")
    };
    let says_enough = directives.max_age.is_some() || directives.no_store;
    let value = match (value, says_enough) {
        (Some(value), true) => value,
        (Some(value), false) if directives.must_revalidate => format!("{value}, max-age=0"),
        (Some(value), false) => format!("{value}, max-age=0, must-revalidate"),
        (None, _) => "max-age=0, must-revalidate".to_owned(),
    };
    fields.set("cache-control", value);
}
