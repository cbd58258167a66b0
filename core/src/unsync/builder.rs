//! Builds a cache of one thread.

use core::fmt;
use core::hash::Hash;
use core::marker::PhantomData;
use core::num::NonZeroUsize;
use core::time::Duration;

use crate::machine::error::Error;
use crate::machine::policy::{Jitter, Policy};
use crate::machine::tier::lru::Lru;
use crate::ports::codec::Codec;
use crate::ports::key::Key;
use crate::unsync::cache::Cache;
use crate::unsync::level2::{Bytes, Level2, Nothing};
use crate::unsync::state::State;
use crate::unsync::store::Store;
use crate::unsync::tasks::Tasks;
use crate::unsync::timer::Timer;

/// Builds a [`Cache`], or [`Tasks`].
///
/// The settings mean what those of [`Builder`](crate::Builder) mean, and have the same defaults, but for
/// those that say otherwise.
pub struct Builder<K, V, L = Nothing> {
    capacity: NonZeroUsize,
    level2: L,
    policy: Policy,
    local_ttl: Option<Duration>,
    unconfirmed: Option<usize>,
    of: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Builder<K, V> {
    /// A cache whose L1 has at most `capacity` entries.
    #[must_use]
    pub fn new(capacity: NonZeroUsize) -> Self {
        Self::over(capacity, Nothing)
    }

    /// Gives the cache an L2. Its values are at most [`MAX_VALUE_SIZE`](Self::MAX_VALUE_SIZE) bytes long.
    #[must_use]
    pub fn store<S: Store, C: Codec<V>>(self, store: S, codec: C) -> Builder<K, V, Bytes<S, C>>
    where
        K: Key,
    {
        let over = Builder::over(
            self.capacity,
            Bytes::new(store, codec, Self::MAX_VALUE_SIZE),
        );
        Builder {
            policy: Policy {
                kind: over.policy.kind,
                ..self.policy
            },
            local_ttl: self.local_ttl,
            unconfirmed: self.unconfirmed,
            ..over
        }
    }

    /// How long an encoded value may be, in bytes, unless the builder is told otherwise.
    pub const MAX_VALUE_SIZE: usize = 4096;
}

impl<K, V, S, C> Builder<K, V, Bytes<S, C>> {
    /// How long an encoded value may be, in bytes. Two buffers grow as long as the longest.
    #[must_use]
    pub fn max_value_size(self, bytes: usize) -> Self {
        Self {
            level2: self.level2.limited(bytes),
            ..self
        }
    }
}

impl<K, V, L: Level2<K, V>> Builder<K, V, L> {
    fn over(capacity: NonZeroUsize, level2: L) -> Self {
        let mut policy = Policy::new(L::KIND);
        // There is no other primary that could take over.
        policy.failover_window = Duration::ZERO;
        // Leases are kept here: asking for one looks at nothing.
        policy.lease_first = None;
        Self {
            capacity,
            level2,
            policy,
            local_ttl: None,
            unconfirmed: None,
            of: PhantomData,
        }
    }

    /// How long a value is fresh.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.policy.ttl = ttl;
        self
    }

    /// How long L1 keeps an entry at most. Default: the TTL without an L2, a minute with one.
    #[must_use]
    pub fn local_ttl(mut self, ttl: Duration) -> Self {
        self.local_ttl = Some(ttl);
        self
    }

    /// How long "does not exist" is remembered.
    #[must_use]
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.policy.negative_ttl = ttl;
        self
    }

    /// What is taken off every TTL.
    #[must_use]
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.policy.jitter = jitter;
        self
    }

    /// How long after its TTL a value may be served when it cannot be loaded anew.
    #[must_use]
    pub fn stale_for(mut self, window: Duration) -> Self {
        self.policy.stale_for = window;
        self
    }

    /// How long a key whose load failed is answered with its stale value before the next attempt.
    #[must_use]
    pub fn stale_retry(mut self, span: Duration) -> Self {
        self.policy.stale_retry = span;
        self
    }

    /// How long a loader of [`Tasks`] may take. A [`Cache`] cannot stop a loader that runs.
    #[must_use]
    pub fn load_timeout(mut self, span: Duration) -> Self {
        self.policy.load_timeout = span;
        self
    }

    /// How many changes that L2 has not confirmed are remembered by their keys. Default: as many as L1 has
    /// entries.
    #[must_use]
    pub fn unconfirmed(mut self, keys: usize) -> Self {
        self.unconfirmed = Some(keys);
        self
    }

    /// The cache.
    ///
    /// # Errors
    /// [`Error::Config`] for settings that cannot work.
    pub fn build(self) -> Result<Cache<K, V, L>, Error>
    where
        K: Hash + Eq + Clone,
        V: Clone,
    {
        Ok(Cache::of(self.state()?))
    }

    /// The cache for the tasks of one executor.
    ///
    /// # Errors
    /// [`Error::Config`] for settings that cannot work.
    pub fn build_tasks<T: Timer>(self, timer: T) -> Result<Tasks<K, V, T, L>, Error>
    where
        K: Hash + Eq + Clone,
        V: Clone,
    {
        Ok(Tasks::of(self.state()?, timer))
    }

    fn state(self) -> Result<State<K, V, L>, Error>
    where
        K: Hash + Eq + Clone,
        V: Clone,
    {
        let mut policy = self.policy;
        if !L::KIND.has_remote() {
            policy.local_ttl = policy.ttl;
        }
        policy.local_ttl = self.local_ttl.unwrap_or(policy.local_ttl);
        policy.unconfirmed = self.unconfirmed.unwrap_or(self.capacity.get());
        policy.check_alone()?;
        self.level2.check()?;
        Ok(State::new(policy, Lru::new(self.capacity), self.level2))
    }
}

impl<K, V, L> fmt::Debug for Builder<K, V, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("capacity", &self.capacity)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
