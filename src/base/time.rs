//! Points in time and lengths of time, as plain values. Nothing here reads a clock: `now` is always
//! an argument.

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, as the clock of one isolate or object showed them.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The Unix epoch itself: older than anything a cache can hold.
    pub const ZERO: Self = Self(0);

    /// A point given in milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// A point given in whole seconds since the Unix epoch.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The length of time from `earlier` to `self`; zero if `earlier` is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Millis {
        let span = self.0.saturating_sub(earlier.0);
        Millis(if span < 0 { 0 } else { span as u64 })
    }

    /// The point `span` after `self`.
    #[must_use]
    pub const fn plus(self, span: Millis) -> Self {
        Self(self.0.saturating_add_unsigned(span.0))
    }

    /// The point `span` before `self`.
    #[must_use]
    pub const fn minus(self, span: Millis) -> Self {
        Self(self.0.saturating_sub_unsigned(span.0))
    }
}

/// A length of time in milliseconds.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// Whole seconds, rounded down.
    #[must_use]
    pub const fn as_seconds(self) -> Seconds {
        Seconds(self.0 / 1000)
    }

    /// The number of seconds in decimal digits: `2`, `0.25`. Without floating point, whose
    /// formatting would weigh 20 KiB in the worker.
    #[must_use]
    pub fn decimal_seconds(self) -> String {
        let (whole, rest) = (self.0 / 1000, self.0 % 1000);
        if rest == 0 {
            return whole.to_string();
        }
        format!("{whole}.{rest:03}").trim_end_matches('0').to_owned()
    }
}

impl From<Seconds> for Millis {
    fn from(seconds: Seconds) -> Self {
        Self(seconds.0.saturating_mul(1000))
    }
}

/// `delta-seconds` (RFC 9111 §1.2.2): a non-negative length of time in seconds.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seconds(pub u64);

impl Seconds {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// The value that every larger `delta-seconds` is taken as (RFC 9111 §1.2.2).
    pub const MAX: Self = Self(1 << 31);

    /// The sum, capped at [`Seconds::MAX`].
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        let sum = self.0.saturating_add(other.0);
        if sum > Self::MAX.0 { Self::MAX } else { Self(sum) }
    }

    /// The difference; zero if `other` is longer.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// A position in the journal (design: *epoch*): 0 before the first invalidation, then 1, 2, 3 …
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Before the first invalidation.
    pub const ZERO: Self = Self(0);

    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::Millis;

    #[test]
    fn seconds_in_digits() {
        let rows = [
            (0, "0"),
            (1, "0.001"),
            (50, "0.05"),
            (250, "0.25"),
            (1_000, "1"),
            (1_500, "1.5"),
            (10_000, "10"),
            (60_010, "60.01"),
        ];
        for (millis, want) in rows {
            assert_eq!(Millis(millis).decimal_seconds(), want, "{millis}");
        }
    }
}
