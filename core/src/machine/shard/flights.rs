//! Flights: who joins, who leads, who waits, and how they end (PROTOCOL.md, R1 to R5).

use core::hash::{BuildHasher, Hash};
use core::task::Waker;

use crate::machine::counted::Arc;
use crate::machine::effects::{Effects, spend};
use crate::machine::error::Error;
use crate::machine::event::Event;
use crate::machine::lookup::step::{Answer, Need, Release, Reply, Stands, Step};
use crate::machine::lookup::{Move, Out, View};
use crate::machine::policy::call::Call;
use crate::machine::shard::failover::taken_over;
use crate::machine::shard::raised::bury;
use crate::machine::shard::{Context, Shard};
use crate::machine::table::flight::{Flight, Role, Ticket, Turn, Waiter};
use crate::machine::tier::entry::Cached;
use crate::machine::tier::load::Load;
use crate::machine::tier::verb::{Extended, Filled};

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> Shard<K, V, S> {
    /// Joins the flight of `key`, which is in this [bucket](crate::machine::generations::scope::bucket),
    /// or opens one.
    pub fn join(
        &mut self,
        key: K,
        bucket: u16,
        call: Call,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> (Ticket, Role) {
        let slot = self.slots.find(&key);
        if let Some(at) = slot.and_then(|slot| self.slots.look(slot).flight) {
            effects.spent_keys.push(key);
            return (self.board(at, call, context, effects), Role::Follow);
        }
        let (slot, spare) = self.slots.open(key, bucket);
        effects.spent_keys.extend(spare);
        (self.open_flight(slot, call, context), Role::Lead)
    }

    fn board(
        &mut self,
        flight: usize,
        call: Call,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> Ticket {
        effects.events.push(Event::Coalesced);
        Ticket {
            flight,
            seat: self.flights[flight].board(call.clone()),
            call,
            came: context.now,
            heard: context.generations.heard(),
        }
    }

    /// A flight in a slot that counts it as a user.
    fn open_flight(&mut self, at: usize, call: Call, context: &Context<'_>) -> Ticket {
        let slot = self.slots.at(at);
        // A leader that never takes its first step counts as silent then.
        let deadline = context.now + context.policy.remote_timeout;
        let flight = self
            .flights
            .insert(Flight::new(at, slot.era, call.clone(), deadline));
        slot.flight = Some(flight);
        Ticket {
            flight,
            seat: 0,
            call,
            came: context.now,
            heard: context.generations.heard(),
        }
    }

    /// Hands the flight a reply; the answer is what to do next.
    pub fn step(
        &mut self,
        ticket: &Ticket,
        context: &Context<'_>,
        reply: Reply<V>,
        effects: &mut Effects<K, V>,
    ) -> Step<V> {
        self.step_over::<true>(ticket, context, reply, effects)
    }

    /// [`step`](Self::step) of a cache that has no L2, for a program that is to be small.
    pub fn step_without_l2(
        &mut self,
        ticket: &Ticket,
        context: &Context<'_>,
        reply: Reply<V>,
        effects: &mut Effects<K, V>,
    ) -> Step<V> {
        self.step_over::<false>(ticket, context, reply, effects)
    }

    fn step_over<const L2: bool>(
        &mut self,
        ticket: &Ticket,
        context: &Context<'_>,
        reply: Reply<V>,
        effects: &mut Effects<K, V>,
    ) -> Step<V> {
        match &reply {
            Reply::Stored(Ok(filled)) => self.refusals.note(*filled),
            Reply::Extended(Ok(Extended::Stored)) => self.refusals.note(Filled::Stored),
            Reply::Extended(Ok(Extended::Refused)) => self.refusals.note(Filled::Refused),
            _ => {}
        }
        let flight = &mut self.flights[ticket.flight];
        // Also for a deposed leader: a change may be waiting for this write.
        if let Reply::Kept(write) = &reply {
            self.writes.seal(write);
            flight.writes.retain(|(_, announced)| announced != write);
        }
        if flight.leader != Some(ticket.seat) {
            return Self::deposed(flight, ticket, reply, effects);
        }
        let reply = match reply {
            Reply::Remote(Ok(_)) | Reply::Leased(Ok(_))
                if L2
                    && flight.reign != self.reign
                    && (self.slots.look(flight.slot).doubt.is_since(flight.asked)
                        || self
                            .doubts
                            .bypassed(self.slots.look(flight.slot).bucket, context.now)) =>
            {
                let fault = taken_over();
                let unsure = match &reply {
                    Reply::Leased(_) => Reply::Leased(Err(fault)),
                    _ => Reply::Remote(Err(fault)),
                };
                spend(&mut effects.spent_replies, reply);
                unsure
            }
            reply => reply,
        };
        let bucket = self.slots.look(flight.slot).bucket;
        let first = flight.lookup.looks_beside_a_lease();
        let reply = if L2 {
            bury(reply, bucket, context.generations, first, effects)
        } else {
            reply
        };
        let avoided =
            self.doubts.bypassed(bucket, context.now) || context.generations.is_blocked(bucket);
        let slot = self.slots.at(flight.slot);
        let view = View {
            now: context.now,
            roll: context.roll,
            policy: context.policy,
            came: ticket.came,
            superseded: slot.era != flight.era,
            sweeping: self.sweeping > 0,
            writing: self.writes.is_written_to(flight.slot),
            l2: !slot.doubt.is_unconfirmed() && !avoided,
            refused_ttl: self.refusals.kept_for(context.policy),
            generations: context.generations,
        };
        let mut out = Out {
            events: &mut effects.events,
            spent: &mut effects.spent_values,
            luck: &mut self.luck,
            found_stale: false,
        };
        let moved = flight.lookup.step::<L2>(&view, reply, &mut out);
        if out.found_stale {
            flight.rouse_impatient(context.policy, &mut effects.wakes);
        }
        let step = match moved {
            Move::Do(step) => step,
            Move::Keep(entry) => {
                let write = self.writes.announce(flight.slot);
                flight.writes.push((ticket.seat, write.again()));
                Step::WriteLocal { write, entry }
            }
            Move::Finish(answer, release) => {
                let outlived = context.generations.had_news(answer.stamp, &answer.tags);
                let answer = Answer { outlived, ..answer };
                let answer = flight.conclude(answer, &mut effects.wakes);
                // The slot of a superseded flight may have a newer flight by now.
                if slot.flight == Some(ticket.flight) {
                    slot.flight = None;
                }
                Step::Finish { answer, release }
            }
            Move::GiveUp => Step::GiveUp,
        };
        // A bypass lasts until everything that may stand in L2 has ended, so each life is noted.
        let times = match &step {
            Step::Ask(Need::Fill(filling)) => Some(filling.times),
            Step::Ask(Need::Extend(extension)) => Some(extension.times),
            _ => None,
        };
        if let Some(times) = times {
            let kept = times.life.saturating_add(times.stale);
            let hold = context.policy.longest_hold();
            self.doubts.note_life(kept.saturating_add(hold));
        }
        if let Step::Ask(Need::Read | Need::Lease { .. }) = &step {
            (flight.reign, flight.asked) = (self.reign, self.doubts.last());
        }
        flight.deadline = context.now + step.limit(context.policy) + context.policy.remote_timeout;
        step
    }

    /// What stands there, for the loader that this seat is about to run: it may say that it is
    /// [unchanged](crate::Load::unchanged), and the flight then renews what it was shown.
    pub fn standing(&mut self, ticket: &Ticket, context: &Context<'_>) -> Option<Stands<V>> {
        let flight = &mut self.flights[ticket.flight];
        let superseded = self.slots.look(flight.slot).era != flight.era;
        let leads = flight.leader == Some(ticket.seat) && flight.answer.is_none();
        let stands = leads.then(|| {
            flight
                .lookup
                .standing(superseded, context.generations, context.now)
        });
        stands.flatten()
    }

    /// The leader cannot go on, because user code panicked: everyone who waits gets this error, and
    /// nobody leads in its place. Returns the flight's answer, and a lease to be released.
    ///
    /// # Errors
    /// The error itself, if the leader was deposed: it is this caller's alone.
    pub fn fail(
        &mut self,
        ticket: &Ticket,
        error: Error,
        effects: &mut Effects<K, V>,
    ) -> Result<(Arc<Answer<V>>, Option<Release>), Error> {
        let flight = &mut self.flights[ticket.flight];
        if let Some(answer) = &flight.answer {
            return Ok((Arc::clone(answer), None));
        }
        if flight.leader != Some(ticket.seat) {
            return Err(error);
        }
        let answer = Answer::endless(Err(error));
        let answer = flight.conclude(answer, &mut effects.wakes);
        let slot = self.slots.at(flight.slot);
        if slot.flight == Some(ticket.flight) {
            slot.flight = None;
        }
        Ok((answer, flight.lookup.give_back()))
    }

    /// One more seat in the same flight, for a caller whose first seat goes to a task that leads.
    pub fn second_seat(&mut self, ticket: &Ticket) -> Ticket {
        Ticket {
            flight: ticket.flight,
            seat: self.flights[ticket.flight].board(ticket.call.clone()),
            call: ticket.call.clone(),
            came: ticket.came,
            heard: ticket.heard,
        }
    }

    /// What a deposed leader still brings answers only itself.
    fn deposed(
        flight: &mut Flight<V>,
        ticket: &Ticket,
        reply: Reply<V>,
        effects: &mut Effects<K, V>,
    ) -> Step<V> {
        match reply {
            Reply::Loaded(loaded) => Step::Alone(Answer::endless(
                loaded
                    .and_then(Load::checked)
                    .map(|load| Cached::known(load.value)),
            )),
            other => {
                spend(&mut effects.spent_replies, other);
                if flight.answer.is_none() {
                    flight
                        .waiters
                        .insert(ticket.seat, Waiter::new(ticket.call.clone()));
                }
                Step::Follow
            }
        }
    }

    /// Asks for the answer. The waker is woken when there is news. Without a leader, or with a
    /// silent one, the longest waiter leads; if that one is silent too, whoever asks next.
    pub fn poll(
        &mut self,
        ticket: &Ticket,
        context: &Context<'_>,
        waker: Waker,
        effects: &mut Effects<K, V>,
    ) -> Turn<V> {
        let flight = &mut self.flights[ticket.flight];
        let superseded = self.slots.look(flight.slot).era != flight.era;
        if let Some(answer) = &flight.answer {
            effects.spent_wakers.push(waker);
            // A stale value is not for those who ask behind a change.
            if answer.over.is_some() && superseded {
                return Turn::Ended;
            }
            // Nor is what was raised meanwhile for those who came after any raise (T6).
            let dead = answer.outlived && ticket.heard > answer.stamp;
            if dead || !answer.is_good(&ticket.call, ticket.came, context.now) {
                return Turn::Ended;
            }
            return Turn::Answer(Arc::clone(answer));
        }
        if flight.leader == Some(ticket.seat) {
            effects.spent_wakers.push(waker);
            return Turn::Lead;
        }
        let soft = (context.policy.soft_timeout(&ticket.call)).map(|span| ticket.came + span);
        if soft.is_some_and(|soft| context.now >= soft) {
            let generations = context.generations;
            let stale = (flight.lookup).stale(&ticket.call, superseded, generations, context.now);
            if let Some(answer) = stale {
                effects.spent_wakers.push(waker);
                // It waits no more, and is not to lead.
                let was_longest = flight.is_longest_waiter(ticket.seat);
                let waiter = flight.waiters.remove(&ticket.seat);
                effects
                    .spent_wakers
                    .extend(waiter.and_then(|waiter| waiter.waker));
                if was_longest {
                    flight.rouse_first(&mut effects.wakes);
                }
                return Turn::Answer(Arc::new(answer));
            }
        }
        let waiter = flight
            .waiters
            .entry(ticket.seat)
            .or_insert_with(|| Waiter::new(ticket.call.clone()));
        effects.spent_wakers.extend(waiter.waker.replace(waker));
        let patience = if flight.is_longest_waiter(ticket.seat) {
            flight.deadline
        } else {
            // The longest waiter may be as silent as the leader: a task that stops polling stops
            // polling all that it holds.
            flight.deadline + context.policy.remote_timeout
        };
        if flight.leader.is_some() && context.now < patience {
            let soft = soft.filter(|soft| context.now < *soft);
            return Turn::Wait(Some(soft.map_or(patience, |soft| soft.min(patience))));
        }
        if flight.leader.is_some() {
            effects.events.push(Event::Deposed);
        }
        self.hand_over(ticket.flight, Some(ticket.seat), context, effects);
        Turn::Lead
    }

    /// Leaves a flight whose answer [ended](Turn::Ended), and joins the one that is under way by now,
    /// or opens one. Its holder still counts as having come when it did.
    pub fn rejoin(
        &mut self,
        ticket: Ticket,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> (Ticket, Role) {
        let slot = self.flights[ticket.flight].slot;
        let (joined, role) = match self.slots.look(slot).flight {
            Some(at) => (
                self.board(at, ticket.call.clone(), context, effects),
                Role::Follow,
            ),
            None => {
                effects.spent_keys.push(self.slots.use_again(slot));
                (
                    self.open_flight(slot, ticket.call.clone(), context),
                    Role::Lead,
                )
            }
        };
        let joined = Ticket {
            came: ticket.came,
            ..joined
        };
        // A flight with an answer has given its lease back.
        let _none = self.leave(ticket, context, effects);
        (joined, role)
    }

    /// Gives a seat back, answered or not. A leader without an answer hands over to the longest
    /// waiter; the last one to leave ends the flight. Returns a lease to be released.
    pub fn leave(
        &mut self,
        ticket: Ticket,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> Option<Release> {
        let flight = &mut self.flights[ticket.flight];
        flight.writes.retain(|(seat, write)| {
            if *seat == ticket.seat {
                self.writes.seal(write);
            }
            *seat != ticket.seat
        });
        flight.seats -= 1;
        let was_longest = flight.is_longest_waiter(ticket.seat);
        if let Some(waiter) = flight.waiters.remove(&ticket.seat) {
            effects.spent_wakers.extend(waiter.waker);
        }
        if was_longest {
            flight.rouse_first(&mut effects.wakes);
        }
        if flight.leader == Some(ticket.seat) {
            flight.leader = None;
            if flight.answer.is_none() {
                self.hand_over(ticket.flight, None, context, effects);
            }
        }
        if self.flights[ticket.flight].seats > 0 {
            return None;
        }
        self.land(ticket.flight, effects)
    }

    /// This waiter leads from now on, or the longest one, if there is one.
    fn hand_over(
        &mut self,
        at: usize,
        to: Option<u32>,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) {
        let flight = &mut self.flights[at];
        let deadline = context.now + context.policy.remote_timeout;
        if let Some((old, waker)) = flight.promote(to, deadline) {
            spend(&mut effects.spent_lookups, old);
            effects.wakes.extend(waker);
            flight.rouse_first(&mut effects.wakes);
        }
    }

    fn land(&mut self, at: usize, effects: &mut Effects<K, V>) -> Option<Release> {
        let mut flight = self.flights.remove(at);
        let slot = self.slots.at(flight.slot);
        if slot.flight == Some(at) {
            slot.flight = None;
        }
        let closed = self.slots.close(flight.slot);
        effects.spent_keys.extend(closed);
        let release = flight.lookup.give_back();
        spend(&mut effects.spent_flights, flight);
        release
    }
}
