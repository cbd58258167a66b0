//! What plugs into jetcache: the shared store, the in-process engines, the codecs.
//!
//! One feature, one file, one dependency; nothing is on by default. A program depends on
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
//! | `contract` | `contract`: the suites that an adapter of your own should pass | |

mod compressed;
#[cfg(feature = "contract")]
pub mod contract;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "memory")]
pub mod memory;
#[cfg(feature = "moka")]
mod moka;
#[cfg(feature = "msgpack")]
mod msgpack;
#[cfg(feature = "msgpack")]
pub mod msgpack_time;
#[cfg(feature = "postcard")]
mod postcard;
#[cfg(feature = "quick-cache")]
mod quick_cache;
mod raw;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "cluster")]
pub mod redis_cluster;
#[cfg(feature = "redis-smol")]
mod redis_smol;
#[cfg(feature = "redis-tokio")]
mod redis_tokio;
#[cfg(feature = "s2")]
mod s2;
#[cfg(feature = "zstd")]
mod zstd;

use std::sync::Arc;

use jetcache_core::Compression;

pub use self::compressed::Compressed;
#[cfg(feature = "json")]
pub use self::json::Json;
#[cfg(feature = "lz4")]
pub use self::lz4::Lz4;
#[cfg(feature = "memory")]
pub use self::memory::Memory;
#[cfg(feature = "moka")]
pub use self::moka::Moka;
#[cfg(feature = "msgpack")]
pub use self::msgpack::MessagePack;
#[cfg(feature = "postcard")]
pub use self::postcard::Postcard;
#[cfg(feature = "quick-cache")]
pub use self::quick_cache::{QuickCache, QuickCacheEngine};
pub use self::raw::Raw;
#[cfg(feature = "redis")]
pub use self::redis::{Redis, RedisPubSub, RedisTracking};
#[cfg(feature = "cluster")]
pub use self::redis_cluster::RedisCluster;
#[cfg(feature = "s2")]
pub use self::s2::S2;
#[cfg(feature = "zstd")]
pub use self::zstd::Zstd;

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

/// The runtimes that this build has for [`Redis`], in the order in which redis-rs prefers them.
#[cfg(feature = "redis")]
const HOSTS: &[self::redis::host::Host] = &[
    #[cfg(feature = "redis-tokio")]
    redis_tokio::HOST,
    #[cfg(feature = "redis-smol")]
    redis_smol::HOST,
];
