//! What a change does, step by step (PROTOCOL.md, C1 to C5).
//!
//! Besides [`lookup`](crate::machine::lookup) this is the only machine that speaks to L2. Before it
//! returns, a change supersedes everything else that is under way on its key on this node, and
//! removes the key from L1 or puts its own value there. Only a conditional insert that is refused,
//! or not sent at all, leaves everything as it is.

use core::hash::{BuildHasher, Hash};
use core::mem::take;

use crate::machine::change::{
    Change, ChangeOutcome, ChangeReply, ChangeStep, ChangeTicket, Plan, Reach, State, Wish,
};
use crate::machine::effects::{Effects, spend};
use crate::machine::error::Fault;
use crate::machine::event::Event;
use crate::machine::policy::call::Call;
use crate::machine::shard::failover::taken_over;
use crate::machine::shard::{Context, Shard};
use crate::machine::table::unconfirmed::{Cure, Number};
use crate::machine::table::writes::Sweep;
use crate::machine::tier::envelope::Head;
use crate::machine::tier::verb::{Announce, Claimed, Condition, Placed, Stamp};
use crate::machine::token::Token;

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> Shard<K, V, S> {
    /// Opens a change. The life of an inserted value counts from here.
    pub fn open(
        &mut self,
        key: K,
        bucket: u16,
        plan: Plan<V>,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> ChangeTicket {
        let (slot, spare) = self.slots.open(key, bucket);
        effects.spent_keys.extend(spare);
        let call = match &plan {
            Plan::Insert { call, .. } | Plan::WriteThrough { call } => call.clone(),
            Plan::Invalidate => Call::new(),
        };
        ChangeTicket(self.changes.insert(Change {
            slot,
            era: self.slots.look(slot).era,
            plan,
            born: context.now,
            lives: context.policy.insert_lives(&call, context.roll.bits()),
            state: State::Fresh,
            reign: self.reign,
            claimed: self.reign,
            write: None,
            written: None,
            note: None,
            tags: call.tags,
            generation: context.generations.born(),
            stamp: context.generations.heard(),
            dead: None,
            again: 0,
        }))
    }

    /// Hands the change a reply; the answer is what to do next.
    pub fn advance(
        &mut self,
        ticket: &ChangeTicket,
        context: &Context<'_>,
        reply: ChangeReply<V>,
        effects: &mut Effects<K, V>,
    ) -> ChangeStep<V> {
        let at = ticket.0;
        let reply = match self.disbelieves(ticket, &reply) {
            true => reply.of_another(taken_over),
            false => reply,
        };
        self.changes[at].reign = self.reign;
        match (take(&mut self.changes[at].state), reply) {
            (State::Fresh, ChangeReply::Begin) => self.on_begin(at, context, effects),
            (State::Removing(number, reach), ChangeReply::Removed(Ok(()))) => {
                self.acknowledge(at, number, Cure::Remove);
                self.end(at, reach, true, context, effects)
            }
            (State::Removing(number, _), ChangeReply::Removed(Err(fault))) => {
                effects.events.push(Event::RemoteFault(fault));
                self.give_up(at, number, context, effects);
                self.end(at, Reach::Pending, true, context, effects)
            }
            (
                State::Claiming(number, token),
                ChangeReply::Claimed(Ok(Claimed::Granted(spared, head))),
            ) => self.on_claimed(at, number, token, (spared, head), context),
            (State::Claiming(number, _), ChangeReply::Claimed(Ok(Claimed::Refused(head)))) => {
                self.on_refused(at, number, head, context, effects)
            }
            (State::Releasing(outcome), ChangeReply::Released) => ChangeStep::Finish(outcome),
            (State::Claiming(number, _), ChangeReply::Claimed(Err(fault))) => {
                self.on_unclaimed(at, number, fault, context, effects)
            }
            (State::Writing(claim), ChangeReply::Written(written)) => {
                self.on_written(at, claim, written, context, effects)
            }
            (State::Settling(number), ChangeReply::Settled(settled)) => {
                self.on_settled(at, number, settled, context, effects)
            }
            (State::Putting(number), ChangeReply::Put(put)) => {
                self.on_put(at, number, put, context, effects)
            }
            (State::Waiting, ChangeReply::Waited) => self.look_alone(at),
            (State::Looking, ChangeReply::Local(present)) => {
                self.on_local(at, present, context, effects)
            }
            (State::Applying(outcome), ChangeReply::Applied) => {
                if let Some(write) = self.changes[at].write.take() {
                    self.writes.seal(&write);
                }
                self.sweeping = self.sweeping.saturating_sub(1);
                self.swept_slot(self.changes[at].slot);
                ChangeStep::Finish(outcome)
            }
            // A reply that belongs to no step: the driver is wrong, and its caller must not hang.
            (_, _) => ChangeStep::Finish(ChangeOutcome::Undecided),
        }
    }

    /// Whether what L2 answers now to the change does not count: another primary has taken over since,
    /// and may lack what this one or another change has done to the key.
    #[must_use]
    pub fn disbelieves(&self, ticket: &ChangeTicket, reply: &ChangeReply<V>) -> bool {
        let change = &self.changes[ticket.0];
        // What the claim spared this one may never have had: what it has may be older.
        if let ChangeReply::Put(Ok(Placed::Overtaken)) = reply
            && change.claimed != self.reign
        {
            return true;
        }
        let doubt = &self.slots.look(change.slot).doubt;
        let is_doubted = |number| doubt.is_since(number);
        change.reign != self.reign && change.state.number().is_some_and(is_doubted)
    }

    fn on_begin(
        &mut self,
        at: usize,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> ChangeStep<V> {
        let change = &self.changes[at];
        if !context.policy.kind.has_remote() {
            return match (&change.plan, change.condition()) {
                (Plan::WriteThrough { .. }, _) => self.write(at, None, context),
                (_, Some(_)) => self.look_alone(at),
                (_, None) => self.end(at, Reach::Everywhere, true, context, effects),
            };
        }
        // Nothing may be put into L2 while it is bypassed.
        let bucket = self.slots.look(change.slot).bucket;
        if change.condition().is_some() && self.avoids_l2(bucket, context) {
            return ChangeStep::Finish(ChangeOutcome::Undecided);
        }
        let (life, condition, spares) = match &change.plan {
            Plan::Insert {
                call, condition, ..
            } if !call.skip_remote => (context.policy.claim_life(), *condition, true),
            Plan::WriteThrough { .. } => (context.policy.longest_hold(), None, false),
            Plan::Insert { .. } | Plan::Invalidate => return self.remove(at, Reach::Everywhere),
        };
        let slot = change.slot;
        // An insert's claim leaves the key as it is.
        let number = match spares {
            true => self.doubts.send(),
            false => self.send(slot, Cure::Remove),
        };
        let token = Token::from_bits(context.roll.bits());
        let change = &mut self.changes[at];
        change.begin(context.generations);
        (change.state, change.claimed) = (State::Claiming(number, token), self.reign);
        ChangeStep::Ask(Wish::Claim {
            token,
            life,
            condition,
            dead: change.dead,
            spares,
        })
    }

    /// Removes the key from L2; once that is acknowledged the change has reached that far.
    pub(super) fn remove(&mut self, at: usize, reach: Reach) -> ChangeStep<V> {
        let number = self.send(self.changes[at].slot, Cure::Remove);
        self.changes[at].state = State::Removing(number, reach);
        ChangeStep::Ask(Wish::Remove(Announce::Yes))
    }

    /// A claim that was refused changed nothing anywhere, and acknowledges nothing. If what it found there
    /// is dead, it counts as absent the next time (T2).
    fn on_refused(
        &mut self,
        at: usize,
        number: Number,
        head: Option<Head>,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> ChangeStep<V> {
        if self.changes[at].condition().is_none() {
            let fault = Fault::Refused("a claim without a condition was refused".into());
            return self.on_unclaimed(at, number, fault, context, effects);
        }
        if self.changes[at].condition() == Some(Condition::Absent)
            && self.changes[at].again < MOST_CLAIMS
            && let Some(head) = head.filter(|head| self.is_dead(at, head, context))
        {
            let change = &mut self.changes[at];
            change.dead = Some(head.sum());
            change.again += 1;
            effects.events.push(Event::DeadInL2);
            return self.on_begin(at, context, effects);
        }
        // L2 may have judged by a value that this node does not believe.
        let doubted = self.is_doubted(at, context);
        ChangeStep::Finish(if doubted {
            ChangeOutcome::Undecided
        } else {
            ChangeOutcome::Applied(false)
        })
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
        let sent = !matches!(fault, Fault::NotAsked(_));
        effects.events.push(Event::RemoteFault(fault));
        if self.changes[at].condition().is_some() && !sent {
            // It has changed nothing: no reason to doubt what stands there, nor to remove it.
            return ChangeStep::Finish(ChangeOutcome::Undecided);
        }
        self.give_up(at, number, context, effects);
        let change = &self.changes[at];
        if matches!(change.plan, Plan::WriteThrough { .. }) {
            return self.write(at, None, context);
        }
        let kept = change.condition().is_none();
        self.end(at, Reach::Pending, kept, context, effects)
    }

    /// A write-through's claim has emptied the key. An insert's has only taken the lease of any load
    /// away, and so confirms nothing; nor is anybody told of it.
    fn on_claimed(
        &mut self,
        at: usize,
        number: Number,
        token: Token,
        (spared, head): (Option<Stamp>, Option<Head>),
        context: &Context<'_>,
    ) -> ChangeStep<V> {
        if matches!(self.changes[at].plan, Plan::WriteThrough { .. }) {
            self.acknowledge(at, number, Cure::Clear);
            return self.write(at, Some((token, context.now)), context);
        }
        if self.changes[at].condition() == Some(Condition::Present)
            && head.is_some_and(|head| self.is_dead(at, &head, context))
        {
            self.changes[at].state = State::Releasing(ChangeOutcome::Applied(false));
            return ChangeStep::Ask(Wish::Release { token });
        }
        // What it is born as was known before its claim was sent (T1). If one of its scopes was raised since
        // then, nobody would believe it.
        let change = &self.changes[at];
        let bucket = self.slots.look(change.slot).bucket;
        if (context.generations).is_raised(change.generation, &change.tags, bucket) {
            if change.condition().is_none() {
                return self.remove(at, Reach::NotStored);
            }
            self.changes[at].state = State::Releasing(ChangeOutcome::Undecided);
            return ChangeStep::Ask(Wish::Release { token });
        }
        self.put(at, token, spared, context)
    }

    /// Without an L2, L1 judges the condition. Look and write are one announced write, so that only
    /// one such change looks at a time.
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
        // A change ended meanwhile, or the key was taken out of L1: what was seen no longer holds.
        if overtaken {
            return self.look_alone(at);
        }
        if !granted {
            return ChangeStep::Finish(ChangeOutcome::Applied(false));
        }
        self.end(at, Reach::Everywhere, true, context, effects)
    }

    /// C1: the change supersedes the key's flight and every other change of it, and then makes L1
    /// as it should be. `kept`: whether its value may enter L1.
    pub(super) fn end(
        &mut self,
        at: usize,
        reach: Reach,
        kept: bool,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> ChangeStep<V> {
        let (slot, era) = (self.changes[at].slot, self.changes[at].era);
        // Another change has ended meanwhile: nobody knows which value is newer, so L1 gets
        // neither.
        let superseded = self.slots.look(slot).era != era;
        let after = self.supersede_slot(slot, effects);
        self.sweeping += 1;
        let change = &mut self.changes[at];
        let outcome = change.outcome(reach, kept);
        change.state = State::Applying(outcome);
        let wanted = !change.call().skip_local && context.policy.kind.has_local();
        let value = match &change.plan {
            Plan::Insert { value, .. } => Some(Some(value.clone())),
            Plan::WriteThrough { .. } => change.written.take(),
            Plan::Invalidate => None,
        };
        let (born, lives) = (change.born, change.lives);
        let kept = kept && !superseded && wanted && context.now < born + lives.local;
        let entry = match value {
            Some(value) if kept => {
                let entry = lives.entry(value, born).noted(change.note.take());
                Some(entry.tagged(&change.tags, change.stamp))
            }
            // It may be the last clone: it is dropped outside the lock.
            value => {
                effects.spent_values.extend(value.flatten());
                None
            }
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
        effects.spent_keys.extend(closed);
        spend(&mut effects.spent_changes, change);
    }

    /// Closes a change that will never finish, because its task is gone. What it had sent counts as
    /// not acknowledged.
    pub fn abandon(
        &mut self,
        ticket: ChangeTicket,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> Sweep {
        let at = ticket.0;
        match take(&mut self.changes[at].state) {
            State::Removing(number, _)
            | State::Claiming(number, _)
            | State::Putting(number)
            | State::Settling(number) => {
                self.give_up(at, number, context, effects);
            }
            // The caller may have changed the row already: only a removal makes L2 safe.
            State::Fresh | State::Writing(_) if context.policy.kind.has_remote() => {
                let number = self.doubts.send();
                self.give_up(at, number, context, effects);
            }
            State::Applying(_) => self.sweeping = self.sweeping.saturating_sub(1),
            State::Fresh
            | State::Writing(_)
            | State::Releasing(_)
            | State::Waiting
            | State::Looking
            | State::Over => {}
        }
        if let Some(write) = self.changes[at].write.take() {
            self.writes.seal(&write);
        }
        let pending = self.supersede_slot(self.changes[at].slot, effects);
        self.close(ticket, effects);
        self.begin_sweep(pending)
    }

    /// Whether L2 is not believed about the change's key now.
    pub(super) fn is_doubted(&self, at: usize, context: &Context<'_>) -> bool {
        let slot = self.slots.look(self.changes[at].slot);
        slot.doubt.is_unconfirmed() || self.avoids_l2(slot.bucket, context)
    }

    /// Whether what has this head is dead.
    fn is_dead(&self, at: usize, head: &Head, context: &Context<'_>) -> bool {
        let bucket = self.slots.look(self.changes[at].slot).bucket;
        (context.generations).is_dead(head.born(), &head.tags(), bucket)
    }

    /// `by`: how much it removed. The other nodes are not told of a write-through's claim.
    pub(super) fn acknowledge(&mut self, at: usize, number: Number, by: Cure) {
        let slot = self.changes[at].slot;
        self.doubts
            .acknowledged(slot, &mut self.slots.at(slot).doubt, number, by);
    }

    pub(super) fn give_up(
        &mut self,
        at: usize,
        number: Number,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) {
        let slot = self.changes[at].slot;
        self.lose(slot, number, Cure::Remove, context, effects);
    }
}

/// How often a conditional insert claims anew, because it finds dead entries.
const MOST_CLAIMS: u8 = 4;
