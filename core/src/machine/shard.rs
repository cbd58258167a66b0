//! One shard of a node's tables: the flights, reads and changes under way, and what is in doubt.
//!
//! It is plain data: the driver brings the lock, the clock, the dice and the wakers, and calls
//! [`Effects::carry_out`] once the lock is open again. Keys and values are cloned under the lock,
//! so they should be cheap to clone; the driver uses `Arc`.

mod changes;
mod failover;
mod flights;
pub mod glances;
mod inserts;
mod inspection;
mod leases;
mod raised;
mod refreshes;
pub mod repairs;
mod write_throughs;

use core::hash::{BuildHasher, Hash};

use slab::Slab;

use crate::machine::change::Change;
use crate::machine::effects::Effects;
use crate::machine::event::Event;
use crate::machine::generations::Generations;
use crate::machine::policy::Policy;
use crate::machine::stats::activity::Activity;
use crate::machine::table::eras::Eras;
use crate::machine::table::flight::Flight;
pub use crate::machine::table::flight::{Role, Ticket, Turn};
use crate::machine::table::luck::Luck;
use crate::machine::table::recents::Recents;
use crate::machine::table::refusals::Refusals;
use crate::machine::table::slots::Slots;
use crate::machine::table::unconfirmed::Doubts;
use crate::machine::table::writes::Writes;
pub use crate::machine::table::writes::{Pending, Sweep, Write};
use crate::machine::time::Timestamp;
use crate::machine::token::Roll;

/// The world as it is at one call.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The time.
    pub now: Timestamp,
    /// Fresh random bits.
    pub roll: Roll<'a>,
    /// The cache's settings.
    pub policy: &'a Policy,
    /// What was raised.
    pub generations: &'a Generations,
}

/// One shard of a node's tables. They grow with the callers, changes and unconfirmed keys; the last
/// are bounded by [`Policy::unconfirmed`], for all shards of a cache together.
#[derive(Debug)]
pub struct Shard<K, V, S> {
    pub(super) slots: Slots<K, S>,
    pub(super) flights: Slab<Flight<V>>,
    pub(super) changes: Slab<Change<V>>,
    pub(super) writes: Writes,
    pub(super) doubts: Doubts,
    pub(super) recents: Recents<K>,
    /// Until when what is heard is removed from L2 as well, since another primary has taken over.
    pub(super) healing: Option<Timestamp>,
    /// How many primaries of L2 have taken over.
    pub(super) reign: u32,
    pub(super) eras: Eras,
    pub(super) refusals: Refusals,
    pub(super) luck: Luck,
    /// How many removals from L1 are under way: what a look finds meanwhile may be what they remove.
    pub(super) sweeping: usize,
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
            recents: Recents::default(),
            healing: None,
            reign: 0,
            eras: Eras::default(),
            refusals: Refusals::default(),
            luck: Luck::default(),
            sweeping: 0,
        }
    }

    /// Supersedes whatever is under way on `key`, because another node changed the key or it is
    /// removed from L1: it is nobody's any more.
    pub fn supersede(&mut self, key: &K, effects: &mut Effects<K, V>) -> Sweep {
        let pending = match self.slots.find(key) {
            Some(slot) => self.supersede_slot(slot, effects),
            None => {
                // Nothing to supersede in the tables, but a read without a loader may be under way.
                self.eras.begin(self.slots.hash(key));
                Pending::default()
            }
        };
        self.begin_sweep(pending)
    }

    /// What is left to do outside the lock. Until it is [done](Self::swept), what a look finds may be
    /// what is removed.
    fn begin_sweep(&mut self, pending: Pending) -> Sweep {
        self.sweeping += 1;
        Sweep::after(pending)
    }

    /// [`supersede`](Self::supersede) for every key.
    pub fn supersede_all(&mut self, effects: &mut Effects<K, V>) -> Sweep {
        self.eras.begin_all();
        for slot in self.slots.all() {
            slot.era += 1;
            if slot.flight.take().is_some() {
                effects.events.push(Event::Superseded);
            }
        }
        let pending = self.writes.all();
        self.begin_sweep(pending)
    }

    /// The key was removed from L1. A flight that began after it was superseded and before that
    /// removal may have found the old entry, and must not hand it to callers that join from here
    /// on.
    pub fn swept(&mut self, key: &K, _: Sweep) {
        self.sweeping = self.sweeping.saturating_sub(1);
        if let Some(slot) = self.slots.find(key) {
            self.swept_slot(slot);
        }
    }

    /// [`swept`](Self::swept) for every key.
    pub fn swept_all(&mut self, _: Sweep) {
        self.sweeping = self.sweeping.saturating_sub(1);
        for slot in self.slots.all() {
            if let Some(at) = slot.flight {
                self.flights[at].lookup.on_swept();
            }
        }
    }

    fn swept_slot(&mut self, slot: usize) {
        if let Some(at) = self.slots.look(slot).flight {
            self.flights[at].lookup.on_swept();
        }
    }

    fn supersede_slot(&mut self, at: usize, effects: &mut Effects<K, V>) -> Pending {
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

    /// Of how many buckets this shard does without L2 at `now`, because a change that was not acknowledged
    /// did not fit, and there is no log of raises.
    #[must_use]
    pub fn bypassed(&self, now: Timestamp) -> usize {
        self.doubts.count_bypassed(now)
    }

    /// So many keys are unconfirmed in the cache's other shards: all of them share the room of
    /// [`Policy::unconfirmed`]. Said before a question that may put a key in doubt.
    pub fn note_elsewhere(&mut self, unconfirmed: usize) {
        self.doubts.note_elsewhere(unconfirmed);
    }

    /// About how many keys L2 is not believed.
    #[must_use]
    pub fn unconfirmed(&self) -> usize {
        self.doubts.len()
    }

    /// How much is under way; what is not in the shard's tables the driver adds.
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
            pending_scopes: 0,
        }
    }
}

#[cfg(test)]
pub(in crate::machine) mod stage;
