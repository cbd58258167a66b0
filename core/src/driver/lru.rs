//! The dependency-free L1: core's LRU in shards.

use core::borrow::Borrow;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::num::NonZeroUsize;
use std::hash::RandomState;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::driver::sharding::{hash_of, shard_count, shard_of};
use crate::machine::tier::entry::Entry;
use crate::machine::tier::lru::Lru;
use crate::machine::time::Timestamp;
use crate::ports::engine::Engine;
use crate::ports::local::{Local, Probe};

/// An L1 without dependencies: a least-recently-used map in shards, bounded by entries.
///
/// Every hit takes a shard's lock; `jetcache_adapters::quick_cache` does not, and is what the
/// runtime crates choose by default.
pub struct LruLocal<K, V> {
    shards: Box<[Mutex<Shard<K, V>>]>,
    hasher: RandomState,
}

/// [`LruLocal`] for every cache.
#[derive(Clone, Copy, Debug)]
pub struct LruEngine;

impl Engine for LruEngine {
    fn local<K, V>(capacity: NonZeroUsize) -> Arc<dyn Local<K, V>>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        Arc::new(LruLocal::new(capacity))
    }
}

type Shard<K, V> = Lru<Stored<K>, V, RandomState>;

impl<K: Hash + Eq + Send, V: Clone + Send> LruLocal<K, V> {
    /// An L1 of `capacity` entries, rounded up to a multiple of the number of shards.
    #[must_use]
    pub fn new(capacity: NonZeroUsize) -> Self {
        let shards = shard_count().min(capacity.get().next_power_of_two());
        let each = NonZeroUsize::new(capacity.get().div_ceil(shards)).unwrap_or(NonZeroUsize::MIN);
        let hasher = RandomState::new();
        Self {
            shards: (0..shards)
                .map(|_| Mutex::new(Lru::with_hasher(each, hasher.clone())))
                .collect(),
            hasher,
        }
    }

    fn shard(&self, key: &(impl Hash + ?Sized)) -> MutexGuard<'_, Shard<K, V>> {
        let hash = hash_of(&self.hasher, key);
        lock(&self.shards[shard_of(hash, self.shards.len())])
    }
}

impl<K: Hash + Eq + Send, V: Clone + Send> Local<K, V> for LruLocal<K, V> {
    fn get(&self, key: &dyn Probe<K>) -> Option<Entry<V>> {
        // The driver judges freshness by its own clock.
        self.shard(key)
            .get(&Sought(key) as &dyn Same<K>, Timestamp::default())
            .cloned()
    }

    fn peek(&self, key: &dyn Probe<K>) -> Option<Entry<V>> {
        let shard = self.shard(key);
        shard.peek(&Sought(key) as &dyn Same<K>).cloned()
    }

    fn insert(&self, key: K, entry: Entry<V>) {
        // Dropped once the lock is open: a user's `Drop` may take it again.
        let gone = self.shard(&key).insert(Stored(key), entry);
        drop(gone);
    }

    fn remove(&self, key: &dyn Probe<K>) {
        let gone = self.shard(key).remove(&Sought(key) as &dyn Same<K>);
        drop(gone);
    }

    fn clear(&self) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            let emptied = shard.emptied(self.hasher.clone());
            let full = core::mem::replace(&mut *shard, emptied);
            drop(shard);
            // Outside the lock, as above.
            drop(full);
        }
    }

    fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn weight(&self) -> u64 {
        self.len() as u64
    }

    fn evicted(&self) -> Option<u64> {
        Some(
            self.shards
                .iter()
                .map(|shard| lock(shard).evicted() as u64)
                .sum(),
        )
    }
}

impl<K, V> fmt::Debug for LruLocal<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LruLocal")
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic of a user's `Hash` or `Clone` leaves the map itself whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A key as the map stores it. The `lru` crate finds keys by `Borrow`; that both a stored key and
/// a sought one can be seen as `dyn Same` is what lets it find them by a [`Probe`].
struct Stored<K>(K);

struct Sought<'a, K>(&'a dyn Probe<K>);

trait Same<K> {
    fn stored(&self) -> Option<&K>;
    fn is(&self, key: &K) -> bool;
    fn hash_into(&self, state: &mut dyn Hasher);
}

impl<K: Hash + Eq> Same<K> for Stored<K> {
    fn stored(&self) -> Option<&K> {
        Some(&self.0)
    }

    fn is(&self, key: &K) -> bool {
        self.0 == *key
    }

    fn hash_into(&self, mut state: &mut dyn Hasher) {
        self.0.hash(&mut state);
    }
}

impl<K> Same<K> for Sought<'_, K> {
    fn stored(&self) -> Option<&K> {
        None
    }

    fn is(&self, key: &K) -> bool {
        self.0.is(key)
    }

    fn hash_into(&self, state: &mut dyn Hasher) {
        self.0.hash_into(state);
    }
}

impl<K> PartialEq for dyn Same<K> + '_ {
    fn eq(&self, other: &Self) -> bool {
        match (self.stored(), other.stored()) {
            (Some(key), _) => other.is(key),
            (None, Some(key)) => self.is(key),
            // The map never compares two sought keys.
            (None, None) => false,
        }
    }
}

impl<K> Eq for dyn Same<K> + '_ {}

impl<K> Hash for dyn Same<K> + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash_into(state);
    }
}

impl<K: PartialEq> PartialEq for Stored<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<K: Eq> Eq for Stored<K> {}

impl<K: Hash> Hash for Stored<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<'a, K: Hash + Eq + 'a> Borrow<dyn Same<K> + 'a> for Stored<K> {
    fn borrow(&self) -> &(dyn Same<K> + 'a) {
        self
    }
}
