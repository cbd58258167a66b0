//! How long L1 may keep a loaded value that L2 refused (PROTOCOL.md, R3).

use core::time::Duration;

use crate::machine::policy::Policy;
use crate::machine::tier::verb::Filled;

/// How often L2 refused a shard's fills lately. One refusal means that somebody has changed the
/// key; many, and hardly a fill that is stored, mean that L2 evicts the leases.
#[derive(Debug, Default)]
pub(in crate::machine) struct Refusals(u8);

impl Refusals {
    pub(in crate::machine) fn note(&mut self, filled: Filled) {
        match filled {
            Filled::Stored => self.0 /= 2,
            Filled::Refused => self.0 = (self.0 + 1).min(MOST),
        }
    }

    /// With a bus that is up, for as long as any other value: what has changed is heard of. Without
    /// one not at all, or, if the leases are evicted, for about as long as an insert takes that has
    /// taken a load's lease away.
    pub(in crate::machine) fn kept_for(&self, policy: &Policy) -> Duration {
        if policy.hears {
            Duration::MAX
        } else if self.0 >= MANY {
            policy.claim_life()
        } else {
            Duration::ZERO
        }
    }
}

/// So many refusals are no coincidence.
const MANY: u8 = 16;
/// More are not counted, so that a few stored fills end it.
const MOST: u8 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::policy::Kind;

    #[test]
    fn without_a_bus_only_many_refusals_let_l1_keep_a_value() {
        let (mut policy, mut refusals) = (Policy::new(Kind::Both), Refusals::default());
        for _ in 1..MANY {
            refusals.note(Filled::Refused);
            assert_eq!(refusals.kept_for(&policy), Duration::ZERO);
        }
        refusals.note(Filled::Refused);
        assert_eq!(refusals.kept_for(&policy), Duration::from_secs(1));
        policy.hears = true;
        assert_eq!(refusals.kept_for(&policy), Duration::MAX);
        policy.hears = false;
        for _ in 0..1000 {
            refusals.note(Filled::Refused);
        }
        for _ in 0..3 {
            refusals.note(Filled::Stored);
        }
        assert_eq!(refusals.kept_for(&policy), Duration::ZERO);
    }
}
