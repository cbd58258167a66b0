//! The caches that are compared, made alike: room for so many entries, an hour to live.

use std::sync::Arc;
use std::time::Duration;

use jetcache_tokio::{Cache, Load, LoadError};

/// What is cached: bytes that a hit does not copy.
pub type Value = Arc<[u8]>;

/// quick_cache as it comes, with the end of each entry beside it.
pub type Bare = quick_cache::sync::Cache<String, (Value, u64)>;

pub const HOUR: Duration = Duration::from_secs(3600);

pub fn value(bytes: usize) -> Value {
    vec![b'x'; bytes].into()
}

pub fn ours(entries: usize) -> Cache<String, Value> {
    jetcache_tokio::builder("compare")
        .capacity(entries)
        .ttl(HOUR)
        .local_ttl(HOUR)
        .build()
        .expect("the settings are valid")
}

/// What a loader answers.
pub async fn loaded(value: &Value) -> Result<Load<Value>, LoadError> {
    Ok(Load::from(Arc::clone(value)))
}

pub fn bare(entries: usize) -> Bare {
    Bare::new(entries)
}

pub fn moka(entries: usize) -> moka::sync::Cache<String, Value> {
    moka::sync::Cache::builder()
        .max_capacity(entries as u64)
        .time_to_live(HOUR)
        .build()
}

pub fn moka_future(entries: usize) -> moka::future::Cache<String, Value> {
    moka::future::Cache::builder()
        .max_capacity(entries as u64)
        .time_to_live(HOUR)
        .build()
}

pub fn foyer(entries: usize) -> foyer_memory::Cache<String, Value> {
    foyer_memory::CacheBuilder::new(entries)
        .with_eviction_config(foyer_memory::S3FifoConfig::default())
        .build()
}

/// A coarse clock, read once: what any cache with a TTL needs at a hit.
#[derive(Clone, Copy)]
pub struct Clock(coarsetime::Instant);

impl Clock {
    pub fn start() -> Self {
        Self(coarsetime::Instant::now_without_cache_update())
    }

    #[inline]
    pub fn nanos(self) -> u64 {
        coarsetime::Instant::now_without_cache_update()
            .duration_since(self.0)
            .as_nanos()
    }
}
