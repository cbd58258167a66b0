//! async-std as a [`Runtime`]: smol's timers, and tasks on async-std's executor.

use core::future::Future;
use core::hash::Hash;
use core::time::Duration;

use jetcache_core::{Builder, Runtime, Task, Timestamp};

use crate::Node;
use crate::runtime::Smol;

/// async-std's executor, and otherwise what [`Smol`] is.
#[derive(Clone, Debug, Default)]
pub struct AsyncStd {
    smol: Smol,
}

impl AsyncStd {
    /// async-std with the system's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// async-std with a clock that stands still until a test moves it.
    #[cfg(feature = "test-util")]
    #[must_use]
    pub fn paused(clock: &jetcache_core::PausedClock) -> Self {
        Self {
            smol: Smol::paused(clock),
        }
    }
}

impl Runtime for AsyncStd {
    fn now(&self) -> Timestamp {
        self.smol.now()
    }

    #[inline]
    fn coarse(&self) -> Timestamp {
        self.smol.coarse()
    }

    fn roll(&self) -> u128 {
        self.smol.roll()
    }

    fn sleep(&self, span: Duration) -> impl Future<Output = ()> + Send + 'static {
        self.smol.sleep(span)
    }

    fn spawn(&self, task: Task) -> Result<(), Task> {
        // Dropping the handle detaches the task.
        drop(async_std::task::spawn(task));
        Ok(())
    }

    fn may_block(&self) -> Result<(), &'static str> {
        self.smol.may_block()
    }
}

/// The parent of many caches on async-std.
#[must_use]
pub fn node() -> Node {
    crate::node_on(AsyncStd::new())
}

/// A builder for a cache of this name on async-std, in a [`node`] of its own.
pub fn builder<K, V>(name: &str) -> Builder<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    node().local_cache(name)
}
