//! Carries invalidations to the caches in front of the edge. Each front cache has one carrier at a time, which takes all that
//! is due and goes on until nothing is for a while; one that does not answer holds up no other, and no shard.
//!
//! What stands in the journal stays there until it was taken: after a crash or a failure the alarm begins anew. What a
//! provider takes and is at for a while is asked after until it is done.

use std::rc::Rc;

use crate::base::sql::Sql;
use crate::base::time::{Millis, Timestamp};
use crate::cache::tag::Target;
use crate::config::front_cache::Armed;
use crate::control::log::Event;
use crate::engine::port::Platform;
use crate::front_caches::{
    Answer, Failure, Request, Taken, Untaken, asking, requests, taken, told,
};
use crate::journal::{JournalError, Owed};

use super::fan_out::Ledger;

/// How long a call may take: shorter than a carrier counts as alive without a sign.
const TIMEOUT: Millis = Millis(10_000);
/// How long a carrier waits for what is due next, rather than leave it to the alarm.
const LINGER: Millis = Millis(5_000);
/// How long a credential that is missing or wrong is left alone.
const MEND: Millis = Millis(60_000);

/// Begins to carry what is due.
///
/// # Errors
/// The journal's.
pub(crate) fn start<P: Platform, S: Sql + 'static>(
    ledger: &Rc<Ledger<S>>,
    platform: &Rc<P>,
) -> Result<(), JournalError> {
    let now = platform.now();
    for (at, armed) in ledger.front_caches.iter().enumerate() {
        let wake = ledger.act(|journal| journal.front_cache_wake(&armed.front_cache.name))?;
        if wake.is_none_or(|wake| wake > now) || !ledger.claim_front_cache(at, now) {
            continue;
        }
        let (ledger, on) = (Rc::clone(ledger), Rc::clone(platform));
        platform.spawn(async move {
            // What fails here is due again; the journal's own failures are told by the alarm.
            if let Some(armed) = ledger.front_caches.get(at) {
                let _ = carry(&ledger, &on, at, armed).await;
            }
            ledger.sign_front_cache(at, None);
        });
    }
    Ok(())
}

async fn carry<P: Platform, S: Sql>(
    ledger: &Rc<Ledger<S>>,
    platform: &Rc<P>,
    at: usize,
    armed: &Armed,
) -> Result<(), JournalError> {
    let name = &armed.front_cache.name;
    loop {
        let now = platform.now();
        ledger.sign_front_cache(at, Some(now));
        if let Some(call) = ledger.act(|journal| journal.front_cache_call(name, now))? {
            look_after(ledger, platform, at, armed, (&call.0, call.1)).await?;
            continue;
        }
        let Some(mut owed) = ledger.act(|journal| journal.front_cache_due(name, now))? else {
            match ledger.act(|journal| journal.front_cache_wake(name))? {
                Some(wake) if wake.since(now) <= LINGER => {
                    platform.sleep(Millis(wake.since(now).0.max(1))).await;
                    continue;
                }
                Some(_) | None => return Ok(()),
            }
        };
        let told = loop {
            let told = send(ledger, platform, at, armed, &owed).await;
            match told {
                // Names that a front cache does not take must not keep their pages there.
                Err(Untaken { failure: Failure::Refused, .. }) if owed.targets != [Target::All] => {
                    owed.targets = vec![Target::All];
                }
                told => break told,
            }
        };
        let now = platform.now();
        match told {
            Ok(Taken::InProgress(call)) => {
                ledger.act(|journal| journal.front_cache_sent(name, &owed.epochs, &call, now))?;
            }
            Ok(Taken::Done | Taken::Unknown) => {
                ledger.act(|journal| journal.front_cache_done(name, &owed.epochs))?;
            }
            Err(Untaken { failure, again }) => {
                failed(ledger, platform, name, failure, owed.epochs.len());
                let again = match failure {
                    Failure::CredentialsMissing
                    | Failure::CredentialsMalformed
                    | Failure::CredentialsRefused
                    | Failure::Unsupported => Some(MEND),
                    Failure::RateLimited
                    | Failure::Refused
                    | Failure::ServerError
                    | Failure::Unreachable => again,
                };
                let reason = failure.as_str();
                ledger.act(|journal| journal.front_cache_failed(name, reason, again, now))?;
            }
        }
    }
}

/// Asks how far a call is.
async fn look_after<P: Platform, S: Sql>(
    ledger: &Rc<Ledger<S>>,
    platform: &Rc<P>,
    at: usize,
    armed: &Armed,
    (call, carried): (&str, usize),
) -> Result<(), JournalError> {
    let name = &armed.front_cache.name;
    let told = match asking(armed, call, platform.now()) {
        Ok(Some(request)) => {
            let answer = exchange(ledger, platform, at, request).await;
            answer.and_then(|answer| told(armed.front_cache.provider, &answer, platform.now()))
        }
        // The settings give the name to another provider now.
        Ok(None) => Ok(Taken::Unknown),
        Err(failure) => Err(failure.into()),
    };
    let now = platform.now();
    let failure = match told {
        Ok(Taken::Done) => {
            return ledger.act(|journal| journal.front_cache_call_done(name, call));
        }
        Ok(Taken::Unknown) => {
            return ledger.act(|journal| journal.front_cache_call_lost(name, call));
        }
        Ok(Taken::InProgress(_)) => None,
        Err(Untaken { failure, .. }) => {
            failed(ledger, platform, name, failure, carried);
            Some(failure.as_str())
        }
    };
    ledger.act(|journal| journal.front_cache_call_waits(name, call, failure, now))
}

fn failed<P: Platform, S: Sql>(
    ledger: &Rc<Ledger<S>>,
    platform: &Rc<P>,
    name: &str,
    failure: Failure,
    waiting: usize,
) {
    let event = Event::FrontCacheFailed { name, reason: failure.as_str(), waiting };
    if let Some(line) = event.line(platform.now(), ledger.log) {
        platform.log(&line);
    }
}

/// Sends what is owed, in as many calls as it takes. Of several the last tells how far it is: a provider that is asked
/// after takes all in one.
async fn send<P: Platform, S: Sql>(
    ledger: &Rc<Ledger<S>>,
    platform: &Rc<P>,
    at: usize,
    armed: &Armed,
    owed: &Owed,
) -> Result<Taken, Untaken> {
    let mut progress = Taken::Done;
    for request in requests(armed, owed, platform.now())? {
        let answer = exchange(ledger, platform, at, request).await?;
        progress = taken(armed.front_cache.provider, &answer, platform.now())?;
    }
    Ok(progress)
}

async fn exchange<P: Platform, S: Sql>(
    ledger: &Rc<Ledger<S>>,
    platform: &Rc<P>,
    at: usize,
    request: Request,
) -> Result<Answer, Untaken> {
    let answer = platform.tell(request, TIMEOUT).await;
    ledger.sign_front_cache(at, Some(platform.now()));
    answer.map_err(|_| Failure::Unreachable.into())
}

impl<S: Sql> Ledger<S> {
    /// When a front cache is to be asked next. One that is being told is looked after until its carrier's sign lapses.
    pub(crate) fn next_front_cache(&self) -> Result<Option<Timestamp>, JournalError> {
        let mut next = None;
        for (at, armed) in self.front_caches.iter().enumerate() {
            let wake = match self.front_cache_sign(at) {
                Some(lapse) => Some(lapse),
                None => self.act(|journal| journal.front_cache_wake(&armed.front_cache.name))?,
            };
            next = [next, wake].into_iter().flatten().min();
        }
        Ok(next)
    }
}
