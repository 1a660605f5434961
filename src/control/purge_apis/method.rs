//! The methods `PURGE` and `BAN`, as Varnish, nginx and Souin know them, and their twins by `POST`
//! for where a CDN's front lets no other methods through:
//!
//! ```text
//! PURGE /path?query                 Host: www.example.com
//! POST  {prefix}/purge/www.example.com/path?query
//! BAN   /path                       POST {prefix}/ban/www.example.com/path
//! ```
//!
//! `PURGE` names the page; one that ends with `*`, what is below. With `Surrogate-Key`, `xkey` or
//! another field of tags, it names what carries the tags instead. `Soft: 1` (or
//! `Fastly-Soft-Purge`) marks as stale.
//!
//! `BAN` names everything whose path begins with its own. `X-Ban-Host` and `X-Ban-Url` (or `X-Host`
//! and `X-Url`) hold regular expressions instead; what they say beyond a host and a prefix is
//! widened to the enclosing one, or to everything. It takes tags as `PURGE` does, also as
//! alternatives in `X-Cache-Tags` (`(^|,)(a|b)(,|$)`).

use serde_json::{Value, json};

use crate::cache::tag_fields::TAG_FIELDS;
use crate::config::Config;
use crate::control::auth::{AuthError, Caller};
use crate::control::client_tokens::trusted_or_token;
use crate::control::problem::Problem;
use crate::http::{Fields, RequestHead};
use crate::journal::Mode;

use super::api::{CallCredentials, PurgeApi, PurgeCall, method_must_be};
use super::named::{Named, invalid};
use super::reply::{PurgeOutcome, PurgeRefusal, Reply};

/// A method of every host that names the page at which it is sent, or its twin by `POST`.
pub struct ByMethod {
    name: &'static str,
    method: &'static str,
    read: fn(&str, &RequestHead, &Config) -> Result<PurgeCall, Problem>,
}

/// The method `PURGE`.
pub static PURGE: ByMethod = ByMethod { name: "purge", method: "PURGE", read: purge };

/// The method `BAN`.
pub static BAN: ByMethod = ByMethod { name: "ban", method: "BAN", read: ban };

impl PurgeApi for ByMethod {
    fn name(&self) -> &'static str {
        self.name
    }

    fn method(&self) -> Option<&'static str> {
        Some(self.method)
    }

    fn authenticate(&self, evidence: &CallCredentials<'_>) -> Result<Caller, AuthError> {
        trusted_or_token(evidence.request, evidence.secrets, evidence.config)
    }

    fn read(
        &self,
        rest: &str,
        request: &RequestHead,
        _body: &[u8],
        config: &Config,
    ) -> Result<PurgeCall, Problem> {
        (self.read)(rest, request, config)
    }

    fn refused(&self, refusal: &PurgeRefusal) -> Reply {
        refused(refusal)
    }
}

fn purge(page: &str, request: &RequestHead, config: &Config) -> Result<PurgeCall, Problem> {
    method_must_be(request, "PURGE, POST")?;
    let mut named = Named::new(config);
    let fields = &request.fields;
    all_are_read(fields, &["x-purge-method"])?;
    let way = fields.get("x-purge-method").map_or("", str::trim).to_ascii_lowercase();
    if !matches!(way.as_str(), "" | "default" | "exact" | "regex") {
        return Err(invalid("x-purge-method", "expected default, exact or regex"));
    }
    if !tags(&mut named, fields)? {
        let page = of_a_site(page, config)?;
        if way == "regex" {
            let (host, path) = page.split_at(page.find('/').unwrap_or(page.len()));
            let (prefix, exact) = enclosing(&format!("^{path}"));
            let prefix = format!("{host}{prefix}");
            let note = (!exact).then(|| format!("{page} was widened to {prefix}"));
            named.enclosing("url", &prefix, note)?;
        } else if page.ends_with('*') {
            named.prefix("url", &page)?;
        } else {
            named.url("url", &page)?;
        }
    }
    purge_of(named, &request.fields)
}

fn ban(page: &str, request: &RequestHead, config: &Config) -> Result<PurgeCall, Problem> {
    method_must_be(request, "BAN, POST")?;
    let mut named = Named::new(config);
    let fields = &request.fields;
    all_are_read(fields, &["x-ban-host", "x-ban-url", TAG_PATTERN])?;
    if tags(&mut named, fields)? || alternatives(&mut named, fields)? {
        return purge_of(named, fields);
    }
    let either = |first: &str, second: &str| {
        let value = fields.get(first).or_else(|| fields.get(second));
        value.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    let (host, url) = (either("x-ban-host", "x-host"), either("x-ban-url", "x-url"));
    if host.is_none() && url.is_none() {
        named.prefix("url", &of_a_site(page, config)?)?;
        return purge_of(named, fields);
    }
    let hosts = match &host {
        Some(pattern) => literal_hosts(pattern),
        None => Some(vec![host_of_a_site(page, config)?]),
    };
    let shown =
        format!("{} {}", host.as_deref().unwrap_or("(host)"), url.as_deref().unwrap_or(".*"));
    let (path, exact) = url.as_deref().map_or_else(|| ("/".to_owned(), true), enclosing);
    match hosts {
        None => named.all(Some(format!("{shown} was widened to the whole site"))),
        Some(hosts) => {
            for host in hosts {
                let prefix = format!("{host}{path}");
                let note = (!exact).then(|| format!("{shown} was widened to {prefix}"));
                named.enclosing("url", &prefix, note)?;
            }
        }
    }
    purge_of(named, fields)
}

fn purge_of(named: Named<'_>, fields: &Fields) -> Result<PurgeCall, Problem> {
    let soft = fields.has("fastly-soft-purge")
        || fields.get("soft").is_some_and(|value| !matches!(value.trim(), "" | "0" | "false"));
    let mode = if soft { Mode::Soft } else { Mode::Hard };
    Ok(PurgeCall::new(named.command(mode)?, accepted))
}

/// Refuses a call that says what it means in a field which is not read: by tags or by a pattern, in
/// one of the many ways that there are.
fn all_are_read(fields: &Fields, read: &[&str]) -> Result<(), Problem> {
    let names = |name: &str| {
        let part = |part: &str| {
            let tags = (part.ends_with("tag") || part.ends_with("tags")) && part != "etag";
            tags || matches!(part, "xkey" | "xkeys" | "regex" | "pattern" | "expression" | "ban")
        };
        name.starts_with("surrogate-key") || name.starts_with("xkey") || name.split('-').any(part)
    };
    let unread = fields
        .iter()
        .map(|(name, _)| name)
        .find(|name| names(name) && !TAG_FIELDS.contains(name) && !read.contains(name));
    match unread {
        None => Ok(()),
        Some(name) => Err(invalid(name, "this field is not read: name tags in surrogate-key")),
    }
}

/// Names the tags of the fields that carry tags; whether there are any.
fn tags(named: &mut Named<'_>, fields: &Fields) -> Result<bool, Problem> {
    let mut any = false;
    for name in TAG_FIELDS {
        for line in fields.all(name).filter(|line| !line.trim().is_empty()) {
            named.tags(name, line)?;
            any = true;
        }
    }
    Ok(any)
}

/// The field in which FOSHttpCache bans by tags.
const TAG_PATTERN: &str = "x-cache-tags";

fn alternatives(named: &mut Named<'_>, fields: &Fields) -> Result<bool, Problem> {
    let Some(pattern) = fields.get(TAG_PATTERN) else { return Ok(false) };
    let inner = pattern.strip_prefix("(^|,)(").and_then(|rest| rest.strip_suffix(")(,|$)"));
    let Some(inner) = inner else {
        let why = "expected tags as alternatives: (^|,)(a|b)(,|$)";
        return Err(invalid(TAG_PATTERN, why));
    };
    for alternative in inner.split('|') {
        let tag = literal(alternative);
        let tag = tag.ok_or_else(|| invalid(TAG_PATTERN, "a tag here is no pattern"))?;
        named.tag(TAG_PATTERN, &tag)?;
    }
    Ok(true)
}

/// A page's URL, if its host is one that pages can have: nothing is stored under a control host.
fn of_a_site(page: &str, config: &Config) -> Result<String, Problem> {
    let page = without_scheme(page);
    let at = page.find(['/', '?']).unwrap_or(page.len());
    let (host, rest) = page.split_at(at);
    Ok(format!("{}{rest}", site_host(host, config)?))
}

fn host_of_a_site(page: &str, config: &Config) -> Result<String, Problem> {
    let host = without_scheme(page).split(['/', '?']).next().unwrap_or_default();
    site_host(host, config)
}

fn without_scheme(page: &str) -> &str {
    page.strip_prefix("https://").or_else(|| page.strip_prefix("http://")).unwrap_or(page)
}

/// The host whose pages a call on a host means.
pub(super) fn site_host(host: &str, config: &Config) -> Result<String, Problem> {
    let meant = config.purge_host(host);
    if config.is_control_host(&meant) {
        return Err(invalid("host", "it is a control host: send the site's, or make it an alias"));
    }
    Ok(meant.into_owned())
}

/// What a regular expression matches, if that is one text.
fn literal(pattern: &str) -> Option<String> {
    let mut text = String::with_capacity(pattern.len());
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => text.push(rest.next().filter(|next| !next.is_ascii_alphanumeric())?),
            c if is_meta(c) => return None,
            c => text.push(c),
        }
    }
    Some(text)
}

fn is_meta(c: char) -> bool {
    matches!(c, '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$')
}

/// The hosts that a regular expression matches, if they are few names; none if they can be any.
fn literal_hosts(pattern: &str) -> Option<Vec<String>> {
    let inner = pattern.strip_prefix('^')?.strip_suffix('$')?;
    let host = |one: &str| literal(one).or_else(|| undotted(one));
    match inner.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some(list) => list.split('|').map(host).collect(),
        // Alternatives without parentheses are not anchored at both ends.
        None => host(inner).map(|host| vec![host]),
    }
}

/// A host whose dots were not escaped: nobody means another character there.
fn undotted(pattern: &str) -> Option<String> {
    literal(&pattern.replace('.', "\\."))
}

/// The path prefix that encloses what a regular expression matches, and whether it is no wider.
fn enclosing(pattern: &str) -> (String, bool) {
    // Without an anchor it may match anywhere.
    let Some(anchored) = pattern.strip_prefix('^').filter(|rest| rest.starts_with('/')) else {
        return ("/".to_owned(), matches!(pattern, ".*" | "/" | "^"));
    };
    // Alternatives of the whole pattern: `^/a|/b`.
    if anchored.contains('|') {
        return ("/".to_owned(), false);
    }
    let mut text = String::new();
    let mut rest = anchored.chars().peekable();
    while let Some(c) = rest.next() {
        let next = match c {
            '\\' => match rest.next() {
                Some(escaped) if !escaped.is_ascii_alphanumeric() => escaped,
                Some(_) | None => break,
            },
            c if is_meta(c) => break,
            c => c,
        };
        // What follows may make the character optional.
        if matches!(rest.peek(), Some('*' | '?' | '{')) {
            break;
        }
        text.push(next);
    }
    let path = text.split('?').next().unwrap_or_default();
    let end = path.rfind('/').map_or(0, |at| at + 1);
    let prefix = path.get(..end).filter(|prefix| !prefix.is_empty()).unwrap_or("/");
    let beyond = anchored.strip_prefix(prefix).unwrap_or("?");
    (prefix.to_owned(), matches!(beyond, "" | ".*" | ".*$"))
}

fn accepted(outcome: &PurgeOutcome<'_>, notes: &[String]) -> Reply {
    let mut body = json!({ "status": "ok", "id": outcome.id, "epoch": outcome.epoch.0 });
    if !notes.is_empty() {
        body["notes"] = Value::from(notes.to_vec());
    }
    Reply::json(200, &body)
}

fn refused(refusal: &PurgeRefusal) -> Reply {
    let problem = match refusal {
        // There is no challenge that such a client would answer.
        PurgeRefusal::Caller(error @ AuthError::Missing) => Problem::refused(403, error.as_str()),
        PurgeRefusal::Caller(error) => error.problem(),
        PurgeRefusal::Content(problem) => problem.clone(),
    };
    Reply { status: problem.status(), fields: problem.fields(), body: problem.body() }
}
