//! What the journal says of a stored response, as far as an isolate's view knows it.

use crate::base::time::{Epoch, Timestamp};

/// A stored response's validity by what the journal says. Computed by the view, judged by
/// [`super::reuse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// No target of it was invalidated after its stamp, and the view is recent enough to say so.
    Current,
    /// As far as is known it is current, but the journal has been out of reach for longer than
    /// `max_lag` (and less than `journal_lost_limit`): never fresh, servable as stale within its
    /// windows.
    JournalLost,
    /// The journal has been out of reach for longer than `journal_lost_limit`: nothing can be said,
    /// validate.
    JournalLostTooLong,
    /// A target was invalidated softly after its stamp.
    Soft {
        /// The newest such invalidation.
        epoch: Epoch,
        /// When the journal accepted it.
        at: Timestamp,
    },
    /// A target was invalidated hard after its stamp: never serve it again.
    Hard {
        /// The newest invalidation of its targets, soft or hard.
        epoch: Epoch,
    },
    /// A bucket of dropped targets is newer than its stamp, and all that fell in since did so
    /// softly: it can't be proved current, and counts as invalidated softly, by anything since it
    /// was fetched.
    SoftUnprovable {
        /// The newest invalidation of its targets, and of its buckets.
        epoch: Epoch,
    },
    /// A bucket is newer than its stamp that something hard fell into since: refetch.
    Unprovable {
        /// The bucket's epoch.
        epoch: Epoch,
    },
}

impl Validity {
    /// The lowest stamp that a replacement must have; [`Epoch::ZERO`] if any will do.
    #[must_use]
    pub const fn need(self) -> Epoch {
        match self {
            Self::Current | Self::JournalLost | Self::JournalLostTooLong => Epoch::ZERO,
            Self::Soft { epoch, .. }
            | Self::Hard { epoch }
            | Self::SoftUnprovable { epoch }
            | Self::Unprovable { epoch } => epoch,
        }
    }
}
