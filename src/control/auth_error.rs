//! Why a caller may not make a call, and what is answered then.

use super::problem::{Problem, ProblemKind};
use super::secret::TokenScope;

/// Why a caller may not make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthError {
    /// Neither a signature nor a token.
    Missing,
    /// A webhook's field is missing or not of its form.
    Malformed(&'static str),
    /// `webhook-timestamp` is more than the tolerance ago.
    TooOld,
    /// `webhook-timestamp` is more than the tolerance ahead.
    TooNew,
    /// No key made any of the signatures.
    UnknownSignature,
    /// There is nothing to check the signature or token with.
    NothingConfigured,
    /// `Authorization` is not `Bearer` with a token.
    MalformedToken,
    /// The token is not one of ours.
    UnknownToken,
    /// The token is ours, without the scope that the call needs.
    ScopeMissing(TokenScope),
}

impl AuthError {
    /// The reason's name in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "credentials-missing",
            Self::Malformed(_) => "webhook-malformed",
            Self::TooOld => "webhook-too-old",
            Self::TooNew => "webhook-too-new",
            Self::UnknownSignature => "signature-unknown",
            Self::NothingConfigured => "secret-not-configured",
            Self::MalformedToken => "token-malformed",
            Self::UnknownToken => "token-unknown",
            Self::ScopeMissing(_) => "scope-missing",
        }
    }

    /// What to answer.
    #[must_use]
    pub fn problem(self) -> Problem {
        use ProblemKind::{NotAuthenticated, OutOfScope, TimestampOutOfTolerance};
        let problem = match self {
            Self::Missing => Problem::new(
                NotAuthenticated,
                "Sign the call as a webhook, or send a token: Authorization: Bearer …",
            ),
            Self::Malformed(field) => {
                Problem::new(NotAuthenticated, format!("{field} is missing or malformed."))
                    .at(field)
            }
            Self::TooOld => Problem::new(
                TimestampOutOfTolerance,
                "webhook-timestamp is more than 300 s in the past. Sign again and send.",
            )
            .at("webhook-timestamp"),
            Self::TooNew => Problem::new(
                TimestampOutOfTolerance,
                "webhook-timestamp is more than 300 s in the future. Check the sender's clock.",
            )
            .at("webhook-timestamp"),
            Self::UnknownSignature => Problem::new(
                NotAuthenticated,
                "No configured secret made the signature over id.timestamp.body.",
            )
            .at("webhook-signature"),
            Self::NothingConfigured => Problem::new(
                NotAuthenticated,
                "No secret is configured to check this with (WEBHOOK_SECRETS, TOKENS).",
            ),
            Self::MalformedToken => {
                Problem::new(NotAuthenticated, "Expected: Bearer and a token.").at("authorization")
            }
            Self::UnknownToken => {
                Problem::new(NotAuthenticated, "The token is not known.").at("authorization")
            }
            Self::ScopeMissing(scope) => {
                Problem::new(OutOfScope, format!("The call needs the scope {}.", scope.as_str()))
                    .at("authorization")
            }
        };
        problem.because(self.as_str())
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        error.problem()
    }
}
