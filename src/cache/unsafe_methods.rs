//! What an unsafe request invalidates (RFC 9111 §4.4): its own URL, and what `Location` and `Content-Location` name
//! on the same host. Only an answer that is no error does; another host's pages are out of its reach.

use url::Url;

use crate::cache::tag::{Target, target_name, url_name};
use crate::config::Config;
use crate::http::{RequestHead, ResponseHead};

use super::admission::page;
use super::query::normalise_query;

/// The targets that an unsafe request with this answer invalidates.
#[must_use]
pub fn invalidated_by(
    request: &RequestHead,
    response: &ResponseHead,
    config: &Config,
) -> Vec<Target> {
    if !(200..400).contains(&response.status) || !request.path.starts_with('/') {
        return Vec::new();
    }
    let own = page(request, config.route(&request.host, &request.path), config);
    let mut targets = vec![Target::Url(own.purge_name())];
    let Ok(base) = Url::parse(&format!(
        "{}://{}",
        request.scheme,
        url_name(&request.host, &request.path, request.query.as_deref())
    )) else {
        return targets;
    };
    for name in ["location", "content-location"] {
        let named = response.fields.get(name).and_then(|value| base.join(value.trim()).ok());
        if let Some(target) = named.and_then(|url| target(&url, &own.purge_host, config))
            && !targets.contains(&target)
        {
            targets.push(target);
        }
    }
    targets
}

/// The target of a URL, if it is on the host.
fn target(url: &Url, purge_host: &str, config: &Config) -> Option<Target> {
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let host = match (url.host_str()?, url.port()) {
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host.to_owned(),
    };
    if *config.purge_host(&host) != *purge_host {
        return None;
    }
    let query = normalise_query(url.query(), &config.route(&host, url.path()).query);
    Some(Target::Url(target_name(purge_host, url.path(), query.as_deref())))
}
