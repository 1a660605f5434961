//! Cloudflare's purge API: `POST /client/v4/zones/{zone}/purge_cache` (also `DELETE`, as old
//! clients do) and `POST …/invalidate_cache`, which marks as stale.
//!
//! ```text
//! {"files": ["https://…", {"url": "https://…", "headers": {…}}]}   at most 500
//! {"tags": […]} {"hosts": […]} {"prefixes": ["host/path"]}          at most 100 of each
//! {"purge_everything": true}                                         alone
//! ```
//!
//! A file's `headers` choose one variant at Cloudflare; here a URL means all of its variants.
//! Letter case says nothing in tags. The zone is any name. Codes of errors are those that its
//! clients have met in the wild; Cloudflare publishes no list.

use serde_json::{Map, Value, json};

use crate::base::json::parse_json;
use crate::config::Config;
use crate::control::auth::AuthError;
use crate::control::problem::{Problem, ProblemKind};
use crate::http::RequestHead;
use crate::journal::Mode;

use super::api::{PurgeApi, PurgeCall, is_name, method_must_be};
use super::named::{Named, no_dry_run, too_many};
use super::reply::{PurgeRefusal, Reply};

const FIELDS: &[&str] = &["files", "tags", "hosts", "prefixes", "purge_everything"];
/// The widest limits of Cloudflare's plans.
const MAX_FILES: usize = 500;
const MAX_OTHERS: usize = 100;

/// Cloudflare's.
pub struct CloudflarePurgeApi;

impl PurgeApi for CloudflarePurgeApi {
    fn name(&self) -> &'static str {
        "cloudflare"
    }

    fn is_at(&self, first: &str, second: &str) -> bool {
        first == "zones" || (first, second) == ("client", "v4")
    }

    fn read(
        &self,
        rest: &str,
        request: &RequestHead,
        body: &[u8],
        config: &Config,
    ) -> Result<PurgeCall, Problem> {
        let rest = rest.strip_prefix("client/v4/").unwrap_or(rest);
        let (zone, action) = rest
            .strip_prefix("zones/")
            .and_then(|rest| rest.split_once('/'))
            .filter(|(zone, _)| is_name(zone))
            .ok_or_else(|| Problem::not_found("route"))?;
        let (mode, methods) = match action {
            "purge_cache" => (Mode::Hard, "POST, DELETE"),
            "invalidate_cache" => (Mode::Soft, "POST"),
            _ => return Err(Problem::not_found("route")),
        };
        method_must_be(request, methods)?;
        no_dry_run(request)?;
        let value = parse_json(body).map_err(|error| {
            Problem::new(
                ProblemKind::MalformedBody,
                format!("Malformed JSON in request body: {error}"),
            )
        })?;
        let Value::Object(object) = value else { return Err(contain_one()) };
        if let Some(unknown) = object.keys().find(|key| !FIELDS.contains(&key.as_str())) {
            let shown: String = unknown.chars().take(64).collect();
            let detail = format!("{shown} is not a field of this request");
            return Err(Problem::new(ProblemKind::UnknownField, detail).at(shown));
        }
        let mut named = Named::new(config);
        for (field, most) in [
            ("files", MAX_FILES),
            ("tags", MAX_OTHERS),
            ("hosts", MAX_OTHERS),
            ("prefixes", MAX_OTHERS),
        ] {
            gather(&mut named, field, list(&object, field)?, most)?;
        }
        match object.get("purge_everything") {
            None | Some(Value::Bool(false)) => {}
            Some(Value::Bool(true)) if object.len() == 1 => named.all(None),
            Some(Value::Bool(true)) => {
                let detail = "\"purge_everything\" must be the only field";
                return Err(Problem::new(ProblemKind::Contradiction, detail).at("purge_everything"));
            }
            Some(_) => {
                let detail = "\"purge_everything\" must be a boolean";
                return Err(Problem::new(ProblemKind::WrongType, detail).at("purge_everything"));
            }
        }
        let command = named.command(mode).map_err(|problem| match problem.kind() {
            ProblemKind::NoTargets => contain_one(),
            _ => problem,
        })?;
        let zone = zone.to_owned();
        Ok(PurgeCall::new(command, move |_, notes| accepted(&zone, notes)))
    }

    fn refused(&self, refusal: &PurgeRefusal) -> Reply {
        let (status, code) = code(refusal);
        let message = match refusal {
            PurgeRefusal::Caller(AuthError::Missing) => {
                "Missing X-Auth-Key, X-Auth-Email or Authorization headers".to_owned()
            }
            PurgeRefusal::Caller(AuthError::MalformedToken) => "Invalid request headers".to_owned(),
            PurgeRefusal::Caller(error) => {
                format!("Authentication error: {}", error.problem().detail())
            }
            PurgeRefusal::Content(problem) => problem.detail().to_owned(),
        };
        let errors = json!([{ "code": code, "message": message }]);
        let body = json!({ "success": false, "errors": errors, "messages": [], "result": null });
        Reply::json(status, &body).refusing(refusal)
    }
}

fn gather(named: &mut Named<'_>, field: &str, list: &[Value], most: usize) -> Result<(), Problem> {
    if list.len() > most {
        return Err(too_many(field, list.len(), most));
    }
    for (at, value) in list.iter().enumerate() {
        let place = format!("{field}[{at}]");
        let url = value.get("url").filter(|_| field == "files");
        let Some(text) = url.unwrap_or(value).as_str() else {
            let detail = format!("{place} must be a string");
            return Err(Problem::new(ProblemKind::WrongType, detail).at(place));
        };
        match field {
            "files" => named.url(&place, text)?,
            "tags" => named.tags_in_any_case(&place, text)?,
            "hosts" => named.host(&place, text)?,
            _ => named.prefix(&place, text)?,
        }
    }
    Ok(())
}

fn list<'a>(object: &'a Map<String, Value>, field: &str) -> Result<&'a [Value], Problem> {
    match object.get(field) {
        None => Ok(&[]),
        Some(Value::Array(list)) => Ok(list),
        Some(_) => {
            let detail = format!("\"{field}\" must be an array");
            Err(Problem::new(ProblemKind::WrongType, detail).at(field))
        }
    }
}

fn contain_one() -> Problem {
    let detail = "Request must contain one of \"purge_everything\", \"files\", \"tags\", \
                  \"hosts\" or \"prefixes\"";
    Problem::new(ProblemKind::NoTargets, detail)
}

fn accepted(zone: &str, notes: &[String]) -> Reply {
    let message = |note: &String| json!({ "code": WIDENED, "message": note });
    let messages: Vec<Value> = notes.iter().map(message).collect();
    let result = json!({ "id": zone });
    Reply::json(
        200,
        &json!({ "success": true, "errors": [], "messages": messages, "result": result }),
    )
}

/// The code of a message that says what was widened.
const WIDENED: u32 = 1000;

fn code(refusal: &PurgeRefusal) -> (u16, u32) {
    use ProblemKind as Kind;
    let problem = match refusal {
        PurgeRefusal::Caller(AuthError::Missing) => return (400, 9106),
        PurgeRefusal::Caller(AuthError::MalformedToken) => return (400, 6003),
        PurgeRefusal::Caller(_) => return (refusal.status(), 10000),
        PurgeRefusal::Content(problem) => problem,
    };
    let code = match problem.kind() {
        Kind::NotFound => 7003,
        Kind::MethodNotAllowed => 10405,
        Kind::MalformedBody => 6007,
        Kind::NoTargets | Kind::Contradiction | Kind::UnknownField => 1012,
        Kind::WrongType => 1014,
        Kind::InvalidValue | Kind::OutOfRange | Kind::TooManyTargets | Kind::BodyTooLarge => 1092,
        Kind::TooManyRequests => 1134,
        Kind::NotAuthenticated | Kind::TimestampOutOfTolerance | Kind::OutOfScope => 10000,
        Kind::IdConflict
        | Kind::TooLate
        | Kind::NotRecorded
        | Kind::Misconfigured
        | Kind::Refused
        | Kind::OriginFailed
        | Kind::Unsupported => 10001,
    };
    (refusal.status(), code)
}
