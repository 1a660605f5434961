//! Invalidations at a time: put on the journal's list, shown, cancelled.

use crate::base::time::Timestamp;
use crate::control::problem::{Problem, ProblemKind};
use crate::control::reply::{Accepted, json};
use crate::control::revalidate::RevalidateCommand;
use crate::control::scheduled::{AcceptedSchedule, ScheduledAnswer};
use crate::engine::invalidate::append::{Requester, append_of};
use crate::engine::operate::answer;
use crate::engine::parts::Operator;
use crate::engine::port::Platform;
use crate::engine::retry;
use crate::engine::serve::response::Answer;
use crate::journal::schedule_message::{Cancelled, MAX_SCHEDULED, ScheduleRequest, Scheduled};
use crate::journal::{JournalCall, JournalReply, ScheduledAppend};

impl<P: Platform> Operator<P> {
    /// Puts an invalidation on the list.
    pub(super) async fn schedule(
        &self,
        command: RevalidateCommand,
        (id, at): (String, Timestamp),
        body_digest: String,
        requester: Requester<'_>,
    ) -> Result<Answer<P>, Problem> {
        let append = append_of(&command, id.clone(), body_digest, requester);
        let notes = command.notes;
        let call = JournalCall::Schedule(ScheduledAppend { append, at });
        let (scheduled, noted) = (id.clone(), notes.clone());
        let later =
            |state, repeated| AcceptedSchedule { id: scheduled, at, state, repeated, notes: noted };
        let body = match self.ask_schedule(call).await? {
            JournalReply::Scheduled(Scheduled::Waits { repeated }) => {
                json(&later("scheduled", repeated))
            }
            JournalReply::Scheduled(Scheduled::Cancelled) => json(&later("cancelled", true)),
            JournalReply::Scheduled(Scheduled::Done { epoch }) => json(&Accepted {
                id,
                epoch,
                pages: None,
                warming: None,
                unknown: 0,
                dry_run: false,
                repeated: true,
                notes,
            }),
            JournalReply::Scheduled(Scheduled::Conflict) => return Err(Problem::id_conflict()),
            JournalReply::Scheduled(Scheduled::Full) => {
                let detail = format!("{MAX_SCHEDULED} invalidations wait for their time already.");
                return Err(Problem::new(ProblemKind::TooManyRequests, detail).at("at"));
            }
            _ => return Err(Problem::not_recorded("journal-failed")),
        };
        Ok(answer(202, body))
    }

    /// What waits.
    pub(super) async fn scheduled(&self, request: ScheduleRequest) -> Result<Answer<P>, Problem> {
        match self.ask_schedule(JournalCall::Waiting(request)).await? {
            JournalReply::Waiting(reply) => Ok(answer(200, json(&ScheduledAnswer::of(reply)))),
            _ => Err(Problem::not_recorded("journal-failed")),
        }
    }

    /// Takes one off the list.
    pub(super) async fn cancel(&self, id: String) -> Result<Answer<P>, Problem> {
        match self.ask_schedule(JournalCall::Cancel { id: id.clone() }).await? {
            JournalReply::Cancelled(Cancelled::Cancelled { .. }) => {
                Ok(answer(200, json(&serde_json::json!({ "id": id, "state": "cancelled" }))))
            }
            JournalReply::Cancelled(Cancelled::TooLate { epoch }) => {
                let detail = format!("It was done, as number {}.", epoch.0);
                Err(Problem::new(ProblemKind::TooLate, detail))
            }
            JournalReply::Cancelled(Cancelled::Unknown) => Err(Problem::not_found("invalidation")),
            _ => Err(Problem::not_recorded("journal-failed")),
        }
    }

    async fn ask_schedule(&self, call: JournalCall) -> Result<JournalReply, Problem> {
        retry::journal(&*self.context.platform, call).await.map_err(|error| {
            self.context.journal_failed("schedule", &error);
            Problem::not_recorded("journal-unreachable")
        })
    }
}
