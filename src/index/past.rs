//! What was stored of a variant before what is: when, by which stamp, and whether a warm brought
//! it.
//!
//! The row of a variant that is stored anew is written in any case, and holds what it takes the
//! place of: [`KEPT`] of them, newest first, at a fixed width each. No row is written for it. A
//! page that moves to another shard begins anew.

use crate::base::time::{Epoch, Timestamp};

use super::answer::StoredOnce;

/// How many are kept: 135 characters.
const KEPT: usize = 5;
/// Characters of one: milliseconds in 12, the stamp in 14 (both hexadecimal), how it came in one.
const WIDTH: usize = 27;

/// What stands in the column; nothing from where it can't be read.
pub(super) fn read(text: &str) -> Vec<StoredOnce> {
    let parts = text.as_bytes().chunks(WIDTH).map_while(|part| {
        let text = std::str::from_utf8(part).ok()?;
        let at = i64::from_str_radix(text.get(..12)?, 16).ok()?;
        let stamp = u64::from_str_radix(text.get(12..26)?, 16).ok()?;
        let warmed = text.get(26..27)? == "1";
        Some(StoredOnce { at: Timestamp::from_millis(at), stamp: Epoch(stamp), warmed })
    });
    parts.take(KEPT).collect()
}
