//! The settings of a node among others: its bus, and keeping keys fresh.

use core::hash::Hash;
use core::time::Duration;
use std::sync::Arc;

use crate::driver::builder::Builder;
use crate::driver::builder::times::{Times, refuse_zero};
use crate::driver::bus::hub::Hub;
use crate::driver::shared::loaders::Loaders;
use crate::driver::world::erased::{AnyBus, AnyRuntime};
use crate::machine::error::Error;
use crate::machine::policy::Kind;
use crate::ports::bus::Bus;

#[derive(Default)]
pub(super) struct Fleet {
    bus: Option<Connection>,
    source_id: Option<String>,
    pub(super) blind_local_ttl: Option<Duration>,
    pub(super) refresh_all: bool,
}

/// A bus of the cache's own, or its node's.
enum Connection {
    Own(Arc<dyn AnyBus>),
    Node(Arc<Hub>),
}

impl Fleet {
    /// # Errors
    /// [`Error::Config`] for settings that need others.
    pub(super) fn check<K, V>(&self, times: &Times, loaders: &Loaders<K, V>) -> Result<(), Error> {
        if self.refresh_all && (times.refresh_every.is_none() || loaders.one.is_none()) {
            return Err(Error::config(
                "refresh_all without a period or a loader: give the builder refresh_every and a \
                 loader",
            ));
        }
        if times.refresh_every.is_none() && times.stop_refresh_after.is_some() {
            return Err(Error::config(
                "stop_refresh_after without a period: give the builder refresh_every",
            ));
        }
        refuse_zero("blind_local_ttl", self.blind_local_ttl)
    }

    /// The bus as the cache is on it.
    ///
    /// # Errors
    /// [`Error::Config`] for a bus without an L2, and for settings of a bus that there is none of.
    pub(super) fn hub(
        &self,
        runtime: &Arc<dyn AnyRuntime>,
        kind: Kind,
    ) -> Result<Option<Arc<Hub>>, Error> {
        match &self.bus {
            None if self.source_id.is_some() || self.blind_local_ttl.is_some() => {
                Err(Error::config(
                    "source_id and blind_local_ttl are about a bus: give the builder one, or leave \
                     them out",
                ))
            }
            None => Ok(None),
            Some(_) if !kind.has_remote() => Err(Error::config(
                "a bus without an L2: give the builder a remote, or leave the bus out; a node's \
                 local_cache has neither",
            )),
            Some(Connection::Node(_)) if self.source_id.is_some() => Err(Error::config(
                "source_id: a cache on its node's bus has the node's, set it there",
            )),
            Some(Connection::Node(hub)) => Ok(Some(Arc::clone(hub))),
            Some(Connection::Own(bus)) => {
                let (bus, runtime) = (Arc::clone(bus), Arc::clone(runtime));
                Ok(Some(Hub::new(bus, runtime, self.source_id.as_deref())))
            }
        }
    }
}

/// The node among others.
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Builder<K, V> {
    /// On this node's bus.
    pub(super) fn on_bus(mut self, hub: Arc<Hub>) -> Self {
        self.fleet.bus = Some(Connection::Node(hub));
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
        self.fleet.bus = Some(Connection::Own(Arc::new(bus)));
        self
    }

    /// What this node's source id on its own bus begins with: what follows is random, since an id is
    /// one life's. Default: 16 random hexadecimal digits and nothing else. The caches of a [`Node`]
    /// have that node's.
    pub fn source_id(mut self, name: &str) -> Self {
        self.fleet.source_id = Some(name.to_owned());
        self
    }

    /// How long L1 keeps an entry at most while the bus is known to be down. Off by default: then it
    /// is `local_ttl`, as without a bus. What L1 got while the bus was up is dropped that long after
    /// it broke.
    pub fn blind_local_ttl(mut self, ttl: Duration) -> Self {
        self.fleet.blind_local_ttl = Some(ttl);
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
        self.fleet.refresh_all = true;
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
}
