//! L1: what the process itself holds.

use core::fmt;
use core::hash::{BuildHasher, Hash, Hasher};

use hashbrown::DefaultHashBuilder;
#[doc(no_inline)]
pub use hashbrown::Equivalent;

use crate::machine::tier::entry::Entry;

/// An in-process engine: a bounded map from keys to entries.
///
/// The engine need not know about time: the driver never serves an entry past its end and its stale
/// window, and removes it when it is touched after that. What the engine calls back (a weigher, an eviction listener, the `Drop`
/// of keys and values) must not block on the cache.
///
/// `jetcache_adapters::contract::local` is a test suite that every implementation should pass.
pub trait Local<K, V>: Send + Sync {
    /// A copy of the entry of `key`.
    fn get(&self, key: &dyn Probe<K>) -> Option<Entry<V>>;

    /// The same for who only looks: if the engine can, it does not count as a use.
    fn peek(&self, key: &dyn Probe<K>) -> Option<Entry<V>> {
        self.get(key)
    }

    /// Puts `entry` in the place of whatever the key had. An entry too heavy for the engine's
    /// bound may be dropped at once, but what stood there before must be gone.
    fn insert(&self, key: K, entry: Entry<V>);

    /// Removes the entry of `key`.
    fn remove(&self, key: &dyn Probe<K>);

    /// Removes everything.
    fn clear(&self);

    /// How many entries there are; engines may need a moment to be exact.
    fn len(&self) -> usize;

    /// Whether there are no entries.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The weight of all entries: their number, or bytes where the engine has a weigher.
    fn weight(&self) -> u64;

    /// How many entries were evicted so far to stay within the bound, if the engine counts them.
    fn evicted(&self) -> Option<u64> {
        None
    }
}

/// A borrowed form of a key, as a trait object: `&str` finds a `String` without allocating.
///
/// A `dyn Probe<K>` hashes like `K` and is [`Equivalent`] to it, so that it can be handed to any
/// map that looks up by these two.
pub trait Probe<K: ?Sized> {
    /// Whether this is that key.
    fn is(&self, key: &K) -> bool;
    /// Feeds the key's hash.
    fn hash_into(&self, state: &mut dyn Hasher);
    /// What [`KeyHash::of`] says of the key. It costs one call, where a hasher of the engine's own is
    /// fed by several.
    fn hash_by(&self, hash: &KeyHash) -> u64;
}

/// Hashes keys and [probes](Probe) of them alike: for engines that would rather be handed a hash.
///
/// Each has a random seed. It is foldhash, with all bits mixed.
#[derive(Clone, Default)]
pub struct KeyHash(DefaultHashBuilder);

impl KeyHash {
    /// The hash of a key, or of a borrowed form of it.
    #[inline]
    pub fn of<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        // What serves hash tables well is weak in its middle bits, which engines choose shards by.
        let product = u128::from(self.0.hash_one(key)) * u128::from(MIXER);
        let (low, high) = (product as u64, (product >> 64) as u64);
        low ^ high
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash")
    }
}

/// The fraction of pi, as foldhash has it.
const MIXER: u64 = 0x243f_6a88_85a3_08d3;

impl<K: ?Sized, Q: Hash + Equivalent<K> + ?Sized> Probe<K> for &Q {
    fn is(&self, key: &K) -> bool {
        (**self).equivalent(key)
    }

    fn hash_into(&self, mut state: &mut dyn Hasher) {
        (**self).hash(&mut state);
    }

    fn hash_by(&self, hash: &KeyHash) -> u64 {
        hash.of(&**self)
    }
}

impl<K: ?Sized> Hash for dyn Probe<K> + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash_into(state);
    }
}

impl<K: ?Sized> Equivalent<K> for dyn Probe<K> + '_ {
    fn equivalent(&self, key: &K) -> bool {
        self.is(key)
    }
}

impl<K: ?Sized> fmt::Debug for dyn Probe<K> + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Probe")
    }
}
