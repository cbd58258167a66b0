//! One shard of a node's tables: the flights, reads and changes under way, and what is in doubt.
//!
//! It is plain data: the driver brings the lock, the clock, the dice and the wakers, and calls
//! [`Effects::carry_out`] once the lock is open again. Keys and values are cloned under the lock,
//! so they should be cheap to clone; the driver uses `Arc`.

mod changes;
pub mod glances;
mod refreshes;
pub mod repairs;

use alloc::sync::Arc;
use core::hash::{BuildHasher, Hash};
use core::ops::Add;
use core::task::Waker;

use slab::Slab;

use crate::machine::change::Change;
use crate::machine::effects::Effects;
use crate::machine::error::Error;
use crate::machine::event::Event;
use crate::machine::lookup::{Move, Out, Reply, Step, View, cached};
use crate::machine::policy::{Call, Policy};
use crate::machine::table::eras::Eras;
use crate::machine::table::flight::{Flight, Waiter};
pub use crate::machine::table::flight::{Role, Ticket, Turn};
use crate::machine::table::slots::Slots;
use crate::machine::table::unconfirmed::Doubts;
use crate::machine::table::writes::Writes;
pub use crate::machine::table::writes::{Pending, Write};
use crate::machine::time::Timestamp;
use crate::machine::token::Token;

/// The world as it is at one call.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The time.
    pub now: Timestamp,
    /// 128 fresh random bits.
    pub roll: u128,
    /// The cache's settings.
    pub policy: &'a Policy,
}

/// How much is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Activity {
    /// Flights.
    pub flights: usize,
    /// Callers that wait for a flight's answer.
    pub waiters: usize,
    /// Changes.
    pub changes: usize,
    /// Announced L1 writes.
    pub writes: usize,
    /// Keys about which L2 is not believed.
    pub unconfirmed: usize,
    /// Keys that are kept fresh.
    pub refreshes: usize,
    /// Words for the other nodes that wait for the bus, from all caches of the node.
    pub untold: usize,
    /// Keys in the table.
    pub keys: usize,
    /// Shards that do without L2, because a change that was not acknowledged did not fit.
    pub bypassed: usize,
}

impl Add for Activity {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            flights: self.flights + more.flights,
            waiters: self.waiters + more.waiters,
            changes: self.changes + more.changes,
            writes: self.writes + more.writes,
            unconfirmed: self.unconfirmed + more.unconfirmed,
            refreshes: self.refreshes + more.refreshes,
            untold: self.untold + more.untold,
            keys: self.keys + more.keys,
            bypassed: self.bypassed + more.bypassed,
        }
    }
}

/// One shard of a node's tables. Every table in it is as large as the number of callers, changes
/// and unconfirmed keys, of which the last is bounded by
/// [`Policy::unconfirmed`].
#[derive(Debug)]
pub struct Shard<K, V, S> {
    pub(super) slots: Slots<K, S>,
    pub(super) flights: Slab<Flight<V>>,
    pub(super) changes: Slab<Change<V>>,
    pub(super) writes: Writes,
    pub(super) doubts: Doubts,
    pub(super) eras: Eras,
}

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> Shard<K, V, S> {
    /// An empty shard. Keys may be hostile: give a hasher with a random seed.
    pub fn new(hasher: S) -> Self {
        Self {
            slots: Slots::new(hasher),
            flights: Slab::new(),
            changes: Slab::new(),
            writes: Writes::default(),
            doubts: Doubts::default(),
            eras: Eras::default(),
        }
    }

    /// Joins the flight of `key`, or opens one.
    pub fn join(
        &mut self,
        key: K,
        call: Call,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> (Ticket, Role) {
        if let Some(at) = self
            .slots
            .find(&key)
            .and_then(|slot| self.slots.look(slot).flight)
        {
            effects.spent_keys.push(key);
            effects.events.push(Event::Coalesced);
            let seat = self.flights[at].board(call);
            return (
                Ticket {
                    flight: at,
                    seat,
                    call,
                },
                Role::Follow,
            );
        }
        let (at, spare) = self.slots.open(key);
        effects.spent_keys.extend(spare);
        let slot = self.slots.at(at);
        let deadline = context.now + context.policy.remote_timeout;
        let flight = self
            .flights
            .insert(Flight::new(at, slot.era, call, deadline));
        slot.flight = Some(flight);
        let ticket = Ticket {
            flight,
            seat: 0,
            call,
        };
        (ticket, Role::Lead)
    }

    /// Tells the flight what happened; the answer is what to do next.
    pub fn step(
        &mut self,
        ticket: &Ticket,
        context: &Context<'_>,
        reply: Reply<V>,
        effects: &mut Effects<K, V>,
    ) -> Step<V> {
        let flight = &mut self.flights[ticket.flight];
        if let Reply::Kept(write) = &reply {
            self.writes.seal(write);
            flight.writes.retain(|(_, announced)| announced != write);
        }
        if flight.leader != Some(ticket.seat) {
            return Self::deposed(flight, ticket, reply, effects);
        }
        let slot = self.slots.at(flight.slot);
        let view = View {
            now: context.now,
            dice: context.roll,
            policy: context.policy,
            superseded: slot.era != flight.era,
            l2: !slot.doubt.is_unconfirmed() && !self.doubts.bypassed(context.now),
        };
        let mut out = Out {
            events: &mut effects.events,
            spent: &mut effects.spent_values,
        };
        let step = match flight.lookup.step(&view, reply, &mut out) {
            Move::Do(step) => step,
            Move::Keep(entry) => {
                let write = self.writes.announce(flight.slot);
                flight.writes.push((ticket.seat, write.again()));
                Step::WriteLocal { write, entry }
            }
            Move::Finish(answer, release) => {
                flight.conclude(answer, &mut effects.wakes);
                if slot.flight == Some(ticket.flight) {
                    slot.flight = None;
                }
                Step::Finish { release }
            }
            Move::GiveUp => Step::GiveUp,
        };
        if let Step::Fill { life, lease, .. } = &step {
            self.doubts.note_life(life.saturating_add(*lease));
        }
        flight.deadline = context.now + step.limit(context.policy) + context.policy.remote_timeout;
        step
    }

    /// The leader cannot go on, because something of the user's panicked: everyone who waits gets
    /// this error, and nobody leads in its place. What is returned is a lease to be released.
    ///
    /// # Errors
    /// The error itself, if the leader was deposed: it is its alone.
    pub fn fail(
        &mut self,
        ticket: &Ticket,
        error: Error,
        effects: &mut Effects<K, V>,
    ) -> Result<Option<Token>, Error> {
        let flight = &mut self.flights[ticket.flight];
        if flight.answer.is_some() {
            return Ok(None);
        }
        if flight.leader != Some(ticket.seat) {
            return Err(error);
        }
        flight.conclude(Err(error), &mut effects.wakes);
        let slot = self.slots.at(flight.slot);
        if slot.flight == Some(ticket.flight) {
            slot.flight = None;
        }
        Ok(flight.lookup.give_back())
    }

    /// One more seat in the same flight, for a caller whose first seat goes to a task that leads.
    pub fn second_seat(&mut self, ticket: &Ticket) -> Ticket {
        Ticket {
            flight: ticket.flight,
            seat: self.flights[ticket.flight].board(ticket.call),
            call: ticket.call,
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
            Reply::Loaded(loaded) => Step::Alone(loaded.map(|load| cached(load.value))),
            other => {
                effects.spent_replies.push(other);
                if flight.answer.is_none() {
                    flight.waiters.insert(ticket.seat, Waiter::new(ticket.call));
                }
                Step::Follow
            }
        }
    }

    /// Asks for the answer. The caller is woken when there is news; without a leader, or with a
    /// silent one, the longest waiter is told to lead, and if that one is silent too, whoever asks
    /// next.
    pub fn poll(
        &mut self,
        ticket: &Ticket,
        context: &Context<'_>,
        waker: Waker,
        effects: &mut Effects<K, V>,
    ) -> Turn<V> {
        let flight = &mut self.flights[ticket.flight];
        if let Some(answer) = &flight.answer {
            effects.spent_wakers.push(waker);
            return Turn::Answer(Arc::clone(answer));
        }
        if flight.leader == Some(ticket.seat) {
            effects.spent_wakers.push(waker);
            return Turn::Lead;
        }
        let waiter = flight
            .waiters
            .entry(ticket.seat)
            .or_insert_with(|| Waiter::new(ticket.call));
        effects.spent_wakers.extend(waiter.waker.replace(waker));
        let patience = if flight.is_longest_waiter(ticket.seat) {
            flight.deadline
        } else {
            // The longest waiter may be as silent as the leader: a task that stops polling stops
            // polling all that it holds.
            flight.deadline + context.policy.remote_timeout
        };
        if flight.leader.is_some() && context.now < patience {
            return Turn::Wait(Some(patience));
        }
        if flight.leader.is_some() {
            effects.events.push(Event::Deposed);
        }
        self.hand_over(ticket.flight, Some(ticket.seat), context, effects);
        Turn::Lead
    }

    /// Gives a seat back, answered or not. A leader without an answer hands over to the longest
    /// waiter; the last one to leave ends the flight. What is returned is a lease to be released.
    pub fn leave(
        &mut self,
        ticket: Ticket,
        context: &Context<'_>,
        effects: &mut Effects<K, V>,
    ) -> Option<Token> {
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
            effects.spent_lookups.push(old);
            effects.wakes.extend(waker);
            flight.rouse_first(&mut effects.wakes);
        }
    }

    fn land(&mut self, at: usize, effects: &mut Effects<K, V>) -> Option<Token> {
        let mut flight = self.flights.remove(at);
        let slot = self.slots.at(flight.slot);
        if slot.flight == Some(at) {
            slot.flight = None;
        }
        let closed = self.slots.close(flight.slot);
        effects.spent_keys.extend(closed);
        let release = flight.lookup.give_back();
        effects.spent_flights.push(flight);
        release
    }

    /// A lease was answered after its asker had given it up or gone. Whether it is to be released:
    /// a flight that is still under way keeps it.
    #[must_use]
    pub fn late_lease(&mut self, token: Token, context: &Context<'_>) -> bool {
        let mut flights = self.flights.iter_mut().map(|(_, flight)| flight);
        !flights.any(|flight| {
            flight.answer.is_none() && flight.lookup.on_late_lease(token, context.now)
        })
    }

    /// Makes whatever is under way on `key` nobody's any more, as an event from another node, or
    /// the removal of a key from L1, does. Wait for what is pending, then remove the key from L1,
    /// then say so with [`swept`](Self::swept).
    pub fn supersede(&mut self, key: &K, effects: &mut Effects<K, V>) -> Pending {
        match self.slots.find(key) {
            Some(slot) => self.supersede_slot(slot, effects),
            None => {
                self.eras.begin(self.slots.hash(key));
                Pending::default()
            }
        }
    }

    /// The key was removed from L1, as [`supersede`](Self::supersede) and
    /// [`abandon`](Self::abandon) ask. A flight that began after them and before the removal may
    /// have found what is removed now, and must not hand it to callers that join from here on.
    pub fn swept(&mut self, key: &K) {
        if let Some(slot) = self.slots.find(key) {
            self.swept_slot(slot);
        }
    }

    /// [`swept`](Self::swept) for every key.
    pub fn swept_all(&mut self) {
        for slot in self.slots.all() {
            if let Some(at) = slot.flight {
                self.flights[at].lookup.on_swept();
            }
        }
    }

    pub(super) fn swept_slot(&mut self, slot: usize) {
        if let Some(at) = self.slots.look(slot).flight {
            self.flights[at].lookup.on_swept();
        }
    }

    /// [`supersede`](Self::supersede) for every key.
    pub fn supersede_all(&mut self, effects: &mut Effects<K, V>) -> Pending {
        self.eras.begin_all();
        for slot in self.slots.all() {
            slot.era += 1;
            if slot.flight.take().is_some() {
                effects.events.push(Event::Superseded);
            }
        }
        self.writes.all()
    }

    pub(super) fn supersede_slot(&mut self, at: usize, effects: &mut Effects<K, V>) -> Pending {
        let slot = self.slots.at(at);
        slot.era += 1;
        self.eras.begin(slot.hash);
        if slot.flight.take().is_some() {
            effects.events.push(Event::Superseded);
        }
        self.writes.pending(at)
    }

    /// Whether these writes are done.
    #[must_use]
    pub fn is_written(&self, pending: &Pending) -> bool {
        self.writes.is_written(pending)
    }

    /// Whether L2 is done without at `now`, because a change that was not acknowledged did not fit.
    #[must_use]
    pub fn is_bypassed(&self, now: Timestamp) -> bool {
        self.doubts.bypassed(now)
    }

    /// About how many keys L2 is not believed.
    #[must_use]
    pub fn unconfirmed(&self) -> usize {
        self.doubts.len()
    }

    /// How much is under way; what is not in the tables of the shard is left to the driver.
    #[must_use]
    pub fn activity(&self) -> Activity {
        Activity {
            flights: self.flights.len(),
            waiters: self
                .flights
                .iter()
                .map(|(_, flight)| flight.waiters.len())
                .sum(),
            changes: self.changes.len(),
            writes: self.writes.len(),
            unconfirmed: self.doubts.len(),
            refreshes: 0,
            untold: 0,
            keys: self.slots.len(),
            bypassed: 0,
        }
    }
}
