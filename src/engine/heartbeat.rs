//! Work that shows while it goes on that it runs: the runtime ends the request of a visitor who
//! leaves without a word, and what it held is then another's.

use std::future::Future;
use std::pin::pin;

use futures_util::future::{Either, select};

use crate::base::time::{Millis, Timestamp};
use crate::engine::port::Platform;

/// How often it shows it.
const INTERVAL: Millis = Millis(1_000);

/// Does work, and calls `beat` at its beginning and every second.
pub(crate) async fn while_beating<P: Platform, T>(
    platform: &P,
    beat: impl Fn(Timestamp),
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    loop {
        beat(platform.now());
        let pause = pin!(platform.sleep(INTERVAL));
        match select(work, pause).await {
            Either::Left((done, _)) => return done,
            Either::Right(((), rest)) => work = rest,
        }
    }
}
