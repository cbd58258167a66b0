//! What a node does when another primary of L2 answers than before: it may lack the last changes
//! (PROTOCOL.md, F1 and F2).

use core::hash::{BuildHasher, Hash};

use crate::machine::effects::Effects;
use crate::machine::event::Event;
use crate::machine::policy::Policy;
use crate::machine::shard::{Context, Shard};
use crate::machine::table::unconfirmed::{Cure, Loss, Number};
use crate::machine::time::Timestamp;

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> Shard<K, V, S> {
    /// Has the shard remember what changes, `room` keys at most, for a primary that takes over. L2
    /// has answered `answered`. Said before a question, again and again: what is too old is forgotten
    /// then.
    pub fn remember(
        &mut self,
        answered: Timestamp,
        room: usize,
        policy: &Policy,
        effects: &mut Effects<K, V>,
    ) {
        // What is answered now was sent as long ago as an operation may take.
        let span = policy.failover_window.saturating_add(policy.remote_timeout);
        let forgotten = self.recents.turn(answered, span, room);
        effects.spent_keys.extend(forgotten);
    }

    /// How many keys are remembered for a primary that takes over.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.recents.len()
    }

    /// Another primary answers. Each key that changed lately is in doubt until a removal is
    /// acknowledged. What L1 has and what is under way stays: it came from the old primary, which knew
    /// more.
    pub fn failed_over(&mut self, context: &Context<'_>, effects: &mut Effects<K, V>) {
        self.healing = Some(context.now + context.policy.failover_window);
        let (recent, full) = self.recents.take();
        for recent in recent {
            self.doubt(recent.key, recent.cure, context, effects);
        }
        if full {
            self.doubts.note_life(Self::longest_life(context));
            self.doubts.bypass(context.now);
            effects.events.push(Event::Bypassed);
        }
    }

    /// Whether a change of which it hears may have been made where the new primary does not see it.
    pub(super) fn is_healing(&self, now: Timestamp) -> bool {
        self.healing.is_some_and(|until| now < until)
    }

    /// Numbers a command that changes the key of this slot, which is remembered.
    pub(super) fn send(&mut self, slot: usize, cure: Cure) -> Number {
        let slot = self.slots.look(slot);
        self.recents.note(slot.hash, slot.key(), cure);
        self.doubts.send()
    }

    /// The key is not believed in L2 from now on, and is repaired at once.
    pub(super) fn doubt(
        &mut self,
        key: K,
        cure: Cure,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) {
        let (slot, spare) = self.slots.open(key);
        effects.spent_keys.extend(spare);
        let number = self.doubts.send();
        self.doubts.note_life(Self::longest_life(context));
        let doubt = &mut self.slots.at(slot).doubt;
        let (now, room) = (context.now, context.policy.unconfirmed);
        let loss = self.doubts.doubted(slot, doubt, number, (now, now), room);
        doubt.needs(cure);
        if loss == Loss::Bypassed {
            effects.events.push(Event::Bypassed);
        }
        let closed = self.slots.close(slot);
        effects.spent_keys.extend(closed);
    }
}
