//! When to stop asking an L2 that does not answer.

use crate::machine::error::Fault;

/// Whether L2 is away, as one call has learnt. A batch is sent in parts, one after the other: once
/// L2 has answered about no key of a part, the rest of the call does without it. So a dead L2 costs
/// a batch one timeout, as it costs a single key.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outage {
    away: bool,
}

impl Outage {
    /// Notes that L2 was asked about `asked` keys at once, of a part of `part` keys, and answered
    /// about `answered`.
    ///
    /// A few keys that fail by themselves say nothing about the rest: keys that another caller
    /// handed over, for instance, are asked about alone.
    pub fn note(&mut self, part: usize, asked: usize, answered: usize) {
        self.away |= part > 0 && asked >= part && answered == 0;
    }

    /// Whether this fault means that L2 is silent. An L2 that refuses a lease or a fill, because it
    /// is full or read-only, may still have what others ask for.
    #[must_use]
    pub fn is_silence(fault: &Fault) -> bool {
        matches!(
            fault,
            Fault::Timeout | Fault::Unreachable(_) | Fault::NotAsked(_)
        )
    }

    /// Whether L2 is not asked any more.
    #[must_use]
    pub fn is_away(self) -> bool {
        self.away
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_l2_that_answered_nothing_of_a_part_is_away() {
        let mut outage = Outage::default();
        for (part, asked, answered) in [(4, 0, 0), (4, 4, 1), (4, 3, 0), (0, 1, 0), (0, 0, 0)] {
            outage.note(part, asked, answered);
            assert!(!outage.is_away(), "{part} {asked} {answered}");
        }
        outage.note(4, 4, 0);
        outage.note(4, 4, 4);
        assert!(outage.is_away(), "for the rest of the call");
    }
}
