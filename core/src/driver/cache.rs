//! The cache that users hold, and what can be seen of it. What it does stands in the files beneath.

mod admit;
pub(super) mod batch;
pub(super) mod blocking;
mod change;
mod close;
mod eager;
mod health;
mod keep_fresh;
mod probe;
mod read;
mod read_many;
mod spawn;

use core::fmt;
use core::hash::Hash;
use std::sync::{Arc, Weak};

use crate::driver::change::heard::forget_what_was_missed;
use crate::driver::change::repair::ensure_repairs;
use crate::driver::link::namespaces::Registration;
use crate::driver::report::show_end;
use crate::driver::settings::Settings;
use crate::driver::shared::Shared;
use crate::machine::error::Error;
use crate::machine::policy::{Kind, Policy};
use crate::machine::stats::Stats;
use crate::machine::stats::activity::Activity;
use crate::ports::bus::BusState;
use crate::ports::observer::watched::Snapshot;

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
/// # use jetcache_core::doc::runtime as jetcache_tokio;
/// # use std::num::NonZeroUsize;
/// use jetcache_tokio::LoadError;
/// use std::sync::Arc;
///
/// # jetcache_core::doc::block_on(async {
/// let cache = jetcache_tokio::builder::<String, Arc<str>>("greetings").build()?;
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
    shared: Arc<Shared<K, V>>,
    handle: Arc<Handle<K, V>>,
}

/// Dropped with the last handle: ends the tasks, and frees the keys for other caches.
struct Handle<K, V> {
    shared: Arc<Shared<K, V>>,
    /// Its number on the bus.
    member: Option<u64>,
    /// Shows observers the last figures.
    end: fn(&Shared<K, V>),
    _registration: Option<Registration>,
}

impl<K, V> Handle<K, V> {
    /// Takes the cache off the bus.
    fn leave(&self) {
        if let (Some(hub), Some(number)) = (&self.shared.hub, self.member) {
            hub.leave(number);
        }
    }
}

impl<K, V> Drop for Handle<K, V> {
    fn drop(&mut self) {
        self.shared.life.close();
        self.leave();
        (self.end)(&self.shared);
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
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Cache<K, V> {
    pub(super) fn new(shared: Shared<K, V>, registration: Option<Registration>) -> Self {
        let shared = Arc::new(shared);
        let on_bus = shared.hub.as_ref().zip(shared.link.as_ref());
        let member = on_bus.map(|(hub, link)| {
            let ears: Weak<Shared<K, V>> = Arc::downgrade(&shared);
            hub.join(&link.texts.prefix, ears)
        });
        if let Some(gate) = shared.link.as_ref().and_then(|link| link.gate.as_ref()) {
            let member: Weak<Shared<K, V>> = Arc::downgrade(&shared);
            gate.join(member);
        }
        let cache = Arc::downgrade(&shared);
        let start = move || {
            if let Some(shared) = cache.upgrade() {
                ensure_repairs(&shared);
                forget_what_was_missed(&shared);
            }
        };
        let _ = shared.repairs.start.set(Box::new(start));
        Shared::show_observers(&shared);
        let handle = Handle {
            shared: Arc::clone(&shared),
            member,
            end: show_end,
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
        &self.shared.journal.name
    }

    /// Which levels it has.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.shared.kind
    }

    /// The times and bounds that hold now.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.shared.rules.now().policy.clone()
    }

    /// All settings that hold now and can be said as data, defaults included.
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// let cache = jetcache_tokio::builder::<u64, String>("users").capacity(500).build()?;
    /// let settings = cache.settings();
    /// assert_eq!(settings.capacity, Some(500));
    /// println!("{settings}");
    /// # Ok::<(), jetcache_tokio::Error>(())
    /// ```
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.shared.settings().clone()
    }

    /// Sets what is set there, while the cache runs: times to live, windows, timeouts, and bounds of loads and
    /// values. What is not set stays as it is, and so does what is set to what it is. The
    /// [guide](crate::guide::settings) says what may change, and from when on.
    ///
    /// # Errors
    /// [`Error::Config`] with the names of those that cannot change, or with what cannot work; nothing has
    /// changed then.
    pub fn reload(&self, settings: &Settings) -> Result<(), Error> {
        self.shared.reload(settings)
    }

    /// How many entries L1 has; engines may need a moment to be exact.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.level1.len()
    }

    /// Whether L1 has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The weight of L1's entries: their number, or bytes where the engine has a weigher.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.shared.level1.weight()
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

    /// All of these at once: what was counted, what is under way, how L1, breaker and bus are. Its
    /// [`iter`](Snapshot::iter) names each figure, for an exporter that is to miss none.
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// # let cache = jetcache_tokio::builder::<u32, String>("names").build()?;
    /// for sample in cache.snapshot().iter() {
    ///     println!("{} = {}", sample.metric.field, sample.value);
    /// }
    /// # Ok::<(), jetcache_tokio::Error>(())
    /// ```
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// How many tasks run for this cache. Its node's own tasks, which listen to the bus and tell
    /// the other nodes, are not among them.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.shared.life.tasks()
    }

    /// How the bus is; [`BusState::None`] also when the cache is closed.
    #[must_use]
    pub fn bus(&self) -> BusState {
        self.shared.bus()
    }

    /// The epoch of L1: it advances when a subscription to the bus stands, at first and after each
    /// break, and when the bus says that anything may have changed. L1 is emptied then.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.shared.epoch()
    }

    /// This node's source id on the bus, in this life; `None` without a bus.
    #[must_use]
    pub fn source_id(&self) -> Option<&str> {
        self.shared.hub.as_ref().map(|hub| &*hub.source)
    }
}
