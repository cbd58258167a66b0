//! L1 on moka: TinyLFU admission, which holds up well when many keys are asked for only once.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jetcache_core::{Entry, Local, Probe};
use moka::notification::RemovalCause;
use moka::sync::{Cache, CacheBuilder};

use crate::engine::key::{Hashed, Sought, Stored};

/// L1 on moka, bounded by entries or by bytes.
///
/// With room for a few hundred entries it often answers more reads than `QuickCache`, and far fewer
/// where keys are asked for a few times soon and never again: `benches/ratios.rs` measures both.
///
/// Its housekeeping happens every few hundred operations, so the bound may be exceeded for a
/// moment. [`len`](Local::len) and [`weight`](Local::weight) do it at once, to be exact.
///
/// ```
/// use jetcache_adapters::Moka;
///
/// let by_entries = Moka::<String, u64>::new(10_000);
/// let by_bytes = Moka::<String, String>::weighing(64 << 20, |key, value| {
///     (key.len() + value.map_or(0, String::len) + 100) as u64
/// });
/// # let _ = (by_entries, by_bytes);
/// ```
pub struct Moka<K, V> {
    cache: Cache<Stored<K>, Entry<V>, Hashed>,
    evicted: Arc<AtomicUsize>,
}

type Made<K, V> = CacheBuilder<Stored<K>, Entry<V>, Cache<Stored<K>, Entry<V>>>;

impl<K, V> Moka<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// An engine for at most `entries` entries.
    #[must_use]
    pub fn new(entries: usize) -> Self {
        Self::made_of(Cache::builder().max_capacity(entries as u64))
    }

    /// An engine whose entries weigh at most `bytes` together, as `weigh` has it; it is handed the
    /// value, or `None` for a not-found placeholder. A weight below one counts as one, one above
    /// `u32::MAX` as that. `weigh` must not touch the cache.
    #[must_use]
    pub fn weighing(
        bytes: u64,
        weigh: impl Fn(&K, Option<&V>) -> u64 + Send + Sync + 'static,
    ) -> Self {
        Self::made_of(Cache::builder().max_capacity(bytes).weigher(
            move |Stored(key): &Stored<K>, entry: &Entry<V>| {
                u32::try_from(weigh(key, entry.value()))
                    .unwrap_or(u32::MAX)
                    .max(1)
            },
        ))
    }

    fn made_of(builder: Made<K, V>) -> Self {
        let evicted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&evicted);
        let cache = builder
            .eviction_listener(move |_, _, cause| {
                if cause == RemovalCause::Size {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
            .build_with_hasher(Hashed::default());
        Self { cache, evicted }
    }
}

impl<K, V> Local<K, V> for Moka<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn get(&self, key: &dyn Probe<K>) -> Option<Entry<V>> {
        self.cache.get(&Sought(key))
    }

    fn peek(&self, key: &dyn Probe<K>) -> Option<Entry<V>> {
        // A miss counts as a wish for the key; this look does not.
        let key = Sought(key);
        self.cache
            .contains_key(&key)
            .then(|| self.cache.get(&key))?
    }

    fn insert(&self, key: K, entry: Entry<V>) {
        self.cache.insert(Stored(key), entry);
    }

    fn remove(&self, key: &dyn Probe<K>) {
        self.cache.invalidate(&Sought(key));
    }

    fn clear(&self) {
        self.cache.invalidate_all();
    }

    fn len(&self) -> usize {
        self.cache.run_pending_tasks();
        usize::try_from(self.cache.entry_count()).unwrap_or(usize::MAX)
    }

    fn weight(&self) -> u64 {
        self.cache.run_pending_tasks();
        self.cache.weighted_size()
    }

    fn evicted(&self) -> Option<u64> {
        Some(self.evicted.load(Ordering::Relaxed) as u64)
    }
}

impl<K, V> fmt::Debug for Moka<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moka")
            .field("evicted", &self.evicted)
            .finish_non_exhaustive()
    }
}
