//! The rows and buckets of a delta, and how they are written as bytes.
//!
//! ```text
//! version:u8 = 1   count  row*   count  bucket*      integers are LEB128 varints
//! row    = hash:8 bytes (big-endian)  soft  hard  [soft_at, zigzag, after the row before]
//! bucket = number, after the bucket before  epoch
//! ```
//!
//! `soft_at` is there only if `soft` is not 0. Bytes after the last bucket belong to a later
//! version and are ignored. What is cut short, overlong or of an unknown version is refused whole:
//! half of a delta proves nothing.

use crate::base::time::{Epoch, Timestamp};
use crate::cache::tag::TargetHash;

const VERSION: u8 = 1;
const SMALLEST_ROW_BYTES: usize = 10;
const SMALLEST_BUCKET_BYTES: usize = 2;

/// One target's latest invalidations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetRow {
    /// The target.
    pub hash: TargetHash,
    /// Its latest soft invalidation; [`Epoch::ZERO`] if there is none.
    pub soft: Epoch,
    /// Its latest hard invalidation; [`Epoch::ZERO`] if there is none.
    pub hard: Epoch,
    /// When the journal accepted the soft one.
    pub soft_at: Timestamp,
}

impl TargetRow {
    /// The later of both.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.soft.max(self.hard)
    }
}

/// A bucket of dropped targets: the highest epochs that any of them had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its number: [`TargetHash::bucket`].
    pub bucket: u16,
    /// The highest epoch.
    pub epoch: Epoch,
    /// The highest of a hard invalidation; what is past it fell in softly.
    pub hard: Epoch,
}

/// Why bytes are not the rows of a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeltaError {
    /// Not base64.
    Base64,
    /// Written by a version that this one does not know.
    Version(u8),
    /// They end too early.
    Truncated,
    /// A number is larger than its field.
    Overflow,
}

impl std::fmt::Display for DeltaError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Base64 => f.write_str("a delta that is not base64"),
            Self::Version(version) => write!(f, "a delta of unknown version {version}"),
            Self::Truncated => f.write_str("a truncated delta"),
            Self::Overflow => f.write_str("a number in a delta is too large"),
        }
    }
}

impl std::error::Error for DeltaError {}

/// Writes rows and buckets.
pub(super) fn encode(rows: &[TargetRow], buckets: &[Bucket]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + rows.len() * 17 + buckets.len() * 6);
    bytes.push(VERSION);
    put(&mut bytes, rows.len() as u64);
    let mut at_before = 0i64;
    for row in rows {
        bytes.extend_from_slice(&row.hash.0.to_be_bytes());
        put(&mut bytes, row.soft.0);
        put(&mut bytes, row.hard.0);
        if row.soft > Epoch::ZERO {
            let at = row.soft_at.as_millis();
            put(&mut bytes, zigzag(at.wrapping_sub(at_before)));
            at_before = at;
        }
    }
    put(&mut bytes, buckets.len() as u64);
    let mut bucket_before = 0u16;
    for bucket in buckets {
        put(&mut bytes, u64::from(bucket.bucket.wrapping_sub(bucket_before)));
        put(&mut bytes, bucket.epoch.0);
        bucket_before = bucket.bucket;
    }
    bytes
}

/// Reads rows and buckets.
pub(super) fn decode(bytes: &[u8]) -> Result<(Vec<TargetRow>, Vec<Bucket>), DeltaError> {
    let mut input = Input(bytes);
    let version = input.byte()?;
    if version != VERSION {
        return Err(DeltaError::Version(version));
    }
    let count = input.count(SMALLEST_ROW_BYTES)?;
    let mut rows = Vec::with_capacity(count);
    let mut at = 0i64;
    for _ in 0..count {
        let hash = TargetHash(u64::from_be_bytes(input.take::<8>()?));
        let soft = Epoch(input.number()?);
        let hard = Epoch(input.number()?);
        let mut soft_at = Timestamp::ZERO;
        if soft > Epoch::ZERO {
            at = at.wrapping_add(unzigzag(input.number()?));
            soft_at = Timestamp::from_millis(at);
        }
        rows.push(TargetRow { hash, soft, hard, soft_at });
    }
    let count = input.count(SMALLEST_BUCKET_BYTES)?;
    let mut buckets = Vec::with_capacity(count);
    let mut bucket = 0u16;
    for _ in 0..count {
        let step = u16::try_from(input.number()?).map_err(|_| DeltaError::Overflow)?;
        bucket = bucket.wrapping_add(step);
        let epoch = Epoch(input.number()?);
        buckets.push(Bucket { bucket, epoch, hard: epoch });
    }
    Ok((rows, buckets))
}

/// Writes the hard epochs of buckets, one varint each.
pub(super) fn encode_hard(buckets: &[Bucket]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(buckets.len());
    buckets.iter().for_each(|bucket| put(&mut bytes, bucket.hard.0));
    bytes
}

/// Reads the hard epochs of buckets, as many as there are.
pub(super) fn decode_hard(bytes: &[u8], buckets: &mut [Bucket]) -> Result<(), DeltaError> {
    let mut input = Input(bytes);
    for bucket in buckets {
        bucket.hard = Epoch(input.number()?).min(bucket.epoch);
    }
    Ok(())
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DeltaError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(DeltaError::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    fn byte(&mut self) -> Result<u8, DeltaError> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn number(&mut self) -> Result<u64, DeltaError> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(DeltaError::Overflow);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(DeltaError::Overflow)
    }

    /// A count that the bytes left can hold: nothing is allocated on a stranger's word.
    fn count(&mut self, smallest: usize) -> Result<usize, DeltaError> {
        let count = usize::try_from(self.number()?).map_err(|_| DeltaError::Overflow)?;
        if count > self.0.len() / smallest { Err(DeltaError::Truncated) } else { Ok(count) }
    }
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

const fn unzigzag(number: u64) -> i64 {
    ((number >> 1) as i64) ^ -((number & 1) as i64)
}
