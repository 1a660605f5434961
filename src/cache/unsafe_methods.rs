//! What an unsafe request invalidates (RFC 9111 §4.4): its own URL, and what `Location` and
//! `Content-Location` name on the same host. Only an answer that is no error does; another host's
//! pages are out of its reach.
//!
//! Anyone can send such requests, so a redirect that only corrects the address (a slash, the
//! scheme, an alias of the host) invalidates nothing: nothing was done. What else is invalidated is
//! so softly, unless the origin says in its answer, by `X-Edge-ISR`, `invalidate=hard` or
//! `invalidate=none`.

use url::Url;

use crate::cache::key::Page;
use crate::cache::tag::{target_name, url_name};
use crate::config::Config;
use crate::http::{RequestHead, ResponseHead};

use super::admission::{page, page_of_url};

/// How the pages of an unsafe request are invalidated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invalidation {
    /// Not at all.
    Nothing,
    /// Softly.
    Soft,
    /// Hard.
    Hard,
}

/// How the pages of an unsafe request with this answer are invalidated.
#[must_use]
pub fn invalidation(response: &ResponseHead) -> Invalidation {
    let says = |word: &str| {
        let mut words = response.fields.all("x-edge-isr").flat_map(|line| line.split([',', ' ']));
        words.any(|said| said.trim().eq_ignore_ascii_case(word))
    };
    if says("invalidate=none") {
        return Invalidation::Nothing;
    }
    if says("invalidate=hard") { Invalidation::Hard } else { Invalidation::Soft }
}

/// The pages that an unsafe request with this answer may have changed, each once.
#[must_use]
pub fn changed_by(request: &RequestHead, response: &ResponseHead, config: &Config) -> Vec<Page> {
    if !(200..400).contains(&response.status) || !request.path.starts_with('/') {
        return Vec::new();
    }
    let own = page(request, config.route(&request.host, &request.path), config);
    let mut pages = vec![own.clone()];
    let Ok(base) = Url::parse(&format!(
        "{}://{}",
        request.scheme,
        url_name(&request.host, &request.path, request.query.as_deref())
    )) else {
        return pages;
    };
    for name in ["location", "content-location"] {
        let named = response.fields.get(name).and_then(|value| base.join(value.trim()).ok());
        let Some(named) = named.and_then(|url| page_of_url(url.as_str(), config)) else { continue };
        if named.purge_host != own.purge_host {
            continue;
        }
        if name == "location" && response.status >= 300 && corrects(&own, &named) {
            return Vec::new();
        }
        if pages.iter().all(|page| page.purge_name() != named.purge_name()) {
            pages.push(named);
        }
    }
    pages
}

/// Whether a redirect leads to the same resource in another spelling.
fn corrects(own: &Page, named: &Page) -> bool {
    let bare = |page: &Page| {
        let path = target_name("", &page.path, None);
        path.trim_end_matches('/').to_owned()
    };
    let query = |page: &Page| page.query.as_deref().map(|query| target_name("", "", Some(query)));
    bare(own) == bare(named) && query(own) == query(named) && own.url() != named.url()
}
