//! How a cache is put together.

pub(super) mod node;

use core::fmt;
use core::hash::Hash;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::hash::RandomState;
use std::sync::Arc;

use crate::driver::builder::node::Node;
use crate::driver::bus::hub::Hub;
use crate::driver::cache::Cache;
use crate::driver::counters::{Counters, shard_count};
use crate::driver::link::format::Format;
use crate::driver::link::namespaces::Namespaces;
use crate::driver::link::{Link, Voice};
use crate::driver::refresh::turns::Refreshing;
use crate::driver::shared::{Batching, Guarded, Predicate, Shared};
use crate::driver::world::erased::{
    AnyBatchLoader, AnyBus, AnyLoader, AnyRemote, AnyRuntime, OneOfMany,
};
use crate::machine::error::{BoxError, Error};
use crate::machine::policy::pace::Pace;
use crate::machine::policy::{Jitter, Kind, Policy};
use crate::machine::tier::wire::Wire;
use crate::ports::batch_loader::BatchLoader;
use crate::ports::bus::{Bus, Telling};
use crate::ports::codec::Codec;
use crate::ports::compression::Compression;
use crate::ports::key::Key;
use crate::ports::loader::Loader;
use crate::ports::local::Local;
use crate::ports::observer::Observer;
use crate::ports::remote::{Herald, Remote};
use crate::ports::runtime::Runtime;

/// Puts a [`Cache`] together. Every setting has a default that is right in production; by default
/// there is an L1 of 10,000 entries and no L2.
///
/// ```
/// # use jetcache_core::doc::Threads;
/// use jetcache_core::{Cache, Error};
/// use std::time::Duration;
///
/// let wrong = Cache::<u64, String>::builder("users", Threads).ttl(Duration::ZERO).build();
/// assert!(matches!(wrong, Err(Error::Config(_))));
/// ```
#[must_use = "a builder does nothing until it builds"]
pub struct Builder<K, V> {
    name: String,
    namespace: Option<String>,
    separator: String,
    runtime: Arc<dyn AnyRuntime>,
    engine: Engine<K, V>,
    l1: L1<K, V>,
    l2: Option<L2<K, V>>,
    bus: Option<Connection>,
    source_id: Option<String>,
    wire: Wire,
    compressions: Vec<Arc<dyn Compression>>,
    max_value_size: usize,
    loader: Option<Arc<dyn AnyLoader<K, V>>>,
    batch_loader: Option<Arc<dyn AnyBatchLoader<K, V>>>,
    batch: Batching,
    not_found: Option<Predicate>,
    observers: Vec<Arc<dyn Observer>>,
    counted: bool,
    report_every: Option<Duration>,
    refresh_all: bool,
    times: Times,
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// A builder for a cache of this name on this runtime, in a [`Node`] of its own. The runtime
    /// crates have a `builder` of their own that knows the runtime and the L1 engine.
    pub fn builder(name: &str, runtime: impl Runtime) -> Builder<K, V> {
        Node::new(runtime).local_cache(name)
    }
}

enum L1<K, V> {
    Off,
    Sized(usize),
    Own(Arc<dyn Local<K, V>>),
}

/// Makes an L1 engine of so many entries.
pub(super) type Engine<K, V> = fn(NonZeroUsize) -> Arc<dyn Local<K, V>>;

struct L2<K, V> {
    remote: Arc<dyn AnyRemote>,
    /// What the caches of this one's node have taken of it.
    namespaces: Option<Arc<Namespaces>>,
    codec: Arc<dyn Codec<V>>,
    write_key: fn(&K, &mut String),
    parse_key: fn(&str) -> Option<K>,
}

/// A bus of the cache's own, or its node's.
enum Connection {
    Own(Arc<dyn AnyBus>),
    Node(Arc<Hub>),
}

/// What was set; what was not follows from the rest.
#[derive(Default)]
struct Times {
    ttl: Option<Duration>,
    local_ttl: Option<Duration>,
    negative_ttl: Option<Duration>,
    jitter: Option<Jitter>,
    remote_timeout: Option<Duration>,
    load_timeout: Option<Duration>,
    lease: Option<Duration>,
    lease_wait: Option<Duration>,
    unconfirmed: Option<usize>,
    write_timeout: Option<Duration>,
    blind_local_ttl: Option<Duration>,
    refresh_every: Option<Duration>,
    stop_refresh_after: Option<Duration>,
    refresh_concurrency: Option<usize>,
    refresh_capacity: Option<usize>,
}

impl<K, V> Builder<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// A builder with what a node's caches have in common.
    pub(super) fn of_node(
        name: &str,
        runtime: Arc<dyn AnyRuntime>,
        engine: Engine<K, V>,
        observers: Vec<Arc<dyn Observer>>,
        compressions: Vec<Arc<dyn Compression>>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            namespace: None,
            separator: SEPARATOR.into(),
            runtime,
            engine,
            l1: L1::Sized(DEFAULT_CAPACITY),
            l2: None,
            bus: None,
            source_id: None,
            wire: Wire::Native,
            compressions,
            max_value_size: DEFAULT_MAX_VALUE_SIZE,
            loader: None,
            batch_loader: None,
            batch: Batching::default(),
            not_found: None,
            observers,
            counted: true,
            report_every: None,
            refresh_all: false,
            times: Times::default(),
        }
    }

    /// How many entries L1 holds at most, in the default engine. Default: 10,000.
    pub fn capacity(mut self, entries: usize) -> Self {
        self.l1 = L1::Sized(entries);
        self
    }

    /// The engine that [`capacity`](Self::capacity) sizes, in place of the node's.
    pub fn default_engine(mut self, engine: fn(NonZeroUsize) -> Arc<dyn Local<K, V>>) -> Self {
        self.engine = engine;
        self
    }

    /// This L1, in place of the default engine.
    pub fn local(mut self, local: impl Local<K, V> + 'static) -> Self {
        self.l1 = L1::Own(Arc::new(local));
        self
    }

    /// No L1.
    pub fn no_local(mut self) -> Self {
        self.l1 = L1::Off;
        self
    }

    /// This L2 for this cache alone, with values written by `codec`. It need not be reachable yet.
    pub fn remote(self, remote: impl Remote, codec: impl Codec<V>) -> Self
    where
        K: Key,
    {
        self.connected(Arc::new(remote), None, Arc::new(codec))
    }

    /// No L2.
    pub fn no_remote(mut self) -> Self {
        self.l2 = None;
        self
    }

    /// This L2, which a node's caches share if there are `namespaces`.
    pub(super) fn connected(
        mut self,
        remote: Arc<dyn AnyRemote>,
        namespaces: Option<Arc<Namespaces>>,
        codec: Arc<dyn Codec<V>>,
    ) -> Self
    where
        K: Key,
    {
        self.l2 = Some(L2 {
            remote,
            namespaces,
            codec,
            write_key: K::write,
            parse_key: K::parse,
        });
        self
    }

    /// On this node's bus.
    pub(super) fn on_bus(mut self, hub: Arc<Hub>) -> Self {
        self.bus = Some(Connection::Node(hub));
        self
    }

    /// This bus for this cache alone: its node tells the others what it changes, and hears what they
    /// change. Off by default: another node's L1 then goes on serving what it has until `local_ttl`.
    ///
    /// Listening begins with the first call that goes further than L1. Until the subscription stands,
    /// and whenever it broke, L1 is used as without a bus; when it stands, L1 is emptied, since
    /// anything may have been missed (see [`epoch`](Cache::epoch)). [`bus`](Cache::bus) tells how the
    /// bus is.
    pub fn bus(mut self, bus: impl Bus) -> Self {
        self.bus = Some(Connection::Own(Arc::new(bus)));
        self
    }

    /// What this node's source id on its own bus begins with: what follows is random, since an id is
    /// one life's. Default: 16 random hexadecimal digits and nothing else. The caches of a [`Node`]
    /// have that node's.
    pub fn source_id(mut self, name: &str) -> Self {
        self.source_id = Some(name.to_owned());
        self
    }

    /// How long L1 keeps an entry at most while the bus is known to be down. Off by default: then it
    /// is `local_ttl`, as without a bus. What L1 got while the bus was up is dropped that long after
    /// it broke.
    pub fn blind_local_ttl(mut self, ttl: Duration) -> Self {
        self.times.blind_local_ttl = Some(ttl);
        self
    }

    /// How long the writer of a [`write_through`](Cache::write_through) may take; then it is dropped,
    /// and the key is removed. Off by default.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.times.write_timeout = Some(timeout);
        self
    }

    /// What L2's keys begin with, followed by the separator. Default: the cache's name.
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// What stands between the namespace and the key in L2; empty for nothing. Default: a colon.
    pub fn separator(mut self, separator: &str) -> Self {
        self.separator = separator.to_owned();
        self
    }

    /// How entries are written in L2. Default: [`Wire::Native`].
    pub fn wire(mut self, wire: Wire) -> Self {
        self.wire = wire;
        self
    }

    /// How long an encoded value may be, in bytes and before compression. A longer one is refused
    /// by an insert ([`Error::TooLarge`]), stays in L1 only when it is loaded, and is a miss when
    /// it stands in L2. Default: 64 MiB.
    pub fn max_value_size(mut self, bytes: usize) -> Self {
        self.max_value_size = bytes;
        self
    }

    /// One more compression that entries of L2 may have been written with, beside the codec's own.
    /// The runtime crates call this for those that they were built with.
    pub fn decompress(mut self, method: Arc<dyn Compression>) -> Self {
        self.compressions.push(method);
        self
    }

    /// The loader that [`load`](Cache::load) runs: a [`Loader`], or a function of the key. What it
    /// captures is cloned into each future: `move |id: u64| { let db = db.clone(); async move { .. } }`.
    ///
    /// ```
    /// # use jetcache_core::doc::{block_on, Threads};
    /// use jetcache_core::{Cache, LoadError};
    ///
    /// let cache = Cache::<String, String>::builder("greetings", Threads)
    ///     .loader(|name: String| async move { Ok::<_, LoadError>(format!("hello, {name}")) })
    ///     .build()?;
    /// let greeting = block_on(cache.load("world"))?;
    /// assert_eq!(greeting.as_deref(), Some("hello, world"));
    /// # Ok::<(), jetcache_core::Error>(())
    /// ```
    pub fn loader(mut self, loader: impl Loader<K, V>) -> Self {
        self.loader = Some(Arc::new(loader));
        self
    }

    /// The loader that [`load_many`](Cache::load_many) runs: a [`BatchLoader`], or a function of the
    /// keys. Without one, `load_many` runs the [`loader`](Self::loader) for one key after the
    /// other; without that one, [`load`](Cache::load) runs this one for its single key.
    ///
    /// ```
    /// # use jetcache_core::doc::{block_on, Threads};
    /// use jetcache_core::{Cache, LoadError};
    ///
    /// let cache = Cache::<u32, String>::builder("squares", Threads)
    ///     .batch_loader(|ids: Vec<u32>| async move {
    ///         let rows = ids.into_iter().map(|id| (id, (id * id).to_string()));
    ///         Ok::<Vec<_>, LoadError>(rows.collect())
    ///     })
    ///     .build()?;
    /// let squares = block_on(cache.load_many(&[2, 3])).into_values()?;
    /// assert_eq!(squares, [Some("4".to_string()), Some("9".to_string())]);
    /// # Ok::<(), jetcache_core::Error>(())
    /// ```
    pub fn batch_loader(mut self, loader: impl BatchLoader<K, V>) -> Self {
        self.batch_loader = Some(Arc::new(loader));
        self
    }

    /// How many keys of a batch go together: in one read of L2, one call of a loader, one write.
    /// A larger batch is split, and its parts follow one another. Default: 1000.
    pub fn batch_chunk(mut self, keys: usize) -> Self {
        self.batch.chunk = keys;
        self
    }

    /// How many loads a [`load_many`](Cache::load_many) runs at once when only a loader of single
    /// keys is registered. Default: 16.
    pub fn load_concurrency(mut self, loads: usize) -> Self {
        self.batch.concurrency = loads;
        self
    }

    /// Which errors of a loader mean that the key does not exist: they are remembered for
    /// `negative_ttl` and answered with `None`.
    ///
    /// The error is the one that the loader's `?` met. If that was an `anyhow::Error`, its type is
    /// anyhow's and a `downcast_ref` to your own finds nothing: see [`LoadError`](crate::LoadError).
    pub fn not_found_when(
        mut self,
        means_absent: impl Fn(&BoxError) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.not_found = Some(Box::new(means_absent));
        self
    }

    /// How long a value is fresh. Default: 1 h.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.times.ttl = Some(ttl);
        self
    }

    /// How long L1 keeps an entry at most. Default: 1 min with an L2, `ttl` without. An L1 entry
    /// never outlives what L2 has left.
    pub fn local_ttl(mut self, ttl: Duration) -> Self {
        self.times.local_ttl = Some(ttl);
        self
    }

    /// How long "does not exist" is remembered. Default: 1 min.
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.times.negative_ttl = Some(ttl);
        self
    }

    /// What is taken off every TTL at random: so many percent of it, and at most so long. Default:
    /// 10 %, at most 10 s.
    pub fn jitter(mut self, percent: u8, at_most: Duration) -> Self {
        self.times.jitter = Some(Jitter { percent, at_most });
        self
    }

    /// How long a caller waits for one L2 operation. Default: 250 ms.
    pub fn remote_timeout(mut self, timeout: Duration) -> Self {
        self.times.remote_timeout = Some(timeout);
        self
    }

    /// How long a loader may take. Default: 10 s.
    pub fn load_timeout(mut self, timeout: Duration) -> Self {
        self.times.load_timeout = Some(timeout);
        self
    }

    /// How long a load's lease in L2 stands if nobody gives it back. Default: `load_timeout` +
    /// 4 × `remote_timeout`; less than `load_timeout` + 2 × `remote_timeout` is an error.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.times.lease = Some(lease);
        self
    }

    /// How long a lookup waits for another node's load before it loads for itself. Zero: not at
    /// all. Default: 2 s.
    pub fn lease_wait(mut self, wait: Duration) -> Self {
        self.times.lease_wait = Some(wait);
        self
    }

    /// How many keys may be unconfirmed at once. What does not fit makes part of the cache do
    /// without L2 for the longest life it has written. Default: 8192.
    pub fn unconfirmed_capacity(mut self, keys: usize) -> Self {
        self.times.unconfirmed = Some(keys);
        self
    }

    /// How old the value of a key becomes that is asked for with
    /// [`Call::refresh`](crate::Call::refresh) before the
    /// registered [`loader`](Self::loader) loads it anew; [`refresh_all`](Self::refresh_all) means
    /// every key that is loaded. Off by default.
    ///
    /// One node of the fleet loads, under the lease of the key as every load is, and the others copy
    /// from L2 what it has stored. A reader that L1 cannot answer does not wait for that if L2 has a
    /// value; only calls that ask for refresh keep a key in it, and one whose load failed does not. The first
    /// refresh of a key comes at random in the second half of the period, so that keys which were
    /// asked for together are not loaded together. A loader that fails leaves the value as it is,
    /// and runs again after twice the period, then 4 times and 8 times, on each node that keeps the key
    /// fresh; so does an L2 that fails at a key's turn. A change of the key during a refresh wins over
    /// it. On a bus that watches L2 a refresh empties its own entry of L1. Without an L2 that answers nothing is refreshed, unless the cache has
    /// none.
    ///
    /// With [`Wire::JetcacheGo`] the services, Go's among them, take turns by jetcache-go's lock, the
    /// key `<key>_#RL#`; a refresh that failed gives it back.
    ///
    /// A period longer than `ttl` refreshes what has ended already.
    ///
    /// ```
    /// # use jetcache_core::doc::{block_on, Threads};
    /// use jetcache_core::{Cache, Call, LoadError};
    /// use std::time::Duration;
    ///
    /// let cache = Cache::<String, u32>::builder("rates", Threads)
    ///     .loader(|_currency: String| async move { Ok::<_, LoadError>(100) })
    ///     .refresh_every(Duration::from_secs(30))
    ///     .build()?;
    /// let rate = block_on(cache.load_with("EUR", &Call::new().refresh()))?;
    /// assert_eq!((rate, cache.activity().refreshes), (Some(100), 1));
    /// # Ok::<(), jetcache_core::Error>(())
    /// ```
    pub fn refresh_every(mut self, period: Duration) -> Self {
        self.times.refresh_every = Some(period);
        self
    }

    /// Keeps every key fresh that is asked for through [`load`](Cache::load) and
    /// [`load_many`](Cache::load_many) and their `_with` forms. It needs
    /// [`refresh_every`](Self::refresh_every) and a registered loader.
    pub fn refresh_all(mut self) -> Self {
        self.refresh_all = true;
        self
    }

    /// How long after it was last asked for, by a call that loads and wants it fresh, a key is still
    /// refreshed. Default: `refresh_every` + 1 s.
    pub fn stop_refresh_after(mut self, idle: Duration) -> Self {
        self.times.stop_refresh_after = Some(idle);
        self
    }

    /// How many refreshes run at once; keys whose turn has come wait for one to end. Default: 4.
    pub fn refresh_concurrency(mut self, refreshes: usize) -> Self {
        self.times.refresh_concurrency = Some(refreshes);
        self
    }

    /// How many keys are kept fresh at most; others are loaded as if nobody had asked for that, and
    /// counted as [`not_refreshed`](crate::Stats::not_refreshed). Default: 10,000.
    pub fn refresh_capacity(mut self, keys: usize) -> Self {
        self.times.refresh_capacity = Some(keys);
        self
    }

    /// Tells this observer every event, beside those that were given before.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// Does not count: [`stats`](Cache::stats) stays zero. Observers are told all the same.
    pub fn no_stats(mut self) -> Self {
        self.counted = false;
        self
    }

    /// Logs a table of the statistics through `tracing`, at level `INFO` and with the target
    /// `jetcache`, this often. Off by default. The program must have a `tracing` subscriber.
    pub fn stats_every(mut self, period: Duration) -> Self {
        self.report_every = Some(period);
        self
    }

    /// Builds the cache. It needs no running runtime, connects to nothing and starts nothing:
    /// background work begins with the first call that needs it.
    ///
    /// # Errors
    /// [`Error::Config`] with what to change: no level at all, a TTL or timeout of zero, no
    /// capacity, a lease shorter than it can be, a table period of zero, a refresh period of zero,
    /// [`refresh_all`](Self::refresh_all) without a period or a loader, keys in L2 that another living
    /// cache of the same [`Node`] may have, a bus without an L2, or one that cannot watch it.
    pub fn build(self) -> Result<Cache<K, V>, Error> {
        let local = match self.l1 {
            L1::Off => None,
            L1::Own(local) => Some(local),
            L1::Sized(capacity) => {
                let Some(capacity) = NonZeroUsize::new(capacity) else {
                    return Err(Error::config(
                        "capacity is zero: give it at least 1, or use no_local for no L1",
                    ));
                };
                Some((self.engine)(capacity))
            }
        };
        let kind = match (&local, &self.l2) {
            (Some(_), Some(_)) => Kind::Both,
            (Some(_), None) => Kind::Local,
            (None, Some(_)) => Kind::Remote,
            (None, None) => {
                return Err(Error::config(
                    "neither L1 nor L2: leave out no_local, or give the builder a remote",
                ));
            }
        };
        if self.report_every.is_some_and(|period| period.is_zero()) {
            return Err(Error::config(
                "stats_every is zero: give it a period, or leave it out",
            ));
        }
        self.batch.check()?;
        let loads = self.loader.is_some() || self.batch_loader.is_some();
        if self.refresh_all && (self.times.refresh_every.is_none() || !loads) {
            return Err(Error::config(
                "refresh_all without a period or a loader: give the builder refresh_every and a loader",
            ));
        }
        let shards = shard_count();
        let mut policy = self.times.policy(kind, shards);
        policy.strangers = self.wire == Wire::JetcacheGo;
        policy.check()?;
        self.times.check()?;
        let hub = match self.bus {
            None if self.source_id.is_some() || self.times.blind_local_ttl.is_some() => {
                return Err(Error::config(
                    "source_id and blind_local_ttl are about a bus: give the builder one, or leave \
                     them out",
                ));
            }
            None => None,
            Some(_) if self.l2.is_none() => {
                return Err(Error::config(
                    "a bus without an L2: give the builder a remote, or leave the bus out; a node's \
                     local_cache has neither",
                ));
            }
            Some(Connection::Node(_)) if self.source_id.is_some() => {
                return Err(Error::config(
                    "source_id: a cache on its node's bus has the node's, set it there",
                ));
            }
            Some(Connection::Node(hub)) => Some(hub),
            Some(Connection::Own(bus)) => {
                let name = self.source_id.as_deref();
                Some(Hub::new(bus, Arc::clone(&self.runtime), name))
            }
        };
        let blind_policy = self.times.blind_local_ttl.map(|ttl| Policy {
            local_cap: ttl,
            ..policy.clone()
        });
        let namespace = self.namespace.as_deref().unwrap_or(&self.name);
        let prefix = format!("{namespace}{}", self.separator);
        if prefix.starts_with('{') && !prefix.contains('}') {
            // Of the keys `ns:x` and `{ns:x}` the leases would have the same name.
            return Err(Error::config(
                "the namespace begins with { and has no }: leave the brace out, or close it",
            ));
        }
        let (link, registration) = match self.l2 {
            None => (None, None),
            Some(l2) => {
                let format =
                    Format::new(self.wire, l2.codec, self.compressions, self.max_value_size)?;
                let namespaces = l2.namespaces.as_ref();
                let registration = namespaces.map(|taken| taken.take(&prefix, &self.name));
                let link = Link {
                    voice: voice(&l2.remote, hub.as_ref(), &self.name)?,
                    hub: hub.clone(),
                    remote: l2.remote,
                    format,
                    write_key: l2.write_key,
                    parse_key: l2.parse_key,
                    prefix,
                    timeout: policy.remote_timeout,
                };
                (Some(link), registration.transpose()?)
            }
        };
        let one_of_many = self.batch_loader.as_ref().map(|loader| {
            let one: Arc<dyn AnyLoader<K, V>> = Arc::new(OneOfMany(Arc::clone(loader)));
            one
        });
        let hasher = RandomState::new();
        let pace = policy.refresh;
        let shared = Shared {
            name: self.name.into(),
            policy,
            local,
            link,
            hub,
            blind_policy,
            write_timeout: self.times.write_timeout,
            loader: self.loader.or(one_of_many),
            batch_loader: self.batch_loader,
            batch: self.batch,
            not_found: self.not_found,
            runtime: self.runtime,
            counters: self.counted.then(Counters::new),
            observers: self.observers,
            report_every: self.report_every,
            shards: (0..shards).map(|_| Guarded::new(hasher.clone())).collect(),
            hasher,
            life: Arc::default(),
            doubtful: false.into(),
            repairing: Arc::default(),
            next_repaired: 0.into(),
            reporting: false.into(),
            refreshing: pace.map(|pace| Refreshing::new(pace, self.refresh_all, shards)),
            next_warning: 0.into(),
            next_bus_warning: 0.into(),
            next_refresh_warning: 0.into(),
        };
        Ok(Cache::new(shared, registration))
    }
}

/// How the other nodes hear of a change.
fn voice(remote: &Arc<dyn AnyRemote>, hub: Option<&Arc<Hub>>, name: &str) -> Result<Voice, Error> {
    let Some(hub) = hub else {
        return Ok(Voice::Silent);
    };
    let after = || Voice::After(Arc::clone(hub), name.into());
    Ok(match hub.bus.telling() {
        Telling::Watched { server } if remote.server() == Some(server) => Voice::Silent,
        Telling::Watched { .. } => {
            return Err(Error::config(
                "the bus watches another store than this cache's L2: make it of this very `Redis`, or \
                 of a clone of it; a cluster cannot be watched, use its pub/sub",
            ));
        }
        Telling::WithChange { server, channel } if remote.server() == Some(server) => {
            let herald = Herald {
                channel,
                cache: name.into(),
                source: Arc::clone(&hub.source),
            };
            (remote.announcing(herald)).map_or_else(after, Voice::WithChange)
        }
        Telling::WithChange { .. } | Telling::Publish => after(),
    })
}

impl Times {
    fn check(&self) -> Result<(), Error> {
        if self.refresh_every.is_none() && self.stop_refresh_after.is_some() {
            return Err(Error::config(
                "stop_refresh_after without a period: give the builder refresh_every",
            ));
        }
        for (name, span) in [
            ("write_timeout", self.write_timeout),
            ("blind_local_ttl", self.blind_local_ttl),
        ] {
            if span.is_some_and(|span| span.is_zero()) {
                return Err(Error::config(format!(
                    "{name} is zero: give it a duration above zero, or leave it out"
                )));
            }
        }
        Ok(())
    }

    fn policy(&self, kind: Kind, shards: usize) -> Policy {
        let mut policy = Policy::new(kind);
        policy.ttl = self.ttl.unwrap_or(policy.ttl);
        if !kind.has_remote() {
            policy.local_ttl = policy.ttl;
        }
        policy.local_ttl = self.local_ttl.unwrap_or(policy.local_ttl);
        policy.negative_ttl = self.negative_ttl.unwrap_or(policy.negative_ttl);
        policy.jitter = self.jitter.unwrap_or(policy.jitter);
        policy.remote_timeout = self.remote_timeout.unwrap_or(policy.remote_timeout);
        policy.load_timeout = self.load_timeout.unwrap_or(policy.load_timeout);
        let lease = Policy::usual_lease(policy.load_timeout, policy.remote_timeout);
        policy.lease = self.lease.unwrap_or(lease);
        policy.lease_wait = self.lease_wait.unwrap_or(policy.lease_wait);
        let unconfirmed = self.unconfirmed.unwrap_or(DEFAULT_UNCONFIRMED);
        policy.unconfirmed = unconfirmed.div_ceil(shards);
        policy.refresh = self.refresh_every.map(|every| self.pace(every));
        policy
    }

    fn pace(&self, every: Duration) -> Pace {
        let mut pace = Pace::new(every);
        pace.stop_after = self.stop_refresh_after.unwrap_or(pace.stop_after);
        pace.at_once = self.refresh_concurrency.unwrap_or(pace.at_once);
        pace.capacity = self.refresh_capacity.unwrap_or(pace.capacity);
        pace
    }
}

impl<K, V> fmt::Debug for Builder<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

const DEFAULT_CAPACITY: usize = 10_000;
const DEFAULT_MAX_VALUE_SIZE: usize = 64 << 20;
const SEPARATOR: &str = ":";
const DEFAULT_UNCONFIRMED: usize = 8192;
