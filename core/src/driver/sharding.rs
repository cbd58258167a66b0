//! Splits shared tables by the hash of the key, so that threads seldom meet at a lock.

use core::hash::{BuildHasher, Hash};
use std::hash::RandomState;

/// With a random seed, since keys may be hostile.
pub(super) type Hasher = RandomState;

/// How many shards serve this machine.
pub(super) fn shard_count() -> usize {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    (threads * 4).next_power_of_two().min(MOST_SHARDS)
}

/// Which of `shards` (a power of two) a hash is in: by its high bits, as the low ones pick buckets.
pub(super) fn shard_of(hash: u64, shards: usize) -> usize {
    usize::try_from(hash >> 40).unwrap_or(0) & (shards - 1)
}

pub(super) fn hash_of<Q: Hash + ?Sized>(hasher: &Hasher, key: &Q) -> u64 {
    hasher.hash_one(key)
}

const MOST_SHARDS: usize = 64;
