//! A flight: one lookup, its leader, and those who wait for its answer.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::task::Waker;

use crate::machine::counted::Arc;
use crate::machine::generations::heard::Heard;
use crate::machine::lookup::Lookup;
use crate::machine::lookup::step::Answer;
use crate::machine::policy::Policy;
use crate::machine::policy::call::Call;
use crate::machine::table::unconfirmed::Number;
use crate::machine::table::writes::Write;
use crate::machine::time::Timestamp;

/// A seat in a flight. Its holder gives it back with
/// [`Shard::leave`](crate::machine::shard::Shard::leave), exactly once.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub(in crate::machine) flight: usize,
    pub(in crate::machine) seat: u32,
    pub(in crate::machine) call: Call,
    /// When its holder came, and how much news of raises there had been.
    pub(in crate::machine) came: Timestamp,
    pub(in crate::machine) heard: Heard,
}

/// What a caller is in the flight it joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It carries out the steps.
    Lead,
    /// It waits for the answer.
    Follow,
}

/// What a waiting caller learns.
#[derive(Debug)]
pub enum Turn<V> {
    /// The answer; clone what it holds outside the lock.
    Answer(Arc<Answer<V>>),
    /// The leader is gone or silent: lead, beginning with
    /// [`Reply::Begin`](crate::machine::lookup::step::Reply::Begin).
    Lead,
    /// What the answer says ended before this caller could have it:
    /// [rejoin](crate::machine::shard::Shard::rejoin).
    Ended,
    /// Not yet: the waker will be woken. With a time, ask again then at the latest.
    Wait(Option<Timestamp>),
}

#[derive(Debug)]
pub(in crate::machine) struct Flight<V> {
    pub(in crate::machine) slot: usize,
    pub(in crate::machine) era: u32,
    pub(in crate::machine) lookup: Lookup<V>,
    pub(in crate::machine) leader: Option<u32>,
    /// In the order of their coming: the first is the longest waiter.
    pub(in crate::machine) waiters: BTreeMap<u32, Waiter>,
    /// How many tickets are out.
    pub(in crate::machine) seats: u32,
    next_seat: u32,
    /// Under which primary L2 was asked last, and before which commands.
    pub(in crate::machine) reign: u32,
    pub(in crate::machine) asked: Number,
    /// When the leader counts as silent.
    pub(in crate::machine) deadline: Timestamp,
    pub(in crate::machine) answer: Option<Arc<Answer<V>>>,
    /// The announced L1 writes of its leader and of those that were deposed.
    pub(in crate::machine) writes: Vec<(u32, Write)>,
}

#[derive(Debug)]
pub(in crate::machine) struct Waiter {
    pub(in crate::machine) call: Call,
    pub(in crate::machine) waker: Option<Waker>,
}

impl Waiter {
    pub(in crate::machine) fn new(call: Call) -> Self {
        Self { call, waker: None }
    }
}

impl<V: Clone> Flight<V> {
    pub(in crate::machine) fn new(slot: usize, era: u32, call: Call, deadline: Timestamp) -> Self {
        Self {
            slot,
            era,
            lookup: Lookup::new(call),
            leader: Some(0),
            waiters: BTreeMap::new(),
            seats: 1,
            next_seat: 1,
            reign: 0,
            asked: Number::default(),
            deadline,
            answer: None,
            writes: Vec::new(),
        }
    }

    pub(in crate::machine) fn board(&mut self, call: Call) -> u32 {
        let seat = self.next_seat;
        self.next_seat += 1;
        self.seats += 1;
        self.waiters.insert(seat, Waiter::new(call));
        seat
    }

    pub(in crate::machine) fn is_longest_waiter(&self, seat: u32) -> bool {
        self.waiters
            .first_key_value()
            .is_some_and(|(&first, _)| first == seat)
    }

    /// Wakes the longest waiter, which has to set its timer or to lead.
    pub(in crate::machine) fn rouse_first(&mut self, wakes: &mut Vec<Waker>) {
        if let Some(mut first) = self.waiters.first_entry() {
            wakes.extend(first.get_mut().waker.take());
        }
    }

    /// Wakes those who would rather have a stale value than wait.
    pub(in crate::machine) fn rouse_impatient(&mut self, policy: &Policy, wakes: &mut Vec<Waker>) {
        let waiters = self.waiters.values_mut();
        let impatient = waiters.filter(|waiter| policy.soft_timeout(&waiter.call).is_some());
        wakes.extend(impatient.filter_map(|waiter| waiter.waker.take()));
    }

    /// The flight has its answer: wakes everyone.
    pub(in crate::machine) fn conclude(
        &mut self,
        answer: Answer<V>,
        wakes: &mut Vec<Waker>,
    ) -> Arc<Answer<V>> {
        let answer = Arc::new(answer);
        self.answer = Some(Arc::clone(&answer));
        let waiters = core::mem::take(&mut self.waiters);
        wakes.extend(waiters.into_values().filter_map(|waiter| waiter.waker));
        answer
    }

    /// Makes this waiter the leader, or the longest one. Returns the old leader's lookup, to be
    /// dropped outside the lock, and the new leader's waker.
    pub(in crate::machine) fn promote(
        &mut self,
        to: Option<u32>,
        deadline: Timestamp,
    ) -> Option<(Lookup<V>, Option<Waker>)> {
        let (seat, waiter) = match to {
            Some(seat) => self.waiters.remove_entry(&seat)?,
            None => self.waiters.pop_first()?,
        };
        let restarted = self.lookup.restarted(waiter.call);
        let old = core::mem::replace(&mut self.lookup, restarted);
        self.leader = Some(seat);
        self.deadline = deadline;
        Some((old, waiter.waker))
    }
}
