//! What an unsafe request invalidates (RFC 9111 §4.4): its own URL, and what `Location` and
//! `Content-Location` name on the same host. Only an answer that is no error does; another host's
//! pages are out of its reach.
//!
//! Anyone can send such requests, so a redirect that only corrects the address (slashes, the
//! scheme, another name of the host, the language's prefix) invalidates nothing: nothing was done.
//! Nor was anything where a 301, 307 or 308 leads (RFC 9110 §15.4): only the request's own URL is
//! invalidated then. What else is invalidated is so softly, unless the origin says in its answer,
//! by `X-Edge-ISR`, `invalidate=hard` or `invalidate=none`.

use url::Url;

use crate::cache::key::Page;
use crate::cache::tag::{target_name, url_name};
use crate::config::Config;
use crate::http::vary::{Vary, vary};
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
    let status = response.status;
    // A 304 says that nothing has changed.
    let no_error = (200..400).contains(&status) && status != 304;
    if !no_error || !request.path.starts_with('/') {
        return Vec::new();
    }
    let target = page(request, config.route(&request.host, &request.path), config);
    let mut pages = vec![target.clone()];
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
        // The request was not carried out, but is to be sent elsewhere.
        let moved = matches!(status, 301 | 307 | 308);
        if name == "location" && status >= 300 && corrects(&target, &named, response, moved) {
            return Vec::new();
        }
        if named.purge_host != target.purge_host || (name == "location" && moved) {
            continue;
        }
        if pages.iter().all(|page| page.purge_name() != named.purge_name()) {
            pages.push(named);
        }
    }
    pages
}

/// Whether a redirect leads to the same resource in another spelling. What leads to the very
/// address that was asked for says that something was done there, unless it says that it is
/// elsewhere.
fn corrects(target: &Page, named: &Page, response: &ResponseHead, moved: bool) -> bool {
    let query = |page: &Page| page.query.as_deref().map(|query| target_name("", "", Some(query)));
    let (from, to) = (bare_path(target), bare_path(named));
    let same = from == to || (is_language(to.strip_suffix(&from)) && varies_by_language(response));
    same && query(target) == query(named) && (moved || target.url() != named.url())
}

/// A path without empty segments and escapes that say nothing.
fn bare_path(page: &Page) -> String {
    let path = target_name("", &page.path, None);
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .fold(String::new(), |path, segment| path + "/" + segment)
}

/// Whether a path's beginning is the prefix of a language, as `i18n_patterns` has it: `/de`,
/// `/pt-br`.
fn is_language(prefix: Option<&str>) -> bool {
    let Some(tag) = prefix.and_then(|prefix| prefix.strip_prefix('/')) else { return false };
    let mut subtags = tag.split('-');
    let primary = subtags.next().unwrap_or_default();
    let letters = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphabetic());
    let subtag = |text: &str| {
        (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    (2..=3).contains(&primary.len()) && letters(primary) && subtags.all(subtag)
}

fn varies_by_language(response: &ResponseHead) -> bool {
    match vary(&response.fields) {
        Vary::Names(names) => names.iter().any(|name| name == "accept-language"),
        Vary::Any => true,
    }
}
