//! An observer sees what happens in a cache.

use crate::machine::event::Event;

/// Sees every event of a cache, as it happens and on the thread on which it happens.
///
/// Observers see each hit too: keep `on` short, do not block, and do not call the cache.
pub trait Observer: Send + Sync + 'static {
    /// `event` happened in the cache of this name.
    fn on(&self, cache: &str, event: &Event);
}
