//! News of the journal: what was invalidated between two epochs, or of some targets.
//!
//! A [`Delta`] covers the epochs after its base up to `to`, whole: a page of it is never cut inside
//! one epoch, so an invalidation is never seen in part. Buckets travel as rows do, by the epoch
//! they hold: a target whose epoch lies at or before the base is known to whoever has the base,
//! merged into a bucket or not. A [`Found`] answers a targeted look-up; it says nothing about other
//! targets, so it is a type of its own that can't be mistaken for a delta.
//!
//! In JSON the rows travel in a compact binary form (`codec`), as base64: about 16 bytes a row.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::base::time::{Epoch, Timestamp};

mod codec;

pub use codec::{Bucket, DeltaError, TargetRow};

/// What was invalidated after a base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "DeltaJson", into = "DeltaJson")]
pub struct Delta {
    /// The base: everything after it, up to `to`, is here. None: from the beginning (a snapshot).
    pub since: Option<Epoch>,
    /// The last epoch covered.
    pub to: Epoch,
    /// Whether the journal has more after `to`: ask again with `to` as the cursor.
    pub more: bool,
    /// The journal's head when it answered: `to`, if it has no more. Whoever gets it asks for
    /// the rest with it, so that a journal which was restored from a backup in between notices
    /// (`incarnation`): what has changed since a page was read is past that page only in the
    /// journal that it was read from.
    pub head: Epoch,
    /// The targets, in no particular order.
    pub rows: Vec<TargetRow>,
    /// The buckets.
    pub buckets: Vec<Bucket>,
    /// The number of the requester's report that was taken with the call: for the requester alone.
    pub reported: Option<u64>,
}

/// The journal's answer about some targets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "FoundJson", into = "FoundJson")]
pub struct Found {
    /// The journal's head when it answered.
    pub head: Epoch,
    /// Those of the targets that were ever invalidated and are not dropped.
    pub rows: Vec<TargetRow>,
    /// The targets' buckets, where a dropped target fell into one.
    pub buckets: Vec<Bucket>,
}

/// A delta as isolates of one colo share it through L1.
///
/// It carries the clock of the isolate that asked, at the moment it asked: a view's age counts from
/// then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedDelta {
    /// When the requester sent its request, by the requester's clock.
    pub request_time: Timestamp,
    /// What it got.
    pub delta: Delta,
}

#[derive(Serialize, Deserialize)]
struct DeltaJson {
    #[serde(default)]
    since: Option<Epoch>,
    to: Epoch,
    #[serde(default)]
    more: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    head: Option<Epoch>,
    #[serde(default)]
    rows: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    hard: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reported: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct FoundJson {
    head: Epoch,
    #[serde(default)]
    rows: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    hard: String,
}

impl From<Delta> for DeltaJson {
    fn from(delta: Delta) -> Self {
        let rows = STANDARD_NO_PAD.encode(codec::encode(&delta.rows, &delta.buckets));
        Self {
            since: delta.since,
            to: delta.to,
            more: delta.more,
            head: delta.more.then_some(delta.head),
            rows,
            hard: pack_hard(&delta.buckets),
            reported: delta.reported,
        }
    }
}

impl TryFrom<DeltaJson> for Delta {
    type Error = DeltaError;
    fn try_from(json: DeltaJson) -> Result<Self, DeltaError> {
        let (rows, buckets) = unpack(&json.rows, &json.hard)?;
        Ok(Self {
            since: json.since,
            to: json.to,
            more: json.more,
            head: json.head.unwrap_or(json.to),
            rows,
            buckets,
            reported: json.reported,
        })
    }
}

impl From<Found> for FoundJson {
    fn from(found: Found) -> Self {
        let rows = STANDARD_NO_PAD.encode(codec::encode(&found.rows, &found.buckets));
        Self { head: found.head, rows, hard: pack_hard(&found.buckets) }
    }
}

impl TryFrom<FoundJson> for Found {
    type Error = DeltaError;
    fn try_from(json: FoundJson) -> Result<Self, DeltaError> {
        let (rows, buckets) = unpack(&json.rows, &json.hard)?;
        Ok(Self { head: json.head, rows, buckets })
    }
}

/// The hard epochs of buckets, unless all of them are as high as any.
fn pack_hard(buckets: &[Bucket]) -> String {
    if buckets.iter().all(|bucket| bucket.hard == bucket.epoch) {
        return String::new();
    }
    STANDARD_NO_PAD.encode(codec::encode_hard(buckets))
}

fn unpack(rows: &str, hard: &str) -> Result<(Vec<TargetRow>, Vec<Bucket>), DeltaError> {
    if rows.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let bytes = |text: &str| STANDARD_NO_PAD.decode(text).map_err(|_| DeltaError::Base64);
    let (rows, mut buckets) = codec::decode(&bytes(rows)?)?;
    if !hard.is_empty() {
        codec::decode_hard(&bytes(hard)?, &mut buckets)?;
    }
    Ok((rows, buckets))
}

/// Targets in JSON: base64 of eight bytes each. For `#[serde(with)]`.
pub mod hashes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::cache::tag::TargetHash;

    /// Writes them.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(
        targets: &[TargetHash],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = targets.iter().flat_map(|target| target.0.to_be_bytes()).collect();
        serializer.serialize_str(&STANDARD_NO_PAD.encode(bytes))
    }

    /// Reads them.
    ///
    /// # Errors
    /// When it is not base64 of whole targets.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<TargetHash>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD_NO_PAD.decode(text).map_err(D::Error::custom)?;
        let (targets, rest) = bytes.as_chunks::<8>();
        if rest.is_empty() {
            Ok(targets.iter().map(|bytes| TargetHash(u64::from_be_bytes(*bytes))).collect())
        } else {
            Err(D::Error::custom("a target's hash has eight bytes"))
        }
    }
}
