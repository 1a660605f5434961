//! The body of `POST {prefix}/v1/warm`: the pages to fetch without a visitor, or the sitemap that
//! lists them.

use serde_json::{Map, Value};

use crate::base::json::parse_json;

use super::problem::{Problem, ProblemKind};
use super::revalidate::check_length;

/// The most URLs in one call. More fit a sitemap.
pub const MAX_URLS: usize = 500;

const FIELDS: &[&str] = &["urls", "sitemap"];

/// What is to be fetched. URLs are as given; not checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WarmCommand {
    /// These pages.
    Urls(Vec<String>),
    /// The pages that a sitemap, or an index of sitemaps, lists.
    Sitemap(String),
}

/// Parses the body of a call: `{"urls": ["https://…"]}` or `{"sitemap": "https://…"}`.
///
/// # Errors
/// The first fault, with the field it is in.
pub fn parse(body: &[u8]) -> Result<WarmCommand, Problem> {
    check_length(body.len())?;
    let value = parse_json(body).map_err(|error| {
        Problem::new(ProblemKind::MalformedBody, format!("The body is not JSON: {error}."))
    })?;
    let Value::Object(object) = value else {
        return Err(Problem::new(ProblemKind::WrongType, "The body is a JSON object."));
    };
    if let Some(unknown) = object.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        let shown: String = unknown.chars().take(64).collect();
        let detail = format!("{shown} is not a field of this call.");
        return Err(Problem::new(ProblemKind::UnknownField, detail).at(shown));
    }
    match object.get("sitemap") {
        None => urls(&object).map(WarmCommand::Urls),
        Some(_) if object.contains_key("urls") => {
            let detail = "Name urls or a sitemap, not both.";
            Err(Problem::new(ProblemKind::Contradiction, detail).at("sitemap"))
        }
        Some(Value::String(url)) => Ok(WarmCommand::Sitemap(url.clone())),
        Some(_) => {
            let detail = "sitemap: expected a text.";
            Err(Problem::new(ProblemKind::WrongType, detail).at("sitemap"))
        }
    }
}

fn urls(object: &Map<String, Value>) -> Result<Vec<String>, Problem> {
    let urls = match object.get("urls") {
        Some(Value::Array(urls)) if !urls.is_empty() => urls,
        Some(Value::Array(_)) | None => {
            let detail = "Name at least one of urls, or a sitemap.";
            return Err(Problem::new(ProblemKind::NoTargets, detail).at("urls"));
        }
        Some(_) => {
            let detail = "urls: expected a list of texts.";
            return Err(Problem::new(ProblemKind::WrongType, detail).at("urls"));
        }
    };
    if urls.len() > MAX_URLS {
        let detail = format!("The call names {} URLs; one call takes {MAX_URLS}.", urls.len());
        return Err(Problem::new(ProblemKind::TooManyTargets, detail).at("urls"));
    }
    urls.iter()
        .enumerate()
        .map(|(at, url)| {
            let field = format!("urls[{at}]");
            let detail = format!("{field}: expected a text.");
            url.as_str()
                .map(str::to_owned)
                .ok_or_else(|| Problem::new(ProblemKind::WrongType, detail).at(field))
        })
        .collect()
}
