//! Who wants to know what happens.

use crate::machine::event::Event;

/// Is told every event of a cache, as it happens and on the thread on which it happens.
///
/// A hit tells its observers too: keep `on` short, do not block, and do not call the cache.
pub trait Observer: Send + Sync + 'static {
    /// `event` happened in the cache of this name.
    fn on(&self, cache: &str, event: &Event);
}
