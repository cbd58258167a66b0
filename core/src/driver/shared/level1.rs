//! L1 as the machine sees it: entries that are fresh or not there, values behind an `Arc`.

use std::sync::Arc;

use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::driver::world::erased::AnyRuntime;
use crate::machine::tier::entry::Entry;
use crate::machine::time::Timestamp;
use crate::ports::local::{Local, Probe};

/// The L1 of a cache, if it has one.
pub(crate) struct Level1<K, V>(pub(crate) Option<Arc<dyn Local<K, V>>>);

impl<K: CacheKey, V: CacheValue> Level1<K, V> {
    /// A fresh entry. One that has ended is removed. A clock is read only if there is an entry, and
    /// the exact one only if its end is near.
    #[inline(always)]
    pub(crate) fn fresh(&self, key: &dyn Probe<K>, clock: &dyn AnyRuntime) -> Option<Entry<V>> {
        let local = self.0.as_ref()?;
        let entry = local.get(key)?;
        if entry.is_fresh(clock.coarse() + Timestamp::COARSE) || entry.is_fresh(clock.now()) {
            return Some(entry);
        }
        local.remove(key);
        None
    }

    /// [`fresh`](Self::fresh) as the machine holds values.
    pub(crate) fn read(&self, key: &K, clock: &dyn AnyRuntime) -> Option<Entry<Arc<V>>> {
        let entry = self.fresh(&key, clock)?;
        let expires = entry.expires();
        Some(Entry::new(entry.into_value().map(Arc::new), expires))
    }

    /// Writes an entry: the value is cloned out of its `Arc`, outside every lock of ours.
    pub(crate) fn write(&self, key: &K, entry: Entry<Arc<V>>) {
        if let Some(local) = &self.0 {
            let expires = entry.expires();
            let value = entry.into_value().map(|value| (*value).clone());
            local.insert(key.clone(), Entry::new(value, expires));
        }
    }

    pub(crate) fn remove(&self, key: &K) {
        if let Some(local) = &self.0 {
            local.remove(&key);
        }
    }
}

impl<K, V> Level1<K, V> {
    pub(crate) fn clear(&self) {
        if let Some(local) = &self.0 {
            local.clear();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |local| local.len())
    }

    pub(crate) fn weight(&self) -> u64 {
        self.0.as_ref().map_or(0, |local| local.weight())
    }

    pub(crate) fn evicted(&self) -> Option<u64> {
        self.0.as_ref()?.evicted()
    }
}
