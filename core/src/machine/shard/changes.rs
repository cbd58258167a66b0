//! What a change does, step by step (PROTOCOL.md, C1 to C5).
//!
//! Beside [`lookup`](crate::machine::lookup) this is the only machine that speaks to L2. Whatever its end,
//! and before it returns, a change supersedes everything else that is under way on its key on this
//! node, and removes the key from L1.

use core::hash::{BuildHasher, Hash};
use core::mem::take;
use core::time::Duration;

use crate::machine::change::{
    Change, ChangeReply, ChangeStep, ChangeTicket, Outcome, Plan, Reach, State,
};
use crate::machine::effects::Effects;
use crate::machine::error::Fault;
use crate::machine::event::Event;
use crate::machine::policy::Call;
use crate::machine::shard::{Context, Shard};
use crate::machine::table::unconfirmed::Number;
use crate::machine::table::writes::Pending;
use crate::machine::tier::entry::{Entry, Load};
use crate::machine::tier::verb::{Condition, Filled};
use crate::machine::time::Timestamp;
use crate::machine::token::Token;

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> Shard<K, V, S> {
    /// Opens a change. The life of an inserted value counts from here.
    pub fn open(
        &mut self,
        key: K,
        plan: Plan<V>,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> ChangeTicket {
        let (slot, spare) = self.slots.open(key);
        effects.spent_keys.extend(spare);
        let call = match &plan {
            Plan::Insert { call, .. } | Plan::WriteThrough { call } => *call,
            Plan::Invalidate => Call::new(),
        };
        ChangeTicket(self.changes.insert(Change {
            slot,
            era: self.slots.look(slot).era,
            plan,
            born: context.now,
            lives: context.policy.insert_lives(&call, context.roll),
            state: State::Fresh,
            write: None,
            written: None,
        }))
    }

    /// Tells the change what happened; the answer is what to do next.
    pub fn advance(
        &mut self,
        ticket: &ChangeTicket,
        context: &Context<'_>,
        reply: ChangeReply<V>,
        effects: &mut Effects<K, V>,
    ) -> ChangeStep<V> {
        let at = ticket.0;
        match (take(&mut self.changes[at].state), reply) {
            (State::Fresh, ChangeReply::Begin) => self.on_begin(at, context, effects),
            (State::Removing(number), ChangeReply::Removed(Ok(()))) => {
                self.acknowledge(at, number, true);
                self.end(at, Reach::Everywhere, true, context, effects)
            }
            (State::Removing(number), ChangeReply::Removed(Err(fault))) => {
                effects.events.push(Event::RemoteFault(fault));
                self.give_up(at, number, context, effects);
                self.end(at, Reach::Pending, true, context, effects)
            }
            (State::Claiming(number, token), ChangeReply::Claimed(Ok(true))) => {
                let told = !matches!(self.changes[at].plan, Plan::WriteThrough { .. });
                self.acknowledge(at, number, told);
                self.on_claimed(at, token, context, effects)
            }
            // Refused, it changed nothing anywhere, and acknowledges nothing.
            (State::Claiming(..), ChangeReply::Claimed(Ok(false)))
                if self.changes[at].condition().is_some() =>
            {
                // What L2 judged by may be what this node does not believe.
                let doubted = self.is_doubted(at, context);
                ChangeStep::Finish(if doubted {
                    Outcome::Undecided
                } else {
                    Outcome::Applied(false)
                })
            }
            (State::Claiming(number, _), ChangeReply::Claimed(Ok(false))) => {
                let fault = Fault::Refused("a claim without a condition was refused".into());
                self.on_unclaimed(at, number, fault, context, effects)
            }
            (State::Claiming(number, _), ChangeReply::Claimed(Err(fault))) => {
                self.on_unclaimed(at, number, fault, context, effects)
            }
            (State::Writing(claim), ChangeReply::Written(written)) => {
                self.on_written(at, claim, written, context, effects)
            }
            (State::Settling(number), ChangeReply::Settled(settled)) => {
                self.on_settled(at, number, settled, context, effects)
            }
            (State::Filling(number), ChangeReply::Filled(filled)) => {
                self.on_filled(at, number, filled, context, effects)
            }
            (State::Waiting, ChangeReply::Waited) => self.look_alone(at),
            (State::Looking, ChangeReply::Local(present)) => {
                self.on_local(at, present, context, effects)
            }
            (State::Applying(outcome), ChangeReply::Applied) => {
                if let Some(write) = self.changes[at].write.take() {
                    self.writes.seal(&write);
                }
                self.swept_slot(self.changes[at].slot);
                ChangeStep::Finish(outcome)
            }
            // A reply that belongs to no step: the driver is wrong, and its caller must not hang.
            (_, _) => ChangeStep::Finish(Outcome::Undecided),
        }
    }

    fn on_begin(
        &mut self,
        at: usize,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> ChangeStep<V> {
        let change = &mut self.changes[at];
        if !context.policy.kind.has_remote() {
            return match (&change.plan, change.condition()) {
                (Plan::WriteThrough { .. }, _) => self.write(at, None),
                (_, Some(_)) => self.look_alone(at),
                (_, None) => self.end(at, Reach::Everywhere, true, context, effects),
            };
        }
        // A claim would empty L2 of what is not to be filled.
        if change.condition().is_some() && self.doubts.bypassed(context.now) {
            return ChangeStep::Finish(Outcome::Undecided);
        }
        let (life, condition, told) = match change.plan {
            Plan::Insert {
                call, condition, ..
            } if !call.skip_remote => (context.policy.claim_life(), condition, true),
            Plan::WriteThrough { .. } => (context.policy.lease, None, false),
            Plan::Insert { .. } | Plan::Invalidate => return self.remove(at),
        };
        let number = self.doubts.send();
        let token = Token::from_bits(context.roll);
        change.state = State::Claiming(number, token);
        ChangeStep::Claim {
            token,
            life,
            condition,
            told,
        }
    }

    fn remove(&mut self, at: usize) -> ChangeStep<V> {
        self.changes[at].state = State::Removing(self.doubts.send());
        ChangeStep::Remove
    }

    /// The claim was not acknowledged.
    fn on_unclaimed(
        &mut self,
        at: usize,
        number: Number,
        fault: Fault,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> ChangeStep<V> {
        effects.events.push(Event::RemoteFault(fault));
        self.give_up(at, number, context, effects);
        let change = &self.changes[at];
        if matches!(change.plan, Plan::WriteThrough { .. }) {
            return self.write(at, None);
        }
        let kept = change.condition().is_none();
        self.end(at, Reach::Pending, kept, context, effects)
    }

    fn on_claimed(
        &mut self,
        at: usize,
        token: Token,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> ChangeStep<V> {
        let change = &mut self.changes[at];
        if matches!(change.plan, Plan::WriteThrough { .. }) {
            return self.write(at, Some((token, context.now)));
        }
        let in_doubt = self.slots.look(change.slot).doubt.is_unconfirmed();
        if in_doubt || self.doubts.bypassed(context.now) {
            // A conditional insert that is not filled now has emptied L2 and is not applied.
            let kept = change.condition().is_none();
            let reach = if in_doubt || !kept {
                Reach::Pending
            } else {
                Reach::Everywhere
            };
            return self.end(at, reach, kept, context, effects);
        }
        let number = change.condition().map(|_| self.doubts.send());
        let life = change
            .lives
            .remote
            .saturating_sub(context.now.since(change.born));
        change.state = State::Filling(number);
        self.doubts.note_life(life);
        ChangeStep::Fill {
            token,
            life,
            lease: context.policy.claim_life(),
            age: Duration::ZERO,
        }
    }

    fn on_filled(
        &mut self,
        at: usize,
        number: Option<Number>,
        filled: Result<Filled, Fault>,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> ChangeStep<V> {
        match filled {
            Ok(filled) => {
                let stored = filled == Filled::Stored;
                self.end(at, Reach::Everywhere, stored, context, effects)
            }
            Err(fault) => {
                effects.events.push(Event::RemoteFault(fault));
                match number {
                    // The claim stands: nothing older can be read, nothing is to be repaired.
                    None => self.end(at, Reach::Everywhere, true, context, effects),
                    Some(number) => {
                        self.give_up(at, number, context, effects);
                        self.end(at, Reach::Pending, false, context, effects)
                    }
                }
            }
        }
    }

    fn write(&mut self, at: usize, claim: Option<(Token, Timestamp)>) -> ChangeStep<V> {
        self.changes[at].state = State::Writing(claim);
        ChangeStep::Write
    }

    /// The database was written, or nobody knows. What is to be kept is settled with the token of
    /// the claim: who took the key meanwhile wrote after the claim, before or after this one, so
    /// that neither's value may stay. Without that token the key is removed.
    fn on_written(
        &mut self,
        at: usize,
        claim: Option<(Token, Timestamp)>,
        written: Option<Load<V>>,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> ChangeStep<V> {
        let doubted = self.is_doubted(at, context);
        let change = &mut self.changes[at];
        let lives = written
            .as_ref()
            .and_then(|load| context.policy.lives(&change.call(), load, context.roll));
        let value = written.map(|load| load.value);
        let (Some(value), Some(lives)) = (value.clone(), lives) else {
            effects.spent_values.extend(value.flatten());
            return self.settle_nothing(at, claim.is_some(), context, effects);
        };
        (change.born, change.lives) = (context.now, lives);
        if !context.policy.kind.has_remote() {
            change.written = Some(value);
            return self.end(at, Reach::Everywhere, true, context, effects);
        }
        let (Some((token, since)), false) = (claim, doubted) else {
            effects.spent_values.extend(value);
            return self.settle_nothing(at, claim.is_some(), context, effects);
        };
        change.written = Some(value.clone());
        change.state = State::Settling(self.doubts.send());
        let lease = context.policy.lease;
        self.doubts.note_life(lives.remote.saturating_add(lease));
        ChangeStep::Settle {
            token,
            value,
            life: lives.remote,
            lease,
            age: context.now.since(since),
        }
    }

    /// Nothing of a write-through is kept. If L2 did not answer its claim it is not waited for a
    /// second time: the removal is one of those that are repeated.
    fn settle_nothing(
        &mut self,
        at: usize,
        claimed: bool,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> ChangeStep<V> {
        if !context.policy.kind.has_remote() {
            return self.end(at, Reach::Everywhere, false, context, effects);
        }
        if claimed {
            return self.remove(at);
        }
        let number = self.doubts.send();
        self.give_up(at, number, context, effects);
        self.end(at, Reach::Pending, false, context, effects)
    }

    fn on_settled(
        &mut self,
        at: usize,
        number: Number,
        settled: Result<Filled, Fault>,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> ChangeStep<V> {
        let unsent = match settled {
            Ok(filled) => {
                // A settlement that has a token confirms nothing.
                let reach = if self.is_doubted(at, context) {
                    Reach::Pending
                } else {
                    Reach::Everywhere
                };
                let stored = filled == Filled::Stored;
                return self.end(at, reach, stored, context, effects);
            }
            Err(Fault::Encode(_)) => Event::Unencodable,
            Err(Fault::TooLarge) => Event::TooLarge,
            Err(fault) => {
                effects.events.push(Event::RemoteFault(fault));
                self.give_up(at, number, context, effects);
                return self.end(at, Reach::Pending, false, context, effects);
            }
        };
        effects.events.push(unsent);
        let written = self.changes[at].written.take();
        effects.spent_values.extend(written.flatten());
        self.remove(at)
    }

    /// A condition that only L1 can judge: look and write are one announced write, and one such
    /// change looks at a time.
    fn look_alone(&mut self, at: usize) -> ChangeStep<V> {
        let change = &mut self.changes[at];
        let pending = self.writes.pending(change.slot);
        if !pending.is_empty() {
            change.state = State::Waiting;
            return ChangeStep::Wait(pending);
        }
        change.era = self.slots.look(change.slot).era;
        change.write = Some(self.writes.announce(change.slot));
        change.state = State::Looking;
        ChangeStep::ReadLocal
    }

    fn on_local(
        &mut self,
        at: usize,
        present: bool,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> ChangeStep<V> {
        let change = &mut self.changes[at];
        let granted = match change.condition() {
            Some(Condition::Absent) => !present,
            Some(Condition::Present) => present,
            None => true,
        };
        let overtaken = self.slots.look(change.slot).era != change.era;
        if let Some(write) = change.write.take() {
            self.writes.seal(&write);
        }
        // A change ended meanwhile, or the key was taken out of L1: what was seen is no longer so.
        if overtaken {
            return self.look_alone(at);
        }
        if !granted {
            return ChangeStep::Finish(Outcome::Applied(false));
        }
        self.end(at, Reach::Everywhere, true, context, effects)
    }

    /// C1: the change supersedes the key's flight and every other change of it, and then makes L1
    /// as it should be. `kept`: whether its value may enter L1.
    fn end(
        &mut self,
        at: usize,
        reach: Reach,
        kept: bool,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> ChangeStep<V> {
        let (slot, era) = (self.changes[at].slot, self.changes[at].era);
        let superseded = self.slots.look(slot).era != era;
        let after = self.supersede_slot(slot, effects);
        let change = &mut self.changes[at];
        let outcome = change.outcome(reach, kept);
        change.state = State::Applying(outcome);
        let wanted = !change.call().skip_local && context.policy.kind.has_local();
        let value = match &change.plan {
            Plan::Insert { value, .. } => Some(Some(value.clone())),
            Plan::WriteThrough { .. } => change.written.take(),
            Plan::Invalidate => None,
        };
        let entry = value
            .filter(|_| kept && !superseded && wanted)
            .map(|value| Entry::new(value, change.born + change.lives.local))
            .filter(|entry| entry.is_fresh(context.now));
        if entry.is_some() {
            change.write = Some(self.writes.announce(slot));
        }
        ChangeStep::Apply { after, entry }
    }

    /// Closes a change that has finished.
    pub fn close(&mut self, ticket: ChangeTicket, effects: &mut Effects<K, V>) {
        let change = self.changes.remove(ticket.0);
        let closed = self.slots.close(change.slot);
        effects.spent_keys.extend(closed);
        effects.spent_changes.push(change);
    }

    /// Closes a change that will never finish, because its task is gone. What it had sent is not
    /// acknowledged. Wait for what is pending, then remove the key from L1, then say so with
    /// [`swept`](Self::swept).
    pub fn abandon(
        &mut self,
        ticket: ChangeTicket,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> Pending {
        let at = ticket.0;
        match take(&mut self.changes[at].state) {
            State::Removing(number)
            | State::Claiming(number, _)
            | State::Filling(Some(number))
            | State::Settling(number) => {
                self.give_up(at, number, context, effects);
            }
            State::Fresh | State::Writing(_) if context.policy.kind.has_remote() => {
                let number = self.doubts.send();
                self.give_up(at, number, context, effects);
            }
            State::Fresh
            | State::Writing(_)
            | State::Filling(None)
            | State::Waiting
            | State::Looking
            | State::Applying(_)
            | State::Over => {}
        }
        if let Some(write) = self.changes[at].write.take() {
            self.writes.seal(&write);
        }
        let pending = self.supersede_slot(self.changes[at].slot, effects);
        self.close(ticket, effects);
        pending
    }

    /// Whether L2 is not believed about the change's key now.
    fn is_doubted(&self, at: usize, context: &Context<'_>) -> bool {
        let doubt = &self.slots.look(self.changes[at].slot).doubt;
        doubt.is_unconfirmed() || self.doubts.bypassed(context.now)
    }

    /// `told`: the others were told of it. The claim of a write-through is not.
    fn acknowledge(&mut self, at: usize, number: Number, told: bool) {
        let slot = self.changes[at].slot;
        self.doubts
            .acknowledged(slot, &mut self.slots.at(slot).doubt, number, told);
    }

    fn give_up(
        &mut self,
        at: usize,
        number: Number,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) {
        let slot = self.changes[at].slot;
        self.lose(slot, number, true, context, effects);
    }
}
