//! A seat of a batch.

use crate::driver::flight::seat::{Next, Seat};
use crate::driver::world::bounds::{CacheKey, CacheValue};

/// A seat, and the place of its answer.
pub(crate) struct Member<K: CacheKey, V: CacheValue> {
    pub(crate) at: usize,
    pub(crate) seat: Seat<K, V>,
}

/// A member, and how it goes on.
pub(crate) type Going<K, V> = (Member<K, V>, Next<V>);
