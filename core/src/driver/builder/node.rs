//! One participant of the fleet: the parent of many caches.

use core::fmt;
use core::hash::Hash;
use core::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use crate::driver::builder::Builder;
use crate::driver::builder::fleet::Fleet;
use crate::driver::builder::levels::Levels;
use crate::driver::builder::times::Times;
use crate::driver::bus::hub::Hub;
use crate::driver::cache::Cache;
use crate::driver::link::namespaces::Namespaces;
use crate::driver::lru::LruEngine;
use crate::driver::shared::loaders::Loaders;
use crate::driver::world::erased::{AnyBus, AnyRemote, AnyRuntime};
use crate::ports::bus::Bus;
use crate::ports::codec::Codec;
use crate::ports::compression::Compression;
use crate::ports::engine::Engine;
use crate::ports::key::Key;
use crate::ports::observer::Observer;
use crate::ports::remote::Remote;
use crate::ports::runtime::Runtime;

/// What the caches of one program have in common: the runtime, the L2 and its connection, the
/// observers. Each cache has types, a name and settings of its own.
///
/// It is a handle: clones are cheap, and caches live on without it. What is set here holds for the
/// builders that it makes afterwards. The runtime crates have a `node()` of their own that knows
/// the runtime, the L1 engine and the compressions.
///
/// ```
/// # use jetcache_core::doc::runtime as jetcache_tokio;
/// use jetcache_tokio::{Event, Observer};
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// struct Log;
///
/// impl Observer for Log {
///     fn on(&self, cache: &str, event: &Event) {
///         println!("{cache}: {event:?}");
///     }
/// }
///
/// let node = jetcache_tokio::node().observer(Log);
/// let users = node.local_cache::<u64, Arc<str>>("users").build()?;
/// let orders = node
///     .local_cache::<(u64, u32), Arc<str>>("orders")
///     .ttl(Duration::from_secs(600))
///     .build()?;
/// # let _ = (users, orders);
/// # Ok::<(), jetcache_tokio::Error>(())
/// ```
pub struct Node<E = LruEngine> {
    runtime: Arc<dyn AnyRuntime>,
    l2: Option<SharedL2>,
    bus: Option<Arc<dyn AnyBus>>,
    source_id: Option<Arc<str>>,
    /// Made by the first cache that is on the bus.
    hub: Arc<OnceLock<Arc<Hub>>>,
    observers: Vec<Arc<dyn Observer>>,
    compressions: Vec<Arc<dyn Compression>>,
    engine: PhantomData<fn() -> E>,
}

/// An L2 for many caches, and what they have taken of it.
type SharedL2 = (Arc<dyn AnyRemote>, Arc<Namespaces>);

impl Node {
    /// A node on this runtime, without an L2, whose caches have core's LRU as their L1.
    #[must_use]
    pub fn new(runtime: impl Runtime) -> Self {
        Self {
            runtime: Arc::new(runtime),
            l2: None,
            bus: None,
            source_id: None,
            hub: Arc::default(),
            observers: Vec::new(),
            compressions: Vec::new(),
            engine: PhantomData,
        }
    }
}

impl<E: Engine> Node<E> {
    /// The L2 of all its caches. It need not be reachable yet.
    #[must_use]
    pub fn remote(mut self, remote: impl Remote) -> Self {
        self.l2 = Some((Arc::new(remote), Arc::default()));
        self
    }

    /// The bus of all its caches that are in its L2: see [`Builder::bus`]. They share one
    /// subscription and one source id.
    #[must_use]
    pub fn bus(mut self, bus: impl Bus) -> Self {
        self.bus = Some(Arc::new(bus));
        self.hub = Arc::default();
        self
    }

    /// What its source id on the bus begins with; random digits follow, since an id is for one
    /// life. Default: 16 random hexadecimal digits and nothing else.
    #[must_use]
    pub fn source_id(mut self, name: &str) -> Self {
        self.source_id = Some(name.into());
        self.hub = Arc::default();
        self
    }

    /// Shows this observer every event of all its caches, beside those that were given before.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// One more compression that entries of L2 may have been written with; see
    /// [`Builder::decompress`].
    #[must_use]
    pub fn decompress(mut self, method: Arc<dyn Compression>) -> Self {
        self.compressions.push(method);
        self
    }

    /// Another kind of L1 for its caches. The runtime crates call this.
    #[must_use]
    pub fn engine<F: Engine>(self) -> Node<F> {
        Node {
            runtime: self.runtime,
            l2: self.l2,
            bus: self.bus,
            source_id: self.source_id,
            hub: self.hub,
            observers: self.observers,
            compressions: self.compressions,
            engine: PhantomData,
        }
    }

    /// A builder for a cache of this name, whose values `codec` writes for L2, if there is one.
    ///
    /// In L2 its keys begin with the name and a colon; [`namespace`](Builder::namespace) and
    /// [`separator`](Builder::separator) change that. No two living caches of a node may share
    /// keys: [`build`](Builder::build) refuses one whose keys begin as those of another do, or the
    /// other way round, until the last handle of that other is dropped.
    pub fn cache<K, V>(&self, name: &str, codec: impl Codec<V>) -> Builder<K, V>
    where
        K: Key + Hash + Eq + Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        let builder = self.local_cache(name);
        let builder = match &self.l2 {
            None => builder,
            Some((remote, taken)) => {
                builder.connected(Arc::clone(remote), Some(Arc::clone(taken)), Arc::new(codec))
            }
        };
        match &self.bus {
            None => builder,
            Some(bus) => {
                let hub = self.hub.get_or_init(|| {
                    let (bus, runtime) = (Arc::clone(bus), Arc::clone(&self.runtime));
                    Hub::new(bus, runtime, self.source_id.as_deref())
                });
                builder.on_bus(Arc::clone(hub))
            }
        }
    }

    /// A builder for a cache of this name that is not in the node's L2: its keys need no text form
    /// and its values no codec.
    pub fn local_cache<K, V>(&self, name: &str) -> Builder<K, V>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        Builder {
            name: name.into(),
            runtime: Arc::clone(&self.runtime),
            levels: Levels::new(E::local, self.compressions.clone()),
            loaders: Loaders::default(),
            times: Times::default(),
            fleet: Fleet::default(),
            observers: self.observers.clone(),
            counted: true,
            report_every: None,
        }
    }
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Cache<K, V> {
    /// A builder for a cache of this name on this runtime, in a [`Node`] of its own. The runtime
    /// crates have a `builder` of their own that knows the runtime and the L1 engine.
    pub fn builder(name: &str, runtime: impl Runtime) -> Builder<K, V> {
        Node::new(runtime).local_cache(name)
    }
}

impl<E> Clone for Node<E> {
    fn clone(&self) -> Self {
        Self {
            runtime: Arc::clone(&self.runtime),
            l2: self.l2.clone(),
            bus: self.bus.clone(),
            source_id: self.source_id.clone(),
            hub: Arc::clone(&self.hub),
            observers: self.observers.clone(),
            compressions: self.compressions.clone(),
            engine: PhantomData,
        }
    }
}

impl<E> fmt::Debug for Node<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespaces = self.l2.as_ref().map(|(_, taken)| taken);
        f.debug_struct("Node")
            .field("namespaces", &namespaces)
            .field("hub", &self.hub.get())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroUsize;

    use super::*;
    use crate::doc::Threads;
    use crate::driver::lru::LruLocal;
    use crate::ports::local::Local;

    struct Tiny;

    impl Engine for Tiny {
        fn local<K, V>(_: NonZeroUsize) -> Arc<dyn Local<K, V>>
        where
            K: Hash + Eq + Clone + Send + Sync + 'static,
            V: Clone + Send + Sync + 'static,
        {
            Arc::new(LruLocal::new(NonZeroUsize::MIN))
        }
    }

    fn is_shared<T: Send + Sync + fmt::Debug + Clone>(_: &T) {}

    #[test]
    fn caches_have_the_engine_of_their_node() {
        let node = Node::new(Threads).engine::<Tiny>();
        is_shared(&node);
        let most = |builder: Builder<u64, u64>| {
            let cache = builder.build().unwrap();
            for key in 0..100 {
                let inserted = crate::doc::block_on(cache.insert(key, key));
                assert!(inserted.is_ok());
            }
            cache.len()
        };
        assert_eq!(most(node.local_cache("tiny")), 1);
        assert_eq!(most(node.local_cache("tiny").no_local().capacity(100)), 1);
        assert!(most(node.engine::<LruEngine>().local_cache("large")) > 90);
    }
}
