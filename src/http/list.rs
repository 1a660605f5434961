//! Lists, tokens and quoted strings (RFC 9110 §5.6): what the grammars of the other fields are made
//! of.
//!
//! ```text
//! list          = [ element ] *( OWS "," OWS [ element ] )
//! token         = 1*tchar
//! quoted-string = DQUOTE *( qdtext / quoted-pair ) DQUOTE
//! ```

/// Optional white space (RFC 9110 §5.6.3), taken off both ends.
#[must_use]
pub fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// A text cut at a separator that stands outside of quoted strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split<'a> {
    /// The parts, trimmed, without the empty ones.
    pub parts: Vec<&'a str>,
    /// Whether each quoted string was closed.
    pub closed: bool,
}

/// Cuts a text at `separator` outside of quoted strings.
#[must_use]
pub fn split(text: &str, separator: u8) -> Split<'_> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        if escaped {
            escaped = false;
        } else if quoted && byte == b'\\' {
            escaped = true;
        } else if byte == b'"' {
            quoted = !quoted;
        } else if byte == separator && !quoted {
            parts.push(trim(&text[start..at]));
            start = at + 1;
        }
    }
    parts.push(trim(&text[start..]));
    parts.retain(|part| !part.is_empty());
    Split { parts, closed: !quoted }
}

/// A list without the white space around its commas; a text with an open quote as it is.
#[must_use]
pub fn list_value(value: &str) -> String {
    let members = split(value, b',');
    if members.closed { members.parts.join(",") } else { trim(value).to_owned() }
}

/// Whether a text is a token (RFC 9110 §5.6.2).
#[must_use]
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_tchar)
}

/// Whether a byte may stand in a token.
#[must_use]
pub const fn is_tchar(byte: u8) -> bool {
    matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'
        | b'_' | b'`' | b'|' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z')
}

/// The value of a token or of a whole quoted string, unescaped (RFC 9110 §5.6.4); none if it is
/// neither.
#[must_use]
pub fn unquote(text: &str) -> Option<String> {
    let Some(inner) = text.strip_prefix('"') else {
        return is_token(text).then(|| text.to_owned());
    };
    let inner = inner.strip_suffix('"')?;
    let (mut value, mut escaped) = (String::with_capacity(inner.len()), false);
    for c in inner.chars() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return None,
            _ => value.push(c),
        }
    }
    (!escaped).then_some(value)
}

/// A quality value in thousandths (RFC 9110 §12.4.2): `0` to `1` with at most three digits; none if
/// it is not one.
#[must_use]
pub fn quality(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let thousandths = format!("{fraction:0<3}").parse::<u16>().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

/// The members of a weighted list (`Accept-Language`, `Accept-Encoding`): value in lower case,
/// weight in thousandths. A member whose weight can't be read counts as not accepted.
#[must_use]
pub fn weighted(text: &str) -> Vec<(String, u16)> {
    let member = |part: &str| {
        let mut pieces = part.split(';').map(trim);
        let value = pieces.next().unwrap_or_default().to_ascii_lowercase();
        let weight = pieces
            .find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q=")))
            .map_or(1000, |q| quality(q).unwrap_or(0));
        (value, weight)
    };
    split(text, b',').parts.into_iter().map(member).filter(|(value, _)| !value.is_empty()).collect()
}
