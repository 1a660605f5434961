//! A call of `explain` and the JSON of its answer: what would be done for a request, and why.

use serde::Serialize;

use crate::base::time::{Epoch, Timestamp};
use crate::http::Fields;

use super::problem::{Problem, ProblemKind};
use super::query::Query;

/// The most fields of a request that is explained.
const MAX_FIELDS: usize = 100;

/// The request that is to be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainQuery {
    /// Its address, as given; not checked yet.
    pub url: String,
    /// Its method.
    pub method: String,
    /// Its fields.
    pub fields: Fields,
}

impl ExplainQuery {
    pub(super) fn parse(query: &Query) -> Result<Self, Problem> {
        query.only(&["url", "method", "header"])?;
        let url = query.get("url").filter(|url| !url.is_empty()).ok_or_else(|| {
            let detail = "Name the address: ?url=https://example.com/.";
            Problem::new(ProblemKind::InvalidValue, detail).at("url")
        })?;
        let method = query.get("method").unwrap_or("GET");
        if method.is_empty() || method.len() > 32 || !method.bytes().all(is_token) {
            let detail = "method is the name of a method: GET.";
            return Err(Problem::new(ProblemKind::InvalidValue, detail).at("method"));
        }
        let mut fields = Fields::new();
        for (n, header) in query.all("header").enumerate() {
            let field = header.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
            let field = field.filter(|(name, value)| {
                !name.is_empty()
                    && name.bytes().all(is_token)
                    && !value.contains(['\r', '\n', '\0'])
            });
            let Some((name, value)) = field.filter(|_| n < MAX_FIELDS) else {
                let detail = format!("header is Name: value, up to {MAX_FIELDS} times.");
                return Err(Problem::new(ProblemKind::InvalidValue, detail).at("header"));
            };
            fields.append(name.to_ascii_lowercase(), value);
        }
        Ok(Self { url: url.to_owned(), method: method.to_owned(), fields })
    }
}

/// RFC 9110 §5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

/// What would be done for a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The method.
    pub method: String,
    /// The address, as it was asked for.
    pub url: String,
    /// When it was decided, in milliseconds since the Unix epoch.
    pub at: Timestamp,
    /// The rule that the request comes under, as in the settings; none where it is refused before.
    pub rule: Option<String>,
    /// What is done.
    pub action: ExplainedAction,
    /// The reason's name in Cache-Status; none for a fresh hit and a page that is not there.
    pub reason: Option<String>,
    /// What Cache-Status will begin with.
    pub cache_status: String,
    /// The page: what counts of the address.
    pub page: Option<String>,
    /// Its key.
    pub key: Option<String>,
    /// What of the request neither counts nor reaches the origin of a page that may be stored.
    pub not_forwarded: WithheldNames,
    /// How far this isolate knows what was invalidated.
    pub journal: Option<&'static str>,
    /// What this isolate, or its colo, has stored that the request selects.
    pub stored: Option<StoredHere>,
    /// What the answer is made of, where it is not what is stored as it is.
    pub made_of: Option<MadeOf>,
    /// All variants that the index knows of the page.
    pub variants: Vec<KnownVariant>,
    /// All of it in sentences.
    pub steps: Vec<String>,
}

/// What is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExplainedAction {
    /// It is answered with an error.
    #[default]
    Refuse,
    /// It passes to the origin.
    Pass,
    /// What is stored answers.
    Hit,
    /// What is stored answers, and is refreshed.
    Stale,
    /// The origin answers this very request, and nothing is stored.
    Bypass,
    /// A range is asked of the origin, and not stored.
    Range,
    /// The page is fetched, and stored if it may be.
    Fetch,
    /// Nothing stored may answer, and the request forbids to ask the origin.
    OnlyIfCached,
}

/// What an answer is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MadeOf {
    /// A composed page's shell.
    Shell,
    /// A page, and what its Edge Side Includes name.
    Includes,
}

/// What of a request is not forwarded: names alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WithheldNames {
    /// Parameters of the query.
    pub query: Vec<String>,
    /// Fields.
    pub fields: Vec<String>,
    /// Cookies.
    pub cookies: Vec<String>,
}

/// A response that is stored here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredHere {
    /// Its status.
    pub status: u16,
    /// When its head arrived.
    pub fetched: Timestamp,
    /// Its age, in seconds.
    pub age: u64,
    /// How long it is fresh, in seconds.
    pub lifetime: u64,
    /// For how long it may be served after that while it is refreshed.
    pub stale_while_revalidate: u64,
    /// For how long it may stand in after that where the origin fails.
    pub stale_if_error: u64,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its tags.
    pub tags: Vec<String>,
    /// How it stands.
    pub validity: KnownValidity,
}

/// A variant that the index knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KnownVariant {
    /// The request fields that select it, with their values.
    pub vary: Vec<(String, String)>,
    /// Whether the request selects it.
    pub selected: bool,
    /// Its status.
    pub status: u16,
    /// Its epoch.
    pub epoch: Epoch,
    /// Until when it is fresh.
    pub fresh_until: Timestamp,
    /// Until when it may be served at all.
    pub keep_until: Timestamp,
    /// Whether L2 has it.
    pub l2: bool,
    /// How it stands.
    pub validity: KnownValidity,
}

/// How a stored response stands to what was invalidated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KnownValidity {
    /// In a word.
    pub is: &'static str,
    /// The epoch of the newest invalidation that decides it.
    pub epoch: Option<Epoch>,
}

/// An explanation in sentences.
#[must_use]
pub fn steps(explanation: &Explanation) -> Vec<String> {
    let mut steps = Vec::new();
    match &explanation.rule {
        Some(rule) => steps.push(format!("The request comes under the rule {rule}.")),
        None => steps.push("The request is refused before any rule is looked at.".to_owned()),
    }
    let WithheldNames { query, fields, cookies } = &explanation.not_forwarded;
    for (what, names) in [("parameters", query), ("fields", fields), ("cookies", cookies)] {
        if !names.is_empty() {
            steps.push(format!(
                "These {what} neither count nor reach the origin of a stored page: {}.",
                names.join(", ")
            ));
        }
    }
    if let Some(page) = &explanation.page {
        steps.push(format!("The page is {page}."));
    }
    match explanation.journal {
        None | Some("recent") => {}
        Some(how) => steps.push(format!("This isolate's view of the journal is {how}.")),
    }
    if let Some(stored) = &explanation.stored {
        let (age, lifetime, validity) = (stored.age, stored.lifetime, stored.validity.is);
        let since = match stored.validity.epoch {
            Some(epoch) => format!(" (epoch {}, it has {})", epoch.0, stored.epoch.0),
            None => String::new(),
        };
        steps.push(format!(
            "A response is stored here, {age} s old of {lifetime} s, and is {validity}{since}."
        ));
    } else if explanation.journal.is_some() {
        steps.push("Nothing is stored here that the request selects.".to_owned());
    }
    let elsewhere =
        explanation.variants.iter().filter(|variant| variant.selected && variant.l2).count();
    if explanation.action == ExplainedAction::Fetch && elsewhere > 0 {
        steps.push("The index knows a copy of it, which answers if it is new enough.".to_owned());
    }
    let reason = explanation.reason.as_deref().map(|it| format!(" ({it})")).unwrap_or_default();
    steps.push(format!("{}{reason}.", explanation.action.sentence()));
    match explanation.made_of {
        Some(MadeOf::Shell) => steps.push(
            "It is the shell of a composed page: this visitor's values and parts are put into it. \
             Where the parts are a gate and can't be had, the page is asked for whole."
                .to_owned(),
        ),
        Some(MadeOf::Includes) => steps.push(
            "It has Edge Side Includes: each is looked up as a request of its own.".to_owned(),
        ),
        None => {}
    }
    steps
}

impl ExplainedAction {
    const fn sentence(self) -> &'static str {
        match self {
            Self::Refuse => "It is answered with an error",
            Self::Pass => "It passes to the origin, and its answer is not stored",
            Self::Hit => "What is stored answers",
            Self::Stale => "What is stored answers, and is refreshed in the background",
            Self::Bypass => "The origin answers this very request, and nothing is stored of it",
            Self::Range => "The range is asked of the origin, and not stored",
            Self::Fetch => {
                "The page is fetched, and stored unless what the origin answers forbids it"
            }
            Self::OnlyIfCached => {
                "Nothing stored may answer, and the origin must not be asked: 504"
            }
        }
    }
}
