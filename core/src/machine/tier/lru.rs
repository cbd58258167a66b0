//! A least-recently-used map whose entries end: an L1 for programs without threads.

use core::borrow::Borrow;
use core::fmt;
use core::hash::{BuildHasher, Hash};
use core::num::NonZeroUsize;

use lru::LruCache;

use crate::machine::tier::entry::Entry;
use crate::machine::time::Timestamp;

/// A bounded map from keys to entries that evicts the least recently used one when it is full.
/// Plain data behind `&mut`, without `std`; the clock is an argument.
///
/// ```
/// use core::num::NonZeroUsize;
/// use core::time::Duration;
/// use jetcache_core::machine::tier::lru::Lru;
/// use jetcache_core::{Entry, Timestamp};
///
/// let mut lru = Lru::new(NonZeroUsize::MIN);
/// let now = Timestamp::from_nanos(0);
/// lru.insert("key", Entry::new(Some(1), now + Duration::from_secs(1)));
/// assert_eq!(lru.get("key", now).and_then(Entry::value), Some(&1));
/// assert!(lru.get("key", now + Duration::from_secs(1)).is_none());
/// assert_eq!(lru.len(), 0);
/// ```
pub struct Lru<K, V, S = hashbrown::DefaultHashBuilder> {
    entries: LruCache<K, Entry<V>, S>,
    evicted: usize,
}

impl<K: Hash + Eq, V> Lru<K, V> {
    /// An empty map for at most `capacity` entries.
    #[must_use]
    pub fn new(capacity: NonZeroUsize) -> Self {
        Self::with_hasher(capacity, hashbrown::DefaultHashBuilder::default())
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> Lru<K, V, S> {
    /// An empty map with this hasher. Keys may be hostile: give one with a random seed.
    pub fn with_hasher(capacity: NonZeroUsize, hasher: S) -> Self {
        // Unbounded first: a bounded one allocates its whole capacity at once.
        let mut entries = LruCache::unbounded_with_hasher(hasher);
        entries.resize(capacity);
        Self {
            entries,
            evicted: 0,
        }
    }

    /// The entry of `key`, however old, for who only looks: it does not count as used.
    pub fn peek<Q>(&self, key: &Q) -> Option<&Entry<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.entries.peek(key)
    }

    /// The entry of `key` if it is fresh at `now`; one that is not is removed.
    pub fn get<Q>(&mut self, key: &Q, now: Timestamp) -> Option<&Entry<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if !self.entries.peek(key)?.is_fresh(now) {
            self.entries.pop(key);
            return None;
        }
        self.entries.get(key)
    }

    /// Puts `entry` in the place of whatever the key had. Returns what left the map for it: the
    /// same key's old entry or the least recently used one.
    pub fn insert(&mut self, key: K, entry: Entry<V>) -> Option<(K, Entry<V>)> {
        let full = self.entries.len() == self.entries.cap().get();
        let known = full && self.entries.contains(&key);
        let gone = self.entries.push(key, entry);
        if full && !known {
            self.evicted += 1;
        }
        gone
    }

    /// Removes the entry of `key`.
    pub fn remove<Q>(&mut self, key: &Q) -> Option<(K, Entry<V>)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.entries.pop_entry(key)
    }

    /// An empty map of the same capacity that goes on counting. A caller puts it in this one's
    /// place, to drop the old entries elsewhere.
    #[must_use]
    pub fn emptied(&self, hasher: S) -> Self {
        let mut empty = Self::with_hasher(self.entries.cap(), hasher);
        empty.evicted = self.evicted;
        empty
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many entries were evicted to make room.
    pub fn evicted(&self) -> usize {
        self.evicted
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> fmt::Debug for Lru<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lru")
            .field("len", &self.entries.len())
            .field("capacity", &self.entries.cap())
            .field("evicted", &self.evicted)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    const NOW: Timestamp = Timestamp::from_nanos(0);

    fn entry(value: u32) -> Entry<u32> {
        Entry::new(Some(value), NOW + Duration::from_secs(1))
    }

    #[test]
    fn the_least_recently_used_is_evicted() {
        let mut lru = Lru::new(NonZeroUsize::new(2).unwrap());
        assert!(lru.insert(1, entry(1)).is_none() && lru.insert(2, entry(2)).is_none());
        assert!(lru.get(&1, NOW).is_some());
        assert_eq!(lru.insert(3, entry(3)).map(|(key, _)| key), Some(2));
        assert_eq!((lru.len(), lru.evicted()), (2, 1));
        assert!(lru.get(&1, NOW).is_some() && lru.get(&2, NOW).is_none());
    }

    #[test]
    fn replacing_a_value_evicts_nothing() {
        let mut lru = Lru::new(NonZeroUsize::MIN);
        lru.insert(1, entry(1));
        assert_eq!(lru.insert(1, entry(2)), Some((1, entry(1))));
        assert_eq!((lru.len(), lru.evicted()), (1, 0));
    }

    #[test]
    fn an_expired_entry_is_removed_when_it_is_touched() {
        let mut lru = Lru::new(NonZeroUsize::MIN);
        lru.insert(1, entry(1));
        assert!(lru.get(&1, NOW + Duration::from_secs(1)).is_none());
        assert!(lru.is_empty());
    }

    /// What a constrained target does: values in bytes, no L2, no thread, no `std`.
    #[test]
    fn encoded_values_survive() {
        #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
        struct Reading {
            sensor: u8,
            celsius: f32,
        }
        let reading = Reading {
            sensor: 3,
            celsius: 21.5,
        };
        let mut lru: Lru<u8, alloc::vec::Vec<u8>> = Lru::new(NonZeroUsize::MIN);
        let bytes = postcard::to_allocvec(&reading).unwrap();
        lru.insert(3, Entry::new(Some(bytes), Timestamp::MAX));
        let found = lru.get(&3, NOW).and_then(Entry::value).unwrap();
        assert_eq!(postcard::from_bytes::<Reading>(found).unwrap(), reading);
    }
}
