//! An invalidation on its way into the journal: the same for every API that asks for one.

use crate::base::time::{Epoch, Timestamp};
use crate::cache::tag::{Target, TargetHash};
use crate::control::log::Event;
use crate::control::metrics::Counter;
use crate::control::problem::Problem;
use crate::control::revalidate::RevalidateCommand;
use crate::engine::parts::Invalidator;
use crate::engine::port::{CallError, Platform};
use crate::engine::retry;
use crate::journal::delta::{Found, TargetRow};
use crate::journal::{Append, Appended, CalledBy, JournalReply, Mode};

/// Who asked, and through which API: for the log and the history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requester<'a> {
    /// The webhook, token or address.
    pub(crate) caller: &'a str,
    /// The API.
    pub(crate) via: &'a str,
    /// Whether the answer says how many pages are concerned.
    pub(crate) counted: bool,
}

impl Requester<'_> {
    fn called_by(self) -> CalledBy {
        CalledBy { caller: self.caller.to_owned(), via: self.via.to_owned() }
    }
}

/// What the journal gets of a command.
pub(crate) fn append_of(
    command: &RevalidateCommand,
    id: String,
    body_digest: String,
    requester: Requester<'_>,
) -> Append {
    Append {
        id,
        body_digest,
        targets: command.targets.clone(),
        mode: command.mode,
        warm: command.warm,
        reinvalidate_after: command.reinvalidate_after,
        reason: command.reason.clone(),
        uncounted: !requester.counted,
        unsafe_method: false,
        by: requester.called_by(),
    }
}

/// An invalidation that the journal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidationReceipt {
    /// Since now.
    New {
        /// Its epoch.
        epoch: Epoch,
        /// The pages it concerns, as far as is known.
        pages: Option<u64>,
        /// The warms it queued, as far as is known.
        warming: Option<u64>,
        /// Pages that may be stored in colos and are not in the index.
        unknown: u64,
    },
    /// Since before.
    Repeated {
        /// Its epoch.
        epoch: Epoch,
    },
}

impl<P: Platform> Invalidator<P> {
    /// Records an invalidation, counts it and writes its line.
    pub(crate) async fn invalidate(
        &self,
        command: &RevalidateCommand,
        id: String,
        body_digest: String,
        requester: Requester<'_>,
    ) -> Result<InvalidationReceipt, Problem> {
        let append = append_of(command, id.clone(), body_digest, requester);
        let recorded = match self.append(append).await {
            Ok(Appended::New { epoch, pages, warming, unknown, .. }) => {
                InvalidationReceipt::New { epoch, pages, warming, unknown: unknown.unwrap_or(0) }
            }
            Ok(Appended::Repeated { epoch }) => InvalidationReceipt::Repeated { epoch },
            Ok(Appended::Conflict) => return Err(Problem::id_conflict()),
            Err(error) => {
                self.context.journal_failed("append", &error);
                return Err(match error {
                    CallError::Overloaded(_) => Problem::overloaded(),
                    CallError::Unreachable(_)
                    | CallError::Broken(_)
                    | CallError::Failed(_)
                    | CallError::Unknown(_) => Problem::not_recorded("journal-unreachable"),
                });
            }
        };
        let (counter, mode) = match command.mode {
            Mode::Soft => (Counter::RevalidateSoft, "soft"),
            Mode::Hard => (Counter::RevalidateHard, "hard"),
        };
        self.context.count(counter);
        let (InvalidationReceipt::New { epoch, .. } | InvalidationReceipt::Repeated { epoch }) =
            recorded;
        let event = Event::Revalidated {
            id: &id,
            epoch,
            targets: command.targets.len(),
            mode,
            caller: requester.caller,
            via: requester.via,
            reason: &command.reason,
        };
        self.context.log(&event);
        Ok(recorded)
    }

    /// Appends to the journal; this isolate's view sees it at once.
    pub(crate) async fn append(&self, append: Append) -> Result<Appended, CallError> {
        let platform = &self.context.platform;
        let request_time = platform.now();
        let targets: Vec<TargetHash> = append.targets.iter().map(Target::hash).collect();
        let mode = append.mode;
        let (reply, again) = retry::append(&**platform, append).await?;
        let appended = match reply {
            // Recorded by the first try, which broke off before it said so.
            JournalReply::Appended(Appended::Repeated { epoch }) if again => {
                Appended::recorded(epoch)
            }
            JournalReply::Appended(appended) => appended,
            other => return Err(CallError::Unknown(other.name().into())),
        };
        if let Appended::New { epoch, .. } = appended {
            let row = |hash: &TargetHash| match mode {
                Mode::Soft => {
                    TargetRow { hash: *hash, soft: epoch, hard: Epoch::ZERO, soft_at: request_time }
                }
                Mode::Hard => TargetRow {
                    hash: *hash,
                    soft: Epoch::ZERO,
                    hard: epoch,
                    soft_at: Timestamp::ZERO,
                },
            };
            let rows = targets.iter().map(row).collect();
            let found = Found { head: epoch, rows, buckets: Vec::new() };
            self.context.isolate().borrow_mut().view.apply_lookup(&targets, &found, request_time);
        }
        Ok(appended)
    }
}
