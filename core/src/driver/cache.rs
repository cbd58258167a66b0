//! The cache that users hold: what it is, what can be seen of it, and how it closes.

pub(super) mod batch;
mod change;
mod change_many;
mod read;
mod read_many;
mod write_through;

use core::fmt;
use core::hash::Hash;
use std::sync::{Arc, Weak};

use futures_util::future::{Either, select};
use portable_atomic::Ordering;

use crate::driver::bus::hub::BusState;
use crate::driver::bus::publisher::{GRACE, PATIENCE, ensure_telling};
use crate::driver::change::repair::repair;
use crate::driver::link::namespaces::Registration;
use crate::driver::shared::Shared;
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
    handle: Arc<Handle<K, V>>,
}

/// Dropped with the last handle: ends the tasks, and frees the keys for other caches.
struct Handle<K, V> {
    shared: Arc<Shared<K, V>>,
    /// Its number on the bus.
    member: Option<u64>,
    _registration: Option<Registration>,
}

impl<K, V> Handle<K, V> {
    /// The bus has nothing more to tell this cache.
    fn leave(&self) {
        if let (Some(hub), Some(number)) = (&self.shared.hub, self.member) {
            hub.leave(number);
        }
    }
}

impl<K, V> Drop for Handle<K, V> {
    fn drop(&mut self) {
        self.shared.life.closed.store(true, Ordering::SeqCst);
        self.shared.life.stop.notify(usize::MAX);
        self.leave();
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
            handle: Arc::clone(&self.handle),
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
        let on_bus = shared.hub.as_ref().zip(shared.link.as_ref());
        let member = on_bus.map(|(hub, link)| {
            let ears: Weak<Shared<K, V>> = Arc::downgrade(&shared);
            hub.join(&link.prefix, ears)
        });
        let handle = Handle {
            shared: Arc::clone(&shared),
            member,
            _registration: registration,
        };
        Self {
            handle: Arc::new(handle),
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

    /// How many tasks run for this cache. The one that listens to the bus, and the one that tells the
    /// other nodes, are its node's and not among them.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.shared.tasks()
    }

    /// How the bus is; [`BusState::None`] also when the cache is closed.
    #[must_use]
    pub fn bus(&self) -> BusState {
        let hub = self.shared.hub.as_ref();
        let hub = hub.filter(|_| !self.shared.is_closed());
        hub.map_or(BusState::None, |hub| hub.state())
    }

    /// Begins to listen to the bus, which otherwise the first call does that goes further than L1, or
    /// tries again at once if the bus is down; and waits until the subscription stands or the attempt
    /// has failed, for 6 s at most: how the bus is then. Without a bus there is nothing to wait for.
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting, not the listening.
    pub async fn listen(&self) -> BusState {
        let (Some(hub), Some(number)) = (&self.shared.hub, self.handle.member) else {
            return BusState::None;
        };
        let failures = hub.failures();
        let mut patience = hub.runtime.sleep(PATIENCE + GRACE);
        loop {
            let stirs = hub.stirs();
            if self.shared.is_closed() {
                return BusState::None;
            }
            if let Some(state) = hub.outcome(number, failures) {
                return state;
            }
            self.shared.ensure_tasks();
            if !hub.listening.is_taken() {
                // There is no runtime to listen on.
                return BusState::Down;
            }
            hub.nudge();
            match select(stirs, patience).await {
                Either::Left(((), rest)) => patience = rest,
                Either::Right(_) => return self.bus(),
            }
        }
    }

    /// The epoch of L1: it advances when a subscription to the bus stands, at first and after each
    /// break, and when the bus says that anything may have changed. L1 is emptied then.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.shared.hub.as_ref().map_or(0, |hub| hub.epoch())
    }

    /// Who this node is on the bus, in this life of it; `None` without a bus.
    #[must_use]
    pub fn source_id(&self) -> Option<&str> {
        self.shared.hub.as_ref().map(|hub| &*hub.source)
    }

    /// Closes the cache: new loads and inserts are refused with
    /// [`Error::Closed`](crate::Error::Closed), a read without a loader is a miss, nothing is refreshed
    /// any more. Loads and changes
    /// that are under way end first, for at most `load_timeout` + 4 × `remote_timeout`; removals
    /// that L2 has not confirmed are sent once more, as long as it confirms any; what the bus is still
    /// to tell is told, or tried once; then L1 is emptied.
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
        self.handle.leave();
        // Nothing is heard any more.
        self.clear_local();
        self.drain_outbox().await;
        self.clear_local();
    }

    async fn drain_outbox(&self) {
        let Some(hub) = &self.shared.hub else {
            return;
        };
        let mut patience = hub.runtime.sleep(PATIENCE);
        loop {
            let stirs = hub.stirs();
            ensure_telling(hub);
            if !hub.telling.is_taken() {
                return;
            }
            match select(stirs, patience).await {
                Either::Left(((), rest)) => patience = rest,
                Either::Right(_) => return,
            }
        }
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
