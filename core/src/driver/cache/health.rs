//! Whether L2 is there: what this node knows, and what it finds out when it asks.

mod inspect;

use core::hash::Hash;
use core::time::Duration;

use crate::driver::bus::hub::BusHealth;
use crate::driver::cache::Cache;
use crate::driver::link::gate::RemoteHealth;
use crate::machine::error::Fault;

impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Cache<K, V> {
    /// How L2 is, as far as this node knows: nothing is sent. `None` without an L2, and without a
    /// [breaker](crate::Builder::no_breaker).
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// # use jetcache_tokio::BreakerState;
    /// # let cache = jetcache_tokio::builder::<u32, String>("names").build()?;
    /// if let Some(health) = cache.remote()
    ///     && health.state != BreakerState::Closed
    /// {
    ///     println!("L2 has been away for {:?}: {:?}", health.lasts, health.fault);
    /// }
    /// # Ok::<(), jetcache_tokio::Error>(())
    /// ```
    #[must_use]
    pub fn remote(&self) -> Option<RemoteHealth> {
        let gate = self.shared.link.as_ref()?.gate.as_ref()?;
        let tables = self.shared.tables.each();
        Some(RemoteHealth {
            remembered: tables.map(|table| table.remembered()).sum(),
            ..gate.health()
        })
    }

    /// How the bus is, and what failed there last: nothing is sent. `None` without a bus, and when
    /// the cache is closed. The bus is asked by [`listen`](Self::listen).
    #[must_use]
    pub fn bus_health(&self) -> Option<BusHealth> {
        let hub = self.shared.hub.as_ref()?;
        (!self.shared.life.is_closed()).then(|| hub.health())
    }

    /// Asks L2 for a sign of life, whatever its breaker says, and returns how long the answer took:
    /// what a readiness probe needs. It reads a key of this cache's; of a cluster it asks every
    /// server that this cache has met. The breaker
    /// learns of the outcome, so an answer closes it.
    ///
    /// # Errors
    /// [`Fault::Timeout`] after `remote_timeout`, or why L2 cannot be reached. Without an L2 it is
    /// [`Fault::Refused`].
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting and nothing else.
    pub async fn ping(&self) -> Result<Duration, Fault> {
        let Some(link) = &self.shared.link else {
            return Err(Fault::Refused("this cache has no L2".into()));
        };
        self.ensure_tasks();
        link.ping().await
    }
}
