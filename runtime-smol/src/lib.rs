//! A two-level cache on smol or async-std: an in-process L1, and an L2 on Redis or Valkey that all
//! nodes share.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use jetcache_smol::{LoadError, Memory, MessagePack};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // With Redis: `.remote(Redis::open("redis://127.0.0.1")?, MessagePack)`.
//! let users = jetcache_smol::builder::<u64, Arc<String>>("users")
//!     .remote(Memory::new(), MessagePack)
//!     .ttl(Duration::from_secs(600))
//!     .build()?;
//!
//! smol::block_on(async {
//!     let user = users.get_or_load(&7, async || Ok::<_, LoadError>(Arc::new("Ada".into()))).await?;
//!     assert_eq!(user.as_deref().map(String::as_str), Some("Ada"));
//!     users.invalidate(&7).await;
//!     Ok(())
//! })
//! # }
//! ```
//!
//! The cache's tasks run on smol's global executor. With the feature `async-std`, and a builder
//! from `async_std::builder`, they run on async-std's. (async-std is no longer developed; its
//! authors recommend smol.)

#[cfg(feature = "async-std")]
pub mod async_std;
mod runtime;

use core::hash::Hash;

pub use jetcache_adapters::*;
pub use jetcache_core::*;

pub use self::runtime::Smol;

/// A builder for a cache of this name on smol. The name is also what L2's keys begin with, unless
/// [`namespace`](Builder::namespace) says otherwise.
pub fn builder<K, V>(name: &str) -> Builder<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    builder_on(name, Smol::new())
}

/// [`builder`] with a runtime of your own, for instance a [`Smol`] whose clock a test moves.
pub fn builder_on<K, V>(name: &str, runtime: impl Runtime) -> Builder<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let builder = compressions()
        .into_iter()
        .fold(Cache::builder(name, runtime), Builder::decompress);
    #[cfg(feature = "quick-cache")]
    let builder =
        builder.default_engine(|capacity| std::sync::Arc::new(QuickCache::new(capacity.get())));
    builder
}
