//! Composed pages: the field, the shell's placeholders, what is minted, and who gets what.
#![allow(clippy::expect_used, clippy::panic)]

mod csrf;
mod field;
mod head;
mod personal;
mod pieces;

use edge_isr::cache::compose::field::{ComposeField, read};
use edge_isr::http::Fields;

pub(crate) const MARKER: &str = "eIsRh2KQ0aZrT5mVw8YdBn1XcUo7LpEf3sJgGiHkMqR";

/// A field with what every one has, and `more`.
pub(crate) fn value(placeholders: usize, length: usize, more: &str) -> String {
    let more = if more.is_empty() { String::new() } else { format!(", {more}") };
    format!(
        "v=1, max-age=300, marker=\"{MARKER}\", placeholders={placeholders}, length={length}, \
         audience=all{more}"
    )
}

pub(crate) fn field(placeholders: usize, length: usize, more: &str) -> ComposeField {
    read(&value(placeholders, length, more)).expect("a field")
}

pub(crate) const CSRF: &str = "csrf=(\"csrftoken\" \"Path=/; SameSite=Lax\")";
pub(crate) const MENU: &str =
    "cookies=(\"sessionid\" \"messages\"), personal=(\"menu\" \"log-out\")";

pub(crate) fn fields(rows: &[(&str, &str)]) -> Fields {
    rows.iter().copied().collect()
}
