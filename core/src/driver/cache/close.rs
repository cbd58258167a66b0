//! Calls that wait for background tasks: listen, confirmed and close.

use core::hash::Hash;
use std::borrow::ToOwned;
use std::sync::Arc;

use futures_util::future::{Either, select};

use crate::driver::bus::hub::PATIENCE;
use crate::driver::bus::publisher::ensure_publisher;
use crate::driver::cache::Cache;
use crate::driver::change::repair::repair;
use crate::driver::generations::raise::raise_again;
use crate::driver::report::show_last;
use crate::driver::shared::address::Address;
use crate::driver::task::chore::GRACE;
use crate::machine::error::Error;
use crate::machine::policy::backoff::Backoff;
use crate::machine::time::Timestamp;
use crate::ports::bus::BusState;

/// Listening to the bus, waiting for confirmation, and closing.
impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Cache<K, V> {
    /// Subscribes to the bus now and waits for up to 6 s until the subscription stands or has
    /// failed; returns the state of the bus. Rarely needed: the first call beyond L1 subscribes
    /// too. If the bus is down, this tries again at once; but it answers [`BusState::Down`] while the
    /// circuit breaker of the bus's server is open. Without a bus it does not wait.
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
            // Before the look at the state, or a ring in between is lost.
            let stirs = hub.stirs();
            if self.shared.life.is_closed() {
                return BusState::None;
            }
            if let Some(state) = hub.outcome(number, failures) {
                return state;
            }
            self.ensure_tasks();
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

    /// Waits until L2 has confirmed every change of `key` that this node made: what a change that
    /// answered [`Reach::Pending`](crate::Reach::Pending) left to be done is done then. No older
    /// value is in L2, and the other nodes are told; but neither is the value of an insert that was
    /// pending.
    ///
    /// It returns at once if nothing is pending, and waits for as long as L2 is away: bound it with
    /// your runtime's timeout. If more changes are pending than there is room to remember,
    /// it waits until the bucket of the key is raised, or, where L2 keeps no log, until it is no longer
    /// [bypassed](crate::Activity::bypassed).
    ///
    /// # Errors
    /// [`Error::Closed`] if the cache is closed before, [`Error::Key`] if the key's text is not what it
    /// should be.
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting and nothing else.
    ///
    /// ```
    /// # use jetcache_core::doc::runtime as jetcache_tokio;
    /// use jetcache_tokio::Reach;
    ///
    /// # let cache = jetcache_tokio::builder::<u32, String>("names").build()?;
    /// # jetcache_core::doc::block_on(async {
    /// if cache.invalidate(&7).await == Reach::Pending {
    ///     cache.confirmed(&7).await?;
    /// }
    /// # Ok::<(), jetcache_tokio::Error>(())
    /// # })?;
    /// # Ok::<(), jetcache_tokio::Error>(())
    /// ```
    pub async fn confirmed<Q>(&self, key: &Q) -> Result<(), Error>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let address = self.shared.address(Arc::new(key.to_owned()))?;
        let Address {
            key, shard, bucket, ..
        } = address;
        let is_confirmed = || {
            (self.shared).ask(shard, |table, context, _| {
                table.is_confirmed(&key, bucket, context)
            })
        };
        self.wait_until(is_confirmed).await
    }

    /// Looks again, after growing pauses, until it is so.
    ///
    /// # Errors
    /// [`Error::Closed`] if the cache is closed before.
    pub(in crate::driver::cache) async fn wait_until(
        &self,
        is_so: impl Fn() -> bool,
    ) -> Result<(), Error> {
        let mut looks = 0;
        while !is_so() {
            if self.shared.life.is_closed() {
                return Err(Error::Closed);
            }
            self.ensure_tasks();
            let pause = Backoff::CONFIRMATION.pause(looks);
            self.shared.runtime.sleep(pause).await;
            looks += 1;
        }
        Ok(())
    }

    /// Closes the cache: new loads and inserts are refused with
    /// [`Error::Closed`](crate::Error::Closed), a read without a loader is a miss, nothing is
    /// refreshed any more.
    ///
    /// It waits for loads and changes that are under way, for at most `load_timeout` + 4 ×
    /// `remote_timeout`. Then it sends unconfirmed removals once more, as long as L2 confirms any,
    /// tells the other nodes what they have not heard yet, and empties L1. What is to be told by a bus
    /// whose breaker is open is left to the other caches of its node, if there are any on that server.
    ///
    /// It closes every handle of this cache, and may be called any number of times.
    ///
    /// # Cancellation
    /// Dropping the future leaves the cache closed; what was not drained goes on by itself.
    pub async fn close(&self) {
        let shared = &self.shared;
        shared.life.close();
        let patience = {
            let policy = &shared.rules.now().policy;
            let remotely = policy.remote_timeout.saturating_mul(4);
            policy.load_timeout.saturating_add(remotely)
        };
        let mut patience = shared.runtime.sleep(patience);
        loop {
            let idle = shared.life.idles();
            if !shared.life.is_busy() {
                break;
            }
            match select(idle, patience).await {
                Either::Left(((), rest)) => patience = rest,
                Either::Right(_) => break,
            }
        }
        if let Some(keys) = &shared.fresh_keys {
            keys.clear();
        }
        if let Some(gate) = shared.link.as_ref().and_then(|link| link.gate.as_ref()) {
            // It may be back, and nobody have noticed yet.
            gate.retry().await;
        }
        // Until nothing is left, or L2 acknowledges nothing.
        raise_again(shared, Timestamp::MAX).await;
        while repair(shared, Timestamp::MAX).await.contains(&true) {}
        self.handle.leave();
        // Off the bus nothing is heard any more, so L1 must hold nothing.
        self.clear_local();
        self.drain_outbox().await;
        // A load that outlasted the wait may have written since.
        self.clear_local();
        show_last(shared);
    }

    async fn drain_outbox(&self) {
        let Some(hub) = &self.shared.hub else {
            return;
        };
        let mut patience = hub.runtime.sleep(PATIENCE);
        loop {
            let stirs = hub.stirs();
            ensure_publisher(hub);
            // Behind a breaker that is open it is left to the node's other caches.
            if !hub.telling.is_taken() || hub.bar().is_some() {
                return;
            }
            match select(stirs, patience).await {
                Either::Left(((), rest)) => patience = rest,
                Either::Right(_) => return,
            }
        }
    }
}
