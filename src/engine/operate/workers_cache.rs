//! Workers Caching at work: the entrypoint whose responses the platform keeps purges them, for the
//! journal's object.

use serde_json::Value;

use crate::base::json::{parse_json, write_value};
use crate::control::problem::{Problem, ProblemKind};
use crate::engine::operate::answer;
use crate::engine::parts::Operator;
use crate::engine::port::{Platform, PurgeError};
use crate::engine::serve::response::Answer;

impl<P: Platform> Operator<P> {
    /// Purges by the options in a call's body; what is soft is marked as stale, where the platform
    /// can do that.
    pub(super) async fn purge_workers_cache(&self, body: &[u8]) -> Result<Answer<P>, Problem> {
        let platform = &self.context.platform;
        let Ok(Value::Object(mut options)) = parse_json(body) else {
            let detail = "Send the options of a purge as an object in JSON.";
            return Err(Problem::new(ProblemKind::MalformedBody, detail));
        };
        let soft = options.remove("mode").is_some_and(|mode| mode.as_str() == Some("soft"));
        let options = write_value(&Value::Object(options));
        let mut done = platform.purge_workers_cache(soft, &options).await;
        if soft && done == Err(PurgeError::Absent) {
            done = platform.purge_workers_cache(false, &options).await;
        }
        let failed = |kind, detail: &str| Err(Problem::new(kind, detail));
        match done {
            Ok(()) => Ok(answer(204, Vec::new())),
            Err(PurgeError::Absent) => {
                failed(ProblemKind::Unsupported, "The runtime has no Workers Caching.")
            }
            Err(PurgeError::Limited) => {
                failed(ProblemKind::TooManyRequests, "Workers Caching did not purge.")
            }
            Err(PurgeError::Failed) => Err(Problem::not_recorded("workers-cache-failed")),
        }
    }
}
