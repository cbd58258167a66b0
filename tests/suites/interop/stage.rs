//! A Redis, caches around it, and a Go service: a second connection that sets and deletes.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};

use jetcache_adapters::Redis;
use jetcache_core::ports::remote::{
    Claim, Claimed, Ensure, Ensured, Fill, Filled, Found, Hold, LeaseAsk, Leased, Mark, NewsPage,
    Placed, Put, Raise, Raised, Settle, Wire,
};
use jetcache_core::{Builder, Codec, Fault, Remote};
use jetcache_tests::redis_server::RedisServer;
use redis::{Commands, Connection, FromRedisValue};

pub(super) struct Stage {
    server: RedisServer,
    go: Arc<Mutex<Connection>>,
}

impl Stage {
    pub(super) fn new() -> Self {
        let server = RedisServer::start();
        let client = redis::Client::open(server.url()).unwrap();
        let go = Arc::new(Mutex::new(client.get_connection().unwrap()));
        Self { server, go }
    }

    pub(super) fn redis(&self) -> Redis {
        Redis::open(&self.server.url()).unwrap()
    }

    /// A builder for a cache named `shop` in the Go format.
    pub(super) fn builder<V>(&self, codec: impl Codec<V>) -> Builder<String, V>
    where
        V: Clone + Send + Sync + 'static,
    {
        builder(self.redis(), codec)
    }

    pub(super) fn go(&self) -> Go {
        Go(Arc::clone(&self.go))
    }

    /// One more connection.
    pub(super) fn connection(&self) -> Connection {
        let client = redis::Client::open(self.server.url()).unwrap();
        client.get_connection().unwrap()
    }

    /// How often the server carried out a command.
    pub(super) fn calls(&self, command: &str) -> u64 {
        let stats = self.server.cli(&["INFO", "commandstats"]);
        let start = format!("cmdstat_{command}:calls=");
        let line = stats.lines().find_map(|line| line.strip_prefix(&start));
        line.and_then(|line| line.split(',').next())
            .map_or(0, |calls| calls.parse().unwrap())
    }
}

/// A builder for a cache named `shop` in the Go format.
pub(super) fn builder<V>(remote: impl Remote, codec: impl Codec<V>) -> Builder<String, V>
where
    V: Clone + Send + Sync + 'static,
{
    jetcache_tokio::builder("shop")
        .remote(remote, codec)
        .wire(Wire::JetcacheGo)
}

/// A Go service: writes without leases.
#[derive(Clone)]
pub(super) struct Go(Arc<Mutex<Connection>>);

impl Go {
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap()
    }

    /// `SET key bytes PX life`.
    pub(super) fn set_for(&self, key: &str, bytes: &[u8], millis: u64) {
        let () = self.connection().pset_ex(key, bytes, millis).unwrap();
    }

    /// Sets a key for a minute.
    pub(super) fn set(&self, key: &str, bytes: &[u8]) {
        self.set_for(key, bytes, 60_000);
    }

    pub(super) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.connection().get(key).unwrap()
    }

    pub(super) fn life(&self, key: &str) -> i64 {
        self.run("PTTL", &[key])
    }

    /// Sends any command.
    pub(super) fn run<T: FromRedisValue>(&self, command: &str, words: &[&str]) -> T {
        let mut command = redis::cmd(command);
        command.arg(words);
        command.query(&mut *self.connection()).unwrap()
    }
}

/// An L2 that does something on the way of every fill.
pub(super) struct Meddled<F> {
    pub(super) redis: Redis,
    pub(super) before_fill: F,
}

impl<F: Fn() + Send + Sync + 'static> Remote for Meddled<F> {
    fn read(
        &self,
        keys: &[&str],
        wire: Wire,
    ) -> impl Future<Output = Vec<Result<Option<Found>, Fault>>> + Send {
        self.redis.read(keys, wire)
    }

    fn lease(
        &self,
        asks: &[LeaseAsk<'_>],
        wire: Wire,
    ) -> impl Future<Output = Vec<Result<Leased, Fault>>> + Send {
        self.redis.lease(asks, wire)
    }

    async fn fill(&self, fills: &[Fill<'_>], wire: Wire) -> Vec<Result<Filled, Fault>> {
        (self.before_fill)();
        self.redis.fill(fills, wire).await
    }

    fn renew(
        &self,
        asks: &[LeaseAsk<'_>],
    ) -> impl Future<Output = Vec<Result<bool, Fault>>> + Send {
        self.redis.renew(asks)
    }

    fn release(&self, holds: &[Hold<'_>]) -> impl Future<Output = Vec<Result<(), Fault>>> + Send {
        self.redis.release(holds)
    }

    fn claim(
        &self,
        claims: &[Claim<'_>],
        wire: Wire,
    ) -> impl Future<Output = Vec<Result<Claimed, Fault>>> + Send {
        self.redis.claim(claims, wire)
    }

    async fn put(&self, puts: &[Put<'_>], wire: Wire) -> Vec<Result<Placed, Fault>> {
        (self.before_fill)();
        self.redis.put(puts, wire).await
    }

    fn settle(
        &self,
        settles: &[Settle<'_>],
        wire: Wire,
    ) -> impl Future<Output = Vec<Result<Filled, Fault>>> + Send {
        self.redis.settle(settles, wire)
    }

    fn remove(&self, keys: &[&str]) -> impl Future<Output = Vec<Result<(), Fault>>> + Send {
        self.redis.remove(keys)
    }

    fn unload(&self, keys: &[&str]) -> impl Future<Output = Vec<Result<(), Fault>>> + Send {
        self.redis.unload(keys)
    }

    fn raise(&self, raise: &Raise<'_>) -> impl Future<Output = Result<Raised, Fault>> + Send {
        self.redis.raise(raise)
    }

    fn news(
        &self,
        namespace: &str,
        since: Mark,
    ) -> impl Future<Output = Result<NewsPage, Fault>> + Send {
        self.redis.news(namespace, since)
    }

    fn ensure(&self, ensure: &Ensure<'_>) -> impl Future<Output = Result<Ensured, Fault>> + Send {
        self.redis.ensure(ensure)
    }
}
