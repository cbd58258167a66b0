//! What a cache of one thread is made of, and what is done with it at once.

pub(super) mod change;
pub(super) mod glance;
mod leases;
pub(super) mod lookup;
mod repair;

use alloc::vec::Vec;
use core::borrow::Borrow;
use core::cell::Cell;
use core::hash::{BuildHasher, Hash};

use hashbrown::DefaultHashBuilder;

use crate::machine::effects::Effects;
use crate::machine::error::Error;
use crate::machine::event::Event;
use crate::machine::generations::Generations;
use crate::machine::policy::Policy;
use crate::machine::policy::call::Call;
use crate::machine::shard::{Context, Shard};
use crate::machine::stats::{Counter, Stats};
use crate::machine::tier::entry::Entry;
use crate::machine::tier::lru::Lru;
use crate::machine::time::Timestamp;
use crate::machine::token::Roll;
use crate::unsync::clock::Moment;
use crate::unsync::state::leases::Leases;

/// The machine, L1 and L2. Whoever asks it is given a [`Rest`] to carry out once nobody is inside.
pub(super) struct State<K, V, L> {
    policy: Policy,
    generations: Generations,
    table: Table<K, V>,
    hasher: DefaultHashBuilder,
    level1: Lru<K, V>,
    level2: L,
    leases: Leases<K>,
}

type Table<K, V> = Shard<K, V, DefaultHashBuilder>;

/// What is left to do: wakers to wake, events to count, values to drop.
pub(super) struct Rest<K, V> {
    effects: Effects<K, V>,
    events: Vec<Event>,
    gone: Vec<(K, Entry<V>)>,
    cleared: Option<Lru<K, V>>,
}

impl<K, V> Rest<K, V> {
    pub(super) fn carry_out(self, counts: &Counts) {
        self.effects.carry_out(|event| counts.count(&event));
        self.events.iter().for_each(|event| counts.count(event));
        drop((self.gone, self.cleared));
    }

    pub(super) fn note(&mut self, event: Event) {
        self.events.push(event);
    }
}

impl<K, V> Default for Rest<K, V> {
    fn default() -> Self {
        Self {
            effects: Effects::default(),
            events: Vec::new(),
            gone: Vec::new(),
            cleared: None,
        }
    }
}

/// What has happened so far.
#[derive(Debug)]
pub(super) struct Counts([Cell<u64>; Counter::COUNT]);

impl Counts {
    pub(super) const fn new() -> Self {
        Self([const { Cell::new(0) }; Counter::COUNT])
    }

    pub(super) fn count(&self, event: &Event) {
        let count = &self.0[Counter::of(event) as usize];
        count.set(count.get() + 1);
    }

    pub(super) fn read(&self, evicted: usize) -> Stats {
        let mut stats = Stats::from_counters(&self.0.each_ref().map(Cell::get));
        stats.evicted = Some(evicted as u64);
        stats
    }
}

impl<K: Hash + Eq + Clone, V: Clone, L> State<K, V, L> {
    pub(super) fn new(policy: Policy, level1: Lru<K, V>, level2: L) -> Self {
        let hasher = DefaultHashBuilder::default();
        Self {
            policy,
            generations: Generations::new(),
            table: Shard::new(hasher.clone()),
            hasher,
            level1,
            level2,
            leases: Leases::default(),
        }
    }

    pub(super) const fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(super) const fn level1(&self) -> &Lru<K, V> {
        &self.level1
    }

    pub(super) const fn table(&self) -> &Table<K, V> {
        &self.table
    }

    /// Asks the machine.
    fn ask<R>(
        &mut self,
        moment: Moment,
        rest: &mut Rest<K, V>,
        question: impl FnOnce(&mut Table<K, V>, &Context<'_>, &mut Effects<K, V>) -> R,
    ) -> R {
        let context = Context {
            now: moment.now,
            roll: Roll::Bits(moment.roll),
            policy: &self.policy,
            generations: &self.generations,
        };
        question(&mut self.table, &context, &mut rest.effects)
    }

    /// Checks the wishes of a call that loads.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub(super) fn check(call: &Call) -> Result<(), Error> {
        if call.refresh {
            return Err(Error::config(
                "refresh in a cache of one thread: nothing refreshes keys there, leave it out",
            ));
        }
        call.check()
    }

    /// A hit: what L1 has of the key and may be served to this call.
    pub(super) fn hit<Q>(
        &mut self,
        key: &Q,
        call: &Call,
        now: Timestamp,
        rest: &mut Rest<K, V>,
    ) -> Option<Entry<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if call.skip_local {
            return None;
        }
        let found = self.local(key, now, rest)?;
        if !found.answers(call, now) {
            return None;
        }
        rest.note(Event::LocalHit);
        if found.is_stale() {
            rest.note(Event::Stale);
        }
        Some(found)
    }

    /// What L1 has of the key, if it may be served at least stale.
    fn local<Q>(&mut self, key: &Q, now: Timestamp, rest: &mut Rest<K, V>) -> Option<Entry<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        // The machine judges what is fresh: an entry that has ended may have a stale window.
        let entry = self.level1.get(key, Timestamp::default())?;
        if now < entry.expires() || now < entry.stale_end() {
            return Some(entry.clone());
        }
        rest.gone.extend(self.level1.remove(key));
        None
    }

    fn keep(&mut self, key: &K, entry: Entry<V>, rest: &mut Rest<K, V>) {
        rest.gone.extend(self.level1.insert(key.clone(), entry));
    }

    fn forget(&mut self, key: &K, rest: &mut Rest<K, V>) {
        rest.gone.extend(self.level1.remove(key));
    }

    /// Removes everything from L1. What is under way keeps nothing there.
    pub(super) fn clear_local(&mut self, rest: &mut Rest<K, V>) {
        let sweep = self.table.supersede_all(&mut rest.effects);
        let emptied = self.level1.emptied(self.hasher.clone());
        let full = core::mem::replace(&mut self.level1, emptied);
        self.table.swept_all(sweep);
        rest.cleared = Some(full);
    }

    fn hash(&self, key: &K) -> u64 {
        self.hasher.hash_one(key)
    }
}
