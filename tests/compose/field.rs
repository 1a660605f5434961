//! `X-Edge-ISR-Compose`: what is a field, and what is none.

use edge_isr::base::time::Seconds;
use edge_isr::cache::compose::field::{Audience, compose_field, read};
use edge_isr::http::Fields;
use proptest::prelude::*;

use super::{CSRF, MARKER, MENU, field, fields, value};

#[test]
fn every_key_is_read() {
    let text = format!(
        "v=1, max-age=300, swr=3600, sie=86400, marker=\"{MARKER}\", placeholders=4, length=18231, \
         audience=anonymous, gate, wait, lang=\"de\", nonce, {CSRF}, csrf-personal, {MENU}, \
         shared=(\"/_edge_isr/f/menu?s=abc\")"
    );
    let field = read(&text).expect("a field");
    assert_eq!((field.max_age, field.swr, field.sie).0, Seconds(300));
    assert_eq!((field.swr, field.sie), (Some(Seconds(3600)), Some(Seconds(86400))));
    assert_eq!((field.placeholders, field.length), (4, 18231));
    assert_eq!(field.audience, Audience::Anonymous);
    assert!(field.gate && field.wait && field.nonce && field.csrf_personal);
    assert_eq!(field.lang.as_deref(), Some("de"));
    assert_eq!(field.csrf.expect("a cookie").name, "csrftoken");
    assert_eq!(field.cookies, ["sessionid", "messages"]);
    assert_eq!(field.personal, ["menu", "log-out"]);
    assert_eq!(field.shared, ["/_edge_isr/f/menu?s=abc"]);
}

#[test]
fn what_is_not_the_origins_own_writing_is_refused() {
    let good = value(0, 10, "");
    assert!(read(&good).is_some());
    let rows = [
        ("empty", String::new()),
        ("doubled, joined to one line", format!("{good}, {good}")),
        ("cut", good[..good.len() - 3].to_owned()),
        ("cut after a member", good.rsplit_once(", ").expect("members").0.to_owned()),
        ("rewritten", good.replace(", ", ",")),
        ("white space", format!(" {good}")),
        ("a parameter", good.replace("placeholders=0", "placeholders=0;x")),
        ("an unknown key", format!("{good}, vary=(\"x\")")),
        ("another version", good.replace("v=1", "v=2")),
        ("no version", good.replace("v=1, ", "")),
        ("a short marker", good.replace("eIsR", "")),
        ("a marker with a sign", good.replace("eIsR", "eI-R")),
        ("placeholders of another type", good.replace("placeholders=0", "placeholders=\"0\"")),
        ("negative", good.replace("placeholders=0", "placeholders=-1")),
        ("too many placeholders", good.replace("placeholders=0", "placeholders=1001")),
        ("an unknown audience", good.replace("audience=all", "audience=staff")),
        ("an audience as a string", good.replace("audience=all", "audience=\"all\"")),
        ("a list for a number", good.replace("placeholders=0", "placeholders=(0)")),
        ("personal without cookies", format!("{good}, personal=(\"menu\")")),
        ("cookies without personal", format!("{good}, cookies=(\"sessionid\")")),
        ("a name twice", value(0, 10, "cookies=(\"a\"), personal=(\"menu\" \"menu\")")),
        ("a name that is none", value(0, 10, "cookies=(\"a\"), personal=(\"me&nu\")")),
        ("a token among strings", value(0, 10, "cookies=(\"a\"), personal=(menu)")),
        ("a shared part elsewhere", value(0, 10, "shared=(\"https://other.example/\")")),
        ("a shared part on another host", value(0, 10, "shared=(\"//other.example/\")")),
        ("csrf for parts that are not there", value(0, 10, &format!("{CSRF}, csrf-personal"))),
        ("csrf without a path", value(0, 10, "csrf=(\"csrftoken\" \"Secure\")")),
        ("csrf with a time", value(0, 10, "csrf=(\"t\" \"Path=/; Expires=Thu\")")),
        ("csrf that splits the line", value(0, 10, "csrf=(\"t\" \"Path=/; x: y\")")),
        ("csrf of three", value(0, 10, "csrf=(\"t\" \"Path=/\" \"x\")")),
        ("a name that is no token", value(0, 10, "csrf=(\"a b\" \"Path=/\")")),
        ("above 16 KiB", value(0, 10, &format!("lang=\"{}\"", "a".repeat(16 << 10)))),
    ];
    for (what, text) in rows {
        assert!(read(&text).is_none(), "{what}: {text}");
    }
}

#[test]
fn thirty_two_parts_are_the_most() {
    let named = |count: usize| {
        let names: Vec<String> = (0..count).map(|n| format!("\"p{n}\"")).collect();
        value(0, 10, &format!("cookies=(\"a\"), personal=({})", names.join(" ")))
    };
    assert!(read(&named(32)).is_some());
    assert!(read(&named(33)).is_none());
}

#[test]
fn two_lines_are_none() {
    let good = value(0, 10, "");
    let twice: Fields = [("x-edge-isr-compose", &good), ("x-edge-isr-compose", &good)]
        .into_iter()
        .map(|(name, value)| (name, value.as_str()))
        .collect();
    assert!(compose_field(&twice).expect("there").is_err());
    assert!(compose_field(&fields(&[("x-edge-isr-compose", &good)])).expect("there").is_ok());
    assert!(compose_field(&Fields::new()).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// No change of one character is taken for the same field.
    #[test]
    fn a_changed_field_is_another_or_none(at in 0usize..400, with in "[ -~]") {
        let text = value(4, 321, &format!("nonce, {CSRF}, {MENU}"));
        let (before, after) = text.split_at(at % text.len());
        let changed = format!("{before}{with}{}", &after[1..]);
        if changed != text {
            prop_assert_ne!(read(&changed), Some(field(4, 321, &format!("nonce, {CSRF}, {MENU}"))));
        }
    }
}
