//! Readiness: can this isolate keep the promise of the staleness bound, and if not, why.
//!
//! Anyone may ask whether it can; why, which settings hold and how far the journal is, is for who
//! has a token. A reason that blocks makes the answer a 503; the others stand beside it.

use serde::Serialize;

use crate::base::time::{Epoch, Millis};
use crate::config::summary::Summary;
use crate::config::{ConfigError, OriginUrlError};

use super::secret::SecretError;

/// Something that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthReason {
    /// `EDGE_ISR` has wrong values: every request passes uncached.
    Config(Vec<ConfigError>),
    /// `ORIGIN` is missing or wrong.
    Origin(OriginUrlError),
    /// `ORIGIN` is the host that the worker answers for.
    OriginIsWorker,
    /// `WEBHOOK_SECRETS` or `TOKENS` has secrets that can't be used: the control API refuses every
    /// call.
    Secrets(Vec<SecretError>),
    /// A binding that the worker needs is not there.
    BindingMissing(&'static str),
    /// Neither a webhook secret nor a token is set: nothing can be invalidated.
    NothingCanInvalidate,
    /// The journal has been out of reach for longer than `max_lag`: pages are served within their
    /// stale windows.
    JournalLost(Millis),
    /// The journal has been out of reach for longer than `journal_lost_limit`: every page is
    /// validated with the origin.
    JournalLostTooLong(Millis),
    /// Caches in front of the edge that do not take their deliveries: a line for each.
    FrontCacheFailed(Vec<String>),
    /// The number of shards has changed, and so many shards have pages of others.
    Resharding(u64),
    /// The isolate has not heard of the journal yet.
    Cold,
}

impl HealthReason {
    /// The reason's name.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Config(_) => "config-invalid",
            Self::Origin(_) => "origin-invalid",
            Self::OriginIsWorker => "origin-is-worker",
            Self::Secrets(_) => "secrets-invalid",
            Self::BindingMissing(_) => "binding-missing",
            Self::NothingCanInvalidate => "nothing-can-invalidate",
            Self::JournalLost(_) => "journal-unreachable",
            Self::JournalLostTooLong(_) => "journal-lost",
            Self::FrontCacheFailed(_) => "front-cache-failed",
            Self::Resharding(_) => "resharding",
            Self::Cold => "cold",
        }
    }

    /// Whether the site is not served as it should be because of it.
    #[must_use]
    pub const fn blocks(&self) -> bool {
        match self {
            Self::Config(_)
            | Self::Origin(_)
            | Self::OriginIsWorker
            | Self::Secrets(_)
            | Self::BindingMissing(_)
            | Self::JournalLostTooLong(_) => true,
            Self::NothingCanInvalidate
            | Self::JournalLost(_)
            | Self::FrontCacheFailed(_)
            | Self::Resharding(_)
            | Self::Cold => false,
        }
    }

    /// One line for each thing to mend.
    fn details(&self) -> Vec<String> {
        match self {
            Self::Config(errors) => errors.iter().map(ToString::to_string).collect(),
            Self::Origin(error) => vec![format!("ORIGIN: {error}")],
            Self::OriginIsWorker => {
                vec!["ORIGIN: it is the host that the worker answers for".to_owned()]
            }
            Self::Secrets(errors) => errors.iter().map(ToString::to_string).collect(),
            Self::BindingMissing(name) => vec![format!("{name}: no such binding")],
            Self::NothingCanInvalidate => {
                vec!["neither WEBHOOK_SECRETS nor TOKENS is set".to_owned()]
            }
            Self::JournalLost(span) | Self::JournalLostTooLong(span) => {
                vec![format!("the journal was last heard of {} s ago", span.0 / 1000)]
            }
            Self::FrontCacheFailed(lines) => lines.clone(),
            Self::Resharding(moving) => {
                vec![format!("{moving} shards have pages that are to go to others")]
            }
            Self::Cold => Vec::new(),
        }
    }
}

/// What `healthz` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The reasons, blocking ones and others.
    pub reasons: Vec<HealthReason>,
    /// The newest epoch that the isolate knows.
    pub epoch: Option<Epoch>,
    /// The age of the isolate's view, if it has one.
    pub view_age: Option<Millis>,
    /// The settings in effect, if they are right.
    pub config: Option<Summary>,
}

#[derive(Serialize)]
struct HealthJson<'a> {
    ready: bool,
    reasons: Vec<ReasonRow<'a>>,
    notes: Vec<ReasonRow<'a>>,
    version: &'static str,
    epoch: Option<Epoch>,
    view_age_ms: Option<u64>,
    config: Option<&'a Summary>,
}

#[derive(Serialize)]
struct ReasonRow<'a> {
    reason: &'a str,
    details: Vec<String>,
}

impl Health {
    /// Whether nothing blocks.
    #[must_use]
    pub fn ready(&self) -> bool {
        !self.reasons.iter().any(HealthReason::blocks)
    }

    /// One line for each thing to mend.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.reasons.iter().flat_map(HealthReason::details).collect()
    }

    /// 200, or 503 if something blocks.
    #[must_use]
    pub fn status(&self) -> u16 {
        if self.ready() { 200 } else { 503 }
    }

    /// The answer's JSON for who has no token.
    #[must_use]
    pub fn body_for_strangers(&self) -> Vec<u8> {
        format!("{{\"ready\":{}}}", self.ready()).into_bytes()
    }

    /// The answer's JSON.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let rows = |blocks: bool| {
            let those = self.reasons.iter().filter(|reason| reason.blocks() == blocks);
            those.map(|r| ReasonRow { reason: r.as_str(), details: r.details() }).collect()
        };
        let document = HealthJson {
            ready: self.ready(),
            reasons: rows(true),
            notes: rows(false),
            version: env!("CARGO_PKG_VERSION"),
            epoch: self.epoch,
            view_age_ms: self.view_age.map(|age| age.0),
            config: self.config.as_ref(),
        };
        // Plain texts and numbers always serialise.
        serde_json::to_vec(&document).unwrap_or_default()
    }
}
