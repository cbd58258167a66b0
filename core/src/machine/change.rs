//! A change of one key: an invalidation or an insert (PROTOCOL.md, C1 to C3, C5).
//!
//! Beside [`lookup`](super::lookup) this is the only other machine that speaks to L2. Whatever its
//! end, and before it returns, a change supersedes everything else that is under way on its key on
//! this node, and removes the key from L1.

use core::hash::{BuildHasher, Hash};
use core::mem::take;
use core::time::Duration;

use super::effects::Effects;
use super::entry::Entry;
use super::error::Fault;
use super::event::Event;
use super::policy::{Call, Lives};
use super::shard::{Context, Shard};
use super::time::Timestamp;
use super::token::Token;
use super::unconfirmed::Number;
use super::writes::{Pending, Write};
use crate::ports::remote::{Condition, Filled};

/// How far a change has reached when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Older values are gone from L2, and other nodes are told or about to be.
    Everywhere,
    /// L2 has not confirmed yet. This node keeps the promise already: it does not believe L2 about
    /// the key, and repeats the removal until it is confirmed.
    Pending,
}

/// What a change is to do.
#[derive(Clone, Debug)]
pub enum Plan<V> {
    /// Remove the key from every tier.
    Invalidate,
    /// Put the value in the place of whatever the tiers hold.
    Insert {
        /// The value.
        value: V,
        /// The call's own wishes.
        call: Call,
        /// What must hold, judged in L2, or in L1 if there is no L2.
        condition: Option<Condition>,
    },
}

/// What to do next for a change.
#[derive(Debug)]
#[must_use = "a step must be carried out and replied to"]
pub enum ChangeStep<V> {
    /// Remove the key from L2; reply [`ChangeReply::Removed`].
    Remove,
    /// Claim the key in L2; reply [`ChangeReply::Claimed`].
    Claim {
        /// The token of this change.
        token: Token,
        /// How long the claim stands.
        life: Duration,
        /// What must hold.
        condition: Option<Condition>,
    },
    /// Fill L2 with the change's value; reply [`ChangeReply::Filled`].
    Fill {
        /// The token of the claim.
        token: Token,
        /// How long the value is still fresh.
        life: Duration,
        /// The life the claim was given.
        lease: Duration,
        /// How old the claim is.
        age: Duration,
    },
    /// Wait until these writes are done; reply [`ChangeReply::Waited`].
    Wait(Pending),
    /// Look whether L1 has a fresh value; reply [`ChangeReply::Local`].
    ReadLocal,
    /// Wait for the pending writes, remove the key from L1, and write the entry if there is one;
    /// all without any await. Reply [`ChangeReply::Applied`].
    Apply {
        /// What to wait for first.
        after: Pending,
        /// What to write then.
        entry: Option<Entry<V>>,
    },
    /// The change is over: close it with [`Shard::close`].
    Finish(Outcome),
}

/// What happened to a change.
#[derive(Debug)]
pub enum ChangeReply {
    /// Nothing yet.
    Begin,
    /// Whether L2 acknowledged the removal.
    Removed(Result<(), Fault>),
    /// Whether L2 granted the claim.
    Claimed(Result<bool, Fault>),
    /// Whether L2 took the value.
    Filled(Result<Filled, Fault>),
    /// The writes are done.
    Waited,
    /// Whether L1 has a fresh value.
    Local(bool),
    /// L1 is as it should be.
    Applied,
}

/// How a change ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was made, and reached this far.
    Made(Reach),
    /// A conditional insert: whether it was applied.
    Applied(bool),
    /// A conditional insert whose outcome is not known.
    Undecided,
}

/// A change under way. Whoever has one gives it back with [`Shard::close`] or [`Shard::abandon`].
#[derive(Debug, PartialEq, Eq)]
pub struct ChangeTicket(usize);

#[derive(Debug)]
pub(super) struct Change<V> {
    slot: usize,
    era: u32,
    plan: Plan<V>,
    born: Timestamp,
    lives: Lives,
    state: State,
    write: Option<Write>,
}

#[derive(Debug, Default)]
enum State {
    Fresh,
    Removing(Number),
    Claiming(Number, Token),
    /// The fill of a conditional insert is numbered: unanswered, it leaves the key in doubt.
    Filling(Option<Number>),
    Waiting,
    Looking,
    Applying(Outcome),
    #[default]
    Over,
}

impl<V> Change<V> {
    fn condition(&self) -> Option<Condition> {
        match self.plan {
            Plan::Insert { condition, .. } => condition,
            Plan::Invalidate => None,
        }
    }

    /// The outcome of an end that L2 decided, or could not.
    fn outcome(&self, reach: Reach, applied: bool) -> Outcome {
        match (self.condition(), reach) {
            (None, reach) => Outcome::Made(reach),
            (Some(_), Reach::Everywhere) => Outcome::Applied(applied),
            (Some(_), Reach::Pending) => Outcome::Undecided,
        }
    }
}

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
            Plan::Insert { call, .. } => *call,
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
        }))
    }

    /// Tells the change what happened; the answer is what to do next.
    pub fn advance(
        &mut self,
        ticket: &ChangeTicket,
        context: &Context<'_>,
        reply: ChangeReply,
        effects: &mut Effects<K, V>,
    ) -> ChangeStep<V> {
        let at = ticket.0;
        match (take(&mut self.changes[at].state), reply) {
            (State::Fresh, ChangeReply::Begin) => self.on_begin(at, context, effects),
            (State::Removing(number), ChangeReply::Removed(Ok(()))) => {
                self.acknowledge(at, number);
                self.end(at, Reach::Everywhere, true, context, effects)
            }
            (State::Removing(number), ChangeReply::Removed(Err(fault))) => {
                effects.events.push(Event::RemoteFault(fault));
                self.give_up(at, number, context, effects);
                self.end(at, Reach::Pending, true, context, effects)
            }
            (State::Claiming(number, token), ChangeReply::Claimed(Ok(true))) => {
                self.acknowledge(at, number);
                self.on_claimed(at, token, context, effects)
            }
            // Refused, it changed nothing anywhere, and acknowledges nothing.
            (State::Claiming(..), ChangeReply::Claimed(Ok(false))) => {
                ChangeStep::Finish(Outcome::Applied(false))
            }
            (State::Claiming(number, _), ChangeReply::Claimed(Err(fault))) => {
                effects.events.push(Event::RemoteFault(fault));
                self.give_up(at, number, context, effects);
                let kept = self.changes[at].condition().is_none();
                self.end(at, Reach::Pending, kept, context, effects)
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
            return match change.condition() {
                Some(_) => self.look_alone(at),
                None => self.end(at, Reach::Everywhere, true, context, effects),
            };
        }
        let number = self.doubts.send();
        match change.plan {
            Plan::Insert {
                call, condition, ..
            } if !call.skip_remote => {
                let token = Token::from_bits(context.roll);
                change.state = State::Claiming(number, token);
                ChangeStep::Claim {
                    token,
                    life: context.policy.claim_life(),
                    condition,
                }
            }
            Plan::Insert { .. } | Plan::Invalidate => {
                change.state = State::Removing(number);
                ChangeStep::Remove
            }
        }
    }

    fn on_claimed(
        &mut self,
        at: usize,
        token: Token,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> ChangeStep<V> {
        let change = &mut self.changes[at];
        let in_doubt = self.slots.look(change.slot).doubt.is_unconfirmed();
        if in_doubt || self.doubts.bypassed(context.now) {
            let reach = if in_doubt {
                Reach::Pending
            } else {
                Reach::Everywhere
            };
            let kept = change.condition().is_none();
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
        let entry = match &change.plan {
            Plan::Insert { value, call, .. }
                if kept && !superseded && !call.skip_local && context.policy.kind.has_local() =>
            {
                let expires = change.born + change.lives.local;
                let entry = Entry::new(Some(value.clone()), expires);
                entry.is_fresh(context.now).then_some(entry)
            }
            Plan::Insert { .. } | Plan::Invalidate => None,
        };
        if entry.is_some() {
            change.write = Some(self.writes.announce(slot));
        }
        ChangeStep::Apply { after, entry }
    }

    /// Closes a change that has finished.
    pub fn close(&mut self, ticket: ChangeTicket, effects: &mut Effects<K, V>) {
        let change = self.changes.remove(ticket.0);
        let closed = self.slots.close(change.slot);
        effects.keys(closed);
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
            State::Removing(number) | State::Claiming(number, _) | State::Filling(Some(number)) => {
                self.give_up(at, number, context, effects);
            }
            State::Fresh if context.policy.kind.has_remote() => {
                let number = self.doubts.send();
                self.give_up(at, number, context, effects);
            }
            State::Fresh
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

    fn acknowledge(&mut self, at: usize, number: Number) {
        let slot = self.changes[at].slot;
        self.doubts
            .acknowledged(slot, &mut self.slots.at(slot).doubt, number);
    }

    fn give_up(
        &mut self,
        at: usize,
        number: Number,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) {
        let slot = self.changes[at].slot;
        self.lose(slot, number, context, effects);
    }
}
