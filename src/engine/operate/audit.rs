//! What audits have found, and how many there were.

use crate::control::audit::AuditAnswer;
use crate::control::problem::Problem;
use crate::control::reply::json;
use crate::engine::once_more;
use crate::engine::operate::answer;
use crate::engine::parts::Operator;
use crate::engine::port::Platform;
use crate::engine::serve::response::Answer;
use crate::journal::audit::AuditRequest;
use crate::journal::report::StatsRequest;
use crate::journal::{JournalCall, JournalReply};

impl<P: Platform> Operator<P> {
    /// What was found.
    pub(super) async fn audit(&self, request: AuditRequest) -> Result<Answer<P>, Problem> {
        let now = self.context.platform.now();
        let all = StatsRequest { from: now, to: now, all: true, ..StatsRequest::default() };
        let counts = self.ask_for_stats(all).await?.all.unwrap_or_default();
        let call = JournalCall::Audit(request);
        match once_more::journal(&*self.context.platform, call).await {
            Ok(JournalReply::Audit(reply)) => {
                Ok(answer(200, json(&AuditAnswer::of(reply, &counts))))
            }
            Ok(_) => Err(Problem::not_recorded("journal-failed")),
            Err(error) => {
                self.context.journal_failed("audit", &error);
                Err(Problem::not_recorded("journal-unreachable"))
            }
        }
    }
}
