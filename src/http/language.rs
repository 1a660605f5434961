//! `Accept-Language` (RFC 9110 §12.5.4): one language out of a list, by look-up (RFC 4647 §3.4).
//!
//! Ranges are tried from the greatest weight down, each shortened from its end until a language of
//! the list fits. Among ranges of equal weight the list's own order decides: the order within the
//! field has no meaning that could be relied on. `*` and no match give the list's first language. A
//! weight of 0 excludes a language and its regions, but those that a longer range names. A field of
//! more than [`MAX_BYTES`] counts as absent, because every range is compared with every language
//! for every weight.

use super::accept::MAX_BYTES;
use super::list::weighted;

/// The language of `languages` that serves a visitor best; none only if the list is empty.
#[must_use]
pub fn look_up<'l>(accept_language: Option<&str>, languages: &'l [String]) -> Option<&'l str> {
    let readable = accept_language.filter(|value| value.len() <= MAX_BYTES);
    let mut ranges = weighted(readable.unwrap_or_default());
    let all = ranges.clone();
    let allowed = |language: &str| {
        let named = all.iter().filter(|(range, _)| covers(range, language));
        named.max_by_key(|(range, weight)| (range.len(), *weight)).is_none_or(|(_, w)| *w > 0)
    };
    ranges.retain(|(range, weight)| *weight > 0 && range != "*");
    let mut weights: Vec<u16> = ranges.iter().map(|(_, weight)| *weight).collect();
    weights.sort_by(|a, b| b.cmp(a));
    weights.dedup();
    for weight in weights {
        let fits = |language: &&String| {
            ranges
                .iter()
                .any(|(range, w)| *w == weight && allowed(language) && range_fits(range, language))
        };
        if let Some(language) = languages.iter().find(fits) {
            return Some(language);
        }
    }
    languages.iter().find(|l| allowed(l)).or(languages.first()).map(String::as_str)
}

/// Whether a range names a language, or one of which it is a region (RFC 4647 §3.3.1).
fn covers(range: &str, language: &str) -> bool {
    let begin = language.get(..range.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(range));
    begin && matches!(language.as_bytes().get(range.len()), None | Some(b'-'))
}

/// Whether a range or one of its shortened forms is the language (RFC 4647 §3.4).
fn range_fits(range: &str, language: &str) -> bool {
    let mut range = range;
    loop {
        if range.eq_ignore_ascii_case(language) {
            return true;
        }
        let Some((shorter, _)) = range.rsplit_once('-') else { return false };
        // A single letter or digit goes together with what follows it.
        range = match shorter.rsplit_once('-') {
            Some((before, single)) if single.len() == 1 => before,
            Some(_) | None => shorter,
        };
    }
}

/// A value in the form in which two fields of one meaning are equal: lower case, no white space.
#[must_use]
pub fn normalise(accept_language: &str) -> String {
    let mut value = accept_language.to_ascii_lowercase();
    value.retain(|c| c != ' ' && c != '\t');
    value
}
