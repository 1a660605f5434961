//! Reads `front_caches`.

use serde_json::Value;

use super::reader::{Problems, Section};
use crate::config::front_cache::{FrontCache, Provider};
use crate::config::origin::OriginUrl;

const KEYS: &[&str] = &["name", "provider", "url", "zone", "service", "distribution", "tags"];

/// One of `front_caches`.
pub(super) fn read(path: &str, value: &Value, problems: &mut Problems) -> Option<FrontCache> {
    let section = Section::open(path.to_owned(), value, problems)?;
    section.refuse_unknown(KEYS, problems);
    let missing =
        |key: &str, problems: &mut Problems| problems.add(section.at(key), "it is missing");
    if !section.has("provider") {
        missing("provider", problems);
    }
    let provider = section.choice("provider", Provider::ALL, problems)?;
    if !section.has("name") {
        missing("name", problems);
    }
    let name = plain(&section, "name", problems)?;
    let key = provider.key();
    for other in ["zone", "service", "distribution"] {
        if Some(other) != key && section.has(other) {
            problems.add(section.at(other), "this provider has none");
        }
    }
    let id = match key {
        Some(key) if !section.has(key) => {
            missing(key, problems);
            return None;
        }
        Some(key) => plain(&section, key, problems)?,
        None => String::new(),
    };
    let mut tags = provider.tag_field().is_none();
    section.switch("tags", &mut tags, problems);
    if provider == Provider::WorkersCache && section.has("url") {
        problems.add(section.at("url"), "this provider has none");
        return None;
    }
    let url = section.text("url", problems);
    let Some(url) = url.or(provider.url()) else {
        if !section.has("url") {
            missing("url", problems);
        }
        return None;
    };
    match OriginUrl::parse(url) {
        Ok(url) => Some(FrontCache { name, provider, url, id, tags }),
        Err(_) => {
            let what = "expected an absolute URL without credentials, query and fragment";
            problems.add(section.at("url"), what);
            None
        }
    }
}

/// A name of plain characters: it stands in paths, logs and secrets.
fn plain(section: &Section<'_>, key: &str, problems: &mut Problems) -> Option<String> {
    let text = section.text(key, problems)?;
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if (1..=64).contains(&text.len()) && text.bytes().all(good) {
        return Some(text.to_owned());
    }
    problems.add(section.at(key), "it has 1 to 64 letters, digits, - _ .");
    None
}
