//! Time as an argument: a point on a monotonic clock that only its own process can read.

use core::fmt;
use core::ops::Add;
use core::time::Duration;

/// A point in time on a monotonic clock, in nanoseconds since an origin that the clock chose.
///
/// Two timestamps are comparable only if they come from the same clock in the same process; they
/// are never sent to another machine. All arithmetic saturates.
///
/// ```
/// use core::time::Duration;
/// use jetcache_core::machine::time::Timestamp;
///
/// let start = Timestamp::from_nanos(5);
/// let later = start + Duration::from_nanos(10);
/// assert_eq!(later.since(start), Duration::from_nanos(10));
/// assert_eq!(start.since(later), Duration::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// How wrong a coarse clock may be: two ticks of a slow kernel.
    pub const COARSE: Duration = Duration::from_millis(20);

    /// The furthest point in time: what expires then never expires.
    pub const MAX: Self = Self(u64::MAX);

    /// The point `nanos` nanoseconds after the clock's origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was, or zero if it lies ahead.
    #[must_use]
    #[cfg_attr(target_os = "none", inline(never))]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The point so long before this one, or the origin if that is nearer.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(span)))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    #[cfg_attr(target_os = "none", inline(never))]
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Duration::from_nanos(self.0))
    }
}

/// Nanoseconds of a span, or the most that there can be. In 64 bits, as all arithmetic here: on a
/// microcontroller 128 cost a kilobyte.
pub(in crate::machine) const fn nanos(span: Duration) -> u64 {
    let whole = span.as_secs().saturating_mul(1_000_000_000);
    whole.saturating_add(span.subsec_nanos() as u64)
}

/// Whole milliseconds of a span, rounded up, so that a span above zero never becomes none.
#[must_use]
pub const fn millis(span: Duration) -> u64 {
    let whole = span.as_secs().saturating_mul(1000);
    whole.saturating_add(span.subsec_nanos().div_ceil(1_000_000) as u64)
}

/// Whole milliseconds of a span, rounded down.
pub(in crate::machine) const fn whole_millis(span: Duration) -> u64 {
    let whole = span.as_secs().saturating_mul(1000);
    whole.saturating_add(span.subsec_millis() as u64)
}

/// The part of a span that these dice decide: none of it at 0, nearly all at the most.
pub(in crate::machine) fn part(span: Duration, dice: u32) -> Duration {
    let (nanos, dice) = (nanos(span), u64::from(dice));
    let (high, low) = (nanos >> 32, nanos & u64::from(u32::MAX));
    Duration::from_nanos(high * dice + ((low * dice) >> 32))
}

/// A span in seconds, for whoever reads it.
#[cfg(feature = "serde")]
pub(crate) fn seconds<S: serde::Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(span.as_secs_f64())
}

/// The same of a span that there may not be.
#[cfg(feature = "serde")]
pub(crate) fn maybe_seconds<S: serde::Serializer>(
    span: &Option<Duration>,
    to: S,
) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&span.map(|span| span.as_secs_f64()), to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX + Duration::MAX, Timestamp::MAX);
        assert_eq!(Timestamp::default().since(Timestamp::MAX), Duration::ZERO);
    }

    #[test]
    fn a_span_above_zero_is_at_least_a_millisecond() {
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(millis(Duration::from_nanos(1)), 1);
        assert_eq!(millis(Duration::from_micros(1500)), 2);
        assert_eq!(whole_millis(Duration::from_micros(1500)), 1);
    }

    #[test]
    fn the_longest_span_is_the_most_of_each_unit() {
        let whole = [nanos, millis, whole_millis].map(|of| of(Duration::MAX));
        assert_eq!(whole, [u64::MAX; 3]);
    }

    #[test]
    fn a_part_is_what_128_bits_say() {
        let spans = [0, 1, 1 << 32, (1 << 40) + 12_345, u64::MAX];
        for (nanos, dice) in spans
            .map(|nanos| [0, 1, 1 << 31, u32::MAX].map(|dice| (nanos, dice)))
            .as_flattened()
        {
            let exact = (u128::from(*nanos) * u128::from(*dice)) >> 32;
            let part = part(Duration::from_nanos(*nanos), *dice);
            assert_eq!(part.as_nanos(), exact, "{nanos} {dice}");
        }
    }
}
