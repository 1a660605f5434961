//! Fastly's purge API.
//!
//! ```text
//! POST /service/{service}/purge/{key}      one key
//! POST /service/{service}/purge            Surrogate-Key: a b; or {"surrogate_keys": ["a", "b"]}; 256
//! POST /service/{service}/purge_all        everything, always hard
//! POST /purge/{host}/{path}                one URL
//! ```
//!
//! `Fastly-Soft-Purge`, whatever its value, marks as stale. There is one environment: a purge of
//! another one (`Fastly-Purge-Environment`) is refused, not done elsewhere. The service is any
//! name.

use serde_json::{Map, Value, json};

use crate::cache::tag::url_name;
use crate::config::Config;
use crate::control::auth::AuthError;
use crate::control::problem::{Problem, ProblemKind};
use crate::control::route::percent_decoded;
use crate::http::RequestHead;
use crate::journal::Mode;

use super::api::{PurgeApi, PurgeCall, is_name, json_of, method_must_be};
use super::named::{Named, invalid, no_dry_run, no_other_field, too_many};
use super::reply::{PurgeOutcome, PurgeRefusal, Reply};

/// Keys in one call.
const MAX_KEYS: usize = 256;

/// Fastly's.
pub struct FastlyPurgeApi;

impl PurgeApi for FastlyPurgeApi {
    fn name(&self) -> &'static str {
        "fastly"
    }

    fn is_at(&self, first: &str, _second: &str) -> bool {
        matches!(first, "service" | "purge")
    }

    fn read(
        &self,
        rest: &str,
        request: &RequestHead,
        body: &[u8],
        config: &Config,
    ) -> Result<PurgeCall, Problem> {
        let not_found = || Problem::not_found("record");
        let mut named = Named::new(config);
        let mut mode =
            if request.fields.has("fastly-soft-purge") { Mode::Soft } else { Mode::Hard };
        let form = if let Some(url) = rest.strip_prefix("purge/") {
            named.url("url", &url_name("", url, request.query.as_deref()))?;
            PurgedKeys::One
        } else {
            no_dry_run(request)?;
            let (_, action) = rest
                .strip_prefix("service/")
                .and_then(|rest| rest.split_once('/'))
                .filter(|(service, _)| is_name(service))
                .ok_or_else(not_found)?;
            if action == "purge_all" {
                mode = Mode::Hard;
                named.all(None);
                PurgedKeys::All
            } else if action == "purge" {
                let keys = keys(request, body)?;
                for key in &keys {
                    named.tag("surrogate_keys", key)?;
                }
                PurgedKeys::Keys(keys)
            } else {
                let key = action.strip_prefix("purge/").ok_or_else(not_found)?;
                // Some clients encode the key and some don't: what is no encoding is the key
                // itself.
                named.tag(
                    "surrogate_key",
                    &percent_decoded(key).unwrap_or_else(|| key.to_owned()),
                )?;
                PurgedKeys::One
            }
        };
        method_must_be(request, "POST")?;
        if let Some(environment) = request.fields.get("fastly-purge-environment")
            && environment != "production"
        {
            return Err(invalid("fastly-purge-environment", "there is the production alone"));
        }
        Ok(PurgeCall::new(named.command(mode)?, move |outcome, _| match &form {
            PurgedKeys::One => accepted_one(outcome),
            PurgedKeys::Keys(keys) => accepted_keys(keys, outcome),
            PurgedKeys::All => accepted_all(),
        }))
    }

    fn refused(&self, refusal: &PurgeRefusal) -> Reply {
        let problem = refusal.problem();
        let message = match refusal {
            PurgeRefusal::Caller(AuthError::ScopeMissing(_)) => {
                "You are not authorized to perform this action"
            }
            PurgeRefusal::Caller(_) => "Provided credentials are missing or invalid",
            PurgeRefusal::Content(problem) if problem.kind() == ProblemKind::NotFound => {
                "Record not found"
            }
            PurgeRefusal::Content(problem) if problem.status() < 500 => "Bad request",
            PurgeRefusal::Content(problem) => problem.kind().title(),
        };
        let body = json!({ "msg": message, "detail": problem.detail() });
        Reply::json(refusal.status(), &body).refusing(refusal)
    }
}

/// What an answer repeats of its call.
enum PurgedKeys {
    /// One purge.
    One,
    /// A purge for each key.
    Keys(Vec<String>),
    /// All.
    All,
}

/// The keys of a bulk purge: of the field and of the body.
fn keys(request: &RequestHead, body: &[u8]) -> Result<Vec<String>, Problem> {
    let mut keys: Vec<String> = Vec::new();
    let lines = request.fields.all("surrogate-key");
    keys.extend(lines.flat_map(|line| line.split([' ', ',', '\t'])).map(str::to_owned));
    keys.retain(|key| !key.is_empty());
    if !body.trim_ascii().is_empty() {
        let value = json_of(body)?;
        let wrong = || {
            let detail = "surrogate_keys: expected a list of texts.";
            Problem::new(ProblemKind::WrongType, detail).at("surrogate_keys")
        };
        if !(value.is_object() || value.is_null()) {
            return Err(wrong());
        }
        no_other_field(&value, "surrogate_keys")?;
        match value.get("surrogate_keys") {
            Some(Value::Array(list)) => {
                for key in list {
                    keys.push(key.as_str().ok_or_else(wrong)?.to_owned());
                }
            }
            Some(_) => return Err(wrong()),
            None => {}
        }
    }
    keys.sort();
    keys.dedup();
    if keys.is_empty() {
        let detail = "Name the keys, in Surrogate-Key or in the body's surrogate_keys.";
        return Err(Problem::new(ProblemKind::NoTargets, detail).at("surrogate_keys"));
    }
    if keys.len() > MAX_KEYS {
        return Err(too_many("surrogate_keys", keys.len(), MAX_KEYS));
    }
    Ok(keys)
}

fn accepted_one(outcome: &PurgeOutcome<'_>) -> Reply {
    Reply::json(200, &json!({ "status": "ok", "id": outcome.id }))
}

fn accepted_keys(keys: &[String], outcome: &PurgeOutcome<'_>) -> Reply {
    let mut ids = Map::new();
    for key in keys {
        ids.insert(key.clone(), Value::from(outcome.id));
    }
    Reply::json(200, &Value::Object(ids))
}

fn accepted_all() -> Reply {
    Reply::json(200, &json!({ "status": "ok" }))
}
