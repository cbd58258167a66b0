//! The online check: whether what L1 answers is what L2 has.
//!
//! After Meta's Polaris, which watches TAO from outside ("Cache made consistent", Engineering at
//! Meta, 2022): a sampled hit is compared with the store behind it later, when the news of a change
//! has had its time, and only a difference that lasts counts.

use core::time::Duration;

use crate::machine::tier::inspection::UnderWay;
use crate::machine::time::Timestamp;

/// A sampled L1 hit that is being checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// When it is to be looked at next.
    due: Timestamp,
    /// When the entry that was hit ends. It tells it from any that takes its place.
    end: Timestamp,
    /// The epoch of L1 then.
    epoch: u64,
    /// What L2 had at the first look, if it differed.
    differed: Option<u64>,
}

/// What one look found.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// When the entry of L1 ends that is fresh and not served stale.
    pub end: Option<Timestamp>,
    /// What is under way about the key.
    pub under_way: UnderWay,
    /// Whether the subscription to the bus stands.
    pub hears: bool,
    /// The epoch of L1.
    pub epoch: u64,
    /// What L2 had, in comparison.
    pub l2: Compared,
}

/// What L2 has, in comparison with L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// Nobody knows: L2 has nothing fresh that can be read, or did not answer, or L1's value cannot
    /// be encoded.
    Unknown,
    /// The same.
    Alike,
    /// Something else. The number tells what stands there from anything that takes its place.
    Unlike(u64),
}

/// What comes of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing can be said.
    Void,
    /// The levels have the same.
    Alike,
    /// They differ. It is to be looked again when the check is due.
    Again,
    /// They have differed for so long that no news of a change can be on its way.
    Differs,
}

impl Check {
    /// Of the entry that was hit at `now` and ends at `end`, in this epoch of L1.
    #[must_use]
    pub fn new(now: Timestamp, end: Timestamp, epoch: u64) -> Self {
        Self {
            due: now + SETTLES,
            end,
            epoch,
            differed: None,
        }
    }

    /// When it is to be looked at.
    #[must_use]
    pub const fn due(&self) -> Timestamp {
        self.due
    }

    /// What comes of a look at `now`.
    ///
    /// L1 must have held one and the same entry all the time, and L2 another one at both looks, the
    /// same at both: then L2 has had it since the first look at the latest. Meanwhile the subscription
    /// must have stood: who is deaf knows that changes are missed.
    pub fn look(&mut self, now: Timestamp, look: &Look) -> Verdict {
        let quiet = look.under_way.flight.is_none() && !look.under_way.unconfirmed;
        let same = look.end == Some(self.end) && look.epoch == self.epoch;
        if !quiet || !same || !look.hears {
            return Verdict::Void;
        }
        match (look.l2, self.differed) {
            (Compared::Unknown, _) => Verdict::Void,
            (Compared::Alike, _) => Verdict::Alike,
            (Compared::Unlike(has), None) => {
                self.differed = Some(has);
                self.due = now + LASTS;
                Verdict::Again
            }
            (Compared::Unlike(has), Some(had)) if has == had => Verdict::Differs,
            // L2 has changed since: the news of that may be on its way.
            (Compared::Unlike(_), Some(_)) => Verdict::Void,
        }
    }
}

/// How long after the hit the levels are compared.
pub const SETTLES: Duration = Duration::from_secs(1);
/// How long a difference must last: longer than a bus that broke in silence takes to notice, which is
/// two heartbeats of 5 s.
pub const LASTS: Duration = Duration::from_secs(12);

#[cfg(test)]
mod tests {
    use super::*;

    const END: Timestamp = Timestamp::from_nanos(60_000_000_000);

    fn look(l2: Compared) -> Look {
        Look {
            end: Some(END),
            under_way: UnderWay::default(),
            hears: true,
            epoch: 1,
            l2,
        }
    }

    fn looks(first: &Look, second: &Look) -> (Verdict, Verdict) {
        let mut check = Check::new(Timestamp::default(), END, 1);
        assert_eq!(check.due(), Timestamp::default() + SETTLES);
        let first = check.look(check.due(), first);
        (first, check.look(check.due(), second))
    }

    #[test]
    fn a_difference_that_lasts_counts() {
        let unlike = look(Compared::Unlike(7));
        let (first, second) = looks(&unlike, &unlike);
        assert_eq!((first, second), (Verdict::Again, Verdict::Differs));
    }

    #[test]
    fn one_that_is_gone_or_another_by_then_does_not() {
        let unlike = look(Compared::Unlike(7));
        for (second, verdict) in [
            (Compared::Alike, Verdict::Alike),
            (Compared::Unlike(8), Verdict::Void),
            (Compared::Unknown, Verdict::Void),
        ] {
            assert_eq!(looks(&unlike, &look(second)), (Verdict::Again, verdict));
        }
    }

    #[test]
    fn nothing_is_said_of_an_entry_that_is_another_or_in_doubt() {
        let unlike = look(Compared::Unlike(7));
        let replaced = Look {
            end: Some(END + Duration::from_nanos(1)),
            ..unlike
        };
        let gone = Look {
            end: None,
            ..unlike
        };
        let deaf = Look {
            hears: false,
            ..unlike
        };
        let later = Look { epoch: 2, ..unlike };
        let mut flying = unlike;
        flying.under_way.flight = Some(0);
        let mut doubted = unlike;
        doubted.under_way.unconfirmed = true;
        for odd in [replaced, gone, deaf, later, flying, doubted] {
            assert_eq!(looks(&odd, &unlike).0, Verdict::Void, "{odd:?}");
            assert_eq!(looks(&unlike, &odd).1, Verdict::Void, "{odd:?}");
        }
    }
}
