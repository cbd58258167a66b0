//! The cache that users hold: what it is, what can be seen of it, and how it closes.

use core::fmt;
use core::hash::Hash;
use std::sync::Arc;

use futures_util::future::{Either, select};
use portable_atomic::Ordering;

use super::namespaces::Registration;
use super::repair::repair;
use super::shared::Shared;
use crate::machine::policy::{Kind, Policy};
use crate::machine::shard::Activity;
use crate::machine::stats::Stats;
use crate::machine::time::Timestamp;

/// A cache with two levels: L1 in the process, L2 shared by all nodes. Either may be missing.
///
/// It is a handle: clones are cheap and are the same cache. A hit clones `V`, so let `V` be an
/// `Arc`, or something as cheap. When the last handle is dropped the cache's tasks end.
///
/// # What dropping a future does
/// - A read ([`get_or_load`](Self::get_or_load), [`load`](Self::load), [`get`](Self::get),
///   [`exists`](Self::exists)): the caller is gone, nobody else notices. If its loader was running
///   for others, the longest waiting of them runs its own.
/// - A change ([`insert`](Self::insert) and its kind, [`invalidate`](Self::invalidate)): the
///   waiting stops, the change does not. Dropped before it was first polled, it was never begun.
/// - [`close`](Self::close): the cache stays closed, and what was not drained yet goes on.
///
/// ```
/// # use std::num::NonZeroUsize;
/// # use jetcache_core::doc::{block_on, Threads};
/// use jetcache_core::{Cache, LoadError};
/// use std::sync::Arc;
///
/// # block_on(async {
/// let cache = Cache::<String, Arc<str>>::builder("greetings", Threads).build()?;
/// let greeting = cache
///     .get_or_load("world", async || Ok::<_, LoadError>(Arc::from("hello")))
///     .await?;
/// assert_eq!(greeting.as_deref(), Some("hello"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) shared: Arc<Shared<K, V>>,
    _handle: Arc<Handle<K, V>>,
}

/// Dropped with the last handle: ends the tasks, and frees the keys for other caches.
struct Handle<K, V> {
    shared: Arc<Shared<K, V>>,
    _registration: Option<Registration>,
}

impl<K, V> Drop for Handle<K, V> {
    fn drop(&mut self) {
        self.shared.life.closed.store(true, Ordering::SeqCst);
        self.shared.life.stop.notify(usize::MAX);
    }
}

impl<K, V> Clone for Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            _handle: Arc::clone(&self._handle),
        }
    }
}

impl<K, V> fmt::Debug for Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

/// Looking at it, closing it.
impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) fn new(shared: Shared<K, V>, registration: Option<Registration>) -> Self {
        let shared = Arc::new(shared);
        let handle = Handle {
            shared: Arc::clone(&shared),
            _registration: registration,
        };
        Self {
            _handle: Arc::new(handle),
            shared,
        }
    }

    /// The cache's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Which levels it has.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.shared.policy.kind
    }

    /// Its settings.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.shared.policy
    }

    /// How many entries L1 has; engines may need a moment to be exact.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.local.as_ref().map_or(0, |local| local.len())
    }

    /// Whether L1 has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The weight of L1's entries: their number, or bytes where the engine has a weigher.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.shared.local.as_ref().map_or(0, |local| local.weight())
    }

    /// What was counted since the cache was built; zeros if statistics are off.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// How much is under way: flights, waiting callers, changes, unconfirmed keys.
    #[must_use]
    pub fn activity(&self) -> Activity {
        self.shared.activity()
    }

    /// How many tasks run for this cache.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.shared.tasks()
    }

    /// Closes the cache: new loads and inserts are refused with
    /// [`Error::Closed`](crate::Error::Closed), a read without a loader is a miss, nothing is refreshed
    /// any more. Loads and changes
    /// that are under way end first, for at most `load_timeout` + 4 × `remote_timeout`; removals
    /// that L2 has not confirmed are sent once more, as long as it confirms any; then L1 is emptied.
    ///
    /// It closes every handle of this cache, and may be called any number of times.
    ///
    /// # Cancellation
    /// Dropping the future leaves the cache closed; what was not drained goes on by itself.
    pub async fn close(&self) {
        let shared = &self.shared;
        shared.life.closed.store(true, Ordering::SeqCst);
        shared.life.stop.notify(usize::MAX);
        let policy = &shared.policy;
        let patience = policy
            .load_timeout
            .saturating_add(policy.remote_timeout.saturating_mul(4));
        let mut patience = shared.runtime.sleep(patience);
        loop {
            let idle = shared.life.idle.listen();
            if !shared.is_busy() {
                break;
            }
            match select(idle, patience).await {
                Either::Left(((), rest)) => patience = rest,
                Either::Right(_) => break,
            }
        }
        if let Some(refreshing) = &shared.refreshing {
            refreshing.clear();
        }
        // Until nothing is left, or L2 acknowledges nothing.
        while repair(shared, Timestamp::MAX).await.acknowledged > 0 {}
        self.clear_local();
    }
}

impl<K, V> Shared<K, V> {
    pub(super) fn stats(&self) -> Stats {
        let mut stats = self
            .counters
            .as_ref()
            .map_or_else(Stats::default, |c| c.read());
        stats.evicted = self.local.as_ref().and_then(|local| local.evicted());
        stats
    }
}
