//! The body of `POST {prefix}/v1/revalidate`: JSON becomes a command, or the problem
//! with its first fault.
//!
//! Nothing is ignored: an unknown or repeated field, a wrong type or a name that can't be a target
//! refuses the whole call, because a half-taken invalidation looks like a success. Limits: 1 MiB,
//! 10,000 names, 25 s to wait, one hour to the second time.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::base::hex::hex;
use crate::base::json::parse_json;
use crate::base::time::{Millis, Timestamp};
use crate::cache::tag::Target;
use crate::config::Config;
use crate::config::parse::nearest;
use crate::http::date::internet_date;
use crate::journal::Mode;
use crate::journal::schedule_message::MAX_NAMES;

use super::problem::{Problem, ProblemKind};
use super::targets::{NormaliseQuery, host_target, plain_url_target, prefix_target, tag_target};

/// The longest body, in bytes.
pub const MAX_BODY_BYTES: usize = 1 << 20;
/// The most names in one call.
pub const MAX_TARGETS: usize = 10_000;
/// The longest wait for warms before the answer: the background's own limit is 30 s.
pub const MAX_WAIT: Millis = Millis(25_000);
/// The longest delay before pages are warmed again.
pub const MAX_REINVALIDATE_AFTER: Millis = Millis(3_600_000);
/// How long ago the time of a call may be: senders try again for so long, and mean that time.
pub const MAX_LATE: Millis = Millis(24 * 3_600_000);
/// How far ahead it may be.
pub const MAX_AHEAD: Millis = Millis(366 * 24 * 3_600_000);
/// The longest reason, in characters.
pub const MAX_REASON_CHARS: usize = 200;

/// An invalidation that a caller asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevalidateCommand {
    /// What is invalidated: at least one, sorted, each once.
    pub targets: Vec<Target>,
    /// How.
    pub mode: Mode,
    /// Whether the pages are refetched at once.
    pub warm: bool,
    /// How long the answer may wait for the warms.
    pub wait: Millis,
    /// How long after it the pages are invalidated and warmed again; zero for not.
    pub reinvalidate_after: Millis,
    /// When; none: now.
    pub at: Option<Timestamp>,
    /// Say what would happen, and record nothing.
    pub dry_run: bool,
    /// Why, in the caller's words.
    pub reason: String,
    /// What was widened, for the answer.
    pub notes: Vec<String>,
}

impl RevalidateCommand {
    /// A soft, warming invalidation of targets.
    #[must_use]
    pub fn of(mut targets: Vec<Target>) -> Self {
        targets.sort();
        targets.dedup();
        Self {
            targets,
            mode: Mode::Soft,
            warm: true,
            wait: Millis::ZERO,
            reinvalidate_after: Millis::ZERO,
            at: None,
            dry_run: false,
            reason: String::new(),
            notes: Vec::new(),
        }
    }
}

const FIELDS: &[&str] = &[
    "tags",
    "urls",
    "prefixes",
    "hosts",
    "all",
    "mode",
    "warm",
    "wait_ms",
    "reinvalidate_after_ms",
    "at",
    "dry_run",
    "reason",
];

/// Refuses a body that is too large. To be called before the body is hashed for its signature.
///
/// # Errors
/// 413 above [`MAX_BODY_BYTES`].
pub fn check_length(bytes: usize) -> Result<(), Problem> {
    if bytes > MAX_BODY_BYTES {
        let detail = format!("The body has {bytes} bytes; the limit is {MAX_BODY_BYTES}.");
        return Err(Problem::new(ProblemKind::BodyTooLarge, detail));
    }
    Ok(())
}

/// The digest by which the journal distinguishes a repeated call from one with another body.
#[must_use]
pub fn body_digest(body: &[u8]) -> String {
    hex(&Sha256::digest(body))
}

/// Parses the body of a call.
///
/// # Errors
/// The first fault, with the field it is in.
pub fn parse(
    body: &[u8],
    config: &Config,
    normalise: NormaliseQuery<'_>,
    now: Timestamp,
) -> Result<RevalidateCommand, Problem> {
    check_length(body.len())?;
    let value = parse_json(body)
        .map_err(|error| Problem::new(ProblemKind::MalformedBody, sentence(&error.to_string())))?;
    let Value::Object(object) = value else {
        return Err(Problem::new(ProblemKind::WrongType, "The body is a JSON object."));
    };
    if let Some(unknown) = object.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        return Err(unknown_field(unknown));
    }
    let mode = match object.get("mode") {
        None => Mode::Soft,
        Some(Value::String(word)) if word == "soft" => Mode::Soft,
        Some(Value::String(word)) if word == "hard" => Mode::Hard,
        Some(Value::String(_)) => return Err(invalid("mode", "expected \"soft\" or \"hard\"")),
        Some(_) => return Err(wrong_type("mode", "\"soft\" or \"hard\"")),
    };
    let command = RevalidateCommand {
        mode,
        warm: switch(&object, "warm", true)?,
        wait: millis(&object, "wait_ms", MAX_WAIT)?,
        reinvalidate_after: millis(&object, "reinvalidate_after_ms", MAX_REINVALIDATE_AFTER)?,
        at: at(&object, now)?,
        dry_run: switch(&object, "dry_run", false)?,
        reason: reason(&object)?,
        ..RevalidateCommand::of(targets(&object, config, normalise)?)
    };
    if !command.warm && command.wait > Millis::ZERO {
        let detail = "wait_ms waits for warms, and warm is false.";
        return Err(Problem::new(ProblemKind::Contradiction, detail).at("wait_ms"));
    }
    if command.at.is_some() {
        check_later(&command)?;
    }
    Ok(command)
}

fn targets(
    object: &Map<String, Value>,
    config: &Config,
    normalise: NormaliseQuery<'_>,
) -> Result<Vec<Target>, Problem> {
    let lists = [
        ("tags", list(object, "tags")?),
        ("urls", list(object, "urls")?),
        ("prefixes", list(object, "prefixes")?),
        ("hosts", list(object, "hosts")?),
    ];
    let named: usize = lists.iter().map(|(_, list)| list.len()).sum();
    if switch(object, "all", false)? {
        if let Some((field, _)) = lists.iter().find(|(_, list)| !list.is_empty()) {
            let detail = format!("all names the whole site, and {field} a part of it.");
            return Err(Problem::new(ProblemKind::Contradiction, detail).at("all"));
        }
        return Ok(vec![Target::All]);
    }
    if named == 0 {
        let detail = "Name at least one of tags, urls, prefixes, hosts, or set all.";
        return Err(Problem::new(ProblemKind::NoTargets, detail));
    }
    if named > MAX_TARGETS {
        let detail = format!("The call names {named} targets; one call takes {MAX_TARGETS}.");
        let longest = lists.iter().max_by_key(|(_, list)| list.len()).map(|(field, _)| *field);
        return Err(Problem::new(ProblemKind::TooManyTargets, detail).at(longest.unwrap_or("tags")));
    }
    let mut targets = Vec::with_capacity(named);
    for (field, list) in lists {
        for (at, value) in list.iter().enumerate() {
            let place = || format!("{field}[{at}]");
            let Value::String(text) = value else { return Err(wrong_type(place(), "a text")) };
            let target = match field {
                "tags" => tag_target(text).map_err(|error| error.to_string()),
                "urls" => plain_url_target(text, config, normalise)
                    .map_err(|error| error.as_str().to_owned()),
                "prefixes" => {
                    prefix_target(text, config).map_err(|error| error.as_str().to_owned())
                }
                _ => host_target(text, config).map_err(|error| error.to_string()),
            };
            targets.push(target.map_err(|why| invalid(place(), &why))?);
        }
    }
    Ok(targets)
}

fn list<'a>(object: &'a Map<String, Value>, field: &str) -> Result<&'a [Value], Problem> {
    match object.get(field) {
        None => Ok(&[]),
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(wrong_type(field, "a list of texts")),
    }
}

fn switch(object: &Map<String, Value>, field: &str, default: bool) -> Result<bool, Problem> {
    match object.get(field) {
        None => Ok(default),
        Some(Value::Bool(value)) => Ok(*value),
        Some(_) => Err(wrong_type(field, "true or false")),
    }
}

fn millis(object: &Map<String, Value>, field: &str, most: Millis) -> Result<Millis, Problem> {
    match object.get(field) {
        None => Ok(Millis::ZERO),
        Some(value @ Value::Number(_)) => match value.as_u64() {
            Some(span) if span <= most.0 => Ok(Millis(span)),
            Some(_) | None => {
                let detail =
                    format!("{field} is a whole number of milliseconds from 0 to {}.", most.0);
                Err(Problem::new(ProblemKind::OutOfRange, detail).at(field))
            }
        },
        Some(_) => Err(wrong_type(field, "a number of milliseconds")),
    }
}

fn reason(object: &Map<String, Value>) -> Result<String, Problem> {
    match object.get("reason") {
        None => Ok(String::new()),
        Some(Value::String(text)) if text.chars().nth(MAX_REASON_CHARS).is_none() => {
            Ok(text.clone())
        }
        Some(Value::String(_)) => {
            let detail = format!("reason has at most {MAX_REASON_CHARS} characters.");
            Err(Problem::new(ProblemKind::InvalidValue, detail).at("reason"))
        }
        Some(_) => Err(wrong_type("reason", "a text")),
    }
}

/// When it is to be done: none where it is due, or was, and a sender tries again.
fn at(object: &Map<String, Value>, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
    let text = match object.get("at") {
        None => return Ok(None),
        Some(Value::String(text)) => text,
        Some(_) => return Err(wrong_type("at", "a text")),
    };
    let Some(at) = internet_date(text) else {
        return Err(invalid("at", "expected a time as 2026-12-01T08:30:00Z (RFC 3339)"));
    };
    if now.since(at) > MAX_LATE {
        return Err(out_of_range("at is more than a day ago."));
    }
    if at.since(now) > MAX_AHEAD {
        return Err(out_of_range("at is more than 366 days ahead."));
    }
    Ok(Some(at).filter(|at| *at > now))
}

/// What can't be said of an invalidation that waits for its time.
fn check_later(command: &RevalidateCommand) -> Result<(), Problem> {
    if command.wait > Millis::ZERO {
        let detail = "wait_ms waits for warms, which come at another time.";
        return Err(Problem::new(ProblemKind::Contradiction, detail).at("wait_ms"));
    }
    if command.targets.len() > MAX_NAMES {
        let (named, most) = (command.targets.len(), MAX_NAMES);
        let detail = format!("The call names {named} targets; at a time one call takes {most}.");
        return Err(Problem::new(ProblemKind::TooManyTargets, detail).at("at"));
    }
    Ok(())
}

fn out_of_range(detail: &str) -> Problem {
    Problem::new(ProblemKind::OutOfRange, detail).at("at")
}

fn unknown_field(name: &str) -> Problem {
    // The field's own name is the caller's text: shortened, so that an answer stays an answer.
    let shown: String = name.chars().take(64).collect();
    let detail = match nearest(name, FIELDS) {
        Some(near) => format!("{shown} is not a field of this call; did you mean {near}?"),
        None => format!("{shown} is not a field of this call."),
    };
    Problem::new(ProblemKind::UnknownField, detail).at(shown)
}

fn wrong_type(field: impl Into<String>, expected: &str) -> Problem {
    let field = field.into();
    Problem::new(ProblemKind::WrongType, format!("{field}: expected {expected}.")).at(field)
}

fn invalid(field: impl Into<String>, why: &str) -> Problem {
    let field = field.into();
    Problem::new(ProblemKind::InvalidValue, format!("{field}: {why}.")).at(field)
}

fn sentence(text: &str) -> String {
    format!("The body is not JSON: {text}.")
}
