//! How long the tiers keep a value.

use core::time::Duration;

use crate::machine::tier::entry::Entry;
use crate::machine::time::Timestamp;

/// How long the tiers keep a value, counted from its birth. A zero in `local` keeps it out of L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::machine) struct Lives {
    pub(in crate::machine) remote: Duration,
    pub(in crate::machine) local: Duration,
    /// How long after `remote` it may be served stale, by either tier.
    pub(in crate::machine) stale: Duration,
    /// What `remote` is at least: the jitter takes off no more.
    pub(in crate::machine) least: Duration,
    /// And at most.
    pub(in crate::machine) most: Duration,
}

impl Lives {
    /// L2 keeps it for so long, and L1 no longer.
    pub(in crate::machine) fn last(&mut self, life: Duration) {
        self.remote = life;
        self.local = self.local.min(life);
    }

    /// The entry of L1 for a value that was born then.
    pub(in crate::machine) fn entry<V>(&self, value: Option<V>, born: Timestamp) -> Entry<V> {
        let end = born + self.remote.saturating_add(self.stale);
        let entry = Entry::new(value, born + self.local);
        if self.stale.is_zero() || self.local.is_zero() {
            return entry;
        }
        entry.stale_until(end)
    }

    /// How long L2 keeps it.
    pub(in crate::machine) fn kept(&self) -> Duration {
        self.remote.saturating_add(self.stale)
    }
}
