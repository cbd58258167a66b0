//! A flight: one lookup, its leader, and those who wait for its answer.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::Waker;

use super::lookup::{Answer, Lookup};
use super::policy::Call;
use super::time::Timestamp;
use super::writes::Write;

/// A seat in a flight. Whoever has one gives it back with
/// [`Shard::leave`](super::shard::Shard::leave), exactly once.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub(super) flight: usize,
    pub(super) seat: u32,
    pub(super) call: Call,
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
    /// [`Reply::Begin`](super::lookup::Reply::Begin).
    Lead,
    /// Not yet: the waker will be woken. With a time, ask again then at the latest.
    Wait(Option<Timestamp>),
}

#[derive(Debug)]
pub(super) struct Flight<V> {
    pub(super) slot: usize,
    pub(super) era: u32,
    pub(super) lookup: Lookup<V>,
    pub(super) leader: Option<u32>,
    /// In the order of their coming: the first is the longest waiter.
    pub(super) waiters: BTreeMap<u32, Waiter>,
    /// How many tickets are out.
    pub(super) seats: u32,
    next_seat: u32,
    /// When the leader counts as silent.
    pub(super) deadline: Timestamp,
    pub(super) answer: Option<Arc<Answer<V>>>,
    /// The L1 writes that its leader, or one that was deposed, is in the middle of.
    pub(super) writes: Vec<(u32, Write)>,
}

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) call: Call,
    pub(super) waker: Option<Waker>,
}

impl Waiter {
    pub(super) fn new(call: Call) -> Self {
        Self { call, waker: None }
    }
}

impl<V: Clone> Flight<V> {
    pub(super) fn new(slot: usize, era: u32, call: Call, deadline: Timestamp) -> Self {
        Self {
            slot,
            era,
            lookup: Lookup::new(call),
            leader: Some(0),
            waiters: BTreeMap::new(),
            seats: 1,
            next_seat: 1,
            deadline,
            answer: None,
            writes: Vec::new(),
        }
    }

    pub(super) fn board(&mut self, call: Call) -> u32 {
        let seat = self.next_seat;
        self.next_seat += 1;
        self.seats += 1;
        self.waiters.insert(seat, Waiter::new(call));
        seat
    }

    pub(super) fn is_longest_waiter(&self, seat: u32) -> bool {
        self.waiters
            .first_key_value()
            .is_some_and(|(&first, _)| first == seat)
    }

    /// The waker of the longest waiter, who has to set its timer or to lead.
    pub(super) fn rouse_first(&mut self, wakes: &mut Vec<Waker>) {
        if let Some(mut first) = self.waiters.first_entry() {
            wakes.extend(first.get_mut().waker.take());
        }
    }

    /// The flight has its answer: wakes everyone.
    pub(super) fn conclude(&mut self, answer: Answer<V>, wakes: &mut Vec<Waker>) {
        self.answer = Some(Arc::new(answer));
        let waiters = core::mem::take(&mut self.waiters);
        wakes.extend(waiters.into_values().filter_map(|waiter| waiter.waker));
    }

    /// Makes this waiter the leader, or the longest one. What the old leader's lookup held is
    /// returned, to be dropped outside the lock.
    pub(super) fn promote(
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
