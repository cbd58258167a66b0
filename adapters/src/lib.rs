//! What plugs into jetcache: the shared store, the in-process engines, the codecs.
//!
//! One feature, one file or folder, one dependency; nothing is on by default. A program depends on
//! `jetcache-tokio` or `jetcache-smol`, which choose and re-export.
//!
//! | feature | what | port |
//! |---|---|---|
//! | `redis-tokio`, `redis-smol` | `Redis` on that runtime | [`Remote`](jetcache_core::Remote) |
//! | | `RedisPubSub`, `RedisTracking`, on the same | [`Bus`](jetcache_core::Bus) |
//! | `cluster` | `RedisCluster`, on the runtimes that `Redis` has | [`Remote`](jetcache_core::Remote) |
//! | `memory` | `Memory`, an L2 in the process | [`Remote`](jetcache_core::Remote) |
//! | `quick-cache` | `QuickCache` | [`Local`](jetcache_core::Local) |
//! | `moka` | `Moka` | [`Local`](jetcache_core::Local) |
//! | `msgpack` | `MessagePack` | [`Codec`](jetcache_core::Codec) |
//! | `json` | `Json` | [`Codec`](jetcache_core::Codec) |
//! | `postcard` | `Postcard` | [`Codec`](jetcache_core::Codec) |
//! | | `Raw` | [`Codec`](jetcache_core::Codec) |
//! | | `Compressed`, a codec and one of these: | [`Codec`](jetcache_core::Codec) |
//! | `lz4` | `Lz4`, the fastest to read | [`Compression`] |
//! | `zstd` | `Zstd`, the smallest bytes | [`Compression`] |
//! | `s2` | `S2`, which jetcache-go uses | [`Compression`] |
//! | `metrics` | `Metrics`: every figure on the `metrics` facade | [`Observer`](jetcache_core::Observer) |
//! | `opentelemetry` | `OpenTelemetry`: every figure on a meter of OpenTelemetry's | [`Observer`](jetcache_core::Observer) |
//! | `faults` | `Faulty`, `FaultyBus`: any other, with faults that a test switches on and off | [`Remote`](jetcache_core::Remote), [`Bus`](jetcache_core::Bus) |
//! | `threads` | `Threads`: a runtime for programs without an executor | [`Runtime`](jetcache_core::Runtime) |
//! | `contract` | `contract`: the suites that an adapter of your own should pass | |

#[cfg(feature = "contract")]
pub mod contract;
#[cfg(feature = "faults")]
pub mod faults;
#[cfg(feature = "memory")]
pub mod memory;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "cluster")]
pub mod redis_cluster;
#[cfg(feature = "threads")]
mod threads;

use std::sync::Arc;

use jetcache_core::Compression;

#[cfg(feature = "json")]
pub use crate::codec::json::Json;
#[cfg(feature = "msgpack")]
pub use crate::codec::msgpack::MessagePack;
#[cfg(feature = "msgpack")]
pub use crate::codec::msgpack_time;
#[cfg(feature = "postcard")]
pub use crate::codec::postcard::Postcard;
pub use crate::codec::raw::Raw;
pub use crate::compress::compressed::Compressed;
#[cfg(feature = "lz4")]
pub use crate::compress::lz4::Lz4;
#[cfg(feature = "s2")]
pub use crate::compress::s2::S2;
#[cfg(feature = "zstd")]
pub use crate::compress::zstd::Zstd;
#[cfg(any(feature = "moka", feature = "quick-cache"))]
pub use crate::engine::key::{EngineHasher, EngineKey};
#[cfg(feature = "moka")]
pub use crate::engine::moka::Moka;
#[cfg(feature = "quick-cache")]
pub use crate::engine::quick_cache::{QuickCache, QuickCacheEngine};
#[cfg(feature = "faults")]
pub use crate::faults::{Faults, Faulty, FaultyBus};
#[cfg(feature = "memory")]
pub use crate::memory::Memory;
#[cfg(feature = "metrics")]
pub use crate::observer::metrics::Metrics;
#[cfg(feature = "opentelemetry")]
pub use crate::observer::opentelemetry::OpenTelemetry;
#[cfg(all(fuzzing, feature = "redis"))]
#[doc(hidden)]
pub use crate::redis::verbs::fuzzed;
#[cfg(feature = "redis")]
pub use crate::redis::{Redis, RedisPubSub, RedisTracking};
#[cfg(feature = "cluster")]
pub use crate::redis_cluster::RedisCluster;
#[cfg(feature = "threads")]
pub use crate::threads::Threads;

/// [`Local`](jetcache_core::Local): L1, the entries of one process.
mod engine {
    #[cfg(any(feature = "moka", feature = "quick-cache"))]
    pub(crate) mod key;
    #[cfg(feature = "moka")]
    pub(crate) mod moka;
    #[cfg(feature = "quick-cache")]
    pub(crate) mod quick_cache;
}

/// [`Observer`](jetcache_core::Observer): where the figures of caches go.
mod observer {
    #[cfg(feature = "metrics")]
    pub(crate) mod metrics;
    #[cfg(feature = "opentelemetry")]
    pub(crate) mod opentelemetry;
}

/// [`Codec`](jetcache_core::Codec): how values become bytes.
mod codec {
    #[cfg(feature = "json")]
    pub(crate) mod json;
    #[cfg(feature = "msgpack")]
    pub(crate) mod msgpack;
    #[cfg(feature = "msgpack")]
    pub mod msgpack_time;
    #[cfg(feature = "postcard")]
    pub(crate) mod postcard;
    pub(crate) mod raw;
    #[cfg(any(feature = "json", feature = "msgpack"))]
    mod survey;
}

/// [`Compression`]: how bytes become fewer, and the codec that asks for it.
mod compress {
    pub(crate) mod compressed;
    #[cfg(feature = "lz4")]
    pub(crate) mod lz4;
    #[cfg(feature = "s2")]
    pub(crate) mod s2;
    #[cfg(feature = "zstd")]
    pub(crate) mod zstd;
}

/// The compressions that this build has. The runtime crates give them to every cache, so that it
/// reads what other nodes compressed; core's own builder is given each with `decompress`.
#[must_use]
pub fn compressions() -> Vec<Arc<dyn Compression>> {
    vec![
        #[cfg(feature = "lz4")]
        Arc::new(Lz4),
        #[cfg(feature = "zstd")]
        Arc::new(Zstd::new()),
        #[cfg(feature = "s2")]
        Arc::new(S2),
    ]
}
