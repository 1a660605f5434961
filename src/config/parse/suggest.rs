//! The known word that a mistyped one is nearest to.

/// The word at the smallest edit distance, if it is near enough to be what was meant: one edit in
/// three characters.
pub(crate) fn nearest<'w>(typed: &str, words: &[&'w str]) -> Option<&'w str> {
    if typed.len() > MAX_LENGTH {
        return None;
    }
    let typed = typed.to_ascii_lowercase().replace('-', "_");
    words
        .iter()
        .map(|word| (distance(&typed, word), *word))
        .filter(|(edits, word)| *edits <= word.len().div_ceil(3).min(3))
        .min()
        .map(|(_, word)| word)
}

/// Longer texts are not typing errors, and the distance is quadratic.
const MAX_LENGTH: usize = 64;

/// The Levenshtein distance, in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        for (cell, right) in row.iter_mut().skip(1).zip(b.bytes()) {
            let above = *cell;
            let replaced = diagonal + usize::from(left != right);
            before = replaced.min(above + 1).min(before + 1);
            *cell = before;
            diagonal = above;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
