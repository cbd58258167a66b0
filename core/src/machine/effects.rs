//! What a step leaves to be done once the lock is open.

use alloc::vec::Vec;
use core::fmt;
use core::task::Waker;

use crate::machine::change::Change;
use crate::machine::event::Event;
use crate::machine::lookup::Lookup;
use crate::machine::lookup::step::Reply;
use crate::machine::table::flight::Flight;

/// What a step leaves behind: wakers to wake, events to note, values to drop. User code (wakers,
/// observers, `Drop`) never runs under the lock: the driver opens it first and then calls
/// [`carry_out`](Self::carry_out).
#[must_use = "wakers are woken and events noted by carry_out"]
pub struct Effects<K, V> {
    pub(super) wakes: Vec<Waker>,
    pub(super) events: Vec<Event>,
    /// The buckets of keys that did not fit among the unconfirmed ones.
    pub(super) overflows: Vec<u16>,
    // Never read: they carry values out of the lock, since dropping those runs user code.
    pub(super) spent_wakers: Vec<Waker>,
    pub(super) spent_keys: Vec<K>,
    pub(super) spent_flights: Vec<Flight<V>>,
    pub(super) spent_values: Vec<V>,
    pub(super) spent_replies: Vec<Reply<V>>,
    pub(super) spent_lookups: Vec<Lookup<V>>,
    pub(super) spent_changes: Vec<Change<V>>,
}

impl<K, V> Effects<K, V> {
    /// The buckets that are pending from now on (PROTOCOL.md, T11): say so to the
    /// [generations](crate::machine::generations::Generations::overflowed) before anything else is done.
    pub fn take_overflows(&mut self) -> Vec<u16> {
        core::mem::take(&mut self.overflows)
    }

    /// Wakes, notes and drops. Call it only once the lock is open.
    pub fn carry_out(self, mut note: impl FnMut(Event)) {
        self.wakes.into_iter().for_each(Waker::wake);
        self.events.into_iter().for_each(&mut note);
    }
}

/// Adds what is spent. Most steps leave one, and a plain `push` would make room for four, which of the bigger
/// things is several kilobytes.
pub(super) fn spend<T>(spent: &mut Vec<T>, thing: T) {
    if spent.is_empty() {
        spent.reserve_exact(1);
    }
    spent.push(thing);
}

impl<K, V> Default for Effects<K, V> {
    fn default() -> Self {
        Self {
            wakes: Vec::new(),
            events: Vec::new(),
            overflows: Vec::new(),
            spent_wakers: Vec::new(),
            spent_keys: Vec::new(),
            spent_flights: Vec::new(),
            spent_values: Vec::new(),
            spent_replies: Vec::new(),
            spent_lookups: Vec::new(),
            spent_changes: Vec::new(),
        }
    }
}

impl<K, V> fmt::Debug for Effects<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effects")
            .field("wakes", &self.wakes.len())
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}
