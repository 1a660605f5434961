//! A shell's body and its placeholders.

use edge_isr::cache::compose::field::{ComposeField, read};
use edge_isr::cache::compose::pieces::{Leaf, Piece, pieces};
use proptest::prelude::*;

use super::{CSRF, MARKER, MENU, field, value};

fn all() -> String {
    format!("nonce, {CSRF}, {MENU}, shared=(\"/a\" \"/b\")")
}

/// Pieces of a body in which `@` is the marker.
fn cut(body: &str, more: &str) -> Option<Vec<Piece>> {
    let placeholders = body.matches('@').count();
    let body = body.replace('@', MARKER);
    pieces(&field(placeholders, body.len(), more), body.as_bytes())
}

#[test]
fn places_are_found() {
    let body = "<a>@t00</a>@n00@p00 in @t07 @e00 &@t00@p01@e01";
    let found = cut(body, &format!("nonce, {CSRF}, {MENU}")).expect("a shell");
    let text = |piece: &Piece| matches!(piece, Piece::Leaf(Leaf::Text(_)));
    let rest: Vec<&Piece> = found.iter().filter(|piece| !text(piece)).collect();
    let Piece::Personal { part: 0, fallback } = rest[2] else { panic!("{rest:?}") };
    assert_eq!(fallback[1], Leaf::Token(7));
    assert_eq!(rest[0], &Piece::Leaf(Leaf::Token(0)));
    assert_eq!(rest[1], &Piece::Leaf(Leaf::Nonce));
    assert_eq!(rest[3], &Piece::Leaf(Leaf::Token(0)));
    assert_eq!(rest[4], &Piece::Personal { part: 1, fallback: Vec::new() });
}

#[test]
fn what_does_not_fit_is_no_shell() {
    let both = format!("nonce, {CSRF}, {MENU}");
    let rest = "@p00@e00@p01@e01";
    for (what, body, more) in [
        ("an unknown letter", "@x00".to_owned(), String::new()),
        ("no number", "@tXX".to_owned(), CSRF.to_owned()),
        ("cut in a placeholder", "@t0".to_owned(), CSRF.to_owned()),
        ("a second nonce", "@n01".to_owned(), "nonce".to_owned()),
        ("a nonce that the field does not name", "@n00".to_owned(), CSRF.to_owned()),
        ("a token without a cookie", "@t00".to_owned(), "nonce".to_owned()),
        ("a part that the field does not name", format!("{rest}@p02@e02"), both.clone()),
        ("a part that does not end", "@p00@e00@p01".to_owned(), both.clone()),
        ("an end without a beginning", format!("@e00{rest}"), both.clone()),
        ("an end of another", "@p00@e01@p01@e00".to_owned(), both.clone()),
        ("a part in a part", "@p00@p01@e01@e00".to_owned(), both.clone()),
        ("a part without a placeholder", "@p00@e00".to_owned(), both),
        (
            "a token beside a cookie that is for parts alone",
            format!("@t00{rest}"),
            format!("{CSRF}, csrf-personal, {MENU}"),
        ),
    ] {
        assert_eq!(cut(&body, &more), None, "{what}");
    }
}

#[test]
fn count_and_length_are_checked() {
    let body = format!("<form>{MARKER}t00</form>");
    assert!(pieces(&field(1, body.len(), CSRF), body.as_bytes()).is_some());
    assert!(pieces(&field(2, body.len(), CSRF), body.as_bytes()).is_none());
    assert!(pieces(&field(0, body.len(), CSRF), body.as_bytes()).is_none());
    assert!(pieces(&field(1, body.len() + 1, CSRF), body.as_bytes()).is_none());
    assert!(pieces(&field(1, body.len(), CSRF), &body.as_bytes()[1..]).is_none());
}

#[test]
fn what_looks_like_a_marker_is_text() {
    let old = MARKER.replace("eIsR", "eIsQ");
    for text in [
        old.as_str(),
        &MARKER[..42],
        "<esi:include src=\"/admin/\"/>",
        "{% csrf_token %} X-Edge-ISR-Compose: v=1",
        "eIsReIsReIsR",
    ] {
        let text = format!("{text}t00");
        let want = vec![Piece::Leaf(Leaf::Text(0..text.len()))];
        assert_eq!(pieces(&field(0, text.len(), CSRF), text.as_bytes()), Some(want), "{text}");
    }
}

/// What a page is made of, before it has a marker.
#[derive(Clone, Debug)]
enum Part {
    Text(Vec<u8>),
    Token(u8),
    Nonce,
    Personal(u8, Vec<Part>),
    Shared(u8, Vec<Part>),
}

fn leaf() -> impl Strategy<Value = Part> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..12).prop_map(Part::Text),
        2 => "[eéIsR@<ß-]{0,9}".prop_map(|text| Part::Text(text.into_bytes())),
        1 => (0usize..43).prop_map(|to| Part::Text([&MARKER.as_bytes()[..to], b"!"].concat())),
        2 => (0u8..100).prop_map(Part::Token),
        1 => Just(Part::Nonce),
    ]
}

fn page() -> impl Strategy<Value = Vec<Part>> {
    let leaves = || prop::collection::vec(leaf(), 0..6);
    prop::collection::vec(
        prop_oneof![
            5 => leaf(),
            1 => (0u8..2, leaves()).prop_map(|(part, within)| Part::Personal(part, within)),
            1 => (0u8..2, leaves()).prop_map(|(part, within)| Part::Shared(part, within)),
        ],
        0..16,
    )
}

/// As an origin writes a page: with a marker for each placeholder; and as a visitor gets it, where
/// each placeholder is what `fill` says.
fn write(parts: &[Part], shell: &mut Vec<u8>, filled: &mut Vec<u8>, placeholders: &mut usize) {
    let mark = |shell: &mut Vec<u8>, placeholder: String| {
        shell.extend(MARKER.bytes().chain(placeholder.bytes()));
        1
    };
    for part in parts {
        match part {
            Part::Text(text) => {
                shell.extend(text);
                filled.extend(text);
            }
            Part::Token(number) => {
                *placeholders += mark(shell, format!("t{number:02}"));
                filled.extend(format!("<token {number}>").bytes());
            }
            Part::Nonce => {
                *placeholders += mark(shell, "n00".to_owned());
                filled.extend(b"<nonce>");
            }
            Part::Personal(number, within) | Part::Shared(number, within) => {
                let personal = matches!(part, Part::Personal(..));
                let letter = if personal { 'p' } else { 's' };
                *placeholders += mark(shell, format!("{letter}{number:02}"));
                let mut fallback = Vec::new();
                write(within, shell, &mut fallback, placeholders);
                *placeholders += mark(shell, format!("e{number:02}"));
                filled.extend(if personal {
                    format!("<personal {number}>").into_bytes()
                } else {
                    fallback
                });
            }
        }
    }
}

fn filled(field: &ComposeField, body: &[u8], pieces: &[Piece]) -> Vec<u8> {
    let leaf = |leaf: &Leaf| match leaf {
        Leaf::Text(range) => body[range.clone()].to_vec(),
        Leaf::Token(number) => format!("<token {number}>").into_bytes(),
        Leaf::Nonce => b"<nonce>".to_vec(),
    };
    pieces
        .iter()
        .flat_map(|piece| match piece {
            Piece::Leaf(one) => leaf(one),
            Piece::Personal { part, .. } => {
                assert!(*part < field.personal.len());
                format!("<personal {part}>").into_bytes()
            }
            Piece::Shared { fallback, .. } => fallback.iter().flat_map(leaf).collect(),
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// What is stored of a page, with its placeholders filled, is what the origin renders for a
    /// visitor.
    #[test]
    fn a_shell_with_its_places_filled_is_the_page(mut parts in page()) {
        // Each part that the field names has a placeholder.
        for number in 0..2 {
            parts.push(Part::Personal(number, Vec::new()));
            parts.push(Part::Shared(number, Vec::new()));
        }
        let (mut shell, mut page, mut placeholders) = (Vec::new(), Vec::new(), 0);
        write(&parts, &mut shell, &mut page, &mut placeholders);
        let field = read(&value(placeholders, shell.len(), &all())).expect("a field");
        let cut = pieces(&field, &shell).expect("a shell");
        prop_assert_eq!(filled(&field, &shell, &cut), page);
    }

    /// A body that lost or won a byte, or has another in a placeholder, is none or fills otherwise.
    #[test]
    fn a_body_that_is_cut_is_no_shell(parts in page(), to in any::<prop::sample::Index>()) {
        let (mut shell, mut page, mut placeholders) = (Vec::new(), Vec::new(), 0);
        write(&parts, &mut shell, &mut page, &mut placeholders);
        let more = format!("nonce, {CSRF}");
        let field = read(&value(placeholders, shell.len(), &more)).expect("a field");
        if !shell.is_empty() {
            prop_assert_eq!(pieces(&field, &shell[..to.index(shell.len())]), None);
        }
        shell.push(b' ');
        prop_assert_eq!(pieces(&field, &shell), None);
    }
}
