//! smol as a [`Runtime`].

use core::future::Future;
use core::time::Duration;
use std::thread;

use jetcache_core::{Clock, Runtime, Task, Timestamp, roll};

/// smol's global executor and timers, and the system's coarse clock.
///
/// Its timers work on any executor and its tasks run on smol's own threads, so a cache can be used
/// from anywhere.
#[derive(Clone, Debug)]
pub struct Smol {
    clock: Clock,
}

impl Smol {
    /// smol with the system's clock.
    #[must_use]
    pub fn new() -> Self {
        Self {
            clock: Clock::system(),
        }
    }

    /// smol with a clock that stands still until a test moves it.
    #[cfg(feature = "test-util")]
    #[must_use]
    pub fn paused(clock: &jetcache_core::PausedClock) -> Self {
        Self {
            clock: Clock::paused(clock),
        }
    }
}

impl Default for Smol {
    fn default() -> Self {
        Self::new()
    }
}

impl Runtime for Smol {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    #[inline]
    fn coarse(&self) -> Timestamp {
        self.clock.coarse()
    }

    fn roll(&self) -> u128 {
        roll()
    }

    fn sleep(&self, span: Duration) -> impl Future<Output = ()> + Send + 'static {
        self.clock.sleep(span, sleep(span))
    }

    fn spawn(&self, task: Task) -> Result<(), Task> {
        smol::spawn(task).detach();
        Ok(())
    }

    /// Anywhere but on the threads that run smol's and async-std's tasks, which are known by their names:
    /// there the tasks of the cache, and of its connections, would wait behind the call.
    fn may_block(&self) -> Result<(), &'static str> {
        let thread = thread::current();
        let runs_tasks = |name: &str| name.starts_with("smol-") || name == "async-std/runtime";
        if thread.name().is_some_and(runs_tasks) {
            return Err(
                "a blocking call in an async task: await the cache itself, or call within smol::unblock",
            );
        }
        Ok(())
    }
}

async fn sleep(span: Duration) {
    smol::Timer::after(span).await;
}
