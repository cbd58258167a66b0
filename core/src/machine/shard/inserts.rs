//! What an insert does once its claim was granted: its value takes the place of what stood in L2
//! (PROTOCOL.md, C3).

use core::hash::{BuildHasher, Hash};
use core::time::Duration;

use crate::machine::change::{ChangeOutcome, ChangeStep, Reach, State, Wish};
use crate::machine::effects::Effects;
use crate::machine::error::Fault;
use crate::machine::event::Event;
use crate::machine::shard::{Context, Shard};
use crate::machine::table::unconfirmed::{Cure, Number};
use crate::machine::tier::verb::{Announce, Placed, Stamp, Times};
use crate::machine::token::Token;

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> Shard<K, V, S> {
    /// Sends the value, unless a change that did not fit has made its bucket do without L2 meanwhile:
    /// what would be stored now outlasts that.
    pub(super) fn put(
        &mut self,
        at: usize,
        token: Token,
        spared: Option<Stamp>,
        context: &Context<'_>,
    ) -> ChangeStep<V> {
        let bucket = self.slots.look(self.changes[at].slot).bucket;
        if self.doubts.bypassed(bucket, context.now) {
            return match self.changes[at].condition() {
                Some(_) => ChangeStep::Finish(ChangeOutcome::Undecided),
                None => self.remove(at, Reach::NotStored),
            };
        }
        let claim_life = context.policy.claim_life();
        let number = self.send(self.changes[at].slot, Cure::Remove);
        let change = &mut self.changes[at];
        let age = context.now.since(change.born);
        let life = change.lives.remote.saturating_sub(age);
        change.state = State::Putting(number);
        let stale = change.lives.stale;
        let kept = life.saturating_add(stale);
        self.doubts.note_life(kept.saturating_add(claim_life));
        let (condition, dead, born) = (change.condition(), change.dead, change.generation);
        ChangeStep::Ask(Wish::Put {
            token,
            dead,
            born,
            times: Times {
                life,
                stale,
                cost: Duration::ZERO,
                lease: claim_life,
                age: Duration::ZERO,
            },
            condition,
            spared,
            announce: Announce::Yes,
        })
    }

    /// What a conditional insert finds refused has changed nothing anywhere.
    pub(super) fn on_put(
        &mut self,
        at: usize,
        number: Number,
        put: Result<Placed, Fault>,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> ChangeStep<V> {
        let conditional = self.changes[at].condition().is_some();
        let not_applied = ChangeStep::Finish(ChangeOutcome::Applied(false));
        match put {
            Ok(Placed::Stored) => {
                self.acknowledge(at, number, Cure::Remove);
                let reach = self.reach_of_put(at, context);
                self.end(at, reach, true, context, effects)
            }
            Ok(Placed::Overtaken | Placed::Refused) if conditional => not_applied,
            Ok(Placed::Overtaken) => {
                let reach = self.reach_of_put(at, context);
                self.end(at, reach, false, context, effects)
            }
            // L2 has removed what the claim had spared.
            Ok(Placed::Refused) => self.end(at, Reach::NotStored, false, context, effects),
            Err(fault) => {
                let refused = matches!(fault, Fault::Refused(_));
                let sent = !matches!(fault, Fault::NotAsked(_));
                effects.events.push(Event::RemoteFault(fault));
                match (refused, conditional) {
                    (true, true) => not_applied,
                    (false, true) if !sent => ChangeStep::Finish(ChangeOutcome::Undecided),
                    (true, false) => self.remove(at, Reach::NotStored),
                    (false, _) => {
                        self.give_up(at, number, context, effects);
                        self.end(at, Reach::Pending, !conditional, context, effects)
                    }
                }
            }
        }
    }

    /// Another change of this node may have been given up meanwhile, and may still arrive.
    fn reach_of_put(&self, at: usize, context: &Context<'_>) -> Reach {
        let conditional = self.changes[at].condition().is_some();
        if self.is_doubted(at, context) && !conditional {
            Reach::Pending
        } else {
            Reach::Everywhere
        }
    }
}
