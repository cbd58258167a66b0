//! A look at one key that nobody notices.

use core::time::Duration;

use jetcache_core::ports::remote::{Found, Holder, Inspected, LeaseSeen, Life, Wire};

use crate::memory::table::Table;

impl Table {
    /// What stands under `key` and beside it. It counts as no use of the key.
    #[must_use]
    pub fn inspect(&self, now: u64, key: &str, wire: Wire) -> Inspected {
        let row = self.values.peek(key).filter(|row| now < row.until);
        let top = self.logs.top(now, key, wire);
        let kept = row.map(|row| Duration::from_millis(row.until - now));
        let found = row.zip(kept).map(|(row, kept)| Found {
            bytes: row.bytes.clone(),
            life: match wire {
                Wire::JetcacheGo => Life::Left(kept),
                _ => Life::Clock(now),
            },
        });
        let lease = self.leases.peek(key).filter(|lease| now < lease.until);
        let lease = lease.map_or(LeaseSeen::FREE, |lease| {
            let holder = match (lease.failing, lease.claims.is_empty()) {
                (true, _) => Holder::Failing,
                (false, true) => Holder::Load,
                (false, false) => Holder::Insert,
            };
            LeaseSeen::new(holder, Some(Duration::from_millis(lease.until - now)))
        });
        let kept = if top.is_some() {
            Some(Duration::MAX)
        } else {
            kept
        };
        let mut seen = Inspected::of(top.or(found));
        (seen.kept, seen.lease) = (kept, lease);
        seen
    }
}
