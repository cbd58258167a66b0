//! Tokio as a [`Runtime`].

use core::future::Future;
use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use jetcache_core::{Clock, Runtime, Task, Timestamp, roll};
use tokio::runtime::Handle;

/// Tokio's tasks and timers, and the system's coarse clock.
///
/// It uses the tokio runtime in which it is called, and remembers it for calls from elsewhere,
/// such as a `Drop` on another thread.
#[derive(Debug)]
pub struct Tokio {
    clock: Clock,
    last: Mutex<Option<Handle>>,
}

impl Tokio {
    /// Tokio with the system's clock. It needs no running runtime yet.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Clock::coarse())
    }

    /// Tokio with a clock that stands still until a test moves it. (Tokio's own pause and advance
    /// move its timers, and no cache's entries.)
    #[cfg(feature = "test-util")]
    #[must_use]
    pub fn paused(clock: &jetcache_core::PausedClock) -> Self {
        Self::with_clock(Clock::paused(clock))
    }

    fn with_clock(clock: Clock) -> Self {
        Self {
            clock,
            last: Mutex::new(None),
        }
    }

    /// The runtime that this thread is in, or the last one that a call came from.
    fn handle(&self) -> Option<Handle> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(current) = Handle::try_current() {
            *last = Some(current);
        }
        last.clone()
    }
}

impl Default for Tokio {
    fn default() -> Self {
        Self::new()
    }
}

impl Runtime for Tokio {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn roll(&self) -> u128 {
        roll()
    }

    fn sleep(&self, span: Duration) -> impl Future<Output = ()> + Send + 'static {
        let elsewhere = self.handle();
        self.clock.sleep(span, move |span| sleep(span, elsewhere))
    }

    fn spawn(&self, task: Task) -> Result<(), Task> {
        match self.handle() {
            // A handle whose runtime is gone drops the task.
            Some(handle) => {
                handle.spawn(task);
                Ok(())
            }
            None => Err(task),
        }
    }
}

async fn sleep(span: Duration, elsewhere: Option<Handle>) {
    if Handle::try_current().is_ok() {
        return tokio::time::sleep(span).await;
    }
    // Polled outside tokio: a task of the remembered runtime keeps the time. Without one, time
    // stands still here, and nothing times out.
    if let Some(handle) = elsewhere {
        let asleep = handle.spawn(async move { tokio::time::sleep(span).await });
        if asleep.await.is_ok() {
            return;
        }
    }
    core::future::pending().await
}
