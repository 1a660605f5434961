//! Answers of the purge APIs, and what they are made of.

use serde_json::Value;

use crate::base::time::{Epoch, Timestamp};
use crate::control::auth::AuthError;
use crate::control::problem::Problem;
use crate::control::reply::json_fields;
use crate::http::Fields;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The fields.
    pub fields: Fields,
    /// The body.
    pub body: Vec<u8>,
}

/// What came of a purge.
#[derive(Clone, Copy, Debug)]
pub struct PurgeOutcome<'a> {
    /// The job's id.
    pub id: &'a str,
    /// Its epoch.
    pub epoch: Epoch,
    /// When it was recorded.
    pub at: Timestamp,
}

/// Why a call was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PurgeRefusal {
    /// Its caller may not make it.
    Caller(AuthError),
    /// Something is wrong with it, or nothing could be recorded.
    Content(Problem),
}

impl From<AuthError> for PurgeRefusal {
    fn from(error: AuthError) -> Self {
        Self::Caller(error)
    }
}

impl From<Problem> for PurgeRefusal {
    fn from(problem: Problem) -> Self {
        Self::Content(problem)
    }
}

impl PurgeRefusal {
    /// The same as the control API answers it: what logs and metrics go by.
    #[must_use]
    pub fn problem(&self) -> Problem {
        match self {
            Self::Caller(error) => error.problem(),
            Self::Content(problem) => problem.clone(),
        }
    }

    /// The status for APIs that have none for content which was understood and is wrong.
    pub(super) fn status(&self) -> u16 {
        match self.problem().status() {
            422 => 400,
            status => status,
        }
    }
}

impl Reply {
    /// An answer in JSON.
    pub(super) fn json(status: u16, value: &Value) -> Self {
        // A value always serialises.
        let body = serde_json::to_vec(value).unwrap_or_default();
        Self { status, fields: json_fields(), body }
    }

    /// The same with one more field.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.set(name, value);
        self
    }

    /// The same with what a refusal's status asks for: a challenge, methods, when to come again.
    pub(super) fn refusing(mut self, refusal: &PurgeRefusal) -> Self {
        let fields = refusal.problem().fields();
        for name in ["allow", "retry-after", "www-authenticate"] {
            if let Some(value) = fields.get(name) {
                self.fields.set(name, value);
            }
        }
        self
    }
}
