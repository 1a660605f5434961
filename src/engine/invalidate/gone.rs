//! What the origin says now decides: a page that may not be stored any more, or is gone, is gone
//! everywhere.
//!
//! Whoever learns it, a refresh or a warm, invalidates the page's URL hard: every variant in every
//! isolate, within `max_lag`, under an epoch of its own. Nothing of it is served after that, not
//! even while the origin fails. Only what the origin answers to a request without anything personal
//! counts: what one visitor says beyond the key may be the reason of the answer.

use crate::base::time::Epoch;
use crate::cache::admission::Admitted;
use crate::cache::tag::Target;
use crate::control::log::Event;
use crate::engine::parts::Invalidator;
use crate::engine::port::{CallError, Platform};
use crate::journal::{Append, Appended, CalledBy, Mode};

/// The reason where what the origin says of a page that has moved or is gone may be stored.
pub(crate) const ENDED: &str = "in the place of a page";

/// How a stored page came to be no answer any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gone<'a> {
    /// The status that the origin answers with now.
    pub(crate) status: u16,
    /// Why that is not stored.
    pub(crate) reason: &'a str,
    /// The stamp of what was stored: the same copy is invalidated once, whoever learns it.
    pub(crate) stamp: Epoch,
    /// Who learnt it: `refresh` or `warm`.
    pub(crate) via: &'static str,
}

impl<P: Platform> Invalidator<P> {
    /// Invalidates a page that is no answer any more, in this isolate at once, everywhere through
    /// the journal.
    ///
    /// # Errors
    /// When the journal has not recorded it.
    pub(crate) async fn invalidate_gone(
        &self,
        admitted: &Admitted<'_>,
        gone: Gone<'_>,
    ) -> Result<(), CallError> {
        let reason = format!("{}: {} {}", gone.via, gone.status, gone.reason);
        let append = Append {
            id: format!("gone-{}-{}", admitted.key.digest().as_str(), gone.stamp.0),
            body_digest: String::new(),
            targets: vec![Target::Url(admitted.page.purge_name())],
            mode: Mode::Hard,
            warm: false,
            reinvalidate_after: crate::base::time::Millis::ZERO,
            reason: reason.clone(),
            uncounted: true,
            unsafe_method: false,
            by: CalledBy { caller: "origin".to_owned(), via: gone.via.to_owned() },
        };
        let id = append.id.clone();
        let appended = self.append(append).await;
        match appended {
            Ok(Appended::New { epoch, .. }) => {
                let (caller, via, targets, mode) = ("origin", gone.via, 1, "hard");
                let event = Event::Revalidated {
                    id: &id,
                    epoch,
                    targets,
                    mode,
                    caller,
                    via,
                    reason: &reason,
                };
                self.context.log(&event);
                Ok(())
            }
            Ok(Appended::Repeated { .. } | Appended::Conflict) => Ok(()),
            Err(error) => {
                self.context.journal_failed("append", &error);
                Err(error)
            }
        }
    }
}
