//! Parses `error_page`.

use serde_json::Value;

use crate::config::error_page::ErrorPage;

use super::reader::{Problems, Section};

/// The longest text of each kind, in bytes.
const MAX_TEXT_BYTES: usize = 16 << 10;

/// The page of the edge's own errors.
pub(super) fn error_page(path: String, value: &Value, problems: &mut Problems) -> ErrorPage {
    let mut page = ErrorPage::default();
    let Some(section) = Section::open(path, value, problems) else { return page };
    section.refuse_unknown(&["title", "text", "style"], problems);
    let texts: [(&str, &mut String); 3] =
        [("title", &mut page.title), ("text", &mut page.text), ("style", &mut page.style)];
    for (key, into) in texts {
        let Some(text) = section.text(key, problems) else { continue };
        if text.len() > MAX_TEXT_BYTES {
            problems.add(section.at(key), format!("it is longer than {MAX_TEXT_BYTES} bytes"));
        }
        // A style element ends at the first such text, wherever it stands.
        if key == "style" && text.contains("</") {
            problems.add(section.at(key), "a style sheet can't hold \"</\"");
        }
        text.clone_into(into);
    }
    page
}
