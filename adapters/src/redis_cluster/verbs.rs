//! The verbs, and the locks, each done slot by slot as [`Redis`] does it.

use std::time::Duration;

use jetcache_core::machine::generations::scope::top_key;
use jetcache_core::ports::remote::{
    Claim, Claimed, Ensure, Ensured, Extend, Extended, Fill, Filled, Found, Herald, Hold,
    Inspected, LeaseAsk, Leased, Mark, NewsPage, Placed, Put, Raise, Raised, Settle, Wire,
};
use jetcache_core::{Fault, Remote, Token};

use crate::redis::Redis;
use crate::redis::lease_key::slot;
use crate::redis_cluster::RedisCluster;
use crate::redis_cluster::late::Asked;
use crate::redis_cluster::scatter::failed;

impl Remote for RedisCluster {
    async fn read(&self, keys: &[&str], wire: Wire) -> Vec<Result<Option<Found>, Fault>> {
        let verb = move |slot: Redis, keys: Vec<_>| async move { slot.read(&keys, wire).await };
        self.each(keys, |key| key, verb).await
    }

    async fn lease(&self, asks: &[LeaseAsk<'_>], wire: Wire) -> Vec<Result<Leased, Fault>> {
        if asks.is_empty() {
            return Vec::new();
        }
        // Owned: if the call ends first, they are still listened for.
        let asks: Vec<Asked> = asks.iter().map(Asked::new).collect();
        let verb = move |slot: Redis, asks: Vec<Asked>| async move {
            let asks: Vec<_> = asks.iter().map(Asked::ask).collect();
            slot.lease(&asks, wire).await
        };
        let mut call = match self.begin(&asks, |ask| &ask.key, verb).await {
            Ok(call) => call,
            Err(fault) => return failed(asks.len(), &fault),
        };
        let outcomes = self.gather(&mut call, asks.len()).await;
        if call.is_over() {
            self.give_back(call, asks, &outcomes);
        }
        outcomes
    }

    async fn renew(&self, asks: &[LeaseAsk<'_>]) -> Vec<Result<bool, Fault>> {
        let verb = |slot: Redis, asks: Vec<_>| async move { slot.renew(&asks).await };
        self.each(asks, |ask| ask.key, verb).await
    }

    async fn fill(&self, fills: &[Fill<'_>], wire: Wire) -> Vec<Result<Filled, Fault>> {
        let verb = move |slot: Redis, fills: Vec<_>| async move { slot.fill(&fills, wire).await };
        self.each(fills, |fill| fill.key, verb).await
    }

    async fn extend(&self, extends: &[Extend<'_>]) -> Vec<Result<Extended, Fault>> {
        let verb = |slot: Redis, extends: Vec<_>| async move { slot.extend(&extends).await };
        self.each(extends, |extend| extend.key, verb).await
    }

    async fn release(&self, holds: &[Hold<'_>]) -> Vec<Result<(), Fault>> {
        let verb = |slot: Redis, holds: Vec<_>| async move { slot.release(&holds).await };
        self.each(holds, |hold| hold.key, verb).await
    }

    async fn claim(&self, claims: &[Claim<'_>], wire: Wire) -> Vec<Result<Claimed, Fault>> {
        let verb =
            move |slot: Redis, claims: Vec<_>| async move { slot.claim(&claims, wire).await };
        self.each(claims, |claim| claim.key, verb).await
    }

    async fn put(&self, puts: &[Put<'_>], wire: Wire) -> Vec<Result<Placed, Fault>> {
        let verb = move |slot: Redis, puts: Vec<_>| async move { slot.put(&puts, wire).await };
        self.each(puts, |put| put.key, verb).await
    }

    async fn settle(&self, settles: &[Settle<'_>], wire: Wire) -> Vec<Result<Filled, Fault>> {
        let verb =
            move |slot: Redis, settles: Vec<_>| async move { slot.settle(&settles, wire).await };
        self.each(settles, |settle| settle.key, verb).await
    }

    async fn remove(&self, keys: &[&str]) -> Vec<Result<(), Fault>> {
        let verb = |slot: Redis, keys: Vec<_>| async move { slot.remove(&keys).await };
        self.each(keys, |key| key, verb).await
    }

    async fn unload(&self, keys: &[&str]) -> Vec<Result<(), Fault>> {
        let verb = |slot: Redis, keys: Vec<_>| async move { slot.unload(&keys).await };
        self.each(keys, |key| key, verb).await
    }

    async fn raise(&self, raise: &Raise<'_>) -> Result<Raised, Fault> {
        let raise = *raise;
        let verb = move |slot: Redis, _| async move { vec![slot.raise(&raise).await] };
        self.at_log(raise.namespace, verb).await
    }

    async fn news(&self, namespace: &str, since: Mark) -> Result<NewsPage, Fault> {
        let verb = move |slot: Redis, _| async move { vec![slot.news(namespace, since).await] };
        self.at_log(namespace, verb).await
    }

    async fn ensure(&self, ensure: &Ensure<'_>) -> Result<Ensured, Fault> {
        let ensure = *ensure;
        let verb = move |slot: Redis, _| async move { vec![slot.ensure(&ensure).await] };
        self.at_log(ensure.namespace, verb).await
    }

    async fn inspect(&self, key: &str, wire: Wire) -> Result<Inspected, Fault> {
        let verb = move |slot: Redis, keys: Vec<_>| async move {
            let mut outcomes = Vec::with_capacity(keys.len());
            for key in keys {
                outcomes.push(slot.inspect(key, wire).await);
            }
            outcomes
        };
        let mut outcomes = self.each(&[key], |key| key, verb).await;
        outcomes.pop().unwrap_or(Err(Fault::Timeout))
    }

    fn keeps_log(&self) -> bool {
        true
    }

    fn failovers(&self) -> Option<u64> {
        Some(self.nodes.failovers())
    }

    fn server(&self) -> Option<u64> {
        Some(self.server)
    }

    fn server_of(&self, key: &str) -> Option<u64> {
        // Before the first call nobody knows: then it is the cluster as a whole that answers or not.
        Some(self.nodes.number(slot(key)).unwrap_or(self.server))
    }

    fn announcing(&self, herald: Herald) -> Option<Self> {
        Some(Self {
            herald: Some(herald),
            ..self.clone()
        })
    }

    async fn lock(&self, name: &str, token: Token, life: Duration) -> Result<bool, Fault> {
        let verb = move |slot: Redis, names: Vec<_>| async move {
            let mut outcomes = Vec::with_capacity(names.len());
            for name in names {
                outcomes.push(slot.lock(name, token, life).await);
            }
            outcomes
        };
        let mut outcomes = self.each(&[name], |name| name, verb).await;
        outcomes.pop().unwrap_or(Err(Fault::Timeout))
    }

    async fn unlock(&self, name: &str, token: Token) -> Result<(), Fault> {
        let verb = move |slot: Redis, names: Vec<_>| async move {
            let mut outcomes = Vec::with_capacity(names.len());
            for name in names {
                outcomes.push(slot.unlock(name, token).await);
            }
            outcomes
        };
        let mut outcomes = self.each(&[name], |name| name, verb).await;
        outcomes.pop().unwrap_or(Err(Fault::Timeout))
    }
}

impl RedisCluster {
    /// Does something in the slot of a namespace's log.
    async fn at_log<'a, T, F>(
        &self,
        namespace: &str,
        verb: impl Fn(Redis, Vec<String>) -> F + Clone + Send + 'a,
    ) -> Result<T, Fault>
    where
        T: Send + 'a,
        F: Future<Output = Vec<Result<T, Fault>>> + Send + 'a,
    {
        let mut outcomes = self.each(&[top_key(namespace)], String::as_str, verb).await;
        outcomes.pop().unwrap_or(Err(Fault::Timeout))
    }
}
