//! The keys of a cache that are kept fresh: the machine's table of turns behind locks, in shards.

use core::hash::Hash;
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use event_listener::Event as Bell;
use portable_atomic::{AtomicUsize, Ordering};

use crate::driver::sharding::shard_of;
use crate::driver::task::chore::Chore;
use crate::driver::world::erased::AnyRuntime;
use crate::machine::policy::Policy;
use crate::machine::policy::call::Call;
use crate::machine::policy::pace::{Pace, RefreshOutcome};
use crate::machine::schedule::{Refresh, Refreshes};
use crate::machine::time::Timestamp;

pub(crate) struct FreshKeys<K> {
    pub(crate) pace: Pace,
    /// Whether every key that is loaded is kept fresh.
    all: bool,
    tables: Box<[Mutex<Refreshes<Arc<K>>>]>,
    /// How many keys there are in all tables.
    len: AtomicUsize,
    /// The table at which the next turn begins, so that no table's keys starve behind another's.
    first: AtomicUsize,
    /// The task that waits for the next turn.
    pub(crate) chore: Chore,
    /// Rung when there may be something to do sooner than that task expects.
    pub(crate) sooner: Bell,
}

/// A refresh to be done now, and the table that its outcome goes to.
pub(crate) type DueRefresh<K> = (usize, Refresh<Arc<K>>);

impl<K: Hash + Eq> FreshKeys<K> {
    pub(crate) fn new(pace: Pace, all: bool, shards: usize) -> Self {
        Self {
            pace,
            all,
            tables: (0..shards).map(|_| Mutex::default()).collect(),
            len: 0.into(),
            first: 0.into(),
            chore: Chore::new(Duration::ZERO),
            sooner: Bell::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::SeqCst)
    }

    pub(crate) fn wants(&self, call: &Call) -> bool {
        call.refresh || (self.all && !call.no_store)
    }

    /// Notes that somebody asks for a key. Returns whether it is kept fresh already.
    pub(crate) fn touch(
        &self,
        hash: u64,
        is_key: impl Fn(&Arc<K>) -> bool,
        call: &Call,
        now: Timestamp,
    ) -> bool {
        self.table_of(hash).touch(hash, is_key, call, now)
    }

    /// Whether a key is kept fresh.
    pub(crate) fn contains(&self, hash: u64, is_key: impl Fn(&Arc<K>) -> bool) -> bool {
        self.table_of(hash).contains(hash, is_key)
    }

    /// Keeps a key fresh from now on. False if there is no room for one more.
    pub(crate) fn add(
        &self,
        hash: u64,
        key: impl FnOnce() -> K,
        call: Call,
        runtime: &dyn AnyRuntime,
    ) -> bool {
        // Counted first, so that several threads cannot exceed the bound together.
        if self.len.fetch_add(1, Ordering::SeqCst) >= self.pace.capacity {
            self.give_room(1);
            return false;
        }
        let (now, roll, key) = (runtime.now(), runtime.roll(), Arc::new(key()));
        let known = (self.table_of(hash)).insert(hash, key, call, now, roll, &self.pace);
        if known.is_some() {
            self.give_room(1);
        }
        self.sooner.notify(usize::MAX);
        true
    }

    pub(crate) fn remove(&self, hash: u64, is_key: impl Fn(&Arc<K>) -> bool) {
        let removed = self.table_of(hash).remove(hash, is_key);
        self.give_room(usize::from(removed.is_some()));
    }

    /// Keeps no key fresh any more.
    pub(crate) fn clear(&self) {
        for table in 0..self.tables.len() {
            let emptied = core::mem::take(&mut *self.table(table));
            self.give_room(emptied.len());
        }
    }

    /// The refreshes whose turn has come, as many as there is room for.
    pub(crate) fn due(&self, now: Timestamp, policy: &Policy) -> Vec<DueRefresh<K>> {
        let count = self.tables.len();
        let first = self.first.fetch_add(1, Ordering::SeqCst);
        let (mut room, mut all) = (self.room(), Vec::new());
        for table in (0..count).map(|table| first.wrapping_add(table) % count) {
            let (refreshes, forgotten) = self.table(table).due(now, room, policy, &self.pace);
            self.give_room(forgotten.len());
            room -= refreshes.len();
            all.extend(refreshes.into_iter().map(|refresh| (table, refresh)));
        }
        all
    }

    /// What became of a refresh.
    pub(crate) fn done(
        &self,
        (table, refresh): DueRefresh<K>,
        outcome: RefreshOutcome,
        runtime: &dyn AnyRuntime,
    ) {
        let (now, roll) = (runtime.now(), runtime.roll());
        let key = (self.table(table)).done(refresh, outcome, now, roll, &self.pace);
        drop(key);
        self.sooner.notify(usize::MAX);
    }

    /// When to look again; `None` if there is nothing to wait for.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        let room = self.room() > 0;
        (0..self.tables.len())
            .filter_map(|table| self.table(table).next(room))
            .min()
    }

    /// How many more refreshes may begin.
    fn room(&self) -> usize {
        let tables = 0..self.tables.len();
        let running: usize = tables.map(|table| self.table(table).running()).sum();
        self.pace.at_once.saturating_sub(running)
    }

    fn give_room(&self, keys: usize) {
        self.len.fetch_sub(keys, Ordering::SeqCst);
    }

    fn table_of(&self, hash: u64) -> MutexGuard<'_, Refreshes<Arc<K>>> {
        self.table(shard_of(hash, self.tables.len()))
    }

    fn table(&self, at: usize) -> MutexGuard<'_, Refreshes<Arc<K>>> {
        // Only a key's `Hash` or `Eq` could panic here, and both run before the table changes.
        self.tables[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
