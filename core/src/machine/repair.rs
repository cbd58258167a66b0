//! The removals that are repeated until L2 acknowledges one (PROTOCOL.md, C5).

use alloc::vec::Vec;
use core::hash::{BuildHasher, Hash};

use super::effects::Effects;
use super::event::Event;
use super::shard::{Context, Shard};
use super::time::Timestamp;
use super::unconfirmed::{Loss, Number};

/// A removal to be repeated now. Whoever has one gives it back with [`Shard::repaired`].
#[derive(Debug)]
#[must_use = "a repair must be reported"]
pub struct Repair<K> {
    slot: usize,
    number: Number,
    key: K,
}

impl<K> Repair<K> {
    /// The key to be removed from L2.
    pub fn key(&self) -> &K {
        &self.key
    }
}

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> Shard<K, V, S> {
    /// The removals whose turn has come by then, `most` at most.
    pub fn repairs(&mut self, by: Timestamp, now: Timestamp, most: usize) -> Vec<Repair<K>> {
        let due = core::iter::from_fn(|| self.doubts.next_due(by));
        let due: Vec<usize> = due.take(most).collect();
        due.into_iter()
            .map(|slot| self.take_up(slot, now))
            .collect()
    }

    fn take_up(&mut self, slot: usize, now: Timestamp) -> Repair<K> {
        self.doubts
            .taken_up(slot, &mut self.slots.at(slot).doubt, now);
        Repair {
            slot,
            number: self.doubts.send(),
            key: self.slots.use_again(slot),
        }
    }

    /// Whether L2 acknowledged the removal.
    pub fn repaired(
        &mut self,
        repair: Repair<K>,
        acknowledged: bool,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) {
        let Repair { slot, number, key } = repair;
        effects.spent_keys.push(key);
        if acknowledged {
            self.doubts
                .acknowledged(slot, &mut self.slots.at(slot).doubt, number);
        } else {
            self.lose(slot, number, context, effects);
        }
        self.doubts
            .try_again(slot, &mut self.slots.at(slot).doubt, context.now);
        let closed = self.slots.close(slot);
        effects.spent_keys.extend(closed);
    }

    /// When the next removal is to be repeated; `None` if nothing is in doubt.
    #[must_use]
    pub fn next_repair(&self) -> Option<Timestamp> {
        self.doubts.next_turn()
    }

    /// A removal, claim or conditional fill was given up.
    pub(super) fn lose(
        &mut self,
        slot: usize,
        number: Number,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) {
        // A load that holds an older lease may still fill, for as long as the lease stands.
        let life = context.policy.ttl.max(context.policy.negative_ttl);
        let longest = life.saturating_add(context.policy.lease);
        self.doubts.note_life(longest);
        let doubt = &mut self.slots.at(slot).doubt;
        let room = context.policy.unconfirmed;
        match self.doubts.given_up(slot, doubt, number, context.now, room) {
            Loss::Known => {}
            Loss::Unconfirmed => effects.events.push(Event::Unconfirmed),
            Loss::Bypassed => effects.events.push(Event::Bypassed),
        }
    }
}
