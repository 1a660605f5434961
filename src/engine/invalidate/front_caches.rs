//! Delivers invalidations to the caches in front of the edge. Each front cache has one delivery at
//! a time, which takes all that is due and goes on until nothing is for a while; one that does not
//! answer holds up no other, and no shard.
//!
//! What stands in the journal stays there until it was taken: after a crash or a failure the alarm
//! begins anew. What a provider takes and is at for a while is asked after until it is done.

use std::rc::Rc;

use crate::base::sql::Sql;
use crate::base::time::Millis;
use crate::cache::tag::Target;
use crate::config::front_cache_access::FrontCacheAccess;
use crate::control::log::Event;
use crate::engine::port::Platform;
use crate::front_caches::{
    DeliveryAnswer, DeliveryError, DeliveryFailure, DeliveryProgress, DeliveryRequest,
    call_progress, delivery_progress, progress_request, requests,
};
use crate::journal::{Delivery, JournalError};

use super::journal_host::JournalHost;

/// How long a call may take: shorter than a delivery counts as alive without a sign.
const TIMEOUT: Millis = Millis(10_000);
/// How long a delivery waits for what is due next, rather than leave it to the alarm.
const MAX_WAIT_FOR_NEXT: Millis = Millis(5_000);
/// How long a credential that is missing or wrong is left alone.
const CREDENTIAL_RETRY: Millis = Millis(60_000);

/// Begins to deliver what is due.
///
/// # Errors
/// The journal's.
pub(crate) fn start<P: Platform, S: Sql + 'static>(
    journal_host: &Rc<JournalHost<S>>,
    platform: &Rc<P>,
) -> Result<(), JournalError> {
    let now = platform.now();
    for (at, access) in journal_host.front_caches.iter().enumerate() {
        let wake =
            journal_host.act(|journal| journal.front_cache_wake(&access.front_cache.name))?;
        if wake.is_none_or(|wake| wake > now) || !journal_host.claim_front_cache(at, now) {
            continue;
        }
        let (journal_host, on) = (Rc::clone(journal_host), Rc::clone(platform));
        platform.spawn(async move {
            // What fails here is due again; the journal's own failures are reported by the alarm.
            if let Some(access) = journal_host.front_caches.get(at) {
                let _ = deliver(&journal_host, &on, at, access).await;
            }
            journal_host.sign_front_cache(at, None);
        });
    }
    Ok(())
}

async fn deliver<P: Platform, S: Sql>(
    journal_host: &Rc<JournalHost<S>>,
    platform: &Rc<P>,
    at: usize,
    access: &FrontCacheAccess,
) -> Result<(), JournalError> {
    let name = &access.front_cache.name;
    loop {
        let now = platform.now();
        journal_host.sign_front_cache(at, Some(now));
        if let Some(call) = journal_host.act(|journal| journal.front_cache_call(name, now))? {
            check_progress(journal_host, platform, at, access, (&call.0, call.1)).await?;
            continue;
        }
        let Some(mut delivery) = journal_host.act(|journal| journal.front_cache_due(name, now))?
        else {
            match journal_host.act(|journal| journal.front_cache_wake(name))? {
                Some(wake) if wake.since(now) <= MAX_WAIT_FOR_NEXT => {
                    platform.sleep(Millis(wake.since(now).0.max(1))).await;
                    continue;
                }
                Some(_) | None => return Ok(()),
            }
        };
        let mut outcome = send(journal_host, platform, at, access, &delivery).await;
        let refused = matches!(&outcome, Err(error) if error.failure == DeliveryFailure::Refused);
        if refused && delivery.targets != [Target::All] {
            // Names that a front cache does not take must not keep their pages there.
            delivery.targets = vec![Target::All];
            outcome = send(journal_host, platform, at, access, &delivery).await;
        }
        let now = platform.now();
        match outcome {
            Ok(DeliveryProgress::InProgress(call)) => {
                journal_host
                    .act(|journal| journal.front_cache_sent(name, &delivery.epochs, &call, now))?;
            }
            Ok(DeliveryProgress::Done | DeliveryProgress::Unknown) => {
                journal_host.act(|journal| journal.front_cache_done(name, &delivery.epochs))?;
            }
            Err(DeliveryError { failure, again }) => {
                failed(journal_host, platform, name, failure, delivery.epochs.len());
                let again =
                    if needs_configuration(failure) { Some(CREDENTIAL_RETRY) } else { again };
                let reason = failure.as_str();
                journal_host.act(|journal| journal.front_cache_failed(name, reason, again, now))?;
            }
        }
    }
}

/// Whether somebody has to change a setting before it can succeed.
const fn needs_configuration(failure: DeliveryFailure) -> bool {
    match failure {
        DeliveryFailure::CredentialsMissing
        | DeliveryFailure::CredentialsMalformed
        | DeliveryFailure::CredentialsRefused
        | DeliveryFailure::Unsupported => true,
        DeliveryFailure::RateLimited
        | DeliveryFailure::Refused
        | DeliveryFailure::ServerError
        | DeliveryFailure::Unreachable => false,
    }
}

/// Asks how far a call has come.
async fn check_progress<P: Platform, S: Sql>(
    journal_host: &Rc<JournalHost<S>>,
    platform: &Rc<P>,
    at: usize,
    access: &FrontCacheAccess,
    (call, delivered): (&str, usize),
) -> Result<(), JournalError> {
    let name = &access.front_cache.name;
    let outcome = match progress_request(access, call, platform.now()) {
        Ok(Some(request)) => {
            let answer = exchange(journal_host, platform, at, request).await;
            answer.and_then(|answer| {
                call_progress(access.front_cache.provider, &answer, platform.now())
            })
        }
        // The settings give the name to another provider now.
        Ok(None) => Ok(DeliveryProgress::Unknown),
        Err(failure) => Err(failure.into()),
    };
    let now = platform.now();
    let failure = match outcome {
        Ok(DeliveryProgress::Done) => {
            return journal_host.act(|journal| journal.front_cache_call_done(name, call));
        }
        Ok(DeliveryProgress::Unknown) => {
            return journal_host.act(|journal| journal.front_cache_call_lost(name, call));
        }
        Ok(DeliveryProgress::InProgress(_)) => None,
        Err(DeliveryError { failure, .. }) => {
            failed(journal_host, platform, name, failure, delivered);
            Some(failure.as_str())
        }
    };
    journal_host.act(|journal| journal.front_cache_call_waits(name, call, failure, now))
}

fn failed<P: Platform, S: Sql>(
    journal_host: &Rc<JournalHost<S>>,
    platform: &Rc<P>,
    name: &str,
    failure: DeliveryFailure,
    waiting: usize,
) {
    let event = Event::FrontCacheFailed { name, reason: failure.as_str(), waiting };
    if let Some(line) = event.line(platform.now(), journal_host.log) {
        platform.log(&line);
    }
}

/// Sends what is pending, in as many calls as it takes. Of several the last says how far it is: a
/// provider that is asked after takes all in one.
async fn send<P: Platform, S: Sql>(
    journal_host: &Rc<JournalHost<S>>,
    platform: &Rc<P>,
    at: usize,
    access: &FrontCacheAccess,
    delivery: &Delivery,
) -> Result<DeliveryProgress, DeliveryError> {
    let mut progress = DeliveryProgress::Done;
    for request in requests(access, delivery, platform.now())? {
        let answer = exchange(journal_host, platform, at, request).await?;
        progress = delivery_progress(access.front_cache.provider, &answer, platform.now())?;
    }
    Ok(progress)
}

async fn exchange<P: Platform, S: Sql>(
    journal_host: &Rc<JournalHost<S>>,
    platform: &Rc<P>,
    at: usize,
    request: DeliveryRequest,
) -> Result<DeliveryAnswer, DeliveryError> {
    let answer = platform.call_front_cache(request, TIMEOUT).await;
    journal_host.sign_front_cache(at, Some(platform.now()));
    answer.map_err(|_| DeliveryFailure::Unreachable.into())
}
