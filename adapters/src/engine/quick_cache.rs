//! L1 on quick_cache: S3-FIFO-like admission, sharded, small per entry.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

use jetcache_core::{Engine, Entry, Local, Probe};
use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use crate::engine::key::{EngineHasher, EngineKey, Sought};

/// L1 on quick_cache, bounded by entries or by bytes.
///
/// ```
/// # mod jetcache_tokio { pub use jetcache_adapters::*; pub use jetcache_core::*; }
/// use jetcache_tokio::QuickCache;
///
/// let by_entries = QuickCache::<String, u64>::new(10_000);
/// let by_bytes = QuickCache::<String, String>::weighing(64 << 20, |key, value| {
///     (key.len() + value.map_or(0, String::len) + 100) as u64
/// });
/// # let _ = (by_entries, by_bytes);
/// ```
pub struct QuickCache<K, V> {
    cache: Cache<EngineKey<K>, Entry<V>, Scale<K, V>, EngineHasher, Evictions>,
    evicted: Arc<AtomicUsize>,
}

/// Makes a [`QuickCache`] the L1 of every cache that names none.
#[derive(Clone, Copy, Debug)]
pub struct QuickCacheEngine;

impl Engine for QuickCacheEngine {
    fn local<K, V>(capacity: NonZeroUsize) -> Arc<dyn Local<K, V>>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        Arc::new(QuickCache::new(capacity.get()))
    }
}

impl<K: Hash + Eq, V: Clone> QuickCache<K, V> {
    /// An engine for at most `entries` entries.
    #[must_use]
    pub fn new(entries: usize) -> Self {
        let shards = shards(entries / ENTRIES_A_SHARD);
        Self::made_of(entries, entries as u64, shards, Scale(None))
    }

    /// An engine whose entries weigh at most `bytes` together, as `weigh` has it; it is handed the
    /// value, or `None` for a not-found placeholder. A weight below one counts as one.
    ///
    /// The bound is kept shard by shard, and a shard has at least 16 MiB where the whole has: an
    /// entry that is heavier than its shard (the whole, below 32 MiB) is not kept.
    /// `weigh` must say the same each time it is asked about an entry, and must not touch the
    /// cache.
    #[must_use]
    pub fn weighing(
        bytes: u64,
        weigh: impl Fn(&K, Option<&V>) -> u64 + Send + Sync + 'static,
    ) -> Self {
        let shards = shards(usize::try_from(bytes / SHARD).unwrap_or(usize::MAX));
        // Only a hint, which sizes the memory of recently evicted keys.
        let entries = usize::try_from(bytes / 512)
            .unwrap_or(usize::MAX)
            .clamp(1, 1 << 20);
        Self::made_of(entries, bytes, shards, Scale(Some(Arc::new(weigh))))
    }

    fn made_of(entries: usize, weight: u64, shards: usize, scale: Scale<K, V>) -> Self {
        let options = OptionsBuilder::new()
            .estimated_items_capacity(entries)
            .weight_capacity(weight)
            .shards(shards)
            .hot_allocation(1.0 - new_share(entries))
            .ghost_allocation(remembered_share(entries))
            .build()
            .expect("the two numbers that are required were given");
        let evicted = Arc::new(AtomicUsize::new(0));
        let evictions = Evictions {
            count: Arc::clone(&evicted),
        };
        Self {
            cache: Cache::with_options(options, scale, EngineHasher, evictions),
            evicted,
        }
    }
}

impl<K, V> QuickCache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// An L1 on a quick_cache of your own making: with a weighter, a hasher ([`EngineHasher`] costs least)
    /// or a lifecycle of yours. Its keys are [`EngineKey`]s, its values [`Entry`]s, which have no value for
    /// "does not exist".
    ///
    /// It may drop what it likes, whenever it likes; how long an entry is answered is the cache's affair.
    /// Your lifecycle must not use the cache. Evictions are not counted in the statistics: count them in
    /// the lifecycle.
    ///
    /// ```
    /// # mod jetcache_tokio { pub use jetcache_adapters::*; pub use jetcache_core::*; }
    /// use jetcache_tokio::{EngineHasher, QuickCache};
    /// use quick_cache::sync::{Cache, DefaultLifecycle};
    /// use quick_cache::{OptionsBuilder, UnitWeighter};
    ///
    /// let options = OptionsBuilder::new()
    ///     .estimated_items_capacity(10_000)
    ///     .weight_capacity(10_000)
    ///     .ghost_allocation(1.0)
    ///     .build()?;
    /// let lifecycle = DefaultLifecycle::default();
    /// let engine = Cache::with_options(options, UnitWeighter, EngineHasher, lifecycle);
    /// let local = QuickCache::<u64, String>::of(engine);
    /// // `builder.local(local)`
    /// # fn is_local(_: impl jetcache_tokio::Local<u64, String>) {}
    /// # is_local(local);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of<We, B, L>(
        cache: Cache<EngineKey<K>, Entry<V>, We, B, L>,
    ) -> impl Local<K, V> + use<K, V, We, B, L>
    where
        We: Weighter<EngineKey<K>, Entry<V>> + Clone + Send + Sync + 'static,
        B: BuildHasher + Clone + Send + Sync + 'static,
        L: Lifecycle<EngineKey<K>, Entry<V>> + Clone + Send + Sync + 'static,
    {
        Own(cache)
    }
}

impl<K, V> Local<K, V> for QuickCache<K, V>
where
    K: Hash + Eq + Send + Sync,
    V: Clone + Send + Sync,
{
    fn get(&self, key: &dyn Probe<K>) -> Option<Entry<V>> {
        self.cache.get(&Sought(key))
    }

    fn peek(&self, key: &dyn Probe<K>) -> Option<Entry<V>> {
        self.cache.peek(&Sought(key))
    }

    fn insert(&self, key: K, entry: Entry<V>) {
        let key = EngineKey(key);
        let mut leaving = Leaving {
            replacing: Some(EngineHasher.hash_one(&key)),
            ..Leaving::default()
        };
        self.cache.insert_with_lifecycle(key, entry, &mut leaving);
    }

    fn remove(&self, key: &dyn Probe<K>) {
        self.cache.remove(&Sought(key));
    }

    fn clear(&self) {
        self.cache.clear();
    }

    fn len(&self) -> usize {
        self.cache.len()
    }

    fn weight(&self) -> u64 {
        self.cache.weight()
    }

    fn evicted(&self) -> Option<u64> {
        Some(self.evicted.load(Ordering::Relaxed) as u64)
    }
}

impl<K, V> fmt::Debug for QuickCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuickCache")
            .field("evicted", &self.evicted)
            .finish_non_exhaustive()
    }
}

/// A quick_cache that somebody made.
struct Own<K, V, We, B, L>(Cache<EngineKey<K>, Entry<V>, We, B, L>);

impl<K, V, We, B, L> Local<K, V> for Own<K, V, We, B, L>
where
    K: Hash + Eq + Send + Sync,
    V: Clone + Send + Sync,
    We: Weighter<EngineKey<K>, Entry<V>> + Clone + Send + Sync,
    B: BuildHasher + Clone + Send + Sync,
    L: Lifecycle<EngineKey<K>, Entry<V>> + Clone + Send + Sync,
{
    fn get(&self, key: &dyn Probe<K>) -> Option<Entry<V>> {
        self.0.get(&Sought(key))
    }

    fn peek(&self, key: &dyn Probe<K>) -> Option<Entry<V>> {
        self.0.peek(&Sought(key))
    }

    fn insert(&self, key: K, entry: Entry<V>) {
        self.0.insert(EngineKey(key), entry);
    }

    fn remove(&self, key: &dyn Probe<K>) {
        self.0.remove(&Sought(key));
    }

    fn clear(&self) {
        self.0.clear();
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn weight(&self) -> u64 {
        self.0.weight()
    }
}

/// What an entry weighs: one, or what the user says.
struct Scale<K, V>(Option<Arc<Weigh<K, V>>>);

type Weigh<K, V> = dyn Fn(&K, Option<&V>) -> u64 + Send + Sync;

impl<K, V> Clone for Scale<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> Weighter<EngineKey<K>, Entry<V>> for Scale<K, V> {
    fn weight(&self, EngineKey(key): &EngineKey<K>, entry: &Entry<V>) -> u64 {
        // The engine never evicts what weighs nothing.
        self.0
            .as_ref()
            .map_or(1, |weigh| weigh(key, entry.value()).max(1))
    }
}

/// Counts evictions. The engine reports what an insert replaces as evicted too, so the key that
/// is being inserted is told apart by its hash.
#[derive(Clone)]
struct Evictions {
    count: Arc<AtomicUsize>,
}

/// What leaves the engine in one call. It is dropped after the engine's lock is open again: the
/// `Drop` of a key or value may use the cache.
struct Leaving<K, V> {
    replacing: Option<u64>,
    first: [Option<(EngineKey<K>, Entry<V>)>; 2],
    more: Vec<(EngineKey<K>, Entry<V>)>,
}

impl<K, V> Default for Leaving<K, V> {
    fn default() -> Self {
        Self {
            replacing: None,
            first: [None, None],
            more: Vec::new(),
        }
    }
}

impl<K: Hash, V> Lifecycle<EngineKey<K>, Entry<V>> for Evictions {
    type RequestState = Leaving<K, V>;

    fn on_evict(&self, leaving: &mut Leaving<K, V>, key: EngineKey<K>, entry: Entry<V>) {
        if leaving.replacing != Some(EngineHasher.hash_one(&key)) {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        match leaving.first.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some((key, entry)),
            None => leaving.more.push((key, entry)),
        }
    }
}

/// As many shards as serve this machine, if there is enough for so many: small ones know too little of
/// what is asked for.
fn shards(enough_for: usize) -> usize {
    let most = available_parallelism().map_or(1, usize::from) * 4;
    // The engine rounds up to a power of two.
    1 << enough_for.clamp(1, most).ilog2()
}

/// Which part of the engine is for entries that were not asked for again yet. If they are too few,
/// they are gone before that can happen: then keys that are asked for a few times, soon, and never
/// again find nothing.
fn new_share(entries: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a share of a large number")]
    let share = NEW_ENTRIES / entries.max(1) as f64;
    share.clamp(0.05, 0.2)
}

/// How many of them there should be at least.
const NEW_ENTRIES: f64 = 64.0;

/// How many evicted keys are remembered for each entry, so that one that comes back is known to be
/// wanted. With fewer than all of them, keys that are read in turn and would fit in are forgotten before
/// they come back, and never take the place of others that nobody reads any more. But the engine
/// takes as much room for such a key as for an entry without what it points to.
fn remembered_share(entries: usize) -> f64 {
    if entries <= SMALL { 1.0 } else { 0.5 }
}

/// Up to how many entries that room is no matter: a megabyte at most.
const SMALL: usize = 16_384;

/// How many entries a shard should hold at least.
const ENTRIES_A_SHARD: usize = 512;

/// How many bytes a shard should hold at least.
const SHARD: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use jetcache_core::Timestamp;

    use super::*;

    /// How many of the reads of `keys` are hits, if each miss is followed by an insert.
    fn hits(engine: &QuickCache<u32, ()>, keys: impl Iterator<Item = u32>) -> usize {
        let hit = |key: &u32| {
            let hit = engine.get(&key).is_some();
            if !hit {
                engine.insert(*key, Entry::new(Some(()), Timestamp::MAX));
            }
            hit
        };
        keys.filter(hit).count()
    }

    #[test]
    fn keys_that_fit_in_take_the_place_of_those_that_nobody_asks_for_any_more() {
        for entries in [200, 900, 5000] {
            let engine = QuickCache::new(entries);
            let capacity = u32::try_from(entries).unwrap();
            hits(&engine, (0..5 * capacity).map(|i| i % capacity));
            let fitting = capacity * 8 / 10;
            let found = hits(&engine, (0..20 * fitting).map(|i| capacity + i % fitting));
            assert!(found > 15 * entries * 8 / 10, "{found} in {entries}");
        }
    }

    #[test]
    fn keys_that_are_asked_for_thrice_and_never_again_are_found_twice() {
        for entries in [200, 900, 5000] {
            let engine = QuickCache::new(entries);
            // Fills it with what was asked for often.
            let capacity = u32::try_from(entries).unwrap();
            hits(&engine, (0..3 * capacity).map(|i| i % capacity));
            let asked =
                (0..20_000_u32).flat_map(|new| [new, new.wrapping_sub(10), new.wrapping_sub(20)]);
            let found = hits(&engine, asked.map(|key| key.wrapping_add(1 << 20)));
            assert!(found > 36_000, "{found} of 40,000 in {entries}");
        }
    }
}
