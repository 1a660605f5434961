//! Who may call the control API: Standard Webhooks signatures, and tokens with scopes.
#![allow(clippy::unwrap_used, clippy::panic)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edge_isr::base::time::Timestamp;
use edge_isr::control::auth::{AuthError, Caller, TokenScope};
use edge_isr::control::secret::{SecretFault, SecretKind};
use edge_isr::control::{Problem, ProblemKind, Secrets};
use edge_isr::http::Fields;
use hmac::{Hmac, KeyInit as _, Mac as _};
use proptest::prelude::*;
use sha2::Sha256;

// The test vector of the Standard Webhooks reference libraries.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const SENT: i64 = 1_614_265_330;
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn secrets(webhook: &str, tokens: &str) -> Secrets {
    Secrets::parse(webhook, tokens).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn sign(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = STANDARD.decode(&secret[6..]).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

fn signed(signature: &str) -> Fields {
    let sent = SENT.to_string();
    [("webhook-id", ID), ("webhook-timestamp", &sent), ("webhook-signature", signature)]
        .into_iter()
        .collect()
}

#[test]
fn the_official_vector_verifies() {
    assert_eq!(sign(SECRET, ID, &SENT.to_string(), BODY), SIGNATURE);
    let caller = secrets(SECRET, "").authenticate(
        &signed(SIGNATURE),
        BODY,
        TokenScope::Revalidate,
        at(SENT),
    );
    assert_eq!(caller, Ok(Caller::Webhook { id: ID.into() }));
}

/// What it shows, secrets, `webhook-signature`, body, outcome.
type SignatureRow<'a> = (&'a str, &'a str, &'a str, &'a [u8], &'a Result<String, AuthError>);

#[test]
fn signatures_hold_or_do_not() {
    let other = sign(OTHER, ID, &SENT.to_string(), BODY);
    let swapped = format!("{SIGNATURE} {other}");
    let padded = SIGNATURE.trim_end_matches('=');
    let unknown = Err(AuthError::UnknownSignature);
    let malformed = Err(AuthError::Malformed("webhook-signature"));
    let good: Result<String, AuthError> = Ok(ID.to_owned());
    let both = format!("{OTHER} {SECRET}");
    let rows: &[SignatureRow] = &[
        ("one secret", SECRET, SIGNATURE, BODY, &good),
        ("rotation: the new secret first", &both, SIGNATURE, BODY, &good),
        (
            "rotation: commas between",
            "whsec_AAAA,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            SIGNATURE,
            BODY,
            &good,
        ),
        ("rotation: two signatures", OTHER, &swapped, BODY, &good),
        ("rotation: the known secret first", &format!("{SECRET} {OTHER}"), SIGNATURE, BODY, &good),
        ("rotation: the known signature first", SECRET, &swapped, BODY, &good),
        ("unpadded base64", SECRET, padded, BODY, &good),
        ("after a foreign version", SECRET, &format!("v1a,AAAA {SIGNATURE}"), BODY, &good),
        ("joined as repeated fields", SECRET, &format!("v1,AAAA, {SIGNATURE}"), BODY, &good),
        ("another secret", OTHER, SIGNATURE, BODY, &unknown),
        ("another body", SECRET, SIGNATURE, b"{\"test\": 2432232315}", &unknown),
        ("an empty body", SECRET, SIGNATURE, b"", &unknown),
        ("a cut signature", SECRET, "v1,g0hM9SsE", BODY, &unknown),
        ("no version", SECRET, &SIGNATURE[3..], BODY, &malformed),
        ("another version alone", SECRET, &SIGNATURE.replace("v1", "v2"), BODY, &malformed),
        ("not base64", SECRET, "v1,!!!!", BODY, &malformed),
        ("an empty signature", SECRET, "v1,", BODY, &malformed),
        ("an empty field", SECRET, "", BODY, &malformed),
        ("no secret", "", SIGNATURE, BODY, &Err(AuthError::NothingConfigured)),
    ];
    for (name, secret, signature, body, want) in rows {
        let got = secrets(secret, "").webhook(&signed(signature), body, at(SENT));
        assert_eq!(got, **want, "{name}");
    }
}

#[test]
fn timestamps_hold_for_five_minutes_both_ways() {
    let rows = [
        (0, None),
        (300, None),
        (301, Some(AuthError::TooOld)),
        (86_400, Some(AuthError::TooOld)),
        (-300, None),
        (-301, Some(AuthError::TooNew)),
    ];
    for (skew, want) in rows {
        let got = secrets(SECRET, "").webhook(&signed(SIGNATURE), BODY, at(SENT + skew));
        assert_eq!(got.err(), want, "{skew} s later");
    }
}

#[test]
fn id_and_timestamp_are_of_their_form() {
    let malformed_time = ["", "abc", "1614265330.5", "-1", "+1614265330", "99999999999999", "1e9"];
    for stamp in malformed_time {
        let mut fields = signed(&sign(SECRET, ID, stamp, BODY));
        fields.set("webhook-timestamp", stamp);
        let got = secrets(SECRET, "").webhook(&fields, BODY, at(SENT));
        assert_eq!(got, Err(AuthError::Malformed("webhook-timestamp")), "{stamp:?}");
    }
    let long = "x".repeat(257);
    for id in ["", "a b", "a\u{e9}", &long] {
        let mut fields = signed(SIGNATURE);
        fields.set("webhook-id", id);
        let got = secrets(SECRET, "").webhook(&fields, BODY, at(SENT));
        assert_eq!(got, Err(AuthError::Malformed("webhook-id")), "{id:?}");
    }
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let mut fields = signed(SIGNATURE);
        fields.remove(name);
        let got = secrets(SECRET, "").authenticate(&fields, BODY, TokenScope::Revalidate, at(SENT));
        assert_eq!(got, Err(AuthError::Malformed(name)), "without {name}");
    }
    let mut twice = signed(SIGNATURE);
    twice.append("webhook-id", "msg_2");
    let got = secrets(SECRET, "").webhook(&twice, BODY, at(SENT));
    assert_eq!(got, Err(AuthError::Malformed("webhook-id")));
}

#[test]
fn tokens_have_scopes() {
    let secrets = secrets("", "ci:read+revalidate:abc look:read:def:ghi\nroot:admin:xyz");
    let missing = |scope| Err(AuthError::ScopeMissing(scope));
    let rows = [
        ("Bearer abc", TokenScope::Read, Ok("ci")),
        ("Bearer abc", TokenScope::Revalidate, Ok("ci")),
        ("Bearer abc", TokenScope::Admin, missing(TokenScope::Admin)),
        ("bearer  def:ghi", TokenScope::Read, Ok("look")),
        ("Bearer def:ghi", TokenScope::Revalidate, missing(TokenScope::Revalidate)),
        ("Bearer xyz", TokenScope::Read, Ok("root")),
        ("Bearer xyz", TokenScope::Revalidate, Ok("root")),
        ("Bearer xyz", TokenScope::Admin, Ok("root")),
        ("Bearer ab", TokenScope::Read, Err(AuthError::UnknownToken)),
        ("Bearer abcd", TokenScope::Read, Err(AuthError::UnknownToken)),
        ("Bearer ABC", TokenScope::Read, Err(AuthError::UnknownToken)),
        ("Bearer", TokenScope::Read, Err(AuthError::MalformedToken)),
        ("Bearer ", TokenScope::Read, Err(AuthError::MalformedToken)),
        ("Bearer a b", TokenScope::Read, Err(AuthError::MalformedToken)),
        ("Basic abc", TokenScope::Read, Err(AuthError::MalformedToken)),
        ("abc", TokenScope::Read, Err(AuthError::MalformedToken)),
    ];
    for (value, scope, want) in rows {
        let fields: Fields = [("authorization", value)].into_iter().collect();
        let got = secrets.authenticate(&fields, b"", scope, at(SENT));
        let want = want.map(|name: &str| Caller::Token { name: name.into() });
        assert_eq!(got, want, "{value:?} for {scope:?}");
    }
    let none = secrets.authenticate(&Fields::new(), b"", TokenScope::Read, at(SENT));
    assert_eq!(none, Err(AuthError::Missing));
    let nothing = Secrets::default();
    let fields: Fields = [("authorization", "Bearer abc")].into_iter().collect();
    let got = nothing.authenticate(&fields, b"", TokenScope::Read, at(SENT));
    assert_eq!(got, Err(AuthError::NothingConfigured));
}

#[test]
fn a_signature_is_good_for_invalidations_alone() {
    let secrets = secrets(SECRET, "");
    for scope in [TokenScope::Read, TokenScope::Admin] {
        let got = secrets.authenticate(&signed(SIGNATURE), BODY, scope, at(SENT));
        assert_eq!(got, Err(AuthError::Missing), "{scope:?}");
    }
}

#[test]
fn errors_are_problems_with_their_status() {
    let rows = [
        (AuthError::Missing, 401, None),
        (AuthError::Malformed("webhook-id"), 401, Some("webhook-id")),
        (AuthError::TooOld, 401, Some("webhook-timestamp")),
        (AuthError::TooNew, 401, Some("webhook-timestamp")),
        (AuthError::UnknownSignature, 401, Some("webhook-signature")),
        (AuthError::NothingConfigured, 401, None),
        (AuthError::MalformedToken, 401, Some("authorization")),
        (AuthError::UnknownToken, 401, Some("authorization")),
        (AuthError::ScopeMissing(TokenScope::Read), 403, Some("authorization")),
    ];
    for (error, status, field) in rows {
        let problem = Problem::from(error);
        assert_eq!((problem.status(), problem.field()), (status, field), "{error:?}");
        assert!(problem.fields().has("www-authenticate"), "{error:?}");
        let text = String::from_utf8(problem.body()).unwrap();
        assert!(text.contains(error.as_str()), "{text}");
    }
    assert_eq!(AuthError::TooOld.problem().kind(), ProblemKind::TimestampOutOfTolerance);
}

/// Webhook secrets, tokens, what is wrong with which.
type SecretRow<'a> = (&'a str, &'a str, &'a [(SecretKind, usize, SecretFault)]);

#[test]
fn wrong_secrets_are_named_by_their_position() {
    use SecretFault::{Base64, Empty, Form, Name, Prefix, Repeated, TokenScope, TooMany, Value};
    let webhook = SecretKind::Webhook;
    let token = SecretKind::Token;
    let many = vec![SECRET; 33].join(" ");
    let rows: &[SecretRow] = &[
        ("hunter2", "", &[(webhook, 1, Prefix)]),
        ("whsec_AAAA whsec_h@unter2", "", &[(webhook, 2, Base64)]),
        ("whsec_", "", &[(webhook, 1, Empty)]),
        (&many, "", &[(webhook, 33, TooMany)]),
        ("", "hunter2", &[(token, 1, Form)]),
        ("", "ci:read", &[(token, 1, Form)]),
        ("", "ci:read:", &[(token, 1, Empty)]),
        ("", ":read:hunter2", &[(token, 1, Name)]),
        ("", "c/i:read:hunter2", &[(token, 1, Name)]),
        ("", "ci::hunter2", &[(token, 1, TokenScope)]),
        ("", "ci:read+write:hunter2", &[(token, 1, TokenScope)]),
        ("", "ci:read:hunter\u{e9}2", &[(token, 1, Value)]),
        ("", "a:read:hunter2,b:admin:hunter2", &[(token, 2, Repeated)]),
        ("hunter2", "ci:read", &[(webhook, 1, Prefix), (token, 1, Form)]),
    ];
    for (keys, tokens, want) in rows {
        let errors = Secrets::parse(keys, tokens).unwrap_err();
        let got: Vec<_> = errors.iter().map(|e| (e.kind, e.position, e.fault)).collect();
        assert_eq!(got, *want, "{keys} {tokens}");
        for error in errors {
            let text = format!("{error} {error:?}");
            assert!(!text.contains("hunter"), "{text}");
            assert!(text.starts_with(error.kind.variable()), "{text}");
        }
    }
}

#[test]
fn secrets_are_never_shown() {
    let secrets = secrets(SECRET, "ci:read:hunter2");
    assert_eq!(format!("{secrets:?}"), "Secrets(1 keys, 1 tokens)");
    assert_eq!((secrets.webhook_secrets(), secrets.tokens()), (1, 1));
}

#[test]
fn weak_secrets_are_reported() {
    assert_eq!(secrets(SECRET, "ci:read:0123456789abcdef").warnings(), [""; 0]);
    let weak = secrets("whsec_c2hvcnQ=", "ci:read:hunter2").warnings();
    assert_eq!(weak.len(), 2, "{weak:?}");
    assert!(weak[0].contains("number 1 has 5 bytes"), "{weak:?}");
    assert!(weak[1].contains("ci") && !weak[1].contains("hunter2"), "{weak:?}");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Only the exact id, timestamp and body verify.
    #[test]
    fn nothing_else_verifies(
        id in "[!-~]{1,20}",
        late in -300i64..=300,
        body in prop::collection::vec(any::<u8>(), 0..40),
        flip in any::<prop::sample::Index>(),
    ) {
        let secrets = secrets(SECRET, "");
        let sent = SENT.to_string();
        let mut fields = signed(&sign(SECRET, &id, &sent, &body));
        fields.set("webhook-id", id.clone());
        prop_assert_eq!(secrets.webhook(&fields, &body, at(SENT + late)), Ok(id.clone()));
        let mut other = body.clone();
        if other.is_empty() {
            other.push(0);
        } else {
            let at = flip.index(other.len());
            other[at] ^= 1;
        }
        let refused = Err(AuthError::UnknownSignature);
        prop_assert_eq!(secrets.webhook(&fields, &other, at(SENT)), refused);
        fields.set("webhook-id", format!("{id}x"));
        let refused = Err(AuthError::UnknownSignature);
        prop_assert_eq!(secrets.webhook(&fields, &body, at(SENT)), refused);
    }

    #[test]
    fn any_fields_are_taken_or_refused(
        id in ".{0,20}",
        stamp in ".{0,20}",
        signature in "(v1,)?.{0,40}",
        token in ".{0,20}",
    ) {
        let secrets = secrets(SECRET, "ci:read:hunter2");
        let fields = Fields::from_iter([
            ("webhook-id", id),
            ("webhook-timestamp", stamp),
            ("webhook-signature", signature),
            ("authorization", token),
        ]);
        for scope in [TokenScope::Read, TokenScope::Revalidate, TokenScope::Admin] {
            let got = secrets.authenticate(&fields, b"a body", scope, at(SENT));
            prop_assert!(got.is_err());
        }
    }

    #[test]
    fn any_secrets_are_parsed_or_refused(keys in ".{0,40}", tokens in "[a-z:+, ]{0,40}") {
        let _ = Secrets::parse(&keys, &tokens);
    }
}
