//! Errors as problem documents (RFC 9457): a status, a kind that programs can distinguish, and the
//! field at fault.
//!
//! Kinds are closed: a client that handles them all handles every answer. Details are for people,
//! and never hold a secret, a signature or a query string.

use serde::Serialize;

use crate::base::time::Seconds;
use crate::http::Fields;

/// What went wrong. The name is the last part of the document's `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The body is not JSON.
    MalformedBody,
    /// No credentials, or none that are known.
    NotAuthenticated,
    /// A webhook's timestamp is outside the tolerance.
    TimestampOutOfTolerance,
    /// Known credentials without the scope that the call needs.
    OutOfScope,
    /// No such call, job or page.
    NotFound,
    /// The call exists, with other methods.
    MethodNotAllowed,
    /// The same webhook id came before with another body.
    IdConflict,
    /// It was done, and can't be cancelled.
    TooLate,
    /// The body exceeds its limit.
    BodyTooLarge,
    /// A field that the call does not have.
    UnknownField,
    /// A field of the wrong JSON type.
    WrongType,
    /// A number outside its bounds.
    OutOfRange,
    /// A value of the right type that breaks the field's rules.
    InvalidValue,
    /// Fields that exclude one another.
    Contradiction,
    /// Nothing is named.
    NoTargets,
    /// More is named than one call takes.
    TooManyTargets,
    /// Too many calls.
    TooManyRequests,
    /// Nothing was recorded; a retry is safe.
    NotRecorded,
    /// The worker's own settings are wrong.
    Misconfigured,
    /// A visitor's request that the edge does not pass on.
    Refused,
    /// The origin gave no answer, and nothing stored may stand in.
    OriginFailed,
    /// The platform has no such call.
    Unsupported,
}

impl ProblemKind {
    /// Every kind.
    pub const ALL: [Self; 22] = [
        Self::MalformedBody,
        Self::NotAuthenticated,
        Self::TimestampOutOfTolerance,
        Self::OutOfScope,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::IdConflict,
        Self::TooLate,
        Self::BodyTooLarge,
        Self::UnknownField,
        Self::WrongType,
        Self::OutOfRange,
        Self::InvalidValue,
        Self::Contradiction,
        Self::NoTargets,
        Self::TooManyTargets,
        Self::TooManyRequests,
        Self::NotRecorded,
        Self::Misconfigured,
        Self::Refused,
        Self::OriginFailed,
        Self::Unsupported,
    ];

    /// Name, status and title.
    const fn facts(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::MalformedBody => ("malformed-body", 400, "The body is not JSON"),
            Self::NotAuthenticated => ("not-authenticated", 401, "Not authenticated"),
            Self::TimestampOutOfTolerance => {
                ("timestamp-out-of-tolerance", 401, "The webhook is too old or from the future")
            }
            Self::OutOfScope => ("out-of-scope", 403, "The token lacks the scope"),
            Self::NotFound => ("not-found", 404, "Not found"),
            Self::MethodNotAllowed => ("method-not-allowed", 405, "Method not allowed"),
            Self::IdConflict => ("id-conflict", 409, "The webhook id is taken by another body"),
            Self::TooLate => ("too-late", 409, "It was done"),
            Self::BodyTooLarge => ("body-too-large", 413, "The body is too large"),
            Self::UnknownField => ("unknown-field", 422, "Unknown field"),
            Self::WrongType => ("wrong-type", 422, "Wrong type"),
            Self::OutOfRange => ("out-of-range", 422, "Out of range"),
            Self::InvalidValue => ("invalid-value", 422, "Invalid value"),
            Self::Contradiction => ("contradiction", 422, "Contradictory fields"),
            Self::NoTargets => ("no-targets", 422, "Nothing to invalidate"),
            Self::TooManyTargets => ("too-many-targets", 422, "Too many targets"),
            Self::TooManyRequests => ("too-many-requests", 429, "Too many requests"),
            Self::NotRecorded => ("not-recorded", 503, "Nothing was recorded"),
            Self::Misconfigured => ("misconfigured", 503, "The worker's settings are wrong"),
            Self::Refused => ("refused", 400, "The request was refused"),
            Self::OriginFailed => ("origin-failed", 502, "The origin gave no answer"),
            Self::Unsupported => ("unsupported", 501, "The platform has no such call"),
        }
    }

    /// The kind's name in logs, metrics and the document's `type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.facts().0
    }

    /// The status that goes with it. [`Problem::refused`] and [`Problem::origin`] have their own.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.facts().1
    }

    /// The title: the same for every occurrence (RFC 9457 §3.1.3).
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.facts().2
    }
}

/// A problem document, with the fields that its status asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: u16,
    kind: ProblemKind,
    detail: String,
    field: Option<String>,
    reason: Option<String>,
    retry_after: Option<Seconds>,
    allow: Option<&'static str>,
}

#[derive(Serialize)]
struct ProblemJson<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

impl Problem {
    /// A problem of a kind, with the detail of this occurrence.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self {
            status: kind.status(),
            kind,
            detail: detail.into(),
            field: None,
            reason: None,
            retry_after: None,
            allow: None,
        }
    }

    /// A visitor's request that the edge refuses, with the reason that Cache-Status gives.
    #[must_use]
    pub fn refused(status: u16, reason: &str) -> Self {
        let detail = "The edge does not pass this request on; the reason says why.";
        Self { status, ..Self::new(ProblemKind::Refused, detail).because(reason) }
    }

    /// An origin without an answer, with the reason that Cache-Status gives.
    #[must_use]
    pub fn origin(status: u16, reason: &str, detail: &str) -> Self {
        Self { status, ..Self::new(ProblemKind::OriginFailed, detail).because(reason) }
    }

    /// Nothing was recorded (the journal did not answer): the caller may send the same again.
    #[must_use]
    pub fn not_recorded(reason: &str) -> Self {
        let detail =
            "The journal did not acknowledge the call. Send the same again, with the same id.";
        Self::new(ProblemKind::NotRecorded, detail).because(reason).retry_after(Seconds(1))
    }

    /// The journal has more to do than it can: nothing was recorded, as far as is known.
    #[must_use]
    pub fn overloaded() -> Self {
        Self { retry_after: Some(Seconds(5)), ..Self::not_recorded("journal-overloaded") }
    }

    /// The same id came before with another body.
    #[must_use]
    pub fn id_conflict() -> Self {
        let detail = "This webhook id was used before with another body; the first one stands.";
        Self::new(ProblemKind::IdConflict, detail).at("webhook-id")
    }

    /// No such call, job or page.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(ProblemKind::NotFound, format!("There is no such {what}."))
    }

    /// Names the field at fault: `tags[3]`.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Says why, in a word that logs and metrics use too.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Says when a retry makes sense (RFC 9110 §10.2.3).
    #[must_use]
    pub const fn retry_after(mut self, after: Seconds) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Says which methods the resource has (RFC 9110 §10.2.1).
    #[must_use]
    pub const fn allow(mut self, methods: &'static str) -> Self {
        self.allow = Some(methods);
        self
    }

    /// The status code.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// The detail of this occurrence.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Why, in a word that logs and metrics use too.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or(self.kind.as_str())
    }

    /// The field at fault.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// The answer's fields.
    #[must_use]
    pub fn fields(&self) -> Fields {
        let mut fields = Fields::new();
        fields.append("content-type", "application/problem+json");
        fields.append("cache-control", "no-store");
        match self.status {
            // RFC 9110 §11.6.1: a 401 carries a challenge.
            401 => fields.append("www-authenticate", "Bearer realm=\"edge-isr\""),
            // RFC 6750 §3.1.
            403 if self.kind == ProblemKind::OutOfScope => fields.append(
                "www-authenticate",
                "Bearer realm=\"edge-isr\", error=\"insufficient_scope\"",
            ),
            _ => {}
        }
        if let Some(after) = self.retry_after {
            fields.append("retry-after", after.0.to_string());
        }
        if let Some(methods) = self.allow {
            fields.append("allow", methods);
        }
        fields
    }

    /// The document.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let document = ProblemJson {
            kind: format!("urn:edge-isr:problem:{}", self.kind.as_str()),
            title: self.kind.title(),
            status: self.status,
            detail: &self.detail,
            field: self.field.as_deref(),
            reason: self.reason.as_deref(),
            retry_after: self.retry_after.map(|after| after.0),
        };
        // Plain texts and numbers always serialise.
        serde_json::to_vec(&document).unwrap_or_default()
    }
}
