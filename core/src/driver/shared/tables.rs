//! The machine behind its locks, in shards by the key's hash.

use core::hash::Hash;
use std::hash::RandomState;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use portable_atomic::{AtomicUsize, Ordering};

use crate::driver::sharding::{Hasher, hash_of, shard_of};
use crate::driver::world::bounds::CacheKey;
use crate::machine::effects::Effects;
use crate::machine::shard::{Pending, Shard};

pub(crate) type Table<K, V> = Shard<Arc<K>, Arc<V>, Hasher>;
pub(crate) type Aftermath<K, V> = Effects<Arc<K>, Arc<V>>;

pub(crate) struct Tables<K, V> {
    shards: Box<[Guarded<K, V>]>,
    pub(crate) hasher: Hasher,
    /// How many keys are unconfirmed in all of them, which share the room for those.
    unconfirmed: AtomicUsize,
}

/// One shard of the machine and its lock.
struct Guarded<K, V> {
    table: Mutex<Table<K, V>>,
    /// Rung when an announced L1 write may be sealed.
    sealed: Condvar,
    /// How many threads wait for that. Ringing costs a system call.
    waiters: AtomicUsize,
}

impl<K: CacheKey, V> Tables<K, V> {
    /// So many shards, a power of two.
    pub(crate) fn new(shards: usize) -> Self {
        let hasher = RandomState::new();
        let guarded = |_| Guarded {
            table: Mutex::new(Shard::new(hasher.clone())),
            sealed: Condvar::new(),
            waiters: AtomicUsize::new(0),
        };
        Self {
            shards: (0..shards).map(guarded).collect(),
            hasher,
            unconfirmed: AtomicUsize::new(0),
        }
    }

    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        hash_of(&self.hasher, key)
    }

    /// The shard that a hash belongs to.
    pub(crate) fn shard_of(&self, hash: u64) -> usize {
        shard_of(hash, self.shards.len())
    }

    /// How many keys are unconfirmed in all shards.
    pub(crate) fn unconfirmed(&self) -> usize {
        self.unconfirmed.load(Ordering::SeqCst)
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.len()
    }

    /// One shard, to look at. What changes it is [`ask`](Self::ask)ed.
    pub(crate) fn look(&self, shard: usize) -> MutexGuard<'_, Table<K, V>> {
        self.shards[shard].lock()
    }

    /// All shards, one after the other, to look at.
    pub(crate) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, Table<K, V>>> {
        self.shards.iter().map(Guarded::lock)
    }

    /// Asks the machine under its lock. Afterwards it wakes those who wait for an L1 write: any
    /// question may have sealed one, and no caller needs to know which do.
    pub(crate) fn ask<R>(&self, shard: usize, question: impl FnOnce(&mut Table<K, V>) -> R) -> R {
        let guarded = &self.shards[shard];
        let mut table = guarded.lock();
        let before = table.unconfirmed();
        let all = self.unconfirmed.load(Ordering::SeqCst);
        table.note_elsewhere(all.saturating_sub(before));
        let answer = question(&mut table);
        // Shards that are asked at the same time may exceed the room by a key each.
        match table.unconfirmed() {
            after if after > before => {
                self.unconfirmed.fetch_add(after - before, Ordering::SeqCst);
            }
            after if after < before => {
                self.unconfirmed.fetch_sub(before - after, Ordering::SeqCst);
            }
            _ => {}
        }
        drop(table);
        // A waiter registers under the lock that guards the seal, so zero means that nobody waits.
        if guarded.waiters.load(Ordering::SeqCst) > 0 {
            guarded.sealed.notify_all();
        }
        answer
    }

    /// Blocks until other threads have done these L1 writes. There is no await in a write, so its
    /// thread is inside the engine right now.
    pub(crate) fn wait_written(&self, shard: usize, pending: &Pending) {
        if pending.is_empty() {
            return;
        }
        let guarded = &self.shards[shard];
        let mut table = guarded.lock();
        guarded.waiters.fetch_add(1, Ordering::SeqCst);
        while !table.is_written(pending) {
            table = guarded
                .sealed
                .wait(table)
                .unwrap_or_else(PoisonError::into_inner);
        }
        guarded.waiters.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<K: CacheKey, V> Guarded<K, V> {
    fn lock(&self) -> MutexGuard<'_, Table<K, V>> {
        // Only a key's `Hash` and `Eq` are user code under the lock, and a question calls them
        // before it changes the table: after a panic of theirs it is whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
