//! Amazon CloudFront's `CreateInvalidation`:
//!
//! ```text
//! POST /2020-05-31/distribution/{distribution}/invalidation
//! <InvalidationBatch><Paths><Quantity>2</Quantity>
//!   <Items><Path>/a</Path><Path>/b/*</Path></Items></Paths>
//!   <CallerReference>…</CallerReference></InvalidationBatch>
//! ```
//!
//! Paths have no host. A distribution's id that is a host's name (it has a dot) means that host;
//! else it is the host that the call was sent to, through its alias if that is a control host.
//!
//! A path that ends with `*` is widened to the enclosing prefix; elsewhere a `*` stands for itself.
//! At most 3,000 paths.
//!
//! A retry of the SDK (`amz-sdk-invocation-id`) is the same call; so is, without that, the same
//! batch under the same reference. One package sends the same reference for ever, which here
//! invalidates each time. All of them are hard: the API knows no other.
//!
//! `GET …/invalidation/{id}` shows the status: `Completed` once every isolate sees the
//! invalidation. Of what was sent it repeats nothing.

use crate::base::time::{Millis, Timestamp};
use crate::base::xml::escape;
use crate::config::Config;
use crate::control::auth::{AuthError, Caller};
use crate::control::problem::{Problem, ProblemKind};
use crate::control::revalidate::body_digest;
use crate::control::route::percent_decoded;
use crate::http::{Fields, RequestHead};
use crate::journal::{JobRecord, Mode};

use super::api::{CallCredentials, PurgeApi, PurgeCall, is_name, method_must_be};
use super::method::site_host;
use super::named::{Named, invalid, no_dry_run};
use super::reply::{PurgeOutcome, PurgeRefusal, Reply};
use super::sigv4::{self, rfc3339};
use super::xml::leaves;

const MAX_PATHS: usize = 3000;
const MAX_REFERENCE_BYTES: usize = 1024;

/// What was sent, for the answer.
struct Batch {
    /// The API's version: in the path and the names of elements.
    version: String,
    /// The path of the call.
    path: String,
    paths: Vec<String>,
    reference: String,
}

/// Whether a part of a path is a version of the API: `2020-05-31`.
fn is_version(text: &str) -> bool {
    let form =
        |(at, b): (usize, u8)| if matches!(at, 4 | 7) { b == b'-' } else { b.is_ascii_digit() };
    text.len() == 10 && text.bytes().enumerate().all(form)
}

/// Amazon CloudFront's.
pub struct CloudfrontPurgeApi;

impl PurgeApi for CloudfrontPurgeApi {
    fn name(&self) -> &'static str {
        "cloudfront"
    }

    fn is_at(&self, first: &str, second: &str) -> bool {
        second == "distribution" && is_version(first)
    }

    fn authenticate(&self, evidence: &CallCredentials<'_>) -> Result<Caller, AuthError> {
        sigv4::verify(evidence.request, evidence.body, evidence.secrets, evidence.now)
    }

    fn claim(&self, evidence: &CallCredentials<'_>) -> Result<bool, AuthError> {
        sigv4::claimed(evidence.request, evidence.secrets, evidence.now).map(|()| false)
    }

    fn status_of(&self, rest: &str, request: &RequestHead) -> Option<String> {
        status_of(rest, request)
    }

    fn status(&self, job: Option<&JobRecord>, now: Timestamp, bound: Millis) -> Reply {
        status(job, now, bound)
    }

    fn read(
        &self,
        rest: &str,
        request: &RequestHead,
        body: &[u8],
        config: &Config,
    ) -> Result<PurgeCall, Problem> {
        let parts: Vec<&str> = rest.split('/').collect();
        let &[version, "distribution", distribution, "invalidation"] = parts.as_slice() else {
            return Err(Problem::not_found("operation"));
        };
        if !is_version(version) || !is_name(distribution) {
            return Err(Problem::not_found("distribution"));
        }
        method_must_be(request, "POST")?;
        no_dry_run(request)?;
        let host = if distribution.contains('.') { distribution } else { &request.host };
        let host = site_host(&host.to_ascii_lowercase(), config)?;
        let (paths, reference) = batch(body)?;
        let mut named = Named::new(config);
        for (at, path) in paths.iter().enumerate() {
            let place = format!("Paths[{at}]");
            let slash = if path.starts_with('/') { "" } else { "/" };
            let page = format!("{host}{slash}{path}");
            if page.ends_with('*') {
                named.prefix(&place, &page)?;
            } else {
                named.literal_url(&place, &page)?;
            }
        }
        let receipt = match request.fields.get("amz-sdk-invocation-id") {
            Some(invocation) => format!("{distribution}\n{reference}\n{invocation}"),
            None => format!("{distribution}\n{reference}"),
        };
        let path = request.path.clone();
        let batch = Batch { version: version.to_owned(), path, paths, reference };
        let accepted =
            move |outcome: &PurgeOutcome<'_>, notes: &[String]| accepted(&batch, outcome, notes);
        let purge = PurgeCall::new(named.command(Mode::Hard)?, accepted);
        Ok(purge.with_receipt(body_digest(receipt.as_bytes())))
    }

    fn refused(&self, refusal: &PurgeRefusal) -> Reply {
        let (status, code) = code(refusal);
        error(status, code, refusal.problem().detail()).refusing(refusal)
    }
}

fn batch(body: &[u8]) -> Result<(Vec<String>, String), Problem> {
    let wrong = |why: &str| Problem::new(ProblemKind::MalformedBody, why);
    if body.is_empty() {
        return Err(Problem::new(ProblemKind::NoTargets, "This operation requires a body."));
    }
    let mut paths = Vec::new();
    let (mut quantity, mut reference) = (None, None);
    for (path, text) in
        leaves(body).map_err(|why| wrong(&format!("The body is not XML: {why}.")))?
    {
        match path.as_str() {
            "InvalidationBatch/Paths/Items/Path" => paths.push(text),
            "InvalidationBatch/Paths/Quantity" if quantity.is_none() => quantity = Some(text),
            "InvalidationBatch/CallerReference" if reference.is_none() => reference = Some(text),
            // No path at all.
            "InvalidationBatch/Paths/Items" => {}
            _ => return Err(wrong("expected an InvalidationBatch and what belongs to it")),
        }
    }
    let quantity = quantity.and_then(|text| text.trim().parse::<usize>().ok());
    let quantity = quantity.ok_or_else(|| wrong("Quantity is missing, or no number"))?;
    let reference = reference.filter(|text| !text.is_empty() && text.len() <= MAX_REFERENCE_BYTES);
    let reference = reference
        .ok_or_else(|| invalid("CallerReference", "it is missing, or longer than 1,024 bytes"))?;
    if quantity != paths.len() {
        let detail = "The value of Quantity and the size of Items do not match.";
        return Err(Problem::new(ProblemKind::Contradiction, detail).at("Quantity"));
    }
    if paths.is_empty() {
        return Err(invalid("Paths", "it names no path"));
    }
    if paths.len() > MAX_PATHS {
        let detail = format!("The batch has {} paths; one has {MAX_PATHS}.", paths.len());
        return Err(Problem::new(ProblemKind::TooManyTargets, detail).at("Paths"));
    }
    Ok((paths, reference))
}

/// The invalidation whose status a request asks for (`GetInvalidation`).
fn status_of(rest: &str, request: &RequestHead) -> Option<String> {
    let parts: Vec<&str> = rest.split('/').collect();
    match parts.as_slice() {
        [version, "distribution", _, "invalidation", id]
            if is_version(version) && request.method == "GET" =>
        {
            percent_decoded(id)
        }
        _ => None,
    }
}

/// The status of an invalidation, if the journal knows it. `bound`: when all see one.
fn status(job: Option<&JobRecord>, now: Timestamp, bound: Millis) -> Reply {
    let Some(job) = job else {
        return error(404, "NoSuchInvalidation", "The specified invalidation does not exist.");
    };
    let status = if now.since(job.invalidation.at) > bound { "Completed" } else { "InProgress" };
    let body = format!(
        "<?xml version=\"1.0\"?>\n<Invalidation xmlns=\"{}\"><Id>{}</Id><Status>{status}</Status>\
         <CreateTime>{}</CreateTime></Invalidation>",
        namespace(VERSION),
        escape(&job.invalidation.id),
        rfc3339(job.invalidation.at),
    );
    xml(200, body)
}

fn accepted(batch: &Batch, outcome: &PurgeOutcome<'_>, notes: &[String]) -> Reply {
    let items: String =
        batch.paths.iter().map(|path| format!("<Path>{}</Path>", escape(path))).collect();
    let body = format!(
        "<?xml version=\"1.0\"?>\n<Invalidation xmlns=\"{}\"><Id>{}</Id><Status>InProgress</Status>\
         <CreateTime>{}</CreateTime><InvalidationBatch><Paths><Quantity>{}</Quantity>\
         <Items>{items}</Items></Paths><CallerReference>{}</CallerReference></InvalidationBatch>\
         </Invalidation>",
        namespace(&batch.version),
        escape(outcome.id),
        rfc3339(outcome.at),
        batch.paths.len(),
        escape(&batch.reference),
    );
    let reply = xml(201, body).with("location", &format!("{}/{}", batch.path, outcome.id));
    if notes.is_empty() {
        return reply;
    }
    // A field's value: what it can't carry is shown as a question mark.
    let plain = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    let notes: String = notes.join("; ").chars().map(plain).collect();
    reply.with("x-edge-isr-notes", &notes)
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    let side = if status < 500 { "Sender" } else { "Receiver" };
    let body = format!(
        "<?xml version=\"1.0\"?>\n<ErrorResponse xmlns=\"{}\"><Error>\
         <Type>{side}</Type><Code>{code}</Code><Message>{}</Message></Error></ErrorResponse>",
        namespace(VERSION),
        escape(message),
    );
    xml(status, body)
}

/// The version that its clients speak today.
const VERSION: &str = "2020-05-31";

fn namespace(version: &str) -> String {
    format!("http://cloudfront.amazonaws.com/doc/{version}/")
}

fn xml(status: u16, body: String) -> Reply {
    let fields: Fields =
        [("content-type", "text/xml"), ("cache-control", "no-store")].into_iter().collect();
    Reply { status, fields, body: body.into_bytes() }
}

fn code(refusal: &PurgeRefusal) -> (u16, &'static str) {
    use ProblemKind as Kind;
    let problem = match refusal {
        PurgeRefusal::Caller(error) => {
            return match error {
                AuthError::Missing => (403, "MissingAuthenticationToken"),
                AuthError::MalformedToken | AuthError::Malformed(_) => (400, "IncompleteSignature"),
                AuthError::UnknownToken | AuthError::NothingConfigured => {
                    (403, "InvalidClientTokenId")
                }
                AuthError::UnknownSignature | AuthError::TooOld | AuthError::TooNew => {
                    (403, "SignatureDoesNotMatch")
                }
                AuthError::ScopeMissing(_) => (403, "AccessDenied"),
            };
        }
        PurgeRefusal::Content(problem) => problem,
    };
    match problem.kind() {
        Kind::NotFound => (404, "NoSuchDistribution"),
        Kind::MethodNotAllowed => (405, "MethodNotAllowed"),
        Kind::MalformedBody => (400, "MalformedXML"),
        Kind::NoTargets => (400, "MissingBody"),
        Kind::Contradiction => (400, "InconsistentQuantities"),
        Kind::TooManyTargets | Kind::BodyTooLarge => (413, "BatchTooLarge"),
        Kind::InvalidValue | Kind::OutOfRange | Kind::WrongType | Kind::UnknownField => {
            (400, "InvalidArgument")
        }
        Kind::IdConflict => (409, "InvalidationBatchAlreadyExists"),
        Kind::TooManyRequests => (429, "Throttling"),
        Kind::NotRecorded
        | Kind::TooLate
        | Kind::Misconfigured
        | Kind::NotAuthenticated
        | Kind::TimestampOutOfTolerance
        | Kind::OutOfScope
        | Kind::Refused
        | Kind::OriginFailed
        | Kind::Unsupported => (refusal.status(), "ServiceUnavailable"),
    }
}
