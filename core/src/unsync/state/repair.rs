//! Repeats removals until L2 confirms them (PROTOCOL.md, C5).

use core::hash::Hash;

use crate::machine::time::Timestamp;
use crate::unsync::clock::Clock;
use crate::unsync::level2::Level2;
use crate::unsync::state::{Rest, State};

impl<K: Hash + Eq + Clone, V: Clone, L: Level2<K, V>> State<K, V, L> {
    /// Repeats the removals that are due, until one is in vain. Returns when the next one is.
    pub(in crate::unsync) fn repair(
        &mut self,
        clock: &mut dyn Clock,
        rest: &mut Rest<K, V>,
    ) -> Option<Timestamp> {
        loop {
            let now = clock.moment().now;
            let Some(repair) = self.table.repairs(now, now, 1).pop() else {
                return self.table.next_repair();
            };
            let key = repair.key().clone();
            self.leases.revoke(&key);
            let acknowledged = self.level2.remove(&key).is_ok();
            self.ask(clock.moment(), rest, |table, context, effects| {
                table.repaired(repair, acknowledged, context, effects);
            });
            if !acknowledged {
                return self.table.next_repair();
            }
        }
    }
}
