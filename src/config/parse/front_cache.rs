//! Reads `front_caches`.

use serde_json::Value;

use super::reader::{Problems, Section};
use crate::config::front_cache::{ApiAddress, FrontCache, OWN_URL, Provider};
use crate::config::origin::OriginUrl;

const KEYS: &[&str] = &["name", "provider", "url", "tags"];

/// One of `front_caches`, at one of these providers.
pub(super) fn read(
    path: &str,
    value: &Value,
    providers: &[&'static Provider],
    problems: &mut Problems,
) -> Option<FrontCache> {
    let section = Section::open(path.to_owned(), value, problems)?;
    let keys: Vec<&str> = providers.iter().filter_map(|provider| provider.key).collect();
    section.refuse_unknown(&[KEYS, &keys].concat(), problems);
    let missing =
        |key: &str, problems: &mut Problems| problems.add(section.at(key), "it is missing");
    if !section.has("provider") {
        missing("provider", problems);
    }
    let words: Vec<(&str, &'static Provider)> =
        providers.iter().map(|provider| (provider.name, *provider)).collect();
    let provider = section.choice("provider", &words, problems)?;
    if !section.has("name") {
        missing("name", problems);
    }
    let name = plain(&section, "name", problems)?;
    for other in keys {
        if Some(other) != provider.key && section.has(other) {
            problems.add(section.at(other), "this provider has none");
        }
    }
    let id = match provider.key {
        Some(key) if !section.has(key) => {
            missing(key, problems);
            return None;
        }
        Some(key) => plain(&section, key, problems)?,
        None => String::new(),
    };
    let mut tags = provider.tag_field.is_none();
    section.switch("tags", &mut tags, problems);
    if provider.address == ApiAddress::Own && section.has("url") {
        problems.add(section.at("url"), "this provider has none");
        return None;
    }
    let known = match provider.address {
        ApiAddress::At(url) => Some(url),
        ApiAddress::Own => Some(OWN_URL),
        ApiAddress::Setting => None,
    };
    let Some(url) = section.text("url", problems).or(known) else {
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
