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
#[cfg(feature = "macros")]
#[doc(inline)]
pub use jetcache_macros::{
    SmolKey as Key, cached_on_smol as cached, invalidates_on_smol as invalidates,
    writes_through_on_smol as writes_through,
};

pub use self::runtime::Smol;

/// What the caches of one program have in common: the runtime, the L2 and its connection, the observers.
pub type Node = jetcache_core::Node<DefaultEngine>;

/// The L1 engine that caches have unless they are given another.
#[cfg(feature = "quick-cache")]
pub type DefaultEngine = QuickCacheEngine;
/// The L1 engine that caches have unless they are given another.
#[cfg(not(feature = "quick-cache"))]
pub type DefaultEngine = LruEngine;

/// The parent of many caches on smol. They share its L2 and its observers:
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use jetcache_smol::{Cache, Error, Memory, MessagePack};
///
/// // With Redis: `.remote(Redis::open("redis://127.0.0.1")?)`.
/// let node = jetcache_smol::node().remote(Memory::new());
/// let users = node
///     .cache::<u64, Arc<String>>("users", MessagePack)
///     .ttl(Duration::from_secs(600))
///     .build()?;
/// let orders: Cache<(u64, u32), Arc<String>> =
///     node.cache("orders", MessagePack).separator("/").build()?;
///
/// // No two living caches of a node may share keys.
/// let again = node.cache::<u64, Arc<String>>("users", MessagePack).build();
/// assert!(matches!(again, Err(Error::Config(_))));
/// # let _ = (users, orders);
/// # Ok::<(), Error>(())
/// ```
#[must_use]
pub fn node() -> Node {
    node_on(Smol::new())
}

/// [`node`] with a runtime of your own, for instance a [`Smol`] whose clock a test moves.
#[must_use]
pub fn node_on(runtime: impl Runtime) -> Node {
    let node = jetcache_core::Node::new(runtime).engine();
    compressions().into_iter().fold(node, Node::decompress)
}

/// A builder for a cache of this name on smol, in a [`node`] of its own. The name is also what
/// L2's keys begin with, unless [`namespace`](Builder::namespace) says otherwise.
pub fn builder<K, V>(name: &str) -> Builder<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    node().local_cache(name)
}

/// [`builder`] with a runtime of your own, for instance a [`Smol`] whose clock a test moves.
pub fn builder_on<K, V>(name: &str, runtime: impl Runtime) -> Builder<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    node_on(runtime).local_cache(name)
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
