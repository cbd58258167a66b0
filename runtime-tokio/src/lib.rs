//! A two-level cache on tokio: an in-process L1, and an L2 on Redis or Valkey that all nodes share.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use jetcache_tokio::{LoadError, Memory, MessagePack};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // With Redis: `.remote(Redis::open("redis://127.0.0.1")?, MessagePack)`.
//! let users = jetcache_tokio::builder::<u64, Arc<String>>("users")
//!     .remote(Memory::new(), MessagePack)
//!     .ttl(Duration::from_secs(600))
//!     .build()?;
//!
//! let user = users.get_or_load(&7, async || Ok::<_, LoadError>(Arc::new("Ada".into()))).await?;
//! assert_eq!(user.as_deref().map(String::as_str), Some("Ada"));
//! users.invalidate(&7).await;
//! # Ok(())
//! # }
//! ```
//!
//! A cache is used from within a tokio runtime that has its time driver enabled. It may be built
//! before there is one, and may outlive it: a static cache can be used from several runtimes one
//! after the other.

mod runtime;

use core::hash::Hash;

pub use jetcache_adapters::*;
pub use jetcache_core::*;

pub use self::runtime::Tokio;

/// A builder for a cache of this name on tokio. The name is also what L2's keys begin with, unless
/// [`namespace`](Builder::namespace) says otherwise.
pub fn builder<K, V>(name: &str) -> Builder<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    builder_on(name, Tokio::new())
}

/// [`builder`] with a [`Tokio`] of your own, for instance one whose clock a test moves.
pub fn builder_on<K, V>(name: &str, runtime: Tokio) -> Builder<K, V>
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
