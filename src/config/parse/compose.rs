//! What contradicts `compose`: settings by which something of one visitor's own could reach the
//! shared page, or what is made for one visitor another.

use crate::config::settings::{Action, ForwardHeaders, Route};

use crate::http::cookie::matches;

use super::reader::{Problems, Section};

/// Cookies that say who a visitor is, as Django names them; others are known by these words.
const IDENTIFYING: &[&str] = &["session", "csrf", "messages"];

/// What is reported where it was set.
pub(super) fn contradictions(section: &Section<'_>, route: &Route, problems: &mut Problems) {
    if !route.compose {
        return;
    }
    let tells_who =
        |name: &&String| IDENTIFYING.iter().any(|word| name.to_ascii_lowercase().contains(word));
    let mut refuse = |key: &str, holds: bool, why: &str| {
        let at = [key, "compose"].into_iter().find(|key| section.has(key));
        if let Some(at) = at.filter(|_| holds) {
            problems.add(section.at(at), why);
        }
    };
    refuse(
        "action",
        route.action == Action::Bypass,
        "compose contradicts action \"bypass\": nothing is stored",
    );
    refuse(
        "forward_headers",
        route.forward_headers == ForwardHeaders::All,
        "compose contradicts forward_headers \"all\": the shared page is rendered without cookies",
    );
    refuse(
        "store_set_cookie",
        route.store_set_cookie,
        "compose contradicts store_set_cookie: everyone would get one visitor's cookie",
    );
    refuse(
        "visitor_cache_control",
        route.visitor_cache_control.is_some(),
        "compose contradicts visitor_cache_control: a composed page is its visitor's alone",
    );
    refuse(
        "key_cookies",
        route.key_cookies.iter().any(|name| tells_who(&name)),
        "compose contradicts a session or CSRF cookie, or messages, in key_cookies",
    );
    refuse(
        "key_cookies",
        route.key_cookies.iter().any(|name| matches(name, &route.bypass_cookies)),
        "compose contradicts one of bypass_cookies in key_cookies: the shared page is rendered \
         without them",
    );
}
