//! All that can be set on a cache, by topic.

use core::hash::Hash;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::sync::Arc;

use crate::driver::builder::Builder;
use crate::driver::builder::fleet::Connection;
use crate::driver::builder::levels::{L1, L2};
use crate::driver::bus::hub::Hub;
use crate::driver::link::namespaces::Namespaces;
use crate::driver::shared::loaders::Cap;
use crate::driver::world::erased::AnyRemote;
use crate::machine::error::BoxError;
use crate::machine::policy::Jitter;
use crate::machine::policy::breaker::Breaker;
use crate::machine::tier::wire::Wire;
use crate::ports::batch_loader::BatchLoader;
use crate::ports::bus::Bus;
use crate::ports::codec::Codec;
use crate::ports::compression::Compression;
use crate::ports::key::Key;
use crate::ports::local::Local;
use crate::ports::observer::Observer;
use crate::ports::remote::Remote;

/// L1 and L2.
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Builder<K, V> {
    /// How many entries L1 holds at most, in the default engine. Default: 10,000.
    pub fn capacity(mut self, entries: usize) -> Self {
        self.levels.l1 = L1::Sized(entries);
        self
    }

    /// The engine that [`capacity`](Self::capacity) sizes, in place of the node's.
    pub fn default_engine(mut self, engine: fn(NonZeroUsize) -> Arc<dyn Local<K, V>>) -> Self {
        self.levels.engine = engine;
        self
    }

    /// This L1, in place of the default engine.
    pub fn local(mut self, local: impl Local<K, V> + 'static) -> Self {
        self.levels.l1 = L1::Own(Arc::new(local));
        self
    }

    /// No L1.
    pub fn no_local(mut self) -> Self {
        self.levels.l1 = L1::Off;
        self
    }

    /// This L2 for this cache alone, with values written by `codec`. It need not be reachable yet.
    /// Caches on clones of one handle of Redis must have different names or namespaces.
    pub fn remote(self, remote: impl Remote, codec: impl Codec<V>) -> Self
    where
        K: Key,
    {
        self.connected(Arc::new(remote), None, Arc::new(codec))
    }

    /// No L2.
    pub fn no_remote(mut self) -> Self {
        self.levels.l2 = None;
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
        self.levels.l2 = Some(L2 {
            remote,
            namespaces,
            codec,
            write_key: K::write,
            parse_key: K::parse,
        });
        self
    }

    /// What L2's keys begin with, followed by the separator. Default: the cache's name.
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.levels.namespace = Some(namespace.to_owned());
        self
    }

    /// What stands between the namespace and the key in L2; empty for nothing. Default: a colon.
    pub fn separator(mut self, separator: &str) -> Self {
        self.levels.separator = separator.to_owned();
        self
    }

    /// How entries are written in L2. Default: [`Wire::Native`].
    pub fn wire(mut self, wire: Wire) -> Self {
        self.levels.wire = wire;
        self
    }

    /// How long an encoded value may be, in bytes before compression. A longer one is refused by an
    /// insert ([`Error::TooLarge`](crate::Error::TooLarge)), stays in L1 only if it was loaded, and
    /// is a miss if it stands in L2. Default: 64 MiB.
    pub fn max_value_size(mut self, bytes: usize) -> Self {
        self.levels.max_value_size = bytes;
        self
    }

    /// How many of the cache's first values are read back when they are written to L2: decoded,
    /// encoded again, and compared as bytes. One that does not survive that is
    /// [`Error::Encode`](crate::Error::Encode) to an insert, and stays in L1 only if it was loaded,
    /// with a warning in the log; without this it would be a miss for ever, or come back as another
    /// value. Default: 32. Zero switches it off.
    ///
    /// It finds types that their codec cannot carry, if one of the first values shows it. It cannot
    /// see a field that is left out when it is written and filled with a default when it is read,
    /// or a variant that comes later. The order of a `HashMap` does not matter.
    pub fn read_back(mut self, values: usize) -> Self {
        self.levels.read_back = values;
        self
    }

    /// One more compression that entries of L2 may have been written with, beside the codec's own.
    /// The runtime crates call this for those that they were built with.
    pub fn decompress(mut self, method: Arc<dyn Compression>) -> Self {
        self.levels.compressions.push(method);
        self
    }
}

/// Loaders and batches.
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Builder<K, V> {
    /// The loader that [`load_many`](crate::Cache::load_many) runs: a [`BatchLoader`], or a
    /// function of the keys. Without one, `load_many` runs the [`loader`](Self::loader) key by key;
    /// without that, [`load`](crate::Cache::load) runs this one for its single key.
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// use jetcache_tokio::LoadError;
    /// # jetcache_core::doc::block_on(async {
    /// let cache = jetcache_tokio::builder::<u32, String>("squares")
    ///     .batch_loader(|ids: Vec<u32>| async move {
    ///         Ok::<Vec<_>, LoadError>(ids.iter().map(|id| (*id, (id * id).to_string())).collect())
    ///     })
    ///     .build()?;
    /// let squares = cache.load_many(&[2, 3]).await.into_values()?;
    /// assert_eq!(squares, [Some("4".to_string()), Some("9".to_string())]);
    /// # Ok::<(), jetcache_tokio::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn batch_loader(mut self, loader: impl BatchLoader<K, V>) -> Self {
        self.loaders.many = Some(Arc::new(loader));
        self
    }

    /// How many keys of a batch go together: in one read of L2, one call of a loader, one write.
    /// A larger batch is split, and its parts follow one another. Default: 1000.
    pub fn batch_chunk(mut self, keys: usize) -> Self {
        self.loaders.chunk = keys;
        self
    }

    /// How many loads a [`load_many`](crate::Cache::load_many) runs at once when only a loader of
    /// single keys is registered. Default: 16.
    pub fn load_concurrency(mut self, loads: usize) -> Self {
        self.loaders.concurrency = loads;
        self
    }

    /// How many loaders of this cache may run at once, and how long a load waits for its turn; then
    /// it fails with [`Error::Overloaded`](crate::Error::Overloaded). So an L2 that is away does not
    /// take the database along. Default: no bound.
    ///
    /// A loader of many keys counts as one, whoever calls it. The wait is part of `load_timeout`. A
    /// loader that loads another key of the same cache holds its turn meanwhile: leave room for that.
    pub fn max_loads(self, loads: usize, wait: Duration) -> Self {
        self.loaders.cap.replace(Some(Cap::new(loads, wait)));
        self
    }

    /// Which errors of a loader mean that the key does not exist: they are remembered for
    /// `negative_ttl` and answered with `None`.
    ///
    /// The error is the one that the loader's `?` met. If that was an `anyhow::Error`, its type is
    /// anyhow's and a `downcast_ref` to your own finds nothing: see
    /// [`LoadError`](crate::LoadError).
    pub fn not_found_when(
        mut self,
        means_absent: impl Fn(&BoxError) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.loaders.not_found = Some(Box::new(means_absent));
        self
    }
}

/// How long things live, and how long they may take.
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Builder<K, V> {
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

    /// What is taken off every TTL at random, in percent and at most. Default: 10 %, at most 10 s.
    pub fn jitter(mut self, percent: u8, at_most: Duration) -> Self {
        self.times.jitter = Some(Jitter { percent, at_most });
        self
    }

    /// How long a caller waits for one L2 operation. Default: 250 ms.
    pub fn remote_timeout(mut self, timeout: Duration) -> Self {
        self.times.remote_timeout = Some(timeout);
        self
    }

    /// The circuit breaker of L2: when it is not asked any more, and how soon again. Default: see
    /// [`Breaker`]. Caches that share an L2 share its breaker; the first one that is built says how
    /// it is set.
    pub fn breaker(mut self, breaker: Breaker) -> Self {
        self.levels.breaker = Some(breaker);
        self
    }

    /// Without a circuit breaker: every operation asks L2, and an L2 that is away costs each of them
    /// a `remote_timeout`.
    pub fn no_breaker(mut self) -> Self {
        self.levels.breaker = None;
        self
    }

    /// How long a loader may take. Default: 10 s.
    pub fn load_timeout(mut self, timeout: Duration) -> Self {
        self.times.load_timeout = Some(timeout);
        self
    }

    /// How long the writer of a [`write_through`](crate::Cache::write_through) may take; then it is
    /// dropped, and the key is removed. Off by default.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.times.write_timeout = Some(timeout);
        self
    }

    /// How long a load's lease in L2 stands if its holder neither renews it nor gives it back: a node
    /// that dies while it loads costs the others that long at most. It is renewed, as long as the
    /// loader runs, each time that a third of it is over. Default: 8 × `remote_timeout`, and at least
    /// 1 s; less than 4 × `remote_timeout` is an error. Give it more if a loader blocks its thread for
    /// longer: then nothing can be renewed, and L2 does not take what was loaded.
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

    /// For how long a change is remembered in case another primary of L2 takes over that does not know
    /// of it: a promoted replica, or a server restarted from an older snapshot. The keys that this node
    /// changed or heard of within this time before the old one's last answer are not read from the new
    /// one before they are removed there; for as long afterwards, or until the bus of the same server
    /// is back, what is heard of is removed there too. At least as long as a replica may be behind, or clients may be cut off together with a
    /// primary that has been replaced (Sentinel's `down-after-milliseconds`, `cluster-node-timeout`);
    /// zero: what a failover loses stays lost. Default: 10 s.
    ///
    /// As many keys are remembered as may be [unconfirmed](Self::unconfirmed_capacity). If more have
    /// changed, a failover makes part of the cache do without L2 for as long as what is there may live.
    pub fn failover_window(mut self, span: Duration) -> Self {
        self.times.failover_window = Some(span);
        self
    }

    /// How many keys may be unconfirmed at once. Default: 65,536. For a key that does not fit, its bucket,
    /// one key in 65,536, is removed on all nodes as a [tag](crate::guide::tags) is, and until L2 has
    /// acknowledged that this node uses no L2 for those keys. Where L2 [keeps no log](crate::Remote::keeps_log)
    /// they do without it for the longest life that was written.
    pub fn unconfirmed_capacity(mut self, keys: usize) -> Self {
        self.times.unconfirmed = Some(keys);
        self
    }
}

/// The node among others.
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Builder<K, V> {
    /// On this node's bus.
    pub(super) fn on_bus(mut self, hub: Arc<Hub>) -> Self {
        self.fleet.bus = Some(Connection::Node(hub));
        self
    }

    /// This bus for this cache alone: its node tells the others what it changes, and hears what
    /// they change. Off by default: another node's L1 then serves what it has until `local_ttl`.
    ///
    /// Listening begins with the first call that goes further than L1. Until the subscription
    /// stands, and whenever it broke, L1 is used as without a bus; when it stands, L1 is emptied,
    /// since anything may have been missed (see [`epoch`](crate::Cache::epoch)).
    /// [`bus`](crate::Cache::bus) shows the state of the bus.
    pub fn bus(mut self, bus: impl Bus) -> Self {
        self.fleet.bus = Some(Connection::Own(Arc::new(bus)));
        self
    }

    /// What this node's source id on its own bus begins with; random digits follow, since an id is
    /// for one life. Default: 16 random hexadecimal digits and nothing else. The caches of a
    /// [`Node`](crate::Node) have that node's.
    pub fn source_id(mut self, name: &str) -> Self {
        self.fleet.source_id = Some(name.to_owned());
        self
    }

    /// How long L1 keeps an entry at most while the bus is known to be down. Off by default: then
    /// it is `local_ttl`. What L1 got while the bus was up is dropped that long after it broke.
    pub fn blind_local_ttl(mut self, ttl: Duration) -> Self {
        self.fleet.blind_local_ttl = Some(ttl);
        self
    }

    /// How old a value becomes before the registered [`loader`](Self::loader) loads it anew, for
    /// keys that are asked for with [`Call::refresh`](crate::Call::refresh);
    /// [`refresh_all`](Self::refresh_all) means every key that is loaded. Off by default.
    ///
    /// One node of the fleet loads, under the lease of the key as every load is, and the others
    /// copy from L2 what it has stored. A reader that L1 cannot answer does not wait for that if L2
    /// has a value. Only calls that ask for refresh keep a key fresh, and one whose load failed
    /// does not. The first refresh of a key comes at random in the second half of the period, so
    /// that keys which were asked for together are not loaded together. A loader that fails leaves
    /// the value as it is, and runs again after twice the period, then 4 times and 8 times, on each
    /// node that keeps the key fresh; so does an L2 that fails at a key's turn. A change of the key
    /// during a refresh wins over it. On a bus that watches L2 a refresh empties its own entry of
    /// L1. While L2 does not answer nothing is refreshed, unless the cache has no L2.
    ///
    /// With [`Wire::JetcacheGo`] the services, Go's among them, take turns by jetcache-go's lock,
    /// the key `<key>_#RL#`; a refresh that failed gives it back.
    /// A period longer than `ttl` refreshes what has ended already.
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// use jetcache_tokio::{Call, LoadError};
    /// use std::time::Duration;
    /// # jetcache_core::doc::block_on(async {
    /// let cache = jetcache_tokio::builder::<String, u32>("rates")
    ///     .loader(|_currency: String| async move { Ok::<_, LoadError>(100) })
    ///     .refresh_every(Duration::from_secs(30))
    ///     .build()?;
    /// let rate = cache.load_with("EUR", &Call::new().refresh()).await?;
    /// assert_eq!((rate, cache.activity().refreshes), (Some(100), 1));
    /// # Ok::<(), jetcache_tokio::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn refresh_every(mut self, period: Duration) -> Self {
        self.times.refresh_every = Some(period);
        self
    }

    /// Keeps every key fresh that is asked for through [`load`](crate::Cache::load) and
    /// [`load_many`](crate::Cache::load_many) and their `_with` forms. It needs
    /// [`refresh_every`](Self::refresh_every) and a registered loader.
    pub fn refresh_all(mut self) -> Self {
        self.fleet.refresh_all = true;
        self
    }

    /// How long a key is still refreshed after the last call that loads and wants it fresh.
    /// Default: `refresh_every` + 1 s.
    pub fn stop_refresh_after(mut self, idle: Duration) -> Self {
        self.times.stop_refresh_after = Some(idle);
        self
    }

    /// How many refreshes run at once; keys whose turn has come wait for one to end. Default: 4.
    pub fn refresh_concurrency(mut self, refreshes: usize) -> Self {
        self.times.refresh_concurrency = Some(refreshes);
        self
    }

    /// How many keys are kept fresh at most. Others are loaded without refresh and counted as
    /// [`not_refreshed`](crate::Stats::not_refreshed). Default: 10,000.
    pub fn refresh_capacity(mut self, keys: usize) -> Self {
        self.times.refresh_capacity = Some(keys);
        self
    }
}

/// What observers and statistics show of it.
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Builder<K, V> {
    /// Shows this observer every event, beside those that were given before.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// Checks one L1 hit in so many against L2, in the background: 1 means all of them. Off by
    /// default; it needs both levels and a bus.
    ///
    /// What L1 has is compared with L2 a second after the hit, and if they differ, twelve seconds later
    /// again: a bus that broke in silence has noticed by then. If L1 has the same entry still, and L2
    /// the same other one, while the subscription stood and no load of the key was under way, this node
    /// answers what the others do not: [`Stats::differences`](crate::Stats::differences) counts it,
    /// observers see [`Event::Differs`](crate::Event::Differs), and the log warns with the key, at most
    /// once in ten seconds. A change was told to nobody then (somebody wrote to L2 or to the database by
    /// other ways), or this cache or its bus is at fault. Nothing is removed.
    ///
    /// Values are compared by their encoded bytes, in whatever order. Two loads of an unchanged row must
    /// bring the same ones, no time of the load among them: what skips L2, or is not taken by it, stands
    /// in L1 alone. What L2 lacks, or nobody can read, is not compared. At most 64 hits are checked at
    /// once; hits of [`peek`](crate::Cache::peek), `exists` and `get_many` never are.
    ///
    /// It costs a hit one counter of the thread's own, and L2 a read of all that are due. The idea is
    /// that of Polaris, which watches Meta's TAO ("Cache made consistent", 2022).
    pub fn check_one_in(mut self, hits: u32) -> Self {
        self.fleet.check_one_in = Some(hits);
        self
    }

    /// No counting: [`stats`](crate::Cache::stats) stays zero, and the counters that `Metrics` and
    /// `OpenTelemetry` export. Observers still see every event.
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
}
