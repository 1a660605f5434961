//! The command of `revalidate`, posted to a URL: to another edge-isr, or to whatever speaks for a
//! cache of one's own. `webhook-id` is the same when the same is sent again.
//!
//! With a secret that begins with `whsec_` it is signed by the Standard Webhooks specification; any
//! other secret is sent as a Bearer token.

use serde_json::{Value, json};

use crate::base::json::write_value;
use crate::base::time::Timestamp;
use crate::cache::tag::Target;
use crate::config::front_cache::{ApiAddress, FrontCache, Provider};
use crate::control::auth::signature;
use crate::control::secret::webhook_key;
use crate::http::Fields;
use crate::journal::{Delivery, Mode};

use super::api::FrontCacheApi;
use super::delivery::{DeliveryFailure, DeliveryRequest, id_of};

/// What the settings have to know of it.
pub static PROVIDER: Provider = Provider {
    name: "webhook",
    key: None,
    address: ApiAddress::Setting,
    tag_field: None,
    most_tags: usize::MAX,
};

/// The command of `revalidate`, posted.
pub struct Webhook;

impl FrontCacheApi for Webhook {
    fn provider(&self) -> &'static Provider {
        &PROVIDER
    }

    fn requests(
        &self,
        front_cache: &FrontCache,
        secret: &str,
        delivery: &Delivery,
        now: Timestamp,
    ) -> Result<Vec<DeliveryRequest>, DeliveryFailure> {
        Ok(requests(front_cache, &credential(secret)?, delivery, now))
    }

    fn takes_secret(&self, secret: &str) -> bool {
        credential(secret).is_ok()
    }
}

/// What proves who calls.
enum Credential<'a> {
    /// The key that webhooks are signed with.
    Key(Vec<u8>),
    /// A token.
    Token(&'a str),
}

fn credential(secret: &str) -> Result<Credential<'_>, DeliveryFailure> {
    if !secret.starts_with("whsec_") {
        return Ok(Credential::Token(secret));
    }
    webhook_key(secret).map(Credential::Key).map_err(|_| DeliveryFailure::CredentialsMalformed)
}

fn requests(
    front_cache: &FrontCache,
    credential: &Credential<'_>,
    delivery: &Delivery,
    now: Timestamp,
) -> Vec<DeliveryRequest> {
    let mode = match delivery.mode {
        Mode::Soft => "soft",
        Mode::Hard => "hard",
    };
    let (mut tags, mut urls, mut prefixes, mut hosts) = (vec![], vec![], vec![], vec![]);
    let mut all = false;
    for target in &delivery.targets {
        match target {
            Target::Tag(tag) => tags.push(tag.as_str().to_owned()),
            Target::Url(name) => urls.push(format!("https://{name}")),
            Target::Prefix(name) => prefixes.push(format!("https://{name}")),
            Target::Host(name) => hosts.push(name.clone()),
            Target::All => all = true,
        }
    }
    let mut command = json!({ "mode": mode, "reason": "front cache" });
    if all {
        command["all"] = Value::from(true);
    } else {
        for (kind, names) in
            [("tags", tags), ("urls", urls), ("prefixes", prefixes), ("hosts", hosts)]
        {
            if !names.is_empty() {
                command[kind] = Value::from(names);
            }
        }
    }
    let body = write_value(&command).into_bytes();
    let id = id_of(front_cache, delivery, &body);
    let mut fields = Fields::from_iter([("content-type", "application/json"), ("webhook-id", &id)]);
    match credential {
        Credential::Key(key) => {
            let stamp = now.as_seconds().to_string();
            fields.set("webhook-signature", signature(key, &id, &stamp, &body));
            fields.set("webhook-timestamp", stamp);
        }
        Credential::Token(token) => {
            fields.set("authorization", format!("Bearer {token}"));
        }
    }
    vec![DeliveryRequest { method: "POST", url: front_cache.url.join(""), fields, body, reads: 0 }]
}
