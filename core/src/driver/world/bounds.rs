//! What the driver needs of a user's keys and values, said once.

use core::hash::Hash;

/// A key: the machine finds it by hash, and tasks carry it along.
pub(crate) trait CacheKey: Hash + Eq + Clone + Send + Sync + 'static {}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> CacheKey for K {}

/// A value: L1 hands out clones of it.
pub(crate) trait CacheValue: Clone + Send + Sync + 'static {}

impl<V: Clone + Send + Sync + 'static> CacheValue for V {}
