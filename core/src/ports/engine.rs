//! The kind of L1 for caches that are not given one.

use core::hash::Hash;
use core::num::NonZeroUsize;

use super::local::Local;
use crate::machine::counted::Arc;

/// Makes an L1 for keys and values of any type: what the caches of a node have unless their builder
/// is given a [`Local`] of its own.
///
#[cfg_attr(feature = "std", doc = "```")]
#[cfg_attr(not(feature = "std"), doc = "```ignore")]
/// # use jetcache_core::doc::runtime as jetcache_tokio;
/// # use std::{hash::Hash, num::NonZeroUsize, sync::Arc};
/// use jetcache_tokio::{Engine, Local, LruLocal};
///
/// /// Core's LRU, with twice the capacity that was asked for.
/// struct Generous;
///
/// impl Engine for Generous {
///     fn local<K, V>(capacity: NonZeroUsize) -> Arc<dyn Local<K, V>>
///     where
///         K: Hash + Eq + Clone + Send + Sync + 'static,
///         V: Clone + Send + Sync + 'static,
///     {
///         Arc::new(LruLocal::new(capacity.saturating_mul(NonZeroUsize::MIN.saturating_add(1))))
///     }
/// }
///
/// let node = jetcache_tokio::node().engine::<Generous>();
/// # let _ = node;
/// ```
pub trait Engine: 'static {
    /// An L1 of at most `capacity` entries.
    fn local<K, V>(capacity: NonZeroUsize) -> Arc<dyn Local<K, V>>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static;
}
