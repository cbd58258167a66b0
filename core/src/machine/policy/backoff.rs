//! Pauses that grow while something goes on failing.

use core::time::Duration;

/// Exponential back-off: each pause is twice the one before it, up to the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The pause after the first failure.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Backoff {
    /// Between two asks for a lease that another node holds. Most loads take some milliseconds.
    pub const LEASE: Self = Self {
        first: Duration::from_millis(2),
        longest: Duration::from_millis(100),
    };
    /// Between two removals of a key that L2 does not confirm: the repeats of many keys share a
    /// round trip.
    pub const REMOVAL: Self = Self {
        first: Duration::from_millis(50),
        longest: Duration::from_secs(1),
    };
    /// Between two looks whether L2 has confirmed a key.
    pub const CONFIRMATION: Self = Self {
        first: Duration::from_millis(5),
        longest: Duration::from_millis(100),
    };
    /// Between two attempts to subscribe to a bus, or to publish on it.
    pub const BUS: Self = Self {
        first: Duration::from_millis(50),
        longest: Duration::from_secs(5),
    };

    /// Between two refreshes whose loader fails: twice the period at first, eight times at most.
    #[must_use]
    pub const fn of_refreshes(every: Duration) -> Self {
        Self {
            first: every.saturating_mul(2),
            longest: every.saturating_mul(8),
        }
    }

    /// The pause after a failure that `failures` others came before.
    #[must_use]
    pub fn pause(self, failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses = (0..7).map(|failures| Backoff::LEASE.pause(failures).as_millis());
        assert!(pauses.eq([2, 4, 8, 16, 32, 64, 100]));
        let longest = Backoff::BUS.longest;
        for failures in [7, 31, 32, u32::MAX] {
            assert_eq!(Backoff::BUS.pause(failures), longest);
        }
        let long = Backoff::of_refreshes(Duration::MAX);
        assert_eq!(long.pause(3), Duration::MAX);
    }
}
