//! An observer sees what happens in a cache.

pub mod watched;

use core::time::Duration;

use crate::machine::counted::Arc;
use crate::machine::event::Event;
use crate::ports::observer::watched::{Snapshot, Watched};

/// Sees every event of a cache, as it happens and on the thread on which it happens.
///
/// Observers see each hit too, unless they do not [want](Self::wants_hits) them: keep `on` short, do
/// not block, and do not call the cache. One observer may be shown several caches.
pub trait Observer: Send + Sync + 'static {
    /// `event` happened in the cache of this name.
    fn on(&self, cache: &str, event: &Event);

    /// Whether it is to be shown [`Event::LocalHit`], of which there may be millions a second. One
    /// that takes its counts from [`watch`](Self::watch) needs none, and then a hit costs what it
    /// costs without observers. Asked once, when a cache is built.
    fn wants_hits(&self) -> bool {
        true
    }

    /// A cache was built that this observer is to see. Its figures can be asked for at any time.
    fn watch(&self, cache: Arc<dyn Watched>) {
        let _ = cache;
    }

    /// How often it wants to be shown the figures, by a task of the cache; `None`: never. Asked once,
    /// when a cache is built. The task starts with the first call that goes further than L1.
    fn every(&self) -> Option<Duration> {
        None
    }

    /// The figures of the cache of this name, as often as it [wants](Self::every) them, and once more
    /// when it closes.
    fn show(&self, cache: &str, snapshot: &Snapshot) {
        let _ = (cache, snapshot);
    }

    /// A cache of this name is gone, with the last of its handles; another one may have taken the
    /// name. Only observers are told that want figures [every](Self::every) so often, on the thread
    /// that dropped the handle, after they were shown the last figures.
    fn gone(&self, cache: &str) {
        let _ = cache;
    }
}
