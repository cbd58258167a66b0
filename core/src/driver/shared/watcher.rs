//! What observers hold of the caches that they watch.

use std::sync::{Arc, Weak};

use crate::driver::shared::Shared;
use crate::driver::world::bounds::{CacheKey, CacheValue};
use crate::ports::watched::{Snapshot, Watched};

/// A cache that is watched, and not kept alive by it.
struct Watcher<K, V> {
    name: Arc<str>,
    cache: Weak<Shared<K, V>>,
}

impl<K: CacheKey, V: CacheValue> Watched for Watcher<K, V> {
    fn name(&self) -> &str {
        &self.name
    }

    fn snapshot(&self) -> Option<Snapshot> {
        Some(self.cache.upgrade()?.snapshot())
    }
}

impl<K: CacheKey, V: CacheValue> Shared<K, V> {
    /// Shows all observers a cache that was built.
    pub(in crate::driver) fn show_observers(shared: &Arc<Self>) {
        let watcher: Arc<dyn Watched> = Arc::new(Watcher {
            name: Arc::clone(&shared.journal.name),
            cache: Arc::downgrade(shared),
        });
        shared.journal.watch(&watcher);
    }
}
