//! Tokio as a [`Runtime`].

use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;

use jetcache_core::{Clock, Runtime, Task, Timestamp, roll};
use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::time::Sleep;

use crate::here::Here;

/// Tokio's tasks and timers, and the system's coarse clock.
///
/// It uses the tokio runtime in which it is called, and remembers it for calls from elsewhere,
/// such as a `Drop` on another thread. A runtime without its time driver is refused: see
/// [`check`](Runtime::check).
#[derive(Debug)]
pub struct Tokio {
    clock: Clock,
    /// Whether tokio's own timers are used.
    timed: bool,
    last: Mutex<Option<Seen>>,
    /// Which one that is, so that calls need not lock it.
    seen: AtomicUsize,
}

/// A runtime from which a call came.
#[derive(Clone, Debug)]
struct Seen {
    handle: Handle,
    has_timers: bool,
}

impl Tokio {
    /// Tokio with the system's clock. It needs no running runtime yet.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Clock::system(), true)
    }

    /// Tokio with a clock that stands still until a test moves it. (Tokio's own pause and advance
    /// move its timers, and no cache's entries.)
    #[cfg(feature = "test-util")]
    #[must_use]
    pub fn paused(clock: &jetcache_core::PausedClock) -> Self {
        Self::with_clock(Clock::paused(clock), false)
    }

    fn with_clock(clock: Clock, timed: bool) -> Self {
        Self {
            clock,
            timed,
            last: Mutex::new(None),
            seen: AtomicUsize::new(0),
        }
    }

    /// The runtime that this thread is in, or the last one that a call came from.
    fn seen(&self) -> Option<Seen> {
        match Handle::try_current() {
            Ok(handle) => Some(Seen {
                has_timers: self.note(&handle),
                handle,
            }),
            Err(_) => self.last().clone(),
        }
    }

    /// Remembers the runtime that this thread is in. Says whether it has timers.
    fn note(&self, handle: &Handle) -> bool {
        let Here {
            mark, has_timers, ..
        } = Here::of(handle);
        let has_timers = !self.timed || has_timers;
        if self.seen.load(Ordering::Acquire) != mark {
            let mut last = self.last();
            let before = last.replace(Seen {
                handle: handle.clone(),
                has_timers,
            });
            self.seen.store(mark, Ordering::Release);
            drop(last);
            // It may be all that is left of its runtime.
            drop(before);
        }
        has_timers
    }

    /// What keeps the time for a sleep.
    fn timer(&self, span: Duration) -> Timer {
        if self.timed
            && let Ok(handle) = Handle::try_current()
            && self.note(&handle)
        {
            let sleep = tokio::time::sleep(span);
            return Timer::Here { sleep };
        }
        let sleep = Box::pin(sleep(span, self.seen()));
        Timer::Elsewhere { sleep }
    }

    fn last(&self) -> MutexGuard<'_, Option<Seen>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[inline]
    fn coarse(&self) -> Timestamp {
        self.clock.coarse()
    }

    fn roll(&self) -> u128 {
        roll()
    }

    /// Tokio's time driver must be there: without it nothing could end in time.
    fn check(&self) -> Result<(), &'static str> {
        let has_timers = match Handle::try_current() {
            Ok(handle) => self.note(&handle),
            Err(_) => self.last().as_ref().is_none_or(|last| last.has_timers),
        };
        if has_timers {
            return Ok(());
        }
        Err("this tokio runtime has no timers: build it with enable_time() or enable_all()")
    }

    fn sleep(&self, span: Duration) -> impl Future<Output = ()> + Send + 'static {
        self.clock.sleep(span, self.timer(span))
    }

    fn spawn(&self, task: Task) -> Result<(), Task> {
        match self.seen() {
            // A handle whose runtime is gone drops the task.
            Some(seen) => {
                seen.handle.spawn(task);
                Ok(())
            }
            None => Err(task),
        }
    }

    /// Anywhere but in an async task of tokio's.
    fn may_block(&self) -> Result<(), &'static str> {
        let Some(handle) = &*BLOCKING else {
            return Err("no thread can be had for blocking calls");
        };
        if Handle::try_current().is_ok() && !may_enter(handle) {
            return Err(
                "a blocking call in an async task: await the cache itself, or call within spawn_blocking",
            );
        }
        Ok(())
    }

    /// In a runtime of the caches' own, one thread for the whole program, that their blocking calls
    /// share: so they need no other runtime, and never wait for one that stands still.
    fn block_on(&self, call: Pin<&mut (dyn Future<Output = ()> + Send + '_)>) {
        if let Some(handle) = &*BLOCKING {
            handle.block_on(call);
        }
    }
}

/// Tokio tells only by a panic, of which the panic hook hears.
fn may_enter(handle: &Handle) -> bool {
    catch_unwind(|| handle.block_on(async {})).is_ok()
}

/// Where blocking calls run.
static BLOCKING: LazyLock<Option<Handle>> = LazyLock::new(|| {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().ok()?;
    let handle = runtime.handle().clone();
    let thread = thread::Builder::new().name("jetcache-blocking".into());
    let drive = move || runtime.block_on(core::future::pending::<()>());
    thread.spawn(drive).is_ok().then_some(handle)
});

pin_project! {
    /// What keeps the time for one sleep.
    #[project = Kept]
    enum Timer {
        /// The timer of the runtime in which it was asked for. It keeps the time wherever it is polled.
        Here { #[pin] sleep: Sleep },
        /// That of the runtime in which it is polled, or the last one that was seen.
        Elsewhere { sleep: Task },
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.project() {
            Kept::Here { sleep } => sleep.poll(cx),
            Kept::Elsewhere { sleep } => sleep.as_mut().poll(cx),
        }
    }
}

async fn sleep(span: Duration, seen: Option<Seen>) {
    if let Ok(here) = Handle::try_current() {
        let known = seen.as_ref().filter(|seen| seen.handle.id() == here.id());
        if known.map_or_else(|| Here::of(&here).has_timers, |seen| seen.has_timers) {
            return tokio::time::sleep(span).await;
        }
    }
    // Polled outside tokio, or where there are no timers: a task of the remembered runtime keeps
    // the time. Without one, time stands still here, and nothing times out.
    if let Some(Seen { handle, .. }) = seen.filter(|seen| seen.has_timers) {
        let asleep = handle.spawn(async move { tokio::time::sleep(span).await });
        if asleep.await.is_ok() {
            return;
        }
    }
    core::future::pending().await
}
