//! Dice that fall in the same way for the same seed: SplitMix64 (Steele, Lea and Flood, 2014).

use core::ops::RangeInclusive;
use core::time::Duration;

/// Dice with a seed.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 up to, but without, 1.
    fn unit(&mut self) -> f64 {
        // 53 bits are what an `f64` holds exactly.
        let bits = (self.next() >> 11) as f64;
        bits / 9_007_199_254_740_992.0
    }

    /// Whether it happens this time: never at 0 (or NaN), always at 1.
    pub(super) fn happens(&mut self, rate: f64) -> bool {
        self.unit() < rate
    }

    /// A span of this range, each as likely as the other.
    pub(super) fn within(&mut self, range: &RangeInclusive<Duration>) -> Duration {
        let width = range.end().saturating_sub(*range.start());
        // The product is no longer than the width but for a rounding.
        let part = Duration::try_from_secs_f64(width.as_secs_f64() * self.unit());
        range
            .start()
            .saturating_add(part.unwrap_or(width).min(width))
    }

    /// A number below this one; 0 below 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX);
        let number = self.next().checked_rem(end).unwrap_or(0);
        usize::try_from(number).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_from_never_to_always() {
        let mut dice = Dice::seeded(7);
        let mut count = |rate| (0..10_000).filter(|_| dice.happens(rate)).count();
        assert_eq!(count(0.0), 0);
        assert_eq!(count(f64::NAN), 0);
        assert_eq!(count(1.0), 10_000);
        assert!((2_300..2_700).contains(&count(0.25)));
    }

    #[test]
    fn spans_and_numbers_stay_within_their_bounds() {
        let mut dice = Dice::seeded(7);
        let (short, long) = (Duration::from_millis(3), Duration::from_millis(5));
        for _ in 0..1_000 {
            assert!((short..=long).contains(&dice.within(&(short..=long))));
            assert!(dice.below(3) < 3);
        }
        assert_eq!(dice.within(&(short..=short)), short);
        assert_eq!(dice.within(&(Duration::MAX..=Duration::MAX)), Duration::MAX);
        assert!(dice.within(&(Duration::ZERO..=Duration::MAX)) <= Duration::MAX);
        assert_eq!(dice.below(0), 0);
    }
}
