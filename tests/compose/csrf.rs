//! CSRF cookies and tokens, as Django reads and makes them.

use edge_isr::cache::compose::csrf::{CsrfCookie, has_cookie};
use edge_isr::cache::compose::mint::{Random, Secret, letters};
use proptest::prelude::*;

use super::fields;

const SECRET: &str = "abcXYZ019abcXYZ019abcXYZ019abcXY";

fn cookie(attributes: &str) -> CsrfCookie {
    CsrfCookie::read("csrftoken", attributes).expect("a cookie")
}

/// Random bytes that give this value.
fn bytes_of(text: &str) -> Random {
    const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let mut bytes = [255; 64];
    for (byte, c) in bytes.iter_mut().zip(text.chars()) {
        *byte = LETTERS.find(c).expect("a letter") as u8;
    }
    bytes
}

/// Django 6.1's own: `_mask_cipher_secret` with this mask.
#[test]
fn a_token_is_djangos() {
    let secret = Secret::of_cookie(SECRET).expect("a secret");
    let token = secret.token(&bytes_of("ZZZZyyyy9999aaaaMMMMnnnn0000bbbb")).expect("a token");
    assert_eq!(token, "ZZZZyyyy9999aaaaMMMMnnnn0000bbbbZ01Mmnop89abXYZ0DLMNpabcQRZ0cdYZ");
    assert_eq!(Secret::of_cookie(&token), Some(secret));
}

#[test]
fn the_cookie_in_force_is_the_one_that_django_takes() {
    let token = "ZZZZyyyy9999aaaaMMMMnnnn0000bbbbZ01Mmnop89abXYZ0DLMNpabcQRZ0cdYZ";
    let other = "b".repeat(32);
    let rows = [
        ("csrftoken=SECRET", true),
        ("csrftoken=TOKEN", true),
        ("csrftoken=\"SECRET\"", true),
        ("csrftoken=\"\\141bcXYZ019abcXYZ019abcXYZ019abcXY\"", true),
        ("csrftoken=\"\\abcXYZ019abcXYZ019abcXYZ019abcXY\"", true),
        ("a=1;csrftoken = SECRET ;b=2", true),
        ("csrftoken=OTHER; csrftoken=SECRET", true),
        ("csrftoken=SECRET; csrftoken=", false),
        ("csrftoken=SECRET; csrftoken=\"><script>", false),
        ("csrftoken=SECRETx", false),
        ("csrftoken=\"SECRET", false),
        ("csrftoken=SECRE-", false),
        ("csrftoken=é", false),
        ("csrftoken", false),
        ("Csrftoken=SECRET", false),
        ("a=1, csrftoken=SECRET", false),
        ("", false),
    ];
    for (line, there) in rows {
        let line = line.replace("SECRET", SECRET).replace("TOKEN", token).replace("OTHER", &other);
        let found = cookie("Path=/").secret_of(&fields(&[("cookie", &line)]));
        let want = there.then(|| Secret::of_cookie(SECRET).expect("a secret"));
        assert_eq!(found, want, "{line}");
    }
}

#[test]
fn what_came_is_never_echoed() {
    let secret = Secret::of_cookie(SECRET).expect("a secret");
    let all =
        cookie("Domain=.Example.com; HttpOnly; Max-Age=31449600; Path=/app; SameSite=Lax; Secure");
    assert_eq!(
        all.set_cookie(&secret),
        format!(
            "csrftoken={SECRET}; Path=/app; Domain=.example.com; HttpOnly; Max-Age=31449600; \
             SameSite=Lax; Secure"
        )
    );
    let hostile =
        fields(&[("cookie", "a=1; csrftoken=\"><script>; sessionid=s; csrftoken=x; lone")]);
    assert_eq!(
        all.in_force(&hostile, &secret),
        format!("a=1; sessionid=s; lone; csrftoken={SECRET}")
    );
    assert!(!format!("{secret:?}").contains("abc"));
}

#[test]
fn a_page_outside_of_the_cookies_scope_is_seen() {
    let rows = [
        ("Path=/", "www.example.com", "/", true),
        ("Path=/app", "www.example.com", "/app", true),
        ("Path=/app", "www.example.com", "/app/x", true),
        ("Path=/app/", "www.example.com", "/app/x", true),
        ("Path=/app", "www.example.com", "/apple", false),
        ("Path=/app", "www.example.com", "/blog", false),
        ("Path=/app/", "www.example.com", "/app", false),
        ("Path=/; Domain=example.com", "www.example.com:8443", "/", true),
        ("Path=/; Domain=.example.com", "example.com", "/", true),
        ("Path=/; Domain=example.com", "badexample.com", "/", false),
        ("Path=/; Domain=www.example.com", "example.com", "/", false),
    ];
    for (attributes, host, path, want) in rows {
        assert_eq!(cookie(attributes).covers(host, path), want, "{attributes} {host}{path}");
    }
}

#[test]
fn personal_cookies_are_found_as_django_reads_them() {
    let names = ["sessionid".to_owned(), "messages".to_owned()];
    assert!(has_cookie(&fields(&[("cookie", "a=1; sessionid=x")]), &names));
    assert!(has_cookie(&fields(&[("cookie", "a=1"), ("cookie", "messages=")]), &names));
    assert!(!has_cookie(&fields(&[("cookie", "a=sessionid; xsessionid=1")]), &names));
}

/// Every byte that counts gives a letter, each letter as often; the others are thrown away.
#[test]
fn letters_are_fair() {
    let mut counts = std::collections::BTreeMap::new();
    for byte in 0..=255u8 {
        let mut random = [0; 64];
        random[0] = byte;
        let first = letters(&random).expect("letters").remove(0);
        if byte < 248 {
            *counts.entry(first).or_insert(0) += 1;
        } else {
            assert_eq!(first, 'a', "the next byte counts");
        }
    }
    assert_eq!(counts.len(), 62);
    assert!(counts.values().all(|count| *count == 4));
    assert_eq!(letters(&[255; 64]), None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Tokens of one secret differ, and each is the secret's.
    #[test]
    fn a_token_is_its_secrets(
        secret in prop::array::uniform32(any::<u8>()),
        one in prop::array::uniform32(0u8..248),
        two in prop::array::uniform32(0u8..248),
    ) {
        let random = |half: [u8; 32]| {
            let mut bytes = [0; 64];
            bytes[..32].copy_from_slice(&half);
            bytes
        };
        let secret = Secret::new(&random(secret)).expect("a secret");
        let one_token = secret.token(&random(one)).expect("a token");
        prop_assert_eq!(Secret::of_cookie(&one_token), Some(secret.clone()));
        prop_assert_eq!(Secret::of_cookie(&secret.cookie_value()), Some(secret.clone()));
        let other = secret.token(&random(two)).expect("a token");
        let same = one.map(|b| b % 62) == two.map(|b| b % 62);
        prop_assert_eq!(one_token == other, same);
    }
}
