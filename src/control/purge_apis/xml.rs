//! XML as the bodies of calls have it: elements with text, no mixed content.
//!
//! Attributes and namespaces say nothing. Refused is what [`crate::base::xml`] refuses, and nesting
//! deeper than [`MAX_DEPTH`].

use crate::base::xml::{TokenError, XmlToken, inside, name, resolve, token};

/// Elements within elements.
const MAX_DEPTH: usize = 16;

/// An element that is open.
struct OpenElement {
    /// Its name as the end tag has it.
    name: String,
    /// Its path of local names.
    path: String,
    text: String,
    /// It holds other elements.
    parent: bool,
}

/// The elements that hold no others, in order: their path (`Batch/Items/Path`) and their text.
pub(super) fn leaves(body: &[u8]) -> Result<Vec<(String, String)>, &'static str> {
    let mut rest = body;
    let mut found = Vec::new();
    let mut open: Vec<OpenElement> = Vec::new();
    let mut begun = false;
    while !rest.is_empty() {
        let Some((length, kind)) = token(rest).map_err(words)? else { break };
        let (whole, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        rest = after;
        let part = std::str::from_utf8(inside(whole, kind)).map_err(|_| "it is not UTF-8")?;
        match kind {
            XmlToken::Aside => {}
            XmlToken::Text | XmlToken::Cdata => match open.last_mut() {
                Some(element) if kind == XmlToken::Cdata => element.text.push_str(part),
                Some(element) => resolve(part, &mut element.text).map_err(words)?,
                None if part.trim().is_empty() => {}
                None => return Err("there is text outside of its element"),
            },
            XmlToken::Open(closed) => {
                if open.is_empty() && begun {
                    return Err("it has two roots");
                }
                begun = true;
                let element = element(part, &mut open)?;
                open.push(element);
                if closed && let Some(empty) = open.pop() {
                    found.push((empty.path, empty.text));
                }
            }
            XmlToken::Close => {
                let ended = open.pop().filter(|element| part.trim_end() == element.name);
                let ended = ended.ok_or("a tag ends that did not begin")?;
                if !ended.parent {
                    found.push((ended.path, ended.text));
                }
            }
        }
    }
    let whole = begun && open.is_empty() && rest.trim_ascii().is_empty();
    if whole { Ok(found) } else { Err("it ends too early") }
}

/// The element that a tag begins within those that are open.
fn element(tag: &str, open: &mut [OpenElement]) -> Result<OpenElement, &'static str> {
    if open.len() >= MAX_DEPTH {
        return Err("it nests too deep");
    }
    let name = name(tag.as_bytes()).ok_or("an element has no name")?;
    let local = name.rsplit(':').next().unwrap_or(name);
    let path = match open.last_mut() {
        Some(parent) => {
            parent.parent = true;
            format!("{}/{local}", parent.path)
        }
        None => local.to_owned(),
    };
    Ok(OpenElement { name: name.to_owned(), path, text: String::new(), parent: false })
}

const fn words(error: TokenError) -> &'static str {
    match error {
        TokenError::DocumentType => "it has a document type",
        TokenError::Malformed(why) => why,
    }
}
