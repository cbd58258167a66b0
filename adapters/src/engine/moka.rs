//! L1 on moka: TinyLFU admission, which holds up well when many keys are asked for only once.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jetcache_core::{Entry, Local, Probe};
use moka::notification::RemovalCause;
use moka::sync::{Cache, CacheBuilder};

use crate::engine::key::{EngineHasher, EngineKey, Sought};

/// L1 on moka, bounded by entries or by bytes.
///
/// With room for a few hundred entries it often answers more reads than `QuickCache`, and far fewer
/// where keys are asked for a few times soon and never again: `tests/compare/run ratios` measures both.
///
/// Its housekeeping happens every few hundred operations, so the bound may be exceeded for a
/// moment. [`len`](Local::len) and [`weight`](Local::weight) do it at once, to be exact.
///
/// ```
/// # mod jetcache_tokio { pub use jetcache_adapters::*; pub use jetcache_core::*; }
/// use jetcache_tokio::Moka;
///
/// let by_entries = Moka::<String, u64>::new(10_000);
/// let by_bytes = Moka::<String, String>::weighing(64 << 20, |key, value| {
///     (key.len() + value.map_or(0, String::len) + 100) as u64
/// });
/// # let _ = (by_entries, by_bytes);
/// ```
pub struct Moka<K, V> {
    own: Own<K, V, EngineHasher>,
    evicted: Arc<AtomicUsize>,
}

type Made<K, V> = CacheBuilder<EngineKey<K>, Entry<V>, Cache<EngineKey<K>, Entry<V>>>;

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
            move |EngineKey(key): &EngineKey<K>, entry: &Entry<V>| {
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
            .build_with_hasher(EngineHasher);
        Self {
            own: Own(cache),
            evicted,
        }
    }

    /// An L1 on a moka of your own making, with whatever it can: a time to idle, a listener, a hasher
    /// ([`EngineHasher`] costs least). Its keys are [`EngineKey`]s, its values [`Entry`]s, which have no
    /// value for "does not exist".
    ///
    /// It may drop what it likes, whenever it likes; how long an entry is answered is the cache's affair.
    /// Your listener must not use the cache. Evictions are not counted in the statistics: count them in
    /// the listener.
    ///
    /// ```
    /// # mod jetcache_tokio { pub use jetcache_adapters::*; pub use jetcache_core::*; }
    /// use std::time::Duration;
    ///
    /// use jetcache_tokio::{EngineHasher, Moka};
    ///
    /// let engine = moka::sync::Cache::builder()
    ///     .max_capacity(10_000)
    ///     .time_to_idle(Duration::from_secs(300))
    ///     .eviction_listener(|key: std::sync::Arc<jetcache_tokio::EngineKey<u64>>, _, cause| {
    ///         println!("{} has left: {cause:?}", key.key());
    ///     })
    ///     .build_with_hasher(EngineHasher);
    /// let local = Moka::<u64, String>::of(engine);
    /// // `builder.local(local)`
    /// # fn is_local(_: impl jetcache_tokio::Local<u64, String>) {}
    /// # is_local(local);
    /// ```
    pub fn of<S>(cache: Cache<EngineKey<K>, Entry<V>, S>) -> impl Local<K, V> + use<K, V, S>
    where
        S: BuildHasher + Clone + Send + Sync + 'static,
    {
        Own(cache)
    }
}

impl<K, V> Local<K, V> for Moka<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn get(&self, key: &dyn Probe<K>) -> Option<Entry<V>> {
        self.own.get(key)
    }

    fn peek(&self, key: &dyn Probe<K>) -> Option<Entry<V>> {
        self.own.peek(key)
    }

    fn insert(&self, key: K, entry: Entry<V>) {
        self.own.insert(key, entry);
    }

    fn remove(&self, key: &dyn Probe<K>) {
        self.own.remove(key);
    }

    fn clear(&self) {
        self.own.clear();
    }

    fn len(&self) -> usize {
        self.own.len()
    }

    fn weight(&self) -> u64 {
        self.own.weight()
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

/// A moka that somebody made.
struct Own<K, V, S>(Cache<EngineKey<K>, Entry<V>, S>);

impl<K, V, S> Local<K, V> for Own<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    fn get(&self, key: &dyn Probe<K>) -> Option<Entry<V>> {
        self.0.get(&Sought(key))
    }

    fn peek(&self, key: &dyn Probe<K>) -> Option<Entry<V>> {
        // A miss counts as a wish for the key; this look does not.
        let key = Sought(key);
        self.0.contains_key(&key).then(|| self.0.get(&key))?
    }

    fn insert(&self, key: K, entry: Entry<V>) {
        self.0.insert(EngineKey(key), entry);
    }

    fn remove(&self, key: &dyn Probe<K>) {
        self.0.invalidate(&Sought(key));
    }

    fn clear(&self) {
        self.0.invalidate_all();
    }

    fn len(&self) -> usize {
        self.0.run_pending_tasks();
        usize::try_from(self.0.entry_count()).unwrap_or(usize::MAX)
    }

    fn weight(&self) -> u64 {
        self.0.run_pending_tasks();
        self.0.weighted_size()
    }
}
