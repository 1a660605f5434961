//! KeyCDN's purge API.
//!
//! ```text
//! DELETE /zones/purgeurl/{zone}.json   {"urls": ["www.example.com/a.css"]}
//! DELETE /zones/purgetag/{zone}.json   {"tags": ["a"]}
//! GET    /zones/purge/{zone}.json      everything
//! ```
//!
//! URLs have no scheme. The zone is any name. All of them are hard: the API knows no other.

use serde_json::{Value, json};

use crate::config::Config;
use crate::control::problem::{Problem, ProblemKind};
use crate::http::RequestHead;
use crate::journal::Mode;

use super::api::{PurgeApi, PurgeCall, is_name, json_of, method_must_be};
use super::named::{Named, no_dry_run, no_other_field};
use super::reply::{PurgeRefusal, Reply};

/// KeyCDN's.
pub struct Keycdn;

impl PurgeApi for Keycdn {
    fn name(&self) -> &'static str {
        "keycdn"
    }

    fn is_at(&self, first: &str, second: &str) -> bool {
        first == "zones" && second.starts_with("purge")
    }

    fn read(
        &self,
        rest: &str,
        request: &RequestHead,
        body: &[u8],
        config: &Config,
    ) -> Result<PurgeCall, Problem> {
        let (action, _) = rest
            .strip_prefix("zones/")
            .and_then(|rest| rest.strip_suffix(".json"))
            .and_then(|rest| rest.split_once('/'))
            .filter(|(_, zone)| is_name(zone))
            .ok_or_else(|| Problem::not_found("call"))?;
        no_dry_run(request)?;
        let mut named = Named::new(config);
        let what = match action {
            "purge" => {
                method_must_be(request, "GET")?;
                named.all(None);
                "Cache has been cleared for zone."
            }
            "purgeurl" | "purgetag" => {
                method_must_be(request, "DELETE")?;
                let field = if action == "purgeurl" { "urls" } else { "tags" };
                let body = json_of(body)?;
                let wrong = || {
                    let detail = format!("{field}: expected a list of texts.");
                    Problem::new(ProblemKind::WrongType, detail).at(field)
                };
                let list = body.get(field).and_then(Value::as_array).ok_or_else(wrong)?;
                no_other_field(&body, field)?;
                for (at, value) in list.iter().enumerate() {
                    let (place, text) =
                        (format!("{field}[{at}]"), value.as_str().ok_or_else(wrong)?);
                    if action == "purgeurl" {
                        named.url(&place, text)?;
                    } else {
                        named.tags(&place, text)?;
                    }
                }
                if action == "purgeurl" {
                    "Cache has been cleared for URL(s)."
                } else {
                    "Cache has been cleared for tag(s)."
                }
            }
            _ => return Err(Problem::not_found("call")),
        };
        Ok(PurgeCall::new(named.command(Mode::Hard)?, move |_, notes| accepted(what, notes)))
    }

    fn refused(&self, refusal: &PurgeRefusal) -> Reply {
        let description = refusal.problem().detail().to_owned();
        let body = json!({ "status": "error", "description": description });
        let reply = Reply::json(refusal.status(), &body).refusing(refusal);
        // What its clients send credentials for.
        if reply.status == 401 { reply.with("www-authenticate", CHALLENGE) } else { reply }
    }
}

fn accepted(what: &str, notes: &[String]) -> Reply {
    let description = [&[what.to_owned()], notes].concat().join(" ");
    Reply::json(200, &json!({ "status": "success", "description": description }))
}

const CHALLENGE: &str = "Basic realm=\"edge-isr\"";
