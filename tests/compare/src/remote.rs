//! Caches before Redis, and Redis by hand.

use std::sync::Arc;
use std::time::Duration;

use cached::{AsyncRedisCache, ConcurrentCachedAsync};
use jetcache_tokio::{Cache, Raw, Redis};
use multi_tier_cache::{CacheSystem, CacheSystemBuilder, MokaCacheConfig, RedisCache};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use tokio::runtime::Runtime;

use crate::measure::Run;
use crate::stock::{HOUR, Value, value};

/// One that only reads and writes L2.
pub fn ours(url: &str, name: &str) -> Cache<u64, Value> {
    jetcache_tokio::builder(name)
        .no_local()
        .remote(Redis::open(url).expect("the URL is valid"), Raw)
        .ttl(HOUR)
        .build()
        .expect("the settings are valid")
}

pub async fn by_hand(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).expect("the URL is valid");
    let connection = client.get_multiplexed_async_connection().await;
    connection.expect("the server answers")
}

/// multi-tier-cache, whose L1 has room for so many.
pub async fn tiers(url: &str, entries: u64) -> CacheSystem {
    let config = MokaCacheConfig {
        max_capacity: entries,
        time_to_live: HOUR,
        time_to_idle: HOUR,
    };
    let redis = RedisCache::with_url(url).await.expect("the server answers");
    let built = CacheSystemBuilder::new()
        .with_moka_config(config)
        .with_l2(Arc::new(redis))
        .build();
    built.await.expect("the settings are valid")
}

/// `cached`'s, which writes JSON.
pub async fn cached(url: &str) -> AsyncRedisCache<u64, String> {
    let built = AsyncRedisCache::builder("cached")
        .connection_string(url)
        .ttl(Duration::from_secs(3600))
        .build();
    built.await.expect("the server answers")
}

/// Fills Redis for all of them: values of so many bytes, under `0..keys`.
pub async fn fill(url: &str, keys: u64, bytes: usize) {
    let ours = ours(url, NAME);
    let (tiers, cached) = (tiers(url, 1).await, cached(url).await);
    let strategy = || multi_tier_cache::CacheStrategy::LongTerm;
    for key in 0..keys {
        ours.insert(key, value(bytes)).await.expect("Redis answers");
        let text = multi_tier_cache::Bytes::from(value(bytes).to_vec());
        let name = tiers_key(key);
        let set = tiers
            .cache_manager()
            .set_with_strategy(&name, text, strategy());
        set.await.expect("Redis answers");
        let text = "x".repeat(bytes);
        cached
            .async_cache_set(key, text)
            .await
            .expect("Redis answers");
    }
}

/// A GET by hand of what jetcache has written.
pub async fn get(mut connection: MultiplexedConnection, key: u64) -> bool {
    let found: Option<Vec<u8>> = connection.get(text(key)).await.expect("Redis answers");
    found.is_some()
}

/// Lets `tasks` tasks ask, each as often as it takes to make `operations` together.
pub fn many<F>(
    runtime: &Runtime,
    tasks: usize,
    operations: usize,
    ask: impl Fn(u64) -> F + Clone + Send + 'static,
) -> Run
where
    F: Future<Output = bool> + Send,
{
    let each = operations / tasks;
    let work = |task: usize| {
        let ask = ask.clone();
        async move {
            for at in 0..each {
                let key = (task * each + at) as u64 % KEYS;
                assert!(ask(key).await, "what was filled in is there");
            }
        }
    };
    Run::of(tasks * each, || {
        runtime.block_on(async {
            let tasks: Vec<_> = (0..tasks).map(|task| tokio::spawn(work(task))).collect();
            for task in tasks {
                task.await.expect("no task panics");
            }
        });
    })
}

pub fn text(key: u64) -> String {
    format!("{NAME}:{key}")
}

pub fn tiers_key(key: u64) -> String {
    format!("tiers:{key}")
}

pub const NAME: &str = "filled";
/// How many keys [`many`] asks for.
pub const KEYS: u64 = 8000;
