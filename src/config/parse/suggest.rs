//! The known word that a mistyped one is nearest to.

use strsim::levenshtein;

/// The word at the smallest edit distance, if it is near enough to be what was meant: one edit in
/// three characters.
pub(crate) fn nearest<'w>(typed: &str, words: &[&'w str]) -> Option<&'w str> {
    if typed.len() > MAX_LENGTH {
        return None;
    }
    let typed = typed.to_ascii_lowercase().replace('-', "_");
    words
        .iter()
        .map(|word| (levenshtein(&typed, word), *word))
        .filter(|(edits, word)| *edits <= word.len().div_ceil(3).min(3))
        .min()
        .map(|(_, word)| word)
}

/// Longer texts are not typing errors, and the distance is quadratic.
const MAX_LENGTH: usize = 64;
