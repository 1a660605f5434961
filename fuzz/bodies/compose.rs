//! Composed pages: the field, the shell's placeholders, cookies and personal answers.

use edge_isr::cache::compose::field::{ComposeField, MAX_PARTS, MAX_PLACEHOLDERS, read};
use edge_isr::cache::compose::mint::Random;
use edge_isr::cache::compose::pieces::{Leaf, Piece, pieces};
use edge_isr::cache::compose::visitor::Minted;
use edge_isr::cache::compose::{personal, shell};
use edge_isr::config::Route;
use edge_isr::http::{Fields, ResponseHead};

use super::{latin1, lines_of};

const FIELD: &str = "v=1, max-age=300, marker=\"eIsRh2KQ0aZrT5mVw8YdBn1XcUo7LpEf3sJgGiHkMqR\", \
                     placeholders=PLACEHOLDERS, length=LENGTH, audience=all, nonce, csrf=(\"csrftoken\" \
                     \"Path=/\"), cookies=(\"sessionid\"), personal=(\"a\"), shared=(\"/b\")";
const MARKER: &str = "eIsRh2KQ0aZrT5mVw8YdBn1XcUo7LpEf3sJgGiHkMqR";

/// The first line is a field, the second cookies, the rest a body in which `@` is the marker. What
/// is read covers the body, in order; what is made holds neither the marker nor what came.
pub(crate) fn compose(data: &[u8]) {
    let mut lines = data.splitn(3, |byte| *byte == b'\n');
    let line = latin1(lines.next().unwrap_or_default());
    let cookies = lines_of("cookie", lines.next().unwrap_or_default());
    let rest = lines.next().unwrap_or_default();
    if let Some(field) = read(&line) {
        assert!(field.placeholders <= MAX_PLACEHOLDERS);
        assert!(field.personal.len() + field.shared.len() <= MAX_PARTS);
        made(&field, &cookies);
        covers(&field, rest);
    }
    let body: Vec<u8> = rest
        .iter()
        .flat_map(|byte| if *byte == b'@' { MARKER.as_bytes().to_vec() } else { vec![*byte] })
        .collect();
    let placeholders = rest.iter().filter(|byte| **byte == b'@').count();
    let text = FIELD.replace("PLACEHOLDERS", &placeholders.to_string());
    let known = read(&text.replace("LENGTH", &body.len().to_string()));
    assert!(placeholders > MAX_PLACEHOLDERS || known.is_some());
    if let Some(field) = known {
        made(&field, &cookies);
        covers(&field, &body);
        let parts = personal::parts("id", &field, rest);
        assert!(parts.is_err() || data.windows(2).any(|two| two == b"id"));
    }
}

/// The pieces of a body: each byte of text once, in order, and nothing of the marker.
fn covers(field: &ComposeField, body: &[u8]) {
    let Some(pieces) = pieces(field, body) else { return };
    let mut leaves: Vec<&Leaf> = Vec::new();
    for piece in &pieces {
        match piece {
            Piece::Leaf(leaf) => leaves.push(leaf),
            Piece::Personal { part, fallback } => {
                assert!(*part < field.personal.len());
                leaves.extend(fallback);
            }
            Piece::Shared { part, fallback } => {
                assert!(*part < field.shared.len());
                leaves.extend(fallback);
            }
        }
    }
    let (mut at, mut text) = (0, 0);
    for leaf in leaves {
        if let Leaf::Text(range) = leaf {
            assert!(range.start >= at && range.end <= body.len());
            let marker = field.marker.as_bytes();
            assert!(!body[range.clone()].windows(marker.len()).any(|part| part == marker));
            (at, text) = (range.end, text + range.len());
        }
    }
    assert_eq!(text + field.placeholders * (field.marker.len() + 3), body.len());
}

/// What is made for a visitor: a line that can be sent, with nothing that came in it.
fn made(field: &ComposeField, cookies: &Fields) {
    let mut next = 0;
    let mut random = || -> Random {
        next += 1;
        [next; 64]
    };
    let minted = Minted::new(field, cookies, true, &mut random).expect("values");
    let head = ResponseHead { status: 200, fields: Fields::new() };
    let stored = shell::stored_fields(shell::as_public(&head, field).fields, &head.fields);
    let fields = minted.fields(&stored, field, &Route::default(), true).expect("fields");
    if let (Some(cookie), Some(secret)) = (&field.csrf, minted.secret()) {
        let value = secret.cookie_value();
        assert!(value.len() == 32 && value.bytes().all(|b| b.is_ascii_alphanumeric()));
        let line = fields.get("set-cookie").expect("a cookie");
        assert!(line.bytes().all(|b| b.is_ascii_graphic() || b == b' '), "{line}");
        let sent: Fields = [("cookie", cookie.in_force(cookies, secret))].into_iter().collect();
        assert_eq!(cookie.secret_of(&sent).as_ref(), Some(secret));
    }
}
