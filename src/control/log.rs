//! The log: one line of JSON for each noteworthy event. Hits are not noteworthy; metrics count
//! them.
//!
//! Events are closed, so every line that can be written is known here. Query strings are cut out of
//! every text (`?[redacted]`): they hold what visitors typed, and tokens of reset links. No secret
//! is ever part of an event.

use serde_json::{Map, Value, json};

use crate::base::json::write_value;
use crate::base::time::{Epoch, Millis, Timestamp};
use crate::config::LogLevel;

/// Something worth a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The settings are wrong: requests pass uncached.
    ConfigInvalid {
        /// One line for each wrong value.
        problems: &'a [String],
    },
    /// The origin gave no answer, or not a whole one.
    OriginFailed {
        /// The page.
        url: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A response was not stored because the origin's headers are wrong.
    NotStored {
        /// The page.
        url: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A page could not be composed for a visitor, who got it from the origin.
    NotComposed {
        /// The page.
        url: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A fragment of a page that is put together at the edge failed: the page goes on without it.
    FragmentFailed {
        /// The page.
        url: &'a str,
        /// The fragment, as the page says it.
        fragment: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A page's Edge Side Includes are malformed: what can't be read is text.
    EsiFault {
        /// The page or fragment.
        url: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A response varies on request fields that its origin is never sent (`forward_headers`).
    VaryNotForwarded {
        /// The page.
        url: &'a str,
        /// The fields.
        fields: &'a str,
    },
    /// A visitor's request was refused: a request that goes in circles, or one that can't be right.
    RequestRefused {
        /// The page.
        url: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A store gave no answer.
    StoreFailed {
        /// `l1` or `l2`.
        tier: &'a str,
        /// `get` or `put`.
        operation: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A Durable Object gave no answer to something else.
    CallFailed {
        /// `journal` or `shard-3`.
        object: &'a str,
        /// Which call.
        call: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// An invalidation was recorded.
    Revalidated {
        /// The job's id.
        id: &'a str,
        /// Its epoch.
        epoch: Epoch,
        /// How many targets.
        targets: usize,
        /// `soft` or `hard`.
        mode: &'a str,
        /// The webhook, the token's name or the trusted address.
        caller: &'a str,
        /// The API that it came through: `control`, or a purge API's name.
        via: &'a str,
        /// The caller's words.
        reason: &'a str,
    },
    /// A control call was refused.
    ControlRefused {
        /// The call.
        call: &'a str,
        /// The answer's status.
        status: u16,
        /// Why.
        reason: &'a str,
    },
    /// A warm failed and will be tried again.
    WarmFailed {
        /// The page.
        url: &'a str,
        /// Why.
        reason: &'a str,
        /// Tries made.
        attempts: u32,
    },
    /// A sitemap could not be read.
    ImportFailed {
        /// The sitemap.
        url: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A cache in front of the edge has not taken its deliveries, and will be asked again.
    FrontCacheFailed {
        /// Its name.
        name: &'a str,
        /// Why.
        reason: &'a str,
        /// Invalidations that were to be delivered.
        waiting: usize,
    },
    /// The number of shards has changed, and pages go to their new ones.
    Resharding {
        /// How many there are now.
        shards: u16,
        /// How many have pages of others.
        moving: u64,
    },
    /// A page changed at the origin without an invalidation.
    AuditFound {
        /// The page.
        url: &'a str,
        /// What is probably the cause.
        reason: &'a str,
        /// For how long at most it was out of date.
        stale: Millis,
    },
    /// A warm was given up.
    WarmDead {
        /// The page.
        url: &'a str,
        /// Why.
        reason: &'a str,
        /// Tries made.
        attempts: u32,
    },
}

impl Event<'_> {
    /// The event's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ConfigInvalid { .. } => "config-invalid",
            Self::OriginFailed { .. } => "origin-failed",
            Self::NotStored { .. } => "not-stored",
            Self::NotComposed { .. } => "not-composed",
            Self::FragmentFailed { .. } => "fragment-failed",
            Self::EsiFault { .. } => "esi-fault",
            Self::VaryNotForwarded { .. } => "vary-not-forwarded",
            Self::RequestRefused { .. } => "request-refused",
            Self::StoreFailed { .. } => "store-failed",
            Self::CallFailed { .. } => "call-failed",
            Self::Revalidated { .. } => "revalidated",
            Self::ControlRefused { .. } => "control-refused",
            Self::WarmFailed { .. } => "warm-failed",
            Self::ImportFailed { .. } => "import-failed",
            Self::FrontCacheFailed { .. } => "front-cache-failed",
            Self::Resharding { .. } => "resharding",
            Self::AuditFound { .. } => "audit-found",
            Self::WarmDead { .. } => "warm-dead",
        }
    }

    /// The least verbose setting at which it is written.
    #[must_use]
    pub const fn level(&self) -> LogLevel {
        match self {
            Self::ConfigInvalid { .. }
            | Self::OriginFailed { .. }
            | Self::NotStored { .. }
            | Self::NotComposed { .. }
            | Self::FragmentFailed { .. }
            | Self::EsiFault { .. }
            | Self::VaryNotForwarded { .. }
            | Self::RequestRefused { .. }
            | Self::StoreFailed { .. }
            | Self::CallFailed { .. }
            | Self::ControlRefused { .. }
            | Self::ImportFailed { .. }
            | Self::FrontCacheFailed { .. }
            | Self::AuditFound { .. }
            | Self::WarmDead { .. } => LogLevel::Problems,
            Self::Revalidated { .. } | Self::WarmFailed { .. } | Self::Resharding { .. } => {
                LogLevel::Events
            }
        }
    }

    /// The line, without a line break; none if the setting leaves it out.
    #[must_use]
    pub fn line(&self, now: Timestamp, setting: LogLevel) -> Option<String> {
        if setting < self.level() {
            return None;
        }
        let level = match self.level() {
            LogLevel::Off | LogLevel::Problems => "problem",
            LogLevel::Events => "event",
        };
        let mut line = Map::new();
        line.insert("at_ms".to_owned(), json!(now.as_millis()));
        line.insert("level".to_owned(), json!(level));
        line.insert("event".to_owned(), json!(self.name()));
        for (name, value) in self.members() {
            line.insert(name.to_owned(), value);
        }
        Some(write_value(&Value::Object(line)))
    }

    fn members(&self) -> Vec<(&'static str, Value)> {
        let text = |text: &str| Value::from(redact(text));
        match self {
            Self::ConfigInvalid { problems } => {
                vec![("problems", problems.iter().map(|problem| text(problem)).collect())]
            }
            Self::OriginFailed { url, reason }
            | Self::NotStored { url, reason }
            | Self::NotComposed { url, reason }
            | Self::ImportFailed { url, reason }
            | Self::EsiFault { url, reason }
            | Self::RequestRefused { url, reason } => {
                vec![("url", text(url)), ("reason", text(reason))]
            }
            Self::FragmentFailed { url, fragment, reason } => {
                vec![("url", text(url)), ("fragment", text(fragment)), ("reason", text(reason))]
            }
            Self::VaryNotForwarded { url, fields } => {
                vec![("url", text(url)), ("fields", text(fields))]
            }
            Self::StoreFailed { tier, operation, reason } => {
                vec![("tier", text(tier)), ("operation", text(operation)), ("reason", text(reason))]
            }
            Self::CallFailed { object, call, reason } => {
                vec![("object", text(object)), ("call", text(call)), ("reason", text(reason))]
            }
            Self::Revalidated { id, epoch, targets, mode, caller, via, reason } => vec![
                ("id", text(id)),
                ("epoch", json!(epoch.0)),
                ("targets", json!(targets)),
                ("mode", text(mode)),
                ("caller", text(caller)),
                ("via", text(via)),
                ("reason", text(reason)),
            ],
            Self::ControlRefused { call, status, reason } => {
                vec![("call", text(call)), ("status", json!(status)), ("reason", text(reason))]
            }
            Self::FrontCacheFailed { name, reason, waiting } => {
                vec![("name", text(name)), ("reason", text(reason)), ("waiting", json!(waiting))]
            }
            Self::Resharding { shards, moving } => {
                vec![("shards", json!(shards)), ("moving", json!(moving))]
            }
            Self::AuditFound { url, reason, stale } => {
                vec![("url", text(url)), ("reason", text(reason)), ("stale_ms", json!(stale.0))]
            }
            Self::WarmFailed { url, reason, attempts }
            | Self::WarmDead { url, reason, attempts } => {
                vec![("url", text(url)), ("reason", text(reason)), ("attempts", json!(attempts))]
            }
        }
    }
}

/// A text with every query string cut: from a `?` to the next white space, quote or bracket.
#[must_use]
pub fn redact(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('?') {
        let (before, query) = rest.split_at(at);
        let end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | ')');
        let length = query.find(end).unwrap_or(query.len());
        kept.push_str(before);
        // A question mark that ends a sentence hides nothing.
        kept.push_str(if length == 1 { "?" } else { "?[redacted]" });
        rest = query.get(length..).unwrap_or_default();
    }
    kept.push_str(rest);
    kept
}
