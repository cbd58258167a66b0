//! Whether L2 has had what the loads of a shard asked for (PROTOCOL.md, R7).

use core::time::Duration;

use crate::machine::policy::Policy;
use crate::machine::time::Timestamp;

/// What the first looks at L2 of a shard's loads have shown, the last 64 of them. Where it is hardly ever
/// anything, a load asks for the lease at once: that looks, too, and saves a round trip.
#[derive(Debug, Default)]
pub(in crate::machine) struct Luck {
    /// A bit a look, the last one lowest: whether it answered.
    answered: u64,
    /// How many bits count.
    looks: u8,
    /// When L2 was read last.
    read: Timestamp,
}

impl Luck {
    /// What a load's first look has shown.
    pub(in crate::machine) fn note(&mut self, answered: bool) {
        self.answered = self.answered << 1 | u64::from(answered);
        self.looks = (self.looks + 1).min(MOST_LOOKS);
    }

    /// L2 is read.
    pub(in crate::machine) fn note_read(&mut self, now: Timestamp) {
        self.read = now;
    }

    /// A lease that was asked for at once failed: L2 may still have what a read would find. So many loads
    /// read first now.
    pub(in crate::machine) fn forget(&mut self) {
        (self.answered, self.looks) = (0, 0);
    }

    /// Whether a load had better ask for the lease at once.
    pub(in crate::machine) fn is_out(&self, policy: &Policy, now: Timestamp) -> bool {
        let Some(rare) = policy.lease_first else {
            return false;
        };
        // Only a read shows the log, and keeps the server from taking it for something unused.
        if self.looks < rare.after || policy.log && now.since(self.read) >= READ_EVERY {
            return false;
        }
        self.answered.count_ones() * u32::from(rare.one_in) <= u32::from(self.looks)
    }
}

/// As many as there are bits.
const MOST_LOOKS: u8 = 64;
/// How often a load reads L2 first all the same, where there is a log of raises.
const READ_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::policy::{Kind, LeaseFirst};

    #[test]
    fn who_finds_something_once_in_seventeen_times_reads_first() {
        let (policy, mut luck) = (Policy::new(Kind::Both), Luck::default());
        let now = Timestamp::default();
        for look in 0..64 {
            assert!(!luck.is_out(&policy, now), "after {look}");
            luck.note(look % 16 == 0);
        }
        assert!(luck.is_out(&policy, now), "four in 64");
        luck.note(true);
        luck.note(true);
        assert!(!luck.is_out(&policy, now), "five in 64");
        (0..64).for_each(|_| luck.note(false));
        assert!(luck.is_out(&policy, now), "and none");
        luck.forget();
        assert!(!luck.is_out(&policy, now), "nothing is known");
    }

    #[test]
    fn where_there_is_a_log_it_is_read_once_a_second() {
        let (mut policy, mut luck) = (Policy::new(Kind::Both), Luck::default());
        let now = Timestamp::default() + 9 * READ_EVERY;
        luck.note_read(now);
        (0..64).for_each(|_| luck.note(false));
        policy.log = true;
        assert!(luck.is_out(&policy, now));
        assert!(!luck.is_out(&policy, now + READ_EVERY));
        policy.log = false;
        assert!(luck.is_out(&policy, now + READ_EVERY));
    }

    #[test]
    fn it_can_be_switched_off_and_be_hasty() {
        let (mut policy, mut luck) = (Policy::new(Kind::Both), Luck::default());
        let (after, one_in) = (0, 1);
        policy.lease_first = Some(LeaseFirst { after, one_in });
        assert!(luck.is_out(&policy, Timestamp::default()));
        luck.note(true);
        assert!(luck.is_out(&policy, Timestamp::default()));
        policy.lease_first = None;
        assert!(!luck.is_out(&policy, Timestamp::default()));
    }
}
