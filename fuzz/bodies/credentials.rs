//! Secrets of the control API and what callers show of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edge_isr::base::time::Timestamp;
use edge_isr::control::auth::{AuthError, Caller, TokenScope};
use edge_isr::control::secret::Secrets;
use edge_isr::http::Fields;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::latin1;

const NOW: Timestamp = Timestamp::from_seconds(1_640_995_200);
const KEY: &[u8] = b"a key of twenty-four b..";
const TOKEN: &str = "0123456789abcdef";

/// The bytes are a text:
///
/// ```text
/// whsec_… whsec_…            WEBHOOK_SECRETS
/// name:read:value            TOKENS
/// name: value                the call's fields
///                            an empty line
/// body
/// ```
///
/// Secrets are taken whole or refused with reasons; nobody is let in who does not show one of them;
/// and what is signed is let in, unless a byte of it is changed.
pub(crate) fn credentials(data: &[u8]) {
    let text = latin1(data);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines = head.split('\n');
    let (keys, tokens) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let fields = lines.filter_map(|line| line.split_once(':'));
    let fields: Fields =
        fields.map(|(name, value)| (name, value.trim_matches([' ', '\t']))).collect();
    let body = body.as_bytes();
    match Secrets::parse(keys, tokens) {
        Ok(secrets) => {
            let many = secrets.webhook_secrets() > 0 || secrets.tokens() > 0;
            let empty = keys.trim().is_empty() && tokens.trim().is_empty();
            assert!(!empty || !many);
            for scope in [TokenScope::Read, TokenScope::Revalidate, TokenScope::Admin] {
                let _ = secrets.authenticate(&fields, body, scope, NOW);
            }
        }
        Err(errors) => assert!(!errors.is_empty()),
    }
    let ours = format!("whsec_{}", STANDARD.encode(KEY));
    let Ok(secrets) = Secrets::parse(&ours, &format!("ci:read:{TOKEN}")) else {
        panic!("our own secrets are refused");
    };
    match secrets.authenticate(&fields, body, TokenScope::Read, NOW) {
        Ok(Caller::Token { name }) => {
            let shown = fields.get("authorization").unwrap_or_default();
            assert!(name == "ci" && shown.ends_with(TOKEN), "{shown:?}");
        }
        Ok(Caller::Webhook { id }) => panic!("{id:?} may read"),
        Ok(Caller::Trusted { address }) => panic!("{address} showed nothing"),
        Err(_) => {}
    }
    signed(&secrets, fields.get("webhook-id").unwrap_or("id"), body);
}

fn signed(secrets: &Secrets, id: &str, body: &[u8]) {
    let stamp = NOW.as_seconds().to_string();
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(KEY) else { panic!("a key of any length") };
    [id.as_bytes(), b".", stamp.as_bytes(), b".", body].iter().for_each(|part| mac.update(part));
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let rows =
        [("webhook-id", id), ("webhook-timestamp", &stamp), ("webhook-signature", &signature)];
    let fields: Fields = rows.into_iter().collect();
    let Ok(known) = secrets.webhook(&fields, body, NOW) else {
        return assert!(
            !id.bytes().all(|b| b.is_ascii_graphic()) || id.len() > 256 || id.is_empty()
        );
    };
    assert_eq!(known, id.trim_matches([' ', '\t']));
    let mut other = body.to_vec();
    match other.first_mut() {
        Some(byte) => *byte ^= 1,
        None => other.push(0),
    }
    assert_eq!(secrets.webhook(&fields, &other, NOW), Err(AuthError::UnknownSignature));
}
