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

mod here;
mod runtime;

use core::hash::Hash;

pub use jetcache_adapters::*;
pub use jetcache_core::*;
#[cfg(feature = "macros")]
#[doc(inline)]
pub use jetcache_macros::{
    TokioKey as Key, cached_on_tokio as cached, invalidates_on_tokio as invalidates,
    writes_through_on_tokio as writes_through,
};

pub use self::runtime::Tokio;

/// What the caches of one program have in common: tokio, the L2 and its connection, the observers.
pub type Node = jetcache_core::Node<DefaultEngine>;

/// The L1 engine that caches have unless they are given another.
#[cfg(feature = "quick-cache")]
pub type DefaultEngine = QuickCacheEngine;
/// The L1 engine that caches have unless they are given another.
#[cfg(not(feature = "quick-cache"))]
pub type DefaultEngine = LruEngine;

/// The parent of many caches on tokio. They share its L2 and its observers:
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use jetcache_tokio::{Cache, Error, Memory, MessagePack};
///
/// // With Redis: `.remote(Redis::open("redis://127.0.0.1")?)`.
/// let node = jetcache_tokio::node().remote(Memory::new());
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
    node_on(Tokio::new())
}

/// [`node`] with a [`Tokio`] of your own, for instance one whose clock a test moves.
#[must_use]
pub fn node_on(runtime: Tokio) -> Node {
    let node = jetcache_core::Node::new(runtime).engine();
    compressions().into_iter().fold(node, Node::decompress)
}

/// A builder for a cache of this name on tokio, in a [`node`] of its own. The name is also what
/// L2's keys begin with, unless [`namespace`](Builder::namespace) says otherwise.
pub fn builder<K, V>(name: &str) -> Builder<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    node().local_cache(name)
}

/// [`builder`] with a [`Tokio`] of your own, for instance one whose clock a test moves.
pub fn builder_on<K, V>(name: &str, runtime: Tokio) -> Builder<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    node_on(runtime).local_cache(name)
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
