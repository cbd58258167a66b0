//! An L2 that breaks as the switchboard says.

use core::future::Future;
use core::time::Duration;

use jetcache_core::machine::generations::scope::TOP_SUFFIX;
use jetcache_core::ports::remote::{
    Claim, Claimed, Ensure, Ensured, Extend, Extended, Fill, Filled, Found, Herald, Hold,
    Inspected, LeaseAsk, Leased, Mark, NewsPage, Placed, Put, Raise, Raised, Settle, Wire,
};
use jetcache_core::{Fault, Remote, Token};

use crate::faults::board::{Fate, Faults};

/// Any [`Remote`], with the faults of a switchboard. With none set it does what the wrapped does.
///
/// It has the wrapped one's [`server`](Remote::server): caches on both share a circuit breaker, and
/// the bus of the wrapped serves it.
#[derive(Clone, Debug)]
pub struct Faulty<R> {
    remote: R,
    faults: Faults,
}

impl<R: Remote> Faulty<R> {
    /// Wraps an L2. Its clones, and other wrappers, may have the same `faults`.
    #[must_use]
    pub const fn new(remote: R, faults: Faults) -> Self {
        Self { remote, faults }
    }

    /// What it wraps: asked directly, nothing goes wrong.
    #[must_use]
    pub const fn inner(&self) -> &R {
        &self.remote
    }

    async fn one<T, F>(&self, work: impl FnOnce() -> F + Send) -> Result<T, Fault>
    where
        T: Send,
        F: Future<Output = Result<T, Fault>> + Send,
    {
        let answer = match self.faults.fate().await {
            Fate::Carried => work().await,
            Fate::Lost(fault) => {
                // It was asked for and is not to be known.
                let _ = work().await;
                Err(fault)
            }
            Fate::Failed(fault) => return Err(fault),
        };
        self.faults.answer().await;
        answer
    }

    /// One outcome for each of `keys` keys.
    async fn all<T, F>(&self, keys: usize, work: impl FnOnce() -> F + Send) -> Vec<Result<T, Fault>>
    where
        T: Send,
        F: Future<Output = Vec<Result<T, Fault>>> + Send,
    {
        let work = || async { Ok(work().await) };
        match self.one(work).await {
            Ok(outcomes) => outcomes,
            Err(fault) => (0..keys).map(|_| Err(fault.clone())).collect(),
        }
    }
}

impl<R: Remote> Remote for Faulty<R> {
    async fn read(&self, keys: &[&str], wire: Wire) -> Vec<Result<Option<Found>, Fault>> {
        let mut read = self.all(keys.len(), || self.remote.read(keys, wire)).await;
        for (key, found) in keys.iter().zip(&mut read) {
            if let Ok(Some(found)) = found
                && !key.ends_with(TOP_SUFFIX)
            {
                self.faults.corrupt(found);
            }
        }
        read
    }

    async fn lease(&self, asks: &[LeaseAsk<'_>], wire: Wire) -> Vec<Result<Leased, Fault>> {
        let mut leased = self.all(asks.len(), || self.remote.lease(asks, wire)).await;
        for found in leased.iter_mut().flatten().flat_map(|it| &mut it.found) {
            self.faults.corrupt(found);
        }
        leased
    }

    async fn fill(&self, fills: &[Fill<'_>], wire: Wire) -> Vec<Result<Filled, Fault>> {
        self.all(fills.len(), || self.remote.fill(fills, wire))
            .await
    }

    async fn renew(&self, asks: &[LeaseAsk<'_>]) -> Vec<Result<bool, Fault>> {
        self.all(asks.len(), || self.remote.renew(asks)).await
    }

    async fn extend(&self, extends: &[Extend<'_>]) -> Vec<Result<Extended, Fault>> {
        self.all(extends.len(), || self.remote.extend(extends))
            .await
    }

    async fn release(&self, holds: &[Hold<'_>]) -> Vec<Result<(), Fault>> {
        self.all(holds.len(), || self.remote.release(holds)).await
    }

    async fn claim(&self, claims: &[Claim<'_>], wire: Wire) -> Vec<Result<Claimed, Fault>> {
        self.all(claims.len(), || self.remote.claim(claims, wire))
            .await
    }

    async fn put(&self, puts: &[Put<'_>], wire: Wire) -> Vec<Result<Placed, Fault>> {
        self.all(puts.len(), || self.remote.put(puts, wire)).await
    }

    async fn settle(&self, settles: &[Settle<'_>], wire: Wire) -> Vec<Result<Filled, Fault>> {
        self.all(settles.len(), || self.remote.settle(settles, wire))
            .await
    }

    async fn remove(&self, keys: &[&str]) -> Vec<Result<(), Fault>> {
        self.all(keys.len(), || self.remote.remove(keys)).await
    }

    async fn unload(&self, keys: &[&str]) -> Vec<Result<(), Fault>> {
        self.all(keys.len(), || self.remote.unload(keys)).await
    }

    async fn lock(&self, name: &str, token: Token, life: Duration) -> Result<bool, Fault> {
        self.one(|| self.remote.lock(name, token, life)).await
    }

    async fn unlock(&self, name: &str, token: Token) -> Result<(), Fault> {
        self.one(|| self.remote.unlock(name, token)).await
    }

    async fn raise(&self, raise: &Raise<'_>) -> Result<Raised, Fault> {
        self.one(|| self.remote.raise(raise)).await
    }

    async fn news(&self, namespace: &str, since: Mark) -> Result<NewsPage, Fault> {
        self.one(|| self.remote.news(namespace, since)).await
    }

    async fn ensure(&self, ensure: &Ensure<'_>) -> Result<Ensured, Fault> {
        self.one(|| self.remote.ensure(ensure)).await
    }

    async fn inspect(&self, key: &str, wire: Wire) -> Result<Inspected, Fault> {
        let mut seen = self.one(|| self.remote.inspect(key, wire)).await;
        if let Ok(Inspected {
            found: Some(found), ..
        }) = &mut seen
        {
            self.faults.corrupt(found);
        }
        seen
    }

    fn keeps_log(&self) -> bool {
        self.remote.keeps_log()
    }

    fn failovers(&self) -> Option<u64> {
        self.remote.failovers()
    }

    fn server(&self) -> Option<u64> {
        self.remote.server()
    }

    fn server_of(&self, key: &str) -> Option<u64> {
        self.remote.server_of(key)
    }

    fn announcing(&self, herald: Herald) -> Option<Self> {
        let remote = self.remote.announcing(herald)?;
        Some(Self::new(remote, self.faults.clone()))
    }
}
