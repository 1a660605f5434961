//! Names inside route settings: query parameters, cookies, languages, request fields.

use serde_json::Value;

use super::reader::{Problems, shown};

/// A query parameter's name, or the beginning of several with a `*` at its end.
pub(super) fn parameter(path: &str, value: &Value, problems: &mut Problems) -> Option<String> {
    let wrong = |name: &str| {
        name.is_empty()
            || name.contains(['&', '=', '#'])
            || name.contains(char::is_control)
            || name.trim_end_matches('*').contains('*')
            || name.ends_with("**")
    };
    match value.as_str() {
        Some(name) if !wrong(name) => Some(name.to_owned()),
        Some(_) | None => {
            let what = "the name of a query parameter (a * only at its end)";
            problems.expected(path, what, value);
            None
        }
    }
}

/// A cookie's name: a token (RFC 6265 §4.1.1).
pub(super) fn cookie_name(path: &str, value: &Value, problems: &mut Problems) -> Option<String> {
    match value.as_str() {
        Some(name) if is_token(name) && !name.contains('*') => Some(name.to_owned()),
        Some(_) | None => {
            problems.expected(path, "the name of a cookie", value);
            None
        }
    }
}

/// The same, or the beginning of several with a `*` at its end.
pub(super) fn cookie_pattern(path: &str, value: &Value, problems: &mut Problems) -> Option<String> {
    let known = |name: &str| {
        let body = name.strip_suffix('*').unwrap_or(name);
        is_token(name) && !body.contains('*')
    };
    match value.as_str() {
        Some(name) if known(name) => Some(name.to_owned()),
        Some(_) | None => {
            problems.expected(path, "the name of a cookie (a * only at its end)", value);
            None
        }
    }
}

/// A language tag as far as RFC 5646 §2.1 has a common form: subtags of 1 to 8 letters and digits.
pub(super) fn language(path: &str, value: &Value, problems: &mut Problems) -> Option<String> {
    let subtag = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    match value.as_str() {
        Some(tag)
            if tag.split('-').all(subtag)
                && tag.starts_with(|first: char| first.is_ascii_alphabetic()) =>
        {
            Some(tag.to_owned())
        }
        Some(_) | None => {
            problems.expected(path, "a language such as \"en\" or \"pt-BR\"", value);
            None
        }
    }
}

/// A request field that may be forwarded. Refused are those whose meaning belongs to the
/// connection, to the edge, or to one visitor: a stored answer must not depend on them.
pub(super) fn field_name(path: &str, value: &Value, problems: &mut Problems) -> Option<String> {
    let Some(name) = value.as_str().filter(|name| is_token(name)) else {
        problems.expected(path, "the name of a request header", value);
        return None;
    };
    let name = name.to_ascii_lowercase();
    let refusal = match name.as_str() {
        "cookie" => Some("name the cookies in key_cookies instead"),
        "authorization" | "proxy-authorization" => Some("requests with credentials bypass"),
        "connection" | "keep-alive" | "proxy-connection" | "te" | "trailer" | "upgrade"
        | "transfer-encoding" | "content-length" | "host" | "expect" | "max-forwards" => {
            Some("it belongs to the connection")
        }
        "range"
        | "if-range"
        | "if-match"
        | "if-none-match"
        | "if-modified-since"
        | "if-unmodified-since" => Some("the edge makes conditional and range requests of its own"),
        "forwarded"
        | "via"
        | "cdn-loop"
        | "x-real-ip"
        | "true-client-ip"
        | "x-original-url"
        | "x-rewrite-url"
        | "x-http-method-override"
        | "x-http-method"
        | "x-method-override" => Some("visitors can forge it"),
        other
            if ["x-forwarded-", "x-edge-isr", "cf-"].iter().any(|head| other.starts_with(head)) =>
        {
            Some("visitors can forge it")
        }
        _ => None,
    };
    match refusal {
        Some(why) => {
            problems.add(path, format!("{} can't be forwarded: {why}", shown(value)));
            None
        }
        None => Some(name),
    }
}

/// `token` (RFC 9110 §5.6.2).
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
