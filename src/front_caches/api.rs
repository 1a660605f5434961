//! What the API of a front cache is to the rest of the edge: what has to be known of it, the
//! requests that make a delivery, and what their answers mean.

use crate::base::time::Timestamp;
use crate::config::front_cache::{FrontCache, Provider};
use crate::journal::Delivery;

use super::delivery::{DeliveryAnswer, DeliveryFailure, DeliveryProgress, DeliveryRequest};

/// The API of a front cache.
pub trait FrontCacheApi: Sync {
    /// What the settings, and pages on their way to it, have to know.
    fn provider(&self) -> &'static Provider;

    /// Whether a secret is of the form that it needs.
    fn takes_secret(&self, secret: &str) -> bool {
        let _ = secret;
        true
    }

    /// The requests that make a delivery. Each can be repeated without harm.
    ///
    /// # Errors
    /// With a secret that can't be used.
    fn requests(
        &self,
        front_cache: &FrontCache,
        secret: &str,
        delivery: &Delivery,
        now: Timestamp,
    ) -> Result<Vec<DeliveryRequest>, DeliveryFailure>;

    /// The request that asks how far a call is; none if there is no such call.
    ///
    /// # Errors
    /// With a secret that can't be used.
    fn progress_request(
        &self,
        front_cache: &FrontCache,
        secret: &str,
        call: &str,
        now: Timestamp,
    ) -> Result<Option<DeliveryRequest>, DeliveryFailure> {
        let _ = (front_cache, secret, call, now);
        Ok(None)
    }

    /// What an answer means; none where it means what its status says.
    fn progress(
        &self,
        answer: &DeliveryAnswer,
    ) -> Option<Result<DeliveryProgress, DeliveryFailure>> {
        let _ = answer;
        None
    }
}
