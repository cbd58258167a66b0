//! L1 as the machine sees it: entries that may still be served, values behind an `Arc`.

use std::sync::Arc;

use crate::driver::shared::generated::Generated;
use crate::driver::shared::journal::Journal;
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::driver::world::erased::AnyRuntime;
use crate::machine::event::Event;
use crate::machine::tier::entry::Entry;
use crate::machine::time::Timestamp;
use crate::ports::local::{Local, Probe};

/// The L1 of a cache, if it has one.
pub(crate) struct Level1<K, V> {
    pub(crate) local: Option<Arc<dyn Local<K, V>>>,
    pub(crate) generations: Arc<Generated>,
    pub(crate) journal: Arc<Journal>,
}

impl<K: CacheKey, V: CacheValue> Level1<K, V> {
    /// What `taken` takes from a fresh entry, none of whose tags was raised. One that may not even be
    /// served stale any more is removed. A clock is read only if there is an entry, and the exact one
    /// only if its end is near.
    ///
    /// The entry stays where the engine wrote it: to move it costs a good part of what finding it does.
    #[inline(always)]
    pub(crate) fn hit<R>(
        &self,
        key: &dyn Probe<K>,
        clock: &dyn AnyRuntime,
        taken: impl FnOnce(&mut Entry<V>) -> R,
    ) -> Option<R> {
        let local = self.local.as_ref()?;
        let mut found = local.get(key);
        let entry = found.as_mut()?;
        let fresh = entry.is_plain() && entry.is_fresh(clock.coarse() + Timestamp::COARSE);
        (fresh || self.is_fresh(&**local, key, entry, clock)).then(|| taken(entry))
    }

    /// The same by all the rules.
    #[inline(never)]
    fn is_fresh(
        &self,
        local: &dyn Local<K, V>,
        key: &dyn Probe<K>,
        entry: &Entry<V>,
        clock: &dyn AnyRuntime,
    ) -> bool {
        if !self.generations.is_alive(entry) {
            self.journal.note(&Event::DeadInL1);
            local.remove(key);
            return false;
        }
        if entry.is_fresh(clock.coarse() + Timestamp::COARSE) {
            return true;
        }
        let now = clock.now();
        if !entry.is_fresh(now) && now >= entry.stale_end() {
            local.remove(key);
        }
        entry.is_fresh(now)
    }

    /// A fresh entry.
    pub(crate) fn fresh(&self, key: &dyn Probe<K>, clock: &dyn AnyRuntime) -> Option<Entry<V>> {
        self.hit(key, clock, taken)
    }

    /// What there is of the key, as the machine holds values: also an entry whose life is over, if it
    /// may be served stale.
    pub(crate) fn read(&self, key: &K, clock: &dyn AnyRuntime) -> Option<Entry<Arc<V>>> {
        let local = self.local.as_ref()?;
        // The call that comes this way has looked for it before, which is the one use that counts.
        let entry = local.peek(&key)?;
        let now = clock.now();
        if !entry.is_fresh(now) && now >= entry.stale_end() {
            local.remove(&key);
            return None;
        }
        Some(entry.map(Arc::new))
    }

    /// Writes an entry: the value is cloned out of its `Arc`, outside every lock of ours.
    pub(crate) fn write(&self, key: &K, entry: Entry<Arc<V>>) {
        if let Some(local) = &self.local {
            local.insert(key.clone(), entry.map(|value| (*value).clone()));
        }
    }

    pub(crate) fn remove(&self, key: &K) {
        if let Some(local) = &self.local {
            local.remove(&key);
        }
    }
}

impl<K, V> Level1<K, V> {
    pub(crate) fn clear(&self) {
        if let Some(local) = &self.local {
            local.clear();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.local.as_ref().map_or(0, |local| local.len())
    }

    pub(crate) fn weight(&self) -> u64 {
        self.local.as_ref().map_or(0, |local| local.weight())
    }

    pub(crate) fn evicted(&self) -> Option<u64> {
        self.local.as_ref()?.evicted()
    }
}

/// The entry of a [hit](Level1::hit) itself; one that has ended takes its place.
#[inline]
pub(crate) fn taken<V>(entry: &mut Entry<V>) -> Entry<V> {
    core::mem::replace(entry, Entry::new(None, Timestamp::default()))
}
